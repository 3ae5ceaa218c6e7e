"""p-values that are p-values: uniform under a true null, for networks whose high powers are anything but Gaussian.

Three networks at three points, 2000 and 20,000 fields, 200 ensembles each, every choice of orders, connected functions
and moments. `inf.null` must be uniform everywhere (Kolmogorov and Smirnov above 1e-4); `Correlators.chi2`, which draws
nothing, must either say that it cannot judge or hold its level; T^2 with its F law, the planted fault, must be seen.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from nnft import inference as inf
from nnft import models as m
from nnft.models import distance

pytestmark = pytest.mark.proof

REPLICATES, LEAST = 200, 1e-4
ORDERS = ((2,), (4,), (2, 4), (2, 4, 6))
NETS = {
    "erf": (m.Network(m.Erf(), width=50), np.array([[-1.0], [0.3], [1.0]])),
    "cos": (m.Network(m.Cos(), width=20, readout="uniform"), np.array([[0.0], [0.7], [1.5]])),
    "relu": (m.Network(m.ReLU(), width=20), np.array([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])),
}


def _figures(p: np.ndarray) -> list[float]:
    """Share given; of those, below .05 and .001; p of Kolmogorov and Smirnov."""
    given = p[np.isfinite(p)]
    if not len(given):
        return [0.0]
    rates = [len(given) / len(p), float(np.mean(given < 0.05)), float(np.mean(given < 0.001))]
    return [*rates, _uniform(given)]


def _uniform(p: np.ndarray) -> float:
    return float(stats.kstest(p, "uniform").pvalue)


@pytest.mark.parametrize("networks", [2000, 20_000])
@pytest.mark.parametrize("net", NETS)
def test_p_is_uniform_under_a_true_null(net, networks, record, monkeypatch):
    network, points = NETS[net]
    truth = m.exact(network, points)
    fresh = inf.null(truth, networks, orders=(2, 4, 6), key=jax.random.key(networks))
    wrong = {r: 1.03 * truth.connected(r) for r in (4,)}
    table: dict[str, list[float]] = {}
    for k in range(REPLICATES):
        ensemble = inf.Ensemble(network, points=points, n=networks, key=jax.random.fold_in(jax.random.key(7), k))
        data = inf.measure(ensemble, orders=(2, 4, 6))
        away = data - truth
        for kind in ("connected", "moment"):
            for orders in ORDERS:
                name = f"{kind} {orders}"
                table.setdefault(f"fresh {name}", []).append(fresh.judge(data, *orders, kind=kind).p)
                table.setdefault(f"chi2 {name}", []).append(away.chi2(*orders, kind=kind).p)
                with monkeypatch.context() as patch:
                    patch.setattr(distance, "_EXCESS", np.inf)
                    table.setdefault(f"T^2 {name}", []).append(away.chi2(*orders, kind=kind).p)
        shifted = inf.Null(
            m.Correlators(truth.points, truth.moments, {**truth.cumulants, **wrong}, model=truth.model),
            fresh.n,
            fresh.even,
            fresh.moments,
            fresh.cumulants,
        )
        table.setdefault("power", []).append(shifted.judge(data, 4).p)
    found = {name: np.array(p) for name, p in table.items()}
    figures = {name: _figures(p) for name, p in found.items() if name != "power"}
    record(
        f"p-values of {net}, n={networks:,}",
        seed=7,
        replicates=REPLICATES,
        power_against_a_fourth_cumulant_wrong_by_3_percent=float(np.mean(found["power"] < 0.05)),
        given_below_5_percent_below_1_permille_and_ks=figures,
    )
    for name, p in found.items():
        if name.startswith("fresh"):
            assert _uniform(p) > LEAST, name
        few = networks == 2000 and "6" in name  # sixth powers of 2000 networks: a refusal, or what inf.null is for
        if name.startswith("chi2") and not few:
            given = p[np.isfinite(p)]
            assert np.mean(given < 0.05) < 0.15, name
            assert np.mean(given < 0.001) < 0.03, name
    assert _uniform(found["T^2 moment (2, 4, 6)"]) < LEAST
