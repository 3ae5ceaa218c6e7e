"""Running couplings: the local potential against end points and literature, the decimated chain exactly."""

import numpy as np
import pytest

from nnft import models as m

ENDS = {  # from (.5, 1, 0) at t = 0 to t = -1, by another solver
    1: (4.2357371259, 14.8227572754, 104.6023415209),
    2: (3.8074726460, 6.8102944398, 7.5466626039),
    3: (3.7130322873, 2.6811803332, 0.1950403542),
    4: (3.6972435974, 0.9980532018, 0.0036534019),
}
DECIMATED = {  # lam, b -> phi^2, phi phi', phi^4 | the same beside phi^3 phi', phi^2 phi'^2
    (0.1, 2): ((1.20294347, -0.29409253, 0.10147153), (1.20085858, -0.29914456, 0.10109870, 0.00220132, 0.00330336)),
    (0.1, 4): ((1.17184808, -0.03076097, 0.10163864), None),
    (1.0, 2): ((1.30244407, -0.19586577, 1.00159881), (1.30070441, -0.19930197, 1.00141851, 0.00285271, 0.00428385)),
}


def published(d, u2, u4, u6):
    """The three beta functions as printed."""
    v = m.LocalPotential(d, (0.0, 0.0)).volume
    return (
        -2 * u2 - v * u4 / (1 + u2) ** 2,
        (d - 4) * u4 + v / (1 + u2) ** 2 * (6 * u4**2 / (1 + u2) - u6),
        (2 * d - 6) * u6 + v * u4 / (1 + u2) ** 3 * (30 * u6 - 90 * u4**2 / (1 + u2)),
    )


@pytest.mark.parametrize("d", ENDS)
def test_the_local_potential_ends_where_another_solver_does(d):
    potential = m.LocalPotential(d, (0.5, 1.0, 0.0))
    np.testing.assert_allclose(potential.at(-1.0).couplings, ENDS[d], rtol=0, atol=2e-10)
    there = m.LocalPotential(d, (0.3, 0.7, 0.4))
    np.testing.assert_allclose(there.beta, published(d, 0.3, 0.7, 0.4), rtol=1e-13)
    steps = 1e-6 * np.eye(3)
    slopes = [(published(d, *(there.couplings + s)), published(d, *(there.couplings - s))) for s in steps]
    numeric = np.stack([np.subtract(*pair) / 2e-6 for pair in slopes], axis=1)
    np.testing.assert_allclose(there.stability, numeric, atol=1e-7)


def test_a_flow_goes_there_and_back_and_to_the_mean_field():
    times = [-0.2, -1.0, -0.5]
    path = m.LocalPotential(3, (0.5, 1.0, 0.0)).flow(times)
    back = m.LocalPotential(3, path[1]).flow([0.5, 1.0])
    np.testing.assert_allclose(back, [path[2], (0.5, 1.0, 0.0)], atol=1e-8)
    assert m.LocalPotential(3, path[0]).at(0.0).couplings.tolist() == path[0].tolist()
    free = m.LocalPotential(3, (0.5, 0.0, 0.0)).at(-1.0).couplings  # no coupling: the mass grows as 1/k^2
    np.testing.assert_allclose(free, [0.5 * np.exp(2.0), 0.0, 0.0], rtol=1e-11)


def test_the_fixed_point_in_three_dimensions():
    found = m.fixed_point(3)
    np.testing.assert_allclose(found.potential.couplings, (-1 / 7, 12.4305222, 540.812584), rtol=5e-9)
    np.testing.assert_allclose(found.eigenvalues, (-1.68572182, 1.13274559, 12.21964), rtol=1e-6)
    assert abs(found.nu - 0.593218) < 1e-6
    np.testing.assert_allclose(found.potential.beta, 0.0, atol=1e-9)
    exact = m.fixed_point(3.2, 2).potential.couplings[0]
    np.testing.assert_allclose(exact, -0.8 / 12.8, rtol=1e-14)
    # the whole local potential, without a power cut off: D. Litim, Nucl. Phys. B 631 (2002) 128
    assert abs(m.fixed_point(3, 13).nu - 0.649562) < 2e-4
    assert abs(m.fixed_point(3.999).nu - 0.5) < 1e-3  # the mean field, and the first order of the epsilon expansion
    np.testing.assert_allclose((m.fixed_point(3.99, 4).nu - 0.5) / 0.01, 1 / 12, rtol=0.02)


@pytest.mark.parametrize(
    ("d", "start", "t"), [(2, (-0.1, 0.5, 0.2), -3.0), (3, (-0.5, 0.5, 0.2), -5.0), (3, (-0.3, 3.0), -1.0)]
)
def test_a_flow_into_the_pole_is_refused_with_the_place(d, start, t):
    with pytest.raises(ValueError, match=r"pole 1 \+ u2 = 0, got u2 = -0\.999.* at t = -[0-9.]+; try"):
        m.LocalPotential(d, start).flow([t])


def test_what_is_no_potential_is_refused():
    for d, start, words in [
        (0, (0.1, 1.0), "dimension d > 0"),
        (3, (0.1,), "two or more"),
        (3, (0.1, np.nan), "numbers"),
        (3, (-1.0, 1.0), "1 \\+ u2 > 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            m.LocalPotential(d, start)
    for times in ([], [np.nan], [-1.0, 1.0]):
        with pytest.raises(ValueError, match="one side of zero"):
            m.LocalPotential(3, (0.5, 1.0)).flow(times)
    for d, count, words in [(4, 3, "between 2 and 4"), (2, 3, "between 2 and 4"), (3, 1, "from 2"), (3, 2.5, "from 2")]:
        with pytest.raises(ValueError, match=words):
            m.fixed_point(d, count)


@pytest.mark.parametrize(("lam", "every"), DECIMATED)
def test_decimated_couplings_are_those_of_another_script(lam, every):
    chain = m.DecimatedChain(m.Chain(1.0, lam), every)
    lattice = m.LatticePhi4((chain.sites,))
    found = chain.couplings(lattice)
    (kappa,), (m2,), (quartic,) = found["kappa"], found["m2"], found["coupling"]
    short, long = DECIMATED[lam, every]
    np.testing.assert_allclose((2 * kappa + m2, -2 * kappa, quartic), short, atol=6e-9)
    if long is not None:
        more = chain.couplings(m.TranslationInvariant((chain.sites,), reach=1))
        assert abs(np.subtract(*more["u"])) < 1e-12
        numbers = (*more["q"], *more["coupling"], more["u"][0], *more["v"])
        np.testing.assert_allclose(numbers, long, atol=6e-9)


def test_all_sites_give_the_couplings_back_and_a_free_chain_stays_free():
    whole = m.DecimatedChain(m.Chain(1.0, 0.1, 5), 1)
    found = whole.couplings(m.LatticePhi4((5,), kappa=0.5))  # the kinetic term fixed: m2/2 and lam
    np.testing.assert_allclose(np.concatenate(list(found.values())), (0.5, 0.1), atol=1e-13)
    for every, sites in ((2, 12), (3, 12), (4, 12)):
        kappa, mass = m.free_decimation(0.8, every)
        free = m.DecimatedChain(m.Chain(0.8, 0.0, sites), every)
        found = np.concatenate(list(free.couplings(m.LatticePhi4((sites // every,))).values()))
        np.testing.assert_allclose(found, (kappa / 2, kappa * mass / 2, 0.0), atol=1e-12)
    assert m.free_decimation(1.0, 1) == pytest.approx((1.0, 1.0))
    twice = m.free_decimation(m.free_decimation(1.0, 2)[1], 2)  # the semigroup, kappa in units of the one before
    np.testing.assert_allclose(
        (m.free_decimation(1.0, 2)[0] * twice[0], twice[1]), m.free_decimation(1.0, 4), rtol=1e-13
    )


def test_correlators_of_the_kept_sites_are_those_of_the_chain():
    chain = m.Chain(1.0, 0.1, 6)
    whole, kept = m.DecimatedChain(chain).correlators(), m.DecimatedChain(chain, 2).correlators()
    assert kept.points.ravel().tolist() == [0.0, 2.0, 4.0]
    np.testing.assert_allclose(whole.tensor(2)[0], chain.correlator(), rtol=1e-12)
    np.testing.assert_allclose(whole.tensor(4, "moment")[0, 0, 0], chain.correlator(3, 1), rtol=1e-12)
    np.testing.assert_allclose(whole.tensor(4, "moment")[0, 0, 3, 3], chain.correlator(2, 2)[3], rtol=1e-12)
    # of one site and its translations the same
    np.testing.assert_allclose(whole.tensor(4)[0, 1, 2, 4], whole.tensor(4)[3, 4, 5, 1], rtol=1e-11)
    some = np.ix_([0, 2, 4], [0, 2, 4], [0, 2, 4], [0, 2, 4])
    np.testing.assert_allclose(kept.tensor(4), whole.tensor(4)[some], rtol=1e-10)
    where = {t: k for k, t in enumerate(map(tuple, whole.tuples(6).tolist()))}
    same = [where[t] for t in map(tuple, (2 * kept.tuples(6)).tolist())]
    np.testing.assert_allclose(kept.moment(6), whole.moment(6)[same], rtol=1e-12)


def test_what_cannot_be_decimated_is_refused():
    chain = m.Chain(1.0, 0.1, 16)
    for every, words in [(3, "divide the 16 sites .* try every=(2|4)"), (0, "whole number"), (2.0, "whole number")]:
        with pytest.raises(ValueError, match=words):
            m.DecimatedChain(chain, every)
    with pytest.raises(ValueError, match="at least 3 kept sites"):
        m.DecimatedChain(chain, 8).couplings(m.LatticePhi4((2,)))
    half = m.DecimatedChain(chain, 2)
    for action, words in [
        (m.LatticePhi4((16,)), "chain of 8 sites"),
        (m.Bilocal(), "chain of 8 sites"),
        (m.TranslationInvariant((8,)), "nearest neighbours, got a step"),
    ]:
        with pytest.raises(ValueError, match=words):
            half.couplings(action)
    for orders in ((3,), (2, 40), (0,)):
        with pytest.raises(ValueError, match="even orders"):
            half.correlators(orders)
    with pytest.raises(ValueError, match="mass m2 > 0"):
        m.free_decimation(0.0, 2)
