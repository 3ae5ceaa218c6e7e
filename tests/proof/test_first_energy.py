"""The first energy of the path theory from sampled fields: its interval covers, excited states included.

200 ensembles of 1e5 fields of the path theory at 33 times .25 apart; correlators at lags .25 to 4, the constant a known
level. The 95 % interval of `inf.Constrained()` holds the energy 1 in at least .95 of them, but for three binomial
errors. Planted fault: one or two exponentials (`inf.Exponentials`), without a word for what they do not resolve, on the
times where their correlator is clear.
"""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m

pytestmark = pytest.mark.proof

REPLICATES, NETWORKS, SEED, SPACING = 200, 100_000, 3000, 0.25
GOAL = 0.95
AT = np.array([0.5, 1.0, 2.0, 5.0])


def test_first_energy_of_the_path(record):
    field = m.Path(m.Network(m.Cos(), 10))
    points = np.arange(33)[:, None] * SPACING
    truth = field.spectrum(400).real_time(AT)
    method, intervals, means, plain, bands = inf.Constrained(known=(0.0,)), [], [], [], []
    for k in range(REPLICATES):
        source = inf.Ensemble(field, points=points, n=NETWORKS, key=jax.random.key(SEED + k))
        data = inf.time_correlators(source, powers=(1,), times=np.arange(1, 17) * SPACING)
        levels = method.levels(data)
        mean, low, high = levels.energy(0)
        intervals.append((low, high))
        means.append(mean)
        turned = levels.real_time(AT)
        inside = [(part(turned.low) <= part(truth)) & (part(truth) <= part(turned.high)) for part in (np.real, np.imag)]
        bands.append(inside)
        early = inf.TimeCorrelators(data.times[:9], data.values[:9], data.rows[:, :9])
        one = inf.Exponentials().gap(inf.without_level(early))
        plain.append((one.value, abs(one.value - 1.0) < 1.96 * one.error))
    covered = np.mean([low < 1.0 < high for low, high in intervals])
    width = float(np.mean([high - low for low, high in intervals]))
    fault, biased = float(np.mean([hit for _, hit in plain])), float(np.mean([value for value, _ in plain]))
    shares = np.mean(bands, axis=0)
    record(
        "first energy of the path theory",
        seed=SEED,
        replicates=REPLICATES,
        networks=NETWORKS,
        goal_at_least=GOAL,
        covered=float(covered),
        width=width,
        mean=float(np.mean(means)),
        scatter=float(np.std(means)),
        exponentials_cover=fault,
        exponentials_mean=biased,
        real_time_at=AT.tolist(),
        real_time_covered=[shares[0].tolist(), shares[1].tolist()],
    )
    assert covered >= GOAL - 3.0 * np.sqrt(GOAL * (1.0 - GOAL) / REPLICATES)
    assert width < 0.5
    assert fault < 0.5
