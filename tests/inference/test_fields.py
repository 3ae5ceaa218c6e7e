"""Fields drawn from actions: against quadrature at one and two sites and the transfer matrix of a chain.

Each comparison uses `agree` (family-wise false alarm 1e-6) with the Monte Carlo errors of the draws; its twin plants a
fault in the truth and must see it with the same draws.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft.inference import sample_action
from nnft.models.combinatorics import rank, sorted_tuples
from tests.statistics import agree, disagree

LINE = np.linspace(-7.0, 7.0, 1401)


def one_site(power, quadratic, quartic, sextic=0.0):
    """<phi^power> by the trapezoid rule, which is exact to rounding for such integrands."""
    weight = np.exp(-quadratic * LINE**2 - quartic * LINE**4 - sextic * LINE**6)
    return np.sum(LINE**power * weight) / np.sum(weight)


def even_moments(drawn, powers=(2, 4, 6)):
    found = [drawn.mean(lambda phi, p=p: phi[..., 0] ** p) for p in powers]
    return np.array([value for value, _ in found]), np.array([error for _, error in found])


SITES = {  # all with the same monomials: one compiled program
    "weak": (0.5, 0.1, 0.01),
    "strong": (0.5, 1.0, 0.2),
    "shallow double well": (-1.0, 0.5, 0.05),
    "negative quartic held by a sextic": (0.5, -0.1, 0.02),
}


@pytest.mark.parametrize("name", SITES)
def test_one_site_agrees_with_quadrature(name):
    quadratic, quartic, sextic = SITES[name]
    action = {2: np.array([quadratic]), 4: np.array([quartic]), 6: np.array([sextic])}
    drawn = sample_action(action, points=1, key=jax.random.key(1), draws=400)
    mean, error = even_moments(drawn)
    truth = np.array([one_site(p, *SITES[name]) for p in (2, 4, 6)])
    agree(mean, truth, error)
    wrong = (2.0 * quadratic, quartic, sextic)  # phi^2 for phi^2/2 must be seen
    disagree(mean, np.array([one_site(p, *wrong) for p in (2, 4, 6)]), error)
    assert drawn.rhat < 1.02
    assert drawn.ess > 1000


def test_two_sites_agree_with_quadrature_on_a_grid():
    """All pairs and quads, with every kind of quartic term; the twin drops the term phi_0 phi_1^3."""
    q, g = np.array([0.8, -0.5, 0.7]), np.array([0.2, 0.1, 0.3, -0.15, 0.25])
    drawn = sample_action({2: q, 4: g}, points=2, key=jax.random.key(2), draws=600)
    x = np.linspace(-5.0, 5.0, 401)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    tuples = [*sorted_tuples(2, 2), *sorted_tuples(2, 4)]
    products = np.stack([np.prod(grid[:, list(t)], axis=1) for t in tuples], axis=1)

    def truth(coefficients):
        weight = np.exp(-products @ coefficients)
        return products.T @ weight / weight.sum()

    def observable(phi):
        return np.stack([np.prod(phi[..., list(t)], axis=-1) for t in tuples], axis=-1)

    mean, error = drawn.mean(observable)
    exact = np.concatenate([q, g])
    agree(mean, truth(exact), error)
    disagree(mean, truth(np.where(np.arange(8) == 6, 0.0, exact)), error)
    assert drawn.rhat < 1.01
    assert drawn.divergences == 0


def chain(points, m2, lam):
    """S = sum_x (phi_{x+1} - phi_x)^2/2 + m2 phi_x^2/2 + lam phi_x^4, periodic, on sorted tuples."""
    q, g = np.zeros(len(sorted_tuples(points, 2))), np.zeros(len(sorted_tuples(points, 4)))
    for x in range(points):
        q[rank(np.array([x, x]), points)] += 1.0 + m2 / 2.0
        q[rank(np.array([x, (x + 1) % points]), points)] -= 1.0
        g[rank(np.array([x] * 4), points)] += lam
    return {2: q, 4: g}


def chain_averages(phi):
    return np.stack(
        [(phi**p).mean(axis=-1) for p in (2, 4)] + [(phi * np.roll(phi, 1, axis=-1)).mean(axis=-1)], axis=-1
    )


@pytest.mark.parametrize(
    ("lam", "truth"),
    [(0.1, (0.363351223888, 0.365671019300, 0.118161039692)), (1.0, (0.212500955369, 0.112301400808, 0.043354234670))],
)
def test_the_periodic_chain_agrees_with_the_transfer_matrix(lam, truth):
    drawn = sample_action(chain(16, 1.0, lam), points=16, key=jax.random.key(3), draws=300)
    mean, error = drawn.mean(chain_averages)
    agree(mean, truth, error)
    free = np.linalg.inv(3.0 * np.eye(16) - np.roll(np.eye(16), 1, 0) - np.roll(np.eye(16), -1, 0))
    disagree(mean, (free[0, 0], 3 * free[0, 0] ** 2, free[0, 1]), error)  # the interaction forgotten
    assert drawn.rhat < 1.02
    assert drawn.divergences == 0


def test_a_function_gives_the_fields_of_its_density():
    """One site as a callable of the field; the twin is the free field."""
    drawn = sample_action(lambda phi: jnp.sum(phi**2 / 2 + phi**4), metric=np.eye(1), key=jax.random.key(4))
    mean, error = even_moments(drawn)
    agree(mean, [one_site(p, 0.5, 1.0) for p in (2, 4, 6)], error)
    disagree(mean, (1.0, 3.0, 15.0), error)


def test_both_wells_are_visited_equally():
    """A deep double well: chains stay in the well they began in, the random sign does not."""
    drawn = sample_action(
        {2: np.array([-8.0]), 4: np.array([2.0]), 6: np.array([0.01])}, points=1, key=jax.random.key(5)
    )
    mean, error = drawn.mean(lambda phi: phi[..., 0])
    agree(mean, 0.0, error)
    square, spread = drawn.mean(lambda phi: phi[..., 0] ** 2)
    agree(square, one_site(2, -8.0, 2.0, 0.01), spread)


def test_only_some_monomials_by_their_tuples():
    dense = chain(16, 1.0, 0.1)
    everything = sample_action(dense, points=16, key=jax.random.key(6), draws=25)
    kept = {r: np.flatnonzero(g) for r, g in dense.items()}
    sparse = sample_action(
        {r: dense[r][where] for r, where in kept.items()},
        points=16,
        tuples={r: sorted_tuples(16, r)[where] for r, where in kept.items()},
        key=jax.random.key(6),
        draws=25,
    )
    assert np.array_equal(everything.fields, sparse.fields)


def test_the_same_key_gives_the_same_fields_and_another_other_ones():
    draw = [sample_action(chain(16, 1.0, 0.1), points=16, key=jax.random.key(k), draws=25).fields for k in (7, 7, 8)]
    assert np.array_equal(draw[0], draw[1])
    assert not np.any(draw[0] == draw[2])
    assert draw[0].shape == (64, 25, 16)
    assert draw[0].dtype == np.float64


def test_an_unbounded_action_is_refused_with_its_direction_and_value():
    q, g = np.array([0.5, 0.0, 0.5]), np.array([1.0, 0.0, -3.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"bounded below.*form of degree 4 is -0\.25 along phi/scale = \[.*0\.71"):
        sample_action({2: q, 4: g}, points=2, key=jax.random.key(0))


def test_an_unbounded_function_is_refused():
    with pytest.raises(ValueError, match="expected an action that rises away from the origin"):
        sample_action(lambda phi: jnp.sum(phi**2 - 0.01 * phi**4), metric=np.eye(2), key=jax.random.key(0))


@pytest.mark.parametrize(
    ("action", "options", "message"),
    [
        ({2: np.array([0.5])}, {}, "expected the number of points"),
        ({2: np.array([0.5, 0.1])}, {"points": 1}, "expected 1 finite coefficients of degree 2 at 1 points"),
        ({2: np.array([0.5])}, {"points": 1, "metric": np.eye(2)}, "got points=1 and a metric of 2"),
        ({2: np.array([0.5])}, {"metric": np.array([[-1.0]])}, "positive definite metric"),
        (lambda phi: phi @ phi, {"points": 2}, "expected a metric beside a function"),
        ({2: np.array([0.5])}, {"points": 1, "draws": 1}, "expected draws >= 4"),
    ],
)
def test_bad_input_is_refused(action, options, message):
    with pytest.raises(ValueError, match=message):
        sample_action(action, key=jax.random.key(0), **options)
