"""O(D)-invariant actions: their terms, their exact couplings, and networks that are not invariant."""

from itertools import product

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

ONE, TWO = np.zeros((1, 1)), np.array([[0.0], [1.0]])


def outputs(width, weights=None):
    return m.Multiplet.of(m.Cos(), width, weights or m.Copies(2))


def point(data, action):
    return inf.fit(data, action, key=jax.random.key(0))["point"]


@pytest.mark.parametrize(
    ("width", "a", "b"),
    [(20, 1.0456062291, -0.0111234705), (100, 1.0098053564, -0.0024391434), (1000, 1.0009980055, -0.0002493767)],
)
def test_exact_couplings(width, a, b):
    """The solution of a 2 x 2 system by other hands; near -1/(4 N)."""
    found = point(m.exact(outputs(width), ONE), m.Invariant("O", 2))
    assert float(found["q"].values[0]) == pytest.approx(a, abs=1e-8)
    assert float(found["g"].values[0]) == pytest.approx(b, abs=1e-8)
    # r^2 = D S, r^4 = D (D+2) S^2, r^6 = D (D+2)(D+4) S^3 at D = 2, S the mean of s^2: F7 of the notes.
    one = m.exact(m.Network(m.Cos(), width), ONE)
    s, s2, s3 = (one.moment(2 * r)[0] / w for r, w in ((1, 1), (2, 3), (3, 15)))
    r2, r4, r6 = 2 * s, 8 * s2, 48 * s3
    np.testing.assert_allclose(np.linalg.solve([[4 * r2, 8 * r4], [8 * r4, 16 * r6]], [4, 16 * r2]), (a, b), atol=1e-9)


def test_one_field_alone():
    found = point(m.exact(m.Network(m.Cos(), 100), ONE), m.Constant())
    assert float(found["coupling"].values[0]) == pytest.approx(-0.0024450774, abs=1e-9)
    assert float(found["q"].values[0]) == pytest.approx(1.0073719085, abs=1e-8)


def test_the_full_action_of_an_invariant_network_is_the_invariant_one():
    data = m.exact(outputs(20), TWO)
    full, ours = point(data, m.FullQuartic()), point(data, m.Invariant("O", 2, bilocal=True))
    action = m.Invariant("O", 2, bilocal=True)
    theta = np.concatenate([ours[name].values for name in action.blocks(4)])
    np.testing.assert_allclose(theta @ action.monomials(4, np.ones(4)), full["g4"].values, atol=1e-12)
    one = point(m.exact(outputs(20), TWO), m.Invariant("O", 2))
    assert np.max(np.abs(one["g"].values - ours["g"].values)) > 1e-4  # without the bilocal terms it is another fit


def test_terms_are_scalar_products():
    action, rng = m.Invariant("O", 3, bilocal=True), np.random.default_rng(0)
    phi = rng.normal(size=(2, 3))
    terms = action.interaction(6, np.ones(6))[0]
    values = np.bincount(terms.term, terms.coefficient * np.prod(phi.ravel()[terms.tuples], axis=1))
    dot = phi @ phi.T
    expected = [dot[0, 0] ** 2, dot[1, 1] ** 2]
    expected += [dot[a, a] * dot[a, b] for a, b in product(range(2), repeat=2) if a != b]
    expected += [dot[0, 0] * dot[1, 1], dot[0, 1] ** 2]
    np.testing.assert_allclose(values, expected)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    after = np.bincount(terms.term, terms.coefficient * np.prod((phi @ turned).ravel()[terms.tuples], axis=1))
    np.testing.assert_allclose(after, values)


def test_a_violation_is_found_against_the_action_of_all_components():
    ladder = {"invariant": m.Invariant("O", 2), "full": m.FullQuartic()}

    def wald(weights):
        ens = inf.Ensemble(outputs(5, weights), points=ONE, n=20_000, key=jax.random.key(3))
        return an.compare(ens, ladder, key=jax.random.key(1))["invariant"].wald.p

    assert wald(m.Copies(2)) > 1e-4
    assert wald(m.Copies(2, "rademacher")) < 1e-6


def test_fits_of_several_fields_have_places():
    ens = inf.Ensemble(outputs(20), points=TWO, n=20_000, key=jax.random.key(3))
    tree = inf.fit(ens, m.Invariant("O", 2, bilocal=True), key=jax.random.key(1), sampler="closed")
    truth = point(m.exact(outputs(20), TWO), m.Invariant("O", 2, bilocal=True))
    for name in ("q", "g", "u", "v", "h"):
        draws = tree["posterior"][name].values.reshape(-1, len(truth[name]))
        assert np.all(np.abs(draws.mean(axis=0) - truth[name].values) < 5.5 * draws.std(axis=0))
    assert m.at_places(TWO, 2).shape == (4, 2)
    samples = inf.Samples(np.array(ens.read(0, 20_000)).reshape(-1, 2, 2), TWO, outputs=2)
    again = inf.fit(samples, m.Invariant("O", 2), key=jax.random.key(1), sampler="closed")
    assert again["posterior"]["g"].shape[-1] == 2
    few = inf.few_networks(inf.Samples(samples.read(0, 400).reshape(-1, 2, 2), TWO, outputs=2), key=jax.random.key(2))
    assert few.gaussianity.p > 1e-4
    assert inf.design(outputs(20), TWO, 1e5, action=m.Bilocal()).fisher.shape == (4 + 12 + 6,) * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: m.Invariant("SU", 2), "expected the group 'O'"),
        (lambda: m.Invariant("O", 1), "at least two fields"),
        (lambda: point(m.exact(outputs(5), ONE), m.Invariant("O", 3)), "expected 3 fields at every point"),
        (
            lambda: m.exact(m.Placed(outputs(5), 2), np.array([[0.0, 1.0], [1.0, 0.0]])),
            "every output of every",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
