"""Generated diagrams against brute force: every Wick contraction counted, and joint cumulants of Gaussian powers."""

from collections import Counter
from fractions import Fraction
from itertools import permutations
from math import factorial, prod

import numpy as np
import pytest

from nnft.models.arrays import attach, dense, unique
from nnft.models.combinatorics import set_partitions, sorted_tuples
from nnft.models.diagrams.graphs import connected_sum, diagrams, evaluate, vertex_sets

CASES = [
    (2, (4,)),
    (4, (4,)),
    (4, (6,)),
    (1, (3,)),
    (3, (3, 4)),
    (2, (3, 3)),
    (4, (3, 3)),
    (0, (4, 4)),
    (2, (4, 4)),
    (4, (4, 4)),
    (2, (4, 6)),
]


def contractions(ends):
    """Every way to pair up the ends, one after another."""
    if not ends:
        yield []
        return
    first, rest = ends[0], ends[1:]
    for k, other in enumerate(rest):
        for others in contractions(rest[:k] + rest[k + 1 :]):
            yield [(first, other), *others]


def pieces(nodes, edges):
    """Connected pieces of a graph."""
    groups = [{node} for node in nodes]
    for a, b in edges:
        one, other = (next(g for g in groups if node in g) for node in (a, b))
        if one is not other:
            groups.remove(other)
            one |= other
    return groups


def canonical(valences, edges):
    """The same name for diagrams that differ only in the labels of equal vertices; legs are negative."""
    count = len(valences)
    relabellings = [p for p in permutations(range(count)) if all(valences[p[i]] == valences[i] for i in range(count))]
    names = [dict(enumerate(p)) for p in relabellings]
    return min(tuple(sorted(tuple(sorted(n.get(x, x) for x in edge)) for edge in edges)) for n in names)


def counted(legs, valences):
    """Weight of each connected diagram: Wick contractions of all ends, over prod v! and the factorials of equals."""
    valences = tuple(sorted(valences))
    ends = [-1 - k for k in range(legs)] + [i for i, v in enumerate(valences) for _ in range(v)]
    nodes = sorted(set(ends))
    found = Counter(tuple(sorted(tuple(sorted(edge)) for edge in pairing)) for pairing in contractions(ends))
    norm = prod(factorial(v) for v in valences) * prod(factorial(n) for n in Counter(valences).values())
    weights = {}
    for edges, number in found.items():
        if len(pieces(nodes, edges)) == 1:
            name = canonical(valences, edges)
            weights[name] = weights.get(name, 0) + Fraction(number, norm)
    return weights


def generated(legs, valences, **options):
    out = {}
    for d in diagrams(legs, valences, **options):
        for ways in d.legs:
            name = canonical(d.valences, [*d.lines, *((-1 - k, i) for k, i in enumerate(ways))])
            assert name not in out
            out[name] = d.weight
    return out


@pytest.mark.parametrize(("legs", "valences"), CASES)
def test_diagrams_and_weights_are_those_of_all_wick_contractions(legs, valences):
    assert generated(legs, valences) == counted(legs, valences)


def test_planted_fault_a_self_loop_without_its_two():
    wrong = {name: weight * (2 if any(a == b for a, b in name) else 1) for name, weight in counted(4, (4, 4)).items()}
    assert generated(4, (4, 4)) != wrong


def hangs_on_two(edges):
    """Cutting some two lines, legs among them, sets vertices free that no leg reaches."""
    nodes = sorted({x for edge in edges for x in edge})
    for k in range(len(edges)):
        for j in range(k):
            rest = [edge for i, edge in enumerate(edges) if i not in (j, k)]
            if any(all(x >= 0 for x in piece) for piece in pieces(nodes, rest)):
                return True
    return False


@pytest.mark.parametrize(("legs", "valences"), [*CASES[:3], (2, (4, 4)), (4, (4, 4)), (6, (4, 4)), (6, (4, 6))])
def test_self_energies_are_what_hangs_on_two_lines(legs, valences):
    every = generated(legs, valences)
    kept = {name: weight for name, weight in every.items() if not hangs_on_two(name)}
    assert generated(legs, valences, self_energies=False) == kept
    assert kept or legs == 2


def test_planted_fault_legs_that_do_not_count_as_lines():
    """A tadpole next to a leg is a self-energy of that leg, although only one inner line holds it."""
    inner = {
        name: weight
        for name, weight in generated(4, (4, 4)).items()
        if not hangs_on_two([edge for edge in name if edge[0] >= 0])
    }
    assert generated(4, (4, 4), self_energies=False) != inner


def joint_cumulant(powers):
    """Joint cumulant of phi^p for each p, phi a unit Gaussian: products of moments over set partitions."""

    def moment(block):
        power = sum(powers[i] for i in block)
        return 0 if power % 2 else prod(range(power - 1, 0, -2))

    return sum(
        (-1) ** (len(p) - 1) * factorial(len(p) - 1) * prod(moment(block) for block in p)
        for p in set_partitions(len(powers))
    )


@pytest.mark.parametrize(
    ("legs", "valences"), [(6, (4, 4)), (6, (4, 6)), (6, (4, 4, 4)), (4, (4, 4, 4)), (2, (4, 4, 4)), (4, (4, 4, 6))]
)
def test_on_one_site_the_counts_add_up(legs, valences):
    """Sum of weight times ways = joint cumulant of phi (legs) and phi^v/v! (vertices), over factorials of equals."""
    norm = prod(map(factorial, valences)) * prod(factorial(n) for n in Counter(valences).values())
    truth = Fraction(joint_cumulant([1] * legs + list(valences)), norm)
    assert sum(d.count for d in diagrams(legs, valences)) == truth


def test_the_numbers_of_the_width_expansion():
    assert sorted(d.count for d in diagrams(4, (4, 4))) == [Fraction(3, 2), 2]
    assert [d.count for d in diagrams(4, (6,))] == [Fraction(1, 2)]
    assert [(d.count, d.loops) for d in diagrams(6, (4, 4))] == [(10, 0)]
    assert vertex_sets(2, (4, 6)) == ((4,),)
    assert vertex_sets(6, (4, 6)) == ((4, 6), (4, 4, 4))


# ---- values ---------------------------------------------------------------------------------------------------------


def random_vertex(points, valence, seed):
    return dense(np.random.default_rng(seed).normal(size=len(sorted_tuples(points, valence))), points, valence)


@pytest.mark.parametrize(("legs", "valences"), [(4, (4, 4)), (2, (4, 4)), (2, (4, 6))])
def test_values_are_the_sum_over_all_wick_contractions(legs, valences):
    """Every index summed by hand for every diagram the brute count found."""
    vertices = {v: random_vertex(2, v, v) for v in set(valences)}
    truth = np.zeros(len(sorted_tuples(2, legs)))
    for edges, weight in counted(legs, valences).items():
        for inner in np.ndindex(*[2] * (len(edges) - legs)):
            free = iter(inner)
            tied = [(edge, None if edge[0] < 0 else next(free)) for edge in edges]
            for t, outer in enumerate(sorted_tuples(2, legs)):
                index = [[] for _ in valences]
                for (a, b), value in tied:
                    if a < 0:
                        index[b].append(outer[-1 - a])
                    else:
                        index[a].append(value)
                        index[b].append(value)
                truth[t] += float(weight) * np.prod([vertices[v][tuple(i)] for v, i in zip(sorted(valences), index)])
    total = sum(evaluate(d, vertices) for d in diagrams(legs, valences))
    assert np.allclose(total, truth, rtol=1e-12, atol=1e-12)


def test_the_triangle_of_the_six_point_function():
    """Three vertices in a ring, two legs each: 15 ways."""
    v = random_vertex(3, 4, 0)
    (ring,) = (d for d in diagrams(6, (4, 4, 4), self_energies=False) if len(d.legs) == 15)
    value = np.einsum("abij,cdjk,efki->abcdef", v, v, v)
    whole = sum(np.transpose(value, p) for p in permutations(range(6))) / 48
    assert np.allclose(evaluate(ring, {4: v}), unique(whole), rtol=1e-12)


def test_lines_carry_their_number():
    vertices = {4: random_vertex(2, 4, 1), 6: random_vertex(2, 6, 2)}
    parts = {k: sum(evaluate(d, vertices) for d in diagrams(4, k)) for k in ((6,), (4, 4))}
    signed = connected_sum(4, 4, vertices, line=-1.0)
    assert np.allclose(signed, parts[4, 4] - parts[(6,)], rtol=1e-13)
    assert not np.any(connected_sum(4, 4, {6: 0 * vertices[6]}))


def test_tensors_and_their_components():
    v = random_vertex(3, 4, 5)
    assert np.array_equal(dense(unique(v), 3, 4), v)
    a = np.random.default_rng(6).normal(size=(2, 3))
    assert np.allclose(attach(v, a), np.einsum("abcd,ia,jb,kc,ld->ijkl", v, a, a, a, a), rtol=1e-12)


@pytest.mark.parametrize("valences", [(), (4, 0)])
def test_a_diagram_needs_vertices_with_ends(valences):
    with pytest.raises(ValueError, match="expected legs >= 0 and vertices with at least one end, got 2"):
        diagrams(2, valences)


def test_quadratic_vertices_belong_into_the_line():
    with pytest.raises(ValueError, match="expected vertices of at least three ends"):
        vertex_sets(2, (2, 4))
