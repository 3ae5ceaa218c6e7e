"""A readout law of one's own: the logistic law of unit variance, from its draw and moments to G4c and W[J]."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import special

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

SCALE = 3.0**0.5 / np.pi
ONE = np.array([[0.3]])


class Logistic(m.AbstractReadout):
    """Density 1/(4s cosh^2(w/2s)), s = sqrt(3)/pi."""

    def draw(self):
        return dist.Logistic(0.0, SCALE)

    def moment(self, order):
        if order % 2:
            return 0.0
        return float(2.0 * special.factorial(order) * (1.0 - 2.0 ** (1 - order)) * special.zeta(order) * SCALE**order)


class KnownTail(Logistic):
    """The same with E exp(tW) = pi s t / sin(pi s t), which ends at t = 1/s."""

    def log_mean(self, amplitude):
        xp = amplitude.__array_namespace__()
        return -xp.log(xp.sinc(SCALE * amplitude))

    def tail(self):
        return m.ReadoutTail(radius=1.0 / SCALE)

    def characteristic(self, amplitude):
        z = np.pi * SCALE * np.maximum(np.abs(amplitude), 1e-12)
        return z / np.sinh(np.minimum(z, 700.0))


def test_its_moments_are_in_the_exact_correlators():
    """N G4c of cosines at one point = 3/8 mu4 - 3/4, mu4 = 21/5; the law of +-1 has -.375."""
    network = m.Network(m.Cos(), 10, readout=Logistic())
    assert 10 * m.exact(network, ONE).connected(4)[0] == pytest.approx(3 / 8 * 4.2 - 3 / 4, abs=1e-12)
    assert 10 * m.exact_at(network, ONE, [[0, 0, 0, 0]]).connected[0] == pytest.approx(0.825, abs=1e-12)


def test_its_networks_have_these_correlators():
    network = m.Network(m.Cos(), 4, readout=Logistic())
    ensemble = inf.Ensemble(network, points=ONE, n=40_000, key=jax.random.key(0))
    assert ensemble.even
    for space in ("field", "neuron"):
        data = inf.measure(ensemble, orders=(2, 4), space=space)
        error = data.error(4)[0]
        agree(data.connected(4)[0], 0.825 / 4, error)
        disagree(data.connected(4)[0], -0.375 / 4, error)


def test_its_generating_functional():
    """Series to J^4 of W[J], what is left falls like J^6; the quadrature over a phase that the law does not bring."""
    network, j = m.Network(m.Erf(), 3, readout=KnownTail()), np.array([[0.4], [0.2]])
    left = np.abs(
        m.exact_generating(network, ONE, j)[0] - m.cumulant_series(m.exact(network, ONE, orders=(2, 4)), j).value
    )
    assert 45 < left[0] / left[1] < 90
    network = m.Network(m.Cos(), 3, readout=KnownTail())
    value = m.exact_generating(network, ONE, np.array([[1.5]]))[0]
    c = (np.arange(4000) + 0.5) * np.pi / 4000
    truth = 3 * np.log(np.mean(1.0 / np.sinc(SCALE * 1.5 / 3**0.5 * np.cos(c))))
    assert value[0] == pytest.approx(truth, abs=1e-12)
    edge = 3**0.5 / SCALE
    assert m.finite_source(network, ONE, np.array([0.99 * edge])).finite
    assert not m.finite_source(network, ONE, np.array([1.01 * edge])).finite
    density, _ = m.exact_density(network, ONE, np.linspace(-9, 9, 181)[:, None], accuracy=1e-4)
    assert 0.1 * density.sum() == pytest.approx(1.0, abs=1e-3)


def test_what_it_does_not_bring_is_refused_by_name():
    network = m.Network(m.Cos(), 4, readout=Logistic())
    with pytest.raises(ValueError, match=r"readout law that brings `tail`, .*got Logistic.*try writing Logistic\.tail"):
        m.exact_generating(network, ONE, np.ones((1, 1)))
    ensemble = inf.Ensemble(network, points=ONE, n=2000, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"brings `log_mean`.*got Logistic, which has none; try writing"):
        inf.generating(ensemble, 0.1 * np.ones((1, 1)), space="neuron")
    found = inf.generating(ensemble, 0.1 * np.ones((1, 1)))
    assert np.isfinite(found.value[0])
    assert "it is not known whether Z[J] is finite" in found.flags[0]
    with pytest.raises(ValueError, match=r"brings `tail`, .*got Logistic"):
        m.exact_density(network, ONE, np.zeros((1, 1)))


class NoMoments(m.AbstractReadout):
    def draw(self):
        return dist.Logistic(0.0, SCALE)


class Wide(Logistic):
    def moment(self, order):
        return super().moment(order) / SCALE**order


class Skewed(Logistic):
    def moment(self, order):
        return 0.4 if order == 3 else super().moment(order)


def test_a_forgotten_method_and_a_wrong_law_are_refused():
    with pytest.raises(TypeError, match="moment"):
        NoMoments()
    with pytest.raises(ValueError, match=r"E W\^2 = 1, got 3\.28987 of Wide; try W/1\.8138"):
        m.Network(m.Cos(), 4, readout=Wide())
    with pytest.raises(ValueError, match=r"symmetric about zero, got E W\^3 = 0\.4 of Skewed"):
        m.Network(m.Cos(), 4, readout=Skewed())
    with pytest.raises(ValueError, match=r"or a law of one's own, got 'logistic'; try"):
        m.Network(m.Cos(), 4, readout="logistic")
