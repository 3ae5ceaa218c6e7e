"""The oscillator: reference numbers to the digits printed, a second road on a grid, and limits known in closed form."""

import numpy as np
import pytest

from nnft import models as m
from nnft.models.quantum.diagonalised import AbstractOscillator
from nnft.models.quantum.levels import Levels

# lambda: E0, gap, E2 - E0, E3 - E0, <x^2>, <x^4>, Z1, Z3, from two bases of another program
TABLE = {
    0.5: (0.514638773828, 1.056202280217, 2.163030957422, 3.314889781468, 0.473303967541, 0.661356900590,
          0.473261796777, 4.2162648e-5),
    1.0: (0.527736127314, 1.103564405454, 2.294453435639, 3.558292826983, 0.452843673320, 0.599139631956,
          0.452738682341, 1.04948023e-4),
    6.0: (0.620927029826, 1.405039134340, 3.077523289552, 4.936650108731, 0.354840251173, 0.354782371537,
          0.354434358104, 4.05386968e-4),
    12.0: (0.696175820765, 1.628230531340, 3.631349158115, 5.882226128259, 0.305813650718, 0.260241446698,
           0.305329139393, 4.83769492e-4),
}  # fmt: skip


@pytest.mark.parametrize("quartic", TABLE)
def test_reference_numbers_to_all_digits(quartic):
    x = m.Oscillator(quartic=quartic)
    energy, weights = x.spectrum(4), x.weights(4)
    found = (energy[0], x.gap, *(energy[2:] - energy[0]), x.moment(2), x.moment(4), weights[1])
    np.testing.assert_allclose(found, TABLE[quartic][:-1], rtol=0, atol=2e-12)
    np.testing.assert_allclose(weights[3], TABLE[quartic][-1], rtol=0, atol=1e-12)
    assert weights[0] == weights[2] == 0.0  # parity


def test_correlators_to_all_digits():
    x = m.Oscillator(1.0, 6.0)
    expected = [0.1755983429, 0.0869660220, 0.0430761803, 0.0213370686]
    np.testing.assert_allclose(x.correlator([0.5, 1.0, 1.5, 2.0]), expected, rtol=0, atol=6e-11)
    expected = [-0.022952440020, -0.004643202128, -0.003882324780]
    times = [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0), (0.0, 0.5, 1.0, 1.5)]
    np.testing.assert_allclose(x.connected(times), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(x.connected(times[2][::-1]), expected[2], rtol=0, atol=1e-12)  # orders them itself
    assert abs(m.Oscillator(quartic=1.0).connected(times[1]) - -0.005427488471) < 1e-12
    ratio = np.log(x.correlator(0.5) / x.correlator(1.5))
    assert abs(ratio - 1.40522906) < 1e-8  # the effective mass is not the gap
    assert ratio - x.gap > 1e-4


@pytest.mark.parametrize(
    ("quartic", "moment", "gap"),
    [(1.0, -0.17161564, 0.41934046), (6.0, -0.07412014, 0.29729374), (24.0, -0.02638657, 0.20288932)],
)
def test_derivatives_in_the_mass(quartic, moment, gap):
    """Differences of two masses, and perturbation theory: d<x^2>/dm^2 = -sum_k <0|x^2|k>^2/(E_k - E_0)."""
    step = 1e-3
    down, up = (m.Oscillator(1.0 + s, quartic, accuracy=1e-12) for s in (-step, step))
    lower, upper = (m.Oscillator(1.0 + s, quartic, accuracy=1e-12) for s in (-2 * step, 2 * step))
    for name, expected in (("moment", moment), ("gap", gap)):
        far, near, before, after = (x.moment(2) if name == "moment" else x.gap for x in (upper, up, down, lower))
        slope = (8 * (near - before) - (far - after)) / (12 * step)
        assert abs(slope - expected) < 1e-8
    levels = m.Oscillator(1.0, quartic).levels(81)
    square = (levels.coordinates[0] @ levels.coordinates[0, :, 0])[1:] ** 2
    assert abs(-np.sum(square / levels.above[1:]) - moment) < 1e-8


@pytest.mark.parametrize(
    ("mass2", "quartic", "energy", "gap", "moment"),
    [
        (-1.0, 6.0, 0.147235140090, 0.725026057817, 0.667318690995),
        (-1.0, 24.0, 0.514780415527, 1.505771706578, 0.327506778210),
        (-2.0, 6.0, -0.299521367416, 0.345892449644, 1.207118472652),
    ],
)
def test_double_wells(mass2, quartic, energy, gap, moment):
    x = m.Oscillator(mass2, quartic)
    np.testing.assert_allclose((x.ground_energy, x.gap, x.moment(2)), (energy, gap, moment), rtol=0, atol=1.5e-12)


@pytest.mark.parametrize(
    ("quartic", "beta", "moment", "half", "log"),
    [
        (1.0, 4.0, 0.4630339840, 0.1002878810, -2.0988109157),
        (6.0, 4.0, 0.3569919650, 0.0426713542, -2.4800861043),
        (6.0, 10.0, 0.3548407213, 6.303212e-4, None),
    ],
)
def test_finite_beta(quartic, beta, moment, half, log):
    x = m.Oscillator(quartic=quartic, beta=beta)
    np.testing.assert_allclose((x.moment(2), x.correlator(beta / 2)), (moment, half), rtol=0, atol=6e-11)
    assert log is None or abs(x.log_partition - log) < 6e-11
    np.testing.assert_allclose(x.correlator(0.3), x.correlator([beta - 0.3, beta + 0.3, -0.3]), rtol=1e-12)
    shifted = np.array([0.0, 0.5, 1.0, 1.5]) + 3.1
    np.testing.assert_allclose(x.connected(shifted), x.connected([0.0, 0.5, 1.0, 1.5]), rtol=1e-9)


def test_the_harmonic_oscillator_is_known():
    w, beta = 1.3, 2.0
    x = m.Oscillator(w**2, beta=beta)
    t = np.array([0.0, 0.4, 1.0])
    expected = np.cosh(w * (beta / 2 - t)) / (2 * w * np.sinh(w * beta / 2))
    np.testing.assert_allclose(x.correlator(t), expected, rtol=1e-12)
    np.testing.assert_allclose(x.log_partition, -np.log(2 * np.sinh(w * beta / 2)), rtol=1e-12)
    np.testing.assert_allclose(x.spectrum(5), w * (np.arange(5) + 0.5), rtol=1e-13)
    assert abs(x.connected([0.0, 0.4, 1.0, 1.7])) < 1e-14
    assert abs(x.connected([0.0, 0.1, 0.4, 1.0, 1.7, 1.8])) < 1e-14


def on_a_grid(well, edge=7.0, nodes=141):
    """Another road: sinc functions on equal steps, where V and x are diagonal (D. Colbert, W. Miller, 1992)."""
    x, step = np.linspace(-edge, edge, nodes, retstep=True)
    apart = np.subtract.outer(np.arange(nodes), np.arange(nodes))
    with np.errstate(divide="ignore"):
        kinetic = np.where(apart == 0, np.pi**2 / 3, 2.0 * (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2)
    energy, state = np.linalg.eigh(kinetic / (2 * step**2) + np.diag(well(x)))
    return Levels(energy, (state.T @ (x[:, None] * state))[None], nodes)


ODD_ONES = [
    ({4: 1.0}, float("inf")),
    ({2: 1.0, 4: -2.0, 6: 0.5}, float("inf")),
    ({2: 0.5, 4: -0.03, 6: 1e-3}, 3.0),
    ({0: 2.0, 2: -3.0, 4: 0.25}, 1.5),
    ({2: 1.0, 8: 0.05}, 0.7),
]


@pytest.mark.parametrize(("potential", "beta"), ODD_ONES)
def test_another_road_finds_the_same(potential, beta):
    x = m.Oscillator(potential=potential, beta=beta)
    grid, times = on_a_grid(x.well), np.array([0.0, 0.2, 0.5, 1.1])
    np.testing.assert_allclose(x.spectrum(5), grid.energies[:5], rtol=0, atol=1e-9)
    np.testing.assert_allclose(x.gap, grid.above[1], rtol=0, atol=1e-9)
    for power in (2, 4, 6):
        expected = grid.correlation(np.zeros(power), (0,) * power, beta)
        np.testing.assert_allclose(x.moment(power), expected, rtol=1e-9)
    np.testing.assert_allclose(x.correlator(0.5), grid.correlation(times[[0, 2]], (0, 0), beta), rtol=1e-9)
    np.testing.assert_allclose(x.connected(times), grid.connected(times, (0,) * 4, beta)[0], rtol=1e-8)
    if np.isfinite(beta):
        np.testing.assert_allclose(x.log_partition, grid.log_partition(beta), rtol=1e-9)


def test_the_chain_is_its_lattice():
    """S of the chain with phi = x/sqrt(a), m2 = a^2 m^2, lam = a^3 quartic/24; what is left is of order a^2."""
    beta, quartic, exact = 4.0, 6.0, m.Oscillator(quartic=6.0, beta=4.0)
    found = []
    for sites in (16, 32, 64):
        a = beta / sites
        chain = m.Chain(a**2, a**3 * quartic / 24.0, sites).correlator()
        found.append(a * chain[[0, sites // 4, sites // 2]])
    coarse, middle, fine = np.array(found)
    rough, better = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    np.testing.assert_allclose((16 * better - rough) / 15, exact.correlator([0.0, 1.0, 2.0]), rtol=5e-6)
    assert np.all(np.abs(fine / exact.correlator([0.0, 1.0, 2.0]) - 1) > 1e-4)


def test_correlators_of_points():
    x, points = m.Oscillator(quartic=6.0), np.array([[0.0], [0.5], [1.0], [1.5]])
    data = x.correlators(points, orders=(2, 4, 6))
    assert (data.maker, data.even, data.orders) == ("exact", True, (2, 4, 6))
    np.testing.assert_allclose(data.tensor(2)[0], x.correlator(points[:, 0]), rtol=1e-12)
    np.testing.assert_allclose(data.tensor(4)[0, 1, 2, 3], x.connected(points[:, 0]), atol=1e-14)
    six = x.connected([0.0, 0.0, 0.5, 1.0, 1.0, 1.5])
    np.testing.assert_allclose(data.tensor(6)[0, 0, 1, 2, 2, 3], six, atol=1e-13)
    assert abs(six) > 1e-4


class Coarse(m.Oscillator):
    """The planted fault: bases that hold no ground state of two far wells."""

    sizes = (6, 9)


def test_bases_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"the moment \(2,\) of -3 x\^2 \+ 0.25 x\^4 .* difference of .* 6 and 9 func"):
        Coarse(-6.0, 6.0).moment(2)
    with pytest.raises(ValueError, match=r"expected a gap above .* times the rounding .* shallower wells"):
        _ = m.Oscillator(-20.0, 6.0).gap  # a splitting of 1e-30, below the rounding of E_0 = -97
    assert m.Oscillator(-20.0, 6.0).moment(2) > 19.0
    with pytest.raises(ValueError, match="larger beta"):
        m.Oscillator(quartic=6.0, beta=1e-3).moment(2)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"quartic": -1.0}, r"rises at large x, got -0.0416667 x\^4 as its highest term"),
        ({"mass2": -1.0}, r"got -0.5 x\^2 as its highest term"),
        ({"mass2": 0.0}, "got a constant as"),
        ({"potential": {2: 1.0, 6: -0.1}}, r"got -0.1 x\^6"),
        ({"potential": {3: 1.0}}, "even powers of x from 0 to 12, got 3"),
        ({"potential": {14: 1.0}}, "even powers of x from 0 to 12, got 14"),
        ({"potential": [0.5, 0.25]}, "power -> coefficient, got list"),
        ({"potential": {2: "a"}}, r"coefficient of x\^2 to be a finite number, got 'a'"),
        ({"potential": {4: 1.0}, "quartic": 1.0}, "mass2 and quartic or a potential"),
        ({"mass2": float("nan")}, "mass2 to be a finite number, got nan"),
        ({"quartic": 1.0, "beta": 0.0}, "expected beta > 0, got 0.0"),
        ({"quartic": 1.0, "accuracy": 0.0}, "accuracy from 1e-14"),
    ],
)
def test_what_is_no_oscillator_is_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        m.Oscillator(**words)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (lambda x: x.log_partition, "a finite beta for log Z"),
        (lambda x: x.spectrum(0), "states >= 1, got 0"),
        (lambda x: x.spectrum(1000), "at most 205 states, got 1000"),
        (lambda x: x.moment(2, 2), "1 powers >= 0"),
        (lambda x: x.correlator("soon"), "finite times, got 'soon'"),
        (lambda x: x.connected([0.0, 1.0, 2.0]), r"even number of times .* got shape \(3,\)"),
        (lambda x: x.connected(0.5), "even number of times"),
        (lambda x: x.correlator(1.0, fields=(0, 1)), r"2 coordinates among \(0,\), got \(0, 1\)"),
        (lambda x: x.correlators(np.eye(2)), "in one dimension"),
        (lambda x: x.correlators(np.array([[0.0], [1.0]]), orders=(3,)), "orders among 2, 4, 6"),
    ],
)
def test_what_it_does_not_know_is_refused(asked, complaint):
    with pytest.raises(ValueError, match=complaint):
        asked(m.Oscillator(quartic=1.0))


def test_it_says_what_it_is():
    said = str(m.Oscillator(-1.0, 6.0))
    assert said.startswith("H = p^2/2 + V, V = -0.5 x^2 + 0.25 x^4: energies 0.14723514009, 0.87226119791, ")
    assert issubclass(m.Oscillator, AbstractOscillator)
    assert m.Oscillator() == m.Oscillator(1.0, 0.0) != m.Oscillator(2.0)
    assert m.Oscillator(potential={4: 0.25, 2: 0.5}) == m.Oscillator(potential={2: 0.5, 4: 0.25})
    assert m.Oscillator(potential={4: 0.25, 2: 0.5}).gap == m.Oscillator(quartic=6.0).gap
    assert m.Oscillator(quartic=1.0).moment(3) == 0.0
    assert m.Oscillator(quartic=1.0).moment(0) == 1.0
