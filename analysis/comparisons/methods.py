"""Fits of the same couplings to the same networks by different methods, side by side in one call.

Each method is held against the most efficient one there is, the gold posterior where it exists: how much wider its
errors are, how far its couplings lie in standard deviations, how far they should lie, and Hausman's chi^2 of the two
(inference/methods/hausman.py). Tree level is no estimate of the same couplings: its truncation bias is shown instead.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from ...inference.equations.from_moments import Equations
from ...inference.methods.hausman import Hausman, hausman
from ..reading.fit import Reading

__all__ = ["MethodRow", "Methods", "compare_methods"]


class MethodRow(NamedTuple):
    """One fit against the reference.

    method, sampler: of the fit; width: its standard errors over the reference's, mean over the interaction's couplings;
    distance: rms difference of the estimates in standard errors of the reference; predicted: what
    the two covariances let one expect, sqrt(V/V_ref - 1); test: Hausman's, or None and in `why` the reason.
    """

    method: str
    sampler: str
    width: float
    distance: float
    predicted: float
    test: Hausman | None
    why: str


@dataclass(frozen=True)
class Methods:
    """The rows, and the name of the reference; prints as a table."""

    rows: tuple[MethodRow, ...]
    reference: str

    def __str__(self) -> str:
        lines = [f"{'method':8}{'sampler':9}{'errors/' + self.reference:>13}{'distance':>10}{'predicted':>11}  Hausman"]
        for row in self.rows:
            test = row.test
            result = row.why if test is None else f"chi2/dof = {test.chi2:.1f}/{test.dof}, p = {test.p:.2g}"
            predicted = "-" if np.isnan(row.predicted) else f"{row.predicted:.2f} sd"
            cells = f"{row.method:8}{row.sampler:9}{row.width:13.3f}{row.distance:>7.2f} sd{predicted:>11}"
            lines.append(f"{cells}  {result}")
        return "\n".join(lines)

    __repr__ = __str__


def compare_methods(*fits: xr.DataTree) -> Methods:
    """Fits of one action to the same networks by several methods, against the gold one, else the narrowest.

    Raises:
        ValueError: fewer than two fits, of different actions or numbers of networks, or without their equations.

    Example, of one fit; `compare_methods(score, gold)` gives Hausman's chi^2:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> compare_methods(fit)
        Traceback (most recent call last):
        ValueError: expected at least two fits to compare, got 1; try score and gold
    """
    if len(fits) < 2:
        raise ValueError(f"expected at least two fits to compare, got {len(fits)}; try score and gold")
    readings = [Reading(fit) for fit in fits]
    first = readings[0]
    for fit in readings:
        if "matrix" not in fit.constants:
            raise ValueError("expected fits that hold their equations, got one with too many terms; try fewer points")
        same = all(fit.attrs[name] == first.attrs[name] for name in ("action", "action_options"))
        if not same or fit.constants.sizes["term"] != first.constants.sizes["term"]:
            raise ValueError(
                f"expected fits of the same action at the same points, got {first.attrs['action']} and "
                f"{fit.attrs['action']}; try one action and several methods"
            )
    q = int(first.constants.attrs["quadratic_terms"])
    equations = [_equations(fit) for fit in readings]
    factors = [fit.constants["factors"].values for fit in readings]
    errors = [np.sqrt(np.diag(eq.sandwich))[q:] for eq in equations]
    gold = [k for k, fit in enumerate(readings) if fit.method_words.efficient]
    best = gold[0] if gold else int(np.argmin([np.mean(e / errors[0]) for e in errors]))
    physical = [(eq.estimate / factor)[q:] for eq, factor in zip(equations, factors)]
    scale = [error / factor[q:] for error, factor in zip(errors, factors)]
    rows = []
    for k, fit in enumerate(readings):
        width = float(np.mean(scale[k] / scale[best]))
        distance = float(np.sqrt(np.mean(((physical[k] - physical[best]) / scale[best]) ** 2)))
        test, why, predicted = None, "", float("nan")
        if k == best:
            why = "the reference"
        elif "truncation_bias" in fit.constants:
            bias = fit.constants["truncation_bias"].values[q:] / errors[k]
            why = f"not the same couplings: truncation bias {np.sqrt(np.mean(bias**2)):.1f} of its own sd"
        elif not gold:
            why = "needs an efficient estimate, method='gold'"
        else:
            # Held-out metrics give each fit a scale of its own: its equations in the scaled couplings of the reference.
            ratio, own = factors[k] / factors[best], equations[k]
            matrix, noise = (table * np.outer(ratio, ratio) for table in (own.matrix, own.noise))
            networks = equations[best].networks
            turned = own._replace(matrix=matrix, vector=own.vector * ratio, noise=noise, networks=networks)
            test = hausman(turned, equations[best])
            predicted = test.predicted
        rows.append(MethodRow(fit.attrs["method"], fit.attrs["sampler"], width, distance, predicted, test, why))
    return Methods(tuple(rows), readings[best].attrs["method"])


def _equations(fit: Reading) -> Equations:
    constants = fit.constants
    matrix, vector, noise, pilot = (constants[name].values for name in ("matrix", "vector", "noise", "estimate"))
    return Equations(matrix, vector, noise, pilot, float(fit.attrs["networks"]), np.inf, np.zeros((3, 3)))
