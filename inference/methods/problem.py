"""What a fit works on before any sampling: checked data, a metric fixed before them, the equations and the prior.

The metric W of score matching decides what is estimated once the action is truncated, so it is fixed without looking at
the data that are fitted (`equations/metric.py`). It enters A, b and psi and nothing else: units, prior, eps4 and the
lines of diagrams are those of the two-point function K of the field, exact or measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from ...models.actions.base import AbstractAction
from ...models.actions.ladder import action_words
from ...models.actions.odd import Odd
from ...models.actions.rungs import FullQuartic
from ...models.correlators import Correlators, check_scrambles
from ...models.refusals import checked_weights
from ...models.types import Matrix, Points, Vector
from ..ensembles.chains import check_worth
from ..ensembles.ensemble import Ensemble
from ..ensembles.modes import in_modes, leading_modes
from ..ensembles.moments import MAX_COMPONENTS
from ..ensembles.samples import Samples
from ..ensembles.source import Source
from ..equations.from_fields import Observed, direct_equations
from ..equations.from_moments import Equations, Gains, equations, gains
from ..equations.metric import Metrics, check_gram, choose_metrics
from ..equations.parity import check_even
from ..equations.schwinger_dyson import moment_equations, scaled_moments
from ..equations.terms import Terms, terms_of
from ..estimators.as_if import with_scatter
from ..estimators.measure import MIN_NETWORKS, about_source, check_source, measure, places_of
from ..estimators.tails import Tail, gravest, judge_tail
from ..pooling.pool import restored
from ..priors.unit import Prior, default_prior, relaxed
from ..programs.density import check_density

__all__ = ["LEAST_FEW", "FromCorrelators", "FromFields", "FromPolynomial", "Full", "Problem", "prepare"]

LEAST_FEW = 20  # networks for the first answer of any kind, `inf.few_networks`

_DENSE_POINTS = 24  # beyond it the metric is diagonal: A then costs a site at a time
_LEAST_LATTICES = 100  # of configurations of a lattice, each of which averages over its sites
_FULL_POINTS = 8  # up to here the full quartic (330 couplings) is judged beside the action, in the same pass


class Full(NamedTuple):
    """The full quartic action beside the one that is fitted: its terms, and its equations at the same pilot."""

    terms: Terms
    equations: Equations


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What a fit works on, in scaled fields.

    Attributes:
        points: (point, axis); the numbers of the modes for an action of modes.
        data: the correlators that are known; None on a lattice too large for any.
        source: the networks behind them, where there are any.
        action: as asked for.
        equations: A, b, B of score matching.
        prior: on the scaled couplings.
        terms: the scaled terms of the action.
        weights: quadrature weights, (point,).
        metric: W, (point, point).
        two_point: K of the field, (point, point).
        metric_from: where W came from.
        modes: rows of the modes, (mode, point), for an action of modes.
        given: whether W was prescribed; the units of the terms are then those of K.
        tail: whether what the fit averages over networks has an average with an error; None where nothing is known.
        of_correlators: whether a quartic action is fitted to moments of order 2, 4 and 6.
        observed: the means of the terms, of a fit to fields.
        full: the full quartic action beside this one, where it is judged too.
    """

    points: Points
    data: Correlators | None
    source: Source | None
    action: AbstractAction
    equations: Equations
    prior: Prior
    terms: Terms
    weights: Vector
    metric: Matrix
    two_point: Matrix
    metric_from: str
    modes: np.ndarray | None = None
    given: bool = False
    tail: Tail | None = None
    of_correlators: ClassVar[bool] = False
    observed: ClassVar[Observed | None] = None
    full: ClassVar[Full | None] = None

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

    @property
    def scale(self) -> Vector:
        """Units of the scaled fields: standard deviations of the field by W, or by K where W was prescribed."""
        return self.terms.scale

    @property
    def factors(self) -> Vector:
        """Physical coupling = scaled coupling / factor, (term,)."""
        return self.terms.factors

    @property
    def gains(self) -> Gains | None:
        """How much the interaction improves the score over the best Gaussian, and the share of the full quartic's."""
        return gains(self.equations, self.full and self.full.equations, self.terms.gaussian)

    @property
    def odd_p(self) -> float | None:
        """P-value of vanishing odd averages, where they are known."""
        if not self.action.even or self.data is None or not any(order in self.data.moments for order in (1, 3)):
            return None
        return check_even(self.data)

    @property
    def about(self) -> Mapping[str, Any]:
        """Where the data come from, name -> word or number."""
        return {} if self.data is None else self.data.about


@dataclass(frozen=True, eq=False, kw_only=True)
class FromCorrelators(Problem):
    """A quartic action of few points, fitted to moments of order 2, 4 and 6 of any maker."""

    data: Correlators
    of_correlators: ClassVar[bool] = True
    full: Full | None = field()


@dataclass(frozen=True, eq=False, kw_only=True)
class FromFields(Problem):
    """Any action, fitted to the fields of networks themselves."""

    source: Source
    observed: Observed = field()

    @property
    def odd_p(self) -> float | None:
        return self.observed.odd_p if self.action.even else None

    @property
    def about(self) -> Mapping[str, Any]:
        return about_source(self.source) if self.data is None else self.data.about


@dataclass(frozen=True, eq=False, kw_only=True)
class FromPolynomial(Problem):
    """An action of every monomial, given by exact moments up to order ten."""

    data: Correlators
    source: None = None

    @property
    def gains(self) -> None:
        return None


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
    check_action(action)
    if isinstance(data, Correlators):
        data = restored(data)
    else:
        check_source(data)
    data = places_of(data)
    source = data.source if isinstance(data, Correlators) else data
    networks = data.networks if isinstance(data, Correlators) else check_worth(data).effective
    scattered = None
    if as_if_n is not None:
        data, scattered = with_scatter(data, key)
        networks = as_if_n
    if np.isinf(networks) and isinstance(data, Correlators) and any(data.rows.values()):
        raise ValueError(
            "expected the number of networks behind a covariance, got infinitely many; try "
            "Correlators.from_arrays(..., networks=100_000)"
        )
    lattice = action.homogeneous
    if lattice:  # one field averages over its sites: the prior is worth one of them
        prior_scale = prior_scale * float(np.sqrt(len(data.points)))
    least = _LEAST_LATTICES if lattice else MIN_NETWORKS[6]
    if networks < least and lattice:
        raise ValueError(
            f"expected at least {least} independent configurations of a lattice, got {networks:.0f}; try a longer run"
        )
    if networks < least:
        few = (
            "inf.few_networks(samples, key=key) for what so few can tell (Gaussianity, bounds on eps4 and couplings, "
            "networks needed), or inf.design(network, points, n) before drawing more"
        )
        raise ValueError(
            f"expected at least {least} networks to fit couplings (sixth-order moments enter), got {networks:.0f}; try "
            + (few if networks >= LEAST_FEW else "drawing more")
        )
    check_density(data.model, np.asarray(data.points))
    found = choose_metrics(data, source, metric, action, lattice)
    rest = data if found.rest is None else found.rest
    modes = None
    if action.of_modes is not None:
        if weights is not None:
            raise ValueError("expected no quadrature weights for an action of modes, got some; try leaving them out")
        modes, share = leading_modes(found.two_point, action.of_modes)
        exact_modes, networks_in_modes = in_modes(rest, modes)
        rest = exact_modes if exact_modes is not None else networks_in_modes
        source = networks_in_modes
        unit = np.eye(action.of_modes)
        inside = modes @ found.metric @ modes.T if found.given else unit
        where = f"{action.of_modes} modes ({share:.1%} of the variance), {found.where}"
        found = found._replace(metric=inside, two_point=unit, where=where)
    assert rest is not None
    points = np.asarray(rest.points)
    w = checked_weights(weights, len(points))
    common = {"points": points, "action": action, "weights": w, "modes": modes, "given": found.given}
    if not _through_correlators(action, len(points)) or (lattice and networks < MIN_NETWORKS[6]):
        return _from_fields(rest, found, prior_scale, common, progress)
    for matrix in (found.metric, found.two_point):
        check_gram(matrix)
    terms_of(action, found.metric, w)  # what does not fit the points is refused before any long pass
    kept = None if action.even else False  # whether odd moments are left out: by the data's own law, or not at all
    measured = rest if isinstance(rest, Correlators) else measure(rest, even=kept, progress=progress)
    # Before any sampling: what the finished fit says of its G2 and G4c needs their joint covariance.
    check_scrambles(measured, sum(len(v) for r, v in measured.cumulants.items() if r in (2, 4)), "a fit and its eps4")
    if action.even:
        check_even(measured)
    two_point = found.two_point if found.exact else measured.tensor(2, "moment")
    scale = _units(two_point, found.given)
    terms = terms_of(action, found.metric, w, scale=scale)
    prior = default_prior(terms, scale=prior_scale, two_point=two_point / np.outer(terms.scale, terms.scale))
    same = terms.quadratic == comb(len(points) + 1, 2)  # else the best Gaussian is not that of the full quartic action
    richest = FullQuartic() if action.even else Odd(FullQuartic())
    wide = terms_of(richest, found.metric, w, scale=scale) if len(points) <= _FULL_POINTS and same else None
    eq, whole = equations(
        measured,
        terms,
        pilot_precision=prior.precision,
        pilot_centre=prior.mean,
        full=wide,
        networks=as_if_n,
        progress=progress,
    )
    if np.any(eq.noise):
        prior = relaxed(prior, eq.matrix, eq.noise, scale=prior_scale)
    return FromCorrelators(
        data=measured,
        source=measured.source if source is None else source,
        equations=eq,
        prior=prior,
        metric=found.metric,
        metric_from=found.where,
        two_point=two_point,
        terms=terms,
        tail=gravest(scattered, _of_orders(measured), eq.tail),
        full=None if wide is None or whole is None else Full(wide, whole),
        **common,
    )


def check_action(action: Any) -> None:
    """Refuse what is no action, and one whose words no fit could remember."""
    if not isinstance(action, AbstractAction):
        raise ValueError(f"expected an action such as Bilocal(), got {action!r}; try models.Bilocal()")
    action_words(action)


def _through_correlators(action: AbstractAction, points: int) -> bool:
    """Small quartic actions are fitted to correlators of any maker, all others to the fields themselves."""
    few = comb(points + 5, 6) <= MAX_COMPONENTS
    return few and action.through_correlators(points)


def _from_fields(rest: Any, found: Metrics, scale: float, common: dict[str, Any], progress: bool) -> Problem:
    """The problem of an action that is fitted to fields."""
    points, w, action = common["points"], common["weights"], common["action"]
    lattice = action.homogeneous
    source = rest.source if isinstance(rest, Correlators) else rest
    if source is None:
        if isinstance(rest, Correlators) and np.isinf(rest.networks):
            return _from_moments(rest, found, scale, common)
        raise ValueError(
            f"expected networks to fit {type(action).__name__} at {len(points)} points, got correlators without them; "
            "try inf.fit(ensemble, ...) or inf.fit(samples, ...)"
        )
    if not lattice:
        for matrix in (found.metric, found.two_point):
            check_gram(matrix)
    size = action.size(len(points)) + sum(len(labels) for labels in action.quadratic_blocks(len(points)).values())
    if (networks := source.dependence.effective) < 2 * size:  # before anything of that size is made
        what = "configurations" if lattice else "networks"
        raise ValueError(
            f"expected at least {2 * size} {what} for the covariance of {size} terms, got {networks:.0f}; try a "
            f"smaller reach or action, or more {what}"
        )
    metric, where = found.metric, found.where
    if not found.given and (lattice or len(points) > _DENSE_POINTS):
        metric, where = np.diag(np.diag(metric)), f"variances ({where})"
    judged = judge_tail(source, 2 * (action.degree - 1))
    if judged.verdict == "refused":
        raise ValueError(
            f"expected fields whose powers have averages, phi^{2 * (action.degree - 1)} for an action of degree "
            f"{action.degree}, got: {judged.why}"
        )
    orders = tuple(r for r in (1, 2, 3, 4) if comb(len(points) + r - 1, r) <= MAX_COMPONENTS)
    kept = None if action.even else False
    data = measure(source, orders=orders, even=kept, progress=progress) if 2 in orders else None
    # What is known of the model, or of a lattice, already averaged over sites, is better than what was measured.
    two_point = found.two_point if found.exact or lattice or data is None else data.tensor(2, "moment")
    terms = terms_of(action, metric, w, scale=_units(two_point, found.given))
    scaled = two_point / np.outer(terms.scale, terms.scale)
    prior = default_prior(terms, scale=scale, two_point=scaled, homogeneous=lattice)
    eq, seen = direct_equations(
        source, terms, pilot_precision=prior.precision, pilot_centre=prior.mean, progress=progress
    )
    return FromFields(
        data=data,
        source=source,
        equations=eq,
        prior=relaxed(prior, eq.matrix, eq.noise, scale=scale),
        terms=terms,
        metric=metric,
        metric_from=where,
        two_point=two_point,
        observed=seen,
        tail=gravest(judged, eq.tail),
        **common,
    )


def _of_orders(data: Correlators) -> Tail | None:
    """The gravest verdict on the moments that a quartic action averages."""
    if data.source is None and not data.flags:
        return None
    flagged = [data.flags[order] for order in (6, 4, 2) if order in data.flags]
    return Tail("flagged", flagged[0]) if flagged else Tail("ok", "no moment of order 2, 4 or 6 is flagged")


def _units(two_point: Matrix, given: bool) -> Vector | None:
    """Standard deviations of the field, where a prescribed W does not have them, (point,)."""
    return np.sqrt(np.diag(two_point)) if given else None


def _from_moments(data: Correlators, found: Metrics, scale: float, common: Any) -> Problem:
    """An action of every monomial from exact moments, the full sextic one up to order ten."""
    action, metric = common["action"], found.metric
    if not action.complete:
        raise ValueError(
            f"expected networks to fit {type(action).__name__} at {len(metric)} points, got exact correlators; try "
            "inf.fit(ensemble, ...)"
        )
    terms = terms_of(action, metric, common["weights"])
    matrix, vector = moment_equations(terms, scaled_moments(terms, data))
    prior = default_prior(terms, scale=scale, two_point=found.two_point / np.outer(terms.scale, terms.scale))
    zero = np.zeros_like(matrix)
    eq = Equations(matrix, vector, zero, np.linalg.solve(matrix, vector), np.inf, np.inf, np.zeros((3, 3)))
    return FromPolynomial(
        data=data,
        equations=eq,
        prior=prior,
        terms=terms,
        metric=metric,
        metric_from=found.where,
        two_point=found.two_point,
        **{**common, "given": False},  # the matrix above is in units of W
    )
