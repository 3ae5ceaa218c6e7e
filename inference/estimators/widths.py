"""Several widths separate what vanishes from what survives: G4c(N) = surviving + (1/N) finite-width part.

One width cannot tell the strength of a correlation between neurons from a 1/N effect. Networks of independent neurons
given what they share have G_c^(r) a polynomial in 1/N of degree r/2 - 1 (`models/networks/latents.py`), linear for G4c,
so a weighted least squares over widths returns the parts with errors, and one more width tests the form: the next
power.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...models.correlators import Correlators, fewest_scrambles
from ...models.distance import Chi2
from ..engines.memory import expect_memory

__all__ = ["WidthSplit", "split_widths"]

_COPIES = 3  # of the rows of all widths: themselves, and those of either part


class WidthSplit(NamedTuple):
    """surviving + finite/N (+ a 1/N^2 part at order 6), as `Correlators`, and a test that the next power is zero.

    `beyond` is that test, None where it would need one more width.
    """

    surviving: Correlators
    finite: Correlators
    beyond: Chi2 | None

    def __str__(self) -> str:
        lines = []
        for name, part in (("survives N = infinity", self.surviving), ("times 1/N", self.finite)):
            for order in part.orders:
                value, error = part.connected(order), part.error(order)
                k = int(np.argmax(np.abs(value) / np.maximum(error, 1e-300)))
                label = ",".join(map(str, part.tuples(order)[k]))
                lines.append(f"G{order}c({label}) {name}: {value[k]:+.5g} +- {error[k]:.2g}   {part.chi2(order)}")
        lines.append(f"a term beyond: {self.beyond if self.beyond else 'needs one more width'}")
        return "\n".join(lines)


def split_widths(measured: Mapping[int, Correlators], *, order: int = 4) -> WidthSplit:
    """Weighted least squares of G_c^(order) over widths, component by component, errors with full covariance.

    G_c^(4)(N) = surviving + N^-1 finite, and with a term N^-2 more for r = 6. Weights are the inverse variances at each
    width; the estimate is linear in the measurements, so the covariance between components is carried exactly.

    Args:
        measured: width N -> correlators at the same points, independent of each other (different keys).
        order: r, 4 by default, or 6.

    Raises:
        ValueError: another order, fewer than two widths (three for order 6), different points, an order without errors.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> def at(width):
        ...     net = m.Network(m.Cos(), width, shared_scale=m.GammaScale(0.2))
        ...     ens = inf.Ensemble(net, points=np.zeros((1, 1)), n=20_000, key=jax.random.key(width))
        ...     return inf.measure(ens, space="readout", orders=(2, 4))
        >>> split = split_widths({width: at(width) for width in (5, 50)})
        >>> bool(abs(split.surviving.connected(4)[0] - 3 * 0.2 / 4) < 5 * split.surviving.error(4)[0])
        True
    """
    widths = sorted(measured)
    if order not in (4, 6):
        raise ValueError(f"expected order 4 or 6, got {order}; G2 does not depend on the width")
    terms = order // 2
    if len(widths) < terms:
        raise ValueError(
            f"expected at least {terms} widths to tell powers of 1/N from what survives, got {widths}; try 5, 20, 200"
        )
    data = [measured[width] for width in widths]
    points = data[0].points
    if any(not np.array_equal(d.points, points) for d in data):
        raise ValueError("expected the same points at every width, got different ones; try measuring on one array")
    value = np.stack([d.connected(order) for d in data])
    error = np.stack([d.error(order) for d in data])
    if not np.all(error > 0):
        width = widths[int(np.argmin(error.min(axis=1)))]
        raise ValueError(
            f"expected measured correlators with errors at every width, got none at width {width}; try inf.measure"
        )
    rows = [d.rows["connected"][order] for d in data]
    size = _COPIES * 8.0 * sum(map(np.size, rows))
    expect_memory(size, f"{value.shape[1]} components at {len(widths)} widths", "fewer points")
    powers = np.vander(1.0 / np.array(widths, dtype=float), terms + 1, increasing=True)
    surviving, finite = _least_squares(powers[:, :terms], error)[:2]
    parts = [_combined(data, weights, value, rows, order) for weights in (surviving, finite)]
    more = len(widths) > terms
    beyond = _combined(data, _least_squares(powers, error)[terms], value, rows, order).chi2(order) if more else None
    return WidthSplit(parts[0], parts[1], beyond)


def _least_squares(design: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Weights of the least-squares coefficients on the measurements, (coefficient, width, component)."""
    weights = np.linalg.pinv(design / error.T[:, :, None]) / error.T[:, None, :]  # component by component
    return np.moveaxis(weights, 0, -1)


def _combined(
    data: list[Correlators], weights: np.ndarray, value: np.ndarray, rows: list[np.ndarray], order: int
) -> Correlators:
    """sum_k weight_k G_k with the stacked rows of its covariance."""
    stacked = np.concatenate([w * r for w, r in zip(weights, rows, strict=True)])
    return Correlators(
        points=data[0].points,
        moments={},
        cumulants={order: np.sum(weights * value, axis=0)},
        rows={"connected": {order: stacked}},
        networks=min(d.networks for d in data),
        dof=min(d.dof for d in data),
        maker="difference",
        even=all(d.even for d in data),
        groups=all(d.groups for d in data),
        scrambles=fewest_scrambles(*data),
        outputs=data[0].outputs,
    )
