"""Figures show the numbers of the fit: artists are read back and compared, not looked at."""

import arviz as az
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnft.analysis.figures import canvas
from nnft.analysis.figures import maps as coupling_plots
from nnft.analysis.figures import posterior as plots
from nnft.analysis.reading.fit import Reading
from nnft.analysis.reading.residuals import schwinger_dyson
from tests.statistics import agree, disagree

ALL = [getattr(plots, name) for name in plots.__all__]
ACTIONS = ["Bilocal", "Local", "Constant", "FullQuartic"]


def segments(collection):
    return np.array(collection.get_segments())


def labelled(panel, label):
    (found,) = [a for a in [*panel.lines, *panel.collections, *panel.containers] if a.get_label() == label]
    return found


def moments(fit, name, group="posterior"):
    draws = fit[group][name]
    return draws.mean(("chain", "draw")).values, draws.std(("chain", "draw"), ddof=1).values


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.__name__)
def test_every_figure_of_every_action_draws_and_leaves_nothing_behind(fits, action, plot):
    settings = dict(matplotlib.rcParams)
    figure = plot(fits[action])
    figure.canvas.draw()
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings
    # On a phone a figure is about 360 pixels wide, 75 an inch: 8 points are 8 pixels.
    assert figure.get_figwidth() < 5.0
    assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text()) >= 8.0


def test_maps_are_posterior_mean_and_sd(small_fit):
    mean, sd = moments(small_fit, "lam", "derived")
    figure = plots.plot_couplings(small_fit)
    maps = [panel for panel in figure.axes if panel.images]
    assert len(maps) == 6
    limits = {panel.images[0].get_clim() for panel in maps[:3]}
    assert len(limits) == 1  # one scale: what looks as strong is as strong
    for i, (left, right) in enumerate(zip(maps[:3], maps[3:], strict=True)):
        for panel, truth in ((left, mean[i]), (right, sd[i])):
            shown = panel.images[0].get_array()
            assert np.array_equal(np.ma.getmaskarray(shown), sd[i] == 0)
            np.testing.assert_allclose(np.where(sd[i] == 0, 0.0, shown.filled(0.0)), truth, rtol=1e-12)
        low, high = left.images[0].get_clim()
        assert low + high == 0.0  # white is zero
        rings = [c.get_offsets() for c in left.collections if c.get_label() == "|mean| < 2 sd"]
        rings = {tuple(point) for offsets in rings for point in np.asarray(offsets)}
        assert rings == {(y, x) for x, y in np.argwhere((sd[i] > 0) & (np.abs(mean[i]) < 2 * sd[i]))}
    assert [t.get_text() for t in maps[0].get_yticklabels()] == ["−2", "0", "2"]
    assert not np.allclose(mean[1], mean[1].T)  # or a transposed map would pass


def test_points_in_two_dimensions_are_named_by_their_number(small_fit):
    fit = small_fit.copy(deep=True)
    constants = fit["constant_data"].to_dataset().drop_vars("x_position")
    fit["constant_data"] = constants.assign_coords(x_position=(("x", "axis"), np.arange(6.0).reshape(3, 2)))
    panel = plots.plot_couplings(fit).axes[3]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["0", "1", "2"]


def test_maps_of_very_different_couplings_do_not_hide_the_small_ones(small_fit):
    fit = small_fit.copy(deep=True)
    fit["derived"]["lam"][:, :, 2, 0, 1] *= 1000.0
    fit["derived"]["lam"][:, :, 2, 1, 0] *= 1000.0
    image = [panel for panel in plots.plot_couplings(fit).axes if panel.images][2].images[0]
    small = float(image.get_array()[0, 2])
    assert abs(float(image.norm(small)) - 0.5) > 0.05  # on a linear scale it would be 0.0005


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3])
def test_no_title_runs_into_a_number(small_fit, scale):
    """Numbers stand whole at their ticks: a power of ten above a colour bar would lie on the title beside it."""
    fit = small_fit.copy(deep=True)
    fit["derived"]["lam"] *= scale
    figure = plots.plot_couplings(fit)
    figure.draw_without_rendering()
    assert [panel for panel in figure.axes if panel.yaxis.get_offset_text().get_text()] == []
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    titles = [panel.title for panel in figure.axes if panel.title.get_text()]
    assert len(titles) == 3
    for title in titles:
        box = title.get_window_extent()
        assert [t.get_text() for t in shown if t is not title and t.get_window_extent().overlaps(box)] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0024000000000000002, "0.0024"), (-12.5, "−12.5"), (-5e-6, r"$-5{\cdot}10^{-6}$")],
)
def test_a_tick_is_a_whole_number(value, text):
    assert coupling_plots._plain(value) == text


def test_local_couplings_stand_at_their_points(fits):
    fit = fits["Local"].copy(deep=True)
    fit["constant_data"]["weights"][:] = [1.0, 2.0, 4.0]
    panel = plots.plot_couplings(fit).axes[0]
    line, _, (bars,) = panel.containers[0].lines
    np.testing.assert_allclose(line.get_xdata(), [-2.0, 0.0, 2.0])
    np.testing.assert_allclose(line.get_ydata(), moments(fit, "g")[0] / [1.0, 2.0, 4.0])
    mean, sd = moments(fit, "g") / np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(segments(bars)[:, :, 1], np.stack([mean - sd, mean + sd], axis=1))


def test_constant_coupling_as_a_density(fits):
    draws = fits["Constant"]["posterior"]["coupling"].values.ravel()
    panel = plots.plot_couplings(fits["Constant"]).axes[0]
    assert labelled(panel, "mean").get_xdata()[0] == pytest.approx(draws.mean())
    x, density = labelled(panel, "posterior density").get_data()
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.01)
    shade = labelled(panel, "interval").get_paths()[0].vertices[:, 0]
    low, high = np.quantile(draws, [0.055, 0.945])
    step = x[1] - x[0]
    assert low <= shade.min() <= low + step
    assert high - step <= shade.max() <= high


def test_full_quartic_couplings_are_sorted_with_their_intervals(fits):
    fit = fits["FullQuartic"]
    panel = plots.plot_couplings(fit).axes[0]
    line, _, (bars,) = panel.containers[0].lines
    mean, sd = moments(fit, "g4")
    order = np.argsort(-mean)
    np.testing.assert_allclose(line.get_xdata(), mean[order])
    np.testing.assert_allclose(segments(bars)[:, :, 0], np.stack([mean - sd, mean + sd], axis=1)[order])
    names = [str(name).replace(",", "") for name in fit["posterior"]["quad"].values[order]]
    assert [t.get_text() for t in panel.get_yticklabels()] == names


def test_four_point_function_measured_exact_and_predicted(small_fit):
    observed, constants = small_fit["observed_data"], small_fit["constant_data"]
    exact, value, error = constants["G4_exact"].values, observed["G4"].values, constants["G4_error"].values
    order = np.argsort(exact, kind="stable")[::-1]
    main, side = plots.plot_four_point(small_fit).axes
    line, _, (bars,) = labelled(main, "measured").lines
    np.testing.assert_array_equal(line.get_xdata(), value[order])
    np.testing.assert_allclose(segments(bars)[:, :, 0], np.stack([value - error, value + error], axis=1)[order])
    np.testing.assert_array_equal(labelled(main, "exact").get_xdata(), exact[order])
    tree, loop = (small_fit["predictions"][n].mean(("chain", "draw")).values[order] for n in ("G4", "G4_loop"))
    np.testing.assert_allclose(labelled(main, "fitted action, tree level").get_xdata(), tree)
    np.testing.assert_allclose(
        segments(labelled(main, "fitted action, adding one loop"))[:, :, 0], np.stack([tree, loop], axis=1)
    )
    np.testing.assert_allclose(side.lines[-1].get_xdata(), ((value - exact) / error)[order])
    names = [str(name).replace(",", "") for name in observed["quad"].values[order]]
    assert [t.get_text() for t in main.get_yticklabels()] == names


def test_four_point_function_without_an_exact_one(small_fit):
    fit = small_fit.copy(deep=True)
    fit["constant_data"] = fit["constant_data"].to_dataset().drop_vars("G4_exact")
    (main,) = plots.plot_four_point(fit).axes
    measured = labelled(main, "measured").lines[0].get_xdata()
    np.testing.assert_array_equal(measured, np.sort(fit["observed_data"]["G4"].values)[::-1])


def test_a_huge_loop_does_not_hide_the_data(small_fit):
    fit = small_fit.copy(deep=True)
    fit["predictions"]["G4_loop"] *= 100.0
    limits = [plots.plot_four_point(f).axes[0].get_xlim() for f in (small_fit, fit)]
    assert limits[0] == limits[1]


def _equations(fit):
    constants = fit["constant_data"]
    q = int(constants.attrs["quadratic_terms"])
    matrix, noise, up = (constants[name].values for name in ("full_matrix", "full_noise", "full_embed"))
    return q, matrix, noise / fit.attrs["networks"], up


@pytest.mark.parametrize("action", ["Bilocal", "Constant"])
def test_errors_of_schwinger_dyson_residuals(fits, action):
    """Solve the equations again for noisy right-hand sides: r scatters by the stated error, not by that of b alone."""
    q, matrix, noise, up = _equations(fits[action])
    _, error, _ = schwinger_dyson(fits[action])
    count = 20_000
    b = np.random.default_rng(3).multivariate_normal(np.zeros(len(matrix)), noise, size=count)
    theta = np.linalg.solve(up @ matrix @ up.T, up @ b.T)
    spread = np.std(matrix @ up.T @ theta - b.T, axis=1, ddof=1)[q:]
    free = error > 0
    np.testing.assert_allclose(spread[~free], 0.0, atol=1e-9 * spread.max())
    agree(spread[free], error[free], spread[free] / np.sqrt(2 * count))
    disagree(spread[free], np.sqrt(np.diag(noise))[q:][free], spread[free] / np.sqrt(2 * count))


def test_schwinger_dyson_figure_shows_what_is_left_out(small_fit):
    _, error, contained = schwinger_dyson(small_fit)
    assert np.array_equal(contained, error == 0)  # a bilocal action contains single monomials
    assert contained.sum() == 12
    residual = (small_fit["constant_data"]["force"] - small_fit["constant_data"]["laplacian"]).values
    np.testing.assert_allclose(residual[contained], 0.0, atol=1e-9)
    panel = plots.plot_schwinger_dyson(small_fit).axes[0]
    left_out = labelled(panel, "left out by the action")
    np.testing.assert_allclose(left_out.get_xdata(), np.sort(residual[~contained] / error[~contained])[::-1])
    assert labelled(panel, "contained in it").get_xdata().tolist() == [0.0]
    assert panel.get_yticklabels()[-1].get_text() == "12 more"


def test_schwinger_dyson_of_a_sum_of_monomials_keeps_its_parts(fits):
    z, error, contained = schwinger_dyson(fits["Constant"])
    assert contained.sum() == 3
    assert np.all(error > 0)
    panel = plots.plot_schwinger_dyson(fits["Constant"]).axes[0]
    np.testing.assert_allclose(np.sort(labelled(panel, "contained in it").get_xdata()), np.sort(z[contained]))


def test_schwinger_dyson_of_the_full_quartic_action_is_solved(fits):
    z, error, contained = schwinger_dyson(fits["FullQuartic"])
    assert np.all(contained)
    assert not np.any(error)
    assert not np.any(z)


def test_schwinger_dyson_without_equations_is_refused(small_fit):
    fit = small_fit.copy(deep=True)
    fit["constant_data"] = fit["constant_data"].to_dataset().drop_vars("full_matrix")
    with pytest.raises(ValueError, match=r"expected .* got .*3 points; try"):
        plots.plot_schwinger_dyson(fit)


def test_files_of_earlier_versions_have_the_full_action_under_another_name(small_fit):
    fit = small_fit.copy(deep=True)
    names = {f"full_{part}": f"rich_{part}" for part in ("matrix", "noise", "embed")}
    fit["constant_data"] = fit["constant_data"].to_dataset().rename(names)
    np.testing.assert_array_equal(schwinger_dyson(fit)[0], schwinger_dyson(small_fit)[0])


def test_traces_are_those_with_the_worst_rhat(small_fit):
    fit = small_fit.copy(deep=True)
    fit["posterior"]["u"][0, :, 3] += 5.0 * float(fit["posterior"]["u"][:, :, 3].std())  # a chain that stuck elsewhere
    figure = plots.plot_trace_rank(fit)
    trace, rank = figure.axes[:2]
    draws = fit["posterior"]["u"].values[:, :, 3]
    np.testing.assert_array_equal([line.get_ydata() for line in trace.lines], draws)
    worst = float(az.rhat(fit["posterior"].to_dataset()[["u"]])["u"][3])
    assert trace.get_title(loc="left").endswith(f"{worst:.4f}")
    counts = np.array([patch.get_data().values for patch in rank.patches if hasattr(patch, "get_data")])
    assert counts.shape[0] == 4
    assert np.all(counts.sum(axis=1) == 200)
    # The stuck chain has the highest ranks only, and a flat histogram would have 10 in each of 20 bins.
    assert np.all(counts[0, :14] == 0)


def test_prior_beside_posterior(small_fit):
    found = Reading(small_fit).couplings
    panel = plots.plot_prior_posterior(small_fit).axes[0]
    after = segments(labelled(panel, "posterior"))[:, :, 0]
    names = ("g", "u", "v")
    draws = np.concatenate([small_fit["posterior"][n].values for n in names], axis=-1)
    np.testing.assert_allclose(after, np.quantile(draws, [0.055, 0.945], axis=(0, 1)).T)
    before = segments(labelled(panel, "prior"))[:, :, 0]
    prior = np.concatenate([small_fit["prior"][n].values for n in names], axis=-1)
    np.testing.assert_allclose(before.mean(axis=1), prior.mean(axis=(0, 1)), atol=1e-12)
    np.testing.assert_allclose(np.diff(before, axis=1)[:, 0] / 2, 1.5982 * prior.std(axis=(0, 1), ddof=1), rtol=1e-4)
    ratios = [f"{c.prior_sd / c.sd:.0f}" for c in found]
    assert [t.get_text() for t in panel.texts[: len(found)]] == ratios
    low, high = panel.get_xlim()
    assert low < before.min()
    assert before.max() < high
    # What is a thousandth of the axis on a linear scale is seen on this one.
    ends = panel.transData.transform(np.stack([after.ravel(), np.zeros(after.size)], axis=1))[:, 0]
    assert np.median(np.diff(ends.reshape(after.shape), axis=1)) > 0.003 * panel.bbox.width


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (45, 45), (126, 35), (330, 35)])
def test_rows_are_named_as_far_as_names_fit(count, shown):
    with matplotlib.rc_context():
        figure = canvas.tall(count, header=1.0)
        importance = np.random.default_rng(0).permutation(count).astype(float)
        kept = canvas.label_rows(figure.subplots(), [str(k) for k in range(count)], importance)
    assert np.argmax(importance) in kept
    gaps = np.diff(kept) * canvas.row_height(count)
    assert np.min(gaps) > 0.15  # inches: nine points are 0.125
    assert len(kept) >= min(shown, 0.5 * 8.0 / 0.17)
    assert (len(kept) == count) == (count <= 47)
