"""Correlators that somebody has, a function G(t), values at points or at lags, asked for the matrices of positivity."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...models.correlators import Correlators
from ...models.types import Matrix, Points, Vector
from ..spectra.lagged import TimeCorrelators
from .matrices import ROUNDING, ROUNDINGS, AbstractReflected, Reflections, of_correlators
from .times import default_times, time_scale

__all__ = ["Lags", "Measured", "TwoPoint", "mirrored"]

_EVEN = 1e-6  # of the last time, by which points and lags may be off what is asked for


@dataclass(frozen=True, eq=False)
class TwoPoint(AbstractReflected):
    """G(t) of a field that is the same at all times, as a function of an array of times.

    Attributes:
        function: t -> G(t), called with |t| of any shape.
        accuracy: absolute error of G; None for a few roundings of the numbers that it returns, single or double.
        period: of G.

    Example, the Gaussian kernel:
        >>> kernel = TwoPoint(lambda t: 0.5 * np.exp(-(t**2) / 2.0))
        >>> print(f"{np.linalg.eigvalsh(kernel.matrices(np.array([0.2, 0.5, 1.0, 1.5]), 2).reflected)[0]:.10f}")
        -0.0721901954
    """

    function: Callable[[Any], Any]
    accuracy: float | None = None
    period: float = float("inf")

    def at(self, times: Any) -> Any:
        t = np.abs(np.asarray(times, dtype=float))
        return self._known(t)[0]

    def _known(self, t: Any) -> tuple[Any, float]:
        """G, and the size of a rounding of the numbers in which it came."""
        values = np.asarray(self.function(t))
        if values.shape != t.shape or not np.issubdtype(values.dtype, np.floating) or not np.all(np.isfinite(values)):
            raise ValueError(
                f"expected G as a function of an array of times, real, finite and of its shape {t.shape}, got "
                f"{values.dtype} of shape {values.shape}; try lambda t: np.exp(-np.abs(t)) / 2"
            )
        return values.astype(float), float(np.finfo(values.dtype).eps)

    def matrices(self, times: Vector, order: int) -> Reflections:
        if order != 2:
            raise ValueError(
                f"expected order 2 of a two-point function, got order {order}; try the network or Correlators"
            )
        reflected, eps = self._known(times[:, None] + times)
        size = float(np.max(np.abs(self.at(np.zeros(1)))))
        rounding = ROUNDINGS * eps * max(size, float(np.max(np.abs(reflected))))
        accuracy = rounding if self.accuracy is None else self.accuracy
        return Reflections(reflected, self.at(times[:, None] - times), accuracy)

    def times(self, order: int) -> Vector:
        if np.isfinite(self.period):
            return self.period * np.arange(1, 16) / 32.0
        first = float(self.at(np.zeros(1))[0])
        return default_times(time_scale(lambda t: self.at(t) / first))


@dataclass(frozen=True, eq=False)
class Measured(AbstractReflected):
    """Correlators at points that hold both t and its reflection, exact ones or measured ones.

    Attributes:
        data: moments up to the order asked for.
        axis: the coordinate that is time.
        origin: time about which is reflected; None for zero, or the middle of the points where no point has its
            reflection about zero.
        period: of a box.
        accuracy: absolute error of the moments; None for what the correlators say of themselves.
    """

    data: Correlators
    axis: int = 0
    origin: float | None = None
    period: float = float("inf")
    accuracy: float | None = None

    def matrices(self, times: Vector, order: int) -> Reflections:
        before, after = self._places()
        missing = [t for t in times if not np.any(_near(t, list(after)))]
        if missing:
            known = ", ".join(f"{t:.4g}" for t in sorted(after))
            raise ValueError(
                f"expected correlators with points at t and -t for all times, got none at t = {missing[0]:g}; try "
                f"times among {{{known}}}, or measuring at {(-missing[0] + self.about):g} and "
                f"{missing[0] + self.about:g} too"
            )
        keys = np.array(list(after))
        chosen = [float(keys[np.flatnonzero(_near(t, keys))[0]]) for t in times]
        found = of_correlators(
            self.data, np.array([before[t] for t in chosen]), np.array([after[t] for t in chosen]), order
        )
        return found if self.accuracy is None else replace(found, accuracy=self.accuracy)

    def times(self, order: int) -> Vector:
        found = np.sort(np.array(list(self._places()[1])))
        if not len(found):
            raise ValueError(
                f"expected points at t and -t, got {np.asarray(self.data.points)[:4].tolist()}.. without a pair; try "
                "origin=, or points on both sides of it"
            )
        return found if order == 2 else found[np.unique(np.linspace(0, len(found) - 1, 5).astype(int))]

    @property
    def about(self) -> float:
        if self.origin is not None:
            return self.origin
        t = np.asarray(self.data.points, dtype=float)[:, self.axis]
        return 0.0 if mirrored(self.data.points, self.axis, 0.0) else float(t.min() + t.max()) / 2.0

    def _places(self) -> tuple[dict[float, int], dict[float, int]]:
        """Time -> number of the point at -t, and of that at t."""
        pairs = mirrored(self.data.points, self.axis, self.about)
        return {t: a for t, (a, _) in pairs.items()}, {t: b for t, (_, b) in pairs.items()}


@dataclass(frozen=True, eq=False)
class Lags(AbstractReflected):
    """G(t) at lags, as `inf.time_correlators` makes it, with its errors; the field is the same at all times.

    Attributes:
        data: of one operator or several.
        operator: which of them.
        accuracy: absolute error of what came without errors, half of the last digit of a table; None for roundings.
    """

    data: TimeCorrelators
    operator: int = 0
    accuracy: float | None = None

    @property
    def period(self) -> float:
        return self.data.period

    def matrices(self, times: Vector, order: int) -> Reflections:
        if order != 2:
            raise ValueError(f"expected order 2 of correlators at lags, got order {order}; try the fields themselves")
        sums, differences = (self._lags(times[:, None] + sign * times) for sign in (1.0, -1.0))
        g, rows = (part[..., self.operator, self.operator] for part in (self.data.values, self.data.rows))
        accuracy = ROUNDING * float(np.max(np.abs(g))) if self.accuracy is None else self.accuracy
        return Reflections(g[sums], g[differences], accuracy, None if self.data.exact else rows[:, sums])

    def times(self, order: int) -> Vector:
        """Halves of the lags, one after the other, as long as all sums and differences are lags that are there.

        Of an even line they are the odd multiples of half the spacing.

        Raises:
            ValueError: lags of which no two times can be asked.
        """
        chosen: list[float] = []
        for half in (self.data.times[self.data.times > 0.0] / 2.0).tolist():
            tried = np.array([*chosen, half])
            if np.all(self._places(np.stack([half + tried, half - tried]))[1]):
                chosen.append(half)
        if len(chosen) < min(2, len(self.data.times) // 2):
            raise ValueError(
                f"expected lags that are all sums and differences of a few times, zero among them, got "
                f"{self.data.times.tolist()}; try evenly spaced ones, np.arange(9) * 0.25"
            )
        return np.array(chosen)

    def _places(self, wanted: Matrix) -> tuple[Any, Any, Any]:
        """Numbers of the lags, whether each is there, and the lags."""
        t = self.data.times
        folded = np.abs(wanted)
        folded = folded if np.isinf(self.period) else np.minimum(folded % self.period, -folded % self.period)
        place = np.argmin(np.abs(folded[..., None] - t), axis=-1)
        return place, np.abs(t[place] - folded) <= _EVEN * max(float(t[-1]), 1e-300), folded

    def _lags(self, wanted: Matrix) -> Any:
        t = self.data.times
        place, there, folded = self._places(wanted)
        if not np.all(there):
            raise ValueError(
                f"expected G at all sums and differences of the times, got none at lag {folded[~there][0]:g}; try "
                f"times whose sums are among {t.tolist() if len(t) < 12 else f'{t[0]:g} .. {t[-1]:g}'}"
            )
        return place


def mirrored(points: Points, axis: int = 0, origin: float = 0.0) -> dict[float, tuple[int, int]]:
    """Positive time -> numbers of the points at -t and at t, which have all other coordinates in common.

    >>> mirrored(np.array([[-1.0], [0.0], [1.0], [2.0]]))
    {1.0: (0, 2)}
    """
    x = np.array(points, dtype=float)
    x[:, axis] -= origin
    size = float(np.max(np.abs(x), initial=1e-300))
    out: dict[float, tuple[int, int]] = {}
    for b in np.flatnonzero(x[:, axis] > _EVEN * size):
        image = x[b].copy()
        image[axis] *= -1.0
        hit = np.flatnonzero(np.max(np.abs(x - image), axis=1) <= _EVEN * size)
        if len(hit):
            out.setdefault(float(x[b, axis]), (int(hit[0]), int(b)))
    return out


def _near(time: float, known: Any) -> Any:
    known = np.asarray(known, dtype=float)
    return np.abs(known - time) <= _EVEN * max(abs(time), 1e-300)
