"""Networks that a Bayesian draws after seeing data: all parameters by NUTS, as a Markov chain of fields.

The posterior is prior x N(y; phi(X), s^2), over every parameter of the program, in units of their deviations. Where the
readout is Gaussian and the last one to be drawn, `m.Bayes(noise)` has the same posterior without a chain: hidden layers
from the prior, weighted by their evidence. That is exact while their weights last; a chain goes on where they do not.
"""

from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

from ...models.correlators import check_points
from ...models.refusals import is_whole
from ...models.runtime import settled
from ...models.training.trained import Trained
from ...models.types import Points
from ..ensembles.samples import Samples

__all__ = ["sample_posterior"]

_RHAT = 1.05  # of any field at the points, beyond which chains have not met


def sample_posterior(
    trained: Trained,
    points: Points,
    *,
    key: jax.Array,
    chains: int = 8,
    warmup: int = 1000,
    draws: int = 1000,
    progress: bool = False,
) -> Samples:
    """Fields of the posterior over all parameters of a network, by NUTS, chains in parallel.

    Args:
        trained: a `m.Trained` whose way is `m.Bayes(noise)`: network, data and noise.
        points: (point, axis).
        key: `jax.random.key(seed)`.
        chains: Markov chains, drawn together.
        warmup: steps of each that are thrown away.
        draws: steps of each that are kept.
        progress: a bar.

    Returns:
        Samples of chains x draws fields, one chain after the other: `inf.measure` takes their errors from blocks.

    Raises:
        ValueError: another way of learning; a discrete parameter; chains that have not met, R-hat of a field above
            1.05, with the number.

    Example:
        >>> from nnft import models as m
        >>> net = m.Trained(m.Network(m.Erf(), 4), [[-1.0], [0.6]], [1.0, -0.5], m.Bayes(noise=0.3))
        >>> fields = sample_posterior(net, np.array([[0.2]]), key=jax.random.key(0), chains=2, warmup=200, draws=100)
        >>> fields.n, fields.points.shape
        (200, (1, 1))
    """
    noise = trained.way.variance if isinstance(trained, Trained) else None
    if noise is None:
        what = trained.name if isinstance(trained, Trained) else type(trained).__name__
        raise ValueError(f"expected a network with a Bayesian posterior, got {what}; try m.Trained(.., m.Bayes(0.1))")
    for name, value, least in (("chains", chains, 2), ("warmup", warmup, 10), ("draws", draws, 20)):
        if not is_whole(value, least):
            raise ValueError(f"expected {name} to be at least {least}, got {value!r}; try {name}={10 * least}")
    x, (inputs, targets) = check_points(points), trained.data
    both = np.concatenate([x, inputs])

    def model() -> None:
        with numpyro.handlers.trace() as trace:
            trained.net(jnp.asarray(both))
        phi = jnp.asarray(trace["phi"]["value"])
        numpyro.deterministic("field", phi[: len(x)])
        numpyro.sample("targets", dist.Normal(phi[len(x) :], noise**0.5), obs=jnp.asarray(targets))

    with settled():
        kernel: Any = NUTS(model, max_tree_depth=8)
        chain = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=progress,
        )
        chain.run(key)
        fields = np.asarray(chain.get_samples(group_by_chain=True)["field"])
    worst = float(np.max(np.asarray(az.rhat(fields.transpose(2, 0, 1), chain_axis=1, draw_axis=2))))
    if not worst < _RHAT:
        raise ValueError(
            f"expected chains that have met, R-hat of every field below {_RHAT:g}, got {worst:.3g}; try more warmup "
            "and draws, or m.Bayes(noise) in an inf.Ensemble, which needs no chain"
        )
    return Samples(fields.reshape(chains * draws, -1), x, chains=chains, name="posterior")
