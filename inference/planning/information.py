"""What one network says about the couplings: the Fisher matrix at lambda = 0, a prior in its units, their directions.

Around N(0, K) a freely fitted quadratic part takes up all but the Wick-ordered quartic terms: F_kl = <:T_k: :T_l:>.
Amari and Nagaoka, Methods of Information Geometry (2000), ch. 2.
"""

import numpy as np
from scipy import linalg

from ...models.actions.base import AbstractAction
from ...models.actions.monomials import dense
from ...models.combinatorics import sorted_tuples
from ...models.diagrams.from_couplings import wick_contraction
from ...models.types import Matrix, Vector
from ..equations.schwinger_dyson import RESOLUTION_LIMIT
from ..priors.unit import wick_covariance

__all__ = ["directions", "fisher_information", "unit_prior"]


def fisher_information(action: AbstractAction, terms: Matrix, kernel: Matrix, scale: Vector) -> Matrix:
    """F of the quartic terms in scaled fields, the quadratic part profiled out.

    A free quadratic part takes up all of sum_6 K :phi phi:, and only the Wick-ordered quartic terms are left. A
    restricted one (of a lattice action) leaves the rest of that sum as information on the couplings.
    """
    points = len(kernel)
    used = np.any(terms != 0.0, axis=0)
    fisher = terms[:, used] @ wick_covariance(sorted_tuples(points, 4)[used], kernel) @ terms[:, used].T
    pairs = sorted_tuples(points, 2)
    quadratic = dense(action.quadratic(points), points) * np.prod(scale[pairs], axis=1)
    if np.linalg.matrix_rank(quadratic) < len(pairs):
        covariance = wick_covariance(pairs, kernel)
        shift = terms @ wick_contraction(points, kernel)
        cross = shift @ covariance @ quadratic.T
        inner = quadratic @ covariance @ quadratic.T
        fisher = fisher + shift @ covariance @ shift.T - cross @ np.linalg.pinv(inner, hermitian=True) @ cross.T
    return 0.5 * (fisher + fisher.T)


def unit_prior(fisher: Matrix, scale: float) -> tuple[Matrix, str]:
    """Precision F/s^2, worth 1/s^2 networks in every direction, and what it is in words."""
    if not 0.0 < scale < np.inf:
        raise ValueError(f"expected a positive prior scale, got {scale}; try 1.0, worth one network")
    return fisher / scale**2, f"the default prior, worth {scale**-2:.3g} network{'s' if scale != 1.0 else ''}"


def directions(fisher: Matrix, prior: Matrix, *, unit: bool) -> tuple[Vector, Matrix]:
    """Eigenvalues l_k, descending, and columns v_k of F v = l P v with v.P.v = 1.

    Where P is a multiple of F every basis will do; the eigenvectors of F in terms of unit norm are the ones taken, so
    that the data's own order of directions is kept.
    """
    if not unit:
        levels, vectors = linalg.eigh(fisher, prior)
        return np.clip(levels[::-1], 0.0, None), vectors[:, ::-1]
    levels, vectors = np.linalg.eigh(fisher)
    levels = np.clip(levels[::-1], levels[-1] / RESOLUTION_LIMIT, None)
    ratio = float(fisher[0, 0] / prior[0, 0])
    return np.full(len(levels), ratio), vectors[:, ::-1] * np.sqrt(ratio / levels)
