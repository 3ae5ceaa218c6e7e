"""What a fit works on before any sampling: checked data, a metric fixed before them, the equations and the prior.

The metric W of score matching decides what is estimated once the action is truncated, so it is fixed without looking
at the data that are fitted: the exact kernel of the model, further networks of the recipe, or held-out networks of an
array.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import Any

import jax
import numpy as np

from ..models.actions import AbstractAction, Constant, FullQuartic, FullSextic, Modes
from ..models.correlators import Correlators, check_scrambles
from ..models.lattice_actions import LatticePhi4, TranslationInvariant
from ..models.types import Matrix, Points, Vector
from .basis import Basis, make_basis
from .density import check_density
from .direct import Observed, direct_equations
from .ensembles import Ensemble
from .measure import MIN_NETWORKS, check_even, check_source, measure
from .metric import choose_metric, over_translations
from .modes import in_modes, leading_modes
from .moments import MAX_COMPONENTS
from .polynomial import polynomial_equations
from .prior import Prior, default_prior
from .samples import Samples
from .score import Equations, equations
from .tails import judge_tail
from .terms import Terms, terms_of

__all__ = ["Problem", "is_lattice", "prepare"]

_STAND_IN = 65_536  # networks whose scatter stands for that of `as_if_n` of them
_DENSE_POINTS = 24  # beyond it the metric is diagonal: A then costs a site at a time
_LEAST_LATTICES = 100  # of configurations of a lattice, each of which averages over its sites
_RICH_POINTS = 8  # up to here the full quartic (330 couplings) is judged beside the action, in the same pass


@dataclass(frozen=True, eq=False)
class Problem:
    """What a fit works on, in scaled fields; `rich` are the equations of the full quartic action at the same pilot.

    Attributes:
        points: (point, axis); the numbers of the modes for an action of modes.
        data: the correlators of the fit; None on a lattice too large for any.
        source: the networks behind them, where there are any.
        action: as asked for.
        equations: A, b, B of score matching.
        prior: on the scaled couplings.
        factors: physical coupling = scaled coupling / factor, (term,).
        weights: quadrature weights, (point,).
        metric: W, (point, point).
        two_point: K where it is not W, (point, point).
        metric_from: where W came from.
        basis: the terms on all sorted tuples, of a fit to correlators; else `observed` holds their means.
        modes: rows of the modes, (mode, point), for an action of modes.
    """

    points: Points
    data: Correlators | None
    source: Any
    action: AbstractAction
    equations: Equations
    prior: Prior
    factors: Vector
    weights: Vector
    metric: Matrix
    two_point: Matrix
    metric_from: str
    basis: Basis | None = None
    observed: Observed | None = None
    rich_basis: Basis | None = None
    rich: Equations | None = None
    modes: np.ndarray | None = None

    @property
    def quadratic(self) -> int:
        """Number of quadratic terms, which come first."""
        return len(self.prior.factor2)

    @property
    def names(self) -> tuple[tuple[str, int], ...]:
        """All couplings in the order of the terms, (name, how many)."""
        count = len(self.points)
        blocks = {**self.action.quadratic_blocks(count), **self.action.blocks(count)}
        return tuple((name, len(labels)) for name, labels in blocks.items())

    @cached_property
    def terms(self) -> Terms:
        """The same terms, to be evaluated on fields."""
        return terms_of(self.action, self.metric, self.weights)


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
    if not isinstance(data, Correlators):
        check_source(data)
    source = data.source if isinstance(data, Correlators) else data
    networks = data.networks if isinstance(data, Correlators) else data.n
    if as_if_n is not None:
        data = _stand_in(data, as_if_n, key)
        networks = as_if_n
    if np.isinf(networks) and isinstance(data, Correlators) and any(data.rows.values()):
        raise ValueError(
            "expected the number of networks behind a covariance, got infinitely many; try "
            "Correlators.from_arrays(..., networks=100_000)"
        )
    lattice = is_lattice(action)
    if lattice:  # one field averages over its sites: the prior is worth one of them
        prior_scale = prior_scale * float(np.sqrt(len(data.points)))
    least = _LEAST_LATTICES if lattice else MIN_NETWORKS[6]
    if networks < least:
        raise ValueError(
            f"expected at least {least} networks to fit couplings (sixth-order moments enter), got {networks:.0f}; try "
            "inf.few_networks(samples, key=key) for what so few can tell (Gaussianity, bounds on eps4 and couplings, "
            "networks needed), or inf.design(network, points, n) before drawing more"
        )
    check_density(getattr(data, "model", None), np.asarray(data.points))
    if lattice and isinstance(source, Samples):  # the multiple of the unit matrix drops out, and K only sets the prior
        chosen, metric_from, rest = over_translations(source, action), "average over sites", None
    else:
        chosen, metric_from, rest = choose_metric(data, source, metric)
    rest = data if rest is None else rest
    modes = None
    if isinstance(action, Modes):
        if weights is not None:
            raise ValueError("expected no quadrature weights for an action of modes, got some; try leaving them out")
        modes, share = leading_modes(chosen, action.count)
        exact_modes, networks_in_modes = in_modes(rest, modes)
        rest = exact_modes if exact_modes is not None else networks_in_modes
        source = networks_in_modes
        chosen, metric_from = np.eye(action.count), f"{action.count} modes ({share:.1%} of the variance), {metric_from}"
    assert rest is not None
    points = np.asarray(rest.points)
    w = _check_weights(weights, len(points))
    common = {"points": points, "action": action, "weights": w, "metric_from": metric_from, "modes": modes}
    if not _through_correlators(action, len(points)):
        return _from_fields(rest, action, chosen, metric, prior_scale, common, progress)
    make_basis(action, chosen, w)  # refuses a singular Gram matrix before any long pass
    measured = rest if isinstance(rest, Correlators) else measure(rest, progress=progress)
    # Before any sampling: what the finished fit says of its G2 and G4c needs their joint covariance.
    check_scrambles(measured, sum(len(v) for r, v in measured.cumulants.items() if r in (2, 4)), "a fit and its eps4")
    check_even(measured)
    basis = make_basis(action, chosen, w)
    prior = default_prior(basis, scale=prior_scale)
    whole = len(basis.quadratic) == len(basis.pairs)  # else the best Gaussian is not that of the full quartic action
    full = make_basis(FullQuartic(), chosen, w) if len(points) <= _RICH_POINTS and whole else None
    eq, rich = equations(
        measured,
        basis,
        pilot_precision=prior.precision,
        pilot_centre=prior.mean,
        rich=full,
        networks=as_if_n,
        progress=progress,
    )
    return Problem(
        data=measured,
        source=measured.source if source is None else source,
        equations=eq,
        prior=prior,
        factors=basis.factors,
        metric=chosen,
        # On the lines of diagrams the measured function is better than one of a few held-out networks.
        two_point=measured.tensor(2, "moment") if metric is None and isinstance(source, Samples) else chosen,
        basis=basis,
        rich_basis=full,
        rich=rich,
        **common,
    )


def is_lattice(action: AbstractAction) -> bool:
    """Whether all sites are alike, so that one field already averages over them."""
    return isinstance(action, LatticePhi4) or (
        isinstance(action, TranslationInvariant) and action.periodic and action.shape is not None
    )


def _through_correlators(action: AbstractAction, points: int) -> bool:
    """Small quartic actions are fitted to correlators of any maker, all others to the fields themselves."""
    few = comb(points + 5, 6) <= MAX_COMPONENTS
    return few and action.degree == 4 and action.fixed(points) is None


def _from_fields(
    rest: Any,
    action: AbstractAction,
    two_point: Matrix,
    given: Matrix | None,
    scale: float,
    common: dict[str, Any],
    progress: bool,
) -> Problem:
    """The problem of an action that is fitted to fields; `given` is a metric that was prescribed."""
    points, w, lattice = common["points"], common["weights"], is_lattice(action)
    source = rest.source if isinstance(rest, Correlators) else rest
    if source is None:
        if isinstance(rest, Correlators) and np.isinf(rest.networks):
            return _from_moments(rest, action, two_point, scale, common)
        raise ValueError(
            f"expected networks to fit {type(action).__name__} at {len(points)} points, got correlators without them; "
            "try inf.fit(ensemble, ...) or inf.fit(samples, ...)"
        )
    if not lattice:
        make_basis(Constant(), two_point, w)  # refuses a singular Gram matrix
    metric, where = two_point if given is None else np.asarray(given, dtype=float), common["metric_from"]
    if given is None and (lattice or len(points) > _DENSE_POINTS):
        metric, where = np.diag(np.diag(two_point)), f"variances ({where})"
    terms = terms_of(action, metric, w)
    if source.n < 2 * terms.size:
        raise ValueError(
            f"expected at least {2 * terms.size} networks for the covariance of {terms.size} terms, got {source.n}; "
            "try a smaller reach or action, or more networks"
        )
    scaled = two_point / np.outer(terms.scale, terms.scale)
    prior = default_prior(terms, scale=scale, two_point=scaled, homogeneous=lattice)
    found, seen = direct_equations(
        source, terms, pilot_precision=prior.precision, pilot_centre=prior.mean, progress=progress
    )
    orders = tuple(r for r in (1, 2, 3, 4) if comb(len(points) + r - 1, r) <= MAX_COMPONENTS)
    data = measure(source, orders=orders, progress=progress) if 2 in orders else None
    return Problem(
        data=data,
        source=source,
        equations=found,
        prior=prior,
        factors=terms.factors,
        metric=metric,
        two_point=two_point,
        observed=seen,
        **{**common, "metric_from": where},
    )


def _from_moments(data: Correlators, action: AbstractAction, metric: Matrix, scale: float, common: Any) -> Problem:
    """The full sextic action from exact moments up to order ten."""
    if not isinstance(action, FullSextic):
        raise ValueError(
            f"expected networks to fit {type(action).__name__} at {len(metric)} points, got exact correlators; try "
            "inf.fit(ensemble, ...)"
        )
    matrix, vector = polynomial_equations(data, 6, metric=metric)
    terms = terms_of(action, metric, common["weights"])
    prior = default_prior(terms, scale=scale)
    zero = np.zeros_like(matrix)
    eq = Equations(matrix, vector, zero, np.linalg.solve(matrix, vector), np.inf, np.inf, np.zeros((3, 3)))
    return Problem(
        data=data,
        source=None,
        equations=eq,
        prior=prior,
        factors=terms.factors,
        metric=metric,
        two_point=metric,
        **common,
    )


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


def _check_weights(weights: Vector | None, points: int) -> Vector:
    if weights is None:
        return np.ones(points)
    w = np.asarray(weights, dtype=float)
    if w.shape != (points,) or not np.all(np.isfinite(w)) or np.any(w <= 0):
        raise ValueError(f"expected {points} positive quadrature weights, got {w!r}; try np.gradient(x) for a grid")
    return w
