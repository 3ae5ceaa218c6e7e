"""Fields of a box at infinite width: the oscillator in d = 1, free modes and reweighting in d = 2, the counterterm."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

BOX = m.Box(10.0, 32)


def test_one_dimension_is_the_oscillator():
    """At lambda = 6 with the counterterm; without it <phi^2> is that of mass^2 - lambda delta/2, and 1 % too small."""
    exact = m.Oscillator(1.0, 6.0, beta=10.0)
    theory = m.BoxTheory(BOX, 1, m.Potential.phi4(6.0))
    drawn = inf.sample_box(theory, key=jax.random.key(0), chains=256, draws=240)
    found = [drawn.square(), drawn.correlator(0.5), drawn.correlator(1.0)]
    rest = np.array([float(BOX.missing(t)) for t in (0.0, 0.5, 1.0)])
    agree([one.mean for one in found] + rest, exact.correlator([0.0, 0.5, 1.0]), [one.error for one in found])
    assert drawn.rhat < 1.02
    bare = m.BoxTheory(BOX, 1, m.Potential.phi4(6.0), counterterm=False)
    without = inf.sample_box(bare, key=jax.random.key(1), chains=256, draws=240).square()
    agree(without.mean, 0.342774, without.error)
    disagree(without.mean + rest[0], exact.moment(2), without.error)


def test_double_wells_and_pairs():
    wells = m.BoxTheory(BOX, 1, m.Potential({2: -1.0, 4: 0.25}))
    drawn = inf.sample_box(wells, key=jax.random.key(2), draws=240, chains=256)
    exact = m.Oscillator(-1.0, 6.0, beta=10.0)
    agree(drawn.square().mean + wells.missing, exact.moment(2), drawn.square().error)
    pair = m.BoxTheory(BOX, 1, m.Potential.pair(6.0, 6.0, 2.0))
    drawn = inf.sample_box(pair, key=jax.random.key(3), draws=100)
    found = [drawn.square(0), drawn.square(1)]
    exact = m.CoupledOscillators(1.0, 6.0, 2.0).moment(2, 0)
    agree([one.mean + pair.missing for one in found], exact, [one.error for one in found])
    disagree([one.mean + pair.missing for one in found], m.Oscillator(1.0, 6.0).moment(2), [one.error for one in found])


def test_two_dimensions():
    """Without a potential every mode is known; with one, a million free fields with weights say the same."""
    box = m.Box(4.0, 2, dimension=2)
    free = inf.sample_box(
        m.BoxTheory(box, 1, m.Potential({4: 1e-12}), counterterm=False), key=jax.random.key(4), draws=100
    )
    found = [free.square(), free.susceptibility(), free.correlator(1.0), free.correlator(2.0)]
    truth = [box.variance, 1.0, *box.propagator([1.0, 2.0])]
    agree([one.mean for one in found], truth, [one.error for one in found])

    theory = m.BoxTheory(box, 1, m.Potential.phi4(6.0), counterterm=False)
    drawn = inf.sample_box(theory, key=jax.random.key(5), draws=100)
    found = [drawn.square(), drawn.susceptibility()]
    q = np.random.default_rng(6).normal(size=(40_000, box.size)) / np.sqrt(box.curvature)
    table = box.synthesis(4)
    phi = np.einsum("na,rab,mb->rnm", table, q.reshape(len(q), 5, 5), table, optimize=True)
    weight = np.exp(-box.volume * 0.25 * np.mean(phi**4, axis=(1, 2)))
    values = np.stack([np.sum(q**2, axis=1), box.volume * q[:, 0] ** 2], axis=1)
    mean = weight @ values / weight.sum()
    error = np.sqrt(np.sum((weight[:, None] * (values - mean)) ** 2, axis=0)) / weight.sum()
    agree([one.mean for one in found], mean, ([one.error for one in found], error))
    disagree([one.mean for one in found], values.mean(axis=0), ([one.error for one in found], error))


def test_a_lattice_is_the_chain():
    """Fifteen sites: wide networks have the correlators of the chain, which are known exactly."""
    box = m.Box(7.5, 7, lattice=True)
    theory, chain = m.BoxTheory(box, 16, m.Potential.phi4(6.0)), m.Chain(0.25, 0.5**3 * 0.25, sites=15)
    truth = 0.5 * chain.correlator()[:3]
    networks = inf.Reweighted(32_768).run(theory.wide(64), key=jax.random.key(9))
    at = networks.propagator([0.0, 0.5, 1.0])
    agree(at.value, truth, np.hypot(at.error, 0.0003))  # the slope in 1/N of the first is .02
    assert at.error[0] < 0.01 * truth[0]
    disagree(at.value[0], m.Oscillator(quartic=6.0).moment(2), at.error[0])  # 4 % from it
    with pytest.raises(ValueError, match=r"got a lattice; try gap\(inf.Exponentials"):
        networks.poles()


def test_fields_at_points_are_a_source():
    theory = m.BoxTheory(BOX, 1, m.Potential.phi4(1.0))
    drawn = inf.sample_box(theory, key=jax.random.key(7), draws=240, chains=256)
    points = np.arange(20)[:, None] * 0.5
    source = drawn.samples(points)
    assert source.n == 256 * 240
    data = inf.time_correlators(source, period=10.0, times=[0.5, 1.0, 1.5])
    found = inf.Gevp().gap(data)
    agree(found.value, m.Oscillator(quartic=1.0).gap, np.hypot(found.error, 0.01))
    direct = drawn.correlator(0.5)
    agree(data.values[0, 0, 0], direct.mean, 2 * direct.error)
    assert "with its counterterm" in str(drawn)


@pytest.mark.parametrize(
    ("words", "complaint"), [({"draws": 2}, "draws >= 8"), ({"length": 0.001}, "chains that agree")]
)
def test_what_cannot_be_believed_is_refused(words, complaint):
    theory = m.BoxTheory(BOX, 1, m.Potential.phi4(6.0))
    with pytest.raises(ValueError, match=complaint):
        inf.sample_box(theory, **{"key": jax.random.key(0), "draws": 240, "chains": 256} | words)
