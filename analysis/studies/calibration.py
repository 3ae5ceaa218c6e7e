"""Is a posterior calibrated? The table, the figure and the files of one recovery of planted couplings.

The figure shows for each coupling, and for all together, how far the empirical distribution of u = (rank + U)/(L + 1)
strays from the diagonal, in the band that uniform numbers leave anywhere once in a thousand recoveries (T. Sailynoja,
P. Burkner and A. Vehtari, arXiv:2103.10522); below it nominal against actual coverage (`inference.recovery`).
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...inference.calibration.planted import planted_chain, planted_mixture, planted_site
from ...inference.calibration.planted_bilocal import KINDS, planted_bilocal
from ...inference.calibration.recovery import JOINT, SHAPE, Recovery
from ...inference.calibration.uniformity import ecdf_band
from ...models.refusals import nearest
from ..figures.canvas import BLUE, GREY, ORANGE, WIDTH, Figure, styled
from ..pages.report import plain

__all__ = [
    "LEVEL",
    "calibration_table",
    "check_files",
    "planted_named",
    "plot_calibration",
    "verdict",
    "write_calibration",
]

LEVEL = 1e-3  # family-wise false-alarm rate of the verdict
FILES = ("calibration.json", "calibration.png", "recovery.nc")
_PANELS = 24  # of the figure: the couplings of lowest p-value come first
_DPI = 150

_MAKERS: dict[str, Callable[..., Recovery]] = {
    "chain": planted_chain,
    "site": planted_site,
    "mixture": planted_mixture,
    **{kind: partial(planted_bilocal, kind) for kind in KINDS},
}


def planted_named(name: str, *, n: int | None = None) -> Recovery:
    """The ready recovery of that name: chain, site, mixture, lat or rbf.

    Raises:
        ValueError: an unknown name, or too few fields.

    >>> planted_named("mixture", n=5000).about["n"]
    5000
    """
    if name not in _MAKERS:
        raise ValueError(
            f"expected planted couplings among {', '.join(_MAKERS)}, got {name!r}; try {nearest(name, list(_MAKERS))!r}"
        )
    if n is not None and n < 20:
        raise ValueError(f"expected at least 20 fields in a simulation, got {n}; try --n 1000")
    return _MAKERS[name](**({} if n is None else {"n": n}))


def verdict(tree: xr.DataTree) -> bool:
    """Whether every p-value, of each coupling, of all together and of their shape, is above its share of the level."""
    p = np.array([float(value) for value in _values(tree, "p_value").values()])
    return bool(np.nanmin(p) > LEVEL / np.sum(np.isfinite(p)))


def calibration_table(tree: xr.DataTree) -> str:
    """What a recovery found, a line a coupling: p-value in the simultaneous band and coverage at each level.

    Raises:
        ValueError: a tree that no recovery made.

    Example, the mean of four Gaussian numbers with its exact posterior:
        >>> import jax, jax.numpy as jnp
        >>> import numpyro.distributions as dist
        >>> from nnft import inference as inf
        >>> mean = inf.Recovery(
        ...     ("a", "b"),
        ...     dist.Normal(jnp.zeros(2), 0.5).to_event(1),
        ...     lambda key, theta: theta + jax.random.normal(key, (4, 2)),
        ...     {"exact": lambda key, x, draws: 0.5 * x.mean(0) + jax.random.normal(key, (draws, 2)) / 8**0.5},
        ... )
        >>> tree = inf.recover(mean, "exact", key=jax.random.key(1), simulations=20, draws=19)
        >>> calibration_table(tree).splitlines()[-1]
        'calibrated at a false-alarm rate of 0.001'
        >>> len(plot_calibration(tree).axes)
        4
    """
    about = tree.attrs
    levels = tree["coverage"].dataset["level"].values
    title = f"{about.get('planted', 'planted couplings')}, {about['method']}: {about['simulations']} simulations"
    fields = f" of {about['n']} fields" if "n" in about else ""
    lines = [
        f"{title}{fields}, {about['draws']} posterior draws each",
        "",
        f"{'coupling':<10}{'p in band':>11}" + "".join(f"{f'{level:.0%}':>8}" for level in levels),
    ]
    p = _values(tree, "p_value")
    for name, coverage in _values(tree, "coverage").items():
        row = "".join(f"{value:>8.1%}" for value in coverage)
        lines.append(f"{name:<10}{float(p[name]):>11.2g}{row}")
    shape = float(p[SHAPE])
    result = "too few simulations for its test" if np.isnan(shape) else f"p = {shape:.2g}"
    lines += [
        "",
        f"shape of the posterior (mean and covariance of the whitened truth): {result}",
        f"{'calibrated' if verdict(tree) else 'not calibrated'} at a false-alarm rate of {LEVEL:g}",
    ]
    return "\n".join(lines)


@styled
def plot_calibration(tree: xr.DataTree) -> Figure:
    """Distribution of u minus the diagonal in its simultaneous band, a panel a coupling, and the coverages."""
    sbc, p, coverage = (_values(tree, group) for group in ("prior_sbc", "p_value", "coverage"))
    names = sorted(sbc, key=lambda name: (name != JOINT, float(p[name])))[:_PANELS]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 1.6 * rows + 2.6), layout="constrained")
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[1.0] * rows, 1.6])
    simulations = sbc[JOINT].size
    z, low, high = ecdf_band(simulations, LEVEL / len(names))
    for k, name in enumerate(names):
        panel = figure.add_subplot(grid[k // columns, k % columns])
        u = np.sort(sbc[name].ravel())
        strayed = np.searchsorted(u, z, side="right") / simulations - z
        inside = bool(np.all((strayed >= low - z) & (strayed <= high - z)))
        panel.fill_between(z, low - z, high - z, color=GREY, alpha=0.3, linewidth=0)
        panel.axhline(0.0, color=GREY, linewidth=0.7)
        panel.plot(z, strayed, color=BLUE if inside else ORANGE, drawstyle="steps-post")
        panel.set_title(f"{name}, p = {float(p[name]):.2g}", loc="left")
        panel.set_xticks([0, 0.5, 1])
    panel = figure.add_subplot(grid[rows, :])
    levels, few = tree["coverage"].dataset["level"].values, len(names) < 6
    for name in names:
        style: dict[str, Any] = {"color": BLUE, "marker": "o"} if name == JOINT else {"color": GREY, "marker": "."}
        panel.plot(levels, coverage[name], linewidth=0.8, label=name if few else None, **style)
    panel.plot([0.4, 1.0], [0.4, 1.0], color=ORANGE, linewidth=0.8, linestyle="--")
    panel.set_xlabel("nominal coverage")
    panel.set_ylabel("actual")
    if few:
        panel.legend()
    return figure


def write_calibration(tree: xr.DataTree, folder: str | Path, *, force: bool = False) -> Path:
    """Write calibration.json, calibration.png and the tree, recovery.nc, into a folder; the path of the JSON.

    Raises:
        ValueError: one of the files is there already and `force` is not given.
    """
    folder = check_files(folder, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {
        "about": tree.attrs,
        "calibrated": verdict(tree),
        "false_alarm": LEVEL,
        "levels": tree["coverage"].dataset["level"].values,
    }
    summary |= {name: _values(tree, name) for name in ("p_value", "coverage", "coverage_p")}
    (folder / FILES[0]).write_text(json.dumps(plain(summary), indent=2) + "\n", encoding="utf-8")
    plot_calibration(tree).savefig(folder / FILES[1], dpi=_DPI)
    tree.to_netcdf(folder / FILES[2], engine="netcdf4")
    return folder / FILES[0]


def check_files(folder: str | Path, *, force: bool = False) -> Path:
    """Whether `write_calibration` may write there, asked before any long work; the full path of the folder.

    Raises:
        ValueError: as `write_calibration`.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected a folder, got the file {str(folder)!r}; try another name")
    if not force and (there := [name for name in FILES if (folder / name).exists()]):
        raise ValueError(
            f"expected a folder without a calibration, got {there[0]} in {str(folder)!r}; try another name, or --force"
        )
    return folder


def _values(tree: xr.DataTree, name: str) -> dict[str, np.ndarray]:
    """The variables of one group."""
    return {str(variable): values.values for variable, values in tree[name].dataset.data_vars.items()}
