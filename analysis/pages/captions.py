"""What each figure of a report shows and what to look for in it, with the numbers that matter; TeX between dollars."""

import numpy as np

from ..figures.canvas import MOST_ROWS
from ..reading.fit import Reading, reads
from .paragraph import count

_UNITS = r" In units of $\varphi^{-4}$."

__all__ = ["couplings_caption", "four_point_caption", "prior_caption", "schwinger_dyson_caption", "trace_caption"]


def couplings_caption(fit: Reading) -> str:
    """For `posterior.plot_couplings`, by how it shows them."""
    kind = fit.look
    if kind == "by displacement":
        return (
            "Couplings by the displacement r between two sites, posterior mean with one standard deviation: g of "
            r"$\varphi_x^4$, u(r) of $\varphi_x\varphi_{x+r}^3$, v(r) of $\varphi_x^2\varphi_{x+r}^2$, each summed "
            "over all sites x." + _UNITS
        )
    if kind == "numbers":
        letters = [f"${c.tex}$" for c in [*fit.couplings, *fit.quadratics] if not c.where]
        if len(letters) == 1:
            return f"Posterior density of the one coupling {letters[0]}; shaded, its interval."
        names = f"{', '.join(letters[:-1])} and {letters[-1]}"
        return f"Posterior densities of {names}, in the convention stated below; shaded, the intervals."
    if kind == "sorted":
        return _sorted_caption(fit)
    if kind == "local":
        return r"$\lambda(x)$ at each point, posterior mean with one standard deviation." + _UNITS
    where = "position" if fit.constants.sizes["axis"] == 1 else "number"
    return (
        r"Above: posterior mean of $\lambda_i(x,y)$, the coupling of $\varphi(x)^i\varphi(y)^{4-i}$, in the gauge "
        "stated below. Below: its standard deviation. One square is one pair of points, named by their "
        f"{where}; the maps of a row share one colour scale, logarithmic away from zero where the couplings differ "
        "widely. A ring marks a mean within two standard deviations of zero, an empty square a zero by the choice of "
        r"gauge. $\lambda_3$, the transpose of $\lambda_1$, is not drawn." + _UNITS
    )


def _sorted_caption(fit: Reading) -> str:
    sites = {c.site for c in fit.couplings}
    if "g4" not in sites:
        return (
            "Couplings by name, posterior mean with one standard deviation, sorted; a row is named by its points, and "
            f"what it multiplies is in the action below.{_thinned(len(fit.couplings))}"
        )
    label, monomial = _example(fit)[:2]
    below = (
        " Below, the coefficients $g_{abcdef}$ of the sextic ones: they are in other units." if "g6" in sites else ""
    )
    return (
        r"Coefficients $g_{abcd}$ of the sorted monomials $\varphi_a\varphi_b\varphi_c\varphi_d$, posterior mean with "
        f"one standard deviation, sorted. Row {label} belongs to {monomial}; a coefficient counts all orderings of its "
        f"points, so that mixed ones are larger.{below}{_thinned(sum(c.site == 'g4' for c in fit.couplings))}"
    )


@reads
def four_point_caption(fit: Reading) -> str:
    """For `plots.plot_four_point`."""
    observed, constants = fit.group("observed_data"), fit.constants
    predicted = (
        " Bars: what the fitted quartic couplings predict with the two-point function on every line, from tree level "
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
        f"{'exact' if known else 'measured'} value, in units of $\\varphi^4$. Dots: measured, with one standard error."
        f"{predicted}{_thinned(len(observed['G4']))}"
    )
    if not known:
        return text
    pull = ((observed["G4"] - constants["G4_exact"]) / fit.errors("G4")).values
    return text + (
        " Diamonds: exact. Right: distance of the measured value from the exact one in standard errors, root mean "
        f"square {np.sqrt(np.mean(pull**2)):.2f}; the band is ±2. Components share their noise, and move "
        "together."
    )


def schwinger_dyson_caption(z: np.ndarray, error: np.ndarray, contained: np.ndarray) -> str:
    """For `plots.plot_schwinger_dyson`."""
    outside, solved = z[~contained], int(np.sum(error == 0))
    inside = int(np.sum(contained))
    which = "all" if solved == inside else str(solved)
    exactly = f", {which} of them solved exactly by the fit (last row)" if solved else ""
    rings = f"Rings: the {inside} monomials the action contains{exactly}.{_thinned(len(z) - solved)}"
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
        "Intervals of prior (wide bars) and posterior (narrow ones); the dot is the posterior mean. The axis is linear "
        f"near zero and logarithmic beyond. On the right, how many times the data narrowed each coupling{middle}; "
        f"where this is near one, the prior speaks.{_thinned(len(fit.couplings))}"
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


def _thinned(rows: int) -> str:
    """What to say where not all rows are drawn."""
    if rows <= MOST_ROWS:
        return ""
    return f" Of {rows} rows {MOST_ROWS} are drawn: ten at each end and an even choice between; all are in `fit.nc`."


def _example(fit: Reading) -> tuple[str, str, str]:
    """A row that the four-point figure has: its label, its monomial, its points."""
    points = min(fit.constants.sizes["x"], 3)
    quad = ((0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 1, 2))[points - 1]
    powers = {1: "", 2: "^2", 4: "^4"}
    monomial = "".join(rf"\varphi_{a}{powers[quad.count(a)]}" for a in dict.fromkeys(quad))
    return "".join(map(str, quad)), f"${monomial}$", ", ".join(f"$x_{a}$" for a in quad)
