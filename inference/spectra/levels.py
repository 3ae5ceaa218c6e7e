"""Energies and weights as they are believed after a fit, and the two-point function in real time that follows.

A level E with weight rho is rho exp(-E t) in Euclidean time and rho exp(-i E t) in real time, so that G(i t) of each
draw is a sum of waves: what a Euclidean correlator hardly fixes, the high levels, makes the band at late times wide.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from ...models.quantum.spectrum import Spectrum
from ...models.refusals import is_whole
from ...models.types import Vector

__all__ = ["Levels", "RealTime", "weighted_quantiles"]

_FAINT = 1e-10  # share of all weights below which a level does not show
_TURNED = 1e-8 / float(np.finfo(float).eps)  # E t of a phase that double precision knows to eight digits


@dataclass(frozen=True, eq=False)
class RealTime:
    """G(i t) = <phi(t) phi(0)> at real times, with bands.

    Attributes:
        times: (time,).
        values: the mean, (time,).
        low: lower ends of the bands of real and imaginary part, as one complex number, (time,).
        high: upper ends, (time,); both are the values where the spectrum is exact.
        level: of the bands; one where they bound, or where there are none.
        words: where it comes from.

    Raises:
        ValueError: times that are none, or at which the phases E t have no eight digits left.
    """

    times: Vector
    values: Complex[np.ndarray, " time"]
    low: Complex[np.ndarray, " time"] = field(repr=False)
    high: Complex[np.ndarray, " time"] = field(repr=False)
    level: float
    words: str

    @classmethod
    def of_spectrum(cls, spectrum: Spectrum, times: Any, words: str) -> "RealTime":
        """Of energies and weights that are known; ValueError of times as above.

        >>> RealTime.of_spectrum(Spectrum(np.array([1.0]), np.array([0.5])), [np.pi], "one level").values.round(9)
        array([-0.5-0.j])
        """
        t = _times(times)
        seen = spectrum.energies[spectrum.weights > _FAINT * np.sum(spectrum.weights)]
        turned = float(np.max(np.abs(t), initial=0.0)) * float(np.max(np.abs(seen), initial=0.0))
        if turned > _TURNED:
            raise ValueError(
                f"expected real times whose phases E t are known to eight digits, E t up to {_TURNED:.0e}, got "
                f"{turned:.3g}; try times nearer to zero"
            )
        values = spectrum.real_time(t)
        return cls(t, values, values, values, 1.0, words)

    @property
    def exact(self) -> bool:
        """Whether there is no band."""
        return bool(np.array_equal(self.low, self.high))

    def __str__(self) -> str:
        lines = [f"G(it) = <phi(t) phi(0)>, {self.words}"]
        for t, value, low, high in zip(self.times, self.values, self.low, self.high, strict=True):
            within = f"{self.level:.0%}:" if self.level < 1.0 else "within"
            band = "" if self.exact else (
                f"   {within} {low.real:.4g} to {high.real:.4g}, {low.imag:.4g}i to {high.imag:.4g}i"
            )  # fmt: skip
            lines.append(f"t = {t:g}: {value.real:.10g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.10g}i{band}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Levels:
    """Weighted draws of energies and weights.

    Attributes:
        energies: (draw, state), lowest first; those that are known come first and are the same in every draw.
        weights: rho, (draw, state).
        shares: weights of the draws, which sum to one, (draw,).
        known: how many of the states were known.
        words: how they were found.

    Raises:
        ValueError: shapes that do not fit.
    """

    energies: Float[np.ndarray, "draw state"] = field(repr=False)
    weights: Float[np.ndarray, "draw state"] = field(repr=False)
    shares: Float[np.ndarray, " draw"] = field(repr=False)
    known: int
    words: str

    def __post_init__(self) -> None:
        if self.energies.shape != self.weights.shape or self.shares.shape != self.energies.shape[:1]:
            raise ValueError(
                f"expected energies and weights (draw, state) and shares (draw,), got {self.energies.shape}, "
                f"{self.weights.shape} and {self.shares.shape}; try one row a draw"
            )

    @property
    def effective_draws(self) -> float:
        """As how many equal draws they count, 1/sum of squared shares."""
        return 1.0 / float(np.sum(self.shares**2))

    def energy(self, state: int, *, level: float = 0.95) -> tuple[float, float, float]:
        """Mean and interval of the energy of a state, (mean, low, high); state 0 is the first that was not known."""
        return self._summary(self.energies, state, level)

    def weight(self, state: int, *, level: float = 0.95) -> tuple[float, float, float]:
        """Mean and interval of its weight."""
        return self._summary(self.weights, state, level)

    def real_time(self, times: Any, *, level: float = 0.95) -> RealTime:
        """G(i t) of every draw: the mean, and a band for its real and its imaginary part.

        Raises:
            ValueError: times that are no numbers; a level that is none.

        >>> one = Levels(np.array([[1.0], [1.2]]), np.full((2, 1), 0.5), np.full(2, 0.5), 0, "two draws")
        >>> one.real_time([0.0]).values.round(9)
        array([0.5+0.j])
        """
        t = _times(times)
        edges = _edges(level)
        found, low, high = (np.empty(len(t), dtype=complex) for _ in range(3))
        for k, time in enumerate(t.tolist()):
            waves = np.sum(self.weights * np.exp(-1j * time * self.energies), axis=1)
            found[k] = self.shares @ waves
            real, imaginary = (weighted_quantiles(part, self.shares, edges) for part in (waves.real, waves.imag))
            low[k], high[k] = real[0] + 1j * imaginary[0], real[1] + 1j * imaginary[1]
        return RealTime(t, found, low, high, level, self.words)

    def _summary(self, table: np.ndarray, state: int, level: float) -> tuple[float, float, float]:
        if not is_whole(state, 0) or self.known + state >= table.shape[1]:
            raise ValueError(
                f"expected a state below {table.shape[1] - self.known}, those that were not known, got {state!r}; try 0"
            )
        column = table[:, self.known + state]
        low, high = weighted_quantiles(column, self.shares, _edges(level)).tolist()
        return float(self.shares @ column), low, high


def weighted_quantiles(values: Vector, shares: Vector, at: Vector) -> Vector:
    """Quantiles of weighted numbers.

    >>> weighted_quantiles(np.array([3.0, 1.0, 2.0]), np.full(3, 1 / 3), np.array([0.5])).tolist()
    [2.0]
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(shares[order]) - 0.5 * shares[order]
    return np.asarray(np.interp(at, reached, values[order]))


def _edges(level: float) -> Vector:
    if not 0.0 < level < 1.0:
        raise ValueError(f"expected a level between 0 and 1, got {level!r}; try level=0.95")
    return np.array([0.5 - 0.5 * level, 0.5 + 0.5 * level])


def _times(times: Any) -> Vector:
    try:
        t = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        t = np.array([np.nan])
    if t.ndim != 1 or not np.all(np.isfinite(t)):
        raise ValueError(f"expected finite real times (time,), got {times!r}; try np.linspace(0.0, 5.0, 51)")
    return t
