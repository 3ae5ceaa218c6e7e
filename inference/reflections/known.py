"""A field whose correlators are known exactly, as the axioms ask for it: time is one coordinate of its points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ...models.analytic.exact import exact
from ...models.correlators import Correlators
from ...models.networks.model import AbstractModel
from ...models.quantum.timed import AbstractTimed
from ...models.refusals import is_whole
from ...models.types import Points, Vector
from .matrices import AbstractReflected, Reflections, of_correlators
from .times import default_times, few_times, most_few, reflected_points, time_scale

__all__ = ["Known"]


@dataclass(frozen=True, eq=False)
class Known(AbstractReflected):
    """A theory, its period and its lattice, and where time is among its coordinates.

    Attributes:
        correlators: (points, orders) -> exact `Correlators`.
        orders: at which it answers.
        model: the program behind it, None of a theory that is no network.
        reasons: why it has the symmetries of space and time, in words.
        site_moment: order -> <phi(t)^order> of a theory that is no network, any even order.
        period: of time, infinite where it is a line.
        spacing: of a lattice in time, whose sites alone count; zero where there is none.
        axis: the coordinate that is time.
        dimension: of the points.
        origin: time about which is reflected.

    Raises:
        ValueError: an axis that is not one of the dimensions.

    Example:
        >>> from nnft import models as m
        >>> theory = Known.of_model(m.Network(m.Cos(), width=3))
        >>> theory.scale, theory.times(4).tolist()   # exp(-t^2/2) < 1/e at t = 2
        (2.0, [0.25, 0.5, 1.0, 2.0, 4.0])
    """

    correlators: Callable[[Points, tuple[int, ...]], Correlators]
    orders: tuple[int, ...]
    model: AbstractModel | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    site_moment: Callable[[int], float] | None = None
    period: float = float("inf")
    spacing: float = 0.0
    axis: int = 0
    dimension: int = 1
    origin: float = 0.0

    @property
    def about(self) -> float:
        return self.origin

    def __post_init__(self) -> None:
        if not is_whole(self.dimension, 1) or not is_whole(self.axis, 0) or self.axis >= self.dimension:
            raise ValueError(
                f"expected an axis among 0..dimension-1, got axis {self.axis} of {self.dimension}; try axis=0"
            )

    @classmethod
    def of_model(
        cls,
        model: AbstractModel,
        *,
        axis: int = 0,
        dimension: int = 1,
        origin: float = 0.0,
        period: float = float("inf"),
    ) -> "Known":
        """A network, or another model that brings its `cumulants`."""
        known = tuple(r for r in range(1, 7) if r in model.orders)
        period = min(period, model.period)
        return cls(
            partial(_exact, model), known, model, model.reasons, None, period, model.spacing, axis, dimension, origin
        )

    @classmethod
    def of_timed(cls, theory: AbstractTimed) -> "Known":
        """An oscillator or a chain."""
        made = partial(_timed, theory)
        return cls(made, (2, 4, 6), None, theory.reasons, theory.site_moment, theory.period, theory.spacing)

    def at(self, times: Vector, order: int) -> Correlators:
        """Correlators up to an order at times on the axis, at least the order itself."""
        points = np.zeros((len(times), self.dimension))
        points[:, self.axis] = self.origin + times
        return self.correlators(points, tuple(r for r in self.orders if r <= order) or (order,))

    def matrices(self, times: Vector, order: int) -> Reflections:
        if self.spacing and np.any(np.abs(times / self.spacing - np.round(times / self.spacing)) > 1e-9):
            raise ValueError(
                f"expected times that are multiples of the lattice spacing {self.spacing:g}, got {times.tolist()}; try "
                f"times={self.times(order).tolist()}"
            )
        count = len(times)
        data = self.at(reflected_points(times).ravel(), order)
        return of_correlators(data, np.arange(count), np.arange(count, 2 * count), order)

    def times(self, order: int) -> Vector:
        if self.spacing:
            most = len(self._set(order)(1.0))
            last = most if np.isinf(self.period) else int(np.ceil(self.period / self.spacing / 2.0)) - 1
            return self.spacing * np.unique(np.round(np.geomspace(1, max(1, last), most)))
        if np.isfinite(self.period):
            made = self._set(order)(min(self.scale, self.period / 8.0))
            return made[made < 0.45 * self.period]
        return self._set(order)(self.scale)

    def _set(self, order: int) -> Callable[[float], Vector]:
        return default_times if order == 2 else partial(few_times, count=most_few(order))

    @property
    def scale(self) -> float:
        """A power of two near the correlation time; in a box, or where nothing falls off, at most an eighth of it."""
        if self.spacing:
            return self.spacing
        return time_scale(self._correlation)

    def _correlation(self, times: Vector) -> Vector:
        """<phi(0) phi(t)> over the norms of both; one at times where the field vanishes."""
        if np.isfinite(self.period) and np.any(times > self.period / 2.0):
            return np.zeros(len(times))
        g = self.at(np.concatenate([[0.0], times]), 2).tensor(2, "moment")
        norm = np.sqrt(g[0, 0] * np.diag(g)[1:])
        return np.where(norm > 0.0, g[0, 1:] / np.where(norm > 0.0, norm, 1.0), 1.0)


def _exact(model: AbstractModel, points: Points, orders: tuple[int, ...]) -> Correlators:
    return exact(model, points, orders=orders)


def _timed(theory: AbstractTimed, points: Points, orders: tuple[int, ...]) -> Correlators:
    return theory.correlators(points, orders=orders)
