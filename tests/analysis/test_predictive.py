"""Predictive checks: a planted bounded action gives itself back, G6c included; a wrong one does not; sensitivities."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.posterior.predict import predict_diagrams, predict_fields
from tests import closed
from tests.oracles import planted
from tests.statistics import agree, disagree


@pytest.fixture(scope="module")
def bounded_fit():
    """Exact draws of a bounded bilocal action at two points, and its fit."""
    fields = planted("lat", 0.3, 2).draw(40_000, np.random.default_rng(11))
    data = inf.measure(inf.Samples(fields, np.arange(2.0)[:, None]))
    return closed.fit(data, m.Bilocal(), key=jax.random.key(1), draws=200)


@pytest.fixture(scope="module")
def sampled(bounded_fit):
    return an.predictive(bounded_fit, key=jax.random.key(2), draws=6)


def test_a_bounded_action_predicts_what_it_never_saw(sampled):
    """G2, G4c, the unused G6c and the kurtosis of the planted action, from its own fields: each |z| < 5."""
    assert sampled.bounded == sampled.draws == 6
    assert "fields drawn" in sampled.how
    assert [row.name for row in sampled.rows] == ["G2", "G4", "G6", "kurtosis"]
    for row in sampled.rows:
        assert abs(row.z) < 5.0
        assert row.band == 0.0


def test_a_wrong_six_point_function_is_seen(bounded_fit):
    """The twin: the observed G6c with its disconnected part 15 <phi^2>^3 forgotten."""
    wrong = bounded_fit.copy(deep=True)
    data = wrong["correlators"].to_dataset()
    data["G6"] = data["G6"] + 15.0 * data["m2"].values.mean() ** 3
    wrong["correlators"] = xr.DataTree(data)
    found = an.predictive(wrong, key=jax.random.key(2), draws=3)
    assert abs({row.name: row.z for row in found.rows}["G6"]) > 5.0


def test_without_a_key_it_is_diagrams_with_a_band(bounded_fit):
    found = an.predictive(bounded_fit, draws=6)
    assert "diagrams to one loop" in found.how
    four = found.components["G4"]
    assert np.all(four.band > 0)
    assert np.all(four.low <= four.high)
    assert found.components["G6"].observed.shape == (7,)


def test_the_cosine_network_is_formal_so_nothing_is_sampled(small_fit):
    found = an.predictive(small_fit, key=jax.random.key(3), draws=6)
    assert found.bounded < found.draws
    assert "diagrams" in found.how
    assert f"{found.bounded} of 6 draws bounded below" in found.how
    assert len(str(found).splitlines()) == 6


def test_the_whole_kurtosis_of_a_point_is_that_of_its_component(sampled):
    four, kurtosis = sampled.components["G4"], sampled.components["kurtosis"]
    ratio = four.observed[[0, -1]] / kurtosis.observed
    assert np.allclose(four.predicted[[0, -1]] / kurtosis.predicted, ratio)


def test_fields_agree_with_quadrature_at_one_site():
    """Connected functions of S = phi^2/2 + phi^4/5, family-wise 1e-6; the moments in their place are seen."""
    x = np.linspace(-7, 7, 2001)
    w = np.exp(-(x**2) / 2 - x**4 / 5)
    m2, m4, m6 = (np.sum(x**p * w) / np.sum(w) for p in (2, 4, 6))
    found = predict_fields(1, np.array([[0.5]]), np.array([[0.2]]), key=jax.random.key(4))
    mean = np.array([found[r].value[0, 0] for r in (2, 4, 6)])
    error = np.array([found[r].error[0, 0] for r in (2, 4, 6)])
    agree(mean, [m2, m4 - 3 * m2**2, m6 - 15 * m2 * m4 + 30 * m2**3], error)
    disagree(mean, [m2, m4, m6], error)


def test_diagrams_are_those_of_the_third_maker():
    kernel = np.array([[1.0, 0.3], [0.3, 0.8]])
    quartic = np.array([[0.001, 0.0, 0.002, 0.0, 0.003], [0.0] * 5])
    found = predict_diagrams(np.arange(2.0)[:, None], kernel, quartic)
    one = m.predicted(np.arange(2.0)[:, None], quartic=quartic[0], two_point=kernel)
    for order in (4, 6):
        assert np.allclose(found[order].value[0], one.connected(order))
        assert np.allclose(found[order].band[0], one.about["band"][order])
        assert np.allclose(found[order].value[1], 0.0)


def test_figures(sampled, small_fit):
    figure = an.plot_predictive(sampled)
    assert len(figure.axes) == 2
    assert an.plot_predictive_draws(small_fit) is not None


# ---- what decided the posterior -------------------------------------------------------------------------------------


def test_the_data_decide_where_they_are_many(small_fit):
    found = an.prior_sensitivity(small_fit)
    assert found.sizes["component"] == 6 + 12
    assert np.all(found["prior"] < 0.05)
    assert np.all(found["likelihood"] > 0.05)
    assert set(found["diagnosis"].values) == {"-"}


def test_a_prior_that_decides_is_named(small_data):
    """The twin: a prior worth as much as all the networks."""
    fit = closed.fit(small_data, m.Local(), key=jax.random.key(8), draws=200, prior_scale=0.003)
    assert np.max(an.prior_sensitivity(fit)["prior"]) > 0.05


def test_a_prior_of_ones_own_is_the_one_that_is_scaled(small_data):
    """Tight about zero it decides, and wide it does not: the default prior would say the same of both."""
    tight, wide = (
        inf.fit(
            small_data,
            m.Local(),
            key=jax.random.key(8),
            sampler=inf.Nuts(warmup=200, draws=200),
            prior={"quartic": dist.Normal(0.0, width)},
        )
        for width in (1e-3, 10.0)
    )
    assert np.max(an.prior_sensitivity(tight)["prior"]) > 0.05 > np.max(an.prior_sensitivity(wide)["prior"])
    given = {name: node for name, node in wide.children.items() if name != "log_prior"}
    with pytest.raises(ValueError, match=r"expected a fit with draws, their log prior .* got one without .*log_prior"):
        an.prior_sensitivity(xr.DataTree.from_dict(given))


def test_loo_needs_a_likelihood_of_every_network(small_fit):
    with pytest.raises(ValueError, match="expected a fit with a log likelihood of every network"):
        an.loo(small_fit)
    rng = np.random.default_rng(0)
    gold = small_fit.copy(deep=True)
    values = xr.Dataset({"phi": (("chain", "draw", "network"), -1.0 + 0.1 * rng.normal(size=(4, 200, 50)))})
    gold["log_likelihood"] = xr.DataTree(values)
    assert an.loo(gold).elpd == pytest.approx(-50.0, rel=0.02)


def test_trees_that_are_no_fits_are_refused(small_fit):
    point = xr.DataTree.from_dict({"point": xr.Dataset()})
    with pytest.raises(ValueError, match="expected a fit with draws and a measured four-point function"):
        an.predictive(point)
    with pytest.raises(ValueError, match="at least two draws"):
        an.predictive(small_fit, draws=1)
    with pytest.raises(ValueError, match="expected a fit with draws, their log prior and its estimating equations"):
        an.prior_sensitivity(point)
