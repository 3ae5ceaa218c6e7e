"""Correlators with errors in somebody else's file: the same numbers come back, and what is not whole is refused."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.analysis.studies.batch import read_measured

X = np.array([[-1.0], [1.0]])
SIZES = {2: 3, 4: 5, 6: 7}
VALUES = {2: [1.0, 0.4, 1.1], 4: [-0.1, 0.02, 0.05, 0.01, -0.2], 6: [0.3, 0.1, 0.0, 0.05, 0.02, 0.1, 0.4]}
GIVEN = m.Correlators.from_arrays(
    X, connected=VALUES, covariance=np.diag(np.linspace(0.01, 0.03, 15) ** 2), networks=10_000
)


@pytest.fixture
def table(tmp_path):
    GIVEN.to_dataframe().to_csv(tmp_path / "g.csv")
    return tmp_path / "g.csv"


def same(data, orders=(2, 4, 6)):
    for order in orders:
        np.testing.assert_allclose(data.connected(order), GIVEN.connected(order), rtol=1e-14)
        np.testing.assert_allclose(data.error(order), GIVEN.error(order), rtol=1e-12)


def test_what_to_csv_and_to_xarray_write_comes_back(table, tmp_path):
    same(inf.read_correlators(table, X))
    GIVEN.to_xarray().to_netcdf(tmp_path / "g.nc", engine="netcdf4")
    same(inf.read_correlators(tmp_path / "g.nc", X))
    GIVEN.to_xarray().assign(points=(("p", "d"), X)).to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    same(read_measured(tmp_path / "x.nc", networks=1e4))


def test_moments_and_their_errors_follow_from_the_connected_functions(table):
    """m4 = G4c + 3 G2^2 at one point, its error to first order; the twin without the cross term is another number."""
    data = inf.read_correlators(table, X, networks=1e4)
    np.testing.assert_allclose(data.moment(4)[0], -0.1 + 3.0, rtol=1e-14)
    first, second = GIVEN.error(2)[0], GIVEN.error(4)[0]
    np.testing.assert_allclose(data.error(4, "moment")[0], np.hypot(second, 6.0 * first), rtol=1e-12)
    assert abs(data.error(4, "moment")[0] - second) > 0.01


def test_any_order_of_rows_and_of_indices(tmp_path):
    rows = GIVEN.to_dataframe(2, 4).sample(frac=1.0, random_state=1)
    rows[["x1", "x2"]] = rows[["x2", "x1"]].to_numpy()
    rows.to_csv(tmp_path / "g.tsv", sep="\t", index=False)
    same(inf.read_correlators(tmp_path / "g.tsv", X), (2, 4))


REFUSED = {
    "a missing one": (
        "a,b,value,error\n0,0,1,.1\n1,1,1,.1\n",
        r"expected all 3 components of order 2 .* without \(0, 1\)",
    ),
    "counted from one": ("a,b,value,error\n1,1,1,.1\n1,2,1,.1\n2,2,1,.1\n", "indices that count points from 0"),
    "no error": ("a,b,value,error\n0,0,1,0\n0,1,1,.1\n1,1,1,.1\n", "positive errors"),
    "a word": ("a,b,value,error\n0,0,x,.1\n", "got '0,0,x,.1' in row 1"),
    "odd": ("a,value,error\n0,0,.1\n1,0,.1\n", "expected even orders, got order 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_whole_is_refused(name, tmp_path):
    text, message = REFUSED[name]
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        inf.read_correlators(tmp_path / "g.csv", X)


def test_a_fit_is_told_what_it_misses(table, tmp_path):
    with pytest.raises(ValueError, match=r"number of networks behind the errors in g.csv, got none; try --networks"):
        read_measured(table, "-1,1")
    GIVEN.to_dataframe(2, 4).to_csv(tmp_path / "two.csv")
    with pytest.raises(ValueError, match=r"orders 2, 4 and 6 .* got 2, 4 .*; try adding G6c, or .*order='leading'"):
        read_measured(tmp_path / "two.csv", "-1,1", 1e4)
    assert m.effective_couplings(inf.read_correlators(tmp_path / "two.csv", X), order="leading") is not None
    (tmp_path / "fields.csv").write_text("0.5,1.5\n-0.5,1.0\n")
    assert read_measured(tmp_path / "fields.csv") is None
