"""How fast and how big: ratios in one run, CPU seconds and peak memory, never a timed test.

`make bench` prints every table and fails if something that the design promises is lost; `python tests/benchmarks/run.py
peers clock` prints those two. Absolute numbers depend on the machine; ratios are taken between interleaved repetitions,
memory, compilation and core scaling in fresh processes.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Stage -> its file here; the function that prints it is called as the stage, or `main` where there is none.
HOMES = {
    "throughput": "drawing",
    "scaling": "drawing",
    "peers": "peers",
    "posterior": "inference",
    "duality": "spaces",
    "engines": "inference",
    "size": "growth",
    "bilocal": "growth",
    "clock": "clock",
    "sobol": "sobol",
    "exact": "exact",
    "lattice": "lattice",
    "box": "box",
    "training": "training",
}


def stage(name: str) -> Callable[[], list[str] | None]:
    """What prints a table and may return the promises that are broken."""
    module = importlib.import_module(f"tests.benchmarks.{HOMES[name]}")
    return getattr(module, name) if hasattr(module, name) else module.main


def main(names: list[str]) -> int:
    """Run all stages, or those named; exit 1 if a promise is broken."""
    known = list(HOMES)
    if unknown := [name for name in names if name not in known]:
        print(f"expected stages among {', '.join(known)}, got {unknown[0]!r}; try none, for all of them")
        return 2
    failures: list[str] = []
    for name in names or known:
        print(f"\n{name}, at a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        failures += stage(name)() or []
    for failure in failures:
        print("LOST:", failure)
    return bool(failures)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # for tests.oracles, as pytest has it
    sys.exit(main(sys.argv[1:]))
