"""Fewer than 1000 networks on the command line: an answer, a page and exit status 0, not a refusal that goes round."""

import contextlib
import io
import json
import re

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft.analysis.cli import main
from nnft.analysis.studies.few_page import few_answer
from nnft.analysis.studies.settings import Fitting
from nnft.inference.planning.apart import apart

LINE = np.linspace(-3.0, 3.0, 20)[:, None]


def command(*words):
    """Exit status, what was printed, and what was said on stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(word) for word in words])
    return status, out.getvalue(), error.getvalue()


def smooth(n: int, seed: int) -> np.ndarray:
    """Networks at 20 points of a smooth kernel: a Gram matrix that no double precision inverts."""
    values, vectors = np.linalg.eigh(np.exp(-0.5 * (LINE - LINE.T) ** 2))
    return np.random.default_rng(seed).normal(size=(n, 20)) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of networks too few for a fit."""
    place = tmp_path_factory.mktemp("few")
    rng = np.random.default_rng(51)
    np.save(place / "three.npy", rng.normal(size=(500, 3)))
    np.save(place / "many.npy", smooth(500, 52))
    np.save(place / "many_points.npy", LINE)
    np.save(place / "tiny.npy", rng.normal(size=(15, 2)))
    np.save(place / "shifted.npy", rng.normal(size=(500, 2)) + 0.5)
    return place


def test_five_hundred_networks_get_an_answer(folder, tmp_path):
    """Bilocal, the default, has too many couplings and is left by name; the page, the numbers and `check` agree."""
    status, out, error = command("fit", folder / "three.npy", "--points", "-2,0,2", "-o", tmp_path / "out")
    assert (status, error) == (0, "")
    *told, path = out.splitlines()
    assert path == str(tmp_path / "out" / "index.html")
    assert told[0] == (
        "action bilocal is left for the constant one: it takes at most 5 couplings from 500 networks, got 12"
    )
    assert told[1].startswith("500 networks at 3 points; phi -> -phi used")
    assert max(map(len, told)) <= 120
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["index.html", "summary.json"]
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert numbers["summary"] == "\n".join(told)
    session = inf.few_networks(
        inf.Samples(np.load(folder / "three.npy"), [[-2.0], [0.0], [2.0]]), key=jax.random.key(1)
    )
    assert numbers["gaussianity"]["p"] == session.gaussianity.p
    assert numbers["couplings"][0]["mean"] == session.couplings.estimate[0]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "What 500 networks can tell" in page
    assert "Samples(three.npy, n=500" in page
    assert "<script" not in page
    assert command("check", tmp_path / "out") == (0, "\n".join(told) + "\n", "")


def test_points_are_chosen_named_and_answered_for(folder, tmp_path):
    """500 networks at 20 points: the command line answers at the points that the refusal in a session names."""
    words = ("fit", folder / "many.npy", "--points", folder / "many_points.npy", "-o", tmp_path / "out")
    status, out, error = command(*words)
    assert (status, error) == (0, "")
    named = json.loads(re.match(r"points (\[[\d, ]+\]) answer for all 20: the \w+ that the others", out)[1])
    assert "action bilocal is left for the constant one: it takes at most 5 couplings from 500 networks" in out
    assert f"500 networks at {len(named)} points" in out
    samples = inf.Samples(np.load(folder / "many.npy"), LINE)
    with pytest.raises(ValueError, match=r"Gram matrix can be inverted .* got .*; try points further apart") as refusal:
        inf.few_networks(samples, key=jax.random.key(1))
    assert f"points[{named}] with array[:, {named}]" in str(refusal.value)
    part = inf.Samples(np.load(folder / "many.npy")[:, named], LINE[named])
    found = inf.few_networks(part, key=jax.random.key(1))
    assert str(found) in out
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (numbers["chosen"], numbers["points"]) == (named, LINE[named].tolist())
    status, quiet, _ = command(*words, "--quiet", "--force", "--action", "modes", "--set", "count=3", "--seed", 4)
    assert (status, quiet) == (0, f"{tmp_path / 'out' / 'index.html'}\n")
    assert "action modes is left" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_the_choice_is_a_pivoted_cholesky():
    """Every point not chosen keeps less than a tenth of its variance; where it would not, the number is the limit."""
    kernel = np.exp(-0.5 * (LINE - LINE.T) ** 2)
    for n, most in ((100, 2), (500, 4), (999, 5)):
        chosen = apart(kernel, n)
        assert chosen == sorted(chosen)
        assert chosen[0] == 0
        assert len(chosen) == most
    few = apart(np.exp(-0.02 * (LINE - LINE.T) ** 2), 999)
    inside = np.exp(-0.02 * (LINE[few] - LINE[few].T) ** 2)
    across = np.exp(-0.02 * (LINE - LINE[few].T) ** 2)
    left = 1.0 - np.sum(across * np.linalg.solve(inside, across.T).T, axis=1)
    assert len(few) < 5
    assert np.max(left) < 0.1
    # Two fields in one: their order, not their size, decides.
    assert apart(np.diag([1.0, 100.0, 1e-6]), 999) == [0, 1, 2]
    assert apart(np.ones((3, 3)), 999) == [0]


def test_a_run_of_few_networks_is_answered_too(tmp_path):
    """The relative of a file: networks of the suite drawn by `nnft run`, at points of any distance."""
    status, out, error = command(
        "run", "cos", "--n", 300, "--points", "-2,2", "--action", "local", "-o", tmp_path / "out"
    )
    assert (status, error) == (0, "")
    assert out.startswith("300 networks at 2 points")
    assert "g(0)" in out
    assert "left" not in out


def test_a_method_is_left_by_name():
    fields = np.random.default_rng(53).normal(size=(100, 1))
    found = few_answer(inf.Samples(fields, [[0.0]]), Fitting(action="smooth_bilocal", method="gold"))
    assert found.notes[0].startswith("action smooth_bilocal is left for the constant one: it takes an action without a")
    assert found.notes[1].startswith("method gold is left for score matching")
    assert found.found.names == ("coupling",)


@pytest.mark.parametrize(
    ("file", "decides"),
    [
        ("tiny.npy", r"expected 20 to 20000 networks, got 15; try drawing more"),
        ("shifted.npy", r"expected networks whose law phi -> -phi leaves alone, got p = .*; try a random sign"),
    ],
)
def test_what_has_no_answer_says_why(folder, tmp_path, file, decides):
    status, out, error = command("fit", folder / file, "--points", "0,2", "-o", tmp_path / "out")
    assert status == 2
    assert out.startswith("Correlators (measured, ")
    assert re.fullmatch(rf"nnft: {decides}.*\n", error), error
    assert not (tmp_path / "out").exists()


def test_a_folder_is_replaced_whole(folder, tmp_path):
    """The fit of an earlier run does not stay beside the page of other networks."""
    place = tmp_path / "out"
    place.mkdir()
    (place / "fit.nc").write_text("old")
    (place / "mine.txt").write_text("kept")
    words = ("fit", folder / "three.npy", "--points", "-2,0,2", "--action", "constant", "-o", place)
    status, _, error = command(*words)
    assert status == 2
    assert "--force" in error
    assert command(*words, "--force")[0] == 0
    assert sorted(p.name for p in place.iterdir()) == ["index.html", "mine.txt", "summary.json"]


def test_the_page_says_what_can_be_seen_and_what_cannot(folder, tmp_path):
    """A strip and a curve with their words; of a field far from Gaussian no interval and no promise of couplings."""
    rng = np.random.default_rng(5)
    np.save(folder / "far.npy", rng.normal(size=(500, 1)) * rng.gamma(0.5, 2.0, size=(500, 1)))
    for name, points, said in (("three", "-2,0,2", "nnft fit with"), ("far", "0", "where no action is")):
        out = tmp_path / name
        assert command("fit", folder / f"{name}.npy", "--points", points, "-o", out)[0] == 0
        page = (out / "index.html").read_text(encoding="utf-8")
        assert page.count("<img alt=") == 1
        for part in ("What these networks say", "What they do not say", "What to run next", said):
            assert part in page
