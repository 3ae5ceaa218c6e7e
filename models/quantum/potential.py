"""An even polynomial potential in one coordinate: whether it binds, and its matrix between oscillator functions.

V(x) = sum_p v_p x^p, p = 0, 2, 4, .. The n lowest eigenfunctions of p^2/2 + w^2 x^2/2 reach out to x^2 = 2n/w and
p^2 = 2nw, so they serve best where both edges cost the same energy, V(x_edge) - min V = n w: a harmonic V gives back
its own frequency, v_4 x^4 gives w = (4 n v_4)^(1/3). Matrix elements of polynomials in x and p between them are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import root_scalar

from ..types import Matrix

__all__ = ["EvenPotential", "coefficients", "kinetic", "position"]

_HIGHEST = 12  # power of x: beyond it the bases below no longer converge to ten digits


@dataclass(frozen=True)
class EvenPotential:
    """V(x) = sum_p v_p x^p with even p, bounded below and rising at large x.

    Attributes:
        terms: (p, v_p) in order of p, without zeros.

    Raises:
        ValueError: a potential that does not rise at large x, with the coefficient that decides.

    >>> EvenPotential(((2, -0.5), (4, 0.25))).minimum
    -0.25
    """

    terms: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        power, last = self.terms[-1] if self.terms else (0, 0.0)
        if power == 0 or last <= 0.0:
            got = f"{last:g} x^{power}" if power else "a constant"
            raise ValueError(
                f"expected a potential that rises at large x, got {got} as its highest term; try a positive "
                f"coefficient of x^{power}, or a small one of x^{power + 2}"
            )

    def __call__(self, x: Any) -> Any:
        """V at x, of any shape."""
        return sum(v * np.asarray(x, dtype=float) ** p for p, v in self.terms)

    @property
    def minimum(self) -> float:
        """The lowest value of V."""
        highest = self.terms[-1][0]
        slope = np.zeros(highest // 2)  # dV/d(x^2), lowest power first
        for p, v in self.terms:
            if p:
                slope[p // 2 - 1] = v * p / 2
        roots = np.roots(slope[::-1])
        squares = [0.0, *(r.real for r in roots if abs(r.imag) < 1e-9 * abs(r) and r.real > 0.0)]
        return float(min(self(np.sqrt(squares))))

    def frequency(self, size: int) -> float:
        """The w of which `size` oscillator functions serve this potential best."""
        low = self.minimum

        def excess(log_w: float) -> float:
            w = np.exp(log_w)
            rise = float(self(np.sqrt(2.0 * size / w))) - low
            return float(np.log(max(rise, np.finfo(float).tiny)) - np.log(size * w))

        return float(np.exp(root_scalar(excess, bracket=(-60.0, 60.0), xtol=1e-8).root))

    def matrix(self, size: int, frequency: float) -> Matrix:
        """<i|V|j> between oscillator functions, (size, size), exact: the powers are taken in a larger basis."""
        x = position(size + self.terms[-1][0], frequency)
        square, power, total, at = x @ x, np.eye(len(x)), np.zeros((size, size)), 0
        for p, v in self.terms:
            for _ in range((p - at) // 2):
                power = power @ square
            total, at = total + v * power[:size, :size], p
        return total


def position(size: int, frequency: float) -> Matrix:
    """<i|x|j> between oscillator functions of a frequency, (size, size).

    >>> (position(3, 0.5) ** 2).round(12).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 0.0]]
    """
    step = np.sqrt(np.arange(1, size) / (2.0 * frequency))
    return np.diag(step, 1) + np.diag(step, -1)


def kinetic(size: int, frequency: float) -> Matrix:
    """<i|p^2/2|j> between oscillator functions of a frequency, (size, size).

    >>> kinetic(3, 4.0).diagonal().tolist()
    [1.0, 3.0, 5.0]
    """
    n = np.arange(size)
    off = -0.25 * frequency * np.sqrt((n[:-2] + 1.0) * (n[:-2] + 2.0))
    return np.diag(0.25 * frequency * (2.0 * n + 1.0)) + np.diag(off, 2) + np.diag(off, -2)


def coefficients(potential: Any) -> tuple[tuple[int, float], ...]:
    """(p, v_p) in order from a mapping power -> coefficient; zeros are left out.

    Raises:
        ValueError: no mapping, an odd, negative or too high power, a coefficient that is no finite number.

    >>> coefficients({4: 0.25, 2: 0.5, 6: 0})
    ((2, 0.5), (4, 0.25))
    """
    advice = "try potential={2: 0.5, 4: 0.25}"
    if not isinstance(potential, Mapping):
        raise ValueError(f"expected a potential as power -> coefficient, got {type(potential).__name__}; {advice}")
    found = []
    for power, value in potential.items():
        whole = isinstance(power, int | np.integer) and not isinstance(power, bool)
        if not whole or power % 2 or not 0 <= power <= _HIGHEST:
            raise ValueError(f"expected even powers of x from 0 to {_HIGHEST}, got {power!r}; {advice}")
        found.append((int(power), finite(f"the coefficient of x^{power}", value)))
    return tuple(sorted((p, v) for p, v in found if v))


def finite(name: str, value: Any) -> float:
    """A number as a float.

    Raises:
        ValueError: no number, or not a finite one.
    """
    try:
        given = float(value)
    except (TypeError, ValueError):
        given = np.nan
    if not np.isfinite(given):
        raise ValueError(f"expected {name} to be a finite number, got {value!r}; try 1.0")
    return given
