"""One action inside a larger one: its score on networks, and tests of whether the other terms of the larger are needed.

With psi_k = grad T_k.W grad S - lap_W T_k the Schwinger-Dyson residual of term k in one network, A theta = b the
equations and B = Cov(psi), a statistic that is zero when the action is enough is normal with a sandwich covariance:

    Wald   C theta of the larger fit,   C A^-1 B A^-1 C^t/n        C: orthonormal combinations outside the action E
    Rao    C (A E^t theta_E - b),       C P B P^t C^t/n            P = 1 - A E^t (E A E^t)^-1 E

The terms of the control are odd in phi: with phi -> -phi a symmetry their true couplings are exactly zero.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...inference.ensembles.source import Source
from ...inference.equations.from_fields import summed
from ...inference.equations.terms import Terms, terms_of
from ...models.actions.base import AbstractAction
from ...models.actions.monomials import Monomials, dense
from ...models.combinatorics import multiplicities, sorted_tuples, tuple_count
from ...models.distance import hotelling
from ...models.types import Matrix, Tuples, Vector

__all__ = [
    "Controlled",
    "Hotelling",
    "complement",
    "cubes",
    "embedded",
    "frobenius",
    "held_out_scores",
    "left_over",
    "noises",
    "rao_test",
    "wald_test",
]

GAUSSIAN = "Gaussian"


class Hotelling(NamedTuple):
    """A quadratic form in n networks' means: Hotelling's T^2, its degrees of freedom and p-value (F)."""

    value: float
    dof: int
    p: float


class Controlled(AbstractAction):
    """The richest action and, behind it, the odd terms phi_a^3 and phi_a^2 phi_b of the control."""

    action: AbstractAction
    name = "richest action with the odd terms of the control"

    @property
    def formula(self) -> str:
        return rf"{self.action.formula} + \sum_{{a,b}} c_{{ab}}\,\varphi_a^2\varphi_b"

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {**self.action.blocks(points), "odd": cubes(points)}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        triples = cubes(points)
        odd = Monomials(np.arange(len(triples)), triples, np.ones(len(triples)), len(triples))
        return (*self.action.interaction(points, weights), odd)

    @property
    def degree(self) -> int:
        return self.action.degree


def cubes(points: int) -> Tuples:
    """Triples with a repeated point, sorted."""
    triples = sorted_tuples(points, 3)
    return triples[(triples[:, 0] == triples[:, 1]) | (triples[:, 1] == triples[:, 2])]


def embedded(
    ladder: Mapping[str, AbstractAction], metric: Matrix, weights: Vector
) -> tuple[str, Terms, dict[str, Matrix]]:
    """The action of most terms, its terms, and those of every action and of the Gaussian in them, (term, its term)."""
    points = len(metric)
    for name, action in ladder.items():
        if not isinstance(action, AbstractAction):
            raise ValueError(f"expected actions such as Bilocal(), got {action!r}; try models.Bilocal()")
        if not action.even:
            raise ValueError(
                f"expected even actions, whose control are odd terms, got {name}: {action.name}; try inf.fit of each, "
                "an.diagnose has the gain and the share of it"
            )
        if action.fixed(points) is not None or action.of_modes:
            raise ValueError(
                f"expected actions of the points with a free quadratic part, got {name}; try leaving it out"
            )
    all_terms = {name: terms_of(action, metric, weights) for name, action in ladder.items()}
    richest = max(reversed(list(ladder)), key=lambda name: all_terms[name].size)  # of equals the last
    largest = all_terms[richest]
    columns = {part.degree: dense(part, points) for part in largest.parts}
    starts = dict(zip(columns, np.cumsum([0, *map(len, columns.values())]), strict=False))
    maps = {GAUSSIAN: np.eye(largest.size)[: largest.quadratic]}
    for name, terms in all_terms.items():
        out, first = np.zeros((terms.size, largest.size)), 0
        for part in terms.parts:
            table = dense(part, points)
            here = columns.get(part.degree, np.zeros((0, table.shape[1])))
            solved = np.linalg.lstsq(here.T, table.T)[0].T if len(here) else np.zeros((part.count, 0))
            if np.max(np.abs(solved @ here - table), initial=0.0) > 1e-10:
                raise ValueError(
                    f"expected a ladder whose richest action, here {richest}, holds the terms of all others, got "
                    f"{name} with terms of degree {part.degree} outside it; try adding FullQuartic()"
                )
            begin = starts.get(part.degree, 0)
            out[first : first + part.count, begin : begin + len(here)] = solved
            first += part.count
        maps[name] = out
    return richest, largest, maps


def complement(rows: Matrix) -> Matrix:
    """Orthonormal rows that span everything outside the span of the given ones."""
    q, _ = np.linalg.qr(rows.T, mode="complete")
    return q[:, len(rows) :].T


def wald_test(outside: Matrix, theta: Vector, matrix: Matrix, noise: Matrix, n: int) -> Hotelling:
    """Are the combinations of couplings outside the action zero in the larger fit?"""
    to = outside @ np.linalg.inv(matrix)
    return _quadratic(outside @ theta, to @ noise @ to.T / n, n)


def rao_test(
    outside: Matrix, inside: Matrix, theta: Vector, matrix: Matrix, vector: Vector, noise: Matrix, n: int
) -> Hotelling:
    """Do the Schwinger-Dyson equations of the terms left out hold at the action's own estimate?"""
    project = np.eye(len(matrix)) - matrix @ inside.T @ np.linalg.solve(inside @ matrix @ inside.T, inside)
    to = outside @ project
    return _quadratic(outside @ (matrix @ theta - vector), to @ noise @ to.T / n, n)


def _quadratic(value: Vector, covariance: Matrix, n: int) -> Hotelling:
    scale = np.sqrt(np.diag(covariance))
    statistic = float(value / scale @ np.linalg.solve(covariance / np.outer(scale, scale), value / scale))
    dof = len(value)
    return Hotelling(statistic, dof, hotelling(statistic, dof, n - 1.0))


def held_out_scores(source: Source, terms: Terms, thetas: Matrix, *, progress: bool = False) -> tuple[Vector, Matrix]:
    """Mean Hyvarinen score of every action, (action,), and the covariance of one network's scores."""
    count = len(thetas)
    zero = [np.zeros(count), np.zeros((count, count))]
    (first, second), _ = summed(source, terms, _scores, zero, "scores", progress, np.asarray(thetas))
    mean = first / source.n
    return mean, (second - source.n * np.outer(mean, mean)) / (source.n - 1)


def _scores(fields: jax.Array, alive: jax.Array, terms: Terms, thetas: jax.Array, *, watch: bool) -> Any:
    """Sums over a block of J = 1/2 theta.(psi(theta) + psi(0)), network by network, and of its products."""
    bare = terms.residuals(fields, jnp.zeros(terms.size))
    j = jnp.stack([0.5 * (terms.residuals(fields, t) + bare) @ t for t in thetas], axis=1) * alive[:, None]
    return (j.sum(0), j.T @ j), None


def noises(source: Source, terms: Terms, thetas: Matrix, *, progress: bool = False) -> np.ndarray:
    """B, the covariance of psi over networks, at every estimate, (action, term, term)."""
    shape = (len(thetas), terms.size)
    zero = [np.zeros(shape), np.zeros((*shape, terms.size))]
    (first, second), _ = summed(source, terms, _products, zero, "sandwich", progress, np.asarray(thetas))
    mean = first / source.n
    return (second - source.n * mean[:, :, None] * mean[:, None, :]) / (source.n - 1)


def _products(fields: jax.Array, alive: jax.Array, terms: Terms, thetas: jax.Array, *, watch: bool) -> Any:
    """Sums over a block of psi at every estimate and of its products."""
    psi = jnp.stack([terms.residuals(fields, t) for t in thetas]) * alive[:, None]
    return (psi.sum(1), jnp.einsum("kni,knj->kij", psi, psi)), None


def frobenius(values: np.ndarray) -> np.ndarray:
    """Components on sorted quads in the Frobenius norm of the dense tensor."""
    points = next(m for m in count(1) if tuple_count(m, 4) >= values.shape[-1])
    return values * np.sqrt(multiplicities(sorted_tuples(points, 4)))


def left_over(value: Vector, rows: np.ndarray | None, design: Matrix, norm: Any) -> tuple[float, float]:
    """||G4c - best fit||/||G4c|| in a norm, and its standard error; the noise's own norm is taken off both."""
    target, columns = norm(value), norm(design).T
    basis = np.linalg.svd(columns, full_matrices=False)
    keep = 1e-12 * basis.S[0] < basis.S
    span = basis.U[:, keep]
    rest = target - span @ (span.T @ target)
    above, below = float(rest @ rest), float(target @ target)
    if rows is None:
        return float(np.sqrt(above / below)), float("nan")
    noise = norm(rows)
    noise_rest = noise - (noise @ span) @ span.T
    above, below = above - float(np.sum(noise_rest**2)), below - float(np.sum(noise**2))
    square = above / below
    slope = noise @ (rest - square * target)
    error = np.sqrt(4.0 * slope @ slope + 2.0 * np.sum((noise_rest.T @ noise_rest) ** 2)) / abs(below)
    ratio = float(np.sqrt(max(square, 0.0)))
    return ratio, float(error / (2.0 * ratio)) if ratio > 0 else float(np.sqrt(error))
