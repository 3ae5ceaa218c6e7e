"""Actions of a lattice: the same couplings at every site, lambda_i(x,y) = lambda_i(x-y), up to a reach.

    TranslationInvariant   sum_x [ sum_r q(r) phi_x phi_{x+r} + g phi_x^4 + sum_r u(r) phi_x phi_{x+r}^3
                                   + sum_r v(r) phi_x^2 phi_{x+r}^2 ]
    LatticePhi4            kappa sum_{x,mu} (phi_{x+mu} - phi_x)^2 + m2 sum_x phi_x^2 + lambda sum_x phi_x^4

q and v count a displacement and its opposite once. Sites are in C order, as `field.reshape(-1)` has them. Conventions
of lattice phi^4 in the literature differ by factors of two and 4!: `convert_lattice` leads from one to the other.
"""

from functools import lru_cache
from itertools import combinations, product
from math import prod

import equinox as eqx
import numpy as np

from ..types import Matrix, Tuples, Vector
from .base import AbstractAction, SiteTerm, Steps, Symbol
from .monomials import Monomials, monomials

__all__ = ["LatticePhi4", "TranslationInvariant", "displacements"]

_THIS_LATTICE = "The couplings belong to this lattice: another spacing, or a coarser one, has other couplings."
_BY_STEP = {
    "q": Symbol("q", step=True),
    "coupling": Symbol("g", plain="g", step=True),
    "u": Symbol("u", step=True),
    "v": Symbol("v", step=True),
}
_PHI4 = {"coupling": Symbol(r"\lambda", plain="lambda"), "kappa": Symbol(r"\kappa"), "m2": Symbol("m^2")}


class TranslationInvariant(AbstractAction):
    """Couplings that depend on the displacement only: of a periodic lattice, or of equally spaced points on a line.

    Attributes:
        shape: sites along each axis; None is a line of all points, open unless `periodic`.
        reach: largest displacement along an axis, of every two-point term and of q; None is every displacement.
        periodic: whether the lattice closes.

    Example: six sites on a ring have q(0..3), g, u(1..5), v(1..3).

        >>> TranslationInvariant(shape=(6,)).size(6)
        9

    Raises:
        ValueError: a shape without sites, a negative reach, points that are not as many as the sites.
    """

    symbols = _BY_STEP
    name = "translation-invariant quartic action"
    formula = (
        r"S = \sum_x [\,\sum_r q(r)\,\varphi_x\varphi_{x+r} + g\,\varphi_x^4 + "
        r"\sum_{r\ne 0} u(r)\,\varphi_x\varphi_{x+r}^3 + \sum_{r\ne 0} v(r)\,\varphi_x^2\varphi_{x+r}^2\,]"
    )
    symmetric = True
    shape: tuple[int, ...] | None = eqx.field(default=None, static=True)
    reach: int | None = eqx.field(default=None, static=True)
    periodic: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        _check_shape(self.shape)
        if self.reach is not None and (not isinstance(self.reach, int) or self.reach < 0):
            raise ValueError(f"expected a reach >= 0, got {self.reach!r}; try reach=2")

    def blocks(self, points: int) -> dict[str, Tuples]:
        steps = self._steps(points)
        return {
            "coupling": np.zeros((1, 0), dtype=np.int64),
            "u": np.array([r for r in steps if any(r)], dtype=np.int64).reshape(-1, len(self._box(points))),
            "v": np.array([r for r in _half(steps, self._ring(points)) if any(r)], dtype=np.int64).reshape(
                -1, len(self._box(points))
            ),
        }

    def quadratic_blocks(self, points: int) -> dict[str, Tuples]:
        return {"q": np.array(_half(self._steps(points), self._ring(points)), dtype=np.int64)}

    def quadratic(self, points: int) -> Monomials:
        return self._sum(points, self.quadratic_blocks(points)["q"], lambda x, y: [x, y])

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        blocks, origin = self.blocks(points), np.zeros((1, len(self._box(points))), dtype=np.int64)
        parts = [
            self._sum(points, origin, lambda x, _: [x, x, x, x]),
            self._sum(points, blocks["u"], lambda x, y: [x, y, y, y]),
            self._sum(points, blocks["v"], lambda x, y: [x, x, y, y]),
        ]
        first = np.cumsum([0, *(part.count for part in parts)])
        return (
            Monomials(
                np.concatenate([part.term + k for part, k in zip(parts, first)]),
                np.concatenate([part.tuples for part in parts]),
                np.concatenate([part.coefficient for part in parts]),
                int(first[-1]),
            ),
        )

    @property
    def meaning(self) -> str:
        reach = "" if self.reach is None else f" Displacements reach {self.reach} along every axis."
        return (
            "The couplings are the same at every x. Of a displacement and its opposite q and v have one, so that the "
            "sum over x meets each pair once (twice where r is its own opposite), without a factor 1/2; u(r) and "
            f"u(−r) are two couplings. On an open line or lattice x + r stays inside.{reach}"
        )

    @property
    def belongs(self) -> str:
        return super().belongs if self.shape is None else _THIS_LATTICE

    def place(self, points: int) -> str:
        return super().place(points) if self.shape is None else _place(self.shape, periodic=self.periodic)

    @property
    def lattice(self) -> Steps | None:
        return self.shape

    @property
    def homogeneous(self) -> bool:
        return self.periodic and self.shape is not None

    def site_terms(self) -> tuple[list[SiteTerm], dict[str, SiteTerm], SiteTerm] | None:
        if not self.homogeneous or self.shape is None:
            return None
        count, origin = prod(self.shape), (0,) * len(self.shape)
        blocks, pairs = self.blocks(count), self.quadratic_blocks(count)["q"].tolist()
        held: list[SiteTerm] = [((1.0, 1, 1, tuple(r)),) if any(r) else ((1.0, 2, 0, origin),) for r in pairs]
        held.append(((1.0, 4, 0, origin),))
        held += [((1.0, 1, 3, tuple(r)),) for r in blocks["u"].tolist()]
        held += [((1.0, 2, 2, tuple(r)),) for r in blocks["v"].tolist()]
        far = max(self.shape) if self.reach is None else self.reach + 1
        beyond = {f"neighbours at {far}": tuple((1.0, 1, 1, r) for r in _along(self.shape, far))}
        return held, _with_sextic(beyond, origin), ()

    def _box(self, points: int) -> tuple[int, ...]:
        box = (points,) if self.shape is None else self.shape
        if prod(box) != points:
            raise ValueError(f"expected {prod(box)} points for a lattice {box}, got {points}; try another shape")
        return box

    def _ring(self, points: int) -> tuple[int, ...] | None:
        return self._box(points) if self.shape is not None and self.periodic else None

    def _steps(self, points: int) -> list[tuple[int, ...]]:
        return displacements(self._box(points), self.reach, periodic=self._ring(points) is not None)

    def _sum(self, points: int, steps: Tuples, legs) -> Monomials:
        """One term a displacement: its monomial summed over all sites x, y = x + r."""
        box, ring = self._box(points), self._ring(points) is not None
        sites = np.stack(np.unravel_index(np.arange(points), box), axis=1)
        term, tuples = [], []
        for k, r in enumerate(steps):
            target = sites + r
            inside = np.ones(points, dtype=bool) if ring else np.all((target >= 0) & (target < box), axis=1)
            x = np.flatnonzero(inside)
            y = np.ravel_multi_index(tuple((target[x] % box).T), box)
            tuples.append(np.stack(legs(x, y), axis=1))
            term.append(np.full(len(x), k))
        width = tuples[0].shape[1] if tuples else len(legs(np.zeros(0, int), np.zeros(0, int)))
        empty = np.zeros((0, width), dtype=np.int64)
        joined = np.concatenate([empty, *tuples])
        return monomials(np.concatenate([np.zeros(0, int), *term]), joined, np.ones(len(joined)), len(steps))


class LatticePhi4(AbstractAction):
    """S = kappa sum_{x,mu} (phi_{x+mu} - phi_x)^2 + m2 sum_x phi_x^2 + lambda sum_x phi_x^4, periodic; no factors 1/2.

    Attributes:
        shape: sites along each axis.
        kappa: None fits it; a number fixes the kinetic term, and m2 and lambda alone are fitted.

    Example, the one site of a "lattice" has no kinetic term:
        >>> LatticePhi4(shape=(4, 4)).quadratic(16).count
        2

    Raises:
        ValueError: fewer than two sites along an axis, points that are not as many as the sites.
    """

    symbols = _PHI4
    name = "lattice phi^4 action"
    formula = r"S = \kappa\sum_{x,\mu}(\varphi_{x+\mu} - \varphi_x)^2 + m^2\sum_x\varphi_x^2 + \lambda\sum_x\varphi_x^4"
    belongs = _THIS_LATTICE
    homogeneous = True
    symmetric = True
    shape: tuple[int, ...] = eqx.field(static=True)
    kappa: float | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        _check_shape(self.shape)
        if min(self.shape) < 2:
            raise ValueError(f"expected at least two sites along every axis, got {self.shape}; try shape=(8, 8)")

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"coupling": np.zeros((1, 0), dtype=np.int64)}

    def quadratic_blocks(self, points: int) -> dict[str, Tuples]:
        names = ("m2",) if self.kappa is not None else ("kappa", "m2")
        return {name: np.zeros((1, 0), dtype=np.int64) for name in names}

    def quadratic(self, points: int) -> Monomials:
        mass = np.repeat(np.arange(points)[:, None], 2, axis=1)
        if self.kappa is not None:
            return monomials(np.zeros(points, int), mass, np.ones(points), 1)
        hop, coefficient = self._kinetic(points)
        term = np.concatenate([np.zeros(len(hop), int), np.ones(points, int)])
        return monomials(term, np.concatenate([hop, mass]), np.concatenate([coefficient, np.ones(points)]), 2)

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        quads = np.repeat(np.arange(points)[:, None], 4, axis=1)
        return (Monomials(np.zeros(points, dtype=np.int64), quads, np.ones(points), 1),)

    def fixed(self, points: int) -> Matrix | None:
        if self.kappa is None:
            return None
        pairs, coefficient = self._kinetic(points)
        out = np.zeros((points, points))
        for one, other in ((0, 1), (1, 0)):
            np.add.at(out, (pairs[:, one], pairs[:, other]), self.kappa * coefficient)
        return out

    @property
    def meaning(self) -> str:
        kinetic = "" if self.kappa is None else rf" $\kappa = {self.kappa:g}$ is given, and not fitted."
        return (
            "Each of the d links of a site counts once, and there is no factor 1/2 or 1/4! anywhere. Where the "
            r"literature has them, or writes hopping terms $-2\kappa\,\varphi_x\varphi_{x+\mu}$, the same action has "
            f"other numbers: `m.convert_lattice` turns one convention into another, with the errors.{kinetic}"
        )

    def place(self, points: int) -> str:
        return _place(self.shape, periodic=True)

    @property
    def lattice(self) -> Steps:
        return self.shape

    def site_terms(self) -> tuple[list[SiteTerm], dict[str, SiteTerm], SiteTerm]:
        """Its terms, those next to them by name, and the fixed part.

        >>> list(LatticePhi4((8, 8)).site_terms()[1])
        ['diagonal neighbours', 'next neighbours', 'phi^3 phi of neighbours', 'phi^2 phi^2 of neighbours', 'phi^6']
        """
        origin, near = (0,) * len(self.shape), _along(self.shape, 1)
        steps = [tuple(int(k == axis) for k in range(len(self.shape))) for axis in range(len(self.shape))]
        kinetic = ((2.0 * len(steps), 2, 0, origin), *((-2.0, 1, 1, r) for r in steps))
        held: list[SiteTerm] = [((1.0, 2, 0, origin),), ((1.0, 4, 0, origin),)]
        beyond = {
            "diagonal neighbours": tuple((1.0, 1, 1, r) for r in _diagonals(self.shape)),
            "next neighbours": tuple((1.0, 1, 1, r) for r in _along(self.shape, 2)),
            "phi^3 phi of neighbours": tuple((1.0, p, 4 - p, r) for r in near for p in (1, 3)),
            "phi^2 phi^2 of neighbours": tuple((1.0, 2, 2, r) for r in near),
        }
        left_out = _with_sextic(beyond, origin)
        if self.kappa is None:
            return [kinetic, *held], left_out, ()
        return held, left_out, tuple((self.kappa * c, p, q, r) for c, p, q, r in kinetic)

    def _kinetic(self, points: int) -> tuple[Tuples, Vector]:
        """Monomials of sum (phi_{x+mu} - phi_x)^2 and their coefficients, with repetitions."""
        if prod(self.shape) != points:
            raise ValueError(f"expected {prod(self.shape)} points for shape {self.shape}, got {points}; try the grid's")
        grid, pairs, coefficients = np.arange(points).reshape(self.shape), [], []
        for axis in range(len(self.shape)):
            x, y = grid.ravel(), np.roll(grid, -1, axis).ravel()
            pairs += [np.stack(both, axis=1) for both in ((x, x), (y, y), (x, y))]
            coefficients += [np.ones(points), np.ones(points), np.full(points, -2.0)]
        return np.concatenate(pairs), np.concatenate(coefficients)


@lru_cache(maxsize=64)
def displacements(box: tuple[int, ...], reach: int | None = None, *, periodic: bool = True) -> list[tuple[int, ...]]:
    """All displacements between sites, each along every axis at most `reach`, the origin first.

    >>> displacements((4,)), displacements((3,), periodic=False)
    ([(0,), (1,), (2,), (-1,)], [(0,), (1,), (2,), (-2,), (-1,)])
    """
    axes = []
    for length in box:
        steps = [r if r <= length // 2 else r - length for r in range(length)] if periodic else [*range(length)]
        steps = steps if periodic else [*steps, *range(1 - length, 0)]
        axes.append([r for r in steps if reach is None or abs(r) <= reach])
    return list(product(*axes))


def _half(steps: list[tuple[int, ...]], ring: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """One of each displacement and its opposite, the first met."""
    kept: dict[tuple[int, ...], tuple[int, ...]] = {}
    for r in steps:
        opposite = tuple(-x for x in r)
        names = [r, opposite] if ring is None else [tuple(np.mod(s, ring)) for s in (r, opposite)]
        kept.setdefault(min(names), r)
    return list(kept.values())


def _place(shape: Steps, *, periodic: bool) -> str:
    """On a periodic 8 × 8 lattice."""
    sites = " × ".join(map(str, shape))
    kind = f"lattice of {sites} sites" if len(shape) == 1 else f"{sites} lattice"
    return f"on {'a periodic' if periodic else 'an open'} {kind}"


def _with_sextic(terms: dict[str, SiteTerm], origin: Steps) -> dict[str, SiteTerm]:
    """Those terms that the lattice is large enough for, and phi^6."""
    return {name: term for name, term in {**terms, "phi^6": ((1.0, 6, 0, origin),)}.items() if term}


def _along(shape: Steps, far: int) -> list[Steps]:
    """One step of this length along every axis long enough to tell it from shorter ones."""
    steps = [tuple(far if k == axis else 0 for k in range(len(shape))) for axis in range(len(shape))]
    return [r for r, length in zip(steps, shape) if length >= 2 * far or (far == 1 and length > 1)]


def _diagonals(shape: Steps) -> list[Steps]:
    """(1, 1) and (1, -1) of every pair of axes, each displacement once."""
    found: dict[frozenset[Steps], Steps] = {}
    for a, b in combinations(range(len(shape)), 2):
        for sign in (1, -1):
            step = [0] * len(shape)
            step[a], step[b] = 1, sign
            both = frozenset(tuple(int(x) for x in np.mod(np.multiply(s, step), shape)) for s in (1, -1))
            if shape[a] > 1 and shape[b] > 1:
                found.setdefault(both, tuple(step))
    return list(found.values())


def _check_shape(shape: tuple[int, ...] | None) -> None:
    if shape is not None and (
        not isinstance(shape, tuple) or not shape or not all(isinstance(n, int) and n >= 1 for n in shape)
    ):
        raise ValueError(f"expected shape as a tuple of sites along each axis, got {shape!r}; try shape=(8, 8)")
