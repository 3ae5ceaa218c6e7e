"""A question about a fit with its answer: the number, its limit, the verdict and one sentence why; all limits, once.

Verdicts: "pass"; "warn", the number stands but read it with the reason; "fail", do not use the result as if it were
sound; "note", no limit applies.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ...models.display import card

__all__ = ["GROUPS", "LIMITS", "Check", "Diagnosis", "about", "answers", "grouped"]

VERDICTS = ("note", "pass", "warn", "fail")  # the gravest last
# What a check is about, in the order of a page, and what is asked there.
GROUPS = {
    "data": "Are the averages and their errors what they are said to be?",
    "theory": "Is there an action around the Gaussian to speak of, and may exp(-S) be normalised?",
    "fit": "What does the action explain, and do the data rather than the prior determine it?",
    "sampler": "Do the draws stand for the posterior?",
    "own": "Checks of one's own.",
}
LIMITS = {
    "rhat": 1.01,
    "ess": 400.0,
    "bfmi": 0.3,
    "sampler": 0.2,  # distance of the sampled mean from the closed form, in posterior sd
    "guide_khat": 0.7,  # Pareto k-hat of a variational guide's importance weights (arXiv:1802.02538)
    "truncation": 1.0,  # what tree level leaves out of a coupling, in its posterior sd
    "exact_p": 1e-3,
    "odd_p": 1e-3,
    "eps4": 0.3,  # beyond it there is no expansion around the Gaussian (physics: chi^2 distance of order one)
    "loop": 0.1,  # one loop over tree, whitened norm: leading order is good below
    "share": 0.9,
    "excluded_p": 1e-3,
    "translation_p": 1e-6,  # of waves in local products of a lattice, Bonferroni over all of them
    "band": 0.9,  # share of four-point components inside the truncation band
    "resolved": 3.0,  # sd
    "pulled": 0.3,  # shift of a coupling by the prior, in its posterior sd: intervals then cover 94 % and less
    "decided": 1.0,  # the same: beyond it intervals cover less than 83 %
    "determined": 0.5,  # share of the couplings that the data rather than the prior determine
    "networks_each": 50,  # networks a coupling: below it ellipsoids of all couplings cover too little
    "narrowed": 1.4,  # prior over posterior sd where data and prior say as much as each other
}


class Check(NamedTuple):
    """One question about a fit with its answer.

    name: a few words; value: the number, as text; limit: "< 0.3", or "none"; verdict: "note", "pass", "warn" or "fail";
    why: one sentence; about: which part of a study it judges, one of `GROUPS`.
    """

    name: str
    value: str
    limit: str
    verdict: str
    why: str
    about: str = "own"


def about(group: str, checks: Iterable[Check]) -> Iterator[Check]:
    """The same checks, said to be about that group."""
    return (check._replace(about=group) for check in checks)


def grouped(checks: Iterable[Check]) -> dict[str, list[Check]]:
    """Checks by what they are about, in the order of `GROUPS`, those of a group in their own order; no empty group.

    Raises:
        ValueError: a check about something else.

    Example:
        >>> words = ("1.003", "<= 1.01", "pass", "Chains agree.")
        >>> list(grouped([Check("R-hat", *words), Check("R-hat", *words, "sampler")]))
        ['sampler', 'own']
    """
    made: dict[str, list[Check]] = {name: [] for name in GROUPS}
    for check in checks:
        if check.about not in made:
            raise ValueError(
                f"expected the check {check.name!r} to be about {', '.join(GROUPS)}, got {check.about!r}; try 'own'"
            )
        made[check.about].append(check)
    return {name: part for name, part in made.items() if part}


def answers(check: Callable[[Any], Check | Iterable[Check]], fit: Any) -> Iterator[Check]:
    """What a check of one's own says of a fit, if it is one `Check` or several with a verdict there is.

    Args:
        check: a function of the fit that was read, `an.Reading`.
        fit: that fit.

    Raises:
        ValueError: by the name of the check, an answer that is none.
    """
    name, found = getattr(check, "__name__", type(check).__name__), check(fit)
    for one in [found] if isinstance(found, Check) else found if isinstance(found, Iterable) else [found]:
        if not isinstance(one, Check):
            raise ValueError(
                f"expected the check {name} to answer with an.Check(name, value, limit, verdict, why), got {one!r}; "
                "try returning one, or several in a list"
            )
        if one.verdict not in VERDICTS:
            raise ValueError(
                f"expected the check {name} to give a verdict among {', '.join(VERDICTS)}, got {one.verdict!r}; try "
                "'note', where no limit applies"
            )
        grouped([one])  # refuses a group that is none
        yield one


class Diagnosis(tuple[Check, ...]):
    """All checks of a fit; prints as a table."""

    @property
    def failed(self) -> list[Check]:
        """Checks whose verdict is "fail"."""
        return [check for check in self if check.verdict == "fail"]

    @property
    def worst(self) -> str:
        """The gravest verdict."""
        return max((check.verdict for check in self), key=VERDICTS.index, default="note")

    def __str__(self) -> str:
        width = max((len(check.name) for check in self), default=0)
        return "\n".join(f"{c.verdict:>4}  {c.name:<{width}}  {c.value}  (limit {c.limit})" for c in self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(c.verdict, c.name, c.value, c.limit, "" if c.verdict in ("pass", "note") else c.why) for c in self]
        return card("Checks", rows, head=("verdict", "check", "value", "limit", "why"))
