"""A part of a continuous group: one of its generators, or one element drawn at random (Haar), as a symmetry of its own.

All generators tested together decide, at no price of multiplicity. Parts show where a symmetry breaks: of phases that
are independent, for each complex field its own, the diagonal generator of SU(2) holds and the two others do not.
"""

from typing import final

import equinox as eqx
import numpy as np

from ...models.networks.model import AbstractModel
from ...models.refusals import is_whole
from ...models.types import Points
from .groups import AbstractSymmetry, Moves

__all__ = ["Element", "Generator"]


@final
class Generator(AbstractSymmetry):
    """One generator of a continuous group, counted from zero.

    Raises:
        ValueError: a number that is no generator's, at the points.

    Example, the third generator of SU(2), the relative phase:
        >>> from .groups import Unitary
        >>> third = Generator(Unitary(2), 2)
        >>> third.name, len(third.moves(np.zeros((1, 1)), 4).generators)
        ('SU(2), generator 2', 1)
    """

    group: AbstractSymmetry
    number: int = eqx.field(static=True)

    @property
    def name(self) -> str:
        return f"{self.group.name}, generator {self.number}"

    def moves(self, points: Points, outputs: int) -> Moves:
        every = self.group.moves(points, outputs)
        if not is_whole(self.number, 0) or self.number >= len(every.generators):
            raise ValueError(
                f"expected one of {len(every.generators)} generators of {self.group.name}, counted from 0, got "
                f"{self.number!r}; try 0"
            )
        return Moves((), (every.generators[self.number],), every.further, every.along)

    def reason(self, model: AbstractModel) -> str:
        return self.group.reason(model)


@final
class Element(AbstractSymmetry):
    """One element of a compact group, uniform over it (Haar), the same one for a seed.

    Raises:
        ValueError: at the points, a group whose elements are not drawn.

    Example:
        >>> from .groups import Orthogonal
        >>> turn = Element(Orthogonal(2), seed=1).moves(np.zeros((1, 1)), 2).elements[0]
        >>> bool(np.allclose(turn @ turn.T, np.eye(2)))
        True
    """

    group: AbstractSymmetry
    seed: int = eqx.field(static=True, default=0)

    @property
    def name(self) -> str:
        return f"{self.group.name}, element {self.seed}"

    def moves(self, points: Points, outputs: int) -> Moves:
        return self.group.at_random(np.random.default_rng(self.seed), points, outputs)

    def reason(self, model: AbstractModel) -> str:
        return self.group.reason(model)
