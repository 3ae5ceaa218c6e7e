"""Which p-value holds: T^2 for Gaussian contributions, components by their errors for uneven ones, none for a few."""

import numpy as np
import pytest
from scipy import stats

from nnft.models import distance as rooms
from nnft.models.distance import distance, spherical
from tests.statistics import limit

GROUPS, SIZE = 150, 30


def _null(rng, heavy):
    """Mean and rows of one experiment whose true mean is zero: contributions normal, or log-normal, skew as powers."""
    mix = np.tril(np.ones((SIZE, SIZE))) / np.sqrt(np.arange(1, SIZE + 1))[:, None]
    x = rng.standard_normal((GROUPS, SIZE))
    x = (np.exp(x) - np.exp(0.5) if heavy else x) @ mix.T
    mean = x.mean(axis=0)
    return mean, (x - mean) / np.sqrt(GROUPS * (GROUPS - 1.0))


def _judged(heavy, seed, repeats=300):
    rng = np.random.default_rng(seed)
    about = {"networks": np.inf, "dof": GROUPS - 1.0, "connected": False, "groups": True}
    return [distance(*_null(rng, heavy), **about) for _ in range(repeats)]


def test_gaussian_contributions_keep_t_squared():
    found = _judged(False, 1)
    assert all("kept" in f.why and f.dof == SIZE for f in found)
    assert stats.kstest([f.p for f in found], "uniform").pvalue > 1e-6  # the rate of a false alarm
    mean, rows = _null(np.random.default_rng(1), False)
    whole = float(mean @ np.linalg.solve(rows.T @ rows, mean))
    assert found[0].value == pytest.approx(whole, rel=1e-10)
    # F of T^2 as a Beta variable
    below = GROUPS - 1.0
    beta = stats.beta.sf(whole / (whole + below), SIZE / 2, (below - SIZE + 1) / 2)
    assert found[0].p == pytest.approx(beta, rel=1e-9)


def test_uneven_contributions_are_judged_by_their_errors_and_t_squared_would_not_hold(monkeypatch):
    """300 true nulls: below .05 no more often than a binomial of .1 allows at 1e-6; T^2 (fault) is beyond it."""
    most = stats.binom.isf(1e-6, 300, 0.1)
    found = _judged(True, 2)
    assert sum("in units of its error" in f.why for f in found) > 250
    given = [f.p for f in found if np.isfinite(f.p)]
    assert np.sum(np.array(given) < 0.05) <= most
    monkeypatch.setattr(rooms, "_EXCESS", np.inf)
    assert np.sum(np.array([f.p for f in _judged(True, 2)]) < 0.05) > most


def test_box_counts_the_degrees_of_freedom_of_correlated_components():
    """Of p components with correlation r: f = p/(1 + (p - 1) r^2); of independent ones all."""
    for r in (0.0, 0.5, 0.9):
        root = np.linalg.cholesky((1 - r) * np.eye(4) + r * np.ones((4, 4)))
        rows = np.concatenate([np.tile(root.T, (50, 1)), -np.tile(root.T, (50, 1))]) / 10.0
        found = spherical(np.ones(4), rows, "")
        assert found.dof == pytest.approx(4.0 / (1.0 + 3.0 * r**2))
        assert found.value / found.dof == pytest.approx(1.0)
        makers = np.sum(rows**2) ** 2 / np.sum(np.sum(rows**2, axis=1) ** 2)
        assert found.p == pytest.approx(stats.f.sf(1.0, found.dof, makers / 4.0))


def test_one_network_that_makes_the_error_gives_no_p_value():
    rows = np.full((500, 3), 1e-3)
    rows[7] = 1.0
    found = distance(np.ones(3), rows, networks=5000.0, dof=499.0, connected=False, groups=True)
    assert np.isnan(found.p)
    assert "1.0 of 500 groups" in found.why
    assert "no p-value" in str(found)
    assert np.isfinite(distance(np.ones(3), rows, networks=5000.0, dof=499.0, connected=False, groups=False).p)


def test_a_wrong_mean_is_seen_by_both():
    for heavy in (False, True):
        mean, rows = _null(np.random.default_rng(4), heavy)
        error = np.linalg.norm(rows, axis=0)
        about = {"networks": np.inf, "dof": GROUPS - 1.0, "connected": False, "groups": True}
        assert distance(mean + 2.0 * limit(SIZE) * error, rows, **about).p < 1e-6
