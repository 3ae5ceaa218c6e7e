"""Results of the long proofs, kept with what is needed to repeat them: figures, bands, seeds, versions, revision."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.proof.table import write

RESULTS = Path(__file__).with_name("results.json")


@pytest.fixture(scope="session")
def record():
    """record(name, seed=..., goal=..., figure=...): one entry of results.json, written when the run ends."""
    entries: dict[str, dict[str, object]] = {}

    def keep(name: str, **figures: object) -> None:
        entries[name] = figures

    yield keep
    if not entries:
        return
    root = RESULTS.parent
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    about = {
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "numpyro", "numpy", "arviz", "scipy")},
        "revision": revision.stdout.strip() or "unknown",
    }
    old = json.loads(RESULTS.read_text())["proofs"] if RESULTS.exists() else {}
    fresh = {name: {**figures, "made_with": about} for name, figures in entries.items()}
    merged = dict(sorted({**old, **fresh}.items()))
    RESULTS.write_text(json.dumps({"command": "make proof", "proofs": merged}, indent=2) + "\n")
    write()
