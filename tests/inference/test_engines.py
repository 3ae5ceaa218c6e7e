"""Engines make the same sums; what ends them, ends them with a clear word, and what was finished is not made again."""

import errno
import multiprocessing
import os
import pickle
import resource
import signal
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.engines.executors import Unfinished, each
from nnft.inference.engines.processes import in_processes
from nnft.inference.engines.trees import fingerprint, packed, unpacked
from nnft.inference.ensembles.moments import moment_sums
from nnft.inference.ensembles.sums import sums
from nnft.models.files import write_whole

POINTS = np.array([[-1.0], [0.5]])
STATISTIC = moment_sums(2, (2,))


def ensemble(n=2000, seed=1):
    return inf.Ensemble(m.Network(m.Erf(), 4), points=POINTS, n=n, key=jax.random.key(seed))


def die(k):
    """A job that takes its worker with it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return k


class Failing:
    """An executor of one process, whose worker goes after so many jobs."""

    def __init__(self, after, error):
        self.left, self.error, self.asked = after, error, 0

    def submit(self, function, *arguments):
        future, self.asked = Future(), self.asked + 1
        if self.left == 0:
            future.set_exception(self.error)
            return future
        self.left -= 1
        future.set_result(function(*arguments))
        return future


def test_results_come_in_the_order_of_the_jobs():
    jobs = [(k, 2) for k in range(2000)]
    with ThreadPoolExecutor(3) as executor:
        assert each(executor, pow, jobs) == each(None, pow, jobs) == [k * k for k in range(2000)]


def test_a_thread_pool_measures_the_same():
    with ThreadPoolExecutor(2) as executor:
        found = inf.measure(ensemble(), orders=(2,), executor=executor)
    np.testing.assert_array_equal(found.moment(2), inf.measure(ensemble(), orders=(2,)).moment(2))


def test_finished_parts_are_kept_where_a_worker_goes():
    parts = inf.Parts(
        ensemble(), parts=8, executor=(first := Failing(3, BrokenProcessPool("a process was terminated")))
    )
    with pytest.raises(
        ValueError, match=r"expected workers for 8 parts, got BrokenProcessPool after 3 of .*; .*try again"
    ):
        sums(parts, STATISTIC)
    again = Failing(8, None)
    object.__setattr__(parts, "executor", again)
    np.testing.assert_array_equal(sums(parts, STATISTIC)[1][2], sums(ensemble(), STATISTIC)[1][2])
    assert (first.asked, again.asked) == (8, 5)


def test_a_scheduler_that_is_gone_is_noticed():
    """Dask's futures wait for ever when their scheduler is killed; its client knows."""

    class Silent:
        _client = type("Client", (), {"status": "closed"})()

        def submit(self, function, *arguments):
            return Future()

    with pytest.raises(Unfinished, match=r"got ConnectionError after 0 of them \(the scheduler does not answer"):
        each(Silent(), die, [(1,), (2,)])


def test_what_cannot_be_sent_is_told():
    parts = inf.Parts(ensemble(), parts=2, executor=Failing(0, pickle.PicklingError("Can't pickle <lambda>")))
    with pytest.raises(ValueError, match="expected a model and sums that others can import, got PicklingError"):
        sums(parts, STATISTIC)


def test_bad_fields_are_the_fields_fault():
    """The twin: an error of the science stays what it is, and is no lost worker."""
    fields = np.random.default_rng(0).normal(size=(100, 2))

    class Broken(inf.Source):
        points, n = POINTS, 100

        def read(self, start, count):
            return np.where(np.arange(start, start + count)[:, None] == 70, np.nan, fields[start : start + count])

    with pytest.raises(ValueError, match="network 70 at point 0") as refusal:
        sums(inf.Parts(Broken(), parts=4, executor=Failing(9, None)), STATISTIC)
    assert not isinstance(refusal.value, Unfinished)


def test_processes_of_their_own():
    """Spawned, as JAX asks for: a recipe goes there, sums come back; then the worker is killed."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        parts = inf.Parts(ensemble(), parts=3, executor=executor)
        np.testing.assert_array_equal(sums(parts, STATISTIC)[1][2], sums(ensemble(), STATISTIC)[1][2])
        with pytest.raises(Unfinished, match="got BrokenProcessPool after 0 of them"):
            each(executor, die, [(1,), (2,)])


def test_recipes_and_work_are_small():
    ens = ensemble(10**12)
    assert len(pickle.dumps((STATISTIC, ens, ens.span(3, 10**6)))) < 5000


def test_a_dask_cluster_measures_the_same():
    import distributed  # an extra of the package, in the locked versions

    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        found = sums(inf.Parts(ensemble(), parts=3, executor=client.get_executor()), STATISTIC)
    np.testing.assert_array_equal(found[1][2], sums(ensemble(), STATISTIC)[1][2])


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    """A limit on the size of files fails a write half-way, as a full disk does."""
    place = write_whole(tmp_path / "sums", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as refusal:
            write_whole(place, b"new" * 1000)
        with pytest.raises(OSError, match="File too large"):
            sums(inf.Parts(ensemble(), parts=2, folder=tmp_path / "parts"), STATISTIC)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refusal.value.errno == errno.EFBIG
    assert place.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["parts", "sums"]
    np.testing.assert_array_equal(
        sums(inf.Parts(ensemble(), parts=2, folder=tmp_path / "parts"), STATISTIC)[1][2],
        sums(ensemble(), STATISTIC)[1][2],
    )


def test_trees_are_bytes_and_back():
    tree = {2: (np.arange(3.0), None, [1, "a"]), "b": np.ones((0, 2)), "c": 2.5}
    again = unpacked(packed(tree))
    assert again.keys() == tree.keys()
    np.testing.assert_array_equal(again[2][0], tree[2][0])
    assert (again[2][1:], again["b"].shape, again["c"]) == ((None, [1, "a"]), (0, 2), 2.5)
    with pytest.raises(ValueError, match="expected the bytes of sums"):
        unpacked(packed(tree)[:-40])
    with pytest.raises(ValueError, match="expected sums as numbers"):
        packed({"model": object()})


def test_fingerprints_tell_work_apart():
    ens = ensemble()
    works = [
        STATISTIC,
        moment_sums(2, (4,)),
        moment_sums(3, (2,)),
        ens.key,
        np.zeros(3),
        np.zeros(3, np.float32),
        0,
        0.0,
    ]
    assert len({fingerprint(work) for work in works}) == len(works)
    assert fingerprint(moment_sums(2, (2,)), ens.points) == fingerprint(STATISTIC, POINTS.copy())


def test_one_process_does_all():
    assert in_processes(lambda k, parts: (k, parts), 5) == [(0, 1)]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_memory_is_counted_before_it_is_taken(monkeypatch, caplog):
    module = "nnft.inference.engines.memory.free_memory"
    monkeypatch.setattr(module, lambda: 3e5)
    with caplog.at_level("WARNING", logger="nnft"):
        inf.measure(ensemble(), orders=(2,))
        assert caplog.messages == []
        inf.measure(ensemble(), orders=(2, 4))
    assert caplog.messages == ["nnft: expected memory 0.000256 GB for 8 components, of 0.0003 GB that are free"]
    with pytest.raises(ValueError, match=r"expected 21 components in 0.0003 GB of free memory, got .*; try"):
        inf.measure(ensemble(), orders=(1, 2, 3, 4, 6))


@pytest.mark.parametrize("ask", [an.compare, lambda ens, **_: inf.few_networks(ens, key=jax.random.key(0))])
def test_what_holds_all_networks_refuses_1e12(ask):
    with pytest.raises(ValueError, match=r"expected .+, got .+; try .+"):
        ask(ensemble(10**12), key=jax.random.key(0))
