"""The couplings that a fit to infinitely many networks returns: the projection of an exactly known law on an action.

Score matching in the metric K = G2 has the couplings theta = A^-1 b of the moments of order 2, 4 and 6
(`equations/from_moments.py`), and where these are known exactly so is theta, at every distance from the Gaussian. To
leading order it is -F^-1 T.G4c. At one site, with K = 1, excess kurtosis k and sixth cumulant k6, the two are

    theta = -(k/24) / [1 + 3k/2 + (k6 - k^2)/6] ,    -k/24 ,    k = 24^(1/2) eps4 ,

so that leading order is off by about 1 + 7.3 eps4 where all that is not Gaussian lies in one direction.
"""

import numpy as np

from ...models.actions.base import AbstractAction
from ...models.correlators import Correlators
from ...models.types import Matrix, Vector
from ..equations.metric import check_gram
from ..equations.schwinger_dyson import moment_equations, scaled_moments
from ..equations.terms import terms_of

__all__ = ["LEADING", "projection"]

LEADING = 1.5 * 24.0**0.5  # relative error of leading order over eps4, at one site
_ROUND_OFF = 1e-15  # of sums of products, where the moments themselves are exact
_DIGITS = 1e-3  # to which the couplings must be known


def projection(data: Correlators, action: AbstractAction, weights: Vector, kernel: Matrix) -> Vector | None:
    """Quartic couplings A^-1 b of exact correlators in the metric K, (coupling,); None where they are not known.

    That is: without sixth moments, for an action with a fixed quadratic part or fitted in another metric (of a
    lattice), or where A is so nearly singular that the accuracy of the moments does not leave three digits.

    Example, one site, where theta = -(k/24)/[1 + 3k/2 + (k6 - k^2)/6] in units of K = 1:

        >>> from nnft.models import Cos, Local, Network, exact
        >>> data = exact(Network(Cos(), width=10, output_scale=2**0.5), np.zeros((1, 1)))
        >>> k, k6 = data.connected(4)[0], data.connected(6)[0]
        >>> theta = projection(data, Local(), np.ones(1), data.tensor(2))
        >>> bool(np.isclose(theta[0], -k / 24 / (1 + 1.5 * k + (k6 - k**2) / 6)))
        True
    """
    if any(order not in data.moments for order in (2, 4, 6)):
        return None
    if action.homogeneous or action.fixed(len(kernel)) is not None:
        return None
    check_gram(kernel)
    terms = terms_of(action, kernel, weights)
    matrix, vector = moment_equations(terms, scaled_moments(terms, data))
    theta = np.linalg.solve(matrix, vector)
    quartic = theta[terms.quadratic :]
    about = data.about.get("accuracy", {2: 0.0})  # of the connected functions; that of G2 enters a moment r/2 times
    second = about[2] / np.max(np.diag(kernel))
    exactness = max(r / 2 * second + about.get(r, 0.0) / np.max(np.abs(data.moment(r))) for r in (2, 4, 6))
    exactness = max(_ROUND_OFF, exactness)
    lost = np.linalg.cond(matrix) * exactness * np.linalg.norm(theta)
    return quartic / terms.factors[-len(quartic) :] if lost < _DIGITS * np.linalg.norm(quartic) else None
