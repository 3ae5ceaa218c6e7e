"""What a stranger writes wrongly is answered: what was expected, what came, what to try. Recipes are portable."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

POINTS = np.array([[-0.5], [0.1], [0.4]])
ARRAY = np.random.default_rng(0).normal(size=(2000, 3))
KEY = jax.random.key(0)


def ensemble(model, n=2000):
    return inf.Ensemble(model, points=POINTS, n=n, key=KEY)


def weight():
    return numpyro.sample("w", dist.Normal().expand([1]).to_event(1))


def bias():
    return numpyro.sample("b", dist.Normal())


NEURONS = {
    "one number a neuron": lambda x: bias(),
    "a bias that is not turned": lambda x: jnp.cos(weight() @ x.T + bias()),
    "points first": lambda x: jnp.cos(x @ weight().T),
    "a weight that is not turned": lambda x: jnp.cos(weight() @ x),
    "no array": lambda x: [weight() @ x.T],
    "nothing": lambda x: None,
}


@pytest.mark.parametrize("width", [20, 3])
@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_of_the_wrong_shape_is_told_which(name, width):
    """Width 3 at 3 points: a bias along the points broadcasts, and would be a wrong number."""
    with pytest.raises(ValueError, match=r"expected the neuron to return \(\.\.\., width, point\).*, got .*; try "):
        ensemble(m.Network(NEURONS[name], width))


@pytest.mark.parametrize("width", [20, 3])
def test_a_neuron_of_the_right_shape_is_taken(width):
    assert ensemble(m.Network(lambda x: jnp.cos(weight() @ x.T + bias()[..., None]), width)).read(0, 2).shape == (2, 3)


def test_an_error_of_the_neuron_itself_is_left_alone():
    def faulty(x):
        raise ValueError("my own words")

    with pytest.raises(ValueError, match=r"^my own words"):
        ensemble(m.Network(faulty, 5))


def constant(points):
    numpyro.sample("w", dist.Normal())
    numpyro.deterministic("phi", 1.0 + points[:, 0])


def seeded(points):
    with handlers.seed(rng_seed=3):
        w = numpyro.sample("w", dist.Normal().expand([5]).to_event(1))
    numpyro.deterministic("phi", jnp.cos(w[:, None] * points[:, 0]).sum(axis=0))


@pytest.mark.parametrize("model", [constant, seeded])
@pytest.mark.parametrize("space", ["field", None])
def test_networks_that_do_not_differ_are_refused(model, space):
    with pytest.raises(
        ValueError, match=r"expected networks that differ.*the same field from every key.*; try numpyro"
    ):
        inf.measure(ensemble(model), space=space)


SAMPLES = inf.Samples(ARRAY, POINTS)
WORDS = {
    "measure an array": (
        lambda: inf.measure(ARRAY),
        r"expected an inf\.Ensemble or inf\.Samples, got an array of shape",
    ),
    "measure twice": (
        lambda: inf.measure(inf.measure(SAMPLES)),
        r"got Correlators, which are measured.*; try inf\.fit",
    ),
    "measure a network": (lambda: inf.measure(m.Network(m.Cos(), 5)), r"got Network\(.*; try inf\.Ensemble"),
    "fit an array": (
        lambda: inf.fit(ARRAY, m.Bilocal(), key=KEY),
        r"got an array of shape \(2000, 3\); try inf\.Samples",
    ),
    "fit a number": (lambda: inf.fit(SAMPLES, m.Bilocal(), key=0), r"expected one key .*, got 0; try key=jax\.random"),
    "few of an array": (lambda: inf.few_networks(ARRAY, key=KEY), r"expected an inf\.Ensemble or inf\.Samples"),
    "few of a number": (lambda: inf.few_networks(SAMPLES, key=3), r"expected one key .*, got 3; try key=jax\.random"),
    "diagnose correlators": (
        lambda: an.diagnose(inf.measure(SAMPLES)),
        r"expected a fit, the tree that inf\.fit returns, got Correlators; try",
    ),
    "plot correlators": (lambda: an.plot_couplings(inf.measure(SAMPLES)), r"expected a fit, .*, got Correlators; try"),
    "a class": (lambda: m.Network(m.Cos, 20), r"expected a neuron, got the class Cos itself; try Cos\(\)"),
    "a class among neurons": (lambda: m.Network((m.Cos(), m.Erf), 20), r"got the class Erf itself; try Erf\(\)"),
}


@pytest.mark.parametrize(("call", "message"), WORDS.values(), ids=WORDS)
def test_a_first_mistake_is_answered(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_setting_is_told_the_nearest_three():
    with pytest.raises(
        ValueError, match=r"one of \d+ settings, the nearest being (\w+, ){2}\w+, got 'wdith'; try 'width'"
    ):
        an.Study.of({"wdith": 3})


def test_recipes_and_correlators_travel():
    """The same networks to the last bit after pickle, drawn before or not; the twin has another key."""
    ens = ensemble(m.Network(m.Cos(), 5))
    fields = ens.read(0, 10)
    data = inf.measure(ens, orders=(2,))
    for travel in (lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy):
        np.testing.assert_array_equal(travel(ens).read(0, 10), fields)
        other = travel(data)
        np.testing.assert_array_equal(other.connected(2), data.connected(2))
        np.testing.assert_array_equal(other.error(2), data.error(2))
        np.testing.assert_array_equal(other.source.read(0, 10), fields)
    twin = inf.Ensemble(ens.model, points=POINTS, n=2000, key=jax.random.key(1))
    assert np.any(pickle.loads(pickle.dumps(twin)).read(0, 10) != fields)
