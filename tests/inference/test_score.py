"""Score matching against known integrals: efficiencies on one site, published couplings of the cosine network."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.from_moments import equations, gains
from nnft.inference.equations.metric import check_gram
from nnft.inference.equations.terms import embed, terms_of
from nnft.models.combinatorics import multiplicities, rank, sorted_tuples
from nnft.models.diagrams.from_couplings import vertex, whitened
from tests.oracles import planted
from tests.statistics import agree, disagree


def _one_site(quadratic: float, quartic: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of exp(-a x^2/2 - l x^4), normalised: trapezoid on a line, exact to round-off."""
    x = np.linspace(-12.0, 12.0, 20_001)
    log = -0.5 * quadratic * x**2 - quartic * x**4
    weight = np.exp(log - log.max())
    return x, weight / weight.sum()


def _efficiency(quadratic: float, quartic: float) -> tuple[float, float]:
    """Variance over Cramer-Rao of the quartic coupling, by sandwich and (fault) by the naive inverse."""
    x, weight = _one_site(quadratic, quartic)
    variance = float(weight @ x**2)
    terms = terms_of(m.Local(), np.array([[variance]]), np.ones(1))
    theta = np.array([0.5 * quadratic, quartic]) * terms.factors
    with jax.enable_x64(True):
        psi = np.asarray(terms.residuals(x[:, None], theta))
        lap = -np.asarray(terms.residuals(x[:, None], np.zeros(2)))
        columns = [np.asarray(terms.residuals(x[:, None], e)) + lap for e in np.eye(2)]
    matrix = np.stack([weight @ c for c in columns], axis=1)
    np.testing.assert_allclose(weight @ psi, 0.0, atol=1e-9)  # Schwinger-Dyson at the truth
    inverse = np.linalg.inv(matrix)
    sandwich = inverse @ (psi.T @ (weight[:, None] * psi)) @ inverse
    values = np.stack([x**2, x**4]) / terms.factors[:, None]
    fisher = (values * weight) @ values.T - np.outer(values @ weight, values @ weight)
    bound = np.linalg.inv(fisher)
    return float(sandwich[1, 1] / bound[1, 1]), float(inverse[1, 1] / bound[1, 1])


@pytest.mark.parametrize(
    ("quadratic", "quartic", "expected"),
    [
        (1.0, 0.001, 1.0004),
        (1.0, 0.01, 1.0124),
        (1.0, 0.1, 1.0661),
        (1.0, 1.0, 1.1172),
        (1.0, 10.0, 1.1407),
        (0.0, 1.0, 1.1530),
        (-8.0, 1.0, 1.5658),
    ],
)
def test_efficiency_on_one_site_is_the_known_one(quadratic, quartic, expected):
    """Variance over Cramer-Rao, by quadrature, to 1e-3; the naive covariance is another number."""
    calibrated, naive = _efficiency(quadratic, quartic)
    assert abs(calibrated - expected) < 1e-3
    assert abs(naive - expected) > 0.1


@pytest.mark.parametrize(("width", "expected"), [(50, 0.6305), (500, 0.1319), (5000, 0.01477)])
def test_full_quartic_of_the_cosine_network_against_leading_order(width, expected):
    """Distance of the score-matching vertex from the amputated -G4c, whitened norm, exact moments."""
    points = np.arange(4.0)[:, None]
    truth = m.exact(m.Network(m.Cos(), width), points)
    metric = truth.tensor(2)
    terms = terms_of(m.FullQuartic(), metric, np.ones(4))
    eq, _ = equations(truth, terms, pilot_precision=np.zeros((45, 45)), pilot_centre=np.zeros(45))
    quartic = (eq.estimate / terms.factors)[10:]
    # Amputating in whitened components: vertex with lines K^(1/2), G4c with K^(-1/2).
    root = np.linalg.cholesky(metric)
    dense = np.einsum("abcd,ai,bj,ck,dl->ijkl", vertex(quartic, 4), *[root] * 4)
    fitted = np.sqrt(multiplicities(sorted_tuples(4, 4))) * dense[tuple(sorted_tuples(4, 4).T)]
    leading = -whitened(truth.connected(4), metric)
    distance = np.linalg.norm(fitted - leading) / np.linalg.norm(leading)
    assert abs(distance - expected) < 5e-4 * max(1.0, expected / 0.01477 * 0.1)


@pytest.mark.parametrize(("width", "bilocal"), [(50, 0.131), (500, 0.069)])
def test_shares_of_the_gain(width, bilocal):
    """At unit spacing the bilocal form explains 13 % and 7 % of the full quartic's gain, the local one below 1 %."""
    truth = m.exact(m.Network(m.Cos(), width), np.arange(4.0)[:, None])
    share = {}
    for action in (m.Local(), m.Bilocal(), m.FullQuartic()):
        terms = terms_of(action, truth.tensor(2), np.ones(4))
        size = terms.size
        eq, _ = equations(truth, terms, pilot_precision=np.zeros((size, size)), pilot_centre=np.zeros(size))
        share[type(action).__name__] = gains(eq._replace(networks=1.0), None, 10).action[0]
    assert abs(share["Bilocal"] / share["FullQuartic"] - bilocal) < 1e-3
    assert share["Local"] / share["FullQuartic"] < 0.01


def test_residuals_equal_the_matrix_form():
    """psi averaged over any fields is A theta - b from their moments: two roads through the same algebra."""
    rng = np.random.default_rng(3)
    fields = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 3))
    points = np.arange(3.0)[:, None]
    for action in (m.Constant(), m.Local(), m.Bilocal(), m.FullQuartic()):
        terms = terms_of(action, np.cov(fields.T), np.array([0.5, 1.0, 2.0]))
        data = m.Correlators.from_arrays(points, moments=_moments(fields), networks=len(fields))
        size = terms.size
        eq, _ = equations(data, terms, pilot_precision=np.eye(size), pilot_centre=np.zeros(size))
        theta = rng.normal(size=size)
        with jax.enable_x64(True):
            psi = np.asarray(terms.residuals(fields, theta))
        np.testing.assert_allclose(psi.mean(axis=0), eq.matrix @ theta - eq.vector, rtol=1e-9, atol=1e-9)


def test_gain_and_its_error_are_those_of_the_networks_own_scores():
    """J_Gauss - J_action averaged over networks, minus the optimism; its error by the spread of network scores.

    The error is held against 200 independent ensembles (relative error of a standard deviation 1/sqrt(400)); one
    that takes the two scores for independent is seen.
    """
    truth = planted("lat", 0.1, 2)
    terms = terms_of(m.Local(), truth.covariance, np.ones(2))
    size = terms.size
    arguments = {"pilot_precision": np.eye(size), "pilot_centre": np.zeros(size)}
    rng = np.random.default_rng(12)
    found, apart = [], []
    for _ in range(200):
        fields = truth.draw(4000, rng)
        data = inf.measure(inf.Samples(fields, np.arange(2.0)[:, None]), orders=(2, 4, 6))
        eq, _ = equations(data, terms, **arguments)
        found.append(gains(eq, None, 3).action)
        apart.append(np.sqrt((eq.scores[0, 0] + eq.scores[1, 1]) / eq.networks))
    value, error = np.array(found).T
    agree(value.std(ddof=1) / error.mean(), 1.0, 1 / np.sqrt(400))
    disagree(value.std(ddof=1) / np.mean(apart), 1.0, 1 / np.sqrt(400))
    with jax.enable_x64(True):
        theta = eq.pilot
        j = np.asarray(terms.scores(fields, np.stack([theta, 0 * theta])))
        psi = np.asarray(terms.residuals(fields, theta)) + np.asarray(terms.residuals(fields, 0 * theta))
    np.testing.assert_allclose(j[:, 0], 0.5 * psi @ theta, rtol=1e-9, atol=1e-9)
    assert not j[:, 1].any()


def test_full_equations_hold_those_of_the_action():
    """An action's equations are the full quartic's, seen through its embedding."""
    truth = m.exact(m.Network(m.Cos(), 30), np.arange(3.0)[:, None])
    terms = terms_of(m.Bilocal(), truth.tensor(2), np.ones(3))
    full = terms_of(m.FullQuartic(), truth.tensor(2), np.ones(3))
    size = terms.size
    plain, _ = equations(truth, terms, pilot_precision=np.zeros((size, size)), pilot_centre=np.zeros(size))
    seen, wide = equations(truth, terms, pilot_precision=np.zeros((size, size)), pilot_centre=np.zeros(size), full=full)
    assert wide is not None
    np.testing.assert_allclose(seen.matrix, plain.matrix, rtol=1e-12)
    np.testing.assert_allclose(embed(terms, full) @ wide.vector, plain.vector, rtol=1e-12)


def test_sandwich_from_networks_and_from_group_covariance_agree():
    """Two ways to B: every network's psi, or the covariance of the moments over 1024 groups; a factor 2 is seen."""
    truth = planted("lat", 0.05, 3)
    fields = truth.draw(40_000, np.random.default_rng(5))
    data = inf.measure(inf.Samples(fields, np.arange(3.0)[:, None]))
    terms = terms_of(m.Local(), truth.covariance, np.ones(3))
    size = terms.size
    arguments = {"pilot_precision": np.eye(size), "pilot_centre": np.zeros(size)}
    direct, _ = equations(data, terms, **arguments)
    grouped, _ = equations(_without_source(data), terms, **arguments)
    ratio = np.diag(grouped.noise) / np.diag(direct.noise)
    agree(ratio, 1.0, np.full(size, np.sqrt(2.0 / data.dof) * 1.5))  # Wishart, and psi's own kurtosis within a group
    disagree(ratio * 1023 / 1000 * 2, 1.0, np.full(size, np.sqrt(2.0 / data.dof) * 1.5))


def test_field_space_full_quartic_agrees_with_exact_moments():
    """chi^2 of the fit to 4e5 drawn cosine networks against the couplings of exact moments, in the sandwich covariance.

    One number at false-alarm 1e-6; the naive covariance at the same n must reject.
    """
    points = np.arange(-3.0, 4.0, 2.0)[:, None]
    network = m.Network(m.Cos(), 20)
    truth = m.exact(network, points)
    terms = terms_of(m.FullQuartic(), truth.tensor(2), np.ones(4))
    zero = {"pilot_precision": np.zeros((45, 45)), "pilot_centre": np.zeros(45)}
    target, _ = equations(truth, terms, **zero)
    ensemble = inf.Ensemble(network, points=points, n=400_000, key=jax.random.key(11))
    fitted, _ = equations(inf.measure(ensemble), terms, **zero)
    shift = fitted.estimate - target.estimate
    chi2 = float(shift @ np.linalg.solve(fitted.sandwich, shift))
    naive = float(shift @ np.linalg.solve(fitted.naive, shift))
    # chi^2_45: sd sqrt(90) in units where the mean is 45, far enough from the edge that 6 sd is a 1e-6 event.
    agree(np.cbrt(chi2 / 45), 1 - 2 / (9 * 45), np.sqrt(2 / (9 * 45)))  # Wilson-Hilferty: Gaussian to 1e-3
    disagree(np.cbrt(naive / 45), 1 - 2 / (9 * 45), np.sqrt(2 / (9 * 45)))


def test_a_singular_gram_matrix_is_refused_with_its_number():
    """The published Gauss-net input set has a Gram matrix no one can invert."""
    points = 0.01 * np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])[:, None]
    kernel = m.exact(m.Network(m.Gauss(), 10), points, orders=(2,)).tensor(2)
    with pytest.raises(ValueError, match=r"expected points whose Gram.*got [\d.e+]+.*correlators"):
        check_gram(kernel)


def _moments(fields: np.ndarray) -> dict[int, np.ndarray]:
    count = fields.shape[1]
    return {r: np.prod(fields[:, sorted_tuples(count, r)], axis=-1).mean(axis=0) for r in (2, 4, 6)}


def _without_source(data: m.Correlators) -> m.Correlators:
    from dataclasses import replace

    return replace(data, source=None)


def test_tables_are_made_of_the_terms_of_the_action():
    """Unit-norm rows on the monomials that occur, physical couplings by the factors."""
    terms = terms_of(m.Bilocal(), np.diag([1.0, 4.0]), np.ones(2))
    np.testing.assert_array_equal(terms.scale, [1.0, 2.0])
    theta = np.random.default_rng(0).normal(size=terms.size)
    physical = theta / terms.factors
    phi = np.array([0.3, -0.7])
    labels = m.Bilocal().blocks(2)
    s4 = sum(
        c * np.prod(phi[list(q)])
        for c, q in zip(
            physical[3:],
            [(a,) * 4 for a in (0, 1)]
            + [(a, b, b, b) for a, b in labels["u"]]
            + [(a, a, b, b) for a, b in labels["v"]],
            strict=True,
        )
    )
    quads, rows = terms.tables[1]
    scaled = np.prod((phi / terms.scale)[quads], axis=1)
    np.testing.assert_allclose(theta[3:] @ rows @ scaled, s4, rtol=1e-12)
    assert rank(quads, 2).tolist() == sorted(rank(quads, 2).tolist())
