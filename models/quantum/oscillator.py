"""The anharmonic oscillator, phi^4 in one dimension: its numbers to twelve digits without a draw.

H = p^2/2 + V(x), hbar = mass = 1, V(x) = mass2 x^2/2 + quartic x^4/4! or any even polynomial; a negative mass2 makes a
double well. Diagonalised between the eigenfunctions of a harmonic oscillator (C. M. Bender and T. T. Wu, Phys. Rev. 184
(1969) 1231, whose x^4/4 is quartic = 6).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from .diagonalised import AbstractOscillator
from .levels import Levels, block_levels
from .potential import EvenPotential, coefficients, finite, kinetic, position

__all__ = ["Oscillator"]


@dataclass(frozen=True)
class Oscillator(AbstractOscillator):
    """One coordinate in an even polynomial potential, and its exact numbers.

    Args:
        mass2: m^2 in V = m^2 x^2/2 + quartic x^4/24; one where it is left out. Negative with a positive quartic.
        quartic: lambda of the convention lambda/4!; zero where it is left out.
        potential: power -> coefficient of V itself, in place of the two: {2: 0.5, 4: 0.25} is mass2=1, quartic=6.
        beta: length of the periodic imaginary time; infinite for the ground state.
        accuracy: how near two bases must come, relative to the number that is asked for.

    Raises:
        ValueError: a potential unbounded below or flat at large x, with the coefficient that decides; odd powers, or
            powers above 12; both ways to give a potential; numbers that two bases disagree on.

    >>> oscillator = Oscillator(quartic=6.0)
    >>> print(f"{oscillator.ground_energy:.10f} {oscillator.gap:.10f} {oscillator.moment(2):.10f}")
    0.6209270298 1.4050391343 0.3548402512
    >>> print(f"{oscillator.correlator(1.0):.10f} {oscillator.connected([0.0, 0.0, 1.0, 1.0]):.12f}")
    0.0869660220 -0.004643202128
    >>> print(f"{Oscillator(potential={2: 0.5, 4: 0.25}, beta=4.0).log_partition:.10f}")
    -2.4800861043
    """

    mass2: float | None = None
    quartic: float | None = None
    potential: Mapping[int, float] | None = field(default=None, hash=False)
    sizes: ClassVar[tuple[int, ...]] = (24, 36, 54, 81, 122, 183, 274, 411, 617)
    fields: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.potential is not None and (self.mass2 is not None or self.quartic is not None):
            raise ValueError(
                f"expected mass2 and quartic or a potential, got mass2={self.mass2}, quartic={self.quartic} and "
                f"potential={self.potential}; try potential= alone, with its terms of power 2 and 4"
            )
        if self.potential is not None:
            object.__setattr__(self, "potential", dict(coefficients(self.potential)))
        else:
            object.__setattr__(self, "mass2", finite("mass2", 1.0 if self.mass2 is None else self.mass2))
            object.__setattr__(self, "quartic", finite("quartic", 0.0 if self.quartic is None else self.quartic))
        self.well  # noqa: B018  refuses what is not bounded below

    @property
    def well(self) -> EvenPotential:
        """The potential V(x), which can be called."""
        if self.potential is not None:
            return EvenPotential(coefficients(self.potential))
        return EvenPotential(coefficients({2: (self.mass2 or 0.0) / 2.0, 4: (self.quartic or 0.0) / 24.0}))

    @property
    def bottom(self) -> float:
        return self.well.minimum

    @property
    def formula(self) -> str:
        terms = [f"{v:.6g} x^{p}" if p else f"{v:.6g}" for p, v in self.well.terms]
        return " + ".join(terms).replace("+ -", "- ")

    def levels(self, size: int) -> Levels:
        return _levels(self.well, size)


@lru_cache(maxsize=32)
def _levels(well: EvenPotential, size: int) -> Levels:
    """Even and odd states apart, so that the splitting of two deep wells keeps its digits."""
    w = well.frequency(size)
    hamiltonian = kinetic(size, w) + well.matrix(size, w)
    even, odd = np.arange(0, size, 2), np.arange(1, size, 2)
    hop = position(size, w)[np.ix_(even, odd)]
    return block_levels([hamiltonian[np.ix_(part, part)] for part in (even, odd)], [{(0, 1): hop}], size)
