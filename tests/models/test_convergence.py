"""Where Z[J] is finite: the growth of a network along a source, its radius, and which law of the neurons decides."""

import numpy as np
import pytest

from nnft.models import (
    Cos,
    Erf,
    GammaScale,
    Gauss,
    LogNormalLength,
    LogNormalScale,
    Network,
    ReLU,
    StudentScale,
    Tanh,
    exact_generating,
    finite_source,
)
from nnft.models.neurons.hidden import Homogeneous

ONE, TWO = np.array([[0.3]]), np.array([[0.0], [1.0]])


def test_the_growth_of_a_relu_network_by_brute_force():
    draw = np.random.default_rng(2)
    for points, hidden in ((3, 1), (5, 2), (4, 3)):
        factor, j = draw.normal(size=(points, hidden)), draw.normal(size=points)
        xi = draw.normal(size=(200_000, hidden))
        xi /= np.linalg.norm(xi, axis=1, keepdims=True)
        for left in (0.0, 0.3):
            bent = lambda z, left=left: np.maximum(z, 0) + left * np.maximum(-z, 0)  # noqa: E731
            largest = np.max(np.abs(bent(xi @ factor.T) @ j))
            growth = Homogeneous("bent", factor, bent, height=0.0, right=1.0, left=left).growth(j)
            assert largest <= growth * (1 + 1e-12)
            assert largest > 0.999 * growth


@pytest.mark.parametrize("radius", [0.99, 1.01])
def test_the_radii(radius):
    """ReLU: (sigma^2/N) max (J.s)^2 = 1, Laplace: |J.s| = sqrt(2N)/sigma; inside finite, outside not."""
    relu, x = Network(ReLU(1.2, 0.4), 5, output_scale=1.5), np.array([[-0.5], [0.7], [1.0]])
    j = np.array([0.3, 1.0, -0.4])
    edge = np.sqrt(5) / 1.5 / relu.neuron.hidden(x).growth(j)
    assert finite_source(relu, x, radius * edge * j).finite == (radius < 1)
    for neuron in (Cos(), Erf(), Tanh()):
        laplace = Network(neuron, 8, "laplace", output_scale=2.0)
        verdict = finite_source(laplace, TWO, np.array([1.5, 0.5]) * radius)  # limit sqrt(16)/2 = 2
        assert verdict.finite == (radius < 1), verdict.why
    if radius < 1:  # the closed form blows up at the edge, not before
        near = exact_generating(Network(ReLU(), 2), np.ones((1, 1)), np.array([[1.0], [np.sqrt(2) * (1 - 1e-8)]]))[0]
        assert near[1] > 10 * near[0]


VERDICTS = {
    "gauss": (Network(Gauss(), 5), [0.1, 0.0], False, "exponential of a Gaussian"),
    "gauss, +-1": (Network(Gauss(), 5, "rademacher"), [0.0, 0.1], False, "exponential of a Gaussian"),
    "gauss without bias at the origin": (Network(Gauss(bias_scale=0.0), 5), [3.0, 0.0], True, "|J.s| <= 3"),
    "the same, Laplace": (Network(Gauss(bias_scale=0.0), 2, "laplace"), [3.0, 0.0], False, "reaches 3, not below"),
    "relu, uniform": (Network(ReLU(), 5, "uniform"), [9.0, 9.0], True, "a bounded readout"),
    "relu, laplace": (Network(ReLU(), 5, "laplace"), [0.0, 0.01], False, "ReLU is unbounded"),
    "relu at the origin": (Network(ReLU(), 5, "laplace"), [9.0, 0.0], True, "vanishes for every hidden weight"),
    "cos": (Network(Cos(), 5), [90.0, -90.0], True, "|J.s| <= 180"),
    "not to be shown": (Network(Tanh(bias_scale=0.0), 2, "laplace"), [1.5, -1.5], False, "cannot be shown"),
    "gamma, not to be shown": (
        Network(Tanh(bias_scale=0.0), 2, shared_scale=GammaScale(0.5)),
        [1.5, -1.5],
        False,
        "cannot be shown to be finite: (v sigma^2/2) sup (J.s)^2 is between 0.5625 and 2.25",
    ),
    "gamma, bounded readout": (Network(Cos(), 5, "uniform", shared_scale=GammaScale(2.0)), [9.0, 9.0], True, "falls"),
    "gamma, laplace": (Network(Cos(), 5, "laplace", shared_scale=GammaScale(0.1)), [0.1, 0.0], False, "unbounded"),
    "gamma, relu": (Network(ReLU(), 5, shared_scale=GammaScale(0.1)), [0.0, 0.1], False, "tau is unbounded"),
    "gamma, relu at the origin": (Network(ReLU(), 5, shared_scale=GammaScale(0.1)), [9.0, 0.0], True, "vanishes"),
    "gamma, gauss": (Network(Gauss(), 5, shared_scale=GammaScale(0.1)), [0.1, 0.0], False, "exponential of a Gaussian"),
    "student": (Network(Cos(), 5, shared_scale=StudentScale(9.0)), [0.01, 0.0], False, "StudentScale"),
    "log-normal, +-1": (Network(Tanh(), 5, "rademacher", shared_scale=LogNormalScale(0.1)), [0.01, 0.0], False, "sqrt"),
    "student, nothing": (Network(Tanh(1.0, 0.0), 5, shared_scale=StudentScale(9.0)), [9.0, 0.0], True, "vanishes"),
    "length": (Network(Erf(), 5, shared_length=LogNormalLength(0.3)), [9.0, 9.0], True, "|J.s| <= 18"),
    "length, relu": (
        Network(ReLU(), 5, "uniform", shared_length=LogNormalLength(0.3)),
        [0.0, 0.1],
        False,
        "exp(c/l^2)",
    ),
    "no source": (Network(Gauss(), 5), [0.0, 0.0], True, "the source is zero"),
    "two kinds": (Network((Cos(), Gauss()), 4), [0.1, 0.0], False, "exponential of a Gaussian"),
}


@pytest.mark.parametrize(("network", "j", "finite", "why"), VERDICTS.values(), ids=VERDICTS)
def test_the_table_of_convergence(network, j, finite, why):
    verdict = finite_source(network, TWO, np.array(j))
    assert verdict.finite is finite
    assert why in verdict.why


def test_two_collinear_relus_cancel():
    """relu(2 w) = 2 relu(w): on the source (2, -1) the field vanishes, and Z = 1 where the table says never."""
    x, j = np.array([[1.0], [2.0]]), np.array([[2.0, -1.0]])
    network = Network(ReLU(), 5, "laplace")
    assert finite_source(network, x, j[0]).finite
    assert exact_generating(network, x, j)[0][0] == pytest.approx(0.0, abs=1e-14)
