"""Two processes of `jax.distributed` are one run; a worker killed among others loses nothing that was finished."""

import hashlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.engines.executors import Unfinished
from nnft.inference.ensembles.moments import group_sums

X = np.array([[-1.0], [0.5]])
SCRIPT = """
import hashlib, os, sys; os.environ["JAX_PLATFORMS"] = "cpu"
import jax, numpy as np
jax.distributed.initialize(f"localhost:{sys.argv[2]}", num_processes=2, process_id=int(sys.argv[1]))
from nnft.inference.ensembles.ensemble import Ensemble
from nnft.inference.ensembles.moments import group_sums
from nnft.models.networks.network import Network
from nnft.models.neurons.smooth import Erf
drawn, read = [], Ensemble._read
Ensemble._read = lambda self, start, count: drawn.append(count) or read(self, start, count)
ens = Ensemble(Network(Erf(), 4), points=np.array([[-1.0], [0.5]]), n=2000, key=jax.random.key(1))
sizes, found = group_sums(ens, (2, 4))
sums = b"".join(a.tobytes() for a in (sizes, found[2], found[4]))
print(jax.process_count(), sum(drawn), hashlib.sha256(sums).hexdigest())
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def test_two_processes_of_jax_are_one_run():
    """The sums of every group, to the last bit, in both; each draws its half of the networks."""
    port = free_port()
    started = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, rank, port], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:  # one that failed leaves the other waiting
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0, 0], said
    one, two = (text.decode().splitlines()[-1].split() for text, _ in said)  # Gloo speaks first
    assert one[0] == two[0] == "2"
    assert int(one[1]) + int(two[1]) == 2000
    assert 0 < int(one[1]) < 2000
    sizes, found = group_sums(inf.Ensemble(m.Network(m.Erf(), 4), points=X, n=2000, key=jax.random.key(1)), (2, 4))
    alone = hashlib.sha256(b"".join(a.tobytes() for a in (sizes, found[2], found[4]))).hexdigest()
    assert one[2] == two[2] == alone


class Deadly(inf.Source):
    """Networks whose second half kills the process that reads it, as long as a file is there."""

    points, n = X, 2000

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def read(self, start, count):
        if start >= 1000 and self.fuse.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return np.random.default_rng(0).normal(size=(self.n, 2))[start : start + count]


def test_one_of_two_workers_killed_and_the_run_resumed(tmp_path):
    """The run stops with a word; what was finished stands in the folder and is not made again."""
    fuse, folder = tmp_path / "fuse", tmp_path / "parts"
    source, context = Deadly(fuse), multiprocessing.get_context("spawn")
    whole = inf.measure(source, orders=(2, 4))
    fuse.touch()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        # the pilot of the plan is read here, in the first half
        parts = inf.Parts(source, parts=4, executor=executor, folder=folder)
        with pytest.raises(Unfinished, match=r"got BrokenProcessPool after \d of them .*finished parts are kept"):
            inf.measure(parts, orders=(2, 4))
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 1 <= len(finished) <= 2
    fuse.unlink()
    found = inf.measure(inf.Parts(source, parts=4, folder=folder), orders=(2, 4))
    for order in (2, 4):
        np.testing.assert_array_equal(found.connected(order), whole.connected(order))
        np.testing.assert_array_equal(found.rows["connected"][order], whole.rows["connected"][order])
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz") if path.name in finished} == finished
