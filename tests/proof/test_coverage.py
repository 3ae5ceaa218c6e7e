"""Calibration at fixed couplings: intervals that say 95 % hold the planted truth 95 % of the time, all together too.

Fields are drawn exactly from a bounded bilocal action (`tests/oracles.py`), and each replicate goes the user's whole
way: samples, held-out metric, correlators, estimating equations, posterior. Bands: the coverage averaged over
couplings within max(3 cluster errors, .015) of .95 (a replicate is a cluster); no coupling outside its own binomial
band, and the joint (Mahalanobis) coverage inside its band, at family-wise 1e-4; naive covariance must fall below .80.
"""

import numpy as np
import pytest
from scipy import stats

from nnft import models as m
from nnft.inference import Samples
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from tests.oracles import planted

pytestmark = pytest.mark.proof

NETWORKS, REPLICATES, NOMINAL, FAMILY = 100_000, 200, 0.95, 1e-4


def _one(truth, points, rng) -> tuple[np.ndarray, np.ndarray, float, float]:
    """z of each coupling, calibrated and naive, and the joint squared distances in both covariances."""
    samples = Samples(truth.draw(NETWORKS, rng), np.arange(float(points))[:, None])
    problem = prepare(samples, m.Bilocal())
    q, factors = problem.quadratic, problem.factors
    mean, covariance = gaussian_posterior(problem.equations, problem.prior)
    shift = (mean / factors)[q:] - truth.couplings
    calibrated = (covariance / np.outer(factors, factors))[q:, q:]
    naive = (problem.equations.naive / np.outer(factors, factors))[q:, q:]
    return (
        shift / np.sqrt(np.diag(calibrated)),
        shift / np.sqrt(np.diag(naive)),
        float(shift @ np.linalg.solve(calibrated, shift)),
        float(shift @ np.linalg.solve(naive, shift)),
    )


def _binomial_band(count: int, level: float) -> tuple[float, float]:
    """Two-sided acceptance region of a coverage from `count` replicates at false-alarm `level`."""
    return stats.binom.ppf(level / 2, count, NOMINAL) / count, stats.binom.isf(level / 2, count, NOMINAL) / count


@pytest.mark.parametrize(
    ("kind", "strength", "points", "seed"), [("lat", 0.02, 6, 101), ("lat", 0.5, 5, 102), ("rbf", 0.5, 4, 103)]
)
def test_planted_couplings_are_covered(kind, strength, points, seed, record):
    """Per coupling, on average and jointly; and the naive covariance fails the same tests."""
    truth = planted(kind, strength, points)
    rng = np.random.default_rng(seed)
    calibrated, naive, joint, naive_joint = (
        np.array(column) for column in zip(*[_one(truth, points, rng) for _ in range(REPLICATES)], strict=True)
    )
    half = stats.norm.isf((1 - NOMINAL) / 2)
    inside = np.abs(calibrated) < half
    average, cluster = float(inside.mean()), float(inside.mean(axis=1).std(ddof=1) / np.sqrt(REPLICATES))
    naive_average = float((np.abs(naive) < half).mean())
    edge = stats.chi2.isf(1 - NOMINAL, calibrated.shape[1])
    joint_cover, naive_joint_cover = float((joint < edge).mean()), float((naive_joint < edge).mean())
    each = _binomial_band(REPLICATES, FAMILY / calibrated.shape[1])
    together = _binomial_band(REPLICATES, FAMILY)
    record(
        f"coverage {kind} g={strength} M={points}",
        seed=seed,
        networks=NETWORKS,
        replicates=REPLICATES,
        couplings=calibrated.shape[1],
        average=average,
        cluster_error=cluster,
        average_band=[NOMINAL - max(3 * cluster, 0.015), NOMINAL + max(3 * cluster, 0.015)],
        lowest_coupling=float(inside.mean(axis=0).min()),
        highest_coupling=float(inside.mean(axis=0).max()),
        coupling_band=list(each),
        joint=joint_cover,
        joint_band=list(together),
        joint_mean_over_dof=float(joint.mean() / calibrated.shape[1]),
        naive_average=naive_average,
        naive_average_below=0.80,
        naive_joint=naive_joint_cover,
    )
    assert abs(average - NOMINAL) <= max(3 * cluster, 0.015)
    assert each[0] <= inside.mean(axis=0).min()
    assert inside.mean(axis=0).max() <= each[1]
    assert together[0] <= joint_cover <= together[1]
    assert naive_average < 0.80
    assert naive_joint_cover < together[0]
