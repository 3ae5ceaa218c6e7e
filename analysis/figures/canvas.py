"""The paper figures are drawn on: narrow and tall, to be read on a phone, with components in rows that are named.

Colours are those of Okabe and Ito. On a page a figure is SVG whose colours are names: they follow the reader's light or
dark mode. Nothing here knows what is drawn.
"""

import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

__all__ = [
    "BLACK",
    "BLUE",
    "CHAINS",
    "Figure",
    "GREEN",
    "GREY",
    "ORANGE",
    "STYLE",
    "WIDTH",
    "label_rows",
    "MOST_ROWS",
    "row_height",
    "styled",
    "svg",
    "tall",
    "thinned",
]

WIDTH = 4.8  # inches: nine points are then readable on a phone
_DPI = 220  # of maps and whatever else is no line
_ROW, _TALLEST = 0.17, 8.0  # inches a row, and where rows begin to move together
MOST_ROWS, _ENDS = 40, 10  # rows drawn, and of them at each end where there are more
BLACK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
CHAINS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "svg.hashsalt": "nnft",  # the same figure twice is the same file
    "axes.linewidth": 0.7,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
# Colours by name, on white paper and on dark.
_NAMED = {
    "#ffffff": ("paper", "#17181a"),
    "#222222": ("ink", "#e6e6e3"),
    "#000000": ("ink", "#e6e6e3"),
    "#555555": ("soft", "#a6a6a2"),
    "#8a8a8a": ("grey", "#8f9094"),
    "#dcdcdc": ("cell", "#3a3b3e"),
    "#0072b2": ("blue", "#5ab4f0"),
    "#d55e00": ("orange", "#ff8f3f"),
    "#009e73": ("green", "#3ccba0"),
}
_COLOUR = re.compile("|".join(_NAMED))
_LONG = re.compile(r"(\d\.\d\d)\d+(?= |$)", re.MULTILINE)  # a coordinate of a path to more than a hundredth of a point
_DRAWN = re.compile(r'(?<= d=")M [^"]*')


class Figure(mpl_figure.Figure):
    """A figure that a notebook shows whether pyplot was imported or not."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=110)
        return drawn.getvalue()


def styled[**Given](draw: Callable[Given, Figure]) -> Callable[Given, Figure]:
    """The same function, drawing in the style of the suite and leaving matplotlib's own settings alone."""

    @wraps(draw)
    def inside(*arguments: Given.args, **options: Given.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return inside


def svg(figure: Figure) -> str:
    """The figure as SVG in colours that follow light and dark; laid out once and drawn once: `savefig` draws twice."""
    held, layout = io.StringIO(), figure.get_layout_engine()
    figure.set_dpi(_DPI)
    FigureCanvasAgg(figure)
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(held, metadata=nothing)
    text = held.getvalue()
    text = _COLOUR.sub(lambda found: f"var(--{_NAMED[found[0]][0]})", text[text.index("<svg") :])
    text = _DRAWN.sub(lambda path: _LONG.sub(r"\1", path[0]), text)
    light = {name: colour for colour, (name, _) in _NAMED.items() if colour != "#000000"}
    schemes = ["".join(f"--{name}:{colour};" for name, colour in one.items()) for one in (light, dict(_NAMED.values()))]
    head, _, rest = text.partition(">")
    style = f":root{{{schemes[0]}}}@media (prefers-color-scheme:dark){{:root{{{schemes[1]}}}}}"
    return f"{head}><style>{style}</style>{rest}"


def row_height(count: int) -> float:
    """Inches a row."""
    return min(_ROW, _TALLEST / count)


def thinned(count: int) -> np.ndarray:
    """Which of so many sorted rows are drawn: all up to `MOST_ROWS`, else ten at each end and an even choice between.

    >>> thinned(5).tolist(), len(thinned(126))
    ([0, 1, 2, 3, 4], 40)
    """
    if count <= MOST_ROWS:
        return np.arange(count)
    between = np.linspace(_ENDS, count - 1 - _ENDS, MOST_ROWS - 2 * _ENDS).round().astype(int)
    return np.concatenate([np.arange(_ENDS), between, np.arange(count - _ENDS, count)])


def tall(count: int, *, header: float) -> Figure:
    """A figure with room for so many rows."""
    return Figure(figsize=(WIDTH, header + max(1.0, count * row_height(count))), layout="constrained")


def label_rows(panel: Axes, labels: Sequence[str], importance: np.ndarray) -> list[int]:
    """Name every row where they fit, else the most important ones that do not overlap; first row on top."""
    apart = int(np.ceil(0.95 * _ROW / row_height(len(labels))))
    kept: list[int] = []
    for k in np.argsort(-importance, kind="stable").tolist():
        if all(abs(k - other) >= apart for other in kept):
            kept.append(k)
    kept.sort()
    panel.set_yticks(kept, [labels[k] for k in kept])
    panel.set_ylim(len(labels) - 0.4, -0.6)
    return kept
