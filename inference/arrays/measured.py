"""Correlators with errors that somebody else made, from a table or a NetCDF file: indices of points, value, error.

A table has a row a component, columns x1, x2, .. (any names) with numbers of points, blank beyond its order, then
`value` and `error`: what `Correlators.to_dataframe().to_csv(...)` writes. A NetCDF file has G2, G2_error, G4, .. on
sorted tuples, what `Correlators.to_xarray()` holds. Errors are taken as independent of each other; where a covariance
is known, `m.Correlators.from_arrays` takes it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...models.combinatorics import moment_jacobian, moments_from_connected, rank, sorted_tuples
from ...models.correlators import Correlators
from .axes import refused
from .files import load_points
from .tables import rows_of_text

__all__ = ["holds_correlators", "read_correlators"]

_VALUE, _ERROR = ("value", "mean", "g", "estimate"), ("error", "err", "se", "sd", "sigma", "std")
_BESIDE = ("", "order", "index", "name", "unnamed: 0")  # columns that say nothing new
_TEXT = (".csv", ".tsv", ".txt", ".dat")


def holds_correlators(file: str | Path) -> bool:
    """Whether a file is a table with columns named value and error, or a NetCDF file with G2 and G2_error.

    >>> holds_correlators("nowhere.csv")
    False
    """
    path = Path(file)
    if not path.is_file():
        return False
    try:
        if path.suffix.lower() in _TEXT:
            names = [name.lower() for name in rows_of_text(path)[0] or ()]
            return any(n in _VALUE for n in names) and any(n in _ERROR for n in names)
        if path.suffix.lower() == ".nc":
            with xr.open_dataset(path, engine="netcdf4", decode_times=False) as data:
                return {"G2", "G2_error"} <= set(data.data_vars)
    except (OSError, ValueError, RuntimeError):
        return False
    return False


def read_correlators(file: str | Path, points: Any = None, *, networks: float | None = None) -> Correlators:
    r"""Connected functions G2, G4c, .. with their errors from a file, of a law with phi -> -phi.

    Args:
        file: as above; every component of an order once, in any order, its indices in any order.
        points: (point, axis), or a file of them; None where a NetCDF file holds `points`.
        networks: how many networks they stand for; a fit needs it, errors alone do not say it.

    Returns:
        `Correlators` of the orders in the file; with orders 2, 4 and 6 their moments too, which `inf.fit` takes.

    Raises:
        ValueError: a file of something else, components that are missing or there twice, errors that are not positive
            numbers, odd orders.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "g.csv"
        ...     _ = file.write_text("a,b,c,d,value,error\n0,0,,,1.0,0.1\n0,0,0,0,-0.5,0.2\n")
        ...     data = read_correlators(file, np.zeros((1, 1)))
        >>> data.connected(4).tolist(), data.error(2).tolist()
        ([-0.5], [0.1])
    """
    path = Path(file)
    if not holds_correlators(path):
        raise refused("a table with columns value and error, or G2 and G2_error", repr(path.name), "df.to_csv of those")
    found = _of_text(path) if path.suffix.lower() in _TEXT else _of_netcdf(path)
    inside = found.pop(0, None)
    x = load_points(points if inside is None or points is not None else inside)
    values: dict[int, np.ndarray] = {}
    errors: dict[int, np.ndarray] = {}
    for order, (where, value, error) in sorted(found.items()):
        if order % 2:
            raise refused("even orders", f"order {order} in {path.name}", "m.Correlators.from_arrays(even=False)")
        values[order], errors[order] = _placed(path.name, order, where, value, error, len(x))
    variance = np.concatenate([errors[order] ** 2 for order in values])
    if networks is not None and not 1.0 <= float(networks) < np.inf:
        raise refused("a number of networks", repr(networks), "networks=1e6 (--networks 1e6)")
    n = np.inf if networks is None else float(networks)
    about = {"name": path.name, "errors": "independent of each other, as given"}
    data = Correlators.from_arrays(x, connected=values, covariance=np.diag(variance), networks=n, about=about)
    if not {2, 4, 6} <= set(values):
        return data
    moments = {order: moments_from_connected(values, len(x), order) for order in (2, 4, 6)}
    own, rows = data.rows["connected"], {}
    for order in moments:
        jacobian = moment_jacobian(values, len(x), order)
        rows[order] = np.sum([np.asarray(jacobian[r] @ own[r].T).T for r in jacobian if r in own], axis=0)
    connected = {order: own[order] for order in moments}
    kept = {order: values[order] for order in moments}
    both = {"connected": connected, "moment": rows}
    return Correlators(x, moments, kept, both, n, data.dof, data.maker, even=True, about=about)


def _of_text(path: Path) -> dict[int, Any]:
    """Order -> (indices (component, order), value, error) of a table."""
    names, rows, between = rows_of_text(path)
    words = [name.lower() for name in names or ()]
    at, off = (next(k for k, n in enumerate(words) if n in known) for known in (_VALUE, _ERROR))
    places = [k for k, n in enumerate(words) if k not in (at, off) and n not in _BESIDE]
    made: dict[int, list[tuple[list[int], float, float]]] = {}
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row.split(between)] + [""] * len(words)
        try:
            where = [int(float(cells[k])) for k in places if cells[k].lower() not in ("", "nan", "<na>", "-1")]
            made.setdefault(len(where), []).append((where, float(cells[at]), float(cells[off])))
        except ValueError:
            advice = "numbers of points, blank beyond the order, then value and error"
            raise refused(f"{path.name} to hold plain numbers", f"{row!r} in row {number}", advice) from None
    if 0 in made:
        raise refused(f"indices of points in {path.name}", "a row without any", "columns x1, x2, x3, x4 beside value")
    return {
        order: (np.array([p for p, _, _ in part]), np.array([v for _, v, _ in part]), np.array([e for *_, e in part]))
        for order, part in made.items()
    }


def _of_netcdf(path: Path) -> dict[int, Any]:
    """The same of G2, G4, .. on sorted tuples; under 0 the points, where they are there."""
    with xr.open_dataset(path, engine="netcdf4", decode_times=False) as data:
        held = {str(name): np.asarray(data[name].values) for name in data.variables}
    made: dict[int, Any] = {0: held["points"]} if "points" in held else {}
    for name in held:
        if name[:1] == "G" and name[1:].isdigit() and f"{name}_error" in held:
            order, points = int(name[1:]), 1
            while len(sorted_tuples(points, int(name[1:]))) < len(held[name]):
                points += 1
            made[order] = (sorted_tuples(points, order), held[name], held[f"{name}_error"])
    return made


def _placed(
    name: str, order: int, where: np.ndarray, value: np.ndarray, error: np.ndarray, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors of one order on sorted tuples, every one of them there once."""
    if where.min() < 0 or where.max() >= points:
        got = f"index {int(where.max())} in {name} and {points} points"
        raise refused("indices that count points from 0", got, "indices from 0, or the points they belong to")
    at, count = rank(np.sort(where, axis=1), points), len(sorted_tuples(points, order))
    missing = np.setdiff1d(np.arange(count), at)
    if len(at) != count or len(missing):
        told = f"without {tuple(sorted_tuples(points, order)[missing[0]].tolist())}" if len(missing) else "some twice"
        advice = "every a <= b <= .. once, from Correlators.to_dataframe() as a pattern"
        raise refused(f"all {count} components of order {order} in {name}", f"{len(at)}, {told}", advice)
    if not np.all(np.isfinite(value)) or not np.all(np.isfinite(error)) or np.any(error <= 0.0):
        raise refused(f"finite values and positive errors in {name}", f"others at order {order}", "leaving it out")
    out = np.empty((2, count))
    out[:, at] = value, error
    return out[0], out[1]
