"""The chain: reference numbers to every digit, limits known in closed form, and fields with the exact moments."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from nnft.inference import planted_chain
from nnft.models import Chain
from nnft.models.theories.chain import correlator, draw_fields, gap, kinetic, log_partition, statistics
from nnft.models.theories.chain_grid import grid_nodes, least_nodes
from tests.statistics import agree, disagree

REFERENCE = {
    (1.0, 0.1): (6.273018707191, 0.363351223888, 0.365671019300, 0.118161039692, 1.123259105966),
    (1.0, 1.0): (3.622956952283, 0.212500955369, 0.112301400808, 0.043354234670, 1.589507207015),
}


def test_reference_numbers_to_all_digits():
    for (m2, lam), expected in REFERENCE.items():
        chain = Chain(m2, lam)
        found = (chain.log_partition, chain.moment(2), chain.moment(4), chain.correlator()[1], chain.gap)
        np.testing.assert_allclose(found, expected, rtol=0, atol=6e-13)
        # derivatives of log Z and matrix elements are two roads to the same means
        np.testing.assert_allclose(chain.means, [8 * found[1], 16 * found[2]], rtol=1e-11)


@pytest.mark.parametrize("sites", [1, 2, 7])
def test_without_a_coupling_it_is_the_free_field(sites):
    m2 = 0.7
    chain = Chain(m2, 0.0, sites, 64)
    inverse = np.linalg.inv(kinetic(sites) + m2 * np.eye(sites))
    free = 0.5 * (sites * np.log(2 * np.pi) + np.linalg.slogdet(inverse)[1])
    np.testing.assert_allclose(chain.log_partition, free, rtol=1e-12)
    np.testing.assert_allclose(chain.correlator(), inverse[0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(chain.correlator(3, 1), 3 * inverse[0, 0] * inverse[0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(chain.fisher[0, 0], np.trace(inverse @ inverse) / 2, rtol=1e-10)  # Cov(phi.phi/2)
    np.testing.assert_allclose(chain.gap, 2 * np.arcsinh(np.sqrt(m2) / 2), rtol=1e-11)


def test_one_site_is_a_quadrature():
    def moment(k):
        return integrate.quad(lambda x: x**k * np.exp(4 * x**2 - x**4), -np.inf, np.inf, epsabs=0, epsrel=1e-12)[0]

    chain = Chain(-8.0, 1.0, 1)  # a deep double well
    np.testing.assert_allclose(np.exp(chain.log_partition), moment(0), rtol=1e-10)
    np.testing.assert_allclose(chain.moment(6), moment(6) / moment(0), rtol=1e-10)
    variance = moment(8) / moment(0) - (moment(4) / moment(0)) ** 2
    np.testing.assert_allclose(chain.fisher[1, 1], variance, rtol=1e-9)


def test_more_nodes_change_nothing_and_too_few_are_refused():
    for m2, lam, sites in [(1.0, 0.1, 16), (1.0, 4.0, 1), (-2.0, 0.5, 5)]:
        least = least_nodes(m2, lam, sites)
        coarse, fine = Chain(m2, lam, sites, least), Chain(m2, lam, sites, 64)
        np.testing.assert_allclose(coarse.log_partition, fine.log_partition, rtol=1e-12)
        np.testing.assert_allclose(coarse.moment(6), fine.moment(6), rtol=1e-11)
        with pytest.raises(ValueError, match=f"expected at least {least} nodes for 13 digits .* got {least - 1}; try"):
            Chain(m2, lam, sites, least - 1)


FREE = [(0.25, 16), (0.04, 16), (0.04, 1), (0.04, 2), (0.01, 100)]


@pytest.mark.parametrize(("m2", "sites"), FREE)
def test_light_masses_take_the_nodes_they_need(m2, sites):
    """At 40 nodes the step exceeds the kinetic width: log Z was off by 11 at m2 = .01."""
    chain, inverse = Chain(m2, 0.0, sites), np.linalg.inv(kinetic(sites) + m2 * np.eye(sites))
    free = 0.5 * (sites * np.log(2 * np.pi) + np.linalg.slogdet(inverse)[1])
    np.testing.assert_allclose(chain.log_partition, free, rtol=1e-13, atol=2e-13)
    np.testing.assert_allclose(chain.moment(2), inverse[0, 0], rtol=1e-12)
    np.testing.assert_allclose(chain.gap, 2 * np.arcsinh(np.sqrt(m2) / 2), rtol=1e-12)


def dense(m2, lam, sites, nodes=601):
    """log Z, <phi^2> and the gap from a matrix far finer than needed, in NumPy."""
    lowest = -(m2**2) / (16 * lam) if m2 < 0 else 0.0
    edge = np.sqrt(2 * (45 + lowest) / (m2 / 2 + np.sqrt(m2**2 / 4 + 4 * lam * (45 + lowest))))
    x = np.linspace(-edge, edge, nodes)
    v = m2 * x**2 / 2 + lam * x**4 - lowest
    level, state = np.linalg.eigh((x[1] - x[0]) * np.exp(-(v[:, None] + v) / 2 - (x[:, None] - x) ** 2 / 2))
    share = np.maximum(level / level[-1], 0.0) ** sites
    log_z = sites * (np.log(level[-1]) - lowest) + np.log(share.sum())
    return log_z, x**2 @ state**2 @ share / share.sum(), np.log(level[-1] / level[-2])


WELLS = [(0.04, 3.3e-5, 100), (-4.0, 0.5, 16), (-60.0, 1.0, 16), (-24.0, 1.0, 1)]


@pytest.mark.parametrize(("m2", "lam", "sites"), WELLS)
def test_soft_quartics_and_deep_wells_take_the_nodes_they_need(m2, lam, sites):
    chain, (log_z, second, splitting) = Chain(m2, lam, sites), dense(m2, lam, sites)
    np.testing.assert_allclose(chain.log_partition, log_z, rtol=1e-13, atol=1e-12)  # the powers of `dense` round too
    np.testing.assert_allclose(chain.moment(2), second, rtol=1e-12)
    np.testing.assert_allclose(chain.gap, splitting, rtol=1e-12, atol=1e-13)


def test_light_masses_in_the_fisher_matrix_and_in_draws():
    m2, n = 0.01, 20_000  # too many nodes for one table of all steps: each field has its own row
    chain, inverse = Chain(m2, 0.0), np.linalg.inv(kinetic(16) + m2 * np.eye(16))
    np.testing.assert_allclose(chain.fisher[0, 0], np.trace(inverse @ inverse) / 2, rtol=1e-11)
    fields = Chain(m2, 0.0, 16, 176).draw(n, key=jax.random.key(3))
    for distance in (0, 1, 8):
        product = fields[:, 2] * fields[:, (2 + distance) % 16]
        agree(product.mean(), inverse[0, distance], product.std() / n**0.5)
        disagree(product.mean(), 0.78 * inverse[0, distance], product.std() / n**0.5)  # 40 nodes were 22 % off


def test_what_no_grid_resolves_is_refused_with_the_number():
    with pytest.raises(
        ValueError, match=r"expected a chain of at most 1024 nodes a site, got \d+ .* m2 = 1e-06.*; try"
    ):
        Chain(1e-6, 0.0)
    with pytest.raises(ValueError, match=r"expected at least \d+ nodes for 13 digits at m2 = 0.04.*, got 40; try"):
        Chain(0.04, 0.0, 16, 40)
    with pytest.raises(ValueError, match=r"expected nodes= where the couplings are mapped .* try nodes=grid_nodes"):
        jax.grad(partial(log_partition, sites=16))(jnp.array([1.0, 0.1]))


def test_the_planted_chain_takes_the_nodes_of_its_prior():
    with jax.enable_x64(True):
        deep = planted_chain(n=4, sites=1, mean=(-24.0, 1.0), sd=(0.1, 0.01))
    assert deep.simulator.keywords["nodes"] == grid_nodes(-24.6, 0.94, 1) > 40


def test_a_long_chain_neither_over_nor_underflows():
    long, short = Chain(1.0, 0.4, 1000), Chain(1.0, 0.4, 500)
    np.testing.assert_allclose(long.log_partition, 2 * short.log_partition, rtol=1e-12)
    np.testing.assert_allclose(long.correlator()[2] / long.correlator()[1], np.exp(-long.gap), rtol=1e-3)


def test_everything_maps_over_couplings():
    theta = np.array([[1.0, 0.1], [1.0, 1.0]])
    with jax.enable_x64(True):
        log_z = jax.vmap(partial(log_partition, sites=16, nodes=40))(jnp.asarray(theta))
        means = -jax.vmap(jax.grad(partial(log_partition, sites=16, nodes=40)))(jnp.asarray(theta))
        levels = jax.vmap(partial(gap, nodes=40))(jnp.asarray(theta))
        two = jax.vmap(partial(correlator, sites=16, nodes=40))(jnp.asarray(theta))
        draw = partial(draw_fields, n=5, sites=16, nodes=40)
        fields = jax.vmap(draw)(jax.random.split(jax.random.key(0), 2), theta)
        log_z, means, levels, two = (np.asarray(values) for values in (log_z, means, levels, two))
    expected = np.array(list(REFERENCE.values()))
    np.testing.assert_allclose(np.stack([log_z, means[:, 0] / 8, means[:, 1] / 16], 1), expected[:, :3], atol=6e-13)
    np.testing.assert_allclose(np.stack([two[:, 1], levels], 1), expected[:, 3:], atol=6e-13)
    assert fields.shape == (2, 5, 16)


# False-alarm rate of each `agree`: 1e-6 over all its components.
def test_drawn_fields_have_the_exact_moments():
    n, chain = 200_000, Chain(1.0, 0.4)
    fields = chain.draw(n, key=jax.random.key(11))
    drawn = np.asarray(statistics(jnp.asarray(fields)))
    error = np.sqrt(np.diag(chain.fisher) / n)
    agree(drawn.mean(axis=0), chain.means, error)
    disagree(drawn.mean(axis=0), Chain(1.0, 0.41).means, error)  # a coupling off by 2.5 %
    # every site and every distance, odd powers too: the ring closes
    for p, q in [(1, 1), (3, 1), (3, 3)]:
        for site, distance in [(0, 1), (5, 8), (14, 3)]:
            product = fields[:, site] ** p * fields[:, (site + distance) % 16] ** q
            agree(product.mean(), chain.correlator(p, q)[distance], product.std() / n**0.5)
    ends = fields[:, 0] * fields[:, 15]
    disagree(ends.mean(), chain.correlator()[15 - 1], ends.std() / n**0.5)  # an open chain's distance


@pytest.mark.parametrize("sites", [1, 2])
def test_few_sites_are_drawn_too(sites):
    chain = Chain(-1.0, 0.5, sites)
    fields = chain.draw(100_000, key=jax.random.key(sites))
    drawn = np.asarray(statistics(jnp.asarray(fields)))
    assert fields.shape == (100_000, sites)
    agree(drawn.mean(axis=0), chain.means, np.sqrt(np.diag(chain.fisher) / 100_000))
    covariance = np.cov(drawn.T)
    np.testing.assert_allclose(covariance, chain.fisher, rtol=0.05)


@pytest.mark.parametrize(("m2", "lam", "sites"), [(1.0, -0.1, 16), (0.0, 0.0, 16), (np.nan, 1.0, 4), (1.0, 1.0, 0)])
def test_what_has_no_partition_function_is_refused(m2, lam, sites):
    with pytest.raises(ValueError, match=r"expected .+, got .+; try .+"):
        Chain(m2, lam, sites)
