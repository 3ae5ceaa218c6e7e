"""Correlated neurons: which legs share a neuron, what survives infinite width, and what a fit makes of it."""

from functools import cache
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft.inference import Ensemble, Score, fit, measure, measure_patterns, split_widths
from nnft.inference.estimators.patterns import PATTERNS, _contributions, _distinct
from nnft.models import (
    Bilocal,
    Cos,
    FullQuartic,
    GammaScale,
    Gauss,
    LogNormalScale,
    Network,
    ReLU,
    exact,
    mixture_coupling,
)
from nnft.models.combinatorics import pairings, set_partitions, sorted_tuples
from nnft.models.diagrams.from_couplings import vertex
from tests.closed import fit as closed_fit
from tests.statistics import agree, disagree

POINTS = np.array([[-1.0], [0.4], [1.0]])


def test_sums_over_distinct_neurons_by_brute_force():
    h = np.random.default_rng(0).normal(size=(5, 2))
    powers = {r: np.sum(np.prod(h[:, sorted_tuples(2, r)], axis=2), axis=0) for r in (1, 2, 3, 4)}
    quads = sorted_tuples(2, 4)
    for partition in set_partitions(4):
        owner = {leg: k for k, block in enumerate(partition) for leg in block}
        truth = sum(
            np.prod([h[neurons[owner[leg]], quads[:, leg]] for leg in range(4)], axis=0)
            for neurons in permutations(range(5), len(partition))
        )
        np.testing.assert_allclose(_distinct(partition, quads, powers, 2), truth, rtol=1e-10, atol=1e-12)


def test_the_patterns_add_up_to_the_field_on_the_same_networks():
    """Averages over four networks of four neurons, summed over all 4^4 index tuples, against the plug-in cumulant."""
    h = np.random.default_rng(1).normal(size=(4, 4, 2))
    h -= h.mean(axis=0)
    quads, pairs, width = sorted_tuples(2, 4), sorted_tuples(2, 2), 4
    averages = []
    for shape in PATTERNS.values():
        total = np.zeros(len(quads))
        tuples = [t for t in product(range(width), repeat=4) if tuple(sorted(map(t.count, set(t)))) == shape]
        for t in tuples:
            total += np.mean(np.prod([h[:, t[leg]][:, quads[:, leg]] for leg in range(4)], axis=0), axis=0)
        averages.append(total / np.prod(np.arange(width, width - len(shape), -1)))
    second = [
        np.mean(h[:, i][:, pairs[:, 0]] * h[:, j][:, pairs[:, 1]], axis=0) for i, j in product(range(4), repeat=2)
    ]
    same = np.mean([v for v, (i, j) in zip(second, product(range(4), repeat=2), strict=True) if i == j], axis=0)
    other = np.mean([v for v, (i, j) in zip(second, product(range(4), repeat=2), strict=True) if i != j], axis=0)
    parts = _contributions(jnp.asarray(np.concatenate([*averages, same, other])), width, 2)
    phi = h.sum(axis=1) / np.sqrt(width)
    m2 = (phi.T @ phi) / len(phi)
    field = np.mean(np.prod(phi[:, quads], axis=2), axis=0)
    for k, quad in enumerate(quads.tolist()):
        field[k] -= sum(m2[quad[a], quad[b]] * m2[quad[c], quad[d]] for (a, b), (c, d) in pairings(4))
    np.testing.assert_allclose(np.sum(parts, axis=0), field, rtol=1e-4, atol=1e-5)


def test_independent_neurons_have_one_pattern_and_correlated_ones_two():
    """Gamma scale: iijj holds (1 - 1/N) Var tau sum_3 K K, iiii the rest; the twin has no correlation."""
    for scale in (None, GammaScale(0.3)):
        network = Network(Cos(), 6, shared_scale=scale)
        found = measure_patterns(Ensemble(network, points=POINTS[:2], n=40_000, key=jax.random.key(3)))
        truth = exact(network, POINTS[:2])
        kernel = truth.tensor(2)
        wick = [sum(kernel[q[a], q[b]] * kernel[q[c], q[d]] for (a, b), (c, d) in pairings(4)) for q in truth.tuples(4)]
        pair = 0.0 if scale is None else (1 - 1 / 6) * 0.3 * np.array(wick)
        expected = {"iiii": truth.connected(4) - pair, "iijj": pair, "iiij": 0.0, "iijk": 0.0, "ijkl": 0.0}
        for name, value in expected.items():
            agree(found.values[name], value, found.errors[name])
        agree(found.total, truth.connected(4), found.total_error)
        disagree(found.values["iijj"], (1 - 1 / 6) * 0.6 * np.array(wick), found.errors["iijj"])
    assert "iijj" in str(found)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Network((Cos(), Cos()), 8), "one kind of neurons"),
        (Network(Cos(), 3), "at least 4 neurons"),
        (lambda x: numpyro.deterministic("phi", x[:, 0]), "expected an ensemble of a Network"),
    ],
    ids=["kinds", "narrow", "foreign"],
)
def test_what_has_no_patterns_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        measure_patterns(Ensemble(source, points=POINTS, n=2000, key=jax.random.key(0)))


# ---- widths ---------------------------------------------------------------------------------------------------------


@cache
def at(width):
    network = Network(Cos(), width, shared_scale=GammaScale(0.2))
    ens = Ensemble(network, points=POINTS, n=20_000, key=jax.random.key(width))
    return measure(ens, space="readout", orders=(2, 4))


def test_widths_separate_what_survives_from_what_vanishes():
    split = split_widths({width: at(width) for width in (5, 20, 80)})
    far = exact(Network(Cos(), 10**12, shared_scale=GammaScale(0.2)), POINTS).connected(4)
    near = exact(Network(Cos(), 1, shared_scale=GammaScale(0.2)), POINTS).connected(4)
    agree(split.surviving.connected(4), far, split.surviving.error(4))
    agree(split.finite.connected(4), near - far, split.finite.error(4))
    assert split.beyond is not None
    assert split.beyond.p > 1e-6
    disagree(split.surviving.connected(4), 0.0, split.surviving.error(4))  # independent neurons keep nothing
    wrong = split_widths({width * (5 if width == 80 else 1): at(width) for width in (5, 20, 80)})
    disagree(wrong.surviving.connected(4), far, wrong.surviving.error(4))  # a mislabelled width
    assert "survives N = infinity" in str(split)


def test_one_width_or_no_error_cannot_separate():
    with pytest.raises(ValueError, match=r"at least 2 widths .*got \[5\]"):
        split_widths({5: at(5)})
    with pytest.raises(ValueError, match="expected order 4 or 6, got 2"):
        split_widths({5: at(5), 20: at(20)}, order=2)
    with pytest.raises(ValueError, match="got none at width 20"):
        split_widths({5: at(5), 20: exact(Network(Cos(), 20), POINTS)})


# ---- the action of the mixture --------------------------------------------------------------------------------------


def whitened_vertex(tree, kernel):
    """V of the fitted action in modes phi = L z, K = L L^T."""
    root = np.linalg.cholesky(kernel)
    return np.einsum("abcd,ai,bj,ck,dl->ijkl", vertex(tree["point"]["g4"].values, len(kernel)), *[root] * 4)


@pytest.mark.parametrize("scale", [GammaScale(0.05), LogNormalScale(0.2)], ids=["gamma", "log-normal"])
@pytest.mark.parametrize("points", [POINTS[:2], np.linspace(-2, 2, 4)[:, None]], ids=["two", "four"])
def test_the_exact_mixture_gives_the_exact_truncated_coupling(scale, points):
    """S4 = b (z.z)^2 in whitened modes: g_a = b, v_ab = g_a + g_b, u_ab = 0 and nothing else, b of physics."""
    network = Network(Cos(), 10**12, shared_scale=scale)
    truth = exact(network, points)
    found = whitened_vertex(fit(truth, FullQuartic(), key=jax.random.key(0)), truth.tensor(2)) / 24
    size, b = len(points), mixture_coupling(scale, len(points))
    unit = np.eye(size)
    form = sum(
        np.einsum(f"{'ijkl'[a]}{'ijkl'[c]},{'ijkl'[d]}{'ijkl'[e]}->ijkl", unit, unit) for (a, c), (d, e) in pairings(4)
    )
    np.testing.assert_allclose(found, b / 3 * form, rtol=1e-5, atol=1e-7 * abs(b) * 10)
    assert abs(b / (-scale.variance_of_tau / 8) - 1) > 0.1  # not the Taylor coefficient


def infinite(points):
    """The mixture at N = infinity as a NumPyro program, uncorrelated sites of unit variance."""
    tau = numpyro.sample("tau", dist.Gamma(5.0, 5.0))
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([points.shape[0]]).to_event(1))
    numpyro.deterministic("phi", jnp.sqrt(tau) * z)


def test_the_measured_mixture_has_it_within_errors():
    """Bilocal fit of 2e5 draws at N = infinity, two sites: g, v = g_a + g_b and u = 0."""
    ens = Ensemble(infinite, points=POINTS[:2], n=200_000, key=jax.random.key(5))
    tree = closed_fit(measure(ens), Bilocal(), key=jax.random.key(0), method=Score(metric=np.eye(2)), draws=200)
    posterior = tree["posterior"]
    mean, sd = ({n: op(posterior[n].values, axis=(0, 1)) for n in "guv"} for op in (np.mean, np.std))
    b = mixture_coupling(GammaScale(0.2), 2)
    agree(mean["g"], b, sd["g"])
    agree(mean["v"], 2 * b, sd["v"])
    agree(mean["u"], 0.0, sd["u"])
    disagree(mean["g"], 2 * b, sd["g"])
    disagree(mean["g"], -0.2 / 8, sd["g"])  # the Taylor coefficient


def test_a_fourth_moment_that_does_not_converge_has_no_patterns():
    network = Network(Gauss(1.0, 1.2), 20)
    with pytest.raises(ValueError, match=r"whose four-point function has an average, got: .*<phi\^8>"):
        measure_patterns(Ensemble(network, points=POINTS, n=50_000, key=jax.random.key(0)))


def test_the_six_point_function_is_a_polynomial_of_degree_two():
    """One ReLU site, independent neurons: G6c = c/N^2, nothing survives; a straight line in 1/N would say otherwise."""

    def six(width):
        ens = Ensemble(Network(ReLU(), width), points=np.ones((1, 1)), n=50_000, key=jax.random.key(width))
        return measure(ens, space="readout")

    found = {width: six(width) for width in (5, 15, 50)}
    split = split_widths(found, order=6)
    agree(split.surviving.connected(6), 0.0, split.surviving.error(6))
    with pytest.raises(ValueError, match="at least 3 widths"):
        split_widths({5: found[5], 50: found[50]}, order=6)
