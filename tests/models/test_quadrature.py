"""Moments of activations against closed forms, exact identities, adaptive quadrature and Monte Carlo."""

from itertools import combinations_with_replacement, pairwise, product

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import erf

from nnft.models.neurons.quadrature import gaussian_moments
from nnft.models.neurons.relu import relu_moments
from tests.statistics import agree, disagree


def preactivations(points, weight=1.0, bias=1.0):
    x = np.asarray(points, dtype=float).reshape(len(points), -1)
    return bias**2 + weight**2 * x @ x.T / x.shape[1]


def tuples_of(count, order):
    return np.array(list(combinations_with_replacement(range(count), order)))


def wick(covariance, indices):
    if len(indices) == 0:
        return 1.0
    first, rest = indices[0], list(indices[1:])
    return sum(covariance[first, b] * wick(covariance, rest[:k] + rest[k + 1 :]) for k, b in enumerate(rest))


def inputs(dimension, count=6):
    return np.random.default_rng(dimension).normal(size=(count, dimension))


ONE_D = np.array([-1, -0.6, -0.2, 0.2, 0.6, 1.0])
TARGET = {1: 1e-10, 2: 1e-8, 3: 1e-6, 784: 1e-6}
POINTS = {1: ONE_D, 2: inputs(2), 3: inputs(3), 784: inputs(784, 4)}


# ---- smooth activations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", POINTS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_erf_two_point_is_the_arcsine_kernel(dimension, scale):
    c = preactivations(POINTS[dimension], scale, scale)
    index = tuples_of(len(c), 2)
    values, error = gaussian_moments(erf, c, index)
    a, b = index.T
    truth = 2 / np.pi * np.arcsin(2 * c[a, b] / np.sqrt((1 + 2 * c[a, a]) * (1 + 2 * c[b, b])))
    assert error < TARGET[dimension]
    assert np.max(np.abs(values - truth)) < error


@pytest.mark.parametrize("dimension", POINTS)
@pytest.mark.parametrize("order", [2, 4, 6])
def test_cosine_moments_of_every_order(dimension, order):
    c = preactivations(POINTS[dimension][:4])
    index = tuples_of(4, order)
    values, error = gaussian_moments(np.cos, c, index)
    truth = np.zeros(len(index))  # cos is half the sum of exp(+-iz), and E exp(i e.z) = exp(-e.C.e/2)
    for signs in product([1, -1], repeat=order):
        e = np.zeros((len(index), 4))
        np.add.at(e, (np.arange(len(index))[:, None], index), np.array(signs))
        truth += np.exp(-0.5 * np.einsum("ka,ab,kb->k", e, c, e)) / 2**order
    assert error < TARGET[dimension]
    assert np.max(np.abs(values - truth)) < error


@pytest.mark.parametrize("order", [2, 4, 6])
def test_linear_activation_gives_wick(order):
    c = preactivations(ONE_D, 1.0, 0.7)
    index = tuples_of(6, order)
    values, error = gaussian_moments(lambda z: z, c, index)
    truth = np.array([wick(c, row) for row in index.tolist()])
    assert error < 1e-9
    assert np.max(np.abs(values - truth)) < error


def test_activation_without_parity_uses_both_halves_of_the_lattice():
    c = preactivations([-0.6, 0.5, 1.0])
    index = tuples_of(3, 4)
    values, error = gaussian_moments(lambda z: z + 0.5, c, index)
    pairs = np.array([sum(c[r[i], r[j]] for i in range(4) for j in range(i)) for r in index.tolist()])
    truth = np.array([wick(c, row) for row in index.tolist()]) + 0.25 * pairs + 0.0625
    assert np.max(np.abs(values - truth)) < error < 1e-10


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_tanh_quartic_against_nested_adaptive_quadrature(scale):
    x, row = np.array([-0.6, 0.2, 0.5, 1.0]), np.array([[0, 1, 2, 3], [0, 0, 3, 3]])
    values, error = gaussian_moments(np.tanh, preactivations(x, scale, scale), row)

    def density(b, w, points):
        return np.exp(-(w**2 + b**2) / 2) / (2 * np.pi) * np.prod(np.tanh(scale * (w * points + b)))

    truth = [dblquad(density, -9, 9, -9, 9, args=(x[r],), epsabs=1e-11)[0] for r in row]
    assert error < 1e-10
    assert np.max(np.abs(values - truth)) < 1e-10


@pytest.mark.parametrize("order", [2, 4, 6])
def test_some_tuples_in_any_order_of_their_indices(order):
    c, index = preactivations([-0.6, 0.2, 0.5, 1.0]), tuples_of(4, order)
    values, _ = gaussian_moments(np.tanh, c, index)
    draw = np.random.default_rng(order)
    rows = draw.permutation(len(index))[: len(index) // 2]
    some, _ = gaussian_moments(np.tanh, c, draw.permuted(index[rows], axis=1), nodes=200)
    both, _ = gaussian_moments(np.tanh, c, index, nodes=200)
    assert np.max(np.abs(some - both[rows])) < 1e-15  # the same nodes, only added up in another order
    assert np.max(np.abs(some - values[rows])) < 1e-10


def test_constant_pre_activation():
    values, error = gaussian_moments(np.cos, np.zeros((2, 2)), np.array([[0, 1], [1, 1]]))
    assert np.max(np.abs(values - 1.0)) < error < 1e-10


def test_stated_error_covers_the_true_one_while_it_converges():
    c, index = preactivations(inputs(2, 4), 2.0, 2.0), tuples_of(4, 4)
    truth, _ = gaussian_moments(np.tanh, c, index, nodes=220)
    errors = []
    for nodes in (24, 48, 96):
        values, error = gaussian_moments(np.tanh, c, index, nodes=nodes)
        errors.append(np.max(np.abs(values - truth)))
        assert errors[-1] < error
    assert 3000 * errors[2] < errors[1] < errors[0] / 10  # faster than any power of the step


def test_rank_above_four_goes_tuple_by_tuple_with_the_same_answer():
    c = preactivations(inputs(784, 6))
    index = np.array([[0, 1, 2, 5], [0, 0, 3, 4], [2, 2, 2, 2], [1, 1, 4, 4]])
    values, error = gaussian_moments(np.tanh, c, index)
    for row, value in zip(index, values, strict=True):
        points, local = np.unique(row, return_inverse=True)
        alone, stated = gaussian_moments(np.tanh, c[np.ix_(points, points)], local[None])
        assert abs(alone[0] - value) <= error + stated < 1e-7


# ---- ReLU ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", POINTS)
def test_relu_arc_cosine_kernels(dimension):
    c = preactivations(POINTS[dimension])
    a, b = tuples_of(len(c), 2).T
    norm = np.sqrt(c[a, a] * c[b, b])
    t = np.arccos(np.clip(c[a, b] / norm, -1, 1))
    second, error = relu_moments(c, np.stack([a, b], axis=1))
    assert error < 1e-11
    assert np.max(np.abs(second - norm / (2 * np.pi) * (np.sin(t) + (np.pi - t) * np.cos(t)))) < 1e-12
    fourth, error = relu_moments(c, np.stack([a, a, b, b], axis=1))
    truth = norm**2 / (2 * np.pi) * (3 * np.sin(t) * np.cos(t) + (np.pi - t) * (1 + 2 * np.cos(t) ** 2))
    assert error < 1e-11
    assert np.max(np.abs(fourth - truth)) < 1e-11


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_relu_one_dimension_against_piecewise_quadrature_in_the_angle(bias):
    x = np.array([-0.6, 0.2, 0.5, 1.0, 1.2])
    index = np.array([[0, 1, 2, 3], [1, 2, 3, 4], [0, 0, 3, 4], [2, 2, 2, 4], [0, 4, 4, 4]])
    values, error = relu_moments(preactivations(x, 1.0, bias), index)
    kinks = sorted(np.concatenate([np.arctan2(bias, -x), np.arctan2(bias, -x) + np.pi]) % (2 * np.pi))

    def angular(angle, points):  # weight = rho sin, bias variable = rho cos; int rho^5 exp(-rho^2/2) = 8
        return 8 / (2 * np.pi) * np.prod(np.maximum(np.sin(angle) * points + bias * np.cos(angle), 0))

    edges = [0.0, *kinks, 2 * np.pi]
    for row, value in zip(index, values, strict=True):
        truth = sum(quad(angular, lo, hi, args=(x[row],), epsabs=1e-14)[0] for lo, hi in pairwise(edges))
        assert abs(value - truth) < 1e-12
    assert error < 1e-12


def test_relu_two_dimensions_against_nested_quadrature_between_kinks():
    c = preactivations(inputs(2, 4))
    index = np.array([[0, 1, 2, 3], [0, 0, 1, 2], [1, 2, 3, 3]])
    values, error = relu_moments(c, index)
    spectrum, axes = np.linalg.eigh(c)
    factor = axes[:, 1:] * np.sqrt(spectrum[1:])

    def ring(height, rows):  # a circle of latitude, on which z = rows.(r cos phi, r sin phi, height)
        r = np.sqrt(1 - height**2)
        far, phase = np.hypot(rows[:, 0], rows[:, 1]) * r, np.arctan2(rows[:, 1], rows[:, 0])
        half = np.arccos(np.clip(-rows[:, 2] * height / far, -1, 1))
        cuts = np.unique(np.concatenate([[0, 2 * np.pi], (phase + half) % (2 * np.pi), (phase - half) % (2 * np.pi)]))
        y, w = np.polynomial.legendre.leggauss(12)  # a trigonometric polynomial of degree four between the cuts
        angle = (cuts[:-1, None] + cuts[1:, None]) / 2 + np.diff(cuts)[:, None] / 2 * y
        unit = np.stack([r * np.cos(angle), r * np.sin(angle), np.full_like(angle, height)], axis=-1)
        return np.sum(np.diff(cuts)[:, None] / 2 * w * np.prod(np.maximum(unit @ rows.T, 0), axis=-1))

    for row, value in zip(index, values, strict=True):
        surface = quad(ring, -1, 1, args=(factor[row],), epsabs=1e-12, epsrel=1e-11, limit=500)[0]
        truth = surface * 15 / (4 * np.pi)  # (2 pi)^(-3/2) int rho^6 exp(-rho^2/2)
        assert abs(value - truth) < 1e-10
    assert error < 1e-12


def flipped_sum(covariance):
    """sum over signs e of prod(e) E prod max(e_a z_a, 0) = E prod z_a, because max(z, 0) - max(-z, 0) = z."""
    order, total, stated, largest = len(covariance), 0.0, 0.0, 0.0
    for signs in product([1, -1], repeat=order):
        e = np.array(signs)
        value, error = relu_moments(covariance * np.outer(e, e), np.arange(order)[None])
        total, stated, largest = total + np.prod(e) * value[0], stated + error, max(largest, value[0])
    return total, stated, largest


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_relu_sign_flips_add_up_to_wick(rank, seed):
    edges = np.random.default_rng([rank, seed]).normal(size=(4, rank))
    total, stated, largest = flipped_sum(edges @ edges.T)
    assert abs(total - wick(edges @ edges.T, [0, 1, 2, 3])) < stated < 1e-11 * largest


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-7, 0.0])
def test_relu_sign_flips_for_almost_parallel_and_opposite_points(rank, gap):
    draw = np.random.default_rng(rank)
    edges = draw.normal(size=(4, rank))
    edges[1] = 2 * edges[0] + gap * draw.normal(size=rank)
    edges[3] = -0.5 * edges[2] + gap * draw.normal(size=rank)
    total, _, largest = flipped_sum(edges @ edges.T)
    assert abs(total - wick(edges @ edges.T, [0, 1, 2, 3])) < 1e-11 * max(largest, 1.0)


def test_relu_sign_flips_at_sixth_order():
    edges = np.random.default_rng(6).normal(size=(6, 3))
    total, stated, largest = flipped_sum(edges @ edges.T)
    assert abs(total - wick(edges @ edges.T, list(range(6)))) < stated < 1e-9 * largest


def test_relu_without_bias_in_one_dimension_is_one_random_number():
    x = np.array([0.2, 0.4, 0.6, -0.8])
    index = tuples_of(4, 4)
    values, _ = relu_moments(preactivations(x, 1.0, 0.0), index)
    same_side = np.ptp(np.sign(x[index]), axis=1) == 0
    truth = np.where(same_side, 1.5 * np.prod(np.abs(x[index]), axis=1), 0.0)  # E max(w,0)^4 = 3/2
    assert np.max(np.abs(values - truth)) < 1e-15


def test_relu_of_a_null_input_vanishes():
    values, _ = relu_moments(preactivations([0.0, 0.5], 1.0, 0.0), tuples_of(2, 4))
    assert np.array_equal(values[:-1], np.zeros(4))
    assert abs(values[-1] - 1.5 * 0.5**4) < 1e-15


# ---- Monte Carlo in three dimensions -------------------------------------------------------------------------------


def sampled(activation, dimension, row, draws=400_000):
    points = inputs(dimension)[row]
    draw = np.random.default_rng(7)
    weights, bias = draw.normal(size=(draws, dimension)) / np.sqrt(dimension), draw.normal(size=(draws, 1))
    products = np.prod(activation(weights @ points.T + bias), axis=1)
    return products.mean(), products.std(ddof=1) / np.sqrt(draws)


@pytest.mark.parametrize("row", [[0, 1, 2, 3], [0, 0, 4, 5]])
def test_tanh_moments_are_those_of_sampled_neurons(row):
    estimate, se = sampled(np.tanh, 3, row)
    values, _ = gaussian_moments(np.tanh, preactivations(inputs(3)), np.array([row]))
    agree(estimate, values[0], se)


@pytest.mark.parametrize("row", [[0, 1, 2, 3], [0, 0, 4, 5]])
def test_tanh_planted_fault_weights_without_the_dimension(row):
    estimate, se = sampled(np.tanh, 3, row)
    values, _ = gaussian_moments(np.tanh, preactivations(inputs(3), np.sqrt(3)), np.array([row]))
    disagree(estimate, values[0], se)


@pytest.mark.parametrize("row", [[0, 1, 2, 3], [0, 0, 4, 5]])
def test_relu_moments_are_those_of_sampled_neurons(row):
    estimate, se = sampled(lambda z: np.maximum(z, 0), 3, row)
    values, _ = relu_moments(preactivations(inputs(3)), np.array([row]))
    agree(estimate, values[0], se)


@pytest.mark.parametrize("row", [[0, 1, 2, 3], [0, 0, 4, 5]])
def test_relu_planted_fault_sixteenth_of_wick(row):
    estimate, se = sampled(lambda z: np.maximum(z, 0), 3, row)
    disagree(estimate, wick(preactivations(inputs(3)), row) / 16, se)


# ---- refusals ------------------------------------------------------------------------------------------------------

GOOD, PAIR = np.eye(2), np.array([[0, 1]])


@pytest.mark.parametrize(
    ("covariance", "index", "message"),
    [
        (np.ones((2, 3)), PAIR, "square"),
        (np.array([[1, 0.5], [0.4, 1]]), PAIR, "symmetric"),
        (np.array([[1, np.nan], [np.nan, 1]]), PAIR, "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), PAIR, "negative eigenvalue"),
        (GOOD, np.array([0, 1]), "integer tuples"),
        (GOOD, np.array([[0.0, 1.0]]), "integer tuples"),
        (GOOD, np.array([[0, 2]]), "indices"),
        (GOOD, np.array([[-1, 0]]), "indices"),
    ],
)
def test_bad_input_is_named(covariance, index, message):
    with pytest.raises(ValueError, match=message):
        gaussian_moments(np.tanh, covariance, index)
    with pytest.raises(ValueError, match=message):
        relu_moments(covariance, index)


def test_odd_orders_and_too_few_nodes_are_refused():
    with pytest.raises(ValueError, match="2, 4 or 6"):
        gaussian_moments(np.tanh, GOOD, np.array([[0, 0, 1]]))
    with pytest.raises(ValueError, match="nodes"):
        gaussian_moments(np.tanh, GOOD, PAIR, nodes=2)
    with pytest.raises(ValueError, match="rank at most 6"):
        relu_moments(np.eye(7), np.arange(7)[None])
