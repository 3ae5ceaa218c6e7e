"""The gap as the slowest of a few exponentials, G(t) = sum_k A_k e^(-E_k t) with A_k > 0, fitted with the covariance.

Least squares in the metric of the covariance; in a box e^(-E(L - t)) is added to each. From four evenly spaced times
two exponentials solve the equations, which is Prony's method. Whether the second is there is decided by chi2: where it
is not resolved the fit is one exponential, and what a second one at three times its energy (the lowest odd state above
a weakly coupled particle) would change is the bias, which goes into the error.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from ...models.refusals import is_whole
from ...models.types import Matrix, Vector
from .gap import AbstractGapMethod, Gap
from .lagged import TimeCorrelators, check_positive

__all__ = ["Exponentials", "Problem"]

_RATIOS = (1.3, 1.7, 2.3, 3.0, 4.0, 6.0, 10.0)  # of the second energy to the first, where a fit begins
_RESOLVED = 12.0  # fall of chi2 by two more numbers: once in 400 fits of noise
_ROUNDING = 1e-10  # of G, which exact correlators are good to
_STEEP = 300.0  # of an exponent that a step of the fit may try
_THRESHOLD = 3.0  # of an odd state above a particle, in its energy


class _Fit(NamedTuple):
    """Amplitudes and energies, lowest first, their covariance in that order, and the squared distance."""

    amplitudes: Vector
    energies: Vector
    covariance: Matrix
    chi2: float

    @property
    def errors(self) -> Vector:
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True)
class Exponentials(AbstractGapMethod):
    """One or two exponentials fitted to the correlator of one operator.

    Args:
        count: exponentials, 1 or 2; of two the second is given up where the data do not resolve it.
        operator: which of the operators of the data.

    Example, four times of the oscillator at lambda = 6, whose gap is 1.4050391343:
        >>> from nnft import models as m
        >>> times = np.array([0.5, 1.0, 1.5, 2.0])
        >>> exact = TimeCorrelators.given(times, m.Oscillator(quartic=6.0).correlator(times))
        >>> print(Exponentials().gap(exact))
        gap 1.405039136 by two exponentials at 4 times from 0.5 to 2
    """

    count: int = 2
    operator: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.count, 1) or self.count > 2:
            raise ValueError(f"expected one exponential or two, got {self.count!r}; try count=2")

    def gap(self, data: TimeCorrelators) -> Gap:
        """The slowest energy of the fit.

        Raises:
            ValueError: too few times; G(t) that is not positive by three errors; a second weight that is clearly
                negative; one exponential that does not fit, where one was asked for or two are not resolved.
        """
        if not is_whole(self.operator, 0) or self.operator >= data.values.shape[1]:
            raise ValueError(f"expected an operator below {data.values.shape[1]}, got {self.operator!r}; try 0")
        problem = Problem.of(data, self.operator)
        if len(problem.times) < 2 * self.count:
            raise ValueError(
                f"expected at least {2 * self.count} times for {self.count} exponentials, got {len(problem.times)}; "
                "try more times, or count=1"
            )
        one = problem.fit(())
        if self.count == 2 and (two := self._second(problem, one)) is not None:
            return problem.answer("two exponentials", two, 2.0 * two.energies[1] - two.energies[0], widen=False)
        name = "one exponential" if self.count == 1 else "one exponential (a second one is not resolved)"
        return problem.answer(name, one, _THRESHOLD * one.energies[0], widen=True)

    def _second(self, problem: "Problem", one: _Fit) -> _Fit | None:
        """Two exponentials, or None where the data do not tell them from one."""
        small = _ROUNDING**2 * len(problem.times) if problem.exact else _RESOLVED
        if one.chi2 <= small:
            return None
        begins = sorted(_RATIOS, key=lambda ratio: problem.distance(one.energies[0] * np.array([0.98, ratio])))
        tried = [problem.fit((ratio * one.energies[0],)) for ratio in (begins if problem.exact else begins[:2])]
        two = min(tried, key=lambda fit: fit.chi2)
        if one.chi2 - two.chi2 <= small:
            return None
        weight, error = two.amplitudes[1], two.errors[1]
        if two.energies[0] <= 0.0:
            raise ValueError(
                f"expected a correlator that falls at late times, got one that needs the energy {two.energies[0]:.3g}; "
                "try period= where it lives in a box, or earlier times"
            )
        if weight <= 0.0:
            raise ValueError(
                f"expected spectral weights that are positive, got {weight:.3g} +- {error:.2g} at energy "
                f"{two.energies[1]:.4g}, without which chi2 rises by {one.chi2 - two.chi2:.3g}; try later times (a "
                "cutoff spoils the first), or the covariance again"
            )
        return two


@dataclass(frozen=True, eq=False)
class Problem:
    """G at some times, and the matrix that makes its errors independent and of size one."""

    times: Vector
    values: Vector
    whiten: Matrix
    period: float
    exact: bool
    data: TimeCorrelators

    @classmethod
    def of(cls, data: TimeCorrelators, operator: int, *, positive: bool = True) -> "Problem":
        g, rows = data.values[:, operator, operator], data.rows[:, :, operator, operator]
        error = data.errors[:, operator, operator]
        if positive:
            check_positive(data.times, g, error)
        if data.exact:
            return cls(data.times, g, np.diag(1.0 / g), data.period, True, data)
        if np.any(error == 0.0) or len(rows) < len(g):
            raise ValueError(
                f"expected errors of all {len(g)} times from at least as many rows, got {len(rows)} rows and errors "
                f"from {error.min():.2g}; try leaving out times without an error, or more networks"
            )
        values, vectors = np.linalg.eigh((rows.T @ rows) / np.outer(error, error))
        if values[0] < 1e-12 * values[-1]:
            raise ValueError(
                f"expected errors that are not copies of each other, got correlations with eigenvalue {values[0]:.2g}; "
                "try fewer times"
            )
        return cls(data.times, g, (vectors / np.sqrt(values)).T / error, data.period, False, data)

    def fit(self, others: tuple[float, ...], fixed: tuple[float, ...] = ()) -> _Fit:
        """Free exponentials, the first from the fall at late times, the others from where they are said to begin.

        The covariance is of the free ones; `fixed` are energies whose amplitudes are free.
        """
        free = 1 + len(others)
        fall = np.log(self.values[-2] / self.values[-1]) / (self.times[-1] - self.times[-2])
        start = np.array([max(fall, 0.1 / self.times[-1]), *others])

        def parts(numbers: Vector) -> tuple[Float[np.ndarray, "time state"], Float[np.ndarray, "time state"]]:
            return self._states(np.concatenate([numbers[free + len(fixed) :], fixed]))

        def residual(numbers: Vector) -> Vector:
            return self.whiten @ (parts(numbers)[0] @ numbers[: free + len(fixed)] - self.values)

        def jacobian(numbers: Vector) -> Matrix:
            states, slopes = parts(numbers)
            return self.whiten @ np.concatenate([states, (slopes * numbers[: free + len(fixed)])[:, :free]], axis=1)

        slope: Any = jacobian  # which the stub of scipy takes for a word
        states, _ = self._states(np.concatenate([start, fixed]))
        amplitudes = np.linalg.lstsq(self.whiten @ states, self.whiten @ self.values, rcond=None)[0]
        found = least_squares(
            residual, np.concatenate([amplitudes, start]), jac=slope, method="lm", x_scale="jac", xtol=1e-15,
            ftol=1e-15, gtol=1e-15, max_nfev=400,
        )  # fmt: skip
        numbers = found.x
        order = np.argsort(numbers[free + len(fixed) :])
        places = np.concatenate([order, free + len(fixed) + order])
        inverse = np.zeros((len(numbers), len(numbers))) if self.exact else np.linalg.pinv(found.jac.T @ found.jac)
        covariance = inverse[np.ix_(places, places)]
        return _Fit(numbers[order], numbers[free + len(fixed) + order], covariance, 2.0 * float(found.cost))

    def distance(self, energies: Vector) -> float:
        """chi2 of the best amplitudes at given energies."""
        states = self.whiten @ self._states(energies)[0]
        wanted = self.whiten @ self.values
        return float(np.sum((states @ np.linalg.lstsq(states, wanted, rcond=None)[0] - wanted) ** 2))

    def _states(self, energies: Vector) -> tuple[Float[np.ndarray, "time state"], Float[np.ndarray, "time state"]]:
        """e^(-E t), in a box its mirror image added, and its derivative in E."""
        t = self.times[:, None]
        forth = np.exp(np.minimum(-energies * t, _STEEP))
        if np.isinf(self.period):
            return forth, -t * forth
        back = np.exp(np.minimum(-energies * (self.period - t), _STEEP))
        return forth + back, -t * forth - (self.period - t) * back

    def answer(self, name: str, fit: _Fit, next_energy: float, *, widen: bool) -> Gap:
        """The gap of a fit, with the shift that one more state at a given energy would make."""
        count = len(fit.energies)
        error, bias, bias_error = float(fit.errors[count]), float("nan"), float("nan")
        if len(self.times) > 2 * count:
            more = self.fit(tuple(fit.energies[1:]), fixed=(float(next_energy),))
            bias = float(fit.energies[0] - more.energies[0])
            bias_error = float(np.sqrt(max(0.0, more.covariance[count, count] - error**2)))
        elif widen and not self.exact:
            raise ValueError(
                f"expected at least {2 * count + 1} times to see what a second exponential would change, got "
                f"{len(self.times)}; try more times"
            )
        total = float(np.sqrt(error**2 + bias**2 + bias_error**2)) if widen and np.isfinite(bias) else error
        dof = len(self.times) - 2 * count
        how = f"{name} at {len(self.times)} times from {self.times[0]:g} to {self.times[-1]:g}"
        chi2 = float("nan") if self.exact or not dof else fit.chi2
        errors = np.concatenate([[total], fit.errors[count + 1 :]])
        weights, weight_errors = self.weights(fit)
        return Gap(float(fit.energies[0]), 0.0 if self.exact else total, how, fit.energies, errors,
                   bias, bias_error, chi2, 0 if self.exact else dof,
                   weights, weight_errors)  # fmt: skip

    def weights(self, fit: _Fit) -> tuple[Vector, Vector]:
        """Amplitudes as they were before levels were taken out, with errors that know those of the energies."""
        count, step = len(fit.energies), 1e-6 * fit.energies
        share = self.data.share(fit.energies)
        slope = (1.0 / self.data.share(fit.energies + step) - 1.0 / self.data.share(fit.energies - step)) / (2.0 * step)
        rows = np.hstack([np.diag(1.0 / share), np.diag(fit.amplitudes * slope)])
        variance = np.einsum("ki,ij,kj->k", rows, fit.covariance[: 2 * count, : 2 * count], rows)
        return fit.amplitudes / share, np.sqrt(variance)
