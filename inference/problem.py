"""What a fit works on before any sampling: checked data, a metric fixed before them, the equations and the prior.

The metric W of score matching decides what is estimated once the action is truncated, so it is fixed without looking
at the data that are fitted: the exact kernel of the model, further networks of the recipe, or held-out networks of an
array.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..models.actions import AbstractAction, FullQuartic
from ..models.correlators import Correlators
from ..models.exact import exact, known_orders
from ..models.networks import Network
from ..models.types import Matrix, Points, Vector
from .basis import Basis, make_basis
from .ensembles import Ensemble
from .likelihood import Prior, default_prior
from .measure import MIN_NETWORKS, check_even, measure
from .samples import Samples
from .score import Equations, equations
from .structure import run
from .tails import judge_tail

__all__ = ["Problem", "prepare"]

_HELD_OUT = 0.02  # share of the networks that only fix the metric when no exact kernel is known
_STAND_IN = 65_536  # networks whose scatter stands for that of `as_if_n` of them
_RICH_POINTS = 8  # up to here the full quartic (330 couplings) is judged beside the action, in the same pass


@dataclass(frozen=True)
class Problem:
    """What a fit works on; `rich` are the equations of the full quartic action at the same pilot."""

    data: Correlators
    action: AbstractAction
    basis: Basis
    equations: Equations
    prior: Prior
    weights: Vector
    metric: Matrix
    metric_from: str
    rich_basis: Basis | None
    rich: Equations | None


def prepare(
    data: Correlators | Ensemble | Samples,
    action: AbstractAction,
    *,
    metric: Matrix | None = None,
    weights: Vector | None = None,
    prior_scale: float = 1.0,
    as_if_n: int | None = None,
    key: jax.Array | None = None,
    progress: bool = False,
) -> Problem:
    """Check the data, fix the metric, and set up the estimating equations and the prior. Arguments as in `fit`."""
    if not isinstance(action, AbstractAction):
        raise ValueError(f"expected an action such as Bilocal(), got {action!r}; try models.Bilocal()")
    source = data.source if isinstance(data, Correlators) else data
    points = np.asarray(data.points)
    w = _check_weights(weights, len(points))
    networks = data.networks if isinstance(data, Correlators) else data.n
    if as_if_n is not None:
        data = _stand_in(data, as_if_n, key)
        networks = as_if_n
    if np.isinf(networks) and isinstance(data, Correlators) and any(data.rows.values()):
        raise ValueError(
            "expected the number of networks behind a covariance, got infinitely many; try "
            "Correlators.from_arrays(..., networks=100_000)"
        )
    if networks < MIN_NETWORKS[6]:
        raise ValueError(
            f"expected at least {MIN_NETWORKS[6]} networks to fit couplings (sixth-order moments enter), "
            f"got {networks:.0f}; try more networks, or inf.measure(data, orders=(2, 4)) for what so few can tell"
        )
    _check_density(getattr(data, "model", None), points)
    chosen, metric_from, rest = _metric(data, source, metric)
    make_basis(action, chosen, w)  # refuses a singular Gram matrix before any long pass
    if rest is not None:
        measured = measure(rest, progress=progress)
    elif isinstance(data, Correlators):
        measured = data
    else:
        measured = measure(data, progress=progress)
    check_even(measured)
    basis = make_basis(action, chosen, w)
    prior = default_prior(basis, scale=prior_scale)
    full = make_basis(FullQuartic(), chosen, w) if len(points) <= _RICH_POINTS else None
    eq, rich = equations(
        measured,
        basis,
        pilot_precision=prior.precision,
        pilot_centre=prior.mean,
        rich=full,
        networks=as_if_n,
        progress=progress,
    )
    return Problem(measured, action, basis, eq, prior, w, chosen, metric_from, full, rich)


def _check_density(model: Any, points: Points) -> None:
    """Refuse networks whose field has no smooth density on the points: Schwinger-Dyson equations then fail.

    N neurons with p continuous parameters each reach a surface of dimension N p; the density of one neuron diverges,
    that of one or two +-1 neurons ends in a step, where partial integration leaves a boundary term.
    """
    if type(model) is not Network:
        return
    continuous: list[str] = []

    def values(key: jax.Array) -> dict[str, jax.Array]:
        sites = run(model, jnp.asarray(points), key)
        drawn = {n: s for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
        continuous.extend(n for n, s in drawn.items() if not _discrete(s["fn"]))
        return {n: s["value"] for n, s in drawn.items()}

    shapes = jax.eval_shape(values, jax.random.key(0))  # nothing is drawn, whatever the width
    free = sum(int(np.prod(shapes[name].shape)) for name in set(continuous))
    if free < len(points):
        raise ValueError(
            f"expected networks with at least as many continuous parameters as points, got {free} parameters for "
            f"{len(points)} points, where the field has no density and no action; try more neurons or fewer points"
        )
    few = 2 if model.readout == "rademacher" else 1
    if model.width <= few and model.output_bias == 0.0:
        raise ValueError(
            f"expected more than {few} neuron{'s' if few > 1 else ''} of readout {model.readout} for a smooth density, "
            f"got width {model.width}, whose density diverges or ends in a step; try width={few + 1} or an output_bias"
        )


def _discrete(law: Any) -> bool:
    """Whether a law has atoms; an affine map of a discrete one counts its image as continuous."""
    while hasattr(law, "base_dist"):
        law = law.base_dist
    return bool(law.is_discrete)


def _stand_in(data: Any, as_if_n: int, key: jax.Array | None) -> Correlators:
    """Exact correlators with networks of their model as source: the scatter of one network, not its noise."""
    if not isinstance(data, Correlators) or not np.isinf(data.networks) or any(data.rows.values()):
        raise ValueError(
            f"expected exact correlators with as_if_n, got {getattr(data, 'maker', 'networks')} ones, which have "
            "errors of their own; try leaving as_if_n out, or m.exact(network, points)"
        )
    if data.model is None or key is None:
        raise ValueError(
            "expected correlators whose network is known, and a key, to say how it scatters, got neither or one; "
            "try m.exact(network, points)"
        )
    stand_in = Ensemble(data.model, points=np.asarray(data.points), n=_STAND_IN, key=key)
    tail = judge_tail(stand_in, 6)
    if tail.verdict == "refused":
        raise ValueError(f"expected networks whose scatter has an average, got: {tail.why}; try the point result")
    return replace(data, source=stand_in)


def _metric(data: Any, source: Any, metric: Matrix | None) -> tuple[Matrix, str, Samples | None]:
    """The metric, where it came from, and the samples that remain when some were held out for it."""
    points = len(data.points)
    if metric is not None:
        given = np.asarray(metric, dtype=float)
        if given.shape != (points, points) or not np.allclose(given, given.T):
            raise ValueError(f"expected a symmetric metric of shape {(points, points)}, got {given.shape}; try G2")
        return given, "given", None
    network = getattr(data, "model", None)
    if network is not None and 2 in known_orders(network):
        return exact(network, np.asarray(data.points), orders=(2,)).tensor(2), "exact kernel", None
    if isinstance(source, Ensemble):
        fields = source.read(source.n, 4096).astype(float)  # beyond the ensemble: independent of it
        return fields.T @ fields / len(fields), "4096 further networks", None
    if isinstance(source, Samples):
        count = int(max(500, _HELD_OUT * source.n))
        head, rest = source.split(count)
        fields = head.read(0, count).astype(float)
        return fields.T @ fields / count, f"the first {count} networks, held out", rest
    return data.tensor(2, "moment"), "two-point function of the data", None


def _check_weights(weights: Vector | None, points: int) -> Vector:
    if weights is None:
        return np.ones(points)
    w = np.asarray(weights, dtype=float)
    if w.shape != (points,) or not np.all(np.isfinite(w)) or np.any(w <= 0):
        raise ValueError(f"expected {points} positive quadrature weights, got {w!r}; try np.gradient(x) for a grid")
    return w
