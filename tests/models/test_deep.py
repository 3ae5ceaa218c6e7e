"""Networks of several layers: kernels, first order in 1/n, and where both are exact, against numbers by other hands.

Reference numbers were made by scripts of their own (2-D quadrature, Price's theorem written out, Monte Carlo at n = 16
with the readout integrated), without this package.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpy.polynomial import chebyshev

from nnft import models as m
from nnft.models.combinatorics import sorted_tuples
from nnft.models.deep.network import _mean_powers

X = np.array([[-1.0], [-0.2], [0.6], [1.4]])
PAIRS = ((0, 0), (0, 1), (0, 3), (3, 3))
QUADS = ((0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 2, 3), (3, 3, 3, 3), (0, 1, 1, 2))
NETS = {  # a first layer with sb = .5, and those above it with C_w = 1.5, C_b = .1
    "erf": (m.Erf(1.0, 0.5), m.Erf(1.5**0.5, 0.1**0.5)),
    "tanh": (m.Tanh(1.0, 0.5), m.Tanh(1.5**0.5, 0.1**0.5)),
    "relu": (m.ReLU(1.0, 0.5), m.ReLU(2.0**0.5, 0.0)),
    "cos": (m.Cos(), m.Cos()),
}
KERNELS = {
    ("erf", 1): (0.5064965711, 0.2500244606, -0.3541707163, 0.6070738682),
    ("erf", 2): (0.4357647820, 0.2731436123, -0.1945777953, 0.4665616944),
    ("erf", 3): (0.4105920784, 0.2891607864, -0.0960496032, 0.4219609539),
    ("erf", 4): (0.4007815106, 0.2995844465, -0.0229214658, 0.4052728305),
    ("tanh", 1): (0.4350251890, 0.2096278338, -0.3137360024, 0.5375230583),
    ("tanh", 2): (0.3432356537, 0.2129913390, -0.1534074176, 0.3764645285),
    ("tanh", 3): (0.3081211421, 0.2206649036, -0.0611844272, 0.3215175922),
    ("relu", 2): (0.625, 0.2456623658, 0.2865587738, 1.105),
    ("relu", 3): (0.625, 0.2528578558, 0.4236951503, 1.105),
    ("cos", 2): (0.5, 0.4360176032, 0.3118977719, 0.5),
    ("cos", 3): (0.5, 0.4690107558, 0.4142650019, 0.5),
    ("cos", 4): (0.5, 0.4847430003, 0.4589187138, 0.5),
}
FIRST = {  # n dG2 and n G4c
    ("erf", 2): ((-0.037724, -0.028885, 0.028399, -0.029793), (0.388142, 0.363071, 0.239545, 0.395216, 0.052761)),
    ("erf", 3): ((-0.062145, -0.044846, 0.055648, -0.054801), (0.385044, 0.437076, 0.330745, 0.387560, 0.083715)),
    ("tanh", 2): ((-0.031921, -0.022733, 0.028595, -0.027254), (0.293807, 0.233801, 0.144426, 0.312188, 0.043240)),
    ("tanh", 3): ((-0.052716, -0.040190, 0.053168, -0.048168), (0.275894, 0.262108, 0.185638, 0.284097, 0.078464)),
}
MEASURED = {  # G2 and G4c of 4e5 to 6e5 networks of n = 16: errors 1.5e-4 in G2, 5e-5 in G4c
    ("erf", 2): ((0.433288, 0.271288, -0.192771, 0.464681), (0.024259, 0.022599, 0.014617, 0.024605, 0.003147)),
    ("erf", 3): ((0.406703, 0.286366, -0.092386, 0.418516), (0.024011, 0.026873, 0.019966, 0.024049, 0.004931)),
    ("erf", 4): ((0.395788, 0.296801, -0.017276, 0.400690), (0.023858, 0.029422, 0.023995, 0.023902, 0.006872)),
    ("tanh", 3): ((0.304842, 0.218199, -0.057807, 0.318532), (0.017121, 0.016112, 0.011282, 0.017557, 0.004647)),
    ("cos", 2): (None, (0.023460, 0.022405, 0.017708, 0.023391, 0.018014)),
}


def net(kind, depth, width=16, **options):
    first, later = NETS[kind]
    return m.Deep((first, *[later] * (depth - 1)), (width,) * depth, **options)


def rows(order, asked):
    known = sorted_tuples(len(X), order).tolist()
    return [known.index(list(each)) for each in asked]


def values(data, order):
    return data.connected(order)[rows(order, PAIRS if order == 2 else QUADS)]


@pytest.mark.parametrize(("kind", "depth"), KERNELS)
def test_infinite_width(kind, depth):
    kernel = m.kernels(net(kind, depth), X)[-1]
    found = [kernel[pair] for pair in PAIRS]
    assert found == pytest.approx(KERNELS[kind, depth], abs=1e-10 if kind != "tanh" else 1e-8)


@pytest.mark.parametrize(("kind", "depth"), FIRST)
def test_first_order(kind, depth):
    data = m.first_order(net(kind, depth), X)
    shift, four = FIRST[kind, depth]
    limit = data.about["infinite"][rows(2, PAIRS)]
    assert (16 * (values(data, 2) - limit)).tolist() == pytest.approx(shift, abs=1e-6)
    assert (16 * values(data, 4)).tolist() == pytest.approx(four, abs=1e-6)


@pytest.mark.parametrize(("kind", "depth"), MEASURED)
def test_what_is_left_is_within_the_truncation(kind, depth):
    data, (two, four) = m.first_order(net(kind, depth), X), MEASURED[kind, depth]
    band = data.about["truncation"]
    assert np.all(np.abs(values(data, 4) - four) < band[4] + 5 * 5e-5)
    assert band[4] < 0.15 * np.max(data.connected(4))  # and it says something
    if two is not None:
        assert np.all(np.abs(values(data, 2) - two) < band[2] + 5 * 1.5e-4)


def test_without_the_first_order_the_numbers_are_outside():
    data = m.first_order(net("erf", 4), X)
    wrong = np.abs(data.about["infinite"][rows(2, PAIRS)] - MEASURED["erf", 4][0])
    assert np.any(wrong > data.about["truncation"][2] + 5 * 1.5e-4)
    flat = m.first_order(m.Deep((m.Erf(1.0, 0.5),), (16,)), X)  # G4c of one layer in place of four
    assert np.any(np.abs(values(flat, 4) - MEASURED["erf", 4][1]) > data.about["truncation"][4] + 5 * 5e-5)


def one_point(neurons, width, x):
    """G2 and G4c at one point of two layers: polynomials in S_1, whose moments are exact."""
    first, second = neurons
    top, reach = 24, 1.0  # |s| < 1
    nodes = 0.5 * reach * (1.0 + chebyshev.chebpts1(top + 1))
    inputs = np.sqrt(nodes)[:, None]  # a point of |x|^2/d = S
    f2, f4 = (second.site_moment(inputs, r) for r in (2, 4))
    squares = np.array([first.site_moment(np.array([[x]]), 2 * r) for r in range(1, top + 1)])
    power = np.concatenate([[1.0], _mean_powers(squares, width).ravel()])

    def mean(f):
        series = chebyshev.Chebyshev.fit(nodes, f, top, domain=[0.0, reach])
        return float(series.convert(kind=np.polynomial.Polynomial).coef @ power)

    two, square, own = mean(f2), mean(f2**2), mean(f4 - f2**2)
    return two, 3.0 * (square + own / width - two**2)


@pytest.mark.parametrize(
    ("kind", "x", "two", "four"),
    [
        ("erf", -1.0, 0.43334686, 0.02422535),
        ("erf", 1.4, 0.46464431, 0.02468924),
        ("tanh", -1.0, 0.34120513, 0.01830553),
    ],
)
def test_one_point_of_two_layers_exactly(kind, x, two, four):
    found = one_point(NETS[kind], 16, x)
    assert found == pytest.approx((two, four), abs=2e-8)
    data = m.first_order(net(kind, 2), np.array([[x]]))
    assert abs(data.connected(2)[0] - two) < data.about["truncation"][2]
    assert abs(data.connected(4)[0] - four) < data.about["truncation"][4]


def test_the_error_of_first_order_falls_like_the_square_of_the_width():
    off = []
    for width in (8, 32):
        data = m.first_order(net("erf", 2, width), X[:1])
        off.append(np.array([data.connected(r)[0] for r in (2, 4)]) - one_point(NETS["erf"], width, -1.0))
    assert off[0] / off[1] == pytest.approx([16.0, 16.0], rel=0.2)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_plane_waves_keep_their_one_point_law(depth):
    network = m.Deep.of(m.Cos(), depth, 5)
    four = m.first_order(m.Deep.of(m.Cos(), depth, 160), X[:1]).connected(4)
    assert four.tolist() == pytest.approx([3 / 8 / 160], abs=1e-14)
    shallow = m.Network(m.Cos(), 5)
    exact = np.broadcast_to(shallow.site_moments(X, 8), (4, len(X)))
    assert network.knows_sites
    assert np.broadcast_to(network.site_moments(X, 8), (4, len(X))).ravel().tolist() == pytest.approx(
        exact.ravel().tolist(), rel=1e-12
    )


def test_relu_products():
    widths = (7, 8, 9)
    network = m.Deep((m.ReLU(1.0, 0.0), *[m.ReLU(2.0**0.5, 0.0)] * 2), widths)
    two, four = network.site_moments(X, 4)
    assert (four / (3.0 * two**2)).tolist() == pytest.approx([np.prod(1.0 + 5.0 / np.array(widths))] * 4, rel=1e-12)
    wide = m.first_order(m.Deep(network.layers, (7000, 8000, 9000)), X)
    diagonal = [(a,) * 4 for a in range(4)]
    g2, g4 = wide.connected(2)[rows(2, [(a, a) for a in range(4)])], wide.connected(4)[rows(4, diagonal)]
    assert (g4 / (3.0 * g2**2)).tolist() == pytest.approx([5.0 * sum(1.0 / np.array([7e3, 8e3, 9e3]))] * 4, rel=1e-9)


def test_a_linear_network():
    widths = (60, 110)
    linear = m.Activation(lambda z: z, weight_scale=1.0, bias_scale=0.0)
    data = m.first_order(m.Deep((linear, linear), widths), X[:1])
    assert data.connected(4) / (3.0 * data.connected(2) ** 2) == pytest.approx(2 / 60 + 2 / 110, rel=1e-9)


def test_one_layer_is_the_network():
    deep, flat = m.Deep.of(m.Erf(), 1, 10, readout="uniform"), m.Network(m.Erf(), 10, readout="uniform")
    for data in (m.exact(deep, X, orders=(2, 4)), m.first_order(deep, X)):
        for order in (2, 4):
            exact = m.exact(flat, X, orders=(2, 4)).connected(order)
            assert data.connected(order).tolist() == pytest.approx(exact.tolist(), abs=1e-14)
    assert m.first_order(deep, X).about["rule"] == "exact"


def test_scales_and_readouts():
    plain, scaled = m.first_order(net("erf", 2), X), m.first_order(net("erf", 2, output_scale=3.0, output_bias=0.5), X)
    assert scaled.connected(2) == pytest.approx(9.0 * plain.connected(2) + 0.25, rel=1e-12)
    assert scaled.connected(4) == pytest.approx(81.0 * plain.connected(4), rel=1e-12)
    signs = m.first_order(net("cos", 3, readout="rademacher"), X[:1]).connected(4)  # 3/8 (mu4 - 1) .. at one point
    assert signs.tolist() == pytest.approx([(3 / 8 - 3 / 4) / 16], rel=1e-12)


@pytest.mark.parametrize(
    "neuron", [m.Erf(1.2, 0.4), m.Tanh(1.2, 0.4), m.GELU(), m.ReLU(1.1, 0.3), m.Cos(0.7), m.Gauss(0.6, 0.2)]
)
def test_a_response_is_the_change_of_the_kernel(neuron):
    """Central differences of <s s> itself, whose error is about 1e-8."""
    gram = np.array([[0.9, 0.35], [0.35, 0.6]])

    def kernel(q):
        spectrum, axes = np.linalg.eigh(np.array([[q[0], q[1]], [q[1], q[2]]]))
        return neuron.moments(axes * np.sqrt(2.0 * spectrum), np.array([[0, 1]]))[0][0]

    q, h, found = np.array([0.9, 0.35, 0.6]), 1e-4, neuron.response(np.array([[0.9, 0.35, 0.6]]))
    assert gram[0, 1] == q[1]
    step = h * np.eye(3)
    slope = [(kernel(q + s) - kernel(q - s)) / (2 * h) for s in step]
    assert found.slope[0].tolist() == pytest.approx(slope, abs=1e-6)
    h = 1e-2
    step = h * np.eye(3)
    for i in range(3):
        change = (neuron.response((q + step[i])[None]).slope - neuron.response((q - step[i])[None]).slope) / (2 * h)
        assert found.curvature[0][i].tolist() == pytest.approx(change[0].tolist(), rel=2e-3, abs=2e-4)


def test_points_that_nearly_agree_and_mirror_images():
    twice = np.concatenate([X[:2], X[:1] + 1e-7])
    data = m.first_order(net("erf", 2), twice)
    known = {tuple(t): v for t, v in zip(sorted_tuples(3, 4).tolist(), data.connected(4).tolist(), strict=True)}
    assert known[0, 0, 0, 2] == pytest.approx(known[0, 0, 0, 0], rel=1e-6)
    assert known[0, 1, 1, 2] == pytest.approx(known[0, 0, 1, 1], rel=1e-6)
    odd = m.Deep((m.Erf(1.0, 0.0), m.Erf(1.0, 0.0)), (16, 16))
    mirrored = m.first_order(odd, np.array([[-0.7], [0.7]]))
    assert mirrored.connected(2).tolist() == pytest.approx((mirrored.connected(2)[0] * np.array([1, -1, 1])).tolist())


def test_a_program_draws_what_it_says():
    network = net("relu", 3, 8, output_bias=0.2)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(network, jax.random.key(3))).get_trace(jnp.asarray(X))
    sites = {name: site["value"].shape for name, site in trace.items() if site["type"] == "sample"}
    assert sites == {
        "layer1/weight": (8, 1),
        "layer1/bias": (8,),
        "layer2/weight": (8, 8),
        "layer3/weight": (8, 8),
        "readout": (8,),
        "output_bias": (),
    }
    value = {name: site["value"] for name, site in trace.items()}
    h = jnp.maximum(value["layer1/weight"] @ X.T + value["layer1/bias"][:, None], 0.0)
    for layer in ("layer2/weight", "layer3/weight"):
        h = jnp.maximum(value[layer] @ h, 0.0)
    phi = value["readout"] @ h / 8**0.5 + value["output_bias"]
    assert value["phi"].tolist() == pytest.approx(phi.tolist(), rel=1e-5, abs=1e-6)


def test_eight_points():
    points = np.linspace(-1.4, 1.4, 8)[:, None]
    data = m.first_order(net("erf", 3, 50), points)
    assert len(data.connected(4)) == 330
    assert data.about["truncation"][4] < 0.1 * np.max(data.connected(4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: m.Deep((), ()), "1 to 64 hidden layers"),
        (lambda: m.Deep.of(m.Erf(), 65, 10), "a depth of 1 to 64"),
        (lambda: m.Deep.of(m.Erf(), 0, 10), "a depth of 1 to 64"),
        (lambda: m.Deep(m.Erf(), (10,)), "m.Deep.of"),
        (lambda: m.Deep((m.Erf, m.Erf()), (10, 10)), "the class Erf itself"),
        (lambda: m.Deep((m.Erf(), m.Erf()), (10,)), "widths"),
        (lambda: m.Deep((m.Erf(), m.Erf()), (10, 0)), "widths to be integers >= 1"),
        (lambda: m.Deep.of(m.Erf(), 2, 10, readout="gauss"), "readout"),
        (lambda: m.exact(m.Deep.of(m.Erf(), 2, 10), X), "m.first_order"),
        (lambda: m.first_order(m.Network(m.Erf(), 10), X), "m.exact"),
        (lambda: m.first_order(m.Deep.of(m.ReLU(2.0**0.5), 6, 10), X), "relative variance"),
        (lambda: m.first_order(m.Deep.of(m.Activation(jnp.abs), 2, 90), X), "four derivatives"),
        (lambda: m.first_order(m.Deep((m.Erf(), m.Hidden), (9, 9)), X), "the class Hidden itself"),
        (lambda: m.first_order(net("erf", 2), np.arange(99.0)[:, None]), "at most 2500 pairs"),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
