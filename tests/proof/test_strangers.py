"""Programs of strangers, all of them: twenty that deceive, refused by name, and twenty honest ones, not refused.

Each side is the other's twin. A third of them runs in tests/inference/test_strangers.py, which says how often chance
would refuse an honest one.
"""

import pytest

from nnft.inference.programs.structure import read_structure
from tests.inference.programs import HONEST, SEEMING
from tests.inference.test_strangers import POINTS, named

pytestmark = pytest.mark.proof


@pytest.mark.parametrize(("model", "right"), named(SEEMING).values(), ids=named(SEEMING))
def test_what_a_program_hides_is_refused_by_name(model, right):
    allowed, word = right
    why = read_structure(model, POINTS).why
    assert {space for space in ("neuron", "readout") if space not in why} == set(allowed.split())
    assert any(word in reason for reason in why.values())


@pytest.mark.parametrize(("model", "space"), named(HONEST).values(), ids=named(HONEST))
def test_an_honest_program_is_not_refused(model, space):
    why = read_structure(model, POINTS).why
    assert next(s for s in ("neuron", "readout", "field") if s not in why) == space
