"""One neuron is one small probabilistic program: it draws its own parameters and returns its activation at the points.

A neuron is any callable `neuron(points) -> activation` that calls `numpyro.sample` and returns an array
`(..., point)`, the dots being the plate it is called in: with `w = sample("weight", Normal(0,
1).expand([d]).to_event(1))` the pre-activation at all points is `w @ points.T`, and a scalar per neuron broadcasts as
`b[..., None]`. The scales follow arXiv:2008.08601: input weights have variance weight_scale^2/d, d the input
dimension, so that the pre-activation W0.x + b0 has covariance c(x, y) = bias_scale^2 + weight_scale^2 x.y/d.
The readout weight, its scale and the output bias belong to the network (`networks/network.py`).
"""

from typing import Any

import equinox as eqx
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..types import Inputs

__all__ = ["Activation", "AbstractNeuron", "preactivation", "weighted"]

Activation = Float[Array, "*plate point"]


def _check_scale(name: str, value: float, *, allow_zero: bool) -> None:
    """Refuse a prior standard deviation that is no standard deviation."""
    floor = "a finite number >= 0" if allow_zero else "a finite number > 0"
    try:
        scale = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected {name} to be {floor}, got {value!r}; try {name}=1.0") from None
    if not (0.0 <= scale < float("inf")) or (scale == 0.0 and not allow_zero):
        raise ValueError(f"expected {name} to be {floor}, got {scale}; try {name}=1.0")


class AbstractNeuron(eqx.Module):
    """A neuron with a Gaussian input weight; what is known about it in closed form is in `analytic/exact.py`.

    Attributes:
        weight_scale: standard deviation of the input weights times sqrt(d).
    """

    weight_scale: eqx.AbstractVar[float]

    def __check_init__(self) -> None:
        _check_scale("weight_scale", self.weight_scale, allow_zero=False)
        _check_scale("bias_scale", getattr(self, "bias_scale", 0.0), allow_zero=True)

    def __call__(self, points: Inputs) -> Activation:
        """Draw one neuron's parameters and return its activation s(x) at every point."""
        raise TypeError(f"{type(self).__name__} is abstract; try Cos, Erf, Gauss, ReLU or Tanh")


def weighted(points: Inputs, scale: float) -> Activation:
    """W0.x at every point, W0 ~ N(0, scale^2/d)."""
    d = points.shape[-1]
    weight: Any = numpyro.sample("weight", dist.Normal(0.0, scale / d**0.5).expand([d]).to_event(1))
    return weight @ points.T


def preactivation(points: Inputs, weight_scale: float, bias_scale: float) -> Activation:
    """z(x) = W0.x + b0, b0 ~ N(0, bias_scale^2); no bias site is drawn at bias_scale = 0."""
    z = weighted(points, weight_scale)
    if bias_scale == 0.0:
        return z
    bias: Any = numpyro.sample("bias", dist.Normal(0.0, bias_scale))
    return z + bias[..., None]
