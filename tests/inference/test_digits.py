"""A constant added to a field changes no connected function but the first, to the digits the field itself keeps."""

from itertools import product

import numpy as np
import pytest

from nnft.inference import Samples, measure
from nnft.inference.ensembles.moments import FAR, far_centre, group_moments, moved
from nnft.inference.estimators.tails import tail_draws
from nnft.models.combinatorics import sorted_tuples

POINTS = np.array([[-1.0], [0.0], [1.0]])
ORDERS = (1, 2, 3, 4, 6)
# What is left to change is rounding of the sum phi + c, eps c/s of a standard deviation; the bound is the promise.
PROMISED = 1e-6


def lopsided(n=20_000):
    """A correlated field with connected functions of every order, standard deviation one at every point."""
    draw = np.random.default_rng(0)
    phi = draw.gamma(3.0, size=(n, 1)) + draw.gamma(3.0, size=(n, 3))
    return (phi - phi.mean(axis=0)) / phi.std(axis=0)


@pytest.fixture(scope="module")
def plain():
    return measure(Samples(lopsided(), POINTS), orders=ORDERS)


@pytest.mark.parametrize("shift", [3.0, 9.9, 10.1, 120.0, 1200.0, 12000.0, 1e6])
def test_a_constant_changes_nothing(plain, shift):
    data = measure(Samples(lopsided() + shift, POINTS), orders=ORDERS)
    for order in ORDERS:
        moved_by = data.connected(order) - plain.connected(order) - (shift if order == 1 else 0.0)
        assert np.max(np.abs(moved_by) / plain.error(order)) < PROMISED
        assert np.max(np.abs(data.error(order) / plain.error(order) - 1)) < PROMISED
    assert data.flags.keys() == plain.flags.keys()


def test_a_constant_that_differs_from_point_to_point(plain):
    shift = np.array([0.0, -500.0, 3.0])
    data = measure(Samples(lopsided() + shift, POINTS), orders=ORDERS)
    for order in ORDERS[1:]:
        assert np.max(np.abs(data.connected(order) - plain.connected(order)) / plain.error(order)) < PROMISED


def test_planted_fault_raw_moments_lose_the_digits(plain, monkeypatch):
    monkeypatch.setitem(measure.__wrapped__.__globals__, "far_centre", lambda *_: None)
    data = measure(Samples(lopsided() + 1200.0, POINTS), orders=ORDERS)
    assert np.max(np.abs(data.connected(6) - plain.connected(6)) / plain.error(6)) > 1e3


def test_single_precision_loses_only_what_its_fields_lose():
    """float32 fields at 1200 sd are those of float64 rounded to 1e-4 sd: the same connected functions, exactly."""
    single = (lopsided() + 1200.0).astype(np.float32)
    one, other = (measure(Samples(f, POINTS), orders=ORDERS) for f in (single, single.astype(float) - 1200.0))
    for order in ORDERS[1:]:
        assert np.max(np.abs(one.connected(order) - other.connected(order)) / one.error(order)) < PROMISED


@pytest.mark.parametrize("shift", [50.0, 1200.0])
def test_moments_are_still_those_of_the_field(shift):
    phi = lopsided(2000) + shift
    data = measure(Samples(phi, POINTS), orders=(1, 2, 3, 4))
    groups, each = 1000, {r: np.prod(phi[:, sorted_tuples(3, r)], axis=2) for r in (1, 2, 3, 4)}
    for order, values in each.items():
        assert np.allclose(data.moment(order), values.mean(axis=0), rtol=1e-13)
        spread = values.reshape(groups, -1, values.shape[1]).mean(axis=1)
        error = spread.std(axis=0, ddof=1) / groups**0.5
        assert np.allclose(data.error(order, "moment"), error, rtol=1e-9 * shift)


def test_moving_is_the_binomial_expansion():
    draw, centre = np.random.default_rng(1), np.array([0.7, -2.0])
    phi = draw.normal(size=(5, 2))
    each = {r: np.prod(phi[:, sorted_tuples(2, r)], axis=2) for r in range(1, 7)}
    values, rows = moved({r: v.mean(axis=0) for r, v in each.items()}, each, centre, (1, 2, 3, 4, 6))
    for order, value in values.items():
        shifted = np.prod((phi + centre)[:, sorted_tuples(2, order)], axis=2)
        assert np.allclose(value, shifted.mean(axis=0), rtol=1e-12)
        constant = np.prod(centre[sorted_tuples(2, order)], axis=1)  # has no spread
        assert np.allclose(rows[order], shifted - constant, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("mean", "even"), [(0.0, None), (9.0, None), (0.0, True)])
def test_fields_of_a_small_mean_keep_their_bits(mean, even):
    """What was measured before stays as it is to the last bit: nothing is taken off below ten standard deviations."""
    source = Samples(lopsided(2000) + mean, POINTS)
    assert far_centre(tail_draws(source).fields, tail_draws(source).centre) is None
    data = measure(source, orders=(2, 4), even=even)
    moments, _, _ = group_moments(source, (2, 4) if even else (1, 2, 3, 4))
    assert all(np.array_equal(data.moment(r), moments[r]) for r in (2, 4))


def test_any_point_far_away_decides():
    fields = np.array([[-1.0, -1.0], [1.0, 1.0]])
    for near, far in product((0.0, 0.9 * FAR), (1.1 * FAR, -1.1 * FAR)):
        assert far_centre(fields, np.array([near, near])) is None
        assert np.array_equal(far_centre(fields, np.array([near, far])), [near, far])
