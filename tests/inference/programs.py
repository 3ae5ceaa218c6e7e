"""Programs strangers write: twenty that are not what they seem, twenty that are; six neurons at three points each.

One size for all, so that their samplers compile once. Each is a NumPyro model with the field at the site `phi`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam

from nnft.models import Cos, Erf, GammaScale, LogNormalLength, Network, ReLU

N = 6
HELD = np.random.default_rng(5)
W, C, SCALAR = HELD.normal(size=N), HELD.normal(size=N), np.array(1.3)


def register(phi):
    numpyro.deterministic("phi", phi)


def summed(c, w, points):
    register(c @ jnp.cos(w[:, None] * points[:, 0]) / N**0.5)


def sites(**laws):
    with numpyro.plate("hidden", N):
        return [numpyro.sample(name, law) for name, law in laws.items()]


def plain(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(c, w, points)


def skewed(points):
    w, c = sites(w=dist.Normal(), c=dist.Gamma(2.0, 2.0))
    summed(c, w, points)


# ---- not what they seem ---------------------------------------------------------------------------------------------


def frozen_features(points):
    with handlers.substitute(data={"w": jnp.asarray(W.copy())}):
        plain(points)


def frozen_readout(points):
    with handlers.substitute(data={"c": jnp.asarray(C.copy())}):
        plain(points)


def inner_seed(points):
    with numpyro.plate("hidden", N):
        c = numpyro.sample("c", dist.Normal())
        with handlers.seed(rng_seed=3):
            w = numpyro.sample("w", dist.Normal())
    summed(c, w, points)


def stated_key(points):
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal(), rng_key=jax.random.key(3))
        c = numpyro.sample("c", dist.Uniform(-1.0, 2.0))
    summed(c, w, points)


def one_key_twice(points):
    key = numpyro.prng_key()
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal(), rng_key=key)
        c = numpyro.sample("c", dist.Normal(), rng_key=key)
    summed(c, w, points)


def one_key_of_two_laws(points):
    key = numpyro.prng_key()
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Uniform(-1.0, 1.0), rng_key=key)
        c = numpyro.sample("c", dist.Laplace(), rng_key=key)
    summed(c, w, points)


def scaled_key(points):
    """The key is stated, the scale moves: the site moves too, but not by its law."""
    key = jax.random.key(4)
    s = numpyro.sample("s", dist.LogNormal())
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal(0.0, s), rng_key=key)
        c = numpyro.sample("c", dist.Normal())
    summed(c, w, points)


def masked_dependence(points):
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal())
        with handlers.mask(mask=False):
            c = numpyro.sample("c", dist.Laplace(0.0, 0.2 + jnp.abs(jnp.mean(w))))
    summed(c, w, points)


def masked_feedback(points):
    """The mask hides that the input weights follow the readout."""
    with numpyro.plate("hidden", N):
        c = numpyro.sample("c", dist.Normal())
        w = numpyro.sample("w", dist.Normal(c, 1.0).mask(False))
    summed(c, w, points)


def rare_bend(points):
    """One network in twelve leaves the linear branch."""
    w, c, u = sites(w=dist.Normal(), c=dist.Normal(), u=dist.Uniform())
    phi = c @ jnp.cos(w[:, None] * points[:, 0]) / N**0.5
    register(jnp.where(jnp.mean(u) > 0.66, phi + phi**3 / 2, phi))


def rare_jump(points):
    """The scale jumps where one weight is large."""
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(jnp.where(jnp.max(jnp.abs(w)) > 2.8, 4.0, 1.0) * c, w, points)


def hidden_scale(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(c * jnp.sqrt(jax.random.gamma(numpyro.prng_key(), 2.0)), w, points)


def hidden_host(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(c * np.random.default_rng().lognormal(), w, points)


def shared_scale(points):
    s = numpyro.sample("s", dist.Gamma(2.0, 2.0))
    w, c = sites(w=dist.Normal(), c=dist.Uniform(-1.0, 2.0))
    summed(s * c, w, points)


def one_of_them(points):
    """A categorical site picks the neuron that counts double."""
    k = numpyro.sample("k", dist.Categorical(jnp.ones(N) / N))
    w, c = sites(w=dist.Normal(), c=dist.Uniform(-1.0, 2.0))
    summed(c * (1.0 + (jnp.arange(N) == k)), w, points)


def normalised(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(c / jnp.linalg.norm(c), w, points)


def centred(points):
    """The size of the sites decides the field: a batch norm over the neurons."""
    w, c = sites(w=dist.Normal(), c=dist.Uniform(-1.0, 2.0))
    h = jnp.cos(w[:, None] * points[:, 0])
    register(c @ ((h - h.mean(axis=0)) / (0.1 + h.std(axis=0))) / N**0.5)


def graded(points):
    w, c = sites(w=dist.Normal(0.0, jnp.linspace(0.5, 2.0, N)), c=dist.Uniform(-1.0, 2.0))
    summed(c, w, points)


def deformed(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    numpyro.factor("energy", -0.1 * jnp.sum(w**2))
    summed(c, w, points)


def copied(points):
    """A law that draws one number for all neurons."""
    with numpyro.plate("hidden", N):
        w = numpyro.sample("w", Copied())
        c = numpyro.sample("c", dist.Uniform(-1.0, 2.0))
    summed(c, w, points)


class Copied(dist.Distribution):
    support = dist.constraints.real

    def __init__(self, count=1):
        super().__init__((count,))

    def expand(self, batch_shape):
        return Copied(batch_shape[0])

    def sample(self, key, sample_shape=()):
        one = jax.random.normal(key, (*sample_shape, 1))
        return jnp.broadcast_to(one, (*sample_shape, *self.batch_shape))

    def log_prob(self, value):
        return -0.5 * value**2


# program -> the spaces that are right for it, and a word of each refusal
SEEMING = {
    frozen_features: ("readout", "'w' is the same in every network"),
    frozen_readout: ("", "'c' is the same in every network"),
    inner_seed: ("readout", "'w' is the same in every network"),
    stated_key: ("", "'w' is the same in every network"),
    one_key_twice: ("", "'c' and 'w' are not drawn independently"),
    one_key_of_two_laws: ("", "'c' and 'w' are not drawn independently"),
    scaled_key: ("", "'w' is not drawn from its law Normal"),
    masked_dependence: ("", "depends on the others"),
    masked_feedback: ("neuron", "linear in no Gaussian site"),
    rare_bend: ("", "not a sum over the plate"),
    rare_jump: ("readout", "not a sum over the plate"),
    hidden_scale: ("", "random numbers that are no site"),
    hidden_host: ("", "outside NumPyro"),
    shared_scale: ("", "'s' lies outside the plate"),
    one_of_them: ("", "'k' lies outside the plate"),
    normalised: ("", "not a sum over the plate"),
    centred: ("", "not a sum over the plate"),
    graded: ("", "the law of 'w' changes along the plate"),
    deformed: ("", "'energy' deforms the density"),
    copied: ("", "'w' is not drawn independently at each neuron"),
}


# ---- what they seem -------------------------------------------------------------------------------------------------


def inputs_within(points):
    """Neurons times inputs, two plates: the usual way to write d > 1."""
    with numpyro.plate("hidden", N):
        c = numpyro.sample("c", dist.Uniform(-1.0, 2.0))
        with numpyro.plate("inputs", 1):
            w = numpyro.sample("w", dist.Normal())
    register(c @ jnp.cos(w.T @ points.T) / N**0.5)


def inputs_around(points):
    with numpyro.plate("inputs", 2), numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal())
    with numpyro.plate("hidden", N):
        c = numpyro.sample("c", dist.Uniform(-1.0, 2.0))
    register(c @ jnp.cos(w @ jnp.concatenate([points, 1.0 + points**2], axis=1).T) / N**0.5)


def no_plate(points):
    w = numpyro.sample("w", dist.Normal().expand([N]))
    c = numpyro.sample("c", dist.Normal().expand([N]))
    summed(c, w, points)


def scanned(points):
    def step(carry, _):
        return carry, (numpyro.sample("w", dist.Normal()), numpyro.sample("c", dist.Normal()))

    _, (w, c) = scan(step, 0.0, jnp.arange(N))
    summed(c, w, points)


def autoregressive(points):
    """Input weights that follow each other, and a Gaussian readout."""

    def step(last, _):
        w = numpyro.sample("w", dist.Normal(0.5 * last, 1.0))
        return w, w

    _, w = scan(step, 0.0, jnp.arange(N))
    with numpyro.plate("hidden", N):
        c = numpyro.sample("c", dist.Normal())
    summed(c, w, points)


def subsampled(points):
    """All neurons are drawn: the subsample is the plate."""
    with numpyro.plate("hidden", 2 * N, subsample_size=N):
        w = numpyro.sample("w", dist.Normal())
        c = numpyro.sample("c", dist.Normal())
    summed(c, w, points)


def layer_normed(points):
    """A layer norm before the readout couples the neurons; given them the field is Gaussian."""
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    h = jnp.cos(w[:, None] * points[:, 0])
    register(c @ ((h - h.mean(axis=0)) / (0.1 + h.std(axis=0))) / N**0.5)


def deep(points):
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    with numpyro.plate("to", N, dim=-1), numpyro.plate("from", N, dim=-2):
        v = numpyro.sample("v", dist.Normal())
    register(c @ jnp.tanh(v @ jnp.cos(w[:, None] * points[:, 0])) / N)


def gamma_scaled(points):
    s = numpyro.sample("s", dist.Gamma(2.0, 2.0))
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(jnp.sqrt(s) * c, w, points)


def uncentred(points):
    """A location and scale of each neuron's readout, taken out of its law."""
    with handlers.reparam(config={"c": LocScaleReparam(0.0)}), numpyro.plate("hidden", N):
        w = numpyro.sample("w", dist.Normal())
        c = numpyro.sample("c", dist.Normal(0.0, jnp.exp(-(w**2))))
    summed(c, w, points)


def mixed(points):
    law = dist.MixtureSameFamily(dist.Categorical(jnp.array([0.3, 0.7])), dist.Normal(jnp.array([-1.0, 1.0]), 0.5))
    w, c = sites(w=dist.Normal(), c=law)
    summed(c, w, points)


def discrete(points):
    w, c = sites(w=dist.Categorical(jnp.ones(4) / 4), c=dist.Bernoulli(0.5))
    summed(c - 0.5, w, points)


def heavy(points):
    w, c = sites(w=dist.Cauchy(), c=dist.StudentT(5.0))
    summed(c, w, points)


def correlated_inputs(points):
    root = jnp.array([[1.0, 0.0], [0.8, 0.6]])
    w, c = sites(w=dist.MultivariateNormal(jnp.zeros(2), scale_tril=root), c=dist.Uniform(-1.0, 2.0))
    register(c @ jnp.cos(w @ jnp.concatenate([points, points**2], axis=1).T) / N**0.5)


def masked_honestly(points):
    """A mask that hides nothing."""
    with handlers.mask(mask=True):
        skewed(points)


def constant_site(points):
    s = numpyro.sample("s", dist.Delta(jnp.array(2.0)))
    w, c = sites(w=dist.Normal(), c=dist.Normal())
    summed(s * c, w, points)


# program -> the cheapest space it is to be measured in
HONEST = {
    plain: "neuron",
    skewed: "neuron",
    inputs_within: "neuron",
    inputs_around: "neuron",
    no_plate: "readout",
    scanned: "readout",
    autoregressive: "readout",
    subsampled: "neuron",
    layer_normed: "readout",
    deep: "readout",
    gamma_scaled: "readout",
    uncentred: "neuron",
    mixed: "neuron",
    discrete: "neuron",
    heavy: "neuron",
    correlated_inputs: "neuron",
    masked_honestly: "neuron",
    constant_site: "readout",
    Network(Cos(), N): "neuron",
    Network(Erf(), N, "laplace", output_bias=0.3): "neuron",
    Network(ReLU(), N, shared_scale=GammaScale(0.2)): "readout",
    Network((Cos(), Erf()), N, shared_length=LogNormalLength(0.3)): "readout",
}
