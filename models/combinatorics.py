"""How r points split into groups: the set partitions and pairings behind every cumulant and every Feynman diagram.

Everything is generated from the definitions; nothing is typed in. A symmetric r-point function is stored on its sorted
tuples a_1 <= ... <= a_r, in lexicographic order, C(M+r-1, r) of them. Cumulants from moments:
kappa(1..r) = sum over set partitions pi of (-1)^(|pi|-1) (|pi|-1)! prod_{B in pi} m(B), and their unbiased estimates
(multivariate k-statistics) replace the product of moments by the mean over *distinct* networks (P. McCullagh,
Tensor Methods in Statistics, 1987, ch. 4).

At high order, where actions with phi^6 need it, an even law needs no list of partitions: with the first index in the
block S, m(1..r) = sum over S containing 1 of kappa(S) m(rest), 2^(r-2) even blocks instead of the 6556 even set
partitions of ten indices.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from itertools import combinations, combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_matrix

from .types import ByOrder, Tuples, Vector

__all__ = [
    "connected_from_moments",
    "cumulant_jacobian",
    "even_cumulants",
    "even_moments",
    "moment_jacobian",
    "moments_from_connected",
    "multiplicities",
    "pairings",
    "rank",
    "set_partitions",
    "sorted_tuples",
    "tuple_count",
]

Partition = tuple[tuple[int, ...], ...]


@cache
def sorted_tuples(points: int, order: int) -> Tuples:
    """All a_1 <= ... <= a_order below `points`, lexicographic, shape (component, order).

    >>> sorted_tuples(2, 2).tolist()
    [[0, 0], [0, 1], [1, 1]]
    """
    rows = list(combinations_with_replacement(range(points), order))
    table = np.array(rows, dtype=np.int64).reshape(len(rows), order)
    table.setflags(write=False)
    return table


def tuple_count(points: int, order: int) -> int:
    """How many sorted tuples there are, C(M+r-1, r), without a list of them: 64 points have 119 877 472 of order 6.

    >>> tuple_count(64, 6), tuple_count(2, 2) == len(sorted_tuples(2, 2))
    (119877472, True)
    """
    return comb(points + order - 1, order)


def rank(tuples: Int[np.ndarray, "*many order"], points: int) -> Int[np.ndarray, "*many"]:
    """Position of tuples (any order of entries, last axis = order) in `sorted_tuples(points, order)`.

    >>> rank(np.array([[1, 0], [1, 1]]), 2).tolist()
    [1, 2]
    """
    ordered = np.sort(np.asarray(tuples), axis=-1)
    order = ordered.shape[-1]
    if order == 0:
        return np.zeros(ordered.shape[:-1], dtype=np.int64)
    # Strictly increasing b_k = a_k + k chosen out of points + order - 1 values; count the combinations before it.
    values = points + order - 1
    chosen = ordered + np.arange(order)
    binomial = _binomials(values, order)
    after = sum(binomial[values - 1 - chosen[..., k], order - k] for k in range(order))
    return binomial[values, order] - 1 - np.asarray(after)


@cache
def _binomials(most: int, order: int) -> np.ndarray:
    """Binomial coefficients n over k, n = 0..most, k = 0..order, (n, k)."""
    table = np.array([[comb(i, j) for j in range(order + 1)] for i in range(most + 1)], dtype=np.int64)
    table.setflags(write=False)
    return table


def multiplicities(tuples: Tuples) -> Vector:
    """How many index orders each sorted tuple stands for, r!/prod_a m_a!, shape (component,).

    >>> multiplicities(sorted_tuples(2, 3)).tolist()
    [1.0, 3.0, 3.0, 1.0]
    """
    ordered, order = np.sort(tuples, axis=1), tuples.shape[1]
    place = np.ones(ordered.shape)  # of an entry among its equals: the product over them is m!
    for k in range(1, order):
        place[:, k] = np.where(ordered[:, k] == ordered[:, k - 1], place[:, k - 1] + 1.0, 1.0)
    return factorial(order) / np.prod(place, axis=1)


def _partitions(items: tuple[int, ...]) -> Iterator[Partition]:
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for partition in _partitions(rest):
        yield ((first,), *partition)
        for k, block in enumerate(partition):
            yield (*partition[:k], (first, *block), *partition[k + 1 :])


@cache
def set_partitions(order: int) -> tuple[Partition, ...]:
    """All ways to split 0..order-1 into groups; their number is Bell's: 1, 2, 5, 15, 52, 203.

    >>> [len(set_partitions(r)) for r in range(1, 7)]
    [1, 2, 5, 15, 52, 203]
    """
    return tuple(tuple(sorted(tuple(sorted(b)) for b in p)) for p in _partitions(tuple(range(order))))


@cache
def pairings(order: int) -> tuple[Partition, ...]:
    """All ways to pair up 0..order-1, (order-1)!! of them (none for odd order).

    >>> [len(pairings(r)) for r in (2, 4, 6)]
    [1, 3, 15]
    """
    return tuple(p for p in set_partitions(order) if all(len(b) == 2 for b in p))


@cache
def _coefficient(sizes: tuple[int, ...], n: int | None, even: bool, law: tuple[float, ...]) -> Fraction:
    """Weight of the product of sample means with the given block sizes in the unbiased cumulant from n networks.

    A product of means over *distinct* networks is unbiased for the product of moments; writing it in plain sample means
    sums over the refinements sigma of the partition, with the Moebius function of the partition lattice and
    (-1)^(|sigma|-1) (|sigma|-1)! / (n)_|sigma|. For an even law only refinements into even blocks have a moment.
    Each block of r factors carries law[r], where an independent amplitude is integrated out.
    """

    def amplitude(blocks: Iterable[int]) -> Fraction:
        return Fraction(prod(Fraction(law[size]) for size in blocks)) if law else Fraction(1)

    if n is None or (even and sum(sizes) % 2):
        return (-1) ** (len(sizes) - 1) * factorial(len(sizes) - 1) * amplitude(sizes)
    weights = np.array([Fraction(1)])  # summed Moebius weights, by number of blocks of the refinement
    for size in sizes:
        split = np.full(size + 1, Fraction(0))
        for p in set_partitions(size):
            if not even or all(len(block) % 2 == 0 for block in p):
                split[len(p)] += (-1) ** (len(p) - 1) * factorial(len(p) - 1) * amplitude(map(len, p))
        weights = np.convolve(weights, split)
    total = Fraction(0)
    for blocks, weight in enumerate(weights[1:], start=1):
        falling = prod(n - k for k in range(blocks))
        total += Fraction((-1) ** (blocks - 1) * factorial(blocks - 1), falling) * weight
    return total * n ** len(sizes)


def _terms(points: int, order: int, even: bool) -> Iterator[tuple[tuple[int, ...], list[tuple[int, np.ndarray]]]]:
    """Each set partition of `order`, as block sizes and, per block, the positions of its sub-tuples."""
    tuples = sorted_tuples(points, order)
    for partition in set_partitions(order):
        if even and order % 2 == 0 and any(len(block) % 2 for block in partition):
            continue
        if even and order % 2 == 1 and len(partition) > 1:
            continue  # odd cumulants of an even law: every product holds a vanishing odd moment
        blocks = [(len(block), rank(tuples[:, block], points)) for block in partition]
        yield tuple(sorted(len(block) for block in partition)), blocks


def connected_from_moments(
    moments: ByOrder, points: int, order: int, *, n: int | None = None, even: bool = False, law: tuple[float, ...] = ()
) -> Vector:
    """Connected r-point function on the sorted tuples from moments of order <= r.

    Args:
        moments: for each order needed, means of phi_{a1}...phi_{ar} on the sorted tuples.
        points: number of points M.
        order: r.
        n: number of networks the moments are sample means of; given, the result is the unbiased k-statistic, else the
            plug-in cumulant.
        even: the law is invariant under phi -> -phi, so products with odd moments are dropped exactly.
        law: E W^k, k = 0..r, of an amplitude: the result is the cumulant of W phi, W independent of phi, from the
            moments of phi alone, and unbiased as before. Default: W = 1.

    With even=True the k-statistic averages over distinct networks too; only the even partitions enter.

    Raises:
        ValueError: fewer than r networks, of which no unbiased estimate exists.
    """
    total = np.zeros(tuple_count(points, order))
    if n is not None and n < order:
        raise ValueError(
            f"expected at least {order} networks for an unbiased cumulant of order {order}, got {n}; "
            "try n=None for the plug-in value"
        )
    for sizes, blocks in _terms(points, order, even):
        term = np.full_like(total, float(_coefficient(sizes, n, even, law)))
        for size, where in blocks:
            term = term * moments[size][where]
        total += term
    return total


def cumulant_jacobian(
    moments: ByOrder, points: int, order: int, *, even: bool = False, law: tuple[float, ...] = ()
) -> dict[int, csr_matrix]:
    """D kappa(tuple) / d m(sub-tuple), one sparse matrix (component, sub-component) for each order of moment."""
    return _slopes(moments, points, order, even, lambda sizes: float(_coefficient(sizes, None, even, law)))


def moment_jacobian(connected: ByOrder, points: int, order: int, *, even: bool = True) -> dict[int, csr_matrix]:
    """D m(tuple) / d kappa(sub-tuple), one sparse matrix for each order of connected function."""
    return _slopes(connected, points, order, even, lambda sizes: 1.0)


def _slopes(
    values: ByOrder, points: int, order: int, even: bool, coefficient: Callable[[tuple[int, ...]], float]
) -> dict[int, csr_matrix]:
    """Derivatives of the sum over set partitions of coefficient(sizes) times a product of values."""
    count = tuple_count(points, order)
    entries: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for sizes, blocks in _terms(points, order, even):
        weight = coefficient(sizes)
        for k, (size, where) in enumerate(blocks):
            others = [values[s][w] for j, (s, w) in enumerate(blocks) if j != k]
            slope = weight * (np.prod(others, axis=0) if others else np.ones(count))
            entries.setdefault(size, []).append((where, slope))
    out = {}
    for size, parts in entries.items():
        columns, slopes = map(np.concatenate, zip(*parts))
        place = (np.tile(np.arange(count), len(parts)), columns)
        out[size] = csr_matrix((slopes, place), shape=(count, tuple_count(points, size)))
    return out


def moments_from_connected(connected: ByOrder, points: int, order: int) -> Vector:
    """Moment of order r from cumulants: the sum over set partitions of products; orders absent count as zero.

    >>> moments_from_connected({2: np.array([2.0])}, 1, 4).tolist()   # Wick: three pairings
    [12.0]
    """
    tuples = sorted_tuples(points, order)
    total = np.zeros(len(tuples))
    for partition in set_partitions(order):
        if all(len(block) in connected for block in partition):
            total += np.prod([connected[len(b)][rank(tuples[:, b], points)] for b in partition], axis=0)
    return total


def _products(connected: ByOrder, moments: ByOrder, points: int, order: int) -> np.ndarray:
    """The sum of kappa(block) m(rest) over even proper blocks that contain the first index, on sorted tuples."""
    tuples = sorted_tuples(points, order)
    total = np.zeros(len(tuples))
    for size in range(2, order, 2):
        for others in combinations(range(1, order), size - 1):
            block = (0, *others)
            rest = [k for k in range(order) if k not in block]
            first, second = rank(tuples[:, block], points), rank(tuples[:, rest], points)
            total += connected[size][first] * moments[order - size][second]
    return total


def even_cumulants(moments: ByOrder, points: int) -> dict[int, np.ndarray]:
    """Connected functions of orders 2, 4, .. from moments of all even orders up to the highest, on sorted tuples.

    >>> even_cumulants({2: np.array([1.0]), 4: np.array([3.0]), 6: np.array([15.5])}, 1)[6].tolist()
    [0.5]
    """
    out: dict[int, np.ndarray] = {}
    for order in sorted(moments):
        out[order] = np.asarray(moments[order], dtype=float) - _products(out, moments, points, order)
    return out


def even_moments(connected: ByOrder, points: int) -> dict[int, np.ndarray]:
    """Moments of orders 2, 4, .. from connected functions of all even orders up to the highest, on sorted tuples.

    >>> even_moments({2: np.array([2.0]), 4: np.array([0.0]), 6: np.array([0.0])}, 1)[6].tolist()   # Wick: 15 * 8
    [120.0]
    """
    out: dict[int, np.ndarray] = {}
    for order in sorted(connected):
        out[order] = np.asarray(connected[order], dtype=float) + _products(connected, out, points, order)
    return out
