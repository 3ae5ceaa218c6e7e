"""Exact correlators at chosen tuples of points only: one number where `exact` would make all of an order.

Published tables ask for G4c at thousands of quadruples of points, each with points of its own. A connected function of
r points takes the moments of their even subsets S, and with the first point of S in T

    kappa(S) = m(S) - sum over even T, proper, of kappa(T) m(S less T) ,

for one neuron; those of N independent ones add, and over a latent that all share moments are averaged
(`networks/independent.py`).
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..combinatorics import rank
from ..correlators import check_points
from ..networks.independent import Independent
from ..networks.model import AbstractModel, as_model
from ..types import Points, Tuples, Vector
from .exact import exact, known_orders

__all__ = ["Selected", "exact_at"]

Subset = tuple[int, ...]
BySubset = dict[Subset, np.ndarray]


class Selected(NamedTuple):
    """Connected functions and moments at the tuples asked for, and the absolute error of the largest connected one."""

    connected: Vector
    moment: Vector
    accuracy: float


def exact_at(network: AbstractModel, points: Points, tuples: Tuples) -> Selected:
    """Exact connected functions and moments of a network at tuples of points, (component,) each.

    Args:
        network: a `Network` whose neurons bring their `moments`, or a model of one's own that brings its `cumulants`.
        points: (point, axis).
        tuples: which points, (component, order), in any order; of even order, 2, 4 or 6.

    Raises:
        ValueError: a network or order without an exact result; tuples of points that are not there.

    Example, G4c of four nearby points and of two distant pairs, which share a readout weight, (3/4 - 1/4)/N:
        >>> from nnft.models import Cos, Network
        >>> x = np.array([[0.0], [0.1], [0.2], [0.3], [9.0]])
        >>> exact_at(Network(Cos(), width=10), x, np.array([[0, 1, 2, 3], [0, 0, 4, 4]])).connected.round(4).tolist()
        [0.0363, 0.05]
    """
    model = as_model(network)
    index = np.asarray(tuples)
    if index.ndim != 2 or not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"expected tuples of point numbers, (component, order), got shape {index.shape}; try [[0, 1]]")
    # Tables repeat points; equal ones are one point.
    x, place = np.unique(np.asarray(points, dtype=float), axis=0, return_inverse=True)
    check_points(x)
    order = index.shape[1]
    if order not in model.orders:
        raise ValueError(
            f"expected tuples of an order with an exact result, for {network!r} {list(known_orders(model)) or 'none'}, "
            f"got {order}; try measuring it: inf.measure(Ensemble(...))"
        )
    if index.size and not 0 <= index.min() <= index.max() < len(place):
        raise ValueError(f"expected numbers of points among 0..{len(place) - 1}, got {index.min()}..{index.max()}")
    index = place.ravel()[index]
    if model.as_sum is None:
        data, rows = exact(model, x, orders=tuple(range(2, order + 1, 2))), rank(np.sort(index, axis=1), len(x))
        accuracy = data.about["accuracy"][order]
        return Selected(data.connected(order)[rows], data.moment(order)[rows], accuracy)
    parts = model.as_sum
    subsets = [s for size in range(2, order + 1, 2) for s in combinations(range(order), size)]
    if parts.shared_scale is None and parts.shared_length is None:
        connected, errors = _given_shared(parts, x, index, subsets)
    else:
        connected, errors = _averaged(parts, x, index, subsets)
    for s in subsets:
        if len(s) == 2:
            connected[s] = connected[s] + parts.output_bias**2
    whole = tuple(range(order))
    return Selected(connected[whole], _moments(connected, subsets)[whole], errors[whole])


def _given_shared(
    parts: Independent, points: Points, index: Tuples, subsets: list[Subset]
) -> tuple[BySubset, dict[Subset, float]]:
    """Connected functions of independent neurons without output bias, by subset of positions, and their errors."""
    total: BySubset = {s: np.zeros(len(index)) for s in subsets}
    errors = dict.fromkeys(subsets, 0.0)
    for kind in parts.kinds:
        neuron: BySubset = {}
        slack: dict[Subset, float] = {}
        for s in subsets:
            rows, place = np.unique(np.sort(index[:, s], axis=1), axis=0, return_inverse=True)
            value, error = kind.moments(points, rows)
            factor = parts.law.moment(len(s)) * parts.output_scale ** len(s)
            neuron[s], slack[s] = factor * value[place.ravel()], factor * error
        own, off = _cumulants(neuron, slack, subsets)
        for s in subsets:
            share = parts.width ** (1.0 - len(s) / 2.0) / len(parts.kinds)
            total[s] += share * own[s]
            errors[s] += share * off[s]
    return total, errors


def _averaged(
    parts: Independent, points: Points, index: Tuples, subsets: list[Subset]
) -> tuple[BySubset, dict[Subset, float]]:
    """The same over latents that all neurons share: moments are averaged, and made connected again."""
    made = []
    for nodes in parts.latent_rules():
        total: BySubset = {s: np.zeros(len(index)) for s in subsets}
        errors = dict.fromkeys(subsets, 0.0)
        for length, weight in nodes:
            connected, off = _given_shared(parts, points / length, index, subsets)
            moments = _moments(connected, subsets)
            for s in subsets:
                total[s] += weight * moments[s]
                errors[s] += weight * off[s]
        made.append((total, errors))
    moments, errors = made[0]
    for s in subsets:
        factor = 1.0 if parts.shared_scale is None else parts.shared_scale.moment(len(s) // 2)
        errors[s] = factor * (errors[s] + float(np.max(np.abs(moments[s] - made[-1][0][s]), initial=0.0)))
        moments[s] = factor * moments[s]
    return _cumulants(moments, errors, subsets)


def _blocks(s: Subset) -> list[tuple[Subset, Subset]]:
    """Even proper blocks with the first position, and what they leave."""
    first, others = s[0], s[1:]
    made = [(first, *rest) for size in range(1, len(s) - 1, 2) for rest in combinations(others, size)]
    return [(block, tuple(k for k in s if k not in block)) for block in made]


def _cumulants(
    moments: Mapping[Subset, np.ndarray], errors: Mapping[Subset, float], subsets: list[Subset]
) -> tuple[BySubset, dict[Subset, float]]:
    out: BySubset = {}
    off: dict[Subset, float] = {}
    for s in subsets:  # smaller ones first
        out[s], off[s] = np.array(moments[s]), errors[s]
        for block, rest in _blocks(s):
            out[s] -= out[block] * moments[rest]
            sizes = (float(np.max(np.abs(v), initial=0.0)) for v in (out[block], moments[rest]))
            off[s] += next(sizes) * errors[rest] + next(sizes) * off[block]
    return out, off


def _moments(connected: Mapping[Subset, np.ndarray], subsets: list[Subset]) -> BySubset:
    out: BySubset = {}
    for s in subsets:
        out[s] = np.array(connected[s])
        for block, rest in _blocks(s):
            out[s] += connected[block] * out[rest]
    return out
