"""The ladder of actions against the double sum that defines it."""

from itertools import pairwise

import numpy as np
import pytest

from nnft.models import Bilocal, Constant, FullQuartic, Local, gauge, identifiable
from nnft.models.actions.ladder import ACTIONS, action_named, action_of, action_words
from nnft.models.combinatorics import sorted_tuples

SIZES = [1, 2, 3, 6]


def random_lambda(points, seed=0, batch=()):
    """lambda_i(x,y), i = 0..3, in no particular gauge."""
    return np.random.default_rng(seed).normal(size=(*batch, 4, points, points))


def weights_of(points, uneven=True):
    return np.random.default_rng(points).uniform(0.3, 2.0, size=points) if uneven else np.ones(points)


def double_sum(lam, weights, phi):
    """S4 = sum_xy w_x w_y sum_i lambda_i(x,y) phi(x)^i phi(y)^(4-i), loop by loop, (network,)."""
    total = np.zeros(len(phi))
    for x in range(len(weights)):
        for y in range(len(weights)):
            for i in range(4):
                total += weights[x] * weights[y] * lam[i, x, y] * phi[:, x] ** i * phi[:, y] ** (4 - i)
    return total


def fields(points, seed=1):
    return np.random.default_rng(seed).normal(size=(7, points))


def from_monomials(action, couplings, weights, phi):
    """S4 from the rows of `monomials`: couplings @ monomials on the products phi_a phi_b phi_c phi_d."""
    points = len(weights)
    products = np.prod(phi[:, sorted_tuples(points, 4)], axis=2)
    return products @ (np.asarray(couplings) @ action.monomials(points, weights))


def stacked(blocks):
    return np.concatenate([blocks[name] for name in ("g", "u", "v")], axis=-1)


# ---- any gauge, one action ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", SIZES)
@pytest.mark.parametrize("uneven", [False, True])
def test_the_double_sum_in_any_gauge_is_the_sum_of_identifiable_monomials(points, uneven):
    lam, w, phi = random_lambda(points), weights_of(points, uneven), fields(points)
    truth = double_sum(lam, w, phi)
    blocks = identifiable(lam, w)
    assert np.allclose(from_monomials(Bilocal(), stacked(blocks), w, phi), truth, rtol=1e-11, atol=1e-11)
    assert np.allclose(double_sum(gauge(blocks, w), w, phi), truth, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("points", SIZES)
def test_no_weights_are_weights_of_one(points):
    lam = random_lambda(points)
    plain, ones = identifiable(lam), identifiable(lam, np.ones(points))
    assert all(np.array_equal(plain[name], ones[name]) for name in ("g", "u", "v"))


def test_planted_fault_the_transpose_of_lambda_1_is_another_action():
    lam, w, phi = random_lambda(3), weights_of(3), fields(3)
    wrong = lam.copy()
    wrong[1] = lam[1].T
    blocks = identifiable(wrong, w)
    assert not np.allclose(from_monomials(Bilocal(), stacked(blocks), w, phi), double_sum(lam, w, phi), rtol=1e-3)


def test_planted_fault_forgotten_weights_are_another_action():
    lam, w, phi = random_lambda(3), weights_of(3), fields(3)
    blocks = identifiable(lam)
    assert not np.allclose(from_monomials(Bilocal(), stacked(blocks), w, phi), double_sum(lam, w, phi), rtol=1e-3)


@pytest.mark.parametrize("points", SIZES)
def test_what_is_not_identifiable_does_not_matter(points):
    """lambda_0 enters by its column sums, lambda_2 by its symmetric part, lambda_3 as the transpose of lambda_1."""
    lam, w = random_lambda(points), weights_of(points)
    draw = np.random.default_rng(5)
    other = lam.copy()
    columns = draw.normal(size=(points, points))
    other[0] += columns - np.sum(w[:, None] * columns, axis=0) / np.sum(w)
    twist = draw.normal(size=(points, points))
    other[2] += twist - twist.T
    shift = draw.normal(size=(points, points))
    other[1] += shift
    other[3] -= shift.T
    for name, value in identifiable(lam, w).items():
        assert np.allclose(identifiable(other, w)[name], value, rtol=0, atol=1e-12)


# ---- the stated gauge -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", SIZES)
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_identifiable_undoes_gauge(points, batch):
    w = weights_of(points)
    blocks = identifiable(random_lambda(points, batch=batch), w)
    again = identifiable(gauge(blocks, w), w)
    assert list(again) == ["g", "u", "v"]
    for name, value in blocks.items():
        assert again[name].shape == (*batch, len(Bilocal().blocks(points)[name]))
        assert np.allclose(again[name], value, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("points", SIZES)
def test_the_gauge_is_the_stated_one(points):
    w = weights_of(points)
    lam = gauge(identifiable(random_lambda(points, batch=(4,)), w), w)
    zero, one, two, three = np.moveaxis(lam, 1, 0)
    diagonal = np.eye(points, dtype=bool)
    assert np.all(zero[:, ~diagonal] == 0)
    assert np.array_equal(one, np.swapaxes(three, 1, 2))
    assert np.array_equal(two, np.swapaxes(two, 1, 2))
    for part in (one, two, three):
        assert np.all(part[:, diagonal] == 0)


def test_a_local_coupling_of_the_continuum_is_a_delta_function():
    w = np.array([0.5, 1.0, 0.25])
    lam = gauge({"g": w * 7.0}, w)  # lambda(x) = 7 everywhere: g_x = w_x lambda(x)
    assert np.allclose(np.diag(lam[0]), 7.0 / w)  # delta(x - y) on the grid is 1/w on the diagonal
    assert np.all(lam[1:] == 0)
    constant = gauge({"coupling": np.array([7.0])}, w)
    assert np.allclose(constant, lam)
    phi = fields(3)
    assert np.allclose(double_sum(lam, w, phi), phi**4 @ (7.0 * w))


# ---- the ladder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", SIZES)
def test_how_many_couplings_an_action_has(points):
    quads = len(sorted_tuples(points, 4))
    counts = {"constant": 1, "local": points, "bilocal": points * (3 * points - 1) // 2, "full_quartic": quads}
    for name, count in counts.items():
        action = action_named(name)
        assert action.size(points) == count
        terms = action.monomials(points, weights_of(points))
        assert terms.shape == (count, quads)
        assert np.linalg.matrix_rank(terms) == min(count, quads)  # no coupling is a combination of others


def test_the_counts_of_the_published_set():
    assert (Bilocal().size(6), FullQuartic().size(6)) == (51, 126)


@pytest.mark.parametrize("points", SIZES)
def test_every_row_of_monomials_is_its_label(points):
    w, phi = weights_of(points), fields(points)
    products = np.prod(phi[:, sorted_tuples(points, 4)], axis=2)
    rows = products @ Bilocal().monomials(points, w).T
    labels = Bilocal().blocks(points)
    truth = [phi[:, a] ** 4 for (a,) in labels["g"]]
    truth += [phi[:, a] * phi[:, b] ** 3 for a, b in labels["u"]]
    truth += [phi[:, a] ** 2 * phi[:, b] ** 2 for a, b in labels["v"]]
    assert np.allclose(rows, np.stack(truth, axis=1), rtol=1e-13, atol=0)
    assert all(a != b for a, b in labels["u"])
    assert all(a < b for a, b in labels["v"])
    assert np.allclose(products @ Local().monomials(points, w).T, phi**4, rtol=1e-13)
    assert np.allclose(products @ Constant().monomials(points, w).T, (phi**4 @ w)[:, None], rtol=1e-13)
    assert np.array_equal(products @ FullQuartic().monomials(points, w).T, products)


def test_the_ladder_is_nested():
    """Each action spans the one before it."""
    rungs = ("constant", "local", "bilocal", "full_quartic")
    terms = [action_named(name).monomials(4, weights_of(4)) for name in rungs]
    for small, large in pairwise(terms):
        assert np.linalg.matrix_rank(np.vstack([small, large])) == len(large)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"), [("bilocl", "bilocal"), ("full_quart", "full_quartic"), ("Local", "local")]
)
def test_an_unknown_action_is_refused_with_the_nearest(typed, meant):
    with pytest.raises(ValueError, match=f"expected an action among .*got '{typed}'; try '{meant}'"):
        action_named(typed)


@pytest.mark.parametrize("name", ACTIONS)
def test_a_known_action_is_found(name):
    options = {"lattice_phi4": {"shape": [2, 2]}, "modes": {"count": 2}, "invariant": {"group": "O", "outputs": 2}}
    action = action_named(name, **options.get(name, {}))
    assert type(action) is ACTIONS[name]
    assert action_of(action_words(action)) == action


@pytest.mark.parametrize("shape", [(3, 2, 2), (4, 2, 3), (2, 2), (4,)])
def test_couplings_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected lambda of shape .* got .* try"):
        identifiable(np.zeros(shape))
