"""The gap as a generalised eigenvalue: C(t) v = l(t, t0) C(t0) v, whose l are the decays of the lowest states.

With as many operators as states C(t) = psi diag(e^(-E t)) psi^T and l_k = e^(-E_k (t - t0)) exactly; further states
change E_1 by e^(-(E_(N+1) - E_1) t0) only, N the number of operators (M. Luescher and U. Wolff, Nucl. Phys. B339 (1990)
222; B. Blossier et al., JHEP 04 (2009) 094). In a box cosh(E(t - L/2)) takes the place of the exponential, and l is a
ratio of two. Errors are linear: dl = v.(dC(t) - l dC(t0)).v for v.C(t0).v = 1. Operators that noise does not tell from
those before them at t0 are left out, and it is said.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ...models.types import Matrix, Vector
from .gap import AbstractGapMethod, Gap
from .lagged import TimeCorrelators, energy_of_ratio

__all__ = ["Gevp"]

_SIGMA = 3.0  # errors by which the largest eigenvalues of C(t0) and of the problem have to be positive
_CLEAR = 10.0  # errors of the smallest eigenvalue of several operators: its noise must not look like a slow decay
_ROUNDING = 1e-12  # of operators of unit size


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
            ValueError: times that the data do not have; C(t0) that is not positive by three errors in any direction; a
                largest eigenvalue that does not fall between 0 and 1.
        """
        first, second = self._places(data)
        energies, rows, weights, weight_rows = self._energies(data, first, second)
        errors = np.sqrt(np.sum(rows**2, axis=1))
        bias = bias_error = float("nan")
        later = second + 1 < len(data.times)
        if later:
            try:
                following, moved, *_ = self._energies(data, first + 1, second + 1)
                bias, bias_error = float(energies[0] - following[0]), float(np.linalg.norm(rows[0] - moved[0]))
            except ValueError:  # noise only, one step later
                later = False
        used, given = self._resolved(data, first), data.values.shape[1]
        seen = f"{given} operator{'s' if given > 1 else ''}"
        seen = seen if used == given else f"the first {used} of {seen}, which noise does not tell apart"
        how = f"GEVP of {seen}, t0 = {data.times[first]:g}, t = {data.times[second]:g}"
        weight_errors = np.sqrt(np.sum(weight_rows**2, axis=1))
        return Gap(
            float(energies[0]), float(errors[0]), how, energies, errors, bias, bias_error,
            weights=weights, weight_errors=weight_errors,
        )  # fmt: skip

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

    def _energies(self, data: TimeCorrelators, first: int, second: int) -> tuple[Vector, Matrix, Vector, Matrix]:
        """Energies, lowest first, and weights of the first operator, each with the rows of its covariance.

        States lost in noise are left out. psi = C(t0) v e^(E t0/2) is what an operator has of a state; dv mixes in the
        other vectors, v_l.(dC(t) - l_k dC(t0)).v_k/(l_k - l_l), and keeps v.C(t0).v = 1.
        """
        used = self._resolved(data, first)
        start, later = (data.values[k, :used, :used] for k in (first, second))
        start_rows, later_rows = (data.rows[:, k, :used, :used] for k in (first, second))
        values, vectors = eigh(later, start)
        seen = (start @ vectors)[0]  # of the first operator in every state
        found: list[tuple[float, Vector, float, Vector]] = []
        for k in range(used)[::-1]:
            value, v = float(values[k]), vectors[:, k]
            mixed = np.einsum("il,rij,j->rl", vectors, later_rows - value * start_rows, v)
            change = mixed[:, k]
            if value <= _SIGMA * np.linalg.norm(change) or value >= 1.0:
                if not found:
                    raise ValueError(
                        f"expected a largest eigenvalue between 0 and 1 by {_SIGMA:g} errors, got {value:.3g} +- "
                        f"{np.linalg.norm(change):.2g} from t0 = {data.times[first]:g} to t = {data.times[second]:g}; "
                        "try earlier times or more networks"
                    )
                break
            energy, slope = energy_of_ratio(1.0 / value, data.times[first], data.times[second], data.period)
            moved = -change / (value * slope)
            apart = np.where(np.arange(used) == k, np.inf, value - values)
            turned = mixed / apart
            turned[:, k] = -0.5 * np.einsum("i,rij,j->r", v, start_rows, v)
            psi = np.einsum("rj,j->r", start_rows[:, 0], v) + turned @ seen
            size, fall = _wave(data, energy, data.times[first])
            weight = float(seen[k] ** 2 / size)
            found.append((energy, moved, weight, 2.0 * seen[k] * psi / size - weight * fall * moved))
        energies, rows, weights, weight_rows = (np.array(part) for part in zip(*found, strict=True))
        return energies, rows, weights, weight_rows

    def _resolved(self, data: TimeCorrelators, first: int) -> int:
        """How many of the operators, from the first on, are clearly different from each other at t0.

        Not the combinations that are: the largest eigenvector of C(t0) mixes all operators, and sees more of the higher
        states than the first operator alone.
        """
        count = data.values.shape[1]
        scale = np.sqrt(np.abs(np.einsum("ii->i", data.values[first])))
        for used in range(count, 0, -1):
            part = data.values[first, :used, :used] / np.outer(scale[:used], scale[:used])
            sizes, directions = np.linalg.eigh(part)
            spans = directions[:, 0] / scale[:used]
            spread = float(np.linalg.norm(np.einsum("i,rij,j->r", spans, data.rows[:, first, :used, :used], spans)))
            if sizes[0] > max((_CLEAR if used > 1 else _SIGMA) * spread, _ROUNDING):
                return used
        raise ValueError(
            f"expected C(t0) positive by {_SIGMA:g} errors, got {sizes[0]:.2g} +- {spread:.2g} for the first operator "
            f"(of unit size) at t0 = {data.times[first]:g}; try an earlier t0 or more networks"
        )


def _wave(data: TimeCorrelators, energy: float, time: float) -> tuple[float, float]:
    """What a state of weight one adds to the correlator at a time, and the logarithm's slope in its energy."""

    def log(e: float) -> float:
        wave = np.exp(-e * time) + (0.0 if np.isinf(data.period) else np.exp(-e * (data.period - time)))
        return float(np.log(wave * np.abs(data.share(np.array([e]))[0])))

    step = 1e-6 * max(energy, 1e-6)
    return float(np.exp(log(energy))), (log(energy + step) - log(energy - step)) / (2.0 * step)


def _place(data: TimeCorrelators, time: float) -> int:
    near = int(np.argmin(np.abs(data.times - time)))
    if abs(data.times[near] - time) > 1e-6 * max(1.0, abs(time)):
        raise ValueError(f"expected a time among {data.times.tolist()}, got {time}; try {data.times[near]:g}")
    return near
