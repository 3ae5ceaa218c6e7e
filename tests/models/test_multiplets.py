"""Fields that share neurons: exact correlators of every law of readout vectors, against closed forms by other hands.

Numbers with twelve digits were made by scripts of their own, without this package, and checked by Monte Carlo.
"""

from itertools import combinations_with_replacement

import jax
import numpy as np
import numpyro
import pytest

from nnft import models as m

X = np.array([[0.0], [0.5], [1.2], [2.0]])
NEAR = {"abs": 1e-10, "rel": 1e-10}
SSSS, K1234, K1324, K1423 = 0.176459531237, 0.160206069008, 0.039506330222, 0.026481885093


def at(data, order, *places):
    """G_c at (point, output) pairs."""
    tuples = np.sort([point * data.outputs + output for point, output in places])
    row = np.flatnonzero(np.all(data.tuples(order) == tuples, axis=1))
    return data.connected(order)[row[0]]


def of(weights, width=7):
    return width, m.exact(m.Multiplet.of(m.Cos(), width, weights), X, orders=(2, 4))


def quads(data, *outputs):
    return at(data, 4, *enumerate(outputs))


def complex_quad(data, fields=(0, 0, 0, 0)):
    """<f1 f2 f3* f4*>_c of complex fields, from the real and imaginary parts."""
    total = 0.0
    for parts in np.ndindex(2, 2, 2, 2):
        sign = np.prod([1j if part else 1.0 for part in parts[:2]]) * np.prod([-1j if p else 1.0 for p in parts[2:]])
        total += sign * quads(data, *(2 * field + part for field, part in zip(fields, parts, strict=True)))
    assert abs(total.imag) < 1e-14
    return total.real


def test_outputs_of_one_hidden_layer():
    n, data = of(m.Copies(2))
    assert n * quads(data, 0, 0, 0, 0) == pytest.approx(0.303184309388, **NEAR)
    assert n * quads(data, 0, 0, 1, 1) == pytest.approx(0.016253462229, **NEAR)
    assert n * quads(data, 0, 0, 0, 1) == 0.0
    assert at(data, 2, (0, 0), (1, 1)) == 0.0
    for word, value in {"uniform": 0.091432871903, "rademacher": -0.049734753087}.items():
        n, data = of(m.Copies(2, word))
        assert n * quads(data, 0, 0, 0, 0) == pytest.approx(value, **NEAR)
        assert n * quads(data, 0, 0, 1, 1) == pytest.approx(0.016253462229, **NEAR)


def test_a_vector_on_the_sphere():
    n, data = of(m.Spherical(2))
    assert n * quads(data, 0, 0, 1, 1) == pytest.approx(-0.071976303389, **NEAR)
    assert n * quads(data, 0, 0, 0, 0) == pytest.approx(0.038495012532, **NEAR)


def test_two_networks_that_share_neurons():
    data = m.exact(m.Multiplet.pair(m.Cos(), 8, 0.25), X, orders=(2, 4))
    assert 8 * quads(data, 0, 0, 1, 1) == pytest.approx(0.004063365557, **NEAR)
    assert 8 * quads(data, 1, 1, 1, 1) == pytest.approx(0.303184309388, **NEAR)
    assert at(data, 2, (0, 0), (1, 1)) == 0.0
    whole = m.exact(m.Multiplet.pair(m.Cos(), 8, 0.25, readouts=True), X, orders=(2, 4))
    alone = m.exact(m.Network(m.Cos(), 8), X, orders=(2, 4))
    assert at(whole, 2, (0, 0), (2, 1)) == pytest.approx(0.25 * at(alone, 2, (0, 0), (2, 0)), **NEAR)
    assert 8 * quads(whole, 0, 1, 0, 1) == pytest.approx(0.25 * (3 * SSSS - K1234 - K1324 - K1423), **NEAR)
    one = m.exact(m.Multiplet.pair(m.Cos(), 8, 1.0), X, orders=(2, 4))
    np.testing.assert_allclose(one.connected(4), of(m.Copies(2), 8)[1].connected(4), atol=1e-15)


def test_complex_fields():
    n, data = of(m.circular(1))
    assert n * complex_quad(data) == pytest.approx(0.286930847159, **NEAR)
    n, data = of(m.Phases(1))
    assert n * complex_quad(data) == pytest.approx(0.110471315921, **NEAR)
    n, data = of(m.circular(2))
    assert n * complex_quad(data, (0, 1, 0, 1)) == pytest.approx(0.136953201015, **NEAR)
    n, data = of(m.complex_sphere(2))
    assert n * complex_quad(data, (0, 1, 0, 1)) == pytest.approx(0.078133357269, **NEAR)
    assert n * complex_quad(data) == pytest.approx(0.169291159667, **NEAR)


@pytest.mark.parametrize(
    ("mean", "first", "second", "third", "fourth"),
    [
        (0.1, 0.0446031029, 0.6292605632, 0.2513486933, 5.9318438767),
        (0.3, 0.1338093087, 0.6633450689, 0.7649958280, 6.5147416090),
        (0.0, 0.0, 0.625, 0.0, 5.859375),
    ],
)
def test_a_readout_with_a_mean_breaks_the_sign(mean, first, second, third, fourth):
    net = m.Multiplet.of(m.ReLU(1.0, 0.5), 50, m.Normals((mean, 0.0)))
    assert net.even == (mean == 0.0)
    data = m.exact(net, np.ones((1, 1)), orders=(2, 4) if net.even else (1, 2, 3, 4))
    near = {"abs": 1e-10, "rel": 1e-9}
    assert at(data, 2, (0, 0), (0, 0)) == pytest.approx(second, **near)
    assert 50 * at(data, 4, *[(0, 0)] * 4) == pytest.approx(fourth, **near)
    if mean:
        assert at(data, 1, (0, 0)) / 50**0.5 == pytest.approx(first, **near)
        assert 50**0.5 * at(data, 3, *[(0, 0)] * 3) == pytest.approx(third, **near)
        # Outputs share the hidden layer: a mean of one of them leaves the law of the other alone.
        assert at(data, 1, (0, 1)) == 0.0
        assert at(data, 2, (0, 1), (0, 1)) == pytest.approx(0.625, **near)


@pytest.mark.parametrize(("mean", "third"), [(0.1, 0.0039201845), (0.3, 0.0113439835)])
def test_a_third_order_function_of_three_points(mean, third):
    net = m.Multiplet.of(m.ReLU(1.0, 0.5), 50, m.Normals((mean,)))
    data = m.exact(net, np.array([[-0.6], [0.3], [1.0]]), orders=(1, 2, 3))
    assert 50**0.5 * at(data, 3, (0, 0), (1, 0), (2, 0)) == pytest.approx(third, abs=1e-10)


def test_a_mean_cannot_break_the_sign_where_the_activation_has_both():
    for neuron in (m.Cos(), m.Erf(), m.Tanh(), m.Sin()):
        net = m.Multiplet.of(neuron, 5, m.Normals((0.5, 0.0)))
        assert net.even
        assert net.orders[:2] == (2, 4)
        data = m.exact(net, X[:2], orders=(2,))
        k = m.exact(m.Network(neuron, 5), X[:2], orders=(2,)).connected(2)
        broken = [at(data, 2, (a, 0), (b, 0)) - at(data, 2, (a, 1), (b, 1)) for a, b in ((0, 0), (0, 1), (1, 1))]
        np.testing.assert_allclose(broken, 0.25 * k, rtol=1e-12, atol=1e-12)
    assert not m.Multiplet.of(m.Gauss(), 5, m.Normals((0.5, 0.0))).even


def test_one_output_is_the_ordinary_network():
    for neuron in (m.Cos(), m.ReLU(), m.Erf()):
        net = m.Network(neuron, 9, output_scale=1.3, output_bias=0.4)
        same = m.Multiplet.of(neuron, 9, m.Copies(1), output_scale=1.3, output_bias=0.4)
        ours, theirs = m.exact(same, X), m.exact(net, X)
        assert ours.orders == theirs.orders == (2, 4, 6)
        for r in ours.orders:
            np.testing.assert_allclose(ours.connected(r), theirs.connected(r), rtol=1e-10, atol=1e-15)
            np.testing.assert_allclose(ours.moment(r), theirs.moment(r), rtol=1e-10, atol=1e-15)


LAWS = {
    "copies": m.Copies(2, "uniform"),
    "sphere": m.Spherical(3, 0.7),
    "normals": m.Normals((0.3, -0.2), (1.0, 0.5)),
    "tied": m.Tied(2, "laplace"),
    "leaving": m.Leaving(3, m.Spherical(2), (2, 0)),
    "phases": m.Phases(2),
    "circular": m.circular(1),
    "complex sphere": m.complex_sphere(2),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_moments_of_a_law_are_those_of_its_draws(law):
    from tests.statistics import agree, disagree

    def draw(key):
        with numpyro.handlers.seed(rng_seed=key), numpyro.plate("neuron", 40_000):
            return law.draw()

    w = np.asarray(draw(jax.random.key(1)), dtype=float)
    assert w.shape == (40_000, law.outputs)
    rows = [c for r in (1, 2, 3, 4) for c in combinations_with_replacement(range(law.outputs), r)]
    products = np.stack([np.prod(w[:, list(c)], axis=1) for c in rows], axis=1)
    spread = np.std(products, axis=0) > 1e-6
    truth = np.array([law.moment(c) for c in rows])
    np.testing.assert_allclose(products.mean(axis=0)[~spread], truth[~spread], atol=1e-6)
    error = products.std(axis=0)[spread] / 200.0
    agree(products.mean(axis=0)[spread], truth[spread], error)
    disagree(products.mean(axis=0)[spread], truth[spread] + 10.0 * error, error)


def test_a_neuron_that_cannot_is_refused_by_name():
    class Switch(m.AbstractNeuron):
        def __call__(self, points):
            on = numpyro.sample("on", numpyro.distributions.Bernoulli(0.5))
            return on[..., None] * np.ones(len(points))

        def moments(self, points, tuples):
            return np.full(len(tuples), 0.5), 0.0

    net = m.Multiplet.of(Switch(), 5, m.Normals((0.5, 0.0)))
    with pytest.raises(ValueError, match=r"brings `odd_moments`.* got Switch"):
        m.exact(net, X[:1])
    assert m.exact(m.Multiplet.of(m.Softplus(), 5, m.Copies(2)), X[:1]).orders == (2, 4, 6)  # not asked for odd ones

    def sawtooth(points):
        return numpyro.sample("b", numpyro.distributions.Uniform())[..., None] * np.ones(len(points))

    net = m.Multiplet.of(sawtooth, 5, m.Copies(2))
    with pytest.raises(ValueError, match="expected a Network of neurons known exactly"):
        m.exact(net, X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: m.Copies(0), "expected at least one field"),
        (lambda: m.Normals((0.1,), (1.0, 2.0)), "expected one deviation for each of 1 fields"),
        (lambda: m.Normals((0.1,), (0.0,)), "expected positive numbers for deviation"),
        (lambda: m.Normals("a lot"), "expected mean as one number a field"),
        (lambda: m.Spherical(2, -1.0), "expected positive numbers for deviation"),
        (lambda: m.Leaving(2, m.Copies(1), (2,)), "expected 1 different fields among 0..1"),
        (lambda: m.Copies(2, "gausian"), "try 'gaussian'"),
        (lambda: m.Multiplet(()), "expected groups of neurons"),
        (lambda: m.Multiplet.of(m.Cos, 5, m.Copies(2)), "expected a neuron"),
        (lambda: m.Multiplet.of(m.Cos(), 0, m.Copies(2)), "expected count"),
        (lambda: m.Multiplet.of(m.Cos(), 5, "gaussian"), "expected a law of readout vectors"),
        (lambda: m.Multiplet.pair(m.Cos(), 10, 0.33), "try 0.3"),
        (
            lambda: m.Multiplet((m.Neurons(m.Cos(), 5, m.Copies(2)), m.Neurons(m.Cos(), 5, m.Copies(3)))),
            r"laws of \[2, 3\] outputs",
        ),
        (lambda: m.exact(m.Multiplet.of(m.Cos(), 5, m.Copies(2)), X) - m.exact(m.Network(m.Cos(), 5), X), "2 and 1"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_say_point_and_output():
    data = of(m.Copies(2))[1].to_dataset()
    assert data["pair_x1"].values.tolist()[:9] == [0] * 8 + [0]
    assert data["pair_i1"].values.tolist()[:9] == [0] * 8 + [1]
    assert data.attrs["outputs"] == 2
    assert "0:0,1:1" not in str(of(m.Copies(2))[1])
    assert "at 4 points in d = 1 of 2 outputs" in str(of(m.Copies(2))[1])
    assert "i1" not in m.exact(m.Network(m.Cos(), 5), X).to_dataset().coords


# --- odd functions of any smooth activation ---------------------------------------------------------------------------


def test_a_rectifier_of_ones_own_has_the_closed_odd_functions():
    """By the rule for even orders at one point more, to the accuracy it states; sqrt(N) G3c by hand at x = 1."""
    points = np.array([[-0.6], [0.3], [1.0]])

    def odd(neuron):
        return m.exact(m.Multiplet.of(neuron, 1, m.Normals((0.3,))), points, orders=(1, 3))

    closed, ours = odd(m.ReLU(1.0, 0.5)), odd(m.Activation(jax.nn.relu, 1.0, 0.5))
    for order in (1, 3):
        np.testing.assert_allclose(ours.connected(order), closed.connected(order), atol=1e-6)
    assert ours.connected(3)[-1] == pytest.approx(0.7649958280, abs=1e-7)
    assert ours.connected(3)[5] != pytest.approx(odd(m.Softplus(1.0, 0.5)).connected(3)[5], rel=0.1)  # planted: another


@pytest.mark.parametrize("neuron", [m.GELU(1.0, 0.5), m.SiLU(1.0, 0.5), m.Softplus(1.0, 0.5)])
def test_odd_functions_agree_with_networks(neuron):
    from nnft import inference as inf
    from tests.statistics import agree

    points = np.array([[-0.6], [1.0]])
    net = m.Multiplet.of(neuron, 3, m.Normals((0.5,)))
    exact = m.exact(net, points, orders=(1, 2, 3))
    data = inf.measure(inf.Ensemble(net, points=points, n=100_000, key=jax.random.key(0)), orders=(1, 2, 3))
    for order in (1, 3):
        agree(data.connected(order), exact.connected(order), data.error(order))
