"""Couplings without field-space noise: from exact correlators, as n networks would give them, and from one neuron."""

import jax
import numpy as np
import pytest

from nnft.analysis import diagnose
from nnft.inference import Ensemble, Score, fit, measure
from nnft.inference.methods.problem import prepare
from nnft.inference.priors.likelihood import gaussian_posterior
from nnft.models import Bilocal, Correlators, Cos, FullQuartic, Gauss, Network, exact
from nnft.models.diagrams.from_couplings import vertex
from tests.closed import fit as closed_fit
from tests.statistics import agree, disagree

KEY = jax.random.key(0)
SPACED = np.arange(4.0)[:, None]
PAIR = np.array([[-1.0], [1.0]])


def beyond_leading_order(width):
    """||V + amputated G4c||/||amputated G4c|| in the whitened norm, V the full-quartic fit to exact moments."""
    truth = exact(Network(Cos(), width), SPACED)
    quartic = fit(truth, FullQuartic(), key=KEY)["point"]["g4"].values
    kernel = truth.tensor(2)
    root, inverse = np.linalg.cholesky(kernel), np.linalg.inv(np.linalg.cholesky(kernel))
    fitted = np.einsum("abcd,ai,bj,ck,dl->ijkl", vertex(quartic, 4), *[root] * 4)
    leading = -np.einsum("abcd,ia,jb,kc,ld->ijkl", truth.tensor(4), *[inverse] * 4)
    return np.linalg.norm(fitted - leading) / np.linalg.norm(leading)


@pytest.mark.parametrize(("width", "reference"), [(50, 0.6305), (500, 0.1319), (5000, 0.01477)])
def test_full_quartic_against_leading_order(width, reference):
    """Reference numbers of an independent calculation, to 1e-3 of their value."""
    assert beyond_leading_order(width) == pytest.approx(reference, rel=1e-3)


def test_one_over_n_sets_in_beyond_a_thousand():
    scaled = [width * beyond_leading_order(width) for width in (1000, 2000, 4000)]
    assert max(scaled) / min(scaled) < 1.1


@pytest.mark.parametrize("action", [Bilocal(), FullQuartic()], ids=["bilocal", "full"])
def test_the_point_is_what_infinitely_many_networks_give(action):
    """Against 2e5 networks, at their errors; the twin has another width."""
    network = Network(Cos(), 10)
    data = measure(Ensemble(network, points=PAIR, n=200_000, key=jax.random.key(1)))
    tree = closed_fit(data, action, key=KEY, draws=200)
    point, other = (fit(exact(Network(Cos(), width), PAIR), action, key=KEY)["point"] for width in (10, 20))
    name = "g4" if isinstance(action, FullQuartic) else "g"
    draws = tree["posterior"][name].values
    agree(draws.mean(axis=(0, 1)), point[name].values, draws.std(axis=(0, 1)))
    disagree(draws.mean(axis=(0, 1)), other[name].values, draws.std(axis=(0, 1)))


def test_as_if_n_gives_the_width_of_n_networks_around_the_point():
    truth = exact(Network(Cos(), 10), PAIR)
    n = 200_000
    stand_in = prepare(truth, Bilocal(), as_if_n=n, key=jax.random.key(2))
    real = prepare(measure(Ensemble(Network(Cos(), 10), points=PAIR, n=n, key=jax.random.key(1))), Bilocal())
    (centre, covariance), (_, measured) = (gaussian_posterior(p.equations, p.prior) for p in (stand_in, real))
    np.testing.assert_allclose(np.diag(covariance), np.diag(measured), rtol=0.1)  # sixth moments of 65,536 networks
    np.testing.assert_allclose(centre, stand_in.equations.estimate, atol=0.05 * np.sqrt(np.diag(covariance)).max())
    quarter = prepare(truth, Bilocal(), as_if_n=n // 4, key=jax.random.key(2))
    np.testing.assert_allclose(quarter.equations.sandwich, 4 * stand_in.equations.sandwich, rtol=1e-2)


@pytest.mark.parametrize("space", ["neuron", "readout"])
def test_couplings_from_the_dual_spaces(space):
    """At width 200 the fields of 2e4 networks say nothing; their neurons give the couplings to a few per cent."""
    network = Network(Cos(), 200)
    truth = prepare(exact(network, PAIR), Bilocal())
    problem = prepare(measure(Ensemble(network, points=PAIR, n=20_000, key=KEY), space=space), Bilocal())
    assert problem.metric_from == "exact kernel"
    mean, covariance = gaussian_posterior(problem.equations, problem.prior)
    sd = np.sqrt(np.diag(covariance))
    agree(mean, truth.equations.estimate, sd)
    quartic = slice(truth.quadratic, None)
    disagree(mean[quartic], 2 * truth.equations.estimate[quartic], sd[quartic])
    field = prepare(measure(Ensemble(network, points=PAIR, n=20_000, key=KEY)), Bilocal())
    noise = np.sqrt(np.diag(gaussian_posterior(field.equations, field.prior)[1]))
    assert np.all(noise[quartic] > 20 * sd[quartic])


def test_what_a_point_cannot_do_is_refused():
    truth = exact(Network(Cos(), 50), PAIR)
    tree = fit(truth, Bilocal(), key=KEY)
    assert "posterior" not in tree.children
    with pytest.raises(ValueError, match=r"the point result of exact correlators.*try inf.fit\(..., as_if_n"):
        diagnose(tree)
    data = measure(Ensemble(Network(Cos(), 50), points=PAIR, n=2000, key=KEY))
    with pytest.raises(ValueError, match="expected exact correlators with as_if_n, got measured ones"):
        fit(data, Bilocal(), key=KEY, as_if_n=1000)
    bare = Correlators.from_arrays(PAIR, moments={r: truth.moment(r) for r in (2, 4, 6)})
    same = fit(bare, Bilocal(), key=KEY, method=Score(metric=truth.tensor(2)))
    assert np.allclose(same["point"]["v"], tree["point"]["v"])
    with pytest.raises(ValueError, match="expected correlators whose network is known"):
        fit(bare, Bilocal(), key=KEY, as_if_n=1000)
    heavy = exact(Network(Gauss(), 1000), np.array([[-0.5], [0.5]]))
    with pytest.raises(ValueError, match=r"expected networks whose scatter has an average.*<phi\^12>"):
        fit(heavy, Bilocal(), key=KEY, as_if_n=100_000)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network(Cos(), 1, "rademacher"), "got 2 parameters for 3 points"),
        (Network(Cos(), 1), r"more than 1 neuron of readout gaussian .* got width 1"),
        (Network(Cos(), 2, "rademacher"), r"more than 2 neurons of readout rademacher .* got width 2"),
    ],
    ids=["surface", "one neuron", "step"],
)
def test_networks_without_a_smooth_density_have_no_action(network, message):
    points = np.array([[-1.0], [0.0], [1.5]])
    with pytest.raises(ValueError, match=message):
        fit(exact(network, points), Bilocal(), key=KEY)
    wide = Network(Cos(), 3, network.readout)
    assert "point" in fit(exact(wide, points), Bilocal(), key=KEY).children
