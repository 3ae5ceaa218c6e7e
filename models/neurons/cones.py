"""The cones in which a neuron's pre-activations at some points are positive, and Gaussian integrals over them.

At M points z = L xi, xi standard normal in R dimensions: the planes l_a.xi = 0 cut space into cells, in each of which
every max(z_a, 0) is linear or zero. A cell is cut into simplicial cones. On one with unit edges E (rows) a point is
xi = rho u.E with u >= 0, sum u = 1, where z_a = rho sum_i h_ai u_i, h = L E^T >= 0. The radial integral is done by
hand, and a product of r pre-activations is a polynomial with positive coefficients in the integrals

    I_n = |det E| (2 pi)^(-R/2) (1/2) Gamma(s) 2^s  int du u_1^n1 .. u_R^nR / |uE|^(2s),  n1+..+nR = r, s = (r+R)/2,

of smooth functions, for which product Gauss rules converge geometrically.
"""

from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement, product
from math import gamma, pi

import numpy as np
from scipy.special import roots_jacobi

__all__ = ["integrate_monomials", "list_monomials", "multiply_forms", "tile"]

ON_THE_PLANE = 1e-14  # an edge this near to a plane lies on it
WIDEST_COSINES = 0.4, 0.0  # cones are bisected until no two edges are more than 66 degrees apart, 90 above rank 4
BATCH = 1 << 12  # cones in memory at a time
CHUNK = 1 << 16  # integrand values in memory at a time
BLOCK = 1 << 9  # nodes in memory at a time
SMALL_PRODUCT = 1 << 18  # multiplications in one matrix product: beyond, BLAS starts threads that mostly wait
FLAT_RANK, INNERMOST = 4, 3  # one table of nodes up to this rank, above it one for so many variables at a time
# Relative errors aimed at, of the rule and of the coarser one it is compared with: rounding up to rank 4
AIMS = {5: (1e-13, 1e-11), 6: (1e-8, 1e-6)}
ROUNDING = (1e-15, 2e-14)


def tile(facets: np.ndarray, *, inside: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of simplicial cones that tile {xi: l_a.xi > 0 for all a}, or all space cut along every plane.

    Shapes: facets (set, point, R), unit normals l_a that span R dimensions in every set of points. Each batch has unit
    edges (cone, edge, R) and the number of the set a cone belongs to, (cone,). With `inside` only the common positive
    side is kept (no cone where the signs exclude it), without it both sides of every plane.

    >>> for inside in (True, False):  # one quadrant or all four, bisected
    ...     print([cones.shape for cones, _ in tile(np.eye(2)[None], inside=inside)])
    [(2, 2, 2)]
    [(8, 2, 2)]
    """
    waiting, ready = [(*_first_cones(facets, inside), 0)], []
    widest = WIDEST_COSINES[facets.shape[2] > FLAT_RANK]
    while waiting:  # the last in is the first out, so that few wait
        cones, owner, plane = waiting.pop()
        if len(cones) > BATCH:
            half = len(cones) // 2
            waiting += [(cones[:half], owner[:half], plane), (cones[half:], owner[half:], plane)]
        elif plane < facets.shape[1]:
            waiting.append((*_cut(cones, owner, facets[:, plane], inside), plane + 1))
        else:
            cosines = np.einsum("nik,njk->nij", cones, cones).reshape(len(cones), cones.shape[1] ** 2)
            pair = np.argmin(cosines, axis=1)
            wide = cosines[np.arange(len(cones)), pair] < widest - ON_THE_PLANE
            ready.append((cones[~wide], owner[~wide]))
            if np.any(wide):
                cones, owner, (i, j) = cones[wide], owner[wide], np.divmod(pair[wide], cones.shape[1])
                row = np.arange(len(cones))
                waiting.append((_split(cones, i, j, cones[row, i] + cones[row, j]), np.tile(owner, 2), plane))
        if (count := sum(len(cones) for cones, _ in ready)) > BATCH or (count and not waiting):
            yield np.concatenate([cones for cones, _ in ready]), np.concatenate([owner for _, owner in ready])
            ready = []


def _first_cones(facets: np.ndarray, inside: bool) -> tuple[np.ndarray, np.ndarray]:
    """The cones of R well separated planes of each set: one, or all 2^R choices of sides."""
    rank, every, left = facets.shape[2], np.arange(len(facets)), facets.copy()
    chosen = np.empty((len(facets), rank), dtype=np.intp)
    for k in range(rank):  # the plane least determined by those chosen before, as in a pivoted QR
        chosen[:, k] = np.argmax(np.sum(left**2, axis=2), axis=1)
        normal = left[every, chosen[:, k]]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        left -= np.einsum("spr,sr->sp", left, normal)[:, :, None] * normal[:, None]
    edges = np.linalg.inv(np.take_along_axis(facets, chosen[:, :, None], axis=1)).transpose(0, 2, 1)
    edges = edges / np.linalg.norm(edges, axis=2, keepdims=True)
    if inside:
        return edges, every
    sides = np.array(list(product((1.0, -1.0), repeat=rank)))
    return (sides[:, :, None] * edges[:, None]).reshape(-1, rank, rank), np.repeat(every, len(sides))


def _cut(cones: np.ndarray, owner: np.ndarray, normals: np.ndarray, inside: bool) -> tuple[np.ndarray, np.ndarray]:
    """The cones on either side of one plane of their set, or on its positive side.

    Each split leaves one pair of edges on opposite sides fewer.
    """
    done = []
    while True:
        height = np.einsum("nij,nj->ni", cones, normals[owner])
        row, high, low = np.arange(len(cones)), np.argmax(height, axis=1), np.argmin(height, axis=1)
        top, bottom = height[row, high], height[row, low]
        crossed = (top > ON_THE_PLANE) & (bottom < -ON_THE_PLANE)
        kept = ~crossed & (top > ON_THE_PLANE) if inside else ~crossed
        done.append((cones[kept], owner[kept]))
        if not np.any(crossed):
            return np.concatenate([cones for cones, _ in done]), np.concatenate([owner for _, owner in done])
        row, high, low = row[crossed], high[crossed], low[crossed]
        edge = top[crossed, None] * cones[row, low] - bottom[crossed, None] * cones[row, high]
        cones, owner = _split(cones[crossed], high, low, edge), np.tile(owner[crossed], 2)


def _split(cones: np.ndarray, i: np.ndarray, j: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Twice as many cones: a new edge between edges i and j takes the place of either."""
    row, edge = np.arange(len(cones)), edge / np.linalg.norm(edge, axis=1, keepdims=True)
    left, right = cones.copy(), cones.copy()
    left[row, j] = right[row, i] = edge
    return np.concatenate([left, right])


@cache
def list_monomials(rank: int, degree: int) -> dict[tuple[int, ...], int]:
    """The number of each monomial u_i u_j .., i <= j <= .., of one degree in R variables.

    >>> list_monomials(2, 2)
    {(0, 0): 0, (0, 1): 1, (1, 1): 2}
    """
    return {row: k for k, row in enumerate(combinations_with_replacement(range(rank), degree))}


@cache
def _raising(rank: int, degree: int) -> np.ndarray:
    """Which monomial each monomial of one degree times u_i is, (monomial * R, higher monomial) of zeros and ones."""
    target = list_monomials(rank, degree + 1)
    rows = [target[tuple(sorted((*row, i)))] for row in list_monomials(rank, degree) for i in range(rank)]
    return np.eye(len(target))[rows]


def multiply_forms(heights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Coefficients of the products prod_a (h_a.u) over the points a of each row, as polynomials in u.

    Shapes: heights (cone, point, R); rows (row, degree) of points; coefficients (cone, row, monomial).

    >>> multiply_forms(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[0, 1]])).tolist()
    [[[3.0, 10.0, 8.0]]]
    """
    rank, form = heights.shape[2], np.ones((len(heights), len(rows), 1))
    for degree, point in enumerate(rows.T):
        outer = form[..., None] * heights[:, point, None, :]
        form = outer.reshape(len(heights), len(rows), form.shape[2] * rank) @ _raising(rank, degree)
    return form


def integrate_monomials(cones: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """I_n of every cone, (cone, monomial), and their change from a coarser rule.

    The error of n nodes per direction falls like (1.3 tan^2(w/4))^n, w the widest angle between two edges: found by
    trial in rank 2 to 4, orders 2 to 6, for regular, flat and thin cones of 4 to 90 degrees.
    """
    values, change = np.empty((2, len(cones), len(list_monomials(cones.shape[1], order))))
    aims = AIMS.get(cones.shape[1], ROUNDING)
    cosines = np.min(np.einsum("nik,njk->nij", cones, cones), axis=(1, 2))
    decay = np.log(1.3 * np.tan(np.arccos(np.clip(cosines, -1.0, 1.0)) / 4) ** 2 + 1e-16)
    nodes = [np.ceil(order / 2 - 1 + np.log(aim / 100) / decay).clip(order // 2 + 2).astype(int) for aim in aims]
    for out, number in zip((values, change), nodes, strict=True):
        for n in np.unique(number).tolist():
            out[number == n] = _product_rule(cones[number == n], order, n)
    return values, np.abs(values - change)


def _product_rule(cones: np.ndarray, order: int, nodes: int) -> np.ndarray:
    """I_n by a conical product Gauss rule."""
    rank = cones.shape[1]
    power = (rank + order) / 2
    if rank <= FLAT_RANK:
        (sums,) = _simplex_sums(cones, [order], rank + order, nodes)
    else:
        step = max(1, CHUNK // nodes ** (rank - INNERMOST))
        chunks = [cones[start : start + step] for start in range(0, len(cones), step)]
        sums = np.concatenate([_nested_sums(chunk, order, rank + order, nodes)[order] for chunk in chunks])
    volume = np.abs(np.linalg.det(cones)) * ((2 * pi) ** (-rank / 2) * 0.5 * gamma(power) * 2**power)
    return sums * volume[:, None]


def _simplex_sums(edges: np.ndarray, degrees: list[int], power: int, nodes: int) -> list[np.ndarray]:
    """The integral of u_1^n1 .. u_k^nk / |uE|^power for each degree n1+..+nk, (cone, monomial); edges (cone, k, R)."""
    count, size = edges.shape[:2]
    gram = np.einsum("nik,njk->nij", edges, edges).reshape(count, size**2) @ _raising(size, 1)  # of the form |uE|^2
    ends = np.cumsum([len(list_monomials(size, degree)) for degree in degrees])
    few = max(2, SMALL_PRODUCT // (BLOCK * int(ends[-1])))
    gram = np.concatenate([gram, np.ones((-count % few, gram.shape[1]))]).reshape(-1, few, gram.shape[1])
    total = np.zeros((*gram.shape[:2], ends[-1]))
    for u, weight in _simplex_rule(size, nodes):
        square = _evaluate_monomials(u, 2)
        table = (weight * np.concatenate([_evaluate_monomials(u, degree) for degree in degrees])).T
        step = max(1, CHUNK // (few * len(weight)))
        for start in range(0, len(gram), step):
            total[start : start + step] += _inverse_power(gram[start : start + step] @ square, power) @ table
    return np.split(total.reshape(-1, ends[-1])[:count], ends[:-1], axis=1)


def _nested_sums(edges: np.ndarray, order: int, power: int, nodes: int) -> list[np.ndarray]:
    """The same for all degrees up to the order, one variable after the other: fewer operations in high rank.

    With u_1 = x and (u_2 .. u_k) = (1 - x) v, uE = v.E' has edges (1 - x) E_i + x E_1, and u_1^a times a monomial of
    degree t is x^a (1 - x)^t times that of v.
    """
    count, size, rank = edges.shape
    if size == INNERMOST:
        return _simplex_sums(edges, list(range(order + 1)), power, nodes)
    x, weight = _line_rule(nodes, size - 2)
    ahead = x[:, None, None]
    inner = ((1 - ahead) * edges[:, None, 1:] + ahead * edges[:, None, :1]).reshape(-1, size - 1, rank)
    parts = []  # of each degree t of v: (cone, a, monomial)
    for t, given in enumerate(_nested_sums(inner, order, power, nodes)):
        table = weight * (1 - x) ** t * x ** np.arange(order - t + 1)[:, None]
        parts.append(table @ given.reshape(count, nodes, -1))
    degrees = range(order + 1)
    return [np.concatenate([parts[t][:, degree - t] for t in range(degree + 1)], axis=1) for degree in degrees]


def _inverse_power(square: np.ndarray, power: int) -> np.ndarray:
    """|v|^-power from |v|^2; products, because a general power costs ten times as much."""
    out = np.sqrt(square) if power % 2 else np.ones_like(square)
    while power > 1:
        out *= square
        power -= 2
    return np.reciprocal(out, out=out)


def _evaluate_monomials(u: np.ndarray, degree: int) -> np.ndarray:
    """All monomials of one degree at points u (R, n), (monomial, n)."""
    out = np.ones((1, u.shape[1]))
    for lower in range(degree):
        before, rows = list_monomials(len(u), lower), list_monomials(len(u), lower + 1)
        out = out[[before[row[:-1]] for row in rows]] * u[[row[-1] for row in rows]]
    return out


def _simplex_rule(rank: int, nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of a conical product Gauss rule: points u (R, n), u >= 0, sum u = 1, and weights of du_1 .. du_(R-1)."""
    lines = [_line_rule(nodes, left) for left in range(rank - 2, -1, -1)]
    for start in range(0, nodes ** (rank - 1), BLOCK):
        number = np.arange(start, min(start + BLOCK, nodes ** (rank - 1)))
        u, weight, rest = np.empty((rank, len(number))), np.ones(len(number)), np.ones(len(number))
        for axis, (x, w) in enumerate(lines):
            number, digit = np.divmod(number, nodes)
            u[axis] = rest * x[digit]
            weight *= w[digit]
            rest *= 1 - x[digit]
        u[-1] = rest
        yield u, weight


@cache
def _line_rule(nodes: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Jacobi on [0, 1], which absorbs the (1 - x)^left of the simplex left over."""
    y, weight = roots_jacobi(nodes, left, 0)
    return (1 + y) / 2, weight / 2 ** (left + 1)
