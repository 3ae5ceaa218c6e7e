"""Pseudo-likelihood: line integrals against quadrature, score and Hessian against finite differences, known limits."""

import jax
import numpy as np
import pytest
from scipy.integrate import quad

from nnft.inference import Ensemble, Samples, pseudo_equations
from nnft.inference.equations.terms import terms_of
from nnft.inference.methods import pseudo
from nnft.inference.methods.conditionals import conditional_moments
from nnft.models import Bilocal, Constant, Cos, FullSextic, LatticePhi4, Local, Network
from tests.oracles import planted
from tests.statistics import agree, disagree


def true_theta(truth, terms):
    """Scaled couplings of a planted action: q_aa = (K^-1)_aa/2, q_ab = (K^-1)_ab, then g, u, v."""
    inverse = np.linalg.inv(truth.covariance)
    a, b = np.triu_indices(len(inverse))
    quadratic = np.where(a == b, 0.5, 1.0) * inverse[a, b]
    return np.concatenate([quadratic, truth.couplings]) * terms.factors


# ---- the line -------------------------------------------------------------------------------------------------------


def by_panels(c):
    """Log Z, means and covariances of t^j by Gauss-Legendre on 400 panels across all that is above exp(-45)."""
    value = lambda t: sum(cj * t ** (j + 1) for j, cj in enumerate(c))  # noqa: E731
    grid = np.linspace(-60, 60, 240_001)
    low = value(grid).min()
    inside = grid[value(grid) - low < 45]
    nodes, weights = np.polynomial.legendre.leggauss(30)
    edges = np.linspace(inside[0] - 1e-3, inside[-1] + 1e-3, 401)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    t = (middle + half * nodes).ravel()
    w = (half * weights).ravel() * np.exp(low - value(t))
    powers = np.stack([t ** (j + 1) for j in range(len(c))])
    mean = powers @ w / w.sum()
    centred = powers - mean[:, None]
    return np.log(w.sum()) - low, mean, (centred * w) @ centred.T / w.sum()


@pytest.mark.parametrize(
    "c",
    [
        [0.0, 0.5, 0.0, 0.1],
        [3.0, 1.5, -0.3, 0.02],  # shifted and skewed
        [0.3, -4.0, 0.0, 0.5],  # two wells
        [0.0, -9.0, 0.0, 1.0],  # two deep wells
        [6.0, 0.7, 0.0, 1e-7],  # a bound on the range 10^4 wider than the density
        [-2.0, 0.5, 0.3, -0.2, 0.0, 0.05],  # sextic
    ],
)
def test_line_integrals_are_right_to_ten_digits(c):
    log_z, mean, covariance = conditional_moments(np.array([c]))
    right = by_panels(c)
    assert abs(log_z[0] - right[0]) < 1e-10
    size = np.sqrt(np.diag(right[2]))
    assert np.max(np.abs(mean[0] - right[1]) / size) < 1e-10
    assert np.max(np.abs(covariance[0] - right[2]) / np.outer(size, size)) < 1e-9


def test_the_valley_between_two_nodes_is_seen():
    """One well a hundred times narrower than the range, far from every node of the first grid."""
    for centre in np.linspace(-3.0, 3.0, 23):
        # 200 (t - s)^2 (1 + (t - s)^2/40)
        s, a, b = centre, 200.0, 5.0
        c = [-2 * a * s - 4 * b * s**3, a + 6 * b * s**2, -4 * b * s, b]
        log_z, mean, _ = conditional_moments(np.array([c]))
        assert abs(mean[0, 0] - s) < 1e-10
        right = quad(lambda t, a=a, b=b: np.exp(-a * t**2 - b * t**4), -1, 1, epsabs=0, epsrel=1e-13)[0]
        assert abs(log_z[0] - (np.log(right) + a * s**2 + b * s**4)) < 1e-9 * (1 + a * s**2)


def test_densities_that_cannot_be_normalised_or_resolved_are_refused():
    with pytest.raises(ValueError, match=r"positive last coefficient, got 4 powers and -0\.1"):
        conditional_moments(np.array([[0.0, 0.5, 0.0, -0.1]]))
    with pytest.raises(ValueError, match="64 nodes resolve"):
        conditional_moments(np.array([[0.0, -2000.0, 0.0, 1.0]]))  # wells of width .01 at +-32


# ---- score and Hessian ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [Bilocal(), Constant(), FullSextic()])
def test_score_and_hessian_are_the_derivatives_of_the_value(action):
    rng = np.random.default_rng(3)
    fields = rng.normal(size=(40, 3))
    terms = terms_of(action, np.eye(3) + 0.3, np.ones(3))
    theta = 0.02 * rng.normal(size=terms.size)
    powers = np.concatenate([np.all(part.tuples == part.tuples[:, :1], axis=1) for part in terms.parts])
    theta = theta + 0.4 * (powers if len(powers) == terms.size else 1.0)
    source, sites = pseudo._as_source(fields), pseudo._sites(terms)
    at = lambda t: pseudo._total(source, terms, sites, t, False)  # noqa: E731
    here, step = at(theta), 1e-4
    for k in rng.choice(terms.size, size=min(6, terms.size), replace=False):
        shift = step * np.eye(terms.size)[k]
        up, down = at(theta + shift), at(theta - shift)
        assert abs((up.value - down.value) / (2 * step) - here.score[k]) < 1e-5 * (1 + abs(here.score[k]))
        slope = (up.score - down.score) / (2 * step)
        assert np.max(np.abs(slope + here.hessian[k])) < 1e-5 * (1 + np.abs(here.hessian[k]).max())


def test_value_is_the_sum_of_conditional_densities():
    """Two sites, by quadrature of exp(-S) along each of the two lines through one field, densities in scaled fields."""
    terms = terms_of(Bilocal(), np.array([[1.0, 0.4], [0.4, 2.0]]), np.ones(2))
    theta = np.array([0.5, -0.2, 0.6, 0.3, 0.2, 0.05, -0.03, 0.1])
    field = np.array([[0.7, -1.1], [-0.2, 0.4]])
    with jax.enable_x64(True):
        s = lambda phi: np.asarray(terms.action(np.asarray(phi), theta))  # noqa: E731
        t = np.linspace(-20.0, 20.0, 4001)
        right = -2 * s(field).sum() + len(field) * np.log(terms.scale).sum()
        for phi in field:
            for line in (np.stack([t, 0 * t + phi[1]], axis=1), np.stack([0 * t + phi[0], t], axis=1)):
                right -= np.log(np.exp(-s(line)).sum() * 0.01)
    found = pseudo._total(pseudo._as_source(field), terms, pseudo._sites(terms), theta, False)
    assert abs(found.value - right) < 1e-9


# ---- estimates ------------------------------------------------------------------------------------------------------


def test_one_site_is_maximum_likelihood():
    """H theta = b at the maximum: the averages of phi^2 and phi^4 are those of the density found."""
    truth = planted("lat", 0.3, 2)
    fields = truth.draw(20_000, np.random.default_rng(5))[:, :1]
    terms = terms_of(Local(), np.eye(1), np.ones(1))
    found = pseudo_equations(fields, terms, np.array([0.4, 0.2]))
    q, g = found.estimate
    _, mean, covariance = conditional_moments(np.array([[0.0, q, 0.0, g]]))
    averages = np.array([np.mean(fields**2), np.mean(fields**4)])
    assert np.max(np.abs(mean[0, [1, 3]] - averages)) < 1e-6
    assert np.allclose(found.matrix, covariance[0][np.ix_([1, 3], [1, 3])], rtol=1e-9)  # H is the Fisher matrix
    observed = np.cov(np.stack([fields[:, 0] ** 2, fields[:, 0] ** 4]))
    assert np.allclose(found.noise, observed, rtol=1e-8)


@pytest.mark.parametrize(("kind", "strength"), [("lat", 0.5), ("rbf", 0.02)])
def test_planted_couplings_are_found(kind, strength):
    """40,000 fields at three points; every coupling within the family-wise limit of 1e-6."""
    truth = planted(kind, strength, 3)
    terms = terms_of(Bilocal(), truth.covariance, np.ones(3))
    fields = truth.draw(40_000, np.random.default_rng(11))
    found = pseudo_equations(fields, terms, true_theta(truth, terms))
    errors = np.sqrt(np.diag(found.sandwich))
    agree(found.estimate, true_theta(truth, terms), errors)
    assert np.mean(np.sqrt(np.diag(found.naive)) / errors) < 0.9


def test_planted_fault_a_coupling_lost_in_one_conditional():
    """Without the cross coupling in the quadratic part (fields of one site shuffled) the estimate is far off."""
    truth = planted("lat", 0.5, 3)
    terms = terms_of(Bilocal(), truth.covariance, np.ones(3))
    fields = truth.draw(40_000, np.random.default_rng(11))
    fields[:, 0] = np.random.default_rng(12).permutation(fields[:, 0])
    found = pseudo_equations(fields, terms, true_theta(truth, terms))
    disagree(found.estimate, true_theta(truth, terms), np.sqrt(np.diag(found.sandwich)))


def test_the_start_does_not_matter():
    truth = planted("lat", 0.5, 3)
    terms = terms_of(Bilocal(), truth.covariance, np.ones(3))
    fields = truth.draw(5_000, np.random.default_rng(2))
    near = pseudo_equations(fields, terms, true_theta(truth, terms))
    far = pseudo_equations(fields, terms, 3.0 * true_theta(truth, terms))
    errors = np.sqrt(np.diag(near.sandwich))
    assert np.max(np.abs(near.estimate - far.estimate) / errors) < 1e-3


def test_a_lattice_of_sixteen_sites():
    """Three couplings at every site: kappa, m2, coupling of the free lattice with a weak phi^4 by rejection."""
    rng = np.random.default_rng(7)
    action = LatticePhi4(shape=(16,))
    hop = np.roll(np.eye(16), 1, axis=0)
    precision = 2.0 * (2 * np.eye(16) - hop - hop.T) + 2.0 * np.eye(16)  # kappa = 1, m2 = 1
    free = rng.multivariate_normal(np.zeros(16), np.linalg.inv(precision), size=20_000)
    fields = free[rng.random(len(free)) < np.exp(-0.3 * (free**4).sum(axis=1))]
    terms = terms_of(action, np.eye(16), np.ones(16))
    right = np.array([1.0, 1.0, 0.3]) * terms.factors
    found = pseudo_equations(fields, terms, 1.2 * right)
    agree(found.estimate, right, np.sqrt(np.diag(found.sandwich)))


def test_blocks_and_sources_give_the_same(monkeypatch):
    truth = planted("lat", 0.5, 3)
    terms = terms_of(Bilocal(), truth.covariance, np.ones(3))
    fields = truth.draw(5_000, np.random.default_rng(2))
    whole = pseudo_equations(fields, terms, true_theta(truth, terms))
    monkeypatch.setattr(pseudo, "_CHUNK", 3000)
    parts = pseudo_equations(Samples(fields, np.arange(3.0)[:, None]), terms, true_theta(truth, terms))
    assert np.allclose(whole.estimate, parts.estimate, rtol=1e-9)
    assert np.allclose(whole.noise, parts.noise, rtol=1e-9)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_unbounded_conditionals_are_refused_with_counts():
    terms = terms_of(Local(), np.eye(2), np.ones(2))
    with pytest.raises(ValueError, match=r"got 500 of 1000 unbounded at the pilot, at 1 of 2 points"):
        pseudo_equations(np.random.default_rng(0).normal(size=(500, 2)), terms, np.array([0.5, 0.0, 0.5, 0.1, -0.1]))


def test_a_positive_kurtosis_has_no_maximum_inside():
    """Cosine networks: the kurtosis asks for phi^4 < 0, which no conditional density allows."""
    net = Ensemble(Network(Cos(), width=2), points=np.array([[0.0], [1.5]]), n=2_000, key=jax.random.key(1))
    with pytest.raises(ValueError, match="on the way to the maximum, which has none inside"):
        pseudo_equations(net, terms_of(Local(), np.eye(2), np.ones(2)), np.array([0.5, 0.0, 0.5, 0.1, 0.1]))
