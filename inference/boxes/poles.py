"""The gap from the propagator in momentum space: two poles whose residues add up to one.

    G(p) = sum_k 2 E_k Z_k/(p^2 + E_k^2) = (1 - r)/(p^2 + E^2) + r/(p^2 + E'^2),   sum_k 2 E_k Z_k = 1,

the sum rule being the commutator [phi, dphi/dt] = i: every momentum knows that the residues add up, which no fit in
time sees. Of phi^4 the second state the field makes has r < .01 and E' between 3 E (three particles) and 3.7 E (a pure
phi^4): E'/E is a number with a log-normal prior of 3.4 and 25 %, whose spread is in the error. Of two wells it is more,
4.7 at m^2 = -1, lambda = 6: the gap is then .6 of its error too low.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from ...models.types import Vector
from ..spectra.gap import Gap

__all__ = ["PoleFit", "two_poles"]

_RATIO, _SPREAD = 3.4, 0.25
_LEAST = 1e-12  # of an eigenvalue of the correlations


@dataclass(frozen=True, eq=False)
class PoleFit:
    """The gap, and how it moves with G(p): slope, (mode,)."""

    gap: Gap
    slope: Vector


def two_poles(momenta: Vector, values: Vector, rows: Float[np.ndarray, "row mode"]) -> PoleFit:
    """Two poles fitted to G(p) in its covariance.

    Args:
        momenta: p, (mode,), the first of them zero.
        values: G(p), (mode,).
        rows: rows^T rows is the covariance.

    Raises:
        ValueError: fewer modes than numbers; G(0) that is not positive by three errors; a covariance without rank.

    Example, one pole, with errors of one in a thousand:
        >>> p = 0.6 * np.arange(9)
        >>> free = 1.0 / (p**2 + 2.0)
        >>> print(f"{two_poles(p, free, np.diag(1e-3 * free)).gap.value:.6f}")
        1.414214
    """
    if len(momenta) < 3:
        raise ValueError(f"expected at least 3 modes for two poles, got {len(momenta)}; try modes=3")
    errors = np.sqrt(np.sum(rows**2, axis=0))
    if not values[0] > 3.0 * errors[0]:
        raise ValueError(
            f"expected G(0) positive by more than three errors, got {values[0]:.3g} +- {errors[0]:.2g}; try more "
            "networks"
        )
    level, vectors = np.linalg.eigh((rows.T @ rows) / np.outer(errors, errors))
    if level[0] < _LEAST * level[-1]:
        raise ValueError(
            f"expected errors of {len(momenta)} modes that are not copies of each other, got correlations with "
            f"eigenvalue {level[0]:.2g}; try more networks"
        )
    white, square = (vectors / np.sqrt(level)).T / errors, momenta**2

    def residual(numbers: Vector) -> Vector:
        energy, second, log_ratio = numbers
        model = (1.0 - second) / (square + energy**2) + second / (square + (energy * np.exp(log_ratio)) ** 2)
        return np.append(white @ (model - values), (log_ratio - np.log(_RATIO)) / _SPREAD)

    start = [values[0] ** -0.5, 0.0, np.log(_RATIO)]
    found = least_squares(residual, start, x_scale=[start[0], 0.01, 1.0], xtol=1e-12, ftol=1e-12)
    inverse = np.linalg.inv(found.jac.T @ found.jac)
    error = np.sqrt(np.diag(inverse))
    energy, ratio = abs(float(found.x[0])), float(np.exp(found.x[2]))
    how = f"two poles in {len(momenta)} momenta, residue {found.x[1]:.2g} +- {error[1]:.2g} of the second"
    gap = Gap(
        energy, float(error[0]), how, np.array([energy, ratio * energy]),
        np.array([error[0], ratio * energy * error[2]]), chi2=2.0 * float(found.cost), dof=len(momenta) - 2,
    )  # fmt: skip
    return PoleFit(gap, (inverse @ found.jac[:-1].T @ white)[0])
