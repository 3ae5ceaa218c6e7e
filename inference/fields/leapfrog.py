"""Hybrid Monte Carlo of many chains at once: trajectories, the step size they want, and chains that have to agree.

A trajectory draws momenta, integrates Hamilton's equations by n leapfrog steps and is accepted with probability
min(1, e^(-dH)) (S. Duane et al., Phys. Lett. B195 (1987) 216). Step sizes vary by +-15 % from one trajectory to the
next, so that no mode is an integer number of periods long, and phi -> -phi, an exact symmetry, is applied at random.
Half of the chains begin cold, half hot: they have to agree before anything is returned.

Chains are the last axis in memory, what the processor's inner loop runs on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats

from ...models.refusals import is_whole
from ...models.runtime import settled
from ...models.types import Matrix

__all__ = ["AbstractSystem", "Run", "agreement", "run"]

_SCAN = 20  # draws in one call of the compiled program
_TARGET = 0.8  # acceptance the step size aims at
_LEAST_ACCEPTANCE = 0.3
_MOST_RHAT = 1.1  # of <phi^2>, split in halves
_MOST_APART = 4.5  # sigma between chains begun hot and cold: once in 150,000 runs
_JITTER = 0.15  # of the step size
_MOST_STEPS = 200  # leapfrog steps of a trajectory
_LENGTHS = (0.5, 4.0)  # of a trajectory


class AbstractSystem(ABC):
    """An even action of fields (.., chain), with numbers in it that may change without a new program. Hashable."""

    @abstractmethod
    def force(self, phi: jax.Array, couplings: Any) -> jax.Array:
        """-dS/dphi, (.., chain)."""

    @abstractmethod
    def change(self, end: tuple[jax.Array, jax.Array], start: tuple[jax.Array, jax.Array], couplings: Any) -> jax.Array:
        """H(end) - H(start), each fields and momenta, (chain,): differences term by term, which round off less."""

    @abstractmethod
    def begin(self, key: jax.Array, couplings: Any, chains: int, kind: str) -> tuple[jax.Array, jax.Array]:
        """Fields of chains that begin, even ones cold and odd ones hot, and a first step size."""

    @abstractmethod
    def slowest(self, phi: np.ndarray) -> float:
        """The variance of the slowest mode, one over its frequency squared."""


class Run(NamedTuple):
    """Fields (draw, .., chain), mean acceptance, step size and number of steps of a trajectory."""

    fields: np.ndarray
    acceptance: float
    step: float
    steps: int


class _State(NamedTuple):
    """Fields (.., chain), the log of the step size, the length of a trajectory, trajectories so far."""

    phi: jax.Array
    log_step: jax.Array
    length: jax.Array
    count: jax.Array


def run(
    system: AbstractSystem,
    couplings: Any,
    *,
    key: jax.Array,
    chains: int,
    draws: int,
    warmup: int,
    thin: int,
    length: float | None,
    double: bool,
) -> Run:
    """Draws of all chains after a warm-up in which the step size and, where none is given, the length are found.

    Raises:
        ValueError: too few chains, draws or warm-up steps; a length that is none; an acceptance below .3.
    """
    counts = {"chains": (chains, 4), "draws": (draws, 8), "warmup": (warmup, 40), "thin": (thin, 1)}
    for name, (value, least) in counts.items():
        if not is_whole(value, least):
            raise ValueError(f"expected {name} >= {least}, got {value!r}; try leaving it out")
    if length is not None and not 0.0 < length < 100.0:
        raise ValueError(f"expected a trajectory length above 0, got {length}; try leaving it out")
    with settled(double):
        kind = "float64" if double else "float32"
        numbers = jax.tree.map(lambda one: np.asarray(one, kind), couplings)
        advance = _runner(system)
        start_key, *keys = jax.random.split(key, 2 + -(-warmup // _SCAN) + -(-draws // _SCAN))
        phi, first = _beginner(system)(start_key, numbers, chains, kind)
        state = _State(phi, np.log(first), jnp.asarray(length or 1.0, kind), jnp.zeros((), kind))
        rounds = -(-warmup // _SCAN)
        for k in range(rounds):
            state, (kept, _) = advance(state, keys[k], numbers, 1, True)
            if length is None and k == rounds // 2:
                quarter = 0.5 * np.pi * np.sqrt(system.slowest(np.asarray(kept[-1])))
                state = state._replace(length=np.asarray(np.clip(quarter, *_LENGTHS), kind))
        steps = int(np.clip(np.ceil(float(state.length) / np.exp(float(state.log_step))), 1, _MOST_STEPS))
        step = float(state.length) / steps if steps < _MOST_STEPS else float(np.exp(state.log_step))
        state = state._replace(log_step=np.asarray(np.log(step), kind), length=np.asarray(step * steps, kind))
        parts, accepted = [], []
        for k in range(-(-draws // _SCAN)):
            state, (kept, rates) = advance(state, keys[rounds + k], numbers, thin, False)
            parts.append(np.asarray(kept))
            accepted.append(np.asarray(rates))
    rate = float(np.mean(np.concatenate(accepted)[:draws]))
    if not rate >= _LEAST_ACCEPTANCE:
        raise ValueError(
            f"expected an acceptance of at least {_LEAST_ACCEPTANCE}, got {rate:.2g}; try a longer warmup=, or a "
            "shorter length="
        )
    return Run(np.concatenate(parts)[:draws], rate, step, steps)


@lru_cache(maxsize=8)
def _beginner(system: AbstractSystem) -> Callable[..., Any]:
    return jax.jit(system.begin, static_argnames=("chains", "kind"))


@lru_cache(maxsize=8)
def _runner(system: AbstractSystem) -> Callable[..., Any]:
    """advance(state, key, couplings, thin, adapt) -> the state some draws later, and (fields, acceptance) of each."""

    def trajectory(state: _State, key: jax.Array, couplings: Any, adapt: jax.Array) -> tuple[_State, jax.Array]:
        p_key, u_key, j_key = jax.random.split(key, 3)
        kind, start = state.phi.dtype, state.phi
        momenta = jax.random.normal(p_key, start.shape, kind)
        uniform = jax.random.uniform(u_key, (2, start.shape[-1]), kind)
        eps = jnp.exp(state.log_step) * (1.0 + _JITTER * jax.random.uniform(j_key, (), kind, -1.0, 1.0))
        count = jnp.clip(jnp.round(state.length / jnp.exp(state.log_step)), 1, _MOST_STEPS).astype(int)

        def leap(_: Any, both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            phi, p = both
            phi = phi + eps * p
            return phi, p + eps * system.force(phi, couplings)

        half = 0.5 * eps
        phi, p = jax.lax.fori_loop(0, count, leap, (start, momenta + half * system.force(start, couplings)))
        p = p - half * system.force(phi, couplings)
        change = system.change((phi, p), (start, momenta), couplings)
        chance = jnp.where(jnp.isfinite(change), jnp.exp(-jnp.maximum(change, 0.0)), 0.0)
        phi = jnp.where(uniform[0] < chance, phi, start) * jnp.where(uniform[1] < 0.5, -1.0, 1.0).astype(kind)
        rate = jnp.mean(chance)
        moved = adapt * (rate - _TARGET) * 1.5 / (1.0 + 0.1 * state.count)
        return _State(phi, state.log_step + moved, state.length, state.count + 1.0), rate

    def advance(
        state: _State, key: jax.Array, couplings: Any, thin: jax.Array, adapt: jax.Array
    ) -> tuple[_State, tuple[jax.Array, jax.Array]]:
        def draw(state: _State, key: jax.Array) -> tuple[_State, tuple[jax.Array, jax.Array]]:
            def once(k: Any, both: tuple[_State, jax.Array]) -> tuple[_State, jax.Array]:
                state, rate = trajectory(both[0], jax.random.fold_in(key, k), couplings, adapt)
                return state, both[1] + rate / thin

            state, rate = jax.lax.fori_loop(0, thin, once, (state, jnp.zeros((), state.phi.dtype)))
            return state, (state.phi, rate)

        return jax.lax.scan(draw, state, jax.random.split(key, _SCAN))

    return jax.jit(advance)


def agreement(square: Matrix) -> tuple[float, float]:
    """R-hat of <phi^2> of each draw, (chain, draw), and the sigma between hot and cold chains.

    Raises:
        ValueError: chains that do not agree, with both numbers.
    """
    rhat = float(np.asarray(array_stats.rhat(square, chain_axis=0, draw_axis=1, method="split")))
    cold, hot = square[0::2].mean(axis=1), square[1::2].mean(axis=1)
    spread = np.sqrt(cold.var(ddof=1) / len(cold) + hot.var(ddof=1) / len(hot))
    apart = float(abs(cold.mean() - hot.mean()) / spread) if spread > 0.0 else float("inf")
    if not (rhat <= _MOST_RHAT and apart <= _MOST_APART):
        raise ValueError(
            f"expected chains that agree on <phi^2>, R-hat at most {_MOST_RHAT} and hot and cold ones within "
            f"{_MOST_APART} sigma, got R-hat {rhat:.3f} and {apart:.1f} sigma after {square.shape[1]} draws; try "
            "thin=10, a longer warmup=, or more draws"
        )
    return rhat, apart
