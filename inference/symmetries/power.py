"""How many networks it takes to see that a symmetry is broken, before any is drawn.

T^2 of n networks is a non-central chi^2 on the rank's degrees of freedom with lambda = n y.S^-1 y, y the exact
forbidden part of the correlators of order r and S the covariance of one network's products, made of those of order 2r.
At a level of .001 a power of .9 needs lambda = 20.9, 23.8, 25.9, .. for 1, 2, 3, .. degrees of freedom.
"""

from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from ...models.analytic.exact import exact
from ...models.combinatorics import rank
from ...models.networks.model import AbstractModel, as_model
from ...models.types import Points
from .groups import AbstractSymmetry
from .invariants import Forbidden, forbidden

__all__ = ["LEVEL", "POWER", "networks_to_see", "noncentrality"]

LEVEL, POWER = 1e-3, 0.9
_NOTHING = 1e-9  # of a forbidden part, in units of what products are: it vanishes
_RESOLVED = 1e-10  # eigenvalues of a covariance below this share of the largest are round-off


@lru_cache(maxsize=256)
def noncentrality(dof: int, level: float = LEVEL, power: float = POWER) -> float:
    """Lambda at which chi^2 on so many degrees of freedom passes its (1 - level) quantile with this probability.

    >>> round(noncentrality(2), 5), round(noncentrality(1, power=0.5), 5)
    (23.81728, 10.82757)
    """
    threshold = stats.chi2.isf(level, dof)
    short = optimize.root_scalar(
        lambda x: stats.ncx2.sf(threshold, dof, x) - power, bracket=(1e-9, 10.0 * threshold + 100.0), xtol=1e-10
    )
    return float(short.root)


def networks_to_see(
    network: AbstractModel,
    points: Points,
    group: AbstractSymmetry,
    *,
    order: int = 2,
    level: float = LEVEL,
    power: float = POWER,
) -> float:
    """Networks at which `inf.symmetry` rejects a broken symmetry with this power; inf where it is exact at this order.

    Args:
        network: a model known exactly at `order` and at twice that.
        points: (point, axis).
        group: a symmetry of the fields or of the inputs; of a continuous one of the inputs an element stands for all.
        order: of the correlators.
        level: of the test.
        power: probability to reject.

    Raises:
        ValueError: a group that does not fit, or acts trivially; correlators that are not known.

    Example, the mean m = .3 of one of two readouts, ten neurons:
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> net = m.Multiplet.of(m.Cos(), 10, m.Normals((0.3, 0.0)))
        >>> round(networks_to_see(net, np.zeros((1, 1)), inf.Orthogonal(2)))
        13505
    """
    parts, moments, places = exact_parts(network, points, group, order, twice=True)
    broken = parts.of(moments[order])
    first, second = np.indices((len(parts.tuples),) * 2)
    both = np.concatenate([parts.tuples[first], parts.tuples[second]], axis=-1)
    square = moments[2 * order][rank(both, places)]
    weighted = parts.basis * parts.scale[:, None]
    spread = weighted.T @ (square - np.outer(moments[order], moments[order])) @ weighted
    sizes, axes = np.linalg.eigh(spread)
    kept = sizes > _RESOLVED * sizes[-1]
    along = (axes[:, kept].T @ broken) ** 2 / sizes[kept]
    if float(np.max(np.abs(broken))) < _NOTHING * float(np.sqrt(sizes[-1])):
        return float("inf")
    return noncentrality(int(kept.sum()), level, power) / float(np.sum(along))


def exact_parts(
    network: AbstractModel, points: Points, group: AbstractSymmetry, order: int, *, twice: bool = False
) -> tuple[Forbidden, dict[int, np.ndarray], int]:
    """What a group forbids at this order, the exact moments of those products (and, twice, all of order 2r), places.

    Moments of order r are those of `Forbidden.tuples`; of order 2r all sorted tuples.
    """
    model, x = as_model(network), np.asarray(points, dtype=float)
    moves = group.finite(x, model.outputs)
    parts = forbidden(moves, len(x) * model.outputs, order)
    if not parts.basis.size:
        raise ValueError(trivial(group, order))
    union = np.concatenate([x, moves.further]) if len(moves.further) else x
    places = len(union) * model.outputs
    known = tuple(r for r in (order, 2 * order if twice else 0) if r and (r % 2 == 0 or r in model.orders))
    data = exact(model, union, orders=known) if known else None
    zero = np.zeros(len(parts.tuples))  # an odd order of a field that is even
    own = zero if data is None or order not in known else data.moment(order)[rank(parts.tuples, places)]
    return parts, {order: own, **({2 * order: data.moment(2 * order)} if twice and data is not None else {})}, places


def trivial(group: AbstractSymmetry, order: int) -> str:
    """The refusal of an order at which there is nothing to test."""
    return (
        f"expected an order at which {group.name} acts, got order {order}, where every product of fields is invariant; "
        f"try order {order + 1 if order == 1 or order % 2 == 0 else order - 1}"
    )
