"""Moments and cumulants of an even law at high order, one from the other, without listing set partitions.

With the first index in the block S, m(1..r) = sum over S containing 1 of kappa(S) m(rest): 2^(r-2) even blocks instead
of the 6556 even set partitions of ten indices. For orders beyond six, where actions with phi^6 need them.
"""

from itertools import combinations

import numpy as np

from .combinatorics import rank, sorted_tuples
from .types import ByOrder

__all__ = ["even_cumulants", "even_moments"]


def _products(connected: ByOrder, moments: ByOrder, points: int, order: int) -> np.ndarray:
    """The sum of kappa(block) m(rest) over even proper blocks that contain the first index, on sorted tuples."""
    tuples = sorted_tuples(points, order)
    total = np.zeros(len(tuples))
    for size in range(2, order, 2):
        for others in combinations(range(1, order), size - 1):
            block = (0, *others)
            rest = [k for k in range(order) if k not in block]
            first, second = rank(tuples[:, block], points), rank(tuples[:, rest], points)
            total += connected[size][first] * moments[order - size][second]
    return total


def even_cumulants(moments: ByOrder, points: int) -> dict[int, np.ndarray]:
    """Connected functions of orders 2, 4, .. from moments of all even orders up to the highest, on sorted tuples.

    >>> even_cumulants({2: np.array([1.0]), 4: np.array([3.0]), 6: np.array([15.5])}, 1)[6].tolist()
    [0.5]
    """
    out: dict[int, np.ndarray] = {}
    for order in sorted(moments):
        out[order] = np.asarray(moments[order], dtype=float) - _products(out, moments, points, order)
    return out


def even_moments(connected: ByOrder, points: int) -> dict[int, np.ndarray]:
    """Moments of orders 2, 4, .. from connected functions of all even orders up to the highest, on sorted tuples.

    >>> even_moments({2: np.array([2.0]), 4: np.array([0.0]), 6: np.array([0.0])}, 1)[6].tolist()   # Wick: 15 * 8
    [120.0]
    """
    out: dict[int, np.ndarray] = {}
    for order in sorted(connected):
        out[order] = np.asarray(connected[order], dtype=float) + _products(connected, out, points, order)
    return out
