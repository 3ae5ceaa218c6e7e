"""Couplings of two ensembles whose networks belong together, one by one: their difference, and its own error.

Each ensemble has its own equations A theta = b. To first order its networks move the solution by

    theta - theta_true = -A^-1 (1/n) sum_i psi_i ,   psi_i = A_i theta - b_i at the solution,

and the same groups of networks do so in both: their contributions subtract, and what the two share drops out. With
independent keys nothing is shared, and the squares of the two sandwich errors add.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from ...models.actions.base import AbstractAction
from ...models.distance import Chi2, distance
from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums
from ..equations.from_moments import Frozen
from ..equations.terms import Terms
from ..estimators.measure import check_source
from ..methods.problem import Problem, prepare
from ..pooling.pairs import check_pairs

__all__ = ["CouplingChange", "coupling_rows", "paired_couplings"]


@dataclass(frozen=True, eq=False)
class CouplingChange:
    """Couplings of one ensemble minus those of another, quadratic ones first; prints as a table.

    Attributes:
        names: of each coupling, as in `fit["posterior"]`: q[0,1], g[0], v[0,1].
        first, second: A^-1 b of each, without a prior, (coupling,).
        rows: contributions of groups of networks to first - second; the covariance is rows^T rows, (group, coupling).
        apart: errors of the difference, had the two independent keys, (coupling,).
        networks: pairs of networks.
    """

    names: tuple[str, ...]
    first: Vector
    second: Vector
    rows: Float[np.ndarray, "group coupling"]
    apart: Vector
    networks: int

    @property
    def value(self) -> Vector:
        """The difference first - second, (coupling,)."""
        return self.first - self.second

    @property
    def covariance(self) -> Matrix:
        """Of the difference, over the pairs, (coupling, coupling)."""
        return self.rows.T @ self.rows

    @property
    def error(self) -> Vector:
        """One standard error of the difference, (coupling,)."""
        return np.sqrt(np.sum(self.rows**2, axis=0))

    def chi2(self, *letters: str) -> Chi2:
        """Is there a difference? In the couplings with these letters together, or in all.

        Raises:
            ValueError: no coupling has such a letter.
        """
        kept = [k for k, name in enumerate(self.names) if not letters or name.partition("[")[0] in letters]
        if not kept:
            known = sorted({name.partition("[")[0] for name in self.names})
            raise ValueError(f"expected letters among {known}, got {list(letters)}; try {known[-1]!r}")
        pairs, dof = float(self.networks), len(self.rows) - 1.0
        return distance(self.value[kept], self.rows[:, kept], networks=pairs, dof=dof, connected=True, groups=True)

    def to_dataset(self) -> xr.Dataset:
        """Labelled copy: first, second, difference and its errors on the dim `coupling`."""
        columns = {"first": self.first, "second": self.second, "difference": self.value, "error": self.error}
        columns["error_apart"] = self.apart
        made = {name: ("coupling", values) for name, values in columns.items()}
        return xr.Dataset(made, coords={"coupling": np.array(self.names, dtype=object)})

    def __str__(self) -> str:
        lines = [f"Couplings of {self.networks:,} pairs of networks: first, second, difference (error with other keys)"]
        for k, name in enumerate(self.names):
            lines.append(
                f"  {name:<10}{self.first[k]:>+12.4g}{self.second[k]:>+12.4g}{self.value[k]:>+12.4g} +- "
                f"{self.error[k]:.2g} ({self.apart[k]:.2g})"
            )
        return "\n".join(lines)

    __repr__ = __str__


@settled(None)
def paired_couplings(
    first: Source,
    second: Source,
    action: AbstractAction,
    *,
    metric: Matrix | None = None,
    weights: Vector | None = None,
    progress: bool = False,
) -> CouplingChange:
    """Couplings of the first ensemble minus those of the second, network i of one paired with i of the other.

    The couplings are those of score matching, A^-1 b, which a prior worth one network moves by 1/n of its width.

    Args:
        first: an `Ensemble`, or `Samples`.
        second: another of the same key or in the same order, as many networks at as many points, as in `inf.paired`.
        action: what is fitted to both.
        metric: W of score matching for both, (point, point). Default: of each the two-point function of its own field,
            as `inf.fit` takes it. Once the action leaves something out W decides which couplings come out: a common one
            tells a change of the field from a change of W.
        weights: quadrature weights, (point,).
        progress: bars for long passes.

    Raises:
        ValueError: as `inf.paired`, and as `inf.fit`.

    Example, the same weights under two activations:
        >>> import jax
        >>> from nnft.inference import Ensemble
        >>> from nnft.models import Erf, Local, Network, Tanh
        >>> recipe = {"points": np.array([[1.0]]), "n": 4000, "key": jax.random.key(0)}
        >>> a, b = Ensemble(Network(Erf(), 5), **recipe), Ensemble(Network(Tanh(), 5), **recipe)
        >>> change = paired_couplings(a, b, Local())
        >>> change.names, bool(np.all(change.error < 0.5 * change.apart))
        (('q[0,0]', 'g[0]'), True)
    """
    for source in (first, second):
        check_source(source)
    check_pairs(first, second)
    both: tuple[Any, ...] = (first.in_places(), second.in_places())
    one, two = (prepare(source, action, metric=metric, weights=weights, progress=progress) for source in both)
    (a, rows_a), (b, rows_b) = (coupling_rows(problem, progress=progress) for problem in (one, two))
    if rows_a.shape != rows_b.shape:
        raise ValueError(
            f"expected as many networks behind both fits, got {len(rows_a)} and {len(rows_b)} groups of them, since an "
            "array holds some out for its metric; try metric=, or two arrays, or two ensembles"
        )
    apart = np.sqrt(np.sum(rows_a**2, axis=0) + np.sum(rows_b**2, axis=0))
    return CouplingChange(_names(one), a, b, rows_a - rows_b, apart, _source(one).n)


def coupling_rows(problem: Problem, *, progress: bool = False) -> tuple[Vector, Float[np.ndarray, "group coupling"]]:
    """A^-1 b, and what each group of networks contributes to it: rows^T rows is its sandwich covariance."""
    source, terms = _source(problem), problem.terms
    arrays, rest = eqx.partition(terms, lambda leaf: isinstance(leaf, np.ndarray))
    theta = problem.equations.estimate
    sizes, psi = sums(source, _Residuals(Frozen(rest)), theta, arrays, progress=progress, what="pairs")
    rows = -error_rows(source, sizes, psi) @ np.linalg.inv(problem.equations.matrix).T
    return theta / problem.factors, rows / problem.factors


@dataclass(frozen=True)
class _Residuals:
    """The sum of psi over networks."""

    rest: Frozen[Terms]

    def __call__(self, fields: jax.Array, weights: jax.Array, theta: jax.Array, arrays: Terms) -> jax.Array:
        return weights @ eqx.combine(arrays, self.rest.tree).residuals(fields, theta)


def _source(problem: Problem) -> Source:
    """The networks that the equations were averaged over: without those held out for the metric."""
    kept = problem.source if problem.data is None else problem.data.source
    assert kept is not None
    return kept


def _names(problem: Problem) -> tuple[str, ...]:
    """Each coupling as a fit names it."""
    out = []
    for name, (_, labels) in problem.action.labels(len(problem.points)).items():
        symbol = problem.action.symbol(name)
        for row in labels.tolist():
            where = ",".join(map(str, row))
            out.append(f"{name}({where})" if symbol.step else f"{name}[{where}]" if where else symbol.plain or name)
    return tuple(out)
