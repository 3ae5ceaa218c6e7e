"""The gap from correlators: exact numbers to their digits, errors that cover, and what is too noisy or not positive."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

OSCILLATOR = m.Oscillator(quartic=6.0)
GAP = 1.405039134340
TIMES = np.array([0.5, 1.0, 1.5, 2.0])


def test_two_exponentials_are_pronys_numbers():
    data = inf.TimeCorrelators.given(TIMES, OSCILLATOR.correlator(TIMES))
    found = inf.Exponentials().gap(data)
    np.testing.assert_allclose(found.value, 1.4050391363, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.energies[1], 4.937031, rtol=0, atol=1e-6)
    assert (found.error, found.settled, found.dof) == (0.0, True, 0)
    roots = np.roots(prony(data.values[:, 0, 0]))  # and Prony's own two linear equations
    np.testing.assert_allclose(np.sort(-np.log(roots) / 0.5), found.energies, rtol=1e-9)


def prony(g):
    """Coefficients of the polynomial whose roots are e^(-E dt), from four even times."""
    back = np.linalg.solve([[g[1], g[0]], [g[2], g[1]]], [g[2], g[3]])
    return [1.0, -back[0], -back[1]]


def test_the_generalised_eigenvalue_is_known():
    exact = OSCILLATOR.correlators(np.arange(4)[:, None] * 0.5, orders=(2, 4, 6))
    data = inf.time_correlators(exact, times=[0.5, 1.0, 1.5])
    found = inf.Gevp(0.5, 1.0).gap(data)
    np.testing.assert_allclose(found.value, 1.4050395386, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.energies[1], 4.940194, rtol=0, atol=1e-6)
    assert 0 < found.value - GAP < found.bias * 2 < 1e-6
    assert inf.Gevp().gap(data).value == found.value  # the default pair of these times


def test_the_effective_mass_is_not_the_gap():
    data = inf.TimeCorrelators.given([0.5, 1.5], OSCILLATOR.correlator([0.5, 1.5]))
    mass = data.effective_mass()
    np.testing.assert_allclose(mass.values, [1.40522906], rtol=0, atol=1e-8)
    assert "above the gap by what higher states add" in str(mass)


@pytest.mark.parametrize("quartic", [1.0, 6.0])
def test_in_a_box_the_mirror_image_counts(quartic):
    """beta = 10: without the period the gap of late times would be wrong by per cents, which is refused."""
    box, gap = m.Oscillator(quartic=quartic, beta=10.0), m.Oscillator(quartic=quartic).gap
    times = np.arange(1, 9) * 0.5
    data = inf.TimeCorrelators.given(times, box.correlator(times), period=10.0)
    np.testing.assert_allclose(inf.Exponentials().gap(data).value, gap, rtol=1e-5)
    np.testing.assert_allclose(data.effective_mass().values[-3:], gap, rtol=1e-4)
    with pytest.raises(ValueError, match=r"needs the energy -1.* try period="):
        inf.Exponentials().gap(inf.TimeCorrelators.given(times, box.correlator(times)))
    exact = box.correlators(np.arange(10)[:, None] * 1.0, orders=(2, 4))
    one = inf.time_correlators(exact, powers=(1,), period=10.0)
    np.testing.assert_allclose(one.values[:, 0, 0], box.correlator(np.arange(6.0)), rtol=1e-12)


def test_a_free_field_is_one_exponential():
    for period in (float("inf"), 4.0):
        free = m.Oscillator(1.3**2, beta=period)
        data = inf.TimeCorrelators.given(TIMES, free.correlator(TIMES), period=period)
        for found in (inf.Exponentials(1).gap(data), inf.Exponentials(2).gap(data), inf.Gevp().gap(data)):
            np.testing.assert_allclose(found.value, 1.3, rtol=1e-9)
    assert "is not resolved" in inf.Exponentials(2).gap(data).how


def noisy(times, relative, count, *, rng, copies=1.0):
    """Correlators of the oscillator with errors that neighbours share, as measured ones have, and the covariance."""
    exact = OSCILLATOR.correlators(np.concatenate([[0.0], times])[:, None], orders=(2, 4, 6))
    data = inf.time_correlators(exact, times=times)
    size = np.sqrt(np.einsum("tii,tjj->tij", data.values[:1], data.values[:1]))
    apart = np.abs(np.subtract.outer(times, times))
    pairs = np.array([[1.0, 0.9, 0.8], [0.9, 1.0, 0.9], [0.8, 0.9, 1.0]])  # 11, 13, 33
    root = np.kron(np.linalg.cholesky(np.exp(-apart / 2.0)), np.linalg.cholesky(pairs))
    scale = relative * np.tile(size[0][[0, 0, 1], [0, 1, 1]], len(times))
    rows = (scale[:, None] * root).T.reshape(-1, len(times), 3)[:, :, [0, 1, 1, 2]].reshape(-1, len(times), 2, 2)
    draws = np.tensordot(rng.normal(size=(count, len(rows))), rows, axes=1)
    return [inf.TimeCorrelators(times, data.values + draw, copies * rows) for draw in draws]


@pytest.mark.parametrize(
    ("method", "relative", "bias", "count"),
    [(inf.Gevp(), 3e-3, 4e-7, 300), (inf.Gevp(0.5, 1.5), 3e-3, 4e-7, 300), (inf.Exponentials(), 2e-6, 3e-9, 100)],
    ids=["gevp", "gevp, a longer step", "two exponentials"],
)
def test_errors_are_the_scatter(method, relative, bias, count):
    """z of replicates: mean 0, mean square 1, of which n Gaussian ones miss by sqrt(2/n)."""
    data = noisy(TIMES, relative, count, rng=np.random.default_rng(1))
    found = [method.gap(one) for one in data]
    z = np.array([(one.value - GAP - bias) / one.error for one in found])
    agree([z.mean(), np.mean(z**2)], [0.0, 1.0], np.sqrt([1 / count, 2 / count]))
    # the planted fault: errors of three times as many networks
    wrong = [method.gap(inf.TimeCorrelators(TIMES, one.values, one.rows / np.sqrt(3))) for one in data]
    disagree(np.mean([((one.value - GAP - bias) / one.error) ** 2 for one in wrong]), 1.0, np.sqrt(2 / count))


def test_operators_lost_in_noise_are_left_out():
    """At t0 = 1 phi^3 says nothing that phi does not: it is left out, and the error still covers."""
    data = noisy(TIMES, 3e-3, 100, rng=np.random.default_rng(3))
    found = [inf.Gevp(1.0, 1.5).gap(one) for one in data]
    assert sum("the first 1 of 2 operators" in one.how for one in found) > 90
    z = np.array([(one.value - GAP) / one.error for one in found])
    agree([z.mean(), np.mean(z**2)], [0.0, 1.0], np.sqrt([1 / 100, 2 / 100]))


def test_what_is_not_resolved_is_said_and_covered():
    times = np.arange(1, 7) * 0.25
    data = noisy(times, 1e-3, 100, rng=np.random.default_rng(2))
    found = [inf.Exponentials().gap(one) for one in data]
    assert sum("one exponential (a second one is not resolved)" in one.how for one in found) > 90
    z = np.array([(one.value - GAP) / one.error for one in found])
    assert np.mean(np.abs(z) < 1.96) >= 0.9
    assert all(abs(one.bias) <= one.error for one in found if "not resolved" in one.how)


def ring(n, *, seed, sites=20):
    """Fields of a ring of a Gaussian field with an exact propagator, sites .5 apart, and its mass."""
    spacing, mass = 0.5, 1.0
    steps = 4.0 * np.sin(np.pi * np.arange(sites) / sites) ** 2
    rng = np.random.default_rng(seed)
    noise = np.fft.fft(rng.normal(size=(n, sites)), axis=1)
    fields = np.fft.ifft(noise / np.sqrt(steps / spacing + mass**2 * spacing), axis=1).real
    return fields, 2.0 * np.arcsinh(mass * spacing / 2.0) / spacing


@pytest.mark.parametrize("chain", [False, True])
def test_from_fields(chain):
    """An exact lattice propagator: one state, in a box; a chain that remembers has larger errors."""
    fields, gap = ring(8000, seed=4)
    if chain:
        old = fields.copy()
        for k in range(1, len(fields)):
            old[k] = 0.8 * old[k - 1] + 0.6 * fields[k]
        fields = old
    points = np.arange(20)[:, None] * 0.5
    source = inf.Samples(fields, points, chains=1) if chain else inf.Samples(fields, points, independent=True)
    data = inf.time_correlators(source, period=10.0, times=[0.5, 1.0, 1.5, 2.0])
    direct = [np.mean(fields * np.roll(fields, -k, axis=1) ** 3) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(data.values[:, 0, 1], direct, rtol=0.02)
    np.testing.assert_allclose(data.values[0, 0, 0], np.mean(fields * np.roll(fields, 1, axis=1)), rtol=1e-10)
    found = inf.Gevp().gap(data)
    agree(found.value, gap, found.error, family=1e-5)
    agree(inf.Exponentials().gap(data).value, gap, inf.Exponentials().gap(data).error, family=1e-5)
    assert 0.004 < found.error < 0.03
    # the planted fault: the mirror image forgotten
    open_line = inf.TimeCorrelators(data.times[2:], data.values[2:, :1, :1], 0.1 * data.rows[:, 2:, :1, :1])
    disagree(open_line.effective_mass().values, gap, open_line.effective_mass().errors)


def test_measured_correlators_and_fields_say_the_same():
    fields, _ = ring(2000, seed=5, sites=5)
    points = np.arange(5)[:, None] * 0.5
    source = inf.Samples(fields, points, independent=True)
    one = inf.time_correlators(source, period=2.5)
    other = inf.time_correlators(inf.measure(source, orders=(2, 4, 6)), period=2.5)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    np.testing.assert_allclose(one.errors, other.errors, rtol=1e-6)


def test_weights_count():
    fields, _ = ring(2000, seed=6, sites=6)

    class Half(inf.Source):
        points, n, weighted = np.arange(6)[:, None] * 0.5, 4000, True

        def read(self, start, count):
            return np.repeat(fields, 2, axis=0)[start : start + count]

        def read_weighted(self, start, count):
            return self.read(start, count), np.log(np.arange(start, start + count) % 2 * 1.0 + 1e-300)

    plain = inf.time_correlators(inf.Samples(fields, Half.points, independent=True))
    np.testing.assert_allclose(inf.time_correlators(Half()).values, plain.values, rtol=1e-12)


def test_jackknife_and_covariance_are_two_ways_to_say_errors():
    rng = np.random.default_rng(7)
    blocks = OSCILLATOR.correlator(TIMES) * (1 + 1e-3 * rng.normal(size=(50, 4)))
    mean = blocks.mean(axis=0)
    left_out = (50 * mean - blocks) / 49
    one = inf.TimeCorrelators.given(TIMES, mean, jackknife=left_out)
    other = inf.TimeCorrelators.given(TIMES, mean, covariance=np.cov(blocks.T) / 50)
    np.testing.assert_allclose(one.errors, other.errors, rtol=1e-9)
    np.testing.assert_allclose(inf.Gevp().gap(one).error, inf.Gevp().gap(other).error, rtol=1e-9)
    plain = inf.TimeCorrelators.given(TIMES, mean, covariance=np.full(4, 1e-3))
    np.testing.assert_allclose(plain.errors[:, 0, 0], 1e-3)


G = OSCILLATOR.correlator(TIMES)


@pytest.mark.parametrize(
    ("values", "errors", "method", "complaint"),
    [
        (
            G,
            np.full(4, 0.02),
            inf.Exponentials(),
            r"positive by more than three errors .* got 0.0431 \+- 0.02 at t = 1.5",
        ),
        (G, np.full(4, 0.5), inf.Gevp(), r"C\(t0\) positive by 3 errors, got 1 \+- .* for the first operator"),
        (-G, None, inf.Gevp(), "positive"),
        (G[::-1].copy(), None, inf.Gevp(), "largest eigenvalue between 0 and 1"),
        (2 * np.exp(-TIMES) - np.exp(-3 * TIMES), None, inf.Exponentials(), "weights that are positive, got -1"),
        (G[:3], None, inf.Exponentials(), "at least 4 times for 2 exponentials, got 3"),
        (G[:1], None, inf.Gevp(), "at least two times"),
        (G, None, inf.Gevp(1.0, 0.5), "start before at"),
        (G, None, inf.Gevp(0.7), "a time among .* got 0.7; try 0.5"),
        (G, None, inf.Exponentials(operator=1), "an operator below 1, got 1"),
        (G[:2], np.full(2, 1e-4), inf.Exponentials(1), "at least 3 times to see what a second"),
    ],
)
def test_what_shows_no_gap_is_refused(values, errors, method, complaint):
    data = inf.TimeCorrelators.given(TIMES[: len(values)], values, errors)
    with pytest.raises(ValueError, match=complaint):
        method.gap(data)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"times": [1.0, 0.5, 1.5, 2.0]}, "times that increase"),
        ({"period": 3.0}, "to half the period, got"),
        ({"values": G[:3]}, r"got \(4,\) and \(3,\)"),
        ({"covariance": np.eye(4), "jackknife": np.ones((3, 4))}, "got both"),
        ({"jackknife": np.ones((1, 4))}, "at least two of them"),
        ({"values": G * np.nan}, "finite correlators"),
        ({"covariance": np.diag([1.0, 1.0, 1.0, -1.0])}, "positive semi-definite"),
    ],
)
def test_what_is_no_correlator_is_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        inf.TimeCorrelators.given(**{"times": TIMES, "values": G} | words)


@pytest.mark.parametrize(
    ("points", "words", "complaint"),
    [
        (np.array([[0.0], [1.0], [3.0]]), {}, "evenly spaced points, got steps from 1 to 2"),
        (np.arange(6.0).reshape(3, 2), {}, r"on a line, \(point, 1\), got \(3, 2\)"),
        (np.arange(3.0)[:, None], {"period": 4.0}, "a period of 3, that of 3 points 1 apart"),
        (np.arange(3.0)[:, None], {"powers": (1, 2)}, "odd powers"),
        (np.arange(3.0)[:, None], {"times": [0.5]}, "lags that are multiples of 1 up to 2"),
    ],
)
def test_points_that_are_no_line_are_refused(points, words, complaint):
    source = inf.Samples(np.random.default_rng(0).normal(size=(50, 3)), points, independent=True)
    with pytest.raises(ValueError, match=complaint):
        inf.time_correlators(source, **words)


def test_one_field_at_a_time():
    fields = np.random.default_rng(0).normal(size=(500, 6, 2))
    pair = inf.Samples(fields, np.arange(6)[:, None] * 0.5, outputs=2)
    with pytest.raises(ValueError, match="of one field, got 2 outputs"):
        inf.time_correlators(pair)


def test_only_one_exponential_or_two():
    with pytest.raises(ValueError, match="one exponential or two, got 3"):
        inf.Exponentials(3)
