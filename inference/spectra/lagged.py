"""Correlators in Euclidean time, G_ij(t) = <O_i(s) O_j(s + t)>, of powers of a field on an evenly spaced line.

O_i = phi^p_i with odd p_i, which the vacuum does not see where phi -> -phi is a symmetry; averaged over all s, and over
both directions. In a box of length L every lag t counts with L - t, and G is what its sum over k of cosh(E_k(t - L/2))
is. The covariance comes along as rows, covariance = rows^T rows, from whatever the networks were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models.arrays import factor_of
from ...models.combinatorics import rank
from ...models.correlators import Correlators
from ...models.refusals import is_whole
from ...models.types import Points, Vector
from ..ensembles.chains import check_worth
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums

__all__ = ["EffectiveMass", "TimeCorrelators", "energy_of_ratio", "time_correlators"]

_EVEN = 1e-6  # of the spacing, by which points may be off an even line


@dataclass(frozen=True, eq=False)
class EffectiveMass:
    """log G(t_k)/G(t_k+1) over t_k+1 - t_k: above the gap where all spectral weights are positive, at any t.

    Attributes:
        times: t_k, where it begins, (time,).
        values: (time,).
        errors: one standard error each, (time,).
    """

    times: Vector
    values: Vector
    errors: Vector

    def __str__(self) -> str:
        parts = [
            f"{v:.6g}({e:.2g}) from t = {t:g}" for t, v, e in zip(self.times, self.values, self.errors, strict=True)
        ]
        return "effective mass, above the gap by what higher states add: " + ", ".join(parts)


@dataclass(frozen=True, eq=False)
class TimeCorrelators:
    """G_ij(t) of a few operators at a few times, with the rows of its covariance.

    Attributes:
        times: (time,), increasing, from 0 to half a period at most.
        values: G_ij(t), symmetric, (time, operator, operator).
        rows: rows^T rows is the covariance of the values, (row, time, operator, operator); no rows: exact.
        period: length L of the box in time; infinite without one.
        words: where it comes from.
        removed: energies that `inf.without_level` has taken out; a level E counts exp(-E_0 dt) - exp(-E dt) for each.

    Raises:
        ValueError: times that do not increase or lie beyond half a period; shapes that do not fit; numbers that are
            not finite.
    """

    times: Vector
    values: Float[np.ndarray, "time operator operator"]
    rows: Float[np.ndarray, "row time operator operator"] = field(repr=False)
    period: float = float("inf")
    words: str = "correlators"
    removed: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.times), *[self.values.shape[-1]] * 2)
        if self.values.shape != shape or self.rows.shape[1:] != shape:
            raise ValueError(
                f"expected values (time, operator, operator) at {len(self.times)} times with rows of that shape, got "
                f"{self.values.shape} and {self.rows.shape}; try TimeCorrelators.given(times, values, covariance)"
            )
        if not (np.all(np.isfinite(self.values)) and np.all(np.isfinite(self.rows))):
            raise ValueError("expected finite correlators and errors, got nan or inf; try finding out why")
        late = self.times[-1] if np.isinf(self.period) else 2.0 * self.times[-1] - 1e-9 * self.period
        if np.any(np.diff(self.times) <= 0.0) or self.times[0] < 0.0 or late > self.period:
            raise ValueError(
                f"expected times that increase from 0 or later{'' if np.isinf(self.period) else ' to half the period'}"
                f", got {self.times.tolist()} with period {self.period:g}; try sorting them, or fewer of them"
            )

    @classmethod
    def given(
        cls, times: Any, values: Any, covariance: Any = None, *, jackknife: Any = None, period: float = float("inf")
    ) -> "TimeCorrelators":
        """Correlators that somebody else measured.

        Args:
            times: (time,).
            values: G(t), (time,), or a matrix of operators at each time, (time, operator, operator).
            covariance: of the values, flattened where they are matrices; or, in their shape, independent errors.
            jackknife: the values with one block left out at a time, (block, ...), in place of a covariance.
            period: length of the box in time.

        Raises:
            ValueError: what `TimeCorrelators` refuses; a covariance and a jackknife; a covariance that is none.

        >>> data = TimeCorrelators.given([0.0, 0.5], [0.5, 0.3], covariance=np.diag([1e-4, 1e-4]))
        >>> data.errors[:, 0, 0].round(6).tolist()
        [0.01, 0.01]
        """
        t, g = np.atleast_1d(np.asarray(times, dtype=float)), np.asarray(values, dtype=float)
        if t.ndim != 1 or g.ndim not in (1, 3) or len(g) != len(t):
            raise ValueError(
                f"expected times (time,) and values (time,) or (time, operator, operator), got {t.shape} and "
                f"{g.shape}; try one row of values a time"
            )
        if covariance is not None and jackknife is not None:
            raise ValueError("expected a covariance or jackknife values, got both; try one of them")
        shape = (*g.shape, 1, 1)[:3] if g.ndim == 1 else g.shape
        rows = np.zeros((0, *shape))
        if jackknife is not None:
            left_out = np.asarray(jackknife, dtype=float)
            if left_out.shape[1:] != g.shape or len(left_out) < 2:
                raise ValueError(
                    f"expected jackknife values (block, ...) in the shape of the values, {g.shape}, at least two of "
                    f"them, got {left_out.shape}; try one entry a block left out"
                )
            count = len(left_out)
            rows = np.sqrt((count - 1) / count) * (left_out - left_out.mean(axis=0)).reshape(count, *shape)
        elif covariance is not None:
            given = np.asarray(covariance, dtype=float)
            given = np.diag(given.ravel() ** 2) if given.shape == g.shape else given
            rows = factor_of(given, g.size).reshape(-1, *shape)
        values = g.reshape(shape)
        values, rows = (values + values.transpose(0, 2, 1)) / 2.0, (rows + rows.transpose(0, 1, 3, 2)) / 2.0
        return cls(t, values, rows, float(period), "given correlators")

    @property
    def errors(self) -> Float[np.ndarray, "time operator operator"]:
        """One standard error of each value."""
        return np.sqrt(np.sum(self.rows**2, axis=0))

    @property
    def exact(self) -> bool:
        """Whether no error came along."""
        return not np.any(self.rows)

    def share(self, energies: Float[np.ndarray, "*state"]) -> Float[np.ndarray, "*state"]:
        """By how much the weights of levels have changed as others were taken out; ones where none were."""
        step = float(self.times[1] - self.times[0]) if self.removed else 0.0
        changes = [np.exp(-level * step) - np.exp(-energies * step) for level in self.removed]
        return np.prod([np.ones_like(energies), *changes], axis=0)

    def effective_mass(self, operator: int = 0) -> EffectiveMass:
        """The effective mass of one operator between neighbouring times; it is not the gap.

        Raises:
            ValueError: G(t) within three errors of zero, or a ratio that no energy gives.

        >>> exact = TimeCorrelators.given([0.0, 1.0, 2.0], np.exp([0.0, -1.5, -3.0]))
        >>> exact.effective_mass().values.round(12).tolist()
        [1.5, 1.5]
        """
        g, rows = self.values[:, operator, operator], self.rows[:, :, operator, operator]
        check_positive(self.times, g, self.errors[:, operator, operator])
        relative = rows / g
        values, errors = [], []
        for k in range(len(g) - 1):
            energy, slope = energy_of_ratio(g[k] / g[k + 1], self.times[k], self.times[k + 1], self.period)
            values.append(energy)
            errors.append(np.linalg.norm(relative[:, k] - relative[:, k + 1]) / slope)
        return EffectiveMass(self.times[:-1], np.array(values), np.array(errors))


def check_positive(times: Vector, values: Vector, errors: Vector) -> None:
    """Refuse a G(t) that is not positive by three of its errors.

    Raises:
        ValueError: the first such time, with its number.
    """
    bad = np.flatnonzero(values <= 3.0 * errors)
    if len(bad):
        k = bad[0]
        raise ValueError(
            f"expected G(t) positive by more than three errors at every time, got {values[k]:.3g} +- {errors[k]:.2g} "
            f"at t = {times[k]:g}; try earlier times or more networks"
        )


def energy_of_ratio(ratio: float, first: float, second: float, period: float) -> tuple[float, float]:
    """E of G(first)/G(second) = ratio for one state, and d log(ratio)/dE; in a box by Newton's method on cosh.

    Raises:
        ValueError: a ratio at most one, which no positive energy gives.

    >>> energy, slope = energy_of_ratio(np.cosh(1.5 * 5.0) / np.cosh(1.5 * 4.0), 0.0, 1.0, 10.0)
    >>> print(f"{energy:.10f} {slope:.3f}")
    1.5000000000 1.000
    """
    if not ratio > 1.0:
        raise ValueError(
            f"expected a correlator that falls, got G({first:g})/G({second:g}) = {ratio:.4g}; try other times or more "
            "networks"
        )
    target = float(np.log(ratio))
    if np.isinf(period):
        return target / (second - first), second - first
    near, far = period / 2.0 - second, period / 2.0 - first

    def value(energy: float) -> tuple[float, float]:
        log = [abs(energy * x) + np.log1p(np.exp(-2.0 * abs(energy * x))) for x in (far, near)]
        return float(log[0] - log[1]), float(far * np.tanh(energy * far) - near * np.tanh(energy * near))

    energy = max(
        target / (second - first), np.sqrt(2.0 * target / (far**2 - near**2))
    )  # from above: convex, so falling
    for _ in range(100):
        height, slope = value(energy)
        step = (height - target) / slope
        energy -= step
        if abs(step) <= 1e-15 * energy:
            break
    return energy, value(energy)[1]


def time_correlators(
    data: Source | Correlators,
    *,
    powers: Sequence[int] = (1, 3),
    times: Any = None,
    period: float | None = None,
    progress: bool = False,
) -> TimeCorrelators:
    """G_ij(t) = <phi(s)^p_i phi(s + t)^p_j> from fields, or from correlators, on an evenly spaced line of points.

    Args:
        data: fields of a recipe, an array or a Markov chain, whose weights and memory are taken into account; or
            correlators, whose moments of order p_i + p_j are looked up with their covariance.
        powers: of the operators; odd ones, which have no vacuum part where phi -> -phi is a symmetry.
        times: lags, multiples of the spacing; default all up to half the line.
        period: length of the box, where the points fill one: the number of points times the spacing.
        progress: a bar for anything longer than two seconds.

    Raises:
        ValueError: points that are not evenly spaced on a line (of a field in space and time take the average over
            space first); even powers; lags that are none of the points'; a period that is not that of the points;
            correlators without the orders; a Markov chain too short to know its errors.

    Example:
        >>> from nnft import models as m
        >>> exact = m.Oscillator(quartic=6.0).correlators(np.linspace(0.0, 2.0, 5)[:, None])
        >>> found = time_correlators(exact, powers=(1,), times=[0.5, 1.0, 1.5, 2.0])
        >>> found.effective_mass().values.round(5).tolist()
        [1.40536, 1.40509, 1.40505]
    """
    if data.outputs != 1:
        raise ValueError(
            f"expected correlators in time of one field, got {data.outputs} outputs at a point; try the samples of one "
            "of them, fields[:, :, 0]"
        )
    order = np.argsort(np.asarray(data.points)[:, 0]) if np.asarray(data.points).ndim == 2 else np.arange(0)
    spacing = _spacing(data.points, order, period)
    ops = tuple(powers)
    if not ops or len(set(ops)) != len(ops) or not all(is_whole(p, 1) and p % 2 for p in ops):
        raise ValueError(f"expected distinct odd powers of the field, got {powers}; try powers=(1, 3)")
    count = len(order)
    lags = _lags(times, spacing, count, period)
    looked_up = isinstance(data, Correlators)
    values, rows = (
        _from_moments(data, order, lags, ops, period is not None)
        if looked_up
        else _from_fields(data, order, lags, ops, period is not None, progress)
    )
    words = f"{'correlators' if looked_up else f'{data.n} fields'} at {count} points"
    return TimeCorrelators(lags * spacing, values, rows, float("inf") if period is None else float(period), words)


def _spacing(points: Points, order: np.ndarray, period: float | None) -> float:
    """The step of an even line, and whether it fills the box."""
    x = np.asarray(points, dtype=float)
    if x.ndim != 2 or x.shape[1] != 1 or len(x) < 2:
        raise ValueError(
            f"expected at least two points on a line, (point, 1), got {x.shape}; try fields averaged over space, "
            "fields.reshape(n, time, space).mean(axis=2)"
        )
    steps = np.diff(x[order, 0])
    spacing = float(steps.mean())
    if np.ptp(steps) > _EVEN * spacing:
        raise ValueError(
            f"expected evenly spaced points, got steps from {steps.min():g} to {steps.max():g}; try "
            "np.arange(points)[:, None] * spacing"
        )
    if period is not None and abs(period - len(x) * spacing) > _EVEN * len(x) * spacing:
        raise ValueError(
            f"expected a period of {len(x) * spacing:g}, that of {len(x)} points {spacing:g} apart, got {period}; try "
            f"that, or leaving it out"
        )
    return spacing


def _lags(times: Any, spacing: float, count: int, period: float | None) -> np.ndarray:
    """The lags in units of the spacing."""
    most = count // 2 if period is not None else count - 1
    if times is None:
        return np.arange(count // 2 + 1)
    wanted = np.atleast_1d(np.asarray(times, dtype=float)) / spacing
    lags = np.round(wanted).astype(int)
    if np.any(np.abs(wanted - lags) > 1e-3) or np.any(lags < 0) or np.any(lags > most) or len(set(lags)) < len(lags):
        raise ValueError(
            f"expected distinct lags that are multiples of {spacing:g} up to {most * spacing:g}, got "
            f"{np.asarray(times).tolist()}; try times={(np.arange(min(4, most) + 1) * spacing).tolist()}"
        )
    return np.sort(lags)


def _pairs(count: int, lag: int, periodic: bool) -> tuple[np.ndarray, np.ndarray]:
    """All places s and s + lag on the line."""
    first = np.arange(count if periodic else count - lag)
    return first, (first + lag) % count


def _from_moments(
    data: Correlators, order: np.ndarray, lags: np.ndarray, powers: tuple[int, ...], periodic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Averages of the moments at each lag, and the same averages of the rows of their covariance."""
    size, count = len(powers), len(order)
    parts = data.rows.get("moment", {})
    length = next((len(part) for part in parts.values()), 0)
    values, rows = np.zeros((len(lags), size, size)), np.zeros((length, len(lags), size, size))
    for k, lag in enumerate(lags.tolist()):
        first, second = (order[at] for at in _pairs(count, lag, periodic))
        for i, p in enumerate(powers):
            for j, q in enumerate(powers):
                tuples = np.sort(np.stack([first] * p + [second] * q, axis=1), axis=1)
                places = rank(tuples, count)
                values[k, i, j] = data.moment(p + q)[places].mean()
                if p + q in parts:
                    rows[:, k, i, j] = parts[p + q][:, places].mean(axis=1)
    transpose = (0, 2, 1)
    return (values + values.transpose(transpose)) / 2.0, (rows + rows.transpose(0, 1, 3, 2)) / 2.0


def _from_fields(
    source: Source, order: np.ndarray, lags: np.ndarray, powers: tuple[int, ...], periodic: bool, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Averages over networks and places, and rows from the spread of groups of networks."""
    check_worth(source)
    count = len(order)
    reach = np.full(len(lags), count) if periodic else count - lags
    sizes, parts = sums(source, _lagged, order, lags, np.array(powers), reach, progress=progress, what="fields")
    return parts.sum(axis=0) / sizes.sum(), error_rows(source, sizes, parts)


def _lagged(
    fields: Float[Array, "network point"],
    weights: Float[Array, " network"],
    order: Array,
    lags: Array,
    powers: Array,
    reach: Array,
) -> Float[Array, "time operator operator"]:
    """Sum over networks of w O_i(s) O_j(s + lag), averaged over the places s, symmetric in i and j."""
    place = jnp.arange(len(order))
    operators = fields[:, None, order] ** powers[:, None]  # (network, operator, point)

    def at(one: tuple[Array, Array]) -> Array:
        lag, last = one
        share = jnp.where(place < last, 1.0 / last, 0.0)
        moved = operators[:, :, (place + lag) % len(order)]
        found = jnp.einsum("n,nix,njx,x->ij", weights, operators, moved, share)
        return (found + found.T) / 2.0

    return jax.lax.map(at, (lags, reach))
