"""Few networks: exact p-values, bounds and intervals that hold, symmetries that are tested before they are pooled."""

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.terms import terms_of
from nnft.inference.planning.few import _image_p
from nnft.inference.planning.gaussianity import _drawn, connected, deciding, farther, statistics, test_of_gaussianity
from nnft.inference.planning.pivot import derivatives, estimates, intervals
from nnft.models.combinatorics import connected_from_moments, sorted_tuples
from tests.oracles import planted

LINE = np.linspace(-2.0, 2.0, 3)[:, None]
FLIP = np.array([[0, 1, 2], [2, 1, 0]])
FALSE_ALARM = 1e-6


def _alone(points: int) -> np.ndarray:
    return np.arange(points)[None]


def _most(sets: int, rate: float) -> int:
    """Misses that `sets` experiments of this rate exceed once in a million."""
    return int(stats.binom.isf(FALSE_ALARM, sets, rate))


def _fields(network, points, sets, n, seed) -> np.ndarray:
    ensemble = inf.Ensemble(network, points=points, n=sets * n, key=jax.random.key(seed))
    return ensemble.read(0, sets * n).astype(float).reshape(sets, n, len(points))


def test_connected_is_the_k_statistic():
    """Without symmetries the even k-statistic; with a reflection, products over distinct networks written out."""
    fields = np.random.default_rng(0).normal(size=(2, 7, 3)) ** 3
    for one, value in zip(fields, connected(fields, _alone(3))[1], strict=True):
        moments = {r: np.prod(one[:, sorted_tuples(3, r)], axis=-1).mean(axis=0) for r in (2, 4)}
        np.testing.assert_allclose(value, connected_from_moments(moments, 3, 4, n=7, even=True), rtol=1e-9)
    both = fields[0][:, FLIP]  # (network, image, point)
    pair = np.einsum("ija,ijb->iab", both, both) / 2
    distinct = (np.einsum("iab,jcd->abcd", pair, pair) - np.einsum("iab,icd->abcd", pair, pair)) / (7 * 6)
    fourth = np.einsum("ija,ijb,ijc,ijd->abcd", *[both] * 4) / 14
    fourth = fourth - distinct - distinct.transpose(0, 2, 1, 3) - distinct.transpose(0, 2, 3, 1)
    second, found = (part[0] for part in connected(fields[:1], FLIP))
    np.testing.assert_allclose(second, pair.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found, fourth[tuple(sorted_tuples(3, 4).T)], rtol=1e-9, atol=1e-9)


def test_the_statistic_does_not_know_the_two_point_function():
    """Invariant under all linear maps; with a group under those that commute with it, and not under others."""
    rng = np.random.default_rng(1)
    fields = rng.normal(size=(3, 40, 3))
    mix = rng.normal(size=(3, 3))
    np.testing.assert_allclose(statistics(fields @ mix, _alone(3)), statistics(fields, _alone(3)), rtol=1e-9)
    symmetric = (mix + mix[::-1, ::-1]) / 2
    np.testing.assert_allclose(
        statistics(fields @ (symmetric @ symmetric.T), FLIP), statistics(fields, FLIP), rtol=1e-9
    )
    assert np.max(np.abs(statistics(fields @ mix, FLIP) / statistics(fields, FLIP) - 1.0)) > 0.01


def test_p_values_of_gaussian_networks_are_uniform():
    """400 Gaussian sets of 50 networks, each with its own null of 99 draws; KS at 1e-6. chi^2 fails the same test."""
    rng, n, draws = np.random.default_rng(2), 50, 99
    for group in (_alone(3), FLIP):
        root = planted("rbf", 0.0, 3).covariance
        found = statistics(rng.normal(size=(400, n, 3)) @ np.linalg.cholesky(root).T, group)
        null = _drawn(n, 3, group, 400 * draws, rng, 0.0).reshape(400, draws)
        above = np.sum(null >= found[:, None], axis=1)
        p = (above + rng.random(400)) / (draws + 1)  # the step of (r + 1)/(B + 1) filled in
        assert stats.kstest(p, "uniform").pvalue > FALSE_ALARM
        components = 15 if len(group) == 1 else 9
        assert stats.kstest(stats.chi2.sf(found, components), "uniform").pvalue < FALSE_ALARM


def test_a_narrow_network_is_seen():
    """Cos width 2 at three points, 200 networks: p < .05 in at least 54 of 60 (measured power above .99)."""
    rng = np.random.default_rng(3)
    null = np.sort(_drawn(200, 3, _alone(3), 999, rng, 0.0))
    edge = null[-50]
    assert np.sum(statistics(_fields(m.Network(m.Cos(), 2), LINE, 60, 200, 4), _alone(3)) > edge) >= 54
    assert np.sum(statistics(rng.normal(size=(60, 200, 3)), _alone(3)) > edge) <= _most(60, 0.06)


@pytest.mark.parametrize(("width", "count", "fault"), [(2, 1, "estimate"), (5, 3, "factor")])
def test_bounds_on_eps4_hold(width, count, fault):
    """50 sets of 100 networks at 90 %: misses at most what comes once in a million.

    Two faults miss more: the estimate in place of the bound, and 4! lost in ||G4c||^2/24.
    """
    network, points = m.Network(m.Cos(), width), LINE[:count]
    truth = m.exact(network, points, orders=(2, 4))
    eps4, _ = m.non_gaussianity(truth.connected(4), None, truth.tensor(2))
    rng = np.random.default_rng(5)
    found = [
        test_of_gaussianity(fields, _alone(count), level=0.9, draws=199, rng=rng)
        for fields in _fields(network, points, 50, 100, 6)
    ]
    assert sum(f.bound < eps4 for f in found) <= _most(50, 0.1)
    wrong = [f.eps4 if fault == "estimate" else f.bound / 24**0.5 for f in found]
    assert sum(w < eps4 for w in wrong) > _most(50, 0.1)
    assert all(f.bound > f.eps4 for f in found)


def test_the_bound_shrinks_with_the_networks_and_follows_the_signal():
    rng = np.random.default_rng(7)
    found = [
        test_of_gaussianity(rng.normal(size=(n, 2)), _alone(2), level=0.95, draws=399, rng=rng).bound
        for n in (100, 1600)
    ]
    assert found[0] / found[1] > 2.0
    strong = _fields(m.Network(m.Cos(), 2), LINE[:2], 1, 1600, 8)[0]
    assert test_of_gaussianity(strong, _alone(2), level=0.95, draws=399, rng=rng).bound > 2 * found[1]


def test_the_error_of_an_excess_kurtosis_and_the_networks_that_decide():
    """Sd .22 at 500 networks; a cos-net of width 100 has .015, and takes 9.6e5 networks for 3 sigma."""
    fourth = connected(np.random.default_rng(9).normal(size=(8000, 500, 1)), _alone(1))[1]
    assert abs(fourth.std() - np.sqrt(24 / 500)) < 0.012  # sd of the sd: .0024
    truth = m.exact(m.Network(m.Cos(), 100), np.zeros((1, 1)))
    kurtosis = float(truth.connected(4)[0] / truth.connected(2)[0] ** 2)
    assert abs(kurtosis - 0.015) < 1e-9
    np.testing.assert_allclose(deciding(_alone(1), kurtosis / 24**0.5), 24 * (3 / kurtosis) ** 2, rtol=2e-3)
    # More components, more noise: 15 of them at three points, 9 of them left by the reflection.
    assert deciding(_alone(3), 0.1) > deciding(FLIP, 0.1) > deciding(_alone(1), 0.1)


def test_couplings_are_those_of_score_matching():
    """The closed form for the quadratic part against A theta = b with every term, sandwich included, to 1e-9."""
    rng = np.random.default_rng(10)
    fields = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    for action in (m.Constant(), m.Local(), m.Bilocal()):
        terms = terms_of(action, fields.T @ fields / 200, np.array([0.5, 1.0, 2.0]))
        theta, error = (part[0] for part in estimates(fields[None], derivatives(terms), _alone(3)))
        with jax.enable_x64(True):
            bare = np.asarray(terms.residuals(fields, np.zeros(terms.size)))
            columns = [np.asarray(terms.residuals(fields, e)) - bare for e in np.eye(terms.size)]
            matrix = np.stack([c.mean(axis=0) for c in columns], axis=1)
            full = np.linalg.solve(matrix, -bare.mean(axis=0))
            psi = np.asarray(terms.residuals(fields, full))
        sandwich = np.linalg.inv(matrix) @ np.cov(psi.T) @ np.linalg.inv(matrix).T / 200
        np.testing.assert_allclose(theta, full[6:], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(error, np.sqrt(np.diag(sandwich))[6:], rtol=1e-9)


def test_intervals_of_a_coupling_hold_at_two_hundred_networks():
    """Planted lattice action, 120 sets: misses of 95 % within 1e-6; half the error, as if four images were four
    networks, is seen.
    """
    truth, rng, sets = planted("lat", 0.02, 3), np.random.default_rng(11), 120
    terms = terms_of(m.Constant(), truth.covariance, np.ones(3))
    target, spread = (
        part[0, 0] / terms.factors[-1]
        for part in estimates(truth.draw(400_000, rng)[None], derivatives(terms), _alone(3))
    )
    misses = faulty = 0
    for _ in range(sets):
        fields = truth.draw(200, rng)
        found = intervals(
            fields,
            terms_of(m.Constant(), fields.T @ fields / 200, np.ones(3)),
            _alone(3),
            level=0.95,
            draws=199,
            rng=rng,
        )
        misses += not found.low[0] <= target <= found.high[0]
        half = 0.5 * (found.high[0] - found.low[0]) / 2
        faulty += abs(found.estimate[0] - target) > half
        assert spread < 0.1 * found.error[0]
    assert misses <= _most(sets, 0.05)
    assert faulty > _most(sets, 0.05)


def test_a_wrong_symmetry_is_refused_and_a_right_one_pools():
    """Erf networks know where zero is; cosine ones do not. Pooling shrinks errors, copies of a network do not."""
    narrow = inf.Ensemble(m.Network(m.Erf(), 5), points=LINE + 2.0, n=300, key=jax.random.key(12))
    with pytest.raises(ValueError, match=r"permutation \[2, 1, 0\] leaves alone, got p = .* try leaving"):
        inf.few_networks(narrow, symmetries=[[2, 1, 0]], key=jax.random.key(0))
    ensemble = inf.Ensemble(m.Network(m.Cos(), 5), points=LINE, n=300, key=jax.random.key(13))
    plain = inf.few_networks(ensemble, draws=199, key=jax.random.key(0))
    pooled = inf.few_networks(ensemble, symmetries=[[2, 1, 0]], draws=199, key=jax.random.key(0))
    assert (plain.group, pooled.group) == (1, 2)
    assert pooled.two_point_error[0, 0] < 0.9 * plain.two_point_error[0, 0]
    np.testing.assert_allclose(pooled.two_point[0, 0], (plain.two_point[0, 0] + plain.two_point[2, 2]) / 2, rtol=1e-9)
    # Networks that are their own images up to round-off: nothing is gained by counting them twice.
    rng = np.random.default_rng(14)
    fields = rng.normal(size=(300, 3))
    fields[:, 2] = fields[:, 0] + 0.01 * rng.normal(size=300)
    twins = inf.Samples(fields, LINE)
    alone, both = (inf.few_networks(twins, symmetries=s, draws=99, key=jax.random.key(1)) for s in ((), [[2, 1, 0]]))
    np.testing.assert_allclose(both.two_point_error[0, 0], alone.two_point_error[0, 0], rtol=0.02)


def test_p_values_of_a_symmetry_are_uniform():
    """A rotation of three points, not its own inverse: 200 sets, KS at 1e-6; a point that is larger is seen."""
    rng = np.random.default_rng(15)
    turns = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

    def p(fields: np.ndarray) -> float:
        base = np.array([fields[:, turn] ** 2 for turn in turns])
        return _image_p(base - base.mean(axis=0), rng)

    fields = rng.exponential(size=(200, 60, 3)) + rng.normal(size=(200, 60, 1))
    assert stats.kstest([p(f) for f in fields], "uniform").pvalue > FALSE_ALARM
    assert stats.kstest([p(f * [1.0, 1.0, 1.3]) for f in fields], "uniform").pvalue < FALSE_ALARM


@pytest.mark.parametrize("fault", ["mean", "skew"])
def test_odd_samples_are_refused(fault):
    rng = np.random.default_rng(16)
    fields = rng.normal(size=(400, 2)) + 0.5 if fault == "mean" else rng.exponential(size=(400, 2)) - 1.0
    with pytest.raises(ValueError, match=r"phi -> -phi leaves alone, got p = .* try a random sign"):
        inf.few_networks(inf.Samples(fields, LINE[:2]), key=jax.random.key(0))


def test_the_answer_of_a_wide_network_is_a_bound():
    """1000 networks of width 100 at one site: nothing seen, eps4 = .003 inside the bound, far too few to decide."""
    ensemble = inf.Ensemble(m.Network(m.Cos(), 100), points=np.zeros((1, 1)), n=1000, key=jax.random.key(17))
    found = inf.few_networks(ensemble, key=jax.random.key(2))
    again = inf.few_networks(ensemble, key=jax.random.key(2))
    assert found.gaussianity == again.gaussianity
    assert found.gaussianity.p > 1e-3
    assert 0.00306 < found.gaussianity.bound < 0.3
    assert found.couplings.low[0] < found.couplings.estimate[0] < found.couplings.high[0]
    assert found.bounds[0] == max(abs(found.couplings.low[0]), abs(found.couplings.high[0]))
    assert found.decided_by[1] < 1e5 < deciding(_alone(1), 0.00306)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    for word in ("Gaussian?", "eps4", "below", "coupling", "networks that would decide", "(24/n)^(1/2) = 0.15"):
        assert word in text


def test_a_strongly_coupled_field_is_told_to_stay_with_correlators():
    ensemble = inf.Ensemble(m.Network(m.Cos(), 2), points=LINE, n=300, key=jax.random.key(21))
    found = inf.few_networks(ensemble, draws=99, symmetries=[[2, 1, 0]], key=jax.random.key(0))
    text = str(found)
    assert "do not speak of an action" in text
    assert "no interval" in text
    assert found.couplings.why.startswith(f"eps4 = {found.gaussianity.eps4:.2g}, above 0.3 with p = ")
    for number in (found.couplings.low, found.couplings.high, found.bounds, found.couplings_decided_by):
        assert np.isnan(number).all()
    assert np.isfinite(found.couplings.estimate).all()
    assert "2 permutations pooled" in text
    assert max(map(len, text.splitlines())) <= 100


def test_intervals_are_refused_far_from_the_gaussian_and_only_there():
    """eps4 = .87 (ReLU width 5) is seen at 200 networks; .12 (cos width 10) and 0 are refused at most as .3 would be.

    60 sets each; chance goes beyond these counts once in a million.
    """
    rng, n, sides = np.random.default_rng(22), 200, np.array([[-1.0], [1.0]])
    gauss = _drawn(n, 2, _alone(2), 999, rng, 0.0)
    refused = {}
    for name, fields in (
        ("relu", _fields(m.Network(m.ReLU(), 5), sides, 60, n, 23)),
        ("cos", _fields(m.Network(m.Cos(), 10), sides, 60, n, 24)),
        ("gauss", rng.normal(size=(60, n, 2))),
    ):
        found = statistics(fields, _alone(2))
        refused[name] = sum(farther(t, gauss, n, 0.3) < 0.05 for t in found.tolist())
    assert refused["gauss"] <= _most(60, 0.001)
    assert refused["cos"] <= _most(60, 0.05)
    assert refused["relu"] >= 60 - _most(60, 0.1)


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (19, {}, "20 to 20000 networks, got 19; try drawing more"),
        (20_001, {}, "got 20001; try inf.measure and inf.fit"),
        (150, {"action": m.Bilocal()}, "at most 2 couplings from 150 networks, got 5"),
        (150, {"action": m.FullSextic()}, "expected a quartic action"),
        (150, {"level": 1.0}, "level between"),
        (150, {"draws": 10}, "at least 40 draws"),
        (150, {"symmetries": [[0, 0]]}, "permutation of the 2 points"),
        (150, {"symmetries": [[0]]}, "permutation of the 2 points"),
        (150, {"weights": np.zeros(2)}, "positive quadrature weights"),
    ],
)
def test_what_cannot_be_answered_is_refused(n, options, message):
    samples = inf.Samples(np.random.default_rng(18).normal(size=(n, 2)), LINE[:2])
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        inf.few_networks(samples, key=jax.random.key(0), **options)


def test_points_that_are_one_are_refused():
    one = np.random.default_rng(19).normal(size=(100, 1)) * np.array([1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"Gram matrix can be inverted .* got .* try points further apart or fewer: points\[\[0\]\]"
    ):
        inf.few_networks(inf.Samples(one, LINE[:2]), key=jax.random.key(0))
    many = inf.Samples(np.random.default_rng(20).normal(size=(30, 8)), np.arange(8.0)[:, None])
    with pytest.raises(ValueError, match=r"4 networks for each of 8 points, got 30"):
        inf.few_networks(many, key=jax.random.key(0))


@pytest.mark.parametrize(("n", "points"), [(20, 5), (50, 5), (60, 12)])
def test_the_fewest_networks_have_finite_intervals(n, points):
    """Four networks a point are drawn anew into too few different ones; Gaussian sets alone then stand for the law."""
    samples = inf.Samples(np.random.default_rng(27).normal(size=(n, points)), np.arange(float(points))[:, None])
    found = inf.few_networks(samples, draws=99, key=jax.random.key(0))
    assert found.couplings.low[0] < found.couplings.estimate[0] < found.couplings.high[0]
    assert found.couplings.high[0] - found.couplings.low[0] < 20 * found.couplings.error[0]


def test_few_gaussian_networks_at_many_points_are_not_far_from_gaussian():
    """50 networks at five points: eps4 = .3 is rejected in at most 5 % of 1000 Gaussian sets, by chi^2 in 11 %."""
    rng, n = np.random.default_rng(26), 50
    gauss, found = _drawn(n, 5, _alone(5), 999, rng, 0.0), _drawn(n, 5, _alone(5), 1000, rng, 0.0)
    assert sum(farther(t, gauss, n, 0.3) < 0.05 for t in found.tolist()) <= _most(1000, 0.05)
    narrow = stats.ncx2.sf(found - gauss.mean() + 70, 70, n * 0.09)
    assert np.sum(narrow < 0.05) > _most(1000, 0.05)
