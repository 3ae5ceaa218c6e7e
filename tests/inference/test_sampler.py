"""Draws in coordinates against the NumPyro program they stand for, site by site; options travel in their objects."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density

from nnft import inference as inf
from nnft import models as m
from nnft.inference.methods.problem import prepare
from nnft.inference.posterior.fit import _setting
from tests.oracles import planted
from tests.statistics import agree, disagree

LAW = dist.Normal(0.1, 0.3)


def _made(prior):
    """The setting of a small problem, and the posterior of a prior."""
    fields = planted("lat", 0.1, 2).draw(2000, np.random.default_rng(1))
    problem = prepare(inf.Samples(fields, np.arange(2.0)[:, None]), m.Bilocal(), metric=np.eye(2))
    with jax.enable_x64(True):
        setting = _setting(problem, inf.Score().likelihood(problem, key=jax.random.key(0)))
        return setting, prior.posterior(setting)


@pytest.mark.parametrize(
    "prior", [inf.UnitInformation(), inf.Given({"quartic": LAW}), inf.Given({"quadratic": LAW, "quartic": LAW})]
)
def test_sites_are_those_of_the_program(prior):
    """Physical couplings from the coordinates, in NumPy, are those of the model, as is the density up to a constant."""
    setting, posterior = _made(prior)
    unit = np.random.default_rng(2).standard_normal((2, posterior.size))
    made = posterior.sites(unit[None], jax.random.key(0))
    model, both = prior.program(setting), []
    with jax.enable_x64(True):
        for k in range(2):
            sites = {name: jnp.asarray(v[0, k]) for name, v in made.items() if name not in dict(setting.names)}
            trace = handlers.trace(handlers.substitute(model, data=sites)).get_trace()
            for name, _ in setting.names:
                np.testing.assert_allclose(made[name][0, k], trace[name]["value"], rtol=1e-10, atol=1e-12)
            ours = posterior.log_density(jnp.asarray(unit[k]))
            both.append(float(ours - log_density(model, (), {}, sites)[0]))
    assert abs(both[0] - both[1]) < 1e-8


def test_draws_have_the_moments_of_their_laws():
    """40,000 draws: mean and variance of every coordinate; a prior taken for the posterior (fault) is seen."""
    _, posterior = _made(inf.UnitInformation())
    drawn = inf.Closed(chains=4, draws=10_000).draw(jax.random.key(3), posterior)
    after = posterior.sites(drawn.unit, jax.random.key(3))
    before = posterior.before(jax.random.key(4), 40_000)
    white = np.concatenate([after["quadratic_white"], after["quartic_white"]], axis=-1).reshape(-1, posterior.size)
    covariance = posterior.axes @ posterior.axes.T
    agree(white.mean(axis=0), posterior.origin, np.sqrt(np.diag(covariance) / len(white)))
    agree(white.var(axis=0), np.diag(covariance), np.diag(covariance) * np.sqrt(2.0 / len(white)))
    first = np.concatenate([before["quadratic_white"], before["quartic_white"]], axis=-1)[0]
    agree(first.var(axis=0), 1.0, np.sqrt(2.0 / len(first)))
    disagree(first.var(axis=0), np.diag(covariance), np.sqrt(2.0 / len(first)))
    assert drawn.stats["lp"].shape == (4, 10_000)


def test_options_live_in_their_objects():
    """At most nine arguments; those of before are refused with the new spelling, values and all."""
    for function in (inf.fit, inf.model):
        assert len(inspect.signature(function).parameters) <= 9
    for old, new in (
        ({"draws": 50, "chains": 2}, r"sampler=inf.Nuts\(chains=2, draws=50\)"),
        ({"warmup": 9, "metric": np.eye(2)}, r"method=inf.Score\(metric=\.\.\.\)"),
        ({"prior_scale": 0.5}, r"prior=inf.UnitInformation\(scale=0.5\)"),
    ):
        with pytest.raises(ValueError, match=rf"expected options inside .*{next(iter(old))}.*; try .*{new}"):
            inf.fit(None, m.Local(), key=jax.random.key(0), **old)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inf.Nuts(draws=0), "draws of Nuts to be an integer >= 1, got 0; try"),
        (lambda: inf.Closed(chains=1.5), "chains of Closed to be an integer >= 1, got 1.5; try"),
        (lambda: inf.Gold(reference=0), "at least one reference field for each network, got 0; try"),
        (lambda: inf.Given({"quartics": LAW}), r"expected prior for one of .*got 'quartics'; try 'quartic'"),
        (lambda: inf.fit(None, m.Local(), key=jax.random.key(0), sampler=inf.Nuts), r"expected a sampler, or one of"),
        (
            lambda: inf.fit(None, m.Local(), key=jax.random.key(0), method=3),
            r"expected a method, .*got 3; try",
        ),
        (lambda: inf.fit(None, m.Local(), key=jax.random.key(0), prior=0.5), r"expected a prior, or distributions"),
    ],
)
def test_refusals_of_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_programs_that_were_forgotten_are_made_again():
    """After jax.clear_caches() the chains of a fit and of a field are traced anew, to the same draws."""
    key, x = jax.random.key(0), np.array([[0.0], [1.0]])
    data = m.exact(m.Network(m.Cos(), width=20), x)
    made = []
    for _ in range(2):
        fit = inf.fit(data, m.Local(), key=key, as_if_n=10**4, sampler=inf.Nuts(chains=2, warmup=20, draws=20))
        made.append(np.concatenate([fit["posterior"][name].values.ravel() for name in fit["posterior"].data_vars]))
        jax.clear_caches()
    np.testing.assert_array_equal(made[0], made[1])
