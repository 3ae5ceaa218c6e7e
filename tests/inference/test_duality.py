"""The duality: averages over neurons give the correlators of the fields, with errors that are right and far smaller.

`agree` alarms falsely once in a million tests; its twin holds the same numbers against a network that differs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft.inference import Ensemble, Samples, measure
from nnft.models import Cos, Erf, GammaScale, Gauss, Network, ReLU, ScalarMode, Tanh, exact
from nnft.models.combinatorics import connected_from_moments, moment_jacobian, moments_from_connected, sorted_tuples
from nnft.models.networks.readouts import READOUTS
from tests.statistics import agree, disagree

POINTS = np.array([[-0.5], [0.1], [0.4]])
PLANE = np.array([[-0.3, 0.4], [0.1, 0.0], [0.2, -0.4]])
NEURONS = {"cos": Cos(), "erf": Erf(), "gauss": Gauss(bias_scale=0.3), "relu": ReLU(bias_scale=0.5), "tanh": Tanh()}


def ensemble(network, points=PLANE, n=40_000, seed=5):
    return Ensemble(network, points=points, n=n, key=jax.random.key(seed))


@pytest.mark.parametrize("space", ["neuron", "readout"])
@pytest.mark.parametrize("name", NEURONS)
def test_either_space_is_exact_on_average(name, space):
    network = Network(NEURONS[name], 7, output_scale=1.3, output_bias=0.4)
    data, truth = measure(ensemble(network), space=space), exact(network, PLANE)
    other = exact(Network(NEURONS[name], 21, output_scale=1.3, output_bias=0.4), PLANE)
    assert data.about["space"] == space
    for order in truth.orders:
        agree(data.connected(order), truth.connected(order), data.error(order))
        agree(data.moment(order), truth.moment(order), data.error(order, "moment"))
    disagree(data.connected(4), other.connected(4), data.error(4))


@pytest.mark.parametrize("readout", READOUTS)
def test_neuron_space_takes_every_readout(readout):
    network = Network(Cos(), 50, readout)
    data, truth = measure(ensemble(network, POINTS), space="neuron"), exact(network, POINTS)
    for order in (2, 4, 6):
        agree(data.connected(order), truth.connected(order), data.error(order))
    for law in set(READOUTS) - {readout}:
        disagree(data.connected(4), exact(Network(Cos(), 50, law), POINTS).connected(4), data.error(4))


@pytest.mark.parametrize("space", ["neuron", "readout"])
def test_errors_are_those_of_repeated_experiments(space):
    """48 experiments: the standard deviation over them against the stated error, to five of its own errors."""
    network = Network(Erf(), 20)
    data = [measure(ensemble(network, POINTS, 4000, seed), space=space, orders=(2, 4)) for seed in range(48)]
    for order in (2, 4):
        spread = np.std([d.connected(order) for d in data], axis=0, ddof=1)
        stated = np.sqrt(np.mean([d.error(order) ** 2 for d in data], axis=0))
        agree(spread / stated, 1.0, 1.5 / np.sqrt(2 * 47))  # 1.5: fourth moments of the estimates
        disagree(2 * spread / stated, 1.0, 1.5 / np.sqrt(2 * 47))


def test_the_difference_to_the_exact_one_is_zero_in_the_full_covariance():
    """p uniform: below 1e-6 once in a million; the twin forgets the output bias."""
    network = Network(Erf(), 20, output_bias=0.5)
    data = measure(ensemble(network), space="neuron", orders=(2, 4))
    assert (data - exact(network, PLANE)).chi2().p > 1e-6
    assert (data - exact(Network(Erf(), 20), PLANE)).chi2().p < 1e-6


def test_the_variance_falls_like_the_square_of_the_width():
    """Variance of G4c at equal numbers, field over readout-integrated: times 100 at ten times the width, within 2."""
    ratios = []
    for width in (20, 200):
        ens = ensemble(Network(Erf(), width), POINTS, 20_000)
        field, hidden = (measure(ens, space=space, orders=(2, 4)) for space in ("field", "readout"))
        ratios.append(np.mean((field.error(4) / hidden.error(4)) ** 2))
    assert ratios[0] > 100
    assert 50 < ratios[1] / ratios[0] < 200


def test_an_amplitude_is_integrated_out_without_bias():
    """Over all samples of n = 4 from a law on two values the k-statistic of W s, from moments of s, is exact."""
    s, chance, n = np.array([-1.0, 2.0]), np.array([0.3, 0.7]), 4
    law = (1.0, 0.0, 1.3, 0.0, 4.0)  # E W^k, with W even
    truth = 4.0 * chance @ s**4 - 3 * (1.3 * chance @ s**2) ** 2
    mean = plugged = 0.0
    for index in np.ndindex(*[2] * n):
        weight = np.prod(chance[list(index)])
        moments = {r: np.array([np.mean(s[list(index)] ** r)]) for r in (2, 4)}
        mean += weight * connected_from_moments(moments, 1, 4, n=n, even=True, law=law)[0]
        plugged += weight * connected_from_moments(moments, 1, 4, even=True, law=law)[0]
    assert mean == pytest.approx(truth, rel=1e-12)
    assert abs(plugged - truth) > 0.1  # the planted fault


def test_the_slopes_of_moments():
    """Central differences of a polynomial of degree three, at two points."""
    draw = np.random.default_rng(3)
    connected = {r: draw.normal(size=len(sorted_tuples(2, r))) for r in (2, 4, 6)}
    slopes = moment_jacobian(connected, 2, 6)
    for order in (2, 4, 6):
        for k in range(len(connected[order])):
            shifted = [dict(connected), dict(connected)]
            for sign, table in zip((1e-3, -1e-3), shifted, strict=True):
                table[order] = connected[order] + sign * np.eye(len(connected[order]))[k]
            up, down = (moments_from_connected(table, 2, 6) for table in shifted)
            np.testing.assert_allclose(slopes[order].toarray()[:, k], (up - down) / 2e-3, rtol=1e-4, atol=1e-4)


def test_points_may_come_in_any_order():
    network = Network(Tanh(), 5)
    straight = measure(ensemble(network, POINTS, 2000), space="readout", orders=(4,)).tensor(4)
    for order in ((1, 2, 0), (0, 2, 1)):
        turned = measure(ensemble(network, POINTS[list(order)], 2000), space="readout", orders=(4,)).tensor(4)
        np.testing.assert_allclose(turned, straight[np.ix_(*[order] * 4)], rtol=1e-4, atol=1e-6)


def foreign(points):
    w = numpyro.sample("w", dist.Normal())
    numpyro.deterministic("phi", jnp.cos(w * points[:, 0]))


SAMPLE = Samples(np.random.default_rng(0).normal(size=(2000, 3)), POINTS)
NET = Network(Cos(), 5)
SHARED = Network(Cos(), 5, shared_scale=GammaScale(0.2))
BAD = {
    "no such space": (ensemble(NET), {"space": "neurons"}, r"expected space among .*got 'neurons'; try 'neuron'"),
    "samples": (SAMPLE, {"space": "neuron"}, r"got samples: they are samples.*; try space='field'"),
    "a foreign model": (
        ensemble(foreign, POINTS),
        {"space": "readout"},
        r"allows space='readout', got foreign: its field is linear in no Gaussian site.*; try space='field'",
    ),
    "uniform readout": (
        ensemble(Network(Cos(), 5, "uniform")),
        {"space": "readout"},
        r"got Network: its field is linear in no Gaussian site.*; try space='neuron'",
    ),
    "shared latent": (ensemble(SHARED), {"space": "neuron"}, r"its site 'scale' lies outside the plate 'neuron'"),
    "odd": (
        ensemble(NET),
        {"space": "neuron", "orders": (3,)},
        r"expected orders among \(2, 4, 6\).*got 3; .*try orders=\(2, 4\)",
    ),
    "few": (ensemble(NET, n=10), {"space": "neuron"}, r"expected at least 1000 draws.*got 10; try n="),
}


@pytest.mark.parametrize(("source", "options", "message"), BAD.values(), ids=BAD)
def test_what_the_structure_forbids_is_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        measure(source, **options)


def test_the_log_normal_amplitude_is_integrated_out():
    """At bias_scale = 1 no sample of networks finds <phi^6>; with exp(b0) known exactly 2e4 neurons give it."""
    network, near = Network(Gauss(), 1000, "laplace"), 0.3 * POINTS
    data, truth = measure(ensemble(network, near, 20_000), space="neuron"), exact(network, near)
    for order in (2, 4, 6):
        agree(data.connected(order), truth.connected(order), data.error(order))
        assert np.all(data.error(order) < 0.2 * np.abs(truth.connected(order)))
    other = exact(Network(Gauss(bias_scale=0.95), 1000, "laplace"), near)
    disagree(data.connected(6), other.connected(6), data.error(6))
    assert "<phi^12>" in measure(ensemble(network, near, 20_000)).refused[6]


def test_a_tail_of_the_input_weight_is_still_refused():
    data = measure(ensemble(Network(Gauss(), 10), np.array([[3.0], [4.0]]), 2000), space="neuron")
    assert "<phi^12>" in data.refused[6]


# ---- the table: every net, readout and dimension in neuron and readout space ----------------------------------------

DIMENSIONS = {d: np.random.default_rng(d).uniform(-0.6, 0.6, size=(3, d)) for d in (1, 2, 3)}
TABLE = NEURONS | {"scalar": ScalarMode()}


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("name", TABLE)
def test_makers_agree_for_every_net_readout_and_dimension(name, d):
    """Neuron and readout space against the exact one and each other, at orders 2 and 4; the twins are other readouts.

    False alarm 1e-6 each; the readouts share the neurons drawn, so that one compilation serves them all.
    """
    points = DIMENSIONS[d]
    measured = {}
    for readout in READOUTS:
        network = Network(TABLE[name], 9, readout, output_bias=0.3)
        measured[readout] = measure(ensemble(network, points, 20_000), space="neuron", orders=(2, 4))
    for readout, data in measured.items():
        truth = exact(Network(TABLE[name], 9, readout, output_bias=0.3), points, orders=(2, 4))
        for order in (2, 4):
            agree(data.connected(order), truth.connected(order), data.error(order))
        disagree(
            measured["rademacher" if readout != "rademacher" else "gaussian"].connected(4),
            truth.connected(4),
            data.error(4),
        )
    network = Network(TABLE[name], 9, output_bias=0.3)
    hidden = measure(ensemble(network, points, 20_000, seed=8), space="readout", orders=(2, 4))
    neurons = measured["gaussian"]
    for order in (2, 4):
        agree(hidden.connected(order), neurons.connected(order), (hidden.error(order), neurons.error(order)))
    assert (hidden - neurons).chi2().p > 1e-6
    disagree(hidden.connected(4), 9 * neurons.connected(4), (hidden.error(4), 9 * neurons.error(4)))
