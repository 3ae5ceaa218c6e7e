"""A fit as one page of HTML that needs nothing else: verdicts, a paragraph, figures, tables, the action, how to redo.

Figures are embedded, styles stand in the page, there is no script and nothing is loaded. The frame is `page.html`, its
looks are `page.css`; what is said with numbers is written here.
"""

import base64
import io
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..models.theories import THEORIES
from . import captions, plots
from .couplings import INTERVAL, Coupling, couplings, group, indices
from .diagnostics import Check
from .paragraph import ACTION_NAMES, count, drawn, model, origin, paragraph, significant, typeset, with_error
from .residuals import schwinger_dyson
from .session import command, session

__all__ = ["page"]

_DPI = 220
_LONG = 60  # rows beyond which a table is folded
_GRAVITY = ("fail", "warn", "pass", "note")
_SIGNS = {"pass": "✓", "warn": "!", "fail": "✗", "note": "·"}
_TALLY = {"fail": ("fails", "fail"), "warn": ("warns", "warn"), "pass": ("passes", "pass"), "note": ("notes", "note")}


def page(fit: xr.DataTree, checks: Iterable[Check]) -> str:
    """The page of a fit, from what is in the tree and the verdicts of `diagnose`."""
    checks = list(checks)
    frame = files(__package__)
    name = ACTION_NAMES[fit.attrs["action"]]
    title = f"{name[0].upper()}{name[1:]} of {'' if 'networks' in origin(fit) else 'networks '}{origin(fit)}"
    made = str(fit.attrs.get("created_at", ""))[:10]
    points = group(fit, "constant_data").sizes["x"]
    subtitle = f"{count(float(fit.attrs['networks']))} {drawn(fit)}, {points} point{'s' if points > 1 else ''}, {made}"
    found = couplings(fit, quadratic=True)
    return Template((frame / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(frame / "page.css").read_text(encoding="utf-8"),
        subtitle=escape(subtitle.rstrip(", ")),
        tally=_tally(checks),
        verdicts="\n".join(_verdict(check) for check in sorted(checks, key=lambda c: _GRAVITY.index(c.verdict))),
        paragraph=_maths(paragraph(fit, checks)),
        figures="\n".join(_figures(fit)),
        couplings_text=_couplings_text(),
        couplings=_fold(_coupling_table(found), len(found), "couplings"),
        checks=_check_table(checks),
        points=_points(fit),
        action=_action(fit, checks),
        reproduce=_reproduce(fit),
    )


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
    return re.sub(r"\b([guvq])4?\[([\d,]+)\]", lambda m: f"{m[1]}<sub>{indices(m[2])}</sub>", text)


def _class(verdict: str) -> str:
    return "note-verdict" if verdict == "note" else verdict


def _figures(fit: xr.DataTree) -> Iterable[str]:
    yield _figure(plots.plot_couplings(fit), "Couplings with their uncertainties", captions.couplings_caption(fit))
    yield _figure(plots.plot_four_point(fit), "Connected four-point function", captions.four_point_caption(fit))
    if "rich_matrix" in group(fit, "constant_data"):
        z, error, contained = schwinger_dyson(fit)
        if np.any(error > 0):
            caption = captions.schwinger_dyson_caption(z, error, contained)
            yield _figure(plots.plot_schwinger_dyson(fit), "Schwinger–Dyson residuals", caption)
        else:
            yield (
                "<h3>Schwinger–Dyson residuals</h3><p>The action contains every quartic monomial, and the fit solves "
                f"{'their equation' if len(z) == 1 else f'all {len(z)} of their equations'}: none is left to test "
                "it.</p>"
            )
    else:
        yield (
            "<h3>Schwinger–Dyson residuals</h3><p>At more than 8 points the equations of the quartic terms left out "
            "are not kept.</p>"
        )
    caption = captions.prior_caption(fit)
    yield _figure(plots.plot_prior_posterior(fit), "Prior and posterior of the couplings", caption)
    yield _figure(plots.plot_trace_rank(fit), "Traces and ranks of the slowest couplings", captions.trace_caption(fit))


def _figure(figure: Figure, alt: str, caption: str) -> str:
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=_DPI)
    data = base64.b64encode(held.getvalue()).decode("ascii")
    return (
        f'<figure><h3>{escape(alt)}</h3><img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _couplings_text() -> str:
    return (
        f"Posterior mean, standard deviation and equal-tailed {round(100 * INTERVAL)} % interval, beside the "
        "standard deviation of the prior. ESS is the effective number of draws (bulk), R̂ compares the chains. The "
        "errors are those of a finite number of networks (sandwich covariance of the score equations); what the "
        "action leaves out is not in them. The quadratic couplings q<sub>ab</sub> come last; an index is the number "
        "of a point in the <a href='#action'>list of points</a>. Quadratic couplings are in units of "
        "φ<sup>−2</sup>, quartic ones in units of φ<sup>−4</sup>."
    )


def _coupling_table(found: list[Coupling]) -> str:
    heads = ("mean", "sd", f"{round(100 * INTERVAL)} % interval", "prior sd", "ESS", "R̂")
    rows = []
    for c in found:
        digits = max(0, min(12, 1 - int(np.floor(np.log10(c.sd))))) if c.sd > 0 else 4
        mean, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in (c.mean, c.low, c.high))
        before, size, rhat = significant(c.prior_sd, 2), f"{c.ess:.0f}", f"{c.rhat:.4f}"
        cells = (mean, significant(c.sd, 2), f"[{low}, {high}]", before, size, rhat)
        inner = "".join(f'<td data-of="{head}">{cell}</td>' for head, cell in zip(heads, cells, strict=True))
        rows.append(f"<tr><th scope='row'>{c.html}</th>{inner}</tr>")
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


def _points(fit: xr.DataTree) -> str:
    constants, observed = group(fit, "constant_data"), group(fit, "observed_data")
    places, weights = constants["x_position"].values, constants["weights"].values
    same = (observed["pair_x1"] == observed["pair_x2"]).values
    variance, error = observed["G2"].values[same], observed["G2_error"].values[same]
    heads = ("position", "weight w", "measured ⟨φ²⟩")
    rows = []
    for k, (place, weight) in enumerate(zip(places, weights, strict=True)):
        position = ", ".join(f"{x:.5g}".replace("-", "−") for x in place)
        cells = (position, f"{weight:.4g}", with_error(variance[k], error[k]))
        inner = "".join(f'<td data-of="{head}">{cell}</td>' for head, cell in zip(heads, cells, strict=True))
        rows.append(f"<tr><th scope='row'>x<sub>{k}</sub></th>{inner}</tr>")
    head = "".join(f"<th scope='col'>{text}</th>" for text in ("", *heads))
    table = f'<table class="numbers stack two"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return _fold(table, len(rows), "points") + f"<p>{_metric(fit)}</p>"


def _metric(fit: xr.DataTree) -> str:
    """Which matrix contracts the indices of a gradient; the checks call it K."""
    told = str(fit.attrs.get("metric_from", "given"))
    what = {
        "given": "was given by hand",
        "exact kernel": "is the exact two-point function G<sub>2</sub>",
        "two-point function of the data": "is the measured two-point function G<sub>2</sub>",
    }.get(told, f"is the two-point function G<sub>2</sub> of {escape(told)}")
    return f"The metric W of score matching (K in the checks) {what}."


def _field(fit: xr.DataTree) -> str:
    """What phi is and how it is normalised."""
    line = model(fit)
    if not line:
        return "<p>φ is the field as it was given, in its own units.</p>"
    code = f"<code>{escape(line)}</code>"
    if not line.startswith("Network("):
        return f"<p>φ is the field of the NumPyro model {code}, in its own units.</p>"
    name = re.match(r"Network\(neuron=(\w+)\(", line)
    known = [theory.activation for theory in THEORIES.values() if name and type(theory.neuron).__name__ == name[1]]
    neuron = ""
    if known:
        scales = (
            "sW = weight_scale" + (", sb = bias_scale" if "sb" in known[0] else "") if "W" in known[0] else "m = mass"
        )
        neuron = f" The neuron is <code>{escape(known[0])}</code>, {scales}, d the dimension of x."
    return (
        "<p class='maths'>φ(x) = N<sup>−1/2</sup> ∑<sub>i=1…N</sub> W<sub>i</sub> s<sub>i</sub>(x) + b</p>"
        "<p>N is the width, output_scale the standard deviation of W<sub>i</sub>, output_bias that of b."
        f"{neuron} These networks: {code}.</p>"
    )


_QUADRATIC = "S = ∑<sub>a≤b</sub> q<sub>ab</sub> φ<sub>a</sub>φ<sub>b</sub> + "
_WRITTEN = {
    "Constant": (
        f"{_QUADRATIC}λ ∑<sub>x</sub> w<sub>x</sub> φ(x)<sup>4</sup>",
        "One coupling, the same at every point.",
    ),
    "Local": (
        f"{_QUADRATIC}∑<sub>x</sub> w<sub>x</sub> λ(x) φ(x)<sup>4</sup>",
        "The table gives g<sub>a</sub> = w<sub>a</sub> λ(x<sub>a</sub>).",
    ),
    "Bilocal": (
        f"{_QUADRATIC}∑<sub>x,y</sub> w<sub>x</sub>w<sub>y</sub> ∑<sub>i=0…3</sub> λ<sub>i</sub>(x,y) "
        "φ(x)<sup>i</sup>φ(y)<sup>4−i</sup>",
        "Different λ<sub>i</sub> can give the same S. What can be told apart are the coefficients g<sub>a</sub> of "
        "φ<sub>a</sub><sup>4</sup>, u<sub>ab</sub> of φ<sub>a</sub>φ<sub>b</sub><sup>3</sup> (a ≠ b) and "
        "v<sub>ab</sub> of φ<sub>a</sub><sup>2</sup>φ<sub>b</sub><sup>2</sup> (a &lt; b), and these are fitted. The "
        "λ<sub>i</sub> are shown in one gauge: λ<sub>0</sub> diagonal, λ<sub>1</sub> the transpose of "
        "λ<sub>3</sub>, λ<sub>2</sub> symmetric, and no diagonal in the last three. That is, λ<sub>0</sub>(a,a) = "
        "g<sub>a</sub>/w<sub>a</sub><sup>2</sup>, λ<sub>1</sub>(a,b) = λ<sub>3</sub>(b,a) = "
        "u<sub>ab</sub>/(2w<sub>a</sub>w<sub>b</sub>), λ<sub>2</sub>(a,b) = λ<sub>2</sub>(b,a) = "
        "v<sub>ab</sub>/(2w<sub>a</sub>w<sub>b</sub>).",
    ),
    "FullQuartic": (
        f"{_QUADRATIC}∑<sub>a≤b≤c≤d</sub> g<sub>abcd</sub> φ<sub>a</sub>φ<sub>b</sub>φ<sub>c</sub>φ<sub>d</sub>",
        "One coupling for each sorted quadruple of points: every quartic monomial. Quadrature weights are absorbed.",
    ),
}


def _action(fit: xr.DataTree, checks: list[Check]) -> str:
    formula, what = _WRITTEN[fit.attrs["action"]]
    unbounded = [check for check in checks if check.name == "draws unbounded below" and check.verdict != "pass"]
    beyond = (
        f" In {_maths(unbounded[0].value)} posterior draws the quartic part is negative in some direction, so that "
        "exp(−S) itself is no density: S is then the beginning of an expansion around the Gaussian."
        if unbounded
        else ""
    )
    return (
        f'{_field(fit)}<p class="maths">{formula}</p><p>S is fitted to minus the logarithm of the density of the field '
        "at these points, up to a constant; φ<sub>a</sub> = φ(x<sub>a</sub>), with a the number of a "
        f"point. {what}{beyond} The quadratic part is fitted together "
        "with the quartic one, since each shifts the other.</p><p>The couplings belong to this set of points: another "
        "set has other couplings, and two sets are compared through the correlators they predict.</p>"
    )


def _reproduce(fit: xr.DataTree) -> str:
    parts = []
    if "study" in fit.attrs:
        parts.append("<p>On the command line, <code>nnft run study.toml -o out/</code> with this file:</p>")
        parts.append(f"<pre>{escape(str(fit.attrs['study']).rstrip())}</pre><p>The same in a session:</p>")
    elif line := command(fit):
        parts.append(f"<p>On the command line:</p><pre>{escape(line)}</pre><p>The same in a session:</p>")
    parts.append(f"<pre>{escape(session(fit))}</pre>")
    names = [str(name) for name in fit.attrs]
    told = ", ".join(f"{n.removesuffix('_version')} {fit.attrs[n]}" for n in names if n.endswith("_version"))
    python = f"Python {fit.attrs['python']}, " if "python" in fit.attrs else ""
    made = f"Fitted {fit.attrs['created_at']} with " if "created_at" in fit.attrs else "With "
    parts.append(f"<p>{escape(made + python + told)}.</p>")
    parts.append(
        "<p>Beside this page: <code>fit.nc</code> with all draws, data and equations, to be read with "
        "<code>an.load(folder)</code>, and <code>summary.json</code> with the numbers of this page.</p>"
    )
    return "\n".join(parts)
