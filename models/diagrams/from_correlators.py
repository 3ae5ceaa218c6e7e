"""From correlators to the couplings of the action: the Taylor coefficients of -log P, as a series in 1/width.

    S = -log P = 1/2 phi g2 phi + (1/4!) g4 phi^4 + (1/6!) g6 phi^6 + const

of a field with phi -> -phi, and of any other in chi = phi - <phi>, with g1 chi, g3 chi^3/3! and g5 chi^5/5! too. P is
the Fourier transform of exp W[iJ], a field theory of J with propagator G2^-1, so every g_r is the sum of all connected
diagrams with r legs whose n-valent vertices are +G_c^(n) and whose lines, inner and outer, are G2^-1, with the usual
symmetry factors and the overall sign -(-1)^(inner lines). A vertex G_c^(n) counts N^(1-n/2). Hence

    to 1/N:    g4 = -G4c,                                  g2 = G2^-1 + (1/2) G4c
    to 1/N^2:  g4 += (1/2) G6c - (3/2 + 2) G4c G4c,        g2 += 1/N^2 terms,       g6 = -G6c + 10 G4c G4c

(a G2^-1 understood on every leg and line; 3/2 and 10 are weights times ways to attach the legs). These are all terms of
these orders: g6 starts at 1/N^2, g8 at 1/N^3. With odd functions, of order N^(1-r/2) as well,

    to 1/N:    g1 = (1/2) G3c,  g3 = -G3c,  g4 = -G4c + sum_3 G3c G3c,  g2 = G2^-1 + (1/2) G4c - (1/2 + 1/2) G3c G3c

and to 1/N^2 every diagram of that size; g1 and g3 start at N^(-1/2), g5 at N^(-3/2). Demirtas et al. arXiv:2307.03223,
with the sign (-1)^r of the Edgeworth operator instead of the (-i)^r sometimes printed.
"""

from collections.abc import Mapping
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..actions.boundedness import minimum_on_sphere
from ..arrays import attach, dense, points_label, unique
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
    """Couplings of S = 1/2 chi g2 chi + (1/4!) g4 chi^4 + (1/6!) g6 chi^6; tensors on sorted tuples (component,).

    chi = phi - mean, with g1 chi + (1/3!) g3 chi^3 + (1/5!) g5 chi^5 where phi -> -phi is no symmetry. Of several
    fields tuples are of places (point, output), number point D + output.

    Attributes:
        order: "leading" (all terms to 1/N) or "next" (to 1/N^2).
        g2: G2^-1 plus its counterterms, (point, point).
        g4: components g4_abcd of the symmetric tensor on sorted quads.
        g6: the same on sorted 6-tuples, at its leading order 1/N^2; None at order "leading", where it is zero.
        gamma4: the one-particle irreducible vertex, exactly -G4c amputated (less exchanges of G3c): not g4, from which
            it differs by loops.
        gamma6: -G6c + 10 G4c G4c .. amputated, exact too (and so equal to g6 at its leading order); None without G6c.
        eps4: [(1/24) ||whitened G4c||^2]^(1/2), the distance to the Gaussian; noise subtracted where measured.
        rho: ||g4(next) - g4(leading)||/||g4(leading)|| in the whitened norm; None without G6c. The norm holds
            the noise of its components: of measured correlators it is too large by something like its error.
        minimum: smallest (1/4!) g4 phi^4 over phi G2^-1 phi = 1; negative: exp(-S) cut off at phi^4 has no integral.
        condition: of the Gram matrix in units of the standard deviations.
        rows: name -> (row, component), covariance = rows^T rows to first order, of the above; empty if exact.
        g1, g3, g5: odd couplings, on points, triples, 5-tuples; None of an even field, g5 at order "leading" too.
        mean: <phi>, about which S is expanded, (place,); zero of an even field.
        eps3: [(1/6) ||whitened G3c||^2]^(1/2), the other part of the distance; noise subtracted where measured.
        outputs: number of fields D.
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
    g1: Vector | None = None
    g3: Vector | None = None
    g5: Vector | None = None
    mean: Vector | None = None
    eps3: float = 0.0
    outputs: int = 1

    @property
    def cubic(self) -> Vector | None:
        """Coefficients of the sorted cubic monomials of chi, (triple,); None of an even field."""
        return self._monomials(self.g3, 3)

    @property
    def quintic(self) -> Vector | None:
        """Coefficients of the sorted monomials of degree five, (component,); None of an even field, or at "leading"."""
        return self._monomials(self.g5, 5)

    def _monomials(self, tensor: Vector | None, degree: int) -> Vector | None:
        if tensor is None:
            return None
        return tensor * multiplicities(sorted_tuples(len(self.g2), degree)) / factorial(degree)

    @property
    def quadratic(self) -> Vector:
        """Coefficients of the sorted monomials phi_a phi_b, (pair,), as `predicted` takes them."""
        return unique(self.g2) * multiplicities(sorted_tuples(len(self.g2), 2)) / 2.0

    @property
    def quartic(self) -> Vector:
        """Coefficients of the sorted quartic monomials, (quad,), as `predicted` and the fits have them."""
        return self.g4 * multiplicities(sorted_tuples(len(self.g2), 4)) / factorial(4)

    @property
    def sextic(self) -> Vector | None:
        """Coefficients of the sorted sextic monomials, (component,); None at order "leading"."""
        return self._monomials(self.g6, 6)

    def error(self, name: str) -> np.ndarray:
        """One standard error of "g2", "g4", "g6", "gamma4", "gamma6" or "rho"; zero if the correlators were exact."""
        value = np.asarray(getattr(self, name), dtype=float)
        return np.sqrt(np.sum(self.rows[name] ** 2, axis=0)) if name in self.rows else np.zeros_like(value)

    def action(self, fields: Float[np.ndarray, "*many place"]) -> Float[np.ndarray, "*many"]:
        """S at given fields, up to the constant."""
        chi = fields if self.mean is None else fields - self.mean
        forms = {1: self.g1, 2: self.quadratic, 3: self.cubic, 4: self.quartic, 5: self.quintic, 6: self.sextic}
        known = {r: form for r, form in forms.items() if form is not None}
        terms = [np.prod(chi[..., sorted_tuples(len(self.g2), r)], axis=-1) @ form for r, form in known.items()]
        return np.sum(terms, axis=0)

    def __str__(self) -> str:
        size = "1/N" if self.order == "leading" else "1/N^2"
        odd = f", eps3 = {self.eps3:.3g}" if self.g3 is not None else ""
        far = (
            "below it"
            if np.hypot(self.eps3, self.eps4) < EPS4_LIMIT
            else "do not speak of an action, stay with the correlators"
        )
        if self.rho is None:
            rho, good = "-", "not known without the six-point function"
        else:
            rho = f"{self.rho:.3g}" + (f" +- {float(self.error('rho')[0]):.2g}" if "rho" in self.rows else "")
            good = "leading order is good" if self.rho < RHO_LIMIT else "leading order is not good"
        bound = "it cannot be normalised" if self.minimum < 0.0 else "no direction found in which it cannot"
        return "\n".join(
            [
                f"effective action at {points_label(len(self.g2) // self.outputs, self.outputs)}, all terms to {size}",
                f"eps4 = {self.eps4:.3g}{odd}: distance to the Gaussian, limit {EPS4_LIMIT:g}: {far}",
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
        correlators: exact or measured, of one field or several: orders 2 and 4, and 6 for "next"; where phi -> -phi is
            no symmetry 1 and 3 too, and 5 for "next". Errors are carried to first order, each component by itself (half
            a minute at six points and order "next").
        order: "leading" or "next".

    Raises:
        ValueError: an order that is missing or refused, a Gram matrix too close to singular (its condition number is
            given), more than ten places at order "next" or 31 at "leading".

    Example, one site of a cos-net with N = 100: the next order is 5 % of g4.

        >>> from nnft.models import Cos, Network, exact
        >>> couplings = effective_couplings(exact(Network(Cos(), width=100), np.zeros((1, 1))))
        >>> round(float(couplings.g4[0] / couplings.gamma4[0]), 4), round(couplings.rho, 4)
        (1.0525, 0.0525)

        A readout with a mean: the cubic coupling about the mean is -G3c/G2^3 to leading order.
        >>> from nnft.models import Multiplet, Normals, ReLU
        >>> skewed = exact(Multiplet.of(ReLU(), 1000, Normals((0.3,))), np.ones((1, 1)))
        >>> found = effective_couplings(skewed, order="leading")
        >>> bool(np.isclose(found.g3[0], -skewed.connected(3)[0] / skewed.connected(2)[0] ** 3))
        True
    """
    if order not in _ORDERS:
        raise ValueError(f"expected order 'leading' or 'next', got {order!r}; try order='next'")
    count = correlators.places
    if count ** (6 if order == "next" else 4) > 1e6:
        legs, other = (6, "order='leading' or ") if order == "next" else (4, "")
        raise ValueError(f"expected at most 1e6 dense entries, got {count}^{legs}; try {other}fewer points")
    low, high = ((2, 4), (2, 4, 6)) if correlators.even else ((1, 2, 3, 4), (1, 2, 3, 4, 5, 6))
    known = correlators.cumulants.keys() | correlators.refused.keys()
    if not correlators.even and not known.issuperset(high if order == "next" else low):
        wanted = high if order == "next" else low
        raise ValueError(
            f"expected the connected functions of orders {', '.join(map(str, wanted))} of a field without phi -> -phi, "
            f"got even=False with {correlators.orders}; try making them with even=True where the odd orders are "
            f"compatible with zero{', or order=' + repr('leading') if order == 'next' else ''}"
        )
    if order == "next" and not known.issuperset(high):
        raise ValueError(
            f"expected the connected functions of orders {', '.join(map(str, high))} for order='next', got "
            f"{correlators.orders}; try making them with orders={high}, or order='leading'"
        )
    sixth = order == "next" or (correlators.cumulants.keys() >= {*high} and count**6 <= 1e6)
    given = {r: correlators.connected(r) for r in (high if sixth else low)}
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
        g1=values.get("g1"),
        g3=values.get("g3"),
        g5=values.get("g5"),
        mean=given.get(1, np.zeros(count)),
        eps3=_skewness(correlators, given) if 3 in given else 0.0,
        outputs=correlators.outputs,
    )


def _skewness(correlators: Correlators, given: Mapping[int, np.ndarray]) -> float:
    """[(1/6) ||whitened G3c||^2]^(1/2), less the norm of the noise."""
    count = correlators.places
    whitener = np.linalg.inv(np.linalg.cholesky(dense(given[2], count, 2)))

    def square(values: Vector) -> float:
        return float(np.sum(attach(dense(values, count, 3), whitener) ** 2))

    rows = correlators.rows.get("connected", {}).get(3, np.zeros((0, len(given[3]))))
    if len(rows) > rows.shape[1]:
        rows = np.linalg.qr(rows, mode="r")  # the same covariance in fewer rows
    return float(np.sqrt(max(square(given[3]) - sum(square(row) for row in rows), 0.0) / 6.0))


def _rule(given: Mapping[int, np.ndarray], points: int, power: int) -> dict[str, np.ndarray]:
    """Every number of `EffectiveCouplings` that is a function of the connected functions, on sorted tuples.

    In units where G2 = 1 every line is the unit matrix: G2 = root root^T, legs of G_c carry root^-1, legs of g root^T.
    """
    root = np.linalg.cholesky(dense(given[2], points, 2))
    inverse = np.linalg.inv(root)
    vertices = {r: attach(dense(given[r], points, r), inverse) for r in given if r > 2}

    def term(legs: int, excess: int) -> Vector:
        """The order N^(-excess/2) of g_legs: minus the diagrams, each line -1."""
        return -connected_sum(legs, excess, vertices, line=-1.0)

    def physical(values: Vector, legs: int) -> Vector:
        return unique(attach(dense(values, points, legs), inverse.T))

    weight = np.sqrt(multiplicities(sorted_tuples(points, 4)))
    leading, quadratic = term(4, 2), unique(np.eye(points)) + term(2, 2)
    quartic, out = leading, {"gamma4": physical(leading, 4)}
    odd = {1: term(1, 1), 3: term(3, 1)} if 3 in given else {}
    if 6 in given:
        step, sextic = term(4, 4), term(6, 4)
        size = np.linalg.norm(weight * leading)
        out["rho"] = np.array([np.linalg.norm(weight * step) / size if size > 0.0 else 0.0])
        out["gamma6"] = physical(sextic, 6)
        if power == 2:
            quadratic, quartic, out["g6"] = quadratic + term(2, 4), leading + step, out["gamma6"]
            odd = {r: odd.get(r, 0.0) + term(r, 3) for r in (1, 3, 5)} if odd else {}
    form = quartic * weight**2 / 24.0
    out |= {f"g{r}": physical(values, r) for r, values in odd.items()} | ({"mean": given[1]} if 1 in given else {})
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
