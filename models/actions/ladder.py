"""The rungs of the ladder by name, and an action back from the words a fit remembers of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..refusals import nearest
from .base import AbstractAction
from .invariant import Invariant
from .lattice import LatticePhi4, TranslationInvariant
from .odd import Odd
from .rungs import (
    Bilocal,
    Constant,
    FullQuartic,
    FullSextic,
    Local,
    Modes,
)

__all__ = ["ACTIONS", "action_named", "action_of", "action_words", "check_options", "word_of"]

_FORMER = ("SmoothBilocal", "LowRankBilocal")  # in files of earlier versions: a bilocal action under such a prior
ACTIONS: dict[str, type[AbstractAction]] = {
    "constant": Constant,
    "local": Local,
    "translation_invariant": TranslationInvariant,
    "lattice_phi4": LatticePhi4,
    "bilocal": Bilocal,
    "full_quartic": FullQuartic,
    "full_sextic": FullSextic,
    "modes": Modes,
    "invariant": Invariant,
    "odd": Odd,
}


def action_named(name: str, **options: Any) -> AbstractAction:
    """The action of that name; an unknown name or option is refused with the nearest known one.

    >>> action_named("lattice_phi4", shape=[4, 4]).shape
    (4, 4)
    """
    if name not in ACTIONS:
        raise ValueError(
            f"expected an action among {', '.join(ACTIONS)}, got {name!r}; try {nearest(name, list(ACTIONS))!r}"
        )
    kind = ACTIONS[name]
    known = [f.name for f in fields(kind)]
    check_options(name, known, options)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    if isinstance(given.get("action"), str):
        given["action"] = action_named(given["action"])
    try:
        return kind(**given)
    except TypeError as error:
        examples = {"lattice_phi4": "shape=[8,8]", "modes": "count=4", "invariant": "group=O and outputs=2"}
        example = examples.get(name, known[0] if known else "")
        raise ValueError(f"expected {name} with its {', '.join(known)}, got {given}; try {example}") from error


def check_options(name: str, known: Sequence[str], options: Iterable[str]) -> None:
    """Refuse an option that what is called `name` does not have."""
    for option in options:
        if option not in known:
            said = f"expected {name} with {', '.join(known) if known else 'no options'}, got {option!r}"
            raise ValueError(f"{said}; try {nearest(option, list(known)) if known else 'leaving it out'}")


def word_of(action: AbstractAction) -> str | None:
    """The name of a rung of the ladder; None of an action of one's own.

    >>> word_of(Bilocal())
    'bilocal'
    """
    return next((word for word, kind in ACTIONS.items() if kind is type(action)), None)


def action_words(action: AbstractAction) -> dict[str, str]:
    """What a fit remembers of its action: the class, its options as JSON, and of one's own where the class is.

    Raises:
        ValueError: an option that JSON does not hold.

    >>> action_words(Bilocal())
    {'action': 'Bilocal', 'action_options': '{}'}
    """

    def options(one: AbstractAction) -> dict[str, Any]:
        values = {f.name: getattr(one, f.name) for f in fields(one)}
        return {
            k: [word_of(v) or _home(v), options(v)] if isinstance(v, AbstractAction) else v for k, v in values.items()
        }

    try:
        words = {"action": type(action).__name__, "action_options": json.dumps(options(action))}
    except TypeError as error:
        raise ValueError(
            f"expected options of {type(action).__name__} that a file can hold, got {error}; try numbers or words"
        ) from error
    return words if word_of(action) else words | {"action_home": _home(action)}


def action_of(words: Mapping[str, Any]) -> AbstractAction:
    """The action a fit was made with, from the attributes of its tree.

    Raises:
        ValueError: an action of one's own whose class this session has not seen.
    """

    def made(name: str, options: Mapping[str, Any]) -> AbstractAction:
        given: dict[str, Any] = dict(options)
        if isinstance(given.get("action"), list):
            given["action"] = made(given["action"][0], given["action"][1])
        if name in ACTIONS:
            return action_named(name, **given)
        kind = next((kind for kind in _kinds(AbstractAction) if f"{kind.__module__}:{kind.__qualname__}" == name), None)
        if kind is None:
            module, _, of = name.rpartition(":")
            raise ValueError(
                f"expected the class of the action that was fitted, {of} of {module or 'this package'}, got none of "
                f"that name; try importing it before the fit is read"
            )
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})

    by_class = {kind.__name__: word for word, kind in ACTIONS.items()}
    if words["action"] in _FORMER:
        return Bilocal()
    name = words.get("action_home") or by_class.get(str(words["action"]), f":{words['action']}")
    return made(str(name), json.loads(words.get("action_options", "{}")))


def _home(action: AbstractAction) -> str:
    """Where the class of an action of one's own is."""
    return f"{type(action).__module__}:{type(action).__qualname__}"


def _kinds(kind: type[AbstractAction]) -> Iterator[type[AbstractAction]]:
    """Every class of actions that this session has seen, the last made first."""
    for below in reversed(kind.__subclasses__()):
        yield from _kinds(below)
        yield below
