"""NUTS for priors with structure: smooth over (x,y) (`smooth.py`), or of low rank (`low_rank.py`)."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import MCMC, NUTS
from numpyro.infer.initialization import init_to_value

from ..models.actions import LowRankBilocal, SmoothBilocal
from ..models.types import Matrix
from .low_rank import low_rank_program
from .program import Marginal, Program
from .smooth import smooth_program

__all__ = ["is_structured", "sample_structured", "structured_program"]

Draws = dict[str, np.ndarray]


def is_structured(action: Any) -> TypeGuard[SmoothBilocal | LowRankBilocal]:
    """Whether the prior of an action has structure that its couplings have not."""
    return isinstance(action, SmoothBilocal | LowRankBilocal)


def structured_program(
    action: SmoothBilocal | LowRankBilocal, given: Marginal, points: Matrix, laws: Mapping[str, dist.Distribution]
) -> Program:
    """The program of the action's prior on points (point, axis)."""
    if isinstance(action, SmoothBilocal):
        return smooth_program(action, given, points, laws)
    return low_rank_program(action, given, points, laws)


def sample_structured(
    key: jax.Array,
    action: SmoothBilocal | LowRankBilocal,
    given: Marginal,
    points: Matrix,
    laws: Mapping[str, dist.Distribution],
    *,
    chains: int,
    warmup: int,
    draws: int,
) -> tuple[Draws, Draws, Draws]:
    """theta, (chain, draw, term), and the hyper-parameters; statistics of NUTS; the same from the prior, one chain.

    Raises:
        ValueError: a law for a site the model does not have.
    """
    program = structured_program(action, given, points, laws)
    keys = jax.random.split(key, 4)
    kernel = NUTS(
        program.hyper,
        dense_mass=True,
        init_strategy=init_to_value(values=program.start),
        target_accept_prob=0.9,
    )
    mcmc = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(keys[0], extra_fields=("diverging", "energy", "num_steps", "accept_prob", "potential_energy"))
    hyper = mcmc.get_samples(group_by_chain=True)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    stats = {
        "diverging": fields["diverging"],
        "energy": fields["energy"],
        "n_steps": fields["num_steps"],
        "acceptance_rate": fields["accept_prob"],
        "lp": -fields["potential_energy"],
    }
    spread = jax.random.split(keys[1], (chains, draws))
    run = jax.jit(lambda h, k: jax.lax.map(lambda pair: jax.vmap(program.complete)(*pair), (h, k)))
    after = run(hyper, spread)
    one = {name: value[None] for name, value in _ancestral(program, keys[2], keys[3], min(draws, 1000)).items()}
    return tuple({k: np.asarray(v) for k, v in part.items()} for part in (after, stats, one))  # type: ignore[return-value]


def _ancestral(program: Program, key: jax.Array, other: jax.Array, count: int) -> dict[str, jax.Array]:
    def one(k: jax.Array, z: jax.Array) -> dict[str, jax.Array]:
        with handlers.trace() as trace, handlers.seed(rng_seed=k):
            program.before()
        return program.prior({n: s["value"] for n, s in trace.items() if s["type"] == "sample"}, z)

    return jax.vmap(one)(jax.random.split(key, count), jax.random.split(other, count))
