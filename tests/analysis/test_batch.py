"""A study measured in parts from the command line: resumed, pooled, fitted; kill -9 leaves whole files only."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.analysis.cli import main
from nnft.analysis.studies.study import study_named

STUDY = ["erf", "--width", "4", "--points=-1,1", "--n", "4e3"]
REFUSAL = re.compile(r"nnft: expected .+, got .+; try .+\n")


def command(*words):
    """Exit status, what was printed, and what was said on stderr."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(word) for word in words])
    return status, out.getvalue(), error.getvalue()


def refused(*words):
    status, _, error = command(*words)
    assert status == 2
    assert REFUSAL.fullmatch(error)
    return error


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of four parts, measured one by one as the tasks of an array are."""
    folder = tmp_path_factory.mktemp("batch") / "parts"
    for k in range(4):
        status, said, _ = command("measure", *STUDY, "--shard", f"{k}/4", "-o", folder)
        assert (status, said) == (0, f"{k + 1} of 4 parts in {folder}, 1 of them new\n")
    return folder


@pytest.fixture(scope="module")
def pooled(parts):
    file = parts.parent / "data.nc"
    assert command("pool", parts, "-o", file, "--quiet") == (0, f"{file}\n", "")
    return file


def test_pooled_is_the_single_run(pooled):
    study = study_named("erf", {"width": 4, "points": [-1, 1], "n": 4000})
    whole, found = inf.measure(study.ensemble()), m.Correlators.load(pooled)
    for order in whole.orders:
        np.testing.assert_array_equal(found.connected(order), whole.connected(order))
        np.testing.assert_array_equal(found.error(order), whole.error(order))


def test_a_finished_part_is_not_drawn_again(parts):
    before = {file: file.stat().st_mtime_ns for file in parts.iterdir()}
    assert command("measure", *STUDY, "--parts", 4, "-o", parts)[1] == f"4 of 4 parts in {parts}, 0 of them new\n"
    assert {file: file.stat().st_mtime_ns for file in parts.iterdir()} == before


def test_fits_and_runs_take_pooled_correlators(pooled, tmp_path):
    small = ["--action", "local", "--set", "warmup=50", "--set", "draws=50", "--set", "chains=2"]
    status, said, error = command("fit", pooled, *small, "-o", tmp_path / "fit")
    assert (status, error) == (0, "")
    assert said.endswith(f"{tmp_path / 'fit' / 'index.html'}\n")
    assert "expected correlators of this study's networks, got data.nc with model" in refused(
        "run", "erf", "--width", 5, "--points=-1,1", "--n", "4e3", "--data", pooled, "-o", tmp_path / "run"
    )


def test_what_is_wrong_is_told(parts, pooled, tmp_path):
    first = parts / "part-00000-of-00004.nc"
    assert "another, with n 4000 and not 5000" in refused("measure", *STUDY[:-1], "5e3", "--parts", 4, "-o", parts)
    assert "a part of them; try nnft pool" in refused("fit", first, "-o", tmp_path / "out")
    assert "which exists" in refused("pool", parts, "-o", pooled)
    assert "expected --shard k/K" in refused("measure", *STUDY, "--shard", "4/4", "-o", parts)
    assert "expected --workers or --scheduler" in refused(
        "measure", *STUDY, "--parts", 5, "--workers", 2, "--scheduler", "tcp://x:1", "-o", tmp_path / "p"
    )
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / first.name).write_bytes(first.read_bytes())
    assert "got 1, without 1, 2, 3; try nnft measure again" in refused(
        "pool", tmp_path / "few", "-o", tmp_path / "a.nc"
    )
    (tmp_path / "few" / "part-00001-of-00004.nc").write_bytes(first.read_bytes()[:5000])
    assert "truncated" in refused("pool", tmp_path / "few", "-o", tmp_path / "a.nc", "--partial")


def test_killed_and_run_again(parts, tmp_path):
    """SIGKILL after the first parts: whole files only, and the next run makes the others alone."""
    folder = tmp_path / "parts"
    words = [sys.executable, "-m", "nnft", "measure", *STUDY, "--parts", "40", "-o", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and len(list(folder.glob("part-*.nc"))) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = list(folder.glob("part-*.nc"))
    assert 3 <= len(there) < 40
    assert all(m.Correlators.load(file).sums is not None for file in there)
    status, said, _ = command("measure", *STUDY, "--parts", 40, "-o", folder)
    assert (status, said) == (0, f"40 of 40 parts in {folder}, {40 - len(there)} of them new\n")
    one, other = inf.pool(folder), inf.pool(parts)
    np.testing.assert_array_equal(one.connected(6), other.connected(6))
