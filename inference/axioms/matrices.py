"""The two matrices of reflection positivity, <(Theta F_a) F_b> and <F_a F_b>, of whatever knows its correlators.

F_a are products of fields at positive times and Theta reflects them, t -> -t. Of order 2 they are the fields
themselves: M_ab = G(t_a + t_b) and K_ab = G(t_a - t_b) where G depends on the difference only, M_ab = <phi(-t_a)
phi(t_b)> always. Of order 2r they are all products of r, r - 2, .. fields (the constant 1 among them where r is even):
odd and even ones do not meet where phi -> -phi is a symmetry.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Float

from ...models.analytic.exact import exact, exact_if_known
from ...models.combinatorics import rank
from ...models.correlators import Correlators
from ...models.networks.model import AbstractModel, as_model
from ...models.types import Matrix, Vector
from ..spectra.lagged import TimeCorrelators
from .times import default_times, few_times, reflected_points, time_scale

__all__ = ["AbstractReflected", "Functionals", "Lags", "Measured", "Program", "Reflections", "TwoPoint", "functionals"]

Functionals = tuple[tuple[int, ...], ...]
_ROUNDING = 8.0 * float(np.finfo(float).eps)  # of a correlator whose accuracy nobody says
_EVEN = 1e-6  # of the last time, by which lags may be off what is asked for


@dataclass(frozen=True, eq=False)
class Reflections:
    """M and K of some functionals, and how well they are known.

    Attributes:
        reflected: M, (functional, functional), symmetric.
        plain: K, (functional, functional).
        accuracy: absolute error of the largest entry of M.
        rows: rows^T rows is the covariance of M, (row, functional, functional); none of exact correlators.
    """

    reflected: Matrix
    plain: Matrix
    accuracy: float
    rows: Float[np.ndarray, "row functional functional"] | None = field(default=None, repr=False)


def functionals(count: int, order: int, *, even: bool = True) -> Functionals:
    """Products of at most order/2 fields at so many times, as numbers of times; the empty one is the constant 1.

    >>> functionals(2, 4)
    ((), (0, 0), (0, 1), (1, 1))
    >>> functionals(2, 2), functionals(1, 2, even=False)
    (((0,), (1,)), ((), (0,)))

    Raises:
        ValueError: an order that is not even and positive.
    """
    if order not in (2, 4, 6):
        raise ValueError(f"expected order 2, 4 or 6, that of a product with its reflection, got {order!r}; try order=2")
    degrees = range(order // 2 % 2, order // 2 + 1, 2) if even else range(order // 2 + 1)
    return tuple(one for degree in degrees for one in combinations_with_replacement(range(count), degree))


class AbstractReflected(ABC):
    """A field in time that can be asked for the matrices of reflection positivity.

    Attributes:
        period: of time, infinite where it is a line.
    """

    period: float = float("inf")

    @abstractmethod
    def matrices(self, times: Vector, order: int) -> Reflections:
        """M and K of the functionals of this order at positive times; ValueError where they are not known."""

    @abstractmethod
    def times(self, order: int) -> Vector:
        """The times to ask at where nobody says."""


@dataclass(frozen=True, eq=False)
class TwoPoint(AbstractReflected):
    """G(t) of a field that is the same at all times, as a function of an array of times.

    Attributes:
        function: t -> G(t), called with |t| of any shape.
        accuracy: absolute error of G; None for a few roundings.
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
        values = np.asarray(self.function(t))
        if values.shape != t.shape or not np.issubdtype(values.dtype, np.floating) or not np.all(np.isfinite(values)):
            raise ValueError(
                f"expected G as a function of an array of times, real, finite and of its shape {t.shape}, got "
                f"{values.dtype} of shape {values.shape}; try lambda t: np.exp(-np.abs(t)) / 2"
            )
        return values.astype(float)

    def matrices(self, times: Vector, order: int) -> Reflections:
        if order != 2:
            raise ValueError(
                f"expected order 2 of a two-point function, got order {order}; try the network or Correlators"
            )
        reflected = self.at(times[:, None] + times)
        size = float(np.max(np.abs(self.at(np.zeros(1)))))
        accuracy = _ROUNDING * max(size, float(np.max(np.abs(reflected)))) if self.accuracy is None else self.accuracy
        return Reflections(reflected, self.at(times[:, None] - times), accuracy)

    def times(self, order: int) -> Vector:
        if np.isfinite(self.period):
            return self.period * np.arange(1, 16) / 32.0
        first = float(self.at(np.zeros(1))[0])
        return default_times(time_scale(lambda t: self.at(t) / first))


@dataclass(frozen=True, eq=False)
class Program(AbstractReflected):
    """A model whose correlators are known exactly; time is one coordinate of its points, the others are zero.

    Attributes:
        model: a network, or a model of one's own that brings `cumulants`.
        axis: the coordinate that is time.
        dimension: of the points.
        period: of a box.
        origin: time about which is reflected.
    """

    model: AbstractModel
    axis: int = 0
    dimension: int = 1
    period: float = float("inf")
    origin: float = 0.0

    def matrices(self, times: Vector, order: int) -> Reflections:
        points = reflected_points(times, axis=self.axis, dimension=self.dimension, origin=self.origin)
        orders = tuple(r for r in range(1, order + 1) if r in as_model(self.model).orders)
        data = exact(self.model, points, orders=orders or (order,))
        return _from_correlators(data, np.arange(len(times)), np.arange(len(times), 2 * len(times)), order)

    def times(self, order: int) -> Vector:
        if np.isfinite(self.period):
            return self.period * np.arange(1, 16 if order == 2 else 5) / (32.0 if order == 2 else 10.0)
        return (default_times if order == 2 else few_times)(time_scale(self._correlation))

    def _correlation(self, times: Vector) -> Vector:
        """<phi(0) phi(t)> over the norms, one before any time where it has none."""
        found = exact_if_known(
            self.model,
            np.concatenate(
                [np.zeros((1, self.dimension)), reflected_points(times, axis=self.axis, dimension=self.dimension)]
            ),
            (2,),
        )
        if found is None:
            return np.ones_like(times)
        g = found.tensor(2)
        start = 1 + len(times)
        norm = np.sqrt(g[0, 0] * np.diag(g)[start:])
        return np.where(norm > 0.0, g[0, start:] / np.where(norm > 0.0, norm, 1.0), 1.0)


@dataclass(frozen=True, eq=False)
class Measured(AbstractReflected):
    """Correlators at points that hold both t and its reflection, exact ones or measured ones.

    Attributes:
        data: moments up to the order asked for.
        axis: the coordinate that is time.
        origin: time about which is reflected; None for zero, or the middle of the points where no point has its
            reflection about zero.
        period: of a box.
    """

    data: Correlators
    axis: int = 0
    origin: float | None = None
    period: float = float("inf")

    def matrices(self, times: Vector, order: int) -> Reflections:
        before, after = self._places()
        missing = [t for t in times if not np.any(_near(t, list(after)))]
        if missing:
            known = ", ".join(f"{t:.4g}" for t in sorted(after))
            raise ValueError(
                f"expected correlators with points at t and -t for all times, got none at t = {missing[0]:g}; try "
                f"times among {{{known}}}, or measuring at {(-missing[0] + self._origin):g} and "
                f"{missing[0] + self._origin:g} too"
            )
        keys = np.array(list(after))
        chosen = [float(keys[np.flatnonzero(_near(t, keys))[0]]) for t in times]
        return _from_correlators(
            self.data, np.array([before[t] for t in chosen]), np.array([after[t] for t in chosen]), order
        )

    def times(self, order: int) -> Vector:
        found = np.sort(np.array(list(self._places()[1])))
        if not len(found):
            raise ValueError(
                f"expected points at t and -t, got {np.asarray(self.data.points)[:4].tolist()}.. without a pair; try "
                "origin=, or points on both sides of it"
            )
        return found if order == 2 else found[np.unique(np.linspace(0, len(found) - 1, 5).astype(int))]

    @property
    def _origin(self) -> float:
        if self.origin is not None:
            return self.origin
        t = np.asarray(self.data.points, dtype=float)[:, self.axis]
        return 0.0 if self._pairs(0.0) else float(t.min() + t.max()) / 2.0

    def _places(self) -> tuple[dict[float, int], dict[float, int]]:
        """Time -> number of the point at -t, and of that at t."""
        pairs = self._pairs(self._origin)
        return {t: a for t, (a, _) in pairs.items()}, {t: b for t, (_, b) in pairs.items()}

    def _pairs(self, origin: float) -> dict[float, tuple[int, int]]:
        x = np.array(self.data.points, dtype=float)
        x[:, self.axis] -= origin
        size = float(np.max(np.abs(x), initial=1e-300))
        out: dict[float, tuple[int, int]] = {}
        for b in np.flatnonzero(x[:, self.axis] > _EVEN * size):
            image = x[b].copy()
            image[self.axis] *= -1.0
            hit = np.flatnonzero(np.max(np.abs(x - image), axis=1) <= _EVEN * size)
            if len(hit):
                out.setdefault(float(x[b, self.axis]), (int(hit[0]), int(b)))
        return out


@dataclass(frozen=True, eq=False)
class Lags(AbstractReflected):
    """G(t) at lags, as `inf.time_correlators` makes it, with its errors; the field is the same at all times.

    Attributes:
        data: of one operator or several.
        operator: which of them.
    """

    data: TimeCorrelators
    operator: int = 0

    @property
    def period(self) -> float:
        return self.data.period

    def matrices(self, times: Vector, order: int) -> Reflections:
        if order != 2:
            raise ValueError(f"expected order 2 of correlators at lags, got order {order}; try the fields themselves")
        sums, differences = (self._lags(times[:, None] + sign * times) for sign in (1.0, -1.0))
        g, rows = (part[..., self.operator, self.operator] for part in (self.data.values, self.data.rows))
        accuracy = _ROUNDING * float(np.max(np.abs(g)))
        return Reflections(g[sums], g[differences], accuracy, None if self.data.exact else rows[:, sums])

    def times(self, order: int) -> Vector:
        """Odd multiples of half the spacing, whose sums and differences are lags that are there."""
        t = self.data.times
        step = float(np.min(np.diff(t))) if len(t) > 1 else float(t[-1])
        made = step * (np.arange(len(t)) + 0.5)
        return made[2.0 * made <= t[-1] * (1.0 + _EVEN)]

    def _lags(self, wanted: Matrix) -> Any:
        t = self.data.times
        folded = np.abs(wanted)
        folded = folded if np.isinf(self.period) else np.minimum(folded % self.period, -folded % self.period)
        place = np.argmin(np.abs(folded[..., None] - t), axis=-1)
        off = np.abs(t[place] - folded) > _EVEN * max(float(t[-1]), 1e-300)
        if np.any(off):
            raise ValueError(
                f"expected G at all sums and differences of the times, got none at lag {folded[off][0]:g}; try times "
                f"whose sums are among {t.tolist() if len(t) < 12 else f'{t[0]:g} .. {t[-1]:g}'}"
            )
        return place


def _near(time: float, known: Any) -> Any:
    known = np.asarray(known, dtype=float)
    return np.abs(known - time) <= _EVEN * max(abs(time), 1e-300)


def _from_correlators(data: Correlators, before: np.ndarray, after: np.ndarray, order: int) -> Reflections:
    """M and K from moments at numbered places: that of time k reflected, and of time k."""
    if data.outputs != 1:
        raise ValueError(f"expected one field, got {data.outputs} outputs at a point; try fields[:, :, 0]")
    made = functionals(len(after), order, even=data.even)
    count = len(made)
    plain, reflected = np.zeros((count, count)), np.zeros((count, count))
    some = next((len(part) for part in data.rows.get("moment", {}).values()), 0)
    rows = np.zeros((some, count, count))
    accuracy = _ROUNDING
    for total in sorted({len(a) + len(b) for a in made for b in made}):
        pairs = [(i, j) for i, a in enumerate(made) for j, b in enumerate(made) if len(a) + len(b) == total]
        i, j = np.array(pairs).T
        if total == 0:
            plain[i, j] = reflected[i, j] = 1.0
            continue
        values = data.moment(total)
        own = np.array([[*after[list(made[a])], *after[list(made[b])]] for a, b in pairs], dtype=int)
        both = np.array([[*before[list(made[a])], *after[list(made[b])]] for a, b in pairs], dtype=int)
        plain[i, j] = values[rank(own, data.places)]
        reflected[i, j] = values[rank(both, data.places)]
        accuracy = max(accuracy, _accuracy(data, total), _ROUNDING * float(np.max(np.abs(values))))
        if some and total in data.rows["moment"]:
            rows[:, i, j] = data.rows["moment"][total][:, rank(both, data.places)]
    # A field with a reflection symmetry has a symmetric M; of a measured one both halves say the same.
    symmetric = (reflected + reflected.T) / 2.0
    return Reflections(symmetric, plain, accuracy, (rows + rows.transpose(0, 2, 1)) / 2.0 if some else None)


def _accuracy(data: Correlators, order: int) -> float:
    """Absolute error of the largest moment of an order, from those of the connected functions."""
    known = data.about.get("accuracy", {})
    if not isinstance(known, dict) or order not in known:
        return 0.0
    others = float(np.max(np.abs(data.moments[2]))) if 2 in data.moments else 1.0
    ways = {1: 0.0, 2: 0.0, 3: 3.0, 4: 6.0, 5: 30.0, 6: 45.0}[order]  # of taking one pair, or two, out of the product
    below = float(known.get(2, 0.0)) * others ** (order / 2.0 - 1.0)
    return float(known[order]) + ways * below + (15.0 * others * float(known.get(4, 0.0)) if order == 6 else 0.0)
