"""May exp(-S) of a fit be normalised? Asked of its draws and of their mean, by the highest form of the action.

A form that is negative in one direction makes the action formal (perturbative): its couplings are those of an expansion
around the Gaussian, and there is no sampling, no reweighting and no likelihood (`models/actions/boundedness.py`).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from ...models.actions.boundedness import FORBIDDEN, boundedness, lowest_direction, minimum_on_sphere
from ...models.actions.monomials import Monomials
from ...models.types import Matrix, Tuples, Vector
from ..reading.fit import Reading, reads
from .check import Check

__all__ = ["boundedness_checks"]

_DRAWS, _LEAST = 200, 10  # draws looked at; where a form is large, fewer, but these
_WORK = 8_000_000  # monomials times directions to start from, all draws together


@reads
def boundedness_checks(fit: Reading) -> Iterator[Check]:
    """The share of draws that are unbounded below, and what may be done with the posterior mean."""
    highest, scale = _highest(fit), fit.field_scale
    tuples, table = _forms(highest)
    draws = fit.theta(fit.interaction_names)[:, -highest.count :]
    step = max(1, len(draws) // _looked_at(tuples, len(scale)))
    negative = _negative(draws[::step] @ table, tuples, scale, highest.degree)
    fraction = float(np.mean(negative))
    word = {4: "quartic", 6: "sextic"}[highest.degree]
    why = (
        f"The {word} form is positive in every direction for every draw looked at."
        if fraction == 0
        else f"The {word} form is negative in some direction: exp(-S) cannot be normalised there, so these draws are "
        f"formal (perturbative), with no {', no '.join(FORBIDDEN)}."
    )
    verdict = "pass" if fraction == 0 else "warn"
    yield Check("draws unbounded below", f"{fraction:.1%} of {len(negative)}", "0%", verdict, why)
    yield _mean(fit, scale)


def _mean(fit: Reading, scale: Vector) -> Check:
    """The whole action at the posterior mean: a density, or a formal expansion."""
    one, count = fit.action, fit.constants.sizes["x"]
    weights = fit.constants["weights"].values
    parts = [(fit.theta(fit.quadratic_names).mean(axis=0), one.quadratic(count))]
    theta, first = fit.theta(fit.interaction_names).mean(axis=0), 0
    for monomials in one.interaction(count, weights):
        parts.append((theta[first : first + monomials.count], monomials))
        first += monomials.count
    coefficients, tuples = {}, {}
    for values, monomials in parts:
        tuples[monomials.degree], table = _forms(monomials)
        coefficients[monomials.degree] = values @ table
    highest = max(coefficients)
    least = float(np.min(coefficients[highest] * scale[tuples[highest][:, 0]] ** highest))
    if _pure(tuples[highest]) and least != 0.0:
        value = "bounded" if least > 0 else "formal (perturbative)"
        end = "exp(-S) is a density" if least > 0 else f"exp(-S) cannot be normalised: no {', no '.join(FORBIDDEN)}"
        why = (
            f"The smallest coefficient of phi^{highest} at a site, in units of the field there, is {least:.3g}: {end}."
        )
    else:
        found = boundedness(coefficients, count, tuples=tuples, scale=scale)
        value, why = found.label, f"{found.why[:1].upper()}{found.why[1:]}."
    return Check("exp(-S) at the posterior mean", value, "none", "note", why)


def _highest(fit: Reading) -> Monomials:
    constants = fit.constants
    return fit.action.interaction(constants.sizes["x"], constants["weights"].values)[-1]


def _forms(monomials: Monomials) -> tuple[Tuples, Matrix]:
    """The distinct monomials, (monomial, degree), and the coefficient of each in each term, (term, monomial)."""
    tuples, column = np.unique(monomials.tuples, axis=0, return_inverse=True)
    table = np.zeros((monomials.count, len(tuples)))
    np.add.at(table, (monomials.term, column.ravel()), monomials.coefficient)
    return tuples, table


def _pure(tuples: Tuples) -> bool:
    return bool(np.all(tuples == tuples[:, :1]))


def _looked_at(tuples: Tuples, points: int) -> int:
    """How many draws are looked at; powers of single fields need no search."""
    if _pure(tuples):
        return _DRAWS
    return int(np.clip(_WORK / (len(tuples) * (points + 32)), _LEAST, _DRAWS))


def _negative(coefficients: Matrix, tuples: Tuples, scale: Vector, degree: int) -> Bool[np.ndarray, " draw"]:
    """Whether the form of each draw is negative in some direction, (draw,).

    One negative value is a proof: a search is left to the draws that are not negative where their mean is lowest.
    """
    if _pure(tuples):
        return np.min(coefficients, axis=1) < 0.0
    search = {"scale": scale, "tuples": tuples, "order": degree}
    lowest = lowest_direction(coefficients.mean(axis=0), len(scale), **search)[1][0] * scale
    negative = coefficients @ np.prod(lowest[tuples], axis=1) < 0.0
    if not np.all(negative):
        negative[~negative] = minimum_on_sphere(coefficients[~negative], len(scale), **search) < 0.0
    return negative
