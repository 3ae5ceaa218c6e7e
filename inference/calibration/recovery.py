"""Plant couplings, simulate fields, fit them again: does the truth lie in the posterior as often as it says?

Simulation-based calibration: theta from a prior, fields from theta, L draws of the posterior from the fields. If the
posterior is the right one, the rank of each planted coupling among its draws is uniform on 0 .. L (S. Talts et al.,
arXiv:1804.06788), and so is the rank of its Mahalanobis distance, which tests all couplings together. Ranks are kept
as u = (rank + U)/(L + 1), U uniform, which is exactly uniform on (0, 1) whatever L; they are tested with the
simultaneous band of `uniformity`, the coverage of intervals and ellipsoids with the binomial law. A distance is blind
to a covariance of right size and wrong shape; so the truth whitened by its posterior, z, must have mean zero and
covariance one: Hotelling's test of all its first and second moments, `shape`.

For the exact posterior this holds at every n. A generalised posterior, as the sandwich-calibrated one of score
matching, has the right width and shape only as the number n of fields grows: there SBC holds in the limit, and a
recovery says whether n is large enough. At fixed couplings (no prior) only coverage as n grows is claimed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from jaxtyping import Array
from scipy import stats
from tqdm import tqdm

from ...models.distance import hotelling
from ...models.refusals import nearest
from ...models.runtime import settled
from ...models.types import Vector
from ..engines.executors import Executor, each
from ..ensembles.ensemble import check_key
from .uniformity import uniformity

__all__ = ["JOINT", "LEVELS", "SHAPE", "Recovery", "recover"]

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
JOINT, SHAPE = "joint", "shape"  # the rank of the Mahalanobis distance, and the test of the whitened truth
_PARTS = 16  # jobs of an executor: each compiles its programs
_REPLICATES = 10  # simulations a moment of the whitened truth: its test is not made with fewer


@dataclass(frozen=True)
class Recovery:
    """What is planted, how fields come from it, and the posteriors to be tested.

    Attributes:
        names: of the couplings, in the order of theta.
        prior: a NumPyro distribution of theta, (parameter,), or fixed couplings.
        simulator: (key, theta) -> fields (n, M), or any other data the posteriors take.
        posteriors: method -> (key, data, L) -> draws (L, parameter).
        traced: all are JAX functions of fixed shapes, run by jit(vmap(...)) in double precision; False: plain Python.
        about: what the reader should know (n, sites, ...), kept with the result.
    """

    names: tuple[str, ...]
    prior: dist.Distribution | Vector
    simulator: Callable[[jax.Array, Any], Any]
    posteriors: Mapping[str, Callable[[jax.Array, Any, int], Any]]
    traced: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)


@settled(None)
def recover(
    recovery: Recovery,
    method: str,
    *,
    key: jax.Array,
    simulations: int = 1000,
    draws: int = 255,
    batch: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """Simulate, refit and rank: whether a posterior is calibrated, one coupling at a time and all together.

    Args:
        recovery: a ready one (`planted_chain`, `planted_site`, `planted_bilocal`, `planted_mixture`) or one's own.
        method: which of its posteriors.
        key: the same key plants the same couplings and fields for every method.
        simulations: how often.
        draws: L of each posterior.
        batch: simulations computed side by side, where they are traced.
        executor: any `concurrent.futures` executor simulates, in up to 16 parts; the keys, and so the numbers, are
            those of this process. The recovery travels to it: a ready one is made of functions inside functions, which
            Dask sends and processes of Python alone do not.
        progress: a bar, where they are not traced, or of the parts.

    Returns:
        A tree with variables by the names of the couplings, and `joint`: `prior_sbc`, u with dims (chain, draw), as
        `arviz.plot_ecdf_pit` reads it, a draw being a simulation; `prior` (what was planted), `rank`, `estimate`
        (posterior mean), `error` (posterior standard deviation), `whitened` (z), with the same dims; `p_value` (of u in
        the simultaneous band, and `shape`, NaN from too few simulations); `coverage` and `coverage_p` (of central
        intervals and of ellipsoids, on `level`, with the two-sided binomial p-value). attrs: method, simulations,
        draws, `about` of the recovery.

    Raises:
        ValueError: an unknown method, too few simulations or draws, draws of a wrong shape or not finite; a recovery
            that cannot be sent to the workers of an executor.

    The posterior of a Gaussian mean with its prior, exact, is calibrated; one that is too narrow by two is not:

        >>> def posterior(shrink):
        ...     return lambda key, x, draws: 0.5 * x.mean(0) + shrink * jax.random.normal(key, (draws, 2)) / 8**0.5
        >>> mean = Recovery(
        ...     ("a", "b"),
        ...     dist.Normal(jnp.zeros(2), 0.5).to_event(1),
        ...     lambda key, theta: theta + jax.random.normal(key, (4, 2)),
        ...     {"exact": posterior(1.0), "narrow": posterior(0.5)},
        ... )
        >>> for method in mean.posteriors:
        ...     tree = recover(mean, method, key=jax.random.key(1), simulations=200, draws=63)
        ...     print(method, [name for name, p in tree["p_value"].items() if p < 1e-3])
        exact []
        narrow ['a', 'b', 'joint', 'shape']
    """
    check_key(key)
    size = len(recovery.names)
    if method not in recovery.posteriors:
        known = list(recovery.posteriors)
        raise ValueError(f"expected a method among {', '.join(known)}, got {method!r}; try {nearest(method, known)!r}")
    if simulations < 20 or draws < max(19, 2 * size):
        raise ValueError(
            f"expected at least 20 simulations and {max(19, 2 * size)} draws of {size} couplings, got {simulations} "
            f"and {draws}; try simulations=1000, draws=255"
        )
    if {JOINT, SHAPE} & {*recovery.names} or len(set(recovery.names)) < size:
        raise ValueError(f"expected different names, not {JOINT} or {SHAPE}, got {recovery.names}; try m2, lam")
    with settled():
        keys = np.asarray(jax.random.key_data(jax.random.split(key, simulations)))
    parts = np.array_split(keys, 1 if executor is None else min(_PARTS, simulations))
    jobs = [(recovery, method, part, draws, batch, progress and executor is None) for part in parts]
    made = each(executor, _simulated, jobs, progress=progress and executor is not None, what="simulations")
    results = _Columns(*(np.concatenate(column) for column in zip(*made, strict=True)))
    if bad := int(np.sum(~np.all(np.isfinite(results.whitened), axis=1))):
        raise ValueError(
            f"expected finite posterior draws that spread in every direction, got {bad} of {simulations} simulations "
            "without; try more fields"
        )
    about = {"method": method, "simulations": simulations, "draws": draws, **dict(recovery.about)}
    return _tree(recovery.names, results, about)


def _simulated(
    recovery: Recovery, method: str, key_data: np.ndarray, draws: int, batch: int, progress: bool
) -> tuple[np.ndarray, ...]:
    """The columns of some simulations, by their keys."""
    posterior, size = recovery.posteriors[method], len(recovery.names)
    with settled():
        keys = jax.random.wrap_key_data(jnp.asarray(key_data), impl="threefry2x32")

        def planted(key: jax.Array) -> tuple[Any, Any]:
            theta_key, data_key, posterior_key, rank_key = jax.random.split(key, 4)
            theta = _planted(recovery, theta_key)
            sample = posterior(posterior_key, recovery.simulator(data_key, theta), draws)
            if np.shape(sample) != (draws, size):
                raise ValueError(
                    f"expected posterior draws of shape {(draws, size)}, got {np.shape(sample)}; try (draw, parameter)"
                )
            return theta, (sample, rank_key)

        def judged(key: jax.Array) -> tuple[Any, ...]:
            theta, (sample, rank_key) = planted(key)
            return theta, *_ranked(rank_key, theta, sample)

        if recovery.traced:
            columns = jax.jit(lambda keys: jax.lax.map(judged, keys, batch_size=batch))(keys)
        else:
            rank = jax.jit(_ranked)
            rows = []
            for one in tqdm(range(len(keys)), desc="recovery", delay=2.0, disable=not progress, leave=False):
                theta, (sample, rank_key) = planted(keys[one])
                rows.append((theta, *rank(rank_key, jnp.asarray(theta), jnp.asarray(sample))))
            columns = [np.stack(column) for column in zip(*rows, strict=True)]
        return tuple(np.asarray(column) for column in columns)


def _planted(recovery: Recovery, key: jax.Array) -> Any:
    """Couplings for one simulation: from the prior, or the fixed ones."""
    if not isinstance(recovery.prior, dist.Distribution):
        return np.asarray(recovery.prior, dtype=float)
    theta = jnp.asarray(recovery.prior.sample(key), dtype=float)
    if theta.shape != (len(recovery.names),):
        raise ValueError(
            f"expected a prior of {len(recovery.names)} couplings, got draws of shape {theta.shape}; try "
            "dist.Normal(...).to_event(1)"
        )
    return theta


class _Columns(NamedTuple):
    """One row a simulation, (simulation, parameter), with a last column for `joint` in rank and uniform."""

    theta: np.ndarray
    rank: np.ndarray
    uniform: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    whitened: np.ndarray


def _ranked(key: jax.Array, theta: Array, sample: Array) -> tuple[Array, ...]:
    """Ranks and u of each coupling and of all together; the posterior's mean, standard deviation, and z of the truth.

    The Mahalanobis distances are taken in mean and covariance of the draws and the truth together, which treats them
    alike: their rank is uniform for any right posterior, Gaussian or not. Ties are broken at random.
    """
    count, size = sample.shape
    pool = jnp.concatenate([theta[None], sample])
    distance = jnp.sum(_whiten(pool, pool) ** 2, axis=1)
    values = jnp.concatenate([pool, distance[:, None]], axis=1)
    tie_key, inside_key = jax.random.split(key)
    below = jnp.sum(values[1:] < values[0], axis=0)
    equal = jnp.sum(values[1:] == values[0], axis=0)
    ties = jnp.floor(jax.random.uniform(tie_key, below.shape) * (equal + 1)).astype(below.dtype)
    rank = below + ties
    uniform = (rank + jax.random.uniform(inside_key, rank.shape)) / (count + 1.0)
    # mean and covariance of L draws scatter, which alone would give z the variance that is divided out here
    scatter = (1.0 + 1.0 / count) * (count - 1.0) / (count - size - 2.0)
    whitened = _whiten(sample, theta[None])[0] / scatter**0.5
    return rank, uniform, sample.mean(axis=0), sample.std(axis=0, ddof=1), whitened


def _whiten(sample: Array, values: Array) -> Array:
    """Values in units in which the sample has mean zero and covariance one, (value, parameter)."""
    centred = sample - sample.mean(axis=0)
    root = jnp.linalg.cholesky(centred.T @ centred / (len(sample) - 1.0))
    return jax.scipy.linalg.solve_triangular(root, (values - sample.mean(axis=0)).T, lower=True).T


def _shape(z: np.ndarray) -> float:
    """Hotelling's p-value of mean zero and covariance one of z, (simulation, parameter), over all their entries."""
    count, size = z.shape
    rows, columns = np.triu_indices(size)
    moments = np.concatenate([z, z[:, rows] * z[:, columns] - (rows == columns)], axis=1)
    k = moments.shape[1]
    if count < _REPLICATES * k:
        return np.nan
    mean = moments.mean(axis=0)
    square = count * mean @ np.linalg.solve(np.cov(moments.T).reshape(k, k), mean)
    return hotelling(square, k, count - 1.0)


def _tree(couplings: tuple[str, ...], results: _Columns, about: Mapping[str, Any]) -> xr.DataTree:
    names = (*couplings, JOINT)
    simulations = len(results.theta)
    coords = {"chain": [0], "draw": np.arange(simulations)}

    def columns(values: np.ndarray) -> xr.Dataset:
        given = zip(names, values.T, strict=False)  # most have none for `joint`
        return xr.Dataset({name: (("chain", "draw"), column[None]) for name, column in given}, coords)

    def levels(of: Callable[[np.ndarray, float], float]) -> xr.Dataset:
        values = {
            name: ("level", [of(u if name == JOINT else np.abs(2.0 * u - 1.0), level) for level in LEVELS])
            for name, u in zip(names, results.uniform.T, strict=True)
        }
        return xr.Dataset(values, {"level": list(LEVELS)})

    def binomial(u: np.ndarray, level: float) -> float:
        return float(stats.binomtest(int(np.sum(u < level)), simulations, level).pvalue)

    p_values = {name: uniformity(u) for name, u in zip(names, results.uniform.T, strict=True)}
    groups = {
        "prior": columns(results.theta),
        "prior_sbc": columns(results.uniform),
        "rank": columns(results.rank),
        "estimate": columns(results.mean),
        "error": columns(results.spread),
        "whitened": columns(results.whitened),
        "p_value": xr.Dataset(p_values | {SHAPE: _shape(results.whitened)}),
        "coverage": levels(lambda u, level: float(np.mean(u < level))),
        "coverage_p": levels(binomial),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(about)
    return tree
