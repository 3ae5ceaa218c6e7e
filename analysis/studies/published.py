"""The first published experiment of neural-network field theory as a recipe: ten widths against their common limit.

phi = b1 + sum_i W_i s_i(x), W ~ N(0, sW^2/N), both layers sharing sW and sb, on the line. The deviation from the limit

    m_n(N) = mean over sorted tuples of |G^(n)(N)/G_GP^(n) - 1|,   G_GP^(n) = sum over pairings of K...K,

its fall with the width, G_c^(4) ~ 1/N and G_c^(6) ~ 1/N^2, quartic couplings from G_c^(4), and the six-point function
they predict (arXiv:2008.08601, secs. 3 and 4). As published, the couplings are fitted at the inputs x/sqrt 2 and the
six-point function is predicted at x, which the fit has not seen. The mean of absolute values is positive for noise
alone: its floor is given beside it, and widths are compared through signed means, whose errors are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ...inference.ensembles.ensemble import Ensemble
from ...inference.estimators.measure import measure
from ...inference.methods.vertex_fit import CorrelatorFit, fit_correlators, vertex_design
from ...models.analytic.exact import exact
from ...models.combinatorics import moments_from_connected
from ...models.correlators import Correlators
from ...models.distance import Chi2
from ...models.networks.network import Network
from ...models.neurons.base import AbstractNeuron
from ...models.neurons.gauss import Gauss
from ...models.neurons.relu import ReLU
from ...models.neurons.smooth import Erf
from ...models.refusals import is_whole, nearest
from ...models.types import Points, Vector

__all__ = [
    "EXPERIMENTS",
    "MODELS",
    "ORDERS",
    "WIDTHS",
    "Deviation",
    "Experiment",
    "Fit",
    "Setting",
    "SixPoint",
    "Slope",
    "check_arguments",
    "deviation",
    "experiment",
    "power_law",
]

WIDTHS = (2, 3, 4, 5, 10, 20, 50, 100, 500, 1000)
ORDERS = (2, 4, 6)
MODELS = (
    ("local",),
    ("quadratic",),
    ("nonlocal",),
    ("local", "quadratic"),
    ("local", "quadratic", "nonlocal"),
)
_NEURONS = 20  # neurons drawn for each network: one costs so much less than a network
_STEEPEST, _FLATTEST = -10.0, 6.0  # powers of N looked at


@dataclass(frozen=True, eq=False)
class Setting:
    """One published network: its neuron, the inputs of the deviations, and what the couplings are tried at.

    Attributes:
        neuron, bias_scale: of the network, weight_scale one.
        points: inputs of the deviations, (point, 1).
        coupling_points: inputs at which the six-point function is predicted; the couplings are fitted at `fit_points`.
        coupling_width: N of the fit.
        cutoff: Lambda of the vertices.
        closed_coupling: N lambda_0 of the local model by its formula in closed form, None where there is none: ReLU
            -12.5/Lambda^5; Gauss at x = 0 on the whole line, -(3 e^4 - 3)/(24 sqrt(pi/2)).
    """

    neuron: type[AbstractNeuron]
    bias_scale: float
    points: Points
    coupling_points: Points
    coupling_width: int
    cutoff: float
    closed_coupling: float | None = None

    @property
    def fit_points(self) -> Points:
        """Inputs of the fit, the coupling points over sqrt 2, (point, 1)."""
        return self.coupling_points / np.sqrt(2.0)

    def network(self, width: int) -> Network:
        """The network of that width."""
        return Network.tied(self.neuron, width, bias_scale=self.bias_scale)


_WIDE = np.array([[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]])
_RIGHT = np.array([[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]])
EXPERIMENTS = {
    # A cutoff of 10 is the whole line for Gauss: four kernels together fall like exp(-2 y^2).
    "hms-gauss": Setting(
        Gauss, 1.0, 0.01 * _WIDE, 0.01 * _RIGHT, 1000, 10.0, -(3.0 * np.exp(4.0) - 3.0) / (24.0 * np.sqrt(np.pi / 2.0))
    ),
    "hms-erf": Setting(Erf, 1.0, _WIDE, 0.01 * _RIGHT, 5, 100.0),
    "hms-relu": Setting(ReLU, 0.0, _RIGHT, _RIGHT, 20, 100.0, -12.5 / 100.0**5),
}


@dataclass(frozen=True)
class Deviation:
    """How far the n-point function at one width is from its infinite-width limit, in one space.

    Attributes:
        width, space, order: N; "exact", "field", "readout" or "neuron"; n.
        value: m_n, the mean over sorted tuples of |G/G_GP - 1|.
        error: its standard error over networks, right where `value` is well above `floor`.
        floor: what m_n would be on average if only the noise were there.
        connected: signed mean of G_c/G_GP, order 4 and 6; its error is right everywhere.
        connected_error: standard error over networks.
        why: why the order is refused, with the number that decided; empty where it is given.
    """

    width: int
    space: str
    order: int
    value: float = float("nan")
    error: float = float("nan")
    floor: float = float("nan")
    connected: float = float("nan")
    connected_error: float = float("nan")
    why: str = ""


@dataclass(frozen=True)
class Slope:
    """d log G_c / d log N of the signed mean, with its standard error; `why` where there is none."""

    space: str
    order: int
    value: float = float("nan")
    error: float = float("nan")
    why: str = ""


@dataclass(frozen=True, eq=False)
class Fit:
    """Couplings of one model from one source, all at `Setting.coupling_width`."""

    space: str
    model: tuple[str, ...]
    result: CorrelatorFit | None = None
    why: str = ""


@dataclass(frozen=True)
class SixPoint:
    """The six-point function predicted by one model (None: no coupling) against the truth, at one width.

    Attributes:
        residual: mean over sorted tuples of |predicted/true - 1|.
        signed: mean over sorted tuples of predicted/true - 1, and its standard error (0: both exact).
        chi2: of the difference where it has a covariance.
    """

    space: str
    width: int
    model: tuple[str, ...]
    residual: float
    signed: float
    error: float
    chi2: Chi2 | None = None


@dataclass(frozen=True, eq=False)
class Experiment:
    """All that one run found; `experiment` makes it."""

    name: str
    setting: Setting
    n: int
    seed: int
    widths: tuple[int, ...]
    deviations: tuple[Deviation, ...]
    slopes: tuple[Slope, ...]
    fits: tuple[Fit, ...]
    six_point: tuple[SixPoint, ...]

    def of(self, space: str, order: int) -> list[Deviation]:
        """Deviations of one space and order, by width."""
        return [d for d in self.deviations if (d.space, d.order) == (space, order)]


def experiment(
    name: str, *, n: int = 50_000, widths: Sequence[int] = WIDTHS, seed: int = 0, progress: bool = False
) -> Experiment:
    """Run one published experiment and return what was found.

    Args:
        name: "hms-gauss", "hms-erf" or "hms-relu".
        n: networks per width in field space; 20 times as many neurons in neuron space, and a tenth of it (at least
            1000) hidden layers in readout space.
        widths: numbers of neurons N.
        seed: everything is drawn from keys folded out of jax.random.key(seed).
            Every width has neurons of its own: their powers are measured, not built in.
        progress: bars for what takes long.

    Raises:
        ValueError: an unknown name, fewer than 1000 networks, widths that are not distinct positive integers.
    """
    setting, n, widths = check_arguments(name, n, widths, seed)
    key = jax.random.key(seed)
    kernel = exact(setting.network(1), setting.points).connected(2)
    deviations = []
    for k, width in enumerate(widths):
        network = setting.network(width)
        correlators = {"exact": exact(network, setting.points)}
        sizes = {"field": (n, 2), "readout": (max(1000, n // 10), 2000), "neuron": (_NEURONS * n, 4000)}
        for space, (count, number) in sizes.items():
            ensemble = Ensemble(network, points=setting.points, n=count, key=jax.random.fold_in(key, number + k))
            correlators[space] = measure(ensemble, orders=ORDERS, space=space, progress=progress)
        for space, data in correlators.items():
            for order in ORDERS:
                # A hidden layer of many neurons hides the tail of one: what a neuron forbids, the layer does too.
                refused = correlators["neuron"].refused if space == "readout" else {}
                if why := data.refused.get(order) or refused.get(order):
                    deviations.append(Deviation(width, space, order, why=why))
                else:
                    deviations.append(deviation(data, kernel, order, width=width, space=space))
    fits, predictions = _couplings(setting, widths, n, jax.random.fold_in(key, 1), progress)
    slopes = [_slope(deviations, space, order) for space in ("field", "readout", "neuron") for order in (4, 6)]
    return Experiment(name, setting, n, seed, widths, tuple(deviations), tuple(slopes), tuple(fits), tuple(predictions))


def check_arguments(name: str, n: float, widths: Sequence[int], seed: int) -> tuple[Setting, int, tuple[int, ...]]:
    """The setting of that name and the numbers, if an experiment can be made of them; raises as `experiment`."""
    if name not in EXPERIMENTS:
        raise ValueError(
            f"expected an experiment among {', '.join(EXPERIMENTS)}, got {name!r}; "
            f"try {nearest(str(name), list(EXPERIMENTS))!r}"
        )
    if not is_whole(n, 1000, floats=True):
        raise ValueError(f"expected n, the number of networks per width, to be an integer >= 1000, got {n!r}; try 1e5")
    chosen = tuple(widths) if isinstance(widths, Sequence | np.ndarray) else (widths,)
    if not all(is_whole(w, 1) for w in chosen) or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise ValueError(f"expected at least two distinct widths, integers >= 1, got {widths!r}; try (2, 5, 20)")
    if not is_whole(seed, 0) or seed >= 2**32 - 1:
        raise ValueError(f"expected seed to be an integer >= 0 and below 2^32 - 1, got {seed!r}; try 0")
    return EXPERIMENTS[name], int(n), tuple(sorted(int(w) for w in chosen))


def deviation(data: Correlators, kernel: Vector, order: int, *, width: int = 0, space: str = "") -> Deviation:
    """m_n of correlators against the Gaussian process of kernel K, on sorted pairs (pair,), with error and floor.

    The floor is the mean of sqrt(2/pi) se/|G_GP|: what m_n is on average where G = G_GP.

    Example:
        >>> one = Correlators.from_arrays(np.zeros((1, 1)), moments={2: np.array([1.0]), 4: np.array([3.3])})
        >>> round(deviation(one, np.array([1.0]), 4).value, 12)
        0.1
    """
    limit = moments_from_connected({2: kernel}, len(data.points), order)
    weights = 1.0 / (limit * len(limit))
    ratio = data.moment(order) / limit - 1.0
    rows = {kind: data.rows.get(kind, {}).get(order, np.zeros((0, len(limit)))) for kind in ("moment", "connected")}
    signed = order > 2
    return Deviation(
        width,
        space,
        order,
        value=float(np.mean(np.abs(ratio))),
        error=float(np.linalg.norm(rows["moment"] @ (np.sign(ratio) * weights))),
        floor=float(np.sqrt(2.0 / np.pi) * np.linalg.norm(rows["moment"], axis=0) @ np.abs(weights)),
        connected=float(data.connected(order) @ weights) if signed else float("nan"),
        connected_error=float(np.linalg.norm(rows["connected"] @ weights)) if signed else float("nan"),
    )


def power_law(widths: Sequence[int], values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The power p of A N^p and its standard error, by least squares; values within their noise of zero are welcome.

    A is eliminated, chi^2(p) minimised, and the error is half the width of chi^2(p) <= chi^2_min + 1: inf if that
    interval does not close. Errors of different widths count as independent.

    Example:
        >>> p, error = power_law([2, 5, 20], [0.5, 0.2, 0.05], [0.01, 0.01, 0.01])
        >>> round(p, 6), round(error, 3)
        (-1.0, 0.05)
    """
    size, value, error = np.asarray(widths, float), np.asarray(values, float), np.asarray(errors, float)
    log = np.log(size / np.exp(np.mean(np.log(size))))

    def chi2(p: float) -> float:
        shape, target = np.exp(p * log) / error, value / error
        return float(target @ target - (shape @ target) ** 2 / (shape @ shape))

    grid = np.linspace(_STEEPEST, _FLATTEST, 321)
    start = grid[np.argmin([chi2(p) for p in grid])]
    lowest: Any = minimize_scalar(chi2, bounds=(start - 0.05, start + 0.05), method="bounded", options={"xatol": 1e-9})
    best = float(lowest.x)
    least = chi2(best)
    sides = []
    for edge in (_STEEPEST, _FLATTEST):
        closed = chi2(edge) > least + 1.0
        crossing: Any = brentq(lambda p: chi2(p) - least - 1.0, best, edge) if closed else np.inf
        sides.append(abs(crossing - best))
    return best, float(np.mean(sides))


def _slope(deviations: Sequence[Deviation], space: str, order: int) -> Slope:
    every = [d for d in deviations if (d.space, d.order) == (space, order)]
    given = [d for d in every if not d.why]
    if len(given) < 2:
        why = next(d.why for d in every if d.why)
        return Slope(space, order, why=f"{len(given)} of {len(every)} widths are given: {why}")
    p, error = power_law([d.width for d in given], [d.connected for d in given], [d.connected_error for d in given])
    if not np.isfinite(error):
        return Slope(space, order, why=f"the noise hides it: any power of N fits the {len(given)} widths given")
    return Slope(space, order, p, error)


def _couplings(
    setting: Setting, widths: tuple[int, ...], n: int, key: jax.Array, progress: bool
) -> tuple[list[Fit], list[SixPoint]]:
    """Every model fitted to exact, neuron-space and field-space G4c, and the six-point functions they predict."""
    fitted, points, width = setting.fit_points, setting.coupling_points, setting.coupling_width
    network = setting.network(width)
    design, elsewhere = (vertex_design(network, x, cutoff=setting.cutoff) for x in (fitted, points))
    sources = {"exact": exact(network, fitted, orders=(2, 4))}
    for number, space in enumerate(("neuron", "field")):
        ensemble = Ensemble(network, points=fitted, n=n, key=jax.random.fold_in(key, number))
        sources[space] = measure(ensemble, orders=(2, 4), space=space, progress=progress)
    # The sixth order is needed of the held-out fields alone: it is what the couplings are to predict.
    others = Ensemble(network, points=points, n=n, key=jax.random.fold_in(key, 2))
    held = measure(others, orders=ORDERS, progress=progress)
    fits, six = [], []
    for space, data in sources.items():
        for model in MODELS:
            if 4 in data.refused:
                fits.append(Fit(space, model, why=data.refused[4]))
            else:
                # Equal weights: the same projection for every source, also where the model is wrong.
                fits.append(Fit(space, model, fit_correlators(data, design, couplings=model, weights="equal")))
    for other in sorted({*widths, width}):
        truth, data = exact(setting.network(other), points), exact(setting.network(other), fitted, orders=(2, 4))
        six.append(_six_point("exact", other, (), _gaussian(truth), truth))
        for model in MODELS:
            fit = fit_correlators(data, design, couplings=model, weights="equal").at(points, elsewhere)
            six.append(_six_point("exact", other, model, fit.predict(truth.connected(2)), truth))
    if 6 not in held.refused:
        kernel = exact(network, points, orders=(2,)).connected(2)
        # Couplings from the neurons, the six-point function from other networks: independent, as a difference needs.
        for fit in fits:
            if fit.space == "neuron" and fit.result is not None:
                predicted = fit.result.at(points, elsewhere).predict(kernel)
                six.append(_six_point("field", width, fit.model, predicted, held))
    return fits, six


def _gaussian(truth: Correlators) -> Correlators:
    kernel = truth.connected(2)
    moments = {r: moments_from_connected({2: kernel}, len(truth.points), r) for r in ORDERS}
    return Correlators(truth.points, moments, {2: kernel}, maker="predicted", even=True)


def _six_point(space: str, width: int, model: tuple[str, ...], predicted: Correlators, truth: Correlators) -> SixPoint:
    difference, true = predicted - truth, truth.moment(6)
    relative = difference.moment(6) / true
    rows = difference.rows.get("moment", {}).get(6, np.zeros((0, len(true))))
    error = float(np.linalg.norm(rows @ (1.0 / (true * len(true)))))
    chi2 = difference.chi2(6, kind="moment") if len(rows) and space != "exact" else None
    return SixPoint(space, width, model, float(np.mean(np.abs(relative))), float(np.mean(relative)), error, chi2)
