"""nnft flow: how couplings run, as a figure, a page and its numbers; of a lattice under coarser and coarser looks, and
of networks with the cutoff of their vertices.

chain: the phi^4 chain, couplings refitted to its decimated sites, blocks and long waves beside the exact ones; a file
of lattice configurations: the same of somebody's own; a network: the cutoff equation of its local quartic coupling.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np

from ... import __version__
from ...inference.arrays.files import load_array, printable
from ...inference.ensembles.samples import Samples
from ...inference.estimators.measure import measure
from ...models.analytic.exact import exact_if_known
from ...models.files import write_whole
from ...models.networks.network import Network
from ...models.refusals import is_whole
from ...models.theories.chain import Chain
from ..figures.canvas import BLACK, CHAINS, STYLE, Figure
from ..pages.frame import drawn_figure, render
from ..pages.report import check_folder, plain, written_summary
from ..reading.typesetting import count, significant, with_error
from ..studies.study import study_named
from .flow import NAMES, WAYS, Flow, flow
from .running import Running, cutoff_flow

__all__ = ["flow_verdicts", "plot_flow", "plot_running", "run_flow"]

_FILES = (".npy", ".npz", ".nc", ".zarr", ".h5", ".hdf5")
_APART = 4.5  # errors: of all numbers of a page once in a thousand pages
_CHAIN = {"n": 200_000, "seed": 0, "sites": 16, "m2": 1.0, "lam": 0.1, "every": (1, 2, 4), "ways": tuple(WAYS)}
_CONFIGURATIONS = {"shape": None, "every": (1, 2), "ways": tuple(WAYS), "seed": 0}
_CUTOFFS = tuple(np.geomspace(1.0, 100.0, 9).tolist())
_LABELS = {"sites": "every b-th site", "blocks": "blocks of b", "waves": "waves of 2b and longer"}
_TITLES = {"coupling": r"$\lambda$", "m2": r"$m^2$", "kappa": r"$\kappa$"}


def run_flow(
    study: str, out: str | Path, *, settings: Mapping[str, Any] | None = None, force: bool = False
) -> tuple[str, Path]:
    """Run it and write index.html and summary.json into a folder; returns what to print and the page's path.

    Args:
        study: "chain", a file of lattice configurations (.npy, ..), or a network as `nnft run` takes it.
        out: the folder; made if it is not there.
        settings: of chain n, seed, sites, m2, lam; of both lattices every = (1, 2, 4), ways = sites, blocks, waves; of
            a file shape, sites along each axis; of a network those of its study, and cutoffs.
        force: replace the two files in a folder that exists.

    Raises:
        ValueError: before any work an unknown study or setting, or a folder that exists or cannot be written; what a
            flow refuses: scales that do not divide the lattice, G4c of so heavy tails that it has no error.

    Example, as `nnft flow chain -o out/`; what is not known is refused before any work:
        >>> run_flow("chain", "out/flow", settings={"mass": 1.0})
        Traceback (most recent call last):
        ValueError: expected n, seed, sites, m2, lam, every, ways for chain, got mass; try --set every=1,2,4
    """
    folder, given = check_folder(out, force=force), dict(settings or {})
    if study == "chain":
        text, page, summary = _chain(given)
    elif Path(study).suffix in _FILES:
        text, page, summary = _file(study, given)
    else:
        text, page, summary = _network(study, given)
    summary = {"kind": "flow", "study": study, "nnft": __version__} | summary
    written = json.dumps(plain(summary), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    for file, content in {"summary.json": written, "index.html": page}.items():
        write_whole(folder / file, content.encode())
    return text, folder / "index.html"


def flow_verdicts(folder: str | Path) -> tuple[str, bool] | None:
    """One line a number of a folder of `run_flow` that has an exact one beside it, and whether all agree.

    None for any other folder.
    """
    held = written_summary(folder)
    if held.get("kind") != "flow":
        return None
    lines, passed = [], True
    for name, value, error, known in held["numbers"]:
        if known is None or not error:
            continue
        off = abs(value - known) / error
        passed &= off <= _APART
        verdict = "pass" if off <= _APART else "fail"
        numbers = f"{value:.6g} +- {error:.2g}, exact {known:.6g}"
        lines.append(f"{verdict}  {name:<28}{numbers}  ({off:.1f} errors, limit {_APART})")
    return "\n".join(lines or ["pass  nothing here has an exact number beside it"]), passed


def _chain(given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    asked = _asked(given, _CHAIN, "chain")
    for name in ("n", "seed", "sites"):
        if not is_whole(asked[name], 0 if name == "seed" else 1, floats=True):
            raise ValueError(f"expected {name} to be a whole number, got {asked[name]!r}; try {_CHAIN[name]}")
    chain = Chain(float(asked["m2"]), float(asked["lam"]), int(asked["sites"]))
    draw_key, key = jax.random.split(jax.random.key(int(asked["seed"])))
    every, ways = _list(asked["every"]), _list(asked["ways"])
    sites = np.arange(float(chain.sites))[:, None]
    flow_options = {"key": key, "every": every, "ways": ways, "truth": chain}
    found = flow(Samples(chain.draw(int(asked["n"]), key=draw_key), sites), **flow_options)
    about = f"m² = {chain.m2:g}, λ = {chain.lam:g}, {chain.sites} sites, {count(int(asked['n']))} fields"
    return _lattice(found, f"The φ⁴ chain, {about}, key(seed = {int(asked['seed'])})", asked)


def _file(study: str, given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    asked = _asked(given, _CONFIGURATIONS, "a file of configurations")
    if asked["shape"] is None:
        raise ValueError("expected the sites of the lattice along each axis, got no shape; try --set shape=8,8")
    shape = tuple(_list(asked["shape"]))
    if not all(is_whole(n, 1) for n in shape):
        raise ValueError(f"expected shape, sites along each axis, as whole numbers, got {asked['shape']!r}; try 8,8")
    sites = np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), axis=1).astype(float)
    array, _ = load_array(study)
    rows: Any = np.asarray(array).reshape(-1, len(sites)) if tuple(array.shape[1:]) == shape else array
    samples = Samples(rows, sites, name=printable(Path(study).name))
    options: dict[str, Any] = {"shape": shape, "every": _list(asked["every"]), "ways": _list(asked["ways"])}
    found = flow(samples, key=jax.random.key(int(asked["seed"])), **options)
    return _lattice(found, f"{Path(study).name}, a lattice of {' × '.join(map(str, shape))} sites", asked)


def _lattice(found: Flow, title: str, asked: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """What to print, the page and the numbers of a lattice."""
    rows = [
        [
            _LABELS[step.way],
            str(step.every),
            " × ".join(map(str, step.shape)),
            *(with_error(v, e) for v, e in zip(step.value, step.error, strict=True)),
            *(significant(x, 5) for x in step.exact),
        ]
        for step in found.steps
    ]
    words = (
        "$S = \\kappa\\sum_{x,\\mu}(\\varphi_{x+\\mu}-\\varphi_x)^2 + m^2\\sum_x\\varphi_x^2 + "
        "\\lambda\\sum_x\\varphi_x^4$ of the field on every scale, by score matching with the unit metric. The kept "
        "sites, blocks and long waves are different fields, and have different couplings."
    )
    known = " Lines and open circles are the exact ones." if np.isfinite(found.steps[0].exact).all() else ""
    caption = f"Couplings against the scale b with one standard error.{known} {found.words.capitalize()}."
    heads = ("kept", "b", "sites", "κ", "m²", "λ", "κ exact", "m² exact", "λ exact")
    part = {"title": "Couplings on every scale", "text": words, "heads": heads, "rows": rows, "fold": False}
    seen = f"Three panels over b, λ, m² and κ, one colour for each field that is kept: {found.words}."
    shown = drawn_figure(plot_flow(found), "Running couplings", caption, seen)
    lead = f"The couplings of a field belong to the scale on which it is looked at: {found.words}."
    page = _page("How the couplings of a lattice run", title, lead, shown, [part])
    numbers = [
        [f"{step.way} b = {step.every} {name}", step.value[k], step.error[k], step.exact[k]]
        for step in found.steps
        for k, name in enumerate(NAMES)
    ]
    return str(found), page, {"settings": dict(asked), "words": found.words, "numbers": numbers}


def _network(study: str, given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    cutoffs = _list(given.pop("cutoffs", _CUTOFFS))
    made = study_named(study, given)
    network: Any = made.network()
    if not isinstance(network, Network):
        raise ValueError(f"expected a network of one hidden layer, got {network!r}; try nnft flow relu")
    data = measure(made.ensemble(), orders=(2, 4), space="neuron")
    found = cutoff_flow(network, data, cutoffs)
    truth = exact_if_known(network, made.points, (2, 4))
    known = None if truth is None else cutoff_flow(network, truth, cutoffs)
    exact = np.full(len(found.scale), np.nan) if known is None else known.coupling
    slopes, spread = found.slopes
    steps = list(zip(found.scale, found.coupling, found.error, exact, strict=True))
    runs = ["", *(with_error(*one) for one in zip(slopes, spread, strict=True))]
    rows = [
        [significant(s, 4), with_error(c, e), significant(x, 5), run]
        for (s, c, e, x), run in zip(steps, runs, strict=True)
    ]
    last = f"d ln|λ|/d ln Λ = {slopes[-1]:.4g} at the largest cutoffs"
    words = (
        "A network's four-point function knows of no cutoff, so the coupling that makes it, $G_4^c = -24\\lambda T$, "
        "runs as the integral of its kernels over |y| ≤ Λ grows. Errors of all Λ go together: the same networks."
    )
    heads = ("Λ", "λ", "λ exact", "slope")
    part = {"title": "The coupling at each cutoff", "text": words, "heads": heads, "rows": rows, "fold": False}
    ends = " to ".join(f"{abs(found.coupling[k]):.3g} at Λ = {found.scale[k]:.3g}" for k in (0, -1))
    caption, seen = "The local quartic coupling against Λ.", f"Points with error bars: |λ| goes from {ends}."
    shown = drawn_figure(plot_running(found, known), "The cutoff equation", caption, seen)
    title = f"{made.net}, width {made.width}, {count(made.n)} networks of single neurons, key(seed = {made.seed})"
    lead = f"The local quartic coupling of {made.net} runs with the cutoff: {last}."
    page = _page("How a coupling runs with the cutoff", title, lead, shown, [part])
    lines = [f"Lambda = {s:<10.4g} lambda = {c:.6g} +- {e:.2g}" for s, c, e, _ in steps]
    numbers = [[f"lambda at {s:.4g}", c, e, x] for s, c, e, x in steps]
    summary = {"settings": {"cutoffs": cutoffs, "study": made.to_toml()}, "words": last, "numbers": numbers}
    return "\n".join([*lines, last]), page, summary | {"slopes": np.stack([slopes, spread], axis=1)}


def plot_flow(found: Flow) -> Figure:
    """lambda, m2 and kappa against b, one colour a way; exact ones as lines and open circles.

    Args:
        found: what `an.flow` returns.

    Example, from exact correlators of a ring:
        >>> from nnft import models as m
        >>> ring = m.DecimatedChain(m.Chain(1.0, 0.1, 6)).correlators()
        >>> figure = plot_flow(flow(ring, key=jax.random.key(0), every=(1, 2), ways=("sites",)))
        >>> figure.axes[2].get_title(loc="left")
        'every b-th site: the hopping dies (0.5 to 0.15)'
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 7.2), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True)
        for way, colour in zip(dict.fromkeys(step.way for step in found.steps), CHAINS, strict=False):
            steps = found.of(way)
            b = np.array([step.every for step in steps])
            for panel, name in zip(panels, ("coupling", "m2", "kappa"), strict=True):
                k = NAMES.index(name)
                value, error = np.array([(step.value[k], step.error[k]) for step in steps]).T
                panel.errorbar(b, value, error, fmt="o", ms=3.5, lw=1.0, color=colour, label=_LABELS[way])
                panel.plot(b, [step.exact[k] for step in steps], "o-", ms=7.0, mfc="none", lw=0.8, color=colour)
        for panel, name in zip(panels, ("coupling", "m2", "kappa"), strict=True):
            panel.set(ylabel=_TITLES[name], ylim=(min(0.0, panel.get_ylim()[0]), None))
        scales = sorted({step.every for step in found.steps})
        panels[1].legend(fontsize=8.0)
        first = _LABELS[found.steps[0].way]
        for panel, said in zip((panels[0], panels[2]), found.said, strict=True):
            panel.set_title(f"{first}: {said}", fontsize=8.5, color=BLACK, loc="left")
        panels[2].set(xlabel="b, sites of the fine lattice to one of the coarse", xscale="log")
        panels[2].set_xticks(scales, [str(b) for b in scales])
        panels[2].minorticks_off()
    return figure


def plot_running(found: Running, known: Running | None = None) -> Figure:
    """|lambda| against its scale, both logarithmic, with one standard error and the exact line.

    Args:
        found: what `an.cutoff_flow` or `an.active_flow` returns.
        known: the same from exact correlators.

    Example:
        >>> from nnft import models as m
        >>> net = m.Network(m.ReLU(bias_scale=0.0), 10)
        >>> found = cutoff_flow(net, m.exact(net, np.ones((1, 1))), [1.0, 10.0])
        >>> plot_running(found).axes[0].get_title()
        'last slope -5'
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        panel = figure.subplots()
        if known is not None:
            panel.plot(known.scale, np.abs(known.coupling), color=BLACK, lw=0.9, label="exact")
        panel.errorbar(found.scale, np.abs(found.coupling), found.error, fmt="o", ms=4.0, lw=1.0, color=CHAINS[0])
        slope = found.slopes[0][-1]
        panel.set(xscale="log", yscale="log", xlabel=found.name, ylabel=r"$|\lambda|$", title=f"last slope {slope:.4g}")
    return figure


def _page(title: str, subtitle: str, lead: str, shown: Any, parts: Sequence[Mapping[str, Any]]) -> str:
    return render("published.html", title=title, subtitle=subtitle, lead=lead, shown=shown, parts=parts)


def _asked(given: Mapping[str, Any], usual: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The settings, those not said at their usual values."""
    if unknown := [name for name in given if name not in usual]:
        raise ValueError(f"expected {', '.join(usual)} for {what}, got {unknown[0]}; try --set every=1,2,4")
    return {**usual, **given}


def _list(value: Any) -> tuple[Any, ...]:
    """1,2,4 of a line of TOML, one word, or a sequence."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(","))
    return tuple(value) if isinstance(value, Sequence) else (value,)
