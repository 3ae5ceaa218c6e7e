"""Data that people bring to the axioms: small fields, single precision, rounded tables, uneven lags."""

import jax.numpy as jnp
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.reflections.verdict import worst_direction

THREE = [0.2, 0.5, 1.0]
LAGS = np.arange(12) * 0.25


def fields(kernel, scale=1.0, shift=0.0, n=4000):
    t = np.array([-1.0, -0.2, 0.2, 1.0])
    root = np.linalg.cholesky(kernel(np.abs(t[:, None] - t)))
    noise = np.random.default_rng(0).normal(size=(n, 4))
    return inf.Samples(scale * noise @ root.T, t[:, None] + shift, independent=True)


def wave(t):
    return np.exp(-(t**2) / 2.0)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_exact_verdicts_do_not_know_the_unit_of_the_field(order, scale):
    one, other = (inf.positivity(m.Network(m.Cos(), 3, output_scale=s), THREE, order=order) for s in (1.0, scale))
    assert one.violated
    assert other.violated
    assert abs(other.share - one.share) < 1e-8
    free = m.Network(m.ScalarMode(cutoff=float("inf")), 20, output_scale=scale)
    assert inf.positivity(free, THREE, order=order).violated == (order == 6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("order", [2, 4])
def test_networks_do_not_either(order, scale):
    one, other = (inf.positivity(fields(wave, s), order=order) for s in (1.0, scale))
    assert one.sigmas > 5.0
    assert abs(other.sigmas - one.sigmas) < 1e-3 * one.sigmas
    assert not inf.positivity(fields(lambda t: np.exp(-t), scale), order=order).violated


def test_the_constant_would_hide_a_small_field():
    """Planted: the pencil of the raw matrices, whose small functionals are taken for round-off."""
    k, m_ = np.diag([1.0, 1e-12, 1e-12]), np.diag([1.0, -1e-12, 1e-12])
    sizes, axes = np.linalg.eigh(k)
    assert np.sum(sizes > 1e-8 * sizes[-1]) == 1
    assert abs(axes[0, -1]) == 1.0
    assert abs(worst_direction(m_, k, resolved=1e-8)[1]) == 1.0


def test_the_time_of_the_reflection_is_said():
    found = inf.positivity(fields(wave, shift=3.0))
    assert found.about == 3.0
    assert "about t = 3" in str(found)


def test_single_precision_is_not_accused_and_a_violation_is_seen_in_it():
    assert not inf.positivity(lambda t: jnp.exp(-jnp.asarray(t, jnp.float32))).violated
    assert inf.positivity(lambda t: jnp.exp(-(jnp.asarray(t, jnp.float32) ** 2) / 2.0)).violated
    assert inf.positivity(lambda t: np.exp(-t).astype(np.float32).astype(float)).violated  # planted: f32 unsaid
    found = inf.real_time(lambda t: jnp.exp(-jnp.asarray(t, jnp.float32)) / 2.0, [1.0])
    assert abs(found.values[0] - np.exp(-1j) / 2.0) < 1e-6
    assert found.low[0].real < np.cos(1.0) / 2.0 < found.high[0].real


@pytest.mark.parametrize("digits", [3, 5, 8])
def test_a_rounded_table_says_its_digits(digits):
    theory = m.Oscillator(quartic=6.0)
    table = inf.TimeCorrelators.given(LAGS, np.round(theory.correlator(LAGS), digits))
    half = 0.5 * 10.0**-digits
    assert inf.positivity(table).violated
    assert not inf.positivity(table, accuracy=half).violated
    with pytest.raises(ValueError, match=r"eigenvalue -\S*[1-9]"):
        inf.real_time(table, [1.0])
    found, truth = inf.real_time(table, [1.0, -2.0, 5.0], accuracy=half), inf.real_time(theory, [1.0, -2.0, 5.0])
    for part in (np.real, np.imag):
        assert np.all((part(found.low) < part(truth.values)) & (part(truth.values) < part(found.high)))


def test_uneven_lags_are_asked_where_they_can_be():
    t = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.8])
    assert inf.positivity(inf.TimeCorrelators.given(t, np.exp(-t))).times.round(9).tolist() == [0.05, 0.15]
    for t in ([0.0, 0.1, 0.2, 0.4, 0.8], LAGS[1:]):
        with pytest.raises(ValueError, match="evenly spaced"):
            inf.positivity(inf.TimeCorrelators.given(t, np.exp(-np.asarray(t))))


def test_a_coarser_field_knows_how_well_it_is_known():
    points = np.array([-1.0, -0.5, 0.5, 1.0])[:, None]
    fine = m.exact(m.Network(m.Tanh(), 5), points, orders=(2, 4))
    kept = inf.decimate(fine, to=points[::-1])
    assert kept.about["accuracy"] == fine.about["accuracy"]
    one, other = (inf.positivity(data, order=4) for data in (fine, kept))
    assert other.rounding == pytest.approx(one.rounding)
    chain = m.Chain(1.0, 0.1, 6).correlators(np.arange(6.0)[:, None])
    assert inf.decimate(chain, every=2).about["accuracy"] >= chain.about["accuracy"]
    assert inf.block(chain, size=2).about["accuracy"] > chain.about["accuracy"]
