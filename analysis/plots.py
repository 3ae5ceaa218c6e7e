"""Figures of a fit, one function each: they take the fit, return a matplotlib figure, and neither show nor save it.

Drawn narrow and tall, so that they can be read on a phone; components stand in rows. All is read from the tree alone, a
reloaded fit draws the same. Colours are those of Okabe and Ito; the signed colour map is red-blue, white at zero.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from scipy import stats

from .couplings import INTERVAL, Coupling, couplings, group, indices
from .residuals import schwinger_dyson

__all__ = [
    "plot_couplings",
    "plot_four_point",
    "plot_prior_posterior",
    "plot_schwinger_dyson",
    "plot_trace_rank",
]

_WIDTH = 4.8  # inches: nine points are then readable on a phone
_ROW, _TALLEST = 0.17, 8.0  # inches a row, and where rows begin to move together
BLACK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
_CHAINS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
_STYLE: dict[Any, Any] = {
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


def _styled(draw: Callable[[xr.DataTree], Figure]) -> Callable[[xr.DataTree], Figure]:
    @wraps(draw)
    def inside(fit: xr.DataTree) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(fit)

    return inside


@_styled
def plot_couplings(fit: xr.DataTree) -> Figure:
    """The couplings: lambda_i(x,y) as maps with their errors, or what an action has in their place.

    Bilocal: posterior mean and standard deviation of lambda_0, lambda_1, lambda_2 in the stated gauge (lambda_3 is the
    transpose of lambda_1), cells the gauge leaves empty blank, a ring where |mean| < 2 sd. Local: lambda(x) = g_x/w_x
    and one sd. Constant: the posterior density of lambda. FullQuartic: g4 sorted, with one sd.
    """
    posterior = group(fit, "posterior")
    if "coupling" in posterior:
        return _density(posterior["coupling"].values.ravel())
    if "g4" in posterior:
        return _sorted_couplings(couplings(fit))
    if "u" not in posterior:
        return _local(fit)
    lam = posterior["lam"]
    mean, sd = lam.mean(("chain", "draw")).values, lam.std(("chain", "draw"), ddof=1).values
    shown = [i for i in (0, 1, 2) if np.any(sd[i] > 0)]
    names, positions = _point_names(fit)
    figure = Figure(figsize=(_WIDTH, 0.6 + 1.7 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 2, squeeze=False)
    powers = {0: r"$\phi(y)^4$", 1: r"$\phi(x)\,\phi(y)^3$", 2: r"$\phi(x)^2\phi(y)^2$"}
    for row, i in zip(panels, shown, strict=True):
        empty = sd[i] == 0
        for panel, values, colours in ((row[0], mean[i], "RdBu_r"), (row[1], sd[i], "YlGnBu")):
            _map(panel, np.ma.masked_array(values, empty), colours, names)
        unresolved = np.argwhere(~empty & (np.abs(mean[i]) < 2.0 * sd[i]))
        if len(unresolved):
            marks = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 0.9}
            halo = [withStroke(linewidth=2.4, foreground="white")]  # or a ring is lost on a dark cell
            row[0].scatter(unresolved[:, 1], unresolved[:, 0], s=22, label="|mean| < 2 sd", path_effects=halo, **marks)
        row[0].set_title(rf"$\lambda_{i}(x,y)$ of {powers[i]}", loc="left")
        row[1].set_title("standard deviation", loc="left")
        row[0].set_ylabel(f"x {positions}")
    for panel in panels[-1]:
        panel.set_xlabel(f"y {positions}")
    return figure


@_styled
def plot_four_point(fit: xr.DataTree) -> Figure:
    """Measured G4c of every distinct component against the exact one and the fitted action's prediction.

    The bar runs from tree level (tick) to tree plus one loop: its length is what the truncation is worth, not a
    statistical error. Beside it (measured - exact)/error, where the suite knows G4c exactly.
    """
    observed, constants, predicted = (
        group(fit, "observed_data"),
        group(fit, "constant_data"),
        group(fit, "posterior_predictive"),
    )
    value, error = observed["G4"].values, observed["G4_error"].values
    exact = constants["G4_exact"].values if "G4_exact" in constants else None
    order = np.argsort(value if exact is None else exact, kind="stable")[::-1]
    rows = np.arange(len(order))
    figure = _tall(len(order), header=1.2)
    widths = [1] if exact is None else [3, 1]
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    main, inside = panels[0], [value - error, value + error]
    main.axvline(0.0, color=GREY, lw=0.7)
    if "G4" in predicted:
        tree, loop = (predicted[n].mean(("chain", "draw")).values for n in ("G4", "G4_loop"))
        thick = min(4.5, 0.7 * 72.0 * _row_height(len(order)))
        lines = main.hlines(rows, tree[order], loop[order], color=ORANGE, alpha=0.4, lw=thick)
        lines.set_label("fitted action, adding one loop")
        main.plot(tree[order], rows, "|", color=ORANGE, ms=thick + 2.5, mew=1.2, label="fitted action, tree level")
        inside.append(tree)
    if exact is not None:
        main.plot(exact[order], rows, "D", color=GREEN, mfc="none", ms=3.8, mew=0.9, label="exact")
        inside.append(exact)
    main.errorbar(value[order], rows, xerr=error[order], fmt="o", color=BLACK, ms=2.2, lw=0.9, label="measured")
    main.set_xlim(*_limits(inside))  # a loop far beyond the data is cut at the edge rather than hiding the data
    main.set_xlabel(r"$G_4^c$")
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.4, columnspacing=1.2)
    if exact is not None:
        pull = np.divide(value - exact, error, out=np.zeros_like(value), where=error > 0)
        _pulls(panels[1], pull[order], rows)
        panels[1].set_xlabel("(meas.−exact)\n/ error")
    labels = [indices(str(q)) for q in observed["quad"].values[order]]
    _label_rows(main, labels, np.abs(value[order]))
    main.set_ylabel("component")
    return figure


@_styled
def plot_schwinger_dyson(fit: xr.DataTree) -> Figure:
    """Schwinger-Dyson residuals of every quartic monomial T, <grad T.W grad S> - <lap_W T>, in units of their error.

    Filled: monomials the action leaves out. Rings: monomials it contains; those whose equations the fit solves one by
    one, with neither residual nor error, share the last row.

    Raises:
        ValueError: the fit holds no full quartic equations (more than 8 points).
    """
    z, error, contained = schwinger_dyson(fit)
    solved = error == 0.0
    order = np.lexsort((-z, contained, solved))[: np.sum(~solved)]
    labels = [indices(str(q)) for q in group(fit, "constant_data")["quad"].values[order]]
    shown, inside = z[order], contained[order]
    if np.any(solved):
        labels, shown, inside = [*labels, f"{np.sum(solved)} more"], np.append(shown, 0.0), np.append(inside, True)
    figure = _tall(len(shown), header=1.1)
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
    _label_rows(panel, labels, np.abs(shown) + 1e3 * inside)
    figure.legend(loc="outside upper center", ncols=2, handletextpad=0.3)
    return figure


@_styled
def plot_trace_rank(fit: xr.DataTree) -> Figure:
    """Traces and ranks of the three couplings with the worst R-hat: chains that agree overlap, their ranks are flat.

    The grey band holds 95 % of the rank counts of independent draws (Vehtari et al. 2021, arXiv:1903.08008).
    """
    worst = sorted(couplings(fit, quadratic=True), key=lambda c: c.rhat)[::-1][:3]
    figure = Figure(figsize=(_WIDTH, 0.6 + 1.35 * len(worst)), layout="constrained")
    panels = figure.subplots(len(worst), 2, squeeze=False, width_ratios=[3, 2])
    for row, coupling in zip(panels, worst, strict=True):
        values = group(fit, "posterior")[coupling.site].transpose("chain", "draw", ...)
        draws = values.values[..., list(values[values.dims[2]].values.astype(str)).index(coupling.where)]
        ranks = stats.rankdata(draws).reshape(draws.shape)
        bins = 20 if draws.shape[1] >= 200 else 5
        each = draws.shape[1] / bins
        spread = 1.96 * np.sqrt(each * (1.0 - 1.0 / bins))
        row[1].axhspan(each - spread, each + spread, color=GREY, alpha=0.2, lw=0)
        for k, (trace, rank) in enumerate(zip(draws, ranks, strict=True)):
            colour = _CHAINS[k % len(_CHAINS)]
            row[0].plot(trace, color=colour, lw=0.35, alpha=0.75)
            counts, edges = np.histogram(rank, bins=bins, range=(0.5, draws.size + 0.5))
            row[1].stairs(counts, edges, color=colour, lw=0.9, baseline=None)
        row[0].set_ylabel(coupling.maths, rotation=0, ha="right", va="center")
        row[0].set_title(rf"$\hat R$ = {coupling.rhat:.4f}", loc="left")
        row[0].margins(x=0.0)
        row[1].set_ylim(0.0, 2.0 * each)
        row[1].set_yticks([])
    panels[-1, 0].set_xlabel("draw")
    panels[-1, 1].set_xlabel("rank among all chains")
    return figure


@_styled
def plot_prior_posterior(fit: xr.DataTree) -> Figure:
    """Prior beside posterior of every quartic coupling, 89 % intervals, and how many times the data narrowed it.

    The axis is linear up to the smallest posterior sd and logarithmic beyond, so that both are seen.
    """
    found = couplings(fit)
    found = sorted(found, key=lambda c: c.mean)[::-1] if found[0].site == "g4" else found
    rows = np.arange(len(found))
    figure = _tall(len(found), header=1.2)
    panel = figure.subplots()
    half = stats.norm.ppf(0.5 * (1.0 + INTERVAL))
    before = np.array([(c.prior_mean - half * c.prior_sd, c.prior_mean + half * c.prior_sd) for c in found])
    after = np.array([(c.low, c.high) for c in found])
    thick = min(5.0, 0.7 * 72.0 * _row_height(len(found)))
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
    kept = _label_rows(panel, [c.maths for c in found], np.abs([c.z for c in found]))
    for k in kept:
        ratio = f"{found[k].prior_sd / found[k].sd:,.0f}".replace(",", "\u2009")
        panel.text(1.02, rows[k], ratio, transform=panel.get_yaxis_transform(), va="center", fontsize=8.5)
    panel.text(1.02, 1.01, "prior sd /\npost. sd", transform=panel.transAxes, va="bottom", fontsize=8.5)
    figure.legend(loc="outside upper left", ncols=2, handlelength=1.4)
    return figure


def _density(draws: np.ndarray) -> Figure:
    figure = Figure(figsize=(_WIDTH, 2.8), layout="constrained")
    panel = figure.subplots()
    mean, sd = float(np.mean(draws)), float(np.std(draws, ddof=1))
    low, high = np.quantile(draws, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    grid = np.linspace(min(draws.min(), mean - 4 * sd), max(draws.max(), mean + 4 * sd), 400)
    density = stats.gaussian_kde(draws)(grid)
    panel.fill_between(grid, density, where=(grid >= low) & (grid <= high), color=BLUE, alpha=0.25, lw=0, label="89 %")
    panel.plot(grid, density, color=BLUE, label="posterior density")
    panel.axvline(mean, color=BLACK, lw=0.9, label="mean")
    if grid[0] - 3 * sd < 0.0 < grid[-1] + 3 * sd:
        panel.axvline(0.0, color=GREY, lw=0.7)
    panel.set_ylim(0.0, None)
    panel.set_yticks([])
    panel.set_xlabel(r"$\lambda$")
    panel.legend(loc="upper right")
    return figure


def _sorted_couplings(found: Sequence[Coupling]) -> Figure:
    found = sorted(found, key=lambda c: c.mean)[::-1]
    rows = np.arange(len(found))
    figure = _tall(len(found), header=0.8)
    panel = figure.subplots()
    panel.axvline(0.0, color=GREY, lw=0.7)
    mean, sd = np.array([(c.mean, c.sd) for c in found]).T
    panel.errorbar(mean, rows, xerr=sd, fmt="o", color=BLUE, ms=3.0, lw=1.0)
    panel.set_xlabel(r"$g_{abcd}$")
    panel.set_ylabel("points a b c d")
    _label_rows(panel, [indices(c.where) for c in found], np.abs([c.z for c in found]))
    return figure


def _local(fit: xr.DataTree) -> Figure:
    weights = group(fit, "constant_data")["weights"].values
    found = couplings(fit)
    figure = Figure(figsize=(_WIDTH, 2.8), layout="constrained")
    panel = figure.subplots()
    places = group(fit, "constant_data")["x_position"].values
    line = places.shape[1] == 1
    where = places[:, 0] if line else np.arange(len(weights))
    mean, sd = np.array([(c.mean, c.sd) for c in found]).T / weights
    panel.axhline(0.0, color=GREY, lw=0.7)
    panel.errorbar(where, mean, yerr=sd, fmt="o", color=BLUE, ms=4.0, lw=1.2)
    panel.set_xlabel("x" if line else "point (number)")
    panel.set_ylabel(r"$\lambda(x)$")
    panel.set_xticks(where if len(where) <= 10 else where[:: len(where) // 8])
    return figure


def _map(panel: Axes, values: np.ma.MaskedArray, colours: str, names: list[str]) -> None:
    """A matrix over pairs of points; colours logarithmic away from zero where linear ones would hide most cells."""
    sizes = np.abs(values.compressed())
    signed, top = bool(np.any(values < 0)) or colours == "RdBu_r", float(sizes.max())
    wide = top > 30.0 * float(np.median(sizes))
    low, high = (-top, top) if signed else (0.0, 1.6 * top)
    norm = AsinhNorm(0.5 * float(np.median(sizes)), low, high) if wide else Normalize(low, high)
    image = panel.imshow(values, cmap=colours, norm=norm)
    panel.set_facecolor("#dcdcdc")
    edges = np.arange(1, len(names)) - 0.5
    panel.hlines(edges, -0.5, len(names) - 0.5, color="white", lw=0.8)
    panel.vlines(edges, -0.5, len(names) - 0.5, color="white", lw=0.8)
    step = -(-len(names) // 8)
    crowded = sum(map(len, names[::step])) > 12
    panel.set_xticks(range(0, len(names), step), names[::step], rotation=90 if crowded else 0)
    panel.set_yticks(range(0, len(names), step), names[::step])
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.9, pad=0.03)
    bar.ax.minorticks_off()
    if wide:
        decades = 10.0 ** np.arange(np.floor(np.log10(top)), np.log10(np.median(sizes)), -1.0)[:2]
        bar.set_ticks([*(-decades if signed else []), 0.0, *decades[::-1]])
    else:
        bar.ax.yaxis.set_major_locator(MaxNLocator(4, symmetric=signed))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_plain))  # a power of ten above the bar runs into the title
    bar.outline.set_linewidth(0.4)


def _plain(value: float, _: object = None) -> str:
    """0.0025, −0.03, 5·10⁻⁶: the whole number at each tick, with no power of ten kept elsewhere."""
    if value == 0.0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    mantissa, power = f"{value:.3e}".split("e")
    return rf"${float(mantissa):g}{{\cdot}}10^{{{int(power)}}}$"


def _point_names(fit: xr.DataTree) -> tuple[list[str], str]:
    """Positions in one dimension, numbers otherwise."""
    places = group(fit, "constant_data")["x_position"].values
    if places.shape[1] == 1:
        return [f"{x:.3g}".replace("-", "−") for x in places[:, 0]], ""
    return [str(k) for k in range(len(places))], "(number)"


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


def _row_height(count: int) -> float:
    return min(_ROW, _TALLEST / count)


def _tall(count: int, *, header: float) -> Figure:
    return Figure(figsize=(_WIDTH, header + max(1.0, count * _row_height(count))), layout="constrained")


def _label_rows(panel: Axes, labels: Sequence[str], importance: np.ndarray) -> list[int]:
    """Name every row where they fit, else the most important ones that do not overlap; first row on top."""
    apart = int(np.ceil(0.95 * _ROW / _row_height(len(labels))))
    kept: list[int] = []
    for k in np.argsort(-importance, kind="stable").tolist():
        if all(abs(k - other) >= apart for other in kept):
            kept.append(k)
    kept.sort()
    panel.set_yticks(kept, [labels[k] for k in kept])
    panel.set_ylim(len(labels) - 0.4, -0.6)
    return kept
