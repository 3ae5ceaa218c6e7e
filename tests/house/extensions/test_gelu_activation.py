"""Any smooth activation by `m.Activation`: GELU in one to three dimensions, against networks, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree


def gelu(z):
    return 0.5 * z * (1.0 + jax.scipy.special.erf(z / 2.0**0.5))


def points(d):
    return np.random.default_rng(d).normal(size=(3, d))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_exact_correlators_are_those_of_networks(d):
    network, x, orders = m.Network(m.Activation(gelu), 3), points(d), (2, 4, 6) if d == 1 else (2, 4)
    exact = m.exact(network, x, orders=orders)
    assert max(exact.about["relative_accuracy"].values()) < 1e-6
    data = inf.measure(inf.Ensemble(network, points=x, n=40_000, key=jax.random.key(d)), orders=(2, 4), space="field")
    for order in (2, 4):
        agree(data.connected(order), exact.connected(order), data.error(order))
    wrong = m.exact(m.Network(m.GELU(bias_scale=0.5), 3), x, orders=(2, 4))
    disagree(data.connected(4), wrong.connected(4), data.error(4))


def test_the_named_one_and_a_line_say_the_same():
    """At one point <s^r> by a fine sum over z; the approximation that deep learning uses is another activation."""
    x = np.array([[0.9]])
    z = np.linspace(-12.0, 12.0, 200_001)
    c = 1.0 + 0.81
    law = np.exp(-(z**2) / (2 * c))
    two, four, six = (np.sum(law * (z * special.ndtr(z)) ** r) / np.sum(law) for r in (2, 4, 6))
    truth = [two, 3 * (four - two**2), 15 * (six - 3 * four * two + 2 * two**3)]
    for neuron in (m.Activation(gelu), m.GELU()):
        data = m.exact(m.Network(neuron, 1), x)
        assert np.allclose([data.connected(r)[0] for r in (2, 4, 6)], truth, rtol=1e-10)
    other = m.exact(m.Network(m.Activation(jax.nn.gelu), 1), x)
    assert abs(other.connected(2)[0] / two - 1.0) > 1e-5


def test_what_is_not_known_is_refused_with_the_number():
    x = points(2)
    with pytest.raises(ValueError, match=r"grows like a power of at most 12, got one of which .* of <s.2> comes"):
        m.exact(m.Network(m.Activation(jnp.exp, 2.0, 1.0), 7), x)
    with pytest.raises(
        ValueError, match=r"power 2 has an average .* deviation 1, got .* of it from beyond 16 standard"
    ):
        m.exact(m.Network(m.Activation(lambda z: jnp.exp(z**2 / 4), 1.0, 0.0), 7), np.ones((1, 1)), orders=(2,))
    with pytest.raises(ValueError, match=r"expected an activation that JAX can trace, got TracerArray.*; try jnp.tanh"):
        m.Activation(special.erf)
    with pytest.raises(ValueError, match=r"expected an activation that keeps the shape of z, \(2, 3\), got \(\)"):
        m.Activation(jnp.sum)
    with pytest.raises(ValueError, match=r"of each z alone, got Activation\(softmax\), which mixes them; try a neuron"):
        m.exact(m.Network(m.Activation(jax.nn.softmax), 7), x, orders=(2,))
    with pytest.raises(ValueError, match="keeps the precision of z, float64, got float32"):
        m.exact(m.Network(m.Activation(lambda z: jnp.float32(z)), 7), x, orders=(2,))


def test_kinks_leave_an_error_that_covers_them():
    """|z| is not smooth: <|z||z'|> = (2/pi)(sqrt(1-r^2) + r arcsin r) of unit variances, to no more than is said."""
    x = np.array([[1.0], [0.2]])
    data = m.exact(m.Network(m.Activation(jnp.abs, 1.0, 0.5), 1), x, orders=(2,))
    c = 0.25 + x @ x.T
    size = np.sqrt(np.outer(np.diag(c), np.diag(c)))
    r = np.minimum(c / size, 1.0)
    truth = 2 / np.pi * size * (np.sqrt(1 - r**2) + r * np.arcsin(r))
    off = np.max(np.abs(data.tensor(2) - truth))
    assert 1e-12 < off < data.about["accuracy"][2] < 1e-5
