"""The two quartic couplings: a fit cut off at phi^4 is a projection, one that carries phi^6 meets the diagrams."""

from fractions import Fraction
from math import comb, prod

import numpy as np
import pytest

from nnft.inference import fit_polynomial
from nnft.models import Correlators, Cos, Erf, GammaScale, Network, effective_couplings, exact
from nnft.models.combinatorics import connected_from_moments, even_cumulants, even_moments, moments_from_connected

TEN = (2, 4, 6, 8, 10)


def by_fractions(width, degree):
    """24 theta_4 over leading order, one site of the cosine network, in exact rational arithmetic."""
    top = degree  # moments 2 .. 2 degree - 2, h = W cos c: (2r-1)!! C(2r, r)/4^r
    h = {2 * r: Fraction(prod(range(1, 2 * r, 2)) * comb(2 * r, r), 4**r) for r in range(top)}
    one, moments = {}, {0: Fraction(1)}
    for r in range(1, top):
        one[2 * r] = h[2 * r] - sum(comb(2 * r - 1, 2 * j - 1) * one[2 * j] * h[2 * r - 2 * j] for j in range(1, r))
    many = {n: k * Fraction(width) / Fraction(width) ** (n // 2) for n, k in one.items()}
    for r in range(1, top):
        moments[2 * r] = sum(comb(2 * r - 1, 2 * j - 1) * many[2 * j] * moments[2 * r - 2 * j] for j in range(1, r + 1))
    powers = range(2, degree + 1, 2)
    rows = [[i * j * moments[i + j - 2] for j in powers] + [i * (i - 1) * moments[i - 2]] for i in powers]
    for i in range(len(rows)):
        rows[i] = [a / rows[i][i] for a in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return float(24 * rows[1][-1] / (-many[4] / many[2] ** 4))


@pytest.mark.parametrize(("degree", "known"), [(4, 0.978), (6, 1.048), (8, 1.054)])
def test_one_site_against_exact_fractions(degree, known):
    truth = exact(Network(Cos(), 100), np.zeros((1, 1)), orders=tuple(range(2, 2 * degree - 1, 2)))
    found = 24 * fit_polynomial(truth, degree)[4][0] / (-truth.connected(4)[0] / truth.connected(2)[0] ** 4)
    assert found == pytest.approx(by_fractions(100, degree), rel=1e-8)
    assert found == pytest.approx(known, abs=5e-4)


def test_with_the_sextic_the_fit_meets_the_diagrams_at_next_order():
    """Two sites: |g4(fit) - g4(NLO)| falls like N^-3, 16 times relative to leading order for N x 4; without phi^6 4."""
    points, with_sextic, without, sixth = np.array([[0.0], [1.0]]), [], [], []
    for width in (400, 1600):
        truth = exact(Network(Cos(), width), points, orders=TEN)
        diagrams = effective_couplings(truth)
        leading = np.linalg.norm(effective_couplings(truth, order="leading").quartic)
        full = fit_polynomial(truth, 6)
        with_sextic.append(np.linalg.norm(full[4] - diagrams.quartic) / leading)
        without.append(np.linalg.norm(fit_polynomial(truth, 4)[4] - diagrams.quartic) / leading)
        sixth.append(np.linalg.norm(full[6] - diagrams.sextic) / np.linalg.norm(diagrams.sextic))
    assert 14 < with_sextic[0] / with_sextic[1] < 18
    assert 3.5 < without[0] / without[1] < 4.5  # the planted fault: the truncated fit misses at relative order 1/N
    assert 3.5 < sixth[0] / sixth[1] < 4.5  # g6 is at its leading order


def test_any_points_and_metric_give_a_gaussian_back():
    kernel = np.array([[1.0, 0.3], [0.3, 2.0]])
    moments = even_moments({2: np.array([1.0, 0.3, 2.0]), **{r: np.zeros(r + 1) for r in (4, 6, 8, 10)}}, 2)
    data = Correlators.from_arrays(np.array([[0.0], [1.0]]), moments=moments)
    found = fit_polynomial(data, 6, metric=np.diag([1.0, 3.0]))
    inverse = np.linalg.inv(kernel)
    np.testing.assert_allclose(found[2], [inverse[0, 0] / 2, inverse[0, 1], inverse[1, 1] / 2], rtol=1e-9)
    np.testing.assert_allclose(found[4], 0.0, atol=1e-9)
    np.testing.assert_allclose(found[6], 0.0, atol=1e-9)


def test_the_recursion_is_the_sum_over_partitions():
    draw = np.random.default_rng(2)
    moments = {r: draw.normal(size=comb(r + 1, r)) for r in (2, 4, 6)}
    cumulants = even_cumulants(moments, 2)
    for order in (2, 4, 6):
        np.testing.assert_allclose(cumulants[order], connected_from_moments(moments, 2, order, even=True), rtol=1e-10)
        np.testing.assert_allclose(even_moments(cumulants, 2)[order], moments_from_connected(cumulants, 2, order))
    high = {r: draw.normal(size=comb(r + 1, r)) for r in (*TEN, 12)}
    back = even_moments(even_cumulants(high, 2), 2)
    for order, value in high.items():
        np.testing.assert_allclose(back[order], value, rtol=1e-6, atol=1e-6)


def test_high_orders_only_where_they_are_known():
    one = exact(Network(Cos(), 3, shared_scale=GammaScale(0.1)), np.zeros((1, 1)), orders=(2, 4, 6, 8))
    assert one.orders == (2, 4, 6, 8)
    with pytest.raises(ValueError, match=r"for Erf \[2, 4, 6\], got 8"):
        exact(Network(Erf(), 3), np.zeros((1, 1)), orders=(8,))
    with pytest.raises(ValueError, match=r"expected moments of even orders up to 10 .* got none of order 8"):
        fit_polynomial(exact(Network(Cos(), 3), np.zeros((1, 1))), 6)
    with pytest.raises(ValueError, match="expected an even degree"):
        fit_polynomial(one, 3)
    near = exact(Network(Cos(), 300), np.array([[0.0], [0.05]]), orders=TEN)
    with pytest.raises(ValueError, match="expected couplings that double precision can tell apart"):
        fit_polynomial(near, 6)
