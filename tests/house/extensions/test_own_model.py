"""A field model of one's own: a Gaussian field whose variance is random, exact from its cumulants, and measured."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[0.0], [0.7]])
VARIANCE = 0.2  # of tau


class Mixture(m.AbstractModel):
    """phi = sqrt(tau) L xi, L L^T = K, tau ~ Gamma of mean one: G4c = Var(tau) sum_3 K K."""

    length: float = 1.0

    def kernel(self, x):
        return np.exp(-((x - x.T) ** 2) / (2 * self.length**2))

    def __call__(self, points):
        tau = numpyro.sample("tau", dist.Gamma(1 / VARIANCE, 1 / VARIANCE))
        with numpyro.plate("point", len(points)):
            xi = numpyro.sample("xi", dist.Normal())
        root = jnp.asarray(np.linalg.cholesky(self.kernel(X)))
        numpyro.deterministic("phi", jnp.sqrt(tau) * root @ xi)


class Known(Mixture):
    """The same, with what is known of it up to order four."""

    orders = (2, 4)

    def cumulants(self, points, top):
        k = self.kernel(points)
        pairs = [(a, b) for a in range(len(points)) for b in range(a, len(points))]
        quads = [(a, b, *rest) for a, b in pairs for rest in pairs if rest[0] >= b]
        g4 = [VARIANCE * (k[a, b] * k[c, d] + k[a, c] * k[b, d] + k[a, d] * k[b, c]) for a, b, c, d in quads]
        return m.Cumulants({2: np.array([k[pair] for pair in pairs]), 4: np.array(g4)})


class Louder(Known):
    """Another program: what is known of `Known` is not known of it."""

    def __call__(self, points):
        super().__call__(2.0 * points)


class Wrong(Known):
    """Cumulants that are not those of all sorted quads."""

    def cumulants(self, points, top):
        return m.Cumulants({2: np.ones(3), 4: np.ones(2)})


def test_its_cumulants_are_its_exact_correlators():
    data = m.exact(Known(), X)
    k = np.exp(-0.245)
    assert data.orders == (2, 4)
    assert data.even
    assert np.allclose(data.connected(4), VARIANCE * np.array([3, 3 * k, 1 + 2 * k**2, 3 * k, 3]), rtol=1e-14)
    assert data.tensor(4, "moment")[0, 0, 0, 0] == pytest.approx(3 + 3 * VARIANCE)
    chosen = m.exact_at(Known(), X, np.array([[1, 0, 0, 1], [0, 0, 0, 0]]))
    assert np.allclose(chosen.connected, VARIANCE * np.array([1 + 2 * k**2, 3]), rtol=1e-14)
    with pytest.raises(ValueError, match=r"for Known \[2, 4\], got 6; try measuring it"):
        m.exact(Known(), X, orders=(6,))


def test_its_fields_have_them():
    ensemble = inf.Ensemble(Known(), points=X, n=40_000, key=jax.random.key(0))
    assert ensemble.even
    data, truth = inf.measure(ensemble, orders=(2, 4)), m.exact(Known(), X)
    for order in (2, 4):
        agree(data.connected(order), truth.connected(order), data.error(order))
    disagree(data.connected(4), 0.5 * truth.connected(4), data.error(4))


def test_a_forgotten_method_is_named():
    with pytest.raises(ValueError, match="got Mixture of type Mixture; try measuring it"):
        m.exact(Mixture(), X)
    with pytest.raises(ValueError, match=r"brings `cumulants`.*got Mixture, which has none; try writing Mixture.cumul"):
        Mixture().cumulants(X, 4)
    with pytest.raises(ValueError, match=r"Wrong.cumulants to give order 4 on 5 sorted tuples of 2 points, got shape"):
        m.exact(Wrong(), X)


def test_another_program_takes_over_none_of_the_answers():
    with pytest.raises(ValueError, match="got Louder of type Louder; try measuring it"):
        m.exact(Louder(), X)

    class Loud(m.Network):
        def __call__(self, points):
            return 2.0 * super().__call__(points)

    class Wide(m.Network):  # the same program: another default only
        width: int = 40

    assert Loud(m.Cos(), 40).as_sum is None
    assert not inf.Ensemble(Loud(m.Cos(), 40), points=X, n=10, key=jax.random.key(0)).even
    with pytest.raises(ValueError, match="got Loud of type Loud; try measuring it"):
        m.exact(Loud(m.Cos(), 40), X)
    wide, plain = (m.exact(net, X).connected(4) for net in (Wide(m.Cos()), m.Network(m.Cos(), 40)))
    assert np.array_equal(wide, plain)
