"""The public names of the three rooms: the pages that describe them, and the links that lead there.

What is public stands in the three faces, `models/__init__.py`, `inference/__init__.py` and `analysis/__init__.pyi`,
with the file that each name comes from; a page is a wing, in the words of its folder.
"""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docstrings import page_of

__all__ = ["FACES", "Public", "public", "sentence", "setup"]

ROOT = Path(__file__).resolve().parents[4]
FACES = {  # how sessions call a room -> the room and the file that lists its names
    "m": ("models", "models/__init__.py"),
    "inf": ("inference", "inference/__init__.py"),
    "an": ("analysis", "analysis/__init__.pyi"),
}
_SPOKEN = re.compile(r"(?:nnft\.)?(?:(m|inf|an|models|inference|analysis)\.)?([A-Za-z_]\w*)(\.\w+)?(\(.*)?", re.S)


class Public(NamedTuple):
    """A public name: its room, the wing it comes from ('' for the room's own files), and the name."""

    room: str
    wing: str
    name: str

    @property
    def path(self) -> str:
        """As it is imported, nnft.inference.measure."""
        return f"nnft.{self.room}.{self.name}"


@cache
def public() -> tuple[Public, ...]:
    """Every public name, room by room, in the order of the faces."""
    found = []
    for room, face in FACES.values():
        for node in ast.parse((ROOT / face).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                wing = (node.module or "").rpartition(".")[0].partition(".")[0]
                found += [Public(room, wing, one.asname) for one in node.names if (one.asname or "_")[0] != "_"]
    return tuple(found)


def sentence(folder: Path) -> str:
    """What a folder says of itself."""
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(said.partition("\n\n")[0].split())


@cache
def _targets() -> dict[tuple[str, str], str]:
    """(room or '', name) -> full name; without a room only names of one room, and words only in capitals."""
    spoken = {room: short for short, (room, _) in FACES.items()}
    found = {}
    for one in public():
        found[one.room, one.name] = found[spoken[one.room], one.name] = one.path
        if one.name[0].isupper():
            found["", one.name] = "" if ("", one.name) in found else one.path
    return found


def target_of(text: str) -> str | None:
    """The full name that code in a text speaks of, or None: inf.measure(ens, n=3) -> nnft.inference.measure."""
    found = _SPOKEN.fullmatch(text)
    return (found and _targets().get((found[1] or "", found[2]))) or None


def _link(app: Any, doctree: Any) -> None:
    """Make a link of every piece of code that speaks of a public name."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    for node in list(doctree.findall(nodes.literal)):
        target = target_of(node.astext())
        if target and not isinstance(node.parent, nodes.reference | pending_xref):
            here = app.env.current_document.docname
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=target, refdoc=here, refexplicit=True)
            node.replace_self(link)
            link += node


def _documenter() -> Any:
    """`.. nnft:: nnft.models.Cos`: autodoc's class, function or data, whichever it is."""
    import importlib
    import inspect

    from sphinx.util.docutils import SphinxDirective

    class Name(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[Any]:
            path = self.arguments[0]
            room, _, name = path.rpartition(".")
            thing = getattr(importlib.import_module(room), name)
            kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
            members = ["   :members:"] if kind == "class" else []
            return self.parse_text_to_nodes("\n".join([f".. auto{kind}:: {path}", *members, ""]))

    return Name


def _reads(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Autodoc asks for the lines of a docstring."""
    lines[:] = page_of("\n".join(lines))


def _skips(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Members that are somebody else's: optax's default optimiser, the numbered fields of a named tuple."""
    ours = str(getattr(thing, "__module__", None) or "nnft").startswith("nnft")
    return None if ours and not str(getattr(thing, "__doc__", "")).startswith("Alias for field") else True


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("nnft", _documenter())
    app.connect("doctree-read", _link)
    app.connect("autodoc-skip-member", _skips)
    app.connect("autodoc-process-docstring", _reads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
