"""A small fit of each of four actions to the same networks, for every test of this room, without NUTS."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests import closed

POINTS = np.array([[-2.0], [0.0], [2.0]])


@pytest.fixture(scope="session")
def small_data():
    net = m.Network(m.Cos(), width=20)
    return inf.measure(inf.Ensemble(net, points=POINTS, n=20_000, key=jax.random.key(5)))


@pytest.fixture(scope="session")
def small_fit(small_data):
    """Bilocal, cos networks of width 20 at three points. Shared: change a copy(deep=True), never this one."""
    return closed.fit(small_data, m.Bilocal(), key=jax.random.key(6), warmup=200, draws=200)


@pytest.fixture(scope="session")
def fits(small_data, small_fit):
    """One fit an action, by its name."""
    others = (m.Constant(), m.Local(), m.FullQuartic())
    drawn = {type(a).__name__: closed.fit(small_data, a, key=jax.random.key(7), draws=200) for a in others}
    return {"Bilocal": small_fit} | drawn
