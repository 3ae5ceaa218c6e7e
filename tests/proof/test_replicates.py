"""Posterior predictive p-values are uniform where the action is right and its coupling has not seen the statistic.

Three sites that are alike, S4 = g sum_a phi_a^4 with g = .002: one loop is a fifth of the error of G4c, and the same at
every site. One coupling is fitted, to the sum over sites; a difference between sites, G4c(0,0,0,0) - G4c(1,1,1,1) or
G4c(0,0,1,2) - G4c(0,1,1,2), is predicted as zero and seen by none. Scores Phi^-1(p) then have mean 0 and variance 1.
Planted faults: draws without measurement noise, and noise of each component by itself, whose differences are too wide.
"""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m
from tests.oracles import planted
from tests.statistics import agree, disagree

pytestmark = pytest.mark.proof

SETS, NETWORKS, SEED = 150, 20_000, 701
STATISTICS = {"kurtosis": ("0,0,0,0", "1,1,1,1"), "mixed": ("0,0,1,2", "0,1,1,2")}


def score(predicted: np.ndarray, observed: float) -> float:
    """Normal score of the share of draws below what was observed, which half a draw keeps from 0 and 1."""
    return float(stats.norm.ppf((np.sum(predicted < observed) + 0.5) / (predicted.size + 1.0)))


def test_p_values_of_replicated_data_are_uniform(record):
    chain = planted("lat", 0.002, 3)
    truth = replace(chain, g=np.full(3, 0.002), u=np.zeros((3, 3)), v=np.zeros((3, 3)))
    rng, key = np.random.default_rng(SEED), jax.random.key(SEED)
    scores = {name: {"noise": [], "none": [], "each alone": []} for name in STATISTICS}
    bias = []
    for k in range(SETS):
        samples = inf.Samples(truth.draw(NETWORKS, rng), np.arange(3.0)[:, None])
        fit = inf.fit(samples, m.Constant(), key=jax.random.fold_in(key, k), sampler=inf.Closed(draws=200))
        observed = fit["observed_data"]["G4"]
        error = fit["constant_data"]["G4_error"]
        made = {"noise": fit["posterior_predictive"]["G4"], "none": fit["predictions"]["G4"]}
        made["each alone"] = made["none"] + error.values * rng.standard_normal(made["none"].shape)
        for name, (one, other) in STATISTICS.items():
            seen = float(observed.sel(quad=one) - observed.sel(quad=other))
            for what, draws in made.items():
                scores[name][what].append(score((draws.sel(quad=one) - draws.sel(quad=other)).values, seen))
        loop = fit["predictions"]["G4_loop"] - fit["predictions"]["G4"]
        bias.append(float(np.abs(loop.mean(("chain", "draw")) / error).max()))
    spread = {name: {what: float(np.var(z)) for what, z in found.items()} for name, found in scores.items()}
    mean = {name: float(np.mean(found["noise"])) for name, found in scores.items()}
    record(
        "predictive p-values of a weak phi^4 action",
        seed=SEED,
        sets=SETS,
        networks=NETWORKS,
        goal="scores of mean 0 and variance 1",
        mean=mean,
        variance=spread,
        uniform_p={name: float(stats.kstest(found["noise"], "norm").pvalue) for name, found in scores.items()},
        largest_loop_over_error=float(np.mean(bias)),
    )
    assert np.mean(bias) < 0.25
    for name in STATISTICS:
        agree(mean[name], 0.0, 1.0 / np.sqrt(SETS))
        agree(spread[name]["noise"], 1.0, np.sqrt(2.0 / SETS))
        assert stats.kstest(scores[name]["noise"], "norm").pvalue > 1e-5
        disagree(spread[name]["none"], 1.0, np.sqrt(2.0 / SETS))
    disagree(spread["mixed"]["each alone"], 1.0, np.sqrt(2.0 / SETS))
