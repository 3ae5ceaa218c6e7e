"""The exponential neuron, whose kernel is a Gaussian and whose tails are log-normal."""

import jax.numpy as jnp

from ..types import Inputs
from .base import AbstractNeuron, Activation, preactivation

__all__ = ["Gauss"]


class Gauss(AbstractNeuron):
    """Exponential neuron normalised by its own variance, s(x) = exp(W0.x + b0 - bias_scale^2 - weight_scale^2 |x|^2/d).

    K(x, y) = exp(-weight_scale^2 |x-y|^2 / 2d). Its moments are log-normal: at bias_scale = 1 the sixth moment is
    e^12 and plain sampling never finds it (physics of arXiv:2008.08601, sec. 3).
    """

    weight_scale: float = 1.0
    bias_scale: float = 1.0

    def __call__(self, points: Inputs) -> Activation:
        z = preactivation(points, self.weight_scale, self.bias_scale)
        norm = self.bias_scale**2 + self.weight_scale**2 * jnp.sum(points**2, axis=-1) / points.shape[-1]
        return jnp.exp(z - norm)
