"""Score matching: the couplings that make the Schwinger-Dyson equations of the action hold on the measured moments.

For S = sum_k theta_k T_k(phi), quadratic terms included, and a constant metric W, the Hyvarinen score
J = E[1/2 grad S^t W grad S - lap_W S] is minimised by A theta = b, A = E[grad T^t W grad T], b = E[lap_W T]
(A. Hyvarinen, JMLR 6 (2005) 695). Neither the partition function nor a bounded action is needed, and A and b are linear
in the moments of order 2, 4 and 6. The error is the Godambe sandwich A^-1 B A^-1/n with B = Cov(psi) over networks,
psi = grad T^t W grad S - lap_W T; the naive A^-1/n is too small.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...models.combinatorics import rank, sorted_tuples, tuple_count
from ...models.correlators import Correlators, check_scrambles
from ...models.types import Matrix, Tuples, Vector
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums, total
from ..estimators.tails import WATCHED, Tail, confirmed, gaussian_twin, judge_values, watched
from .basis import Basis, embed
from .leverage import Fitted, left_out, matters
from .schwinger_dyson import gram_matrix, laplacian_vector, psi_map

__all__ = ["Equations", "Frozen", "Gains", "block_scatter", "equations", "gains", "hyvarinen", "residuals", "scatter"]

_ROUND_OFF = 1e-10  # of a correlation matrix made of sums of products
RESOLUTION_LIMIT = 1e13  # of A in unit-norm monomials: beyond it a combination of couplings is round-off


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
    basis: Basis,
    *,
    pilot_precision: Matrix,
    pilot_centre: Vector,
    rich: Basis | None = None,
    networks: float | None = None,
    progress: bool = False,
) -> tuple[Equations, Equations | None]:
    """A, b from the even moments of the data, B from every network of its source, or else from its covariance.

    Args:
        data: Correlators with moments 2, 4 and 6.
        basis: from `make_basis`.
        pilot_precision: prior precision that keeps the pilot of B finite where A is not resolved.
        pilot_centre: prior mean.
        rich: a basis that holds every monomial of `basis` (the full quartic): its equations are returned too, with the
            same pilot, to judge what the action leaves out.
        networks: what exact correlators stand for; default the number the data were averaged over.
        progress: a bar for a long pass.

    Raises:
        ValueError: a moment is missing or refused; A is not resolved; fewer than five scrambles for every term; tails
            so heavy that psi has no average.
    """
    wide = basis if rich is None else rich
    up = np.eye(basis.size) if rich is None else embed(basis, rich)
    moments = _scaled_moments(data, wide)
    wide_matrix, wide_vector = gram_matrix(wide, moments), laplacian_vector(wide, moments)
    matrix, vector = up @ wide_matrix @ up.T, up @ wide_vector
    condition = np.linalg.cond(matrix)
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings the data can tell apart (condition of A below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action (Local, Constant), fewer points or points further apart"
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
        if matters(n, basis.size, len(basis.scale)) and not source.weighted:
            alone = Fitted(np.linalg.inv(matrix), up, basis.metric, np.asarray(float(n)))
        noise, scores, tail = scatter(source, wide, wide_pilot, rungs, fit=alone, progress=progress)
        dof = source.n - 1.0
    elif data.rows.get("moment"):
        check_scrambles(data, wide.size, "the covariance of a fit")
        rows = np.concatenate([_scaled(data.rows["moment"][r], data, wide, r) for r in (2, 4, 6)], axis=1)
        psi = rows @ psi_map(wide, wide_pilot).T
        bare = rows @ psi_map(wide, np.zeros(wide.size)).T
        # J = 1/2 theta.(psi(theta) + psi(0)) network by network
        j = np.stack([0.5 * (rows @ psi_map(wide, t).T + bare) @ t for t in rungs], axis=1)
        noise, scores, dof = _floored(n * psi.T @ psi), n * j.T @ j, data.dof
    found = Equations(matrix, vector, up @ noise @ up.T, pilot, n, dof, scores, tail)
    if rich is None:
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


def _gaussian(basis: Basis, matrix: Matrix, vector: Vector) -> Vector:
    """The best Gaussian action: only the quadratic terms."""
    q = len(basis.quadratic)
    return np.concatenate([np.linalg.solve(matrix[:q, :q], vector[:q]), np.zeros(len(vector) - q)])


def residuals(
    fields: jax.Array, basis: Basis, theta: jax.Array, laplacian: tuple[jax.Array, jax.Array] | None = None
) -> jax.Array:
    """psi_k = grad T_k . W grad S - lap_W T_k of each network, (network, term), for scaled couplings theta.

    fields are physical, (network, point); laplacian: what `_laplacian` gives, where it is known. Zero on average for
    the density exp(-S): the Schwinger-Dyson equations.
    """
    phi, two, three = _monomials(fields, basis)
    force = basis.metric @ (_slope(basis, theta) @ jnp.concatenate([phi, three]))  # W grad S
    constant, slope = _laplacian(basis) if laplacian is None else laplacian
    return (_along(basis, phi, three, force) - slope @ two - constant[:, None]).T


def _along(basis: Basis, phi: jax.Array, three: jax.Array, force: Any) -> jax.Array:
    """Grad T_k . force, (term, network), for a force (point, network)."""
    pairs, quads = basis.pairs, basis.quads
    quadratic = sum(phi[pairs[:, 1 - j]] * force[pairs[:, j]] for j in range(2))
    rest = [rank(np.delete(quads, j, axis=1), len(phi)) for j in range(4)]
    quartic = sum(three[rest[j]] * force[quads[:, j]] for j in range(4))
    return jnp.concatenate([basis.quadratic @ quadratic, basis.terms @ quartic])


def hyvarinen(
    fields: jax.Array, basis: Basis, couplings: jax.Array, laplacian: tuple[jax.Array, jax.Array] | None = None
) -> jax.Array:
    """J = 1/2 grad S . W grad S - lap_W S of each network, (network, rung), for each row of scaled couplings."""
    phi, two, three = _monomials(fields, basis)
    rungs, root = jnp.asarray(couplings), jnp.linalg.cholesky(jnp.asarray(basis.metric)).T
    slopes = root @ jax.vmap(partial(_slope, basis))(rungs)  # (rung, point, monomial): one product for all rungs
    gradient = slopes.reshape(-1, slopes.shape[2]) @ jnp.concatenate([phi, three])
    square = jnp.sum(gradient.reshape(len(rungs), len(phi), -1) ** 2, axis=1)
    constant, slope = _laplacian(basis) if laplacian is None else laplacian
    return (0.5 * square - (rungs @ slope) @ two - (rungs @ constant)[:, None]).T


def _monomials(fields: jax.Array, basis: Basis) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scaled fields and their sorted monomials of degree 2 and 3, each (monomial, network)."""
    phi = (fields / basis.scale).T
    pairs, triples = sorted_tuples(len(phi), 2), sorted_tuples(len(phi), 3)
    two = phi[pairs[:, 0]] * phi[pairs[:, 1]]
    return phi, two, two[rank(triples[:, :2], len(phi))] * phi[triples[:, 2]]


def _gradients(fields: jax.Array, basis: Basis) -> jax.Array:
    """dT_k/dphi_a of every term, (point, term, network)."""
    phi, _, three = _monomials(fields, basis)
    unit = jnp.eye(len(phi))[:, :, None] * jnp.ones_like(phi)
    return jax.vmap(partial(_along, basis, phi, three))(unit)


def _slope(basis: Basis, theta: jax.Array) -> jax.Array:
    """Grad S as a linear map of the monomials of degree 1 and 3, (point, monomial)."""
    points, q = len(basis.scale), len(basis.quadratic)
    pairs, couplings = basis.quadratic.T @ theta[:q], basis.terms.T @ theta[q:]
    linear = jnp.zeros((points, points))
    cubic = jnp.zeros((points, tuple_count(points, 3)))
    for j in range(2):
        linear = linear.at[basis.pairs[:, j], basis.pairs[:, 1 - j]].add(pairs)
    for j in range(4):
        cubic = cubic.at[basis.quads[:, j], rank(np.delete(basis.quads, j, axis=1), points)].add(couplings)
    return jnp.concatenate([linear, cubic], axis=1)


def _laplacian(basis: Basis) -> tuple[Vector, Matrix]:
    """lap_W T_k = constant_k + sum over pairs of slope_k,ab phi_a phi_b, (term,) and (term, pair)."""
    pairs, quads, w = basis.pairs, basis.quads, basis.metric
    quartic = np.zeros((len(quads), tuple_count(len(w), 2)))
    for j in range(4):
        for k in range(j):
            rest = rank(np.delete(quads, [k, j], axis=1), len(w))
            np.add.at(quartic, (np.arange(len(quads)), rest), 2.0 * w[quads[:, j], quads[:, k]])
    slope = np.concatenate([np.zeros((len(basis.quadratic), quartic.shape[1])), basis.terms @ quartic])
    constant = np.zeros(len(slope))
    constant[: len(basis.quadratic)] = basis.quadratic @ (2.0 * w[pairs[:, 0], pairs[:, 1]])
    return constant, slope


def scatter(
    source: Source,
    basis: Basis,
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
    # The numbers of the basis are arguments: as constants of the program they would have it compiled for every fit.
    numbers = (basis.quadratic, basis.terms, basis.scale, basis.metric)
    keep, q, tail = watched(source), len(basis.quadratic), None
    # The terms of fewest points first: a power of one field has the heaviest tail.
    spread = np.array([len(np.unique(basis.quads[row != 0])) for row in basis.terms])
    looked = tuple((q + np.argsort(spread, kind="stable")[:WATCHED]).tolist()) if keep else ()
    statistic = _ScatterSums(Frozen((basis.pairs, basis.quads)), looked)
    given = (statistic, theta, rungs, fit, *numbers, *_laplacian(basis))
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
    source: Source, basis: Basis, theta: Vector, rungs: Matrix, *, progress: bool = False
) -> tuple[Matrix, Matrix, float]:
    """The same for a Markov chain, from its blocks: n_eff times the covariances of the means, and their dof."""
    sizes, parts = sums(source, _BlockSums(Frozen(basis)), theta, rungs, progress=progress, what="sandwich")
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


@dataclass(frozen=True)
class _ScatterSums:
    """What `scatter` sums: psi and the Hyvarinen scores of every network, and their products; some psi unsummed."""

    frozen: Frozen[tuple[Tuples, Tuples]]
    looked: tuple[int, ...] = ()

    def __call__(
        self,
        fields: jax.Array,
        weights: jax.Array,
        theta: jax.Array,
        rungs: jax.Array,
        fit: Fitted | None,
        *numbers: jax.Array,
    ) -> Any:
        pairs, quads = self.frozen.tree
        traced: Any = numbers
        quadratic, terms, scale, metric, constant, slope = traced
        units: Any = jnp.ones(len(quads))
        basis = Basis(pairs, quadratic, quads, terms, scale, units, metric)  # units of no concern here
        psi = residuals(fields, basis, theta, (constant, slope))
        j = hyvarinen(fields, basis, rungs, (constant, slope))
        psi, j = jax.lax.optimization_barrier((psi * weights[:, None], j * weights[:, None]))
        alone = psi if fit is None else left_out(psi, _gradients(fields, basis), fit) * weights[:, None]
        added = (
            (alone.sum(axis=0), weights @ alone, alone.T @ alone),
            (j.sum(axis=0), weights @ j, j.T @ j),
            weights @ weights,
        )
        return (added, psi[:, np.array(self.looked)]) if self.looked else added


@dataclass(frozen=True)
class _BlockSums:
    frozen: Frozen[Basis]

    def __call__(self, fields: jax.Array, weights: jax.Array, theta: jax.Array, rungs: jax.Array) -> Any:
        basis = self.frozen.tree
        return weights @ residuals(fields, basis, theta), weights @ hyvarinen(fields, basis, rungs)


def gains(eq: Equations, rich: Equations | None, quadratic: int) -> Gains:
    """How much the quartic terms improve the Hyvarinen score over the best Gaussian, with standard errors.

    J_Gauss - J_action = 1/2 b.A^-1 b - 1/2 b_2.A_22^-1 b_2 on the same moments, minus the optimism of fitting the extra
    terms, tr(A^-1 B)/2n. The errors are those of the mean difference of the networks' own scores.
    """

    def one(e: Equations) -> float:
        a, b = e.matrix, e.vector
        inner = np.zeros_like(a)
        inner[:quadratic, :quadratic] = np.linalg.inv(a[:quadratic, :quadratic])
        extra = np.linalg.inv(a) - inner
        return 0.5 * float(b @ extra @ b) - 0.5 * float(np.sum(extra.T * e.noise)) / e.networks

    if eq.scores is None:
        raise ValueError("expected equations with the Hyvarinen scores of networks, got others; try method='score'")
    noise = eq.scores / eq.networks
    to_action, to_full = np.array([1.0, -1.0, 0.0]), np.array([1.0, 0.0, -1.0])
    action = (one(eq), float(np.sqrt(to_action @ noise @ to_action)))
    if rich is None:
        return Gains(action, None, None)
    full = (one(rich), float(np.sqrt(to_full @ noise @ to_full)))
    if full[0] <= 0:
        return Gains(action, full, None)
    if len(eq.vector) == len(rich.vector):  # the action holds every quartic term (bilocal at two points)
        return Gains(action, full, (1.0, 0.0))
    share = action[0] / full[0]
    direction = to_action - share * to_full
    return Gains(action, full, (share, float(np.sqrt(direction @ noise @ direction)) / full[0]))


def _scaled(values: np.ndarray, data: Correlators, basis: Basis, order: int) -> np.ndarray:
    return values / np.prod(basis.scale[data.tuples(order)], axis=1)


def _scaled_moments(data: Correlators, basis: Basis) -> dict[int, np.ndarray]:
    for order in (2, 4, 6):
        if order in data.refused and order not in data.moments:
            raise ValueError(
                f"expected moments of order 2, 4 and 6 for a quartic action, got order {order} refused: "
                f"{data.refused[order]}"
            )
    return {order: _scaled(data.moment(order), data, basis, order) for order in (2, 4, 6)}
