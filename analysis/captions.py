"""What each figure of a report shows and what to look for in it, with the numbers that matter, as HTML."""

import numpy as np
import xarray as xr

from .couplings import couplings, group
from .paragraph import count

__all__ = ["couplings_caption", "four_point_caption", "prior_caption", "schwinger_dyson_caption", "trace_caption"]


def couplings_caption(fit: xr.DataTree) -> str:
    """For `plots.plot_couplings`, by action."""
    posterior = group(fit, "posterior")
    if "coupling" in posterior:
        return "Posterior density of the one coupling λ; shaded, its 89 % interval."
    if "g4" in posterior:
        return (
            "Coefficients g<sub>abcd</sub> of the sorted monomials "
            "φ<sub>a</sub>φ<sub>b</sub>φ<sub>c</sub>φ<sub>d</sub>, posterior mean and 89 % interval, sorted. Row 0012 "
            "belongs to φ<sub>0</sub>²φ<sub>1</sub>φ<sub>2</sub>; a coefficient counts all orderings of its points, "
            "so that mixed ones are larger."
        )
    if "u" not in posterior:
        return "λ(x) at each point, posterior mean and 89 % interval."
    where = "position" if group(fit, "constant_data").sizes["axis"] == 1 else "number"
    return (
        "Left: posterior mean of λ<sub>i</sub>(x,y), the coupling of φ(x)<sup>i</sup>φ(y)<sup>4−i</sup>, in the gauge "
        "stated below. Right: its posterior standard deviation. Each map has its own colour scale, logarithmic away "
        f"from zero where the couplings differ widely; points are named by their {where}. Grey cells are zero by the "
        "choice of gauge. A ring marks a mean within two standard deviations of zero. λ<sub>3</sub>, the transpose of "
        "λ<sub>1</sub>, is not drawn."
    )


def four_point_caption(fit: xr.DataTree) -> str:
    """For `plots.plot_four_point`."""
    observed, constants = group(fit, "observed_data"), group(fit, "constant_data")
    known = "G4_exact" in constants
    text = (
        "The connected four-point function, one row for each distinct component (0012 is that of x<sub>0</sub>, "
        f"x<sub>0</sub>, x<sub>1</sub>, x<sub>2</sub>), sorted by the {'exact' if known else 'measured'} value. "
        "Black: measured, with standard errors. Orange: what the fitted action predicts, from tree level (tick) to "
        "tree plus one loop; the length of the bar is the size of the truncation, not a statistical error, and a bar "
        "that leaves the frame is cut."
    )
    if not known:
        return text
    pull = ((observed["G4"] - constants["G4_exact"]) / observed["G4_error"]).values
    return text + (
        " Green: exact. Right: distance of the measured value from the exact one in standard errors, root mean square "
        f"{np.sqrt(np.mean(pull**2)):.2f}; the band is ±2. Components share their noise, so that many move together."
    )


def schwinger_dyson_caption(z: np.ndarray, error: np.ndarray, contained: np.ndarray) -> str:
    """For `plots.plot_schwinger_dyson`."""
    outside, solved = z[~contained], int(np.sum(error == 0))
    inside = int(np.sum(contained))
    which = "all" if solved == inside else str(solved)
    exactly = f", {which} of them solved exactly by the fit (last row)" if solved else ""
    rings = f"Rings: the {inside} monomials the action contains{exactly}."
    return (
        "Each quartic monomial T gives one equation, ⟨∇T·W∇S⟩ = ⟨Δ<sub>W</sub>T⟩, with W the metric. Shown is the "
        f"difference of its two sides over its standard error; the band is ±2. {rings} Dots: the {len(outside)} "
        f"monomials it leaves out, {int(np.sum(np.abs(outside) > 3))} of them beyond three standard errors. The "
        "distance grows like the square root of the number of networks: it says that a term is there, not that it is "
        "large."
    )


def prior_caption(fit: xr.DataTree) -> str:
    """For `plots.plot_prior_posterior`."""
    ratios = [c.prior_sd / c.sd for c in couplings(fit)]
    middle = f" (median {count(float(np.median(ratios)))})" if len(ratios) > 1 else ""
    return (
        "89 % intervals of prior (grey) and posterior (blue). The axis is linear near zero and logarithmic beyond. On "
        f"the right, how many times the data narrowed each coupling{middle}; where this is near one, the prior speaks."
    )


def trace_caption() -> str:
    """For `plots.plot_trace_rank`."""
    return (
        "The three couplings with the largest R̂, quadratic ones q<sub>ab</sub> included. Left: all chains on top of "
        "each other; they should be one band without drift. Right: how often each chain’s draws take each rank among "
        "all draws; chains that agree are flat within the grey band, which holds 95 % of the counts of independent "
        "draws."
    )
