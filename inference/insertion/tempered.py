"""From the free networks to the interacting ones step by step: tempered sequential Monte Carlo, and log Z with it.

Particles begin as free networks and feel exp(-beta S) with beta from 0 to 1, each step as long as the effective number
of particles allows; they are resampled and moved by `moves.py` at each (P. Del Moral, A. Doucet and A. Jasra, J. R.
Stat. Soc. B 68 (2006) 411; BlackJAX's adaptive tempering). Z/Z_free is the product of the mean weights. Whole
populations that know nothing of each other give the errors.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...models.boxes.theory import BoxTheory, Parameters
from ...models.refusals import is_whole
from ...models.runtime import settled
from ..boxes.averages import Averages
from ..boxes.estimate import Estimate
from ..boxes.observables import Observables
from .engine import AbstractEngine, check_theory
from .hmc import DYNAMICS, REDRAWN
from .moves import Settings, update
from .reweighted import drawn

__all__ = ["Tempered"]

MOST_STEPS = 200  # of beta
LEAST = 0.1  # of an acceptance, below which particles do not move
LEAST_EFFECTIVE = 0.5  # of the populations


class _Particle(NamedTuple):
    """The state of a particle as BlackJAX knows it."""

    position: Parameters


class Tempered(AbstractEngine):
    """Sequential Monte Carlo from the free networks to the interacting ones.

    Args:
        particles: networks of a population.
        populations: independent ones; their spread is the error.
        moves: updates of each particle at each step.
        ess: share of the particles that a step of beta leaves effective.

    Raises:
        ValueError: fewer than 64 particles, 8 populations or one move, an ess outside (0, 1); at the run, a tempering
            that does not arrive, particles that do not move, populations that do not agree on Z.

    Example:
        >>> from nnft import models as m
        >>> theory = m.BoxTheory(m.Box(6.0, 8), 8, m.Potential.phi4(1.0))
        >>> found = Tempered(particles=64, populations=8, moves=1).run(theory, key=jax.random.key(0))
        >>> bool(abs(found.moment(2).value - 0.46) < 0.1)
        True
    """

    particles: int = 1024
    populations: int = 16
    moves: int = 5
    ess: float = 0.8

    def __check_init__(self) -> None:
        for name, least in (("particles", 64), ("populations", 8), ("moves", 1)):
            if not is_whole(getattr(self, name), least):
                got = getattr(self, name)
                raise ValueError(
                    f"expected {name} of Tempered to be an integer >= {least}, got {got!r}; try Tempered()"
                )
        if not 0.0 < self.ess < 1.0:
            raise ValueError(f"expected ess of Tempered between 0 and 1, got {self.ess!r}; try 0.8")

    def run(self, theory: BoxTheory, *, key: jax.Array) -> Averages:
        check_theory(theory, key)
        with settled(False, partitionable=False):
            run = _run(Observables(theory), self.particles, self.moves, self.ess)
            keys = jax.random.split(key, self.populations)
            # One population after the other: each has steps of its own.
            means, squares, logs, steps, accepted = (
                np.asarray(x, dtype=float) for x in zip(*(jax.tree.map(np.asarray, run(k)) for k in keys), strict=True)
            )
        if not np.all(np.isfinite(logs)) or steps.max() >= MOST_STEPS:
            raise ValueError(
                f"expected tempering to arrive at beta = 1, got {int(steps.max())} steps and log Z from "
                f"{logs.min():.3g} to {logs.max():.3g}; try more particles"
            )
        if (least := float(accepted.mean(axis=0).min())) < LEAST:
            raise ValueError(
                f"expected particles that move, at least {LEAST} of the updates accepted, got {least:.2g}; "
                "try more moves, or inf.Hmc()"
            )
        count = len(logs)
        weight = np.exp(logs - logs.max())  # populations by their Z: unbiased
        weight = weight / weight.mean()
        check_populations(weight)
        values = np.mean(weight[:, None] * means, axis=0)
        spread = (count * (count - 1.0)) ** -0.5
        rows = spread * weight[:, None] * (means - values)
        log_z = Estimate(float(logs.max() + np.log(np.mean(np.exp(logs - logs.max())))), spread * (weight - 1.0))
        notes = {"steps": float(steps.mean()), "accepted": float(accepted[:, 0].mean())}
        notes["redrawn"] = float(accepted[:, 1].mean())
        # Worth as many networks as would give the zero mode that error, not as many as there are particles.
        size = float((np.mean(weight * squares) - values[0] ** 2) / (rows[:, 0] @ rows[:, 0]))
        size = min(size, float(self.particles * count))
        return Averages(theory, values, rows, log_z, "tempering", size, notes)


def check_populations(weight: Float[np.ndarray, " population"]) -> None:
    """Refuse populations of which a few have nearly all of Z: the error that their spread gives is none.

    Raises:
        ValueError: with the effective number of populations.
    """
    effective = float(np.sum(weight) ** 2 / np.sum(weight**2))
    if not effective >= LEAST_EFFECTIVE * len(weight):
        raise ValueError(
            f"expected populations that agree on Z, at least {LEAST_EFFECTIVE:.0%} of them effective, got "
            f"{effective:.2g} of {len(weight)}; try four times the particles, or of the moves"
        )


@lru_cache(maxsize=16)
def _run(kept: Observables, particles: int, moves: int, ess: float) -> Callable[[jax.Array], tuple[jax.Array, ...]]:
    """Key -> averages (number,), that of the first one's square, log Z/Z_free, steps, acceptances at beta = 1, (2,)."""
    from blackjax.smc import adaptive_tempered, resampling  # half a second, for this engine alone

    theory = kept.theory

    def minus_action(parameters: Parameters) -> jax.Array:
        return -theory.action(theory.coefficients(parameters))

    def move(key: jax.Array, state: _Particle, _: Any, beta: jax.Array, settings: jax.Array) -> Any:
        done = update(theory, key, state.position, beta, Settings(settings[0], settings[1]))
        return _Particle(done.parameters), jnp.stack([done.dynamics, done.redrawn])

    kernel = adaptive_tempered.build_kernel(
        lambda parameters: jnp.zeros(()),
        minus_action,
        move,
        lambda position, _: _Particle(position),
        resampling.systematic,
        ess,
    )

    @jax.jit
    def run(key: jax.Array) -> tuple[jax.Array, ...]:
        first, rest, last = jax.random.split(key, 3)
        start = jax.vmap(lambda k: drawn(theory, k))(jax.random.split(first, particles))
        begun = adaptive_tempered.init(start)._replace(tempering_param=jnp.zeros(()))

        def go_on(carry: tuple[Any, ...]) -> jax.Array:
            return (carry[0].tempering_param < 1.0) & (carry[2] < MOST_STEPS)

        def moved(key: jax.Array, state: Any, settings: jax.Array) -> tuple[Any, Any, jax.Array]:
            parameters = {"beta": jnp.reshape(state.tempering_param, (1,)), "settings": settings[None]}
            state, info = kernel(key, state, moves, parameters)
            return state, info, jnp.mean(info.update_info, axis=(0, 1))

        def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            state, log, count, settings, _ = carry
            state, info, accepted = moved(jax.random.fold_in(rest, count), state, settings)
            settings = jnp.minimum(settings * jnp.exp(accepted - jnp.array([DYNAMICS, REDRAWN])), jnp.ones(2))
            return state, log + info.log_likelihood_increment, count + 1, settings, accepted

        carry = (begun, jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.array([0.7, 0.8]), jnp.zeros(2))
        state, log, count, settings, _ = jax.lax.while_loop(go_on, step, carry)
        state, _, accepted = moved(last, state, settings)  # once more at beta = 1: equal weights
        numbers, _ = jax.vmap(lambda p: kept(theory.coefficients(p)))(state.particles)
        square = jnp.sum(state.weights * numbers[:, 0] ** 2)
        return jnp.sum(state.weights[:, None] * numbers, axis=0), square, log, count, accepted

    return run
