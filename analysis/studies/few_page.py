"""What fewer than 1000 networks are told in place of a fit: one plain page and its numbers as JSON.

The answer is that of `inference.few_networks`: the two-point function, the exact test of Gaussianity, the bound on eps4
= [||whitened G4c||^2/24]^(1/2), one or two couplings, and the networks that would decide. Where what was asked for has
no answer from so few, two things are chosen and said first: the points (`inference.apart`) and the constant action.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from ... import __version__
from ...inference.ensembles.chains import check_independent
from ...inference.ensembles.ensemble import Ensemble
from ...inference.ensembles.samples import Samples
from ...inference.planning.apart import apart, usable
from ...inference.planning.few import Few, check_few, few_networks
from ...models.actions.base import AbstractAction
from ...models.actions.rungs import Constant
from ...models.files import write_whole
from ..pages.frame import render
from ..pages.report import FILES, check_folder, plain
from ..reading.typesetting import count, typeset, with_error
from .settings import Fitting

__all__ = ["FewAnswer", "few_answer", "few_summary", "write_few"]

_KIND = "few networks"


@dataclass(frozen=True, eq=False)
class FewAnswer:
    """What so few can tell, and what was chosen for it; print it.

    Attributes:
        found: from `inference.few_networks`, at the points chosen.
        notes: what was left of what was asked for, one sentence each.
        chosen: indices of the points among those given.
        given: number of points given.
        action: that is answered for.
        source: where the networks came from.
        seed: everything drawn is drawn with jax.random.key(seed + 1), as in a fit.
    """

    found: Few
    notes: tuple[str, ...]
    chosen: tuple[int, ...]
    given: int
    action: AbstractAction
    source: str
    seed: int

    def __str__(self) -> str:
        return "\n".join([*self.notes, str(self.found)])


def few_answer(source: Ensemble | Samples, fitting: Fitting) -> FewAnswer:
    """The answer of few networks to what `fitting` asks, as near to it as they can come.

    All points are kept where the networks can answer for them, else those of `apart`; the action is kept where its
    couplings are few enough, else it is the constant one.

    Raises:
        ValueError: as `inference.few_networks`: fewer than 20 networks, a Markov chain, a field that is not even.

    Example, twenty points that are nearly four:

        >>> x = np.linspace(-3.0, 3.0, 20)[:, None]
        >>> root = np.linalg.cholesky(np.exp(-0.5 * (x - x.T) ** 2) + 1e-6 * np.eye(20))
        >>> fields = np.random.default_rng(0).normal(size=(100, 20)) @ root.T
        >>> print(few_answer(Samples(fields, x), Fitting()).notes[0])
        points [0, 12] answer for all 20: the two that the others predict least, numbered from 0 below
    """
    total, n = len(source.points), source.n
    check_independent(source, "for so few of them", "a longer run, which nnft fit can take as a chain")
    weights = fitting.checked_weights(total)
    fields = source.read(0, n).astype(float)
    two_point = fields.T @ fields / n
    chosen, notes = list(range(total)), []
    data: Ensemble | Samples = source
    if not usable(two_point, n):
        chosen = apart(two_point, n)
        data = Samples(fields[:, chosen], np.asarray(source.points)[chosen], independent=True)  # as was asked above
        named = ("one", "two", "three", "four", "five", "six")[len(chosen) - 1]
        notes.append(
            f"points {chosen} answer for all {total}: the {named} that the others predict least, numbered from 0 below"
        )
    action, left = _action(fitting, len(chosen), n)
    notes += left
    found = few_networks(data, action=action, weights=weights[chosen], key=jax.random.key(fitting.seed + 1))
    return FewAnswer(found, tuple(notes), tuple(chosen), total, action, repr(source), fitting.seed)


def _action(fitting: Fitting, points: int, n: int) -> tuple[AbstractAction, list[str]]:
    """The action that is answered for, and what was left for it."""
    made, notes = fitting.made_action(), []
    try:
        if not (prior := fitting.made_prior()).affine:
            raise ValueError(f"expected an action without a prior of its own, got {prior!r}; try action='constant'")
        check_few(made, points, n)
    except ValueError as error:
        why = str(error).partition("; try")[0].replace("expected", "it takes")
        notes.append(f"action {fitting.action} is left for the constant one: {why}")
        made = Constant()
    if fitting.method != "score":
        notes.append(f"method {fitting.method} is left for score matching, the one with intervals at so few networks")
    return made, notes


def write_few(answer: FewAnswer, folder: str | Path, *, force: bool = False) -> Path:
    """Write index.html and summary.json into a folder and return the path of the page; there is no fit to keep.

    Raises:
        ValueError: the folder exists and `force` is not given, or cannot be written.
    """
    folder = check_folder(folder, force=force)
    texts = {"index.html": _page(answer), "summary.json": _json(answer)}
    try:
        for name, text in texts.items():
            write_whole(folder / name, text.encode())
        for name in set(FILES) - set(texts):
            (folder / name).unlink(missing_ok=True)  # the fit of an earlier run is none of these networks
    except OSError as error:
        raise ValueError(
            f"expected a place that can be written for {str(folder)!r}, got {error}; try another folder"
        ) from error
    return folder / "index.html"


def few_summary(folder: str | Path) -> str:
    """What was printed when a folder was written by `write_few`; empty for any other folder or file."""
    try:
        held = json.loads((Path(folder).expanduser() / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(held["summary"]) if isinstance(held, dict) and held.get("kind") == _KIND else ""


def _json(answer: FewAnswer) -> str:
    f = answer.found
    c = f.couplings
    rows = zip(f.names, c.estimate, c.error, c.low, c.high, f.couplings_decided_by, strict=True)
    content = {
        "kind": _KIND,
        "summary": str(answer),
        "notes": answer.notes,
        "networks": f.networks,
        "points": f.points,
        "chosen": answer.chosen,
        "level": f.level,
        "symmetry_p": f.symmetry_p,
        "two_point": f.two_point,
        "two_point_error": f.two_point_error,
        "kurtosis": f.kurtosis,
        "gaussianity": f.gaussianity._asdict(),
        "decided_by": f.decided_by,
        "couplings": [
            {"name": name, "mean": mean, "sd": sd, "low": low, "high": high, "decided_by": by}
            for name, mean, sd, low, high, by in rows
        ],
        "why_no_interval": c.why,
        "provenance": {"source": answer.source, "seed": answer.seed, "nnft": __version__},
    }
    return json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _page(answer: FewAnswer) -> str:
    f = answer.found
    positions = [", ".join(f"{x:.5g}" for x in place) for place in f.points]
    variances = [with_error(f.two_point[k, k], f.two_point_error[k, k]) for k in range(len(positions))]
    named = [str(index) for index in answer.chosen]
    return render(
        "few.html",
        title=f"What {count(f.networks)} networks can tell",
        subtitle=answer.source,
        lead=typeset(_lead(f)),
        notes=[typeset(note) for note in answer.notes],
        answer=str(f),
        points=[[typeset(cell) for cell in row] for row in zip(named, positions, variances, strict=True)],
        session=_session(answer),
        version=__version__,
    )


def _lead(f: Few) -> str:
    """The answer in two sentences."""
    g = f.gaussianity
    seen, bounded = g.p < 1.0 - f.level, np.isfinite(g.bound)
    what = "are told from Gaussian ones" if seen else "cannot be told from Gaussian ones"
    reach = f"eps4 is below {g.bound:.2g} at {f.level:.0%}" if bounded else "eps4 has no upper bound"
    first = f"These {f.networks} networks {what} (p = {g.p:.2g}); {reach}."
    if seen or not bounded:
        return first + (f" Couplings have no interval: {f.couplings.why}." if f.couplings.why else "")
    return f"{first} {f.decided_by[1]:.2g} networks would decide at three standard errors about a field at that bound."


def _session(answer: FewAnswer) -> str:
    chosen = list(answer.chosen)
    part = "" if len(chosen) == answer.given else f"\narray, points = array[:, {chosen}], points[{chosen}]"
    key = f"jax.random.key({answer.seed + 1})"
    return (
        "import jax\nfrom nnft import inference as inf, models as m\n\n"
        f"array, points = ..., ...  # {answer.source}{part}\n"
        f"inf.few_networks(inf.Samples(array, points), action=m.{answer.action!r}, key={key})"
    )
