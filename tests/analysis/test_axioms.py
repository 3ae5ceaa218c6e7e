"""The table of axioms on the site is what the command writes, and the command line says what the session says."""

import pytest

from nnft.analysis.cli import main
from nnft.analysis.theories.axioms import axiom_table, known_theories, line, update
from nnft.inference import axioms
from tests.house.tree import ROOT

PAGE = ROOT / "analysis/gallery/site/axioms.md"
QUICK = ["cos, N = 50", "scalar without a cutoff, N = 50", "cos on one path, N = 10", "φ⁴ in one dimension, λ = 6"]


def test_rows_of_the_page_are_what_the_theories_say():
    page, theories = PAGE.read_text(encoding="utf-8"), known_theories()
    for name in QUICK:
        assert line(axioms(theories[name], name=name)) in page
    assert all(f"| {name} |" in page for name in theories)


def test_the_page_is_made_by_one_command(tmp_path, monkeypatch):
    copy = tmp_path / "axioms.md"
    copy.write_text("before\n<!-- axioms -->\nstale\n<!-- /axioms -->\nafter\n", encoding="utf-8")
    few = axiom_table({QUICK[0]: known_theories()[QUICK[0]]})
    monkeypatch.setattr("nnft.analysis.theories.axioms.axiom_table", lambda: few)
    update(copy)
    text = copy.read_text(encoding="utf-8")
    assert "stale" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert str(few) in text
    assert "order 2 is asked at {0.003906" in text
    with pytest.raises(ValueError, match="expected a theory among"):
        few["relu"]
    copy.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the marks"):
        update(copy)


def test_the_command(capsys):
    assert main(["axioms", "cos", "--width", "3", "--times", "0.2,0.5,1"]) == 0
    told = capsys.readouterr().out
    assert "OS2 reflection positivity: violated" in told
    assert "on these times {0.2, 0.5, 1}" in told
    assert "OS4 clustering: violated (0.667)" in told  # (mu_4 - 1)/N
    assert main(["axioms", "cos", "--width", "3", "--n", "200", "--times", "0.5,1"]) == 0
    told = capsys.readouterr().out
    assert "200 networks" in told
    assert "+-" in told
    assert main(["axioms", "cos", "--times", "0,1"]) == 2
    assert "expected positive times" in capsys.readouterr().err
