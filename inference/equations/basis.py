"""The terms of an action in natural units: scaled fields phi_a/scale_a, each term of unit norm in its monomials.

In these units couplings, moments and equations are numbers of order one; `factors` lead back to physical couplings. The
quadratic terms always come first: they are fitted together with the quartic ones. Everything is on all sorted tuples of
few points, so that an action is fitted to correlators; the same terms at any size, on fields, are in `terms.py`.
"""

import equinox as eqx
import numpy as np

from ...models.actions.base import AbstractAction
from ...models.actions.monomials import dense
from ...models.combinatorics import rank, sorted_tuples
from ...models.types import Matrix, Tuples, Vector

__all__ = ["Basis", "check_gram", "embed", "make_basis"]

CONDITION_LIMIT = 1e6  # of the Gram matrix of the points: beyond it, fourth powers of its inverse are round-off


class Basis(eqx.Module):
    """The terms T_k of an action in scaled fields: first the quadratic terms, then the quartic ones.

    Attributes:
        pairs: all sorted pairs, (pair, 2).
        quadratic: (quadratic, pair), rows of unit norm: the quadratic terms in scaled monomials.
        quads: sorted quads that occur, (quad, 4).
        terms: (quartic, quad), rows of unit norm: T_k in scaled monomials.
        scale: standard deviations of the field, (point,).
        factors: physical coupling = scaled coupling / factor, (quadratic + quartic,).
        metric: scaled metric W_ab/(scale_a scale_b), (point, point).
    """

    pairs: Tuples
    quadratic: Matrix
    quads: Tuples
    terms: Matrix
    scale: Vector
    factors: Vector
    metric: Matrix

    @property
    def size(self) -> int:
        """Number of quadratic and quartic terms together."""
        return len(self.quadratic) + len(self.terms)


def make_basis(action: AbstractAction, metric: Matrix, weights: Vector, *, scale: Vector | None = None) -> Basis:
    """Terms of an action for a metric W and quadrature weights; scale is the unit of the field, default sqrt(W_aa).

    Raises:
        ValueError: the Gram matrix is too ill-conditioned to invert; the message gives its condition number.
    """
    points = len(metric)
    check_gram(metric)
    scale = np.sqrt(np.diag(metric)) if scale is None else scale
    quads = sorted_tuples(points, 4)
    terms = action.monomials(points, weights) * np.prod(scale[quads], axis=1)
    used = np.any(terms != 0.0, axis=0)
    norms = np.linalg.norm(terms, axis=1)
    pairs = sorted_tuples(points, 2)
    quadratic, lengths = action.quadratic(points).rescaled(scale)
    return Basis(
        pairs=pairs,
        quadratic=dense(quadratic, points),
        quads=quads[used],
        terms=(terms / norms[:, None])[:, used],
        scale=scale,
        factors=np.concatenate([lengths, norms]),
        metric=metric / np.outer(scale, scale),
    )


def check_gram(metric: Matrix) -> None:
    """Refuse points whose Gram matrix is too ill-conditioned to invert.

    Raises:
        ValueError: the message gives the condition number.
    """
    own = np.sqrt(np.diag(metric))
    condition = np.linalg.cond(metric / np.outer(own, own))
    if not condition < CONDITION_LIMIT:
        raise ValueError(
            f"expected points whose Gram matrix can be inverted (condition number below {CONDITION_LIMIT:.0e}), got "
            f"{condition:.2e}; try points further apart or fewer, or stay with the correlators (inf.measure), "
            "which need no inverse"
        )


def embed(basis: Basis, rich: Basis) -> Matrix:
    """The terms of one basis in the terms of a basis with every monomial, (term, rich term)."""
    q, points = len(basis.quadratic), len(basis.scale)
    pairs = len(basis.pairs)
    out = np.zeros((basis.size, rich.size))
    out[:q, :pairs] = basis.quadratic
    position = {quad: k for k, quad in enumerate(rank(rich.quads, points).tolist())}
    columns = [position[quad] for quad in rank(basis.quads, points).tolist()]
    out[q:, pairs + np.array(columns)] = basis.terms
    return out
