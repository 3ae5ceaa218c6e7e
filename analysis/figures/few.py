"""What few networks can and cannot say: a strip over eps4, and under it how many networks would see how much."""

import numpy as np

from ...inference.planning.few import Few
from ...inference.planning.gaussianity import EPS4_LIMIT
from .canvas import BLACK, BLUE, GREEN, GREY, ORANGE, WIDTH, Figure, styled

__all__ = ["eps4_seen", "plot_few"]

_REACH = (0.01, 2.0)  # of eps4


def eps4_seen(found: Few, networks: float) -> float:
    """The eps4 at which half of all experiments of so many networks would reject the Gaussian at three sigma.

    Networks needed go like 1/eps4^2, so one number of `decided_by` gives all others; nan where none is finite.

    Args:
        found: from `inference.few_networks`.
        networks: n.

    Example:
        >>> import jax
        >>> from nnft.inference import Samples, few_networks
        >>> fields = np.random.default_rng(0).normal(size=(200, 1))
        >>> few = few_networks(Samples(fields, np.zeros((1, 1))), key=jax.random.key(0))
        >>> bool(np.isclose(eps4_seen(few, few.decided_by[1]), few.gaussianity.bound))
        True
    """
    g = found.gaussianity
    products = [by * eps4**2 for by, eps4 in zip(found.decided_by, (g.eps4, g.bound), strict=True)]
    known = [product for product in products if 0.0 < product < np.inf]
    return float(np.sqrt(known[0] / networks)) if known else float("nan")


@styled
def plot_few(found: Few) -> Figure:
    """A strip over eps4, the distance to the Gaussian: too small for these networks, seen, and beyond any action.

    The mark is the estimate, the bar runs to its upper bound (an arrow where there is none). Under it networks needed
    at three sigma for every eps4, a line of slope -2, and these networks on it.

    Args:
        found: from `inference.few_networks`.

    Returns:
        The figure, neither shown nor saved.

    Example:
        >>> import jax
        >>> from nnft.inference import Samples, few_networks
        >>> fields = np.random.default_rng(0).normal(size=(200, 1))
        >>> figure = plot_few(few_networks(Samples(fields, np.zeros((1, 1))), key=jax.random.key(0)))
        >>> len(figure.axes)
        2
    """
    g, low, high = found.gaussianity, *_REACH
    seen = eps4_seen(found, found.networks)
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    strip, curve = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.6])
    edge = min(max(seen, low), high) if np.isfinite(seen) else high
    zones = ((low, edge, GREY, "too small\nto see"), (edge, EPS4_LIMIT, GREEN, "seen"))
    zones += ((max(edge, EPS4_LIMIT), high, ORANGE, "no action\nto speak of"),)
    for start, end, colour, said in zones:
        if end > start * 1.05:
            strip.axvspan(start, end, color=colour, alpha=0.25, lw=0)
            strip.text(np.sqrt(start * end), 0.72, said, ha="center", va="center", fontsize=8.5)
    at, bounded = float(np.clip(g.eps4, low, high)), bool(np.isfinite(g.bound))
    end = float(np.clip(g.bound, low, high)) if bounded else high
    strip.plot([at, end], [0.25, 0.25], color=BLACK, lw=1.6, solid_capstyle="butt")
    strip.plot([at], [0.25], "o", color=BLACK, ms=5)
    strip.plot([end], [0.25], "|" if bounded else ">", color=BLACK, ms=9 if bounded else 6)
    strip.set_ylim(0.0, 1.0)
    strip.set_yticks([])
    strip.spines["left"].set_visible(False)
    strip.set_title(f"estimate and {'its' if bounded else 'no'} upper bound at {found.level:.0%}", loc="left")
    grid = np.geomspace(low, high, 50)
    if np.isfinite(seen):
        curve.plot(grid, found.networks * (seen / grid) ** 2, color=BLUE, label=r"needed at $3\sigma$")
    curve.axhline(found.networks, color=BLACK, lw=0.9, ls=":", label=f"these {found.networks:,}")
    curve.set_xscale("log")
    curve.set_yscale("log")
    curve.set_xlim(low, high)
    curve.set_xlabel(r"$\varepsilon_4$, distance to the Gaussian")
    curve.set_ylabel("networks")
    curve.legend(loc="upper right")
    return figure
