"""A neuron of one's own from scratch: a sine of a Gaussian pre-activation, exact from its moments, and measured."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from nnft import inference as inf
from nnft import models as m
from tests.statistics import agree, disagree

X = np.array([[-0.8], [0.3], [1.1]])
N = 5


class Forgetful(m.AbstractNeuron):
    """s(x) = sin(w.x + b), w ~ N(0, sw^2/d), b ~ N(0, sb^2); it draws, and knows nothing."""

    sw: float = 1.3
    sb: float = 0.6

    def __call__(self, points):
        d = points.shape[-1]
        w = numpyro.sample("w", dist.Normal(0.0, self.sw / d**0.5).expand([d]).to_event(1))
        b = numpyro.sample("b", dist.Normal(0.0, self.sb))
        return jnp.sin(w @ points.T + b[..., None])


class Sine(Forgetful):
    """The same, with <sin(z_1) .. sin(z_r)> = (2i)^-r sum over signs e of prod(e) exp(-e.C.e/2)."""

    def moments(self, points, tuples):
        order = tuples.shape[1]
        c = self.sb**2 + self.sw**2 * points @ points.T / points.shape[1]
        total = np.zeros(len(tuples))
        for e in product((1, -1), repeat=order):
            form = np.einsum("i,kij,j->k", e, c[tuples[:, :, None], tuples[:, None, :]], e)
            total += np.prod(e) * np.exp(-0.5 * form)
        return (-1) ** (order // 2) * total / 2.0**order, 1e-15


class Doubled(Sine):
    """Another program, for which the moments were not written."""

    def __call__(self, points):
        return 2.0 * super().__call__(points)


def pair(a, b):
    """<sin z_a sin z_b> = exp(-(c_aa + c_bb)/2) sinh c_ab."""
    c = 0.36 + 1.69 * np.outer(X[:, 0], X[:, 0])
    return np.exp(-0.5 * (c[a, a] + c[b, b])) * np.sinh(c[a, b])


def test_exact_correlators_are_the_closed_forms():
    """<sin^4> = 3/8 - e^{-2c}/2 + e^{-8c}/8, <sin^6> = 5/16 - 15/32 e^{-2c} + 3/16 e^{-8c} - e^{-18c}/32."""
    data = m.exact(m.Network(Sine(), N), X)
    assert data.orders == (2, 4, 6)
    assert np.allclose(data.tensor(2), [[pair(a, b) for b in range(3)] for a in range(3)], rtol=0, atol=1e-12)
    q = np.exp(-2.0 * (0.36 + 1.69 * X[:, 0] ** 2))
    two, four = (1 - q) / 2, 3 / 8 - q / 2 + q**4 / 8
    six = 5 / 16 - 15 / 32 * q + 3 / 16 * q**4 - q**9 / 32
    diagonal = [(a,) * 4 for a in range(3)]
    g4 = np.array([data.tensor(4)[place] for place in diagonal])
    g6 = np.array([data.tensor(6)[(*place, place[0], place[0])] for place in diagonal])
    assert np.allclose(g4, 3 * (four - two**2) / N, rtol=0, atol=1e-12)
    assert np.allclose(g6, 15 * (six - 3 * four * two + 2 * two**3) / N**2, rtol=0, atol=1e-12)
    assert data.about["accuracy"][4] < 1e-13


def test_measured_fields_agree():
    network = m.Network(Sine(), N)
    truth = m.exact(network, X)
    ensemble = inf.Ensemble(network, points=X, n=40_000, key=jax.random.key(1))
    data = inf.measure(ensemble, orders=(2, 4), space="field")
    for order in (2, 4):
        agree(data.connected(order), truth.connected(order), data.error(order))
    wrong = m.exact(m.Network(Sine(sb=0.3), N), X)
    disagree(data.connected(4), wrong.connected(4), data.error(4))


def test_a_forgotten_method_is_named():
    with pytest.raises(ValueError, match="got Forgetful, which knows no `moments`; try writing them, or measuring"):
        m.exact(m.Network(Forgetful(), N), X)
    with pytest.raises(ValueError, match=r"brings `moments`.*got Forgetful.*try writing Forgetful.moments, or measur"):
        Forgetful().moments(X, np.zeros((1, 2), dtype=int))
    with pytest.raises(ValueError, match=r"brings `kernel`, .*got Sine, which has none"):
        Sine().kernel(X, X)


def test_another_program_does_not_have_its_moments():
    with pytest.raises(ValueError, match="got Doubled, which knows no `moments`"):
        m.exact(m.Network(Doubled(), N), X)
