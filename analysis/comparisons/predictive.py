"""Does the fitted action give back what was measured, and what the fit did not use? Observed beside predicted.

The two-point function, the connected four-point function, the six-point function that no quartic fit uses, and the
excess kurtosis G4c(aaaa)/G2(aa)^2 of every point. Where exp(-S) is unbounded below for a draw the predictions are
diagrams on full lines (tree level and one loop, the one-loop term as truncation band); where all draws are bounded and
a key is given, fields are drawn from the action itself and nothing is truncated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from ...inference.posterior.predict import Predictions, predict, predict_diagrams, predict_fields, quartic_coefficients
from ...models.actions.base import AbstractAction
from ...models.actions.boundedness import boundedness
from ...models.actions.monomials import dense
from ...models.combinatorics import multiplicities, sorted_tuples
from ...models.types import Vector
from ..reading.fit import Reading, reads

__all__ = ["Component", "Outcome", "Predictive", "predictive"]

_SIX_POINTS = 6  # up to here six-point diagrams take a second a draw or less
_INTERVAL = 0.89
_OUTSIDE = 3.0  # sd beyond the band


class Component(NamedTuple):
    """One function, each array (component,): observed with its error, predicted (posterior mean) with 89 % interval,
    truncation band, and z, how many sd the observed value is beyond the band (zero inside it).
    """

    observed: Vector
    error: Vector
    predicted: Vector
    low: Vector
    high: Vector
    band: Vector
    z: Vector


class Outcome(NamedTuple):
    """One row of the table: the component furthest from its prediction, and how many of all are within 3 sd."""

    name: str
    where: str
    observed: float
    error: float
    predicted: float
    band: float
    z: float
    inside: int
    components: int


@dataclass(frozen=True)
class Predictive:
    """Posterior predictive checks; prints as a table.

    Attributes:
        rows: one for each of G2, G4, G6 (never used by a quartic fit) and kurtosis, where they exist.
        components: name -> all components.
        how: how the predictions were made, one sentence.
        draws: posterior draws predicted from.
        bounded: of them, with an action bounded below.
    """

    rows: tuple[Outcome, ...]
    components: Mapping[str, Component]
    how: str
    draws: int
    bounded: int

    def __str__(self) -> str:
        head = f"{'check':<11}{'worst at':<14}{'observed':>24}{'predicted':>13}{'band':>11}{'z':>8}{'within 3 sd':>14}"
        lines = [head]
        for r in self.rows:
            observed = f"{r.observed:.4g} +- {r.error:.2g}"
            share = f"{r.inside} of {r.components}"
            lines.append(
                f"{r.name:<11}{r.where:<14}{observed:>24}{r.predicted:>13.4g}{r.band:>11.2g}{r.z:>8.1f}{share:>14}"
            )
        lines.append(self.how)
        return "\n".join(lines)

    __repr__ = __str__


@reads
def predictive(fit: Reading, *, key: jax.Array | None = None, draws: int = 24) -> Predictive:
    """Observed beside predicted G2, G4c, G6c and site kurtosis of a fit.

    Args:
        fit: a fit of `inf.fit`, or reloaded.
        key: `jax.random.key(seed)`: where every draw looked at is bounded below, sample its fields. None: diagrams.
        draws: how many posterior draws are looked at, evenly spaced.

    Raises:
        ValueError: a point result, or a fit without measured correlators of order 4 (more points than diagrams allow);
            fewer than two draws.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> from nnft import analysis as an
        >>> found = predictive(fit, draws=4)
        >>> ladder = an.compare(data, key=jax.random.key(1))
        >>> len(an.plot_predictive(found).axes), len(an.plot_comparison(ladder).axes)
        (2, 1)
    """
    missing = [name for name in ("posterior", "correlators", "constant_data") if name not in fit.children]
    if missing or "G4" not in fit.children["correlators"]:
        raise ValueError(
            f"expected a fit with draws and a measured four-point function, got a tree of {list(fit.children)}; "
            "try inf.fit at fewer points, or as_if_n= with exact correlators"
        )
    if draws < 2:
        raise ValueError(f"expected at least two draws to see a spread, got {draws}; try draws=24")
    constants, measured = fit.constants, fit.group("correlators")
    action, weights = fit.action, constants["weights"].values
    count, kernel = len(weights), fit.two_point
    positions = constants["x_position"].values
    if not action.even:
        raise ValueError(
            f"expected an even action, got the {action.name}; try fit['predictions'], which holds G1, G2, G3 and G4 "
            "of the draws about the mean of the data"
        )
    kept = _kept(fit, draws)
    pairs, quartic, sextic = _coefficients(kept, action, weights)
    scale = np.sqrt(np.diag(kernel))
    forms = [{2: pairs[k], 4: quartic[k]} | ({} if sextic is None else {6: sextic[k]}) for k in range(len(quartic))]
    bounded = sum(boundedness(form, count, scale=scale).bounded for form in forms)
    six = "G6" in measured and count <= _SIX_POINTS
    orders = (4, 6) if six else (4,)
    if key is not None and bounded == len(forms):
        predictions = predict_fields(count, pairs, quartic, sextic=sextic, orders=(2, *orders), key=key)
        how = f"fields drawn from the action of each of {len(forms)} posterior draws, all bounded below"
    else:
        predictions = predict_diagrams(positions, kernel, quartic, sextic=sextic, orders=orders)
        two = predict(kernel, {**{n: v[None] for n, v in kept.items()}, "q": pairs[None]}, action, weights)["G2"][0]
        # The gap equation is first order: what its loop adds to the propagator is the size of what it leaves out.
        predictions[2] = Predictions(two, np.abs(two - kernel[tuple(sorted_tuples(count, 2).T)]), np.zeros_like(two))
        why = f"{bounded} of {len(forms)} draws bounded below" if key is not None else "no key to draw fields with"
        how = f"diagrams to one loop on full lines ({why})"
    components = {}
    for r in sorted(predictions):
        name = "m2" if r == 2 else f"G{r}"  # even fields: the two-point function is the second moment
        components[f"G{r}"] = _component(measured[name].values, measured[f"{name}_error"].values, predictions[r])
    quads = sorted_tuples(count, 4)
    same = multiplicities(quads) == 1.0
    variance = np.diag(kernel) ** 2
    ratio = Predictions(*(part[:, same] / variance for part in predictions[4]))
    four, error = (measured[name].values[same] / variance for name in ("G4", "G4_error"))
    components["kurtosis"] = _component(four, error, ratio)
    labels = {f"G{r}": sorted_tuples(count, r) for r in predictions} | {"kurtosis": np.arange(count)[:, None]}
    rows = tuple(_outcome(name, part, labels[name]) for name, part in components.items())
    return Predictive(rows, components, how, len(forms), bounded)


def _kept(fit: Reading, draws: int) -> dict[str, np.ndarray]:
    """Evenly spaced draws of all chains, (draw, coupling)."""
    posterior = fit.posterior
    flat = {
        str(name): values.transpose("chain", "draw", ...).values.reshape(-1, *values.shape[2:])
        for name, values in posterior.items()
        if values.ndim == 3
    }
    total = len(next(iter(flat.values())))
    where = np.linspace(0, total - 1, min(draws, total)).round().astype(int)
    return {name: values[where] for name, values in flat.items()}


def _coefficients(
    kept: Mapping[str, np.ndarray], action: AbstractAction, weights: Vector
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Coefficients of the sorted pairs, quads and, where the action has them, 6-tuples, (draw, component)."""
    count = len(weights)
    free = np.concatenate([kept[name] for name in action.quadratic_blocks(count)], axis=1)
    pairs = free @ dense(action.quadratic(count), count)
    fixed = action.fixed(count)
    if fixed is not None:
        index = sorted_tuples(count, 2)
        pairs = pairs + np.where(index[:, 0] == index[:, 1], 0.5, 1.0) * fixed[tuple(index.T)]
    parts = action.interaction(count, weights)
    if len(parts) == 1:
        return pairs, quartic_coefficients(kept, action, count, weights), None
    theta = np.concatenate([kept[name] for name in action.blocks(count)], axis=1)
    four, six = np.split(theta, [parts[0].count], axis=1)
    return pairs, four @ dense(parts[0], count), six @ dense(parts[1], count)


def _component(observed: np.ndarray, error: np.ndarray, predictions: Predictions) -> Component:
    mean = predictions.value.mean(axis=0)
    band = predictions.band.mean(axis=0)
    edges = np.array([0.5 - _INTERVAL / 2, 0.5 + _INTERVAL / 2])
    low, high = np.quantile(predictions.value, edges, axis=0)
    # Monte Carlo errors of the draws are independent and already in their spread; a floor keeps exact data finite.
    spread = np.sqrt(error**2 + predictions.value.var(axis=0, ddof=1) + np.mean(predictions.error**2, axis=0))
    beyond = np.maximum(np.abs(observed - mean) - band, 0.0) * np.sign(observed - mean)
    z = np.divide(beyond, spread, out=np.zeros_like(beyond), where=spread > 0)
    return Component(observed, error, mean, low, high, band, z)


def _outcome(name: str, part: Component, labels: np.ndarray) -> Outcome:
    worst = int(np.argmax(np.abs(part.z)))
    where = ",".join(map(str, labels[worst].tolist()))
    value, error, mean, _, _, band, z = (float(numbers[worst]) for numbers in part)
    return Outcome(name, where, value, error, mean, band, z, int(np.sum(np.abs(part.z) < _OUTSIDE)), len(part.z))
