"""Inverse distribution functions of NumPyro's laws against SciPy's, and how many numbers a draw of each law takes."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from nnft.inference.quantiles import numbers_taken, quantile

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
