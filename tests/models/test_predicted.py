"""Correlators predicted by generated diagrams, against the integral over the field: as a series, and by quadrature."""

from fractions import Fraction
from math import factorial, prod

import numpy as np
import pytest

from nnft.models import predicted
from nnft.models.arrays import dense, unique
from nnft.models.combinatorics import connected_from_moments, multiplicities, sorted_tuples
from nnft.models.diagrams.graphs import connected_sum, diagrams


def test_one_site_by_the_series_of_the_integral():
    """Cumulants of exp(-phi^2/2 - g phi^4 - (5/3) g^2 phi^6) as exact power series in g, free lines."""
    s, powers = Fraction(5, 3), range(5)

    def integral(r):  # of phi^r: sum over n quartic, j sextic factors of (r + 4n + 6j - 1)!!
        return [
            sum(
                Fraction((-1) ** (n - j), factorial(n - 2 * j) * factorial(j))
                * s**j
                * prod(range(r + 4 * n - 2 * j - 1, 0, -2))
                for j in range(n // 2 + 1)
            )
            for n in powers
        ]

    def times(a, b):
        return [sum(a[i] * b[n - i] for i in range(n + 1)) for n in powers]

    inverse = [Fraction(1)]
    for n in powers[1:]:
        inverse.append(-sum(integral(0)[n - i] * inverse[i] for i in range(n)))
    m2, m4, m6 = (times(integral(r), inverse) for r in (2, 4, 6))
    k4 = [a - 3 * b for a, b in zip(m4, times(m2, m2))]
    k6 = [a - 15 * b + 30 * c for a, b, c in zip(m6, times(m4, m2), times(m2, times(m2, m2)))]
    one = {"quartic": np.ones(1), "sextic": np.array([float(s)]), "quadratic": np.array([0.5])}
    tree, both = (predicted(np.zeros((1, 1)), **one, order=order) for order in ("tree", "next"))
    for r, truth in ((2, m2), (4, k4), (6, k6)):
        assert not any(truth[: r // 2 - 1])
        assert tree.connected(r)[0] == pytest.approx(float(truth[r // 2 - 1]), rel=1e-13)
        assert both.connected(r)[0] - tree.connected(r)[0] == pytest.approx(float(truth[r // 2]), rel=1e-13)


# ---- several sites: quadrature --------------------------------------------------------------------------------------


def cumulants(precision, quartic, sextic, nodes=30):
    """Exact G2, G4c, G6c of exp(-phi.P.phi/2 - S4 - S6), sorted, by Gauss-Hermite quadrature on P's eigenvectors."""
    points = len(precision)
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    values, vectors = np.linalg.eigh(precision)
    axes = np.stack(np.meshgrid(*[x] * points, indexing="ij"), axis=-1).reshape(-1, points)
    density = np.prod(np.stack(np.meshgrid(*[w] * points, indexing="ij"), axis=-1).reshape(-1, points), axis=1)
    phi = axes / np.sqrt(values) @ vectors.T
    monomials = {r: np.prod(phi[:, sorted_tuples(points, r)], axis=2) for r in (2, 4, 6)}
    density = density * np.exp(-monomials[4] @ quartic - monomials[6] @ sextic)
    moments = {r: density @ monomials[r] / density.sum() for r in monomials}
    return {r: connected_from_moments(moments, points, r, even=True) for r in moments}


def form(points, order):
    """Coefficients of a bounded form with every monomial: sum over a few directions of (n.phi)^order."""
    directions = np.random.default_rng(order).normal(size=(4, points))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    tuples = sorted_tuples(points, order)
    return multiplicities(tuples) * np.sum(np.prod(directions[:, tuples], axis=2), axis=0)


def free(points):
    """Precision of the free field, smallest eigenvalue one."""
    root = np.random.default_rng(4).normal(size=(points, 2 * points))
    return np.linalg.inv(root @ root.T / np.linalg.eigvalsh(root @ root.T)[-1])


def powers_left(points, lines, order, **spoiled):
    """log2 of how the errors fall when the coupling is halved (the sextic one quartered); on full lines G4c and G6c."""
    errors, precision, strong = [], free(points), {"tree": 1e-5, "next": 1e-4}[order]
    for g in (strong, strong / 2):
        given = {"quartic": g * form(points, 4), "sextic": 3 * g**2 * form(points, 6)}
        truth = cumulants(precision, **given)
        if lines == "full":
            given["two_point"] = dense(truth[2], points, 2)
        else:
            given["quadratic"] = unique(precision) * multiplicities(sorted_tuples(points, 2)) / 2
        found = predicted(np.arange(float(points))[:, None], **(given | spoiled), order=order)
        orders = (4, 6) if lines == "full" else (2, 4, 6)
        errors.append([np.max(np.abs(found.connected(r) - truth[r])) for r in orders])
    return np.log2(np.array(errors[0]) / errors[1])


@pytest.mark.parametrize("points", [1, 2, 3])
@pytest.mark.parametrize("lines", ["free", "full"])
def test_what_is_left_of_the_integral_is_the_next_power_of_the_coupling(points, lines):
    for order, left in (("tree", [1, 2, 3]), ("next", [2, 3, 4])):
        found = powers_left(points, lines, order)
        assert found == pytest.approx(left[-len(found) :], abs=0.1), (order, found)


def test_planted_fault_without_the_sextic_tadpole():
    assert np.all(powers_left(2, "full", "next", sextic=None) < [2.5, 2.5])  # 3 and 4 with it


@pytest.mark.parametrize(("lines", "shape"), [("full", ((0, 1), (0, 2), (1, 2))), ("free", ((0, 0), (0, 1), (0, 2)))])
def test_planted_fault_a_wrong_symmetry_factor(lines, shape, monkeypatch):
    def spoiled(legs, valences, *, self_energies=True):
        found = diagrams(legs, valences, self_energies=self_energies)
        return tuple(d._replace(weight=2 * d.weight) if d.lines == shape else d for d in found)

    monkeypatch.setattr("nnft.models.diagrams.graphs.diagrams", spoiled)
    assert powers_left(2, lines, "next")[-1] < 3.5  # 4 with the right one


def test_planted_fault_self_energies_on_full_lines(monkeypatch):
    def every(legs, excess, vertices, *, self_energies):
        return connected_sum(legs, excess, vertices, self_energies=legs > 2)

    monkeypatch.setattr("nnft.models.diagrams.from_couplings.connected_sum", every)
    assert np.all(powers_left(2, "full", "next") < [2.5, 3.5])  # 3 and 4 without them


def test_predicted_refuses():
    x, g, k = np.zeros((1, 1)), np.ones(1), np.eye(1)
    assert "one loop is" in predicted(x, quartic=g, two_point=k).flags[4]
    assert predicted(x, quartic=1e-4 * g, two_point=k).flags == {}
    for given, message in (
        ({"two_point": k}, "either quartic= or lam=, got both or neither"),
        ({"quartic": g}, "either two_point= or quadratic=, got both or neither"),
        ({"quartic": g, "weights": g, "two_point": k}, "weights only beside lam="),
        ({"lam": np.ones((4, 2, 2)), "two_point": k}, r"lam of shape \(4, 1, 1\), got \(4, 2, 2\)"),
        ({"quartic": g, "sextic": np.ones(2), "two_point": k}, r"per sorted 6-tuple, 1 at 1 points, got \(2,\)"),
        ({"quartic": g, "two_point": -k}, "positive definite two-point function, got eigenvalue -1"),
        ({"quartic": g, "quadratic": -g}, "positive definite quadratic part to expand around, got eigenvalue -2"),
        ({"quartic": g, "two_point": k, "orders": (3,)}, "orders among 2, 4, 6"),
        ({"quartic": g, "two_point": k, "order": "NLO"}, "order 'tree' or 'next', got 'NLO'"),
    ):
        with pytest.raises(ValueError, match=message):
            predicted(x, **given)
