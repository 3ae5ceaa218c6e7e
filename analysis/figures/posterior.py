"""Figures of a fit, one function each: they take the fit, return a matplotlib figure, and neither show nor save it.

All is read from the tree alone, a reloaded fit draws the same. `plot_couplings` is in `maps.py`, the paper
they are drawn on in `canvas.py`.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator
from scipy import stats

from ..reading.couplings import INTERVAL, indices
from ..reading.fit import Reading, reads
from ..reading.residuals import schwinger_dyson
from .canvas import (
    BLACK,
    BLUE,
    CHAINS,
    GREEN,
    GREY,
    ORANGE,
    WIDTH,
    Figure,
    label_rows,
    row_height,
    styled,
    tall,
    thinned,
)
from .maps import plot_couplings

__all__ = [
    "plot_couplings",
    "plot_four_point",
    "plot_prior_posterior",
    "plot_schwinger_dyson",
    "plot_trace_rank",
]


@reads
@styled
def plot_four_point(fit: Reading) -> Figure:
    """Measured G4c of every distinct component against the exact one and the fitted action's prediction.

    The bar runs from tree level (tick) to tree plus one loop: its length is what the truncation is worth, not a
    statistical error. Beside it (measured - exact)/error, where the suite knows G4c exactly.

    Raises:
        ValueError: no four-point function was measured (too many points).

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> len(plot_four_point(fit).axes)
        1
    """
    observed, constants = fit.group("observed_data"), fit.constants
    if "G4" not in observed:
        raise ValueError(
            f"expected a fit with a measured four-point function, got one at {constants.sizes['x']} points without; "
            "try fewer points, or plot_couplings"
        )
    predicted = fit.group("predictions") if "predictions" in fit.children else {}
    value, error = observed["G4"].values, fit.errors("G4")
    exact = constants["G4_exact"].values if "G4_exact" in constants else None
    order = np.argsort(value if exact is None else exact, kind="stable")[::-1]
    order = order[thinned(len(order))]
    rows = np.arange(len(order))
    figure = tall(len(order), header=1.2)
    widths = [1] if exact is None else [3, 1]
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    main, inside = panels[0], [(value - error)[order], (value + error)[order]]
    main.axvline(0.0, color=GREY, lw=0.7)
    if "G4" in predicted:
        tree, loop = (predicted[n].mean(("chain", "draw")).values for n in ("G4", "G4_loop"))
        thick = min(4.5, 0.7 * 72.0 * row_height(len(order)))
        lines = main.hlines(rows, tree[order], loop[order], color=ORANGE, alpha=0.4, lw=thick)
        lines.set_label("fitted action, adding one loop")
        main.plot(tree[order], rows, "|", color=ORANGE, ms=thick + 2.5, mew=1.2, label="fitted action, tree level")
        inside.append(tree[order])
    if exact is not None:
        main.plot(exact[order], rows, "D", color=GREEN, mfc="none", ms=3.8, mew=0.9, label="exact")
        inside.append(exact[order])
    main.errorbar(value[order], rows, xerr=error[order], fmt="o", color=BLACK, ms=2.2, lw=0.9, label="measured")
    main.set_xlim(*_limits(inside))  # a loop far beyond the data is cut at the edge rather than hiding the data
    main.set_xlabel(r"$G_4^c$, in units of $\varphi^4$")
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.4, columnspacing=1.2)
    if exact is not None:
        pull = np.divide(value - exact, error, out=np.zeros_like(value), where=error > 0)
        _pulls(panels[1], pull[order], rows)
        panels[1].set_xlabel("(meas.−exact)\n/ error")
    labels = [indices(str(q)) for q in observed["quad"].values[order]]
    label_rows(main, labels, np.abs(value[order]))
    main.set_ylabel("component")
    return figure


@reads
@styled
def plot_schwinger_dyson(fit: Reading) -> Figure:
    """Schwinger-Dyson residuals of every quartic monomial T, <grad T.W grad S> - <lap_W T>, in units of their error.

    Filled: monomials the action leaves out. Rings: monomials it contains; those whose equations the fit solves one by
    one, with neither residual nor error, share the last row.

    Raises:
        ValueError: the fit holds no full quartic equations (more than 8 points).
    """
    z, error, contained = schwinger_dyson(fit)
    solved = error == 0.0
    order = np.lexsort((-z, contained, solved))[: np.sum(~solved)]
    order = order[thinned(len(order))]
    labels = [indices(str(q)) for q in fit.constants["quad"].values[order]]
    shown, inside = z[order], contained[order]
    if np.any(solved):
        labels, shown, inside = [*labels, f"{np.sum(solved)} more"], np.append(shown, 0.0), np.append(inside, True)
    figure = tall(len(shown), header=1.1)
    panel = figure.subplots()
    rows = np.arange(len(shown))
    panel.axvspan(-2.0, 2.0, color=GREY, alpha=0.2, lw=0)
    panel.axvline(0.0, color=GREY, lw=0.7)
    panel.hlines(rows[~inside], 0.0, shown[~inside], color=ORANGE, lw=0.8)
    panel.plot(shown[~inside], rows[~inside], "o", color=ORANGE, ms=3.4, label="left out by the action")
    panel.plot(shown[inside], rows[inside], "o", color=BLUE, mfc="none", ms=4.0, label="contained in it")
    edge = 1.08 * max(3.0, float(np.max(np.abs(shown))))
    panel.set_xlim(-edge, edge)
    panel.set_xlabel("residual / standard error")
    panel.set_ylabel("monomial")
    label_rows(panel, labels, np.abs(shown) + 1e3 * inside)
    figure.legend(loc="outside upper center", ncols=2, handletextpad=0.3)
    return figure


@reads
@styled
def plot_trace_rank(fit: Reading) -> Figure:
    """Traces and ranks of the three couplings with the worst R-hat: chains that agree overlap, their ranks are flat.

    The grey band holds 95 % of the rank counts of independent draws (Vehtari et al. 2021, arXiv:1903.08008).

    Raises:
        ValueError: no fit, or one without draws.
    """
    worst = sorted([*fit.couplings, *fit.quadratics], key=lambda c: c.rhat)[::-1][:3]
    figure = Figure(figsize=(WIDTH, 0.6 + 1.35 * len(worst)), layout="constrained")
    panels = figure.subplots(len(worst), 2, squeeze=False, width_ratios=[3, 2])
    for row, coupling in zip(panels, worst, strict=True):
        draws = fit.draws_of(coupling)
        ranks = stats.rankdata(draws).reshape(draws.shape)
        bins = 20 if draws.shape[1] >= 200 else 5
        each = draws.shape[1] / bins
        spread = 1.96 * np.sqrt(each * (1.0 - 1.0 / bins))
        row[1].axhspan(each - spread, each + spread, color=GREY, alpha=0.2, lw=0)
        for k, (trace, rank) in enumerate(zip(draws, ranks, strict=True)):
            colour = CHAINS[k % len(CHAINS)]
            row[0].plot(trace, color=colour, lw=0.35, alpha=0.75)
            counts, edges = np.histogram(rank, bins=bins, range=(0.5, draws.size + 0.5))
            row[1].stairs(counts, edges, color=colour, lw=0.9, baseline=None)
        row[0].set_ylabel(f"${coupling.tex}$", rotation=0, ha="right", va="center")
        row[0].set_title(rf"$\hat R$ = {coupling.rhat:.4f}", loc="left")
        row[0].margins(x=0.0)
        row[1].set_ylim(0.0, 2.0 * each)
        row[1].set_yticks([])
    panels[-1, 0].set_xlabel("draw")
    panels[-1, 1].set_xlabel("rank among all chains")
    return figure


@reads
@styled
def plot_prior_posterior(fit: Reading) -> Figure:
    """Prior beside posterior of each coupling of the interaction, 89 % intervals; how many times the data narrowed it.

    The axis is linear up to the smallest posterior sd and logarithmic beyond, so that both are seen.

    Raises:
        ValueError: no fit, or one without draws.
    """
    found = fit.couplings
    if found[0].site == "g4":
        found = [c for site in ("g4", "g6") for c in sorted(found, key=lambda c: -c.mean) if c.site == site]
    found = [found[k] for k in thinned(len(found))]
    rows = np.arange(len(found))
    figure = tall(len(found), header=1.2)
    panel = figure.subplots()
    half = stats.norm.ppf(0.5 * (1.0 + INTERVAL))
    before = np.array([(c.prior_mean - half * c.prior_sd, c.prior_mean + half * c.prior_sd) for c in found])
    after = np.array([(c.low, c.high) for c in found])
    thick = min(5.0, 0.7 * 72.0 * row_height(len(found)))
    panel.axvline(0.0, color=GREY, lw=0.7)
    panel.hlines(rows, *before.T, color=GREY, alpha=0.35, lw=thick, label="prior")
    panel.hlines(rows, *after.T, color=BLUE, lw=0.6 * thick, label="posterior")
    panel.plot([c.mean for c in found], rows, "o", color=BLUE, ms=2.4)
    linear = 2.0 * min(c.sd for c in found)
    panel.set_xscale("symlog", linthresh=linear, linscale=0.6)
    edge = 1.3 * max(np.max(np.abs(before)), np.max(np.abs(after)))
    panel.set_xlim(-edge, edge)
    decades = np.arange(np.ceil(np.log10(linear)), np.log10(edge))[::-1]
    ticks = 10.0 ** decades[:: -(-len(decades) // 3)]
    panel.set_xticks([*-ticks, 0.0, *ticks[::-1]])
    panel.minorticks_off()
    panel.set_xlabel("coupling")
    kept = label_rows(panel, [f"${c.tex}$" for c in found], np.abs([c.z for c in found]))
    for k in kept:
        ratio = f"{found[k].prior_sd / found[k].sd:,.0f}".replace(",", "\u2009")
        panel.text(1.02, rows[k], ratio, transform=panel.get_yaxis_transform(), va="center", fontsize=8.5)
    panel.text(1.02, 1.01, "prior sd /\npost. sd", transform=panel.transAxes, va="bottom", fontsize=8.5)
    figure.legend(loc="outside upper left", ncols=2, handlelength=1.4)
    return figure


def _pulls(panel: Axes, pull: np.ndarray, rows: np.ndarray) -> None:
    panel.axvspan(-2.0, 2.0, color=GREY, alpha=0.2, lw=0)
    panel.axvline(0.0, color=GREY, lw=0.7)
    panel.plot(pull, rows, "o", color=BLACK, ms=2.6)
    edge = 1.1 * max(3.2, float(np.max(np.abs(pull))))
    panel.set_xlim(-edge, edge)
    panel.xaxis.set_major_locator(MultipleLocator(2) if edge < 6.0 else MaxNLocator(3, symmetric=True))
    panel.tick_params(left=False)


def _limits(values: Sequence[np.ndarray]) -> tuple[float, float]:
    low, high = min(float(np.min(v)) for v in values), max(float(np.max(v)) for v in values)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin
