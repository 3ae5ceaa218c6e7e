"""Feynman diagrams against the explicit sum over permutations and against integrals done numerically."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from nnft.models import Bilocal, Cos, Network, ReLU, exact, four_point, identifiable, non_gaussianity, predicted
from nnft.models.combinatorics import connected_from_moments, moments_from_connected, rank, sorted_tuples
from nnft.models.diagrams.from_couplings import vertex, whitened, wick_contraction
from tests.oracles import couplings_from_vertex
from tests.statistics import agree, disagree


def kernel(points, seed=0):
    root = np.random.default_rng(seed).normal(size=(points, 2 * points))
    return root @ root.T / points


def quartic_of(points, seed=0):
    """Coefficients of the sorted monomials of a random bilocal action, and its lambda_i(x,y)."""
    lam = np.random.default_rng(seed).normal(size=(4, points, points))
    blocks = identifiable(lam)
    couplings = np.concatenate([blocks[name] for name in ("g", "u", "v")])
    return couplings @ Bilocal().monomials(points, np.ones(points)), lam


# ---- tree level -----------------------------------------------------------------------------------------------------


def tree_by_permutations(lam, k):
    """-sum_xy sum_i lambda_i(x,y) sum over 24 permutations of prod_{k<=i} K(x,z) prod_{k>i} K(y,z): the definition."""
    points = len(k)
    out = []
    for z in sorted_tuples(points, 4).tolist():
        total = 0.0
        for x, y, i in product(range(points), range(points), range(4)):
            for pi in permutations(z):
                lines = [k[x, a] for a in pi[:i]] + [k[y, a] for a in pi[i:]]
                total -= lam[i, x, y] * np.prod(lines)
        out.append(total)
    return np.array(out)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_tree_level_is_the_sum_over_24_permutations(points):
    quartic, lam = quartic_of(points, seed=points)
    k = kernel(points)
    assert np.allclose(four_point(quartic, k)[0], tree_by_permutations(lam, k), rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("slice_", range(4))
def test_each_of_the_four_couplings_alone(slice_):
    _, lam = quartic_of(2, seed=9)
    lam[[i for i in range(4) if i != slice_]] = 0
    blocks = identifiable(lam)
    quartic = np.concatenate([blocks[n] for n in ("g", "u", "v")]) @ Bilocal().monomials(2, np.ones(2))
    k = kernel(2)
    assert np.allclose(four_point(quartic, k)[0], tree_by_permutations(lam, k), rtol=1e-11, atol=1e-11)


def test_planted_fault_one_for_the_multiplicity():
    """24 g_abcd without dividing by the number of index orders: right for phi_a^4, wrong for everything else."""
    quartic, lam = quartic_of(2, seed=1)
    k = kernel(2)
    index = np.moveaxis(np.indices((2,) * 4), 0, -1)
    wrong = -np.einsum("abcd,ai,bj,ck,dl->ijkl", 24.0 * quartic[rank(index, 2)], k, k, k, k)
    assert np.max(np.abs(wrong[tuple(sorted_tuples(2, 4).T)] - tree_by_permutations(lam, k))) > 1e-2


@pytest.mark.parametrize("points", [1, 2, 4])
def test_couplings_and_vertex_are_the_same_thing(points):
    quads = sorted_tuples(points, 4)
    quartic = np.random.default_rng(0).normal(size=(3, len(quads)))
    v = vertex(quartic, points)
    assert np.allclose(couplings_from_vertex(v), quartic, rtol=1e-14)
    for axes in permutations(range(4)):
        assert np.array_equal(np.transpose(v, (0, *[1 + a for a in axes])), v)
    phi = np.random.default_rng(1).normal(size=points)
    action = np.einsum("nabcd,a,b,c,d->n", v, phi, phi, phi, phi) / 24.0
    assert np.allclose(action, quartic @ np.prod(phi[quads], axis=1), rtol=1e-12)


def test_four_point_takes_many_draws_at_once():
    quartic = np.stack([quartic_of(3, seed=s)[0] for s in range(4)])
    k = kernel(3)
    singly = zip(*[four_point(q, k) for q in quartic], strict=True)
    for together, one in zip(four_point(quartic, k), singly, strict=True):
        assert np.allclose(together, np.stack(one), rtol=1e-12)


def test_a_vertex_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"expected one coefficient per sorted quad, 5 at 2 points, got \(3,\)"):
        vertex(np.zeros(3), 2)


# ---- generated diagrams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [1, 2, 3])
def test_generated_diagrams_agree_with_the_formula(points):
    quartic, lam = quartic_of(points, seed=points)
    k, x = kernel(points), np.arange(float(points))[:, None]
    tree, loop = four_point(quartic, k)
    for order, truth in (("tree", tree), ("next", tree + loop)):
        found = predicted(x, quartic=quartic, two_point=k, orders=(2, 4), order=order)
        assert np.allclose(found.connected(4), truth, rtol=1e-11, atol=1e-9)
        assert np.allclose(found.about["band"][4], np.abs(loop), rtol=1e-11, atol=1e-9)
        assert np.allclose(found.tensor(2), k, rtol=1e-13)
        assert not np.any(found.about["band"][2])
        wick = {r: found.connected(r) for r in (2, 4)}
        assert np.allclose(found.moment(4), moments_from_connected(wick, points, 4), rtol=1e-13)
    w = np.linspace(1.0, 2.0, points)  # lambda_i(x,y) in any gauge, with the weights of its double integral
    found = predicted(x, lam=lam, weights=w, two_point=k, orders=(4,), order="tree")
    assert np.allclose(found.connected(4), tree_by_permutations(lam * (w[:, None] * w), k), rtol=1e-11, atol=1e-9)


# ---- one loop against integrals -------------------------------------------------------------------------------------


STRONG = 2e-5  # deep in the regime where only the first neglected order counts


def integrated(quartic, precision, nodes=60):
    """Exact G2 (matrix) and G4c (sorted) of exp(-phi.P.phi/2 - S4) by Gauss-Hermite quadrature on P's eigenvectors."""
    points = len(precision)
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    values, vectors = np.linalg.eigh(precision)
    grid = np.stack(np.meshgrid(*[x] * points, indexing="ij"), axis=-1).reshape(-1, points)
    phi = grid / np.sqrt(values) @ vectors.T
    density = np.prod(np.stack(np.meshgrid(*[w] * points, indexing="ij"), axis=-1).reshape(-1, points), axis=1)
    density = density * np.exp(-np.prod(phi[:, sorted_tuples(points, 4)], axis=2) @ quartic)
    density /= density.sum()
    moments = {r: density @ np.prod(phi[:, sorted_tuples(points, r)], axis=2) for r in (2, 4)}
    index = np.moveaxis(np.indices((points, points)), 0, -1)
    return moments[2][rank(index, points)], connected_from_moments(moments, points, 4, even=True)


def bounded(points):
    """A bounded quartic form with every kind of monomial: sum over a few directions of (n.phi)^4."""
    directions = np.random.default_rng(3).normal(size=(4, points))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    tensor = np.einsum("na,nb,nc,nd->abcd", directions, directions, directions, directions)
    return couplings_from_vertex(24.0 * tensor)


def free(points):
    k = kernel(points, seed=4)
    return k / np.linalg.eigvalsh(k)[-1]


def misses(points, strength):
    """Largest error of tree, of tree + loop, and of tree - loop, with the exact two-point function on every line."""
    quartic, precision = strength * bounded(points), np.linalg.inv(free(points))
    two, four = integrated(quartic, precision)
    tree, loop = four_point(quartic, two)
    return [np.max(np.abs(four - guess)) for guess in (tree, tree + loop, tree - loop)]


@pytest.mark.parametrize("points", [1, 2, 3])
def test_tree_misses_by_the_square_and_one_loop_by_the_cube_of_the_coupling(points):
    strong, weak = misses(points, STRONG), misses(points, STRONG / 2)
    assert strong[0] / weak[0] == pytest.approx(4.0, rel=0.05)
    assert strong[1] / weak[1] == pytest.approx(8.0, rel=0.05)
    assert strong[1] < 0.05 * strong[0]


@pytest.mark.parametrize("points", [1, 2, 3])
def test_planted_fault_the_wrong_sign_of_the_loop_gains_no_order(points):
    strong, weak = misses(points, STRONG), misses(points, STRONG / 2)
    assert strong[2] / weak[2] == pytest.approx(4.0, rel=0.05)


def test_planted_fault_the_free_propagator_has_tadpoles_left_over():
    quartic, precision = bounded(2), np.linalg.inv(free(2))
    errors = []
    for strength in (STRONG, STRONG / 2):
        _, four = integrated(strength * quartic, precision)
        tree, loop = four_point(strength * quartic, np.linalg.inv(precision))
        errors.append(np.max(np.abs(four - tree - loop)))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


def test_one_site_by_hand():
    tree, loop = four_point(np.array([0.002]), np.array([[1.5]]))
    assert tree[0] == pytest.approx(-24 * 0.002 * 1.5**4, rel=1e-14)
    assert loop[0] == pytest.approx(864 * 0.002**2 * 1.5**6, rel=1e-14)


# ---- Wick ordering --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [1, 2, 3])
def test_wick_contraction_is_the_regression_on_pairs(points):
    """:phi phi phi phi: is uncorrelated with every pair: R is Cov(quads, pairs) Cov(pairs)^-1 of Gaussian moments."""
    k = kernel(points)
    two, four = {2: k[tuple(sorted_tuples(points, 2).T)]}, {}
    for order in (2, 4, 6):
        four[order] = moments_from_connected(two, points, order)
    pairs, quads = sorted_tuples(points, 2), sorted_tuples(points, 4)

    def joint(left, right):
        both = np.concatenate([np.repeat(left, len(right), axis=0), np.tile(right, (len(left), 1))], axis=1)
        return four[both.shape[1]][rank(both, points)].reshape(len(left), len(right))

    means = {2: four[2], 4: four[4]}
    covariance = joint(pairs, pairs) - np.outer(means[2], means[2])
    cross = joint(quads, pairs) - np.outer(means[4], means[2])
    assert np.allclose(wick_contraction(points, k), cross @ np.linalg.inv(covariance), rtol=1e-9, atol=1e-9)


def test_wick_contraction_by_hand():
    assert np.array_equal(wick_contraction(1, np.array([[2.0]])), [[12.0]])
    k = np.array([[1.0, 0.25], [0.25, 2.0]])
    # phi_0^2 phi_1^2: K_11 :phi_0^2: + 4 K_01 :phi_0 phi_1: + K_00 :phi_1^2:
    assert np.array_equal(wick_contraction(2, k)[2], [2.0, 1.0, 1.0])


# ---- the expansion parameter ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "printed"), [(1, ".306"), (2, "1.54"), (4, "11.1"), (8, "64.4")])
@pytest.mark.parametrize("width", [1, 20])
def test_non_gaussianity_of_the_cosine_network(points, printed, width):
    truth = exact(Network(Cos(), width), np.arange(float(points))[:, None], orders=(2, 4))
    value, error = non_gaussianity(truth.connected(4), None, truth.tensor(2))
    digits = len(printed.split(".")[1])
    assert f"{width * value:.{digits}f}".lstrip("0") == printed
    assert error == 0.0


def test_one_site_non_gaussianity_is_the_kurtosis():
    assert non_gaussianity(np.array([0.3]), None, np.array([[2.0]]))[0] == pytest.approx(0.3 / 4.0 / np.sqrt(24.0))


def test_non_gaussianity_does_not_depend_on_the_basis():
    """phi -> A phi changes neither the whitened norm nor its error."""
    draw, k = np.random.default_rng(0), kernel(3)
    connected, rows = draw.normal(size=15), 0.1 * draw.normal(size=(40, 15))
    a = draw.normal(size=(3, 3))

    def mapped(values):
        dense = values[..., rank(np.moveaxis(np.indices((3,) * 4), 0, -1), 3)]
        return np.einsum("...abcd,ia,jb,kc,ld->...ijkl", dense, a, a, a, a)[(..., *sorted_tuples(3, 4).T)]

    assert np.allclose(
        non_gaussianity(mapped(connected), mapped(rows), a @ k @ a.T), non_gaussianity(connected, rows, k), rtol=1e-9
    )


def test_the_whitened_components_carry_the_frobenius_norm():
    connected, k = np.random.default_rng(0).normal(size=15), kernel(3)
    values, vectors = np.linalg.eigh(k)
    root = vectors / np.sqrt(values) @ vectors.T
    dense = connected[rank(np.moveaxis(np.indices((3,) * 4), 0, -1), 3)]
    white = np.einsum("abcd,ai,bj,ck,dl->ijkl", dense, root, root, root, root)
    assert np.sum(whitened(connected, k) ** 2) == pytest.approx(np.sum(white**2), rel=1e-12)


def test_a_singular_gram_matrix_is_refused():
    rank_one = exact(Network(ReLU(), 10), np.array([[0.2], [0.4]]), orders=(2,)).tensor(2) - 1e-15 * np.eye(2)
    with pytest.raises(ValueError, match=r"expected a positive definite .* got eigenvalue .* try fewer points"):
        whitened(np.zeros(5), rank_one)


REPLICATES = 2000


def noisy(signal, seed, *, points=3):
    """eps4 and its error from G4c = signal + noise of a known covariance, many times; and the rows behind it."""
    draw = np.random.default_rng(seed)
    size = len(sorted_tuples(points, 4))
    rows = draw.normal(size=(size, size)) * 0.02
    truth = signal * draw.normal(size=size)
    data = truth + draw.normal(size=(REPLICATES, size)) @ rows
    k = kernel(points)
    results = np.array([non_gaussianity(row, rows, k) for row in data])
    return results, data, rows, k, non_gaussianity(truth, None, k)[0]


def null_law(rows, k, seed):
    """Draws of (|noise|^2 - E|noise|^2)/24 from the eigenvalues of its covariance: what eps4^2 is without a signal."""
    weights = np.linalg.eigvalsh(whitened(rows, k) @ whitened(rows, k).T)
    return (np.random.default_rng(seed).normal(size=(200_000, len(weights))) ** 2 - 1) @ weights / 24.0


def test_noise_alone_gives_zero_within_errors():
    """eps4^2 follows its null law (Kolmogorov-Smirnov, false alarm 1e-6): half the time it is exactly zero."""
    results, _, rows, k, _ = noisy(0.0, 1)
    null = null_law(rows, k, 2)
    square = results[:, 0] ** 2
    share = np.mean(null <= 0)
    agree(np.mean(square == 0), share, np.sqrt(share * (1 - share) / REPLICATES))
    assert stats.ks_2samp(square[square > 0], null[null > 0]).pvalue > 1e-6
    # The smallest error is the root of the null law's own spread.
    assert np.min(results[square == 0, 1]) ** 2 == pytest.approx(null.std(), rel=0.02)


def test_planted_fault_noise_that_is_not_subtracted_looks_like_a_signal():
    _, data, rows, k, _ = noisy(0.0, 1)
    null = null_law(rows, k, 2)
    naive = np.array([non_gaussianity(row, None, k)[0] for row in data]) ** 2
    assert stats.ks_2samp(naive, null[null > 0]).pvalue < 1e-6
    assert np.min(naive) > 0


@pytest.mark.parametrize("signal", [0.2, 0.5])
def test_the_square_is_unbiased_and_the_error_is_the_spread(signal):
    results, data, _, k, truth = noisy(signal, 5)
    value, error = results.T
    square = value**2
    assert np.min(square) > 0  # never clipped: the signal stands out of the noise
    agree(square.mean(), truth**2, square.std(ddof=1) / np.sqrt(REPLICATES))
    seen, stated = (value - value.mean()) ** 2, error**2
    agree(seen.mean(), stated.mean(), (seen.std() / np.sqrt(REPLICATES), stated.std() / np.sqrt(REPLICATES)))
    naive = np.array([non_gaussianity(row, None, k)[0] for row in data]) ** 2
    disagree(naive.mean(), truth**2, naive.std(ddof=1) / np.sqrt(REPLICATES))
