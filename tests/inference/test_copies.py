"""Copies and mirror images are left out, wherever they lie; what repeats by itself or by refusal stays."""

import numpy as np
import pytest

from nnft import inference as inf
from nnft.inference.arrays.copies import copies, row_hashes

X = np.array([[0.0], [1.0]])
FIELDS = np.random.default_rng(0).normal(size=(3000, 2))


@pytest.mark.parametrize(
    "made",
    [
        np.concatenate([FIELDS, FIELDS]),
        np.concatenate([FIELDS, -FIELDS]),
        np.concatenate([FIELDS, FIELDS[1000:1800]]),
        np.concatenate([FIELDS, -FIELDS[7::-1], -FIELDS[:7:-1], FIELDS]).astype(np.float32),
    ],
    ids=["doubled", "mirrored", "resumed", "mixed"],
)
def test_errors_do_not_shrink(made):
    """Exactly the moments and errors of the originals."""
    originals = FIELDS.astype(made.dtype)
    found, alone = inf.Samples(made, X), inf.Samples(originals, X)
    assert found.n == 3000
    assert found.copied == len(made) - 3000
    assert f"{len(made) - 3000} copies left out" in repr(found)
    one, other = inf.measure(found, orders=(2, 4)), inf.measure(alone, orders=(2, 4))
    assert np.array_equal(one.error(4), other.error(4))
    assert one.about["copied"] == found.copied
    assert "copied" not in other.about


def test_another_network_is_no_copy():
    """The planted fault: one bit of one number is another network."""
    made = np.concatenate([FIELDS, FIELDS])
    made[3000:, 0] = np.nextafter(made[3000:, 0], 9.0)
    assert inf.Samples(made, X).n == 6000


def test_refused_moves_of_a_chain_stay():
    """A Metropolis chain repeats the field it could not leave, next to itself; the order then shows memory."""
    held = np.repeat(FIELDS, np.random.default_rng(1).geometric(0.4, size=3000), axis=0)
    found = inf.Samples(held, X)
    assert found.copied == 0
    assert found.n == len(held)
    assert found.dependence.block > 1


def test_few_values_repeat_by_themselves():
    """Integers of eight bits at two points: equal rows by chance, all of them networks."""
    made = np.random.default_rng(2).integers(-9, 10, size=(4000, 2)).astype(float)
    assert inf.Samples(made, X).n == 4000
    one = np.round(np.random.default_rng(3).normal(size=(4000, 1)), 5)  # a birthday now and then
    assert inf.Samples(one, X[:1]).n == 4000


def test_copies_are_found_at_one_point_and_in_slices():
    one = np.concatenate([FIELDS[:, :1], -FIELDS[:, :1]])
    found = inf.Samples(one, X[:1])
    assert found.n == 3000
    assert np.array_equal(found.read(1500, 10), FIELDS[1500:1510, :1])
    with pytest.raises(ValueError, match="chains without copies, got 3000 rows that repeat"):
        inf.Samples(one, X[:1], chains=2)


def test_hashes_see_integers_and_zeros_apart():
    """Numbers whose low bits are all zero, and zeros of both signs."""
    rows = np.array([[1.0, 2.0], [2.0, 1.0], [4.0, 0.5], [-0.0, 1.0], [0.0, 1.0], [0.0, -1.0]])
    found = row_hashes(rows)
    assert len(set(found[:3].tolist())) == 3
    assert found[3] == found[4] == found[5]
    assert copies(found).tolist() == [False] * 6
