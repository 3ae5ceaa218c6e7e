"""More networks than one process likes to draw: parts by one, by two workers, by Dask, by two processes of JAX, killed.

    python tests/benchmarks/parts.py 6.4e6

Erf networks of width 100 at six points, each road in processes of its own: the same pooled numbers, to the last bit,
and at most 1.1 times the CPU of the single run (killed workers draw their unfinished parts again, and start again; what
they took before is lost to the count).
"""

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import numpy as np

from nnft import inference as inf
from nnft import models as m

PARTS = 64
LIMIT = 1.1
POINTS = np.linspace(-2.0, 2.0, 6)[:, None]
ROADS = ("single", "one", "two", "dask", "distributed", "killed")


def ensemble(n):
    return inf.Ensemble(m.Network(m.Erf(), width=100), points=POINTS, n=n, key=jax.random.key(0))


def digest(data):
    """All moments, connected functions and rows in one word."""
    tables = [data.moments, data.cumulants, *data.rows.values()]
    return hashlib.sha256(b"".join(t[r].tobytes() for t in tables for r in sorted(t))).hexdigest()[:16]


def measured(road, n, folder, rank):
    """Correlators of all networks by one road."""
    ens = ensemble(n)
    if road in ("single", "distributed"):
        return inf.measure(ens)
    if road == "one":
        return inf.measure(inf.Parts(ens, parts=PARTS, folder=folder))
    if road in ("two", "killed"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
            return inf.measure(inf.Parts(ens, parts=PARTS, executor=executor, folder=folder))
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        return inf.measure(inf.Parts(ens, parts=PARTS, executor=client.get_executor(), folder=folder))


def worker(road, n, folder, rank, port):
    """One process: measure, say what was found."""
    if road == "distributed":
        jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
    data = measured(road, n, folder, rank)
    chi2 = (data - m.exact(m.Network(m.Erf(), width=100), POINTS, orders=(2, 4, 6))).chi2(2, 4, 6)
    print(json.dumps({"digest": digest(data), "chi2": str(chi2), "networks": data.networks}), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def run(road, n):
    """What a road found, its CPU-seconds with all of its processes, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = [sys.executable, __file__, str(n), road, folder]
        before, start = os.times(), time.perf_counter()
        kills = 0
        while True:
            ranks = (0, 1) if road == "distributed" else (0,)
            started = [
                subprocess.Popen(
                    [*words, str(rank), str(port)], stdout=subprocess.PIPE, text=True, start_new_session=True
                )
                for rank in ranks
            ]
            if road == "killed" and kills < 3:
                wanted = len(list(Path(folder).glob("*.npz"))) + 8
                while len(list(Path(folder).glob("*.npz"))) < wanted and started[0].poll() is None:
                    time.sleep(0.02)
                os.killpg(started[0].pid, signal.SIGKILL)
                started[0].communicate()
                kills += 1
                continue
            said = [process.communicate()[0] for process in started]
            break
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        found = [json.loads(text.strip().splitlines()[-1]) for text in said]
        assert all(one == found[0] for one in found), found
        return found[0], cpu, time.perf_counter() - start


def main():
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 6_400_000
    roads = sys.argv[2].split(",") if len(sys.argv) > 2 else ROADS
    failures, first, base = [], None, None
    print(f"{n:,} erf networks of width 100 at six points, {PARTS} parts", flush=True)
    for road in roads:
        found, cpu, wall = run(road, n)
        first, base = first or found, base or cpu
        print(
            f"  {road:12s} {cpu:7.1f} CPU-s ({cpu / base:.2f} of the first), {wall:6.1f} s, state {found['digest']}, "
            f"{found['chi2']}",
            flush=True,
        )
        if found["digest"] != first["digest"]:
            failures.append(f"{road}: other numbers")
        if cpu > LIMIT * base and road != "killed":
            failures.append(f"{road}: {cpu / base:.2f} times the CPU, at most {LIMIT}")
    print("failed: " + "; ".join(failures) if failures else "all the same, and as cheap as promised")
    return bool(failures)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        worker(sys.argv[2], int(sys.argv[1]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
