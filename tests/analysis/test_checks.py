"""A diagnosis prints as a table, knows its gravest verdict, and is made of fits only."""

import pytest
import xarray as xr

from nnft.analysis import diagnose
from nnft.analysis.checks.check import Check, Diagnosis


def test_a_diagnosis_is_a_table_with_a_gravest_verdict():
    rows = [Check(f"check {v}", "1", "< 2", v, "Why.") for v in ("note", "pass", "warn", "fail")]
    for count, worst in ((0, "note"), (1, "note"), (2, "pass"), (3, "warn"), (4, "fail")):
        assert Diagnosis(rows[:count]).worst == worst
    assert [c.name for c in Diagnosis(rows).failed] == ["check fail"]
    assert str(Diagnosis(rows)).splitlines()[2] == "warn  check warn  1  (limit < 2)"
    assert str(Diagnosis([])) == ""


def test_a_tree_that_is_no_fit_is_refused():
    with pytest.raises(ValueError, match=r"expected a fit of inf\.fit, got a tree without posterior, .*; try"):
        diagnose(xr.DataTree())
