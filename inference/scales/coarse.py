"""Fields and correlators on a coarser scale, made of finer ones by the same linear map, and fitted as any other.

What the data themselves say of how couplings run: `inf.fit(inf.decimate(data, every=2), action)` is the action of the
sites that stay. Couplings belong to their field: of blocks, of decimated sites and of long waves they differ, each
exact for its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...models.combinatorics import rank, sorted_tuples, tuple_count
from ...models.correlators import Correlators
from ...models.types import Matrix, Points
from ..ensembles.chains import Dependence
from ..ensembles.source import Source
from ..estimators.measure import check_source
from .maps import CoarseMap, blocks, kept_points, kept_sites, long_waves

__all__ = ["Coarse", "block", "coarsened", "decimate", "shell"]

_MOST_NUMBERS = 2e8  # of correlators with a leg mapped
_AT_ONCE = 2e7
_ACCURACIES = ("accuracy", "relative_accuracy")


def decimate[D: (Correlators, Source)](
    data: D, *, every: int | None = None, to: Points | None = None, shape: Sequence[int] | None = None
) -> Any:
    """The same networks at fewer of their points: all others are integrated out.

    Args:
        data: an ensemble, samples or another source, or correlators of any maker.
        every: b: every b-th site of a lattice, or of points in a row, is kept, the first among them.
        to: the points to keep instead, (point, axis), nested in those of the data.
        shape: sites along each axis of a lattice in C order; without it all points are one axis.

    Returns:
        What it was given, correlators or a source, at the points that stay: `inf.measure` and `inf.fit` take it.

    Raises:
        ValueError: points that are not among those of the data, a number that does not divide the length, neither or
            both asked for; sixth-order correlators with errors too large to map.

    Example, correlators of every second site:
        >>> from nnft import models as m
        >>> fine = m.DecimatedChain(m.Chain(1.0, 0.1, 6)).correlators((2, 4))
        >>> coarse = decimate(fine, every=2)
        >>> coarse.points.ravel().tolist(), bool(coarse.tensor(2)[0, 1] == fine.tensor(2)[0, 2])
        ([0.0, 2.0, 4.0], True)
    """
    if (every is None) == (to is None):
        raise ValueError("expected either every= or to=, got both or neither; try every=2")
    _check_data(data)
    if every is not None:
        return coarsened(data, kept_sites(np.asarray(data.points), every, shape))
    if shape is not None:
        raise ValueError("expected shape= with every= only, got it with to=; try leaving it out")
    return coarsened(data, kept_points(np.asarray(data.points), np.asarray(to, dtype=float)))


def block[D: (Correlators, Source)](data: D, *, size: int, shape: Sequence[int] | None = None) -> Any:
    """Averages of the field over blocks of so many sites along each axis, as correlators or fields of their own.

    Args as in `decimate`; raises ValueError for a size that does not divide the length.

    Example:
        >>> from nnft import models as m
        >>> fine = m.DecimatedChain(m.Chain(1.0, 0.1, 6)).correlators((2,))
        >>> two = fine.tensor(2)[:2, :2].mean()   # of the average over the first two sites
        >>> bool(abs(block(fine, size=2).tensor(2)[0, 0] - two) < 1e-15)
        True
    """
    _check_data(data)
    return coarsened(data, blocks(np.asarray(data.points), size, shape))


def shell[D: (Correlators, Source)](data: D, *, every: int, shape: Sequence[int]) -> Any:
    """The field without the waves that a lattice so many times as coarse cannot hold, at the sites of that lattice.

    Args as in `decimate`; the lattice is periodic, and `shape` says so.

    Example, the variance of the waves that stay, the zero mode in full:
        >>> from nnft import models as m
        >>> fine = m.DecimatedChain(m.Chain(1.0, 0.0, 6)).correlators((2,))
        >>> bool(abs(shell(fine, every=6, shape=(6,)).tensor(2)[0, 0] - 1.0 / 6.0) < 1e-12)   # 1/(M m2)
        True
    """
    _check_data(data)
    return coarsened(data, long_waves(np.asarray(data.points), every, shape))


def coarsened(data: Any, coarse: CoarseMap) -> Any:
    """Correlators or a source under a map."""
    if isinstance(data, Correlators):
        return _correlators(data, coarse)
    return data.through(lambda source: Coarse(source, coarse))


@dataclass(frozen=True, eq=False)
class Coarse(Source):
    """Networks of another source under a linear map of their points; a `Source` like any other.

    Attributes:
        source: the finer fields.
        map: what was made of them.

    Example:
        >>> from nnft import inference as inf
        >>> fine = inf.Samples(np.random.default_rng(0).normal(size=(100, 4)), np.arange(4.0)[:, None])
        >>> decimate(fine, every=2).read(0, 3).shape
        (3, 2)
    """

    source: Source
    map: CoarseMap
    points: Points = field(init=False)
    n: int = field(init=False)

    def __post_init__(self) -> None:
        same = ("n", "even", "weighted", "copied", "first", "outputs")
        given = {name: getattr(self.source, name) for name in same} | {"points": self.map.points}
        given |= {"model": self.source.model if self.map.kept is not None else None}  # fewer points of the same program
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def level(self) -> float:
        return self.source.level

    @property
    def dependence(self) -> Dependence:
        return self.source.dependence

    @property
    def remedy(self) -> str:
        return self.source.remedy

    def read(self, start: int, count: int) -> np.ndarray:
        return self.map.fields(self.source.read(start, count), self.outputs)

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        fields, weights = self.source.read_weighted(start, count)
        return self.map.fields(fields, self.outputs), weights

    def pilot(self, share: float) -> tuple[Matrix, str, Source | None]:
        found, words, rest = self.source.pilot(share)
        legs = self.map.matrix(self.outputs)
        return legs @ found @ legs.T, words, None if rest is None else Coarse(rest, self.map)

    def sent(self, first: int, count: int) -> Source:
        return Coarse(self.source.sent(first, count), self.map)

    def recipe(self) -> dict[str, Any]:
        return {"kind": "coarse", "n": self.n, "map": self.map.words, "of": self.source.recipe()}

    def about(self) -> dict[str, Any]:
        return {**self.source.about(), "coarse": self.map.words}

    def __repr__(self) -> str:
        return f"{self.map.words} of {self.source!r}"


def _correlators(data: Correlators, coarse: CoarseMap) -> Correlators:
    """Correlators with A on every leg; their errors and the networks behind them too."""
    matrix = coarse.matrix(data.outputs)

    def moved(order: int, values: np.ndarray) -> np.ndarray:
        return _on_legs(np.asarray(values), matrix, order)

    about = {name: words for name, words in data.about.items() if name not in ("recipe", *_ACCURACIES)}
    about |= _accuracies(data, matrix)
    earlier = f"{data.about['coarse']}, then " if "coarse" in data.about else ""
    return replace(
        data,
        points=coarse.points,
        moments={order: moved(order, value) for order, value in data.moments.items()},
        cumulants={order: moved(order, value) for order, value in data.cumulants.items()},
        rows={kind: {r: moved(r, rows) for r, rows in table.items()} for kind, table in data.rows.items()},
        source=None if data.source is None else coarsened(data.source, coarse),
        model=data.model if coarse.kept is not None else None,
        about=about | {"coarse": earlier + coarse.words},
        sums=None,
    )


def _accuracies(data: Correlators, matrix: Matrix) -> dict[str, Any]:
    """How well exact correlators are known: a map makes no error larger than its largest row sum to the order.

    One number is relative, and grows where the coarser moments are smaller.
    """
    known, reach = data.about.get(_ACCURACIES[0]), float(np.max(np.sum(np.abs(matrix), axis=1)))
    if isinstance(known, dict):
        return {_ACCURACIES[0]: {order: error * reach**order for order, error in known.items()}}
    if known is None:
        return {}
    sizes = [
        float(np.max(np.abs(values)) * reach**order / np.max(np.abs(_on_legs(np.asarray(values), matrix, order))))
        for order, values in data.moments.items()
    ]
    return {_ACCURACIES[0]: known * max(sizes, default=1.0)}


def _on_legs(values: np.ndarray, matrix: Matrix, order: int) -> np.ndarray:
    """Components on sorted tuples, (..., component), with the matrix on every leg, one after the other.

    In between some legs are new and the others old, each kind sorted: of 16 places and order six a fifth of a second.
    """
    new, old = matrix.shape
    rows = values.reshape(-1, values.shape[-1])
    steps = []
    for k in range(order):
        done, rest = sorted_tuples(new, k + 1), sorted_tuples(old, order - k - 1)
        legs = np.concatenate(
            [np.repeat(rest[:, None], old, axis=1), np.tile(np.arange(old), (len(rest), 1))[..., None]], axis=2
        )
        steps.append((rank(done[:, :-1], new), done[:, -1], rank(legs, old)))
    largest = max(tuple_count(new, k) * len(step[2]) * max(new, old) for k, step in enumerate(steps))
    if largest > _MOST_NUMBERS:
        raise ValueError(
            f"expected correlators of at most {_MOST_NUMBERS:.0e} numbers to map, got {largest:.1g} of order {order} "
            f"at {old} places; try mapping the ensemble or the samples, and measuring then"
        )
    found, length = [], max(1, int(_AT_ONCE // largest))
    for first in range(0, len(rows), length):
        part = rows[first : first + length, None]
        for before, last, index in steps:
            part = (part[:, :, index] @ matrix.T)[:, before, :, last].transpose(1, 0, 2)
        found.append(part[:, :, 0])
    empty = np.zeros((0, tuple_count(new, order)))
    return np.concatenate([empty, *found]).reshape(*values.shape[:-1], -1)


def _check_data(data: Any) -> None:
    if not isinstance(data, Correlators):
        check_source(data)
