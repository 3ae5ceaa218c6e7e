"""W[J], Z[J] and P[phi]: series against exact functionals, with the signs and powers of 1/N that are easy to lose."""

from itertools import product
from math import gamma

import jax
import numpy as np
import pytest
from scipy import special, stats

from nnft.inference import Samples, measure
from nnft.models import (
    Correlators,
    Cos,
    Edgeworth,
    Erf,
    Network,
    ReLU,
    Tanh,
    cumulant_series,
    exact,
    exact_density,
    exact_generating,
    finite_source,
)
from nnft.models.networks.readouts import READOUTS
from tests.statistics import agree, disagree

ONE, TWO = np.array([[0.3]]), np.array([[0.0], [1.0]])
GRID = np.linspace(-3.0, 3.0, 61)[:, None]
PLANE = np.random.default_rng(0).normal(size=(100, 2))


def skewed(width, *, sign=1.0, orders=(1, 2, 3, 4, 5, 6)):
    """(Gamma(N) - N)/sqrt N: kappa_r = (r-1)! N^(1-r/2), a sum of N skewed neurons."""
    table = {r: np.array([gamma(r) * width ** (1 - r / 2) * sign**r * (r > 1)]) for r in orders}
    return Correlators.from_arrays(ONE, connected=table, even=False)


def skewed_density(width, phi):
    return np.sqrt(width) * stats.gamma.pdf(width + np.sqrt(width) * phi[:, 0], width)


def falls(errors, factor):
    return 0.7 * factor < errors[0] / errors[1] < 1.4 * factor


# ---- the cumulant series --------------------------------------------------------------------------------------------


def test_the_series_of_a_network_is_its_exact_functional():
    """Order by order: what orders 2, 4 and 6 leave falls like J^8, by 4^4 where J is halved."""
    network, j = Network(Cos(), 5, output_bias=0.3), np.array([[0.5, -0.7], [0.25, -0.35]])
    truth, accuracy = exact_generating(network, TWO, j)
    assert accuracy < 1e-11
    data = exact(network, TWO)
    for orders, power in (((2,), 4), ((2, 4), 6), ((2, 4, 6), 8)):
        series = cumulant_series(data, j, orders=orders)
        assert falls(np.abs(series.value - truth), 2.0**power)
        assert np.all(np.abs(series.value - truth) < series.band)
        assert np.all(series.error == 0.0)
    lost = exact(Network(Cos(), 1, output_bias=0.3), TWO)  # a lost 1/N
    assert not falls(np.abs(cumulant_series(lost, j).value - truth), 2.0**8)


def test_odd_orders_carry_the_sign_of_the_source():
    width, j = 9, np.array([[0.3], [-0.3], [0.15], [-0.15]])
    truth = -width * np.log(1 - j[:, 0] / np.sqrt(width)) - np.sqrt(width) * j[:, 0]
    remainder = np.abs(cumulant_series(skewed(width), j).value - truth)
    assert falls(remainder[::2], 2.0**7)
    assert falls(remainder[1::2], 2.0**7)
    wrong = np.abs(cumulant_series(skewed(width, sign=-1.0), j).value - truth)  # -J: the sign of the J^3 term
    assert falls(wrong[::2], 2.0**3)


def test_measured_odd_cumulants_give_the_functional_within_their_errors():
    """Order 3 measured on a non-even law; its twin has the sign of J^3 wrong. Orders 1 to 4 leave 1e-5 here."""
    width, j = 25, np.array([[0.5], [-0.5]])
    draws = (np.random.default_rng(1).gamma(width, size=(200_000, 1)) - width) / np.sqrt(width)
    data = measure(Samples(draws, ONE), orders=(1, 2, 3, 4))
    series = cumulant_series(data, j)
    truth = cumulant_series(skewed(width), j, orders=(1, 2, 3, 4)).value
    agree(series.value, truth, series.error)
    third = cumulant_series(skewed(width), j, orders=(3,)).value
    disagree(series.value - 2 * third, truth, series.error)


def test_the_error_of_the_series_is_that_of_the_joint_covariance():
    """Two correlated orders: Var(a G2 + b G4) by hand."""
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    data = Correlators.from_arrays(ONE, connected={2: np.array([1.0]), 4: np.array([0.5])}, covariance=covariance)
    weight = np.array([2.0**2 / 2, 2.0**4 / 24])
    series = cumulant_series(data, np.array([[2.0]]))
    assert series.error[0] == pytest.approx(np.sqrt(weight @ covariance @ weight), rel=1e-12)
    assert series.band[0] == pytest.approx(0.5 * weight[1])


# ---- Edgeworth ------------------------------------------------------------------------------------------------------


def test_the_density_of_one_site_in_closed_form():
    """1 + k4 He4/4! + k6 He6/6! + (k4/4!)^2 He8/2, typed once here."""
    k4, k6, y = 0.4, 0.3, np.linspace(-2, 2, 9)
    data = Correlators.from_arrays(ONE, connected={2: np.ones(1), 4: np.array([k4]), 6: np.array([k6])})
    he = lambda n: special.eval_hermitenorm(n, y)  # noqa: E731
    ratio = 1 + k4 / 24 * he(4) + k6 / 720 * he(6) + 0.5 * (k4 / 24) ** 2 * he(8)
    np.testing.assert_allclose(Edgeworth(data, order=6).ratio(y[:, None]), ratio, rtol=1e-13)
    np.testing.assert_allclose(Edgeworth(data).ratio(y[:, None]), 1 + k4 / 24 * he(4), rtol=1e-13)


def test_the_tensors_are_derivatives_of_the_gaussian():
    """Two correlated sites: He4_abcd = pppp - sum_6 K^-1 pp + sum_3 K^-1 K^-1, p = K^-1 phi."""
    data = exact(Network(Cos(), 5), TWO)
    inverse = np.linalg.inv(data.tensor(2))
    p = PLANE @ inverse
    total = np.zeros(len(p))
    for a, b, c, d in product(range(2), repeat=4):
        he = p[:, a] * p[:, b] * p[:, c] * p[:, d]
        for i, j, k, m in ((a, b, c, d), (a, c, b, d), (a, d, b, c), (b, c, a, d), (b, d, a, c), (c, d, a, b)):
            he = he - inverse[i, j] * p[:, k] * p[:, m]
        he = he + inverse[a, b] * inverse[c, d] + inverse[a, c] * inverse[b, d] + inverse[a, d] * inverse[b, c]
        total += data.tensor(4)[a, b, c, d] * he / 24
    np.testing.assert_allclose(Edgeworth(data).ratio(PLANE), 1 + total, rtol=1e-11)


@pytest.mark.parametrize("order", [4, 6])
def test_the_density_is_normalised_and_its_transform_is_the_partition_function(order):
    line = np.linspace(-12, 12, 241)
    fields = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    edgeworth, j = Edgeworth(exact(Network(Cos(), 3, output_bias=0.2), TWO), order=order), np.array([[0.7, -0.4]])
    weight = edgeworth.density(fields) * (line[1] - line[0]) ** 2
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(weight @ np.exp(fields @ j.T), edgeworth.partition(j), rtol=1e-11)
    skew = Edgeworth(skewed(4), order=order)
    weight = skew.density(line[:, None]) * (line[1] - line[0])
    for r in (2, 3, 4):  # the sum of (-1)^r d^r keeps every cumulant it was given; (-i)^r would not
        assert weight @ line**r == pytest.approx({2: 1.0, 3: 1.0, 4: 3 + 1.5}[r], rel=1e-10)


@pytest.mark.parametrize(
    ("points", "fields", "widths", "readout"),
    [(ONE, GRID, (20, 80), "uniform"), (TWO, PLANE, (40, 160), "gaussian")],  # of one Gaussian cosine G6c = 0
)
def test_edgeworth_tends_to_the_exact_density_of_a_network(points, fields, widths, readout):
    """What is left falls like N^-2 (order 4) and N^-3 (order 6), by 16 and 64 where N grows four times."""
    left: dict[int, list[float]] = {4: [], 6: []}
    fault: list[float] = []
    for width in widths:
        network = Network(Cos(), width, readout)
        truth, error = exact_density(network, points, fields)
        data = exact(network, points)
        for order, errors in left.items():
            errors.append(np.max(np.abs(Edgeworth(data, order=order).density(fields) - truth)))
            assert error < 0.1 * errors[-1]
        # (-i)^r for (-1)^r: the sign of order 6 alone changes
        turned = {2: data.connected(2), 4: data.connected(4), 6: -data.connected(6)}
        wrong = Correlators.from_arrays(points, connected=turned)
        fault.append(np.max(np.abs(Edgeworth(wrong, order=6).density(fields) - truth)))
    assert falls(left[4], 16.0)
    assert falls(left[6], 64.0)
    assert fault[1] > 10 * left[6][1]


def test_a_skewed_density():
    """Gamma(N): N^(-3/2) is left at order 4 and N^(-5/2) at order 6; the twin has the third cumulant's sign wrong."""
    left: dict[int, list[float]] = {4: [], 6: []}
    for width in (50, 200):
        truth = skewed_density(width, GRID)
        for order, errors in left.items():
            errors.append(np.max(np.abs(Edgeworth(skewed(width), order=order).density(GRID) - truth)))
    assert falls(left[4], 8.0)
    assert falls(left[6], 32.0)
    wrong = Edgeworth(skewed(200, sign=-1.0)).density(GRID)
    assert np.max(np.abs(wrong - skewed_density(200, GRID))) > 100 * left[4][1]


def test_a_mean_moves_the_density():
    table = {1: np.array([0.7]), 2: np.ones(1), 3: np.array([0.2]), 4: np.zeros(1)}
    moved = Edgeworth(Correlators.from_arrays(ONE, connected=table, even=False))
    rest = Edgeworth(Correlators.from_arrays(ONE, connected=table | {1: np.zeros(1)}, even=False))
    np.testing.assert_allclose(moved.density(GRID + 0.7), rest.density(GRID), rtol=1e-12)
    j = np.array([[0.4]])
    np.testing.assert_allclose(moved.partition(j), np.exp(0.28) * rest.partition(j), rtol=1e-12)


def test_the_partition_function_of_a_network():
    """Z[J] to 1/N and 1/N^2 against the exact one: 16 and 64 at four times the width; the twin forgets 1/N."""
    j = np.array([[0.8, -0.5]])
    left: dict[int, list[float]] = {4: [], 6: []}
    for width in (10, 40):
        network = Network(Erf(bias_scale=0.5), width, "uniform")
        truth = np.exp(exact_generating(network, TWO, j)[0])
        data = exact(network, TWO, orders=(2, 4, 6))
        for order, errors in left.items():
            errors.append(abs(Edgeworth(data, order=order).partition(j)[0] - truth[0]))
    assert falls(left[4], 16.0)
    assert falls(left[6], 64.0)
    forgotten = Edgeworth(exact(Network(Erf(bias_scale=0.5), 1, "uniform"), TWO, orders=(2, 4))).partition(j)[0]
    assert abs(forgotten - truth[0]) > 10 * left[4][1]


def test_where_the_density_is_negative():
    """A Gaussian-readout cos-net of two neurons at two points; one site against its integral over a grid."""
    two = Edgeworth(exact(Network(Cos(), 2), TWO)).negative_share(key=jax.random.key(0), draws=40_000)
    assert two.share > 10 * two.share_error > 0
    assert two.mass > 10 * two.mass_error > 0
    assert "negative on " in str(two)
    edgeworth = Edgeworth(exact(Network(Cos(), 2, "rademacher"), ONE))
    line = np.linspace(-9, 9, 20_001)[:, None]
    density, normal = edgeworth.density(line), stats.norm.pdf(line[:, 0], scale=np.sqrt(0.5))
    step = line[1, 0] - line[0, 0]
    found = edgeworth.negative_share(key=jax.random.key(1), draws=40_000)
    truth = np.sum(np.maximum(-density, 0)) * step, np.sum(normal[density < 0]) * step
    agree([found.mass, found.share], truth, [found.mass_error, found.share_error])
    disagree([2 * found.mass, found.share], truth, [found.mass_error, found.share_error])
    with pytest.raises(ValueError, match=r"expected fields where .* is positive, got .* with a ratio .* down to -"):
        edgeworth.log_density(line)
    calm = line[density > 1e-3]
    np.testing.assert_allclose(edgeworth.log_density(calm), np.log(edgeworth.density(calm)), rtol=1e-10)


# ---- exact functionals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("neuron", [Cos(), Erf(bias_scale=0.5), Tanh(), ReLU(bias_scale=0.5)])
def test_the_exact_functional_has_the_exact_cumulants(neuron, readout):
    """The quadrature of W against G2 and G4 by other roads: J^6 is left."""
    network, j = Network(neuron, 3, readout, output_scale=1.2, output_bias=0.4), np.array([[0.2, -0.1], [0.1, -0.05]])
    if type(neuron) is ReLU and readout == "laplace":
        with pytest.raises(ValueError, match=r"expected sources with a finite Z.*ReLU is unbounded"):
            exact_generating(network, TWO, j)
        return
    truth, _ = exact_generating(network, TWO, j)
    left = np.abs(cumulant_series(exact(network, TWO, orders=(2, 4)), j).value - truth)
    assert left[0] < 1e-5
    assert falls(left, 2.0**6)


def test_one_relu_in_closed_form():
    """W = N log (1/2)[1 + (1 - sigma^2 J^2 c/N)^(-1/2)]."""
    network, x = Network(ReLU(1.1, 0.7), 4, output_scale=1.3), np.array([[0.8]])
    j = np.array([[0.5], [-1.0], [1.25]])
    share = 1.3**2 * j[:, 0] ** 2 * (0.7**2 + 1.1**2 * 0.8**2) / 4
    truth = 4 * np.log(0.5 * (1 + (1 - share) ** -0.5))
    np.testing.assert_allclose(exact_generating(network, x, j)[0], truth, rtol=1e-12)


def test_the_readout_laws_are_integrated():
    """By Gauss-Legendre over each density."""
    a, (x, w) = np.linspace(0, 1.0, 25), special.roots_legendre(400)
    t = 60 * x
    densities = {
        "gaussian": (60 * w * stats.norm.pdf(t), t),
        "uniform": (w / 2, 3**0.5 * x),
        "rademacher": (np.array([0.5, 0.5]), np.array([1.0, -1.0])),
        "laplace": (30 * (w * 2**0.5) * np.exp(-(2**0.5) * 30 * (1 + x)), 30 * (1 + x)),  # twice half the law
    }
    for law, (weight, value) in densities.items():
        truth = np.log(np.cosh(np.outer(a, value)) @ weight)
        np.testing.assert_allclose(READOUTS[law].log_mean(a), truth, atol=1e-8)


@pytest.mark.parametrize(
    "network",
    [Network(Cos(), 4), Network(Cos(), 12, "rademacher"), Network(Tanh(), 6, "laplace", output_bias=0.3)],
    ids=["gaussian", "rademacher", "laplace"],
)
def test_the_exact_density_of_one_site_has_the_exact_moments(network):
    line = np.linspace(-12, 12, 2401)
    density, error = exact_density(network, ONE, line[:, None])
    weight, data = density * (line[1] - line[0]), exact(network, ONE, orders=(2, 4))
    assert weight.sum() == pytest.approx(1.0, abs=1e-6)
    assert weight @ line**2 == pytest.approx(data.moment(2)[0], rel=1e-5)
    assert weight @ line**4 == pytest.approx(data.moment(4)[0], rel=1e-4)
    assert np.min(density) > -error - 1e-15
    wrong = exact(Network(network.neuron, network.width + 1, network.readout), ONE, orders=(2, 4))
    assert abs(weight @ line**4 / wrong.moment(4)[0] - 1) > 1e-3


# ---- refusals -------------------------------------------------------------------------------------------------------

EVEN = exact(Network(Cos(), 5), TWO)
REFUSED = {
    "order": (lambda: Edgeworth(EVEN, order=5), r"expected order 4 .*got 5; try order=4"),
    "missing": (
        lambda: Edgeworth(exact(Network(Cos(), 5), TWO, orders=(2, 4)), order=6),
        r"expected connected functions of orders \[2, 4, 6\].*without 6",
    ),
    "order 5": (lambda: Edgeworth(skewed(5, orders=(1, 2, 3, 4, 6)), order=6), r"without 5; try order=4, or even=True"),
    "singular": (
        lambda: Edgeworth(exact(Network(ReLU(), 5), np.array([[1.0], [2.0]]), orders=(2, 4))),
        r"can be inverted 2 times.*below 1e\+06\), got (inf|\d\.\d+e\+1\d)",
    ),
    "fields": (lambda: Edgeworth(EVEN).density(GRID), r"expected fields of shape \(field, point\) = \(.., 2\)"),
    "sources": (lambda: cumulant_series(EVEN, np.ones(2)), r"expected sources of shape .*got \(2,\); try J\[None"),
    "nan": (lambda: cumulant_series(EVEN, np.full((1, 2), np.nan)), r"expected finite sources, got nan"),
    "three hidden": (
        lambda: exact_generating(Network(Erf(), 5), np.eye(3), np.ones((1, 3))),
        r"at most two effective hidden parameters, got 3",
    ),
    "outside the radius": (
        lambda: exact_generating(Network(ReLU(), 4), np.ones((1, 1)), np.array([[2.1]])),
        r"finite Z.*is 1\.10.*not below 1",
    ),
    "atom": (lambda: exact_density(Network(ReLU(), 5), ONE, GRID), r"got ReLU: fields of others .* of ReLU an atom"),
    "slow": (
        lambda: exact_density(Network(Cos(), 2), ONE, GRID),
        r"expected a characteristic function .*falls like \|k\|\^-2\.00; try a larger width",
    ),
    "foreign": (lambda: finite_source(lambda x: x, TWO, np.ones(2)), r"expected a Network with neurons of the suite"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
