"""What is installed is the three rooms and nothing else, from the wheel as from the source distribution."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version

import pytest

import nnft
from tests.house.tree import ROOMS, ROOT, files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command, **options):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped() -> set[str]:
    """Files of an installed nnft: the Python files of the root and the rooms, and their data."""
    patterns = [
        "*.py",
        "py.typed",
        *(f"{room}/**/*.{kind}" for room in ROOMS for kind in ("py", "pyi", "toml", "html", "css")),
    ]
    tracked = {path.relative_to(ROOT).as_posix() for path in files()}
    found = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    return {f"nnft/{name}" for name in found & tracked if "/gallery/" not in name}


def test_the_package_list_is_the_folders():
    folders = {path.parent for path in files() if path.name == "__init__.py"}
    expected = {".".join(["nnft", *folder.relative_to(ROOT).parts]): folder for folder in folders}
    setuptools = PROJECT["tool"]["setuptools"]
    assert set(setuptools["packages"]) == set(expected)
    assert {name: (ROOT / place).resolve() for name, place in setuptools["package-dir"].items()} == expected


def test_the_version_is_the_same_everywhere():
    assert version("nnft") == nnft.__version__
    assert f"\nversion: {nnft.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{nnft.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The tracked files copied to an empty folder, the source distribution made of them, and the wheel made of that."""
    copy, dist = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for path in files():
        (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy / path.relative_to(ROOT))
    run("-m", "build", "--no-isolation", "--outdir", dist, copy)
    return next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


def test_the_wheel_holds_the_rooms_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = {
            name.rpartition("/")[2]: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name
        }
    assert names == shipped()
    assert "nnft = nnft.analysis.cli:main" in metadata["entry_points.txt"]
    assert "License-Expression: Apache-2.0" in metadata["METADATA"]
    assert "Requires-Python: >=3.12" in metadata["METADATA"]
    assert "Apache License" in metadata["LICENSE"]


def test_the_source_distribution_can_be_worked_in(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {path.relative_to(ROOT).as_posix() for path in files()}
    left_out = {name for name in wanted - names if not name.startswith(".")}
    assert left_out == set()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith((".venv", "out/"))]


def test_the_wheel_imports_from_an_empty_folder(built, tmp_path):
    target = tmp_path / "site"
    run("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, built[1])
    code = """
import nnft, pathlib, importlib.resources
from nnft import models as m, inference as inf, analysis as an
for package in (nnft, m, inf, an):
    print(pathlib.Path(package.__file__).resolve())
assert importlib.resources.files("nnft").joinpath("py.typed").is_file()
"""
    env = {**os.environ, "PYTHONPATH": str(target), "PYTHONSAFEPATH": "1"}
    places = run("-c", code, env=env, cwd=tmp_path).split()
    assert len(places) == 4
    assert all(place.startswith(str(target.resolve())) for place in places)
    assert re.search(rf"^Version: {re.escape(nnft.__version__)}$", next(target.glob("*/METADATA")).read_text(), re.M)
