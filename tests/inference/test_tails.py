"""When an average must not be believed: Pareto draws of known k, heavy neurons behind a light field, odd arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from arviz_stats.base.array import array_stats

from nnft import models as m
from nnft.inference import Ensemble, Samples, measure
from nnft.inference.estimators.khat import gaussian_khat, limits, pareto_khat
from nnft.inference.estimators.tails import judge_tail, judge_values, tail_draws
from nnft.inference.methods.problem import prepare
from nnft.models import Cos, Gauss, Network
from tests.statistics import agree, disagree

N_TAIL = DECISIVE = 100_000
TWO = np.array([[-0.01], [0.01]])


def pareto(k, n=N_TAIL, seed=1):
    """Draws with P(v > t) = t^(-1/k), t > 1."""
    return np.random.default_rng(seed).uniform(size=n) ** -k


def khat_error(k, n=N_TAIL):
    """Asymptotic error (1 + k)/sqrt(m) of the shape from the m = 3 sqrt(n) largest of n draws."""
    return (1 + k) / np.sqrt(3 * np.sqrt(n))


# ---- the estimator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0.2, 0.5, 0.8, 1.5])
def test_khat_finds_the_shape_of_pareto_draws(k):
    agree(pareto_khat(pareto(k)), k, khat_error(k))


@pytest.mark.parametrize("k", [0.2, 0.8, 1.5])
def test_planted_fault_the_inverse_of_the_shape(k):
    disagree(pareto_khat(pareto(k)), 1 / k, khat_error(k))


def test_light_and_heavy_fall_on_their_sides_of_the_limit():
    assert pareto_khat(pareto(0.2)) < 0.5 < 0.7 < pareto_khat(pareto(1.2))


def test_the_sign_trap_of_psislw():
    """ArviZ 1's `psislw` takes log likelihoods: given log weights it smooths the tail of 1/v and calls it perfect."""
    weights = pareto(0.5)
    _, trapped = array_stats.psislw(np.log(weights))
    assert float(np.asarray(trapped)) < -0.5
    _, flipped = array_stats.psislw(-np.log(weights))
    agree(float(np.asarray(flipped)), 0.5, khat_error(0.5))
    agree(pareto_khat(weights), 0.5, khat_error(0.5))


def test_powers_multiply_the_shape():
    v = pareto(0.2)
    for power in (2, 4, 6):
        agree(pareto_khat(v**power), 0.2 * power, khat_error(0.2 * power))


def test_units_do_not_matter():
    v = pareto(0.5)
    assert pareto_khat(1e30 * v) == pytest.approx(pareto_khat(v), rel=1e-9)
    assert pareto_khat(1e-30 * v) == pytest.approx(pareto_khat(v), rel=1e-9)


def test_order_does_not_matter():
    """Networks are independent: a sorted array is the same evidence, not an autocorrelated chain."""
    v = pareto(0.5)
    assert pareto_khat(np.sort(v)) == pytest.approx(pareto_khat(v), rel=1e-9)


def test_zeros_do_not_hide_a_tail():
    """A field that is zero in 99.9 % of the networks and heavy in the rest."""
    sparse = np.where(np.arange(N_TAIL) % 1000 == 0, pareto(1.5), 0.0)
    assert pareto_khat(sparse) > 0.7


def test_values_without_a_tail():
    assert pareto_khat(np.full(1000, 3.0)) == -np.inf
    assert pareto_khat(np.repeat([1.0, 2.0], 500)) == -np.inf  # an atom at the top: bounded
    assert pareto_khat(np.zeros(1000)) == -np.inf
    assert np.isnan(pareto_khat(np.r_[np.zeros(1000), np.arange(1.0, 6.0)]))
    assert pareto_khat(np.r_[np.ones(1000), np.inf]) == np.inf
    assert pareto_khat(np.r_[np.ones(1000), np.nan]) == np.inf
    with pytest.raises(ValueError, match="at least 25 values"):
        pareto_khat(np.ones(24))


# ---- verdicts on arrays ---------------------------------------------------------------------------------------------


def samples(fields):
    return Samples(fields, np.arange(float(fields.shape[1]))[:, None])


def student(dof, n=DECISIVE, points=2, seed=3):
    return np.random.default_rng(seed).standard_t(dof, size=(n, points))


def verdicts(source, orders=(2, 4, 6)):
    draws = tail_draws(source)
    return [judge_tail(source, order, draws=draws).verdict for order in orders]


@pytest.fixture(scope="module")
def gaussian():
    draw = np.random.default_rng(4)
    return samples(draw.normal(size=(131_072, 3)) @ draw.normal(size=(3, 3)))


def test_a_gaussian_sample_passes_orders_2_4_6(gaussian):
    """k-hat of |phi|^6 is .39 +- .04 here: .5 is three sd away, false alarm 1e-3 a point; the seed is fixed."""
    assert verdicts(gaussian) == ["ok", "ok", "ok"]
    data = measure(gaussian)
    assert (data.orders, data.flags, data.refused) == ((1, 2, 3, 4, 6), {}, {})


@pytest.mark.parametrize("n", [1000, 5000, 100_000])
@pytest.mark.parametrize("power", [2, 6, 10])
def test_the_limits_are_those_of_gaussian_samples(n, power):
    """Mean and spread of k-hat over samples: the expected one, and at most the stated error, in a fixed sample."""
    rng = np.random.default_rng(8)
    reps = 100_000 // n if n > 1000 else 60
    seen = [pareto_khat(np.abs(rng.normal(size=n)) ** power) for _ in range(max(reps, 8))]
    expected, limit = gaussian_khat(n, power), limits(n, power)
    error = (1.0 + expected) / np.sqrt(min(n / 5, 3 * np.sqrt(n)))
    agree(np.mean(seen), expected, error / np.sqrt(len(seen)))
    disagree(np.mean(seen), expected + 0.5, error / np.sqrt(len(seen)))
    assert max(seen) < limit.refuse


def test_planted_fault_a_fixed_limit_would_refuse_a_gaussian(gaussian):
    """k-hat of the tenth power is .8 at 131 072 networks and 1.1 at 5000, above .7, and no fault of the field."""
    few = samples(gaussian.read(0, 5000))
    for source in (gaussian, few):
        assert judge_tail(source, 10).verdict == "ok"
        assert pareto_khat(np.abs(source.read(0, source.n)[:, 0]) ** 10) > 0.7


def test_a_heavy_sample_is_refused_order_by_order():
    """Student with 5 degrees of freedom: |t|^n has k = n/5, so .4, .8, 1.2."""
    source = samples(student(5))
    assert verdicts(source) == ["ok", "refused", "refused"]
    data = measure(source)
    assert data.orders == (1, 2, 3)
    with pytest.raises(ValueError, match=r"order 6 is refused: Pareto k-hat of \|phi\|\^6 is 1\.\d+ at point"):
        data.connected(6)


@pytest.mark.parametrize("n", [5000, 50_000, 150_000])
@pytest.mark.parametrize("power", [6, 10])
def test_student_fields_by_their_degrees(n, power):
    """t(3), t(5) refused; t(7), t(9) flagged at least; t(30) never refused: what quartic and sextic actions average."""
    found = {dof: judge_tail(samples(student(dof, n=n, points=3)), power).verdict for dof in (3, 5, 7, 9, 30)}
    assert found[3] == found[5] == "refused"
    assert "ok" not in (found[7], found[9])
    assert found[30] != "refused"


def test_a_flag_says_what_a_gaussian_field_would_show():
    tail = judge_tail(samples(student(9, n=5000, points=3)), 6)
    assert tail.verdict == "flagged"
    assert "a Gaussian field of as many networks: 0.57" in tail.why
    assert "may be too small" in tail.why


def test_one_heavy_point_among_light_ones_decides():
    fields = np.random.default_rng(5).normal(size=(DECISIVE, 3))
    fields[:, 1] = student(4)[:, 0]
    tail = judge_tail(samples(fields), 4)
    assert tail.verdict == "refused"
    assert "at point 1" in tail.why


def test_a_large_mean_does_not_hide_the_tail():
    fields = student(5) + 1e4
    assert pareto_khat(fields[:, 0] ** 6) < 0.5  # of the field as it stands: the fault
    assert verdicts(samples(fields)) == verdicts(samples(fields - 1e4)) == ["ok", "refused", "refused"]


def test_a_point_that_cannot_be_judged_flags_and_does_not_hide_another():
    sparse = np.zeros((DECISIVE, 2))
    sparse[:10, 0] = np.arange(10) - 4.5
    sparse[:, 1] = np.random.default_rng(6).normal(size=DECISIVE)
    assert verdicts(samples(sparse), (2,)) == ["flagged"]
    assert "different values" in judge_tail(samples(sparse), 2).why
    sparse[:, 1] = student(4)[:, 0]
    assert verdicts(samples(sparse), (4,)) == ["refused"]


def test_fields_on_a_grid_have_the_tail_of_their_law():
    """A Gaussian on nodes .3 apart, as those of a transfer matrix: ties are no tail, and a heavy law stays heavy."""
    rng = np.random.default_rng(9)
    fields = 0.3 * np.round(rng.normal(size=(5000, 3)) / 0.3)
    assert verdicts(samples(fields)) == ["ok", "ok", "ok"]
    top = np.sort(np.abs(fields[:, 0]))[-200:] ** 6
    assert len(np.unique(top)) < 20
    heavy = 0.3 * np.round(student(3, n=5000, points=3) / 0.3)
    assert verdicts(samples(heavy), (6,)) == ["refused"]


def test_clipped_fields_have_no_tail():
    clipped = np.clip(student(3), -1.0, 1.0)
    assert verdicts(samples(clipped)) == ["ok", "ok", "ok"]


# ---- verdicts on networks -------------------------------------------------------------------------------------------


def log_normal(points):
    """A user's copy of the Gauss neuron at bias_scale = 1: the suite does not know its moments."""
    d = points.shape[-1]
    w = numpyro.sample("w", dist.Normal(0.0, d**-0.5).expand([d]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    return jnp.exp(w @ points.T + b[..., None] - 1.0 - jnp.sum(points**2, axis=-1) / d)


def ensemble(neuron, width, n=200_000, points=TWO, **options):
    return Ensemble(Network(neuron, width, **options), points=points, n=n, key=jax.random.key(7))


@pytest.fixture(scope="module")
def wide():
    source = ensemble(log_normal, 1000)
    return source, tail_draws(source)


def test_a_foreign_heavy_neuron_is_refused_through_its_single_neurons(wide):
    """At width 1000 the field hides a sixth moment that no plain average finds; the neuron (k = 2.2) shows it."""
    source, draws = wide
    tail = judge_tail(source, 6, draws=draws)
    assert tail.verdict == "refused"
    assert "|h|^6" in tail.why
    assert "single neuron" in tail.why


def test_planted_fault_the_field_alone_would_pass(wide):
    source, draws = wide
    assert judge_tail(source, 6, draws=draws._replace(neurons=None)).verdict != "refused"


def test_a_foreign_light_neuron_passes():
    def cosine(points):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([points.shape[-1]]).to_event(1))
        c = numpyro.sample("c", dist.Uniform(-jnp.pi, jnp.pi))
        return jnp.cos(w @ points.T + c[..., None])

    assert verdicts(ensemble(cosine, 20), (2, 4)) == ["ok", "ok"]


@pytest.mark.parametrize("width", [5, 100, 1000])
def test_the_known_log_normal_neuron_is_refused_at_sixth_order_by_its_moments(width):
    tail = judge_tail(ensemble(Gauss(), width), 6)
    assert tail.verdict == "refused"
    assert "the exact <phi^12>" in tail.why


def test_exact_moments_need_no_networks():
    assert tail_draws(ensemble(Gauss(), 5)) is None
    assert verdicts(ensemble(Cos(), 5, n=10**9)) == ["ok", "ok", "ok"]


def test_the_relative_error_is_the_stated_one():
    """A Gaussian field (infinite width) of n networks: sqrt((105/9 - 1)/n) at order 4."""
    wide = ensemble(Cos(), 10**7, n=1000)
    for order, ratio in ((2, 3.0), (4, 105 / 9), (6, 10395 / 225), (3, 15 / 3), (1, 1.0)):
        tail = judge_tail(wide, order)
        assert f"{np.sqrt((ratio - 1) / 1000):.2g} at point" in tail.why or order == 1


def test_moments_beyond_floating_point_are_refused():
    """exp(60 c) overflows for c = 1 + 6^2: infinity over infinity must not read as fine."""
    far = ensemble(Gauss(), 5, points=np.array([[6.0], [0.1]]))
    assert verdicts(far) == ["refused", "refused", "refused"]


def test_measure_keeps_what_can_be_kept():
    data = measure(ensemble(Gauss(), 5, n=20_000), orders=(2, 6))
    assert data.orders == (2,)
    with pytest.raises(ValueError, match="order 6 is refused: the exact"):
        data.connected(6)
    assert "G6c  refused" in str(data)


# ---- fits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [m.Bilocal(), m.FullSextic(), m.Local()], ids=["correlators", "degree 6", "fields"])
def test_a_fit_refuses_heavy_fields_and_warns_of_doubtful_ones(action):
    """Student of 3 and 5 degrees of freedom is refused on every road, 9 is flagged, a Gaussian is neither."""
    points = 12 if isinstance(action, m.Local) else 2
    for dof in (3, 5):
        with pytest.raises(ValueError, match=r"Pareto k-hat of \|phi\|\^\d+ is \d\.\d+ .* does not converge"):
            prepare(samples(student(dof, n=5000, points=points)), action)
    assert prepare(samples(student(9, n=5000, points=points)), action).tail.verdict == "flagged"
    assert prepare(samples(np.random.default_rng(1).normal(size=(5000, points))), action).tail.verdict == "ok"


def test_values_of_a_pass_are_judged_beside_those_of_a_gaussian_sample():
    """t(3)^6 in one column is refused; sums that a Gaussian twin shows to be as heavy are not (k-hat 2.6 of z^20)."""
    gaussian, twin = np.random.default_rng(2).normal(size=(2, 5000, 3))
    heavy = gaussian**6
    heavy[:, 1] = student(3, n=5000)[:, 0] ** 6
    found = judge_values(heavy, 6, "psi", lambda: twin**6, flag=False)
    assert found.verdict == "refused"
    assert "component 1" in found.why
    assert judge_values(gaussian**6, 6, "psi", lambda: twin**6).verdict == "ok"
    assert judge_values(gaussian**20, 6, "psi", lambda: twin**20).verdict == "ok"
    assert judge_values(gaussian**20, 6, "psi", lambda: twin**6).verdict == "refused"


def test_errors_as_of_n_networks_say_when_their_scatter_is_not_known():
    """The scatter takes <phi^12>: known of cos networks from 65 536, not of narrow ReLU ones."""
    points = np.array([[1.0, 0.0], [0.3, 0.9]])
    for network, verdict in ((Network(Cos(), 20), "ok"), (Network(m.ReLU(), 10), "flagged")):
        truth = m.exact(network, points)
        problem = prepare(truth, m.Local(), as_if_n=20_000, key=jax.random.key(0))
        assert problem.tail.verdict == verdict
    assert "another key may give others" in problem.tail.why
