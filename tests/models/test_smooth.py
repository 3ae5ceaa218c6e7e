"""Smooth activations of a Gaussian pre-activation: closed forms, what a lattice misses, and whose answers are whose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft import models as m
from nnft.models.combinatorics import sorted_tuples
from nnft.models.neurons.quadrature import checked_moments, gaussian_moments, line_of


def inputs(d, count=3):
    return np.random.default_rng(d).normal(size=(count, d))


def covariance(d, weight=1.0, bias=1.0):
    x = inputs(d)
    return bias**2 + weight**2 * x @ x.T / d


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_closed_forms_of_a_sine_are_what_the_lattice_gives(d, order):
    neuron, index = m.Sin(1.2, 0.7), sorted_tuples(3, order)
    closed, rounding = neuron.moments(inputs(d), index)
    values, error = checked_moments(np.sin, covariance(d, 1.2, 0.7), index)
    assert rounding < 1e-14
    assert np.max(np.abs(values - closed)) < error < 1e-9
    site = closed[np.all(index == index[:, :1], axis=1)]
    assert np.allclose(neuron.site_moment(inputs(d), order), site, rtol=1e-11)
    if order == 2:
        assert np.allclose(neuron.kernel(inputs(d), inputs(d))[tuple(index.T)], closed, rtol=1e-13)


@pytest.mark.parametrize("order", [2, 4])
def test_powers_are_wick_sums(order):
    """s = z^3: <z_a^3 z_b^3> = 9 c_aa c_bb c_ab + 6 c_ab^3, and <z^12> = 11!! c^6."""
    c = covariance(2)
    index = np.array([[0, 1], [1, 2]]) if order == 2 else np.array([[0] * 4, [1] * 4])
    values, error = checked_moments(lambda z: z**3, c, index)
    a, b = index[:, 0], index[:, 1]
    truth = 9 * c[a, a] * c[b, b] * c[a, b] + 6 * c[a, b] ** 3 if order == 2 else 10395 * c[a, a] ** 6
    assert np.max(np.abs(values - truth)) < error < 1e-7 * np.max(np.abs(truth))


def test_planted_fault_a_ball_of_linear_growth_misses_the_tail_of_a_cube():
    """The same lattice in the ball that serves |z|, and the error it would have stated."""
    c, index = np.array([[1.0]]), np.array([[0, 0, 0, 0]])
    value, error = gaussian_moments(lambda z: z**3, c, index)
    assert abs(value[0] - 10395.0) > 10.0 * error
    value, error = checked_moments(lambda z: z**3, c, index)
    assert abs(value[0] - 10395.0) < error


@pytest.mark.parametrize("weight", [0.3, 0.6])
def test_exponentials_against_log_normal_moments(weight):
    c, index = covariance(2, weight, weight), sorted_tuples(3, 4)
    values, error = checked_moments(np.exp, c, index)
    truth = np.exp(c[index[:, :, None], index[:, None, :]].sum(axis=(1, 2)) / 2)
    assert np.max(np.abs(values - truth)) < error < 1e-6 * np.max(truth)


def bump(width, centre=1.7):
    return lambda z: np.exp(-0.5 * ((z - centre) / width) ** 2)


def bump_pair(c, width, centre=1.7):
    """<f(z_a) f(z_b)> of such a bump: a Gaussian integral."""
    sharp = np.eye(2) / width**2
    mean = np.full(2, centre)
    inner = np.linalg.inv(np.linalg.inv(c) + sharp)
    exponent = mean @ (sharp - sharp @ inner @ sharp) @ mean
    return np.sqrt(np.linalg.det(inner) / np.linalg.det(c)) * np.exp(-0.5 * exponent)


def test_a_narrow_feature_that_two_lattices_miss_is_seen_by_the_line():
    c, index = np.array([[1.0, 0.3], [0.3, 1.2]]), np.array([[0, 1]])
    truth = bump_pair(c, 0.02)
    values, error = checked_moments(bump(0.02), c, index)
    assert abs(values[0] - truth) < error < 1e-6 * truth
    blind, claim = gaussian_moments(bump(0.02), c, index)  # the twin: no line is held beside it
    assert abs(blind[0] - truth) > 10.0 * claim


def test_a_line_is_what_it_integrates():
    spread = np.array([0.0, 0.5, 40.0])
    line, change = line_of(np.tanh, spread, 2)
    assert np.allclose(line.average()[0], 0.0)
    assert np.all(change < 1e-12)
    z = np.linspace(-9.0, 9.0, 2001)
    w = np.exp(-(z**2) / 2)
    assert line.average()[1] == pytest.approx(w @ np.tanh(0.5 * z) ** 2 / w.sum(), rel=1e-12)
    assert line.average()[2] == pytest.approx(1 - 2 / (40 * (2 * np.pi) ** 0.5), abs=1e-4)  # <1 - sech^2>
    assert np.allclose(line.beyond(0.0, 3), line.average())
    assert np.all(line.beyond(9.0, 1) < 1e-17)


def test_another_activation_takes_over_no_closed_form():
    class Faster(m.Sin):
        def activation(self, z):
            return jnp.sin(2.0 * z)

        def values(self, z):
            return np.sin(2.0 * z)

    x = np.array([[0.5]])
    assert m.exact(m.Network(Faster(), 1), x).connected(2)[0] == pytest.approx((1 - np.exp(-8 * 1.25)) / 2, rel=1e-11)
    with pytest.raises(ValueError, match=r"got Faster, which has none; try writing Faster.kernel"):
        Faster().kernel(x, x)

    class Half(m.GELU):
        def activation(self, z):
            return 0.5 * z

    with pytest.raises(TypeError, match="without an implementation for abstract method 'values'"):
        Half()


@pytest.mark.parametrize("neuron", [m.Sin(), m.GELU(), m.SiLU(), m.Softplus(), m.Erf(), m.Tanh()], ids=lambda n: n.name)
def test_what_is_drawn_is_what_is_averaged(neuron):
    z = np.linspace(-6.0, 6.0, 41)
    with jax.enable_x64(True):
        assert np.allclose(neuron.activation(jnp.asarray(z)), neuron.values(z), rtol=1e-12, atol=1e-14)
    assert np.allclose(m.Activation(neuron.activation).values(z), neuron.values(z), rtol=1e-12, atol=1e-14)
