"""A sampler of one's own, importance resampling of a Gaussian at the mode, and a method of one's own beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

KEY = jax.random.key(3)
POINTS = np.array([[-1.0], [1.0]])
HEAVY = inf.Given({"quartic": dist.StudentT(3.0, 0.0, 0.02)})


class Laplace(inf.AbstractSampler):
    """Draws of the Gaussian with the mode and curvature of the posterior, resampled by their weights.

    `wide` is the width of the proposal in units of the Laplace approximation; `weighed` False leaves out the weights.
    """

    chains: int = 4
    draws: int = 1000
    wide: float = 1.3
    weighed: bool = True

    def draw(self, key, posterior):
        slope, curvature = jax.grad(posterior.log_density), jax.jit(jax.hessian(posterior.log_density))
        newton = jax.jit(lambda mode: mode - jnp.linalg.solve(curvature(mode), slope(mode)))
        mode = jnp.zeros(posterior.size)
        for _ in range(20):
            mode = newton(mode)
        root = self.wide * jnp.linalg.cholesky(jnp.linalg.inv(-curvature(mode)))
        many, count = 10 * self.chains * self.draws, (self.chains, self.draws)
        z_key, pick_key = jax.random.split(key)
        z = jax.random.normal(z_key, (many, posterior.size))
        unit = mode + z @ root.T
        density = jax.jit(jax.vmap(posterior.log_density))(unit)
        weights = jax.nn.softmax(density + 0.5 * jnp.sum(z**2, axis=1)) if self.weighed else None
        chosen = jax.random.choice(pick_key, many, count, p=weights)
        return inf.Drawn(np.asarray(unit[chosen]), {"lp": np.asarray(density[chosen])}, {"proposed": many})


class Halved(inf.AbstractMethod):
    """Score matching that trusts every equation as if there were four times as many networks."""

    @property
    def said(self):
        return inf.MethodWords("{data}, from {networks} networks taken for four times as many, they", "Half of all")

    def likelihood(self, problem, *, key, progress=False):
        equations = problem.equations
        return inf.EquationLikelihood(equations._replace(noise=equations.noise / 4.0))


@pytest.fixture(scope="module")
def data():
    network = m.Network(m.Cos(), width=20)
    return inf.measure(inf.Ensemble(network, points=POINTS, n=2000, key=jax.random.key(1)))


def _values(fit):
    return np.concatenate([fit["posterior"][name].values for name in ("q", "coupling")], axis=-1)


def test_it_agrees_with_nuts_under_a_prior_of_heavy_tails(data):
    """Means and widths within .2 sd of 4000 draws of NUTS; without the weights (fault) the widths are 1.3 times off.

    A mean of as few as 1000 independent draws on either side misses by .2 sd once in 10^5 (4.5 standard errors).
    """
    right = _values(inf.fit(data, m.Constant(), key=KEY, prior=HEAVY, sampler=inf.Nuts(warmup=200)))
    mean, sd = right.mean(axis=(0, 1)), right.std(axis=(0, 1))
    for weighed in (True, False):
        fit = inf.fit(data, m.Constant(), key=KEY, prior=HEAVY, sampler=Laplace(weighed=weighed))
        found = _values(fit)
        assert np.all(np.abs(found.mean(axis=(0, 1)) - mean) < 0.2 * sd)
        assert np.all(np.abs(found.std(axis=(0, 1)) / sd - 1.0) < 0.2) == weighed
    assert fit.attrs["sampler"] == "Laplace"
    assert {check.name for check in an.diagnose(fit)} >= {"draws of Laplace"}
    assert fit.attrs["proposed"] == 40_000
    assert fit["posterior"]["q"].dims == ("chain", "draw", "pair")
    assert set(fit["sample_stats"].data_vars) == {"lp"}


def test_a_method_of_ones_own_feeds_the_same_priors_and_samplers(data):
    """Half the errors, by construction: the prior is worth one network of 2000."""
    plain, halved = (
        inf.fit(data, m.Constant(), key=KEY, method=method, sampler=inf.Closed(draws=200))
        for method in (inf.Score(), Halved())
    )
    ratio = plain["constant_data"]["closed_sd"] / halved["constant_data"]["closed_sd"]
    np.testing.assert_allclose(ratio.values, 2.0, rtol=0.01)
    assert halved.attrs["method"] == "Halved"
    assert halved["log_likelihood"]["quartic"].dims == ("chain", "draw")


def test_their_words_are_on_the_page(data, tmp_path):
    """What a method and a sampler say of themselves; a sampler that says nothing goes by the name of its class."""
    fit = inf.fit(data, m.Constant(), key=KEY, method=Halved(), sampler=Laplace(draws=50))
    made = an.report(fit, tmp_path / "out").read_text(encoding="utf-8")
    assert "From the moments of order two, four and six, from 2\u202f000 networks taken for four times as many" in made
    assert "Half of all; what the action leaves out is not in them" in made
    assert "Nothing here judges the draws of the sampler Laplace: hold them against those of NUTS." in made
    assert "method=Halved(), sampler=Laplace(draws=50)" in made
    assert "naive over calibrated error" not in made


def test_what_is_forgotten_is_refused_by_its_name():
    class Idle(inf.AbstractSampler):
        """Draws nothing."""

    class Silent(inf.AbstractMethod):
        """Says nothing."""

    with pytest.raises(TypeError, match=r"Idle .*draw"):
        Idle()
    with pytest.raises(TypeError, match=r"Silent .*likelihood"):
        Silent()
