"""A local potential V(phi) of one or two fields: an even polynomial, and what modes that are left out do to it.

Modes above a cutoff are nearly free. Averaged over their Gaussian of variance delta the potential is

    V_delta(phi) = <V(phi + eta)>,   eta ~ N(0, delta):   phi^4 -> phi^4 + 6 delta phi^2 + 3 delta^2,

that of (lambda/4!) phi^4 gains (lambda delta/4) phi^2 + lambda delta^2/8, and (kappa/4) x^2 y^2 gains (kappa delta/4)
(x^2 + y^2) + kappa delta^2/4. What is added is the counterterm: with it the low modes alone know of all modes, to first
order in delta at every order in the couplings of one point.
"""

from collections.abc import Mapping
from itertools import product
from math import comb, factorial
from typing import Any, Self

import equinox as eqx
import numpy as np

from ..types import Vector

__all__ = ["Potential", "monomial"]

Exponents = tuple[int, ...]

_DIRECTIONS = 3600  # of two fields, over a half turn, in which the potential has to rise
_HIGHEST = 12


class Potential(eqx.Module):
    """V(phi) = sum_e v_e phi^e with even powers, or V(x, y) = sum v_(e,f) x^e y^f of two fields, both powers even.

    A mapping power -> coefficient; the mass term of the free field is not part of it.

    Attributes:
        terms: (powers of the fields, coefficient), in order, without zeros.
        fields: how many fields, 1 or 2.

    Raises:
        ValueError: an odd or negative power or one above 12, a coefficient that is not finite, three fields.

    Example:
        >>> Potential({4: 0.25}) == Potential.phi4(6.0)
        True
        >>> Potential.phi4(6.0).smeared(1.0).terms
        (((0,), 0.75), ((2,), 1.5), ((4,), 0.25))
    """

    terms: tuple[tuple[Exponents, float], ...] = eqx.field(static=True)
    fields: int = eqx.field(static=True)

    def __init__(self, terms: Mapping[Any, float] | None = None) -> None:
        advice = "try Potential({4: 0.25}), or Potential({(4, 0): 0.25, (2, 2): 0.5, (0, 4): 0.25}) of two fields"
        if not isinstance(terms, Mapping | None):
            raise ValueError(f"expected a potential as power -> coefficient, got {terms!r}; {advice}")
        found: dict[Exponents, float] = {}
        for power, value in (terms or {}).items():
            exponents = power if isinstance(power, tuple) else (power,)
            whole = all(isinstance(e, int | np.integer) and not isinstance(e, bool) for e in exponents)
            if not whole or not 1 <= len(exponents) <= 2:
                raise ValueError(f"expected the powers of one or two fields, got {power!r}; {advice}")
            if any(e < 0 or e % 2 for e in exponents) or sum(exponents) > _HIGHEST:
                raise ValueError(f"expected even powers up to {_HIGHEST} in all, got {power!r}; {advice}")
            if not (isinstance(value, int | float | np.number) and np.isfinite(value)):
                raise ValueError(f"expected a finite coefficient of {power!r}, got {value!r}; {advice}")
            if value:
                found[tuple(int(e) for e in exponents)] = float(value)
        sizes = {len(e) for e in found} or {1}
        if len(sizes) > 1:
            raise ValueError(f"expected powers of one field or of two throughout, got {list(terms or {})}; {advice}")
        self.terms, self.fields = tuple(sorted(found.items())), sizes.pop()

    @classmethod
    def phi4(cls, coupling: float) -> Self:
        """(lambda/4!) phi^4."""
        return cls({4: coupling / 24.0})

    @classmethod
    def pair(cls, first: float, second: float, mixed: float) -> Self:
        """(lambda_1/4!) x^4 + (lambda_2/4!) y^4 + (kappa/4) x^2 y^2."""
        return cls({(4, 0): first / 24.0, (0, 4): second / 24.0, (2, 2): mixed / 4.0})

    @property
    def degree(self) -> int:
        """The highest power, of all fields together; at least 2."""
        return max([2, *(sum(e) for e, _ in self.terms)])

    @property
    def constant(self) -> float:
        """V(0)."""
        return sum(v for e, v in self.terms if not any(e))

    def coefficient(self, *exponents: int) -> float:
        """v_e, zero where there is no such term."""
        return dict(self.terms).get(exponents, 0.0)

    def __call__(self, *fields: Any) -> Any:
        """V at values of the fields, arrays of one shape, NumPy's or JAX's."""
        return sum((v * monomial(fields, e) for e, v in self.terms), 0.0 * fields[0])

    def smeared(self, *variances: float) -> Self:
        """<V(phi + eta)> over independent eta ~ N(0, variance) of each field; one variance serves all of them."""
        spread = variances * self.fields if len(variances) == 1 else variances
        found: dict[Exponents, float] = {}
        for exponents, value in self.terms:
            for pairs in product(*(range(e // 2 + 1) for e in exponents)):
                weight = value
                for e, j, variance in zip(exponents, pairs, spread, strict=True):
                    weight *= comb(e, 2 * j) * factorial(2 * j) / (2**j * factorial(j)) * variance**j
                left = tuple(e - 2 * j for e, j in zip(exponents, pairs, strict=True))
                found[left] = found.get(left, 0.0) + weight
        return type(self)(found)

    def stiffness(self, *variances: float) -> Vector:
        """<d^2 V/d phi_f^2> over Gaussian fields of those variances: what they add to each field's mass^2, (field,)."""
        around = self.smeared(*variances)
        units = np.eye(self.fields, dtype=int)
        return np.array([2.0 * around.coefficient(*(2 * unit).tolist()) for unit in units])

    @property
    def vertices(self) -> Vector:
        """sum_abc (d^4 V/d phi_f d phi_a d phi_b d phi_c)^2 at phi = 0 of each field f, (field,)."""
        if self.fields == 1:
            return np.array([(24.0 * self.coefficient(4)) ** 2])
        mixed = 3.0 * (4.0 * self.coefficient(2, 2)) ** 2
        return np.array([(24.0 * self.coefficient(*own)) ** 2 + mixed for own in ((4, 0), (0, 4))])

    def check(self, mass: float) -> None:
        """Refuse a potential that, with the mass term of the free field, is not bounded below.

        Raises:
            ValueError: one that falls at large fields, with the coefficient that decides.

        >>> Potential({2: -1.0, 4: 0.25}).check(1.0)
        """
        turns = np.arange(_DIRECTIONS) * (np.pi / _DIRECTIONS)
        ways = np.ones((1, 1)) if self.fields == 1 else np.stack([np.cos(turns), np.sin(turns)], axis=1)
        along = {2: np.full(len(ways), mass**2 / 2.0)}  # coefficient of r^p along each direction
        for exponents, value in self.terms:
            if any(exponents):
                power = sum(exponents)
                along[power] = along.get(power, 0.0) + value * monomial(ways.T, exponents)
        largest = max(float(np.max(np.abs(one))) for one in along.values())
        undecided = np.ones(len(ways), dtype=bool)
        for power in sorted(along, reverse=True):
            falls = undecided & (along[power] < -1e-12 * largest)
            if np.any(falls):
                worst = float(along[power][falls].min())
                where = "" if self.fields == 1 else f" in the direction {ways[np.argmax(falls)].round(2).tolist()}"
                raise ValueError(
                    f"expected a potential bounded below, got {worst:.4g} phi^{power} at large fields{where}; try a "
                    f"positive coefficient of the highest power, or a small one of phi^{power + 2}"
                )
            undecided &= np.abs(along[power]) <= 1e-12 * largest


def monomial(fields: Any, exponents: Exponents) -> Any:
    """phi_1^e_1 phi_2^e_2, by multiplication."""
    out = None
    for field, exponent in zip(fields, exponents, strict=True):
        square = field * field
        for _ in range(exponent // 2):
            out = square if out is None else out * square
    return 1.0 + 0.0 * fields[0] if out is None else out
