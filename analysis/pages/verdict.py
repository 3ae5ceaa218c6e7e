"""The first screen of a page: one sentence of verdict, and what the numbers say, do not say, and ask for next.

The sentence has four words, one for each group of checks: *measured* (data), *action exists* (theory), *sampler* and
*explained* (fit). Each wears the colour of the gravest check of its group and leads to it.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..checks.check import LIMITS, VERDICTS, Check, grouped
from ..reading.fit import Reading, reads
from .paragraph import caveat, count, drawn, gaussianity, resolved, share, typeset, with_error
from .session import command

__all__ = ["Line", "Word", "lines", "sentence"]

# Before and after each word, by the gravest verdict; {why} names the checks that decided.
_SAID = {
    "data": (
        "measured",
        ("The field is ", ""),
        ("The field is ", " with reserve ({why})"),
        ("The field is not soundly ", " ({why})"),
    ),
    "theory": (
        "action exists",
        ("an ", ""),
        ("an ", " with reserve ({why})"),
        ("no effective ", " to speak of ({why})"),
    ),
    "sampler": (
        "sampler",
        ("the ", " found the posterior"),
        ("the ", " found the posterior with reserve ({why})"),
        ("the ", " did not find the posterior ({why})"),
    ),
    "fit": (
        "explained",
        ("the data are ", " by the action"),
        ("the data are ", " in part ({why})"),
        ("the data are not soundly ", " ({why})"),
    ),
}


class Word(NamedTuple):
    """One of the four words with what stands before and after it.

    group: of the checks behind it. verdict: the gravest of them.
    """

    before: str
    word: str
    after: str
    group: str
    verdict: str


class Line(NamedTuple):
    """One of the three lines: its heading, its words, and a command or a line of code where there is one."""

    title: str
    text: str
    code: str = ""


@reads
def sentence(fit: Reading, checks: Iterable[Check]) -> list[Word]:
    """The verdict: the four words in their order, together one sentence."""
    found, said = grouped(checks), []
    for group, (word, *ways) in _SAID.items():
        part = found.get(group, [])
        verdict = max((check.verdict for check in part), key=VERDICTS.index, default="pass")
        before, after = ways[max(0, VERDICTS.index(verdict) - 1)]
        if group == "fit":
            before, after = _explained(fit, verdict, before, after)
        named = [c for c in part if c.verdict == verdict and not (c.name == "share of the gain" and share(fit))]
        said.append(Word(before, word, _because(after, named), group, "pass" if verdict == "note" else verdict))
    ends = (",", ",", ", and", ".")
    return [word._replace(after=f"{word.after}{end} ") for word, end in zip(said, ends, strict=True)]


@reads
def lines(fit: Reading, checks: Iterable[Check]) -> tuple[Line, Line, Line]:
    """What these numbers say, what they do not, and what to run next."""
    checks = list(checks)
    beyond = caveat(fit, checks)
    silent = "" if beyond == "No check fails or warns." else f"{beyond} "
    words, changed = next(_next(fit, checks))
    return (
        Line("These numbers say", f"{gaussianity(fit)} {resolved(fit)}"),
        Line("They do not say", f"{silent}{fit.action.belongs}"),
        Line("Run next", words, again(fit, **changed) if changed else ""),
    )


def again(fit: Reading, **changed: Any) -> str:
    """The command that repeats the fit with other settings; empty where none does.

    Args:
        fit: of a study, or of a file.
        changed: settings of a study by name.
    """
    if "study" in fit.attrs:
        given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changed.items())
        return f"nnft run study.toml {given} -o next/"
    of_a_file = {"action", "method", "sampler", "prior_scale", "draws"}
    return command(fit, folder="next/", **changed) if set(changed) <= of_a_file else ""


def _explained(fit: Reading, verdict: str, before: str, after: str) -> tuple[str, str]:
    """With the share of what is not Gaussian, where it is known."""
    attrs, part = fit.constants.attrs, share(fit)
    if "gain_full" not in attrs:
        return before, after
    if part is None:
        return "beyond the Gaussian there is nothing resolved to be ", "" if verdict in ("note", "pass") else " ({why})"
    subject = "what is not Gaussian is "
    if part[1] == 0.0:
        many = " with every quartic term"
    else:
        many = f" to ({with_error(100.0 * part[0], 100.0 * part[1])})\u202f%"
    return subject, many + {"warn": " ({why})", "fail": ", but not soundly ({why})"}.get(verdict, "")


def _because(after: str, named: list[Check]) -> str:
    """With the reason in its place: the first check by its number, the others by theirs."""
    if not named:
        return after.replace(" ({why})", "")
    first = f"{named[0].name} {named[0].value.split(',')[0]}"
    more = f", {named[1].name}" if len(named) == 2 else f", and {len(named) - 1} more" if len(named) > 2 else ""
    return after.replace("{why}", typeset(first + more))


def _next(fit: Reading, checks: list[Check]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What to run, the most urgent first: words, and the settings to change."""
    bad = {check.name: check for check in checks if check.verdict in ("fail", "warn")}
    failed = {name for name, check in bad.items() if check.verdict == "fail"}
    if any(check.about == "sampler" and check.verdict == "fail" for check in checks):
        if not fit.markov:
            yield "Draw with NUTS, whose chains can be judged.", {"sampler": "nuts"}
        yield "Draw longer, until R̂ and the effective numbers pass.", {"draws": 4 * fit.posterior.sizes["draw"]}
    if "tails" in failed:
        yield "Narrower laws, or hidden layers with their readout integrated out: their averages converge.", {}
    if "translation symmetry" in failed:
        yield "Compare the order of the sites and the shape with the file: sites are read in C order.", {}
    if "eps4" in failed:
        yield from _wider(fit)
    if "prior against data" in bad:
        scale = 3.0 * float(fit.attrs.get("prior_scale", 1.0))
        yield "A wider prior, so that the data decide.", {"prior_scale": f"{scale:g}"}
    if "Z2 symmetry" in bad:
        yield "An action with odd terms, `m.Odd(...)` around this one, fitted in a session.", {}
    best = max((abs(c.z) for c in fit.couplings), default=0.0)
    if best < LIMITS["resolved"] or "tails" in bad or "networks per coupling" in bad:
        yield _more(fit, best)
    if {"share of the gain", "excluded terms"} & set(bad) and _richer(fit):
        yield "The full quartic action, which leaves no quartic term out, beside this one.", {"action": "full_quartic"}
    if "truncation bias of tree level" in bad:
        yield "Score matching, which does not expand.", {"method": "score"}
    if fit.action.lattice is not None:
        yield "Another size of the lattice or other configurations: couplings that stay are the theory's.", {}
    width = ((fit.recipe.get("model") or {}).get("options") or {}).get("width")
    if "study" in fit.attrs and isinstance(width, int):
        yield "Twice the width: interactions fall like 1/N, or something else is there.", {"width": 2 * width}
    else:
        yield "The same at other points: what stays belongs to the field, the rest to the points.", {}


def _wider(fit: Reading) -> Iterator[tuple[str, dict[str, Any]]]:
    """eps4 falls like 1/N."""
    width = ((fit.recipe.get("model") or {}).get("options") or {}).get("width")
    if "study" in fit.attrs and isinstance(width, int):
        needed = math.ceil(1.2 * width * float(fit.constants.attrs["eps4"]) / LIMITS["eps4"])
        yield "Wider networks, ε₄ falling like 1/N; or fewer points.", {"width": needed}
    one = "modes" if fit.action.of_modes else "points"
    yield (
        f"Fewer {one}, or wider networks, ε₄ falling like 1/N; else stay with the correlators, which need no action.",
        {},
    )


def _more(fit: Reading, best: float) -> tuple[str, dict[str, Any]]:
    """Networks that would bring the clearest coupling to three standard deviations."""
    factor = min(100.0, max(4.0, (1.2 * LIMITS["resolved"] / max(best, 0.4)) ** 2))
    size = 10.0 ** np.floor(np.log10(fit.networks * factor))
    n = float(np.ceil(fit.networks * factor / size) * size)
    words = f"More {drawn(fit)}, about {count(n)}: errors fall like their root."
    return words, {"n": f"{n:.0f}"}


def _richer(fit: Reading) -> bool:
    """Whether the full quartic action is one to try: not where it is this one, nor of modes or a lattice."""
    one = fit.action
    everything = fit.group("observed_data").sizes.get("quad")
    return one.even and not one.of_modes and one.lattice is None and everything not in (None, len(fit.couplings))
