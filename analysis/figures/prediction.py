"""Figures of comparison and prediction: which action explains how much, and what it says of functions it never saw.

Drawn like those of plots.py, narrow and tall; each returns a matplotlib figure and neither shows nor saves it.
"""

import arviz as az
import numpy as np
import xarray as xr

from ..comparisons.compare import Comparison
from ..comparisons.predictive import Predictive
from ..reading.fit import Reading, reads
from .canvas import BLACK, CHAINS, GREY, ORANGE, WIDTH, Figure, styled

__all__ = ["plot_comparison", "plot_predictive", "plot_predictive_draws"]

YELLOW, SKY = CHAINS[4:6]


@styled
def plot_comparison(comparison: Comparison) -> Figure:
    """Share of the held-out gain and of G4c (both norms) for every action, one row an action.

    Points: share of the richest action's held-out gain with one standard error. Bars: 1 - (what tree level leaves of
    G4c)^2, in the plain and in the whitened norm. The control's point stands for the richest action with wrong terms.

    Raises:
        ValueError: a comparison in which no action explains anything.
    """
    rows = [row for row in comparison.rows if row.share is not None and row.couplings]
    if not rows:
        raise ValueError(
            f"expected a richest action whose gain is resolved, got {comparison.richest} with "
            f"{comparison[comparison.richest].gain[0]:.2g} +- {comparison[comparison.richest].gain[1]:.2g}; "
            "try more networks"
        )
    figure = Figure(figsize=(WIDTH, 0.9 + 0.55 * len(rows)), layout="constrained")
    panel = figure.subplots()
    for k, row in enumerate(rows):
        for left, shift, colour in ((row.plain, -0.16, YELLOW), (row.white, 0.16, SKY)):
            if left is not None:
                panel.barh(k + shift, max(0.0, 1.0 - left[0] ** 2), height=0.28, color=colour, alpha=0.75)
        assert row.share is not None
        error = 0.0 if np.isnan(row.share[1]) else row.share[1]
        panel.errorbar(row.share[0], k, xerr=error, fmt="o", color=BLACK, ms=4.0, lw=1.2)
    panel.set_yticks(
        range(len(rows)),
        [f"{row.name}\n{row.couplings} coupling{'s' * (row.couplings > 1)}" for row in rows],
        fontsize=8.5,
    )
    panel.invert_yaxis()
    panel.set_xlim(min(0.0, *(row.share[0] for row in rows if row.share)) - 0.03, None)
    panel.axvline(0.0, color=GREY, lw=0.7)
    panel.axvline(1.0, color=GREY, lw=0.7, ls=":")
    panel.set_xlabel(f"share (1 = {comparison.richest}, or all of $G_4^c$)")
    panel.plot([], [], "o", color=BLACK, ms=4.0, label="held-out score gain")
    panel.barh([0], [0], color=YELLOW, alpha=0.75, label="$G_4^c$, plain norm")
    panel.barh([0], [0], color=SKY, alpha=0.75, label="$G_4^c$, whitened")
    figure.legend(loc="outside upper center", ncols=3, handlelength=1.2, columnspacing=1.0)
    return figure


@styled
def plot_predictive(found: Predictive) -> Figure:
    """Observed against predicted for every component of G6c, the function the fit never used, and the site kurtosis.

    The bar is the posterior's 89 % interval widened by the truncation band on both sides (light) or alone (dark);
    black: observed with one standard error.
    """
    names = [name for name in ("G6", "kurtosis") if name in found.components]
    figure = Figure(figsize=(WIDTH, 0.8 + 2.6 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for panel, name in zip(panels, names, strict=True):
        part = found.components[name]
        order = np.argsort(part.observed, kind="stable") if name == "G6" else np.arange(len(part.observed))
        at = np.arange(len(order))
        low, high = (part.low - part.band)[order], (part.high + part.band)[order]
        panel.vlines(at, low, high, color=ORANGE, alpha=0.25, lw=3.0, label="prediction with truncation band")
        panel.vlines(at, part.low[order], part.high[order], color=ORANGE, lw=3.0, label="posterior, 89 %")
        value, error = part.observed[order], part.error[order]
        panel.errorbar(at, value, yerr=error, fmt="o", color=BLACK, ms=2.5, lw=0.9, label="observed")
        few = [low, high] if name == "kurtosis" else []
        inside = np.concatenate([value - error, value + error, part.predicted, *few])
        middle, half = 0.5 * (inside.max() + inside.min()), 0.6 * np.ptp(inside)
        panel.set_ylim(middle - half, middle + half)  # a band beyond the data is cut rather than hiding them
        panel.axhline(0.0, color=GREY, lw=0.7)
        panel.set_ylabel({"G6": r"$G_6^c$", "kurtosis": "excess kurtosis"}[name])
        panel.set_xlabel("component, by size" if name == "G6" else "point")
        if name == names[0]:
            panel.set_title(found.how.replace(" (", "\n(").replace(", all", ",\nall"), loc="left")
        if name == "kurtosis":
            panel.set_xticks(at, [str(k) for k in order])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, handlelength=1.2)
    return figure


@reads
def plot_predictive_draws(fit: Reading, *, components: int = 4) -> az.PlotCollection:
    """ArviZ's interval plot of the posterior predictive four-point function against the observed one, by component.

    Intervals hold measurement noise, as `az.plot_ppc_dist(fit)` and `az.plot_ppc_pit(fit)` expect it.

    Args:
        fit: a fit of `inf.fit`.
        components: how many of the largest components of G4c.

    Raises:
        ValueError: no fit, or one without a four-point function.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> type(plot_predictive_draws(fit, components=2)).__name__
        'PlotCollection'
    """
    observed = fit.group("observed_data")["G4"]
    largest = np.argsort(-np.abs(observed.values), kind="stable")[:components]
    tree = xr.DataTree.from_dict(
        {
            "posterior_predictive": fit.group("posterior_predictive")[["G4"]].isel(quad=largest),
            "observed_data": xr.Dataset({"G4": observed.isel(quad=largest)}),
        }
    )
    return az.plot_ppc_interval(tree, var_names=["G4"], backend="matplotlib")
