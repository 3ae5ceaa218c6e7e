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
from ..figures.few import eps4_seen, plot_few
from ..pages.frame import drawn_figure, render
from ..pages.report import FILES, check_folder, plain, written_summary
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
    held = written_summary(folder)
    return str(held["summary"]) if held.get("kind") == _KIND else ""


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
        can=[typeset(line) for line in _can(f)],
        cannot=[typeset(line) for line in _cannot(f)],
        next=[typeset(line) for line in _next(f)],
        picture=drawn_figure(plot_few(f), "What they can see, and how many would see more", _CAPTION, _seen(f)),
        couplings=_couplings(f),
        answer=str(f),
        points=[[typeset(cell) for cell in row] for row in zip(named, positions, variances, strict=True)],
        session=_session(answer),
        version=__version__,
    )


def _couplings(f: Few) -> list[list[str]]:
    """Estimate, interval and networks that would decide, a row a coupling."""
    c, rows = f.couplings, []
    for k, name in enumerate(f.names):
        inside = f"no interval: {c.why}" if c.why else f"[{c.low[k]:.3g}, {c.high[k]:.3g}]"
        by = f.couplings_decided_by[k]
        rows.append([name, f"{c.estimate[k]:+.3g}", inside, f"{by:.2g}" if np.isfinite(by) else "-"])
    return [[typeset(cell) for cell in row] for row in rows]


def _can(f: Few) -> list[str]:
    """What so few networks say."""
    relative = float(np.max(np.diag(f.two_point_error) / np.diag(f.two_point)))
    lines = [f"the two-point function, to {relative:.0%} or better on the diagonal"]
    if np.isfinite(seen := eps4_seen(f, f.networks)):
        lines.append(f"whether the field is Gaussian, where eps4 is {seen:.2g} or more (in half of all such sets)")
    if np.isfinite(f.gaussianity.bound):
        lines.append(f"that eps4 is below {f.gaussianity.bound:.2g}, at {f.level:.0%}")
    if not f.couplings.why:
        lines.append(f"an interval of {f.level:.0%} for each of {len(f.names)} couplings, in the table")
    return lines


def _cannot(f: Few) -> list[str]:
    """What they do not."""
    lines = ["which quartic action it is: its couplings take sixth moments, and more networks"]
    if np.isfinite(seen := eps4_seen(f, f.networks)):
        lines.append(f"that the field is Gaussian: an eps4 below {seen:.2g} would not show")
    if f.couplings.why:
        lines.append(f"couplings: {f.couplings.why}")
    elif np.all((f.couplings.low < 0.0) & (f.couplings.high > 0.0)):
        lines.append("the sign of a coupling: every interval holds zero")
    return lines


def _next(f: Few) -> list[str]:
    """What to run next."""
    if f.couplings.why:
        return ["what is there where no action is: inf.measure for correlators, inf.symmetry, inf.generating for W[J]"]
    many = max([1000.0, *(by for by in f.decided_by[1:] if np.isfinite(by))])
    return [
        f"nnft fit with {count(round(many, -3))} networks or more at these points, for couplings with their errors",
        "inf.design(kernel, points, n), for what n networks of this two-point function resolve, before any is drawn",
    ]


_CAPTION = (
    "Above, from left to right: too Gaussian for so few networks to notice, seen, and beyond $\\varepsilon_4 = 0.3$, "
    "where no action describes the field. The dot is the estimate, the line reaches to its upper bound. Below: "
    "networks that half of all experiments need to tell the field from a Gaussian one at three standard errors, "
    "$n \\propto 1/\\varepsilon_4^2$; the dotted line is what is here."
)


def _seen(f: Few) -> str:
    g = f.gaussianity
    bound = f"its bound {g.bound:.2g}" if np.isfinite(g.bound) else "no bound"
    return (
        f"A strip over eps4 with the estimate {g.eps4:.2g} and {bound}; {f.networks} networks see {_eps(f)} and more. "
        "Under it the number of networks needed falls as one over eps4 squared."
    )


def _eps(f: Few) -> str:
    return f"{eps4_seen(f, f.networks):.2g}"


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
