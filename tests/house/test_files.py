"""Files stay readable, belong to no one's machine, and their examples run."""

import re
import subprocess
import sys

import pytest

from tests.house.tree import ROOMS, ROOT, files, modules

LONGEST = 400
# Addresses of package registries, and folders that exist on one machine only.
FORBIDDEN = re.compile(
    r"py(pi|thonhosted)\.org|anaconda\.org|index[-_]url\b|find[-_]links\b|/simple/?\s"
    r"|(?<![\w.)}~-])/(root|work|home|Users|mnt|opt)/",
    re.I,
)


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture


def test_no_file_is_too_long():
    lengths = {path.relative_to(ROOT).as_posix(): text_of(path).count("\n") for path in files() if path.suffix == ".py"}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize(
    "text", ["https://py" + "pi.org/project", "PIP_INDEX" + "_URL=x", "cd /ro" + "ot/nnft", '"/ho' + 'me/me"']
)
def test_forbidden_words_are_seen(text):
    assert FORBIDDEN.search(text.format(""))  # in two pieces here, since this file is read too


@pytest.mark.parametrize("text", ["out/work/page", "../home/", "https://arxiv.org/abs/2307.03223", "a simple sum"])
def test_ordinary_words_are_not(text):
    assert not FORBIDDEN.search(text)


def test_no_registry_addresses_and_no_machine_paths():
    allowed = {"no-emit-index" + "-url"}  # the option of `make lock` that keeps them out
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if FORBIDDEN.search(re.sub("|".join(allowed), "", line))
    ]
    assert found == []


def test_every_module_of_the_rooms_says_what_it_is():
    silent = [name for name, path in modules().items() if not re.match(r'r?"""\S', text_of(path))]
    assert silent == []


def test_examples_in_docstrings_run_and_annotated_shapes_are_true():
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "house" / "examples.py", *(f"nnft.{room}" for room in ROOMS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checked = set(re.findall(r"^(nnft\.\S+): \d+ examples", done.stdout, re.M))
    assert checked == {name for name in modules() if name.count(".") and name != "nnft.__main__"}
