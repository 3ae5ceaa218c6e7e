"""Is an action bounded below? Only if its highest form is positive in every direction of field space.

S_r(v) = sum over sorted tuples of g_a1..ar v_a1 .. v_ar grows like |phi|^r along v, so exp(-S) can be normalised only
when min over the unit sphere of the highest form is >= 0 (where it vanishes the lower forms decide). A positive
coupling at each site is not enough. The minimum is found by BFGS on S_r(v/|v|) from many starts: an upper bound that is
attained, so a negative value is a proof.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix

from ..combinatorics import sorted_tuples
from ..runtime import settled
from ..types import Matrix, Tuples, Vector

__all__ = ["FORBIDDEN", "Boundedness", "boundedness", "lowest_direction", "minimum_on_sphere"]

_STARTS, _STEPS = 32, 128  # random starts beside one near every axis; steps of each at most
_STILL = 1e-12  # of the value, in units of the largest coefficient, and of the direction: what is no longer a step
_FLAT = 1e-9  # of the largest coefficient: below it the highest form vanishes along a direction
_FAR = 1e3  # in field scales: where lower forms are looked at when the highest one is flat
FORBIDDEN = ("sampling", "reweighting", "likelihood", "gold posterior")


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
    """Smallest value of the sum of forms and its direction, one draw (row of coefficients) after the other."""
    values, directions = [], []
    for row in zip(*coefficients, strict=True):
        height, reached = map(np.asarray, _descend(tuple(row), tuple(tables), starts))
        best = int(np.argmin(height))
        values.append(height[best])
        directions.append(reached[best])
    return np.array(values), np.array(directions)


@jax.jit
def _descend(
    coefficients: tuple[jax.Array, ...], tables: tuple[jax.Array, ...], starts: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Value and place of the minimum reached from every start, (start,) and (start, point)."""
    solver = optimistix.BFGS(rtol=_STILL, atol=_STILL)

    def height(v: jax.Array, _: None = None) -> jax.Array:
        on_sphere = v / jnp.linalg.norm(v)
        forms = zip(coefficients, tables, strict=True)
        return sum((g @ jnp.prod(on_sphere[table], axis=1) for g, table in forms), jnp.zeros(()))

    def one(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = optimistix.minimise(height, solver, start / jnp.linalg.norm(start), max_steps=_STEPS, throw=False).value
        return height(found), found / jnp.linalg.norm(found)

    return jax.vmap(one)(starts)
