"""Scales that are not numbers yet: a prior over a scale, a gradient in it, a network as argument of a program."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer import Predictive

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

LINE = np.array([[0.0], [0.7], [2.0]])
KEY = jax.random.key(3)


def hierarchical(points):
    """Cosines of a scale that all of them share and nobody knows, s ~ |N(0, 1)|."""
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    return m.Network(m.Cos(weight_scale=s), 20)(points)


def test_a_prior_over_a_scale():
    """G2 = (1/2) E exp(-s^2 r^2/2) = (1/2)(1 + r^2)^(-1/2); the twin is the scale fixed at one."""
    r = LINE[:, 0]
    data = inf.measure(inf.Ensemble(hierarchical, points=LINE, n=20_000, key=KEY), orders=(2, 4))
    agree(data.connected(2)[:3], 0.5 / np.sqrt(1 + r**2), data.error(2)[:3])
    disagree(data.connected(2)[:3], 0.5 * np.exp(-0.5 * r**2), data.error(2)[:3])
    drawn = Predictive(hierarchical, num_samples=7)(KEY, LINE)
    assert drawn["phi"].shape == (7, 3)
    assert drawn["s"].shape == (7,)


def square(network):
    return jnp.sum(seed(network, KEY)(LINE) ** 2)


MADE = {
    "weights": lambda s: m.Network(m.Erf(weight_scale=s), 5),
    "bias": lambda s: m.Network(m.ReLU(bias_scale=s), 5, "uniform"),
    "norm": lambda s: m.Network(m.Gauss(0.5 * s, 0.3), 5),
    "output": lambda s: m.Network(m.Tanh(), 5, output_scale=s, output_bias=0.5 * s),
    "activation": lambda s: m.Network(m.Activation(jnp.sin, weight_scale=s), 5),
    "gelu": lambda s: m.Network(m.GELU(bias_scale=s), 5),
    "kinds": lambda s: m.Network((m.Cos(s), m.Tanh(s)), 4),
    "log-normal": lambda s: m.Network(m.Cos(), 5, shared_scale=m.LogNormalScale(s)),
    "length": lambda s: m.Network(m.Cos(), 5, shared_length=m.LogNormalLength(s)),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_gradient_in_a_scale(make):
    """Against a difference quotient at the same random numbers; the twin is that of twice the function."""
    with jax.enable_x64(True):
        slope = jax.grad(lambda s: square(make(s)))(0.8)
        step = 1e-5
        quotient = (square(make(0.8 + step)) - square(make(0.8 - step))) / (2 * step)
        assert slope == pytest.approx(float(quotient), rel=1e-6)
        assert slope != pytest.approx(2 * float(quotient), rel=1e-6)


def test_a_network_as_argument_is_compiled_once():
    compiled = []

    @jax.jit
    def field(network):
        compiled.append(network)
        return seed(network, KEY)(LINE)

    for s in (0.5, 0.9, 1.4):
        network = m.Network(m.Erf(s, 0.5), 5, "laplace", output_scale=s, output_bias=0.2, shared_scale=m.GammaScale(s))
        np.testing.assert_allclose(field(network), seed(network, KEY)(LINE), rtol=2e-5)
    assert len(compiled) == 1
    field(m.Network(m.Erf(0.5, 0.5), 6, "laplace", output_bias=0.2, shared_scale=m.GammaScale(0.5)))  # another width
    assert len(compiled) == 2


def test_a_bias_of_traced_scale_has_its_site():
    sites = []

    @jax.jit
    def draw(scale):
        record = trace(seed(m.Network(m.Erf(1.0, scale), 3, output_bias=scale), KEY)).get_trace(LINE)
        sites.append(set(record))
        return record["phi"]["value"]

    assert np.all(np.isfinite(draw(0.0)))
    assert sites == [{"neuron", "weight", "bias", "readout", "output_bias", "phi"}]


def test_what_is_not_traced_stays_as_it_was():
    network = m.Network(m.Erf(jnp.array(0.5), np.float64(0.25)), 5, output_scale=jnp.array(2.0))
    same = m.Network(m.Erf(0.5, 0.25), 5, output_scale=2.0)
    words = "Network( neuron=Erf(weight_scale=0.5, bias_scale=0.25), width=5, output_scale=2.0 )"
    assert " ".join(repr(network).split()) == " ".join(repr(same).split()) == words
    assert network == same
    assert hash(network) == hash(same)
    assert network != m.Network(m.Erf(0.5, 0.25), 6, output_scale=2.0)
    assert network != m.Network(m.Erf(0.5, 0.25), 5, "uniform", output_scale=2.0)
    assert pickle.loads(pickle.dumps(network)) == network
    np.testing.assert_allclose(m.exact(network, LINE).connected(2), m.exact(same, LINE).connected(2), rtol=0)
    first, second = (inf.Ensemble(n, points=LINE, n=5, key=KEY).read(0, 5) for n in (network, same))
    assert np.array_equal(first, second)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"expected weight_scale to be .* > 0, got -1\.0"):
        m.Cos(jnp.array(-1.0))
    with pytest.raises(ValueError, match=r"expected numbers for exact results, got traced ones .*try them outside jit"):
        jax.jit(lambda s: m.exact(m.Network(m.Cos(s), 5), LINE).connected(2))(1.0)
