"""The gap as a generalised eigenvalue: C(t) v = l(t, t0) C(t0) v, whose l are the decays of the lowest states.

With as many operators as states C(t) = psi diag(e^(-E t)) psi^T and l_k = e^(-E_k (t - t0)) exactly; further states
change E_1 by e^(-(E_(N+1) - E_1) t0) only, N the number of operators (M. Luescher and U. Wolff, Nucl. Phys. B339 (1990)
222; B. Blossier et al., JHEP 04 (2009) 094). In a box cosh(E(t - L/2)) takes the place of the exponential, and l is a
ratio of two. Errors are linear: dl = v.(dC(t) - l dC(t0)).v for v.C(t0).v = 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ...models.types import Matrix
from .gap import AbstractGapMethod, Gap
from .lagged import TimeCorrelators, energy_of_ratio

__all__ = ["Gevp"]

_SIGMA = 3.0  # errors by which the smallest eigenvalue of C(t0) has to be positive


@dataclass(frozen=True)
class Gevp(AbstractGapMethod):
    """Generalised eigenvalues of the correlators of a few operators at two times.

    Args:
        start: t0; default the first time after zero.
        at: t; default the time that follows. A pair one step later says what higher states still add.

    Example, phi and phi^3 of the oscillator at lambda = 6, whose gap is 1.4050391343:
        >>> from nnft import models as m
        >>> from .lagged import time_correlators
        >>> exact = m.Oscillator(quartic=6.0).correlators(np.arange(4)[:, None] * 0.5, orders=(2, 4, 6))
        >>> print(Gevp(0.5, 1.0).gap(time_correlators(exact, times=[0.5, 1.0, 1.5])))
        gap 1.405039539 by GEVP of 2 operators, t0 = 0.5, t = 1; higher states add about +4e-07
    """

    start: float | None = None
    at: float | None = None

    def gap(self, data: TimeCorrelators) -> Gap:
        """The largest eigenvalue's energy; all energies come along.

        Raises:
            ValueError: times that the data do not have; C(t0) that is not positive by three errors; a largest
                eigenvalue that does not fall between 0 and 1.
        """
        first, second = self._places(data)
        energies, rows = self._energies(data, first, second)
        errors = np.sqrt(np.sum(rows**2, axis=1))
        bias = bias_error = float("nan")
        later = second + 1 < len(data.times)
        if later:
            try:
                following, moved = self._energies(data, first + 1, second + 1)
                bias, bias_error = float(energies[0] - following[0]), float(np.linalg.norm(rows[0] - moved[0]))
            except ValueError:  # noise only, one step later
                later = False
        how = f"GEVP of {data.values.shape[1]} operators, t0 = {data.times[first]:g}, t = {data.times[second]:g}"
        return Gap(float(energies[0]), float(errors[0]), how, energies, errors, bias, bias_error)

    def _places(self, data: TimeCorrelators) -> tuple[int, int]:
        if len(data.times) < 2:
            raise ValueError(f"expected at least two times, got {data.times.tolist()}; try times=[0.5, 1.0, 1.5]")
        first = int(data.times[0] == 0.0 and len(data.times) > 2) if self.start is None else _place(data, self.start)
        second = first + 1 if self.at is None else _place(data, self.at)
        if not first < second < len(data.times):
            raise ValueError(
                f"expected start before at, both among the times {data.times.tolist()}, got start={self.start}, "
                f"at={self.at}; try leaving them out"
            )
        return first, second

    def _energies(self, data: TimeCorrelators, first: int, second: int) -> tuple[np.ndarray, Matrix]:
        """Energies, lowest first, and the rows of their covariance, (state, row); states lost in noise are left out."""
        start, later = data.values[first], data.values[second]
        scale = np.sqrt(np.abs(np.diag(start)))
        low, direction = (part[..., 0] for part in np.linalg.eigh(start / np.outer(scale, scale)))
        unit = direction / scale
        spread = float(np.linalg.norm(np.einsum("i,rij,j->r", unit, data.rows[:, first], unit)))
        if low <= _SIGMA * spread:
            raise ValueError(
                f"expected C(t0) positive by {_SIGMA:g} errors, got its smallest eigenvalue {low:.2g} +- {spread:.2g} "
                f"(operators of unit size) at t0 = {data.times[first]:g}; try an earlier t0, fewer operators or more "
                "networks"
            )
        values, vectors = eigh(later, start)
        energies, rows = [], []
        for value, v in list(zip(values, vectors.T, strict=True))[::-1]:
            change = np.einsum("i,rij,j->r", v, data.rows[:, second] - value * data.rows[:, first], v)
            if value <= _SIGMA * np.linalg.norm(change) or value >= 1.0:
                if not energies:
                    raise ValueError(
                        f"expected a largest eigenvalue between 0 and 1 by {_SIGMA:g} errors, got {value:.3g} +- "
                        f"{np.linalg.norm(change):.2g} from t0 = {data.times[first]:g} to t = {data.times[second]:g}; "
                        "try earlier times or more networks"
                    )
                break
            energy, slope = energy_of_ratio(1.0 / value, data.times[first], data.times[second], data.period)
            energies.append(energy)
            rows.append(-change / (value * slope))
        return np.array(energies), np.array(rows)


def _place(data: TimeCorrelators, time: float) -> int:
    near = int(np.argmin(np.abs(data.times - time)))
    if abs(data.times[near] - time) > 1e-6 * max(1.0, abs(time)):
        raise ValueError(f"expected a time among {data.times.tolist()}, got {time}; try {data.times[near]:g}")
    return near
