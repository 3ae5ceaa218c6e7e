"""How numbers with errors, and what a check says in plain ASCII, are written on a page.

Value and error are cut at the second digit of the error: 0.1755 ± 0.0018.
"""

import re
from math import floor, log10

import numpy as np

__all__ = ["count", "significant", "typeset", "with_error"]


def typeset(text: str) -> str:
    """What a check says in plain ASCII, with the signs a page has for it."""
    signs = {
        "+-": "±",
        ">=": "≥",
        "<=": "≤",
        "eps4": "ε₄",
        "chi2": "χ²",
        "chi^2": "χ²",
        "Hyvarinen": "Hyvärinen",
        "exp(-S)": "exp(−S)",
        "Z2": "Z₂",
        "G4c": "G₄ᶜ",
        "phi^4": "φ⁴",
        "phi^6": "φ⁶",
        "R-hat": "R̂",
        "Schwinger-Dyson": "Schwinger–Dyson",
    }
    for plain, sign in signs.items():
        text = text.replace(plain, sign)
    text = re.sub(r"\blambda\b", "λ", text)
    return re.sub(r"(?<![\w-])-(?=\d)", "−", re.sub(r"(?<=\d)%", "\u202f%", text))


def with_error(value: float, error: float) -> str:
    """Value and error, cut at the second digit of the error; powers of ten are taken out below 10^-3 and from 10^5 on.

    >>> with_error(0.17546, 0.00177)
    '0.1755 ± 0.0018'
    """
    if not (np.isfinite(value) and np.isfinite(error) and error > 0):
        return significant(value, 4)
    size = max(abs(value), error)
    power = floor(log10(size))
    if -3 <= power <= 4:
        digits = max(0, 1 - floor(log10(error)))
        return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")
    digits = max(0, 1 - floor(log10(error)) + power)
    mantissa = f"{value / 10.0**power:.{digits}f} ± {error / 10.0**power:.{digits}f}".replace("-", "−")
    return f"({mantissa})·10{_superscript(power)}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many digits, with a true minus sign; − for what is not finite."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:#.{digits}g}".rstrip(".")
    if "e" in text:
        mantissa, power = text.split("e")
        text = f"{mantissa}·10{_superscript(int(power))}"
    return text.replace("-", "−")


def count(number: float) -> str:
    """1 000 000, with narrow spaces that do not break."""
    return f"{number:,.0f}".replace(",", "\u202f")


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
