"""The inverse distribution function of a law: a uniform number in (0, 1) becomes a draw, smoothly.

x = F^-1(u) with u uniform has the law F (L. Devroye, Non-Uniform Random Variate Generation, 1986, II.2): points that
fill the cube more evenly than chance become draws that do. A law made of another by transforms takes the quantile of
the other through them, one of independent parts a number for each, a multivariate normal one for each axis of its
Cholesky factor. StudentT, Gamma and Beta call SciPy, since JAX has no inverse of theirs.
"""

from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import special

__all__ = ["numbers_taken", "quantile"]


@singledispatch
def quantile(law: Any, u: Any) -> jax.Array:
    """A draw of a law from numbers in (0, 1), distributed like the law where they are uniform and independent.

    `inf.quantile.register(MyLaw)` adds a law of your own, `numbers_taken.register(MyLaw)` how many numbers it takes.

    Args:
        law: a NumPyro distribution.
        u: numbers in (0, 1), (*batch shape, *`numbers_taken(law)`), or a shape that broadcasts to it.

    Returns:
        A draw of the shape of the law.

    Raises:
        ValueError: a law without an inverse distribution function.

    Example:
        >>> import numpyro.distributions as dist
        >>> round(float(quantile(dist.Exponential(2.0), 0.5)), 4)   # log 2 / 2
        0.3466
    """
    try:
        if law.event_shape:
            raise NotImplementedError
        return law.icdf(u)
    except (NotImplementedError, ImportError):
        raise ValueError(
            f"expected a law with an inverse distribution function, got {type(law).__name__}; try "
            f"inf.quantile.register(dist.{type(law).__name__}) with a function of (law, u)"
        ) from None


@singledispatch
def numbers_taken(law: Any) -> tuple[int, ...]:
    """Shape of the numbers that one draw of a law takes, beyond its batch; (), one number, for a scalar law.

    Example:
        >>> import numpyro.distributions as dist
        >>> numbers_taken(dist.Normal().expand([3]).to_event(1))
        (3,)
    """
    del law
    return ()


@quantile.register(dist.Independent)
@quantile.register(dist.ExpandedDistribution)
@quantile.register(dist.MaskedDistribution)
def _(law: Any, u: Any) -> jax.Array:
    return quantile(law.base_dist, u)


@numbers_taken.register(dist.ExpandedDistribution)
@numbers_taken.register(dist.MaskedDistribution)
def _(law: Any) -> tuple[int, ...]:
    return numbers_taken(law.base_dist)


@quantile.register(dist.TransformedDistribution)
def _(law: Any, u: Any) -> jax.Array:
    value = quantile(law.base_dist, u)
    for transform in law.transforms:
        value = transform(value)
    return value


@numbers_taken.register(dist.Independent)
@numbers_taken.register(dist.TransformedDistribution)
def _(law: Any) -> tuple[int, ...]:
    inside = law.base_dist  # the axes of its batch that are one draw here are numbers too
    return (*inside.batch_shape[len(law.batch_shape) :], *numbers_taken(inside))


@quantile.register(dist.MultivariateNormal)
def _(law: Any, u: Any) -> jax.Array:
    normal = jax.scipy.special.ndtri(u)
    return law.loc + (law.scale_tril @ normal[..., None])[..., 0]


@numbers_taken.register(dist.MultivariateNormal)
def _(law: Any) -> tuple[int, ...]:
    return law.event_shape


@quantile.register(dist.Delta)
def _(law: Any, u: Any) -> jax.Array:
    return jnp.broadcast_to(law.v, jnp.shape(u)[: jnp.ndim(u) - 1] + law.event_shape)


@numbers_taken.register(dist.Delta)
def _(law: Any) -> tuple[int, ...]:
    return (0,)


@quantile.register(dist.BernoulliProbs)
@quantile.register(dist.BernoulliLogits)
def _(law: Any, u: Any) -> jax.Array:
    return (u > 1.0 - law.probs).astype(jnp.int32)


@quantile.register(dist.CategoricalProbs)
@quantile.register(dist.CategoricalLogits)
def _(law: Any, u: Any) -> jax.Array:
    edges = jnp.cumsum(law.probs, axis=-1)[..., :-1]  # without the last, which round-off may leave below u
    return jnp.sum(u[..., None] > edges, axis=-1)


@quantile.register(dist.Gamma)
def _(law: Any, u: Any) -> jax.Array:
    return _scipy(special.gammaincinv, law.concentration, u) / law.rate


@quantile.register(dist.Beta)
def _(law: Any, u: Any) -> jax.Array:
    return _scipy(special.betaincinv, law.concentration1, law.concentration0, u)


@quantile.register(dist.StudentT)
def _(law: Any, u: Any) -> jax.Array:
    return law.loc + law.scale * _scipy(special.stdtrit, law.df, u)


def _scipy(function: Any, *arguments: Any) -> jax.Array:
    """A SciPy function of arrays inside a compiled program, elementwise."""
    arrays = jnp.broadcast_arrays(*map(jnp.asarray, jax.tree.leaves(arguments)))
    kind = jnp.result_type(*arrays, float)
    # As pairs of 32 bits: JAX may call from another thread, where double precision is off and numbers would be cut.
    words = [jax.lax.bitcast_convert_type(a.astype(kind), jnp.uint32) for a in arrays]

    def call(*given: Any) -> np.ndarray:
        numbers = [np.ascontiguousarray(np.asarray(g)).view(kind) for g in given]
        return np.ascontiguousarray(function(*numbers), dtype=kind).view(np.uint32)

    out = jax.ShapeDtypeStruct(words[0].shape, jnp.uint32)
    answer = jax.pure_callback(call, out, *words, vmap_method="broadcast_all")
    return jax.lax.bitcast_convert_type(answer, kind)
