"""Moments of error functions at any size of the weights: closed forms, panels around the kink, the lattice rule."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.special import erf

from nnft.models import Erf, Network, Tanh, exact, exact_generating
from nnft.models.neurons import quadrature
from nnft.models.neurons.quadrature import gaussian_moments
from nnft.models.neurons.signs import sign_moments

TRIANGLE = np.array([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])


def tuples_of(count, order):
    return np.array(list(combinations_with_replacement(range(count), order)))


def arcsine(c):
    """(2/pi) arcsin of Williams, by the arctangent, which keeps its digits where two points are almost one."""
    v = np.diag(c)
    cross = np.maximum(np.outer(v, v) - c**2, 0.0)
    return 2 / np.pi * np.arctan2(2 * c, np.sqrt(1 + 2 * np.add.outer(v, v) + 4 * cross))


def site(activation, variance, order):
    """<s^r> of one pre-activation on panels that double from the width of the kink."""
    x, w = np.polynomial.legendre.leggauss(60)
    edges = np.concatenate([[0.0], (1 + 2 * variance) ** -0.5 * 2.0 ** np.arange(80)])
    edges = np.append(edges[edges < 9.5], 9.5)
    half = np.diff(edges)[:, None] / 2
    xi = edges[:-1, None] + half * (1 + x)
    return np.sum(half * w * activation(np.sqrt(variance) * xi) ** order * np.exp(-(xi**2) / 2)) * np.sqrt(2 / np.pi)


@pytest.mark.parametrize("variance", [1e-8, 1e-2, 1.0, 1e3, 5e7, 1e12])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_one_point_at_every_size(variance, order):
    values, error = sign_moments(np.array([[variance]]), np.zeros((1, order), dtype=int))
    truth = site(erf, variance, order)
    assert abs(values[0] - truth) < error[0] + 1e-14 * truth  # the panels round as well
    assert error[0] < 1e-8 * truth


@pytest.mark.parametrize("dimension", [1, 2, 3, 50])
@pytest.mark.parametrize("order", [4, 6])
def test_the_lattice_rule_says_the_same(dimension, order):
    x = np.random.default_rng(dimension).normal(size=(3, dimension))
    c = 0.5 + 1.3 * x @ x.T / dimension
    values, error = sign_moments(c, tuples_of(3, order))
    truth, stated = gaussian_moments(erf, c, tuples_of(3, order))
    assert np.max(np.abs(values - truth)) < stated + np.max(error)
    assert np.max(error) < 1e-13


@pytest.mark.parametrize("order", [4, 6])
def test_planted_fault_one_noise_for_equal_points_is_seen(order):
    """erf(z)^r is no sign^r: with one noise for all factors of a point the average would be one."""
    values, error = sign_moments(np.array([[2.0]]), np.zeros((1, order), dtype=int))
    assert abs(values[0] - 1.0) > 1e10 * error[0]


def test_the_smallest_weights_keep_their_digits():
    """erf z = (2/sqrt pi)(z - z^3/3 + ..): <erf^4> = (16/pi^2) 3 c^2 (1 - 20 c/3 + ..)."""
    for c in (1e-6, 1e-10):
        values, error = sign_moments(np.array([[c]]), np.zeros((1, 4), dtype=int))
        leading = 48 / np.pi**2 * c**2 * (1 - 20 * c / 3)
        assert abs(values[0] / leading - 1) < 40 * c**2 + 1e-14
        assert error[0] < 1e-13 * leading


@pytest.mark.parametrize("r", [1.0, 100.0, 300.0, 1e3, 2e3, 5e3, 1e4, 1e6])
def test_erf_networks_of_large_weights_are_right_to_their_stated_accuracy(r):
    data = exact(Network(Erf(), 100), r * TRIANGLE, orders=(2, 4))
    c = 1 + r**2 * TRIANGLE @ TRIANGLE.T / 2
    assert np.max(np.abs(data.tensor(2) - arcsine(c))) < data.about["accuracy"][2] < 1e-8
    fourth = [3 * (site(erf, v, 4) - site(erf, v, 2) ** 2) / 100 for v in np.diag(c)]
    assert np.max(np.abs([data.tensor(4)[(a,) * 4] - fourth[a] for a in range(3)])) < data.about["accuracy"][4]


@pytest.mark.parametrize("r", [30.0, 100.0])
def test_tanh_networks_state_an_accuracy_they_keep(r):
    data = exact(Network(Tanh(), 100), r * TRIANGLE[:2], orders=(2,))
    truth = [site(np.tanh, 1 + r**2 / 2, 2)] * 2
    assert np.max(np.abs(np.diag(data.tensor(2)) - truth)) < data.about["accuracy"][2] < 1e-3


@pytest.mark.parametrize("r", [300.0, 1e3, 1e4])
def test_tanh_networks_whose_kinks_are_only_sampled_say_how_well(r, monkeypatch):
    """G2 is right to its stated accuracy or refused; the connected four-point function is refused with the number."""
    monkeypatch.setattr(quadrature, "MOST_NODES", 1_000_000)
    data = exact(Network(Tanh(), 100), r * TRIANGLE, orders=(2, 4))
    with pytest.raises(
        ValueError, match=r"quadrature leaves .* \+- .* of it, more than 1%; try a smaller weight_scale"
    ):
        data.connected(4)
    if 2 in data.cumulants:
        truth = [site(np.tanh, v, 2) for v in np.diag(1 + r**2 * TRIANGLE @ TRIANGLE.T / 2)]
        assert np.max(np.abs(np.diag(data.tensor(2)) - truth)) < data.about["accuracy"][2]


def sampled(kind, scale, order):
    """Values, stated and true error of the lattice where its nodes are too few to resolve the kinks of an erf."""
    draw = np.random.default_rng(kind)
    x = np.eye(3) if kind == 0 else draw.normal(size=(3, 1 + kind))
    c = 1.0 + scale**2 * x @ x.T / x.shape[1]
    values, stated = gaussian_moments(erf, c, tuples_of(3, order))
    truth, rounding = sign_moments(c, tuples_of(3, order))
    return stated + np.max(rounding), np.max(np.abs(values - truth))


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("scale", [10.0, 100.0, 1e3, 1e5])
def test_kinks_that_are_only_sampled_are_in_the_stated_error(kind, scale, monkeypatch):
    monkeypatch.setattr(quadrature, "MOST_NODES", 100_000)
    for order in (2, 4):
        stated, actual = sampled(kind, scale, order)
        assert actual < stated


def test_planted_fault_kinks_that_two_lattices_step_over_go_unseen(monkeypatch):
    """Orthogonal points: |s| = 1 on all nodes of both lattices, which agree to rounding on what is wrong by 6e-6."""
    monkeypatch.setattr(quadrature, "MOST_NODES", 100_000)
    monkeypatch.setattr(quadrature, "KINKS", 0.0)
    stated, actual = sampled(0, 1e5, 2)
    assert actual > 10 * stated


def test_what_not_even_sampling_reaches_is_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(quadrature, "MOST_NODES", 1_000)
    with pytest.raises(
        ValueError, match=r"expected pre-activations that 1e\+03 nodes sample, got .* along 3 axes; try"
    ):
        exact(Network(Tanh(), 100), 1e4 * TRIANGLE, orders=(2,))


def test_the_sum_of_the_weights_is_part_of_the_stated_error():
    """Lattices far coarser than the integrand: two of them agree on nothing at all, and say so."""
    c = 1 + 1e8 * TRIANGLE @ TRIANGLE.T / 2
    values, error = gaussian_moments(erf, c, tuples_of(3, 2), nodes=2000)
    assert np.max(np.abs(values - arcsine(c)[np.triu_indices(3)])) < error


@pytest.mark.parametrize("neuron", [Erf(1e4), Tanh(1e4), Erf(20.0), Tanh(20.0)])
def test_moments_at_one_site_see_the_kink(neuron):
    found = Network(neuron, 1, readout="rademacher").site_moments(np.array([[1.0]]), 6)[:, 0]
    activation = erf if isinstance(neuron, Erf) else np.tanh
    truth = [site(activation, 1 + neuron.weight_scale**2, r) for r in (2, 4, 6)]
    assert np.allclose(found, truth, rtol=1e-13)


@pytest.mark.parametrize("neuron", [Erf(1e4, 0.5), Tanh(1e4, 0.5)])
def test_the_generating_function_refuses_a_kink_its_nodes_miss(neuron):
    """Two rules on which |s| = 1 everywhere agree to 1e-15; the kink they both miss carries 1e-4."""
    with pytest.raises(ValueError, match=r"expected pre-activations that 16384 nodes an axis resolve, got 2.75e\+05"):
        exact_generating(Network(neuron, 10), np.array([[1.0]]), np.array([[0.5]]))


def test_the_generating_function_of_large_weights_where_it_can_be_had():
    network, source = Network(Erf(100.0, 0.5), 10, readout="gaussian"), 0.5
    value, error = exact_generating(network, np.array([[1.0]]), np.array([[source]]))
    truth = 10 * np.log(site(lambda z: np.exp(source**2 * erf(z) ** 2 / 20), 100.0**2 + 0.25, 1))
    assert abs(value[0] - truth) < error + 1e-13
