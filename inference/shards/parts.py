"""An ensemble gone through in parts: by workers, one part after the other, each part its own checkpoint.

Every pass over networks that a measurement or a fit makes is a sum, and sums add. So a fit does not ask who makes them:
`Parts` is a source like any other, whose passes are made part by part. Work is sent as the recipe and what to sum,
results come back as sums of kilobytes. Group sums are those of a single run to the last bit, where parts are whole
groups; sums over all networks, as A, b and B of a fit, agree to round-off (1e-13 or better).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...models.files import write_whole
from ...models.networks.independent import Independent
from ...models.refusals import is_whole
from ...models.types import Matrix
from ..engines.executors import Executor, Unfinished, each
from ..engines.trees import fingerprint, packed, unpacked
from ..ensembles.chains import Dependence
from ..ensembles.source import Grouping, Source, Work

__all__ = ["Parts"]


@dataclass(frozen=True, eq=False)
class Parts(Source):
    """The networks of a source, whose sums are made in parts.

    Args:
        source: an `Ensemble`, or `Samples`, which are sent whole.
        parts: how many.
        executor: any `concurrent.futures` executor (`engines/executors.py`); None makes them here.
        folder: where finished parts are kept; another run with the same folder goes on from there, whatever ended the
            first. None: in memory, for a second try of the same object. Workers write there themselves.

    Raises:
        ValueError: no source, or another number of parts than 1 to n.

    Example, a fit whose every pass over the networks is made in four parts:
        >>> import jax
        >>> from nnft import inference as inf, models as m
        >>> net, x = m.Network(m.Cos(), width=20), np.array([[0.0], [1.0]])
        >>> ens = inf.Ensemble(net, points=x, n=2000, key=jax.random.key(0))
        >>> bool(np.all(inf.measure(Parts(ens, parts=4)).connected(4) == inf.measure(ens).connected(4)))
        True
    """

    source: Source
    parts: int = 64
    executor: Executor | None = field(default=None, repr=False)
    folder: str | Path | None = None
    n: int = field(init=False)
    _done: dict[tuple[str, int], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.source, Source):
            raise ValueError(f"expected an inf.Ensemble or inf.Samples, got {self.source!r:.80}; try Parts(ensemble)")
        if not is_whole(self.parts, 1) or self.parts > self.source.n:
            raise ValueError(f"expected 1 to n = {self.source.n} parts, got {self.parts!r}; try parts=64")
        if self.executor is not None and not callable(getattr(self.executor, "submit", None)):
            raise ValueError(
                f"expected an executor with submit(function, ...), got {self.executor!r:.80}; try "
                "concurrent.futures.ProcessPoolExecutor(8), or a Dask client's get_executor()"
            )
        for name in ("points", "n", "model", "even", "weighted", "copied", "first", "outputs"):
            object.__setattr__(self, name, getattr(self.source, name))

    @property
    def level(self) -> float:
        return self.source.level

    @property
    def whole(self) -> Source:
        return self.source.whole

    @property
    def grouping(self) -> Grouping:
        return self.source.grouping

    @property
    def dependence(self) -> Dependence:
        return self.source.dependence

    @property
    def neurons(self) -> Independent | None:
        return self.source.neurons

    @property
    def program(self) -> Any:
        return self.source.program

    def pilot(self, share: float) -> tuple[Matrix, str, Source | None]:
        found, words, rest = self.source.pilot(share)
        return found, words, None if rest is None else self.through(lambda _: rest)

    def recipe(self) -> dict[str, Any]:
        return self.source.recipe()

    def about(self) -> dict[str, Any]:
        return self.source.about()

    def read(self, start: int, count: int) -> np.ndarray:
        return self.source.read(start, count)

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self.source.read_weighted(start, count)

    def through(self, view: Callable[[Source], Source]) -> Source:
        other = view(self.source)
        return replace(self, source=other, parts=min(self.parts, other.n))

    def dealt(self, order: np.ndarray) -> Source:
        return self.through(lambda source: source.dealt(order))

    def sent(self, first: int, count: int) -> Source:
        return self.source.sent(first, count)

    def gather(self, work: Work) -> list[Any]:
        """Each part made by a worker, unless it is there already.

        Raises:
            Unfinished: workers are gone; finished parts are kept, and not made again the next time.
        """
        quiet = replace(work, progress=False)
        name = fingerprint(identity(self.source), quiet, self.parts)
        missing = [k for k in range(self.parts) if (name, k) not in self._done]
        jobs = [self._job(quiet, name, k) for k in missing]
        try:
            made = each(self.executor, make_part, jobs, progress=work.progress, what=work.what)
        except Unfinished as stopped:
            self._done.update({(name, missing[k]): result for k, result in stopped.done.items()})
            raise
        found = dict(zip(missing, made, strict=True))
        return [self._done.pop((name, k), None) if k not in found else found[k] for k in range(self.parts)]

    def _job(self, work: Work, name: str, k: int) -> tuple[Any, ...]:
        span = self.source.span(k, self.parts)
        place = None if self.folder is None else Path(self.folder) / f"{name}-{k:06d}-of-{self.parts}.npz"
        return work, self.source.sent(*span), span, place


def make_part(work: Work, source: Source, span: tuple[int, int], place: Path | None) -> Any:
    """One part: from its file where it is finished, else made and kept. What a worker does.

    A file that cannot be read, for it was damaged later, is made again.
    """
    if place is not None and place.is_file():
        with suppress(ValueError, OSError):
            return unpacked(place.read_bytes())
    data = packed(work(source, *span))
    if place is not None:
        write_whole(place, data)
    return unpacked(data)


def identity(source: Source) -> tuple[Any, ...]:
    """What tells networks from others: the recipe, their points, their number, and the first of them as they come."""
    few = source.whole.read(0, min(4, source.whole.n))
    return source.recipe(), source.points, source.n, np.asarray(few)
