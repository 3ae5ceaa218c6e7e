"""One neuron is one small probabilistic program: it draws its own parameters and returns its activation at the points.

A neuron is any callable `neuron(points) -> activation` that calls `numpyro.sample` and returns an array
`(..., point)`, the dots being the plate it is called in: with `w = sample("weight", Normal(0,
1).expand([d]).to_event(1))` the pre-activation at all points is `w @ points.T`, and a scalar per neuron broadcasts as
`b[..., None]`. The scales follow arXiv:2008.08601: input weights have variance weight_scale^2/d, d the input
dimension, so that the pre-activation W0.x + b0 has covariance c(x, y) = bias_scale^2 + weight_scale^2 x.y/d.
The readout weight, its scale and the output bias belong to the network (`networks/network.py`).
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from ..refusals import NotKnown, check_deviation, is_traced, number
from ..types import Here, Inputs, Points, There, Tuples, Vector
from .hidden import Hidden

__all__ = [
    "EVERY_EVEN",
    "AbstractAffine",
    "AbstractNeuron",
    "Drawn",
    "ROTATED",
    "Response",
    "as_neuron",
    "brings",
    "forget",
    "scale",
    "weighted",
]

Drawn = Float[Array, "*plate point"]  # activations


def scale(default: float) -> Any:
    """The field of a standard deviation: a number, or one that is traced."""
    return eqx.field(converter=number, default=default)


def brings(thing: object, home: type, answer: str) -> bool:
    """Whether the class of a thing says itself what `home` only refuses."""
    return getattr(type(thing), answer) is not getattr(home, answer)


def forget(cls: type, home: type, *program: str) -> None:
    """Give a class that writes a part of its `program` anew the answers of `home` in place of those it would inherit.

    What is known of a program is not known of another one: only what the class itself brings is its own.
    """
    if any(part in vars(cls) for part in program):
        for word, answer in vars(home).items():
            if not word.startswith("_") and word not in vars(cls):
                setattr(cls, word, answer)


ROTATED = {"rotations": "the input weights are isotropic"}


class Response(NamedTuple):
    """How <s_a s_b> of pairs of points changes with what is drawn in: q_aa, q_ab, q_bb, q = x.y/d of the inputs.

    slope: first derivatives, (pair, 3); curvature: second ones, (pair, 3, 3). On a pair of one point with itself the
    three entries are one number, and only what they add up to counts.
    """

    slope: Float[np.ndarray, "pair 3"]
    curvature: Float[np.ndarray, "pair 3 3"]


class AbstractNeuron(eqx.Module):
    """A neuron: it draws its activation, and answers for what is known of its averages without a draw.

    `__call__` is enough to draw networks and to measure them. A neuron that brings `moments` has exact correlators at
    orders 2, 4 and 6 at once; what it does not bring is refused by its name. What is known belongs to the program it
    was written for: a class that writes `__call__` anew takes back none of the answers of the class it derives from,
    and brings its own.

    Example, a neuron that is on or off everywhere at once, <s^r> = 1/2:

        >>> import numpy as np
        >>> class Switch(AbstractNeuron):
        ...     def __call__(self, points):
        ...         return numpyro.sample("on", dist.Bernoulli(0.5))[..., None] * jnp.ones(len(points))
        ...     def moments(self, points, tuples):
        ...         return np.full(len(tuples), 0.5), 0.0
        >>> Switch().orders, Switch().site_moment(np.zeros((1, 1)), 4).tolist()
        (range(2, 7, 2), [0.5])
    """

    words: ClassVar[str] = ""
    """What networks of it are called on a page, "cosine"; empty where the code of the model says it best."""
    even: ClassVar[bool] = False
    """Whether s and -s are equally likely, so that averages of odd products vanish, as with a uniform phase."""
    reasons: ClassVar[Mapping[str, str]] = {}
    """Why its law has a symmetry, in words: the "sign" of s, "translations" and "rotations" of its inputs."""
    path_orders: ClassVar[tuple[int, ...]] = ()
    """Even orders at which `path_average` answers."""

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        forget(cls, AbstractNeuron, "__call__")

    def __check_init__(self) -> None:
        check_deviation("weight_scale", getattr(self, "weight_scale", 1.0), allow_zero=False)
        check_deviation("bias_scale", getattr(self, "bias_scale", 0.0), allow_zero=True)

    @abstractmethod
    def __call__(self, points: Inputs) -> Drawn:
        """Draw one neuron's parameters and return its activation s(x) at every point."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """<s(x_a1)..s(x_ar)> over one neuron's hidden parameters, (component,), and their absolute error.

        points: (point, axis); tuples: which of them, (component, order), of an even order.
        """
        raise self.unknown("moments", "<s(x_a1)..s(x_ar)> at tuples of points")

    def odd_moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """The same of an odd order, which a readout with a mean asks for; zero of a neuron that is `even`."""
        if self.even:
            return np.zeros(len(tuples)), 0.0
        raise self.unknown("odd_moments", "<s(x_a1)..s(x_ar)> of an odd order")

    @property
    def orders(self) -> range:
        """Even orders at which `moments` answers; 2, 4 and 6 for a neuron of one's own that brings them."""
        return range(2, 7, 2) if brings(self, AbstractNeuron, "moments") else range(0)

    @property
    def rule(self) -> str:
        """How its moments are known where they have an error."""
        return "quadrature"

    @property
    def orders_over_lengths(self) -> range:
        """Orders that still have an average when all points are divided by a log-normal length."""
        return self.orders

    def site_moment(self, points: Points, order: int) -> Vector:
        """<s(x)^order> at each point, (point,), of an even order."""
        return self.moments(points, np.repeat(np.arange(len(points))[:, None], order, axis=1))[0]

    @property
    def site_orders(self) -> range:
        """Even orders at which `site_moment` answers."""
        return self.orders

    @property
    def period(self) -> float:
        """Length after which it repeats along every axis, infinite where it does not."""
        return float("inf")

    @property
    def spacing(self) -> float:
        """Of the lattice on which alone its field is the theory it stands for; zero where it is so everywhere."""
        return 0.0

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """<s(x) s(y)> in closed form between two sets of points, (here, there)."""
        raise self.unknown("kernel", "<s(x) s(y)> in closed form")

    def response(self, gram: Float[np.ndarray, "pair 3"]) -> Response:
        """Derivatives of <s_a s_b> in q_aa, q_ab, q_bb, q = x.y/d: what a layer makes of an input that fluctuates."""
        raise self.unknown("response", "derivatives of <s(x) s(y)> in the products of its inputs")

    @property
    def site_degree(self) -> float | None:
        """K where s(x)^2 is |x|^2k/d^k times a law of its own at every point; None where there is no such k."""
        return None

    def hidden(self, points: Points) -> Hidden:
        """The neuron at the points as a function of its hidden parameters: what W[J] and densities are made of."""
        raise self.unknown("hidden", "J.s as a function of its hidden parameters")

    def path_average(
        self, covariance: Float[np.ndarray, "time time"], blocks: Sequence[Int[np.ndarray, "component _"]]
    ) -> tuple[Vector, float]:
        """< prod_B s_B(x_a) s_B(x_b) .. > of neurons seen along one Gaussian path x, (component,), and its error.

        covariance: of the positions x, numbers on a line, at the times; blocks: for each neuron B the places of its
        factors, (component, factor). The average is over x and over the hidden parameters of every neuron.
        """
        raise self.unknown("path_average", "averages over a Gaussian path of its inputs")

    def path_levels(self, variance: float, count: int) -> Vector:
        """rho_0, rho_1, .. of <s(x) s(y)> = sum_k rho_k q^k, x and y normal of a variance and a correlation q."""
        raise self.unknown("path_levels", "the powers of a correlation in <s(x) s(y)>")

    def core(self) -> "AbstractNeuron":
        """The neuron without a random amplitude that is independent of all else in it; most have none."""
        return self

    def amplitude_moment(self, power: int) -> float:
        """E a^power of that amplitude, s = a times the core."""
        return 1.0

    def draw_amplitudes(self, key: jax.Array, count: int) -> Float[np.ndarray, "neuron 1"]:
        """Draws of that amplitude, one a neuron."""
        return np.ones((count, 1))

    def unknown(self, method: str, what: str) -> NotKnown:
        """The refusal of what this neuron does not bring."""
        return NotKnown(
            f"expected a neuron that brings `{method}`, {what}, got {self.name}, which has none; "
            f"try writing {self.name}.{method}, or measuring it: inf.measure(inf.Ensemble(...))"
        )


EVERY_EVEN = range(2, 1 << 30, 2)
"""Orders of a neuron whose moments are known at every even order."""


class FunctionNeuron(AbstractNeuron):
    """A function that draws a neuron, about which nothing else is known."""

    function: Callable[[Inputs], Drawn]

    def __call__(self, points: Inputs) -> Drawn:
        return self.function(points)

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def as_neuron(neuron: Callable[[Inputs], Drawn]) -> AbstractNeuron:
    """A neuron that can be asked: one that answers for itself, or a function, which knows nothing."""
    return neuron if isinstance(neuron, AbstractNeuron) else FunctionNeuron(neuron)


class AbstractAffine(AbstractNeuron):
    """A neuron of one Gaussian pre-activation z(x) = W0.x + b0, W0 ~ N(0, weight_scale^2/d), b0 ~ N(0, bias_scale^2).

    Attributes:
        weight_scale: standard deviation of the input weights times sqrt(d).
        bias_scale: standard deviation of the bias; no bias site is drawn at zero.
    """

    weight_scale: eqx.AbstractVar[float]
    bias_scale: eqx.AbstractVar[float]

    def draw_preactivation(self, points: Inputs) -> Drawn:
        """Z at every point."""
        z = weighted(points, self.weight_scale)
        if not is_traced(self.bias_scale) and self.bias_scale == 0.0:
            return z
        bias: Any = numpyro.sample("bias", dist.Normal(0.0, self.bias_scale))
        return z + bias[..., None]

    def covariance(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """<z(x) z(y)> = sb^2 + sW^2 x.y/d."""
        return self.bias_scale**2 + self.weight_scale**2 * (x @ y.T) / x.shape[1]

    def columns(self, points: Points) -> Float[np.ndarray, "point column"]:
        """C of the pre-activations z = C xi, xi standard normal: one column a weight, and one of the bias."""
        inputs = self.weight_scale * points / np.sqrt(points.shape[1])
        return np.column_stack([inputs, np.full(len(points), self.bias_scale)])

    def variances(self, points: Points) -> Vector:
        """<z^2> at each point, (point,)."""
        return self.bias_scale**2 + self.weight_scale**2 * np.sum(points**2, axis=1) / points.shape[1]


def weighted(points: Inputs, deviation: float) -> Drawn:
    """W0.x at every point, W0 ~ N(0, deviation^2/d)."""
    d = points.shape[-1]
    weight: Any = numpyro.sample("weight", dist.Normal(0.0, deviation / d**0.5).expand([d]).to_event(1))
    return weight @ points.T
