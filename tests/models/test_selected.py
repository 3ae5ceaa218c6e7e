"""Correlators at chosen tuples are those of all tuples, whatever the law, the order of the points or their number."""

import numpy as np
import pytest

from nnft import models as m

X = np.array([[0.3, 0.1], [-0.7, 0.4], [1.1, -0.2]])
NETS = {
    "cos": m.Network(m.Cos(), width=10),
    "readout": m.Network(m.Erf(), width=7, readout="laplace", output_scale=0.6, output_bias=0.4),
    "relu": m.Network(m.ReLU(bias_scale=0.5), width=5),
    "two kinds": m.Network((m.Cos(), m.Erf()), width=6),
    "scale": m.Network(m.Cos(), width=10, shared_scale=m.GammaScale(0.3)),
    "length": m.Network(m.Cos(), width=10, shared_length=m.LogNormalLength(0.3), output_bias=0.2),
}


@pytest.mark.parametrize("name", NETS)
def test_chosen_tuples_are_entries_of_the_whole(name):
    whole = m.exact(NETS[name], X)
    rng = np.random.default_rng(0)
    for order in (2, 4, 6):
        tuples = whole.tuples(order)
        mixed = np.array([rng.permutation(row) for row in tuples])
        found = m.exact_at(NETS[name], X, mixed)
        size = np.max(np.abs(whole.moment(order)))
        np.testing.assert_allclose(found.connected, whole.connected(order), rtol=1e-9, atol=1e-11 * size)
        np.testing.assert_allclose(found.moment, whole.moment(order), rtol=1e-11)
        assert found.accuracy < 1e-6 * size


def test_points_may_repeat_and_be_many():
    """A table of quadruples with points of their own: 300 of them, each the same wherever it stands."""
    rng = np.random.default_rng(1)
    sets = rng.normal(size=(300, 4, 1))
    sets[7] = sets[3]
    found = m.exact_at(NETS["cos"], sets.reshape(-1, 1), np.arange(1200).reshape(300, 4)).connected
    assert found[7] == found[3]
    for k in (0, 3, 299):
        whole = m.exact(NETS["cos"], sets[k], orders=(2, 4))
        place = whole.tuples(4).tolist().index([0, 1, 2, 3])
        assert found[k] == pytest.approx(whole.connected(4)[place], rel=1e-12)
    assert found[0] != pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize(
    ("tuples", "words"),
    [
        (np.array([0, 1]), "component, order"),
        (np.array([[0.0, 1.0]]), "point numbers"),
        (np.array([[0, 1, 2]]), "order with an exact result"),
        (np.array([[0, 9]]), r"among 0\.\.2"),
    ],
)
def test_tuples_that_are_none_are_refused(tuples, words):
    with pytest.raises(ValueError, match=words):
        m.exact_at(NETS["cos"], X, tuples)


def test_a_network_without_exact_correlators_is_refused():
    with pytest.raises(ValueError, match=r"inf\.measure"):
        m.exact_at(m.Network(lambda x: x, width=3), X, np.array([[0, 1]]))
