"""What is asked of a quantum system whose levels can be had in any basis size, every number right to a stated accuracy.

Each number is computed in two bases, the second larger by half and of another frequency. Where they differ by more than
the accuracy asked for the next pair is tried, and at last the number is refused. In terms of the field phi(t) = x(t):

    <phi(t)phi(0)> = sum_k Z_k e^(-(E_k - E_0)t),   Z_k = |<0|x|k>|^2,

and at finite beta, in a periodic box of that length, traces with e^(-beta H)/Z in place of the ground state.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..combinatorics import even_cumulants, sorted_tuples
from ..correlators import Correlators, check_points
from ..refusals import is_whole
from ..types import Points, Vector
from .levels import Levels
from .spectrum import Spectrum
from .timed import AbstractTimed

__all__ = ["AbstractOscillator"]

_STATES = 4  # whose energies are computed where none is asked for
_EPS = 8 * float(np.finfo(float).eps)  # of the energies of a block; seen: below 1e-15 of their distance to V = 0
_RESOLVED = 1e-4  # of a gap, which its rounding may be


class Judged(NamedTuple):
    """A quantity in one basis, what its accuracy is relative to, and below which difference it is rounding."""

    value: Any
    scale: Any
    rounding: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AbstractOscillator(AbstractTimed):
    """A Hamiltonian p^2/2 + V(x), V(-x) = V(x), of one or more coordinates; hbar = mass = 1.

    Attributes:
        beta: length of the periodic imaginary time, the inverse temperature; infinite for the ground state.
        accuracy: how near two bases must come, relative to each number: of energies, to their distance from the
            bottom of the potential; of what is connected, to the moments it is the difference of.
    """

    beta: float = float("inf")
    accuracy: float = 1e-11

    sizes: ClassVar[tuple[int, ...]]  # of the bases that are tried, one after the other
    fields: ClassVar[int]  # number of coordinates

    def __post_init__(self) -> None:
        if not _positive(self.beta):
            raise ValueError(f"expected beta > 0, got {self.beta!r}; try beta=4.0, or leaving it out for T = 0")
        if not _positive(self.accuracy) or not 1e-14 <= self.accuracy <= 1e-2:
            raise ValueError(f"expected an accuracy from 1e-14 to 1e-2, got {self.accuracy!r}; try leaving it out")

    @property
    def period(self) -> float:
        return self.beta

    @abstractmethod
    def levels(self, size: int) -> Levels:
        """Energies and matrix elements in a basis of `size` functions for each coordinate."""

    @property
    @abstractmethod
    def bottom(self) -> float:
        """The lowest value of the potential."""

    @property
    @abstractmethod
    def formula(self) -> str:
        """The potential as text."""

    def spectrum(self, states: int = 8) -> Vector:
        """The lowest energies E_0 <= E_1 <= .., (state,), whatever beta is.

        Raises:
            ValueError: more states than the largest basis holds to the accuracy.
        """
        if not is_whole(states, 1):
            raise ValueError(f"expected a number of states >= 1, got {states!r}; try states=8")
        return self._agreed(f"the lowest {states} energies", lambda levels: self._energies(levels, states), states)

    @property
    def ground_energy(self) -> float:
        """E_0."""
        return float(self.spectrum(1)[0])

    @property
    def gap(self) -> float:
        """E_1 - E_0, the inverse correlation length of x: to the accuracy, or to the rounding of the two energies.

        Raises:
            ValueError: two wells so deep that rounding is more than 1e-4 of their splitting.
        """

        def value(levels: Levels) -> Judged:
            gap, size = float(levels.above[1]), abs(self.bottom) + float(np.max(np.abs(levels.energies[:2])))
            return Judged(gap, gap, rounding=_EPS * size)

        gap, scale, rounding = self._judged("the gap", value, _STATES)
        if rounding > _RESOLVED * scale:
            raise ValueError(
                f"expected a gap above {rounding / _RESOLVED:.1g}, {1 / _RESOLVED:g} times the rounding of the "
                f"energies of {self.formula}, got {gap:.2g}; try shallower wells"
            )
        return float(gap)

    @property
    def log_partition(self) -> float:
        """Log Tr e^(-beta H), absolute accuracy where it is below one.

        Raises:
            ValueError: beta is infinite.
        """
        beta = self.beta
        if np.isinf(beta):
            raise ValueError("expected a finite beta for log Z, got beta = inf; try beta=10.0")

        def value(levels: Levels) -> Judged:
            log = levels.log_partition(beta)
            return Judged(log, max(1.0, abs(log)))

        return float(self._agreed("log Z", value))

    def moment(self, *powers: int) -> float:
        """<x^p>, or <x^p y^q> of two coordinates; zero by symmetry where a power is odd.

        Raises:
            ValueError: powers that are not one whole number >= 0 for each coordinate.
        """
        if len(powers) != self.fields or not all(is_whole(p, 0) for p in powers):
            raise ValueError(f"expected {self.fields} powers >= 0, got {powers}; try {('2', '2, 2')[self.fields - 1]}")
        if any(p % 2 for p in powers):
            return 0.0
        labels = tuple(f for f, p in enumerate(powers) for _ in range(p))
        if not labels:
            return 1.0
        return float(self._agreed(f"the moment {powers}", lambda levels: self._moment(levels, labels)))

    def site_moment(self, order: int) -> float:
        return self.moment(order, *[0] * (self.fields - 1))

    def weights(self, states: int = 4, *, field: int = 0) -> Vector:
        """Z_k = |<0|x|k>|^2 for k = 0, 1, .., (state,), accurate relative to their sum <x^2>; degenerate states share.

        Raises:
            ValueError: no number of states.
        """
        if not is_whole(states, 1):
            raise ValueError(f"expected a number of states >= 1, got {states!r}; try states=4")
        (field,) = self._labels((field,), 1)

        def value(levels: Levels) -> Judged:
            row = levels.coordinates[field, 0] ** 2
            return Judged(row[:states], float(row.sum()))

        return self._agreed("the weights", value, states)

    def two_point(self, states: int = 12, *, field: int = 0) -> Spectrum:
        """Energies above the ground state and weights Z_k of <x(0) x(t)>, at T = 0: in Euclidean and in real time.

        Raises:
            ValueError: a finite beta, where every state is a first one; no number of states.
        """
        if np.isfinite(self.beta):
            raise ValueError(
                f"expected the ground state, beta = inf, got beta = {self.beta:g}, where excited states are there too; "
                "try leaving beta out"
            )
        energies = self.spectrum(states)
        return Spectrum(energies - energies[0], self.weights(states, field=field))

    def correlator(self, times: Any, *, fields: tuple[int, int] | None = None) -> Any:
        """G(t) = <x(t) x(0)>, of any number of times, in their shape; `fields` picks two coordinates.

        Raises:
            ValueError: times that are not finite numbers.
        """
        when, labels = _times(times), self._labels(fields, 2)

        def value(levels: Levels) -> Judged:
            found = [levels.correlation(np.array([0.0, t]), labels, self.beta) for t in np.abs(when).ravel()]
            return Judged(np.reshape(found, when.shape), np.reshape(np.abs(found), when.shape))

        found = self._agreed("G(t)", value)
        return found if when.ndim else float(found)

    def connected(self, times: Any, *, fields: tuple[int, ...] | None = None) -> Any:
        """The connected function G_c(t_1, .., t_r) of even order, times (.., r) in any order -> (..).

        Accurate relative to the products of moments that it is the difference of; `fields` picks r coordinates.

        Raises:
            ValueError: an odd or no number of times, or more than eight of them.
        """
        when = _times(times)
        if when.ndim == 0 or when.shape[-1] % 2 or not 2 <= when.shape[-1] <= 8:
            raise ValueError(
                f"expected an even number of times up to 8 along the last axis, got shape {when.shape}; try "
                "connected([0.0, 0.5, 1.0, 1.5])"
            )
        labels = self._labels(fields, when.shape[-1])

        def value(levels: Levels) -> Judged:
            rows = when.reshape(-1, when.shape[-1])
            found = np.array([levels.connected(row, labels, self.beta) for row in rows]).reshape(-1, 2)
            shape = when.shape[:-1]
            return Judged(found[:, 0].reshape(shape), found[:, 1].reshape(shape))

        found = self._agreed("what is connected", value)
        return found if found.ndim else float(found)

    def correlators(self, times: Points, *, orders: tuple[int, ...] = (2, 4), field: int = 0) -> Correlators:
        """The exact correlators of phi(t) = x(t) at points on the line of time, as `m.exact` gives them of a network.

        Args:
            times: points (point, 1).
            orders: even orders, up to 6.
            field: which coordinate.

        Raises:
            ValueError: points of more than one axis; odd orders, or orders above 6.
        """
        points = check_points(times)
        if points.shape[1] != 1:
            raise ValueError(f"expected points in one dimension, (point, 1), got {points.shape}; try times[:, None]")
        if not orders or any(r not in (2, 4, 6) for r in orders):
            raise ValueError(f"expected orders among 2, 4, 6, got {orders}; try orders=(2, 4)")
        (field,) = self._labels((field,), 1)
        table = {r: sorted_tuples(len(points), r) for r in range(2, max(orders) + 1, 2)}

        def value(levels: Levels) -> Judged:
            found = [
                levels.correlation(points[row, 0], (field,) * r, self.beta) for r, rows in table.items() for row in rows
            ]
            return Judged(np.array(found), np.abs(found))

        stops = np.cumsum([len(rows) for rows in table.values()])[:-1]
        moments = dict(zip(table, np.split(self._agreed("the correlators", value), stops), strict=True))
        cumulants = even_cumulants(moments, len(points))
        return Correlators(
            points=points,
            moments={r: moments[r] for r in sorted(orders)},
            cumulants={r: cumulants[r] for r in sorted(orders)},
            maker="exact",
            even=True,
            about={"accuracy": self.accuracy, "rule": "diagonalisation", "model": repr(self)},
        )

    def __str__(self) -> str:
        energies = ", ".join(f"{e:.11g}" for e in self.spectrum(_STATES))
        where = "at T = 0" if np.isinf(self.beta) else f"at beta = {self.beta:g}"
        moment = self.moment(2, *[0] * (self.fields - 1))
        return (
            f"H = p^2/2 + V, V = {self.formula}: energies {energies}; <x^2> {moment:.11g} {where}; two bases agree to "
            f"{self.accuracy:g}"
        )

    def _energies(self, levels: Levels, states: int) -> Judged:
        return Judged(levels.energies[:states], levels.energies[:states] - self.bottom)

    def _moment(self, levels: Levels, labels: tuple[int, ...]) -> Judged:
        found = levels.correlation(np.zeros(len(labels)), labels, self.beta)
        return Judged(found, abs(found))

    def _labels(self, fields: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
        labels = (0,) * count if fields is None else tuple(fields)
        if len(labels) != count or not all(is_whole(f, 0) and f < self.fields for f in labels):
            raise ValueError(
                f"expected {count} coordinates among {tuple(range(self.fields))}, got {fields}; try {(0,) * count}"
            )
        return labels

    def _agreed(self, what: str, quantity: Callable[[Levels], Judged], states: int = 1) -> Any:
        """The value of `_judged`."""
        return self._judged(what, quantity, states).value

    def _judged(self, what: str, quantity: Callable[[Levels], Judged], states: int = 1) -> Judged:
        """A quantity from the first two bases that agree.

        Raises:
            ValueError: no two do, with how far the best two are apart.
        """
        sizes = [n for n in self.sizes if n**self.fields >= 2 * states]
        if len(sizes) < 2:
            raise ValueError(f"expected at most {self.sizes[-2] ** self.fields // 2} states, got {states}; try fewer")
        best, where = np.inf, (0, 0)
        coarse = quantity(self.levels(sizes[0]))
        for small, large in pairwise(sizes):
            fine = quantity(self.levels(large))
            apart = np.abs(np.asarray(fine.value) - np.asarray(coarse.value))
            with np.errstate(divide="ignore", invalid="ignore"):
                worst = float(np.max(np.where(apart <= fine.rounding, 0.0, apart / np.abs(fine.scale)), initial=0.0))
            if worst <= self.accuracy:
                return fine
            if worst < best:
                best, where = worst, (small, large)
            coarse = fine
        raise ValueError(
            f"expected {what} of {self.formula} to {self.accuracy:g}, got a difference of {best:.2g} between bases of "
            f"{where[0]} and {where[1]} functions; try accuracy={2 * best:.0e}, shallower wells or a larger beta"
        )


def _positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(value > 0)


def _times(times: Any) -> np.ndarray:
    """Times as numbers, of any shape."""
    try:
        when = np.asarray(times, dtype=float)
    except (TypeError, ValueError):
        when = np.array(np.nan)
    if not np.all(np.isfinite(when)):
        raise ValueError(f"expected finite times, got {times!r}; try times=[0.0, 0.5, 1.0]")
    return when
