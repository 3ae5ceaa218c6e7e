"""Moments of one neuron's activations, `<s(z_1) ... s(z_r)>` over jointly Gaussian pre-activations, by quadrature.

Pre-activations of one hidden neuron at M inputs are z ~ N(0, C), `C_ab = sb^2 + sW^2 x_a.x_b / d`, of rank at most d+1.
The quartic moments fix the connected four-point function at every width, `G4c = (1/N)[mu4 sigma^4 <ssss> - ...]`
(arXiv 2008.08601, 2307.03223). A lattice rule in the principal axes of C serves all smooth activations; one nobody has
looked at is held against its own averages at single points, which are integrals over a line. ReLU is in `relu.py`.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from math import ceil, gamma, pi
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, gammainccinv, roots_legendre

from .cones import SMALL_PRODUCT

Activation = Callable[[np.ndarray], np.ndarray]
# rows, the first halves they use, the range of second halves, and the entry of each row in the table of both
Halves = tuple[np.ndarray, np.ndarray, int, int, tuple[np.ndarray, np.ndarray]]

RANK_CUTOFF = 1e-13  # eigenvalues below this share of the largest are rounding; dropping one moves a moment by O(it)
ONE_RULE_RANK = 4  # up to this rank one lattice serves all tuples, above it each set of distinct points has its own
MOST_NODES = 50_000_000  # of one lattice; about five seconds for four points
EPS = float(np.finfo(float).eps)
CHUNK = 1 << 16  # nodes in memory at a time
REFINEMENT = 1.25  # ratio of the steps of two successive lattices
COARSEST = 1.25  # step in widths of the integrand: a coarser lattice steps over kinks and samples them
WIDEST = 1.0  # step along any axis in standard deviations: <1> is then right to 6e-9
FLATTEST = 0.5  # the same where kinks are sampled: enough nodes across the Gaussian for each kink to be met
DEGREES = (1, 2, 3, 4, 6, 8, 12)  # powers of growth that a ball is made for
FARTHEST = 20.0  # standard deviations of one pre-activation
KINKED_NODES, ENOUGH = 2_000_000, 1e-6  # of a lattice whose kinks show, and the change at which it is left at that
KINKS = 10.0  # times the change of a lattice that samples kinks, or what it misses of <s^r> where that is known


def gaussian_moments(
    activation: Activation,
    covariance: np.ndarray,
    tuples: np.ndarray,
    *,
    nodes: int | None = None,
    degree: float = 1.0,
    sites: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Average products of a smooth activation over jointly Gaussian pre-activations.

    `values[k] = E[ s(z_a) s(z_b) ... ]`, z ~ N(0, C), (a, b, ...) = tuples[k]. With C = L L^T on its principal axes,
    z = L xi, the integral over xi is the plain trapezoidal sum on a lattice inside a ball. For an integrand analytic
    within a distance y of the real axis its error is exp(-2 pi y / h), where Gauss-Hermite with n nodes reaches only
    exp(-2 y sqrt(n)): tanh(4 xi)^2 to 1e-8 takes 140 nodes instead of 700. The step of each axis follows the largest
    |L_ak|, and is refined until two lattices agree to a share of prod_k <s(z_k)^2>^(1/2), the size a product can have.
    Two lattices that both miss a kink agree as well. Where even MOST_NODES cannot resolve the kinks they are sampled,
    as by any rule of equidistributed points: the error is then ten times the change, or what the lattice misses of the
    known <s^r> at single points, whatever is larger.

    Shapes: covariance (M, M), possibly singular; tuples (K, r) of indices below M, r = 2, 4 or 6; values (K,).
    The activation takes and returns an array of any shape and grows at most like |z|^degree. `sites` are the known
    averages <s^r> at each point, (M,), against which every lattice is then held. `nodes` fixes the number of nodes
    along the finest axis. The error is the largest change of any value from the lattice before the last, plus what the
    lattice and the ball miss of <1> = 1, plus the rounding of C: once below a few per cent an overestimate for analytic
    activations, no bound for kinked ones (ReLU has its own).

    Raises ValueError for a covariance that is not symmetric positive semi-definite, for odd or bad tuples, and where
    MOST_NODES nodes are too few even to sample the kinks.
    """
    covariance, tuples = checked(covariance, tuples)
    if tuples.shape[1] not in (2, 4, 6):
        raise ValueError(f"expected tuples of 2, 4 or 6 points, got {tuples.shape[1]}; try order 4")
    if nodes is not None and nodes < 4:
        raise ValueError(f"expected at least 4 nodes per axis, got {nodes}; try None, which refines until converged")
    rms = _root_mean_square(activation, _spread(covariance))
    if principal_factor(covariance).shape[1] <= ONE_RULE_RANK:
        return _lattice_moments(activation, covariance, tuples, rms, nodes, degree, sites)
    values, error = np.empty(len(tuples)), 0.0
    for points, rows in _by_distinct_points(tuples).items():
        here, local = np.array(points), np.searchsorted(points, tuples[rows])
        known = None if sites is None else sites[here]
        block = covariance[np.ix_(here, here)]
        values[rows], change = _lattice_moments(activation, block, local, rms[here], nodes, degree, known)
        error = max(error, change)
    return values, error


def checked_moments(activation: Activation, covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, float]:
    """`gaussian_moments` of an activation nobody has looked at, at any growth that its averages survive.

    The averages at single points are integrals over a line, refined until they no longer change. They decide how far
    out the lattice must go, what is left out beyond (by Hoelder's inequality, from the same line), and whether the
    lattice has seen the activation at all: a feature that both miss is narrower than 1e-4 of the line.

    Raises ValueError for an activation whose r-th power has no average, or none within 20 standard deviations.

    >>> value, error = checked_moments(lambda z: z**3, np.array([[1.0]]), np.array([[0, 0, 0, 0]]))   # <z^12> = 11!!
    >>> bool(abs(value[0] - 10395.0) < error < 1e-7)
    True
    """
    covariance, tuples = checked(covariance, tuples)
    order, rank = tuples.shape[1], principal_factor(covariance).shape[1]
    line, change = line_of(activation, _spread(covariance), order)
    sites = line.average()
    ranks = (rank,) if rank <= ONE_RULE_RANK else tuple(range(1, min(rank, order) + 1))
    for degree in DEGREES:
        lost = [line.beyond(_radius(k, order * degree), k) for k in ranks]
        if all(np.all(left <= _tolerance(k) * sites) for left, k in zip(lost, ranks, strict=True)):
            break
    else:
        share = float(np.max(lost[-1] / np.maximum(sites, 1e-300)))
        raise ValueError(
            f"expected an activation that grows like a power of at most {DEGREES[-1]}, got one of which {share:.1g} of "
            f"<s^{order}> comes from beyond; try a smaller weight_scale, a lower order, or measuring it"
        )
    values, error = gaussian_moments(activation, covariance, tuples, degree=degree, sites=sites)
    outside = np.prod(np.max(lost, axis=0)[tuples] ** (1.0 / order), axis=1)
    return values, error + float(np.max(outside, initial=0.0) + np.max(change, initial=0.0))


class Line(NamedTuple):
    """Powers s(z)^r of an activation on a line of pre-activations z = spread xi, at each point.

    xi: standard normal; weight: of its law, summing to one; power: s^r; (point, node) each.
    """

    xi: np.ndarray
    weight: np.ndarray
    power: np.ndarray

    def average(self) -> np.ndarray:
        """<s^r>, (point,)."""
        return np.sum(self.weight * self.power, axis=1)

    def beyond(self, radius: float, rank: int) -> np.ndarray:
        """What <s^r> takes from outside a ball in `rank` axes of which xi is one, (point,)."""
        left = np.maximum(radius**2 - self.xi**2, 0.0)
        outside = np.where(left == 0.0, 1.0, gammaincc((rank - 1) / 2, left / 2) if rank > 1 else 0.0)
        return np.sum(self.weight * self.power * outside, axis=1)


def line_of(activation: Activation, spread: np.ndarray, order: int) -> tuple[Line, np.ndarray]:
    """The line at standard deviations `spread` of the pre-activation, (M,), for an even power; and its error.

    Panels double in size from where an activation varies over one, and are split until <s^r> no longer changes.
    """
    y, w = roots_legendre(32)
    narrow = (1.0 + 2.0 * spread[:, None] ** 2) ** -0.5
    count = 1 + max(0, ceil(float(np.log2(FARTHEST / np.min(narrow, initial=1.0)))))
    edges = np.minimum(np.column_stack([np.zeros(len(spread)), narrow * 2.0 ** np.arange(count)]), FARTHEST)
    before, change = None, np.full(len(spread), np.inf)
    for parts in (1, 2, 4, 8, 16, 32, 64):
        cut = np.arange(1, parts + 1) / parts
        inner = edges[:, :-1, None] + np.diff(edges, axis=1)[..., None] * cut
        ends = np.column_stack([np.zeros(len(spread)), inner.reshape(len(spread), -1)])
        half = 0.5 * np.diff(ends, axis=1)[..., None]
        xi = (ends[:, :-1, None] + half * (1.0 + y)).reshape(len(spread), -1)
        weight = (half * w).reshape(xi.shape) * np.exp(-0.5 * xi**2) / (2.0 * pi) ** 0.5
        xi, weight = np.concatenate([-xi, xi], axis=1), np.concatenate([weight, weight], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            power = activation(spread[:, None] * xi) ** order
        line = Line(xi, weight, power)
        now = line.average()
        if not np.all(np.isfinite(power)):
            where = np.argwhere(~np.isfinite(power))[0]
            raise ValueError(
                f"expected an activation with a finite power {order} within {FARTHEST:.0f} standard deviations of its "
                f"pre-activation, got {power[tuple(where)]} at z = {spread[where[0]] * xi[tuple(where)]:.3g}; try a "
                "smaller weight_scale, a lower order, or measuring it"
            )
        if before is not None:
            change = np.abs(now - before)
            if np.all(change <= 1e-13 * now):
                break
        before = now
    edge = np.sum(np.where(np.abs(line.xi) > 0.8 * FARTHEST, line.weight * line.power, 0.0), axis=1)
    if np.any(edge > 1e-13 * now):
        worst = int(np.argmax(edge / np.maximum(now, 1e-300)))
        raise ValueError(
            f"expected an activation whose power {order} has an average over pre-activations of standard deviation "
            f"{spread[worst]:.3g}, got {edge[worst] / now[worst]:.1g} of it from beyond {0.8 * FARTHEST:.0f} standard "
            "deviations; try a smaller weight_scale, a lower order, or measuring it"
        )
    return line, change


def lattice_nodes(covariance: np.ndarray, order: int) -> float:
    """About how many nodes `gaussian_moments` sums over, all its lattices together; inf where it takes one for each set
    of points.
    """
    factor = principal_factor(covariance)
    ball, _ = _ball(factor, order)
    return 1.5 * ball / 0.6 ** factor.shape[1] if factor.shape[1] <= ONE_RULE_RANK else np.inf


def checked(covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A covariance (M, M) and tuples of its points as arrays, or a refusal of what they are not."""
    covariance, tuples = np.asarray(covariance, dtype=np.float64), np.asarray(tuples)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not covariance.size:
        raise ValueError(f"expected a square covariance (M, M), got shape {covariance.shape}; try sb^2 + sW^2 x.x/d")
    rounding = 1e-12 * np.max(np.abs(covariance), initial=0.0)
    if not np.all(np.abs(covariance - covariance.T) <= rounding):  # also refuses nan and inf
        raise ValueError("expected a finite symmetric covariance, got another; try (C + C^T)/2")
    spectrum = np.linalg.eigvalsh(covariance)
    if spectrum[0] < -1e-10 * spectrum[-1]:
        raise ValueError(f"expected no negative eigenvalue, got {spectrum[0]:.3g}; try the Gram matrix of the inputs")
    if tuples.ndim != 2 or tuples.shape[1] == 0 or not np.issubdtype(tuples.dtype, np.integer):
        raise ValueError(f"expected integer tuples (K, r), got {tuples.dtype} {tuples.shape}; try one row for each")
    if tuples.size and (tuples.min() < 0 or tuples.max() >= len(covariance)):
        raise ValueError(f"expected indices 0..{len(covariance) - 1}, got {tuples.min()}..{tuples.max()}; count from 0")
    return covariance, tuples


def _by_distinct_points(tuples: np.ndarray) -> dict[tuple[int, ...], list[int]]:
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, points in enumerate(tuples.tolist()):
        rows.setdefault(tuple(sorted(set(points))), []).append(row)
    return rows


def principal_factor(covariance: np.ndarray, cutoff: float = RANK_CUTOFF) -> np.ndarray:
    """L (M, R) with C = L L^T, R the numerical rank (one null column for C = 0), the widest axis last."""
    spectrum, axes = np.linalg.eigh(covariance)
    kept = spectrum > cutoff * spectrum[-1]
    kept[-1] = True
    return axes[:, kept] * np.sqrt(np.maximum(spectrum[kept], 0.0))


def _root_mean_square(activation: Activation, spread: np.ndarray) -> np.ndarray:
    """<s(z)^2>^(1/2) for z ~ N(0, spread^2), (M,): the size of a factor."""
    return np.sqrt(_one_site(activation, spread, 2))


def _one_site(activation: Activation, spread: np.ndarray, order: int) -> np.ndarray:
    """<s(z)^r> for z ~ N(0, spread^2), r even, (M,): exact up to rounding at every spread."""
    spread = np.maximum(spread, 1e-100)[:, None]
    u = (np.arange(256) + 0.5) / 256.0 * np.arcsinh(9.0 * spread)  # z = sinh u resolves s and the Gaussian alike
    z = np.sinh(u)
    weight = np.exp(-0.5 * (z / spread) ** 2) * np.cosh(u)
    power = 0.5 * (activation(z) ** order + activation(-z) ** order)
    return np.sum(power * weight, axis=1) / np.sum(weight, axis=1)


def _tolerance(rank: int) -> float:
    return {1: 1e-12, 2: 1e-12, 3: 1e-10}.get(rank, 1e-8)


def _ball(factor: np.ndarray, order: float) -> tuple[float, np.ndarray]:
    """Volume of the ball in units of the integrand's widths, and these, (R,)."""
    rank = factor.shape[1]
    # tanh(l xi) has poles at distance pi/2l, a Gaussian alone asks for a step below one: these widths serve both
    widths = 1 / np.sqrt(1 + 4 * np.max(factor**2, axis=0))
    return pi ** (rank / 2) / gamma(rank / 2 + 1) * _radius(rank, order) ** rank / np.prod(widths), widths


def _radius(rank: int, order: float) -> float:
    # |z|^order in `rank` dimensions: a chi-square of rank + order degrees of freedom
    return float(np.sqrt(2 * gammainccinv((rank + order) / 2, _tolerance(rank) / 10)))


def _lattice_moments(
    activation: Activation,
    covariance: np.ndarray,
    tuples: np.ndarray,
    rms: np.ndarray,
    nodes: int | None,
    degree: float,
    sites: np.ndarray | None,
) -> tuple[np.ndarray, float]:
    factor = principal_factor(covariance)
    order, rank = tuples.shape[1], factor.shape[1]
    power = order * degree
    tolerance, radius, (ball, widths) = _tolerance(rank), _radius(rank, power), _ball(factor, power)
    size = float(np.max(np.prod(rms[tuples], axis=1), initial=0.0))
    volume = ball * np.prod(widths)

    finest = COARSEST / REFINEMENT if nodes is None else 2 * radius / (nodes * np.min(widths))
    while volume / np.prod(np.minimum(finest * widths, WIDEST)) > MOST_NODES and finest * np.min(widths) < FLATTEST:
        finest *= 1.05
    # An axis along which s hardly varies still has a Gaussian to sum: the others take the wider steps.
    shape = np.minimum(widths, WIDEST / finest)
    if nodes is None and volume / np.prod(finest * shape) > MOST_NODES:
        raise ValueError(
            f"expected pre-activations that {MOST_NODES:.0e} nodes sample, got standard deviations up to "
            f"{np.max(_spread(covariance)):.3g} along {rank} axes; try a smaller weight_scale or points nearer the "
            "origin, a lower order, or Erf, which is known at every size"
        )
    step = REFINEMENT * finest
    points = np.unique(tuples)
    alone = np.repeat(points[:, None], order, axis=1)
    every = np.concatenate([tuples, alone])  # what is known at one point tells what a lattice misses of the kinks
    kinks, held = finest > COARSEST, sites is not None
    if sites is None and kinks:
        sites = _one_site(activation, _spread(covariance), order)
    rows = tuples if sites is None else every
    values, _ = _lattice_sum(activation, factor, rows, step * shape, radius)
    change = np.inf
    while True:
        step /= REFINEMENT
        slow = 0.4 * change  # an analytic activation converges faster, one with kinks like the square of the step
        coarse, (values, one) = values, _lattice_sum(activation, factor, rows, step * shape, radius)
        size = max(size, float(np.max(np.abs(values), initial=0.0)))
        change = float(np.max(np.abs(values - coarse), initial=0.0))
        site = 0.0 if sites is None else KINKS * float(np.max(np.abs(values[len(tuples) :] - sites[points])))
        met = not held or site <= 100.0 * tolerance * size  # two lattices that miss the same thing agree
        finished = nodes is not None or (change <= tolerance * size and met)
        if held and slow < max(change, site) <= ENOUGH * size and volume / np.prod(step * shape) > KINKED_NODES:
            finished = kinks = True
        if finished or volume / np.prod(step / REFINEMENT * shape) > MOST_NODES:
            missed = float(gammaincc((rank + power) / 2, radius**2 / 2)) + abs(one - 1.0)
            change = max(KINKS * change, site) if kinks else change + site
            rounding = _rounding(activation, covariance, factor, tuples, rms)
            return values[: len(tuples)], change + size * missed + rounding


def _rounding(
    activation: Activation, covariance: np.ndarray, factor: np.ndarray, tuples: np.ndarray, rms: np.ndarray
) -> float:
    """What moments change where C does not equal L L^T, sum_(i<j) dC_ij <s'(z_i) s'(z_j) ...>, and rounding of sums."""
    change = np.max(np.abs(covariance - factor @ factor.T)) + EPS * np.max(np.abs(covariance))
    slope = _root_mean_square(lambda z: (activation(z + 1e-3) - activation(z - 1e-3)) / 2e-3, _spread(covariance))
    total, order = 8.0 * EPS * np.prod(rms[tuples], axis=1), tuples.shape[1]
    for i, j in combinations(range(order), 2):
        rest = [k for k in range(order) if k not in (i, j)]
        total += change * slope[tuples[:, i]] * slope[tuples[:, j]] * np.prod(rms[tuples[:, rest]], axis=1)
    return float(np.max(total, initial=0.0))


def _spread(covariance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.diag(covariance), 0.0))


def _lattice_sum(
    activation: Activation, factor: np.ndarray, tuples: np.ndarray, steps: np.ndarray, radius: float
) -> tuple[np.ndarray, float]:
    """The sums for all tuples, and that of one."""
    products, groups = _in_halves(tuples)
    probe = np.geomspace(0.1, 100.0, 33)
    mirrored, straight = activation(-probe), activation(probe)
    definite = np.array_equal(mirrored, straight) or np.array_equal(mirrored, -straight)  # even order: even product
    tables = [np.zeros((len(first), last - start)) for _, first, start, last, _ in groups]
    largest = max((table.size for table in tables), default=1)
    block = max(64, min(SMALL_PRODUCT // largest, CHUNK // max(len(products), 1)))
    one = 0.0
    for xi in _half_ball(steps, radius):
        weight = np.exp(-0.5 * np.sum(xi**2, axis=1)) * ((2.0 if definite else 1.0) * np.prod(steps / np.sqrt(2 * pi)))
        one += float(weight.sum()) * (1.0 if definite else 2.0)
        for k in range(0, len(weight), block):
            z, share = factor @ xi[k : k + block].T, weight[k : k + block]
            for sign in (1,) if definite else (1, -1):
                s = activation(sign * z)
                halves = s[products[:, 0]]
                for column in products.T[1:]:
                    halves *= s[column]
                for table, (_, first, start, last, _) in zip(tables, groups, strict=True):
                    table += (halves[first] * share) @ halves[start:last].T
    values = np.empty(len(tuples))
    for table, (rows, _, _, _, entry) in zip(tables, groups, strict=True):
        values[rows] = table[entry]
    return values, one


def _in_halves(tuples: np.ndarray) -> tuple[np.ndarray, list[Halves]]:
    """All first and second halves of the sorted tuples, and which of them meet.

    A second half begins where the first one ends or later. So the rows are grouped by the last index of the first half:
    with all sorted tuples asked for, every product in a group's table is then one of them.
    """
    rows, half = np.sort(tuples, axis=1), tuples.shape[1] // 2
    products, which = np.unique(rows.reshape(-1, half), axis=0, return_inverse=True)
    which = which.reshape(-1, 2)
    ending = rows[:, half - 1] if half > 1 else np.zeros(len(rows), dtype=np.intp)  # one table serves order 2
    groups = []
    for index in np.unique(ending):
        here = np.flatnonzero(ending == index)
        first, left = np.unique(which[here, 0], return_inverse=True)
        right = which[here, 1]
        groups.append((here, first, int(right.min()), int(right.max()) + 1, (left.ravel(), right - right.min())))
    return products, groups


def _half_ball(steps: np.ndarray, radius: float) -> Iterator[np.ndarray]:
    """Chunks of lattice points (n, R) inside a ball, last coordinate positive; their mirror images are the rest."""
    axes = [(np.arange(-np.ceil(radius / h), np.ceil(radius / h)) + 0.5) * h for h in steps]
    base = np.zeros((1, 0))
    for axis in axes[:-1]:
        base = np.column_stack([np.repeat(base, len(axis), axis=0), np.tile(axis, len(base))])
        base = base[np.sum(base**2, axis=1) <= radius**2]
    last = axes[-1][axes[-1] > 0]
    reach = np.searchsorted(last, np.sqrt(np.maximum(radius**2 - np.sum(base**2, axis=1), 0.0)))
    rows = max(1, CHUNK // len(last))
    for start in range(0, len(base), rows):
        row, column = np.nonzero(np.arange(len(last)) < reach[start : start + rows, None])
        yield np.column_stack([base[start + row], last[column]])
