"""Odd orders and several fields in W[J], Edgeworth's density, effective couplings and predictions, against exact ones.

The ReLU network whose readout has a mean, at one point, is exactly known: the law of its field is a Fourier integral of
[E exp(i t w s)]^N, with an output bias so that it is smooth.
"""

import jax
import numpy as np
import pytest
from scipy import special

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree

ONE, TWO = np.ones((1, 1)), np.array([[0.0], [0.7]])
MEAN, BIAS, SPREAD = 0.3, 0.2, 1.25  # of the readout; of the output; <z^2> of the pre-activation
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


def relu(width):
    return m.Multiplet.of(m.ReLU(bias_scale=0.5), width, m.Normals((MEAN,)), output_bias=BIAS)


class Unknown(m.AbstractWeights):
    """A law that draws and knows its moments, and no more."""

    outputs = 2

    def draw(self):
        return m.Copies(2).draw()

    def moment(self, outputs):
        return m.Copies(2).moment(outputs)


def average(exponent, t):
    """E exp(exponent(t, s)) over one neuron, s = max(z, 0) with z ~ N(0, 5/4)."""
    s = 4.0 * np.sqrt(SPREAD) * (NODES + 1.0)
    weight = 4.0 * np.sqrt(SPREAD) * WEIGHTS * np.exp(-(s**2) / (2 * SPREAD)) / np.sqrt(2 * np.pi * SPREAD)
    return 0.5 + np.exp(exponent(np.asarray(t)[..., None], s)) @ weight


def derivatives(width, at, top):
    """P, P', .. at a field, by the Fourier integral."""
    t = np.linspace(-9.5, 9.5, 8001) / BIAS
    one = average(lambda t, s: 1j * t * MEAN * s - 0.5 * (t * s) ** 2, t / np.sqrt(width))
    wave = one**width * np.exp(-0.5 * (BIAS * t) ** 2 - 1j * t * at)
    return [float(np.sum((-1j * t) ** k * wave).real) * (t[1] - t[0]) / (2 * np.pi) for k in range(top + 1)]


def taylor(width, at):
    """First to fourth derivative of -log P."""
    p = np.array(derivatives(width, at, 4))
    a, b, c, d = p[1:] / p[0]
    return -np.array([a, b - a**2, c - 3 * b * a + 2 * a**3, d - 4 * c * a - 3 * b**2 + 12 * b * a**2 - 6 * a**4])


def test_couplings_of_a_skewed_field_are_the_taylor_coefficients_of_its_density():
    """Leading order leaves N^(-3/2) of the odd couplings, the next one N^(-5/2): at N = 20, 50, 100 and beyond."""
    widths = np.array([20, 50, 100, 400, 1600])
    off = {}
    for order in ("leading", "next"):
        rows = []
        for width in widths:
            data = m.exact(relu(int(width)), ONE)
            found = m.effective_couplings(data, order=order)
            values = np.array([found.g1[0], found.g2[0, 0], found.g3[0], found.g4[0]])
            rows.append(values - taylor(width, data.connected(1)[0]))
        off[order] = np.abs(np.array(rows))
    assert m.exact(relu(100), ONE).connected(3)[0] * 10 == pytest.approx(0.7649958280, rel=1e-9)
    slopes = {k: -np.log(v[1:] / v[:-1]) / np.log(widths[1:] / widths[:-1])[:, None] for k, v in off.items()}
    np.testing.assert_allclose(slopes["leading"][:2, 2], [1.79, 1.67], atol=0.02)  # of g3, from 20 to 50 and to 100
    np.testing.assert_allclose(slopes["next"][:2, 2], [2.46, 2.54], atol=0.02)
    np.testing.assert_allclose(slopes["leading"][-1, [0, 2]], 1.5, atol=0.05)
    np.testing.assert_allclose(slopes["next"][-1, [0, 2]], 2.5, atol=0.05)
    assert slopes["leading"][-1, 1] > 1.9
    assert np.all(slopes["next"][-1, [1, 3]] > 2.9)
    # The twin: with -G3c/3! of the wrong sign nothing falls but the coupling itself, N^(-1/2).
    wrong = [
        2 * m.exact(relu(w), ONE).connected(3)[0] / m.exact(relu(w), ONE).connected(2)[0] ** 3 for w in (400, 1600)
    ]
    assert wrong[1] / off["leading"][-1, 2] > 50.0
    assert wrong[0] / wrong[1] == pytest.approx(2.0, rel=0.01)


def test_couplings_of_measured_odd_correlators_carry_errors():
    net = m.Multiplet.of(m.ReLU(bias_scale=0.5), 50, m.Normals((MEAN, 0.0)))
    data = inf.measure(inf.Ensemble(net, points=ONE, n=20_000, key=jax.random.key(2)), orders=(1, 2, 3, 4))
    found, truth = (m.effective_couplings(one, order="leading") for one in (data, m.exact(net, ONE)))
    for name in ("mean", "g1", "g3", "g4"):
        agree(getattr(found, name), getattr(truth, name), found.error(name))
    assert abs(found.eps3 - truth.eps3) < 0.1 * truth.eps3
    assert "eps3 = " in str(found)
    assert "1 points of 2 outputs" in str(found)


def test_edgeworth_and_the_sources_know_odd_cumulants():
    widths, z = (100, 400), np.array([[-0.5], [0.3], [1.2]])  # in standard deviations from the mean
    for order, power, orders in ((4, 1.5, (1, 2, 3, 4)), (6, 2.5, (1, 2, 3, 4, 5, 6))):
        off, series, j = [], [], np.array([[0.8]])
        for width in widths:
            data = m.exact(relu(width), ONE)
            fields = data.connected(1) + z * np.sqrt(data.connected(2))
            truth = np.array([derivatives(width, float(x[0]), 0)[0] for x in fields])
            off.append(np.max(np.abs(m.Edgeworth(data, order=order).density(fields) - truth)))
            u = j[0, 0] / np.sqrt(width)
            exact = (
                width * np.log(average(lambda t, s: t * MEAN * s + 0.5 * (t * s) ** 2, u)) + 0.5 * (BIAS * j[0, 0]) ** 2
            )
            series.append(abs(m.cumulant_series(data, j, orders=orders).value[0] - exact))
        for what in (off, series):
            assert np.log(what[0] / what[1]) / np.log(4.0) == pytest.approx(power, abs=0.3), (order, what)
    # The Hermite polynomial of G3c and its square: one site, by hand.
    k3 = 0.2
    data = m.Correlators.from_arrays(ONE, connected={1: [0.0], 2: [1.0], 3: [k3], 4: [0.0]}, even=False)
    y = 1.3
    by_hand = 1 + k3 * (y**3 - 3 * y) / 6 + k3**2 * (y**6 - 15 * y**4 + 45 * y**2 - 15) / 72
    assert m.Edgeworth(data).ratio(np.array([[y]]))[0] == pytest.approx(by_hand, rel=1e-13)


def test_sources_of_every_field():
    """Two outputs of one hidden layer, one point: W = N log[e^b I0(b)], b = (J1^2 + J2^2)/(4 N)."""
    j = np.array([[[0.9, -0.4]], [[0.0, 1.1]]])
    size = np.sum(j**2, axis=(1, 2))
    left = []
    for width in (4, 16):
        net = m.Multiplet.of(m.Cos(), width, m.Copies(2))
        b = size / (4 * width)
        left.append(np.abs(m.cumulant_series(m.exact(net, ONE), j).value - width * (b + np.log(special.iv(0, b)))))
    assert np.all(left[0] / left[1] > 4.0**2.8)  # what is left is order eight, N^(-3)
    net = m.Multiplet.of(m.Cos(), 4, m.Copies(2))
    found = inf.generating(inf.Ensemble(net, points=ONE, n=20_000, key=jax.random.key(0)), j)
    b = size / 16
    agree(found.value, 4 * (b + np.log(special.iv(0, b))), found.error)
    density = m.Edgeworth(m.exact(net, ONE))
    both = np.array([[[0.3, 0.2]], [[-0.2, 0.3]]])  # a rotation of the fields into each other
    assert density.density(both)[0] == pytest.approx(density.density(both.reshape(2, 2))[1], rel=1e-12)
    with pytest.raises(ValueError, match=r"expected sources of shape .* = \(\.\., 2\), got \(2, 1\)"):
        m.cumulant_series(m.exact(net, ONE), j[:, :, 0])


def test_exact_generating_functions_of_several_fields():
    """One output as `Network`; odd ones by another quadrature; two outputs by what the series leaves."""
    j = np.array([[[0.8]], [[-1.1]]])
    for width in (5, 50):
        u = j[:, 0, 0] / np.sqrt(width)
        one = np.log(average(lambda t, s: t * MEAN * s + 0.5 * (t * s) ** 2, u))
        truth = width * one + 0.5 * (BIAS * j[:, 0, 0]) ** 2
        np.testing.assert_allclose(m.exact_generating(relu(width), ONE, j)[0], truth, rtol=1e-9)
        assert abs(truth[0] / truth[1] - (0.8 / 1.1) ** 2) > 0.1  # the twin: an even W of nearly these sources
    flat = np.array([[0.9, -0.5]])
    for kind in (m.Cos(), m.Erf(), m.ReLU(bias_scale=0.5), m.GELU()):
        value, error = m.exact_generating(m.Network(kind, 6), TWO, flat)
        other, slack = m.exact_generating(m.Multiplet.of(kind, 6, m.Copies(1)), TWO, flat)
        assert abs(value[0] - other[0]) < 1e-11 + error + slack
    both = np.array([[[0.9, -0.4], [0.3, 0.5]]])
    for make, orders in (
        (lambda n: m.Multiplet.pair(m.Cos(), n, 0.5), (2, 4, 6)),
        (lambda n: m.Multiplet.of(m.Cos(), n, m.Spherical(2)), (2, 4, 6)),
        (lambda n: m.Multiplet.of(m.Cos(), n, m.Phases(1)), (2, 4, 6)),
        (lambda n: m.Multiplet.of(m.Cos(), n, m.Tied(2)), (2, 4, 6)),
        (lambda n: m.Multiplet.of(m.ReLU(bias_scale=0.5), n, m.Normals((MEAN, 0.0))), (1, 2, 3, 4)),
    ):
        nets = [make(n) for n in (20, 80)]
        off = [
            abs(m.exact_generating(net, TWO, both)[0] - m.cumulant_series(m.exact(net, TWO), both, orders=orders).value)
            for net in nets
        ]
        first_left = max(orders) + (2 if nets[0].even else 1)  # G_c^(r) ~ N^(1 - r/2)
        assert np.log(off[0] / off[1])[0] / np.log(4.0) == pytest.approx(first_left / 2 - 1, abs=0.3)
    with pytest.raises(ValueError, match=r"expected a law .* `log_mean`, .* try m\.Copies"):
        m.exact_generating(m.Multiplet.of(m.Cos(), 20, Unknown()), TWO, both)
    for net in (m.Multiplet.of(m.ReLU(), 1, m.Normals((0.3, 0.0))), m.Multiplet.of(m.Cos(), 1, m.Copies(2, "laplace"))):
        with pytest.raises(ValueError, match=r"expected sources whose Z\[J\] is shown to be finite"):
            m.exact_generating(net, TWO + 0.1, 9 * both)


@pytest.mark.parametrize("kind", ["O(2)", "two networks"])
def test_predicted_four_point_functions_of_several_fields_are_exact_to_leading_order(kind):
    off, left = [], []
    for width in (20, 200, 2000):
        net = m.Multiplet.of(m.Cos(), width, m.Copies(2)) if kind == "O(2)" else m.Multiplet.pair(m.Cos(), width, 0.5)
        data = m.exact(net, TWO)
        found = m.effective_couplings(data, order="leading")
        given = {"quartic": found.quartic, "outputs": 2, "orders": (4,)}
        free = m.predicted(TWO, quadratic=found.quadratic, **given)
        full = m.predicted(TWO, two_point=data.tensor(2), **given)
        off.append([np.max(np.abs((data - one).connected(4))) for one in (free, full)])
        other = m.predicted(TWO, two_point=data.tensor(2), **given | {"quartic": -found.quartic})
        left.append(np.max(np.abs((data - other).connected(4))))
        assert free.outputs == 2
    slopes = -np.log10(np.array(off)[1:] / np.array(off)[:-1])
    assert np.all(slopes[-1] > 1.9)
    np.testing.assert_allclose(slopes[:, 1], 2.0, atol=1e-6)  # on full lines one loop is all that is left
    assert -np.log10(left[-1] / left[-2]) == pytest.approx(1.0, abs=0.05)  # the twin: couplings of the other sign


def test_fields_of_several_outputs_are_one_field_at_their_places():
    net = m.Multiplet.of(m.Cos(), 50, m.Copies(2))
    several = m.effective_couplings(m.exact(net, TWO))
    one = m.effective_couplings(m.exact(m.Placed(net, 2), m.at_places(TWO, 2)))
    assert (several.outputs, one.outputs) == (2, 1)
    for name in ("g2", "g4", "g6", "gamma4"):
        np.testing.assert_allclose(getattr(several, name), getattr(one, name), rtol=1e-10, atol=1e-14)
    assert several.g3 is None


def test_predictions_with_odd_couplings_are_exact_to_leading_order():
    off, bare = [], []
    for width in (200, 2000, 20_000):
        data = m.exact(relu(width), ONE)
        found = m.effective_couplings(data, order="leading")
        given = {"quartic": found.quartic, "quadratic": found.quadratic, "mean": found.mean, "orders": (1, 2, 3, 4)}
        made = m.predicted(ONE, cubic=found.cubic, linear=found.g1, **given)
        off.append([abs((data - made).connected(r)[0]) for r in (1, 2, 3, 4)])
        bare.append(abs((data - m.predicted(ONE, **given)).connected(4)[0]))
    slopes = -np.log10(np.array(off)[1:] / np.array(off)[:-1])[-1]
    np.testing.assert_allclose(slopes, [1.5, 2.0, 1.5, 2.0], atol=0.15)
    assert -np.log10(bare[-1] / bare[-2]) == pytest.approx(1.0, abs=0.05)  # without the cubic coupling: order 1/N
    full = m.predicted(
        ONE, quartic=found.quartic, cubic=found.cubic, two_point=data.tensor(2), mean=found.mean, orders=(1, 3)
    )
    assert full.connected(1)[0] == found.mean[0]
    assert full.connected(3)[0] == pytest.approx(data.connected(3)[0], rel=1e-3)


def test_refusals():
    data = m.exact(relu(100), ONE)
    found = m.effective_couplings(data)
    quartic = {"quartic": found.quartic}
    with pytest.raises(ValueError, match=r"expected linear= beside quadratic=, .* try mean="):
        m.predicted(ONE, linear=found.g1, two_point=data.tensor(2), **quartic)
    with pytest.raises(ValueError, match="expected one mean for each of 1 places"):
        m.predicted(ONE, mean=np.zeros(2), two_point=data.tensor(2), **quartic)
    with pytest.raises(ValueError, match="expected orders among 2, 4, 6, got"):
        m.predicted(ONE, two_point=data.tensor(2), orders=(3,), **quartic)
    with pytest.raises(ValueError, match="stationary near its origin"):
        m.predicted(
            ONE, quartic=np.array([0.0]), cubic=np.array([1.0]), linear=np.array([5.0]), quadratic=np.array([0.5])
        )
    pair = m.exact(m.Multiplet.of(m.Cos(), 20, m.Copies(2)), ONE)
    with pytest.raises(ValueError, match="expected both correlators of as many outputs, got 2 and 1"):
        _ = pair - m.exact(m.Network(m.Cos(), 20), ONE)
    with pytest.raises(ValueError, match="expected one coefficient per sorted quad, 5 at 2 points"):
        m.predicted(ONE, quartic=np.zeros(1), two_point=pair.tensor(2), outputs=2)
