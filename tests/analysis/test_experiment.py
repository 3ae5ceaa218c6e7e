"""The published experiment: deviations against exact ones, powers of the width, the page, and what is refused."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from nnft.analysis.studies import published_page as pages
from nnft.analysis.studies.published import EXPERIMENTS, ORDERS, check_arguments, deviation, experiment, power_law
from nnft.inference import Ensemble, fit_correlators, measure, vertex_design
from nnft.models import Correlators, exact
from tests.statistics import agree, disagree


@pytest.fixture(scope="module")
def found():
    return experiment("hms-relu", n=20_000, widths=(20, 2, 5), seed=1)


def test_deviations_agree_with_the_exact_ones_and_a_wrong_kernel_is_seen(found):
    setting = EXPERIMENTS["hms-relu"]
    for space in ("field", "readout", "neuron"):
        # A sixth cumulant of 2e4 ReLU networks is far from Gaussian at 5 sd: its truth is tested exactly below.
        truth = {d.width: d.connected for d in found.of("exact", 4)}
        for d in found.of(space, 4):
            agree(d.connected, truth[d.width], d.connected_error)
            if d.width == 20 and space != "field":
                disagree(d.connected, truth[d.width] * d.width, d.connected_error)  # planted: the power of N lost
    data = measure(Ensemble(setting.network(50), points=setting.points, n=20_000, key=jax.random.key(8)), orders=(2, 4))
    kernel = exact(setting.network(1), setting.points).connected(2)
    right, wrong = deviation(data, kernel, 2), deviation(data, 1.2 * kernel, 2)
    assert right.value < 6 * right.floor
    assert wrong.value > 10 * wrong.floor
    agree(right.value, 0.0, right.error)
    disagree(wrong.value, 0.0, wrong.error)


def test_the_floor_is_the_deviation_of_noise_alone():
    """A Gaussian limit with independent noise of known size: m_n averages to its floor, not to zero."""
    rng, points = np.random.default_rng(0), np.array([[0.0], [1.0]])
    kernel, truth = np.array([1.0, 0.3, 0.8]), np.array([1.0, 0.3, 0.8])
    noise = np.diag([0.02, 0.01, 0.03])
    values, floors = [], []
    for _ in range(2000):
        data = Correlators(points, {2: truth + rng.normal(size=3) @ noise}, {}, rows={"moment": {2: noise}})
        d = deviation(data, kernel, 2)
        values.append(d.value)
        floors.append(d.floor)
    assert np.ptp(floors) == 0.0
    agree(np.mean(values), floors[0], np.std(values) / np.sqrt(2000))
    disagree(np.mean(values), floors[0] * np.sqrt(np.pi / 2), np.std(values) / np.sqrt(2000))


def test_order_six_of_one_variable():
    """ReLU at x > 0: <phi^6>_c = [15 * 15/2 - 15 * 3/2 * 3 * 1/2 + 30/8] x^6/N^2, from <s^2r> = (2r-1)!!/2."""
    setting = EXPERIMENTS["hms-relu"]
    value = exact(setting.network(4), np.ones((1, 1))).connected(6)[0]
    m2, m4, m6 = 0.5, 3 * 1.5, 15 * 7.5
    assert value == pytest.approx((m6 - 15 * m4 * m2 + 30 * m2**3) / 16, rel=1e-10)


def test_a_power_law_is_found_with_its_error_and_a_lost_power_is_seen():
    rng, widths = np.random.default_rng(2), np.array([2, 3, 5, 10, 20, 100])
    errors = np.full(6, 0.002)
    fits = [power_law(widths, 1.3 / widths + rng.normal(size=6) * errors, errors) for _ in range(300)]
    powers, stated = np.transpose(fits)
    agree(np.mean(powers), -1.0, np.std(powers) / np.sqrt(300))
    disagree(np.mean(powers), -1.5, np.std(powers) / np.sqrt(300))
    assert np.std(powers) == pytest.approx(np.median(stated), rel=0.25)
    assert power_law(widths, 2.0 / widths**2, errors * 1e-4)[0] == pytest.approx(-2.0, abs=1e-6)
    assert power_law(widths, np.zeros(6), errors)[1] == float("inf")


def test_powers_of_the_width(found):
    for slope in found.slopes:
        truth = 1.0 - slope.order / 2.0
        if slope.space == "neuron" or slope.order == 4:
            agree(slope.value, truth, slope.error)
            disagree(slope.value, 0.0, slope.error)


def test_couplings_and_six_point_function(found):
    fits = {(f.space, f.model): f.result for f in found.fits}
    width, cutoff = found.setting.coupling_width, found.setting.cutoff
    assert fits["exact", ("local",)].coupling("local")[0] * width * cutoff**5 == pytest.approx(-12.5, rel=1e-10)
    for space in ("neuron", "field"):
        value, error = fits[space, ("local",)].coupling("local")
        agree(value * width * cutoff**5, -12.5, error * width * cutoff**5)
        disagree(value * cutoff**5, -12.5, error * cutoff**5)
    assert all("can be told apart" in f.result.why for f in found.fits if len(f.model) > 1)
    # One variable with kurtosis 15/N: <phi^6> = 15 K^3 (1 + 15/N + 44/N^2), the last term not predicted.
    for s in found.six_point:
        if s.space == "exact":
            true = 1 + 15 / s.width + 44 / s.width**2
            expected = (1 + 15 / s.width if s.model else 1) / true - 1
            assert s.signed == pytest.approx(expected, rel=1e-9)
        else:
            truth = (1 + 15 / s.width) / (1 + 15 / s.width + 44 / s.width**2) - 1
            agree(s.signed, truth, s.error)


def test_the_fit_is_made_where_it_was_published_and_the_prediction_is_held_out(found):
    """Fit inputs are x/sqrt 2; a fit at x itself would not be held out, and for Erf it is another one."""
    setting = EXPERIMENTS["hms-erf"]
    assert np.allclose(np.sqrt(2.0) * setting.fit_points, setting.coupling_points, rtol=1e-15)
    network, x = setting.network(setting.coupling_width), setting.coupling_points
    there = vertex_design(network, x, cutoff=setting.cutoff)
    seen = fit_correlators(exact(network, setting.fit_points), vertex_design(network, setting.fit_points, cutoff=100.0))
    moved, own = seen.at(x, there), fit_correlators(exact(network, x), there)
    assert np.array_equal(moved.estimate, seen.estimate)
    assert np.allclose(moved.four_point, there[:, 0] * seen.estimate[0], rtol=1e-13)
    assert np.array_equal(moved.points, x)
    assert 1e-6 < abs(moved.estimate[0] / own.estimate[0] - 1) < 1e-2
    with pytest.raises(ValueError, match=r"expected a design of shape \(126, 3\), got \(15, 3\); try vertex_design"):
        seen.at(x, there[:15])


def test_a_tail_that_forbids_an_average_is_refused_with_its_number():
    setting = EXPERIMENTS["hms-gauss"]
    data = measure(Ensemble(setting.network(20), points=setting.points, n=20_000, key=jax.random.key(0)), orders=ORDERS)
    assert "<phi^8>" in data.refused[4]
    with pytest.raises(ValueError, match="refused"):
        deviation(data, exact(setting.network(1), setting.points).connected(2), 4)


def test_the_folder_holds_a_page_that_stands_alone_and_the_numbers(found, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "experiment", lambda name, **_: found)
    out = tmp_path / "deep" / "out"
    page = pages.run_experiment("hms-relu", out, n=20_000, widths=(2, 5, 20), seed=1)
    html = page.read_text(encoding="utf-8")
    assert sorted(file.name for file in out.iterdir()) == ["index.html", "summary.json"]
    assert html.count("data:image/svg+xml;base64,") == 1
    assert not re.search(r"https?:|url\(|<script|<link", re.sub(r"base64,[^\"]*", "", html))
    assert "n = 20\u202f000 networks" in html
    assert "key(seed = 1)" in html
    assert "Published and found" in html
    assert "<td>N λ₀ of the local model, exact correlators</td><td>−1.25000·10⁻⁹</td><td>−1.25000·10⁻⁹</td>" in html
    assert "vertices at |y| ≤ Λ = 100" in html[: html.index("<img")]
    numbers = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert len(numbers["deviations"]) == 3 * 4 * 3
    assert {fit["identifiable"] for fit in numbers["couplings"] if len(fit["model"]) > 1} == {False}
    told, passed = pages.experiment_verdicts(out) or ("", False)
    assert passed
    assert re.search(r"pass  slope of G4c, neuron space +-[01]\.\d+ \+- [\d.]+, exact -1  \(", told)
    assert "The single local coupling times the width is -1.25e-09, from exact" in told
    numbers["slopes"][4]["value"] = -0.8
    (out / "summary.json").write_text(json.dumps(numbers))
    assert not (pages.experiment_verdicts(out) or ("", True))[1]
    assert pages.experiment_verdicts(tmp_path) is None
    with pytest.raises(ValueError, match="does not exist yet"):
        pages.run_experiment("hms-relu", out)
    pages.run_experiment("hms-relu", out, force=True)


def test_a_page_of_refusals_is_drawn_too(found):
    bare = replace(found, deviations=tuple(replace(d, why="no") if d.space != "exact" else d for d in found.deviations))
    assert "no</td>" in pages.experiment_page(bare)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hms-gaus", 1000, (2, 5), 0), "expected an experiment among.*got 'hms-gaus'; try 'hms-gauss'"),
        (("hms-erf", 10, (2, 5), 0), "expected n, .*>= 1000, got 10"),
        (("hms-erf", 1000, (2, 2), 0), "expected at least two distinct widths.*got"),
        (("hms-erf", 1000, (0, 2), 0), "expected at least two distinct widths.*got"),
        (("hms-erf", 1000, (2, 5), -1), "expected seed.*got -1"),
    ],
)
def test_bad_input_is_refused_before_any_work(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_arguments(*arguments)
    name, n, widths, seed = arguments
    with pytest.raises(ValueError, match=message):
        pages.run_experiment(name, tmp_path / "out", n=n, widths=widths, seed=seed)
    assert not (tmp_path / "out").exists()
