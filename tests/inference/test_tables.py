"""The tables people really have: names over columns, row numbers, tabs, frames, tensors, and what only others read."""

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nnft.inference import Samples
from nnft.inference.arrays.axes import shape_advice
from nnft.inference.arrays.files import load_points
from nnft.inference.arrays.tables import positions

X = np.array([[-0.5], [0.0], [2.0]])
FIELDS = np.random.default_rng(1).normal(size=(40, 3)).round(6)


def text(*, names=None, between=",", numbered=False, quote="", rows=FIELDS):
    """What to_csv, R or a spreadsheet writes."""
    words = [*([""] if numbered else []), *(f"{quote}{name}{quote}" for name in names or ())]
    head = [] if names is None else [between.join(words)]
    cells = ([*([str(k)] if numbered else []), *(repr(float(v)) for v in row)] for k, row in enumerate(rows))
    return "\n".join([*head, *(between.join(row) for row in cells)]) + "\n"


TABLES = {
    "names": (".csv", text(names="abc")),
    "names, tabs": (".tsv", text(names=("first point", "b", "c"), between="\t")),
    "numbered rows": (".csv", text(names="abc", numbered=True)),
    "numbered rows, tabs": (".tsv", text(names="abc", numbered=True, between="\t")),
    "counted columns": (".csv", text(names="012", numbered=True)),
    "counted columns alone": (".csv", text(names="012")),
    "positions": (".csv", text(names=("-0.5", "0.0", "2"), numbered=True)),
    "positions said": (".csv", text(names=("x=-0.5", "x=0", "x=2"), quote='"')),
    "R": (".txt", text(names="abc", numbered=True, between=" ", quote='"').replace(" ", "", 1)),
    "semicolons": (".csv", text(names="abc", between=";").replace(".", ",")),
    "bare tabs": (".dat", text(between="\t")),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_it_was_meant(name, tmp_path):
    suffix, content = TABLES[name]
    (tmp_path / f"a{suffix}").write_text(content)
    found = Samples(tmp_path / f"a{suffix}", None if "positions" in name else X)
    np.testing.assert_array_equal(found.read(0, 40), FIELDS)
    np.testing.assert_array_equal(found.points, X)


def test_numbers_are_no_names(tmp_path):
    """The twin: a first row that only looks like a count of columns is a network where all numbers are whole."""
    (tmp_path / "whole.csv").write_text("0,1,2\n1,2,0\n5,3,4\n")
    assert Samples(tmp_path / "whole.csv", X, dims=("network", "point")).n == 3
    (tmp_path / "x.csv").write_text("x,y\n1,2\n3,4\n")
    np.testing.assert_array_equal(load_points(tmp_path / "x.csv"), [[1, 2], [3, 4]])
    assert positions(["1", "2", "3"]) is None
    assert positions(["1.0", "1.0"]) is None


def test_positions_without_a_word_are_names(tmp_path):
    """As pandas and NumPy write them; the twins are networks, and points, that only look like it."""
    even = np.array([[-2.0], [-1.5], [-1.0]])
    for head, given in (("-2.0,-1.5,-1.0", None), ("-2,-1.5,-1", even)):
        (tmp_path / "even.csv").write_text(f"{head}\n{text()}")
        found = Samples(tmp_path / "even.csv", given)
        assert found.n == len(FIELDS)
        np.testing.assert_array_equal(found.points, even)
    line = 0.1 * np.arange(1.0, 4.0)  # a network that is linear, among others that are
    for rows in (np.outer(FIELDS[:, 0], line), np.concatenate([[[-2.0, -1.5, -1.1]], FIELDS])):
        (tmp_path / "network.csv").write_text(text(rows=rows))
        assert Samples(tmp_path / "network.csv", X, dims=("network", "point")).n == len(rows)
    for points in ([[0, 1, 2], [0.5, 0.1, 0.3]], [[-1.0, 0.0, 1.0], [0.5, 0.1, 0.3]]):
        (tmp_path / "points.csv").write_text("\n".join(",".join(map(str, row)) for row in points))
        np.testing.assert_array_equal(load_points(tmp_path / "points.csv"), points)


class Frame:
    """As pandas and polars have it."""

    def __init__(self, names, values):
        self.columns, self._values = names, values

    def to_numpy(self):
        return self._values


class Tensor:
    """As PyTorch has it: no array before its gradient and its device are left."""

    def __init__(self, values, ready=False):
        self.values, self.ready, self.shape = values, ready, np.shape(values)

    def detach(self):
        return Tensor(self.values, self.ready)

    def cpu(self):
        return Tensor(self.values, True)

    def __array__(self, dtype=None, copy=None):
        if not self.ready:
            raise TypeError("can't convert a tensor on another device")
        return np.asarray(self.values, dtype=dtype)


ARRAYS = {
    "lists": FIELDS.tolist(),
    "tensor": Tensor(FIELDS),
    "tensors": tuple(Tensor(row) for row in FIELDS),
    "frame": Frame(["a", "b", "c"], FIELDS),
    "numbered frame": Frame(["index", "b", "c", "d"], np.column_stack([np.arange(40), FIELDS])),
    "pandas": pd.DataFrame(FIELDS).reset_index(),
    "pandas at positions": pd.DataFrame(FIELDS, columns=X[:, 0]),
    "frame of objects": Frame(["a", "b", "c"], FIELDS.astype(object)),
    "frame of positions": Frame([-0.5, 0.0, 2.0], FIELDS),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_other_packages(name):
    found = Samples(ARRAYS[name], None if "positions" in name else X)
    np.testing.assert_array_equal(found.read(0, 40), FIELDS)
    np.testing.assert_array_equal(found.points, X)


LONG = np.column_stack([np.repeat(np.arange(40), 3), np.tile(X[:, 0], 40), FIELDS.ravel()])
REFUSED = {
    "one value a row": (Frame(["network", "x", "phi"], LONG), r"try df.pivot\(index='network', columns='x', values="),
    "words": (Frame(["a", "b", "c"], np.array([["1", "u", "2"]], object)), r"got 'u' in column 'b'; try leaving"),
    "a last axis of one": (FIELDS[..., None], r"got 3 axes, \(40, 3, 1\); try array\[\.\.\., 0\]"),
    "a first axis of one": (FIELDS[None], r"try array\[0, :, :\]"),
    "fields or chains": (FIELDS.reshape(2, 20, 3), r"try outputs=3 if .*, or array.reshape\(-1, 3\) with chains=2"),
    "a dictionary": ({"phi": FIELDS}, r"expected an array \(network, point\), got one dict; try np.asarray"),
    "rows of different lengths": ([[1.0, 2.0], [1.0]], r"got a list of rows of different lengths"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_meant_is_asked(name):
    array, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        Samples(array, X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n1,\n", "an empty cell in row 2, column 'b'"),
        ("1 2\n1 2 3\n", "got 3 columns in row 2 and 2 in the first"),
        ("network,x,phi\n0,1,.5\n0,2,.5\n1,1,.5\n1,2,.5\n", "one value a row in a.csv; try df.pivot"),
    ],
)
def test_a_table_that_is_none_names_the_cell(content, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        Samples(tmp_path / "a.csv", X[:2])


@pytest.mark.parametrize("suffix", [".pkl", ".pt"])
def test_the_lines_that_turn_a_file_do_so(suffix, tmp_path, monkeypatch):
    """The refusal of a pickle, or of what torch keeps in one, says two lines: they are run here, torch played."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"nets{suffix}").write_bytes(pickle.dumps(FIELDS))
    played = SimpleNamespace(detach=lambda: SimpleNamespace(numpy=lambda: FIELDS))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=lambda file, map_location: played))
    with pytest.raises(ValueError, match=rf"got 'nets{suffix}'; try .*import") as refusal:
        Samples(f"nets{suffix}", X)
    lines = "import" + str(refusal.value).partition("import")[2]
    assert lines.count(";") == 1
    exec(lines, {})
    np.testing.assert_array_equal(Samples("nets.npy", X).read(0, 40), FIELDS)


def test_advice_on_axes():
    assert shape_advice((5, 4, 1, 1)) == "array[..., 0, 0]"
    assert shape_advice((5, 1, 4)) == "array[:, 0, :]"
    assert shape_advice((5, 4, 3, 2)).endswith("array.reshape(len(array), -1)")
