"""OS4, clustering: what is far apart is independent, <A B> - <A><B> -> 0, or the vacuum is not one state.

Asked of fields and of their squares, in units of their sizes: c2 = <phi(0) phi(a)>/<phi^2> and c4 = [<phi(0)^2
phi(a)^2> - <phi(0)^2><phi(a)^2>]/(<phi(0)^2><phi(a)^2>) at separations a of many correlation times. Networks that
share nothing but their readout keep c4 -> (mu_4 - 1)/N where waves of amplitude one tend to their averages.
"""

from typing import NamedTuple

import numpy as np

from ...models.types import Vector
from ..reflections.known import Known
from .axiom import OPEN, UNSEEN, VIOLATED, Axiom

__all__ = ["Separated", "clustering", "separated"]

_WORDS = "clustering"
_REACHES = (
    (16.0, 64.0),
    (4.0, 16.0),
    (2.0, 8.0),
    (1.0, 4.0),
)  # near and far, in correlation times; the first that is known
_SPREAD = np.array([1.0, 1.09, 1.23])  # of them, since what falls may swing
_NOTHING = 1e-9
_FALLS, _STAYS = 0.7, 0.9  # of the value that was nearer


class Separated(NamedTuple):
    """c2 and c4 at separations, (separation,); no c4 where the order is not known."""

    two: Vector
    four: Vector | None


def clustering(theory: Known) -> Axiom:
    """Whether fields, and their squares, are independent far apart.

    Example, (mu_4 - 1)/N of a cosine network with Gaussian readouts:
        >>> from nnft import models as m
        >>> print(clustering(Known.of_model(m.Network(m.Cos(), width=50))))
        OS4 clustering: violated (0.04); <phi phi> -> 0, <phi^2 phi^2>_c -> 0.04 in units of <phi^2>, at 64 times 2
    """
    if np.isfinite(theory.period):
        found = separated(theory, np.array([_half(theory)]))
        values = _named({"<phi phi>": found.two, "<phi^2 phi^2>_c": found.four})
        said = ", ".join(f"{name} = {value[-1]:.3g}" for name, value in values.items())
        why = f"on a circle of length {theory.period:g} nothing is far apart; at half of it {said} in units of <phi^2>"
        return Axiom("OS4", _WORDS, OPEN, why, needed=float("inf"))
    scale, refused = theory.scale, ""
    for near, far in _REACHES:
        try:
            close, distant = (separated(theory, reach * scale * _SPREAD) for reach in (near, far))
        except ValueError as refusal:  # points where no quadrature is good enough
            refused = f": {refusal}"
            continue
        first = _named({"<phi phi>": close.two, "<phi^2 phi^2>_c": close.four})
        last = _named({"<phi phi>": distant.two, "<phi^2 phi^2>_c": distant.four})
        stays, falls = {}, []
        for name, value in last.items():
            size, before = float(np.max(np.abs(value))), float(np.max(np.abs(first[name])))
            if size > _NOTHING and size >= _STAYS * before:
                stays[name] = float(value[-1])
            falls.append(size <= _NOTHING or size < _FALLS * before)
        said = ", ".join(
            f"{name} -> {0.0 if np.max(np.abs(value)) <= _NOTHING else float(value[-1]):.3g}"
            for name, value in last.items()
        )
        where = f"{said} in units of <phi^2>, at {far:g} times {scale:g}"
        if stays:
            return Axiom("OS4", _WORDS, VIOLATED, where, max(stays.values(), key=abs), float("inf"))
        return Axiom("OS4", _WORDS, UNSEEN if all(falls) else OPEN, where)
    return Axiom("OS4", _WORDS, OPEN, f"no correlator is known so far apart{refused}")


def separated(theory: Known, separations: Vector) -> Separated:
    """c2 and c4 of exact correlators at separations in time."""
    two, four = [], []
    start = theory.spacing or (0.0 if np.isfinite(theory.period) else theory.scale)
    for a in separations:
        data = theory.at(np.array([start, start + a]), 4 if 4 in theory.orders else 2)
        square = data.tensor(2, "moment")
        two.append(data.tensor(2)[0, 1] / np.sqrt(square[0, 0] * square[1, 1]))
        if 4 in theory.orders:
            # sorted quadruples of two points: 0000, 0001, 0011, 0111, 1111
            four.append(data.moment(4)[2] / (square[0, 0] * square[1, 1]) - 1.0)
    return Separated(np.array(two), np.array(four) if four else None)


def _named(values: dict[str, Vector | None]) -> dict[str, Vector]:
    return {name: value for name, value in values.items() if value is not None}


def _half(theory: Known) -> float:
    half = theory.period / 2.0
    return theory.spacing * float(np.floor(half / theory.spacing + 1e-9)) if theory.spacing else half
