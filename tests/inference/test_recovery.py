"""Recovery: the band holds what it says, ranks are uniform for a right posterior and for no wrong one.

Every verdict here is a p-value against 1e-6: a right posterior alarms once in a million runs of one test.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

from nnft.inference.bounded import draw_bounded, planted_bilocal
from nnft.inference.planted import planted_chain, planted_mixture, planted_site, scale_target, score_equations
from nnft.inference.recovery import LEVELS, Recovery, recover
from nnft.inference.uniformity import ecdf_band, uniformity
from nnft.models.chain import Chain
from nnft.models.shared import GammaScale, LogNormalScale, mixture_coupling
from tests.oracles import planted
from tests.statistics import agree, disagree

ALARM = 1e-6


def p_values(tree):
    return {name: float(value) for name, value in tree["p_value"].dataset.data_vars.items()}


# --- the simultaneous band


def test_the_p_value_is_exact_and_its_band_holds_what_it_says():
    """Alarms of 400 uniform samples of 60 are binomial at each level; squares of uniform numbers alarm always."""
    rng = np.random.default_rng(5)
    p = np.array([uniformity(rng.uniform(size=60)) for _ in range(400)])
    for level in (0.05, 0.2, 0.5):
        agree(np.mean(p <= level), level, np.sqrt(level * (1 - level) / 400))
    assert uniformity(rng.uniform(size=300) ** 2) < ALARM
    z, low, high = ecdf_band(60, 0.05)
    u = np.sort(rng.uniform(size=(4000, 60)), axis=1)
    count = np.sum(u[:, :, None] <= z, axis=1) / 60
    left = np.mean(np.any((count < low) | (count > high), axis=1))
    assert left < 0.05 + 4.8 * np.sqrt(0.05 * 0.95 / 4000)
    pointwise = np.abs(count - z) > stats.norm.isf(0.025) * np.sqrt(z * (1 - z) / 60)
    assert np.any(pointwise, axis=1).mean() > 0.3  # the fault: a band good at each point only


def test_small_p_values_are_bounded_by_and_near_the_sum_over_points():
    grid = [uniformity(np.linspace(0.0, 1.0, 500) ** power) for power in (1.5, 1.7, 1.9, 2.1)]
    assert np.all(np.diff(np.log10(grid)) < 0)  # across the change of method at gamma = 1e-14
    with pytest.raises(ValueError, match=r"expected at least 10 numbers .* got 3"):
        uniformity(np.array([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match=r"expected a probability between 0 and 1, got 1.5; try"):
        ecdf_band(100, 1.5)


# --- recover


def gaussian(width=1.0, shift=0.0, turn=0.0):
    """Mean of four points with unit noise, prior N(0, 1/4): posterior N(xbar/2, 1/8), made wrong on request."""

    def posterior(key, x, draws):
        white = jax.random.normal(key, (draws, 2)) @ jnp.array([[1.0, turn], [0.0, (1.0 - turn**2) ** 0.5]])
        return 0.5 * x.mean(axis=0) + shift + width * white / 8**0.5

    return posterior


MEAN = Recovery(
    ("a", "b"),
    dist.Normal(jnp.zeros(2), 0.5).to_event(1),
    lambda key, theta: theta + jax.random.normal(key, (4, 2)),
    {"exact": gaussian(), "narrow": gaussian(0.7), "shifted": gaussian(shift=0.15), "turned": gaussian(turn=0.6)},
)


@pytest.fixture(scope="module")
def trees():
    return {name: recover(MEAN, name, key=jax.random.key(3), simulations=600, draws=63) for name in MEAN.posteriors}


def test_a_right_posterior_is_calibrated(trees):
    assert min(p_values(trees["exact"]).values()) > ALARM
    for name in ("a", "b", "joint"):
        assert trees["exact"]["coverage_p"][name].values.min() > ALARM
    # ranks themselves are uniform on 0 .. L
    counts = np.bincount(trees["exact"]["rank"]["a"].values.ravel() // 8, minlength=8)
    assert stats.chisquare(counts).pvalue > ALARM


@pytest.mark.parametrize(
    ("fault", "seen"),
    [("narrow", {"a", "b", "joint", "shape"}), ("shifted", {"a", "b", "shape"}), ("turned", {"shape"})],
)
def test_a_wrong_posterior_is_seen_where_it_is_wrong(trees, fault, seen):
    """Too narrow by .7, off by .4 sd, or with a correlation of .6 that is not there: only `shape` sees the last."""
    found = {name for name, p in p_values(trees[fault]).items() if p < ALARM}
    assert seen <= found
    if fault == "turned":
        assert {"a", "b"}.isdisjoint(found)


def test_the_same_key_plants_the_same_truth(trees):
    xr.testing.assert_identical(trees["exact"]["prior"].dataset, trees["narrow"]["prior"].dataset)


def test_arviz_reads_the_tree(trees, tmp_path):
    import arviz as az

    az.plot_ecdf_pit(trees["exact"], backend="matplotlib")
    trees["exact"].to_netcdf(tmp_path / "recovery.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "recovery.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again["prior_sbc"].dataset, trees["exact"]["prior_sbc"].dataset)
    assert dict(trees["exact"]["prior_sbc"].sizes) == {"chain": 1, "draw": 600}
    assert tuple(trees["exact"]["coverage"]["level"].values) == LEVELS


def test_plain_python_and_fixed_couplings_work_too():
    def simulator(key, theta):
        return theta + np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=(50, 1))

    def posterior(key, x, draws):
        return x.mean() + np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=(draws, 1)) / 50**0.5

    plain = Recovery(("a",), np.array([2.0]), simulator, {"flat": posterior}, traced=False)
    tree = recover(plain, "flat", key=jax.random.key(0), simulations=100, draws=39)
    assert min(p_values(tree).values()) > ALARM
    assert np.all(tree["prior"]["a"].values == 2.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "exakt"}, "expected a method among exact, .* try 'exact'"),
        ({"simulations": 5}, "expected at least 20 simulations and 19 draws .* got 5"),
        ({"draws": 9}, "expected at least 20 simulations and 19 draws .* and 9; try"),
    ],
)
def test_what_cannot_be_judged_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        recover(MEAN, **{"method": "exact", "key": jax.random.key(0), "simulations": 20, "draws": 19} | changes)


def test_posteriors_that_make_no_sense_are_refused():
    def with_posterior(posterior, names=("a", "b")):
        made = Recovery(names, MEAN.prior, MEAN.simulator, {"it": posterior})
        return recover(made, "it", key=jax.random.key(0), simulations=20, draws=19)

    with pytest.raises(ValueError, match=r"expected posterior draws of shape \(19, 2\), got \(19, 3\)"):
        with_posterior(lambda key, x, draws: jnp.ones((draws, 3)))
    with pytest.raises(ValueError, match=r"expected finite posterior draws .* got 20 of 20"):
        with_posterior(lambda key, x, draws: jnp.full((draws, 2), jnp.nan))
    with pytest.raises(ValueError, match=r"expected different names, not joint or shape"):
        with_posterior(gaussian(), ("a", "joint"))
    with pytest.raises(ValueError, match=r"expected a prior of 3 couplings"):
        with_posterior(gaussian(), ("a", "b", "c"))


# --- the ready ones, at small size; tests/proof/test_sbc.py is the long run


def test_score_equations_reach_the_known_efficiency_on_one_site():
    """Variance ratio to Cramer-Rao of lam at m2 = lam = 1: 1.1172 by quadrature (a fitted)."""
    chain = Chain(1.0, 1.0, 1)
    with jax.enable_x64(True):
        fields = jnp.asarray(chain.draw(400_000, key=jax.random.key(7)))
        gradient = jnp.stack([fields, 4 * fields**3], axis=1)
        laplacian = jnp.stack([jnp.ones(len(fields)), 12 * fields[:, 0] ** 2], axis=1)
        pieces = score_equations(gradient, jnp.zeros_like(fields), laplacian, np.eye(1))
        matrix, vector, noise = (np.asarray(piece) for piece in pieces)
    inverse = np.linalg.inv(matrix)
    sandwich = inverse @ noise @ inverse.T
    estimate = inverse @ vector
    agree(estimate, [1.0, 1.0], np.sqrt(np.diag(sandwich) / 400_000))
    disagree(estimate, [1.0, 1.02], np.sqrt(np.diag(sandwich) / 400_000))
    ratio = sandwich[1, 1] / np.linalg.inv(chain.fisher)[1, 1]
    assert ratio == pytest.approx(1.1172, abs=0.02)  # itself sampled: sd .003 over keys


@pytest.mark.parametrize("scale", [GammaScale(0.0125), GammaScale(0.2), LogNormalScale(0.05)])
def test_the_target_of_a_mixture_is_the_known_coupling(scale):
    for points in (1, 2, 4):
        assert scale_target(scale, points)[1] == pytest.approx(mixture_coupling(scale, points), rel=1e-10)


@pytest.mark.parametrize("method", ["exact", "gold", "reweighted", "score"])
def test_the_chain_is_recovered(method):
    recovery = planted_chain(n=300, sites=4, mean=(1.0, 0.6), sd=(0.2, 0.08))
    tree = recover(recovery, method, key=jax.random.key(5), simulations=200, draws=99)
    assert min(p_values(tree).values()) > ALARM
    spread = float(tree["prior"]["lam"].std())
    assert float(tree["error"]["lam"].mean()) < 0.98 * spread  # the data say something


def test_naive_errors_fail_at_the_same_size():
    recovery = planted_chain(n=300, sites=4, mean=(1.0, 0.6), sd=(0.2, 0.08))
    found = p_values(recover(recovery, "naive", key=jax.random.key(5), simulations=200, draws=99))
    assert max(found["m2"], found["lam"], found["joint"]) < ALARM


def test_a_mixture_is_covered_at_its_pseudo_true_couplings_and_one_site_too():
    mixture = planted_mixture(n=4000, points=2)
    right = p_values(recover(mixture, "score", key=jax.random.key(1), simulations=200, draws=99))
    wrong = p_values(recover(mixture, "naive", key=jax.random.key(1), simulations=200, draws=99))
    assert min(right.values()) > ALARM > wrong["shape"]
    assert sorted(planted_site(n=2000).posteriors) == ["exact", "gold", "naive", "reweighted", "scalar", "score"]


def test_bounded_fields_have_the_moments_of_the_oracle():
    truth, recovery = planted("lat", 0.1, 3), planted_bilocal("lat", points=3, strength=0.1)
    np.testing.assert_allclose(recovery.prior, truth.couplings, rtol=1e-12)
    np.testing.assert_allclose(planted_bilocal("rbf", points=4).prior, planted("rbf", 0.1, 4).couplings, rtol=1e-12)
    rng = np.random.default_rng(2)
    ours, theirs = draw_bounded(rng, truth.covariance, truth.couplings, 40_000), truth.draw(40_000, rng)
    free = rng.standard_normal((40_000, 3)) @ np.linalg.cholesky(truth.covariance).T
    for power in (2, 4):
        a, b, c = (fields[:, 0] ** power for fields in (ours, theirs, free))
        agree(a.mean(), b.mean(), (a.std() / 200, b.std() / 200))
        disagree(a.mean(), c.mean(), (a.std() / 200, c.std() / 200))  # the interaction forgotten
    with pytest.raises(ValueError, match=r"expected S4 >= 0 .* got -"):
        draw_bounded(rng, truth.covariance, -truth.couplings, 100)
    with pytest.raises(ValueError, match=r"expected to keep more than one field in 200, got"):
        draw_bounded(rng, truth.covariance, 1e9 * truth.couplings, 1000)


def test_a_bounded_action_goes_the_way_of_a_fit():
    recovery = planted_bilocal("lat", n=4000, points=2)
    tree = recover(recovery, "score", key=jax.random.key(3), simulations=20, draws=39)
    assert set(tree["estimate"].dataset.data_vars) == {"g0", "g1", "u01", "u10", "v01"}
    z = np.stack([v.values.ravel() for v in tree["whitened"].dataset.data_vars.values()])
    assert np.abs(z).max() < 6.0  # 100 numbers of order one; 4000 networks are too few for more


def test_ready_recoveries_refuse_what_they_cannot_plant():
    with pytest.raises(ValueError, match=r"expected a prior of lam that stays positive .* got 0.1 \+- 0.05"):
        planted_chain(mean=(1.0, 0.1), sd=(0.1, 0.05))
    with pytest.raises(ValueError, match=r"expected a kernel lat or rbf, got 'cos'"):
        planted_bilocal("cos")
    with pytest.raises(ValueError, match=r"expected at least 2 points and a positive strength"):
        planted_bilocal(points=1)
