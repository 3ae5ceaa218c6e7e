"""Terms of every action on fields against automatic differentiation, and their sums against those from correlators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.from_fields import direct_equations, observe
from nnft.inference.equations.from_moments import equations
from nnft.inference.equations.terms import terms_of
from nnft.inference.priors.unit import default_prior, wick_covariance
from nnft.models.actions.monomials import contraction, dense, each
from nnft.models.combinatorics import sorted_tuples
from tests.oracles import planted

ACTIONS = [
    (m.Constant(), 4),
    (m.Local(), 3),
    (m.Bilocal(), 4),
    (m.FullQuartic(), 3),
    (m.FullSextic(), 2),
    (m.Odd(m.Bilocal()), 3),
    (m.Odd(m.FullSextic()), 2),
    (m.TranslationInvariant(shape=(5,)), 5),
    (m.TranslationInvariant(), 4),
    (m.TranslationInvariant(shape=(2, 3), reach=1), 6),
    (m.LatticePhi4(shape=(2, 3)), 6),
    (m.LatticePhi4(shape=(2, 3), kappa=0.3), 6),
]


def _problem(action, points, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(points, points))
    metric, weights = mix @ mix.T + np.eye(points), rng.uniform(0.5, 1.5, points)
    return terms_of(action, metric, weights), rng.normal(size=(3, points)), rng


@pytest.mark.parametrize(("action", "points"), ACTIONS, ids=str)
def test_slopes_and_curvatures_are_derivatives(action, points):
    """Values, gradients, Laplacians and residuals by jacobians and hessians of the monomials themselves."""
    with jax.enable_x64(True):
        terms, fields, rng = _problem(action, points)
        theta = rng.normal(size=terms.size)

        def plain(phi):
            scaled = phi / terms.scale
            parts = [
                jnp.zeros(p.count).at[p.term].add(p.coefficient * jnp.prod(scaled[p.tuples], axis=1))
                for p in terms.parts
            ]
            return jnp.concatenate(parts)

        @jax.jit  # one program: every operation by itself would be compiled by itself
        def both(fields, theta):
            slope = jax.vmap(jax.jacfwd(plain))(fields) * terms.scale
            second = jax.vmap(jax.hessian(plain))(fields) * np.outer(terms.scale, terms.scale)
            curvature = jnp.einsum("nkab,ab->nk", second, terms.metric)
            free = 0.0 if terms.fixed is None else (fields / terms.scale) @ terms.fixed
            force = jnp.einsum("nka,k->na", slope, theta) + free
            psi = jnp.einsum("nka,ab,nb->nk", slope, terms.metric, force) - curvature
            down = jax.vmap(jax.grad(lambda phi: terms.action(phi[None], theta)[0]))(fields) * terms.scale
            return (
                (terms.values(fields), jax.vmap(plain)(fields)),
                (terms.gradients(fields), slope),
                (terms.laplacians(fields), curvature),
                (terms.residuals(fields, theta), psi),
                (down, force),
            )

        for found, truth in both(fields, theta):
            np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-10)


def test_the_lattice_action_is_written_as_it_is_said():
    """Kappa times squared differences, m2 phi^2, lambda phi^4, by rolling the field; factors of one half are seen."""
    phi = np.random.default_rng(1).normal(size=(4, 3, 4))
    action = m.LatticePhi4(shape=(3, 4))
    kinetic = sum(np.sum((np.roll(phi, -1, axis) - phi) ** 2, axis=(1, 2)) for axis in (1, 2))
    flat = phi.reshape(4, -1)
    q, quartic = action.quadratic(12), action.interaction(12, np.ones(12))[0]
    found = np.prod(flat[:, sorted_tuples(12, 2)], axis=-1) @ dense(q, 12).T
    np.testing.assert_allclose(found, np.stack([kinetic, np.sum(flat**2, axis=1)], axis=1), rtol=1e-12)
    assert not np.allclose(found[:, 0], 0.5 * kinetic)
    fourth = np.array([np.sum(quartic.coefficient * np.prod(f[quartic.tuples], axis=1)) for f in flat])
    np.testing.assert_allclose(fourth, np.sum(flat**4, axis=1), rtol=1e-12)
    fixed = m.LatticePhi4(shape=(3, 4), kappa=0.7).fixed(12)
    np.testing.assert_allclose(0.5 * np.einsum("na,ab,nb->n", flat, fixed, flat), 0.7 * kinetic, rtol=1e-12)


def test_a_diagonal_metric_is_known_as_one():
    """Whatever its entries: as a dense one it would cost a matrix product of all terms at every site."""
    for metric in (np.diag([0.3, 0.7, 1.1]), np.diag(np.random.default_rng(0).uniform(0.1, 2.0, 3))):
        assert terms_of(m.Bilocal(), metric, np.ones(3)).diagonal
    assert not terms_of(m.Bilocal(), np.eye(3) + 0.1, np.ones(3)).diagonal


def test_translations_leave_the_lattice_terms_alone():
    """Every term of a periodic lattice is the same on a shifted field; those of Local are not."""
    phi = np.random.default_rng(2).normal(size=(3, 4))
    fields = np.stack([np.roll(phi, s, (0, 1)).ravel() for s in ((0, 0), (1, 0), (2, 3))])
    with jax.enable_x64(True):
        for action, same in ((m.TranslationInvariant(shape=(3, 4)), True), (m.Local(), False)):
            values = np.asarray(terms_of(action, np.eye(12), np.ones(12)).values(jnp.asarray(fields)))
            assert np.allclose(values, values[:1], rtol=1e-12) == same


def test_the_translation_invariant_action_is_the_bilocal_one_with_equal_couplings():
    """lambda_i(x-y) on a ring: the quartic terms, summed with any couplings, are a bilocal action's, term by term."""
    action, count = m.TranslationInvariant(shape=(5,)), 5
    table = action.monomials(count, np.ones(count))
    rows = m.Bilocal().monomials(count, np.ones(count))
    np.testing.assert_allclose(table @ rows.T @ rows, table, rtol=1e-14)
    assert np.linalg.matrix_rank(table) == action.size(count) == 1 + 4 + 2
    line = m.TranslationInvariant()
    assert line.size(4) == 1 + 6 + 3
    assert len(line.quadratic_blocks(4)["q"]) == 4


@pytest.mark.parametrize("dense_metric", [True, False])
@pytest.mark.parametrize("action", [m.Bilocal(), m.Odd(m.Bilocal()), m.TranslationInvariant(shape=(4,))], ids=str)
def test_from_fields_and_from_correlators_are_the_same_numbers(action, dense_metric):
    """A, b, B and the pilot by two roads through the same samples, for both kinds of metric; another metric differs."""
    truth = planted("lat", 0.3, 4)
    samples = inf.Samples(truth.draw(4000, np.random.default_rng(0)), np.arange(4.0)[:, None])
    metric = truth.covariance if dense_metric else np.diag(np.diag(truth.covariance))
    terms = terms_of(action, metric, np.ones(4))
    prior = default_prior(terms)
    arguments = {"pilot_precision": prior.precision, "pilot_centre": prior.mean}
    one, _ = equations(inf.measure(samples, even=False if not action.even else None), terms, **arguments)
    other, seen = direct_equations(samples, terms, **arguments)
    for name in ("matrix", "vector", "noise", "pilot"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-8, atol=1e-9)
    assert seen.odd_p > 1e-6
    wrong = observe(samples, terms_of(action, truth.covariance + 0.1 * np.eye(4), np.ones(4)))
    assert not np.allclose(wrong.vector, one.vector, rtol=1e-3)


@pytest.mark.parametrize("action", [m.TranslationInvariant(shape=(2, 3)), m.LatticePhi4(shape=(2, 3))], ids=str)
def test_one_site_says_all_of_a_homogeneous_prior(action):
    """The prior of a lattice from the contractions of one site is that from all sites."""
    step = np.array([[0.3, 0.1, 0.1], [0.05, 0.02, 0.02]])
    kernel = np.array([[step[(y - x) // 3 % 2, (y - x) % 3] for y in range(6)] for x in range(6)])
    i, j = np.divmod(np.arange(6), 3)
    kernel = step[(i[None] - i[:, None]) % 2, (j[None] - j[:, None]) % 3]
    kernel = (kernel + kernel.T) / 0.6
    terms = terms_of(action, np.eye(6), np.ones(6))
    whole = default_prior(terms, two_point=kernel)
    quick = default_prior(terms, two_point=kernel, homogeneous=True)
    for a, b in zip(whole, quick, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)


def test_the_sextic_prior_is_worth_one_network():
    """Under the prior's own Gaussian the sextic action's Fisher information, by Wick, at one site: He4, He6."""
    terms = terms_of(m.FullSextic(), np.eye(1), np.ones(1))
    prior = default_prior(terms)
    # S = d2 :phi^2: + t4 :phi^4: + t6 :phi^6:, orthogonal with norms 2!, 4!, 6!.
    wick = np.array([[1.0, -6.0, 45.0], [0.0, 1.0, -15.0], [0.0, 0.0, 1.0]])  # columns: :T: in plain monomials
    expected = wick @ np.diag([1 / 2, 1 / 24, 1 / 720]) @ wick.T
    np.testing.assert_allclose(prior.factor @ prior.factor.T, expected, rtol=1e-10)
    np.testing.assert_allclose(prior.mean, [0.5, 0.0, 0.0], atol=1e-12)


def test_contractions_of_all_monomials():
    """phi^4 and a mixed quad: what Wick ordering takes off, by the definition of the covariance."""
    kernel = np.array([[1.0, 0.4], [0.4, 2.0]])
    quads = each(sorted_tuples(2, 4))
    lower = dense(contraction(quads, kernel), 2)
    np.testing.assert_allclose(lower[0], [6.0, 0.0, 0.0])
    np.testing.assert_allclose(lower[1], [3 * 0.4, 3 * 1.0, 0.0])  # phi_0^3 phi_1
    np.testing.assert_allclose(lower[2], [2.0, 4 * 0.4, 1.0])
    one = wick_covariance(np.array([[0, 0, 0, 0]]), kernel, np.array([[1, 1, 1, 1]]))
    np.testing.assert_allclose(one, 24 * 0.4**4)


def test_refusals_of_shapes():
    """A lattice that does not fit the points, a shape that is none."""
    with pytest.raises(ValueError, match=r"expected 12 points.*got 10"):
        terms_of(m.LatticePhi4(shape=(3, 4)), np.eye(10), np.ones(10))
    with pytest.raises(ValueError, match=r"expected shape as a tuple.*got \[3\]"):
        m.TranslationInvariant(shape=[3])
    with pytest.raises(ValueError, match=r"two sites along every axis"):
        m.LatticePhi4(shape=(1, 4))
    with pytest.raises(ValueError, match=r"reach >= 0"):
        m.TranslationInvariant(shape=(3,), reach=-1)


ODD = {
    "a scale that follows the sign": lambda a, b, c: (a, b * (1.0 + np.tanh(a)) / 2.0, c),  # <phi_a phi_b^2>
    "a product": lambda a, b, c: (a, b, c + 0.3 * a * b),  # <phi_a phi_b phi_c> alone
    "a cube": lambda a, b, c: (a, b, c + 0.1 * (a**2 - 1.0)),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("action", [m.FullSextic(), m.LatticePhi4(shape=(3,))], ids=lambda a: type(a).__name__)
def test_every_odd_cube_is_seen_by_a_fit_to_fields(name, action):
    """Means and single cubes vanish in the first two; the fields of networks with random signs are even: the twin."""
    rng = np.random.default_rng(4)
    odd = np.stack(ODD[name](*rng.normal(size=(3, 20_000))), axis=1)
    even = odd * rng.choice([-1.0, 1.0], size=(20_000, 1))
    terms = terms_of(action, np.eye(3), np.ones(3))
    points = np.arange(3.0)[:, None]
    arguments = {"pilot_precision": np.eye(terms.size), "pilot_centre": np.zeros(terms.size)}
    with pytest.raises(ValueError, match=r"expected odd averages compatible with zero.*got <phi\(\d\).* sd, p = "):
        direct_equations(inf.Samples(odd, points), terms, **arguments)
    assert observe(inf.Samples(even, points), terms).odd_p > 1e-6


def test_the_p_value_of_odd_averages_is_safe():
    """100 even sets, Gaussian and Student (5): p < .05 in at most 16, beyond which 5 % go once in 2e5 times.

    The twin moves every third field by .6 of its deviation.
    """
    rng = np.random.default_rng(5)
    terms, points = terms_of(m.FullSextic(), np.eye(3), np.ones(3)), np.arange(3.0)[:, None]
    third = 0.6 * (np.arange(300)[:, None] % 3 == 0)

    def rejected(sets, shift):
        laws = [rng.normal(size=(300, 3)) if k % 2 else rng.standard_t(5.0, size=(300, 3)) for k in range(sets)]
        return sum(observe(inf.Samples(phi + shift, points), terms).odd_p < 0.05 for phi in laws)

    assert rejected(100, 0.0) <= 16
    assert rejected(30, third) > 16
