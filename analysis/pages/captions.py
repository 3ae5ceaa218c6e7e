"""What each figure of a report shows and what to look for in it, with the numbers that matter; TeX between dollars."""

import numpy as np

from ..reading.fit import Reading, reads
from .paragraph import count

__all__ = ["couplings_caption", "four_point_caption", "prior_caption", "schwinger_dyson_caption", "trace_caption"]


def couplings_caption(fit: Reading) -> str:
    """For `posterior.plot_couplings`, by how it shows them."""
    kind = fit.look
    if kind == "by displacement":
        return (
            "Couplings by the displacement r between two sites, posterior mean with one standard deviation: g of "
            r"$\varphi_x^4$, u(r) of $\varphi_x\varphi_{x+r}^3$, v(r) of $\varphi_x^2\varphi_{x+r}^2$, each summed "
            "over all sites x."
        )
    if kind == "numbers":
        letters = [f"${c.tex}$" for c in [*fit.couplings, *fit.quadratics] if not c.where]
        if len(letters) == 1:
            return f"Posterior density of the one coupling {letters[0]}; shaded, its 89 % interval."
        names = f"{', '.join(letters[:-1])} and {letters[-1]}"
        return f"Posterior densities of {names}, in the convention stated below; shaded, the 89 % intervals."
    if kind == "sorted":
        return _sorted_caption(fit)
    if kind == "local":
        return r"$\lambda(x)$ at each point, posterior mean with one standard deviation."
    where = "position" if fit.constants.sizes["axis"] == 1 else "number"
    return (
        r"Left: posterior mean of $\lambda_i(x,y)$, the coupling of $\varphi(x)^i\varphi(y)^{4-i}$, in the gauge "
        "stated below. Right: its posterior standard deviation. Each map has its own colour scale, logarithmic away "
        f"from zero where the couplings differ widely; points are named by their {where}. Grey cells are zero by the "
        r"choice of gauge. A ring marks a mean within two standard deviations of zero. $\lambda_3$, the transpose of "
        r"$\lambda_1$, is not drawn."
    )


def _sorted_caption(fit: Reading) -> str:
    sites = {c.site for c in fit.couplings}
    if "g4" not in sites:
        return (
            "Couplings by name, posterior mean with one standard deviation, sorted; a row is named by its points, and "
            "what it multiplies is in the action below."
        )
    label, monomial = _example(fit)[:2]
    below = (
        " Below, the coefficients $g_{abcdef}$ of the sextic ones: they are in other units." if "g6" in sites else ""
    )
    return (
        r"Coefficients $g_{abcd}$ of the sorted monomials $\varphi_a\varphi_b\varphi_c\varphi_d$, posterior mean with "
        f"one standard deviation, sorted. Row {label} belongs to {monomial}; a coefficient counts all orderings of its "
        f"points, so that mixed ones are larger.{below}"
    )


@reads
def four_point_caption(fit: Reading) -> str:
    """For `plots.plot_four_point`."""
    observed, constants = fit.group("observed_data"), fit.constants
    predicted = (
        " Orange: what the fitted quartic couplings predict with the two-point function on every line, from tree level "
        "(tick) to tree plus one loop; the length of the bar is the size of the truncation, not a statistical error, "
        "and a bar that leaves the frame is cut."
        if "predictions" in fit.children
        else " Diagrams of this action are not computed, so that no prediction is drawn."
    )
    known = "G4_exact" in constants
    label, _, places = _example(fit)
    text = (
        "The connected four-point function (fourth joint cumulant over networks), one row for each distinct "
        f"component, named where there is room ({label} is that of {places}), sorted by the "
        f"{'exact' if known else 'measured'} value. Black: measured, with one standard error.{predicted}"
    )
    if not known:
        return text
    pull = ((observed["G4"] - constants["G4_exact"]) / fit.errors("G4")).values
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
    far = int(np.sum(np.abs(outside) > 3))
    return (
        r"Each quartic monomial T gives one equation, $\langle\nabla T\cdot W\nabla S\rangle = \langle\Delta_W "
        r"T\rangle$, with W the metric. Shown is the "
        f"difference of its two sides over its standard error; the band is ±2. {rings} Dots: the {len(outside)} "
        f"monomials it leaves out, {far or 'none'} of them beyond three standard errors. The distance of a term that "
        "is there grows like the square root of the number of networks: it says that the term is seen, not that it is "
        "large."
    )


def prior_caption(fit: Reading) -> str:
    """For `plots.plot_prior_posterior`."""
    ratios = [c.prior_sd / c.sd for c in fit.couplings]
    middle = f" (median {count(float(np.median(ratios)))})" if len(ratios) > 1 else ""
    return (
        "89 % intervals of prior (grey) and posterior (blue); the dot is the posterior mean. The axis is linear "
        f"near zero and logarithmic beyond. On the right, how many times the data narrowed each coupling{middle}; "
        "where this is near one, the prior speaks."
    )


def trace_caption(fit: Reading) -> str:
    """For `plots.plot_trace_rank`."""
    which = "The three couplings" if len([*fit.couplings, *fit.quadratics]) >= 3 else "The couplings"
    return (
        f"{which} with the largest $\\hat R$, quadratic ones included. Left: all chains on top of "
        "each other; they should be one band without drift. Right: how often each chain’s draws take each rank among "
        "all draws; chains that agree are flat within the grey band, which holds 95 % of the counts of independent "
        "draws."
    )


def _example(fit: Reading) -> tuple[str, str, str]:
    """A row that the four-point figure has: its label, its monomial, its points."""
    points = min(fit.constants.sizes["x"], 3)
    quad = ((0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 1, 2))[points - 1]
    powers = {1: "", 2: "^2", 4: "^4"}
    monomial = "".join(rf"\varphi_{a}{powers[quad.count(a)]}" for a in dict.fromkeys(quad))
    return "".join(map(str, quad)), f"${monomial}$", ", ".join(f"$x_{a}$" for a in quad)
