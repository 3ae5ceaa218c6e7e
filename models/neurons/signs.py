"""Moments of error-function neurons at any size of the weights: an erf is the average sign of a noisy pre-activation.

erf(z) = E sign(z + n) with n ~ N(0, 1/2), so that <erf(z_a) .. erf(z_r)> = E sign(y_1) .. sign(y_r) with y ~ N(0, C +
1/2), each factor with a noise of its own, also where indices repeat. Growing the signal from nothing, y(t) ~ N(0, t C +
1/2), Plackett's identity (Biometrika 41 (1954) 351) removes two factors at a time:

    d/dt E prod sign = sum_{i<j} (2/pi) d/dt arcsin(rho_ij) E[ the other signs | y_i = y_j = 0 ],

the rest being again error functions, of the pre-activations given y_i = y_j = 0. Two factors are Williams' arcsine.
In v = log(1 + 2 t tr C) the integrand is analytic for |Im v| < pi whatever C is, since a determinant of t C + 1/2
vanishes at negative t only: Gauss-Legendre then needs a number of nodes that grows like log C.
"""

from collections.abc import Sequence
from itertools import combinations
from math import ceil, log, pi

import numpy as np
from scipy.special import factorial2

__all__ = ["path_signs", "sign_levels", "sign_moments"]

_EPS = float(np.finfo(float).eps)
_STRIP = 0.9 * pi  # half the width of the strip of analyticity that the number of nodes counts on
_BLOCK = 1 << 19  # integrand values in memory at a time
_STEP = 0.13  # of asinh of an input weight, in averages over it: analytic for |Im| < pi/4, the rest is below 1e-16
_LARGEST = 9.0  # standard deviations of an input weight that such an average covers

Covariances = np.ndarray  # (factor, factor, batch): C of the pre-activations behind the factors of each product


def sign_moments(covariance: np.ndarray, tuples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average products of error functions over jointly Gaussian pre-activations, at any size of them.

    `values[k] = E[ erf(z_a) erf(z_b) ... ]`, z ~ N(0, C), (a, b, ...) = tuples[k].

    Shapes: covariance (M, M), positive semi-definite, possibly singular; tuples (K, r) of indices below M, r even.
    Returns the values (K,) and their estimated absolute errors (K,): rounding, which grows like the root of the largest
    variance; the quadrature is below it. Work grows like log(C)^(r/2 - 1), by a factor of about 100 with every two
    orders.

    >>> values, error = sign_moments(np.array([[1e8]]), np.array([[0, 0], [0, 0]]))  # (2/pi) arcsin(2c/(1 + 2c))
    >>> bool(abs(values[0] - (1.0 - 2.0 / np.pi * 1e-4)) < 1e-11)
    True
    """
    rows = np.sort(tuples, axis=1)
    values, places = np.empty(len(rows)), np.cumsum(np.diff(rows, axis=1, prepend=rows[:, :1]) > 0, axis=1)
    patterns, pattern = np.unique(places, axis=0, return_inverse=True)
    for k, labels in enumerate(patterns.tolist()):
        here = np.flatnonzero(pattern.ravel() == k)
        factors = rows[here].T
        values[here] = _average(covariance[factors[:, None], factors[None, :]], tuple(labels))
    variance = np.diag(covariance)
    size = np.sqrt(_arcsine(variance, variance, variance))
    terms, root = float(factorial2(rows.shape[1] - 1, exact=True)), np.sqrt(1.0 + 2.0 * np.max(variance[rows], axis=1))
    return values, _EPS * (16.0 * terms + 4.0 * root) * np.prod(size[rows], axis=1)


def path_signs(
    covariance: np.ndarray, blocks: Sequence[np.ndarray], weight_scale: float, bias_scale: float
) -> tuple[np.ndarray, float]:
    """<prod_B prod_a erf(w_B x_a + b_B)> of neurons B that see one Gaussian path x, and its absolute error.

    Given the weights the pre-activations are Gaussian, w_B w_B' C_ab and sb^2 where B = B'; the average over the
    weights is a trapezoidal sum in asinh of each, over positive ones, since (w, b) -> -(w, b) changes no even product.

    Shapes: covariance (time, time) of x; each block (component, factor), an even number of factors, four in all.

    >>> value, error = path_signs(np.array([[1.0, np.exp(-1.0)], [np.exp(-1.0), 1.0]]), [np.array([[0, 1]])], 1.0, 0.0)
    >>> print(f"{value[0]:.12f}")
    0.107576699761
    """
    w, weight = _weights(weight_scale**2 * float(np.max(np.diag(covariance), initial=0.0)))
    grids = np.meshgrid(*[weight_scale * w] * len(blocks), indexing="ij")
    share = np.prod(np.meshgrid(*[weight] * len(blocks), indexing="ij"), axis=0).ravel()
    factors = np.concatenate(blocks, axis=1)
    owner = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
    at = np.array([grids[k].ravel() for k in owner])  # (factor, node)
    size, noise = at[:, None] * at[None], bias_scale**2 * (owner[:, None] == owner)[..., None, None]
    values = np.empty(len(factors))
    rows = max(1, _BLOCK // size[0, 0].size)
    for start in range(0, len(factors), rows):
        some = factors[start : start + rows]
        c = covariance[some[:, :, None], some[:, None, :]].transpose(1, 2, 0)[:, :, :, None] * size[:, :, None] + noise
        each = _average(c.reshape(*size.shape[:2], -1), tuple(range(len(owner))))
        values[start : start + rows] = each.reshape(len(some), -1) @ share
    return values, 64.0 * _EPS


def sign_levels(variance: float, noise: float, count: int) -> np.ndarray:
    """rho_k of <erf(w x + b) erf(w y + b)> = sum_k rho_k q^k, x, y of unit variance and correlation q, (count,).

    w ~ N(0, variance), b ~ N(0, noise). Given w it is (2/pi) arcsin(alpha + beta q), alpha = 2 noise/(1 + 2 w^2 + 2
    noise) and beta the same of w^2, whose derivative g solves (1 - u^2) g' = beta u g: coefficients by recursion, all
    positive.

    >>> sign_levels(1.0, 0.0, 4).round(12).tolist()
    [0.0, 0.289253693483, 0.0, 0.022557062506]
    """
    w, weight = _weights(variance)
    square = variance * w**2
    # 1 - alpha^2 as a product: its two terms nearly cancel for a large bias
    alpha, beta = 2.0 * noise / (1.0 + 2.0 * square + 2.0 * noise), 2.0 * square / (1.0 + 2.0 * square + 2.0 * noise)
    rest = (1.0 + 2.0 * square) * (1.0 + 2.0 * square + 4.0 * noise) / (1.0 + 2.0 * square + 2.0 * noise) ** 2
    before, now = np.zeros_like(w), beta / np.sqrt(rest)
    levels = [weight @ np.arcsin(alpha)]
    for n in range(count - 1):
        levels.append(weight @ now / (n + 1))
        before, now = now, (alpha * beta * (2 * n + 1) * now + beta**2 * n * before) / ((n + 1) * rest)
    return 2.0 / pi * np.array(levels[:count])


def _weights(variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Positive standard normal weights and their shares, which sum to one, for averages of functions of variance w^2.

    These have poles where 1 + 2 variance w^2 vanishes: equal steps in asinh of w in units of that distance.
    """
    scale = 1.0 / np.sqrt(1.0 + 2.0 * variance)
    last = float(np.arcsinh(_LARGEST / scale))
    v = (np.arange(ceil(last / _STEP)) + 0.5) * _STEP
    w = scale * np.sinh(v)
    share = np.cosh(v) * np.exp(-0.5 * w**2)
    return w, share / share.sum()


def _arcsine(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """E erf erf = (2/pi) arcsin(c / sqrt((a + 1/2)(b + 1/2))), written so that it keeps its digits near one."""
    return 2.0 / pi * np.arctan2(c, np.sqrt(np.maximum(a * b - c * c, 0.0) + 0.5 * (a + b) + 0.25))


def _average(c: Covariances, labels: tuple[int, ...]) -> np.ndarray:
    """E of a product of error functions, (batch,); factors of one label are exchangeable."""
    if not labels:
        return np.ones(c.shape[2:])
    if len(labels) == 2:
        return _arcsine(c[0, 0], c[1, 1], c[0, 1])
    top = np.maximum(np.einsum("iib->b", c), 1e-300)  # above the largest eigenvalue
    reach = np.log1p(2.0 * top)
    out = np.empty(len(top))
    order = np.argsort(reach, kind="stable")
    rows = max(1, _BLOCK // _nodes(float(reach[order[-1]])))
    for start in range(0, len(order), rows):
        some = order[start : start + rows]
        x, weight = np.polynomial.legendre.leggauss(_nodes(float(reach[some[-1]])))
        share = 0.5 * (1.0 + x)[:, None]
        t = np.expm1(share * reach[some]) / (2.0 * top[some])
        measure = 0.5 * weight[:, None] * reach[some] * (t + 0.5 / top[some])  # dt = (t + 1/(2 tr C)) dv
        out[some] = np.sum(measure * _growth(c[:, :, some], t, labels), axis=0)
    return out


def _nodes(reach: float) -> int:
    """Gauss-Legendre points for 0 < v < reach: the error falls like the radius of the largest ellipse to the -2n."""
    height = 2.0 * _STRIP / max(reach, 1e-3)
    return 2 + ceil(-log(_EPS) / (2.0 * log(height + (1.0 + height**2) ** 0.5)))


def _growth(c: Covariances, t: np.ndarray, labels: tuple[int, ...]) -> np.ndarray:
    """d/dt of the average at t C, (node, batch): pairs of one kind count as often as they occur."""
    kinds: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in combinations(range(len(labels)), 2):
        kinds.setdefault((labels[i], labels[j]), []).append((i, j))
    total = np.zeros(t.shape)
    for pairs in kinds.values():
        i, j = pairs[0]
        rest = [k for k in range(len(labels)) if k not in (i, j)]
        first = t * c[i, i] + 0.5
        given = {(k, m): _given(c, t, i, k, m) for k, m in _upper([j, *rest])}
        second = given[j, j] + 0.5
        # d arcsin(rho) = c_ij (1/A + 1/B)/(4 sqrt det) dt with A = t c_ii + 1/2, B = t c_jj + 1/2
        slope = c[i, j] * (1.0 / first + 1.0 / (t * c[j, j] + 0.5)) / (4.0 * np.sqrt(first * second))
        left = np.empty((len(rest), len(rest), t.size))
        for a, k in enumerate(rest):
            for b, m in list(enumerate(rest))[a:]:
                inner = given[j, j] * given[k, m] - given[j, k] * given[j, m]
                left[a, b] = left[b, a] = ((0.5 * given[k, m] + inner) / second).ravel()
        others = _average(left, tuple(labels[k] for k in rest)).reshape(t.shape)
        total += len(pairs) * 2.0 / pi * slope * others
    return total


def _upper(indices: list[int]) -> list[tuple[int, int]]:
    return [(k, m) for a, k in enumerate(indices) for m in indices[a:]]


def _given(c: Covariances, t: np.ndarray, i: int, k: int, m: int) -> np.ndarray:
    """Covariance of factors k and m of t C once y_i = 0; the large parts of parallel factors cancel before t enters."""
    return (0.5 * t * c[k, m] + t * t * (c[i, i] * c[k, m] - c[i, k] * c[i, m])) / (t * c[i, i] + 0.5)
