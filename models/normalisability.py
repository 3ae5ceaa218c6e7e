"""Is a quartic action bounded below? Only if its form is positive in every direction of field space.

S4(v) = sum over sorted quads of g_abcd v_a v_b v_c v_d grows like r^4 along v, so exp(-S) can be normalised only when
min over the unit sphere of S4 is >= 0 (at zero the quadratic part decides). A positive coupling at each site is not
enough. The minimum is found by multi-start descent (Adam on the sphere), so it is an upper bound: a negative value is
a proof.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .combinatorics import sorted_tuples
from .types import Vector

__all__ = ["minimum_on_sphere"]

_STARTS, _STEPS, _RATE = 64, 150, 0.1


def minimum_on_sphere(quartic: np.ndarray, points: int, *, scale: Vector | None = None) -> np.ndarray:
    """Smallest value of the quartic form on the unit sphere of phi_a/scale_a, for each set of coefficients.

    Args:
        quartic: coefficients of the sorted quartic monomials, (draw, quad).
        points: M.
        scale: field scale at each point, (point,), so that directions compare like with like; default one.

    Returns:
        (draw,): negative means unbounded below.

    Example: phi_0^4 + phi_1^4 - 3 phi_0^2 phi_1^2 is positive on the axes and negative on the diagonal.

        >>> g = np.array([[1.0, 0.0, -3.0, 0.0, 1.0]])
        >>> round(float(minimum_on_sphere(g, 2)[0]), 3)
        -0.25
    """
    quads = sorted_tuples(points, 4)
    g = np.atleast_2d(np.asarray(quartic, dtype=float))
    if g.shape[-1] != len(quads):
        raise ValueError(f"expected one coefficient per sorted quad, {len(quads)} at {points} points, got {g.shape}")
    scaled = g if scale is None else g * np.prod(np.asarray(scale)[quads], axis=1)
    size = np.maximum(np.max(np.abs(scaled), axis=1, keepdims=True), 1e-300)
    starts = np.concatenate([np.eye(points), np.random.default_rng(0).normal(size=(_STARTS, points))])
    with jax.enable_x64(True):
        lowest = np.asarray(
            _descend(jnp.asarray(scaled / size), jnp.asarray(starts), tuple(map(tuple, quads.tolist())))
        )
    return lowest * size[:, 0]


@partial(jax.jit, static_argnums=2)
def _descend(g: jax.Array, starts: jax.Array, quads: tuple[tuple[int, ...], ...]) -> jax.Array:
    index = np.array(quads)
    optimizer = optax.adam(_RATE)

    def form(v: jax.Array, coefficients: jax.Array) -> jax.Array:
        return coefficients @ jnp.prod((v / jnp.linalg.norm(v))[index], axis=1)

    def one(v: jax.Array, coefficients: jax.Array) -> jax.Array:
        def step(
            carry: tuple[jax.Array, optax.OptState], _: None
        ) -> tuple[tuple[jax.Array, optax.OptState], jax.Array]:
            v, state = carry
            value, slope = jax.value_and_grad(form)(v, coefficients)
            update, state = optimizer.update(slope, state)
            v = optax.apply_updates(v, update)
            return (v / jnp.linalg.norm(v), state), value

        v = v / jnp.linalg.norm(v)
        (v, _), path = jax.lax.scan(step, (v, optimizer.init(v)), None, length=_STEPS)
        return jnp.minimum(path.min(), form(v, coefficients))

    return jax.lax.map(lambda c: jax.vmap(lambda v: one(v, c))(starts).min(), g)
