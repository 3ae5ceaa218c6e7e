"""The law of one neuron's readout vector (w_1, .., w_D), one weight for each field that the neuron feeds.

A symmetry of this law is a symmetry of the fields at every width: an isotropic vector gives O(D), an independent phase
for each complex field U(1) for each of them, equal laws the permutations. A law draws its weights and says their joint
moments E w_i1 .. w_ir; all else follows from these. With E w_i w_j = delta_ij the fields have the kernel of their
neurons. A complex field is two real ones, its real and its imaginary part, beside each other.
"""

from abc import abstractmethod
from collections.abc import Mapping
from itertools import combinations_with_replacement
from math import prod
from typing import TYPE_CHECKING, Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from scipy import special

from ..networks.readouts import Readout, readout_law
from ..refusals import is_whole

__all__ = [
    "AbstractWeights",
    "Copies",
    "Leaving",
    "Normals",
    "Spherical",
    "Tied",
    "check_outputs",
    "counts",
    "drawn_vector",
    "gaussian_moment",
]

_ODD = (1, 3, 5)  # orders whose moments say whether w and -w are equally likely
_NOTHING = 1e-12
_ISOTROPIC: Mapping[str, str] = dict.fromkeys(
    ("exchange", "orthogonal", "phase", "phases", "unitary"), "the readout vector of every neuron is isotropic"
)
_ALIKE: Mapping[str, str] = {"exchange": "the readout weights of every neuron are exchangeable"}


class AbstractWeights(eqx.Module):
    """The law of the readout vector of one neuron, (output,).

    A law of one's own says how many `outputs` there are, draws, and knows its joint moments.

    Example, two fields of which a neuron feeds one, by chance, E w_1^2 = E w_2^2 = 1:
        >>> class OneOfTwo(AbstractWeights):
        ...     outputs = 2
        ...     def draw(self):
        ...         first = numpyro.sample("first", dist.Bernoulli(0.5))
        ...         weight = numpyro.sample("readout", dist.Normal(0, 2**0.5))
        ...         return weight[..., None] * jnp.stack([first, 1 - first], -1)
        ...     def moment(self, outputs):
        ...         return 0.5 * 2.0 ** (len(outputs) / 2) * gaussian_moment(len(outputs)) * (len({*outputs}) == 1)
        >>> OneOfTwo().moment((0, 0)), OneOfTwo().moment((0, 0, 1, 1)), OneOfTwo().even
        (1.0, 0.0, True)
    """

    if TYPE_CHECKING:
        outputs: int = eqx.field(init=False)  # a law may count them itself, as a property
    else:
        outputs: eqx.AbstractVar[int]

    @abstractmethod
    def draw(self) -> Float[Array, "*plate output"]:
        """Draw at `numpyro.sample` sites and return the weights, (..., output), the dots being the plate."""

    @abstractmethod
    def moment(self, outputs: tuple[int, ...]) -> float:
        """E w_i1 .. w_ir for the outputs i1, .., ir, which may repeat."""

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        """The log of E exp(w.t) at t, (..., output) -> (...): what W[J] asks for.

        Raises:
            ValueError: a law that does not know it.
        """
        raise ValueError(
            f"expected a law of readout vectors that knows `log_mean`, log E exp(w.t), got {self!r}; try m.Copies or "
            "m.Normals, or inf.generating in field space"
        )

    @property
    def even(self) -> bool:
        """Whether w and -w are equally likely, as the moments of orders 1, 3 and 5 say."""
        odd = (c for r in _ODD for c in combinations_with_replacement(range(self.outputs), r))
        return all(abs(self.moment(c)) < _NOTHING for c in odd)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why its law has a symmetry: "exchange", "orthogonal", "phase" (one for all), "phases", "unitary"."""
        return {}


@final
class Copies(AbstractWeights):
    """Independent weights of one scalar law for each field; Gaussian ones are isotropic, others are not.

    Attributes:
        outputs: number of fields D.
        readout: law of a weight, a word of the suite or a law of one's own.

    Raises:
        ValueError: fewer than one output, an unknown law or one without unit variance.

    Example:
        >>> Copies(2).moment((0, 0, 1, 1)), Copies(2, "rademacher").moment((0, 0, 0, 0))
        (1.0, 1.0)
    """

    outputs: int = eqx.field(static=True)
    readout: Readout = eqx.field(static=True, default="gaussian")

    def __check_init__(self) -> None:
        check_outputs(self.outputs)
        readout_law(self.readout).check()

    def draw(self) -> Float[Array, "*plate output"]:
        law: Any = readout_law(self.readout).draw()
        return drawn_vector(law.expand([self.outputs]).to_event(1))

    def moment(self, outputs: tuple[int, ...]) -> float:
        return prod(readout_law(self.readout).moment(k) for k in counts(outputs, self.outputs) if k)

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        return np.sum(np.asarray(readout_law(self.readout).log_mean(np.abs(amplitude))), axis=-1)

    @property
    def reasons(self) -> Mapping[str, str]:
        return _ISOTROPIC if readout_law(self.readout).isotropic else _ALIKE


@final
class Spherical(AbstractWeights):
    """A vector uniform on the sphere |w|^2 = D deviation^2: O(D) at every width, and not Gaussian.

    E w_i^2 w_j^2 = D/(D+2) and E w_i^4 = 3D/(D+2) at deviation one.

    Raises:
        ValueError: fewer than one output, a deviation that is not positive.

    Example:
        >>> Spherical(2).moment((0, 0)), Spherical(2).moment((0, 0, 1, 1)), Spherical(2).moment((0, 0, 0, 0))
        (1.0, 0.5, 1.5)
    """

    outputs: int = eqx.field(static=True)
    deviation: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        check_outputs(self.outputs)
        _check_numbers("deviation", (self.deviation,), positive=True)

    def draw(self) -> Float[Array, "*plate output"]:
        normal = drawn_vector(dist.Normal(0.0, 1.0).expand([self.outputs]).to_event(1))
        radius = self.deviation * self.outputs**0.5
        return radius * normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)

    def moment(self, outputs: tuple[int, ...]) -> float:
        half, d = len(outputs) // 2, self.outputs
        square = d * self.deviation**2
        gaussian = prod(gaussian_moment(k) for k in counts(outputs, d))
        return gaussian * square**half / prod(d + 2 * k for k in range(half))

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        """Log 0F1(; D/2; z^2/4), z = |w| |t|: a Bessel function over its power."""
        d, order = float(self.outputs), 0.5 * self.outputs - 1.0
        size = self.deviation * d**0.5 * np.linalg.norm(amplitude, axis=-1)
        z = np.maximum(size, 1e-3)
        bessel = np.log(special.ive(order, z)) + z + special.gammaln(order + 1.0) - order * np.log(0.5 * z)
        return np.where(size < 1e-3, size**2 / (2 * d) - size**4 / (4 * d**2 * (d + 2)), bessel)

    @property
    def reasons(self) -> Mapping[str, str]:
        return _ISOTROPIC


@final
class Normals(AbstractWeights):
    """Independent Gaussian weights w_i ~ N(mean_i, deviation_i^2): a mean breaks Z2 and O(D), unequal deviations O(D).

    The mean m is in units of one neuron: W_i = w_i/sqrt(N) has mean m/sqrt(N), and the mean mu of a weight W in
    arXiv:2106.00694 is m = mu sqrt(N). Then <phi> = sqrt(N) m <s>, G2c = (1 + m^2) <ss> - m^2 <s><s>, which differs
    from another field's by m^2 (<ss> - <s><s>). Neurons with a uniform phase, or an odd activation, have <s> = 0 and
    no odd function whatever the mean is.

    Attributes:
        mean: m_i, one number a field.
        deviation: standard deviations, one a field; default one each.

    Raises:
        ValueError: no field, means that are not finite, deviations that are not positive or not as many.

    Example:
        >>> Normals((0.3, 0.0)).moment((0, 0)), Normals((0.3, 0.0)).moment((0,)), Normals((0.3, 0.0)).even
        (1.09, 0.3, False)
    """

    mean: tuple[float, ...] = eqx.field(static=True, converter=lambda given: _numbers("mean", given))
    deviation: tuple[float, ...] = eqx.field(
        static=True, default=(), converter=lambda given: _numbers("deviation", given)
    )

    def __check_init__(self) -> None:
        check_outputs(len(self.mean))
        _check_numbers("mean", self.mean, positive=False)
        _check_numbers("deviation", self.deviation, positive=True)
        if self.deviation and len(self.deviation) != len(self.mean):
            raise ValueError(
                f"expected one deviation for each of {len(self.mean)} fields, got {len(self.deviation)}; try leaving "
                "them out, one each"
            )

    @property
    def outputs(self) -> int:
        return len(self.mean)

    @property
    def deviations(self) -> tuple[float, ...]:
        """Standard deviations, one a field."""
        return self.deviation or (1.0,) * len(self.mean)

    def draw(self) -> Float[Array, "*plate output"]:
        return drawn_vector(dist.Normal(jnp.array(self.mean), jnp.array(self.deviations)).to_event(1))

    def moment(self, outputs: tuple[int, ...]) -> float:
        each = zip(self.mean, self.deviations, counts(outputs, self.outputs), strict=True)
        return prod(
            sum(_choose(k, j) * m ** (k - j) * s**j * gaussian_moment(j) for j in range(k + 1)) for m, s, k in each
        )

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        return amplitude @ np.array(self.mean) + 0.5 * amplitude**2 @ np.array(self.deviations) ** 2

    @property
    def reasons(self) -> Mapping[str, str]:
        if len({*self.mean}) > 1 or len({*self.deviations}) > 1:
            return {}
        return _ALIKE if any(self.mean) else _ISOTROPIC


@final
class Tied(AbstractWeights):
    """One weight for all fields, which then differ only where they have neurons of their own.

    Example:
        >>> Tied(2).moment((0, 1)), Tied(2).moment((0, 0, 1, 1))
        (1.0, 3.0)
    """

    outputs: int = eqx.field(static=True)
    readout: Readout = eqx.field(static=True, default="gaussian")

    def __check_init__(self) -> None:
        check_outputs(self.outputs)
        readout_law(self.readout).check()

    def draw(self) -> Float[Array, "*plate output"]:
        weight: Any = numpyro.sample("readout", readout_law(self.readout).draw())
        return weight[..., None] * jnp.ones(self.outputs)

    def moment(self, outputs: tuple[int, ...]) -> float:
        counts(outputs, self.outputs)
        return readout_law(self.readout).moment(len(outputs))

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        return np.asarray(readout_law(self.readout).log_mean(np.abs(np.sum(amplitude, axis=-1))))

    @property
    def reasons(self) -> Mapping[str, str]:
        return _ALIKE


@final
class Leaving(AbstractWeights):
    """A law for some of the fields: the others are left alone, their weights are zero.

    Attributes:
        outputs: number of fields D.
        weights: law of the readout vector of those that are fed.
        fed: which fields these are, one number for each output of the law.

    Raises:
        ValueError: numbers of fields that are not there, repeat, or are not as many as the law has outputs.

    Example, neurons that feed the second of two fields:
        >>> Leaving(2, Copies(1), (1,)).moment((1, 1)), Leaving(2, Copies(1), (1,)).moment((0, 0))
        (1.0, 0.0)
    """

    outputs: int = eqx.field(static=True)
    weights: AbstractWeights
    fed: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_outputs(self.outputs)
        fed = list(self.fed)
        if len(fed) != self.weights.outputs or len({*fed}) < len(fed) or not {*fed} <= {*range(self.outputs)}:
            raise ValueError(
                f"expected {self.weights.outputs} different fields among 0..{self.outputs - 1}, one for each output of "
                f"{self.weights}, got {self.fed}; try {tuple(range(min(self.weights.outputs, self.outputs)))}"
            )

    def draw(self) -> Float[Array, "*plate output"]:
        fed = self.weights.draw()
        return jnp.zeros((*fed.shape[:-1], self.outputs)).at[..., jnp.array(self.fed)].set(fed)

    def moment(self, outputs: tuple[int, ...]) -> float:
        counts(outputs, self.outputs)
        if not {*outputs} <= {*self.fed}:
            return 0.0
        return self.weights.moment(tuple(self.fed.index(i) for i in outputs))

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        return self.weights.log_mean(amplitude[..., list(self.fed)])


def drawn_vector(law: Any) -> Array:
    """A readout vector of every neuron of the plate, at the site `readout`."""
    return jnp.asarray(numpyro.sample("readout", law))


def gaussian_moment(order: int) -> float:
    """E z^order of a standard normal."""
    return 0.0 if order % 2 else float(special.factorial2(max(order - 1, 0), exact=True))


def _choose(n: int, k: int) -> int:
    return int(special.comb(n, k, exact=True))


def counts(outputs: tuple[int, ...], most: int) -> list[int]:
    """How often each output occurs."""
    if any(not 0 <= i < most for i in outputs):
        raise ValueError(f"expected outputs among 0..{most - 1}, got {outputs}; count from 0")
    return [outputs.count(i) for i in range(most)]


def check_outputs(outputs: Any) -> None:
    """Refuse a number of fields that is none."""
    if not is_whole(outputs, 1):
        raise ValueError(f"expected at least one field, a whole number, got {outputs!r}; try 2")


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    """One number a field as a tuple of Python's numbers, so that equal laws are equal."""
    try:
        return tuple(float(value) for value in np.atleast_1d(np.asarray(given, dtype=float)))
    except (TypeError, ValueError):
        raise ValueError(f"expected {name} as one number a field, got {given!r}; try (0.3, 0.0)") from None


def _check_numbers(name: str, given: tuple[float, ...], *, positive: bool) -> None:
    if not all(np.isfinite(v) and (v > 0.0 or not positive) for v in given):
        kind = "positive numbers" if positive else "finite numbers"
        raise ValueError(f"expected {kind} for {name}, got {given}; try {(1.0,) * len(given)}")
