"""The generating functional and the probability density of a field, rebuilt from its connected functions.

With a source +J, Z[J] = <exp(J.phi)> and W[J] = log Z[J] = sum_r (1/r!) J^r G_c^(r). The density is Edgeworth's,

    P[phi] = exp( sum_{r>=3} ((-1)^r / r!) G_c^(r) d^r ) N(phi; m, G2) = N(phi; m, G2) sum_n c_n He_n(y),

(arXiv:2307.03223, with (-1)^r, see below). In whitened coordinates y = L^-1 (phi - m), G2 = L L^T, each (-1)^n d^n
turns into the Hermite polynomial He_n(y) = prod_a He_{n_a}(y_a), and the c_n are the coefficients of the polynomial
c(t) = exp( sum_{r>=3} (1/r!) G_c^(r) (L^-T t)^r ): the same that gives Z[J] = exp(J.m + J.G2.J/2) c(L^T J). Since
G_c^(r) ~ N^(1-r/2), "order 4" keeps every term down to 1/N and "order 6" down to 1/N^2: G6 He6/6! + (G4/4!)^2 He8/2 of
an even field, and all products with G3 and G5 of another. With (-i)^r instead, r = 6 has the wrong sign and r = 3 is
imaginary; the sign is fixed by <phi^r>.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy import special

from ..analytic.convergence import check_sources
from ..arrays import attach, in_places, unique
from ..combinatorics import multiplicities, rank, sorted_tuples, tuple_count
from ..correlators import Correlators
from ..types import Matrix, Vector

__all__ = ["CumulantSeries", "Edgeworth", "NegativeShare", "cumulant_series"]

_DIGITS = 1e12  # largest condition^(order/2) of the whitening: four digits are then left of sixteen
_WIDE = 2.0  # width of the second half of the draws in `negative_share`
_CHUNK = 1 << 22  # numbers in memory at a time

Sources = Float[np.ndarray, "source *place"]
PerSource = Float[np.ndarray, " source"]
Densities = Float[np.ndarray, " field"]
Polynomial = dict[int, np.ndarray]  # degree -> coefficients of the monomials on sorted tuples


class CumulantSeries(NamedTuple):
    """W[J] truncated: value, statistical standard error, and the size of the last term kept, each (source,)."""

    value: PerSource
    error: PerSource
    band: PerSource


class NegativeShare(NamedTuple):
    """Where an Edgeworth density is negative.

    `mass` = -(integral of P over P < 0), `share` = the part of the Gaussian N(m, G2) that lies there, each with its
    Monte-Carlo standard error.
    """

    mass: float
    mass_error: float
    share: float
    share_error: float

    def __str__(self) -> str:
        return (
            f"negative on {self.share:.2%} +- {self.share_error:.1%} of the Gaussian measure, "
            f"with mass -{self.mass:.3g} +- {self.mass_error:.1g}"
        )


def cumulant_series(
    correlators: Correlators, sources: Sources, *, orders: Sequence[int] | None = None
) -> CumulantSeries:
    """W[J] = sum_r (1/r!) sum_{a1..ar} J_a1 .. J_ar G_c^(r)_{a1..ar} from the connected functions that are given.

    Args:
        correlators: any maker's.
        sources: J, (source, point), of several fields one for each of them, (source, point, output).
        orders: which r to add up; default all given, the odd ones only where the field is not even.

    Returns:
        value, error from the joint covariance of all orders (zero for exact ones) and band, |last term kept|: no bound
        where the series does not converge (`finite_source`).

    Raises:
        ValueError: an order that is not given, sources that do not fit.

    Example: a Gaussian field has W = J.G2.J/2.

        >>> gaussian = Correlators.from_arrays(np.zeros((1, 1)), connected={2: np.array([4.0])})
        >>> cumulant_series(gaussian, np.array([[0.5]])).value.tolist()
        [0.5]
    """
    j = check_sources(in_places(sources, correlators.points, correlators.outputs), correlators.places)
    given = [r for r in correlators.orders if not (correlators.even and r % 2)]
    chosen = sorted(set(given if orders is None else orders))
    if not chosen:
        raise ValueError(f"expected at least one order, got none of {list(correlators.orders)}; try orders=(2, 4)")
    rows = correlators.rows.get("connected", {})
    term, value = np.zeros(len(j)), np.zeros(len(j))
    spread = np.zeros((max(map(len, rows.values()), default=0), len(j)))
    for order in chosen:
        tuples = correlators.tuples(order)
        weight = np.prod(j[:, tuples], axis=2) * (multiplicities(tuples) / factorial(order))
        term = weight @ correlators.connected(order)
        value += term
        if order in rows:
            spread[: len(rows[order])] += rows[order] @ weight.T
    return CumulantSeries(value, np.sqrt(np.sum(spread**2, axis=0)), np.abs(term))


@dataclass(frozen=True, eq=False)
class Edgeworth:
    """The density of a field at M points, or of several, from its connected functions, to a consistent order in 1/N.

    Args:
        correlators: connected functions of orders 2 to `order`, the odd ones only where the field is not even; order 1
            is the mean (zero if not given).
        order: 4 for every term down to 1/N, 6 down to 1/N^2.

    Raises:
        ValueError: another order, a connected function that is missing, a two-point function that is singular or so ill
            conditioned that its inverse is round-off.

    Example: excess kurtosis 0.24 raises a unit Gaussian by 0.24 He4(0)/4! = 3 % at the top.

        >>> even = Correlators.from_arrays(np.zeros((1, 1)), connected={2: np.array([1.0]), 4: np.array([0.24])})
        >>> (Edgeworth(even).density(np.zeros((1, 1))) * np.sqrt(2 * np.pi)).round(12).tolist()
        [1.03]
    """

    correlators: Correlators
    order: int = field(default=4, kw_only=True)
    mean: Vector = field(init=False, repr=False)
    two_point: Matrix = field(init=False, repr=False)
    _factor: Matrix = field(init=False, repr=False)
    _series: Polynomial = field(init=False, repr=False)

    def __post_init__(self) -> None:
        data, count = self.correlators, self.correlators.places
        if self.order not in (4, 6):
            raise ValueError(f"expected order 4 (1/N) or 6 (1/N^2), got {self.order!r}; try order=4")
        orders = [r for r in range(3, self.order + 1) if not (data.even and r % 2)]
        missing = [r for r in (2, *orders) if r not in data.cumulants]
        if missing:
            advice = "order=4, or even=True where the field has phi -> -phi" if missing[0] == 5 else "measuring it"
            reason = f", refused: {data.refused[missing[0]]}" if missing[0] in data.refused else ""
            raise ValueError(
                f"expected connected functions of orders {[2, *orders]} for order={self.order}, got "
                f"{list(data.orders)} without {missing[0]}{reason}; try {advice}"
            )
        mean = data.connected(1) if 1 in data.cumulants and not data.even else np.zeros(count)
        two_point = data.tensor(2)
        factor = _cholesky(two_point, self.order)
        series = _exponential({r: _whitened(data, r, factor) for r in orders}, self.order - 2, count)
        for name, value in (("mean", mean), ("two_point", two_point), ("_factor", factor), ("_series", series)):
            object.__setattr__(self, name, value)

    def ratio(self, fields: Float[np.ndarray, "field *place"]) -> Densities:
        """P / N(m, G2) = sum_n c_n He_n(y) at the fields, (field,)."""
        return _evaluated(self._series, self._whiten(fields), special.eval_hermitenorm)

    def density(self, fields: Float[np.ndarray, "field *place"]) -> Densities:
        """P[phi] at the fields, (field,), per d^M phi; its integral is one, and it may be negative.

        Fields are (field, point), of several outputs (field, point, output).

        Raises:
            ValueError: fields that do not fit the points.
        """
        return np.exp(self._log_gaussian(fields)) * self.ratio(fields)

    def log_density(self, fields: Float[np.ndarray, "field point"]) -> Densities:
        """The log of P[phi], (field,).

        Raises:
            ValueError: a field at which the density is not positive: the expansion is no probability there.
        """
        ratio = self.ratio(fields)
        bad = np.flatnonzero(ratio <= 0.0)
        if len(bad):
            worst = bad[np.argmin(ratio[bad])]
            raise ValueError(
                f"expected fields where the Edgeworth density is positive, got {len(bad)} of {len(ratio)} with a ratio "
                f"to the Gaussian down to {ratio[worst]:.3g}, at field {worst}; try fields nearer the mean, a larger "
                "width or negative_share"
            )
        return self._log_gaussian(fields) + np.log(ratio)

    def negative_share(self, *, key: jax.Array, draws: int = 100_000) -> NegativeShare:
        """How much of the density is negative, from draws of the Gaussian N(m, G2) and of one twice as wide.

        mass = <max(-P/N, 0)> and share = <P/N < 0> over the Gaussian, its tails included by importance sampling. No
        draw in the region gives zeros without an error: then it is rarer than the draws can see.

        Args:
            key: `jax.random.key(seed)`.
            draws: number of draws; the errors are standard errors over them.
        """
        if draws < 100:
            raise ValueError(f"expected at least 100 draws, got {draws}; try 100_000")
        # Half of the draws twice as wide, all weighted back: a negative tail lies where the Gaussian hardly goes.
        normal = np.asarray(jax.random.normal(key, (draws, len(self.mean))), dtype=float)
        y = normal * np.where(np.arange(draws) % 2, _WIDE, 1.0)[:, None]
        wide = np.exp(0.5 * (1.0 - _WIDE**-2) * np.sum(y**2, axis=1)) / _WIDE ** y.shape[1]
        weight = 2.0 / (1.0 + wide)
        ratio = _evaluated(self._series, y, special.eval_hermitenorm)
        both = weight * np.stack([np.maximum(-ratio, 0.0), np.asarray(ratio < 0.0, dtype=float)])
        (mass, share), errors = both.mean(axis=1), both.std(axis=1, ddof=1) / np.sqrt(draws)
        return NegativeShare(float(mass), float(errors[0]), float(share), float(errors[1]))

    def partition(self, sources: Sources) -> PerSource:
        """Z[J] = exp(J.m + J.G2.J/2) c(L^T J) to the same order, (source,): 1 + G4 J^4/24 + ... times the Gaussian's.

        It is <exp(J.phi)> of `density` exactly, and may be negative with it.
        """
        j = check_sources(in_places(sources, self.correlators.points, self.correlators.outputs), len(self.mean))
        gaussian = np.exp(j @ self.mean + 0.5 * np.einsum("sa,ab,sb->s", j, self.two_point, j))
        return gaussian * _evaluated(self._series, j @ self._factor, lambda n, t: t**n)

    def _whiten(self, fields: np.ndarray) -> np.ndarray:
        phi = in_places(np.asarray(fields, dtype=float), self.correlators.points, self.correlators.outputs)
        if phi.ndim != 2 or phi.shape[1] != len(self.mean):
            raise ValueError(
                f"expected fields of shape (field, point) = (.., {len(self.mean)}), got {phi.shape}; try phi[:, None]"
            )
        return np.linalg.solve(self._factor, (phi - self.mean).T).T

    def _log_gaussian(self, fields: np.ndarray) -> np.ndarray:
        y = self._whiten(fields)
        norm = np.sum(np.log(np.diag(self._factor))) + 0.5 * y.shape[1] * np.log(2.0 * np.pi)
        return -0.5 * np.sum(y**2, axis=1) - norm


def _cholesky(two_point: Matrix, order: int) -> Matrix:
    scale = np.sqrt(np.clip(np.diag(two_point), 0.0, None))
    condition = np.inf
    if np.all(scale > 0.0):
        spectrum = np.linalg.eigvalsh(two_point / np.outer(scale, scale))
        condition = spectrum[-1] / spectrum[0] if spectrum[0] > 0.0 else np.inf
    limit = _DIGITS ** (2.0 / order)
    if not condition < limit:
        raise ValueError(
            f"expected a two-point function that can be inverted {order // 2} times in double precision (condition "
            f"number below {limit:.0e}), got {condition:.2e}; try points further apart or fewer, or cumulant_series"
        )
    return np.linalg.cholesky(two_point)


def _whitened(data: Correlators, order: int, factor: Matrix) -> Polynomial:
    """(1/r!) G_c^(r) (L^-T t)^r as a polynomial in t."""
    white = attach(data.tensor(order), np.linalg.inv(factor))
    return {order: unique(white) * multiplicities(data.tuples(order)) / factorial(order)}


def _exponential(terms: dict[int, Polynomial], budget: int, points: int) -> Polynomial:
    """The exponential, keeping each product of cumulants whose power of N^(-1/2), sum (r - 2), is within budget."""
    total: Polynomial = {0: np.ones(1)}
    for factors in range(1, budget + 1):
        for chosen in combinations_with_replacement(sorted(terms), factors):
            if sum(r - 2 for r in chosen) > budget:
                continue
            product: Polynomial = {0: np.ones(1)}
            for r in chosen:
                product = _times(product, terms[r], points)
            symmetry = np.prod([float(factorial(chosen.count(r))) for r in set(chosen)])
            for degree, coefficients in product.items():
                total[degree] = total.get(degree, 0.0) + coefficients / symmetry
    return total


def _times(left: Polynomial, right: Polynomial, points: int) -> Polynomial:
    out: Polynomial = {}
    for r, a in left.items():
        for q, b in right.items():
            first, second = sorted_tuples(points, r), sorted_tuples(points, q)
            joined = np.concatenate([np.repeat(first, len(b), axis=0), np.tile(second, (len(a), 1))], axis=1)
            into = out.setdefault(r + q, np.zeros(tuple_count(points, r + q)))
            np.add.at(into, rank(joined, points), np.outer(a, b).ravel())
    return out


def _evaluated(
    series: Polynomial, values: np.ndarray, family: Callable[[int, np.ndarray], np.ndarray]
) -> Float[np.ndarray, " row"]:
    """sum_n c_n prod_a family(n_a, value_a) at each row of (row, point)."""
    points = values.shape[1]
    rows = max(1, _CHUNK // max(len(c) for c in series.values()))
    out = np.zeros(len(values))
    for start in range(0, len(values), rows):
        part = slice(start, start + rows)
        table = np.stack([family(n, values[part]) for n in range(max(series) + 1)])
        for degree, coefficients in series.items():
            tuples = sorted_tuples(points, degree)
            product = np.ones((len(coefficients), table.shape[1]))
            for a in range(points):
                product *= table[np.sum(tuples == a, axis=1), :, a]
            out[part] += coefficients @ product
    return out
