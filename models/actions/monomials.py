"""Terms of an action as sums of monomials, T_k = sum_e c_ke phi_a phi_b ..., written down entry by entry.

Sparse, so that a lattice of a thousand sites is no larger than its own terms. All monomials of one `Monomials` have
the same degree; a tuple a <= b <= c <= d occurs once in a term.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ..combinatorics import rank, tuple_count
from ..types import Matrix, Tuples, Vector

__all__ = ["Monomials", "contraction", "dense", "each", "monomials"]


class Monomials(NamedTuple):
    """T_k = sum over entries e with term[e] = k of coefficient[e] prod_j phi[tuples[e, j]].

    Attributes:
        term: which term an entry belongs to, (entry,), ascending.
        tuples: sorted point indices of its monomial, (entry, degree).
        coefficient: (entry,).
        count: number of terms.
    """

    term: Int[np.ndarray, " entry"]
    tuples: Tuples
    coefficient: Vector
    count: int

    @property
    def degree(self) -> int:
        """Number of fields in every monomial."""
        return self.tuples.shape[1]

    def rescaled(self, scale: Vector) -> tuple["Monomials", Vector]:
        """The terms in fields phi_a/scale_a with unit norm in their monomials, and the factors, (term,).

        Physical coupling = scaled coupling / factor.
        """
        grown = self.coefficient * np.prod(scale[self.tuples], axis=1)
        norms = np.sqrt(np.bincount(self.term, grown**2, minlength=self.count))
        return self._replace(coefficient=grown / norms[self.term]), norms


def monomials(term: np.ndarray, tuples: np.ndarray, coefficient: np.ndarray, count: int) -> Monomials:
    """Entries in any order and with repetitions, collected: tuples sorted, equal ones of a term added up.

    >>> monomials(np.zeros(2, int), np.array([[1, 0], [0, 1]]), np.ones(2), 1).coefficient.tolist()
    [2.0]
    """
    keys = np.column_stack([np.asarray(term), np.sort(np.asarray(tuples), axis=1)])
    unique, where = np.unique(keys, axis=0, return_inverse=True)
    total = np.bincount(where.ravel(), np.asarray(coefficient, dtype=float), minlength=len(unique))
    return Monomials(unique[:, 0], unique[:, 1:], total, count)


def dense(terms: Monomials, points: int) -> Matrix:
    """The coefficients as a table, (term, sorted tuple)."""
    out = np.zeros((terms.count, tuple_count(points, terms.degree)))
    out[terms.term, rank(terms.tuples, points)] = terms.coefficient
    return out


def each(tuples: Tuples) -> Monomials:
    """One monomial a term.

    >>> each(np.array([[0, 1], [1, 1]])).count
    2
    """
    return Monomials(np.arange(len(tuples)), np.sort(tuples, axis=1), np.ones(len(tuples)), len(tuples))


def contraction(terms: Monomials, two_point: Matrix) -> Monomials:
    """Each pair of fields of each monomial replaced by its K_ab: what Wick ordering takes off, of degree two less.

    T = :T: + :contraction(T): + 1/2 :contraction(contraction(T)): + ...

    >>> one = contraction(Monomials(np.array([0]), np.array([[0, 0, 0, 0]]), np.ones(1), 1), np.full((1, 1), 0.5))
    >>> one.tuples.tolist(), one.coefficient.tolist()  # phi^4 = :phi^4: + 6 K :phi^2: + 3 K^2
    ([[0, 0]], [3.0])
    """
    legs = [(i, j) for j in range(terms.degree) for i in range(j)]
    rest = [np.delete(terms.tuples, [i, j], axis=1) for i, j in legs]
    factor = [terms.coefficient * two_point[terms.tuples[:, i], terms.tuples[:, j]] for i, j in legs]
    return monomials(np.tile(terms.term, len(legs)), np.concatenate(rest), np.concatenate(factor), terms.count)
