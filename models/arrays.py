"""Symmetric tensors on their sorted tuples and back, places in words, and the checks of arrays that a user brings."""

from functools import lru_cache

import numpy as np

from .combinatorics import rank, sorted_tuples
from .types import ByOrder, Matrix, Points, Vector

__all__ = [
    "attach",
    "dense",
    "factor_of",
    "in_places",
    "on_tuples",
    "place_label",
    "points_label",
    "split_rows",
    "unique",
]


def dense(values: np.ndarray, points: int, order: int) -> np.ndarray:
    """The symmetric tensor behind its components on sorted tuples, (..., component) -> (..., *(point,) * order)."""
    return np.asarray(values)[..., _positions(points, order)]


def unique(tensor: np.ndarray) -> Vector:
    """The components of a symmetric tensor on sorted tuples, (component,)."""
    return tensor[tuple(sorted_tuples(len(tensor), tensor.ndim).T)]


def attach(tensor: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A matrix on every leg: sum_b matrix_a1b1 .. matrix_arbr tensor_b1..br.

    >>> float(attach(np.ones((1, 1, 1, 1)), np.array([[2.0]])).item())
    16.0
    """
    for _ in range(tensor.ndim):  # the first leg goes to the end, so that after all steps each is back in place
        tensor = np.tensordot(tensor, matrix, axes=(0, 1))
    return tensor


@lru_cache(maxsize=32)
def _positions(points: int, order: int) -> np.ndarray:
    """Where each entry of the dense tensor is among the sorted tuples."""
    table = rank(np.moveaxis(np.indices((points,) * order), 0, -1), points)
    table.setflags(write=False)
    return table


def on_tuples(value: np.ndarray, points: int, order: int) -> Vector:
    """A symmetric r-point function on its sorted tuples, given on them or as a dense tensor (M,)*r."""
    tuples = sorted_tuples(points, order)
    if order < 1:
        raise ValueError(f"expected orders of at least 1, got {order}; try {{2: ..., 4: ...}}")
    if not np.all(np.isfinite(value)):
        raise ValueError(f"expected finite numbers at order {order}, got NaN or infinity; try leaving that order out")
    if value.shape == (len(tuples),):
        return value
    if value.shape != (points,) * order:
        raise ValueError(
            f"expected order {order} as {(points,) * order} or ({len(tuples)},) for {points} points, "
            f"got {value.shape}; try the sorted tuples of Correlators.tuples"
        )
    flat = unique(value)
    asymmetry = np.max(np.abs(value - dense(flat, points, order)))
    if asymmetry > 1e-6 * np.max(np.abs(value)):
        raise ValueError(
            f"expected a symmetric tensor of order {order}, got one that changes by {asymmetry:.2g} under permutations "
            "of its indices; try their mean if that is round-off"
        )
    return flat


def factor_of(covariance: Matrix, size: int) -> np.ndarray:
    """Rows L with covariance = L^T L."""
    if covariance.shape != (size, size):
        raise ValueError(f"expected a joint covariance of shape {(size, size)}, got {covariance.shape}; try all orders")
    if not np.all(np.isfinite(covariance)):
        raise ValueError("expected a finite covariance, got NaN or infinity; try leaving out the order that has it")
    # Orders differ by many powers of ten, so it is the correlation matrix that is judged and factored.
    error = np.sqrt(np.clip(np.diag(covariance), 0, None))
    scale = np.where(error > 0, error, np.max(error, initial=0.0) or 1.0)
    correlation = covariance / np.outer(scale, scale)
    if np.any(np.abs(correlation - correlation.T) > 1e-8):
        raise ValueError("expected a symmetric covariance, got an asymmetric one; try (C + C.T)/2 if that is round-off")
    eigenvalues, vectors = np.linalg.eigh(correlation)
    if np.min(eigenvalues, initial=0.0) < -1e-8 * np.max(eigenvalues, initial=0.0):
        raise ValueError(
            f"expected a positive semi-definite covariance, got correlations with eigenvalue {eigenvalues[0]:.3g}; "
            "try estimating it from more networks than components"
        )
    return np.sqrt(np.clip(eigenvalues, 0, None))[:, None] * vectors.T * scale


def split_rows(rows: np.ndarray, values: ByOrder) -> dict[int, np.ndarray]:
    """Joint rows cut into the orders they belong to."""
    edges = np.cumsum([0, *[len(v) for v in values.values()]])
    return {r: rows[:, a:b] for r, a, b in zip(values, edges[:-1], edges[1:], strict=True)}


def in_places(values: np.ndarray, points: Points, outputs: int) -> np.ndarray:
    """Numbers of several fields, (row, point, output), by place, (row, place); any other shape as it is.

    >>> in_places(np.zeros((5, 3, 2)), np.zeros((3, 1)), 2).shape
    (5, 6)
    """
    given = np.asarray(values)
    return given.reshape(len(given), -1) if given.shape[1:] == (len(points), outputs) else given


def place_label(place: int, outputs: int) -> str:
    """A place in words: the point, and of several outputs which one of them at it.

    >>> place_label(5, 1), place_label(5, 2)
    ('5', '2:1')
    """
    return str(place) if outputs == 1 else f"{place // outputs}:{place % outputs}"


def points_label(points: int, outputs: int) -> str:
    """How many places there are, in words.

    >>> points_label(4, 1), points_label(4, 2)
    ('4 points', '4 points of 2 outputs')
    """
    return f"{points} points" + (f" of {outputs} outputs" if outputs > 1 else "")
