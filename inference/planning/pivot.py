"""One or two couplings from a few hundred networks, with intervals that are right at that number.

Score matching (`equations/from_moments.py`) with the two-point function C of the networks themselves as metric and a
free quadratic part 1/2 phi R phi is solved for R in closed form. Where C = 1, with B_k = sym <phi grad T_k^t>, R = 1 -
sum theta_k B_k,

    A theta = b ,   A_kl = <grad T_k . grad T_l> - tr B_k B_l ,   b_k = <lap T_k - phi . grad T_k> ,
    psi_k = (grad T_k - B_k phi) . (R phi + theta . grad T) - lap T_k + tr B_k ,   se^2 = A^-1 <psi psi^t> A^-1/n .

At a few hundred networks theta/se is neither normal nor Student's t: moments of order six enter, and theta and se are
correlated. Its law is taken half from Gaussian networks with the measured two-point function, half from these
networks drawn anew with replacement, each set fitted in the same way: with quantiles q of (theta* - theta)/se* (theta =
0 for the Gaussian ones) the interval is [theta - q_high se, theta - q_low se] (bootstrap-t, B. Efron and R. Tibshirani,
An Introduction to the Bootstrap, 1993, ch. 12.5). The first alone cover up to .99 at 50 to 200 networks, the second
alone down to .89. Together, measured at nominal .95 in cells of 300 sets of 50 to 1000 networks: .92 to .99 for planted
lattice actions and cos, erf and ReLU nets of eps4 up to .3. Far from the Gaussian every interval misses, and the more
the more networks there are (ReLU width 5, eps4 .87: .88, .68, .68 by the Gaussian ones at 50, 200, 1000, by their own
.73, .61, .77): there `few_networks` gives none. Averages over a group of permutations are taken network by network,
before the spread is.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...models.combinatorics import rank, sorted_tuples, tuple_count
from ...models.types import Matrix, Vector
from ..equations.terms import Terms
from .gaussianity import Group, Sets, symmetrised

__all__ = ["Derivatives", "Intervals", "derivatives", "estimates", "intervals", "uncertain"]

_CHUNK = 2**20  # numbers of one kind held at a time
# Least networks, and least networks a point, for drawing them anew: fewer give too few different sets.
_OWN, _OWN_EACH = 50, 10


class Derivatives(NamedTuple):
    """Of the quartic terms in scaled fields: grad T_k = first . phi^3 (sorted cubes), d_a d_b T_k = second . phi^2.

    first: (coupling, point, triple); second: (coupling, point, point, pair); scale: (point,).
    """

    first: np.ndarray
    second: np.ndarray
    scale: Vector


class Intervals(NamedTuple):
    """Quartic couplings in physical units, (coupling,): estimate, sandwich error, two-sided interval.

    low and high are NaN where no interval is given; `why` then has the number that decided.
    """

    estimate: Vector
    error: Vector
    low: Vector
    high: Vector
    why: str = ""


def derivatives(terms: Terms) -> Derivatives:
    """First and second derivatives of the quartic terms of an action."""
    points, (quads, rows) = len(terms.scale), terms.tables[1]
    first = np.zeros((len(quads), points, tuple_count(points, 3)))
    second = np.zeros((len(quads), points, points, tuple_count(points, 2)))
    row = np.arange(len(quads))
    for j in range(4):
        rest = np.delete(quads, j, axis=1)
        np.add.at(first, (row, quads[:, j], rank(rest, points)), 1.0)
        for k in range(3):
            left = np.delete(rest, k, axis=1)
            np.add.at(second, (row, quads[:, j], rest[:, k], rank(left, points)), 1.0)
    return Derivatives(np.tensordot(rows, first, 1), np.tensordot(rows, second, 1), terms.scale)


def estimates(fields: Sets, terms: Derivatives, group: Group) -> tuple[Matrix, Matrix]:
    """Scaled quartic couplings and their sandwich errors of each set of networks, (set, coupling) each."""
    n, points = fields.shape[1:]
    images = n * len(group) * (terms.first.shape[2] + 2 * len(terms.first) * points)
    step = max(1, _CHUNK // images)
    parts = [_estimates(fields[k : k + step] / terms.scale, terms, group) for k in range(0, len(fields), step)]
    theta, error = zip(*parts, strict=True)
    return np.concatenate(theta), np.concatenate(error)


def _estimates(phi: Sets, terms: Derivatives, group: Group) -> tuple[Matrix, Matrix]:
    sets, n, points = phi.shape
    pairs, triples = sorted_tuples(points, 2), sorted_tuples(points, 3)
    metric = symmetrised(np.swapaxes(phi, 1, 2) @ phi / n, group)
    values, vectors = np.linalg.eigh(metric)
    root = (vectors * np.sqrt(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    images = np.concatenate([phi[..., g] for g in group], axis=1)  # (set, element x network, point)
    count = images.shape[1]
    two = images[..., pairs[:, 0]] * images[..., pairs[:, 1]]
    three = two[..., rank(triples[:, :2], points)] * images[..., triples[:, 2]]
    slope = three @ terms.first.reshape(-1, len(triples)).T
    grad = slope.reshape(sets, count, -1, points) @ root[:, None]  # where the two-point function is one
    white = images @ np.linalg.inv(root)
    laplacian = two @ np.einsum("sab,kabp->spk", metric, terms.second)
    cross = np.einsum("sia,sikb->skab", white, grad, optimize=True) / count
    shift = 0.5 * (cross + np.swapaxes(cross, 2, 3))
    flat = grad.swapaxes(1, 2).reshape(sets, grad.shape[2], -1)
    matrix = flat @ np.swapaxes(flat, 1, 2) / count - np.einsum("skab,slab->skl", shift, shift)
    outward = np.einsum("sia,sika->sik", white, grad, optimize=True)
    theta = np.linalg.solve(matrix, (laplacian - outward).mean(axis=1)[..., None])[..., 0]
    bent = np.einsum("sk,skab->sab", theta, shift)
    force = white - white @ bent + np.einsum("sk,sika->sia", theta, grad)
    inner = grad - np.einsum("sia,skab->sikb", white, shift, optimize=True)
    psi = np.einsum("sika,sia->sik", inner, force) - laplacian + np.einsum("skaa->sk", shift)[:, None]
    psi = psi.reshape(sets, len(group), n, -1).mean(axis=1)
    spread = psi @ np.linalg.inv(matrix)
    return theta, np.sqrt(np.sum(spread**2, axis=1) / n / (n - 1))


def intervals(
    fields: Float[np.ndarray, "network point"],
    action: Terms,
    group: Group,
    *,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> Intervals:
    """Couplings of these networks, and two-sided intervals from `draws` sets of as many, Gaussian and drawn anew."""
    n, points = fields.shape
    terms = derivatives(action)
    theta, error = (part[0] for part in estimates(fields[None], terms, group))
    root = np.linalg.cholesky(symmetrised(fields.T @ fields / n, group)).T
    pivots = []
    step = max(1, _CHUNK // (n * points))
    anew = draws // 2 if n >= max(_OWN, _OWN_EACH * points) else 0
    for first in range(0, draws - anew, step):
        normal = rng.standard_normal((min(step, draws - anew - first), n, points)) @ root
        gauss, spread = estimates(normal, terms, group)
        pivots.append(gauss / spread)
    for first in range(0, anew, step):
        own, spread = estimates(fields[rng.integers(n, size=(min(step, anew - first), n))], terms, group)
        pivots.append((own - theta) / spread)
    pivot = np.sort(np.concatenate(pivots), axis=0)
    rim = max(1, int(0.5 * (1.0 - level) * (draws + 1)))  # at most so many of draws + 1 in each tail
    factors = action.factors[-len(theta) :]
    low, high = theta - pivot[-rim] * error, theta - pivot[rim - 1] * error
    return Intervals(theta / factors, error / factors, low / factors, high / factors)


def uncertain(fields: Float[np.ndarray, "network point"], terms: Terms, group: Group, why: str) -> Intervals:
    """Couplings of these networks without intervals, and why there are none."""
    theta, error = (part[0] for part in estimates(fields[None], derivatives(terms), group))
    factors = terms.factors[-len(theta) :]
    none = np.full(len(theta), np.nan)
    return Intervals(theta / factors, error / factors, none, none, why)
