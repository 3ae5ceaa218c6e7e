"""`inf.fit` without NUTS, for tests of what stands around it: draws from the closed posterior under NUTS's name.

The posterior of the default prior is Gaussian and its mean and covariance are known; NUTS has to reproduce it, and
takes its time to compile. The statistics of the sampler are those of healthy chains. Draws depend on the key alone.
Four chains of 200 draws, wherever the number does not matter: fits of one size share their compiled programs.
"""

import json

import jax
import numpy as np
import xarray as xr

from nnft import inference as inf
from nnft.models.theories.recipes import described


def fit(data, action, *, key, sampler=None, prior=None, prior_scale=1.0, **settings):
    """As `inf.fit` with the options of its sampler and prior, in seconds; a sampler that is asked for is kept."""
    sizes = {name: settings.pop(name) for name in ("chains", "warmup", "draws") if name in settings}
    prior = inf.UnitInformation(prior_scale) if prior is None else prior
    chosen = inf.Automatic(**sizes) if sampler is None else sampler
    if chosen.word != "Automatic":
        return inf.fit(data, action, key=key, sampler=chosen, prior=prior, **settings)
    exact = inf.Closed(chosen.chains, chosen.draws)
    tree = as_nuts(inf.fit(data, action, key=key, sampler=exact, prior=prior, **settings), key)
    tree.attrs["warmup"] = chosen.warmup
    return tree


def as_nuts(tree, key):
    """The same draws with the statistics NUTS has when nothing is wrong, and its name."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    stats = tree["sample_stats"].to_dataset()
    shape = (stats.sizes["chain"], stats.sizes["draw"])
    values = {
        "diverging": np.zeros(shape, dtype=bool),
        "energy": rng.normal(size=shape),
        "acceptance_rate": np.full(shape, 0.9),
        "n_steps": np.full(shape, 7),
    }
    tree["sample_stats"] = xr.DataTree(stats.assign({n: (("chain", "draw"), v) for n, v in values.items()}))
    tree.attrs["sampler"] = "nuts"
    made = json.loads(tree.attrs["made_with"])
    tree.attrs["made_with"] = json.dumps(made | {"sampler": described(inf.Nuts(chains=shape[0], draws=shape[1]))})
    return tree
