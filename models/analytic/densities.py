"""P[phi] of a network at one or two points exactly: the Fourier transform of the N-th power of one neuron's average.

    P[phi] = int d^M k/(2 pi)^M exp(-i k.phi) < E_W exp(i sigma W u / sqrt N) >^N exp(-b^2 (sum k)^2 / 2),  u = k.s,

(arXiv:2307.03223, sec. 2, N independent neurons). The one-neuron average is the quadrature of `generating.py` at an
imaginary source; the trapezoidal sum over k is exact but for the periodic images of P and for what lies beyond its
last k, and both are bounded.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..correlators import check_points
from ..networks.independent import Independent
from ..networks.model import AbstractModel
from ..neurons.hidden import MOST_NODES, Hidden
from ..types import Points
from .convergence import check_independent
from .generating import check_axes, refined

__all__ = ["exact_density"]

_SHELL = 0.7  # a characteristic function at |k| is its largest value from 0.7 |k| on: it may oscillate
_DIRECTIONS = 24  # of k, looked at before the whole plane is summed
_FARTHEST = 2e4  # standard units of k
_MOST_WORK = 5e8  # hidden parameters times wave vectors of one density: some ten seconds
_CHUNK = 1 << 21  # numbers in memory at a time


class _Edge(NamedTuple):
    """Where the sum over k stops: |k|, hidden nodes per axis, the characteristic function there, and the error."""

    size: float
    nodes: int
    rim: float
    error: float


def exact_density(
    network: AbstractModel, points: Points, fields: Float[np.ndarray, "field point"], *, accuracy: float = 1e-8
) -> tuple[Float[np.ndarray, " field"], float]:
    """P[phi] of a network at one or two points by Fourier inversion, (field,), and its estimated absolute error.

    Fields are whitened with the exact G2. The step in k puts the periodic images beyond the Chernoff bound of the
    field's tail; k is cut where the characteristic function, continued by its own power law, leaves less than
    `accuracy` of the peak of the Gaussian. It falls only like |k|^-N for a few Gaussian or Laplace cosines, |k|^(-N/2)
    for +-1 ones: widths near the number of points are refused.

    Args:
        network: a `Network` of bounded neurons of one kind, as Cos, Erf and Tanh; any readout that brings its
            `characteristic`.
        points: one or two, (point, axis).
        fields: (field, point).
        accuracy: error allowed, as a share of the peak of the Gaussian of the same G2.

    Raises:
        ValueError: a neuron that is not bounded, more points, a two-point function that cannot be inverted, a
            characteristic function that does not fall fast enough (the number is in the message).

    Example:
        >>> from nnft.models import Cos, Network
        >>> value, error = exact_density(Network(Cos(), width=1000), np.zeros((1, 1)), np.zeros((1, 1)))
        >>> float(np.round(value[0] * np.sqrt(np.pi), 4))  # Gaussian of variance 1/2, raised by (1.5/1000) 3/24
        1.0002
    """
    x, phi = check_points(points), np.asarray(fields, dtype=float)
    neurons = check_independent(network)
    hidden, *others = (kind.hidden(x) for kind in neurons.kinds)
    if others:
        raise ValueError(f"expected one kind of neuron, got {len(neurons.kinds)}; try Edgeworth")
    if not hidden.bounded:
        raise ValueError(
            f"expected a neuron that is bounded, got {hidden.name}: fields of others have heavy tails, and those of "
            "ReLU an atom at zero; try Edgeworth"
        )
    if len(x) > 2 or phi.ndim != 2 or phi.shape[1] != len(x):
        raise ValueError(f"expected one or two points and fields (field, point), got {len(x)} and {phi.shape}")
    kernel, _ = refined(lambda n: _two_point(neurons, hidden, n), check_axes(hidden), 1e-14, start=hidden.coarsest())
    condition = float(np.linalg.cond(kernel))
    if not condition < 1e8:
        raise ValueError(
            f"expected a two-point function that can be inverted (condition below 1e8), got {condition:.2e}; try one "
            "point or points further apart"
        )
    factor = np.linalg.cholesky(kernel)
    y = np.linalg.solve(factor, phi.T).T
    allowed = accuracy * (2.0 * np.pi) ** (-len(x) / 2)
    step = 2.0 * np.pi / (float(np.max(np.abs(y), initial=0.0)) + _tail(neurons, hidden, factor, accuracy / 100))
    edge = _edge(neurons, hidden, factor, step, allowed)
    count = int(np.ceil(edge.size / step))
    # Symmetric under k -> -k, so the first axis is half, its zero counted once.
    k = [step * np.arange(count + 1), step * np.arange(-count, count + 1)][: len(x)]
    waves = np.stack(np.meshgrid(*k, indexing="ij"), axis=-1).reshape(-1, len(x))
    wave = _characteristic(neurons, hidden, edge.nodes, factor, waves)
    rim = np.max(np.abs(wave[np.linalg.norm(waves, axis=1) > _SHELL * edge.size]), initial=0.0)
    error = edge.error * max(1.0, rim / edge.rim)  # larger in a direction between those that were looked at
    if error > 2.0 * allowed:
        raise _slow(len(x), edge.size, error, allowed)
    wave = wave.reshape([len(axis) for axis in k])
    wave[1:] *= 2.0
    rows = max(1, _CHUNK // len(k[-1]))
    total = [_inverted(wave, k, y[start : start + rows]) for start in range(0, len(y), rows)]
    volume = float(np.prod(np.diag(factor)))
    return np.concatenate(total) * (step / (2.0 * np.pi)) ** len(x) / volume, error / volume


def _inverted(wave: np.ndarray, k: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    """The sum over k of wave cos(k.y), (field,)."""
    first = np.outer(y[:, 0], k[0])
    if len(k) == 1:
        return np.cos(first) @ wave
    second = np.outer(y[:, 1], k[1])
    return np.sum((np.cos(first) @ wave) * np.cos(second) - (np.sin(first) @ wave) * np.sin(second), axis=1)


def _two_point(neurons: Independent, hidden: Hidden, nodes: int) -> np.ndarray:
    """G2 = sigma^2 <s s> + b^2."""
    return neurons.output_scale**2 * hidden.two_point(nodes) + neurons.output_bias**2


def _characteristic(
    neurons: Independent, hidden: Hidden, nodes: int, factor: np.ndarray, waves: np.ndarray
) -> np.ndarray:
    """<exp(i k.y)> of the whitened field y = L^-1 phi, (wave,)."""
    weight, s = hidden.lattice(nodes)
    scaled = np.linalg.solve(factor, s.T) * (neurons.output_scale / np.sqrt(neurons.width))
    bias = waves @ np.linalg.solve(factor, np.full(len(factor), neurons.output_bias))
    rows = max(1, _CHUNK // len(weight))
    one = [
        hidden.characteristic(neurons.law, np.abs(waves[start : start + rows] @ scaled)) @ weight
        for start in range(0, len(waves), rows)
    ]
    return np.concatenate(one) ** neurons.width * np.exp(-0.5 * bias**2)


def _tail(neurons: Independent, hidden: Hidden, factor: np.ndarray, lost: float) -> float:
    """Beyond this |y_a| lies less than `lost`: min over J of (N log E exp(J sigma W/sqrt N) - log lost)/J."""
    inverse, law = np.linalg.inv(factor), neurons.law
    largest = hidden.height * float(np.max(np.sum(np.abs(inverse), axis=1)))  # |y_a| <= sum_b |L^-1_ab| |s_b|
    bias = float(np.max(np.abs(np.sum(inverse, axis=1)))) * neurons.output_bias
    amplitude = np.geomspace(1e-3, min(1.4, 0.99 * law.tail().radius), 200)  # J sigma/sqrt N, where E exp(tW) is finite
    j = amplitude * np.sqrt(neurons.width) / (neurons.output_scale * largest)
    bound = -np.log(lost) + neurons.width * law.log_mean(amplitude) + 0.5 * (bias * j) ** 2
    return float(np.min(bound / j))


def _rays(points: int, radii: np.ndarray) -> np.ndarray:
    angle = np.arange(1 if points == 1 else _DIRECTIONS) * (np.pi / _DIRECTIONS)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, :points]
    return (radii[:, None, None] * direction).reshape(-1, points)


def _edge(neurons: Independent, hidden: Hidden, factor: np.ndarray, step: float, allowed: float) -> _Edge:
    """The |k| beyond which the characteristic function, continued by its own power law, leaves less than `allowed`."""
    points, size, nodes, left, power = len(factor), 6.0, hidden.coarsest(), np.inf, 0.0
    sphere = 2.0 if points == 1 else 2.0 * np.pi
    radii = np.linspace(_SHELL, 1.0, 9)
    while points * (size / step + 1.0) ** points * nodes**hidden.axes < _MOST_WORK and size < _FARTHEST:
        nodes, noise = _enough_nodes(neurons, hidden, factor, size, nodes, 0.1 * allowed)
        outer, inner = (
            np.max(np.abs(_characteristic(neurons, hidden, nodes, factor, _rays(points, share * size * radii))))
            for share in (1.0, 0.5)
        )
        power = np.log2(inner / outer) if outer > 0.0 else np.inf
        if power > points + 0.25:
            left = float(outer * sphere * size**points / ((power - points) * (2.0 * np.pi) ** points))
            if left < allowed:
                return _Edge(size, nodes, max(float(outer), np.finfo(float).tiny), left + noise)
        size *= 1.25
    raise _slow(points, size, left, allowed, power)


def _slow(points: int, edge: float, left: float, allowed: float, power: float = np.nan) -> ValueError:
    falls = "" if np.isnan(power) else f", where it falls like |k|^-{power:.2f}"
    return ValueError(
        f"expected a characteristic function that leaves less than {allowed:.1g} of the density at {points} points "
        f"beyond what can be summed, got {left:.2g} beyond |k| = {edge:.3g} standard units{falls}; try a larger "
        "width or a larger accuracy="
    )


def _enough_nodes(
    neurons: Independent, hidden: Hidden, factor: np.ndarray, edge: float, nodes: int, allowed: float
) -> tuple[int, float]:
    """Nodes per axis at which the characteristic function up to `edge` is known, and what its error may do."""
    waves = _rays(len(factor), edge * np.array([0.1, 0.25, 0.5, 0.75, 1.0]))
    volume = (edge / np.pi) ** len(factor)  # if the error were as large everywhere
    change = np.inf
    before = _characteristic(neurons, hidden, nodes // 2, factor, waves)
    while nodes <= MOST_NODES[hidden.axes]:
        current = _characteristic(neurons, hidden, nodes, factor, waves)
        change = float(np.max(np.abs(current - before))) * volume
        if change < max(allowed, 1e-14 * volume):
            return nodes, change
        before, nodes = current, 2 * nodes
    raise ValueError(
        f"expected a quadrature over the hidden parameters that converges, got a change of {change:.2g} at "
        f"{nodes // 2} nodes an axis for |k| up to {edge:.3g}; try a larger width or a larger accuracy="
    )
