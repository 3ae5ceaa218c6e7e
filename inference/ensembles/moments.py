"""Moments of the field at all sorted tuples in one pass over an ensemble, with the rows of their covariance.

Connected functions do not depend on a constant added to the field, but their round-off does: <phi^6> at a mean c and a
standard deviation s is (c/s)^6 times larger than what is left of it. Where c is many times s it is subtracted before
the products, and put back into the moments by <prod phi> = sum over subsets S of prod_{S'} c <prod_S (phi - c)>.

Per group of networks and in float64 the products of the sorted monomials of degree <= 3 are summed: their Gram matrix
holds every moment up to degree six. The spread of the group means is the error, over networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...models.combinatorics import rank, sorted_tuples, tuple_count
from ...models.types import ByOrder, Vector
from ..engines.memory import expect_memory
from .source import Source
from .sums import Statistic, group_length, spread_rows, sums

__all__ = ["MAX_COMPONENTS", "averages", "far_centre", "group_moments", "group_sums", "moment_sums", "moved"]

FAR = 10.0  # standard deviations: of sixth moments a millionth of the digits, 1e-10, is lost there
MAX_COMPONENTS = 6000  # a joint covariance factor of 1024 rows then takes 50 MB
_COPIES = 3  # of the sums of groups: themselves, the rows, and one while these are made


def group_moments(
    source: Source, orders: tuple[int, ...], *, centre: Vector | None = None, progress: bool = False
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], int]:
    """Means of the sorted monomials, the rows of their covariance, and the number of groups behind it.

    rows^T rows is the covariance of the means: weighted deviations of the group means, over sqrt(groups - 1). With a
    `centre`, (point,), they are those of phi - centre.
    """
    components = sum(tuple_count(source.places, r) for r in orders)
    size = _COPIES * 8.0 * -(-source.n // source.grouping.size) * components
    expect_memory(size, f"{components} components", "fewer orders or points")
    sizes, totals = group_sums(source, orders, centre=centre, progress=progress)
    return *averages(sizes, totals, source.dependence.inflation(group_length(source))), len(sizes)


def group_sums(
    source: Source, orders: tuple[int, ...], *, centre: Vector | None = None, progress: bool = False
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Weight of each group, (group,), and its sums of the sorted monomials of phi - centre by order."""
    plain = moment_sums(source.places, orders)
    statistic, arguments = (plain, ()) if centre is None else (_CentredSums(plain), (centre,))
    return sums(source, statistic, *arguments, progress=progress)


def averages(
    sizes: np.ndarray, totals: Mapping[int, np.ndarray], inflation: float
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Means of the sorted monomials and the rows of their covariance, from the sums of groups."""
    means = {r: total.sum(axis=0) / sizes.sum() for r, total in totals.items()}
    return means, {r: spread_rows(sizes, total, inflation) for r, total in totals.items()}


def far_centre(fields: Float[np.ndarray, "network point"], centre: Vector) -> Vector | None:
    """The centre of the field if it is above ten standard deviations and costs digits; else None, for zero.

    >>> far_centre(np.array([[-1.0], [1.0]]), np.array([3.0])), far_centre(np.array([[-1.0], [1.0]]), np.array([30.0]))
    (None, array([30.]))
    """
    return centre if np.any(np.abs(centre) > FAR * np.std(fields, axis=0)) else None


def moved(
    moments: ByOrder, rows: Mapping[int, np.ndarray], centre: Vector, orders: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Moments of phi and their rows from those of phi - centre at all orders up to the highest.

    >>> values, _ = moved({1: np.array([0.5]), 2: np.array([1.0])}, {1: np.zeros((1, 1)), 2: np.zeros((1, 1))},
    ...                   np.array([2.0]), (1, 2))
    >>> values[1].tolist(), values[2].tolist()   # 2 + .5, 4 + 2*2*.5 + 1
    ([2.5], [7.0])
    """
    points = len(centre)
    values: dict[int, np.ndarray] = {}
    spread: dict[int, np.ndarray] = {}
    for order in orders:
        tuples = sorted_tuples(points, order)
        values[order] = np.prod(centre[tuples], axis=1)
        spread[order] = np.zeros((len(rows[order]), len(tuples)))
        for size in range(1, order + 1):
            for kept in combinations(range(order), size):
                rest = [k for k in range(order) if k not in kept]
                weight, where = np.prod(centre[tuples[:, rest]], axis=1), rank(tuples[:, list(kept)], points)
                values[order] += weight * moments[size][where]
                spread[order] += weight * rows[size][:, where]
    return values, spread


@dataclass(frozen=True)
class _CentredSums:
    """`moment_sums` of phi - centre, the centre an argument."""

    plain: Statistic

    def __call__(self, fields: jax.Array, weights: jax.Array, centre: jax.Array) -> dict[int, jax.Array]:
        return self.plain(fields - centre, weights)


def moment_sums(points: int, orders: tuple[int, ...]) -> Statistic:
    """Sums of the sorted monomials of the given orders, from Gram matrices of the monomials of degree <= 3."""
    return _MomentSums(points, orders)


@dataclass(frozen=True)
class _MomentSums:
    points: int
    orders: tuple[int, ...]

    def __call__(self, fields: jax.Array, weights: jax.Array) -> dict[int, jax.Array]:
        where = {r: _halves(self.points, r) for r in self.orders}
        top = max((right for _, right, _, _ in where.values()), default=0)  # of many points there are many triples
        pairs, triples = (sorted_tuples(self.points, degree) if degree <= top else None for degree in (2, 3))
        phi = fields.T  # (point, network): rows are contiguous
        made = {0: jnp.ones_like(phi[:1]), 1: phi}
        if pairs is not None:
            made[2] = phi[pairs[:, 0]] * phi[pairs[:, 1]]
        if triples is not None:
            made[3] = made[2][rank(triples[:, :2], self.points)] * phi[triples[:, 2]]
        # Without the barrier XLA recomputes the monomials inside the Gram matrix (measured: twice the time).
        monomials = jax.lax.optimization_barrier(made)
        return {
            order: ((monomials[left] * weights) @ monomials[right].T)[i, j]
            for order, (left, right, i, j) in where.items()
        }


def _halves(points: int, order: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Write a sorted tuple as (first half, second half): its place in the Gram matrix of monomials of degree <= 3."""
    left = order // 2
    tuples = sorted_tuples(points, order)
    return left, order - left, rank(tuples[:, :left], points), rank(tuples[:, left:], points)
