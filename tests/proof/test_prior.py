"""The default prior leaves the couplings of a chain in a double well where the data put them.

S = sum_x [(phi_{x+1} - phi_x)^2/2 + m2 phi_x^2/2 + lam phi_x^4] on 16 sites, fields by the transfer matrix; the prior
of one Gaussian site pulls the couplings 47 and 1.4 errors away at m2 = -6 and -4. Bands: the shift by the prior below
.05 errors; the couplings within their errors of the truth (false alarm 1e-6); planted fault: the Gaussian prior.
"""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.inference.priors.unit import default_prior
from tests.statistics import agree

pytestmark = pytest.mark.proof

SITES, NETWORKS, SEED, MOST = 16, 20_000, 3, 0.05


@pytest.mark.parametrize(("m2", "fault"), [(-6.0, 10.0), (-4.0, 1.0)])
def test_a_double_well_on_a_chain(m2, fault, record):
    fields = m.Chain(m2, 0.5, SITES, nodes=200).draw(NETWORKS, key=jax.random.key(SEED))
    problem = prepare(inf.Samples(fields, np.arange(float(SITES))[:, None]), m.LatticePhi4(shape=(SITES,)))
    scaled = problem.two_point / np.outer(problem.scale, problem.scale)
    old = default_prior(problem.terms, scale=SITES**0.5, two_point=scaled, homogeneous=True)
    shifts = []
    for prior in (problem.prior, old):
        mean, covariance = gaussian_posterior(problem.equations, prior)
        sd = np.sqrt(np.diag(covariance))
        shifts.append(float(np.max(np.abs(mean - problem.equations.estimate) / sd)))
        if prior is problem.prior:
            truth = np.array([0.5, 0.5 * m2, 0.5])  # kappa, m2, lam of the lattice's own convention
            z = (mean / problem.factors - truth) * problem.factors / sd
            agree(z, 0.0, np.ones(3))
    record(
        f"prior of a double well, chain m2 = {m2:g}",
        seed=SEED,
        networks=NETWORKS,
        z=[round(float(v), 3) for v in z],
        shift_by_the_prior=shifts[0],
        shift_below=MOST,
        fault_shift_by_the_prior_of_a_gaussian_site=shifts[1],
        fault_above=fault,
    )
    assert shifts[0] < MOST
    assert shifts[1] > fault
