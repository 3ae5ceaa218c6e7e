"""The points themselves: scrambles of the Sobol sequence, nested, uniform, independent, the same in any pieces."""

import jax
import numpy as np
import pytest
from scipy import special
from scipy.stats import qmc

from nnft.inference import sobol
from nnft.inference.sobol import Plan, Sobol, plan_points, scrambled
from tests.statistics import agree, disagree

KEY = jax.random.key(7)


def cube(plan, key=KEY, piece=None):
    """All points, (scramble, point, dimension), in pieces of 2^piece."""
    low, high, seeds = sobol._pieces(plan, key, plan.log2 if piece is None else piece)
    with jax.enable_x64(True):
        y = np.concatenate([low ^ h for h in high])
        return np.asarray(jax.jit(jax.vmap(lambda seed: scrambled(y, seed, plan.log2)))(seeds))


def test_the_points_are_the_scrambled_sequence():
    """Each axis of each scramble has one point in each of 2^k equal cells; the unscrambled ones are SciPy's."""
    points = cube(Plan(3, 6, 4))
    assert points.shape == (3, 64, 4)
    for scramble in points:
        np.testing.assert_array_equal(np.sort(np.floor(scramble * 64), axis=0), np.arange(64.0)[:, None] * np.ones(4))
    assert points.min() > 0.0
    assert points.max() < 1.0
    assert len(np.unique(points)) == points.size
    plain = sobol._spanned(sobol._directions(4, 6)) * 2.0**-52
    assert sorted(map(tuple, plain)) == sorted(map(tuple, qmc.Sobol(4, scramble=False).random(64)))


def test_scrambles_are_nested():
    """Points that share their first i bits of an axis share them after, and only they: bits are turned by a tree."""
    plan = Plan(2, 6, 3)
    before, after = sobol._spanned(sobol._directions(3, 6)) * 2.0**-52, cube(plan)
    for scramble in after:
        for i in range(1, 7):
            cells = [np.floor(points * 2**i) for points in (before, scramble)]
            same = [c[:, None] == c[None] for c in cells]
            np.testing.assert_array_equal(*same)


def test_every_coordinate_is_uniform_and_scrambles_independent():
    """4096 scrambles of one point: the mean of u, of u^2 and of products over axes and scrambles, at their errors."""
    u = cube(Plan(4096, 0, 2))[:, 0]
    agree(np.mean(u, axis=0), 0.5, 12**-0.5 / 64)
    agree(np.mean(u**2, axis=0), 1 / 3, (4 / 45) ** 0.5 / 64)
    agree(np.mean((u[:, 0] - 0.5) * (u[:, 1] - 0.5)), 0.0, 1 / 12 / 64)
    agree(np.mean((u[1:] - 0.5) * (u[:-1] - 0.5)), 0.0, 1 / 12 / 90.5)
    disagree(np.mean(u**3, axis=0), 1 / 3, 0.3 / 64)


def test_pieces_are_the_same_points():
    """Whatever is in cache together; and no number is so near an end that its quantile is infinite."""
    np.testing.assert_array_equal(cube(Plan(3, 6, 2), piece=4), cube(Plan(3, 6, 2)))
    ends = (np.array([0, 2**52 - 1], np.uint64) + 0.5) * 2.0**-52
    assert np.all(np.isfinite(special.ndtri(ends)))


def test_points_are_independent_of_how_many_scrambles_follow():
    few, many = (cube(Plan(r, 6, 2)) for r in (16, 32))
    np.testing.assert_array_equal(few, many[:16])
    assert not np.any(few == cube(Plan(16, 6, 2), jax.random.key(8)))


RULE = {
    "all components": (None, 4_000_000, 147, (735, 12)),
    "at least sixteen": (None, 1 << 20, 2, (16, 16)),
    "as many as leave 64": (None, 1 << 14, 609, (256, 6)),
    "given": (1024, 1 << 18, 609, (1024, 8)),
}


@pytest.mark.parametrize("name", RULE)
def test_how_many_scrambles(name):
    scrambles, n, components, expected = RULE[name]
    plan = plan_points(Sobol(scrambles), n, components, 2)
    assert plan[:2] == expected
    assert n / 2 < plan.total <= n
