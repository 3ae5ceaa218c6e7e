"""Scrambled Sobol points: sets of 2^k points that fill the cube evenly, random and independent of each other.

Scrambles are Owen's nested uniform ones (A. B. Owen, J. Complexity 14 (1998) 466): each bit of a coordinate is flipped
by a random bit of its own for each value of the bits before it, with errors that tend to a normal law (W.-L. Loh, Ann.
Stat. 31 (2003) 1282). A random triangular matrix of bits and a shift have the same variance and were tried, but for
smooth neurons a few scrambles make most of that variance (excess kurtosis 20 to 50 at 2^14 points).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

__all__ = ["Plan", "pieces", "scrambled", "seeds"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: consecutive nodes lie far apart
_BITS = 52  # of a coordinate: (y + 1/2) 2^-52 is a double strictly between 0 and 1


class Plan(NamedTuple):
    """R scrambles of 2^k points each in the cube of the numbers that make a neuron.

    weighted: whether the points are weighted so that averages vanish at the edges of the cube; None: a pilot decides.
    """

    scrambles: int
    log2: int
    dimensions: int
    weighted: bool | None = None

    @property
    def total(self) -> int:
        """R 2^k."""
        return self.scrambles << self.log2

    def __str__(self) -> str:
        return f"sobol, {self.scrambles} scrambles of 2^{self.log2} points in {self.dimensions} dimensions"


def pieces(plan: Plan, key: jax.Array, piece: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of the sequence as sums modulo 2 of low and high ones, integers of 52 bits, and seeds of scrambles.

    (point of a piece, dimension), (piece of a scramble, dimension), (scramble, dimension).
    """
    directions = _directions(plan.dimensions, plan.log2)
    return _spanned(directions[:piece]), _spanned(directions[piece:]), seeds(plan, key)


def seeds(plan: Plan, key: jax.Array) -> np.ndarray:
    """A seed for each axis of each scramble, (scramble, dimension); the first do not change with their number."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    return random.integers(0, 1 << 64, size=(plan.scrambles, plan.dimensions), dtype=np.uint64)


@lru_cache(maxsize=64)
def _directions(dimensions: int, log2: int) -> np.ndarray:
    """Direction numbers of the Sobol sequence as integers of 52 bits, (direction, dimension)."""
    sequence, numbers, at = qmc.Sobol(dimensions, scramble=False), [], 0
    for b in range(log2):  # the Gray code of 2^(b + 1) - 1 is 2^b: that point is the direction number itself
        sequence.fast_forward((2 << b) - 1 - at)
        numbers.append(sequence.random(1)[0])
        at = 2 << b
    return (np.reshape(numbers, (log2, dimensions)) * 2.0**_BITS).astype(np.uint64)


def _spanned(directions: np.ndarray) -> np.ndarray:
    """All sums modulo 2 of direction numbers, (2^direction, dimension): the first points of the sequence."""
    points = np.zeros((1, directions.shape[1]), dtype=np.uint64)
    for direction in directions:
        points = np.concatenate([points, points ^ direction])
    return points


def scrambled(y: Any, seed: Any, log2: Any) -> jax.Array:
    """Numbers in (0, 1) from integers of 52 bits of which the first log2 are not zero, in double precision.

    Bit i is flipped by a random bit that belongs to the i bits before it, a node of a binary tree numbered like a heap;
    bits beyond log2, where every point has a node of its own, are random.

    Args:
        y: (point, dimension).
        seed: one for each dimension.
        log2: k, points being the first 2^k of the sequence or some of them.
    """
    one = jnp.uint64(1)

    def level(i: Any, out: jax.Array) -> jax.Array:
        bit = jnp.asarray(i, jnp.uint64)
        node = (y >> (_BITS - bit)) | (one << bit)
        return out ^ ((_mixed(seed + node * _GOLDEN) >> jnp.uint64(63)) << (_BITS - one - bit))

    below = (one << (_BITS - jnp.asarray(log2, jnp.uint64))) - one
    out = jax.lax.fori_loop(0, log2, level, y) ^ (_mixed(_mixed(seed) + y * _GOLDEN) & below)
    return (out + 0.5) * 2.0**-_BITS


def _mixed(x: Any) -> jax.Array:
    """The finalizer of SplitMix64 (G. L. Steele et al., OOPSLA 2014): 64 bits that look independent."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> jnp.uint64(shift))) * jnp.uint64(factor)
    return x ^ (x >> jnp.uint64(31))
