"""Have two ensembles one law? The energy distance: its value, uniform p-values, power, pairs, and refusals."""

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m

X = np.array([[0.0], [1.0]])


def samples(phi):
    return inf.Samples(phi, X, independent=True)


def ensemble(model, seed=0, points=X, n=600):
    return inf.Ensemble(model, points=points, n=n, key=jax.random.key(seed))


def test_one_place_is_the_distance_of_distribution_functions():
    """In one dimension E = 2 int (F - G)^2 (Szekely), which SciPy knows."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(size=200) + 0.5
    found = inf.same_field(inf.Samples(a[:, None], X[:1]), inf.Samples(b[:, None], X[:1]), exchanges=19)
    both = np.concatenate([a, b]).std()
    energy = stats.energy_distance(a / both, b / both) ** 2
    assert found.distance == pytest.approx(energy / (2 * np.mean(np.abs(a[:, None] - b)) / both), rel=1e-4)


@pytest.mark.parametrize("paired", [False, True])
def test_p_is_uniform_where_the_laws_are_one(paired):
    rng, found, faults = np.random.default_rng(1), [], []
    for k in range(200):
        a, b = rng.standard_t(3, size=(2, 40, 2))
        if paired:  # of pairs that resemble each other
            b = 0.7 * a + b
            a = a + 0.7 * (b - 0.7 * a)
        options = {"exchanges": 99, "key": jax.random.key(k)}
        found.append(inf.same_field(samples(a), samples(b), paired=paired, **options).p)
        faults.append(inf.same_field(samples(a), samples(1.5 * b), paired=paired, **options).p)
    steps = np.bincount(np.minimum((10 * np.array(found) - 1e-9).astype(int), 9), minlength=10)
    assert stats.chisquare(steps).pvalue > 1e-4
    assert np.mean(np.array(faults) < 0.05) > 0.15


def test_a_law_of_the_same_two_point_function_is_seen():
    """Gaussian weights or weights of one size: orders up to 3 are the same."""
    one, other = m.Network(m.Cos(), 1), m.Network(m.Cos(), 1, "rademacher")
    assert inf.same_field(ensemble(one), ensemble(other, 1)).p == pytest.approx(1e-3)
    assert inf.same_field(ensemble(one), ensemble(one, 1)).p > 1e-3


def test_the_same_seeds_are_exchanged_in_pairs():
    net = m.Network(m.Cos(), 3)
    moved = inf.same_field(ensemble(net), ensemble(net, points=-X))
    assert moved.paired
    assert moved.p > 1e-3
    wide = inf.same_field(ensemble(net), ensemble(m.Network(m.Cos(), 3, output_scale=1.3)))
    assert wide.paired
    assert wide.p < 0.01
    alike = inf.same_field(ensemble(net), ensemble(net))
    assert alike.distance == pytest.approx(0.0, abs=1e-9)
    assert alike.p == 1.0


def test_a_translation_of_whole_fields():
    shifted = X + 1.0
    assert inf.same_field(ensemble(m.Network(m.Cos(), 3)), ensemble(m.Network(m.Cos(), 3), 1, shifted)).p > 1e-3
    assert inf.same_field(ensemble(m.Network(m.ReLU(), 3)), ensemble(m.Network(m.ReLU(), 3), 1, shifted)).p < 0.01


def test_many_networks_are_looked_at_in_part():
    rng = np.random.default_rng(0)
    found = inf.same_field(samples(rng.normal(size=(3000, 2))), samples(rng.normal(size=(3000, 2))), exchanges=19)
    assert found.networks == (2000, 2000)
    assert "the first 2,000 of 3,000" in str(found)


FIELDS = np.random.default_rng(0).normal(size=(50, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inf.same_field(samples(FIELDS), inf.Samples(FIELDS[:, :1], X[:1])), "as many numbers, got 2 and 1"),
        (lambda: inf.same_field(samples(FIELDS), samples(FIELDS[:40]), paired=True), "pairs of networks, got 50"),
        (lambda: inf.same_field(samples(FIELDS[:10]), samples(FIELDS)), "at least 20 networks, got 10"),
        (lambda: inf.same_field(samples(FIELDS), samples(FIELDS), exchanges=0), "at least 19 exchanges"),
        (lambda: inf.same_field(FIELDS, samples(FIELDS)), "expected an inf.Ensemble or inf.Samples"),
        (
            lambda: inf.same_field(ensemble(m.Network(m.Cos(), 3)), ensemble(m.Network(m.Cos(), 3)), paired=False),
            "independent seeds, got one key",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
