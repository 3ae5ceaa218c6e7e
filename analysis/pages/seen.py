"""What each figure of a report shows, in words with its numbers, for who does not see it: the alternative texts."""

import numpy as np

from ..reading.couplings import Coupling
from ..reading.fit import Reading, reads
from ..reading.residuals import schwinger_dyson
from ..reading.typesetting import significant, with_error

__all__ = ["couplings_seen", "four_point_seen", "prior_seen", "schwinger_dyson_seen", "trace_seen"]

_SHAPES = {
    "maps": "Maps over pairs of {points} points: above, the means of the couplings, below, their standard deviations",
    "local": "The coupling at each of {points} points with its error bar",
    "by displacement": "Couplings against the displacement of two sites, with error bars",
    "numbers": "Curves of posterior density, one a coupling",
    "sorted": "Couplings in rows from the largest to the smallest, with error bars",
}


@reads
def couplings_seen(fit: Reading) -> str:
    """Of the figure of the couplings."""
    found = fit.couplings
    shown = [*found, *fit.quadratics] if fit.look == "numbers" else found
    shape = _SHAPES[fit.look].format(points=fit.points)
    if len(shown) <= 3:
        return f"{shape}: {', '.join(map(_value, shown))}."
    low, high = min(found, key=lambda c: c.mean), max(found, key=lambda c: c.mean)
    clear = sum(abs(c.z) > 2.0 for c in found)
    return f"{shape}. From {_value(low)} to {_value(high)}; {clear} of {len(found)} are more than two errors from zero."


@reads
def four_point_seen(fit: Reading) -> str:
    """Of the figure of the four-point function."""
    value, error = fit.group("observed_data")["G4"].values, fit.errors("G4")
    seen = int(np.sum(np.abs(value) > 2.0 * error))
    text = (
        f"Components of the connected four-point function in rows, from {significant(float(value.min()))} to "
        f"{significant(float(value.max()))}; {seen} of {len(value)} are more than two errors from zero."
    )
    if "predictions" in fit.children:
        tree = fit.group("predictions")["G4"].mean(("chain", "draw")).values
        ratio = float(np.linalg.norm(value - tree) / max(np.linalg.norm(value), 1e-300))
        text += f" At tree level the action misses {significant(100 * ratio, 2)} % of their common size."
    return text


@reads
def schwinger_dyson_seen(fit: Reading) -> str:
    """Of the residuals."""
    z, _, contained = schwinger_dyson(fit)
    outside = z[~contained]
    if not len(outside):
        return f"Residuals of {len(z)} equations that the action contains, all about zero."
    far = int(np.sum(np.abs(outside) > 3.0))
    return (
        f"Residuals in rows, from {significant(float(z.min()), 2)} to {significant(float(z.max()), 2)} standard "
        f"errors; of the {len(outside)} terms left out {far} lie beyond three."
    )


@reads
def prior_seen(fit: Reading) -> str:
    """Of prior beside posterior."""
    ratios = np.array([c.prior_sd / c.sd if c.sd > 0 else np.inf for c in fit.couplings])
    if len(ratios) == 1:
        return f"Two bars: the posterior is {ratios[0]:.3g} times narrower than the prior."
    return (
        f"Two bars for each of {len(ratios)} couplings: posteriors are {ratios.min():.3g} to {ratios.max():.3g} times "
        "narrower than their priors."
    )


@reads
def trace_seen(fit: Reading) -> str:
    """Of traces and ranks."""
    worst = max(c.rhat for c in [*fit.couplings, *fit.quadratics])
    chains = fit.posterior.sizes["chain"]
    return f"Traces of {chains} chains and the ranks of their draws; the largest R̂ is {worst:.4f}, one if they agree."


def _value(coupling: Coupling) -> str:
    return f"{coupling.text} = {with_error(coupling.mean, coupling.sd)}"
