"""Reflection positivity, the axiom that makes a Euclidean field quantum: <(Theta F) F> >= 0 for F at positive times.

Theta reflects time. The states F have a norm only if the matrix M_ab = <(Theta F_a) F_b> has no negative eigenvalue
(K. Osterwalder and R. Schrader, Commun. Math. Phys. 31 (1973) 83). Any set of times can show a violation, none can show
that there is none: a verdict belongs to its times. The direction in which the violation is easiest to see is that of
the pencil (M, K), K_ab = <F_a F_b>, since a network's own <(Theta F) F> has for Gaussian fields the variance (v.K v)^2
+ (v.M v)^2 in the direction v.
"""

from typing import Any

import numpy as np

from ...models.correlators import Correlators
from ...models.networks.model import AbstractModel
from ...models.quantum.timed import AbstractTimed
from ..ensembles.source import Source
from ..spectra.lagged import TimeCorrelators
from .given import Lags, Measured, TwoPoint
from .halves import split
from .known import Known
from .matrices import AbstractReflected
from .times import check_times
from .verdict import Positivity, judged

__all__ = ["as_reflected", "positivity"]


def positivity(
    data: Any,
    times: Any = None,
    *,
    order: int = 2,
    axis: int = 0,
    dimension: int = 1,
    origin: float | None = None,
    period: float = float("inf"),
    accuracy: float | None = None,
) -> Positivity:
    """Reflection positivity of correlators on a set of times: the smallest eigenvalue of <(Theta F_a) F_b>.

    Args:
        data: a network or a model known exactly, an oscillator or a chain; `Correlators` at points that hold t and -t;
            `TimeCorrelators`; a function G(t) of arrays; or networks, an `Ensemble` or `Samples` at such points, whose
            first half chooses the direction and whose second half tests it.
        times: positive ones, (time,); default a dense set, short times among them, or all that the data have.
        order: 2, 4 or 6: F are fields, products of two and the constant 1, or of three and one.
        axis: the coordinate of the points that is time.
        dimension: of the points of a model, whose other coordinates are zero.
        origin: time about which is reflected, default zero, or the middle of the points where zero has no reflections.
        period: of a box, whose times end at half of it.
        accuracy: absolute error of a function G, or of correlators without errors: of a table half of its last digit.

    Raises:
        ValueError: times that are not positive, repeated, beyond half a period, or without their points; an order that
            is not known; something that has no correlators.

    Example, a Gaussian kernel, and why a verdict belongs to its times: three coarse ones miss the cutoff that the
    default set sees.
        >>> from nnft import models as m
        >>> print(f"{positivity(m.Network(m.Cos(), width=50), [0.2, 0.5, 1.0, 1.5]).smallest:.10f}")
        -0.0721901954
        >>> cut = m.Network(m.ScalarMode(cutoff=50.0), width=50)
        >>> print(positivity(cut, [0.1, 0.4, 0.9]))
        no violation of reflection positivity, smallest eigenvalue at order 2: 4.353e-06 on these times {0.1, 0.4, 0.9}
        >>> positivity(cut).violated
        True
    """
    if isinstance(data, Source):
        return split(data, times, order=order, axis=axis, origin=origin)
    held = as_reflected(data, axis=axis, dimension=dimension, origin=origin, period=period, accuracy=accuracy)
    chosen = held.times(order) if times is None else times
    return judged(
        held.matrices(check_times(chosen, period=held.period), order), np.sort(np.ravel(chosen)), order, held.about
    )


def as_reflected(
    data: Any,
    *,
    axis: int = 0,
    dimension: int = 1,
    origin: float | None = None,
    period: float = float("inf"),
    accuracy: float | None = None,
) -> AbstractReflected:
    """What can be asked for the matrices of reflection positivity, from what has correlators.

    Raises:
        ValueError: something that has none.
    """
    if isinstance(data, AbstractReflected):
        return data
    if isinstance(data, Correlators):
        return Measured(data, axis, origin, period, accuracy)
    if isinstance(data, TimeCorrelators):
        return Lags(data, accuracy=accuracy)
    if isinstance(data, AbstractModel):
        about = 0.0 if origin is None else origin
        return Known.of_model(data, axis=axis, dimension=dimension, origin=about, period=period)
    if isinstance(data, AbstractTimed):
        return Known.of_timed(data)
    if callable(data):
        return TwoPoint(data, accuracy, period)
    raise ValueError(
        f"expected a network, a known theory, Correlators, TimeCorrelators or a function G(t), got "
        f"{type(data).__name__}; try inf.measure(data), or lambda t: np.exp(-t) / 2"
    )
