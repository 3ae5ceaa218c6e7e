"""Score matching from the fields themselves: actions with too many points, or too high a power, for correlators.

A = E[grad T . W grad T], b = E[lap_W T - grad T . W P phi] and B = Cov(psi) summed over networks, site by site where W
is diagonal: a bilocal action at M points costs M (4M)^2 products a network instead of M (3M^2/2)^2, and a translation
invariant one M K^2 for its K terms. Nothing but A, B and one block of fields is in memory, whatever n.
The same numbers as from correlators (`score.py`), where both exist.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from tqdm import tqdm

from ..models.types import Matrix, Vector
from .ensembles import Source
from .score import RESOLUTION_LIMIT, Equations
from .tails import WATCHED, Tail, gaussian_twin, gravest, judge_values, watched
from .terms import Terms

__all__ = ["Observed", "direct_equations", "observe"]

_FLOATS = 4_000_000  # of one block's largest table: fits the cache of two cores
_CHUNK = 2**24  # floats read at a time
_WATCHED_SQUARES = 4  # terms whose gradient squared is looked at network by network: each costs a pass over the slots
ODD_FALSE_ALARM = 1e-6


class Observed(NamedTuple):
    """Means over networks: A and b of score matching, and T_k with one standard error, all in scaled fields.

    odd_p: of vanishing odd averages; tail: whether the diagonal of A has an average with an error.
    """

    matrix: Matrix
    vector: Vector
    terms: Vector
    errors: Vector
    odd_p: float
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
    if getattr(source, "weighted", False):
        raise ValueError(
            "expected networks of equal weight for a fit to fields, got draws weighted by numpyro.factor; try an "
            "action that is fitted to correlators (Bilocal() at fewer points)"
        )
    seen = observe(source, terms, progress=progress)
    if seen.odd_p < ODD_FALSE_ALARM:
        raise ValueError(
            f"expected odd averages compatible with zero for an action with even terms only, got p = {seen.odd_p:.1g} "
            "for <phi> and <phi^3>; try subtracting the mean or symmetrising the samples"
        )
    size = np.sqrt(np.diag(seen.matrix))
    condition = float(np.linalg.cond(seen.matrix / np.outer(size, size))) if terms.size <= 3000 else 1.0
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings the data can tell apart (condition of A below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action or reach, fewer points or points further apart"
        )
    n = source.n
    pilot = np.linalg.solve(seen.matrix + pilot_precision / n, seen.vector + pilot_precision @ pilot_centre / n)
    gauss, q = np.zeros(terms.size), terms.quadratic
    gauss[:q] = np.linalg.solve(seen.matrix[:q, :q], seen.vector[:q])
    noise, scores, tail = _scatter(source, terms, pilot, gauss, progress)
    return Equations(seen.matrix, seen.vector, noise, pilot, float(n), n - 1.0, scores, gravest(seen.tail, tail)), seen


def observe(source: Source, terms: Terms, *, progress: bool = False) -> Observed:
    """A, b, the means of the terms with their errors, and the p-value of vanishing odd averages, in one pass."""
    shared = terms.shared
    root = None if terms.diagonal else np.linalg.cholesky(terms.metric)
    points, width = terms.slots.shape
    shape = (terms.size, terms.size) if root is not None or shared else (points, width, width)
    zero = [np.zeros(s) for s in (shape, terms.size, terms.size, terms.size, (2, points), (2, points))]
    block = _shared_moments if shared and root is None else _moments
    (gram, vector, first, second, odd, square), values = _sum(source, terms, block, zero, "equations", progress, root)
    tail = _converging(
        values,
        terms,
        "grad T . W grad T",
        lambda: _sum(gaussian_twin(source), terms, block, zero, "equations", False, root)[1],
    )
    n = source.n
    if gram.ndim == 3:
        matrix = np.zeros((terms.size + 1, terms.size + 1))
        for a in range(points):
            np.add.at(matrix, np.ix_(terms.slots[a], terms.slots[a]), gram[a])
        gram = matrix[:-1, :-1]
    errors = np.sqrt(np.maximum(second / n - (first / n) ** 2, 0.0) / n)
    z = np.abs(odd) / np.sqrt(np.maximum(square, 1e-300))
    p = min(1.0, 2 * z.size * float(stats.norm.sf(z.max())))  # Bonferroni: safe for correlated points
    return Observed(0.5 * (gram + gram.T) / n, vector / n, first / n, errors, p, tail)


def _converging(
    values: np.ndarray | None, terms: Terms, what: str, twin: Callable[[], np.ndarray | None], *, flag: bool = True
) -> Tail | None:
    """Verdict on what is averaged, from its values network by network; refused where there is no average."""
    if values is None:
        return None
    tail = judge_values(values, 2 * (terms.degree - 1), what, lambda: np.asarray(twin()), flag=flag)
    if tail.verdict == "refused":
        raise ValueError(f"expected equations whose averages converge, got: {tail.why}; try lighter tails")
    return tail


def _scatter(
    source: Source, terms: Terms, pilot: Vector, gauss: Vector, progress: bool
) -> tuple[Matrix, Matrix, Tail | None]:
    """Covariance over networks of psi at the pilot, and of the Hyvarinen scores of (Gaussian, pilot, pilot)."""
    zero = [np.zeros(s) for s in (terms.size, (terms.size, terms.size), 2, (2, 2))]
    (first, second, mean, square), values = _sum(source, terms, _residuals, zero, "sandwich", progress, pilot, gauss)
    tail = _converging(
        values,
        terms,
        "psi",
        lambda: _sum(gaussian_twin(source), terms, _residuals, zero, "sandwich", False, pilot, gauss)[1],
        flag=False,
    )
    n = source.n
    noise = (second - np.outer(first, first) / n) / (n - 1)
    scores = (square - np.outer(mean, mean) / n) / (n - 1)
    return noise, scores[np.ix_([0, 1, 1], [0, 1, 1])], tail


def _moments(
    fields: jax.Array, alive: jax.Array, terms: Terms, root: jax.Array | None, *, watch: bool, shared: bool = False
) -> Any:
    """What `observe` sums over the networks of a block; the Gram matrix site by site, or of whole terms."""
    local = terms.local_gradients(fields)
    if root is not None or shared:
        white = _at_sites(local, terms) if root is None else terms.gradients(fields) @ root
        flat = jnp.swapaxes(white, 0, 1).reshape(terms.size, -1)
        gram = flat @ flat.T
    else:
        white = _at_sites(local, terms)
        gram = white @ jnp.swapaxes(white, 1, 2)
    right = terms.laplacians(fields)
    if terms.fixed is not None:
        right = right - terms.gather(local * terms.turned(terms.free_force(fields))[:, None])
    value, phi = terms.values(fields), fields / terms.scale
    odd = jnp.stack([phi, phi**3])
    added = gram, alive @ right, value.sum(0), (value**2).sum(0), odd.sum(1), (odd**2).sum(1)
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
    fields: jax.Array, alive: jax.Array, terms: Terms, pilot: jax.Array, gauss: jax.Array, *, watch: bool
) -> Any:
    """What `_scatter` sums over the networks of a block."""
    psi, at_gauss, bare = (terms.residuals(fields, t) for t in (pilot, gauss, jnp.zeros_like(pilot)))
    psi = psi * alive[:, None]
    score = 0.5 * jnp.stack([(at_gauss + bare) @ gauss, (psi + bare) @ pilot]) * alive
    return (psi.sum(0), psi.T @ psi, score.sum(1), score @ score.T), psi[:, _looked(terms, WATCHED)] if watch else None


def _sum(
    source: Source,
    terms: Terms,
    block: Callable[..., Any],
    zero: list[np.ndarray],
    what: str,
    progress: bool,
    *given: Any,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Sums over all networks in float64, block after block; padding is the zero field with alive = 0.

    Beside them what some terms give network by network, (network, term), where it decides whether averages converge.
    """
    size, missing, kept = _block(terms), watched(source), []
    watch = missing > 0
    with jax.enable_x64(True):
        tables, given = jax.tree.map(
            lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, (terms, given)
        )
        added = tuple(jnp.asarray(part) for part in zero)
        with tqdm(total=source.n, desc=what, unit="net", unit_scale=True, delay=2.0, disable=not progress) as bar:
            for fields, alive in _blocks(source, size):
                arrays = jnp.asarray(fields), jnp.asarray(alive)
                added, values = _added(block, added, *arrays, tables, given, watch)
                if missing:
                    kept.append(np.asarray(values)[alive > 0][:missing])
                    missing -= len(kept[-1])
                bar.update(int(alive.sum()))
        return [np.asarray(part) for part in added], np.concatenate(kept) if kept else None


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


def _blocks(source: Source, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(fields (block, network, point), alive (block, network)) until every network has been seen."""
    points = len(source.points)
    step = max(1, min(-(-source.n // size), _CHUNK // (size * points))) * size
    for start in range(0, source.n, step):
        count = min(step, source.n - start)
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
