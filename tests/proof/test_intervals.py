"""Error bars in every space: intervals of one standard error hold the exact correlators 68 % of the time.

G4c and G6c of bounded nets by 240 independent experiments each; couplings fitted to the correlators of one neuron at
95 %. Bands: the coverage averaged over components within max(3 cluster errors, .02) of nominal (an experiment is a
cluster: its components are correlated). The planted fault, errors too small by sqrt 2, must leave the band.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import models as m
from nnft.inference.ensembles import Ensemble
from nnft.inference.likelihood import gaussian_posterior
from nnft.inference.measure import measure
from nnft.inference.problem import prepare

pytestmark = pytest.mark.proof

REPLICATES = 240
POINTS = np.array([[-1.0], [0.2], [1.0]])
CASES = {
    "field cos uniform N=10": (m.Network(m.Cos(), 10, "uniform"), "field", 100_000, 201),
    "field erf gaussian N=20": (m.Network(m.Erf(), 20), "field", 200_000, 202),
    "readout erf N=50": (m.Network(m.Erf(), 50), "readout", 20_000, 203),
    "readout cos shared Gamma scale N=50": (
        m.Network(m.Cos(), 50, shared_scale=m.GammaScale(0.1)),
        "readout",
        50_000,
        204,
    ),
    "neuron erf laplace N=50": (m.Network(m.Erf(), 50, "laplace"), "neuron", 20_000, 205),
    "neuron tanh and cos N=50": (m.Network((m.Tanh(), m.Cos()), 50), "neuron", 20_000, 206),
}


def band(inside: np.ndarray, nominal: float) -> tuple[float, float, float]:
    """Average coverage, its cluster error, and the half-width of the band."""
    each = inside.mean(axis=1)
    cluster = float(each.std(ddof=1) / np.sqrt(len(each)))
    return float(each.mean()), cluster, max(3 * cluster, 0.02)


@pytest.mark.parametrize("name", CASES)
def test_one_standard_error_covers_two_thirds(name, record):
    network, space, n, seed = CASES[name]
    truth = m.exact(network, POINTS)
    key = jax.random.key(seed)
    z: dict[int, list[np.ndarray]] = {4: [], 6: []}
    for k in range(REPLICATES):
        ensemble = Ensemble(network, points=POINTS, n=n, key=jax.random.fold_in(key, k))
        data = measure(ensemble, space=space, orders=(2, 4, 6))
        for order, rows in z.items():
            rows.append((data.connected(order) - truth.connected(order)) / data.error(order))
    nominal = 1 - 2 * stats.norm.sf(1.0)
    for order, rows in z.items():
        scores = np.array(rows)
        average, cluster, half = band(np.abs(scores) < 1.0, nominal)
        faulty = float((np.abs(scores) < 2**-0.5).mean())
        record(
            f"68% intervals of G{order}c, {name}",
            seed=seed,
            draws=n,
            replicates=REPLICATES,
            components=scores.shape[1],
            average=average,
            cluster_error=cluster,
            band=[nominal - half, nominal + half],
            with_errors_too_small_by_sqrt2=faulty,
        )
        assert abs(average - nominal) <= half
        assert abs(faulty - nominal) > half


def test_couplings_from_one_neuron_are_covered(record):
    """95 % intervals of a full quartic action fitted in neuron space, around the couplings of the exact moments."""
    network = m.Network(m.Erf(), 200)
    truth = prepare(m.exact(network, POINTS), m.FullQuartic()).equations.estimate
    key, z = jax.random.key(207), []
    for k in range(REPLICATES):
        ensemble = Ensemble(network, points=POINTS, n=50_000, key=jax.random.fold_in(key, k))
        problem = prepare(measure(ensemble, space="neuron"), m.FullQuartic())
        mean, covariance = gaussian_posterior(problem.equations, problem.prior)
        z.append((mean - truth) / np.sqrt(np.diag(covariance)))
    quartic = np.array(z)[:, len(m.exact(network, POINTS, orders=(2,)).connected(2)) :]
    average, cluster, half = band(np.abs(quartic) < stats.norm.isf(0.025), 0.95)
    faulty = float((np.abs(quartic) < stats.norm.isf(0.025) / 2**0.5).mean())
    record(
        "95% intervals of the quartic couplings from one neuron, erf N=200",
        seed=207,
        draws=50_000,
        replicates=REPLICATES,
        couplings=quartic.shape[1],
        average=average,
        cluster_error=cluster,
        band=[0.95 - half, 0.95 + half],
        with_errors_too_small_by_sqrt2=faulty,
    )
    assert abs(average - 0.95) <= half
    assert abs(faulty - 0.95) > half
