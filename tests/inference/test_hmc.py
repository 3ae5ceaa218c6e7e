"""Lattice phi^4 by hybrid Monte Carlo: the chain and the free lattice exactly, published numbers, and refusals."""

import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.models import theories
from tests.statistics import agree, disagree


@pytest.mark.parametrize(("m2", "lam", "seed"), [(1.0, 0.1, 0), (1.0, 1.0, 1), (-2.0, 0.5, 2), (0.3, 0.0, 3)])
def test_the_chain_is_known(m2, lam, seed):
    drawn = inf.sample_lattice(m2, lam, (16,), key=jax.random.key(seed), draws=120)
    exact = m.Chain(m2, lam)
    assert drawn.fields.shape == (256, 120, 16)
    assert 0.5 < drawn.acceptance <= 1.0
    ring = drawn.mean(lambda phi: np.mean(phi * np.roll(phi, -1, axis=-1), axis=-1))
    fourth = drawn.mean(lambda phi: np.mean(phi**4, axis=-1))
    found = (drawn.square, fourth, ring, drawn.susceptibility)
    truth = (exact.moment(2), exact.moment(4), exact.correlator()[1], exact.correlator().sum())
    agree([one.mean for one in found], truth, [one.error for one in found])
    # the planted fault: an action with one half too many
    wrong = m.Chain(m2, 2 * lam) if lam else m.Chain(m2 / 2, lam)
    disagree([one.mean for one in found], (wrong.moment(2), wrong.moment(4), wrong.correlator()[1], 0.0),
             [one.error for one in found])  # fmt: skip


@pytest.mark.parametrize("double", [False, True])
def test_the_free_lattice_is_known(double):
    shape, m2 = (8, 8), 0.5
    drawn = inf.sample_lattice(m2, 0.0, shape, key=jax.random.key(4), draws=60, double=double)
    assert drawn.fields.dtype == (np.float64 if double else np.float32)
    steps = [4 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape]
    power = 1.0 / (m2 + np.add.outer(*steps))
    propagator = np.fft.ifft2(power).real
    found = [
        drawn.mean(lambda phi, a=a, b=b: _beside(phi, shape, a, b)) for a, b in ((0, 0), (1, 0), (0, 1), (2, 3), (1, 5))
    ]
    truth = [propagator[a, b] for a, b in ((0, 0), (1, 0), (0, 1), (2, 3), (1, 5))]
    agree([one.mean for one in found], truth, [one.error for one in found])
    agree(drawn.susceptibility.mean, 1 / m2, drawn.susceptibility.error)


def _beside(phi, shape, a, b):
    field = phi.reshape(*phi.shape[:-1], *shape)
    return np.mean(field * np.roll(field, (-a, -b), axis=(-2, -1)), axis=(-2, -1))


def strip(m2, lam, columns, nodes=18, edge=2.6):
    """<phi^2> and chi of a 2 x `columns` torus, exactly: a transfer matrix between columns of two sites."""
    x, step = np.linspace(-edge, edge, nodes, retstep=True)
    first, second = (part.ravel() for part in np.meshgrid(x, x, indexing="ij"))
    well = sum(m2 * q**2 / 2 + lam * q**4 for q in (first, second)) + (first - second) ** 2  # two bonds of one half
    hop = ((first[:, None] - first) ** 2 + (second[:, None] - second) ** 2) / 2
    energy, state = np.linalg.eigh(step**2 * np.exp(-hop - (well[:, None] + well) / 2))
    energy = np.maximum(energy / energy[-1], 0.0)
    total = np.sum(energy**columns)
    square = np.sum(energy**columns * np.einsum("ik,i,ik->k", state, (first**2 + second**2) / 2, state)) / total
    both = state.T @ ((first + second)[:, None] * state)
    apart = [np.einsum("i,ij,j->", energy ** (columns - r), both**2, energy**r) / total for r in range(columns)]
    return square, sum(apart) / 2


def test_a_strip_with_an_interaction_is_known():
    for m2, lam, seed in ((-1.0, 0.5, 10), (-2.0, 1.0, 11)):
        truth = strip(m2, lam, 4)
        np.testing.assert_allclose(truth, strip(m2, lam, 4, nodes=22), rtol=1e-4)
        drawn = inf.sample_lattice(m2, lam, (2, 4), key=jax.random.key(seed), draws=200)
        found = (drawn.square, drawn.susceptibility)
        agree([one.mean for one in found], truth, [one.error for one in found])
        disagree([one.mean for one in found], strip(m2, 1.1 * lam, 4), [one.error for one in found])


@pytest.mark.parametrize(
    ("size", "coupling", "square", "chi"),
    [(8, 8.0, (0.14343, 3e-5), (0.7411, 1.7e-3)), (8, 6.008, (0.18389, 5e-5), (1.890, 6e-3))],
)
def test_two_dimensions_are_as_published(size, coupling, square, chi):
    """Numbers of S = sum (d phi)^2 + m2 phi^2 + lambda phi^4, m2 = -4: phi^2 and chi are twice as large here."""
    half = m.convert_lattice({"m2": -4.0, "coupling": coupling}, "unit", "half", dimensions=2)
    m2, lam = half.values["m2"], half.values["coupling"]
    drawn = inf.sample_lattice(m2, lam, (size, size), key=jax.random.key(5), draws=100)
    found = (drawn.square, drawn.susceptibility)
    scale = half.field_scale**2
    truth = scale * np.array([square[0], chi[0]])
    errors = ([one.error for one in found], scale * np.array([square[1], chi[1]]))
    agree([one.mean for one in found], truth, errors)
    disagree([one.mean for one in found], truth / scale, errors)
    assert drawn.rhat < 1.05


def test_the_numbers_in_print_are_those_of_the_sampler():
    """Of `nnft models`: other seeds, within both errors."""
    known = tomllib.loads((Path(theories.__file__).parent / "known.toml").read_text(encoding="utf-8"))["lattice"]
    for m2, lam, sites, square, square_error, chi, chi_error in known["rows"]:
        drawn = inf.sample_lattice(m2, lam, (int(sites), int(sites)), key=jax.random.key(12), draws=100)
        found = (drawn.square, drawn.susceptibility)
        agree([one.mean for one in found], [square, chi], ([one.error for one in found], [square_error, chi_error]))


def test_fields_are_a_source():
    drawn = inf.sample_lattice(1.0, 0.1, (16,), key=jax.random.key(6), draws=120)
    again = inf.sample_lattice(1.0, 0.1, (16,), key=jax.random.key(6), draws=120)
    np.testing.assert_array_equal(drawn.fields, again.fields)
    samples = drawn.samples
    assert samples.n == 256 * 120
    assert samples.points[:3].tolist() == [[0.0], [1.0], [2.0]]
    data = inf.time_correlators(samples, period=16.0, times=[1.0, 2.0, 3.0])
    gap = inf.Gevp().gap(data)
    agree(gap.value, m.Chain(1.0, 0.1).gap, gap.error)


def test_the_sign_is_drawn():
    """Two deep wells: a chain would stay in the one where it began; <phi> is zero, and its tau that of coin flips."""
    drawn = inf.sample_lattice(-6.0, 1.0, (16,), key=jax.random.key(7), draws=120)
    found = drawn.mean(lambda phi: np.mean(phi, axis=-1))
    agree(found.mean, 0.0, found.error)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"lam": -0.1}, "bounded below, .* got lam = -0.1"),
        ({"lam": 0.0, "m2": 0.0}, "bounded below"),
        ({"shape": 8}, r"a shape like \(16,\) or \(8, 8\), got 8"),
        ({"shape": (8, 0)}, "a shape like"),
        ({"chains": 1}, "chains >= 4, got 1"),
        ({"draws": 2}, "draws >= 8, got 2"),
        ({"length": -1.0}, "length above 0, got -1"),
        ({"m2": "light"}, "bounded below"),
    ],
)
def test_what_is_no_lattice_is_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        inf.sample_lattice(**{"m2": 1.0, "lam": 0.1, "shape": (8, 8), "key": jax.random.key(0)} | words)


def test_chains_that_do_not_agree_are_refused():
    """Kinks of the hot chains freeze between deep wells; a trajectory too short to move is seen in the same way."""
    with pytest.raises(ValueError, match=r"chains that agree on <phi\^2>.* got R-hat .* and .* sigma"):
        inf.sample_lattice(-30.0, 1.0, (16,), key=jax.random.key(8), draws=40)
    with pytest.raises(ValueError, match="chains that agree"):
        inf.sample_lattice(1.0, 0.1, (16,), key=jax.random.key(9), draws=40, length=0.01)
