"""W[J] averaged over fields, over hidden layers and over neurons against its quadrature, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import special

from nnft.inference import Ensemble, Samples, generating
from nnft.inference.estimators.generating import SPACES
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
    cumulant_series,
    exact,
    exact_generating,
    finite_source,
)
from tests.statistics import agree, disagree

X = np.array([[-0.4], [1.0]])
ONE, TWO = np.array([[0.3]]), np.array([[0.0], [1.0]])
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


def test_a_foreign_model_has_fields_only():
    def foreign(points):
        w = numpyro.sample("w", dist.Normal())
        numpyro.deterministic("phi", jnp.cos(w * points[:, 0]))

    assert np.all(np.isfinite(generating(ensemble(foreign, 2000), J).value))
    for model, got in ((foreign, "foreign"), (Network((Cos(), Tanh()), 4), "2 kinds")):
        with pytest.raises(ValueError, match=rf"expected an ensemble of `Network`.*got {got}.*try space='field'"):
            generating(ensemble(model, 2000), J, space="neuron")


SHARED = {
    "gamma": Network(Cos(), 6, output_scale=1.1, output_bias=0.3, shared_scale=GammaScale(0.3)),
    "gamma, uniform": Network(ReLU(bias_scale=0.5), 6, "uniform", output_bias=0.3, shared_scale=GammaScale(0.1)),
    "length": Network(Cos(), 6, "rademacher", output_bias=0.3, shared_length=LogNormalLength(0.5)),
    "both": Network(Cos(), 6, output_bias=0.3, shared_scale=GammaScale(0.5), shared_length=LogNormalLength(0.5)),
}


@pytest.mark.parametrize("network", SHARED.values(), ids=SHARED)
def test_a_shared_latent_in_two_ways_against_the_quadrature(network):
    """All sources lie where the variance is finite; the twin forgets the latent and the bias."""
    j, errors = 0.7 * J, []
    truth, accuracy = exact_generating(network, X, j)
    assert accuracy < 1e-9
    for space in ("field", "readout"):
        result = generating(ensemble(network), j, space=space)
        assert not result.flags
        agree(result.value, truth, result.error)
        errors.append(result.error)
        forgotten = Network(network.neuron, 6, network.readout, network.output_scale)  # latent and bias forgotten
        if space == "readout":
            disagree(result.value, exact_generating(forgotten, X, j)[0], result.error)
    assert np.all(errors[1] < errors[0])
    with pytest.raises(ValueError, match=r"expected independent neurons for space='neuron'.*try space='readout'"):
        generating(ensemble(network, 2000), j, space="neuron")


def test_a_shared_scale_and_its_variance():
    """v sigma^2 sup(J.s)^2/2 = 0.36 and 0.72 at J, so 1.44 and 2.88 at 2J; 0.72 and 1.44 at sqrt(2) J."""
    ens = ensemble(Network(Cos(), 4, shared_scale=GammaScale(0.5)), 2000)
    j = np.array([[0.9, 0.3], [0.9, 0.8]])
    field = generating(ens, j).flags
    assert set(field) == {0, 1}
    assert "Z[2J]" in field[0]
    readout = generating(ens, j, space="readout").flags
    assert "Z[1.41J]" in readout[1]
    assert 0 not in readout


def test_an_infinite_variance_is_flagged():
    """Laplace, N = 2: radius 2 at one point; at J = 1.2 Z[J] is finite and Z[2J] is not."""
    ens = ensemble(Network(Tanh(bias_scale=2.0), 2, "laplace"), 2000, points=np.ones((1, 1)))
    result = generating(ens, np.array([[0.5], [1.2]]))
    assert 0 not in result.flags
    assert "Z[2J]" in result.flags[1]
    assert "reaches 2.4, not below 2 = t sqrt(N)/sigma, t = 1.414" in result.flags[1]


# ---- a shared latent ------------------------------------------------------------------------------------------------


def over_phases(width, variance, j):
    """log < (1 - v S/2)^(-1/v) > of one or two cosines at one point: tau first, then the phases."""
    square = np.cos((np.arange(2000) + 0.5) * np.pi / 2000) ** 2 * j**2 / width
    layer = square if width == 1 else (square[:, None] + square).ravel()
    return np.log(np.mean((1 - variance * layer / 2) ** (-1 / variance)))


@pytest.mark.parametrize(
    ("width", "variance", "radius"), [(1, 1.0, 0.5), (1, 1.0, 0.999), (2, 0.5, 0.99), (2, 0.005, 0.5), (2, 5.0, 0.9)]
)
def test_a_gamma_scale_integrated_in_the_other_order(width, variance, radius):
    j = radius * np.sqrt(2 / variance)
    network = Network(Cos(), width, output_bias=0.3, shared_scale=GammaScale(variance))
    value, error = exact_generating(network, ONE, np.array([[j]]))
    truth = over_phases(width, variance, j) + 0.5 * 0.3**2 * j**2
    assert value[0] == pytest.approx(truth, abs=1e-11)
    assert error < 1e-11
    assert value[0] != pytest.approx(over_phases(width, 1.1 * variance, 0.95 * j), rel=1e-3)


def test_the_limit_of_a_wide_network_that_shares_a_scale():
    """Z = (1 - v J.K.J/2)^(-1/v) is left like 1/N; the twin is the Gaussian of the same K."""
    v, j = 0.3, np.array([[0.9, -0.7], [0.9, 0.9]])
    form = np.einsum("sa,ab,sb->s", j, exact(Network(Cos(), 1), TWO, orders=(2,)).tensor(2), j)
    left, twin = [], []
    for width in (100, 400):
        truth = exact_generating(Network(Cos(), width, shared_scale=GammaScale(v)), TWO, j)[0]
        left.append(np.abs(truth + np.log1p(-v * form / 2) / v))
        twin.append(np.abs(truth - form / 2))
    assert np.all((left[0] / left[1] > 2.8) & (left[0] / left[1] < 5.6))
    assert np.all(left[1] < 0.1 * twin[1])


LATENTS = {
    "gamma": {"shared_scale": GammaScale(0.4)},
    "length": {"shared_length": LogNormalLength(0.3)},
    "both": {"shared_scale": GammaScale(0.4), "shared_length": LogNormalLength(0.3)},
}


@pytest.mark.parametrize("latent", LATENTS.values(), ids=LATENTS)
@pytest.mark.parametrize("readout", ["gaussian", "uniform", "rademacher"])
def test_a_shared_latent_has_the_exact_cumulants(latent, readout):
    """J^6 is left; the twin forgets the latent and leaves J^4 or J^2."""
    networks = [Network(Cos(), 3, readout, output_scale=1.2, output_bias=0.4, **shared) for shared in (latent, {})]
    j = np.array([[0.2, -0.1], [0.1, -0.05]])
    truth, accuracy = exact_generating(networks[0], TWO, j)
    assert accuracy < 1e-11
    left, wrong = (np.abs(cumulant_series(exact(net, TWO, orders=(2, 4)), j).value - truth) for net in networks)
    assert left[0] < 1e-5
    assert falls(left, 2.0**6)
    assert not falls(wrong, 2.0**6)


def test_a_relu_that_shares_a_gamma_scale():
    """At one point: +-1, E (1 + e^(tau z))^N/2^N is a sum of Gamma averages, z = sigma^2 J^2 c/2N."""
    width, v, j = 3, 0.5, np.array([[0.5], [1.9]])
    network = Network(ReLU(), width, "rademacher", shared_scale=GammaScale(v))
    z = j[:, 0] ** 2 / (2 * width)
    powers = [special.comb(width, k) * (1 - v * k * z) ** (-1 / v) for k in range(width + 1)]
    truth = np.log(np.sum(powers, axis=0) / 2**width)
    np.testing.assert_allclose(exact_generating(network, np.ones((1, 1)), j)[0], truth, rtol=1e-11)
    assert not finite_source(network, np.ones((1, 1)), np.array([2.01])).finite  # v J^2/2 = 1.01


@pytest.mark.parametrize("radius", [0.99, 1.01])
@pytest.mark.parametrize("width", [2, 1000])
def test_the_radii_of_a_gamma_scale(radius, width):
    """Gaussian: sum |J| = sqrt(2/v)/sigma = 2 at every width, two kinds too; bounded and ReLU: sqrt(2/v)/(c sigma)."""
    common = {"output_scale": 0.5, "shared_scale": GammaScale(2.0)}
    for neuron in (Cos(), Erf(), Tanh(), (Cos(), Tanh())):
        verdict = finite_source(Network(neuron, width, **common), TWO, np.array([1.5, 0.5]) * radius)
        assert verdict.finite == (radius < 1), verdict.why
    for readout, largest in (("rademacher", 1.0), ("uniform", np.sqrt(3))):
        relu = Network(ReLU(), width, readout, **common)
        assert finite_source(relu, TWO, np.array([5.0, 2.0 / largest * radius])).finite == (radius < 1)


def falls(errors, factor):
    return 0.7 * factor < errors[0] / errors[1] < 1.4 * factor


# ---- refusals -------------------------------------------------------------------------------------------------------

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
    "gamma": (
        ensemble(Network(Cos(), 5, shared_scale=GammaScale(0.5)), 2000),
        np.array([[1.0, 0.5], [1.01, 1.01]]),
        {"space": "readout"},
        r"source 1, .* reaches 1\.02, not below 1; try a source smaller by 0\.98; try smaller",
    ),
    "student": (
        ensemble(Network(Cos(), 5, shared_scale=StudentScale(9.0)), 2000),
        0.01 * J,
        {},
        r"finite Z.*source 0.*infinite for every t > 0 of the shared scale StudentScale",
    ),
    "log-normal": (
        ensemble(Network(Erf(), 5, "rademacher", shared_scale=LogNormalScale(0.1)), 2000),
        0.01 * J,
        {"space": "readout"},
        r"infinite for every t > 0 of the shared scale LogNormalScale",
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


def crowd(points):
    """Neurons that look at each other."""
    u = numpyro.sample("u", dist.Normal(0.0, 1.0))
    return jnp.cos(u[..., None] * points[:, 0]) * (1.0 + 0.9 * jnp.sign(jnp.sum(u)))


def test_neurons_that_see_each_other_have_no_neuron_space():
    ens = Ensemble(Network(crowd, 5), points=np.array([[0.3]]), n=2000, key=jax.random.key(0))
    with pytest.raises(ValueError, match="not a sum over the plate 'neuron'"):
        generating(ens, np.array([[0.5]]), space="neuron")
