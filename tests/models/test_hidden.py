"""W[J] and its tails from any smooth activation: slopes far out, reach and resolution of the lattice, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from nnft import models as m
from nnft.models.analytic.convergence import finite_source
from nnft.models.analytic.densities import exact_density
from nnft.models.analytic.generating import exact_generating
from nnft.models.networks.network import Network
from nnft.models.networks.readouts import READOUTS
from nnft.models.neurons.hidden import limits
from nnft.models.neurons.smooth import AbstractSmooth

ONE = np.array([[0.8]])


class Plain(AbstractSmooth):
    """f by its name, with nothing known but its values."""

    function: str
    weight_scale: float = 1.0
    bias_scale: float = 0.5

    def activation(self, z):
        return FUNCTIONS[self.function](z)

    def values(self, z):
        return FUNCTIONS[self.function](z)


FUNCTIONS = {
    "softplus": lambda z: np.logaddexp(z, 0.0),
    "gelu": lambda z: z * special.ndtr(z),
    "leaky": lambda z: 0.9 * np.sqrt(1.0 + z**2) + 0.4 * z,
    "bump": lambda z: np.exp(-(z**2)),
    "sigmoid": special.expit,
    "steep": lambda z: np.tanh(30.0 * z),
    "square": np.square,
    "exp": np.exp,
    "root": lambda z: np.sqrt(1.0 + np.abs(z)) - 1.0,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("function", ["softplus", "gelu", "leaky", "bump", "sigmoid", "steep"])
@pytest.mark.parametrize("readout", ["gaussian", "uniform"])
def test_the_functional_of_any_smooth_activation(function, readout):
    """One point against adaptive integration over its pre-activation, near the edge of what is finite."""
    network, law = Network(Plain(function), 3, readout, output_scale=1.2), READOUTS[readout]
    c = 0.5**2 + 0.8**2
    slope = {"softplus": 1.0, "gelu": 1.0, "leaky": 1.3}.get(function, 1.0)
    edge = np.sqrt(3) / (1.2 * slope * np.sqrt(c))
    j = np.array([[0.3 * edge], [0.9 * edge]])
    value, error = exact_generating(network, ONE, j)
    assert error < 1e-9
    f, truth = FUNCTIONS[function], []

    def of(t, amplitude):
        return np.exp(law.log_mean(np.array(amplitude * f(np.sqrt(c) * t))) - 0.5 * t**2) / np.sqrt(2 * np.pi)

    for amplitude in j[:, 0] * 1.2 / np.sqrt(3):
        found = integrate.quad(of, -60, 60, args=(amplitude,), points=[-2, -0.1, 0, 0.1, 2], limit=400, epsabs=1e-13)
        truth.append(3 * np.log(found[0]))
    np.testing.assert_allclose(value, truth, atol=1e-9)


@pytest.mark.parametrize(("function", "slope"), [("softplus", 1.0), ("gelu", 1.0), ("leaky", 1.3)])
@pytest.mark.parametrize("radius", [0.99, 1.01])
def test_the_radius_is_that_of_the_steeper_line(function, slope, radius):
    """(sigma^2/N) slope^2 c J^2 = 1 for a Gaussian readout; of +-1 every source; Laplace never."""
    c, neuron = 0.5**2 + 0.8**2, Plain(function)
    j = np.array([radius * np.sqrt(3.0 / c) / slope])
    assert finite_source(Network(neuron, 3), ONE, j).finite == (radius < 1)
    assert finite_source(Network(neuron, 3, "rademacher"), ONE, 9.0 * j).finite
    assert not finite_source(Network(neuron, 3, "laplace"), ONE, 0.01 * j).finite


def test_what_cancels_far_out_is_bounded():
    """softplus(2z) - 2 softplus(z): the lines cancel, and the rest, at most 3 log 2, meets the edge of Laplace."""
    x, j = np.array([[1.0], [2.0]]), np.array([2.0, -1.0])
    network = Network(Plain("softplus", bias_scale=0.0), 8, "laplace")
    assert finite_source(network, x, j).finite
    verdict = finite_source(network, x, 6.0 * j)  # at z = 0 |J.s| is 6 log 2 = 4.16, above sqrt(16) = 4
    assert not verdict.finite
    assert "reaches 4.15" in verdict.why


def test_a_bounded_activation_has_the_verdicts_and_the_density_of_its_class():
    plain, known = Network(Plain("tanh"), 12, "uniform"), Network(m.Tanh(bias_scale=0.5), 12, "uniform")
    line = np.linspace(-2.0, 2.0, 9)[:, None]
    np.testing.assert_allclose(exact_density(plain, ONE, line)[0], exact_density(known, ONE, line)[0], rtol=1e-9)
    bump, line = Network(Plain("bump"), 40), np.linspace(-6.0, 6.0, 241)
    density = exact_density(bump, ONE, line[:, None])[0]
    second = integrate.quad(lambda t: np.exp(-2.0 * 0.89 * t**2) * stats.norm.pdf(t), -20, 20)[0]
    assert 0.05 * density.sum() == pytest.approx(1.0, abs=1e-7)
    assert 0.05 * density @ line**2 == pytest.approx(second, rel=1e-6)
    with pytest.raises(ValueError, match="expected a neuron that is bounded, got Plain"):
        exact_density(Network(Plain("gelu"), 40), ONE, line[:, None])


def test_slopes_and_heights_are_read_off():
    assert limits(FUNCTIONS["gelu"])["height"] == pytest.approx(0.17, abs=2e-3)
    leaky = limits(FUNCTIONS["leaky"])
    assert (leaky["right"], leaky["left"], leaky["height"]) == pytest.approx((1.3, 0.5, 0.9), abs=1e-3)
    assert limits(FUNCTIONS["steep"])["sharp"] > 10.0
    assert limits(FUNCTIONS["bump"])["right"] == limits(FUNCTIONS["bump"])["left"] == 0.0


@pytest.mark.parametrize("function", ["square", "exp", "root"])
def test_what_has_no_slopes_is_refused_by_name(function):
    with pytest.raises(ValueError, match=r"expected a neuron that brings `limits`, slopes .*got Plain.*try writing"):
        finite_source(Network(Plain(function), 3), ONE, np.ones(1))


@pytest.mark.parametrize(
    ("neuron", "function"),
    [
        (m.GELU(bias_scale=0.5), "gelu"),
        (m.Softplus(bias_scale=0.5), "softplus"),
        (m.Activation(jnp.tanh, bias_scale=0.5), "tanh"),
        (m.Activation(lambda z: jnp.exp(-(z**2)), bias_scale=0.5), "bump"),
    ],
    ids=["gelu", "softplus", "tanh", "bump"],
)
def test_the_activations_of_the_suite_have_their_functional(neuron, function):
    """The same as from plain values; what is left of the series to J^4 falls like J^6."""
    j = np.array([[0.5, -0.2], [0.25, -0.1]])
    x = np.array([[0.8], [-0.3]])
    value, _ = exact_generating(Network(neuron, 4), x, j)
    np.testing.assert_allclose(value, exact_generating(Network(Plain(function), 4), x, j)[0], rtol=1e-9)
    left = np.abs(m.cumulant_series(m.exact(Network(neuron, 4), x, orders=(2, 4)), j).value - value)
    assert 45 < left[0] / left[1] < 90


def test_several_kinds_of_neurons_add_their_logs():
    kinds, j = (m.Cos(), m.Tanh(), m.ReLU()), np.array([[0.7]])
    mixed = exact_generating(Network(kinds, 6, output_bias=0.3), ONE, j)[0]
    alone = [exact_generating(Network(kind, 6, output_bias=0.3), ONE, j)[0] for kind in kinds]
    np.testing.assert_allclose(mixed, np.mean(alone, axis=0), rtol=1e-12)
