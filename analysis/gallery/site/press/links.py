"""Every link of the built site leads to a file and a place in it, and no page asks the net for anything."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["dead_links"]

_LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}  # fetched without a click


class _Page(HTMLParser):
    """The links of a page and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            if name in ("href", "src") and value and (tag, name) != ("link", "canonical"):
                self.links.append((value, "loaded" if (tag, name) in _LOADED else "followed"))


@cache
def _read(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def dead_links(site: Path) -> list[str]:
    """What is wrong with the links of a built site, a line each: `page: link: why`."""
    _read.cache_clear()
    wrong = []
    for page in sorted(site.rglob("*.html")):
        for link, how in dict.fromkeys(_read(page).links):
            parts = urlsplit(link)
            if parts.scheme == "data" or (parts.scheme and how == "followed"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if parts.scheme or parts.netloc:
                why = "is fetched from the net"
            elif not target.exists():
                why = "leads nowhere"
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _read(target).places:
                why = "names a place that is not there"
            else:
                continue
            wrong.append(f"{page.relative_to(site)}: {link}: {why}")
    return wrong
