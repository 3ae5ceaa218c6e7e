"""The axioms of Osterwalder and Schrader: eigenvalues others computed, theorems, and faults that are seen."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m

A, C, THREE = [0.2, 0.5, 1.0, 1.5], np.arange(1, 7) / 4.0, [0.2, 0.5, 1.0]


def free(**options):
    return m.Network(m.ScalarMode(**options), width=20)


def gaussian(t):
    return 0.5 * np.exp(-(t**2) / 2.0)


KNOWN = {
    "Gaussian": (gaussian, A, -0.0721901954),
    "Gaussian, six times": (gaussian, C, -0.0938498909),
    "cos networks": (m.Network(m.Cos(), width=7), A, -0.0721901954),
    "Ornstein-Uhlenbeck": (lambda t: np.exp(-t) / 2.0, C, 0.0),
    "scalar without a cutoff": (free(cutoff=float("inf")), A, 0.0),
    "two masses": (lambda t: np.exp(-t) / 2.0 + np.exp(-3.0 * t) / 6.0, A, 0.0),
    "Matern 3/2": (lambda t: (1.0 + t) * np.exp(-t) / 4.0, A, -0.0179796700),
    "Matern 3/2, six times": (lambda t: (1.0 + t) * np.exp(-t) / 4.0, C, -0.0203902064),
    "rational quadratic": (lambda t: 1.0 / (1.0 + t**2 / 2.0), A, -0.0328642335),
    "Pauli-Villars": (lambda t: np.exp(-t) / 2.0 - np.exp(-6.0 * t) / 12.0, A, -0.0025340362),
    "Gaussian regulator 6": (free(cutoff=6.0, regulator="gaussian"), A, -2.05156e-4),
    "Gaussian regulator 20": (free(cutoff=20.0, regulator="gaussian"), A, 0.0),
    "hard cutoff 20": (free(cutoff=20.0), A, -2.0302359e-4),
    "erf in input space": (m.Network(m.Erf(), width=9), A, -0.3640740702),
    "1/(1 + t)": (lambda t: 1.0 / (1.0 + t), A, 1.980130e-5),
}


@pytest.mark.parametrize("name", KNOWN)
def test_order_two_is_what_others_found(name):
    theory, times, value = KNOWN[name]
    found = inf.positivity(theory, times)
    assert abs(found.smallest - value) < 1e-9
    assert found.violated == (value < 0.0)


@pytest.mark.parametrize(("width", "value"), [(3, -0.0170969757), (50, -0.0592899557)])
def test_order_four_of_cos_networks(width, value):
    assert abs(inf.positivity(m.Network(m.Cos(), width), THREE, order=4).smallest - value) < 1e-9


def test_three_coarse_times_are_no_proof_and_the_default_set_sees_the_cutoff():
    trap = inf.positivity(free(cutoff=50.0), [0.1, 0.4, 0.9])
    assert 4.3e-6 < trap.smallest < 4.4e-6
    assert trap.holds
    assert "no violation" in str(trap)
    assert "on these times {0.1, 0.4, 0.9}" in str(trap)
    assert "holds" not in str(trap)
    for cut in (free(cutoff=50.0), free(cutoff=200.0), free(cutoff=50.0, regulator="gaussian"), free(mass=20.0)):
        assert inf.positivity(cut).violated


@pytest.mark.parametrize("mass", [0.02, 1.0, 30.0])
def test_what_is_positive_is_not_accused_on_the_default_times(mass):
    assert inf.positivity(lambda t: np.exp(-mass * t) / 2.0).holds
    assert inf.positivity(lambda t: 1.0 / (1.0 + mass * t)).holds
    circle = inf.positivity(lambda t: np.cosh(mass * (t - 5.0)) / np.sinh(mass * 5.0), period=10.0)
    assert circle.holds
    assert circle.times[-1] < 5.0


def test_networks_that_it_takes():
    kernels = {gaussian: (51, 1063), KNOWN["Matern 3/2"][0]: (268, 1599)}
    for kernel, (pencil, alone) in kernels.items():
        found = inf.positivity(kernel, A)
        assert round(found.networks(5.0)) == pencil
        v = np.linalg.eigh(found.reflected)[1][:, 0]
        size, norm = v @ found.reflected @ v, v @ found.plain @ v
        assert round(25.0 * (norm**2 + size**2) / size**2) == alone
    assert inf.positivity(lambda t: np.exp(-t), A).networks() == float("inf")


def test_correlators_lags_and_the_program_say_the_same():
    net = m.Network(m.Cos(), width=3)
    both = np.array([-1.0, -0.5, -0.2, 0.2, 0.5, 1.0])[:, None]
    known = m.exact(net, both + 7.0)  # reflected about their middle, since zero has no reflections there
    for order in (2, 4):
        want = inf.positivity(net, THREE, order=order).smallest
        assert abs(inf.positivity(known, order=order).smallest - want) < 1e-12
    lags = np.arange(7) * 0.5
    line = inf.TimeCorrelators.given(lags, gaussian(lags))
    assert abs(inf.positivity(line).smallest - inf.positivity(gaussian, [0.25, 0.75, 1.25]).smallest) < 1e-14


def test_errors_of_measured_lags_decide():
    lags = np.arange(9) * 0.5
    for error, seen in ((1e-3, True), (0.3, False)):
        line = inf.TimeCorrelators.given(lags, gaussian(lags), np.full(9, error))
        assert inf.positivity(line).violated == seen
    noise = 0.01 * np.random.default_rng(0).normal(size=(200, 9))
    false = [
        inf.positivity(inf.TimeCorrelators.given(lags, np.exp(-lags) / 2.0 + one, np.full(9, 0.01))).violated
        for one in noise
    ]
    assert sum(false) <= 4  # at most once in 740 each: five of 200 once in 1e5 or less


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (gaussian, {"times": [0.0, 1.0]}, "expected positive times"),
        (gaussian, {"times": [-1.0, 1.0]}, "got -1; try its absolute value"),
        (gaussian, {"times": [0.5, 1.0, 0.5]}, "got 0.5 twice"),
        (gaussian, {"times": []}, "expected times"),
        (gaussian, {"times": "soon"}, "expected times as numbers"),
        (gaussian, {"times": [1.0, 6.0], "period": 10.0}, "below half the period, 5"),
        (gaussian, {"order": 4}, "try the network or Correlators"),
        (lambda t: 1.0, {}, "as a function of an array of times"),
        (3.0, {}, "expected a network, Correlators, TimeCorrelators or a function"),
        (free(), {"order": 3}, "expected order 2, 4 or 6"),
        (free(), {"axis": 1}, "expected an axis among"),
    ],
)
def test_bad_input_is_refused(data, options, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        inf.positivity(data, **options)


def test_correlators_without_the_points_say_which_times():
    one_side = m.exact(m.Network(m.Cos(), 3), np.array([[-1.0], [0.5], [1.0]]))
    assert inf.positivity(one_side).times.tolist() == [1.0]
    with pytest.raises(ValueError, match=r"got none at t = 0.5; try times among \{1\}, or measuring at -0.5 and 0.5"):
        inf.positivity(one_side, [0.5, 1.0])
    lags = inf.TimeCorrelators.given([0.0, 1.0, 2.0], [1.0, 0.4, 0.2])
    with pytest.raises(ValueError, match="got none at lag 3"):
        inf.positivity(lags, [1.5])
