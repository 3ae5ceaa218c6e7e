"""phi^4 built of networks, held against the anharmonic oscillator that it is: one page, and its numbers as JSON.

Networks of several widths in a periodic box are reweighted, extrapolated to N = infinity, and compared with the exact
oscillator at inverse temperature L: <phi^2>, <phi^4>, log Z, the gap, G(t), and the couplings that a fit of the action
to the fields gives back.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np

from ... import __version__
from ...inference.insertion.reweighted import Reweighted
from ...inference.insertion.widths import InfiniteWidth, Limit, infinite_width
from ...models.boxes.box import Box
from ...models.boxes.potential import Potential
from ...models.boxes.theory import BoxTheory
from ...models.files import write_whole
from ...models.quantum.oscillator import Oscillator
from ..figures.canvas import BLACK, CHAINS, STYLE, Figure
from ..pages.frame import drawn_figure, render
from ..pages.report import check_folder, plain, written_summary
from ..reading.typesetting import count, with_error

__all__ = ["BOXES", "BoxFound", "box_page", "box_verdicts", "plot_box", "run_box"]

BOXES = {"oscillator": (6.0,), "phi4-box": (1.0, 6.0, 24.0)}
LENGTH, MODES, WIDTHS = 10.0, 32, (16, 32, 64, 128)
_APART = 4.0  # errors from the exact number: once in 16,000
_HEADS = ("", "networks, N = ∞", "exact", "off by", "errors")


@dataclass(frozen=True, eq=False)
class BoxFound:
    """What the networks of one coupling say beside what is exact.

    Attributes:
        coupling: lambda of (lambda/4!) phi^4.
        wide: the averages at each width and their limit.
        rows: name -> (limit, exact number).
    """

    coupling: float
    wide: InfiniteWidth
    rows: dict[str, tuple[Limit, float]]


def run_box(
    name: str,
    out: str | Path,
    *,
    n: int = 100_000,
    widths: Sequence[int] = WIDTHS,
    coupling: float | Sequence[float] | None = None,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Run it and write index.html and summary.json into a folder; returns the page's path.

    Args:
        name: "oscillator", lambda = 6, or "phi4-box", lambda = 1, 6 and 24.
        out: the folder; made if it is not there.
        n: networks of the largest width, for each coupling.
        widths: at least three, the largest a multiple of all.
        coupling: lambda, or several, in place of those of the name.
        seed: networks are drawn with jax.random.key(seed).
        force: replace the two files in a folder that exists.

    Raises:
        ValueError: before any work an unknown name, or a folder that exists or cannot be written; what the theory and
            the engine refuse.

    Example, as `nnft run oscillator -o out/`; what is not known is refused before any work:
        >>> run_box("oscilator", "out")
        Traceback (most recent call last):
        ValueError: expected one of oscillator, phi4-box, got 'oscilator'; try oscillator
    """
    if name not in BOXES:
        raise ValueError(f"expected one of {', '.join(BOXES)}, got {name!r}; try oscillator")
    folder = check_folder(out, force=force)
    chosen = BOXES[name] if coupling is None else tuple(float(one) for one in np.atleast_1d(coupling))
    found = [_found(one, n, widths, seed) for one in chosen]
    texts = {"summary.json": _summary(name, found, seed, n), "index.html": box_page(name, found, seed, n)}
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
    return folder / "index.html"


def box_verdicts(folder: str | Path) -> tuple[str, bool] | None:
    """One line a number of a folder of `run_box`, and whether all lie within four errors; None for any other folder."""
    held = written_summary(folder)
    if held.get("kind") not in BOXES:
        return None
    lines, passed = [], True
    for one in held["couplings"]:
        for name, number in one["numbers"].items():
            apart = (number["value"] - number["exact"]) / number["error"]
            passed &= abs(apart) <= _APART
            found = f"{number['value']:.6g} +- {number['error']:.2g}, exact {number['exact']:.6g}"
            verdict = "pass" if abs(apart) <= _APART else "fail"
            lines.append(f"{verdict}  lambda = {one['lambda']:g}  {name:<18}{found}  ({apart:+.1f} errors, limit 4)")
    return "\n".join(lines), passed


def _found(coupling: float, n: int, widths: Sequence[int], seed: int) -> BoxFound:
    theory = BoxTheory(Box(LENGTH, MODES), max(widths), Potential.phi4(coupling))
    wide = infinite_width(theory, Reweighted(n), widths=widths, key=jax.random.key(seed))
    exact, free = Oscillator(quartic=coupling, beta=LENGTH), Oscillator(quartic=0.0, beta=LENGTH)
    mass2, quartic = wide.couplings()
    times = (0.5, 1.0, 2.0)
    rows = {
        "⟨φ²⟩": (wide.moment(2), exact.moment(2)),
        "⟨φ⁴⟩": (wide.moment(4), exact.moment(4)),
        "gap": (wide.gap(), exact.gap),
        **{
            f"G({t:g})": (limit, float(exact.correlator(t)))
            for t, limit in zip(times, wide.propagator(times), strict=True)
        },
        "log Z/Z₀": (wide.log_z(), exact.log_partition - free.log_partition),
        "λ fitted": (quartic, coupling),
        "shift of m² fitted": (mass2, coupling * theory.missing / 2.0),
    }
    return BoxFound(coupling, wide, {name: (limit, float(truth)) for name, (limit, truth) in rows.items()})


def plot_box(found: Sequence[BoxFound]) -> Figure:
    """<phi^2>(N) over its exact value against 1/N with the limit, and G(t) at N = infinity on the exact curve."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 6.4), layout="constrained")
        top, bottom = figure.subplots(2, 1)
        for colour, one in zip(CHAINS, found, strict=False):
            limit, truth = one.rows["⟨φ²⟩"]
            values, errors = np.array(limit.by_width).T / truth
            inverse = 1.0 / np.array(one.wide.widths)
            style = {"fmt": "o", "ms": 4.0, "lw": 1.0, "color": colour}
            top.errorbar(inverse, values, errors, label=f"$\\lambda$ = {one.coupling:g}", **style)
            top.errorbar([0.0], [limit.value / truth], [limit.error / truth], mfc="white", **style)
            averages = one.wide.averages()
            exact = Oscillator(quartic=one.coupling, beta=LENGTH)
            t = np.linspace(0.0, 0.5 * LENGTH, 101)
            bottom.plot(t, exact.correlator(t), color=colour, lw=0.9)
            at = np.arange(0.0, 3.01, 0.25)
            seen = averages.propagator(at)
            clear = seen.value > 2.0 * seen.error
            bottom.errorbar(at[clear], seen.value[clear], seen.error[clear], **style)
        top.axhline(1.0, color=BLACK, lw=0.8)
        top.set(xlabel="1/N", ylabel=r"$\langle\varphi^2\rangle(N)$ / exact")
        top.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
        bottom.set(xlabel="t", ylabel="G(t)", yscale="log")
    return figure


def box_page(name: str, found: Sequence[BoxFound], seed: int, n: int) -> str:
    """The page, self-contained HTML."""
    widths = found[0].wide.widths
    caption = (
        "Above: $\\langle\\varphi^2\\rangle$ of networks of width N over the exact one, filled, and its limit $N = "
        "\\infty$, open, the average of a linear and a quadratic law in 1/N. Below: G(t) at $N = \\infty$ with one "
        "standard error on the exact curve of the oscillator."
    )
    worst = max(abs(limit.value - truth) / limit.error for one in found for limit, truth in one.rows.values())
    lead = (
        f"Networks of constant amplitude in a box of length {LENGTH:g} with {MODES} modes, their parameters weighted "
        "by exp(−S) of a local φ⁴ with its counterterm, are at infinite width the anharmonic oscillator: of "
        f"{sum(len(one.rows) for one in found)} numbers the worst is {worst:.1f} errors from the exact one."
    )
    return render(
        "published.html",
        title=f"{name}: φ⁴ built of networks, beside the exact oscillator",
        subtitle=f"widths {', '.join(map(str, widths))}, {count(n)} networks of the largest, key(seed = {seed})",
        lead=lead,
        shown=drawn_figure(
            plot_box(found), "The limit of infinite width", caption, f"{lead} Points with error bars on lines."
        ),
        parts=[part for one in found for part in _parts(one)],
    )


def _parts(one: BoxFound) -> list[dict[str, Any]]:
    """A table of what is exact and found, and one of the widths."""
    table = [
        [
            name,
            with_error(limit.value, limit.error),
            f"{truth:.6g}",
            f"{100.0 * (limit.value / truth - 1.0):+.2f} %",
            f"{(limit.value - truth) / limit.error:+.1f}",
        ]
        for name, (limit, truth) in one.rows.items()
    ]
    square = one.rows["⟨φ²⟩"][0].by_width
    widths = [
        [
            str(found.theory.width),
            with_error(*pair),
            f"{100.0 * found.notes['ESS/n']:.3g} %",
            f"{found.notes['k-hat']:.2f}",
            with_error(found.couplings().quartic.value, float(found.couplings().quartic.error)),
        ]
        for found, pair in zip(one.wide.found, square, strict=True)
    ]
    words = (
        "The gap is that of two poles in the propagator at $N = \\infty$; $\\lambda$ and the shift of $m^2$, which is "
        "the counterterm's $\\lambda\\delta/2$, are fitted to the Fourier modes of the fields by score matching."
    )
    return [
        {"title": f"λ = {one.coupling:g}", "text": words, "heads": _HEADS, "rows": table, "fold": False},
        {
            "title": f"λ = {one.coupling:g}, width by width",
            "text": "Effective share of the free networks (ESS/n), tail of the weights (k-hat), the fitted coupling.",
            "heads": ("N", "⟨φ²⟩", "ESS/n", "k-hat", "λ fitted"),
            "rows": widths,
            "fold": False,
        },
    ]


def _summary(name: str, found: Sequence[BoxFound], seed: int, n: int) -> str:
    content = {
        "kind": name,
        "seed": seed,
        "n": n,
        "widths": found[0].wide.widths,
        "nnft": __version__,
        "couplings": [
            {
                "lambda": one.coupling,
                "numbers": {
                    key: {"value": limit.value, "error": limit.error, "exact": truth, "by_width": limit.by_width}
                    for key, (limit, truth) in one.rows.items()
                },
                "weights": {str(part.theory.width): part.notes for part in one.wide.found},
            }
            for one in found
        ],
    }
    return json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
