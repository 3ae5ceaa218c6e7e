"""Networks that have learned: their limit N = infinity, what one of them does, and what is refused.

Reference numbers of an erf net, sW = 1, sb = .5, were made by scripts of their own (matrix exponentials, GP regression,
the tangent kernel written out), without this package.
"""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest

from nnft import models as m
from nnft.models.training.last_layer import progress
from nnft.models.training.lesson import Lesson, drawn
from tests.statistics import agree, disagree

X, Y = np.array([[-1.0], [0.6]]), np.array([1.0, -0.5])
NEW = np.array([[-0.2], [1.4]])
NET = m.Network(m.Erf(1.0, 0.5), 16)
NEAR = {"abs": 1e-8}


def trained(way, net=NET, inputs=X, targets=Y):
    return m.Trained(net, inputs, targets, way)


def numbers(limit, k=0):
    covariance = limit.covariance[k]
    return [*limit.mean[k], covariance[0, 0], covariance[0, 1], covariance[1, 1]]


@pytest.mark.parametrize(
    ("time", "known"),
    [
        (0.5, (0.08966198, -0.24477471, 0.18075962, 0.01985119, 0.36988181)),
        (2.0, (0.24861379, -0.64805727, 0.09015982, 0.02733275, 0.11484265)),
        (inf, (0.39804592, -0.88064963, 0.02688885, -0.0070768, 0.03899351)),
    ],
)
def test_the_last_layer_at_infinite_width(time, known):
    assert numbers(m.limit(trained(m.LastLayer((time,))), NEW)) == pytest.approx(known, **NEAR)


@pytest.mark.parametrize(
    ("noise", "known", "evidence"),
    [
        (0.1, (0.32737811, -0.76882944, 0.07979422, 0.01003591, 0.13249882), -2.05099222),
        (0.01, (0.38939758, -0.86829005, 0.0338156, -0.00444175, 0.05021799), -1.97409948),
    ],
)
def test_bayes_at_infinite_width(noise, known, evidence):
    limit = m.limit(trained(m.Bayes(noise)), NEW)
    assert numbers(limit) == pytest.approx(known, **NEAR)
    assert limit.evidence == pytest.approx(evidence, **NEAR)


def test_descent_at_infinite_width():
    fine = numbers(m.limit(trained(m.Descent(1e-7, (10**7,))), NEW))
    assert fine == pytest.approx((0.23950205, -0.66547301, 0.09302399, 0.02315495, 0.10157238), abs=3e-8)
    end = numbers(m.limit(trained(m.Descent(0.1, (10**4,))), NEW))
    assert end == pytest.approx((0.34352569, -0.87801203, 0.03043954, -0.00856148, 0.03994209), **NEAR)
    coarse = numbers(m.limit(trained(m.Descent(0.02, (50,))), NEW))  # its steps are not infinitely small, which is seen
    assert 1e-4 < abs(coarse[0] - fine[0]) < 2e-3


def test_tangent_kernel():
    c = 0.25 + X @ X.T
    v = np.diag(c)
    slope = 4 / np.pi / np.sqrt(np.outer(1 + 2 * v, 1 + 2 * v) - 4 * c**2)
    kernel = 2 / np.pi * np.arcsin(2 * c / np.sqrt(np.outer(1 + 2 * v, 1 + 2 * v)))
    assert m.tangent_kernel(NET, X) == pytest.approx(kernel + c * slope, abs=1e-9)
    deep = m.Deep.of(m.ReLU(2.0**0.5), 2, 50)
    theta = m.tangent_kernel(deep, X)  # of a homogeneous net T(x, x) = (L + 1) K(x, x)
    assert np.diag(theta) == pytest.approx(3.0 * np.diag(m.kernels(deep, X)[-1]), rel=1e-12)


def test_the_tangent_kernel_is_the_mean_of_that_of_networks():
    """<d phi/du . d phi/du>, at every width of one hidden layer; 200 networks with their errors, false alarms 6e-6."""
    x = jnp.asarray(X)

    def own(key, net):
        field = drawn(net, key, x)
        slopes = jax.jacrev(lambda u: field.at(u, x))(field.start)
        j = jnp.concatenate([s.reshape(2, -1) for s in slopes.values()], axis=1)
        return (j @ j.T)[jnp.triu_indices(2)]

    keys = jax.random.split(jax.random.key(1), 200)
    for net in (m.Network(m.Erf(1.0, 0.5), 50), m.Network(m.ReLU(1.3, 0.2), 50, output_bias=0.3)):
        found = np.asarray(jax.jit(jax.vmap(lambda key, net=net: own(key, net)))(keys))
        mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / len(keys) ** 0.5
        agree(mean, m.tangent_kernel(net, X)[np.triu_indices(2)], error)
        disagree(mean, m.exact(net, X, orders=(2,)).connected(2), error)  # the readout alone


def one(way, key=3, points=NEW, net=NET):
    with jax.enable_x64(True):
        return np.asarray(numpyro.handlers.seed(trained(way, net), jax.random.key(key))(points))


def test_the_last_layer_is_where_small_steps_of_its_readout_lead():
    closed = one(m.LastLayer((0.0, 1.0, 2.0)))
    steps = one(m.Descent(1e-3, (0, 1000, 2000), sites=("readout",)))
    assert steps.tolist() == pytest.approx(closed, abs=1e-3)
    assert np.any(np.abs(closed[:, 2] - closed[:, 0]) > 0.1)
    everything = one(m.Descent(1e-3, (0, 1000, 2000)))
    assert everything[:, 0] == pytest.approx(closed[:, 0], abs=1e-12)  # the same network at the start
    assert np.any(np.abs(everything[:, 2] - closed[:, 2]) > 1e-2)


def test_the_end_of_training_goes_through_the_data():
    assert one(m.LastLayer((inf,)), points=X) == pytest.approx(Y, abs=1e-10)
    assert one(m.Descent(0.1, (3000,)), points=X) == pytest.approx(Y, abs=1e-6)


def test_more_samples_than_neurons_stop_where_the_residual_is_orthogonal():
    net, inputs = m.Network(m.Erf(1.0, 0.5), 3), np.linspace(-1, 1, 7)[:, None]
    targets = np.sin(3.0 * inputs[:, 0])
    with jax.enable_x64(True):
        model = m.Trained(net, inputs, targets, m.LastLayer((inf,)))
        phi = np.asarray(numpyro.handlers.seed(model, jax.random.key(1))(inputs + 1e-9))
        field = drawn(net, jax.random.split(jax.random.key(1))[0], jnp.asarray(inputs))
    assert np.all(np.isfinite(phi))
    assert np.mean((phi - targets) ** 2) < np.mean(targets**2)
    assert sorted(field.start) == ["bias", "readout", "weight"]


def test_kernels_of_what_moves():
    """With an output bias b the readout alone has K - b^2, Bayes infers b too, and all parameters have T."""
    net = m.Network(m.Erf(1.0, 0.5), 16, output_bias=0.7)
    both = np.concatenate([NEW, X])
    k = m.exact(net, both, orders=(2,)).tensor(2)
    prior, moving = k[2:, 2:] + 0.1 * np.eye(2), k - 0.49
    assert m.limit(trained(m.Bayes(0.1), net), NEW).mean[0] == pytest.approx(k[:2, 2:] @ np.linalg.solve(prior, Y))
    last = m.limit(trained(m.LastLayer((inf,)), net), NEW)
    assert last.mean[0] == pytest.approx(moving[:2, 2:] @ np.linalg.solve(moving[2:, 2:], Y))
    only = m.limit(trained(m.Descent(0.1, (10**5,), sites=("readout",)), net), NEW)
    assert only.mean[0] == pytest.approx(last.mean[0], abs=1e-9)
    everything = m.limit(trained(m.Descent(0.1, (10**5,)), net), NEW)
    assert np.all(np.abs(everything.mean[0] - last.mean[0]) > 1e-3)


def test_progress():
    level = jnp.array([0.0, 1e-9, 0.5, 2.0])
    assert progress(level, inf).tolist() == pytest.approx([0.0, 0.0, 2.0, 0.5])
    assert progress(level, 3.0).tolist() == pytest.approx([3.0, 3.0, 2 * (1 - np.exp(-1.5)), (1 - np.exp(-6)) / 2])


def test_minibatches_and_optimisers():
    full = one(m.Descent(0.02, (60,)))
    batches = one(m.Descent(0.02, (60,), batch=1))
    assert np.all(np.abs(batches - full) < 0.2)
    assert np.any(np.abs(batches - full) > 1e-4)
    adam = one(m.Descent(0.02, (400,), optimiser=optax.adam), points=X)
    assert adam == pytest.approx(Y, abs=1e-3)
    huge = one(m.Descent(0.02, (0, 400), loss=lambda phi, y: jnp.sum(jnp.abs(phi - y)) + 0.0))
    assert np.any(np.abs(huge[:, 1] - huge[:, 0]) > 1e-2)


def test_a_way_of_ones_own():
    class Frozen(m.AbstractWay):
        times = (1.0,)

        def learn(self, field, lesson, points, key):
            assert isinstance(lesson, Lesson)
            return field.at(field.start, points)[None]

        def kernel(self, kernels):
            return kernels.start

        def response(self, kernel, time):
            return jnp.zeros_like(kernel)

    start = one(m.LastLayer((0.0,)))
    assert one(Frozen()) == pytest.approx(start, abs=1e-12)
    limit = m.limit(trained(Frozen()), NEW)
    assert limit.covariance[0] == pytest.approx(m.exact(NET, NEW, orders=(2,)).tensor(2), abs=1e-12)


def discrete(points):
    k = numpyro.sample("k", numpyro.distributions.Poisson(3.0))
    return numpyro.deterministic("phi", k * jnp.ones(len(points)))


def shifted(points):
    w = numpyro.sample("readout", numpyro.distributions.Normal(0.3, 1.0).expand([4]).to_event(1))
    return numpyro.deterministic("phi", jnp.tanh(points @ jnp.ones((points.shape[1], 4))) @ w)


def two_numbers(points):
    w = numpyro.sample("readout", numpyro.distributions.Normal(0.0, 1.0).expand([2]).to_event(1))
    return numpyro.deterministic("phi", jnp.tanh(points) * w)


def checked(way, net=NET):
    trained(way, net).check(NEW, jax.random.key(0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: trained("sgd"), "m.LastLayer"),
        (lambda: trained(m.LastLayer((2.0,)), targets=Y[:1]), "a target for each of 2 inputs"),
        (lambda: trained(m.LastLayer((2.0,)), targets=Y[:, None]), r"y\[:, 0\]"),
        (lambda: trained(m.LastLayer((2.0,)), inputs=X[:, 0]), r"x\[:, None\]"),
        (lambda: trained(m.LastLayer((2.0,)), inputs=X[[0, 0]]), "distinct points"),
        (lambda: trained(m.LastLayer((2.0,)), targets=[1.0, np.nan]), "finite targets"),
        (lambda: trained(m.LastLayer((2.0,)), net=m.Multiplet.of(m.Erf(), 8, m.Copies(2))), "one output"),
        (lambda: m.LastLayer(()), "times >= 0"),
        (lambda: m.LastLayer((2.0, 1.0)), "ascending"),
        (lambda: m.LastLayer((-1.0,)), "times >= 0"),
        (lambda: m.Bayes(0.0), "noise"),
        (lambda: m.Descent(0.0, 10), "rate"),
        (lambda: m.Descent(0.1, -1), "steps"),
        (lambda: m.Descent(0.1, 10, batch=0), "batch"),
        (lambda: m.Descent(0.1, 10, optimiser=0.1), "optax"),
        (lambda: one(m.Descent(0.1, 10, batch=5)), "at most 2 samples"),
        (lambda: one(m.Descent(0.1, 10, sites=("weights",))), "sites among"),
        (lambda: one(m.LastLayer((1.0,)), points=np.zeros((3, 2))), "as the inputs it learned at"),
        (lambda: one(m.Descent(0.1, 10), net=discrete), "a continuous law"),
        (
            lambda: one(m.Descent(0.1, 10), net=m.FromKey(lambda key, x: jax.random.normal(key, (len(x),)))),
            "training inside the function of m.FromKey",
        ),
        (lambda: m.limit(NET, NEW), "m.Trained"),
        (lambda: checked(m.LastLayer((1.0,), sites=("readout", "weight"))), "linear in readout, weight"),
        (lambda: checked(m.LastLayer((1.0,), sites=("w",))), "parameters"),
        (lambda: checked(m.Bayes(0.1), m.Network(m.Erf(), 8, "laplace")), "Gaussian about zero"),
        (lambda: checked(m.Bayes(0.1), shifted), "Gaussian about zero"),
        (lambda: checked(m.LastLayer((1.0,)), two_numbers), "one number an input"),
        (lambda: m.limit(trained(m.Descent(0.1, 5, sites=("weight",))), NEW), "the readout alone"),
        (lambda: m.limit(trained(m.LastLayer((1.0,), sites=("weight",))), NEW), "whose kernel is known"),
        (lambda: m.limit(trained(m.Descent(2.0, (10,))), NEW), "a rate below 2/"),
        (lambda: m.limit(trained(m.Descent(0.1, (10,), optimiser=optax.adam)), NEW), "plain gradient descent"),
        (lambda: m.limit(trained(m.Descent(0.1, (10,)), net=m.Network(m.Cos(), 9)), NEW), "Cos"),
        (lambda: m.limit(trained(m.LastLayer((1.0,)), net=discrete), NEW), "m.Network"),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
