"""Cones against solid angles, orthants and independent neurons; shared cells against one tuple at a time."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from nnft.models.neurons import cones, relu
from nnft.models.neurons.cones import integrate_monomials, list_monomials, multiply_forms, tile
from nnft.models.neurons.relu import relu_moments


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def tuples_of(count, order):
    return np.array(list(combinations_with_replacement(range(count), order)))


def units_of(covariance, index):
    return np.prod(np.sqrt(np.diag(covariance))[index], axis=1)


# ---- geometry and integrals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "points"), [(1, 3), (2, 9), (3, 7), (4, 5)])
def test_the_cells_fill_space(rank, points):
    facets = unit(np.random.default_rng(rank).normal(size=(1, points, rank)))
    total = sum(np.sum(integrate_monomials(batch, 0)[0]) for batch, _ in tile(facets, inside=False))
    assert total == pytest.approx(1.0, abs=1e-13)


def test_orthant_probabilities_of_many_sets_at_once():
    facets = unit(np.random.default_rng(0).normal(size=(50, 3, 3)))
    mass = np.zeros(50)
    for batch, owner in tile(facets, inside=True):
        np.add.at(mass, owner, integrate_monomials(batch, 0)[0][:, 0])
    gram = facets @ facets.transpose(0, 2, 1)
    truth = 1 / 8 + np.sum(np.arcsin(gram[:, [0, 0, 1], [1, 2, 2]]), axis=1) / (4 * np.pi)
    assert np.max(np.abs(mass - truth)) < 1e-14


@pytest.mark.parametrize("rank", [2, 3, 4, 5, 6])
def test_one_monomial_of_an_orthant(rank):
    """Along the edges of the positive orthant z_i = xi_i, and E max(xi, 0)^n = 1/sqrt(2 pi), 1/2 for n = 1, 2."""
    value, change = 0.0, 0.0
    for batch, _ in tile(np.eye(rank)[None], inside=True):
        form = multiply_forms(np.maximum(batch.transpose(0, 2, 1), 0.0), np.arange(rank)[None])[:, 0]
        integral, fewer = integrate_monomials(batch, rank)
        value, change = value + np.sum(form * integral), change + np.sum(form * fewer)
    unit_value = (2 * np.pi) ** (-rank / 2)
    assert abs(value - unit_value) < abs(change) + 1e-13 * unit_value
    assert abs(change) < 10 * cones.AIMS.get(rank, cones.ROUNDING)[1] * unit_value  # the coarser rule, and rounding


def test_forms_multiply():
    draw = np.random.default_rng(1)
    heights, u, rows = draw.random((2, 4, 3)), draw.random(3), np.array([[0, 1, 1, 3], [2, 2, 2, 2]])
    monomials = np.array([np.prod(u[list(row)]) for row in list_monomials(3, 4)])
    assert np.allclose(multiply_forms(heights, rows) @ monomials, np.prod((heights @ u)[:, rows], axis=2), rtol=1e-14)


def test_a_set_whose_signs_exclude_each_other_has_no_cone():
    facets = np.array([[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    owners = np.concatenate([owner for _, owner in tile(facets, inside=True)])
    assert set(owners.tolist()) == {1}


# ---- two roads: the cone of each set of points, or cells that all tuples share --------------------------------------

draw = np.random.default_rng(4)
DISC, BALL = draw.normal(size=(5, 2)), draw.normal(size=(4, 3))
GEOMETRIES = {
    "one ray": np.outer([0.2, 0.5, 1.0, -1.0, -2.5], [0.6, -0.8]),
    "opposite": np.concatenate([BALL[:3], -BALL[:2]]),
    "almost the same": np.concatenate([BALL, BALL[:1] + 1e-9]),
    "equal norms": np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], axis=1),
    "all scales": DISC * np.array([1e-4, 1.0, 1e3, 1e-2, 30.0])[:, None],
    "a null input": np.concatenate([DISC, np.zeros((1, 2))]),
}


def covariance_of(name, bias):
    x = GEOMETRIES[name]
    return bias**2 + x @ x.T / x.shape[1]


def on_both_roads(monkeypatch, covariance, index):
    results = []
    for cost in (np.inf, 0.0):
        monkeypatch.setattr(relu, "CELL_COST", (cost,) * 4)
        results.append(relu_moments(covariance, index))
    return results


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(("bias", "order"), [(0.0, 4), (0.7, 4), (0.0, 6)])
def test_both_roads_give_the_same_numbers(monkeypatch, name, bias, order):
    covariance = covariance_of(name, bias)
    index = tuples_of(len(covariance), order)
    (apart, stated), (together, error) = on_both_roads(monkeypatch, covariance, index)
    size = units_of(covariance, index)
    assert np.all(np.abs(apart - together) <= 1e-13 * size)
    assert max(stated, error) < 2e-13 * np.max(size)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_all_tuples_at_once_are_those_one_at_a_time(name):
    covariance = covariance_of(name, 0.3)
    index = tuples_of(len(covariance), 4)
    values, _ = relu_moments(covariance, index)
    for k in range(0, len(index), 6):
        alone, _ = relu_moments(covariance, index[k : k + 1])
        assert abs(alone[0] - values[k]) <= 1e-13 * units_of(covariance, index[k : k + 1])[0]


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_the_order_of_points_and_of_indices_does_not_matter(bias):
    x, turn = np.random.default_rng(8).normal(size=(7, 2)), np.random.default_rng(9).permutation(7)
    covariance, index = bias**2 + x @ x.T / 2, tuples_of(7, 4)
    values, _ = relu_moments(covariance, index)
    place = np.argsort(turn)
    turned, _ = relu_moments(covariance[np.ix_(turn, turn)], np.random.default_rng(7).permuted(place[index], axis=1))
    assert np.all(np.abs(turned - values) <= 1e-13 * units_of(covariance, index))


@pytest.mark.parametrize(("dimension", "order"), [(1, 6), (2, 4), (3, 4)])
def test_opposite_points_add_up_to_wick_in_shared_cells(monkeypatch, dimension, order):
    """max(z, 0) - max(-z, 0) = z: over all signs of four points E prod z_a is the sum over pairings."""
    monkeypatch.setattr(relu, "CELL_COST", (0.0,) * 4)
    edges = np.random.default_rng(dimension).normal(size=(4, dimension + 1))
    both = np.concatenate([edges, -edges])
    row = np.array([0, 1, 2, 3, 3, 2][:order])
    signs = np.array(list(product([0, 1], repeat=order)))
    values, _ = relu_moments(both @ both.T, row + 4 * signs)
    c = edges @ edges.T

    def wick(rest):
        return sum(c[rest[0], b] * wick(rest[1:k] + rest[k + 1 :]) for k, b in enumerate(rest) if k) if rest else 1.0

    total = np.sum((-1.0) ** np.sum(signs, axis=1) * values)
    assert abs(total - wick(row.tolist())) < 1e-12 * np.prod(np.sqrt(np.diag(c))[row])


@pytest.mark.parametrize("cost", [0.0, np.inf])
def test_little_memory_gives_the_same_numbers(monkeypatch, cost):
    x = np.random.default_rng(5).normal(size=(6, 2))
    covariance, index = 0.25 + x @ x.T / 2, tuples_of(6, 4)
    monkeypatch.setattr(relu, "CELL_COST", (cost,) * 4)
    values, _ = relu_moments(covariance, index)
    monkeypatch.setattr(cones, "BATCH", 8)
    monkeypatch.setattr(cones, "CHUNK", 64)
    monkeypatch.setattr(cones, "BLOCK", 32)
    assert np.all(np.abs(relu_moments(covariance, index)[0] - values) <= 1e-14 * units_of(covariance, index))


@pytest.mark.parametrize("aims", [(1e-6, 1e-4), (1e-3, 1e-1)])
def test_the_stated_error_covers_the_true_one_of_a_coarse_rule(monkeypatch, aims):
    x = np.random.default_rng(6).normal(size=(7, 2))
    covariance, index = 0.25 + x @ x.T / 2, tuples_of(7, 4)
    truth, _ = relu_moments(covariance, index)
    monkeypatch.setattr(cones, "ROUNDING", aims)
    values, error = relu_moments(covariance, index)
    assert 1e-12 < np.max(np.abs(values - truth)) < error < 10 * aims[1] * np.max(units_of(covariance, index))
