"""The files of the repository and the modules of the three rooms, as the guard tests read them."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("models", "inference", "analysis")  # from the ground up: each may import itself and what stands before it
WINGS = {  # of each room in the same order, above the files that lie in the room itself
    "models": (
        "neurons",
        "networks",
        "multiplets",
        "deep",
        "foreign",
        "training",
        "analytic",
        "actions",
        "diagrams",
        "quantum",
        "spectral",
        "theories",
        "boxes",
        "flows",
    ),
    "inference": (
        "engines",
        "arrays",
        "ensembles",
        "shards",
        "programs",
        "quasirandom",
        "estimators",
        "pooling",
        "scales",
        "symmetries",
        "spectra",
        "reflections",
        "axioms",
        "boxes",
        "equations",
        "fields",
        "priors",
        "methods",
        "posterior",
        "planning",
        "calibration",
        "insertion",
    ),
    "analysis": ("reading", "checks", "comparisons", "figures", "pages", "studies", "theories"),
}
MOST_FILES = 9  # of a folder, besides its `__init__`


@cache
def files(root: Path = ROOT) -> tuple[Path, ...]:
    """Every file git tracks or would track; in a source distribution, which has no git, every file not hidden."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0 and (root / ".git").exists():
        found = [root / name for name in listing.stdout.decode().split("\0") if name]
    else:
        skipped = ("build", "dist", "out", "__pycache__")
        found = [
            path
            for path in root.rglob("*")
            if not any(
                part in skipped or part.startswith(".venv") or part == ".git" or part.endswith((".egg-info", "_cache"))
                for part in path.relative_to(root).parts
            )
        ]
    return tuple(sorted(path for path in found if path.is_file() and not path.is_symlink()))


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Module name -> file for all that is imported as `nnft...`: the root and the rooms, without the gallery."""
    found = {"nnft" if path.stem == "__init__" else f"nnft.{path.stem}": path for path in root.glob("*.py")}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "gallery" not in parts:
                found[".".join(["nnft", *(parts[:-1] if path.stem == "__init__" else parts)])] = path
    return found


def imports(name: str, path: Path) -> list[tuple[int, str, str | None]]:
    """(line, module, imported name) of every import in a file, wherever it stands.

    Relative imports are resolved to the module they mean and marked by a dot before it.
    """
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found: list[tuple[int, str, str | None]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                base = package[: len(package) - node.level + 1]  # empty where a dot too many leaves the package
                source = "." + ".".join([*base, source] if source else base) if base else ".(outside)"
            found += [(node.lineno, source, alias.name) for alias in node.names]
    return found
