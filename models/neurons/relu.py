"""The rectified neuron, linear on one side and silent on the other, and its averages over the cones between its kinks.

It is homogeneous, so that the radius of the pre-activations is integrated in closed form, and the direction over the
cone on which all arguments of a product are positive (`cones.py`).
"""

from collections.abc import Iterator
from math import comb

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from ..types import Here, Inputs, Points, There, Tuples, Vector
from .base import EVERY_EVEN, ROTATED, AbstractAffine, Drawn, Response, scale
from .cones import SMALL_PRODUCT, integrate_monomials, list_monomials, multiply_forms, tile
from .hidden import Hidden, Homogeneous
from .quadrature import RANK_CUTOFF, checked, principal_factor

__all__ = ["ReLU", "relu_moments"]

Group = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `_distinct`

CELL_COST = (1.0, 4.0, 1.0, 0.1)  # all cells of M points in rank 1 to 4, over M^(rank-1) sets of distinct points
LARGEST_TABLE = 1 << 25  # numbers: first halves of tuples times second halves


class ReLU(AbstractAffine):
    """Rectified neuron, s(x) = max(W0.x + b0, 0); the published choice has no bias."""

    words = "ReLU"
    reasons = ROTATED
    weight_scale: float = scale(1.0)
    bias_scale: float = scale(0.0)

    def __call__(self, points: Inputs) -> Drawn:
        return jnp.maximum(self.draw_preactivation(points), 0.0)

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """Averages over the cone of pre-activations on which all arguments are positive (`relu_moments`)."""
        return relu_moments(self.covariance(points, points), tuples)

    def odd_moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """By the same cones: no parity enters."""
        return self.moments(points, tuples)

    def hidden(self, points: Points) -> Hidden:
        return Homogeneous(self.name, self.columns(points), lambda z: np.maximum(z, 0.0), height=0.0, right=1.0)

    def site_moment(self, points: Points, order: int) -> Vector:
        """Half of what a Gaussian of the same variance has."""
        return 0.5 * special.factorial2(order - 1, exact=True) * self.variances(points) ** (order / 2)

    @property
    def site_orders(self) -> range:
        return EVERY_EVEN

    def kernel(self, x: Here, y: There) -> Float[np.ndarray, "here there"]:
        """The first arc-cosine kernel: (1/2pi) sqrt(c_xx c_yy) [sin t + (pi-t) cos t]."""
        across, size = self.covariance(x, y), np.sqrt(np.outer(self.variances(x), self.variances(y)))
        angle = np.arccos(np.clip(np.divide(across, size, out=np.ones_like(size), where=size > 0), -1.0, 1.0))
        return size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)

    def response(self, gram: Float[np.ndarray, "pair 3"]) -> Response:
        """Of the arc-cosine kernel: slope (pi - t)/2pi in c_ab and sqrt(D)/4pi c_aa in c_aa, D = c_aa c_bb - c_ab^2.

        Curvatures go like 1/sqrt(D): inf where the two points are mirror images.
        """
        a, ab, b = (self.bias_scale**2 + self.weight_scale**2 * gram).T
        if np.any(a * b == 0.0):
            raise ValueError(
                "expected pre-activations of a ReLU layer that vary, got one that is always zero, where its kernel has "
                "no derivative; try a bias_scale above 0, or leaving out the origin"
            )
        one = ab > (1.0 - 1e-12) * np.sqrt(a * b)  # a point with itself: <s^2> = c/2
        root = np.sqrt(np.where(one, 1.0, np.maximum(a * b - ab**2, 1e-300)))
        angle = np.arccos(np.clip(ab / np.sqrt(a * b), -1.0, 1.0))
        slope = np.stack([root / (4.0 * a), (np.pi - angle) / 2.0, root / (4.0 * b)], axis=1) / np.pi
        aa_aa, bb_bb = b / (8.0 * root * a) - root / (4.0 * a**2), a / (8.0 * root * b) - root / (4.0 * b**2)
        aa_ab, ab_bb, ab_ab, aa_bb = -ab / (4.0 * a * root), -ab / (4.0 * b * root), 0.5 / root, 0.125 / root
        rows = [[aa_aa, aa_ab, aa_bb], [aa_ab, ab_ab, ab_bb], [aa_bb, ab_bb, bb_bb]]
        curvature = np.moveaxis(np.array(rows), -1, 0) / np.pi
        slope[one], curvature[one] = [0.0, 0.5, 0.0], 0.0
        mirrored = ab < -(1.0 - 1e-12) * np.sqrt(a * b)
        slope[mirrored], curvature[mirrored] = 0.0, np.inf
        return Response(self.weight_scale**2 * slope, self.weight_scale**4 * curvature)

    @property
    def site_degree(self) -> float | None:
        """One without a bias: max(cz, 0) = c max(z, 0)."""
        return 1.0 if self.bias_scale == 0.0 else None


def relu_moments(covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, float]:
    """Average products of ReLUs over jointly Gaussian pre-activations, kinks treated exactly.

    `values[k] = E[ max(z_a, 0) max(z_b, 0) ... ]`, z ~ N(0, C). With z = L xi the integrand is a polynomial on the
    polyhedral cone {L xi > 0}, which is cut into simplicial ones (`cones.py`). Each set of distinct points has a cone
    of its own; or the planes of all points cut space into cells that all tuples share, where that is less work. Two
    distinct points give the arc-cosine kernels (Cho and Saul 2009).

    Shapes: covariance (M, M), possibly singular; tuples (K, r) of indices below M; values (K,). The error is the
    largest change of any value from a coarser rule, plus rounding.

    Raises ValueError for a covariance that is not symmetric positive semi-definite, for bad tuples, and for a tuple
    whose distinct points have rank above 6.

    >>> values, error = relu_moments(np.eye(2), np.array([[0, 0], [0, 1]]))  # 1/2 and 1/(2 pi)
    >>> bool(np.max(np.abs(values - [0.5, 0.5 / np.pi])) < error < 1e-13)
    True
    """
    covariance, tuples = checked(covariance, tuples)
    scale, values = np.sqrt(np.diag(covariance)), np.zeros(len(tuples))
    alive = np.all(scale[tuples] > 0, axis=1)  # max(0, 0) = 0
    if not np.any(alive):
        return values, 0.0
    points, rows = np.unique(np.sort(tuples[alive], axis=1), return_inverse=True)
    rows, size = rows.reshape(-1, tuples.shape[1]), scale[points]
    correlation = covariance[np.ix_(points, points)] / np.outer(size, size)
    groups, factor = list(_distinct(rows)), principal_factor(correlation, RANK_CUTOFF / len(points))
    if _cells_are_fewer(factor, groups, rows.shape[1]):
        found, change = _cell_moments(factor, rows)
    else:
        found, change = _cone_moments(correlation, rows, groups)
    units = np.prod(size[rows], axis=1)
    values[alive] = units * found
    return values, float(np.max(units * (np.abs(change) + 1e-14)))


def _cells_are_fewer(factor: np.ndarray, groups: list[Group], order: int) -> bool:
    """Whether the cells that all points cut are less work than the cones of the sets of distinct points."""
    (count, rank), half = factor.shape, (order + 1) // 2
    if rank > len(CELL_COST) or order == 1 or comb(count + half - 1, half) ** 2 > LARGEST_TABLE:
        return False
    full = sum(len(sets) for _, sets, _, _ in groups if sets.shape[1] >= rank)  # the others are cheap
    return full >= CELL_COST[rank - 1] * count ** (rank - 1)


def _distinct(rows: np.ndarray) -> Iterator[Group]:
    """By the number p of distinct points: rows, their sets (set, p), which set, and the place of each index in it."""
    new = np.column_stack([np.ones(len(rows), dtype=bool), np.diff(rows, axis=1) > 0])
    place = np.cumsum(new, axis=1) - 1
    for last in np.unique(place[:, -1]):
        here = np.flatnonzero(place[:, -1] == last)
        sets, which = np.unique(rows[here][new[here]].reshape(len(here), -1), axis=0, return_inverse=True)
        yield here, sets, which.ravel(), place[here]


def _cone_moments(correlation: np.ndarray, rows: np.ndarray, groups: list[Group]) -> np.ndarray:
    """Moments of sorted tuples and their change from a coarser rule, (2, row): each set of points on its own cone."""
    values = np.zeros((2, len(rows)))
    for here, sets, which, place in groups:
        patterns, pattern = np.unique(place, axis=0, return_inverse=True)
        spectrum, axes = np.linalg.eigh(correlation[sets[:, :, None], sets[:, None, :]])
        ranks = np.sum(spectrum > RANK_CUTOFF * spectrum[:, -1:], axis=1)
        if np.max(ranks) > 6:
            raise ValueError(f"expected rank at most 6 within a tuple, got {np.max(ranks)}; try tuples of order 6")
        total = np.zeros((2, len(sets), len(patterns)))
        for rank in np.unique(ranks).tolist():
            some = np.flatnonzero(ranks == rank)
            factor = axes[some, :, -rank:] * np.sqrt(spectrum[some, None, -rank:])
            for cones, owner in tile(factor / np.linalg.norm(factor, axis=2, keepdims=True), inside=True):
                heights = np.maximum(np.einsum("npr,nir->npi", factor[owner], cones), 0.0)
                integrals = integrate_monomials(cones, rows.shape[1])
                for k, row in enumerate(patterns):
                    form = multiply_forms(heights, row[None])[:, 0]
                    for out, integral in zip(total, integrals, strict=True):
                        weight = np.einsum("na,na->n", form, integral)
                        out[some, k] += np.bincount(owner, weight, minlength=len(some))
        values[:, here] = total[:, which, pattern.ravel()]
    return values


def _cell_moments(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The same, each tuple summed over the cells that the planes of all points cut space into.

    In a cell a product of r pre-activations is that of its first and its second half.
    """
    order, rank = rows.shape[1], factor.shape[1]
    first, left = np.unique(rows[:, : order // 2], axis=0, return_inverse=True)
    second, right = np.unique(rows[:, order // 2 :], axis=0, return_inverse=True)
    number, lower, upper = (list_monomials(rank, k) for k in (order, first.shape[1], second.shape[1]))
    joint = [[number[tuple(sorted(a + b))] for b in upper] for a in lower]
    table = np.zeros((2, len(first), len(second)))
    facets = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    for cones, _ in tile(facets[None], inside=False):
        heights = np.einsum("pr,nir->npi", factor, cones)
        positive = np.max(heights, axis=2) > -np.min(heights, axis=2)
        integrals = np.stack(integrate_monomials(cones, order))[:, :, joint]
        cell = np.unique(np.packbits(positive, axis=1), axis=0, return_inverse=True)[1].ravel()
        by_cell = np.split(np.argsort(cell, kind="stable"), np.cumsum(np.bincount(cell))[:-1])
        for members in by_cell:
            above = positive[members[0]]
            a, b = (np.flatnonzero(np.all(above[half], axis=1)) for half in (first, second))
            height = np.maximum(heights[members], 0.0)
            head, tail = multiply_forms(height, first[a]), multiply_forms(height, second[b]).transpose(0, 2, 1)
            tail = integrals[:, members] @ tail
            step = max(1, SMALL_PRODUCT // (tail.shape[2] * max(len(b), 1)))
            for k in range(0, len(a), step):
                table[np.ix_((0, 1), a[k : k + step], b)] += np.sum(head[:, k : k + step] @ tail, axis=1)
    return table[:, left.ravel(), right.ravel()]
