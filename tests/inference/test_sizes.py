"""Sizes are counted before anything of that size is made: a refusal costs neither memory nor minutes."""

from math import comb
from pathlib import Path

import jax
import numpy as np
import pytest

from nnft.analysis.studies import study
from nnft.inference import Ensemble, Samples, fit, measure, measure_patterns
from nnft.inference.ensembles.moments import moment_sums
from nnft.inference.equations.terms import terms_of
from nnft.models import Bilocal, Cos, FullQuartic, FullSextic, LatticePhi4, Network, TranslationInvariant, exact
from nnft.models.combinatorics import sorted_tuples, tuple_count

ROOMS = ("models", "inference", "analysis")
MOST = 400_000  # tuples anything may list here; 64 points have 119 877 472 of order 6


@pytest.fixture(autouse=True)
def listed(monkeypatch):
    """Fail at once where a long list of tuples is begun."""
    whole = sorted_tuples.__wrapped__.__globals__["combinations_with_replacement"]

    def guarded(items, order):
        assert comb(len(items) + order - 1, order) <= MOST, f"{len(items)} points, order {order}"
        return whole(items, order)

    monkeypatch.setitem(sorted_tuples.__wrapped__.__globals__, "combinations_with_replacement", guarded)


def fields(points, n=200):
    x = np.linspace(-1.0, 1.0, points)[:, None]
    return Samples(np.random.default_rng(points).normal(size=(n, points)), x)


def test_the_guard_of_this_file_sees_an_enumeration():
    with pytest.raises(AssertionError, match="65 points, order 6"):
        len(sorted_tuples(65, 6))


@pytest.mark.parametrize("points", [1, 2, 5, 9])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_counted_is_listed(points, order):
    assert tuple_count(points, order) == len(sorted_tuples(points, order))


@pytest.mark.parametrize("points", [49, 64, 100])
def test_many_points_are_measured_at_the_orders_that_fit(points):
    data = measure(fields(points))
    assert data.orders == (1, 2)
    assert data.refused[4].endswith(f"at {points} points, above 6000")
    with pytest.raises(
        ValueError, match=f"expected at most 50000 components of an order, got {tuple_count(points, 4)}"
    ):
        measure(fields(points), orders=(2, 4))


def test_a_two_point_function_too_large_is_not_blamed_on_the_networks():
    with pytest.raises(ValueError, match=r"few enough for their two-point function, got 7260 components at 120 points"):
        measure(fields(120))
    assert measure(fields(120), orders=(2,), even=True).orders == (2,)


@pytest.mark.parametrize("points", [64, 100])
@pytest.mark.parametrize("action", [FullQuartic(), FullSextic()], ids=repr)
def test_an_action_of_millions_of_terms_is_refused_before_they_are_listed(points, action):
    size = action.size(points) + points * (points + 1) // 2
    with pytest.raises(ValueError, match=f"at least {2 * size} networks for the covariance of {size} terms, got 1500"):
        fit(fields(points, 2000), action, key=jax.random.key(0))


@pytest.mark.parametrize(
    "action", [FullQuartic(), FullSextic(), Bilocal(), LatticePhi4((3,)), TranslationInvariant((3,))], ids=repr
)
def test_terms_are_as_many_as_were_counted(action):
    quadratic = sum(map(len, action.quadratic_blocks(3).values()))
    assert terms_of(action, np.eye(3), np.ones(3)).size == action.size(3) + quadratic


@pytest.mark.parametrize("orders", [(1, 2), (6,), (2, 4), (3,)])
def test_only_the_monomials_that_are_needed_are_made(orders):
    """Of 200 points there are 1.3e6 triples, which orders 1 and 2 do not need; the sums are those of NumPy."""
    if orders == (1, 2):
        moment_sums(200, orders)
    phi = np.random.default_rng(0).normal(size=(7, 3))
    with jax.enable_x64(True):
        found = moment_sums(3, orders)(phi, np.ones(7))
    for order in orders:
        assert np.allclose(found[order], np.prod(phi[:, sorted_tuples(3, order)], axis=2).sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("space", ["neuron", "readout"])
def test_the_other_spaces_count_too(space):
    x = np.linspace(-1.0, 1.0, 64)[:, None]
    data = measure(Ensemble(Network(Cos(), 5), points=x, n=1000, key=jax.random.key(0)), space=space)
    assert data.orders == (2,)
    assert set(data.refused) == {4, 6}


def test_exact_correlators_and_patterns_count_too():
    x = np.linspace(-1.0, 1.0, 100)[:, None]
    data = exact(Network(Cos(), 5), x)
    assert data.orders == (2,)
    assert data.refused[4].startswith("4421275 components at 100 points")
    with pytest.raises(
        ValueError, match="expected at most 1000000 components, got 4421275 of order 4 at 100 points; try"
    ):
        exact(Network(Cos(), 5), x, orders=(4,))
    with pytest.raises(ValueError, match="expected points few enough for at most 6000 components of order 4, got"):
        measure_patterns(Ensemble(Network(Cos(), 5), points=x, n=1000, key=jax.random.key(0)))


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("anything"), ValueError("another reason")])
def test_a_second_thought_that_fails_does_not_hide_the_first(monkeypatch, tmp_path, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(study, "measure", fail)
    odd = 1.0 + 0.3 * np.random.default_rng(0).normal(size=(1500, 3))
    with pytest.raises(study.NoFit, match=r"expected odd .* compatible with zero"):
        study.fit_samples(odd, [-1.0, 0.0, 1.0], tmp_path / "out")


def test_no_list_is_made_to_be_counted():
    root = Path(study.__file__).parents[1]
    for path in (path for room in ROOMS for path in (root / room).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "len(sorted_tuples(" not in text.replace("tuple_count(2, 2) == len(sorted_tuples(2, 2))", ""), path
