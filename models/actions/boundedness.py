"""Is an action bounded below? Only if its highest form is positive in every direction of field space.

S_r(v) = sum over sorted tuples of g_a1..ar v_a1 .. v_ar grows like |phi|^r along v, so exp(-S) can be normalised only
when min over the unit sphere of the highest form is >= 0 (where it vanishes the lower forms decide). A positive
coupling at each site is not enough. The minimum is found by conjugate gradients from many starts, each step to the
lowest point of a whole great circle v cos t + d sin t, on which the form is a trigonometric polynomial: an upper bound
that is attained, so a negative value is a proof.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..combinatorics import sorted_tuples
from ..runtime import settled
from ..types import Matrix, Tuples, Vector

__all__ = ["FORBIDDEN", "Boundedness", "boundedness", "lowest_direction", "minimum_on_sphere"]

_STARTS, _KEPT = 32, 12  # random starts beside one near every axis; the lowest go on after the first steps
_FIRST, _STEPS = 6, 40  # steps of conjugate gradients: of all starts, of those kept
_CIRCLE, _POLISH = 24, 3  # angles looked at on a great circle; Newton steps from the lowest of them
_STILL = 1e-12  # slopes in units of the largest coefficient: what round-off leaves at a minimum
_FLAT = 1e-9  # of the largest coefficient: below it the highest form vanishes along a direction
_FAR = 1e3  # in field scales: where lower forms are looked at when the highest one is flat
FORBIDDEN = ("sampling", "reweighting", "likelihood", "gold posterior")

Forms = tuple[tuple[jax.Array, jax.Array], ...]


class Boundedness(NamedTuple):
    """Whether exp(-S) is a density: "bounded", or "formal (perturbative)" with the direction that decided.

    label: the word to print; minimum: smallest value of the highest form on the unit sphere of phi_a/scale_a;
    direction: where, (point,), in phi_a/scale_a; order: degree of that form; forbids: what such an action does not
    have; why: one sentence with the number.
    """

    label: str
    minimum: float
    direction: Vector
    order: int
    forbids: tuple[str, ...]
    why: str

    @property
    def bounded(self) -> bool:
        """Whether exp(-S) can be normalised."""
        return not self.forbids


def minimum_on_sphere(
    quartic: np.ndarray,
    points: int,
    *,
    scale: Vector | None = None,
    tuples: Tuples | None = None,
    order: int = 4,
) -> np.ndarray:
    """Smallest value of the quartic form on the unit sphere of phi_a/scale_a, for each set of coefficients.

    Args:
        quartic: coefficients of the monomials, (draw, monomial) or (monomial,).
        points: M.
        scale: field scale at each point, (point,), so that directions compare like with like; default one.
        tuples: the monomials, (monomial, order), where only some occur; default all sorted tuples.
        order: degree of the form, even: 6 for a sextic one.

    Returns:
        (draw,): negative means unbounded below.

    Raises:
        ValueError: coefficients or tuples that do not fit, an odd order.

    Example: phi_0^4 + phi_1^4 - 3 phi_0^2 phi_1^2 is positive on the axes and negative on the diagonal.

        >>> g = np.array([[1.0, 0.0, -3.0, 0.0, 1.0]])
        >>> round(float(minimum_on_sphere(g, 2)[0]), 3)
        -0.25
        >>> minimum_on_sphere(np.array([1.0, -2.0]), 64, tuples=np.array([[5] * 4, [9] * 4])).round(6).tolist()
        [-2.0]
    """
    return lowest_direction(quartic, points, scale=scale, tuples=tuples, order=order)[0]


def lowest_direction(
    coefficients: np.ndarray,
    points: int,
    *,
    scale: Vector | None = None,
    tuples: Tuples | None = None,
    order: int = 4,
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest value on the unit sphere of phi_a/scale_a, (draw,), and the direction that has it, (draw, point).

    Arguments and errors as in `minimum_on_sphere`.

    Example:
        >>> value, direction = lowest_direction(np.array([1.0, 0.0, -3.0, 0.0, 1.0]), 2)
        >>> np.abs(direction[0]).round(4).tolist()
        [0.7071, 0.7071]
    """
    if order < 2 or order % 2:
        raise ValueError(f"expected a form of even degree, got {order}; try order=4: an odd form is never bounded")
    table, g = _checked(coefficients, points, tuples, order)
    scaled = g if scale is None else g * np.prod(np.asarray(scale, dtype=float)[table], axis=1)
    size = np.maximum(np.max(np.abs(scaled), axis=1, keepdims=True, initial=0.0), 1e-300)
    used = np.any(scaled != 0.0, axis=0)
    if not np.any(used):
        return np.zeros(len(g)), np.tile(np.eye(points)[0], (len(g), 1))
    used |= 2 * np.sum(used) > len(used)  # one compiled program for most forms of a degree
    with settled():
        value, direction = _lowest(((scaled / size)[:, used],), (table[used],), _starts(points))
    return value * size[:, 0], direction


def boundedness(
    coefficients: Mapping[int, np.ndarray],
    points: int,
    *,
    tuples: Mapping[int, Tuples] | None = None,
    scale: Vector | None = None,
) -> Boundedness:
    """May one sample, reweight or quote a likelihood of S = sum_r sum_a g_a1..ar phi_a1 .. phi_ar, or is it formal?

    Args:
        coefficients: degree r -> coefficients of the sorted monomials, (monomial,).
        points: M.
        tuples: degree -> the monomials, (monomial, r), where only some occur.
        scale: field scale at each point, (point,); default one.

    Raises:
        ValueError: no coefficients, or such as do not fit.

    Example, one site, S = phi^2/2 - 0.1 phi^4: fine as a perturbation, not as a density.

        >>> print(boundedness({2: np.array([0.5]), 4: np.array([-0.1])}, 1).label)
        formal (perturbative)
        >>> boundedness({2: np.array([-0.5]), 4: np.array([0.1])}, 1).bounded
        True
    """
    units = np.ones(points) if scale is None else np.asarray(scale, dtype=float)
    forms: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for r, values in sorted(coefficients.items()):
        table, g = _checked(np.asarray(values, dtype=float)[None], points, (tuples or {}).get(r), r)
        scaled = g[0] * np.prod(units[table], axis=1)
        if np.any(scaled != 0.0):
            forms[r] = (table[scaled != 0.0], scaled[scaled != 0.0])
    if not forms:
        raise ValueError("expected an action with coefficients, got none that differ from zero; try {2: ..., 4: ...}")
    order = max(forms)
    table, g = forms[order]
    starts, size = _starts(points), float(np.max(np.abs(g)))
    with settled():
        value, direction = (out[0] for out in _lowest(((g / size)[None],), (table,), starts))
        if abs(value) <= _FLAT:  # the whole action on a far sphere, in units of its highest form there
            weights = [(forms[r][1] * _FAR ** (r - order) / size)[None] for r in forms]
            far, direction = (out[0] for out in _lowest(weights, [forms[r][0] for r in forms], starts))
            lowest, bounded = float(value) * size, bool(far > 0.0)
        else:
            lowest, bounded = float(value) * size, bool(value > 0.0)
    along = np.array2string(direction, precision=2, suppress_small=True, threshold=8, separator=", ")
    where = f"{lowest:.3g} along phi/scale = {along}"
    if bounded:
        why = f"the smallest value of the form of degree {order} on the unit sphere is {where}: exp(-S) is a density"
        return Boundedness("bounded", lowest, direction, order, (), why)
    why = (
        f"the form of degree {order} is {where}, so exp(-S) cannot be normalised: its couplings are perturbative, and "
        f"this action has no {', no '.join(FORBIDDEN)}"
    )
    return Boundedness("formal (perturbative)", lowest, direction, order, FORBIDDEN, why)


def _checked(coefficients: np.ndarray, points: int, tuples: Tuples | None, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The monomials, (monomial, order), and the coefficients, (draw, monomial)."""
    name = "quad" if order == 4 else f"{order}-tuple"
    table = sorted_tuples(points, order) if tuples is None else np.asarray(tuples)
    if table.ndim != 2 or table.shape[1] != order or (table.size and not 0 <= table.min() <= table.max() < points):
        raise ValueError(
            f"expected tuples of {order} points among 0..{points - 1}, (monomial, {order}), got shape {table.shape}; "
            "try leaving tuples out"
        )
    g = np.atleast_2d(np.asarray(coefficients, dtype=float))
    if g.shape[-1] != len(table):
        which = "sorted " if tuples is None else ""
        raise ValueError(f"expected one coefficient per {which}{name}, {len(table)} at {points} points, got {g.shape}")
    return table, g


def _starts(points: int) -> Matrix:
    """Directions to start from: one near every axis (on it the slope of many forms vanishes) and random ones."""
    rng = np.random.default_rng(0)
    axes = np.eye(points) + 0.03 * rng.normal(size=(points, points))
    return np.concatenate([axes, rng.normal(size=(_STARTS, points))])


def _lowest(
    coefficients: Sequence[np.ndarray], tables: Sequence[np.ndarray], starts: Matrix
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest value of the sum of forms and its direction, one draw (row of coefficients) after the other.

    First and last steps go in parts of as many starts, so that one compiled program serves both.
    """
    values, directions = [], []
    parts = np.resize(starts, (-(-len(starts) // _KEPT), _KEPT, starts.shape[1]))  # the last one filled from the first
    for row in zip(*coefficients, strict=True):
        found = [_descend(tuple(row), tuple(tables), part, _FIRST) for part in parts]
        height, first = (np.concatenate(one)[: len(starts)] for one in zip(*found, strict=True))
        where = np.argsort(height)[:_KEPT]
        value, last = map(np.asarray, _descend(tuple(row), tuple(tables), first[where], _STEPS))
        best = int(np.argmin(value))
        values.append(value[best])
        directions.append(last[best])
    return np.array(values), np.array(directions)


def _slope(v: jax.Array, forms: Forms) -> jax.Array:
    """Gradient of the sum of forms, (point,); one-hot sums, since scattered additions are slow."""
    total = jnp.zeros_like(v)
    for g, table in forms:
        at, order = v[table], table.shape[1]
        for j in range(order):
            rest = g
            for k in range(order):
                rest = rest * at[:, k] if k != j else rest
            total = total + rest @ jax.nn.one_hot(table[:, j], len(v), dtype=v.dtype)
    return total


def _on_circle(v: jax.Array, d: jax.Array, forms: Forms) -> list[jax.Array]:
    """Coefficients c_k of F(v cos t + d sin t) = sum_k c_k cos^(r-k) t sin^k t, one array a form."""
    found = []
    for g, table in forms:
        parts = [g]
        for j in range(table.shape[1]):
            a, b = v[table[:, j]], d[table[:, j]]
            grown = [parts[0] * a]
            grown += [parts[k] * a + parts[k - 1] * b for k in range(1, len(parts))]
            parts = [*grown, parts[-1] * b]
        found.append(jnp.stack([part.sum() for part in parts]))
    return found


def _turns(cos: Any, sin: Any, order: int) -> list[Any]:
    """cos^(r-k) sin^k for k = 0..r."""
    cs, ss = [jnp.ones_like(cos)], [jnp.ones_like(sin)]
    for _ in range(order):
        cs.append(cs[-1] * cos)
        ss.append(ss[-1] * sin)
    return [cs[order - k] * ss[k] for k in range(order + 1)]


def _height(t: jax.Array, circle: list[jax.Array]) -> jax.Array:
    """The sum of forms at an angle (or at many) of a great circle."""
    c, s = jnp.cos(t), jnp.sin(t)
    return sum((row @ jnp.stack(_turns(c, s, len(row) - 1)) for row in circle), jnp.zeros_like(t))


def _rise(circle: list[jax.Array]) -> list[jax.Array]:
    """Coefficients of dF/dt: (c^(r-k) s^k)' = k c^(r-k+1) s^(k-1) - (r-k) c^(r-k-1) s^(k+1)."""
    found = []
    for row in circle:
        k = np.arange(len(row))
        found.append(jnp.append((k * row)[1:], 0.0) - jnp.concatenate([jnp.zeros(1), (k[::-1] * row)[:-1]]))
    return found


def _lowest_angle(circle: list[jax.Array]) -> jax.Array:
    """The angle of the lowest point of a great circle: the best of a grid, polished by guarded Newton steps."""
    period = np.pi if all(len(row) % 2 for row in circle) else 2.0 * np.pi  # even forms: opposite points are one
    grid, step = jnp.linspace(0.0, period, _CIRCLE, endpoint=False), period / _CIRCLE
    first = _rise(circle)
    second = _rise(first)

    def polish(_: Any, t: jax.Array) -> jax.Array:
        up, bend = _height(t, first), _height(t, second)
        move = jnp.where(bend > 0.0, -up / jnp.where(bend > 0.0, bend, 1.0), -0.1 * step * jnp.sign(up))
        return t + jnp.clip(move, -step, step)

    return jax.lax.fori_loop(0, _POLISH, polish, grid[jnp.argmin(_height(grid, circle))])


@jax.jit
def _descend(
    coefficients: tuple[jax.Array, ...], tables: tuple[jax.Array, ...], starts: jax.Array, steps: int | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Value and place after some steps from every start, (start,) and (start, point)."""
    forms = tuple(zip(coefficients, tables, strict=True))

    def one(v: jax.Array) -> tuple[jax.Array, jax.Array]:
        def tangent(v: jax.Array) -> jax.Array:
            slope = _slope(v, forms)
            return slope - (slope @ v) * v

        def step(_: Any, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            v, slope, search, value = state
            norm = jnp.linalg.norm(search)
            d = search / jnp.where(norm > _STILL, norm, 1.0)
            d = d - (d @ v) * v  # at the bottom the search direction is round-off, and so is its angle with v
            d = d / jnp.maximum(jnp.linalg.norm(d), _STILL)
            circle = _on_circle(v, d, forms)
            t = _lowest_angle(circle)
            lowest = _height(t, circle)
            moved = jnp.cos(t) * v + jnp.sin(t) * d
            better = (norm > _STILL) & (lowest < value)
            turned = jnp.where(better, moved / jnp.linalg.norm(moved), v)
            new = tangent(turned)
            # Polak-Ribiere, the old direction carried to the new tangent plane; where it would climb it starts afresh.
            weight = jnp.maximum(new @ (new - slope) / jnp.maximum(slope @ slope, 1e-300), 0.0)
            along = search - (search @ turned) * turned
            onward = -new + jnp.where(better, weight, 0.0) * along
            onward = jnp.where(onward @ new < 0.0, onward, -new)
            return turned, new, onward, jnp.where(better, lowest, value)

        def height(v: jax.Array) -> jax.Array:
            return sum((g @ jnp.prod(v[table], axis=1) for g, table in forms), jnp.zeros(()))

        v = v / jnp.linalg.norm(v)
        slope = tangent(v)
        v, *_ = jax.lax.fori_loop(0, steps, step, (v, slope, -slope, height(v)))
        v = v / jnp.linalg.norm(v)
        return height(v), v

    return jax.vmap(one)(starts)
