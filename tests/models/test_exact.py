"""Exact correlators against the printed numbers, against enumeration of every readout, and against simulation."""

from itertools import product

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import special, stats

from nnft.models import Cos, Erf, Gauss, LogNormalLength, Network, ReLU, StudentScale, Tanh, exact
from nnft.models.analytic.exact import known_orders
from nnft.models.combinatorics import moments_from_connected, sorted_tuples
from nnft.models.networks.readouts import READOUTS
from tests.statistics import agree, disagree

LINE = np.array([[-0.4], [0.1], [0.9]])
NEURONS = [Cos(1.3), Gauss(0.8, 0.5), Erf(1.2, 0.7), Tanh(0.9, 0.4), ReLU(1.1, 0.6)]
ids = lambda value: type(value).__name__  # noqa: E731


# ---- printed numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("width", [1, 7])
def test_cosine_kurtosis_at_one_point(readout, width):
    mu4 = {"gaussian": 3.0, "uniform": 9 / 5, "rademacher": 1.0, "laplace": 6.0}[readout]
    data = exact(Network(Cos(), width, readout=readout), np.zeros((1, 2)))
    assert width * data.connected(4)[0] == pytest.approx(3 / 8 * mu4 - 3 / 4, abs=1e-15)


def test_the_moments_of_the_readout_laws():
    draws = {
        "gaussian": lambda r: special.factorial2(r - 1),
        "uniform": lambda r: 3 ** (r / 2) / (r + 1),
        "rademacher": lambda r: 1.0,
        "laplace": lambda r: special.factorial(r) / 2 ** (r / 2),
    }
    for name, moment in draws.items():
        assert READOUTS[name].moment(4) == pytest.approx(moment(4))
        assert READOUTS[name].moment(6) == pytest.approx(moment(6))


def test_gauss_moments_are_log_normal():
    """At bias_scale = 1, x = 0: <s^n> = exp(n^2/2 - n), that is 1, e^4, e^12, e^24."""
    origin = np.zeros((1, 1))
    for order, power in ((2, 0), (4, 4), (6, 12), (8, 24)):
        value, error = Gauss().moments(origin, np.zeros((1, order), dtype=int))
        assert value[0] == pytest.approx(np.exp(power), rel=1e-13)
        assert error == 0.0


@pytest.mark.parametrize("d", [1, 3])
def test_gauss_quartic_moment(d):
    """exp[4 sb^2 + (sW^2/2d)(|sum x|^2 - 2 sum x^2)] on four different points."""
    x = np.random.default_rng(d).normal(size=(4, d))
    value, _ = Gauss(0.7, 0.4).moments(x, np.array([[0, 1, 2, 3]]))
    exponent = 4 * 0.4**2 + 0.7**2 / (2 * d) * (np.sum(np.sum(x, axis=0) ** 2) - 2 * np.sum(x**2))
    assert value[0] == pytest.approx(np.exp(exponent), rel=1e-13)


@pytest.mark.parametrize("d", [1, 3])
def test_cosine_quartic_moment(d):
    x = np.random.default_rng(d).normal(size=(4, d))
    value, _ = Cos(1.3).moments(x, np.array([[0, 1, 2, 3]]))
    pairings = [x[0] + x[1] - x[2] - x[3], x[0] + x[2] - x[1] - x[3], x[0] + x[3] - x[1] - x[2]]
    truth = sum(np.exp(-(1.3**2) / (2 * d) * np.sum(q**2)) for q in pairings) / 8
    assert value[0] == pytest.approx(truth, rel=1e-13)


@pytest.mark.parametrize("neuron", [Cos(1.3), Gauss(0.8, 0.5), Erf(1.2, 1.2), ReLU(1.1, 0.0)], ids=ids)
@pytest.mark.parametrize("d", [1, 2])
def test_the_kernels_of_the_table(neuron, d):
    x = np.random.default_rng(d).normal(size=(3, d))
    a, b = sorted_tuples(3, 2).T
    square = np.sum((x[a] - x[b]) ** 2, axis=1)
    sw, sb = neuron.weight_scale, getattr(neuron, "bias_scale", 0.0)
    c = sb**2 + sw**2 * x @ x.T / d
    angle = np.arccos(np.clip(c[a, b] / np.sqrt(c[a, a] * c[b, b]), -1, 1))
    kernel = {
        "Cos": 0.5 * np.exp(-(sw**2) * square / (2 * d)),
        "Gauss": np.exp(-(sw**2) * square / (2 * d)),
        "Erf": 2 / np.pi * np.arcsin(2 * c[a, b] / np.sqrt((1 + 2 * c[a, a]) * (1 + 2 * c[b, b]))),
        "ReLU": np.sqrt(c[a, a] * c[b, b]) / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)),
    }[type(neuron).__name__]
    data = exact(Network(neuron, 9, output_scale=1.7, output_bias=0.3), x, orders=(2,))
    assert np.allclose(data.connected(2), 1.7**2 * kernel + 0.3**2, rtol=1e-7)


@pytest.mark.parametrize("width", [1, 10])
def test_relu_without_bias_is_one_random_number(width):
    """Positive inputs in d = 1: phi(x) = x phi(1), excess kurtosis 15/N."""
    x = np.array([[0.2], [0.7], [1.1]])
    data = exact(Network(ReLU(), width), x)
    assert np.linalg.matrix_rank(data.tensor(2), tol=1e-12) == 1
    scale = np.prod(x[sorted_tuples(3, 4), 0], axis=1)
    assert np.allclose(data.connected(4), scale * data.tensor(4)[1, 1, 1, 1] / 0.7**4, rtol=1e-10)
    assert data.connected(4)[0] / data.connected(2)[0] ** 2 == pytest.approx(15 / width, rel=1e-10)


# ---- enumeration ----------------------------------------------------------------------------------------------------


def enumerated(network, points, order, nodes=60):
    """<phi..phi> by summing over which neuron each field comes from, with neuron moments integrated over a grid.

    The neuron's own formula, its input weight and bias or phase on a product grid: no cumulant, no pairing.
    """
    neuron = network.neuron
    z, p = np.polynomial.hermite_e.hermegauss(nodes)
    w, weight = np.repeat(z, nodes) * neuron.weight_scale, np.repeat(p, nodes)
    x = points[:, 0][:, None]
    if isinstance(neuron, Cos):
        phase = np.tile(2 * np.pi * np.arange(nodes) / nodes, nodes)
        s, density = np.cos(x * w + phase), weight
    else:
        b, density = np.tile(z, nodes) * neuron.bias_scale, weight * np.tile(p, nodes)
        norm = neuron.bias_scale**2 + neuron.weight_scale**2 * x**2
        s = {Gauss: lambda a: np.exp(a - norm), Erf: special.erf, Tanh: np.tanh}[type(neuron)](x * w + b)
    density = density / density.sum()
    law = {0: 1.0, 2: 1.0, 4: READOUTS[network.readout].moment(4), 6: READOUTS[network.readout].moment(6)}
    out = []
    for row in sorted_tuples(len(points), order).tolist():
        total = 0.0
        for owners in product(range(network.width), repeat=order):
            term = 1.0
            for i in range(network.width):
                mine = [a for a, owner in zip(row, owners, strict=True) if owner == i]
                term *= law.get(len(mine), 0.0)
                if term == 0.0:
                    break
                term *= np.prod(s[mine], axis=0) @ density
            total += term
        out.append(total * (network.output_scale / np.sqrt(network.width)) ** order)
    return np.array(out)


@pytest.mark.parametrize("neuron", NEURONS[:4], ids=ids)
@pytest.mark.parametrize("readout", ["rademacher", "laplace"])
def test_fourth_moments_of_two_neurons_by_enumeration(neuron, readout):
    network = Network(neuron, 2, readout=readout, output_scale=0.8)
    points = LINE[:2]
    truth = enumerated(network, points, 4)
    assert np.allclose(exact(network, points).moment(4), truth, rtol=1e-8)


@pytest.mark.parametrize("neuron", [Cos(1.3), Gauss(0.4, 0.3), Erf(0.6, 0.5), Tanh(0.5, 0.6)], ids=ids)
def test_sixth_moments_of_three_neurons_by_enumeration(neuron):
    network = Network(neuron, 3, readout="uniform", output_scale=0.8)
    points = LINE[:1] if isinstance(neuron, Gauss) else LINE[:2]
    assert np.allclose(exact(network, points).moment(6), enumerated(network, points, 6), rtol=1e-8)


def test_planted_fault_enumeration_sees_another_readout():
    points = LINE[:2]
    truth = enumerated(Network(Cos(), 2, readout="uniform"), points, 4)
    assert np.max(np.abs(exact(Network(Cos(), 2), points).moment(4) / truth - 1)) > 0.1


# ---- structure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_powers_of_the_width_are_exact(neuron):
    one, many = (exact(Network(neuron, width), LINE) for width in (1, 37))
    for order in one.orders:
        expected = one.connected(order) * 37.0 ** (1 - order / 2)
        assert np.allclose(many.connected(order), expected, rtol=1e-12, atol=1e-14)
    assert known_orders(Network(neuron, 1)) == one.orders == (2, 4, 6)


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_the_order_of_the_points_does_not_matter(neuron):
    order = np.array([2, 0, 1])
    data, turned = (exact(Network(neuron, 3), x) for x in (LINE, LINE[order]))
    for r in data.orders:
        assert np.allclose(turned.tensor(r), data.tensor(r)[np.ix_(*[order] * r)], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_an_output_bias_changes_the_two_point_function_only(neuron):
    plain, biased = (exact(Network(neuron, 3, output_bias=b), LINE) for b in (0.0, 0.7))
    assert np.allclose(biased.connected(2), plain.connected(2) + 0.49, rtol=1e-14)
    for order in plain.orders[1:]:
        assert np.array_equal(biased.connected(order), plain.connected(order))
        assert not np.allclose(biased.moment(order), plain.moment(order))


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
def test_an_output_scale_is_a_power(neuron):
    plain, scaled = (exact(Network(neuron, 3, output_scale=s), LINE) for s in (1.0, 1.5))
    for order in plain.orders:
        assert np.allclose(scaled.connected(order), 1.5**order * plain.connected(order), rtol=1e-12)


def test_moments_belong_to_their_cumulants():
    data = exact(Network(Gauss(0.8, 0.5), 5, output_bias=0.2), LINE)
    cumulants = {r: data.connected(r) for r in (2, 4, 6)}
    for order in (2, 4, 6):
        assert np.allclose(data.moment(order), moments_from_connected(cumulants, 3, order), rtol=1e-12)


def test_the_cosine_network_is_invariant_under_the_euclidean_group():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(3, 2))
    rotation = np.linalg.qr(draw.normal(size=(2, 2)))[0]
    network = Network(Cos(), 3)
    moved = exact(network, x @ rotation + draw.normal(size=2))
    for order in (2, 4, 6):
        assert np.allclose(moved.connected(order), exact(network, x).connected(order), rtol=1e-12)
    gauss = Network(Gauss(), 3)
    shifted, kept = exact(gauss, x + 0.5), exact(gauss, x)
    assert np.allclose(shifted.connected(2), kept.connected(2), rtol=1e-12)
    assert not np.allclose(shifted.connected(4), kept.connected(4), rtol=1e-2)  # translations hold at N = infinity only


def test_a_gaussian_readout_makes_coincident_kurtosis_positive():
    for neuron in NEURONS:
        data = exact(Network(neuron, 3), LINE)
        assert np.all(np.array([data.tensor(4)[a, a, a, a] for a in range(3)]) > 0)


# ---- one site -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", NEURONS, ids=ids)
@pytest.mark.parametrize("readout", READOUTS)
def test_site_moments_are_the_coincident_moments(neuron, readout):
    network = Network(neuron, 6, readout=readout, output_scale=1.3, output_bias=0.4)
    found, data = network.site_moments(LINE, 6), exact(network, LINE)
    for order in data.orders:
        truth = [data.tensor(order, "moment")[(a,) * order] for a in range(3)]
        assert np.allclose(found[order // 2 - 1], truth, rtol=1e-7)


@pytest.mark.parametrize(
    ("readout", "law"),
    [
        ("gaussian", stats.norm()),
        ("uniform", stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
        ("laplace", stats.laplace(scale=np.sqrt(0.5))),
        ("rademacher", stats.bernoulli(0.5, loc=-0.5)),
    ],
)
def test_one_neuron_at_one_point_is_readout_times_activation(readout, law):
    found = Network(Cos(), 1, readout=readout).site_moments(np.zeros((1, 1)), 12)[:, 0]
    for order in range(2, 13, 2):
        weight = law.expect(lambda w, r=order: w**r) * (2.0**order if readout == "rademacher" else 1.0)
        assert found[order // 2 - 1] == pytest.approx(weight * special.comb(order, order // 2) / 2**order, rel=1e-6)


SITE_DRAWS = 400_000


def site_draws(readout):
    """phi(x)^8 of a cosine network of two neurons, drawn in NumPy."""
    draw = np.random.default_rng(8)
    shape = (SITE_DRAWS, 2)
    weight = {
        "gaussian": draw.standard_normal,
        "uniform": lambda size: draw.uniform(-np.sqrt(3), np.sqrt(3), size),
        "rademacher": lambda size: draw.choice([-1.0, 1.0], size),
        "laplace": lambda size: draw.laplace(0, np.sqrt(0.5), size),
    }[readout](size=shape)
    phi = np.sum(weight * np.cos(draw.uniform(-np.pi, np.pi, shape)), axis=1) / np.sqrt(2)
    return phi


@pytest.mark.parametrize(("readout", "order"), [("uniform", 12), ("rademacher", 12), ("gaussian", 8), ("laplace", 4)])
def test_site_moments_of_high_order_by_simulation(readout, order):
    power = site_draws(readout) ** order
    truth = Network(Cos(), 2, readout=readout).site_moments(np.zeros((1, 1)), order)[-1, 0]
    se = power.std() / np.sqrt(SITE_DRAWS)
    assert se < 0.05 * truth  # the average has converged: it can judge
    agree(power.mean(), truth, se)
    wrong = Network(Cos(), 3, readout=readout).site_moments(np.zeros((1, 1)), order)[-1, 0]
    disagree(power.mean(), wrong, se)


def test_a_wide_network_is_gaussian_at_every_order():
    found = Network(Tanh(), 10**9).site_moments(LINE, 12)
    ratios = found[1:] / found[0] ** np.arange(2, 7)[:, None]
    assert np.allclose(ratios, special.factorial2([3, 5, 7, 9, 11])[:, None], rtol=1e-6)


def test_moments_beyond_floating_point_are_infinite_not_silent():
    far = np.array([[6.0]])
    found = Network(Gauss(), 5).site_moments(far, 12)
    assert np.isfinite(found[0, 0])
    assert not np.isfinite(found[-1, 0])
    with pytest.raises(ValueError, match=r"expected moments of Gauss .* order 6; try"):
        exact(Network(Gauss(), 5), np.array([[10.0]]), orders=(6,))


# ---- refusals -------------------------------------------------------------------------------------------------------


def foreign(points):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    return numpyro.deterministic("phi", w * points[:, 0])


def cubic_neuron(points):
    w = numpyro.sample("weight", dist.Normal(0.0, 1.0).expand([points.shape[1]]).to_event(1))
    return (w @ points.T) ** 3


@pytest.mark.parametrize(
    ("network", "orders", "known"),
    [
        (Network(Erf(), 3), (2, 8), r"Erf \[2, 4, 6\], got 8"),
        (Network(Cos(), 3), (7,), r"Cos \[2, 4, 6\], got 7"),
        (Network(Cos(), 3, shared_scale=StudentScale(5.0)), (6,), r"Cos \[2, 4\], got 6"),
        (Network(Gauss(), 3, shared_length=LogNormalLength(0.1)), (4,), r"Gauss \[2\], got 4"),
        (Network(Cos(), 3), (1, 2), r"Cos \[2, 4, 6\], got 1"),
        (Network(cubic_neuron, 3), (2,), "cubic_neuron none, got 2"),
        (foreign, (2,), "foreign none, got 2"),
    ],
)
def test_unknown_orders_are_refused_with_the_known_ones(network, orders, known):
    with pytest.raises(ValueError, match=f"expected orders with an exact result, for {known}; try measuring"):
        exact(network, LINE, orders=orders)


def test_foreign_models_are_known_to_be_unknown():
    assert known_orders(foreign) == known_orders(Network(cubic_neuron, 3)) == ()
    assert Network(cubic_neuron, 3).site_moments(LINE, 4) is None
    with pytest.raises(ValueError, match=r"expected a neuron that brings `moments`.*got cubic_neuron, which has none"):
        Network(cubic_neuron, 3).kinds[0].moments(LINE, np.array([[0, 0]]))


def test_a_subclass_of_a_known_neuron_is_not_taken_for_it():
    class Twice(Cos):
        def __call__(self, points):
            return 2.0 * super().__call__(points)

    assert known_orders(Network(Twice(), 3)) == ()
