"""What a study stands on, as BibTeX: the papers of its network, method and sampler, and the programs it ran with.

The entries are in `sources.toml`, which needs no JAX; a key that is an arXiv id is its own eprint.
"""

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from ... import __version__
from ..refusals import nearest

__all__ = ["bibtex", "known_uses", "network_of"]


def bibtex(*uses: str) -> str:
    """The entries of networks, studies, methods or samplers by name, the suite and its programs among them, each once.

    Args:
        uses: names as in `nnft models`, "hms-erf", "score", "nuts", ..

    Raises:
        ValueError: an unknown name, with the nearest known one.

    Example:
        >>> print(bibtex("cos").splitlines()[6])
        @misc{halverson2021_2112.04527,
    """
    known = known_uses()
    for use in uses:
        if use not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {use!r}; try {nearest(use, known)!r}")
    keys = dict.fromkeys(key for use in (*uses, "every") for key in _read("sources.toml")["uses"][use])
    return "\n\n".join([_own(), *(_entry(key) for key in keys)])


def known_uses() -> list[str]:
    """Every name there is something to cite for."""
    return [name for name in _read("sources.toml")["uses"] if name != "every"]


def network_of(neuron: object) -> str:
    """The network of the suite with neurons of that class name; empty where there is none.

    >>> network_of("ReLU"), network_of(None)
    ('relu', '')
    """
    return next((name for name, row in _read("suite.toml").items() if row["neuron"] == neuron), "")


@cache
def _read(file: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / file).read_text(encoding="utf-8"))


def _own() -> str:
    title = "nnft: from the prior of a random neural network to the couplings of its field theory"
    return _written("software", "nnft", {"author": "{The nnft developers}", "title": title, "version": __version__})


def _entry(key: str) -> str:
    given = dict(_read("sources.toml")[key])
    kind = "article" if "journal" in given else "book" if "publisher" in given else "misc"
    name = re.sub(r"[^a-z]", "", given["author"].split(",")[0].lower())
    if key[0].isdigit():
        given |= {"eprint": key, "archiveprefix": "arXiv"}
        key = f"{name}{given['year']}_{key}"
    return _written(kind, key, given)


def _written(kind: str, key: str, given: dict[str, Any]) -> str:
    rows: Iterable[str] = (f"  {name} = {{{value}}}," for name, value in given.items())
    return "\n".join([f"@{kind}{{{key},", *rows, "}"])
