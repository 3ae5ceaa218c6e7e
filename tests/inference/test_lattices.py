"""Wrong orders of sites and missing terms are seen, true lattices are not accused; sums against finite differences."""

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations.lattices import judge_sites, monomial_sums
from tests.lattice_oracle import Lattice

SHAPE = (8, 4)
SITES = np.stack(np.meshgrid(np.arange(8.0), np.arange(4.0), indexing="ij"), -1).reshape(-1, 2)


def drawn(shape, m2, count, seed):
    """Independent configurations at kappa = .5, lambda = .3, (configuration, *shape)."""
    lattice = Lattice(shape, m2=m2, coupling=0.3, kappa=0.5)
    return lattice.draw(count, np.random.default_rng(seed), trajectories=30).reshape(count, *shape)


FIELDS = drawn(SHAPE, 0.16, 1500, 20261)


def samples(fields):
    return inf.Samples(fields.reshape(len(fields), -1), SITES, independent=True)


@pytest.mark.parametrize(
    "action",
    [m.LatticePhi4((3, 4)), m.LatticePhi4((2, 4), kappa=0.3), m.TranslationInvariant((3, 4), reach=1)],
    ids=["phi4", "two sites", "reach 1"],
)
def test_gradients_and_laplacians_are_derivatives(action):
    """Of every term, held or left out, against central differences of its value: sum_x c phi_x^p phi_{x+r}^q."""
    shape, step = action.shape, 1e-4
    field = np.random.default_rng(1).normal(size=shape)

    def value(term, phi):
        axes = tuple(range(phi.ndim))
        return sum(c * np.sum(phi**p * np.roll(phi, np.negative(r), axes) ** q) for c, p, q, r in term)

    held, beyond, given = action.site_terms()
    for term in (*held, *beyond.values(), given):
        gradient, laplacian = monomial_sums(field[None], term)
        slopes, curvature = [], 0.0
        for place in np.ndindex(shape):
            moved = np.zeros(shape)
            moved[place] = step
            up, here, down = (value(term, field + s * moved) for s in (1, 0, -1))
            slopes.append((up - down) / (2 * step))
            curvature += (up - 2 * here + down) / step**2
        size = np.abs(gradient).max() + 1.0
        np.testing.assert_allclose(gradient[0], slopes, rtol=0, atol=1e-5 * size)  # third derivatives times step^2
        np.testing.assert_allclose(laplacian[0], curvature, rtol=0, atol=1e-4 * size * field.size)


def test_a_true_lattice_is_not_accused():
    """Both p-values uniform under the null: below 1e-5 once in 1e5 by chance."""
    found = judge_sites(samples(FIELDS), m.LatticePhi4(SHAPE))
    assert found.translation_p > 1e-5
    assert found.p > 1e-5
    assert found.dof == 5
    fixed = judge_sites(samples(FIELDS), m.LatticePhi4(SHAPE, kappa=0.5))
    assert fixed.p > 1e-5


@pytest.mark.parametrize("order", ["x fastest", "even and odd", "other shape"])
def test_wrong_orders_of_sites_are_seen(order):
    flat = FIELDS.reshape(len(FIELDS), -1)
    wrong = {
        "x fastest": FIELDS.transpose(0, 2, 1).reshape(len(FIELDS), -1),
        "even and odd": np.concatenate([flat[:, ::2], flat[:, 1::2]], axis=1),
        "other shape": drawn((4, 8), 0.16, 1500, 20264),
    }[order]
    found = judge_sites(samples(wrong), m.LatticePhi4(SHAPE))
    assert min(found.translation_p, found.p) < 1e-9


def test_terms_the_action_does_not_hold_are_seen():
    """A wrong fixed kinetic term, and averages over blocks of sites, which no action of three couplings describes."""
    assert judge_sites(samples(FIELDS), m.LatticePhi4(SHAPE, kappa=0.3)).p < 1e-9
    big = drawn((8, 8), -0.4, 1500, 20262)
    blocks = big.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    places = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0), indexing="ij"), -1).reshape(-1, 2)
    coarse = inf.Samples(blocks.reshape(len(blocks), -1), places, independent=True)
    assert judge_sites(coarse, m.LatticePhi4((4, 4))).p < 1e-6


def test_the_verdicts_are_on_the_page():
    fit = {"key": jax.random.key(0), "sampler": inf.Closed(chains=2, draws=100)}
    right = {c.name: c for c in an.diagnose(inf.fit(samples(FIELDS), m.LatticePhi4(SHAPE), **fit))}
    assert right["translation symmetry"].verdict == "pass"
    assert right["left-out terms"].verdict == "pass"
    turned = FIELDS.transpose(0, 2, 1)
    wrong = {c.name: c for c in an.diagnose(inf.fit(samples(turned), m.LatticePhi4(SHAPE), **fit))}
    assert wrong["translation symmetry"].verdict == "fail"
    assert "C order" in wrong["translation symmetry"].why
    assert wrong["left-out terms"].verdict == "warn"


def test_small_lattices_need_a_hundred_configurations_too():
    ring = drawn((8,), 0.16, 150, 20263)
    places = np.arange(8.0)[:, None]
    fit = {"key": jax.random.key(0), "sampler": inf.Closed(chains=2, draws=100)}
    found = inf.fit(inf.Samples(ring, places), m.LatticePhi4((8,)), **fit)
    assert found.attrs["networks"] == 150
    with pytest.raises(ValueError, match="at least 100 independent configurations of a lattice, got 90; try a longer"):
        inf.fit(inf.Samples(ring[:90], places), m.LatticePhi4((8,)), **fit)
