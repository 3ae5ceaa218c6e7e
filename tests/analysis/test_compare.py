"""The comparison of actions: exact shares of the literature page, held-out gains, nested tests, and its control."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.analysis.comparisons.compare import CONTROL
from nnft.analysis.comparisons.nested import complement, left_over
from tests.oracles import planted

KEY = jax.random.key(0)


def cosine(width, spacing, points=4):
    return m.exact(m.Network(m.Cos(), width=width), spacing * np.arange(float(points))[:, None])


# ---- exact correlators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "spacing", "bilocal", "local"), [(50, 1.0, 13, 1), (500, 1.0, 7, 0), (50, 2.0, 57, 4), (500, 2.0, 52, 3)]
)
def test_shares_of_the_cosine_network(width, spacing, bilocal, local):
    """Per cent of the full quartic's gain at four points; known to two digits."""
    table = an.compare(cosine(width, spacing), key=KEY)
    assert table.richest == "FullQuartic"
    assert abs(100 * table["Bilocal"].share[0] - bilocal) < 1.0
    assert abs(100 * table["Local"].share[0] - local) < 1.0
    assert table["FullQuartic"].share[0] == pytest.approx(1.0)
    assert np.isnan(table["Bilocal"].share[1])
    assert table["Bilocal"].wald is None


@pytest.mark.parametrize(
    ("spacing", "local", "bilocal", "white"),
    [(0.5, 0.41, 0.025, 0.999), (1.0, 0.79, 0.24, 0.987), (1.5, 0.92, 0.49, 0.890)],
)
def test_what_tree_level_leaves_of_the_four_point_function(spacing, local, bilocal, white):
    """Five points, both norms; known to the digits written here."""
    table = an.compare(cosine(50, spacing, points=5), key=KEY)
    assert table["Local"].plain[0] == pytest.approx(local, abs=0.006)
    assert table["Bilocal"].plain[0] == pytest.approx(bilocal, abs=0.006)
    assert table["Bilocal"].white[0] == pytest.approx(white, abs=0.0006)
    assert table["FullQuartic"].white[0] < 1e-6


def test_a_larger_action_never_explains_less():
    table = an.compare(cosine(50, 1.5), key=KEY)
    rows = [table[name] for name in ("Constant", "Local", "Bilocal", "FullQuartic")]
    for small, large in pairwise(rows):
        assert large.gain[0] >= small.gain[0] - 1e-15
        assert large.plain[0] <= small.plain[0] + 1e-9
        assert large.white[0] <= small.white[0] + 1e-9


# ---- networks -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    ens = inf.Ensemble(m.Network(m.Cos(), width=20), points=np.linspace(-3, 3, 4)[:, None], n=60_000, key=KEY)
    return an.compare(ens, key=jax.random.key(1))


def test_exact_gains_do_not_depend_on_the_richest_action():
    """The equations of a smaller ladder are those of the full quartic, seen through its terms."""
    truth = cosine(50, 1.0, points=3)
    whole, small = an.compare(truth, key=KEY), an.compare(truth, {"Local": m.Local(), "Bilocal": m.Bilocal()}, key=KEY)
    for name in ("Local", "Bilocal"):
        assert small[name].gain[0] == pytest.approx(whole[name].gain[0], rel=1e-9)


def test_the_held_out_share_agrees_with_the_exact_one(table):
    """Two-sided at 1e-6; half the share, what a forgotten factor 1/2 of one gain would give, is seen."""
    truth = an.compare(m.exact(m.Network(m.Cos(), width=20), np.linspace(-3, 3, 4)[:, None]), key=KEY)["Bilocal"]
    share, error = table["Bilocal"].share
    assert abs(share - truth.share[0]) < stats.norm.isf(5e-7) * error
    assert abs(share - 0.5 * truth.share[0]) > stats.norm.isf(5e-7) * error
    gain, spread = table["FullQuartic"].gain
    exact_gain = an.compare(m.exact(m.Network(m.Cos(), width=20), np.linspace(-3, 3, 4)[:, None]), key=KEY)
    # A fit to 30,000 networks loses its optimism on the others, a number of the order of couplings/n.
    assert abs(gain - exact_gain["FullQuartic"].gain[0]) < stats.norm.isf(5e-7) * spread + 0.1 * gain


def test_the_control_is_null_where_every_truncation_is_rejected(table):
    """Odd terms have no coupling in an even theory: false alarm 1e-6. The bilocal truncation fails at the same n."""
    control = table[CONTROL]
    assert control.wald.p > 1e-6
    assert control.rao.p > 1e-6
    assert control.wald.dof == 16
    assert table["Bilocal"].wald.p < 1e-6
    assert table["Bilocal"].rao.p < 1e-6
    assert table["Bilocal"].wald.dof == 13
    assert control.gain[0] < table["FullQuartic"].gain[0] + 5 * control.gain[1]


def test_a_broken_parity_is_seen_by_the_control():
    """The twin: cosine networks shifted by a tenth of their spread and their square, n = 20,000."""
    fields = inf.Ensemble(m.Network(m.Cos(), width=20), points=np.linspace(-2, 2, 2)[:, None], n=20_000, key=KEY)
    phi = fields.read(0, 20_000).astype(float)
    skewed = inf.Samples(phi + 0.2 * (phi**2 - np.mean(phi**2)), np.linspace(-2, 2, 2)[:, None])
    found = an.compare(skewed, {"FullQuartic": m.FullQuartic()}, key=KEY)[CONTROL]
    assert found.rao.p < 1e-6
    assert found.wald.p < 1e-6


def test_the_true_action_passes_and_a_smaller_one_fails():
    """A bilocal action with known couplings at three points, exact draws: false alarm 1e-6; a Gaussian fails."""
    fields = planted("lat", 0.5, 3).draw(30_000, np.random.default_rng(3))
    found = an.compare(inf.Samples(fields, np.arange(3.0)[:, None]), key=KEY)
    assert found["Bilocal"].wald.p > 1e-6
    assert found["Bilocal"].rao.p > 1e-6
    assert found["Gaussian"].rao.p < 1e-6
    assert found["Gaussian"].wald.p < 1e-6
    share, error = found["Bilocal"].share
    assert abs(share - 1.0) < 5 * error + 0.01


def test_wald_and_rao_tell_the_same_story(table):
    """Two roads to one null hypothesis: equal to first order where it is nearly true."""
    control = table[CONTROL]
    assert control.wald.value == pytest.approx(control.rao.value, rel=0.2)


def test_noise_is_taken_off_what_is_left():
    """A pure-noise remainder leaves nothing within errors; without the correction it would look like a tenth."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(2, 35))
    truth = design.T @ np.array([1.0, -0.5])
    rows = 0.1 * rng.normal(size=(200, 35)) / np.sqrt(200)
    value = truth + rows.T @ rng.normal(size=200)
    left, error = left_over(value, rows, design, lambda g: g)
    assert left**2 < 5 * 2 * max(left, error) * error + 5 * error
    raw = left_over(value, None, design, lambda g: g)[0]
    assert raw > left


def test_complement_spans_the_rest():
    rows = np.random.default_rng(1).normal(size=(3, 7))
    rest = complement(rows)
    assert rest.shape == (4, 7)
    assert np.allclose(rows @ rest.T, 0.0)
    assert np.allclose(rest @ rest.T, np.eye(4))


def test_it_prints_and_draws(table):
    text = str(table)
    assert "control: odd cubic" in text
    assert max(map(len, text.splitlines())) <= 115
    assert "fitted to 30,000 networks, scored on 30,000" in text
    figure = an.plot_comparison(table)
    assert [label.get_text().split("\n")[0] for label in figure.axes[0].get_yticklabels()][-1] == CONTROL


# ---- parts ----------------------------------------------------------------------------------------------------------


class Elsewhere(inf.Parts):
    """The planted fault: what is held out was fitted to."""

    def dealt(self, order):
        return super().dealt((order + 1) % self.n)


def figures(table):
    pairs = [pair or (np.nan, np.nan) for row in table.rows for pair in (row.gain, row.share, row.plain, row.white)]
    return np.array([*np.ravel(pairs), *(t.value for row in table.rows for t in (row.wald, row.rao) if t and t.dof)])


@pytest.mark.parametrize("kind", ["recipe", "array"])
def test_parts_say_what_the_whole_says(kind):
    """Round-off of sums in another order, divided by cancellations in tests: 1e-8. Other networks differ at 1e-4."""
    ens = inf.Ensemble(m.Network(m.Cos(), width=5), points=np.array([[0.0], [1.0]]), n=4000, key=KEY)
    source = ens if kind == "recipe" else inf.Samples(ens.read(0, ens.n), ens.points)
    ladder = {"Local": m.Local(), "FullQuartic": m.FullQuartic()}
    whole = figures(an.compare(source, ladder, key=KEY, held_out=0.3))
    with ThreadPoolExecutor(2) as executor:
        found = figures(an.compare(source, ladder, key=KEY, held_out=0.3, executor=executor))
        other = figures(an.compare(Elsewhere(source, parts=5, executor=executor), ladder, key=KEY, held_out=0.3))
    np.testing.assert_allclose(found, whole, rtol=1e-8)
    assert not np.allclose(other, whole, rtol=1e-4)


def test_an_executor_without_networks_is_refused():
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="expected networks to hand to workers"):
        an.compare(cosine(50, 1.0, points=2), key=KEY, executor=executor)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    truth = cosine(50, 1.0, points=2)
    with pytest.raises(ValueError, match="expected a share of held-out networks between 0 and 1, got 1"):
        an.compare(truth, key=KEY, held_out=1.0)
    with pytest.raises(ValueError, match="expected actions such as Bilocal"):
        an.compare(truth, {"x": 3}, key=KEY)
    few = inf.Samples(np.random.default_rng(0).normal(size=(300, 2)), np.arange(2.0)[:, None])
    with pytest.raises(ValueError, match="to deal into two parts, got 300"):
        an.compare(few, key=KEY, metric=np.eye(2))
    measured = m.Correlators.from_arrays(
        np.zeros((1, 1)), moments={2: [1.0], 4: [2.9], 6: [14.0]}, covariance=1e-4 * np.eye(3), networks=1e5
    )
    with pytest.raises(ValueError, match="whose networks are gone"):
        an.compare(measured, key=KEY)
    with pytest.raises(ValueError, match="expected one of"):
        an.compare(truth, key=KEY)["Quartic"]
