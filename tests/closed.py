"""`inf.fit` without its sampler, for tests of what stands around it: independent draws from the closed posterior.

The posterior of the default prior is Gaussian and its mean and covariance are known; NUTS has to reproduce it, and
takes its time to compile. The draws depend on the key alone.
"""

import jax
import numpy as np

from nnft.inference.labels import label_tree
from nnft.inference.likelihood import gaussian_posterior
from nnft.inference.predict import predict
from nnft.inference.problem import prepare
from nnft.models.actions import gauge


def fit(data, action, *, key, prior_scale=1.0, chains=4, warmup=500, draws=1000, progress=False, **settings):
    """As `inf.fit`, which has the same arguments, in seconds."""
    problem = prepare(data, action, prior_scale=prior_scale, progress=progress, **settings)
    words = np.asarray(jax.random.key_data(key)).tolist()
    rng, factors = np.random.default_rng(words), problem.basis.factors
    centre, covariance = gaussian_posterior(problem.equations, problem.prior)
    theta = rng.multivariate_normal(centre, covariance, size=(chains, draws), method="cholesky") / factors
    before = (rng.normal(size=(1, draws, len(centre))) @ problem.prior.factor.T + problem.prior.mean) / factors
    posterior, shape = _named(theta, problem), (chains, draws)
    stats = {
        "diverging": np.zeros(shape, dtype=bool),
        "energy": rng.normal(size=shape),
        "acceptance_rate": np.full(shape, 0.9),
        "n_steps": np.full(shape, 7),
        "lp": rng.normal(size=shape),
    }
    about = {
        "action": type(action).__name__,
        "metric_from": problem.metric_from,
        "networks": float(problem.equations.networks),
        "key": str(words),
        "warmup": warmup,
        "prior_scale": prior_scale,
        **{name: str(value) for name, value in problem.data.about.items()},
    }
    predictions = predict(problem.metric, posterior, action, problem.weights)
    return label_tree(problem, posterior, stats, _named(before, problem), predictions, about)


def _named(theta, problem):
    blocks, q = problem.action.blocks(len(problem.weights)), len(problem.basis.pairs)
    edges = np.cumsum([len(labels) for labels in blocks.values()])[:-1]
    named = dict(zip(blocks, np.split(theta[..., q:], edges, axis=-1), strict=True))
    lam = {} if "g4" in named else {"lam": gauge(named, problem.weights)}
    return {"q": theta[..., :q], **named, **lam}
