"""Do two methods tell the same couplings from the same networks? A chi^2 that knows how far apart they should be.

If the second estimate is efficient, what the first adds is noise of its own: Cov(first - second) = V_first - V_second
(J. Hausman, Econometrica 46 (1978) 1251). Two sound methods thus differ by sqrt(V_first/V_second - 1) standard
deviations on the same data, not by a fixed fraction of one; where the densities assumed are wrong they differ by more.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from ...models.types import Vector
from ..equations.from_moments import Equations

__all__ = ["Hausman", "hausman"]

RESOLVED = 0.02  # least V_first/V_second - 1 of a direction that is judged


class Hausman(NamedTuple):
    """The test of two estimates on the same networks.

    chi2, dof, p: over the directions of the couplings whose extra variance is resolved; rms: of the differences of all
    couplings, in standard deviations of the efficient estimate; predicted: the rms that their covariances predict.
    """

    chi2: float
    dof: int
    p: float
    rms: float
    predicted: float

    def __str__(self) -> str:
        return (
            f"chi2/dof = {self.chi2:.1f}/{self.dof}, p = {self.p:.2g}; differences of {self.rms:.2f} sd, "
            f"{self.predicted:.2f} predicted"
        )


def hausman(
    first: Equations, efficient: Equations, *, resolved: float = RESOLVED, chosen: slice | Vector | None = None
) -> Hausman:
    """Test that two estimates on the same networks agree, the second of which is efficient.

    V = V_first - V_efficient + V_reference, where V_efficient is the Cramer-Rao bound F^-1/n of the second, and
    V_reference, what its sandwich has above that, the noise of its reference fields, which the first does not share.
    In directions where V is not resolved the two are the same estimate; they are left out.

    Args:
        first: equations of score matching or of the pseudo-likelihood.
        efficient: those of the gold standard, `gold_equations`, for the same terms and networks.
        resolved: least ratio V/V_efficient of a direction that is judged; above the noise of covariances measured on
            n networks, about sqrt(terms/n).
        chosen: which couplings to judge; default all.

    Raises:
        ValueError: equations of different sizes or networks; no direction that is resolved.

    Example: sd 2 against sd 1 on 100 networks, 0.3 apart, where sqrt(4 - 1)/10 = 0.17 was to be expected.
        >>> one, zero = np.eye(1), np.zeros(1)
        >>> first = Equations(one, np.full(1, 0.3), 4 * one, zero, 100.0, np.inf, np.zeros((3, 3)))
        >>> second = Equations(one, zero, one, zero, 100.0, np.inf, np.zeros((3, 3)))
        >>> print(hausman(first, second))
        chi2/dof = 3.0/1, p = 0.083; differences of 3.00 sd, 1.73 predicted
    """
    if len(first.vector) != len(efficient.vector) or first.networks != efficient.networks:
        raise ValueError(
            f"expected two estimates of the same couplings on the same networks, got {len(first.vector)} and "
            f"{len(efficient.vector)} couplings of {first.networks:.0f} and {efficient.networks:.0f} networks; try the "
            "same terms and data"
        )
    part = slice(None) if chosen is None else chosen
    bound = efficient.naive[part][:, part]
    extra = (first.sandwich - efficient.naive)[part][:, part]
    reference = (efficient.sandwich - efficient.naive)[part][:, part]
    shift = (first.estimate - efficient.estimate)[part]
    root = np.linalg.inv(np.linalg.cholesky(bound))
    ratios, directions = np.linalg.eigh(root @ (extra + reference) @ root.T)
    kept = ratios > resolved
    if not kept.any():
        raise ValueError(
            f"expected a direction in which the first estimate is noisier by more than {resolved:.2g}, got at most "
            f"{ratios[-1]:.2g}: the two estimates are the same; try comparing them coupling by coupling"
        )
    squares = (directions.T @ (root @ shift)) ** 2
    statistic, dof = float((squares[kept] / ratios[kept]).sum()), int(kept.sum())
    variance = np.diag(bound)
    return Hausman(
        statistic,
        dof,
        float(chi2.sf(statistic, dof)),
        float(np.sqrt(np.mean(shift**2 / variance))),
        float(np.sqrt(max(np.mean(np.diag(extra + reference) / variance), 0.0))),
    )
