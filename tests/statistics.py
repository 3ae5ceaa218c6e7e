"""An estimate agrees with the truth if no component is further off than chance would explain once in a million tests.

z_i = (estimate_i - truth_i) / sqrt(sum of squared standard errors of both sides), for k components the limit is the
two-sided normal quantile of the Sidak level 1 - (1 - family)^(1/k). Sidak's level is exact for independent components
and safe for correlated Gaussian ones (Sidak 1967), so a test with many correlated numbers alarms less often, not more.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

__all__ = ["agree", "disagree", "limit"]


class _Beyond(AssertionError):
    """A component is beyond the limit; any other AssertionError says that the numbers cannot be judged."""


def limit(components: int, *, family: float = 1e-6) -> float:
    """Largest |z| that `components` numbers may show together with a false-alarm probability `family`."""
    if not 0 < family < 1:
        raise ValueError(f"expected a family-wise false-alarm rate between 0 and 1, got {family}, try 1e-6")
    each = -np.expm1(np.log1p(-family) / components)
    return float(norm.isf(each / 2))


def agree(
    estimate: ArrayLike,
    truth: ArrayLike,
    se: ArrayLike | Sequence[ArrayLike],
    *,
    family: float = 1e-6,
) -> None:
    """Assert that `estimate` and `truth` differ by no more than their standard errors explain.

    `estimate` and `truth` broadcast to one shape. `se` is one array of standard errors, or a tuple of arrays, one for
    each side, which are added in quadrature; every component needs a positive and finite one, since a number without
    an error proves nothing. Raises AssertionError naming the worst component, its z and the limit.
    """
    estimate, truth = np.broadcast_arrays(np.asarray(estimate, float), np.asarray(truth, float))
    sides = se if isinstance(se, tuple) else (se,)
    error = np.sqrt(sum(np.square(np.asarray(side, float)) for side in sides))
    try:
        error = np.broadcast_to(error, estimate.shape)
    except ValueError:
        raise AssertionError(f"standard errors of shape {error.shape} for numbers of shape {estimate.shape}") from None
    if estimate.size == 0:
        raise AssertionError("nothing to compare: the arrays are empty")
    if any(np.any(np.asarray(side, float) < 0) for side in sides) or not np.all((error > 0) & np.isfinite(error)):
        raise AssertionError(f"every standard error must be positive and finite, got {error}")
    if not (np.all(np.isfinite(estimate)) and np.all(np.isfinite(truth))):
        raise AssertionError(f"not finite: estimate {estimate}, truth {truth}")
    z = (estimate - truth) / error
    worst = np.unravel_index(np.argmax(np.abs(z)), z.shape)
    allowed = limit(z.size, family=family)
    if abs(z[worst]) > allowed:
        where = f"component {tuple(int(i) for i in worst)} of {z.size}" if z.shape else "the number"
        beyond = int(np.sum(np.abs(z) > allowed))
        raise _Beyond(
            f"{where} is off by z = {z[worst]:+.2f}, limit {allowed:.2f} (family-wise false alarm {family:g}): "
            f"{estimate[worst]:.6g} against {truth[worst]:.6g}, standard error {error[worst]:.2g}; {beyond} beyond it"
        )


def disagree(
    estimate: ArrayLike,
    truth: ArrayLike,
    se: ArrayLike | Sequence[ArrayLike],
    *,
    family: float = 1e-6,
) -> None:
    """The twin of `agree`: assert that a planted fault is seen, that is, that a component is beyond the limit.

    Numbers or errors that `agree` refuses to judge (not finite, no standard error, shapes that do not fit) are an
    error here too: a fault counts as seen only by its z.
    """
    try:
        agree(estimate, truth, se, family=family)
    except _Beyond:
        return
    raise AssertionError("the planted fault was not seen: every component is within the limit at this sample size")
