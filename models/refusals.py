"""How a refusal is made: the nearest known name, an answer that somebody does not know, numbers of the right kind."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

__all__ = ["NOT_FINITE", "NotKnown", "check_deviation", "checked_weights", "is_traced", "is_whole", "nearest", "number"]

NOT_FINITE = "a smaller scale or removing that network"
"""What to try where a field is not finite."""


class NotKnown(ValueError):
    """A neuron, a law or a latent was asked for something that it does not bring; the message names the method.

    Whoever can do without the answer catches it: a verdict that is not known is no verdict.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """The closest known name, for an error message that helps.

    >>> nearest("gausian", ["uniform", "gaussian"])
    'gaussian'
    """
    names = list(known)
    match = get_close_matches(str(word), names, n=1, cutoff=0.0)
    return match[0] if match else names[0]


def is_traced(value: object) -> bool:
    """Whether a number is known only to a program that JAX is tracing, so that no range can be asked of it."""
    return isinstance(value, Tracer)


def is_whole(value: Any, least: int, *, floats: bool = False) -> bool:
    """Whether a value is a whole number of at least so much, Python's or NumPy's; with `floats` 1e6 is one, True never.

    >>> is_whole(3, 1), is_whole(True, 1), is_whole(1e6, 1), is_whole(1e6, 1, floats=True)
    (True, False, False, True)
    """
    kinds = (int, np.integer, float, np.floating) if floats else (int, np.integer)
    return isinstance(value, kinds) and not isinstance(value, bool) and bool(value >= least and value % 1 == 0)


def number(value: Any) -> Any:
    """A number as a Python number where an array holds it, so that equal things look, compare and hash alike.

    What is traced stays as it is, for gradients, and so does what is no single number, to be refused by its owner.

    >>> number(np.float32(0.5)), number(jax.numpy.ones(())), number(2)
    (0.5, 1.0, 2)
    """
    single = isinstance(value, np.generic | np.ndarray | jax.Array) and not is_traced(value) and np.ndim(value) == 0
    return value.item() if single else value


def check_deviation(name: str, value: Any, *, allow_zero: bool) -> None:
    """Refuse a standard deviation that is none; of a traced one nothing is known."""
    if is_traced(value):
        return
    floor = "a finite number >= 0" if allow_zero else "a finite number > 0"
    try:
        scale = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected {name} to be {floor}, got {value!r}; try {name}=1.0") from None
    if not (0.0 <= scale < float("inf")) or (scale == 0.0 and not allow_zero):
        raise ValueError(f"expected {name} to be {floor}, got {scale}; try {name}=1.0")


def checked_weights(weights: Any, points: int) -> np.ndarray:
    """Quadrature weights of a continuum grid, one positive number a point, (point,); one each where none are given.

    Raises:
        ValueError: anything else.

    >>> checked_weights(None, 2).tolist(), checked_weights([0.5, 1], 2).tolist()
    ([1.0, 1.0], [0.5, 1.0])
    """
    try:
        w = np.ones(points) if weights is None else np.asarray(weights, dtype=float)
    except (TypeError, ValueError):
        w = np.empty(0)
    if w.shape != (points,) or not np.all(np.isfinite(w)) or np.any(w <= 0.0):
        raise ValueError(
            f"expected {points} positive quadrature weights, one a point, got {weights}; try leaving them out, or "
            "np.gradient(x) for a grid"
        )
    return w
