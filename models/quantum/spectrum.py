"""What a two-point function in time is made of: energies and weights, in Euclidean time and, turned, in real time.

    G(t) = sum_k rho_k exp(-E_k t),   G(i t) = sum_k rho_k exp(-i E_k t),   rho_k >= 0, E_k >= 0,

the vacuum expectation <phi(0) phi(t)> of a field phi(t) = exp(iHt) phi exp(-iHt): later times stand to the left in
<phi(t) phi(0)> = G(i t).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from ..types import Vector

__all__ = ["Spectrum"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Energies above the vacuum and what each adds to the two-point function.

    Attributes:
        energies: (state,), increasing from 0 or above.
        weights: (state,), none negative.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, a negative energy or weight.

    Example, the oscillator of mass 2, exp(-2t)/4:
        >>> free = Spectrum(np.array([2.0]), np.array([0.25]))
        >>> free.correlator([0.5]).round(6).tolist(), free.real_time([0.5]).round(6).tolist()
        ([0.09197], [(0.135076-0.210368j)])
    """

    energies: Vector
    weights: Vector

    def __post_init__(self) -> None:
        e, w = np.asarray(self.energies, dtype=float), np.asarray(self.weights, dtype=float)
        if e.ndim != 1 or e.shape != w.shape or not len(e) or not (np.all(np.isfinite(e)) and np.all(np.isfinite(w))):
            raise ValueError(
                f"expected finite energies and weights, one of each a state, got {e.shape} and {w.shape}; try "
                "m.Spectrum(np.array([1.0]), np.array([0.5]))"
            )
        if np.any(w < 0.0) or np.any(e < 0.0):
            worst, what = (float(w.min()), "weight") if np.any(w < 0.0) else (float(e.min()), "energy")
            raise ValueError(
                f"expected energies and weights that are not negative, as of a quantum system, got {what} {worst:.3g}; "
                "try asking whether reflection positivity holds: inf.axioms"
            )
        order = np.argsort(e, kind="stable")
        object.__setattr__(self, "energies", e[order])
        object.__setattr__(self, "weights", w[order])

    def correlator(self, times: Any) -> Float[np.ndarray, "*time"]:
        """G(t) at Euclidean times, of any sign."""
        t = np.abs(np.asarray(times, dtype=float))
        return np.asarray(np.exp(-t[..., None] * self.energies) @ self.weights)

    def real_time(self, times: Any) -> Complex[np.ndarray, "*time"]:
        """G(i t) = <phi(t) phi(0)> at real times; G(-i t) is its complex conjugate."""
        t = np.asarray(times, dtype=float)
        return np.asarray(np.exp(-1j * t[..., None] * self.energies) @ self.weights)

    def gap(self) -> float:
        """The lowest energy above zero that has a weight.

        Raises:
            ValueError: none has.

        >>> Spectrum(np.array([0.0, 1.5]), np.array([0.1, 0.2])).gap()
        1.5
        """
        seen = self.energies[(self.energies > 0.0) & (self.weights > 0.0)]
        if not len(seen):
            raise ValueError("expected a state above the vacuum, got none with a weight; try more levels")
        return float(seen[0])
