"""The pinned environment is complete, hashed, and says nothing about where its files come from."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.tree import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def entries() -> dict[str, tuple[str, list[str]]]:
    """Name -> (version, hashes) of every entry."""
    logical = re.sub(r"#.*", "", LOCK).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, logical.splitlines())):
        requirement, *options = line.split("--")
        name, _, pin = requirement.partition(";")[0].strip().partition("==")
        found[canonicalize_name(name)] = (pin, options)
    return found


def test_every_entry_is_pinned_and_hashed():
    assert len(entries()) > 50
    for name, (pin, options) in entries().items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)
        Version(pin)
        assert options, name
        assert all(re.fullmatch(r"hash=sha256:[0-9a-f]{64}", option.strip()) for option in options), name


def test_it_names_no_index_and_no_place():
    assert "://" not in LOCK
    assert not re.search(r"^\s*-(?!-hash=)", LOCK, re.M)
    assert not re.search(r"(^|[\s=])(/|~|\.\.?/)\w", LOCK)


def test_it_holds_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    locked = entries()
    for requirement in map(Requirement, asked):
        pin, _ = locked[canonicalize_name(requirement.name)]
        assert pin in requirement.specifier, requirement
