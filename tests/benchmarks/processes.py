"""Programs in processes of their own, whose memory, compilation and clock nothing else has touched."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Largest resident memory in GB. Not ru_maxrss, which a process inherits from the one that started it.
_PRELUDE = """
import json, os, sys, time
def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 2**20
"""


def surroundings(cache: str = "off") -> dict[str, str]:
    """The environment of a benchmark: compiled programs kept in `cache` or nowhere, whatever the caller keeps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPILATION", "JAX_PERS"))}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # for tests.oracles, as pytest has it
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "NNFT_CACHE": cache}


def command(program: str, *arguments: Any) -> list[str]:
    """The line that runs a program; it may use json, os, sys, time and `peak()`, in GB."""
    return [sys.executable, "-c", _PRELUDE + program, *map(str, arguments)]


def fresh(program: str, *arguments: Any, cache: str = "off") -> Any:
    """What a program prints in its last line as JSON, run in a process of its own."""
    line = command(program, *arguments)
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=surroundings(cache))
    if done.returncode:
        raise RuntimeError(f"expected the program to finish, got exit status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
