"""A field in imaginary time whose correlators are known exactly at any times."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from ..correlators import Correlators
from ..types import Points

__all__ = ["AbstractTimed"]


class AbstractTimed(ABC):
    """What answers for its correlators at points on the line of time, an oscillator or a lattice field.

    Attributes:
        period: length of time where it is a circle, else infinite.
        spacing: of a lattice, whose times are its multiples; zero where every time will do.
    """

    spacing: ClassVar[float] = 0.0
    reasons: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"translations": "the Hamiltonian does not know the time", "rotations": "the Hamiltonian is real"}
    )
    """Why it has the symmetries of time, in words, as those of a network (`AbstractModel.reasons`)."""

    @property
    @abstractmethod
    def period(self) -> float:
        """Length of time where it is a circle, else infinite."""

    @abstractmethod
    def correlators(self, times: Points, *, orders: tuple[int, ...] = (2, 4)) -> Correlators:
        """Exact correlators at points (point, 1); ValueError of orders or times that are not known."""

    @abstractmethod
    def site_moment(self, order: int) -> float:
        """<phi(t)^order> of one field, of an even order."""
