"""A neuron of one's own, s = 1/(1 + z^2), that says what it is as a function of its hidden parameters, and has W[J]."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

TWO = np.array([[0.3], [1.0]])
J = np.array([[0.8, -0.4], [0.9, 0.9]])


class Lorentz(m.AbstractNeuron):
    def __call__(self, points):
        w = numpyro.sample("w", dist.Normal(0.0, 1.5).expand([points.shape[1]]).to_event(1))
        return 1.0 / (1.0 + (w @ points.T) ** 2)


class Known(Lorentz):
    def __call__(self, points):
        return super().__call__(points)

    def hidden(self, points):
        return m.Hidden("Lorentz", 1.5 * points, lambda z: 1.0 / (1.0 + z**2), height=1.0, mirrored=True)


def test_its_generating_functional():
    """Against adaptive integration over its one weight, and networks drawn; the twin is twice the source."""
    network = m.Network(Known(), 3, "uniform", output_bias=0.2)
    value, error = m.exact_generating(network, TWO, J)
    assert error < 1e-10

    def of(w, j):
        u = 3**0.5 * (j @ (1.0 / (1.0 + (1.5 * w * TWO[:, 0]) ** 2))) / 3**0.5
        return np.sinh(u) / u * stats.norm.pdf(w)

    truth = [3 * np.log(integrate.quad(of, -9, 9, args=(j,))[0]) + 0.02 * np.sum(j) ** 2 for j in J]
    np.testing.assert_allclose(value, truth, atol=1e-8)
    ensemble = inf.Ensemble(network, points=TWO, n=20_000, key=jax.random.key(0))
    for space in ("field", "readout", "neuron"):
        found = inf.generating(ensemble, J, space=space)
        assert not found.flags
        agree(found.value, value, found.error)
        disagree(found.value, m.exact_generating(network, TWO, 2 * J)[0], found.error)


def test_where_it_is_finite_and_its_density():
    """Laplace: sup |J.s| = J at one point, so that J = sqrt(2N)/sigma is the edge."""
    laplace, one = m.Network(Known(), 8, "laplace"), TWO[:1]
    assert m.finite_source(laplace, one, np.array([3.99])).finite
    assert not m.finite_source(laplace, one, np.array([4.01])).finite
    density, _ = m.exact_density(m.Network(Known(), 20), one, np.linspace(-8, 8, 161)[:, None])
    assert 0.1 * density.sum() == pytest.approx(1.0, abs=1e-6)


def test_a_neuron_that_forgot_it_is_refused_by_name():
    network = m.Network(Lorentz(), 3)
    for ask in (m.exact_generating, m.exact_density):
        with pytest.raises(
            ValueError, match=r"neuron that brings `hidden`, .* got Lorentz, .*try writing Lorentz\.hidden"
        ):
            ask(network, TWO, J)
    found = inf.generating(inf.Ensemble(network, points=TWO, n=2000, key=jax.random.key(0)), J)
    assert "it is not known whether Z[J] is finite" in found.flags[0]


class Other(Known):
    """Another program under the old answers."""

    def __call__(self, points):
        return jnp.exp(-jnp.abs(super().__call__(points)))


def test_another_program_takes_over_no_answer():
    with pytest.raises(ValueError, match=r"brings `hidden`, .* got Other"):
        m.exact_generating(m.Network(Other(), 3), TWO, J)
