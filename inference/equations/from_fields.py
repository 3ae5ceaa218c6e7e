"""Score matching from the fields themselves: actions with too many points, or too high a power, for correlators.

A = E[grad T . W grad T], b = E[lap_W T - grad T . W P phi] and B = Cov(psi) summed over networks, site by site where W
is diagonal: a bilocal action at M points costs M (4M)^2 products a network instead of M (3M^2/2)^2, and a translation
invariant one M K^2 for its K terms. Nothing but A, B and one block of fields is in memory, whatever n.
The same numbers as from correlators (`from_moments.py`), where both exist.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from tqdm import tqdm

from ...models.combinatorics import sorted_tuples
from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..engines.memory import expect_memory
from ..ensembles.chains import ODD_ADVICE
from ..ensembles.source import Source, Work
from ..ensembles.sums import error_rows, group_length
from ..estimators.tails import WATCHED, Tail, confirmed, gaussian_twin, gravest, judge_values, watched
from .from_moments import Equations
from .leverage import Fitted, left_out, matters
from .parity import ODD_FALSE_ALARM
from .schwinger_dyson import RESOLUTION_LIMIT
from .terms import Terms, far_off

__all__ = ["Observed", "direct_equations", "observe", "summed"]

_FLOATS = 4_000_000  # of one block's largest table: fits the cache of two cores
_CHUNK = 2**24  # floats read at a time
_WATCHED_SQUARES = 4  # terms whose gradient squared is looked at network by network: each costs a pass over the slots
_CHEAP = 1024  # products a network for odd averages at most, or a twentieth of those of the equations
_COPIES = 8  # of the matrix of the equations


class Observed(NamedTuple):
    """Means over networks: A and b of score matching, and T_k with one standard error, all in scaled fields.

    odd_p: p-value of vanishing odd averages, and odd: the one furthest from zero, in words; tail: whether the diagonal
    of A has an average with an error.
    """

    matrix: Matrix
    vector: Vector
    terms: Vector
    errors: Vector
    odd_p: float
    odd: str = ""
    tail: Tail | None = None


def direct_equations(
    source: Source,
    terms: Terms,
    *,
    pilot_precision: Matrix,
    pilot_centre: Vector,
    progress: bool = False,
) -> tuple[Equations, Observed]:
    """A, b and, in a second pass at the pilot, B over networks.

    Args:
        source: networks or samples of the field, without weights.
        terms: from `terms_of`.
        pilot_precision: prior precision that keeps the pilot of B finite where A is not resolved, (term, term).
        pilot_centre: prior mean, (term,).
        progress: a bar for long passes.

    Raises:
        ValueError: odd averages that are not zero; couplings the data cannot tell apart; weighted draws; fields that
            are not finite.
    """
    if source.weighted:
        raise ValueError(
            "expected networks of equal weight for a fit to fields, got draws weighted by numpyro.factor; try an "
            "action that is fitted to correlators (Bilocal() at fewer points)"
        )
    expect_memory(_COPIES * 8.0 * terms.size**2, f"equations of {terms.size} terms", "a smaller action or reach")
    seen = observe(source, terms, progress=progress)
    if terms.even and seen.odd_p < ODD_FALSE_ALARM:
        raise ValueError(
            f"expected odd averages compatible with zero for an action with even terms only, got {seen.odd}, p = "
            f"{seen.odd_p:.1g} among all <phi> and <phi phi phi>; try {ODD_ADVICE}"
        )
    size = np.sqrt(np.diag(seen.matrix))
    condition = float(np.linalg.cond(seen.matrix / np.outer(size, size))) if terms.size <= 3000 else 1.0
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings the data can tell apart (condition of A below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action or reach, fewer points or points further apart{far_off(terms)}"
        )
    n = source.dependence.effective
    pilot = np.linalg.solve(seen.matrix + pilot_precision / n, seen.vector + pilot_precision @ pilot_centre / n)
    gauss, q = np.zeros(terms.size), terms.gaussian
    gauss[:q] = np.linalg.solve(seen.matrix[:q, :q], seen.vector[:q])
    if source.dependence.block > 1:
        noise, scores, dof, tail = _block_scatter(source, terms, pilot, gauss, progress)
    else:
        alone = None
        if matters(n, terms.size, len(terms.scale)):
            alone = Fitted(np.linalg.inv(seen.matrix), np.eye(terms.size), terms.metric, np.asarray(float(n)))
        noise, scores, dof, tail = _scatter(source, terms, pilot, gauss, alone, progress)
    return Equations(seen.matrix, seen.vector, noise, pilot, n, dof, scores, gravest(seen.tail, tail)), seen


def observe(source: Source, terms: Terms, *, progress: bool = False) -> Observed:
    """A, b, the means of the terms with their errors, and the p-value of vanishing odd averages, in one pass."""
    shared = terms.shared
    root = None if terms.diagonal else np.linalg.cholesky(terms.metric)
    points, width = terms.slots.shape
    shape = (terms.size, terms.size) if root is not None or shared else (points, width, width)
    odds = (1 + len(_odd_pairs(terms)), points)
    zero = [np.zeros(s) for s in (shape, terms.size, terms.size, terms.size, odds, odds)]
    block = _shared_moments if shared and root is None else _moments
    given = terms, block, zero, "equations"
    (gram, vector, first, second, odd, square), values = summed(source, *given, progress, root, watch=True)
    tail = _converging(
        values,
        terms,
        "grad T . W grad T",
        lambda: summed(gaussian_twin(source), *given, False, root, watch=True)[1],
    )
    n = source.n
    if gram.ndim == 3:
        matrix = np.zeros((terms.size + 1, terms.size + 1))
        for a in range(points):
            np.add.at(matrix, np.ix_(terms.slots[a], terms.slots[a]), gram[a])
        gram = matrix[:-1, :-1]
    memory = 2.0 * source.dependence.tau  # one where independent
    errors = np.sqrt(memory * np.maximum(second / n - (first / n) ** 2, 0.0) / n)
    p, worst = _judge_odd(odd, memory * square, terms)
    return Observed(0.5 * (gram + gram.T) / n, vector / n, first / n, errors, p, worst, tail)


def _judge_odd(odd: np.ndarray, square: np.ndarray, terms: Terms) -> tuple[float, str]:
    """P-value of the largest |z| of an odd monomial, and that monomial, from sums of the monomials and their squares.

    Under phi -> -phi each is symmetric about zero, so that z keeps its normal law in the tail whatever that of phi is.
    """
    z = odd / np.sqrt(np.maximum(square, 1e-300))
    row, last = (int(k) for k in np.unravel_index(np.argmax(np.abs(z)), z.shape))
    pairs = _odd_pairs(terms)
    points = len(odd[0])
    cubes = comb(points + 2, 3) if len(pairs) > points else points**2  # the others are the same in another order
    legs = sorted([*pairs[row - 1].tolist(), last] if row else [last])
    name = "".join(f" phi({a})" for a in legs).strip()
    p = min(1.0, 2 * (points + cubes) * float(stats.norm.sf(abs(z[row, last]))))  # Bonferroni: safe if correlated
    return p, f"<{name}> at {z[row, last]:+.1f} sd"


def _odd_pairs(terms: Terms) -> np.ndarray:
    """Pairs that make, with one more point, the cubes that are tested: all, or <phi_a^2 phi_b> where all are costly."""
    points, width = terms.slots.shape
    every = sorted_tuples(points, 2)
    size = points * width**2 if terms.diagonal else points * terms.size**2
    return every if len(every) * points <= max(_CHEAP, size // 20) else np.repeat(np.arange(points)[:, None], 2, axis=1)


def _converging(
    values: np.ndarray | None,
    terms: Terms,
    what: str,
    twin: Callable[[], np.ndarray | None],
    *,
    beside: Source | None = None,
) -> Tail | None:
    """Verdict on what is averaged, from its values network by network; refused where there is no average.

    `beside`: fields that must be heavy too, for sums whose powers may cancel.
    """
    if values is None:
        return None
    tail = judge_values(values, 2 * (terms.degree - 1), what, lambda: np.asarray(twin()), flag=beside is None)
    tail = tail if beside is None else confirmed(tail, beside, 2 * (terms.degree - 1))
    if tail.verdict == "refused":
        raise ValueError(f"expected equations whose averages converge, got: {tail.why}; try lighter tails")
    return tail


def _scatter(
    source: Source, terms: Terms, pilot: Vector, gauss: Vector, fit: Fitted | None, progress: bool
) -> tuple[Matrix, Matrix, float, Tail | None]:
    """Covariance over networks of psi at the pilot and of the Hyvarinen scores of (Gaussian, pilot, pilot), and dof."""
    zero = [np.zeros(s) for s in (terms.size, (terms.size, terms.size), 2, (2, 2))]
    given, last = (terms, _residuals, zero, "sandwich"), (pilot, gauss, fit)
    (first, second, mean, square), values = summed(source, *given, progress, *last, watch=True)
    tail = _converging(
        values,
        terms,
        "psi",
        lambda: summed(gaussian_twin(source), *given, False, *last, watch=True)[1],
        beside=source,
    )
    n = source.n
    noise = (second - np.outer(first, first) / n) / (n - 1)
    scores = (square - np.outer(mean, mean) / n) / (n - 1)
    return noise, scores[np.ix_([0, 1, 1], [0, 1, 1])], n - 1.0, tail


def _block_scatter(
    source: Source, terms: Terms, pilot: Vector, gauss: Vector, progress: bool
) -> tuple[Matrix, Matrix, float, Tail | None]:
    """The same for a Markov chain, from its blocks: n_eff times the covariances of the means, and their dof."""
    zero = [np.zeros(s) for s in (terms.size, (terms.size, terms.size), 2, (2, 2))]
    length, sums = group_length(source), _Sums(terms, _residuals, tuple(zero), (pilot, gauss, None), 0)
    parts = [part for some in source.gather(_BlockSums(sums, progress=progress, what="sandwich")) for part in some]
    sizes = np.minimum(length, source.n - length * np.arange(len(parts))).astype(float)
    psi, scores = (error_rows(source, sizes, np.stack(part)) for part in zip(*parts, strict=True))
    effective, both = source.dependence.effective, np.ix_([0, 1, 1], [0, 1, 1])
    return effective * psi.T @ psi, (effective * scores.T @ scores)[both], len(sizes) - 1.0, None


def _moments(
    fields: jax.Array, alive: jax.Array, terms: Terms, root: jax.Array | None, *, watch: bool, shared: bool = False
) -> Any:
    """What `observe` sums over the networks of a block; the Gram matrix site by site, or of whole terms."""
    local = terms.local_gradients(fields)
    if not terms.even:  # a linear term has a slope where the field is zero, and so on the padding
        local = local * alive
    if root is not None or shared:
        white = _at_sites(local, terms) if root is None else (terms.gradients(fields) * alive[:, None, None]) @ root
        flat = jnp.swapaxes(white, 0, 1).reshape(terms.size, -1)
        gram = flat @ flat.T
    else:
        white = _at_sites(local, terms)
        gram = white @ jnp.swapaxes(white, 1, 2)
    right = terms.laplacians(fields)
    if terms.fixed is not None:
        right = right - terms.gather(local * terms.turned(terms.free_force(fields))[:, None])
    value, phi = terms.values(fields), fields / terms.scale
    first, second = _odd_pairs(terms).T
    two = jnp.concatenate([jnp.ones((len(phi), 1)), phi[:, first] * phi[:, second]], axis=1)
    added = gram, alive @ right, value.sum(0), (value**2).sum(0), two.T @ phi, (two**2).T @ phi**2
    return added, _diagonal(local, terms) if watch else None


def _at_sites(local: jax.Array, terms: Terms) -> jax.Array:
    """Slopes times sqrt(W_aa) of a diagonal metric."""
    return local if terms.unit else local * jnp.sqrt(jnp.diag(jnp.asarray(terms.metric)))[:, None, None]


def _diagonal(local: jax.Array, terms: Terms) -> jax.Array:
    """Grad T_k . grad T_k of the terms looked at, (network, term), in the diagonal of W."""
    looked = _looked(terms, _WATCHED_SQUARES)
    square = _at_sites(local, terms) ** 2
    chosen = jnp.asarray(looked)[:, None, None] == jnp.asarray(terms.slots)  # (term, point, slot)
    return jnp.einsum("kas,asn->nk", chosen.astype(square.dtype), square)


def _looked(terms: Terms, most: int) -> np.ndarray:
    """Some of the terms of highest degree, the first and the last among them."""
    top = terms.size - terms.parts[-1].count
    return top + np.unique(np.linspace(0, terms.size - top - 1, most).astype(int))


_shared_moments = partial(_moments, shared=True)


def _residuals(
    fields: jax.Array,
    alive: jax.Array,
    terms: Terms,
    pilot: jax.Array,
    gauss: jax.Array,
    fit: Fitted | None,
    *,
    watch: bool,
) -> Any:
    """What `_scatter` sums over the networks of a block; of a `fit` to few, psi where the others put the couplings."""
    psi, score = terms.residuals(fields, pilot), terms.scores(fields, jnp.stack([gauss, pilot])).T
    psi, score = psi * alive[:, None], score * alive
    alone = psi if fit is None else left_out(psi, jnp.transpose(terms.gradients(fields), (2, 1, 0)), fit)
    alone = alone * alive[:, None]
    added = alone.sum(0), alone.T @ alone, score.sum(1), score @ score.T
    return added, psi[:, _looked(terms, WATCHED)] if watch else None


def summed(
    source: Source,
    terms: Terms,
    block: Callable[..., Any],
    zero: list[np.ndarray],
    what: str,
    progress: bool,
    *given: Any,
    watch: bool = False,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Sums over networks in float64 of a block(fields, alive, terms, *given, watch=); padding is the zero field.

    Beside them what some terms give network by network, (network, term), where `watch` asks whether averages converge.
    """
    work = _Sums(terms, block, tuple(zero), given, watched(source) if watch else 0, progress=progress, what=what)
    parts = source.gather(work)
    added = [np.sum(leaves, axis=0) for leaves in zip(*[part[0] for part in parts], strict=True)]
    return added, np.concatenate([part[1] for part in parts]) if work.watch else None


@dataclass(frozen=True)
class _Sums(Work):
    """What a block sums over some networks, and of those among the first `watch` what it gives of each."""

    terms: Terms
    block: Callable[..., Any]
    zero: tuple[np.ndarray, ...]
    given: tuple[Any, ...]
    watch: int

    def __call__(self, source: Source, first: int, count: int) -> tuple[list[np.ndarray], np.ndarray]:
        return self.over(source, first, first + count, count)

    def over(self, source: Source, first: int, stop: int, length: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The same over a span whose program serves all spans of one length."""
        size, missing, kept = _block(self.terms), max(0, self.watch - first), [np.zeros((0, 0))]
        with settled():
            tables, given = jax.tree.map(
                lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, (self.terms, self.given)
            )
            added = tuple(jnp.asarray(part) for part in self.zero)
        bar = tqdm(
            total=stop - first, desc=self.what, unit="net", unit_scale=True, delay=2.0, disable=not self.progress
        )
        with bar:
            for fields, alive in _blocks(source, size, first, stop, length):
                with settled():
                    arrays = jnp.asarray(fields), jnp.asarray(alive)
                    added, values = _added(self.block, added, *arrays, tables, given, self.watch > 0)
                if self.watch:
                    found = np.asarray(values)
                    kept = [np.zeros((0, found.shape[-1])), *kept[1:], found[alive > 0][:missing]]
                    missing -= len(kept[-1])
                bar.update(int(alive.sum()))
        return [np.asarray(part) for part in added], np.concatenate(kept)


@dataclass(frozen=True)
class _BlockSums(Work):
    """The sums of psi and of the scores over each block of a chain, which one program serves."""

    sums: _Sums

    def __call__(self, source: Source, first: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        length, stop, parts = group_length(source), first + count, []
        for start in range(first, stop, length):
            (psi, _, score, _), _ = self.sums.over(source, start, min(start + length, stop), length)
            parts.append((psi, score))
        return parts


# The tables are an argument: as constants of the program they would be folded, for minutes, and for every fit anew.
@eqx.filter_jit
def _added(
    block: Callable[..., Any],
    added: Any,
    fields: jax.Array,
    alive: jax.Array,
    terms: Terms,
    given: Any,
    watch: bool,
) -> Any:
    def step(added: Any, pair: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array | None]:
        more, values = block(*pair, terms, *given, watch=watch)
        return jax.tree.map(jnp.add, added, more), values

    return jax.lax.scan(step, added, (fields, alive))


def _blocks(source: Source, size: int, first: int, stop: int, length: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(fields (block, network, point), alive (block, network)) until every network of the span has been seen."""
    points = len(source.points)
    step = max(1, min(-(-length // size), _CHUNK // (size * points))) * size
    for start in range(first, stop, step):
        count = min(step, stop - start)
        fields = np.zeros((step, points))
        fields[:count] = source.read(start, count)
        if not np.all(np.isfinite(fields)):
            bad = start + int(np.argwhere(~np.isfinite(fields))[0, 0])
            raise ValueError(f"expected finite fields, got one that is not in network {bad}; try leaving it out")
        alive = (np.arange(step) < count).astype(float)
        yield fields.reshape(-1, size, points), alive.reshape(-1, size)


def _block(terms: Terms) -> int:
    """Networks at a time."""
    points, width = terms.slots.shape
    tables = (points * width, len(terms.slopes.tuples), len(terms.curvatures.tuples), terms.size)
    largest = max(*tables, 0 if terms.diagonal else terms.size * points)
    return int(np.clip(_FLOATS // max(largest, 1), 1, 4096))
