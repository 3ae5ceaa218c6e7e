r"""How the local quartic coupling of a network runs: with the cutoff of its vertices, and along a path of networks.

To first order S_int = lambda int_{|y| <= Lambda} d^dy phi(y)^4 makes, with the kernel K without output bias,

    G4c(x1..x4) = -24 lambda T(Lambda),   T = int_{|y| <= Lambda} d^dy prod_i K(x_i, y).

G4c is that of the network and knows of no cutoff, so lambda must run: d/dLambda [lambda T] = 0, the cutoff equation
(arXiv:2008.08601, sec. 4.3). K ~ |y| makes lambda ~ Lambda^-(d+4) for ReLU without bias, a bounded K Lambda^-d (Erf),
one that falls off nothing at all (Gauss). Along a path of networks, of growing weight scale say, u4 = 24 lambda flows
actively (arXiv:2108.01403): for Gauss d ln|u4|/d ln sW = d - 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy import special

from ...inference.ensembles.ensemble import Ensemble
from ...inference.estimators.measure import measure
from ...inference.methods.vertex_fit import neuron_kernel
from ...models.analytic.exact import exact
from ...models.combinatorics import sorted_tuples
from ...models.correlators import Correlators, check_points
from ...models.networks.network import Network
from ...models.types import Points, Vector

__all__ = ["Running", "active_flow", "contact", "cutoff_flow"]

_CONVERGED, _ENOUGH = 1e-7, 1e-4  # change of T when every direction gets twice the nodes
_LEAST_SHELL = 0.05  # the innermost panel, where kernels are smooth


@dataclass(frozen=True, eq=False)
class Running:
    """lambda against a scale, both (step,), with errors that are carried together.

    Attributes:
        name: of the scale.
        scale: Lambda, or what the networks were made with.
        coupling: lambda; u4 is 24 times as large.
        rows: error rows, (row, step); none where correlators are exact.
    """

    name: str
    scale: Vector
    coupling: Vector
    rows: Float[np.ndarray, "row step"] = field(repr=False)

    @property
    def error(self) -> Vector:
        """Standard errors, (step,)."""
        return np.linalg.norm(self.rows, axis=0)

    @property
    def slopes(self) -> tuple[Vector, Vector]:
        """D ln|lambda| / d ln(scale) between neighbouring steps and the standard errors, (step - 1,) each."""
        run = np.diff(np.log(self.scale))
        slopes = np.diff(np.log(np.abs(self.coupling))) / run
        return slopes, np.linalg.norm(np.diff(self._relative, axis=1) / run, axis=0)

    @property
    def slope(self) -> tuple[float, float]:
        """The one power of all steps, by least squares of the logarithms, and its standard error."""
        run = np.log(self.scale) - np.mean(np.log(self.scale))
        share = run / (run @ run)
        return float(share @ np.log(np.abs(self.coupling))), float(np.linalg.norm(self._relative @ share))

    @property
    def _relative(self) -> np.ndarray:
        return self.rows / self.coupling


def cutoff_flow(network: Network, data: Correlators, cutoffs: Sequence[float] | Vector) -> Running:
    """lambda(Lambda) that keeps the network's own four-point function, sorted quads alike, with the errors of the data.

    Args:
        network: whose kernel T takes.
        data: its G4c, exact or measured, at points in up to three dimensions.
        cutoffs: two or more, positive.

    Raises:
        ValueError: order 4 refused, points of more than three coordinates, cutoffs that are none, a kernel without a
            closed form, a G4c that is zero.

    Example, ReLU without bias on the line, lambda = -12.5/(N Lambda^5):
        >>> from nnft import models as m
        >>> net, x = m.Network(m.ReLU(bias_scale=0.0), 10), np.array([[0.2], [1.0]])
        >>> found = cutoff_flow(net, m.exact(net, x), [1.0, 2.0, 8.0])
        >>> found.coupling.round(9).tolist()[:2], found.slopes[0].round(9).tolist()
        ([-1.25, -0.0390625], [-5.0, -5.0])
    """
    value = data.connected(4)
    if not np.any(value):
        raise ValueError("expected a connected four-point function, got zero; try a network of finite width")
    integral = contact(network, np.asarray(data.points), cutoffs)
    share = -integral / (24.0 * np.sum(integral**2, axis=1, keepdims=True))
    rows = data.rows.get("connected", {}).get(4, np.zeros((0, len(value))))
    return Running("cutoff", np.asarray(cutoffs, dtype=float), share @ value, rows @ share.T)


def active_flow(
    make: Callable[[float], Network],
    scales: Sequence[float] | Vector,
    points: Points,
    *,
    cutoff: float,
    n: int | None = None,
    key: jax.Array | None = None,
    name: str = "weight scale",
) -> Running:
    """Lambda along a path of networks, T to a cutoff that holds their kernels, exact or with the errors of ensembles.

    Args:
        make: the network at a scale.
        scales: two or more, positive.
        points: of G4c, (point, axis).
        cutoff: Lambda, the same for all.
        n: networks of an ensemble at each scale, measured neuron by neuron; None takes exact correlators.
        key: of the ensembles.
        name: of the scale.

    Raises:
        ValueError: as `cutoff_flow`; ensembles without a key.

    Example, Gauss in one dimension, u4 ~ sW^(d-4):
        >>> from nnft import models as m
        >>> path = active_flow(lambda s: m.Network.tied(m.Gauss, 100, weight_scale=s), [0.5, 1.0, 2.0],
        ...     np.zeros((1, 1)), cutoff=40.0)
        >>> round(2400 * float(path.coupling[1]), 3), round(path.slope[0], 9)
        (-128.295, -3.0)
    """
    at = _positive(scales, "scales")
    if n is not None and key is None:
        raise ValueError("expected key= where networks are drawn, got none; try key=jax.random.key(0)")
    found = []
    for k, scale in enumerate(at):
        network = make(float(scale))
        if n is None or key is None:
            data = exact(network, points, orders=(2, 4))
        else:
            ensemble = Ensemble(network, points=points, n=n, key=jax.random.fold_in(key, k))
            data = measure(ensemble, orders=(2, 4), space="neuron")
        found.append(cutoff_flow(network, data, [cutoff / 2.0, cutoff]))
    values, rows = np.array([one.coupling[1] for one in found]), [one.rows[:, 1] for one in found]
    every = np.zeros((sum(map(len, rows)), len(at)))  # ensembles are independent: each has rows of its own
    for k, first in enumerate(np.cumsum([0, *map(len, rows[:-1])])):
        every[first : first + len(rows[k]), k] = rows[k]
    return Running(name, at, values, every)


def contact(network: Network, points: Points, cutoffs: Sequence[float] | Vector) -> Float[np.ndarray, "cutoff quad"]:
    """T of each cutoff on the sorted quads: Gauss-Legendre shells, times all directions.

    Raises:
        ValueError: as `cutoff_flow`; integrals that do not converge.

    Example, ReLU at one point in two dimensions, T ~ Lambda^6:
        >>> from nnft import models as m
        >>> found = contact(m.Network(m.ReLU(bias_scale=0.0), 1), np.array([[1.0, 0.0]]), [1.0, 2.0])[:, 0]
        >>> round(float(found[1] / found[0]), 9)
        64.0
    """
    x, at = check_points(points), _positive(cutoffs, "cutoffs")
    if not 1 <= x.shape[1] <= 3:
        raise ValueError(f"expected points in one to three dimensions, got {x.shape[1]}; try fewer coordinates")
    edges = np.unique(np.concatenate([[0.0], at, at.max() * 2.0 ** -np.arange(max(1, _shells(at)))]))
    quads, before = sorted_tuples(len(x), 4), np.zeros(1)
    change = np.inf
    for count in (8, 16, 32, 64):
        shell, weights = special.roots_legendre(count)
        half, middle = np.diff(edges) / 2.0, (edges[1:] + edges[:-1]) / 2.0
        radius = middle[:, None] + half[:, None] * shell
        directions, share = _directions(x.shape[1], count)
        integral = np.zeros((len(half), len(quads)))
        for k, (r, h) in enumerate(zip(radius, half, strict=True)):
            nodes = (r[:, None, None] * directions).reshape(-1, x.shape[1])
            each = (h * weights * r ** (x.shape[1] - 1))[:, None] * share
            integral[k] = np.prod(neuron_kernel(network, x, nodes)[quads], axis=1) @ each.ravel()
        total = np.cumsum(integral, axis=0)[np.searchsorted(edges, at) - 1]
        change = float(np.max(np.abs(total - before) / np.max(np.abs(total), axis=1, keepdims=True)))
        if change < _CONVERGED:
            break
        before = total
    if not change < _ENOUGH:
        raise ValueError(f"expected vertex integrals that converge, got a change of {change:.1g}; try smaller cutoffs")
    return total


def _shells(cutoffs: Vector) -> int:
    return int(np.ceil(np.log2(cutoffs.max() / _LEAST_SHELL))) + 1


def _directions(dimension: int, count: int) -> tuple[np.ndarray, Vector]:
    """Unit vectors and their solid angles, (direction, axis) and (direction,)."""
    if dimension == 1:
        return np.array([[1.0], [-1.0]]), np.ones(2)
    turn = 2.0 * np.pi * (np.arange(4 * count) + 0.5) / (4 * count)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if dimension == 2:
        return circle, np.full(len(turn), 2.0 * np.pi / len(turn))
    height, weight = special.roots_legendre(2 * count)
    flat = np.sqrt(1.0 - height**2)[:, None, None] * circle
    up = np.repeat(height[:, None, None], len(turn), axis=1)
    return np.concatenate([flat, up], axis=2).reshape(-1, 3), np.repeat(weight, len(turn)) * 2.0 * np.pi / len(turn)


def _positive(scales: Any, what: str) -> Vector:
    found = np.asarray(scales, dtype=float)
    if found.ndim != 1 or len(found) < 2 or not np.all(np.isfinite(found)) or not np.all(found > 0.0):
        raise ValueError(f"expected two or more {what} > 0, got {scales!r}; try [1.0, 2.0, 4.0]")
    return found
