r"""How a potential changes when the short waves are integrated out one after the other: the local potential's flow.

The average action of a field with phi -> -phi, Z = 1 (local potential approximation) and the optimised regulator
R = (k^2 - q^2) theta(k^2 - q^2) obeys, in units of k and with t = ln k towards the ultraviolet,

    d_t u = -d u + (d-2)/2 phi u' + V_d/(1 + u''),    V_d = 1/(2^d pi^(d/2) Gamma(d/2 + 1))

(C. Wetterich, Phys. Lett. B 301 (1993) 90; D. Litim, Phys. Rev. D 64 (2001) 105007). With u = sum_n u_2n phi^2n/(2n)!
cut off at the last coupling, the powers of phi give one equation each,

    beta_2 = -2 u2 - V u4/(1+u2)^2,
    beta_4 = (d-4) u4 + V [6 u4^2/(1+u2)^3 - u6/(1+u2)^2],
    beta_6 = (2d-6) u6 + V [30 u4 u6/(1+u2)^3 - 90 u4^3/(1+u2)^4 - u8/(1+u2)^2], ..

At 1 + u2 = 0 the propagator of the longest wave has a pole: what lies beyond belongs to no theory, and a flow that runs
into it is refused there. The sixth power is the published truncation; more couplings show what it costs.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import factorial, gamma, pi
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from ..refusals import is_whole
from ..types import Matrix, Vector

__all__ = ["FixedPoint", "LocalPotential", "fixed_point"]

_POLE = 1e-3  # of 1 + u2: nearer to the pole no flow is followed; it ends within as much of t
_TOLERANCE = 1e-12
_FARTHEST = 1e12  # a coupling that has run away
_STEPS = 50_000  # evaluations of beta: a second
_ENDS = ("a flow that stays off the pole 1 + u2 = 0", "couplings that do not run away")
_LOWEST, _TRIALS = 0.9, 400  # where the u2 of a fixed point is looked for
_MOST = 20  # couplings of a fixed point: (2n)! leaves no digits of more


class LocalPotential:
    """Couplings u2, u4, u6, .. of a local potential in units of the cutoff k, in d dimensions.

    Args:
        dimension: d > 0, any number.
        couplings: (u2, u4, ..), of u = u2 phi^2/2 + u4 phi^4/4! + u6 phi^6/6! + ..; two or more, 1 + u2 > 0.

    Raises:
        ValueError: no dimension, fewer than two couplings, or a potential at or beyond the pole.

    Example, how three couplings at k = Lambda look at k = Lambda/e:
        >>> LocalPotential(3, (0.5, 1.0, 0.0)).at(-1.0).couplings.round(7).tolist()
        [3.7130323, 2.6811803, 0.1950404]
    """

    def __init__(self, dimension: float, couplings: Sequence[float] | Vector) -> None:
        self.dimension, self.couplings = float(dimension), np.asarray(couplings, dtype=float)
        if not 0.0 < self.dimension < np.inf:
            raise ValueError(f"expected a dimension d > 0, got {dimension!r}; try 3")
        if self.couplings.ndim != 1 or len(self.couplings) < 2 or not np.all(np.isfinite(self.couplings)):
            raise ValueError(f"expected numbers (u2, u4, ..), two or more, got {couplings!r}; try (0.5, 1.0, 0.0)")
        if not 1.0 + self.couplings[0] > 0.0:
            raise ValueError(
                f"expected 1 + u2 > 0, a propagator without a pole, got u2 = {self.couplings[0]:g}; try a larger u2, "
                "or units of a larger k, where u2 is nearer to zero"
            )

    @property
    def volume(self) -> float:
        """V_d, what one shell of waves weighs.

        >>> round(LocalPotential(3, (0.0, 1.0)).volume * 6.0 * pi**2, 12)
        1.0
        """
        return 1.0 / (2.0**self.dimension * pi ** (self.dimension / 2.0) * gamma(self.dimension / 2.0 + 1.0))

    @property
    def beta(self) -> Vector:
        """d_t of the couplings, t = ln k towards the ultraviolet, (coupling,)."""
        return self._slopes(self.couplings)

    def _slopes(self, u: Vector) -> Vector:
        trivial, size = self._weights
        return trivial * u + self.volume * size[1:] * self._inverse(u)[1:]

    def _inverse(self, u: Vector) -> Vector:
        """1/(1 + u'') in powers of phi^2, (power,)."""
        count = len(u)
        bend = np.append(u / self._weights[1][:count], 0.0)
        bend[0] += 1.0
        inverse = np.zeros(count + 1)
        inverse[0] = 1.0 / bend[0]
        for n in range(1, count + 1):
            inverse[n] = -inverse[0] * (bend[1 : n + 1] @ inverse[n - 1 :: -1])
        return inverse

    @property
    def stability(self) -> Matrix:
        """How beta answers to the couplings, d beta_2n / d u_2m, (coupling, coupling)."""
        return self._curves(self.couplings)

    def _curves(self, u: Vector) -> Matrix:
        trivial, size = self._weights
        inverse = self._inverse(u)
        square = np.convolve(inverse, inverse)
        n = np.arange(1, len(u) + 1)
        step = n[:, None] - n + 1  # of (1 + u'')^-2, the power of phi^2 that meets u_2m
        loops = np.where(step >= 0, square[np.abs(step)], 0.0) * size[1:, None] / size[:-1]
        return np.diag(trivial) - self.volume * loops

    @cached_property
    def _weights(self) -> tuple[Vector, Vector]:
        """Of every coupling its trivial scaling, and (2n)! from n = 0 on."""
        n, d = np.arange(1, len(self.couplings) + 1), self.dimension
        return n * (d - 2.0) - d, np.array([float(factorial(2 * k)) for k in range(len(n) + 1)])

    def at(self, t: float) -> "LocalPotential":
        """The potential at k exp(t); t < 0 is the infrared. Raises as `flow`."""
        return LocalPotential(self.dimension, self.flow([t])[-1])

    def flow(self, times: Sequence[float] | Vector) -> Float[np.ndarray, "time coupling"]:
        """The couplings at several t, all on one side of t = 0, where they are those given, (time, coupling).

        Raises:
            ValueError: times on both sides of zero; a flow that meets the pole 1 + u2 = 0, or in which a coupling runs
                away, before the last of them: the message says at which t and u2.

        Example:
            >>> LocalPotential(2, (-0.1, 0.5, 0.2)).flow([-1.0, -3.0])
            Traceback (most recent call last):
            ValueError: expected a flow that stays off the pole 1 + u2 = 0, got u2 = -0.999... at t = -1.97...
        """
        t = np.asarray(times, dtype=float)
        if t.ndim != 1 or not len(t) or not np.all(np.isfinite(t)) or (t.min() < 0.0 < t.max()):
            raise ValueError(f"expected times (time,) on one side of zero, got {times!r}; try [-0.5, -1.0]")
        order = np.argsort(np.abs(t), kind="stable")
        last = float(t[order[-1]])
        if last == 0.0:
            return np.tile(self.couplings, (len(t), 1))

        tried = [0]

        def slopes(at: float, u: Vector) -> Vector:
            tried[0] += 1
            if tried[0] > _STEPS:
                raise _refused(f"a flow of at most {_STEPS} steps", at, u, "fewer couplings, or a t nearer to zero")
            return self._slopes(u)

        def pole(_: float, u: Vector) -> float:
            return 1.0 + float(u[0]) - _POLE

        def away(_: float, u: Vector) -> float:
            return _FARTHEST - float(np.max(np.abs(u)))

        for event in (pole, away):
            event.terminal = True  # type: ignore[attr-defined]
        options = {"method": "DOP853", "rtol": _TOLERANCE, "atol": _TOLERANCE * 1e-3, "t_eval": t[order]}
        with np.errstate(all="ignore"):  # steps tried beyond the pole are thrown away
            found: Any = solve_ivp(slopes, (0.0, last), self.couplings, events=(pole, away), **options)
        ends = [(what, *end) for what, end in zip(_ENDS, zip(found.t_events, found.y_events)) if len(end[0])]
        for what, at, u in ends:
            raise _refused(what, at[0], u[0], f"t nearer to zero than {at[0]:.4g}, or other couplings to begin with")
        if found.status != 0:
            raise _refused("a flow that can be followed", last, self.couplings, "a t nearer to zero")
        out = np.empty((len(t), len(self.couplings)))
        out[order] = found.y.T
        return out

    def __repr__(self) -> str:
        names = ", ".join(f"u{2 * n + 2} = {u:.6g}" for n, u in enumerate(self.couplings))
        return f"LocalPotential(d = {self.dimension:g}, {names})"


class FixedPoint(NamedTuple):
    """A potential that does not flow, and how the ones beside it do.

    Attributes:
        potential: beta = 0.
        eigenvalues: of the slopes of beta there, t towards the ultraviolet, ascending: negative ones are relevant,
            what is planted there grows towards the infrared.
    """

    potential: LocalPotential
    eigenvalues: Vector

    @property
    def nu(self) -> float:
        """The exponent of the correlation length, -1 over the one negative eigenvalue."""
        return float(-1.0 / self.eigenvalues[0])


def fixed_point(dimension: float, couplings: int = 3) -> FixedPoint:
    """The fixed point of Wilson and Fisher in 2 < d < 4, with so many couplings u2, u4, .. kept.

    With two couplings u2 = -(4-d)/(16-d); each further one starts from those before.

    Raises:
        ValueError: another dimension, fewer than two couplings, or so many that the powers of phi lead nowhere.

    Example, the published truncation at the sixth power, whose u2 is -1/7:
        >>> found = fixed_point(3)
        >>> found.potential.couplings.round(5).tolist(), round(found.nu, 6)
        ([-0.14286, 12.43052, 540.81258], 0.593218)
    """
    if not 2.0 < dimension < 4.0:
        raise ValueError(
            f"expected a dimension between 2 and 4, where one fixed point beside the free field has one direction that "
            f"grows, got {dimension!r}; try 3"
        )
    if not is_whole(couplings, 2) or couplings > _MOST:
        raise ValueError(f"expected a number of couplings from 2 to {_MOST}, got {couplings!r}; try 3, up to phi^6")
    found = -(4.0 - dimension) / (16.0 - dimension)
    for count in range(3, couplings + 1):
        tried = np.linspace(-_LOWEST, -1e-6, _TRIALS)
        last = np.array([_beyond(dimension, u2, count)[-1] for u2 in tried])
        ends = [
            _root(lambda u2, n=count: float(_beyond(dimension, u2, n)[-1]), float(tried[k]), float(tried[k + 1]))
            for k in np.flatnonzero(np.sign(last[1:]) != np.sign(last[:-1]))
        ]
        if not ends:
            raise ValueError(
                f"expected a fixed point of {count} couplings in d = {dimension:g}, got none with u2 between "
                f"-{_LOWEST} and 0; try couplings={count - 1}"
            )
        found = min(ends, key=lambda u2: abs(u2 - found))
    potential = LocalPotential(dimension, _beyond(dimension, found, couplings)[:-1])
    return FixedPoint(potential, np.sort(np.real(np.linalg.eigvals(potential.stability))))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    found: Any = brentq(function, low, high, xtol=1e-15)
    return float(found)


def _beyond(dimension: float, u2: float, count: int) -> Vector:
    """u2, u4, .. of a fixed point, one more than `count`: beta_2n = 0 gives u_2n+2, which vanishes where it is cut."""
    field = LocalPotential(dimension, np.append(u2, np.zeros(count)))
    trivial, size = field._weights
    bend, inverse = np.zeros(count + 1), np.zeros(count + 1)
    bend[0], inverse[0] = 1.0 + u2, 1.0 / (1.0 + u2)
    u = np.append(u2, np.zeros(count))
    for n in range(1, count + 1):
        inverse[n] = -trivial[n - 1] * u[n - 1] / (field.volume * size[n])
        bend[n] = -(inverse[n] * bend[0] + bend[1:n] @ inverse[1:n][::-1]) / inverse[0]
        u[n] = bend[n] * size[n]
    return u


def _refused(expected: str, t: float, couplings: Vector, advice: str) -> ValueError:
    numbers = ", ".join(f"u{2 * n + 2} = {u:.5g}" for n, u in enumerate(couplings[:3]))
    return ValueError(f"expected {expected}, got {numbers} at t = {t:.6g}; try {advice}")
