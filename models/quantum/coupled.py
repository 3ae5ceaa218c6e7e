"""Two anharmonic oscillators coupled by x^2 y^2: two scalar fields in one dimension, and O(2) where they are alike.

H = (p_x^2 + p_y^2)/2 + m_1 x^2/2 + m_2 y^2/2 + l_1 x^4/4! + l_2 y^4/4! + (kappa/4) x^2 y^2, O(2) symmetric where m_1 =
m_2 and l_1 = l_2 = 3 kappa. With l_1 = l_2 = kappa and equal masses it falls apart into two oscillators of quartic 2 l
along x + y and x - y. Diagonalised in products of harmonic functions, in four blocks of the parities of x and y.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from .diagonalised import AbstractOscillator
from .levels import Levels, block_levels
from .potential import EvenPotential, coefficients, finite, kinetic, position

__all__ = ["CoupledOscillators"]


@dataclass(frozen=True)
class CoupledOscillators(AbstractOscillator):
    """Two coordinates with an x^2 y^2 coupling, and their exact numbers.

    Args:
        mass2: (m_1, m_2) in m_i x_i^2/2, or one number for both.
        quartic: (l_1, l_2) in l_i x_i^4/24, or one number for both.
        coupling: kappa in (kappa/4) x^2 y^2; O(2) at kappa = quartic/3.
        beta: length of the periodic imaginary time; infinite for the ground state.
        accuracy: how near two bases must come, relative to the number that is asked for.

    Raises:
        ValueError: a potential unbounded below, or flat along a line, with the number that decides; numbers that two
            bases disagree on.

    >>> pair = CoupledOscillators(quartic=6.0, coupling=2.0)
    >>> print(f"{pair.ground_energy:.10f} {pair.gap:.10f} {pair.moment(2, 0):.10f}")
    1.2992202152 1.4957920309 0.3333593757
    >>> print(f"{pair.connected(np.zeros(4), fields=(0, 0, 1, 1)):.10f}")
    -0.0057115628
    """

    mass2: float | tuple[float, float] = 1.0
    quartic: float | tuple[float, float] = 0.0
    coupling: float = 0.0
    sizes: ClassVar[tuple[int, ...]] = (12, 18, 26, 34, 44)
    fields: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mass2", "quartic"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        object.__setattr__(self, "coupling", finite("coupling", self.coupling))
        (l1, l2), kappa = self.quartics, self.coupling
        for m, quartic, name in zip(self.masses, self.quartics, ("x", "y"), strict=True):
            if quartic < 0.0 or (quartic == 0.0 and m <= 0.0):
                raise ValueError(
                    f"expected a potential that rises along {name}, got quartic {quartic:g} with mass2 {m:g}; try "
                    "quartic=1.0"
                )
        least = -np.sqrt(l1 * l2) / 3.0
        if kappa < least or (kappa == least and kappa < 0.0):
            raise ValueError(
                f"expected a potential bounded below, coupling > -sqrt(l_1 l_2)/3 = {least:g}, got {kappa:g}; try "
                f"coupling={0.5 * least or 0.0:g}"
            )

    @property
    def masses(self) -> tuple[float, float]:
        """(m_1, m_2)."""
        return _pair("mass2", self.mass2)

    @property
    def quartics(self) -> tuple[float, float]:
        """(l_1, l_2)."""
        return _pair("quartic", self.quartic)

    @property
    def bottom(self) -> float:
        """Of the lowest points: the origin, on an axis, or off both, where the two quadratic equations meet."""
        (m1, m2), (l1, l2), kappa = self.masses, self.quartics, self.coupling
        found = [0.0] + [-1.5 * m**2 / v for m, v in zip(self.masses, self.quartics, strict=True) if m < 0.0]
        form = np.array([[l1 / 6.0, kappa / 2.0], [kappa / 2.0, l2 / 6.0]])  # V = (m.u)/2 + u.form.u/4, u = (x^2, y^2)
        if abs(np.linalg.det(form)) > 0.0:
            u = -np.linalg.solve(form, (m1, m2))
            if np.all(u > 0.0):
                found.append(float(np.dot((m1, m2), u) / 4.0))
        return min(found)

    @property
    def formula(self) -> str:
        (m1, m2), (l1, l2) = self.masses, self.quartics
        terms = f"{m1 / 2:.6g} x^2 + {m2 / 2:.6g} y^2 + {l1 / 24:.6g} x^4 + {l2 / 24:.6g} y^4 + {self.coupling / 4:.6g}"
        return f"{terms} x^2 y^2".replace("+ -", "- ")

    def levels(self, size: int) -> Levels:
        return _levels(self.masses, self.quartics, self.coupling, size)


@lru_cache(maxsize=6)
def _levels(masses: tuple[float, float], quartics: tuple[float, float], coupling: float, size: int) -> Levels:
    """Blocks (even, even), (odd, even), (even, odd), (odd, odd) of products of harmonic functions."""
    single, square, place = [], [], []
    for m, quartic in zip(masses, quartics, strict=True):
        well = EvenPotential(coefficients({2: m / 2.0, 4: quartic / 24.0}))
        w = well.frequency(size)
        single.append(kinetic(size, w) + well.matrix(size, w))
        square.append(EvenPotential(((2, 1.0),)).matrix(size, w))
        place.append(position(size, w))
    parts = (np.arange(0, size, 2), np.arange(1, size, 2))
    blocks = []
    for second in parts:
        for first in parts:
            (h1, q1), (h2, q2) = (
                (single[f][np.ix_(part, part)], square[f][np.ix_(part, part)]) for f, part in ((0, first), (1, second))
            )
            free = np.kron(h1, np.eye(len(second))) + np.kron(np.eye(len(first)), h2)
            blocks.append(free + 0.25 * coupling * np.kron(q1, q2))
    hop_x, hop_y = (x[np.ix_(*parts)] for x in place)
    ones = [np.eye(len(part)) for part in parts]
    hops = [
        {(0, 1): np.kron(hop_x, ones[0]), (2, 3): np.kron(hop_x, ones[1])},
        {(0, 2): np.kron(ones[0], hop_y), (1, 3): np.kron(ones[1], hop_y)},
    ]
    return block_levels(blocks, hops, size)


def _pair(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    """Two numbers, from one or two."""
    try:
        many = np.broadcast_to(np.asarray(value, dtype=float), (2,))
    except (TypeError, ValueError):
        raise ValueError(f"expected {name} as one number or two, got {value!r}; try {name}=(1.0, 1.0)") from None
    return finite(f"{name}[0]", many[0]), finite(f"{name}[1]", many[1])
