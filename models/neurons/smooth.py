"""Neurons of a smooth activation of one Gaussian pre-activation."""

from abc import abstractmethod
from collections.abc import Callable
from itertools import product
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from ..runtime import settled
from ..types import Here, Inputs, Points, There, Tuples, Vector
from .base import EVERY_EVEN, ROTATED, AbstractAffine, Drawn, Response, forget, scale
from .hidden import Hidden, limits
from .quadrature import checked_moments, gaussian_moments, lattice_nodes, line_of
from .signs import path_signs, sign_levels, sign_moments

__all__ = ["GELU", "AbstractSmooth", "Activation", "Erf", "SiLU", "Sin", "Softplus", "Tanh"]

_ROUNDING = 4.0 * float(np.finfo(float).eps)  # of an average of exponentials, each at most one
_FAR = 9.0  # standard deviations that averages of derivatives reach
_PRICE = 1e-9  # change of averages of derivatives, between two rules, over the largest of them
_LATTICE_IS_FASTER = 8e5  # nodes: of Erf at order 6; up to there the rules of `signs.py` take longer

ODD_AND_BOUNDED: dict[str, Any] = {"height": 1.0, "mirrored": True}  # of an odd f with |f| <= 1 that varies over one
_ODD = ROTATED | {"sign": "the activation is odd, z and -z are equally likely, whatever the readout"}


class AbstractSmooth(AbstractAffine):
    """s(x) = f(z) of a smooth f; a class writes `activation`, f for JAX, and `values`, the same f for NumPy.

    A class that writes another `activation` takes back what a class above it knew of its own.
    """

    even: ClassVar[bool] = False
    reasons = ROTATED

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
        """A lattice rule over the Gaussian pre-activations, held against single points (`quadrature.py`)."""
        return checked_moments(self.values, self.covariance(points, points), tuples)

    def odd_moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """Zero of an odd f; else by the same rule, of one point more."""
        if self.even:
            return super().odd_moments(points, tuples)
        return odd_by_one_more(self.values, self.covariance(points, points), tuples)

    def limits(self) -> dict[str, Any]:
        """How far out f goes, as `Hidden` takes it; read off its values where a class does not know better."""
        found = limits(self.values)
        if np.isnan(found["right"]):
            raise self.unknown("limits", "slopes of its activation far out, where none can be read off its values")
        return found

    def hidden(self, points: Points) -> Hidden:
        return Hidden(self.name, self.columns(points), self.values, **self.limits())

    def response(self, gram: Float[np.ndarray, "pair 3"]) -> Response:
        """By Price's theorem, d<f f>/dc_aa = <f'' f>/2 and d<f f>/dc_ab = <f' f'>, with the derivatives of f by JAX."""
        c = self.bias_scale**2 + self.weight_scale**2 * gram
        _check_derivatives(self, float(np.max(c, initial=0.0)))
        averages, change = _price_averages(self.activation, c, 0.25), np.inf
        for step in (0.125, 0.0625, 0.03125):
            before, averages = averages, _price_averages(self.activation, c, step)
            change = np.max(np.abs(averages - before), initial=0.0) / np.max(np.abs(averages), initial=1e-300)
            if change <= _PRICE:
                break
        else:
            raise ValueError(
                f"expected derivatives of {self.name} whose averages converge to {_PRICE:g}, got a change of "
                f"{change:.1g} at the finest rule; try a smaller weight_scale, or measuring the network"
            )
        f20, f11, f02, f40, f31, f22, f13, f04 = averages
        slope = np.stack([0.5 * f20, f11, 0.5 * f02], axis=1)
        rows = [[0.25 * f40, 0.5 * f31, 0.25 * f22], [0.5 * f31, f22, 0.5 * f13], [0.25 * f22, 0.5 * f13, 0.25 * f04]]
        curvature = np.moveaxis(np.array(rows), -1, 0)
        return Response(self.weight_scale**2 * slope, self.weight_scale**4 * curvature)

    @property
    def site_orders(self) -> range:
        return EVERY_EVEN

    def site_moment(self, points: Points, order: int) -> Vector:
        """One Gaussian pre-activation: an integral over a line."""
        return line_of(self.values, np.sqrt(self.variances(points)), order)[0].average()


def odd_by_one_more(
    activation: Callable[[np.ndarray], np.ndarray], covariance: np.ndarray, tuples: Tuples
) -> tuple[Vector, float]:
    """<f(z_1)..f(z_r)> of an odd order r by the rule for even ones, with its error.

    g = f + c with g(0) = 1 is one at a further point where z never varies, so that <g..g> of any order up to r is one
    of order r + 1 there; f..f = (g - c)..(g - c) is a sum over subsets of its factors.

    Example, <|z|> = (2/pi)^(1/2) to the accuracy that a kink allows, and <z + z^2 - 1>:
        >>> value, error = odd_by_one_more(np.abs, np.eye(1), np.zeros((1, 1), dtype=int))
        >>> bool(abs(value[0] - (2 / np.pi) ** 0.5) < error < 1e-2)
        True
        >>> value, error = odd_by_one_more(lambda z: z + z**2 - 1, np.eye(1), np.zeros((1, 3), dtype=int))
        >>> bool(abs(value[0] - 14.0) < 1e-6)   # <h2^3> + 3 <z^2 h2> = 8 + 6
        True
    """
    order, further = tuples.shape[1], len(covariance)
    shift = 1.0 - float(activation(np.zeros(1))[0])
    wider = np.pad(covariance, ((0, 1), (0, 1)))
    kept = np.array(list(product((True, False), repeat=order)))  # (subset, factor)
    chosen = np.where(kept[:, None, :], tuples, further)  # (subset, component, factor)
    rows = np.concatenate([chosen, np.full((*chosen.shape[:2], 1), further)], axis=-1)
    given, error = checked_moments(lambda z: activation(z) + shift, wider, rows.reshape(-1, order + 1))
    signs = (-shift) ** np.sum(~kept, axis=1)
    return signs @ given.reshape(len(kept), -1), float(error * np.sum(np.abs(signs)))


class Erf(AbstractSmooth):
    """Error-function neuron, s(x) = erf(W0.x + b0); its kernel is Williams' arcsine."""

    words = "erf"
    even = True  # f is odd, the law of z is not changed by z -> -z
    reasons = _ODD
    path_orders = (2, 4)
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
            return gaussian_moments(special.erf, covariance, tuples)
        value, each = sign_moments(covariance, tuples)
        return value, float(np.max(each, initial=0.0))

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """(2/pi) arcsin[2c_xy/sqrt((1+2c_xx)(1+2c_yy))]."""
        size = np.sqrt(np.outer(1.0 + 2.0 * self.variances(x), 1.0 + 2.0 * self.variances(y)))
        return 2.0 / np.pi * np.arcsin(2.0 * self.covariance(x, y) / size)

    def path_average(self, covariance: np.ndarray, blocks: Any) -> tuple[Vector, float]:
        return path_signs(covariance, blocks, self.weight_scale, self.bias_scale)

    def path_levels(self, variance: float, count: int) -> Vector:
        return sign_levels(self.weight_scale**2 * variance, self.bias_scale**2, count)


class Tanh(AbstractSmooth):
    """Hyperbolic-tangent neuron, s(x) = tanh(W0.x + b0)."""

    words = "tanh"
    even = True  # f is odd, the law of z is not changed by z -> -z
    reasons = _ODD
    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jnp.tanh(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return np.tanh(z)

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """A lattice rule over the Gaussian pre-activations (`quadrature.py`)."""
        return gaussian_moments(np.tanh, self.covariance(points, points), tuples)

    def limits(self) -> dict[str, Any]:
        return ODD_AND_BOUNDED


class Sin(AbstractSmooth):
    """A plane wave of Gaussian momentum and phase, s(x) = sin(W0.x + b0); its averages are closed at every order."""

    even = True
    reasons = _ODD
    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jnp.sin(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return np.sin(z)

    def limits(self) -> dict[str, Any]:
        return ODD_AND_BOUNDED

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """(2i)^-r sum over signs e of prod(e) exp(-e.C.e/2); opposite signs give the same."""
        order, c = tuples.shape[1], self.covariance(points, points)
        total = np.zeros(len(tuples))
        for e in product((1, -1), repeat=order - 1):
            signs = np.array([1, *e])
            form = np.einsum("i,kij,j->k", signs, c[tuples[:, :, None], tuples[:, None, :]], signs)
            total += np.prod(signs) * np.exp(-0.5 * form)
        return (-1.0) ** (order // 2) * total / 2.0 ** (order - 1), _ROUNDING

    @property
    def rule(self) -> str:
        return "closed form"

    @property
    def orders(self) -> range:
        return EVERY_EVEN

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """exp(-(c_xx + c_yy)/2) sinh c_xy."""
        c = self.covariance(x, y)
        own = 0.5 * np.add.outer(self.variances(x), self.variances(y))
        return -0.5 * np.sign(c) * np.exp(np.abs(c) - own) * np.expm1(-2.0 * np.abs(c))


class GELU(AbstractSmooth):
    """Gaussian error linear unit, s(x) = z Phi(z), z = W0.x + b0, Phi the normal distribution function."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jax.nn.gelu(z, approximate=False)

    def values(self, z: np.ndarray) -> np.ndarray:
        return z * special.ndtr(z)


class SiLU(AbstractSmooth):
    """Sigmoid linear unit, s(x) = z/(1 + exp(-z)), z = W0.x + b0."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jax.nn.silu(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return z * special.expit(z)


class Softplus(AbstractSmooth):
    """s(x) = log(1 + exp(z)), z = W0.x + b0: a rectifier whose kink is smooth."""

    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def activation(self, z: jax.Array) -> jax.Array:
        return jax.nn.softplus(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        return np.logaddexp(z, 0.0)


class Activation(AbstractSmooth):
    """A neuron of any smooth activation of a Gaussian pre-activation, s(x) = f(W0.x + b0).

    W0 ~ N(0, weight_scale^2/d), b0 ~ N(0, bias_scale^2). G2, G4c and G6c are exact by quadrature, with an error that
    says how well. f may grow like a power of z; where its averages do not converge, or a lattice cannot resolve it,
    they are refused with the number. Of an f that is not odd the field still has even orders only, because the readout
    is symmetric. A feature of f narrower than 1e-4 standard deviations of z is seen by no rule.

    Attributes:
        f: a function of JAX arrays, elementwise, in the precision of its argument.
        weight_scale: standard deviation of the input weights times sqrt(d).
        bias_scale: standard deviation of the bias.

    Raises:
        ValueError: an f that cannot be traced by JAX or does not return an array of the shape it was given; at the
            averages, one that is not elementwise, not in double precision, or that grows too fast.

    Example, s = z^2 at one point of unit variance: <s^2> = 3.
        >>> from nnft.models import Network, exact
        >>> square = Activation(lambda z: z**2, weight_scale=1.0, bias_scale=0.0)
        >>> exact(Network(square, 10), np.ones((1, 1)), orders=(2,)).connected(2).round(12).tolist()
        [3.0]
    """

    f: Callable[[jax.Array], jax.Array] = eqx.field(static=True)
    weight_scale: float = scale(1.0)
    bias_scale: float = scale(1.0)

    def __check_init__(self) -> None:
        if not callable(self.f):
            raise ValueError(f"expected an activation, a function of JAX arrays, got {self.f!r}; try jnp.tanh")
        try:
            shape = jax.eval_shape(lambda z: self.f(z), jax.ShapeDtypeStruct((2, 3), np.float32)).shape
        except Exception as error:
            words = str(error).splitlines()[0]
            raise ValueError(
                f"expected an activation that JAX can trace, got {type(error).__name__}: {words}; "
                "try jnp.tanh in place of np.tanh"
            ) from error
        if shape != (2, 3):
            raise ValueError(f"expected an activation that keeps the shape of z, (2, 3), got {shape}; try jnp.tanh")

    @property
    def name(self) -> str:
        return f"Activation({getattr(self.f, '__name__', self.f)})"

    def activation(self, z: jax.Array) -> jax.Array:
        return self.f(z)

    def values(self, z: np.ndarray) -> np.ndarray:
        flat = np.ravel(np.asarray(z, dtype=float))
        size = 1 << max(10, (flat.size - 1).bit_length())  # few sizes: each is compiled once
        with settled():
            found = np.asarray(jax.jit(self.f)(np.pad(flat, (0, size - flat.size))))
        if found.dtype != np.float64:
            raise ValueError(
                f"expected an activation that keeps the precision of z, float64, got {found.dtype}; try leaving out "
                "conversions of its own"
            )
        return found[: flat.size].reshape(np.shape(z))

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """As of every smooth activation, once it is known to act on each z alone."""
        z = np.linspace(-2.0, 2.0, 9)
        if not np.array_equal(self.values(z[:5]), self.values(z)[:5], equal_nan=True):
            raise ValueError(
                f"expected an activation of each z alone, got {self.name}, which mixes them; try a neuron of your own, "
                "m.AbstractNeuron"
            )
        return super().moments(points, tuples)


def _derivatives(activation: Callable[[jax.Array], jax.Array], z: np.ndarray) -> list[np.ndarray]:
    """F and its first four derivatives at z, elementwise, in double precision."""

    def slope(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda y: jax.jvp(f, (y,), (jnp.ones_like(y),))[1]

    f = [activation]
    for _ in range(4):
        f.append(slope(f[-1]))
    size = 1 << max(10, (z.size - 1).bit_length())  # few sizes: each is compiled once
    with settled():
        found = jax.jit(lambda y: [g(y) for g in f])(np.pad(z.ravel(), (0, size - z.size)))
    return [np.asarray(g)[: z.size].reshape(z.shape) for g in found]


def _price_averages(
    activation: Callable[[jax.Array], jax.Array], covariance: Float[np.ndarray, "pair 3"], step: float
) -> Float[np.ndarray, "8 pair"]:
    """<f^(i)(z_a) f^(j)(z_b)>, ij = 20, 11, 02, 40, 31, 22, 13, 04, z ~ N(0, (c_aa, c_ab, c_bb)), by a lattice rule."""
    axis = step * (np.arange(-np.ceil(_FAR / step), np.ceil(_FAR / step)) + 0.5)
    xi = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp(-0.5 * np.sum(xi**2, axis=1))
    xi, weight = xi[weight > np.exp(-0.5 * _FAR**2)], weight[weight > np.exp(-0.5 * _FAR**2)]
    weight = weight / weight.sum()
    out = np.empty((8, len(covariance)))
    rows = max(1, (1 << 21) // len(xi))
    for k in range(0, len(covariance), rows):
        some = covariance[k : k + rows]
        spectrum, axes = np.linalg.eigh(some[:, [[0, 1], [1, 2]]])
        z = np.einsum("pij,nj->ipn", axes * np.sqrt(np.maximum(spectrum, 0.0))[:, None, :], xi)
        f = _derivatives(activation, z)
        pairs = ((2, 0), (1, 1), (0, 2), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4))
        out[:, k : k + rows] = [(f[i][0] * f[j][1]) @ weight for i, j in pairs]
    return out


def _check_derivatives(neuron: AbstractSmooth, variance: float) -> None:
    """Refuse an f whose derivatives are not all there, as at a kink: Stein's <f^(k)> = <He_k(u) f>/c^(k/2) fails."""
    u, c = np.linspace(-_FAR, _FAR, 2001), max(variance, 1e-2)
    weight = np.exp(-0.5 * u**2) / np.sum(np.exp(-0.5 * u**2))
    f = _derivatives(neuron.activation, np.sqrt(c) * (u + 0.7))  # off centre, where parity hides nothing
    hermite = {2: u**2 - 1.0, 3: u**3 - 3.0 * u, 4: u**4 - 6.0 * u**2 + 3.0}
    for k, he in hermite.items():
        found, expected = f[k] @ weight, (he * f[0]) @ weight / c ** (k / 2)
        scale = np.abs(f[k]) @ weight + np.abs(he * f[0]) @ weight / c ** (k / 2)
        if not abs(found - expected) <= 1e-6 * scale:
            raise ValueError(
                f"expected an activation with four derivatives, got {neuron.name}, whose derivative {k} averages to "
                f"{found:.6g} where {expected:.6g} belongs to a smooth one; try one without kinks, m.ReLU, or "
                "measuring the network"
            )
