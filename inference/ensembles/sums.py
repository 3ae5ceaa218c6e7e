"""Sums over the networks of a source, in float64 and in an order that depends on neither chunk nor device.

sum_i w_i f(phi_i) for a statistic f with values in any tree of arrays: kept apart for at most 1024 groups of networks
in index order, whose spread is the covariance of every average (`sums`, `error_rows`), or added up (`total`). w_i is
one, or the weight of a network whose model deforms its density. Groups of a Markov chain are long enough to forget each
other. Memory does not grow with the number of networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

from ...models.runtime import settled
from .ensemble import device_mesh
from .source import GROUPS, Source, Work

__all__ = ["GROUPS", "Statistic", "add_groups", "error_rows", "group_length", "spread_rows", "sums", "total"]

_CHUNK = 65_536  # networks held in memory at a time
_HELD = 2**26  # bytes of sums that `total` holds at a time

Statistic = Callable[..., Any]


def sums(source: Source, statistic: Statistic, *arguments: Any, progress: bool = False, what: str = "networks") -> Any:
    """Sum a statistic over the networks of a source, in float64, one sum per group.

    Args:
        source: an `Ensemble` or `Samples`.
        statistic: function (fields (network, point), weights (network,), *arguments) -> pytree of sums over networks;
            weights are one for a network (or its weight) and zero for padding, whose fields are zero. Compared by
            value, as a dataclass is, it is compiled once for equal ones, and travels to other processes.
        arguments: arrays passed on to it.
        progress: a bar for anything longer than two seconds.
        what: the bar's label.

    Returns:
        (sizes, pytree): number of networks per group (group,), or their total weight, and the sums with a leading group
        axis, NumPy float64.

    Raises:
        ValueError: a field that is not finite, with the network's number.
    """
    _, sizes, tree = add_groups(source.gather(_GroupSums(statistic, arguments, progress=progress, what=what)))
    return sizes, tree


def add_groups(parts: list[tuple[int, np.ndarray, Any]]) -> tuple[int, np.ndarray, Any]:
    """Group sums of consecutive networks put together: (first group, sizes, pytree), parts that share a group added.

    >>> first, sizes, tree = add_groups([(0, np.ones(2), np.arange(2.0)), (1, np.ones(2), np.arange(2.0))])
    >>> sizes.tolist(), tree.tolist()
    ([1.0, 2.0, 1.0], [0.0, 1.0, 1.0])
    """
    if len(parts) == 1:
        return parts[0]
    first = min(part[0] for part in parts)
    count = max(part[0] + len(part[1]) for part in parts) - first

    def added(*leaves: np.ndarray) -> np.ndarray:
        out = np.zeros((count, *leaves[0].shape[1:]))
        for (start, _, _), leaf in zip(parts, leaves, strict=True):
            out[start - first : start - first + len(leaf)] += leaf
        return out

    return first, added(*[part[1] for part in parts]), jax.tree.map(added, *[part[2] for part in parts])


@dataclass(frozen=True)
class _GroupSums(Work):
    """The sums over some networks for each group that they belong to, and the number of the first of these groups."""

    statistic: Statistic
    arguments: tuple[Any, ...]

    def __call__(self, source: Source, first: int, count: int) -> tuple[int, np.ndarray, Any]:
        group, stop = source.grouping, first + count
        start, groups = first // group.size, -(-stop // group.size) - first // group.size
        sizes, tree, piece = np.zeros(groups), None, first // group.length
        bar = self.progress, self.what
        for weights, part in _passes(source, self.statistic, self.arguments, first, stop, _CHUNK, *bar):
            if tree is None:
                tree = jax.tree.map(lambda leaf: np.zeros((groups, *leaf.shape[1:])), part)
            places = [(piece + k) // group.pieces - start for k in range(len(weights))]
            _add_each(sizes, weights.sum(axis=1), places)
            jax.tree.map(lambda into, leaf, where=places: _add_each(into, leaf, where), tree, part)
            piece += len(weights)
        return start, sizes, tree


def _add_each(into: np.ndarray, pieces: np.ndarray, places: list[int]) -> None:
    for place, value in zip(places, pieces, strict=True):  # one after the other, in the order of the networks
        into[place] += value


def total(
    source: Source, statistic: Statistic, *arguments: Any, keep: int = 0, progress: bool = False, what: str = "networks"
) -> Any:
    """The same summed over all networks, (total weight, pytree): sums are added as they come, none is kept apart.

    For large statistics whose spread is not needed, such as a matrix of all pairs of terms.
    With keep > 0 the statistic gives (pytree, values of every network (network, column)), and what it gives of the
    first `keep` networks is returned as well, unsummed: (total weight, pytree, values).
    """
    parts = source.gather(_Total(statistic, arguments, keep, progress=progress, what=what))
    weight, added = sum(part[0] for part in parts), parts[0][1]
    for part in parts[1:]:
        added = jax.tree.map(np.add, added, part[1])
    return (weight, added, np.concatenate([part[2] for part in parts])) if keep else (weight, added)


@dataclass(frozen=True)
class _Total(Work):
    """The sums over some networks, and of those among the first `keep` what the statistic says of each."""

    statistic: Statistic
    arguments: tuple[Any, ...]
    keep: int

    def __call__(self, source: Source, first: int, count: int) -> tuple[float, Any, np.ndarray | None]:
        length, keep = source.grouping.length, self.keep
        with settled():
            shapes: Any = jax.eval_shape(
                self.statistic, np.zeros((length, source.places)), np.zeros(length), *self.arguments
            )
        sums, rest = shapes if keep else (shapes, None)
        kept, missing = [], max(0, keep - first)
        size = 8 * sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(sums))
        held = length * max(1, min(_CHUNK // length, _HELD // size))
        weight, added = 0.0, jax.tree.map(lambda leaf: np.zeros(leaf.shape), sums)
        bar = self.progress, self.what
        for weights, part in _passes(source, self.statistic, self.arguments, first, first + count, held, *bar):
            weight += float(weights.sum())
            if keep:
                part, values = part
            if keep and missing:
                kept.append(values.reshape(weights.size, -1)[weights.ravel() > 0][:missing])
                missing -= len(kept[-1])
            jax.tree.map(_add, added, part)
        if not keep:
            return weight, added, None
        assert rest is not None
        return weight, added, np.concatenate([np.zeros((0, rest.shape[-1])), *kept])


def _add(into: np.ndarray, pieces: np.ndarray) -> None:
    for piece in pieces:  # one after the other, in the order of the networks, however they were read
        into += piece


def error_rows(source: Source, sizes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """`spread_rows` of the groups of a source."""
    return spread_rows(sizes, parts, source.dependence.inflation(group_length(source)))


def spread_rows(sizes: np.ndarray, parts: np.ndarray, inflation: float) -> np.ndarray:
    """Rows whose rows^T rows is the covariance of the average of a statistic, from its `sums`, (group, ...).

    Deviations of the groups' sums from their share, over the total weight, times sqrt(G/(G-1)) for G groups, and for
    the blocks of a chain what `Dependence.inflation` puts back.
    """
    groups, n = len(sizes), sizes.sum()
    mean = parts.sum(axis=0) / n
    scale = np.sqrt(inflation * groups / max(groups - 1, 1)) / n
    return scale * (parts - sizes.reshape(-1, *[1] * (parts.ndim - 1)) * mean)


def group_length(source: Source) -> int:
    """Networks of a group, but for the last: at most 1024 groups, and none shorter than a chain's block."""
    return source.grouping.size


def _passes(
    source: Source,
    statistic: Statistic,
    arguments: tuple[Any, ...],
    first: int,
    stop: int,
    chunk: int,
    progress: bool,
    what: str,
) -> Iterator[tuple[np.ndarray, Any]]:
    """Weights (piece, network) and the tree of sums, each (piece, ...), chunk after chunk."""
    compiled = _compiled(statistic, len(jax.local_devices()))
    shard = NamedSharding(device_mesh(), PartitionSpec("device"))
    waiting: tuple[np.ndarray, Any] | None = None

    def ready(weights: np.ndarray, made: Any) -> tuple[np.ndarray, Any]:
        return weights, jax.tree.map(lambda leaf: np.asarray(leaf)[: len(weights)], made)

    bar = tqdm(total=stop - first, desc=what, unit="net", unit_scale=True, delay=2.0, disable=not progress, leave=False)
    with bar:
        for start, count, fields, weights in _chunks(source, first, stop, chunk):
            _check_finite(fields, start, source.remedy)
            with settled():
                made = compiled(*jax.device_put((fields, weights), shard), *arguments)
            if waiting is not None:  # only now: its sums were taken while these networks were drawn
                yield ready(*waiting)
            waiting = weights[: -(-count // weights.shape[1])], made  # the last chunk is filled up with empty pieces
            bar.update(count)
    if waiting is not None:
        yield ready(*waiting)


@lru_cache(maxsize=64)
def _compiled(statistic: Statistic, devices: int) -> Callable[..., Any]:
    """The statistic mapped over pieces (a scan: each piece stays in cache), pieces sharded over the devices."""

    def device(fields: jax.Array, weights: jax.Array, *arguments: Any) -> Any:
        def piece(both: tuple[jax.Array, jax.Array]) -> Any:
            return statistic(both[0].astype(weights.dtype), both[1], *arguments)

        return jax.lax.map(piece, (fields, weights))

    spec = PartitionSpec("device")

    def sharded(fields: jax.Array, weights: jax.Array, *arguments: Any) -> Any:
        specs = (spec, spec, *[PartitionSpec()] * len(arguments))
        return jax.shard_map(device, mesh=device_mesh(), in_specs=specs, out_specs=spec)(fields, weights, *arguments)

    return jax.jit(sharded)


def _chunks(source: Source, first: int, stop: int, chunk: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """First and number of networks, and consecutive pieces of the whole as arrays (piece, network, point) of one shape.

    At most `chunk` networks and at least one piece a device; padded with fields and weights of zero. Where the first
    network lies inside a piece, the rest of that piece comes alone.
    """
    length, devices = source.grouping.length, len(jax.local_devices())
    rows = min(-(-(stop - first) // length), max(1, chunk // length))
    rows = -(-rows // devices) * devices
    start = first
    while start < stop:
        inside = start % length
        count = min(length - inside if inside else rows * length, stop - start)
        weights = (np.arange(rows * length) < count).astype(np.float64)
        drawn, logs = source.read_weighted(start, count)
        if source.weighted:
            weights[:count] = np.exp(logs - source.level)
        fields = np.zeros((rows * length, source.places), dtype=drawn.dtype)
        fields[:count] = drawn
        yield start, count, fields.reshape(rows, length, -1), weights.reshape(rows, length)
        start += count


def _check_finite(fields: np.ndarray, first: int, remedy: str) -> None:
    if not np.isfinite(fields).all():
        network, point = np.argwhere(~np.isfinite(fields.reshape(-1, fields.shape[-1])))[0]
        raise ValueError(
            f"expected finite fields, got {fields.reshape(-1, fields.shape[-1])[network, point]} in network "
            f"{first + network} at point {point}; try {remedy}"
        )
