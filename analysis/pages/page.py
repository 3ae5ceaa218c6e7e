"""A fit as one page of HTML that needs nothing else: verdicts, a paragraph, figures, tables, the action, how to redo.

Figures are embedded, styles stand in the page, there is no script and nothing is loaded. The frame is `page.html`, its
looks are `page.css`; what is said with numbers is written here.
"""

import base64
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from matplotlib.figure import Figure

from ...models.theories.recipes import code, described
from ...models.theories.registry import THEORIES
from ..checks.check import Check
from ..figures import posterior as plots
from ..figures.canvas import png
from ..reading.couplings import INTERVAL, Coupling, indices
from ..reading.fit import Reading, reads
from ..reading.residuals import schwinger_dyson
from ..reading.typesetting import count, significant, typeset, with_error
from . import captions
from .formulas import mathml, prose
from .paragraph import action_name, drawn, origin, paragraph, where
from .session import command, session

__all__ = ["page"]

_LONG = 60  # rows beyond which a table is folded
_GRAVITY = ("fail", "warn", "pass", "note")
_SIGNS = {"pass": "✓", "warn": "!", "fail": "✗", "note": "·"}
_TALLY = {"fail": ("fails", "fail"), "warn": ("warns", "warn"), "pass": ("passes", "pass"), "note": ("notes", "note")}


@reads
def page(seen: Reading, checks: Iterable[Check]) -> str:
    """The page of a fit, from what is in the tree and the verdicts of `diagnose`."""
    checks = list(checks)
    frame = files(__package__)
    name = typeset(action_name(seen))
    title = f"{name[0].upper()}{name[1:]} of {'' if 'networks' in origin(seen) else f'{drawn(seen)} '}{origin(seen)}"
    made = str(seen.attrs.get("created_at", ""))[:10]
    subtitle = f"{count(float(seen.attrs['networks']))} {drawn(seen)} {where(seen)}, {made}"
    found = [*[*seen.couplings, *seen.quadratics], *seen.hyper_parameters]
    return Template((frame / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(frame / "page.css").read_text(encoding="utf-8"),
        subtitle=escape(subtitle.rstrip(", ")),
        tally=_tally(checks),
        verdicts="\n".join(_verdict(check) for check in sorted(checks, key=lambda c: _GRAVITY.index(c.verdict))),
        paragraph=_maths(paragraph(seen, checks)),
        definitions=_definitions(seen),
        figures="\n".join(_figures(seen)),
        couplings_text=_couplings_text(seen),
        couplings=_fold(_coupling_table(seen, found), len(found), "couplings"),
        checks=_check_table(checks),
        points=_points(seen),
        action=_action(seen, checks),
        reproduce=_reproduce(seen),
    )


def _definitions(seen: Reading) -> str:
    """What the numbers of the paragraph are."""
    eps4 = (
        "ε<sub>4</sub> = (‖G<sub>4</sub><sup>c</sup>‖<sup>2</sup>/24)<sup>1/2</sup>, where "
        "G<sub>4</sub><sup>c</sup> is the connected four-point function whitened by the two-point function, and the "
        "norm sums the squares of all its components, every ordering of the points: to leading order the root of the "
        "χ² distance to the Gaussian. "
    )
    score = "The Hyvärinen score is J = ⟨½ ∇S·W∇S − Δ<sub>W</sub>S⟩, lower is better; a gain is J<sub>Gauss</sub> − J."
    return f"{eps4 if 'eps4' in seen.group('constant_data').attrs else ''}{score}"


def _tally(checks: list[Check]) -> str:
    parts = []
    for verdict, (one, many) in _TALLY.items():
        number = sum(check.verdict == verdict for check in checks)
        if number:
            parts.append(f'<span class="{_class(verdict)}">{number} {one if number == 1 else many}</span>')
    return f"{len(checks)} checks: {', '.join(parts)}. Reasons are in the <a href='#checks'>table</a> below."


def _verdict(check: Check) -> str:
    limit = "" if check.limit in ("none", "") else f" (limit {_maths(check.limit)})"
    name = f"{_SIGNS[check.verdict]} {check.verdict}: {_maths(check.name)}"
    return f'<li class="{_class(check.verdict)}"><b>{name}</b><span>{_maths(check.value)}{limit}</span></li>'


def _maths(text: str) -> str:
    """Plain text as HTML, with true indices on the symbols of checks and couplings."""
    text = escape(typeset(text), quote=False).replace("ε₄", "ε<sub>4</sub>").replace("G₄ᶜ", "G<sub>4</sub><sup>c</sup>")
    text = re.sub(r"([≤≥<>±]|&[lg]t;) (?=[\d−])", "\\1\u00a0", text)  # a sign stays with its number
    text = re.sub(r"(?<=\d) ±", "\u00a0±", text)
    text = text.replace("p_eff", "p<sub>eff</sub>")
    return re.sub(r"\b([guvq])[46]?\[([\d,]+)\]", lambda m: f"{m[1]}<sub>{indices(m[2])}</sub>", text)


def _class(verdict: str) -> str:
    return "note-verdict" if verdict == "note" else verdict


def _figures(seen: Reading) -> Iterable[str]:
    yield _figure(plots.plot_couplings(seen), "Couplings with their uncertainties", captions.couplings_caption(seen))
    if "G4" in seen.group("observed_data"):
        caption = captions.four_point_caption(seen)
        yield _figure(plots.plot_four_point(seen), "Connected four-point function", caption)
    else:
        points = seen.constants.sizes["x"]
        yield _left_out(
            "Connected four-point function", f"Not measured at {points} points: it has too many components."
        )
    if "rich_matrix" in seen.constants:
        z, error, contained = schwinger_dyson(seen)
        if np.any(error > 0):
            caption = captions.schwinger_dyson_caption(z, error, contained)
            yield _figure(plots.plot_schwinger_dyson(seen), "Schwinger–Dyson residuals", caption)
        else:
            solved = "their equation" if len(z) == 1 else f"all {len(z)} of their equations"
            why = f"The action contains every quartic monomial, and the fit solves {solved}: none is left to test it."
            yield _left_out("Schwinger–Dyson residuals", why)
    else:
        why = (
            "The equations of all quartic monomials are kept for quartic actions of at most 8 points whose quadratic "
            "part has every pair of points; this is none."
        )
        yield _left_out("Schwinger–Dyson residuals", why)
    caption = captions.prior_caption(seen)
    yield _figure(plots.plot_prior_posterior(seen), "Prior and posterior of the couplings", caption)
    title = "Traces and ranks of the slowest couplings"
    if seen.markov:
        yield _figure(plots.plot_trace_rank(seen), title, captions.trace_caption(seen))
    else:
        exact = {"closed": "the closed posterior", "svi": "the variational guide"}.get(seen.sampler)
        what = f"independent ones from {exact}" if exact else f"those of the sampler {seen.sampler}"
        yield _left_out(title, f"The draws are {what}: there are no chains to look at.")


def _left_out(title: str, why: str) -> str:
    return f"<h3>{escape(title)}</h3><p>{escape(why)}</p>"


def _figure(figure: Figure, alt: str, caption: str) -> str:
    data = base64.b64encode(png(figure)).decode("ascii")
    return (
        f'<figure><h3>{escape(alt)}</h3><img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{prose(caption)}</figcaption></figure>"
    )


def _couplings_text(seen: Reading) -> str:
    method = seen.method
    errors = {
        "gold": "The errors are those of the likelihood, the noise of the reference fields included",
        "tree": "The errors are those of the measured four-point function; the truncation bias, what the next order "
        "would take off the mean, is not in them",
    }.get(
        method,
        "The errors are those of a finite number of networks (sandwich covariance of the "
        f"{'pseudo-likelihood' if method == 'pseudo' else 'score'} equations)",
    )
    chains = "ESS is the effective number of draws (bulk), R̂ compares the chains. " if seen.markov else ""
    one, found = seen.action, [*seen.couplings, *seen.quadratics]
    names = dict.fromkeys(c.site for c in found[len(seen.couplings) :])
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
        if seen.hyper_parameters
        else ""
    )
    return prose(
        f"Posterior mean, standard deviation and equal-tailed {round(100 * INTERVAL)} % interval, beside the "
        f"standard deviation of the prior. {chains}{errors}; what the action leaves out is not in them. The quadratic "
        f"couplings {last} come last{index} Quadratic couplings are {units}.{smooth}"
    )


def _coupling_table(seen: Reading, found: list[Coupling]) -> str:
    chains, lost = seen.markov, any(np.isfinite(c.bias) for c in found)
    heads = ("mean", "sd", f"{round(100 * INTERVAL)} % interval", "prior sd")
    heads += (*(("truncation bias",) if lost else ()), *(("ESS", "R̂") if chains else ()))
    rows = []
    for c in found:
        digits = max(0, min(12, 1 - int(np.floor(np.log10(c.sd))))) if c.sd > 0 else 4
        mean, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in (c.mean, c.low, c.high))
        cells = (mean, significant(c.sd, 2), f"[{low}, {high}]", significant(c.prior_sd, 2))
        cells += (f"{c.bias:.{digits}f}".replace("-", "−"),) if lost else ()
        cells += (f"{c.ess:.0f}", f"{c.rhat:.4f}") if chains else ()
        inner = "".join(f'<td data-of="{head}">{cell}</td>' for head, cell in zip(heads, cells, strict=True))
        rows.append(f"<tr><th scope='row'>{mathml(c.tex)}</th>{inner}</tr>")
    head = "".join(f"<th scope='col'>{text}</th>" for text in ("", *heads))
    return f'<table class="numbers stack two"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _check_table(checks: list[Check]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{_maths(c.name)}</th>"
        f'<td data-of="verdict" class="{_class(c.verdict)}"><b>{c.verdict}</b></td>'
        f'<td data-of="value">{_maths(c.value)}</td><td data-of="limit">{_maths(c.limit)}</td>'
        f'<td data-of="why" class="wide">{_maths(c.why)}</td></tr>'
        for c in checks
    )
    head = "".join(f"<th scope='col'>{text}</th>" for text in ("check", "verdict", "value", "limit", "why"))
    return f'<table class="checks stack"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _fold(table: str, rows: int, what: str) -> str:
    return table if rows <= _LONG else f"<details><summary>All {rows} {what}</summary>{table}</details>"


def _points(seen: Reading) -> str:
    constants, observed = seen.constants, seen.group("observed_data")
    if "metric" not in constants:  # a lattice, whose sites are alike
        variance = significant(float(constants["two_point"].values[0]), 4)
        return (
            f"<p>The field lives {escape(where(seen))}, sites in C order as <code>field.reshape(-1)</code> has them. "
            f"⟨φ²⟩ = {variance}, averaged over sites and {drawn(seen)}.</p><p>{_metric(seen)}</p>"
        )
    places, weights = constants["x_position"].values, constants["weights"].values
    modes = seen.action.of_modes
    columns = {"position": [", ".join(f"{x:.5g}".replace("-", "−") for x in place) for place in places]}
    columns["weight w"] = [f"{weight:.4g}" for weight in weights]
    if modes:  # numbers of the modes have neither position nor weight
        columns = {}
    if "G2" in observed:
        same = (observed["pair_x1"] == observed["pair_x2"]).values
        pairs = zip(observed["G2"].values[same], seen.errors("G2")[same], strict=True)
        columns["measured ⟨c²⟩" if modes else "measured ⟨φ²⟩"] = [with_error(value, error) for value, error in pairs]
    rows = []
    for k in range(len(places)):
        inner = "".join(f'<td data-of="{head}">{cells[k]}</td>' for head, cells in columns.items())
        rows.append(f"<tr><th scope='row'>{'c' if modes else 'x'}<sub>{k}</sub></th>{inner}</tr>")
    head = "".join(f"<th scope='col'>{text}</th>" for text in ("", *columns))
    table = f'<table class="numbers stack two"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return _fold(table, len(rows), "modes" if modes else "points") + f"<p>{_metric(seen)}</p>"


def _metric(seen: Reading) -> str:
    """Which matrix contracts the indices of a gradient."""
    told = str(seen.attrs.get("metric_from", "given"))
    inner = re.fullmatch(r"variances \((.*)\)", told)
    what = {
        "given": "was given by hand; the checks take the two-point function K of the field",
        "exact kernel": "is the exact two-point function G<sub>2</sub>",
        "two-point function of the data": "is the measured two-point function G<sub>2</sub>",
    }.get(told, f"is the two-point function G<sub>2</sub> of {escape(told)}")
    if inner or told == "average over sites":
        of = "the same at every site" if "average" in told else f"of {escape(inner[1])}" if inner else ""
        what = f"is diagonal, the variance of the field, {of}"
    elif seen.action.of_modes:
        which, _, of = told.partition("), ")
        told_of = "was given by hand, and is seen in" if of == "given" else "is the unit matrix in"
        what = f"{told_of} the leading {escape(which)}) of the two-point function ({escape(of)})"
    return f"The metric W of score matching {what}."


def _field(seen: Reading) -> str:
    """What phi is and how it is normalised."""
    model = seen.recipe.get("model")
    if not model:
        return "<p>φ is the field as it was given, in its own units.</p>"
    line = f"<code>{escape(code(model))}</code>"
    if model.get("class") != "Network":
        return f"<p>φ is the field of the NumPyro model {line}, in its own units.</p>"
    neuron = model["options"]["neuron"]
    name = neuron.get("class") if isinstance(neuron, dict) else None
    known = [theory.activation for theory in THEORIES.values() if described(theory.neuron)["class"] == name]
    told = ""
    if known:
        scales = (
            "sW = weight_scale" + (", sb = bias_scale" if "sb" in known[0] else "") if "W" in known[0] else "m = mass"
        )
        told = f" The neuron is <code>{escape(known[0])}</code>, {scales}, d the dimension of x."
    return (
        "<p class='maths'>φ(x) = N<sup>−1/2</sup> ∑<sub>i=1…N</sub> W<sub>i</sub> s<sub>i</sub>(x) + b</p>"
        "<p>N is the width, output_scale the standard deviation of W<sub>i</sub>, output_bias that of b."
        f"{told} These networks: {line}.</p>"
    )


def _action(seen: Reading, checks: list[Check]) -> str:
    one = seen.action
    unbounded = [check for check in checks if check.name == "draws unbounded below" and check.verdict != "pass"]
    beyond = (
        f" In {_maths(unbounded[0].value)} posterior draws the {'sextic' if seen.action.degree > 4 else 'quartic'} "
        "part is negative in some direction, so that exp(−S) itself is no density: S is then formal (perturbative), "
        "the beginning of an expansion around the Gaussian."
        if unbounded
        else ""
    )
    place = "modes" if one.of_modes else "field on this lattice" if one.lattice else "field at these points"
    named = r"\varphi_a" in one.formula and not one.of_modes
    names = r"; $\varphi_a = \varphi(x_a)$, with a the number of a point" if named else ""
    what = f"S is fitted to minus the logarithm of the density of the {place}, up to a constant{names}."
    return (
        f'{_field(seen)}<div class="maths">{mathml(one.formula, display=True)}</div>'
        f"<p>{prose(f'{what} {one.meaning}')}{beyond} The quadratic part is fitted "
        f"together with the rest, since each shifts the other.</p><p>{escape(one.belongs)}</p>"
    )


def _reproduce(seen: Reading) -> str:
    parts: list[str] = []
    if "study" in seen.attrs:
        parts.append("<p>On the command line, <code>nnft run study.toml -o out/</code> with this file:</p>")
        parts.append(f"<pre>{escape(str(seen.attrs['study']).rstrip())}</pre><p>The same in a session:</p>")
    elif line := command(seen):
        parts.append(f"<p>On the command line:</p><pre>{escape(line)}</pre><p>The same in a session:</p>")
    parts.append(f"<pre>{escape(session(seen))}</pre>")
    names = [str(name) for name in seen.attrs]
    told = ", ".join(f"{n.removesuffix('_version')} {seen.attrs[n]}" for n in names if n.endswith("_version"))
    python = f"Python {seen.attrs['python']}, " if "python" in seen.attrs else ""
    made = f"Fitted {seen.attrs['created_at']} with " if "created_at" in seen.attrs else "With "
    parts.append(f"<p>{escape(made + python + told)}.</p>")
    parts.append(
        "<p>Beside this page: <code>fit.nc</code> with all draws, data and equations, to be read with "
        "<code>an.load(folder)</code>, and <code>summary.json</code> with the numbers of this page.</p>"
    )
    return "\n".join(parts)
