"""Moments of the field at all sorted tuples in one pass over an ensemble, with the rows of their covariance.

Per group of networks and in float64 the products of the sorted monomials of degree <= 3 are summed: their Gram matrix
holds every moment up to degree six. The spread of the group means is the error, over networks.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from ..models.combinatorics import rank, sorted_tuples
from .ensembles import Source
from .sums import Statistic, sums

__all__ = ["MAX_COMPONENTS", "group_moments", "moment_sums"]

MAX_COMPONENTS = 6000  # a joint covariance factor of 1024 rows then takes 50 MB


def group_moments(
    source: Source, orders: tuple[int, ...], *, progress: bool = False
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], int]:
    """Means of the sorted monomials, the rows of their covariance, and the number of groups behind it.

    rows^T rows is the covariance of the means: weighted deviations of the group means, over sqrt(groups - 1).
    """
    sizes, totals = sums(source, moment_sums(len(source.points), orders), progress=progress)
    n, groups = sizes.sum(), len(sizes)
    means = {r: total.sum(axis=0) / n for r, total in totals.items()}
    scale = np.sqrt(groups / max(groups - 1, 1)) / n
    rows = {r: scale * (total - sizes[:, None] * means[r]) for r, total in totals.items()}
    return means, rows, groups


@lru_cache(maxsize=32)
def moment_sums(points: int, orders: tuple[int, ...]) -> Statistic:
    """Sums of the sorted monomials of the given orders, from Gram matrices of the monomials of degree <= 3."""
    where = {r: _halves(points, r) for r in orders}
    top = max((right for _, right, _, _ in where.values()), default=0)  # of many points there are many triples
    pairs, triples = (sorted_tuples(points, degree) if degree <= top else None for degree in (2, 3))
    first = None if triples is None else rank(triples[:, :2], points)

    def statistic(fields: jax.Array, weights: jax.Array) -> dict[int, jax.Array]:
        phi = fields.T  # (point, network): rows are contiguous
        made = {0: jnp.ones_like(phi[:1]), 1: phi}
        if pairs is not None:
            made[2] = phi[pairs[:, 0]] * phi[pairs[:, 1]]
        if triples is not None:
            made[3] = made[2][first] * phi[triples[:, 2]]
        # Without the barrier XLA recomputes the monomials inside the Gram matrix (measured: twice the time).
        monomials = jax.lax.optimization_barrier(made)
        return {
            order: ((monomials[left] * weights) @ monomials[right].T)[i, j]
            for order, (left, right, i, j) in where.items()
        }

    return statistic


def _halves(points: int, order: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Write a sorted tuple as (first half, second half): its place in the Gram matrix of monomials of degree <= 3."""
    left = order // 2
    tuples = sorted_tuples(points, order)
    return left, order - left, rank(tuples[:, :left], points), rank(tuples[:, left:], points)
