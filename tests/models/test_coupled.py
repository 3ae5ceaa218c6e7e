"""Two coupled oscillators: reference numbers, the couplings at which they fall apart, and O(2)."""

import numpy as np
import pytest

from nnft import models as m


@pytest.mark.parametrize(
    ("quartic", "coupling", "expected"),
    [
        (6.0, 2.0, (1.2992202152, 1.4957920309, 0.3333593757, 0.3162507318, -0.0057115628)),
        (1.0, 1 / 3, (1.0718993273, 1.1330473175, 0.4410311002, 0.5695113810, -0.0046713043)),
    ],
)
def test_reference_numbers_of_o2(quartic, coupling, expected):
    pair = m.CoupledOscillators(quartic=quartic, coupling=coupling)
    mixed = pair.connected(np.zeros(4), fields=(0, 0, 1, 1))
    found = (pair.ground_energy, pair.gap, pair.moment(2, 0), pair.moment(4, 0), mixed)
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-11)
    energy = pair.spectrum(6)
    np.testing.assert_allclose(energy[1], energy[2], rtol=1e-12)  # angular momentum +-1
    np.testing.assert_allclose(energy[3], energy[4], rtol=1e-12)  # +-2, and 0 above them
    assert energy[5] - energy[4] > 0.05
    # O(2): <x^4> = 3 <x^2 y^2>, and the same of what is connected at any times
    np.testing.assert_allclose(pair.moment(4, 0), 3 * pair.moment(2, 2), rtol=1e-10)
    times = [0.0, 0.3, 0.7, 1.0]
    mixed = [pair.connected(times, fields=f) for f in ((0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0))]
    np.testing.assert_allclose(pair.connected(times), np.sum(mixed), rtol=1e-8)


def test_at_kappa_equal_to_the_quartic_it_falls_apart():
    """u, v = (x +- y)/sqrt 2 are free of each other with 2 l: (l/24)(x^4 + y^4 + 6 x^2 y^2) = (2l/24)(u^4 + v^4)."""
    for beta in (float("inf"), 2.0):
        pair = m.CoupledOscillators(1.0, 6.0, 6.0, beta=beta)
        single = m.Oscillator(1.0, 12.0, beta=beta)
        np.testing.assert_allclose(pair.ground_energy, 2 * single.ground_energy, rtol=1e-11)
        np.testing.assert_allclose(pair.gap, single.gap, rtol=1e-11)
        np.testing.assert_allclose(pair.moment(2, 0), single.moment(2), rtol=1e-10)
        times = [0.0, 0.2, 0.5, 1.1]
        np.testing.assert_allclose(pair.correlator(0.5), single.correlator(0.5), rtol=1e-10)
        # G_c of x = (u + v)/sqrt 2 and of two x and two y: half that of u each
        np.testing.assert_allclose(pair.connected(times), single.connected(times) / 2, rtol=1e-8)
        np.testing.assert_allclose(pair.connected(times, fields=(0, 1, 0, 1)), single.connected(times) / 2, rtol=1e-8)
    np.testing.assert_allclose(pair.log_partition, 2 * single.log_partition, rtol=1e-11)


def test_without_a_coupling_each_is_alone():
    pair = m.CoupledOscillators((1.0, 0.5), (6.0, 0.0), beta=2.0)
    first, second = m.Oscillator(1.0, 6.0, beta=2.0), m.Oscillator(0.5, beta=2.0)
    np.testing.assert_allclose(pair.ground_energy, first.ground_energy + second.ground_energy, rtol=1e-11)
    np.testing.assert_allclose(pair.log_partition, first.log_partition + second.log_partition, rtol=1e-11)
    np.testing.assert_allclose(pair.correlator(0.7, fields=(1, 1)), second.correlator(0.7), rtol=1e-10)
    np.testing.assert_allclose(pair.moment(2, 2), first.moment(2) * second.moment(2), rtol=1e-10)
    assert pair.correlator(0.7, fields=(0, 1)) == 0.0
    assert abs(pair.connected([0.0, 0.1, 0.4, 0.9], fields=(0, 0, 1, 1))) < 1e-12


def test_perturbation_theory_sees_kappa():
    """A lost factor in kappa would be seen: dE_0/dkappa = <x^2 y^2>/4."""
    up, down = (m.CoupledOscillators((1.0, 2.0), (6.0, 3.0), 1.0 + s) for s in (1e-3, -1e-3))
    slope = (up.ground_energy - down.ground_energy) / 2e-3
    np.testing.assert_allclose(slope, m.CoupledOscillators((1.0, 2.0), (6.0, 3.0), 1.0).moment(2, 2) / 4, rtol=1e-6)


def test_the_bottom_is_the_lowest_point():
    x, y = np.meshgrid(np.linspace(-6, 6, 601), np.linspace(-6, 6, 601))
    for masses, quartics, kappa in [((-1, -1), (6, 6), 1.0), ((-1, 1), (6, 1), 2.0), ((-2, -1), (6, 3), -1.0)]:
        v = sum(a * q**2 / 2 + b * q**4 / 24 for a, b, q in zip(masses, quartics, (x, y), strict=True))
        lowest = np.min(v + kappa / 4 * x**2 * y**2)
        np.testing.assert_allclose(m.CoupledOscillators(masses, quartics, kappa).bottom, lowest, rtol=2e-3)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"quartic": 6.0, "coupling": -2.0}, r"coupling > -sqrt\(l_1 l_2\)/3 = -2, got -2; try coupling=-1"),
        ({"quartic": (6.0, 0.0), "coupling": -0.1}, r"= -0, got -0.1; try coupling=0"),
        ({"mass2": (1.0, 0.0)}, "rises along y, got quartic 0 with mass2 0"),
        ({"quartic": (-1.0, 1.0)}, "rises along x, got quartic -1"),
        ({"mass2": (1.0, 1.0, 1.0)}, "mass2 as one number or two"),
        ({"coupling": "strong"}, "coupling to be a finite number"),
    ],
)
def test_what_is_no_pair_is_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        m.CoupledOscillators(**words)


def test_it_asks_for_two_powers():
    with pytest.raises(ValueError, match=r"expected 2 powers >= 0, got \(2,\); try 2, 2"):
        m.CoupledOscillators(quartic=1.0).moment(2)
