"""All axioms of Osterwalder and Schrader at once: an ensemble that keeps them is a quantum field.

Exact where correlators are exact; of networks by tests that pay for what they choose (`reflections/halves.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ensembles.source import Source
from ..reflections.known import Known
from ..reflections.reflection import as_reflected
from ..reflections.times import check_times
from ..reflections.verdict import Positivity, judged
from .axiom import HOLDS, OPEN, UNSEEN, VIOLATED, Axiom
from .clustering import clustering
from .growth import growth
from .invariance import invariance
from .sampled import sampled_clustering, sampled_growth, sampled_invariance, sampled_positivity

__all__ = ["Axioms", "axioms"]

_POSITIVE = "reflection positivity"
_PERMUTED = Axiom(
    "OS3",
    "symmetry under permutations",
    HOLDS,
    "fields are random variables, which commute: moments do not know an order",
)


@dataclass(frozen=True)
class Axioms:
    """The five axioms, and the positivity of each order behind the third.

    Attributes:
        theory: what they were asked of.
        all: OS0 to OS4.
        positivity: order -> what its times say.

    Raises:
        ValueError: an axiom asked for by another name than theirs.
    """

    theory: str
    all: tuple[Axiom, ...]
    positivity: Mapping[int, Positivity] = field(default_factory=dict, repr=False)

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the axioms that are violated."""
        return tuple(one.name for one in self.all if one.verdict == VIOLATED)

    def __getitem__(self, name: str) -> Axiom:
        """The axiom of a name, "OS2"."""
        for one in self.all:
            if one.name == name:
                return one
        known = [one.name for one in self.all]
        raise ValueError(f"expected an axiom among {known}, got {name!r}; try {known[-1]!r}")

    def __str__(self) -> str:
        return "\n".join([f"Osterwalder-Schrader axioms of {self.theory}", *(f"  {one}" for one in self.all)])


def axioms(
    data: Any,
    times: Any = None,
    *,
    orders: tuple[int, ...] | None = None,
    axis: int = 0,
    dimension: int = 1,
    period: float = float("inf"),
    name: str | None = None,
) -> Axioms:
    """Which of the Osterwalder-Schrader axioms a theory keeps, how far it breaks the others, what is not decidable.

    Args:
        data: a network or a model known exactly, an oscillator or a chain; or networks, an `Ensemble` or `Samples` at
            points that hold t and -t.
        times: at which reflection positivity is asked, (time,); default a dense set at order 2, a few beyond.
        orders: of reflection positivity, default 2, 4 and 6 as far as they are known.
        axis: the coordinate of the points that is time.
        dimension: of the points.
        period: of a box that the theory does not know of itself.
        name: what the theory is called.

    Raises:
        ValueError: times that are not positive; something whose correlators are not known exactly.

    Example, a field with one shared scale and no cutoff: positive at order 2, but its vacuum is not one state.
        >>> from nnft import models as m
        >>> mixture = m.Network(m.ScalarMode(cutoff=float("inf")), 50, shared_scale=m.GammaScale(0.2))
        >>> found = axioms(mixture, [0.2, 0.5, 1.0])
        >>> found.positivity[2].holds, found["OS4"].verdict
        (True, 'violated')
    """
    if isinstance(data, Source):
        third, halves = sampled_positivity(data, times, orders or (2, 4), axis=axis)
        said = (sampled_growth(data), sampled_invariance(data), third, _PERMUTED, sampled_clustering(data, axis=axis))
        return Axioms(name or f"{data.n:,} networks", said, halves)
    theory = as_reflected(data, axis=axis, dimension=dimension, period=period)
    if not isinstance(theory, Known):
        raise ValueError(
            f"expected a theory whose correlators are known everywhere, got {type(data).__name__}; try inf.positivity, "
            "which asks for reflection positivity alone"
        )
    if not theory.orders:
        raise ValueError(
            f"expected a theory with exact correlators, got {_name(data)}, which has none; try inf.measure(..) at "
            "points t and -t, and inf.positivity of that"
        )
    chosen = tuple(r for r in (2, 4, 6) if r in theory.orders) if orders is None else orders
    found = {}
    for order in chosen:
        where = theory.times(order) if times is None else check_times(times, period=theory.period)
        found[order] = judged(theory.matrices(where, order), where, order, theory.about)
    all_five = (growth(theory), invariance(theory), positive(found), _PERMUTED, clustering(theory))
    return Axioms(name or _name(data), all_five, found)


def positive(found: Mapping[int, Positivity]) -> Axiom:
    """The third axiom, from what each order says."""
    if not found:
        return Axiom("OS2", _POSITIVE, OPEN, "no correlator is known")
    broken = {order: one for order, one in found.items() if one.violated}
    said = [one.words for one in found.values()]
    if not broken:
        return Axiom("OS2", _POSITIVE, UNSEEN, "; ".join(said))
    worst = min(broken.values(), key=lambda one: one.smallest)
    needed = found[2].networks() if 2 in broken else float("nan")
    return Axiom("OS2", _POSITIVE, VIOLATED, "; ".join(said), worst.smallest, worst.sigmas, needed)


def _name(data: Any) -> str:
    return getattr(data, "name", "") or str(data)
