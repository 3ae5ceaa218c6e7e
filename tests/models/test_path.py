"""The path theory: reference numbers, other times by quadrature over the path, and the program that draws it."""

from itertools import product

import jax
import numpy as np
import pytest
from scipy import special

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

TIMES = np.array([[0.9], [0.0], [0.2], [2.1]])  # in no order
NO_BIAS = m.Erf(bias_scale=0.0)


@pytest.mark.parametrize(("width", "connected"), [(10, 0.0839749516), (10**12, 0.0453558390)])
def test_reference_numbers(width, connected):
    field = m.Path(m.Network(m.Cos(), width))
    data = m.exact(field, np.array([[0.0], [1.0]]), orders=(2, 4))
    assert abs(data.connected(2)[1] - 0.332283417102) < 1e-12
    assert abs(data.connected(4)[2] - connected) < 1e-10
    rho = [0.288675134595, 0.096225044865, 0.048112522432, 0.026729179129]
    np.testing.assert_allclose(field.spectrum(4).weights, rho, rtol=0, atol=1e-12)
    turned = field.spectrum(200).real_time(1.0)
    assert abs(turned - (0.2928926640 - 0.1102211072j)) < 1e-10


def test_reference_numbers_of_erf():
    field = m.Path(m.Network(NO_BIAS, 10))
    rho = [0.0, 0.289253693483, 0.0, 0.022557062506, 0.0, 0.006061535311]
    np.testing.assert_allclose(field.spectrum(6).weights, rho, rtol=0, atol=1e-12)
    assert abs(m.exact(field, np.array([[0.0], [1.0]]), orders=(2,)).connected(2)[1] - 0.107576699761) < 1e-12


def on_a_grid(kernel, four, width, fourth, variance, rate, rule, places=(0, 1, 2, 3)):
    """G4c of four of TIMES by a product rule over the positions of the path, given the averages at fixed positions."""
    seen = sorted(set(places))
    t = TIMES[seen, 0]
    root = np.linalg.cholesky(variance * np.exp(-rate * np.abs(t - t[:, None])))
    z, w = rule
    grids = np.meshgrid(*[np.arange(len(z))] * len(seen), indexing="ij")
    x = (root @ np.stack([z[g.ravel()] for g in grids]))[[seen.index(a) for a in places]]
    weight = np.prod([(w / w.sum())[g.ravel()] for g in grids], axis=0)
    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    mean = {ab: weight @ kernel(x[ab[0]], x[ab[1]]) for pair in pairs for ab in pair}
    both = sum(weight @ (kernel(x[a], x[b]) * kernel(x[c], x[d])) for (a, b), (c, d) in pairs)
    gaussian = sum(mean[one] * mean[other] for one, other in pairs)
    return (fourth * (weight @ four(x)) + (width - 1) * both) / width - gaussian


def cos_kernel(x, y):
    return 0.5 * np.exp(-0.5 * (x - y) ** 2)


def cos_four(x):
    return sum(np.exp(-0.5 * (s @ x) ** 2) for s in ([1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1])) / 8.0


def erf_kernel(x, y):
    return 2.0 / np.pi * np.arcsin(2.0 * x * y / np.sqrt((1.0 + 2.0 * x**2) * (1.0 + 2.0 * y**2)))


def erf_four(x):
    u = np.linspace(-8.0, 8.0, 129)
    w = np.exp(-0.5 * u**2)
    return sum(v * np.prod(special.erf(y * x), axis=0) for y, v in zip(u, w / w.sum(), strict=True))


@pytest.mark.parametrize("readout", ["gaussian", "rademacher"])
def test_other_times_by_quadrature(readout):
    net = m.Network(m.Cos(), 3, readout)
    data = m.exact(m.Path(net, variance=0.5, rate=1.7), TIMES, orders=(2, 4))
    place = [tuple(row) for row in data.tuples(4).tolist()].index((0, 1, 2, 3))
    expected = on_a_grid(
        cos_kernel, cos_four, 3, net.readout_law.moment(4), 0.5, 1.7, np.polynomial.hermite_e.hermegauss(28)
    )
    assert abs(data.connected(4)[place] - expected) < 1e-9


def test_other_times_of_erf_by_quadrature():
    data = m.exact(m.Path(m.Network(NO_BIAS, 3), variance=0.3), TIMES)
    place = [tuple(row) for row in data.tuples(4).tolist()].index((0, 3, 3, 3))
    z = np.arange(-30, 31) * 0.25  # equal steps: an erf has poles too near for Gauss points
    expected = on_a_grid(erf_kernel, erf_four, 3, 3.0, 0.3, 1.0, (z, np.exp(-0.5 * z**2)), (0, 3, 3, 3))
    assert abs(data.connected(4)[place] - expected) < 1e-9


@pytest.mark.parametrize("neuron", [m.Cos(1.4), m.Erf(1.2, 0.7), m.Erf(3.0, 4.0)])
def test_the_spectrum_is_the_two_point_function(neuron):
    field = m.Path(m.Network(neuron, 4, output_scale=1.3, output_bias=0.4), variance=0.8, rate=2.0)
    t = np.array([0.3, 0.7, 2.0])
    kernel = m.exact(field, np.concatenate([[0.0], t])[:, None], orders=(2,)).connected(2)[1:4]
    np.testing.assert_allclose(field.spectrum(400).correlator(t), kernel, rtol=1e-12)
    assert np.all(field.spectrum(40).weights >= 0.0)


def test_bias_and_shared_scale():
    plain, tau = m.Network(m.Cos(), 4), m.GammaScale(0.5)
    shared = m.Network(m.Cos(), 4, output_bias=0.7, shared_scale=tau)
    one, other = (m.exact(m.Path(net), TIMES, orders=(2, 4)) for net in (plain, shared))
    np.testing.assert_allclose(other.connected(2), one.connected(2) + 0.49, rtol=1e-13)
    bare = m.exact(m.Path(m.Network(m.Cos(), 4, shared_scale=tau)), TIMES, orders=(2, 4))
    np.testing.assert_allclose(bare.moment(4), 1.5 * one.moment(4), rtol=1e-12)
    np.testing.assert_allclose(other.connected(4), bare.connected(4), rtol=1e-11)


def test_one_time_is_a_plain_network():
    """The phase of a cosine is uniform: at one time nobody sees that the path is shared."""
    net = m.Network(m.Cos(), 5)
    one, other = m.exact(m.Path(net), np.zeros((1, 1))), m.exact(net, np.zeros((1, 1)), orders=(2, 4, 6))
    for r in (2, 4, 6):
        np.testing.assert_allclose(one.connected(r), other.connected(r), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(m.Path(net).site_moments(TIMES, 8)[:, 2], net.site_moments(TIMES[:1], 8)[:, 0])
    erf = m.Path(m.Network(NO_BIAS, 5), 0.7)
    np.testing.assert_allclose(erf.site_moments(TIMES, 4)[:, 0], m.exact(erf, np.zeros((1, 1))).moment(4) * [0, 1]
                               + m.exact(erf, np.zeros((1, 1))).moment(2) * [1, 0], rtol=1e-9)  # fmt: skip


def test_orders_reflect_positively():
    """M = <Theta F_a F_b> of F = 1, phi(s) phi(t): no negative eigenvalue, where the plain network has one."""
    times = np.array([0.2, 0.5, 1.0])
    t = np.concatenate([-times, times])[:, None]
    pairs = list(product(range(3), repeat=2))
    lowest = []
    for field in (m.Path(m.Network(m.Cos(), 50)), m.Network(m.Cos(), 50)):
        data = m.exact(field, t, orders=(2, 4))
        rows = [tuple(row) for row in data.tuples(4).tolist()]
        four = np.array([[data.moment(4)[rows.index(tuple(sorted((a, b, c + 3, d + 3))))] for c, d in pairs]
                         for a, b in pairs])  # fmt: skip
        second = [tuple(row) for row in data.tuples(2).tolist()]
        one = np.array([data.moment(2)[second.index(tuple(sorted((c + 3, d + 3))))] for c, d in pairs])
        matrix = np.block([[np.ones((1, 1)), one[None]], [one[:, None], four]])
        lowest.append(np.linalg.eigvalsh(matrix)[0])
    assert lowest[0] > -1e-12
    assert lowest[1] < -1e-2


def test_drawn_is_exact():
    """Networks of the program at three times, out of order, against the exact numbers; the fault: another rate."""
    field = m.Path(m.Network(m.Cos(), 2), rate=1.5)
    source = inf.Ensemble(field, points=TIMES[:3], n=40_000, key=jax.random.key(3))
    data, exact = inf.measure(source, orders=(2, 4)), m.exact(field, TIMES[:3], orders=(2, 4))
    for r in (2, 4):
        agree(data.connected(r), exact.connected(r), data.error(r))
    wrong = m.exact(m.Path(m.Network(m.Cos(), 2), rate=1.0), TIMES[:3], orders=(2,))
    disagree(data.connected(2), wrong.connected(2), data.error(2) + 1e-9)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: m.Path(m.Cos()), r"expected a network, got Cos.* try m.Path"),
        (lambda: m.Path(m.Network(m.Cos(), 3), rate=0.0), "rate to be a finite number > 0"),
        (lambda: m.Path(m.Network(m.Cos(), 3), variance=-1.0), "variance to be a finite number > 0"),
        (lambda: m.exact(m.Path(m.Network(m.Cos(), 3)), np.eye(2)), r"expected times \(time, 1\)"),
        (lambda: m.exact(m.Path(m.Network(m.Tanh(), 3)), TIMES), "try measuring it"),
        (lambda: m.exact(m.Path(m.Network(NO_BIAS, 3)), TIMES, orders=(6,)), r"\[2, 4\], got 6"),
        (lambda: m.Path(m.Network(m.Tanh(), 3)).spectrum(), "expected a neuron that brings `path_levels`.*Tanh"),
        (lambda: m.Path(m.Network((m.Cos(), NO_BIAS), 4)).spectrum(), "one kind of neurons along the path"),
        (lambda: m.Path(m.Network(m.Cos(), 3)).spectrum(0), "a whole number from 1 on, got 0"),
        (lambda: m.Spectrum(np.array([1.0]), np.array([-0.1])), "not negative.* got weight -0.1"),
    ],
)
def test_what_is_no_path_is_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()
