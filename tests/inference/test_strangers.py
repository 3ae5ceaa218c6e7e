"""Programs of strangers: those that deceive are refused by name or measured right, honest ones are not refused.

A third of each, since every program is compiled; all of them in tests/proof/test_strangers.py.

Identities hold to round-off at fixed draws, so that a verdict on structure is the same for everyone; ranks refuse an
honest site once in 1e9, the law of the fields an honest space at most once in 1e6 (Efron's bound, any tail).
"""

import jax
import numpy as np
import pytest

from nnft.inference import Ensemble, measure
from nnft.inference.estimators import duality
from nnft.inference.programs.guard import judge_law
from nnft.inference.programs.sites import RANKS, judge_ranks
from nnft.inference.programs.structure import Structure, read_structure
from tests.inference import programs
from tests.inference.programs import HONEST, SEEMING
from tests.statistics import agree, disagree

POINTS = np.array([[-0.5], [0.1], [0.4]])


def named(programs):
    return {getattr(f, "__name__", None) or f"network {k}": (f, what) for k, (f, what) in enumerate(programs.items())}


def quick(programs):
    return dict(list(named(programs).items())[::3])


def ensemble(model, n=20_000, seed=5):
    return Ensemble(model, points=POINTS, n=n, key=jax.random.key(seed))


@pytest.mark.parametrize(("model", "right"), quick(SEEMING).values(), ids=quick(SEEMING))
def test_what_a_program_hides_is_refused_by_name(model, right):
    allowed, word = right
    why = read_structure(model, POINTS).why
    assert {space for space in ("neuron", "readout") if space not in why} == set(allowed.split())
    assert any(word in reason for reason in why.values())


@pytest.mark.parametrize(("model", "space"), quick(HONEST).values(), ids=quick(HONEST))
def test_an_honest_program_is_not_refused(model, space):
    why = read_structure(model, POINTS).why
    assert next(s for s in ("neuron", "readout", "field") if s not in why) == space


def test_frozen_features_are_measured_with_the_readout_integrated_out():
    """Sigma is one matrix, sum_i cos(w_i x) cos(w_i y)/N exactly; the twin is the same neuron for all."""
    s = np.cos(programs.W[:, None] * POINTS[:, 0])
    data = measure(ensemble(programs.frozen_features, 4000), space=None, orders=(2,))
    assert data.about["space"] == "readout"
    truth = (s.T @ s / len(s))[np.triu_indices(3)]
    np.testing.assert_allclose(data.connected(2), truth, rtol=1e-5)  # float32 networks
    assert np.all(np.abs((s[0, :, None] * s[0])[np.triu_indices(3)] - truth) > 5e-5 * truth)


@pytest.mark.parametrize("model", [programs.frozen_features, programs.stated_key], ids=lambda f: f.__name__)
def test_fields_see_what_a_reading_would_miss(model, monkeypatch):
    """A reading that calls the neurons independent is planted: features frozen by a handler and by a key."""
    planted = Structure(("hidden", programs.N), (), (), (), {"readout": "planted"})
    monkeypatch.setattr(duality, "_structure", lambda _: planted)
    for _ in range(2):  # remembered, and refused again
        with pytest.raises(ValueError, match=r"law of fields drawn from the model, got G.*p = .*try space='field'"):
            measure(MEASURED.setdefault(model, ensemble(model)), space="neuron", orders=(2,))


MEASURED: dict = {}


@pytest.mark.parametrize("model", [programs.inputs_around], ids=lambda f: f.__name__)
def test_an_honest_space_passes_and_agrees_with_fields(model):
    """Inputs in a plate of their own. Twin: a lost 1/N."""
    ens = ensemble(model)
    data, field = measure(ens, space=None, orders=(2, 4)), measure(ens, orders=(2, 4), even=False)
    assert data.about["space"] == "neuron"
    agree(data.connected(2), field.connected(2), (data.error(2), field.error(2)))
    disagree(data.connected(2) * programs.N, field.connected(2), (data.error(2) * programs.N, field.error(2)))


def test_the_law_of_fields_is_judged_at_every_tail():
    """Share of p < .01 in 400 pairs of 500 fields: at most 2 %, beyond which chance goes once in 20 000 sets.

    Gaussian, log-normal, and Cauchy fields, whose moments do not exist. Twin: half as large again, always refused.
    """
    rng = np.random.default_rng(1)
    laws = {
        "normal": lambda shape: rng.normal(size=shape),
        "log-normal": lambda shape: rng.lognormal(sigma=1.5, size=shape) * rng.normal(size=shape),
        "cauchy": lambda shape: rng.standard_cauchy(size=shape),
    }
    for draw in laws.values():
        judged = [judge_law(draw((500, 2)), draw((500, 2)), "neuron", alarm=0.01) for _ in range(400)]
        assert sum(map(bool, judged)) <= 13  # P(Binomial(400, .01) > 13) = 1.0e-4, and Efron's bound is not reached
    normal = rng.normal(size=(2, 4000, 1))
    assert judge_law(1.5 * normal[0], normal[1], "neuron")


def test_ranks_among_fresh_draws():
    """Uniform and independent ranks pass, 200 sets at a limit of 1e-9 each; a wrong law and a shared key do not."""
    rng = np.random.default_rng(2)
    none = np.zeros((256, 6), int)
    for _ in range(200):
        ranks = {name: (rng.integers(0, RANKS + 1, (256, 6)), none) for name in "wcb"}
        assert judge_ranks(ranks, {}) == ""
    tight = np.clip(rng.binomial(RANKS, 0.5, (256, 6)), 0, RANKS)
    assert "'w' is not drawn from its law Normal" in judge_ranks({"w": (tight, none)}, {"w": "Normal"})
    one = rng.integers(0, RANKS + 1, (256, 6))
    assert "'w' and 'c'" in judge_ranks({"w": (one, none), "c": (RANKS - one, none)}, {})


def test_equal_draws_are_put_in_order_at_random():
    """A coin ties with half of its fresh draws; the twin counts only those below."""
    rng = np.random.default_rng(3)
    value, fresh = rng.integers(0, 2, (256, 6)), rng.integers(0, 2, (RANKS, 256, 6))
    below, equal = (fresh < value).sum(axis=0), (fresh == value).sum(axis=0)
    assert judge_ranks({"w": (below, equal)}, {}) == ""
    assert "not drawn from its law" in judge_ranks({"w": (below, 0 * equal)}, {})
