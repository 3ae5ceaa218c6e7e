"""Can an average of phi^n be believed? Heavy tails make a mean and its error bar both wrong, silently.

An average of |phi|^n has an error bar only if <phi^2n> exists and the sample has met its tail. For a network of the
suite the exact one-site moments decide: the relative error sqrt((<phi^2n>/<phi^n>^2 - 1)/n_networks), beside that of a
Gaussian field. Otherwise the Pareto shape k-hat of |phi|^n over networks decides, and where single neurons can be drawn
also of |h|^n: the field of a wide network hides the tail of its neurons. What counts as heavy is in `khat.py`: more
than a Gaussian field shows at the same number of networks.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from ...models.networks.model import as_model
from ...models.networks.network import Network
from ..ensembles.ensemble import Ensemble, side_key
from ..ensembles.samples import Samples
from ..ensembles.source import Source
from .khat import FLAG_KHAT, REFUSE_KHAT, limits, limits_beside, pareto_khat

__all__ = [
    "WATCHED",
    "Tail",
    "confirmed",
    "effective_networks",
    "gaussian_twin",
    "gravest",
    "judge_tail",
    "judge_values",
    "tail_draws",
    "watched",
]

FLAG_ERROR, REFUSE_ERROR = 0.1, 0.5  # relative error of <phi^n> by the exact moment of order 2n
_FLAG_RATIO, _REFUSE_RATIO = 1.5, 2.0  # and the same over the error of a Gaussian field
_LEAST_JUDGED = 100  # networks
_LOOKED = 8  # points whose tail is fitted: those whose averages depend most on few networks
_LEAST_EFFECTIVE = 1000
_DRAWS = 131_072  # networks (and neurons) looked at
WATCHED = 16  # terms of an action whose equations are looked at, network by network


class Tail(NamedTuple):
    """Verdict on one order: "ok", "flagged" or "refused", and one sentence with the number that decided."""

    verdict: str
    why: str


def gravest(*tails: Tail | None) -> Tail | None:
    """The worst of several verdicts; None where none was given."""
    order = ["ok", "flagged", "refused"]
    given = [tail for tail in tails if tail is not None]
    return max(given, key=lambda tail: order.index(tail.verdict)) if given else None


class Draws(NamedTuple):
    """Centred fields (network, point), single neurons (neuron, point) where the model shows them, weights, centre."""

    fields: np.ndarray
    neurons: np.ndarray | None
    weights: np.ndarray | None
    centre: np.ndarray


def tail_draws(source: Source) -> Draws | None:
    """What `judge_tail` looks at, read once for all orders; None where exact moments decide."""
    if as_model(source.model).knows_sites:
        return None
    weights = None
    if source.weighted:
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
    if not source.weighted:
        return source.dependence.effective
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
    moments = as_model(source.model).site_moments(source.points, 2 * order)
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
    limit = limits(count, order, source.places)
    beside = f"(a Gaussian field of as many networks: {limit.gaussian:.2f})"
    if khat > limit.refuse:
        advice = "its average does not converge; try a lower order, or fields with lighter tails"
        return Tail("refused", f"{why}, above {limit.refuse:.2f} {beside}: {advice}")
    if khat > limit.flag:
        return Tail("flagged", f"{why}, above {limit.flag:.2f} {beside}: its error bar may be too small")
    if np.isnan(khat):
        return Tail("flagged", f"{why}: too few different values for a tail fit, its error bar is not checked")
    return Tail("ok", f"{why}, below {limit.flag:.2f} {beside}")


def watched(source: Source) -> int:
    """Networks whose psi is looked at one by one: none where exact moments decide, or where too few say nothing."""
    if as_model(source.model).knows_sites or source.n < _LEAST_JUDGED:
        return 0
    return min(source.n, _DRAWS)


def gaussian_twin(source: Source) -> Samples:
    """Gaussian fields of the covariance of a source, as many as are looked at."""
    fields = np.asarray(source.read(0, min(source.n, _DRAWS)), dtype=float)
    values, vectors = np.linalg.eigh(fields.T @ fields / len(fields))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return Samples(np.random.default_rng(0).normal(size=fields.shape) @ root.T, source.points, outputs=source.outputs)


def judge_values(
    values: np.ndarray, power: int, what: str, twin: Callable[[], np.ndarray], *, flag: bool = True
) -> Tail:
    """Verdict on averages of what a fit sums over networks, beside what it would sum for a Gaussian field.

    Sums of powers of different height can have a larger k-hat than the highest alone, a Gaussian field's too. So what
    is heavier than |phi|^power of a Gaussian is compared with the same sums over a Gaussian sample.

    Args:
        values: of each network, (network, component), any sign.
        power: highest power of the field in them.
        what: their name.
        twin: makes the values of Gaussian fields of the same covariance, as many; called where it decides.
        flag: whether what is not refused may be flagged; of sums whose powers nearly cancel k-hat says too little.
    """
    sizes = np.abs(np.asarray(values, dtype=float))
    khat, where = _worst(sizes)
    limit = limits(len(sizes), power, sizes.shape[1])
    if khat > (limit.flag if flag else limit.refuse):
        limit = limits_beside(max(limit.gaussian, _worst(np.abs(twin()))[0]), len(sizes), power)
    beside = f"(for a Gaussian field of as many networks: {limit.gaussian:.2f})"
    why = f"Pareto k-hat of {what}, component {where}, is {khat:.2f}"
    if khat > limit.refuse:
        return Tail("refused", f"{why}, above {limit.refuse:.2f} {beside}: its average does not converge")
    if flag and khat > limit.flag:
        return Tail("flagged", f"{why}, above {limit.flag:.2f} {beside}: errors may be too small")
    return Tail("ok", f"{why}, below {limit.flag if flag else limit.refuse:.2f} {beside}")


def confirmed(tail: Tail, source: Source, power: int) -> Tail:
    """A refusal by sums whose powers may cancel, where |phi|^power of the field itself is heavy too; else a flag."""
    if tail.verdict != "refused" or judge_tail(source, power).verdict != "ok":
        return tail
    return Tail("flagged", tail.why.replace("its average does not converge", "errors may be too small"))


def _by_exact(moments: np.ndarray, order: int, networks: int) -> Tail:
    """The exact <phi^2n> decides; odd orders use <|phi|^n>^2 <= <phi^(n-1)> <phi^(n+1)> for the size of the average."""
    below, above = order // 2, (order + 1) // 2
    with np.errstate(over="ignore", invalid="ignore"):
        square = (moments[below - 1] if below else 1.0) * moments[above - 1]  # of <phi^n>, or for odd n its upper bound
        relative = np.sqrt(np.maximum(moments[order - 1] / square - 1.0, 0.0) / networks)
    relative = np.where(np.isfinite(relative), relative, np.inf)  # a moment beyond floating point is beyond any average
    flag, refuse = _gaussian_limits(order, networks)
    where = int(np.argmax(relative))
    worst = float(relative[where])
    why = f"the exact <phi^{2 * order}> makes the relative error of <phi^{order}> {worst:.2g} at point {where}"
    if worst > refuse:
        return Tail("refused", f"{why}, above {refuse:.2g}; try more networks, a lower order or exact correlators")
    if worst > flag:
        return Tail("flagged", f"{why}, above {flag:.2g}")
    return Tail("ok", f"{why}, below {flag:.2g}")


def _gaussian_limits(order: int, networks: int) -> tuple[float, float]:
    """Flagged and refused relative errors: too large in themselves, and for reasons a Gaussian field does not have."""
    odd = special.factorial2(2 * order - 1)  # <z^2n>, and <|z|^n>^2 or for odd n its bound
    below, above = order // 2 * 2, (order + 1) // 2 * 2
    even = special.factorial2(below - 1) * special.factorial2(above - 1) if order > 1 else 1.0
    usual = float(np.sqrt(max(odd / even - 1.0, 0.0) / networks))
    return max(FLAG_ERROR, _FLAG_RATIO * usual), max(REFUSE_ERROR, _REFUSE_RATIO * usual)


def _worst(powers: np.ndarray) -> tuple[float, int]:
    """Largest k-hat and its point, of the points whose mean square depends most on few networks."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        share = np.max(powers, axis=0) ** 2 / np.sum(powers**2, axis=0)
    looked = np.argsort(-np.nan_to_num(share, nan=np.inf))[:_LOOKED]
    khats = np.array([pareto_khat(powers[:, a]) for a in looked])
    # A point without an answer (nan) counts when every other one is harmless, and never hides a worse one.
    where = int(np.argmax(np.where(np.isnan(khats), FLAG_KHAT, khats)))
    return float(khats[where]), int(looked[where])


def _neurons(source: Source) -> np.ndarray | None:
    """Draws of one neuron h = W s, when the model shows its neuron: the same network at width 1 without output bias."""
    parts, recipe = source.neurons, source.program
    if parts is None:
        return None
    draws = []
    for k, kind in enumerate(parts.kinds):
        single = Network(kind, 1, readout=parts.readout, output_scale=parts.output_scale)
        key = side_key(recipe.key, k)
        draws.append(Ensemble(single, points=source.points, n=_DRAWS, key=key).read(0, _DRAWS).astype(float))
    return np.concatenate(draws)
