"""What a fitted action predicts for the correlators, draw by draw.

G4c at tree level, with the one-loop term beside it as the size of what the tree leaves out (`models/diagrams.py`),
and G2 from the gap equation G2^-1 = 2q + (1/2) V.K, the first-order Schwinger-Dyson equation with the metric K on the
loop.
"""

from collections.abc import Mapping

import numpy as np

from ..models.actions import AbstractAction
from ..models.combinatorics import sorted_tuples
from ..models.diagrams import four_point, vertex
from ..models.types import Matrix, Vector

__all__ = ["predict", "quartic_coefficients"]

_DRAWS = 200  # draws a chain kept for predictions: their spread needs no more


def quartic_coefficients(
    couplings: Mapping[str, np.ndarray], action: AbstractAction, points: int, weights: Vector
) -> np.ndarray:
    """Coefficients of the sorted quartic monomials from named couplings, (..., quad)."""
    names = action.blocks(points)
    theta = np.concatenate([np.asarray(couplings[name]) for name in names], axis=-1)
    return theta @ action.monomials(points, weights)


def predict(
    two_point: Matrix, posterior: Mapping[str, np.ndarray], action: AbstractAction, weights: Vector
) -> dict[str, np.ndarray]:
    """Predicted correlators of posterior draws.

    Args:
        two_point: G2 on the lines, (point, point).
        posterior: "q" and the action's couplings, (chain, draw, coupling).
        action: the action fitted.
        weights: quadrature weights.

    Returns:
        G4 (tree), G4_loop (tree plus one loop) on (chain, draw, quad) and G2 on (chain, draw, pair).
    """
    points = len(two_point)
    step = max(1, posterior["q"].shape[1] // _DRAWS)
    kept = {name: value[:, ::step] for name, value in posterior.items()}
    quartic = quartic_coefficients(kept, action, points, weights)
    tree, loop = four_point(quartic, two_point)
    pairs = sorted_tuples(points, 2)
    inverse = np.zeros((*kept["q"].shape[:-1], points, points))
    for k, (a, b) in enumerate(pairs):
        inverse[..., a, b] += kept["q"][..., k]
        inverse[..., b, a] += kept["q"][..., k]
    inverse += 0.5 * np.einsum("...abcd,cd->...ab", vertex(quartic, points), two_point)
    return {"G4": tree, "G4_loop": tree + loop, "G2": np.linalg.inv(inverse)[(..., *pairs.T)]}
