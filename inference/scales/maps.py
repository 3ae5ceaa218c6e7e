r"""Linear maps that make a coarser field of a finer one, phi' = A phi: what each keeps, and on which points it lives.

    decimation   phi'_j = phi_{b j}                                     the others integrated out
    blocks       phi'_j = b^-1 sum_{r < b} phi_{b j + r}                averages over b neighbours
    shells       phi'_j = M^-1 sum_{|k| <= M/2b} e^{2 pi i k b j/M} phi_k   waves up to the coarser lattice's own, half
                 of the two shortest where M/b is even; the shells above are integrated out

along each axis of a lattice. Correlators follow by A on every leg; so does whatever is linear in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import prod

import numpy as np
from jaxtyping import Float

from ...models.correlators import check_points
from ...models.refusals import is_whole
from ...models.types import Matrix, Points

__all__ = ["CoarseMap", "blocks", "kept_points", "kept_sites", "long_waves"]

_SAME = 1e-9  # of the extent of the points: nearer ones are the same


@dataclass(frozen=True, eq=False)
class CoarseMap:
    """phi' = A phi, A the product of one matrix an axis of the lattice (points of no lattice are one axis).

    Attributes:
        axes: the matrices, (new, old) each.
        points: where the new field lives, (new point, axis).
        words: what it does.
        kept: numbers of the points kept as they are, where it only leaves points out; else None.
    """

    axes: tuple[Matrix, ...] = field(repr=False)
    points: Points = field(repr=False)
    words: str
    kept: np.ndarray | None = field(default=None, repr=False)

    def matrix(self, outputs: int = 1) -> Matrix:
        """A on places, (new place, place): every output of a point is treated alike."""
        return reduce(np.kron, (*self.axes, np.eye(outputs)))

    def fields(self, phi: Float[np.ndarray, "network place"], outputs: int = 1) -> Float[np.ndarray, "network new"]:
        """A on each field, axis by axis.

        Example, averages of two neighbours on a ring of four:
            >>> blocks(np.arange(4.0)[:, None], 2).fields(np.array([[1.0, 3.0, 5.0, 9.0]])).tolist()
            [[2.0, 7.0]]
        """
        count = len(phi)
        if self.kept is not None:
            return phi.reshape(count, -1, outputs)[:, self.kept].reshape(count, -1)
        grid = phi.reshape(count, *(axis.shape[1] for axis in self.axes), outputs)
        for axis in self.axes:  # each goes behind the others; after all of them the outputs are in front
            grid = np.tensordot(grid, axis.astype(phi.dtype), axes=(1, 1))
        return np.moveaxis(grid, 1, -1).reshape(count, -1)


def kept_sites(points: Points, every: int, shape: Sequence[int] | None = None) -> CoarseMap:
    """Every b-th site along each axis, the first among them.

    Raises:
        ValueError: b that does not divide a length, a shape of other points.
    """
    lengths = _lengths(points, every, shape)
    axes = tuple(np.eye(length)[::every] for length in lengths)
    kept = np.arange(len(points)).reshape(lengths)[tuple(slice(None, None, every) for _ in lengths)].ravel()
    return CoarseMap(axes, points[kept], f"every {_ordinal(every)} site", kept)


def kept_points(points: Points, to: Points) -> CoarseMap:
    """Those of the points that are asked for, in their order.

    Raises:
        ValueError: a point that is not among them: what is not measured cannot be kept.
    """
    asked = check_points(to)
    if asked.shape[1] != points.shape[1]:
        raise ValueError(f"expected points of {points.shape[1]} coordinates, got {asked.shape[1]}; try to=points[::2]")
    apart = np.linalg.norm(asked[:, None] - points, axis=2)
    kept, size = np.argmin(apart, axis=1), _SAME * max(float(np.ptp(points, axis=0).max()), 1e-300)
    if len(stranger := np.flatnonzero(apart[np.arange(len(asked)), kept] > size)):
        raise ValueError(
            f"expected points nested in those of the data, got {asked[stranger[0]].tolist()}, which is not one (the "
            f"nearest is {points[kept[stranger[0]]].tolist()}); try a subset, to=points[::2]"
        )
    return CoarseMap((np.eye(len(points))[kept],), points[kept], f"{len(kept)} of {len(points)} points", kept)


def blocks(points: Points, size: int, shape: Sequence[int] | None = None) -> CoarseMap:
    """Averages over blocks of b sites along each axis, at the mean of their points.

    Raises:
        ValueError: b that does not divide a length, a shape of other points.
    """
    lengths = _lengths(points, size, shape)
    axes = tuple(np.kron(np.eye(length // size), np.full((1, size), 1.0 / size)) for length in lengths)
    words = f"blocks of {' x '.join([str(size)] * len(lengths))} site{'s' if size > 1 else ''}"
    return CoarseMap(axes, reduce(np.kron, axes) @ points, words)


def long_waves(points: Points, every: int, shape: Sequence[int]) -> CoarseMap:
    """The waves that a periodic lattice b times as coarse can hold, at its sites.

    Raises:
        ValueError: b that does not divide a length, a shape of other points.

    Example, of 4 sites to 2: the shortest wave of the coarser lattice is half of the two that look like it there.
        >>> long_waves(np.arange(4.0)[:, None], 2, (4,)).axes[0].tolist()
        [[0.5, 0.25, 0.0, 0.25], [0.0, 0.25, 0.5, 0.25]]
    """
    lengths, axes = _lengths(points, every, shape), []
    for length in lengths:
        count = length // every
        apart = (every * np.arange(count)[:, None] - np.arange(length)) * (2.0 * np.pi / length)
        waves = sum((np.cos(k * apart) for k in range(1, (count + 1) // 2)), np.zeros_like(apart))
        shortest = np.cos(count // 2 * apart) if count % 2 == 0 else 0.0
        exact = np.eye(length) if every == 1 else (1.0 + 2.0 * waves + shortest) / length
        axes.append(np.round(exact, 15))
    kept = kept_sites(points, every, shape).points
    return CoarseMap(tuple(axes), kept, f"waves of at least {2 * every} sites")


def _lengths(points: Points, every: int, shape: Sequence[int] | None) -> tuple[int, ...]:
    """Sites along each axis, each a multiple of b."""
    if not is_whole(every, 1):
        raise ValueError(f"expected a whole number of sites, got {every!r}; try 2")
    lengths = (len(points),) if shape is None else tuple(shape)
    if not lengths or not all(is_whole(n, 1) for n in lengths) or prod(lengths) != len(points):
        raise ValueError(
            f"expected the sites of the lattice along each axis, {len(points)} in all, got {shape!r}; try "
            f"shape=({len(points)},)"
        )
    for length in lengths:
        if length < every:
            raise ValueError(f"expected a lattice of at least {every} sites an axis, got {length}; try a longer one")
        if length % every:
            known = [b for b in range(2, length) if length % b == 0]
            advice = f"{min(known, key=lambda b: abs(b - every))}" if known else "to=, the points to keep"
            raise ValueError(f"expected a number that divides the {length} sites of an axis, got {every}; try {advice}")
    return lengths


def _ordinal(number: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(number, f"{number}th") if number > 1 else "single"
