"""The networks of the suite by name: the neuron, its kernel, what is known exactly, and a good width and points.

The words and the numbers stand in `suite.toml`, which the command line prints without building a network.

phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1, <W^2> = sigma^2, with s(x) below and sigma = 1, b1 = 0 unless asked for. The
default width and points are chosen so that an effective action makes sense: the Gram matrix K(x_a, x_b) is well
conditioned, and the distance to the Gaussian eps4 = [||whitened G4c||^2/24]^(1/2), which grows with the number
of points and falls like 1/N, is below 0.3. Sources: arXiv:2008.08601 (Gauss, Erf, ReLU), 2112.04527 (Cos).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

import numpy as np

from ..deep.network import Deep
from ..networks.network import Network
from ..networks.readouts import Readout
from ..networks.scalar import ScalarMode
from ..neurons.base import AbstractNeuron
from ..neurons.cos import Cos
from ..neurons.gauss import Gauss
from ..neurons.relu import ReLU
from ..neurons.smooth import GELU, Erf, SiLU, Sin, Softplus, Tanh
from ..refusals import nearest
from ..types import Points

__all__ = ["THEORIES", "Theory", "theory_named"]


@dataclass(frozen=True)
class Theory:
    """A named network with its defaults and its formulas as text.

    Attributes:
        name: what the command line calls it.
        neuron: the neuron with its default scales.
        width: default number of neurons N.
        points: default input points, one tuple a point.
        activation: s(x) and the law of its parameters.
        kernel: K(x, y) = <s s>, to be multiplied by sigma^2.
        orders: orders at which `exact` has an answer.
        known: how the exact orders are known.
        tails: which averages converge.
        choice: why this width and these points.
        condition: of the Gram matrix K(x_a, x_b)/[K(x_a, x_a) K(x_b, x_b)]^(1/2) at these points.
        eps4: the distance to the Gaussian at this width and these points.
        source: arXiv id.
    """

    name: str
    neuron: AbstractNeuron
    width: int
    points: tuple[tuple[float, ...], ...]
    activation: str
    kernel: str
    orders: tuple[int, ...]
    known: str
    tails: str
    choice: str
    condition: float
    eps4: float
    source: str

    @property
    def scales(self) -> dict[str, float]:
        """The numbers the neuron depends on and their defaults: weight_scale, and bias_scale where it has a bias."""
        values = {f.name: getattr(self.neuron, f.name) for f in fields(self.neuron)}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    def grid(self) -> Points:
        """The default points, (point, axis)."""
        return np.array(self.points, dtype=float)

    def network(
        self,
        *,
        depth: int = 1,
        width: int | None = None,
        readout: Readout = "gaussian",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
        scales: Mapping[str, float] | None = None,
    ) -> Network | Deep:
        """The network, with anything changed that is named.

        Args:
            depth: number of hidden layers of the neuron, `width` in each.
            width: number of neurons N; None is the default of the theory.
            readout: law of the readout weights, as in `Network`.
            output_scale: sigma.
            output_bias: standard deviation of b1.
            scales: weight_scale and, where the neuron has a bias, bias_scale; mass, cutoff and alpha of the scalar.

        Raises:
            ValueError: a parameter the neuron does not have; what `Network` and the neuron refuse.

        Example:
            >>> theory_named("erf").network(width=10, scales={"bias_scale": 0.5}).neuron.bias_scale
            0.5
        """
        given = dict(scales or {})
        if unknown := [name for name in given if name not in self.scales]:
            raise ValueError(
                f"expected a parameter of the {self.name} neuron, {' or '.join(self.scales)}, got {unknown[0]}; "
                f"try {nearest(unknown[0], list(self.scales))}"
            )
        chosen: dict[str, Any] = self.scales | given
        if "mass" in given and "cutoff" not in given:  # the default cutoff is in units of the mass
            del chosen["cutoff"]
        neuron = type(self.neuron)(**chosen)
        count = self.width if width is None else width
        if depth > 1:
            return Deep.of(neuron, depth, count, readout=readout, output_scale=output_scale, output_bias=output_bias)
        return Network(neuron, count, readout, output_scale, output_bias)


def theory_named(name: str) -> Theory:
    """The theory of that name; an unknown name is refused with the nearest known one."""
    if name not in THEORIES:
        known = ", ".join(THEORIES)
        raise ValueError(f"expected a network among {known}, got {name!r}; try {nearest(name, list(THEORIES))!r}")
    return THEORIES[name]


_NEURONS: dict[str, type] = {
    kind.__name__: kind for kind in (Cos, Erf, ReLU, Gauss, Tanh, ScalarMode, Sin, GELU, SiLU, Softplus)
}


def _theory(name: str, neuron: str, scales: dict[str, float], **words: Any) -> Theory:
    """A row of the file, with the neuron that it names."""
    points, orders = tuple(map(tuple, words.pop("points"))), tuple(words.pop("orders"))
    return Theory(name, _NEURONS[neuron](**scales), points=points, orders=orders, **words)


_ROWS = tomllib.loads((files(__package__) / "suite.toml").read_text(encoding="utf-8"))
THEORIES: dict[str, Theory] = {name: _theory(name, **row) for name, row in _ROWS.items()}
