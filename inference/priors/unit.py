"""The default prior on an action's couplings: in Wick-ordered form, worth one network.

With :T: the Wick-ordered terms under N(0, K), S = 1/2 phi K^-1 phi + delta . :phi phi: + theta . :T(phi):, and

    theta ~ N(0, s^2 F4^-1),   delta ~ N(0, s^2 F2^-1),   F = Cov(:T:) under N(0, K)

a sum over complete contractions (Wick's theorem), the Fisher information of one Gaussian network: invariant under
linear maps, and the two-point function stays near K whatever the couplings. On a lattice, whose fields average over V
like sites, it is worth one site: s is multiplied by sqrt(V). Sextic terms likewise, with F6. In terms of
the plain monomials, phi^4 = :phi^4: + 6 K :phi^2: + .., so quartic couplings shift the quadratic ones, sextic both.
Odd terms likewise, phi^3 = :phi^3: + 3 K phi: they have no correlation with even ones.

One network of a strongly non-Gaussian field can tell far less than a Gaussian one: in a double well of S = -12 phi^2 +
phi^4 by 1e-5 along one direction, and there F would be worth 1e5 networks. So no direction is worth more than ten
networks of the field itself: with P the precision above and J = A B^-1 A the information of one network in the
equations of the fit (Godambe's; A. C. Davison, Statistical Models, 2003, ch. 7.2),

    P' = sum_i min(1, 10 mu_i) P v_i v_i^T P,   J v_i = mu_i P v_i,   v_i . P v_j = delta_ij        (s = 1)

which is P itself, to the last digit, while every mu_i >= 1/10; they are about 1 for weak couplings.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy import linalg

from ...models.actions.monomials import Monomials, contraction
from ...models.combinatorics import rank
from ...models.types import Matrix, Vector
from ..equations.terms import Terms

__all__ = ["Prior", "default_prior", "relaxed", "wick_covariance"]

_LEAST = 0.1  # information of one network along a direction, over that of a Gaussian one: below, the prior is relaxed


class Prior(NamedTuple):
    """Gaussian prior on the scaled theta = (quadratic, interaction), written for non-centred sampling.

    interaction = factor4 z4, quadratic = centre2 - shift interaction + factor2 z2 with z standard normal.
    """

    centre2: Vector
    shift: Matrix
    factor2: Matrix
    factor4: Matrix

    @property
    def mean(self) -> Vector:
        """Prior mean of theta, (term,)."""
        return np.concatenate([self.centre2, np.zeros(len(self.factor4))])

    @property
    def factor(self) -> Matrix:
        """L with covariance L L^T over theta, (term, term)."""
        q, p = len(self.factor2), len(self.factor4)
        out = np.zeros((q + p, q + p))
        out[:q, :q] = self.factor2
        out[:q, q:] = -self.shift @ self.factor4
        out[q:, q:] = self.factor4
        return out

    @property
    def precision(self) -> Matrix:
        """Inverse covariance over theta, (term, term)."""
        q, p = len(self.factor2), len(self.factor4)
        inverse = np.zeros((q + p, q + p))  # of the factor, block by block
        inverse[:q, :q], inverse[q:, q:] = np.linalg.inv(self.factor2), np.linalg.inv(self.factor4)
        inverse[:q, q:] = inverse[:q, :q] @ self.shift
        return inverse.T @ inverse


def default_prior(
    terms: Terms, *, scale: float = 1.0, two_point: Matrix | None = None, homogeneous: bool = False
) -> Prior:
    """The unit-information prior of the module's docstring, s = scale.

    Args:
        terms: of the action.
        scale: s.
        two_point: K in scaled fields, (point, point); default the metric.
        homogeneous: terms and K are the same at every point of a lattice: then one point's contractions say all.
    """
    if not 0.0 < scale < np.inf:
        raise ValueError(f"expected a positive prior scale, got {scale}; try 1.0, worth one network")
    parts, k = terms.parts, terms.metric if two_point is None else two_point
    pairs = parts[0]
    cover = _Covariance(k, homogeneous)
    second = cover(pairs, pairs)
    odd, even = ([part for part in parts[1:] if part.degree % 2 == parity] for parity in (1, 0))
    factor, down = _tower(even, cover, scale)
    shift = _expressed(contraction(even[0], k), pairs, second, cover)
    if down is not None:
        shift = np.concatenate([shift, 0.5 * shift @ down], axis=1)
    if odd:
        factor = np.asarray(linalg.block_diag(_tower(odd, cover, scale)[0], factor))
        shift = np.concatenate([np.zeros((len(shift), len(factor) - shift.shape[1])), shift], axis=1)
    return Prior(_centre(pairs, second, terms.fixed, cover), shift, scale * _inverse_root(second), factor)


def relaxed(prior: Prior, matrix: Matrix, noise: Matrix, *, scale: float = 1.0) -> Prior:
    """A prior no direction of which is worth more than ten networks of these equations; itself where none is.

    Args:
        prior: of `default_prior`.
        matrix: A, (term, term).
        noise: B, the covariance of psi over networks, (term, term).
        scale: s of the prior, worth 1/s^2 networks.

    Example, q phi^2 with one network that tells a hundredth of what the prior says: its variance becomes 10.

        >>> one = Prior(np.zeros(1), np.zeros((1, 0)), np.eye(1), np.zeros((0, 0)))
        >>> relaxed(one, np.eye(1), 100.0 * np.eye(1)).factor.round(9).tolist()
        [[3.16227766]]
    """
    factor = prior.factor / scale
    try:
        root = np.linalg.cholesky(noise)
    except np.linalg.LinAlgError:  # fewer networks than terms: such a covariance is refused where it is inverted
        return prior
    seen = linalg.solve_triangular(root, matrix @ factor, lower=True)
    information = seen.T @ seen  # of one network, in units in which the prior is the unit matrix
    try:
        np.linalg.cholesky(information - _LEAST * np.eye(len(factor)))
        return prior
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(information)
    stretch = np.sqrt(np.maximum(1.0, _LEAST / np.maximum(values, np.finfo(float).tiny)))
    wide = prior.factor @ (vectors * stretch)
    covariance, q = wide @ wide.T, len(prior.factor2)
    inner = covariance[q:, q:]
    slope = np.linalg.solve(inner, covariance[q:, :q]).T  # of the quadratic couplings on the others
    rest = covariance[:q, :q] - slope @ covariance[q:, :q]
    return Prior(prior.centre2, -slope, np.linalg.cholesky(0.5 * (rest + rest.T)), np.linalg.cholesky(inner))


def wick_covariance(tuples: np.ndarray, k: Matrix, others: np.ndarray | None = None) -> Matrix:
    """Cov(:m_i:, :m_j:) under N(0, K): the sum over complete contractions between the two monomials.

    Args:
        tuples: (monomial, degree).
        k: K, (point, point).
        others: the monomials of the columns, of the same degree; default the same ones.
    """
    right = tuples if others is None else others
    order = tuples.shape[1]
    total = np.zeros((len(tuples), len(right)))
    for permutation in permutations(range(order)):
        term = np.ones_like(total)
        for i, j in enumerate(permutation):
            term *= k[tuples[:, i][:, None], right[:, j][None, :]]
        total += term
    return total


def _tower(parts: list[Monomials], cover: "_Covariance", scale: float) -> tuple[Matrix, Matrix | None]:
    """L of the raw couplings of one degree, or of two, n and n + 2, and then what the upper contract to in the lower.

    Raw couplings of degree n stand in for the contraction: those of n + 2 shift them.
    """
    first = parts[0]
    own = cover(first, first)
    factor = scale * _inverse_root(own)
    if len(parts) == 1:
        return factor, None
    second = parts[1]
    down = _expressed(contraction(second, cover.two_point), first, own, cover)
    upper = scale * _inverse_root(cover(second, second))
    return np.block([[factor, -down @ upper], [np.zeros((second.count, first.count)), upper]]), down


class _Covariance:
    """Cov(:T_k:, :T_l:) of two sets of terms; where every site is alike, M times what one site's entries give."""

    def __init__(self, two_point: Matrix, homogeneous: bool) -> None:
        self.two_point, self.homogeneous = two_point, homogeneous

    def __call__(self, left: Monomials, right: Monomials) -> Matrix:
        if self.homogeneous:
            left = self._at_origin(left)
        out = np.zeros((left.count, right.count))
        step = max(1, 4_000_000 // max(len(right.term), 1))
        for start in range(0, len(left.term), step):  # in slices: a lattice has many entries
            here = slice(start, start + step)
            table = wick_covariance(left.tuples[here], self.two_point, right.tuples) * right.coefficient
            order = np.argsort(right.term, kind="stable")
            first = np.searchsorted(right.term[order], np.arange(right.count))
            folded = np.add.reduceat(table[:, order], first, axis=1) if right.count else np.zeros((len(table), 0))
            np.add.at(out, left.term[here], left.coefficient[here, None] * folded)
        return out

    def mean(self, terms: Monomials, free: Matrix | None) -> Vector:
        """E T of quadratic terms under K, less their response K P K to a fixed part P."""
        k = self.two_point if free is None else self.two_point - self.two_point @ free @ self.two_point
        value = terms.coefficient * k[terms.tuples[:, 0], terms.tuples[:, 1]]
        return np.bincount(terms.term, value, minlength=terms.count)

    def _at_origin(self, terms: Monomials) -> Monomials:
        """The entries at site 0, each weighted so that their sum over all sites counts every entry once."""
        here = np.any(terms.tuples == 0, axis=1)
        ordered = terms.tuples[here]
        distinct = 1 + np.sum(np.diff(ordered, axis=1) != 0, axis=1)
        weight = terms.coefficient[here] * len(self.two_point) / distinct
        return Monomials(terms.term[here], ordered, weight, terms.count)


def _centre(pairs: Monomials, second: Matrix, free: Matrix | None, cover: _Covariance) -> Vector:
    """1/2 phi K^-1 phi in the quadratic terms: exact where every pair is one, else the nearest in the Wick metric."""
    points = len(cover.two_point)
    if free is None and len(pairs.term) == pairs.count == points * (points + 1) // 2:
        inverse = np.linalg.inv(cover.two_point)
        rows, columns = pairs.tuples.T
        return np.where(rows == columns, 0.5, 1.0) * inverse[rows, columns] / pairs.coefficient
    return np.linalg.solve(second, cover.mean(pairs, free))


def _expressed(what: Monomials, within: Monomials, own: Matrix, cover: _Covariance) -> Matrix:
    """Terms written in other terms of the same degree, (within, what): exact where each monomial is a term of its own.

    Otherwise the nearest in the Wick metric, own = Cov(within, within).
    """
    points = len(cover.two_point)
    if len(within.term) == within.count:
        codes = {code: k for k, code in enumerate(rank(within.tuples, points).tolist())}
        places = [codes.get(code, -1) for code in rank(what.tuples, points).tolist()]
        if -1 not in places:
            out = np.zeros((within.count, what.count))
            np.add.at(out, (np.array(places, dtype=int), what.term), what.coefficient / within.coefficient[places])
            return out
    return np.linalg.solve(own, cover(within, what))


def _inverse_root(covariance: Matrix) -> Matrix:
    """L with L L^T = covariance^-1; what round-off makes singular is floored at 1e-10 of its own size."""
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        root = np.linalg.cholesky(covariance + 1e-10 * np.diag(np.diag(covariance)))
    return np.linalg.inv(root).T
