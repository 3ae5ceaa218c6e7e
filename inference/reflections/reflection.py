"""Reflection positivity, the axiom that makes a Euclidean field quantum: <(Theta F) F> >= 0 for F at positive times.

Theta reflects time. The states F have a norm only if the matrix M_ab = <(Theta F_a) F_b> has no negative eigenvalue
(K. Osterwalder and R. Schrader, Commun. Math. Phys. 31 (1973) 83). Any set of times can show a violation, none can show
that there is none: a verdict belongs to its times. The direction in which the violation is easiest to see is that of
the pencil (M, K), K_ab = <F_a F_b>, since a network's own <(Theta F) F> has for Gaussian fields the variance (v.K v)^2
+ (v.M v)^2 in the direction v.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from ...models.correlators import Correlators
from ...models.networks.model import AbstractModel
from ...models.quantum.timed import AbstractTimed
from ...models.types import Matrix, Vector
from ..spectra.lagged import TimeCorrelators
from .given import Lags, Measured, TwoPoint
from .known import Known
from .matrices import AbstractReflected, Reflections
from .times import check_times, shown

__all__ = ["SIGMAS", "Positivity", "as_reflected", "positivity", "worst_direction"]

SIGMAS = 3.0  # a one-sided false alarm once in 740
_RESOLVED = 1e-10  # eigenvalues of K below this share of the largest are round-off


@dataclass(frozen=True, eq=False)
class Positivity:
    """What a set of times says of reflection positivity.

    Attributes:
        order: of the correlators, twice the number of fields in a functional.
        times: the times, (time,).
        smallest: smallest eigenvalue of M.
        rounding: what it may be off by, of exact correlators.
        direction: in which M is most negative, measured by K, of length one, (functional,).
        size: v.M v in that direction.
        share: v.M v / v.K v, at least -1: how much of the state's size is negative.
        error: standard error of `size`; zero of exact correlators.
        sigmas: how many errors `size` is below zero, the choice of the direction paid for; inf where it is exact.
        reflected: M, (functional, functional).
        plain: K, (functional, functional).
    """

    order: int
    times: Vector
    smallest: float
    rounding: float
    direction: Vector = field(repr=False)
    size: float
    share: float
    error: float
    sigmas: float
    reflected: Matrix = field(repr=False)
    plain: Matrix = field(repr=False)

    @property
    def violated(self) -> bool:
        """Whether these times show a violation: below rounding, and by more than three errors."""
        return self.smallest < -self.rounding and self.sigmas > SIGMAS

    @property
    def holds(self) -> bool:
        """Whether these times show none; it says nothing of others."""
        return not self.violated

    def networks(self, sigmas: float = 5.0) -> float:
        """Gaussian networks at which the violation is seen at so many errors, s^2 (1 + share^2)/share^2; inf of none.

        Raises:
            ValueError: an order above 2, at which a network's variance is not that of a Gaussian field.
        """
        if self.order != 2:
            raise ValueError(f"expected order 2, of which the variance is known, got order {self.order}; try order=2")
        seen = self.violated and self.share < 0.0
        return sigmas**2 * (1.0 + self.share**2) / self.share**2 if seen else float("inf")

    @property
    def words(self) -> str:
        """The number and the times, in short."""
        spread = "" if self.error == 0.0 else f" +- {self.error:.2g}"
        value = self.size if self.error > 0.0 else self.smallest if abs(self.smallest) > self.rounding else 0.0
        share = f", {100 * self.share:.3g} % of the size of the worst state," if self.violated else ""
        return f"order {self.order}: {value:.4g}{spread}{share} on these times {shown(self.times)}"

    def __str__(self) -> str:
        by = "" if np.isinf(self.sigmas) else f" ({self.sigmas:.1f} sigma)"
        verdict = f"reflection positivity violated{by}" if self.violated else "no violation of reflection positivity"
        return f"{verdict}, {'smallest eigenvalue' if self.error == 0.0 else 'worst direction'} at {self.words}"


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
            `TimeCorrelators`; or a function G(t) of arrays.
        times: positive ones, (time,); default a dense set, short times among them, or all that the data have.
        order: 2, 4 or 6: F are fields, products of two and the constant 1, or of three and one.
        axis: the coordinate of the points that is time.
        dimension: of the points of a model, whose other coordinates are zero.
        origin: time about which is reflected, default zero, or the middle of the points where zero has no reflections.
        period: of a box, whose times end at half of it.
        accuracy: absolute error of a function G.

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
    held = as_reflected(data, axis=axis, dimension=dimension, origin=origin, period=period, accuracy=accuracy)
    chosen = held.times(order) if times is None else times
    return judged(held.matrices(check_times(chosen, period=held.period), order), np.sort(np.ravel(chosen)), order)


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
        return Measured(data, axis, origin, period)
    if isinstance(data, TimeCorrelators):
        return Lags(data)
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


def judged(known: Reflections, times: Vector, order: int) -> Positivity:
    """The verdict of M and K."""
    m, k = known.reflected, known.plain
    values, vectors = np.linalg.eigh(m)
    rounding = len(m) * known.accuracy
    tried = [worst_direction(m, k), *vectors.T[: max(1, int(np.sum(values < 0.0)))]]
    if known.rows is None:
        direction = next((v for v in tried if v @ m @ v < -rounding), vectors[:, 0])
        error, sigmas = 0.0, float("inf")
    else:
        direction, error = min(
            ((v, _error(known.rows, v)) for v in tried), key=lambda one: one[0] @ m @ one[0] / max(one[1], 1e-300)
        )
        # The direction was chosen on the same data: any of them is below zero by s errors with the chance that a chi^2
        # of as many numbers as M has exceeds s^2 (H. Scheffe, 1953), here as the sigmas of one number.
        s = max(0.0, -float(direction @ m @ direction) / max(error, 1e-300))
        dof = int(np.linalg.matrix_rank(known.rows.reshape(len(known.rows), -1)))
        sigmas = float(stats.norm.isf(max(stats.chi2.sf(s**2, dof), 1e-300)))
    size, norm = float(direction @ m @ direction), float(direction @ k @ direction)
    share = size / norm if norm > 0.0 else 0.0
    return Positivity(order, times, float(values[0]), rounding, direction, size, share, error, sigmas, m, k)


def _error(rows: Float[np.ndarray, "row functional functional"], direction: Vector) -> float:
    return float(np.linalg.norm(np.einsum("i,rij,j->r", direction, rows, direction)))


def worst_direction(reflected: Matrix, plain: Matrix) -> Vector:
    """The direction of length one with the smallest v.M v / v.K v, among those that K resolves."""
    sizes, axes = np.linalg.eigh(plain)
    kept = sizes > _RESOLVED * sizes[-1]
    white = axes[:, kept] / np.sqrt(sizes[kept])
    _, vectors = np.linalg.eigh(white.T @ reflected @ white)
    found = white @ vectors[:, 0]
    return found / np.linalg.norm(found)
