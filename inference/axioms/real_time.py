"""From Euclidean correlators to real time, where reflection positivity allows it: G(i t) = <phi(t) phi(0)>.

Where <(Theta F) F> >= 0 for all F at positive times, G(t) = int rho(E) exp(-E t) dE with rho >= 0, and G(i t) is the
same integral of exp(-i E t) (K. Osterwalder and R. Schrader, Commun. Math. Phys. 31 (1973) 83). Where it is violated
there is no rho, and no number is given. To pass at some times proves nothing at others: the verdict comes along.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...models.analytic.exact import exact
from ...models.networks.model import AbstractModel
from ...models.quantum.diagonalised import AbstractOscillator
from ...models.quantum.spectrum import Spectrum
from ...models.refusals import NotKnown
from ...models.types import Vector
from ..reflections.matrices import ROUNDINGS
from ..reflections.reflection import positivity
from ..spectra.constrained import Constrained
from ..spectra.lagged import TimeCorrelators
from ..spectra.levels import RealTime
from ..spectra.pencil import resolved

__all__ = ["real_time"]

_LAGS = 16  # of exact correlators that energies are read off
_FAR = 64.0  # in units of the first time, where a correlator is taken to have fallen as far as it does
_FINITE = 1e-6  # share by which the next level of a rule is smaller, below which there is none


def real_time(
    data: Any,
    at: Any,
    *,
    times: Any = None,
    method: Constrained | None = None,
    level: float = 0.95,
    dimension: int = 1,
    accuracy: float | None = None,
) -> RealTime:
    """The two-point function in real time, refused where reflection positivity fails.

    Args:
        data: a model known exactly, an `m.Path` or a network of `m.ScalarMode` say; a function G(t); `TimeCorrelators`
            with the lag zero, exact or with errors; energies and weights, an `m.Spectrum`; an oscillator.
        at: real times, (time,), of any sign.
        times: positive Euclidean times of the verdict on reflection positivity, default those of `inf.positivity`.
        method: how levels are fitted to correlators with errors, default `inf.Constrained()`; with known=(0.0,) where
            the field does not cluster.
        level: of the bands.
        dimension: of the points of a model; all but the time are zero.
        accuracy: absolute error of a G(t) without errors, of a table half of its last digit; default a few roundings.

    Returns:
        The values. Energies that a model brings are exact, and there is no band. Of other exact correlators a Gauss
        rule of their spectral density is taken, and the band is what one level less changes, twice. Of correlators with
        errors it holds the draws of a fit to times above zero, since every level counts at zero. Short real times are
        the hardest: they see the highest levels, for which the last of the fit stands.

    Raises:
        ValueError: reflection positivity that is violated, with the eigenvalue and its times; correlators whose levels
            cannot be told; times that are none.

    Example, the path theory, and a network whose kernel is a Gaussian:
        >>> from nnft import models as m
        >>> print(real_time(m.Path(m.Network(m.Cos(), width=10)), 1.0))
        G(it) = <phi(t) phi(0)>, 512 levels of a path of Cos
        t = 1: 0.292892664 - 0.1102211072i
        >>> real_time(m.Network(m.Cos(), width=10), 1.0, times=[0.2, 0.5, 1.0, 1.5])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: expected correlators that are positive under reflection, got the eigenvalue -0.07219020 of ...
    """
    if isinstance(data, AbstractOscillator):
        data = data.two_point()
    if isinstance(data, Spectrum):
        return RealTime.of_spectrum(data, at, f"{len(data.energies)} levels")
    if not isinstance(data, TimeCorrelators) and not callable(data):
        raise ValueError(
            f"expected a model on a line of time, an oscillator, a Spectrum, TimeCorrelators or a function G(t), got "
            f"{type(data).__name__}; try inf.TimeCorrelators.given(times, values), or lambda t: np.exp(-t) / 2"
        )
    _refuse_violated(data, times, dimension, accuracy)
    if isinstance(data, TimeCorrelators):
        return _of_lags(data, at, method, level, accuracy)
    if isinstance(data, AbstractModel):
        try:
            spectrum = data.spectrum(512)
        except NotKnown:
            return _of_function(partial(_two_point, data, dimension), at, f"of {data.name}", accuracy)
        return RealTime.of_spectrum(spectrum, at, f"{len(spectrum.energies)} levels of {data.name}")
    return _of_function(data, at, "of a function", accuracy)


def _refuse_violated(data: Any, times: Any, dimension: int, accuracy: float | None) -> None:
    """No real time without reflection positivity."""
    verdict = positivity(data, times, dimension=dimension, accuracy=accuracy)
    if verdict.violated:
        by = "" if np.isinf(verdict.sigmas) else f", {verdict.sigmas:.1f} sigma below zero,"
        seen = np.asarray(verdict.times).round(6).tolist()
        small = abs(verdict.share) < _FINITE and not by
        number = f"{verdict.smallest:.3g}" if small else f"{verdict.smallest:.8f}"
        digits = ", or, where these numbers are rounded, accuracy=, half of the last digit" if small else ""
        raise ValueError(
            f"expected correlators that are positive under reflection, got the eigenvalue {number}{by} "
            f"of G(t_a + t_b) at times {seen}: there is no Hilbert space, and no real time; try a theory that has one, "
            f"m.Path or m.ScalarMode(cutoff=inf), or later times where a cutoff is to blame{digits}"
        )


def _of_lags(
    data: TimeCorrelators, at: Any, method: Constrained | None, level: float, accuracy: float | None
) -> RealTime:
    if not data.exact:
        if data.times[0] == 0.0:
            data = replace(data, times=data.times[1:], values=data.values[1:], rows=data.rows[:, 1:])
        return (Constrained() if method is None else method).levels(data).real_time(at, level=level)
    return _of_rule(data, at, "", accuracy or 0.0)


def _of_function(function: Any, at: Any, words: str, accuracy: float | None) -> RealTime:
    """Of G(t), at lags that are half of the time in which half of what falls has fallen."""

    def value(t: float) -> float:
        return float(np.asarray(function(np.array([t])))[0])

    start, end, step = value(0.0), value(_FAR), 1.0
    for step in 2.0 ** np.arange(-12.0, 6.0):
        if start - value(step) > 0.5 * (start - end):
            break
    lags = 0.5 * step * np.arange(_LAGS)
    values = np.asarray(function(lags))
    single = values.dtype.itemsize < 8 and accuracy is None
    known = ROUNDINGS * float(np.finfo(values.dtype).eps * np.max(np.abs(values))) if single else accuracy or 0.0
    return _of_rule(TimeCorrelators.given(lags, values.astype(float)), at, words, known)


def _of_rule(data: TimeCorrelators, at: Any, words: str, accuracy: float) -> RealTime:
    """The Gauss rule and what one level less changes; nothing where there is none more."""
    found, less, share = resolved(data, accuracy=accuracy)
    count = len(found.energies)
    result = RealTime.of_spectrum(found, at, f"a rule of {count} level{'s' * (count > 1)} {words}".strip())
    change = np.abs(result.values - less.real_time(result.times))
    change = (2.0 if share > _FINITE else share**0.25) * change
    if count == 1 and accuracy > 0.0:  # no level less to compare with: what may hide in the digits
        change = change + 2.0 * np.sqrt(len(data.times) // 2 * accuracy * data.values[0, 0, 0])
    return replace(result, low=result.values - (1 + 1j) * change, high=result.values + (1 + 1j) * change)


def _two_point(model: AbstractModel, dimension: int, times: Vector) -> Vector:
    """<phi(0) phi(t)>, the times along the first axis."""
    points = np.zeros((len(times) + 1, dimension))
    points[1:, 0] = times
    kept = np.concatenate([[True], times != 0.0])
    table = np.empty(len(points))
    table[kept] = exact(model, points[kept], orders=(2,)).tensor(2)[0]
    table[~kept] = table[0]
    return table[1:]
