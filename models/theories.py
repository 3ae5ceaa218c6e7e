"""The networks of the suite by name: the neuron, its kernel, what is known exactly, and a good width and points.

phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1, <W^2> = sigma^2, with s(x) below and sigma = 1, b1 = 0 unless asked for. The
default width and points are chosen so that an effective action can be spoken of at all: the Gram matrix K(x_a, x_b)
is well conditioned, and the distance to the Gaussian eps4 = [||whitened G4c||^2/24]^(1/2), which grows with the number
of points and falls like 1/N, is below 0.3. Sources: arXiv:2008.08601 (Gauss, Erf, ReLU), 2112.04527 (Cos).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from textwrap import wrap
from typing import Any

import numpy as np

from .diagrams import non_gaussianity
from .exact import exact, known_orders
from .networks import Network, nearest
from .neurons import AbstractNeuron, Cos, Erf, Gauss, ReLU, Tanh
from .scalar import ScalarMode
from .types import Points

__all__ = ["THEORIES", "Theory", "table", "theory_named"]


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
        known: how the exact orders are known.
        tails: which averages converge.
        choice: why this width and these points.
        source: arXiv id.
    """

    name: str
    neuron: AbstractNeuron | ScalarMode
    width: int
    points: tuple[tuple[float, ...], ...]
    activation: str
    kernel: str
    known: str
    tails: str
    choice: str
    source: str

    @property
    def scales(self) -> dict[str, float]:
        """The numbers the neuron depends on and their defaults: weight_scale, and bias_scale where it has a bias."""
        values = {f.name: getattr(self.neuron, f.name) for f in fields(self.neuron)}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders at which `exact` has an answer."""
        return known_orders(self.network())

    def grid(self) -> Points:
        """The default points, (point, axis)."""
        return np.array(self.points, dtype=float)

    def network(
        self,
        *,
        width: int | None = None,
        readout: str = "gaussian",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
        scales: Mapping[str, float] | None = None,
    ) -> Network:
        """The network, with anything changed that is named.

        Args:
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
        return Network(neuron, self.width if width is None else width, readout, output_scale, output_bias)


def theory_named(name: str) -> Theory:
    """The theory of that name; an unknown name is refused with the nearest known one."""
    if name not in THEORIES:
        known = ", ".join(THEORIES)
        raise ValueError(f"expected a network among {known}, got {name!r}; try {nearest(name, list(THEORIES))!r}")
    return THEORIES[name]


_LINE = ((-3.0,), (-1.0,), (1.0,), (3.0,))
_PREACTIVATION = "z = W0.x + b0, W0 ~ N(0, sW^2/d), b0 ~ N(0, sb^2)"

THEORIES: dict[str, Theory] = {
    theory.name: theory
    for theory in (
        Theory(
            name="cos",
            neuron=Cos(),
            width=20,
            points=_LINE,
            activation="s(x) = cos(w.x + c), w ~ N(0, sW^2/d), c ~ U[-pi, pi]",
            kernel="(1/2) exp(-sW^2 |x-y|^2/2d)",
            known="in closed form; <s1 s2 s3 s4> = (1/8) sum over 3 pairings of exp(-sW^2 |x1+x2-x3-x4|^2/2d)",
            tails="the activation is bounded: every moment converges",
            choice="spacing 2: closer points are nearly the same variable, and far from Gaussian once whitened",
            source="2112.04527",
        ),
        Theory(
            name="erf",
            neuron=Erf(),
            width=50,
            points=_LINE,
            activation=f"s(x) = erf(z), {_PREACTIVATION}",
            kernel="(2/pi) arcsin[2c_xy/sqrt((1+2c_xx)(1+2c_yy))], c_xy = sb^2 + sW^2 x.y/d",
            known="by quadrature over z at the points",
            tails="the activation is bounded: every moment converges",
            choice="the six published points in [-1, 1] have condition 9e3: s(x) is nearly linear there",
            source="2008.08601",
        ),
        Theory(
            name="relu",
            neuron=ReLU(),
            width=50,
            points=((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)),
            activation=f"s(x) = max(z, 0), {_PREACTIVATION}",
            kernel="(1/2pi) sqrt(c_xx c_yy) [sin t + (pi-t) cos t], cos t = c_xy/sqrt(c_xx c_yy)",
            known="by quadrature between the kinks; the radial integral is closed",
            tails="every moment converges; <exp(J phi)> only for small J, a Laplace readout nowhere",
            choice="a square in d = 2: without a bias, d = 1 has phi(x) = |x| phi(sign x), two variables in all",
            source="2008.08601",
        ),
        Theory(
            name="gauss",
            neuron=Gauss(bias_scale=0.3),
            width=200,
            points=((-0.5,), (0.0,), (0.5,)),
            activation=f"s(x) = exp(z - sb^2 - sW^2 |x|^2/d), {_PREACTIVATION}",
            kernel="exp(-sW^2 |x-y|^2/2d)",
            known="in closed form; <s1 s2 s3 s4> = exp[4sb^2 + (sW^2/2d)(|x1+x2+x3+x4|^2 - 2 sum_i |x_i|^2)]",
            tails="log-normal: <s^n> = exp[(n^2/2-n)(sb^2 + sW^2 |x|^2/d)]; at sb = 1 no sample finds <s^6>",
            choice="sb = 0.3 and |x| <= 0.5, where 1e6 networks do find the sixth moment",
            source="2008.08601",
        ),
        Theory(
            name="tanh",
            neuron=Tanh(),
            width=50,
            points=_LINE,
            activation=f"s(x) = tanh(z), {_PREACTIVATION}",
            kernel="no closed form; by quadrature",
            known="by quadrature over z at the points",
            tails="the activation is bounded: every moment converges",
            choice="as erf, its near twin",
            source="the formulas of arXiv:2008.08601 with this s(x)",
        ),
        Theory(
            name="scalar",
            neuron=ScalarMode(),
            width=20,
            points=_LINE,
            activation="s(x) = A(p) cos(p.x + c), p ~ (p^2 + m^2)^-(1+alpha), |p| < cutoff, c uniform",
            kernel="int d^dp/(2pi)^d cos(p.(x-y))/(p^2 + m^2): the free scalar field of mass m",
            known="by quadrature over |p|",
            tails="the activation is bounded: every moment converges",
            choice="spacing 2/m; alpha = -1 draws |p| < cutoff evenly, and its kurtosis grows like cutoff/m",
            source="2112.04527",
        ),
    )
}


def table() -> str:
    """What is in the suite and what is known exactly about each, for the terminal: at most 100 columns."""
    lines = [
        "phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1: a sum over N = width neurons, and an output bias.",
        "G2(x,y) = output_scale^2 K(x,y) + output_bias^2;  sW = weight_scale, sb = bias_scale, x in R^d.",
        "Neurons that share a random scale or length, several kinds of neurons, your own: see models.Network.",
    ]
    for theory in THEORIES.values():
        condition, eps4 = _shown(theory)
        scales = ", ".join(f"{name} {value:g}" for name, value in theory.scales.items())
        entries = {
            "K(x,y)": theory.kernel,
            "exact": f"orders {', '.join(map(str, theory.orders))} {theory.known}",
            "tails": theory.tails,
            "defaults": f"width {theory.width}, {scales}; points {_written(theory.points)}",
            "": f"({theory.choice}; Gram matrix of condition {condition:.3g}, eps4 = {eps4:.2f})",
            "source": f"arXiv:{theory.source}" if theory.source[0].isdigit() else theory.source,
        }
        lines += ["", f"{theory.name:<7}{theory.activation}"]
        for label, text in entries.items():
            lines += wrap(text, 100, initial_indent=f"       {label:<10}", subsequent_indent=" " * 17)
    return "\n".join(
        [*lines, "", "nnft run cos -o out/cos runs the first one; --width, --points, --n, --seed and --set change it."]
    )


def _shown(theory: Theory) -> tuple[float, float]:
    """Condition number of the Gram matrix in units of the standard deviations, and eps4, at the defaults."""
    found = exact(theory.network(), theory.grid(), orders=(2, 4))
    kernel = found.tensor(2)
    scale = np.sqrt(np.diag(kernel))
    return float(np.linalg.cond(kernel / np.outer(scale, scale))), non_gaussianity(found.connected(4), None, kernel)[0]


def _written(points: tuple[tuple[float, ...], ...]) -> str:
    """-3, -1, 1, 3 in one dimension, (1, 0), (0, 1) in more."""
    return ", ".join(f"{p[0]:g}" if len(p) == 1 else f"({', '.join(f'{a:g}' for a in p)})" for p in points)
