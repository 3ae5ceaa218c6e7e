"""Where networks come from: a recipe (`Ensemble`), somebody's array (`Samples`), or either of them seen in modes.

A source of one's own says its points, n, and reads; the rest has honest defaults: networks of equal weight, independent
of each other, of a model that is not known. Sums over networks are kept apart for at most 1024 groups of them in index
order, whose borders belong to the whole: a contiguous part (`Shard`) sums whole groups, or parts of one, and parts add.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...models.display import card, points_in_words
from ...models.multiplets.placed import Placed, at_places
from ...models.networks.independent import Independent
from ...models.refusals import NOT_FINITE, is_whole
from ...models.types import Matrix, Points
from ..engines.processes import in_processes
from .chains import Dependence

__all__ = ["GROUPS", "Chosen", "Grouping", "Shard", "Slice", "Source", "Work", "two_point"]

GROUPS = 1024  # groups of networks whose sums are kept apart: the degrees of freedom of every covariance
_PIECE = 4096  # networks summed at a time by one device: their monomials fit its cache
_LEAST_PIECES = 64  # of a shard inside one group, to be its groups; else it is divided anew
_PILOT = 4000  # networks read for a two-point function at most, where none can be held out
_STRETCH = 65_536  # networks read at a time where some of them are left out


@dataclass(frozen=True, kw_only=True)
class Work(ABC):
    """A pass over networks: sums that can be added to those over others. It travels to workers by pickle.

    Attributes:
        progress: whether it shows a bar.
        what: the bar's label.
    """

    progress: bool = False
    what: str = "networks"

    @abstractmethod
    def __call__(self, source: "Source", first: int, count: int) -> Any:
        """A tree of the sums over networks first .. first + count - 1."""


class Grouping(NamedTuple):
    """Groups of `pieces` pieces of `length` networks each."""

    length: int
    pieces: int

    @property
    def size(self) -> int:
        """Networks of a group, but for the last."""
        return self.length * self.pieces


class Source(ABC):
    """Networks at some points, read in slices as often as asked.

    Attributes:
        points: input points, (point, axis).
        n: number of networks.
        model: the program that draws them; None of an array.
        weighted: whether draws carry weights (`numpyro.factor`), which `read_weighted` gives.
        level: log of the scale of the weights, which divides them.
        even: whether phi -> -phi is known to be a symmetry.
        copied: networks left out because they equal another one.
        first: number of its first network in the whole it is a part of.
        outputs: number D of fields at a point.

    Example, fields that somebody computes when asked:
        >>> class Waves(Source):
        ...     points, n = np.array([[0.0], [1.0]]), 1000
        ...     def read(self, start, count):
        ...         phase = np.random.default_rng(0).uniform(0.0, 6.28, self.n)[start : start + count]
        ...         return np.cos(self.points[:, 0] + phase[:, None])
        >>> Waves().read_weighted(0, 3)[1].tolist(), Waves().dependence.block
        ([0.0, 0.0, 0.0], 1)
    """

    points: Points
    n: int
    model: Any = None
    weighted: bool = False
    level: float = 0.0
    even: bool = False
    copied: int = 0
    first: int = 0
    outputs: int = 1

    def _repr_html_(self) -> str:
        rows = [("networks", f"{self.n:,}"), ("points", points_in_words(np.asarray(self.points)))]
        rows += [("outputs", str(self.outputs))] if self.outputs > 1 else []
        rows += [] if self.model is None else [("model", repr(self.model))]
        rows += [("copies left out", str(self.copied))] if self.copied else []
        return card(type(self).__name__, rows)

    @property
    def places(self) -> int:
        """Numbers a network has, M D: a place is (point, output), number point D + output."""
        return len(self.points) * self.outputs

    @abstractmethod
    def read(self, start: int, count: int) -> np.ndarray:
        """Fields of networks start .. start+count-1, (network, point); of several outputs (network, place)."""

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, and the log weight of each network, (network,)."""
        return self.read(start, count), np.zeros(count)

    @property
    def dependence(self) -> Dependence:
        """What their order says of their independence."""
        return Dependence(self.n)

    @property
    def remedy(self) -> str:
        """What to try where a field is not finite."""
        return NOT_FINITE

    def in_places(self) -> "Source":
        """The same networks as one field at the places (x, output), for all that knows one number at a point."""
        if self.outputs == 1:
            return self
        one, model = copy(self), None if self.model is None else Placed(self.model, self.outputs)
        for name, value in {"points": at_places(self.points, self.outputs), "outputs": 1, "model": model}.items():
            object.__setattr__(one, name, value)  # a frozen source too
        return one

    @property
    def whole(self) -> "Source":
        """The ensemble this is a part of, itself where it is none."""
        return self

    @property
    def grouping(self) -> Grouping:
        """At most 1024 groups, and none shorter than a chain's block."""
        aim = -(-self.n // max(2, min(GROUPS, self.n // self.dependence.block)))
        pieces = -(-aim // _PIECE)
        return Grouping(-(-aim // pieces), pieces)

    def span(self, k: int, parts: int) -> tuple[int, int]:
        """First and number of the networks of part k of so many: whole groups, where there are as many groups."""
        if not is_whole(parts, 1) or not is_whole(k, 0) or k >= parts or parts > self.n:
            raise ValueError(
                f"expected part k of K, 0 <= k < K <= n = {self.n}, got part {k} of {parts}; try shard(0, {parts})"
            )
        group = self.grouping
        unit = next(u for u in (group.size, group.length, 1) if u == 1 or -(-self.n // u) >= parts)
        count = -(-self.n // unit)
        first, stop = (min(self.n, unit * (count * j // parts)) for j in (k, k + 1))
        return first, stop - first

    def shard(self, k: int, parts: int) -> "Shard":
        """Part k of `parts`, a contiguous one, as a source of its own; nothing is enumerated, whatever n.

        Raises:
            ValueError: no such part.
        """
        first, count = self.span(k, parts)
        return Shard(self.whole, self.first + first, count)

    def gather(self, work: Work) -> list[Any]:
        """What a piece of work makes of all networks, in their order: of one part after the other, or all at once.

        Where JAX runs in several processes (`jax.distributed`), every one does its share, and all get all.
        """
        return in_processes(lambda k, parts: work(self, *self.span(k, parts)), self.n)

    def through(self, view: Callable[["Source"], "Source"]) -> "Source":
        """Its networks in another view, gone through as these are."""
        return view(self)

    def dealt(self, order: np.ndarray) -> "Source":
        """The networks of these numbers, a source of its own of which no model is known; in index order here.

        What lies in memory comes in the order it was dealt in, so that its groups are drawn from all of the file.
        """
        return Chosen.of(self, order)

    def sent(self, first: int, count: int) -> "Source":
        """What a worker needs for these networks: a recipe needs nothing else."""
        return self

    @property
    def neurons(self) -> Independent | None:
        """The sum of independent neurons that the field is, where that is known."""
        return None

    @property
    def program(self) -> Any:
        """The ensemble whose model can be drawn in other ways, hidden layers or single neurons; None of an array."""
        return None

    def pilot(self, share: float) -> tuple[Matrix, str, "Source | None"]:
        """<phi phi> of some networks, in words which, and the networks that are left where these were held out.

        share: of the networks that may be held out.
        """
        count = min(self.n, _PILOT)
        return two_point(self.read(0, count)), f"the first {count} networks", None

    def recipe(self) -> dict[str, Any]:
        """What a fit remembers, for JSON."""
        return {"kind": type(self).__name__, "n": self.n}

    def about(self) -> dict[str, Any]:
        """What correlators remember of where they were measured."""
        return {}


@dataclass(frozen=True, eq=False)
class Shard(Source):
    """Networks first .. first + n - 1 of another source: `ensemble.shard(k, K)`, a source like any other.

    Example, part 7 of a million of 1e12 networks:
        >>> import jax
        >>> from nnft import inference as inf, models as m
        >>> net, x = m.Network(m.Cos(), width=5), np.array([[0.0], [1.0]])
        >>> part = inf.Ensemble(net, points=x, n=10**12, key=jax.random.key(0)).shard(7, 10**6)
        >>> 6.9e6 < part.first < 7.1e6, part.read(0, 3).shape
        (True, (3, 2))
    """

    source: Source
    first: int = field()
    n: int = field()

    def __post_init__(self) -> None:
        for name in ("points", "model", "even", "weighted", "copied", "outputs"):
            object.__setattr__(self, name, getattr(self.source, name))

    @property
    def level(self) -> float:
        return self.source.level

    @property
    def whole(self) -> Source:
        return self.source

    @property
    def dependence(self) -> Dependence:
        return self.source.dependence._replace(n=self.n)

    @property
    def grouping(self) -> Grouping:
        """Groups of the whole cut into whole pieces of it, so that parts add to the same sums."""
        group, pieces = self.source.grouping, -(-self.n // self.source.grouping.length)
        if self.dependence.block > 1:
            return group
        if self.n < group.size and pieces < _LEAST_PIECES:
            return super().grouping
        least = -(-pieces // GROUPS)
        taken = next((q for q in range(least, group.pieces + 1) if group.pieces % q == 0 or self.n < group.size), least)
        return Grouping(group.length, taken)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.source.read(self.first + start, count)

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self.source.read_weighted(self.first + start, count)

    def pilot(self, share: float) -> tuple[Matrix, str, Source | None]:
        """That of the whole where it holds nothing out; else this part's own first networks."""
        found, words, rest = self.source.pilot(share)
        return (found, words, None) if rest is None else super().pilot(share)

    def recipe(self) -> dict[str, Any]:
        return {**self.source.recipe(), "span": [self.first, self.n]}

    def about(self) -> dict[str, Any]:
        return self.source.about()

    def __repr__(self) -> str:
        return f"networks {self.first} to {self.first + self.n - 1} of {self.source!r}"


@dataclass(frozen=True, eq=False)
class Slice(Source):
    """Some rows of an array as a worker gets them: the numbers of the networks are those of the whole."""

    fields: np.ndarray = field(repr=False)
    start: int
    points: Points
    n: int
    memory: Dependence
    even: bool
    outputs: int

    @property
    def dependence(self) -> Dependence:
        return self.memory

    def read(self, start: int, count: int) -> np.ndarray:
        if start < self.start or start + count > self.start + len(self.fields):
            raise ValueError(f"expected networks of this part, got {start} to {start + count - 1}; try the whole")
        return self.fields[start - self.start : start - self.start + count]


@dataclass(frozen=True, eq=False)
class Chosen(Source):
    """Some networks of another source, in index order: one bit for each network of that, and no model.

    Args:
        source: where they are read.
        members: which, bits packed into bytes, from network `low` of it on.
        low: number in the source of the network of the first bit.
        start: number here of the first that the bits name.
        n: of all of them, those included that other workers have.

    >>> class Ramp(Source):
    ...     points, n = np.array([[0.0]]), 100
    ...     def read(self, start, count):
    ...         return np.arange(float(start), start + count)[:, None]
    >>> odd = Chosen.of(Ramp(), np.array([7, 1, 5, 99]))
    >>> odd.read(1, 3).tolist(), odd.sent(1, 2).read(1, 2).tolist()
    ([[5.0], [7.0], [99.0]], [[5.0], [7.0]])
    """

    source: Source
    members: np.ndarray = field(repr=False)
    low: int
    start: int
    n: int = field()

    def __post_init__(self) -> None:
        for name in ("points", "outputs"):
            object.__setattr__(self, name, getattr(self.source, name))

    @classmethod
    def of(cls, source: Source, order: np.ndarray) -> "Chosen":
        """Those of the given numbers, in any order."""
        named = np.zeros(source.n, dtype=bool)
        named[order] = True
        return cls(source, np.packbits(named), 0, 0, int(named.sum()))

    @cached_property
    def _numbers(self) -> np.ndarray:
        """In the source, of those that the bits name, ascending."""
        return self.low + np.flatnonzero(np.unpackbits(self.members))

    def read(self, start: int, count: int) -> np.ndarray:
        named = self._numbers[max(0, start - self.start) : max(0, start - self.start) + count]
        if start < self.start or len(named) < count:
            raise ValueError(f"expected networks of this part, got {start} to {start + count - 1}; try the whole")
        parts = [self.source.read(0, 0)] if not count else []
        for some in np.split(named, np.flatnonzero(np.diff(named // _STRETCH)) + 1) if count else []:
            first = int(some[0])
            parts.append(self.source.read(first, int(some[-1]) + 1 - first)[some - first])
        return np.concatenate(parts)

    def sent(self, first: int, count: int) -> Source:
        """The bits of one part, and what it needs of the source."""
        named = self._numbers[first - self.start : first - self.start + count]
        low, high = int(named[0]), int(named[-1]) + 1
        bits = np.zeros(high - low, dtype=bool)
        bits[named - low] = True
        return Chosen(self.source.sent(low, high - low), np.packbits(bits), low, first, self.n)

    def recipe(self) -> dict[str, Any]:
        return {**self.source.recipe(), "chosen": hashlib.sha256(self.members.tobytes()).hexdigest()[:16]}


def two_point(fields: np.ndarray) -> Matrix:
    """<phi phi> over networks, (point, point)."""
    fields = fields.astype(float)
    return fields.T @ fields / len(fields)
