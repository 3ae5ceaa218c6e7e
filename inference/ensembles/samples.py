"""The field on somebody else's networks: an array phi(network, point) they computed, from memory or from a file.

Nothing is assumed about who made it. It is read in slices, as it lies, and not copied whole where the format allows
(.npy, .nc, .zarr); pickle is never opened. What cannot be right (a field that is not finite or does not vary, axes that
do not fit the points) is refused here, before any long work; copies and mirror images of a network are left out
(`arrays/copies.py`), and the order of the file tells whether it is a Markov chain (`chains.py`).
"""

from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...models.arrays import place_label
from ...models.refusals import is_whole
from ...models.types import Matrix
from ..arrays.axes import as_store, float_type, orientation, refused, shape_advice, three_axes
from ..arrays.copies import copies, discrete, in_runs, row_hashes
from ..arrays.files import load_array, load_points, printable, reading
from ..arrays.tables import from_frame
from ..engines.memory import expect_memory
from .chains import LOOKED, Dependence, dependence_of, series_of
from .source import Slice, Source, two_point

__all__ = ["Samples"]

_CHECK = 2**22  # numbers looked at together when samples are checked: 32 MB
_COPIES = 3  # of networks put into another order: as they lie, as they were asked for, and what looks for copies
_PILOT = 500  # networks held out for a two-point function at least
_CHECKED = 4  # points looked at to tell copies from values that repeat


class Samples(Source):
    """Outputs phi(x) of n networks at M points, from memory or a file; what `Ensemble` is for a recipe.

    Args:
        array: (network, point): anything NumPy reads as an array, a list of lists, a tensor of PyTorch on any device,
            a data frame of pandas or polars, an xarray.DataArray with these dims, or the path of a .npy, .npz, .nc
            (NetCDF 4), .zarr, .h5, .csv, .tsv or .txt file; a table may have names over its columns. float32 and
            float64 stay as they are, integers become float64.
        points: input points (point, axis), the path of a .npy, .npz, .csv, .tsv or .txt file with them, or None where
            the file of the array holds them as `points`, or columns are named by positions, 0.5 or x=0.5.
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
            raise refused("variable= with a file only", f"{variable!r} and an array", "leaving it out")
        else:
            array, inside = from_frame(array)
        self._store, names = as_store(array)
        self.dtype = float_type(self._store.dtype, parts=complex_parts)
        shape = tuple(self._store.shape)
        several, each = outputs is not None or complex_parts, 2 if complex_parts else 1
        if len(shape) not in (2, 3 if several else 2) or 0 in shape:
            got = "nothing" if 0 in shape else f"{len(shape)} axes"
            advice = "an array of networks times points" if 0 in shape else shape_advice(shape)
            raise refused("samples of shape (network, point)", f"{got}, {shape}", advice)
        self.points = load_points(inside if points is None else points)
        self.outputs, count = each if outputs is None else outputs, len(self.points)
        if not is_whole(self.outputs, 1) or self.outputs % each:
            raise refused(f"outputs, a number of fields, {each} or more", repr(outputs), f"outputs={2 * each}")
        if len(shape) == 3:
            self._axes = three_axes(shape, count, dims, names)
            if outputs != (held := each * shape[self._axes[2]]):
                raise refused(f"outputs={held}, as the array {shape} has", outputs, f"outputs={held}")
        else:
            flip = orientation(shape, count * (self.outputs // each), dims, names)
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
            raise refused(f"networks among 0..{self.n - 1}", f"{start}..{start + count - 1}", "a smaller count")
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

    def dealt(self, order: np.ndarray) -> Source:
        size = _COPIES * float(len(order)) * self.places * self.dtype.itemsize
        expect_memory(size, f"{len(order)} networks in another order", "fewer of them, or an inf.Ensemble")
        return type(self)(self.read(0, self.n)[order], np.asarray(self.points), outputs=self.outputs)

    def sent(self, first: int, count: int) -> Source:
        """The rows of one part and no others; a file is opened where they are needed."""
        return Slice(self.read(first, count), first, self.points, self.n, self.dependence, self.even, self.outputs)

    def split(self, count: int) -> tuple[Self, Self]:
        """The first `count` networks and the others, as views of the same memory or file."""
        if not 0 < count < self.n:
            raise refused(f"a split of {self.n} networks after 1..{self.n - 1}", count, f"{self.n // 2}")
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
            raise refused("chains without copies", f"{len(copied) - rows} rows that repeat others", "each chain once")
        self._kept, self.copied, self.n = np.flatnonzero(~copied), len(copied) - rows, rows

    def _check_values(self) -> np.ndarray:
        """One pass in slices: every number finite, and at every point some variance; a hash of every row."""
        count = self.places
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        bad, worst = 0, ""
        step = max(1, _CHECK // count)
        hashes = []
        for start in range(0, self.n, step):
            with reading(self._name):
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
            raise refused("finite samples", got, "finding out why, or leaving those networks out")
        if len(dead := np.flatnonzero(low == high)):
            got = f"{low[dead[0]]:g} in all {self.n} networks at point {self._label(dead[0])}, variance zero"
            advice = "removing that point" if self.n > 1 else "more networks"
            raise refused("a field that varies at every point", got, advice)
        return np.concatenate(hashes)


def _chain_count(chains: int | None, n: int) -> int | None:
    if chains is None:
        return None
    if isinstance(chains, bool) or not isinstance(chains, int | np.integer) or not 1 <= chains <= n or n % chains:
        raise refused(f"a number of chains of equal length among {n} fields", repr(chains), "chains=1")
    return int(chains)


def _told(independent: bool | None, chains: int | None) -> bool | None:
    if independent is not None and not isinstance(independent, bool | np.bool_):
        raise refused("independent= True, False or None", repr(independent), "leaving it out")
    if independent and chains is not None:
        raise refused("either chains= or independent=True", f"chains={chains} and both", "one of them")
    return None if independent is None else bool(independent)
