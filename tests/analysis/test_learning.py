"""The studies of depth and of training: pages that can be checked, and that see a wrong number."""

import json

import numpy as np
import pytest

from nnft.analysis.cli import main
from nnft.analysis.studies.study import Study
from nnft.analysis.theories import learning
from nnft.analysis.theories.learning import learning_verdicts, run_learning
from nnft.models import Deep, Network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("learning") / "out"
    run_learning("deep-erf", place, n=20_000, depth=2)
    return place


def test_a_page_of_depth(folder):
    page = (folder / "index.html").read_text()
    assert "2 hidden layers" in page
    assert "What depth does to the action" in page
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    assert len(numbers) == 14
    assert all(one["band"] == 0.0 for one in numbers if one["name"].startswith("L = 1"))
    assert all(one["band"] > 0.0 for one in numbers if one["name"].startswith("L = 2"))


def test_its_verdicts_see_a_wrong_number(folder, capsys):
    """False alarms: 14 numbers beyond 4.5 errors, 1e-4."""
    text, passed = learning_verdicts(folder)
    assert passed
    assert text.count("pass") == 14
    assert main(["check", str(folder)]) == 0
    assert "known" in capsys.readouterr().out
    held = json.loads((folder / "summary.json").read_text())
    held["numbers"][9]["value"] *= 1.5
    wrong = folder.parent / "wrong"
    wrong.mkdir()
    (wrong / "summary.json").write_text(json.dumps(held))
    assert not learning_verdicts(wrong)[1]
    assert main(["check", str(wrong)]) == 1


def test_a_page_of_training(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "TIMES", (0.0, 2.0))
    assert main(["run", "training", "-o", str(tmp_path / "out"), "--n", "5000", "--quiet"]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "training" in page
    assert "c[0,0,1]" in page
    assert learning_verdicts(tmp_path / "out")[1]


def test_a_deep_network_by_its_name():
    study = Study(net="tanh", depth=3, width=10)
    assert isinstance(study.network(), Deep)
    assert study.network().widths == (10, 10, 10)
    assert "depth 3" in str(study)
    assert isinstance(Study(net="tanh", width=10).network(), Network)
    kernel = study.network().kernel(study.points)
    assert np.all(np.linalg.eigvalsh(kernel) > 0.0)


def test_what_does_not_fit_is_said(tmp_path, capsys):
    assert learning_verdicts(tmp_path) is None
    with pytest.raises(ValueError, match="deep-erf, training"):
        run_learning("deep-tanh", tmp_path / "x")
    assert main(["run", "training", "-o", str(tmp_path / "y"), "--set", "coupling=3"]) == 2
    assert "expected n, seed, width, depth" in capsys.readouterr().err
    assert main(["run", "deep-erf", "-o", str(tmp_path / "z"), "--width", "2", "--depth", "9", "--n", "2000"]) == 2
    assert "relative variance" in capsys.readouterr().err
    with pytest.raises(ValueError, match="depth, the number of hidden layers"):
        Study(depth=0)
