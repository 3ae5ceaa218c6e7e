"""Symmetries: p-values uniform where the symmetry holds, and the power that was predicted where it does not.

500 ensembles each of two outputs of one hidden layer under O(2), of cosines of width 3 at four points under
translations at orders 2 and 4, and of exchangeable outputs; 300 of outputs of which one has a mean, at the number of
networks that are said to reject in 90 % of all cases. Planted faults: T^2 taken by its F law where few networks decide,
and a rank that counts the invariants.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m
from nnft.inference.symmetries import flips

pytestmark = pytest.mark.proof

REPLICATES, LEAST = 500, 1e-4
LINE, ONE = np.array([[0.0], [0.5], [1.2], [2.0]]), np.zeros((1, 1))
NULLS = {
    "O(2)": (m.Multiplet.of(m.Cos(), 10, m.Copies(2)), ONE, inf.Orthogonal(2), (2,), 13_505),
    "translations": (m.Network(m.Cos(), 3), LINE, inf.Translations(), (2, 4), 20_000),
    "permutations": (m.Multiplet.of(m.Cos(), 3, m.Copies(3, "uniform")), ONE, inf.Exchange(3), (2, 4), 13_505),
}
POWER, BAND, SETS = 0.9, 0.04, 300


def _p(model, points, group, orders, n, seed):
    ensemble = inf.Ensemble(model, points=points, n=n, key=jax.random.fold_in(jax.random.key(9), seed))
    table = inf.symmetry(ensemble, group, orders=orders)
    return {r: table[r] for r in orders}


@pytest.mark.parametrize("name", NULLS)
def test_p_is_uniform_where_the_symmetry_holds(name, record, monkeypatch):
    model, points, group, orders, n = NULLS[name]
    found: dict[str, list[float]] = {}
    for k in range(REPLICATES):
        for r, one in _p(model, points, group, orders, n, k).items():
            found.setdefault(f"order {r}", []).append(one.p)
            found.setdefault(f"F law, order {r}", []).append(flips.hotelling(one.chi2.value, int(one.chi2.dof), 1023.0))
            found.setdefault(f"invariants counted, order {r}", []).append(
                float(stats.chi2.sf(one.chi2.value, one.chi2.dof + 1))
            )
    figures = {}
    for key, given in found.items():
        p = np.array(given)
        figures[key] = [float(stats.kstest(p, "uniform").pvalue), *(float(np.mean(p < x)) for x in (0.05, 0.001))]
    record(f"symmetry {name}, n={n:,}", seed=9, replicates=REPLICATES, ks_below_5_percent_below_1_permille=figures)
    for r in orders:
        assert figures[f"order {r}"][0] > LEAST, (r, figures)
        assert figures[f"order {r}"][2] < 0.02, (r, figures)
    assert min(figures[f"invariants counted, order {r}"][0] for r in orders) < LEAST


def test_the_power_is_the_one_predicted(record):
    net = m.Multiplet.of(m.Cos(), 10, m.Normals((0.3, 0.0)))
    n = round(inf.networks_to_see(net, ONE, inf.Orthogonal(2)))
    rejected = [_p(net, ONE, inf.Orthogonal(2), (2,), n, k)[2].p < 1e-3 for k in range(SETS)]
    null = m.Multiplet.of(m.Cos(), 10, m.Copies(2))
    fault = [_p(null, ONE, inf.Orthogonal(2), (2,), n, k)[2].p < 1e-3 for k in range(20)]
    power = float(np.mean(rejected))
    record(
        f"symmetry broken, n={n:,}",
        seed=9,
        sets=SETS,
        networks=n,
        band=[POWER - BAND, POWER + BAND],
        power=power,
        rejected_where_it_holds=float(np.mean(fault)),
    )
    assert n == 13_505
    assert POWER - BAND <= power <= POWER + BAND
    assert np.mean(fault) < 0.2
