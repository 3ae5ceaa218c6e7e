"""The smallest value of a quartic form on the sphere: by hand, by grid, by symmetry, and for the nets of the suite."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize

from nnft.models import Cos, Network, boundedness, exact
from nnft.models.actions.boundedness import FORBIDDEN, lowest_direction, minimum_on_sphere
from nnft.models.combinatorics import multiplicities, sorted_tuples
from nnft.models.diagrams.from_couplings import vertex, whitened
from tests.oracles import couplings_from_vertex

# A fixed number of steps stops close to the minimum, never below it; this is how close.
CLOSE = 1e-6


def monomials(v):
    """Products of the sorted quads along directions v, (direction, quad)."""
    return np.prod(v[:, sorted_tuples(v.shape[1], 4)], axis=2)


def sphere(points, count=40_000):
    """A fine grid of the circle, or of the sphere as latitudes and longitudes."""
    if points == 2:
        angle = np.linspace(0, np.pi, count)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    side = int(np.sqrt(count))
    polar, around = (
        a.ravel() for a in np.meshgrid(np.linspace(0, np.pi / 2, side), np.linspace(0, 2 * np.pi, 2 * side))
    )
    return np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=1)


def form(points, **terms):
    """Coefficients from names: form(2, a0011=-3) is -3 phi_0^2 phi_1^2."""
    quads = ["".join(map(str, q)) for q in sorted_tuples(points, 4).tolist()]
    out = np.zeros(len(quads))
    for name, value in terms.items():
        out[quads.index(name[1:])] = value
    return out


def random_forms(points, draws, seed=0):
    return np.random.default_rng(seed).normal(size=(draws, len(sorted_tuples(points, 4))))


# ---- by hand --------------------------------------------------------------------------------------------------------

KNOWN = {
    "one site": (form(1, a0000=2.5), 1, 2.5),
    "one site, unbounded": (form(1, a0000=-2.5), 1, -2.5),
    "sum of fourth powers": (form(2, a0000=1, a1111=1), 2, 0.5),
    "three fourth powers": (form(3, a0000=1, a1111=1, a2222=1), 3, 1 / 3),
    "square of the norm": (form(2, a0000=1, a0011=2, a1111=1), 2, 1.0),
    "negative on the diagonal only": (form(2, a0000=1, a0011=-3, a1111=1), 2, -0.25),
    "positive at every site, negative between": (form(2, a0000=1, a0001=4, a1111=1), 2, -0.704349),
    "one flat direction": (form(2, a0000=1), 2, 0.0),
    "one bad direction of three": (form(3, a0000=1, a1111=1, a2222=-0.1), 3, -0.1),
    "cubes against a line": (form(2, a0111=1), 2, -3 * np.sqrt(3) / 16),
    "nothing": (form(2), 2, 0.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_forms(name):
    quartic, points, truth = KNOWN[name]
    found = minimum_on_sphere(quartic, points)
    assert found.shape == (1,)
    assert found[0] == pytest.approx(truth, abs=CLOSE)


def test_a_product_of_four_fields():
    found = minimum_on_sphere(form(4, a0123=1.0), 4)[0]
    assert found == pytest.approx(-1 / 16, abs=CLOSE)


# ---- by grid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [2, 3])
def test_the_grid_finds_nothing_lower(points):
    quartic = random_forms(points, 60)
    grid = (quartic @ monomials(sphere(points)).T).min(axis=1)
    found = minimum_on_sphere(quartic, points)
    size = np.linalg.norm(quartic, axis=1)
    assert np.all(found < grid + CLOSE * size)
    assert np.max(np.abs(found - grid) / size) < 1e-4  # the grid's own distance from the minimum
    assert np.all((found < 0) == (grid < 0))


def test_a_value_is_attained_so_a_negative_one_is_a_proof():
    """Never below the true minimum: an independent search from every corner confirms it in six dimensions."""
    quartic = random_forms(6, 3, seed=2)
    found = minimum_on_sphere(quartic, 6)
    starts = np.random.default_rng(3).normal(size=(60, 6))
    quads = sorted_tuples(6, 4)
    for coefficients, value in zip(quartic, found, strict=True):
        best = min(
            minimize(
                lambda v, c=coefficients: c @ np.prod((v / np.linalg.norm(v))[quads], axis=1), v, method="BFGS"
            ).fun
            for v in starts
        )
        assert best - 1e-9 < value < best + CLOSE * np.linalg.norm(coefficients)


@pytest.mark.parametrize("name", ["fourth powers", "squares"])
def test_positive_forms_are_never_called_unbounded(name):
    """Sums of fourth powers, and of squares of quadratic forms, with as many flat directions as they like."""
    draw = np.random.default_rng(4)
    tensors = []
    for terms in range(1, 9):
        if name == "fourth powers":
            n = draw.normal(size=(terms, 3))
            tensors.append(np.einsum("na,nb,nc,nd->abcd", n, n, n, n))
        else:
            q = draw.normal(size=(terms, 3, 3))
            q = q + np.swapaxes(q, 1, 2)
            square = np.einsum("nab,ncd->abcd", q, q)
            tensors.append(np.mean([np.transpose(square, p) for p in permutations(range(4))], axis=0))
    quartic = couplings_from_vertex(24.0 * np.array(tensors))
    assert np.all(minimum_on_sphere(quartic, 3) > -1e-12 * np.max(np.abs(quartic), axis=1))


# ---- by symmetry ----------------------------------------------------------------------------------------------------


def test_a_rotation_changes_nothing():
    quartic = random_forms(3, 8, seed=5)
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
    turned = np.einsum("nabcd,ai,bj,ck,dl->nijkl", vertex(quartic, 3), *[rotation] * 4)
    a, b = minimum_on_sphere(quartic, 3), minimum_on_sphere(couplings_from_vertex(turned), 3)
    assert np.allclose(a, b, rtol=0, atol=CLOSE * np.linalg.norm(quartic, axis=1).max())


@pytest.mark.parametrize("factor", [1e-8, 3.0, 1e12])
def test_a_factor_goes_through(factor):
    quartic = random_forms(3, 8, seed=5)
    assert np.allclose(minimum_on_sphere(factor * quartic, 3), factor * minimum_on_sphere(quartic, 3), rtol=1e-9)


def test_scale_is_a_change_of_units():
    quartic, scale = random_forms(3, 8, seed=5), np.array([0.1, 1.0, 30.0])
    by_hand = quartic * np.prod(scale[sorted_tuples(3, 4)], axis=1)
    assert np.allclose(minimum_on_sphere(quartic, 3, scale=scale), minimum_on_sphere(by_hand, 3), rtol=1e-12)


def test_draws_do_not_depend_on_their_neighbours():
    quartic = random_forms(3, 8, seed=5)
    alone = minimum_on_sphere(quartic[3], 3)[0]
    assert minimum_on_sphere(quartic, 3)[3] == pytest.approx(alone, rel=1e-9)


def test_a_form_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"expected one coefficient per sorted quad, 5 at 2 points, got \(1, 4\)"):
        minimum_on_sphere(np.zeros(4), 2)


# ---- the nets of the suite ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readout", "spacing", "printed"),
    [
        ("gaussian", 1.0, "-51.8"),
        ("uniform", 1.0, "-29.9"),
        ("rademacher", 1.0, "-15.3"),
        ("uniform", 2.0, "-6.3"),
        ("rademacher", 2.0, "-2.2"),
    ],
)
def test_no_cosine_network_has_a_bounded_quartic_action_at_four_points(readout, spacing, printed):
    """-N G4c(v,v,v,v) over the whitened sphere, the leading quartic form up to 4!: negative for every readout law."""
    truth = exact(Network(Cos(), 1, readout=readout), spacing * np.arange(4.0)[:, None], orders=(2, 4))
    white = whitened(truth.connected(4), truth.tensor(2)) * np.sqrt(multiplicities(sorted_tuples(4, 4)))
    assert f"{minimum_on_sphere(-white, 4)[0]:.1f}" == printed


@pytest.mark.parametrize(("readout", "bounded"), [("gaussian", False), ("uniform", True), ("rademacher", True)])
def test_on_one_site_the_readout_decides(readout, bounded):
    """N G4c = (3/8) mu4 - 3/4 at one point: negative, that is bounded, for mu4 < 2."""
    kurtosis = exact(Network(Cos(), 1, readout=readout), np.zeros((1, 1)), orders=(4,)).connected(4)
    assert (minimum_on_sphere(-kurtosis, 1)[0] > 0) == bounded


# ---- sparse, large and sextic forms ---------------------------------------------------------------------------------


def test_a_sparse_form_is_the_dense_one_without_its_zeros():
    quartic = random_forms(5, 6, seed=7) * (np.random.default_rng(8).random(len(sorted_tuples(5, 4))) < 0.3)
    used = np.any(quartic != 0, axis=0)
    sparse = minimum_on_sphere(quartic[:, used], 5, tuples=sorted_tuples(5, 4)[used])
    assert np.allclose(sparse, minimum_on_sphere(quartic, 5), rtol=1e-8)


def lattice(points, coupling, across):
    """Coupling sum_x phi_x^4 + across sum_x phi_x^2 phi_{x+1}^2 on a ring."""
    x = np.arange(points)
    following = (x + 1) % points
    tuples = np.sort(np.concatenate([np.stack([x] * 4, 1), np.stack([x, x, following, following], 1)]), axis=1)
    return np.concatenate([np.full(points, coupling), np.full(points, across)]), tuples


def test_sixty_four_sites_by_symmetry():
    """With p_x = phi_x^2 on the simplex the form is p.C.p, C circulant: for 0 < -2c/g < 1 the constant p has least."""
    g, tuples = lattice(64, 1.0, -0.8)
    assert minimum_on_sphere(g, 64, tuples=tuples)[0] == pytest.approx((1.0 - 0.8) / 64, abs=1e-6)
    value, direction = lowest_direction(*[lattice(64, 1.0, -2.5)[0], 64], tuples=tuples)
    # Two neighbours of equal weight: (1/4)(2 - 2.5); more sites in a row do no better than the best run of them.
    runs = [np.linalg.eigvalsh(_run(k))[0] for k in range(2, 65)]
    assert value[0] < (2.0 - 2.5) / 4 + 1e-9
    assert value[0] > min(runs) - 1e-9  # p.C.p >= smallest eigenvalue |p|^2, and |p| <= 1 on the simplex
    assert np.linalg.norm(direction[0]) == pytest.approx(1.0)


def _run(sites):
    return np.eye(sites) - 1.25 * (np.eye(sites, k=1) + np.eye(sites, k=-1))


def test_the_direction_attains_the_value():
    quartic = random_forms(4, 10, seed=9)
    value, direction = lowest_direction(quartic, 4)
    assert np.allclose(np.sum(quartic * monomials(direction), axis=1), value, rtol=1e-12)
    assert np.allclose(np.linalg.norm(direction, axis=1), 1.0)


SEXTIC = {
    "sixth power": ({"000000": 2.0}, 1, 2.0),
    "sum of sixth powers": ({"000000": 1.0, "111111": 1.0}, 2, 0.25),
    "norm to the sixth": ({"000000": 1.0, "000011": 3.0, "001111": 3.0, "111111": 1.0}, 2, 1.0),
    # x^4 y^2 + x^2 y^4 - 3 x^2 y^2 z^2 + z^6 is never negative, without being a sum of squares.
    "Motzkin's form": ({"000011": 1.0, "001111": 1.0, "001122": -3.0, "222222": 1.0}, 3, 0.0),
    "Motzkin's form, less": ({"000011": 1.0, "001111": 1.0, "001122": -3.0, "222222": 0.999}, 3, -0.001 / 27),
}


@pytest.mark.parametrize("name", SEXTIC)
def test_sextic_forms(name):
    terms, points, truth = SEXTIC[name]
    tuples = np.array([[int(c) for c in word] for word in terms])
    found = minimum_on_sphere(np.array(list(terms.values())), points, tuples=tuples, order=6)
    assert found[0] == pytest.approx(truth, abs=2e-7)


# ---- the word for it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "points", "bounded"),
    [
        ({2: [0.5], 4: [0.1]}, 1, True),
        ({2: [-5.0], 4: [0.1]}, 1, True),  # a double well
        ({2: [0.5], 4: [-0.1]}, 1, False),
        ({2: [0.5], 4: [-0.1], 6: [1e-6]}, 1, True),  # the highest form decides
        ({2: [0.5], 4: [0.1], 6: [-1e-6]}, 1, False),
        ({2: [0.5]}, 1, True),
        ({2: [0.5, 0.0, 0.5], 4: [1.0, 0.0, 0.0, 0.0, 0.0]}, 2, True),  # flat along phi_1, held by the quadratic part
        ({2: [0.5, 0.0, -0.5], 4: [1.0, 0.0, 0.0, 0.0, 0.0]}, 2, False),  # flat along phi_1 and falling there
        ({2: [1.0, 0.0, 1.0], 4: [1.0, 0.0, -3.0, 0.0, 1.0]}, 2, False),
    ],
)
def test_the_label_of_an_action(action, points, bounded):
    found = boundedness({r: np.array(g) for r, g in action.items()}, points)
    assert found.bounded == bounded
    assert found.label == ("bounded" if bounded else "formal (perturbative)")
    assert found.forbids == (() if bounded else FORBIDDEN)


def test_a_formal_action_says_what_it_has_not():
    why = boundedness({2: np.array([0.5]), 4: np.array([-0.1])}, 1).why
    assert "no sampling, no reweighting, no likelihood, no gold posterior" in why
    assert "-0.1 along phi/scale = [" in why


def test_a_lost_cross_term_turns_the_verdict():
    """Planted fault: the form read at the sites alone calls an unbounded action bounded."""
    g = np.array([1.0, 0.0, -3.0, 0.0, 1.0])
    sites = np.where(np.array([1, 0, 0, 0, 1]), g, 0.0)
    assert not boundedness({4: g}, 2).bounded
    assert boundedness({4: sites}, 2).bounded


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum_on_sphere(np.ones(1), 2, order=3), "even degree, got 3"),
        (lambda: minimum_on_sphere(np.ones(1), 2, tuples=np.array([[0, 0, 2, 2]])), r"among 0\.\.1"),
        (lambda: minimum_on_sphere(np.ones(2), 2, tuples=np.array([[0, 0, 1, 1]])), "one coefficient per quad, 1 at"),
        (lambda: boundedness({4: np.zeros(1)}, 1), "none that differ from zero"),
    ],
)
def test_bad_forms_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
