"""The set-up picks a Python that really runs, does its work once, and never takes a half-finished one for finished."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

SHELL = shutil.which("sh") or "sh"
REFUSES = '#!/bin/sh\necho "shim: command not found" >&2\nexit 127\n'
OLD = "#!/bin/sh\nexit 1\n"  # what `sys.exit(version < (3, 12))` gives on an old Python
GOOD = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def find(tmp_path, **env):
    env = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home"), **env}
    return subprocess.run(
        [SHELL, ROOT / "setup.sh", "--find"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_a_shim_that_refuses_does_not_fool_it(tmp_path):
    for name in ("python3.14", "python3.13", "python3.12"):
        program(tmp_path / "bin" / name, REFUSES)
    good = program(tmp_path / "bin" / "python3", GOOD)
    assert find(tmp_path).stdout.strip() == str(good)


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("home/.pyenv/versions/3.12.1/bin/python", None),
        ("elsewhere/versions/3.13.0/bin/python", ("PYENV_ROOT", "elsewhere")),
        ("home/.local/share/uv/python/cpython-3.12/bin/python3", None),
        ("data/uv/python/cpython-3.12/bin/python3", ("XDG_DATA_HOME", "data")),
        ("pythons/cpython-3.12/bin/python3", ("UV_PYTHON_INSTALL_DIR", "pythons")),
    ],
)
def test_installed_versions_are_found_behind_old_and_broken_ones(tmp_path, place, variable):
    program(tmp_path / "bin" / "python3.12", REFUSES)
    program(tmp_path / "bin" / "python3", OLD)
    program(tmp_path / "home/.pyenv/versions/3.11.7/bin/python", OLD)
    good = program(tmp_path / place, GOOD)
    env = {variable[0]: str(tmp_path / variable[1])} if variable else {}
    done = find(tmp_path, **env)
    assert (done.returncode, done.stdout.strip()) == (0, str(good))


def test_the_order_is_python_then_newest_first(tmp_path):
    program(tmp_path / "bin" / "python3.12", GOOD)
    newer = program(tmp_path / "bin" / "python3.13", GOOD)
    named = program(tmp_path / "my python", GOOD)
    assert find(tmp_path).stdout.strip() == str(newer)
    assert find(tmp_path, PYTHON=str(named)).stdout.strip() == str(named)
    broken = find(tmp_path, PYTHON=str(program(tmp_path / "broken", REFUSES)))
    assert broken.stdout.strip() == str(newer)
    assert "is not a working Python >= 3.12" in broken.stderr


def test_without_a_python_one_line_says_what_to_install(tmp_path):
    program(tmp_path / "bin" / "python3.12", REFUSES)
    program(tmp_path / "bin" / "python3", OLD)
    done = find(tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "install Python 3.12" in done.stderr


# A Python that stands in for the real one: it answers, writes down what it is asked, makes copies of itself for venv.
STAND_IN = """#!/bin/sh
[ "$1" = -c ] && exit 0
[ "$1" = -V ] && { echo "Python 3.12.0"; exit 0; }
echo "$*" >>"$LOG"
case "$*" in
    "-m venv "*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *requirements.lock*) [ -z "${FAIL:-}" ] || exit 1 ;;
esac
"""


@pytest.fixture
def clone(tmp_path):
    """A clone whose Python is the stand-in: calling it sets it up and returns (exit status, what Python was asked)."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("setup.sh", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python, log = program(tmp_path / "python", STAND_IN), tmp_path / "log"

    def set_up(place=folder, **env):
        log.write_text("")
        env = {"PATH": os.environ["PATH"], "PYTHON": str(python), "LOG": str(log), **env}
        done = subprocess.run([SHELL, place / "setup.sh"], env=env, cwd=tmp_path, capture_output=True, check=False)
        return done.returncode, log.read_text()

    set_up.folder = folder
    return set_up


def test_a_second_run_does_nothing(clone):
    code, asked = clone()
    assert code == 0
    assert [line.partition(" --quiet")[0] for line in asked.splitlines()] == [
        "-m venv --clear .venv",
        "-m pip --disable-pip-version-check install",
        "-m pip --disable-pip-version-check install",
    ]
    assert "--require-hashes -r requirements.lock" in asked
    assert "--no-deps --no-build-isolation --editable ." in asked
    assert clone() == (0, "")


def test_a_set_up_cut_short_begins_again(clone):
    code, asked = clone(FAIL="yes")
    assert code != 0
    assert "--editable" not in asked
    code, asked = clone()
    assert code == 0
    assert asked.startswith("-m venv --clear .venv\n")
    assert clone() == (0, "")


def test_a_changed_lock_brings_it_up_to_date_in_place(clone):
    clone()
    lock = clone.folder / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    assert clone(FAIL="yes")[0] != 0
    # Cut short half-way, nothing is known about it any more: from nothing again.
    assert "-m venv" in clone()[1]
    lock.write_text(lock.read_text() + "# changed again\n")
    code, asked = clone()
    assert code == 0
    assert "-m venv" not in asked
    assert "--require-hashes" in asked
    assert clone() == (0, "")


def test_a_moved_or_broken_environment_is_made_anew(clone, tmp_path):
    clone()
    moved = tmp_path / "moved"
    clone.folder.rename(moved)
    assert "-m venv" in clone(moved)[1]
    assert clone(moved) == (0, "")
    program(moved / ".venv" / "bin" / "python", REFUSES)
    assert "-m venv" in clone(moved)[1]
    assert clone(moved) == (0, "")
