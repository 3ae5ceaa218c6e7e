"""What an ArviZ user tries first on a fit works: its table has a row a coupling, its figures have its names."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr


@pytest.fixture(scope="module")
def tree():
    """A fit of a handful of draws: figures ask for its groups and names, not for its numbers."""
    import jax

    from nnft import inference as inf
    from nnft import models as m

    fields = np.random.default_rng(3).normal(size=(2000, 1))
    samples = inf.Samples(fields, np.zeros((1, 1)))
    return inf.fit(samples, m.Local(), key=jax.random.key(0), sampler=inf.Nuts(chains=2, warmup=100, draws=100))


def test_a_row_for_every_coupling(tree: xr.DataTree):
    table = az.summary(tree)
    assert [name.partition("[")[0] for name in table.index] == ["q", "g"]
    assert np.isfinite(table[["mean", "sd"]].to_numpy(float)).all()


@pytest.mark.parametrize("name", ["trace", "dist", "forest", "pair", "ess", "energy", "ppc_dist"])
def test_the_figures_of_arviz_take_a_fit(tree: xr.DataTree, name: str):
    getattr(az, f"plot_{name}")(tree, backend="matplotlib")
    assert plt.gcf().axes
    plt.close("all")
