"""From couplings to correlators where phi -> -phi is no symmetry: mean, G2, G3c and G4c, expanded about the mean.

With phi = m + chi, the vertices of S in chi are V4 and V3' = V3 + V4 m (V_r = r! times the coefficients, symmetric).
On full lines K = <chi chi>, tadpoles and self-energies in them already,

    <dS/dphi> = 0:  V1 + V2 m + V3 (m m + K)/2 + V4 (m m m + 3 m K + G3c)/6 = 0            gives the mean
    G2^-1 = V2 + V3 m + V4 (m m + K)/2 - V3' K K V3'/2
    G3c   = -K^3 V3'
    G4c   = K^4 [ -V4 + sum_3 V3' K V3' ]  and, one loop more, V4 K K V4, V3' V3' V4, V3'^4 in all their channels.

In a width expansion V3' is of order N^(-1/2) and V4 of order 1/N: each line is the leading order. Feynman rules:
S. Weinberg, The Quantum Theory of Fields I, ch. 6; tree level 2307.03223 sec. 4.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..arrays import dense
from ..combinatorics import sorted_tuples
from ..types import Matrix, Vector
from .from_couplings import vertex
from .graphs import connected_sum

__all__ = ["AboutMean", "about_mean"]

Many = Float[np.ndarray, "*many component"]


class AboutMean(NamedTuple):
    """Connected functions of an action without phi -> -phi, on sorted tuples, (..., component).

    mean, two_point, three, four: to leading order each; four_loop: the four-point function with one loop more.
    """

    mean: Many
    two_point: Many
    three: Many
    four: Many
    four_loop: Many


def about_mean(coefficients: Mapping[int, np.ndarray], mean: Vector, two_point: Matrix) -> AboutMean:
    """What an action with linear, cubic and quartic terms predicts near a known mean and two-point function.

    Args:
        coefficients: degree 1, 2, 3, 4 -> coefficients of the sorted monomials, (..., component).
        mean: m to expand about, (point,): that of the data. The predicted mean is one Newton step from it.
        two_point: K = <phi phi> - m m, on the lines, (point, point).

    Raises:
        ValueError: degrees that are missing, shapes that do not fit.

    Example, a Gaussian of mean two and unit variance, S = phi^2/2 - 2 phi, seen from where it is:
        >>> gaussian = {1: np.array([-2.0]), 2: np.array([0.5]), 3: np.zeros(1), 4: np.zeros(1)}
        >>> found = about_mean(gaussian, np.array([1.9]), np.eye(1))
        >>> [abs(float(part[0])) for part in found]
        [2.0, 1.0, 0.0, 0.0, 0.0]
    """
    count = len(mean)
    if missing := {1, 2, 3, 4} - {*coefficients}:
        raise ValueError(f"expected coefficients of degrees 1, 2, 3, 4, got none of {sorted(missing)}; try zeros")
    v = {r: vertex(coefficients[r], count, order=r) for r in (1, 2, 3, 4)}
    three = v[3] + v[4] @ mean
    second = np.outer(mean, mean) + two_point
    ends = {3: -_on_legs(three, two_point, 3), 4: -_on_legs(v[4], two_point, 4)}
    inner = np.einsum("...abc,bd,ce->...ade", three, two_point, two_point)
    third = mean[:, None, None] * mean[:, None] * mean + sum(
        np.einsum(legs, mean, two_point) for legs in ("a,bc->abc", "b,ac->abc", "c,ab->abc")
    )
    force = (
        v[1]
        + v[2] @ mean
        + 0.5 * np.einsum("...abc,bc->...a", v[3], second)
        + np.einsum("...abcd,...bcd->...a", v[4], third + ends[3]) / 6.0
    )
    inverse = (
        v[2]
        + v[3] @ mean
        + 0.5 * np.einsum("...abcd,cd->...ab", v[4], second)
        - 0.5 * np.einsum("...abc,...dbc->...ad", inner, three)
    )
    root = np.linalg.cholesky(two_point)
    unit = {r: -_on_legs(part, root.T, r) for r, part in ((3, three), (4, v[4]))}
    tree, loop = (
        _components(_on_legs(dense(connected_sum(4, k, unit, self_energies=False), count, 4), root, 4), count)
        for k in (2, 4)
    )
    pairs = sorted_tuples(count, 2)
    return AboutMean(
        mean - force @ two_point,
        np.linalg.inv(inverse)[(..., *pairs.T)],
        _components(ends[3], count, 3),
        tree,
        tree + loop,
    )


def _on_legs(tensor: np.ndarray, matrix: Matrix, legs: int) -> np.ndarray:
    """sum_b matrix_a1b1 .. tensor_b1.. on the last axes of (..., point, .., point)."""
    for _ in range(legs):  # the first leg goes to the end, so that after all steps each is back in place
        tensor = np.tensordot(tensor, matrix, axes=(tensor.ndim - legs, 1))
    return tensor


def _components(tensor: np.ndarray, points: int, order: int = 4) -> np.ndarray:
    return tensor[(..., *sorted_tuples(points, order).T)]
