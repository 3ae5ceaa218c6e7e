"""A small fit of each of four actions to the same networks, for every test of this room, without NUTS."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.models import boundedness
from nnft.models.actions.boundedness import minimum_on_sphere
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


@pytest.fixture(scope="module")
def remembered_minima():
    """The minimisation takes most of the time of `diagnose`; the same draws have the same minima, found once a file."""
    known = {}

    def remember(quartic, points, *, scale, tuples, order):
        key = (quartic.tobytes(), points, scale.tobytes(), tuples.tobytes(), order)
        if key not in known:
            known[key] = minimum_on_sphere(quartic, points, scale=scale, tuples=tuples, order=order)
        return known[key]

    def remember_mean(coefficients, points, *, tuples, scale):
        forms = ((r, v.tobytes(), tuples[r].tobytes()) for r, v in coefficients.items())
        key = ("mean", points, scale.tobytes(), *forms)
        if key not in known:
            known[key] = boundedness(coefficients, points, tuples=tuples, scale=scale)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnft.analysis.checks.boundedness.minimum_on_sphere", remember)
        patch.setattr("nnft.analysis.checks.boundedness.boundedness", remember_mean)
        yield
