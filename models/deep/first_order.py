"""What depth does to a field, to first order in one over the widths, at any points.

The covariance S_l(x, y) = n_l^-1 sum_i h_i(x) h_i(y) of layer l fluctuates about its infinite-width value K_l. With
F_ab = <s_a s_b> of a layer as a function of the products q_aa, q_ab, q_bb of its inputs, first derivatives J and second
ones H (`neurons/base.py`, Response), fluctuations and mean shift of S pass from layer to layer like errors do,

    Cov_l(ab, cd) = n_l^-1 [<s_a s_b s_c s_d> - F_ab F_cd] + J_ab . Cov_(l-1) . J_cd ,
    d_l(ab)       = J_ab . d_(l-1) + (1/2) H_ab : Cov_(l-1) ,

and the field, Gaussian given the last layer if its readout is, has G2 = sigma^2 (K_L + d_L) and

    G4c = sigma^4 [ Cov_L(ab, cd) + Cov_L(ac, bd) + Cov_L(ad, bc) + (mu_4 - 3) n_L^-1 <s_a s_b s_c s_d> ] .

(arXiv:2106.10165 ch. 4, there for one and two inputs; by Price's theorem J and H are the averages of derivatives found
there.) What is left is of second order. Its size is estimated by the relative variance of S_L, the largest
Cov_L(ab, ab)/(K_aa K_bb), times the largest term of first order.
"""

from typing import NamedTuple

import numpy as np

from ..combinatorics import moments_from_connected, rank, sorted_tuples, tuple_count
from ..correlators import Correlators, check_points
from ..neurons.base import AbstractNeuron
from ..refusals import NotKnown
from ..types import Matrix, Points, Tuples, Vector
from .network import Deep, inputs_of, square

__all__ = ["first_order"]

MOST_PAIRS = 2500  # of points: Cov_L has the square of them
FLAGGED = 0.1  # relative variance of S_L at which the expansion carries a warning
REFUSED = 0.5  # ... and at which it says nothing any more


class Layer(NamedTuple):
    """A layer over the infinite-width layers below it, on sorted pairs and quadruples of points.

    kernel: F, (pair,); four: <s_a s_b s_c s_d>, (quadruple,); error: of the largest average of either.
    """

    kernel: Vector
    four: Vector
    error: tuple[float, float]


def first_order(net: Deep, points: Points) -> Correlators:
    """G2 and G4c of a deep network to first order in one over its widths.

    Args:
        net: a `Deep` network; with one hidden layer both are exact.
        points: (point, axis), at most 70 of them.

    Returns:
        Correlators without errors, of orders 2 and 4. `about["rule"]` says what is exact and what is of first order;
        `about["truncation"]` is the size to expect of what is left out, {order: number}, about the largest component;
        `about["spread"]` the relative variance of S_L behind it; `about["infinite"]` G2 at infinite width.

    Raises:
        ValueError: something else than a `Deep`; a neuron that does not know its moments or its `response`; too many
            points; a relative variance of S_L above 1/2, with the number.

    Example:
        >>> from nnft.models import Cos
        >>> data = first_order(Deep.of(Cos(), depth=3, width=16), np.zeros((1, 1)))
        >>> data.connected(4).round(12).tolist()   # 3/(8 n) at every depth
        [0.0234375]
    """
    if not isinstance(net, Deep):
        raise ValueError(
            f"expected a deep network, m.Deep, got {type(net).__name__}; try m.exact(net, points) for one hidden layer"
        )
    x = check_points(points)
    count = len(x)
    if (size := tuple_count(count, 2)) > MOST_PAIRS:
        raise ValueError(
            f"expected at most {MOST_PAIRS} pairs of points, got {size} of {count} points, whose covariance has "
            f"{size**2:.0e} entries; try {int((2 * MOST_PAIRS) ** 0.5) - 1} points"
        )
    pairs, quads = sorted_tuples(count, 2), sorted_tuples(count, 4)
    inputs, given = x, _Fluctuation(np.zeros(size), np.zeros((size, size)))
    for k, (neuron, width) in enumerate(zip(net.kinds, net.widths, strict=True)):
        if not (2 in neuron.orders and 4 in neuron.orders):
            raise neuron.unknown("moments", "<s s> and <s s s s> at tuples of points")
        passed = given if k == 0 else _passed(neuron, inputs @ inputs.T / inputs.shape[1], pairs, given)
        layer = _layer(neuron, inputs, pairs, quads)
        own = (layer.four[_quadruple(pairs, count)] - np.outer(layer.kernel, layer.kernel)) / width
        given = _Fluctuation(passed.shift, passed.covariance + own)
        kernel = square(layer.kernel, count)
        inputs = inputs_of(kernel)
    a, b = pairs.T
    sizes = kernel[a, a] * kernel[b, b]
    variance = np.diag(given.covariance)
    spread = float(np.max(np.divide(variance, sizes, out=np.zeros_like(sizes), where=sizes > 0.0)))
    if net.depth > 1 and spread > REFUSED:
        raise NotKnown(
            f"expected hidden layers whose covariance has a relative variance below {REFUSED:g}, where first order in "
            f"1/n says something, got {spread:.2g} of {net.name} and widths {net.widths}; try wider layers, fewer of "
            "them, or measuring it: inf.measure(inf.Ensemble(...))"
        )
    scale, law = net.output_scale, net.readout_law
    limit = scale**2 * layer.kernel + net.output_bias**2
    more = (law.moment(4) - 3.0) / net.widths[-1] * layer.four
    four = scale**4 * (_three_pairings(given.covariance, quads, count) + more)
    cumulants = {2: limit + scale**2 * given.shift, 4: four}
    exact = net.depth == 1
    error2, error4 = layer.error
    return Correlators(
        points=x,
        moments={r: moments_from_connected(cumulants, count, r) for r in cumulants},
        cumulants=cumulants,
        maker="exact" if exact else "predicted",
        even=True,
        flags={} if exact or spread <= FLAGGED else {4: f"of first order in 1/n, {spread:.0%} of it uncertain"},
        model=net,
        about={
            "rule": "exact" if exact else "G2 and G4c of first order in 1/n; exact at infinite width",
            "accuracy": {2: scale**2 * error2, 4: scale**4 * 3.0 * (error4 + 2.0 * error2) / net.widths[-1]},
            "truncation": {
                2: 0.0 if exact else spread * scale**2 * float(np.max(np.abs(given.shift))),
                4: 0.0 if exact else spread * float(np.max(np.abs(four))),
            },
            "spread": 0.0 if exact else spread,
            "infinite": limit,
            "model": repr(net),
        },
    )


class _Fluctuation(NamedTuple):
    """How S differs from K: its mean, (pair,), and its covariance, (pair, pair)."""

    shift: Vector
    covariance: Matrix


def _layer(neuron: AbstractNeuron, inputs: Points, pairs: Tuples, quads: Tuples) -> Layer:
    two, error2 = neuron.moments(inputs, pairs)
    four, error4 = neuron.moments(inputs, quads)
    return Layer(two, four, (error2, error4))


def _passed(neuron: AbstractNeuron, gram: Matrix, pairs: Tuples, below: _Fluctuation) -> _Fluctuation:
    """What a layer makes of the fluctuations of its inputs."""
    count, (a, b) = len(gram), pairs.T
    response = neuron.response(np.stack([gram[a, a], gram[a, b], gram[b, b]], axis=1))
    if not np.isfinite(response.curvature).all():
        raise NotKnown(
            f"expected layers of {neuron.name} that see no two mirror images, where its kernel has no second "
            "derivative, got such a pair; try a bias_scale above 0, or measuring it: inf.measure(inf.Ensemble(...))"
        )
    of = np.stack([rank(np.stack(p, axis=1), count) for p in ((a, a), (a, b), (b, b))], axis=1)  # places of aa, ab, bb
    slope = np.zeros((len(pairs), len(pairs)))
    np.add.at(slope, (np.arange(len(pairs))[:, None], of), response.slope)
    second = np.einsum("pij,pij->p", response.curvature, below.covariance[of[:, :, None], of[:, None, :]])
    return _Fluctuation(slope @ below.shift + 0.5 * second, slope @ below.covariance @ slope.T)


def _quadruple(pairs: Tuples, count: int) -> np.ndarray:
    """Which sorted quadruple two pairs make, (pair, pair)."""
    size = len(pairs)
    both = np.concatenate([np.repeat(pairs, size, axis=0), np.tile(pairs, (size, 1))], axis=1)
    return rank(np.sort(both, axis=1), count).reshape(size, size)


def _three_pairings(covariance: Matrix, quads: Tuples, count: int) -> Vector:
    """Cov(ab, cd) + Cov(ac, bd) + Cov(ad, bc)."""
    a, b, c, d = quads.T
    ways = ((a, b, c, d), (a, c, b, d), (a, d, b, c))
    place = [(rank(np.stack([i, j], axis=1), count), rank(np.stack([k, n], axis=1), count)) for i, j, k, n in ways]
    return np.sum([covariance[p, q] for p, q in place], axis=0)
