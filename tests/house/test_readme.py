"""The README tells the truth: its lines run and print what it says, its links exist."""

import contextlib
import io
import json
import re

import pytest

from nnft import analysis, inference, models
from tests.house.tree import ROOT
from tests.proof.table import table

TEXT = (ROOT / "README.md").read_text()


def blocks(language):
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S) if name == language]


def shape(printed):
    """What of a printout does not depend on the sample: names and limits of the checks."""
    return re.findall(r"^(?:pass|warn|fail|note)  (.*?)  +.*\((limit .*)\)$", printed, re.M)


def test_the_session_runs_and_prints_what_is_shown(tmp_path, monkeypatch):
    session, *_ = blocks("python")
    (shown,) = blocks("")
    monkeypatch.chdir(tmp_path)
    small = session.replace("n=1_000_000", "n=50_000")
    assert small != session
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(small, "README.md", "exec"), {})
    assert len(shape(shown)) > 4
    assert set(shape(shown)) <= set(shape(out.getvalue()))
    assert re.match(r"chi2/dof = \S+/45, p = ", out.getvalue())
    assert {path.name for path in (tmp_path / "out/session").iterdir()} == {"index.html", "summary.json", "fit.nc"}


def test_its_six_lines_are_six():
    session, *_ = blocks("python")
    statements = compile(session, "README.md", "exec", flags=1024).body  # ast.PyCF_ONLY_AST
    assert sum(type(node).__name__ not in ("Import", "ImportFrom") for node in statements) == 6


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", TEXT))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_the_table_of_the_proofs_is_that_of_their_results():
    folder = ROOT / "tests/proof"
    proofs = json.loads((folder / "results.json").read_text())["proofs"]
    assert (folder / "RESULTS.md").read_text() == table(proofs)
    with pytest.raises(ValueError, match=r"expected a result that begins with .*got 'another'"):
        table({"another": {}})


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z]+)|^    make ([a-z]+)", TEXT, re.M))
def test_make_targets_exist(target):
    assert re.search(rf"^{''.join(target)}:.*##", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b((?:m|inf|an)\.\w+)", TEXT))))
def test_names_exist(name):
    room, word = name.split(".")
    assert hasattr({"m": models, "inf": inference, "an": analysis}[room], word)
