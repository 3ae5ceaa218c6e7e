"""How well exact connected functions are known: errors of averages, carried to cumulants with the scale they have.

kappa_r = m_r - sum_{k<r} C(r-1, k-1) kappa_k m_(r-k), so that an error of each moment becomes one of each cumulant:
d kappa_r <= d m_r + sum C(r-1, k-1) (d kappa_k |m_(r-k)| + |kappa_k| d m_(r-k)), and the same the other way. Every size
is that of the largest component: a bound, never too small. Orders differ in size by many powers of ten, and so do their
errors; each is judged by its own.
"""

from collections.abc import Mapping
from math import comb

import numpy as np

from ..types import ByOrder

__all__ = ["FLAGGED", "REFUSED", "Errors", "cumulant_errors", "judged", "largest", "moment_errors"]

Errors = dict[int, float]  # order -> absolute error of the largest component

FLAGGED = 1e-4  # share of an order that may be uncertain before it is said
REFUSED = 1e-2  # ... and before no value is given
_NOTHING = 1e-9  # of its natural size: a connected function known to that is known, also where it vanishes
_ROUNDING = 4.0 * float(np.finfo(float).eps)


def largest(values: ByOrder) -> Errors:
    """The largest |component| of each order."""
    return {r: float(np.max(np.abs(value), initial=0.0)) for r, value in values.items()}


def cumulant_errors(moments: ByOrder, cumulants: ByOrder, errors: Mapping[int, float]) -> Errors:
    """Errors of connected functions from those of the moments, rounding included; orders that are missing vanish.

    >>> one = {2: np.array([1.0]), 4: np.array([3.0])}
    >>> round(cumulant_errors(one, {2: one[2], 4: np.zeros(1)}, {2: 1e-6, 4: 0.0})[4], 12)   # d(m4 - 3 m2^2)
    6e-06
    """
    return _carried(largest(moments), largest(moments), largest(cumulants), errors, of="cumulants")


def moment_errors(moments: ByOrder, cumulants: ByOrder, errors: Mapping[int, float]) -> Errors:
    """Errors of even moments from those of the connected functions, rounding included."""
    return _carried(largest(cumulants), largest(moments), largest(cumulants), errors, of="moments")


def _carried(given: Errors, moments: Errors, cumulants: Errors, errors: Mapping[int, float], *, of: str) -> Errors:
    out: Errors = {}
    for r in sorted(given):
        total, size = errors[r], given[r]
        for k in (k for k in sorted(given) if r - k in given):
            of_cumulant, of_moment = (out[k], errors[r - k]) if of == "cumulants" else (errors[k], out[r - k])
            ways = comb(r - 1, k - 1)
            total += ways * (of_cumulant * moments[r - k] + cumulants[k] * of_moment)
            size += ways * cumulants[k] * moments[r - k]
        out[r] = total + _ROUNDING * size
    return out


def judged(
    cumulants: ByOrder, errors: Mapping[int, float], natural: Mapping[int, float]
) -> tuple[dict[int, str], dict[int, str]]:
    """Orders that are too uncertain to be given, and those that carry a warning, each with the number that decided.

    `natural` is the size an order has where nothing cancels: a connected function that vanishes is known to be small.

    >>> judged({2: np.array([1.0]), 4: np.array([0.1])}, {2: 1e-12, 4: 3e-5}, {2: 1.0, 4: 1.0})
    ({}, {4: 'quadrature leaves 0.03% of it uncertain'})
    """
    refused, flags = {}, {}
    for r, size in largest(cumulants).items():
        share = errors[r] / size if size > 0.0 else np.inf
        if share <= FLAGGED or errors[r] <= _NOTHING * natural[r]:
            continue
        if share <= REFUSED:
            flags[r] = f"quadrature leaves {100.0 * share:.1g}% of it uncertain"
        else:
            refused[r] = (
                f"quadrature leaves {size:.3g} +- {errors[r]:.1g} of it, more than {REFUSED:.0%}; try a smaller "
                "weight_scale, points nearer the origin, or measuring it"
            )
    return refused, flags
