"""Inverse distribution functions against SciPy's, and scrambled points: evenly spread, nested, independent.

`agree` alarms falsely once in a million tests.
"""

from threading import Thread

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import special, stats
from scipy.stats import qmc

from nnft.inference import Sobol, quantile
from nnft.inference.quasirandom import scrambles
from nnft.inference.quasirandom.quantiles import numbers_taken
from nnft.inference.quasirandom.scrambles import Plan, scrambled
from nnft.inference.quasirandom.sobol import plan_points
from tests.statistics import agree, disagree

KEY = jax.random.key(7)


QUANTILES = {
    "student": (dist.StudentT(3.0, 1.0, 2.0), stats.t(3.0, 1.0, 2.0)),
    "gamma": (dist.Gamma(0.7, 2.0), stats.gamma(0.7, scale=0.5)),
    "beta": (dist.Beta(2.0, 0.6), stats.beta(2.0, 0.6)),
    "chi2": (dist.Chi2(3.0), stats.chi2(3.0)),
    "lognormal": (dist.LogNormal(0.1, 0.2), stats.lognorm(0.2, scale=np.exp(0.1))),
    "truncated": (dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=0.5), stats.truncnorm(-1.0, 0.5)),
    "half cauchy": (dist.HalfCauchy(2.0), stats.halfcauchy(scale=2.0)),
    "bernoulli": (dist.Bernoulli(0.3), stats.bernoulli(0.3)),
    "categorical": (
        dist.Categorical(jnp.array([0.2, 0.5, 0.3])),
        stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3])),
    ),
    "fixed": (dist.Delta(2.0), None),
}


@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_are_those_of_scipy(name):
    law, reference = QUANTILES[name]
    u = np.array([1e-15, 1e-6, 0.01, 0.19, 0.31, 0.69, 0.71, 0.9, 1 - 1e-12])
    u = u[1:-1] if name == "half cauchy" else u  # NumPyro's own, whose ends are rounded
    with jax.enable_x64(True):
        law = law.expand([len(u)])
        shape = (*law.batch_shape, *numbers_taken(law))
        found = np.asarray(quantile(law, jnp.broadcast_to(u.reshape(-1, *[1] * (len(shape) - 1)), shape)))
    expected = np.full(len(u), 2.0) if reference is None else reference.ppf(u)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_decreasing_transform_has_the_law_too():
    """1/Gamma is drawn through the Gamma: u and 1 - u change places, which no uniform number minds."""
    u = np.linspace(0.01, 0.99, 9)
    with jax.enable_x64(True):
        found = quantile(dist.InverseGamma(3.0, 2.0), jnp.asarray(u))
    np.testing.assert_allclose(found, stats.invgamma(3.0, scale=2.0).ppf(1 - u), rtol=1e-12)


SHAPES = {
    "expanded": (dist.Normal().expand([4, 3]).to_event(1), (3,)),
    "vector": (dist.MultivariateNormal(jnp.zeros(3), jnp.eye(3)).expand([4]), (3,)),
    "affine": (
        dist.TransformedDistribution(
            dist.Normal(jnp.zeros(3), 1.0).to_event(1), dist.transforms.LowerCholeskyAffine(jnp.zeros(3), jnp.eye(3))
        ).expand([4]),
        (3,),
    ),
    "columns": (dist.Gamma(2.0, jnp.ones((4, 1))).expand([4, 2]).to_event(1), (2,)),
    "masked": (dist.Normal().expand([4]).mask(False), ()),
}


@pytest.mark.parametrize("name", SHAPES)
def test_numbers_taken_are_those_of_the_shape(name):
    law, taken = SHAPES[name]
    assert numbers_taken(law) == taken
    assert quantile(law, jnp.full((4, *taken), 0.3)).shape == law.shape()


def cube(plan, key=KEY, piece=None):
    """All points, (scramble, point, dimension), in pieces of 2^piece."""
    low, high, seeds = scrambles.pieces(plan, key, plan.log2 if piece is None else piece)
    with jax.enable_x64(True):
        y = np.concatenate([low ^ h for h in high])
        return np.asarray(jax.jit(jax.vmap(lambda seed: scrambled(y, seed, plan.log2)))(seeds))


def test_the_points_are_the_scrambled_sequence():
    """Each axis of each scramble has one point in each of 2^k equal cells; the unscrambled ones are SciPy's."""
    points = cube(Plan(3, 6, 4))
    assert points.shape == (3, 64, 4)
    for scramble in points:
        np.testing.assert_array_equal(np.sort(np.floor(scramble * 64), axis=0), np.arange(64.0)[:, None] * np.ones(4))
    assert points.min() > 0.0
    assert points.max() < 1.0
    assert len(np.unique(points)) == points.size
    plain = scrambles._spanned(scrambles._directions(4, 6)) * 2.0**-52
    assert sorted(map(tuple, plain)) == sorted(map(tuple, qmc.Sobol(4, scramble=False).random(64)))


def test_scrambles_are_nested():
    """Points that share their first i bits of an axis share them after, and only they: bits are turned by a tree."""
    plan = Plan(2, 6, 3)
    before, after = scrambles._spanned(scrambles._directions(3, 6)) * 2.0**-52, cube(plan)
    for scramble in after:
        for i in range(1, 7):
            cells = [np.floor(points * 2**i) for points in (before, scramble)]
            same = [c[:, None] == c[None] for c in cells]
            np.testing.assert_array_equal(*same)


def test_every_coordinate_is_uniform_and_scrambles_independent():
    """4096 scrambles of one point: the mean of u, of u^2 and of products over axes and scrambles, at their errors."""
    u = cube(Plan(4096, 0, 2))[:, 0]
    agree(np.mean(u, axis=0), 0.5, 12**-0.5 / 64)
    agree(np.mean(u**2, axis=0), 1 / 3, (4 / 45) ** 0.5 / 64)
    agree(np.mean((u[:, 0] - 0.5) * (u[:, 1] - 0.5)), 0.0, 1 / 12 / 64)
    agree(np.mean((u[1:] - 0.5) * (u[:-1] - 0.5)), 0.0, 1 / 12 / 90.5)
    disagree(np.mean(u**3, axis=0), 1 / 3, 0.3 / 64)


def test_pieces_are_the_same_points():
    """Whatever is in cache together; and no number is so near an end that its quantile is infinite."""
    np.testing.assert_array_equal(cube(Plan(3, 6, 2), piece=4), cube(Plan(3, 6, 2)))
    ends = (np.array([0, 2**52 - 1], np.uint64) + 0.5) * 2.0**-52
    assert np.all(np.isfinite(special.ndtri(ends)))


def test_points_are_independent_of_how_many_scrambles_follow():
    few, many = (cube(Plan(r, 6, 2)) for r in (16, 32))
    np.testing.assert_array_equal(few, many[:16])
    assert not np.any(few == cube(Plan(16, 6, 2), jax.random.key(8)))


RULE = {
    "all components": (None, 4_000_000, 147, (735, 12)),
    "at least sixteen": (None, 1 << 20, 2, (16, 16)),
    "as many as leave 64": (None, 1 << 14, 609, (256, 6)),
    "given": (1024, 1 << 18, 609, (1024, 8)),
}


@pytest.mark.parametrize("name", RULE)
def test_how_many_scrambles(name):
    scrambles, n, components, expected = RULE[name]
    plan = plan_points(Sobol(scrambles), n, components, 2)
    assert plan[:2] == expected
    assert n / 2 < plan.total <= n


@pytest.mark.parametrize("scrambles", [15, 16.0, True])
def test_fewer_than_sixteen_scrambles_are_refused(scrambles):
    with pytest.raises(ValueError, match=r"expected at least 16 scrambles.*try Sobol\(scrambles=16\)"):
        Sobol(scrambles)
    assert Sobol(16) == Sobol(scrambles=16)


def test_inverse_functions_of_scipy_keep_their_digits_in_every_thread():
    """Twelve digits of the Gamma quantile also where JAX calls from a thread of single precision; twin: float32."""

    u = np.linspace(0.01, 0.99, 50)
    truth = stats.gamma(2.5).ppf(u)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda v: quantile(dist.Gamma(2.5, 1.0), v)).lower(jnp.asarray(u)).compile()
        values = jnp.asarray(u)
    found = []
    thread = Thread(target=lambda: found.append(np.asarray(compiled(values))))
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0], truth, rtol=1e-12)
    assert np.max(np.abs(stats.gamma(2.5).ppf(u.astype(np.float32)) / truth - 1.0)) > 1e-9
