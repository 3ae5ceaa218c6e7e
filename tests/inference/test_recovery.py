"""Recovery: the band holds what it says, ranks are uniform for a right posterior and for no wrong one.

Every verdict here is a p-value against 1e-6: a right posterior alarms once in a million runs of one test.
"""

import pickle
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

from nnft.inference import Recovery, planted_bilocal, planted_chain, planted_mixture, planted_site, recover
from nnft.inference.calibration.planted import scale_target, score_equations
from nnft.inference.calibration.planted_bilocal import draw_bounded
from nnft.inference.calibration.recovery import LEVELS
from nnft.inference.calibration.uniformity import ecdf_band, uniformity
from nnft.models import Chain, GammaScale, LogNormalScale, mixture_coupling
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
    trees["exact"].to_netcdf(tmp_path / "recovery.nc", engine="netcdf4")
    with xr.open_datatree(tmp_path / "recovery.nc", engine="netcdf4") as again:
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
    """At m2 = lam = 1 the variance of lam is 1.1172 times Cramer-Rao: exactly, and the fields say the same A and B."""
    n, groups = 20_000, 20
    x = np.linspace(-6.0, 6.0, 2001)
    weight = np.exp(-(x**2) / 2 - x**4)
    moment = {k: (weight * x**k).sum() / weight.sum() for k in range(0, 13, 2)}
    fisher = np.cov([x**2 / 2, x**4], aweights=weight, ddof=0)
    matrix = np.array([[moment[2], 4 * moment[4]], [4 * moment[4], 16 * moment[6]]])
    psi = [{0: -1, 2: 1, 4: 4}, {2: -12, 4: 4, 6: 16}]  # x (x + 4 x^3) - 1 and 4 x^3 (x + 4 x^3) - 12 x^2

    def product(p, q):
        return sum(c * d * moment[j + k] for j, c in p.items() for k, d in q.items())

    noise = np.array([[product(p, q) for p in psi] for q in psi])
    inverse = np.linalg.inv(matrix)
    ratio = np.diag(inverse @ noise @ inverse) / np.diag(np.linalg.inv(fisher))
    assert ratio[1] == pytest.approx(1.1172, abs=5e-5)

    def pieces(fields):
        gradient = jnp.stack([fields, 4 * fields**3], axis=1)
        laplacian = jnp.stack([jnp.ones(len(fields)), 12 * fields[:, 0] ** 2], axis=1)
        return score_equations(gradient, jnp.zeros_like(fields), laplacian, np.eye(1))

    with jax.enable_x64(True):
        fields = jnp.asarray(Chain(1.0, 1.0, 1).draw(n * groups, key=jax.random.key(7))).reshape(groups, n, 1)
        found = [np.asarray(piece) for piece in jax.vmap(pieces)(fields)]
    means = [piece.mean(axis=0) for piece in found]
    errors = [piece.std(axis=0, ddof=1) / groups**0.5 for piece in found]
    agree(means[0], matrix, errors[0], family=ALARM / 10)  # errors from 20 groups: fewer alarms asked than accepted
    agree(means[2], noise, errors[2], family=ALARM / 10)
    agree(means[1], matrix.sum(axis=1), errors[1] + 1e-12, family=ALARM / 10)  # b = A theta; lap T_1 does not scatter
    disagree(means[2], matrix, errors[2], family=ALARM / 10)  # the naive B = A


@pytest.mark.parametrize("scale", [GammaScale(0.0125), GammaScale(0.2), LogNormalScale(0.05)])
def test_the_target_of_a_mixture_is_the_known_coupling(scale):
    for points in (1, 2, 4):
        assert scale_target(scale, points)[1] == pytest.approx(mixture_coupling(scale, points), rel=1e-10)


@pytest.mark.parametrize("method", ["reweighted"])  # the others in the long proof
def test_the_chain_is_recovered(method):
    recovery = planted_chain(n=300, sites=4, mean=(1.0, 0.6), sd=(0.2, 0.08))
    tree = recover(recovery, method, key=jax.random.key(5), simulations=200, draws=99)
    assert min(p_values(tree).values()) > ALARM
    spread = float(tree["prior"]["lam"].std())
    assert float(tree["error"]["lam"].mean()) < 0.98 * spread  # the data say something


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


@pytest.mark.parametrize("method", ["score", "pseudo", "gold"])
def test_a_bounded_action_goes_the_way_of_a_fit(method):
    """20 000 fields: the truth against the posterior's draws, and twice the couplings as the fault."""
    recovery = planted_bilocal("lat", n=20_000, points=2)
    assert recovery.names == ("g0", "g1", "u01", "u10", "v01")
    fields = recovery.simulator(jax.random.key(3), recovery.prior)
    with jax.enable_x64(True):
        sample = recovery.posteriors[method](jax.random.key(4), fields, 4000)
    assert sample.shape == (4000, 5)
    centre, spread = sample.mean(axis=0), sample.std(axis=0)
    agree(centre, recovery.prior, spread * 1.1)  # the error itself is known to a tenth at this n
    disagree(centre, 2 * recovery.prior, spread * 1.1)


def test_ready_recoveries_refuse_what_they_cannot_plant():
    with pytest.raises(ValueError, match=r"expected a prior of lam that stays positive .* got 0.1 \+- 0.05"):
        planted_chain(mean=(1.0, 0.1), sd=(0.1, 0.05))
    with pytest.raises(ValueError, match=r"expected a kernel lat or rbf, got 'cos'"):
        planted_bilocal("cos")
    with pytest.raises(ValueError, match=r"expected at least 2 points and a positive strength"):
        planted_bilocal(points=1)


class Sent:
    """An executor that sends jobs as processes get them, pickled, and does them when they are asked for."""

    def __init__(self):
        self.jobs = 0

    def submit(self, function, *arguments):
        sent = pickle.dumps((function, arguments))
        self.jobs += 1
        future = Future()
        own, given = pickle.loads(sent)
        future.set_result(own(*given))
        return future


def shifted(key, theta):
    return theta + jax.random.normal(key, (4, 2))


def conjugate(key, x, draws):
    return 0.5 * x.mean(0) + jax.random.normal(key, (draws, 2)) / 8**0.5


def test_an_executor_simulates_the_same_numbers(monkeypatch):
    monkeypatch.setattr("nnft.inference.calibration.recovery._PARTS", 3)
    prior = dist.Normal(jnp.zeros(2), 0.5).to_event(1)
    mean = Recovery(("a", "b"), prior, shifted, {"exact": conjugate})
    options = {"key": jax.random.key(1), "simulations": 70, "draws": 31}
    here = recover(mean, "exact", **options)
    there = recover(mean, "exact", executor=(sent := Sent()), **options)
    assert sent.jobs == 3
    for group in ("rank", "prior", "prior_sbc", "whitened"):
        for name, values in here[group].data_vars.items():
            np.testing.assert_allclose(there[group][name], values, rtol=1e-12, atol=1e-14)
    with ThreadPoolExecutor(2) as executor:
        threads = recover(mean, "exact", executor=executor, **options)
    np.testing.assert_array_equal(threads["rank"]["joint"], here["rank"]["joint"])


def test_a_recovery_that_cannot_be_sent_is_said():
    mean = Recovery(("a", "b"), np.zeros(2), lambda key, theta: shifted(key, theta), {"exact": conjugate})
    with pytest.raises(ValueError, match="that others can import"):
        recover(mean, "exact", executor=Sent(), key=jax.random.key(1), simulations=20, draws=31)
