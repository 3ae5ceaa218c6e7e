"""Several fields at a point: a place is (point, output), in ensembles, in arrays and in what is measured of them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[0.0], [0.5], [1.2], [2.0]])
TWO = X[[0, 2]]


def ensemble(model, points=X, n=20_000, seed=0, **options):
    return inf.Ensemble(model, points=points, n=n, key=jax.random.key(seed), **options)


def test_a_place_is_a_point_and_an_output():
    net = m.Multiplet.of(m.Cos(), 5, m.Copies(3))
    ens = ensemble(net, n=4)
    assert (ens.outputs, ens.places) == (3, 12)
    key = jax.random.fold_in(jax.random.key(0), 2)
    with jax.threefry_partitionable(False), numpyro.handlers.seed(rng_seed=key):
        phi = net(jnp.asarray(X, dtype=np.float32))
    assert phi.shape == (4, 3)
    np.testing.assert_allclose(ens.read(2, 1)[0].reshape(4, 3), phi, atol=1e-6)


def test_one_output_reads_as_one_field():
    class Same(m.Network):
        def __call__(self, points):
            numpyro.deterministic("phi2", super().__call__(points)[:, None])

    plain, column = ensemble(m.Network(m.Cos(), 5), n=50), ensemble(Same(m.Cos(), 5), n=50, site="phi2")
    assert (column.outputs, column.places) == (1, 4)
    np.testing.assert_array_equal(plain.read(0, 50), column.read(0, 50))


def complex_field(points):
    parts = numpyro.sample("w", dist.Normal(0.0, 0.5**0.5).expand([2, 1]).to_event(2))
    numpyro.deterministic("phi", (parts[0] + 1j * parts[1]) * jnp.exp(1j * points[:, 0]))


def test_a_complex_field_is_two_real_ones_when_asked():
    ens = ensemble(complex_field, TWO, complex_parts=True)
    assert ens.outputs == 2
    data = inf.measure(ens, orders=(2,))
    rotation = np.array([[np.cos(1.2), np.sin(1.2)], [-np.sin(1.2), np.cos(1.2)]])
    agree(data.tensor(2)[:2, 2:], 0.5 * rotation, data.error(2).max())
    z = ens.read(0, 500).reshape(500, 2, 2)
    samples = inf.Samples(z[..., 0] + 1j * z[..., 1], TWO, complex_parts=True)
    np.testing.assert_array_equal(samples.read(0, 500), ens.read(0, 500))
    several = inf.Samples(z.astype(float).view(complex), TWO, outputs=2, complex_parts=True)
    np.testing.assert_array_equal(several.read(3, 7), ens.read(3, 7))


MODELS = {
    "outputs": m.Multiplet.of(m.Cos(), 3, m.Copies(2)),
    "sphere": m.Multiplet.of(m.Cos(), 3, m.Spherical(2)),
    "shared": m.Multiplet.pair(m.Cos(), 8, 0.25, readouts=True),
    "phases": m.Multiplet.of(m.Erf(), 3, m.Phases(1), output_scale=1.5, output_bias=0.2),
    "mean": m.Multiplet.of(m.ReLU(1.0, 0.5), 4, m.Normals((0.3, 0.0), (1.0, 0.5))),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_measured_is_exact(model):
    data, truth = inf.measure(ensemble(model, TWO), orders=None), m.exact(model, TWO)
    assert data.outputs == truth.outputs == 2
    assert data.even == truth.even == model.even
    for r in (r for r in (1, 2, 3, 4) if r in truth.cumulants):
        error, value = data.error(r), data.connected(r)
        kept = error > 1e-9
        np.testing.assert_allclose(value[~kept], truth.connected(r)[~kept], atol=1e-6)
        agree(value[kept], truth.connected(r)[kept], error[kept])
        disagree(value[kept], truth.connected(r)[kept] + 12.0 * error[kept], error[kept])
    assert (data - truth).chi2(2, 4).p > 1e-6


def test_the_fraction_of_shared_neurons_is_seen():
    """A quarter of the neurons shared: G4c_1122 is f/N (<ssss> - K K), and not what it is at f = 1."""
    data = inf.measure(ensemble(m.Multiplet.pair(m.Cos(), 8, 0.25), X[:1], n=400_000), orders=(2, 4))
    row = np.flatnonzero(np.all(data.tuples(4) == [0, 0, 1, 1], axis=1))[0]
    agree(data.connected(4)[row], 0.25 / 8 * (3 / 8 - 1 / 4), data.error(4)[row])
    disagree(data.connected(4)[row], 1 / 8 * (3 / 8 - 1 / 4), data.error(4)[row])


def test_arrays_of_several_fields():
    ens = ensemble(MODELS["outputs"], n=500)
    flat = np.array(ens.read(0, 500))
    three = flat.reshape(500, 4, 2)
    for samples in (
        inf.Samples(three, X, outputs=2),
        inf.Samples(flat, X, outputs=2),
        inf.Samples(three.transpose(2, 0, 1), X, outputs=2, dims=("output", "network", "point")),
    ):
        assert (samples.outputs, samples.places, samples.n) == (2, 8, 500)
        np.testing.assert_array_equal(samples.read(100, 50), flat[100:150])
    assert "outputs=2" in repr(samples)
    ours, theirs = inf.measure(samples, orders=(2,), even=True), inf.measure(ens, orders=(2,))
    np.testing.assert_array_equal(ours.connected(2), theirs.connected(2))
    assert inf.Samples(np.concatenate([three, -three[:100]]), X, outputs=2).copied == 100  # mirror images of both


def test_parts_of_an_ensemble_have_its_places():
    ens = ensemble(MODELS["outputs"], n=2000)
    for source in (ens, ens.shard(1, 2), inf.Samples(np.array(ens.read(0, 2000)), X, outputs=2)):
        one = source.in_places()
        assert (one.outputs, one.points.shape, one.n) == (1, (8, 2), source.n)
        np.testing.assert_array_equal(one.read(3, 5), source.read(3, 5))
    assert ensemble(m.Network(m.Cos(), 3)).in_places().points is not None


def test_files_of_several_fields(tmp_path):
    phi = np.random.default_rng(0).normal(size=(50, 4, 2))
    np.savez(tmp_path / "phi.npz", phi=phi, points=X)
    samples = inf.Samples(tmp_path / "phi.npz", outputs=2)
    np.testing.assert_array_equal(samples.read(10, 5), phi[10:15].reshape(5, 8))


Z = np.random.default_rng(0).normal(size=(50, 4, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inf.Samples(Z, X), r"got 3 axes, \(50, 4, 2\); try outputs=2 if these are fields"),
        (lambda: inf.Samples(Z, X, outputs=3), "expected outputs=2, as the array"),
        (lambda: inf.Samples(Z[:, :3], X, outputs=2), "expected as many points as the second axis"),
        (lambda: inf.Samples(Z[..., 0], X, outputs=2), "expected as many columns as points"),
        (lambda: inf.Samples(Z, X, outputs=0), "expected outputs, a number of fields"),
        (lambda: inf.Samples(Z[..., 0] + 1j * Z[..., 1], X), "samples that are real numbers.*complex_parts=True"),
        (lambda: inf.Samples(Z[..., 0], X, complex_parts=True), "expected complex samples"),
        (lambda: inf.Samples(Z, X, outputs=2, dims=("network", "point")), "expected three axes named"),
        (lambda: inf.measure(ensemble(MODELS["outputs"]), space="neuron"), "expected one output for space='neuron'"),
        (lambda: inf.Samples(np.where(np.arange(2) == 1, 0.0, Z), X, outputs=2), "at point 0:1, variance zero"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
