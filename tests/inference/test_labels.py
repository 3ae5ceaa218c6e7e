"""The tree of a fit has ArviZ's habits: what it does without being told which variables to leave out."""

import arviz as az
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.posterior.predict import replicated
from tests import closed
from tests.oracles import planted
from tests.statistics import agree, disagree

POINTS = np.arange(2.0)[:, None]
COUPLINGS = 3 + 2 + 2 + 1  # q, g, u, v at two points


@pytest.fixture(scope="module")
def fit():
    """Two points, so that figures of every coupling and component are few."""
    samples = inf.Samples(planted("lat", 0.1, 2).draw(10_000, np.random.default_rng(3)), POINTS)
    return closed.fit(samples, m.Bilocal(), key=jax.random.key(0), draws=200)


def test_a_summary_has_a_row_a_coupling_and_every_row_a_number(fit):
    """The twin: lam back among the couplings, whose zeros have no R-hat."""
    table = az.summary(fit)
    assert len(table) == COUPLINGS
    assert np.all(np.isfinite(table[["r_hat", "ess_bulk", "ess_tail"]].astype(float)))
    with_lam = xr.DataTree(fit["posterior"].to_dataset().merge(fit["derived"].to_dataset()))
    with np.errstate(invalid="ignore", divide="ignore"):
        assert not np.all(np.isfinite(az.rhat(with_lam.to_dataset()[["lam"]])["lam"]))


def test_every_group_of_draws_is_compared_with_its_own(fit):
    assert set(fit["observed_data"].data_vars) == {"G2", "G4"}
    for name in ("posterior_predictive", "prior_predictive"):
        assert set(fit[name].data_vars) == {"G2", "G4"}
    assert set(fit["predictions"].data_vars) == {"G2", "G4", "G4_loop"}
    assert set(fit["posterior"].data_vars) == set(fit["prior"].data_vars) == {"q", "g", "u", "v"}
    assert set(fit["unconstrained_posterior"].data_vars) == {"quadratic_white", "quartic_white"}


@pytest.mark.parametrize(
    "plot",
    ["plot_ppc_dist", "plot_ppc_pit", "plot_ppc_interval", "plot_prior_posterior", "plot_psense_quantities"],
)
def test_figures_of_arviz_need_no_names(fit, plot):
    settings = {"plot_psense_quantities": {"var_names": ["v"]}}.get(plot, {})
    assert getattr(az, plot)(fit, backend="matplotlib", **settings) is not None
    plt.close("all")


def test_power_scaling_is_that_of_the_tree_and_leaving_out_is_refused(fit):
    table, ours = az.psense_summary(fit, round_to=12), an.prior_sensitivity(fit)
    for kind in ("prior", "likelihood"):
        np.testing.assert_allclose(np.sort(table[kind].astype(float)), np.sort(ours[kind].values), rtol=1e-6, atol=1e-9)
    with pytest.raises(TypeError, match="several log likelihood"):
        az.loo(fit)


# ---- replicated data ------------------------------------------------------------------------------------------------


def _noise(data, draws=4000):
    zero = {"G2": np.zeros((2, draws, 1)), "G4": np.zeros((2, draws, 1)), "G4_loop": np.zeros((2, draws, 1))}
    made = replicated(zero, data, key=jax.random.key(1))
    assert set(made) == {"G2", "G4"}
    return np.stack([made["G2"].ravel(), made["G4"].ravel()])


def test_replicates_scatter_by_the_joint_covariance_of_the_data():
    """At one site k4 = m4 - 3 m2^2: var k4 = C44 - 12 m2 C24 + 36 m2^2 C22, cov(m2, k4) = C24 - 6 m2 C22.

    The twins: the same noise without its correlation, and the covariance of the moments in place of the cumulants'.
    """
    c22, c24, c44 = 0.01, 0.03, 0.4
    covariance = np.array([[c22, c24], [c24, c44]])
    given = {2: np.ones(1), 4: np.full(1, 3.1)}
    noise = _noise(m.Correlators.from_arrays(np.zeros((1, 1)), moments=given, covariance=covariance))
    truth = np.array([[c22, c24 - 6 * c22], [c24 - 6 * c22, c44 - 12 * c24 + 36 * c22]])
    count = noise.shape[1]
    found, error = noise @ noise.T / count, np.sqrt((np.outer(np.diag(truth), np.diag(truth)) + truth**2) / count)
    agree(found, truth, error)
    disagree(noise @ np.roll(noise, 1, axis=1).T / count, truth, error)
    disagree(found, covariance, error)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_noise_keeps_to_the_units_of_the_field(scale):
    """Errors of G2 and G4c are far apart where the field is small, and both are met."""
    fields = scale * np.random.default_rng(4).normal(size=(5000, 1))
    data = inf.measure(inf.Samples(fields, np.zeros((1, 1))), orders=(2, 4))
    found, count = _noise(data), 8000
    agree(found.std(axis=1) / [data.error(2)[0], data.error(4)[0]], 1.0, np.full(2, 1.0 / np.sqrt(2 * count)))


def test_exact_correlators_are_measured_again_without_noise():
    exact = m.exact(m.Network(m.Cos(), 20), np.zeros((1, 1)))
    assert np.all(_noise(exact, draws=10) == 0.0)


def test_a_fit_replicates_its_own_data(fit):
    """Less the expectation of the same draw, the noise has the errors of the data, and another key another noise."""
    for name in ("G2", "G4"):
        noise = (fit["posterior_predictive"][name] - fit["predictions"][name]).values
        error, count = fit["constant_data"][f"{name}_error"].values, noise[..., 0].size
        agree(noise.std(axis=(0, 1)) / error, 1.0, np.full(len(error), 1.0 / np.sqrt(2 * count)))
        alone = fit["predictions"][name].values.std(axis=(0, 1)) / error
        disagree(alone, 1.0, np.full(len(error), 1.0 / np.sqrt(2 * count)))
