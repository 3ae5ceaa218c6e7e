"""The gold standard: maximum likelihood of a bounded action, its partition function measured on a reference ensemble.

The action is linear in its couplings, so n networks enter through the averages Tbar alone: log L = -n (theta.Tbar +
log Z(theta)). Differences of log Z come from m reference fields drawn at a pilot theta_0: log Z(theta) - log Z(theta_0)
= log <exp(-(theta - theta_0).T)>. To second order that is one Fisher step, theta_1 = theta_0 + F^-1 (<T> - Tbar) with
F = Cov(T) (C. Geyer and E. Thompson, J. R. Stat. Soc. B 54 (1992) 657; recipe A), and n F is the Fisher information:
the Cramer-Rao bound is reached up to the reference's own noise, which widens every covariance by 1 + n/m. An action
that is unbounded below has no density, no Z, and no reference.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..equations.from_moments import Equations
from ..equations.schwinger_dyson import RESOLUTION_LIMIT
from ..equations.terms import Terms
from ..estimators.khat import FLAG_KHAT, REFUSE_KHAT, pareto_khat
from ..estimators.tails import Tail
from ..fields.streams import boundedness_of, field_stream

__all__ = [
    "REFERENCE_RATIO",
    "Reference",
    "draw_reference",
    "gold_equations",
    "judge_reference",
    "log_partition",
    "settled_reference",
    "weights_at",
]

REFERENCE_RATIO = 20.0  # reference fields per network: their noise then widens errors by less than 2.5 %
LEAST_ACCEPTANCE = 0.005  # of rejection: below it chains are cheaper
_BLOCK = 65_536  # fields summed at a time
_KEPT = 8_192  # draws whose T is kept: they only correct log Z beyond second order
_CONSTANT = 0.99  # share that reweighting leaves where the weights hardly vary
_APART, _NEWTON = 0.05, 6  # most between Fisher step and maximum, in standard deviations; Newton steps to the latter
_WORTH = 0.5  # share of the reference that reweighting must leave, else it is drawn again at the answer


class Reference(NamedTuple):
    """Fields drawn from exp(-S) at a pilot, as far as a likelihood needs them: sums of the terms, and some draws.

    pilot: theta_0, (term,); mean, fisher: average and covariance of T, (term,) and (term, term); kept: T of some of the
    draws, (draw, term); size: m; effective: how many independent fields they are worth; method: "rejection" or "NUTS";
    acceptance: of that method.
    """

    pilot: Vector
    mean: Vector
    fisher: Matrix
    kept: Float[np.ndarray, "draw term"]
    size: int
    effective: float
    method: str
    acceptance: float


@settled(None)
def draw_reference(
    terms: Terms,
    theta: Vector,
    m: int,
    *,
    key: jax.Array,
    kept: int = _KEPT,
    least_acceptance: float = LEAST_ACCEPTANCE,
) -> Reference:
    """Draw m reference fields from exp(-S): independently by rejection from the free theory, else by NUTS.

    Rejection keeps a field of the Gaussian with the quadratic part of S with probability exp(-S_int). It needs a
    positive quadratic part, an interaction that is nowhere negative, and enough fields kept; `fields.sample_action`
    needs nothing of this, but its fields are worth fewer than they are.

    Args:
        terms: terms of the action, at most a few thousand.
        theta: pilot, scaled couplings, (term,).
        m: number of fields; 20 for each network of the data.
        key: `jax.random.key(seed)`.
        kept: draws whose terms are kept for what is beyond second order in theta - pilot.
        least_acceptance: share of free fields that rejection must keep, else NUTS draws them; 1 for always NUTS.

    Raises:
        ValueError: an action that is unbounded below, with direction and value; chains that have not mixed.

    Example, one site, S = phi^2/2 + phi^4/10, where <phi^2> = 0.6155 by quadrature:
        >>> from nnft.models.actions.rungs import Local
        >>> from nnft.inference.equations.terms import terms_of
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> found = draw_reference(terms, np.array([0.5, 0.1]), 40_000, key=jax.random.key(0))
        >>> bool(abs(found.mean[0] - 0.6155) < 5 * np.sqrt(found.fisher[0, 0] / 40_000))
        True
    """
    pilot = np.asarray(theta, dtype=float)
    if pilot.shape != (terms.size,) or not np.all(np.isfinite(pilot)):
        raise ValueError(f"expected a pilot of {terms.size} finite couplings, got shape {pilot.shape}; try a fit's")
    if m < 4 * terms.size:
        raise ValueError(
            f"expected at least 4 reference fields for each of {terms.size} terms, got {m}; try 20 per network"
        )
    stream = field_stream(terms, pilot, m, key=key, least_acceptance=least_acceptance)
    parts = [(part.term, part.tuples, part.coefficient) for part in terms.parts]
    counts = tuple((part.count, np.array_equal(part.term, np.arange(part.count))) for part in terms.parts)
    first, second = np.zeros(terms.size), np.zeros((terms.size, terms.size))
    thinned: list[np.ndarray] = []
    block, kept = min(_BLOCK, m), max(kept, 4 * terms.size)  # the covariance of the kept draws has an inverse
    for start in range(0, m, block):
        count = min(block, m - start)
        fields = stream.take(block) / terms.scale
        with settled():
            values = np.asarray(_values(parts, counts, fields))[:count]
        first += values.sum(axis=0)
        second += values.T @ values
        if start < kept:
            thinned.append(values[: kept - start].copy())
    mean = first / m
    fisher = second / m - np.outer(mean, mean)
    worth = min(float(m), stream.worth)
    return Reference(pilot, mean, fisher, np.concatenate(thinned), m, worth, stream.method, stream.acceptance)


@partial(jax.jit, static_argnums=1)
def _values(parts: list[Any], counts: tuple[tuple[int, bool], ...], fields: jax.Array) -> jax.Array:
    """T_k of scaled fields, (network, term), as `Terms.values`: one program for all actions of the same shape.

    counts: of each part the number of its terms, and whether each is a single monomial.
    """
    phi, found = fields.T, []
    for (term, tuples, coefficient), (count, single) in zip(parts, counts, strict=True):
        value = coefficient[:, None] * phi[tuples[:, 0]]
        for j in range(1, tuples.shape[1]):
            value = value * phi[tuples[:, j]]
        found.append(value if single else jax.ops.segment_sum(value, term, num_segments=count))
    return jnp.concatenate(found).T


def log_partition(reference: Reference) -> Callable[[Float[Array, " term"]], Float[Array, ""]]:
    """The function theta -> log Z(theta) - log Z(pilot), differentiable and convex; call it in double precision.

    Reweighting the kept draws, turned so that their mean and covariance are those of all m draws: as they stand, log
    <exp(-delta.T)> of a few thousand draws would be as noisy as they are few. Tried and left out: the difference of the
    covariances as a quadratic term, which is not convex and lets a sampler run away.

    Example, the shift of log Z at the pilot is zero and its slope -<T>:
        >>> ref = Reference(np.zeros(1), np.ones(1), np.eye(1), np.array([[0.0], [2.0]]), 2, 2.0, "rejection", 1.0)
        >>> shift = log_partition(ref)
        >>> float(shift(jnp.zeros(1))), jax.grad(shift)(jnp.zeros(1)).tolist()
        (0.0, [-1.0])
    """
    parts = parts_of(reference)
    return lambda theta: log_ratio(theta, *parts)


def parts_of(reference: Reference) -> tuple[Vector, Vector, Float[np.ndarray, "draw term"]]:
    """What `log_ratio` needs: pilot, mean, and the kept draws about it with the covariance of all draws."""
    centred = reference.kept - reference.kept.mean(axis=0)
    ours = np.linalg.cholesky(centred.T @ centred / len(centred))
    turn = np.linalg.solve(ours.T, np.linalg.cholesky(reference.fisher).T)
    return reference.pilot, reference.mean, centred @ turn


def log_ratio(theta: Any, pilot: Any, mean: Any, centred: Any) -> jax.Array:
    """The shift log Z(theta) - log Z(pilot) from `parts_of` a reference."""
    shift = theta - pilot
    exponents = -(centred @ shift)
    top = jax.lax.stop_gradient(exponents.max())
    return jnp.log(jnp.mean(jnp.exp(exponents - top))) + top - shift @ mean


def weights_at(reference: Reference, theta: Vector) -> tuple[float, float]:
    """What the reference is worth at theta: independent fields after reweighting, and Pareto k-hat of the weights.

    Weights that hardly vary (worth 99 % or more) have no tail to speak of: their k-hat is -inf.
    """
    exponents = -(reference.kept - reference.kept.mean(axis=0)) @ (np.asarray(theta) - reference.pilot)
    weights = np.exp(exponents - exponents.max())
    share = float(weights.mean() ** 2 / np.mean(weights**2))
    return reference.effective * share, pareto_khat(weights) if share < _CONSTANT else -np.inf


def gold_equations(terms: Terms, tbar: Vector, n: float, reference: Reference) -> Equations:
    """Recipe A, one Fisher step, as estimating equations: F theta = F theta_1 with noise F (1 + n/m).

    Args:
        terms: terms of the action.
        tbar: average of the scaled terms over the networks, (term,).
        n: number of networks.
        reference: from `draw_reference`.

    Returns:
        Equations whose sandwich is F^-1 (1/n + 1/m_eff) and whose naive covariance is the Cramer-Rao bound F^-1/n.

    Raises:
        ValueError: averages that do not fit; a Fisher matrix that is round-off; a reference worth fewer fields than
            there are networks.

    Example:
        >>> from nnft.models.actions.rungs import Local
        >>> from nnft.inference.equations.terms import terms_of
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> ref = draw_reference(terms, np.array([0.5, 0.1]), 40_000, key=jax.random.key(0))
        >>> found = gold_equations(terms, ref.mean, 2_000, ref)  # networks just like the reference
        >>> found.estimate.round(6).tolist(), round(float(found.sandwich[0, 0] / found.naive[0, 0]), 3)
        ([0.5, 0.1], 1.05)
    """
    tbar = np.asarray(tbar, dtype=float)
    if tbar.shape != (terms.size,) or reference.pilot.shape != (terms.size,):
        raise ValueError(
            f"expected averages and a reference of {terms.size} terms, got {tbar.shape} and {reference.pilot.shape}; "
            "try the terms they were made with"
        )
    if not 0 < n <= reference.effective:
        raise ValueError(
            f"expected a reference worth more independent fields than there are networks, got "
            f"{reference.effective:.0f} for {n:.0f}; try {REFERENCE_RATIO:.0f} times as many as networks"
        )
    scale = np.sqrt(np.diag(reference.fisher))
    condition = np.linalg.cond(reference.fisher / np.outer(scale, scale))
    if not condition < RESOLUTION_LIMIT:
        raise ValueError(
            f"expected couplings a likelihood can tell apart (condition of F below {RESOLUTION_LIMIT:.0e}), got "
            f"{condition:.2e}; try a smaller action, fewer points or points further apart"
        )
    vector = reference.fisher @ reference.pilot + reference.mean - tbar
    noise = reference.fisher * (1.0 + n / reference.effective)
    return Equations(reference.fisher, vector, noise, reference.pilot, float(n), np.inf, np.zeros((3, 3)))


def judge_reference(reference: Reference, n: float, theta: Vector) -> Tail:
    """Is the reference good enough for n networks whose answer is theta? "ok", "flagged" or "refused", with the number.

    The rule: after reweighting to theta at least 20 independent fields for each network, and weights whose average
    converges (Pareto k-hat below 0.5; above 0.7 nothing can be said).
    """
    worth, khat = weights_at(reference, theta)
    if khat > REFUSE_KHAT:
        why = f"Pareto k-hat of the reference weights is {khat:.2f}, above {REFUSE_KHAT}; try a pilot nearer the answer"
        return Tail("refused", why)
    if khat > FLAG_KHAT:
        return Tail("flagged", f"Pareto k-hat of the reference weights is {khat:.2f}, above {FLAG_KHAT}")
    if worth < REFERENCE_RATIO * n * (1.0 - 1e-9):
        return Tail(
            "flagged",
            f"{worth:.3g} effective reference fields for {n:.3g} networks, {worth / n:.1f} each and not "
            f"{REFERENCE_RATIO:.0f}: errors are {100 * (np.sqrt(1 + n / worth) - 1):.1f}% above the bound",
        )
    return Tail("ok", f"{worth / n:.1f} effective reference fields for each network, k-hat {khat:.2f}")


def settled_reference(
    terms: Terms,
    tbar: Vector,
    n: float,
    pilot: Vector,
    *,
    key: jax.Array,
    ratio: float = 1.05 * REFERENCE_RATIO,
    rounds: int = 12,
) -> tuple[Reference, Equations]:
    """A reference near the answer: drawn again there until one Fisher step is the maximum of the reweighted likelihood.

    They must agree to .05 standard deviations, and reweighting to the answer leave half of the fields. The early
    rounds, when the pilot may be far off, take a tenth of the fields.

    Args:
        terms: terms of the action.
        tbar: average of the scaled terms over the networks, (term,).
        n: number of networks.
        pilot: scaled couplings to begin with, of a bounded action, (term,).
        key: `jax.random.key(seed)`.
        ratio: reference fields for each network, a little more than the rule asks for: reweighting costs some.
        rounds: references drawn at most.

    Raises:
        ValueError: as `draw_reference`; an answer still far from its pilot after all rounds.

    Example:
        >>> from nnft.models.actions.rungs import Local
        >>> from nnft.inference.equations.terms import terms_of
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> tbar = np.array([0.6155271857, 0.9611820357])  # quadrature at q = 1/2, g = 1/10
        >>> _, found = settled_reference(terms, tbar, 20_000, np.array([0.55, 0.12]), key=jax.random.key(1))
        >>> bool(np.all(np.abs(found.estimate - [0.5, 0.1]) < 0.02))
        True
    """
    full = int(np.ceil(ratio * n))
    theta = np.asarray(pilot, dtype=float)
    size = min(full, max(full // 10, 20 * terms.size + 1000))
    worth, khat, apart = 0.0, np.inf, np.inf
    for k in range(rounds):
        reference = draw_reference(terms, theta, size, key=jax.random.fold_in(key, k))
        found = gold_equations(terms, tbar, min(n, reference.effective), reference)
        answer = found.estimate
        worth, khat = weights_at(reference, answer)
        if worth > _WORTH * reference.effective and khat < REFUSE_KHAT:
            answer = _maximum(reference, tbar)
            apart = float(np.max(np.abs(answer - found.estimate) / np.sqrt(np.diag(found.sandwich))))
            if size == full and apart < _APART:
                return reference, gold_equations(terms, tbar, n, reference)
            size = full
        theta = _toward(terms, theta, answer, reference)
    raise ValueError(
        f"expected a reference near the answer after {rounds} rounds, got {worth:.3g} effective of {size} fields, "
        f"k-hat {khat:.2f} and a step {apart:.2f} sd off the maximum; try a better pilot, such as the estimate of "
        "score matching"
    )


def _maximum(reference: Reference, tbar: Vector) -> Vector:
    """The maximum of the reweighted likelihood, by Newton's method on a convex function."""
    pilot, mean, centred = parts_of(reference)
    shift = np.linalg.solve(reference.fisher, mean - tbar)
    for _ in range(_NEWTON):
        exponents = -centred @ shift
        weights = np.exp(exponents - exponents.max())
        weights /= weights.sum()
        average = weights @ centred
        spread = (centred * weights[:, None]).T @ centred - np.outer(average, average)
        shift = shift - np.linalg.solve(spread, tbar - mean - average)
    return pilot + shift


def _toward(terms: Terms, pilot: Vector, answer: Vector, reference: Reference) -> Vector:
    """The longest of the steps 1, 1/2, 1/4 ... of the way that reweighting can follow and that stays bounded.

    Short steps move <T> straight to Tbar; long ones end at couplings that are unbounded.
    """
    for power in range(12):
        theta = pilot + 0.5**power * (answer - pilot)
        worth, khat = weights_at(reference, theta)
        if worth > _WORTH * reference.effective and khat < REFUSE_KHAT and boundedness_of(terms, theta).bounded:
            return theta
    raise ValueError(
        f"expected an answer whose action is bounded below, got {boundedness_of(terms, answer).why}; try "
        "score matching, which needs no bounded action"
    )
