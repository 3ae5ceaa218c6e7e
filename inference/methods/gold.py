"""Gold: the likelihood of the fields themselves, with the priors and samplers of every fit (recipe B).

log p(theta | fields) = log prior(theta) - n' (theta.Tbar + log Z(theta)), with log Z reweighted from m reference fields
(`reference.py`). Their noise moves the centre by sqrt(n/m) standard deviations, so the likelihood is tempered to
n' = n/(1 + n/m) networks: the width then holds that noise too. The likelihood of one network is available, so models
can be compared by leaving networks out (PSIS-LOO), which no sandwich-calibrated posterior allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import xarray as xr
from jaxtyping import Float

from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.source import Source
from ..ensembles.sums import total
from ..equations.from_moments import Equations, Frozen
from ..equations.terms import Terms
from .method import AbstractLikelihood, AbstractMethod, MethodWords, networks_of
from .problem import Problem
from .reference import (
    REFERENCE_RATIO,
    Reference,
    judge_reference,
    log_partition,
    log_ratio,
    parts_of,
    settled_reference,
    weights_at,
)

__all__ = ["FieldLikelihood", "Gold", "Weighed", "log_likelihood", "mean_terms"]

_LOO_NETWORKS, _LOO_DRAWS = 1000, 250  # networks and draws a chain whose log likelihood is kept
_SPARE = 1.05  # reference fields beyond what is asked for: reweighting costs some


class Gold(AbstractMethod):
    """The likelihood of the fields, for bounded actions: efficient, its errors hold the noise of the reference fields.

    Args:
        reference: reference fields for each network; errors are wider than the bound by 1/(2 reference), 2.5 % at 20.
        metric: W of the score matching that gives units and pilot, (point, point).

    Raises:
        ValueError: fewer than one reference field a network.

    Example:
        >>> Gold(reference=40).word
        'gold'
    """

    reference: float = REFERENCE_RATIO
    metric: Matrix | None = None

    def __check_init__(self) -> None:
        if not self.reference >= 1.0:
            raise ValueError(
                f"expected at least one reference field for each network, got {self.reference}; try Gold(reference=20)"
            )

    @property
    def word(self) -> str:
        return "gold"

    @property
    def said(self) -> MethodWords:
        how = (
            "The likelihood of the fields, its partition function measured on {reference_fields} reference fields "
            "drawn from the action,"
        )
        errors = "The errors are those of the likelihood, the noise of the reference fields included"
        return MethodWords(how, errors, efficient=True)

    @property
    def fields(self) -> bool:
        return True

    def likelihood(self, problem: Problem, *, key: jax.Array, progress: bool = False) -> "FieldLikelihood":
        means, n = mean_terms(networks_of(problem, self), problem.terms, progress=progress)
        reference, found = settled_reference(
            problem.terms, means, n, problem.equations.estimate, key=key, ratio=_SPARE * self.reference
        )
        return FieldLikelihood(found, reference, means)  # pyright: ignore[reportCallIssue]  (attrs is no field here)


class FieldLikelihood(AbstractLikelihood):
    """The likelihood of the fields by their average terms, (term,), and the reference that measures log Z.

    `equations` are one Fisher step from the reference, the Gaussian nearest to it.
    """

    equations: Equations
    reference: Reference
    means: Vector
    constants: Mapping[str, Any] = eqx.field(default_factory=dict)
    gaussian: ClassVar[bool] = False

    @property
    def attrs(self) -> Mapping[str, Any]:
        return {
            "reference_fields": float(self.reference.size),
            "reference_effective": float(self.reference.effective),
            "reference_method": self.reference.method,
        }

    def observed(self) -> "Weighed":
        tempered = self.equations.networks / (1.0 + self.equations.networks / self.reference.effective)
        return Weighed(self.means, np.float64(tempered), parts_of(self.reference))

    def of_draws(self, problem: Problem, theta: np.ndarray) -> xr.Dataset:
        """Of single networks at thinned draws, (chain, draw, network), for PSIS-LOO."""
        assert problem.source is not None  # its fields were asked for
        fields = problem.source.read(0, min(problem.source.n, _LOO_NETWORKS)).astype(float)
        step = max(1, theta.shape[1] // _LOO_DRAWS)
        kept = theta[:, ::step]
        values = log_likelihood(problem.terms, fields, kept.reshape(-1, theta.shape[2]), self.reference)
        shaped = values.reshape(*kept.shape[:2], -1)
        coords = {
            "chain": np.arange(shaped.shape[0]),
            "draw": np.arange(theta.shape[1])[::step],
            "network": np.arange(shaped.shape[2]),
        }
        return xr.Dataset({"phi": (("chain", "draw", "network"), shaped)}, coords=coords)

    def judged(self, theta: np.ndarray) -> dict[str, Any]:
        """What the reference is worth at the posterior mean.

        Raises:
            ValueError: weights there do not converge (Pareto k-hat above 0.7).
        """
        middle = theta.mean(axis=(0, 1))
        verdict = judge_reference(self.reference, self.equations.networks, middle)
        if verdict.verdict == "refused":
            raise ValueError(f"expected a reference that reaches the posterior, got: {verdict.why}")
        worth, khat = weights_at(self.reference, middle)
        return {
            "reference_verdict": verdict.verdict,
            "reference_why": verdict.why,
            "reference_worth": float(worth),
            "reference_khat": float(khat),
        }


class Weighed(NamedTuple):
    """The numbers of the likelihood: averages of T, tempered number of networks, and `reference.parts_of`."""

    means: Any
    networks: Any
    parts: tuple[Any, ...]

    def observe(self, theta: Any) -> None:
        """The statement of a NumPyro model that weighs couplings by the density of the fields."""
        shift = (theta - self.parts[0]) @ self.means + log_ratio(theta, *self.parts)
        numpyro.factor("fields", -self.networks * shift)

    def root(self, covariance: Matrix) -> Matrix:
        """The root of a covariance in which a sampler moves: upper triangular, as NumPyro has it of a mass matrix."""
        return np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1]


def mean_terms(source: Source, terms: Terms, *, progress: bool = False) -> tuple[Vector, float]:
    """Average of the scaled terms over the networks of a source, (term,), and how many networks it is worth.

    Example:
        >>> from nnft.inference.ensembles.samples import Samples
        >>> from nnft.inference.equations.terms import terms_of
        >>> from nnft.models.actions.rungs import Local
        >>> two = Samples(np.array([[1.0], [2.0]]), np.zeros((1, 1)))
        >>> mean_terms(two, terms_of(Local(), np.eye(1), np.ones(1)))
        (array([2.5, 8.5]), 2.0)
    """
    weight, (values, square) = total(source, _TermSums(Frozen(terms)), progress=progress, what="terms")
    return values / weight, float(weight**2 / square)


@dataclass(frozen=True)
class _TermSums:
    frozen: Frozen[Terms]

    def __call__(self, fields: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        return weights @ self.frozen.tree.values(fields), weights @ weights


def log_likelihood(
    terms: Terms, fields: Float[np.ndarray, "network point"], theta: Matrix, reference: Reference
) -> Float[np.ndarray, "draw network"]:
    """Log p(phi | theta) of single networks, up to the reference's log Z(pilot), for PSIS-LOO.

    Args:
        terms: terms of the action.
        fields: a thinned set of networks, (network, point): a few thousand.
        theta: a thinned set of scaled draws, (draw, term).
        reference: the one the draws were made with.

    Example, S = phi^2/2 at its own pilot, where log Z is the reference's:
        >>> from nnft.inference.equations.terms import terms_of
        >>> from nnft.models.actions.rungs import Local
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> pilot = np.array([0.5, 0.0])
        >>> kept = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> ref = Reference(pilot, np.ones(2), np.eye(2), kept, 4, 4.0, "rejection", 1.0)
        >>> log_likelihood(terms, np.array([[2.0]]), pilot[None], ref).tolist()
        [[-2.0]]
    """
    with settled():
        action = jax.jit(jax.vmap(terms.action, in_axes=(None, 0)))(jnp.asarray(fields), jnp.asarray(theta))
        shift = jax.lax.map(log_partition(reference), jnp.asarray(theta))
        return np.asarray(-action - shift[:, None])
