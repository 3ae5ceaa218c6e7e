"""Scrambled Sobol points in neuron space: exact on average for any neuron, with errors that are right and far smaller.

`agree` alarms falsely once in a million tests; an error from R scrambles has a Student law of R - 1 degrees of freedom,
for which `widened` makes it as much larger as leaves that rate. Each twin holds the same numbers against a planted
fault: another width, another parameter, scrambles that are copies of each other.
"""

from dataclasses import replace
from functools import partial
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import special, stats

from nnft.inference import Ensemble, Sobol, fit, measure, quantile
from nnft.inference.methods.problem import prepare
from nnft.inference.quasirandom import scrambles
from nnft.inference.quasirandom.scrambles import Plan
from nnft.inference.quasirandom.sobol import Neuron, count_dimensions, plan_sampling, read_dimensions, sobol_moments
from nnft.models import Bilocal, Cos, Erf, Gauss, Network, ReLU, Tanh, effective_couplings, exact
from nnft.models.combinatorics import connected_from_moments, sorted_tuples
from tests.statistics import agree, disagree, limit

POINTS = np.array([[-0.5], [0.1], [0.4]])
PLANE = np.array([[-0.3, 0.4], [0.1, 0.0], [0.2, -0.4]])
NEURONS = {"cos": Cos(), "erf": Erf(), "gauss": Gauss(bias_scale=0.3), "relu": ReLU(bias_scale=0.5), "tanh": Tanh()}
KEY = jax.random.key(7)


def ensemble(network, points=PLANE, n=1 << 13, seed=5):
    return Ensemble(network, points=points, n=n, key=jax.random.key(seed))


def widened(error, scrambles):
    """Errors with which a Student z passes `agree` as often as a normal one."""
    normal = limit(np.size(error))
    return error * stats.t.isf(stats.norm.sf(normal), scrambles - 1) / normal


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_of_the_suite_is_exact_on_average(name):
    network = Network(NEURONS[name], 7, "laplace", output_scale=1.3, output_bias=0.4)
    data, truth = measure(ensemble(network), space="neuron", sampling=Sobol(64)), exact(network, PLANE)
    other = exact(Network(NEURONS[name], 21, "laplace", output_scale=1.3, output_bias=0.4), PLANE)
    assert (data.networks, data.dof, data.scrambles) == (1 << 13, 63, 64)
    for order in (2, 4, 6):
        agree(data.connected(order), truth.connected(order), widened(data.error(order), 64))
        error = widened(data.error(order, "moment"), 64)
        agree(data.moment(order), truth.moment(order), error)
    disagree(data.connected(4), other.connected(4), widened(data.error(4), 64))


class Gelu(eqx.Module):
    """A neuron that `exact` does not know."""

    bias: float = 1.0

    def __call__(self, points):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([points.shape[-1]]).to_event(1))
        b = numpyro.sample("b", dist.Normal(0.0, self.bias))
        return jax.nn.gelu(w @ points.T + b[..., None], approximate=False)


def gelu_truth(width, bias=1.0):
    """G2 and G4c by the trapezoidal rule in (w, b), which converges exponentially for an entire integrand."""
    grid = np.linspace(-9.0, 9.0, 721)
    w, b = np.meshgrid(grid, grid, indexing="ij")
    weight = stats.norm.pdf(w) * stats.norm.pdf(b) * (grid[1] - grid[0]) ** 2
    z = w * POINTS[:, 0, None, None] + bias * b
    s = z * special.ndtr(z)
    moments = {r: np.array([np.sum(weight * np.prod(s[t], axis=0)) for t in sorted_tuples(3, r)]) for r in (2, 4)}
    law = (1.0, 0.0, 1.0, 0.0, 3.0)
    return {r: width ** (1 - r / 2) * connected_from_moments(moments, 3, r, even=True, law=law) for r in (2, 4)}


def test_a_neuron_of_ones_own_is_exact_on_average():
    data = measure(ensemble(Network(Gelu(), 20), POINTS), space="neuron", sampling="sobol", orders=(2, 4))
    assert data.about["sampling"] == "sobol, 105 scrambles of 2^6 points in 2 dimensions"  # 5 for each of 6 + 15
    assert "6,720 draws in neuron space (sobol, 105 scrambles of 2^6 points in 2 dimensions)" in str(data)
    for order in (2, 4):
        agree(data.connected(order), gelu_truth(20)[order], widened(data.error(order), 105))
        disagree(data.connected(order), gelu_truth(20, 0.9)[order], widened(data.error(order), 105))


class Wave(eqx.Module):
    """cos(w x + c) with w of any law, drawn by `weight`: its moments are values of the characteristic function of w."""

    weight: object

    def __call__(self, points):
        w = self.weight()
        phase = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi))
        return jnp.cos(w[..., None] * points[:, 0] + phase[..., None])


def waves(characteristic, order):
    """<s ... s> = 2^-r times the sum over signs that add up to zero of Re chi(sum of signs times points)."""
    signs = np.array([s for s in product((1, -1), repeat=order) if sum(s) == 0])
    at = POINTS[sorted_tuples(3, order), 0] @ signs.T
    return np.sum(np.real(characteristic(at)), axis=1) / 2**order


def hierarchical(df):
    variance = numpyro.sample("variance", dist.InverseGamma(df / 2, df / 2))
    return numpyro.sample("w", dist.Normal(0.0, jnp.sqrt(variance)))


def layered(size):
    """Three layers of sites, each the parameter of the next: E exp(itw) over exponential, uniform and normal."""
    rate = numpyro.sample("rate", dist.Uniform(0.5, 1.5))
    scale = numpyro.sample("scale", dist.Exponential(rate))
    return numpyro.sample("w", dist.Normal(0.0, size * jnp.sqrt(scale)))


def tilted(correlation):
    """w = u + v of a correlated pair."""
    pair = dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, correlation], [correlation, 1.0]]))
    return numpyro.sample("pair", pair).sum(axis=-1)


def sample(law, parameter):
    return numpyro.sample("w", law(parameter))


def by_quadrature(law):
    return lambda t: np.mean(np.exp(1j * t[..., None] * law.ppf((np.arange(20_000) + 0.5) / 20_000)), axis=-1)


def student(df, t):
    root = np.sqrt(df) * np.abs(t) + 1e-12
    return special.kv(df / 2, root) * root ** (df / 2) / special.gamma(df / 2) / 2 ** (df / 2 - 1)


def layers(size, t):
    rate = 0.5 + (np.arange(2000) + 0.5) / 2000
    return np.mean(rate / (rate + 0.5 * (size * t[..., None]) ** 2), axis=-1)


# how w is drawn from its parameter, its characteristic function, the parameter, a wrong one
LAWS = {
    "hierarchical": (hierarchical, student, 3.0, 4.0),
    "three layers": (layered, layers, 1.0, 1.1),
    "correlated": (tilted, lambda c, t: np.exp(-(1 + c) * t**2), 0.5, 0.4),
    "student": (partial(sample, dist.StudentT), student, 3.0, 4.0),
    "gamma": (partial(sample, dist.Gamma), lambda k, t: (1 - 1j * t) ** -k, 2.5, 2.3),
    "beta": (
        partial(sample, lambda a: dist.Beta(a, 0.6)),
        lambda a, t: by_quadrature(stats.beta(a, 0.6))(t),
        0.7,
        0.9,
    ),
    "laplace": (partial(sample, lambda s: dist.Laplace(0.0, s)), lambda s, t: 1 / (1 + (s * t) ** 2), 0.7, 0.6),
    "lognormal": (
        partial(sample, lambda s: dist.LogNormal(0.0, s)),
        lambda s, t: by_quadrature(stats.lognorm(s))(t),
        0.5,
        0.6,
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_every_law_of_a_site_is_exact_on_average(name):
    """Also neurons that nobody's tests resemble: a scale of their own, three layers of sites, a correlated pair."""
    draw, characteristic, parameter, wrong = LAWS[name]
    neuron = Neuron(Network(Wave(partial(draw, parameter)), 1, "rademacher"), "phi", "neuron", 1, ("readout",))
    plan = Plan(64, 7, read_dimensions(neuron, POINTS)[0])
    means, rows, groups = sobol_moments(neuron, POINTS, (2, 4), plan, KEY)
    assert groups == 64
    for order in (2, 4):
        error = widened(np.sqrt(np.sum(rows[order] ** 2, axis=0)), 64)
        moving = error > 1e-12  # the phase fixes <s^2> at a point, whatever w is: every scramble finds 1/2
        right, other = (waves(partial(characteristic, p), order) for p in (parameter, wrong))
        np.testing.assert_allclose(means[order][~moving], right[~moving], rtol=1e-12)
        agree(means[order][moving], right[moving], error[moving])
        disagree(means[order][moving], other[moving], error[moving])


def foreign(points):
    """A layer of one's own: skewed amplitudes, a shared output bias, no parity."""
    bias = numpyro.sample("bias", dist.Normal(0.0, 0.3))
    with numpyro.plate("hidden", 5):
        sign = numpyro.sample("sign", dist.Bernoulli(0.3))
        size = numpyro.sample("size", dist.Uniform(0.0, 1.0))
    numpyro.deterministic("phi", jnp.sum((2.0 * sign - 1.0) * size) * points[:, 0] / 5**0.5 + bias)


def test_a_layer_of_ones_own_of_every_order():
    """H = a x with a = +-1 times a uniform number: cumulants of a from its moments, the bias in G2 only."""
    data = measure(ensemble(foreign, POINTS), space="neuron", sampling=Sobol(64))
    assert data.orders == (1, 2, 3, 4, 6)
    assert "in 2 dimensions" in data.about["sampling"]
    powers = {r: 1.0 / (r + 1) for r in range(1, 7)}
    for chance, check in ((0.3, agree), (0.33, disagree)):
        one = {r: np.array([size * (chance + (-1) ** r * (1 - chance))]) for r, size in powers.items()}
        for order in (1, 3, 4, 6):
            kappa = 5 ** (1 - order / 2) * connected_from_moments(one, 1, order)
            truth = kappa * np.prod(POINTS[sorted_tuples(3, order), 0], axis=1)
            check(data.connected(order), truth, widened(data.error(order), 64))
        truth = connected_from_moments(one, 1, 2) * np.prod(POINTS[sorted_tuples(3, 2), 0], axis=1) + 0.09
        check(data.connected(2), truth, widened(data.error(2), 64))


def test_the_same_recipe_is_the_same_measurement():
    ens, how = ensemble(Network(Erf(), 4)), {"space": "neuron", "sampling": Sobol(64), "orders": (2, 4)}
    first, again, other = (measure(e, **how).connected(2) for e in (ens, ens, ensemble(ens.model, seed=6)))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


def test_kinds_of_neurons_have_scrambles_of_their_own():
    """Of two equal kinds the average has half the variance, on average; scrambles in common would leave it whole."""
    one, two = (Network(kinds, 4) for kinds in (Erf(), (Erf(), Erf())))
    data = [measure(ensemble(net), space="neuron", sampling=Sobol(64), orders=(2, 4)) for net in (one, two)]
    truth = exact(one, PLANE)
    agree(data[1].connected(4), truth.connected(4), widened(data[1].error(4), 64))
    assert len(data[1].rows["connected"][4]) == 128
    z = [(d.connected(2) - truth.connected(2)) / d.error(2) for d in data]
    assert not np.any(z[0] == z[1])
    ratio = np.sum(data[1].error(2) ** 2) / np.sum(data[0].error(2) ** 2)
    assert 0.3 < ratio < 0.8  # 1/2, with sums of squares of 63 and 126 degrees of freedom: 1.000 would be copies


def errors(seeds=48):
    """Spread over repeated experiments of 16 scrambles over the stated error, per component of <ss> and <ssss>."""
    neuron = Neuron(Network(Tanh(), 1, "rademacher"), "phi", "neuron", 1, ("readout",))
    found = [sobol_moments(neuron, POINTS, (2, 4), Plan(16, 7, 2), jax.random.key(seed)) for seed in range(seeds)]
    out = []
    for order in (2, 4):
        stated = np.sqrt(np.mean([np.sum(rows[order] ** 2, axis=0) for _, rows, _ in found], axis=0))
        out.append(np.std([means[order] for means, _, _ in found], axis=0, ddof=1) / stated)
    return np.concatenate(out)


def test_errors_are_those_of_repeated_experiments(monkeypatch):
    """48 experiments, to five of its own errors; the twin has 4 scrambles, each four times, errors half as large."""
    agree(errors(), 1.0, 1.5 / np.sqrt(2 * 47))  # 1.5: fourth moments of the estimates
    honest = scrambles.seeds
    monkeypatch.setattr(scrambles, "seeds", lambda plan, key: honest(plan, key)[np.arange(plan.scrambles) // 4])
    disagree(errors(), 1.0, 1.5 / np.sqrt(2 * 47))


def test_weights_at_the_edges_are_taken_where_they_help():
    """<s^6> of ReLU, whose error one point at the edge decides, becomes 5 times surer; that of Erf is left alone."""
    error = {}
    for kind in (ReLU(bias_scale=0.5), Erf()):
        neuron = Neuron(Network(kind, 1, "rademacher"), "phi", "neuron", 1, ("readout",))
        rows = {w: sobol_moments(neuron, PLANE, (6,), Plan(64, 7, 3, w), KEY)[1][6] for w in (None, False, True)}
        error[type(kind)] = {w: np.median(np.linalg.norm(row, axis=0)) for w, row in rows.items()}
    assert error[ReLU][None] == error[ReLU][True] < 0.2 * error[ReLU][False]
    assert error[Erf][None] == error[Erf][False]


class Beyond(eqx.Module):
    """A neuron of `count` normal numbers, or with a law that has no inverse."""

    count: int = 2
    directional: bool = False

    def __call__(self, points):
        w = numpyro.sample("w", dist.Normal().expand([self.count]).to_event(1))
        angle = numpyro.sample("angle", dist.VonMises(0.0, 1.0)) if self.directional else 0.0
        return jnp.cos(w.sum(-1)[..., None] * points[:, 0] + jnp.asarray(angle)[..., None])


def test_what_space_none_picks():
    """Sobol where neurons are of at most 10 numbers, all with inverses, and n leaves 5 scrambles a component."""

    def picked(kind, n):
        neuron = Neuron(Network(kind, 1, "rademacher"), "phi", "neuron", 1, ("readout",))
        ens = ensemble(Network(kind, 4), POINTS, n)
        return plan_sampling("choose", count_dimensions("choose", [neuron], ens), ens, (2, 4))  # 6 + 15 components

    assert picked(Beyond(10), 105 * 64) == Plan(105, 6, 10)
    assert picked(Beyond(11), 105 * 64) is None
    assert picked(Beyond(10), 105 * 64 - 1) is None
    assert picked(Beyond(2, directional=True), 105 * 64) is None
    data = measure(ensemble(Network(Erf(), 5), POINTS, 105 * 64), space=None, orders=(2, 4))
    assert data.scrambles == 105
    assert data.about["space"] == "neuron"
    plain = measure(ensemble(Network(Erf(), 5), POINTS, 105 * 64), space=None, orders=(2, 4), sampling="random")
    assert (plain.scrambles, plain.networks) == (0, 105 * 64)
    assert "sampling" not in plain.about


def test_draws_stay_what_they_were_unless_asked():
    ens = ensemble(Network(Erf(), 5), POINTS, 2000)
    named, random = (measure(ens, space="neuron", orders=(2, 4), **how) for how in ({}, {"sampling": "random"}))
    np.testing.assert_array_equal(named.connected(4), random.connected(4))
    assert named.dof > 900
    assert "sampling" not in named.about


class Directional(eqx.Module):
    """A law without an inverse, on a simplex."""

    def __call__(self, points):
        share = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
        return jnp.cos(share[..., :1] * points[:, 0])


NET = Network(Erf(), 5)
BAD = {
    "no such sampling": (NET, {"space": "neuron", "sampling": "sobel"}, r"got 'sobel'; try 'sobol'"),
    "field space": (NET, {"sampling": "sobol"}, r"space='neuron' only.*got sampling='sobol' with space='field'"),
    "readout space": (NET, {"space": "readout", "sampling": Sobol()}, r"with space='readout'; try space='neuron'"),
    "no inverse": (
        Network(Beyond(2, directional=True), 5),
        {"space": "neuron", "sampling": "sobol"},
        r"its site 'angle': expected a law with an inverse.*got VonMises.*or try sampling='random'",
    ),
    "no inverse of several numbers": (
        Network(Directional(), 5),
        {"space": "neuron", "sampling": "sobol"},
        r"its site 'share'.*got Dirichlet",
    ),
    "too many scrambles": (
        NET,
        {"space": "neuron", "sampling": Sobol(64), "orders": (2,)},
        r"at least 4096 neurons for 64 scrambles of at least 64 points, got n=2000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name):
    network, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        measure(ensemble(network, POINTS, 2000), **options)


def test_a_law_may_be_given_its_inverse():
    class Rayleigh(dist.Weibull):
        pass

    neuron = Neuron(Network(Wave(lambda: numpyro.sample("w", Rayleigh(1.0, 2.0))), 1, "rademacher"), "phi", "neuron", 1)
    assert "got Rayleigh; try inf.quantile.register" in read_dimensions(neuron, POINTS)[1]
    quantile.register(Rayleigh)(lambda law, u: law.scale * (-jnp.log1p(-u)) ** (1.0 / law.concentration))
    assert read_dimensions(neuron, POINTS) == (3, "")  # w, the phase, and the readout, which is not held here


def test_a_neuron_that_is_not_finite_is_refused():
    class Pole(eqx.Module):
        def __call__(self, points):
            w = numpyro.sample("w", dist.Uniform(-1.0, 1.0))
            return jnp.log(w)[..., None] + points[:, 0]

    neuron = Neuron(Network(Pole(), 1, "rademacher"), "phi", "neuron", 1, ("readout",))
    with pytest.raises(ValueError, match=r"expected a neuron that is finite, got an average of order 2.*scramble 0"):
        sobol_moments(neuron, POINTS, (2,), Plan(64, 7, 1), KEY)


def test_few_scrambles_carry_no_covariance():
    """At two points G2 and G4c have 3 and 5 components: 40 scrambles for a fit and the chi^2 of both."""
    network, points = Network(Erf(), 5), POINTS[:2]
    ens = ensemble(network, points, 1 << 13)
    enough = measure(ens, space="neuron", sampling=Sobol(40))
    few = replace(enough, scrambles=39)
    truth = exact(network, points)
    message = r"expected at least 40 scrambles for a chi\^2 with 8 components, got 39; try sampling=inf.Sobol\(scr"
    with pytest.raises(ValueError, match=message):
        (few - truth).chi2(2, 4)
    with pytest.raises(ValueError, match=r"for a fit and its eps4 with 8 components, got 39"):
        fit(few, Bilocal(), key=KEY)
    assert (enough - truth).chi2(2, 4).dof == 8
    assert (few - truth).chi2(4).dof == 5  # 25 scrambles are enough for five components
    assert prepare(enough, Bilocal()).equations.dof == 39
    with pytest.raises(ValueError, match=r"expected at least 25 scrambles for eps4 with 5 components, got 16"):
        effective_couplings(replace(enough, scrambles=16))
    assert effective_couplings(few).eps4 > 0.0
