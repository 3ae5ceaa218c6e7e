"""A variational posterior of the couplings, with a verdict on itself: how far its weights are from one.

A multivariate normal guide is fitted by stochastic gradients of the evidence bound (optax, Adam under a cosine
schedule) in the coordinates of `sampler.py`. log p - log q of its own draws are importance weights; their Pareto k-hat
says whether the guide may stand for the posterior: below .5 it is good, above .7 it is not (arXiv:1802.02538).
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.infer.initialization import init_to_value
from numpyro.infer.util import log_density

from ..estimators.khat import pareto_khat
from ..priors.likelihood import Numbers
from .sampler import Draws, Laws, Names, coordinates, sites_at, turned_model

__all__ = ["sample_variational"]

_STEPS, _PARTICLES, _RATE = 3000, 8, 3e-2
_WEIGHTS = 4000  # draws behind k-hat


def sample_variational(
    key: jax.Array, names: Names, laws: Laws, given: Numbers, *, chains: int, draws: int
) -> tuple[Draws, Draws, float]:
    """Independent draws of the fitted guide laid out as chains, their statistics, and k-hat; in double precision.

    Args:
        key: `jax.random.key(seed)`.
        names: couplings in the order of the terms, (name, how many).
        laws: priors that replace the default, (site, distribution).
        given: what the model is conditioned on.
        chains: of draws.
        draws: of each chain.

    Returns:
        Sites, {"lp", "log_weight"}, and the Pareto k-hat of 4000 importance weights.
    """
    origin, axes = coordinates(given, dict(laws))
    run = (_run if laws else _cached)(names, laws, chains, draws)
    posterior, stats, logs = run(key, given, jnp.asarray(origin), jnp.asarray(axes))
    logs = np.asarray(logs)
    khat = pareto_khat(np.exp(logs - logs.max()))
    return {k: np.asarray(v) for k, v in posterior.items()}, {k: np.asarray(v) for k, v in stats.items()}, khat


def _run(names: Names, laws: Laws, chains: int, draws: int) -> Any:
    model = turned_model(names, laws)
    schedule = optax.cosine_decay_schedule(_RATE, _STEPS, alpha=1e-2)

    @jax.jit
    def run(key: jax.Array, *arguments: Any) -> Any:
        size = len(arguments[1])
        start = init_to_value(values={"unit": jnp.zeros(size)})
        guide = AutoMultivariateNormal(model, init_loc_fn=start, init_scale=0.5)
        svi = SVI(model, guide, optax.adam(schedule), Trace_ELBO(num_particles=_PARTICLES))
        fit_key, draw_key, weight_key = jax.random.split(key, 3)
        state = svi.init(fit_key, *arguments)
        state, _ = jax.lax.scan(lambda s, _: (svi.update(s, *arguments)[0], None), state, None, length=_STEPS)
        law = guide.get_posterior(svi.get_params(state))

        def log_weight(unit: jax.Array) -> jax.Array:
            return log_density(model, arguments, {}, {"unit": unit})[0] - law.log_prob(unit)

        unit = law.sample(draw_key, (chains, draws))
        more = jax.vmap(log_weight)(law.sample(weight_key, (_WEIGHTS,)))
        sites = jax.lax.map(lambda chain: jax.vmap(lambda u: sites_at(model, u, *arguments))(chain), unit)
        logs = jax.lax.map(jax.vmap(log_weight), unit)
        return sites, {"lp": logs + jax.vmap(jax.vmap(law.log_prob))(unit), "log_weight": logs}, more

    return run


@lru_cache(maxsize=16)
def _cached(names: Names, laws: Laws, chains: int, draws: int) -> Any:
    return _run(names, laws, chains, draws)
