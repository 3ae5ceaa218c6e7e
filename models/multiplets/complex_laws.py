"""Laws of the readout vector of a neuron that feeds complex fields, each a real part and an imaginary one."""

from collections.abc import Mapping
from math import prod
from typing import final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from scipy import special

from .laws import AbstractWeights, Normals, Spherical, check_outputs, counts, drawn_vector, gaussian_moment

__all__ = ["Phases", "circular", "complex_sphere"]


@final
class Phases(AbstractWeights):
    """Complex weights w = exp(i c) of an independent uniform phase for each field: U(1) for each, and not SU(D).

    Attributes:
        fields: number of complex fields; as outputs they are twice as many, real and imaginary part in turn.

    Example, E (Re w)^2 = 1/2, E (Re w)^4 = 3/8:
        >>> Phases(1).moment((0, 0)), Phases(1).moment((0, 0, 0, 0)), Phases(2).moment((0, 0, 2, 2))
        (0.5, 0.375, 0.25)
    """

    fields: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_outputs(self.fields)

    @property
    def outputs(self) -> int:
        return 2 * self.fields

    def draw(self) -> Float[Array, "*plate output"]:
        phase = drawn_vector(dist.Uniform(-jnp.pi, jnp.pi).expand([self.fields]).to_event(1))
        both = jnp.stack([jnp.cos(phase), jnp.sin(phase)], axis=-1)
        return both.reshape(*phase.shape[:-1], self.outputs)

    def moment(self, outputs: tuple[int, ...]) -> float:
        """(a-1)!! (b-1)!!/(a+b)!! for each field, a factors cos c and b factors sin c."""
        found = counts(outputs, self.outputs)
        pairs = zip(found[::2], found[1::2], strict=True)
        return prod(gaussian_moment(a) * gaussian_moment(b) / special.factorial2(a + b, exact=True) for a, b in pairs)

    def log_mean(self, amplitude: np.ndarray) -> np.ndarray:
        size = np.hypot(amplitude[..., ::2], amplitude[..., 1::2])
        return np.sum(np.log(special.i0e(size)) + size, axis=-1)

    @property
    def reasons(self) -> Mapping[str, str]:
        return dict.fromkeys(("phase", "phases"), "the readout of every neuron has a uniform phase for each field")


def circular(fields: int) -> Normals:
    """Complex Gaussian weights, E|w|^2 = 1, independent for each complex field: U(D) at every width.

    Raises:
        ValueError: fewer than one field.

    Example:
        >>> round(circular(1).moment((0, 0)) + circular(1).moment((1, 1)), 12)
        1.0
    """
    check_outputs(fields)
    return Normals(mean=(0.0,) * 2 * fields, deviation=(0.5**0.5,) * 2 * fields)


def complex_sphere(fields: int) -> Spherical:
    """A complex vector uniform on the sphere |w|^2 = D: SU(D) at every width, and not Gaussian.

    Raises:
        ValueError: fewer than one field.

    Example:
        >>> round(sum(complex_sphere(2).moment((i, i)) for i in range(4)), 12)
        2.0
    """
    check_outputs(fields)
    return Spherical(2 * fields, 0.5**0.5)
