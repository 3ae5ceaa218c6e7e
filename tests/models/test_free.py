"""The free field in both times: its spectral density against its correlator, and networks with a cutoff beside it."""

import numpy as np
import pytest
from scipy import integrate, special

from nnft import models as m


@pytest.mark.parametrize("dimension", [2, 3, 4])
@pytest.mark.parametrize("separation", [0.0, 1.5])
def test_density_is_the_correlator(dimension, separation):
    """int rho exp(-E t) dE with E = (m^2 + p^2)^(1/2), dE = p dp/E."""
    free, mass = m.FreeField(1.3, dimension), 1.3

    def part(p, t):
        energy = np.hypot(p, mass)
        return float(free.density(energy, separation)) * np.exp(-energy * t) * p / energy

    for t in (0.7, 2.0):
        found = integrate.quad(part, 0.0, 60.0, args=(t,), limit=200, epsabs=1e-12)[0]
        assert abs(found - free.correlator(t, separation)) < 1e-8


def test_closed_forms():
    t = np.array([0.4, 1.0, 3.0])
    s = np.sqrt(t**2 + 0.25)
    np.testing.assert_allclose(m.FreeField(2.0, 3).correlator(t, 0.5), np.exp(-2.0 * s) / (4 * np.pi * s), rtol=1e-13)
    inside = np.sqrt(t[1:] ** 2 - 0.25)
    turned = np.exp(-2j * inside) / (4j * np.pi * inside)  # s = i (t^2 - r^2)^(1/2)
    np.testing.assert_allclose(m.FreeField(2.0, 3).real_time(t[1:], 0.5), turned, rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_real_time_is_the_continued_correlator(dimension):
    """G(i t) obeys the wave equation that G(t) obeys, with the other sign of time: (d_t^2 - laplace + m^2) G = 0."""
    free, r, h = m.FreeField(1.4, dimension), 0.0 if dimension == 1 else 0.8, 1e-3
    turned = free.real_time([1.7, -1.7, 0.3], r)
    assert turned[0] == np.conj(turned[1])
    assert turned[0].imag != 0.0
    before, here, after = free.real_time(np.array([1.7 - h, 1.7, 1.7 + h]), r)
    wave = (before - 2.0 * here + after) / h**2 + 1.4**2 * here
    if dimension > 1:
        assert abs(turned[2].imag) < 1e-15  # outside the light cone fields commute
        near, far = (free.real_time(1.7, r + s * h) for s in (-1.0, 1.0))
        wave = wave - (near - 2.0 * here + far) / h**2 - (dimension - 2.0) / r * (far - near) / (2.0 * h)
    assert abs(wave) < 1e-5
    # the side of the cut: Euclidean time 1e-9 + i t, whose root has a positive real part
    s, nu = np.sqrt(r**2 + (1e-9 + 1.7j) ** 2), dimension / 2.0 - 1.0
    side = (2.0 * np.pi) ** -(nu + 1.0) * (1.4 / s) ** nu * special.kv(nu, 1.4 * s)
    assert abs(here - side) < 1e-7


def test_networks_with_a_cutoff():
    free, times = m.FreeField(), [0.0, 0.5, 1.5]
    without = m.Network(m.ScalarMode(cutoff=float("inf")), 10)
    np.testing.assert_allclose(free.cutoff_effect(without, times), 0.0, atol=1e-14)
    small, large = (free.cutoff_effect(m.Network(m.ScalarMode(cutoff=c), 10), times) for c in (20.0, 200.0))
    assert abs(small[0] + (0.5 - np.arctan(20.0) / np.pi)) < 1e-12
    assert np.all(np.abs(large) < 0.11 * np.abs(small[0]))
    plane = m.FreeField(1.0, 2).cutoff_effect(m.Network(m.ScalarMode(cutoff=60.0), 10), [1.0], 0.5)
    assert abs(plane[0]) < 1e-3


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: m.FreeField(0.0), "a mass, finite and positive, got 0.0"),
        (lambda: m.FreeField(1.0, 5), "from 1 to 4, got 5"),
        (lambda: m.FreeField(1.0, 3).correlator(0.0), "not on the light cone"),
        (lambda: m.FreeField(1.0, 3).real_time(1.0, 1.0), "not on the light cone"),
        (lambda: m.FreeField(1.0, 1).correlator(1.0, 0.5), "no distance in space"),
        (lambda: m.FreeField(1.0, 1).density(2.0), "a dimension above 1"),
    ],
)
def test_what_is_infinite_is_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
