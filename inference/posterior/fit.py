"""fit(data, action) -> the posterior of an effective action's couplings, as a labelled tree ArviZ understands.

S = 1/2 phi P phi + quadratic terms + interaction (`models.actions`). The couplings belong to this set of points:
another set has other couplings. Three choices are orthogonal: the `method`, where the equations A theta = b and their
noise come from (`methods/method.py`), the `prior` of the couplings (`priors/prior.py`), and the `sampler`, how the
posterior is drawn (`sampler.py`). The tree has ArviZ's groups and saves to one NetCDF file that reloads identical.
Exact correlators have no error to make a posterior of: they give a `point` instead, or with `as_if_n` the posterior
that as many networks would give.

    posterior, prior        the couplings by the names of the action: g, u, v, q, ..
    derived                 lam (i, x, y), the same couplings as lambda_i(x,y) in one gauge, zeros included
                            (`az.summary(fit, group="derived")`)
    unconstrained_posterior white coordinates of the sampler
    sample_stats            of the sampler
    log_prior, log_likelihood   of the draws, for power scaling (`az.psense_summary`); the likelihood of estimating
                            equations is one density and leaves no network out: only that of method "gold" is per
                            network, for `an.loo`, and is power-scaled by `an.prior_sensitivity`
    predictions             G2 and G4 of the draws at tree level, and G4_loop with one loop more: no noise; of an action
                            with odd terms G1 and G3 too, about the mean of the data
    posterior_predictive, prior_predictive   G2 and G4 as measured again, with the joint noise of the data. A coupling
                            has seen the components that fix it: their p-values crowd at 1/2
    observed_data           G2 and the connected G4, or T, the means of the terms of a fit to fields without them
    constant_data           errors of the observed, points, weights, metric, equations
    correlators             all orders that were measured
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import wraps
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
from ...models.runtime import settled
from ...models.theories.recipes import described
from ...models.types import Vector
from ..ensembles.ensemble import Ensemble, check_key
from ..ensembles.samples import Samples
from ..methods.method import AbstractLikelihood, AbstractMethod
from ..methods.problem import Problem, prepare
from ..priors.density import Setting
from ..priors.prior import AbstractPrior
from .labels import draws_group, label_point, label_tree
from .predict import predict, predict_about_mean, replicated
from .sampler import AbstractSampler
from .words import Method, Sampler, kept_words, method_of, prior_of, sampler_of

__all__ = ["fit", "model"]


_PREDICT_POINTS = 10  # four-point diagrams of hundreds of draws take M^4 numbers each
_BEFORE = 1000  # draws of the prior at most
_MOVED = {  # options that fit once had itself, and the object that has them now
    "chains": "sampler=inf.Nuts({})",
    "warmup": "sampler=inf.Nuts({})",
    "draws": "sampler=inf.Nuts({})",
    "prior_scale": "prior=inf.UnitInformation({})",
    "metric": "method=inf.Score({})",
    "executor": "inf.fit(inf.Parts(ensemble, {}), action, key=key)",
}


def _with_moved[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Refuse options that have moved into an object, with their new spelling."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        moved: dict[str, list[str]] = {}
        for name in kwargs.keys() & _MOVED.keys():
            inside = "scale" if name == "prior_scale" else name
            value = kwargs[name] if isinstance(kwargs[name], int | float) else "..."
            moved.setdefault(_MOVED[name], []).append(f"{inside}={value}")
        if moved:
            names = ", ".join(sorted(kwargs.keys() & _MOVED.keys()))
            spelt = ", ".join(new.format(", ".join(sorted(options))) for new, options in moved.items())
            raise ValueError(f"expected options inside the object they belong to, got {names} beside it; try {spelt}")
        return function(*args, **kwargs)

    return checked


@_with_moved
@settled(None)
def fit(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    key: jax.Array,
    method: AbstractMethod | Method = "score",
    sampler: AbstractSampler | Sampler | None = None,
    prior: AbstractPrior | Mapping[str, dist.Distribution] | None = None,
    weights: Vector | None = None,
    as_if_n: int | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """Posterior of the couplings of `action` given correlators of any maker, theta = A^-1 b where they are exact.

    Args:
        data: `inf.measure(...)` in any space, or an ensemble or samples to measure, or `Correlators.from_arrays` with a
            covariance, or `m.exact(...)`, which gives a tree with the group `point` and no draws.
        action: a rung of the ladder, `Constant()` to `FullSextic()`, `TranslationInvariant(shape)`, `Modes(count)`.
            Quartic actions of at most ten points are fitted to correlators, all others to the fields themselves.
        key: `jax.random.key(seed)`.
        method: `inf.Score(metric=None)` (any action), `inf.Pseudo()` or `inf.Gold(reference=20)` (actions with a
            density, from fields), `inf.TreeLevel()` (baseline), or a word for one with its defaults.
        sampler: `inf.Nuts(chains=4, warmup=500, draws=1000)`; `inf.Closed(chains, draws)`, independent draws where the
            posterior is Gaussian; `inf.Variational(chains, draws)`, a guide with its k-hat; or a word. Default: NUTS,
            beyond 100 terms exact draws wherever the posterior is Gaussian (`inf.Automatic`).
        prior: `inf.UnitInformation(scale=1.0)`, worth one network (on a lattice one site, where the field is near
            Gaussian) and never more than ten of its own; `inf.Given({"quartic": law})`; `inf.SmoothPrior()`,
            `inf.LowRankPrior(rank)` of a bilocal action. Distributions by site alone replace parts of the default.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        as_if_n: with exact correlators of a network: the posterior this many networks would give on average, their
            scatter measured on 65,536 networks drawn with the key.
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
    how, believed, drawing = method_of(method), prior_of(prior), sampler_of(sampler)
    drawing.check(believed)
    options = {"metric": how.metric, "weights": weights, "prior_scale": believed.scale, "progress": progress}
    problem = prepare(data, action, as_if_n=as_if_n, key=jax.random.fold_in(key, 1), **options)
    if np.isinf(problem.equations.networks):
        return label_point(problem, _provenance(problem, key))
    found = how.likelihood(problem, key=jax.random.fold_in(key, 2), progress=progress)
    sample_key, names = jax.random.split(key)[0], [name for name, _ in problem.names]
    with settled():
        posterior = believed.posterior(_setting(problem, found))
        drawn = drawing.draw(sample_key, posterior)
        after = posterior.sites(drawn.unit, sample_key)
        before = posterior.before(key, min(drawn.unit.shape[1], _BEFORE))
        theta = np.concatenate([after[name] for name in names], axis=-1) * problem.factors
        attrs = {"method": how.word, "sampler": drawing.word, "prior": believed.word, "prior_scale": believed.scale}
        attrs |= kept_words(how, drawing)
        attrs |= {k: v for k, v in (("prior_name", believed.name), ("prior_meaning", believed.meaning)) if v}
        made = {"method": how, "sampler": drawing, "prior": believed}
        attrs["made_with"] = json.dumps({name: described(one) for name, one in made.items()})
        attrs |= {**drawn.attrs, **found.attrs, **found.judged(theta)}
        attrs |= {} if as_if_n is None else {"as_if_n": int(as_if_n)}
        groups = {"constant_data": xr.Dataset({**found.constants, **posterior.constants()})}
        if scaled := posterior.log_prior(theta):
            groups["log_prior"] = draws_group(scaled, {})
        if scaled or not found.gaussian:  # of equations it serves power scaling alone, which takes both
            groups["log_likelihood"] = found.of_draws(problem, theta)
    predictions = {"predictions": (expected := _predictions(problem, after))}
    if expected and problem.data is not None:
        noise_key, first_key = jax.random.fold_in(key, 3), jax.random.fold_in(key, 4)
        predictions["posterior_predictive"] = replicated(expected, problem.data, key=noise_key)
        predictions["prior_predictive"] = replicated(_predictions(problem, before), problem.data, key=first_key)
    provenance, shown = _provenance(problem, key) | attrs, believed.shown
    return label_tree(problem, found.equations, after, drawn.stats, before, predictions, provenance, groups, shown)


@_with_moved
@settled(None)
def model(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    method: AbstractMethod | Method = "score",
    prior: AbstractPrior | Mapping[str, dist.Distribution] | None = None,
    weights: Vector | None = None,
    key: jax.Array | None = None,
) -> Callable[[], None]:
    """The posterior as a NumPyro model of no arguments, for any kernel or guide; run it in double precision.

    Arguments as in `fit`; the key is that of a method that draws. Sites in `likelihood.coupling_model`;
    `nnft.configure(x64=True)` first. Of a prior with parameters of its own the model holds what NUTS moves: amplitudes,
    lengths, discrepancies, or the products.

    Raises:
        ValueError: what `fit` refuses.

    Example; `numpyro.infer.MCMC(numpyro.infer.NUTS(posterior), ...)` draws it:
        >>> import numpyro
        >>> from nnft import inference as inf, models as m
        >>> ens = inf.Ensemble(m.Network(m.Cos(), 20), points=np.zeros((1, 1)), n=2000, key=jax.random.key(0))
        >>> posterior = inf.model(ens, m.Local())
        >>> with jax.enable_x64(True):
        ...     sites = numpyro.handlers.trace(numpyro.handlers.seed(posterior, jax.random.key(1))).get_trace()
        >>> [name for name, site in sites.items() if site["type"] == "sample" and not site["is_observed"]]
        ['quartic_white', 'quadratic_white']
    """
    how, believed = method_of(method), prior_of(prior)
    problem = prepare(data, action, metric=how.metric, weights=weights, prior_scale=believed.scale)
    found = how.likelihood(problem, key=jax.random.fold_in(jax.random.key(0) if key is None else key, 2))
    with settled():
        return believed.program(_setting(problem, found))


def _setting(problem: Problem, found: AbstractLikelihood) -> Setting:
    """What a prior needs to make a posterior."""
    return Setting(
        names=problem.names,
        labels=problem.action.blocks(len(problem.points)),
        points=problem.points,
        factors=problem.factors,
        unit=problem.prior,
        equations=found.equations,
        data=found.observed(),
        gaussian=found.gaussian,
    )


def _predictions(problem: Problem, posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Correlators of the draws by diagrams, where the action is quartic and the points are few."""
    count = len(problem.points)
    if problem.action.degree > 4 or count > _PREDICT_POINTS or problem.data is None or 4 not in problem.data.cumulants:
        return {}
    if not problem.action.even:
        odd = {1, 3} <= problem.data.moments.keys()
        return predict_about_mean(problem.data, posterior, problem.action, problem.weights) if odd else {}
    names = problem.action.quadratic_blocks(count)
    q = np.concatenate([posterior[name] for name in names], axis=-1) @ dense(problem.action.quadratic(count), count)
    fixed = problem.action.fixed(count)
    if fixed is not None:
        pairs = sorted_tuples(count, 2)
        q = q + np.where(pairs[:, 0] == pairs[:, 1], 0.5, 1.0) * fixed[tuple(pairs.T)]
    return predict(problem.two_point, {**posterior, "q": q}, problem.action, problem.weights)


def _provenance(problem: Problem, key: jax.Array) -> dict[str, Any]:
    packages = {name: version(name) for name in ("jax", "numpyro", "arviz", "numpy")}
    return {
        **action_words(problem.action),
        "metric_from": problem.metric_from,
        "networks": float(problem.equations.networks),
        "key": str(np.asarray(jax.random.key_data(key)).tolist()),
        "python": sys.version.split()[0],
        **{f"{name}_version": number for name, number in packages.items()},
        **{name: str(value) for name, value in problem.about.items()},
    }
