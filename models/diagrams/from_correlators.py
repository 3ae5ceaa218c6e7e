"""From correlators to the couplings of the action: the Taylor coefficients of -log P, as a series in 1/width.

    S = -log P = 1/2 phi g2 phi + (1/4!) g4 phi^4 + (1/6!) g6 phi^6 + const

P is the Fourier transform of exp W[iJ], a field theory of J with propagator G2^-1, so every g_r is the sum of all
connected diagrams with r legs whose n-valent vertices are +G_c^(n) and whose lines, inner and outer, are G2^-1, with
the usual symmetry factors and the overall sign -(-1)^(inner lines). A vertex G_c^(n) counts N^(1-n/2). Hence

    to 1/N:    g4 = -G4c,                                  g2 = G2^-1 + (1/2) G4c
    to 1/N^2:  g4 += (1/2) G6c - (3/2 + 2) G4c G4c,        g2 += 1/N^2 terms,       g6 = -G6c + 10 G4c G4c

(a G2^-1 understood on every leg and line; 3/2 and 10 are weights times ways to attach the legs). These are all terms of
these orders: g6 starts at 1/N^2, g8 at 1/N^3. Demirtas et al. arXiv:2307.03223, with the sign (-1)^r of the Edgeworth
operator instead of the (-i)^r sometimes printed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..actions.boundedness import minimum_on_sphere
from ..arrays import attach, dense, unique
from ..combinatorics import multiplicities, sorted_tuples
from ..correlators import Correlators, check_scrambles
from ..types import Matrix, Vector
from .from_couplings import non_gaussianity
from .graphs import connected_sum

__all__ = ["EffectiveCouplings", "effective_couplings"]

CONDITION_LIMIT = 1e6  # of the Gram matrix: beyond it, fourth powers of its inverse are round-off
EPS4_LIMIT, RHO_LIMIT = 0.3, 0.1
_ORDERS = {"leading": 1, "next": 2}  # powers of 1/N


class EffectiveCouplings(NamedTuple):
    """Couplings of S = 1/2 phi g2 phi + (1/4!) g4 phi^4 + (1/6!) g6 phi^6; tensors on sorted tuples (component,).

    Attributes:
        order: "leading" (all terms to 1/N) or "next" (to 1/N^2).
        g2: G2^-1 plus its counterterms, (point, point).
        g4: components g4_abcd of the symmetric tensor on sorted quads.
        g6: the same on sorted 6-tuples, at its leading order 1/N^2; None at order "leading", where it is zero.
        gamma4: the one-particle irreducible vertex, exactly -G4c amputated: not g4, from which it differs by loops.
        gamma6: -G6c + 10 G4c G4c amputated, exact too (and so equal to g6 at its leading order); None without G6c.
        eps4: [(1/24) ||whitened G4c||^2]^(1/2), the distance to the Gaussian; noise subtracted where measured.
        rho: ||g4(next) - g4(leading)||/||g4(leading)|| in the whitened norm; None without G6c. The norm holds
            the noise of its components: of measured correlators it is too large by something like its error.
        minimum: smallest (1/4!) g4 phi^4 over phi G2^-1 phi = 1; negative: exp(-S) cut off at phi^4 has no integral.
        condition: of the Gram matrix in units of the standard deviations.
        rows: name -> (row, component), covariance = rows^T rows to first order, of the above; empty if exact.
    """

    order: str
    g2: Matrix
    g4: Vector
    g6: Vector | None
    gamma4: Vector
    gamma6: Vector | None
    eps4: float
    rho: float | None
    minimum: float
    condition: float
    rows: Mapping[str, np.ndarray]

    @property
    def quadratic(self) -> Vector:
        """Coefficients of the sorted monomials phi_a phi_b, (pair,), as `predicted` takes them."""
        return unique(self.g2) * multiplicities(sorted_tuples(len(self.g2), 2)) / 2.0

    @property
    def quartic(self) -> Vector:
        """Coefficients of the sorted quartic monomials, (quad,), as `predicted` and the fits have them."""
        return self.g4 * multiplicities(sorted_tuples(len(self.g2), 4)) / 24.0

    @property
    def sextic(self) -> Vector | None:
        """Coefficients of the sorted sextic monomials, (component,); None at order "leading"."""
        return None if self.g6 is None else self.g6 * multiplicities(sorted_tuples(len(self.g2), 6)) / 720.0

    def error(self, name: str) -> np.ndarray:
        """One standard error of "g2", "g4", "g6", "gamma4", "gamma6" or "rho"; zero if the correlators were exact."""
        value = np.asarray(getattr(self, name), dtype=float)
        return np.sqrt(np.sum(self.rows[name] ** 2, axis=0)) if name in self.rows else np.zeros_like(value)

    def action(self, fields: Float[np.ndarray, "*many point"]) -> Float[np.ndarray, "*many"]:
        """S at given fields, up to the constant."""
        parts = [(self.quadratic, 2), (self.quartic, 4)] + ([] if self.sextic is None else [(self.sextic, 6)])
        terms = [np.prod(fields[..., sorted_tuples(len(self.g2), r)], axis=-1) @ part for part, r in parts]
        return np.sum(terms, axis=0)

    def __str__(self) -> str:
        size = "1/N" if self.order == "leading" else "1/N^2"
        far = "below it" if self.eps4 < EPS4_LIMIT else "do not speak of an action, stay with the correlators"
        if self.rho is None:
            rho, good = "-", "not known without the six-point function"
        else:
            rho = f"{self.rho:.3g}" + (f" +- {float(self.error('rho')[0]):.2g}" if "rho" in self.rows else "")
            good = "leading order is good" if self.rho < RHO_LIMIT else "leading order is not good"
        bound = "it cannot be normalised" if self.minimum < 0.0 else "no direction found in which it cannot"
        return "\n".join(
            [
                f"effective action at {len(self.g2)} points, all terms to {size}",
                f"eps4 = {self.eps4:.3g}: distance to the Gaussian, limit {EPS4_LIMIT:g}: {far}",
                f"rho = {rho}: next over leading order of g4, whitened norm, limit {RHO_LIMIT:g}: {good}",
                f"minimum = {self.minimum:.3g}: quartic form over phi G2^-1 phi = 1, exp(-S) to phi^4: {bound}",
            ]
        )

    __repr__ = __str__


def effective_couplings(correlators: Correlators, *, order: str = "next") -> EffectiveCouplings:
    """The couplings of the action from connected functions, all diagrams to order 1/N ("leading") or 1/N^2 ("next").

    This is the Taylor series of -log P. A fit of an action cut off at phi^4 is a projection of it: it differs from g4
    at relative order 1/N, with the opposite sign of the next order, because it has to stand in for g6.

    Args:
        correlators: exact or measured, of a field with phi -> -phi: orders 2 and 4, and 6 for "next". Errors are
            carried to first order, each component by itself (half a minute at six points and order "next").
        order: "leading" or "next".

    Raises:
        ValueError: an order that is missing or refused, odd orders present, a Gram matrix too close to singular (its
            condition number is given), more than ten points at order "next" or 31 at "leading".

    Example, one site of a cos-net with N = 100: the next order is 5 % of g4.

        >>> from nnft.models import Cos, Network, exact
        >>> couplings = effective_couplings(exact(Network(Cos(), width=100), np.zeros((1, 1))))
        >>> round(float(couplings.g4[0] / couplings.gamma4[0]), 4), round(couplings.rho, 4)
        (1.0525, 0.0525)
    """
    if order not in _ORDERS:
        raise ValueError(f"expected order 'leading' or 'next', got {order!r}; try order='next'")
    if not correlators.even:
        raise ValueError(
            f"expected correlators of a field with phi -> -phi, got even=False with orders {correlators.orders}; "
            "try making them with even=True where the odd orders are compatible with zero"
        )
    count = len(correlators.points)
    if count ** (6 if order == "next" else 4) > 1e6:
        legs, other = (6, "order='leading' or ") if order == "next" else (4, "")
        raise ValueError(f"expected at most 1e6 dense entries, got {count}^{legs}; try {other}fewer points")
    if order == "next" and 6 not in correlators.cumulants and 6 not in correlators.refused:
        raise ValueError(
            f"expected the connected functions of orders 2, 4, 6 for order='next', got {correlators.orders}; "
            "try making them with orders=(2, 4, 6), or order='leading'"
        )
    sixth = order == "next" or (6 in correlators.cumulants and count**6 <= 1e6)
    given = {r: correlators.connected(r) for r in ((2, 4, 6) if sixth else (2, 4))}
    check_scrambles(correlators, len(given[4]), "eps4")
    condition = _condition(dense(given[2], count, 2))
    values = _rule(given, count, _ORDERS[order])
    return EffectiveCouplings(
        order=order,
        g2=dense(values["g2"], count, 2),
        g4=values["g4"],
        g6=values.get("g6"),
        gamma4=values["gamma4"],
        gamma6=values.get("gamma6"),
        eps4=non_gaussianity(given[4], correlators.rows.get("connected", {}).get(4), dense(given[2], count, 2))[0],
        rho=float(values["rho"][0]) if "rho" in values else None,
        minimum=float(minimum_on_sphere(values["form"][None], count)[0]),
        condition=condition,
        rows=_rows(correlators, given, count, _ORDERS[order]),
    )


def _rule(given: Mapping[int, np.ndarray], points: int, power: int) -> dict[str, np.ndarray]:
    """Every number of `EffectiveCouplings` that is a function of the connected functions, on sorted tuples.

    In units where G2 = 1 every line is the unit matrix: G2 = root root^T, legs of G_c carry root^-1, legs of g root^T.
    """
    root = np.linalg.cholesky(dense(given[2], points, 2))
    inverse = np.linalg.inv(root)
    vertices = {r: attach(dense(given[r], points, r), inverse) for r in given if r > 2}

    def term(legs: int, k: int) -> Vector:
        """The order N^-k of g_legs: minus the diagrams, each line -1."""
        return -connected_sum(legs, 2 * k, vertices, line=-1.0)

    def physical(values: Vector, legs: int) -> Vector:
        return unique(attach(dense(values, points, legs), inverse.T))

    weight = np.sqrt(multiplicities(sorted_tuples(points, 4)))
    leading, quadratic = term(4, 1), unique(np.eye(points)) + term(2, 1)
    quartic, out = leading, {"gamma4": physical(leading, 4)}
    if 6 in given:
        step, sextic = term(4, 2), term(6, 2)
        size = np.linalg.norm(weight * leading)
        out["rho"] = np.array([np.linalg.norm(weight * step) / size if size > 0.0 else 0.0])
        out["gamma6"] = physical(sextic, 6)
        if power == 2:
            quadratic, quartic, out["g6"] = quadratic + term(2, 2), leading + step, out["gamma6"]
    form = quartic * weight**2 / 24.0
    return out | {"g2": physical(quadratic, 2), "g4": physical(quartic, 4), "form": form}


def _rows(correlators: Correlators, given: Mapping[int, np.ndarray], points: int, power: int) -> dict[str, np.ndarray]:
    """Errors to first order: each row of the covariance of all connected functions together, through the rule."""
    stacks = correlators.rows.get("connected", {})
    depth = max((len(stacks[r]) for r in given if r in stacks), default=0)
    if depth == 0:
        return {}
    joint = np.zeros((depth, sum(map(len, given.values()))))
    cuts = np.cumsum([len(value) for value in given.values()])[:-1]
    for block, r in zip(np.split(joint, cuts, axis=1), given):  # views: filled in place, zero where an order is exact
        block[: len(stacks.get(r, ()))] = stacks.get(r, 0.0)
    if depth > joint.shape[1]:
        joint = np.linalg.qr(joint, mode="r")  # the same covariance in fewer rows
    steps = [dict(zip(given, np.split(row, cuts))) for row in joint]
    sides = [
        [_rule({r: given[r] + sign * step[r] for r in given}, points, power) for sign in (1.0, -1.0)] for step in steps
    ]
    return {name: np.stack([(up[name] - down[name]) / 2.0 for up, down in sides]) for name in sides[0][0]}


def _condition(two_point: Matrix) -> float:
    """Condition number in units of the standard deviations, refused where the inverse is round-off."""
    scale = np.sqrt(np.diag(two_point))
    correlation = two_point / np.outer(scale, scale)
    condition = float(np.linalg.cond(correlation))
    if not condition < CONDITION_LIMIT or not np.linalg.eigvalsh(correlation)[0] > 0.0:
        raise ValueError(
            f"expected a Gram matrix that can be inverted (condition number below {CONDITION_LIMIT:.0e}), got "
            f"{condition:.2e}; try points further apart or fewer, or stay with the correlators, which need no inverse"
        )
    return condition
