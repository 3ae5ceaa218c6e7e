"""Moments of one neuron's activations, `<s(z_1) ... s(z_r)>` over jointly Gaussian pre-activations, by quadrature.

Pre-activations of one hidden neuron at M inputs are z ~ N(0, C), `C_ab = sb^2 + sW^2 x_a.x_b / d`, of rank at most d+1.
The quartic moments fix the connected four-point function at every width, `G4c = (1/N)[mu4 sigma^4 <ssss> - ...]`
(arXiv 2008.08601, 2307.03223). Smooth activations use a lattice rule in the principal axes of C; ReLU, which is
homogeneous with kinks, uses the cone on which all its arguments are positive.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb, gamma, pi

import numpy as np
from scipy.special import gammaincc, gammainccinv

from .cones import SMALL_PRODUCT, integrate_monomials, list_monomials, multiply_forms, tile

Activation = Callable[[np.ndarray], np.ndarray]
# rows, the first halves they use, the range of second halves, and the entry of each row in the table of both
Halves = tuple[np.ndarray, np.ndarray, int, int, tuple[np.ndarray, np.ndarray]]
Group = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `_distinct`

RANK_CUTOFF = 1e-13  # eigenvalues below this share of the largest are rounding; dropping one moves a moment by O(it)
ONE_RULE_RANK = 4  # up to this rank one lattice serves all tuples, above it each set of distinct points has its own
MOST_NODES = 50_000_000  # of one lattice; about five seconds for four points
EPS = float(np.finfo(float).eps)
CHUNK = 1 << 16  # nodes in memory at a time
REFINEMENT = 1.25  # ratio of the steps of two successive lattices
COARSEST = 1.25  # step in widths of the integrand: a coarser lattice steps over kinks and samples them
WIDEST = 1.0  # step along any axis in standard deviations: <1> is then right to 6e-9
FLATTEST = 0.5  # the same where kinks are sampled: enough nodes across the Gaussian for each kink to be met
KINKS = 10.0  # times the change of a lattice that samples kinks, or what it misses of <s^r> where that is known
CELL_COST = (1.0, 4.0, 1.0, 0.1)  # all cells of M points in rank 1 to 4, over M^(rank-1) sets of distinct points
LARGEST_TABLE = 1 << 25  # numbers: first halves of tuples times second halves


def gaussian_moments(
    activation: Activation, covariance: np.ndarray, tuples: np.ndarray, *, nodes: int | None = None
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
    The activation takes and returns an array of any shape and grows at most like |z| (no exp: closed forms exist).
    `nodes` fixes the number of nodes along the finest axis. The error is the largest change of any value from the
    lattice before the last, plus what the lattice and the ball miss of <1> = 1, plus the rounding of C: once below a
    few per cent an overestimate for analytic activations, no bound for kinked ones (use `relu_moments`).

    Raises ValueError for a covariance that is not symmetric positive semi-definite, for odd or bad tuples, and where
    MOST_NODES nodes are too few even to sample the kinks.
    """
    covariance, tuples = _checked(covariance, tuples)
    if tuples.shape[1] not in (2, 4, 6):
        raise ValueError(f"expected tuples of 2, 4 or 6 points, got {tuples.shape[1]}; try order 4")
    if nodes is not None and nodes < 4:
        raise ValueError(f"expected at least 4 nodes per axis, got {nodes}; try None, which refines until converged")
    rms = _root_mean_square(activation, _spread(covariance))
    if _factor(covariance).shape[1] <= ONE_RULE_RANK:
        return _lattice_moments(activation, covariance, tuples, rms, nodes)
    values, error = np.empty(len(tuples)), 0.0
    for points, rows in _by_distinct_points(tuples).items():
        here, local = np.array(points), np.searchsorted(points, tuples[rows])
        values[rows], change = _lattice_moments(activation, covariance[np.ix_(here, here)], local, rms[here], nodes)
        error = max(error, change)
    return values, error


def lattice_nodes(covariance: np.ndarray, order: int) -> float:
    """About how many nodes `gaussian_moments` sums over, all its lattices together; inf where it takes one for each set
    of points.
    """
    factor = _factor(covariance)
    ball, _ = _ball(factor, order)
    return 1.5 * ball / 0.6 ** factor.shape[1] if factor.shape[1] <= ONE_RULE_RANK else np.inf


def relu_moments(covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, float]:
    """Average products of ReLUs over jointly Gaussian pre-activations, kinks treated exactly.

    `values[k] = E[ max(z_a, 0) max(z_b, 0) ... ]`, z ~ N(0, C). With z = L xi the integrand is a polynomial on the
    polyhedral cone {L xi > 0}, which is cut into simplicial ones (`cones.py`). Each set of distinct points has a cone
    of its own; or the planes of all points cut space into cells that all tuples share, where that is less work. Two
    distinct points give the arc-cosine kernels (Cho and Saul 2009).

    Shapes: covariance (M, M), possibly singular; tuples (K, r) of indices below M; values (K,). The error is the
    largest change of any value from a coarser rule, plus rounding.

    Raises ValueError for a covariance that is not symmetric positive semi-definite, for bad tuples, and for a tuple
    whose distinct points have rank above 6.

    >>> values, error = relu_moments(np.eye(2), np.array([[0, 0], [0, 1]]))  # 1/2 and 1/(2 pi)
    >>> bool(np.max(np.abs(values - [0.5, 0.5 / np.pi])) < error < 1e-13)
    True
    """
    covariance, tuples = _checked(covariance, tuples)
    scale, values = np.sqrt(np.diag(covariance)), np.zeros(len(tuples))
    alive = np.all(scale[tuples] > 0, axis=1)  # max(0, 0) = 0
    if not np.any(alive):
        return values, 0.0
    points, rows = np.unique(np.sort(tuples[alive], axis=1), return_inverse=True)
    rows, size = rows.reshape(-1, tuples.shape[1]), scale[points]
    correlation = covariance[np.ix_(points, points)] / np.outer(size, size)
    groups, factor = list(_distinct(rows)), _factor(correlation, RANK_CUTOFF / len(points))
    if _cells_are_fewer(factor, groups, rows.shape[1]):
        found, change = _cell_moments(factor, rows)
    else:
        found, change = _cone_moments(correlation, rows, groups)
    units = np.prod(size[rows], axis=1)
    values[alive] = units * found
    return values, float(np.max(units * (np.abs(change) + 1e-14)))


def _checked(covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _factor(covariance: np.ndarray, cutoff: float = RANK_CUTOFF) -> np.ndarray:
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


def _ball(factor: np.ndarray, order: int) -> tuple[float, np.ndarray]:
    """Volume of the ball in units of the integrand's widths, and these, (R,)."""
    rank = factor.shape[1]
    # tanh(l xi) has poles at distance pi/2l, a Gaussian alone asks for a step below one: these widths serve both
    widths = 1 / np.sqrt(1 + 4 * np.max(factor**2, axis=0))
    return pi ** (rank / 2) / gamma(rank / 2 + 1) * _radius(rank, order) ** rank / np.prod(widths), widths


def _radius(rank: int, order: int) -> float:
    # |z|^order in `rank` dimensions: a chi-square of rank + order degrees of freedom
    return float(np.sqrt(2 * gammainccinv((rank + order) / 2, _tolerance(rank) / 10)))


def _lattice_moments(
    activation: Activation, covariance: np.ndarray, tuples: np.ndarray, rms: np.ndarray, nodes: int | None
) -> tuple[np.ndarray, float]:
    factor = _factor(covariance)
    order, rank = tuples.shape[1], factor.shape[1]
    tolerance, radius, (ball, widths) = _tolerance(rank), _radius(rank, order), _ball(factor, order)
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
    rows = every if finest > COARSEST else tuples
    values, _ = _lattice_sum(activation, factor, rows, step * shape, radius)
    while True:
        step /= REFINEMENT
        coarse, (values, one) = values, _lattice_sum(activation, factor, rows, step * shape, radius)
        size = max(size, float(np.max(np.abs(values), initial=0.0)))
        change = float(np.max(np.abs(values - coarse), initial=0.0))
        finished = nodes is not None or change <= tolerance * size
        if finished or volume / np.prod(step / REFINEMENT * shape) > MOST_NODES:
            missed = float(gammaincc((rank + order) / 2, radius**2 / 2)) + abs(one - 1.0)
            if len(rows) > len(tuples):
                site = values[len(tuples) :] - _one_site(activation, _spread(covariance)[points], order)
                change = KINKS * max(change, float(np.max(np.abs(site))))
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
    probe = np.linspace(0.1, 4.0, 9)
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


def _cells_are_fewer(factor: np.ndarray, groups: list[Group], order: int) -> bool:
    """Whether the cells that all points cut are less work than the cones of the sets of distinct points."""
    (count, rank), half = factor.shape, (order + 1) // 2
    if rank > len(CELL_COST) or order == 1 or comb(count + half - 1, half) ** 2 > LARGEST_TABLE:
        return False
    full = sum(len(sets) for _, sets, _, _ in groups if sets.shape[1] >= rank)  # the others are cheap
    return full >= CELL_COST[rank - 1] * count ** (rank - 1)


def _distinct(rows: np.ndarray) -> Iterator[Group]:
    """By the number p of distinct points: rows, their sets (set, p), which set, and the place of each index in it."""
    new = np.column_stack([np.ones(len(rows), dtype=bool), np.diff(rows, axis=1) > 0])
    place = np.cumsum(new, axis=1) - 1
    for last in np.unique(place[:, -1]):
        here = np.flatnonzero(place[:, -1] == last)
        sets, which = np.unique(rows[here][new[here]].reshape(len(here), -1), axis=0, return_inverse=True)
        yield here, sets, which.ravel(), place[here]


def _cone_moments(correlation: np.ndarray, rows: np.ndarray, groups: list[Group]) -> np.ndarray:
    """Moments of sorted tuples and their change from a coarser rule, (2, row): each set of points on its own cone."""
    values = np.zeros((2, len(rows)))
    for here, sets, which, place in groups:
        patterns, pattern = np.unique(place, axis=0, return_inverse=True)
        spectrum, axes = np.linalg.eigh(correlation[sets[:, :, None], sets[:, None, :]])
        ranks = np.sum(spectrum > RANK_CUTOFF * spectrum[:, -1:], axis=1)
        if np.max(ranks) > 6:
            raise ValueError(f"expected rank at most 6 within a tuple, got {np.max(ranks)}; try tuples of order 6")
        total = np.zeros((2, len(sets), len(patterns)))
        for rank in np.unique(ranks).tolist():
            some = np.flatnonzero(ranks == rank)
            factor = axes[some, :, -rank:] * np.sqrt(spectrum[some, None, -rank:])
            for cones, owner in tile(factor / np.linalg.norm(factor, axis=2, keepdims=True), inside=True):
                heights = np.maximum(np.einsum("npr,nir->npi", factor[owner], cones), 0.0)
                integrals = integrate_monomials(cones, rows.shape[1])
                for k, row in enumerate(patterns):
                    form = multiply_forms(heights, row[None])[:, 0]
                    for out, integral in zip(total, integrals, strict=True):
                        weight = np.einsum("na,na->n", form, integral)
                        out[some, k] += np.bincount(owner, weight, minlength=len(some))
        values[:, here] = total[:, which, pattern.ravel()]
    return values


def _cell_moments(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The same, each tuple summed over the cells that the planes of all points cut space into.

    In a cell a product of r pre-activations is that of its first and its second half.
    """
    order, rank = rows.shape[1], factor.shape[1]
    first, left = np.unique(rows[:, : order // 2], axis=0, return_inverse=True)
    second, right = np.unique(rows[:, order // 2 :], axis=0, return_inverse=True)
    number, lower, upper = (list_monomials(rank, k) for k in (order, first.shape[1], second.shape[1]))
    joint = [[number[tuple(sorted(a + b))] for b in upper] for a in lower]
    table = np.zeros((2, len(first), len(second)))
    facets = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    for cones, _ in tile(facets[None], inside=False):
        heights = np.einsum("pr,nir->npi", factor, cones)
        positive = np.max(heights, axis=2) > -np.min(heights, axis=2)
        integrals = np.stack(integrate_monomials(cones, order))[:, :, joint]
        cell = np.unique(np.packbits(positive, axis=1), axis=0, return_inverse=True)[1].ravel()
        by_cell = np.split(np.argsort(cell, kind="stable"), np.cumsum(np.bincount(cell))[:-1])
        for members in by_cell:
            above = positive[members[0]]
            a, b = (np.flatnonzero(np.all(above[half], axis=1)) for half in (first, second))
            height = np.maximum(heights[members], 0.0)
            head, tail = multiply_forms(height, first[a]), multiply_forms(height, second[b]).transpose(0, 2, 1)
            tail = integrals[:, members] @ tail
            step = max(1, SMALL_PRODUCT // (tail.shape[2] * max(len(b), 1)))
            for k in range(0, len(a), step):
                table[np.ix_((0, 1), a[k : k + step], b)] += np.sum(head[:, k : k + step] @ tail, axis=1)
    return table[:, left.ravel(), right.ravel()]
