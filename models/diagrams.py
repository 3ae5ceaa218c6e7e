"""From couplings back to correlators by Feynman diagrams: the third maker.

With V_abcd the fully symmetric vertex, S4 = (1/4!) sum V_abcd phi_a phi_b phi_c phi_d, and the full two-point
function G2 on every line (so tadpoles are already in it), the connected four-point function is

    G4c = G2^4 . [ -V + (1/2) sum_3 V (G2 G2) V + O(V^3) ],

the first term the tree, the second one loop in the three channels. The loop is the size of what the tree leaves out
and is used as its truncation band. Tree level: 2307.03223 sec. 4; arXiv:2008.08601 eq. 4.9 in another normalisation.
"""

import numpy as np

from .combinatorics import multiplicities, rank, sorted_tuples
from .types import Matrix

__all__ = ["couplings_from_vertex", "four_point", "non_gaussianity", "vertex", "whitened", "wick_contraction"]


def vertex(quartic: np.ndarray, points: int) -> np.ndarray:
    """V_abcd = 4! g_abcd / multiplicity from coefficients of sorted monomials, (..., quad) -> (..., M, M, M, M)."""
    quads = sorted_tuples(points, 4)
    if np.shape(quartic)[-1] != len(quads):
        raise ValueError(
            f"expected one coefficient per sorted quad, {len(quads)} at {points} points, got {np.shape(quartic)}"
        )
    index = np.stack(np.meshgrid(*[np.arange(points)] * 4, indexing="ij"), axis=-1)
    return (24.0 * np.asarray(quartic) / multiplicities(quads))[..., rank(index, points)]


def couplings_from_vertex(tensor: np.ndarray) -> np.ndarray:
    """Coefficients of the sorted monomials from a symmetric vertex, (..., M, M, M, M) -> (..., quad)."""
    quads = sorted_tuples(tensor.shape[-1], 4)
    return tensor[(..., *quads.T)] * multiplicities(quads) / 24.0


def four_point(quartic: np.ndarray, two_point: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Connected four-point function at tree level and the one-loop term, both on sorted quads, (..., quad).

    Args:
        quartic: coefficients of the sorted quartic monomials, (..., quad).
        two_point: the full two-point function G2, (point, point).

    Returns:
        (tree, loop): -G2^4 V and +(1/2) sum_3 G2^4 V (G2 G2) V; their sum is the one-loop result, |loop| the band.

    Example, one site, S = phi^2/2 + g phi^4 with <phi^2> = 1: G4c = -24 g + 864 g^2.

        >>> tree, loop = four_point(np.array([0.001]), np.eye(1))
        >>> round(float(tree[0]), 6), round(float(loop[0]), 6)
        (-0.024, 0.000864)
    """
    points = len(two_point)
    v = vertex(quartic, points)
    # Lines attached to the vertex on two legs: (..., a, b, i, j), the building block of tree and channels.
    half = np.einsum("...abkl,ki,lj->...abij", v, two_point, two_point, optimize=True)
    tree = -np.einsum("ai,bj,...ijcd->...abcd", two_point, two_point, half, optimize=True)
    bubble = np.einsum("...abij,...ijcd->...abcd", half, v, optimize=True)
    bubble = np.einsum("ai,bj,ck,dl,...ijkl->...abcd", *[two_point] * 4, bubble, optimize=True)
    channels = bubble + np.einsum("...abcd->...acbd", bubble) + np.einsum("...abcd->...adcb", bubble)
    where = (..., *sorted_tuples(points, 4).T)
    return tree[where], 0.5 * channels[where]


def whitened(connected: np.ndarray, two_point: Matrix) -> np.ndarray:
    """K^(-1/2) x4 . G on sorted quads times sqrt(multiplicity), (..., quad): its squares add up to the Frobenius
    norm^2.
    """
    points = len(two_point)
    try:
        whitener = np.linalg.inv(np.linalg.cholesky(two_point))
    except np.linalg.LinAlgError:
        raise ValueError(
            f"expected a positive definite two-point function to whiten with, got eigenvalue "
            f"{np.linalg.eigvalsh(two_point)[0]:.3g}; try fewer points or points further apart"
        ) from None
    quads = sorted_tuples(points, 4)
    index = np.stack(np.meshgrid(*[np.arange(points)] * 4, indexing="ij"), axis=-1)
    dense = np.einsum(
        "...abcd,ia,jb,kc,ld->...ijkl", np.asarray(connected)[..., rank(index, points)], *[whitener] * 4, optimize=True
    )
    return np.sqrt(multiplicities(quads)) * dense[(..., *quads.T)]


def non_gaussianity(connected: np.ndarray, rows: np.ndarray | None, two_point: Matrix) -> tuple[float, float]:
    """eps4 = [(1/24) ||whitened G4c||^2]^(1/2) and its standard error: the expansion parameter of the effective action.

    To leading order eps4^2 is the chi^2 distance of the field to a Gaussian. The noise's own norm is subtracted, so
    that a Gaussian ensemble gives zero within errors; a negative remainder returns eps4 = 0.

    Args:
        connected: G4c on sorted quads, (quad,).
        rows: error rows, covariance = rows^T rows, (row, quad); None if exact.
        two_point: K, (point, point).
    """
    signal = whitened(connected, two_point)
    if rows is None:
        return float(np.linalg.norm(signal) / np.sqrt(24.0)), 0.0
    noise = whitened(rows, two_point)
    square = float(signal @ signal - np.sum(noise**2)) / 24.0
    value = np.sqrt(max(square, 0.0))
    # Var |x|^2 = 4 mu.C.mu + 2 tr C^2 for Gaussian x of mean mu and covariance C, and E x.C.x = mu.C.mu + tr C^2.
    pure = 2.0 * np.sum((noise.T @ noise) ** 2)
    spread = np.sqrt(max(4.0 * np.sum((noise @ signal) ** 2) - pure, pure)) / 24.0
    return float(value), float(min(spread / (2.0 * value), np.sqrt(spread))) if value > 0 else float(np.sqrt(spread))


def wick_contraction(points: int, two_point: Matrix) -> Matrix:
    """Quadratic part of the sorted quartic monomials under Wick ordering, (quad, pair).

    phi_a phi_b phi_c phi_d = :phi_a phi_b phi_c phi_d: + sum_6 K_ab :phi_c phi_d: + const, so a quartic coupling g_k
    shifts the coefficient of the sorted pair p by sum_k g_k R_kp.
    """
    quads, pairs = sorted_tuples(points, 4), sorted_tuples(points, 2)
    out = np.zeros((len(quads), len(pairs)))
    for i in range(4):
        for j in range(i):
            rest = np.delete(quads, [j, i], axis=1)
            np.add.at(out, (np.arange(len(quads)), rank(rest, points)), two_point[quads[:, i], quads[:, j]])
    return out
