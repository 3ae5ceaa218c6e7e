"""Every notebook runs from top to bottom, at small size, and its last sentences stay true."""

import re

import pytest

from tests.house.tree import ROOT

NOTEBOOKS = sorted((ROOT / "analysis" / "notebooks").glob("*.py"))
SMALL = "networks = 50_000"


def run(path, capsys):
    """What the notebook prints and the names it leaves behind; only the number of networks is changed."""
    source, changed = re.subn(r"^networks = [\d_]+$", SMALL, path.read_text(), flags=re.M)
    assert changed == 1, "expected one line `networks = ...` in the notebook"
    names: dict = {"__name__": "__main__"}
    exec(compile(source, path.name, "exec"), names)
    return capsys.readouterr().out, names


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == ["first_study.py"]


def test_first_study(capsys):
    (path,) = [path for path in NOTEBOOKS if path.name == "first_study.py"]
    printed, names = run(path, capsys)
    assert names["data"].networks == 50_000
    assert float(re.search(r"chi2/dof = .*, p = (\S+) \(", printed).group(1)) > 1e-6  # false alarm 1e-6
    bilocal, full = (float(share) for share in re.findall(r"share of the gain +([\d.]+)%", printed))
    assert 40 < bilocal < 85 < full  # at a million networks 64 and 100


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_in_percent_format_and_hold_no_output(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# ---"
    assert "# %% [markdown]" in lines
    assert "# %%" in lines
    assert max(len(line) for line in lines) <= 120
