"""A published experiment as a folder: one page with one figure and its tables, and the same numbers as JSON.

`index.html` needs nothing beside it. The figure shows m_n(N) with its noise, the fall of the connected functions with
the width, and the singular values of the three coupling models: those below the line cannot be told apart.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from ...models.files import write_whole
from ..figures.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, STYLE, Figure
from ..pages.frame import drawn_figure, render
from ..pages.paragraph import count, significant, with_error
from ..pages.report import check_folder, plain, written_summary
from .published import MODELS, ORDERS, WIDTHS, Experiment, Fit, Slope, check_arguments, experiment

__all__ = ["experiment_page", "experiment_verdicts", "plot_experiment", "run_experiment"]

_SYMBOLS = {"local": "λ₀", "quadratic": "λ₂", "nonlocal": "λ_NL"}
_APART = 4.5  # errors: of all slopes of a page once in ten thousand pages
_COLOURS = {2: GREY, 4: BLUE, 6: ORANGE}
_MARKS = {"field": "o", "readout": "s", "neuron": "x"}


def run_experiment(
    name: str,
    out: str | Path,
    *,
    n: int = 50_000,
    widths: Sequence[int] = WIDTHS,
    seed: int = 0,
    force: bool = False,
    progress: bool = False,
) -> Path:
    """Run a published experiment and write index.html and summary.json into a folder; returns the page's path.

    Args:
        name: "hms-gauss", "hms-erf" or "hms-relu".
        out: the folder; made if it is not there.
        n: as in `experiment`.
        widths: as in `experiment`.
        seed: as in `experiment`.
        force: replace the two files in a folder that exists.
        progress: bars for what takes long.

    Raises:
        ValueError: before any work: what `experiment` refuses, a folder that exists or cannot be written.

    Example, as `nnft run hms-relu -o out/`; what is not known is refused before any work:
        >>> run_experiment("hms-tanh", "out")
        Traceback (most recent call last):
        ValueError: expected an experiment among hms-gauss, hms-erf, hms-relu, got 'hms-tanh'; try 'hms-gauss'
    """
    _, n, widths = check_arguments(name, n, widths, seed)
    folder = check_folder(out, force=force)
    found = experiment(name, n=n, widths=widths, seed=seed, progress=progress)
    texts = {"summary.json": _summary(found), "index.html": experiment_page(found)}
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
    return folder / "index.html"


def experiment_verdicts(folder: str | Path) -> tuple[str, bool] | None:
    """What a folder of `run_experiment` found, one line a slope, and whether all slopes agree with the exact ones.

    Neurons are independent given their shared parameters, so that G4c falls as 1/N and G6c as 1/N^2. None for any other
    folder.
    """
    held = written_summary(folder)
    if "experiment" not in held:
        return None
    lines, passed = [], True
    for one in held["slopes"]:
        name = f"slope of G{one['order']}c, {one['space']} space"
        if one["why"]:
            lines.append(f"note  {name:<31}refused: {one['why']}")
            continue
        exact = 1.0 - one["order"] / 2.0
        apart = (one["value"] - exact) / one["error"]
        passed &= abs(apart) <= _APART
        verdict = "pass" if abs(apart) <= _APART else "fail"
        found = f"{one['value']:.4g} +- {one['error']:.2g}, exact {exact:g}"
        lines.append(f"{verdict}  {name:<31}{found}  ({apart:+.1f} errors, limit {_APART})")
    return "\n".join([*lines, *([held["words"]] if "words" in held else [])]), passed


def plot_experiment(found: Experiment) -> Figure:
    """m_n(N) in field space with exact lines and noise floors; G_c(N) in three spaces; singular values of the fits."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 8.4), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, height_ratios=[1.2, 1.2, 0.8])
        for order in ORDERS:
            colour, exact = _COLOURS[order], found.of("exact", order)
            field = [d for d in found.of("field", order) if not d.why]
            if order > 2:
                top.plot([d.width for d in exact], [d.value for d in exact], color=colour, lw=0.9)
            widths = [d.width for d in field]
            error = [[min(d.error, 0.9 * d.value) for d in field], [d.error for d in field]]
            top.errorbar(widths, [d.value for d in field], error, fmt="o", color=colour, ms=3.5, label=f"n = {order}")
            top.plot(widths, [d.floor for d in field], ":", color=colour, lw=1.0)
            if order == 2:
                continue
            middle.plot([d.width for d in exact], [d.connected for d in exact], color=colour, lw=0.9)
            for space, mark in _MARKS.items():
                # A logarithmic axis has no place for what is below zero: only what is above two errors is drawn.
                clear = [d for d in found.of(space, order) if not d.why and d.connected > 2.0 * d.connected_error]
                drawn = np.reshape([(d.width, d.connected, d.connected_error) for d in clear], (-1, 3)).T
                style = {"color": colour, "mfc": "none", "ms": 4.0, "lw": 0.8}
                middle.errorbar(*drawn, fmt=mark, label=f"n = {order}, {space}: {_power(found, space, order)}", **style)
        for panel, what in ((top, r"$m_n(N)$"), (middle, r"mean of $G^{(n)}_c/G^{(n)}_{GP}$")):
            panel.set(xscale="log", yscale="log", ylabel=what)
            panel.set_xlabel("width N")
            panel.set_xticks(_apart(found.widths), [str(width) for width in _apart(found.widths)])
            panel.minorticks_off()
        # Above the panels: inside, the legends would cover what falls.
        top.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
        middle.legend(loc="lower left", bbox_to_anchor=(-0.15, 1.0), ncols=2, fontsize=6.5, columnspacing=0.8)
        exact_fits = [fit for fit in found.fits if fit.space == "exact" and fit.result is not None]
        for row, fit in enumerate(exact_fits):
            assert fit.result is not None
            shown = np.maximum(fit.result.singular_values, 1e-17)
            good = shown > fit.result.accuracy
            bottom.plot(shown[good], np.full(np.sum(good), row), "o", color=GREEN, ms=5.0)
            bottom.plot(shown[~good], np.full(np.sum(~good), row), "x", color=ORANGE, ms=6.0)
            bottom.plot([fit.result.accuracy] * 2, [row - 0.35, row + 0.35], color=BLACK, lw=1.0)
        names = {"local": r"$\lambda_0$", "quadratic": r"$\lambda_2$", "nonlocal": r"$\lambda_{NL}$"}
        labels = [", ".join(names[name] for name in fit.model) for fit in exact_fits]
        bottom.set_yticks(range(len(exact_fits)), labels)
        bottom.set(xscale="log", xlabel="singular value of the design / largest", ylim=(len(exact_fits) - 0.4, -0.6))
    return figure


def _apart(widths: Sequence[int]) -> list[int]:
    """Widths far enough apart on a logarithmic axis for their names."""
    kept = [widths[0]]
    for width in widths[1:]:
        if np.log(width / kept[-1]) > 0.12 * np.log(widths[-1] / widths[0]):
            kept.append(width)
    return kept


def experiment_page(found: Experiment) -> str:
    """The page of an experiment, self-contained HTML."""
    title = f"Published experiment {found.name}: {found.setting.neuron.__name__} networks against their limit"
    places = ", ".join(f"{x:.4g}" for x in found.setting.points[:, 0])
    caption = (
        f"Widths N = {', '.join(map(str, found.widths))}; n = {count(found.n)} networks each, "
        f"key(seed = {found.seed}), "
        f"points {places}. Top: $m_n(N)$ over networks, one standard error; lines exact; "
        "dotted the noise floor, "
        "what noise alone would give. Middle: signed mean of the connected function over the limit, with the fitted "
        "power of N; values within two errors of zero are not drawn, but count in the fit. Bottom: singular values of "
        "the design of each coupling model, columns scaled to one; crosses are combinations that cannot be told apart "
        "at the accuracy marked by the bar."
    )
    figure = plot_experiment(found)
    parts = _parts(found)
    return render(
        "published.html",
        title=title,
        subtitle=_where(found),
        lead=_lead(found),
        shown=drawn_figure(
            figure, "Deviation from the limit, its fall with the width, and the couplings", caption, _lead(found)
        ),
        top=parts[0],
        parts=parts[1:],
    )


def _published(found: Experiment) -> list[list[Any]]:
    """What arXiv:2008.08601 says beside what was found: the powers of N, and N lambda_0 where its formula is closed."""
    rows = [
        [
            f"power of N of the {s.order}-point function, {s.space} space",
            f"−{s.order // 2 - 1}",
            s.why or with_error(s.value, s.error),
        ]
        for s in found.slopes
    ]
    known = found.setting.closed_coupling
    for fit in found.fits:
        if fit.model == ("local",):
            said = "no closed form" if known is None else significant(known, 6)
            ours = fit.why if fit.result is None else _value(found, *fit.result.coupling("local"))
            rows.append([f"N λ₀ of the local model, {fit.space} correlators", said, ours])
    return rows


def _where(found: Experiment) -> str:
    """Where the points are, and the cutoff and the widths."""
    setting = found.setting
    points, fitted, predicted = (
        ", ".join(f"{x:.4g}" for x in places[:, 0])
        for places in (setting.points, setting.fit_points, setting.coupling_points)
    )
    return (
        f"Deviations at x = {points}, widths N = {', '.join(map(str, found.widths))}, {count(found.n)} networks each; "
        f"couplings at x = {fitted}, N = {setting.coupling_width}, vertices at |y| ≤ Λ = {setting.cutoff:g}; six-point "
        f"function at x = {predicted}."
    ).replace("-", "−")


def _parts(found: Experiment) -> list[dict[str, Any]]:
    """The tables with their headings and what they show."""
    fitted, predicted = (
        ", ".join(f"{x:.4g}" for x in places[:, 0])
        for places in (found.setting.fit_points, found.setting.coupling_points)
    )
    return [
        {
            "title": "Published and found",
            "text": "Published: the powers of N that independent neurons have, and the single local coupling times N "
            "from its formula where that is closed: ReLU −12.5/Λ⁵; Gauss at x = 0 on the whole line. Found: with one "
            "standard error, from exact correlators without.",
            "heads": ("", "published", "found"),
            "rows": _published(found),
            "fold": False,
        },
        {
            "title": "Deviations",
            "text": r"$m_n$ = mean over sorted tuples of $|G/G_{GP} - 1|$, $G_{GP}$ the sum over pairings of the exact "
            "kernel. Noise makes it positive: compare with the floor. A mean of absolute values has its stated error "
            "only well above the floor.",
            "heads": ("N", "n", "space", "m_n", "floor", "mean of G_c/G_GP"),
            "rows": _deviations(found),
            "fold": True,
        },
        {
            "title": "Powers of the width",
            "text": r"Of the signed mean of $G_c/G_{GP}$; −1 for n = 4 and −2 for n = 6 if neurons are independent. "
            "Readout space draws whole hidden layers, and tests that they are; neuron space draws other neurons at "
            "every width, of which the prefactor is measured and 1/N taken for granted.",
            "heads": ("n", "space", "power of N"),
            "rows": [[s.order, s.space, s.why or with_error(s.value, s.error)] for s in found.slopes],
            "fold": False,
        },
        {
            "title": "Couplings",
            "text": f"Vertices at |y| ≤ Λ = {found.setting.cutoff:g}, points {fitted}, N = "
            f"{found.setting.coupling_width}; given is the coupling times N, from least squares with equal weights and "
            "errors from the full covariance of $G_4^c$.",
            "heads": ("model", "from", "times N", "condition", "misfit"),
            "rows": _fits(found),
            "fold": False,
        },
        {
            "title": "Six-point function",
            "text": f"Predicted where nothing was fitted, at the points {predicted}. First order in the couplings, no "
            "connected six-point function: mean over sorted tuples of |predicted/true − 1|. Couplings from exact "
            "$G_4^c$ against the exact six-point function; where the truth is a field, couplings from neurons.",
            "heads": ("N", "truth", "model", "mean |relative|", "signed mean", "χ² of the difference"),
            "rows": _six(found),
            "fold": False,
        },
    ]


def _lead(found: Experiment) -> str:
    local, joint = (
        next(fit.result for fit in found.fits if (fit.space, fit.model) == ("exact", model))
        for model in (("local",), MODELS[-1])
    )
    assert local is not None
    assert joint is not None
    value = local.coupling("local")[0] * found.setting.coupling_width
    verdict = f"The three-coupling model is refused: {joint.why}." if joint.why else "All couplings are resolved."
    refused = next((d.why for d in found.deviations if d.space == "field" and d.why), "")
    tail = f" Averages refused at the narrowest width concerned: {refused}." if refused else ""
    return f"The single local coupling times the width is {value:.6g}, from exact correlators. {verdict}{tail}"


def _deviations(found: Experiment) -> list[list[Any]]:
    rows = []
    for d in found.deviations:
        signed = "–" if d.order == 2 or d.why else with_error(d.connected, d.connected_error)
        cells = [d.why] if d.why else [with_error(d.value, d.error), significant(d.floor, 2), signed]
        rows.append([d.width, d.order, d.space, *cells])
    return rows


def _fits(found: Experiment) -> list[list[Any]]:
    rows = []
    for fit in found.fits:
        result = fit.result
        if result is None:
            rows.append([_plain_model(fit.model), fit.space, fit.why])
            continue
        given = [f"{_sum(fit, c.coefficients)} = {_value(found, c.value, c.error)}" for c in result.combinations]
        if not result.why and len(fit.model) > 1:
            given = [f"{_SYMBOLS[name]} = {_value(found, *result.coupling(name))}" for name in fit.model]
        refusal = f" Refused apart: {result.why}." if result.why else ""
        condition = "∞" if math.isinf(result.condition) else f"{result.condition:.3g}"
        rows.append([_plain_model(fit.model), fit.space, "; ".join(given) + refusal, condition, f"{result.misfit:.2g}"])
    return rows


def _six(found: Experiment) -> list[list[Any]]:
    rows = []
    for s in found.six_point:
        signed = with_error(s.signed, s.error) if s.error > 0 else significant(s.signed, 3)
        rows.append([s.width, s.space, _plain_model(s.model), significant(s.residual, 3), signed, str(s.chi2 or "")])
    return rows


def _plain_model(model: Sequence[str]) -> str:
    return " + ".join(model) or "no coupling"


def _sum(fit: Fit, coefficients: np.ndarray) -> str:
    terms = [f"{c:.4g} {_SYMBOLS[name]}" for c, name in zip(coefficients, fit.model, strict=True)]
    return " + ".join(terms).replace("+ -", "− ").removeprefix("1 ")


def _value(found: Experiment, value: float, error: float) -> str:
    width = found.setting.coupling_width
    return with_error(value * width, error * width) if error > 0 else significant(value * width, 6)


def _power(found: Experiment, space: str, order: int) -> str:
    slope: Slope = next(s for s in found.slopes if (s.space, s.order) == (space, order))
    return "refused" if slope.why else with_error(slope.value, slope.error)


def _summary(found: Experiment) -> str:
    fits = []
    for fit in found.fits:
        row = {"space": fit.space, "model": fit.model, "width": found.setting.coupling_width}
        if (result := fit.result) is None:
            fits.append(row | {"refused": fit.why})
            continue
        row |= {"identifiable": not result.why, "combinations": [asdict(c) for c in result.combinations]}
        numbers = ("why", "condition", "singular_values", "accuracy", "misfit")
        fits.append(row | {n: getattr(result, n) for n in numbers} | {"chi2": result.chi2 and result.chi2._asdict()})
    setting = found.setting
    content = {
        "experiment": found.name,
        "words": _lead(found),
        "n": found.n,
        "seed": found.seed,
        "widths": found.widths,
        **{n: getattr(setting, n) for n in ("points", "fit_points", "coupling_points", "cutoff")},
        "deviations": [asdict(d) for d in found.deviations],
        "slopes": [asdict(s) for s in found.slopes],
        "couplings": fits,
        "six_point": [asdict(s) | {"chi2": s.chi2 and s.chi2._asdict()} for s in found.six_point],
    }
    return json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
