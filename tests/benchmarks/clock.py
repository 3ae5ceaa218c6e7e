"""The user's clock: what a command takes in a first process and in the next, and a session by stage.

A first process finds no compiled programs, a second the ones that the first has kept. Wall and CPU seconds of the whole
process, its start and its imports included.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory

from tests.benchmarks.processes import command, surroundings

READING = 0.3  # promised: CPU-seconds of what only prints

# The six lines of the README, by stage.
_SESSION = """
stages, wall, cpu = {}, time.perf_counter(), time.process_time()
def done(name):
    global wall, cpu
    stages[name] = [time.perf_counter() - wall, time.process_time() - cpu]
    wall, cpu = time.perf_counter(), time.process_time()
import jax, numpy as np, nnft
from nnft import models as m, inference as inf, analysis as an
nnft.configure(cache=True)
net = m.Network(m.Cos(), width=20)
ens = inf.Ensemble(net, points=np.linspace(-3, 3, 4)[:, None], n=1_000_000, key=jax.random.key(0))
inf.measure, inf.fit, an.diagnose, an.report  # all that is imported when first used
done("import")
data = inf.measure(ens)
print((data - m.exact(ens.model, ens.points)).chi2(2, 4), file=sys.stderr)
done("measure")
fit = inf.fit(data, m.Bilocal(), key=jax.random.key(1))
done("fit")
print(an.diagnose(fit), file=sys.stderr)
done("diagnose")
an.report(fit, sys.argv[1])
done("report")
print(json.dumps(stages))
"""


def clock() -> list[str]:
    """Commands and the session of the README, first and second process."""
    failures = []
    with TemporaryDirectory() as place:
        for words in (["--help"], ["models"]):
            wall, cpu, _ = _timed([sys.executable, "-m", "nnft", *words], place)
            print(f"nnft {' '.join(words):18} {wall:6.2f} s, {cpu:6.2f} CPU-s (goal < {READING})", flush=True)
            if cpu >= READING:
                failures.append(f"nnft {words[0]} took {cpu:.2f} CPU-s, promised {READING}")
        for turn in ("first", "second"):
            line = [sys.executable, "-m", "nnft", "run", "cos", "--quiet", "-o", os.path.join(place, turn)]
            wall, cpu, _ = _timed(line, os.path.join(place, "programs of commands"))
            print(f"nnft run cos, {turn:6} process {wall:6.2f} s, {cpu:6.2f} CPU-s", flush=True)
        print("the six lines of the README: s, CPU-s of each stage")
        for turn in ("first", "second"):
            line = command(_SESSION, os.path.join(place, f"session {turn}"))
            wall, cpu, said = _timed(line, os.path.join(place, "programs of sessions"))
            stages = json.loads(said.splitlines()[-1])
            told = ", ".join(f"{name} {s:.2f} {c:.2f}" for name, (s, c) in stages.items())
            print(f"  {turn:6} process {wall:6.2f}, {cpu:6.2f}: {told}", flush=True)
    return failures


def _timed(line: Sequence[str], cache: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of a process and its children, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=surroundings(cache))
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"expected the program to finish, got exit status {done.returncode}:\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout
