"""A two-point function in both times: measured in Euclidean time, and turned into real time with its band."""

import numpy as np
from matplotlib.axes import Axes

from ...inference.spectra.lagged import TimeCorrelators
from ...inference.spectra.levels import RealTime
from .canvas import BLACK, BLUE, GREY, ORANGE, WIDTH, Figure, styled

__all__ = ["plot_real_time"]


@styled
def plot_real_time(
    found: RealTime, *, data: TimeCorrelators | None = None, truth: RealTime | None = None, operator: int = 0
) -> Figure:
    """Real and imaginary part of G(it) = <phi(t) phi(0)> with their bands, under the correlator they come from.

    Args:
        found: what `inf.real_time` returns.
        data: the correlators in Euclidean time, drawn on top with one standard error.
        truth: a known G(it), drawn as a dashed line.
        operator: which of the operators of the data.

    Raises:
        ValueError: less than two real times, of which no line can be drawn.

    Example:
        >>> from nnft import inference as inf, models as m
        >>> figure = plot_real_time(inf.real_time(m.Path(m.Network(m.Cos(), width=10)), np.linspace(0.0, 7.0, 50)))
        >>> [panel.get_ylabel() for panel in figure.axes]
        ['Re $G(it)$', 'Im $G(it)$']
    """
    if len(found.times) < 2:
        raise ValueError(
            f"expected at least two real times to draw a line, got {len(found.times)}; try np.linspace(0.0, 7.0, 71)"
        )
    count = 2 + (data is not None)
    figure = Figure(figsize=(WIDTH, 0.7 + 1.75 * count), layout="constrained")
    axes = figure.subplots(count, 1, squeeze=False)[:, 0]
    if data is not None:
        _euclidean(axes[0], data, operator)
    real, imaginary = axes[-2:]
    imaginary.sharex(real)
    real.tick_params(labelbottom=False)
    for panel, part, word in ((real, np.real, "Re"), (imaginary, np.imag, "Im")):
        if not found.exact:
            label = f"{found.level:.0%}" if found.level < 1.0 else "one level less changes"
            panel.fill_between(
                found.times, part(found.low), part(found.high), color=BLUE, alpha=0.25, lw=0, label=label
            )
        line = "exact" if found.exact else "mean" if found.level < 1.0 else "value"
        panel.plot(found.times, part(found.values), color=BLUE, lw=1.3, label=line)
        if truth is not None:
            panel.plot(truth.times, part(truth.values), color=ORANGE, lw=1.2, ls="--", label="known")
        panel.axhline(0.0, color=GREY, lw=0.7)
        panel.set_ylabel(f"{word} $G(it)$")
    real.legend(ncols=3, handlelength=1.4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    imaginary.set_xlabel("real time $t$")
    return figure


def _euclidean(panel: Axes, data: TimeCorrelators, operator: int) -> None:
    value, error = data.values[:, operator, operator], data.errors[:, operator, operator]
    panel.errorbar(data.times, value, error, fmt="o", color=BLACK, ms=2.8, lw=1.0, label="measured")
    panel.set_ylabel("$G(t)$")
    panel.set_xlabel("Euclidean time $t$")
    low = 0.0 if np.all(value > 0.0) else float(np.min(value - error))
    panel.set_ylim(low if low == 0.0 else 1.1 * low, None)
