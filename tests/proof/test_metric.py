"""A prescribed metric far from the field's own two-point function costs no coverage, for the prior is not its business.

Three points, a bounded bilocal action so strong that G2 is a tenth of the free propagator, which is given as W. Bands:
95 % intervals cover .92 to .97 of the planted couplings; with a prior worth one network of a field of covariance W,
hundreds of networks of this one, they cover less than .5 (planted fault).
"""

import numpy as np
import pytest
from scipy import stats

from nnft import models as m
from nnft.inference import Samples
from nnft.inference.equations.terms import terms_of
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.unit import default_prior
from tests.oracles import planted

pytestmark = pytest.mark.proof

SETS, NETWORKS, SEED = 200, 20_000, 601


def test_intervals_cover_whatever_the_metric(record):
    truth = planted("lat", 8.0, 3)
    points = np.arange(3.0)[:, None]
    terms = terms_of(m.Bilocal(), truth.covariance, np.ones(3))
    old = default_prior(terms)
    half = stats.norm.isf(0.025)
    rng = np.random.default_rng(SEED)
    inside, broken = [], []
    for _ in range(SETS):
        problem = prepare(Samples(truth.draw(NETWORKS, rng), points), m.Bilocal(), metric=truth.covariance)
        q, ratio = problem.quadratic, problem.factors / terms.factors
        eq = problem.equations
        old_units = eq._replace(
            matrix=eq.matrix * np.outer(ratio, ratio),
            vector=eq.vector * ratio,
            noise=eq.noise * np.outer(ratio, ratio),
        )
        for equations, prior, factors, kept in (
            (eq, problem.prior, problem.factors, inside),
            (old_units, old, terms.factors, broken),
        ):
            mean, covariance = gaussian_posterior(equations, prior)
            z = ((mean / factors)[q:] - truth.couplings) * factors[q:] / np.sqrt(np.diag(covariance))[q:]
            kept.append(np.abs(z) < half)
    coverage, fault = float(np.mean(inside)), float(np.mean(broken))
    record(
        "metric: W = free propagator of a strong action",
        seed=SEED,
        sets=SETS,
        networks=NETWORKS,
        coverage=coverage,
        band=[0.92, 0.97],
        lowest_coupling=float(np.mean(inside, axis=0).min()),
        fault_prior_of_the_metric=fault,
        fault_below=0.5,
    )
    assert 0.92 < coverage < 0.97
    assert fault < 0.5
