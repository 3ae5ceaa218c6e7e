"""Actions with linear and cubic terms: exact couplings by quadrature, both roads of a fit, what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.from_fields import direct_equations
from nnft.inference.equations.from_moments import Equations, equations
from nnft.inference.equations.terms import terms_of
from nnft.inference.priors.likelihood import precision
from nnft.inference.priors.unit import default_prior
from nnft.models.combinatorics import sorted_tuples

KEY = jax.random.key(0)
AT = np.zeros((1, 1))
LINE = np.linspace(-8.0, 8.0, 4001)
H, Q, C, G = 0.4, 0.3, -0.2, 0.15  # S = h phi + q phi^2 + c phi^3 + g phi^4


def one_site(*extra):
    """Weights of a density on the line, exp(-S) of one site; extra terms by hand."""
    s = H * LINE + Q * LINE**2 + C * LINE**3 + G * LINE**4 + sum(f * LINE**r for r, f in extra)
    weight = np.exp(-(s - s.min()))
    return weight / weight.sum()


def exact(fields, weight, top=6):
    """Correlators of a discrete law: fields (state, point), weights (state,)."""
    moments = {}
    for r in range(1, top + 1):
        moments[r] = weight @ np.prod(fields[:, sorted_tuples(fields.shape[1], r)], axis=2)
    low = {r: value for r, value in moments.items() if r <= 6}  # of order ten there are 115,975 partitions
    return replace(m.Correlators.from_arrays(np.arange(fields.shape[1])[:, None], moments=low), moments=moments)


def two_sites(shift):
    """A quartic pair seen from another origin: S(phi + shift), on a grid."""
    line = np.linspace(-6.0, 6.0, 241)
    a, b = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    x, y = a + shift[0], b + shift[1]
    s = 0.6 * x**2 - 0.3 * x * y + 0.5 * y**2 + 0.1 * x**4 + 0.2 * y**4 + 0.05 * x * y**3 + 0.08 * x**2 * y**2
    weight = np.exp(-(s - s.min()))
    return np.stack([a, b], axis=1), weight / weight.sum()


def test_one_site_gives_back_its_couplings_whatever_the_rung():
    data = exact(LINE[:, None], one_site())
    for even in (m.Constant(), m.Local(), m.Bilocal(), m.FullQuartic()):
        point = inf.fit(data, m.Odd(even), key=KEY)["point"]
        names = ["h", "q", "c", *even.blocks(1)]
        found = [float(np.ravel(point[name])[0]) for name in names if np.size(point[name])]
        np.testing.assert_allclose(found, [H, Q, C, G], rtol=1e-8)
    sextic = exact(LINE[:, None], one_site((6, 0.02)), top=10)
    point = inf.fit(sextic, m.Odd(m.FullSextic()), key=KEY)["point"]
    np.testing.assert_allclose(
        [float(point[n].values[0]) for n in ("h", "q", "c", "g4", "g6")], [H, Q, C, G, 0.02], rtol=1e-5
    )
    # The twin without odd terms is refused by the number, exact as it is.
    with pytest.raises(ValueError, match=r"expected odd moments of zero .* try linear and cubic terms"):
        inf.fit(data, m.Local(), key=KEY)


def test_a_shifted_quartic_is_a_member_of_the_family():
    shift = np.array([0.3, -0.5])
    origin, seen = (exact(*two_sites(s)) for s in (np.zeros(2), shift))
    still = inf.fit(origin, m.Odd(m.Bilocal()), key=KEY)["point"]
    moved = inf.fit(seen, m.Odd(m.Bilocal()), key=KEY)["point"]
    np.testing.assert_allclose(still["h"], 0.0, atol=1e-7)
    np.testing.assert_allclose(still["c"], 0.0, atol=1e-7)
    s, t = shift
    # of .1 x^4 + .2 y^4 + .05 x y^3 + .08 x^2 y^2 at x = a + s, y = b + t
    cubic = [0.4 * s, 0.16 * t, 0.15 * t + 0.16 * s, 0.8 * t + 0.05 * s]
    np.testing.assert_allclose(moved["c"], cubic, atol=1e-6)
    linear = [
        1.2 * s - 0.3 * t + 0.4 * s**3 + 0.05 * t**3 + 0.16 * s * t**2,
        t - 0.3 * s + 0.8 * t**3 + 0.15 * s * t**2 + 0.16 * s**2 * t,
    ]
    np.testing.assert_allclose(moved["h"], linear, atol=1e-6)
    for name in ("g", "u", "v"):
        np.testing.assert_allclose(moved[name], still[name], atol=1e-6)
    modes = inf.fit(seen, m.Modes(2, m.Odd(m.FullQuartic())), key=KEY)["point"]  # another basis of the same family
    assert modes.sizes["c_label"] == 4
    assert np.max(np.abs(modes["c"])) > 0.1


def test_both_roads_have_the_same_equations_and_cover_the_couplings():
    rng = np.random.default_rng(1)
    fields = rng.choice(LINE, 60_000, p=one_site())[:, None]
    source = inf.Samples(fields, AT)
    terms = terms_of(m.Odd(m.Local()), np.array([[0.8]]), np.ones(1))
    prior = default_prior(terms)
    given = {"pilot_precision": prior.precision, "pilot_centre": prior.mean}
    through, _ = equations(inf.measure(source, even=False), terms, **given)
    direct, _ = direct_equations(source, terms, **given)
    for name in ("matrix", "vector", "noise"):
        np.testing.assert_allclose(getattr(direct, name), getattr(through, name), rtol=1e-9, atol=1e-12)
    for method in ("score", "pseudo"):  # pseudo-likelihood of one site is the likelihood
        fit = inf.fit(source, m.Odd(m.Local()), key=KEY, sampler=inf.Closed(chains=2, draws=300), method=method)
        theta = np.concatenate([fit["posterior"][n].values.reshape(-1, 1) for n in ("h", "q", "c", "g")], axis=1)
        off = theta.mean(axis=0) - [H, Q, C, G]
        distance = float(off @ np.linalg.solve(np.cov(theta.T), off))
        assert distance < 23.5, (method, distance)  # chi^2 of four: 1e-4
        wrong = theta.mean(axis=0) - [H, Q, -C, G]  # the cubic term with the other sign
        assert float(wrong @ np.linalg.solve(np.cov(theta.T), wrong)) > 100.0


def test_the_errors_are_those_of_repetitions():
    """chi^2 of all four couplings over 40 data sets of 5000: 160 degrees of freedom; that of A^-1/n is another."""
    rng, truth = np.random.default_rng(11), np.array([Q, H, C, G])
    terms = terms_of(m.Odd(m.Local()), np.array([[1.2]]), np.ones(1))
    prior = default_prior(terms)
    given = {"pilot_precision": prior.precision, "pilot_centre": prior.mean}
    seen = np.zeros(2)
    for _ in range(40):
        source = inf.Samples(rng.choice(LINE, (5000, 1), p=one_site()), AT)
        eq, _ = equations(inf.measure(source, even=False), terms, **given)
        off = eq.estimate - truth * terms.factors
        seen += [off @ np.linalg.solve(covariance, off) for covariance in (eq.sandwich, eq.naive)]
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 160)
    assert low < seen[0] < high, seen
    assert not low < seen[1] < high, seen


def test_a_network_with_a_mean_readout_is_fitted_predicted_and_read():
    net = m.Multiplet.of(m.ReLU(), 50, m.Normals((0.3,)))
    x = np.array([[-0.6], [1.0]])
    ensemble = inf.Ensemble(net, points=x, n=20_000, key=jax.random.key(1))
    with pytest.raises(ValueError, match=r"expected odd correlators .*m\.Odd\(m\.Bilocal\(\)\)"):
        inf.fit(ensemble, m.Bilocal(), key=KEY)
    fit = inf.fit(ensemble, m.Odd(m.Bilocal()), key=KEY, sampler=inf.Closed(chains=2, draws=200))
    truth = m.exact(net, x)
    kernel = np.diag(truth.tensor(2, "moment"))
    for name, kind, size in (("G1", "moment", 0.01), ("G2", "moment", 0.02), ("G3", "connected", 0.02)):
        predicted = fit["predictions"][name].mean(("chain", "draw")).values
        value = getattr(truth, kind)(int(name[1]))
        units = np.prod(np.sqrt(kernel)[truth.tuples(int(name[1]))], axis=1)
        assert np.max(np.abs(predicted - value) / units) < size, name
        assert fit["observed_data"][name].shape == value.shape
    eps4 = m.effective_couplings(truth, order="leading").eps4  # whitened by the connected two-point function
    assert abs(fit["constant_data"].attrs["eps4"] - eps4) < 4 * fit["constant_data"].attrs["eps4_error"]
    assert abs(fit["constant_data"].attrs["eps4"] - eps4) < 0.25 * eps4
    words = str(an.diagnose(fit))
    assert "Z2 symmetry                    not measured" in words
    assert "G4c inside the band" in words
    with pytest.raises(ValueError, match=r"expected an even action, .*; try fit\['predictions'\]"):
        an.predictive(fit)


def test_what_odd_terms_cannot_do_is_refused_with_what_can():
    even = m.exact(m.Network(m.Cos(), width=20), np.array([[0.0], [1.0]]))
    with pytest.raises(ValueError, match=r"expected moments of all orders up to 6 .* without order 1; try the even"):
        inf.fit(even, m.Odd(m.Bilocal()), key=KEY)
    far = inf.Samples(200.0 + np.random.default_rng(0).normal(size=(2000, 1)), AT)
    with pytest.raises(ValueError, match=r"expected couplings the data can tell apart .* less a constant"):
        inf.fit(far, m.Odd(m.Local()), key=KEY)
    net = m.Multiplet.of(m.ReLU(bias_scale=0.5), 50, m.Normals((0.3, 0.0)))
    ensemble = inf.Ensemble(net, points=np.ones((1, 1)), n=2000, key=KEY)
    with pytest.raises(ValueError, match="expected an even action for the tree-level inversion of G4c, got the local"):
        inf.fit(ensemble, m.Odd(m.Local()), key=KEY, method="tree")
    with pytest.raises(ValueError, match="expected even actions, whose control are odd terms, got odd: local"):
        an.compare(ensemble, {"odd": m.Odd(m.Local())}, key=KEY)
    with pytest.raises(ValueError, match=r"expected 3 fields at every point .* got 2 places"):
        inf.fit(ensemble, m.Invariant("O", 3), key=KEY)
    rough = Equations(np.eye(4), np.ones(4), np.eye(4), np.ones(4), 5.0, 4.0)
    with pytest.raises(ValueError, match="try a smaller action, or at least 7 networks"):
        precision(rough)
    for action in (m.Invariant("O", 2), m.LatticePhi4((4, 4)), m.Modes(2), m.Odd()):
        with pytest.raises(ValueError, match="expected an action whose symmetry leaves room"):
            m.Odd(action)
    with pytest.raises(ValueError, match="expected an even action, got 'bilocal'"):
        m.Odd("bilocal")
    with pytest.raises(ValueError, match="quartic action of the field at the points"):
        inf.design(m.Network(m.Cos(), width=20), np.zeros((1, 1)), 1000, action=m.Odd(m.Local()))
    unbounded = m.boundedness({1: np.array([0.1]), 2: np.array([0.5]), 3: np.array([0.2])}, 1)  # cubic without quartic
    assert not unbounded.bounded
    assert unbounded.order == 3
    with pytest.raises(ValueError, match="bounded"):
        inf.sample_action({2: np.array([0.5]), 3: np.array([0.2])}, points=1, key=KEY)
