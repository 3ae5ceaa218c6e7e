"""A docstring, written to be read in a terminal, becomes a page: the same words, nothing of it taken for markup.

Paragraphs stay paragraphs, indented lines keep their shape, examples are coloured, and `names` in backticks are
code. Args, Returns, Raises and Attributes become Sphinx's fields.
"""

import re
from collections.abc import Iterator

__all__ = ["HEADS", "page_of", "pieces"]

HEADS = {  # heading in a docstring -> field of Sphinx's Python domain
    "Args": ":param {}:",
    "Attributes": ":ivar {}:",
    "Raises": ":raises {}:",
    "Returns": ":returns:",
}
_HEAD = re.compile(r"([A-Z][a-z]+):")
_ENTRY = re.compile(r"(\*{0,2}[\w., ]+?): (.*)")
_SPAN = re.compile(r"(`[^`\n]+`)")


def pieces(text: str) -> Iterator[tuple[str, list[str]]]:
    """A docstring cut at its headings: (heading, its lines without indentation), '' for the first."""
    head, lines = "", []
    for line in text.splitlines():
        if (found := _HEAD.fullmatch(line)) and found[1] in (*HEADS, "Example", "Examples", "References"):
            yield head, lines
            head, lines = found[1], []
        elif head and line and not line.startswith(" "):  # plain words again
            yield head, lines
            head, lines = "", [line]
        else:
            lines.append(line[4:] if head else line)
    yield head, lines


def page_of(text: str) -> list[str]:
    """The docstring, without the indentation of its function, as lines of reStructuredText."""
    found = []
    for head, lines in pieces(text):
        if head in HEADS:
            found += _fields(HEADS[head], lines)
        else:
            found += [f".. rubric:: {head}", ""] if head else []
            found += _body(lines)
    return found


def _body(lines: list[str]) -> Iterator[str]:
    """Paragraphs, and between them the lines that keep their shape."""
    for block in _blocks(lines):
        if block[0].startswith((" ", ">>> ")):
            kind = "pycon" if block[0].lstrip().startswith(">>> ") else "text"
            least = min(len(line) - len(line.lstrip()) for line in block if line)
            yield from [f".. code-block:: {kind}", "", *("    " + line[least:] for line in block), ""]
        elif block[0].startswith("- "):
            for item in re.split(r"\n- ", "\n".join(block)[2:]):
                yield f"* {_words(item)}"
            yield ""
        else:
            # An escaped blank begins the paragraph: nothing that follows can be taken for a list.
            yield from ["\\ " + _words(" ".join(block)), ""]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Lines cut at blank ones and where indentation begins or ends; blank lines between indented ones stay."""
    block: list[str] = []
    for line in lines:
        shaped = line.startswith((" ", ">>> ")) or bool(block and block[0].startswith(">>> ") and line)
        if block and line and shaped != block[0].startswith((" ", ">>> ")):
            yield _trimmed(block)
            block = []
        if not line and block and not block[0].startswith(" "):
            yield _trimmed(block)
            block = []
        elif line or block:
            block.append(line)
    if block:
        yield _trimmed(block)


def _trimmed(block: list[str]) -> list[str]:
    while not block[-1]:
        block.pop()
    return block


def _fields(field: str, lines: list[str]) -> Iterator[str]:
    """`name: words` and the lines that continue them, one field each; Returns is one field."""
    entries: list[list[str]] = []
    for line in lines:
        if not entries or (line and not line.startswith(" ") and "{}" in field):
            entries.append([line])
        else:
            entries[-1].append(line.strip())
    for entry in entries:
        words = " ".join(part for part in entry if part)
        named = _ENTRY.fullmatch(words) if "{}" in field else None
        name, said = (named[1], named[2]) if named else ("ValueError" if "raises" in field else "", words)
        head = field.format(name.replace("*", r"\*")) if name or "{}" not in field else ""
        yield f"{head} {_words(said)}".strip()
    yield ""


def _words(text: str) -> str:
    """Words as they stand; names in backticks are code, and become links with all others (`names.py`)."""
    found = []
    for part in _SPAN.split(text):
        found.append(rf"\ `{part}`\ " if _SPAN.fullmatch(part) else re.sub(r"([\\*_|`])", r"\\\1", part))
    return "".join(found)
