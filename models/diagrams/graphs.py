"""Feynman diagrams, generated from their definition: which vertex meets which, in how many ways, with what weight.

A diagram with r labelled legs and vertices of valences v_1..v_n says to which vertex each leg goes and how many lines
A_ij join vertices i and j; legs, lines and self-loops (two ends each) use up every end of every vertex. With vertices
(1/v!) V_a1..av phi_a1..phi_av its weight among all connected Wick contractions is

    (1/prod_v n_v!) prod_{i<j} 1/A_ij! prod_i 1/(2^A_ii A_ii!),   summed over the labellings of the n_v equal vertices,

that is one over the order of its symmetry group. Counting ends, sum_i (v_i - 2) = r - 2 + 2 (loops). This sum, the
`excess`, orders every series here: in loops at given r, and in the width as N^(-excess/2) if a v-point function is of
order N^(1-v/2). Lines are unit matrices: a propagator is put into the vertices by its root, line = root root^T.
Feynman rules: S. Weinberg, The Quantum Theory of Fields I, ch. 6.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations
from math import factorial, prod
from string import ascii_letters
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components

from ..combinatorics import sorted_tuples, tuple_count
from ..types import Vector

__all__ = ["Diagram", "connected_sum", "diagrams", "evaluate", "vertex_sets"]

Table = tuple[tuple[int, ...], ...]  # A_ij, symmetric, self-loops on the diagonal


class Diagram(NamedTuple):
    """All diagrams of one shape: they differ only in how the labelled legs are distributed over the vertices.

    Attributes:
        valences: number of ends of each vertex.
        lines: inner lines, (i, j) with i <= j, one entry a line.
        legs: every different way to attach the legs: the vertex of leg 0, of leg 1, ...
        weight: of each of these ways, one over the order of the symmetry group that leaves the legs alone.
    """

    valences: tuple[int, ...]
    lines: tuple[tuple[int, int], ...]
    legs: tuple[tuple[int, ...], ...]
    weight: Fraction

    @property
    def loops(self) -> int:
        """Independent momenta: lines - vertices + 1."""
        return len(self.lines) - len(self.valences) + 1

    @property
    def count(self) -> Fraction:
        """What the diagram is worth on one site, weight times the ways to attach the legs."""
        return self.weight * len(self.legs)


@cache
def diagrams(legs: int, valences: tuple[int, ...], *, self_energies: bool = True) -> tuple[Diagram, ...]:
    """All connected diagrams with labelled legs and exactly these vertices.

    Args:
        legs: number r of external legs.
        valences: of the vertices, in any order.
        self_energies: False leaves out every diagram of which a part hangs on just one line or two (legs count as
            lines): for use about the full mean and with the full two-point function, which already hold them.

    Raises:
        ValueError: no vertex (a bare line is the propagator itself).

    Example, one loop of two quartic vertices: 1/2 in each of three channels, and a tadpole on one of four legs.

        >>> [(d.lines, str(d.weight), len(d.legs)) for d in diagrams(4, (4, 4))]
        [(((0, 1), (0, 1)), '1/2', 3), (((0, 0), (0, 1)), '1/2', 4)]
        >>> [str(d.count) for d in diagrams(4, (4, 4), self_energies=False)]
        ['3/2']
    """
    if not valences or min(valences) < 1 or legs < 0:
        raise ValueError(
            f"expected legs >= 0 and vertices with at least one end, got {legs} and {valences}; try diagrams(4, (4, 4))"
        )
    kinds = tuple(sorted(valences))
    vertices = range(len(kinds))
    relabellings = [p for p in permutations(vertices) if all(kinds[p[i]] == kinds[i] for i in vertices)]
    shapes = []
    for table in _tables(kinds, legs):
        images = {p: tuple(tuple(table[p[i]][p[j]] for j in vertices) for i in vertices) for p in relabellings}
        if table != max(images.values()) or connected_components(np.array(table))[0] > 1:
            continue  # another labelling of a diagram that is counted, or two diagrams
        ends = [kinds[i] - sum(table[i]) - table[i][i] for i in vertices]
        if not self_energies and _has_self_energy(table, ends):
            continue
        symmetries = [p for p, image in images.items() if image == table]
        attached = {
            min(tuple(p[i] for i in ways) for p in symmetries)
            for ways in set(permutations([i for i in vertices for _ in range(ends[i])]))
        }
        still = sum(all(p[i] == i for i in vertices if ends[i]) for p in symmetries)
        lines = tuple((i, j) for i in vertices for j in range(i, len(kinds)) for _ in range(table[i][j]))
        equal = prod(factorial(table[i][j]) * (2 ** table[i][i] if i == j else 1) for i, j in set(lines))
        shapes.append(Diagram(kinds, lines, tuple(sorted(attached)), Fraction(1, still * equal)))
    return tuple(shapes)


def vertex_sets(excess: int, valences: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Every multiset of vertices out of the given valences with sum_i (v_i - 2) = excess.

    >>> vertex_sets(4, (4, 6))   # as small as 1/N^2
    ((6,), (4, 4))
    """
    if min(valences, default=3) < 3:
        raise ValueError(f"expected vertices of at least three ends, got {valences}; put quadratic terms into the line")
    sets = (kinds for n in range(1, excess + 1) for kinds in combinations_with_replacement(sorted(valences), n))
    return tuple(kinds for kinds in sets if sum(kinds) - 2 * len(kinds) == excess)


def evaluate(diagram: Diagram, vertices: Mapping[int, np.ndarray]) -> Vector:
    """The value of a diagram with unit lines, summed over the ways to attach its legs, on sorted tuples (component,).

    Args:
        diagram: what to evaluate.
        vertices: valence -> symmetric tensor (point,) * valence, or many of them, (..., point, .., point).

    Example:
        >>> tadpole, = diagrams(2, (4,))
        >>> evaluate(tadpole, {4: np.ones((1, 1, 1, 1))}).tolist()
        [0.5]
    """
    first = sorted(diagram.legs[0])
    names = iter(ascii_letters)
    outer = [next(names) for _ in first]
    indices = [[a for a, leg in zip(outer, first) if leg == i] for i in range(len(diagram.valences))]
    for i, j in diagram.lines:
        line = next(names)
        indices[i].append(line)
        indices[j].append(line)
    recipe = ",".join("..." + "".join(index) for index in indices) + "->..." + "".join(outer)
    value = np.einsum(recipe, *[vertices[v] for v in diagram.valences], optimize="greedy")
    points = np.shape(vertices[diagram.valences[0]])[-1]
    tuples = sorted_tuples(points, len(first))
    # Axis k of the value sits at vertex first[k]; in another way to attach them that is leg order[k].
    orders = [np.argsort(ways, kind="stable") for ways in diagram.legs]
    return float(diagram.weight) * np.sum([value[(..., *tuples[:, order].T)] for order in orders], axis=0)


def connected_sum(
    legs: int, excess: int, vertices: Mapping[int, np.ndarray], *, line: float = 1.0, self_energies: bool = True
) -> Vector:
    """All connected diagrams with that many legs and sum_i (v_i - 2) = excess, on sorted tuples (component,).

    Args:
        legs: number of external legs r.
        excess: r - 2 + 2 (loops).
        vertices: valence -> symmetric tensor (point,) * valence; valences that are not there count as zero.
        line: every inner line is this number times the unit matrix.
        self_energies: as in `diagrams`.

    Example, one site, unit lines, V = -24 g at g = 1: the tree and the loop of G4c.

        >>> [float(connected_sum(4, k, {4: np.full((1,) * 4, -24.0)}, self_energies=False)[0]) for k in (2, 4)]
        [-24.0, 864.0]
    """
    first = next(iter(vertices))
    points = np.shape(vertices[first])[-1]
    total = np.zeros((*np.shape(vertices[first])[:-first], tuple_count(points, legs)))
    for valences in vertex_sets(excess, tuple(vertices)):
        for diagram in diagrams(legs, valences, self_energies=self_energies):
            total = total + line ** len(diagram.lines) * evaluate(diagram, vertices)
    return total


def _tables(valences: tuple[int, ...], legs: int) -> Iterator[Table]:
    """Every table of lines that leaves exactly `legs` ends free."""
    count = len(valences)
    pairs = list(combinations_with_replacement(range(count), 2))
    table = [[0] * count for _ in range(count)]

    def fill(k: int, free: list[int]) -> Iterator[Table]:
        if sum(free) < legs:
            return
        if k == len(pairs):
            if sum(free) == legs:
                yield tuple(map(tuple, table))
            return
        i, j = pairs[k]
        for lines in range((free[i] // 2 if i == j else min(free[i], free[j])) + 1):
            table[i][j] = table[j][i] = lines
            rest = list(free)
            rest[i] -= lines
            rest[j] -= lines
            yield from fill(k + 1, rest)
        table[i][j] = table[j][i] = 0

    return fill(0, list(valences))


def _has_self_energy(table: Table, ends: list[int]) -> bool:
    """Does a part of the diagram hang on one line or two? A leg is a line too: full lines end the diagram as well."""
    vertices = range(len(table))
    parts = (part for size in range(1, len(table) + 1) for part in combinations(vertices, size))
    return any(sum(ends[i] + sum(table[i][j] for j in vertices if j not in part) for i in part) <= 2 for part in parts)
