"""W[J] = log <exp(J.phi)> of a network exactly, by quadrature over the parameters of one neuron.

Neurons are independent, so that with u = J.s of one neuron and W its readout weight (arXiv:2307.03223, sec. 2)

    W[J] = N log < E_W exp(sigma W u / sqrt N) > + b^2 (sum J)^2 / 2.

The averages over the readout, and over the phase of a cosine (u = A cos(c + ..), A = |sum_a J_a exp(i w.x_a)|), are
closed; the one over the remaining hidden parameters is at most two-dimensional here and done by lattice rules, which
converge geometrically for analytic activations; ReLU by polar coordinates, the radius in closed form: E cosh(b r) =
1F1(R/2; 1/2; b^2/2) for r^2 of R degrees of freedom. Every rule is refined until it no longer changes.

Neurons that share a scale or a length are independent given it: Z[J] = E_tau,l < E_W exp(sqrt(tau) sigma W u / sqrt N)
>^N times the bias, by the trapezoidal sum over log tau, which converges geometrically too, and by Gauss-Hermite over
log l. At N = infinity a Gamma scale of variance v gives Z = (1 - v J.K.J/2)^(-1/v).
"""

from collections.abc import Callable
from math import ceil, log2
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from ..correlators import check_points
from ..networks.latents import GammaScale
from ..networks.network import Network
from ..neurons.cos import Cos
from ..neurons.relu import ReLU
from ..neurons.smooth import Erf, Tanh
from ..types import Points
from .convergence import check_sources, finite_source, largest_growth, preactivation

__all__ = [
    "characteristic",
    "coarsest",
    "exact_generating",
    "hidden_axes",
    "neuron_rule",
    "refined",
]

MOST_NODES = {1: 1 << 14, 2: 1 << 9}  # per axis of a lattice, by its dimension
_REACH = 8.6  # standard deviations of the hidden parameters that are covered: the rest weighs 1e-17
_CHUNK = 1 << 21  # numbers in memory at a time
_SCALE_NODES = 1 << 11  # at most, over the shared scale
_COARSE = 32  # hidden nodes per axis at which the first rule of a refinement stands
_RESOLVED = 1.25  # spacing of nodes in widths of s: two rules that miss its kink agree, and both are wrong
_LENGTH_NODES = 48  # over the shared length; two thirds of them give the error
_LOST = 45.0  # in the log: what is left out of the shared scale weighs 1e-19

Rule = tuple[np.ndarray, np.ndarray]  # weights (node,) that sum to one, activations (node, point); Cos: exp(i w.x)


def exact_generating(
    network: Network, points: Points, sources: Float[np.ndarray, "source point"]
) -> tuple[Float[np.ndarray, " source"], float]:
    """W[J] = log <exp(J.phi)> by quadrature, (source,), and its estimated absolute error.

    Args:
        network: a `Network` of Cos, Erf, Tanh or ReLU whose hidden parameters enter through at most two numbers, the
            phase of Cos not counted: any points in d = 1, or one or two points in any d (Cos: three). Its neurons
            may share a scale or a length.
        points: (point, axis).
        sources: J, (source, point).

    Raises:
        ValueError: an infinite Z (`finite_source`, with its number), more than two effective hidden parameters, a
            quadrature that does not converge.

    Example: N = 1, Gaussian readout, one point, cos: <exp(J^2 cos^2 / 2)> = exp(J^2/4) I0(J^2/4).

        >>> from nnft.models import Cos, Network
        >>> value, error = exact_generating(Network(Cos(), width=1), np.zeros((1, 1)), np.array([[2.0]]))
        >>> (value - np.log(special.iv(0, 1.0)) - 1.0).round(12).tolist()
        [0.0]

        The same with a Gamma scale of variance one: <1/(1 - J^2 cos^2 / 2)> = (1 - J^2/2)^(-1/2).

        >>> from nnft.models import GammaScale
        >>> shared = Network(Cos(), width=1, shared_scale=GammaScale(1.0))
        >>> value, error = exact_generating(shared, np.zeros((1, 1)), np.array([[1.0]]))
        >>> (value - np.log(2.0) / 2.0).round(12).tolist()
        [0.0]
    """
    x = check_points(points)
    j = check_sources(sources, len(x))
    for row in j:
        verdict = finite_source(network, x, row)
        if not verdict.finite:
            raise ValueError(
                f"expected sources with a finite Z[J], got J = {np.round(row, 6).tolist()}: {verdict.why}; "
                "try smaller sources"
            )
    axes = hidden_axes(network.neuron, x)
    if network.shared_length is None:
        value, error = _given_length(network, x, j, axes)
    else:
        value, error = _over_lengths(network, x, j, axes, _LENGTH_NODES)
        fewer, _ = _over_lengths(network, x, j, axes, 2 * _LENGTH_NODES // 3)
        error += float(np.max(np.abs(value - fewer)))
    if not error <= 1e-8 * network.width:
        raise ValueError(
            f"expected a quadrature that converges, got W[J] changing by {error:.2g} at the finest rule; try sources "
            "further from where Z becomes infinite"
        )
    return value + 0.5 * network.output_bias**2 * np.sum(j, axis=1) ** 2, error


def _over_lengths(network: Network, x: Points, j: np.ndarray, axes: int, count: int) -> tuple[np.ndarray, float]:
    """The log of E_l exp(W[J] given l), without the output bias, and the error carried over from the W given l."""
    assert network.shared_length is not None
    lengths, weight = network.shared_length.nodes(count)
    given = [_given_length(network, x / length, j, axes) for length in lengths]
    values, errors = np.stack([value for value, _ in given]), np.array([error for _, error in given])
    total = log_sum(values, weight[:, None], axis=0)
    return total, float(np.max(errors @ (weight[:, None] * np.exp(values - total))))


def _given_length(network: Network, x: Points, j: np.ndarray, axes: int) -> tuple[np.ndarray, float]:
    """W[J] without the output bias, and its error: N log <...> of one neuron, averaged over a shared scale."""
    scaled = j * (network.output_scale / np.sqrt(network.width))
    average = _relu_average if type(network.neuron) is ReLU else _bounded_average
    scale, start = network.shared_scale, coarsest(network.neuron, x)
    if not isinstance(scale, GammaScale):  # any other scale is here only where J.s vanishes identically
        value, error = refined(lambda nodes: average(network, x, scaled, nodes), axes, 1e-12, start=start)
        return network.width * value, network.width * error
    rate, root = _rate_in_scale(network, x, j)

    def mixed(nodes: int, hidden: int) -> np.ndarray:
        tau, log_weight = scale_rule(scale.variance, rate, root, nodes)
        rows = (np.sqrt(tau)[:, None, None] * scaled).reshape(-1, len(x))
        given = network.width * average(network, x, rows, hidden).reshape(nodes, -1)
        return log_sum(given + log_weight[:, None], np.ones((nodes, 1)), axis=0)

    nodes, before, change = 32, mixed(32, start), np.inf
    while change > 1e-12 * network.width and 2 * nodes <= _SCALE_NODES:  # a coarse hidden rule decides its nodes
        nodes *= 2
        current = mixed(nodes, start)
        change, before = float(np.max(np.abs(current - before))), current
    value, error = refined(lambda hidden: mixed(nodes, hidden), axes, 1e-12 * network.width, start=start)
    return value, error + change


def _rate_in_scale(network: Network, x: Points, j: np.ndarray) -> tuple[float, float]:
    """(r, q) of the bound W[J] <= r tau + q sqrt(tau) given the scale, over all sources; r < 1/v where Z is finite."""
    tail = network.readout_law.tail()
    if type(network.neuron) is ReLU:
        # given z = r tau / N: E exp(b |xi|) <= (1 + sqrt(pi z)) e^z for at most two hidden parameters
        growth = max(largest_growth(preactivation(network.neuron, x), row) for row in j)
        rate = 0.5 * (tail.edge * network.output_scale * growth) ** 2
        return rate, np.sqrt(np.pi * network.width * rate)
    size = network.output_scale * float(np.max(np.sum(np.abs(j), axis=1)))  # |J.s| <= sum |J|
    if tail.edge < np.inf:
        return 0.0, np.sqrt(network.width) * tail.edge * size
    if tail.curvature > 0.0:
        return 0.5 * tail.curvature * size**2, 0.0
    raise ValueError(
        f"expected a readout that is bounded or falls like a Gaussian beside a shared scale, got {network.readout!r}; "
        "try inference.generating"
    )


def scale_rule(variance: float, rate: float, root: float, nodes: int) -> Rule:
    """Trapezoidal rule in log tau for a Gamma scale and functions up to exp(rate tau + root sqrt(tau)); rate < 1/v.

    Returns tau and the log of its weights, which sum to one: near the edge the weights underflow where the function
    makes up for it. Half of the margin 1/v - rate takes the square root,
    root sqrt(tau) <= margin tau/2 + root^2/(2 margin), the rest bounds the integrand by tau^(1/v) exp(-margin tau/2),
    against which its value at tau = 1, exp(-1/v) at least, decides what is left out.

    >>> tau, log_weight = scale_rule(0.5, 0.0, 0.0, 256)
    >>> [round(float(np.exp(log_weight) @ tau**power), 10) for power in (1, 2)]
    [1.0, 1.5]
    """
    margin = 1.0 / variance - rate
    left_out = 1.0 / variance + _LOST + 0.5 * root**2 / margin

    def bound(t: float) -> float:
        return t / variance - 0.5 * margin * np.exp(t) + left_out

    top = -np.log(0.5 * margin * variance)  # where the bound is largest
    far = top + 1.0
    while bound(far) > 0.0:
        far += 1.0
    low, high = (
        optimize.root_scalar(bound, bracket=bracket).root
        for bracket in ((-variance * (left_out + 1.0), top), (top, far))
    )
    t = np.linspace(low, high, nodes)
    log_weight = (t - np.exp(t)) / variance
    return np.exp(t), log_weight - float(special.logsumexp(log_weight))


def log_sum(exponents: np.ndarray, weight: np.ndarray, *, axis: int) -> np.ndarray:
    """The log of the sum of exp(exponents) with weights."""
    return np.asarray(special.logsumexp(exponents, axis=axis, b=weight))


def hidden_axes(neuron: Any, x: Points) -> int:
    """Number of effective hidden parameters, refused above two."""
    if type(neuron) not in (Cos, Erf, Tanh, ReLU):
        raise ValueError(
            f"expected a neuron among Cos, Erf, Tanh and ReLU, got {type(neuron).__name__}; try inference.generating"
        )
    axes = preactivation(neuron, x).shape[1]
    if axes > 2:
        raise ValueError(f"expected at most two effective hidden parameters, got {axes}; try fewer points or axes")
    return max(axes, 1)


def coarsest(neuron: Any, x: Points) -> int:
    """The fewest nodes per axis that see the activation: s(L xi) varies over 1/sqrt(1 + 4 L^2), refused if too many.

    ReLU is integrated between its kinks, where any number will do.
    """
    if type(neuron) is ReLU:
        return _COARSE
    factor = preactivation(neuron, x)
    needed = 2.0 * _REACH / _RESOLVED * (1.0 + 4.0 * float(np.max(factor**2, initial=0.0))) ** 0.5
    nodes = _COARSE * 2 ** max(0, ceil(log2(needed / _COARSE)))
    most = MOST_NODES[max(factor.shape[1], 1)]
    if 2 * nodes > most:
        raise ValueError(
            f"expected pre-activations that {most} nodes an axis resolve, got {needed:.3g} needed and as many again to "
            "compare with; try a smaller weight_scale or points nearer the origin"
        )
    return nodes


def refined(value: Callable[[int], np.ndarray], axes: int, tolerance: float, *, start: int) -> tuple[np.ndarray, float]:
    """Double the nodes per axis until the value changes by less than the tolerance; value and last change."""
    nodes, current = start, value(start)
    while True:
        nodes, before = 2 * nodes, current
        current = value(nodes)
        change = float(np.max(np.abs(current - before)))
        if change < tolerance or 2 * nodes > MOST_NODES[axes]:
            return current, change


def neuron_rule(neuron: Any, x: Points, nodes: int) -> Rule:
    """Lattice rule over the Gaussian hidden parameters of Cos, Erf, Tanh, for functions of |k.s|."""
    factor = preactivation(neuron, x)
    line = (np.arange(nodes) + 0.5) * (2.0 * _REACH / nodes) - _REACH
    xi = np.zeros((1, 0))
    for _ in range(factor.shape[1]):
        xi = np.column_stack([np.repeat(xi, nodes, axis=0), np.tile(line, len(xi))])
    xi = xi[len(xi) // 2 :]  # |k.s| is the same at -xi
    weight = np.exp(-0.5 * np.sum(xi**2, axis=1))
    z = xi @ factor.T
    if type(neuron) is Cos:
        return weight / weight.sum(), np.exp(1j * z)
    return weight / weight.sum(), special.erf(z) if type(neuron) is Erf else np.tanh(z)


def _bounded_average(network: Network, x: Points, scaled: np.ndarray, nodes: int) -> np.ndarray:
    weight, s = neuron_rule(network.neuron, x, nodes)
    law = network.readout_law
    mean = law.phase_log_mean if type(network.neuron) is Cos else law.log_mean
    rows = max(1, _CHUNK // len(weight))
    parts = [np.abs(scaled[start : start + rows] @ s.T) for start in range(0, len(scaled), rows)]
    return np.concatenate([log_sum(mean(part), weight, axis=1) for part in parts])


def _relu_average(network: Network, x: Points, scaled: np.ndarray, nodes: int) -> np.ndarray:
    factor = preactivation(network.neuron, x)
    weight, xi = _directions(factor, nodes)
    rank = factor.shape[1]
    u = scaled @ np.maximum(xi @ factor.T, 0.0).T  # growth of J.s along each direction, (source, direction)
    return log_sum(network.readout_law.radial_log_mean(u, rank), weight, axis=1) if rank else np.zeros(len(u))


def _directions(factor: np.ndarray, nodes: int) -> Rule:
    """Directions xi on the circle between the kinks of relu(L xi), with weights that sum to one."""
    if factor.shape[1] < 2:
        return np.array([0.5, 0.5]), np.array([[1.0], [-1.0]])[:, : factor.shape[1]]
    kinks = np.arctan2(factor[:, 1], factor[:, 0]) + np.pi / 2
    edges = np.unique(np.concatenate([[0.0, 2.0 * np.pi], kinks % (2 * np.pi), (kinks + np.pi) % (2 * np.pi)]))
    y, w = special.roots_legendre(nodes)
    half = np.diff(edges)[:, None] / 2.0
    angle = (edges[:-1, None] + half * (1.0 + y)).ravel()
    return (half * w).ravel() / (2.0 * np.pi), np.stack([np.cos(angle), np.sin(angle)], axis=1)


def characteristic(network: Network, amplitude: np.ndarray) -> np.ndarray:
    """E exp(i a W) over the readout, and for Cos E exp(i a W cos c) over its phase c as well, elementwise."""
    law = network.readout_law
    return law.phase_characteristic(amplitude) if type(network.neuron) is Cos else law.characteristic(amplitude)
