"""Counts, index order and unbiasedness: everything by enumeration, nothing random."""

from itertools import combinations_with_replacement, permutations, product
from math import comb, prod

import numpy as np
import pytest

from nnft.models.combinatorics import (
    connected_from_moments,
    cumulant_jacobian,
    moments_from_connected,
    multiplicities,
    pairings,
    rank,
    set_partitions,
    sorted_tuples,
)

# ---- counts ---------------------------------------------------------------------------------------------------------


def bell(order):
    """Bell numbers by the recursion B_n+1 = sum_k C(n,k) B_k, not by listing partitions."""
    numbers = [1]
    for n in range(order):
        numbers.append(sum(comb(n, k) * numbers[k] for k in range(n + 1)))
    return numbers[order]


@pytest.mark.parametrize("order", range(9))
def test_set_partitions_are_as_many_as_bell_says_and_all_different(order):
    found = set_partitions(order)
    assert len(found) == len(set(found)) == bell(order)
    for partition in found:
        assert sorted(i for block in partition for i in block) == list(range(order))
        assert all(block == tuple(sorted(block)) and block for block in partition)


@pytest.mark.parametrize("order", range(9))
def test_pairings_are_double_factorial(order):
    found = pairings(order)
    assert len(found) == (0 if order % 2 else prod(range(1, order, 2)))
    brute = {
        tuple(sorted(tuple(sorted(p[i : i + 2])) for i in range(0, order, 2)))
        for p in permutations(range(order))
        if order % 2 == 0 and order <= 6
    }
    if order % 2 == 0 and order <= 6:
        assert set(found) == brute


# ---- sorted tuples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "order"), [(1, 1), (1, 6), (2, 3), (3, 4), (6, 4), (4, 6), (8, 4), (5, 0)])
def test_rank_is_the_place_in_sorted_tuples_whatever_the_order_of_the_indices(points, order):
    table = sorted_tuples(points, order)
    assert [tuple(row) for row in table] == list(combinations_with_replacement(range(points), order))
    shuffled = np.random.default_rng(order).permuted(table, axis=1)
    assert np.array_equal(rank(shuffled, points), np.arange(comb(points + order - 1, order)))


@pytest.mark.parametrize(("points", "order"), [(2, 4), (3, 3), (3, 4), (2, 6)])
def test_rank_and_multiplicities_cover_the_dense_tensor(points, order):
    dense = np.array(list(product(range(points), repeat=order)))
    counts = np.bincount(rank(dense, points), minlength=len(sorted_tuples(points, order)))
    assert np.array_equal(counts, multiplicities(sorted_tuples(points, order)))


def test_sorted_tuples_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        sorted_tuples(3, 2)[0, 0] = 1


# ---- unbiased cumulants ---------------------------------------------------------------------------------------------

# A skewed law of three values of a field at two points, and an even law of four.
SKEWED = (np.array([[0.0, 1.0], [1.0, -0.5], [-2.0, 0.3]]), np.array([0.5, 0.2, 0.3]))
EVEN = (np.array([[1.0, 0.5], [-1.0, -0.5], [0.2, -1.5], [-0.2, 1.5]]), np.array([0.3, 0.3, 0.2, 0.2]))
COIN = (np.array([[1.0, 0.5], [-1.0, -0.5]]), np.array([0.5, 0.5]))


def moments_of(values, weights, order):
    """Weighted means of the monomials of each order up to `order`; leading axes of the weights broadcast."""
    return {r: weights @ np.prod(values[:, sorted_tuples(values.shape[1], r)], axis=2) for r in range(1, order + 1)}


def expectation(law, order, n, *, even, unbiased=True):
    """Mean of the estimate over every possible sample of n networks, by its multiset with multinomial weight."""
    values, weights = law
    total = 0.0
    for counts in product(range(n + 1), repeat=len(values)):
        if sum(counts) != n:
            continue
        left, chance = n, 1.0
        for count, weight in zip(counts, weights, strict=True):
            chance *= comb(left, count) * weight**count
            left -= count
        moments = moments_of(values, np.array(counts) / n, order)
        total = total + chance * connected_from_moments(moments, 2, order, n=n if unbiased else None, even=even)
    return total


def generating_function(law, order):
    """Cumulants by the recursion kappa(1..r) = m(1..r) - sum over proper blocks holding 1, not by partitions."""
    values, weights = law

    def moment(index):
        return weights @ np.prod(values[:, index], axis=1)

    def kappa(index):
        first, rest = index[0], index[1:]
        total = moment(list(index))
        for mask in product([0, 1], repeat=len(rest)):
            if all(mask):
                continue
            inside = (first, *[i for i, m in zip(rest, mask, strict=True) if m])
            outside = [i for i, m in zip(rest, mask, strict=True) if not m]
            total -= kappa(inside) * moment(outside)
        return total

    return np.array([kappa(tuple(row)) for row in sorted_tuples(2, order).tolist()])


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_cumulants_are_unbiased_over_every_sample_of_a_skewed_law(order, n):
    truth = generating_function(SKEWED, order)
    assert np.allclose(expectation(SKEWED, order, n, even=False), truth, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("even", [True, False])
def test_cumulants_are_unbiased_over_every_sample_of_an_even_law(order, n, even):
    truth = generating_function(EVEN, order)
    assert np.allclose(expectation(EVEN, order, n, even=even), truth, rtol=0, atol=1e-13)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("n", [6, 7])
def test_sixth_order_is_unbiased_too(n, even):
    assert np.allclose(expectation(COIN, 6, n, even=even), generating_function(COIN, 6), rtol=0, atol=1e-12)


def test_sixth_order_is_unbiased_for_a_richer_even_law():
    assert np.allclose(expectation(EVEN, 6, 6, even=True), generating_function(EVEN, 6), rtol=0, atol=1e-12)
    assert np.allclose(expectation(EVEN, 6, 6, even=False), generating_function(EVEN, 6), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("law", "order", "even"),
    [(SKEWED, 2, False), (SKEWED, 3, False), (SKEWED, 4, False), (EVEN, 4, True), (EVEN, 6, True)],
)
def test_planted_fault_plug_in_cumulants_are_biased(law, order, even):
    biased = expectation(law, order, 6, even=even, unbiased=False)
    assert np.max(np.abs(biased - generating_function(law, order))) > 1e-2


def test_planted_fault_even_cumulants_of_a_law_that_is_not_even():
    wrong = expectation(SKEWED, 4, 5, even=True)
    assert np.max(np.abs(wrong - generating_function(SKEWED, 4))) > 1e-2


def test_planted_fault_one_network_miscounted():
    values, weights = SKEWED
    moments = moments_of(values, weights, 3)
    right, wrong = (connected_from_moments(moments, 2, 3, n=n) for n in (5, 6))
    assert np.max(np.abs(right - wrong)) > 1e-2


@pytest.mark.parametrize("order", [3, 4, 6])
def test_fewer_networks_than_the_order_are_refused(order):
    moments = moments_of(*SKEWED, order)
    with pytest.raises(ValueError, match=r"expected at least .* got .* try"):
        connected_from_moments(moments, 2, order, n=order - 1)


# ---- jacobian and inverse -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "even"), [(2, False), (3, False), (4, False), (4, True), (6, True), (6, False)])
def test_jacobian_is_the_derivative(order, even):
    moments = moments_of(*(EVEN if even else SKEWED), order)
    jacobian = cumulant_jacobian(moments, 2, order, even=even)
    assert set(jacobian) == (set(range(2, order + 1, 2)) if even else set(range(1, order + 1)))
    for r, slope in jacobian.items():
        for k in range(len(moments[r])):
            step = np.zeros(len(moments[r]))
            step[k] = 1e-5
            up, down = (
                connected_from_moments({**moments, r: moments[r] + s * step}, 2, order, even=even) for s in (1, -1)
            )
            assert np.allclose(slope[:, k].toarray().ravel(), (up - down) / 2e-5, rtol=0, atol=1e-6)


def test_odd_cumulants_of_an_even_law_are_their_moments():
    moments = moments_of(*SKEWED, 3)
    assert np.array_equal(connected_from_moments(moments, 2, 3, even=True), moments[3])
    assert np.array_equal(cumulant_jacobian(moments, 2, 3, even=True)[3].toarray(), np.eye(4))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_moments_from_connected_undoes_connected_from_moments(order):
    moments = moments_of(*SKEWED, order)
    connected = {r: connected_from_moments(moments, 2, r) for r in range(1, order + 1)}
    assert np.allclose(moments_from_connected(connected, 2, order), moments[order], rtol=0, atol=1e-12)


def test_moments_from_connected_of_an_even_law_needs_only_even_orders():
    moments = moments_of(*EVEN, 6)
    connected = {r: connected_from_moments(moments, 2, r, even=True) for r in (2, 4, 6)}
    assert np.allclose(moments_from_connected(connected, 2, 6), moments[6], rtol=0, atol=1e-12)


def test_connected_functions_add_for_independent_fields():
    """Two independent skewed fields: the cumulants of the sum are the sums; this needs no formula at all."""
    (a, p), (b, q) = SKEWED, EVEN
    both = (a[:, None] + b[None]).reshape(-1, 2), np.outer(p, q).ravel()
    for order in (2, 3, 4, 5, 6):
        one, two, total = (connected_from_moments(moments_of(*law, order), 2, order) for law in (SKEWED, EVEN, both))
        assert np.allclose(total, one + two, rtol=0, atol=1e-10)
