"""W[J] = log <exp(J.phi)> of a network exactly, by quadrature over the parameters of one neuron.

Neurons are independent, so that with u = J.s of one neuron and W its readout weight (arXiv:2307.03223, sec. 2)

    W[J] = N log < E_W exp(sigma W u / sqrt N) > + b^2 (sum J)^2 / 2.

The averages over the readout, and over the phase of a cosine (u = A cos(c + ..), A = |sum_a J_a exp(i w.x_a)|), are
closed; the one over the remaining hidden parameters is at most two-dimensional here and done by lattice rules, which
converge geometrically for analytic activations; ReLU by polar coordinates, the radius in closed form (`hidden.py`).
Every rule is refined until it no longer changes. Of several kinds of neurons, in equal shares, the logs are averaged.

Neurons that share a scale or a length are independent given it: Z[J] = E_tau,l < E_W exp(sqrt(tau) sigma W u / sqrt N)
>^N times the bias, by the trapezoidal sum over log tau, which converges geometrically too, and by Gauss-Hermite over
log l. At N = infinity a Gamma scale of variance v gives Z = (1 - v J.K.J/2)^(-1/v).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..arrays import in_places
from ..correlators import check_points
from ..networks.independent import Independent
from ..networks.model import AbstractModel, as_model
from ..neurons.hidden import MOST_NODES, Hidden, log_sum
from ..types import Points
from .convergence import check_network, check_sources, finite_source
from .several import generating_of_several

__all__ = ["check_axes", "exact_generating", "refined"]

_SCALE_NODES = 1 << 11  # at most, over the shared scale
_LENGTH_NODES = 48  # over the shared length; two thirds of them give the error


def exact_generating(
    network: AbstractModel, points: Points, sources: Float[np.ndarray, "source *place"]
) -> tuple[Float[np.ndarray, " source"], float]:
    """W[J] = log <exp(J.phi)> by quadrature, (source,), and its estimated absolute error.

    Args:
        network: a `Network` of neurons that bring `hidden`, whose hidden parameters enter through at most two numbers,
            the phase of Cos not counted: any points in d = 1, or one or two points in any d (Cos: three). Its neurons
            may share a scale or a length. Or a `Multiplet` of such neurons.
        points: (point, axis).
        sources: J, (source, point), of several fields (source, point, output).

    Raises:
        ValueError: an infinite Z (`finite_source`, with its number), more than two effective hidden parameters, a
            quadrature that does not converge.

    Example: N = 1, Gaussian readout, one point, cos: <exp(J^2 cos^2 / 2)> = exp(J^2/4) I0(J^2/4).

        >>> from scipy import special
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
    if (several := as_model(network).as_groups) is not None:
        return generating_of_several(several, x, in_places(sources, x, several.outputs))
    j = check_sources(sources, len(x))
    for row in j:
        verdict = finite_source(network, x, row)
        if not verdict.finite:
            raise ValueError(
                f"expected sources with a finite Z[J], got J = {np.round(row, 6).tolist()}: {verdict.why}; "
                "try smaller sources"
            )
    neurons = check_network(network)
    seen = np.any(j != 0.0, axis=0)
    if not np.any(seen):
        return np.zeros(len(j)), 0.0
    x, j = x[seen], j[:, seen]
    if neurons.shared_length is None:
        value, error = _given_length(neurons, x, j)
    else:
        value, error = _over_lengths(neurons, x, j, _LENGTH_NODES)
        fewer, _ = _over_lengths(neurons, x, j, 2 * _LENGTH_NODES // 3)
        error += float(np.max(np.abs(value - fewer)))
    if not error <= 1e-8 * neurons.width:
        raise ValueError(
            f"expected a quadrature that converges, got W[J] changing by {error:.2g} at the finest rule; try sources "
            "further from where Z becomes infinite"
        )
    return value + 0.5 * neurons.output_bias**2 * np.sum(j, axis=1) ** 2, error


def check_axes(hidden: Hidden) -> int:
    """Number of effective hidden parameters, refused above two."""
    if hidden.axes > 2:
        raise ValueError(
            f"expected at most two effective hidden parameters, got {hidden.axes}; try fewer points or axes"
        )
    return hidden.axes


def refined(value: Callable[[int], np.ndarray], axes: int, tolerance: float, *, start: int) -> tuple[np.ndarray, float]:
    """Double the nodes per axis until the value changes by less than the tolerance; value and last change."""
    nodes, current = start, value(start)
    while True:
        nodes, before = 2 * nodes, current
        current = value(nodes)
        change = float(np.max(np.abs(current - before)))
        if change < tolerance or 2 * nodes > MOST_NODES[axes]:
            return current, change


def _over_lengths(neurons: Independent, x: Points, j: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The log of E_l exp(W[J] given l), without the output bias, and the error carried over from the W given l."""
    assert neurons.shared_length is not None
    lengths, weight = neurons.shared_length.nodes(count)
    given = [_given_length(neurons, x / length, j) for length in lengths]
    values, errors = np.stack([value for value, _ in given]), np.array([error for _, error in given])
    total = log_sum(values, weight[:, None], axis=0)
    return total, float(np.max(errors @ (weight[:, None] * np.exp(values - total))))


def _given_length(neurons: Independent, x: Points, j: np.ndarray) -> tuple[np.ndarray, float]:
    """W[J] without the output bias, and its error: N log <...> of one neuron, averaged over a shared scale."""
    kinds, law = [kind.hidden(x) for kind in neurons.kinds], neurons.law
    axes = max(map(check_axes, kinds))
    scaled = j * (neurons.output_scale / np.sqrt(neurons.width))
    scale = neurons.shared_scale

    def given(rows: np.ndarray, reaches: list[float], nodes: int) -> np.ndarray:
        """The sum over neurons of the log of their averages, (row,)."""
        parts = [h.log_average(law, rows, nodes, reach) for h, reach in zip(kinds, reaches, strict=True)]
        return neurons.width * np.mean(parts, axis=0)

    if scale is None or not scale.tail().root:  # where no exponential has an average J.s vanishes identically
        reaches = [h.reach(law, scaled) for h in kinds]
        start = max(h.coarsest(reach) for h, reach in zip(kinds, reaches, strict=True))
        return refined(lambda nodes: given(scaled, reaches, nodes), axes, 1e-12 * neurons.width, start=start)
    rate, root = _rate_in_scale(neurons, kinds, j)
    largest = np.max(scale.rule(rate, root, 2)[0])
    reaches = [h.reach(law, np.sqrt(largest) * scaled) for h in kinds]
    start = max(h.coarsest(reach) for h, reach in zip(kinds, reaches, strict=True))

    def mixed(nodes: int, hidden: int) -> np.ndarray:
        tau, log_weight = scale.rule(rate, root, nodes)
        rows = (np.sqrt(tau)[:, None, None] * scaled).reshape(-1, len(x))
        exponents = given(rows, reaches, hidden).reshape(len(tau), -1) + log_weight[:, None]
        return log_sum(exponents, np.ones((len(tau), 1)), axis=0)

    nodes, before, change = 32, mixed(32, start), np.inf
    while change > 1e-12 * neurons.width and 2 * nodes <= _SCALE_NODES:  # a coarse hidden rule decides its nodes
        nodes *= 2
        current = mixed(nodes, start)
        change, before = float(np.max(np.abs(current - before))), current
    value, error = refined(lambda hidden: mixed(nodes, hidden), axes, 1e-12 * neurons.width, start=start)
    return value, error + change


def _rate_in_scale(neurons: Independent, kinds: list[Hidden], j: np.ndarray) -> tuple[float, float]:
    """(r, q) of the bound W[J] <= r tau + q sqrt(tau) given the scale, over all sources; r < 1/v where Z is finite.

    Given z = r tau / N: E exp(b |xi|) <= (1 + sqrt(pi z)) e^z for at most two hidden parameters.
    """
    tail = neurons.law.tail()
    growth = neurons.output_scale * max(h.growth(row) for h in kinds for row in j)
    size = neurons.output_scale * max(h.bound(row) for h in kinds for row in j)
    if tail.edge < np.inf:
        rate = 0.5 * (tail.edge * growth) ** 2
        return rate, np.sqrt(np.pi * neurons.width * rate) + np.sqrt(neurons.width) * tail.edge * size
    if tail.curvature > 0.0:
        return 0.5 * tail.curvature * (growth + size) ** 2, 0.0
    raise ValueError(
        f"expected a readout that is bounded or falls like a Gaussian beside a shared scale, got {neurons.readout!r}; "
        "try inference.generating"
    )
