"""Couplings from G4c: the design against diagrams and brute force, the published numbers, and what is refused."""

import jax
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from nnft.inference import Ensemble, fit_correlators, measure, vertex_design
from nnft.inference.methods.vertex_fit import neuron_kernel, vertex_sums
from nnft.models import Correlators, Cos, Erf, Gauss, Network, ReLU, Tanh, exact, four_point
from nnft.models.combinatorics import pairings, rank, sorted_tuples
from tests.statistics import agree, disagree

RIGHT = np.array([[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]])
WIDE = np.array([[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]])
ALL = ("local", "quadratic", "nonlocal")


def tied(neuron, width=1):
    return Network.tied(neuron, width, bias_scale=0.0 if neuron is ReLU else 1.0)


@pytest.mark.parametrize("neuron", [Cos, Erf, ReLU, Gauss])
def test_the_closed_kernel_is_the_exact_two_point_function(neuron):
    net = Network(neuron(), 3, output_scale=1.3)
    points = np.array([[-1.0, 0.3], [0.2, 0.9], [2.0, -1.0]])
    assert neuron_kernel(net, points, points) == pytest.approx(exact(net, points, orders=(2,)).tensor(2), abs=1e-12)


def test_the_design_is_the_tree_diagram_of_the_same_action_on_a_lattice():
    """Vertices on the points themselves: then the integrals are sums and `four_point` knows the answer."""
    rng = np.random.default_rng(0)
    nodes, weights = np.array([-0.5, 0.4, 1.3]), np.array([0.7, 0.4, 0.9])
    half = rng.normal(size=(3, 3))
    kernel = half @ half.T + np.eye(3)
    quads = sorted_tuples(3, 4)
    actions = np.zeros((3, len(quads)))
    for a in range(3):
        for b in range(3):
            actions[2, rank(np.array([a, a, b, b]), 3)] += weights[a] * weights[b]
        actions[0, rank(np.full(4, a), 3)] = weights[a]
        actions[1, rank(np.full(4, a), 3)] = weights[a] * nodes[a] ** 2
    tree, _ = four_point(actions, kernel)
    design = vertex_sums(kernel, nodes, weights, quads)
    assert design == pytest.approx(tree.T, rel=1e-12)
    assert 3.0 * design[:, 2] != pytest.approx(tree[2], rel=1e-3)  # planted: 24 in place of 8


def test_the_bilocal_factor_by_a_brute_force_integral():
    """d<z1 z1 z2 z2>_c at S = lNL phi(y)^2 phi(z)^2 with y, z the two sites: - Cov(z1 z1 z2 z2, V) without tadpoles."""
    kernel = np.array([[1.0, 0.4], [0.4, 0.7]])
    x, w = hermegauss(24)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2) @ np.linalg.cholesky(kernel).T
    density = np.outer(w, w).ravel() / w.sum() ** 2
    a, b = grid.T
    step = 1e-5

    def cumulant(coupling):
        p = density * np.exp(-coupling * a**2 * b**2)
        p /= p.sum()
        m = lambda f: float(p @ f)  # noqa: E731
        return m(a**2 * b**2) - m(a**2) * m(b**2) - 2.0 * m(a * b) ** 2

    slope = (cumulant(step) - cumulant(-step)) / (2 * step)
    quads = np.array([[0, 0, 1, 1]])
    # V = phi(y)^2 phi(z)^2 once: the double sum over both sites with weights one holds it twice, and both diagonals.
    local = vertex_sums(kernel, np.ones(2), np.ones(2), quads)[0, 0] / 24.0
    both = vertex_sums(kernel, np.ones(2), np.ones(2), quads)[0, 2] / 8.0
    once = 8.0 * (both - 3.0 * local) / 2.0
    assert slope == pytest.approx(once, rel=1e-6)
    assert slope != pytest.approx(3.0 * once, rel=1e-2)


def test_published_numbers():
    """ReLU: -12.5/(N Lambda^5); Gauss at x = 0, whole line: -(3 e^4 - 3)/(24 sqrt(pi/2))/N = -5.34564/N."""
    for width, cutoff in ((1, 1.0), (20, 100.0)):
        net = tied(ReLU, width)
        fit = fit_correlators(exact(net, RIGHT), vertex_design(net, RIGHT, cutoff=cutoff))
        assert fit.coupling("local")[0] * width * cutoff**5 == pytest.approx(-12.5, rel=1e-11)
    origin = np.zeros((1, 1))
    net = tied(Gauss, 7)
    fit = fit_correlators(exact(net, origin), vertex_design(net, origin, cutoff=10.0))
    assert 7 * fit.coupling("local")[0] == pytest.approx(-(3 * np.exp(4) - 3) / (24 * np.sqrt(np.pi / 2)), rel=1e-12)
    assert 7 * fit.coupling("local")[0] == pytest.approx(-5.34564, abs=5e-6)
    assert 3 * 7 * fit.coupling("local")[0] != pytest.approx(-5.34564, abs=1)  # planted: a vertex of 8


@pytest.mark.parametrize(
    ("neuron", "points", "cutoff", "condition"),
    [(Gauss, 0.01 * RIGHT, 10.0, 6.53e5), (Erf, 0.01 * RIGHT, 100.0, 2.39e4), (ReLU, RIGHT, 100.0, np.inf)],
)
def test_three_couplings_at_the_published_inputs_cannot_be_told_apart(neuron, points, cutoff, condition):
    net = tied(neuron, 10)
    design = vertex_design(net, points, cutoff=cutoff)
    fit = fit_correlators(exact(net, points, orders=(2, 4)), design, couplings=ALL)
    assert fit.condition == pytest.approx(condition, rel=2e-3)
    with pytest.raises(ValueError, match=r"condition (6\.5e\+05|2\.4e\+04|inf).*can be told apart.*try .combinations"):
        fit.coupling("quadratic")
    single = fit_correlators(exact(net, points, orders=(2, 4)), design)
    assert fit.combinations[0].coefficients[0] == 1.0
    assert fit.combinations[0].value == pytest.approx(single.coupling("local")[0], rel=1e-4)


def test_the_one_combination_of_relu_is_the_integrals_ratio():
    """T0 : T2 : TNL in closed form: l0 + (5/7) L^2 l2 + (5/9) L lNL."""
    net, cutoff = tied(ReLU, 10), 3.0
    fit = fit_correlators(exact(net, RIGHT), vertex_design(net, RIGHT, cutoff=cutoff), couplings=ALL)
    assert len(fit.combinations) == 1
    assert fit.combinations[0].coefficients == pytest.approx([1.0, 5 / 7 * cutoff**2, 5 / 9 * cutoff], rel=1e-10)
    assert fit.four_point == pytest.approx(exact(net, RIGHT).connected(4), rel=1e-10)


def test_couplings_planted_in_a_design_that_resolves_them_come_back():
    net, truth = tied(Erf), np.array([-0.3, 0.02, 0.1])
    design = vertex_design(net, WIDE, cutoff=3.0)
    data = Correlators.from_arrays(WIDE, connected={2: exact(net, WIDE).connected(2), 4: design @ truth})
    fit = fit_correlators(data, design, couplings=ALL)
    assert fit.estimate == pytest.approx(truth, rel=1e-9)
    assert [fit.coupling(name)[0] for name in ALL] == pytest.approx(list(truth), rel=1e-9)
    assert fit.condition < 20
    wrong = fit_correlators(data, design * [1.0, 1.0, 3.0], couplings=ALL)  # 24 in place of 8
    assert wrong.coupling("nonlocal")[0] == pytest.approx(truth[2] / 3.0, rel=1e-9)


def test_errors_are_those_of_repeated_experiments_and_too_small_ones_are_seen():
    """Planted couplings, correlated noise of known covariance: z of 200 fits; chi^2 of the residual counts its dof."""
    rng, truth, net = np.random.default_rng(1), np.array([-0.3, 0.02, 0.1]), tied(Erf)
    points = WIDE[[0, 2, 3, 5]]
    design = vertex_design(net, points, cutoff=3.0)
    clean = design @ truth
    noise = 1e-4 * np.abs(clean).max() * (rng.normal(size=(35, 35)) / 6 + np.eye(35))
    errors = {2: np.zeros((35, 10)), 4: noise}
    for weights in ("covariance", "equal"):
        fits = []
        for _ in range(200):
            data = Correlators(
                points, {}, {2: np.zeros(10), 4: clean + rng.normal(size=35) @ noise}, rows={"connected": errors}
            )
            fits.append(fit_correlators(data, design, couplings=ALL, weights=weights))
        z = np.array([(f.estimate - truth) / np.sqrt(np.diag(f.covariance)) for f in fits])
        agree(np.mean(z**2, axis=0), 1.0, np.sqrt(2 / 200))
        disagree(np.mean((3 * z) ** 2, axis=0), 1.0, np.sqrt(2 / 200))
        if weights == "covariance":
            values = [f.chi2.value for f in fits]
            assert fits[0].chi2.dof == 32
            agree(np.mean(values), 32, np.sqrt(2 * 32 / 200))


def test_the_measured_coupling_is_the_exact_one_and_a_lost_width_is_seen():
    """Gauss at sb = 0.3, where its moments converge, ReLU and Erf: neuron space against exact."""
    cases = ((Network(Gauss(bias_scale=0.3), 20), 0.01 * RIGHT, 10.0), (tied(ReLU, 20), RIGHT, 1.0))
    for net, points, cutoff in cases:
        design = vertex_design(net, points, cutoff=cutoff)
        truth = fit_correlators(exact(net, points, orders=(2, 4)), design).coupling("local")[0]
        ensemble = Ensemble(net, points=points, n=20_000, key=jax.random.key(3))
        data = measure(ensemble, space="neuron", orders=(2, 4))
        value, error = fit_correlators(data, design, weights="equal").coupling("local")
        agree(value, truth, error)
        disagree(value * 20, truth, error * 20)  # the 1/N of G4c lost
        disagree(value / 3, truth, error / 3)  # 8 in place of 24


def test_the_six_point_prediction_is_the_sum_over_pairings():
    net = tied(ReLU, 20)
    truth = exact(net, RIGHT)
    fit = fit_correlators(truth, vertex_design(net, RIGHT, cutoff=2.0))
    predicted = fit.predict(truth.connected(2))
    kernel, legs = truth.tensor(2), fit.four_point
    value = 0.0
    index = (0, 1, 1, 3, 4, 5)
    for pairing in pairings(6):
        value += np.prod([kernel[index[a], index[b]] for a, b in pairing])
    for a in range(6):
        for b in range(a):
            rest = np.array([index[k] for k in range(6) if k not in (a, b)])
            value += legs[rank(rest, 6)] * kernel[index[a], index[b]]
    assert predicted.moment(6)[rank(np.array(index), 6)] == pytest.approx(value, rel=1e-12)
    assert predicted.moment(4) == pytest.approx(truth.moment(4), rel=1e-11)


BAD = {
    "dimension": (lambda: vertex_design(tied(ReLU), np.ones((1, 2)), cutoff=1.0), "expected points in one dimension"),
    "cutoff": (lambda: vertex_design(tied(ReLU), RIGHT, cutoff=np.inf), "expected a finite cutoff > 0, got inf; try"),
    "kernel": (
        lambda: vertex_design(Network(Tanh(), 1), RIGHT, cutoff=1.0),
        "brings `kernel`.*got Tanh, which has none",
    ),
    "coupling": (lambda: fitted(couplings=("locl",)), "expected couplings among.*got 'locl'; try 'local'"),
    "weights": (lambda: fitted(weights="none"), "expected weights.*got 'none'"),
    "design": (lambda: fitted(design=np.ones((3, 3))), r"expected a design of shape \(126, 3\)"),
    "absent": (lambda: fitted().coupling("nonlocal"), r"expected a coupling among \['local'\], got 'nonlocal'"),
}


def fitted(design=None, **options):
    net = tied(ReLU, 2)
    return fit_correlators(exact(net, RIGHT), np.ones((126, 3)) if design is None else design, **options)


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_refused_order_stays_refused():
    net = tied(Gauss, 20)
    data = measure(Ensemble(net, points=WIDE[:2], n=2000, key=jax.random.key(0)), space="neuron")
    with pytest.raises(ValueError, match="order 4 is refused: the exact <phi"):
        fit_correlators(data, vertex_design(net, WIDE[:2], cutoff=10.0))
