"""Imports walk one way, models -> inference -> analysis, without circles; and importing changes no setting."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.house.tree import MOST_FILES, ROOMS, ROOT, WINGS, files, imports, modules

OURS = {"nnft", "tests", *ROOMS}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def height_of(module: str) -> int:
    """How far up its room a module stands: the room's own files, the wings in order; the command line on top."""
    parts = module.split(".")
    wings = WINGS[parts[1]]
    if len(parts) > 2 and parts[2] in wings:
        return 1 + wings.index(parts[2])
    return 0 if len(parts) > 2 and parts[1] != "analysis" else len(wings) + 1


def faults(root: Path) -> list[str]:
    """Every import in the rooms that is absolute where it should be relative, leaves the package, climbs or circles."""
    known = modules(root)
    wrong, arrows = [], {}
    for name, path in known.items():
        arrows[name] = set()
        room = room_of(name)
        for line, source, imported in imports(name, path):
            where = f"{path.relative_to(root)}:{line}"
            if not source.startswith("."):
                if source.split(".")[0] in OURS:
                    wrong.append(f"{where}: absolute import of {source}")
                continue
            source = source.removeprefix(".")
            target = f"{source}.{imported}" if f"{source}.{imported}" in known else source
            if target not in known:
                wrong.append(f"{where}: {source} is no module of ours")
            elif room is None:
                continue  # the root only points at its rooms, lazily
            elif target == "nnft" and imported == "__version__":
                continue  # the version is the one thing kept at the root
            elif room_of(target) is None or ROOMS.index(room_of(target)) > ROOMS.index(room):
                wrong.append(f"{where}: {room} imports {target}, which stands above it")
            elif room_of(target) == room and height_of(target) > height_of(name):
                wrong.append(f"{where}: {name} imports {target}, a wing that stands above it")
            else:
                arrows[name].add(target)
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as circle:
        wrong.append("a circle: " + " -> ".join(circle.args[1]))
    return wrong


def test_imports_never_climb_and_have_no_circles():
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("from nnft.models import actions", "absolute import of nnft.models"),
        ("import models.actions", "absolute import of models.actions"),
        ("from ..inference import fit", "which stands above it"),
        ("def f():\n    from ..analysis.page import fit", "which stands above it"),
        ("from .. import configure", "which stands above it"),
        ("from ... import other", "no module of ours"),
        ("from .missing import thing", "no module of ours"),
        ("from .means import value", "a circle"),
        ("from . import means", "a circle"),
        ("from .analytic.tails import far", "a wing that stands above it"),
        ("def f():\n    from .analytic import tails", "a wing that stands above it"),
    ],
)
def test_a_planted_fault_is_seen(tmp_path, line, complaint):
    tree = {
        "__init__.py": "",
        "models/__init__.py": "from . import means, values",
        "models/values.py": "from .. import __version__",
        "models/means.py": "from .values import value",
        "models/neurons/__init__.py": "",
        "models/neurons/cosine.py": "from ..values import value",
        "models/analytic/__init__.py": "",
        "models/analytic/tails.py": "from ..neurons.cosine import value\nfrom ..means import value",
        "inference/__init__.py": "",
        "inference/posterior.py": "from ..models import means",
        "analysis/__init__.py": "",
        "analysis/page.py": "from ..inference.posterior import fit\nfrom ..models.means import value",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert faults(tmp_path) == []
    (tmp_path / "models" / "values.py").write_text(line)
    assert any(complaint in fault for fault in faults(tmp_path))


def test_a_wing_never_imports_one_above_it(tmp_path):
    """The planted fault between two wings: neurons that look up what the analytic wing knows of them."""
    for name, text in {
        "__init__.py": "",
        "models/__init__.py": "",
        "models/neurons/__init__.py": "",
        "models/neurons/cos.py": "from ..analytic import exact",
        "models/analytic/__init__.py": "",
        "models/analytic/exact.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [fault.split(": ")[1] for fault in faults(tmp_path)] == [
        "nnft.models.neurons.cos imports nnft.models.analytic.exact, a wing that stands above it"
    ]


def crowded(root: Path) -> dict[str, int]:
    """Folders of the rooms with more files than a sentence can hold."""
    folders = {path.parent for path in modules(root).values()}
    counts = {
        folder.relative_to(root).as_posix(): sum(
            path.is_file() and path.stem != "__init__" and not path.name.startswith(".") for path in folder.iterdir()
        )
        for folder in folders
        if folder != root
    }
    return {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_a_folder_is_a_sentence_of_few_files(tmp_path):
    assert crowded(ROOT) == {}
    assert {folder for room, wings in WINGS.items() for folder in (room, *(f"{room}/{wing}" for wing in wings))} == {
        path.parent.relative_to(ROOT).as_posix() for path in modules().values() if path.parent != ROOT
    }
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "models").mkdir()
    for k in range(MOST_FILES + 1):
        (tmp_path / "models" / f"file{k}.py").write_text("")
    assert crowded(tmp_path) == {"models": MOST_FILES + 1}


def test_tests_and_notebooks_import_the_rooms_through_nnft():
    outside = [path for path in files() if path.suffix == ".py" and path not in modules().values()]
    assert outside
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {source}"
        for path in outside
        for line, source, _ in imports("outside", path)
        if source.split(".")[0] in ROOMS
    ]
    assert wrong == []


def test_importing_changes_no_setting():
    code = """
import os, pkgutil, jax, numpyro, arviz
settings, environment = dict(jax.config.values), dict(os.environ)
import nnft
for room in (nnft.models, nnft.inference, nnft.analysis):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        __import__(module.name)
changed = {k: v for k, v in jax.config.values.items() if settings.get(k) != v}
assert not changed, changed
assert dict(os.environ) == environment
jax.config.update("jax_num_cpu_devices", 3)  # an error if JAX has started
assert len(jax.devices("cpu")) == 3
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_does_not_wait_for_jax():
    code = "import sys, nnft; nnft.__version__; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, check=False).returncode == 0


HEAVY = ("arviz", "equinox", "jax", "matplotlib", "numpy", "numpyro", "scipy", "xarray")


def loaded(code: str) -> set[str]:
    """What a fresh process has imported of the heavy libraries after this code."""
    said = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    return set(done.stderr.split()) & set(HEAVY)


@pytest.mark.parametrize("words", [["models"], ["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_what_is_only_read_does_not_wait_for_jax(words):
    assert loaded(f"from nnft.analysis.cli import main\nassert main({words}) == 0") == set()


def test_models_do_not_wait_for_arviz():
    found = loaded("from nnft import models as m\nm.Network(m.Cos(), 20)")
    assert "arviz" not in found
    assert "jax" in found  # the twin: what is loaded is seen


def test_factors_work_whatever_was_imported_first():
    """In this order ArviZ's lazy import leaves NumPyro without the attribute that `numpyro.factor` looks up."""
    code = """
import arviz, numpyro.distributions
from nnft import models
import numpyro
from numpyro import handlers
assert handlers.trace(lambda: numpyro.factor("f", 1.0)).get_trace()["f"]["fn"].log_prob(()) == 1.0
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_three_rooms_and_configure_are_there():
    import nnft

    assert set(nnft.__all__) <= set(dir(nnft))
    for room in ROOMS:
        assert getattr(nnft, room).__name__ == f"nnft.{room}"
    assert callable(nnft.configure)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        nnft.nonsense  # noqa: B018
