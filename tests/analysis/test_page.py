"""The page stands alone, holds what was found and checked, and tells how to find it again."""

import json
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

from nnft import inference as inf
from nnft import models as m
from nnft.analysis import diagnose
from nnft.analysis.checks.diagnose import Check
from nnft.analysis.cli import main
from nnft.analysis.pages.captions import four_point_caption
from nnft.analysis.pages.formulas import mathml
from nnft.analysis.pages.page import page
from nnft.analysis.pages.session import command, session
from nnft.analysis.reading.fit import Reading
from nnft.analysis.reading.typesetting import typeset
from nnft.analysis.studies.study import read_points
from nnft.models.theories.recipes import described

ACTIONS = ["Bilocal", "Local", "Constant", "FullQuartic"]
PLOTS = ("couplings", "four_point", "schwinger_dyson", "prior_posterior", "trace_rank")
PASS = Check("R-hat", "1.0012", "<= 1.01", "pass", "Chains agree.")
WARN = Check("share of the gain", "12.0% +- 1.0%", ">= 90%", "warn", "Part of the gain.")
FAIL = Check("eps4", "0.41 +- 0.02", "< 0.3", "fail", "Too far from Gaussian.")
NOTE = Check("resolved combinations", "3 of 4", "none", "note", "Counted.")


def made_of(fit, **words):
    """Another origin of the networks of a fit."""
    fit.attrs["recipe"] = json.dumps(json.loads(fit.attrs["recipe"]) | words)


@pytest.fixture(scope="module")
def checks(small_fit):
    return diagnose(small_fit)


@pytest.fixture(scope="module")
def html(small_fit, checks):
    return page(small_fit, checks)


class Tags(HTMLParser):
    """Checks that tags close in order; collects identifiers, local links and whatever would be loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.loads, self.alts = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        self.loads += [(tag, values[name]) for name in ("src", "srcset", "data", "poster") if name in values]
        if tag in ("script", "link", "iframe", "object", "embed", "base"):
            self.loads.append((tag, str(values)))
        if tag == "img":
            self.alts.append(values["alt"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone(html):
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert len(set(tags.ids)) == len(tags.ids)
    assert {link.removeprefix("#") for link in tags.links} <= set(tags.ids)
    assert all(link.startswith("#") for link in tags.links)
    assert len(tags.loads) == 5
    assert all(tag == "img" and source.startswith("data:image/svg+xml;base64,") for tag, source in tags.loads)
    assert all(tags.alts)
    assert not re.search(r"https?:|url\(|@import|\bon\w+=", re.sub(r"base64,[^\"]*", "", html))


def test_the_page_says_what_was_checked_and_found(html, small_fit, checks):
    text = unescape(re.sub(r"<[^>]+>", "", html))
    for check in checks:
        name = typeset(check.name).replace("p_eff", "peff").replace("ε₄", "ε4").replace("G₄ᶜ", "G4c")
        assert re.search(rf"{re.escape(name)}\W+{check.verdict}", text)
    for coupling in Reading(small_fit).every_coupling:
        assert f">{mathml(coupling.tex)}</th>" in html
    for text_of in ("belong to this set of points", "λ0 diagonal", "units", "Network(neuron=Cos(), width=20)"):
        assert text_of in text
    assert "$" not in text  # every place of the frame is filled
    assert not re.search(r"\b(nan|None|inf)\b", re.sub(r"<pre>.*?</pre>|<[^>]+>", "", html, flags=re.S))


def test_the_table_holds_the_posterior(html, small_fit):
    draws = small_fit["posterior"]["u"].values[:, :, 3]
    row = re.search(rf"<th scope='row'>{re.escape(mathml('u_{12}'))}</th>(.*?)</tr>", html)[1]
    cells = [unescape(cell).replace("−", "-") for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
    assert small_fit["posterior"]["ordered_pair"].values[3] == "1,2"
    assert float(cells[0]) == pytest.approx(draws.mean(), abs=0.06 * draws.std())
    assert float(cells[1]) == pytest.approx(draws.std(ddof=1), rel=0.05)
    low, high = map(float, cells[2].strip("[]").split(","))
    assert [low, high] == pytest.approx(np.quantile(draws, [0.055, 0.945]), abs=0.06 * draws.std())
    assert float(cells[3]) == pytest.approx(small_fit["prior"]["u"].values[:, :, 3].std(ddof=1), rel=0.05)


def test_foreign_text_is_text(small_fit, monkeypatch):
    fit = small_fit.copy(deep=True)
    made_of(fit, model={"function": "<script>alert(1)</script> & Co"})
    fit.attrs["study"] = "net = '<b>'"
    monkeypatch.setattr("nnft.analysis.pages.page._figures", lambda fit: [])
    made = page(fit, [Check("<i>", "a < b", "<= 1", "warn", "<u>why</u>")])
    assert "<script" not in made
    assert not re.search(r"<i>|<u>|<b>'", made)
    assert "&lt;script&gt;" in made
    Tags().feed(made)


def test_long_tables_are_folded(small_fit, monkeypatch):
    monkeypatch.setattr("nnft.analysis.pages.page._figures", lambda fit: [])
    assert "All 18 couplings" not in page(small_fit, [PASS])
    monkeypatch.setattr("nnft.analysis.pages.page._LONG", 10)
    assert "<details><summary>All 18 couplings</summary>" in page(small_fit, [PASS])


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_a_page(fits, action, monkeypatch):
    monkeypatch.setattr(
        "nnft.analysis.pages.page.drawn_figure",
        lambda figure, title, caption, seen: {"title": title, "data": "", "caption": caption, "seen": seen},
    )
    monkeypatch.setattr(
        "nnft.analysis.pages.page.plots", SimpleNamespace(**{f"plot_{n}": lambda fit: None for n in PLOTS})
    )
    made = page(fits[action], [PASS, WARN, FAIL, NOTE])
    Tags().feed(made)
    assert "4 checks: 1 fails, 1 warns, 1 passes, 1 notes" in re.sub(r"<[^>]+>", "", made)
    assert ("Schwinger–Dyson residuals" in made) == (action != "FullQuartic")  # whose equations the fit solves


def test_the_session_repeats_the_fit(small_fit, monkeypatch):
    """The lines run, and call ensemble and fit with what made this fit."""
    fit = small_fit.copy(deep=True)
    key = np.asarray(jax.random.key_data(jax.random.key(5))).tolist()
    made = {"sampler": inf.Nuts(warmup=200, draws=200), "prior": inf.UnitInformation(2.0), "method": inf.Score()}
    fit.attrs["made_with"] = json.dumps({name: described(one) for name, one in made.items()})
    lines = session(fit).splitlines()
    assert lines[-1].startswith("an.report")
    seen = {}
    monkeypatch.setattr(inf, "measure", lambda ens: ens)
    monkeypatch.setattr(inf, "fit", lambda data, action, **options: seen.update(data=data, action=action, **options))
    exec("\n".join(lines[:-1]), {})
    data = seen.pop("data")
    assert repr(data) == fit.attrs["source"]
    assert data.n == 20_000
    np.testing.assert_array_equal(jax.random.key_data(data.key), key)
    np.testing.assert_array_equal(jax.random.key_data(seen.pop("key")), [0, 6])
    assert {k: v for k, v in seen.items() if k != "action"} == {
        "sampler": inf.Nuts(warmup=200, draws=200),
        "prior": inf.UnitInformation(2.0),
    }
    assert type(seen["action"]).__name__ == "Bilocal"


def test_the_network_is_a_line_of_the_session(small_fit):
    fit = small_fit.copy(deep=True)
    made_of(fit, model=described(m.Network(m.Gauss(bias_scale=0.3), width=200, output_bias=0.5)))
    assert "\nnet = m.Network(neuron=m.Gauss(bias_scale=0.3), width=200, output_bias=0.5)\n" in session(fit)


def test_the_command_repeats_the_fit_of_a_file(small_fit, monkeypatch, tmp_path):
    """The line is parsed by `nnft` and asks for the same fit."""
    fit = small_fit.copy(deep=True)
    made_of(fit, kind="samples", file="my file.npy", model=None)
    fit.attrs |= {"prior_scale": 2.0, "warmup": 200}
    fit["constant_data"]["weights"][:] = [0.5, 1.0, 0.5]
    seen = {}
    monkeypatch.setattr(
        "nnft.analysis.studies.study.fit_samples",
        lambda file, points, out, **more: seen.update(file=file, points=points, **more),
    )
    monkeypatch.setattr("nnft.analysis.cli._finish", lambda work, *_, **__: work() or 0)
    assert main(shlex.split(command(fit))[1:]) == 0
    fitting = seen["fitting"]
    assert seen["file"] == "my file.npy"
    np.testing.assert_array_equal(read_points(seen["points"])[:, 0], [-2.0, 0.0, 2.0])
    assert (fitting.action, fitting.seed, fitting.draws, fitting.warmup) == ("bilocal", 5, 200, 200)
    assert (fitting.prior_scale, list(fitting.weights)) == (2.0, [0.5, 1.0, 0.5])


def test_the_page_says_what_phi_is(small_fit, monkeypatch):
    monkeypatch.setattr("nnft.analysis.pages.page._figures", lambda fit: [])
    fit = small_fit.copy(deep=True)
    made = page(fit, [PASS])
    assert "<h1>Bilocal quartic action of cosine networks of width 20</h1>" in made
    assert "cos(w.x + c)" in made
    assert "quartic part is negative" not in made
    negative = Check("draws unbounded below", "98.5% of 200", "0%", "warn", "Negative.")
    assert "In 98.5\u202f% of 200 posterior draws the quartic part is negative" in page(fit, [negative])
    made_of(fit, model={"function": "mine"})
    assert "the field of the NumPyro model <code>mine</code>" in page(fit, [PASS])
    made_of(fit, kind="samples", file="mine.npy", model=None)
    made = page(fit, [PASS])
    assert "<h1>Bilocal quartic action of networks read from mine.npy</h1>" in made
    assert "the field as it was given" in made


def test_captions_name_rows_that_are_there(small_fit):
    fit = small_fit.copy(deep=True)
    assert "0012 is that of" in four_point_caption(fit)
    for points, label in ((1, "0000"), (2, "0011")):
        constants = fit["constant_data"].to_dataset().isel(x=slice(points))
        assert f"({label} is that of" in four_point_caption(
            xr.DataTree.from_dict({**{k: v.to_dataset() for k, v in fit.children.items()}, "constant_data": constants})
        )


def test_the_session_says_what_it_does_not_know(small_fit):
    fit = small_fit.copy(deep=True)
    assert re.search(r"inf\.Ensemble\(net, points=points, n=[\d_]+, key=jax\.random\.key\(\d+\)\)", session(fit))
    made_of(fit, model={"function": "mine"})
    assert "net = ...  # the NumPyro model mine\n" in session(fit)
    assert command(fit) == ""
    made_of(fit, kind="samples", file="mine.npy", model=None)
    assert "inf.Samples('mine.npy', points)" in session(fit)
    made_of(fit, file=None)
    assert "inf.Samples(..., points)" in session(fit)
    assert command(fit) == ""
    fit["constant_data"]["weights"][:] = 2.0
    assert "weights=np.array([2.0, 2.0, 2.0])" in session(fit)
    fit.attrs["key"] = "[7, 8]"
    assert "jax.random.wrap_key_data(np.array([7, 8], dtype=np.uint32))" in session(fit)


def test_a_fit_of_an_earlier_version_has_a_page_that_says_less(small_fit, monkeypatch):
    """Without the recipe nothing is taken apart: its words stand as they are, and the session asks for the data."""
    monkeypatch.setattr("nnft.analysis.pages.page._figures", lambda fit: [])
    fit = small_fit.copy(deep=True)
    del fit.attrs["recipe"]
    made = page(fit, [PASS])
    assert "of networks from Network(neuron=Cos(), width=20)" in made
    assert "φ is the field as it was given" in made
    assert "data = ...  # Ensemble(" in session(fit)
    assert command(fit) == ""
