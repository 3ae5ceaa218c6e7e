"""`nnft recover`: a table, a figure and numbers that agree, and one line for everything it refuses."""

import contextlib
import io
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

from nnft.analysis import calibration_table, plot_calibration
from nnft.analysis.cli import main
from nnft.analysis.studies.calibration import planted_named
from nnft.inference import Recovery, recover

REFUSAL = re.compile(r"nnft[ a-z]*: expected .+, got .+; try .+\n")


def command(*words):
    """Exit status, what was printed, and what was said on stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(word) for word in words])
    return status, out.getvalue(), error.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recoveries") / "new"
    words = ("recover", "mixture", "--n", "2e3", "--simulations", "200", "--draws", "99", "--method", "naive")
    return folder, command(*words, "--seed", "3", "-o", folder)


def test_it_writes_what_it_prints(finished):
    folder, (status, out, error) = finished
    assert (status, error) == (0, "")
    assert sorted(p.name for p in folder.iterdir()) == ["calibration.json", "calibration.png", "recovery.nc"]
    assert (folder / "calibration.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    title, *table = out.splitlines()
    assert title == "mixture, naive: 200 simulations of 2000 fields, 99 posterior draws each"
    assert table[-1] == str(folder / "calibration.json")
    assert found["calibrated"] is False  # naive errors
    assert table[-2] == "not calibrated at a false-alarm rate of 0.001"
    for name, p in found["p_value"].items():
        assert any(f"{p:.2g}" in line for line in table if line.startswith(name) or name == "shape")
    coverage = next(line for line in table if line.startswith("joint")).split()[2:]
    assert coverage == [f"{value:.1%}" for value in found["coverage"]["joint"]]
    with xr.open_datatree(folder / "recovery.nc", engine="netcdf4") as tree:
        assert calibration_table(tree) in out
        assert tree.attrs["planted"] == "mixture"


def test_an_earlier_calibration_is_not_overwritten(finished):
    folder, _ = finished
    status, out, error = command("recover", "mixture", "-o", folder)
    assert (status, out) == (2, "")
    assert REFUSAL.fullmatch(error)
    assert "--force" in error


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["chian"], "try 'chain'"),
        (["chain", "--method", "exakt"], "try 'exact'"),
        (["mixture", "--method", "gold"], "expected a method among score, naive, scalar"),
        (["chain", "--n", "many"], "try --n 1000"),
        (["chain", "--n", "10"], "expected at least 20 fields"),
        (["chain", "--simulations", "3"], "try simulations=1000"),
        (["chain", "--simulation", "30"], "try --simulations"),
    ],
)
def test_one_line_for_what_it_refuses(words, advice, tmp_path):
    status, out, error = command("recover", *words, "-o", tmp_path / "out")
    assert (status, out) == (2, "")
    assert REFUSAL.fullmatch(error)
    assert advice in error
    assert not (tmp_path / "out").exists()


def test_the_figure_marks_what_leaves_its_band():
    def posterior(width):
        return lambda key, x, draws: 0.5 * x.mean(0) + width * jax.random.normal(key, (draws, 2)) / 8**0.5

    mean = Recovery(
        ("a", "b"),
        dist.Normal(jnp.zeros(2), 0.5).to_event(1),
        lambda key, theta: theta + jax.random.normal(key, (4, 2)),
        {"exact": posterior(1.0), "narrow": posterior(0.4)},
    )
    colours = {}
    for method in mean.posteriors:
        tree = recover(mean, method, key=jax.random.key(4), simulations=200, draws=63)
        *panels, coverage = plot_calibration(tree).axes
        assert panels[0].get_title(loc="left").startswith("joint, p = ")
        colours[method] = {panel.lines[-1].get_color() for panel in panels}
        shown = np.array([line.get_ydata() for line in coverage.lines[:3]])
        np.testing.assert_allclose(shown[0], tree["coverage"]["joint"].values)
    assert len(colours["exact"]) == len(colours["narrow"]) == 1
    assert colours["exact"] != colours["narrow"]


def test_names_lead_to_recoveries():
    for name, couplings in [("chain", 2), ("site", 2), ("mixture", 2), ("lat", 22), ("rbf", 22)]:
        recovery = planted_named(name, n=500)
        assert len(recovery.names) == couplings
        assert recovery.about["n"] == 500
