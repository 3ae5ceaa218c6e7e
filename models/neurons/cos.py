"""The plane wave of random momentum and phase: the free scalar field seen through a window of momenta."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ..types import Inputs
from .base import AbstractNeuron, Activation, weighted

__all__ = ["Cos"]


class Cos(AbstractNeuron):
    """Plane wave of random momentum and phase, s(x) = cos(w.x + c), c ~ U[-pi, pi].

    K(x, y) = (1/2) exp(-weight_scale^2 |x-y|^2 / 2d): translation and rotation invariant at every width.
    """

    weight_scale: float = 1.0

    def __call__(self, points: Inputs) -> Activation:
        z = weighted(points, self.weight_scale)
        phase: Any = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi))
        return jnp.cos(z + phase[..., None])
