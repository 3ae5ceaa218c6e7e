"""Simulation-based calibration on the exactly solved chain: what is calibrated, and that nothing less is.

Periodic chain of 16 sites, m2 ~ N(1, .15), lam ~ N(.4, .06), 1000 simulations of 1000 and of 300 fields drawn by the
transfer matrix. Exact, gold, reweighted and sandwich posteriors must stay inside the simultaneous band at 1e-3, each
coupling and the Mahalanobis distance, and pass the test of shape; with the naive covariance they must fail at 1e-6.

One learning rate for all couplings, w = p/tr(A^-1 B), cannot repair a covariance whose A^-1 B has eigenvalues 4.4 and
11.6: the distance to the truth then has the right mean by construction, and a band around it is nearly blind (10 000
simulations would be needed at one level), but lam is too narrow by 16 % and the shape is wrong. So the rate must fail
the band of lam and the test of shape; and in 8000 simulations its joint coverage too, which the sandwich passes.
"""

import time

import jax
import pytest

from nnft.inference import planted_chain, recover

pytestmark = pytest.mark.proof

SEED, SIMULATIONS, BAND, FAULT = 1, 1000, 1e-3, 1e-6
RIGHT = ("exact", "gold", "reweighted", "score")


def _recovered(method, n, simulations=SIMULATIONS):
    began = time.process_time()
    tree = recover(planted_chain(n=n), method, key=jax.random.key(SEED), simulations=simulations)
    p = {name: float(value) for name, value in tree["p_value"].dataset.data_vars.items()}
    level = tree["coverage"].dataset.sel(level=[0.5, 0.9, 0.95, 0.99])
    figures = {
        "p_value": p,
        "coverage_at_50_90_95_99": {name: value.values.tolist() for name, value in level.data_vars.items()},
        "error_over_planted_sd": {
            name: float(tree["error"][name].mean() / tree["prior"][name].std()) for name in ("m2", "lam")
        },
        "cpu_seconds": round(time.process_time() - began, 1),
    }
    return p, figures


def _keep(record, method, n, figures, goal, simulations=SIMULATIONS):
    record(f"sbc chain {method} n={n} S={simulations}", seed=SEED, sites=16, draws=255, goal=goal, **figures)


@pytest.mark.parametrize("n", [1000, 300])
@pytest.mark.parametrize("method", RIGHT)
def test_it_is_calibrated(method, n, record):
    p, figures = _recovered(method, n)
    _keep(record, method, n, figures, f"every p > {BAND:g}")
    assert min(p.values()) > BAND


@pytest.mark.parametrize("n", [1000, 300])
def test_naive_errors_are_not(n, record):
    p, figures = _recovered("naive", n)
    _keep(record, "naive", n, figures, f"every p < {FAULT:g}")
    assert max(p.values()) < FAULT


@pytest.mark.parametrize("n", [1000, 300])
def test_one_learning_rate_for_all_couplings_is_not(n, record):
    p, figures = _recovered("scalar", n)
    _keep(record, "scalar", n, figures, f"p(lam) < {BAND:g}, p(shape) < {FAULT:g}")
    assert p["lam"] < BAND
    assert p["shape"] < FAULT


def test_its_joint_coverage_fails_where_that_of_the_sandwich_does_not(record):
    simulations = 8000
    scalar, figures = _recovered("scalar", 1000, simulations)
    _keep(record, "scalar", 1000, figures, f"p(joint) < {BAND:g}", simulations)
    score, figures = _recovered("score", 1000, simulations)
    _keep(record, "score", 1000, figures, f"every p > {BAND:g}", simulations)
    assert scalar["joint"] < BAND < min(score.values())
