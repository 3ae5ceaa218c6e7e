"""Formulas written once in TeX, for the page as MathML: what browsers show without a script and screen readers read."""

import re
from functools import cache
from html import escape

from latex2mathml.converter import convert

__all__ = ["mathml", "prose"]

_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # HTML knows it, and a page names no address
_PARTS = re.compile(r"\$([^$]+)\$|`([^`]+)`")


@cache
def mathml(tex: str, *, display: bool = False) -> str:
    """A formula in TeX as MathML, on a line of its own where `display`.

    >>> mathml("g_{01}")
    '<math display="inline"><mrow><msub><mi>g</mi><mrow><mn>01</mn></mrow></msub></mrow></math>'
    """
    return convert(tex, display="block" if display else "inline").replace(_NAMESPACE, "")


def prose(text: str) -> str:
    """Sentences with TeX between dollar signs and code between back ticks, as HTML; all else is text.

    >>> prose("a < b, `code`")
    'a &lt; b, <code>code</code>'
    """
    made, end = [], 0
    for part in _PARTS.finditer(text):
        made.append(escape(text[end : part.start()], quote=False))
        made.append(mathml(part[1]) if part[1] else f"<code>{escape(part[2])}</code>")
        end = part.end()
    return "".join([*made, escape(text[end:], quote=False)])
