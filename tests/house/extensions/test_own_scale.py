"""A shared scale of one's own: tau = 1/2 or 3/2, and a Gamma law that knows nothing but its density and its tail."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

ONE, J = np.array([[0.3]]), np.array([[0.9], [0.4]])


class Either(m.AbstractScale):
    def law(self):
        return dist.TransformedDistribution(dist.Bernoulli(probs=0.5), dist.transforms.AffineTransform(0.5, 1.0))

    def moment(self, power):
        return (0.5**power + 1.5**power) / 2.0


class KnownEither(Either):
    def tail(self):
        return m.ScaleTail(linear=np.inf, root=np.inf, edge=1.5)

    def rule(self, rate, root, nodes):
        return np.array([0.5, 1.5]), np.log([0.5, 0.5])


class PlainGamma(m.AbstractScale):
    variance: float

    def law(self):
        return dist.Gamma(1.0 / self.variance, 1.0 / self.variance)

    def moment(self, power):
        return m.GammaScale(self.variance).moment(power)

    def tail(self):
        return m.ScaleTail(linear=1.0 / self.variance, root=np.inf)


def test_its_moments_are_in_the_exact_correlators():
    """Gaussian cosines at one point: N G4c = E tau^2 (9/8 - 3/4) + N Var tau 3/4."""
    network = m.Network(m.Cos(), 10, shared_scale=Either())
    assert m.exact(network, ONE).connected(4)[0] == pytest.approx(1.25 * 3 / 80 + 0.25 * 3 / 4, abs=1e-12)


def test_its_networks_have_these_correlators():
    ensemble = inf.Ensemble(m.Network(m.Cos(), 4, shared_scale=Either()), points=ONE, n=40_000, key=jax.random.key(0))
    data = inf.measure(ensemble, orders=(2, 4), space="field")
    agree(data.connected(4)[0], 1.25 * 3 / 32 + 0.25 * 3 / 4, data.error(4)[0])
    disagree(data.connected(4)[0], 3 / 32, data.error(4)[0])


def test_its_generating_functional():
    """Z = (Z at tau = 1/2 + Z at tau = 3/2)/2; the edge of ReLU is that of the larger one."""
    value, _ = m.exact_generating(m.Network(m.Cos(), 3, shared_scale=KnownEither()), ONE, J)
    given = [m.exact_generating(m.Network(m.Cos(), 3, output_scale=tau**0.5), ONE, J)[0] for tau in (0.5, 1.5)]
    np.testing.assert_allclose(value, np.log(0.5 * np.exp(given[0]) + 0.5 * np.exp(given[1])), rtol=1e-11)
    relu, edge = m.Network(m.ReLU(), 6, shared_scale=KnownEither()), 2.0
    assert m.finite_source(relu, np.ones((1, 1)), np.array([0.99 * edge])).finite
    assert not m.finite_source(relu, np.ones((1, 1)), np.array([1.01 * edge])).finite


@pytest.mark.parametrize("network", [m.Network(m.Cos(), 2), m.Network(m.ReLU(), 2, "uniform")], ids=["cos", "relu"])
def test_a_rule_from_the_density_alone(network):
    both = [
        m.exact_generating(m.Network(network.neuron, 2, network.readout, shared_scale=scale), np.ones((1, 1)), J)[0]
        for scale in (m.GammaScale(0.5), PlainGamma(0.5))
    ]
    np.testing.assert_allclose(both[1], both[0], rtol=1e-10)


class Flat(m.AbstractScale):
    """Tau uniform on (0, 2)."""

    def law(self):
        return dist.Uniform(0.0, 2.0)

    def moment(self, power):
        return 2.0**power / (power + 1)

    def tail(self):
        return m.ScaleTail(linear=np.inf, root=np.inf, edge=2.0)


def test_a_density_that_jumps_is_refused():
    """A density that jumps is no density for a trapezoid, and it says so: such a scale writes its own `rule`."""
    network = m.Network(m.Cos(), 3, shared_scale=Flat())
    with pytest.raises(ValueError, match=r"expected a quadrature that converges|density of sum and mean one"):
        m.exact_generating(network, ONE, J)


class NoDensity(Either):
    def tail(self):
        return m.ScaleTail(linear=np.inf, root=np.inf, edge=1.5)


class Doubled(Either):
    def moment(self, power):
        return 2.0**power * super().moment(power)


class NoMoments(m.AbstractScale):
    def law(self):
        return dist.Gamma(1.0, 1.0)


def test_what_it_does_not_bring_is_refused_by_name():
    with pytest.raises(ValueError, match=r"shared scale that brings `tail`.*got Either, which has none; try writing"):
        m.exact_generating(m.Network(m.Cos(), 3, shared_scale=Either()), ONE, J)
    with pytest.raises(ValueError, match=r"density of sum and mean one, .*NoDensity.*try writing NoDensity\.rule"):
        m.exact_generating(m.Network(m.Cos(), 3, shared_scale=NoDensity()), ONE, J)
    with pytest.raises(ValueError, match=r"E tau = 1, got 2 of Doubled; try tau/2"):
        Doubled()
    with pytest.raises(TypeError, match="moment"):
        NoMoments()
