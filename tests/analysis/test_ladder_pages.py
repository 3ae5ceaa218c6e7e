"""Every rung of the ladder, method and sampler: its checks ask the right questions, its page and command line hold it.

One small fit a rung, of fields with a known bounded action, most of them drawn from the closed posterior. What a check
must see is planted; no verdict here depends on chance but k-hat, which a Gaussian posterior passes always.
"""

import json
import re
import shlex

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.analysis import plots
from nnft.analysis.boundedness import boundedness_checks
from nnft.analysis.cli import main
from nnft.analysis.couplings import action, couplings, field_scale, hyper_parameters, two_point
from nnft.analysis.diagnostics import LIMITS, diagnose
from nnft.analysis.page import page
from nnft.analysis.report import load, report, summary
from nnft.analysis.session import command, session
from nnft.analysis.study import Fitting, NoFit, Study, fit_samples
from tests.analysis.test_page import Tags
from tests.oracles import planted

KEY = jax.random.key(1)
POINTS = np.array([[0.0], [1.0], [2.0]])
SMALL = {"draws": 50, "chains": 2, "warmup": 50}


def lattice(shape, n):
    """Free configurations, kappa = 1/2 and m2 = 0.3, (network, *shape)."""
    waves = np.meshgrid(*[2.0 - 2.0 * np.cos(2.0 * np.pi * np.arange(s) / s) for s in shape], indexing="ij")
    root = 1.0 / np.sqrt(2.0 * (0.5 * sum(waves) + 0.3))
    noise = np.random.default_rng(5).normal(size=(n, *shape))
    axes = tuple(range(1, len(shape) + 1))
    return np.fft.ifftn(np.fft.fftn(noise, axes=axes) * root, axes=axes).real


def sites(shape):
    return np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1).astype(float)


@pytest.fixture(scope="module")
def fields():
    return planted("lat", 0.05, 3).draw(4000, np.random.default_rng(3))


@pytest.fixture(scope="module")
def samples(fields):
    return inf.Samples(fields, POINTS)


RUNGS = {
    "ring": (m.TranslationInvariant(shape=(3,)), {}),
    "line": (m.TranslationInvariant(), {}),
    "sextic": (m.FullSextic(), {}),
    "modes": (m.Modes(count=2), {}),
    "pseudo": (m.Constant(), {"method": "pseudo"}),
    "tree": (m.Bilocal(), {"method": "tree"}),
    "svi": (m.Local(), {"sampler": "svi", "draws": 500}),
    "smooth": (m.SmoothBilocal(), {"sampler": "nuts"}),
    "gold": (m.Constant(), {"sampler": "nuts", "method": "gold"}),
    "phi4": (m.LatticePhi4(shape=(5, 5)), {}),
    "fixed": (m.LatticePhi4(shape=(5, 5), kappa=0.5), {}),
    "square": (m.TranslationInvariant(shape=(5, 5), reach=1), {}),
}


@pytest.fixture(scope="module")
def rungs(samples):
    """Shared: change a copy(deep=True), never these."""
    shape = (5, 5)
    grid = inf.Samples(lattice(shape, 600).reshape(-1, 25), sites(shape))
    made = {}
    for name, (one, settings) in RUNGS.items():
        data = grid if getattr(one, "shape", None) == shape else samples
        made[name] = inf.fit(data, one, key=KEY, **(SMALL | {"sampler": "closed"} | settings))
    return made


def named(fit):
    return {check.name: check for check in diagnose(fit)}


def changed(fit, **attrs):
    copy = fit.copy(deep=True)
    copy.attrs.update(attrs)
    return copy


@pytest.fixture(scope="module")
def pages(rungs):
    """Checks and page of each, their figures counted and not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnft.analysis.page._figure", lambda figure, alt, caption: f"<figure>{alt}{caption}</figure>")
        return {name: (checks := diagnose(fit), page(fit, checks)) for name, fit in rungs.items()}


@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_has_checks_and_a_page(rungs, pages, name):
    fit, (checks, made) = rungs[name], pages[name]
    assert action(fit) == RUNGS[name][0]
    assert all(c.value and c.limit and c.why.endswith(".") for c in checks)
    tags = Tags()
    tags.feed(made)
    assert tags.open == []
    assert not re.search(r"\b(nan|None|inf)\b|\$", re.sub(r"<pre>.*?</pre>|<[^>]+>", "", made, flags=re.S))
    for coupling in (*couplings(fit, quadratic=True), *hyper_parameters(fit)):
        assert f">{coupling.html}</th>" in made
    measured = "G4" in fit["observed_data"]
    assert {"eps4", "sign of the kurtosis"} <= {c.name for c in checks} or not measured
    assert ("it has too many components" in made) == (not measured)
    assert ("G4c inside the band" in {c.name for c in checks}) == ("posterior_predictive" in fit.children)
    assert ("there are no chains to look at" in made) == (fit.attrs["sampler"] != "nuts")


@pytest.mark.parametrize("name", RUNGS)
def test_every_figure_draws_or_says_why_not(rungs, name):
    fit = rungs[name]
    for plot in (plots.plot_couplings, plots.plot_prior_posterior, plots.plot_trace_rank):
        assert plot(fit).axes
    if "G4" in fit["observed_data"]:
        assert plots.plot_four_point(fit).axes
    else:
        with pytest.raises(ValueError, match=r"expected a fit with a measured four-point function, got .*; try"):
            plots.plot_four_point(fit)


@pytest.mark.parametrize("name", RUNGS)
def test_the_printout_of_every_rung_is_short(rungs, pages, name):
    lines = summary(rungs[name], checks=pages[name][0]).splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", RUNGS)
def test_the_session_repeats_action_method_and_sampler(rungs, name, monkeypatch):
    seen = {}
    monkeypatch.setattr(inf, "fit", lambda data, one, **options: seen.update(action=one, **options))
    line = next(line for line in session(rungs[name]).splitlines() if line.startswith("fit = "))
    exec(line, {"inf": inf, "m": m, "jax": jax, "data": None})
    attrs = rungs[name].attrs
    assert seen["action"] == RUNGS[name][0]
    assert seen.get("method", "score") == attrs["method"]
    assert seen.get("sampler", "nuts") == attrs["sampler"]


def test_reports_come_back_from_their_files(rungs, tmp_path):
    """A lattice, a sextic and a smooth fit: written with their figures, loaded, the same numbers in the JSON."""
    for name in ("phi4", "sextic", "smooth"):
        folder = report(rungs[name], tmp_path / name).parent
        assert diagnose(load(folder)) == diagnose(rungs[name])
        read = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert (read["method"], read["sampler"]) == ("score", rungs[name].attrs["sampler"])
        assert [c["name"] for c in read["couplings"]] == [
            c.site for c in (*couplings(rungs[name], quadratic=True), *hyper_parameters(rungs[name]))
        ]


def test_draws_that_are_no_chains_are_not_asked_for_convergence(rungs):
    chains = {"R-hat", "ESS bulk", "ESS tail", "divergences", "E-FMI"}
    for name, fit in rungs.items():
        asked = chains & set(named(fit))
        assert asked == (chains if fit.attrs["sampler"] == "nuts" else set()), name
    assert named(rungs["phi4"])["draws of the closed form"].value == "100"


@pytest.mark.parametrize(("khat", "verdict"), [(0.69, "pass"), (0.71, "fail"), (np.nan, "fail")])
def test_a_guide_is_judged_by_its_weights(rungs, khat, verdict):
    assert named(rungs["svi"])["k-hat of the guide"].verdict == "pass"
    assert named(changed(rungs["svi"], guide_khat=khat))["k-hat of the guide"].verdict == verdict


def test_a_guide_is_held_against_the_closed_form(rungs):
    fit = rungs["svi"].copy(deep=True)
    assert named(fit)["guide against closed form"].verdict == "pass"
    fit["posterior"]["g"].values[...] += 0.4 * fit["posterior"]["g"].values.std(axis=(0, 1))
    assert named(fit)["guide against closed form"].verdict == "fail"


@pytest.mark.parametrize(("word", "verdict"), [("ok", "pass"), ("flagged", "warn"), ("refused", "fail")])
def test_the_reference_of_a_gold_fit(rungs, word, verdict):
    fit = changed(rungs["gold"], reference_verdict=word, reference_worth=50_000.0, networks=2500.0)
    found = named(fit)["reference fields"]
    assert found.verdict == verdict
    assert found.value.startswith("50 000 effective, 20.0 a network, k-hat ")
    assert named(rungs["gold"])["reference fields"].verdict == "pass"
    assert "naive over calibrated error" not in named(rungs["gold"])


def test_the_bias_of_tree_level_is_in_units_of_the_error(rungs, monkeypatch):
    """By hand from the tree; at a limit on either side of the largest."""
    fit = rungs["tree"]
    q = int(fit["constant_data"].attrs["quadratic_terms"])
    physical = fit["constant_data"]["truncation_bias"].values[q:] / fit["constant_data"]["factors"].values[q:]
    draws = np.concatenate([fit["posterior"][n].values for n in ("g", "u", "v")], axis=-1)
    ratio = np.abs(physical) / draws.std(axis=(0, 1), ddof=1)
    for factor, verdict in ((1.0 - 1e-9, "warn"), (1.0 + 1e-9, "pass")):
        monkeypatch.setitem(LIMITS, "truncation", ratio.max() * factor)
        found = named(fit)["truncation bias of tree level"]
        assert found.verdict == verdict
    assert found.value == f"largest {ratio.max():.2g} sd, rms {np.sqrt(np.mean(ratio**2)):.2g} sd"
    assert ">truncation bias</th>" in page_of(fit, monkeypatch)


def page_of(fit, monkeypatch):
    monkeypatch.setattr("nnft.analysis.page._figures", lambda fit: [])
    return page(fit, [])


def test_the_highest_form_decides(rungs):
    """The sextic fit made positive: sums of sixth powers alone; then one of them turned round in one draw."""
    fit = rungs["sextic"].copy(deep=True)
    labels = fit["posterior"]["sextuple"].values
    pure = np.array([len(set(str(label).split(","))) == 1 for label in labels])
    fit["posterior"]["g6"].values[...] = np.where(pure, 1.0, 0.0)
    fit["posterior"]["g4"].values[...] = -1.0
    draws, mean = boundedness_checks(fit)
    assert (draws.verdict, mean.value) == ("pass", "bounded")
    fit["posterior"]["g6"].values[0, 0, np.flatnonzero(pure)[1]] = -1e-3
    draws, mean = boundedness_checks(fit)
    assert (draws.verdict, draws.value, mean.value) == ("warn", "1.0% of 100", "bounded")
    assert "no likelihood" in draws.why
    fit["posterior"]["g6"].values[...] *= -1.0
    draws, mean = boundedness_checks(fit)
    assert (draws.value, mean.value) == ("100.0% of 100", "formal (perturbative)")


def test_a_lattice_is_bounded_by_its_one_coupling(rungs):
    fit = rungs["phi4"].copy(deep=True)
    fit["posterior"]["coupling"].values[...] = np.linspace(-1.0, 3.0, 100).reshape(2, 50, 1)
    draws, mean = boundedness_checks(fit)
    assert (draws.value, mean.value) == ("25.0% of 100", "bounded")
    fit["posterior"]["coupling"].values[...] -= 2.0
    assert list(boundedness_checks(fit))[1].value == "formal (perturbative)"


def test_p_eff_counts_what_the_data_determine(rungs):
    """With a prior a million times as narrow as the default the data determine nothing; by hand at one coupling."""
    fit = rungs["phi4"].copy(deep=True)
    assert named(fit)["p_eff"].value == "1.0 of 1"
    fit["constant_data"]["prior_factor"].values[...] *= 1e-6
    assert named(fit)["p_eff"].value == "0.0 of 1"


def test_the_two_point_function_of_a_lattice_is_homogeneous(rungs):
    kernel = two_point(rungs["phi4"])
    row = rungs["phi4"]["constant_data"]["two_point"].values
    np.testing.assert_array_equal(kernel[0], row)
    assert kernel[7, 7] == row[0]
    assert kernel[sum((1 * 5, 2)), sum((3 * 5, 1))] == row[2 * 5 + 4]  # from (1, 2) to (3, 1): two down, one back
    np.testing.assert_allclose(field_scale(rungs["phi4"]) ** 2, row[0])


def test_couplings_of_a_lattice_are_named_by_displacement(rungs):
    assert [c.text for c in couplings(rungs["ring"], quadratic=True)] == ["g", "u(1)", "u(-1)", "v(1)", "q(0)", "q(1)"]
    assert [c.text for c in couplings(rungs["phi4"], quadratic=True)] == ["lambda", "kappa", "m2"]
    assert {c.html for c in couplings(rungs["square"])} >= {"g", "u(1,−1)", "v(1,0)"}
    axis = plots.plot_couplings(rungs["line"]).axes[0]
    (u,) = [c for c in axis.containers if c.get_label() == "$u(r)$"]
    mean = rungs["line"]["posterior"]["u"].mean(("chain", "draw"))
    shown = dict(zip(u.lines[0].get_xdata(), u.lines[0].get_ydata(), strict=True))
    assert shown == {int(str(r)): float(value) for r, value in zip(mean["u_step"].values, mean.values, strict=True)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("phi4", ["no factor 1/2 or 1/4!", "convert_lattice", "on a periodic 5 × 5 lattice", "belong to this lattice"]),
        ("fixed", ["κ = 0.5 is given"]),
        ("square", ["meets each pair once", "Displacements reach 1"]),
        ("smooth", ["Gaussian process", "another marginal", "ℓ<sub>u</sub>", "hyper-parameters"]),
        ("sextic", ["g<sub>abcdef</sub>", "φ<sup>−6</sup>"]),
        ("modes", ["c<sub>k</sub> = v<sub>k</sub>", "list of modes", "of the two-point function (the first"]),
        ("gold", ["reference fields drawn from the action"]),
        ("tree", ["Inverting the connected four-point function at tree level"]),
        ("pseudo", ["pseudo-likelihood (every point given the others)", "Fitted by score matching"]),
    ],
)
def test_a_page_says_what_its_couplings_mean(pages, name, words):
    assert [word for word in words if word not in pages[name][1]] == []


CONFIGS = ["configs.npy --action lattice_phi4 --set shape=[4,4]", "grid.npy --action lattice_phi4 --set shape=[4,4]"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = lattice((4, 4), 400)
    np.save("grid.npy", grid)
    np.save("configs.npy", grid.reshape(-1, 16))
    np.savez("named.npz", phi=grid.reshape(-1, 16), points=sites((4, 4)) + 1.0)
    monkeypatch.setattr("nnft.analysis.report.page", lambda fit, checks: "<p>page</p>")
    return tmp_path


def test_configurations_need_no_points(here, capsys):
    """In rows, as a grid, and named one by one: the same fit; the line on the page makes it again."""
    np.save("sites.npy", sites((4, 4)))
    more = ["--sampler", "closed", "--set", "draws=40", "--quiet", "-o"]
    for k, line in enumerate([*CONFIGS, f"{CONFIGS[0]} --points sites.npy"]):
        assert main(["fit", *shlex.split(line), *more, f"out{k}"]) == 0
    first, second, third = (load(f"out{k}") for k in range(3))
    assert first["posterior"].to_dataset().equals(second["posterior"].to_dataset())
    assert first["posterior"].to_dataset().equals(third["posterior"].to_dataset())
    assert second.attrs["source"].startswith("Samples(grid.npy, n=400")
    again = command(second).replace("-o out/", "-o again --quiet")
    assert "--points" not in again
    assert main(shlex.split(again)[1:]) == 0
    assert load("again")["posterior"].to_dataset().equals(first["posterior"].to_dataset())
    assert "np.load('grid.npy').reshape(-1, 16)" in session(second)


def test_the_points_of_a_file_come_before_the_sites(here):
    fitting = Fitting(action="lattice_phi4", shape=[4, 4], sampler="closed", draws=20)
    fit = fit_samples("named.npz", None, "out", fitting=fitting)
    np.testing.assert_array_equal(fit["constant_data"]["x_position"].values, sites((4, 4)) + 1.0)


def test_settings_of_actions_survive_a_file(tmp_path):
    study = Study(action="translation_invariant", shape=4, reach=1, periodic=False, method="pseudo", sampler="closed")
    assert study.made_action() == m.TranslationInvariant(shape=(4,), reach=1, periodic=False)
    (tmp_path / "study.toml").write_text(study.to_toml(), encoding="utf-8")
    again = Study.from_toml(tmp_path / "study.toml")
    assert again.made_action() == study.made_action()
    assert (again.method, again.sampler) == ("pseudo", "closed")
    assert Study(action="modes", count=3).made_action() == m.Modes(count=3)
    assert Study(action="smooth_bilocal", discrepancy=False).made_action() == m.SmoothBilocal(discrepancy=False)
    assert Study(action="low_rank_bilocal", rank=2).made_action() == m.LowRankBilocal(rank=2)
    assert Study(action="lattice_phi4", shape=[4], kappa=1).made_action() == m.LatticePhi4(shape=(4,), kappa=1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "scroe"}, r"expected method among score, .*, got 'scroe'; try 'score'"),
        ({"sampler": "nutz"}, r"expected sampler among nuts, .*, got 'nutz'; try 'nuts'"),
        ({"sampler": 3}, r"expected sampler to be a word, got 3; try 'nuts'"),
        ({"action": "local", "shape": [4]}, r"expected local with no options, got 'shape'; try leaving it out"),
        ({"action": "lattice_phi4"}, r"expected lattice_phi4 with its shape, kappa, got .*; try shape=\[8,8\]"),
        ({"action": "lattice_phi4", "shape": [8, 1]}, r"expected at least two sites .*, got \(8, 1\); try"),
        ({"action": "lattice_phi4", "shape": "big"}, r"expected shape, .* got 'big'; try 8"),
        ({"action": "modes"}, r"expected modes with its count, action, got .*; try count=4"),
        ({"action": "modes", "count": 0}, r"expected count to be an integer >= 1, got 0; try"),
        ({"action": "low_rank_bilocal", "rank": 1.5}, r"expected rank to be an integer >= 1, got 1\.5; try"),
        ({"action": "translation_invariant", "reach": -1}, r"expected reach to be an integer >= 0, got -1; try"),
        ({"action": "translation_invariant", "periodic": 1}, r"expected periodic to be true or false, got 1; try"),
        ({"action": "lattice_phi4", "shape": [4], "kappa": "k"}, r"expected kappa to be a finite number, got 'k'; try"),
        ({"action": "smooth_bilocal", "sampler": "closed"}, r"expected sampler='nuts' for smooth_bilocal, .*; try"),
        ({"method": "gold", "space": "neuron"}, r"expected space='field' for method='gold', .* got 'neuron'; try"),
        ({"rnak": 2}, r"expected a setting among .*, got 'rnak'; try 'rank'"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Study.of(settings)


def test_a_fit_that_a_method_refuses_says_why(fields, tmp_path):
    many = np.random.default_rng(22).normal(size=(200, 12))
    with pytest.raises(NoFit, match=r"expected at most 10 points for a fit to correlators .* got 12; try"):
        fit_samples(many, list(range(12)), tmp_path / "out", fitting=Fitting(method="tree"))
    with pytest.raises(NoFit, match=r"expected 9 points for shape \(3, 3\), got 3; try|expected .* got .*; try"):
        fit_samples(fields, [0, 1, 2], tmp_path / "out", fitting=Fitting(action="lattice_phi4", shape=[3, 3]))
    assert list(tmp_path.iterdir()) == []
