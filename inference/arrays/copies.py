"""Copies and mirror images of a network are no new networks: averages do not move, and errors must not shrink.

Rows of a file that equal an earlier one up to a sign are found by a 64-bit hash of their bits. A row beside its equal
is a move that a Markov chain refused, and stays; where a field has few values, equal rows are no copies.
"""

import numpy as np

__all__ = ["copies", "discrete", "in_runs", "row_hashes"]

_DISCRETE = 0.5  # share of rows that differ at the best single point, below which values repeat by themselves
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # of splitmix64, G. Steele et al., OOPSLA 2014


def row_hashes(fields: np.ndarray) -> np.ndarray:
    """64 bits for each row, equal for rows that are equal up to a sign, (network,).

    Args:
        fields: (network, point).

    Example:
        >>> hashes = row_hashes(np.array([[1.0, -2.0], [-1.0, 2.0], [1.0, 2.0]]))
        >>> bool(hashes[0] == hashes[1]), bool(hashes[0] == hashes[2])
        (True, False)
    """
    rows = np.asarray(fields, dtype=float)
    rows = rows * np.where(rows.sum(axis=1, keepdims=True) < 0, -1.0, 1.0) + 0.0  # no negative zero
    hashes = np.zeros(len(rows), dtype=np.uint64)
    with np.errstate(over="ignore"):  # numbers of 64 bits wrap around
        for column in rows.T:
            hashes += np.ascontiguousarray(column).view(np.uint64)
            hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[1]
            hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[0]
    return hashes


def copies(hashes: np.ndarray) -> np.ndarray:
    """Which rows repeat an earlier one that is not their neighbour, (network,) bool.

    Example:
        >>> copies(np.array([5, 5, 7, 5, 7, 9], dtype=np.uint64)).tolist()
        [False, False, False, True, True, False]
    """
    order = np.argsort(hashes, kind="stable")
    same = np.concatenate([[False], hashes[order][1:] == hashes[order][:-1]])
    apart = same & (np.concatenate([[0], np.diff(order)]) != 1)
    # After the first gap between rows of one hash all later ones are copies: count gaps since the hash began.
    gaps = np.cumsum(apart)
    begun = np.maximum.accumulate(np.where(same, 0, gaps))
    copied = np.zeros(len(hashes), dtype=bool)
    copied[order] = same & (gaps > begun)
    return copied


def in_runs(copied: np.ndarray) -> bool:
    """Whether copies lie beside copies, as a file appended to itself does and values equal by chance do not.

    Example:
        >>> in_runs(np.array([False, False, True, True])), in_runs(np.array([False, True, False, True]))
        (True, False)
    """
    beside = copied & (np.concatenate([[False], copied[:-1]]) | np.concatenate([copied[1:], [False]]))
    chance = 1.0 - (1.0 - copied.mean()) ** 2
    return bool(beside.sum() > 0.5 * (1.0 + chance) * copied.sum())


def discrete(distinct: int, rows: int) -> bool:
    """Whether values at a point repeat so often by themselves that equal rows are no copies."""
    return distinct < _DISCRETE * rows
