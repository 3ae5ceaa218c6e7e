"""What a prior with structure needs to be sampled: the Gaussian likelihood of the quartic couplings, and its program.

The equations are Gaussian in the couplings, so the quadratic part, with its own prior given the quartic couplings
(`unit.py`), is integrated out; what is left is one Gaussian in the quartic couplings, whatever prior they are given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...models.refusals import nearest
from ...models.types import Matrix, Vector
from ..equations.from_moments import Equations
from .likelihood import precision
from .unit import Prior

__all__ = ["Marginal", "Program", "check_laws", "marginal", "with_quadratic"]


Sites = dict[str, jax.Array]


class Marginal(NamedTuple):
    """The Gaussian likelihood of the quartic couplings, N(quartic; centre, precision^-1), and quadratic given them.

    quadratic = offset - slope quartic + root z: centre (quartic,), precision (quartic, quartic), offset (quadratic,),
    slope (quadratic, quartic), root (quadratic, quadratic); scale: sd of the quartic couplings under the default prior.
    """

    centre: Vector
    precision: Matrix
    offset: Vector
    slope: Matrix
    root: Matrix
    scale: Vector


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
    scale = np.sqrt(np.sum(prior.factor4**2, axis=1))
    return Marginal(
        np.linalg.solve(schur, target),
        0.5 * (schur + schur.T),
        covariance @ right,
        covariance @ cross,
        np.linalg.cholesky(covariance),
        scale,
    )


class Program(NamedTuple):
    """A prior with structure as functions of the data, so that one compiled program serves every fit of a shape.

    hyper: the NumPyro model (marginal) of what NUTS moves, with the likelihood; before: the same without it; complete:
    (marginal, values, key) -> all sites of a draw, theta among them; prior: the same before the data, with the quartic
    couplings as quartic_scaled; start: (marginal) -> where chains begin, by site.
    """

    hyper: Callable[[Marginal], None]
    before: Callable[[Marginal], None]
    complete: Callable[[Marginal, Sites, jax.Array], Sites]
    prior: Callable[[Marginal, Sites, jax.Array], Sites]
    start: Callable[[Marginal], dict[str, Any]]


def with_quadratic(given: Marginal, quartic: jax.Array, key: jax.Array) -> jax.Array:
    """Theta = (quadratic, quartic) with the quadratic part drawn given the quartic couplings, (term,)."""
    z = jax.random.normal(key, (len(given.offset),))
    return jnp.concatenate([given.offset - given.slope @ quartic + given.root @ z, quartic])


def check_laws(laws: Mapping[str, Any], sites: tuple[str, ...]) -> None:
    """Refuse a prior for a site there is not."""
    for name in laws:
        if name not in sites:
            raise ValueError(f"expected prior for one of {sites}, got {name!r}; try {nearest(name, list(sites))!r}")
