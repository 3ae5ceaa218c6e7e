"""Potentials inserted into networks of a box, against the oscillator that the field is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.boxes.observables import Observables
from nnft.inference.boxes.poles import two_poles
from nnft.inference.insertion.reweighted import controlled, drawn
from tests.statistics import agree, disagree

BOX = m.Box(6.0, 12)
TRUTH = m.Oscillator(quartic=6.0, beta=6.0)


@pytest.fixture(scope="module")
def wide():
    theory = m.BoxTheory(BOX, 16, m.Potential.phi4(6.0))
    return inf.infinite_width(theory, inf.Reweighted(16_384), widths=(8, 16, 32), key=jax.random.key(5))


def test_the_free_field_comes_out_exactly():
    theory = m.BoxTheory(m.Box(6.0, 4, dimension=2), 8, readout="gaussian")
    found = inf.Reweighted(16_384).run(theory, key=jax.random.key(0))
    assert np.allclose(
        found.values[:-3], Observables(theory).prior, rtol=2e-5
    )  # its own controls: single precision is left
    assert abs(found.log_z.value) < 1e-6
    assert found.notes["ESS/n"] == pytest.approx(1.0, abs=1e-6)
    assert found.moment(2).value == pytest.approx(theory.box.variance, rel=1e-5)
    line = m.BoxTheory(m.Box(6.0, 4), 8)
    known = np.concatenate([Observables(line).prior, np.zeros(3)])
    free = inf.Averages(line, known, np.zeros((1, len(known))), None, "exact", 1.0, {})
    assert free.moment(2).value == pytest.approx(float(line.box.complete(0.0)), rel=1e-5)
    assert np.allclose(free.propagator([0.0, 0.7, 3.0]).value, line.box.complete([0.0, 0.7, 3.0]), rtol=1e-5)


def test_moments_log_z_and_gap_are_the_oscillators(wide):
    free = m.Oscillator(quartic=0.0, beta=6.0).log_partition
    for found, truth in (
        (wide.moment(2), TRUTH.moment(2)),
        (wide.moment(4), TRUTH.moment(4)),
        (wide.log_z(), TRUTH.log_partition - free),
        (wide.gap(), TRUTH.gap),
        *zip(wide.propagator([0.5, 1.5]), TRUTH.correlator([0.5, 1.5]), strict=True),
    ):
        agree(found.value, truth, found.error)
        assert found.error < 0.05 * abs(truth)
    # Not the numbers of another coupling, nor those of the field without its modes above the cutoff.
    square = wide.moment(2)
    disagree(square.value, m.Oscillator(quartic=5.0, beta=6.0).moment(2), square.error)
    disagree(wide.moment(2, complete=False).value, TRUTH.moment(2), square.error)


def test_the_circle_is_closed(wide):
    mass2, quartic = wide.couplings()
    agree([mass2.value, quartic.value], [6.0 * wide.found[0].theory.missing / 2.0, 6.0], [mass2.error, quartic.error])
    assert quartic.error < 0.7
    disagree(quartic.value, 1.0, quartic.error)


def test_what_was_found_can_be_read(wide):
    assert wide.widths == [8, 16, 32]
    for words in ("<phi^2>", "gap of phi", "degree 2", "counterterm, delta = 0.024"):
        assert words in str(wide)


def test_a_quadratic_law_is_found_and_a_line_alone_would_miss_it():
    widths, rng = [16, 32, 64, 128], np.random.default_rng(0)
    inverse = 1.0 / np.array(widths)
    rows = 1e-4 * np.eye(4)
    truth = 2.0 - 1.8 * inverse + 9.0 * inverse**2
    averages = inf.InfiniteWidth([_with_width(width) for width in widths])
    pulls = []
    for _ in range(300):
        values = truth + 1e-4 * rng.standard_normal(4)
        limit = averages.limit([inf.Estimate(v, rows[:, j]) for j, v in enumerate(values)])
        pulls.append((limit.value - 2.0) / limit.error)
    assert np.std(pulls) < 1.3
    assert abs(np.mean(pulls)) < 0.4
    assert abs(limit.degrees[1][0] - 2.0) > 10.0 * limit.degrees[1][1]


def _with_width(width):
    theory = m.BoxTheory(BOX, width)
    return inf.Averages(theory, np.zeros(18), np.zeros((4, 18)), None, "made up", 1.0, {})


def test_controls_take_what_they_know_and_own_up_to_what_they_cost():
    rng = np.random.default_rng(1)
    pulls, errors = [], []
    for _ in range(200):
        free = rng.standard_normal((64, 1, 3))
        weight = np.exp(0.2 * free[..., :1] + 0.1 * rng.standard_normal((64, 1, 1)))
        means = np.concatenate([weight, weight**2, weight * free, free], axis=2)
        values, rows = controlled(means, np.zeros((1, 3)))
        pulls.append((values[0, 1] - 0.2) / np.linalg.norm(rows[:, 0, 1]))
        errors.append(np.linalg.norm(rows[:, 0, 1]))
    agree(np.mean(np.square(pulls)), 1.0, 0.35 / 200**0.5 * 5)
    assert np.mean(errors) < 0.5 / 8.0  # an eighth without controls


def test_two_poles_of_exact_propagators():
    p = m.Box(10.0, 32).momenta
    single, double = 0.1, 1.0  # of the error: E'/E is 3.2 to 3.7 of one well, 4.7 and 8.0 of these two, off the prior
    for mass2, quartic, most in (
        (1.0, 1.0, single),
        (1.0, 6.0, single),
        (1.0, 24.0, single),
        (-1.0, 6.0, double),
        (-2.0, 6.0, double),
    ):
        oscillator = m.Oscillator(mass2=mass2, quartic=quartic)
        energy, weight = oscillator.spectrum(8) - oscillator.ground_energy, oscillator.weights(8)
        exact = sum(2.0 * e * z / (p**2 + e**2) for e, z in zip(energy[1:], weight[1:], strict=True))
        gap = two_poles(p, exact, np.diag(0.01 * exact)).gap
        assert abs(gap.value - oscillator.gap) < most * gap.error
        assert gap.error < 0.012 * gap.value


def test_the_first_slope_in_one_over_width_is_that_of_perturbation_theory():
    # -(lambda/24) int dy [6 C g(xxyy) + 8 G(x-y) g(xyyy)]/N, g = N G4c of the free networks.
    box, count = m.Box(10.0, 32), 260
    y = np.arange(count)[:, None] * (10.0 / count)
    tuples = np.array([[0, 0, k, k] for k in range(count)] + [sorted([0, k, k, k]) for k in range(count)])
    green = box.propagator(y[:, 0])
    for readout, expected in (("rademacher", 0.09189372), ("uniform", -0.20749335), ("gaussian", -0.65657396)):
        net = m.BoxTheory(box, 1, readout=readout).free
        g = np.concatenate([_connected(net, y, tuples[:count]), _connected(net, y, tuples[count:])]).reshape(2, -1)
        slope = -(10.0 / 24.0) * np.mean(6.0 * box.variance * g[0] + 8.0 * green * g[1])
        assert slope == pytest.approx(expected, abs=2e-7)


def _connected(net, points, tuples):
    fourth = net.as_sum.kinds[0].moments(points, tuples)[0] * net.readout_law.moment(4)
    x, green = points[tuples, 0].T, m.Box(10.0, 32).propagator
    pairings = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
    return fourth - sum(green(x[a] - x[b]) * green(x[c] - x[d]) for (a, b), (c, d) in pairings)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda key: inf.Reweighted(100), "16384"),
        (lambda key: inf.Reweighted(16_384).run(m.Network(m.Cos(), 4), key=key), "BoxTheory"),
        (lambda key: inf.Reweighted(16_384).run(m.BoxTheory(BOX, 4), key=0), "key"),
        (lambda key: inf.infinite_width(m.BoxTheory(BOX, 4), widths=(4, 8), key=key), "three different widths"),
        (
            lambda key: inf.infinite_width(m.BoxTheory(BOX, 4), inf.Reweighted(16_384), widths=(4, 6, 8), key=key),
            "largest is a multiple",
        ),
        (
            lambda key: inf.Reweighted(16_384).run(m.BoxTheory(m.Box(10.0, 32), 32, m.Potential.phi4(200.0)), key=key),
            "too strong for reweighting; try inf.Tempered",
        ),
    ],
)
def test_refusals_name_the_engine_to_try(run, words):
    with pytest.raises(ValueError, match=words):
        run(jax.random.key(0))


def test_the_forces_are_gradients_of_the_two_terms():
    theory = m.BoxTheory(m.Box(6.0, 3, dimension=2), 5, counterterm=0.0)

    @jax.jit
    def both(key):
        q = theory.coefficients(drawn(theory, key))
        second = jax.grad(lambda q: 0.5 * theory.box.volume * jnp.sum(q**2))(q)[0]
        fourth = jax.grad(lambda q: theory.box.volume * jnp.mean(theory.on_nodes(q, 4) ** 4) / 24.0)(q)[0]
        pairs = ((second, second), (second, fourth), (fourth, fourth))
        return Observables(theory)(q)[0][-3:], jnp.stack([jnp.sum(a * b / theory.box.curvature) for a, b in pairs])

    with jax.enable_x64(True):
        kept, direct = both(jax.random.key(0))
    assert np.allclose(kept, direct, rtol=1e-10)
    with pytest.raises(ValueError, match=r"phi.2 and phi.4"):
        inf.Averages(
            m.BoxTheory(BOX, 8, m.Potential({6: 0.1})), np.ones(19), np.ones((4, 19)), None, "", 1.0, {}
        ).couplings()
