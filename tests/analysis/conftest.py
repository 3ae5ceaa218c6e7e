"""A small fit for every test of this room, and the other three actions fitted to the same networks."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.labels import label_tree
from nnft.inference.likelihood import gaussian_posterior
from nnft.inference.predict import predict
from nnft.inference.problem import prepare
from nnft.models.actions import gauge

POINTS = np.array([[-2.0], [0.0], [2.0]])


@pytest.fixture(scope="session")
def small_data():
    net = m.Network(m.Cos(), width=20)
    return inf.measure(inf.Ensemble(net, points=POINTS, n=20_000, key=jax.random.key(5)))


@pytest.fixture(scope="session")
def small_fit(small_data):
    """Bilocal, cos networks of width 20 at three points. Shared: change a copy(deep=True), never this one."""
    return inf.fit(small_data, m.Bilocal(), key=jax.random.key(6), warmup=200, draws=200)


@pytest.fixture(scope="session")
def fits(small_data, small_fit):
    """One fit an action, by its name; all but the bilocal one drawn from the posterior's closed form, without NUTS."""
    others = (m.Constant(), m.Local(), m.FullQuartic())
    return {"Bilocal": small_fit} | {type(a).__name__: _closed(small_data, a, small_fit.attrs) for a in others}


def _closed(data, action, attrs):
    problem = prepare(data, action)
    rng = np.random.default_rng(7)
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    factors, prior = problem.basis.factors, problem.prior
    draws = rng.multivariate_normal(centre, covariance, size=(4, 200), method="cholesky") / factors
    before = (rng.normal(size=(1, 200, len(centre))) @ prior.factor.T + prior.mean) / factors
    stats = {
        "diverging": np.zeros((4, 200), dtype=bool),
        "energy": rng.normal(size=(4, 200)),
        "acceptance_rate": np.full((4, 200), 0.9),
        "n_steps": np.full((4, 200), 7),
        "lp": rng.normal(size=(4, 200)),
    }
    posterior = _named(draws, problem, action)
    predictions = predict(problem.metric, posterior, action, problem.weights)
    about = {**attrs, "action": type(action).__name__}
    return label_tree(problem, posterior, stats, _named(before, problem, action), predictions, about)


def _named(theta, problem, action):
    blocks = action.blocks(len(problem.weights))
    q = len(problem.basis.pairs)
    edges = np.cumsum([len(labels) for labels in blocks.values()])[:-1]
    named = dict(zip(blocks, np.split(theta[..., q:], edges, axis=-1), strict=True))
    lam = {} if "g4" in named else {"lam": gauge(named, problem.weights)}
    return {"q": theta[..., :q], **named, **lam}
