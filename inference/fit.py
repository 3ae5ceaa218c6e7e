"""fit(data, action) -> the posterior of an effective action's couplings, as a labelled tree ArviZ understands.

S = sum_{a<=b} q_ab phi_a phi_b + quartic terms (`models.actions`). The couplings belong to this set of points:
another set has other couplings. The tree holds `posterior` (lam, g, u, v, q), `sample_stats`, `prior`,
`posterior_predictive` and `observed_data` (the connected four-point function G4 on dim quad), `constant_data`
(points, weights, metric, equations) and `correlators`; it saves to one NetCDF file and reloads identical.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from numpyro.infer import MCMC, NUTS, Predictive

from ..models.actions import AbstractAction
from ..models.correlators import Correlators
from ..models.types import Matrix, Vector
from .ensembles import Ensemble
from .labels import label_tree
from .likelihood import coupling_model, gaussian_posterior
from .predict import predict
from .problem import Problem, prepare
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
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    progress: bool = False,
) -> xr.DataTree:
    """Posterior of the couplings of `action` given measured correlators.

    Args:
        data: `inf.measure(...)`, or an ensemble or samples to measure, or `Correlators.from_arrays` with a covariance.
        action: `Constant()`, `Local()`, `Bilocal()` or `FullQuartic()`.
        key: `jax.random.key(seed)`.
        metric: W of score matching, (point, point), fixed before the data; default the exact kernel of the model, else
            the two-point function of held-out networks.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        prior: site "quadratic" or "quartic" -> NumPyro distribution in scaled fields, instead of the default.
        prior_scale: s of the default prior (likelihood.py): 1 is worth one network.
        chains: number of NUTS chains, run vectorised.
        warmup: steps of each chain to find its step size.
        draws: draws kept of each chain.
        progress: bars for long passes.

    Raises:
        ValueError: odd correlators in an even fit, too few networks, a Gram matrix that cannot be inverted, refused
            moments, exact correlators (they have no error to make a posterior of).
    """
    problem = prepare(data, action, metric=metric, weights=weights, prior_scale=prior_scale, progress=progress)
    sample_key, prior_key = jax.random.split(key)
    with jax.enable_x64(True):
        program = coupling_model(problem.equations, problem.basis, action, problem.weights, problem.prior, prior)
        posterior, stats = _nuts(program, problem, prior or {}, sample_key, chains, warmup, draws, progress)
        before = Predictive(program, num_samples=min(draws, 1000))(prior_key)
        before = {name: np.asarray(value)[None] for name, value in before.items() if name != "equations"}
    return _tree(problem, posterior, stats, before, key)


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
    return coupling_model(problem.equations, problem.basis, action, problem.weights, problem.prior, prior)


def _nuts(
    program: Callable[[], None],
    problem: Problem,
    override: Mapping[str, Any],
    key: jax.Array,
    chains: int,
    warmup: int,
    draws: int,
    progress: bool,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """NUTS in coordinates whitened by the expected posterior: its covariance is the inverse mass matrix, not
    adapted.
    """
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    q = len(problem.basis.pairs)
    to_site = np.linalg.inv(problem.prior.factor)
    for k, name in enumerate(("quadratic", "quartic")):
        if name in override:
            part = slice(0, q) if k == 0 else slice(q, None)
            to_site[part] = np.eye(len(centre))[part]
    offset = problem.prior.mean * np.repeat(
        [name not in override for name in ("quadratic", "quartic")], [q, len(centre) - q]
    )
    names = [name if name in override else f"{name}_white" for name in ("quadratic", "quartic")]
    mean, spread = to_site @ (centre - offset), to_site @ covariance @ to_site.T
    start_key, run_key = jax.random.split(key)
    noise = jax.random.normal(start_key, (chains, len(mean)))
    start = mean + 2.0 * noise @ np.linalg.cholesky(spread).T  # twice as wide as the posterior, for R-hat
    kernel = NUTS(
        program,
        inverse_mass_matrix={tuple(names): jax.numpy.asarray(spread)},
        dense_mass=[tuple(names)],  # pyright: ignore[reportArgumentType]
        adapt_mass_matrix=False,
        target_accept_prob=0.8,
    )
    mcmc = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=progress,
    )
    fields = ("diverging", "energy", "num_steps", "accept_prob", "potential_energy")
    mcmc.run(run_key, init_params={names[0]: start[:, :q], names[1]: start[:, q:]}, extra_fields=fields)
    samples = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
    extra = {name: np.asarray(value) for name, value in mcmc.get_extra_fields(group_by_chain=True).items()}
    names_of = {"num_steps": "n_steps", "accept_prob": "acceptance_rate", "potential_energy": "lp"}
    stats = {names_of.get(str(name), str(name)): value for name, value in extra.items()}
    stats["lp"] = -stats["lp"]
    return samples, stats


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
