"""The metric W of score matching belongs to the equations alone: units, prior and eps4 are those of the field.

Exact: whatever W is given, the prior of the physical couplings is that of the measured two-point function, on every
road of a fit. Random: posteriors under two metrics agree in their own errors, and disagree if W sets the prior.
"""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.metric import over_translations
from nnft.inference.equations.terms import terms_of
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.unit import default_prior, relaxed
from tests.oracles import planted
from tests.statistics import agree, disagree

STRONG = planted("lat", 8.0, 3)  # <phi^2> is a tenth of the free propagator's
FREE = STRONG.covariance
POINTS = np.arange(3.0)[:, None]


@pytest.fixture(scope="module")
def fields():
    return STRONG.draw(20_000, np.random.default_rng(1))


@pytest.fixture(scope="module")
def by_metric(fields):
    measured = fields.T @ fields / len(fields)
    samples = inf.Samples(fields, POINTS)
    return [prepare(samples, m.Bilocal(), metric=w) for w in (FREE, measured)]


def _posterior(problem, prior):
    mean, covariance = gaussian_posterior(problem.equations, prior)
    q, factors = problem.quadratic, problem.factors
    return (mean / factors)[q:], (np.sqrt(np.diag(covariance)) / factors)[q:]


def test_posteriors_under_two_metrics_agree_and_cover_the_truth(by_metric):
    """W = the free propagator, ten times too large, and W = G2: the same couplings, both those planted."""
    (one, sd), (other, other_sd) = (_posterior(problem, problem.prior) for problem in by_metric)
    agree(one, other, (sd, other_sd))
    agree(one, STRONG.couplings, sd)
    agree(other, STRONG.couplings, other_sd)


def test_planted_fault_a_prior_worth_one_network_of_the_metric(by_metric):
    """The prior of fields of covariance W pulls the couplings away, by 20 to 50 of their errors."""
    problem = by_metric[0]
    old = default_prior(terms_of(m.Bilocal(), FREE, np.ones(3)))
    q, factors = problem.quadratic, terms_of(m.Bilocal(), FREE, np.ones(3)).factors
    ratio = problem.factors / factors
    eq = problem.equations._replace(
        matrix=problem.equations.matrix * np.outer(ratio, ratio),
        vector=problem.equations.vector * ratio,
        noise=problem.equations.noise * np.outer(ratio, ratio),
    )
    mean, covariance = gaussian_posterior(eq, old)
    sd = (np.sqrt(np.diag(covariance)) / factors)[q:]
    disagree((mean / factors)[q:], STRONG.couplings, sd)


ROADS = {
    "correlators": (m.Bilocal(), 3),
    "fields, degree six": (m.FullSextic(), 2),
    "fields, many points": (m.Local(), 11),
    "lattice": (m.LatticePhi4(shape=(12,)), 12),
    "modes": (m.Modes(2), 3),
}


@pytest.mark.parametrize("road", ROADS)
def test_whatever_the_metric_the_prior_is_that_of_the_field(road):
    """Physical prior mean and covariance under W = 1 + a gradient of sizes: those of the two-point function."""
    action, points = ROADS[road]
    rng = np.random.default_rng(2)
    scales = np.ones(points) if road == "lattice" else np.linspace(0.5, 1.5, points)
    fields = (rng.normal(size=(2000, points)) + 0.3 * rng.normal(size=(2000, 1))) * scales
    samples = inf.Samples(fields, np.arange(float(points))[:, None])
    metric = np.diag(np.linspace(3.0, 5.0, points)) + (0.5 if road in ("correlators", "modes") else 0.0)
    problem = prepare(samples, action, metric=metric)
    lattice = road == "lattice"
    measured = fields.T @ fields / len(fields)
    kernel = over_translations(samples, action) if lattice else measured
    if road == "modes":
        held = fields[:500].T @ fields[:500] / 500  # they choose the modes, the others are fitted
        values, vectors = np.linalg.eigh(held)
        modes = (vectors[:, ::-1] / np.sqrt(values[::-1]))[:, :2].T
        np.testing.assert_allclose(np.abs(problem.modes), np.abs(modes), rtol=1e-9)
        kernel = problem.modes @ (fields[500:].T @ fields[500:] / 1500) @ problem.modes.T
        np.testing.assert_allclose(problem.metric, problem.modes @ metric @ problem.modes.T, rtol=1e-9)
    np.testing.assert_allclose(problem.two_point, kernel, rtol=1e-6, atol=1e-9)
    terms = terms_of(action, kernel, np.ones(len(kernel)))
    scaled = kernel / np.outer(terms.scale, terms.scale)
    worth = np.sqrt(points) if lattice else 1.0
    prior = default_prior(terms, scale=worth, homogeneous=lattice, two_point=scaled)
    ratio, eq = problem.factors / terms.factors, problem.equations
    prior = relaxed(prior, eq.matrix * np.outer(ratio, ratio), eq.noise * np.outer(ratio, ratio), scale=worth)
    np.testing.assert_allclose(problem.prior.mean / problem.factors, prior.mean / terms.factors, rtol=1e-5, atol=1e-7)
    mine, theirs = problem.prior.factor / problem.factors[:, None], prior.factor / terms.factors[:, None]
    np.testing.assert_allclose(mine @ mine.T, theirs @ theirs.T, rtol=1e-5, atol=1e-7)


def test_a_distribution_in_place_of_the_prior_is_in_units_of_the_field(by_metric):
    """Scaled g = g G2^2 whatever W is: a prior of N(0, 1) on it does not know W."""
    for problem in by_metric:
        variance = np.diag(problem.data.tensor(2, "moment"))
        np.testing.assert_allclose(problem.scale**2, variance, rtol=1e-12)
        np.testing.assert_allclose(problem.factors[problem.quadratic :][:3], variance**2, rtol=1e-12)


def test_a_metric_that_is_no_scalar_product_is_refused(fields):
    with pytest.raises(ValueError, match=r"expected a positive definite metric, got the eigenvalue -0\.5; try G2"):
        prepare(inf.Samples(fields[:2000], POINTS), m.Local(), metric=np.eye(3) - 0.5 * (np.ones((3, 3))))
