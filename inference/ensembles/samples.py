"""The field on somebody else's networks: an array phi(network, point) they computed, from memory or from a file.

Nothing is assumed about who made it. It is read in slices, as it lies, and not copied whole where the format allows
(.npy, .nc, .zarr); pickle is never opened. What cannot be right (a field that is not finite or does not vary, axes that
do not fit the points) is refused here, before any long work; copies and mirror images of a network are left out
(`copies.py`), and the order of the file tells whether it is a Markov chain (`chains.py`).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from ...models.arrays import place_label
from ...models.correlators import check_points
from ...models.refusals import is_whole
from ...models.types import Matrix, Points
from .chains import LOOKED, Dependence, dependence_of, series_of
from .copies import copies, discrete, in_runs, row_hashes
from .source import Slice, Source, two_point

__all__ = ["Samples", "load_array", "load_points", "printable"]

AXES = ("network", "point")
FIELDS = ("network", "point", "output")  # of several fields
NAMES = ("phi", "samples", "fields")  # what people call it, in the order we look
_CHECK = 2**22  # numbers looked at together when samples are checked: 32 MB
_UNCLEAR = re.compile(r"[-+]?\d+,\d+")
_PILOT = 500  # networks held out for a two-point function at least
_CHECKED = 4  # points looked at to tell copies from values that repeat
# How files begin: a wrong one is refused before a reader guesses what else it could be (NumPy guesses a pickle).
_BEGINS = {".npy": b"\x93NUMPY", ".npz": b"PK", ".nc": b"\x89HDF\r\n\x1a\n", ".h5": b"\x89HDF\r\n\x1a\n"}
_KNOWN = {b"\x93NUMPY": "a .npy file", b"PK": "a zip archive", b"\x89HDF": "an HDF5 file", b"CDF": "a NetCDF 3 file"}


class _Unclear(Exception):
    """A comma that may stand for a decimal point or between two columns."""


class Samples(Source):
    """Outputs phi(x) of n networks at M points, from memory or a file; what `Ensemble` is for a recipe.

    Args:
        array: (network, point): anything NumPy reads as an array, an xarray.DataArray with these dims, or the path of
            a .npy, .npz, .nc (NetCDF 4) or .zarr file. float32 and float64 stay as they are, integers become float64.
        points: input points (point, axis), the path of a .npy, .npz, .csv or .txt file with them, or None where the
            file of the array holds them as `points`.
        dims: the order of the two axes, where they are swapped or as long as each other.
        variable: name of the array in a file that holds several; else the only 2-D one, or phi, samples, fields.
        chains: so many Markov chains of equal length lie one after the other; errors then come from blocks.
        name: what the array is called, where the file was read elsewhere.
        outputs: number D of fields at each point: the array is (network, point, output), or (network, place) with place
            number point D + output; `dims` has three names then.
        complex_parts: the array is complex, (network, point), and its real and imaginary part are two outputs; of F
            complex fields (network, point, field) outputs is 2 F.
        independent: True takes the networks as independent whatever their order says, False as a Markov chain; None
            looks: fields that remember the one before, beyond chance, are averaged in blocks.

    Attributes:
        points: (point, axis), float64.
        n: number of networks, without copies.
        copied: rows left out, because they equal an earlier one up to sign.
        dtype: float32 or float64.
        outputs: number of fields, one where it was not said.
        even: False; of foreign networks it is not known whether phi -> -phi is a symmetry.

    Raises:
        ValueError: a file that is missing, truncated or of another kind; axes that do not fit the points; complex,
            not finite or constant samples. The message says what was expected, what was found and what to try.

    Example:
        >>> import numpy as np
        >>> Samples(np.random.default_rng(0).normal(size=(100, 2)), np.array([[0.0], [1.0]]))
        Samples(array, n=100, points=2, float64)
    """

    def __init__(
        self,
        array: Any,
        points: Any = None,
        *,
        dims: tuple[str, ...] | None = None,
        variable: str | None = None,
        outputs: int | None = None,
        complex_parts: bool = False,
        chains: int | None = None,
        independent: bool | None = None,
        name: str = "array",
    ) -> None:
        self._name, inside = name, None
        if isinstance(array, str | Path):
            self._name = printable(Path(array).name)
            array, inside = load_array(array, variable=variable)
        elif variable is not None:
            raise _refusal("variable= with a file only", f"{variable!r} and an array", "leaving it out")
        self._store, names = _as_store(array)
        self.dtype = _float_type(self._store.dtype, parts=complex_parts)
        shape = tuple(self._store.shape)
        several, each = outputs is not None or complex_parts, 2 if complex_parts else 1
        if len(shape) not in (2, 3 if several else 2) or 0 in shape:
            got = "nothing" if 0 in shape else f"{len(shape)} axes"
            advice = "array[:, None] for one point" if len(shape) == 1 else "an array of networks times points"
            advice += f", or outputs={shape[2]} if these are fields" if len(shape) == 3 and shape[2] > 1 else ""
            raise _refusal("samples of shape (network, point)", f"{got}, {shape}", advice)
        self.points = load_points(inside if points is None else points)
        self.outputs, count = each if outputs is None else outputs, len(self.points)
        if not is_whole(self.outputs, 1) or self.outputs % each:
            raise _refusal(f"outputs, a number of fields, {each} or more", repr(outputs), f"outputs={2 * each}")
        if len(shape) == 3:
            self._axes = _three_axes(shape, count, dims, names)
            if outputs != (held := each * shape[self._axes[2]]):
                raise _refusal(f"outputs={held}, as the array {shape} has", outputs, f"outputs={held}")
        else:
            flip = _orientation(shape, count * (self.outputs // each), dims, names)
            self._axes = (1, 0) if flip else (0, 1)
        self._first, self.n = 0, shape[self._axes[0]]
        self._kept: np.ndarray | None = None  # rows that are read, where some are left out
        self.copied = 0
        self._order = {"chains": _chain_count(chains, self.n), "independent": _told(independent, chains)}
        self._leave_out(copies(self._check_values()))

    def about(self) -> dict[str, Any]:
        return {"copied": self.copied} if self.copied else {}

    def recipe(self) -> dict[str, Any]:
        return {"kind": "samples", "file": None if self._name == "array" else self._name, "n": self.n}

    def read(self, start: int, count: int) -> np.ndarray:
        """Fields of networks start .. start+count-1, (network, place)."""
        if not 0 <= start <= start + count <= self.n:
            raise _refusal(f"networks among 0..{self.n - 1}", f"{start}..{start + count - 1}", "a smaller count")
        span: Any = slice(self._first + start, self._first + start + count)
        span = span if self._kept is None else self._kept[span]
        index = [slice(None)] * len(self._axes)
        index[self._axes[0]] = span
        part = np.asarray(self._store[tuple(index)]).transpose(self._axes)
        if np.iscomplexobj(part):
            part = np.stack([part.real, part.imag], axis=-1)
        return part.reshape(count, self.places).astype(self.dtype, copy=False)

    def pilot(self, share: float) -> tuple[Matrix, str, Source | None]:
        """Of the first networks, which are held out of everything else."""
        count = int(max(_PILOT, share * self.n))
        head, rest = self.split(count)
        return two_point(head.read(0, count)), f"the first {count} networks, held out", rest

    def sent(self, first: int, count: int) -> Source:
        """The rows of one part and no others; a file is opened where they are needed."""
        return Slice(self.read(first, count), first, self.points, self.n, self.dependence, self.even, self.outputs)

    def split(self, count: int) -> tuple[Self, Self]:
        """The first `count` networks and the others, as views of the same memory or file."""
        if not 0 < count < self.n:
            raise _refusal(f"a split of {self.n} networks after 1..{self.n - 1}", count, f"{self.n // 2}")
        return self._part(self._first, count), self._part(self._first + count, self.n - count)

    def _part(self, first: int, count: int) -> Self:
        part, whole = copy(self), self.dependence
        for name, value in {"_first": first, "n": count, "dependence": whole._replace(n=count)}.items():
            setattr(part, name, value)
        return part

    @cached_property
    def dependence(self) -> Dependence:
        """What the order of the networks says about their independence, from the first million of them."""
        return dependence_of(series_of(self.read(0, min(self.n, LOOKED))), self.n, **self._order)

    def __repr__(self) -> str:
        left = f", {self.copied} copies left out" if self.copied else ""
        fields = f", outputs={self.outputs}" if self.outputs > 1 else ""
        return f"Samples({self._name}, n={self.n}, points={len(self.points)}{fields}, {self.dtype}{left})"

    def _label(self, place: int) -> str:
        return place_label(int(place), self.outputs)

    def _leave_out(self, copied: np.ndarray) -> None:
        """Leave out rows that repeat others, unless values repeat by themselves."""
        rows = int(len(copied) - copied.sum())
        if rows == len(copied) or (self.places == 1 and not in_runs(copied)):
            return
        fields = np.abs(self.read(0, self.n)[:, :_CHECKED])
        if discrete(max(len(np.unique(column)) for column in fields.T), rows):
            return
        if self._order["chains"] is not None:
            raise _refusal("chains without copies", f"{len(copied) - rows} rows that repeat others", "each chain once")
        self._kept, self.copied, self.n = np.flatnonzero(~copied), len(copied) - rows, rows

    def _check_values(self) -> np.ndarray:
        """One pass in slices: every number finite, and at every point some variance; a hash of every row."""
        count = self.places
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        bad, worst = 0, ""
        step = max(1, _CHECK // count)
        hashes = []
        for start in range(0, self.n, step):
            with _reading(self._name):
                part = self.read(start, min(step, self.n - start))
            finite = np.isfinite(part)
            if not finite.all():
                row, point = np.argwhere(~finite)[0]
                worst = worst or f"{part[row, point]} in network {start + row} at point {self._label(point)}"
                bad += int(part.size - finite.sum())
            low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
            hashes.append(row_hashes(part))
        if bad:
            got = f"{worst} (the first of {bad} among {self.n * count} numbers)"
            raise _refusal("finite samples", got, "finding out why, or leaving those networks out")
        if len(dead := np.flatnonzero(low == high)):
            got = f"{low[dead[0]]:g} in all {self.n} networks at point {self._label(dead[0])}, variance zero"
            advice = "removing that point" if self.n > 1 else "more networks"
            raise _refusal("a field that varies at every point", got, advice)
        return np.concatenate(hashes)


def printable(name: str) -> str:
    """A file name that can be printed and stored: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def load_array(path: str | Path, *, variable: str | None = None) -> tuple[Any, Any]:
    """The array in a file, not yet read where the format allows that, and the `points` beside it or None.

    Raises ValueError: no such file, a file of another kind, no such variable in it.
    """
    path = Path(path)
    table = _load(path, (".npy", ".npz", ".nc", ".zarr", ".h5", ".hdf5", ".csv", ".txt"))
    others = [name for name in table if name != "points"]
    flat = [name for name in others if len(table[name].shape) == 2]
    named = [name for name in NAMES if name in table]
    likely = [variable] if variable else flat if len(flat) == 1 else named or (others if len(others) == 1 else [])
    if not likely or likely[0] not in table:
        held = ", ".join(f"{name} {tuple(value.shape)}" for name, value in table.items()) or "nothing"
        expected = repr(variable) if variable else f"one 2-D array or {', '.join(NAMES)}"
        raise _refusal(f"{expected} in {path.name}", held, "variable= with the name of one of these")
    return table[likely[0]], table.get("points")


def load_points(points: Any) -> Points:
    """Points as (point, axis) float64, from an array or from a .npy, .npz, .csv or .txt file.

    A text file with one number per line is one point per line in one dimension; a 1-D array is refused as ambiguous.
    Raises ValueError: as in `check_points`, or a file that cannot be read.
    """
    if points is None:
        raise _refusal("points of shape (point, axis)", "none", "points= (--points), or `points` in the file")
    if not isinstance(points, str | Path):
        return check_points(points)
    table = _load(Path(points), (".npy", ".npz", ".csv", ".txt"))
    if "points" not in table and len(table) != 1:
        raise _refusal(f"the name 'points' in {Path(points).name}", list(table), "np.savez(file, points=points)")
    return check_points(np.array(table["points"] if "points" in table else next(iter(table.values()))))


def _load(path: Path, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Name -> array of everything in a file, if it is there and begins like one of its kind."""
    kind = path.suffix.lower()
    if kind not in kinds:
        raise _refusal(
            f"a file {', '.join(kinds)}",
            repr(path.name or str(path)),
            f"np.save('{path.stem or 'samples'}.npy', array)",
        )
    if not path.exists() or (path.is_dir() and kind != ".zarr"):
        raise _refusal(f"a file at {str(path)!r}", "a folder" if path.exists() else "no such file", "its full path")
    if begins := _BEGINS.get(kind):
        with path.open("rb") as file:
            head = file.read(8)
        if not head.startswith(begins):
            got = next((what for start, what in _KNOWN.items() if head.startswith(start)), "another kind of file")
            raise _refusal(f"{path.name} to be a {kind} file", got, f"writing it again as {kind}")
    with _reading(path.name):
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
        text = path.read_text(encoding="utf-8-sig").splitlines()
        lines = [line.partition("#")[0] for line in text if line.partition("#")[0].strip()]
        comma = any("," in line for line in lines)
        bare = [line.strip() for line in lines]
        # A grid that has negative numbers in its first column has them in its second too; decimals never have.
        if any(line.startswith("-") for line in bare) and all(_UNCLEAR.fullmatch(line) for line in bare):
            raise _Unclear(bare[0])
        return {"array": np.loadtxt(lines, delimiter="," if comma else None, ndmin=2) if lines else np.empty((0, 1))}


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """What a foreign reader raises, in words of ours."""
    try:
        yield
    except ImportError as error:
        raise _refusal(f"the zarr package, to read {name}", error, "pip install nnft[zarr]") from error
    except _Unclear as error:
        advice = "1.5 for decimals, or a blank after the comma for two columns"
        raise _refusal("numbers with a decimal point", f"{error} in every line of {name}", advice) from None
    except Exception as error:  # every library has its own for a broken file: OSError, BadZipFile, zlib.error, ...
        why = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise _refusal(f"{name} to hold plain numbers", why, "writing the file again, without pickle") from error


def _as_store(array: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Something with shape, dtype and slices, and the names of its axes if it has any; what is lazy stays so."""
    if isinstance(array, xr.DataArray):
        return array.variable, tuple(map(str, array.dims))
    if type(array).__module__.startswith(("zarr.", "h5py.")):
        names = getattr(getattr(array, "metadata", None), "dimension_names", None)
        names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # as xarray writes them into zarr 2
        return array, tuple(map(str, names)) if names is not None else None
    if np.ma.is_masked(array):
        raise _refusal("samples without a mask", "masked ones", "leaving those networks out")
    try:
        return np.asarray(array), None
    except (TypeError, ValueError) as error:
        raise _refusal("an array (network, point)", f"{type(array).__name__} ({error})", "np.asarray(...)") from error


def _float_type(dtype: np.dtype, *, parts: bool) -> np.dtype:
    if parts:
        if dtype.kind != "c":
            raise _refusal("complex samples for complex_parts=True", dtype, "leaving complex_parts out")
        return np.dtype(np.float32 if dtype.itemsize <= 8 else np.float64)
    if dtype.kind not in "fiu":
        advice = "the real part, or complex_parts=True, both parts as outputs" if dtype.kind == "c" else ""
        raise _refusal("samples that are real numbers", dtype, advice or "array.astype(float)")
    return np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)


def _orientation(shape: tuple[int, ...], count: int, dims: Any, named: tuple[str, ...] | None) -> bool:
    """Whether the axes are (point, network), from their names, the `dims` of the caller or the number of points."""
    if named is not None and sorted(named) == sorted(AXES):
        if dims is not None and tuple(dims) != named:
            raise _refusal(f"dims={named}, as the array is labelled", tuple(dims), "leaving dims out")
        dims = named
    elif named is not None and dims is None:
        raise _refusal(f"axes named {AXES}", named, f"array.rename(...) or dims={AXES}")
    if dims is not None and sorted(dims) != sorted(AXES):
        raise _refusal(f"dims={AXES} or {AXES[::-1]}", repr(dims), f"dims={AXES}")
    if dims is None and shape == (count, count):
        raise _refusal("dims= where there are as many networks as points", shape, f"dims={AXES}")
    if dims is None and shape[0] == count and shape[1] != count:
        advice = '.T or dims=("point", "network")'
        raise _refusal(f"samples of shape (network, point) with {count} points", shape, advice)
    flip = dims is not None and tuple(dims) == AXES[::-1]
    if shape[0 if flip else 1] != count:
        got = f"{shape[::-1] if flip else shape} (network, point) and {count} points"
        raise _refusal("as many columns as points", got, "the points these networks were evaluated at")
    return flip


def _three_axes(shape: tuple[int, ...], count: int, dims: Any, named: tuple[str, ...] | None) -> tuple[int, ...]:
    """Where the axes network, point and output are, from their names or, without any, in this order."""
    order = tuple(dims if dims is not None else named or FIELDS)
    if sorted(order) != sorted(FIELDS) or (named is not None and sorted(named) == sorted(FIELDS) and order != named):
        raise _refusal(f"three axes named {named or FIELDS}", order, f"array.rename(...) or dims={FIELDS}")
    axes = tuple(order.index(name) for name in FIELDS)
    if shape[axes[1]] != count:
        got = f"{tuple(shape[k] for k in axes)} (network, point, output) and {count} points"
        raise _refusal("as many points as the second axis", got, "dims= with the order of the axes")
    return axes


def _chain_count(chains: int | None, n: int) -> int | None:
    if chains is None:
        return None
    if isinstance(chains, bool) or not isinstance(chains, int | np.integer) or not 1 <= chains <= n or n % chains:
        raise _refusal(f"a number of chains of equal length among {n} fields", repr(chains), "chains=1")
    return int(chains)


def _told(independent: bool | None, chains: int | None) -> bool | None:
    if independent is not None and not isinstance(independent, bool | np.bool_):
        raise _refusal("independent= True, False or None", repr(independent), "leaving it out")
    if independent and chains is not None:
        raise _refusal("either chains= or independent=True", f"chains={chains} and both", "one of them")
    return None if independent is None else bool(independent)


def _refusal(expected: str, got: Any, advice: str) -> ValueError:
    return ValueError(f"expected {expected}, got {got}; try {advice}")
