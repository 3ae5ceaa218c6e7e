"""The gap with an interval that holds what is not resolved: a few positive levels, and a prior for their spacings.

    G(t) = sum over known levels + sum_(k=1..K) rho_k exp(-E_k t),   rho_k >= 0,   E_(k+1) - E_k = E_1 exp(s z_k),

z_k standard normal, so that a level is as far from the next as the first from the vacuum, within a factor of exp(2 s)
in 95 cases of 100; log E_1 is flat below what the effective mass allows. What level k adds to G at the first time, the
known ones taken out, is half normal with 2^(1-k) of that value, so that it matters little how many levels there are;
the first adds at least a tenth: what adds less is not called the gap. As long as G has errors, further levels can hide
in it: a plain fit leaves them out, and its interval is wrong by their share. Here they are in, and what is believed of
them is said (G. P. Lepage et al., Nucl. Phys. B Suppl. 106 (2002) 12). The weights are linear and their average is done
one after the other, each given the later ones (the GHK simulator: V. Hajivassiliou and D. McFadden, Econometrica 66
(1998) 863); the rest is importance sampling with Sobol points, whose proposal is refitted while the data are let in
little by little (O. Cappe et al., J. Comput. Graph. Statist. 13 (2004) 907).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import qmc

from ...models.refusals import is_whole
from ...models.types import Matrix, Vector
from .exponentials import Problem
from .gap import AbstractGapMethod, Gap
from .lagged import TimeCorrelators, energy_of_ratio
from .levels import Levels
from .pencil import without_level

__all__ = ["Constrained"]

_LOWEST = 1.0 / 20.0  # of the effective mass, where the prior of the gap begins
_SIGMA = 3.0  # errors above the effective mass, where it ends
_MOST_STAGES = 40
_ENOUGH = 200.0  # effective draws
_KEPT = 0.05  # of the points count when more of the data is let in
_LEAST = 1e-12  # of the power of the likelihood
_NOTHING = -1e12  # log weight of what does not count
_PARTS = 8  # of the points: one keeps to the prior, one goes far, the others follow the last stage
_WIDE = 9.0  # standard deviations of a spacing, beyond which there is nothing
_FAR = 2.0  # standard deviations of the one that goes far
_EDGE = 1e-12  # of the cube
_SEEN = 0.1  # of the first value, which the first level adds at least
_FALL = 0.5  # of the sizes that are believed of weights, from a level to the next
_INFLATED = 1.3  # covariance of the proposal over that of the draws


class _Stage(NamedTuple):
    """Points, their log weights, and the levels there."""

    log_weight: Vector
    energies: Float[np.ndarray, "draw state"]
    weights: Float[np.ndarray, "draw state"]


@dataclass(frozen=True)
class Constrained(AbstractGapMethod):
    """A few positive levels with a prior for their spacings.

    Args:
        count: levels K that are not known, the last standing for all above it.
        spread: s, of the logarithm of a spacing over the gap.
        known: energies that are known, with free weights: 0.0 of a field that does not cluster.
        nodes: points of a stage, a power of two.
        operator: which of the operators of the data.

    Example, the oscillator at lambda = 6 with errors of 1e-4 of G, whose gap is 1.4050391:
        >>> from nnft import models as m
        >>> times = np.arange(1, 8) * 0.3
        >>> g = m.Oscillator(quartic=6.0).correlator(times)
        >>> found = Constrained(count=3, nodes=1024).gap(TimeCorrelators.given(times, g, 1e-4 * g))
        >>> bool(found.interval[0] < 1.4050391 < found.interval[1]), bool(found.error < 0.01)
        (True, True)
    """

    count: int = 6
    spread: float = 0.5
    known: tuple[float, ...] = ()
    nodes: int = 4096
    operator: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.count, 2) or self.count > 8:
            raise ValueError(f"expected 2 to 8 levels, the last for all above it, got {self.count!r}; try count=6")
        if not 0.0 < self.spread <= 2.0:
            raise ValueError(f"expected a spread of log spacings from 0 to 2, got {self.spread!r}; try 0.5")
        if not is_whole(self.nodes, 256) or self.nodes & (self.nodes - 1):
            raise ValueError(f"expected nodes, a power of two from 256 on, got {self.nodes!r}; try 4096")
        if any(not 0.0 <= energy < np.inf for energy in self.known):
            raise ValueError(f"expected known energies, zero or more, got {self.known}; try known=(0.0,)")

    def gap(self, data: TimeCorrelators) -> Gap:
        """Mean, standard deviation and 95 % interval of the lowest level that is not known.

        Raises:
            ValueError: exact correlators, which leave nothing to believe; a G(t) that does not fall by three errors;
                too few times; draws that count too little.
        """
        levels = self.levels(data)
        states = range(self.count)
        energies, weights = ([take(k) for k in states] for take in (levels.energy, levels.weight))
        spread = [
            np.sqrt(levels.shares @ (table[:, levels.known :] - mean) ** 2)
            for table, mean in (
                (levels.energies, [e[0] for e in energies]),
                (levels.weights, [w[0] for w in weights]),
            )
        ]
        return Gap(
            energies[0][0], float(spread[0][0]), levels.words, np.array([e[0] for e in energies]), spread[0],
            weights=np.array([w[0] for w in weights]), weight_errors=spread[1], interval=energies[0][1:],
        )  # fmt: skip

    def levels(self, data: TimeCorrelators) -> Levels:
        """Draws of all levels, the known ones included; it raises what `gap` does."""
        if data.exact:
            raise ValueError(
                "expected correlators with errors, got exact ones, which need no prior; try "
                "inf.Gevp().gap(inf.shifted(data, 3)), or inf.Exponentials()"
            )
        problem = Problem.of(data, self.operator, positive=False)
        if np.isfinite(data.period):
            raise ValueError(
                f"expected correlators on a line, got a box of length {data.period:g}; try times far from half of it, "
                "without period="
            )
        least = len(self.known) + 4
        if len(problem.times) < least:
            raise ValueError(
                f"expected at least {least} times to see a level and what hides behind it, got {len(problem.times)}; "
                "try more times"
            )
        bare, top = self._bare(data)
        size = 2 * self.count
        mean, root, share_in = np.zeros(size), np.eye(size), 0.0
        for number in range(_MOST_STAGES):
            cube = qmc.Sobol(size, rng=np.random.default_rng(number)).random(self.nodes)
            z = ndtri(np.clip(cube, _EDGE, 1.0 - _EDGE))
            xi = mean + z @ root.T
            xi[::_PARTS] = z[::_PARTS]
            xi[1::_PARTS] = mean + _FAR * z[1::_PARTS] @ root.T
            stage = self._at(problem, bare, xi, top)
            proposal = _log_proposal(xi, mean, root)
            settled = share_in == 1.0
            share_in = _let_in(stage.log_weight, proposal, share_in)
            shares = _shares(share_in * stage.log_weight - proposal)
            effective = 1.0 / float(np.sum(shares**2))
            if settled and effective >= _ENOUGH:
                break
            mean, root = _refitted(xi, shares, effective)
        else:
            raise ValueError(
                f"expected draws of the levels that count as {_ENOUGH:g} at least, got {effective:.0f} of {self.nodes}"
                "; try more nodes, fewer levels, or leaving out the earliest times"
            )
        fixed = np.tile(np.array(self.known, dtype=float), (self.nodes, 1))
        energies = np.concatenate([fixed, stage.energies], axis=1)
        words = (
            f"{self.count} positive levels{' and a known one' * bool(self.known)} at {len(problem.times)} times from "
            f"{problem.times[0]:g} to {problem.times[-1]:g}, spacings like the gap within a factor "
            f"{np.exp(1.96 * self.spread):.2g}"
        )
        weights = stage.weights / np.array([data.share(row) for row in energies])
        return Levels(energies, weights, shares, len(self.known), words)

    def _bare(self, data: TimeCorrelators) -> tuple[TimeCorrelators, float]:
        """Correlators without the known levels, and the effective mass at their first time, with some of its errors.

        It is above every gap of positive weights.
        """
        for energy in self.known:
            data = without_level(data, energy)
        g = data.values[:2, self.operator, self.operator]
        rows = data.rows[:, :2, self.operator, self.operator]
        relative = rows[:, 0] / g[0] - rows[:, 1] / g[1]
        mass, slope = energy_of_ratio(float(g[0] / g[1]), float(data.times[0]), float(data.times[1]), np.inf)
        error = float(np.linalg.norm(relative)) / slope
        if not mass > _SIGMA * error or not g[1] > _SIGMA * float(np.linalg.norm(rows[:, 1])):
            raise ValueError(
                f"expected a signal that falls by more than {_SIGMA:g} errors, got the effective mass {mass:.3g} +- "
                f"{error:.2g} from t = {data.times[0]:g}; try earlier times or more networks"
            )
        return data, mass + _SIGMA * error

    def _at(
        self, problem: Problem, bare: TimeCorrelators, xi: Float[np.ndarray, "draw parameter"], top: float
    ) -> _Stage:
        """Log of posterior over prior at standard normal xi: of the gap, the spacings and the weights."""
        draws, count, fixed = len(xi), self.count, len(self.known)
        first = top * _LOWEST ** ndtr(-xi[:, :1])
        spacings = first * np.exp(self.spread * np.clip(xi[:, 1:count], -_WIDE, _WIDE))
        energies = np.cumsum(np.concatenate([first, spacings], axis=1), axis=1)
        every = np.concatenate([np.tile(np.array(self.known, dtype=float), (draws, 1)), energies], axis=1)
        states = problem.whiten @ np.exp(-every[:, None, :] * problem.times[:, None])
        wanted = problem.whiten @ problem.values
        precision = np.einsum("ntk,ntl->nkl", states, states)
        place = np.arange(fixed, fixed + count)
        seen = np.exp(-energies * bare.times[0])  # of a weight in the first value without the known levels
        if self.known:
            seen = seen * bare.share(energies) / problem.data.share(energies)
        seen = _FALL ** -np.arange(count) * seen / bare.values[0, self.operator, self.operator]
        precision[:, place, place] += seen**2
        root = np.linalg.cholesky(precision)
        half = np.linalg.solve(root, np.einsum("ntk,t->nk", states, wanted)[..., None])
        centre = np.linalg.solve(root.transpose(0, 2, 1), half)[..., 0]
        log_weight = 0.5 * np.sum(half[..., 0] ** 2, axis=1) - np.sum(np.log(np.einsum("nkk->nk", root)), axis=1)
        log_weight += np.sum(np.log(np.maximum(seen, 1e-300)), axis=1)
        off = np.zeros_like(centre)  # of each weight from its centre, the last first
        for k in range(fixed + count - 1, -1, -1):
            steep = root[:, k, k]
            off[:, k] = -np.einsum("nl,nl->n", root[:, k + 1 :, k], off[:, k + 1 :]) / steep
            if k >= fixed:
                least = _SEEN / seen[:, 0] if k == fixed else 0.0
                inside = steep * (centre[:, k] + off[:, k] - least)  # of the half line of weights above the least
                log_weight += log_ndtr(inside)
                share = ndtr(xi[:, count + k - fixed]) * ndtr(inside)
                off[:, k] -= ndtri(np.maximum(share, 1e-300)) / steep
        weights = centre + off
        return _Stage(np.nan_to_num(log_weight, nan=_NOTHING, neginf=_NOTHING), energies, weights)


def _log_proposal(xi: Float[np.ndarray, "draw parameter"], mean: Vector, root: Matrix) -> Vector:
    """Density of the mixture of prior, proposal and a wide proposal, over the prior."""
    away = np.sum(np.linalg.solve(root, (xi - mean).T) ** 2, axis=0)
    size = 0.5 * np.sum(xi**2, axis=1) - np.log(np.diag(root)).sum()
    near = np.log1p(-2.0 / _PARTS) - 0.5 * away + size
    far = -np.log(_PARTS) - 0.5 * away / _FAR**2 + size - len(mean) * np.log(_FAR)
    return np.logaddexp(np.logaddexp(near, far), -np.log(_PARTS))


def _shares(log_weight: Vector) -> Vector:
    """Weights that sum to one."""
    shares = np.exp(log_weight - log_weight.max())
    return shares / shares.sum()


def _let_in(log_weight: Vector, proposal: Vector, before: float) -> float:
    """The power of the likelihood at which a twentieth of the points still counts, never less than before."""

    def enough(power: float) -> bool:
        return 1.0 / float(np.sum(_shares(power * log_weight - proposal) ** 2)) >= _KEPT * len(proposal)

    if enough(1.0):
        return 1.0
    low, high = max(before, _LEAST), 1.0
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def _refitted(xi: Float[np.ndarray, "draw parameter"], shares: Vector, effective: float) -> tuple[Vector, Matrix]:
    """Mean and root of the covariance of the next proposal; no draw counts for more than three of the effective."""
    capped = np.minimum(shares, 3.0 / max(effective, 10.0))
    capped = capped / capped.sum()
    mean = capped @ xi
    off = xi - mean
    few = 0.02 if effective < 50.0 else 1e-6
    return mean, np.linalg.cholesky(_INFLATED * (capped * off.T) @ off + few * np.eye(len(mean)))
