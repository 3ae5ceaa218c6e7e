"""Cosine and sine of many phases at once, as a series that vectorised loops take.

XLA calls its own cosine once for every number of an array that is kept: eight nanoseconds, and half the time of a
network of a box. With c = 2 pi k + 2 r, |r| <= pi/2, the series of cos r and sin r to the last digit of single or
double precision are a few products for eight numbers at a time, and cos c = 1 - 2 sin^2 r, sin c = 2 sin r cos r.
"""

from math import factorial, pi

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["turned"]

_HIGH = 6.28125  # of 2 pi, few digits: its multiples are exact
_LOW = 0.0019353071795864769253  # the rest, with more digits than the difference has
_TERMS = {4: 7, 8: 12}  # by the bytes of a number: (pi/2)^(2 n)/(2 n)! below its rounding


@jax.custom_jvp
def turned(phase: Float[Array, "*any"]) -> tuple[Float[Array, "*any"], Float[Array, "*any"]]:
    """The cosine and the sine, each within six roundings of 1 for phases of some tens.

    Example:
        >>> cos, sin = turned(jnp.array([0.0, 10.0]))
        >>> cos.round(5).tolist() == jnp.cos(jnp.array([0.0, 10.0])).round(5).tolist()
        True
    """
    turns = jnp.round(phase / (2.0 * pi))
    half = 0.5 * ((phase - turns * _HIGH) - turns * _LOW)
    square = half * half
    terms = _TERMS[phase.dtype.itemsize]
    cos, sin = jnp.zeros_like(half), jnp.zeros_like(half)
    for n in range(terms - 1, -1, -1):
        cos = cos * square + (-1.0) ** n / factorial(2 * n)
        sin = sin * square + (-1.0) ** n / factorial(2 * n + 1)
    sin = half * sin
    return 1.0 - 2.0 * sin * sin, 2.0 * sin * cos


@turned.defjvp
def _slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    cos, sin = turned(*primals)
    return (cos, sin), (-sin * tangents[0], cos * tangents[0])
