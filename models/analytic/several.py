"""W[J] = log <exp(J.phi)> of several fields that share neurons, exactly, by quadrature over one neuron of each group.

Neurons are independent, so that with u_i = sum_a J_ai s_a and the readout vector w of one neuron

    W[J] = sum over groups of n log < E_w exp(sigma sum_i w_i u_i / sqrt N) > + b^2 sum_i (sum_a J_ai)^2 / 2.

The average over w is its law's own (`AbstractWeights.log_mean`); the one over hidden parameters, the phase of a cosine
among them, is refined until it no longer changes. Laws with a mean make W[J] of a field that is not even.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..multiplets.multiplet import Multiplet
from ..neurons.hidden import Hidden, log_sum
from ..types import Points
from .convergence import check_sources

__all__ = ["generating_of_several"]

_LEFT = 37.0  # log of what is left out beyond the reach
_FARTHEST = 200.0  # standard deviations of the hidden parameters
_MOST = {1: 1 << 12, 2: 1 << 7}  # nodes per axis, by the number of axes
_CHUNK = 1 << 20  # numbers in memory at a time
_CHANGE = 1e-10  # of W[J] per neuron, at the finest rule


def generating_of_several(
    network: Multiplet, points: Points, sources: Float[np.ndarray, "source place"]
) -> tuple[Float[np.ndarray, " source"], float]:
    """W[J], (source,), and its estimated absolute error; arguments and errors as in `exact_generating`.

    Example, two outputs of one hidden layer at one point: W = N log[e^b I0(b)], b = (J1^2 + J2^2)/(4 N).
        >>> from scipy import special
        >>> from nnft.models import Copies, Cos
        >>> net = Multiplet.of(Cos(), 4, Copies(2))
        >>> value, error = generating_of_several(net, np.zeros((1, 1)), np.array([[0.9, -0.4]]))
        >>> b = (0.9**2 + 0.4**2) / 16
        >>> bool(abs(value[0] - 4 * (b + np.log(special.iv(0, b)))) < 1e-12)
        True
    """
    j = check_sources(sources, len(points) * network.outputs).reshape(-1, len(points), network.outputs)
    rows = j * (network.output_scale / np.sqrt(network.neurons))
    value, error = 0.5 * network.output_bias**2 * np.sum(np.sum(j, axis=1) ** 2, axis=1), 0.0
    for group in network.groups:
        hidden = group.kind.hidden(points)
        if hidden.axes > 2:
            raise ValueError(
                f"expected at most two effective hidden parameters, got {hidden.axes}; try fewer points or axes"
            )
        reach = _reach(hidden, group.weights, rows)
        nodes = min(max(32, hidden.coarsest(reach)), _MOST[hidden.axes] // 2)
        current, change = _average(hidden, group.weights, rows, nodes, reach), np.inf
        while change > 1e-13 and 2 * nodes <= _MOST[hidden.axes]:
            nodes, before = 2 * nodes, current
            current = _average(hidden, group.weights, rows, nodes, reach)
            change = float(np.max(np.abs(current - before)))
        if not change <= _CHANGE:
            raise ValueError(
                f"expected a quadrature that converges, got log <exp(J.h)> of a neuron changing by {change:.2g} at the "
                "finest rule; try smaller sources, or inf.generating in field space"
            )
        value, error = value + group.count * current, error + group.count * change
    return value, error


def _reach(hidden: Hidden, law: Any, rows: np.ndarray) -> float:
    """Standard deviations of the hidden parameters beyond which the average over w weighs nothing.

    Raises:
        ValueError: no such number: Z[J] is infinite, or cannot be shown to be finite.
    """
    columns = [[rows[k, :, i] for i in range(rows.shape[2])] for k in range(len(rows))]
    growth = np.array([[hidden.growth(source) for source in row] for row in columns])
    rest = np.array([[hidden.bound(source) for source in row] for row in columns])
    far = 8.6
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * rows.shape[2])).reshape(rows.shape[2], -1).T
    while not _largest(law, growth * far + rest, signs) - 0.5 * far**2 < -_LEFT:
        far *= 1.1
        if not far < _FARTHEST:
            raise ValueError(
                f"expected sources whose Z[J] is shown to be finite, got J.s of {hidden.name} that grows by "
                f"{np.max(growth):.3g} per standard deviation, or a readout whose exponential has no average; try "
                "smaller sources"
            )
    return far


def _largest(law: Any, sizes: np.ndarray, signs: np.ndarray) -> float:
    """The largest log E exp(w.u) over sources and the signs of u; nan where there is none."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return float(np.max([law.log_mean(sizes * sign) for sign in signs]))


def _average(hidden: Hidden, law: Any, rows: np.ndarray, nodes: int, reach: float) -> np.ndarray:
    """The log of <E exp(w.u)> of one neuron by a rule of that many nodes an axis, (source,)."""
    weight, s = hidden.signed_rule(nodes, reach)
    out = np.empty(len(rows))
    step = max(1, _CHUNK // rows.shape[2])
    for k, row in enumerate(rows):
        parts = [
            log_sum(law.log_mean(s[first : first + step] @ row), weight[first : first + step], axis=0)
            for first in range(0, len(s), step)
        ]
        out[k] = log_sum(np.array(parts), np.ones(len(parts)), axis=0)
    return out
