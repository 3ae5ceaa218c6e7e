"""The one type of all makers: what goes in comes out, what cannot be is refused, and one page shows it."""

from itertools import permutations

import numpy as np
import pytest

from nnft.models import Correlators
from nnft.models.combinatorics import connected_from_moments, multiplicities, sorted_tuples
from nnft.models.correlators import check_points

POINTS = np.array([[0.0], [0.5], [1.5]])


def symmetric(order, seed, points=3):
    dense = np.random.default_rng(seed).normal(size=(points,) * order)
    return np.mean([np.transpose(dense, axes) for axes in permutations(range(order))], axis=0)


def on_tuples(dense):
    return dense[tuple(sorted_tuples(len(dense), dense.ndim).T)]


def covariance_of(sizes, seed=0, decades=0.0):
    """A full-rank covariance whose standard errors spread over `decades` powers of ten."""
    size, draw = sum(sizes), np.random.default_rng(seed)
    root = draw.normal(size=(size, 2 * size)) / np.sqrt(2 * size)
    scale = 10.0 ** np.linspace(0, -decades, size)
    return root @ root.T * scale * scale[:, None]


# ---- from arrays and back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["moments", "connected"])
def test_dense_and_sorted_arrays_are_the_same_correlators(kind):
    dense = {r: symmetric(r, r) for r in (2, 4)}
    flat = {r: on_tuples(v) for r, v in dense.items()}
    a, b = (Correlators.from_arrays(POINTS, **{kind: given}) for given in (dense, flat))
    word = {"moments": "moment", "connected": "connected"}[kind]
    for order in (2, 4):
        assert np.allclose(a.tensor(order, word), dense[order], rtol=0, atol=1e-15)
        assert np.allclose(b.tensor(order, word), dense[order], rtol=0, atol=1e-15)
        assert np.array_equal((a.moment if kind == "moments" else a.connected)(order), flat[order])
        assert np.array_equal(a.error(order), np.zeros(len(flat[order])))
    assert a.orders == (2, 4)
    assert a.maker == "exact"


def test_moments_give_their_cumulants():
    moments = {r: on_tuples(symmetric(r, r)) for r in (1, 2, 3, 4)}
    plain = Correlators.from_arrays(POINTS, moments=moments)
    assert not plain.even  # odd orders are among them
    unbiased = Correlators.from_arrays(POINTS, moments=moments, networks=50)
    for order in (1, 2, 3, 4):
        assert np.array_equal(plain.connected(order), connected_from_moments(moments, 3, order))
        assert np.array_equal(unbiased.connected(order), connected_from_moments(moments, 3, order, n=50))


def test_even_moments_alone_are_taken_as_even():
    moments = {r: on_tuples(symmetric(r, r)) for r in (2, 4)}
    data = Correlators.from_arrays(POINTS, moments=moments)
    assert data.even
    assert np.array_equal(data.connected(4), connected_from_moments(moments, 3, 4, even=True))
    not_even = Correlators.from_arrays(POINTS, moments=moments, even=False)
    assert not_even.orders == ()  # the means it needs are not there


@pytest.mark.parametrize("kind", ["moments", "connected"])
@pytest.mark.parametrize("decades", [0.0, 9.0])
def test_covariance_comes_back(kind, decades):
    values = {r: on_tuples(symmetric(r, r)) for r in (2, 4)}
    given = covariance_of((6, 15), decades=decades)
    data = Correlators.from_arrays(POINTS, **{kind: values}, covariance=given, networks=1000)
    word = {"moments": "moment", "connected": "connected"}[kind]
    scale = np.sqrt(np.diag(given))
    for order, part in ((2, slice(0, 6)), (4, slice(6, 21))):
        relative = (data.covariance(order, word) - given[part, part]) / np.outer(scale[part], scale[part])
        assert np.max(np.abs(relative)) < 1e-12
        assert np.allclose(data.error(order, word), scale[part], rtol=1e-12)
    both = np.concatenate([data.rows[word][r] for r in (2, 4)], axis=1)
    assert np.max(np.abs(both.T @ both - given) / np.outer(scale, scale)) < 1e-12
    assert data.maker == "measured"


def test_connected_errors_follow_from_those_of_the_moments():
    """For an even law at one point, kappa4 = m4 - 3 m2^2: errors by hand."""
    m2, m4 = 1.3, 6.0
    given = np.array([[0.04, 0.05], [0.05, 0.3]])
    data = Correlators.from_arrays(
        np.zeros((1, 1)), moments={2: np.array([m2]), 4: np.array([m4])}, covariance=given, networks=np.inf
    )
    slope = np.array([-6 * m2, 1.0])
    assert np.allclose(data.connected(4), m4 - 3 * m2**2, rtol=1e-14)
    assert np.allclose(data.covariance(4), slope @ given @ slope, rtol=1e-12)


# ---- refusals -------------------------------------------------------------------------------------------------------

GOOD = {2: np.eye(3)}
REVERSED = np.zeros((3,) * 4)
REVERSED[0, 1, 1, 0] = 1.0  # symmetric under reversal of the indices, but not under permutations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "both or neither"),
        ({"moments": GOOD, "connected": GOOD}, "both or neither"),
        ({"connected": {2: np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1.0]])}}, "symmetric tensor of order 2"),
        ({"connected": {4: REVERSED}}, "symmetric tensor of order 4"),
        ({"moments": {4: REVERSED}}, "symmetric tensor of order 4"),
        ({"connected": {2: np.ones(5)}}, r"got \(5,\)"),
        ({"connected": {2: np.ones((2, 2))}}, r"got \(2, 2\)"),
        ({"connected": {4: np.eye(3)}}, "order 4"),
        ({"connected": {2: np.full(6, np.nan)}}, "finite"),
        ({"connected": {0: np.ones(1)}}, "at least 1"),
        ({"connected": GOOD, "covariance": np.eye(5)}, r"shape \(6, 6\)"),
        ({"connected": GOOD, "covariance": np.eye(6) + np.eye(6, k=1)}, "asymmetric"),
        ({"connected": GOOD, "covariance": np.diag([1, 1, 1, 1, 1, -1.0])}, "semi-definite"),
        ({"connected": GOOD, "covariance": 1e-9 * np.diag([1, 1, 1, 1, 1, -1.0])}, "semi-definite"),
        ({"connected": GOOD, "covariance": np.ones((6, 6)) - 1.1 * np.eye(6)}, "semi-definite"),
        ({"connected": GOOD, "covariance": np.full((6, 6), np.nan)}, "finite covariance"),
        ({"moments": {2: np.eye(3), 4: symmetric(4, 0)}, "networks": 3}, "at least 4 networks"),
    ],
)
def test_impossible_arrays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        Correlators.from_arrays(POINTS, **arguments)
    assert str(error.value).startswith("expected")
    assert " got " in str(error.value)


def test_round_off_is_not_refused():
    given = covariance_of((6,), seed=3)
    given[0, 1] += 1e-13
    dense = symmetric(4, 1)
    dense[0, 1, 2, 2] *= 1 + 1e-7
    data = Correlators.from_arrays(POINTS, connected={2: np.eye(3)}, covariance=given)
    assert np.all(data.error(2) > 0)
    assert Correlators.from_arrays(POINTS, connected={4: dense}).orders == (4,)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros(3), "points\\[:, None\\]"),
        (np.zeros((0, 1)), "shape"),
        (np.array([[0.0], [1.0], [0.0]]), "point 2"),
        (np.array([[0.0], [np.nan]]), "at point 1"),
        (np.array([[0.0], [np.inf]]), "at point 1"),
        ([["a"]], "numbers"),
        ([[0.0], [1.0, 2.0]], "numbers"),
    ],
)
def test_impossible_points_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        check_points(points)


def test_a_refused_or_absent_order_says_why():
    data = Correlators(POINTS, {}, {2: np.ones(6)}, refused={6: "k-hat 2.1 at point 0"}, flags={2: "few networks"})
    with pytest.raises(ValueError, match=r"order 6 is refused: k-hat 2\.1 at point 0"):
        data.connected(6)
    with pytest.raises(ValueError, match="refused"):
        data.error(6)
    with pytest.raises(ValueError, match=r"among \[2\].*got 4.*orders="):
        data.connected(4)
    with pytest.raises(ValueError, match="order"):
        data.chi2(6)


def test_only_the_same_points_can_be_subtracted():
    a = Correlators.from_arrays(POINTS, connected={2: np.eye(3)})
    for other in (POINTS + 0.1, POINTS[:2], np.hstack([POINTS, POINTS])):
        b = Correlators.from_arrays(other, connected={2: np.eye(len(other))})
        with pytest.raises(ValueError, match=r"same points.*try"):
            _ = a - b


def test_two_exact_correlators_have_no_chi2():
    a = Correlators.from_arrays(POINTS, connected={2: np.eye(3)})
    with pytest.raises(ValueError, match="expected errors on order 2"):
        (a - a).chi2(2)
    half = Correlators.from_arrays(POINTS, connected={2: np.eye(3)}, covariance=np.diag([1, 1, 1, 1, 1, 0.0]))
    with pytest.raises(ValueError, match="error bar on every non-zero component"):
        half.chi2(2)


def test_dense_tensors_are_limited():
    data = Correlators(np.arange(12.0)[:, None], {}, {6: np.zeros(len(sorted_tuples(12, 6)))})
    with pytest.raises(ValueError, match="sorted tuples"):
        data.tensor(6)


def test_correlators_compare_by_identity():
    a, b = (Correlators.from_arrays(POINTS, connected={2: np.eye(3)}) for _ in range(2))
    assert a != b
    assert len({a, b}) == 2


# ---- differences ----------------------------------------------------------------------------------------------------


def test_errors_of_a_difference_add_in_quadrature():
    one, two = covariance_of((6, 15), 1), covariance_of((6, 15), 2)
    values = {r: on_tuples(symmetric(r, r)) for r in (2, 4)}
    a = Correlators.from_arrays(POINTS, connected=values, covariance=one, networks=900, dof=80)
    b = Correlators.from_arrays(POINTS, connected=values, covariance=two, networks=500, dof=90)
    difference = a - b
    rows = np.concatenate([difference.rows["connected"][r] for r in (2, 4)], axis=1)
    assert np.allclose(rows.T @ rows, one + two, rtol=0, atol=1e-13)
    assert np.array_equal(difference.connected(4), np.zeros(15))
    assert (difference.networks, difference.dof, difference.maker) == (500, 80, "difference")
    exact = Correlators.from_arrays(POINTS, connected=values)
    for mixed in (a - exact, exact - a):
        assert np.allclose(mixed.covariance(4), one[6:, 6:], rtol=0, atol=1e-13)
        assert (mixed.networks, mixed.dof) == (900, 80)


@pytest.mark.parametrize("swap", [False, True])
def test_orders_stay_correlated_when_one_side_has_errors_on_one_order_only(swap):
    one, two = covariance_of((6, 15), 1), covariance_of((6,), 2)
    values = {r: on_tuples(symmetric(r, r)) for r in (2, 4)}
    full = Correlators.from_arrays(POINTS, connected=values, covariance=one)
    small = Correlators.from_arrays(POINTS, connected={2: values[2]}, covariance=two)
    part = Correlators(POINTS, {}, values, rows={"connected": {2: small.rows["connected"][2]}})
    rows = ((part - full) if swap else (full - part)).rows["connected"]
    depth = max(len(rows[2]), len(rows[4]))
    joint = np.concatenate([np.pad(rows[r], ((0, depth - len(rows[r])), (0, 0))) for r in (2, 4)], axis=1)
    truth = one.copy()
    truth[:6, :6] += two
    assert np.allclose(joint.T @ joint, truth, rtol=0, atol=1e-13)


def test_refusals_and_flags_survive_a_difference():
    a = Correlators(POINTS, {}, {2: np.ones(6)}, refused={4: "tail"}, flags={2: "few"})
    b = Correlators(POINTS, {}, {2: np.ones(6), 4: np.ones(15)})
    for difference in (a - b, b - a):
        assert difference.orders == (2,)
        with pytest.raises(ValueError, match="refused: tail"):
            difference.connected(4)
        assert difference.flags == {2: "few"}


# ---- what a reader sees ---------------------------------------------------------------------------------------------


def shown():
    size = {r: len(sorted_tuples(3, r)) for r in (1, 2, 3, 4)}
    draw = np.random.default_rng(0)
    return Correlators(
        POINTS,
        moments={},
        cumulants={r: draw.normal(size=n) for r, n in size.items()},
        rows={"connected": {r: 0.1 * draw.normal(size=(50, n)) for r, n in size.items()}},
        networks=20_000,
        dof=49,
        maker="measured",
        refused={6: "Pareto k-hat of |phi|^6 is 2.10 at point 0"},
        flags={4: "Pareto k-hat of |phi|^4 is 0.55"},
    )


def test_a_page_is_enough():
    page = str(shown())
    lines = page.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert "20,000 networks" in page
    assert "3 points in d = 1" in page
    assert "G6c  refused: Pareto k-hat of |phi|^6 is 2.10 at point 0" in page
    assert "[Pareto k-hat of |phi|^4 is 0.55]" in page
    assert "+-" in page
    assert "sd)" in page
    assert repr(shown()) == page


def test_the_page_shows_the_most_significant_components():
    data = shown()
    z = np.abs(data.connected(4) / data.error(4))
    best = ",".join(map(str, data.tuples(4)[np.argmax(z)]))
    assert f"({best})" in str(data)


def test_an_exact_page_has_no_errors():
    page = str(Correlators.from_arrays(POINTS, connected={2: np.eye(3)}))
    assert "exact" in page
    assert "+-" not in page


def test_a_dataset_names_every_component():
    data = shown()
    ds = data.to_dataset()
    assert ds["G4"].dims == ("quad",)
    assert ds["G2"].dims == ("pair",)
    labels = np.stack([ds[f"x{k}"].values for k in range(1, 5)], axis=1)
    assert np.array_equal(labels, data.tuples(4))
    assert np.array_equal(np.stack([ds[f"pair_x{k}"].values for k in (1, 2)], axis=1), data.tuples(2))
    for order in (1, 2, 3, 4):
        assert np.array_equal(ds[f"G{order}"].values, data.connected(order))
        assert np.array_equal(ds[f"G{order}_error"].values, data.error(order))
    assert "G6" not in ds
    assert ds.attrs["refused_6"].startswith("Pareto")
    assert ds.attrs["flag_4"].startswith("Pareto")
    assert (ds.attrs["networks"], ds.attrs["maker"]) == (20_000.0, "measured")


def test_the_norm_of_a_tensor_counts_every_component_once():
    data = Correlators.from_arrays(POINTS, connected={4: symmetric(4, 2)})
    assert np.sum(data.tensor(4) ** 2) == pytest.approx(multiplicities(data.tuples(4)) @ data.connected(4) ** 2)
