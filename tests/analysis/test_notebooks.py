"""Every notebook runs from top to bottom, at small size, and its last sentences stay true."""

import re

import numpy as np
import pytest

from tests.house.tree import ROOT
from tests.statistics import agree, disagree

NOTEBOOKS = sorted((ROOT / "analysis" / "gallery").glob("*.py"))
SMALL = "networks = 50_000"


def run(path, capsys):
    """What the notebook prints and the names it leaves behind; only the number of networks is changed."""
    source, changed = re.subn(r"^networks = [\d_]+$", SMALL, path.read_text(), flags=re.M)
    assert changed == 1, "expected one line `networks = ...` in the notebook"
    names: dict = {"__name__": "__main__"}
    exec(compile(source, path.name, "exec"), names)
    return capsys.readouterr().out, names


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == ["far_from_the_limit.py", "first_study.py"]


def test_first_study(capsys):
    (path,) = [path for path in NOTEBOOKS if path.name == "first_study.py"]
    printed, names = run(path, capsys)
    assert names["data"].networks == 50_000
    assert float(re.search(r"chi2/dof = .*, p = (\S+) \(", printed).group(1)) > 1e-6  # false alarm 1e-6
    bilocal, full = (float(share) for share in re.findall(r"share of the gain +([\d.]+)%", printed))
    assert 40 < bilocal < 85 < full  # at a million networks 64 and 100


def test_far_from_the_limit(capsys):
    (path,) = [path for path in NOTEBOOKS if path.name == "far_from_the_limit.py"]
    printed, names = run(path, capsys)
    orders = [float(p) for p in re.findall(r"^    order \d: .*, p = (\S+) \(", printed, flags=re.M)]
    assert len(orders) == 6  # orders 2, 4, 6 at width 2 and 3
    heavy = [
        float(p)
        for p in re.findall(r"^(?:orders 2 and|what survives|a term beyond).* p = (\S+) \(", printed, flags=re.M)
    ]
    assert len(heavy) == 3
    assert min(orders + heavy) > 1e-6  # false alarm 1e-6 each
    assert "measured in neuron space" in printed
    assert names["measured"][50].about["space"] == "readout"
    eps4, rho = (
        [float(x) for x in re.findall(rf"^{name} = ([\d.]+):", printed, flags=re.M)] for name in ("eps4", "rho")
    )
    assert len(eps4) == len(rho) == 3
    assert min(eps4) > 0.3
    assert min(rho) > 0.1
    assert [check.name for check in names["checks"].failed] == ["eps4"]

    # Three neurons: chi ~ (6/(pi k^2))^(3/2), so P(h) - P(0) ~ h^2 log(h) (6/pi)^(3/2)/(2 pi) and every factor of five
    # in h adds 2 log(5) times that over P(0) to the curvature of S; what is left at the smallest h is of order h^2.
    gain = np.log(5.0) * (6.0 / np.pi) ** 1.5 / np.pi / names["density"][150]
    assert np.diff(names["curvature"][3])[-1] == pytest.approx(gain, rel=5e-3)
    assert abs(np.diff(names["curvature"][20])[-1]) < 1e-3
    assert names["negative"][6].mass > names["negative"][4].mass > 10 * names["negative"][4].mass_error

    outside = np.abs(names["exact"] - names["series"].value) > names["series"].band
    assert outside[-1]  # at the largest sources W is outside the band
    assert np.all(names["series"].band[1:] > names["series"].band[:-1])
    assert names["there"].band[0] == pytest.approx(
        0.0, abs=1e-10
    )  # a Gaussian cosine has no sixth cumulant at one site
    neurons = names["neurons"]
    agree(neurons.value, names["exact"], neurons.error)
    disagree(neurons.value, names["series"].value, neurons.error)

    # sum_3 K K Var(tau) (1 - 1/N) of pairs of neurons, E tau^2 (3 <ssss> - sum_3 K K)/N + Var(tau) sum_3 K K/N of one
    patterns, independent = (
        names["patterns"],
        names["m"].exact(names["m"].Network(names["m"].Cos(), 1), names["points"]),
    )
    pairs = names["limit"].connected(4)
    agree(patterns.values["iijj"], 0.98 * pairs, patterns.errors["iijj"])
    disagree(patterns.values["iijj"], 0.0 * pairs, patterns.errors["iijj"])
    single = (2.0 * independent.connected(4) + pairs) / 50.0
    agree(patterns.values["iiii"], single, patterns.errors["iiii"])
    disagree(patterns.values["iiii"], single - pairs / 50.0, patterns.errors["iiii"])
    for name in ("iiij", "iijk", "ijkl"):
        agree(patterns.values[name], 0.0, patterns.errors[name])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_in_percent_format_and_hold_no_output(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# ---"
    assert "# %% [markdown]" in lines
    assert "# %%" in lines
    assert max(len(line) for line in lines) <= 120
