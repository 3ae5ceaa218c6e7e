"""The couplings of the action from correlators, against -log P done exactly: by series, and by Fourier inversion."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from scipy import special

from nnft.models import Correlators, Cos, Network, ReLU, arrays, effective_couplings, exact, predicted
from nnft.models.combinatorics import rank, sorted_tuples
from nnft.models.diagrams import graphs
from nnft.models.diagrams.from_couplings import vertex
from tests.statistics import agree, disagree

SITES = np.array([[0.0], [1.0]])


def cos_net(width, points=SITES):
    return exact(Network(Cos(), width), points)


# ---- one site: -log P as a series -----------------------------------------------------------------------------------


def log_density(four, six):
    """Coefficients of phi^0..phi^8 in -log P to first and second order, G4c = four e, G6c = six e^2, <phi^2> = 1.

    P/P_G = 1 + e (four/4!) He4 + e^2 [(six/6!) He6 + (four^2/2 4!^2) He8], exactly, by Fourier transform of exp W.
    """
    he = [[Fraction(int(c)) for c in hermite_e.herme2poly([0] * n + [1])] for n in (4, 6, 8)]
    he = [poly + [Fraction(0)] * (9 - len(poly)) for poly in he]
    first = [Fraction(four) / 24 * c for c in he[0]]
    second = [Fraction(six) / 720 * a + Fraction(four) ** 2 / 1152 * b for a, b in zip(he[1], he[2])]
    square = [sum(first[i] * first[k - i] for i in range(k + 1)) for k in range(9)]
    return [-c for c in first], [s / 2 - c for s, c in zip(square, second)]


def on_one_site(four, six, order, two=1.0):
    cumulants = {2: np.array([two]), 4: np.array([four * two**2]), 6: np.array([six * two**3])}
    return effective_couplings(Correlators.from_arrays(np.zeros((1, 1)), connected=cumulants), order=order)


@pytest.mark.parametrize(("four", "six"), [(0.5, 0.0), (0.0, 0.25), (0.5, -0.75), (-0.25, 1.5)])
def test_one_site_is_the_logarithm_of_the_edgeworth_series(four, six):
    first, second = log_density(four, six)
    assert second[8] == 0  # g8 starts one order later
    leading, both = on_one_site(four, six, "leading"), on_one_site(four, six, "next")
    assert leading.g6 is None
    assert leading.quadratic[0] == pytest.approx(0.5 + float(first[2]), abs=1e-15)
    assert leading.quartic[0] == pytest.approx(float(first[4]), abs=1e-15)
    for k, value in ((2, both.quadratic[0] - 0.5), (4, both.quartic[0]), (6, both.sextic[0])):
        assert value == pytest.approx(float(first[k] + second[k]), abs=1e-15)
    assert leading.rho == both.rho == pytest.approx(abs(float(second[4] / first[4])) if four else 0.0, abs=1e-14)


def test_units_of_the_field():
    one, other = on_one_site(0.2, 0.1, "next"), on_one_site(0.2, 0.1, "next", two=4.0)
    for name, power in (("g2", 1), ("g4", 2), ("g6", 3), ("gamma4", 2), ("gamma6", 3)):
        assert getattr(other, name) == pytest.approx(getattr(one, name) / 4.0**power, rel=1e-13)
    assert (other.eps4, other.rho, other.minimum) == pytest.approx((one.eps4, one.rho, one.minimum), rel=1e-12)


def test_cosine_network_of_one_hundred_neurons():
    found = effective_couplings(cos_net(100, np.zeros((1, 1))))
    assert f"{found.g4[0] / found.gamma4[0]:.4f}" == "1.0525"
    assert found.gamma4[0] == pytest.approx(-(3 / 8) / 100 / 0.5**4, rel=1e-13)
    assert found.minimum == pytest.approx(found.quartic[0] / 4.0, rel=1e-6)  # phi^2 = G2 = 1/2 there


# ---- several sites --------------------------------------------------------------------------------------------------


def density(width, whitened):
    """-log P of a two-site cos-net with Gaussian readout at fields root @ p, up to a constant: Fourier inversion.

    One neuron: E exp(i J.h/sqrt(N)) = E_w e^-z I_0(z), z = |J_1 + J_2 e^iw|^2/4N, the phase and the readout done.
    """
    root = np.linalg.cholesky(cos_net(width).tensor(2))
    axis = 0.3 * np.arange(-35, 36)
    k = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    source = k @ np.linalg.inv(root)
    w, weight = hermite_e.hermegauss(60)
    square = np.sum(source**2, axis=1)[:, None] + 2 * np.prod(source, axis=1)[:, None] * np.cos(w)
    neuron = special.ive(0, square / (4 * width)) @ (weight / weight.sum())
    return -np.log(np.cos(whitened @ k.T) @ neuron**width), whitened @ root.T


def residual(width, order, spoil=lambda found: found):
    """Root mean square of -log P - S over the Gaussian, the constant taken out."""
    axis = np.linspace(-4, 4, 17)
    p = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    truth, fields = density(width, p)
    weight = np.exp(-np.sum(p**2, axis=1) / 2)
    weight /= weight.sum()
    left = truth - spoil(effective_couplings(cos_net(width), order=order)).action(fields)
    return np.sqrt(weight @ (left - weight @ left) ** 2)


@pytest.mark.parametrize(("order", "least", "most"), [("leading", 14.0, 18.0), ("next", 56.0, 72.0)])
def test_the_logarithm_of_the_density_on_two_sites(order, least, most):
    """What is left is the next power of 1/N: a factor 16, or 64, when N grows four times (15.2 and 59.6 here)."""
    factor = residual(400, order) / residual(1600, order)
    print(f"{order}: the residual falls {factor:.2f} times")
    assert least < factor < most


def test_planted_fault_without_the_quadratic_counterterm():
    def frozen(found):
        return found._replace(g2=np.linalg.inv(cos_net(1).tensor(2)))

    assert residual(200, "leading", frozen) / residual(800, "leading", frozen) < 5.0


@pytest.mark.parametrize("lost", [((0, 1), (0, 1)), ((0, 0), (0, 1)), ((0, 0),), ((0, 1),)])
def test_planted_fault_a_lost_factor_of_two(lost, monkeypatch):
    """Each diagram of the next order, one at a time: the residual then falls like the order before."""

    generated = graphs.diagrams

    def spoiled(legs, valences, *, self_energies=True):
        found = generated(legs, valences, self_energies=self_energies)
        return tuple(d._replace(weight=d.weight / 2) if legs > 2 and d.lines == lost else d for d in found)

    honest = residual(800, "next")
    monkeypatch.setattr(graphs, "diagrams", spoiled)
    assert residual(800, "next") > 5 * honest
    assert residual(200, "next") / residual(800, "next") < 20.0


@pytest.mark.parametrize("points", [2, 3])
def test_couplings_and_back(points):
    """Diagrams of the couplings give the correlators again: what is left falls with its power of 1/N, and no slower."""
    grid = 2.0 * np.arange(float(points))[:, None]
    misses = {}
    for width in (2000, 8000):
        truth = cos_net(width, grid)
        found = effective_couplings(truth)
        again = predicted(grid, quartic=found.quartic, sextic=found.sextic, quadratic=found.quadratic)
        misses[width] = [np.max(np.abs(again.connected(r) - truth.connected(r))) for r in (2, 4, 6)]
    # Left out: two loops, 1/N^2 of G2, 1/N^3 of G4c, and of G6c 1/N^4, with g8 at tree level 1/N^3 and loops of it.
    assert misses[2000][0] / misses[8000][0] == pytest.approx(16.0, rel=0.1)
    assert misses[2000][1] / misses[8000][1] == pytest.approx(64.0, rel=0.1)
    assert misses[2000][2] / misses[8000][2] == pytest.approx(64.0, rel=0.1)


def test_irreducible_vertices_are_trees_of_full_lines():
    """G4c = -Gamma4, G6c = 10 Gamma4 Gamma4 - Gamma6 with legs and lines G2: exact, so a tree diagram gives it back."""
    truth = cos_net(30)
    found = effective_couplings(truth, order="leading")
    k4, k6 = (vertex(np.ones(n), 2, order=r)[tuple(sorted_tuples(2, r).T)] for n, r in ((5, 4), (7, 6)))
    tree = predicted(
        SITES, quartic=found.gamma4 / k4, sextic=found.gamma6 / k6, two_point=truth.tensor(2), order="tree"
    )
    for order in (4, 6):
        assert tree.connected(order) == pytest.approx(truth.connected(order), rel=1e-11)


def test_couplings_transform_as_the_field_does():
    """phi -> A phi leaves S and every verdict alone."""
    truth, a = cos_net(40), np.array([[1.0, 0.4], [-0.3, 0.7]])
    turned = {r: arrays.unique(arrays.attach(arrays.dense(truth.connected(r), 2, r), a)) for r in (2, 4, 6)}
    found, other = (effective_couplings(c) for c in (truth, Correlators.from_arrays(SITES, connected=turned)))
    fields = np.random.default_rng(0).normal(size=(10, 2))
    assert other.action(fields @ a.T) == pytest.approx(found.action(fields), rel=1e-11)
    assert (other.eps4, other.rho) == pytest.approx((found.eps4, found.rho), rel=1e-10)
    assert other.minimum == pytest.approx(found.minimum, rel=1e-4)  # found by descent


def test_gaussian_limit():
    two = cos_net(1).tensor(2)
    gauss = Correlators.from_arrays(SITES, connected={2: two, 4: np.zeros(5), 6: np.zeros(7)})
    found = effective_couplings(gauss)
    assert found.g2 == pytest.approx(np.linalg.inv(two), rel=1e-13)
    assert not np.any(found.g4)
    assert not np.any(found.g6)
    assert (found.eps4, found.rho, found.minimum) == (0.0, 0.0, 0.0)
    large = effective_couplings(cos_net(10**9))
    assert large.g2 == pytest.approx(found.g2, rel=1e-7)
    assert (large.eps4, large.rho) == pytest.approx((1.54e-9, 1.59e-8), rel=0.01)


def test_the_wider_network_has_the_same_couplings_times_powers_of_the_width():
    one, ten = (effective_couplings(cos_net(n), order="leading") for n in (100, 1000))
    assert one.g4 == pytest.approx(10 * ten.g4, rel=1e-11)
    assert one.rho == pytest.approx(10 * ten.rho, rel=1e-11)
    assert one.gamma6 == pytest.approx(100 * ten.gamma6, rel=1e-10)


# ---- errors ---------------------------------------------------------------------------------------------------------

REPLICATES = 600


def noisy(seed=0):
    """Correlators with a known joint covariance of all orders, and draws from it as correlators of their own."""
    truth, draw = cos_net(20), np.random.default_rng(seed)
    sizes = [3, 5, 7]
    rows = 1e-4 * draw.normal(size=(20, sum(sizes)))  # more rows than components
    values = np.concatenate([truth.connected(r) for r in (2, 4, 6)])

    def correlators(joint, covariance=None):
        parts = dict(zip((2, 4, 6), np.split(joint, np.cumsum(sizes)[:-1])))
        return Correlators.from_arrays(SITES, connected=parts, covariance=covariance)

    given = correlators(values, rows.T @ rows)
    return given, [correlators(values + draw.normal(size=20) @ rows) for _ in range(REPLICATES)]


@pytest.mark.parametrize("order", ["leading", "next"])
def test_errors_are_the_spread_of_the_couplings(order, monkeypatch):
    monkeypatch.setattr(
        "nnft.models.diagrams.from_correlators.minimum_on_sphere", lambda form, points: np.zeros(1)
    )  # slow, not in S
    given, draws = noisy()
    found = effective_couplings(given, order=order)
    assert f"rho = {found.rho:.3g} +- {found.error('rho')[0]:.2g}:" in str(found)
    several = [effective_couplings(data, order=order) for data in draws]
    names = ["g2", "g4", "rho"] + (["g6"] if order == "next" else [])
    for name in names:
        exact_value = np.asarray(getattr(found, name))
        error = found.error(name)
        error = arrays.dense(error, 2, 2) if name == "g2" else error
        square = (np.stack([getattr(one, name) for one in several]) - exact_value) ** 2
        agree(square.mean(axis=0), error**2, square.std(axis=0, ddof=1) / np.sqrt(REPLICATES))
        # Planted: an error too small by the root of two.
        disagree(square.mean(axis=0), 0.5 * error**2, square.std(axis=0, ddof=1) / np.sqrt(REPLICATES))


def test_exact_correlators_have_no_errors():
    found = effective_couplings(cos_net(20))
    assert not np.any(found.error("g4"))
    assert found.rows == {}


# ---- refusals and words ---------------------------------------------------------------------------------------------


def test_a_singular_gram_matrix_is_refused_with_its_condition():
    line = exact(Network(ReLU(), 10), np.array([[0.2], [0.4]]), orders=(2, 4))
    single = Correlators.from_arrays(line.points, connected={2: 0.1 * np.array([1.0, 2.0, 4.0]), 4: line.connected(4)})
    with pytest.raises(
        ValueError, match=r"expected a Gram matrix .* below 1e\+06\), got (inf|\d.*e\+\d\d); try points further"
    ):
        effective_couplings(single, order="leading")


def test_refusals():
    truth = cos_net(20)
    short = exact(Network(Cos(), 20), SITES, orders=(2, 4))
    with pytest.raises(ValueError, match=r"orders 2, 4, 6 for order='next', got \(2, 4\); try"):
        effective_couplings(short)
    with pytest.raises(ValueError, match="expected order 'leading' or 'next', got 'NLO'"):
        effective_couplings(truth, order="NLO")
    refused = Correlators(SITES, {}, {r: truth.connected(r) for r in (2, 4)}, even=True, refused={6: "heavy tail"})
    with pytest.raises(ValueError, match="order 6 is refused: heavy tail"):
        effective_couplings(refused)
    uneven = Correlators.from_arrays(SITES, connected={r: truth.connected(r) for r in (2, 4, 6)}, even=False)
    with pytest.raises(
        ValueError,
        match=r"orders 1, .*, 6 of a field without .*, got even=False .* try making",
    ):
        effective_couplings(uneven)
    wide = Correlators.from_arrays(np.arange(32.0)[:, None], connected={2: np.eye(32)})
    with pytest.raises(ValueError, match=r"got 32\^4; try fewer points"):
        effective_couplings(wide, order="leading")
    many = Correlators.from_arrays(np.arange(11.0)[:, None], connected={2: np.eye(11), 6: np.zeros(8008)})
    with pytest.raises(ValueError, match=r"got 11\^6; try order='leading'"):
        effective_couplings(many)
    found = effective_couplings(short, order="leading")
    assert found.rho is None
    assert found.gamma6 is None
    assert found.sextic is None


@pytest.mark.parametrize(
    ("width", "order", "words"),
    [
        (2, "next", ("1/N^2", "eps4 = 0.769", "do not speak of an action", "leading order is not good")),
        (100, "next", ("eps4 = 0.0154", "below it", "leading order is not good", "it cannot be normalised")),
        (1000, "leading", ("all terms to 1/N\n", "leading order is good", "rho = 0.0159")),
    ],
)
def test_what_it_says(width, order, words):
    said = str(effective_couplings(cos_net(width), order=order))
    assert all(word in said for word in words), said


def test_it_says_what_it_does_not_know():
    said = str(effective_couplings(exact(Network(Cos(), 20), SITES, orders=(2, 4)), order="leading"))
    assert "rho = -: " in said
    assert "not known without the six-point function" in said


def test_components_are_those_of_the_symmetric_tensor():
    found = effective_couplings(cos_net(50), order="leading")
    inverse = np.linalg.inv(cos_net(50).tensor(2))
    whole = -np.einsum("abcd,ai,bj,ck,dl->ijkl", cos_net(50).tensor(4), *[inverse] * 4)
    assert found.g4[rank(np.array([1, 0, 0, 1]), 2)] == pytest.approx(whole[1, 0, 0, 1], rel=1e-12)
    counter = 0.5 * np.einsum("abcd,ai,bj,cd->ij", cos_net(50).tensor(4), inverse, inverse, inverse)
    assert found.g2 == pytest.approx(inverse + counter, rel=1e-12)
