"""The ladder of quartic actions: which monomials of the field an effective action may contain.

S = sum_{a<=b} q_ab phi_a phi_b + sum_k theta_k T_k(phi), the quadratic part always free, and T_k one of

    Constant     lambda sum_x w_x phi_x^4                                                   1 coupling
    Local        sum_x w_x lambda(x) phi_x^4                                                M
    Bilocal      sum_xy w_x w_y sum_{i=0..3} lambda_i(x,y) phi(x)^i phi(y)^(4-i)            M(3M-1)/2
    FullQuartic  sum over sorted quads of phi_a phi_b phi_c phi_d                           C(M+3,4)
    FullSextic   the same, and phi_a .. phi_f over sorted 6-tuples                          + C(M+5,6)

The rungs in between: `TranslationInvariant` and `LatticePhi4` (lattice.py), `Modes` (an action of the leading modes of
K). Smooth couplings, or couplings of low rank, are a bilocal action under another prior (`inf.SmoothPrior`).

w_x are the quadrature weights of a continuum grid (one each by default). Of the bilocal couplings only g_a phi_a^4,
u_ab phi_a phi_b^3 (a != b) and v_ab phi_a^2 phi_b^2 (a < b) are identifiable; `gauge` turns them into lambda_i(x,y)
in the stated gauge (lambda_0 diagonal, lambda_1 = lambda_3^T, lambda_2 symmetric, the last three without diagonal) and
`identifiable` maps couplings in any gauge back. Talk "Neural Network Field Theories", eq. for S; 2307.03223 sec. 4.
"""

from collections.abc import Mapping
from typing import NoReturn

import equinox as eqx
import numpy as np

from ..combinatorics import sorted_tuples, tuple_count
from ..types import Tuples, Vector
from .base import AbstractAction, Symbol
from .monomials import Monomials, each

__all__ = [
    "Bilocal",
    "Constant",
    "FullQuartic",
    "FullSextic",
    "Local",
    "LowRankBilocal",
    "Modes",
    "SmoothBilocal",
    "bilocal_blocks",
    "gauge",
    "identifiable",
]


_QUADRATIC = r"S = \sum_{a\le b} q_{ab}\,\varphi_a\varphi_b + "
_BILOCAL = rf"{_QUADRATIC}\sum_{{x,y}} w_x w_y \sum_{{i=0}}^{{3}} \lambda_i(x,y)\,\varphi(x)^i\varphi(y)^{{4-i}}"
_GAUGE = (
    r"Different $\lambda_i$ can give the same S. What can be told apart are the coefficients $g_a$ of $\varphi_a^4$, "
    r"$u_{ab}$ of $\varphi_a\varphi_b^3$ (a ≠ b) and $v_{ab}$ of $\varphi_a^2\varphi_b^2$ (a < b), and these are "
    r"fitted. The $\lambda_i$ are shown in one gauge: $\lambda_0$ diagonal, $\lambda_1$ the transpose of $\lambda_3$, "
    r"$\lambda_2$ symmetric, and no diagonal in the last three. That is, $\lambda_0(a,a) = g_a/w_a^2$, "
    r"$\lambda_1(a,b) = \lambda_3(b,a) = u_{ab}/(2w_aw_b)$, $\lambda_2(a,b) = \lambda_2(b,a) = v_{ab}/(2w_aw_b)$."
)
_QUARTIC = r"\sum_{a\le b\le c\le d} g_{abcd}\,\varphi_a\varphi_b\varphi_c\varphi_d"
_SEXTIC = r"\sum_{a\le\cdots\le f} g_{abcdef}\,\varphi_a\cdots\varphi_f"
_PAIR = AbstractAction.symbols
_LAMBDA = {**_PAIR, "coupling": Symbol(r"\lambda", plain="lambda")}
_G = {**_PAIR, "g": Symbol("g", "x")}
_GUV = {**_G, "u": Symbol("u", "ordered_pair"), "v": Symbol("v", "cross_pair")}
_FULL = {**_PAIR, "g4": Symbol("g", "quad"), "g6": Symbol("g", "sextuple")}


class Constant(AbstractAction):
    """One coupling: S4 = lambda sum_x w_x phi_x^4."""

    symbols = _LAMBDA
    name = "constant quartic action"
    formula = rf"{_QUADRATIC}\lambda\sum_x w_x\,\varphi(x)^4"
    meaning = "One coupling, the same at every point."

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"coupling": np.zeros((1, 0), dtype=np.int64)}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return (Monomials(np.zeros(points, dtype=np.int64), _power_four(points), np.asarray(weights, dtype=float), 1),)


class Local(AbstractAction):
    """One coupling a point: S4 = sum_x w_x lambda(x) phi_x^4, stored as g_x = w_x lambda(x)."""

    symbols = _G
    name = "local quartic action"
    formula = rf"{_QUADRATIC}\sum_x w_x\,\lambda(x)\,\varphi(x)^4"
    meaning = r"The table gives $g_a = w_a\,\lambda(x_a)$."

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"g": np.arange(points)[:, None]}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return (each(_power_four(points)),)


class Bilocal(AbstractAction):
    """The bilocal action lambda_i(x,y), i = 0..3, by its identifiable content g_a, u_ab (a != b), v_ab (a < b)."""

    symbols = _GUV
    name = "bilocal quartic action"
    formula = _BILOCAL
    meaning = _GAUGE

    def blocks(self, points: int) -> dict[str, Tuples]:
        return bilocal_blocks(points)

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return (_bilocal(points),)


class FullQuartic(AbstractAction):
    """Every quartic monomial: S4 = sum over a<=b<=c<=d of g4_abcd phi_a phi_b phi_c phi_d.

    Example, C(M+3, 4) couplings:
        >>> FullQuartic().size(4)
        35
    """

    symbols = _FULL
    name = "full quartic action"
    formula = _QUADRATIC + _QUARTIC
    meaning = (
        "One coupling for each sorted quadruple of points: every quartic monomial. Quadrature weights are absorbed."
    )
    complete = True

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"g4": sorted_tuples(points, 4)}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return (each(sorted_tuples(points, 4)),)

    def size(self, points: int) -> int:
        """Number of couplings, counted and not listed: at 100 points there are four millions."""
        return tuple_count(points, 4)


class FullSextic(AbstractAction):
    """Every quartic and every sextic monomial: what a fit must hold before it is compared with NLO diagrams.

    Example, C(M+3, 4) and C(M+5, 6) couplings:
        >>> FullSextic().size(4)
        119
    """

    symbols = _FULL
    name = "full sextic action"
    formula = rf"{_QUADRATIC}{_QUARTIC} + {_SEXTIC}"
    meaning = (
        "One coupling for each sorted quadruple and each sorted sextuple of points. Quadrature weights are absorbed."
    )
    complete = True
    degree = 6

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"g4": sorted_tuples(points, 4), "g6": sorted_tuples(points, 6)}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return each(sorted_tuples(points, 4)), each(sorted_tuples(points, 6))

    def size(self, points: int) -> int:
        """Number of couplings, counted and not listed."""
        return tuple_count(points, 4) + tuple_count(points, 6)


class Modes(AbstractAction):
    """An action of the leading modes of K: fields c_k = v_k . phi/sqrt(kappa_k), K v_k = kappa_k v_k, of unit variance.

    The couplings are those of the marginal density of these modes; the rest of the field is integrated out.

    Attributes:
        count: number of modes kept.
        action: the action of the modes, in place of points.

    Raises:
        ValueError: fewer than one mode, or an action of places.

    Example:
        >>> Modes(3, FullQuartic()).count
        3
    """

    count: int = eqx.field(static=True)
    action: AbstractAction = eqx.field(default=FullQuartic(), static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"expected a number of modes >= 1, got {self.count!r}; try Modes(count=4)")

    def blocks(self, points: int) -> dict[str, Tuples]:
        return self.action.blocks(points)

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        return self.action.interaction(points, weights)

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return self.action.symbols

    @property
    def name(self) -> str:
        return f"{self.action.name} of {self.count} mode{'s' if self.count > 1 else ''}"

    @property
    def formula(self) -> str:
        return _in_modes(self.action.formula)

    @property
    def meaning(self) -> str:
        kept = "of the mode" if self.count == 1 else f"of the {self.count} leading modes"
        inner = _in_modes(self.action.meaning).replace("of points", "of modes")
        return (
            r"$c_k = v_k\cdot\varphi/\kappa_k^{1/2}$ with $K v_k = \kappa_k v_k$, of unit variance: S is that "
            f"{kept}, the rest of the field integrated out. {inner}"
        )

    @property
    def belongs(self) -> str:
        return "The couplings belong to these modes: another number of modes, or another set of points, has other ones."

    @property
    def degree(self) -> int:
        return self.action.degree

    @property
    def of_modes(self) -> int:
        return self.count

    @property
    def even(self) -> bool:
        return self.action.even

    @property
    def symmetric(self) -> bool:
        return True


def _in_modes(tex: str) -> str:
    """A formula of the field as one of its modes."""
    return tex.replace(r"\varphi(x)", "c_x").replace(r"\varphi", "c")


def SmoothBilocal(discrepancy: bool = True) -> NoReturn:
    """Refused with the prior that it is.

    Raises:
        ValueError: always.

    Example:
        >>> SmoothBilocal()
        Traceback (most recent call last):
        ValueError: expected an action, got a prior; try inf.fit(data, m.Bilocal(), prior=inf.SmoothPrior(), ...
    """
    _no_action(f"SmoothPrior({'' if discrepancy is True else f'discrepancy={discrepancy!r}'})")


def LowRankBilocal(rank: int = 1) -> NoReturn:
    """Refused with the prior that it is.

    Raises:
        ValueError: always.

    Example:
        >>> LowRankBilocal()
        Traceback (most recent call last):
        ValueError: expected an action, got a prior; try inf.fit(data, m.Bilocal(), prior=inf.LowRankPrior(rank=1), ...
    """
    _no_action(f"LowRankPrior(rank={rank!r})")


def _no_action(prior: str) -> NoReturn:
    raise ValueError(f"expected an action, got a prior; try inf.fit(data, m.Bilocal(), prior=inf.{prior}, key=key)")


def gauge(blocks: Mapping[str, np.ndarray], weights: Vector) -> np.ndarray:
    """lambda_i(x,y) in the stated gauge from the identifiable couplings, (..., i, x, y).

    lambda_0(a,a) = g_a/w_a^2; lambda_1(a,b) = lambda_3(b,a) = u_ab/(2 w_a w_b); lambda_2(a,b) = lambda_2(b,a) =
    v_ab/(2 w_a w_b). On a continuum grid the local part is lambda(x) delta(x-y) with delta_aa = 1/w_a.

    Args:
        blocks: "coupling" (..., 1), or "g" (..., M) and optionally "u" (..., M(M-1)), "v" (..., M(M-1)/2).
        weights: quadrature weights, (point,).

    Raises:
        ValueError: couplings of another number than the points have.

    Example, one coupling g at each of two points, w = 1: lambda_0 is diagonal:
        >>> gauge({"g": np.array([0.1, 0.2])}, np.ones(2))[0].tolist()
        [[0.1, 0.0], [0.0, 0.2]]
    """
    count = len(weights)
    g = np.asarray(blocks["coupling"]) * weights if "coupling" in blocks else np.asarray(blocks["g"])
    lam = np.zeros((*g.shape[:-1], 4, count, count))
    a = np.arange(count)
    lam[..., 0, a, a] = g / weights**2
    if "u" in blocks:
        names = bilocal_blocks(count)
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

    Example, lambda_2 alone, off the diagonal, is v:
        >>> lam = np.zeros((4, 2, 2))
        >>> lam[2] = [[0.0, 0.5], [0.5, 0.0]]
        >>> identifiable(lam)["v"].tolist()
        [1.0]
    """
    lam = np.asarray(lam, dtype=float)
    if lam.ndim < 3 or lam.shape[-3] != 4 or lam.shape[-1] != lam.shape[-2]:
        raise ValueError(f"expected lambda of shape (..., i=4, x, y), got {lam.shape}; try stacking lambda_0..lambda_3")
    count = lam.shape[-1]
    w = np.ones(count) if weights is None else np.asarray(weights, dtype=float)
    lam = lam * (w[:, None] * w)
    names = bilocal_blocks(count)
    a, (x, y), (p, q) = np.arange(count), names["u"].T, names["v"].T
    return {
        "g": lam[..., 0, :, :].sum(axis=-2) + lam[..., 1:, a, a].sum(axis=-2),
        "u": lam[..., 1, x, y] + lam[..., 3, y, x],
        "v": lam[..., 2, p, q] + lam[..., 2, q, p],
    }


def bilocal_blocks(points: int) -> dict[str, Tuples]:
    """Labels of g_a, u_ab (a != b) and v_ab (a < b)."""
    ordered = [(a, b) for a in range(points) for b in range(points) if a != b]
    return {
        "g": np.arange(points)[:, None],
        "u": np.array(ordered, dtype=np.int64).reshape(-1, 2),
        "v": np.array([(a, b) for a, b in ordered if a < b], dtype=np.int64).reshape(-1, 2),
    }


def _bilocal(points: int) -> Monomials:
    blocks = bilocal_blocks(points)
    g, u, v = blocks["g"], blocks["u"], blocks["v"]
    return each(np.concatenate([g[:, [0, 0, 0, 0]], u[:, [0, 1, 1, 1]], v[:, [0, 0, 1, 1]]]))


def _power_four(points: int) -> Tuples:
    return np.repeat(np.arange(points)[:, None], 4, axis=1)
