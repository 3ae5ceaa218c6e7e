"""fit(data, action) -> the posterior of an effective action's couplings, as a labelled tree ArviZ understands.

S = 1/2 phi P phi + quadratic terms + interaction (`models.actions`). The couplings belong to this set of points:
another set has other couplings. Two choices are orthogonal: the `method`, where the equations A theta = b and their
noise come from (`methods/method.py`), and the `sampler`, how the posterior under the priors is drawn. The tree has
ArviZ's groups and saves to one NetCDF file that reloads identical. Exact correlators have no error to make a posterior
of: they give a `point` instead, or with `as_if_n` the posterior that as many networks would give.

    posterior, prior        the couplings by the names of the action: g, u, v, q, ..
    derived                 lam (i, x, y), the same couplings as lambda_i(x,y) in one gauge, zeros included
                            (`az.summary(fit, group="derived")`)
    unconstrained_posterior white coordinates of the sampler
    sample_stats            of the sampler
    log_prior, log_likelihood   of the draws, for power scaling (`az.psense_summary`); the likelihood of estimating
                            equations is one density and leaves no network out: only that of method "gold" is per
                            network, for `an.loo`, and is power-scaled by `an.prior_sensitivity`
    predictions             G2 and G4 of the draws at tree level, and G4_loop with one loop more: no noise
    posterior_predictive, prior_predictive   G2 and G4 as measured again, with the joint noise of the data. A coupling
                            has seen the components that fix it: their p-values crowd at 1/2
    observed_data           G2 and the connected G4, or T, the means of the terms of a fit to fields without them
    constant_data           errors of the observed, points, weights, metric, equations
    correlators             all orders that were measured
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

from ...models.actions.base import AbstractAction
from ...models.actions.ladder import action_words
from ...models.actions.monomials import dense
from ...models.combinatorics import sorted_tuples
from ...models.correlators import Correlators
from ...models.refusals import nearest
from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.ensemble import Ensemble, check_key
from ..ensembles.samples import Samples
from ..equations.from_moments import Equations
from ..estimators.measure import about_source
from ..methods.gold import sample_gold
from ..methods.method import estimate, per_network, verdict_attrs
from ..methods.problem import Problem, prepare
from ..priors.likelihood import Numbers, coupling_model, gaussian_posterior, log_likelihood, log_prior, numbers
from ..priors.program import marginal
from ..priors.structured import is_structured, sample_structured, structured_program
from .labels import draws_group, label_point, label_tree
from .predict import predict, replicated
from .sampler import sample_closed, sample_posterior, sample_prior
from .variational import sample_variational

__all__ = ["fit", "model"]


SAMPLERS = ("nuts", "closed", "svi")
_NUTS_TERMS = 100  # up to here chains of 1500 steps take less than a second once compiled, beyond it many
_PREDICT_POINTS = 10  # four-point diagrams of hundreds of draws take M^4 numbers each


@settled(None)
def fit(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    key: jax.Array,
    method: str = "score",
    sampler: str | None = None,
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
        action: a rung of the ladder, `Constant()` to `FullSextic()`, `TranslationInvariant(shape)`, `Modes(count)`,
            `SmoothBilocal()`, `LowRankBilocal(rank)`. Quartic actions of at most ten points are fitted to correlators,
            all others to the fields themselves.
        key: `jax.random.key(seed)`.
        method: "score" (any action), "pseudo" or "gold" (actions with a density, from fields) or "tree" (baseline).
        sampler: "nuts"; "closed", independent draws where the prior is Gaussian; "svi", a variational guide with its
            k-hat. Default "nuts"; beyond 100 terms "closed" wherever the posterior is Gaussian, that is with the
            default prior and any method but "gold".
        metric: W of score matching, (point, point), fixed before the data; default the exact kernel of the model, else
            the two-point function of held-out networks; beyond 24 points, and on lattices, its diagonal.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        prior: site "quadratic" or "quartic" -> NumPyro distribution in scaled fields, instead of the default;
            "amplitude", "length", "discrepancy" of the smooth action.
        prior_scale: s of the default prior (prior.py): 1 is worth one network, on a lattice one site, where the field
            is near Gaussian, and never more than ten of its own.
        as_if_n: with exact correlators of a network: the posterior this many networks would give on average, their
            scatter measured on 65,536 networks drawn with the key.
        chains: number of chains, run vectorised.
        warmup: steps of each chain to find its step size.
        draws: draws kept of each chain.
        progress: bars for long passes.

    Raises:
        ValueError: odd correlators in an even fit, too few networks, a Gram matrix that cannot be inverted, refused
            moments, `as_if_n` for correlators that have errors; a likelihood asked of an unbounded action.

    Example, the couplings of infinitely many networks:
        >>> import jax, numpy as np
        >>> from nnft import models as m
        >>> truth = m.exact(m.Network(m.Cos(), width=50), np.array([[-1.0], [1.0]]))
        >>> tree = fit(truth, m.Bilocal(), key=jax.random.key(0))
        >>> tree["point"]["v"].values.round(4).tolist()
        [-0.0395]
    """
    check_key(key)
    options = {"metric": metric, "weights": weights, "prior_scale": prior_scale, "progress": progress}
    sample_key, prior_key = jax.random.split(key)
    chosen = _sampler(sampler, action, prior)
    problem = prepare(data, action, as_if_n=as_if_n, key=jax.random.fold_in(key, 1), **options)
    if np.isinf(problem.equations.networks):
        return label_point(problem, _provenance(problem, key))
    found = estimate(method, problem, key=jax.random.fold_in(key, 2), progress=progress)
    gaussian = found.reference is None and not prior and not is_structured(action)
    if sampler is None and gaussian and len(problem.factors) > _NUTS_TERMS:
        chosen = "closed"
    attrs: dict[str, Any] = {"method": method, "sampler": chosen, "warmup": warmup, "prior_scale": prior_scale}
    attrs |= dict(found.attrs) | ({} if as_if_n is None else {"as_if_n": int(as_if_n)})
    laws = dict(prior or {})
    groups: dict[str, xr.Dataset] = {}
    constants = dict(found.constants)
    with settled():
        sizes = {"chains": chains, "draws": draws}
        if is_structured(action):
            posterior, stats, before = _structured(sample_key, problem, found.equations, laws, warmup, **sizes)
        else:
            names, given = problem.names, _numbers(problem, found.equations)
            replaced = tuple(laws.items())
            if chosen == "closed":
                posterior, stats = sample_closed(sample_key, names, given, **sizes)
            elif chosen == "svi":
                posterior, stats, khat = sample_variational(sample_key, names, replaced, given, **sizes)
                attrs["guide_khat"] = khat
            elif found.reference is not None and found.means is not None:
                gold = sample_gold(
                    sample_key,
                    names,
                    replaced,
                    given,
                    found.reference,
                    found.means,
                    found.equations.networks,
                    warmup=warmup,
                    **sizes,
                )
                posterior, stats = gold.posterior, gold.stats
                attrs |= verdict_attrs(gold.verdict, gold.effective, gold.khat)
            else:
                posterior, stats = sample_posterior(sample_key, names, replaced, given, warmup=warmup, **sizes)
            before = sample_prior(prior_key, names, replaced, given, draws=min(draws, 1000))
            theta = _scaled(problem, posterior)
            groups["log_prior"] = draws_group({"couplings": log_prior(problem.prior, laws, theta)}, {})
            groups["log_likelihood"] = draws_group(log_likelihood(given, theta), {})
            if not laws:
                centre, covariance = gaussian_posterior(found.equations, problem.prior)
                constants |= {
                    "closed_mean": ("term", centre / problem.factors),
                    "closed_sd": ("term", np.sqrt(np.diag(covariance)) / problem.factors),
                }
    if method == "gold":
        groups["log_likelihood"] = per_network(problem, found, _scaled(problem, posterior))
    groups["constant_data"] = xr.Dataset(constants)
    expected = _predictions(problem, posterior)
    predictions = {"predictions": expected}
    if expected and problem.data is not None:
        noise_key, first_key = jax.random.fold_in(key, 3), jax.random.fold_in(key, 4)
        predictions["posterior_predictive"] = replicated(expected, problem.data, key=noise_key)
        predictions["prior_predictive"] = replicated(_predictions(problem, before), problem.data, key=first_key)
    provenance = _provenance(problem, key) | attrs
    return label_tree(problem, found.equations, posterior, stats, before, predictions, provenance, groups)


@settled(None)
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

    Arguments as in `fit`. Sites in `likelihood.coupling_model`; `nnft.configure(x64=True)` first. Of an action whose
    prior has structure the model holds what NUTS moves: amplitudes, lengths, discrepancies, or the products.
    """
    problem = prepare(data, action, metric=metric, weights=weights, prior_scale=prior_scale)
    if is_structured(action):
        given = marginal(problem.equations, problem.prior)
        return partial(structured_program(action, problem.points, dict(prior or {})).hyper, given)
    return partial(coupling_model(problem.names, prior), _numbers(problem, problem.equations))


def _sampler(sampler: str | None, action: AbstractAction, prior: Any) -> str:
    """The sampler to begin with, if it can do what is asked."""
    if sampler is not None and sampler not in SAMPLERS:
        raise ValueError(
            f"expected sampler among {SAMPLERS}, got {sampler!r}; try {nearest(sampler, list(SAMPLERS))!r}"
        )
    if sampler in ("closed", "svi") and is_structured(action):
        raise ValueError(
            f"expected sampler='nuts' for {type(action).__name__}, whose hyper-parameters have no closed posterior, "
            f"got {sampler!r}; try leaving it out"
        )
    if sampler == "closed" and prior:
        raise ValueError("expected the default Gaussian prior for sampler='closed', got others; try sampler='nuts'")
    return sampler or "nuts"


def _numbers(problem: Problem, eq: Equations) -> Numbers:
    return numbers(eq, problem.factors, problem.prior)


def _structured(
    key: jax.Array, problem: Problem, eq: Equations, laws: dict[str, Any], warmup: int, *, chains: int, draws: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Physical couplings of an action whose prior has structure, statistics, and the prior's draws."""
    given = marginal(eq, problem.prior)
    action = problem.action
    assert is_structured(action)
    after, stats, before = sample_structured(
        key, action, given, problem.points, laws, chains=chains, warmup=warmup, draws=draws
    )
    q = problem.quadratic
    quartic = before.pop("quartic_scaled")
    theta_before = np.concatenate([np.broadcast_to(problem.prior.centre2, (*quartic.shape[:2], q)), quartic], axis=-1)
    theta_before[..., :q] -= quartic @ problem.prior.shift.T
    return {**_couplings(problem, after.pop("theta")), **after}, stats, {**_couplings(problem, theta_before), **before}


def _couplings(problem: Problem, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Physical couplings by name from scaled ones, (chain, draw, term)."""
    physical = theta / problem.factors
    edges = np.cumsum([count for _, count in problem.names])[:-1]
    return dict(zip((name for name, _ in problem.names), np.split(physical, edges, axis=-1), strict=True))


def _scaled(problem: Problem, posterior: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([posterior[name] for name, _ in problem.names], axis=-1) * problem.factors


def _predictions(problem: Problem, posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Correlators of the draws by diagrams, where the action is quartic and the points are few."""
    count = len(problem.points)
    if problem.action.degree > 4 or count > _PREDICT_POINTS or problem.data is None or 4 not in problem.data.cumulants:
        return {}
    names = problem.action.quadratic_blocks(count)
    q = np.concatenate([posterior[name] for name in names], axis=-1) @ dense(problem.action.quadratic(count), count)
    fixed = problem.action.fixed(count)
    if fixed is not None:
        pairs = sorted_tuples(count, 2)
        q = q + np.where(pairs[:, 0] == pairs[:, 1], 0.5, 1.0) * fixed[tuple(pairs.T)]
    return predict(problem.two_point, {**posterior, "q": q}, problem.action, problem.weights)


def _provenance(problem: Problem, key: jax.Array) -> dict[str, Any]:
    packages = {name: version(name) for name in ("jax", "numpyro", "arviz", "numpy")}
    about = about_source(problem.source) if problem.data is None else problem.data.about
    return {
        **action_words(problem.action),
        "metric_from": problem.metric_from,
        "networks": float(problem.equations.networks),
        "key": str(np.asarray(jax.random.key_data(key)).tolist()),
        "python": sys.version.split()[0],
        **{f"{name}_version": number for name, number in packages.items()},
        **{name: str(value) for name, value in about.items()},
    }
