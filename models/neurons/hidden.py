"""One neuron at given points as a function of its hidden parameters, and how far out J.s of it can go.

s_a(xi) = f(z_a) with z = L xi and xi standard normal, on the principal axes of the pre-activations: at most as many xi
as points or weights. Far out f is a straight line on either side, up to a rest of bounded size,

    |f(z) - right relu(z) - left relu(-z)| <= height,

so that J.s grows along a direction of xi by a piecewise linear function of it, whose maximum is exact: each cell of
directions is a cone. Averages over xi are lattice rules, which converge geometrically for an analytic f.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, inf, log2
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from ..types import Vector

__all__ = ["MOST_NODES", "Hidden", "Homogeneous", "Wave", "limits", "log_sum"]

MOST_NODES = {1: 1 << 14, 2: 1 << 9}  # per axis of a lattice, by its dimension
_REACH = 8.6  # standard deviations of the hidden parameters that are covered: the rest weighs 1e-17
_LEFT = 37.0  # its log
_COARSE = 32  # nodes per axis at which the first rule of a refinement stands
_RESOLVED = 1.25  # spacing of nodes in widths of s: two rules that miss its kink agree, and both are wrong
_CHUNK = 1 << 21  # numbers in memory at a time
_PHASES = 64  # of a wave: exp(J.s) of |J| below 30 then has an average exact to round-off
_NOTHING = 1e-12  # J.s below this share of its terms vanishes: round-off
_THIN = 1e-9  # cells of directions narrower than this are left out; J.s is continuous, so nothing is lost
_STARTS = 4096  # random hidden parameters at which the search for sup |J.s| begins
_FARTHEST = 1e4  # standard deviations of the hidden parameters that a lattice may have to cover
_FAR = 2.0**40  # where the slopes of an activation are read

Sources = Float[np.ndarray, "source point"]
Factor = Float[np.ndarray, "point hidden"]
Rule = tuple[Float[np.ndarray, " node"], np.ndarray]  # weights that sum to one, activations (node, point)


def _principal(columns: Float[np.ndarray, "point column"]) -> Factor:
    """L with L L^T = columns columns^T on its principal axes; what is round-off is no axis."""
    axes, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    kept = sizes > 1e-12 * max(sizes[0], np.finfo(float).tiny)
    return axes[:, kept] * sizes[kept]


def log_sum(exponents: np.ndarray, weight: np.ndarray, *, axis: int) -> np.ndarray:
    """The log of the sum of exp(exponents) with weights."""
    return np.asarray(special.logsumexp(exponents, axis=axis, b=weight))


@dataclass(frozen=True, eq=False)
class Hidden:
    """A neuron s = f(L xi) at given points; a class of its own where more is known in closed form.

    A neuron of one's own that gives it in `hidden` has W[J], verdicts on its sources and, if it is bounded, a density.

    Attributes:
        name: what messages call the neuron.
        columns: any C of the pre-activations z = C xi, xi standard normal, (point, column).
        values: f elementwise in NumPy.
        height, right, left: how far out it goes, see above; slopes of inf where it is the exponential of a Gaussian.
        sharp: the largest curvature of f over its largest slope: f varies over 1/sharp.
        mirrored: whether |J.s| is the same at xi and -xi, as of an odd f.
        factor: L, made from C: the same law on the principal axes, (point, axis).
    """

    name: str
    columns: Float[np.ndarray, "point column"]
    values: Callable[[np.ndarray], np.ndarray]
    height: float
    right: float = 0.0
    left: float = 0.0
    sharp: float = 1.0
    mirrored: bool = False
    factor: Factor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", _principal(self.columns))

    @property
    def axes(self) -> int:
        """Number of hidden parameters that matter, at least one."""
        return max(self.factor.shape[1], 1)

    @property
    def bounded(self) -> bool:
        """Whether |s| <= height everywhere."""
        return self.right == self.left == 0.0

    @property
    def exponential(self) -> bool:
        """Whether s outgrows every power of xi."""
        return inf in (self.right, self.left)

    # ---- how far out ----

    @cached_property
    def _cells(self) -> list[np.ndarray]:
        """Sign patterns of L xi that occur in a cone with an interior, one hyperplane after the other."""
        cells, rows = [np.zeros(0)], self.factor[np.any(self.factor != 0.0, axis=1)]
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for count in range(1, len(rows) + 1):
            grown = [np.append(signs, side) for signs in cells for side in (1.0, -1.0)]
            cells = [signs for signs in grown if _has_interior(signs[:, None] * unit[:count])]
        return cells if len(rows) else []

    def growth(self, source: Vector) -> float:
        """The largest |J.s| per unit of |xi| far out, exactly; zero where it vanishes up to round-off.

        In the cone of directions where a given set of pre-activations is positive J.s = g.xi, g = sum_a J_a slope_a
        L_a, whose largest value is the length of g's projection on the cone, a non-negative least-squares problem
        (Moreau).

        >>> relu = Hidden("relu", np.array([[2.0]]), lambda z: np.maximum(z, 0.0), height=0.0, right=1.0)
        >>> relu.growth(np.array([-1.5]))
        3.0
        """
        if self.bounded:
            return 0.0
        seen = np.any(self.factor != 0.0, axis=1)
        rows, j, largest = self.factor[seen], source[seen], 0.0
        for signs in self._cells:
            gradient = (j * np.where(signs > 0.0, self.right, -self.left)) @ rows
            walls = (signs[:, None] * rows).T
            for side in (gradient, -gradient):
                largest = max(largest, float(optimize.nnls(walls, -side)[1]))
        return largest if largest > _NOTHING * self._steepest(source) else 0.0

    def _steepest(self, source: Vector) -> float:
        """A bound of `growth` without its cells."""
        return max(self.right, self.left) * float(np.abs(source) @ np.linalg.norm(self.factor, axis=1))

    def bound(self, source: Vector) -> float:
        """|J.s| of the part that does not grow is at most this."""
        return self.height * float(np.sum(np.abs(source)))

    def largest(self, source: Vector) -> float:
        """The largest |J.s| of a bounded neuron found by many starts and a descent: a lower bound of the supremum."""

        def size(xi: np.ndarray) -> np.ndarray:
            return np.abs(self.values(xi @ self.factor.T) @ source)

        draw, axes = np.random.default_rng(0), self.factor.shape[1]  # only where the search starts
        starts = draw.normal(size=(_STARTS, axes)) * draw.choice([0.0, 1.0, 10.0, 1000.0], size=(_STARTS, 1))
        sizes = size(starts)
        best = float(np.max(sizes))
        for k in np.argsort(-sizes)[:5] if axes else []:
            found = optimize.minimize(lambda xi: -size(xi[None])[0], starts[k], method="Nelder-Mead")
            best = max(best, -float(found.fun))
        return best

    # ---- averages ----

    def reach(self, law: Any, sources: Sources) -> float:
        """Standard deviations of xi beyond which exp of J.s, averaged over a readout law, weighs nothing."""
        if self.bounded or law.tail().radius < inf:  # J.s of a law whose E exp(tW) ends is bounded, or was refused
            return _REACH
        grows = self.growth if law.tail().curvature > 0.0 else self._steepest
        growth, rest = max(map(grows, sources)), max(map(self.bound, sources))
        far = _REACH
        while law.log_mean(np.array(growth * far + rest)) - 0.5 * far**2 > -_LEFT:
            far *= 1.1
            if far > _FARTHEST:
                raise ValueError(
                    f"expected sources whose exponential has an average within {_FARTHEST:.0f} standard deviations, "
                    f"got J.s of {self.name} that grows by {growth:.4g}; try sources further from where Z becomes "
                    "infinite"
                )
        return far

    def coarsest(self, reach: float = _REACH) -> int:
        """The fewest nodes per axis that see f: f(L xi) varies over 1/sqrt(1 + 4 L^2), refused if too many."""
        width = (1.0 + 4.0 * float(np.max((self.sharp * self.factor) ** 2, initial=0.0))) ** -0.5
        needed = 2.0 * reach / (_RESOLVED * width)
        nodes, most = _COARSE * 2 ** max(0, ceil(log2(needed / _COARSE))), MOST_NODES[self.axes]
        if 2 * nodes > most:
            raise ValueError(
                f"expected pre-activations that {most} nodes an axis resolve, got {needed:.3g} needed and as many "
                "again to compare with; try a smaller weight_scale or points nearer the origin"
            )
        return nodes

    def lattice(self, nodes: int, reach: float = _REACH) -> Rule:
        """Lattice rule over xi: weights (node,) and s, (node, point), for functions of |k.s|."""
        line = (np.arange(nodes) + 0.5) * (2.0 * reach / nodes) - reach
        xi = np.zeros((1, 0))
        for _ in range(self.factor.shape[1]):
            xi = np.column_stack([np.repeat(xi, nodes, axis=0), np.tile(line, len(xi))])
        if self.mirrored:
            xi = xi[len(xi) // 2 :]
        weight = np.exp(-0.5 * np.sum(xi**2, axis=1))
        return weight / weight.sum(), self.values(xi @ self.factor.T)

    def signed_rule(self, nodes: int, reach: float = _REACH) -> Rule:
        """A rule for any function of s: weights (node,) that sum to one, and s, (node, point), of both signs."""
        weight, s = self.lattice(nodes, reach)
        if not self.mirrored:
            return weight, s
        return np.concatenate([weight, weight]) / 2.0, np.concatenate([s, -s])

    def two_point(self, nodes: int) -> Float[np.ndarray, "point point"]:
        """<s s> by the lattice rule."""
        weight, s = self.lattice(nodes)
        return (s.T * weight) @ s

    def log_mean(self, law: Any, amplitude: np.ndarray) -> np.ndarray:
        """The log of E exp(W a) over a readout law, and over what else is averaged in closed form, a = |k.s|."""
        return law.log_mean(amplitude)

    def characteristic(self, law: Any, amplitude: np.ndarray) -> np.ndarray:
        """The same of E exp(i W a), without the log."""
        return law.characteristic(amplitude)

    def log_average(self, law: Any, sources: Sources, nodes: int, reach: float) -> Float[np.ndarray, " source"]:
        """The log of <E exp(W J.s)> over xi and the readout by the rule of that many nodes an axis, (source,)."""
        weight, s = self.lattice(nodes, reach)
        rows = max(1, _CHUNK // len(weight))
        parts = [np.abs(sources[start : start + rows] @ s.T) for start in range(0, len(sources), rows)]
        return np.concatenate([log_sum(self.log_mean(law, part), weight, axis=1) for part in parts])


class Wave(Hidden):
    """exp(iz) of a wave whose phase c is averaged in closed form: u = A cos(c + ..), A = |sum_a J_a exp(i z_a)|."""

    def signed_rule(self, nodes: int, reach: float = _REACH) -> Rule:
        """The phase by a trapezoidal rule, geometric for a function analytic in s."""
        weight, s = self.lattice(nodes, reach)
        phases = np.exp(2j * np.pi * np.arange(_PHASES) / _PHASES)
        return np.repeat(weight, _PHASES) / _PHASES, np.real(s[:, None] * phases[:, None]).reshape(-1, s.shape[1])

    def two_point(self, nodes: int) -> Float[np.ndarray, "point point"]:
        weight, s = self.lattice(nodes)
        return 0.5 * np.real((s.T * weight) @ np.conj(s))

    def log_mean(self, law: Any, amplitude: np.ndarray) -> np.ndarray:
        return law.phase_log_mean(amplitude)

    def characteristic(self, law: Any, amplitude: np.ndarray) -> np.ndarray:
        return law.phase_characteristic(amplitude)


class Homogeneous(Hidden):
    """f(cz) = c f(z) for c > 0: in polar coordinates of xi the radius is averaged in closed form."""

    def reach(self, law: Any, sources: Sources) -> float:
        """The radius needs no end."""
        return _REACH

    def coarsest(self, reach: float = _REACH) -> int:
        """Directions are integrated between the kinks of f, where any number will do."""
        return _COARSE

    def log_average(self, law: Any, sources: Sources, nodes: int, reach: float) -> Float[np.ndarray, " source"]:
        if not (rank := self.factor.shape[1]):
            return np.zeros(len(sources))
        weight, xi = self._directions(nodes)
        u = sources @ self.values(xi @ self.factor.T).T  # growth of J.s along each direction, (source, direction)
        return log_sum(law.radial_log_mean(u, rank), weight, axis=1)

    def signed_rule(self, nodes: int, reach: float = _REACH) -> Rule:
        """Directions between the kinks, times radii of a Gauss rule."""
        rank = self.factor.shape[1]
        if rank == 0:
            return np.ones(1), np.zeros((1, len(self.factor)))
        weight, xi = self._directions(nodes)
        y, w = special.roots_legendre(2 * nodes)
        radius = 0.5 * reach * (1.0 + y)
        radial = w * radius ** (rank - 1) * np.exp(-0.5 * radius**2)
        s = self.values(xi @ self.factor.T)
        both = (weight[:, None] * (radial / radial.sum())).ravel()
        return both, (s[:, None] * radius[:, None]).reshape(-1, s.shape[1])

    def _directions(self, nodes: int) -> Rule:
        """Directions xi on the circle between the kinks of f(L xi), with weights that sum to one."""
        if self.factor.shape[1] < 2:
            return np.array([0.5, 0.5]), np.array([[1.0], [-1.0]])
        kinks = np.arctan2(self.factor[:, 1], self.factor[:, 0]) + np.pi / 2
        edges = np.unique(np.concatenate([[0.0, 2.0 * np.pi], kinks % (2 * np.pi), (kinks + np.pi) % (2 * np.pi)]))
        y, w = special.roots_legendre(nodes)
        half = np.diff(edges)[:, None] / 2.0
        angle = (edges[:-1, None] + half * (1.0 + y)).ravel()
        return (half * w).ravel() / (2.0 * np.pi), np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _has_interior(walls: np.ndarray) -> bool:
    """Is there xi with walls @ xi > 0? Gordan: unless a convex combination of the walls vanishes."""
    combination = np.concatenate([walls.T, np.ones((1, len(walls)))])
    target = np.append(np.zeros(walls.shape[1]), 1.0)
    return float(optimize.nnls(combination, target)[1]) > _THIN


def limits(values: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Height, slopes and sharpness of an activation, read off its values up to 1e6; nan where it has no slopes.

    Straight lines far out are taken from 2^40, and what is left must be as large within 1000 as beyond.

    >>> softplus = limits(lambda z: np.logaddexp(z, 0.0))
    >>> {name: round(value, 3) for name, value in softplus.items()}
    {'height': 0.693, 'right': 1.0, 'left': 0.0, 'sharp': 1.0}
    >>> limits(np.square)["right"]
    nan
    """
    near = np.linspace(-20.0, 20.0, 16_001)
    wide = np.geomspace(20.0, 1e6, 2000)
    z = np.concatenate([-wide[::-1], near, wide])
    with np.errstate(all="ignore"):
        right, left = (float(v) for v in values(np.array([_FAR, -_FAR])) / _FAR)
        rest = np.abs(values(z) - right * np.maximum(z, 0.0) - left * np.maximum(-z, 0.0))
        within, beyond = (float(np.max(rest[part])) for part in (np.abs(z) <= 1e3, np.abs(z) > 1e3))
    if not beyond <= 1.001 * within + 1e-5:
        return {"height": inf, "right": np.nan, "left": np.nan, "sharp": 1.0}
    right, left = (0.0 if abs(slope) < 1e-9 else slope for slope in (right, left))
    slope = np.gradient(values(near), near)
    curved = float(np.max(np.abs(np.gradient(slope, near)), initial=0.0))
    steep = float(np.max(np.abs(slope), initial=0.0))
    height = 1.0001 * max(within, beyond)
    return {"height": height, "right": right, "left": left, "sharp": max(1.0, curved / steep if steep else 1.0)}
