"""Few networks a coupling: how far single intervals, ellipsoids and the test of left-out terms can be believed.

Fields of a bounded bilocal action, the user's whole way from samples to the posterior. Errors whose networks have no
voice in their own equations (`inference/equations/leverage.py`) are held beside the plain sandwich, the planted fault.
"""

import numpy as np
import pytest
from scipy import stats

from nnft import models as m
from nnft.inference import Samples
from nnft.inference.equations import from_moments as score
from nnft.inference.equations.terms import embed
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from tests.oracles import planted

pytestmark = pytest.mark.proof

REPLICATES, NOMINAL, POINTS = 300, 0.95, 4


def _one(fields) -> tuple[np.ndarray, float, float]:
    """z of each coupling, their joint squared distance, and p of the terms left out."""
    truth = planted("lat", 0.1, POINTS)
    samples = Samples(fields, np.arange(float(POINTS))[:, None], independent=True)
    problem = prepare(samples, m.Bilocal(), metric=truth.covariance)  # else half of the networks are held out for it
    q, factors = problem.quadratic, problem.factors
    mean, covariance = gaussian_posterior(problem.equations, problem.prior)
    shift = (mean / factors)[q:] - truth.couplings
    calibrated = (covariance / np.outer(factors, factors))[q:, q:]
    z = shift / np.sqrt(np.diag(calibrated))
    return z, float(shift @ np.linalg.solve(calibrated, shift)), _left_out(problem)


def _left_out(problem) -> float:
    """Rao's test of the quartic terms the action does not hold, F on n networks."""
    eq, rich, up = problem.equations, problem.full.equations, embed(problem.terms, problem.full.terms)
    outside = np.linalg.svd(up)[2][len(eq.vector) :]
    project = outside @ (np.eye(len(rich.vector)) - rich.matrix @ up.T @ np.linalg.inv(eq.matrix) @ up)
    r = outside @ (rich.vector - rich.matrix @ up.T @ eq.estimate)
    square = float(r @ np.linalg.solve(project @ rich.noise @ project.T / eq.networks, r))
    dof, below = len(r), eq.networks - 1.0
    return float(stats.f.sf(square * (below - dof + 1) / (below * dof), dof, below - dof + 1))


@pytest.mark.parametrize(("networks", "seed"), [(1000, 401), (2000, 402), (10_000, 403)])
def test_few_networks_a_coupling(networks, seed, record, monkeypatch):
    rng = np.random.default_rng(seed)
    truth = planted("lat", 0.1, POINTS)
    sets = [truth.draw(networks, rng) for _ in range(REPLICATES)]
    found = {}
    for name in ("left out", "plain"):
        with monkeypatch.context() as patch:
            if name == "plain":
                patch.setattr(score, "matters", lambda *_: False)
            z, joint, p = (np.array(column) for column in zip(*map(_one, sets), strict=True))
        inside = np.abs(z) < stats.norm.isf((1 - NOMINAL) / 2)
        found[name] = {
            "marginal": float(inside.mean()),
            "cluster_error": float(inside.mean(axis=1).std(ddof=1) / np.sqrt(REPLICATES)),
            "lowest_coupling": float(inside.mean(axis=0).min()),
            "joint": float(np.mean(joint < stats.chi2.isf(1 - NOMINAL, z.shape[1]))),
            "left_out_below_5_percent": float(np.mean(p < 0.05)),
            "left_out_ks": float(stats.kstest(p, "uniform").pvalue),
        }
    record(
        f"networks per coupling, n={networks}",
        seed=seed,
        replicates=REPLICATES,
        couplings=z.shape[1],
        **{f"{key} ({name})": value for name, values in found.items() for key, value in values.items()},
    )
    ours, plain = found["left out"], found["plain"]
    assert abs(ours["marginal"] - NOMINAL) < 0.02
    if networks >= 50 * (z.shape[1] + POINTS * (POINTS + 1) / 2):  # where the check of a fit passes
        assert stats.binom.ppf(1e-4, REPLICATES, NOMINAL) <= REPLICATES * ours["joint"]
        assert ours["left_out_ks"] > 1e-4
    else:
        assert ours["joint"] > plain["joint"] + 0.05
        assert plain["joint"] < 0.85
