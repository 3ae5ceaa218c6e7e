"""The equations of an action as sums of moments: A theta = b, and their residuals as a linear map of the moments.

A_kl = E[grad T_k . W grad T_l] and b_k = E[lap_W T_k] for terms of degree 2, 4, .., D hold moments up to order 2D - 2:
each pair of factors taken out of two monomials leaves a monomial. So do the residuals psi_k = sum_l A_kl theta_l - b_k
at fixed couplings. Everything is in the scaled fields of `terms.py`.

A fit cut off at phi^4 returns a projection whose g4 differs from the Taylor coefficient of -log P at relative order 1/N
with the opposite sign, because it stands in for g6 too; with the sextic it agrees with the diagrams at next-to-leading
order (arXiv:2307.03223). One site, cosine network, N = 100, over leading order: .978 (phi^4), 1.048 (phi^6), 1.054
(phi^8), the diagrams at next order 1.0525.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from ...models.actions.monomials import each
from ...models.combinatorics import rank, sorted_tuples, tuple_count
from ...models.correlators import Correlators
from ...models.types import ByOrder, Matrix, Tuples, Vector
from .terms import Terms, scaled_terms

__all__ = ["RESOLUTION_LIMIT", "fit_polynomial", "moment_equations", "psi_map", "resolved", "scaled_moments"]

RESOLUTION_LIMIT = 1e13  # of A in unit-norm monomials: beyond it a combination of couplings is round-off


def fit_polynomial(data: Correlators, degree: int = 6, *, metric: Matrix | None = None) -> dict[int, Vector]:
    """Couplings of the full polynomial action of a degree from exact moments: degree -> sorted coefficients.

    S = sum_r sum over sorted tuples of theta_r phi_a1 .. phi_ar, r = 2, 4, .., degree. As point results: no errors.

    Args:
        data: correlators with moments of all even orders up to 2 degree - 2, as of `m.exact` with orders=(2, .., 10).
        degree: 2, 4, 6, ...
        metric: W, (point, point); default the two-point function.

    Raises:
        ValueError: an odd degree, a moment that is missing, couplings that round-off hides.

    Example, the tensor component of g4 over leading order, -G4c/G2^4:
        >>> from nnft import models as m
        >>> truth = m.exact(m.Network(m.Cos(), width=100), np.zeros((1, 1)), orders=(2, 4, 6, 8, 10))
        >>> g4 = 24 * fit_polynomial(truth, 6)[4][0]
        >>> round(float(g4 / (-truth.connected(4)[0] / truth.connected(2)[0] ** 4)), 3)
        1.048
    """
    if degree < 2 or degree % 2:
        raise ValueError(f"expected an even degree of at least 2, got {degree}; try 6")
    every = tuple(each(sorted_tuples(len(data.points), r)) for r in range(2, degree + 1, 2))
    terms = scaled_terms(every, data.tensor(2) if metric is None else np.asarray(metric, dtype=float))
    matrix, vector = moment_equations(terms, scaled_moments(terms, data))
    theta = resolved(matrix, vector) / terms.factors
    return {part.degree: theta[where] for part, where in zip(terms.parts, terms.places, strict=True)}


def moment_equations(terms: Terms, moments: ByOrder) -> tuple[Matrix, Vector]:
    """A, (term, term), and b, (term,), from scaled moments of the `orders` of the terms, (component,) each."""
    matrix, vector = np.zeros((terms.size, terms.size)), np.zeros(terms.size)
    moments, tables = {0: np.ones(1), **moments}, tuple(zip(terms.tables, terms.places, strict=True))
    for (left, rows), here in tables:
        for where, factor in _pairs(left, terms.metric):
            vector[here] += rows @ (factor * moments[left.shape[1] - 2][where])
        for (right, columns), there in tables:
            order, block = left.shape[1] + right.shape[1] - 2, np.zeros((len(left), len(right)))
            for where, factor in _across(left, right, terms.metric):
                block += factor * moments[order][where]
            matrix[here, there] = rows @ block @ columns.T
    return 0.5 * (matrix + matrix.T), vector


def resolved(matrix: Matrix, vector: Vector) -> Vector:
    """A^-1 b, (term,).

    Raises:
        ValueError: combinations of couplings that are round-off; the message gives the condition number.
    """
    size = np.sqrt(np.diag(matrix))
    scaled = matrix / np.outer(size, size)
    condition = np.linalg.cond(scaled)
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings that double precision can tell apart (condition below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.1e}; try a lower degree, fewer points or points further apart"
        )
    return np.linalg.solve(scaled, vector / size) / size


def psi_map(terms: Terms, theta: Vector) -> csr_matrix:
    """psi(theta) as a linear map on the scaled moments of the terms' orders (constants dropped), (term, moment)."""
    orders = terms.orders
    edges = np.cumsum([0, *(tuple_count(len(terms.scale), r) for r in orders)])
    first, out = dict(zip(orders, edges, strict=False)), []
    tables = tuple(zip(terms.tables, terms.places, strict=True))
    for (left, rows), _ in tables:
        k, to, values = [], [], []
        for (right, columns), there in tables:
            order, weight = left.shape[1] + right.shape[1] - 2, theta[there] @ columns
            if order == 0:  # of two linear terms
                continue
            for where, factor in _across(left, right, terms.metric):
                k.append(np.repeat(np.arange(len(left)), len(right)))
                to.append(first[order] + where.ravel())
                values.append((factor * weight).ravel())
        for where, factor in _pairs(left, terms.metric) if left.shape[1] > 2 else ():
            k.append(np.arange(len(left)))
            to.append(first[left.shape[1] - 2] + where)
            values.append(-factor)
        entries = np.concatenate(values), (np.concatenate(k), np.concatenate(to))
        out.append(rows @ csr_matrix(entries, shape=(len(left), edges[-1])).toarray())
    return csr_matrix(np.concatenate(out))


def scaled_moments(terms: Terms, data: Correlators) -> dict[int, Vector]:
    """The moments that A and b hold, in scaled fields: order -> (component,).

    Raises:
        ValueError: a moment that is refused or missing.
    """
    orders, kind = terms.orders, "even" if terms.even else "all"
    for order in orders:
        if order % 2 and order not in data.moments and order not in data.refused and data.even:
            raise ValueError(
                f"expected moments of all orders up to {orders[-1]} for an action with linear and cubic terms, got "
                f"those of a field with phi -> -phi, without order {order}; try the even action alone, or "
                "inf.measure(ensemble, even=False)"
            )
        if order in data.refused and order not in data.moments:
            raise ValueError(
                f"expected moments of {kind} orders up to {orders[-1]} for an action of degree {terms.degree}, got "
                f"order {order} refused: {data.refused[order]}"
            )
        if order not in data.moments:
            raise ValueError(
                f"expected moments of {kind} orders up to {orders[-1]} for an action of degree {terms.degree}, got "
                f"none of order {order}; try m.exact(network, points, orders={orders}), or a lower degree"
            )
    return {order: data.moment(order) / np.prod(terms.scale[data.tuples(order)], axis=1) for order in orders}


def _across(left: Tuples, right: Tuples, metric: Matrix) -> Iterator[tuple[np.ndarray, Matrix]]:
    """Grad m_k . W grad m_l, leg by leg: the position of the moment that is left, and W, each (monomial, monomial)."""
    shape = len(left), len(right)
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            mine = np.broadcast_to(np.delete(left, i, axis=1)[:, None], (*shape, left.shape[1] - 1))
            theirs = np.broadcast_to(np.delete(right, j, axis=1)[None], (*shape, right.shape[1] - 1))
            where = rank(np.concatenate([mine, theirs], axis=-1), len(metric))
            yield where, metric[left[:, i][:, None], right[:, j][None]]


def _pairs(tuples: Tuples, metric: Matrix) -> Iterator[tuple[np.ndarray, Vector]]:
    """lap_W m_k, pair by pair of legs: the position of the moment that is left, and 2 W, each (monomial,)."""
    for i in range(tuples.shape[1]):
        for j in range(i):
            yield rank(np.delete(tuples, [j, i], axis=1), len(metric)), 2.0 * metric[tuples[:, i], tuples[:, j]]
