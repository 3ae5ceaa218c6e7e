"""What n networks say of the axioms: tests with errors, each with the number of networks that would decide."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...models.networks.model import as_model
from ...models.runtime import settled
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums
from ..estimators.tails import judge_tail
from ..reflections.known import Known
from ..reflections.reflection import positivity
from ..reflections.verdict import SIGMAS, Positivity
from ..symmetries.breaking import symmetry
from .axiom import OPEN, UNSEEN, VIOLATED, Axiom
from .growth import growth
from .invariance import WORDS, euclidean

__all__ = ["sampled_clustering", "sampled_growth", "sampled_invariance", "sampled_positivity"]

_LEVEL = 1e-3  # of a symmetry
_POWER = 1.2816  # sigmas that a power of .9 takes beyond the three of the level
_HINT = 1.0  # sigmas below zero from which on more networks are worth their while


def sampled_growth(source: Source) -> Axiom:
    """OS0 of networks: of their program where its moments are known; no sample shows what it has not met."""
    model = as_model(source.model)
    if model.orders and not source.weighted:
        return growth(Known.of_model(model, dimension=source.points.shape[1]))
    verdicts = {order: judge_tail(source, order).verdict for order in (2, 4, 6)}
    met = [order for order, verdict in verdicts.items() if verdict == "ok"]
    why = f"no sample shows the growth of its moments; these networks have met the tails of {met or 'no'} orders"
    return Axiom("OS0", "growth of moments", OPEN, why, needed=float("inf"))


def sampled_invariance(source: Source) -> Axiom:
    """OS1 of networks: tests of shifts, rotations and reflections, as far as the points go."""
    words, verdicts, needed, sizes = [], [], [], [(float("nan"), float("nan"))]
    for group in euclidean(source.points.shape[1]).values():
        try:
            found = symmetry(source, group)
        except ValueError as error:
            verdicts.append(OPEN)
            words.append(f"{group.name}: {str(error).split(';')[0]}")
            continue
        if not found.orders:
            verdicts.append(OPEN)
            words.append(f"{group.name}: no order can be tested")
            continue
        broken = {r: one for r, one in found.orders.items() if one.p < _LEVEL / len(found.orders)}
        verdicts.append(VIOLATED if broken else UNSEEN)
        sizes += [(one.size, one.size / one.error if one.error else float("inf")) for one in broken.values()]
        needed += [one.needed for one in found.orders.values() if not broken and np.isfinite(one.needed)]
        words.append(f"{group.name}: p = {found.p:.2g} at orders {tuple(found.orders)}")
    verdict = next(v for v in (VIOLATED, OPEN, UNSEEN) if v in verdicts)
    size, sigmas = max(sizes[1:], default=sizes[0])
    return Axiom("OS1", WORDS, verdict, "; ".join(words), size, sigmas, min(needed, default=float("nan")))


def sampled_positivity(
    source: Source, times: Any, orders: tuple[int, ...], *, axis: int
) -> tuple[Axiom, dict[int, Positivity]]:
    """OS2 of networks, each order by split halves, and what they say."""
    found: dict[int, Positivity] = {}
    words: list[str] = []
    for order in orders:
        try:
            found[order] = positivity(source, times, order=order, axis=axis)
        except ValueError as error:
            if order == orders[0]:
                return Axiom("OS2", "reflection positivity", OPEN, str(error)), {}
            words.append(f"order {order}: {str(error).split(';')[0]}")
    words = [one.words for one in found.values()] + words
    worst = max(found.values(), key=lambda one: one.sigmas)
    needed = worst.networks(SIGMAS + _POWER)
    verdict = VIOLATED if worst.violated else OPEN if worst.sigmas > _HINT else UNSEEN
    said = needed if verdict == OPEN else float("nan")
    return Axiom("OS2", "reflection positivity", verdict, "; ".join(words), worst.size, worst.sigmas, said), found


@settled(None)
def sampled_clustering(source: Source, *, axis: int) -> Axiom:
    """OS4 of networks: <phi phi> and <phi^2 phi^2>_c at the two points that are farthest apart in time."""
    if source.outputs != 1:
        return Axiom("OS4", "clustering", OPEN, f"{source.outputs} fields at a point; one of them can be asked")
    t = np.asarray(source.points, dtype=float)[:, axis]
    a, b = int(np.argmin(t)), int(np.argmax(t))
    sizes, parts = sums(source, _pair, np.array([a, b]))
    means = parts.sum(axis=0) / sizes.sum()
    rows = error_rows(source, sizes, parts)
    values, errors = [], []
    for first, second, both in ((0, 1, 4), (2, 3, 5)):
        scale = np.sqrt(means[2] * means[3]) if both == 4 else means[2] * means[3]
        values.append((means[both] - means[first] * means[second]) / scale)
        spread = rows[:, both] - means[first] * rows[:, second] - means[second] * rows[:, first]
        errors.append(float(np.linalg.norm(spread)) / scale)
    said = ", ".join(
        f"{name} = {value:.3g} +- {error:.2g}"
        for name, value, error in zip(("<phi phi>_c", "<phi^2 phi^2>_c"), values, errors, strict=True)
    )
    why = f"no points lie infinitely far apart; {t[b] - t[a]:g} apart {said} in units of <phi^2>"
    return Axiom("OS4", "clustering", OPEN, why, needed=float("inf"))


def _pair(fields: Array, weights: Array, places: Array) -> Array:
    one, two = fields[:, places[0]], fields[:, places[1]]
    return weights @ jnp.stack([one, two, one**2, two**2, one * two, (one * two) ** 2], axis=1)
