"""What the site is made of, gathered into one folder: pages, the repository's texts, notebooks, the API."""

import hashlib
import re
import runpy
import tomllib
from functools import cache
from pathlib import Path

import jupytext
from api import api_pages
from cards import cards
from names import ROOT, sentence

from nnft.analysis.checks.check import LIMITS
from nnft.inference.ensembles.chains import LEAST_WORTH
from nnft.inference.methods.reference import REFERENCE_RATIO

__all__ = ["gather"]

SITE = ROOT / "analysis/gallery/site"
OWN: dict[str, str] = {  # texts of the repository that are pages, but for links to files that are none
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "tests/proof/RESULTS.md": "proofs_results.txt",
}
SIZE = re.compile(r"^networks = [\d_]+  # small: ([\d_]+)$", re.M)  # as tests/analysis/test_notebooks.py has it


def gather(target: Path, *, small: bool) -> None:
    """Write every source of the site under the folder; what stands there and has not changed is left alone."""
    made: dict[str, bytes] = {}
    for path in SITE.rglob("*.md"):
        made[path.relative_to(SITE).as_posix()] = path.read_bytes()
    for path, name in OWN.items():
        made[name] = re.sub(r"\[([^]]+)\]\(\1\)", r"`\1`", (ROOT / path).read_text(encoding="utf-8")).encode()
    made["readme.png"] = (ROOT / "README.png").read_bytes()
    made["house_table.txt"] = house_table().encode()
    made["checks_table.txt"] = checks_table().encode()
    for path in (ROOT / "tests/house/extensions").glob("*.py"):
        made[f"extensions/{path.name}"] = path.read_bytes()
    made |= {f"{name}.rst": text.encode() for name, text in api_pages().items()}
    books = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "analysis/gallery").glob("*.py"))}
    made["gallery_cards.txt"] = cards(books).encode()
    for name, text in books.items():
        made[f"gallery/{name}.ipynb"] = notebook(text, small=small).encode()
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if path.relative_to(target).as_posix() not in made:
            path.unlink()
    for name, content in made.items():
        place = target / name
        if not place.is_file() or place.read_bytes() != content:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def notebook(text: str, *, small: bool) -> str:
    """A percent notebook as .ipynb; a first cell that is not shown makes it run again when nnft has changed."""
    if small:
        text = SIZE.sub(r"networks = \1", text)
    book = jupytext.reads(text, fmt="py:percent")
    first = jupytext.reads(f"# %%\nimport nnft\n\nnnft.configure(cache=True)  # {_state()}", fmt="py:percent").cells[0]
    first["id"], first.metadata["tags"] = "first", ["remove-cell"]
    book.cells.insert(1, first)
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
    return jupytext.writes(book, fmt="ipynb")


@cache
def _state() -> str:
    """A word that changes with any file of the package."""
    found = hashlib.sha256()
    for room in ("models", "inference", "analysis"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if "gallery" not in path.parts:
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def house_table() -> str:
    """The wings in the order of imports, which a test keeps, each with its sentence."""
    lines = ["| room | wing | what lives there |", "|---|---|---|"]
    for room, wings in runpy.run_path(str(ROOT / "tests/house/tree.py"))["WINGS"].items():
        lines += [f"| `{room}/` | `{wing}` | {sentence(ROOT / room / wing)} |" for wing in wings]
    return "\n".join(lines) + "\n"


def checks_table() -> str:
    """The checks of a fit as a table: what each asks, its limit from `analysis/checks/check.py`, and what to do."""
    lines = ["| check | asks | limit | what to do |", "|---|---|---|---|"]
    limits = {**LIMITS, "worth": LEAST_WORTH, "reference": REFERENCE_RATIO}
    for row in tomllib.loads((Path(__file__).parent / "checks.toml").read_text(encoding="utf-8"))["check"]:
        lines.append(f"| **{row['name']}** | {row['asks']} | {row['limit']} | {row['do']} |")
    return re.sub(r"\{(\w+)\}", lambda found: f"{limits[found[1]]:g}", "\n".join(lines)) + "\n"
