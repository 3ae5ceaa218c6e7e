"""The pages of the API: one a wing, with its names, their docstrings, and where each is seen at work."""

from pathlib import Path

from docstrings import page_of
from names import FACES, ROOT, Public, public, sentence
from seen import lines_seen

__all__ = ["api_pages"]


def api_pages() -> dict[str, str]:
    """The pages of the API in reStructuredText, {place: text}: one a wing, one a room that lists them, one over all."""
    pages, tops = {}, []
    for spoken, (room, _) in FACES.items():
        names = [one for one in public() if one.room == room]
        wings = list(dict.fromkeys(one.wing for one in names))
        said = _sentence(ROOT / room)
        tops.append(f"   {room}/index")
        lines = [f"Sessions import it as ``{spoken}``. {said}", "", ".. toctree::", "   :hidden:", ""]
        lines += [f"   {wing or 'ground'}" for wing in wings] + [""]
        for wing in wings:
            inside = [one for one in names if one.wing == wing]
            lines += _titled(f":doc:`{wing or 'ground'}`", "-")
            lines += [_sentence(ROOT / room / wing) if wing else "What all wings stand on.", "", *_listed(inside), ""]
            pages[f"api/{room}/{wing or 'ground'}"] = _wing_page(room, wing, inside)
        pages[f"api/{room}/index"] = "\n".join([*_titled(f"nnft.{room}", "="), *lines])
    text = "Every public name of the three rooms, wing by wing: shapes, errors, sources, examples that the tests run."
    pages["api/index"] = "\n".join([*_titled("API", "="), text, "", ".. toctree::", "   :maxdepth: 2", "", *tops, ""])
    return pages


def _wing_page(room: str, wing: str, names: list[Public]) -> str:
    """All names of a wing with their docstrings."""
    said = _sentence(ROOT / room / wing) if wing else "What all wings stand on."
    lines = [*_titled(wing or "ground", "="), said, "", *_listed(names), ""]
    for one in names:
        lines += [f".. nnft:: {one.path}", "", *lines_seen(one)]
    return "\n".join(lines)


def _listed(names: list[Public]) -> list[str]:
    return [".. autosummary::", "   :nosignatures:", "", *(f"   ~{one.path}" for one in names)]


def _titled(title: str, line: str) -> list[str]:
    return [title, line * len(title), ""]


def _sentence(folder: Path) -> str:
    """The same, safe in reStructuredText."""
    return " ".join(page_of(sentence(folder))).strip()
