"""Fresh ensembles as the null: right at any number of networks, and blind to nothing that is large."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m

POINTS = np.array([[0.0], [1.0]])
NET = m.Network(m.Cos(), width=20)
N = 200


@pytest.fixture(scope="module")
def truth():
    return m.exact(NET, POINTS)


@pytest.fixture(scope="module")
def fresh(truth):
    return inf.null(truth, N, orders=(2, 4), key=jax.random.key(1))


def _measured(net=NET, n=N, seed=2, **options):
    return inf.measure(inf.Ensemble(net, points=POINTS, n=n, key=jax.random.key(seed)), orders=(2, 4), **options)


def test_the_deviations_are_those_of_measured_ensembles(fresh, truth):
    """The first of the 1024 is the first 200 networks of their recipe, measured: to the last digits."""
    whole = inf.Ensemble(NET, points=POINTS, n=1024 * N, key=jax.random.key(1))
    own = inf.measure(inf.Samples(whole.read(0, N), POINTS, independent=True), orders=(2, 4), even=True)
    for order in (2, 4):
        np.testing.assert_allclose(fresh.moments[order][0], own.moment(order) - truth.moment(order), atol=1e-12)
        np.testing.assert_allclose(fresh.cumulants[order][0], own.connected(order) - truth.connected(order), atol=1e-12)
    assert len(fresh.moments[2]) == 1024


def test_the_true_network_passes_and_another_does_not(fresh):
    """p <= 1e-3 of the true one would be a false alarm once in a thousand seeds; a network of width one is seen."""
    for kind in ("connected", "moment"):
        found = fresh.judge(_measured(), kind=kind)
        assert found.p > 1e-3
        assert "1024 fresh ensembles of 200 networks" in found.why
    assert fresh.judge(_measured(m.Network(m.Cos(), width=20, output_scale=1.4))).p == pytest.approx(1 / 1025)
    assert fresh.judge(_measured(m.Network(m.Cos(), width=1)), 4).p < 0.05


def test_the_rank_counts_itself(fresh, truth):
    own = m.Correlators(
        POINTS,
        {r: truth.moment(r) + fresh.moments[r][5] for r in (2, 4)},
        {r: truth.connected(r) + fresh.cumulants[r][5] for r in (2, 4)},
        networks=float(N),
        even=True,
    )
    assert fresh.judge(own).p >= 2 / 1025  # itself and its twin


@pytest.mark.parametrize(
    ("data", "orders", "kind", "words"),
    [
        (lambda: _measured(n=300), (), "connected", "200 independent fields, got 300"),
        (lambda: _measured(n=2000, space="readout"), (), "connected", "readout space"),
        (lambda: _measured(even=False), (), "connected", "even=True"),
        (_measured, (6,), "connected", r"orders among \(2, 4\), got \[6\]"),
        (_measured, (), "full", "kind 'connected' or 'moment'"),
        (lambda: m.exact(NET, POINTS + 1.0), (), "connected", "at the points of the exact ones"),
    ],
)
def test_what_is_not_alike_is_refused(fresh, data, orders, kind, words):
    with pytest.raises(ValueError, match=words):
        fresh.judge(data(), *orders, kind=kind)


def test_a_null_needs_a_network_and_a_number_of_them(truth):
    given = m.Correlators.from_arrays(POINTS, moments={2: truth.moment(2)})
    with pytest.raises(ValueError, match="whose network is known"):
        inf.null(given, N, key=jax.random.key(0))
    for n in (10, 2**54):
        with pytest.raises(ValueError, match="networks of an ensemble"):
            inf.null(truth, n, key=jax.random.key(0))
