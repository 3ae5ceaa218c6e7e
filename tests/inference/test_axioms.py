"""The axioms of Osterwalder and Schrader: eigenvalues others computed, theorems, and faults that are seen."""

from dataclasses import replace

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.axioms.invariance import invariance
from nnft.inference.reflections.reflection import as_reflected
from tests.statistics import agree, disagree

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
    assert str(inf.positivity(known)).endswith("on these times {0.2, 0.5, 1} about t = 7")
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
        (3.0, {}, "expected a network, a known theory, Correlators, TimeCorrelators"),
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


@pytest.mark.parametrize(
    ("theory", "verdicts"),
    [
        (m.Network(m.Cos(), 50), ["no violation", "holds", "violated", "holds", "violated"]),
        (m.Network(m.Cos(), 50, "rademacher"), ["no violation", "holds", "violated", "holds", "no violation"]),
        (m.Network(m.Gauss(bias_scale=0.3), 50), ["violated", "violated", "violated", "holds", "violated"]),
        (m.Network(m.Erf(), 50), ["no violation", "violated", "violated", "holds", "violated"]),
        (free(cutoff=float("inf")), ["no violation", "holds", "violated", "holds", "violated"]),
        (m.Oscillator(quartic=6.0), ["no violation", "holds", "no violation", "holds", "no violation"]),
        (m.Oscillator(quartic=6.0, beta=4.0), ["no violation", "holds", "no violation", "holds", "not decidable"]),
        (m.Chain(1.0, 1.0), ["no violation", "holds", "no violation", "holds", "not decidable"]),
    ],
)
def test_verdicts_of_known_theories(theory, verdicts):
    found = inf.axioms(theory)
    assert [one.verdict for one in found.all] == verdicts
    assert str(found).count("\n") == 5


def test_a_network_without_a_cutoff_breaks_positivity_at_order_six_only():
    found = inf.axioms(free(cutoff=float("inf"))).positivity
    assert [order for order, one in found.items() if one.violated] == [6]
    # Infinitely many neurons are the Gaussian field of the same kernel: the violation goes away like 1/N.
    wide, wider = (
        inf.positivity(m.Network(m.ScalarMode(cutoff=float("inf")), n), order=6).smallest for n in (10**4, 10**5)
    )
    assert 9.5 < wide / wider < 10.5


def test_what_nobody_looked_at_is_not_said_to_hold():
    """A theory that is no network and brings no reasons: nothing here can shift or turn its points."""
    known = as_reflected(m.Oscillator(quartic=6.0))
    assert invariance(known).verdict == "holds"
    bare = invariance(replace(known, reasons={}))
    assert bare.verdict == "not decidable"
    assert bare.why == "translations: not known; reflection of x: not known"


def test_growth_of_moments():
    def power(network):
        return inf.axioms(network, THREE, orders=(2,))["OS0"]

    gamma = m.Network(m.Cos(), 5, shared_scale=m.GammaScale(0.2))
    for network, low, high in [
        (m.Network(m.Cos(), 5, "uniform"), 0.0, 0.1),
        (m.Network(m.Erf(), 5), 0.49, 0.6),
        (m.Network(m.ReLU(), 5, "laplace"), 1.45, 1.6),
        (gamma, 0.8, 1.05),
    ]:
        found = power(network)
        assert found.verdict == "no violation"
        assert low < found.size < high
    for weak in (0.1, 1.0):
        assert power(m.Network(m.Gauss(weight_scale=0.1, bias_scale=weak), 5)).verdict == "violated"
    student = power(m.Network(m.Cos(), 5, shared_scale=m.StudentScale(8.0)))
    assert "order 8 and above do not exist" in student.why
    sharp = power(m.Network(m.Cos(), 5, shared_scale=m.LogNormalScale(0.3)))
    assert sharp.verdict == "violated"


@pytest.mark.parametrize(("mu4", "law"), [(3.0, "gaussian"), (1.8, "uniform"), (1.0, "rademacher")])
def test_waves_keep_what_their_readouts_share_however_far_apart(mu4, law):
    neurons = (m.Cos(), m.ScalarMode(cutoff=4.0), m.ScalarMode(cutoff=4.0, regulator="gaussian"))
    for neuron in neurons[: 3 if law == "uniform" else 1]:
        found = inf.axioms(m.Network(neuron, 10, law), THREE, orders=(2,))["OS4"]
        if mu4 == 1.0:
            assert found.verdict == "no violation"
        else:
            assert abs(found.size - (mu4 - 1.0) / 10.0) < 1e-3
    box = m.Network(m.ScalarMode(regulator="box", length=20.0, modes=40), 10, law)
    found = inf.axioms(box, THREE, orders=(2,))["OS4"]
    assert found.verdict == "not decidable"
    assert "on a circle of length 20 nothing is far apart" in found.why
    antipode = float(found.why.split("<phi^2 phi^2>_c = ")[1].split()[0])  # the antipode adds mu4/2N
    assert abs(antipode - (1.5 * mu4 - 1.0) / 10.0) < 2e-3


def test_euclidean_invariance_in_the_plane():
    gauss = m.Network(m.Gauss(bias_scale=0.3), 5)
    found = inf.axioms(gauss, [0.5], orders=(2,), dimension=2, axis=1)["OS1"]
    assert found.verdict == "violated"
    assert "order 2" not in found.why
    box = m.Network(m.ScalarMode(regulator="box", length=10.0, modes=3), 5)
    found = inf.axioms(box, [0.5], orders=(2,), dimension=2)["OS1"]
    assert "rotations and reflections of x: order 2" in found.why  # a square box is not round


def test_what_has_no_exact_correlators_is_refused():
    with pytest.raises(ValueError, match="expected a theory with exact correlators"):
        inf.axioms(m.Deep.of(m.Cos(), 2, 10))
    with pytest.raises(ValueError, match=r"try inf.positivity"):
        inf.axioms(gaussian)
    with pytest.raises(ValueError, match="expected positive times"):
        inf.axioms(m.Network(m.Cos(), 5), [0.0])
    with pytest.raises(ValueError, match="multiples of the lattice spacing 1"):
        inf.axioms(m.Chain(1.0, 1.0), [0.5])
    with pytest.raises(ValueError, match="expected an axiom among"):
        inf.axioms(m.Network(m.Cos(), 5), THREE, orders=(2,))["OS7"]


TIMES = np.array([-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5])


def fields(kernel, n=4000, seed=0):
    """Gaussian fields at +-A."""
    lag = np.abs(TIMES[:, None] - TIMES)
    noise = np.random.default_rng(seed).normal(size=(n, 8))
    return inf.Samples(noise @ np.linalg.cholesky(kernel(lag)).T, TIMES[:, None], independent=True)


def matern(t):
    return (1.0 + t) * np.exp(-t)


def falling(t):
    return np.exp(-t)


def test_one_half_chooses_and_the_other_tests():
    found = inf.positivity(fields(matern))
    assert found.tested == 2000.0
    assert found.violated
    # The error is that of Gaussian fields in the direction that was chosen, and the size what exact correlators have.
    exact = inf.positivity(matern, A)
    one, v = found.direction[0], found.direction[1:]  # of arrays it is not known whether they are even: 1 is asked too
    size, norm = one**2 + v @ exact.reflected @ v, one**2 + v @ exact.plain @ v
    agree(found.error, np.sqrt((norm**2 + size**2) / 2000.0), 0.06 * found.error)  # of 2000 products, heavy-tailed
    agree(found.size, size, found.error)
    # Both halves; of half the square root the error is that of the size over it, 1/sigmas.
    agree(np.sqrt(found.networks(5.0) / (2.0 * 2000.0)), 5.0 * found.error / -size, 5.0 * (found.error / size) ** 2)
    assert inf.positivity(fields(falling)).sigmas < 4.0  # false alarm below 3.2e-5
    # Twenty small sets: sizes as exact correlators have them, and at most three beyond three errors (false alarm 2e-8).
    # The planted fault: the direction tested on the networks that chose it accuses what is positive.
    both = [inf.positivity(fields(falling, 400, seed)) for seed in range(20)]
    known = inf.positivity(falling, A).reflected
    sizes = [one.direction[0] ** 2 + one.direction[1:] @ known @ one.direction[1:] for one in both]
    error = np.linalg.norm([one.error for one in both])
    agree(sum(one.size for one in both), sum(sizes), error)
    assert sum(one.violated for one in both) <= 3
    disagree(sum(np.linalg.eigvalsh(one.reflected)[0] for one in both), sum(sizes), error)


def test_what_networks_say_of_all_five():
    found = inf.axioms(fields(matern), orders=(2,))
    assert [one.verdict for one in found.all] == ["not decidable"] * 2 + ["violated", "holds", "not decidable"]
    value, error = found["OS4"].why.split("3 apart <phi phi>_c = ")[1].split(",")[0].split(" +- ")
    agree(float(value), matern(3.0), float(error))
    few = inf.axioms(inf.Samples(np.random.default_rng(0).normal(size=(100, 3)), [[-1.0], [0.0], [1.0]]), orders=(2, 4))
    assert few["OS2"].verdict != "violated"
    assert "expected at least 120 networks" in few["OS2"].why


@pytest.mark.parametrize(
    ("points", "times", "words"),
    [
        ([[0.0, 0.0], [1.0, 1.0], [3.0, 0.5]], None, "without a pair"),
        ([[-1.0], [1.0], [2.0]], [1.0, 2.0], "got none at t = 2"),
        ([[-1.0], [1.0], [2.0]], [-1.0], "expected positive times"),
    ],
)
def test_networks_without_the_points_are_refused(points, times, words):
    samples = inf.Samples(np.random.default_rng(0).normal(size=(500, 3)), points)
    with pytest.raises(ValueError, match=words):
        inf.positivity(samples, times)
