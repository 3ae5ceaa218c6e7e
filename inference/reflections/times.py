"""Times at which reflection positivity is asked: a verdict belongs to them, so they are chosen dense, and printed.

The default set has times spread evenly over the correlation time, and times that fall geometrically towards zero: a
smooth field, or one with a cutoff, breaks the axiom at short times, where a coarse set sees nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.types import Points, Vector

__all__ = ["check_times", "default_times", "few_times", "most_few", "reflected_points", "shown", "time_scale"]

_EVENLY = np.arange(1, 17) / 8.0  # of the correlation time
_SHORT = 2.0 ** np.arange(-8.0, -3.9, 0.5)
_FEW = 2.0 ** np.arange(-3.0, 1.1, 1.0)  # where products of fields multiply the functionals
_POWERS = tuple(2.0**k for k in range(-16, 17))
_FALLEN = 1.0 / np.e


def default_times(scale: float = 1.0) -> Vector:
    """The dense set for two-point functions, (25,), in units of the correlation time.

    >>> len(default_times()), default_times()[[0, -1]].tolist()
    (25, [0.00390625, 2.0])
    """
    return scale * np.concatenate([_SHORT, _EVENLY])


def few_times(scale: float = 1.0, *, count: int = 5) -> Vector:
    """At most five times for higher orders, whose functionals are products of fields.

    >>> few_times().tolist()
    [0.125, 0.25, 0.5, 1.0, 2.0]
    """
    return scale * _FEW[:count]


def most_few(order: int) -> int:
    """How many times an order above two is asked at, so that it stays quick.

    >>> most_few(4), most_few(6)
    (5, 4)
    """
    return 5 if order <= 4 else 4


def time_scale(correlation: Callable[[Vector], Vector]) -> float:
    """The first power of two at which <phi(0) phi(t)>, over its norm, has fallen to 1/e; one where it does not.

    It looks at later times only if it must: those of a field with a cutoff are dear.

    Args:
        correlation: of times (time,), normalised to one where nothing has fallen.

    >>> time_scale(lambda t: np.exp(-3.0 * t))
    0.5
    """
    return next((t for t in _POWERS if correlation(np.array([t]))[0] <= _FALLEN), 1.0)


def check_times(times: Any, *, period: float = float("inf")) -> Vector:
    """Times as an increasing array.

    Args:
        times: (time,), in any order.
        period: of a field that lives on a circle, whose positive times end at half of it.

    Raises:
        ValueError: no times; times that are not positive, not finite, repeated, or beyond half a period.

    >>> check_times([1.0, 0.5]).tolist()
    [0.5, 1.0]
    """
    try:
        t = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        raise ValueError(f"expected times as numbers, got {times!r}; try times=[0.25, 0.5, 1.0]") from None
    if t.ndim != 1 or not len(t):
        raise ValueError(f"expected times (time,), got shape {t.shape}; try times=[0.25, 0.5, 1.0]")
    bad = t[~(np.isfinite(t) & (t > 0.0))]
    if len(bad):
        raise ValueError(
            f"expected positive times, on one side of the reflection t -> -t, got {bad[0]:g}; try its absolute value, "
            "or leaving it out"
        )
    t = np.sort(t)
    close = np.flatnonzero(np.diff(t) <= 1e-12 * t[-1])
    if len(close):
        raise ValueError(f"expected different times, got {t[close[0]]:g} twice; try np.unique(times)")
    if t[-1] >= period / 2.0:
        raise ValueError(
            f"expected times below half the period, {period / 2.0:g}, got {t[-1]:g}; try times up to "
            f"{0.9 * period / 2.0:.3g}"
        )
    return t


def reflected_points(times: Vector) -> Points:
    """The points -t, then t, (2 time, 1).

    >>> reflected_points(np.array([0.5, 1.0])).ravel().tolist()
    [-0.5, -1.0, 0.5, 1.0]
    """
    return np.concatenate([-times, times])[:, None]


def shown(times: Vector) -> str:
    """All times in words.

    >>> shown(np.array([0.5, 1.0]))
    '{0.5, 1}'
    """
    return "{" + ", ".join(f"{t:.4g}" for t in times) + "}"
