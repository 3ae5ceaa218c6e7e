"""Markov chains over the parameters of interacting networks, many side by side: where reweighting has no weights left.

Each chain begins at a free network and is moved by `moves.py`; the step and the share of neurons drawn anew are set
while the chains settle, so that four in five trajectories and two in five redrawings are accepted. The mean of each
chain is one number with the spread of all chains as its error, which needs no autocorrelation time as long as the
chains have forgotten where they began: R-hat of the two halves of all chains says so.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...models.boxes.theory import BoxTheory, Parameters
from ...models.refusals import is_whole
from ...models.runtime import settled
from ..boxes.averages import Averages
from ..boxes.observables import Observables
from .engine import AbstractEngine, check_theory
from .moves import Settings, update
from .reweighted import drawn

__all__ = ["Chains", "Hmc"]

DYNAMICS, REDRAWN = 0.8, 0.4  # acceptances that are aimed at
LEAST = 0.2  # of an acceptance, below which chains are stuck
LARGEST_RHAT = 1.05
_GAIN = 0.3


class Chains(NamedTuple):
    """Where chains have come to: the last parameters of each, and what was kept on the way.

    kept: numbers and action of every kept step, (draw, chain, number + 1); accepted: of the two moves, (draw, 2).
    """

    parameters: Parameters
    settings: Settings
    kept: Float[np.ndarray, "draw chain number"]
    accepted: Float[np.ndarray, "draw 2"]


class Hmc(AbstractEngine):
    """Hamiltonian dynamics of phases and readouts, momenta redrawn from the free network; chains side by side.

    Args:
        chains: how many; their spread is the error.
        warmup: updates of each that set the step and are thrown away.
        draws: updates kept.

    Raises:
        ValueError: fewer than 64 chains, no warm-up, fewer than 8 draws; at the run, chains that are stuck or have not
            settled, with the number.

    Example:
        >>> from nnft import models as m
        >>> theory = m.BoxTheory(m.Box(6.0, 8), 8, m.Potential.phi4(1.0))
        >>> found = Hmc(chains=64, warmup=50, draws=50).run(theory, key=jax.random.key(0))
        >>> bool(abs(found.moment(2).value - 0.46) < 0.05)
        True
    """

    chains: int = 256
    warmup: int = 200
    draws: int = 1000

    def __check_init__(self) -> None:
        for name, least in (("chains", 64), ("warmup", 10), ("draws", 8)):
            if not is_whole(getattr(self, name), least):
                got = getattr(self, name)
                raise ValueError(f"expected {name} of Hmc to be an integer >= {least}, got {got!r}; try Hmc()")

    def run(self, theory: BoxTheory, *, key: jax.Array) -> Averages:
        check_theory(theory, key)
        chains = self.sample(theory, key=key)
        values = chains.kept[..., :-1]
        means = values.mean(axis=0)  # (chain, number)
        rows = (means - means.mean(axis=0)) / (self.chains * (self.chains - 1.0)) ** 0.5
        return Averages(theory, means.mean(axis=0), rows, None, "Hamiltonian dynamics", _size(values), _judged(chains))

    def sample(self, theory: BoxTheory, *, key: jax.Array) -> Chains:
        """The chains themselves; their last parameters are networks of the interacting theory.

        Raises:
            ValueError: chains that are stuck or have not settled.
        """
        with settled(False, partitionable=False):
            start, rest = jax.random.split(key)
            run = _run(Observables(theory), self.chains, self.warmup, self.draws)
            chains = Chains(*jax.tree.map(np.asarray, run(start, rest)))
        check_chains(chains)
        return chains


def check_chains(chains: Chains) -> None:
    """Refuse chains that are stuck or have not settled.

    Raises:
        ValueError: with the number that decides.
    """
    found = _judged(chains)
    if not min(found["accepted"], found["redrawn"]) >= LEAST:
        raise ValueError(
            f"expected chains that move, at least {LEAST} of the updates accepted, got {found['accepted']:.2g} of the "
            f"trajectories and {found['redrawn']:.2g} of the redrawings: they are stuck; try inf.Tempered(), which "
            "comes from the free networks step by step"
        )
    if not found["R-hat"] <= LARGEST_RHAT:
        raise ValueError(
            f"expected chains that have settled, R-hat at most {LARGEST_RHAT}, got {found['R-hat']:.3f}; try four "
            "times the warmup and draws, or inf.Tempered()"
        )


def _judged(chains: Chains) -> dict[str, float]:
    """Acceptances, and the largest R-hat of the action, <phi^2> and the zero mode."""
    accepted = chains.accepted.mean(axis=0)
    return {
        "accepted": float(accepted[0]),
        "redrawn": float(accepted[1]),
        "R-hat": max(_rhat(chains.kept[..., k]) for k in (0, -1)),
    }


def _rhat(values: Float[np.ndarray, "draw chain"]) -> float:
    """Split R-hat: the variance of all halves of chains over the mean variance within them."""
    half = len(values) // 2
    parts = np.concatenate([values[:half], values[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean()
    between = parts.mean(axis=0).var(ddof=1)
    # Halves of different times apart: all chains may drift together.
    drift = 0.5 * (values[:half].mean() - values[half : 2 * half].mean()) ** 2
    return float(np.sqrt((half - 1.0) / half + (between + drift) / within)) if within > 0.0 else float("inf")


def _size(values: Float[np.ndarray, "draw chain number"]) -> float:
    """Effective number of independent networks for the zero mode: its variance over that of its mean."""
    zero = values[..., 0]
    return float(zero.var() / (zero.mean(axis=0).var(ddof=1) / zero.shape[1]))


@lru_cache(maxsize=16)
def _run(kept: Observables, chains: int, warmup: int, draws: int) -> Callable[[jax.Array, jax.Array], Chains]:
    theory = kept.theory

    def moved(key: jax.Array, parameters: Parameters, settings: Settings) -> tuple[Parameters, Float[jax.Array, " 2"]]:
        keys = jax.random.split(key, chains)
        done = jax.vmap(lambda k, p: update(theory, k, p, 1.0, settings))(keys, parameters)
        return done.parameters, jnp.array([done.dynamics.mean(), done.redrawn.mean()])

    def step(state: tuple[Parameters, Settings], at: tuple[jax.Array, jax.Array]) -> tuple[tuple, tuple]:
        (parameters, settings), (key, number) = state, at
        parameters, accepted = moved(key, parameters, settings)
        gain = jnp.where(number < warmup, _GAIN / (1.0 + number / 20.0) ** 0.6, 0.0)
        log = jnp.log(jnp.stack(settings)) + gain * (accepted - jnp.array([DYNAMICS, REDRAWN]))
        settings = Settings(jnp.exp(log[0]), jnp.minimum(1.0, jnp.exp(log[1])))
        numbers, action = jax.vmap(lambda p: kept(theory.coefficients(p)))(parameters)
        return (parameters, settings), (jnp.concatenate([numbers, action[:, None]], axis=1), accepted)

    @jax.jit
    def run(start: jax.Array, key: jax.Array) -> Chains:
        parameters = jax.vmap(lambda k: drawn(theory, k))(jax.random.split(start, chains))
        begun = (parameters, Settings(jnp.float32(0.2), jnp.float32(0.5)))
        numbers = jnp.arange(warmup + draws, dtype=jnp.float32)
        (parameters, settings), (values, accepted) = jax.lax.scan(
            step, begun, (jax.random.split(key, warmup + draws), numbers)
        )
        return Chains(parameters, settings, values[warmup:], accepted[warmup:])

    return run
