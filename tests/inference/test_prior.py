"""The default prior is worth one network: of a Gaussian field, or at most ten of a field that tells less.

Exact: against the definition by generalised eigenvalues, the limit of well-informed directions, and scale. Random:
double wells with known couplings, which a prior worth one Gaussian network pulls hundreds of errors away.
"""

import numpy as np
import pytest
from scipy import linalg

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.terms import terms_of
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.unit import default_prior, relaxed
from tests.statistics import agree, disagree

TERMS = terms_of(m.Bilocal(), np.array([[1.0, 0.3], [0.3, 2.0]]), np.ones(2))
PLAIN = default_prior(TERMS)


def _spread(rng, size, smallest):
    """A positive matrix with eigenvalues between `smallest` and 2."""
    axes = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (axes * np.geomspace(smallest, 2.0, size)) @ axes.T


def test_no_direction_is_worth_more_than_ten_networks():
    """P' from scipy's generalised eigenproblem J v = mu P v, at any scale; the centre stays."""
    rng = np.random.default_rng(0)
    matrix, p = _spread(rng, TERMS.size, 0.1), PLAIN.precision
    noise = _spread(rng, TERMS.size, 1e-2) * 50.0
    values, v = linalg.eigh(matrix @ np.linalg.solve(noise, matrix), p)
    assert values[0] < 0.1 < values[-1]
    expected = p @ (v * np.minimum(1.0, 10.0 * values)) @ v.T @ p
    wide = relaxed(PLAIN, matrix, noise)
    np.testing.assert_allclose(wide.precision, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(wide.mean, PLAIN.mean)
    scaled = relaxed(default_prior(TERMS, scale=3.0), matrix, noise, scale=3.0)
    np.testing.assert_allclose(9.0 * scaled.precision, expected, rtol=1e-8, atol=1e-8)


def test_where_a_network_tells_a_tenth_the_prior_is_itself():
    """All mu_i >= 1/10: the same object, hence the same fit to the last digit; just below, it is another."""
    p = PLAIN.precision
    assert relaxed(PLAIN, p, 9.99 * p) is PLAIN
    assert relaxed(PLAIN, p, 10.01 * p) is not PLAIN


def _well(depth, n, seed=0):
    """phi of density exp(depth phi^2 - phi^4), by the inverse of its distribution function on a fine grid."""
    grid = np.linspace(-5.0, 5.0, 20_001)
    action = -depth * grid**2 + grid**4
    weight = np.exp(action.min() - action)
    return np.interp(np.random.default_rng(seed).uniform(size=n), np.cumsum(weight) / weight.sum(), grid)[:, None]


@pytest.mark.parametrize("depth", [12.0, 6.0])
def test_couplings_of_a_double_well_with_the_default_prior(depth):
    """q = -depth and g = 1 within their errors; with the prior of one Gaussian network they are not (planted fault)."""
    problem = prepare(inf.Samples(_well(depth, 400_000), np.zeros((1, 1))), m.Local())
    scaled = problem.two_point / problem.scale**2
    gaussian = default_prior(problem.terms, two_point=scaled)
    for prior, judge in ((problem.prior, agree), (gaussian, disagree)):
        mean, covariance = gaussian_posterior(problem.equations, prior)
        judge(mean / problem.factors, np.array([-depth, 1.0]), np.sqrt(np.diag(covariance)) / problem.factors)
