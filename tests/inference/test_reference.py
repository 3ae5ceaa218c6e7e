"""The gold standard: references against quadrature, the Fisher step against the exact maximum, NUTS against both."""

from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

from nnft.inference import Samples, draw_reference, hausman
from nnft.inference.equations.from_fields import direct_equations
from nnft.inference.equations.terms import terms_of
from nnft.inference.fields.streams import field_stream
from nnft.inference.methods.gold import FieldLikelihood, log_likelihood, mean_terms
from nnft.inference.methods.reference import (
    gold_equations,
    judge_reference,
    log_partition,
    settled_reference,
    weights_at,
)
from nnft.inference.posterior.sampler import Nuts
from nnft.inference.priors.affine import Given, UnitInformation
from nnft.inference.priors.density import Setting
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.unit import default_prior
from nnft.models import Bilocal, FullQuartic, Local
from tests.oracles import planted
from tests.statistics import agree, disagree

ONE = terms_of(Local(), np.eye(1), np.ones(1))
GRID = np.linspace(-12.0, 12.0, 24_001)


def one_site(q, g):
    """log Z, means and covariance of (phi^2, phi^4) under exp(-q phi^2 - g phi^4), by the trapezoid rule."""
    weights = np.exp(-q * GRID**2 - g * GRID**4)
    powers = np.stack([GRID**2, GRID**4])
    mean = powers @ weights / weights.sum()
    centred = powers - mean[:, None]
    return np.log(weights.sum() * 0.001), mean, (centred * weights) @ centred.T / weights.sum()


def true_theta(truth, terms):
    """Scaled couplings of a planted action."""
    inverse = np.linalg.inv(truth.covariance)
    a, b = np.triu_indices(len(inverse))
    return np.concatenate([np.where(a == b, 0.5, 1.0) * inverse[a, b], truth.couplings]) * terms.factors


# ---- the reference --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "method"), [(0.005, "rejection"), (1.0, "NUTS")])
def test_moments_of_the_reference_are_those_of_quadrature(least, method):
    """<phi^2>, <phi^4> and their covariance at q = 1/2, g = 1/10, family-wise 1e-6; by both methods."""
    reference = draw_reference(ONE, np.array([0.5, 0.1]), 16_000, key=jax.random.key(1), least_acceptance=least)
    _, mean, covariance = one_site(0.5, 0.1)
    assert reference.method == method
    assert reference.size == 16_000
    assert (reference.effective == 16_000) == (method == "rejection")
    agree(reference.mean, mean, np.sqrt(np.diag(covariance) / reference.effective))
    centred = reference.kept - reference.kept.mean(axis=0)
    error = (centred[:, :, None] * centred[:, None]).std(axis=0) / np.sqrt(reference.effective)
    agree(reference.fisher, covariance, error)
    disagree(2.0 * reference.fisher, covariance, 2.0 * error)
    # the planted fault: the free theory, as if nothing were rejected
    disagree(reference.mean, one_site(0.5, 0.0)[1], np.sqrt(np.diag(covariance) / reference.effective))


def test_a_double_well_has_no_free_theory_and_is_drawn_by_chains():
    stream = field_stream(ONE, np.array([-1.0, 0.5]), 6_400, key=jax.random.key(2), least_acceptance=0.005)
    fields = stream.take(6_400)
    _, mean, covariance = one_site(-1.0, 0.5)
    assert stream.method == "NUTS"
    agree(np.mean(fields**2), mean[0], np.sqrt(covariance[0, 0] / stream.worth))


def test_fields_of_several_points_are_those_of_the_oracle():
    truth = planted("rbf", 0.5, 3)
    terms = terms_of(Bilocal(), truth.covariance, np.ones(3))
    reference = draw_reference(terms, true_theta(truth, terms), 100_000, key=jax.random.key(3))
    oracle = Samples(truth.draw(100_000, np.random.default_rng(3)), np.arange(3.0)[:, None])
    tbar, worth = mean_terms(oracle, terms)
    error = np.sqrt(np.diag(reference.fisher) / 100_000)
    assert worth == 100_000
    agree(reference.mean, tbar, (error, error))


def test_the_same_key_the_same_reference_and_another_another():
    draw = lambda seed: draw_reference(ONE, np.array([0.5, 0.1]), 1_000, key=jax.random.key(seed)).mean  # noqa: E731
    assert np.array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


def test_unbounded_actions_are_refused_with_the_number():
    terms = terms_of(FullQuartic(), np.eye(2), np.ones(2))
    theta = np.concatenate([[0.5, 0.0, 0.5], [1.0, 0.0, -3.0, 0.0, 1.0]])  # negative on the diagonal, -1/4
    with pytest.raises(ValueError, match=r"bounded below, which sampling, reweighting.*-0\.25.*try score matching"):
        draw_reference(terms, theta, 1_000, key=jax.random.key(0))
    with pytest.raises(ValueError, match="expected a pilot of 2 finite couplings"):
        draw_reference(ONE, np.zeros(3), 1_000, key=jax.random.key(0))
    with pytest.raises(ValueError, match="at least 4 reference fields for each of 2 terms, got 3"):
        draw_reference(ONE, np.array([0.5, 0.1]), 3, key=jax.random.key(0))


# ---- log Z ----------------------------------------------------------------------------------------------------------


def test_log_z_is_that_of_quadrature():
    """A fifth of the way to the free theory and beyond; the error of reweighting is that of the weights."""
    reference = draw_reference(ONE, np.array([0.5, 0.1]), 200_000, key=jax.random.key(4))
    for q, g in ((0.5, 0.1), (0.55, 0.12), (0.45, 0.11), (0.4, 0.15)):
        right = one_site(q, g)[0] - one_site(0.5, 0.1)[0]
        shift = np.array([q - 0.5, g - 0.1])
        with jax.enable_x64(True):
            found = float(log_partition(reference)(jnp.array([q, g])))
        error = np.sqrt(shift @ reference.fisher @ shift / reference.size) + 1e-12
        third = np.linalg.norm(shift @ np.linalg.cholesky(reference.fisher)) ** 3 / np.sqrt(len(reference.kept))
        agree(found, right, (error, 3.0 * third))


def test_kept_draws_correct_only_what_is_beyond_second_order():
    """All draws kept, and a thousand of them: the same to third order; without the control they differ by far."""
    theta, near = np.array([0.5, 0.1]), np.array([0.503, 0.101])
    draw = lambda kept: draw_reference(ONE, theta, 50_000, key=jax.random.key(5), kept=kept)  # noqa: E731
    whole, some = draw(50_000), draw(1_000)
    with jax.enable_x64(True):
        exact, found = (float(log_partition(r)(jnp.asarray(near))) for r in (whole, some))
        bare = float(np.log(np.mean(np.exp(-(some.kept @ (near - theta))))))
        full = float(np.log(np.mean(np.exp(-(whole.kept @ (near - theta))))))
    assert abs(exact - full) < 1e-12  # nothing but the reweighting
    assert abs(found - exact) < 2e-7
    assert abs(bare - exact) > 1e-5


# ---- recipe A -------------------------------------------------------------------------------------------------------


@cache
def three():
    """Fields of a planted action at three points, its reference and both estimates."""
    truth = planted("lat", 0.5, 3)
    n = 20_000
    source = Samples(truth.draw(n, np.random.default_rng(8)), np.arange(3.0)[:, None])
    action, weights = Bilocal(), np.ones(3)
    terms = terms_of(action, truth.covariance, weights)
    prior = default_prior(terms)
    score, seen = direct_equations(source, terms, pilot_precision=prior.precision, pilot_centre=prior.mean)
    tbar, _ = mean_terms(source, terms)
    reference, gold = settled_reference(terms, tbar, n, score.estimate, key=jax.random.key(9))
    return SimpleNamespace(**locals())


def test_the_averages_are_those_of_score_matching():
    assert np.allclose(three().tbar, three().seen.terms, rtol=1e-12)


def test_one_fisher_step_finds_the_planted_couplings():
    s = three()
    assert s.reference.size == 21 * s.n
    agree(s.gold.estimate, true_theta(s.truth, s.terms), np.sqrt(np.diag(s.gold.sandwich)))
    # the planted fault: a step the other way, from a pilot at which it matters
    far = draw_reference(s.terms, 0.7 * true_theta(s.truth, s.terms), 200_000, key=jax.random.key(1))
    step = gold_equations(s.terms, s.tbar, s.n, far)
    back = 2 * far.pilot - step.estimate
    disagree(back, true_theta(s.truth, s.terms), np.sqrt(np.diag(step.sandwich)))


def test_the_step_is_the_maximum_of_the_reweighted_likelihood():
    """For the same reference: within .05 standard deviations, every coupling."""
    s = three()
    with jax.enable_x64(True):
        value = lambda t: t @ jnp.asarray(s.tbar) + log_partition(s.reference)(t)  # noqa: E731
        slope, curvature = jax.jit(jax.grad(value)), jax.jit(jax.hessian(value))
        theta = np.array(s.gold.estimate)
        for _ in range(5):
            theta = theta - np.linalg.solve(np.asarray(curvature(theta)), np.asarray(slope(theta)))
        assert np.abs(slope(theta)).max() < 1e-9
    assert np.max(np.abs(theta - s.gold.estimate) / np.sqrt(np.diag(s.gold.sandwich))) < 0.05


def test_the_noise_of_the_reference_is_in_the_covariance():
    reference = draw_reference(ONE, np.array([0.5, 0.1]), 4_000, key=jax.random.key(6))
    found = gold_equations(ONE, reference.mean, 1_000, reference)
    assert np.allclose(found.sandwich, 1.25 * found.naive)
    assert np.allclose(found.naive, np.linalg.inv(reference.fisher) / 1_000)


def test_estimates_scatter_as_predicted_only_with_the_noise_of_the_reference():
    """100 data sets of 2000 networks, each with a reference of as many: chi^2 of 200, false alarm 1e-6 both ways."""
    theta, rng = np.array([0.5, 0.1]), np.random.default_rng(10)
    free = rng.normal(size=350_000)
    phi = free[rng.random(len(free)) < np.exp(-0.1 * free**4)][:200_000].reshape(100, 2_000)
    with_noise, without = 0.0, 0.0
    for k, fields in enumerate(phi):
        reference = draw_reference(ONE, theta, 2_000, key=jax.random.key(100 + k))
        found = gold_equations(ONE, np.array([np.mean(fields**2), np.mean(fields**4)]), 2_000, reference)
        shift = found.estimate - theta
        bound = 2_000 * one_site(*theta)[2]  # the exact Fisher matrix
        with_noise += shift @ bound @ shift / 2
        without += shift @ bound @ shift
    spread = np.sqrt(2 * 200)
    agree(with_noise, 200, spread)
    disagree(without, 200, spread)


def test_too_small_references_are_refused_or_flagged():
    reference = draw_reference(ONE, np.array([0.5, 0.1]), 4_000, key=jax.random.key(6))
    with pytest.raises(ValueError, match="got 4000 for 5000; try 20 times"):
        gold_equations(ONE, reference.mean, 5_000, reference)
    assert judge_reference(reference, 200, reference.pilot).verdict == "ok"
    flagged = judge_reference(reference, 1_000, reference.pilot)
    assert flagged.verdict == "flagged"
    assert "4.0 each and not 20: errors are 11.8% above" in flagged.why
    far = judge_reference(reference, 100, np.array([0.05, -0.05]))  # towards an unbounded action
    assert far.verdict == "refused"
    assert "k-hat" in far.why


def test_a_poor_pilot_is_moved_to_the_answer():
    """From couplings far too strong: one step would be far off, the settled one is not."""
    _, mean, _ = one_site(0.5, 0.1)
    pilot = np.array([0.7, 0.2])
    single = gold_equations(ONE, mean, 5_000, draw_reference(ONE, pilot, 100_000, key=jax.random.key(2)))
    reference, settled = settled_reference(ONE, mean, 5_000, pilot, key=jax.random.key(3))
    errors = np.sqrt(np.diag(settled.sandwich - settled.naive))  # exact averages: only the reference scatters
    agree(settled.estimate, [0.5, 0.1], errors)
    disagree(single.estimate, [0.5, 0.1], errors)
    assert weights_at(reference, settled.estimate)[0] > 0.9 * reference.effective


# ---- recipe B -------------------------------------------------------------------------------------------------------


def gold_setting(s):
    """The likelihood of the three sites, and what a prior needs to make a posterior of it."""
    blocks, found = s.action.blocks(3), FieldLikelihood(s.gold, s.reference, s.tbar)
    names = tuple((name, len(labels)) for name, labels in (s.action.quadratic_blocks(3) | blocks).items())
    points = np.arange(3.0)[:, None]
    return found, Setting(names, blocks, points, s.terms.factors, s.prior, s.gold, found.observed(), found.gaussian)


def test_nuts_is_the_fisher_step_and_its_width():
    s = three()
    found, setting = gold_setting(s)
    with jax.enable_x64(True):
        posterior = UnitInformation().posterior(setting)
        drawn = Nuts(chains=2, warmup=80, draws=300).draw(jax.random.key(11), posterior)
        sites = posterior.sites(drawn.unit, jax.random.key(11))
    mean, covariance = gaussian_posterior(s.gold, s.prior)
    whole = np.concatenate([sites[name] for name, _ in setting.names], axis=-1) * s.terms.factors
    theta = whole.reshape(-1, s.terms.size)
    sd = np.sqrt(np.diag(covariance))
    assert np.max(np.abs(theta.mean(axis=0) - mean) / sd) < 0.25  # skewness: of order 1/sqrt(n), see tests/proof
    assert np.max(np.abs(theta.std(axis=0) / sd - 1)) < 0.15
    assert drawn.stats["diverging"].sum() == 0
    assert drawn.stats["n_steps"].mean() < 10
    assert found.judged(whole)["reference_verdict"] == "ok"


def test_the_model_is_prior_times_tempered_likelihood():
    """With a prior of one's own, site by site: log densities at two places differ as they should."""
    s = three()
    setting, law = gold_setting(s)[1], dist.Normal(0.3, 0.2)
    tempered = s.n / (1 + s.n / s.reference.effective)
    rng, q = np.random.default_rng(13), s.terms.quadratic
    found, right = [], []
    with jax.enable_x64(True):
        model = Given({"quartic": law}).program(setting)
        for _ in range(2):
            theta = s.gold.estimate + 0.01 * rng.normal(size=s.terms.size)
            white = np.linalg.solve(s.prior.factor2, theta[:q] - s.prior.centre2 + s.prior.shift @ theta[q:])
            sites = {"quartic": jnp.asarray(theta[q:]), "quadratic_white": jnp.asarray(white)}
            found.append(float(log_density(model, (), {}, sites)[0]))
            shift = float(theta @ s.tbar + log_partition(s.reference)(jnp.asarray(theta)))
            right.append(-tempered * shift - 0.5 * white @ white - 0.5 * (((theta[q:] - 0.3) / 0.2) ** 2).sum())
    assert abs((found[0] - found[1]) - (right[0] - right[1])) < 1e-6


def test_log_likelihood_of_a_network_is_its_density():
    reference = draw_reference(ONE, np.array([0.5, 0.1]), 200_000, key=jax.random.key(4))
    fields, theta = np.array([[0.3], [-1.5]]), np.array([[0.5, 0.1], [0.52, 0.09]])
    found = log_likelihood(ONE, fields, theta, reference)
    log_z = np.array([one_site(*t)[0] for t in theta]) - one_site(0.5, 0.1)[0]
    right = -(theta @ np.stack([fields[:, 0] ** 2, fields[:, 0] ** 4])) - log_z[:, None]
    agree(found, right, 1e-4)  # log Z differs by its error, 0.02 sqrt(var(T)/200000)


# ---- Hausman --------------------------------------------------------------------------------------------------------


def test_score_matching_and_gold_agree_on_the_same_networks():
    s = three()
    found = hausman(s.score, s.gold, resolved=0.05)
    assert found.p > 1e-6
    assert 0.3 < found.rms / found.predicted < 3.0


def test_planted_fault_other_networks_are_seen():
    """The gold answer of other networks of the same action: independent errors, far more than the difference allows."""
    s = three()
    other = Samples(s.truth.draw(s.n, np.random.default_rng(80)), np.arange(3.0)[:, None])
    moved = gold_equations(s.terms, mean_terms(other, s.terms)[0], s.n, s.reference)
    assert hausman(s.score, moved, resolved=0.05).p < 1e-6


def test_hausman_refuses_what_it_cannot_judge():
    s = three()
    with pytest.raises(ValueError, match="the same couplings on the same networks"):
        hausman(s.score, s.gold._replace(networks=10.0))
    with pytest.raises(ValueError, match="the two estimates are the same"):
        hausman(s.gold._replace(noise=s.gold.matrix), s.gold._replace(noise=s.gold.matrix))
