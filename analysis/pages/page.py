"""A fit as one page of HTML that needs nothing else: verdicts, a paragraph, figures, tables, the action, how to redo.

Figures are embedded, styles stand in the page, there is no script and nothing is loaded. The frame is
`frames/page.html`, its looks are `frames/page.css`; what is said with numbers is gathered here.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...models.theories.recipes import code, described
from ...models.theories.registry import THEORIES
from ...models.theories.sources import bibtex
from ...models.types import Vector
from ..checks.check import GROUPS, VERDICTS, Check, grouped
from ..figures import posterior as plots
from ..reading.couplings import INTERVAL
from ..reading.fit import Reading, reads
from ..reading.residuals import schwinger_dyson
from ..reading.typesetting import count, significant, typeset, with_error
from ..reading.uses import uses_of
from . import captions, seen
from .frame import drawn_figure, render
from .paragraph import action_name, drawn, explained, measured, origin, where
from .session import command, session
from .verdict import lines, sentence

__all__ = ["page"]

_MOST_AXES, _FIRST_AXES = 6, 4  # of a point: those of an image are not all said
_LONG = 60  # rows beyond which a table is folded
_TALLY = {"fail": ("fails", "fail"), "warn": ("warns", "warn"), "pass": ("passes", "pass"), "note": ("notes", "note")}
_EPS4 = (
    r"$\varepsilon_4 = (\|G_4^c\|^2/24)^{1/2}$, where $G_4^c$ is the connected four-point function whitened by the "
    "two-point function, and the norm sums the squares of all its components, every ordering of the points: to leading "
    "order the root of the χ² distance to the Gaussian."
)
_SCORE = (
    r"The Hyvärinen score is $J = \langle\frac{1}{2}\nabla S\cdot W\nabla S - \Delta_W S\rangle$, lower is better; a "
    r"gain is $J_\mathrm{Gauss} - J$: how much better than the best Gaussian an action fits."
)


@reads
def page(fit: Reading, checks: Iterable[Check]) -> str:
    """The page of a fit, from what is in the tree and the verdicts of `diagnose`."""
    checks = list(checks)
    name = typeset(action_name(fit))
    title = f"{name[0].upper()}{name[1:]} of {'' if 'networks' in origin(fit) else f'{drawn(fit)} '}{origin(fit)}"
    made = str(fit.attrs.get("created_at", ""))[:10]
    subtitle = f"{count(float(fit.attrs['networks']))} {drawn(fit)} {where(fit)}, {made}"
    attrs, points = fit.attrs, _points(fit)
    packages = ", ".join(f"{n.removesuffix('_version')} {v}" for n, v in attrs.items() if n.endswith("_version"))
    python = f"Python {attrs['python']}, " if "python" in attrs else ""
    first, *rest = [*_figures(fit)] or [None]
    return render(
        "page.html",
        title=title,
        subtitle=subtitle.rstrip(", "),
        verdict=sentence(fit, checks),
        lines=lines(fit, checks),
        first=first,
        figures=rest,
        groups=_groups(checks),
        tally=_tally(checks),
        summary=[measured(fit), explained(fit)],
        eps4=_EPS4 if "eps4" in fit.constants.attrs else "",
        score=_SCORE,
        interval=f"{INTERVAL:.0%}".replace("%", "\u202f%"),
        couplings_text=_couplings_text(fit),
        couplings=_coupling_table(fit),
        long=_LONG,
        points=points,
        sites="" if points else _sites(fit),
        metric=_metric(fit),
        line=code(fit.recipe["model"]) if fit.recipe.get("model") else "",
        neuron=_neuron(fit),
        action=fit.action,
        action_text=_action_text(fit),
        beyond=_beyond(fit, checks),
        study=str(attrs.get("study", "")).rstrip(),
        command=command(fit),
        session=session(fit),
        bibtex=bibtex(*uses_of(attrs)),
        versions=f"{f'Fitted {attrs["created_at"]} with ' if 'created_at' in attrs else 'With '}{python}{packages}",
    )


def _tally(checks: list[Check]) -> str:
    """How many of each verdict, in words."""
    counted = {verdict: sum(check.verdict == verdict for check in checks) for verdict in _TALLY}
    return f"{len(checks)} checks: " + ", ".join(f"{n} {_TALLY[verdict][n > 1]}" for verdict, n in counted.items() if n)


def _groups(checks: list[Check]) -> list[dict[str, Any]]:
    """Checks by what they are about: those to be read, the gravest first, and those that pass."""
    made = []
    for name, part in grouped(checks).items():
        open_ones = [check for check in part if check.verdict != "pass"]
        open_ones.sort(key=lambda check: -VERDICTS.index(check.verdict))
        passed = [check for check in part if check.verdict == "pass"]
        made.append({"name": name, "asks": GROUPS[name], "open": open_ones, "passed": passed})
    return made


def _figures(fit: Reading) -> Iterable[dict[str, str]]:
    """Those that have something to show, the couplings first."""
    title, caption = "Couplings with their uncertainties", captions.couplings_caption(fit)
    yield drawn_figure(plots.plot_couplings(fit), title, caption, seen.couplings_seen(fit))
    if "G4" in fit.group("observed_data"):
        title, caption = "Connected four-point function", captions.four_point_caption(fit)
        yield drawn_figure(plots.plot_four_point(fit), title, caption, seen.four_point_seen(fit))
    if "full_matrix" in fit.constants:
        z, error, contained = schwinger_dyson(fit)
        if np.any(error > 0):
            title, caption = "Schwinger–Dyson residuals", captions.schwinger_dyson_caption(z, error, contained)
            yield drawn_figure(plots.plot_schwinger_dyson(fit), title, caption, seen.schwinger_dyson_seen(fit))
    title, caption = "Prior and posterior of the couplings", captions.prior_caption(fit)
    yield drawn_figure(plots.plot_prior_posterior(fit), title, caption, seen.prior_seen(fit))
    if fit.markov:
        title, caption = "Traces and ranks of the slowest couplings", captions.trace_caption(fit)
        yield drawn_figure(plots.plot_trace_rank(fit), title, caption, seen.trace_seen(fit))


def _couplings_text(fit: Reading) -> str:
    chains = "ESS is the effective number of draws (bulk), R̂ compares the chains. " if fit.markov else ""
    one, found = fit.action, [*fit.couplings, *fit.quadratics]
    names = dict.fromkeys(c.site for c in found[len(fit.couplings) :])
    letters = {name: one.symbol(name) for name in names}
    last = " and ".join(f"${s.tex}$" if not s.step else f"${s.tex}(r)$" for s in letters.values())
    last = last.replace("$q$", "$q_{ab}$")
    if any(c.step for c in found):
        index = "; r is the displacement between two sites."
    elif any(c.where for c in found):
        what = "mode" if one.of_modes else "point"
        index = f"; an index is the number of a {what} in the list of {what}s below."
    else:
        index = "."
    units = "in units of $\\varphi^{-2}$, quartic ones in units of $\\varphi^{-4}$"
    units += ", sextic ones in units of $\\varphi^{-6}$" if one.degree > 4 else ""
    if one.of_modes:
        units = "numbers without units, those of fields of unit variance, like all others"
    smooth = (
        " The hyper-parameters of the smooth prior, in scaled fields $\\varphi_a$/sd, stand below: amplitude a, "
        "length ℓ and discrepancy d of each block of couplings."
        if fit.hyper_parameters
        else ""
    )
    return (
        "Posterior mean, standard deviation (sd) and interval, beside the standard deviation of the prior. "
        f"{chains}{fit.method_words.errors}; what the action leaves out is not in them. The quadratic couplings "
        f"{last} come last{index} Quadratic couplings are {units}.{smooth}"
    )


def _coupling_table(fit: Reading) -> dict[str, Any]:
    """Headings, and a row a coupling: its letter in TeX and its cells."""
    found = fit.every_coupling
    chains, lost = fit.markov, any(np.isfinite(c.bias) for c in found)
    heads = ("mean", "sd", "interval", "prior sd")
    heads += (*(("truncation bias",) if lost else ()), *(("ESS", "R̂") if chains else ()))
    rows = []
    for c in found:
        digits = max(0, min(12, 1 - int(np.floor(np.log10(c.sd))))) if c.sd > 0 else 4
        mean, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in (c.mean, c.low, c.high))
        cells = (mean, significant(c.sd, 2), f"[{low}, {high}]", significant(c.prior_sd, 2))
        cells += (f"{c.bias:.{digits}f}".replace("-", "−"),) if lost else ()
        cells += (f"{c.ess:.0f}", f"{c.rhat:.4f}") if chains else ()
        rows.append((c.tex, cells))
    return {"heads": heads, "rows": rows}


def _sites(fit: Reading) -> str:
    """In place of points, on a lattice, whose sites are alike."""
    variance = significant(float(fit.constants["two_point"].values.flat[0]), 4)
    return (
        f"The field lives {where(fit)}, sites in C order as `field.reshape(-1)` has them. ⟨φ²⟩ = {variance}, averaged "
        f"over sites and {drawn(fit)}."
    )


def _points(fit: Reading) -> dict[str, Any] | None:
    """Headings and a row a point or mode; None on a lattice."""
    constants, observed, modes = fit.constants, fit.group("observed_data"), fit.action.of_modes
    if "metric" not in constants:
        return None
    places, weights = constants["x_position"].values, constants["weights"].values
    columns = {"position": [_position(place) for place in places]}
    columns["weight w"] = [f"{weight:.4g}" for weight in weights]
    if modes:  # numbers of the modes have neither position nor weight
        columns = {}
    if "G2" in observed:
        same = (observed["pair_x1"] == observed["pair_x2"]).values
        pairs = zip(observed["G2"].values[same], fit.errors("G2")[same], strict=True)
        columns["measured ⟨c²⟩" if modes else "measured ⟨φ²⟩"] = [with_error(value, error) for value, error in pairs]
    rows = [(f"{'c' if modes else 'x'}_{{{k}}}", [cells[k] for cells in columns.values()]) for k in range(len(places))]
    return {"heads": list(columns), "rows": rows, "what": "modes" if modes else "points"}


def _position(place: Vector) -> str:
    """The coordinates of a point; of an image the first few."""
    shown = place if len(place) <= _MOST_AXES else place[:_FIRST_AXES]
    text = ", ".join(f"{x:.5g}".replace("-", "−") for x in shown)
    return text if len(shown) == len(place) else f"{text}, … ({len(place)} numbers)"


def _metric(fit: Reading) -> str:
    """Which matrix contracts the indices of a gradient."""
    where_from = str(fit.attrs.get("metric_from", "given"))
    inner = where_from.removeprefix("variances (").removesuffix(")") if where_from.startswith("variances (") else ""
    if inner or where_from == "average over sites":
        same = "average" in where_from
        return f"is diagonal, the variance of the field, {'the same at every site' if same else f'of {inner}'}"
    if fit.action.of_modes:
        which, _, of = where_from.partition("), ")
        how = "was given by hand, and is seen in" if of == "given" else "is the unit matrix in"
        return f"{how} the leading {which}) of the two-point function ({of})"
    return {
        "given": "was given by hand; the checks take the two-point function K of the field",
        "exact kernel": "is the exact two-point function $G_2$",
        "two-point function of the data": "is the measured two-point function $G_2$",
    }.get(where_from, f"is the two-point function $G_2$ of {where_from}")


def _neuron(fit: Reading) -> tuple[str, str] | None:
    """Of a network s(x) and its scales, where the suite knows them, else nothing; None of any other model."""
    model = fit.recipe.get("model") or {}
    if model.get("class") != "Network":
        return None
    neuron = model["options"]["neuron"]
    name = neuron.get("class") if isinstance(neuron, dict) else None
    known = next((t.activation for t in THEORIES.values() if described(t.neuron)["class"] == name), "")
    if not known:
        return ("", "")
    scales = "sW = weight_scale" + (", sb = bias_scale" if "sb" in known else "") if "W" in known else "m = mass"
    return known, scales


def _action_text(fit: Reading) -> str:
    """What S is fitted to, and what its couplings are."""
    one = fit.action
    place = "modes" if one.of_modes else "field on this lattice" if one.lattice else "field at these points"
    named = r"\varphi_a" in one.formula and not one.of_modes
    names = r"; $\varphi_a = \varphi(x_a)$, with a the number of a point" if named else ""
    what = f"S is fitted to minus the logarithm of the density of the {place}, up to a constant{names}."
    return " ".join(part for part in (what, one.meaning, str(fit.attrs.get("prior_meaning", ""))) if part)


def _beyond(fit: Reading, checks: list[Check]) -> str:
    """What to say where draws are unbounded below."""
    unbounded = [check for check in checks if check.name == "draws unbounded below" and check.verdict != "pass"]
    if not unbounded:
        return ""
    return (
        f"In {unbounded[0].value} posterior draws the {'sextic' if fit.action.degree > 4 else 'quartic'} part is "
        "negative in some direction, so that exp(-S) itself is no density: S is then formal (perturbative), the "
        "beginning of an expansion around the Gaussian."
    )
