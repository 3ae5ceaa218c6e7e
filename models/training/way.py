"""A way of learning: what it makes of one network, and what it makes of a Gaussian process."""

from abc import abstractmethod

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..types import Inputs
from .lesson import Field, Lesson

__all__ = ["AbstractWay"]


class AbstractWay(eqx.Module):
    """How a network learns. `learn` is enough to train ensembles; `response` gives their limit N = infinity.

    Example: tests/models/test_training.py has one of its own.
    """

    @property
    @abstractmethod
    def moments_of_training(self) -> tuple[float, ...]:
        """The times at which the field is looked at; inf where there is no time, or at its end."""

    @property
    def remedy(self) -> str:
        """What to try where a trained field is not finite."""
        return "a smaller scale or removing that network"

    @property
    def variance(self) -> float | None:
        """Of the noise on a target, of a way that is Bayes' rule; None of any other."""
        return None

    @property
    def outputs(self) -> int:
        """Number of fields: one a time."""
        return len(self.moments_of_training)

    @abstractmethod
    def learn(self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array) -> Float[Array, "time point"]:
        """The field at the points, at each time, of one network that has learned."""

    @abstractmethod
    def response(self, kernel: Float[Array, "sample sample"], time: float) -> Float[Array, "sample sample"]:
        """R of phi_t(x) = phi_0(x) + T_xX R (y - phi_0(X)), given T_XX, the kernel of the parameters that move."""
