"""What a prior with parameters of its own sees of the data: one Gaussian in the couplings of the interaction.

The equations are Gaussian in the couplings, so the quadratic part, with its own prior given the interaction
(`unit.py`), is integrated out; what is left is one Gaussian, whatever prior the interaction is given.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...models.types import Matrix, Vector
from ..equations.from_moments import Equations
from .likelihood import precision
from .unit import Prior

__all__ = ["Marginal", "marginal", "with_quadratic"]


class Marginal(NamedTuple):
    """The Gaussian likelihood of the quartic couplings, N(quartic; centre, precision^-1), and quadratic given them.

    quadratic = offset - slope quartic + root z: centre (quartic,), precision (quartic, quartic), offset (quadratic,),
    slope (quadratic, quartic), root (quadratic, quadratic); factor: L with L L^T the covariance of the quartic
    couplings under the default prior.
    """

    centre: Vector
    precision: Matrix
    offset: Vector
    slope: Matrix
    root: Matrix
    factor: Matrix


def marginal(eq: Equations, prior: Prior) -> Marginal:
    """The quadratic part integrated out: data precision Lambda and the prior quadratic | quartic together."""
    noise = precision(eq)
    data, vector = eq.matrix.T @ noise @ eq.matrix, eq.matrix.T @ noise @ eq.vector
    q = len(prior.factor2)
    inverse = np.linalg.inv(prior.factor2)
    own = inverse.T @ inverse  # precision of quadratic + shift quartic - centre2
    top, cross = data[:q, :q] + own, data[:q, q:] + own @ prior.shift
    bottom = data[q:, q:] + prior.shift.T @ own @ prior.shift
    right = vector[:q] + own @ prior.centre2
    covariance = np.linalg.inv(top)
    schur = bottom - cross.T @ covariance @ cross
    target = vector[q:] + prior.shift.T @ own @ prior.centre2 - cross.T @ covariance @ right
    return Marginal(
        np.linalg.solve(schur, target),
        0.5 * (schur + schur.T),
        covariance @ right,
        covariance @ cross,
        np.linalg.cholesky(covariance),
        prior.factor4,
    )


def with_quadratic(given: Marginal, quartic: jax.Array, key: jax.Array) -> jax.Array:
    """Theta = (quadratic, quartic) with the quadratic part drawn given the quartic couplings, (term,)."""
    z = jax.random.normal(key, (len(given.offset),))
    return jnp.concatenate([given.offset - given.slope @ quartic + given.root @ z, quartic])
