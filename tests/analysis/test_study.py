"""A study is the list of arguments of a session: its defaults, its file, what it refuses before any work, and its run.

Where the sampler is not the question the posterior is drawn from its closed form, by the key the study gives it.
"""

import importlib

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.analysis import Study, run
from nnft.analysis.studies.study import Fitting, NoFit, fit_samples, read_points
from nnft.models.theories.registry import THEORIES
from tests import closed

module = importlib.import_module("nnft.analysis.studies.study")
settings = importlib.import_module("nnft.analysis.studies.settings")
SMALL = {"width": 10, "points": [-2, 2], "action": "local", "n": 5000, "warmup": 10, "draws": 50, "chains": 2}


@pytest.fixture
def quick(monkeypatch):
    """Neither NUTS nor a page."""
    monkeypatch.setattr(settings, "fit", closed.fit)
    monkeypatch.setattr(module, "report", lambda tree, folder, force: None)


@pytest.fixture
def no_work(monkeypatch):
    """Drawing networks is an error."""

    def work(*arguments, **options):
        raise AssertionError("networks were drawn")

    for room, name in ((module, "measure"), (settings, "fit"), (module, "report")):
        monkeypatch.setattr(room, name, work)


def values(study):
    return {
        k: v.tolist() if isinstance(v, np.ndarray) else v
        for k, v in ((name, getattr(study, name)) for name in study.__dataclass_fields__)
    }


@pytest.mark.parametrize("net", THEORIES)
def test_defaults_are_those_of_the_theory(net):
    study, theory = Study(net=net), THEORIES[net]
    assert study.width == theory.width
    np.testing.assert_array_equal(study.points, theory.grid())
    for name in ("weight_scale", "bias_scale"):
        assert getattr(study, name) == theory.scales.get(name)
    assert study.network() == theory.network()
    assert (study.n, study.action, study.seed) == (1_000_000, "bilocal", 0)
    assert repr(study.ensemble().model) == repr(theory.network())
    assert str(study).startswith(f"{net}, width {theory.width}, 1,000,000 networks at {len(theory.points)} points")


def test_what_is_given_reaches_the_network():
    study = Study(net="erf", width=7, bias_scale=0.5, weight_scale=2, readout="laplace", output_scale=3, output_bias=1)
    assert study.network() == m.Network(m.Erf(weight_scale=2.0, bias_scale=0.5), 7, "laplace", 3.0, 1.0)
    assert Study(net="erf", bias_scale=0).network().neuron.bias_scale == 0.0
    assert Study(net="scalar", mass=2, alpha=-1).network().neuron == m.ScalarMode(mass=2.0, cutoff=20.0, alpha=-1.0)


SETTINGS = [
    *({"net": net} for net in THEORIES),
    {"net": "cos", "points": [0.1, 1 / 3, 1e-7], "weights": np.array([0.5, 1.0, 1e-3]), "seed": 2**32 - 2},
    {"net": "relu", "points": [[1, 0, 0.5], [0, 1, -2]], "n": 1e5, "readout": "uniform", "action": "full_quartic"},
    {"net": "tanh", "points": "-3,1", "output_bias": 0.25, "prior_scale": np.float32(0.1), "chains": 2, "draws": 30},
    {"net": "cos", "points": [0, 2], "weights": [np.float32(0.5), np.float32(2.0)], "width": np.int64(3)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_file_gives_the_study_back(settings, tmp_path):
    study = Study(**settings)
    (tmp_path / "study.toml").write_text(study.to_toml(), encoding="utf-8")
    again = Study.from_toml(tmp_path / "study.toml")
    assert values(again) == values(study)
    assert again.to_toml() == study.to_toml()
    assert values(Study.from_toml(tmp_path / "study.toml", {"width": 3, "seed": 9})) == (
        values(study) | {"width": 3, "seed": 9}
    )


def test_points_beside_the_file_count_first_and_overrides_count_most(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    np.savetxt(tmp_path / "a" / "points.csv", [1.0, 2.0])
    np.savetxt(tmp_path / "points.csv", [5.0])
    (tmp_path / "a" / "study.toml").write_text("points = 'points.csv'\nwidth = 4\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    assert Study.from_toml("a/study.toml").points.tolist() == [[1.0], [2.0]]
    assert Study.from_toml("a/study.toml", {"points": "points.csv"}).points.tolist() == [[5.0]]
    assert Study.from_toml("a/study.toml").width == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"net": "coss"}, r"expected a network among .*, got 'coss'; try 'cos'"),
        ({"net": ["cos"]}, r"expected net to be a word, got \['cos'\]; try 'cos'"),
        ({"action": "bilocl"}, r"expected an action among .*, got 'bilocl'; try 'bilocal'"),
        ({"action": 3}, r"expected action to be a word, got 3; try 'bilocal'"),
        ({"readout": ["a"]}, r"expected readout to be a word, got \['a'\]; try 'gaussian'"),
        ({"readout": "gausian"}, r"expected readout .*, got 'gausian'; try 'gaussian'"),
        ({"widht": 3}, r"expected one of \d+ settings, the nearest being .*, got 'widht'; try 'width'"),
        ({"width": 0}, r"expected width, the number of neurons, to be an integer >= 1, got 0; try 20"),
        ({"width": 2.5}, r"expected width, .* got 2\.5; try 20"),
        ({"width": True}, r"expected width, .* got True; try 20"),
        ({"n": "many"}, r"expected n, the number of networks, .* got 'many'; try 1000000"),
        ({"n": np.inf}, r"expected n, .* got inf; try"),
        ({"seed": -1}, r"expected seed to be an integer >= 0, got -1; try 0"),
        ({"seed": 2**32 - 1}, r"expected seed .* below 2\^32 - 1, got 4294967295; try 0"),
        ({"chains": 1}, r"expected chains to be an integer >= 2, got 1; try 4"),
        ({"draws": 19}, r"expected draws to be an integer >= 20, got 19; try 1000"),
        ({"warmup": 9}, r"expected warmup to be an integer >= 10, got 9; try 500"),
        ({"prior_scale": 0}, r"expected prior_scale > 0, got 0; try"),
        ({"weight_scale": -1}, r"expected weight_scale .* got -1\.0; try"),
        ({"weight_scale": "1"}, r"expected weight_scale to be a finite number, got '1'; try"),
        ({"output_scale": -1}, r"expected output_scale .* got -1\.0; try"),
        ({"output_bias": np.nan}, r"expected output_bias to be a finite number, got nan; try"),
        ({"bias_scale": 1}, r"expected no bias_scale for cos, .* got 1; try"),
        ({"net": "scalar", "weight_scale": 1}, r"expected no weight_scale for scalar, .* got 1; try"),
        ({"space": "neurons"}, r"expected space among field, .* got 'neurons'; try 'neuron'"),
        ({"points": [1, 1]}, r"expected distinct points, got point 1 equal to an earlier one, .*; try"),
        ({"points": [0, np.nan]}, r"expected finite points, got nan at point 1; try"),
        ({"points": [True, False]}, r"expected points as numbers, .* got \[True, False\]; try"),
        ({"points": [[1, 2], [3]]}, r"expected points as numbers, .* got \[\[1, 2\], \[3\]\]; try"),
        ({"points": np.array([1.0, 2.0])}, r"expected points of shape \(point, axis\), got \(2,\); try"),
        ({"weights": [1, 1]}, r"expected 4 positive quadrature weights, one a point, got \[1, 1\]; try"),
        ({"weights": [1, 1, 1, 0]}, r"expected 4 positive quadrature weights, .* got \[1, 1, 1, 0\]; try"),
        ({"weights": "heavy"}, r"expected 4 positive quadrature weights, .* got heavy; try"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Study.of(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net = cos", r"expected TOML in study\.toml, got .*line 1.*; try lines such as width = 50"),
        ("widht = 3", r"expected one of \d+ settings, the nearest being .*, got 'widht'; try 'width'"),
        ("[study]\nwidth = 3", r"expected one of \d+ settings, the nearest being .*, got 'study'; try"),
        (None, r"expected a study file, got '.*study\.toml', no such file; try"),
    ],
)
def test_bad_files_are_refused(text, message, tmp_path):
    if text is not None:
        (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        Study.from_toml(tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": list(range(15)), "space": "readout"}, r"expected at most 10 points .* got 15; try fewer"),
        ({"points": list(range(15)), "method": "tree"}, r"expected at most 10 points .* got 15; try fewer"),
        (
            {"net": "relu", "points": [-3, -1, 1, 3]},
            r"expected points whose Gram matrix can be inverted .*, got .*; `nnft models` says .* suit relu",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_networks_are_drawn(settings, message, tmp_path, no_work):
    with pytest.raises(ValueError, match=message) as refusal:
        run(Study.of(settings), tmp_path / "out")
    assert not isinstance(refusal.value, NoFit)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_refused_before_networks_are_drawn(tmp_path, no_work):
    for work in (
        lambda: run(Study(), tmp_path),
        lambda: fit_samples(np.zeros((5, 1)), [0.0], tmp_path),
    ):
        with pytest.raises(ValueError, match=r"expected a folder that does not exist yet, got .*; try"):
            work()


def test_a_run_is_repeated_by_its_own_file(tmp_path, quick):
    """Bit by bit."""
    first = run(Study(seed=4, **SMALL), tmp_path / "first")
    (tmp_path / "study.toml").write_text(first.attrs["study"])
    again = run(Study.from_toml(tmp_path / "study.toml"), tmp_path / "again")
    for group in ("posterior", "prior", "observed_data"):
        assert again[group].to_dataset().equals(first[group].to_dataset())
    assert first.attrs["ensemble_key"] == str(np.asarray(jax.random.key_data(jax.random.key(4))).tolist())
    assert first.attrs["key"] == str(np.asarray(jax.random.key_data(jax.random.key(5))).tolist())
    assert (first.attrs["warmup"], first.attrs["prior_scale"], first.attrs["networks"]) == (10, 1.0, 5000)
    assert dict(first["posterior"].sizes)["chain"] == 2
    assert dict(first["posterior"].sizes)["draw"] == 50


def test_another_seed_is_another_ensemble_and_another_posterior(samples, quick):
    data = inf.measure(inf.Samples(samples, [[0.0], [1.0]]))
    studies = [Study(seed=seed, points=[0, 1], action="local", draws=50, chains=2) for seed in (4, 4, 5)]
    first, again, other = (study.fit(data)["posterior"].to_dataset() for study in studies)
    assert first.equals(again)
    assert not first.equals(other)
    assert studies[0].ensemble().key == studies[1].ensemble().key != studies[2].ensemble().key


def test_no_fit_carries_what_was_measured(tmp_path):
    with pytest.raises(NoFit, match=r"expected at least 1000 networks to fit couplings .* got 200; try") as refusal:
        run(Study(n=200, points=[0, 2]), tmp_path / "out")
    assert refusal.value.correlators.networks == 200
    assert refusal.value.correlators.orders == (1, 2, 3, 4)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(21).normal(size=(3000, 2))


def test_samples_are_fitted_as_in_a_session(samples, tmp_path, quick):
    """Swapped and named in a file, they give what a session gives with the array and the key of the next seed."""
    fitting = Fitting(action="local", seed=8, draws=50, chains=2)
    points = np.array([[0.0], [1.0]])
    session = closed.fit(inf.Samples(samples, points), m.Local(), key=jax.random.key(9), draws=50, chains=2)
    np.savez(tmp_path / "many.npz", phi=samples.T, points=points, other=samples)
    read = fit_samples(
        str(tmp_path / "many.npz"), None, tmp_path / "file", fitting=fitting, variable="phi", dims=("point", "network")
    )
    assert read["posterior"].to_dataset().equals(session["posterior"].to_dataset())
    assert read.attrs["source"].startswith("Samples(many.npz, n=")


def test_samples_that_allow_no_fit(samples, tmp_path):
    with pytest.raises(NoFit, match="expected at least 1000 networks") as refusal:
        fit_samples(samples[:300], [0, 1], tmp_path / "out")
    assert refusal.value.correlators.networks == 300
    with pytest.raises(NoFit, match="expected at least 1000 networks") as refusal:
        fit_samples(samples[:5], [0, 1], tmp_path / "out")
    assert refusal.value.correlators is None
    many, tree = np.random.default_rng(22).normal(size=(200, 12)), Fitting(method="tree")
    with pytest.raises(NoFit, match=r"expected at most 10 points .* got 12; try") as refusal:
        fit_samples(many, list(range(12)), tmp_path / "out", fitting=tree)
    assert refusal.value.correlators.orders == (1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"expected 2 positive quadrature weights, .* got \[1\.0\]; try"):
        fit_samples(samples, [0, 1], tmp_path / "out", fitting=Fitting(weights=[1.0]))
    assert list(tmp_path.iterdir()) == []


def test_ways_to_write_points(tmp_path):
    line = [[-3.0], [-1.0], [1.5]]
    np.save(tmp_path / "p.npy", line)
    for given in ("-3,-1,1.5", [-3, -1, 1.5], (-3.0, -1.0, 1.5), line, np.array(line), tmp_path / "p.npy"):
        assert read_points(given).tolist() == line
    assert read_points(str(tmp_path / "p.npy")).tolist() == line
    assert read_points(2).tolist() == read_points("2").tolist() == [[2.0]]
    assert read_points([[1, 2], [3, 4]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("given", ["1,x", "somewhere", "", "p.npy,1", "-1,,1"])
def test_words_that_are_no_points(given):
    with pytest.raises(ValueError, match=r"expected points as numbers or a file .*, got '.*'; try -3,-1,1,3"):
        read_points(given)
