"""A session's own switches of JAX change no number of ours: strict promotion, other streams, coarse products."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m

SWITCHES = {
    "rank": lambda: jax.numpy_rank_promotion("raise"),
    "dtype": lambda: jax.numpy_dtype_promotion("strict"),
    "streams": lambda: jax.threefry_partitionable(False),
    "products": lambda: jax.default_matmul_precision("bfloat16"),
}


def _numbers() -> list[np.ndarray]:
    ens = inf.Ensemble(m.Network(m.Cos(), width=5), points=np.array([[0.0], [1.0]]), n=2000, key=jax.random.key(5))
    data = inf.measure(ens)
    fit = inf.fit(data, m.Bilocal(), key=jax.random.key(6), sampler=inf.Closed(chains=2, draws=20))
    return [ens.read(0, 3), data.moment(4), fit["posterior"]["v"].values]


@pytest.fixture(scope="module")
def plain():
    return _numbers()


@pytest.mark.parametrize("switch", SWITCHES)
def test_switches_of_a_session_change_no_bit(plain, switch):
    with SWITCHES[switch]():
        for here, there in zip(_numbers(), plain, strict=True):
            np.testing.assert_array_equal(here, there)


def test_the_streams_of_a_session_are_others(plain):
    """The twin: outside our own passes the switch is at work."""
    with SWITCHES["streams"]():
        assert jax.random.normal(jax.random.key(0), (3,)).tolist() != [float(v) for v in _default_normals()]


def _default_normals() -> np.ndarray:
    with jax.threefry_partitionable(True):
        return np.asarray(jax.random.normal(jax.random.key(0), (3,)))
