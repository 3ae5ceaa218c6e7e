"""Symmetries with p-values: what each group forbids, exact nulls, breakings of known size, and planted faults."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m
from nnft.models.distance import hotelling
from tests.statistics import agree

ONE, X = np.zeros((1, 1)), np.array([[0.0], [0.5], [1.2], [2.0]])


def ensemble(model, points=ONE, n=20_000, seed=0, **options):
    return inf.Ensemble(model, points=points, n=n, key=jax.random.key(seed), **options)


def of(weights, width=3):
    return m.Multiplet.of(m.Cos(), width, weights)


# --- what is forbidden ------------------------------------------------------------------------------------------------

RANKS = {  # of products of 1, 2, 3, 4 fields at one point, less the invariants of each order
    "O(2)": (inf.Orthogonal(2), 2, (2, 2, 4, 4)),  # phi.phi and its square are free
    "O(3)": (inf.Orthogonal(3), 3, (3, 5, 10, 14)),
    "SO(3)": (inf.Orthogonal(3, special=True), 3, (3, 5, 10, 14)),
    "U(1)": (inf.Phase(), 4, (4, 6, 20, 26)),  # four bilinears; (2 of 2) symmetric times its conjugate: 9
    "U(1)^2": (inf.Phase(each=True), 4, (4, 8, 20, 32)),
    "SU(2)": (inf.Unitary(2), 4, (4, 9, 20, 34)),
    "S_3": (inf.Exchange(3), 3, (2, 4, 7, 11)),  # the partitions of r into at most three parts are free: 1, 2, 3, 4
    "Z2": (inf.Sign(), 2, (2, 0, 4, 0)),
}


@pytest.mark.parametrize(("group", "outputs", "ranks"), RANKS.values(), ids=RANKS)
def test_the_rank_is_that_of_the_group(group, outputs, ranks):
    from nnft.inference.symmetries.invariants import forbidden

    parts = [forbidden(group.moves(ONE, outputs), outputs, r) for r in (1, 2, 3, 4)]
    assert tuple(part.basis.shape[1] for part in parts) == ranks
    for part in parts:
        np.testing.assert_allclose(part.basis.T @ part.basis, np.eye(part.basis.shape[1]), atol=1e-12)


def test_an_array_of_three_determinants_is_not_all():
    """SO(3) leaves the determinant of three vectors free, O(3) does not: three points, order three."""
    from nnft.inference.symmetries.invariants import forbidden

    points = np.arange(3.0)[:, None]
    ranks = [
        forbidden(inf.Orthogonal(3, special=special).moves(points, 3), 9, 3).basis.shape[1] for special in (False, True)
    ]
    assert ranks == [165, 164]


# --- exact and measured -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "mean", "needed"),
    [(10, 0.2, 65065), (10, 0.3, 13505), (10, 0.5, 2045), (3, 0.3, 14993), (50, 0.3, 12995)],
)
def test_networks_for_a_power_of_ninety_percent(width, mean, needed):
    found = inf.networks_to_see(of(m.Normals((mean, 0.0)), width), ONE, inf.Orthogonal(2))
    assert found == pytest.approx(needed, abs=0.5)


def test_an_exact_symmetry_is_never_seen():
    assert inf.networks_to_see(of(m.Copies(2)), ONE, inf.Orthogonal(2)) == np.inf


@pytest.mark.parametrize(
    ("dof", "values"),
    [(1, (10.82757, 20.90390, 31.54928)), (2, (12.80237, 23.81728, 35.24725)), (35, (32.50317, 52.38352, 71.22989))],
)
def test_noncentralities(dof, values):
    from nnft.inference.symmetries.power import noncentrality

    assert [noncentrality(dof, power=p) for p in (0.5, 0.9, 0.99)] == pytest.approx(values, abs=1e-5)


SYMMETRIC = {
    "O(2), Gaussian": (of(m.Copies(2)), inf.Orthogonal(2), (1, 4)),
    "O(3), sphere": (of(m.Spherical(3)), inf.Orthogonal(3), (2, 4)),
    "S_2, uniform": (of(m.Copies(2, "uniform")), inf.Exchange(2), (2, 4)),
    "SU(2), sphere": (of(m.complex_sphere(2)), inf.Unitary(2), (2, 4)),
    "Z2 with a mean, cos": (of(m.Normals((0.5,))), inf.Sign(), (1, 3)),
    "translations, cos": (m.Network(m.Cos(), 3), inf.Translations(), (2, 4)),
    "reflection, erf": (m.Network(m.Erf(), 3), inf.Reflection(), (2, 4)),
}


@pytest.mark.parametrize(("model", "group", "orders"), SYMMETRIC.values(), ids=SYMMETRIC)
def test_a_symmetry_is_proved_and_held(model, group, orders):
    points = X[:2] if model.outputs == 1 else ONE
    table = inf.symmetry(ensemble(model, points, n=18_000), group, orders=orders)
    for order in orders:
        assert table[order].p > 1e-5
        assert table[order].proved
        assert not table[order].contradiction
    assert f"exact in the law: {group.reason(model)}" in str(table)


WHY = {
    "Z2 with a mean, cos": (of(m.Normals((0.5,))), inf.Sign(), "phase of every neuron is uniform"),
    "Z2 with a mean, erf": (m.Multiplet.of(m.Erf(), 3, m.Normals((0.5,))), inf.Sign(), "activation is odd"),
    "Z2 with a mean, ReLU": (m.Multiplet.of(m.ReLU(), 3, m.Normals((0.5,))), inf.Sign(), ""),
    "Z2, ReLU": (m.Network(m.ReLU(), 3), inf.Sign(), "W and -W are equally likely"),
    "translations, cos": (m.Network(m.Cos(), 3), inf.Translations(), "phase of every neuron is uniform"),
    "translations, cos and erf": (m.Network((m.Cos(), m.Erf()), 4), inf.Translations(), ""),
    "translations, scalar": (m.Network(m.ScalarMode(), 3), inf.Translations(), "phase of every neuron is uniform"),
    "circle, cos": (m.Network(m.Cos(), 3), inf.Translations((1.0,), period=(2.0,)), ""),
    "reflection, erf": (m.Network(m.Erf(), 3), inf.Reflection(), "input weights are isotropic"),
    "reflection elsewhere, erf": (m.Network(m.Erf(), 3), inf.Reflection(about=0.5), ""),
    "reflection elsewhere, cos": (m.Network(m.Cos(), 3), inf.Reflection(about=0.5), "isotropic; the phase"),
    "O(2)": (of(m.Copies(2)), inf.Orthogonal(2), "readout vector of every neuron is isotropic"),
    "O(2), uniform": (of(m.Copies(2, "uniform")), inf.Orthogonal(2), ""),
    "O(2), a mean": (of(m.Normals((0.5, 0.0))), inf.Orthogonal(2), ""),
    "S_2, uniform": (of(m.Copies(2, "uniform")), inf.Exchange(2), "exchangeable"),
    "S_2, equal means": (of(m.Normals((0.5, 0.5))), inf.Exchange(2), "exchangeable"),
    "SU(2), sphere": (of(m.complex_sphere(2)), inf.Unitary(2), "isotropic"),
    "SU(2), phases": (of(m.Phases(2)), inf.Unitary(2), ""),
    "U(1)^2, phases": (of(m.Phases(2)), inf.Phase(each=True), "uniform phase for each field"),
}


@pytest.mark.parametrize(("model", "group", "words"), WHY.values(), ids=WHY)
def test_the_priors_say_why_and_exact_correlators_agree(model, group, words):
    from nnft.inference.symmetries.power import exact_parts

    reason = group.reason(model)
    assert words in reason
    assert bool(words) == bool(reason)
    for order in (1, 2, 3, 4):
        try:
            parts, moments, _ = exact_parts(model, X[1:3] if model.outputs == 1 else ONE, group, order)
        except ValueError:  # it acts trivially
            continue
        if reason:
            np.testing.assert_allclose(parts.of(moments[order]), 0.0, atol=1e-10)


def test_a_reason_that_is_wrong_is_an_error():
    class Wrong(m.Multiplet):
        @property
        def reasons(self):
            return {"orthogonal": "somebody says so"}

    broken = inf.symmetry(ensemble(Wrong.of(m.Cos(), 3, m.Normals((0.5, 0.0)))), inf.Orthogonal(2), orders=(2,))[2]
    assert broken.contradiction
    true = inf.symmetry(ensemble(of(m.Normals((0.5, 0.0)))), inf.Orthogonal(2), orders=(2,))[2]
    assert (true.contradiction, true.reason) == (False, "")


BROKEN = {
    "O(2) by the law": (of(m.Copies(2, "rademacher")), inf.Orthogonal(2), 4),
    "O(2) by a mean": (of(m.Normals((0.5, 0.0))), inf.Orthogonal(2), 2),
    "O(2) by variances": (of(m.Normals((0.0, 0.0), (1.0, 0.8))), inf.Orthogonal(2), 2),
    "S_2 by a mean": (of(m.Normals((0.5, 0.0))), inf.Exchange(2), 2),
    "SU(2) by independent phases": (of(m.Phases(2)), inf.Unitary(2), 4),
    "Z2 by a mean, ReLU": (m.Multiplet.of(m.ReLU(1.0, 0.5), 3, m.Normals((0.3,))), inf.Sign(), 1),
    "reflections, translations of ReLU": (m.Network(m.ReLU(), 3), inf.Translations((0.4,)), 2),
}


@pytest.mark.parametrize(("model", "group", "order"), BROKEN.values(), ids=BROKEN)
def test_a_planted_violation_is_found_with_its_size(model, group, order):
    points = X[:2] + 0.3 if model.outputs == 1 else ONE
    one = inf.symmetry(ensemble(model, points), group, orders=(order,))[order]
    assert one.p < 1e-6
    assert one.proved is False
    agree(one.size, one.exact, one.error)
    assert np.isfinite(one.needed)


def test_independent_phases_break_su2_generator_by_generator():
    """A phase for each field holds, and their difference with it; the generators that mix the fields do not."""
    ens = ensemble(of(m.Phases(2)), n=18_000)
    assert inf.symmetry(ens, inf.Phase(each=True), orders=(4,))[4].p > 1e-5
    assert inf.symmetry(ens, inf.Unitary(2), orders=(2,))[2].p > 1e-5
    each = [inf.symmetry(ens, inf.Generator(inf.Unitary(2), k), orders=(4,))[4].p for k in range(3)]
    assert max(each[:2]) < 1e-6
    assert each[2] > 1e-5


ELEMENTS = {
    "O(3)": (inf.Orthogonal(3), ONE, 3),
    "SO(2)": (inf.Orthogonal(2, special=True), ONE, 2),
    "U(1)": (inf.Phase(), ONE, 4),
    "U(1)^2": (inf.Phase(each=True), ONE, 4),
    "SU(2)": (inf.Unitary(2), ONE, 4),
    "U(3)": (inf.Unitary(3, special=False), ONE, 6),
}


@pytest.mark.parametrize(("group", "points", "outputs"), ELEMENTS.values(), ids=ELEMENTS)
def test_an_element_at_random_asks_no_more_than_the_group(group, points, outputs):
    from nnft.inference.symmetries.invariants import forbidden

    one = inf.Element(group, seed=3).moves(points, outputs)
    turn = one.elements[0]
    np.testing.assert_allclose(turn @ turn.T, np.eye(outputs), atol=1e-12)
    for order in (1, 2):
        all_of_it, part = (forbidden(x, outputs, order).basis for x in (group.moves(points, outputs), one))
        np.testing.assert_allclose(all_of_it @ (all_of_it.T @ part), part, atol=1e-9)


def test_elements_that_are_not_drawn_are_refused():
    assert len(inf.Element(inf.Rotations()).moves(X[:, [0, 0]] + 1.0, 1).further) == 4
    with pytest.raises(ValueError, match="compact group"):
        inf.Element(inf.Translations()).moves(X, 1)
    with pytest.raises(ValueError, match=r"one of 1 generators of O\(2\)"):
        inf.Generator(inf.Orthogonal(2), 1).moves(ONE, 2)


def test_a_heavy_tail_is_judged_by_its_leading_directions():
    """Gauss: translation invariant at order 2 at every width, at order 4 at none."""
    ens = ensemble(m.Network(m.Gauss(1.0, 0.3), 3), np.array([[-0.3], [0.3]]))
    table = inf.symmetry(ens, inf.Translations((0.3,)), orders=(2, 4))
    assert table[2].p > 1e-5
    assert table[2].proved
    assert table[4].p < 1e-6
    assert "leading" in table[4].chi2.why
    assert table[4].proved is False


def test_a_tail_that_no_network_met_is_refused():
    """At x = 2 the exact error of <phi^2> is 25 times its value: 97 % of true nulls fell below .001."""
    ens = ensemble(m.Network(m.Gauss(1.0, 0.3), 3), X, n=5000)
    with pytest.raises(ValueError, match=r"tail these networks have met.* relative error"):
        inf.symmetry(ens, inf.Translations(), orders=(2,))
    table = inf.symmetry(ens, inf.Sign())  # a sign is as likely, whatever the tail
    assert {*table.orders} == {1}
    assert "20 directions" in table.refused[3]


def test_skew_heavy_differences_have_an_honest_p():
    """Log-normals less their mean, the smaller the heavier: uniform by the leading directions, as of many networks."""
    from nnft.inference.symmetries.flips import vanishes

    rng, widths = np.random.default_rng(0), np.linspace(0.3, 1.3, 12)
    found = []
    for _ in range(200):
        parts = (np.exp(widths * rng.normal(size=(500, 12))) - np.exp(widths**2 / 2)) * 0.3 ** np.arange(12)
        found.append(vanishes(parts))
    assert np.mean(["leading" in chi2.why for chi2 in found]) > 0.5
    assert stats.kstest([chi2.p for chi2 in found], "uniform").pvalue > 1e-4
    faults = [hotelling(chi2.value / 0.8**2, chi2.dof, 499.0) for chi2 in found]  # errors a fifth too small
    assert stats.kstest(faults, "uniform").pvalue < 1e-4
    assert "flips of signs" in vanishes(parts, even=True).why


def test_rotations_of_the_inputs():
    plane = np.array([[1.0, 0.0], [0.3, 0.8]])
    round_ = inf.symmetry(ensemble(m.Network(m.Erf(), 3), plane), inf.Rotations(reflections=True), orders=(2, 4))
    assert round_[2].proved
    assert round_[4].proved
    assert min(round_[2].p, round_[4].p) > 1e-5

    class Squeezed(m.AbstractModel):
        def __call__(self, points):
            m.Network(m.Erf(), 3)(points * jnp.array([1.0, 0.5]))

    assert inf.symmetry(ensemble(Squeezed(), plane), inf.Rotations(), orders=(2,))[2].p < 1e-6


def test_derivatives_are_of_the_same_networks():
    from nnft.inference.symmetries.moved import at_moved_points

    ens = ensemble(m.Network(m.Cos(), 3), X, n=100, dtype=np.float64)
    moves = inf.Translations().moves(X, 1)
    both = at_moved_points(ens, moves).read(0, 100)
    near = at_moved_points(ens, inf.Translations((1e-5,)).moves(X, 1)).read(0, 100)
    np.testing.assert_array_equal(both[:, :4], ens.read(0, 100))
    np.testing.assert_array_equal(near[:, :4], ens.read(0, 100))
    np.testing.assert_allclose((near[:, 4:] - near[:, :4]) / 1e-5, both[:, 4:], atol=1e-4)


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_arrays_on_a_circle():
    """A lattice of six sites: shifts by a site take it to itself, also where the field is another one at every site."""
    angle = 2 * np.pi * np.arange(6) / 6
    rng = np.random.default_rng(1)
    phase, size = rng.uniform(0, 2 * np.pi, 10_000), rng.gamma(2.0, size=10_000)
    phi = (np.sqrt(size) * np.cos(angle[:, None] + phase)).T + rng.normal(size=(10_000, 6))
    points = angle[:, None]
    shift = inf.Translations((angle[1],), period=(2 * np.pi,))
    for group in (shift, inf.Permutation(((1, 2, 3, 4, 5, 0),))):
        assert inf.symmetry(inf.Samples(phi, points), group, orders=(2,))[2].p > 1e-5
    broken = inf.Samples(phi * np.array([1.2, 1, 1, 1, 1, 1]), points)
    assert inf.symmetry(broken, shift, orders=(2,))[2].p < 1e-6


def test_a_chain_is_worth_less():
    rng, n = np.random.default_rng(0), 40_000
    noise, walk = rng.normal(size=(n, 2)), np.zeros((n, 2))
    for k in range(1, n):
        walk[k] = 0.9 * walk[k - 1] + noise[k]
    table = inf.symmetry(inf.Samples(walk[:, None, :], ONE, outputs=2), inf.Orthogonal(2), orders=(1, 2))
    assert table.networks < n / 10
    assert min(table[1].p, table[2].p) > 1e-5
    alone = inf.Samples(walk[:, None, :], ONE, outputs=2, independent=True)
    assert inf.symmetry(alone, inf.Orthogonal(2), orders=(1, 2)).networks == n


def test_five_models_that_resemble_no_other():
    """A non-linear sigma model, a deformed one, factors, a discrete field, a field of one's own with complex parts."""

    def sigma(points):
        angle = numpyro.sample("angle", dist.Uniform(-jnp.pi, jnp.pi))
        numpyro.deterministic("phi", jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None] * jnp.ones((len(points), 1)))

    # |phi| = 1: combinations of products of four fields do not vary at all.
    assert inf.symmetry(ensemble(sigma), inf.Orthogonal(2), orders=(2, 4))[4].p > 1e-5

    def weighted(points):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.factor("energy", -0.2 * jnp.sum(w**2) ** 2)
        numpyro.deterministic("phi", w[None] * jnp.ones((len(points), 1)))

    assert inf.symmetry(ensemble(weighted), inf.Orthogonal(2), orders=(2, 4))[2].p > 1e-5

    def cubic(points):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.factor("energy", -0.2 * jnp.sum(w**4))
        numpyro.deterministic("phi", w[None] * jnp.ones((len(points), 1)))

    assert inf.symmetry(ensemble(cubic), inf.Orthogonal(2), orders=(4,))[4].p < 1e-6

    def potts(points):
        state = numpyro.sample("state", dist.Categorical(jnp.ones(3) / 3))
        numpyro.deterministic("phi", jax.nn.one_hot(state, 3)[None] * jnp.ones((len(points), 1)))

    assert inf.symmetry(ensemble(potts), inf.Exchange(3), orders=(1, 2))[2].p > 1e-5

    def charged(points):
        phase = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi))
        numpyro.deterministic("phi", jnp.exp(1j * (phase + points[:, 0])))

    assert inf.symmetry(ensemble(charged, X[:2], complex_parts=True), inf.Phase(), orders=(2, 4))[4].p > 1e-5


# --- refusals ---------------------------------------------------------------------------------------------------------

FIELDS = np.random.default_rng(0).normal(size=(2000, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: inf.symmetry(ensemble(of(m.Copies(3))), inf.Orthogonal(2)),
            r"expected 2 real fields for O\(2\), got 3",
        ),
        (lambda: inf.symmetry(ensemble(of(m.Copies(3))), inf.Phase()), "real and imaginary part .* got 3 outputs"),
        (
            lambda: inf.symmetry(ensemble(of(m.Copies(2))), inf.Sign(), orders=(2,)),
            "every product of fields is invariant",
        ),
        (lambda: inf.symmetry(ensemble(of(m.Copies(2)), X, n=2000), inf.Orthogonal(2), orders=(4,)), "try 137,500"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), inf.Translations((0.3,))), "takes the points to each other"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), inf.Translations((0.3, 0.1))), "expected 1 numbers for transl"),
        (lambda: inf.symmetry(ensemble(m.Network(m.Cos(), 3), X), inf.Rotations()), "at least two dimensions"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), inf.Permutation(((1, 0),))), "permutations of 4 points"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), inf.Reflection(axis=1)), r"an axis among 0\.\.0"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), inf.Sign(), orders=(2.5,)), "expected orders among 1"),
        (lambda: inf.symmetry(inf.Samples(FIELDS, X), "O(2)"), "expected a symmetry"),
        (lambda: inf.symmetry(FIELDS, inf.Sign()), "expected an inf.Ensemble or inf.Samples"),
        (lambda: inf.Orthogonal(1), r"expected at least 2 fields for O\(1\)"),
        (lambda: inf.Translations(0.5), "one finite number an axis"),
        (lambda: inf.Permutation(((0, 0),)), "expected permutations of points"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_orders_not_asked_for_by_name_are_refused_with_the_reason():
    table = inf.symmetry(inf.Samples(FIELDS, X), inf.Sign())
    assert {*table.orders} == {1}
    assert "invariant" in table.refused[2]
    assert "try 10,000" in table.refused[3]  # 20 directions
    with pytest.raises(ValueError, match="order 2 of Z2 is refused"):
        table[2]
