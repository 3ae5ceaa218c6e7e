"""Draws from the posterior of the couplings by NUTS (arXiv:1111.4246), in coordinates where it is nearly a unit normal.

The likelihood is Gaussian in theta, so with the default prior mean and covariance of the posterior are known; they turn
and scale the coordinates, and no mass matrix has to be learnt. All numbers of a fit are arguments of one compiled
program, which serves every later fit of the same shape.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro import handlers
from numpyro.infer import NUTS

from ...models.types import Matrix, Vector
from ..priors.likelihood import SITES, Numbers, coupling_model

__all__ = [
    "coordinates",
    "default_sites",
    "sample_closed",
    "sample_posterior",
    "sample_prior",
    "sites_at",
    "turned_model",
]

Names = tuple[tuple[str, int], ...]
Laws = tuple[tuple[str, dist.Distribution], ...]
Draws = dict[str, np.ndarray]


def sample_posterior(
    key: jax.Array, names: Names, laws: Laws, given: Numbers, *, chains: int, warmup: int, draws: int
) -> tuple[Draws, Draws]:
    """Sites of `coupling_model` and statistics of NUTS, each (chain, draw, ...); in double precision.

    Args:
        key: `jax.random.key(seed)`.
        names: couplings in the order of the terms, (name, how many).
        laws: priors that replace the default, (site, distribution).
        given: what the model is conditioned on.
        chains: chains run at once, begun twice as wide as the posterior, for R-hat.
        warmup: steps to find the step size, thrown away.
        draws: steps kept of each chain.
    """
    origin, axes = coordinates(given, dict(laws))
    start_key, run_key = jax.random.split(key)
    start = 2.0 * jax.random.normal(start_key, (chains, len(origin)))
    posterior, stats = _made(_nuts, names, laws, warmup, draws)(run_key, start, given, origin, axes)
    return {k: np.asarray(v) for k, v in posterior.items()}, {k: np.asarray(v) for k, v in stats.items()}


def sample_closed(key: jax.Array, names: Names, given: Numbers, *, chains: int, draws: int) -> tuple[Draws, Draws]:
    """Independent draws from the closed posterior of the default prior, laid out as chains."""
    origin, axes = coordinates(given, {})
    unit = _random(key).standard_normal((chains, draws, len(origin)))
    return default_sites(origin + unit @ axes.T, names, given), {"lp": -0.5 * np.sum(unit**2, axis=-1)}


def sample_prior(key: jax.Array, names: Names, laws: Laws, given: Numbers, *, draws: int) -> Draws:
    """Sites of `coupling_model` before the data, one chain of them."""
    if not laws:
        return default_sites(_random(key).standard_normal((1, draws, len(given.factors))), names, given)
    drawn = _ancestral(names, laws)(jax.random.split(key, draws), given)
    return {name: np.asarray(value)[None] for name, value in drawn.items()}


def default_sites(white: Float[np.ndarray, "chain draw term"], names: Names, given: Numbers) -> Draws:
    """Sites of `coupling_model` under the default prior, which is affine, from the white coordinates of both parts."""
    q = len(given.factor2)
    quartic = white[..., q:] @ given.factor4.T
    quadratic = white[..., :q] @ given.factor2.T + given.centre2 - quartic @ given.shift.T
    physical = np.concatenate([quadratic, quartic], axis=-1) / given.factors
    edges = np.cumsum([count for _, count in names])[:-1]
    parts = np.split(physical, edges, axis=-1)
    whites = {"quartic_white": white[..., q:], "quadratic_white": white[..., :q]}
    return whites | dict(zip((name for name, _ in names), parts, strict=True))


def _random(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def coordinates(given: Numbers, laws: dict[str, dist.Distribution]) -> tuple[Vector, Matrix]:
    """Sites = origin + axes unit, with unit ~ N(0, 1) under the posterior of the default prior."""
    q, size = len(given.factor2), given.design.shape[1]
    linear, offset = np.zeros((size, size)), np.zeros(size)  # theta = offset + linear sites, nothing replaced
    linear[:q, :q], linear[q:, q:] = given.factor2, given.factor4
    linear[:q, q:] = -given.shift @ given.factor4
    offset[:q] = given.centre2
    design = given.design @ linear
    covariance = np.linalg.inv(np.eye(size) + design.T @ design)
    white = covariance @ (design.T @ (given.observed - given.design @ offset))
    if not laws:
        return white, np.linalg.cholesky(covariance)
    theta = offset + linear @ white
    to_sites = np.linalg.inv(linear)
    for name, rows in zip(SITES, (slice(0, q), slice(q, None)), strict=True):
        if name in laws:  # the site is its part of theta itself
            to_sites[rows], offset[rows] = np.eye(size)[rows], 0.0
    factor = to_sites @ linear
    return to_sites @ (theta - offset), np.linalg.cholesky(factor @ covariance @ factor.T)


def _made(make: Callable[..., Any], names: Names, laws: Laws, *sizes: int) -> Callable[..., Any]:
    """One compiled program for each shape; priors of one's own are compiled anew."""
    return make(names, laws, *sizes) if laws else _cached(make, names, *sizes)


@lru_cache(maxsize=16)
def _cached(make: Callable[..., Any], names: Names, *sizes: int) -> Callable[..., Any]:
    return make(names, (), *sizes)


def _ancestral(names: Names, laws: Laws) -> Callable[..., Any]:
    """(keys, numbers) -> sites, one draw from the prior for each key."""
    program = coupling_model(names, dict(laws))

    def one(key: jax.Array, given: Numbers) -> dict[str, jax.Array]:
        return _values(handlers.seed(program, key), given)

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


def turned_model(names: Names, laws: Laws) -> Callable[..., None]:
    """The model of the couplings in coordinates `unit`, nearly a unit normal: (numbers, origin, axes) as arguments."""
    program = coupling_model(names, dict(laws))
    sites = [name if name in dict(laws) else f"{name}_white" for name in SITES]

    def turned(given: Numbers, origin: jax.Array, axes: jax.Array) -> None:
        unit = numpyro.sample("unit", dist.ImproperUniform(dist.constraints.real_vector, (), (len(origin),)))
        parts = jnp.split(origin + axes @ unit, [len(given.factor2)])
        with handlers.condition(data=dict(zip(sites, parts, strict=True))):
            program(given)

    return turned


def _nuts(names: Names, laws: Laws, warmup: int, draws: int) -> Callable[..., Any]:
    """(key, start (chain, term), numbers, origin, axes) -> sites and statistics, each (chain, draw, ...)."""
    turned = turned_model(names, laws)
    kernel = NUTS(turned, adapt_mass_matrix=False, dense_mass=False, target_accept_prob=0.8)

    @jax.jit
    def run(key: jax.Array, start: jax.Array, *arguments: Any) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        state = kernel.init(jax.random.split(key, len(start)), warmup, {"unit": start}, arguments, {})

        def step(state: Any, _: None) -> tuple[Any, tuple[jax.Array, dict[str, jax.Array]]]:
            state = kernel.sample(state, arguments, {})
            stats = {
                "diverging": state.diverging,
                "energy": state.energy,
                "n_steps": state.num_steps,
                "acceptance_rate": state.accept_prob,
                "lp": -state.potential_energy,
            }
            return state, (state.z["unit"], stats)

        _, kept = jax.lax.scan(step, state, length=warmup + draws)
        unit, stats = jax.tree.map(lambda x: jnp.swapaxes(x[warmup:], 0, 1), kept)
        return jax.vmap(jax.vmap(lambda u: sites_at(turned, u, *arguments)))(unit), stats

    return run


def sites_at(turned: Callable[..., None], unit: jax.Array, *arguments: Any) -> dict[str, jax.Array]:
    """All sites but the coordinates themselves at one place."""
    values = _values(handlers.substitute(turned, data={"unit": unit}), *arguments)
    del values["unit"]
    return values


def _values(program: Callable[..., Any], *arguments: Any) -> dict[str, jax.Array]:
    """All sites of one run of the model but the equations, in its order."""
    trace = handlers.trace(program).get_trace(*arguments)
    return {name: site["value"] for name, site in trace.items() if name != "equations"}
