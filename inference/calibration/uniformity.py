"""Are n numbers uniform on (0, 1)? The empirical distribution must stay inside a band, everywhere at once.

n F(z) is binomial at each z; the band holds at each of the points z_i = i/K all counts whose two-sided binomial
tail exceeds gamma, and gamma is chosen so that uniform numbers leave it anywhere with the stated probability (T.
Sailynoja, P. Burkner and A. Vehtari, Stat. Comput. 32 (2022) 32, arXiv:2103.10522). From one point to the next the
counts are a Markov chain, N_{i+1} - N_i ~ Bin(n - N_i, (z_{i+1} - z_i)/(1 - z_i)), so that probability is a sum done
exactly, over the counts that leave the band: a p-value of 1e-9 is as accurate as one of 0.3. Below 1e-12 the upper
bound is taken that adds up the chances to leave at each point.
"""

from functools import cache

import numpy as np
from scipy.special import bdtr, bdtrc, gammaln

from ...models.types import Vector

__all__ = ["ecdf_band", "uniformity"]

_POINTS = 200  # K: with more of them p changes by less than its own meaning
_BOUND = 1e-14  # of gamma: below it bands are as wide as n, and no p-value needs digits


def uniformity(values: np.ndarray) -> float:
    """p-value of "these independent numbers are uniform": how often uniform ones stray further from the diagonal.

    Args:
        values: in [0, 1], (n,).

    Raises:
        ValueError: fewer than 10 numbers, or one that is not between 0 and 1.

    >>> round(uniformity(np.arange(0.5, 100.0) / 100.0), 3)
    1.0
    >>> uniformity(np.linspace(0.2, 0.8, 100)) < 1e-5
    True
    """
    values = np.sort(np.asarray(values, dtype=float))
    n = len(values)
    if n < 10 or not (np.all(np.isfinite(values)) and values[0] >= 0.0 and values[-1] <= 1.0):
        raise ValueError(
            f"expected at least 10 numbers between 0 and 1, got {n}, from {values[:1]} to {values[-1:]}; try the "
            "prior_sbc group of a recovery"
        )
    z = _points(n)
    count = np.searchsorted(values, z, side="right").astype(float)
    tail = 2.0 * np.minimum(bdtr(count, n, z), _above(count, n, z))
    return min(1.0, _escape(n, float(tail.min()) * (1.0 + 1e-9)))


def ecdf_band(n: int, level: float) -> tuple[Vector, Vector, Vector]:
    """Points z and the band of the empirical distribution that n uniform numbers leave with probability `level`.

    The counts are whole numbers, so the probability is the largest there is below `level`. Returns z, lower, upper,
    each (point,).

    Raises:
        ValueError: a level that is no probability.

    >>> z, lower, upper = ecdf_band(100, 0.05)
    >>> lower[49].round(2).item(), upper[49].round(2).item()
    (0.36, 0.64)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"expected a probability between 0 and 1, got {level}; try 0.05")
    low, high = _inside(n, _tail_for(n, level))
    return _points(n), low / n, high / n


def _points(n: int) -> Vector:
    steps = min(n, _POINTS)
    return np.arange(1, steps) / steps


def _above(count: np.ndarray, n: int, z: Vector) -> np.ndarray:
    """P(Bin(n, z) >= count)."""
    return np.where(count <= 0, 1.0, bdtrc(np.maximum(count - 1, 0), n, z))


@cache
def _tail_for(n: int, level: float) -> float:
    """The largest gamma whose band is left with probability at most `level`, by bisection of log gamma."""
    low, high = np.log(level * 1e-4), np.log(level)
    for _ in range(24):
        middle = 0.5 * (low + high)
        if _escape(n, float(np.exp(middle))) > level:
            high = middle
        else:
            low = middle
    return float(np.exp(low))


@cache
def _tails(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided tails 2 P(N <= count) and 2 P(N >= count) of every count at every point, (count, point) each."""
    z, count = _points(n), np.arange(n + 1.0)[:, None]
    return 2.0 * bdtr(count, n, z), 2.0 * _above(count, n, z)


def _inside(n: int, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest count at each point whose two-sided binomial tail exceeds gamma, (point,) each."""
    below, above = _tails(n)
    return np.sum(below <= tail, axis=0), n - np.sum(above <= tail, axis=0)


def _escape(n: int, tail: float) -> float:
    """Probability that the counts of n uniform numbers leave the band of gamma = tail at some point."""
    z = _points(n)
    low, high = _inside(n, tail)
    if np.any(low > high):
        return 1.0
    if tail < _BOUND:
        under = np.where(low > 0, bdtr(np.maximum(low - 1.0, 0.0), n, z), 0.0)
        return float(np.sum(under + bdtrc(high, n, z)))
    log_factorial = gammaln(np.arange(n + 2.0) + 1.0)
    counts, mass, escaped, previous = np.zeros(1, int), np.ones(1), 0.0, 0.0
    for here, a, b in zip(z, low, high, strict=True):
        share = (here - previous) / (1.0 - previous)
        left = n - counts
        under = np.where(a > counts, bdtr(np.maximum(a - 1.0 - counts, 0.0), left, share), 0.0)
        over = np.where(b < n, bdtrc(np.maximum(b - counts, 0.0), left, share), 0.0)
        escaped += float(mass @ np.where(b < counts, 1.0, under + over))
        following = np.arange(a, b + 1)
        step = following - counts[:, None]
        reached = np.maximum(step, 0)
        chance = log_factorial[left][:, None] - log_factorial[reached] - log_factorial[n - following]
        chance += reached * np.log(share) + (n - following) * np.log1p(-share)
        mass = mass @ np.where(step >= 0, np.exp(chance), 0.0)
        counts, previous = following, here
    return escaped
