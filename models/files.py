"""Files are written whole or not at all: beside their place first, onto the disk, and then renamed.

A reader never sees half a file, whatever stops the writer: Ctrl-C, kill -9, a full disk. NetCDF is made in memory, so
that a disk that fills up is one clear error and not HDF5's.

A file of correlators holds G{r} and m{r} with their errors under labels anybody can read (`Correlators.to_dataset`),
the rows of their covariance, of a part of an ensemble the sums behind them, and as JSON what is no array: verdicts on
tails, the recipe with its hash, versions and platform. No pickle is written or read.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import numpy as np
import xarray as xr

from .. import __version__

__all__ = [
    "fill_between",
    "load_correlators",
    "read_dataset",
    "recipe_hash",
    "save_correlators",
    "versions",
    "write_dataset",
    "write_whole",
]

FORMAT = "nnft correlators 1"
_PACKAGES = ("jax", "jaxlib", "numpy")


def fill_between(file: str | os.PathLike[str], name: str, text: str) -> None:
    """Put lines between the marks <!-- name --> and <!-- /name --> of a Markdown file.

    Raises:
        ValueError: a file without the two marks.
    """
    path, marks = Path(file), (f"<!-- {name} -->", f"<!-- /{name} -->")
    before, begin, rest = path.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"expected the marks {' and '.join(marks)} in {path.name}, got none; try adding them")
    write_whole(path, f"{before}{begin}\n{text}\n{end}{after}".encode())


def write_whole(path: str | os.PathLike[str], data: bytes) -> Path:
    """Bytes as a file that is there in full or not at all; its folder is made.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the file is as it was.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "new" / "a.txt", b"whole").read_text()
    'whole'
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_UMASK)
        os.replace(beside, place)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return place


def write_dataset(path: str | os.PathLike[str], data: xr.Dataset) -> Path:
    """A dataset as one NetCDF file, whole or not at all."""
    made: Any = data.to_netcdf(engine="netcdf4")
    return write_whole(path, bytes(made))


def read_dataset(path: str | os.PathLike[str], *, what: str) -> xr.Dataset:
    """A dataset in memory, its file closed.

    Raises:
        ValueError: no such file, or one that is truncated or no NetCDF.
    """
    place = Path(path)
    if not place.is_file():
        raise ValueError(f"expected a file of {what}, got {str(path)!r}, no such file; try its full path")
    try:
        with xr.open_dataset(place, engine="netcdf4") as data:
            return data.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"expected a whole NetCDF file of {what}, got {place.name} ({_short(error)}), truncated or of another "
            "kind; try removing it and making it again"
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # asked once: asking changes it for a moment, for every thread


def versions() -> dict[str, str]:
    """Of nnft and of the packages whose round-off is in the numbers."""
    return {"nnft": __version__, **{name: version(name) for name in _PACKAGES}}


def recipe_hash(about: Mapping[str, Any]) -> str:
    """Sixteen digits of the recipe behind correlators, "" where there is none: equal recipes, equal digits.

    >>> recipe_hash({"recipe": '{"n": 3}'}) == recipe_hash({"recipe": '{"n": 4}'})
    False
    """
    recipe = about.get("recipe", "")
    return hashlib.sha256(str(recipe).encode()).hexdigest()[:16] if recipe else ""


def save_correlators(data: Any, path: str | os.PathLike[str]) -> Path:
    """`Correlators` as one NetCDF file, whole or not at all."""
    made = data.to_dataset()
    for kind, by_order in data.rows.items():
        for order, rows in by_order.items():
            made[f"rows_{kind}_{order}"] = ((f"row{len(rows)}", f"component{order}"), rows)
    made["points"] = (("point", "axis"), data.points)
    sums, words = dict(data.sums or {}), {}
    for order, total in sums.pop("totals", {}).items():
        made[f"sum_{order}"] = (("group", f"component{order}"), total)
    for name, value in sums.items():
        if isinstance(value, np.ndarray):
            made[f"part_{name}"] = (tuple(f"{name}{k}" for k in range(value.ndim)), value)
        else:
            words[name] = value
    kept = ("networks", "dof", "maker", "even", "groups", "scrambles", "outputs", "refused", "flags", "about")
    told = {name: getattr(data, name) for name in kept}
    made.attrs = {
        "format": FORMAT,
        "correlators": json.dumps(told, default=str),
        "part": json.dumps(words, default=str),
        "recipe": str(data.about.get("recipe", "")),
        "recipe_hash": recipe_hash(data.about),
        "versions": json.dumps(versions()),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    return write_dataset(path, made)


def load_correlators(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `Correlators` are made of, from such a file.

    Raises:
        ValueError: no such file, a truncated one, one of something else, or of a later format.
    """
    data, name = read_dataset(path, what="correlators"), Path(path).name
    if data.attrs.get("format") != FORMAT:
        raise ValueError(
            f"expected a file of {FORMAT!r}, got {name} of {data.attrs.get('format', 'no known format')!r}; try "
            "Correlators.save, or the version of nnft that wrote it"
        )
    told, words = json.loads(data.attrs["correlators"]), json.loads(data.attrs["part"])
    numbers = {str(key): np.asarray(value.values) for key, value in data.variables.items()}
    rows: dict[str, dict[int, np.ndarray]] = {}
    for key in numbers:
        if key.startswith("rows_"):
            _, kind, order = key.split("_")
            rows.setdefault(kind, {})[int(order)] = numbers[key]
    for kind in ("refused", "flags"):
        told[kind] = {int(order): why for order, why in told[kind].items()}
    told["about"] |= {"versions": data.attrs["versions"], "platform": data.attrs["platform"]}
    sums: dict[str, Any] | None = None
    if words:
        arrays = {key.removeprefix("part_"): value for key, value in numbers.items() if key.startswith("part_")}
        totals = {int(key[4:]): value for key, value in numbers.items() if key.startswith("sum_")}
        sums = {**words, **arrays, "totals": totals}
    tables = {
        letter: {int(k[1:]): v for k, v in numbers.items() if k[:1] == letter and k[1:].isdigit()} for letter in "Gm"
    }
    return {
        **told,
        "points": numbers["points"],
        "moments": tables["m"],
        "cumulants": tables["G"],
        "rows": rows,
        "sums": sums,
    }
