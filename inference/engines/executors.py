"""Jobs on the engines people have: anything with `submit(function, *arguments)` that gives something with `result()`.

That is every `concurrent.futures` executor: `ProcessPoolExecutor` on one machine (spawn, because JAX has threads), a
Dask cluster through `client.get_executor()` (SLURM, PBS, LSF, SGE and HTCondor by dask-jobqueue), MPI by
`mpi4py.futures.MPIPoolExecutor`, and submitit's `AutoExecutor`:

    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(8, mp_context=multiprocessing.get_context("spawn")) as ex: ...

    from dask.distributed import Client, LocalCluster        # pip install "nnft[dask]"
    with Client(LocalCluster(n_workers=8, threads_per_worker=1)) as client: ex = client.get_executor()

    from dask_jobqueue import SLURMCluster                   # ten nodes of a cluster
    cluster = SLURMCluster(cores=8, processes=8, memory="16GB", walltime="02:00:00"); cluster.scale(jobs=10)
    ex = Client(cluster).get_executor()

    from mpi4py.futures import MPIPoolExecutor               # mpiexec -n 65 python -m mpi4py.futures study.py
    with MPIPoolExecutor() as ex: ...

    ex = submitit.AutoExecutor("log"); ex.update_parameters(timeout_min=60, slurm_array_parallelism=64)

`ProcessPoolExecutor` and Dask are tried by the tests, the others follow the same three methods.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from tqdm import tqdm

__all__ = ["Executor", "Unfinished", "each"]

_AHEAD = 512  # jobs handed over before the first of them is back


class Executor(Protocol):
    """What hands jobs to workers."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Something with `result()`."""


class Unfinished(ValueError):
    """Jobs that could not be done, with the engine's reason; `done` are the results of the others by number."""

    def __init__(self, why: str, done: dict[int, Any]) -> None:
        super().__init__(why)
        self.done = done


def each(
    executor: Executor | None,
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    *,
    progress: bool = False,
    what: str = "parts",
) -> list[Any]:
    """function(*job) for each of the jobs, in their order; one after the other where there is no executor.

    Args:
        executor: hands them to workers; None is this process.
        function: importable by the workers.
        jobs: arguments of each.
        progress: a bar of finished jobs with their rate and the time left.
        what: the bar's label.

    Raises:
        ValueError: as the function does; a function or arguments that cannot be sent.
        Unfinished: a worker, or whoever leads them, is gone; what was finished is in it.

    >>> each(None, pow, [(2, 3), (3, 2)])
    [8, 9]
    """
    made: dict[int, Any] = {}
    with tqdm(total=len(jobs), desc=what, unit="part", delay=2.0, disable=not progress, leave=False) as bar:
        results = _here(function, jobs) if executor is None else _sent(executor, function, jobs, made)
        for k, result in results:
            made[k] = result
            bar.update()
    return [made[k] for k in range(len(jobs))]


def _here(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    for k, job in enumerate(jobs):
        yield k, function(*job)


def _sent(
    executor: Executor, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], made: dict[int, Any]
) -> Iterator[tuple[int, Any]]:
    """Results in the order of the jobs, a bounded number of which are with the workers at a time."""
    waiting: list[tuple[int, Any]] = []
    coming = enumerate(jobs)
    try:
        for k, job in islice(coming, _AHEAD):
            waiting.append((k, executor.submit(function, *job)))
        while waiting:
            k, future = waiting[0]
            result = _awaited(future, executor)
            waiting.pop(0)
            for later, more in islice(coming, 1):
                waiting.append((later, executor.submit(function, *more)))
            yield k, result
    except (ValueError, KeyboardInterrupt, GeneratorExit):
        _dropped(waiting)
        raise
    except BaseException as error:
        if _unsendable(error):
            raise ValueError(
                f"expected a model and sums that others can import, got {type(error).__name__}: {error}; try "
                "defining the model in a module, or Dask, which sends functions as they are"
            ) from error
        done = dict(made) | _finished(waiting)
        _dropped(waiting)
        told = " ".join(str(error).split())[:200] or "no reason given"
        raise Unfinished(
            f"expected workers for {len(jobs)} parts, got {type(error).__name__} after {len(done)} of them ({told}); "
            "finished parts are kept, try again with a new executor: it goes on from there",
            done,
        ) from error


def _awaited(future: Any, executor: Executor) -> Any:
    """A result, unless the engine has given up, which a Dask client says of itself and not of its futures."""
    client, pause = getattr(executor, "_client", None), 1e-3
    while not future.done():
        if getattr(client, "status", "running") == "closed":
            raise ConnectionError("the scheduler does not answer any more")
        time.sleep(pause)
        pause = min(2.0 * pause, 0.1)
    return future.result()


def _unsendable(error: BaseException) -> bool:
    """Whether pickle refused: its complaints come under several names."""
    return type(error).__name__ == "PicklingError" or "pickle" in str(error).lower()


def _finished(waiting: list[tuple[int, Any]]) -> dict[int, Any]:
    """Results of those that are done already, whatever became of the others."""
    found = {}
    for k, future in waiting:
        try:
            if future.done():
                found[k] = future.result()
        except BaseException:
            continue
    return found


def _dropped(waiting: list[tuple[int, Any]]) -> None:
    for _, future in waiting:
        future.cancel()
