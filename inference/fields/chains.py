"""The loop of all chains of the No-U-Turn sampler (arXiv:1111.4246), those of fields and those of posteriors."""

from typing import Any, NamedTuple

import jax
from numpyro.infer import NUTS

__all__ = ["Moved", "advanced"]


class Moved(NamedTuple):
    """Where chains went, each (step, chain, ...): the site `unit` of their model, and the statistics of ArviZ."""

    unit: jax.Array
    stats: dict[str, jax.Array]


def advanced(kernel: NUTS, state: Any, numbers: Any, length: int, *, thin: Any = None) -> tuple[Any, Moved]:
    """The state of every chain `length` steps later, and these steps.

    Args:
        kernel: of a model of one site, `unit`.
        state: of all chains, from `kernel.init`.
        numbers: arguments of the model.
        length: steps kept.
        thin: steps of NUTS from one that is kept to the next; None is one.
    """

    def step(state: Any, _: None) -> tuple[Any, Moved]:
        if thin is None:
            state = kernel.sample(state, numbers, {})
        else:
            state = jax.lax.fori_loop(0, thin, lambda _, s: kernel.sample(s, numbers, {}), state)
        stats = {
            "diverging": state.diverging,
            "energy": state.energy,
            "n_steps": state.num_steps,
            "acceptance_rate": state.accept_prob,
            "lp": -state.potential_energy,
        }
        return state, Moved(state.z["unit"], stats)

    return jax.lax.scan(step, state, length=length)
