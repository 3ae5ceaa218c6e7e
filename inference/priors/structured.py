"""NUTS for priors with structure: smooth over (x,y) (`smooth.py`), or of low rank (`low_rank.py`)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import NUTS
from numpyro.infer.util import constrain_fn, unconstrain_fn

from ...models.actions.rungs import LowRankBilocal, SmoothBilocal
from ...models.types import Matrix
from ..ensembles.ensemble import ByContent
from .low_rank import low_rank_program
from .program import Marginal, Program
from .smooth import smooth_program

__all__ = ["is_structured", "nuts_program", "sample_structured", "structured_program"]

Draws = dict[str, np.ndarray]


def is_structured(action: Any) -> TypeGuard[SmoothBilocal | LowRankBilocal]:
    """Whether the prior of an action has structure that its couplings have not."""
    return isinstance(action, SmoothBilocal | LowRankBilocal)


def structured_program(
    action: SmoothBilocal | LowRankBilocal, points: Matrix, laws: Mapping[str, dist.Distribution]
) -> Program:
    """The program of the action's prior on points (point, axis).

    Raises:
        ValueError: a law for a site the prior does not have.
    """
    if isinstance(action, SmoothBilocal):
        return smooth_program(action, points, laws)
    return low_rank_program(action, points, laws)


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
        ValueError: a law for a site the prior does not have.
    """
    places = ByContent(np.asarray(points, dtype=float))
    program = structured_program(action, points, laws)
    if laws:
        run, before = nuts_program(program, warmup, draws), _prior_program(program)
    else:
        run, before = _cached(action, places, warmup, draws), _cached_prior(action, places)
    run_key, prior_key = jax.random.split(key)
    start = {name: np.broadcast_to(v, (chains, *np.shape(v))) for name, v in program.start(given).items()}
    after, stats = run(run_key, start, given)
    one = before(jax.random.split(prior_key, min(draws, 1000)), given)
    first = {name: np.asarray(value)[None] for name, value in one.items()}
    return {k: np.asarray(v) for k, v in after.items()}, {k: np.asarray(v) for k, v in stats.items()}, first


def nuts_program(program: Program, warmup: int, draws: int) -> Callable[..., Any]:
    """(key, start {site: (chain, ...)}, marginal) -> sites and statistics, each (chain, draw, ...); may be mapped."""
    kernel = NUTS(program.hyper, dense_mass=True, target_accept_prob=0.9)

    def chain(key: jax.Array, start: dict[str, jax.Array], given: Marginal) -> Any:
        begin, jitter, complete = jax.random.split(key, 3)
        model, arguments = handlers.seed(program.hyper, begin), (given,)
        free = unconstrain_fn(model, arguments, {}, start)
        begun = {  # chains begin apart, for R-hat
            name: value + 0.1 * jax.random.normal(jax.random.fold_in(jitter, k), jnp.shape(value))
            for k, (name, value) in enumerate(sorted(free.items()))
        }
        state = kernel.init(begin, warmup, begun, arguments, {})

        def step(state: Any, _: None) -> Any:
            state = kernel.sample(state, arguments, {})
            stats = {
                "diverging": state.diverging,
                "energy": state.energy,
                "n_steps": state.num_steps,
                "acceptance_rate": state.accept_prob,
                "lp": -state.potential_energy,
            }
            return state, (state.z, stats)

        _, (z, stats) = jax.lax.scan(step, state, None, length=warmup + draws)
        z, stats = jax.tree.map(lambda x: x[warmup:], (z, stats))
        values = jax.vmap(lambda one: constrain_fn(model, arguments, {}, one))(z)
        keys = jax.random.split(complete, draws)
        return jax.vmap(lambda v, k: program.complete(given, v, k))(values, keys), stats

    def run(key: jax.Array, start: dict[str, Any], given: Marginal) -> Any:
        chains = len(next(iter(start.values())))
        given = jax.tree.map(jnp.asarray, given)
        return jax.vmap(lambda k, s: chain(k, s, given))(jax.random.split(key, chains), start)

    return jax.jit(run)


def _prior_program(program: Program) -> Callable[..., Any]:
    """(keys, marginal) -> sites before the data, one draw a key."""

    def one(key: jax.Array, given: Marginal) -> dict[str, jax.Array]:
        first, second = jax.random.split(key)
        with handlers.trace() as trace, handlers.seed(rng_seed=first):
            program.before(given)
        return program.prior(given, {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}, second)

    return jax.jit(lambda keys, given: jax.vmap(one, in_axes=(0, None))(keys, jax.tree.map(jnp.asarray, given)))


@lru_cache(maxsize=16)
def _cached(action: SmoothBilocal | LowRankBilocal, places: ByContent, warmup: int, draws: int) -> Callable[..., Any]:
    return nuts_program(structured_program(action, places.values, {}), warmup, draws)


@lru_cache(maxsize=16)
def _cached_prior(action: SmoothBilocal | LowRankBilocal, places: ByContent) -> Callable[..., Any]:
    return _prior_program(structured_program(action, places.values, {}))
