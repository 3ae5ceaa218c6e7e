"""A file that is missing, cut short, damaged or of another kind is refused in one line, and never unpickled."""

import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from nnft.inference import Samples
from nnft.inference.arrays.files import load_points

POINTS = np.array([[-1.0, 0.5], [0.0, 0.25], [2.0, -0.125]])
FIELDS = np.random.default_rng(20080).normal(size=(50, 3))


class Trap:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path.parent / "unpickled"),))


def trapped(path):
    array = np.empty((1, 1), dtype=object)
    array[0, 0] = Trap(path)
    return array


def save_npy(path):
    np.save(path, FIELDS)


def save_npz(path):
    np.savez(path, phi=FIELDS, points=POINTS)


def save_nc(path):
    xr.Dataset({"phi": (("network", "point"), FIELDS)}).to_netcdf(path, engine="netcdf4")


def cut(save, keep=0.7):
    """Save whole, then keep the first part only."""

    def save_part(path):
        save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])

    return save_part


def damaged_npz(path):
    np.savez_compressed(path, phi=FIELDS)
    content = bytearray(path.read_bytes())
    content[400:440] = bytes(40)
    path.write_bytes(content)


def zip_of(**members):
    def save_zip(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    return save_zip


def npy_as_npz(path):
    with path.open("wb") as file:
        np.save(file, FIELDS)


def nc_without_labels(path):
    with h5py.File(path, "w") as file:
        file["phi"] = FIELDS


def objects_npy(path):
    np.save(path, FIELDS.astype(object), allow_pickle=True)


def trapped_npy(path):
    np.save(path, trapped(path), allow_pickle=True)


def trapped_npz(path):
    np.savez(path, phi=trapped(path), allow_pickle=True)


def a_pickle(path):
    path.write_bytes(pickle.dumps(Trap(path)))


def a_text(path):
    path.write_text("1.0 2.0 3.0\n4.0 5.0 6.0\n")


def nothing(path):
    path.write_bytes(b"")


def old_netcdf(path):
    path.write_bytes(b"CDF\x01" + bytes(100))


def missing(path):
    pass


HOLDS, IS = "expected bad{0} to hold plain numbers, got ", "expected bad{0} to be a {0} file, got "
BAD_FILES = [
    (cut(save_npy), ".npy", HOLDS + "mmap length is greater than file size; try"),
    (cut(save_npy, 0.03), ".npy", HOLDS + ".*; try"),
    (objects_npy, ".npy", HOLDS + ".*object.*try writing.*without pickle"),
    (trapped_npy, ".npy", HOLDS + ".*object.*try writing.*without pickle"),
    (a_pickle, ".npy", IS + "another kind of file; try"),
    (a_text, ".npy", IS + "another kind of file; try"),
    (nothing, ".npy", IS + "another kind of file; try"),
    (Path.mkdir, ".npy", "expected a file at '.*bad{0}', got a folder; try"),
    (npy_as_npz, ".npz", IS + "a .npy file; try"),
    (a_pickle, ".npz", IS + "another kind of file; try"),
    (trapped_npz, ".npz", HOLDS + ".*allow_pickle=False.*try"),
    (cut(save_npz), ".npz", HOLDS + "File is not a zip file; try"),
    (damaged_npz, ".npz", HOLDS + ".*; try"),
    (zip_of(readme="no arrays in here"), ".npz", "expected samples that are real numbers, got .S17; try"),
    (zip_of(), ".npz", "expected one 2-D array or .* in bad{0}, got nothing; try"),
    (old_netcdf, ".nc", IS + "a NetCDF 3 file; try"),
    (a_text, ".nc", IS + "another kind of file; try"),
    (cut(save_nc), ".nc", HOLDS + ".*truncated.*; try"),
    (nc_without_labels, ".nc", "expected axes named .*, got .*; try array.rename"),
    (Path.mkdir, ".zarr", HOLDS + ".*; try"),
    (a_text, ".zarr", HOLDS + ".*; try"),
    (missing, ".npy", "expected a file at '.*bad{0}', got no such file; try its full path"),
    (missing, ".zarr", "expected a file at '.*bad{0}', got no such file; try its full path"),
    (
        a_pickle,
        ".pkl",
        r"expected a file .npy, .npz, .*, got 'bad{0}'; try \(of a file you trust\) import numpy as np; np.save",
    ),
]


@pytest.mark.parametrize(
    ("make", "suffix", "message"), BAD_FILES, ids=[f"{make.__name__}{suffix}" for make, suffix, _ in BAD_FILES]
)
def test_bad_files_are_refused_and_nothing_is_unpickled(make, suffix, message, tmp_path):
    path = tmp_path / f"bad{suffix}"
    make(path)
    with pytest.raises(ValueError, match=message.replace("{0}", suffix)) as refusal:
        Samples(path, POINTS)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "unpickled").exists()


def test_the_trap_springs(tmp_path):
    trapped_npy(tmp_path / "bad.npy")
    np.load(tmp_path / "bad.npy", allow_pickle=True)
    assert (tmp_path / "unpickled").exists()


def test_tables_and_hdf5_are_read(tmp_path):
    """What a spreadsheet and a simulation write: the same numbers as from memory."""
    np.savetxt(tmp_path / "a.csv", FIELDS, delimiter=",")
    np.savetxt(tmp_path / "a.txt", FIELDS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["phi"], file["points"] = FIELDS, POINTS
    for name, points in (("a.csv", POINTS), ("a.txt", POINTS), ("a.h5", None)):
        found = Samples(tmp_path / name, points)
        np.testing.assert_array_equal(found.read(0, 50), FIELDS)
        np.testing.assert_array_equal(found.points, POINTS)


def test_a_comma_that_may_be_a_decimal_point_is_asked_about(tmp_path):
    """Lines such as -1,5 and nothing else; with a blank, a point or an exponent the comma stands between columns."""
    path = tmp_path / "points.csv"
    path.write_text("-1,5\n0,5\n2,0\n")
    with pytest.raises(ValueError, match="numbers with a decimal point, got -1,5 in every line of points"):
        load_points(path)
    for text in ("-1, 5\n0, 5\n2, 0\n", "-1.0,5\n0,5\n2,0\n", "-1,5\n0,5e0\n2,0\n"):
        path.write_text(text)
        np.testing.assert_array_equal(load_points(path), [[-1, 5], [0, 5], [2, 0]])
    path.write_text("0,1\n1,0\n1,1\n")  # a grid of whole numbers
    np.testing.assert_array_equal(load_points(path), [[0, 1], [1, 0], [1, 1]])


def test_names_that_are_no_text_can_be_stored(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path / "lauf_") + b"\xfc.npy")
    np.save(path, FIELDS)
    found = repr(Samples(path, POINTS))
    assert found.startswith("Samples(lauf_�.npy")
    found.encode("utf-8")
