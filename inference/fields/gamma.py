"""The error of an average over Markov chains by the Gamma method: the autocorrelation is summed up to a window.

    error^2 = 2 tau Gamma(0)/N,   tau = 1/2 + sum_{t = 1..W} Gamma(t)/Gamma(0),
    Gamma(t) = <delta_i delta_{i+t}> over all chains, delta = a - <a>, and C(W)/N added to it for the common mean,

C(W) = Gamma(0) + 2 sum_{t <= W} Gamma(t). W is the first at which the error of cutting off, exp(-W/tau'), falls below
the statistical one, tau'/sqrt(W N), with tau' = S/log((2 tau + 1)/(2 tau - 1)) and S = 1.5 (U. Wolff, Comput. Phys.
Commun. 156 (2004) 143, hep-lat/0306017, eqs. 31 to 52). A function of averages is taken along its gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Averaged", "gamma_method"]

_S = 1.5  # of the window: exponential over integrated autocorrelation time
_LEAST = 8  # draws of a chain


@dataclass(frozen=True)
class Averaged:
    """An average over chains with its error.

    Attributes:
        mean: the average, or the function of averages.
        error: one standard error, autocorrelation included.
        error_of_error: its own statistical error.
        tau: integrated autocorrelation time in draws, 1/2 where independent.
        tau_error: its standard error.
        window: W, draws up to which the autocorrelation was summed.
        effective: N/(2 tau), independent draws that these are worth.
    """

    mean: float
    error: float
    error_of_error: float
    tau: float
    tau_error: float
    window: int
    effective: float

    def __str__(self) -> str:
        return (
            f"{self.mean:.8g} +- {self.error:.2g} (tau_int {self.tau:.3g} +- {self.tau_error:.1g} draws, window "
            f"{self.window}, {self.effective:.0f} independent draws)"
        )


def gamma_method(values: Any, function: Callable[[Any], Any] | None = None) -> Averaged:
    """Mean, error and integrated autocorrelation time of a series, or of a function of the means of several.

    Args:
        values: (chain, draw), or one chain (draw,); for a function (chain, draw, observable), the chains all of one
            equilibrium.
        function: means (observable,) -> number; its gradient is taken by differences as wide as the errors.

    Raises:
        ValueError: shapes that do not fit, fewer than 8 draws a chain, numbers that are not finite or never change; a
            window that would be longer than half a chain, with the tau that was reached.

    Example, an autoregression a' = .8 a + noise, whose tau_int is (1 + .8)/(2 (1 - .8)) = 4.5:
        >>> rng = np.random.default_rng(0)
        >>> a = np.zeros((100, 500))
        >>> for t in range(1, 500):
        ...     a[:, t] = 0.8 * a[:, t - 1] + 0.6 * rng.normal(size=100)
        >>> found = gamma_method(a[:, 50:])
        >>> bool(abs(found.tau - 4.5) < 4 * found.tau_error)
        True
    """
    a = np.asarray(values, dtype=float)
    a = a[None] if a.ndim == 1 else a
    if a.ndim != 2 + (function is not None) or a.shape[1] < _LEAST:
        raise ValueError(
            f"expected values (chain, draw{', observable' if function else ''}) of at least {_LEAST} draws, got shape "
            f"{np.shape(values)}; try more draws"
        )
    if not np.all(np.isfinite(a)):
        raise ValueError("expected finite values, got nan or inf; try finding out which draw they come from")
    if function is None:
        mean, delta = float(a.mean()), a - a.mean()
    else:
        mean, delta = _projected(a, function)
    return _windowed(mean, delta)


def _projected(a: np.ndarray, function: Callable[[Any], Any]) -> tuple[float, np.ndarray]:
    """The function at the means, and the deviations of the observables along its gradient, (chain, draw)."""
    means = a.mean(axis=(0, 1))
    steps = a.std(axis=(0, 1)) / np.sqrt(a.shape[0] * a.shape[1])
    slope = np.zeros(len(means))
    for k, step in enumerate(steps):
        if step > 0.0:
            shift = np.zeros(len(means))
            shift[k] = step
            slope[k] = (float(function(means + shift)) - float(function(means - shift))) / (2.0 * step)
    return float(function(means)), (a - means) @ slope


def _windowed(mean: float, delta: np.ndarray) -> Averaged:
    """The sum up to the window that the series itself chooses."""
    chains, draws = delta.shape
    total = chains * draws
    variance = float(np.mean(delta**2))
    if variance == 0.0:
        raise ValueError(f"expected values that vary, got {mean:.6g} in every draw; try another observable")
    summed, tau, window = 0.5 * variance, 0.5, 0
    for t in range(1, draws // 2 + 1):
        summed += float(np.sum(delta[:, :-t] * delta[:, t:])) / (total - chains * t)
        tau, window = summed / variance, t
        decay = _S / np.log((2.0 * tau + 1.0) / (2.0 * tau - 1.0)) if tau > 0.5 else np.finfo(float).tiny
        if np.exp(-t / decay) < decay / np.sqrt(t * total):
            break
    else:
        raise ValueError(
            f"expected chains longer than twice the window, got {draws} draws and tau_int = {tau:.3g} still growing; "
            "try more draws, or thin="
        )
    both = 2.0 * summed  # C(W)
    gammas = both / total * (2 * window + 1)  # what the common mean took from every Gamma(t)
    both, variance = both + gammas, variance + both / total
    tau = max(both / (2.0 * variance), 0.5 / total)
    error = float(np.sqrt(max(both, 0.0) / total))
    return Averaged(
        mean=mean,
        error=error,
        error_of_error=float(error * np.sqrt((window + 0.5) / total)),
        tau=float(tau),
        tau_error=float(2.0 * tau * np.sqrt(max(window + 0.5 - tau, 0.0) / total)),
        window=window,
        effective=float(total / (2.0 * tau)),
    )
