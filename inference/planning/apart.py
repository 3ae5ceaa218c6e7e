"""Points that a few networks can tell apart: of many points, those that the others do not predict.

Greedy pivoted Cholesky factorisation of the correlation matrix rho. With points S chosen, point a keeps the variance

    v_a = 1 - rho_aS rho_SS^-1 rho_Sa ,

and the next point chosen is the one that keeps most, of equals the first: so the choice begins with point 0, goes to
the point that is least predicted by it, and so on. It ends where no point keeps a tenth of its variance, and at the
number of points whose four-point function has at most n/10 components, C(M+3, 4) <= n/10: each component adds its own
noise to a test of Gaussianity. N. Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 10.3.
"""

from itertools import count

import numpy as np

from ...models.combinatorics import tuple_count
from ...models.types import Matrix
from ..equations.metric import CONDITION_LIMIT

__all__ = ["apart", "check_apart", "usable"]

_LEFT = 0.1  # of its variance that a point must keep
_MANY = 8  # points beyond which a choice says more than all of them, whose four-point function has 495 components
_EACH = 4  # networks for each point: fewer do not even know their two-point function


def apart(two_point: Matrix, n: int) -> list[int]:
    """Indices of points that n networks can tell apart, ascending.

    Args:
        two_point: G2 of the networks, (point, point); it may be singular.
        n: number of networks.

    Example, five points of which neighbours are nearly one:

        >>> x = np.array([0.0, 0.1, 2.0, 2.1, 4.0])
        >>> apart(np.exp(-0.5 * (x[:, None] - x) ** 2), 500)
        [0, 2, 4]
    """
    own = np.sqrt(np.diag(two_point))
    rest = two_point / np.outer(own, own)
    most = next(m for m in count(1) if tuple_count(m + 1, 4) > n / 10)
    chosen: list[int] = []
    while len(chosen) < min(most, len(own)):
        left = np.diag(rest)
        pivot = int(np.argmax(left > left.max() - 1e-9))  # the first of equals, whatever the round-off
        if left[pivot] < _LEFT:
            break
        chosen.append(pivot)
        rest = rest - np.outer(rest[:, pivot], rest[pivot]) / left[pivot]
        rest[pivot, :] = rest[:, pivot] = 0.0
    return sorted(chosen)


def usable(two_point: Matrix, n: int) -> bool:
    """Whether an answer at all these points is worth more than one at those of `apart`."""
    return len(two_point) <= _MANY and not _fault(two_point, n)


def check_apart(two_point: Matrix, n: int) -> None:
    """Refuse points that n networks do not resolve, and name those that they do.

    Raises:
        ValueError: fewer than four networks a point, or a Gram matrix that cannot be inverted; the number is given.
    """
    if fault := _fault(two_point, n):
        kept = apart(two_point, n)
        raise ValueError(
            f"{fault}; try points further apart or fewer: points[{kept}] with array[:, {kept}], those that the "
            "others predict least"
        )


def _fault(two_point: Matrix, n: int) -> str:
    points = len(two_point)
    if n < _EACH * points:
        return f"expected at least {_EACH} networks for each of {points} points, got {n}"
    own = np.sqrt(np.diag(two_point))
    condition = float(np.linalg.cond(two_point / np.outer(own, own)))
    if not condition < CONDITION_LIMIT:
        limit = f"(condition number below {CONDITION_LIMIT:.0e})"
        return f"expected points whose Gram matrix can be inverted {limit}, got {condition:.2e}"
    return ""
