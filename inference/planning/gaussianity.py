"""Are a few hundred random functions Gaussian? If the test does not reject it, how far from Gaussian may they be?

The statistic is the squared norm of the connected four-point function, k-statistics whitened with the two-point
function of the same networks: T = (n/24) ||G4c||^2, on average n eps4^2 plus its own noise. It does not change under
linear maps of the field, so that for Gaussian networks its law depends on the number of networks and of points only and
is drawn, T of standard normal numbers, not approximated: with r of B draws at or above it, p = (r + 1)/(B + 1) is
uniform at every n, where chi^2 is not yet right. Held at 5 % against the projection on the scalar direction (Mardia's
kurtosis): 1 to 10 % more power on narrow nets, up to 12 % less on a scale shared by all points, blind to no direction.

The same test gives an upper bound on eps4: the smallest distance at which networks would give a T as small as this so
rarely that P(T <= t | eps4)/P(T <= t | 0) <= 1 - level (A. L. Read, J. Phys. G 28 (2002) 2693), t not below its 16 %
quantile: no bound beyond the reach of the experiment (arXiv:1105.3166). The networks are those whose non-Gaussianity is
easiest to miss at a given eps4: Gaussian but for one mode, which carries a random scale of Gamma law, eps4 =
(3/8)^(1/2) Var(tau); all else being equal one mode has the largest kurtosis and so the noisiest estimate. It holds for
laws with no heavier tail; without such a condition there is no bound. Permutations of the points under which the law is
invariant enter by averages over the group, network by network.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, stats

from ...models.arrays import dense
from ...models.combinatorics import multiplicities, rank, sorted_tuples, tuple_count
from ...models.types import Vector

__all__ = [
    "EPS4_LIMIT",
    "Gaussianity",
    "connected",
    "deciding",
    "farther",
    "statistics",
    "symmetrised",
    "test_of_gaussianity",
]

Sets = Float[np.ndarray, "set network point"]
Group = Int[np.ndarray, "element point"]

EPS4_LIMIT = 0.3  # physics: beyond it stay with the correlators
_CHUNK = 2**21  # numbers held at a time: 16 MB
_STEPS = 9  # bisections of the bound: to 2 % in eps4
_REACH = 0.16  # quantile of Gaussian sets: one standard deviation below the middle
_FARTHEST = 3.0  # eps4 beyond which no bound is stated: ten times the limit of an action
_MODE = (3.0 / 8.0) ** 0.5  # eps4 of one mode with a random scale of unit variance


class Gaussianity(NamedTuple):
    """Result of the test; `expected` is the average of T over Gaussian networks, `bound` inf where there is none.

    far: p-value of eps4 <= .3, the limit beyond which an action describes nothing.
    """

    statistic: float
    expected: float
    p: float
    eps4: float
    bound: float
    far: float


def symmetrised(covariance: np.ndarray, group: Group) -> np.ndarray:
    """Average of (..., point, point) over the group."""
    return np.mean([covariance[..., g[:, None], g] for g in group], axis=0)


def connected(fields: Sets, group: Group) -> tuple[np.ndarray, np.ndarray]:
    """G2 (set, point, point) and unbiased G4c (set, quad) of a field with phi -> -phi, averaged over the group.

    G4c = <abcd> - sum_3 <ab><cd>, products of means over distinct networks. A network enters with the average over its
    images, never as several networks.
    """
    n, points = fields.shape[1:]
    pairs, quads = sorted_tuples(points, 2), sorted_tuples(points, 4)
    two = fields[..., pairs[:, 0]] * fields[..., pairs[:, 1]]
    gram = np.swapaxes(two, 1, 2) @ two / n
    average = np.zeros((len(pairs), len(pairs)))
    fourth = np.zeros((len(fields), len(quads)))
    for g in group:
        average[rank(g[pairs], points), np.arange(len(pairs))] += 1.0 / len(group)
        image = g[quads]
        fourth += gram[:, rank(image[:, :2], points), rank(image[:, 2:], points)] / len(group)
    means = two.mean(axis=1) @ average
    same = average.T @ gram @ average  # mean over networks of products of the averaged pairs
    for rest in ([0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]):
        left, right = rank(quads[:, rest[:2]], points), rank(quads[:, rest[2:]], points)
        fourth -= (n * means[:, left] * means[:, right] - same[:, left, right]) / (n - 1)
    return dense(means, points, 2), fourth


def statistics(fields: Sets, group: Group) -> Vector:
    """T of each set of networks, (set,); the symmetric root of G2 commutes with the group, a triangular one does not.

    >>> one = np.array([[[1.0], [2.0], [-1.0], [0.5], [-2.5]]])
    >>> bool(np.isclose(statistics(one, np.array([[0]])), statistics(-7.0 * one, np.array([[0]])))[0])
    True
    """
    n, points = fields.shape[1:]
    weight = multiplicities(sorted_tuples(points, 4))
    out = []
    step = max(1, _CHUNK // (n * tuple_count(points, 2)))
    for first in range(0, len(fields), step):
        part = fields[first : first + step]
        covariance = symmetrised(np.swapaxes(part, 1, 2) @ part / n, group)
        values, vectors = np.linalg.eigh(covariance)
        white = (vectors / np.sqrt(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        out.append(n / 24.0 * connected(part @ white, group)[1] ** 2 @ weight)
    return np.concatenate(out)


def test_of_gaussianity(
    fields: Float[np.ndarray, "network point"], group: Group, *, level: float, draws: int, rng: np.random.Generator
) -> Gaussianity:
    """The statistic of these networks, its p-value from `draws` Gaussian sets, and the bound on eps4."""
    n, points = fields.shape
    observed = float(statistics(fields[None], group)[0])
    gauss = _drawn(n, points, group, draws, rng, 0.0)
    reach = max(observed, float(np.quantile(gauss, _REACH)))  # a lucky T gives no better bound than this
    below = (1.0 + np.sum(gauss <= reach)) / (draws + 1.0)
    seed = rng.integers(2**63)
    sets = int(np.clip(4.0 / ((1.0 - level) * below), 199, 2 * draws))

    def excess(log: float) -> float:
        """Log P(T <= t | eps4)/P(T <= t | 0) - log(1 - level), the same random numbers at every eps4."""
        variance = float(np.exp(log)) / _MODE
        other = _drawn(n, points, group, sets, np.random.default_rng(seed), variance)
        return float(np.log((1.0 + np.sum(other <= reach)) / (sets + 1.0) / below / (1.0 - level)))

    low, high, bound = np.log(0.01 / np.sqrt(n)), np.log(_FARTHEST), np.inf
    if excess(high) <= 0.0:
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
        bound = float(np.exp(high))
    expected = float(gauss.mean())
    return Gaussianity(
        statistic=observed,
        expected=expected,
        p=float((1.0 + np.sum(gauss >= observed)) / (draws + 1.0)),
        eps4=float(np.sqrt(max(observed - expected, 0.0) / n)),
        bound=bound,
        far=farther(observed, gauss, n, EPS4_LIMIT),
    )


test_of_gaussianity.__test__ = False  # a statistical test, not one of ours


def deciding(group: Group, eps4: float, *, sigma: float = 3.0) -> float:
    """Networks at which half of all experiments with this eps4 would reject the Gaussian at `sigma` (two-sided).

    T ~ chi^2_D(n eps4^2), D the number of independent components, each of variance 24/n. At one site the excess
    kurtosis kappa = 24^(1/2) eps4 has error (24/n)^(1/2), and n = 24 (sigma/kappa)^2.

    >>> round(deciding(np.array([[0]]), 0.015 / 24**0.5), -4)
    960000.0
    """
    if not 0.0 < eps4 < np.inf:
        return float(np.inf) if eps4 <= 0.0 else 0.0
    points = group.shape[1]
    quads = sorted_tuples(points, 4)
    dof = len(np.unique(np.min([rank(g[quads], points) for g in group], axis=0)))
    edge = stats.chi2.isf(2.0 * stats.norm.sf(sigma), dof)
    root = optimize.root_scalar(lambda x: stats.ncx2.cdf(edge, dof, x) - 0.5, bracket=(1e-6, 10.0 * (edge + 1.0)))
    return float(root.root) / eps4**2


def farther(statistic: float, gauss: Vector, n: int, eps4: float) -> float:
    """P-value of this eps4 or a smaller one: how often it would give so large a statistic.

    T = |x + m|^2 with |m|^2 = n eps4^2: T of Gaussian sets, (set,), plus n eps4^2, plus 2 n^(1/2) eps4 times a normal
    number. The spread is then that of few networks, where chi^2_D(n eps4^2) is too narrow; at least 1/(sets + 1).

    >>> gauss = np.random.default_rng(0).chisquare(5, size=999)
    >>> farther(60.0, gauss, 200, 0.3) < 0.01 < farther(60.0, gauss, 200, 0.5)
    True
    """
    signal = n * eps4**2
    above = stats.norm.sf((statistic - gauss - signal) / (2.0 * np.sqrt(signal)))
    return float((1.0 + above.sum()) / (len(gauss) + 1.0))


def _drawn(n: int, points: int, group: Group, draws: int, rng: np.random.Generator, variance: float) -> Vector:
    """T of `draws` sets of standard normal networks; the mode (1, .., 1) carries a Gamma scale of this variance."""
    out = []
    step = max(1, _CHUNK // (n * points))
    mode = np.full(points, points**-0.5)
    for first in range(0, draws, step):
        fields = rng.standard_normal((min(step, draws - first), n, points))
        if variance > 0.0:
            scale = np.sqrt(rng.gamma(1.0 / variance, variance, size=fields.shape[:2]))
            fields += ((scale - 1.0) * (fields @ mode))[..., None] * mode
        out.append(statistics(fields, group))
    return np.concatenate(out)
