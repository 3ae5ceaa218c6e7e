"""A gap with its error, and how it was found: what every method of this wing gives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from ...models.types import Vector
from .lagged import TimeCorrelators

__all__ = ["AbstractGapMethod", "Gap"]


@dataclass(frozen=True, eq=False)
class Gap:
    """The lowest energy above the vacuum that the operators see.

    Attributes:
        value: E_1 - E_0.
        error: one standard error; zero of exact correlators.
        how: the method and the times, in words.
        energies: all energies found, lowest first, (state,).
        errors: their standard errors, (state,).
        bias: what higher states are estimated to add to the value, with the error of that estimate; nan where nothing
            in the data says.
        bias_error: zero of exact correlators.
        chi2: of a fit, nan where there is none left.
        dof: its degrees of freedom.
        weights: of those states in the two-point function of the first operator, (state,); empty where not known.
        weight_errors: their standard errors, (state,).
        interval: 95 % of the gap, where a method knows better than two errors.
    """

    value: float
    error: float
    how: str
    energies: Vector
    errors: Vector
    bias: float = float("nan")
    bias_error: float = float("nan")
    chi2: float = float("nan")
    dof: int = 0
    weights: Vector = field(default_factory=lambda: np.zeros(0))
    weight_errors: Vector = field(default_factory=lambda: np.zeros(0))
    interval: tuple[float, float] | None = None

    @property
    def settled(self) -> bool:
        """Whether the estimated bias is below the error, or below two errors of its own; exact ones always are."""
        return self.error == 0.0 or not abs(self.bias) > max(self.error, 2.0 * self.bias_error)

    def __str__(self) -> str:
        number = f"{self.value:.10g}" if self.error == 0.0 else f"{self.value:.6g} +- {self.error:.2g}"
        fit = f"; chi2 {self.chi2:.3g} of {self.dof}" if self.dof else ""
        rest = "" if np.isnan(self.bias) else f"; higher states add about {self.bias:+.2g}"
        rest += f" +- {self.bias_error:.2g}" if self.bias_error > 0.0 else ""
        number += f", 95 % in {self.interval[0]:.4g} to {self.interval[1]:.4g}," if self.interval else ""
        return f"gap {number} by {self.how}{fit}{rest}{'' if self.settled else ': not settled, try later times'}"


class AbstractGapMethod(ABC):
    """A way from correlators in time to the gap, with its options."""

    @abstractmethod
    def gap(self, data: TimeCorrelators) -> Gap:
        """The gap that the correlators show.

        Raises:
            ValueError: correlators that are not positive, or too noisy, with the number that decides.
        """
