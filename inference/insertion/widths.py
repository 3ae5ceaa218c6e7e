"""From several widths to N = infinity: polynomials in 1/N through what an engine found, linear and quadratic averaged.

    O(N) = O + a/N (+ b/N^2),

by least squares in the joint covariance of all widths. No chi^2 can tell that the quadratic term is missing before it
has bent the answer by several errors (lambda = 24: the linear fit alone is four errors off while its chi^2 is 3.4 of
2), so both degrees are kept, each with the weight exp(-chi^2/2 - parameters), and how far they lie apart is a part of
the error (W. I. Jay and E. T. Neil, Phys. Rev. D 103 (2021) 114502).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ...models.boxes.theory import BoxTheory
from ...models.refusals import is_whole
from ...models.types import Vector
from ..boxes.averages import Averages
from ..boxes.estimate import Estimate
from .engine import AbstractEngine, check_theory
from .reweighted import Reweighted

__all__ = ["InfiniteWidth", "Limit", "infinite_width"]


@dataclass(frozen=True, eq=False)
class Limit:
    """One number at N = infinity.

    Attributes:
        value: averaged over the degrees.
        error: with what the degrees differ by.
        slope: a, of O + a/N, and its error.
        by_width: (value, error) at each width.
        degrees: degree -> (value, error, chi^2, degrees of freedom, weight).
    """

    value: float
    error: float
    slope: tuple[float, float]
    by_width: tuple[tuple[float, float], ...]
    degrees: dict[int, tuple[float, float, float, int, float]]

    def __str__(self) -> str:
        parts = [
            f"degree {d}: {v:.6g} +- {e:.2g}, chi2 {chi2:.3g} of {dof}, weight {weight:.2f}"
            for d, (v, e, chi2, dof, weight) in self.degrees.items()
        ]
        return f"{self.value:.6g} +- {self.error:.2g} ({'; '.join(parts)})"


@dataclass(frozen=True, eq=False)
class InfiniteWidth:
    """What an engine found at several widths, and its limit.

    Attributes:
        found: the averages of each width, their rows on one axis.
    """

    found: list[Averages] = field(repr=False)

    @property
    def widths(self) -> list[int]:
        return [one.theory.width for one in self.found]

    def limit(self, estimates: Sequence[Estimate]) -> Limit:
        """N = infinity of one number, from its estimate at each width, rows on one axis."""
        values = np.array([float(one.value) for one in estimates])
        rows = np.stack([one.rows for one in estimates], axis=1)
        return _averaged(values, {d: _fitted(self.widths, values, rows, d) for d in self._degrees}, rows)

    def moment(self, *powers: int, complete: bool | float | None = None) -> Limit:
        """<phi^r> at N = infinity, as `Averages.moment`."""
        return self.limit([one.moment(*powers, complete=complete) for one in self.found])

    def propagator(self, times: Any, *, field: int = 0) -> list[Limit]:
        """G(t) at N = infinity, one limit a time."""
        found = [one.propagator(times, field=field) for one in self.found]
        return [
            self.limit([Estimate(one.value[k], one.rows[:, k]) for one in found]) for k in range(len(found[0].value))
        ]

    def log_z(self) -> Limit:
        """Log Z/Z_free at N = infinity.

        Raises:
            ValueError: an engine that does not give it.
        """
        found = [one.log_z for one in self.found if one.log_z is not None]
        if len(found) < len(self.found):
            raise ValueError(
                f"expected an engine that gives log Z, got {self.found[0].engine}; try inf.Reweighted() or "
                "inf.Tempered()"
            )
        return self.limit(found)

    def couplings(self) -> tuple[Limit, Limit]:
        """The shift of m^2 and lambda that a fit of the action returns, at N = infinity."""
        found = [one.couplings() for one in self.found]
        return self.limit([one.mass2 for one in found]), self.limit([one.quartic for one in found])

    def averages(self, degree: int = 2) -> Averages:
        """All averages at N = infinity by one degree: what correlators and pages are made of."""
        last = self.found[-1]
        values = np.stack([one.values for one in self.found])
        rows = np.stack([one.rows for one in self.found])
        fits = [_fitted(self.widths, values[:, k], rows[:, :, k].T, degree) for k in range(values.shape[1])]
        return Averages(
            last.theory,
            np.array([fit.value for fit in fits]),
            np.stack([fit.rows for fit in fits], axis=1),
            None,
            f"{last.engine}, widths {', '.join(map(str, self.widths))}, degree {degree} in 1/N",
            min(one.size for one in self.found),
            {},
            limit=True,
        )

    def gap(self, *, field: int = 0) -> Limit:
        """The gap at N = infinity: two poles in the propagator there, by either degree.

        At finite width the network's propagator need not be a sum of poles with positive residues (it is no quantum
        mechanics), so it is extrapolated first and asked for the gap then.
        """
        found = {degree: self.averages(degree).poles(field=field) for degree in self._degrees}
        box, where = self.found[0].theory.box, self.found[0].observables.spectrum(field)
        slope = found[1].slope / (box.spectrum * (box.squares + box.mass**2))
        values = np.array([slope @ one.values[where] for one in self.found])
        rows = np.stack([one.rows[:, where] @ slope for one in self.found], axis=1)
        values = values - values.mean() + found[1].gap.value
        fits = {}
        for degree, poles in found.items():
            line = _fitted(self.widths, values, rows, degree)
            fits[degree] = _Fit(poles.gap.value, line.rows, line.slope, line.chi2, line.dof, poles.gap.error)
        return _averaged(values, fits, rows)

    @property
    def _degrees(self) -> tuple[int, ...]:
        return tuple(d for d in (1, 2) if d < len(self.found))

    def __str__(self) -> str:
        fields = range(self.found[0].theory.potential.fields)
        lines = [f"{self.found[0].theory.words}; N = infinity from widths {', '.join(map(str, self.widths))}"]
        for f in fields:
            name = "phi" if len(fields) == 1 else f"phi_{f + 1}"
            lines.append(
                f"<{name}^2> {self.moment(*(2 * (f == g) for g in fields))}\ngap of {name} {self.gap(field=f)}"
            )
        return "\n".join(lines)


def infinite_width(
    theory: BoxTheory,
    engine: AbstractEngine | None = None,
    *,
    widths: Sequence[int] = (16, 32, 64, 128),
    key: jax.Array,
) -> InfiniteWidth:
    """The averages of a theory at several widths, and their limit N -> infinity.

    Args:
        theory: its own width is not used.
        engine: one of the engines; reweighting, whose widths are made of the same neurons, unless one is given.
        widths: at least three, for a linear and a quadratic term; four are judged.
        key: of all draws.

    Raises:
        ValueError: fewer than three different widths; what the engine refuses.

    Example:
        >>> from nnft import models as m
        >>> theory = m.BoxTheory(m.Box(10.0, 8), 16, m.Potential.phi4(1.0))
        >>> wide = infinite_width(theory, Reweighted(n=16384), widths=(4, 8, 16), key=jax.random.key(0))
        >>> bool(abs(wide.moment(2).value - 0.4528) < 5 * wide.moment(2).error)
        True
    """
    check_theory(theory, key)
    different = sorted(set(widths))
    if len(different) < 3 or not all(is_whole(width, 1) for width in different):
        raise ValueError(
            f"expected at least three different widths, for a linear and a quadratic term, got {list(widths)}; try "
            "widths=(16, 32, 64, 128)"
        )
    way = Reweighted() if engine is None else engine
    return InfiniteWidth(way.at_widths(theory, different, key))


@dataclass(frozen=True, eq=False)
class _Fit:
    """A polynomial in 1/N: its value at N = infinity with rows, its slope, what is left, and an error of its own."""

    value: float
    rows: Vector
    slope: tuple[float, float]
    chi2: float
    dof: int
    error: float


def _fitted(widths: Sequence[int], values: Vector, rows: Float[np.ndarray, "row width"], degree: int) -> _Fit:
    """Least squares in the covariance rows^T rows."""
    powers = (1.0 / np.asarray(widths, dtype=float))[:, None] ** np.arange(degree + 1)
    covariance = rows.T @ rows
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    solve = np.linalg.pinv(white @ powers) @ white  # (coefficient, width)
    found = solve @ values
    errors = np.sqrt(np.diag(solve @ covariance @ solve.T))
    chi2 = float(np.sum((white @ (values - powers @ found)) ** 2))
    slope = (float(found[1]), float(errors[1]))
    return _Fit(float(found[0]), rows @ solve[0], slope, chi2, len(values) - degree - 1, float(errors[0]))


def _averaged(values: Vector, fits: dict[int, _Fit], rows: Float[np.ndarray, "row width"]) -> Limit:
    """The degrees averaged with weights exp(-chi^2/2 - parameters), their distance in the error."""
    logs = np.array([-0.5 * fit.chi2 - (degree + 1) for degree, fit in fits.items()])
    weights = np.exp(logs - logs.max())
    weights = weights / weights.sum()
    found, errors = (np.array([getattr(fit, name) for fit in fits.values()]) for name in ("value", "error"))
    value = float(weights @ found)
    error = float(np.sqrt(weights @ (errors**2 + (found - value) ** 2)))
    by_width = tuple((float(v), float(np.linalg.norm(rows[:, j]))) for j, v in enumerate(values))
    degrees = {
        degree: (float(fit.value), float(fit.error), fit.chi2, fit.dof, float(weight))
        for (degree, fit), weight in zip(fits.items(), weights, strict=True)
    }
    return Limit(value, error, fits[max(fits)].slope, by_width, degrees)
