"""Somebody's own networks are read as they lie, whatever the format, and refused where they cannot be right."""

import mmap
import sys

import numpy as np
import pytest
import xarray as xr
import zarr

import nnft.inference.ensembles.samples as samples_module
from nnft.inference import Samples
from nnft.inference.arrays.files import load_array, load_points
from nnft.inference.ensembles.sums import sums

POINTS = np.array([[-1.0, 0.5], [0.0, 0.25], [2.0, -0.125]])
FIELDS = np.random.default_rng(20080).normal(size=(50, 3))


def save_npy(path, fields, points):
    np.save(path, fields)
    return points


def save_npz(path, fields, points):
    np.savez(path, phi=fields, points=points)


def save_npz_small(path, fields, points):
    np.savez_compressed(path, a=fields, points=points, seed=3)


def dataset(fields, points):
    return xr.Dataset({"phi": (("network", "point"), fields), "points": (("point", "axis"), points)})


def save_nc(path, fields, points):
    dataset(fields, points).to_netcdf(path, engine="netcdf4")


def save_nc_swapped(path, fields, points):
    swapped = dataset(fields, points).transpose("point", "axis", "network")
    swapped.set_coords("points").to_netcdf(path, engine="netcdf4")


def save_zarr(path, fields, points):
    group = zarr.open_group(str(path), mode="w")
    group.create_array("phi", data=fields, chunks=(7, 2))
    group.create_array("points", data=points)


def save_zarr_xarray(path, fields, points):
    dataset(fields, points).to_zarr(path, zarr_format=2)


def save_zarr_swapped(path, fields, points):
    zarr.create_array(str(path), data=np.ascontiguousarray(fields.T), dimension_names=("point", "network"))
    return points


FORMATS = [
    (save_npy, ".npy"),
    (save_npz, ".npz"),
    (save_npz_small, ".npz"),
    (save_nc, ".nc"),
    (save_nc_swapped, ".nc"),
    (save_zarr, ".zarr"),
    (save_zarr_xarray, ".zarr"),
    (save_zarr_swapped, ".zarr"),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(("save", "suffix"), FORMATS, ids=[save.__name__ for save, _ in FORMATS])
def test_what_was_saved_is_what_is_read(save, suffix, dtype, tmp_path):
    path = tmp_path / f"fields{suffix}"
    fields = (100 * FIELDS).astype(dtype)
    read = Samples(path, save(path, fields, POINTS))
    assert (read.n, read.dtype, read.even) == (50, np.float32 if dtype == np.float32 else np.float64, False)
    np.testing.assert_array_equal(read.points, POINTS)
    np.testing.assert_array_equal(read.read(0, 50), fields)
    np.testing.assert_array_equal(read.read(13, 21), fields[13:34])
    assert read.read(13, 21).dtype == read.dtype
    head, rest = Samples(str(path), POINTS).split(20)
    np.testing.assert_array_equal(np.concatenate([head.read(0, 20), rest.read(0, 30)]), fields)


class Foreign:
    """An array of another library: it knows how to become one of NumPy."""

    def __array__(self, dtype=None, copy=None):
        return FIELDS


@pytest.mark.parametrize(
    "array",
    [
        FIELDS,
        FIELDS.tolist(),
        np.asfortranarray(FIELDS),
        FIELDS.astype(">f8"),
        Foreign(),
        np.ma.masked_array(FIELDS, mask=False),
        xr.DataArray(FIELDS, dims=("network", "point"), coords={"point": [7, 8, 9]}),
        xr.DataArray(FIELDS.T, dims=("point", "network")),
    ],
    ids=["array", "list", "fortran", "big endian", "foreign", "masked", "labelled", "labelled, swapped"],
)
def test_arrays_in_memory(array):
    read = Samples(array, POINTS)
    np.testing.assert_array_equal(read.read(0, 50), FIELDS)
    assert read.read(3, 4).dtype == read.dtype == np.dtype("=f8")


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.uint8])
def test_other_real_numbers_become_the_nearest_of_the_two(dtype):
    read = Samples(np.abs(100 * FIELDS).astype(dtype), POINTS)
    assert read.dtype == (np.float32 if dtype == np.float16 else np.float64)
    np.testing.assert_array_equal(read.read(0, 50), np.abs(100 * FIELDS).astype(dtype))


def test_nothing_is_copied(tmp_path):
    assert np.shares_memory(Samples(FIELDS, POINTS).read(0, 50), FIELDS)
    assert np.shares_memory(Samples(FIELDS.T, POINTS, dims=("point", "network")).read(0, 50), FIELDS)
    for part in Samples(FIELDS, POINTS).split(20):
        assert np.shares_memory(part.read(0, part.n), FIELDS)
    np.save(tmp_path / "fields.npy", FIELDS)
    array, points = load_array(tmp_path / "fields.npy")
    assert (type(array), points) == (np.memmap, None)
    part = Samples(tmp_path / "fields.npy", POINTS).read(2, 3)
    while isinstance(part, np.ndarray):  # down to what owns the memory: the map of the file
        part = part.base
    assert isinstance(part, mmap.mmap)


def test_files_are_checked_and_read_in_slices(tmp_path, monkeypatch):
    """A stored array never sees a slice longer than asked for, and no full copy is made by the checks."""
    monkeypatch.setattr(samples_module, "_CHECK", 30)  # 10 networks of 3 points
    lengths = []

    class Store(np.ndarray):
        def __getitem__(self, index):
            part = super().__getitem__(index)
            lengths.append(part.shape)
            return part

    monkeypatch.setattr(samples_module, "as_store", lambda array: (array, None))
    data = Samples(FIELDS.view(Store), POINTS)
    assert lengths == [(10, 3)] * 5
    data.read(4, 6)
    assert lengths[-1] == (6, 3)


def test_a_file_of_several_arrays_is_read_by_name(tmp_path):
    path = tmp_path / "all.npz"
    np.savez(path, raw=2 * FIELDS, phi=FIELDS, points=POINTS)
    np.testing.assert_array_equal(Samples(path).read(0, 50), FIELDS)
    np.testing.assert_array_equal(Samples(path, variable="raw").read(0, 50), 2 * FIELDS)
    np.testing.assert_array_equal(Samples(path, POINTS + 1, variable="raw").points, POINTS + 1)
    with pytest.raises(ValueError, match=r"expected 'psi' in all.npz, got raw \(50, 3\), phi.*try variable="):
        Samples(path, variable="psi")
    np.savez(path, a=FIELDS, b=FIELDS, c=FIELDS)
    with pytest.raises(ValueError, match=r"expected one 2-D array or phi.*got a \(50, 3\), b .*try variable="):
        Samples(path, POINTS)
    with pytest.raises(ValueError, match=r"expected variable= with a file only.*try leaving it out"):
        Samples(FIELDS, POINTS, variable="phi")


def test_points_come_from_files_too(tmp_path):
    np.save(tmp_path / "x.npy", POINTS)
    np.savez(tmp_path / "x.npz", points=POINTS, other=1)
    np.savez(tmp_path / "one.npz", POINTS)
    np.savetxt(tmp_path / "x.csv", POINTS, delimiter=",", header="x,y")
    np.savetxt(tmp_path / "x.txt", POINTS)
    for name in ("x.npy", "x.npz", "one.npz", "x.csv", "x.txt"):
        np.testing.assert_array_equal(load_points(tmp_path / name), POINTS, err_msg=name)
        np.testing.assert_array_equal(Samples(FIELDS, str(tmp_path / name)).points, POINTS)
    np.savetxt(tmp_path / "line.csv", POINTS[:, 0])
    np.testing.assert_array_equal(load_points(tmp_path / "line.csv"), POINTS[:, :1])
    (tmp_path / "spread.txt").write_text("# a comment\n\n 1.0  # one\n\n2.0\n")
    np.testing.assert_array_equal(load_points(tmp_path / "spread.txt"), [[1.0], [2.0]])


def test_square_arrays_say_which_axis_is_which():
    square = FIELDS[:3]
    with pytest.raises(ValueError, match=r"expected dims= where.*got \(3, 3\); try dims=\('network', 'point'\)"):
        Samples(square, POINTS)
    np.testing.assert_array_equal(Samples(square, POINTS, dims=("network", "point")).read(0, 3), square)
    np.testing.assert_array_equal(Samples(square, POINTS, dims=("point", "network")).read(0, 3), square.T)
    labelled = xr.DataArray(square, dims=("point", "network"))
    np.testing.assert_array_equal(Samples(labelled, POINTS).read(0, 3), square.T)


def test_labels_of_others_need_dims():
    foreign = xr.DataArray(FIELDS, dims=("draw", "x"))
    with pytest.raises(ValueError, match=r"expected axes named.*got \('draw', 'x'\); try array.rename"):
        Samples(foreign, POINTS)
    np.testing.assert_array_equal(Samples(foreign, POINTS, dims=("network", "point")).read(0, 50), FIELDS)
    with pytest.raises(ValueError, match=r"expected dims=.*as the array is labelled.*try leaving dims out"):
        Samples(xr.DataArray(FIELDS, dims=("network", "point")), POINTS, dims=("point", "network"))


def broken(row, column, value, rows=50):
    fields = FIELDS[:rows].copy()
    fields[row, column] = value
    return fields


BAD_ARRAYS = {
    "NaN": (broken(7, 2, np.nan), r"expected finite samples, got nan in network 7 at point 2 \(the first of 1 "),
    "infinite": (broken([7, 9], 1, np.inf), r"got inf in network 7 at point 1 \(the first of 2 among 150.*try"),
    "no variance": (broken(np.s_[:], 1, 0.5), r"expected a field that varies.*got 0.5 in all 50 networks at point 1"),
    "one network": (FIELDS[:1], r"expected a field that varies.*try more networks"),
    "swapped": (FIELDS.T, r'expected samples of shape.*got \(3, 50\); try .T or dims=\("point", "network"\)'),
    "other points": (FIELDS[:, :2], r"expected as many columns as points, got \(50, 2\) .* and 3 points; try"),
    "one axis": (FIELDS[:, 0], r"expected samples of shape .*, got 1 axes, \(50,\); try array\[:, None\]"),
    "three axes": (FIELDS[None], r"expected samples of shape \(network, point\), got 3 axes, \(1, 50, 3\); try"),
    "empty": (FIELDS[:0], r"expected samples of shape \(network, point\), got nothing, \(0, 3\); try"),
    "complex": (FIELDS + 0j, r"expected samples that are real numbers, got complex128; try the real part"),
    "booleans": (FIELDS > 0, r"expected samples that are real numbers, got bool; try"),
    "objects": (FIELDS.astype(object), r"expected samples that are real numbers, got object; try"),
    "words": ([["a", "b", "c"]], r"expected samples that are real numbers, got <U1; try"),
    "ragged": ([[1.0, 2.0], [1.0]], r"got a list of rows of different lengths; try all networks at the same points"),
    "masked": (np.ma.masked_greater(FIELDS, 0.0), r"expected samples without a mask, got masked ones; try"),
}


@pytest.mark.parametrize(("array", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        Samples(array, POINTS)


@pytest.mark.parametrize("dims", [("network",), ("network", "x"), "np", ("point", "point")])
def test_bad_dims_are_refused(dims):
    with pytest.raises(ValueError, match=r"expected dims=.*or.*got.*try dims="):
        Samples(FIELDS, POINTS, dims=dims)


def test_dims_that_do_not_fit_the_points_are_refused():
    with pytest.raises(ValueError, match=r"expected as many columns as points, got \(3, 50\) \(network, point\) and 3"):
        Samples(FIELDS, POINTS, dims=("point", "network"))


def test_a_bad_number_is_found_in_any_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(samples_module, "_CHECK", 30)
    fields = broken([12, 33], 1, np.nan)
    np.save(tmp_path / "fields.npy", fields)
    for array, dims in ((tmp_path / "fields.npy", None), (fields.T, ("point", "network"))):
        with pytest.raises(ValueError, match=r"got nan in network 12 at point 1 \(the first of 2 among 150"):
            Samples(array, POINTS, dims=dims)
    fields = broken(slice(0, 40), 1, 0.5)
    assert Samples(fields, POINTS).n == 50  # constant in four slices of five is not constant


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (None, r"expected points of shape \(point, axis\), got none; try points="),
        (POINTS[:, 0], r"try points\[:, None\]"),
        (POINTS[[0, 1, 1]], "expected distinct points"),
        (POINTS * [[1.0], [np.nan], [1.0]], "expected finite points, got nan at point 1"),
        ("nowhere.npy", r"expected a file at 'nowhere.npy', got no such file; try"),
        ("points.xls", r"expected a file .npy, .npz, .csv, .*, got 'points.xls'; try import pandas .*read_excel"),
    ],
)
def test_bad_points_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        Samples(FIELDS, points)


def test_bad_points_files_are_refused(tmp_path):
    cases = {
        "words.csv": ("x,y\n1,b\n", "expected words.csv to hold plain numbers, got 'b' in row 1, column 'y'; try"),
        "ragged.txt": ("1 2\n3\n", "expected ragged.txt to hold plain numbers, got .*; try"),
        "empty.txt": ("\n", r"expected points of shape \(point, axis\), got \(0, 1\)"),
        "text.npy": ("1 2\n", "expected text.npy to be a .npy file, got another kind of file; try"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            Samples(FIELDS, tmp_path / name)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=r"expected bytes.csv to hold .*, got 'utf-8' codec"):
        load_points(tmp_path / "bytes.csv")
    np.save(tmp_path / "flat.npy", POINTS[:, 0])
    with pytest.raises(ValueError, match=r"try points\[:, None\]"):
        load_points(tmp_path / "flat.npy")
    np.savez(tmp_path / "two.npz", a=POINTS, b=POINTS)
    with pytest.raises(ValueError, match=r"expected the name 'points' in two.npz, got \['a', 'b'\]; try np.savez"):
        load_points(tmp_path / "two.npz")


def test_zarr_is_an_extra(tmp_path, monkeypatch):
    save_zarr(tmp_path / "fields.zarr", FIELDS, POINTS)
    monkeypatch.setitem(sys.modules, "zarr", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"expected the zarr package.*try pip install nnft\[zarr\]"):
        Samples(tmp_path / "fields.zarr")


@pytest.mark.parametrize("count", [0, 50, -1, 51])
def test_a_split_leaves_networks_on_both_sides(count):
    with pytest.raises(ValueError, match=r"expected a split of 50 networks after 1..49, got .*; try 25"):
        Samples(FIELDS, POINTS).split(count)


def test_a_part_is_read_within_its_bounds():
    head, rest = Samples(FIELDS, POINTS).split(20)
    assert (head.n, rest.n) == (20, 30)
    first, second = rest.split(10)  # a part of a part
    np.testing.assert_array_equal(first.read(0, 10), FIELDS[20:30])
    np.testing.assert_array_equal(second.read(5, 5), FIELDS[35:40])
    assert head.read(20, 0).shape == (0, 3)
    for start, count in ((0, 21), (-1, 3), (19, 2), (3, -1)):
        with pytest.raises(ValueError, match=r"expected networks among 0..19, got .*; try"):
            head.read(start, count)


def test_sums_over_samples_are_sums():
    def statistic(fields, weights):
        return {"one": weights.sum(), "two": (fields.T * weights) @ fields}

    for part in (Samples(FIELDS, POINTS), *Samples(FIELDS, POINTS).split(20)):
        sizes, totals = sums(part, statistic)
        assert sizes.sum() == totals["one"].sum() == part.n
        fields = part.read(0, part.n)
        np.testing.assert_allclose(totals["two"].sum(axis=0), fields.T @ fields, rtol=1e-12)


def test_the_name_of_the_file_is_shown_and_no_more(tmp_path):
    np.save(tmp_path / "fields.npy", FIELDS.astype(np.float32))
    assert repr(Samples(tmp_path / "fields.npy", POINTS)) == "Samples(fields.npy, n=50, points=3, float32)"
    assert repr(Samples(FIELDS, POINTS).split(20)[1]) == "Samples(array, n=30, points=3, float64)"
