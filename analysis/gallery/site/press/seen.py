"""Where a reader sees a public name at work: what makes it, whose example holds it, which page shows it.

A result has no example of its own: it is made by a function that has one. An abstract class is written out on a page.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args

from names import FACES, ROOT, Public, public

__all__ = ["Seen", "documented", "lines_seen", "members", "seen", "things"]

_EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.) (.*)$", re.M)
SITE = Path(__file__).resolve().parents[1]


class Seen(NamedTuple):
    """Where a name is at work, in words of a session, `inf.design`.

    kinds: classes that derive from it; made: what returns or holds it; used: names whose examples speak of it; pages:
    places of the site whose code does.
    """

    kinds: tuple[str, ...]
    made: tuple[str, ...]
    used: tuple[str, ...]
    pages: tuple[str, ...]


@cache
def things() -> dict[Public, Any]:
    """Every public name and what it is."""
    return {one: getattr(import_module(f"nnft.{one.room}"), one.name) for one in public()}


def members(thing: Any) -> dict[str, Any]:
    """The public methods and properties that a class brings itself, as functions."""
    found = {}
    for name, member in vars(thing).items() if inspect.isclass(thing) else ():
        answers = {property: "fget", cached_property: "func"}.get(type(member))
        function = getattr(member, answers) if answers else getattr(thing, name)
        if not name.startswith("_") and inspect.isroutine(function):
            found[name] = inspect.unwrap(function)
    return found


def documented(thing: Any) -> str:
    """The docstring of a thing and of its members."""
    return "\n".join(inspect.getdoc(part) or "" for part in (thing, *members(thing).values()))


@cache
def seen() -> dict[Public, Seen]:
    """Where each public name is seen at work besides its own docstring."""
    makers = dict(_makers())
    examples = {
        one: "\n".join(re.findall(r"^\s*(?:>>>|\.\.\.) (.*)$", documented(t), re.M)) for one, t in things().items()
    }
    pages = {path.relative_to(SITE).with_suffix("").as_posix(): _code(path) for path in sorted(SITE.rglob("*.md"))}
    pages |= {f"gallery/{path.stem}": path.read_text(encoding="utf-8") for path in sorted(SITE.parent.glob("*.py"))}
    shorts = {room: short for short, (room, _) in FACES.items()}
    found = {}
    for one, thing in things().items():
        spoken = re.compile(rf"\b{shorts[one.room]}\.{one.name}\b")
        bare = re.compile(rf"(?<![\w.]){one.name}\b")
        kinds = [
            f"{shorts[other.room]}.{other.name}"
            for other, kind in things().items()
            if inspect.isclass(kind) and inspect.isclass(thing) and thing in kind.__mro__[1:]
        ]
        makes = [maker for maker, parts in makers.items() if any(part is thing for part in parts)]
        used = [
            f"{shorts[other.room]}.{other.name}"
            for other, text in examples.items()
            if other != one and (spoken.search(text) or (other.room == one.room and bare.search(text)))
        ]
        on = [place for place, text in pages.items() if spoken.search(text)]
        found[one] = Seen(tuple(kinds), tuple(makes), tuple(used), tuple(on))
    return found


def lines_seen(one: Public) -> list[str]:
    """The same of one name in reStructuredText, at most four of a kind."""
    where = seen()[one]
    kinds, made, used = (", ".join(f"``{name}``" for name in names[:4]) for names in where[:3])
    pages = ", ".join(f":doc:`/{place}`" for place in where.pages[:4])
    said = [f"Written out by {kinds}." if kinds else "", f"Made by, or part of: {made}." if made else ""]
    said += [f"In the examples of {used}." if used else "", f"At work in {pages}." if pages else ""]
    return [" ".join(filter(None, said)), ""] if any(said) else []


def _makers() -> Iterator[tuple[str, list[Any]]]:
    """(inf.design, the types it returns) of every public function and method, and of every class the types it holds."""
    shorts = {room: short for short, (room, _) in FACES.items()}
    for one, thing in things().items():
        name = f"{shorts[one.room]}.{one.name}"
        if inspect.isclass(thing):
            notes = [note for key, note in inspect.get_annotations(thing).items() if not key.startswith("_")]
            yield name, [part for note in notes for part in _parts(thing, note)]
            for member, function in members(thing).items():
                returned = inspect.get_annotations(function).get("return")
                yield f"{name}.{member}", [part for part in _parts(function, returned) if part is not thing]
        elif callable(thing):
            yield name, _parts(thing, inspect.get_annotations(inspect.unwrap(thing)).get("return"))


def _parts(owner: Any, note: Any) -> list[Any]:
    """The types an annotation is made of; one that is text is looked up where it was written."""
    if isinstance(note, str):
        known = vars(import_module(inspect.unwrap(owner).__module__))
        return [known[word] for word in re.findall(r"\w+", note) if word in known]
    return [note, *(part for inner in get_args(note) for part in _parts(owner, inner))]


def _code(page: Path) -> str:
    """The code blocks of a page and the files it includes."""
    text = page.read_text(encoding="utf-8")
    folder = ROOT / "tests/house/extensions"
    files = dict.fromkeys(re.findall(r"literalinclude\} \.\./extensions/(\S+)", text))
    included = [(folder / file).read_text(encoding="utf-8") for file in files]
    return "\n".join([*re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S), *included])
