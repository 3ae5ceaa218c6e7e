"""Can an average of phi^n be believed? Heavy tails make a mean and its error bar both wrong, silently.

An average of |phi|^n has an error bar only if <phi^2n> exists and the sample has met its tail. For a network of the
suite the exact one-site moments decide: the relative error sqrt((<phi^2n>/<phi^n>^2 - 1)/n_networks). Otherwise the
Pareto shape k-hat of |phi|^n over networks decides, and where single neurons can be drawn also of |h|^n: the field of
a wide network hides the tail of its neurons. k-hat > 1/2: the variance of the mean is infinite; > 0.7: the mean
cannot be estimated (A. Vehtari et al., arXiv:1507.02646).
"""

from typing import NamedTuple

import jax
import numpy as np
from arviz_stats.base.array import array_stats

from ..models.exact import known_orders, site_moments
from ..models.networks import Network
from .chains import worth
from .ensembles import Ensemble, Source

__all__ = ["FLAG_KHAT", "REFUSE_KHAT", "Tail", "effective_networks", "judge_tail", "pareto_khat", "tail_draws"]

FLAG_KHAT, REFUSE_KHAT = 0.5, 0.7
FLAG_ERROR, REFUSE_ERROR = 0.1, 0.5  # relative error of <phi^n> by the exact moment of order 2n
DECISIVE = 100_000  # draws needed before k-hat alone refuses
_LEAST_EFFECTIVE = 1000
_DRAWS = 131_072  # networks (and neurons) looked at


class Tail(NamedTuple):
    """Verdict on one order: "ok", "flagged" or "refused", and one sentence with the number that decided."""

    verdict: str
    why: str


class Draws(NamedTuple):
    """Centred fields (network, point), single neurons (neuron, point) where the model shows them, weights, centre."""

    fields: np.ndarray
    neurons: np.ndarray | None
    weights: np.ndarray | None
    centre: np.ndarray


def pareto_khat(values: np.ndarray) -> float:
    """Shape of the generalised Pareto tail of positive values (not of log weights), k = 1/(tail exponent).

    P(v > t) ~ t^(-1/k): for Pareto draws of exponent a the answer tends to 1/a. ArviZ's `psislw` expects log
    *likelihoods* and flips their sign, so it is not used; this calls the tail fit on the values themselves.

    Args:
        values: independent draws, (draw,), at least 25; zeros say nothing about the tail and are left out.

    Returns:
        k-hat; inf if a value is not finite, -inf if the largest coincide (no tail), nan if too few differ for a fit.
    """
    v = np.asarray(values, dtype=float).ravel()
    if len(v) < 25:
        raise ValueError(f"expected at least 25 values for a tail fit, got {len(v)}; try more networks")
    if not np.all(np.isfinite(v)):
        return np.inf
    v = v[v > 0]
    if len(v) < 25:
        return np.nan if len(v) else -np.inf
    tail = np.partition(v, len(v) - int(3 * np.sqrt(len(v))))[-int(3 * np.sqrt(len(v))) :]
    if np.min(tail) == np.max(tail):
        return -np.inf  # an atom at the top (a Rademacher readout on one site, clipped data)
    khat = array_stats.pareto_khat(v[None, :] / np.median(v), r_eff=1.0, tail="right", log_weights=False)
    return float(np.asarray(khat))


def tail_draws(source: Source) -> Draws | None:
    """What `judge_tail` looks at, read once for all orders; None where exact moments decide."""
    if known_orders(getattr(source, "model", None)):
        return None
    weights = None
    if isinstance(source, Ensemble) and source.weighted:
        fields, logs = source.read_weighted(0, min(source.n, _DRAWS))
        fields, weights = np.asarray(fields, dtype=float), np.exp(logs - np.max(logs))
    else:
        fields = np.asarray(source.read(0, min(source.n, _DRAWS)), dtype=float)
    # A mean far from zero would hide the tail of the fluctuations, which are what connected functions average.
    centre = np.median(fields, axis=0)
    return Draws(fields - centre, _neurons(source), weights, centre)


def effective_networks(source: Source) -> float:
    """How many independent networks draws are worth: n (mean w)^2/mean w^2 of weighted ones, n/(2 tau) of a chain.

    Raises:
        ValueError: fewer than 1000 of them (bounded weights keep k-hat small whatever they are worth, so both decide),
            or Pareto k-hat of the weights above 0.7.
    """
    if not isinstance(source, Ensemble) or not source.weighted:
        return worth(source).effective
    _, logs = source.read_weighted(0, min(source.n, _DRAWS))
    weights = np.exp(logs - np.max(logs))
    share = np.mean(weights) ** 2 / np.mean(weights**2)
    khat = pareto_khat(weights)
    advice = "try a weaker deformation or more networks"
    if khat > REFUSE_KHAT:
        raise ValueError(
            f"expected weights whose average converges (Pareto k-hat below {REFUSE_KHAT}), got {khat:.2f}; {advice}"
        )
    if source.n * share < _LEAST_EFFECTIVE:
        raise ValueError(
            f"expected weighted networks worth at least {_LEAST_EFFECTIVE} unweighted ones, got {source.n * share:.0f} "
            f"({100 * share:.2g}% of {source.n}); {advice}"
        )
    return float(source.n * share)


def judge_tail(source: Source, order: int, *, draws: Draws | None = None) -> Tail:
    """Verdict on averages of phi^order over the networks of a source.

    Args:
        source: an `Ensemble` or `Samples`.
        order: n, the order of the moment.
        draws: `tail_draws(source)`, to save reading them again for every order.
    """
    model = getattr(source, "model", None)
    if isinstance(model, Network):
        moments = site_moments(model, source.points, 2 * order)
        if moments is not None:
            return _by_exact(moments, order, source.n)
    seen = draws or tail_draws(source)
    assert seen is not None
    powers = np.abs(seen.fields) ** order
    khat, where = _worst(powers if seen.weights is None else seen.weights[:, None] * powers)
    level, count = "field" if seen.weights is None else "field, weighted", len(seen.fields)
    if seen.weights is not None and (heavy := pareto_khat(seen.weights)) > max(khat, FLAG_KHAT):
        return Tail("flagged", f"Pareto k-hat of the weights is {heavy:.2f}, above {FLAG_KHAT}: errors are too small")
    if seen.neurons is not None:
        neuron_khat, place = _worst(np.abs(seen.neurons) ** order)
        if neuron_khat > khat or (np.isnan(khat) and neuron_khat > FLAG_KHAT):
            khat, where, level, count = neuron_khat, place, "single neuron", len(seen.neurons)
    what = "h" if level == "single neuron" else "phi"
    why = f"Pareto k-hat of |{what}|^{order} is {khat:.2f} at point {where} ({level})"
    if khat > REFUSE_KHAT and count >= DECISIVE:
        return Tail("refused", f"{why}, above {REFUSE_KHAT}: its average does not converge; try a lower order")
    if khat > FLAG_KHAT:
        return Tail("flagged", f"{why}, above {FLAG_KHAT}: its error bar may be too small")
    if np.isnan(khat):
        return Tail("flagged", f"{why}: too few different values for a tail fit, its error bar is not checked")
    return Tail("ok", f"{why}, below {FLAG_KHAT}")


def _by_exact(moments: np.ndarray, order: int, networks: int) -> Tail:
    """The exact <phi^2n> decides; odd orders use <|phi|^n>^2 <= <phi^(n-1)> <phi^(n+1)> for the size of the average."""
    below, above = order // 2, (order + 1) // 2
    with np.errstate(over="ignore", invalid="ignore"):
        square = (moments[below - 1] if below else 1.0) * moments[above - 1]  # of <phi^n>, or for odd n its upper bound
        relative = np.sqrt(np.maximum(moments[order - 1] / square - 1.0, 0.0) / networks)
    relative = np.where(np.isfinite(relative), relative, np.inf)  # a moment beyond floating point is beyond any average
    where = int(np.argmax(relative))
    worst = float(relative[where])
    why = f"the exact <phi^{2 * order}> makes the relative error of <phi^{order}> {worst:.2g} at point {where}"
    if worst > REFUSE_ERROR:
        return Tail("refused", f"{why}, above {REFUSE_ERROR}; try more networks, a lower order or exact correlators")
    if worst > FLAG_ERROR:
        return Tail("flagged", f"{why}, above {FLAG_ERROR}")
    return Tail("ok", f"{why}, below {FLAG_ERROR}")


def _worst(powers: np.ndarray) -> tuple[float, int]:
    khats = np.array([pareto_khat(powers[:, a]) for a in range(powers.shape[1])])
    # A point without an answer (nan) counts when every other one is harmless, and never hides a worse one.
    where = int(np.argmax(np.where(np.isnan(khats), FLAG_KHAT, khats)))
    return float(khats[where]), where


def _neurons(source: Source) -> np.ndarray | None:
    """Draws of one neuron h = W s, when the model shows its neuron: the same network at width 1 without output bias."""
    if not isinstance(source, Ensemble) or type(source.model) is not Network:
        return None
    net, draws = source.model, []
    for k, kind in enumerate(net.kinds):
        single = Network(kind, 1, readout=net.readout, output_scale=net.output_scale)
        key = jax.random.fold_in(source.key, 2**32 - 1 - k)
        draws.append(Ensemble(single, points=source.points, n=_DRAWS, key=key).read(0, _DRAWS).astype(float))
    return np.concatenate(draws)
