"""Tree-level inversion: the couplings that give the measured G4c back by the first diagram, as the literature does it.

G4c = -K^4 V is linear in the couplings; theta_4 minimises the whitened norm of G4c + K^4 V(theta_4), and the quadratic
part follows from the gap equation 2 q = K^-1 - 1/2 V.K with the measured two-point function K (2307.03223 sec. 4).
The statistical error is that of G4c. What is left out is not statistical: at the next order G4c has the bubbles
+1/2 sum_3 V KK V, which shift theta_4 by X^-1 (bubbles) -- the truncation bias, printed beside every coupling.
"""

from typing import NamedTuple

import jax
import numpy as np

from ...models.actions.monomials import dense
from ...models.combinatorics import sorted_tuples
from ...models.correlators import check_scrambles
from ...models.diagrams.from_couplings import four_point, vertex, whitened
from ...models.types import Matrix, Vector
from ..equations.from_moments import Equations
from .method import AbstractMethod, EquationLikelihood, MethodWords
from .problem import Problem

__all__ = ["Tree", "TreeLevel", "tree_equations"]


class TreeLevel(AbstractMethod):
    """G4c inverted at tree level, the literature's baseline: `truncation_bias` stands beside every coupling.

    Args:
        metric: W of the score matching beside it, (point, point).

    Example:
        >>> TreeLevel().word
        'tree'
    """

    metric: Matrix | None = None

    @property
    def word(self) -> str:
        return "tree"

    @property
    def said(self) -> MethodWords:
        errors = (
            "The errors are those of the measured four-point function; the truncation bias, what the next order would "
            "take off the mean, is not in them"
        )
        return MethodWords("Inverting the connected four-point function at tree level", errors)

    @property
    def correlators(self) -> bool:
        return True

    def likelihood(self, problem: Problem, *, key: jax.Array, progress: bool = False) -> EquationLikelihood:
        found, bias = tree_equations(problem)
        return EquationLikelihood(found, {"truncation_bias": ("term", bias)})


class Tree(NamedTuple):
    """Equations 1 theta = theta_tree with the covariance of G4c, and the truncation bias of theta, scaled, (term,)."""

    equations: Equations
    bias: Vector


def tree_equations(problem: Problem) -> Tree:
    """The published baseline for a problem that goes through correlators.

    Raises:
        ValueError: an action that is not quartic, or too many points; correlators without G4c or without errors.
    """
    data = problem.data
    if not problem.of_correlators or data is None:
        raise ValueError(
            "expected a quartic action of few points for the tree-level inversion, got "
            f"{type(problem.action).__name__} at {len(problem.points)} points; try method='score'"
        )
    if not problem.action.even:
        raise ValueError(
            f"expected an even action for the tree-level inversion of G4c, got the {problem.action.name}; try "
            "method='score', or m.effective_couplings, which has g1 and g3"
        )
    rows = data.rows.get("connected", {})
    if 4 not in rows or 2 not in rows:
        raise ValueError("expected G2 and G4c with their errors for tree level, got none; try inf.measure(ensemble)")
    count = len(problem.points)
    check_scrambles(data, rows[2].shape[1] + rows[4].shape[1], "tree level")
    quartic = problem.action.monomials(count, problem.weights)
    value, bias = _invert(data.tensor(2), data.connected(4), quartic, problem)
    depth = max(len(rows[2]), len(rows[4]))
    joint = np.concatenate([np.pad(rows[r], ((0, depth - len(rows[r])), (0, 0))) for r in (2, 4)], axis=1)
    joint = np.linalg.qr(joint, mode="r") if depth > joint.shape[1] else joint  # the same covariance in fewer rows
    pairs = sorted_tuples(count, 2)
    spread = np.zeros((len(joint), len(value)))
    for k, (second, fourth) in enumerate((row[: len(pairs)], row[len(pairs) :]) for row in joint):
        step = np.zeros((count, count))
        step[pairs[:, 0], pairs[:, 1]] = step[pairs[:, 1], pairs[:, 0]] = second
        up, down = (
            _invert(data.tensor(2) + sign * step, data.connected(4) + sign * fourth, quartic, problem)[0]
            for sign in (1.0, -1.0)
        )
        spread[k] = 0.5 * (up - down)  # errors to first order, each row of the joint covariance through the inversion
    n = problem.equations.networks
    noise = n * spread.T @ spread
    unit = np.eye(len(value))
    return Tree(Equations(unit, value, noise, value, n, data.dof, problem.equations.scores), bias)


def _invert(two_point: Matrix, four: Vector, quartic: Matrix, problem: Problem) -> tuple[Vector, Vector]:
    """Scaled theta and its truncation bias."""
    tree = four_point(quartic, two_point)[0]
    design = whitened(tree, two_point).T
    couplings = np.linalg.lstsq(design, whitened(four, two_point), rcond=None)[0]
    table = couplings @ quartic
    loop = four_point(table, two_point)[1]
    shift = np.linalg.lstsq(design, -whitened(loop, two_point), rcond=None)[0]
    q, dq = (_quadratic(two_point, c @ quartic, problem, free) for c, free in ((couplings, 1.0), (shift, 0.0)))
    return np.concatenate([q, couplings]) * problem.factors, -np.concatenate([dq, shift]) * problem.factors


def _quadratic(two_point: Matrix, quartic: Vector, problem: Problem, free: float) -> Vector:
    """Couplings of the action's quadratic terms nearest to 1/2 (K^-1 - 1/2 V.K)."""
    count = len(two_point)
    gap = free * np.linalg.inv(two_point) - 0.5 * np.einsum("abcd,cd->ab", vertex(quartic, count), two_point)
    pairs = sorted_tuples(count, 2)
    coefficients = np.where(pairs[:, 0] == pairs[:, 1], 0.5, 1.0) * gap[tuple(pairs.T)]
    table = dense(problem.action.quadratic(count), count)
    return np.linalg.lstsq(table.T, coefficients, rcond=None)[0]
