"""A network is an ordinary NumPyro program: its sites, its laws, its scales, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import Predictive
from scipy import stats

from nnft.models import Cos, Erf, Gauss, Network, ReLU, Tanh
from nnft.models.networks.readouts import READOUTS
from nnft.models.refusals import nearest
from tests.statistics import agree, disagree

NEURONS = [Cos(), Erf(), Gauss(), ReLU(bias_scale=0.5), Tanh()]
ids = lambda value: type(value).__name__  # noqa: E731


def trace(network, points, seed=0):
    return handlers.trace(handlers.seed(network, jax.random.key(seed))).get_trace(points)


def points(d, count=3):
    return np.random.default_rng(d).normal(size=(count, d))


# ---- the program ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 784])
@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_sites_and_shapes_in_every_dimension(neuron, d):
    sites = trace(Network(neuron, 4, output_bias=0.2), points(d))
    assert sites["weight"]["value"].shape == (4, d)
    assert sites["readout"]["value"].shape == (4,)
    assert sites["output_bias"]["value"].shape == ()
    assert sites["phi"]["type"] == "deterministic"
    assert sites["phi"]["value"].shape == (3,)
    assert np.all(np.isfinite(sites["phi"]["value"]))
    assert {name for name, site in sites.items() if site["type"] == "plate"} == {"neuron"}


FUNCTIONS = {
    "Cos": lambda z, x: np.cos(z),
    "Erf": lambda z, x: np.vectorize(lambda t: 2 * stats.norm.cdf(np.sqrt(2) * t) - 1)(z),
    "ReLU": lambda z, x: np.where(z > 0, z, 0),
    "Tanh": lambda z, x: np.tanh(z),
    "Gauss": lambda z, x: np.exp(z - 1.0 - np.sum(x**2, axis=1) / x.shape[1]),
}


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_phi_is_the_stated_sum(neuron):
    """phi = N^(-1/2) sum_i W_i s_i + b1 from the values of the sites, in float64."""
    x, width = points(2), 5
    sites = trace(Network(neuron, width, output_scale=1.7, output_bias=0.4), x)
    value = {name: np.asarray(site["value"], dtype=float) for name, site in sites.items() if site["type"] != "plate"}
    z = value["weight"] @ x.T + value.get("phase", value.get("bias"))[:, None]
    sum_ = value["readout"] @ FUNCTIONS[type(neuron).__name__](z, x)
    np.testing.assert_allclose(value["phi"], 1.7 * sum_ / np.sqrt(width) + value["output_bias"], rtol=2e-5, atol=1e-6)


def test_no_site_is_drawn_for_a_scale_of_zero():
    sites = trace(Network(Erf(bias_scale=0.0), 3), points(1))
    assert set(sites) == {"neuron", "weight", "readout", "phi"}


# ---- what NumPyro does with it --------------------------------------------------------------------------------------


def test_conditioning_and_substituting_reach_the_field():
    network, x = Network(Cos(), 2), points(1)
    fixed = {
        "weight": jnp.array([[1.0], [2.0]]),
        "phase": jnp.array([0.0, 0.5]),
        "readout": jnp.array([1.0, -1.0]),
    }
    expected = (np.cos(x[:, 0]) - np.cos(2 * x[:, 0] + 0.5)) / np.sqrt(2)
    for handler in (handlers.condition, handlers.substitute):
        sites = trace(handler(network, data=fixed), x)
        np.testing.assert_allclose(sites["phi"]["value"], expected, rtol=1e-5, atol=1e-6)
    assert trace(handlers.condition(network, data=fixed), x)["readout"]["is_observed"]


def test_predictive_draws_networks():
    drawn = Predictive(Network(Erf(), 3, output_bias=0.1), num_samples=7)(jax.random.key(0), points(2))
    assert {name: value.shape for name, value in drawn.items()} == {
        "weight": (7, 3, 2),
        "bias": (7, 3),
        "readout": (7, 3),
        "output_bias": (7,),
        "phi": (7, 3),
    }


def test_a_plate_of_networks():
    """Inside a plate every site gains its axis, the output bias too."""

    def many(x):
        with numpyro.plate("network", 6, dim=-2):
            return Network(Tanh(), 3)(x)

    assert trace(many, points(1))["phi"]["value"].shape == (6, 3)


# ---- laws and scales ------------------------------------------------------------------------------------------------

LAWS = {
    "gaussian": stats.norm(),
    "uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
    "laplace": stats.laplace(scale=np.sqrt(0.5)),
}


@pytest.mark.parametrize("readout", LAWS)
def test_readout_weights_have_the_stated_law(readout):
    """Kolmogorov-Smirnov, false alarm 1e-6; the twin is the law of another readout."""
    drawn = np.asarray(trace(Network(Cos(), 20_000, readout), points(1))["readout"]["value"], dtype=float)
    assert stats.kstest(drawn, LAWS[readout].cdf).pvalue > 1e-6
    for other in set(LAWS) - {readout}:
        assert stats.kstest(drawn, LAWS[other].cdf).pvalue < 1e-6


def test_rademacher_weights_are_fair_signs():
    """Binomial, false alarm 1e-6; the twin is a coin of 0.55."""
    drawn = np.asarray(trace(Network(Cos(), 20_000, "rademacher"), points(1))["readout"]["value"])
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    heads = int(np.sum(drawn > 0))
    assert stats.binomtest(heads, 20_000, 0.5).pvalue > 1e-6
    assert stats.binomtest(heads, 20_000, 0.55).pvalue < 1e-6


@pytest.mark.parametrize("d", [1, 3, 784])
def test_the_pre_activation_has_the_published_variance(d):
    """Var W0.x = sW^2 |x|^2/d whatever the dimension; the twin forgets the 1/d, or at d = 1 doubles it."""
    x = points(d, 1)
    z = np.asarray(trace(Network(Cos(1.3), 20_000), x)["weight"]["value"], dtype=float) @ x[0]
    truth = 1.3**2 * np.sum(x**2) / d
    agree(np.mean(z**2), truth, np.std(z**2) / np.sqrt(len(z)))
    disagree(np.mean(z**2), truth * (d if d > 1 else 2), np.std(z**2) / np.sqrt(len(z)))


def test_the_tied_preset_shares_its_scales():
    network = Network.tied(Erf, 10, weight_scale=1.5, bias_scale=0.3)
    assert network == Network(Erf(1.5, 0.3), 10, output_scale=1.5, output_bias=0.3)


# ---- refusals -------------------------------------------------------------------------------------------------------


def unplated(x):
    """A neuron that forgets the axis of its plate."""
    return jnp.cos(jnp.sum(numpyro.sample("w", dist.Normal())) * x[:, 0])


BAD = {
    "width 0": (lambda: Network(Cos(), 0), r"expected width.*integer >= 1, got 0; try 100"),
    "width 1.5": (lambda: Network(Cos(), 1.5), r"expected width.*got 1.5"),
    "width True": (lambda: Network(Cos(), True), r"expected width.*got True"),
    "no neuron": (lambda: Network("cos", 3), r"expected a neuron.*got 'cos'; try Cos\(\)"),
    "readout": (lambda: Network(Cos(), 3, "gausian"), r"expected readout.*got 'gausian'; try 'gaussian'"),
    "output scale 0": (lambda: Network(Cos(), 3, output_scale=0.0), r"expected output_scale.*got 0.0; try"),
    "output bias": (lambda: Network(Cos(), 3, output_bias=float("nan")), r"expected output_bias.*got nan; try"),
    "weight scale": (lambda: Erf(weight_scale=-1.0), r"expected weight_scale to be .* > 0, got -1.0; try"),
    "weight scale 0": (lambda: Cos(0.0), r"expected weight_scale to be .* > 0, got 0.0; try"),
    "bias scale": (lambda: Gauss(bias_scale=float("inf")), r"expected bias_scale to be .* >= 0, got inf; try"),
    "bias scale text": (lambda: Gauss(bias_scale="a"), r"expected bias_scale to be .* got 'a'; try"),
    "flat points": (lambda: trace(Network(Cos(), 3), np.zeros(3)), r"expected points of shape.*got \(3,\); try"),
    "neuron's shape": (
        lambda: trace(Network(unplated, 4), points(1)),
        r"expected the neuron to return .* 4, 3\)",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_nearest_name():
    assert nearest("gausian", list(READOUTS)) == "gaussian"
    assert nearest("rademaker", READOUTS) == "rademacher"
    assert nearest("", ["only"]) == "only"
