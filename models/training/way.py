"""A way of learning: what it makes of one network, and what it makes of a Gaussian process."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..refusals import NOT_FINITE
from ..types import Inputs, Matrix
from .lesson import Field, Lesson

__all__ = ["AbstractWay", "Kernels"]


class Kernels(NamedTuple):
    """Kernels of a network at infinite width, (place, place) each.

    start: the covariance of the field; readout: what of it the readout makes; tangent: that of all parameters, when
    asked for.
    """

    start: Matrix
    readout: Matrix
    tangent: Callable[[], Matrix]


class AbstractWay(eqx.Module):
    """How a network learns: `learn` trains ensembles, `kernel` and `response` give their limit N = infinity.

    Attributes:
        times: when the field is looked at, one field a time; inf where there is no time, or at its end.

    Example: tests/models/test_training.py has one of its own.
    """

    times: eqx.AbstractVar[tuple[float, ...]]

    @property
    def variance(self) -> float | None:
        """Of the noise on a target, of a way that is Bayes' rule; None of any other."""
        return None

    @property
    def remedy(self) -> str:
        """What to try where a trained field is not finite."""
        return NOT_FINITE

    def check(self, field: Field, lesson: Lesson, points: Inputs) -> None:
        """Look at one network before an ensemble learns; raises ValueError where this way is not for it."""
        return

    @abstractmethod
    def learn(self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array) -> Float[Array, "time point"]:
        """The field at the points, at each time, of one network that has learned."""

    @abstractmethod
    def kernel(self, kernels: Kernels) -> Matrix:
        """T of the parameters that move, at points and inputs, (place, place)."""

    @abstractmethod
    def response(self, kernel: Float[Array, "sample sample"], time: float) -> Float[Array, "sample sample"]:
        """R of phi_t(x) = phi_0(x) + T_xX R (y - phi_0(X)), given T_XX."""
