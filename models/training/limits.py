"""What a trained network becomes at infinite width: a Gaussian process, its mean and covariance, and the evidence.

With K the covariance of the field at the start and T the kernel of the parameters that move (that of the readout where
only it does, K for Bayes, the neural tangent kernel where all do, arXiv:1806.07572), the field after training,
phi_t = phi_0 + T_xX R_t (y - phi_0(X)), is linear in phi_0, so

    mean = B y,   covariance = K_xx' - B K_Xx' - K_xX B^T + B K_XX B^T (+ B s^2 B^T with noise),   B = T_xX R_t .

T follows from layer to layer, T_l = F_l + <s'(z) s'(z')> (sb^2 + sW^2 T_(l-1)) with T_0 = x.y/d and F_l = <s s>.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..combinatorics import sorted_tuples
from ..correlators import check_points
from ..deep.network import Deep, kernels
from ..networks.network import Network
from ..neurons.base import AbstractAffine
from ..runtime import settled
from ..types import Matrix, Points
from .trained import Trained
from .way import Kernels

__all__ = ["Limit", "limit", "tangent_kernel"]


class Limit(NamedTuple):
    """A Gaussian process at the points, at each time.

    times: (time,); mean: (time, point); covariance: (time, point, point); evidence: log N(y; 0, K_XX + s^2), of Bayes.
    """

    times: tuple[float, ...]
    mean: Float[np.ndarray, "time point"]
    covariance: Float[np.ndarray, "time point point"]
    evidence: float | None


def limit(trained: Trained, points: Points) -> Limit:
    """Mean and covariance of the field at infinite width, after each time of training.

    Args:
        trained: a `Trained` network, `Network` or `Deep`, without latents that its neurons share.
        points: (point, axis).

    Raises:
        ValueError: another program; a way of learning without a limit; neurons that do not know their kernel.

    Example, training to the end without noise goes through the data:
        >>> from math import inf
        >>> from nnft.models import Erf, LastLayer
        >>> net = Trained(Network(Erf(), 16), [[-1.0], [0.6]], [1.0, -0.5], LastLayer((inf,)))
        >>> limit(net, np.array([[0.6], [1.4]])).mean.round(3).tolist()
        [[-0.5, -0.899]]
    """
    if not isinstance(trained, Trained):
        raise ValueError(f"expected a trained network, m.Trained, got {type(trained).__name__}; try m.kernels")
    net, x = _deep(trained.net), check_points(points)
    inputs, y = trained.data
    both = np.concatenate([x, inputs])
    distinct, place = np.unique(both, axis=0, return_inverse=True)
    place = place.ravel()
    every = np.ix_(place, place)
    start = net.kernel(distinct)[every]
    known = Kernels(start, start - net.output_bias**2, lambda: tangent_kernel(net, distinct)[every])
    moving = trained.way.kernel(known)
    here, there = slice(0, len(x)), slice(len(x), None)
    noise = trained.way.variance or 0.0
    mean, covariance = [], []
    for time in trained.way.times:
        with settled():
            response = np.asarray(trained.way.response(jnp.asarray(moving[there, there]), time))
        b = moving[here, there] @ response
        mean.append(b @ y)
        own = start[there, there] + noise * np.eye(len(y))
        across = b @ start[there, here]
        covariance.append(start[here, here] - across - across.T + b @ own @ b.T)
    evidence = None
    if noise:
        own = start[there, there] + noise * np.eye(len(y))
        evidence = float(-0.5 * (y @ np.linalg.solve(own, y) + np.linalg.slogdet(2.0 * np.pi * own)[1]))
    return Limit(trained.way.times, np.array(mean), np.array(covariance), evidence)


def tangent_kernel(net: Deep | Network, points: Points) -> Matrix:
    """The neural tangent kernel T(x, y) of all parameters at infinite width, each in units of its deviation.

    Raises:
        ValueError: neurons whose parameters are not weights and biases of one Gaussian pre-activation.

    Example, one layer of erf, K + c_xy (4/pi)/sqrt((1 + 2 c_xx)(1 + 2 c_yy) - 4 c_xy^2):
        >>> from nnft.models import Erf
        >>> tangent_kernel(Network(Erf(), 16), np.zeros((1, 1))).round(6).tolist()   # c = 1: .464559 + .569411
        [[1.033969]]
    """
    net, x = _deep(net), check_points(points)
    count = len(x)
    a, b = sorted_tuples(count, 2).T
    gram = x @ x.T / x.shape[1]
    tangent, layers = gram, kernels(net, x)
    for neuron, layer in zip(net.kinds, layers, strict=True):
        if not isinstance(neuron, AbstractAffine):
            raise neuron.unknown("response", "slopes of its kernel in weights and biases")
        slopes = np.zeros((count, count))
        found = neuron.response(np.stack([gram[a, a], gram[a, b], gram[b, b]], axis=1)).slope
        slopes[a, b] = slopes[b, a] = found[:, 1] / neuron.weight_scale**2
        tangent = layer + slopes * (neuron.bias_scale**2 + neuron.weight_scale**2 * tangent)
        gram = layer
    return net.output_scale**2 * tangent + net.output_bias**2


def _deep(net: object) -> Deep:
    """A network as layers; one without what its limit does not know."""
    if isinstance(net, Deep):
        return net
    if isinstance(net, Network) and len(net.kinds) == 1 and net.shared_scale is None and net.shared_length is None:
        return Deep(net.kinds, (net.width,), net.readout, net.output_scale, net.output_bias)
    raise ValueError(
        f"expected a Network of one kind of neuron, or a Deep, without shared latents, got {net!r}; try m.Network"
    )
