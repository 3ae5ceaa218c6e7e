"""The table of symmetries: groups by order, what is proved beside what is measured, and a contradiction."""

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.analysis.cli import main

POINTS = np.array([[-0.3], [0.3]])


def ensemble(model, n=6000):
    return inf.Ensemble(model, points=POINTS, n=n, key=jax.random.key(0))


class Lying(m.Network):
    """A network that says it has no mean and draws one."""

    def __call__(self, points):
        import numpyro

        with numpyro.handlers.block():
            phi = super().__call__(points)
        numpyro.deterministic("phi", phi + 0.3)

    as_sum = property(lambda self: m.Network(self.neuron, self.width).as_sum)
    even = True


def test_all_groups_that_fit_are_in_the_table():
    table = an.symmetries(ensemble(m.Network(m.Cos(), 3)), orders=None)
    assert [*table.tests] == ["Z2", "translations", "reflection of x"]
    assert table["translations"][2].proved
    assert "exact" in str(table)
    assert "CONTRADICTION" not in str(table)
    assert {check.verdict for check in table(None)} == {"pass"}
    several = an.symmetries(inf.Samples(np.random.default_rng(0).normal(size=(6000, 2, 2)), POINTS, outputs=2))
    assert [*several.tests] == ["Z2", "S_2", "O(2)", "reflection of x"]


def test_a_contradiction_is_an_error():
    lying = Lying(m.Cos(), 3)
    table = an.symmetries(ensemble(lying), [inf.Sign()], orders=(1,))
    assert table["Z2"][1].contradiction
    assert "CONTRADICTION" in str(table)
    assert [check.verdict for check in table(None)] == ["fail"]


def test_a_breaking_that_is_known_is_a_note():
    table = an.symmetries(ensemble(m.Network(m.ReLU(1.0, 0.5), 3)), [inf.Translations((0.3,))], orders=(2,))
    (check,) = table(None)
    assert check.verdict == "note"
    assert "breaks it by" in check.why


def test_the_command(capsys):
    assert main(["symmetries", "cos", "--n", "2000", "--width", "3", "--points", "0,1", "--orders", "2"]) == 0
    told = capsys.readouterr().out
    assert "translations" in told
    assert "exact" in told
    assert main(["symmetries", "coss"]) == 2


def test_correlators_without_networks_are_refused():
    with pytest.raises(ValueError, match="expected networks, or correlators measured of them"):
        an.symmetries(m.exact(m.Network(m.Cos(), 3), POINTS))
