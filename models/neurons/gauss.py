"""The exponential neuron, whose kernel is a Gaussian and whose tails are log-normal."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..types import Here, Inputs, Points, There, Tuples, Vector
from .base import EVERY_EVEN, ROTATED, AbstractAffine, AbstractNeuron, Drawn, Response, scale
from .cos import squares, wave_response
from .hidden import Hidden

__all__ = ["Gauss"]


class Gauss(AbstractAffine):
    """Exponential neuron normalised by its own variance, s(x) = exp(W0.x + b0 - bias_scale^2 - weight_scale^2 |x|^2/d).

    K(x, y) = exp(-weight_scale^2 |x-y|^2 / 2d). Its moments are log-normal: at bias_scale = 1 the sixth moment is
    e^12 and plain sampling never finds it (physics of arXiv:2008.08601, sec. 3).
    """

    words = "Gauss"
    reasons = ROTATED
    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def __call__(self, points: Inputs) -> Drawn:
        z = self.draw_preactivation(points)
        norm = self.bias_scale**2 + self.weight_scale**2 * jnp.sum(points**2, axis=-1) / points.shape[-1]
        return jnp.exp(z - norm)

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """exp[(r^2/2 - r) sb^2 + (sW^2/2d)(|sum x_k|^2 - 2 sum |x_k|^2)]."""
        d, order, chosen = points.shape[1], tuples.shape[1], points[tuples]  # (component, order, axis)
        spread = np.sum(np.sum(chosen, axis=1) ** 2, axis=-1) - 2.0 * np.sum(chosen**2, axis=(1, 2))
        exponent = (order**2 / 2.0 - order) * self.bias_scale**2 + self.weight_scale**2 / (2 * d) * spread
        if np.max(exponent, initial=0.0) > 700.0:
            raise ValueError(
                f"expected moments of Gauss within floating point, got e^{np.max(exponent):.0f} at order {order}; "
                "try points nearer the origin or a lower order"
            )
        return np.exp(exponent), 0.0

    def odd_moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """By the same formula: no parity enters."""
        return self.moments(points, tuples)

    @property
    def orders(self) -> range:
        return EVERY_EVEN

    def hidden(self, points: Points) -> Hidden:
        """One where nothing is random, at the origin and without bias; else no power of xi bounds it."""
        norm = self.variances(points)
        slope = np.inf if np.any(norm) else 0.0
        return Hidden(self.name, self.columns(points), lambda z: np.exp(z - norm), height=1.0, right=slope)

    @property
    def orders_over_lengths(self) -> range:
        return range(2, 3, 2)  # <s^4> ~ exp(c/l^2) has no average over a log-normal length

    def site_moment(self, points: Points, order: int) -> Vector:
        """exp[(r^2/2 - r) c], c the variance of the pre-activation; inf beyond floating point."""
        with np.errstate(over="ignore"):
            return np.exp((order**2 / 2.0 - order) * self.variances(points))

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """exp(-sW^2 |x-y|^2/2d)."""
        return np.exp(-(self.weight_scale**2) * squares(x, y) / (2 * x.shape[1]))

    def response(self, gram: Float[np.ndarray, "pair 3"]) -> Response:
        return wave_response(1.0, self.weight_scale, gram)

    def core(self) -> AbstractNeuron:
        return Gauss(self.weight_scale, 0.0)

    def amplitude_moment(self, power: int) -> float:
        """Of exp(b0 - sb^2), the log-normal factor that no sample finds: exp(k^2 sb^2/2 - k sb^2).

        To know it is the exponential tilt of b0 to N(k sb^2, sb^2) that leaves no variance in it.
        """
        return float(np.exp((power**2 / 2 - power) * self.bias_scale**2))

    def draw_amplitudes(self, key: jax.Array, count: int) -> Float[np.ndarray, "neuron 1"]:
        z = np.asarray(jax.random.normal(key, (count, 1)), dtype=float)
        return np.exp(self.bias_scale * z - self.bias_scale**2)
