"""Is an estimated vector zero? Its distance in units of its errors, with a p-value that holds for heavy tails.

d has the covariance C = L^T L, the rows of L what each of G groups of networks contributes. Hotelling's T^2 = d.C^-1 d
is the most sensitive distance, and F-distributed where contributions are Gaussian. Fourth and sixth powers of a field
are not: whatever small directions of C mean is decided by few groups, C^-1 is too large just where d is, and a true
null falls below .001 one time in three. The first order of that excess is the kurtosis of K. V. Mardia (Biometrika 57
(1970) 519), with the leverage h_g = L_g C^-1 L_g of a group and k directions:

    excess = [sum_g h_g^2 - k (k + 2)/G]/k .

Where it is too large C is not inverted. Each component counts in units of its own error, S = sum_a (d_a/e_a)^2, which
is a sum of chi^2_1 with the eigenvalues l of the correlation matrix as weights, near a chi^2 of f = (sum l)^2/sum l^2
degrees of freedom (G. E. P. Box, Ann. Math. Stat. 25 (1954) 290; E. Brunner, H. Dette and A. Munk, J. Am. Stat. Assoc.
92 (1997) 1494); it looks at the leading directions only. The errors come from effectively

    makers = (sum_g t_g)^2/sum_g t_g^2 ,   t_g = sum_a (L_ga/e_a)^2 ,

groups, and where these are few they are too small just where d is: F on (f, makers/4), the quarter set by trials on
networks (`tests/proof/test_null.py`). Of a handful no law of large numbers holds, and there is no p-value.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from .display import card
from .types import Vector

__all__ = ["Chi2", "distance", "hotelling", "leading", "spherical"]

_EXCESS = 0.03  # of T^2 over its Gaussian mean: beyond it true nulls are rejected too often
_FEWEST = 8.0  # groups that make the errors
_WORTH = 0.25  # degrees of freedom that each of them gives an error
_RESOLUTION = 1e-10  # eigenvalues of a correlation matrix below this fraction of the largest are round-off


class Chi2(NamedTuple):
    """Distance from zero in units of the covariance: chi^2 `value`, `dof` and tail probability `p`; nan if refused."""

    value: float
    dof: float
    p: float
    why: str

    def __str__(self) -> str:
        p = "no p-value" if np.isnan(self.p) else f"p = {self.p:.2g}"
        return f"chi2/dof = {self.value:.1f}/{self.dof:.3g}, {p} ({self.why})"

    def _repr_html_(self) -> str:
        p = "none" if np.isnan(self.p) else f"{self.p:.2g}"
        row = (f"{self.value:.1f}", f"{self.dof:.3g}", p, self.why)
        return card("Distance from zero", [row], head=("chi2", "dof", "p-value", "why"))


def distance(
    value: Vector,
    rows: Float[np.ndarray, "row component"],
    *,
    networks: float,
    dof: float,
    connected: bool,
    groups: bool,
) -> Chi2:
    """The distance of `value` from zero; T^2 where its F law holds, else every component in units of its own error.

    Args:
        value: (component,).
        rows: rows^T rows is its covariance.
        networks: averaged over; directions below 10/n of the largest are left out of T^2 of connected functions, whose
            errors are carried to first order.
        dof: degrees of freedom of the covariance; T^2 takes at most a quarter as many directions.
        connected: whether these are connected functions.
        groups: whether the rows are contributions of groups of networks; else nothing is known of their law.

    Example, 2 and 0 with errors of 1:

        >>> print(distance(np.array([2.0, 0.0]), np.eye(2), networks=np.inf, dof=np.inf, connected=False, groups=False))
        chi2/dof = 4.0/2, p = 0.14 (2 of 2 components kept)
    """
    error = np.sqrt(np.sum(rows**2, axis=0))
    keep = error > 0.0
    if not np.any(keep):  # the odd part of samples symmetrised pair by pair
        return Chi2(0.0, 0, 1.0, f"all {len(value)} components are exactly zero, and so are their errors")
    scaled, z = rows[:, keep] / error[keep], value[keep] / error[keep]
    vectors, eigenvalues, resolved = leading(scaled, networks=networks, dof=dof, connected=connected)
    kept = vectors.shape[1]
    if groups and np.isfinite(dof):
        white = scaled @ vectors / np.sqrt(eigenvalues)
        excess = float(np.sum(np.sum(white**2, axis=1) ** 2) / kept - (kept + 2.0) / len(rows))
        if excess > _EXCESS:
            return spherical(z, scaled, f"T^2 of {kept} directions would be {excess:.2g} too large")
    along = (vectors.T @ z) / np.sqrt(eigenvalues)
    statistic = float(along @ along)
    p = hotelling(statistic, kept, dof)
    why = f"{kept} of {len(value)} components kept"
    if resolved < len(value):
        why += f", {len(value) - resolved} are combinations without independent error"
    if kept < resolved:
        why += f", the covariance has {dof:.0f} degrees of freedom and carries a quarter of that"
    return Chi2(statistic, kept, p, why)


def hotelling(square: float, directions: int, dof: float) -> float:
    """P-value of T^2 in so many directions, their covariance known to `dof` degrees of freedom; chi^2 where to inf.

    >>> round(hotelling(4.0, 2, np.inf), 4), round(hotelling(4.0, 2, 20.0), 4)
    (0.1353, 0.1769)
    """
    if np.isinf(dof):
        return float(stats.chi2.sf(square, directions))
    below = dof - directions + 1.0
    return float(stats.f.sf(square * below / (dof * directions), directions, below))


def leading(
    scaled: Float[np.ndarray, "row component"], *, networks: float, dof: float, connected: bool
) -> tuple[Float[np.ndarray, "component kept"], Vector, int]:
    """Directions of a correlation matrix that T^2 takes, with their eigenvalues, and how many are resolved."""
    eigenvalues, vectors = np.linalg.eigh(scaled.T @ scaled)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    resolution = max(_RESOLUTION, 10.0 / networks if connected else 0.0)
    resolved = int(np.sum(eigenvalues > resolution * eigenvalues[0]))
    kept = resolved if np.isinf(dof) else min(resolved, max(1, int(dof // 4)))
    return vectors[:, :kept], eigenvalues[:kept], resolved


def spherical(z: Vector, scaled: Float[np.ndarray, "row component"], because: str) -> Chi2:
    """S of components in units of their errors, as f S/sum l on f degrees of freedom; nan where few groups decide.

    Example, two components that are one: half the degrees of freedom.

        >>> rows = np.tile(np.array([[1.0], [-1.0]]) / 40**0.5, (20, 2))
        >>> print(spherical(np.array([2.0, 2.0]), rows, "by hand"))
        chi2/dof = 4.0/1, p = 0.073 (each of 2 components in units of its error, since by hand)
    """
    each = np.sum(scaled**2, axis=1)
    trace = float(np.sum(each))
    freedom = trace**2 / float(np.sum((scaled.T @ scaled) ** 2))
    statistic = float(z @ z) * freedom / trace
    makers = trace**2 / float(np.sum(each**2))
    why = f"each of {len(z)} components in units of its error, since {because}"
    if makers < _FEWEST:
        few = f"{makers:.1f} of {len(each)} groups of networks make their errors; {_FEWEST:.0f} are needed"
        return Chi2(statistic, freedom, float("nan"), f"{why}, but {few}")
    return Chi2(statistic, freedom, float(stats.f.sf(statistic / freedom, freedom, _WORTH * makers)), why)
