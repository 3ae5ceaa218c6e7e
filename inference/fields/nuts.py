"""Fields drawn from a bounded action itself, density exp(-S)/Z: the sampler behind references and predictions.

S(phi) = sum_r sum over monomials of g_a1..ar phi_a1 .. phi_ar (or any function of the field), drawn by NUTS
(arXiv:1111.4246) with many chains at once. A pilot run in coordinates whitened by the quadratic part measures the
covariance of the fields over all chains; the run that is kept is whitened by that. For even actions phi -> -phi is an
exact symmetry, and each draw gets a random sign. An action that is unbounded below is refused: it has no fields.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from arviz_stats.base.array import array_stats
from numpyro.infer import NUTS

from ...models.actions.boundedness import boundedness
from ...models.combinatorics import sorted_tuples
from ...models.runtime import settled
from ...models.types import Matrix, Tuples, Vector
from ..engines.memory import expect_memory
from .chains import advanced

__all__ = ["FieldDraws", "sample_action"]

_SCAN = 25  # draws of every chain in one call of the compiled program
_RADII = (3.0, 10.0, 30.0, 100.0, 300.0)  # in standard deviations: where a callable action is probed
_COPIES = 3  # of the fields: as they come, put together, and in units of the field
_PROBES = 512  # directions it is probed along

Potential = Callable[[jax.Array], jax.Array]


class FieldDraws(NamedTuple):
    """Fields of an action and how well they were drawn.

    fields: (chain, draw, point); action: S of each, (chain, draw); rhat: largest R-hat of phi_a^2 and S (and phi_a for
    an action that is not even); ess: smallest bulk effective number of draws among them; divergences: how many;
    steps: mean number of leapfrog steps a draw.
    """

    fields: np.ndarray
    action: np.ndarray
    rhat: float
    ess: float
    divergences: int
    steps: float

    @property
    def flat(self) -> Matrix:
        """All draws, (network, point): what `inf.Samples` takes."""
        return self.fields.reshape(-1, self.fields.shape[-1])

    def mean(self, observable: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Average of an observable and its Monte Carlo error, from the effective number of draws of that observable.

        Args:
            observable: fields (..., point) -> numbers (...) or (..., component).
        """
        values = np.asarray(observable(self.fields), dtype=float)
        many = values.reshape(*values.shape[:2], -1)
        ess = _ess(many)
        mean, error = many.mean(axis=(0, 1)), many.std(axis=(0, 1), ddof=1) / np.sqrt(ess)
        return mean.reshape(values.shape[2:]), error.reshape(values.shape[2:])

    def __str__(self) -> str:
        chains, draws, points = self.fields.shape
        return (
            f"{chains} chains x {draws} fields at {points} points: R-hat {self.rhat:.4f}, ESS {self.ess:.0f}, "
            f"{self.divergences} divergences, {self.steps:.1f} leapfrog steps a draw"
        )

    __repr__ = __str__


@settled(None)
def sample_action(
    action: Mapping[int, np.ndarray] | Potential,
    *,
    key: jax.Array,
    points: int | None = None,
    metric: Matrix | None = None,
    tuples: Mapping[int, Tuples] | None = None,
    chains: int = 64,
    warmup: int = 300,
    draws: int = 250,
    thin: int = 1,
    target_accept: float = 0.9,
) -> FieldDraws:
    """Draw fields from exp(-S) by NUTS, many chains at once, and say how well they mix.

    Args:
        action: degree r -> coefficients of the monomials of sorted tuples, {2: (pair,), 4: (quad,), 6: ...}, S with the
            coefficients as they stand (q_aa phi_a^2, not q_aa phi_a^2/2); or a function phi (point,) -> S of jax.numpy.
        key: `jax.random.key(seed)`.
        points: M; default the number that `metric` has. Coefficients need one of the two.
        metric: a rough covariance of the fields to start and whiten with, (point, point); default the inverse of the
            quadratic part where that is positive, else one over its size. A function needs it.
        tuples: degree -> the monomials, (monomial, r), where only some occur.
        chains: run at once: more of them cost little until the arithmetic of a step outweighs its overhead.
        warmup: steps thrown away, half of them to measure the covariance and half to find the step size; whole 25s.
        draws: fields kept of each chain.
        thin: steps of NUTS from one kept field to the next.
        target_accept: acceptance rate the step size aims at.

    Raises:
        ValueError: an action unbounded below, with the direction and the smallest value of its highest form; a function
            that falls away from the origin where it was probed; neither points nor metric; shapes that do not fit.

    Example, one site, S = phi^2/2 + phi^4/10 (quadrature: <phi^2> = 0.6155):

        >>> import jax, numpy as np
        >>> drawn = sample_action({2: np.array([0.5]), 4: np.array([0.1])}, points=1, key=jax.random.key(0))
        >>> mean, error = drawn.mean(lambda phi: phi[..., 0] ** 2)
        >>> bool(abs(mean - 0.6155) < 5 * error), drawn.divergences
        (True, 0)
    """
    for name, number, least in (("chains", chains, 2), ("warmup", warmup, 20), ("draws", draws, 4), ("thin", thin, 1)):
        if number < least:
            raise ValueError(f"expected {name} >= {least}, got {number}; try leaving it out")
    given = None if metric is None else _covariance(metric)
    count = points if given is None else len(given)
    if count is None or (points is not None and points != count):
        raise ValueError(
            f"expected the number of points, or a metric of that size, got points={points} and "
            f"{'no metric' if given is None else f'a metric of {count}'}; try points=M"
        )
    expect_memory(_COPIES * 8.0 * chains * draws * count, f"{chains} chains x {draws} fields", "fewer of one of them")
    even = not callable(action) and all(r % 2 == 0 for r in action)
    if callable(action):
        if given is None:
            raise ValueError("expected a metric beside a function, got none; try the two-point function as metric=")
        start, tables, numbers, potential = given, (), (), action
        _probe(action, given)
    else:
        tables, numbers = _monomials(action, count, tuples)
        start = _free_covariance(tables, numbers, count) if given is None else given
        scale = np.sqrt(np.diag(start))
        forms = {t.shape[1]: g for t, g in zip(tables, numbers, strict=True)}
        verdict = boundedness(forms, count, tuples={t.shape[1]: t for t in tables}, scale=scale)
        if not verdict.bounded:
            raise ValueError(f"expected an action bounded below to draw fields from, got one of which {verdict.why}")
        potential = None
    keys = jax.random.split(key, 4)
    with settled():
        arguments = (numbers, tables)
        shapes = (chains, count, *(table.shape for table in tables))
        begin, advance = _runner(potential, float(target_accept), max(10, warmup // 2), shapes)

        def run(key: jax.Array, unit: Any, root: Matrix, drop: int, keep: int, thin: int) -> list[np.ndarray]:
            state, parts = begin(key, unit, root, arguments), []
            for _ in range(-(-drop // _SCAN)):
                state, _ = advance(state, root, arguments, 1)
            # One step size for all chains: the boldest of them would diverge, the most timid hold up the others.
            adapted = state.adapt_state
            shared = jnp.full_like(adapted.step_size, jnp.median(adapted.step_size))
            state = state._replace(adapt_state=adapted._replace(step_size=shared))
            for _ in range(-(-keep // _SCAN)):
                state, part = advance(state, root, arguments, thin)
                parts.append([np.asarray(x) for x in part])
            return [np.swapaxes(np.concatenate(x), 0, 1)[:, :keep] for x in zip(*parts, strict=True)]

        root = np.linalg.cholesky(start)
        unit = 1.5 * jax.random.normal(keys[0], (chains, count))
        early = run(keys[1], unit, root, warmup // 4, max(_SCAN, warmup // 4), 1)[0]
        root = np.linalg.cholesky(_shrunk(early, start))
        unit = np.linalg.solve(root, early[:, -1].T).T
        fields, energy, diverged, steps = run(keys[2], unit, root, warmup // 2, draws, thin)
        if even:
            fields = fields * np.asarray(jax.random.rademacher(keys[3], fields.shape[:2], dtype=float))[..., None]
    watched = np.concatenate([*([] if even else [fields]), fields**2, energy[..., None]], axis=-1)
    return FieldDraws(
        fields,
        energy,
        float(np.max(array_stats.rhat(watched, chain_axis=0, draw_axis=1))),
        float(np.min(_ess(watched))),
        int(np.sum(diverged)),
        float(np.mean(steps)),
    )


@lru_cache(maxsize=16)
def _runner(
    potential: Potential | None, target_accept: float, warmup: int, shapes: tuple[Any, ...]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """begin(key, start, root, arguments) -> state of every chain, and advance(state, root, arguments, thin) -> the
    state some draws later and those draws: fields, S, divergences, steps, each (draw, chain, ...).

    Coefficients are arguments of the compiled programs: another action of the same monomials needs no new ones.
    """

    def model(root: jax.Array, numbers: Any, tables: Any) -> None:
        unit = numpyro.sample("unit", dist.ImproperUniform(dist.constraints.real_vector, (), (len(root),)))
        phi = root @ unit
        numpyro.factor("action", -(potential(phi) if potential is not None else _polynomial(phi, numbers, tables)))

    del shapes  # a kernel remembers the shapes of its first run, so each set of shapes has its own
    held: list[NUTS] = []  # one of each trace: a kernel that was begun before would map its chains twice

    def begin(key: jax.Array, start: jax.Array, root: jax.Array, arguments: Any) -> Any:
        held[:] = [NUTS(model, adapt_mass_matrix=False, target_accept_prob=target_accept)]
        return held[0].init(jax.random.split(key, len(start)), warmup, {"unit": start}, (root, *arguments), {})

    def advance(state: Any, root: jax.Array, arguments: Any, thin: Any) -> tuple[Any, tuple[jax.Array, ...]]:
        state, (unit, stats) = advanced(held[0], state, (root, *arguments), _SCAN, thin=thin)
        return state, (unit @ root.T, -stats["lp"], stats["diverging"], stats["n_steps"])

    return jax.jit(begin), jax.jit(advance)


def _polynomial(phi: jax.Array, numbers: tuple[jax.Array, ...], tables: tuple[jax.Array, ...]) -> jax.Array:
    """S of one field; one-hot sums pick the factors, since the gradient of a gather is a slow scattered addition."""
    total = jnp.zeros(())
    for g, table in zip(numbers, tables, strict=True):
        value = g
        for j in range(table.shape[1]):
            value = value * (jax.nn.one_hot(table[:, j], len(phi), dtype=phi.dtype) @ phi)
        total = total + value.sum()
    return total


def _monomials(
    action: Mapping[int, np.ndarray], points: int, tuples: Mapping[int, Tuples] | None
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The monomials that occur and their coefficients, one array each for every degree."""
    tables, numbers = [], []
    for r in sorted(action):
        table = sorted_tuples(points, r) if tuples is None or r not in tuples else np.asarray(tuples[r])
        g = np.asarray(action[r], dtype=float)
        if g.shape != (len(table),) or not np.all(np.isfinite(g)):
            raise ValueError(
                f"expected {len(table)} finite coefficients of degree {r} at {points} points, got shape {g.shape}; "
                "try one per sorted tuple, or tuples="
            )
        if np.any(g != 0.0):
            tables.append(np.asarray(table)[g != 0.0])
            numbers.append(g[g != 0.0])
    return tuple(tables), tuple(numbers)


def precision(pairs: Tuples, values: Vector, points: int) -> Matrix:
    """G^-1 = q + q^T of the quadratic part sum_{a<=b} q_ab phi_a phi_b of an action, (point, point)."""
    half = np.zeros((points, points))
    np.add.at(half, tuple(pairs.T), values)
    return half + half.T


def _free_covariance(tables: tuple[np.ndarray, ...], numbers: tuple[np.ndarray, ...], points: int) -> Matrix:
    """Inverse of the quadratic part; with a part that is not positive, a multiple of one set by its size."""
    quadratic = [part for part in zip(tables, numbers, strict=True) if part[0].shape[1] == 2]
    inverse = precision(*quadratic[0], points) if quadratic else np.zeros((points, points))
    eigenvalues, vectors = np.linalg.eigh(inverse)
    top = float(np.max(np.abs(eigenvalues)))
    if top == 0.0:
        return np.eye(points)
    # Directions the quadratic part does not hold are held by the higher terms: as wide as the widest it would hold.
    held = np.maximum(np.abs(eigenvalues), 1e-2 * top)
    return (vectors / held) @ vectors.T


def _shrunk(fields: np.ndarray, start: Matrix) -> Matrix:
    """Covariance of the pilot's fields over all chains, with the weight of a few draws on a multiple of the start."""
    flat = fields.reshape(-1, fields.shape[-1])
    count, points = len(flat), flat.shape[1]
    measured = flat.T @ flat / count  # about zero: a spread of modes is a spread
    prior = start * (np.trace(measured) / np.trace(start))
    share = points / (points + count)
    return (1.0 - share) * measured + share * prior


def _covariance(metric: Matrix) -> Matrix:
    given = np.asarray(metric, dtype=float)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.allclose(given, given.T):
        raise ValueError(f"expected a symmetric metric (point, point), got shape {given.shape}; try G2")
    lowest = float(np.linalg.eigvalsh(given)[0])
    if not lowest > 0.0:
        raise ValueError(f"expected a positive definite metric, got eigenvalue {lowest:.3g}; try fewer points")
    return given


def _probe(potential: Potential, metric: Matrix) -> None:
    """A function has no coefficients: it must rise from radius to radius along many directions of the metric."""
    rng = np.random.default_rng(0)
    along = np.concatenate([np.eye(len(metric)), rng.normal(size=(_PROBES, len(metric)))])
    along = along / np.linalg.norm(along, axis=1, keepdims=True) @ np.linalg.cholesky(metric).T
    with settled():
        height = np.array([np.asarray(jax.vmap(potential)(jnp.asarray(radius * along))) for radius in _RADII])
    rise = np.diff(height, axis=0)
    if not np.all(rise > 0.0):
        shell, where = np.argwhere(~(rise > 0.0))[0]
        direction = np.array2string(along[where], precision=2, suppress_small=True, threshold=8)
        raise ValueError(
            f"expected an action that rises away from the origin, got S = {height[shell, where]:.3g} at "
            f"{_RADII[shell]:g} and {height[shell + 1, where]:.3g} at {_RADII[shell + 1]:g} times {direction}; "
            "exp(-S) cannot be normalised there, try a bounded action"
        )


def _ess(values: np.ndarray) -> Vector:
    """Effective number of draws for the mean of each component, (chain, draw, component) -> (component,)."""
    return np.asarray(array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean"), dtype=float)
