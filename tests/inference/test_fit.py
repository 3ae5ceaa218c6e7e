"""The fit end to end: NUTS against the closed form, planted couplings, what is saved, and what is refused."""

import sys
from dataclasses import replace

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro.infer import MCMC, NUTS

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.terms import terms_of
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior, log_likelihood, log_prior, precision, whitened
from nnft.inference.priors.unit import default_prior
from tests.oracles import planted
from tests.statistics import agree, disagree

POINTS = np.arange(3.0)[:, None]


@pytest.fixture(scope="module")
def truth():
    return planted("lat", 0.3, 3)


@pytest.fixture(scope="module")
def samples(truth):
    return inf.Samples(truth.draw(60_000, np.random.default_rng(2)), POINTS)


@pytest.fixture(scope="module")
def data(samples):
    return inf.measure(samples)


@pytest.fixture(scope="module")
def bilocal(data):
    return inf.fit(data, m.Bilocal(), key=jax.random.key(0), sampler=inf.Nuts(warmup=300, draws=800))


def _stack(fit: xr.DataTree) -> np.ndarray:
    posterior = fit["posterior"]
    return np.concatenate([posterior[name].values for name in ("q", "g", "u", "v")], axis=-1)


def test_nuts_reproduces_the_closed_form(bilocal, data):
    """Posterior means within Monte Carlo error of the Gaussian's, variances too; a tenfold prior must be seen."""
    problem = prepare(data, m.Bilocal())
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    factors = problem.factors
    draws = _stack(bilocal)
    mcse = np.concatenate([az.mcse(bilocal["posterior"][n].to_dataset(name=n))[n].values for n in ("q", "g", "u", "v")])
    agree(draws.mean(axis=(0, 1)), centre / factors, mcse)
    sd = np.sqrt(np.diag(covariance)) / factors
    ess = np.concatenate(
        [az.ess(bilocal["posterior"][n].to_dataset(name=n), method="sd")[n].values for n in ("q", "g", "u", "v")]
    )
    agree(draws.std(axis=(0, 1)) / sd, 1.0, 1.0 / np.sqrt(2.0 * ess))
    naive = np.sqrt(np.diag(problem.equations.naive)) / factors
    disagree(draws.std(axis=(0, 1)) / naive, 1.0, 1.0 / np.sqrt(2.0 * ess))


def test_planted_couplings_come_back(bilocal, truth):
    """All 15 planted couplings inside the calibrated error; frozen tadpoles (a planted zero) are not."""
    draws = np.concatenate([bilocal["posterior"][n].values for n in ("g", "u", "v")], axis=-1)
    mean, sd = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    agree(mean, truth.couplings, sd)
    disagree(mean, 0.0 * truth.couplings, sd)


def test_lam_is_the_stated_gauge(bilocal):
    """lam in the tree is gauge(g, u, v), labelled."""
    lam = bilocal["derived"]["lam"]
    assert lam.dims == ("chain", "draw", "i", "x", "y")
    blocks = {name: bilocal["posterior"][name].values for name in ("g", "u", "v")}
    np.testing.assert_allclose(lam.values, m.gauge(blocks, np.ones(3)), rtol=1e-12)


def test_it_saves_and_reloads_identical(bilocal, tmp_path):
    path = tmp_path / "fit.nc"
    bilocal.to_netcdf(path, engine="netcdf4")
    again = xr.open_datatree(path, engine="netcdf4").load()
    assert again.identical(bilocal)
    assert set(again.children) >= {
        "posterior",
        "derived",
        "unconstrained_posterior",
        "sample_stats",
        "log_prior",
        "log_likelihood",
        "prior",
        "prior_predictive",
        "predictions",
        "posterior_predictive",
        "observed_data",
        "constant_data",
        "correlators",
    }


def test_the_same_key_gives_the_same_posterior(data):
    """A fit is a function of its data and key."""
    short = inf.Nuts(warmup=50, draws=50)
    runs = [inf.fit(data, m.Constant(), key=jax.random.key(k), sampler=short) for k in (3, 3, 4)]
    first, second, other = (run["posterior"]["coupling"].values for run in runs)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_correlators_alone_can_be_fitted(data, samples):
    """Without the networks, B comes from the covariance of the moments: same centre, error within its own scatter."""
    metric = data.tensor(2, "moment")
    bare = replace(data, source=None)
    with_networks = prepare(data, m.Local(), metric=metric)
    without = prepare(bare, m.Local(), metric=metric)
    np.testing.assert_allclose(without.equations.estimate, with_networks.equations.estimate, rtol=1e-9)
    _, covariance = gaussian_posterior(without.equations, without.prior)
    reference = gaussian_posterior(with_networks.equations, with_networks.prior)[1]
    ratio = np.sqrt(np.diag(covariance) / np.diag(reference))
    agree(ratio, 1.0, np.full(len(ratio), 1.5 / np.sqrt(2.0 * data.dof)))
    disagree(ratio * 2.0, 1.0, np.full(len(ratio), 1.5 / np.sqrt(2.0 * data.dof)))


def test_quadrature_weights_only_rename_the_couplings(data):
    """lambda(x) on a grid of weights w is g/w, lambda_0(x,x) = g/w^2: the same action in other units."""
    w = np.array([0.5, 1.0, 2.0])
    plain = prepare(data, m.Bilocal())
    weighted = prepare(data, m.Bilocal(), weights=w)
    np.testing.assert_allclose(plain.equations.estimate, weighted.equations.estimate, rtol=1e-10)
    fit = inf.fit(data, m.Local(), key=jax.random.key(0), sampler=inf.Closed(draws=200), weights=w)
    lam = fit["derived"]["lam"].values[..., 0, :, :]
    g = fit["posterior"]["g"].values
    np.testing.assert_allclose(np.diagonal(lam, axis1=-2, axis2=-1), g / w**2, rtol=1e-12)


def test_prior_can_be_replaced_by_a_distribution(data, monkeypatch):
    """A prior a hundred times tighter than the data pins the couplings to itself, and is drawn in the prior group.

    Also at sizes where the default prior would be drawn from its closed form, which knows no other prior.
    """
    tight = dist.Normal(0.0, 1e-5)
    monkeypatch.setattr(sys.modules["nnft.inference.posterior.sampler"], "_NUTS_TERMS", 1)
    plain = inf.fit(data, m.Local(), key=jax.random.key(0), sampler=inf.Automatic(draws=20))
    assert plain.attrs["sampler"] == "closed"
    assert "diverging" not in plain["sample_stats"]
    drawing = inf.Automatic(warmup=200, draws=400)
    fit = inf.fit(data, m.Local(), key=jax.random.key(0), sampler=drawing, prior={"quartic": tight})
    assert fit.attrs["sampler"] == "nuts"
    scale = data.tensor(2)[[0, 1, 2], [0, 1, 2]] ** 2
    sd = (fit["posterior"]["g"] * scale).std(("chain", "draw")).values
    agree(sd / 1e-5, 1.0, np.full(3, 3.0 / np.sqrt(2 * 800)) + 0.05)  # metric of the held-out networks: scale to 5 %
    with pytest.raises(ValueError, match=r"expected prior for one of.*try 'quartic'"):
        inf.fit(data, m.Local(), key=jax.random.key(0), prior={"quartics": tight})


def test_the_handed_out_model_runs_on_another_kernel(data, bilocal):
    """inf.model under plain NUTS in double precision gives the same means; in single precision it refuses."""
    program = inf.model(data, m.Bilocal())
    with pytest.raises(ValueError, match="configure"):
        jax.eval_shape(lambda key: _trace(program, key), jax.random.key(0))
    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(program, dense_mass=True),
            num_warmup=600,
            num_samples=600,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(4))
        g = np.asarray(mcmc.get_samples(group_by_chain=True)["g"])
    ours = bilocal["posterior"]["g"].values
    se = (g.std(axis=(0, 1)) / np.sqrt(300), ours.std(axis=(0, 1)) / np.sqrt(1000))
    agree(g.mean(axis=(0, 1)), ours.mean(axis=(0, 1)), se)


def test_no_site_of_the_handed_out_model_stands_still(data):
    """Every number a user's own chains report moves, so that it has an R-hat: the zeros of a gauge would not."""
    program = inf.model(data, m.Bilocal())
    with jax.enable_x64(True):
        drawn = jax.vmap(lambda key: _trace(program, key))(jax.random.split(jax.random.key(5), 3))
    sites = {name: np.asarray(values) for name, values in drawn.items() if name != "equations"}
    assert set(sites) == {"quadratic_white", "quartic_white", "q", "g", "u", "v"}
    assert all(np.all(np.std(values, axis=0) > 0) for values in sites.values())


def _trace(program, key):
    from numpyro import handlers

    with handlers.trace() as trace, handlers.seed(rng_seed=key):
        program()
    return {name: site["value"] for name, site in trace.items()}


def test_the_default_prior_is_worth_one_network():
    """Its precision is the Gaussian Fisher information of one network: the terms under N(0, K), by sampling."""
    kernel = planted("rbf", 0.1, 3).covariance
    terms = terms_of(m.Bilocal(), kernel, np.ones(3))
    prior = default_prior(terms)
    rng = np.random.default_rng(8)
    phi = rng.multivariate_normal(np.zeros(3), terms.metric, size=400_000)
    sampled = np.concatenate([np.prod(phi[:, part], axis=-1) @ rows.T for part, rows in terms.tables], axis=1)
    # Groups give the error of the sampled Fisher matrix.
    groups = np.stack([np.cov(part.T) for part in np.split(sampled, 200)])
    fisher, error = groups.mean(axis=0), groups.std(axis=0, ddof=1) / np.sqrt(200)
    upper = np.triu_indices(len(fisher))
    agree(fisher[upper], prior.precision[upper], error[upper])
    disagree(fisher[upper], 3.0 * prior.precision[upper], error[upper])


def test_the_log_prior_is_the_gaussian_of_mean_and_precision():
    """At any couplings, exactly; with the mean forgotten it is not."""
    prior = default_prior(terms_of(m.Bilocal(), np.eye(3) + 0.2, np.ones(3)))
    off = np.random.default_rng(5).normal(size=(2, 4, len(prior.mean)))
    expected = -0.5 * np.einsum("cdi,ij,cdj->cd", off, prior.precision, off)
    np.testing.assert_allclose(log_prior(prior, {}, prior.mean + off), expected, rtol=1e-9)
    assert not np.allclose(log_prior(prior, {}, off), expected, rtol=1e-3)


def test_the_log_likelihood_is_the_gaussian_of_the_equations_in_two_parts(data):
    """The whole, and by itself the part of the quartic equations, which is their marginal and not their block."""
    problem = prepare(data, m.Bilocal())
    eq, q = problem.equations, problem.quadratic
    theta = eq.estimate + np.random.default_rng(6).normal(size=(2, 4, len(eq.estimate)))
    found = log_likelihood(whitened(eq), theta, q)
    off, inverse = eq.vector - theta @ eq.matrix.T, precision(eq)
    whole = -0.5 * np.einsum("cdi,ij,cdj->cd", off, inverse, off)
    np.testing.assert_allclose(found["quadratic"] + found["quartic"], whole, rtol=1e-9)
    marginal = np.linalg.inv(np.linalg.inv(inverse)[q:, q:])
    alone = -0.5 * np.einsum("cdi,ij,cdj->cd", off[..., q:], marginal, off[..., q:])
    np.testing.assert_allclose(found["quartic"], alone, rtol=1e-9)
    block = -0.5 * np.einsum("cdi,ij,cdj->cd", off[..., q:], inverse[q:, q:], off[..., q:])
    assert not np.allclose(found["quartic"], block, rtol=1e-3)


def test_refusals(data, samples):
    """Each says what was expected, what came and what to try."""
    key = jax.random.key(0)
    network = m.Network(m.Cos(), 20)
    shifted = samples.read(0, samples.n) + 0.2
    with pytest.raises(ValueError, match=r"odd correlators.*<phi\(.*sd.*try"):
        inf.fit(inf.Samples(shifted, POINTS), m.Bilocal(), key=key)
    with pytest.raises(ValueError, match=r"at least 1000 networks.*got 200.*try"):
        inf.fit(inf.Samples(samples.read(0, 200), POINTS), m.Bilocal(), key=key)
    with pytest.raises(ValueError, match=r"expected an action.*got 'bilocal'.*try"):
        inf.fit(data, "bilocal", key=key)
    with pytest.raises(ValueError, match="symmetric metric"):
        inf.fit(data, m.Local(), key=key, method=inf.Score(metric=np.ones((2, 2))))
    with pytest.raises(ValueError, match="3 positive quadrature weights"):
        inf.fit(data, m.Local(), key=key, weights=np.array([1.0, -1.0, 1.0]))
    near = np.array([[0.0], [1e-4], [2e-4]])
    with pytest.raises(ValueError, match=r"Gram matrix.*inf\.measure"):
        inf.fit(inf.Ensemble(network, points=near, n=2000, key=key), m.Bilocal(), key=key)
