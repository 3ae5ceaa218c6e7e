"""The ladder of quartic actions: which monomials of the field an effective action may contain.

S = sum_{a<=b} q_ab phi_a phi_b + sum_k theta_k T_k(phi), the quadratic part always free, and T_k one of

    Constant     lambda sum_x w_x phi_x^4                                                   1 coupling
    Local        sum_x w_x lambda(x) phi_x^4                                                M
    Bilocal      sum_xy w_x w_y sum_{i=0..3} lambda_i(x,y) phi(x)^i phi(y)^(4-i)            M(3M-1)/2
    FullQuartic  sum over sorted quads of phi_a phi_b phi_c phi_d                           C(M+3,4)

w_x are the quadrature weights of a continuum grid (one each by default). Of the bilocal couplings only g_a phi_a^4,
u_ab phi_a phi_b^3 (a != b) and v_ab phi_a^2 phi_b^2 (a < b) are identifiable; `gauge` turns them into lambda_i(x,y)
in the stated gauge (lambda_0 diagonal, lambda_1 = lambda_3^T, lambda_2 symmetric, the last three without diagonal) and
`identifiable` maps couplings in any gauge back. Talk "Neural Network Field Theories", eq. for S; 2307.03223 sec. 4.
"""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import numpy as np

from .combinatorics import rank, sorted_tuples
from .networks import nearest
from .types import Matrix, Tuples, Vector

__all__ = [
    "ACTIONS",
    "AbstractAction",
    "Bilocal",
    "Constant",
    "FullQuartic",
    "Local",
    "action_named",
    "gauge",
    "identifiable",
]


class AbstractAction(eqx.Module):
    """A family of quartic actions, linear in its couplings."""

    @abstractmethod
    def blocks(self, points: int) -> dict[str, Tuples]:
        """Coupling names -> their labels, (coupling, label): point indices that name each coupling."""

    @abstractmethod
    def monomials(self, points: int, weights: Vector) -> Matrix:
        """(coupling, quad): coefficient of each sorted quartic monomial in T_k."""

    def size(self, points: int) -> int:
        """Number of quartic couplings at M points."""
        return sum(len(labels) for labels in self.blocks(points).values())


class Constant(AbstractAction):
    """One coupling: S4 = lambda sum_x w_x phi_x^4."""

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"coupling": np.zeros((1, 0), dtype=np.int64)}

    def monomials(self, points: int, weights: Vector) -> Matrix:
        return (weights[:, None] * _power_four(points)).sum(axis=0, keepdims=True)


class Local(AbstractAction):
    """One coupling a point: S4 = sum_x w_x lambda(x) phi_x^4, stored as g_x = w_x lambda(x)."""

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"g": np.arange(points)[:, None]}

    def monomials(self, points: int, weights: Vector) -> Matrix:
        return _power_four(points)


class Bilocal(AbstractAction):
    """The bilocal action lambda_i(x,y), i = 0..3, by its identifiable content g_a, u_ab (a != b), v_ab (a < b)."""

    def blocks(self, points: int) -> dict[str, Tuples]:
        ordered = [(a, b) for a in range(points) for b in range(points) if a != b]
        return {
            "g": np.arange(points)[:, None],
            "u": np.array(ordered, dtype=np.int64).reshape(-1, 2),
            "v": np.array([(a, b) for a, b in ordered if a < b], dtype=np.int64).reshape(-1, 2),
        }

    def monomials(self, points: int, weights: Vector) -> Matrix:
        blocks = self.blocks(points)
        g, u, v = blocks["g"], blocks["u"], blocks["v"]
        quads = np.concatenate([g[:, [0, 0, 0, 0]], u[:, [0, 1, 1, 1]], v[:, [0, 0, 1, 1]]])
        return _selector(quads, points)


class FullQuartic(AbstractAction):
    """Every quartic monomial: S4 = sum over a<=b<=c<=d of g4_abcd phi_a phi_b phi_c phi_d."""

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"g4": sorted_tuples(points, 4)}

    def monomials(self, points: int, weights: Vector) -> Matrix:
        return np.eye(len(sorted_tuples(points, 4)))


ACTIONS: dict[str, type[AbstractAction]] = {
    "constant": Constant,
    "local": Local,
    "bilocal": Bilocal,
    "full_quartic": FullQuartic,
}


def action_named(name: str) -> AbstractAction:
    """The action of that name; an unknown name is refused with the nearest known one."""
    if name not in ACTIONS:
        raise ValueError(
            f"expected an action among {', '.join(ACTIONS)}, got {name!r}; try {nearest(name, list(ACTIONS))!r}"
        )
    return ACTIONS[name]()


def gauge(blocks: Mapping[str, np.ndarray], weights: Vector) -> np.ndarray:
    """lambda_i(x,y) in the stated gauge from the identifiable couplings, (..., i, x, y).

    lambda_0(a,a) = g_a/w_a^2; lambda_1(a,b) = lambda_3(b,a) = u_ab/(2 w_a w_b); lambda_2(a,b) = lambda_2(b,a) =
    v_ab/(2 w_a w_b). On a continuum grid the local part is lambda(x) delta(x-y) with delta_aa = 1/w_a.

    Args:
        blocks: "coupling" (..., 1), or "g" (..., M) and optionally "u" (..., M(M-1)), "v" (..., M(M-1)/2).
        weights: quadrature weights, (point,).
    """
    count = len(weights)
    g = np.asarray(blocks["coupling"]) * weights if "coupling" in blocks else np.asarray(blocks["g"])
    lam = np.zeros((*g.shape[:-1], 4, count, count))
    a = np.arange(count)
    lam[..., 0, a, a] = g / weights**2
    if "u" in blocks:
        names = Bilocal().blocks(count)
        (x, y), (p, q) = names["u"].T, names["v"].T
        cross = np.asarray(blocks["u"]) / (2.0 * weights[x] * weights[y])
        lam[..., 1, x, y] = cross
        lam[..., 3, y, x] = cross
        squares = np.asarray(blocks["v"]) / (2.0 * weights[p] * weights[q])
        lam[..., 2, p, q] = squares
        lam[..., 2, q, p] = squares
    return lam


def identifiable(lam: np.ndarray, weights: Vector | None = None) -> dict[str, np.ndarray]:
    """(g, u, v) from lambda_i(x,y) in any gauge, (..., i, x, y) with i = 0..3.

    g_a = sum_x w_x w_a lambda_0(x,a) + w_a^2 [lambda_1 + lambda_2 + lambda_3](a,a), u_ab = w_a w_b [lambda_1(a,b) +
    lambda_3(b,a)], v_ab = w_a w_b [lambda_2(a,b) + lambda_2(b,a)].

    Raises:
        ValueError: not four square slices.
    """
    lam = np.asarray(lam, dtype=float)
    if lam.ndim < 3 or lam.shape[-3] != 4 or lam.shape[-1] != lam.shape[-2]:
        raise ValueError(f"expected lambda of shape (..., i=4, x, y), got {lam.shape}; try stacking lambda_0..lambda_3")
    count = lam.shape[-1]
    w = np.ones(count) if weights is None else np.asarray(weights, dtype=float)
    lam = lam * (w[:, None] * w)
    names = Bilocal().blocks(count)
    a, (x, y), (p, q) = np.arange(count), names["u"].T, names["v"].T
    return {
        "g": lam[..., 0, :, :].sum(axis=-2) + lam[..., 1:, a, a].sum(axis=-2),
        "u": lam[..., 1, x, y] + lam[..., 3, y, x],
        "v": lam[..., 2, p, q] + lam[..., 2, q, p],
    }


def _power_four(points: int) -> Matrix:
    return _selector(np.repeat(np.arange(points)[:, None], 4, axis=1), points)


def _selector(quads: Tuples, points: int) -> Matrix:
    """One row a quad, a single one at the position of its sorted tuple."""
    out = np.zeros((len(quads), len(sorted_tuples(points, 4))))
    out[np.arange(len(quads)), rank(quads, points)] = 1.0
    return out
