"""Levels of a correlator: known ones taken out, weights with errors, an interval that holds what is not resolved."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

FIELD = m.Path(m.Network(m.Cos(), 10))
OSCILLATOR = m.Oscillator(quartic=6.0)


def on_path(times):
    return inf.TimeCorrelators.given(times, FIELD.spectrum(400).correlator(times))


def test_first_energy_of_the_path_from_exact_correlators():
    """The constant is a known level; without it, four operators give the energy 1 to 1e-6."""
    data = inf.shifted(inf.without_level(on_path(np.arange(4, 16) * 0.5)), 4)
    found = inf.Gevp().gap(data)
    assert abs(found.value - 1.0) < 1e-6
    assert abs(found.weights[0] - FIELD.spectrum(2).weights[1]) < 1e-6  # what the constant took is put back
    late = inf.Exponentials().gap(inf.without_level(on_path(np.arange(6.0, 14.0))))
    assert abs(late.value - 1.0) < 1e-6
    # the planted fault: the constant left in
    assert abs(inf.Gevp().gap(inf.shifted(on_path(np.arange(4, 16) * 0.5), 4)).value - 1.0) > 0.9


@pytest.mark.parametrize("period", [float("inf"), 6.0])
def test_weights_of_the_oscillator(period):
    """Z_1 = |<0|x|1>|^2, from two operators and from two exponentials; in a box at a low temperature."""
    theory = OSCILLATOR if np.isinf(period) else m.Oscillator(1.3**2, beta=period)
    times = np.arange(1, 6) * 0.5
    if np.isinf(period):
        exact = theory.correlators(np.concatenate([[0.0], times])[:, None], orders=(2, 4, 6))
        data, weight, error = inf.time_correlators(exact, times=times), theory.weights(2)[1], 3e-5
    else:
        data = inf.TimeCorrelators.given(times, theory.correlator(times), period=period)
        weight, error = 1.0 / (2.6 * -np.expm1(-1.3 * period)), 1e-8
    assert abs(inf.Gevp().gap(data).weights[0] - weight) < error
    assert abs(inf.Exponentials().gap(data).weights[0] - weight) < error


def test_errors_of_weights_are_the_scatter():
    """Two states in two operators: z of replicates of energies and weights; the fault: errors too small by sqrt(3)."""
    rng, times = np.random.default_rng(5), np.array([0.5, 1.0])
    overlaps, energies = np.array([[0.6, 0.3], [0.4, -0.5]]), np.array([1.0, 2.2])
    values = np.einsum("ik,tk,jk->tij", overlaps, np.exp(-times[:, None] * energies), overlaps)
    rows = 2e-4 * rng.normal(size=(12, 2, 2, 2))
    rows = (rows + rows.transpose(0, 1, 3, 2)) / 2.0
    count, z = 300, []
    for draw in np.tensordot(rng.normal(size=(count, 12)), rows, axes=1):
        found = inf.Gevp(0.5, 1.0).gap(inf.TimeCorrelators(times, values + draw, rows))
        z.append(np.concatenate([(found.energies - energies) / found.errors,
                                 (found.weights - overlaps[0] ** 2) / found.weight_errors]))  # fmt: skip
    square = np.mean(np.square(z), axis=0)
    agree([*np.mean(z, axis=0), *square], [0.0] * 4 + [1.0] * 4, np.sqrt([1 / count] * 4 + [2 / count] * 4))
    disagree(3.0 * square, 1.0, np.sqrt(2 / count))


def noisy(times, values, relative, count, *, rng):
    """Correlators with errors that neighbours share."""
    apart = np.abs(np.subtract.outer(times, times))
    covariance = (relative * values[0]) ** 2 * np.exp(-apart) * np.outer(values, values) / values[0] ** 2
    return [inf.TimeCorrelators.given(times, draw, covariance)
            for draw in rng.multivariate_normal(values, covariance, size=count)]  # fmt: skip


def test_the_interval_holds_what_is_not_resolved():
    """At least 14 of 20 cover where .95 is asked (false alarm 3e-5); of two exponentials, the fault, few do."""
    times = np.arange(1, 13) * 0.25
    spectrum = FIELD.spectrum(60)
    values = spectrum.correlator(times) - spectrum.weights[0]
    data = noisy(times, values, 3e-3, 20, rng=np.random.default_rng(8))
    found = [inf.Constrained().gap(one) for one in data]
    assert sum(one.interval[0] < 1.0 < one.interval[1] for one in found) >= 14
    assert np.mean([one.interval[1] - one.interval[0] for one in found]) < 0.4
    plain = [inf.Exponentials().gap(one) for one in data]
    assert sum(abs(one.value - 1.0) < 1.96 * one.error for one in plain) < 14
    assert "95 % in" in str(found[0])


@pytest.mark.parametrize(
    ("spectrum", "gap"),
    [
        (m.Spectrum(np.array([1.0]), np.array([0.5])), 1.0),
        (m.Spectrum(np.array([1.0, 3.0]), np.array([0.3, 0.02])), 1.0),
    ],
)
def test_a_state_without_weight_is_not_found_below(spectrum, gap):
    """One level, or one that outweighs: the interval is narrow and about it, not about a level that nobody sees."""
    times = np.arange(1, 13) * 0.25
    data = noisy(times, spectrum.correlator(times), 1e-2, 1, rng=np.random.default_rng(11))[0]
    found = inf.Constrained().gap(data)
    assert found.interval[1] - found.interval[0] < 0.3
    agree(found.value, gap, found.error, family=1e-5)


def test_a_known_level_or_none_is_the_same_information():
    times = np.arange(1, 14) * 0.25
    data = noisy(times, FIELD.spectrum(60).correlator(times), 3e-3, 1, rng=np.random.default_rng(9))[0]
    one = inf.Constrained(known=(0.0,)).levels(data)
    other = inf.Constrained().levels(inf.without_level(data))
    for k in (0, 1):
        np.testing.assert_allclose(one.energy(k), other.energy(k), rtol=1e-6)
        np.testing.assert_allclose(one.weight(k), other.weight(k), rtol=1e-6)
    assert one.known == 1
    assert np.all(one.energies[:, 0] == 0.0)
    turned = one.real_time([0.0, 0.5])
    assert np.all(turned.low.real <= turned.values.real)
    assert np.all(turned.values.imag <= turned.high.imag)
    assert turned.values[0].imag == 0.0
    assert "95%" in str(turned)
    with pytest.raises(ValueError, match="a state below 6"):
        one.energy(6)
    with pytest.raises(ValueError, match="a level between 0 and 1, got 2"):
        one.real_time([0.0], level=2)
    with pytest.raises(ValueError, match="finite real times"):
        one.real_time([np.nan])


TIMES = np.arange(1, 9) * 0.5
G = FIELD.spectrum(100).correlator(TIMES)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: inf.without_level(inf.TimeCorrelators.given([0.0, 1.0, 3.0], G[:3])), "three evenly spaced times"),
        (lambda: inf.without_level(inf.TimeCorrelators.given(TIMES, G), -1.0), "the energy of a level, zero or more"),
        (lambda: inf.without_level(inf.TimeCorrelators.given(TIMES, G, period=9.0)), "on a line, got a box of length"),
        (lambda: inf.shifted(inf.TimeCorrelators.given(TIMES, G), 5), "up to 4, half of the 8 times, got 5"),
        (lambda: inf.shifted(inf.TimeCorrelators.given(TIMES, G), 2, operator=1), "an operator below 1, got 1"),
        (lambda: inf.Constrained().gap(inf.TimeCorrelators.given(TIMES, G)), "correlators with errors, got exact"),
        (
            lambda: inf.Constrained().gap(inf.TimeCorrelators.given(TIMES, G, np.full(8, 0.2))),
            r"a signal that falls by more than 3 errors, got the effective mass 0.237",
        ),
        (
            lambda: inf.Constrained().gap(inf.TimeCorrelators.given(TIMES[:3], G[:3], 1e-3 * G[:3])),
            "at least 4 times to see a level and what hides behind it, got 3",
        ),
        (lambda: inf.Constrained(count=1), "2 to 8 levels"),
        (lambda: inf.Constrained(nodes=1000), "a power of two"),
        (lambda: inf.Constrained(known=(-1.0,)), "known energies, zero or more"),
        (lambda: inf.Constrained(spread=0.0), "a spread of log spacings"),
    ],
)
def test_what_shows_no_level_is_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
