"""Real time: known spectra to all digits, rules of exact correlators within their bands, refusals with their number."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m

PATH = m.Path(m.Network(m.Cos(), 10))
TIMES_A = [0.2, 0.5, 1.0, 1.5]
AT = np.array([0.0, 0.3, 1.0, 2.0, 5.0])


def test_reference_number_and_sign():
    """<phi(t) phi(0)> = sum rho exp(-i E t): the imaginary part is negative at first."""
    assert abs(inf.real_time(PATH, 1.0).values[0] - (0.2928926640 - 0.1102211072j)) < 1e-10
    assert abs(inf.real_time(PATH, -1.0).values[0] - (0.2928926640 + 0.1102211072j)) < 1e-10
    closed = 0.5 / np.sqrt(1.0 + 2.0 * (1.0 - np.exp(-1j * AT)))
    found = inf.real_time(PATH, AT)
    np.testing.assert_allclose(found.values, closed, atol=1e-12)
    assert found.exact


@pytest.mark.parametrize(
    ("network", "number"),
    [(m.Network(m.Cos(), 10), "-0.07219020"), (m.Network(m.ScalarMode(cutoff=20.0), 10), "-0.000203")],
)
def test_refused_where_reflection_positivity_fails(network, number):
    with pytest.raises(ValueError, match=f"positive under reflection, got the eigenvalue {number}"):
        inf.real_time(network, AT, times=TIMES_A)
    with pytest.raises(ValueError, match="positive under reflection"):
        inf.real_time(network, AT)


def test_the_free_network_is_one_level():
    found = inf.real_time(m.Network(m.ScalarMode(1.3, float("inf")), 10), AT)
    np.testing.assert_allclose(found.values, m.FreeField(1.3).real_time(AT), atol=1e-11)
    assert "a rule of 1 level" in str(found)


def test_a_rule_of_exact_correlators_holds_the_truth_in_its_band():
    truth = PATH.spectrum(400)
    found = inf.real_time(truth.correlator, AT)
    assert np.all((found.low.real <= truth.real_time(AT).real) & (truth.real_time(AT).real <= found.high.real))
    assert np.all((found.low.imag <= truth.real_time(AT).imag) & (truth.real_time(AT).imag <= found.high.imag))
    assert not found.exact
    x = m.Oscillator(quartic=6.0)
    levels = x.two_point(10)
    assert abs(inf.real_time(x, 1.0).values[0] - levels.real_time(1.0)) < 1e-12
    times = np.arange(16) * 0.5
    rule = inf.real_time(inf.TimeCorrelators.given(times, x.correlator(times)), AT)
    np.testing.assert_allclose(rule.values, levels.real_time(AT), atol=1e-7)
    assert np.all(np.abs(rule.values - levels.real_time(AT)) <= np.abs(rule.high - rule.values))
    two = m.Spectrum(np.array([0.0, 0.7, 2.0]), np.array([0.2, 0.3, 0.1]))
    np.testing.assert_allclose(inf.real_time(two.correlator, AT).values, inf.real_time(two, AT).values, atol=1e-6)


def test_correlators_with_errors_have_a_band():
    times = np.arange(14) * 0.25
    spectrum = PATH.spectrum(60)
    values = spectrum.correlator(times)
    covariance = (3e-3) ** 2 * np.exp(-np.abs(np.subtract.outer(times, times))) * np.outer(values, values)
    draw = np.random.default_rng(4).multivariate_normal(values, covariance)
    data = inf.TimeCorrelators.given(times, draw, covariance)
    found = inf.real_time(data, [1.0, 3.0], method=inf.Constrained(known=(0.0,)))
    truth = spectrum.real_time([1.0, 3.0])
    assert np.all((found.low.real < truth.real) & (truth.real < found.high.real))
    assert np.all(found.high.real - found.low.real < 0.4)
    # the planted fault: a Gaussian kernel with the same errors has no real time
    wrong = inf.TimeCorrelators.given(times, 0.5 * np.exp(-(times**2) / 2.0), 1e-4 * np.exp(-(times**2) / 4.0))
    with pytest.raises(ValueError, match=r"sigma below zero, of G\(t_a \+ t_b\)"):
        inf.real_time(wrong, [1.0])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: inf.real_time(PATH, 1.0, times=[-0.5, 1.0]), "positive times"),
        (lambda: inf.real_time(PATH, [np.nan]), "finite real times"),
        (lambda: inf.real_time(PATH, "soon"), "finite real times"),
        (lambda: m.Oscillator(beta=4.0).two_point(), "the ground state, beta = inf, got beta = 4"),
        (lambda: inf.real_time("path", 1.0), "a model on a line of time, an oscillator.*got str"),
        (lambda: inf.real_time(m.Chain(1.0, 0.1, 16), 1.0), "a model on a line of time.*got Chain"),
        (lambda: inf.real_time(m.Chain(1.0, 0.1, 16).correlators(np.arange(8.0)[:, None]), 1.0), "got Correlators"),
        (lambda: inf.real_time(m.Path(m.Network(m.Cos(), 3)), 1e300), r"phases E t are known to eight digits"),
        (lambda: m.Network(m.Cos(), 3).spectrum(), "a model that brings `spectrum`.*Cos"),
        (lambda: inf.real_time(m.Path(m.Network(m.Tanh(), 3)), 1.0), "exact result"),
    ],
)
def test_what_has_no_real_time_is_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
