"""The couplings of a fit one by one: each with its name, its posterior beside its prior, and how well it was sampled.

The identifiable ones, by the names of the action: g_a, u_ab, v_ab of a bilocal action, g_abcd and g_abcdef of full
ones, g, u(r), v(r) of a lattice by displacement r; the quadratic part and the hyper-parameters of a smooth prior on
request. Intervals are equal-tailed and hold 89 %, ArviZ's default.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import xarray as xr

from ...models.actions.base import AbstractAction, Symbol
from ...models.actions.ladder import action_of
from ...models.types import Matrix, Vector

__all__ = [
    "HYPER",
    "INTERVAL",
    "Coupling",
    "action",
    "check_fit",
    "couplings",
    "draws_of",
    "errors",
    "field_scale",
    "from_fields",
    "group",
    "hyper_parameters",
    "indices",
    "interaction_names",
    "look",
    "markov",
    "quadratic_names",
    "two_point",
]

INTERVAL = 0.89
HYPER = ("amplitude", "length", "discrepancy")  # of the smooth prior, one a block of couplings
_HYPER_SYMBOLS = {"amplitude": Symbol("a"), "length": Symbol(r"\ell"), "discrepancy": Symbol("d")}


class Coupling(NamedTuple):
    """One coupling: its site, its labels ("0,1"), and the numbers a table or a figure shows.

    where: point labels, empty for a single number; a displacement where its symbol says so; of a hyper-parameter the
    block. symbol: how the action writes it.
    bias: what tree level leaves out, mean less truth, of a fit by method "tree"; else nan.
    """

    site: str
    where: str
    mean: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    ess: float
    rhat: float
    bias: float = float("nan")
    symbol: Symbol = Symbol("")

    @property
    def z(self) -> float:
        """Posterior mean in units of its standard deviation."""
        return self.mean / self.sd if self.sd > 0 else 0.0

    @property
    def step(self) -> bool:
        """Whether it belongs to a displacement, and not to points."""
        return self.symbol.step

    @property
    def text(self) -> str:
        """As in `fit["posterior"]`: u[0,1]; u(1,0) of a displacement; the one quartic coupling is lambda."""
        if not self.where:
            return self.symbol.plain or self.site
        return f"{self.site}({self.where})" if self.step else f"{self.site}[{self.where}]"

    @property
    def tex(self) -> str:
        """In TeX."""
        if not self.where:
            return self.symbol.tex
        return f"{self.symbol.tex}({self.where})" if self.step else f"{self.symbol.tex}_{{{indices(self.where)}}}"


def check_fit(fit: Any) -> None:
    """Refuse what is no tree: correlators and ensembles come before a fit, not in place of it.

    Raises:
        ValueError: something else than what `inf.fit` returns.
    """
    if not isinstance(fit, xr.DataTree):
        raise ValueError(
            f"expected a fit, the tree that inf.fit returns, got {type(fit).__name__}; "
            "try inf.fit(data, models.Bilocal(), key=jax.random.key(0)) first"
        )


def group(fit: xr.DataTree, name: str) -> xr.Dataset:
    """One group of the tree as a dataset."""
    check_fit(fit)
    if name not in fit.children:
        advice = "inf.fit(..., as_if_n=100_000) for draws" if "point" in fit.children else "a fit of inf.fit"
        raise ValueError(f"expected a fit with {name}, got a tree of {', '.join(fit.children)}; try {advice}")
    return fit.children[name].to_dataset()


def errors(fit: xr.DataTree, name: str) -> Vector:
    """One standard error of what was observed, "G2", "G4" or "T", (component,)."""
    constants = group(fit, "constant_data")  # files of earlier versions keep errors beside the data
    return (constants if f"{name}_error" in constants else group(fit, "observed_data"))[f"{name}_error"].values


def from_fields(fit: xr.DataTree) -> bool:
    """Whether the fit averaged its terms over the fields themselves, and not over given correlators."""
    return any("T_error" in group(fit, name) for name in ("constant_data", "observed_data"))


def indices(where: str) -> str:
    """Point labels without commas where no label has two digits.

    >>> indices("0,0,1,2"), indices("0,0,1,12")
    ('0012', '0,0,1,12')
    """
    parts = where.split(",")
    return "".join(parts) if all(len(part) == 1 for part in parts) else where


def action(fit: xr.DataTree) -> AbstractAction:
    """The action that was fitted."""
    check_fit(fit)
    return action_of({str(name): value for name, value in fit.attrs.items()})


def interaction_names(fit: xr.DataTree) -> list[str]:
    """Names of the interaction's couplings in the order of the terms; at one point there are no u and v."""
    return list(action(fit).blocks(group(fit, "constant_data").sizes["x"]))


def look(fit: xr.DataTree) -> str:
    """How its couplings are shown: "maps" over pairs of points, "local", "by displacement", "numbers" or "sorted"."""
    one, points = action(fit), group(fit, "constant_data").sizes["x"]
    dims = {one.labels(points)[name][0] for name in one.blocks(points)}
    if any(one.symbol(name).step for name in one.blocks(points)):
        return "by displacement"
    if dims == {"constant"}:
        return "numbers"
    if dims == {"x", "ordered_pair", "cross_pair"}:
        return "maps" if points > 1 else "local"
    return "local" if dims == {"x"} else "sorted"


def quadratic_names(fit: xr.DataTree) -> list[str]:
    """Names of the couplings of the quadratic part, which come first among the terms."""
    return list(action(fit).quadratic_blocks(group(fit, "constant_data").sizes["x"]))


def markov(fit: xr.DataTree) -> bool:
    """Whether the draws are those of Markov chains, and not independent."""
    return str(fit.attrs.get("sampler", "nuts")) == "nuts"


def two_point(fit: xr.DataTree) -> Matrix:
    """K of a fit, (point, point); on a lattice from its first row, the average over sites."""
    constants = group(fit, "constant_data")
    if "metric" in constants:  # files of fits before the two were told apart hold the metric alone
        return constants["two_point" if "two_point" in constants else "metric"].values
    one, row = action(fit), constants["two_point"].values
    box = one.lattice
    if box is None:
        raise ValueError(f"expected a fit with K, got one of {one.name} without; try fitting again")
    sites = np.stack(np.unravel_index(np.arange(len(row)), box), axis=1)
    steps = (sites[None] - sites[:, None]) % np.array(box)
    return row[np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), box)]


def field_scale(fit: xr.DataTree) -> Vector:
    """Standard deviation of the field at each point, (point,)."""
    constants = group(fit, "constant_data")
    if "metric" in constants:
        return np.sqrt(np.diag(two_point(fit)))
    return np.full(constants.sizes["x"], np.sqrt(constants["two_point"].values[0]))


def couplings(fit: xr.DataTree, *, quadratic: bool = False) -> list[Coupling]:
    """The couplings of the interaction, then on request the quadratic ones, in the order of the action's terms."""
    names = [*interaction_names(fit), *(quadratic_names(fit) if quadratic else [])]
    constants = group(fit, "constant_data")
    bias = dict[str, np.ndarray]()
    if "truncation_bias" in constants:
        physical = constants["truncation_bias"].values / constants["factors"].values
        order = [*quadratic_names(fit), *interaction_names(fit)]
        sizes = [group(fit, "posterior").sizes[group(fit, "posterior")[name].dims[2]] for name in order]
        bias = dict(zip(order, np.split(physical, np.cumsum(sizes)[:-1]), strict=True))
    one = action(fit)
    return [c for name in names for c in _site(fit, name, one.symbol(name), bias.get(name))]


def hyper_parameters(fit: xr.DataTree) -> list[Coupling]:
    """Amplitude, length and discrepancy of a smooth prior, one a block of couplings; empty for other actions."""
    return [
        c for name in HYPER if name in group(fit, "posterior") for c in _site(fit, name, _HYPER_SYMBOLS[name], None)
    ]


def draws_of(fit: xr.DataTree, coupling: Coupling) -> np.ndarray:
    """The draws of one coupling, (chain, draw)."""
    values = group(fit, "posterior")[coupling.site].transpose("chain", "draw", ...)
    labels = list(values[values.dims[2]].values.astype(str))
    return values.values[..., labels.index(coupling.where) if coupling.where else 0]


def _site(fit: xr.DataTree, site: str, symbol: Symbol, bias: np.ndarray | None) -> list[Coupling]:
    posterior, prior = group(fit, "posterior"), group(fit, "prior")
    if site not in posterior or not posterior[site].size:
        return []
    values = posterior[site].transpose("chain", "draw", ...)
    before = prior[site].transpose("chain", "draw", ...)
    columns = _columns(_Content(np.asarray(values.values), np.asarray(before.values)))
    single = values.dims[2] == "constant"
    labels = [""] if single else values[values.dims[2]].values.astype(str)
    lost = np.full(values.shape[2], np.nan) if bias is None else bias
    rows = zip(labels, *columns, lost, strict=True)
    return [Coupling(site, str(w), *map(float, row), symbol=symbol) for w, *row in rows]


class _Content:
    """Arrays compared by a digest of their content: a page asks for the same draws two dozen times."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays: tuple[np.ndarray, ...] = arrays
        digests = (blake2b(np.ascontiguousarray(array), digest_size=16).digest() for array in arrays)
        self.key = tuple((array.shape, array.dtype.str, digest) for array, digest in zip(arrays, digests, strict=True))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self.key == other.key


@lru_cache(maxsize=32)
def _columns(draws: _Content) -> tuple[np.ndarray, ...]:
    """The numbers of `Coupling` for every entry of a site, from its draws after and before the data."""
    after, before = draws.arrays
    draws.arrays = ()  # what is remembered is the digest and the numbers, not the draws of a fit that is gone
    tail = 0.5 * (1.0 - INTERVAL)
    posterior = az.dict_to_dataset({"value": after})
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move; `diagnose` says so
        rhat, ess = az.rhat(posterior)["value"].values, az.ess(posterior)["value"].values
    low, high = np.quantile(after, [tail, 1.0 - tail], axis=(0, 1))
    mean, sd = np.mean(after, axis=(0, 1)), np.std(after, axis=(0, 1), ddof=1)
    return mean, sd, low, high, np.mean(before, axis=(0, 1)), np.std(before, axis=(0, 1), ddof=1), ess, rhat
