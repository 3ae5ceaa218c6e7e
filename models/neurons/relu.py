"""The rectified neuron: linear on one side, silent on the other."""

import jax.numpy as jnp

from ..types import Inputs
from .base import AbstractNeuron, Activation, preactivation

__all__ = ["ReLU"]


class ReLU(AbstractNeuron):
    """Rectified neuron, s(x) = max(W0.x + b0, 0); the published choice has no bias."""

    weight_scale: float = 1.0
    bias_scale: float = 0.0

    def __call__(self, points: Inputs) -> Activation:
        return jnp.maximum(preactivation(points, self.weight_scale, self.bias_scale), 0.0)
