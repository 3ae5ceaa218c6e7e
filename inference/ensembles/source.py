"""Where networks come from: a recipe (`Ensemble`), somebody's array (`Samples`), or either of them seen in modes.

A source of one's own says its points, n, and reads; the rest has honest defaults: networks of equal weight, independent
of each other, of a model that is not known.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ...models.networks.independent import Independent
from ...models.types import Matrix, Points
from .chains import Dependence

__all__ = ["Source", "two_point"]

_PILOT = 4000  # networks read for a two-point function at most, where none can be held out


class Source(ABC):
    """Networks at some points, read in slices as often as asked.

    Attributes:
        points: input points, (point, axis).
        n: number of networks.
        model: the program that draws them; None of an array.
        weighted: whether draws carry weights (`numpyro.factor`), which `read_weighted` gives.
        level: log of the scale of the weights, which divides them.
        even: whether phi -> -phi is known to be a symmetry.
        copied: networks left out because they equal another one.
        outputs: number D of fields at a point.

    Example, fields that somebody computes when asked:
        >>> class Waves(Source):
        ...     points, n = np.array([[0.0], [1.0]]), 1000
        ...     def read(self, start, count):
        ...         phase = np.random.default_rng(0).uniform(0.0, 6.28, self.n)[start : start + count]
        ...         return np.cos(self.points[:, 0] + phase[:, None])
        >>> Waves().read_weighted(0, 3)[1].tolist(), Waves().dependence.block
        ([0.0, 0.0, 0.0], 1)
    """

    points: Points
    n: int
    model: Any = None
    weighted: bool = False
    level: float = 0.0
    even: bool = False
    copied: int = 0
    outputs: int = 1

    @property
    def places(self) -> int:
        """Numbers a network has, M D: a place is (point, output), number point D + output."""
        return len(self.points) * self.outputs

    @abstractmethod
    def read(self, start: int, count: int) -> np.ndarray:
        """Fields of networks start .. start+count-1, (network, point); of several outputs (network, place)."""

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, and the log weight of each network, (network,)."""
        return self.read(start, count), np.zeros(count)

    @property
    def dependence(self) -> Dependence:
        """What their order says of their independence."""
        return Dependence(self.n)

    @property
    def neurons(self) -> Independent | None:
        """The sum of independent neurons that the field is, where that is known."""
        return None

    @property
    def program(self) -> Any:
        """The ensemble whose model can be drawn in other ways, hidden layers or single neurons; None of an array."""
        return None

    def pilot(self, share: float) -> tuple[Matrix, str, "Source | None"]:
        """<phi phi> of some networks, in words which, and the networks that are left where these were held out.

        share: of the networks that may be held out.
        """
        count = min(self.n, _PILOT)
        return two_point(self.read(0, count)), f"the first {count} networks", None

    def recipe(self) -> dict[str, Any]:
        """What a fit remembers, for JSON."""
        return {"kind": type(self).__name__, "n": self.n}

    def about(self) -> dict[str, Any]:
        """What correlators remember of where they were measured."""
        return {}


def two_point(fields: np.ndarray) -> Matrix:
    """<phi phi> over networks, (point, point)."""
    fields = fields.astype(float)
    return fields.T @ fields / len(fields)
