"""An action with phi^6 or more, from exact correlators: what a fit must hold before it is compared with diagrams.

S = sum over degrees 2, 4, .., D of all sorted monomials, theta = A^-1 b with A_kl = E[grad T_k . W grad T_l] and
b_k = E[lap_W T_k], which need moments up to order 2D - 2. A fit cut off at phi^4 returns a projection whose g4 differs
from the Taylor coefficient of -log P at relative order 1/N with the opposite sign, because it stands in for g6 too;
with the sextic it agrees with the diagrams at next-to-leading order (arXiv:2307.03223). One site, cosine network,
N = 100, over leading order: .978 (phi^4), 1.048 (phi^6), 1.054 (phi^8), the diagrams at next order 1.0525.
"""

import numpy as np

from ...models.combinatorics import rank, sorted_tuples
from ...models.correlators import Correlators
from ...models.types import Matrix, Vector

__all__ = ["fit_polynomial", "polynomial_equations"]

_RESOLUTION = 1e13


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
    matrix, vector = polynomial_equations(data, degree, metric=metric)
    size = np.sqrt(np.diag(matrix))
    scaled = matrix / np.outer(size, size)
    condition = np.linalg.cond(scaled)
    if not condition < _RESOLUTION:
        raise ValueError(
            f"expected couplings that double precision can tell apart (condition below {_RESOLUTION:.0e}), got "
            f"{condition:.1e}; try a lower degree, fewer points or points further apart"
        )
    theta = np.linalg.solve(scaled, vector / size) / size
    scale = np.sqrt(np.diag(data.tensor(2) if metric is None else np.asarray(metric, dtype=float)))
    tables = {r: sorted_tuples(len(data.points), r) for r in range(2, degree + 1, 2)}
    edges = np.cumsum([0, *map(len, tables.values())])
    return {
        r: theta[row : row + len(table)] / np.prod(scale[table], axis=1)
        for (r, table), row in zip(tables.items(), edges, strict=False)
    }


def polynomial_equations(data: Correlators, degree: int, *, metric: Matrix | None = None) -> tuple[Matrix, Vector]:
    """A and b of the full polynomial action in scaled fields, terms by degree, then sorted tuples.

    Raises:
        ValueError: an odd degree, a moment that is missing.
    """
    if degree < 2 or degree % 2:
        raise ValueError(f"expected an even degree of at least 2, got {degree}; try 6")
    count = len(data.points)
    missing = [r for r in range(2, 2 * degree - 1, 2) if r not in data.moments]
    if missing:
        orders = tuple(range(2, 2 * degree - 1, 2))
        raise ValueError(
            f"expected moments of even orders up to {orders[-1]} for an action of degree {degree}, got none of order "
            f"{missing[0]}; try m.exact(network, points, orders={orders}), or a lower degree"
        )
    w = data.tensor(2) if metric is None else np.asarray(metric, dtype=float)
    scale = np.sqrt(np.diag(w))
    w = w / np.outer(scale, scale)
    moments = {r: data.moment(r) / np.prod(scale[sorted_tuples(count, r)], axis=1) for r in range(2, 2 * degree - 1, 2)}
    moments[0] = np.ones(1)
    tables = {r: sorted_tuples(count, r) for r in range(2, degree + 1, 2)}
    edges = np.cumsum([0, *map(len, tables.values())])
    matrix, vector = np.zeros((edges[-1], edges[-1])), np.zeros(edges[-1])
    for (r, left), row in zip(tables.items(), edges, strict=False):
        here = slice(row, row + len(left))
        for i in range(r):
            for j in range(i):
                rest = np.delete(left, [j, i], axis=1)
                vector[here] += 2.0 * w[left[:, i], left[:, j]] * moments[r - 2][rank(rest, count)]
        for (s, right), column in zip(tables.items(), edges, strict=False):
            there = slice(column, column + len(right))
            matrix[here, there] = _product(left, right, w, moments[r + s - 2], count)
    return matrix, vector


def _product(left: np.ndarray, right: np.ndarray, w: Matrix, moments: Vector, points: int) -> Matrix:
    """E[grad m_k . W grad m_l] of two tables of monomials."""
    out = np.zeros((len(left), len(right)))
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            shape = (len(left), len(right))
            mine = np.broadcast_to(np.delete(left, i, axis=1)[:, None], (*shape, left.shape[1] - 1))
            theirs = np.broadcast_to(np.delete(right, j, axis=1)[None], (*shape, right.shape[1] - 1))
            where = rank(np.concatenate([mine, theirs], axis=-1), points)
            out += w[left[:, i][:, None], right[:, j][None]] * moments[where]
    return out
