"""A random network is a random function: phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1, written as a NumPyro program.

`Network(neuron, width)` is an ordinary NumPyro model: call it with points of shape (point, axis) and it draws
parameters and registers the field as the deterministic site `phi`. `E[W^2] = output_scale^2`, the 1/sqrt(N) is
explicit, and b1 ~ N(0, output_bias^2) is independent of everything else, so it adds output_bias^2 to the two-point
function and nothing to any higher cumulant (arXiv:2008.08601, 2307.03223). Neurons may be of several kinds, in equal
shares, and may share a random scale or length, which correlates them (`latents.py`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..neurons.base import AbstractNeuron, as_neuron, forget
from ..refusals import check_deviation, is_traced, number
from ..types import Inputs
from .independent import Independent
from .latents import AbstractScale, LogNormalLength
from .model import AbstractModel, shared_reasons
from .readouts import AbstractReadout, Readout, readout_law

__all__ = ["Network", "Neuron"]

Neuron = Callable[[Inputs], Float[Array, "*plate point"]]
"""One neuron: draws its parameters at `numpyro.sample` sites and returns its activation at the points."""


# How JAX and NumPy begin to speak of arrays that do not fit.
_SHAPES = re.compile(r"shape|broadcast|dimension|contract|axis|axes", re.I)


class Network(AbstractModel):
    """phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1 with N = width neurons, independent unless they share a latent.

    Attributes:
        neuron: a neuron of the suite or any function `neuron(points) -> (..., point)` that calls `numpyro.sample`; a
            tuple of them is a network of several kinds of neurons, width/len(neuron) of each.
        width: number of neurons N.
        readout: law of the readout weights W_i, one of "gaussian", "uniform", "rademacher", "laplace", or a law of
            one's own (`AbstractReadout`).
        output_scale: standard deviation sigma of a readout weight (before the 1/sqrt(N)).
        output_bias: standard deviation of the Gaussian output bias.
        shared_scale: tau, drawn once per network, E tau = 1: every readout weight is multiplied by sqrt(tau).
        shared_length: l, drawn once per network: every neuron sees the points x/l.

    Scales may be traced: a scale drawn in a NumPyro model, a gradient in a scale, a network as argument of a compiled
    function. Then no range is checked, and a bias has its site whatever its scale is.

    Raises:
        ValueError: width below 1 or no multiple of the kinds of neurons, an unknown readout law or one without unit
            variance, a negative scale; at the call, a neuron whose output is not (width, point).

    Example:
        >>> import jax, numpy as np, numpyro
        >>> from nnft.models import Cos
        >>> net = Network(Cos(), width=5)
        >>> numpyro.handlers.seed(net, jax.random.key(0))(np.zeros((3, 1))).shape
        (3,)
    """

    neuron: Neuron | tuple[Neuron, ...]
    width: int = eqx.field(static=True)
    readout: Readout = eqx.field(static=True, default="gaussian")
    output_scale: float = eqx.field(converter=number, default=1.0)
    output_bias: float = eqx.field(converter=number, default=0.0)
    shared_scale: AbstractScale | None = None
    shared_length: LogNormalLength | None = None

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        forget(cls, AbstractModel, "kinds", "readout_law", "_neurons", "_sum")

    def __check_init__(self) -> None:
        if not self._neurons or not all(callable(neuron) for neuron in self._neurons):
            raise ValueError(f"expected a neuron (a callable of the points), got {self.neuron!r}; try Cos()")
        if isinstance(self.width, bool) or int(self.width) != self.width or self.width < 1:
            raise ValueError(
                f"expected width, the number of neurons, to be an integer >= 1, got {self.width!r}; try 100"
            )
        if self.width % len(self._neurons):
            raise ValueError(
                f"expected width to be a multiple of the {len(self._neurons)} kinds of neurons, got {self.width}; "
                f"try {len(self._neurons) * max(1, self.width // len(self._neurons))}"
            )
        made = next((neuron for neuron in self._neurons if isinstance(neuron, type)), None)
        if made is not None:
            raise ValueError(
                f"expected a neuron, got the class {made.__name__} itself; try {made.__name__}(), with its scales"
            )
        for name, kind in (("shared_scale", AbstractScale), ("shared_length", LogNormalLength)):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), kind):
                known = "GammaScale(0.1)" if kind is AbstractScale else "LogNormalLength(0.3)"
                raise ValueError(f"expected {name} to be a shared latent, got {getattr(self, name)!r}; try {known}")
        readout_law(self.readout).check()
        check_deviation("output_scale", self.output_scale, allow_zero=False)
        check_deviation("output_bias", self.output_bias, allow_zero=True)

    @classmethod
    def tied(cls, neuron: type, width: int, *, weight_scale: float = 1.0, bias_scale: float = 1.0) -> Self:
        """The published preset: both layers share sW and sb (arXiv:2008.08601, sec. 2).

        W0 ~ N(0, sW^2/d), b0 ~ N(0, sb^2) and W1 ~ N(0, sW^2/N), b1 ~ N(0, sb^2).
        """
        return cls(
            neuron(weight_scale=weight_scale, bias_scale=bias_scale),
            width,
            output_scale=weight_scale,
            output_bias=bias_scale,
        )

    def __call__(self, points: Inputs) -> Float[Array, " point"]:
        """Draw one network and return phi at the points; sites: the neuron's own, `readout`, `output_bias`, `phi`."""
        x = jnp.asarray(points)
        if x.ndim != 2:
            raise ValueError(f"expected points of shape (point, axis), got {x.shape}; try points[:, None]")
        seen = x if self.shared_length is None else x / self.shared_length()
        scale = self.output_scale / self.width**0.5
        if self.shared_scale is not None:
            scale = scale * jnp.sqrt(self.shared_scale())
        if not isinstance(self.neuron, tuple):
            phi = self._sum(self.neuron, self.width, seen)
        else:
            parts = []
            for k, neuron in enumerate(self.neuron):
                with numpyro.handlers.scope(prefix=f"kind{k}"):
                    parts.append(self._sum(neuron, self.width // len(self.neuron), seen))
            phi = sum(parts[1:], parts[0])
        phi = phi * scale
        if is_traced(self.output_bias) or self.output_bias > 0.0:
            bias = jnp.asarray(numpyro.sample("output_bias", dist.Normal(0.0, self.output_bias)))
            phi = phi + bias[..., None]
        numpyro.deterministic("phi", phi)
        return phi

    @property
    def kinds(self) -> tuple[AbstractNeuron, ...]:
        """The kinds of neurons, in equal shares; one for most networks."""
        return tuple(map(as_neuron, self._neurons))

    @property
    def name(self) -> str:
        return " and ".join(kind.name for kind in self.kinds)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Those that all its neurons have; the sign by the readout, whose law is symmetric, where they have none."""
        return {"sign": "the readout weights W and -W are equally likely"} | shared_reasons(
            k.reasons for k in self.kinds
        )

    @property
    def as_sum(self) -> Independent:
        """Its neurons, with their readout law and what they share."""
        if any(map(is_traced, jax.tree.leaves(self))):
            raise ValueError(
                f"expected numbers for exact results, got traced ones in {self}; try them outside jit, grad and vmap"
            )
        shared = (self.shared_scale, self.shared_length)
        return Independent(self.kinds, self.width, self.readout, self.output_scale, self.output_bias, *shared)

    @property
    def _neurons(self) -> tuple[Neuron, ...]:
        return self.neuron if isinstance(self.neuron, tuple) else (self.neuron,)

    @property
    def readout_law(self) -> AbstractReadout:
        """The law of a readout weight before its scale: what its moments, its tail and its averages are."""
        return readout_law(self.readout)

    def _sum(self, neuron: Neuron, count: int, points: Inputs) -> Float[Array, " point"]:
        """sum_i W_i s_i(x) over `count` neurons of one kind."""
        with numpyro.plate("neuron", count):
            activation = _activation(neuron, points, count)
            weight = numpyro.sample("readout", self.readout_law.draw())
        if count == points.shape[0]:  # (width, width) also comes from a site that was not turned: ask at one point more
            jax.eval_shape(lambda: _one_more(neuron, points, count))
        return jnp.einsum("...n,...nm->...m", weight, activation)


def _activation(neuron: Neuron, points: Inputs, count: int) -> Float[Array, "*plate point"]:
    """The activations of `count` neurons, or a refusal in the words of whoever writes one."""
    points_seen, expected = points.shape[0], f"(..., width, point) = (..., {count}, {points.shape[0]})"
    advice = "try `w @ points.T` for a weight site of event shape (axis,) and `b[..., None]` for a scalar site"
    try:
        activation = neuron(points)
    except (TypeError, ValueError) as error:
        words = str(error).splitlines()[0]
        if not _SHAPES.search(words):
            raise
        raise ValueError(
            f"expected the neuron to return {expected}, got an error about shapes ({words}); {advice}"
        ) from error
    shape = getattr(activation, "shape", None)
    if shape is None:
        raise ValueError(f"expected the neuron to return {expected}, got {type(activation).__name__}; try an array")
    if shape[-2:] != (count, points_seen):
        raise ValueError(f"expected the neuron to return {expected}, got {shape}; {advice}")
    return activation


def _one_more(neuron: Neuron, points: Inputs, count: int) -> Float[Array, "*plate more"]:
    with numpyro.handlers.block(), numpyro.handlers.seed(rng_seed=0), numpyro.plate("neuron", count):
        return _activation(neuron, jnp.concatenate([points, points[:1]]), count)
