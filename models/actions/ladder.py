"""The rungs of the ladder by name, and an action back from the words a fit remembers of it."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..refusals import nearest
from .lattice import LatticePhi4, TranslationInvariant
from .rungs import (
    AbstractAction,
    Bilocal,
    Constant,
    FullQuartic,
    FullSextic,
    Local,
    LowRankBilocal,
    Modes,
    SmoothBilocal,
)

__all__ = ["ACTIONS", "action_named", "action_of", "action_words"]

ACTIONS: dict[str, type[AbstractAction]] = {
    "constant": Constant,
    "local": Local,
    "translation_invariant": TranslationInvariant,
    "lattice_phi4": LatticePhi4,
    "low_rank_bilocal": LowRankBilocal,
    "smooth_bilocal": SmoothBilocal,
    "bilocal": Bilocal,
    "full_quartic": FullQuartic,
    "full_sextic": FullSextic,
    "modes": Modes,
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
    for option in options:
        if option not in known:
            said = f"expected {name} with {', '.join(known) if known else 'no options'}, got {option!r}"
            raise ValueError(f"{said}; try {nearest(option, known) if known else 'leaving it out'}")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    if isinstance(given.get("action"), str):
        given["action"] = action_named(given["action"])
    try:
        return kind(**given)
    except TypeError as error:
        example = {"lattice_phi4": "shape=[8,8]", "modes": "count=4"}.get(name, known[0] if known else "")
        raise ValueError(f"expected {name} with its {', '.join(known)}, got {given}; try {example}") from error


def action_words(action: AbstractAction) -> dict[str, str]:
    """What a fit remembers of its action: the class, and its options as JSON.

    >>> action_words(Bilocal())
    {'action': 'Bilocal', 'action_options': '{}'}
    """

    def options(one: AbstractAction) -> dict[str, Any]:
        values = {f.name: getattr(one, f.name) for f in fields(one)}
        return {k: v if not isinstance(v, AbstractAction) else [_name(v), options(v)] for k, v in values.items()}

    return {"action": type(action).__name__, "action_options": json.dumps(options(action))}


def action_of(words: Mapping[str, Any]) -> AbstractAction:
    """The action a fit was made with, from the attributes of its tree."""

    def made(name: str, options: Mapping[str, Any]) -> AbstractAction:
        given: dict[str, Any] = dict(options)
        if isinstance(given.get("action"), list):
            given["action"] = made(given["action"][0], given["action"][1])
        return action_named(name, **given)

    found = next(name for name, kind in ACTIONS.items() if kind.__name__ == words["action"])
    return made(found, json.loads(words.get("action_options", "{}")))


def _name(action: AbstractAction) -> str:
    return next(name for name, kind in ACTIONS.items() if kind is type(action))
