"""What each rung of the ladder of actions explains of an ensemble, without any statistical error.

Three answers from the exact correlators. For a fit: the share [J_Gauss - J_rung]/[J_Gauss - J_quartic] of the
Hyvarinen score, in the metric K, by which the rung's action is better than the best Gaussian, the full quartic counting
as one. For a plot: the smallest |G4c - G4c(rung)|/|G4c| that couplings of the rung can reach at tree level, G4c(rung) =
-K^4 V, in the plain norm and in the norm whitened by K^(-1/2) (arXiv:2307.03223 sec. 4 for the tree). And whether
exp(-S) can be normalised: the lowest value of the fitted highest form on the unit sphere of phi_a/sqrt(K_aa), which
must not be negative.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ...inference.engines.executors import Executor, each
from ...inference.equations.schwinger_dyson import moment_equations, resolved, scaled_moments
from ...inference.equations.terms import terms_of
from ...models.actions.base import AbstractAction
from ...models.actions.boundedness import minimum_on_sphere
from ...models.actions.lattice import TranslationInvariant
from ...models.actions.rungs import Bilocal, Constant, FullQuartic, FullSextic, Local
from ...models.analytic.exact import exact
from ...models.combinatorics import even_cumulants, even_moments, rank, sorted_tuples, tuple_count
from ...models.correlators import Correlators
from ...models.diagrams.from_couplings import four_point, non_gaussianity, whitened
from ...models.files import fill_between
from ...models.networks.latents import GammaScale
from ...models.networks.network import Network
from ...models.neurons.cos import Cos
from ...models.neurons.relu import ReLU
from ...models.neurons.smooth import Erf
from ...models.types import Matrix, Points, Vector
from .nested import frobenius, left_over

__all__ = ["Rung", "Rungs", "climb", "ring", "rungs", "standard_ensembles", "update"]

_ORDERS = (2, 4, 6, 8, 10)  # the moments an action with phi^6 needs
_INVARIANT = 1e-9  # relative change of G2 and G4c under a shift along the ring


@dataclass(frozen=True, eq=False)
class Rung:
    """One action held against one ensemble.

    Attributes:
        ensemble: its name.
        action: name of the rung.
        couplings: number of couplings of the interaction.
        share: of the full quartic's gain in Hyvarinen score over the best Gaussian; beyond one with phi^6.
        plain: smallest relative residual of G4c at tree level, in the plain norm; None with phi^6.
        whitened: the same in the norm whitened by K^(-1/2).
        eps4: of the ensemble, [|whitened G4c|^2/24]^(1/2).
        form: coefficients of the fitted highest form on sorted tuples, in fields phi_a/sqrt(K_aa), (monomial,).
        points: M.
        degree: of that form.
    """

    ensemble: str
    action: str
    couplings: int
    share: float
    plain: float | None
    whitened: float | None
    eps4: float
    form: Vector = field(repr=False)
    points: int
    degree: int = 4

    @cached_property
    def minimum(self) -> float:
        """Lowest value of the highest form on the unit sphere of phi_a/sqrt(K_aa)."""
        return float(minimum_on_sphere(self.form, self.points, order=self.degree)[0])

    @property
    def bounded(self) -> bool:
        """Whether exp(-S) can be normalised."""
        return self.minimum >= 0.0

    def __str__(self) -> str:
        mark = "" if self.bounded else " ↓"
        if self.plain is None or self.whitened is None:
            return f"{100 * self.share:.0f} %{mark}"
        if self.action == "full quartic":
            return f"100 %{mark}"
        return f"{100 * self.share:.1f} %, {self.plain:.2f}, {self.whitened:.3f}{mark}"


@dataclass(frozen=True)
class Rungs:
    """All rungs of several ensembles; printed, a Markdown table with one line an ensemble."""

    rows: tuple[Rung, ...] = field(default=())

    def __str__(self) -> str:
        sizes = {row.action: row.couplings for row in self.rows}
        lines = [
            "| ensemble | ε₄ | " + " | ".join(f"{name} ({size})" for name, size in sizes.items()) + " |",
            "|---" * (len(sizes) + 2) + "|",
        ]
        for ensemble, eps4 in {row.ensemble: row.eps4 for row in self.rows}.items():
            rungs = {row.action: row for row in self.rows if row.ensemble == ensemble}
            lines.append(
                f"| {ensemble} | {eps4:.3f} | " + " | ".join(str(rungs.get(name, "")) for name in sizes) + " |"
            )
        return "\n".join(lines)

    def __getitem__(self, where: tuple[str, str]) -> Rung:
        """The rung of (ensemble, action)."""
        for row in self.rows:
            if (row.ensemble, row.action) == where:
                return row
        known = sorted({(row.ensemble, row.action) for row in self.rows})
        raise ValueError(f"expected an ensemble and an action among {known}, got {where}; try {known[:1]}")


def rungs(ensembles: Mapping[str, Correlators] | None = None, *, executor: Executor | None = None) -> Rungs:
    """What each rung explains of each ensemble, from exact correlators.

    Args:
        ensembles: name -> correlators with moments up to order 6, with phi^6 up to 10; default `standard_ensembles()`.
        executor: any `concurrent.futures` executor climbs, one job an ensemble.

    Raises:
        ValueError: as `climb`.

    Example, the ring of cosine neurons: a local coupling explains next to nothing.
        >>> table = rungs({"cos": exact(Network(Cos(), width=100), ring())})
        >>> round(table["cos", "local"].share, 4), round(table["cos", "bilocal"].share, 4)
        (0.0118, 0.3068)
    """
    chosen = standard_ensembles() if ensembles is None else ensembles
    rows = each(executor, _climbed, list(chosen.items()), what="ensembles")
    return Rungs(tuple(row for ladder in rows for row in ladder))


def _climbed(name: str, truth: Correlators) -> tuple[Rung, ...]:
    return climb(truth, name=name)


def climb(truth: Correlators, *, name: str = "ensemble") -> tuple[Rung, ...]:
    """The rungs constant, local, translation invariant, bilocal, full quartic and with phi^6 of one ensemble.

    The translation-invariant rung is left out where a shift of the points by one is no symmetry of G2 and G4c, the one
    with phi^6 where moments up to order 10 are not given. The quadratic part is always free.

    Args:
        truth: exact correlators, moments of order 2, 4, 6.
        name: of the ensemble.

    Raises:
        ValueError: correlators with errors, a moment that is missing, couplings that double precision cannot tell
            apart, a full quartic that gains nothing.

    Example, one point: every quartic rung is the same.
        >>> [row.share for row in climb(exact(Network(Cos(), width=100), np.zeros((1, 1))))]
        [1.0, 1.0, 1.0, 1.0]
    """
    if any(truth.rows.values()):
        raise ValueError(
            f"expected exact correlators, got {truth.maker} ones with errors, which an.diagnose judges; try m.exact"
        )
    points, kernel = len(truth.points), truth.tensor(2)
    sextic = all(r in truth.moments for r in _ORDERS)
    every = terms_of(FullSextic() if sextic else FullQuartic(), kernel, np.ones(points))
    matrix, vector = moment_equations(every, scaled_moments(every, truth))
    pairs, quads = tuple_count(points, 2), sorted_tuples(points, 4)
    quartic = slice(0, pairs + len(quads))
    grow = np.prod(np.sqrt(np.diag(kernel))[quads], axis=1)  # a monomial in units of the field at each point
    best, _ = _gain(matrix[quartic, quartic], vector[quartic], pairs, np.eye(len(quads)))
    if not best > 0.0:
        raise ValueError(
            f"expected an ensemble a quartic action describes better than a Gaussian, got a gain of {best:.3g}; try a "
            "finite width"
        )
    eps4 = non_gaussianity(truth.connected(4), None, kernel)[0]
    rows = []
    for action, label in _ladder(truth):
        monomials = action.monomials(points, np.ones(points))
        gain, form = _gain(matrix[quartic, quartic], vector[quartic], pairs, monomials * grow)
        share = 1.0 if len(monomials) == len(quads) else gain / best
        rows.append(Rung(name, label, len(monomials), share, *_residuals(truth, monomials), eps4, form, points))
    if sextic:
        count = len(vector) - pairs
        gain, form = _gain(matrix, vector, pairs, np.eye(count))
        rows.append(Rung(name, "with φ⁶", count, gain / best, None, None, eps4, form[len(quads) :], points, 6))
    return tuple(rows)


def ring(count: int = 5, *, side: float = 1.5) -> Points:
    """Corners of a regular polygon in the plane, around (1/2, 0): a ring for what rotations leave as it is, (count, 2).

    >>> ring(4, side=2.0).round(3).tolist()
    [[1.914, 0.0], [0.5, 1.414], [-0.914, 0.0], [0.5, -1.414]]
    """
    angle = 2.0 * np.pi * np.arange(count) / count
    radius = side / (2.0 * np.sin(np.pi / count))
    return np.stack([0.5 + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def standard_ensembles(width: int = 100) -> dict[str, Correlators]:
    """Exact correlators of the table: cos, erf and relu networks on the ring, and a mixture at infinite width.

    >>> list(standard_ensembles())[-1]
    'cos, shared Γ scale, N = ∞'
    """
    points, out = ring(), {}
    for label, neuron in (("cos", Cos()), ("erf", Erf()), ("relu", ReLU())):
        for readout in ("gaussian", "uniform"):
            orders = tuple(r for r in _ORDERS if r in neuron.orders)
            out[f"{label}, {readout}"] = exact(Network(neuron, width, readout=readout), points, orders=orders)
    kernel = exact(Network(Cos(), 1), points, orders=(2,)).connected(2)
    out["cos, shared Γ scale, N = ∞"] = mixture(points, kernel, GammaScale(0.05))
    return out


def mixture(points: Points, kernel: Vector, scale: GammaScale) -> Correlators:
    """A Gaussian field whose variance is multiplied by tau, the field of infinitely many neurons that share a scale.

    <phi^(2r)> = E tau^r times Wick's sum, in which no cumulant beyond the second enters.

    Example, one point: G4c = 3 Var(tau) K^2.
        >>> mixture(np.zeros((1, 1)), np.array([1.0]), GammaScale(0.05)).connected(4).round(12).tolist()
        [0.15]
    """
    count = len(points)
    zero = {r: np.zeros(tuple_count(count, r)) for r in _ORDERS}
    wick = even_moments(zero | {2: kernel}, count)
    moments = {r: scale.moment(r // 2) * value for r, value in wick.items()}
    return Correlators(points=points, moments=moments, cumulants=even_cumulants(moments, count), even=True)


def update(file: str | Path) -> None:
    """Put the table, computed afresh, between the marks of a Markdown file.

    Raises:
        ValueError: a file without the two marks.
    """
    fill_between(file, "rungs", str(rungs()))


def _ladder(truth: Correlators) -> Sequence[tuple[AbstractAction, str]]:
    points = len(truth.points)
    out: list[tuple[AbstractAction, str]] = [(Constant(), "constant"), (Local(), "local")]
    if points > 1 and _invariant(truth):
        out.append((TranslationInvariant(shape=(points,)), "translation invariant"))
    return [*out, (Bilocal(), "bilocal"), (FullQuartic(), "full quartic")]


def _invariant(truth: Correlators) -> bool:
    """Whether the shift a -> a + 1 of the points is a symmetry of the two- and the four-point function."""
    for order in (2, 4):
        value, tuples = truth.connected(order), truth.tuples(order)
        shifted = value[rank((tuples + 1) % len(truth.points), len(truth.points))]
        if np.max(np.abs(shifted - value)) > _INVARIANT * np.max(np.abs(value)):
            return False
    return True


def _gain(matrix: Matrix, vector: Vector, pairs: int, terms: Matrix) -> tuple[float, Vector]:
    """J_Gauss - J of an action with these terms, (term, monomial), beside all quadratic ones, and its highest form.

    From A and b of all monomials: 1/2 b.A^-1 b - 1/2 b_2.A_22^-1 b_2. The form is on the monomials beyond the pairs.
    """
    up = np.zeros((pairs + len(terms), len(vector)))
    up[:pairs, :pairs] = np.eye(pairs)
    up[pairs:, pairs:] = terms
    a, b = up @ matrix @ up.T, up @ vector
    theta = resolved(a, b)
    gauss = b[:pairs] @ np.linalg.solve(a[:pairs, :pairs], b[:pairs])
    return 0.5 * float(b @ theta - gauss), theta[pairs:] @ terms


def _residuals(truth: Correlators, monomials: Matrix) -> tuple[float, float]:
    """|G4c - tree|/|G4c| of the best couplings, in the plain and in the whitened norm, each with its own couplings."""
    kernel, value = truth.tensor(2), truth.connected(4)
    tree = four_point(monomials, kernel)[0]
    plain, white = (left_over(value, None, tree, norm)[0] for norm in (frobenius, lambda g: whitened(g, kernel)))
    return plain, white
