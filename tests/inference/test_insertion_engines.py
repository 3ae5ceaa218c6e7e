"""Chains and tempered particles against weights: three engines, one theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.insertion.hmc import Chains, check_chains
from nnft.inference.insertion.moves import Settings, update
from nnft.inference.insertion.reweighted import drawn
from nnft.inference.insertion.tempered import check_populations
from nnft.models.runtime import settled
from tests.statistics import agree, disagree

THEORY = m.BoxTheory(m.Box(4.0, 8), 8, m.Potential.phi4(6.0))


@pytest.fixture(scope="module")
def weighted():
    return inf.Reweighted(65_536).run(THEORY, key=jax.random.key(0))


@pytest.mark.parametrize(
    "engine", [inf.Hmc(chains=128, warmup=60, draws=200), inf.Tempered(particles=256, populations=16, moves=3)]
)
def test_engines_agree_with_weights(engine, weighted):
    found = engine.run(THEORY, key=jax.random.key(1))
    for powers in ((2,), (4,)):
        one, other = found.moment(*powers), weighted.moment(*powers)
        agree(one.value, other.value, (one.error, other.error))
        assert one.error < 0.05 * one.value
    one, other = found.propagator([0.5, 1.0]), weighted.propagator([0.5, 1.0])
    agree(one.value, other.value, (one.error, other.error))
    if found.log_z is not None:
        agree(found.log_z.value, weighted.log_z.value, (found.log_z.error, weighted.log_z.error))
    free = THEORY.box.complete(0.0)  # the field without interaction is another one
    disagree(found.moment(2).value, free, found.moment(2).error)


def test_an_update_leaves_what_it_should(weighted):
    # Free networks with a Gaussian readout, moved at beta = 0, stay free: the readout and its momentum are exact.
    theory = m.BoxTheory(m.Box(4.0, 4), 4, m.Potential.phi4(1.0), readout="uniform", counterterm=0.0)

    @jax.jit
    def moved(key):
        def one(k):
            first, second = jax.random.split(k)
            start = drawn(theory, first)
            done = update(theory, second, start, 0.0, Settings(jnp.float32(0.9), jnp.float32(0.0)))
            return start.readout, done.parameters.readout, done.dynamics

        return jax.vmap(one)(jax.random.split(key, 4096))

    with settled(False):
        before, after, chance = map(np.asarray, moved(jax.random.key(2)))
    assert 0.3 < chance.mean() < 0.999
    assert np.mean(before != after) > 0.3
    assert np.abs(after).max() <= 3.0**0.5
    square = after.ravel() ** 2
    agree(square.mean(), 1.0, square.std() / len(square) ** 0.5)
    agree((square**2).mean(), 1.8, (square**2).std() / len(square) ** 0.5)


def test_fields_of_chains_are_samples():
    engine, points = inf.Hmc(chains=128, warmup=60, draws=200), np.array([[0.0], [1.0]])
    low, all_modes = (engine.fields(THEORY, points, key=jax.random.key(4), complete=c) for c in (False, True))
    added = all_modes.read(0, 128) - low.read(0, 128)
    assert low.n == 128
    delta = float(THEORY.box.missing(0.0))
    agree(np.mean(added**2), delta, delta * (2.0 / added.size) ** 0.5)
    assert np.all(added != 0.0)


def test_two_fields_are_two_oscillators():
    theory = m.BoxTheory(m.Box(6.0, 12), 32, m.Potential.pair(2.0, 2.0, 2.0))
    truth = m.CoupledOscillators(quartic=2.0, coupling=2.0, beta=6.0)
    found = inf.Reweighted(32_768).run(theory, key=jax.random.key(3))
    x, y, mixed = (found.moment(*powers) for powers in ((2, 0), (0, 2), (2, 2)))
    both = 0.5 * (x.value + y.value)
    assert abs(both - truth.moment(2, 0)) < 0.01 * both  # 1/N is left
    assert abs(mixed.value - truth.moment(2, 2)) < 0.03 * mixed.value
    agree(x.value, y.value, (x.error, y.error))
    assert "phi_2" in str(found)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda key: inf.Hmc(chains=8), "chains of Hmc"),
        (lambda key: inf.Tempered(ess=1.5), "between 0 and 1"),
        (lambda key: inf.Tempered(populations=2), "populations"),
    ],
)
def test_refusals(run, words):
    with pytest.raises(ValueError, match=words):
        run(jax.random.key(0))


def test_populations_that_do_not_agree_are_refused():
    check_populations(np.exp(0.3 * np.random.default_rng(0).standard_normal(16)))
    with pytest.raises(ValueError, match=r"agree on Z, at least 50% of them effective, got 1.3 of 8; try four times"):
        check_populations(np.array([10.0, 1.0, *[0.05] * 6]))


def test_chains_that_are_stuck_or_drift_are_refused():
    rng = np.random.default_rng(0)
    steady = rng.standard_normal((100, 64, 2))
    moving, stuck = np.tile([0.8, 0.4], (100, 1)), np.tile([0.8, 0.05], (100, 1))
    check_chains(Chains(None, None, steady, moving))
    with pytest.raises(ValueError, match=r"got 0.8 of the trajectories and 0.05 of the redrawings: they are stuck"):
        check_chains(Chains(None, None, steady, stuck))
    apart = steady + 2.0 * rng.standard_normal((1, 64, 1))  # each chain in a well of its own
    drift = steady + np.linspace(0.0, 2.0, 100)[:, None, None]
    for chains in (apart, drift):
        with pytest.raises(ValueError, match=r"settled, R-hat at most 1.05, got [12]"):
            check_chains(Chains(None, None, chains, moving))
