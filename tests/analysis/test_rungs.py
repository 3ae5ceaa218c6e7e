"""The table of what each rung explains: known numbers, one ensemble solved by hand, and the digits of its page."""

import re
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from nnft.analysis import rungs
from nnft.analysis.comparisons.rungs import Rung, Rungs, climb, mixture, ring, update
from nnft.inference import Ensemble, fit_polynomial, measure
from nnft.models import Correlators, Cos, GammaScale, Network, exact, mixture_coupling
from nnft.models.combinatorics import multiplicities, sorted_tuples
from tests.house.tree import ROOT


@pytest.fixture(scope="module")
def table():
    return rungs()


def by_action(points, width=50, **options):
    return {row.action: row for row in climb(exact(Network(Cos(), width, **options), points))}


@pytest.mark.parametrize(
    ("spacing", "local", "bilocal", "whitened"),
    [(0.5, 0.41, 0.025, 0.999), (1, 0.79, 0.24, 0.987), (1.5, 0.92, 0.49, 0.890)],
)
def test_residuals_of_five_points_on_a_line(spacing, local, bilocal, whitened):
    """Reference numbers of an independent calculation, to the digits it gave."""
    found = by_action(spacing * np.arange(5.0)[:, None])
    assert found["local"].plain == pytest.approx(local, abs=0.0051)
    assert found["bilocal"].plain == pytest.approx(bilocal, abs=0.00051 if bilocal < 0.1 else 0.0051)
    assert found["bilocal"].whitened == pytest.approx(whitened, abs=0.00051)
    assert found["bilocal"].plain != pytest.approx(whitened, abs=0.1)  # the planted fault: the other norm
    assert found["full quartic"].plain < 1e-3  # K itself limits it where points are close
    assert "translation invariant" not in found  # an open line


@pytest.mark.parametrize(
    ("width", "spacing", "bilocal", "local"),
    [(50, 1, 0.13, 0.01), (500, 1, 0.07, 0.01), (50, 2, 0.57, 0.04), (500, 2, 0.52, 0.04)],
)
def test_shares_of_four_points_on_a_line(width, spacing, bilocal, local):
    found = by_action(spacing * np.arange(4.0)[:, None], width)
    assert found["bilocal"].share == pytest.approx(bilocal, abs=0.0055)
    assert 0.0 < found["local"].share < local
    assert found["full quartic"].share == 1.0


def test_a_share_grows_with_the_rung_and_a_residual_falls(table):
    for ensemble in {row.ensemble for row in table.rows}:
        rows = [row for row in table.rows if row.ensemble == ensemble]
        assert [row.couplings for row in rows] == sorted(row.couplings for row in rows)
        assert np.all(np.diff([row.share for row in rows]) > -1e-9)
        for norm in ("plain", "whitened"):
            residuals = [getattr(row, norm) for row in rows if row.plain is not None]
            assert np.all(np.diff(residuals) < 1e-9)


def test_symmetry_costs_nothing_where_the_ensemble_has_it(table):
    for ensemble in ("cos, gaussian", "cos, shared Γ scale, N = ∞"):
        few, all_of_them = table[ensemble, "translation invariant"], table[ensemble, "bilocal"]
        assert few.couplings == 7
        assert few.share == pytest.approx(all_of_them.share, rel=1e-6)
        assert few.whitened == pytest.approx(all_of_them.whitened, rel=1e-6)
    with pytest.raises(ValueError, match="expected an ensemble and an action"):
        table["erf, gaussian", "translation invariant"]  # rotations about the origin do not shift this ring


def test_the_mixture_is_solved_by_hand(table):
    """At N = infinity the quartic fit is b (phi K^-1 phi)^2, b known, and eps4^2 = Var(tau)^2 (3 M^2 + 6 M)/24."""
    scale = GammaScale(0.05)
    truth = mixture(ring(), exact(Network(Cos(), 1), ring(), orders=(2,)).connected(2), scale)
    inverse = np.linalg.inv(truth.tensor(2))
    dense = np.einsum("ab,cd->abcd", inverse, inverse)
    quads = sorted_tuples(5, 4)
    symmetric = sum(dense[(..., *quads[:, list(p)].T)] for p in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))) / 3.0
    known = mixture_coupling(scale, 5) * symmetric * multiplicities(quads)
    np.testing.assert_allclose(fit_polynomial(truth, 4)[4], known, rtol=1e-6, atol=1e-9)
    assert not np.allclose(fit_polynomial(truth, 4)[4], -0.05 / 8 * known / mixture_coupling(scale, 5), rtol=0.1)
    eps4 = table["cos, shared Γ scale, N = ∞", "constant"].eps4
    assert eps4 == pytest.approx(0.05 * np.sqrt((3 * 25 + 6 * 5) / 24), rel=1e-9)


def test_the_two_roads_to_the_gain_agree(table):
    """J of the polynomial fit against A and b of the full quartic; and phi^6 can only gain."""
    truth = exact(Network(Cos(), 100), ring(), orders=(2, 4, 6, 8, 10))
    bare = Correlators.from_arrays(ring(), moments={r: truth.moment(r) for r in (2, 4, 6)})
    assert climb(bare)[-1].action == "full quartic"  # no phi^6 without the tenth moments
    row = table["cos, gaussian", "with φ⁶"]
    assert row.couplings == 70 + 210
    assert 1.0 < row.share < 1.1


def test_one_site_by_hand():
    """One site: the gain of phi^4 and of phi^6 from 2 x 2 and 3 x 3 moments."""
    truth = exact(Network(Cos(), 20), np.zeros((1, 1)), orders=(2, 4, 6, 8, 10))
    moment = {0: 1.0} | {r: float(truth.moment(r)[0]) for r in (2, 4, 6, 8, 10)}

    def score(*powers):
        a = np.array([[i * j * moment[i + j - 2] for j in powers] for i in powers]) * moment[2]
        b = np.array([i * (i - 1) * moment[i - 2] for i in powers]) * moment[2]
        return 0.5 * b @ np.linalg.solve(a, b)

    share = (score(2, 4, 6) - score(2)) / (score(2, 4) - score(2))
    first, *_, last = climb(truth)
    assert first.share == pytest.approx(1.0, abs=1e-12)
    assert last.share == pytest.approx(share, rel=1e-8)
    assert last.share != pytest.approx((score(2, 4, 6) - score(2)) / score(2, 4), rel=1e-3)


def test_a_sign_of_the_kurtosis_decides_at_one_coupling(table):
    """Uniform readouts have a negative kurtosis and a bounded local action, Gaussian ones do not."""
    for name in ("constant", "local"):
        assert table["cos, uniform", name].bounded
        assert not table["cos, gaussian", name].bounded
    assert not any(table[e, "full quartic"].bounded for e in {row.ensemble for row in table.rows})
    assert table["cos, gaussian", "with φ⁶"].bounded


def close_to(shown, computed):
    """Whether two lines of the table differ by no more than one unit of a last digit."""
    number = r"\d+(?:\.\d+)?"
    if re.sub(number, "#", shown) != re.sub(number, "#", computed):
        return False
    pairs = zip(re.findall(number, shown), re.findall(number, computed), strict=True)
    return all(abs(float(a) - float(b)) <= 1.01 * 10.0 ** -len(a.partition(".")[2]) * ("." in a) for a, b in pairs)


def test_the_page_shows_what_comes_out(table):
    _, _, rest = (ROOT / "analysis/gallery/site/ladder.md").read_text(encoding="utf-8").partition("<!-- rungs -->\n")
    shown, computed = rest.partition("<!-- /rungs -->")[0].strip().splitlines(), str(table).splitlines()
    assert len(shown) == len(computed) == 9
    assert all(close_to(a, b) for a, b in zip(shown, computed, strict=True))
    faults = [("0.995", "0.993"), ("(35)", "(36)"), (" ↓", ""), ("cos", "sin")]
    assert not any(close_to(shown[2].replace(a, b), computed[2]) for a, b in faults if a in shown[2])
    assert not close_to(shown[0].replace("(35)", "(36)"), computed[0])


def test_the_table_is_put_between_its_marks(tmp_path, monkeypatch):
    one = Rungs((Rung("net", "constant", 1, 0.5, 0.25, 0.75, 0.1, form=-np.ones(1), points=1),))
    monkeypatch.setitem(update.__globals__, "rungs", lambda: one)
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- rungs -->\nold\n<!-- /rungs -->\nafter\n")
    update(file)
    text = file.read_text()
    assert text == (
        "before\n<!-- rungs -->\n| ensemble | ε₄ | constant (1) |\n|---|---|---|\n"
        "| net | 0.100 | 50.0 %, 0.25, 0.750 ↓ |\n<!-- /rungs -->\nafter\n"
    )
    file.write_text("nothing")
    with pytest.raises(ValueError, match="expected the marks"):
        update(file)


def test_what_has_no_answer_is_refused():
    data = measure(Ensemble(Network(Cos(), 5), points=np.array([[0.0], [2.0]]), n=2000, key=jax.random.key(0)))
    with pytest.raises(ValueError, match="expected exact correlators, got measured ones"):
        climb(data)
    gaussian = mixture(np.zeros((1, 1)), np.ones(1), GammaScale(1e-300))
    with pytest.raises(ValueError, match="expected an ensemble a quartic action describes better than a Gaussian"):
        climb(gaussian)


def test_an_executor_climbs_the_same_rungs():
    truths = {name: exact(Network(Cos(), width=width), ring()) for name, width in (("a", 50), ("b", 100))}
    with ThreadPoolExecutor(2) as executor:
        assert str(rungs(truths, executor=executor)) == str(rungs(truths))
