"""The law of one readout weight W: how it is drawn, its moments, and how fast E exp(tW) grows.

Every law is symmetric about zero and has E W^2 = 1; the scale of the weights belongs to the network. The averages that
the generating functional and the density of a field need are closed for the laws of the suite,

    law         E exp(tW)                    with a phase, E exp(tW cos c)     with a radius, E exp(tWr), r^2 ~ chi^2_R
    gaussian    exp(t^2/2)                   e^x I0(x), x = t^2/4              (1 - t^2)^(-R/2)
    uniform     sinh(b)/b, b = sqrt(3) t     int_0^1 I0(b u) du                1F1(R/2; 3/2; 3 t^2/2)
    rademacher  cosh t                       I0(t)                             1F1(R/2; 1/2; t^2/2)
    laplace     1/(1 - t^2/2)                (1 - t^2/2)^(-1/2)                never, unless t = 0

and of any other law they are quadratures over its `log_mean` and `characteristic`.
"""

from abc import abstractmethod
from collections.abc import Callable
from math import factorial, inf
from typing import Any, ClassVar, Literal, NamedTuple, final

import equinox as eqx
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from scipy import special

from ..refusals import NotKnown, nearest

__all__ = ["READOUTS", "AbstractReadout", "Readout", "ReadoutTail", "readout_law"]

Amplitudes = Float[np.ndarray, "..."]

_PHASES = 64  # over a quarter of a period, and as many more as the amplitude is large: enough for double precision
_RADII = 512  # nodes of Gauss-Legendre over a radius
_NOTHING = 45.0  # in the log: what is left out of an integral weighs 1e-19


class ReadoutTail(NamedTuple):
    """How E exp(tW) grows with t, which decides where Z[J] is finite.

    Attributes:
        edge: the largest |W|; inf where W is not bounded.
        radius: E exp(tW) is finite for |t| below; inf where it always is.
        curvature: the limit of 2 log E exp(tW) / t^2 at large t: 1 for a Gaussian, 0 for anything lighter.
    """

    edge: float = inf
    radius: float = inf
    curvature: float = 0.0

    @property
    def of_square(self) -> float:
        """F such that [E exp(tW)]^2 grows like E exp(f t W) or less: sqrt 2 where W falls like a Gaussian, 2 else.

        1 where E exp(tW) ends: its square ends there too.
        """
        if self.radius < inf:
            return 1.0
        return 2.0**0.5 if self.curvature > 0.0 else 2.0


class AbstractReadout(eqx.Module):
    """The law of one readout weight, symmetric about zero with E W^2 = 1.

    `draw` and `moment` are enough for networks and their exact correlators. W[J] asks for `log_mean` and `tail` too,
    and the density of a field for `characteristic`; what a law does not bring is refused by its name.

    Example: three equal chances, W = 0 and +-(3/2)^(1/2).

        >>> import numpyro.distributions as dist
        >>> class Three(AbstractReadout):
        ...     def draw(self):
        ...         steps = dist.DiscreteUniform(-1, 1)
        ...         return dist.TransformedDistribution(steps, dist.transforms.AffineTransform(0.0, 1.5**0.5))
        ...     def moment(self, order):
        ...         return 0.0 if order % 2 else 2.0 / 3.0 * 1.5 ** (order / 2)
        >>> Three().moment(4)
        1.5
    """

    isotropic: ClassVar[bool] = False
    """Whether several independent weights are a vector that any rotation leaves alone: Gaussian ones."""

    @abstractmethod
    def draw(self) -> dist.Distribution:
        """The distribution of one weight, as NumPyro samples it."""

    @abstractmethod
    def moment(self, order: int) -> float:
        """E W^order; 0 of odd orders, 1 of order 2."""

    def log_mean(self, amplitude: Any) -> Any:
        """The log of E exp(tW), elementwise in t; NumPy or JAX in and out."""
        raise self._unknown("log_mean", "the log of E exp(tW)")

    def tail(self) -> ReadoutTail:
        """Where E exp(tW) ends or how it grows."""
        raise self._unknown("tail", "where E exp(tW) ends or how it grows")

    def characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        """E exp(i t W), elementwise in t; real, because the law is symmetric."""
        raise self._unknown("characteristic", "E exp(i t W)")

    def phase_log_mean(self, amplitude: Amplitudes) -> Amplitudes:
        """The log of E exp(t W cos c) over the weight and a uniform phase c, elementwise in t."""
        largest = self.log_mean(amplitude)
        return largest + np.log(_over_phase(lambda t: np.exp(self.log_mean(t) - largest), amplitude))

    def phase_characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        """E exp(i t W cos c) over the weight and a uniform phase c, elementwise in t."""
        return _over_phase(self.characteristic, amplitude)

    def radial_log_mean(self, amplitude: Amplitudes, freedom: int) -> Amplitudes:
        """The log of E exp(t W r), r^2 chi-squared of `freedom` degrees, elementwise in t; finite where it is asked.

        By Gauss-Legendre to where exp(-r^2/2) has won. A law whose E exp(tW) ends is asked only at t = 0.
        """
        if self.tail().radius < inf:
            return np.zeros_like(amplitude)
        size = np.abs(np.asarray(amplitude, dtype=float))

        def exponent(r: np.ndarray) -> np.ndarray:
            return self.log_mean(size[..., None] * r) - 0.5 * r**2 + (freedom - 1) * np.log(r)

        far = np.full((*size.shape, 1), 12.0)
        while np.any(grown := exponent(far) > -_NOTHING):
            far = np.where(grown, 1.5 * far, far)
        y, weight = special.roots_legendre(_RADII)
        r = 0.5 * far * (1.0 + y)
        total = special.logsumexp(exponent(r), axis=-1, b=0.5 * far * weight)
        return np.asarray(total) - (0.5 * freedom - 1.0) * np.log(2.0) - special.gammaln(0.5 * freedom)

    def check(self) -> None:
        """Refuse a law without unit variance, or one that is not symmetric, as its first moments say.

        Raises:
            ValueError: E W^2 is not 1, or E W or E W^3 is not 0; with the number.
        """
        name, second = type(self).__name__, float(self.moment(2))
        if not abs(second - 1.0) < 1e-9:
            raise ValueError(
                f"expected a readout law with E W^2 = 1, got {second:.6g} of {name}; try W/{abs(second) ** 0.5:.6g}, "
                "and output_scale for the scale"
            )
        for order in (1, 3):
            if not abs(odd := float(self.moment(order))) < 1e-9:
                raise ValueError(
                    f"expected a readout law that is symmetric about zero, got E W^{order} = {odd:.3g} of {name}; "
                    "try a law of W and -W alike, whose odd moments are 0"
                )

    def _unknown(self, method: str, what: str) -> NotKnown:
        name = type(self).__name__
        return NotKnown(
            f"expected a readout law that brings `{method}`, {what}, got {name}, which has none; "
            f"try writing {name}.{method}, or measuring in field space"
        )


def _over_phase(mean: Callable[[np.ndarray], np.ndarray], amplitude: np.ndarray) -> np.ndarray:
    """Average of mean(t cos c) over a uniform c: equal steps in c, an even function of cos c."""
    count = _PHASES + 4 * int(np.max(np.abs(amplitude), initial=0.0))
    phases = (np.arange(count) + 0.5) * (0.5 * np.pi / count)
    return sum((mean(amplitude * np.cos(c)) for c in phases), np.zeros_like(amplitude)) / count


@final
class GaussianReadout(AbstractReadout):
    """W ~ N(0, 1): given the hidden layer the field is Gaussian."""

    isotropic = True

    def draw(self) -> dist.Distribution:
        return dist.Normal(0.0, 1.0)

    def moment(self, order: int) -> float:
        return 0.0 if order % 2 else float(special.factorial2(order - 1, exact=True))

    def tail(self) -> ReadoutTail:
        return ReadoutTail(curvature=1.0)

    def log_mean(self, amplitude: Any) -> Any:
        return 0.5 * amplitude**2

    def characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return np.exp(-0.5 * amplitude**2)

    def phase_log_mean(self, amplitude: Amplitudes) -> Amplitudes:
        return np.log(special.i0e(0.25 * amplitude**2)) + 0.5 * amplitude**2

    def phase_characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return special.i0e(0.25 * amplitude**2)

    def radial_log_mean(self, amplitude: Amplitudes, freedom: int) -> Amplitudes:
        return -0.5 * freedom * np.log1p(-(amplitude**2))


@final
class UniformReadout(AbstractReadout):
    """W uniform on [-sqrt 3, sqrt 3]."""

    def draw(self) -> dist.Distribution:
        return dist.Uniform(-(3.0**0.5), 3.0**0.5)

    def moment(self, order: int) -> float:
        return 0.0 if order % 2 else 3.0 ** (order / 2) / (order + 1)

    def tail(self) -> ReadoutTail:
        return ReadoutTail(edge=3.0**0.5)

    def log_mean(self, amplitude: Any) -> Any:
        xp = amplitude.__array_namespace__()
        b = 3.0**0.5 * xp.abs(amplitude)
        large = xp.where(b < 0.1, 1.0, b)  # the other branch must not divide by zero
        exact = large + xp.log(-xp.expm1(-2.0 * large)) - xp.log(2.0 * large)
        return xp.where(b < 0.1, b**2 / 6.0 - b**4 / 180.0 + b**6 / 2835.0 - b**8 / 37800.0, exact)

    def characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return np.sinc(3.0**0.5 * amplitude / np.pi)

    def phase_log_mean(self, amplitude: Amplitudes) -> Amplitudes:
        return np.log(_per_length(special.iti0k0, 3.0**0.5 * amplitude))

    def phase_characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return _per_length(special.itj0y0, 3.0**0.5 * amplitude)

    def radial_log_mean(self, amplitude: Amplitudes, freedom: int) -> Amplitudes:
        return _kummer(1.5, 1.5 * amplitude**2, freedom)


@final
class RademacherReadout(AbstractReadout):
    """W = +1 or -1: every even product of W s is that of s."""

    def draw(self) -> dist.Distribution:
        return dist.TransformedDistribution(dist.Bernoulli(probs=0.5), dist.transforms.AffineTransform(-1.0, 2.0))

    def moment(self, order: int) -> float:
        return 0.0 if order % 2 else 1.0

    def tail(self) -> ReadoutTail:
        return ReadoutTail(edge=1.0)

    def log_mean(self, amplitude: Any) -> Any:
        xp = amplitude.__array_namespace__()
        size = xp.abs(amplitude)
        return size + xp.log1p(xp.exp(-2.0 * size)) - np.log(2.0)

    def characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return np.cos(amplitude)

    def phase_log_mean(self, amplitude: Amplitudes) -> Amplitudes:
        return np.log(special.i0e(amplitude)) + amplitude

    def phase_characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return special.j0(amplitude)

    def radial_log_mean(self, amplitude: Amplitudes, freedom: int) -> Amplitudes:
        return _kummer(0.5, 0.5 * amplitude**2, freedom)


@final
class LaplaceReadout(AbstractReadout):
    """W of density exp(-sqrt 2 |W|)/sqrt 2: E exp(tW) ends at sqrt 2."""

    def draw(self) -> dist.Distribution:
        return dist.Laplace(0.0, 0.5**0.5)

    def moment(self, order: int) -> float:
        return 0.0 if order % 2 else factorial(order) / 2.0 ** (order / 2)

    def tail(self) -> ReadoutTail:
        return ReadoutTail(radius=2.0**0.5, curvature=inf)

    def log_mean(self, amplitude: Any) -> Any:
        return -amplitude.__array_namespace__().log1p(-0.5 * amplitude**2)

    def characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return 1.0 / (1.0 + 0.5 * amplitude**2)

    def phase_log_mean(self, amplitude: Amplitudes) -> Amplitudes:
        return -0.5 * np.log1p(-0.5 * amplitude**2)

    def phase_characteristic(self, amplitude: Amplitudes) -> Amplitudes:
        return (1.0 + 0.5 * amplitude**2) ** -0.5


def _per_length(integral: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], b: np.ndarray) -> np.ndarray:
    """The integral from 0 to b of a Bessel function over b, 1 at b = 0."""
    safe = np.where(b > 0.0, b, 1.0)
    return np.where(b > 0.0, integral(safe)[0] / safe, 1.0)


def _kummer(b: float, z: np.ndarray, freedom: int) -> np.ndarray:
    """The log of 1F1(R/2; b; z) = e^z 1F1(b - R/2; b; -z), which does not overflow."""
    return z + np.log(special.hyp1f1(b - 0.5 * freedom, b, -z))


Word = Literal["gaussian", "uniform", "rademacher", "laplace"]
Readout = AbstractReadout | Word
"""A readout law: a word of the suite, or a law of one's own."""

READOUTS: dict[str, AbstractReadout] = {
    "gaussian": GaussianReadout(),
    "uniform": UniformReadout(),
    "rademacher": RademacherReadout(),
    "laplace": LaplaceReadout(),
}


def readout_law(readout: Readout) -> AbstractReadout:
    """The law of a word of the suite, or the law that was handed over.

    Raises:
        ValueError: an unknown word.

    Example:
        >>> [readout_law(word).moment(4) for word in ("gaussian", "uniform", "rademacher", "laplace")]
        [3.0, 1.8, 1.0, 6.0]
    """
    if isinstance(readout, AbstractReadout):
        return readout
    if not isinstance(readout, str) or readout not in READOUTS:
        raise ValueError(
            f"expected readout to be one of {', '.join(READOUTS)} or a law of one's own, got {readout!r}; "
            f"try {nearest(str(readout), list(READOUTS))!r}"
        )
    return READOUTS[readout]
