"""The networks of a study measured in parts, by whoever is there: this process, several, a cluster, or a job array.

Every finished part is one whole file, and is not drawn again: run the same line once more to go on, after Ctrl-C, a
killed worker, a full disk or a night without power. Parts of another recipe in the same folder are refused.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...inference.arrays.measured import holds_correlators, read_correlators
from ...inference.engines.executors import Executor, each
from ...inference.ensembles.ensemble import Ensemble
from ...inference.estimators.measure import measure
from ...inference.pooling.pool import pool, restored
from ...models.correlators import Correlators
from ...models.files import FORMAT
from ...models.runtime import keep_programs
from .study import NoFit, Study, read_points

__all__ = ["measure_parts", "of_study", "part_file", "pool_parts", "read_measured", "shard_named"]

_LISTED = 12  # missing parts


def part_file(folder: str | Path, k: int, parts: int) -> Path:
    """Where part k of so many is kept.

    >>> part_file("parts", 3, 64).name
    'part-00003-of-00064.nc'
    """
    return Path(folder) / f"part-{k:05d}-of-{parts:05d}.nc"


def shard_named(text: str) -> tuple[int, int]:
    """3/64 as (3, 64), counted from 0.

    >>> shard_named("3/64")
    (3, 64)
    """
    k, slash, parts = text.partition("/")
    if not (slash and k.isdecimal() and parts.isdecimal() and int(k) < int(parts)):
        raise ValueError(f"expected --shard k/K with 0 <= k < K, got {text!r}; try --shard 0/64")
    return int(k), int(parts)


def measure_parts(
    study: Study,
    folder: str | Path,
    *,
    parts: int = 64,
    only: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> tuple[int, int]:
    """Measure the parts of a study's networks that are not in the folder yet.

    Args:
        study: its networks, points and number; correlators are measured in the space of the fields.
        folder: of the files, made if it is not there.
        parts: how many.
        only: one of them, as a job of an array does it.
        workers: processes on this machine.
        scheduler: address of a Dask scheduler.
        progress: a bar with rate and time left, from finished parts.

    Returns:
        How many parts were made, and how many are there now.

    Raises:
        ValueError: parts of another recipe in the folder; more parts than networks; a space without fields.
        Unfinished: workers or the scheduler are gone; finished parts stay.
        OSError: the folder cannot be written, or the disk is full; finished parts stay.
    """
    if study.space != "field":
        raise ValueError(f"expected space='field' for parts, got {study.space!r}; try leaving it out, or nnft run")
    ensemble, place = study.ensemble(), Path(folder)
    ensemble.span(0, parts)
    place.mkdir(parents=True, exist_ok=True)
    wanted = range(parts) if only is None else [only]
    missing = [k for k in wanted if not _finished(part_file(place, k, parts), ensemble, ensemble.span(k, parts))]
    with _engine(workers, scheduler) as executor:
        each(executor, measure_part, [(study, k, parts, str(place)) for k in missing], progress=progress)
    there = sum(part_file(place, k, parts).is_file() for k in range(parts))
    return len(missing), there


def measure_part(study: Study, k: int, parts: int, folder: str) -> int:
    """One part, measured and kept: what a worker does."""
    keep_programs()
    ensemble = study.ensemble()
    measure(ensemble.shard(k, parts)).save(part_file(folder, k, parts))
    return k


def pool_parts(folder: str | Path, *, partial: bool = False) -> Correlators:
    """The parts of a folder put together; missing ones are named by number.

    Raises:
        ValueError: no parts, or some missing; and as `inference.pool`.
    """
    files = sorted(Path(folder).glob("part-*-of-*.nc"))
    if not files:
        raise ValueError(f"expected parts in {str(folder)!r}, got none; try nnft measure cos -o {folder}")
    parts = int(files[0].stem.rpartition("-of-")[2])
    missing = [k for k in range(parts) if not part_file(folder, k, parts).is_file()]
    if missing and not partial:
        told = ", ".join(map(str, missing[:_LISTED])) + (" .." if len(missing) > _LISTED else "")
        raise ValueError(
            f"expected {parts} parts in {str(folder)!r}, got {len(files)}, without {told}; try nnft measure again, "
            "which makes these alone, or --partial"
        )
    return pool(files, partial=partial)


def read_measured(file: str | Path, points: Any = None, networks: float | None = None) -> Correlators | None:
    """Correlators from a file of `Correlators.save`, with the model of their recipe; None for a file of another kind.

    Somebody else's (`inference.read_correlators`) need their points, and the number of networks behind them.

    Raises:
        ValueError: a part, which says nothing of the whole; somebody else's that are not whole.
    """
    if holds_correlators(file) and _attributes(file).get("format") != FORMAT:
        data = read_correlators(file, None if points is None else read_points(points), networks=networks)
        if networks is None:
            raise NoFit(
                f"expected the number of networks behind the errors in {Path(file).name}, got none; try --networks 1e6",
                data,
            )
        if not {2, 4, 6} <= set(data.orders):
            raise NoFit(
                f"expected orders 2, 4 and 6 for couplings with errors, got {', '.join(map(str, data.orders))} in "
                f"{Path(file).name}; try adding G6c, or at tree level "
                "m.effective_couplings(inf.read_correlators(file, points), order='leading')",
                data,
            )
        return data
    if Path(file).suffix != ".nc" or not Path(file).is_file() or _attributes(file).get("format") != FORMAT:
        return None
    data = Correlators.load(file)
    if data.sums is not None:
        raise ValueError(
            f"expected pooled correlators, got {Path(file).name}, a part of them; try nnft pool {Path(file).parent} "
            "-o data.nc"
        )
    return restored(data)


def of_study(file: str | Path, study: Study) -> Correlators:
    """Correlators of a study's networks that were measured before.

    Raises:
        ValueError: correlators of another recipe, or at other points; a file of something else.
    """
    data = read_measured(file)
    if data is None:
        raise ValueError(
            f"expected correlators of nnft pool in {str(file)!r}, got something else; try nnft pool parts/"
        )
    recipe, own = json.loads(str(data.about.get("recipe", "{}"))), study.ensemble().recipe()
    differ = [name for name, value in own.items() if json.loads(json.dumps(value)) != recipe.get(name)]
    if differ or not np.array_equal(data.points, study.points):
        what = f"{differ[0]} {recipe.get(differ[0])}" if differ else "other points"
        raise ValueError(
            f"expected correlators of this study's networks, got {Path(file).name} with {what}; try the settings they "
            "were measured with"
        )
    return data


def _attributes(file: str | Path) -> dict[str, Any]:
    """What a file says of itself, {} of one that cannot be read."""
    try:
        with xr.open_dataset(file, engine="netcdf4") as data:
            points = data["points"].values.tolist() if "points" in data.variables else None
            return {**data.attrs, "points": points}
    except (OSError, ValueError, RuntimeError):
        return {}


def _finished(file: Path, ensemble: Ensemble, span: tuple[int, int]) -> bool:
    """Whether a file holds this part; one that cannot be read is made again.

    Raises:
        ValueError: it holds one of another recipe.
    """
    if not file.is_file() or (said := _attributes(file)).get("format") != FORMAT:
        return False
    recipe, own = json.loads(said["recipe"]), json.loads(json.dumps({**ensemble.recipe(), "span": list(span)}))
    for name in own:
        if own[name] != recipe.get(name):
            raise ValueError(
                f"expected parts of this study in {str(file.parent)!r}, got {file.name} of another, with {name} "
                f"{recipe.get(name)} and not {own[name]}; try another folder"
            )
    if not np.array_equal(said["points"], ensemble.points):
        raise ValueError(f"expected parts at the points of this study, got {file.name} at others; try another folder")
    return True


@contextmanager
def _engine(workers: int | None, scheduler: str | None) -> Iterator[Executor | None]:
    """Who measures: this process, some others, or a cluster."""
    if workers is not None and scheduler is not None:
        raise ValueError("expected --workers or --scheduler, got both; try leaving one out")
    if scheduler is not None:
        with _client(scheduler) as client:
            yield client.get_executor()
    elif workers is not None and workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            yield executor
    else:
        yield None


def _client(address: str) -> Any:
    """A client of a Dask scheduler.

    Raises:
        ValueError: Dask is not installed, or nobody answers.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("expected Dask for --scheduler, got none installed; try pip install 'nnft[dask]'") from error
    try:
        return Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected a Dask scheduler at {address}, got no answer ({error}); try dask scheduler"
        ) from error
