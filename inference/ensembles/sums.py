"""Sums over the networks of a source, in float64 and in an order that depends on neither chunk nor device.

sum_i w_i f(phi_i) for a statistic f with values in any tree of arrays: kept apart for at most 1024 groups of networks
in index order, whose spread is the covariance of every average (`sums`, `error_rows`), or added up (`total`). w_i is
one, or the weight of a network whose model deforms its density. Groups of a Markov chain are long enough to forget each
other. Memory does not grow with the number of networks.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

from ...models.runtime import settled
from .ensemble import device_mesh
from .source import Source

__all__ = ["Statistic", "error_rows", "group_length", "sums", "total"]

GROUPS = 1024  # groups of networks whose sums are kept apart: the degrees of freedom of every covariance
_PIECE = 4096  # networks summed at a time by one device: their monomials fit its cache
_CHUNK = 65_536  # networks held in memory at a time
_HELD = 2**26  # bytes of sums that `total` holds at a time

Statistic = Callable[..., Any]


def sums(source: Source, statistic: Statistic, *arguments: Any, progress: bool = False, what: str = "networks") -> Any:
    """Sum a statistic over the networks of a source, in float64, one sum per group.

    Args:
        source: an `Ensemble` or `Samples`.
        statistic: function (fields (network, point), weights (network,), *arguments) -> pytree of sums over networks;
            weights are one for a network (or its weight) and zero for padding, whose fields are zero.
        arguments: arrays passed on to it.
        progress: a bar for anything longer than two seconds.
        what: the bar's label.

    Returns:
        (sizes, pytree): number of networks per group (group,), or their total weight, and the sums with a leading group
        axis, NumPy float64.

    Raises:
        ValueError: a field that is not finite, with the network's number.
    """
    length, pieces = _grouped(source)
    groups = -(-source.n // (pieces * length))
    parts, weighed = [], []
    for weights, part in _passes(source, statistic, arguments, length, _CHUNK, progress, what):
        parts.append(part)
        weighed.append(weights.sum(axis=1))
    sizes = _by_group(np.concatenate(weighed), groups, pieces)
    return sizes, jax.tree.map(lambda *leaves: _by_group(np.concatenate(leaves), groups, pieces), *parts)


def total(
    source: Source, statistic: Statistic, *arguments: Any, keep: int = 0, progress: bool = False, what: str = "networks"
) -> Any:
    """The same summed over all networks, (total weight, pytree): sums are added as they come, none is kept apart.

    For large statistics whose spread is not needed, such as a matrix of all pairs of terms.
    With keep > 0 the statistic gives (pytree, values of every network (network, column)), and what it gives of the
    first `keep` networks is returned as well, unsummed: (total weight, pytree, values).
    """
    length, _ = _grouped(source)
    with settled():
        shapes = jax.eval_shape(statistic, np.zeros((length, source.places)), np.zeros(length), *arguments)
    shapes = shapes[0] if keep else shapes
    kept, missing = [], keep
    size = 8 * sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
    held = length * max(1, min(_CHUNK // length, _HELD // size))
    weight, added = 0.0, jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    for weights, part in _passes(source, statistic, arguments, length, held, progress, what):
        weight += float(weights.sum())
        if keep:
            part, values = part
            kept.append(values.reshape(weights.size, -1)[weights.ravel() > 0][:missing])
            missing -= len(kept[-1])
        jax.tree.map(_add, added, part)
    return (weight, added, np.concatenate(kept)) if keep else (weight, added)


def _add(into: np.ndarray, pieces: np.ndarray) -> None:
    for piece in pieces:  # one after the other, in the order of the networks, however they were read
        into += piece


def error_rows(source: Source, sizes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Rows whose rows^T rows is the covariance of the average of a statistic, from its `sums`, (group, ...).

    Deviations of the groups' sums from their share, over the total weight, times sqrt(G/(G-1)) for G groups, and for
    the blocks of a chain what `Dependence.inflation` puts back.
    """
    groups, n = len(sizes), sizes.sum()
    mean = parts.sum(axis=0) / n
    scale = np.sqrt(source.dependence.inflation(group_length(source)) * groups / max(groups - 1, 1)) / n
    return scale * (parts - sizes.reshape(-1, *[1] * (parts.ndim - 1)) * mean)


def group_length(source: Source) -> int:
    """Networks of a group, but for the last: at most 1024 groups, and none shorter than a chain's block."""
    groups = max(2, min(GROUPS, source.n // source.dependence.block))
    return -(-source.n // groups)


def _grouped(source: Source) -> tuple[int, int]:
    """Networks of a piece, and pieces of a group."""
    whole = group_length(source)
    pieces = -(-whole // _PIECE)
    return -(-whole // pieces), pieces


def _passes(
    source: Source, statistic: Statistic, arguments: tuple[Any, ...], length: int, chunk: int, progress: bool, what: str
) -> Iterator[tuple[np.ndarray, Any]]:
    """Weights (piece, network) and the tree of sums, each (piece, ...), chunk after chunk."""
    compiled = _compiled(statistic, len(jax.devices()))
    shard = NamedSharding(device_mesh(), PartitionSpec("device"))
    waiting: tuple[np.ndarray, Any] | None = None
    bar = tqdm(total=source.n, desc=what, unit="net", unit_scale=True, delay=2.0, disable=not progress, leave=False)
    with bar:
        for first, fields, weights in _chunks(source, length, chunk):
            _check_finite(fields, first)
            with settled():
                made = compiled(*jax.device_put((fields, weights), shard), *arguments)
            if waiting is not None:  # only now: its sums were taken while these networks were drawn
                yield waiting[0], jax.tree.map(np.asarray, waiting[1])
            waiting = weights, made
            bar.update(min(weights.size, source.n - first))
    if waiting is not None:
        yield waiting[0], jax.tree.map(np.asarray, waiting[1])


def _by_group(leaf: np.ndarray, groups: int, pieces: int) -> np.ndarray:
    """(piece, ...) -> (group, ...); the last group may have fewer pieces than the others, the last chunk more."""
    whole = np.zeros((groups * pieces, *leaf.shape[1:]))
    whole[: len(leaf)] = leaf[: groups * pieces]
    return whole.reshape(groups, pieces, *leaf.shape[1:]).sum(axis=1)


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


def _chunks(source: Source, length: int, chunk: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Consecutive pieces of `length` networks as arrays (piece, network, point) of one shape.

    At most `chunk` networks and at least one piece a device; padded with fields and weights of zero.
    """
    devices = len(jax.devices())
    rows = min(-(-source.n // length), max(1, chunk // length))
    rows = -(-rows // devices) * devices
    for start in range(0, source.n, rows * length):
        count = min(rows * length, source.n - start)
        weights = (np.arange(rows * length) < count).astype(np.float64)
        drawn, logs = source.read_weighted(start, count)
        if source.weighted:
            weights[:count] = np.exp(logs - source.level)
        fields = np.zeros((rows * length, source.places), dtype=drawn.dtype)
        fields[:count] = drawn
        yield start, fields.reshape(rows, length, -1), weights.reshape(rows, length)


def _check_finite(fields: np.ndarray, first: int) -> None:
    if not np.isfinite(fields).all():
        network, point = np.argwhere(~np.isfinite(fields.reshape(-1, fields.shape[-1])))[0]
        raise ValueError(
            f"expected finite fields, got {fields.reshape(-1, fields.shape[-1])[network, point]} in network "
            f"{first + network} at point {point}; try a smaller scale or removing that network"
        )
