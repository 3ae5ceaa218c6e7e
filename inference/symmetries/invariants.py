"""The part of the correlators that a group forbids: the complement of its invariants among products of r fields.

A group that acts linearly on the numbers of a network acts on products of r of them, and the mean of every product that
is not invariant must agree with that of its images. All these equations together, of all generators and elements, are

    L m = 0,     rows (T x .. x T - 1) and sum_k 1 x .. X .. x 1 on sorted tuples,

and they hold exactly where V m = 0, V an orthonormal basis of the row space of L. Its rank is the number of degrees of
freedom: of three products of two fields at one point O(2) forbids two, and phi.phi has no say. Products are weighted by
the square root of the index orders they stand for, so that the length of V m is that of the forbidden part of the
tensor, in any basis of the fields.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...models.combinatorics import multiplicities, rank, sorted_tuples, tuple_count
from ...models.types import Tuples, Vector
from .groups import Map, Moves

__all__ = ["MOST_PRODUCTS", "Forbidden", "forbidden"]

MOST_PRODUCTS = 1500  # of which a complement is made: seconds
_MOST_NUMBERS = 1 << 26
_ROUNDING = 1e-9  # singular values below this share of the largest are zero


class Forbidden(NamedTuple):
    """Products of fields and the combinations of them that must vanish on average.

    tuples: which numbers of a network are multiplied, (product, order); scale: square roots of multiplicities of the
    products, (product,); basis: V, (product, direction), orthonormal; products: how many there are of the given places.
    """

    tuples: Tuples
    scale: Vector
    basis: Float[np.ndarray, "product direction"]
    products: int

    def of(self, moments: Float[np.ndarray, "... product"]) -> np.ndarray:
        """V m of means of products, (..., direction)."""
        return (moments * self.scale) @ self.basis


def forbidden(moves: Moves, places: int, order: int) -> Forbidden:
    """What a group forbids of products of `order` fields; no direction where it acts trivially.

    Raises:
        ValueError: more products than a complement is made of.

    Example, O(2) at one point: two of three products of two fields, five of five less one of four.
        >>> from .groups import Orthogonal
        >>> moves = Orthogonal(2).moves(np.zeros((1, 1)), 2)
        >>> [forbidden(moves, 2, r).basis.shape for r in (1, 2, 3, 4)]
        [(2, 2), (3, 2), (4, 4), (5, 4)]
    """
    own = tuple_count(places, order)
    if own > MOST_PRODUCTS:
        raise ValueError(
            f"expected at most {MOST_PRODUCTS} products of {order} fields, got {own} at {places} places; try a lower "
            "order or fewer points"
        )
    tuples = sorted_tuples(places, order)
    total = next(iter((*moves.elements, *moves.generators))).shape[1]
    unit = np.eye(places, total)
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    height = 0
    for factors, less in [
        *(([[one] * order], True) for one in moves.elements),
        *(
            ([[one if k == slot else unit for k in range(order)] for slot in range(order)], False)
            for one in moves.generators
        ),
    ]:
        parts = [_expanded(slots, tuples, total) for slots in factors]
        parts += [(np.arange(own), rank(tuples, total), -np.ones(own))] if less else []
        for row, column, value in parts:
            rows.append(height + row)
            columns.append(column)
            values.append(value)
        height += own
    row, column, value = map(np.concatenate, (rows, columns, values))
    used, place = np.unique(column, return_inverse=True)
    products = _unranked(used, total, order)
    scale = np.sqrt(multiplicities(products))
    matrix = np.zeros((height, len(used)))
    np.add.at(matrix, (row, place.ravel()), value)
    weight = np.tile(np.sqrt(multiplicities(tuples)), height // own)
    _, sizes, axes = np.linalg.svd(weight[:, None] * matrix / scale, full_matrices=False)
    kept = sizes > _ROUNDING * max(float(np.max(sizes, initial=0.0)), 1.0)
    basis = axes[kept].T
    touched = np.any(np.abs(basis) > _ROUNDING, axis=1) if basis.size else np.zeros(len(used), dtype=bool)
    return Forbidden(products[touched], scale[touched], basis[touched], own)


def _expanded(factors: list[Map], tuples: Tuples, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Product over k of (T_k phi) at each tuple as entries of a sparse matrix: row, column, value."""
    count, order = tuples.shape
    picked = []
    for k, factor in enumerate(factors):
        width = max(1, int(np.max(np.sum(factor != 0.0, axis=1))))
        where = np.argsort(factor == 0.0, axis=1, kind="stable")[:, :width]
        picked.append((where[tuples[:, k]], np.take_along_axis(factor, where, axis=1)[tuples[:, k]]))
    widths = [where.shape[1] for where, _ in picked]
    if count * np.prod(widths) * order > _MOST_NUMBERS:
        raise ValueError(
            f"expected a group whose action on products of {order} fields fits in memory, got {count} products of "
            f"{'x'.join(map(str, widths))} terms; try a lower order or fewer points"
        )
    index = np.array(list(product(*map(range, widths))))
    column = np.stack([where[:, index[:, k]] for k, (where, _) in enumerate(picked)], axis=-1)
    value = np.prod([part[:, index[:, k]] for k, (_, part) in enumerate(picked)], axis=0)
    row = np.repeat(np.arange(count), len(index))
    kept = value.ravel() != 0.0
    return row[kept], rank(column, total).ravel()[kept], value.ravel()[kept]


def _unranked(ranks: np.ndarray, total: int, order: int) -> Tuples:
    """The sorted tuples at these ranks: the inverse of `rank`, by bisection over each index in turn.

    >>> _unranked(np.array([0, 4, 5]), 3, 2).tolist()
    [[0, 0], [1, 2], [2, 2]]
    """
    out = np.zeros((len(ranks), order), dtype=np.int64)
    for k in range(order):
        low = out[:, k - 1].copy() if k else np.zeros(len(ranks), dtype=np.int64)
        high = np.full(len(ranks), total - 1)
        while np.any(low < high):  # the largest first tuple, with equal indices from k on, that is not beyond
            middle = (low + high + 1) // 2
            trial = out.copy()
            trial[:, k:] = middle[:, None]
            below = rank(trial, total) <= ranks
            low, high = np.where(below, middle, low), np.where(below, high, middle - 1)
        out[:, k:] = low[:, None]
    return out
