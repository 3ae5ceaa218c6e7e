"""A variational posterior of the couplings, with a verdict on itself: how far its weights are from one.

A multivariate normal guide is fitted by stochastic gradients of the evidence bound (optax, Adam under a cosine
schedule) in the coordinates of `sampler.py`. log p - log q of its own draws are importance weights; their Pareto k-hat
says whether the guide may stand for the posterior: below .5 it is good, above .7 it is not (arXiv:1802.02538).
"""

from collections.abc import Callable
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
from ..priors.density import AbstractPosterior
from ..priors.prior import AbstractPrior
from .sampler import AbstractSampler, Drawn, SamplerWords

__all__ = ["Variational"]

_STEPS, _PARTICLES, _RATE = 3000, 8, 3e-2
_WEIGHTS = 4000  # draws behind k-hat


class Variational(AbstractSampler):
    """Independent draws of a fitted normal guide, laid out as chains; the tree says its k-hat, `guide_khat`.

    Args:
        chains: how many.
        draws: of each.

    Raises:
        ValueError: under a prior with parameters of its own, whose posterior no normal guide follows.

    Example:
        >>> Variational(draws=2000).word
        'svi'
    """

    chains: int = 4
    draws: int = 1000

    @property
    def word(self) -> str:
        return "svi"

    @property
    def said(self) -> SamplerWords:
        return SamplerWords("guide", "independent ones from the variational guide")

    def check(self, prior: AbstractPrior) -> None:
        if not prior.affine:
            raise ValueError(
                f"expected sampler='nuts' for {type(prior).__name__}, whose parameters no normal guide follows, got "
                "'svi'; try leaving it out"
            )

    def draw(self, key: jax.Array, posterior: AbstractPosterior) -> Drawn:
        run = _run(posterior.program, posterior.size, self.chains, self.draws)
        unit, stats, logs = jax.tree.map(np.asarray, run(key, *posterior.arguments))
        return Drawn(unit, stats, {"guide_khat": pareto_khat(np.exp(logs - logs.max()))})


@lru_cache(maxsize=16)
def _run(model: Callable[..., None], size: int, chains: int, draws: int) -> Any:
    """(key, *numbers) -> draws, their statistics, and 4000 importance weights."""
    schedule = optax.cosine_decay_schedule(_RATE, _STEPS, alpha=1e-2)

    @jax.jit
    def run(key: jax.Array, *arguments: Any) -> Any:
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
        logs = jax.lax.map(jax.vmap(log_weight), unit)
        return unit, {"lp": logs + jax.vmap(jax.vmap(law.log_prob))(unit), "log_weight": logs}, more

    return run
