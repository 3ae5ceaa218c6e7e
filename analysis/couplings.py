"""The couplings of a fit one by one: each with its name, its posterior beside its prior, and how well it was sampled.

The identifiable ones: g_a, u_ab, v_ab of a bilocal action, g_a of a local one, lambda of a constant one, g4_abcd of the
full quartic one; the quadratic part q_ab on request. Intervals are equal-tailed and hold 89 %, ArviZ's default.
"""

from typing import NamedTuple

import arviz as az
import numpy as np
import xarray as xr

__all__ = ["INTERVAL", "QUARTIC", "Coupling", "couplings", "group", "indices"]

QUARTIC = ("coupling", "g", "u", "v", "g4")  # sites of all actions, in the order of their terms
INTERVAL = 0.89


class Coupling(NamedTuple):
    """One coupling: its site, its point labels ("0,1"), and the numbers a table or a figure shows."""

    site: str
    where: str
    mean: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    ess: float
    rhat: float

    @property
    def z(self) -> float:
        """Posterior mean in units of its standard deviation."""
        return self.mean / self.sd if self.sd > 0 else 0.0

    @property
    def text(self) -> str:
        """As in `fit["posterior"]`: u[0,1]; the one coupling of a constant action is lambda."""
        return "lambda" if self.site == "coupling" else f"{self.site}[{self.where}]"

    @property
    def maths(self) -> str:
        """For a figure, in matplotlib's mathtext."""
        return r"$\lambda$" if self.site == "coupling" else f"${self.site[0]}_{{{indices(self.where)}}}$"

    @property
    def html(self) -> str:
        """For a page."""
        return "λ" if self.site == "coupling" else f"{self.site[0]}<sub>{indices(self.where)}</sub>"


def group(fit: xr.DataTree, name: str) -> xr.Dataset:
    """One group of the tree as a dataset."""
    if name not in fit.children:
        advice = "inf.fit(..., as_if_n=100_000) for draws" if "point" in fit.children else "a fit of inf.fit"
        raise ValueError(f"expected a fit with {name}, got a tree of {', '.join(fit.children)}; try {advice}")
    return fit.children[name].to_dataset()


def indices(where: str) -> str:
    """Point labels without commas where no label has two digits.

    >>> indices("0,0,1,2"), indices("0,0,1,12")
    ('0012', '0,0,1,12')
    """
    parts = where.split(",")
    return "".join(parts) if all(len(part) == 1 for part in parts) else where


def couplings(fit: xr.DataTree, *, quadratic: bool = False) -> list[Coupling]:
    """The quartic couplings of a fit, then on request its quadratic ones, in the order of the action's terms."""
    posterior, prior = group(fit, "posterior"), group(fit, "prior")
    sites = [name for name in (*QUARTIC, *(["q"] if quadratic else [])) if name in posterior and posterior[name].size]
    found = []
    tail = 0.5 * (1.0 - INTERVAL)
    for site in sites:
        draws = posterior[[site]]
        with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move; `diagnose` says so
            rhat, ess = az.rhat(draws)[site].values, az.ess(draws)[site].values
        values = draws[site].transpose("chain", "draw", ...)
        low, high = np.quantile(values.values, [tail, 1.0 - tail], axis=(0, 1))
        mean, sd = values.mean(("chain", "draw")).values, values.std(("chain", "draw"), ddof=1).values
        before = prior[site].transpose("chain", "draw", ...)
        prior_mean, prior_sd = before.mean(("chain", "draw")).values, before.std(("chain", "draw"), ddof=1).values
        labels = values[values.dims[2]].values.astype(str)
        columns = (mean, sd, low, high, prior_mean, prior_sd, ess, rhat)
        found += [Coupling(site, str(w), *map(float, row)) for w, *row in zip(labels, *columns, strict=True)]
    return found
