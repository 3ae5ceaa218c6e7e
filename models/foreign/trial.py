"""What can be seen of somebody's function before many networks are drawn: is it random in its key, and in nothing else?

A compiled program keeps every number that Python or NumPy made while it was traced, so that a function which asks them
for randomness gives all networks the same weights, without an error anywhere. Two tracings of it then differ, and a
field that ignores its key is the same for all of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr  # pyright: ignore[reportPrivateImportUsage]

from ..types import Inputs

__all__ = ["try_out", "widest"]

_KEYS = 32  # of which all give one field: of signs at a single point once in 2^31
_SAME = 1e-3  # of the largest number, for two programs of one function

Field = Callable[[jax.Array, Inputs], Any]


def try_out(field: Field, again: Field, points: Inputs, key: jax.Array, name: str) -> None:
    """Draw a few fields, and trace the function a second time.

    Args:
        field: (key, points) -> phi.
        again: the same for the second tracing.
        points: (point, axis).
        key: of the fields that are tried; these are none of the ensemble's.
        name: of the function, for messages.

    Raises:
        ValueError: a field that is not finite, the same field from every key, another field from the same key, a
            function that cannot be mapped over keys.
    """
    keys = jax.random.split(key, _KEYS)
    lowered = _lowered(field, keys[0], points)
    _check_mapped(field, keys, points, name)
    compiled = lowered.compile()
    first, once_more = np.asarray(compiled(keys[0])), np.asarray(compiled(keys[0]))
    if not np.isfinite(first).all():
        where = np.argwhere(~np.isfinite(first))[0]
        raise ValueError(
            f"expected finite fields from {name}, got {first[tuple(where)]} at point {where[0]} of the first network; "
            "try a smaller scale, dtype='float64', or a small number on the diagonal of what Cholesky factorises"
        )
    if all(np.array_equal(first, np.asarray(compiled(k))) for k in keys[1:]):
        raise ValueError(
            f"expected a field that is random in its key, got the same one of {name} from {_KEYS} keys; try making the "
            "network inside draw from the key it is given: jax.random.split(key), Net(key=key), Net(nnx.Rngs(key))"
        )
    second = _lowered(again, keys[0], points)
    retraced = first if second.as_text() == lowered.as_text() else np.asarray(second.compile()(keys[0]))
    if not (_same(first, once_more) and _same(first, retraced)):
        raise ValueError(
            f"expected the same field from the same key, got another one of {name} when it was asked again; try "
            "jax.random with the key in place of numpy.random or random, and no state that is kept between calls"
        )


def _check_mapped(field: Field, keys: jax.Array, points: Inputs, name: str) -> None:
    """Refuse what only runs for one network at a time, such as a call back to Python."""
    x = jnp.asarray(points)
    try:
        jax.eval_shape(jax.vmap(lambda key: field(key, x)), keys)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise ValueError(
            f"expected a function that jax.vmap maps over keys, got {why} in {name}; try jax.numpy alone, or "
            "inf.Samples(array, points) of fields that were computed elsewhere"
        ) from error


def widest(field: Field, points: Inputs) -> int:
    """Numbers that the largest step of one network reads and writes, without those that all networks share.

    >>> 1400 <= widest(lambda key, x: jax.random.normal(key, (100, 7)).sum(axis=0), np.zeros((7, 1))) < 2000
    True
    """
    x = jnp.asarray(points)
    return _widest(jax.make_jaxpr(lambda key: field(key, x))(jax.random.key(0)).jaxpr, [True])


def _lowered(field: Field, key: jax.Array, points: Inputs) -> Any:
    x = jnp.asarray(points)
    return jax.jit(lambda k: field(k, x)).lower(key)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.max(np.abs(a - b)) <= _SAME * np.max(np.abs(a)))


def _widest(jaxpr: Jaxpr, random: list[bool]) -> int:
    """Of the steps after the key; `random`: which of the inputs are made from it."""
    most, own = 0, {id(v) for v, mine in zip(jaxpr.invars, random, strict=True) if mine}
    for step in jaxpr.eqns:
        mine = [id(v) in own for v in step.invars]
        if not any(mine):
            continue
        own |= {id(v) for v in step.outvars}
        parts = [part for value in step.params.values() for part in _programs(value)]
        if parts:  # of a loop or branch with other inputs all may be random
            same = [mine if len(part.invars) == len(mine) else [True] * len(part.invars) for part in parts]
            numbers = max(_widest(part, inner) for part, inner in zip(parts, same, strict=True))
        else:
            read = [v for v, random in zip(step.invars, mine, strict=True) if random]
            numbers = sum(int(np.prod(v.aval.shape)) for v in [*read, *step.outvars])
        most = max(most, numbers)
    return most


def _programs(value: Any) -> list[Jaxpr]:
    """The programs that a step runs: loops, branches and functions of their own."""
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    return [part for one in value for part in _programs(one)] if isinstance(value, tuple | list) else []
