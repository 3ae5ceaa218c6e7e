"""fit(data, action) -> the posterior of an effective action's couplings, as a labelled tree ArviZ understands.

S = sum_{a<=b} q_ab phi_a phi_b + quartic terms (`models.actions`). The couplings belong to this set of points:
another set has other couplings. The tree holds `posterior` (lam, g, u, v, q), `sample_stats`, `prior`,
`posterior_predictive` and `observed_data` (the connected four-point function G4 on dim quad), `constant_data`
(points, weights, metric, equations) and `correlators`; it saves to one NetCDF file and reloads identical. Exact
correlators have no error to make a posterior of: they give a `point` instead, or with `as_if_n` the posterior that as
many networks would give.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr

from ..models.actions import AbstractAction
from ..models.correlators import Correlators
from ..models.types import Matrix, Vector
from .ensembles import Ensemble
from .labels import label_point, label_tree
from .likelihood import Numbers, coupling_model, numbers
from .predict import predict
from .problem import Problem, prepare
from .sampler import sample_posterior, sample_prior
from .samples import Samples

__all__ = ["fit", "model"]


def fit(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    key: jax.Array,
    metric: Matrix | None = None,
    weights: Vector | None = None,
    prior: Mapping[str, dist.Distribution] | None = None,
    prior_scale: float = 1.0,
    as_if_n: int | None = None,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    progress: bool = False,
) -> xr.DataTree:
    """Posterior of the couplings of `action` given correlators of any maker, theta = A^-1 b where they are exact.

    Args:
        data: `inf.measure(...)` in any space, or an ensemble or samples to measure, or `Correlators.from_arrays` with a
            covariance, or `m.exact(...)`, which gives a tree with the group `point` and no draws.
        action: `Constant()`, `Local()`, `Bilocal()` or `FullQuartic()`.
        key: `jax.random.key(seed)`.
        metric: W of score matching, (point, point), fixed before the data; default the exact kernel of the model, else
            the two-point function of held-out networks.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        prior: site "quadratic" or "quartic" -> NumPyro distribution in scaled fields, instead of the default.
        prior_scale: s of the default prior (likelihood.py): 1 is worth one network.
        as_if_n: with exact correlators of a network: the posterior this many networks would give on average, their
            scatter measured on 65,536 networks drawn with the key.
        chains: number of NUTS chains, run vectorised.
        warmup: steps of each chain to find its step size.
        draws: draws kept of each chain.
        progress: bars for long passes.

    Raises:
        ValueError: odd correlators in an even fit, too few networks, a Gram matrix that cannot be inverted, refused
            moments, `as_if_n` for correlators that have errors.

    Example, the couplings of infinitely many networks:
        >>> import jax, numpy as np
        >>> from nnft import models as m
        >>> truth = m.exact(m.Network(m.Cos(), width=50), np.array([[-1.0], [1.0]]))
        >>> tree = fit(truth, m.Bilocal(), key=jax.random.key(0))
        >>> tree["point"]["v"].values.round(4).tolist()
        [-0.0395]
    """
    options = {"metric": metric, "weights": weights, "prior_scale": prior_scale, "progress": progress}
    sample_key, prior_key = jax.random.split(key)
    problem = prepare(data, action, as_if_n=as_if_n, key=jax.random.fold_in(key, 1), **options)
    if np.isinf(problem.equations.networks):
        return label_point(problem, _provenance(problem, key))
    with jax.enable_x64(True):
        shape = (_names(problem), tuple((prior or {}).items()))
        given = _numbers(problem)
        posterior, stats = sample_posterior(sample_key, *shape, given, chains=chains, warmup=warmup, draws=draws)
        before = sample_prior(prior_key, *shape, given, draws=min(draws, 1000))
    tree = _tree(problem, posterior, stats, before, key)
    tree.attrs |= {"warmup": warmup, "prior_scale": prior_scale}
    if as_if_n is not None:
        tree.attrs["as_if_n"] = int(as_if_n)
    return tree


def model(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    metric: Matrix | None = None,
    weights: Vector | None = None,
    prior: Mapping[str, dist.Distribution] | None = None,
    prior_scale: float = 1.0,
) -> Callable[[], None]:
    """The posterior as a NumPyro model of no arguments, for any kernel or guide; run it in double precision.

    Arguments as in `fit`. Sites in `likelihood.coupling_model`; `nnft.configure(x64=True)` first.
    """
    problem = prepare(data, action, metric=metric, weights=weights, prior_scale=prior_scale)
    return partial(coupling_model(_names(problem), prior), _numbers(problem))


def _names(problem: Problem) -> tuple[tuple[str, int], ...]:
    return tuple((name, len(labels)) for name, labels in problem.action.blocks(len(problem.weights)).items())


def _numbers(problem: Problem) -> Numbers:
    return numbers(problem.equations, problem.basis, problem.action, problem.weights, problem.prior)


def _tree(
    problem: Problem,
    posterior: dict[str, np.ndarray],
    stats: dict[str, np.ndarray],
    before: dict[str, np.ndarray],
    key: jax.Array,
) -> xr.DataTree:
    predictions = predict(problem.metric, posterior, problem.action, problem.weights)
    return label_tree(problem, posterior, stats, before, predictions, _provenance(problem, key))


def _provenance(problem: Problem, key: jax.Array) -> dict[str, Any]:
    packages = {name: version(name) for name in ("jax", "numpyro", "arviz", "numpy")}
    return {
        "action": type(problem.action).__name__,
        "metric_from": problem.metric_from,
        "networks": float(problem.equations.networks),
        "key": str(np.asarray(jax.random.key_data(key)).tolist()),
        "python": sys.version.split()[0],
        **{f"{name}_version": number for name, number in packages.items()},
        **{k: str(v) for k, v in problem.data.about.items()},
    }
