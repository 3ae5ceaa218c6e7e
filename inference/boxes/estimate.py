"""A number with its error and with what it shares with others: rows whose products are all covariances."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Estimate"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, or an array of them, with errors; rows^T rows is the covariance, rows of two estimates that of both.

    Attributes:
        value: one number, or an array of any shape.
        rows: (row, *shape of value).
    """

    value: Any
    rows: np.ndarray = field(repr=False)

    @property
    def error(self) -> Any:
        """One standard error."""
        return np.sqrt(np.sum(np.square(self.rows), axis=0))

    def __str__(self) -> str:
        pairs = zip(np.atleast_1d(self.value), np.atleast_1d(self.error), strict=True)
        return ", ".join(f"{value:.6g} +- {error:.2g}" for value, error in pairs)
