"""W[J] averaged over fields, over hidden layers and over neurons against its quadrature, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft.inference.ensembles import Ensemble
from nnft.inference.generating import SPACES, generating
from nnft.inference.samples import Samples
from nnft.models.generating import exact_generating
from nnft.models.networks import Network
from nnft.models.neurons import Cos, Erf, Gauss, ReLU, Tanh
from nnft.models.shared import GammaScale
from tests.statistics import agree, disagree

X = np.array([[-0.4], [1.0]])
J = np.array([[0.6, -0.3], [0.8, 0.5], [-0.8, -0.5]])


def ensemble(network, n=40_000, seed=1, points=X):
    return Ensemble(network, points=points, n=n, key=jax.random.key(seed))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    "network",
    [
        Network(Cos(), 6, "rademacher", output_scale=1.1, output_bias=0.3),
        Network(ReLU(bias_scale=0.5), 6, "uniform", output_scale=1.1, output_bias=0.3),
        Network(Erf(), 6, "laplace", output_bias=0.3),
    ],
    ids=["cos", "relu", "erf"],
)
def test_the_three_ways_agree_with_the_quadrature(network, space):
    result = generating(ensemble(network), J, space=space)
    truth, _ = exact_generating(network, X, J)
    agree(result.value, truth, result.error)
    assert np.all(np.abs(result.bias) < 0.05 * result.error)
    forgotten = exact_generating(Network(network.neuron, 6, network.readout), X, J)[0]  # scale and bias forgotten
    disagree(result.value, forgotten, result.error)
    if space != "field":  # a lost 1/N: the noise of the fields hides it here
        lost, _ = exact_generating(Network(network.neuron, 1, network.readout, network.output_scale, 0.3), X, J)
        disagree(result.value, lost, result.error)


def test_the_error_falls_from_field_to_readout_to_neuron():
    """At the same cost in neurons drawn: a neuron-space draw is one neuron, a hidden layer fifty."""
    network = Network(Tanh(), 50)
    truth, errors = exact_generating(network, X, J)[0], []
    for space, n in (("field", 4000), ("readout", 4000), ("neuron", 200_000)):
        result = generating(ensemble(network, n), J, space=space)
        agree(result.value, truth, result.error)
        disagree(2 * result.value, truth, result.error)
        errors.append(result.error)
    field, readout, neuron = errors
    assert np.all(readout < 0.2 * field)
    assert np.all(neuron < 1.5 * readout)


def test_the_error_is_that_of_repeated_experiments():
    """24 experiments: the spread over them against the stated error, and the sources' correlation."""
    network = Network(Cos(), 4)
    fields = ensemble(network, 24 * 4000).read(0, 24 * 4000)
    results = [generating(Samples(part, X), J) for part in fields.reshape(24, 4000, 2)]
    values = np.array([result.value for result in results])
    stated = np.sqrt(np.mean([result.error**2 for result in results], axis=0))
    agree(values.std(axis=0, ddof=1) / stated, 1.0, 1.3 / np.sqrt(2 * 23))
    disagree(3 * values.std(axis=0, ddof=1) / stated, 1.0, 1.3 / np.sqrt(2 * 23))
    covariance = results[0].rows.T @ results[0].rows
    correlation = covariance[1, 2] / np.sqrt(covariance[1, 1] * covariance[2, 2])
    weight = np.exp(fields @ J.T.astype(fields.dtype))
    truth = np.corrcoef(weight.T)[1, 2]
    assert correlation == pytest.approx(truth, abs=0.1)  # J and -J: negative


def test_the_sign_of_the_odd_part():
    """A skewed law: W[J] of (Gamma(4) - 4)/2; the twin has -J."""
    draws = (np.random.default_rng(0).gamma(4, size=(40_000, 1)) - 4) / 2
    j = np.array([[0.3], [-0.6]])
    result = generating(Samples(draws, np.zeros((1, 1))), j)
    truth = lambda j: -4 * np.log(1 - j / 2) - 2 * j  # noqa: E731
    agree(result.value, truth(j[:, 0]), result.error)
    disagree(result.value, truth(-j[:, 0]), result.error)


def test_a_foreign_model_and_shared_latents_have_fields_only():
    def foreign(points):
        w = numpyro.sample("w", dist.Normal())
        numpyro.deterministic("phi", jnp.cos(w * points[:, 0]))

    assert np.all(np.isfinite(generating(ensemble(foreign, 2000), J).value))
    shared = Network(Cos(), 4, shared_scale=GammaScale(0.1))
    assert "share a latent" in generating(ensemble(shared, 2000), J).flags[0]
    for model, got in ((foreign, "foreign"), (shared, "neurons that share"), (Network((Cos(), Tanh()), 4), "2 kinds")):
        with pytest.raises(ValueError, match=rf"expected an ensemble of `Network`.*got {got}.*try space='field'"):
            generating(ensemble(model, 2000), J, space="neuron")


def test_an_infinite_variance_is_flagged():
    """Laplace, N = 2: radius 2 at one point; at J = 1.2 Z[J] is finite and Z[2J] is not."""
    ens = ensemble(Network(Tanh(bias_scale=2.0), 2, "laplace"), 2000, points=np.ones((1, 1)))
    result = generating(ens, np.array([[0.5], [1.2]]))
    assert 0 not in result.flags
    assert "Z[2J]" in result.flags[1]
    assert "reaches 2.4, not below sqrt(2N)/sigma = 2" in result.flags[1]


HEAVY = np.random.default_rng(0).exponential(size=(120_000, 1)) - 1.0
NET = Network(Cos(), 5)
REFUSED = {
    "gauss": (
        ensemble(Network(Gauss(), 5), 2000),
        J,
        {},
        r"finite Z.*source 0.*exponential of a Gaussian.*formal there",
    ),
    "relu": (
        ensemble(Network(ReLU(), 4), 2000, points=np.ones((1, 1))),
        np.array([[1.0], [2.5]]),
        {"space": "neuron"},
        r"source 1, J = \[2\.5\].*is 1\.56\d*, not below 1",
    ),
    "heavy": (
        Samples(HEAVY, np.zeros((1, 1))),
        np.array([[1.2]]),  # exp(J phi) has the tail exponent 1/1.2
        {},
        r"expected an average that converges, got Pareto k-hat (0\.[789]|1\.)\d* .*above 0\.7",
    ),
    "few": (ensemble(NET, 10), J, {}, r"expected at least 1000 draws .*got 10"),
    "no such space": (ensemble(NET, 2000), J, {"space": "neurons"}, r"got 'neurons'; try 'neuron'"),
    "samples": (Samples(HEAVY, np.zeros((1, 1))), J[:, :1], {"space": "readout"}, r"got samples of the field"),
    "shape": (ensemble(NET, 2000), np.ones((2, 3)), {}, r"expected sources of shape .*got \(2, 3\)"),
    "large": (Samples(HEAVY[:2000], np.zeros((1, 1))), np.array([[90.0]]), {}, r"expected exponents .* below 350"),
    "noisy": (Samples(HEAVY[:2000], np.zeros((1, 1))), np.array([[8.0]]), {}, r"relative error of .*below 0\.5, got"),
}


@pytest.mark.parametrize(("source", "j", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(source, j, options, message):
    with pytest.raises(ValueError, match=message):
        generating(source, j, **options)
