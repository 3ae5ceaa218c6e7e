"""Ensembles of trained networks against numbers by other hands: cumulants of all orders at finite width.

References: 4e5 networks of N = 16 whose readout was integrated out, and 2e5 trained by gradient descent, by scripts of
their own; value(one standard error).
"""

from math import inf as end

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X, Y = np.array([[-1.0], [0.6]]), np.array([1.0, -0.5])
NEW = np.array([[-0.2], [1.4]])
ONE = {1: (0, 1), 2: (0, 2), 3: (0, 3), 4: (0, 4)}  # components of one point


def ensemble(way, n, width=16, points=NEW, seed=7):
    net = m.Trained(m.Network(m.Erf(1.0, 0.5), width), X, Y, way)
    return inf.Ensemble(net, points=points, n=n, key=jax.random.key(seed))


def one_point(data):
    """Cumulants 1 to 4 at both points, and their errors."""
    return [np.array([f(r)[list(ONE[r])] for r in range(1, 5)]) for f in (data.connected, data.error)]


LAST = {
    2.0: (
        ((0.24305, -0.63683), (0.090357, 0.117362), (-0.000570, 0.005390), (0.001114, 0.002713)),
        ((12e-5, 20e-5), (26e-6, 50e-6), (7e-6, 20e-6), (3e-6, 10e-6)),
    ),
    end: (
        ((0.39869, -0.88982), (0.028993, 0.039995), (0.000982, -0.000364), (0.000560, 0.000348)),
        ((10e-5, 10e-5), (30e-6, 30e-6), (5e-6, 5e-6), (2e-6, 2e-6)),
    ),
}


@pytest.mark.parametrize("time", LAST)
def test_cumulants_of_the_last_layer(time):
    """False alarms: 2e-6 a test; with Gaussian k4 in place of the measured one it must fail."""
    data = inf.measure(ensemble(m.LastLayer((time,)), 200_000), orders=(1, 2, 3, 4))
    value, error = one_point(data)
    known, its_error = map(np.array, LAST[time])
    agree(value, known, (error, its_error))
    gaussian = known.copy()
    gaussian[2:] = 0.0
    disagree(value, gaussian, (error, its_error))


@pytest.mark.parametrize("time", LAST)
def test_the_readout_integrated_out(time):
    """The same numbers from hidden layers alone, with errors ten times smaller; false alarms 2e-6."""
    ens = ensemble(m.LastLayer((0.0, time)), 50_000)
    value, error = one_point(inf.measure_mixture(ens, 1))
    known, its_error = map(np.array, LAST[time])
    agree(value, known, (error, its_error))
    disagree(one_point(inf.measure_mixture(ens, 0))[0], known, (error, its_error))
    exact = m.exact(m.Network(m.Erf(1.0, 0.5), 16), NEW, orders=(2, 4))
    start = inf.measure_mixture(ens, 0)
    agree(start.connected(4), exact.connected(4), start.error(4))
    assert np.all(start.connected(1) == 0.0)


def test_cumulants_of_gradient_descent():
    data = inf.measure(ensemble(m.Descent(0.02, (50,)), 100_000), orders=(1, 2, 3, 4))
    value, error = one_point(data)
    known = np.array([[0.2369, -0.6617], [0.0909, 0.1061], [0.0001, 0.0034], [0.00147, 0.00096]])
    its_error = np.array([[7e-4, 7e-4], [2e-4, 3e-4], [2e-4, 2e-4], [1.2e-4, 1.3e-4]])
    agree(value, known, (error, its_error))
    start = inf.measure(ensemble(m.Descent(0.02, (0,)), 100_000), orders=(1, 2, 3, 4))
    disagree(one_point(start)[0], known, (one_point(start)[1], its_error))


def test_wide_networks_follow_the_limit():
    """At N = 256 the limit is off by less than a tenth of these errors (.04/N of the mean); false alarms 2e-6."""
    ens = ensemble(m.Descent(0.05, (20,)), 4000, width=256)
    data, limit = inf.measure(ens, orders=(1, 2)), m.limit(ens.model, NEW)
    agree(data.connected(1), limit.mean[0], data.error(1))
    agree(data.connected(2), limit.covariance[0][np.triu_indices(2)], data.error(2))
    lazy = m.limit(ensemble(m.LastLayer((1.0,)), 1, width=256).model, NEW)
    disagree(data.connected(1), lazy.mean[0], data.error(1))


def test_bayes_weighs_hidden_layers_by_their_evidence():
    """Wide networks have the posterior of the Gaussian process, at N = 300 to a sixth of these errors (.03/N); narrow
    ones another. An output bias is inferred with the rest: with weights that forget it the mean is wrong.
    """
    for width, bias, same in ((300, 0.0, agree), (300, 0.7, agree), (4, 0.0, disagree)):
        net = m.Network(m.Erf(1.0, 0.5), width, output_bias=bias)
        ens = inf.Ensemble(
            m.Trained(net, X, Y, m.Bayes(0.1)), points=NEW, n=60_000 if width < 99 else 10_000, key=jax.random.key(7)
        )
        assert ens.weighted
        data, limit = inf.measure(ens, orders=(1, 2)), m.limit(ens.model, NEW)
        same(data.connected(2), limit.covariance[0][np.triu_indices(2)], data.error(2))
        if bias:
            agree(data.connected(1), limit.mean[0], data.error(1))
            fixed = m.limit(m.Trained(net, X, Y, m.LastLayer((end,))), NEW)  # b stays as it was drawn
            disagree(data.connected(1), fixed.mean[0], data.error(1))


def test_a_chain_over_all_parameters_has_the_same_posterior():
    """NUTS over hidden layers and readout against hidden layers weighted by their evidence; false alarms 2e-6."""
    net = m.Trained(m.Network(m.Erf(1.0, 0.5), 4), X, Y, m.Bayes(0.1))
    chain = inf.measure(inf.sample_posterior(net, NEW, key=jax.random.key(3), draws=500, warmup=500), orders=(1, 2))
    weighted = inf.measure(inf.Ensemble(net, points=NEW, n=100_000, key=jax.random.key(1)), orders=(1, 2))
    process = m.limit(net, NEW)
    for order in (1, 2):
        agree(chain.connected(order), weighted.connected(order), (chain.error(order), weighted.error(order)))
    disagree(chain.connected(2), process.covariance[0][np.triu_indices(2)], chain.error(2))  # N = 4 is not infinity


def test_times_are_outputs_of_one_network():
    way = m.LastLayer((0.0, 2.0))
    both = ensemble(way, 5000)
    assert both.outputs == 2
    fields = both.read(0, 100).reshape(100, 2, 2)
    for k, time in enumerate(way.times):
        alone = ensemble(m.LastLayer((time,)), 5000).read(0, 100)
        assert np.allclose(fields[:, :, k], alone, atol=2e-5)
    data = inf.measure(both, orders=(1, 2))
    across = data.tensor(2).reshape(2, 2, 2, 2)
    assert across[0, 0, 0, 1] > 0.5 * across[0, 0, 0, 0]  # the trained field remembers where it began


def test_a_deep_network_learns():
    net = m.Trained(m.Deep.of(m.Tanh(), 2, 8), X, Y, m.Descent(0.05, (200,)))
    fields = inf.Ensemble(net, points=X + 1e-9, n=64, key=jax.random.key(1)).read(0, 64)
    assert np.max(np.abs(fields - Y)) < 0.1


def test_losses_say_where_a_network_diverges():
    ens = ensemble(m.Descent(4.0, (300,)), 2000)
    with pytest.raises(ValueError, match=r"network \d+ at point \d; try a rate below 4; inf.losses"):
        inf.measure(ens)
    loss = inf.losses(ens, range(20))
    assert loss.shape == (20, 300)
    bad = ~np.isfinite(ens.read(0, 20)).all(axis=1)
    assert np.any(bad)
    step = np.argmax(~np.isfinite(loss), axis=1)
    assert np.all(step[bad] > 0)  # where each of them was lost
    assert np.all(np.isfinite(loss[~bad][:, :-1]))
    calm = inf.losses(ensemble(m.Descent(0.05, (100,)), 2000), [0, 1, 2])
    assert np.all(np.diff(calm, axis=1) < 1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: inf.losses(ensemble(m.LastLayer((1.0,)), 100)), "trained step by step"),
        (lambda: inf.losses(ensemble(m.Descent(0.1, (3,)), 100), [100]), "below n = 100"),
        (lambda: inf.losses(ensemble(m.Descent(0.1, (3,)), 100), 3), "numbers of networks"),
        (lambda: inf.measure_mixture(ensemble(m.Descent(0.1, (3,)), 2000)), "readout has learned"),
        (lambda: inf.measure_mixture(ensemble(m.LastLayer((1.0,)), 2000), 1), "one of 1 times"),
        (
            lambda: inf.measure_mixture(
                inf.Ensemble(
                    m.Trained(m.Network(m.Erf(), 8, "laplace"), X, Y, m.LastLayer((1.0,))),
                    points=NEW,
                    n=2000,
                    key=jax.random.key(0),
                )
            ),
            "Gaussian about zero",
        ),
        (lambda: ensemble(m.LastLayer((1.0,), sites=("weight",)), 9), "linear in weight"),
        (lambda: inf.sample_posterior(ensemble(m.LastLayer((1.0,)), 9).model, NEW, key=jax.random.key(0)), "m.Bayes"),
        (lambda: inf.sample_posterior(ensemble(m.Bayes(0.1), 9).model, NEW, key=jax.random.key(0), chains=1), "chains"),
        (
            lambda: inf.fit(ensemble(m.LastLayer((end,)), 3000, points=X), m.Constant(), key=jax.random.key(0)),
            "Gram matrix can be inverted|varies at every point",
        ),
        (
            lambda: inf.fit(ensemble(m.LastLayer((1.0,)), 3000), m.FullQuartic(), key=jax.random.key(0)),
            "odd correlators",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
