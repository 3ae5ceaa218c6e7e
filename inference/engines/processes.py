"""Several processes of one JAX program (`jax.distributed`): each does its share, and all hold all results, in order.

Every process runs the same script; what it draws stays on its own devices, and results are sums of kilobytes that
travel as bytes, so that they arrive to the last bit.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from .trees import packed, unpacked

__all__ = ["in_processes"]


def in_processes(share: Callable[[int, int], Any], most: int) -> list[Any]:
    """Results of share(k, K) for all of the K processes, at most so many shares; of the only share in one process.

    Raises:
        RuntimeError: a process failed; every one says which, and why.

    >>> in_processes(lambda k, parts: (k, parts), 10)
    [(0, 1)]
    """
    count = jax.process_count()
    if count == 1 or most < count:
        return [share(0, 1)]
    try:
        mine, failed = packed((True, share(jax.process_index(), count))), None
    except Exception as error:  # the others wait for this one
        mine, failed = packed((False, f"{type(error).__name__}: {error}")), error
    found = [unpacked(data) for data in _exchanged(mine)]
    if failed is not None:
        raise failed
    bad = [f"process {k}: {value}" for k, (fine, value) in enumerate(found) if not fine]
    if bad:
        raise RuntimeError(f"expected a share from each of {count} processes, got {'; '.join(bad)}; try again")
    return [value for _, value in found]


def _exchanged(mine: bytes) -> list[bytes]:
    """The bytes of every process, padded to one length on the way."""
    sizes = np.asarray(multihost_utils.process_allgather(np.array([len(mine)], dtype=np.int32))).ravel()
    padded = np.zeros(int(sizes.max()), dtype=np.uint8)
    padded[: len(mine)] = np.frombuffer(mine, dtype=np.uint8)
    every = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(sizes), -1)
    return [row[:size].tobytes() for row, size in zip(every, sizes, strict=True)]
