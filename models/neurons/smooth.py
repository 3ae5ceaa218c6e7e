"""Neurons of a smooth activation of one Gaussian pre-activation."""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from ..types import Inputs, Points, Tuples, Vector
from .base import EVERY_EVEN, AbstractAffine, Drawn, forget, scale
from .hidden import Hidden, limits
from .quadrature import gaussian_moments, lattice_nodes
from .signs import sign_moments

__all__ = ["AbstractSmooth", "Erf", "Tanh"]

_REACH = 9.0  # standard deviations of one pre-activation
_LATTICE_IS_FASTER = 8e5  # nodes: of Erf at order 6; up to there the rules of `signs.py` take longer

ODD_AND_BOUNDED: dict[str, Any] = {"height": 1.0, "mirrored": True}  # of an odd f with |f| <= 1 that varies over one


class AbstractSmooth(AbstractAffine):
    """s(x) = f(z) of a smooth f; a class writes `activation`, f for JAX, and `values`, the same f for NumPy.

    A class that writes another `activation` takes back what a class above it knew of its own.
    """

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        forget(cls, AbstractSmooth, "activation")

    def __call__(self, points: Inputs) -> Drawn:
        return self.activation(self.draw_preactivation(points))

    @abstractmethod
    def activation(self, z: jax.Array) -> jax.Array:
        """f(z) elementwise, as the network draws it."""

    @abstractmethod
    def values(self, z: np.ndarray) -> np.ndarray:
        """f(z) elementwise in double precision, as averages take it."""

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """A lattice rule over the Gaussian pre-activations (`quadrature.py`)."""
        return gaussian_moments(self.values, self.covariance(points, points), tuples)

    def limits(self) -> dict[str, Any]:
        """How far out f goes, as `Hidden` takes it; read off its values where a class does not know better."""
        found = limits(self.values)
        if np.isnan(found["right"]):
            raise self.unknown("limits", "slopes of its activation far out, where none can be read off its values")
        return found

    def hidden(self, points: Points) -> Hidden:
        return Hidden(self.name, self.factor(points), self.values, **self.limits())

    @property
    def site_orders(self) -> range:
        return EVERY_EVEN

    def site_moment(self, points: Points, order: int) -> Vector:
        """One Gaussian pre-activation of variance c: a kink of width 1/sqrt(c), so panels that double from there on."""
        c = self.variances(points)
        y, weight = special.roots_legendre(32)
        out, edge, narrow = np.zeros(len(c)), np.zeros(len(c)), (1.0 + 2.0 * c) ** -0.5
        while np.any(edge < _REACH):
            half = 0.5 * (np.minimum(np.maximum(2.0 * edge, narrow), _REACH) - edge)
            xi = edge[:, None] + half[:, None] * (1.0 + y)
            out += half * ((self.values(np.sqrt(c)[:, None] * xi) ** order * np.exp(-0.5 * xi**2)) @ weight)
            edge = edge + 2.0 * half
        return out * (2.0 / np.pi) ** 0.5


class Erf(AbstractSmooth):
    """Error-function neuron, s(x) = erf(W0.x + b0); its kernel is Williams' arcsine."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jax.scipy.special.erf(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return special.erf(z)

    def limits(self) -> dict[str, Any]:
        return ODD_AND_BOUNDED

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """The mean sign of noisy pre-activations, at any size of them (`signs.py`)."""
        covariance, order = self.covariance(points, points), tuples.shape[1]
        if order >= 6 and lattice_nodes(covariance, order) < _LATTICE_IS_FASTER:
            return super().moments(points, tuples)
        value, each = sign_moments(covariance, tuples)
        return value, float(np.max(each, initial=0.0))

    def kernel(self, x: Points, y: Points) -> Float[np.ndarray, "here there"]:
        """(2/pi) arcsin[2c_xy/sqrt((1+2c_xx)(1+2c_yy))]."""
        size = np.sqrt(np.outer(1.0 + 2.0 * self.variances(x), 1.0 + 2.0 * self.variances(y)))
        return 2.0 / np.pi * np.arcsin(2.0 * self.covariance(x, y) / size)


class Tanh(AbstractSmooth):
    """Hyperbolic-tangent neuron, s(x) = tanh(W0.x + b0)."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jnp.tanh(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return np.tanh(z)

    def limits(self) -> dict[str, Any]:
        return ODD_AND_BOUNDED
