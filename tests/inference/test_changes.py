"""Couplings of ensembles whose networks belong together: their difference is exact, its error that of the pairs."""

from functools import cache

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[-0.4], [0.7]])
KEY = jax.random.key(0)


@cache
def ensemble(neuron=m.Erf(), n=20_000, seed=1):  # noqa: B008
    return inf.Ensemble(m.Network(neuron, 9), points=X, n=n, key=jax.random.key(seed))


def samples(source):
    return inf.Samples(source.read(0, source.n).astype(float), source.points)


def exact(neuron):
    """The couplings of infinitely many networks, in the order of a fit."""
    point = inf.fit(m.exact(m.Network(neuron, 9), X), m.Bilocal(), key=KEY)["point"]
    return np.concatenate([np.atleast_1d(point[name].values) for name in ("q", "g", "u", "v")])


@pytest.fixture(scope="module")
def change():
    return inf.paired_couplings(ensemble(), ensemble(m.Tanh()), m.Bilocal())


def test_each_side_is_the_estimate_of_a_fit_and_its_sandwich(change):
    fit = inf.fit(ensemble(), m.Bilocal(), key=KEY, sampler="closed")
    constants = fit["constant_data"]
    assert change.first == pytest.approx((constants["estimate"] / constants["factors"]).values, rel=1e-10)
    assert change.names == ("q[0,0]", "q[0,1]", "q[1,1]", "g[0]", "g[1]", "u[0,1]", "u[1,0]", "v[0,1]")
    alone = inf.paired_couplings(ensemble(), ensemble(m.Tanh(), seed=2), m.Bilocal())
    assert alone.error == pytest.approx(alone.apart, rel=0.15)  # 1024 groups: seven of 2.2 %; nothing is shared
    sandwich = (constants["sandwich_error"] / constants["factors"]).values
    two = inf.paired_couplings(ensemble(), ensemble(seed=2), m.Bilocal())
    assert two.apart == pytest.approx(np.sqrt(2) * sandwich, rel=0.15)  # of two samples, 1.6 % each


def test_the_difference_is_the_exact_one(change):
    """False alarms 1e-6; errors a fifth of those of other keys, so that a tenth of the difference is seen."""
    truth = exact(m.Erf()) - exact(m.Tanh())
    agree(change.value, truth, change.error)
    disagree(change.value, 0.9 * truth, change.error)
    assert np.all(change.error < 0.35 * change.apart)
    assert change.chi2("v").p < 1e-9
    assert "v[0,1]" in str(change)
    assert change.to_dataset()["difference"].sel(coupling="v[0,1]") == change.value[-1]
    with pytest.raises(ValueError, match=r"expected letters among \['g', 'q', 'u', 'v'\], got \['w'\]; try 'v'"):
        change.chi2("w")


def test_of_a_field_twice_as_large_it_is_known_network_by_network():
    """A monomial of degree d has 2^-d times the coupling: so does its error, and nothing else is left."""
    fields = ensemble().read(0, 4000).astype(float)
    one, two = inf.Samples(fields, X), inf.Samples(2.0 * fields, X)
    both = inf.paired_couplings(one, two, m.Local(), metric=np.eye(2))
    left = 1.0 - 0.5 ** np.array([2, 2, 2, 4, 4])
    assert both.second == pytest.approx(both.first * (1.0 - left), rel=1e-9)
    other = inf.paired_couplings(one, inf.Samples(fields[::-1], X), m.Local(), metric=np.eye(2))
    assert both.error == pytest.approx(left * other.apart / np.sqrt(2.0), rel=1e-2)
    with pytest.raises(AssertionError):  # errors that forget the pairs
        assert both.apart == pytest.approx(left * other.apart / np.sqrt(2.0), rel=1e-2)


def test_the_same_ensemble_does_not_differ():
    none = inf.paired_couplings(ensemble(), ensemble(), m.Local())
    assert not none.error.any()
    assert not none.value.any()
    null = inf.paired_couplings(ensemble(n=4000, seed=5), ensemble(n=4000, seed=6), m.Local())
    assert null.chi2().p > 1e-5


def test_arrays_fields_and_a_common_metric():
    given = [samples(e) for e in (ensemble(), ensemble(m.Tanh()))]
    pair = ensemble(), ensemble(m.Tanh())
    arrays, ours = (inf.paired_couplings(*both, m.Local(), metric=np.eye(2)) for both in (given, pair))
    assert arrays.value == pytest.approx(ours.value, rel=1e-3)
    assert arrays.error == pytest.approx(ours.error, rel=1e-3)
    assert not np.allclose(ours.second, inf.paired_couplings(*pair, m.Local()).second, rtol=1e-2)
    assert inf.paired_couplings(*given, m.Bilocal()).networks == 19_500  # some hold the metric, the same of both
    with pytest.raises(ValueError, match="as many networks behind both fits"):
        inf.paired_couplings(given[0], ensemble(m.Tanh()), m.Bilocal())
    with pytest.raises(ValueError, match="as many networks at as many places, got 20000 at 2 and 19999 at 2"):
        inf.paired_couplings(ensemble(), ensemble(n=19_999), m.Bilocal())
    with pytest.raises(ValueError, match=r"inf.Samples\(array, points\)"):
        inf.paired_couplings(ensemble(), np.zeros((20_000, 2)), m.Bilocal())
