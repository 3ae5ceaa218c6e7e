"""What exact correlators say of their own errors: kept, one for each order, and carried through every scale."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import erf

from nnft.models import Cos, Erf, GammaScale, Gauss, LogNormalLength, Network, ReLU, ScalarMode, Tanh, exact
from nnft.models.analytic.exact import exact_if_known
from nnft.models.combinatorics import even_cumulants, even_moments
from nnft.models.networks.accuracy import cumulant_errors, judged, moment_errors
from nnft.models.neurons import quadrature

LINE = np.array([[-0.4], [0.1], [0.9]])


def one_site(activation, variance):
    """<s^2>, <s^4>, <s^6> of one pre-activation by Gauss-Hermite, for small variances."""
    xi, weight = np.polynomial.hermite_e.hermegauss(150)
    return [activation(np.sqrt(variance) * xi) ** r @ weight / weight.sum() for r in (2, 4, 6)]


@pytest.mark.parametrize(("neuron", "activation"), [(Erf, erf), (Tanh, np.tanh)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("weight", [1e-5, 1e-3])
def test_small_activations_keep_their_digits_and_say_so_at_every_output_scale(neuron, activation, weight, scale):
    """An error of 1e-12 of <ssss> = 1e-12 is everything: each order is judged by its own size."""
    data = exact(Network(neuron(weight_scale=weight, bias_scale=0.0), 10, output_scale=scale), np.array([[1.0]]))
    m2, m4, m6 = one_site(activation, weight**2)
    truth = {2: m2, 4: (3 * m4 - 3 * m2**2) / 10, 6: (15 * m6 - 45 * m4 * m2 + 30 * m2**3) / 100}
    for r, value in truth.items():
        assert abs(data.connected(r)[0] - scale**r * value) < data.about["accuracy"][r] + 1e-13 * scale**r * abs(value)
        assert data.about["relative_accuracy"][r] < 1e-9
        assert data.about["accuracy"][r] == pytest.approx(
            data.about["relative_accuracy"][r] * abs(data.connected(r)[0]), rel=1e-12
        )


@pytest.mark.parametrize(
    ("neuron", "latents"),
    [
        *((neuron, {}) for neuron in (Cos(1.3), Gauss(0.8, 0.5), Erf(1.2, 0.7), Tanh(0.9, 0.4), ReLU(1.1, 0.6))),
        (Erf(1.2, 0.7), {"shared_scale": GammaScale(0.2)}),
        (Cos(1.3), {"shared_length": LogNormalLength(0.1)}),
    ],
)
def test_scales_and_widths_are_carried(neuron, latents):
    """Up to a factor of two: what two rules differ by may be rounding, which does not scale."""
    one, many = (exact(Network(neuron, 1, output_scale=s, **latents), LINE).about for s in (1.0, 20.0))
    for r in one["accuracy"]:
        assert 0.5 < many["accuracy"][r] / (20.0**r * one["accuracy"][r]) < 2.0
        assert 0.5 < many["relative_accuracy"][r] / one["relative_accuracy"][r] < 2.0


def test_orders_of_very_different_size_each_have_their_error():
    """ScalarMode at a cutoff of 1e4: <s^6> reaches 1e17 and its error 2e20 in absolute numbers once stood for all."""
    data = exact(Network(ScalarMode(1.0, 1e4, alpha=1.0, regulator="gaussian"), 10), np.array([[0.0], [1e-3]]))
    assert max(data.about["relative_accuracy"].values()) < 1e-9
    assert data.about["accuracy"][2] < 1e-9 < 1e-3 * data.about["accuracy"][6]


def test_errors_of_moments_and_cumulants_bound_what_a_change_does():
    draw = np.random.default_rng(0)
    cumulants = {2: np.array([1.3]), 4: np.array([-0.4]), 6: np.array([0.7])}
    moments = even_moments(cumulants, 1)
    small = dict.fromkeys(cumulants, 1e-06)
    up, down = moment_errors(moments, cumulants, small), cumulant_errors(moments, cumulants, small)
    for signs in draw.choice([-1.0, 1.0], size=(20, 3)):
        step = {r: s * 1e-6 for r, s in zip(cumulants, signs, strict=True)}
        moved = even_moments({r: v + step[r] for r, v in cumulants.items()}, 1)
        back = even_cumulants({r: v + step[r] for r, v in moments.items()}, 1)
        for r in cumulants:
            assert abs(moved[r] - moments[r])[0] <= up[r] * (1 + 1e-4)
            assert abs(back[r] - cumulants[r])[0] <= down[r] * (1 + 1e-4)


@pytest.mark.parametrize(("error", "refused", "flagged"), [(1e-6, 0, 0), (1e-4, 0, 1), (1e-2, 1, 0)])
def test_the_share_that_is_uncertain_decides(error, refused, flagged):
    found = judged({2: np.ones(1), 4: np.array([-0.1, 0.02])}, {2: 0.0, 4: error}, {2: 1.0, 4: 1.0})
    assert tuple(map(len, found)) == (refused, flagged)


def test_a_connected_function_that_vanishes_is_known():
    """mu4 <ssss> = <ss>^2 times three: nothing is left of G4c but rounding, and that is no reason to refuse it."""
    assert judged({2: np.ones(1), 4: np.array([1e-17])}, {2: 0.0, 4: 1e-15}, {2: 1.0, 4: 1.0}) == ({}, {})


def test_an_order_that_quadrature_does_not_know_is_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(Tanh, "moments", lambda *_: (np.full(1, 0.5), 0.1))
    data = exact(Network(Tanh(), 10), np.array([[1.0]]), orders=(2,))
    with pytest.raises(ValueError, match=r"quadrature leaves 0.5 \+- 0.1 of it, more than 1%; try"):
        data.connected(2)
    assert exact_if_known(Network(Tanh(), 10), np.array([[1.0]]), (2,)) is None


def a_function(points):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    return w * points[:, 0]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (a_function, r"got a_function of type function; try measuring it: inf.measure\(inf.Ensemble"),
        (Network(a_function, 3), r"got a_function, which knows no `moments`; try writing them, or measuring"),
        (Network((Cos(), a_function), 4), r"got a_function, which knows no `moments`; try writing them, or measuring"),
        (Cos(), r"got the neuron Cos\(\); try m.Network\(m.Cos\(\), width=20\)"),
        (Cos, r"got the class Cos for a neuron; try m.Network\(m.Cos\(\), width=20\)"),
        (np.zeros((5, 3)), "of type ndarray; try measuring it"),
        (None, "of type NoneType; try measuring it"),
    ],
)
def test_what_is_not_known_exactly_is_refused_by_what_it_is(model, message):
    with pytest.raises(ValueError, match=f"expected a Network of neurons known exactly .Cos, Gauss.*{message}"):
        exact(model, LINE)


def test_orders_that_are_no_tuple_are_refused():
    with pytest.raises(ValueError, match=r"expected orders as a tuple, got 4; try orders=\(2, 4\)"):
        exact(Network(Cos(), 3), LINE, orders=4)


def test_readers_fall_back_where_nothing_is_known_exactly(monkeypatch):
    monkeypatch.setattr(quadrature, "MOST_NODES", 100_000)
    assert exact_if_known(Network(a_function, 3), LINE, (2,)) is None
    assert exact_if_known(None, LINE, (2,)) is None
    assert exact_if_known(Network(Tanh(1e6), 3), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), (2,)) is None
    assert exact_if_known(Network(Tanh(), 3), LINE, (2,)) is not None
