"""Samplers: how the posterior of the couplings is drawn. NUTS (arXiv:1111.4246), or exactly where it is Gaussian.

A sampler moves in the coordinates of a posterior (`priors/density.py`) and returns them; what they mean is not its
concern. All numbers of a fit are arguments of one compiled program, which serves every later fit of the same shape.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpyro.infer import NUTS

from ..fields.chains import advanced
from ..priors.affine import random
from ..priors.density import AbstractPosterior
from ..priors.prior import AbstractPrior

__all__ = ["AbstractSampler", "Automatic", "Closed", "Drawn", "Nuts", "SamplerWords", "nuts"]

_NUTS_TERMS = 100  # up to here chains of 1500 steps take less than a second once compiled, beyond it many


class Drawn(NamedTuple):
    """What a sampler returns.

    unit: coordinates of the posterior, (chain, draw, size); stats: name -> (chain, draw), for `sample_stats`; attrs:
    what the tree says of the run.
    """

    unit: Float[np.ndarray, "chain draw size"]
    stats: dict[str, np.ndarray]
    attrs: dict[str, Any]


class SamplerWords(NamedTuple):
    """What a page says of a sampler.

    name: short, "NUTS", "guide".
    draws: what its draws are, after "the draws are".
    why: what is to be said of their quality, where nothing is measured; a sentence.
    markov: whether they are those of Markov chains, and asked for R-hat and effective numbers.
    exact: whether they are those of the closed posterior, and not held against it.
    """

    name: str
    draws: str
    why: str = ""
    markov: bool = False
    exact: bool = False

    @classmethod
    def plain(cls, name: str) -> "SamplerWords":
        """What is said of a sampler that says nothing."""
        why = f"Nothing here judges the draws of the sampler {name}: hold them against those of NUTS."
        return cls(name, f"those of the sampler {name}", why)


class AbstractSampler(eqx.Module):
    """A way to draw from a posterior; its options are its fields.

    Example, exact draws of a posterior whose coordinates are standard normal:
        >>> class Plain(AbstractSampler):
        ...     def draw(self, key, posterior):
        ...         unit = jax.random.normal(key, (4, 1000, posterior.size))
        ...         return Drawn(unit, {"lp": jax.vmap(jax.vmap(posterior.log_density))(unit)}, {})
        >>> Plain().word
        'Plain'
    """

    def __check_init__(self) -> None:
        for name in ("chains", "warmup", "draws"):  # those of them that it has
            number = getattr(self, name, 1)
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
                made = type(self).__name__
                raise ValueError(f"expected {name} of {made} to be an integer >= 1, got {number!r}; try {made}()")

    @abstractmethod
    def draw(self, key: jax.Array, posterior: AbstractPosterior) -> Drawn:
        """Draws of the posterior, in double precision."""

    @property
    def word(self) -> str:
        """What a fit calls it."""
        return type(self).__name__

    @property
    def said(self) -> SamplerWords:
        """What a page says of it."""
        return SamplerWords.plain(self.word)

    def check(self, prior: AbstractPrior) -> None:
        """Refuse a prior it cannot draw under, before any work.

        Raises:
            ValueError: such a prior.
        """


class Nuts(AbstractSampler):
    """The No-U-Turn sampler, for any prior and method.

    Args:
        chains: run at once, begun apart, for R-hat.
        warmup: steps of each chain to find its step size, thrown away.
        draws: steps kept of each chain.

    Raises:
        ValueError: fewer than one of each.
    """

    chains: int = 4
    warmup: int = 500
    draws: int = 1000

    @property
    def word(self) -> str:
        return "nuts"

    @property
    def said(self) -> SamplerWords:
        return SamplerWords("NUTS", "those of Markov chains", markov=True)

    def draw(self, key: jax.Array, posterior: AbstractPosterior) -> Drawn:
        start, keys = posterior.begin(key, self.chains)
        run = nuts(posterior.program, posterior.turned, self.warmup, self.draws)
        unit, stats = run(keys, start, *posterior.arguments)
        return Drawn(np.asarray(unit), {k: np.asarray(v) for k, v in stats.items()}, {"warmup": self.warmup})


class Closed(AbstractSampler):
    """Independent draws of the closed posterior that the default prior and the equations have, laid out as chains.

    Args:
        chains: how many.
        draws: of each.

    Raises:
        ValueError: under another prior, which has no closed posterior.
    """

    chains: int = 4
    draws: int = 1000

    @property
    def word(self) -> str:
        return "closed"

    @property
    def said(self) -> SamplerWords:
        why = "The posterior is Gaussian, and its draws are independent: there are no chains to converge."
        return SamplerWords("the closed form", "independent ones from the closed posterior", why, exact=True)

    def check(self, prior: AbstractPrior) -> None:
        if not prior.gaussian:
            raise ValueError(
                f"expected the default Gaussian prior for sampler='closed', got {type(prior).__name__}; try "
                "sampler='nuts'"
            )

    def draw(self, key: jax.Array, posterior: AbstractPosterior) -> Drawn:
        white = random(key).standard_normal((self.chains, self.draws, posterior.size))
        return Drawn(posterior.spread(white), {"lp": -0.5 * np.sum(white**2, axis=-1)}, {})


class Automatic(AbstractSampler):
    """NUTS, or exact draws where the posterior is Gaussian and has more than 100 terms; what a fit takes by itself.

    Args:
        chains, warmup, draws: as of `Nuts`.

    Example:
        >>> Automatic(draws=2000)
        Automatic(draws=2000)
    """

    chains: int = 4
    warmup: int = 500
    draws: int = 1000

    def draw(self, key: jax.Array, posterior: AbstractPosterior) -> Drawn:
        exact = posterior.gaussian and posterior.size > _NUTS_TERMS
        chosen = Closed(self.chains, self.draws) if exact else Nuts(self.chains, self.warmup, self.draws)
        drawn = chosen.draw(key, posterior)
        return drawn._replace(attrs={"sampler": chosen.word, **drawn.attrs})


@lru_cache(maxsize=32)
def nuts(program: Callable[..., None], turned: bool, warmup: int, draws: int) -> Callable[..., Any]:
    """The chains of one NumPyro model of a site `unit`, compiled once for each shape of its numbers.

    Args:
        program: the model, a function of the numbers.
        turned: whether `unit` is nearly a unit normal; else a mass matrix is learnt, in smaller steps.
        warmup: steps thrown away.
        draws: steps kept.

    Returns:
        (keys (chain,), start (chain, size), *numbers) -> unit (chain, draw, size), statistics (chain, draw).
    """
    rate = 0.8 if turned else 0.9

    @jax.jit
    def run(keys: jax.Array, start: jax.Array, *numbers: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        # a kernel of each trace: one that was begun before would map its chains twice
        kernel = NUTS(program, adapt_mass_matrix=not turned, dense_mass=not turned, target_accept_prob=rate)
        state = kernel.init(keys, warmup, {"unit": start}, numbers, {})
        _, kept = advanced(kernel, state, numbers, warmup + draws)
        return jax.tree.map(lambda x: jnp.swapaxes(x[warmup:], 0, 1), tuple(kept))

    return run
