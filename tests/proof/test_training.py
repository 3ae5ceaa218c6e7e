"""Couplings of trained networks: posteriors cover what infinitely many networks have, before and after training.

The truth at finite width is that of the mixture over hidden layers: given them the field after training is Gaussian,
with mean m = S_xX R y and covariance C, so that its moments up to order six are averages of polynomials of m and C over
two million hidden layers, without the noise of the readout. Band of coverage: .95 +- .03 (two binomial deviations of
200 replicates; the seed is fixed). The planted fault, errors too small by sqrt 2, must leave it on average.
"""

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.models.training.last_layer import progress

pytestmark = pytest.mark.proof

X, Y, NEW = np.array([[-1.0], [0.6]]), np.array([1.0, -0.5]), np.array([[-0.2], [1.4]])
WIDTH, NETWORKS, REPLICATES, LAYERS, SEED = 16, 30_000, 200, 2_000_000, 61
ACTION = m.Odd(m.Bilocal())
GOAL = (0.92, 0.98)


def mixture_moments(time: float) -> tuple[dict[int, np.ndarray], float]:
    """E phi..phi of orders 1 to 6 after training, from hidden layers; and their error at order 4 over the largest."""
    both = jnp.asarray(np.concatenate([NEW, X]))

    def wick(mean, covariance, places):
        if not places:
            return 1.0
        first, rest = places[0], places[1:]
        total = mean[first] * wick(mean, covariance, rest)
        for k, other in enumerate(rest):
            total += covariance[first, other] * wick(mean, covariance, rest[:k] + rest[k + 1 :])
        return total

    def one(key):
        w, b = jax.random.normal(key, (2, WIDTH))
        s = jax.scipy.special.erf(both * w + 0.5 * b) / WIDTH**0.5
        here, seen = s[:2], s[2:]
        level, axes = jnp.linalg.eigh(seen @ seen.T)
        to = here @ seen.T @ ((axes * progress(level, time)) @ axes.T)
        left = here - to @ seen
        mean, covariance = to @ jnp.asarray(Y), left @ left.T
        return {
            r: jnp.stack([wick(mean, covariance, p) for p in combinations_with_replacement(range(2), r)])
            for r in range(1, 7)
        }

    batch = 20_000
    with jax.enable_x64(True):
        mean = jax.jit(lambda key: jax.tree.map(lambda v: v.mean(0), jax.vmap(one)(jax.random.split(key, batch))))
        key = jax.random.key(SEED)
        groups = [mean(jax.random.fold_in(key, g)) for g in range(LAYERS // batch)]
    tables = {r: np.array([np.asarray(g[r]) for g in groups]) for r in range(1, 7)}
    error = np.max(tables[4].std(axis=0, ddof=1) / len(groups) ** 0.5) / np.max(np.abs(tables[4].mean(axis=0)))
    return {r: table.mean(axis=0) for r, table in tables.items()}, float(error)


def ensemble(times, n, key):
    net = m.Trained(m.Network(m.Erf(1.0, 0.5), WIDTH), X, Y, m.LastLayer(times))
    return inf.Ensemble(net, points=NEW, n=n, key=key)


@pytest.mark.parametrize("time", [0.0, 2.0])
def test_posteriors_cover_the_couplings_of_the_mixture(time, record):
    moments, error = mixture_moments(time)
    data = m.Correlators.from_arrays(NEW, moments=moments, even=False)
    problem = prepare(data, ACTION)
    truth, names = problem.equations.estimate / problem.factors, list(ACTION.blocks(2))
    key, z = jax.random.key(SEED + 1 + int(time)), []
    for k in range(REPLICATES):
        ens = ensemble((time,), NETWORKS, jax.random.fold_in(key, k))
        found = prepare(inf.measure(ens, orders=(1, 2, 3, 4, 6), even=False), ACTION)
        mean, covariance = gaussian_posterior(found.equations, found.prior)
        z.append((mean / found.factors - truth) * found.factors / np.sqrt(np.diag(covariance)))
    scores = np.array(z)
    covered = np.mean(np.abs(scores) < 1.96, axis=0)
    faulty = float(np.mean(np.abs(scores) < 1.96 / 2**0.5))
    record(
        f"couplings of erf networks, readout trained to t = {time:g}",
        seed=SEED,
        replicates=REPLICATES,
        networks=NETWORKS,
        hidden_layers=LAYERS,
        error_of_the_truth=error,
        action=names,
        goal=list(GOAL),
        v=float(covered[-1]),
        truth_v=float(truth[-1]),
        average=float(covered.mean()),
        lowest=float(covered.min()),
        highest=float(covered.max()),
        with_errors_too_small_by_sqrt2=faulty,
    )
    assert error < 1e-3
    assert GOAL[0] <= covered[-1] <= GOAL[1]
    assert GOAL[0] <= covered.mean() <= GOAL[1]
    assert not GOAL[0] <= faulty <= GOAL[1]


def test_the_coupling_drifts(record):
    """v and g between the start and t = 1, of the same million networks; their signs are those of the mixture."""
    found = an.drift(
        ensemble((0.0, 1.0), 1_000_000, jax.random.key(SEED)), ACTION, key=jax.random.key(0), sampler="closed"
    )
    start, end = ({c.text: c for c in found.couplings(k)} for k in (0, 1))
    drift = {}
    for name in ("v[0,1]", "g[0]", "g[1]", "h[0]", "h[1]"):
        change, sd = end[name].mean - start[name].mean, float(np.hypot(end[name].sd, start[name].sd))
        drift[name] = [change, sd]
    truths = [
        prepare(m.Correlators.from_arrays(NEW, moments=mixture_moments(t)[0], even=False), ACTION) for t in (0.0, 1.0)
    ]
    start_v, end_v = (float((one.equations.estimate / one.factors)[-1]) for one in truths)
    known = end_v - start_v
    record(
        "drift of couplings with training", seed=SEED, networks=1_000_000, times=[0.0, 1.0], drift=drift, known_v=known
    )
    change, sd = drift["v[0,1]"]
    assert change < -4.0 * sd
    assert abs(change - known) < 4.0 * sd
    assert abs(0.0 - known) > 4.0 * sd
