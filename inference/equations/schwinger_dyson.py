"""The Schwinger-Dyson equations of an action as linear maps on the moments of order 2, 4 and 6.

A_kl = E[grad T_k . W grad T_l] and b_k = E[lap_W T_k] are sums of moments: each pair of factors taken out of two
monomials leaves a monomial. So are the residuals psi_k = sum_l A_kl theta_l - b_k at fixed couplings. Everything is in
the scaled fields of `basis.py`.
"""

import numpy as np
from scipy.sparse import csr_matrix

from ...models.combinatorics import rank, tuple_count
from ...models.types import ByOrder, Matrix, Vector
from .basis import Basis

__all__ = ["gram_matrix", "laplacian_vector", "psi_map"]


def _products(basis: Basis) -> tuple[list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]], int]:
    """All entries of grad m_k . W grad m_l: (order of moment, row k, column l, position of the moment, factor W)."""
    points = len(basis.scale)
    tables = [(0, basis.pairs), (len(basis.pairs), basis.quads)]
    entries = []
    for row, left in tables:
        for column, right in tables:
            order = left.shape[1] + right.shape[1] - 2
            for i in range(left.shape[1]):
                for j in range(right.shape[1]):
                    rest_left, rest_right = np.delete(left, i, axis=1), np.delete(right, j, axis=1)
                    shape = (len(left), len(right))
                    joined = np.concatenate(
                        [
                            np.broadcast_to(rest_left[:, None], (*shape, rest_left.shape[1])),
                            np.broadcast_to(rest_right[None, :], (*shape, rest_right.shape[1])),
                        ],
                        axis=-1,
                    )
                    k, to = np.indices(shape)
                    factor = basis.metric[left[:, i][:, None], right[:, j][None, :]]
                    entries.append((order, k + row, to + column, rank(joined, points), factor))
    return entries, len(basis.pairs) + len(basis.quads)


def _laplacian(basis: Basis) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """All entries of lap_W m_k: (order of moment, row k, position of the moment, factor W)."""
    points = len(basis.scale)
    entries = []
    for row, table in ((0, basis.pairs), (len(basis.pairs), basis.quads)):
        for i in range(table.shape[1]):
            for j in range(i):
                rest = np.delete(table, [i, j], axis=1)
                factor = 2.0 * basis.metric[table[:, i], table[:, j]]
                entries.append((rest.shape[1], np.arange(len(table)) + row, rank(rest, points), factor))
    return entries


def _to_terms(basis: Basis, columns: np.ndarray) -> np.ndarray:
    """Rows on monomials (pairs, then quads) to rows on terms."""
    q = len(basis.pairs)
    return np.concatenate([basis.quadratic @ columns[:q], basis.terms @ columns[q:]])


def gram_matrix(basis: Basis, moments: ByOrder) -> Matrix:
    """A from scaled moments {2, 4, 6: (component,)}, (term, term)."""
    entries, size = _products(basis)
    out = np.zeros((size, size))
    for order, k, to, where, factor in entries:
        out[k, to] += factor * moments[order][where]
    half = _to_terms(basis, out)
    full = _to_terms(basis, half.T).T
    return 0.5 * (full + full.T)


def laplacian_vector(basis: Basis, moments: ByOrder) -> Vector:
    """The right-hand side b from scaled moments, (term,)."""
    out = np.zeros(len(basis.pairs) + len(basis.quads))
    for order, k, where, factor in _laplacian(basis):
        np.add.at(out, k, factor * (1.0 if order == 0 else moments[order][where]))
    return _to_terms(basis, out[:, None])[:, 0]


def psi_map(basis: Basis, theta: Vector) -> csr_matrix:
    """psi(theta) as a linear map on the scaled moments of order 2, 4, 6 (constants dropped), (term, moment)."""
    points, q = len(basis.scale), len(basis.quadratic)
    counts = {r: tuple_count(points, r) for r in (2, 4, 6)}
    offset = {2: 0, 4: counts[2], 6: counts[2] + counts[4]}
    weight = np.concatenate([basis.quadratic.T @ theta[:q], basis.terms.T @ theta[q:]])
    entries, size = _products(basis)
    rows = [k.ravel() for _, k, _, _, _ in entries]
    columns = [offset[r] + where.ravel() for r, _, _, where, _ in entries]
    values = [(factor * weight[to]).ravel() for _, _, to, _, factor in entries]
    for order, k, where, factor in _laplacian(basis):
        if order:
            rows.append(k)
            columns.append(offset[order] + where)
            values.append(-factor)
    monomial = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, sum(counts.values()))
    )
    return csr_matrix(_to_terms(basis, monomial.toarray()))
