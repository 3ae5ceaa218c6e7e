"""Arrays in files, .npy, .npz, .nc, .zarr, .h5 and text: read as they lie, and never by pickle."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import xarray as xr

from ...models.correlators import check_points
from ...models.types import Points
from ..engines.memory import expect_memory
from .axes import Refused, off_device, refused
from .tables import read_text

__all__ = ["load_array", "load_points", "printable", "reading"]

NAMES = ("phi", "samples", "fields")  # what people call it, in the order we look
_TEXT = (".csv", ".tsv", ".txt", ".dat")
_ARRAYS = (".npy", ".npz", ".nc", ".zarr", ".h5", ".hdf5", *_TEXT)
_TORCH = "import torch, numpy as np; np.save('{0}.npy', torch.load('{0}{1}', map_location='cpu').detach().numpy())"
_PICKLE = "(of a file you trust) import numpy as np; np.save('{0}.npy', np.load('{0}{1}', allow_pickle=True))"
_PANDAS = "import pandas as pd; pd.read_{2}('{0}{1}').to_csv('{0}.csv', index=False)"
# Files that only their own package reads, some by running what is in them: refused with the lines that turn them.
_TURNED = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle"), _PICKLE),
    ".joblib": "import joblib, numpy as np; np.save('{0}.npy', np.asarray(joblib.load('{0}{1}')))",
    ".mat": "import scipy.io, numpy as np; np.save('{0}.npy', scipy.io.loadmat('{0}{1}')['phi'])",
    **{kind: _PANDAS.replace("{2}", kind[1:]) for kind in (".parquet", ".feather", ".json")},
    **dict.fromkeys((".xls", ".xlsx"), _PANDAS.replace("{2}", "excel")),
    **dict.fromkeys((".gz", ".xz", ".bz2", ".zip"), "unpacking it first"),
}
# How files begin: a wrong one is refused before a reader guesses what else it could be (NumPy guesses a pickle).
_BEGINS = {".npy": b"\x93NUMPY", ".npz": b"PK", ".nc": b"\x89HDF\r\n\x1a\n", ".h5": b"\x89HDF\r\n\x1a\n"}
_KNOWN = {b"\x93NUMPY": "a .npy file", b"PK": "a zip archive", b"\x89HDF": "an HDF5 file", b"CDF": "a NetCDF 3 file"}


def printable(name: str) -> str:
    """A file name that can be printed and stored: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def load_array(path: str | Path, *, variable: str | None = None) -> tuple[Any, Any]:
    """The array in a file, not yet read where the format allows that, and the `points` beside it or None.

    Raises ValueError: no such file, a file of another kind, no such variable in it.
    """
    path = Path(path)
    table = _load(path, _ARRAYS)
    others = [name for name in table if name != "points"]
    flat = [name for name in others if len(table[name].shape) == 2]
    named = [name for name in NAMES if name in table]
    likely = [variable] if variable else flat if len(flat) == 1 else named or (others if len(others) == 1 else [])
    if not likely or likely[0] not in table:
        held = ", ".join(f"{name} {tuple(value.shape)}" for name, value in table.items()) or "nothing"
        expected = repr(variable) if variable else f"one 2-D array or {', '.join(NAMES)}"
        raise refused(f"{expected} in {path.name}", held, "variable= with the name of one of these")
    return table[likely[0]], table.get("points")


def load_points(points: Any) -> Points:
    """Points as (point, axis) float64, from an array or from a .npy, .npz, .csv, .tsv or .txt file.

    A text file with one number per line is one point per line in one dimension; a 1-D array is refused as ambiguous.
    Raises ValueError: as in `check_points`, or a file that cannot be read.
    """
    if points is None:
        advice = "points= (--points -1,0,1 or a file), `points` in the file, or columns named by position"
        raise refused("points of shape (point, axis)", "none", advice)
    if not isinstance(points, str | Path):
        return check_points(off_device(points))
    table = _load(Path(points), (".npy", ".npz", *_TEXT), numbers_name=False)
    held = "array" if Path(points).suffix.lower() in _TEXT else "points"
    if held not in table and len(table) != 1:
        raise refused(f"the name 'points' in {Path(points).name}", list(table), "np.savez(file, points=points)")
    return check_points(np.array(table[held] if held in table else next(iter(table.values()))))


def _load(path: Path, kinds: tuple[str, ...], *, numbers_name: bool = True) -> dict[str, Any]:
    """Name -> array of everything in a file, if it is there and begins like one of its kind.

    `numbers_name`: whether a first line of numbers may name columns; of points it is a point.
    """
    kind = path.suffix.lower()
    if kind not in kinds:
        advice = _TURNED.get(kind, "np.save('{0}.npy', array)").format(path.stem or "samples", path.suffix)
        raise refused(f"a file {', '.join(kinds)}", repr(path.name or str(path)), advice)
    if not path.exists() or (path.is_dir() and kind != ".zarr"):
        raise refused(f"a file at {str(path)!r}", "a folder" if path.exists() else "no such file", "its full path")
    if begins := _BEGINS.get(kind):
        with path.open("rb") as file:
            head = file.read(8)
        if not head.startswith(begins):
            got = next((what for start, what in _KNOWN.items() if head.startswith(start)), "another kind of file")
            raise refused(f"{path.name} to be a {kind} file", got, f"writing it again as {kind}")
    expect_memory(_size(path, kind), f"the arrays of {path.name}", "np.save of each, which is read as it lies")
    with reading(path.name):
        if kind == ".npy":
            return {"array": np.load(path, mmap_mode="r", allow_pickle=False)}
        if kind == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
        if kind == ".nc":
            import h5py

            h5py.File(path).close()  # says what is wrong with a broken file, where NetCDF gives a number
            data = xr.open_dataset(path, engine="netcdf4", decode_times=False)
            return {str(name): data[name] for name in [*data.data_vars, *({"points"} & set(data.coords))]}
        if kind == ".zarr":
            import zarr  # an extra of the package

            node = zarr.open(str(path), mode="r")
            return {"array": node} if isinstance(node, zarr.Array) else dict(node.arrays())
        if kind in (".h5", ".hdf5"):
            import h5py

            with h5py.File(path) as file:
                held = {str(name): np.asarray(node) for name, node in file.items() if isinstance(node, h5py.Dataset)}
            return {name: value for name, value in held.items() if value.ndim}
        array, places = read_text(path, numbers_name=numbers_name)
        return {"array": array, **({} if places is None else {"points": places})}


def _size(path: Path, kind: str) -> float:
    """Bytes of what is read at once: the arrays in an archive, else the file; none where it is read as it lies."""
    if kind in (".npy", ".nc", ".zarr"):
        return 0.0
    if kind != ".npz":
        return float(path.stat().st_size)
    with reading(path.name), ZipFile(path) as archive:
        return float(sum(part.file_size for part in archive.infolist()))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What a foreign reader raises, in words of ours."""
    try:
        yield
    except ImportError as error:
        raise refused(f"the zarr package, to read {name}", error, "pip install nnft[zarr]") from error
    except Refused:
        raise
    except Exception as error:  # every library has its own for a broken file: OSError, BadZipFile, zlib.error, ...
        why = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        advice = "copying or writing the file again, which is damaged or cut short"
        if isinstance(error, UnicodeError):
            advice = "saving it as plain text, UTF-8"
        elif "pickle" in why or "object" in why.lower():
            advice = "writing the file again, without pickle"
        raise refused(f"{name} to hold plain numbers", why, advice) from error
