"""Coarser fields: correlators against the fields themselves, refits against exactly decimated chains."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.methods.problem import prepare
from tests.statistics import agree, disagree

RING = np.arange(8.0)[:, None]
MAPS = {
    "every": lambda data: inf.decimate(data, every=2),
    "nested": lambda data: inf.decimate(data, to=RING[[6, 1, 3]]),
    "blocks": lambda data: inf.block(data, size=4),
    "waves": lambda data: inf.shell(data, every=2, shape=(8,)),
    "plane": lambda data: inf.block(data, size=2, shape=(4, 2)),
    "waves of a plane": lambda data: inf.shell(data, every=2, shape=(2, 4)),
    "twice": lambda data: inf.block(inf.decimate(data, every=2), size=2),
}


def skewed(n, points=8, seed=0):
    """Fields that are neither even nor alike at all points."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, points)) @ rng.normal(size=(points, points)) + rng.exponential(size=(n, points))


@pytest.mark.parametrize("name", MAPS)
def test_correlators_move_as_the_fields_do(name):
    samples = inf.Samples(skewed(200), RING, independent=True)
    fine = inf.measure(samples, orders=(1, 2, 3, 4))
    one, other = MAPS[name](fine), inf.measure(MAPS[name](samples), orders=(1, 2, 3, 4))
    np.testing.assert_array_equal(one.points, other.points)
    for order in (1, 2, 3, 4):
        for kind in ("moment", "connected"):
            scale = np.max(np.abs(other._value(order, kind)))
            np.testing.assert_allclose(one._value(order, kind), other._value(order, kind), rtol=0, atol=1e-11 * scale)
            scale = np.max(np.abs(other.covariance(order, kind)))
            np.testing.assert_allclose(
                one.covariance(order, kind), other.covariance(order, kind), rtol=0, atol=1e-9 * scale
            )
    assert (one.networks, one.source.n) == (200, 200)
    np.testing.assert_allclose(one.source.read(3, 2), MAPS[name](samples).read(3, 2))


def test_the_sixth_order_too_and_against_the_dense_sum():
    fine = m.DecimatedChain(m.Chain(1.0, 0.4, 4)).correlators()
    coarse = inf.block(fine, size=2)
    matrix = inf.CoarseMap((np.kron(np.eye(2), [[0.5, 0.5]]),), np.zeros((2, 1)), "").matrix()
    for order in (2, 4, 6):
        legs = "abcdef"[:order]
        full = np.zeros((4,) * order)
        for tuple_, value in zip(fine.tuples(order), fine.moment(order), strict=True):
            full[np.ix_(*[[int(a)] for a in tuple_])] = value
        sums = ",".join(f"{leg.upper()}{leg}" for leg in legs)
        symmetric = full.copy()
        for index in np.ndindex(full.shape):
            symmetric[index] = full[tuple(sorted(index))]
        dense = np.einsum(f"{legs},{sums}->{legs.upper()}", symmetric, *[matrix] * order)
        np.testing.assert_allclose(coarse.moment(order), dense[tuple(coarse.tuples(order).T)], rtol=1e-12)


def test_several_outputs_move_point_by_point():
    fields = skewed(150, 16).reshape(150, 8, 2)
    samples = inf.Samples(fields, RING, outputs=2, independent=True)
    coarse = inf.block(samples, size=2)
    assert (coarse.outputs, coarse.places) == (2, 8)
    np.testing.assert_allclose(coarse.read(0, 5), fields[:5].reshape(5, 4, 2, 2).mean(axis=2).reshape(5, 8))
    fine = inf.block(inf.measure(samples, orders=(1, 2)), size=2)
    np.testing.assert_allclose(fine.connected(2), inf.measure(coarse, orders=(1, 2)).connected(2), rtol=1e-10)


def test_fewer_points_of_a_network_are_the_network_at_fewer_points():
    net, x = m.Network(m.Cos(), width=10), np.array([[-3.0], [-1.0], [1.0], [3.0]])
    ensemble = inf.Ensemble(net, points=x, n=2000, key=jax.random.key(0))
    kept = inf.decimate(ensemble, to=x[[0, 2]])
    alone = inf.Ensemble(net, points=x[[0, 2]], n=2000, key=jax.random.key(0))
    np.testing.assert_allclose(kept.read(0, 10), alone.read(0, 10), rtol=1e-5, atol=1e-6)
    exact = inf.decimate(m.exact(net, x), to=x[[0, 2]])
    np.testing.assert_allclose(exact.connected(4), m.exact(net, x[[0, 2]]).connected(4), rtol=1e-12)
    assert exact.model is net
    assert inf.block(m.exact(net, x), size=2).model is None
    for data in (exact, kept):  # the kernel of a fit is that of the kept points
        assert prepare(data, m.Local()).metric_from == "exact kernel"
    blocked = prepare(inf.block(ensemble, size=2), m.Local())
    assert blocked.metric_from != "exact kernel"  # no network has blocks for points
    assert blocked.about["coarse"] == "blocks of 2 sites"
    assert "blocks of 2 sites of Ensemble" in blocked.about["source"]


def test_maps_compose_as_scales_do():
    fine = m.DecimatedChain(m.Chain(1.0, 0.1, 8)).correlators((2, 4))
    for verb in (lambda d, b: inf.decimate(d, every=b), lambda d, b: inf.block(d, size=b)):
        np.testing.assert_allclose(verb(verb(fine, 2), 2).connected(4), verb(fine, 4).connected(4), rtol=1e-11)
    waves = inf.shell(fine, every=2, shape=(8,)).tensor(2)
    power = np.real(np.fft.fft(waves[0]))
    mode = np.real(np.fft.fft(fine.tensor(2)[0])) / 2.0  # modes of 4 sites: those of 8, half the sites
    np.testing.assert_allclose(power, [*mode[:2], mode[2] / 2, mode[1]], rtol=1e-11)
    assert inf.shell(fine, every=1, shape=(8,)).connected(4).tolist() == fine.connected(4).tolist()


@pytest.mark.parametrize(("lam", "every"), [(0.1, 2), (0.1, 4)])
def test_exact_correlators_give_the_decimated_couplings(lam, every):
    chain, sites = m.Chain(1.0, lam, 16), 16 // every
    orders = (2, 4) if every == 1 else (2, 4, 6)
    data = inf.decimate(m.DecimatedChain(chain, every // 2).correlators(orders), every=2)
    truth = m.DecimatedChain(chain, every)
    action = m.TranslationInvariant((sites,), reach=1)
    point = inf.fit(data, action, key=jax.random.key(0), method=inf.Score(metric=np.eye(sites)))["point"]
    for name, value in truth.couplings(action).items():
        np.testing.assert_allclose(point[name].values, value, rtol=0, atol=1e-9)


def test_samples_give_the_decimated_couplings_within_their_errors():
    chain = m.Chain(1.0, 0.1, 12)
    samples = inf.Samples(chain.draw(40_000, key=jax.random.key(2)), np.arange(12.0)[:, None])
    action, truth = m.LatticePhi4((6,)), m.DecimatedChain(chain, 2).couplings(m.LatticePhi4((6,)))
    method, sampler = inf.Score(metric=np.eye(6)), inf.Closed(draws=500)
    fit = inf.fit(inf.decimate(samples, every=2), action, key=jax.random.key(0), method=method, sampler=sampler)
    post = fit["posterior"].dataset
    mean = np.array([float(post[name].mean()) for name in truth])
    spread = np.array([float(post[name].std()) for name in truth])
    agree(mean, np.concatenate(list(truth.values())), spread)
    disagree(mean, (0.5, 0.5, 0.1), spread)  # the couplings of all sites: the hopping has died


def test_what_cannot_be_coarser_is_refused():
    samples = inf.Samples(skewed(20), RING)
    for call, words in [
        (lambda: inf.decimate(samples, every=3), "divides the 8 sites of an axis, got 3; try (2|4)"),
        (lambda: inf.decimate(samples, every=16), "lattice of at least 16 sites an axis, got 8"),
        (
            lambda: inf.decimate(samples, to=[[0.5]]),
            r"nested in those .* got \[0.5\].* nearest is \[[01].0\]",
        ),
        (lambda: inf.decimate(samples, to=[[0.0, 1.0]]), "points of 1 coordinates, got 2"),
        (lambda: inf.decimate(samples), "either every= or to="),
        (lambda: inf.decimate(samples, every=2, to=RING[:2]), "either every= or to="),
        (lambda: inf.decimate(samples, to=RING[:2], shape=(8,)), "shape= with every= only"),
        (lambda: inf.block(samples, size=0), "whole number"),
        (lambda: inf.block(samples, size=2, shape=(3, 3)), "8 in all"),
        (lambda: inf.shell(samples, every=5, shape=(8,)), "divides"),
        (lambda: inf.block(skewed(20), size=2), "try inf.Samples"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
