"""A Markov chain is found by its order, averaged in blocks, and refused where it is too short to know its errors.

The chains are AR(1) sequences of Gaussian fields, phi_t = rho phi_(t-1) + sqrt(1 - rho^2) xi, for which
tau = (1 + rho)/(2(1 - rho)) of phi and (1 + rho^2)/(2(1 - rho^2)) of phi^2, exactly. Coverage at many tau is a proof
(`tests/proof/test_chains.py`).
"""

import jax
import numpy as np
import pytest
from scipy.signal import lfilter

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.ensembles.chains import check_worth, dependence_of, series_of
from nnft.inference.ensembles.sums import error_rows, group_length, sums
from nnft.inference.methods.problem import prepare
from tests.statistics import agree, disagree

X = np.array([[0.0], [1.0]])


def ar(rho, n, seed, points=2):
    """n fields of one stationary chain, unit variance, correlation .5 between points."""
    white = np.random.default_rng(seed).normal(size=(n + 400, points))
    chain = lfilter([np.sqrt(1 - rho**2)], [1, -rho], white, axis=0)[400:]
    return chain @ np.linalg.cholesky(0.5 * np.eye(points) + 0.5).T


def test_independent_fields_stay_as_they_are():
    """Bit for bit: blocks of one, the same errors as told independent."""
    fields = ar(0.0, 2000, 1)
    looked, told = inf.Samples(fields, X), inf.Samples(fields, X, independent=True)
    assert looked.dependence.block == 1
    one, other = inf.measure(looked, orders=(2,)), inf.measure(told, orders=(2,))
    assert np.array_equal(one.error(2), other.error(2))
    assert one.networks == 2000
    assert "chain" not in one.about


def test_a_chain_is_found_and_its_tau_is_right():
    """tau of the slowest observable, mean phi: 4.5 at rho = .8. Error of tau sqrt(2 (2 W + 1)/n) tau, W = 5 tau."""
    n, tau = 20_000, 4.5
    found = inf.Samples(ar(0.8, n, 2), X).dependence
    agree(found.tau, tau, tau * np.sqrt(2 * (10 * tau + 1) / n))
    disagree(found.tau, 0.5, tau * np.sqrt(2 * (10 * tau + 1) / n))
    assert found.block >= 10 * found.tau
    assert found.effective == pytest.approx(n / (2 * found.tau))


def test_errors_of_a_chain_are_those_of_its_blocks():
    """The error of G2 is sqrt(2 tau') that of independent fields, tau' of phi^2; as independent it is too small."""
    n, rho = 8000, 0.8
    fields = ar(rho, n, 3)
    chain, naive = (
        inf.measure(inf.Samples(fields, X), orders=(2,)),
        inf.measure(inf.Samples(fields, X, independent=True), orders=(2,)),
    )
    memory = (1 + rho**2) / (1 - rho**2)
    truth = np.sqrt(memory * np.array([2.0, 1.25, 2.0]) / n)
    groups = chain.dof + 1
    agree(chain.error(2), truth, truth / np.sqrt(2 * groups), family=1e-5)
    disagree(naive.error(2), truth, truth / np.sqrt(2 * 1024))
    assert chain.networks == pytest.approx(n / (2 * inf.Samples(fields, X).dependence.tau))
    assert "worth" in chain.about["chain"]


def test_blocks_are_averages_of_consecutive_fields():
    """`error_rows` against the block means written out, with the variance that neighbours share put back."""
    source = inf.Samples(ar(0.8, 3000, 4), X)
    length = group_length(source)
    assert length >= source.dependence.block

    def statistic(fields, weights):
        return weights @ fields

    sizes, parts = sums(source, statistic)
    rows = error_rows(source, sizes, parts)
    fields = source.read(0, source.n)
    blocks = [fields[i : i + length] for i in range(0, source.n, length)]
    mean = fields.mean(axis=0)
    share = np.sqrt(len(blocks) / (len(blocks) - 1) / (1 - source.dependence.tau / length)) / source.n
    expected = np.array([share * len(b) * (b.mean(axis=0) - mean) for b in blocks])
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-12)


def test_couplings_of_a_chain_have_the_wider_errors():
    """B from blocks, n_eff networks; told that it is independent the same file gives smaller errors."""
    fields = ar(0.6, 12_000, 5)
    problem = prepare(inf.Samples(fields, X), m.Bilocal())
    assert problem.equations.dof < 1024
    assert problem.equations.networks < 12_000 / 3
    naive = prepare(inf.Samples(fields, X, independent=True), m.Bilocal())
    ratio = np.diag(problem.equations.sandwich) / np.diag(naive.equations.sandwich)
    assert np.mean(ratio) > 1.3


def test_a_lattice_chain_through_fields_counts_its_blocks():
    fields = ar(0.5, 6000, 6, points=12)
    sites = np.arange(12.0)[:, None]
    chain = prepare(inf.Samples(fields, sites), m.LatticePhi4((12,)))
    told = prepare(inf.Samples(fields, sites, independent=True), m.LatticePhi4((12,)))
    length = group_length(inf.Samples(fields, sites))
    assert chain.equations.dof == -(-6000 // length) - 1
    assert told.equations.dof == 5999
    np.testing.assert_allclose(chain.equations.matrix, told.equations.matrix, rtol=1e-12)
    ratio = np.diag(chain.equations.sandwich) / np.diag(told.equations.sandwich)
    assert np.mean(ratio) > 1.2


def test_a_short_chain_is_refused_with_its_worth():
    short = inf.Samples(ar(0.95, 600, 7), X)
    with pytest.raises(ValueError, match=r"n_eff = \d+: a chain of 600 fields worth .*autocorrelation time"):
        inf.measure(short)
    with pytest.raises(ValueError, match="n_eff"):
        inf.fit(short, m.Constant(), key=jax.random.key(0))
    check_worth(inf.Samples(ar(0.95, 600, 7), X, independent=True))


def test_sorted_and_shuffled_files_are_told_apart():
    """The same networks: sorted they look like one endless memory, shuffled like what they are."""
    fields = ar(0.0, 4000, 8)
    ordered = fields[np.argsort(fields[:, 0])]
    with pytest.raises(ValueError, match="the file is only sorted"):
        inf.measure(inf.Samples(ordered, X))
    shuffled = np.random.default_rng(9).permutation(ordered)
    assert inf.Samples(shuffled, X).dependence.block == 1


def test_methods_that_need_independent_networks_say_so():
    chain = inf.Samples(ar(0.8, 12_000, 10), X)
    with pytest.raises(ValueError, match=r"independent networks for method='gold', got a chain .* Samples\(array\[::"):
        inf.fit(chain, m.Bilocal(), method="gold", key=jax.random.key(0))
    with pytest.raises(ValueError, match="independent networks for so few"):
        inf.few_networks(inf.Samples(ar(0.8, 900, 11), X), key=jax.random.key(0))
    with pytest.raises(ValueError, match="to hold some of them out"):
        an.compare(chain, key=jax.random.key(0))


def test_named_chains_count_their_spread():
    """Chains that never meet: 8 stuck at their own level are worth about 8 fields, whatever their length."""
    rng = np.random.default_rng(12)
    stuck = np.repeat(rng.normal(size=(8, 1, 2)), 500, axis=1) + 0.05 * rng.normal(size=(8, 500, 2))
    found = inf.Samples(stuck.reshape(-1, 2), X, chains=8).dependence
    assert found.effective < 40
    apart = inf.Samples(rng.normal(size=(4000, 2)), X, chains=400).dependence
    assert apart.block == 10 if apart.whole else apart.block >= 5
    with pytest.raises(ValueError, match="chains of equal length among 4000 fields, got 7"):
        inf.Samples(rng.normal(size=(4000, 2)), X, chains=7)
    with pytest.raises(ValueError, match="either chains= or independent=True"):
        inf.Samples(rng.normal(size=(4000, 2)), X, chains=4, independent=True)


def test_false_alarms_are_rare_for_heavy_and_skewed_fields():
    """Seven in a thousand by design for Gaussian fields; of 300 files more than 12 would be a chance of 1e-6."""
    rng = np.random.default_rng(13)
    alarms = 0
    for kind in range(300):
        n = (200, 1000, 5000)[kind % 3]
        fields = (rng.normal(size=(n, 2)), rng.standard_t(5, size=(n, 2)), rng.exponential(size=(n, 2)) - 1)[kind % 2]
        alarms += dependence_of(series_of(fields), n, chains=None, independent=None).block > 1
    assert alarms <= 12
    chain = dependence_of(series_of(ar(0.5, 1000, 14)), 1000, chains=None, independent=None)
    assert chain.block > 1


def test_a_chain_reaches_the_verdicts():
    chain, drawing = inf.Samples(ar(0.8, 12_000, 15), X), inf.Closed(draws=100)
    fit = inf.fit(chain, m.Constant(), key=jax.random.key(0), sampler=drawing)
    found = next(check for check in an.diagnose(fit) if check.name == "effective networks")
    assert found.value.startswith("n_eff = ")
    assert "blocks" in found.why
