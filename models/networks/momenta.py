"""Which momenta a regulated scalar field has: their integrals in momentum space, and how to draw one of them.

    I_b(q) = int d^dp/(2 pi)^d  R(p) (p^2 + m^2)^b cos(p.q)

with R = 1 in the ball |p| < Lambda ("hard"), R = exp(-p^2/2 Lambda^2) ("gaussian"), or the integral replaced by L^-d
times the sum over p = 2 pi k/L, |k_i| <= K, in a periodic box of side L. The radial integrals hold in d = 1 to 4, where
the average of cos(p.q) over directions is cos z, J0(z), sin z/z, 2 J1(z)/z with z = pq. Momenta are drawn by inverting
their distribution function.
"""

from functools import reduce
from itertools import product
from math import atan, expm1, gamma, log1p, pi

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from scipy import special

from ..types import Points, Vector

__all__ = [
    "Modes",
    "Quantile",
    "angular_average",
    "box_integral",
    "box_momenta",
    "box_squares",
    "check_dimension",
    "momentum_radius",
    "radial_integral",
]

OSCILLATIONS = 2.0  # of cos(pq) within one panel of the quadrature
NODES, FEWER_NODES = 24, 18  # Gauss points per panel; the two rules differ by more than the error of the first
BLOCK = 1 << 20  # integrand values in memory at a time
MOST_NODES = 1 << 24  # of one integral: cutoff times separation near ten million
MOST_MODES = 1 << 20  # of a box
CELLS = 4096  # of the table of momenta; its distribution function is right to 1e-6 (tested)

_ANGULAR = {
    1: np.cos,
    2: special.j0,
    3: lambda z: np.sinc(z / pi),
    4: lambda z: 2.0 * special.j1(np.maximum(z, 1e-300)) / np.maximum(z, 1e-300),
}


def angular_average(d: int, z: np.ndarray) -> np.ndarray:
    """The average of cos(p.q) over the directions of p in d dimensions, z = |p||q|; d from 1 to 4.

    >>> angular_average(3, np.array([0.0, np.pi])).round(12).tolist()
    [1.0, 0.0]
    """
    return np.asarray(_ANGULAR[d](z))


def radial_integral(
    separations: Vector, power: float, d: int, *, mass: float, cutoff: float, damped: bool = False
) -> tuple[Vector, float]:
    """I_b(|q|) under the hard cutoff, or the Gaussian one with `damped`, and the estimated absolute error.

    Composite Gauss-Legendre in |p|: the panels grow with the distance from the poles at p = +-i m and hold at most two
    oscillations. An infinite hard cutoff is the propagator on the line, I_-1 = exp(-m|q|)/2m in d = 1.

    Args:
        separations: |q|, (component,).
        power: b.
        d: dimension, 1 to 4.
        mass: m > 0.
        cutoff: Lambda > 0.
        damped: R = exp(-p^2/2 Lambda^2) instead of the ball.

    Returns:
        The integrals, (component,), and the largest difference to a coarser rule plus the rounding of the phases.

    Raises:
        ValueError: d above 4; an infinite cutoff where the integral or its moments diverge; cutoff times separation so
            large that the oscillations cannot be followed.

    Example:
        >>> value, error = radial_integral(np.array([0.0]), -1.0, 1, mass=1.0, cutoff=10.0)
        >>> bool(abs(value[0] - np.arctan(10.0) / np.pi) < 1e-14)
        True
    """
    q = np.abs(np.asarray(separations, dtype=float)) * mass  # momenta in units of the mass from here on
    check_dimension(d, cutoff)
    if np.isinf(cutoff):
        if power != -1.0:
            raise ValueError(f"expected power -1 without a cutoff, got {power}; try a finite cutoff")
        return np.exp(-q) / (2.0 * mass), 0.0
    scale = mass ** (2.0 * power + d) * 2.0 / ((4.0 * pi) ** (d / 2.0) * gamma(d / 2.0))
    values, error, left = np.empty_like(q), 0.0, np.argsort(q)
    while len(left):
        widest = float(q[left[-1]])  # sets the panels of its block
        edges = _panels(d, power, cutoff / mass, damped, widest)
        rows = left[-max(1, BLOCK // (len(edges) * NODES)) :]
        left = left[: len(left) - len(rows)]
        fine, size = _composite(q[rows], power, d, edges, cutoff / mass, damped, NODES)
        coarse, _ = _composite(q[rows], power, d, edges, cutoff / mass, damped, FEWER_NODES)
        values[rows] = scale * fine
        rounding = np.finfo(float).eps * (4.0 + widest * edges[-1]) * size
        error = max(error, scale * float(np.max(np.abs(fine - coarse)) + rounding))
    return values, error


def box_squares(length: float, modes: int, *, lattice: bool = False) -> Vector:
    """The p^2 of each k = 0 .. K along an axis of the box, (K + 1,); of 2K + 1 sites, (2/a)^2 sin^2(p a/2).

    >>> box_squares(3.0, 1, lattice=True).tolist()   # three sites, a = 1: 2 - 2 cos(2 pi/3)
    [0.0, 2.9999999999999996]
    """
    p = 2.0 * pi / length * np.arange(modes + 1)
    spacing = length / (2 * modes + 1)
    return (2.0 / spacing * np.sin(0.5 * spacing * p)) ** 2 if lattice else p**2


def box_integral(
    separations: Points, power: float, *, mass: float, length: float, modes: int, lattice: bool = False
) -> Vector:
    """I_b(q) in the periodic box, L^-d sum_k (p_k^2 + m^2)^b cos(p_k.q), for vectors q (component, axis).

    The weights are even in each k_i, so the cosine of the sum is a product of cosines, summed axis by axis. With
    `lattice` p_k^2 is that of the nearest-neighbour lattice of 2K + 1 sites an axis.

    Example:
        >>> box_integral(np.zeros((1, 1)), -1.0, mass=1.0, length=2.0, modes=0).tolist()   # the zero mode, 1/(L m^2)
        [0.5]
    """
    count, d = separations.shape
    _check_modes(d, modes)
    line = 2.0 * pi / length * np.arange(modes + 1)
    twice = np.where(np.arange(modes + 1) > 0, 2.0, 1.0)
    square = reduce(np.add.outer, [box_squares(length, modes, lattice=lattice)] * d)
    weights = reduce(np.multiply.outer, [twice] * d) * (square + mass**2) ** power / length**d
    phases = np.cos(separations[:, :, None] * line)  # (component, axis, mode)
    out, chunk = np.empty(count), max(1, 16 * BLOCK // weights.size)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        total = phases[rows, 0] @ weights.reshape(modes + 1, -1)
        for axis in range(1, d):
            total = np.einsum("qn,qnr->qr", phases[rows, axis], total.reshape(len(total), modes + 1, -1))
        out[rows] = total[:, 0]
    return out


def box_momenta(d: int, *, length: float, modes: int) -> Points:
    """The momenta 2 pi k/L, |k_i| <= K, of the box, ((2K+1)^d, axis).

    >>> box_momenta(1, length=2 * np.pi, modes=1).tolist()
    [[-1.0], [0.0], [1.0]]
    """
    _check_modes(d, modes)
    return 2.0 * pi / length * np.array(list(product(range(-modes, modes + 1), repeat=d)), dtype=float)


def check_dimension(d: int, cutoff: float) -> None:
    """Refuse a dimension without a formula, or without a finite propagator."""
    if d not in _ANGULAR:
        raise ValueError(f"expected points in dimension 1 to 4, got {d}; try regulator='box'")
    if np.isinf(cutoff) and d > 1:
        raise ValueError(f"expected a finite cutoff in d = {d}, where G2(0) diverges, got {cutoff}; try cutoff=10.0")


def momentum_radius(
    quantile: Float[Array, "*plate"], d: int, *, mass: float, cutoff: float, alpha: float, damped: bool = False
) -> Float[Array, "*plate"]:
    """The |p| below which (alpha <= 0) or above which (alpha > 0) a share `quantile` of the momenta lies.

    Density of |p| ~ p^(d-1) R(p) (p^2 + m^2)^-(1+alpha). The end the quantile counts from is the one where the
    amplitude ~ (p^2 + m^2)^(alpha/2) is large: there a small share of the momenta can carry most of the fourth moment.
    Closed for the hard cutoff at alpha = -1 (uniform in the ball), at alpha = 0 in d = 1 and at every alpha in d = 2;
    else a table of 4096 cells in double precision, linear within a cell, its distribution function right to 1e-6.
    """
    ratio = cutoff / mass
    if not damped and alpha == -1.0:
        return cutoff * quantile ** (1.0 / d)
    if not damped and alpha == 0.0 and d == 1:
        return mass * jnp.tan(quantile * atan(ratio))
    if not damped and alpha == 0.0 and d == 2:
        return mass * jnp.sqrt(jnp.expm1(quantile * log1p(ratio**2)))
    if not damped and d == 2:  # (1 + p^2/m^2)^-alpha runs evenly from one end to the other
        last = expm1(-alpha * log1p(ratio**2))
        log = jnp.log1p(quantile * last) if alpha < 0 else jnp.log((1.0 + last) - quantile * last)
        return mass * jnp.sqrt(jnp.maximum(jnp.expm1(-log / alpha), 0.0))  # rounding at p = 0
    edges = _panels(d, -1.0 - alpha, ratio, damped, 0.0, cells=CELLS)
    share = _masses(d, -1.0 - alpha, edges, ratio, damped)
    if alpha > 0:
        edges, share = edges[::-1], share[::-1]
    cumulative = np.concatenate([[0.0], np.cumsum(share)])
    return mass * jnp.interp(quantile, jnp.asarray(cumulative / cumulative[-1]), jnp.asarray(edges))


class Quantile(dist.Uniform):
    """Uniform in (0, 1], drawn from all bits of a random integer, so that it is finely resolved near zero.

    The usual single-precision draw is a multiple of 2^-23 and can be zero; this one starts at 2^-33.
    """

    def sample(self, key: jax.Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # a handler always supplies one
        bits = jax.random.bits(key, sample_shape + self.batch_shape, jnp.result_type(jnp.uint))
        return (bits.astype(jnp.result_type(float)) + 0.5) * 2.0 ** -jnp.iinfo(bits.dtype).bits


class Modes(dist.CategoricalProbs):
    """Categorical over the modes of a box, drawn by bisecting the distribution function.

    NumPyro's own Categorical compares every draw with every category: a thousand times the work at K = 16 in d = 2.
    The function is accumulated in double precision; in single precision it is right to 6e-8.
    """

    pytree_data_fields = ("cumulative",)

    def __init__(self, weights: np.ndarray) -> None:
        cumulative = np.cumsum(np.asarray(weights, dtype=float))
        self.cumulative = jnp.asarray(cumulative / cumulative[-1])
        super().__init__(jnp.asarray(weights / cumulative[-1]))

    def sample(self, key: jax.Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        quantile = Quantile().sample(key, sample_shape)
        return jnp.minimum(jnp.searchsorted(self.cumulative, quantile), len(self.cumulative) - 1)


def _check_modes(d: int, modes: int) -> None:
    if (2 * modes + 1) ** d > MOST_MODES:
        raise ValueError(f"expected at most {MOST_MODES} momenta, got (2*{modes} + 1)^{d}; try fewer modes per axis")


def _reach(d: int, power: float, ratio: float, damped: bool) -> float:
    """Largest momentum over mass; with the Gaussian regulator all but 1e-18 of the weight is below it."""
    return ratio * (2.0 * special.gammainccinv(max(power, 0.0) + d / 2.0, 1e-18)) ** 0.5 if damped else ratio


def _panels(
    d: int, power: float, ratio: float, damped: bool, separation: float, *, cells: int | None = None
) -> np.ndarray:
    """Panel edges in p/m: their number per momentum follows the poles, the regulator and the oscillations."""
    reach = _reach(d, power, ratio, damped)
    p = np.sinh(np.linspace(0.0, np.arcsinh(reach), 2048))
    p[-1] = reach
    number = np.arcsinh(p) + (p / ratio if damped else 0.0) + p * separation / (2.0 * pi * OSCILLATIONS)
    if not number[-1] * NODES < MOST_NODES:
        raise ValueError(
            f"expected cutoff times separation below about 1e7, got {ratio * separation:.2g}; "
            "try points closer together or a lower cutoff"
        )
    count = int(np.ceil(number[-1])) + 1 if cells is None else cells
    return np.interp(np.linspace(0.0, number[-1], count + 1), number, p)


def _nodes(edges: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights on every panel, (panel, node)."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = np.diff(edges)[:, None] / 2.0
    return edges[:-1, None] + half * (1.0 + x), half * w


def _density(p: np.ndarray, power: float, d: int, ratio: float, damped: bool) -> np.ndarray:
    return p ** (d - 1) * (p**2 + 1.0) ** power * (np.exp(-(p**2) / (2.0 * ratio**2)) if damped else 1.0)


def _masses(d: int, power: float, edges: np.ndarray, ratio: float, damped: bool) -> np.ndarray:
    """The integral of the density over each cell."""
    p, weight = _nodes(edges, 6)
    return np.sum(weight * _density(p, power, d, ratio, damped), axis=1)


def _composite(
    separations: np.ndarray, power: float, d: int, edges: np.ndarray, ratio: float, damped: bool, nodes: int
) -> tuple[np.ndarray, float]:
    p, weight = (a.ravel() for a in _nodes(edges, nodes))
    weight = weight * _density(p, power, d, ratio, damped)
    return _ANGULAR[d](separations[:, None] * p) @ weight, float(np.sum(weight))
