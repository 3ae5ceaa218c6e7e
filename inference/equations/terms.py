"""The terms T_k of an action in natural units, and on fields: values, gradients, Laplacians and scores, at any size.

S(phi) = 1/2 phi P phi + sum_k theta_k T_k(phi) in scaled fields phi_a/scale_a, the quadratic terms first, each T_k
of unit norm in its monomials; P is a fixed free part, where the action has one. A term touches few monomials at each
site, so everything is kept per site: a lattice of a thousand sites costs a thousand times one site, not a million.
In these units couplings, moments and equations are numbers of order one; `factors` lead back to physical couplings.
"""

from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models.actions.base import AbstractAction
from ...models.actions.monomials import Monomials, contraction
from ...models.combinatorics import rank
from ...models.types import Matrix, Tuples, Vector

__all__ = ["Table", "Terms", "embed", "far_off", "scaled_terms", "terms_of"]

_UNROLLED = 8  # entries of a row summed one by one; more would be a program of thousands of lines
_TABLE = 50_000_000  # numbers of a matrix that replaces them


class Products(eqx.Module):
    """Sums of monomials on one axis: out[row] = sum_e coefficient[row, e] prod_j phi[tuples[index[row, e], j]]."""

    tuples: Int[np.ndarray, "monomial power"]
    index: Int[np.ndarray, "*rows entry"]
    coefficient: Float[np.ndarray, "*rows entry"]
    table: Float[np.ndarray, "rows monomial"] | None  # the same as a matrix, where a row has many entries

    def __call__(self, padded: Float[Array, "padded network"]) -> Float[Array, "*rows network"]:
        """Evaluate on fields with a row of ones behind the last point."""
        value = jnp.ones((len(self.tuples), padded.shape[1]), padded.dtype)
        for j in range(self.tuples.shape[1]):
            value = value * padded[self.tuples[:, j]]
        if self.table is not None:
            return jnp.asarray(self.table) @ value
        entries = self.index.shape[-1]
        if entries > _UNROLLED:
            columns = (jnp.moveaxis(jnp.asarray(self.index), -1, 0), jnp.moveaxis(jnp.asarray(self.coefficient), -1, 0))
            zero = jnp.zeros((*self.index.shape[:-1], padded.shape[1]), padded.dtype)
            return jax.lax.scan(lambda total, e: (total + e[1][..., None] * value[e[0]], None), zero, columns)[0]
        total = jnp.asarray(self.coefficient[..., 0, None]) * value[self.index[..., 0]]
        for e in range(1, entries):
            total = total + self.coefficient[..., e, None] * value[self.index[..., e]]
        return total


class Table(NamedTuple):
    """Terms of one degree on the monomials that occur: sorted tuples, (monomial, degree), rows (term, monomial)."""

    tuples: Tuples
    rows: Matrix


class Terms(eqx.Module):
    """Terms of an action in scaled fields; fields are given physical, (network, point).

    Attributes:
        parts: the scaled terms as monomials, quadratic ones first, then degree 1, 3, 4, 6, those that there are.
        scale: standard deviations of the field, (point,).
        factors: physical coupling = scaled coupling / factor, (term,).
        metric: W_ab/(scale_a scale_b), (point, point).
        fixed: scaled P, (point, point), or None.
        diagonal: whether the metric is diagonal.
        unit: whether it is the unit matrix in these units.
    """

    parts: tuple[Monomials, ...]
    scale: Vector
    factors: Vector
    metric: Matrix
    fixed: Matrix | None
    slots: Int[np.ndarray, "point slot"]  # which term a slot of a site belongs to; `size` where it is empty
    slopes: Products  # dT/dphi_a of each slot, (point, slot)
    curvatures: Products  # lap_W T, (term,)
    diagonal: bool = eqx.field(static=True)
    unit: bool = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of terms."""
        return sum(part.count for part in self.parts)

    @property
    def quadratic(self) -> int:
        """Number of quadratic terms."""
        return self.parts[0].count

    @property
    def gaussian(self) -> int:
        """Number of terms of a Gaussian action, which come first: quadratic ones and, where there are some, linear."""
        return sum(part.count for part in self.parts if part.degree <= 2)

    @property
    def even(self) -> bool:
        """Whether every term has an even number of fields."""
        return all(part.degree % 2 == 0 for part in self.parts)

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders of the moments in the equations of these terms."""
        return tuple(range(2, 2 * self.degree - 1, 2) if self.even else range(1, 2 * self.degree - 1))

    @property
    def shared(self) -> bool:
        """Whether every term touches every site, as on a lattice."""
        return self.slots.shape[1] == self.size and bool(np.all(self.slots == np.arange(self.size)))

    @property
    def degree(self) -> int:
        """Highest power of the field."""
        return max(part.degree for part in self.parts)

    @property
    def places(self) -> tuple[slice, ...]:
        """Where the terms of each degree stand among all."""
        edges = _starts(self.parts)
        return tuple(slice(first, last) for first, last in pairwise(edges))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The terms of each degree as a matrix on the monomials that occur: for few points."""
        return tuple(_table(part, len(self.scale)) for part in self.parts)

    def local_gradients(self, fields: Float[Array, "network point"]) -> Float[Array, "point slot network"]:
        """dT_k/dphi_a where it is not identically zero."""
        return self.slopes(self._padded(fields))

    def gradients(self, fields: Float[Array, "network point"]) -> Float[Array, "network term point"]:
        """dT_k/dphi_a of every term at every point."""
        local = self.local_gradients(fields)
        out = jnp.zeros((self.size + 1, *local.shape[::2]), local.dtype)
        sites = np.broadcast_to(np.arange(len(self.slots))[:, None], self.slots.shape)
        return jnp.transpose(out.at[self.slots, sites].set(local)[:-1], (2, 0, 1))

    def values(self, fields: Float[Array, "network point"]) -> Float[Array, "network term"]:
        """T_k of each field, by Euler's theorem: degree T = sum_a phi_a dT/dphi_a."""
        phi = self._padded(fields)[:-1]
        degrees = np.concatenate([np.full(part.count, float(part.degree)) for part in self.parts])
        return self.gather(self.local_gradients(fields) * phi[:, None]) / degrees

    def laplacians(self, fields: Float[Array, "network point"]) -> Float[Array, "network term"]:
        """Sum_ab W_ab d2T_k/dphi_a dphi_b of each field."""
        return self.curvatures(self._padded(fields)).T

    def action(self, fields: Float[Array, "network point"], theta: Float[Array, " term"]) -> Float[Array, " network"]:
        """S of each field at scaled couplings theta, the fixed part included."""
        total = self.values(fields) @ theta
        if self.fixed is None:
            return total
        phi = fields / self.scale
        return total + 0.5 * jnp.sum((phi @ self.fixed) * phi, axis=1)

    def residuals(
        self, fields: Float[Array, "network point"], theta: Float[Array, " term"]
    ) -> Float[Array, "network term"]:
        """psi_k = grad T_k . W grad S - lap_W T_k: zero on average for the density exp(-S)."""
        local = self.local_gradients(fields)
        force = self._force(local, jnp.asarray(theta)[None])[0]
        force = force if self.fixed is None else force + self.free_force(fields)
        return self.gather(local * self.turned(force)[:, None]) - self.laplacians(fields)

    def scores(
        self, fields: Float[Array, "network point"], thetas: Float[Array, "action term"]
    ) -> Float[Array, "network action"]:
        """Hyvarinen's J = 1/2 grad S . W grad S - lap_W S for each row of couplings, less that of the fixed part.

        J = 1/2 theta . (psi(theta) + psi(0)).
        """
        thetas = jnp.asarray(thetas)
        push = force = self._force(self.local_gradients(fields), thetas)
        if self.fixed is not None:
            push = force + 2.0 * self.free_force(fields)
        square = jnp.sum(force * jax.vmap(self.turned)(push), axis=1)
        return (0.5 * square - thetas @ self.laplacians(fields).T).T

    def _force(
        self, local: Float[Array, "point slot network"], thetas: Float[Array, "action term"]
    ) -> Float[Array, "action point network"]:
        """Grad of sum_k theta_k T_k for each row of couplings."""
        coupling = jnp.pad(thetas, ((0, 0), (0, 1)))[:, self.slots]
        return jnp.einsum("ras,asn->ran", coupling, local)

    def turned(self, force: Float[Array, "point network"]) -> Float[Array, "point network"]:
        """W times a force; nothing to do where W is the unit matrix."""
        if self.unit:
            return force
        metric = jnp.asarray(self.metric)
        return jnp.diag(metric)[:, None] * force if self.diagonal else metric @ force

    def free_force(self, fields: Float[Array, "network point"]) -> Float[Array, "point network"]:
        """P phi of an action with a fixed part."""
        return jnp.asarray(self.fixed) @ (fields / self.scale).T

    def gather(self, local: Float[Array, "point slot network"]) -> Float[Array, "network term"]:
        """Sum over sites of what belongs to each term."""
        flat = local.reshape(-1, local.shape[2])
        return jax.ops.segment_sum(flat, self.slots.ravel(), num_segments=self.size + 1)[:-1].T

    def _padded(self, fields: jax.Array) -> jax.Array:
        phi = (fields / self.scale).T
        return jnp.concatenate([phi, jnp.ones_like(phi[:1])])


def terms_of(action: AbstractAction, metric: Matrix, weights: Vector, *, scale: Vector | None = None) -> Terms:
    """The terms of an action for a metric W and quadrature weights.

    Args:
        action: any of the ladder.
        metric: (point, point), of positive diagonal; a diagonal one is recognised.
        weights: (point,).
        scale: standard deviations of the field, the units of priors, (point,); default sqrt(W_aa).

    Example, S = phi^2 and phi^4 at one point with W = 4: T = (phi/2)^2, (phi/2)^4.

        >>> from nnft.models import Local
        >>> terms_of(Local(), np.array([[4.0]]), np.ones(1)).values(jnp.array([[2.0]])).tolist()
        [[1.0, 1.0]]
    """
    parts = action.quadratic(len(metric)), *action.interaction(len(metric), weights)
    return scaled_terms(parts, metric, scale=scale, fixed=action.fixed(len(metric)))


def scaled_terms(
    monomials: tuple[Monomials, ...], metric: Matrix, *, scale: Vector | None = None, fixed: Matrix | None = None
) -> Terms:
    """Terms given by their monomials, those of lowest degree first, and perhaps a fixed part P, as in `terms_of`."""
    points = len(metric)
    diagonal = np.count_nonzero(metric) == points  # asked of the metric itself: x/sqrt(x)^2 is one but for its last bit
    unit = bool(diagonal) and scale is None
    scale = np.sqrt(np.diag(metric)) if scale is None else scale
    correlation = np.eye(points) if unit else metric / np.outer(scale, scale)
    pairs = [part.rescaled(scale) for part in monomials]
    # 32 bits: JAX keeps what it made of a shared integer table, in whichever precision it first met it.
    parts = tuple(p._replace(term=p.term.astype(np.int32), tuples=p.tuples.astype(np.int32)) for p, _ in pairs)
    factors = np.concatenate([norms for _, norms in pairs])
    slots, slopes = _slopes(parts, points)
    return Terms(
        parts=parts,
        scale=scale,
        factors=factors,
        metric=correlation,
        fixed=None if fixed is None else fixed * np.outer(scale, scale),
        slots=slots,
        slopes=slopes,
        curvatures=_curvatures(parts, correlation),
        diagonal=bool(diagonal),
        unit=unit,
    )


def far_off(terms: Terms) -> str:
    """What else to try where couplings cannot be told apart: odd terms are, of a field far from zero, nearly even."""
    return "" if terms.even else ", or the fields less a constant near their mean, about which S is then expanded"


def embed(terms: Terms, wide: Terms) -> Matrix:
    """Terms in those of an action with every monomial a term of its own, (term, wide term)."""
    out, points = np.zeros((terms.size, wide.size)), len(terms.scale)
    for part, here, whole, there in zip(terms.parts, terms.places, wide.parts, wide.places, strict=True):
        position = {code: whole.term[k] for k, code in enumerate(rank(whole.tuples, points).tolist())}
        column = np.array([position[code] for code in rank(part.tuples, points).tolist()], dtype=int)
        out[here, there][part.term, column] = part.coefficient
    return out


def _table(part: Monomials, points: int) -> Table:
    codes, column = np.unique(rank(part.tuples, points), return_inverse=True)
    _, first = np.unique(column, return_index=True)
    rows = np.zeros((part.count, len(codes)))
    rows[part.term, column] = part.coefficient
    return Table(part.tuples[first].astype(np.int64), rows)


def _padded(tuples: np.ndarray, width: int, points: int) -> np.ndarray:
    """Tuples of another degree filled up with the row of ones."""
    fill = np.full((len(tuples), width - tuples.shape[1]), points)
    return np.concatenate([tuples, fill], axis=1).astype(np.int32)


def _starts(parts: tuple[Monomials, ...]) -> np.ndarray:
    return np.cumsum([0, *(part.count for part in parts)])


def _slopes(parts: tuple[Monomials, ...], points: int) -> tuple[np.ndarray, Products]:
    """Every (term, site) with a slope: its slot at the site and the monomials of its slope."""
    degree, start = max(part.degree for part in parts), _starts(parts)
    terms, sites, rests, coefficients = [], [], [], []
    for part, first in zip(parts, start):
        for j in range(part.degree):  # each leg once: equal ones add up to the power rule
            terms.append(part.term + first)
            sites.append(part.tuples[:, j])
            rests.append(_padded(np.delete(part.tuples, j, axis=1), degree - 1, points))
            coefficients.append(part.coefficient)
    term, site = np.concatenate(terms), np.concatenate(sites)
    key = site.astype(np.int64) * start[-1] + term
    products, row, entry, count = _collect(key, np.concatenate(rests), np.concatenate(coefficients))
    owners = np.unique(key)
    site_of, term_of = owners // start[-1], owners % start[-1]
    slot = np.arange(len(owners)) - np.searchsorted(site_of, site_of)
    width = int(slot.max()) + 1
    slots = np.full((points, width), start[-1])
    slots[site_of, slot] = term_of
    index = np.zeros((points, width, entry.shape[1]), dtype=np.int32)
    coefficient = np.zeros((points, width, entry.shape[1]))
    index[site_of[row], slot[row]], coefficient[site_of[row], slot[row]] = entry, count
    return slots.astype(np.int32), Products(products, index, coefficient, None)


def _curvatures(parts: tuple[Monomials, ...], metric: Matrix) -> Products:
    """lap_W T = 2 contraction(T, W), term by term."""
    degree, start, points = max(part.degree for part in parts), _starts(parts), len(metric)
    bare = [(contraction(part, metric), first) for part, first in zip(parts, start) if part.degree > 1]
    key = np.concatenate([one.term + first for one, first in bare])
    tuples = np.concatenate([_padded(one.tuples, degree - 2, points) for one, _ in bare])
    products, row, entry, count = _collect(key, tuples, np.concatenate([2.0 * one.coefficient for one, _ in bare]))
    index = np.zeros((start[-1], entry.shape[1]), dtype=np.int32)
    coefficient = np.zeros((start[-1], entry.shape[1]))
    owners = np.unique(key)
    index[owners[row]], coefficient[owners[row]] = entry, count
    table = None
    if entry.shape[1] > _UNROLLED and len(index) * len(products) <= _TABLE:
        table = np.zeros((len(index), len(products)))
        np.add.at(table, (np.arange(len(index))[:, None], index), coefficient)
    return Products(products, index, coefficient, table)


def _collect(
    key: np.ndarray, tuples: np.ndarray, coefficient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct monomials, and for each distinct key, in order, its row of entries and coefficients."""
    base = int(tuples.max(initial=0)) + 1  # a tuple as one number: sorting numbers is faster than sorting rows
    code = np.zeros(len(tuples), dtype=np.int64)
    for j in range(tuples.shape[1]):
        code = code * base + np.sort(tuples, axis=1)[:, j]
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    products = np.sort(tuples, axis=1)[first]
    both = key.astype(np.int64) * len(products) + which.ravel()
    unique, place = np.unique(both, return_inverse=True)
    total = np.bincount(place.ravel(), coefficient, minlength=len(unique))
    owner, row = np.unique(unique // len(products), return_inverse=True)
    order = np.arange(len(unique)) - np.searchsorted(row, row)
    entry = np.zeros((len(owner), int(order.max(initial=0)) + 1), dtype=np.int32)
    amount = np.zeros(entry.shape)
    entry[row, order], amount[row, order] = unique % len(products), total
    return products, np.arange(len(owner)), entry, amount
