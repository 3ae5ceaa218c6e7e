"""The box against sums over its modes, fields against sums of waves, the action against a fine lattice."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from scipy import integrate

from nnft import inference as inf
from nnft import models as m
from nnft.models.boxes.phases import turned
from tests.statistics import agree, disagree

BOX = m.Box(10.0, 32)
LAW = {"rademacher": 1.0, "uniform": 1.8, "gaussian": 3.0}


def drawn(theory, seed=0):
    def draw(key):
        with handlers.seed(rng_seed=key):
            return theory.draw()

    with jax.enable_x64(True):
        return jax.jit(draw)(jax.random.key(seed))


def wave_sum(theory, parameters, x):
    """phi at x, (field, point), neuron by neuron."""
    box = theory.box
    ranges = [range(box.modes + 1), *[range(-box.modes, box.modes + 1)] * (box.dimension - 1)]
    p = 2.0 * np.pi / box.length * np.array(list(product(*ranges)))[np.asarray(parameters.mode)]
    square = np.sum(p**2, axis=-1) + box.mass**2
    every = np.array(list(product(range(-box.modes, box.modes + 1), repeat=box.dimension)))
    weights = (np.sum((2.0 * np.pi / box.length * every) ** 2, axis=1) + box.mass**2) ** -(1.0 + theory.alpha)
    amplitude = np.sqrt(2.0 * weights.sum() / box.volume * square**theory.alpha) * parameters.readout
    waves = np.cos(np.einsum("fnd,xd->fnx", p, x) + np.asarray(parameters.phase)[..., None])
    return np.einsum("fn,fnx->fx", amplitude, waves) / theory.width**0.5


def test_the_free_field_is_the_sum_over_its_modes():
    k = np.arange(-200_000, 200_001)
    square = (2.0 * np.pi * k / 10.0) ** 2
    low = np.abs(k) <= 32
    assert BOX.variance == pytest.approx(0.48447119, abs=5e-9)
    assert float(BOX.missing(0.0)) == pytest.approx(0.01557421, abs=5e-9)
    t = np.array([0.0, 0.7, 5.0, 9.3])
    whole = [np.sum(np.cos(2.0 * np.pi * k * one / 10.0) / (square + 1.0)) / 10.0 for one in t]
    assert np.allclose(BOX.complete(t), whole, atol=1e-6)
    assert np.allclose(BOX.complete(t) - BOX.missing(t), BOX.propagator(t), rtol=1e-13)
    assert BOX.missing_square(1.4) == pytest.approx(np.sum((square[~low] + 1.96) ** -2.0) / 10.0, rel=1e-9)
    assert BOX.propagator(0.0) == pytest.approx(BOX.variance, rel=1e-14)


@pytest.mark.parametrize(
    ("dimension", "readout", "alpha", "fields"),
    [(1, "rademacher", 0.0, 1), (1, "gaussian", -0.5, 2), (2, "rademacher", 0.0, 2), (2, "uniform", -1.0, 1)],
)
def test_a_field_is_the_sum_of_its_waves(dimension, readout, alpha, fields):
    box = m.Box(7.0, 3, mass=0.8, dimension=dimension)
    potential = m.Potential.phi4(2.0) if fields == 1 else m.Potential.pair(1.0, 0.5, 0.5)
    theory = m.BoxTheory(box, 6, potential, readout, alpha, counterterm=0.03)
    parameters = drawn(theory)
    with jax.enable_x64(True):
        x = np.random.default_rng(1).uniform(-9.0, 9.0, (11, dimension))

        @jax.jit
        def looked_at(parameters):
            q = theory.coefficients(parameters)
            return q, theory.gathered(parameters, 2), theory.field_at(q, x), theory.action(q)

        q, few, at, action = map(np.asarray, looked_at(parameters))
        assert np.allclose(at, wave_sum(theory, parameters, x), atol=1e-12)
        # Networks of a part of the neurons, side by side, are those of fewer neurons each.
        assert np.allclose(few.sum(axis=1) * 3.0**-0.5, q, atol=1e-12)
        # The average of phi^2 is sum q^2, the action that on a much finer lattice.
        line = np.arange(64) * (7.0 / 64)
        fine = wave_sum(theory, parameters, np.array(list(product(line, repeat=dimension))))
        assert np.allclose(np.mean(fine**2, axis=1), np.sum(q**2, axis=1), rtol=1e-12)
        assert float(action) == pytest.approx(box.volume * np.mean(theory.inserted(*fine)), rel=1e-12)
        free = 0.5 * np.sum(box.curvature * np.asarray(q) ** 2)
    momentum2 = box.curvature / box.volume - box.mass**2
    assert free == pytest.approx(0.5 * np.sum(box.volume * (momentum2 + 0.64) * np.asarray(q) ** 2))
    assert momentum2.max() == pytest.approx(dimension * box.cutoff**2)


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_lattice_has_the_modes_of_its_sites(dimension):
    box = m.Box(2.5, 2, mass=0.8, dimension=dimension, lattice=True)
    line = np.eye(5)
    hop = (2.0 * line - np.roll(line, 1, axis=0) - np.roll(line, -1, axis=0)) / box.spacing**2
    operator = hop if dimension == 1 else np.kron(hop, line) + np.kron(line, hop)
    green = np.linalg.inv(operator + 0.64 * np.eye(len(operator))) / box.spacing**dimension
    assert box.variance == pytest.approx(green[0, 0], rel=1e-13)
    assert np.allclose(np.sort(box.curvature / box.volume - 0.64), np.linalg.eigvalsh(operator), atol=1e-12)
    along = green[0].reshape((5,) * dimension)
    along = along if dimension == 1 else box.spacing * along.sum(axis=1)
    assert np.allclose(box.propagator(box.spacing * np.arange(5)), along, rtol=1e-12)
    assert box.missing(0.0) == 0.0
    sites = box.spacing * np.array(list(product(range(5), repeat=dimension)), dtype=float)
    theory = m.BoxTheory(box, 6, m.Potential.phi4(2.0), alpha=-0.5)
    assert np.allclose(m.exact(theory.free, sites[:3]).tensor(2), green[:3, :3], rtol=1e-12)
    q = np.random.default_rng(0).normal(size=(1, box.size))
    with jax.enable_x64(True):
        phi = np.asarray(theory.field_at(jnp.asarray(q), sites))
        action = float(theory.action(jnp.asarray(q)))
    assert action == pytest.approx(box.spacing**dimension * np.sum(theory.inserted(phi)), rel=1e-12)
    free = 0.5 * box.spacing**dimension * float(phi[0] @ (operator + 0.64 * np.eye(len(operator))) @ phi[0])
    assert free == pytest.approx(0.5 * np.sum(box.curvature * q**2), rel=1e-12)


def test_in_two_dimensions_a_potential_is_normal_ordered():
    box = m.Box(4.0, 3, dimension=2)
    theory = m.BoxTheory(box, 8, m.Potential.phi4(6.0))
    assert theory.missing == -box.variance
    # <:phi^4:> = <:phi^4: phi^2> = 0 in the Gaussian field of the box.
    again = theory.inserted.smeared(box.variance)
    assert np.allclose([again.constant, again.coefficient(2), again.coefficient(4)], [0.0, 0.0, 0.25], atol=1e-14)
    assert np.allclose(theory.mean_mass(), box.mass, rtol=1e-6)
    for counterterm, delta in ((False, 0.0), (0.1, 0.1), (-0.2, -0.2)):
        assert m.BoxTheory(box, 8, m.Potential.phi4(6.0), counterterm=counterterm).missing == delta


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_phases_are_turned_to_the_last_digit(kind):
    c = np.concatenate([np.linspace(-40.0, 40.0, 4001), np.pi * np.arange(-6, 7) / 2.0]).astype(kind)
    with jax.enable_x64(True):
        slope = jax.jit(jax.jacfwd(turned))(jnp.asarray(0.7, kind))
        found = [*jax.jit(turned)(jnp.asarray(c)), *slope]
    exact = [np.cos(c.astype(float)), np.sin(c.astype(float)), -np.sin(0.7), np.cos(0.7)]
    for one, truth in zip(found, exact, strict=True):
        assert one.dtype == kind
        assert np.abs(np.asarray(one, dtype=float) - truth).max() < 6.0 * np.finfo(kind).eps


def test_too_few_nodes_would_not_do():
    theory = m.BoxTheory(m.Box(7.0, 3), 4, m.Potential.phi4(2.0), counterterm=0.0)
    with jax.enable_x64(True):

        @jax.jit
        def both(parameters):
            q = theory.coefficients(parameters)
            return theory.action(q), 7.0 * jnp.mean(theory.inserted(*theory.on_nodes(q, 2)))

        exact, coarse = both(drawn(theory))
    assert abs(float(coarse / exact) - 1.0) > 1e-4


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_free_networks_are_those_of_the_scalar_mode(dimension):
    theory = m.BoxTheory(m.Box(6.0, 4, dimension=dimension), 5)
    x = np.array([[0.0, 0.0], [1.0, 0.3], [2.5, -1.0]])[:, :dimension]
    data = inf.measure(inf.Ensemble(theory, points=x, n=40_000, key=jax.random.key(2)))
    assert (data - m.exact(theory.free, x)).chi2(2, 4).p > 1e-5
    assert (data - m.exact(theory.wide(8).free, x)).chi2(2, 4).p < 1e-9
    assert np.allclose(m.exact(theory, x).connected(4), m.exact(theory.free, x).connected(4))


def test_weights_are_the_action():
    theory = m.BoxTheory(m.Box(10.0, 12), 16, m.Potential.phi4(6.0), counterterm=False)
    line = np.arange(50)[:, None] * (10.0 / 50)
    fields, logs = inf.Ensemble(theory, points=line, n=50, key=jax.random.key(0), dtype="float64").read_weighted(0, 50)
    assert np.allclose(-logs, 10.0 * np.mean(fields**4, axis=1) / 4.0, rtol=1e-10)
    pair = m.BoxTheory(m.Box(10.0, 12), 16, m.Potential.pair(2.0, 2.0, 1.0), counterterm=False)
    first, second = (
        inf.Ensemble(pair, points=line, n=200, key=jax.random.key(0), site=site).read(0, 200)[:, 0]
        for site in ("phi", "phi_2")
    )
    assert 0.0 < abs(np.corrcoef(first, second)[0, 1]) < 0.4


def test_a_counterterm_is_the_average_over_the_modes_left_out():
    potential = m.Potential({2: -0.3, 4: 0.25, 6: 0.01})
    phi, delta = 0.7, 0.2

    def averaged(eta):
        return np.exp(-(eta**2) / (2.0 * delta)) / np.sqrt(2.0 * np.pi * delta) * potential(phi + eta)

    assert float(potential.smeared(delta)(phi)) == pytest.approx(integrate.quad(averaged, -6.0, 6.0)[0], rel=1e-10)
    pair = m.Potential.pair(6.0, 2.0, 3.0).smeared(0.1, 0.3)
    assert pair.coefficient(2, 0) == pytest.approx(6.0 * 0.1 / 4.0 + 3.0 / 4.0 * 0.3)
    assert pair.coefficient(0, 2) == pytest.approx(2.0 * 0.3 / 4.0 + 3.0 / 4.0 * 0.1)
    assert pair.constant == pytest.approx(6.0 * 0.01 / 8.0 + 2.0 * 0.09 / 8.0 + 3.0 / 4.0 * 0.03)
    theory = m.BoxTheory(BOX, 8, m.Potential.phi4(6.0))
    assert theory.inserted.coefficient(2) == pytest.approx(6.0 * 0.01557421 / 4.0, rel=1e-6)
    off = m.BoxTheory(BOX, 8, m.Potential.phi4(6.0), counterterm=False)
    assert off.inserted == off.potential
    assert "1.2 % to the mass" in off.words
    assert np.allclose(potential.stiffness(0.2), -0.6 + 12 * 0.25 * 0.2 + 30 * 0.01 * 3 * 0.04)


def test_the_gradient_is_that_of_the_plain_sum():
    theory = m.BoxTheory(BOX, 50, m.Potential.phi4(6.0))
    parameters = drawn(theory)
    with jax.enable_x64(True):
        with_phase = lambda c: theory.action(theory.coefficients(parameters._replace(phase=c)))  # noqa: E731
        slope = jax.jit(jax.grad(with_phase))(parameters.phase)
        momentum, grid = jnp.asarray(BOX.momenta)[parameters.mode[0]], jnp.arange(130) * (10.0 / 130)

        def plain(c):
            waves = jnp.cos(momentum[:, None] * grid + c[0][:, None])
            return 10.0 * jnp.mean(theory.inserted((2.0 * BOX.variance / 50) ** 0.5 * jnp.sum(waves, axis=0)))

        assert np.allclose(slope, jax.jit(jax.grad(plain))(parameters.phase), atol=1e-11)


def test_the_prior_mean_of_the_action_is_exact():
    theory = m.BoxTheory(BOX, 4, m.Potential.phi4(6.0))
    with jax.threefry_partitionable(False):

        @jax.jit
        def quartic(key):
            def one(at):
                with handlers.seed(rng_seed=at):
                    q = theory.coefficients(theory.draw())
                return jnp.mean(theory.on_nodes(q, 4) ** 4)

            return jax.vmap(one)(jax.random.split(key, 20_000))

        values = np.asarray(quartic(jax.random.key(3)), dtype=float)
    truth = theory.free.as_sum.site_moments(np.zeros((1, 1)), 4)[1, 0]
    error = values.std() / len(values) ** 0.5
    agree(values.mean(), truth, error)
    disagree(values.mean(), 3.0 * BOX.variance**2, error)  # that of the Gaussian field


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: m.BoxTheory(m.Box(10.0, 4), 64, m.Potential.phi4(24.0)), "9.9 % with 4 modes.*try modes=9"),
        (lambda: m.BoxTheory(BOX, 64, m.Potential.phi4(-1.0)), "bounded below, got -0.04167 phi.4"),
        (lambda: m.BoxTheory(BOX, 64, m.Potential.pair(1.0, 1.0, -2.0)), "bounded below.*direction"),
        (lambda: m.BoxTheory(BOX, 64, m.Potential({2: -0.6})), "bounded below, got -0.1 phi.2"),
        (lambda: m.Box(10.0, 4, lattice=9), "lattice=True with 4 modes for 9 sites"),
        (lambda: m.Potential({3: 1.0}), "even powers"),
        (lambda: m.Potential([4, 1.0]), "power -> coefficient"),
        (lambda: m.Potential({(4, 0): 1.0, 4: 1.0}), "one field or of two throughout"),
        (lambda: m.Box(10.0, 0), "modes.*try 32"),
        (lambda: m.Box(-1.0, 4), "length of the box"),
        (lambda: m.Box(1.0, 4, dimension=3), "dimension 1 or 2"),
        (lambda: m.BoxTheory(BOX, 0), "width"),
        (lambda: m.BoxTheory(BOX, 4, readout="gausian"), "try 'gaussian'"),
        (lambda: m.BoxTheory(BOX, 4, counterterm=np.inf), "counterterm True, False or a variance"),
        (lambda: m.BoxTheory(BOX, 4)(np.zeros((3, 2))), "points of shape"),
    ],
)
def test_refusals_name_the_number(make, words):
    with pytest.raises(ValueError, match=words):
        make().inserted  # noqa: B018
