"""One update of a network's parameters that leaves P_0(theta) exp(-beta S(theta)) as it is, for chains and particles.

Phases and readout weights move by Hamiltonian dynamics at fixed momenta: the action is smooth in them and its gradient
costs about two actions. The momenta are whole numbers: a random share of the neurons is drawn anew from the free
network, momentum, phase and readout, and the new field is accepted with min(1, exp(-beta dS)), which is exact because
the proposal is the free network itself. (Summing over 2K+1 momenta of each neuron would cost 65 actions a neuron.) A
readout law is moved in the coordinate of its inverse distribution: NumPyro's transform of its support to the line.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import biject_to

from ...models.boxes.theory import BoxTheory, Parameters
from .reweighted import drawn

__all__ = ["Settings", "Updated", "update"]

LEAPFROGS = 5  # steps of a trajectory, at most; each is that long times a random share


class Settings(NamedTuple):
    """Step of the leapfrog, share of the neurons that are drawn anew, and how long a trajectory is."""

    step: Array
    share: Array


class Updated(NamedTuple):
    """The parameters after an update, and the probabilities with which its two parts were accepted."""

    parameters: Parameters
    dynamics: Array
    redrawn: Array


def update(theory: BoxTheory, key: jax.Array, parameters: Parameters, beta: Any, settings: Settings) -> Updated:
    """Hamiltonian dynamics of phases and readouts, then a share of the neurons drawn anew; one network."""
    first, second = jax.random.split(key)
    moved, dynamics = _dynamics(theory, first, parameters, beta, settings.step)
    new, redrawn = _redraw(theory, second, moved, beta, settings.share)
    return Updated(new, dynamics, redrawn)


def _action(theory: BoxTheory, parameters: Parameters, beta: Any) -> Float[Array, ""]:
    return beta * theory.action(theory.coefficients(parameters))


def _dynamics(
    theory: BoxTheory, key: jax.Array, parameters: Parameters, beta: Any, step: Array
) -> tuple[Parameters, Array]:
    """One trajectory of random length, kinetic energy p^2/2, accepted with min(1, exp(-dH))."""
    kick, length, coin = jax.random.split(key, 3)
    law = None if theory.constant_amplitude else theory.law.draw()
    smooth = law is not None and not law.is_discrete
    line = biject_to(law.support) if law is not None and smooth else None
    # Phases, and readouts on the line, side by side: (field, neuron, coordinate).
    start = [parameters.phase, *([] if line is None else [line.inv(parameters.readout)])]
    start = jnp.stack(start, axis=-1)

    def placed(at: Array) -> Parameters:
        readout = parameters.readout if line is None else line(at[..., 1])
        return Parameters(parameters.mode, at[..., 0], readout)

    def potential(at: Array) -> Array:
        energy = _action(theory, placed(at), beta)
        if line is None or law is None:
            return energy
        weight = line(at[..., 1])
        return energy - jnp.sum(law.log_prob(weight) + line.log_abs_det_jacobian(at[..., 1], weight))

    momentum = jax.random.normal(kick, start.shape)
    size = step * jax.random.uniform(length, (), minval=0.5, maxval=1.5)
    both = jax.value_and_grad(potential)
    energy, slope = both(start)

    def leap(_: Array, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        at, p, _, force = state
        p = p - 0.5 * size * force
        at = at + size * p
        value, force = both(at)
        return at, p - 0.5 * size * force, value, force

    at, last, value, _ = jax.lax.fori_loop(0, LEAPFROGS, leap, (start, momentum, energy, slope))
    change = value - energy + 0.5 * jnp.sum(last**2 - momentum**2)
    chance = jnp.where(jnp.isfinite(change), jnp.exp(jnp.minimum(0.0, -change)), 0.0)
    taken = jax.random.uniform(coin) < chance
    return jax.tree.map(lambda new, old: jnp.where(taken, new, old), placed(at), parameters), chance


def _redraw(
    theory: BoxTheory, key: jax.Array, parameters: Parameters, beta: Any, share: Array
) -> tuple[Parameters, Array]:
    """A share of the neurons from the free network, accepted with min(1, exp(-beta dS))."""
    fresh, which, coin = jax.random.split(key, 3)
    mask = jax.random.uniform(which, parameters.mode.shape) < share
    tried = jax.tree.map(lambda new, old: jnp.where(mask, new, old), drawn(theory, fresh), parameters)
    change = _action(theory, tried, beta) - _action(theory, parameters, beta)
    chance = jnp.exp(jnp.minimum(0.0, -change))
    taken = jax.random.uniform(coin) < chance
    return jax.tree.map(lambda new, old: jnp.where(taken, new, old), tried, parameters), chance
