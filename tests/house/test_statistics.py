"""`agree` alarms as often as it says, and sees what it should."""

import statistics as standard_library

import numpy as np
import pytest
from scipy.stats import norm

from tests.statistics import agree, disagree, limit


def test_the_standard_library_is_not_shadowed():
    assert standard_library.mean([1, 2, 3]) == 2
    assert not hasattr(standard_library, "agree")


def test_limit_is_the_two_sided_normal_quantile():
    assert limit(1, family=float(2 * norm.sf(1.0))) == pytest.approx(1.0, rel=1e-12)
    assert limit(1) == pytest.approx(4.891638475699, rel=1e-10)  # isf(5e-7) of the tables
    # Sidak: k independent components together alarm with probability `family`, exactly.
    for k in (1, 2, 35, 10_000):
        assert (1 - 2 * norm.sf(limit(k, family=0.01))) ** k == pytest.approx(0.99, rel=1e-12)


@pytest.mark.parametrize("family", [0.0, 1.0, -1.0, float("nan")])
def test_limit_refuses_impossible_rates(family):
    with pytest.raises(ValueError, match=r"expected .* got .* try"):
        limit(3, family=family)


def test_one_number_at_the_limit():
    z = limit(1)
    agree(1.0 + 0.999 * z * 0.1, 1.0, 0.1)
    agree(1.0 - 0.999 * z * 0.1, 1.0, 0.1)
    disagree(1.0 + 1.001 * z * 0.1, 1.0, 0.1)
    disagree(1.0 - 1.001 * z * 0.1, 1.0, 0.1)


def test_many_components_are_allowed_more_each():
    estimate = np.zeros((7, 5))
    estimate[3, 2] = 5.2  # between limit(1) = 4.89 and limit(35) = 5.56
    agree(estimate, 0.0, 1.0)
    disagree(estimate[3, 2], 0.0, 1.0)


def test_both_errors_in_quadrature():
    agree(5.0, 0.0, (0.9, 1.2))
    agree(4.8, 0.0, 1.0)
    disagree(7.4, 0.0, (0.9, 1.2))  # 7.4 / 1.5 = 4.93
    agree(7.3, 0.0, (0.9, 1.2))  # 7.3 / 1.5 = 4.87
    agree([0.1, 0.2], [0.0, 0.0], ([0.1, 0.1], 0.0))  # an exact side has no error


def test_the_message_names_the_worst_component():
    estimate = np.zeros((2, 3))
    estimate[1, 2], estimate[0, 1] = -10.0, 7.0
    with pytest.raises(AssertionError, match=r"component \(1, 2\) of 6 .* z = -10.00, limit 5\.\d+ .* 2 beyond it"):
        agree(estimate, np.zeros(3), 1.0)
    with pytest.raises(AssertionError, match=r"the number is off by z = \+9.00"):
        agree(9.0, 0.0, 1.0)


@pytest.mark.parametrize("check", [agree, disagree])
@pytest.mark.parametrize(
    ("estimate", "truth", "se"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 1.0, -1.0),
        (1.0, 1.0, (-1.0, 2.0)),
        (1.0, 1.0, float("nan")),
        (1.0, 1.0, float("inf")),
        ([1.0, 1.0], 1.0, [1.0, 0.0]),
        (float("nan"), 1.0, 1.0),
        (1.0, float("inf"), 1.0),
        ([], [], []),
        ([1.0, 2.0], 1.0, [1.0, 1.0, 1.0]),
        (1.0, 1.0, [1.0, 1.0]),
    ],
)
def test_what_cannot_be_judged_fails_on_both_sides(check, estimate, truth, se):
    with pytest.raises(AssertionError, match=r"standard error|not finite|nothing to compare"):
        check(estimate, truth, se)


def test_disagree_fails_where_agree_passes():
    with pytest.raises(AssertionError, match="planted fault was not seen"):
        disagree(1.0, 1.1, 0.1)


def test_alarms_come_at_the_stated_rate():
    # 20 000 families of 5 independent numbers at family = 0.05: the count of alarms is binomial.
    families, rate = 20_000, 0.05
    z = np.random.default_rng(1).normal(size=(families, 5))
    alarms = np.mean(np.abs(z).max(axis=1) > limit(5, family=rate))
    agree(alarms, rate, np.sqrt(rate * (1 - rate) / families))
    # The fault: each component tested at the full rate, five chances to alarm.
    naive = np.mean(np.abs(z).max(axis=1) > limit(1, family=rate))
    disagree(naive, rate, np.sqrt(rate * (1 - rate) / families))
