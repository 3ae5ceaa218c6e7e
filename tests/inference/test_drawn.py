"""What has been drawn is kept up to a stated memory: a second pass draws nothing, and nothing else changes."""

import gc
from dataclasses import replace

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference import Ensemble
from nnft.inference.ensembles.drawn import DRAWN, Drawn

POINTS = np.array([[-1.0], [0.5]])


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    DRAWN.clear()
    yield
    DRAWN.clear()


@pytest.fixture
def calls(monkeypatch):
    """Numbers of the calls drawn so far."""
    made = []
    start = Ensemble._start
    monkeypatch.setattr(Ensemble, "_start", lambda self, call: made.append(call) or start(self, call))
    return made


def ensemble(n=100_000, seed=1):
    return Ensemble(m.Network(m.Cos(), width=5), points=POINTS, n=n, key=jax.random.key(seed))


def test_a_fit_draws_every_network_once(calls):
    ens = ensemble()
    data = inf.measure(ens, orders=(2, 4, 6))
    needed = list(range(-(-ens.n // ens._call)))
    assert calls == needed  # and none twice, though chunks of the pass end inside a call
    inf.fit(data, m.Bilocal(), key=jax.random.key(2), sampler=inf.Closed(draws=10))
    assert calls == needed


def test_without_memory_it_draws_again_and_to_the_same_bits(calls, monkeypatch):
    whole = ensemble().read(0, 100_000)
    passes = len(calls)
    monkeypatch.setattr(DRAWN, "most", 0)
    DRAWN.clear()
    ens = ensemble()
    for _ in range(2):
        parts = [ens.read(k, 9_999) for k in range(0, 99_990, 9_999)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[:99_990])
    assert len(calls) == 3 * passes  # reads that end inside a call do not draw it again
    assert DRAWN.size == 0


def test_what_fits_is_kept(calls, monkeypatch):
    ens = ensemble()
    part = ens._call * 2 * 4
    monkeypatch.setattr(DRAWN, "most", 3 * part + 1)
    whole = ens.read(0, ens.n)
    first = len(calls)
    assert DRAWN.size == 3 * part
    np.testing.assert_array_equal(ens.read(0, ens.n), whole)
    assert calls[first:] == list(range(3, first - 1))  # the last call, too, is still there


def test_an_older_ensemble_gives_way(calls, monkeypatch):
    first, second = ensemble(), ensemble(seed=2)
    monkeypatch.setattr(DRAWN, "most", 1_000_000)
    one = first.read(0, first.n)
    other = second.read(0, second.n)
    assert DRAWN.size <= 1_000_000
    assert not np.array_equal(one, other)
    drawn = len(calls)
    np.testing.assert_array_equal(second.read(0, second.n), other)
    assert len(calls) == drawn
    np.testing.assert_array_equal(first.read(0, first.n), one)
    assert len(calls) > drawn


def test_an_ensemble_takes_its_networks_with_it():
    ens = ensemble()
    ens.read(0, ens.n)
    assert DRAWN.size > 0
    del ens
    gc.collect()
    assert DRAWN.size == 0


def test_a_new_ensemble_in_the_place_of_an_old_one_is_another():
    """Objects are told apart, not addresses, which Python gives again."""
    store = Drawn(most=0)

    class Recipe:
        pass

    for k in range(20):
        recipe = Recipe()
        assert store.get(recipe, "place") is None
        store.keep(recipe, "place", np.full(3, k))
        assert store.get(recipe, "place")[0] == k


def test_what_is_read_may_be_changed():
    ens = ensemble(n=100)
    fields = ens.read(0, 100)
    fields *= 0.0
    assert np.all(ens.read(0, 100).any(axis=1))


def test_the_session_s_precision_draws_no_other_networks():
    """The dtype is part of the recipe: same bits in a session with x64, other networks only where it is asked for."""
    ens = ensemble(n=10)
    single = ens.read(0, 10)
    jax.config.update("jax_enable_x64", True)
    try:
        again, fresh = ens.read(0, 10), ensemble(n=10).read(0, 10)
        measured = inf.measure(ensemble(n=3000), orders=(2,), space="readout").connected(2)
    finally:
        jax.config.update("jax_enable_x64", False)
    assert fresh.dtype == np.float32
    np.testing.assert_array_equal(again, single)
    np.testing.assert_array_equal(fresh, single)
    np.testing.assert_array_equal(measured, inf.measure(ensemble(n=3000), orders=(2,), space="readout").connected(2))
    double = replace(ens, dtype="float64").read(0, 10)
    assert double.dtype == np.float64
    assert not np.any(np.abs(double - single) < 1e-6)
    with pytest.raises(ValueError, match="expected dtype float32 or float64, got 'half'"):
        replace(ens, dtype="half")


def test_long_calls_of_large_ensembles_draw_the_same_bits():
    large, small = ensemble(n=2_000_000), ensemble(n=10)
    assert large._call == 8 * small._call
    np.testing.assert_array_equal(large.read(70_000, 20_000), small.read(70_000, 20_000))


def test_a_recipe_is_the_ensemble_it_was():
    """The first fields of a recipe, to single precision: other streams or another layout of them would be others."""
    ens = inf.Ensemble(m.Network(m.Cos(), 5), points=np.array([[0.0], [1.0]]), n=2000, key=jax.random.key(5))
    known = [[0.30043134, -0.35559794], [0.09317843, 0.06445866], [1.1010114, 1.1260535]]
    np.testing.assert_allclose(ens.read(0, 3), known, atol=1e-5)
