"""One device or two: the same networks, the same sums over them, the same averages over neurons.

A process fixes its devices when JAX starts, so two are started, side by side, and print what they found.
"""

import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import os; os.environ["JAX_PLATFORMS"] = "cpu"
import hashlib, jax, numpy as np, nnft
nnft.configure(cores={devices}, cache=True)
import nnft.inference.ensembles.ensemble as ensembles
from nnft import inference as inf, models as m
from nnft.inference.ensembles.sums import sums, total
assert len(jax.devices()) == {devices}

x = np.array([[-0.3], [0.4]])
net = m.Network(m.Erf(), 5, output_bias=0.5)
ens = inf.Ensemble(net, points=x, n=2000, key=jax.random.key(3))
for space in ("readout", "neuron"):
    print(*inf.measure(ens, space=space, orders=(2, 4)).connected(4).tolist())
print(*inf.measure_patterns(ens).total.tolist())

ensembles._BLOCK_FLOATS = 2000
x = np.array([[-0.3, 0.5], [0.0, 0.25], [0.4, -0.125]])
for neuron in (m.Cos(), m.Erf(), m.ReLU(), m.Gauss(bias_scale=0.3), m.Tanh()):
    ens = inf.Ensemble(m.Network(neuron, 5), points=x, n=3001, key=jax.random.key(3))
    print(hashlib.sha256(ens.read(0, 301).tobytes()).hexdigest())
gram = lambda fields, weights: (fields.T * weights) @ fields
sizes, kept = sums(ens, gram)
print(hashlib.sha256(kept.tobytes() + total(ens, gram)[1].tobytes()).hexdigest(), kept.shape, sizes.sum(), sizes[-1])
"""


@pytest.fixture(scope="module")
def said():
    """Lines printed with one device and with two."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT.format(devices=devices)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for devices in (1, 2)
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return [lines.splitlines() for lines, _ in said]


def test_averages_over_neurons_do_not_depend_on_the_number_of_devices(said):
    """Derivatives of a network must not be added up over devices."""
    one, two = ([list(map(float, line.split())) for line in lines[:3]] for lines in said)
    assert len(one) == 3
    for left, right in zip(one, two, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-7)


def test_fields_and_sums_do_not_depend_on_the_number_of_devices(said):
    one, two = (lines[3:] for lines in said)
    assert one == two
    assert len(set(one[:5])) == 5
    assert one[5].endswith("(1001, 3, 3) 3001.0 1.0")
