"""Latents all neurons share: the exact law of total cumulance, and the interaction that survives infinite width."""

from itertools import combinations_with_replacement

import numpy as np
import numpyro
import pytest
from scipy import stats

from nnft.models import (
    Cos,
    Erf,
    GammaScale,
    Gauss,
    LogNormalLength,
    LogNormalScale,
    Network,
    ReLU,
    StudentScale,
    Tanh,
    exact,
    mixture_coupling,
)
from nnft.models.analytic.exact import known_orders
from nnft.models.combinatorics import connected_from_moments, moments_from_connected, pairings, sorted_tuples
from nnft.models.networks.readouts import READOUTS

LINE = np.array([[-0.4], [0.1], [0.9]])
SCALES = [GammaScale(0.3), LogNormalScale(0.2), StudentScale(9.0)]
LAWS = {
    GammaScale: lambda s: stats.gamma(1 / s.variance, scale=s.variance),
    LogNormalScale: lambda s: stats.lognorm(np.log1p(s.variance) ** 0.5, scale=(1 + s.variance) ** -0.5),
    StudentScale: lambda s: stats.invgamma(s.nu / 2, scale=s.nu / 2 - 1),
}
ids = lambda value: type(value).__name__  # noqa: E731


@pytest.mark.parametrize("scale", SCALES, ids=ids)
def test_the_moments_of_a_scale_are_those_of_its_law(scale):
    law = LAWS[type(scale)](scale)
    for power in (1, 2, 3):
        assert scale.moment(power) == pytest.approx(law.expect(lambda t, k=power: t**k), rel=1e-4)
        assert scale.moment(power) == pytest.approx(law.moment(power), rel=1e-10)
    drawn = scale.law()
    t = np.array([0.3, 1.0, 2.0])
    assert np.allclose(np.exp(drawn.log_prob(t)), law.pdf(t), rtol=1e-4)


@pytest.mark.parametrize("scale", SCALES, ids=ids)
@pytest.mark.parametrize("readout", READOUTS)
def test_the_four_point_function_of_a_scale_mixture(scale, readout):
    """G4c = (1/N)[mu4 E tau^2 <ssss> - sum_3 E tau^2 K K] + Var tau sum_3 K K, written out point by point."""
    network = Network(Cos(), 7, readout, output_scale=1.3, output_bias=0.4, shared_scale=scale)
    kernel = exact(Network(Cos(), 1), LINE).tensor(2)
    quartic = exact(Network(Cos(), 1, "rademacher"), LINE).tensor(4, "moment")
    truth = []
    for quad in combinations_with_replacement(range(3), 4):
        wick = sum(kernel[quad[a], quad[b]] * kernel[quad[c], quad[d]] for (a, b), (c, d) in pairings(4))
        second, mu4 = scale.moment(2), READOUTS[readout].moment(4)
        truth.append(1.3**4 * (second / 7 * (mu4 * quartic[quad] - wick) + (second - 1) * wick))
    data = exact(network, LINE)
    assert np.allclose(data.connected(4), truth, rtol=1e-12)
    assert np.allclose(data.tensor(2), 1.3**2 * kernel + 0.16, rtol=1e-12)
    lost = exact(Network(Cos(), 7, readout, 1.3, 0.4, shared_scale=GammaScale(0.31)), LINE)
    assert np.max(np.abs(lost.connected(4) / truth - 1)) > 1e-3  # another strength is seen


def test_a_shared_length_by_direct_integration():
    """Moments given l, averaged over log l ~ N(0, spread^2) on a fine grid."""
    z = np.linspace(-8, 8, 801)
    weight = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    for neuron in (Cos(1.2), ReLU(1.1, 0.6)):
        network = Network(neuron, 5, "uniform", shared_length=LogNormalLength(0.3), output_bias=0.2)
        nodes, w = (z, weight) if isinstance(neuron, Cos) else (z[::20], weight[::20] / weight[::20].sum())
        moments = dict.fromkeys((2, 4, 6), 0.0)
        for size, share in zip(np.exp(0.3 * nodes), w, strict=True):
            given = exact(Network(neuron, 5, "uniform", output_bias=0.2), LINE / size)
            for r in moments:
                moments[r] = moments[r] + share * given.moment(r)
        data = exact(network, LINE)
        for r in moments:
            assert np.allclose(data.moment(r), moments[r], rtol=1e-8)
            assert np.allclose(
                data.connected(r), connected_from_moments(moments, 3, r, even=True), rtol=1e-6, atol=1e-10
            )


def test_infinite_width_keeps_what_the_length_correlates():
    """G4c = sum_3 Cov_l(K_l(a,b), K_l(c,d)) at N = infinity."""
    network = Network(Cos(), 10**9, shared_length=LogNormalLength(0.4))
    size, weight = LogNormalLength(0.4).nodes(60)
    kernels = np.array([0.5 * np.exp(-0.5 * (LINE - LINE.T) ** 2 / s**2) for s in size])
    mean = np.tensordot(weight, kernels, 1)
    for quad, value in zip(sorted_tuples(3, 4).tolist(), exact(network, LINE).connected(4), strict=True):
        truth = 0.0
        for (a, b), (c, d) in pairings(4):
            left, right = kernels[:, quad[a], quad[b]], kernels[:, quad[c], quad[d]]
            truth += weight @ (left * right) - mean[quad[a], quad[b]] * mean[quad[c], quad[d]]
        assert value == pytest.approx(truth, abs=2e-9)


def test_several_kinds_of_neurons_average_their_cumulants():
    kinds = (Cos(0.7), Erf(1.2, 0.5), Cos(2.0))
    mixed = exact(Network(kinds, 6, "uniform", output_bias=0.3), LINE)
    alone = [exact(Network(kind, 6, "uniform", output_bias=0.3), LINE) for kind in kinds]
    for order in (2, 4, 6):
        assert np.allclose(mixed.connected(order), np.mean([a.connected(order) for a in alone], axis=0), rtol=1e-10)
    assert not np.allclose(mixed.moment(4), np.mean([a.moment(4) for a in alone], axis=0), rtol=1e-3)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(Network(kinds, 6), 0)).get_trace(LINE)
    assert trace["kind2/phase"]["value"].shape == (2,)
    assert trace["phi"]["value"].shape == (3,)


@pytest.mark.parametrize("neuron", [Cos(1.3), Tanh(0.9, 0.4)], ids=ids)
def test_site_moments_of_correlated_networks(neuron):
    network = Network(
        (neuron, Cos(0.5)), 4, "laplace", 1.1, 0.3, shared_scale=GammaScale(0.2), shared_length=LogNormalLength(0.2)
    )
    data, found = exact(network, LINE), network.site_moments(LINE, 6)
    for order in (2, 4, 6):
        truth = [data.tensor(order, "moment")[(a,) * order] for a in range(3)]
        assert np.allclose(found[order // 2 - 1], truth, rtol=1e-8)


def test_the_fitted_coupling_of_a_scale_mixture_solves_score_matching_by_hand():
    """One site: S = a x^2/2 + b x^4 from the moments 1, 3 E tau^2, 15 E tau^3 of the mixture."""
    for scale in SCALES:
        m2, m4, m6 = 1.0, 3 * scale.moment(2), 15 * scale.moment(3)
        matrix = np.array([[m2, 4 * m4], [4 * m4, 16 * m6]])
        assert np.linalg.solve(matrix, [1.0, 12 * m2])[1] == pytest.approx(mixture_coupling(scale, 1), rel=1e-12)
    weak = GammaScale(1e-6)
    assert mixture_coupling(weak, 4) == pytest.approx(-weak.variance_of_tau / 8, rel=1e-4)


def test_what_a_tail_forbids():
    for nu, orders in ((3.0, (2,)), (4.0, (2,)), (5.0, (2, 4)), (6.0, (2, 4)), (6.5, (2, 4, 6))):
        assert known_orders(Network(Cos(), 5, shared_scale=StudentScale(nu))) == orders
    with pytest.raises(ValueError, match=r"expected a scale with E tau\^3"):
        mixture_coupling(StudentScale(6.0), 2)
    found = Network(Cos(), 5, shared_scale=StudentScale(6.0)).site_moments(LINE, 8)
    assert np.all(np.isfinite(found[:2]))
    assert not np.any(np.isfinite(found[2:]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GammaScale(0.0), r"expected variance to be a finite number > 0, got 0.0; try 0.1"),
        (lambda: LogNormalScale(float("nan")), "expected variance .* got nan"),
        (lambda: StudentScale(2.0), "expected nu, the degrees of freedom, .* > 2, got 2.0"),
        (lambda: LogNormalLength(-1.0), "expected spread .* got -1.0"),
        (lambda: Network(Cos(), 3, shared_scale=0.1), r"expected shared_scale .* got 0.1; try GammaScale"),
        (lambda: Network(Cos(), 3, shared_length=GammaScale(0.1)), "expected shared_length .* try LogNormalLength"),
        (
            lambda: Network((Cos(), Gauss()), 3),
            "expected width to be a multiple of the 2 kinds of neurons, got 3; try 2",
        ),
        (lambda: Network((), 3), r"expected a neuron .* got \(\)"),
    ],
)
def test_bad_latents_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_moments_of_the_mixture_belong_to_its_cumulants():
    data = exact(Network(Cos(), 3, shared_scale=GammaScale(0.5), output_bias=0.5), LINE)
    cumulants = {r: data.connected(r) for r in (2, 4, 6)}
    for order in (2, 4, 6):
        assert np.allclose(data.moment(order), moments_from_connected(cumulants, 3, order), rtol=1e-12)
