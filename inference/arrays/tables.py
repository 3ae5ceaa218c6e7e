"""Tables as people keep them: text with commas, tabs or semicolons, data frames; columns may have names.

A row is a network, a column a point. A column that only numbers the rows is left out, and columns named by positions,
0.5 or x=0.5, say where the points are. A table of one value a row is refused with the line that turns it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.types import Points
from .axes import refused

__all__ = ["Table", "from_frame", "positions", "read_text", "rows_of_text"]

Table = tuple[np.ndarray, Points | None]
_UNCLEAR = re.compile(r"[-+]?\d+,\d+")
_PLACE = re.compile(r"(\w+ *[=@] *)?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_EVEN = 1e-6  # relative, of positions that were written with six digits or more
_COUNTS = ("", "index", "id", "#", "network", "net", "unnamed: 0")  # names of columns that number the rows


def read_text(path: Path, *, numbers_name: bool = True) -> Table:
    """Numbers of a text file, (row, column), and the positions its columns are named by, or None.

    Args:
        path: of the file.
        numbers_name: whether a first line of numbers may name the columns, as positions or by counting them.

    Raises:
        ValueError: cells that are no numbers, rows of different length, commas that may be decimal points.
    """
    names, rows, comma = rows_of_text(path, numbers_name=numbers_name)
    if not rows:
        return np.empty((0, 1)), None
    if names is not None and len(names) == len(rows[0].split(comma)) - 1:
        names = ["", *names]  # R names no column of row names
    try:
        table = np.loadtxt(rows, delimiter=comma, ndmin=2)
    except ValueError as error:
        raise _no_number(path.name, names, rows, comma, error) from None
    return _as_fields(table, names, path.name)


def rows_of_text(path: Path, *, numbers_name: bool = True) -> tuple[list[str] | None, list[str], str | None]:
    """The names of the columns, where the first line has any, the lines below, and what stands between columns.

    Raises:
        ValueError: commas that may be decimal points.
    """
    text = path.read_text(encoding="utf-8-sig").splitlines()
    lines = [line.partition("#")[0].rstrip().replace('"', "") for line in text if line.partition("#")[0].strip()]
    between = next((mark for mark in ";," if any(mark in line for line in lines)), None)
    if between == ";":
        lines = [line.replace(",", ".") for line in lines]  # as spreadsheets write where the comma is decimal
    if between is None and lines and "\t" in lines[0] and not all(map(_is_number, lines[0].split("\t"))):
        between = "\t"  # names may have blanks, or be none; between numbers any blanks will do
    names = None
    cells = [cell.strip() for cell in lines[0].split(between)] if lines else []
    words = not all(map(_is_number, cells))
    if words or (numbers_name and _numbers_name(cells, lines[1:2], between)):
        names, lines = cells, lines[1:]
    bare = [line.strip() for line in lines]
    # A grid that has negative numbers in its first column has them in its second too; decimals never have.
    if any(line.startswith("-") for line in bare) and all(_UNCLEAR.fullmatch(line) for line in bare):
        advice = "1.5 for decimals, or a blank after the comma for two columns"
        raise refused("numbers with a decimal point", f"{bare[0]} in every line of {path.name}", advice)
    return names, lines, between


def _numbers_name(cells: list[str], below: list[str], between: str | None) -> bool:
    """Whether a line of numbers names the columns: they are evenly spaced, above decimals that are not.

    So pandas and NumPy write columns that are numbered, or named by their positions.
    """
    if not any("." in line or "e" in line.lower() for line in below):
        return False  # whole numbers above whole numbers may be anything
    if len(cells) > 1 and cells == [str(k) for k in range(len(cells))]:
        return True
    first = [[cell.strip() for cell in line.split(between)] for line in below]
    return _evenly_spaced(cells) and any(all(map(_is_number, row)) and not _evenly_spaced(row) for row in first)


def _evenly_spaced(cells: list[str]) -> bool:
    steps = np.diff(np.array(cells, dtype=float))
    return len(steps) > 1 and steps[0] != 0.0 and bool(np.all(np.abs(steps - steps[0]) <= _EVEN * np.abs(steps[0])))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _no_number(name: str, names: list[str] | None, rows: list[str], between: str | None, error: ValueError) -> Any:
    """The refusal that names the first cell that is none."""
    wide = len(rows[0].split(between))
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row.split(between)]
        if len(cells) != wide:
            got = f"{len(cells)} columns in row {number} and {wide} in the first"
            return refused(f"{name} to hold plain numbers", got, "rows of one length, a column for each point")
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                where = repr(names[column]) if names else str(column + 1)
                got = f"{repr(cell) if cell else 'an empty cell'} in row {number}, column {where}"
                return refused(f"{name} to hold plain numbers", got, "leaving that column or row out")
    return refused(f"{name} to hold plain numbers", error, "numbers with blanks, commas or tabs between them")


def from_frame(array: Any) -> tuple[Any, Points | None]:
    """A data frame of pandas or polars, known by its methods, as a table; anything else as it is.

    >>> from_frame([[1.0, 2.0]])
    ([[1.0, 2.0]], None)

    Raises:
        ValueError: columns of words, one value a row.
    """
    names, values = getattr(array, "columns", None), getattr(array, "to_numpy", None)
    if names is None or values is None:
        return array, None
    cells, words = np.asarray(values()), [str(name).strip() for name in names]
    if cells.dtype.kind in "OUS":
        for name, column in zip(words, cells.T, strict=True):
            if bad := [one for one in column.tolist() if not _is_number(str(one))]:
                raise refused("columns of numbers", f"{bad[0]!r} in column {name!r}", "leaving that column out")
        cells = cells.astype(float)
    return _as_fields(cells, words, "the data frame")


def _as_fields(table: np.ndarray, names: Sequence[str] | None, what: str) -> Table:
    """A table without the column that numbers its rows, and positions from the names of the others."""
    if names is None or table.ndim != 2:
        return table, None
    if table.shape[1] > 1 and names[0].lower() in _COUNTS and _counts(table[:, 0]):
        table, names = table[:, 1:], names[1:]
    if len(names) == 3 and names[0].lower() in ("network", "net", "id", "run", "seed") and _repeats(table[:, 0]):
        index, columns, values = names
        advice = f"df.pivot(index={index!r}, columns={columns!r}, values={values!r})"
        raise refused("a row for each network and a column for each point", f"one value a row in {what}", advice)
    return table, positions(names)


def _counts(column: np.ndarray) -> bool:
    """Whether it is 0, 1, 2, ... or 1, 2, 3, ..."""
    return bool(np.array_equal(column - column[0], np.arange(len(column))) and column[0] in (0, 1))


def _repeats(column: np.ndarray) -> bool:
    return len(np.unique(column)) <= len(column) // 2


def positions(names: Sequence[str]) -> Points | None:
    """Points in one dimension from names such as -0.5 or x=-0.5, (point, 1); None of others, and of a mere count.

    >>> positions(["x=-0.5", "x=1"]).tolist(), positions(["a", "b"]), positions(["0", "1"])
    ([[-0.5], [1.0]], None, None)
    """
    found = [_PLACE.fullmatch(name) for name in names]
    if not names or any(match is None for match in found):
        return None
    texts = [(match[1], match[2]) for match in found if match is not None]
    if [(None, str(k)) for k in range(len(texts))] == texts or [(None, str(k + 1)) for k in range(len(texts))] == texts:
        return None
    where = np.array([[float(text)] for _, text in texts])
    return where if len(np.unique(where)) == len(where) else None
