"""What a fit found, in one paragraph written from its numbers, and how numbers with errors are written.

Value and error are cut at the second digit of the error: 0.1755 ± 0.0018.
"""

import ast
import re
from collections.abc import Iterable
from math import floor, log10
from typing import Any

import numpy as np
import xarray as xr

from ..models import neurons
from ..models.networks import Network
from ..models.scalar import ScalarMode
from .couplings import couplings, group
from .diagnostics import LIMITS, Check

__all__ = [
    "ACTION_NAMES",
    "caveat",
    "count",
    "drawn",
    "measured",
    "model",
    "origin",
    "paragraph",
    "share",
    "significant",
    "typeset",
    "with_error",
]

ACTION_NAMES = {
    "Constant": "constant quartic action",
    "Local": "local quartic action",
    "Bilocal": "bilocal quartic action",
    "FullQuartic": "full quartic action",
}
_NEURONS = {"Cos": "cosine", "Erf": "erf", "ReLU": "ReLU", "Gauss": "Gauss", "Tanh": "tanh", "ScalarMode": "scalar"}
# What a warning means for the numbers, the gravest first; a warning not listed speaks for itself.
_CAVEATS = {
    "share of the gain": "{part} of what is not Gaussian sits in quartic terms that this action leaves out, so that "
    "its couplings are a projection, and one that depends on the metric",
    "Z2 symmetry": "odd correlators are there, which an even action cannot describe",
    "loop over tree": "one loop is not small beside tree level, so that tree-level predictions from these couplings "
    "are qualitative",
    "draws unbounded below": "in {value} posterior draws the quartic form is negative in some direction, so that "
    "exp(−S) cannot be normalised and the couplings are those of an expansion around the Gaussian",
}
_SAMPLED = ("R-hat", "ESS bulk", "ESS tail", "E-FMI", "NUTS against closed form")


def paragraph(fit: xr.DataTree, checks: Iterable[Check]) -> str:
    """What was measured, how far from Gaussian, what the action explains, what is resolved, and the main caveat."""
    sentences = (measured(fit), _gaussianity(fit), _explained(fit), _resolved(fit), caveat(fit, checks))
    return " ".join([*sentences, "The couplings belong to this set of points: another set has other couplings."])


def measured(fit: xr.DataTree) -> str:
    """The first sentence: how many networks, of what, where, and what was fitted."""
    points, networks = group(fit, "constant_data").sizes["x"], float(fit.attrs["networks"])
    where = "one point" if points == 1 else f"{points} points"
    quartic = len(couplings(fit))
    many = "its coupling" if quartic == 1 else f"its {quartic} couplings"
    what = origin(fit)
    made = f"{count(networks)} {what}" if "networks" in what else f"{count(networks)} networks, {what},"
    whose = what if "networks" in what else f"networks {what}"
    space = fit.attrs.get("space", "field")
    told = {
        "neuron": f"The correlators of {whose} were computed from {count(networks)} draws of one neuron, at {where}.",
        "readout": f"The correlators of {whose} were computed from {count(networks)} hidden layers, their readout "
        f"integrated out, at {where}.",
        "field": f"The field of {made} was measured at {where}.",
    }[space]
    if "as_if_n" in fit.attrs:
        told = f"The exact correlators of {whose} at {where} were taken with the errors {count(networks)} of them have."
    return (
        f"{told} From the moments of order two, four and six, score matching "
        f"determined the {ACTION_NAMES[fit.attrs['action']]}: {many}, together with the quadratic part."
    )


def origin(fit: xr.DataTree) -> str:
    """In words: the networks of the suite, the user's own model, else the array or file the networks came from."""
    if "model" in fit.attrs:
        return _networks(model(fit)) or f"of the model {model(fit)}"
    source = str(fit.attrs.get("source", ""))
    if source.startswith("Samples(") and not source.startswith("Samples(array"):
        return f"read from {source.removeprefix('Samples(').split(', n=')[0]}"
    return "given as an array" if source else "known through given correlators"


def drawn(fit: xr.DataTree) -> str:
    """What was drawn: networks, or what stands for them in the dual spaces."""
    return {"neuron": "neurons", "readout": "hidden layers"}.get(str(fit.attrs.get("space", "")), "networks")


def model(fit: xr.DataTree) -> str:
    """The model in one line of code, a function by its name; empty where the networks came without one."""
    line = re.sub(r"\s+", " ", str(fit.attrs.get("model", "")))
    line = re.sub(r"(?<=\() | (?=\))|,(?= \))", "", line)
    return re.sub(r"<(?:bound method|function) ([\w.<>]+) (?:at|of) .*>", r"\1", line)


def _networks(line: str) -> str:
    """Networks of the suite in words, "cosine networks of width 20 (output_bias 1.0)"; empty for any other model."""
    try:
        call: Any = ast.parse(line, mode="eval").body
        settings = {word.arg: word.value for word in call.keywords}
        neuron, width = settings.pop("neuron"), settings.pop("width").value
        name = neuron.func.id
        kind = ScalarMode() if name == "ScalarMode" else getattr(neurons, name)
        given = [(word.arg, word.value.value, kind) for word in neuron.keywords]
        given += [(word, value.value, Network) for word, value in settings.items()]
        other = [f"{word} {value}" for word, value, kind in given if value != getattr(kind, word)]
        if call.func.id != "Network" or call.args or neuron.args:
            return ""
        return f"{_NEURONS[name]} networks of width {width}{f' ({", ".join(other)})' if other else ''}"
    except (SyntaxError, AttributeError, KeyError):
        return ""


def caveat(fit: xr.DataTree, checks: Iterable[Check]) -> str:
    """The gravest thing to know: a check that fails, else too few networks, else the warning that matters most."""
    checks = list(checks)
    failed = [check for check in checks if check.verdict == "fail"]
    warned = [check for check in checks if check.verdict == "warn"]
    if failed:
        first = failed[0]
        others = "" if len(failed) == 1 else f", one of {len(failed)} checks that fail"
        number = typeset(f"{first.value}, limit {first.limit}")
        longer = " Sample longer: more draws may mend it." if all(c.name in _SAMPLED for c in failed) else ""
        reason = f"{typeset(first.name)} ({number}){others}. {typeset(first.why)}"
        return f"Do not use these numbers as they stand: {reason}{longer}"
    found = couplings(fit)
    if not _non_gaussian(fit) or not any(abs(c.z) > LIMITS["resolved"] for c in found):
        sd = float(np.median([c.sd for c in found]))
        return (
            "The main caveat is the number of networks: a coupling within about "
            f"{significant(LIMITS['resolved'] * sd, 2)} of zero, three standard deviations, is not seen."
            + ("" if not warned else f" {_word(len(warned))} {'check warns' if len(warned) == 1 else 'checks warn'}.")
        )
    if not warned:
        return "No check fails or warns."
    names = list(_CAVEATS)
    warned.sort(key=lambda check: names.index(check.name) if check.name in names else len(names))
    first = warned[0]
    others = {1: "", 2: " One more check warns."}.get(len(warned), f" {_word(len(warned) - 1)} more checks warn.")
    if first.name in _CAVEATS:
        part = "most" if (share(fit) or (0.0, 0.0))[0] < 0.5 else "part"
        return f"The main caveat: {_CAVEATS[first.name].format(part=part, value=typeset(first.value))}.{others}"
    number = typeset(f"{first.value}, limit {first.limit}")
    return f"The main caveat is {typeset(first.name)} ({number}). {typeset(first.why)}{others}"


def share(fit: xr.DataTree) -> tuple[float, float] | None:
    """Share of the full quartic action's gain over the Gaussian, and its error; None where that is not resolved."""
    attrs = group(fit, "constant_data").attrs
    if "share" not in attrs or attrs["gain_full"] < LIMITS["resolved"] * attrs["gain_full_error"]:
        return None
    return float(attrs["share"]), float(attrs["share_error"])


def _non_gaussian(fit: xr.DataTree) -> bool:
    attrs = group(fit, "constant_data").attrs
    return bool(attrs["eps4"] >= LIMITS["resolved"] * attrs["eps4_error"])


def _gaussianity(fit: xr.DataTree) -> str:
    attrs = group(fit, "constant_data").attrs
    eps4, error = float(attrs["eps4"]), float(attrs["eps4_error"])
    value = f"ε₄ = {with_error(eps4, error)}"
    where = "At this point" if group(fit, "constant_data").sizes["x"] == 1 else "At these points"
    if not _non_gaussian(fit):
        return f"{where} the field is Gaussian within errors: its distance to the Gaussian is {value}."
    limit = LIMITS["eps4"]
    size = (
        f"below {limit}, small enough for an expansion around the Gaussian"
        if eps4 < limit
        else f"not below {limit}, too far for an effective action around the Gaussian"
    )
    return f"{where} the field is not Gaussian: its distance to the Gaussian is {value}, {size}."


def _explained(fit: xr.DataTree) -> str:
    attrs = group(fit, "constant_data").attrs
    gain = with_error(float(attrs["gain"]), float(attrs["gain_error"]))
    action = ACTION_NAMES[fit.attrs["action"]]
    if "gain_full" not in attrs:
        return (
            f"The {action} gains {gain} in Hyvärinen score over the best Gaussian; at more than 8 points the full "
            "quartic action is not fitted beside it."
        )
    full = with_error(float(attrs["gain_full"]), float(attrs["gain_full_error"]))
    fraction = share(fit)
    if len(couplings(fit)) == group(fit, "observed_data").sizes["quad"]:  # at two points a bilocal action, too
        if fraction is None:
            return f"Its gain in Hyvärinen score over the best Gaussian, {full}, is not resolved."
        return f"It gains {full} in Hyvärinen score over the best Gaussian, and no quartic term is left out."
    if fraction is None:
        return (
            "Even the full quartic action does not improve on the best Gaussian beyond its error (gain in Hyvärinen "
            f"score {full}), so there is no share of it to quote."
        )
    return (
        f"The {action} reaches ({with_error(100.0 * fraction[0], 100.0 * fraction[1])})\u202f% of the gain in "
        "Hyvärinen score over the best Gaussian that the full quartic action reaches on the same moments."
    )


def _resolved(fit: xr.DataTree) -> str:
    found = couplings(fit)
    clear = [c for c in found if abs(c.z) > LIMITS["resolved"]]
    best = max(found, key=lambda c: abs(c.z))
    name = "λ" if best.site == "coupling" else best.text
    value = f"{name} = {with_error(best.mean, best.sd)}"
    if len(found) == 1:
        return f"The coupling, {value}, is {'' if clear else 'not '}more than three standard deviations from zero."
    if not clear:
        return (
            f"Taken one by one, none of its {len(found)} couplings is more than three standard deviations from zero; "
            f"the clearest is {value}."
        )
    which = "all" if len(clear) == len(found) else _word(len(clear)).lower()
    verb = "is" if len(clear) == 1 else "are"
    return (
        f"Taken one by one, {which} of its {len(found)} couplings {verb} more than three standard deviations from "
        f"zero; the clearest is {value}."
    )


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
        "R-hat": "R̂",
        "Schwinger-Dyson": "Schwinger–Dyson",
    }
    for plain, sign in signs.items():
        text = text.replace(plain, sign)
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


def _word(number: int) -> str:
    words = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
    return words[number] if number < len(words) else str(number)


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
