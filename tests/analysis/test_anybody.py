"""Anybody's networks from their definition to a fitted page: Equinox, Flax NNX, images, tensors of PyTorch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

X = np.array([[-1.0, 0.5], [1.0, 0.0]])
KEY = jax.random.key(3)


def equinox_net(key, points):
    return jax.vmap(eqx.nn.MLP(2, "scalar", width_size=16, depth=1, activation=jnp.tanh, key=key))(points)


class Perceptron(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(2, 16, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, deterministic=True)
        self.readout = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.readout(self.dropout(jnp.tanh(self.hidden(x))))


class Convolution(nnx.Module):
    def __init__(self, rngs):
        self.filters = nnx.Conv(1, 4, (5, 5), strides=(4, 4), rngs=rngs)
        self.readout = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, images):
        return self.readout(jnp.tanh(self.filters(images[..., None])).mean(axis=(1, 2)))


def flax_net(key, points):
    return Perceptron(nnx.Rngs(key))(points)[:, 0]


def image_net(key, images):
    return Convolution(nnx.Rngs(key))(images)[:, 0]


class Tensor:
    """What is needed of PyTorch's: NumPy reads it only off its device, without gradients, and not as bfloat16."""

    def __init__(self, values, *, device="cuda", requires_grad=True, dtype="torch.float32"):
        self.values, self.device, self.requires_grad, self.dtype = values, device, requires_grad, dtype

    @property
    def shape(self):
        return self.values.shape

    def detach(self):
        return Tensor(self.values, device=self.device, requires_grad=False, dtype=self.dtype)

    def cpu(self):
        return Tensor(self.values, device="cpu", requires_grad=self.requires_grad, dtype=self.dtype)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return np.asarray(self.values, dtype)


def ensemble(draw, points=X, **options):
    return inf.Ensemble(m.FromKey(draw, **options), points=points, n=2000, key=KEY)


def fields_of(draw):
    return np.array(ensemble(draw).read(0, 2000))


def images():
    x = np.linspace(-1.0, 1.0, 28)
    return np.stack([np.cos(k * x[:, None] + x) for k in (1.0, 2.0, 4.0)]) * np.array([1.0, -1.5, 2.0])[:, None, None]


@pytest.mark.parametrize(
    ("source", "action", "said"),
    [
        (lambda: ensemble(equinox_net), m.Bilocal(), "model FromKey(draw=equinox_net)"),
        (lambda: ensemble(flax_net), m.Bilocal(), "model FromKey(draw=flax_net)"),
        (lambda: ensemble(image_net, images().reshape(3, -1), shape=(28, 28)), m.Local(), "shape=(28, 28))"),
        (lambda: inf.Samples(Tensor(fields_of(equinox_net)), Tensor(X)), m.Bilocal(), "inf.Samples(..., points)"),
    ],
    ids=["equinox", "flax", "images", "tensor"],
)
def test_from_definition_to_page(source, action, said, tmp_path):
    fit = inf.fit(source(), action, key=KEY, sampler=inf.Closed(chains=2, draws=200))
    page = an.report(fit, tmp_path / "page").read_text()
    assert said in page
    assert np.isfinite(fit["posterior"]["g"].values).all()
    if "28" in said:
        assert "… (784 numbers)" in page
        assert "3 points of 784 numbers" in page
        assert np.array_equal(an.load(tmp_path / "page")["constant_data"]["x_position"], images().reshape(3, -1))
    else:
        assert "points = np.array([[-1.0, 0.5], [1.0, 0.0]])" in page


def test_what_numpy_cannot_read_of_a_tensor():
    fields = np.random.default_rng(0).normal(size=(100, 2))
    samples = inf.Samples(Tensor(fields), X)
    assert np.array_equal(samples.read(0, 100), fields)
    rows = [Tensor(row) for row in fields]
    assert np.array_equal(inf.Samples(rows, [Tensor(x) for x in X]).read(0, 100), fields)
    assert inf.Samples(Tensor(fields.astype(np.float16)), X).dtype == np.float32
    with pytest.raises(ValueError, match=r"got Tensor \(Got unsupported.*try .*tensor.float\(\)"):
        inf.Samples(Tensor(fields, dtype="torch.bfloat16"), X)
    with pytest.raises(ValueError, match=r"got an array of shape \(100, 2\); try inf.Samples\(array, points\)"):
        inf.measure(Tensor(fields))
    with pytest.raises(ValueError, match=r"\(network, point\).*with 2 points, got \(2, 100\)"):
        inf.Samples(Tensor(fields.T), X)
