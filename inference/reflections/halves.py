"""Reflection positivity of networks: the worst direction from one half of them, tested on the other half.

The smallest eigenvalue of a sample's M is biased low, since the direction follows its noise. So the first half of the
networks says in which direction v the pencil (M, K) is most negative, and of the second half the mean of (v.Theta F)
(v.F) is one average with an honest error: below zero by three errors it is a false alarm once in 740.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models.runtime import settled
from ..ensembles.chains import check_worth
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums
from ..estimators.measure import check_source
from ..estimators.tails import judge_tail
from .given import mirrored
from .matrices import Functionals, functionals
from .times import check_times
from .verdict import Positivity, worst_direction

__all__ = ["reflected_times", "split"]

_RESOLVED = 1e-8  # eigenvalues of K below this share are single precision
_EACH = 20  # networks of a half for each functional
_NEAR = 1e-6


def reflected_times(
    source: Source, axis: int = 0, origin: float | None = None
) -> tuple[float, dict[float, tuple[int, int]]]:
    """The origin, or else zero or the middle of the points, and positive time -> numbers of the points at -t and at t.

    Raises:
        ValueError: no such pair.
    """
    t = np.asarray(source.points, dtype=float)[:, axis]
    tried = [0.0, float(t.min() + t.max()) / 2.0] if origin is None else [origin]
    for about in tried:
        if found := mirrored(source.points, axis, about):
            return about, dict(sorted(found.items()))
    raise ValueError(
        f"expected networks at points t and -t, got {np.asarray(source.points)[:4].tolist()}.. without a pair; try "
        "points on both sides of origin="
    )


@settled(None)
def split(
    source: Source, times: Any = None, *, order: int = 2, axis: int = 0, origin: float | None = None
) -> Positivity:
    """The test of networks that `inf.positivity` makes.

    Args:
        source: an `Ensemble` or `Samples` at points t and -t.
        times: which of them, default all.
        order: 2, 4 or 6.
        axis: the coordinate that is time.
        origin: time about which is reflected.

    Raises:
        ValueError: several fields at a point; times without their points; fewer than 20 networks of each half for a
            functional; averages whose tail the networks have not met.

    Example, Gaussian fields of the Gaussian kernel, and of the exponential one:
        >>> from nnft import inference as inf
        >>> t = np.array([-1.0, -0.2, 0.2, 1.0])
        >>> lag, noise = np.abs(t[:, None] - t), np.random.default_rng(0).normal(size=(2000, 4))
        >>> def fields(kernel):
        ...     return inf.Samples(noise @ np.linalg.cholesky(kernel).T, t[:, None], independent=True)
        >>> split(fields(np.exp(-(lag**2) / 2.0))).violated, split(fields(np.exp(-lag))).violated
        (True, False)
    """
    check_source(source)
    if source.outputs != 1:
        raise ValueError(f"expected one field, got {source.outputs} outputs at a point; try fields[:, :, 0]")
    about, places = reflected_times(source, axis, origin)
    known = np.array(list(places))
    wanted = known if times is None else check_times(times)
    if missing := [t for t in wanted if np.min(np.abs(known - t)) > _NEAR * known[-1]]:
        raise ValueError(
            f"expected networks at t and -t for all times, got none at t = {missing[0]:g}; try times among "
            f"{known.tolist()}, or those points too"
        )
    pairs = np.array([places[float(known[np.argmin(np.abs(known - t))])] for t in wanted])
    made = functionals(len(wanted), order, even=source.even)
    half = check_worth(source).effective / 2.0
    if half < _EACH * len(made):
        raise ValueError(
            f"expected at least {2 * _EACH * len(made):,} networks for {len(made)} functionals of order {order}, got "
            f"{2.0 * half:,.0f}; try fewer times"
        )
    tail = judge_tail(source, order)
    if tail.verdict == "refused":
        raise ValueError(f"expected an average of {order} fields whose tail these networks have met, got: {tail.why}")
    before, after = (_products(made, pairs[:, k], source.places, order) for k in (0, 1))
    first, second = source.shard(0, 2), source.shard(1, 2)
    sizes, (m, k) = sums(first, _matrices, before, after, what="directions")
    reflected, plain = (part.sum(axis=0) / sizes.sum() for part in (m, k))
    reflected = (reflected + reflected.T) / 2.0
    direction = worst_direction(reflected, plain, resolved=_RESOLVED)
    sizes, (product, norm) = sums(second, _along, before, after, direction)
    size = float(product.sum() / sizes.sum())
    error = float(np.linalg.norm(error_rows(second, sizes, product[:, None])))
    share = size / float(norm.sum() / sizes.sum())
    sigmas = -size / error if error > 0.0 else 0.0
    return Positivity(
        order, np.sort(wanted), size, 0.0, direction, size, share, error, sigmas, reflected, plain, half, about
    )


def _products(
    made: Functionals, places: Int[np.ndarray, " time"], count: int, order: int
) -> Int[np.ndarray, "functional factor"]:
    """Numbers of the fields of each functional; the number after the last is the constant 1."""
    out = np.full((len(made), order // 2), count)
    for row, factors in enumerate(made):
        out[row, : len(factors)] = places[list(factors)]
    return out


def _values(fields: Float[Array, "network place"], factors: Array) -> Float[Array, "network functional"]:
    ones = jnp.ones((len(fields), 1), fields.dtype)
    return jnp.prod(jnp.concatenate([fields, ones], axis=1)[:, factors], axis=-1)


def _matrices(fields: Array, weights: Array, before: Array, after: Array) -> tuple[Array, Array]:
    """Sums of (Theta F_a) F_b and F_a F_b."""
    old, new = _values(fields, before), _values(fields, after)
    return jnp.einsum("n,na,nb->ab", weights, old, new), jnp.einsum("n,na,nb->ab", weights, new, new)


def _along(fields: Array, weights: Array, before: Array, after: Array, direction: Array) -> tuple[Array, Array]:
    """Sums of (v.Theta F)(v.F) and of (v.F)^2."""
    old, new = _values(fields, before) @ direction, _values(fields, after) @ direction
    return weights @ (old * new), weights @ new**2
