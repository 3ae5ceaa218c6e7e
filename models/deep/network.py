"""A deep network is neurons of neurons: each layer sees the activations of the one below it as its points.

    h_1 = s_1(x),  h_l = s_l(h_(l-1)),  phi(x) = sigma n_L^(-1/2) sum_i W_i h_L,i(x) + b .

A neuron of the suite draws input weights of variance weight_scale^2/d at inputs of dimension d; in layer l the inputs
are the n_(l-1) activations below, so that z_l has covariance sb^2 + sW^2 S_(l-1), S = n^-1 sum_i h_i(x) h_i(y). Given
the layers below, the neurons of a layer are independent; the layers are not, and their width decides how far the field
is from Gaussian (arXiv:2106.10165, 2204.01058). In the infinite-width limit S is a number, its recursion gives the
kernel; to first order in 1/n see `first_order.py`.
"""

from math import comb
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..combinatorics import sorted_tuples
from ..correlators import check_points
from ..networks.independent import HIGHEST, Independent
from ..networks.model import AbstractModel
from ..networks.readouts import AbstractReadout, Readout, readout_law
from ..neurons.base import AbstractNeuron, as_neuron
from ..refusals import check_deviation, is_traced, is_whole, number
from ..types import Inputs, Matrix, Points, Vector

__all__ = ["Deep", "inputs_of", "kernels", "square"]

MOST_LAYERS = 64


class Deep(AbstractModel):
    """Hidden layers of neurons, one kind and one width each, and a linear readout.

    The scales of a neuron are those of its own weights and biases: `m.Erf(weight_scale=1.5**0.5, bias_scale=0.1**0.5)`
    in a deeper layer has C_w = 1.5 and C_b = 0.1. With one layer it is the `Network` of that neuron.

    Attributes:
        layers: one neuron a hidden layer, from the points up.
        widths: number of neurons of each layer, n_1 .. n_L.
        readout: law of the readout weights, as in `Network`.
        output_scale: standard deviation sigma of a readout weight (before the n_L^(-1/2)).
        output_bias: standard deviation of the Gaussian output bias.

    Raises:
        ValueError: no layers or more than 64, something that is no neuron, as many widths as layers missed, a width
            below 1, an unknown readout law, a negative scale; at the call, a neuron whose output is not (width, point).

    Example:
        >>> import jax, numpy as np, numpyro
        >>> from nnft.models import Tanh
        >>> net = Deep.of(Tanh(), depth=3, width=16)
        >>> numpyro.handlers.seed(net, jax.random.key(0))(np.zeros((5, 2))).shape
        (5,)
    """

    layers: tuple[AbstractNeuron, ...] = eqx.field(converter=lambda given: tuple(given) if _several(given) else given)
    widths: tuple[int, ...] = eqx.field(static=True, converter=lambda given: tuple(given) if _several(given) else given)
    readout: Readout = eqx.field(static=True, default="gaussian")
    output_scale: float = eqx.field(converter=number, default=1.0)
    output_bias: float = eqx.field(converter=number, default=0.0)

    def __check_init__(self) -> None:
        if not isinstance(self.layers, tuple) or not 1 <= len(self.layers) <= MOST_LAYERS:
            count = len(self.layers) if isinstance(self.layers, tuple) else repr(self.layers)
            raise ValueError(
                f"expected 1 to {MOST_LAYERS} hidden layers, one neuron each, got {count}; try "
                "m.Deep((m.Erf(), m.Erf()), widths=(50, 50)), or m.Deep.of(m.Erf(), depth=2, width=50)"
            )
        for layer in self.layers:
            if isinstance(layer, type) or not callable(layer):
                made = f"the class {layer.__name__} itself; try {layer.__name__}()" if isinstance(layer, type) else ""
                raise ValueError(f"expected a neuron in every layer, got {made or f'{layer!r}; try m.Erf()'}")
        if not isinstance(self.widths, tuple) or len(self.widths) != len(self.layers):
            raise ValueError(
                f"expected widths, the number of neurons of each of {len(self.layers)} layers, got {self.widths!r}; "
                f"try widths={(50,) * len(self.layers)}"
            )
        if (bad := next((w for w in self.widths if not is_whole(w, 1)), None)) is not None:
            raise ValueError(f"expected widths to be integers >= 1, got {bad!r} among {self.widths}; try 50")
        readout_law(self.readout).check()
        check_deviation("output_scale", self.output_scale, allow_zero=False)
        check_deviation("output_bias", self.output_bias, allow_zero=True)

    @classmethod
    def of(cls, neuron: AbstractNeuron, depth: int, width: int, **options: Any) -> Self:
        """`depth` layers of one kind of neuron and of one width.

        Example:
            >>> from nnft.models import Erf
            >>> Deep.of(Erf(), depth=3, width=20).widths
            (20, 20, 20)
        """
        if not is_whole(depth, 1) or depth > MOST_LAYERS:
            raise ValueError(f"expected a depth of 1 to {MOST_LAYERS} hidden layers, got {depth!r}; try 2")
        return cls((neuron,) * depth, (width,) * depth, **options)

    def __call__(self, points: Inputs) -> Float[Array, " point"]:
        """Draw one network and return phi at the points; sites: those of `layer1`, .., `readout`, `output_bias`."""
        seen = jnp.asarray(points)
        if seen.ndim != 2:
            raise ValueError(f"expected points of shape (point, axis), got {seen.shape}; try points[:, None]")
        count = seen.shape[0]
        for k, (neuron, width) in enumerate(zip(self.layers, self.widths, strict=True), 1):
            with numpyro.handlers.scope(prefix=f"layer{k}"), numpyro.plate("neuron", width):
                activation = neuron(seen)
            if jnp.shape(activation) != (width, count):
                raise ValueError(
                    f"expected the neuron of layer {k} to return (width, point) = {(width, count)}, got "
                    f"{jnp.shape(activation)}; try `w @ points.T` and `b[..., None]`"
                )
            seen = activation.T
        with numpyro.plate("neuron", self.widths[-1]):
            weight = numpyro.sample("readout", self.readout_law.draw())
        phi = jnp.einsum("n,mn->m", weight, seen) * (self.output_scale / self.widths[-1] ** 0.5)
        if is_traced(self.output_bias) or self.output_bias > 0.0:
            phi = phi + jnp.asarray(numpyro.sample("output_bias", dist.Normal(0.0, self.output_bias)))
        return jnp.asarray(numpyro.deterministic("phi", phi))

    @property
    def kinds(self) -> tuple[AbstractNeuron, ...]:
        """The neurons of the layers, which can be asked."""
        return tuple(map(as_neuron, self.layers))

    @property
    def depth(self) -> int:
        """Number of hidden layers L."""
        return len(self.layers)

    @property
    def name(self) -> str:
        kinds = dict.fromkeys(kind.name for kind in self.kinds)
        return f"{' and '.join(kinds)} of {self.depth} layers"

    @property
    def readout_law(self) -> AbstractReadout:
        """The law of a readout weight before its scale."""
        return readout_law(self.readout)

    @property
    def even(self) -> bool:
        """Readout laws are symmetric."""
        return True

    @property
    def as_sum(self) -> Independent | None:
        """The sum of independent neurons that one hidden layer makes; None of more."""
        return self._last(self.output_bias) if self.depth == 1 else None

    @property
    def elsewhere(self) -> str:
        return f"m.first_order(net, points), which knows {self.name} to first order in 1/n, or measuring it"

    def kernel(self, points: Points) -> Matrix:
        """The two-point function at infinite width."""
        return self.output_scale**2 * kernels(self, points)[-1] + self.output_bias**2

    @property
    def knows_sites(self) -> bool:
        """Where |h|^2 of every layer is a power of the one below times a law of its own."""
        if self.as_sum is not None:
            return HIGHEST in self.as_sum.site_orders
        known = all(kind.site_degree in (0.0, 1.0) for kind in self.kinds[1:]) and self.output_bias == 0.0
        return known and all(HIGHEST in kind.site_orders for kind in self.kinds)

    def site_moments(self, points: Points, order: int) -> Float[np.ndarray, "half point"] | None:
        """Exact <phi(x)^2r>: products over the layers of ReLU without bias, whatever lies below a layer of Cos."""
        if self.as_sum is not None:
            return super().site_moments(points, order)
        if not self.knows_sites:
            return None
        half, one = order // 2, np.ones((1, 1))
        power = np.ones((half, len(points)))  # <S^r> of what the layer sees, in units of its first input
        for k, (kind, width) in enumerate(zip(self.kinds[:-1], self.widths[:-1], strict=True)):
            at, degree = (points, 0.0) if k == 0 else (one, kind.site_degree)
            squares = np.array([kind.site_moment(at, 2 * r) for r in range(1, half + 1)])
            power = (power if degree == 1.0 else 1.0) * _mean_powers(squares, width)
        top = self._last(0.0).site_moments(one, order)
        return (power if self.kinds[-1].site_degree == 1.0 else np.ones((half, len(points)))) * top

    def _last(self, bias: float) -> Independent:
        """The last layer and the readout over fixed inputs."""
        if any(map(is_traced, jax.tree.leaves(self))):
            raise ValueError(
                f"expected numbers for exact results, got traced ones in {self}; try them outside jit, grad and vmap"
            )
        return Independent((self.kinds[-1],), self.widths[-1], self.readout, self.output_scale, bias, None, None)


def kernels(net: Deep, points: Points) -> list[Matrix]:
    """K_l(x, y), the covariance of the activations of each layer at infinite width, (point, point) each.

    The last one, times output_scale^2 and with output_bias^2 added, is the two-point function of the limit.

    Raises:
        ValueError: a neuron that does not know its `moments`, by its name.

    Example, plane waves with a uniform phase keep <s^2> = 1/2:
        >>> from nnft.models import Cos
        >>> [k.round(4).tolist() for k in kernels(Deep.of(Cos(), depth=2, width=9), np.array([[0.0], [1.0]]))]
        [[[0.5, 0.3033], [0.3033, 0.5]], [[0.5, 0.4107], [0.4107, 0.5]]]
    """
    x = check_points(points)
    pairs, out = sorted_tuples(len(x), 2), []
    for neuron in net.kinds:
        value, _ = neuron.moments(x if not out else inputs_of(out[-1]), pairs)
        out.append(square(value, len(x)))
    return out


def square(values: Vector, count: int) -> Matrix:
    """Numbers on sorted pairs as a symmetric table, (point, point)."""
    out = np.zeros((count, count))
    a, b = sorted_tuples(count, 2).T
    out[a, b] = out[b, a] = values
    return out


def inputs_of(kernel: Matrix) -> Float[np.ndarray, "point axis"]:
    """Points whose products x.y/d are the kernel: what the layer above sees at infinite width."""
    spectrum, axes = np.linalg.eigh(kernel)
    return np.sqrt(len(kernel)) * axes * np.sqrt(np.maximum(spectrum, 0.0))


def _several(given: Any) -> bool:
    return isinstance(given, list | tuple)


def _mean_powers(moments: Float[np.ndarray, "half point"], count: int) -> Float[np.ndarray, "half point"]:
    """E S^r, S the mean of `count` independent numbers with raw moments E t^r, r = 1, 2, ..: by their cumulants.

    >>> _mean_powers(np.array([[1.0], [3.0]]), 2).ravel().tolist()   # squares of a normal number: (3 + 1)/2
    [1.0, 2.0]
    """
    half = len(moments)
    kappa, out = np.zeros_like(moments), np.zeros_like(moments)
    for r in range(1, half + 1):
        kappa[r - 1] = moments[r - 1] - sum(comb(r - 1, k - 1) * kappa[k - 1] * moments[r - k - 1] for k in range(1, r))
    scaled = kappa * count ** (1.0 - np.arange(1, half + 1))[:, None]
    for r in range(1, half + 1):
        out[r - 1] = scaled[r - 1] + sum(comb(r - 1, k - 1) * scaled[k - 1] * out[r - k - 1] for k in range(1, r))
    return out
