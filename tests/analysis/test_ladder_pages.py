"""Every rung of the ladder, method and sampler: its checks ask the right questions, its page and command line hold it.

One small fit a rung, drawn from the closed posterior; gold and smooth fits are given what NUTS would add, which takes
its time to compile. The two lattices come from the command line. What a check must see is planted; no verdict here
depends on chance but those of a guide on a Gaussian posterior: k-hat below .7, and a mean of 1000 draws within 0.2 sd
of the truth, missed by one seed in 10^5; its twin is shifted by 0.4 sd.
"""

import json
import re
from importlib import import_module
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

from nnft import inference as inf
from nnft import models as m
from nnft.analysis import diagnose, load, report, summary
from nnft.analysis.checks.boundedness import boundedness_checks
from nnft.analysis.checks.diagnose import LIMITS
from nnft.analysis.cli import main
from nnft.analysis.figures import posterior as plots
from nnft.analysis.pages.formulas import mathml
from nnft.analysis.pages.page import page
from nnft.analysis.pages.session import command, session
from nnft.analysis.reading.couplings import HYPER
from nnft.analysis.reading.fit import Reading
from nnft.analysis.studies.study import Fitting, NoFit, fit_samples
from nnft.models.theories.recipes import described
from tests import closed
from tests.analysis.test_page import Tags
from tests.oracles import planted

pytestmark = pytest.mark.usefixtures("remembered_minima")
KEY = jax.random.key(1)
POINTS = np.array([[0.0], [1.0], [2.0]])
SMALL = {"sampler": inf.Closed(chains=2, draws=50)}


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


SHAPE = (5, 5)  # more sites than a four-point function is measured at
RUNGS = {
    "ring": (m.TranslationInvariant(shape=(3,)), {}),
    "sextic": (m.FullSextic(), {}),
    "modes": (m.Modes(count=2), {}),
    "tree": (m.Bilocal(), {"method": "tree"}),
    "pseudo": (m.Constant(), {"method": "pseudo"}),
    "svi": (m.Local(), {"sampler": inf.Variational(chains=2, draws=500)}),
    "gold": (m.Constant(), {"method": "gold"}),
    "smooth": (m.Bilocal(), {"prior": inf.SmoothPrior()}),
    "phi4": (m.LatticePhi4(shape=SHAPE), {}),
    "square": (m.TranslationInvariant(shape=SHAPE, reach=1), {}),
}
LINES = {
    "phi4": "fit grid.npy --action lattice_phi4 --set shape=[5,5]",
    "square": "fit rows.npy --action translation_invariant --set shape=[5,5] --set reach=1",
}


@pytest.fixture(scope="module")
def rungs(fields, tmp_path_factory):
    """Shared: change a copy(deep=True), never these."""
    made = {}
    for name, (one, settings) in RUNGS.items():
        if name in ("ring", "sextic", "modes", "tree"):
            made[name] = inf.fit(inf.Samples(fields, POINTS), one, key=KEY, **(SMALL | settings))
        if name in ("pseudo", "svi", "gold"):
            made[name] = inf.fit(inf.Samples(fields[:1500, :1], POINTS[:1]), one, key=KEY, **(SMALL | settings))
    made["gold"] = closed.as_nuts(made["gold"], KEY)
    made["gold"].attrs |= {"reference_verdict": "ok", "reference_why": "The reference reaches it."}
    made["gold"].attrs |= {"reference_worth": 30_000.0, "reference_khat": -np.inf}
    made["smooth"] = smooth(made["tree"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("lattices"))
        patch.setattr(import_module("nnft.analysis.pages.report"), "page", lambda fit, checks: "<p>page</p>")
        np.save("grid.npy", lattice(SHAPE, 600))
        np.save("rows.npy", lattice(SHAPE, 600).reshape(600, 25))
        for name, line in LINES.items():
            words = f"{line} --sampler closed --set draws=50 --set chains=2 --quiet -o {name}".split()
            assert main(words) == 0
            made[name] = load(name)
    return made


def smooth(tree):
    """A bilocal fit under the name of a smooth one, with hyper-parameters."""
    fit = closed.as_nuts(tree.copy(deep=True), KEY)
    prior = inf.SmoothPrior()
    fit.attrs |= {"method": "score", "prior": prior.word, "prior_name": prior.name, "prior_meaning": prior.meaning}
    made = {"method": inf.Score(), "sampler": inf.Nuts(), "prior": prior}
    fit.attrs["made_with"] = json.dumps({name: described(one) for name, one in made.items()})
    fit["constant_data"] = xr.DataTree(fit["constant_data"].to_dataset().drop_vars(["truncation_bias", "closed_mean"]))
    rng = np.random.default_rng(9)
    for group in ("posterior", "prior"):
        data = fit[group].to_dataset()
        shape = (data.sizes["chain"], data.sizes["draw"], 3)
        laws = {name: (("chain", "draw", "block"), rng.lognormal(size=shape)) for name in HYPER}
        fit[group] = xr.DataTree(data.assign(laws).assign_coords(block=list("guv")))
    return fit


def named(fit, **attrs):
    """Checks by name, of a fit with other attributes."""
    copy = fit.copy(deep=True)
    copy.attrs.update(attrs)
    return {check.name: check for check in diagnose(copy)}


@pytest.fixture(scope="module")
def pages(rungs):
    """Checks and page of each, their figures counted and not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        pages = import_module("nnft.analysis.pages.page")
        patch.setattr(
            pages,
            "drawn_figure",
            lambda figure, title, caption, seen: {"title": title, "data": "", "caption": caption, "seen": seen},
        )
        patch.setattr(pages, "plots", SimpleNamespace(**{name: lambda fit: None for name in plots.__all__}))
        return {name: (checks := diagnose(fit), page(fit, checks)) for name, fit in rungs.items()}


@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_has_checks_and_a_page(rungs, pages, name):
    fit, (checks, made) = rungs[name], pages[name]
    assert Reading(fit).action == RUNGS[name][0]
    assert all(c.value and c.limit and c.why.endswith(".") for c in checks)
    tags = Tags()
    tags.feed(made)
    assert tags.open == []
    assert not re.search(r"\b(nan|None|inf)\b|\$", re.sub(r"<pre>.*?</pre>|<[^>]+>", "", made, flags=re.S))
    for coupling in Reading(fit).every_coupling:
        assert f">{mathml(coupling.tex)}</th>" in made
    measured = "G4" in fit["observed_data"]
    assert {"eps4", "sign of the kurtosis"} <= {c.name for c in checks} or not measured
    assert ("Connected four-point function</h3>" in made) == measured
    assert ("G4c inside the band" in {c.name for c in checks}) == ("predictions" in fit.children)
    assert ("Traces and ranks" in made) == (fit.attrs["sampler"] == "nuts")


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
    assert seen.get("method", inf.Score()).word == attrs["method"]
    assert seen.get("sampler", inf.Nuts()).word == attrs["sampler"]
    assert seen.get("prior") == RUNGS[name][1].get("prior")


def test_reports_come_back_from_their_files(rungs, tmp_path, monkeypatch):
    """A lattice with its figures, the others without: loaded, the same checks, and the couplings in the JSON."""
    figures = import_module("nnft.analysis.pages.page")
    for name in ("phi4", "sextic", "smooth"):
        folder = report(rungs[name], tmp_path / name).parent
        assert diagnose(load(folder)) == diagnose(rungs[name])
        monkeypatch.setattr(figures, "_figures", lambda fit: [])
        read = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert (read["method"], read["sampler"]) == ("score", rungs[name].attrs["sampler"])
        assert [c["name"] for c in read["couplings"]] == [c.site for c in Reading(rungs[name]).every_coupling]


def test_draws_that_are_no_chains_are_not_asked_for_convergence(rungs):
    chains = {"R-hat", "ESS bulk", "ESS tail", "divergences", "E-FMI"}
    for name, fit in rungs.items():
        asked = chains & set(named(fit))
        assert asked == (chains if fit.attrs["sampler"] == "nuts" else set()), name
    assert named(rungs["phi4"])["draws of the closed form"].value == "100"


@pytest.mark.parametrize(("khat", "verdict"), [(0.69, "pass"), (0.71, "fail"), (np.nan, "fail")])
def test_a_guide_is_judged_by_its_weights(rungs, khat, verdict):
    assert named(rungs["svi"])["k-hat of the guide"].verdict == "pass"
    assert named(rungs["svi"], guide_khat=khat)["k-hat of the guide"].verdict == verdict


def test_a_guide_is_held_against_the_closed_form(rungs):
    fit = rungs["svi"].copy(deep=True)
    assert named(fit)["guide against closed form"].verdict == "pass"
    fit["posterior"]["g"].values[...] += 0.4 * fit["posterior"]["g"].values.std(axis=(0, 1))
    assert named(fit)["guide against closed form"].verdict == "fail"


@pytest.mark.parametrize(("word", "verdict"), [("ok", "pass"), ("flagged", "warn"), ("refused", "fail")])
def test_the_reference_of_a_gold_fit(rungs, word, verdict):
    found = named(rungs["gold"], reference_verdict=word, reference_khat=0.25)["reference fields"]
    assert (found.verdict, found.value) == (verdict, "30 000 effective, 30.0 a network, k-hat 0.25")
    assert named(rungs["gold"])["reference fields"].value.endswith("no tail")
    assert named(rungs["gold"])["likelihood against Fisher step"].verdict == "pass"
    assert "naive over calibrated error" not in named(rungs["gold"])


def test_the_bias_of_tree_level_is_in_units_of_the_error(rungs, pages, monkeypatch):
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
    assert ">truncation bias</th>" in pages["tree"][1]


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
    kernel = Reading(rungs["phi4"]).two_point
    row = rungs["phi4"]["constant_data"]["two_point"].values
    np.testing.assert_array_equal(kernel[0], row)
    assert kernel[7, 7] == row[0]
    assert kernel[sum((1 * 5, 2)), sum((3 * 5, 1))] == row[2 * 5 + 4]  # from (1, 2) to (3, 1): two down, one back
    np.testing.assert_allclose(Reading(rungs["phi4"]).field_scale ** 2, row[0])


def test_couplings_of_a_lattice_are_named_by_displacement(rungs):
    assert [c.text for c in Reading(rungs["ring"]).every_coupling] == [
        "g",
        "u(1)",
        "u(-1)",
        "v(1)",
        "q(0)",
        "q(1)",
    ]
    assert [c.text for c in Reading(rungs["phi4"]).every_coupling] == [
        "lambda",
        "kappa",
        "m2",
    ]
    assert {c.tex for c in Reading(rungs["square"]).couplings} >= {"g", "u(1,-1)", "v(1,0)"}
    axis = plots.plot_couplings(rungs["ring"]).axes[0]
    (u,) = [c for c in axis.containers if c.get_label() == "$u(r)$"]
    mean = rungs["ring"]["posterior"]["u"].mean(("chain", "draw"))
    shown = dict(zip(u.lines[0].get_xdata(), u.lines[0].get_ydata(), strict=True))
    assert shown == {int(str(r)): float(value) for r, value in zip(mean["u_step"].values, mean.values, strict=True)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("phi4", ["no factor 1/2 or 1/4!", "convert_lattice", "on a periodic 5 × 5 lattice", "belong to this lattice"]),
        ("square", ["meets each pair once", "Displacements reach 1"]),
        (
            "smooth",
            ["Gaussian process", "another marginal", "under a smooth prior", mathml(r"\ell_{u}"), "hyper-parameters"],
        ),
        ("sextic", [mathml("g_{abcdef}"), mathml(r"\varphi^{-6}")]),
        ("modes", [mathml(r"K v_k = \kappa_k v_k"), "list of modes", "of the two-point function (the first"]),
        ("gold", ["reference fields drawn from the action"]),
        ("tree", ["Inverting the connected four-point function at tree level", "Fitted by score matching"]),
        ("pseudo", ["pseudo-likelihood (every point given the others)"]),
    ],
)
def test_a_page_says_what_its_couplings_mean(pages, name, words):
    assert [word for word in words if word not in pages[name][1]] == []


def test_configurations_need_no_points(rungs, tmp_path, monkeypatch):
    """In rows, as a grid, and with their points: the same samples; the line on the page asks for the same fit."""
    monkeypatch.chdir(tmp_path)
    grid = lattice((4, 4), 400)
    np.save("grid.npy", grid)
    np.save("rows.npy", grid.reshape(-1, 16))
    np.save("sites.npy", sites((4, 4)))
    np.savez("named.npz", phi=grid.reshape(-1, 16), points=sites((4, 4)) + 1.0)
    seen = []

    def remember(self, data, progress=False):
        seen.append((self, data))
        raise ValueError("expected nothing, got asked; try later")

    monkeypatch.setattr(Fitting, "fit", remember)
    for words in ("grid.npy", "rows.npy", "grid.npy --points sites.npy", "named.npz"):
        assert main(f"fit {words} --action lattice_phi4 --set shape=[4,4] --quiet -o out".split()) == 2
    for fitting, data in seen:
        np.testing.assert_array_equal(data.read(0, 400), grid.reshape(-1, 16))
        assert fitting.made_action() == m.LatticePhi4(shape=(4, 4))
    moved = [float(data.points[0, 0]) for _, data in seen]
    assert moved == [0.0, 0.0, 0.0, 1.0]  # the points a file holds come before the sites


@pytest.mark.parametrize("name", LINES)
def test_the_line_of_a_lattice_makes_its_fit(rungs, name):
    line = command(rungs[name])
    assert LINES[name] == re.sub(r" --seed 0| --sampler closed| --set (draws|chains)=\d+| -o out/$|^nnft ", "", line)
    assert rungs[name].attrs["source"].startswith(f"Samples({LINES[name].split()[1]}, n=600")
    assert ".reshape(-1, 25)" in session(rungs[name])


def test_a_kinetic_term_that_is_given_is_said():
    assert r"$\kappa = 0.5$ is given, and not fitted" in m.LatticePhi4(shape=(4, 4), kappa=0.5).meaning


def test_a_fit_that_a_method_refuses_says_why(fields, tmp_path):
    many = np.random.default_rng(22).normal(size=(200, 12))
    with pytest.raises(NoFit, match=r"expected at most 10 points for a fit to correlators .* got 12; try"):
        fit_samples(many, list(range(12)), tmp_path / "out", fitting=Fitting(method="tree"))
    with pytest.raises(NoFit, match=r"expected 9 points for shape \(3, 3\), got 3; try|expected .* got .*; try"):
        fit_samples(fields, [0, 1, 2], tmp_path / "out", fitting=Fitting(action="lattice_phi4", shape=[3, 3]))
    assert list(tmp_path.iterdir()) == []
