"""The command line, in this process: what it writes, prints and returns, and one line for everything it refuses.

One run is real from end to end, of networks with two neurons, whose field is too far from Gaussian: its check fails.
"""

import contextlib
import importlib
import io
import json
import re
from dataclasses import fields

import numpy as np
import pytest

from nnft import __version__
from nnft.analysis import load
from nnft.analysis.cli import main
from nnft.analysis.options import ReadOptions, StudyOptions
from nnft.analysis.pages.report import FILES
from nnft.models.theories.registry import THEORIES
from tests import closed
from tests.oracles import planted

module = importlib.import_module("nnft.analysis.studies.study")
fitting = importlib.import_module("nnft.analysis.studies.settings")
REFUSAL = re.compile(r"nnft[ a-z]*: expected .+, got .+; try .+\n")
SMALL = ["--n", "2e4", "--action", "local", "--set", "warmup=100", "--set", "draws=50", "--set", "chains=2"]


def command(*words):
    """Exit status, what was printed, and what was said on stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(word) for word in words])
    return status, out.getvalue(), error.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder, and what the command that made it returned and said."""
    folder = tmp_path_factory.mktemp("runs") / "new" / "out"
    said = command("run", "cos", "--width", 2, "--points", "-2,2", *SMALL, "--seed", 3, "-o", folder)
    return folder, said, load(folder)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A folder with networks of a bounded action, of which no check fails, and their points."""
    folder = tmp_path_factory.mktemp("samples")
    np.save(folder / "samples.npy", planted("lat", 0.05, 3).draw(20_000, np.random.default_rng(31)))
    np.save(folder / "points.npy", [[-1.0], [0.0], [1.0]])
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Neither NUTS nor figures."""
    monkeypatch.setattr(fitting, "fit", closed.fit)
    monkeypatch.setattr(
        importlib.import_module("nnft.analysis.pages.report"), "page", lambda fit, checks: "<p>page</p>"
    )


@pytest.fixture
def asked(monkeypatch, finished):
    """The studies that would have been run, in place of running them."""
    studies = []
    monkeypatch.setattr(module, "run", lambda study, *rest, **options: studies.append((study, options)) or finished[2])
    return studies


def test_a_run_ends_well_also_where_a_check_fails(finished):
    folder, (status, out, error), fit = finished
    assert (status, error) == (0, "")
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    *summary, path = out.splitlines()
    assert path == str(folder / "index.html")
    assert len(summary) <= 25
    assert max(map(len, summary)) <= 120
    assert summary[0].startswith("local quartic action, 20 000 networks at 2 points: ")
    assert any(re.fullmatch(r"  fail  eps4: \d\.\d+ \+- 0\.\d+ \(limit < 0\.3\)", line) for line in summary)
    assert fit["constant_data"]["x_position"].values.ravel().tolist() == [-2.0, 2.0]
    assert dict(fit["posterior"].sizes)["draw"] == 50
    checks = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["checks"]
    assert next(check["verdict"] for check in checks if check["name"] == "eps4") == "fail"


def test_check_says_what_fails_and_why(finished):
    status, out, error = command("check", finished[0])
    assert (status, error) == (1, "")
    assert re.search(r"^fail  eps4 +\d\.\d+ \+- 0\.\d+  \(limit < 0\.3\)$", out, re.MULTILINE)
    assert "\n\neps4: The field is too far from Gaussian at these points: " in out
    assert command("check", finished[0] / "fit.nc") == (1, out, "")


def test_own_samples(samples, tmp_path, quick):
    """Made once, refused the second time, replaced on demand; nothing fails, so that `check` returns 0."""
    folder = tmp_path / "out"
    words = ("fit", samples / "samples.npy", "--points", samples / "points.npy", "-o", folder, "--seed", 4)
    status, out, error = command(*words, "--action", "local", "--set", "draws=200")
    assert (status, error) == (0, "")
    assert re.match(r"local quartic action, 19 \d{3} networks at 3 points: read from samples\.npy\n", out)
    assert out.endswith(f"\n{folder / 'index.html'}\n")
    first, written = load(folder), (folder / "fit.nc").read_bytes()
    assert (first.attrs["action"], dict(first["posterior"].sizes)["draw"]) == ("Local", 200)
    status, out, error = command(*words)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"nnft: expected a folder that does not exist yet, got '.*out'; try .*--force.*\n", error)
    assert (folder / "fit.nc").read_bytes() == written
    quiet = command(*words, "--force", "--quiet", "--set", "draws=200")
    assert quiet == (0, f"{folder / 'index.html'}\n", "")
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["action"] == "Bilocal"
    status, out, error = command("check", folder)
    assert (status, error) == (0, "")
    assert "fail" not in out
    assert len(out.splitlines()) == 22


def test_samples_that_lie_the_other_way_round(samples, tmp_path, quick):
    """Axes and the name of the array through --set, points that begin with a minus."""
    fields = np.load(samples / "samples.npy")
    np.savez(tmp_path / "many.npz", phi=fields.T, other=fields)
    words = ("fit", tmp_path / "many.npz", "--points", "-1,0,1", "-o", tmp_path / "out", "--quiet")
    status, _, error = command(*words, "--set", "variable=phi", "--set", "dims=point, network", "--set", "draws=200")
    assert (status, error) == (0, "")
    assert load(tmp_path / "out")["constant_data"]["x_position"].values.ravel().tolist() == [-1.0, 0.0, 1.0]


def test_what_is_said_last_and_most_plainly_counts(asked, tmp_path):
    """A file, over it --set, over that the options; of two --set the second."""
    (tmp_path / "study.toml").write_text("net = 'erf'\nwidth = 5\nseed = 1\nn = 2000\npoints = [0.0, 2.0]\n")
    words = ("run", tmp_path / "study.toml", "-o", tmp_path / "out", "--quiet")
    settings = ("--set", "width=6", "--set", "seed=2", "--set", "seed = 3", "--set", "bias_scale=0.5")
    assert command(*words, *settings, "--width", 7, "--points=-3,-1", "--action", "local", "--force")[0] == 0
    (study, options), *_ = asked
    assert (study.net, study.width, study.seed, study.n, study.action) == ("erf", 7, 3, 2000, "local")
    assert study.points.tolist() == [[-3.0], [-1.0]]
    assert (study.bias_scale, options["force"]) == (0.5, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "points"),
    [
        (["--points", "-3,-1"], [[-3.0], [-1.0]]),
        (["--points", "-.5,.5"], [[-0.5], [0.5]]),
        (["--points", "2"], [[2.0]]),
        (["--points", "-1e-1"], [[-0.1]]),
        (["--points", "[[0, 1], [1, 0]]"], [[0.0, 1.0], [1.0, 0.0]]),
        (["--points", "points.csv"], [[1.0, 2.0], [3.0, 4.0]]),
        (["--set", "points=-3,3"], [[-3.0], [3.0]]),
        (["--set", "points=[-3, 3]"], [[-3.0], [3.0]]),
    ],
    ids=str,
)
def test_ways_to_give_points(asked, tmp_path, monkeypatch, words, points):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("1,2\n3,4\n")
    assert command("run", "cos", "-o", "out", "--quiet", *words)[0] == 0
    assert asked[0][0].points.tolist() == points


def test_the_study_of_a_run_runs_again(finished, asked, tmp_path):
    (tmp_path / "again.toml").write_text(finished[2].attrs["study"])
    assert command("run", tmp_path / "again.toml", "-o", tmp_path / "out", "--quiet")[0] == 0
    assert asked[0][0].to_toml() == finished[2].attrs["study"]


def test_the_published_experiment_is_a_study_of_its_own(tmp_path, monkeypatch):
    seen = {}

    def run_experiment(name, out, **settings):
        seen.update(settings, name=name, out=out)
        return tmp_path / "index.html"

    monkeypatch.setattr("nnft.analysis.studies.published_page.run_experiment", run_experiment)
    status, out, _ = command("run", "hms-erf", "-o", tmp_path / "o", "--n", "1e4", "--set", "widths=[2,5]", "--quiet")
    assert (status, out.strip()) == (0, str(tmp_path / "index.html"))
    assert (seen["name"], seen["n"], seen["widths"], seen["force"]) == ("hms-erf", 1e4, [2, 5], False)


WRONG = [
    "run coss -o out",
    "run ./cos -o out",
    "run points.csv -o out",
    "run cos",
    "run -o out",
    "cos -o out",
    "rnu cos -o out",
    "run cos erf -o out",
    "run cos -o out --widht 3",
    "run cos -o out --n",
    "run cos -o out --force=3",
    "models all",
    "run cos -o out --set",
    "run cos -o out --set width",
    "run cos -o out --set =3",
    "run cos -o out --set widht=3",
    "run cos -o out --set net=erf",
    "run cos -o out --set readout=[1]",
    "run cos -o out --set readout=gausian",
    "run cos -o out --set chains=1",
    "run cos -o out --set draws=1e1",
    "run cos -o out --set weights=heavy",
    "run cos -o out --set weights=[1,2]",
    "run cos -o out --set prior_scale=0",
    "run cos -o out --set weight_scale=-1",
    "run cos -o out --set output_scale=-1",
    "run cos -o out --set output_bias=-1",
    "run erf -o out --set bias_scale=-1",
    "run cos -o out --set bias_scale=1",
    "run cos -o out --set space=neurons",
    "run cos -o out --set mass=1",
    "run scalar -o out --set weight_scale=1",
    "run scalar -o out --set mass=-1",
    "run erf -o out --set readout=uniform --set space=readout",
    "run hms -o out",
    "run hms-relu -o here",
    "run hms-relu -o out --width 3",
    "run hms-relu -o out --n 10",
    "run hms-relu -o out --set widths=3",
    "run cos -o out --width 0",
    "run cos -o out --width wide",
    "run cos -o out --n 0",
    "run cos -o out --n 5",
    "run cos -o out --n 1e3.5",
    "run cos -o out --seed -1",
    "run cos -o out --action bilocl",
    "run cos -o out --points 1,1",
    "run cos -o out --points 1,x",
    "run cos -o out --points 0,inf",
    "run cos -o out --points nowhere.npy",
    "run cos -o out --points words.csv",
    "run cos -o out --points -7,-6,-5,-4,-3,-2,-1,0,1,2,3,4 --method tree",
    "run cos -o out --method scroe",
    "run cos -o out --sampler nutz",
    "run cos -o out --set shape=[2,2]",
    "run cos -o out --action lattice_phi4",
    "run cos -o out --action modes --set count=0",
    "fit samples.npy -o out --action lattice_phi4 --set shape=[3,3]",
    "run cos -o out --set points=[true,false]",
    "run cos -o out --set points=[[1,2],[3]]",
    "run relu -o out --points -3,-1,1,3",
    "run cos -o here",
    "run cos -o points.csv",
    "run cos -o points.csv/out",
    "run nowhere.toml -o out",
    "run here.toml -o out",
    "run typo.toml -o out",
    "run broken.toml -o out",
    "run binary.toml -o out",
    "fit nowhere.npy --points 0,1 -o out",
    "fit here --points 0,1 -o out",
    "fit words.csv --points 0,1 -o out",
    "fit samples.npy -o out",
    "fit samples.npy --points 0,1,2 -o out",
    "fit samples.npy --points 0,1 -o here",
    "fit samples.npy --points 0,1 -o out --width 3",
    "fit samples.npy --points 0,1 -o out --set width=3",
    "fit samples.npy --points 0,1 -o out --set dims=3",
    "fit samples.npy --points 0,1 -o out --set dims=[1,'a']",
    "fit samples.npy --points 0,1 -o out --set variable=[1]",
    "fit samples.npy --points 0,1 -o out --set weights=[1,-1]",
    "symmetries cos --orders 2,9",
    "symmetries cos --orders -2",
    "axioms cos --times -1,2",
    "flow relu",
    "check nowhere",
    "check here",
    "check words.csv",
    "check",
]


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_one_line(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("here", "here.toml"):
        (tmp_path / folder).mkdir()
    (tmp_path / "points.csv").write_text("0\n1\n")
    (tmp_path / "words.csv").write_text("zero\none\n")
    (tmp_path / "typo.toml").write_text("net = 'cos'\nwidht = 3\n")
    (tmp_path / "broken.toml").write_text("net = cos\n")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    np.save(tmp_path / "samples.npy", np.random.default_rng(32).normal(size=(2000, 2)))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    status, out, error = command(*words.split())
    assert (status, out) == (2, "")
    assert REFUSAL.fullmatch(error), error
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("run coss -o out", "try 'cos'"),
        ("run cos -o out --set widht=3", "try 'width'"),
        ("run cos -o out --widht 3", "try --width"),
        ("run cos -o out --forse", "try --force"),
        ("rnu cos -o out", "try nnft run"),
        ("cos -o out", "try nnft run cos -o out/cos"),
        ("run cos -o out --set net=erf", "try leaving one out"),
        ("flow relu --n 1e4", "try nnft flow relu --n 1e4 -o out/"),
        ("symmetries cos --orders 2,x", "try --orders 2,4"),
    ],
)
def test_advice_names_what_was_meant(words, advice):
    assert command(*words.split())[2].endswith(f"; {advice}\n")


@pytest.mark.parametrize(
    ("words", "decides"),
    [
        ("fit few.npy --points 0,2", "got 15; try drawing more"),
        ("run gauss --n 2e4 --set bias_scale=1", "refused: the exact <phi^8> makes the relative error of <phi^4>"),
    ],
)
def test_no_fit_shows_what_was_measured_and_then_why(words, decides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.random.default_rng(33).normal(size=(15, 2)))
    status, out, error = command(*words.split(), "-o", tmp_path / "out")
    assert status == 2
    assert out.startswith("Correlators (measured, ")
    assert len(out.splitlines()) <= 25
    assert REFUSAL.fullmatch(error), error
    assert decides in error
    assert not (tmp_path / "out").exists()


def test_models_are_listed():
    status, out, error = command("models")
    assert (status, error) == (0, "")
    assert [name for name in THEORIES if re.search(rf"^{name} +s\(x\) = ", out, re.MULTILINE)] == list(THEORIES)
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("words", ["", "--help", "run --help", "fit --help", "check --help", "models --help"])
def test_help(words):
    status, out, error = command(*words.split())
    assert (status, error) == (0, "")
    assert out.startswith("Usage: nnft")


def test_every_setting_is_an_option_with_a_word_on_it():
    """What a study file may hold can be said on the command line; `net` is said by the name of the study."""

    def names(options):
        return {field.name for field in fields(options)}

    assert names(StudyOptions) == {field.name for field in fields(module.Study)} - {"net"} | {"widths"}
    reads = {"points", "variable", "dims", "markov_chains", "independent", "networks"}
    assert names(ReadOptions) == {field.name for field in fields(fitting.Fitting)} | reads
    for name, options in (("run", StudyOptions), ("fit", ReadOptions)):
        told = command(name, "--help")[1]
        assert [n for n in names(options) if not re.search(rf"--{n.replace('_', '-')} +STR +\S", told)] == []


@pytest.mark.parametrize(
    "words",
    ["--set shape=[2,2]", "--shape 2,2", "--shape [2,2]", "--shape=2,2", "--set shape=2,2"],
)
@pytest.mark.parametrize("scale", ["--weight_scale", "--weight-scale"])
def test_an_option_is_a_setting(asked, tmp_path, words, scale):
    given = ("--points", "[[0,0],[0,1],[1,0],[1,1]]", "--action", "lattice_phi4", scale, "1.5")
    assert command("run", "cos", "-o", tmp_path / "out", *given, *words.split())[0] == 0
    study = asked[0][0]
    assert (study.shape, study.weight_scale, study.action) == ((2, 2), 1.5, "lattice_phi4")


def test_version():
    assert command("--version") == (0, f"nnft {__version__}\n", "")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "nnft: interrupted\n"),
        (PermissionError(13, "Permission denied", "x"), 2, None),
        (ValueError("expected one\n line, got two; try this"), 2, "nnft: expected one line, got two; try this\n"),
    ],
    ids=str,
)
def test_what_stops_a_run(monkeypatch, tmp_path, error, status, said):
    def stopped(*arguments, **options):
        raise error

    monkeypatch.setattr(module, "run", stopped)
    found = command("run", "cos", "-o", tmp_path / "out")
    assert found[:2] == (status, "")
    assert found[2] == said or (said is None and REFUSAL.fullmatch(found[2]))
