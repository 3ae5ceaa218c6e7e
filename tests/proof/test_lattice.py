"""Lattice fields by hybrid Monte Carlo: over many seeds errors are the scatter about exact numbers, and no more.

Three chains with their transfer matrix, <phi^2>, <phi^4> and chi by the Gamma method, and the gap by generalised
eigenvalues from the same fields: z of each has mean 0 and mean square 1. Draws taken as independent are the planted
fault.
"""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import limit

pytestmark = pytest.mark.proof

SEEDS, DRAWS = 200, 80
CASES = ((1.0, 0.1), (1.0, 1.0), (-2.0, 0.5))
NAMES = ("phi^2", "phi^4", "chi", "gap")


def observed(fields):
    """phi^2, phi^4 and chi of each draw, (chain, draw, 3)."""
    f = np.asarray(fields, dtype=float)
    return np.stack([np.mean(f**2, axis=-1), np.mean(f**4, axis=-1), f.sum(axis=-1) ** 2 / f.shape[-1]], axis=-1)


@pytest.mark.parametrize(("m2", "lam"), CASES)
def test_errors_are_the_scatter_over_seeds(m2, lam, record):
    exact = m.Chain(m2, lam)
    truth = np.array([exact.moment(2), exact.moment(4), exact.correlator().sum(), exact.gap])
    z, naive = np.zeros((SEEDS, 4)), np.zeros((SEEDS, 3))
    for seed in range(SEEDS):
        drawn = inf.sample_lattice(m2, lam, (16,), key=jax.random.fold_in(jax.random.key(15), seed), draws=DRAWS)
        values = observed(drawn.fields)
        found = [inf.gamma_method(values[..., k]) for k in range(3)]
        gap = inf.Gevp().gap(inf.time_correlators(drawn.samples, period=16.0, times=[1.0, 2.0, 3.0]))
        z[seed] = [*[(one.mean - t) / one.error for one, t in zip(found, truth, strict=False)],
                   (gap.value - truth[3]) / gap.error]  # fmt: skip
        flat = values.reshape(-1, 3)
        naive[seed] = (flat.mean(axis=0) - truth[:3]) / (flat.std(axis=0) / np.sqrt(len(flat)))
    beyond = limit(8, family=1e-4)
    mean, square = z.mean(axis=0), np.mean(z**2, axis=0)
    band = (1.0 - beyond * np.sqrt(2 / SEEDS), 1.0 + beyond * np.sqrt(2 / SEEDS))
    record(
        f"lattice, m2 = {m2:g}, lam = {lam:g}",
        seed=15,
        runs=SEEDS,
        fields=256 * DRAWS,
        names=list(NAMES),
        mean_band=(-beyond / SEEDS**0.5, beyond / SEEDS**0.5),
        mean_z=mean.tolist(),
        band=band,
        mean_square_z=square.tolist(),
        naive_mean_square_z=np.mean(naive**2, axis=0).tolist(),
    )
    assert np.all(np.abs(mean) < beyond / np.sqrt(SEEDS))
    assert np.all((square > band[0]) & (square < band[1]))
    assert np.mean(naive[:, 0] ** 2) > band[1]
