"""The gallery's first page: each notebook with its message and one of its pictures, hung when all have been run."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import jupytext

__all__ = ["cards", "hang"]

_TITLE, _MESSAGE = re.compile(r"^# (.+)$", re.MULTILINE), re.compile(r"\*\*The\s+message:\s+(.+?)\*\*", re.DOTALL)
_HOLE = re.compile(r'<img data-book="([^"]+)"([^>]*)>')
_PICTURE = re.compile(r'<img [^>]*src="\.\./(_images/[^"]+)"')


def cards(notebooks: Mapping[str, str]) -> str:
    """A card of every notebook, as Markdown: a place for its picture, its title, its message.

    Raises:
        ValueError: a notebook that does not begin with a title and a message in bold.
    """
    parts = []
    for name, text in notebooks.items():
        first = jupytext.reads(text, fmt="py:percent").cells[0].source
        title, message = _TITLE.search(first), _MESSAGE.search(first)
        if title is None or message is None:
            raise ValueError(
                f"expected a title and **The message: ..** in the first cell, got {name}; try another card"
            )
        said = " ".join(message[1].split())
        hole = f'<a href="gallery/{name}.html"><img data-book="{name}" alt="A picture of: {escape(title[1])}"></a>'
        words = f"[{title[1]}](gallery/{name}.ipynb)\n: {said[0].upper()}{said[1:]}"
        parts.append(f":::{{container}} card\n```{{raw}} html\n{hole}\n```\n\n{words}\n:::")
    return "::::{container} cards\n" + "\n\n".join(parts) + "\n::::\n"


def hang(site: Path) -> None:
    """Put the last picture of each notebook into its place on gallery.html; a place without a picture goes."""
    page = site / "gallery.html"

    def picture(hole: re.Match[str]) -> str:
        found = _PICTURE.findall((site / "gallery" / f"{hole[1]}.html").read_text(encoding="utf-8"))
        return f'<img src="{found[-1]}"{hole[2]}>' if found else ""

    page.write_text(_HOLE.sub(picture, page.read_text(encoding="utf-8")), encoding="utf-8")
