"""The figure of the couplings, for every action: maps over pairs of points, values at points, by displacement, sorted.

The signed colour map is red-blue, white at zero.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy import stats

from ...models.actions.rungs import gauge
from ..reading.couplings import INTERVAL, Coupling, indices
from ..reading.fit import Reading, reads
from .canvas import BLACK, BLUE, GREY, ORANGE, WIDTH, Figure, label_rows, row_height, styled, tall, thinned

__all__ = ["plot_couplings"]


@reads
@styled
def plot_couplings(fit: Reading) -> Figure:
    """The couplings: lambda_i(x,y) as maps with their errors, or what an action has in their place.

    Bilocal, smooth or of low rank: posterior mean, and below it standard deviation, of lambda_0, lambda_1, lambda_2 in
    the stated gauge (lambda_3 is the transpose of lambda_1), each row on one scale, cells the gauge leaves empty blank,
    a ring where |mean| < 2 sd.
    Local: lambda(x) = g_x/w_x and one sd. Where all are single numbers: the posterior density of each. Translation
    invariant: g, u(r), v(r) by displacement r. Any other action: sorted, with one sd, a panel a name.

    Raises:
        ValueError: no fit, or one without draws.

    Example, and the other figures of a fit:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> from nnft import analysis as an
        >>> draws = plot_couplings, an.plot_prior_posterior, an.plot_trace_rank, an.plot_schwinger_dyson
        >>> [len(draw(fit).axes) for draw in draws]
        [8, 1, 6, 1]
    """
    found, kind = fit.couplings, fit.look
    if kind == "by displacement":
        return _by_displacement(found)
    if kind == "numbers":
        return _densities(fit, [c for c in [*fit.couplings, *fit.quadratics] if not c.where])
    if kind == "sorted":
        return _sorted_couplings(found)
    if kind == "local":
        return _local(fit)
    mean, sd = _lambda(fit)
    shown = [i for i in (0, 1, 2) if np.any(sd[i] > 0)]
    names, positions = _point_names(fit)
    figure = Figure(figsize=(WIDTH, 1.2 + 5.2 / max(2, len(shown))), layout="constrained")
    panels = figure.subplots(2, len(shown), squeeze=False, sharex=True, sharey=True)
    powers = {0: r"$\phi(y)^4$", 1: r"$\phi(x)\,\phi(y)^3$", 2: r"$\phi(x)^2\phi(y)^2$"}
    full = sd[shown] > 0
    scales = (_scale(mean[shown][full], signed=True), _scale(sd[shown][full], signed=False))
    for column, i in zip(panels.T, shown, strict=True):
        empty = sd[i] == 0
        for panel, values, (norm, colours) in zip(column, (mean[i], sd[i]), scales, strict=True):
            _map(panel, np.ma.masked_array(values, empty), norm, colours, names)
        unresolved = np.argwhere(~empty & (np.abs(mean[i]) < 2.0 * sd[i]))
        if len(unresolved):
            marks = {"facecolors": "none", "edgecolors": "#111111", "linewidths": 0.9}
            halo = [withStroke(linewidth=2.4, foreground="#fefefe")]  # or a ring is lost on a dark cell
            column[0].scatter(
                unresolved[:, 1], unresolved[:, 0], s=22, label="|mean| < 2 sd", path_effects=halo, **marks
            )
        column[0].set_title(f"$\\lambda_{i}(x,y)$\n{powers[i]}", fontsize=8.5)
        column[1].set_xlabel(f"y {positions}")
    for row, what, (norm, _) in zip(panels, ("mean", "standard\ndeviation"), scales, strict=True):
        row[0].set_ylabel(f"x {positions}")
        _bar(list(row), what, norm)
    return figure


def _lambda(fit: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd of lambda_i(x,y), (i, x, y); where they are not kept, of one coupling over its weights."""
    if "derived" in fit.children:
        lam = fit.group("derived")["lam"]
        return lam.mean(("chain", "draw")).values, lam.std(("chain", "draw"), ddof=1).values
    weights = fit.constants["weights"].values
    found = fit.couplings
    parts = {site: [(c.mean, c.sd) for c in found if c.site == site] for site in ("g", "u", "v")}
    mean, sd = (
        gauge({site: np.array([row[k] for row in rows]) for site, rows in parts.items()}, weights) for k in (0, 1)
    )
    return mean, sd


def _densities(fit: Reading, found: Sequence[Coupling]) -> Figure:
    """A small panel each, three in a row."""
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(WIDTH, 0.5 + (2.2 if columns == 1 else 1.6) * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for panel, coupling in zip(panels, found, strict=False):
        _density(panel, fit.draws_of(coupling).ravel())
        panel.set_xlabel(f"${coupling.tex}$")
        panel.xaxis.set_major_locator(MaxNLocator(5 if columns == 1 else 3))
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, handlelength=1.4, columnspacing=1.2)
    return figure


def _density(panel: Axes, draws: np.ndarray) -> None:
    mean, sd = float(np.mean(draws)), float(np.std(draws, ddof=1))
    low, high = np.quantile(draws, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    grid = np.linspace(min(draws.min(), mean - 4 * sd), max(draws.max(), mean + 4 * sd), 400)
    density = stats.gaussian_kde(draws)(grid)
    panel.fill_between(
        grid, density, where=(grid >= low) & (grid <= high), color=BLUE, alpha=0.25, lw=0, label="interval"
    )
    panel.plot(grid, density, color=BLUE, label="posterior density")
    panel.axvline(mean, color=BLACK, lw=0.9, label="mean")
    if grid[0] - 3 * sd < 0.0 < grid[-1] + 3 * sd:
        panel.axvline(0.0, color=GREY, lw=0.7)
    panel.set_ylim(0.0, None)
    panel.set_yticks([])


def _sorted_couplings(found: Sequence[Coupling]) -> Figure:
    """One panel a degree: the units differ."""
    sites = dict.fromkeys(c.site for c in found)
    parts = [sorted((c for c in found if c.site == site), key=lambda c: -c.mean) for site in sites]
    parts = [[part[k] for k in thinned(len(part))] for part in parts]
    heights = [max(1.0, len(part) * row_height(len(part))) for part in parts]
    figure = Figure(figsize=(WIDTH, 0.8 * len(parts) + sum(heights)), layout="constrained")
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, part in zip(panels, parts, strict=True):
        letters = "abcdefgh"[: part[0].where.count(",") + 1] if part[0].where else ""
        _rows(panel, part, [indices(c.where) for c in part])
        panel.set_xlabel(f"${part[0].symbol.tex}_{{{letters}}}$" if letters else f"${part[0].symbol.tex}$")
        panel.set_ylabel(f"points {' '.join(letters)}" if letters else "")
    return figure


def _by_displacement(found: Sequence[Coupling]) -> Figure:
    """The couplings g at r = 0, u(r) and v(r): against r on a line, in rows on a lattice."""
    if any("," in c.where for c in found):
        figure = tall(len(found), header=0.8)
        panel = figure.subplots()
        _rows(panel, found, [f"${c.tex}$" for c in found])
        panel.set_xlabel("coupling")
        panel.xaxis.set_major_locator(MaxNLocator(5))
        return figure
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    panel = figure.subplots()
    panel.axhline(0.0, color=GREY, lw=0.7)
    looks = {"coupling": ("s", BLACK, "$g$"), "u": ("o", BLUE, "$u(r)$"), "v": ("D", ORANGE, "$v(r)$")}
    for site, (mark, colour, label) in looks.items():
        part = [c for c in found if c.site == site]
        if part:
            where = [int(c.where or 0) for c in part]
            mean, sd = np.array([(c.mean, c.sd) for c in part]).T
            panel.errorbar(where, mean, yerr=sd, fmt=mark, color=colour, ms=4.0, lw=1.2, label=label)
    panel.set_xlabel("displacement r")
    panel.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    figure.legend(loc="outside upper center", ncols=3, handletextpad=0.3)
    return figure


def _rows(panel: Axes, found: Sequence[Coupling], labels: Sequence[str]) -> None:
    """Mean and one sd, a coupling a row."""
    panel.axvline(0.0, color=GREY, lw=0.7)
    mean, sd = np.array([(c.mean, c.sd) for c in found]).T
    panel.errorbar(mean, np.arange(len(found)), xerr=sd, fmt="o", color=BLUE, ms=3.0, lw=1.0)
    label_rows(panel, labels, np.abs([c.z for c in found]))


def _local(fit: Reading) -> Figure:
    weights = fit.constants["weights"].values
    found = fit.couplings
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    panel = figure.subplots()
    places = fit.constants["x_position"].values
    line = places.shape[1] == 1
    where = places[:, 0] if line else np.arange(len(weights))
    mean, sd = np.array([(c.mean, c.sd) for c in found]).T / weights
    panel.axhline(0.0, color=GREY, lw=0.7)
    panel.errorbar(where, mean, yerr=sd, fmt="o", color=BLUE, ms=4.0, lw=1.2)
    panel.set_xlabel("x" if line else "point (number)")
    panel.set_ylabel(r"$\lambda(x)$")
    panel.set_xticks(where if len(where) <= 10 else where[:: len(where) // 8])
    return figure


def _scale(values: np.ndarray, *, signed: bool) -> tuple[Normalize, str]:
    """One scale for all maps of a row; logarithmic away from zero where a linear one would hide most cells."""
    sizes = np.abs(values)
    top, middle = float(sizes.max()), float(np.median(sizes))
    low, high = (-top, top) if signed else (0.0, 1.6 * top)
    norm = AsinhNorm(0.5 * middle, low, high) if top > 30.0 * middle else Normalize(low, high)
    return norm, "RdBu_r" if signed else "YlGnBu"


def _map(panel: Axes, values: np.ma.MaskedArray, norm: Normalize, colours: str, names: list[str]) -> None:
    """A matrix over pairs of points."""
    panel.imshow(values, cmap=colours, norm=norm)
    panel.set_facecolor("#dcdcdc")
    edges = np.arange(1, len(names)) - 0.5
    panel.hlines(edges, -0.5, len(names) - 0.5, color="white", lw=0.8)
    panel.vlines(edges, -0.5, len(names) - 0.5, color="white", lw=0.8)
    step = -(-len(names) // 6)
    crowded = sum(map(len, names[::step])) > 8
    panel.set_xticks(range(0, len(names), step), names[::step], rotation=90 if crowded else 0)
    panel.set_yticks(range(0, len(names), step), names[::step])
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)


def _bar(row: Sequence[Axes], what: str, norm: Normalize) -> None:
    """The colour bar of a row, its numbers whole at their ticks."""
    bar = row[-1].figure.colorbar(row[-1].images[0], ax=list(row), shrink=0.8, pad=0.02, aspect=14)
    bar.ax.minorticks_off()
    top, signed = float(norm.vmax or 0.0), float(norm.vmin or 0.0) < 0.0
    if isinstance(norm, AsinhNorm):
        decades = 10.0 ** np.arange(np.floor(np.log10(top)), np.log10(2.0 * norm.linear_width), -1.0)[:2]
        bar.set_ticks([*(-decades if signed else []), 0.0, *decades[::-1]])
    else:
        bar.ax.yaxis.set_major_locator(MaxNLocator(4, symmetric=signed))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_plain))  # a power of ten above the bar runs into the title
    bar.set_label(what)
    bar.outline.set_linewidth(0.4)


def _plain(value: float, _: object = None) -> str:
    """0.0025, −0.03, 5·10⁻⁶: the whole number at each tick, with no power of ten kept elsewhere."""
    if value == 0.0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    mantissa, power = f"{value:.3e}".split("e")
    return rf"${float(mantissa):g}{{\cdot}}10^{{{int(power)}}}$"


def _point_names(fit: Reading) -> tuple[list[str], str]:
    """Positions in one dimension, numbers otherwise."""
    places = fit.constants["x_position"].values
    if places.shape[1] == 1:
        return [f"{x:.3g}".replace("-", "−") for x in places[:, 0]], ""
    return [str(k) for k in range(len(places))], "(number)"
