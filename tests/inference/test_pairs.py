"""Ensembles whose networks belong together: the error of a difference is that of the pairs."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[-0.4], [0.7]])


def ensemble(neuron=None, n=20_000, points=X, seed=1, **options):
    net = m.Network(m.Erf() if neuron is None else neuron, 9, **options)
    return inf.Ensemble(net, points=points, n=n, key=jax.random.key(seed))


def test_the_difference_and_its_error_network_by_network():
    """The covariance of a difference of means is that of the differences."""
    a, b = ensemble(), ensemble(m.Tanh())
    found = inf.paired(a, b, orders=(1, 2))
    one, two = a.read(0, a.n).astype(float), b.read(0, b.n).astype(float)
    assert found.connected(1) == pytest.approx((one - two).mean(axis=0), abs=1e-6)
    # An error from 1024 groups scatters by 2.2 %: .15 is seven of that.
    assert found.error(1) == pytest.approx((one - two).std(axis=0) / a.n**0.5, rel=0.15)
    square = one[:, 0] ** 2 - two[:, 0] ** 2
    assert found.error(2)[0] == pytest.approx(square.std() / a.n**0.5, rel=0.15)
    apart = inf.measure(a, orders=(1, 2)) - inf.measure(b, orders=(1, 2))
    assert np.all(found.error(2) < 0.4 * apart.error(2))


def test_it_agrees_with_the_exact_difference():
    """False alarms 1e-6; the wrong pair of neurons is seen."""
    found = inf.paired(ensemble(), ensemble(m.Tanh()), orders=(2,))
    exact = m.exact(m.Network(m.Erf(), 9), X, orders=(2,)) - m.exact(m.Network(m.Tanh(), 9), X, orders=(2,))
    agree(found.connected(2), exact.connected(2), found.error(2))
    disagree(found.connected(2), np.zeros(3), found.error(2))
    assert found.chi2(2).p < 1e-9


def test_a_null_of_pairs_is_not_rejected():
    """One law, keys of their own: p is uniform. False alarms: 1.2e-5 for the least of 12, 2e-6 for their mean.

    With errors that are half of what they are it must be rejected.
    """
    p, halved = [], []
    for seed in range(12):
        found = inf.paired(ensemble(seed=seed, n=4000), ensemble(seed=seed + 100, n=4000), orders=(2,))
        p.append(found.chi2(2).p)
        rows = {kind: {r: 0.5 * table[r] for r in table} for kind, table in found.rows.items()}
        halved.append(replace(found, rows=rows).chi2(2).p)
    assert min(p) > 1e-6
    assert np.mean(p) > 0.15
    assert min(halved) < 1e-6 or np.mean(halved) < 0.15


def test_samples_in_the_same_order():
    a, b = ensemble(), ensemble(m.Tanh())
    given = [inf.Samples(e.read(0, e.n).astype(float), points=X) for e in (a, b)]
    found, known = inf.paired(*given, orders=(2,)), inf.paired(a, b, orders=(2,))
    assert found.connected(2) == pytest.approx(known.connected(2), rel=1e-3)  # theirs know no parity
    assert found.error(2) == pytest.approx(known.error(2), rel=0.1)


def test_one_output_is_the_field_of_that_output():
    net = m.Multiplet.of(m.Cos(), 6, m.Copies(3))
    ens = inf.Ensemble(net, points=X, n=500, key=jax.random.key(2))
    fields = ens.read(0, 50).reshape(50, 2, 3)
    for k in range(3):
        assert np.allclose(ens.output(k).read(0, 50), fields[:, :, k], atol=1e-6)
    with pytest.raises(ValueError, match="one of 3 outputs"):
        ens.output(3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: inf.paired(ensemble(), ensemble(n=19_999)), "as many networks"),
        (lambda: inf.paired(ensemble(), ensemble(points=X[:1])), "as many networks at as many places"),
        (lambda: inf.paired(ensemble(), 3), "inf.Ensemble or inf.Samples"),
        (
            lambda: inf.paired(
                *(
                    inf.Ensemble(
                        m.Trained(m.Network(m.Erf(), 9), [[0.0]], [1.0], m.Bayes(0.1)),
                        points=X,
                        n=2000,
                        key=jax.random.key(0),
                    ),
                )
                * 2
            ),
            "independent networks of equal weight",
        ),
    ],
)
def test_what_does_not_pair_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
