"""Neurons of a smooth activation of one Gaussian pre-activation."""

import jax
import jax.numpy as jnp

from ..types import Inputs
from .base import AbstractNeuron, Activation, preactivation

__all__ = ["Erf", "Tanh"]


class Erf(AbstractNeuron):
    """Error-function neuron, s(x) = erf(W0.x + b0); its kernel is Williams' arcsine."""

    weight_scale: float = 1.0
    bias_scale: float = 1.0

    def __call__(self, points: Inputs) -> Activation:
        return jax.scipy.special.erf(preactivation(points, self.weight_scale, self.bias_scale))


class Tanh(AbstractNeuron):
    """Hyperbolic-tangent neuron, s(x) = tanh(W0.x + b0)."""

    weight_scale: float = 1.0
    bias_scale: float = 1.0

    def __call__(self, points: Inputs) -> Activation:
        return jnp.tanh(preactivation(points, self.weight_scale, self.bias_scale))
