"""What a model allows is read from its program: planted dependences between neurons must be seen, and none invented."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft.inference import Ensemble, measure
from nnft.inference.programs.structure import read_structure
from nnft.models import (
    Cos,
    Deformed,
    Erf,
    GammaScale,
    Gauss,
    LogNormalLength,
    LogNormalScale,
    Network,
    ReLU,
    StudentScale,
    exact,
    input_weight_energy,
)
from tests.statistics import agree, disagree

POINTS = np.array([[-0.5], [0.1], [0.4]])


def ensemble(model, n=40_000, seed=5):
    return Ensemble(model, points=POINTS, n=n, key=jax.random.key(seed))


def neurons(points, *, scale=1.0, count=6):
    """Sites and activations of a plain cosine layer, h_i = c_i cos(w_i x)."""
    with numpyro.plate("hidden", count):
        w = numpyro.sample("w", dist.Normal(0.0, scale))
        c = numpyro.sample("c", dist.Uniform(-1.0, 2.0))
    return c[:, None] * jnp.cos(w[:, None] * points[:, 0])


def register(phi):
    numpyro.deterministic("phi", phi)


def skewed(points):
    register(neurons(points).sum(axis=0) / 6**0.5)


def squashed(points):
    register(jnp.tanh(neurons(points).sum(axis=0)))


def ordered(points):
    register(jnp.arange(6.0) @ neurons(points))


def graded(points):
    register(neurons(points, scale=jnp.arange(1.0, 7.0)).sum(axis=0))


def tempered(points):
    scale = numpyro.sample("temperature", dist.Gamma(2.0, 2.0))
    register(neurons(points, scale=scale).sum(axis=0))


def competing(points):
    h = neurons(points)
    register((jax.nn.softmax(h[:, 0]) @ h) * 2.0)


def anchored(points):
    register(neurons(points).sum(axis=0) / 6**0.5 + numpyro.sample("bias", dist.Normal(0.0, 0.5)))


def multiplied(points):
    register(neurons(points).sum(axis=0) * numpyro.sample("gain", dist.Normal(0.0, 0.5)))


def hierarchical(points):
    """A readout whose variance is itself random for each neuron, and a prior that ties it to the input weight."""
    with numpyro.plate("hidden", 4):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(0.0, jnp.exp(-(w**2))))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / 2)


def moved(points):
    """The readout has a mean: given the rest the field does not vanish on average."""
    with numpyro.plate("hidden", 4):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(0.3, 1.0))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / 2)


def followed(points):
    """Something else depends on the readout."""
    with numpyro.plate("hidden", 4):
        c = numpyro.sample("c", dist.Normal(0.0, 1.0))
        w = numpyro.sample("w", dist.Normal(c, 1.0))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / 2)


def crowded(points):
    """The readout of each neuron depends on all input weights."""
    with numpyro.plate("hidden", 6):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(0.0, jnp.exp(jnp.mean(w))))
    register(c @ jnp.cos(w[:, None] * points[:, 0]))


def clipped(points):
    """Linear and a sum for fields of ordinary size."""
    with numpyro.plate("hidden", 6):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(0.0, 1.0))
    register(jnp.clip(c @ jnp.cos(w[:, None] * points[:, 0]) / 6**0.5, -2.5, 2.5))


def bounded_uniform(points):
    """A sum unless all neurons pull the same way."""
    h = neurons(points, count=20)
    register(jnp.clip(h.sum(axis=0) / 20**0.5, -3.0, 3.0))


def secret(points):
    """A shared factor that is no site."""
    tau = jax.random.gamma(numpyro.prng_key(), 2.0) / 2
    register(jnp.sqrt(tau) * neurons(points).sum(axis=0))


def gated(points):
    """A readout with a mean, half of the time."""
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    with numpyro.plate("hidden", 4):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(2.0 * jnp.maximum(-z, 0.0), 1.0))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / 2)


def biased_by_neurons(points):
    """The law of the bias outside depends on the neurons."""
    with numpyro.plate("hidden", 6):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        c = numpyro.sample("c", dist.Uniform(-1.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, jnp.exp(w.mean())))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) + b)


class Opaque(dist.Distribution):
    """A law whose parameters are no leaves of its pytree."""

    support: Any = dist.constraints.real

    def __init__(self, loc):
        self.loc = loc
        super().__init__(jnp.shape(loc))

    def sample(self, key, sample_shape=()):
        return self.loc + jax.random.normal(key, sample_shape + self.batch_shape)

    def log_prob(self, value):
        return -0.5 * (value - self.loc) ** 2


def opaquely_followed(points):
    with numpyro.plate("hidden", 4):
        c = numpyro.sample("c", dist.Normal(0.0, 1.0))
        w = numpyro.sample("w", Opaque(2.0 * c))
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / 2)


@pytest.mark.parametrize(
    ("model", "plate", "linear", "neuron", "readout"),
    [
        (Network(Cos(), 7), "neuron", ("readout",), None, None),
        (Network(ReLU(), 7, output_bias=0.3), "neuron", ("readout", "output_bias"), None, None),
        (Network(Erf(), 1), "neuron", ("readout",), None, None),
        (Network(Cos(), 7, "uniform"), "neuron", (), None, "linear in no Gaussian site"),
        (Network(Cos(), 7, shared_scale=GammaScale(0.2)), None, ("readout",), "'scale' lies outside", None),
        (Network(Cos(), 7, shared_length=LogNormalLength(0.2)), None, ("readout",), "'length' lies outside", None),
        (skewed, "hidden", (), None, "linear in no Gaussian site"),
        (anchored, "hidden", ("bias",), None, "does not vanish with its Gaussian sites bias"),
        (hierarchical, "hidden", ("c",), None, None),
        (squashed, None, (), "not a sum over the plate 'hidden'", "linear in no"),
        (competing, None, (), "not a sum over the plate 'hidden'", "linear in no"),
        (ordered, None, (), "changes when the neurons of the plate 'hidden' are exchanged", "linear in no"),
        (graded, None, (), "the law of 'w' changes along the plate 'hidden'", "linear in no"),
        (tempered, None, (), "'temperature' lies outside the plate", "linear in no"),
        (multiplied, None, ("gain",), "'gain', outside the plate 'hidden', multiplies", None),
        (moved, "hidden", (), None, "linear in no Gaussian site of mean zero"),
        (followed, "hidden", (), None, "linear in no Gaussian site"),
        (crowded, None, ("c",), "the law of 'c' at one neuron of the plate 'hidden' depends on the others", None),
        (clipped, None, (), "not a sum over the plate 'hidden'", "linear in no"),
        (bounded_uniform, None, (), "not a sum over the plate 'hidden'", "linear in no"),
        (secret, None, (), "random numbers that are no site", "random numbers that are no site"),
        (gated, None, (), "'z' lies outside", "linear in no"),
        (biased_by_neurons, None, ("b",), "law of its site 'b' depends on the neurons", "does not vanish"),
        (opaquely_followed, "hidden", (), None, "linear in no"),
        (Deformed(Network(Cos(), 5), 0.1, input_weight_energy), None, (), "'deformation' deforms", "'deformation'"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_the_program_shows_its_structure(model, plate, linear, neuron, readout):
    found = read_structure(model, POINTS)
    assert (found.plate or (None,))[0] == plate
    assert found.linear == linear
    for space, reason in (("neuron", neuron), ("readout", readout)):
        assert (reason or "") in found.why.get(space, "")
        assert bool(reason) == (space in found.why)


# ---- correlated neurons ---------------------------------------------------------------------------------------------

CORRELATED = {
    "gamma": Network(Cos(), 9, shared_scale=GammaScale(0.2), output_bias=0.3),
    "log-normal": Network(Erf(), 9, shared_scale=LogNormalScale(0.2)),
    "student": Network(Cos(), 9, shared_scale=StudentScale(20.0)),
    "length": Network(Cos(), 9, shared_length=LogNormalLength(0.4)),
}


@pytest.mark.parametrize("name", CORRELATED)
def test_a_shared_latent_is_measured_with_the_readout_integrated_out(name):
    network = CORRELATED[name]
    ens = ensemble(network)
    data, truth = measure(ens, space=None, orders=(2, 4)), exact(network, POINTS)
    assert data.about["space"] == "readout"
    for order in (2, 4):
        agree(data.connected(order), truth.connected(order), data.error(order))
    independent = exact(Network(network.neuron, 9, output_bias=network.output_bias), POINTS)
    disagree(data.connected(4), independent.connected(4), data.error(4))
    field = measure(ens, orders=(2, 4))
    agree(field.connected(4), truth.connected(4), field.error(4))


def test_several_kinds_of_neurons_in_every_space():
    network = Network((Cos(0.5), Erf(1.5)), 8, output_bias=0.3)
    truth = exact(network, POINTS)
    one = exact(Network(Cos(0.5), 8, output_bias=0.3), POINTS)
    for space in ("neuron", "readout", "field"):
        data = measure(ensemble(network), space=space, orders=(2, 4))
        for order in (2, 4):
            agree(data.connected(order), truth.connected(order), data.error(order))
        disagree(data.connected(2), one.connected(2), data.error(2))


@pytest.mark.parametrize("model", [skewed, anchored])
def test_a_foreign_sum_over_a_plate_has_a_neuron_space(model):
    """Third cumulants and means included: the neurons are not even."""
    data, field = (measure(ensemble(model), space=space) for space in (None, "field"))
    assert data.about["space"] == "neuron"
    for order in (1, 2, 3, 4):
        agree(data.connected(order), field.connected(order), (data.error(order), field.error(order)))
        agree(data.moment(order), field.moment(order), (data.error(order, "moment"), field.error(order, "moment")))
    disagree(6 * data.connected(4), field.connected(4), (data.error(4), field.error(4)))  # a lost 1/N


def test_a_hierarchical_readout_is_integrated_out():
    """E phi^2 = E[exp(-2w^2) cos^2(wx)], by quadrature; the twin forgets the random variance."""
    w, p = np.polynomial.hermite_e.hermegauss(120)
    p = p / p.sum()
    s = np.cos(w[:, None] * POINTS[:, 0])
    data = measure(ensemble(hierarchical), space="readout", orders=(2,))
    diagonal = np.array([data.tensor(2)[a, a] for a in range(3)])
    error = data.error(2)[[0, 3, 5]]
    agree(diagonal, (p * np.exp(-2 * w**2)) @ s**2, error)
    disagree(diagonal, p @ s**2, error)


# ---- deformed densities ---------------------------------------------------------------------------------------------


def readout_energy(sites):
    return 0.5 * jnp.sum(sites["readout"] ** 2)


def test_a_gaussian_tilt_of_the_readout_is_another_readout_scale():
    """exp(-a sum W^2/2) turns N(0, 1) into N(0, 1/(1+a)): the weighted networks have these exact correlators."""
    model = Deformed(Network(Cos(), 2), 0.3, readout_energy)
    data = measure(ensemble(model, 100_000), orders=(2, 4))
    truth = exact(Network(Cos(), 2, output_scale=1.3**-0.5), POINTS)
    assert (data - truth).chi2().p > 1e-6
    assert data.networks == pytest.approx(100_000 * 1.6 / 1.3**2, rel=0.01)  # (E w)^2/E w^2, two readout weights
    untilted = measure(ensemble(Network(Cos(), 2), 100_000), orders=(2, 4))
    assert (untilted - truth).chi2().p < 1e-6  # the planted fault: weights forgotten


def energy_and_product(points):
    """phi(x_0) phi(x_2) and the energy of the same network, as a field of two components."""
    seeded = numpyro.handlers.seed(rng_seed=numpyro.prng_key())
    with numpyro.handlers.block(), numpyro.handlers.trace() as trace, seeded:
        phi = Network(Cos(2.0), 3)(jnp.asarray(POINTS))
    energy = input_weight_energy({"weight": trace["weight"]["value"]})
    numpyro.deterministic("phi", jnp.stack([phi[0] * phi[2], energy]))


def test_a_deformation_moves_the_cumulants_by_their_covariance_with_it():
    """d <phi phi>/d alpha = -Cov(phi phi, O) at alpha = 0: other networks, another estimator; the twin has its sign."""
    n, alpha = 100_000, 0.002
    pairs = Ensemble(energy_and_product, points=np.array([[0.0], [1.0]]), n=n, key=jax.random.key(1)).read(0, n)
    product, energy = pairs.astype(float).T
    terms = (product - product.mean()) * (energy - energy.mean())
    moved = [
        measure(ensemble(Deformed(Network(Cos(2.0), 3), sign * alpha, input_weight_energy), n), orders=(2,))
        for sign in (1, -1)
    ]
    slope = (moved[0].connected(2)[2] - moved[1].connected(2)[2]) / (2 * alpha)  # the same draws, other weights
    se = np.sqrt(2.0) * terms.std() / np.sqrt(n)
    agree(slope, -terms.mean(), se)
    disagree(slope, terms.mean(), se)


def test_weights_do_not_depend_on_an_added_constant_or_on_the_chunk():
    plain = Deformed(Network(Cos(), 2), 0.3, readout_energy)
    lifted = Deformed(Network(Cos(), 2), 0.3, lambda sites: readout_energy(sites) - 200.0)
    a, b = (measure(ensemble(model, 5000), orders=(2, 4)) for model in (plain, lifted))
    np.testing.assert_allclose(a.connected(4), b.connected(4), rtol=1e-3)
    assert a.networks == pytest.approx(b.networks, rel=1e-3)


def test_a_deformation_that_leaves_too_few_networks_is_refused():
    strong = Deformed(Network(Cos(), 20), 3.0, readout_energy)
    with pytest.raises(ValueError, match=r"expected weighted networks worth at least 1000|k-hat below 0\.7"):
        measure(ensemble(strong, 5000), orders=(2,))
    with pytest.raises(ValueError, match="'deformation' deforms the density"):
        measure(ensemble(strong, 5000), space="neuron")
    with pytest.raises(ValueError, match="expected the operator to return one number"):
        measure(ensemble(Deformed(Network(Cos(), 2), 0.1, lambda sites: sites["phi"]), 5000))
    with pytest.raises(ValueError, match="expected a Network and a function"):
        Deformed(Network(Cos(), 2), 0.1, 3.0)


def test_the_cheapest_space_knows_the_orders_asked_for():
    ens = ensemble(Network(Gauss(bias_scale=0.3), 5), 2000)
    assert measure(ens, space=None, orders=(2, 4)).about["space"] == "neuron"
    assert measure(ens, space=None, orders=(3,)).about["space"] == "field"
    assert "draws in neuron space" in str(measure(ens, space=None, orders=(2,)))
    assert measure(ensemble(Network(Cos(), 5), 500), space=None).about["space"] == "field"


def test_a_changed_global_draws_other_networks(monkeypatch):
    """A function that reads a number outside itself is compiled anew for every ensemble."""
    monkeypatch.setitem(globals(), "STRENGTH", 1.0)
    first = ensemble(outer, 1000).read(0, 10)
    monkeypatch.setitem(globals(), "STRENGTH", 3.0)
    np.testing.assert_allclose(ensemble(outer, 1000).read(0, 10), 3.0 * first, rtol=1e-5)


STRENGTH = 1.0


def outer(points):
    register(STRENGTH * neurons(points).sum(axis=0))


def test_a_scaled_factor_weighs_by_its_scale():
    def halved(points):
        Network(Cos(), 2)(points)
        with numpyro.handlers.scale(scale=0.5):
            numpyro.factor("f", -2.0)

    assert ensemble(halved, 1000).read_weighted(0, 5)[1] == pytest.approx(-1.0)


def test_heavy_weights_are_flagged():
    """exp(0.55 W^2/2) under N(0, 1): Pareto shape 0.55, an average without a variance."""
    data = measure(ensemble(Deformed(Network(Cos(), 1), -0.55, readout_energy), 100_000), orders=(2,))
    assert "k-hat" in data.flags[2]


def test_the_hidden_layer_does_not_hide_what_a_neuron_forbids():
    network = Network(Gauss(1.0, 1.0), 1000, shared_scale=GammaScale(0.1))
    data = measure(ensemble(network, 20_000), space="readout")
    assert "<s^12>" in data.refused[6]
    with pytest.raises(ValueError, match="is refused: the exact"):
        data.connected(6)


def test_parity_is_a_choice_in_field_space_only():
    with pytest.raises(ValueError, match="expected even= for space='field' only"):
        measure(ensemble(Network(Cos(), 5), 2000), space="neuron", even=False)
