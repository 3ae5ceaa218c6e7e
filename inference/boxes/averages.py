"""Averages of an interacting field in a box, whichever engine found them, each with its error and their covariance.

What is asked of the field of all modes is made of what the modes below the cutoff have and of what the free modes above
it add (physics of the counterterm): <phi^2> + delta, <phi^4> + 6 delta <phi^2> + 3 delta^2, G(t) + missing(t).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ...models.boxes.potential import Potential
from ...models.boxes.theory import BoxTheory
from ...models.types import Vector
from ..spectra.exponentials import Exponentials
from ..spectra.gap import AbstractGapMethod, Gap
from ..spectra.lagged import TimeCorrelators
from .couplings import Couplings, couplings
from .estimate import Estimate
from .observables import Observables
from .poles import PoleFit, two_poles

__all__ = ["Averages"]

_TIMES = 6  # of the correlator behind a gap
_SPACING = 0.7  # of them, in units of the correlation length


@dataclass(frozen=True, eq=False)
class Averages:
    """What an engine found of one theory, or what is left of it at N = infinity.

    Attributes:
        theory: the box, the potential and the width.
        values: of the numbers that `Observables` names, (number,).
        rows: rows^T rows is their covariance, (row, number).
        log_z: log of Z/Z_free, the constant of the counterterm included; None where an engine does not give it.
        engine: how they were found, in words.
        size: effective number of independent networks.
        notes: what else the engine says of itself, word -> number.
        limit: whether this is N = infinity.
    """

    theory: BoxTheory
    values: Vector
    rows: Float[np.ndarray, "row number"] = field(repr=False)
    log_z: Estimate | None
    engine: str
    size: float
    notes: dict[str, float]
    limit: bool = False

    @property
    def observables(self) -> Observables:
        return Observables(self.theory)

    def moment(self, *powers: int, complete: bool | float | None = None) -> Estimate:
        """<phi^r>, or <x^r y^s> of two fields.

        Args:
            powers: even powers of the fields.
            complete: whether the free modes above the cutoff are added; None adds them in d = 1; a number is their
                variance.

        Raises:
            ValueError: a power that was not kept.
        """
        kept, box = self.observables, self.theory.box
        whole = box.dimension == 1 if complete is None else complete
        delta = float(box.missing(0.0)) * whole if isinstance(whole, bool) else float(whole)
        if powers not in kept.powers:
            raise ValueError(f"expected powers among {kept.powers}, got {powers}; try one that the potential has")
        value, rows = 0.0, np.zeros(len(self.rows))
        for exponents, factor in Potential({powers: 1.0}).smeared(delta).terms:
            if not any(exponents):
                value += factor
                continue
            at = kept.place(exponents)
            value, rows = value + factor * self.values[at], rows + factor * self.rows[:, at]
        return Estimate(float(value), rows)

    def propagator(self, times: Any, *, field: int = 0, complete: bool = True) -> Estimate:
        """G(t) along an axis, of the field integrated over the other axes, (time,)."""
        kept, box, t = self.observables, self.theory.box, np.atleast_1d(np.asarray(times, dtype=float))
        waves = np.cos(np.multiply.outer(t, box.momenta))
        where = kept.spectrum(field)
        value = waves @ self.values[where] + (box.missing(t) if complete else 0.0)
        return Estimate(value, self.rows[:, where] @ waves.T)

    def times(self, *, field: int = 0) -> Vector:
        """Times at which a gap is looked for: .7, 1.4, .. correlation lengths, six of them or up to half the box.

        Of a lattice they lie on sites.
        """
        box = self.theory.box
        zero = self.values[self.observables.spectrum(field)][0] * box.length
        step = min(_SPACING * zero**0.5, box.length / 8.0)
        step = box.spacing * max(1, round(step / box.spacing)) if box.lattice else step
        count = min(_TIMES, int(box.length / 2.0 / step + 1e-9))
        return step * np.arange(1, count + 1)

    def correlators(self, times: Any = None, *, field: int = 0) -> TimeCorrelators:
        """G(t) with its covariance, for the methods that find a gap."""
        t = self.times(field=field) if times is None else np.atleast_1d(np.asarray(times, dtype=float))
        found = self.propagator(t, field=field)
        shape = (-1, len(t), 1, 1)
        return TimeCorrelators(
            t, found.value.reshape(shape[1:]), found.rows.reshape(shape), self.theory.box.length, self.engine
        )

    def poles(self, *, field: int = 0) -> PoleFit:
        """Two poles fitted to the propagator in momentum space; of the limit N = infinity, which has them.

        Raises:
            ValueError: a lattice, whose residues do not add up to one.
        """
        if self.theory.box.lattice:
            raise ValueError(
                "expected a box without sites for two poles, whose residues add up to one there, got a lattice; try "
                "gap(inf.Exponentials(count=1)) of `averages()`, in time"
            )
        box, where = self.theory.box, self.observables.spectrum(field)
        scale = 1.0 / (box.spectrum * (box.squares + box.mass**2))  # from P_k to G(p)
        return two_poles(box.momenta, self.values[where] * scale, self.rows[:, where] * scale)

    def gap(self, method: AbstractGapMethod | None = None, times: Any = None, *, field: int = 0) -> Gap:
        """The gap: of two poles in momentum space at N = infinity, else by a method in time, one exponential if none.

        At finite width the propagator is no sum of poles with positive residues: only its late fall is read off.
        """
        if self.limit and method is None and times is None:
            return self.poles(field=field).gap
        return (Exponentials(count=1) if method is None else method).gap(self.correlators(times, field=field))

    def couplings(self) -> Couplings:
        """m^2 and lambda of the action that these fields have, by score matching in their modes."""
        return couplings(self.observables, self.values, self.rows)

    def __str__(self) -> str:
        fields = self.theory.potential.fields
        lines = [f"{self.theory.words}; width {self.theory.width}, by {self.engine}, {self.size:.3g} networks' worth"]
        for f in range(fields):
            powers = tuple(2 * (f == g) for g in range(fields))
            lines.append(f"<phi{'' if fields == 1 else f'_{f + 1}'}^2> {self.moment(*powers)}")
        if self.log_z is not None:
            lines.append(f"log Z/Z_free {self.log_z}")
        return "\n".join([*lines, *(f"{word} {number:.3g}" for word, number in self.notes.items())])


def apart(found: Sequence[Averages]) -> list[Averages]:
    """The same averages with rows of their own each, on one axis: runs that know nothing of each other."""
    total, start, out = sum(len(one.rows) for one in found), 0, []
    for one in found:
        count = len(one.rows)

        def placed(rows: np.ndarray, start: int = start, count: int = count) -> np.ndarray:
            whole = np.zeros((total, *rows.shape[1:]))
            whole[start : start + count] = rows
            return whole

        log_z = None if one.log_z is None else Estimate(one.log_z.value, placed(one.log_z.rows))
        out.append(Averages(one.theory, one.values, placed(one.rows), log_z, one.engine, one.size, one.notes))
        start += count
    return out
