"""The paper figures are drawn on: narrow and tall, to be read on a phone, with components in rows that are named.

Colours are those of Okabe and Ito. Nothing here knows what is drawn.
"""

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "BLUE",
    "CHAINS",
    "GREEN",
    "GREY",
    "ORANGE",
    "STYLE",
    "WIDTH",
    "label_rows",
    "png",
    "row_height",
    "styled",
    "tall",
]

WIDTH = 4.8  # inches: nine points are then readable on a phone
_DPI = 220
_ROW, _TALLEST = 0.17, 8.0  # inches a row, and where rows begin to move together
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
    "axes.linewidth": 0.7,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled[**Given](draw: Callable[Given, Figure]) -> Callable[Given, Figure]:
    """The same function, drawing in the style of the suite and leaving matplotlib's own settings alone."""

    @wraps(draw)
    def inside(*arguments: Given.args, **options: Given.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return inside


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, as `savefig` makes it, but laid out once and drawn once: that draws it twice."""
    held, canvas, layout = io.BytesIO(), FigureCanvasAgg(figure), figure.get_layout_engine()
    figure.set_dpi(_DPI)
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    canvas.print_png(held)
    return held.getvalue()


def row_height(count: int) -> float:
    """Inches a row."""
    return min(_ROW, _TALLEST / count)


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
