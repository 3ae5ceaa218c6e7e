"""Settings of the tests: figures go nowhere, random examples are the same for everyone, programs compile once.

Half of a run was compilation, so compiled programs are kept beside pytest's own cache, for all workers and for the
command line that tests start; how many were compiled anew is said at the end. Long files come first, so that no core
waits for one of them.
"""

import gc
import os
import sys
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NNFT_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))
if not any("proof" in word for word in sys.argv):
    # Programs that run once need no long search for the best code: a fifth of a cold run less, a warm one the same.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

from nnft.models.runtime import keep_programs

# No deadline: the first example of a test pays for compilation. Derandomised: a red test is red for everyone.
hypothesis.settings.register_profile("nnft", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("nnft")

# Files of half a minute and more, the longest first; the others follow in their own order.
LONG = (
    "house/test_setup.py",
    "inference/test_duality.py",
    "inference/test_ladder.py",
    "analysis/test_ladder_pages.py",
    "analysis/test_notebooks.py",
    "house/test_files.py",
    "inference/test_structure.py",
    "inference/test_recovery.py",
    "inference/test_devices.py",
    "analysis/test_predictive.py",
    "analysis/test_lattice_fit.py",
    "inference/test_fit.py",
    "inference/test_reference.py",
    "inference/test_generating.py",
    "inference/test_fields.py",
    "inference/test_patterns.py",
    "analysis/test_cli.py",
    "inference/test_terms.py",
    "inference/test_score.py",
    "inference/test_few.py",
    "analysis/test_diagnostics.py",
    "models/test_diagrams.py",
    "analysis/test_compare.py",
)
COUNTS = {"cache_hits": 0, "cache_misses": 0}  # of this process, or of all its workers


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def pytest_configure(config):
    from jax import monitoring

    keep_programs()
    monitoring.register_event_listener(_count)
    if hasattr(config.option, "loadscopereorder"):  # xdist would begin with the files of most tests
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get("/".join(item.path.parts[-2:]), len(LONG)))


def pytest_collection_finish():
    # JAX's objects live as long as the process: looking through them for cycles again and again was 5 % of a run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["programs"] = COUNTS


def pytest_terminal_summary(terminalreporter):
    hits, misses = COUNTS["cache_hits"], COUNTS["cache_misses"]
    terminalreporter.write_line(f"programs compiled: {misses} of {hits + misses}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for name, number in getattr(node, "workeroutput", {}).get("programs", {}).items():
        COUNTS[name] += number


def _count(event, **_):
    name = event.rpartition("/")[2]
    if name in COUNTS:
        COUNTS[name] += 1
