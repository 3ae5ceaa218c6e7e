"""Score matching: the couplings that make the Schwinger-Dyson equations of the action hold on the measured moments.

For S = sum_k theta_k T_k(phi), quadratic terms included, and a constant metric W, the Hyvarinen score
J = E[1/2 grad S^t W grad S - lap_W S] is minimised by A theta = b, A = E[grad T^t W grad T], b = E[lap_W T]
(A. Hyvarinen, JMLR 6 (2005) 695). Neither the partition function nor a bounded action is needed, and A and b are linear
in the moments of order 2, 4 and 6. The error is the Godambe sandwich A^-1 B A^-1/n with B = Cov(psi) over networks,
psi = grad T^t W grad S - lap_W T; the naive A^-1/n is too small.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...models.correlators import Correlators, check_scrambles
from ...models.types import Matrix, Vector
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums, total
from ..estimators.tails import WATCHED, Tail, confirmed, gaussian_twin, judge_values, watched
from .leverage import Fitted, left_out, matters
from .schwinger_dyson import RESOLUTION_LIMIT, moment_equations, psi_map, scaled_moments
from .terms import Terms, embed, far_off

__all__ = ["Equations", "Frozen", "Gains", "block_scatter", "equations", "gains", "scatter"]

_ROUND_OFF = 1e-10  # of a correlation matrix made of sums of products


class Equations(NamedTuple):
    """A theta = b, its noise and where it came from: everything a posterior needs.

    matrix: A, (term, term); vector: b, (term,); noise: B, covariance of psi of one network at the pilot, (term, term);
    pilot: the theta B was taken at; networks: n, of a chain n_eff; dof: degrees of freedom of B (inf when from every
    network); scores: covariance of one network's Hyvarinen score for the best Gaussian, the action and the full quartic
    (or the action); tail: whether the averages of psi converge, where its networks were looked at one by one.
    """

    matrix: Matrix
    vector: Vector
    noise: Matrix
    pilot: Vector
    networks: float
    dof: float
    scores: Matrix | None = None
    tail: Tail | None = None

    @property
    def estimate(self) -> Vector:
        """Theta = A^-1 b."""
        return np.linalg.solve(self.matrix, self.vector)

    @property
    def sandwich(self) -> Matrix:
        """Godambe covariance A^-1 B A^-1 / n."""
        inverse = np.linalg.inv(self.matrix)
        return inverse @ self.noise @ inverse.T / self.networks

    @property
    def naive(self) -> Matrix:
        """A^-1 / n: what a Hessian would claim."""
        return np.linalg.inv(self.matrix) / self.networks


class Gains(NamedTuple):
    """Hyvarinen gains over the best Gaussian, J_Gauss - J, each with its standard error; `share` is their ratio."""

    action: tuple[float, float]
    full: tuple[float, float] | None
    share: tuple[float, float] | None


def equations(
    data: Correlators,
    terms: Terms,
    *,
    pilot_precision: Matrix,
    pilot_centre: Vector,
    full: Terms | None = None,
    networks: float | None = None,
    progress: bool = False,
) -> tuple[Equations, Equations | None]:
    """A, b from the even moments of the data, B from every network of its source, or else from its covariance.

    Args:
        data: Correlators with moments 2, 4 and 6, of all orders up to six for an action with odd terms.
        terms: those of a quartic action.
        pilot_precision: prior precision that keeps the pilot of B finite where A is not resolved.
        pilot_centre: prior mean.
        full: those of the full quartic action: its equations are returned too, with the same pilot, to judge what the
            action leaves out.
        networks: what exact correlators stand for; default the number the data were averaged over.
        progress: a bar for a long pass.

    Raises:
        ValueError: a moment is missing or refused; A is not resolved; fewer than five scrambles for every term; tails
            so heavy that psi has no average.
    """
    wide = terms if full is None else full
    up = np.eye(terms.size) if full is None else embed(terms, full)
    wide_matrix, wide_vector = moment_equations(wide, scaled_moments(wide, data))
    matrix, vector = up @ wide_matrix @ up.T, up @ wide_vector
    condition = np.linalg.cond(matrix)
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings the data can tell apart (condition of A below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action (Local, Constant), fewer points or points further apart"
            f"{far_off(terms)}"
        )
    n, dof = data.networks if networks is None else float(networks), np.inf
    informed = 1.0 if np.isinf(n) else n
    pilot = np.linalg.solve(matrix + pilot_precision / informed, vector + pilot_precision @ pilot_centre / informed)
    wide_pilot = up.T @ pilot
    rungs = np.stack(
        [_gaussian(wide, wide_matrix, wide_vector), wide_pilot, np.linalg.lstsq(wide_matrix, wide_vector)[0]]
    )
    noise, scores, tail = np.zeros_like(wide_matrix), np.zeros((3, 3)), None
    source = data.source
    if source is not None and source.dependence.block > 1:
        noise, scores, dof = block_scatter(source, wide, wide_pilot, rungs, progress=progress)
    elif source is not None:
        alone = None
        if matters(n, terms.size, len(terms.scale)) and not source.weighted:
            alone = Fitted(np.linalg.inv(matrix), up, terms.metric, np.asarray(float(n)))
        noise, scores, tail = scatter(source, wide, wide_pilot, rungs, fit=alone, progress=progress)
        dof = source.n - 1.0
    elif data.rows.get("moment"):
        check_scrambles(data, wide.size, "the covariance of a fit")
        rows = [data.rows["moment"][r] / np.prod(wide.scale[data.tuples(r)], axis=1) for r in wide.orders]
        rows = np.concatenate(rows, axis=1)
        psi = rows @ psi_map(wide, wide_pilot).T
        bare = rows @ psi_map(wide, np.zeros(wide.size)).T
        # J = 1/2 theta.(psi(theta) + psi(0)) network by network
        j = np.stack([0.5 * (rows @ psi_map(wide, t).T + bare) @ t for t in rungs], axis=1)
        noise, scores, dof = _floored(n * psi.T @ psi), n * j.T @ j, data.dof
    found = Equations(matrix, vector, up @ noise @ up.T, pilot, n, dof, scores, tail)
    if full is None:
        return found, None
    return found, Equations(wide_matrix, wide_vector, noise, wide_pilot, n, dof, scores)


def _floored(noise: Matrix) -> Matrix:
    """B with no correlation eigenvalue below round-off, where a combination has no noise to first order.

    The phase of one cosine, for one, fixes its moments at a point. Tried and left out: a floor of 1/n, the size of the
    next order, made every interval of such a fit several times too wide.
    """
    scale = np.sqrt(np.diag(noise))
    eigenvalues, vectors = np.linalg.eigh(noise / np.outer(scale, scale))
    raised = np.maximum(eigenvalues, _ROUND_OFF * eigenvalues[-1])
    return (vectors * raised) @ vectors.T * np.outer(scale, scale)


def _gaussian(terms: Terms, matrix: Matrix, vector: Vector) -> Vector:
    """The best Gaussian action: only quadratic and linear terms."""
    q = terms.gaussian
    return np.concatenate([np.linalg.solve(matrix[:q, :q], vector[:q]), np.zeros(len(vector) - q)])


def scatter(
    source: Source,
    terms: Terms,
    theta: Vector,
    rungs: Matrix,
    *,
    fit: Fitted | None = None,
    progress: bool = False,
) -> tuple[Matrix, Matrix, Tail | None]:
    """Covariances over networks of psi at theta, (term, term), and of the Hyvarinen scores, (rung, rung): one pass.

    With a `fit` to few networks psi of each is taken where the others put the couplings (`leverage.py`). In the same
    pass some psi are looked at network by network: has their average an error? With weights w the covariance of the
    mean sum w psi/sum w, times the effective number (sum w)^2/sum w^2 of networks.
    """
    arrays, rest = _apart(terms)
    keep, q, tail = watched(source), terms.places[-1].start, None
    # The terms of highest degree, of fewest points first: a power of one field has the heaviest tail.
    quads, rows = terms.tables[-1]
    spread = np.array([len(np.unique(quads[row != 0])) for row in rows])
    looked = tuple((q + np.argsort(spread, kind="stable")[:WATCHED]).tolist()) if keep else ()
    given = (_ScatterSums(rest, looked), theta, rungs, fit, arrays)
    weight, (of_psi, of_score, squares), *seen = total(source, *given, keep=keep, progress=progress, what="sandwich")
    if keep:
        tail = judge_values(seen[0], 6, "psi", lambda: total(gaussian_twin(source), *given, keep=keep)[2], flag=False)
        tail = confirmed(tail, source, 6)
        if tail.verdict == "refused":
            raise ValueError(f"expected equations whose averages converge, got: {tail.why}; try lighter tails")
    squares = float(squares)  # of the weights, all one unless the model deforms its density

    def covariance(first: np.ndarray, second: np.ndarray, square: np.ndarray) -> Matrix:
        mean = first / weight
        cross = np.outer(mean, second)
        central = square - cross - cross.T + squares * np.outer(mean, mean)
        return central / squares * source.n / (source.n - 1)

    return covariance(*of_psi), covariance(*of_score), tail


def block_scatter(
    source: Source, terms: Terms, theta: Vector, rungs: Matrix, *, progress: bool = False
) -> tuple[Matrix, Matrix, float]:
    """The same for a Markov chain, from its blocks: n_eff times the covariances of the means, and their dof."""
    arrays, rest = _apart(terms)
    sizes, parts = sums(source, _BlockSums(rest), theta, rungs, arrays, progress=progress, what="sandwich")
    psi, scores = (error_rows(source, sizes, part) for part in parts)
    effective = source.dependence.effective
    return effective * psi.T @ psi, effective * scores.T @ scores, len(sizes) - 1.0


@dataclass(frozen=True, eq=False)
class Frozen[T]:
    """A tree of arrays compared by content, so that a program compiled for it is reused for equal ones."""

    tree: T

    @cached_property
    def content(self) -> tuple[Any, ...]:
        leaves, shape = jax.tree.flatten(self.tree)
        return shape, *((np.shape(leaf), np.asarray(leaf).tobytes()) for leaf in leaves)

    def __getstate__(self) -> dict[str, Any]:
        return {"tree": self.tree}  # the content is made again where it is needed

    def __hash__(self) -> int:
        return hash(self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and self.content == other.content


def _apart(terms: Terms) -> tuple[Terms, Frozen[Terms]]:
    """The arrays of the terms, and the rest: as constants of a program they would have it compiled for every fit."""
    arrays, rest = eqx.partition(terms, lambda leaf: isinstance(leaf, np.ndarray))
    return arrays, Frozen(rest)


@dataclass(frozen=True)
class _ScatterSums:
    """What `scatter` sums: psi and the Hyvarinen scores of every network, and their products; some psi unsummed."""

    rest: Frozen[Terms]
    looked: tuple[int, ...] = ()

    def __call__(
        self,
        fields: jax.Array,
        weights: jax.Array,
        theta: jax.Array,
        rungs: jax.Array,
        fit: Fitted | None,
        arrays: Terms,
    ) -> Any:
        terms = eqx.combine(arrays, self.rest.tree)
        psi, j = terms.residuals(fields, theta), terms.scores(fields, rungs)
        psi, j = jax.lax.optimization_barrier((psi * weights[:, None], j * weights[:, None]))
        alone = psi
        if fit is not None:
            alone = left_out(psi, jnp.transpose(terms.gradients(fields), (2, 1, 0)), fit) * weights[:, None]
        added = (
            (alone.sum(axis=0), weights @ alone, alone.T @ alone),
            (j.sum(axis=0), weights @ j, j.T @ j),
            weights @ weights,
        )
        return (added, psi[:, np.array(self.looked)]) if self.looked else added


@dataclass(frozen=True)
class _BlockSums:
    rest: Frozen[Terms]

    def __call__(self, fields: jax.Array, weights: jax.Array, theta: jax.Array, rungs: jax.Array, arrays: Terms) -> Any:
        terms = eqx.combine(arrays, self.rest.tree)
        return weights @ terms.residuals(fields, theta), weights @ terms.scores(fields, rungs)


def gains(eq: Equations, full: Equations | None, gaussian: int) -> Gains:
    """How much the terms behind the Gaussian ones improve the Hyvarinen score over the best Gaussian, and the errors.

    J_Gauss - J_action = 1/2 b.A^-1 b - 1/2 b_2.A_22^-1 b_2 on the same moments, minus the optimism of fitting the extra
    terms, tr(A^-1 B)/2n. The errors are those of the mean difference of the networks' own scores.
    """

    def one(e: Equations) -> float:
        a, b = e.matrix, e.vector
        inner = np.zeros_like(a)
        inner[:gaussian, :gaussian] = np.linalg.inv(a[:gaussian, :gaussian])
        extra = np.linalg.inv(a) - inner
        return 0.5 * float(b @ extra @ b) - 0.5 * float(np.sum(extra.T * e.noise)) / e.networks

    if eq.scores is None:
        raise ValueError("expected equations with the Hyvarinen scores of networks, got others; try method='score'")
    noise = eq.scores / eq.networks
    to_action, to_full = np.array([1.0, -1.0, 0.0]), np.array([1.0, 0.0, -1.0])
    action = (one(eq), float(np.sqrt(to_action @ noise @ to_action)))
    if full is None:
        return Gains(action, None, None)
    most = (one(full), float(np.sqrt(to_full @ noise @ to_full)))
    if most[0] <= 0:
        return Gains(action, most, None)
    if len(eq.vector) == len(full.vector):  # the action holds every quartic term (bilocal at two points)
        return Gains(action, most, (1.0, 0.0))
    share = action[0] / most[0]
    direction = to_action - share * to_full
    return Gains(action, most, (share, float(np.sqrt(direction @ noise @ direction)) / most[0]))
