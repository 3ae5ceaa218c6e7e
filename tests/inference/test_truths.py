"""Measured on drawn networks, G2 and G4c are the exact ones: every neuron, dimension, readout and width.

`agree` alarms falsely once in a million tests. Its twins hold the same measurement against the exact value of a network
that differs in one thing: a scale for G2, the law of the readout for G4c, the power of the width for both.
"""

from functools import cache

import jax
import numpy as np
import pytest

from nnft.inference import Ensemble, measure
from nnft.models import Cos, Erf, Gauss, Network, ReLU, Tanh, exact
from nnft.models.networks.readouts import READOUTS
from tests.statistics import agree, disagree

NEURONS = {  # each with a fault: the same neuron with an input weight that is wider by 15 %
    "cos": (Cos(), Cos(1.15)),
    "erf": (Erf(), Erf(1.15)),
    "gauss": (Gauss(bias_scale=0.3), Gauss(1.15, 0.3)),
    "relu": (ReLU(), ReLU(1.15)),
    "relu with bias": (ReLU(bias_scale=0.5), ReLU(1.15, 0.5)),
    "tanh": (Tanh(), Tanh(1.15)),
}
POINTS = {  # |x| <= 0.5, where the moments of the log-normal neuron can be measured
    1: np.array([[-0.5], [0.1], [0.4]]),
    2: np.array([[-0.3, 0.4], [0.1, 0.0], [0.2, -0.4]]),
    3: np.array([[-0.3, 0.2, 0.3], [0.1, 0.0, -0.2], [0.0, -0.3, 0.4]]),
}
SAMPLES = {1: 200_000, 5: 200_000, 100: 40_000}


@cache
def measured(name, d, width, readout="gaussian"):
    network = Network(NEURONS[name][0], width, readout)
    seed = 1000 * d + width + 7 * list(READOUTS).index(readout)
    ens = Ensemble(network, points=POINTS[d], n=SAMPLES.get(width, 200_000), key=jax.random.key(seed))
    return measure(ens, orders=(2, 4))


@pytest.mark.parametrize("width", [1, 5, 100])
@pytest.mark.parametrize("d", POINTS)
@pytest.mark.parametrize("name", NEURONS)
def test_two_and_four_point_functions_are_the_exact_ones(name, d, width):
    data = measured(name, d, width)
    truth = exact(Network(NEURONS[name][0], width), POINTS[d], orders=(2, 4))
    for order in (2, 4):
        value, expected, error = data.connected(order), truth.connected(order), data.error(order)
        # One rectifier without a bias is zero at x or at -x, in every network.
        never = error == 0.0
        assert np.all(value[never] == expected[never])
        assert not np.any(never) or (name, d, width) == ("relu", 1, 1)
        agree(value[~never], expected[~never], error[~never])


@pytest.mark.parametrize("d", POINTS)
@pytest.mark.parametrize("name", NEURONS)
def test_planted_fault_another_input_scale(name, d):
    fault = exact(Network(NEURONS[name][1], 5), POINTS[d], orders=(2,))
    data = measured(name, d, 5)
    disagree(data.connected(2), fault.connected(2), data.error(2))


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("name", ["cos", "relu"])
def test_four_point_functions_of_every_readout(name, readout):
    data = measured(name, 2, 2, readout)
    laws = {law: exact(Network(NEURONS[name][0], 2, law), POINTS[2], orders=(2, 4)) for law in READOUTS}
    agree(data.connected(4), laws[readout].connected(4), data.error(4))
    for other in set(READOUTS) - {readout}:  # the planted faults: same G2, another G4c
        agree(data.connected(2), laws[other].connected(2), data.error(2))
        disagree(data.connected(4), laws[other].connected(4), data.error(4))


@pytest.mark.parametrize("name", NEURONS)
def test_width_times_the_four_point_function_is_constant(name):
    narrow, wide = measured(name, 1, 1), measured(name, 1, 5)
    errors = (narrow.error(4), 5 * wide.error(4))
    agree(5 * wide.connected(4), narrow.connected(4), errors)
    disagree(5**2 * wide.connected(4), narrow.connected(4), (narrow.error(4), 25 * wide.error(4)))
    agree(wide.connected(2), narrow.connected(2), (narrow.error(2), wide.error(2)))
