"""Fields of exp(-S) for the terms of an action at given couplings: independent ones where possible, else chains.

Rejection keeps a field of the Gaussian with the quadratic part of S with probability exp(-S_int): it needs a positive
quadratic part, an interaction that is nowhere negative, and enough fields kept. NUTS (`nuts.py`) needs none of this,
but its fields are correlated. An action that is unbounded below has no fields at all.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ...models.actions.boundedness import Boundedness, boundedness, minimum_on_sphere
from ...models.actions.monomials import monomials
from ...models.combinatorics import sorted_tuples
from ...models.runtime import settled
from ...models.types import Matrix, Tuples, Vector
from ..equations.terms import Terms
from .nuts import precision, sample_action

__all__ = ["FieldStream", "boundedness_of", "field_stream", "forms_of"]

_BLOCK = 65_536  # free fields drawn at a time
_ROUND_OFF = 1e-9  # below zero of an interaction that is nowhere negative
_CHAINS, _MIXED = 64, 1.02  # of NUTS, and the largest R-hat they may have
_DRAWS = 400  # of a chain at least: R-hat of short chains exceeds 1 by about 1/(effective draws of half a chain)


class FieldStream(Protocol):
    """Fields one after the other; `worth`: how many independent ones they are, `acceptance`: of the method."""

    method: str

    @property
    def worth(self) -> float: ...

    @property
    def acceptance(self) -> float: ...

    def take(self, count: int) -> np.ndarray:
        """The next fields, physical, (network, point)."""
        ...


def field_stream(terms: Terms, theta: Vector, m: int, *, key: jax.Array, least_acceptance: float) -> FieldStream:
    """At least m fields of exp(-S) at scaled couplings.

    Args:
        terms: terms of the action.
        theta: scaled couplings, (term,).
        m: number of fields that will be taken.
        key: `jax.random.key(seed)`.
        least_acceptance: share of free fields that rejection must keep, else NUTS draws them; 1 for always NUTS.

    Raises:
        ValueError: an action that is unbounded below, with the number; chains that have not mixed.

    Example:
        >>> from nnft.models.actions.rungs import Local
        >>> from nnft.inference.equations.terms import terms_of
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> stream = field_stream(terms, np.array([0.5, 0.1]), 10, key=jax.random.key(0), least_acceptance=0.01)
        >>> stream.take(10).shape, stream.method, round(stream.acceptance, 1)
        ((10, 1), 'rejection', 0.9)
    """
    verdict = boundedness_of(terms, theta)
    if not verdict.bounded:
        raise ValueError(
            f"expected an action that is bounded below, which {', '.join(verdict.forbids)} need, got {verdict.why}; "
            "try score matching (method score), which needs no density, or a bounded pilot"
        )
    if least_acceptance < 1 and _can_reject(terms, theta):
        stream = Rejection(terms, theta, key)
        if stream.acceptance >= least_acceptance:
            return stream
    return Chains(terms, theta, m, key)


class Rejection:
    """A stream of independent fields exp(-S): those of the free theory kept with probability exp(-S_int)."""

    method, worth = "rejection", np.inf

    def __init__(self, terms: Terms, theta: Vector, key: jax.Array) -> None:
        root = np.linalg.inv(np.linalg.cholesky(_free_precision(terms, theta))).T
        interaction = [form for degree, form in forms_of(terms, theta).items() if degree > 2]

        self._key, self._numbers = key, (root, terms.scale, interaction)
        self._tried = self._kept = 0
        self._waiting = self._draw()  # a first block tells the acceptance

    @property
    def acceptance(self) -> float:
        """Share of the free fields that were kept."""
        return self._kept / (self._tried * _BLOCK)

    def _draw(self) -> np.ndarray:
        with settled():
            phi, kept, lowest, largest = map(
                np.asarray, _propose(jax.random.fold_in(self._key, self._tried), *self._numbers)
            )
        if lowest < -_ROUND_OFF * largest:
            raise ValueError(
                f"expected an interaction that is nowhere negative, got {float(lowest):.3g}; try least_acceptance=1, "
                "which draws the fields by NUTS"
            )
        self._tried += 1
        self._kept += int(kept.sum())
        return phi[kept]

    def take(self, count: int) -> np.ndarray:
        """The next fields, physical, (network, point)."""
        parts = [self._waiting]
        while sum(map(len, parts)) < count:
            parts.append(self._draw())
        fields = np.concatenate(parts)
        self._waiting = fields[count:]
        return fields[:count]


@jax.jit
def _propose(key: jax.Array, root: jax.Array, scale: jax.Array, interaction: list[Any]) -> tuple[Any, ...]:
    """Free fields, which of them are kept, the least S_int and the largest |S_int|; couplings are arguments, so that
    another pilot needs no new program.
    """
    field_key, keep_key = jax.random.split(key)
    phi = root @ jax.random.normal(field_key, (len(root), _BLOCK))
    energy = jnp.zeros(_BLOCK)
    for coefficient, tuples in interaction:
        monomial = phi[tuples[:, 0]]
        for j in range(1, tuples.shape[1]):
            monomial = monomial * phi[tuples[:, j]]
        energy = energy + coefficient @ monomial
    kept = jnp.log(jax.random.uniform(keep_key, (_BLOCK,))) < -energy
    return phi.T * scale, kept, energy.min(), jnp.abs(energy).max()


class Chains:
    """Fields exp(-S) by NUTS, in random order.

    An average of m of all M fields, which are worth E, has variance 1/E + 1/m - 1/M: what m of them are worth.
    """

    method = "NUTS"

    def __init__(self, terms: Terms, theta: Vector, m: int, key: jax.Array) -> None:
        forms = forms_of(terms, theta)
        drawn = sample_action(
            {r: form[0] for r, form in forms.items()},
            key=key,
            points=len(terms.scale),
            tuples={r: form[1] for r, form in forms.items()},
            chains=_CHAINS,
            draws=max(_DRAWS, -(-m // _CHAINS)),
        )
        if drawn.rhat > _MIXED or drawn.divergences:
            raise ValueError(
                f"expected chains that have mixed (R-hat below {_MIXED}, no divergences), got {drawn}; try more fields "
                "or another pilot"
            )
        order = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel()).permutation(drawn.flat.shape[0])
        self._fields, self._start = drawn.flat[order] * terms.scale, 0
        whole = len(self._fields)
        self.worth, self.acceptance = 1.0 / (1.0 / float(drawn.ess) + max(0.0, 1.0 / m - 1.0 / whole)), 1.0

    def take(self, count: int) -> np.ndarray:
        """The next fields, physical, (network, point); after the last of them the first again."""
        at = np.arange(self._start, self._start + count) % len(self._fields)
        self._start += count
        return self._fields[at]


def forms_of(terms: Terms, theta: Vector) -> dict[int, tuple[Vector, Tuples]]:
    """S at scaled couplings as a polynomial of the scaled fields: degree -> coefficients and sorted monomials."""
    forms, start = {}, 0
    for part in terms.parts:
        tuples, values = part.tuples, part.coefficient * theta[start + part.term]
        if part.degree == 2 and terms.fixed is not None:
            pairs = sorted_tuples(len(terms.scale), 2)
            half = terms.fixed[pairs[:, 0], pairs[:, 1]] * np.where(pairs[:, 0] == pairs[:, 1], 0.5, 1.0)
            tuples, values = np.concatenate([tuples, pairs]), np.concatenate([values, half])
        one = monomials(np.zeros(len(tuples), dtype=np.int64), tuples, values, 1)
        forms[part.degree] = (one.coefficient, one.tuples)
        start += part.count
    return forms


def boundedness_of(terms: Terms, theta: Vector) -> Boundedness:
    """Boundedness of the action at scaled couplings, in scaled fields."""
    forms = forms_of(terms, theta)
    coefficients, tuples = ({r: form[k] for r, form in forms.items()} for k in (0, 1))
    return boundedness(coefficients, len(terms.scale), tuples=tuples)


def _free_precision(terms: Terms, theta: Vector) -> Matrix:
    """Inverse covariance of the scaled free fields at theta, (point, point)."""
    values, pairs = forms_of(terms, theta)[2]
    return precision(pairs, values, len(terms.scale))


def _can_reject(terms: Terms, theta: Vector) -> bool:
    """Whether the free theory exists and each form of the interaction is nowhere negative."""
    if not np.linalg.eigvalsh(_free_precision(terms, theta))[0] > 0:
        return False
    if not terms.even:  # a cubic form is negative somewhere
        return False
    forms = {r: form for r, form in forms_of(terms, theta).items() if r > 2}
    size = max(float(np.abs(c).max()) for c, _ in forms.values())
    lowest = [minimum_on_sphere(c, len(terms.scale), tuples=t, order=r)[0] for r, (c, t) in forms.items()]
    return bool(min(lowest) >= -_ROUND_OFF * size)
