"""A prior of one's own: heavy-tailed couplings whose common size is inferred too, from fit to labelled tree."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

KEY = jax.random.key(3)
POINTS = np.array([[-1.0], [1.0]])
SHORT = inf.Nuts(chains=4, warmup=200, draws=300)


class Sparse(inf.AbstractPrior):
    """Couplings of Student's t in units of what one network can tell, times a size common to all."""

    freedom: float = 4.0

    def interaction(self, about):
        size = numpyro.sample("size", dist.HalfNormal(1.0))
        law = dist.StudentT(self.freedom, 0.0, 1.0).expand([len(about.scale)]).to_event(1)
        return size * about.scale * numpyro.sample("heavy", law)

    @property
    def shown(self):
        return {"size": ()}


class Unit(inf.AbstractPrior):
    """The default prior written once more, to be held against its closed form."""

    def interaction(self, about):
        white = numpyro.sample("white", dist.Normal(0.0, 1.0).expand([len(about.scale)]).to_event(1))
        return jnp.asarray(about.factor) @ white


@pytest.fixture(scope="module")
def data():
    """Few networks, so that a prior shows."""
    network = m.Network(m.Cos(), width=20)
    return inf.measure(inf.Ensemble(network, points=POINTS, n=2000, key=jax.random.key(1)))


def _off(draws, data, scale):
    """Largest distance of mean and width of the draws from the closed posterior of a prior, in its sd."""
    prior, exact = inf.UnitInformation(scale), inf.Closed(draws=20)
    closed = inf.fit(data, m.Local(), key=KEY, prior=prior, sampler=exact)["constant_data"]
    names = ("q", "g")
    values = np.concatenate([draws["posterior"][name].values for name in names], axis=-1)
    sd = closed["closed_sd"].values
    shift = (values.mean(axis=(0, 1)) - closed["closed_mean"].values) / sd
    return max(np.abs(shift).max(), np.abs(values.std(axis=(0, 1)) / sd - 1.0).max())


def test_a_prior_written_once_more_gives_the_closed_posterior(data):
    """1200 draws worth more than 400: .25 sd of a mean has odds of 1e-6. A prior .02 wide (fault) is further off."""
    draws = inf.fit(data, m.Local(), key=KEY, prior=Unit(), sampler=SHORT)
    assert _off(draws, data, 1.0) < 0.25 < _off(draws, data, 0.02)


def test_it_goes_from_fit_to_a_labelled_tree(data):
    fit = inf.fit(data, m.Local(), key=KEY, prior=Sparse(), sampler=inf.Nuts(chains=2, warmup=100, draws=100))
    assert fit.attrs["prior"] == "Sparse"
    assert fit["posterior"]["size"].dims == ("chain", "draw")
    assert fit["posterior"]["g"].dims == ("chain", "draw", "x")
    assert fit["derived"]["lam"].sizes["i"] == 4
    assert fit["prior"]["g"].size > 0
    assert fit["prior_predictive"]["G4"].size > 0
    assert {check.name: check.verdict for check in an.diagnose(fit)}["divergences"] in ("pass", "fail")


def test_what_it_cannot_do_is_refused_by_its_name(data):
    class Forgetful(inf.AbstractPrior):
        """No program."""

    with pytest.raises(TypeError, match=r"Forgetful .*interaction"):
        Forgetful()
    with pytest.raises(ValueError, match="default Gaussian prior for sampler='closed', got Sparse; try"):
        inf.fit(data, m.Local(), key=KEY, prior=Sparse(), sampler="closed")
