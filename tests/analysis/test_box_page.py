"""The page of phi^4 networks: what it says, and what it refuses."""

import json

import pytest

from nnft import analysis as an
from nnft.analysis.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("box") / "page"
    an.run_box("oscillator", out, n=16_384, widths=(4, 8, 16), seed=3)
    return out


def test_the_page_holds_both_columns_and_the_weights(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    for words in ("anharmonic oscillator", "0.354841", "1.40504", "ESS/n", "k-hat", "width by width", "svg+xml;base64"):
        assert words in page
    held = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    numbers = held["couplings"][0]["numbers"]
    assert numbers["gap"]["exact"] == pytest.approx(1.4050391343, abs=1e-9)
    for name in ("⟨φ²⟩", "gap", "log Z/Z₀", "λ fitted"):
        one = numbers[name]
        assert abs(one["value"] - one["exact"]) < 6.0 * one["error"]
    assert set(held["couplings"][0]["weights"]) == {"4", "8", "16"}


def test_refusals(folder, capsys):
    with pytest.raises(ValueError, match="does not exist yet"):
        an.run_box("oscillator", folder)
    with pytest.raises(ValueError, match="try oscillator"):
        an.run_box("phi4", folder, force=True)
    assert main(["run", "oscillator", "--width", "5", "-o", str(folder), "--force"]) == 2
    assert "--set coupling=6" in capsys.readouterr().err


def test_check_reads_the_folder_again_and_sees_a_planted_fault(folder, tmp_path, capsys):
    main(["check", str(folder)])
    assert "exact 1.40504" in capsys.readouterr().out
    held = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    gap = held["couplings"][0]["numbers"]["gap"]
    gap["exact"] = gap["value"] + 5.0 * gap["error"]
    (tmp_path / "summary.json").write_text(json.dumps(held), encoding="utf-8")
    assert main(["check", str(tmp_path)]) == 1
    assert "fail  lambda = 6  gap" in capsys.readouterr().out
