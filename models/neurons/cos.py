"""The plane wave of random momentum and phase: the free scalar field seen through a window of momenta."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float, Int
from scipy import special

from ..types import Here, Inputs, Points, There, Tuples, Vector
from .base import EVERY_EVEN, ROTATED, AbstractNeuron, Drawn, Response, scale, weighted
from .hidden import Hidden, Wave

__all__ = ["UNIFORM_PHASE", "Cos", "squares", "wave_response"]


UNIFORM_PHASE = {
    "sign": "the phase of every neuron is uniform, c -> c + pi, whatever the readout",
    "translations": "the phase of every neuron is uniform, c -> c + w.a",
}


class Cos(AbstractNeuron):
    """Plane wave of random momentum and phase, s(x) = cos(w.x + c), c ~ U[-pi, pi].

    K(x, y) = (1/2) exp(-weight_scale^2 |x-y|^2 / 2d): translation and rotation invariant at every width.
    """

    words = "cosine"
    even = True  # c -> c + pi
    reasons = ROTATED | UNIFORM_PHASE
    path_orders = (2, 4, 6)
    weight_scale: float = scale(1.0)

    def __call__(self, points: Inputs) -> Drawn:
        z = weighted(points, self.weight_scale)
        phase: Any = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi))
        return jnp.cos(z + phase[..., None])

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """2^-r sum over neutral sign choices e of exp(-(sW^2/2d)|sum_k e_k x_k|^2)."""
        d, order = points.shape[1], tuples.shape[1]
        signs = np.array([e for e in product((1, -1), repeat=order) if sum(e) == 0]).reshape(-1, order)
        momentum = np.einsum("so,coa->csa", signs, points[tuples])
        exponent = -(self.weight_scale**2) / (2 * d) * np.sum(momentum**2, axis=-1)
        return np.sum(np.exp(exponent), axis=1) / 2.0**order, 0.0

    @property
    def orders(self) -> range:
        return EVERY_EVEN

    def hidden(self, points: Points) -> Hidden:
        """exp(i w.x), the phase left out: it is uniform and takes up any shift of the points, which are centred."""
        centred = self.weight_scale * (points - points.mean(axis=0)) / np.sqrt(points.shape[1])
        return Wave(self.name, centred, lambda z: np.exp(1j * z), height=1.0, mirrored=True)

    def site_moment(self, points: Points, order: int) -> Vector:
        """<cos^r> = C(r, r/2)/2^r at every point."""
        return np.full(len(points), special.comb(order, order // 2, exact=True) / 2.0**order)

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """(1/2) exp(-sW^2 |x-y|^2/2d)."""
        return 0.5 * np.exp(-(self.weight_scale**2) * squares(x, y) / (2 * x.shape[1]))

    def path_average(
        self, covariance: Float[np.ndarray, "time time"], blocks: Sequence[Int[np.ndarray, "component _"]]
    ) -> tuple[Vector, float]:
        """prod_B 2^-|B| times the sum over neutral signs e_B of det(1 + S)^(-1/2), S_BB' = sW^2 e_B.C.e_B'."""
        signs = [[(1, *e) for e in product((1, -1), repeat=block.shape[1] - 1) if sum(e) == -1] for block in blocks]
        total = np.zeros(len(blocks[0]))
        for chosen in product(*signs):  # opposite signs give the same
            s = np.empty((len(total), len(blocks), len(blocks)))
            for i, (e, first) in enumerate(zip(chosen, blocks, strict=True)):
                for j, (f, second) in list(enumerate(zip(chosen, blocks, strict=True)))[i:]:
                    among = covariance[first[:, :, None], second[:, None, :]]
                    s[:, i, j] = s[:, j, i] = np.einsum("a,kab,b->k", e, among, f)
            total += np.linalg.det(np.eye(len(blocks)) + self.weight_scale**2 * s) ** -0.5
        return total * np.prod([2.0 ** (1 - block.shape[1]) for block in blocks]), 0.0

    def path_levels(self, variance: float, count: int) -> Vector:
        """C(2k, k) (r/4)^k / (2 (1 + a)^(1/2)), a = 2 sW^2 variance, r = a/(1 + a): of (1/2)(1 + a(1 - q))^(-1/2)."""
        a, k = 2.0 * self.weight_scale**2 * variance, np.arange(count)
        each = np.cumprod(np.concatenate([[1.0], (1.0 - 0.5 / k[1:]) * a / (1.0 + a)])[:count])
        return each / (2.0 * np.sqrt(1.0 + a))

    def response(self, gram: Float[np.ndarray, "pair 3"]) -> Response:
        return wave_response(0.5, self.weight_scale, gram)

    @property
    def site_degree(self) -> float:
        """No trace of |x| is left: the phase is uniform."""
        return 0.0


def squares(x: Here, y: There) -> Float[np.ndarray, "here there"]:
    """|x - y|^2 between two sets of points."""
    return np.sum((x[:, None] - y[None]) ** 2, axis=-1)


def wave_response(size: float, weight_scale: float, gram: Float[np.ndarray, "pair 3"]) -> Response:
    """Derivatives of size exp(-sW^2 (q_aa - 2 q_ab + q_bb)/2)."""
    direction = weight_scale**2 * np.array([-0.5, 1.0, -0.5])
    value = size * np.exp(gram @ direction)
    return Response(value[:, None] * direction, value[:, None, None] * np.outer(direction, direction))
