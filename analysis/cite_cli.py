"""The command that prints what to cite for a network, a study, or a run that is finished."""

from pathlib import Path

__all__ = ["cite"]


def cite(name: str, /) -> int:
    """The BibTeX of what a run or a network used.

    Args:
        name: a folder that nnft run or nnft fit wrote, or a network or study by its name (nnft models)
    """
    from ..models.theories.sources import bibtex

    folder = Path(name).expanduser()
    print(bibtex(*(_of_folder(folder) if folder.is_dir() else [name])))
    return 0


def _of_folder(folder: Path) -> list[str]:
    """By its summary.json."""
    from ..models.theories.sources import known_uses
    from .pages.report import written_summary
    from .reading.uses import uses_of

    if not (held := written_summary(folder)):
        raise ValueError(f"expected a finished run in {str(folder)!r}, got none with a summary.json; try nnft cite cos")
    whole = held.get("experiment", held.get("kind"))
    return [whole] if whole in known_uses() else uses_of(held.get("provenance", {}))
