"""Symmetries of space: what happens to a field when its inputs are moved, by derivatives of it or at moved points.

A program is drawn once more at the moved points with the numbers of the same network, and differentiated along the
generators of a continuous group by forward differentiation. An array holds no other points than its own: there a
group is tested by those of its elements that take every point to another one of them.
"""

from itertools import combinations
from typing import Any, final

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import stats

from ...models.networks.model import AbstractModel
from ...models.types import Points
from .groups import AbstractSymmetry, Moves

__all__ = ["Permutation", "Reflection", "Rotations", "Translations"]

_SAME = 1e-9  # of the extent of the points: two of them are one
_ANGLE = 1.0  # of the rotation that stands for all where an element is asked for
_SHIFT = 0.37  # of the extent of the points, likewise


@final
class Translations(AbstractSymmetry):
    """phi(x) -> phi(x + a) for every a, by derivatives along every axis, or for one shift that is asked for.

    Attributes:
        shift: a, one number an axis; needed for arrays, where it takes points to points. None: all of them.
        period: of every axis, on a circle or torus; then points are compared modulo it.

    Raises:
        ValueError: a shift or period that is not finite; at the points, one of another dimension.

    Example, two points a shift apart: one has its image among them.
        >>> moves = Translations((0.6,)).moves(np.array([[-0.3], [0.3]]), 1)
        >>> moves.further.round(12).tolist(), len(moves.along)
        ([[0.9]], 0)
        >>> len(Translations().moves(np.zeros((1, 2)), 1).along)
        2
    """

    shift: tuple[float, ...] | None = eqx.field(static=True, default=None, converter=lambda v: _numbers("shift", v))
    period: tuple[float, ...] | None = eqx.field(static=True, default=None, converter=lambda v: _numbers("period", v))

    def __check_init__(self) -> None:
        for name, given in (("shift", self.shift), ("period", self.period)):
            if given is not None and not any(given):
                raise ValueError(f"expected a {name} that is not zero, got {given}; try leaving it out")

    @property
    def name(self) -> str:
        return "translations" if self.shift is None else f"translations by {_words(self.shift)}"

    def moves(self, points: Points, outputs: int) -> Moves:
        if self.shift is None:
            along = tuple(np.tile(axis, (len(points), 1)) for axis in np.eye(points.shape[1]))
            return _moves(points, outputs, (), along)
        _dimension(self.name, len(self.shift), points)
        return _moves(points, outputs, (points + np.array(self.shift),), (), self.period)

    def finite(self, points: Points, outputs: int) -> Moves:
        if self.shift is not None:
            return self.moves(points, outputs)
        shift = _SHIFT * _extent(points) * np.ones(points.shape[1])
        return Translations(tuple(shift.tolist()), self.period).moves(points, outputs)

    def reason(self, model: AbstractModel) -> str:
        return "" if self.period else model.reasons.get("translations", "")


@final
class Rotations(AbstractSymmetry):
    """phi(x) -> phi(R x), R in SO(d), or in O(d) with reflections, about a centre.

    Attributes:
        reflections: whether x_1 -> -x_1 belongs to it.
        centre: one number an axis; default the origin.

    Raises:
        ValueError: points of one dimension and no reflections.

    Example:
        >>> moves = Rotations().moves(np.array([[1.0, 0.0], [0.0, 2.0]]), 1)
        >>> moves.along[0].tolist()
        [[0.0, 1.0], [-2.0, 0.0]]
    """

    reflections: bool = eqx.field(static=True, default=False)
    centre: tuple[float, ...] | None = eqx.field(static=True, default=None, converter=lambda v: _numbers("centre", v))

    @property
    def name(self) -> str:
        return "rotations and reflections of x" if self.reflections else "rotations of x"

    def moves(self, points: Points, outputs: int) -> Moves:
        about = self._centred(points)
        along = []
        for i, j in combinations(range(points.shape[1]), 2):
            field = np.zeros(points.shape)
            field[:, i], field[:, j] = 0.0 - about[:, j], about[:, i]
            along.append(field)
        return _moves(points, outputs, self._mirrored(points), tuple(along))

    def finite(self, points: Points, outputs: int) -> Moves:
        about, moved = self._centred(points), list(self._mirrored(points))
        for i, j in combinations(range(points.shape[1]), 2):
            turn = np.eye(points.shape[1])
            turn[[i, i, j, j], [i, j, i, j]] = np.cos(_ANGLE), -np.sin(_ANGLE), np.sin(_ANGLE), np.cos(_ANGLE)
            moved.append(points - about + about @ turn.T)
        return _moves(points, outputs, tuple(moved), ())

    def reason(self, model: AbstractModel) -> str:
        return _about_a_point(model, any(self.centre or ()))

    def at_random(self, rng: np.random.Generator, points: Points, outputs: int) -> Moves:
        about, d = self._centred(points), points.shape[1]
        law = stats.ortho_group if self.reflections else stats.special_ortho_group
        turn = np.reshape(law.rvs(d, random_state=rng), (d, d))
        return _moves(points, outputs, (points - about + about @ turn.T,), ())

    def _centred(self, points: Points) -> Points:
        d = points.shape[1]
        if self.centre is not None:
            _dimension(self.name, len(self.centre), points)
        if d == 1 and not self.reflections:
            raise ValueError(
                "expected points of at least two dimensions to rotate, got one; try inf.Reflection(), or points (x, y)"
            )
        return points - np.array(self.centre or (0.0,) * d)

    def _mirrored(self, points: Points) -> tuple[Points, ...]:
        if not self.reflections:
            return ()
        moved = points.copy()
        moved[:, 0] -= 2.0 * self._centred(points)[:, 0]
        return (moved,)


@final
class Reflection(AbstractSymmetry):
    """phi(x) -> phi(x') with one axis reflected, or all of them.

    Attributes:
        axis: which one; None for all, x -> -x.
        about: the value of the axis (or of all of them) that stays.

    Example:
        >>> Reflection().moves(np.array([[-1.0], [0.0], [1.0]]), 1).elements[0].tolist()
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """

    axis: int | None = eqx.field(static=True, default=None)
    about: float = eqx.field(static=True, default=0.0)

    @property
    def name(self) -> str:
        what = "x" if self.axis is None else f"x_{self.axis + 1}"
        return f"reflection of {what}" + (f" about {self.about:g}" if self.about else "")

    def moves(self, points: Points, outputs: int) -> Moves:
        d = points.shape[1]
        if self.axis is not None and not 0 <= self.axis < d:
            raise ValueError(f"expected an axis among 0..{d - 1}, got {self.axis}; count from 0")
        axes = slice(None) if self.axis is None else [self.axis]
        moved = points.copy()
        moved[:, axes] = 2.0 * self.about - moved[:, axes]
        return _moves(points, outputs, (moved,), (), own_inverse=True)

    def reason(self, model: AbstractModel) -> str:
        return _about_a_point(model, self.about != 0.0)


@final
class Permutation(AbstractSymmetry):
    """Points exchanged among themselves: the law of phi(x_a) is that of phi(x_p(a)).

    Attributes:
        orders: one permutation of the points or several, each a tuple of their numbers; those that generate a group are
            enough.

    Raises:
        ValueError: what is no permutation; at the points, one of another number of them.

    Example, a cycle of three points:
        >>> Permutation(((1, 2, 0),)).moves(np.arange(3.0)[:, None], 1).elements[0].tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    orders: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        for order in self.orders or ((),):
            if not order or sorted(order) != list(range(len(order))):
                raise ValueError(f"expected permutations of points, got {self.orders!r}; try ((1, 0, 2),)")

    @property
    def name(self) -> str:
        return "permutations of points"

    def moves(self, points: Points, outputs: int) -> Moves:
        if any(len(order) != len(points) for order in self.orders):
            raise ValueError(f"expected permutations of {len(points)} points, got {self.orders}; try all their numbers")
        first = self.orders[0]
        undone = len(self.orders) == 1 and all(first[first[a]] == a for a in first)
        moved = tuple(points[list(order)] for order in self.orders)
        return _moves(points, outputs, moved, (), own_inverse=undone)


def _about_a_point(model: AbstractModel, elsewhere: bool) -> str:
    """Why rotations and reflections are symmetries: about another point than the origin translations too."""
    words = [model.reasons.get(key, "") for key in ("rotations", "translations")[: 2 if elsewhere else 1]]
    return "; ".join(words) if all(words) else ""


def _moves(
    points: Points,
    outputs: int,
    moved: tuple[Points, ...],
    along: tuple[Points, ...],
    period: tuple[float, ...] | None = None,
    *,
    own_inverse: bool = False,
) -> Moves:
    """Maps of fields to those at moved points and to derivatives, with the points that are not yet among the others."""
    if period is not None:
        _dimension("the period", len(period), points)
    known, rows = list(points), []
    for images in moved:
        row = []
        for x in images:
            place = _place(x, known, _SAME * _extent(points), period)
            if place == len(known):
                known.append(x)
            row.append(place)
        rows.append(row)
    count, total = len(points), len(known) + len(along) * len(points)
    elements = [np.eye(total)[row] for row in rows]
    generators = [np.eye(total)[len(known) + k * count + np.arange(count)] for k in range(len(along))]
    unit = np.eye(outputs)
    return Moves(
        elements=tuple(np.kron(one, unit) for one in elements),
        generators=tuple(np.kron(one, unit) for one in generators),
        further=np.array(known[count:]).reshape(-1, points.shape[1]),
        along=along,
        own_inverse=own_inverse,
    )


def _place(
    x: Float[np.ndarray, " axis"], known: list[np.ndarray], near: float, period: tuple[float, ...] | None
) -> int:
    """The number of a point among those known, or how many these are."""
    away = np.stack(known) - x
    if period is not None:
        away -= np.round(away / np.array(period)) * np.array(period)
    hits = np.flatnonzero(np.max(np.abs(away), axis=1) <= near)
    return int(hits[0]) if len(hits) else len(known)


def _extent(points: Points) -> float:
    """Largest size of the points, to compare with."""
    return float(np.max(np.ptp(points, axis=0))) or max(1.0, float(np.max(np.abs(points))))


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    """One number an axis as a tuple of Python's numbers."""
    if given is None:
        return None
    try:
        numbers = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not np.all(np.isfinite(numbers)):
        raise ValueError(f"expected {name} as one finite number an axis, got {given!r}; try (0.5,)")
    return numbers


def _dimension(name: str, given: int, points: Points) -> None:
    if given != points.shape[1]:
        raise ValueError(f"expected {points.shape[1]} numbers for {name}, one an axis of the points, got {given}")


def _words(shift: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in shift)
