"""The rungs of the ladder fitted end to end: lattices, smooth, low rank, modes, sextic; methods and samplers agree.

Planted fields by rejection (`tests/oracles.py`), false alarm 1e-6 a test unless said; each fault is seen at the same
size of sample.
"""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

from nnft import inference as inf
from nnft import models as m
from nnft.inference.ensembles.modes import in_modes, leading_modes
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.marginal import marginal
from nnft.models.actions.ladder import action_of
from tests.oracles import planted
from tests.statistics import agree, disagree

POINTS = np.arange(3.0)[:, None]
KEY = jax.random.key(0)
QUICK = {"sampler": inf.Nuts(chains=2, warmup=150, draws=150)}


@pytest.fixture(scope="module")
def truth():
    return planted("lat", 0.3, 3)


@pytest.fixture(scope="module")
def samples(truth):
    return inf.Samples(truth.draw(20_000, np.random.default_rng(2)), POINTS)


@pytest.fixture(scope="module")
def data(samples):
    return inf.measure(samples)


def _mean_sd(fit: xr.DataTree, *names: str) -> tuple[np.ndarray, np.ndarray]:
    draws = np.concatenate([fit["posterior"][name].values for name in names], axis=-1)
    return draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))


def test_closed_and_variational_samplers_give_the_closed_posterior(data):
    """Means and widths within Monte Carlo error of mean and covariance; the naive widths are seen; k-hat is good."""
    problem = prepare(data, m.Local())
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    sd = np.sqrt(np.diag(covariance)) / problem.factors
    naive = np.sqrt(np.diag(problem.equations.naive)) / problem.factors
    for sampler in (inf.Closed(draws=2000), inf.Variational(draws=2000)):
        fit = inf.fit(data, m.Local(), key=KEY, sampler=sampler)
        mean, width = _mean_sd(fit, "q", "g")
        # A guide fitted by stochastic gradients is off by what 8 particles leave: five per cent of a sd at most here.
        slack = 0.0 if sampler.word == "closed" else 0.05
        agree(mean, centre / problem.factors, sd * np.hypot(1 / np.sqrt(8000), slack))
        agree(width / sd, 1.0, np.full(len(sd), np.hypot(1 / np.sqrt(16_000), slack)))
        disagree(width / naive, 1.0, np.full(len(sd), np.hypot(1 / np.sqrt(16_000), slack)))
        assert fit.attrs["sampler"] == sampler.word
        assert fit.attrs.get("guide_khat", 0.0) < 0.7


def test_a_guide_says_when_it_is_not_the_posterior(data):
    """A prior with a sharp peak far from the data leaves a posterior no Gaussian follows: k-hat is worse for it."""
    peaked = {"quadratic": dist.StudentT(1.0, 0.0, 1e-4)}
    fit = inf.fit(data, m.Constant(), key=KEY, sampler=inf.Variational(draws=50), prior=peaked)
    plain = inf.fit(data, m.Constant(), key=KEY, sampler=inf.Variational(draws=50))
    assert fit.attrs["guide_khat"] > plain.attrs["guide_khat"]


def test_methods_agree_on_planted_couplings(samples, truth):
    """Score matching, pseudo-likelihood and gold each cover the planted couplings; tree level is biased and says so."""
    found = {
        method: inf.fit(samples, m.Bilocal(), key=KEY, sampler=inf.Closed(draws=200), method=method)
        for method in ("score", "pseudo", "gold", "tree")
    }
    for method in ("score", "pseudo", "gold"):
        mean, sd = _mean_sd(found[method], "g", "u", "v")
        agree(mean, truth.couplings, sd)
        disagree(mean, 0.0 * truth.couplings, sd)
        assert found[method].attrs["method"] == method
    mean, sd = _mean_sd(found["tree"], "g", "u", "v")
    disagree(mean, truth.couplings, sd)
    bias = found["tree"]["constant_data"]["truncation_bias"] / found["tree"]["constant_data"]["factors"]
    nearer = mean - bias.values[6:]
    assert np.linalg.norm(nearer - truth.couplings) < np.linalg.norm(mean - truth.couplings)
    assert "log_likelihood" in found["gold"].children


def test_lattice_couplings_come_back_from_fields():
    """A ring of twelve sites, more than correlators can carry: planted g and m2; a wrong kappa is seen."""
    chain = planted("lat", 0.3, 6)
    kernel = np.kron(np.eye(2), chain.covariance)
    from dataclasses import replace

    g = np.full(12, 0.3)
    ring = replace(chain, covariance=kernel, g=g, u=np.zeros((12, 12)), v=np.zeros((12, 12)))
    fields = ring.draw(4000, np.random.default_rng(5)).reshape(-1, 6)
    samples = inf.Samples(fields, np.arange(6.0)[:, None])
    inverse = np.linalg.inv(chain.covariance)
    kappa, m2 = -0.5 * inverse[0, 1], 0.5 * (inverse[0, 0] + 2 * inverse[0, 1])
    for action in (m.LatticePhi4(shape=(6,)), m.LatticePhi4(shape=(6,), kappa=float(kappa))):
        fit = inf.fit(samples, action, key=KEY, sampler=inf.Closed(draws=500))
        names = [n for n in ("kappa", "m2", "coupling") if n in fit["posterior"]]
        mean, sd = _mean_sd(fit, *names)
        planted_values = np.array([{"kappa": kappa, "m2": m2, "coupling": 0.3}[n] for n in names])
        agree(mean, planted_values, sd)
        disagree(2.0 * mean, planted_values, sd)
        # What was observed has its prediction, also where the means of the terms were observed beside it.
        assert set(fit["observed_data"].data_vars) == set(fit["posterior_predictive"].data_vars) == {"G2", "G4"}
    assert {"T", "T_error", "G4_error"} <= set(fit["constant_data"].data_vars)
    invariant = inf.fit(samples, m.TranslationInvariant(shape=(6,), reach=1), key=KEY, sampler=inf.Closed(draws=500))
    mean, sd = _mean_sd(invariant, "coupling", "u", "v")
    agree(mean, np.array([0.3, 0.0, 0.0, 0.0]), sd)
    assert invariant["posterior"]["u"].dims == ("chain", "draw", "u_step")


def test_the_sextic_action_from_fields_and_from_exact_moments():
    """Exact moments give fit_polynomial's couplings; planted phi^4 without phi^6 comes back with g6 = 0."""
    exact = m.exact(m.Network(m.Cos(), width=100), np.zeros((1, 1)), orders=(2, 4, 6, 8, 10))
    point = inf.fit(exact, m.FullSextic(), key=KEY)["point"]
    table = inf.fit_polynomial(exact, 6)
    for name, degree in (("q", 2), ("g4", 4), ("g6", 6)):
        np.testing.assert_allclose(point[name].values, table[degree], rtol=1e-6)
    truth = planted("lat", 1.0, 2)
    samples = inf.Samples(truth.draw(100_000, np.random.default_rng(3)), np.arange(2.0)[:, None])
    fit = inf.fit(samples, m.FullSextic(), key=KEY, sampler=inf.Closed(draws=500))
    quartic = truth.couplings @ m.Bilocal().monomials(2, np.ones(2))
    mean, sd = _mean_sd(fit, "g4", "g6")
    agree(mean, np.concatenate([quartic, np.zeros(7)]), sd)
    disagree(mean[:5], 0 * quartic, sd[:5])


def test_modes_are_the_marginal_of_the_points(samples, data):
    """All modes: the same density in other coordinates, so the same couplings turned; fewer: fewer fields, unit K."""
    kernel = np.cov(samples.read(0, samples.n).T)
    modes, share = leading_modes(kernel, 3)
    assert share == pytest.approx(1.0)
    _, turned = in_modes(samples, modes)
    seen = inf.fit(turned, m.FullQuartic(), key=KEY, sampler=inf.Closed(draws=200), method=inf.Score(metric=np.eye(3)))
    plain = inf.fit(samples, m.FullQuartic(), key=KEY, sampler=inf.Closed(draws=200), method=inf.Score(metric=kernel))
    from nnft.models.diagrams.from_couplings import vertex
    from tests.oracles import couplings_from_vertex

    back = np.linalg.inv(modes)  # phi = back c
    tensor = vertex(plain["constant_data"]["estimate"].values[6:] / plain["constant_data"]["factors"].values[6:], 3)
    expected = couplings_from_vertex(np.einsum("abcd,ai,bj,ck,dl->ijkl", tensor, *[back] * 4))
    found = seen["constant_data"]["estimate"].values[6:] / seen["constant_data"]["factors"].values[6:]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    fit = inf.fit(samples, m.Modes(2), key=KEY, sampler=inf.Closed(draws=200))
    assert fit["posterior"].sizes["quad"] == 5
    assert fit["constant_data"]["modes"].shape == (2, 3)
    exact = m.exact(m.Network(m.Cos(), 50), np.array([[-1.0], [0.0], [1.0]]))
    point = inf.fit(exact, m.Modes(2), key=KEY)
    assert np.isfinite(point["point"]["g4"].values).all()
    with pytest.raises(ValueError, match=r"at most 3 modes.*got 4"):
        inf.fit(samples, m.Modes(4), key=KEY)


def test_a_marginal_is_the_gaussian_posterior_without_its_quadratic_part(data):
    """What structured priors see: with the default prior put back, mean and covariance of the quartic couplings."""
    problem = prepare(data, m.Bilocal())
    given, q = marginal(problem.equations, problem.prior), problem.quadratic
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    inverse = np.linalg.inv(problem.prior.factor4)
    joint = np.linalg.inv(given.precision + inverse.T @ inverse)
    np.testing.assert_allclose(joint, covariance[q:, q:], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(joint @ given.precision @ given.centre, centre[q:], rtol=1e-6, atol=1e-9)
    quadratic = given.offset - given.slope @ centre[q:]
    np.testing.assert_allclose(quadratic, centre[:q], rtol=1e-6, atol=1e-9)
    spread = given.root @ given.root.T + given.slope @ covariance[q:, q:] @ given.slope.T
    np.testing.assert_allclose(spread, covariance[:q, :q], rtol=1e-6, atol=1e-12)


def test_a_smooth_prior_covers_and_predicts_between_points(data, truth):
    """Planted couplings covered, a field of zeros not; values between the points with larger errors than at them."""
    fit = inf.fit(data, m.Bilocal(), key=KEY, prior=inf.SmoothPrior(), **QUICK)
    mean, sd = _mean_sd(fit, "g", "u", "v")
    agree(mean, truth.couplings, sd)
    disagree(mean, 0.0 * truth.couplings, sd)
    assert {"amplitude", "length", "discrepancy"} <= set(fit["posterior"].data_vars)
    variance = np.diag(fit["constant_data"]["metric"].values)
    here = inf.interpolate(fit, POINTS, key=KEY, variance=variance)
    far = inf.interpolate(fit, np.array([[0.5], [9.0]]), key=KEY, variance=np.ones(2))
    assert far["lam"].dims == ("draw", "i", "x", "y")
    assert "marginal" in here.attrs["note"]
    spread = far["g"].std("draw").values
    assert spread[1] > spread[0]  # far from all points the process knows its amplitude only
    with pytest.raises(ValueError, match=r"expected variance= at the new points"):
        inf.interpolate(fit, np.array([[0.5]]), key=KEY)
    with pytest.raises(ValueError, match=r"expected a fit with a smooth prior.*got Local"):
        inf.interpolate(inf.fit(data, m.Local(), key=KEY, sampler=inf.Closed(draws=200)), POINTS, key=KEY)


def test_low_rank_couplings_are_products(data, truth):
    """The planted v = .5 g exp(-d^2/2) of three sites on a ring is of rank one off its diagonal; draws are products."""
    prior, sampler = inf.LowRankPrior(rank=1), inf.Nuts(chains=2, warmup=300, draws=200)
    fit = inf.fit(data, m.Bilocal(), key=KEY, prior=prior, sampler=sampler)
    v = fit["posterior"]["v"].values
    mean, sd = _mean_sd(fit, "g", "v")
    agree(mean, np.concatenate([truth.g, truth.v[np.triu_indices(3, 1)]]), sd)
    assert v.shape == (2, 200, 3)
    u = fit["posterior"]["u"].values.reshape(-1, 6)  # ordered pairs 01 02 10 12 20 21
    left, right = u[:, 0] * u[:, 3] * u[:, 4], u[:, 1] * u[:, 2] * u[:, 5]
    np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-15)  # c0e1 c1e2 c2e0 = c0e2 c1e0 c2e1
    with pytest.raises(ValueError, match=r"rank >= 1"):
        inf.LowRankPrior(rank=0)


def test_refusals_of_methods_and_samplers(data, samples):
    """Each says what was expected, what came and what to try."""
    with pytest.raises(ValueError, match=r"expected method among.*got 'scores'; try 'score'"):
        inf.fit(data, m.Local(), key=KEY, method="scores")
    with pytest.raises(ValueError, match=r"expected sampler among.*got 'nut'; try 'nuts'"):
        inf.fit(data, m.Local(), key=KEY, sampler="nut")
    with pytest.raises(ValueError, match=r"default Gaussian prior for sampler='closed', got SmoothPrior"):
        inf.fit(data, m.Bilocal(), key=KEY, prior=inf.SmoothPrior(), sampler="closed")
    with pytest.raises(ValueError, match=r"default Gaussian prior for sampler='closed'"):
        inf.fit(data, m.Local(), key=KEY, sampler="closed", prior={"quartic": dist.Normal(0, 1)})
    bare = m.Correlators.from_arrays(
        POINTS,
        moments={r: data.moment(r) for r in (2, 4, 6)},
        covariance=np.eye(6 + 15 + 28) * 1e-6,
        networks=20_000,
        dof=1000,
    )
    with pytest.raises(ValueError, match=r"expected networks for method='gold'.*got correlators"):
        inf.fit(bare, m.Local(), key=KEY, method="gold")
    with pytest.raises(ValueError, match=r"expected networks to fit FullSextic"):
        inf.fit(bare, m.FullSextic(), key=KEY)
    with pytest.raises(ValueError, match=r"no quadrature weights for an action of modes"):
        inf.fit(samples, m.Modes(2), key=KEY, weights=np.ones(3))
    heavy = inf.Ensemble(m.Network(m.Cos(), 20), points=np.array([[-1.0], [1.0]]), n=5000, key=KEY)
    with pytest.raises(ValueError, match=r"bounded|normalis"):
        inf.fit(heavy, m.FullQuartic(), key=KEY, method="gold")


def test_a_prior_is_no_action():
    """The names of before are refused with the prior they are, and the user's own values; files of before are read."""
    with pytest.raises(
        ValueError, match=r"an action, got a prior; try inf.fit\(data, m.Bilocal\(\), prior=inf.SmoothPr"
    ):
        inf.fit(None, m.SmoothBilocal(discrepancy=False), key=KEY)
    with pytest.raises(ValueError, match=r"prior=inf.LowRankPrior\(rank=2\), key=key\)"):
        m.LowRankBilocal(rank=2)
    assert action_of({"action": "SmoothBilocal", "action_options": '{"discrepancy": true}'}) == m.Bilocal()
