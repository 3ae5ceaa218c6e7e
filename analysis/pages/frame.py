"""The frames that pages are written into: Jinja2, where what is put in is text until a filter says it is more.

All extend `frames/base.html`. Filters: `prose` for sentences with TeX between dollar signs, `mathml` for a formula,
`signs` for what a check says in plain ASCII.
"""

import base64
import re
from functools import cache
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..figures.canvas import Figure, svg
from ..reading.couplings import indices
from ..reading.typesetting import typeset
from .formulas import mathml, prose

__all__ = ["drawn_figure", "render"]


def render(frame: str, **content: Any) -> str:
    """The page of that frame, "page.html", with its content."""
    return _environment().get_template(frame).render(**content)


def drawn_figure(figure: Figure, title: str, caption: str, seen: str) -> dict[str, str]:
    """A figure as a page holds it: embedded, with a title, a caption for `prose`, and in words what is seen."""
    data = base64.b64encode(svg(figure).encode()).decode("ascii")
    return {"title": title, "data": data, "caption": caption, "seen": seen}


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__ or "", "frames"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "prose": lambda text: Markup(prose(text)),
        "mathml": lambda tex, display=False: Markup(mathml(tex, display=display)),
        "signs": lambda text: Markup(_signs(text)),
    }
    return made


def _signs(text: str) -> str:
    """Plain text as HTML, with true indices on the symbols of checks and couplings."""
    text = escape(typeset(text), quote=False).replace("ε₄", "ε<sub>4</sub>").replace("G₄ᶜ", "G<sub>4</sub><sup>c</sup>")
    text = re.sub(r"([≤≥<>±]|&[lg]t;) (?=[\d−])", "\\1\u00a0", text)  # a sign stays with its number
    text = re.sub(r"(?<=\d) ±", "\u00a0±", text)
    text = text.replace("p_eff", "p<sub>eff</sub>")
    return re.sub(r"\b([guvq])[46]?\[([\d,]+)\]", lambda m: f"{m[1]}<sub>{indices(m[2])}</sub>", text)
