"""Densities exp(-polynomial) on a line: their normalisation and the moments that the pseudo-likelihood needs.

Each p(phi_a | rest) of a polynomial action is one, and there is one for each point of each network: the trapezoid rule
on a grid that finds its own range does all of them at once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...models.runtime import settled
from ...models.types import Matrix, Vector

__all__ = ["NODES", "RESOLVED", "conditional_moments", "moments"]

NODES = 64
_SCOUTS, _ZOOMS, _SETTLED = 24, 12, 0.6  # nodes of the grids that find the range, how many, and when it is found
_DEPTH = 30.0  # the integrand is followed down to exp(-30) of its maximum
RESOLVED = 1e-4  # difference of the two half grids; the error of the whole grid is its power 2.5 or less: 1e-10
_Zoom = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # ends of the grid, whether it is settled, zooms


def conditional_moments(
    coefficients: Float[np.ndarray, "density power"],
) -> tuple[Vector, Matrix, Float[np.ndarray, "density power power"]]:
    """Densities exp(-sum_j c_j t^j)/Z on the line, j = 1 .. power: log Z, means of t^j, covariances of t^i and t^j.

    The trapezoid rule on 64 nodes across the part above exp(-30) of the maximum; for exp(-t^r) its error is
    exp(-c h^(-r/(r-1))) at spacing h (L. Trefethen and J. Weideman, SIAM Rev. 56 (2014) 385).

    Args:
        coefficients: c_j, the last one positive and of an even power.

    Raises:
        ValueError: an odd number of powers, a last coefficient that is not positive, a density that 64 nodes do not
            resolve to 1e-10.

    Example, the unit normal:
        >>> log_z, mean, covariance = conditional_moments(np.array([[0.0, 0.5]]))
        >>> round(float(2 * log_z[0]), 9), mean.round(9).tolist(), covariance[0].round(9).tolist()
        (1.837877066, [[0.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]])
    """
    c = np.asarray(coefficients, dtype=float)
    if c.shape[1] % 2 or not np.all(c[:, -1] > 0):
        raise ValueError(
            f"expected an even number of powers and a positive last coefficient, got {c.shape[1]} powers and "
            f"{c[:, -1].min():.3g}; try a density that can be normalised"
        )
    with settled():
        log_z, mean, covariance, error = (np.asarray(x) for x in jax.jit(moments)(jnp.asarray(c)))
    if not np.all(error < RESOLVED):
        raise ValueError(
            f"expected densities that {NODES} nodes resolve to {RESOLVED**2.5:.0e}, got {error.max() ** 2.5:.1e}; "
            "try shifting and scaling t"
        )
    return log_z, mean, covariance


def moments(c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Log Z, means, covariances, and the relative difference of the two half grids."""
    degree = c.shape[1]
    low, high = _range(c)
    width = (high - low) / (NODES - 1)
    t = low[:, None] + width[:, None] * jnp.arange(NODES)
    value, _ = _polynomial(c, t)
    least = value.min(axis=1)
    weight = jnp.exp(least[:, None] - value)
    total = weight.sum(axis=1)
    error = jnp.abs(weight[:, ::2].sum(axis=1) - weight[:, 1::2].sum(axis=1)) / total
    weight = weight / total[:, None]
    powers = [t]
    for _ in range(degree - 1):
        powers.append(powers[-1] * t)
    mean = jnp.stack([(weight * p).sum(axis=1) for p in powers], axis=1)
    centred = [p - mean[:, j, None] for j, p in enumerate(powers)]
    entry = {(i, j): (weight * centred[i] * centred[j]).sum(axis=1) for j in range(degree) for i in range(j + 1)}
    rows = [jnp.stack([entry[min(i, j), max(i, j)] for j in range(degree)], axis=1) for i in range(degree)]
    return jnp.log(total * width) - least, mean, jnp.stack(rows, axis=1), error


def _polynomial(c: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum_j c_j t^j and its derivative, (density, node)."""
    value = jnp.zeros_like(t)
    slope = jnp.zeros_like(t)
    for j in range(c.shape[1] - 1, -1, -1):
        slope = slope * t + value + c[:, j, None]
        value = (value + c[:, j, None]) * t
    return value, slope


def _range(c: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the polynomial is less than `_DEPTH` above its minimum: a bound, then zooms of the grid.

    Outside |t| <= R each of the lower terms, and the depth, is less than its share of the leading term. A valley
    between two nodes counts as deep as the tangents at both allow, so that none is missed.
    """
    degree, lead = c.shape[1], c[:, -1]
    bounds = [(degree * jnp.abs(c[:, j]) / lead) ** (1.0 / (degree - 1 - j)) for j in range(degree - 1)]
    high = jnp.max(jnp.stack([*bounds, (degree * _DEPTH / lead) ** (1.0 / degree)]), axis=0)
    place = jnp.arange(_SCOUTS)

    def zoom(state: _Zoom) -> _Zoom:
        low, high, _, count = state
        width = (high - low) / (_SCOUTS - 1)
        t = low[:, None] + width[:, None] * place
        value, slope = _polynomial(c, t)
        level = value.min(axis=1, keepdims=True) + _DEPTH
        left, right = slope[:, :-1], slope[:, 1:]
        valley = (left < 0) & (right > 0)
        offset = (value[:, 1:] - value[:, :-1] - right * width[:, None]) / jnp.where(valley, left - right, 1.0)
        deep = valley & (value[:, :-1] + left * offset < level)
        inside = value < level
        inside = inside.at[:, :-1].set(inside[:, :-1] | deep).at[:, 1:].set(inside[:, 1:] | deep)
        first = jnp.maximum(jnp.argmax(inside, axis=1) - 1, 0)
        last = jnp.minimum(_SCOUTS - jnp.argmax(inside[:, ::-1], axis=1), _SCOUTS - 1)
        settled = jnp.all(last - first >= _SETTLED * _SCOUTS)
        return low + width * first, low + width * last, settled, count + 1

    start = (-high, high, jnp.zeros((), dtype=bool), jnp.zeros((), dtype=int))
    low, high, _, _ = jax.lax.while_loop(lambda state: ~state[2] & (state[3] < _ZOOMS), zoom, start)
    return low, high
