"""Errors of correlators: chi^2 alarms as often as it says, and propagated errors are the spread of experiments."""

import numpy as np
import pytest
from scipy import stats

from nnft.models import Correlators
from nnft.models.combinatorics import connected_from_moments, sorted_tuples
from tests.statistics import agree, disagree

POINTS = np.array([[0.0], [0.5], [1.5]])
ALARM = 1e-6  # false alarm of every Kolmogorov-Smirnov test below

# ---- chi^2 ----------------------------------------------------------------------------------------------------------

REPLICATES = 2000


def uniform(p):
    """Kolmogorov-Smirnov probability that p-values are uniform."""
    return stats.kstest(p, "uniform").pvalue


def known(seed, *, rank=21, drop=False):
    """p-values of noise of a known covariance over orders 2 and 4 together; `drop` forgets the correlations."""
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(rank, 21)) * 10.0 ** np.linspace(0, -4, 21)
    noise = draw.normal(size=(REPLICATES, rank)) @ root
    covariance = root.T @ root
    given = np.diag(np.diag(covariance)) if drop else covariance
    results = []
    for row in noise:
        data = Correlators.from_arrays(POINTS, connected={2: row[:6], 4: row[6:]}, covariance=given)
        results.append(data.chi2())
    return results


def test_chi2_of_a_known_covariance_is_uniform():
    results = known(1)
    assert {r.dof for r in results} == {21}
    assert uniform([r.p for r in results]) > ALARM


def test_chi2_of_a_rank_deficient_covariance_keeps_its_rank():
    results = known(2, rank=12)
    assert {r.dof for r in results} == {12}
    assert "9 are combinations without independent error" in results[0].why
    assert uniform([r.p for r in results]) > ALARM


@pytest.mark.parametrize("rank", [21, 12])
def test_planted_fault_a_dropped_covariance_is_not_uniform(rank):
    assert uniform([r.p for r in known(3, rank=rank, drop=True)]) < ALARM


def estimated(seed, groups, *, order=4):
    """chi^2 of zero-mean Gaussian data whose covariance is estimated from as many group means."""
    draw = np.random.default_rng(seed)
    size = len(sorted_tuples(3, order))
    root = draw.normal(size=(size, size)) * 10.0 ** np.linspace(0, -3, size)
    results = []
    for _ in range(REPLICATES):
        means = draw.normal(size=(groups, size)) @ root
        rows = (means - means.mean(axis=0)) / np.sqrt(groups * (groups - 1))
        data = Correlators(POINTS, {}, {order: means.mean(axis=0)}, rows={"connected": {order: rows}}, dof=groups - 1)
        results.append(data.chi2(order))
    return results


def test_chi2_of_an_estimated_covariance_is_hotelling():
    results = estimated(4, 64)  # 15 components, 63 degrees of freedom: all of them are kept
    assert {r.dof for r in results} == {15}
    assert uniform([r.p for r in results]) > ALARM


def test_planted_fault_chi2_instead_of_f_is_not_uniform():
    assert uniform([stats.chi2.sf(r.value, r.dof) for r in estimated(4, 64)]) < ALARM


def test_too_few_degrees_of_freedom_keep_a_quarter_and_never_alarm_too_often():
    results = estimated(5, 33)
    assert {r.dof for r in results} == {8}
    assert "a quarter" in results[0].why
    p = np.array([r.p for r in results])
    # The leading directions of an estimate exaggerate its errors, so p is too large; one-sided bounds at 1e-6.
    for level in (0.001, 0.01, 0.05, 0.5):
        assert np.sum(p < level) <= stats.binom.isf(ALARM, REPLICATES, level)
    assert "8 of 15 components kept" in str(results[0])


def test_chi2_sees_a_shift_that_each_component_hides():
    """Strongly correlated errors: a shift of one error on each component alone, 50 standard errors off together."""
    correlation = 0.999 + 0.001 * np.eye(6)
    shift = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    data = Correlators.from_arrays(POINTS, connected={2: shift}, covariance=correlation)
    assert np.all(np.abs(data.connected(2) / data.error(2)) < 1.01)
    assert data.chi2(2).value == pytest.approx(6 / 0.001, rel=1e-6)


def test_chi2_of_nothing_at_all_is_no_evidence():
    """The odd moments of samples symmetrised pair by pair: zero, without spread."""
    data = Correlators.from_arrays(POINTS, connected={1: np.zeros(3)}, covariance=np.zeros((3, 3)))
    assert (data.chi2(1).p, data.chi2(1).dof) == (1.0, 0)


# ---- propagation of errors ------------------------------------------------------------------------------------------


def skewed(draw, shape):
    """Two correlated, skewed fields of mean one: exponential neighbours."""
    a, b = draw.exponential(size=(2, *shape))
    return np.stack([a, 0.6 * a + 0.4 * b], axis=-1)


def replicates(even, count=400, n=2000):
    """Cumulants of many experiments of n networks, and the errors that one large experiment predicts for them."""
    draw = np.random.default_rng(7)
    orders = (2, 4) if even else (1, 2, 3, 4)
    fields = skewed(draw, (count, n))
    if even:
        fields = fields * draw.choice([-1.0, 1.0], size=(count, n, 1))
    monomials = {r: np.prod(fields[..., sorted_tuples(2, r)], axis=-1) for r in orders}
    cumulants = {}
    for order in (2, 4):
        means = {r: v.mean(axis=1) for r, v in monomials.items()}
        cumulants[order] = np.array(
            [
                connected_from_moments({r: v[k] for r, v in means.items()}, 2, order, n=n, even=even)
                for k in range(count)
            ]
        )
    flat = np.concatenate([monomials[r].reshape(count * n, -1) for r in orders], axis=1)
    moments = {r: monomials[r].mean(axis=(0, 1)) for r in orders}
    data = Correlators.from_arrays(
        np.array([[0.0], [1.0]]), moments=moments, covariance=np.cov(flat.T) / n, networks=n, even=even
    )
    return data, cumulants


@pytest.mark.parametrize("even", [False, True])
def test_propagated_errors_are_the_spread_of_repeated_experiments(even):
    data, cumulants = replicates(even)
    for order, values in cumulants.items():
        count = len(values)
        centred = (values - values.mean(axis=0)) ** 2
        spread, se = centred.sum(axis=0) / (count - 1), centred.std(axis=0) / np.sqrt(count)
        agree(spread, data.error(order) ** 2, se)


def test_planted_fault_errors_of_the_moment_alone():
    """Errors of <phi phi phi phi> taken for those of the connected function, whose disconnected part fluctuates too."""
    data, cumulants = replicates(True)
    values = cumulants[4]
    centred = (values - values.mean(axis=0)) ** 2
    spread, se = centred.sum(axis=0) / (len(values) - 1), centred.std(axis=0) / np.sqrt(len(values))
    disagree(spread, data.error(4, "moment") ** 2, se)
