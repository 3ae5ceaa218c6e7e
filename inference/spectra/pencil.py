"""Correlators made of correlators: a known level taken out, and one operator moved in time as several operators.

    D(t) = exp(-E_0 dt) G(t) - G(t + dt) = sum_k rho_k (exp(-E_0 dt) - exp(-E_k dt)) exp(-E_k t)

has no level E_0 and keeps the signs of all above it. A field that does not cluster has E_0 = 0 in G, a constant, and
without it nothing falls at late times. C_ij(t) = G(t + (i + j) dt) are the correlators of the operators phi(i dt),
which a generalised eigenvalue takes as it takes others (the pencil of functions: Y. Hua and T. K. Sarkar, IEEE Trans.
ASSP 38 (1990) 814): at t > 0 the matrix of reflection positivity.
"""

import numpy as np
from scipy.linalg import eigh

from ...models.quantum.spectrum import Spectrum
from ...models.refusals import is_whole
from .lagged import TimeCorrelators

__all__ = ["resolved", "shifted", "without_level"]

_EVEN = 1e-6  # of a step, by which times may be off an even line
_ROUNDING = 1e-14  # of exact correlators: smaller eigenvalues of their matrix are no states


def without_level(data: TimeCorrelators, energy: float = 0.0) -> TimeCorrelators:
    """The correlators without a level whose energy is known, at one time fewer.

    Args:
        data: correlators at evenly spaced times, without a period.
        energy: E_0; zero is the constant of a field that does not cluster.

    Raises:
        ValueError: times that are not even, or fewer than three; correlators in a box; an energy below zero.

    Example, a constant and the energy 1.5:
        >>> data = TimeCorrelators.given([0.0, 0.5, 1.0, 1.5], 0.3 + 0.2 * np.exp(-1.5 * np.arange(4) / 2))
        >>> without_level(data).effective_mass().values.round(12).tolist()
        [1.5, 1.5]
    """
    step = _step(data)
    if not 0.0 <= energy < np.inf:
        raise ValueError(f"expected the energy of a level, zero or more, got {energy!r}; try 0.0, a constant")
    fall = np.exp(-energy * step)
    values, rows = fall * data.values[:-1] - data.values[1:], fall * data.rows[:, :-1] - data.rows[:, 1:]
    words = f"{data.words}, without the level {energy:g}"
    return TimeCorrelators(data.times[:-1], values, rows, data.period, words, (*data.removed, float(energy)))


def shifted(data: TimeCorrelators, count: int, operator: int = 0) -> TimeCorrelators:
    """One operator at `count` successive times as so many operators, C_ij(t) = G(t + (i + j) dt).

    Args:
        data: correlators at evenly spaced times, without a period.
        count: of operators; 2 count - 2 times fewer are left.
        operator: which of the data's own is moved.

    Raises:
        ValueError: times that are not even, or too few; correlators in a box; a count or an operator that is none.

    Example, the oscillator at lambda = 6, whose gap is 1.4050391343:
        >>> from nnft import models as m
        >>> from .gevp import Gevp
        >>> times = np.arange(1, 8) * 0.5
        >>> exact = TimeCorrelators.given(times, m.Oscillator(quartic=6.0).correlator(times))
        >>> print(Gevp().gap(shifted(exact, 2)))
        gap 1.405039136 by GEVP of 2 operators, t0 = 0.5, t = 1; higher states add about +1.9e-09
    """
    _step(data)
    if not is_whole(count, 1) or 2 * count > len(data.times):
        raise ValueError(
            f"expected a number of operators up to {len(data.times) // 2}, half of the {len(data.times)} times, got "
            f"{count!r}; try fewer, or more times"
        )
    if not is_whole(operator, 0) or operator >= data.values.shape[1]:
        raise ValueError(f"expected an operator below {data.values.shape[1]}, got {operator!r}; try 0")
    left = len(data.times) - 2 * count + 2
    at = np.arange(left)[:, None, None] + np.arange(count)[:, None] + np.arange(count)
    values, rows = data.values[:, operator, operator][at], data.rows[:, :, operator, operator][:, at]
    words = f"{data.words}, moved {count} times"
    return TimeCorrelators(data.times[:left], values, rows, data.period, words, data.removed)


def resolved(data: TimeCorrelators, operator: int = 0, *, accuracy: float = 0.0) -> tuple[Spectrum, Spectrum, float]:
    """Energies and weights that exact correlators resolve: the levels of a Gauss rule of their spectral density.

    The eigenvalues of H_1 v = l H_0 v, H_s = G(t_0 + (i + j + s) dt), are exp(-E dt); the weights are positive. A sum
    of so many exponentials is recovered, of more of them the rule has the moments.

    Args:
        data: exact correlators at evenly spaced times, without a period.
        operator: which of the operators of the data.
        accuracy: absolute error of G; zero for a rounding of double precision.

    Returns:
        The levels; those of a rule of one level less, none less than one; and the share by which the next eigenvalue of
        H_0 is smaller than the last that is used: what one level more would change, in units of what the last did.

    Raises:
        ValueError: correlators with errors; times that are not even; a G(t) that is not positive or does not fall.

    Example, two levels:
        >>> times = np.arange(8) * 0.5
        >>> data = TimeCorrelators.given(times, 0.3 * np.exp(-times) + 0.1 * np.exp(-2.5 * times))
        >>> found, _, share = resolved(data)
        >>> found.energies.round(8).tolist(), found.weights.round(8).tolist(), share < 1e-9
        ([1.0, 2.5], [0.3, 0.1], True)
    """
    if not data.exact:
        raise ValueError("expected exact correlators, got errors too; try inf.Constrained().levels(data)")
    step, g = _step(data), data.values[:, operator, operator]
    half = len(g) // 2
    if not g[0] > 0.0:
        raise ValueError(f"expected G(t) positive, got {g[0]:.3g} at t = {data.times[0]:g}; try other correlators")
    at = np.add.outer(np.arange(half), np.arange(half))
    first, second = g[at] / g[0], g[at + 1] / g[0]
    sizes, axes = np.linalg.eigh(first)
    sizes, axes = sizes[::-1], axes[:, ::-1]
    count = max(1, int(np.sum(sizes > max(_ROUNDING * sizes[0], half * accuracy / g[0]))))

    def rule(states: int) -> Spectrum:
        kept = axes[:, :states] / np.sqrt(sizes[:states])
        falls, turned = eigh(kept.T @ second @ kept)
        if falls[0] <= 0.0 or falls[-1] > 1.0 + 1e-9:
            raise ValueError(
                f"expected correlators that are sums of falling exponentials, got a level that goes by {falls[0]:.3g} "
                f"to {falls[-1]:.3g} in {step:g}; try fewer times, or asking inf.positivity"
            )
        energies = -np.log(np.minimum(falls, 1.0)) / step
        seen = (first @ kept @ turned)[0] ** 2 * g[0]
        return Spectrum(energies, seen * np.exp(energies * data.times[0]) / data.share(energies))

    share = float(max(sizes[count], 0.0) / sizes[count - 1]) if count < half else 1.0
    return rule(count), rule(max(1, count - 1)), share


def _step(data: TimeCorrelators) -> float:
    """The step of times that are evenly spaced on a line."""
    if np.isfinite(data.period):
        raise ValueError(
            f"expected correlators on a line, got a box of length {data.period:g}, where a level is a cosh; try times "
            "far from half of it, without period="
        )
    steps = np.diff(data.times)
    if len(data.times) < 3 or np.ptp(steps) > _EVEN * steps.mean():
        raise ValueError(
            f"expected at least three evenly spaced times, got {data.times.tolist()}; try np.arange(1, 9) * 0.25"
        )
    return float(steps[0])
