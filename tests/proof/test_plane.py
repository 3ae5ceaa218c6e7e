"""phi^4 in two dimensions made of networks: at infinite width the field of the lattice, and of the box, drawn by HMC.

The networks' momenta are those of the nine by nine lattice and their action its sum over the sites, both normal
ordered: the cutoff is the same and so is the counterterm, and only 1/N is between them. So it is with the sharp cutoff
of a box, whose field is drawn mode by mode. Bands: <phi^2>, G(p) at four momenta and the fitted lambda within three
errors, errors at most .5 %. Planted fault: without the counterterm <phi^2> is that of the lattice with the bare mass,
and far away.
"""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

pytestmark = pytest.mark.proof

COUPLING, SEED, NETWORKS, WIDTHS = 12.0, 31, 600_000, (16, 32, 64, 128)
MOMENTA, LARGEST_ERROR = 4, 0.005


def extrapolated(theory, seed):
    wide = inf.infinite_width(theory, inf.Reweighted(NETWORKS), widths=WIDTHS, key=jax.random.key(seed))
    first, count = wide.found[0].observables.spectrum(0).start, theory.box.modes + 1
    scale = theory.box.length * np.where(np.arange(count) > 0, 0.5, 1.0)  # from P_k to G(p)
    propagator = [
        wide.limit([inf.Estimate(scale[k] * f.values[first + k], scale[k] * f.rows[:, first + k]) for f in wide.found])
        for k in range(MOMENTA)
    ]
    return wide, [wide.moment(2), *propagator]


def on_the_lattice(box, mass2, seed):
    """<phi^2> and G(p) along both axes, a^4/V |sum_x phi e^(-ipx)|^2, of the suite's lattice HMC."""
    a, n = box.spacing, 2 * box.modes + 1
    drawn = inf.sample_lattice(
        a**2 * mass2, a**2 * COUPLING / 24.0, (n, n), key=jax.random.key(seed), draws=2000, chains=256
    )
    waves = np.exp(2j * np.pi / n * np.outer(np.arange(n), np.arange(MOMENTA)))

    def numbers(fields):
        table = fields.reshape(*fields.shape[:-1], n, n)
        along = [np.abs(table.sum(axis=axis) @ waves) ** 2 for axis in (-1, -2)]
        return np.concatenate([np.mean(fields**2, axis=-1)[..., None], 0.5 * sum(along) * a**4 / box.volume], axis=-1)

    return [drawn.mean(lambda fields, k=k: numbers(fields)[..., k]) for k in range(MOMENTA + 1)]


def of_the_modes(theory, seed):
    """The same of the box, V q_a^2 of all modes of a momentum."""
    drawn = inf.sample_box(theory, key=jax.random.key(seed), draws=2000, chains=256)
    box, count = theory.box, theory.box.modes + 1

    def propagator(q, k):
        table = q[..., 0, :].reshape(*q.shape[:-2], 2 * count - 1, -1)
        rows = (0,) if k == 0 else (k, k + box.modes)
        both = [table[..., row, 0] ** 2 + table[..., 0, row] ** 2 for row in rows]
        return box.volume * sum(both) / (2.0 * len(rows))

    return [drawn.square(), *(drawn.mean(lambda q, k=k: propagator(q, k)) for k in range(MOMENTA))]


@pytest.mark.parametrize("lattice", [True, False])
def test_networks_in_the_plane_are_the_field(lattice, record):
    box = m.Box(4.5, 4, dimension=2, lattice=lattice)
    theory = m.BoxTheory(box, 16, m.Potential.phi4(COUPLING))
    shift = -0.5 * COUPLING * box.variance
    wide, found = extrapolated(theory, SEED)
    truth = on_the_lattice(box, 1.0 + shift, SEED + 1) if lattice else of_the_modes(theory, SEED + 1)
    mass2, quartic = wide.couplings()
    names = ["phi2", *(f"G(p_{k})" for k in range(MOMENTA))]
    figures = {
        name: [one.value, one.error, other.mean, other.error]
        for name, one, other in zip(names, found, truth, strict=True)
    }
    bare = inf.Reweighted(100_000).run(
        m.BoxTheory(box, WIDTHS[-1], m.Potential.phi4(COUPLING), counterterm=False), key=jax.random.key(SEED + 2)
    )
    off = bare.moment(2)
    figures |= {"lambda": [quartic.value, quartic.error, COUPLING], "mass2": [mass2.value, mass2.error, shift]}
    record(
        f"box: d = 2, {'lattice' if lattice else 'sharp cutoff'}, lambda = {COUPLING:g}",
        seed=SEED,
        networks=NETWORKS,
        widths=list(WIDTHS),
        share=[one.notes["ESS/n"] for one in wide.found],
        plane=figures,
        bare_phi2=[off.value, float(off.error)],
    )
    for name, one, other in zip(names, found, truth, strict=True):
        assert abs(one.value - other.mean) < 3.0 * np.hypot(one.error, other.error), name
        assert np.hypot(one.error, other.error) < 2**0.5 * LARGEST_ERROR * other.mean, name
        assert one.error < LARGEST_ERROR * other.mean, name
    agree([quartic.value, mass2.value], [COUPLING, shift], [quartic.error, mass2.error], family=1e-3)
    disagree(off.value, truth[0].mean, np.hypot(off.error, truth[0].error))
    if lattice:  # N = 128 is within 1 % of the bare lattice
        assert abs(off.value / on_the_lattice(box, 1.0, SEED + 3)[0].mean - 1.0) < 0.01
