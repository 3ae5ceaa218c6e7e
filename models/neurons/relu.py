"""The rectified neuron: linear on one side, silent on the other."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from ..types import Inputs, Points, Tuples, Vector
from .base import EVERY_EVEN, AbstractAffine, Drawn, scale
from .hidden import Hidden, Homogeneous
from .quadrature import relu_moments

__all__ = ["ReLU"]


class ReLU(AbstractAffine):
    """Rectified neuron, s(x) = max(W0.x + b0, 0); the published choice has no bias."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(0.0)

    def __call__(self, points: Inputs) -> Drawn:
        return jnp.maximum(self.draw_preactivation(points), 0.0)

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """Averages over the cone of pre-activations on which all arguments are positive (`quadrature.py`)."""
        return relu_moments(self.covariance(points, points), tuples)

    def hidden(self, points: Points) -> Hidden:
        return Homogeneous(self.name, self.factor(points), lambda z: np.maximum(z, 0.0), height=0.0, right=1.0)

    def site_moment(self, points: Points, order: int) -> Vector:
        """Half of what a Gaussian of the same variance has."""
        return 0.5 * special.factorial2(order - 1, exact=True) * self.variances(points) ** (order / 2)

    @property
    def site_orders(self) -> range:
        return EVERY_EVEN

    def kernel(self, x: Points, y: Points) -> Float[np.ndarray, "here there"]:
        """The first arc-cosine kernel: (1/2pi) sqrt(c_xx c_yy) [sin t + (pi-t) cos t]."""
        across, size = self.covariance(x, y), np.sqrt(np.outer(self.variances(x), self.variances(y)))
        angle = np.arccos(np.clip(np.divide(across, size, out=np.ones_like(size), where=size > 0), -1.0, 1.0))
        return size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
