"""A field against training time: connected functions at its points, and the couplings of its action."""

import numpy as np
from matplotlib.axes import Axes

from ...models.combinatorics import rank
from ..comparisons.drift import Drift
from .canvas import CHAINS, GREY, WIDTH, Figure, styled

__all__ = ["plot_drift"]

_LABEL = {1: r"$\langle\varphi\rangle$", 2: r"$G_2$", 3: r"$G_3^c$", 4: r"$G_4^c$", 6: r"$G_6^c$"}


@styled
def plot_drift(found: Drift, *, points: int = 4, couplings: int = 4) -> Figure:
    """Connected functions at single points with one standard error, and the couplings that change most, with 89 %.

    Times are drawn in their order, with their values, since they may end at infinity.

    Args:
        found: what `an.drift` returns.
        points: how many points are drawn.
        couplings: how many couplings.
    """
    first = found.correlators[0]
    orders, shown = first.orders, range(min(points, first.places))
    fitted = sorted(found.fits)
    panels = len(orders) + bool(fitted)
    figure = Figure(figsize=(WIDTH, 0.8 + 1.6 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    at = np.arange(len(found.times))
    for panel, order in zip(axes, orders, strict=False):
        for a in shown:
            one = int(rank(np.full((1, order), a), first.places)[0])
            value = np.array([data.connected(order)[one] for data in found.correlators])
            error = np.array([data.error(order)[one] for data in found.correlators])
            _band(
                panel,
                at,
                value,
                value - error,
                value + error,
                CHAINS[a % len(CHAINS)],
                f"x = {_words(first.points[a])}",
            )
        panel.set_ylabel(_LABEL.get(order, f"$G_{order}$"))
        panel.axhline(0.0, color=GREY, lw=0.7)
    if fitted:
        tables = {k: {one.text: one for one in found.couplings(k)} for k in fitted}
        names = list(tables[fitted[0]])
        spread = [np.ptp([tables[k][name].mean for k in fitted]) for name in names]
        for row, j in enumerate(np.argsort(-np.array(spread), kind="stable")[:couplings].tolist()):
            part = [tables[k][names[j]] for k in fitted]
            mean, low, high = (np.array([getattr(one, word) for one in part]) for word in ("mean", "low", "high"))
            _band(axes[-1], at[fitted], mean, low, high, CHAINS[row % len(CHAINS)], f"${part[0].tex}$")
        axes[-1].axhline(0.0, color=GREY, lw=0.7)
        axes[-1].set_ylabel("couplings")
        axes[-1].legend(ncols=2, handlelength=1.2)
    axes[0].legend(ncols=2, handlelength=1.2)
    axes[-1].set_xticks(at, [f"{time:.3g}" for time in found.times])
    axes[-1].set_xlabel("training time")
    return figure


def _band(
    panel: Axes, at: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, label: str
) -> None:
    panel.plot(at, value, "o-", color=colour, ms=3.0, lw=1.2, label=label)
    panel.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)


def _words(point: np.ndarray) -> str:
    return ", ".join(f"{x:.3g}" for x in point[:3]) + (", .." if len(point) > 3 else "")
