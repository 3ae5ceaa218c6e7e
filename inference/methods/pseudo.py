"""Pseudo-likelihood: the couplings under which each field value is likely, given the field at all other points.

For a polynomial action p(phi_a | rest) = exp(-S_a(phi_a))/Z_a with S_a(t) = sum_j c_aj(rest) t^j needs one integral
over a line, so the sum over points of log p(phi_a | rest) is known exactly, without the partition function
(J. Besag, J. R. Stat. Soc. B 36 (1974) 192). It is concave in the couplings: Newton's method finds its maximum from
score_k = sum_a (E_a[T_k] - T_k), H_kl = sum_a Cov_a(T_k, T_l), E_a and Cov_a taken over phi_a alone. The values of one
field are not independent, so the error is the sandwich H^-1 Cov(score) H^-1/n; the naive H^-1/n is too small.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.samples import Samples
from ..ensembles.source import Source
from ..equations.from_moments import Equations
from ..equations.schwinger_dyson import RESOLUTION_LIMIT
from ..equations.terms import Terms
from .conditionals import NODES, RESOLVED, moments
from .method import SANDWICH, AbstractMethod, EquationLikelihood, MethodWords, networks_of
from .problem import Problem

__all__ = ["Pseudo", "pseudo_equations"]

_CHUNK, _PIECE = 65_536, 2048  # networks held in memory, and networks summed at a time
_CONVERGED = 1e-9  # of a Newton step, squared, in units of the posterior width
_STEPS, _HALVINGS = 50, 30


class _Sites(NamedTuple):
    """What each point sees of the terms: T_k = sum_j phi_a^j (sum over entries of coefficient prod rest) + const.

    index: the terms that hold the point, (point, local), filled up with the number of terms; rest: for each power j the
    other fields of a monomial, (point, entry, others), filled up with the number of points, whose "field" is 1;
    coefficient: for each power j, (point, entry, local).
    """

    index: Int[np.ndarray, "point local"]
    rest: tuple[Int[np.ndarray, "point entry others"], ...]
    coefficient: tuple[Float[np.ndarray, "point entry local"], ...]


class _Sums(NamedTuple):
    """Sums over networks: log pseudo-likelihood, score, its square, H, sites unbounded or unresolved, weights."""

    value: Any
    score: Any
    square: Any
    hessian: Any
    unbounded: Any
    unresolved: Any
    weight: Any
    weight_square: Any


class Pseudo(AbstractMethod):
    """The pseudo-likelihood, for bounded conditional densities and from the fields; its errors are the sandwich.

    Args:
        metric: W of the score matching that gives units and pilot, (point, point).

    Example:
        >>> Pseudo().fields
        True
    """

    metric: Matrix | None = None

    @property
    def word(self) -> str:
        return "pseudo"

    @property
    def said(self) -> MethodWords:
        how = "From the fields themselves, the pseudo-likelihood (every point given the others)"
        return MethodWords(how, f"{SANDWICH} of the pseudo-likelihood equations)", sandwich=True)

    @property
    def fields(self) -> bool:
        return True

    def likelihood(self, problem: Problem, *, key: jax.Array, progress: bool = False) -> EquationLikelihood:
        source = networks_of(problem, self)
        found = pseudo_equations(source, problem.terms, problem.equations.pilot, progress=progress)
        return EquationLikelihood(found)


@settled(None)
def pseudo_equations(
    data: Source | Float[np.ndarray, "network point"], terms: Terms, pilot: Vector, *, progress: bool = False
) -> Equations:
    """H theta = H theta_hat with the noise of the pseudo-score: the estimate theta_hat as estimating equations.

    Args:
        data: an `Ensemble`, `Samples`, or fields (network, point).
        terms: the terms T_k of the action.
        pilot: scaled couplings where Newton's method starts, (term,): the estimate of score matching.
        progress: a bar for each long pass over the networks.

    Returns:
        Equations with matrix H and noise Cov(score), both per network and at theta_hat, which is also their pilot.

    Raises:
        ValueError: a conditional density that cannot be normalised, at the pilot or on the way to the maximum, with the
            number of networks and points; a Hessian that is not resolved.

    Example, one site, S = phi^2/2 + phi^4/10, where it is maximum likelihood:
        >>> from nnft.models.actions.rungs import Local
        >>> from nnft.inference.equations.terms import terms_of
        >>> rng = np.random.default_rng(0)
        >>> free = rng.normal(size=(40_000, 1))
        >>> fields = free[rng.random(40_000) < np.exp(-0.1 * free[:, 0] ** 4)]
        >>> found = pseudo_equations(fields, terms_of(Local(), np.eye(1), np.ones(1)), np.array([0.4, 0.2]))
        >>> z = (found.estimate - np.array([0.5, 0.1])) / np.sqrt(np.diag(found.sandwich))
        >>> bool(np.all(np.abs(z) < 5))
        True
    """
    source = _as_source(data)
    sites = _sites(terms)
    theta = np.asarray(pilot, dtype=float)
    here = _total(source, terms, sites, theta, progress)
    if here.unbounded.any():
        raise ValueError(_unbounded(here.unbounded, source.n, "at the pilot"))
    for _ in range(_STEPS):
        step = _newton(here)
        if float(step @ here.score) < _CONVERGED:
            break
        theta, here = _climb(source, terms, sites, theta, step, here, progress)
    else:
        raise ValueError(
            f"expected Newton's method to converge in {_STEPS} steps, got a squared step of "
            f"{float(_newton(here) @ here.score):.2g} posterior widths; try a smaller action or more networks"
        )
    if here.unresolved:
        raise ValueError(
            f"expected conditional densities that {NODES} nodes resolve to {RESOLVED**2.5:.0e}, got "
            f"{int(here.unresolved)} of {source.n * len(terms.scale)} too narrow for their range; try a larger metric"
        )
    mean = here.score / here.weight
    effective = here.weight**2 / here.weight_square
    cross = np.outer(mean, here.score) * here.weight_square / here.weight
    central = (here.square - cross) / here.weight_square
    hessian = here.hessian / here.weight
    noise = central * effective / max(effective - 1.0, 1.0)
    return Equations(hessian, hessian @ theta, noise, theta, float(effective), np.inf)


def _newton(here: _Sums) -> Vector:
    """H^-1 score.

    Raises:
        ValueError: a Hessian whose correlation matrix is round-off.
    """
    scale = np.sqrt(np.maximum(np.diag(here.hessian), 1e-300))
    matrix = here.hessian / np.outer(scale, scale)
    condition = np.linalg.cond(matrix)
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings the data can tell apart (condition of the Hessian below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action, fewer points or points further apart"
        )
    return np.linalg.solve(matrix, here.score / scale) / scale


def _climb(
    source: Source, terms: Terms, sites: _Sites, theta: Vector, step: Vector, here: _Sums, progress: bool
) -> tuple[Vector, _Sums]:
    """The Newton step, halved until the densities are bounded and the value has not fallen."""
    share, there = 1.0, here
    for _ in range(_HALVINGS):
        there = _total(source, terms, sites, theta + share * step, progress)
        if not there.unbounded.any() and there.value >= here.value - 1e-12 * abs(here.value):
            return theta + share * step, there
        share *= 0.5
    raise ValueError(_unbounded(there.unbounded, source.n, "on the way to the maximum, which has none inside"))


def _unbounded(counts: np.ndarray, networks: int, where: str) -> str:
    worst = int(np.argmax(counts))
    return (
        f"expected p(phi_a | rest) that can be normalised (a positive coefficient of the highest power of phi_a), got "
        f"{int(counts.sum())} of {networks * len(counts)} unbounded {where}, at {int(np.sum(counts > 0))} of "
        f"{len(counts)} points, {int(counts[worst])} networks at point {worst}; try score matching, which needs no "
        "bounded action, or more networks"
    )


def _as_source(data: Any) -> Source:
    if hasattr(data, "read"):
        return data
    fields = np.asarray(data, dtype=float)
    return Samples(fields, np.arange(float(fields.shape[1]))[:, None], dims=("network", "point"))


def _sites(terms: Terms) -> _Sites:
    """The tables of the terms, seen from each point."""
    points, size = len(terms.scale), terms.size
    found: list[dict[int, list[tuple[tuple[int, ...], int, float]]]] = []
    degree = max(table.degree for table in terms.parts)
    for a in range(points):
        powers: dict[int, list[tuple[tuple[int, ...], int, float]]] = {j: [] for j in range(1, degree + 1)}
        offset = 0
        for table in terms.parts:
            for e in np.flatnonzero(np.any(table.tuples == a, axis=1)):
                rest = tuple(int(b) for b in table.tuples[e] if b != a)
                powers[table.degree - len(rest)].append((rest, offset + int(table.term[e]), table.coefficient[e]))
            offset += table.count
        found.append(powers)
    held = [sorted({k for entries in powers.values() for _, k, _ in entries}) for powers in found]
    local = max(map(len, held))
    index = np.full((points, local), size)
    for a, terms_here in enumerate(held):
        index[a, : len(terms_here)] = terms_here
    rests, coefficients = [], []
    for j in range(1, degree + 1):
        known = [sorted({rest for rest, _, _ in powers[j]}) for powers in found]
        entries = max(1, *map(len, known))
        rest = np.full((points, entries, degree - j), points)
        coefficient = np.zeros((points, entries, local))
        for a in range(points):
            for e, others in enumerate(known[a]):
                rest[a, e, : len(others)] = others
            for others, k, value in found[a][j]:
                coefficient[a, known[a].index(others), held[a].index(k)] += value
        rests.append(rest)
        coefficients.append(coefficient)
    return _Sites(index, tuple(rests), tuple(coefficients))


def _blocks(source: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Fields (network, point) and weights (network,) of one piece after the other, filled up with weight zero."""
    for start in range(0, source.n, _CHUNK):
        held = min(_CHUNK, source.n - start)
        fields, logs = source.read_weighted(start, held)
        weights = np.exp(logs - source.level)
        for first in range(0, held, _PIECE):
            count = min(_PIECE, held - first)
            piece, weight = np.zeros((_PIECE, fields.shape[1])), np.zeros(_PIECE)
            piece[:count], weight[:count] = fields[first : first + count], weights[first : first + count]
            yield piece, weight


def _total(source: Source, terms: Terms, sites: _Sites, theta: Vector, progress: bool) -> _Sums:
    """All sums at theta: one pass over the networks."""
    fixed = np.zeros((len(terms.scale),) * 2) if terms.fixed is None else np.asarray(terms.fixed)
    total = None
    bar = tqdm(total=source.n, desc="pseudo-score", unit="net", unit_scale=True, delay=2.0, disable=not progress)
    with bar:
        with settled():
            placed = jax.tree.map(jnp.asarray, (sites, theta, fixed))
        for fields, weights in _blocks(source):
            with settled():
                here = _piece(fields / terms.scale, weights, *placed)
                total = here if total is None else jax.tree.map(jnp.add, total, here)
            bar.update(min(_PIECE, source.n - bar.n))
        return jax.tree.map(np.asarray, total)


@jax.jit
def _piece(phi: jax.Array, weights: jax.Array, sites: _Sites, theta: jax.Array, fixed: jax.Array) -> _Sums:
    """The sums of one piece of networks, scaled fields (network, point): point after point."""
    count, points = phi.shape
    size = len(theta)
    padded = jnp.concatenate([phi, jnp.ones((count, 1))], axis=1)
    known = jnp.append(theta, 0.0)
    alive = weights > 0

    def site(carry: tuple[jax.Array, ...], here: Any) -> tuple[tuple[jax.Array, ...], jax.Array]:
        value, score, hessian, unresolved = carry
        a, index, rest, coefficient, row = here
        shares = [jnp.prod(padded[:, r], axis=-1) @ c for r, c in zip(rest, coefficient, strict=True)]
        design = jnp.stack(shares, axis=1)  # (network, power, local): T_k = sum_j design_jk phi_a^j + const
        c = design @ known[index]
        t = phi[:, a]
        c = c.at[:, 0].add(phi @ row - row[a] * t).at[:, 1].add(0.5 * row[a])
        bounded = c[:, -1] > 0
        usable = bounded & alive
        safe = jnp.zeros(c.shape[1]).at[1].set(1.0).at[-1].set(1.0)
        log_z, mean, covariance, error = moments(jnp.where(usable[:, None], c, safe))
        powers = t[:, None] ** jnp.arange(1, c.shape[1] + 1)
        weight = jnp.where(usable, weights, 0.0)
        value = value - weight @ ((c * powers).sum(axis=1) + log_z)
        score = score.at[:, index].add(jnp.einsum("njk,nj->nk", design, mean - powers))
        spread = jnp.einsum("nij,njk->nik", covariance * weight[:, None, None], design)
        local = design.reshape(-1, len(index)).T @ spread.reshape(-1, len(index))
        hessian = hessian.at[index[:, None], index].add(local)
        unresolved = unresolved + jnp.sum(usable & ~(error < RESOLVED))
        return (value, score, hessian, unresolved), jnp.sum(alive & ~bounded)

    start = (jnp.zeros(()), jnp.zeros((count, size + 1)), jnp.zeros((size + 1, size + 1)), jnp.zeros((), dtype=int))
    xs = (jnp.arange(points), sites.index, sites.rest, sites.coefficient, fixed)
    (value, score, hessian, unresolved), unbounded = jax.lax.scan(site, start, xs)
    psi = score[:, :size] * weights[:, None]
    h = hessian[:size, :size]
    return _Sums(
        value, psi.sum(axis=0), psi.T @ psi, 0.5 * (h + h.T), unbounded, unresolved, weights.sum(), weights @ weights
    )
