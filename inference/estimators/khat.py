"""The shape of a tail, k-hat, and when it is heavier than that of a Gaussian field looked at in the same way.

The m = min(n/5, 3 sqrt(n)) largest of n values follow a generalised Pareto law of shape k: the mean exists for k < 1,
its error for k < 1/2 (A. Vehtari et al., arXiv:1507.02646). Of n values, though, k-hat is the slope of the law at its
quantile 1 - m/n and not its limit: a Gaussian phi has k-hat .57 +- .10 of |phi|^6 at n = 5000 and 1.13 +- .14 of
|phi|^10, while every power has a mean. So a tail is judged beside that of |z|^p, z Gaussian, at the same n, whose k-hat
is found from its expected quantiles, with the error (1 + k)/sqrt(m) of the tail fit.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats
from scipy import special, stats

__all__ = ["FLAG_KHAT", "REFUSE_KHAT", "Limits", "gaussian_khat", "limits", "limits_beside", "pareto_khat"]

FLAG_KHAT, REFUSE_KHAT = 0.5, 0.7
FALSE_ALARM = 1e-3  # of a flag on a Gaussian field
EXCESS = 1.0 / 12.0  # of k-hat of |phi| itself over a Gaussian's before anything is refused: 1/2 for |phi|^6
_DISTINCT = 0.9  # share of different values in a tail, below which it is one of numbers on a grid
_SAME = 1e-12  # of a value: nearer ones are equal but for rounding
_ERRORS = 2.0  # errors of k-hat by which a refused one is beyond what a Gaussian sample shows


class Limits(NamedTuple):
    """Of k-hat: flagged above `flag`, refused above `refuse`; `gaussian` is what a Gaussian field shows."""

    flag: float
    refuse: float
    gaussian: float


def pareto_khat(values: np.ndarray) -> float:
    """Shape of the generalised Pareto tail of positive values (not of log weights), k = 1/(tail exponent).

    P(v > t) ~ t^(-1/k): for Pareto draws of exponent a the answer tends to 1/a. ArviZ's `psislw` expects log
    *likelihoods* and flips their sign, so it is not used; this calls the tail fit on the values themselves.

    Args:
        values: independent draws, (draw,), at least 25; zeros say nothing about the tail and are left out.

    Returns:
        k-hat; inf if a value is not finite, -inf if the largest coincide (no tail), nan if too few differ for a fit.
    """
    v = np.asarray(values, dtype=float).ravel()
    if len(v) < 25:
        raise ValueError(f"expected at least 25 values for a tail fit, got {len(v)}; try more networks")
    if not np.all(np.isfinite(v)):
        return np.inf
    v = v[v > 0]
    if len(v) < 25:
        return np.nan if len(v) else -np.inf
    size = int(3 * np.sqrt(len(v)))
    v = np.partition(v, len(v) - size)
    different = len(_values(v[-size:])[0])
    if different == 1:
        return -np.inf  # an atom at the top (a Rademacher readout on one site, clipped data)
    if different < _DISTINCT * size:
        v = _spread(*_values(v))
    khat = array_stats.pareto_khat(v[None, :] / np.median(v), r_eff=1.0, tail="right", log_weights=False)
    return float(np.asarray(khat))


def _values(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values and how often each occurs; what only the order of a sum sets apart is one value.

    >>> [part.tolist() for part in _values(np.array([0.3, 0.1 + 0.2, 1.0]))]
    [[0.3, 1.0], [2, 1]]
    """
    values, counts = np.unique(v, return_counts=True)
    first = np.flatnonzero(np.diff(values, prepend=-np.inf) > _SAME * np.abs(values))
    return values[first], np.add.reduceat(counts, first)


def _spread(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Equal values spread evenly over their cell: of numbers on a grid, rounded or drawn on nodes, ties are no tail."""
    middle = 0.5 * (values[1:] + values[:-1])
    edges = np.concatenate([[values[0] - (middle[0] - values[0])], middle, [values[-1] + (values[-1] - middle[-1])]])
    within = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    cell = np.repeat(np.arange(len(values)), counts)
    return edges[cell] + (edges[cell + 1] - edges[cell]) * within


@lru_cache(maxsize=256)
def gaussian_khat(n: int, power: float) -> float:
    """k-hat of |z|^power for n standard normal z, from their expected quantiles.

    >>> round(gaussian_khat(5000, 6), 2)
    0.57
    """
    largest = -special.ndtri((np.arange(n) + 0.5) / (2.0 * n))
    return pareto_khat(largest**power)


def limits(n: int, power: float, looks: int = 1) -> Limits:
    """Limits of k-hat of a `power` of n fields, the largest of `looks`: one flag in a thousand Gaussian fields.

    Refused is what is beyond .7, by power/12 beyond the Gaussian's, and by two of its own errors beyond all but one in
    a thousand Gaussian samples: k - 2 (1 + k)/sqrt(m) above the flag's limit.

    >>> [round(float(x), 1) for x in limits(5000, 6)]
    [0.9, 1.2, 0.6]
    """
    return _above(gaussian_khat(n, power), n, power, float(stats.norm.isf(FALSE_ALARM / looks)))


def limits_beside(khat: float, n: int, power: float) -> Limits:
    """The same beside the largest k-hat of a Gaussian sample of n fields, which has an error of its own."""
    return _above(khat, n, power, np.sqrt(2.0) * float(stats.norm.isf(FALSE_ALARM)))


def _above(usual: float, n: int, power: float, errors: float) -> Limits:
    root = np.sqrt(min(n / 5.0, 3.0 * np.sqrt(n)))
    rare = usual + errors * (1.0 + usual) / root
    firm = (rare + _ERRORS / root) / (1.0 - _ERRORS / root)
    return Limits(max(FLAG_KHAT, rare), max(REFUSE_KHAT, usual + EXCESS * power, firm), usual)
