"""A report is whole or absent, touches nothing else, and gives the fit back; the printout is short."""

import importlib
import json
import os
import shutil

import numpy as np
import pytest
import xarray as xr

from nnft.analysis import diagnose, load, report, summary
from nnft.analysis.checks.diagnose import Check
from nnft.analysis.pages.report import FILES, check_folder
from nnft.analysis.reading.fit import Reading

module = importlib.import_module("nnft.analysis.pages.report")

ACTIONS = ["Bilocal", "Local", "Constant", "FullQuartic"]
PASS = Check("R-hat", "1.0012", "<= 1.01", "pass", "Chains agree.")
WARN = Check("share of the gain", "12.0% +- 1.0%", ">= 90%", "warn", "Part of the gain.")
FAIL = Check("eps4", "0.41 +- 0.02", "< 0.3", "fail", "Too far from Gaussian.")


@pytest.fixture(scope="module")
def checks(small_fit):
    return diagnose(small_fit)


@pytest.fixture(scope="module")
def written(small_fit, checks, tmp_path_factory):
    return report(small_fit, tmp_path_factory.mktemp("reports") / "new" / "out", checks=checks).parent


@pytest.fixture
def quick(monkeypatch):
    """A report without its figures, for tests of files."""
    monkeypatch.setattr(module, "page", lambda fit, checks: "<p>page</p>")


def test_what_is_written(written, small_fit):
    assert sorted(p.name for p in written.iterdir()) == sorted(FILES)
    assert sorted(p.name for p in written.parent.iterdir()) == ["out"]
    current = os.umask(0)
    os.umask(current)
    assert written.stat().st_mode & 0o777 == 0o777 & ~current


def test_the_fit_comes_back_identical(written, small_fit):
    for place in (written, str(written / "fit.nc")):
        again = load(place)
        xr.testing.assert_identical(again, small_fit)
    changed_one = again.copy(deep=True)
    changed_one["posterior"]["g"][0, 0, 0] += 1e-15
    with pytest.raises(AssertionError):
        xr.testing.assert_identical(changed_one, small_fit)


def test_a_reloaded_fit_gives_the_same_report(written, checks, tmp_path):
    again = report(load(written), tmp_path / "again", checks=checks).parent
    for name in ("index.html", "summary.json"):
        assert (again / name).read_bytes() == (written / name).read_bytes()


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


def test_summary_json_is_strict_and_holds_the_numbers(written, small_fit, checks):
    read = json.loads((written / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["action"] == "Bilocal"
    assert read["networks"] == 20_000
    assert read["points"] == [[-2], [0], [2]]
    assert [tuple(check.values()) for check in read["checks"]] == [tuple(check) for check in checks]
    assert read["numbers"]["eps4"] == small_fit["constant_data"].attrs["eps4"]
    entry = next(c for c in read["couplings"] if (c["name"], c["at"]) == ("v", "0,2"))
    assert entry["mean"] == pytest.approx(float(small_fit["posterior"]["v"].sel(cross_pair="0,2").mean()))
    assert len(read["couplings"]) == 18
    assert read["provenance"]["key"] == small_fit.attrs["key"]


def test_what_is_not_finite_becomes_null(small_fit, tmp_path, quick):
    fit = small_fit.copy(deep=True)
    fit["constant_data"].attrs |= {"condition": np.inf, "share": np.nan}
    fit.attrs["networks"] = np.float64(20_000)
    where = report(fit, tmp_path / "out", checks=[PASS]).parent
    read = json.loads((where / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["numbers"]["condition"] is None
    assert read["numbers"]["share"] is None


def test_an_existing_folder_is_kept(small_fit, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"expected a folder that does not exist .*, got .*; try .*force=True \(--force\)"
    ):
        report(small_fit, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_two_runs_into_one_new_folder(small_fit, tmp_path, quick, monkeypatch):
    """Both begin before the folder is there; the first to end keeps it, the other is told, and `force` replaces."""
    save, out = xr.DataTree.to_netcdf, tmp_path / "out"

    def overtaken(self, path, **options):
        monkeypatch.setattr(xr.DataTree, "to_netcdf", save)
        report(small_fit, out, checks=[FAIL])
        return save(self, path, **options)

    monkeypatch.setattr(xr.DataTree, "to_netcdf", overtaken)
    with pytest.raises(ValueError, match="expected a folder that does not exist yet"):
        report(small_fit, out, checks=[PASS])
    assert json.loads((out / "summary.json").read_text())["checks"][0]["verdict"] == "fail"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    shutil.rmtree(out)
    monkeypatch.setattr(xr.DataTree, "to_netcdf", overtaken)
    report(small_fit, out, force=True, checks=[PASS])
    assert json.loads((out / "summary.json").read_text())["checks"][0]["verdict"] == "pass"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert sorted(p.name for p in out.iterdir()) == sorted(FILES)


def test_force_replaces_three_files_and_nothing_else(small_fit, tmp_path, quick):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "index.html").write_text("old")
    report(small_fit, tmp_path, force=True, checks=[PASS])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*FILES, "mine.txt"])
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "index.html").read_text() == "<p>page</p>"
    report(small_fit, tmp_path, force=True, checks=[FAIL])
    assert json.loads((tmp_path / "summary.json").read_text())["checks"][0]["verdict"] == "fail"


def test_force_makes_a_folder_that_is_not_there(small_fit, tmp_path, quick):
    assert report(small_fit, tmp_path / "a" / "b", force=True, checks=[PASS]) == tmp_path / "a" / "b" / "index.html"


@pytest.mark.parametrize("kind", [OSError, RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind_by_a_failure(small_fit, tmp_path, quick, monkeypatch, kind):
    def full(self, path, **options):
        path.write_bytes(b"half a file")
        raise kind("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", full)
    with pytest.raises(ValueError if kind is OSError else kind, match="disk full"):
        report(small_fit, tmp_path / "above" / "out", checks=[PASS])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", range(6))
def test_old_files_survive_a_failure_half_way(small_fit, tmp_path, quick, monkeypatch, step):
    """Renaming fails at each of its steps in turn: old away, new in, three times."""
    old = {name: f"old {name}" for name in FILES} | {"mine.txt": "mine"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    real, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == step + 1:
            raise OSError("no space")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ValueError, match="no space"):
        report(small_fit, tmp_path, force=True, checks=[PASS])
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == old


def test_new_files_do_not_stay_when_a_later_one_fails(small_fit, tmp_path, quick, monkeypatch):
    """The same in a folder that held none of the three."""
    real = os.replace

    def failing(source, target):
        if target.name == "fit.nc":
            raise OSError("no space")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ValueError, match="no space"):
        report(small_fit, tmp_path, force=True, checks=[PASS])
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(small_fit, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(ValueError, match=r"expected .* got .*; try"):
            report(small_fit, place, force=True)
    (tmp_path / "taken" / "fit.nc").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"expected fit\.nc to be a file, got a folder"):
        report(small_fit, tmp_path / "taken", force=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # also where the tests run as root
    with pytest.raises(ValueError, match=r"expected a place that can be written .* got no permission .*; try"):
        check_folder(tmp_path / "new")
    assert (tmp_path / "file").read_text() == "x"


def test_what_is_no_fit_is_not_loaded(tmp_path):
    with pytest.raises(ValueError, match=r"expected a fit at .* got no such file; try"):
        load(tmp_path)
    (tmp_path / "fit.nc").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"expected a NetCDF 4 file, got fit\.nc .*; try"):
        load(tmp_path)
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    with pytest.raises(ValueError, match=r"expected a fit of inf\.fit in other\.nc, got no .*; try"):
        load(tmp_path / "other.nc")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("verdicts", [[PASS], [FAIL] * 9 + [WARN] * 9])
def test_the_printout_is_short(fits, action, verdicts):
    text = summary(fits[action], checks=verdicts)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 120
    best = max(Reading(fits[action]).couplings, key=lambda c: abs(c.z))
    assert any(line.startswith(best.text) and f"{best.mean:.4g}" in line for line in lines)
    if FAIL in verdicts:
        assert "checks: 9 fail, 9 warn" in text
        assert lines.index("  fail  eps4: 0.41 +- 0.02 (limit < 0.3)") > 0
