"""The README tells the truth: its lines run and print what it says, its commands and links exist."""

import contextlib
import io
import json
import re

import jax
import numpy as np
import pytest
from cyclopts import CycloptsError

from nnft import analysis, inference, models
from nnft.analysis import cli
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
    assert len(shape(shown)) > 10
    assert shape(out.getvalue()) == shape(shown)
    assert re.match(r"chi2/dof = \S+/45, p = ", out.getvalue())
    assert re.match(r"chi2/dof = \S+/45, p = ", shown)
    assert {path.name for path in (tmp_path / "out/session").iterdir()} == {"index.html", "summary.json", "fit.nc"}


def test_the_further_lines_run_and_their_exact_numbers_are_those_shown():
    _, known, fields, depth, training, *_ = blocks("python")
    small = known.replace("(theory, key=key)", "(theory, inf.Reweighted(n=16384), widths=(4, 8, 16), key=key)")
    assert small != known
    names = {"np": np, "jax": jax, "m": models, "inf": inference, "an": analysis, "key": jax.random.key(0)}
    fewer = training.replace("n=100_000", "n=4000").replace("(0.0, 0.5, 2.0)", "(0.0, 2.0)")
    for block in (small, fields.replace("n=20_000", "n=4000"), depth, fewer):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, "README.md", "exec"), names)
    for exact in (names["truth"].moment(2), names["truth"].gap):
        assert f"{exact:.12f}" in known
    mean = models.limit(names["trained"], np.array([[-0.2]])).mean[-1, 0]
    assert f"# {mean:.6f} at infinite width" in training
    needed = inference.networks_to_see(names["net"], names["x0"], inference.Orthogonal(2))
    assert f"# {needed:.0f} for" in fields


def test_the_lines_on_networks_of_ones_own_run():
    *_, own = blocks("python")
    small = own.replace("n=20_000", "n=2000").replace("key=key)  # and", "key=key, sampler='closed')  # and")
    assert small.count("2000") == 2
    names = {"np": np, "jax": jax, "m": models, "inf": inference, "key": jax.random.key(0)}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(small, "README.md", "exec"), names)
    assert out.getvalue().startswith("Couplings of 2,000 pairs of networks")
    assert names["fit"]["posterior"]["v"].sizes["cross_pair"] == 1


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


def understood(line):
    """Whether the command line understands a line; nothing is done."""
    try:
        cli.app.parse_args(line.split(), exit_on_error=False, print_error=False)
    except CycloptsError:
        return False
    return True


@pytest.mark.parametrize("line", re.findall(r"^    nnft (.*?)  ", TEXT, re.M))
def test_commands_are_understood(line):
    assert understood(line)
    assert not understood(line + " --fast")  # planted faults
    assert not understood("x" + line)
