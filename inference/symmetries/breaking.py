"""Is a symmetry broken? The forbidden part of the correlators of each order, with the p-value of its being zero.

Moments are linear in the law, so that each network has its own forbidden part y_n = V q_n, q_n its products of r fields
and of their images: the same network on both sides. Its mean is zero where the symmetry holds, and

    T^2 = n ybar . S^-1 ybar

has an F law on the rank's degrees of freedom where groups of networks contribute evenly; else it is taken of leading
directions, or has the law of its own signs (`flips.py`). Averages whose tail the networks have not met are refused
(`estimators/tails.py`): no sample shows what it has not seen. How far the symmetry is broken is the length of ybar, in
units of the root mean square of the field to the power r; n ybar . S^-1 ybar grows with the networks, which says how
many more it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...models.analytic.exact import exact_if_known
from ...models.combinatorics import tuple_count
from ...models.distance import Chi2
from ...models.networks.model import AbstractModel, as_model
from ...models.runtime import settled
from ..ensembles.chains import check_worth
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, group_length, sums
from ..estimators.measure import check_source
from ..estimators.tails import effective_networks, judge_tail, tail_draws
from .flips import vanishes
from .groups import AbstractSymmetry
from .invariants import MOST_PRODUCTS, forbidden
from .moved import at_further_points, at_moved_points
from .power import exact_parts, noncentrality, trivial

__all__ = ["Broken", "SymmetryTest", "symmetry"]

NETWORKS_PER_DIRECTION = 500  # below, covariances of fourth powers reject true nulls
_PROVED = 1e-9  # an exact forbidden part below is round-off
_SUSPECT = 0.05  # p-value above which more networks are not said to help
_CONTRADICTION = 1e-6  # p-value at which data contradict what is proved


class Broken(NamedTuple):
    """What one order says of a symmetry.

    chi2: T^2 with its degrees of freedom, p and why; size: length of the forbidden part of <phi..phi>, in units of
    rms^r, with its standard error; needed: networks at which it would be rejected at a level of .001 with a power of
    .9, inf where nothing is seen; exact: the size of the law itself where it is known (of one element of a continuous
    group of inputs), else None; reason: why the law has the symmetry, by its priors, in words, else empty.
    """

    order: int
    chi2: Chi2
    size: float
    error: float
    needed: float
    exact: float | None
    reason: str = ""

    @property
    def p(self) -> float:
        """The p-value; nan where no law is known."""
        return self.chi2.p

    @property
    def proved(self) -> bool | None:
        """Whether the law of the networks has the symmetry at this order; None where that is not known."""
        if self.exact is None:
            return True if self.reason else None
        return self.exact < _PROVED

    @property
    def contradiction(self) -> bool:
        """Whether the data, or exact correlators, deny what is proved: an error, or one chance in a million."""
        return (self.proved is True and self.p < _CONTRADICTION) or (bool(self.reason) and self.proved is False)


@dataclass(frozen=True)
class SymmetryTest:
    """A group held against networks, order by order.

    Attributes:
        group: its name.
        networks: number of networks, effective ones of a chain or of weighted draws.
        orders: order -> what it says.
        refused: order -> why it says nothing.
    """

    group: str
    networks: float
    orders: Mapping[int, Broken]
    refused: Mapping[int, str] = field(default_factory=dict)

    def __getitem__(self, order: int) -> Broken:
        if order in self.refused:
            raise ValueError(f"order {order} of {self.group} is refused: {self.refused[order]}")
        if order not in self.orders:
            raise ValueError(f"expected an order among {sorted(self.orders)}, got {order}; try orders=({order},)")
        return self.orders[order]

    @property
    def p(self) -> float:
        """The smallest p-value of all orders, times their number."""
        known = [one.p for one in self.orders.values() if not np.isnan(one.p)]
        return min(1.0, len(known) * min(known)) if known else float("nan")

    def __str__(self) -> str:
        lines = [f"{self.group}, {self.networks:,.0f} networks"]
        for order in sorted({*self.orders, *self.refused}):
            if order in self.refused:
                lines.append(f"  order {order}  refused: {self.refused[order]}")
                continue
            one = self.orders[order]
            needed = "none seen" if np.isinf(one.needed) else f"{one.needed:,.0f} networks see it"
            why = f": {one.reason}" if one.reason else ""
            size = "" if one.exact is None else f"; {one.exact:.3g} in the law"
            law = {None: "", True: f"; exact in the law{why}", False: size}[one.proved]
            lines.append(f"  order {order}  {one.chi2}; size {one.size:.3g} +- {one.error:.1g}, {needed}{law}")
        return "\n".join(lines)


@settled(None)
def symmetry(
    source: Source, group: AbstractSymmetry, *, orders: tuple[int, ...] | None = None, progress: bool = False
) -> SymmetryTest:
    """Test whether networks have a symmetry: the part of their correlators that it forbids, with a p-value each order.

    Every network is compared with itself, moved. All generators of a continuous group are tested together, once an
    order, so that no multiplicity is paid; the rank of the covariance is that of the group, since invariants have no
    say.

    Args:
        source: an `Ensemble`, whose program is differentiated or run at moved points where the group moves the inputs,
            or `Samples`, where it must take the points to each other.
        group: `inf.Sign`, `Exchange`, `Orthogonal`, `Phase`, `Unitary` on fields; `Translations`, `Rotations`,
            `Reflection`, `Permutation` on inputs; or one of one's own (`inf.AbstractSymmetry`).
        orders: of the correlators, default those of 1, 2, 3, 4 that the group acts on and the networks allow.
        progress: a bar for long runs.

    Raises:
        ValueError: a group that does not fit the outputs or the points, or takes points of an array elsewhere; an order
            asked for by name at which it acts trivially, with too many directions for the networks, with the number
            that would do, or with tails that they have not met.

    Example, two outputs of one hidden layer, and the same with a mean in the first readout:
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> def two(mean):
        ...     net = m.Multiplet.of(m.Cos(), 3, m.Normals((mean, 0.0)))
        ...     return inf.Ensemble(net, points=np.zeros((1, 1)), n=4000, key=jax.random.key(1))
        >>> symmetry(two(0.0), inf.Orthogonal(2), orders=(2,))[2].p > 1e-3
        True
        >>> broken = symmetry(two(1.0), inf.Orthogonal(2), orders=(2,))[2]
        >>> broken.p < 1e-6, broken.chi2.dof, round(broken.exact, 3)   # m^2 K/sqrt(2), over (1 + m^2/2) K
        (True, 2, 0.471)
    """
    check_source(source)
    if not isinstance(group, AbstractSymmetry):
        raise ValueError(f"expected a symmetry, got {group!r}; try inf.Orthogonal(2) or inf.Translations()")
    if orders is not None and (not orders or any(r not in range(1, 7) for r in orders)):
        raise ValueError(f"expected orders among 1..6, got {orders}; try orders=(2, 4)")
    networks = min(check_worth(source).effective, effective_networks(source))
    program = source.program
    moves = (group.finite if program is None else group.moves)(source.points, source.outputs)
    seen, judged = at_moved_points(source, moves), at_further_points(source, moves)
    draws = None if moves.own_inverse else tail_draws(judged)
    parts, refused = {}, {}
    for order in orders or (1, 2, 3, 4):
        idle = False
        if (why := _too_many(source.places, order)) is None:
            part = forbidden(moves, source.places, order)
            rank, least = part.basis.shape[1], NETWORKS_PER_DIRECTION * part.basis.shape[1]
            if idle := not rank:
                why = trivial(group, order)
            elif networks < least:
                why = (
                    f"expected at least {least:,} networks for {rank} directions of order {order}, "
                    f"{NETWORKS_PER_DIRECTION} each, got {networks:,.0f}; try {least:,}, fewer points or a lower order"
                )
            elif not moves.own_inverse and (tail := judge_tail(judged, order, draws=draws)).verdict == "refused":
                why = f"expected an average of {order} fields whose tail these networks have met, got: {tail.why}"
            else:
                parts[order] = part
        if why is not None:
            if orders is not None:
                raise ValueError(why)
            refused[order] = "nothing to test: every product of so many fields is invariant" if idle else why
    if not parts:
        return SymmetryTest(group.name, networks, {}, refused)
    tuples = {r: part.tuples for r, part in parts.items()}
    bases = {r: part.basis * part.scale[:, None] for r, part in parts.items()}
    sizes, (totals, squares) = sums(seen, _projected, tuples, bases, progress=progress)
    rms = float(np.sqrt(np.mean(squares.sum(axis=0)[: source.places]) / sizes.sum()))
    found = {}
    for order, total in totals.items():
        rows, mean = error_rows(seen, sizes, total), total.sum(axis=0) / sizes.sum()
        natural, memory = rms**order * float(np.sqrt(sizes.sum())), seen.dependence.inflation(group_length(seen))
        chi2 = vanishes(total, natural=natural, inflation=memory, even=moves.own_inverse)
        size, error = _length(mean, rows)
        seen_by = max(chi2.value - chi2.dof, 0.0) / networks  # non-centrality a network
        law = _exact(source, group, order)
        reason = _reason(source, group)
        hopeless = seen_by == 0.0 or chi2.p > _SUSPECT or bool(reason) or (law is not None and law < _PROVED)
        needed = float("inf") if hopeless else noncentrality(max(1, int(chi2.dof))) / seen_by
        found[order] = Broken(order, chi2, size / rms**order, error / rms**order, needed, law, reason)
    return SymmetryTest(group.name, networks, found, refused)


def _too_many(places: int, order: int) -> str | None:
    count = tuple_count(places, order)
    if count <= MOST_PRODUCTS:
        return None
    return (
        f"expected at most {MOST_PRODUCTS} products of {order} fields, got {count} at {places} places; try a lower "
        "order or fewer points"
    )


def _projected(fields: jax.Array, weights: jax.Array, tuples: Any, bases: Any) -> Any:
    """Sums of forbidden parts of products, order by order, and of squares of the fields."""
    parts = {r: weights @ (jnp.prod(fields[:, rows], axis=-1) @ bases[r]) for r, rows in tuples.items()}
    return parts, weights @ fields**2


def _length(mean: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Length of a mean without what its noise adds, and its standard error."""
    covariance = rows.T @ rows
    noise = 2.0 * float(np.sum(covariance**2))
    size = float(np.sqrt(max(mean @ mean - np.trace(covariance), 0.0)))
    spread = np.sqrt(4.0 * float(mean @ covariance @ mean) * (size > 0.0) + noise)
    return size, float(spread / (2.0 * max(size, noise**0.25))) if noise else 0.0


def _known(source: Source) -> AbstractModel | None:
    """The model whose own field the networks are, without weights."""
    program = source.program
    if program is None or program.weighted or program.site != as_model(program.model).field_site:
        return None
    return as_model(program.model)


def _reason(source: Source, group: AbstractSymmetry) -> str:
    model = _known(source)
    return "" if model is None else group.reason(model)


def _exact(source: Source, group: AbstractSymmetry, order: int) -> float | None:
    """The size of the breaking in the law itself, where its correlators are known."""
    model = _known(source)
    if model is None:
        return None
    two = exact_if_known(model, source.points, (2,))
    if two is None or (order % 2 == 0 and order not in model.orders):
        return None
    try:
        parts, moments, _ = exact_parts(model, source.points, group, order)
    except ValueError:  # a neuron that does not know a moment, too many products, an element without effect
        return None
    rms = float(np.sqrt(np.mean(np.diag(two.tensor(2, "moment")))))
    return float(np.linalg.norm(parts.of(moments[order]))) / rms**order
