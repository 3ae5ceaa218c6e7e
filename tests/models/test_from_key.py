"""Anybody's function draw(key, points) as a model: its fields, its shapes, and what is refused before a long run."""

import random

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[0.0], [0.7], [1.5]])
KEY = jax.random.key(4)


def cosines(key, points):
    """The suite's cosine network of width 10, written down by hand."""
    a, b, c = jax.random.split(key, 3)
    phase = jax.random.uniform(b, (10,), maxval=2 * jnp.pi)
    hidden = jnp.cos(points @ jax.random.normal(a, (1, 10)) + phase)
    return hidden @ jax.random.normal(c, (10,)) / jnp.sqrt(10.0)


def several(key, points):
    return jax.random.normal(key, (2,)) * jnp.cos(points) + jax.random.normal(jax.random.fold_in(key, 1), (2,))


def of(draw, points=X, n=2000, dtype="float32", complex_parts=False, **options):
    return inf.Ensemble(
        m.FromKey(draw, **options), points=points, n=n, key=KEY, dtype=dtype, complex_parts=complex_parts
    )


def test_its_correlators_are_those_of_the_network_that_it_is():
    data, truth = inf.measure(of(cosines, n=40_000), orders=(2, 4)), m.exact(m.Network(m.Cos(), 10), X)
    for order in (2, 4):
        agree(data.connected(order), truth.connected(order), data.error(order))
    disagree(data.connected(2), 0.9 * truth.connected(2), data.error(2))


def test_network_i_is_that_of_key_i():
    ensemble = of(cosines)
    with jax.threefry_partitionable(False):
        one = numpyro.handlers.seed(ensemble.model, jax.random.fold_in(KEY, 7))(X)
        assert np.allclose(ensemble.read(7, 1)[0], one, rtol=1e-5)
        assert not np.allclose(ensemble.read(8, 1)[0], one, rtol=1e-2)


def test_parts_places_and_moved_points_are_those_of_any_model():
    ensemble = of(several, outputs=2)
    assert ensemble.outputs == 2
    assert np.array_equal(inf.Parts(ensemble, parts=3).read(5, 4), ensemble.read(5, 4))
    whole, parts = inf.measure(ensemble, orders=(2,)), inf.measure(inf.Parts(ensemble, parts=2), orders=(2,))
    assert np.allclose(whole.connected(2), parts.connected(2), rtol=1e-13)
    assert np.array_equal(ensemble.in_places().read(0, 5), ensemble.read(0, 5))
    assert m.FromKey(several, outputs=2).outputs == 2
    waves = of(lambda key, x: jnp.cos(x[:, 0] + 2 * jnp.pi * jax.random.uniform(key)), n=5000)
    assert inf.symmetry(waves, inf.Translations()).p > 1e-4  # derivatives are those of the same network
    tilted = of(lambda key, x: (1 + 0.3 * x[:, 0]) * jnp.cos(x[:, 0] + 2 * jnp.pi * jax.random.uniform(key)), n=5000)
    assert inf.symmetry(tilted, inf.Translations()).p < 1e-4


def test_images_and_complex_fields():
    pictures = np.random.default_rng(0).normal(size=(2, 12))

    def draw(key, images):
        assert images.shape == (2, 3, 4)
        return jnp.einsum("kij,ij->k", images, jax.random.normal(key, (3, 4)))

    assert of(draw, pictures, shape=(3, 4)).read(0, 5).shape == (5, 2)
    with pytest.raises(ValueError, match=r"points of 16 numbers for shape=\(4, 4\), got 12 of each; try images"):
        of(draw, pictures, shape=(4, 4))
    with pytest.raises(ValueError, match=r"\(point, axis\), got \(2, 3, 4\).*m.FromKey\(draw, shape=\(3, 4\)"):
        of(draw, pictures.reshape(2, 3, 4), shape=(3, 4))
    waves = of(lambda key, x: jnp.exp(1j * x[:, 0]) * jax.random.normal(key), complex_parts=True)
    assert waves.outputs == 2
    with pytest.raises(ValueError, match="got a complex one; try complex_parts=True"):
        of(lambda key, x: jnp.exp(1j * x[:, 0]) * jax.random.normal(key))


def test_blocks_know_how_large_a_network_is():
    def wide(key, x):
        return jax.random.normal(key, (len(x), 5000)).sum(axis=1)

    assert of(wide).numbers >= 15_000
    assert of(wide).block * of(wide).numbers < 200_000
    looped = of(lambda key, x: jax.lax.fori_loop(0, 2, lambda k, phi: phi + wide(key, x), jnp.zeros(len(x))))
    assert looped.numbers >= 15_000
    assert (
        inf.Ensemble(m.Placed(m.FromKey(wide), 1), points=np.c_[X, 0 * X], n=9, key=KEY, site="places").numbers > 9000
    )


class Counter:
    """A network that keeps state between calls."""

    calls = 0.0

    def __call__(self, key, x):
        self.calls += 1.0
        return self.calls * x[:, 0] * jax.random.normal(key)


def called_back(key, x, method):
    spread = jax.pure_callback(
        lambda k: FROZEN.normal(size=3).astype("f4"),
        jax.ShapeDtypeStruct((3,), "float32"),
        jax.random.key_data(key),
        vmap_method=method,
    )
    return spread * jax.random.normal(key)


FROZEN = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("draw", "complaint"),
    [
        (
            lambda key, x: x[:, 0],
            "random in its key, got the same one of <lambda> from 32 keys; try making the network",
        ),
        (lambda key, x: x[:, 0] * np.random.normal(), "random in its key"),  # noqa: NPY002
        (lambda key, x: x[:, 0] * random.gauss(0, 1), "random in its key"),
        (
            lambda key, x: jax.random.normal(key) * x[:, 0] + FROZEN.normal(size=3),
            "same field from the same key.*jax.random",
        ),
        (jax.jit(lambda key, x: jax.random.normal(key) * x[:, 0] + FROZEN.normal()), "same field from the same key"),
        (Counter(), "same field from the same key, got another one of Counter when it was asked again"),
        (
            lambda key, x: jax.random.normal(key, (3, 1)),
            r"shape \(point,\) = \(3,\) from <lambda>, got \(3, 1\); try \[\.\.\., 0\]",
        ),
        (lambda key, x: jax.random.normal(key, (1, 3)), r"got \(1, 3\); try \[0\] at its end"),
        (lambda key, x: jax.random.normal(key, (3, 2)), r"got \(3, 2\); try m.FromKey\(draw, outputs=2\)"),
        (lambda key, x: jax.random.normal(key, ()), r"got \(\); try jax.vmap\(net\)\(points\)"),
        (lambda key, x: jax.random.normal(key, (4,)), r"got \(4,\); try one number a point"),
        (lambda key, x: jax.random.bernoulli(key, shape=(3,)), "float32 or float64 numbers.*got bool; try .astype"),
        (lambda key, x: jax.random.normal(key, (3,), jnp.bfloat16), "got bfloat16; try .astype"),
        (
            lambda key, x: jnp.log(-(jax.random.normal(key, (3,)) ** 2)),
            "finite fields from <lambda>, got nan at point 0",
        ),
        (
            lambda key, x: np.asarray(jax.random.normal(key, (3,))),
            "that JAX can trace, got TracerArrayConversionError.*try jnp",
        ),
        (lambda key, x: x[:, 0] if jax.random.normal(key) > 0 else -x[:, 0], "JAX can trace, got TracerBoolConversion"),
        (
            lambda key, x: eqx.nn.MLP(2, "scalar", 4, 1, key=key)(x),
            r"give a field at points \(3, 1\), got .* in <lambda>",
        ),
        (lambda key, x: undefined(x), "got NameError: name 'undefined' is not defined in <lambda>; try draw"),  # pyright: ignore
        (lambda key, x: called_back(key, x, None), "jax.vmap maps over keys, got .* in <lambda>; try jax.numpy alone"),
        (lambda key, x: called_back(key, x, "sequential"), "same field from the same key"),
        (jax.random.normal, "expected draw"),
        (eqx.nn.MLP, r"got <class .*; try m.FromKey\(lambda key, x: .*jax.vmap\(Net\(key=key\)\)\(x\)"),
        (eqx.nn.MLP(1, "scalar", 4, 1, key=KEY), r"expected a function draw\(key, points\), got MLP"),
        (lambda key, x: None, "got ValueError: None is not a valid value"),
    ],
)
def test_what_a_few_draws_show_is_refused(draw, complaint):
    with pytest.raises(ValueError, match=complaint):
        of(draw)


def test_transposed_outputs_options_and_functions_of_a_key_without_the_contract():
    with pytest.raises(ValueError, match=r"\(point, output\) = \(3, 2\).*got \(2, 3\); try .T at its end"):
        of(lambda key, x: several(key, x).T, outputs=2)
    with pytest.raises(ValueError, match=r"got \(3, 4\); try one number a point and output, outputs=2 of them"):
        of(lambda key, x: jax.random.normal(key, (3, 4)), outputs=2)
    with pytest.raises(ValueError, match="expected outputs, a number of fields, to be at least 1, got 0"):
        m.FromKey(cosines, outputs=0)
    with pytest.raises(ValueError, match=r"expected the shape of one point.*got 28; try shape=\(28, 28\)"):
        m.FromKey(cosines, shape=28)
    with pytest.raises(ValueError, match=r"expected a function draw\(key, points\), got 'cos'"):
        m.FromKey("cos")
    with pytest.raises(
        ValueError, match=r"function of the points alone, got cosines\(key, points\).*try m.FromKey\(cosines\)"
    ):
        inf.Ensemble(cosines, points=X, n=10, key=KEY)
    with pytest.raises(ValueError, match="expected a key from a seed handler"), pytest.warns(UserWarning, match="seed"):
        m.FromKey(cosines)(X)


def test_compiled_and_mapped_by_its_owner():
    """A function of one point, mapped and compiled: what stands inside is asked again in one layer only."""

    def one(key, x):
        return jnp.tanh(x @ jax.random.normal(key, (1, 8))).sum() if x.ndim == 1 else x[:, 0] * 0.0

    draw = jax.jit(jax.vmap(one, in_axes=(None, 0)))
    assert of(draw).read(0, 3).shape == (3, 3)
    assert of(eqx.filter_jit(draw)).read(0, 3).std() > 0.1


def test_signs_at_one_point_are_random():
    assert of(lambda key, x: jnp.sign(jax.random.normal(key, (1,))), X[:1]).n == 2000
