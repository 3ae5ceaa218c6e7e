"""Integrals over the momenta of a regulated scalar field, and their draws, against closed forms and other rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from nnft.models.networks.momenta import Modes, Quantile, box_integral, box_momenta, momentum_radius, radial_integral
from tests.statistics import agree, disagree

SEPARATIONS = np.array([0.0, 0.3, 1.0, 2.7])


# ---- integrals over momenta -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("power", [-2.0, -1.0, -0.5, 0.0, 1.0])
def test_hard_cutoff_at_coincident_points(d, power):
    """int_0^L p^(d-1) (p^2+m^2)^b dp = m^2b L^d/d 2F1(-b, d/2; d/2+1; -L^2/m^2)."""
    for mass, cutoff in ((1.0, 3.0), (0.4, 60.0)):
        value, error = radial_integral(np.zeros(1), power, d, mass=mass, cutoff=cutoff)
        radial = special.hyp2f1(-power, d / 2, d / 2 + 1, -((cutoff / mass) ** 2))
        truth = 2 / ((4 * np.pi) ** (d / 2) * special.gamma(d / 2)) * mass ** (2 * power) * cutoff**d / d * radial
        assert value[0] == pytest.approx(truth, rel=1e-11)
        assert 0 < error < 1e-12 * abs(truth)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_ball_at_every_separation(d):
    """b = 0: the Fourier transform of a ball, (Lambda/2 pi q)^(d/2) J_(d/2)(Lambda q)."""
    cutoff, q = 40.0, SEPARATIONS[1:]
    value, error = radial_integral(q, 0.0, d, mass=0.7, cutoff=cutoff)
    truth = (cutoff / (2 * np.pi * q)) ** (d / 2) * special.jv(d / 2, cutoff * q)
    ball = radial_integral(np.zeros(1), 0.0, d, mass=0.7, cutoff=cutoff)[0][0]
    assert np.max(np.abs(value - truth)) < 1e-13 * ball
    assert np.max(np.abs(value - truth)) <= error < 1e-12 * ball


@pytest.mark.parametrize("d", [1, 3])
def test_hard_cutoff_propagator_by_another_quadrature(d):
    """QUADPACK's oscillatory rule, on cos(pq)/pi in d = 1 and p sin(pq)/(2 pi^2 q) in d = 3."""
    mass, cutoff = 0.7, 30.0
    value, _ = radial_integral(SEPARATIONS[1:], -1.0, d, mass=mass, cutoff=cutoff)
    for q, found in zip(SEPARATIONS[1:], value, strict=True):
        weight, front = ("cos", 1 / np.pi) if d == 1 else ("sin", 1 / (2 * np.pi**2 * q))
        truth = integrate.quad(
            lambda p: p ** ((d - 1) / 2) / (p**2 + mass**2), 0, cutoff, weight=weight, wvar=q, epsabs=1e-13, limit=200
        )[0]
        assert found == pytest.approx(front * truth, abs=1e-12)


def test_propagator_on_the_line_is_exponential():
    """The part beyond the cutoff is at most 2 f(Lambda)/(pi r), f = 1/(p^2+m^2), by the second mean-value theorem."""
    mass, r = 1.3, SEPARATIONS[1:]
    truth = np.exp(-mass * r) / (2 * mass)
    for cutoff in (30.0, 1000.0):
        value, error = radial_integral(r, -1.0, 1, mass=mass, cutoff=cutoff)
        assert np.all(np.abs(value - truth) < 2 / (np.pi * r * (cutoff**2 + mass**2)) + error)
    assert np.max(np.abs(value - truth)) > error  # and the cutoff is seen
    limit, none = radial_integral(r, -1.0, 1, mass=mass, cutoff=np.inf)
    assert np.allclose(limit, truth, rtol=1e-14)
    assert none == 0.0


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("power", [-2.0, -1.0])
def test_gaussian_regulator_by_proper_time(d, power):
    """I_b(r) = int dt t^(-b-1) exp(-m^2 t - r^2/4(t+a)) (4 pi (t+a))^(-d/2)/Gamma(-b), a = 1/(2 Lambda^2)."""
    mass, cutoff = 1.3, 4.0
    a = 1 / (2 * cutoff**2)
    value, error = radial_integral(SEPARATIONS, power, d, mass=mass, cutoff=cutoff, damped=True)
    for r, found in zip(SEPARATIONS, value, strict=True):
        truth = integrate.quad(
            lambda t: (
                t ** (-power - 1) * np.exp(-(mass**2) * t - r**2 / (4 * (t + a))) / (4 * np.pi * (t + a)) ** (d / 2)  # noqa: B023
            ),
            0,
            np.inf,
            epsabs=1e-14,
            epsrel=1e-12,
        )[0]
        assert found == pytest.approx(truth, rel=1e-9)
    assert error < 1e-11 * value[0]


def test_gaussian_regulator_in_the_plane_in_closed_form():
    """G2(0) = e^a E1(a)/4 pi, w_-1 = Lambda^2/2 pi, w_1 = (1 - a e^a E1(a))/4 pi, and I_0 a Gaussian; m = 1."""
    cutoff = 5.0
    a = 1 / (2 * cutoff**2)
    tail = np.exp(a) * special.exp1(a)

    def at(power, q=(0.0,)):
        return radial_integral(np.array(q), power, 2, mass=1.0, cutoff=cutoff, damped=True)[0]

    assert at(-1.0)[0] == pytest.approx(tail / (4 * np.pi), rel=1e-13)
    assert at(0.0)[0] == pytest.approx(cutoff**2 / (2 * np.pi), rel=1e-13)
    assert at(-2.0)[0] == pytest.approx((1 - a * tail) / (4 * np.pi), rel=1e-13)
    gauss = cutoff**2 / (2 * np.pi) * np.exp(-((cutoff * SEPARATIONS) ** 2) / 2)
    assert np.allclose(at(0.0, SEPARATIONS), gauss, rtol=0, atol=1e-13 * gauss[0])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_box_is_the_sum_over_its_momenta(d):
    q, momenta = np.random.default_rng(d).normal(size=(5, d)), box_momenta(d, length=3.0, modes=4)
    for power in (-1.0, 0.5):
        truth = np.cos(q @ momenta.T) @ (np.sum(momenta**2, axis=1) + 0.7**2) ** power / 3.0**d
        assert np.allclose(box_integral(q, power, mass=0.7, length=3.0, modes=4), truth, rtol=1e-12, atol=1e-13)


def test_the_box_on_the_line_is_the_periodic_propagator():
    """cosh(m(L/2 - r))/2m sinh(mL/2), less at most the modes beyond K; then exp(-mr)/2m as L grows."""
    mass, length, modes = 0.9, 4.0, 4000
    r = np.array([0.0, 0.5, 1.9])
    value = box_integral(r[:, None], -1.0, mass=mass, length=length, modes=modes)
    truth = np.cosh(mass * (length / 2 - r)) / (2 * mass * np.sinh(mass * length / 2))
    beyond = length / (2 * np.pi**2 * modes)
    assert np.all(np.abs(value - truth) < beyond)
    assert truth[0] - value[0] > 0.99 * beyond  # at r = 0 every missing mode is positive


@pytest.mark.parametrize("d", [1, 2])
def test_a_large_box_forgets_its_walls(d):
    """What the walls change falls like exp(-mL); at b = -4 the modes beyond K do not matter."""
    q, off = np.full((1, d), 0.4), []
    truth = radial_integral(np.array([0.4 * d**0.5]), -4.0, d, mass=1.0, cutoff=200.0)[0][0]
    for length in (8.0, 16.0, 32.0):
        value = box_integral(q, -4.0, mass=1.0, length=length, modes=int(3 * length))
        off.append(abs(value[0] / truth - 1))
    assert off[0] > 1e-3
    assert off[1] < 0.05 * off[0]
    assert off[2] < 1e-7


# ---- momenta --------------------------------------------------------------------------------------------------------


def shares(radius, d, *, mass, cutoff, alpha, damped=False):
    """Exact share of the momenta below `radius`, by incomplete integrals of the density."""
    if damped and alpha == -1.0:
        return special.gammainc(d / 2, radius**2 / (2 * cutoff**2))
    if damped:
        assert (d, alpha) == (2, 0.0)
        a = 1 / (2 * cutoff**2)
        return 1 - special.exp1(a * (radius**2 + mass**2)) / special.exp1(a * mass**2)

    def below(p):
        return p**d * special.hyp2f1(1 + alpha, d / 2, d / 2 + 1, -((p / mass) ** 2))

    return below(radius) / below(cutoff)


@pytest.mark.parametrize(
    ("d", "alpha", "damped", "mass"),
    [
        *[(d, alpha, False, 1.3) for d in (1, 2, 3) for alpha in (-1.0, -0.5, 0.0, 0.7)],
        *[(d, -1.0, True, 1.3) for d in (1, 2, 3)],
        (2, 0.0, True, 1.3),
        (3, 0.0, False, 0.02),
    ],
)
def test_quantiles_of_the_momentum(d, alpha, damped, mass):
    """To the stated 1e-6, and the rounding of single precision where that is used."""
    settings = {"mass": mass, "cutoff": 20.0, "alpha": alpha, "damped": damped}
    quantile = np.linspace(0, 1, 20_001)[1:-1]
    for x64, close in ((True, 1e-6), (False, 1e-6 + 8 * 2.0**-23)):
        with jax.enable_x64(x64):
            radius = np.asarray(momentum_radius(jnp.asarray(quantile), d, **settings), dtype=float)
        share = shares(radius, d, **settings)
        share = 1 - share if alpha > 0 else share
        assert np.max(np.abs(share - quantile)) < close
        assert np.all(np.diff(radius) * (1 if alpha <= 0 else -1) >= 0)


def test_a_wrong_power_of_the_momenta_would_be_seen():
    quantile = np.linspace(0, 1, 101)[1:-1]
    radius = np.asarray(momentum_radius(jnp.asarray(quantile), 3, mass=1.3, cutoff=20.0, alpha=0.05), dtype=float)
    assert np.max(np.abs(1 - shares(radius, 3, mass=1.3, cutoff=20.0, alpha=0.05) - quantile)) < 1e-5
    assert np.max(np.abs(1 - shares(radius, 3, mass=1.3, cutoff=20.0, alpha=0.0) - quantile)) > 0.01


def test_small_quantiles_are_finely_resolved():
    """P(v < 2^-16) in 2^22 draws of single precision: 64 expected, none zero."""
    drawn = np.asarray(Quantile().sample(jax.random.key(3), (1 << 22,)))
    assert drawn.dtype == np.float32
    low = drawn[drawn < 2.0**-16]
    agree(len(low), 64.0, 8.0)
    assert np.min(drawn) > 0
    assert np.max(drawn) <= 1
    assert np.any(low * 2.0**23 % 1 > 0)  # between the multiples of 2^-23, where the usual draw never is
    assert not np.any(np.asarray(jax.random.uniform(jax.random.key(3), (1 << 16,))) * 2.0**23 % 1)
    agree(np.mean(drawn, dtype=float), 0.5, np.sqrt(1 / 12 / drawn.size))
    agree(np.mean(np.log(drawn), dtype=float), -1.0, 1 / np.sqrt(drawn.size))


def test_modes_are_drawn_with_their_weights():
    weights = np.array([0.1, 3.0, 0.02, 1.0, 0.3])
    modes = Modes(weights)
    drawn = np.asarray(modes.sample(jax.random.key(5), (200_000,)))
    share = np.bincount(drawn, minlength=5) / drawn.size
    truth = weights / weights.sum()
    agree(share, truth, np.sqrt(truth * (1 - truth) / drawn.size))
    disagree(share, np.full(5, 0.2), 0.4 / np.sqrt(drawn.size))
    assert np.allclose(np.exp(modes.log_prob(np.arange(5))), truth, rtol=1e-5)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected cutoff times separation below about 1e7, got 1e"):
        radial_integral(np.array([1e5]), -1.0, 1, mass=1.0, cutoff=1e5)
    with pytest.raises(ValueError, match="expected power -1 without a cutoff, got -2"):
        radial_integral(np.zeros(1), -2.0, 1, mass=1.0, cutoff=np.inf)
    with pytest.raises(ValueError, match=r"expected a finite cutoff in d = 2, where G2\(0\) diverges"):
        radial_integral(np.zeros(1), -1.0, 2, mass=1.0, cutoff=np.inf)
    with pytest.raises(ValueError, match="expected points in dimension 1 to 4, got 5"):
        radial_integral(np.zeros(1), -1.0, 5, mass=1.0, cutoff=1.0)
    with pytest.raises(ValueError, match=r"expected at most 1048576 momenta, got \(2\*60 \+ 1\)\^3"):
        box_integral(np.zeros((1, 3)), -1.0, mass=1.0, length=1.0, modes=60)
