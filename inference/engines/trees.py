"""Sums as bytes and back, and the fingerprint of a piece of work: what travels and what is kept is never a pickle.

A tree of dictionaries, lists, tuples, numbers, words and arrays becomes JSON, in which an array is its number, and
NumPy's own format for the arrays.
"""

import hashlib
import io
import json
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["fingerprint", "packed", "unpacked"]


def packed(tree: Any) -> bytes:
    """A tree as bytes.

    >>> unpacked(packed({2: (np.arange(3), None), "n": 1.5}))
    {2: (array([0, 1, 2]), None), 'n': 1.5}
    """
    arrays: list[np.ndarray] = []
    skeleton, file = json.dumps(_skeleton(tree, arrays)), io.BytesIO()
    named: dict[str, Any] = {f"a{k}": array for k, array in enumerate(arrays)}
    np.savez(file, skeleton=np.array(skeleton), **named)
    return file.getvalue()


def unpacked(data: bytes) -> Any:
    """The tree of such bytes.

    Raises:
        ValueError: they are truncated, or something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return _grown(json.loads(str(file["skeleton"])), file)
    except Exception as error:
        raise ValueError(f"expected the bytes of sums, got others ({error}); try making them again") from error


def _skeleton(tree: Any, arrays: list[np.ndarray]) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, dict):
        return {"dict": [[_skeleton(key, arrays), _skeleton(value, arrays)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [_skeleton(part, arrays) for part in tree]}
    if isinstance(tree, np.ndarray | np.generic | jax.Array):
        arrays.append(np.asarray(tree))
        return {"array": len(arrays) - 1}
    raise ValueError(f"expected sums as numbers, arrays and trees of them, got {type(tree).__name__}; try an array")


def _grown(skeleton: Any, file: Any) -> Any:
    if not isinstance(skeleton, dict):
        return skeleton
    (kind, value), *_ = skeleton.items()
    if kind == "array":
        return file[f"a{value}"]
    if kind == "dict":
        return {_grown(key, file): _grown(part, file) for key, part in value}
    parts = [_grown(part, file) for part in value]
    return tuple(parts) if kind == "tuple" else parts


def fingerprint(*things: Any) -> str:
    """Sixteen digits that tell one piece of work from another: numbers, arrays, functions by name, and their trees.

    >>> fingerprint(1, (2, "a")) == fingerprint(1, (2, "a")), fingerprint(1.0) == fingerprint(1.5)
    (True, False)
    """
    digest = hashlib.sha256()
    _fed(digest, things)
    return digest.hexdigest()[:16]


def _fed(digest: Any, thing: Any) -> None:
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        key = isinstance(thing, jax.Array) and jnp.issubdtype(thing.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(jnp.asarray(thing)) if key else thing)
        digest.update(f"array {array.dtype} {array.shape}".encode() + array.tobytes())
        return
    digest.update(f"{type(thing).__module__}.{type(thing).__qualname__}(".encode())
    if isinstance(thing, dict):
        thing = sorted(thing.items(), key=lambda item: repr(item[0]))
    if isinstance(thing, list | tuple | set):
        parts = list(thing)
    elif isinstance(thing, partial):
        parts = [thing.func, thing.args, thing.keywords]
    elif is_dataclass(thing) and not isinstance(thing, type):
        parts = [(f.name, getattr(thing, f.name)) for f in fields(thing) if f.compare]
    else:
        name = getattr(thing, "__qualname__", None)
        digest.update((f"{thing.__module__}.{name}" if name else repr(thing)).encode())
        parts = []
    for part in parts:
        _fed(digest, part)
        digest.update(b",")
    digest.update(b")")
