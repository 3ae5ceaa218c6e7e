"""Two studies of what makes networks interact beyond their width: depth, and training; each a page and its numbers.

deep-erf: G2 and G4c of erf networks of one to four hidden layers, measured with the readout integrated out, beside the
first order in 1/n at every depth with what it leaves out. training: the mean, correlators and couplings of erf networks
while their readout learns two samples, beside the Gaussian process of infinite width.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib as mpl
import numpy as np

from ... import __version__
from ...inference.ensembles.ensemble import Ensemble
from ...inference.estimators.measure import measure
from ...models.actions.odd import Odd
from ...models.actions.rungs import Bilocal
from ...models.analytic.exact import exact
from ...models.deep.first_order import first_order
from ...models.deep.network import Deep
from ...models.files import write_whole
from ...models.networks.network import Network
from ...models.neurons.smooth import Erf
from ...models.training.last_layer import LastLayer
from ...models.training.limits import limit
from ...models.training.trained import Trained
from ..comparisons.drift import Drift, drift
from ..figures.canvas import CHAINS, STYLE, Figure
from ..figures.times import plot_drift
from ..pages.frame import drawn_figure, render
from ..pages.report import check_folder, plain, written_summary
from ..reading.typesetting import count, with_error

__all__ = ["LEARNING", "learning_verdicts", "run_learning"]

LEARNING = ("deep-erf", "training")
POINTS = np.array([[-1.0], [-0.2], [0.6], [1.4]])
INPUTS, TARGETS, NEW = np.array([[-1.0], [0.6]]), np.array([1.0, -0.5]), np.array([[-0.2], [1.4]])
TIMES, WIDE = (0.0, 0.25, 0.5, 1.0, 2.0), 1024
_APART = 4.5  # errors: of all numbers of a page once in a thousand pages


class Number(NamedTuple):
    """A number that was measured beside the one it should be.

    band: how far the other may be off by what it leaves out.
    """

    name: str
    value: float
    error: float
    known: float
    band: float

    @property
    def passed(self) -> bool:
        """Whether they agree within the band and 4.5 errors."""
        return abs(self.value - self.known) <= self.band + _APART * self.error

    @property
    def row(self) -> list[str]:
        """What a table shows."""
        off = (self.value - self.known) / self.error
        return [self.name, with_error(self.value, self.error), f"{self.known:.6g}", f"{self.band:.1g}", f"{off:+.1f}"]


_HEADS = ("", "networks", "known", "left out", "off, in errors")


def run_learning(
    name: str, out: str | Path, *, n: int = 100_000, width: int = 16, depth: int = 4, seed: int = 0, force: bool = False
) -> Path:
    """Run it and write index.html and summary.json into a folder; returns the page's path.

    Args:
        name: "deep-erf" or "training".
        out: the folder; made if it is not there.
        n: networks, of each depth or at each time.
        width: neurons of a layer.
        depth: deepest network of deep-erf.
        seed: networks are drawn with jax.random.key(seed).
        force: replace the two files in a folder that exists.

    Raises:
        ValueError: before any work an unknown name, or a folder that exists or cannot be written; a depth and width
            that first order in 1/n refuses.
    """
    if name not in LEARNING:
        raise ValueError(f"expected one of {', '.join(LEARNING)}, got {name!r}; try training")
    folder = check_folder(out, force=force)
    key = jax.random.key(seed)
    title = f"width {width}, {count(n)} networks, key(seed = {seed})"
    numbers, page = _depth(n, width, depth, key, title) if name == "deep-erf" else _training(n, width, key, title)
    summary = {
        "kind": name,
        "seed": seed,
        "n": n,
        "width": width,
        "nnft": __version__,
        "numbers": [one._asdict() for one in numbers],
    }
    text = json.dumps(plain(summary), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    for file, content in {"summary.json": text, "index.html": page}.items():
        write_whole(folder / file, content.encode())
    return folder / "index.html"


def learning_verdicts(folder: str | Path) -> tuple[str, bool] | None:
    """One line a number of a folder of `run_learning`, and whether all agree; None for any other folder."""
    held = written_summary(folder)
    if held.get("kind") not in LEARNING:
        return None
    numbers = [Number(**one) for one in held["numbers"]]
    lines = [
        f"{'pass' if one.passed else 'fail'}  {one.name:<36}  {one.value:.6g} +- {one.error:.2g}, known {one.known:.6g}"
        f"{f', left out {one.band:.1g}' if one.band else ''}"
        for one in numbers
    ]
    return "\n".join(lines), all(one.passed for one in numbers)


def _depth(n: int, width: int, depth: int, key: jax.Array, title: str) -> tuple[list[Number], str]:
    """G2 and G4c at depths 1 to `depth`."""
    numbers, parts, shown = [], [], []
    for layers in range(1, depth + 1):
        net = Deep((Erf(1.0, 0.5), *[Erf(1.5**0.5, 0.1**0.5)] * (layers - 1)), (width,) * layers)
        known = first_order(net, POINTS)
        ensemble = Ensemble(net, points=POINTS, n=n, key=jax.random.fold_in(key, layers))
        data = measure(ensemble, space="readout", orders=(2, 4))
        rows = []
        for order, asked in ((2, ((0, 0), (0, 3), (3, 3))), (4, ((0,) * 4, (0, 0, 1, 1), (0, 1, 2, 3), (3,) * 4))):
            places = data.tuples(order).tolist()
            for where in asked:
                k = places.index(list(where))
                rows.append(
                    Number(
                        f"L = {layers}, G{order}({', '.join(f'{POINTS[a, 0]:g}' for a in where)})",
                        float(data.connected(order)[k]),
                        float(data.error(order)[k]),
                        float(known.connected(order)[k]),
                        float(known.about["truncation"][order]),
                    )
                )
        numbers += rows
        shown.append((layers, rows))
        words = (
            f"{known.about['rule']}; relative variance of the last layer's covariance {known.about['spread']:.2g}."
            if layers > 1
            else "One hidden layer: both are exact."
        )
        parts.append(_part(f"{layers} hidden layer{'s' * (layers > 1)}", words, rows))
    figure = _depth_figure(shown)
    caption = (
        "Connected four-point functions against depth: measured with one standard error, and first order in 1/n with "
        "what it may leave out."
    )
    lead = (
        f"Erf networks of {width} neurons a layer: of {len(numbers)} numbers at one to {depth} hidden layers "
        f"{sum(one.passed for one in numbers)} agree with the first order in 1/n within what it leaves out and "
        f"{_APART:g} errors. Depth makes different points more alike, so that their four-point functions grow together."
    )
    return numbers, _page("deep-erf: what depth does to the action", title, lead, figure, caption, parts)


def _depth_figure(shown: Sequence[tuple[int, list[Number]]]) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        panel = figure.subplots()
        depths = [layers for layers, _ in shown]
        four = [[one for one in rows if "G4" in one.name] for _, rows in shown]
        for k, colour in zip(range(len(four[0])), CHAINS, strict=False):
            column = [rows[k] for rows in four]
            known, band = np.array([one.known for one in column]), np.array([one.band for one in column])
            panel.fill_between(depths, known - band, known + band, color=colour, alpha=0.2, lw=0)
            panel.plot(depths, known, color=colour, lw=0.9)
            label = column[0].name.split(", ", 1)[1]
            value, error = [one.value for one in column], [one.error for one in column]
            panel.errorbar(depths, value, error, fmt="o", ms=4.0, color=colour, label=label)
        panel.set(xlabel="hidden layers", ylabel="$G_4^c$")
        panel.set_xticks(depths)
        figure.legend(loc="outside upper center", ncols=2, handlelength=1.2)
    return figure


def _training(n: int, width: int, key: jax.Array, title: str) -> tuple[list[Number], str]:
    """Correlators and couplings against training time; wide networks against their limit."""
    net, way = Network(Erf(1.0, 0.5), width), LastLayer(TIMES)
    ensemble = Ensemble(Trained(net, INPUTS, TARGETS, way), points=NEW, n=n, key=key)
    found = drift(ensemble, Odd(Bilocal()), key=jax.random.fold_in(key, 1), sampler="closed")
    numbers, known = [], exact(net, NEW, orders=(2, 4))
    for order in (2, 4):
        for where in ((0,) * order, (1,) * order):
            k = known.tuples(order).tolist().index(list(where))
            value, error = found.correlators[0].connected(order)[k], found.correlators[0].error(order)[k]
            name = f"t = 0, G{order} at x = {NEW[where[0], 0]:g}"
            numbers.append(Number(name, float(value), float(error), float(known.connected(order)[k]), 0.0))
    wide = Trained(Network(Erf(1.0, 0.5), WIDE), INPUTS, TARGETS, LastLayer((TIMES[-1],)))
    many = measure(Ensemble(wide, points=NEW, n=min(n, 20_000), key=jax.random.fold_in(key, 2)), orders=(1, 2))
    process = limit(wide, NEW)
    for a, k in ((0, 0), (1, 2)):
        where = f"t = {TIMES[-1]:g}, N = {WIDE}, x = {NEW[a, 0]:g}"
        mean, variance = process.mean[0, a], process.covariance[0, a, a]
        value, error = many.connected(1)[a], many.error(1)[a]
        numbers.append(Number(f"mean at {where}", float(value), float(error), float(mean), 1.0 / WIDE))
        value, error = many.connected(2)[k], many.error(2)[k]
        numbers.append(Number(f"variance at {where}", float(value), float(error), float(variance), 1.0 / WIDE))
    significant = [r for r in found.correlators[0].orders if found.changes[-1].chi2(r).p < 1e-4]
    lead = (
        f"Erf networks of width {width} learn y = {TARGETS[0]:g} at x = {INPUTS[0, 0]:g} and y = {TARGETS[1]:g} at "
        f"x = {INPUTS[1, 0]:g} by gradient flow of their readout. Between t = 0 and t = {TIMES[-1]:g} the connected "
        f"functions of order {', '.join(map(str, significant)) or 'none'} change significantly, network by network; "
        "training brings a mean, odd functions and cubic couplings."
    )
    caption = (
        "Connected functions at each point with one standard error, and the couplings that change most with 89 % "
        "intervals, against training time; the networks are the same at all times."
    )
    parts = [_part("What is known", "Exact before training; the Gaussian process of the limit after it.", numbers)]
    parts.append(_couplings(found))
    return numbers, _page("training: what learning does to the action", title, lead, plot_drift(found), caption, parts)


def _couplings(found: Drift) -> dict[str, Any]:
    tables = [found.couplings(k) for k in range(len(found.times))]
    names = [one.text for one in tables[0]]
    rows = [
        [name, *("–" if not table else with_error(table[j].mean, table[j].sd) for table in tables)]
        for j, name in enumerate(names)
    ]
    heads = ("", *(f"t = {time:g}" for time in found.times))
    words = "Linear, cubic and quartic couplings of the bilocal action, posterior mean and standard deviation."
    return {"title": "Couplings", "text": words, "heads": heads, "rows": rows, "fold": False}


def _part(title: str, words: str, rows: Sequence[Number]) -> dict[str, Any]:
    return {"title": title, "text": words, "heads": _HEADS, "rows": [one.row for one in rows], "fold": False}


def _page(title: str, subtitle: str, lead: str, figure: Figure, caption: str, parts: list[dict[str, Any]]) -> str:
    shown = drawn_figure(figure, title.split(": ", 1)[1].capitalize(), caption, lead)
    return render("published.html", title=title, subtitle=subtitle, lead=lead, shown=shown, parts=parts)
