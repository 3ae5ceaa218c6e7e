"""A method: where the equations of a fit come from, A theta = b with noise B/n, and what the data say through them.

    score       score matching (`from_moments.py`, `from_fields.py`): any action, bounded or not; errors of the sandwich
    pseudo      pseudo-likelihood (`pseudo.py`): every site given the others; the sandwich again
    gold        the likelihood of the fields (`reference.py`, `gold.py`): bounded actions only; efficient
    tree level  G4c inverted at tree level (`tree_level.py`): the literature's baseline, with its truncation bias

All of them feed the same priors and samplers and label the same tree, so any two can be compared on the same data. One
of one's own gives `likelihood`, most simply `EquationLikelihood(Equations(..))`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from ...models.types import Matrix
from ..ensembles.chains import check_independent
from ..ensembles.source import Source
from ..equations.from_moments import Equations
from ..priors.likelihood import log_likelihood, whitened
from .problem import Problem

__all__ = [
    "SANDWICH",
    "AbstractLikelihood",
    "AbstractMethod",
    "EquationLikelihood",
    "MethodWords",
    "Score",
    "networks_of",
]


SANDWICH = "The errors are those of a finite number of networks (sandwich covariance"


class AbstractLikelihood(eqx.Module):
    """What a method found.

    Attributes:
        equations: A theta = b with their noise: exactly that, or the Gaussian nearest to it.
        constants: more for the tree's `constant_data`, name -> (dims, values).
        attrs: more for the tree itself.
        gaussian: whether the equations are all there is.
    """

    equations: eqx.AbstractVar[Equations]
    constants: eqx.AbstractVar[Mapping[str, Any]]
    attrs: eqx.AbstractVar[Mapping[str, Any]]
    gaussian: eqx.AbstractClassVar[bool]

    @abstractmethod
    def observed(self) -> Any:
        """The numbers couplings are conditioned on: a tree of arrays with `observe(theta)` and `root(covariance)`."""

    @abstractmethod
    def of_draws(self, problem: Problem, theta: np.ndarray) -> xr.Dataset:
        """Log likelihood of scaled draws, (chain, draw, ...), for the tree's `log_likelihood`."""

    def judged(self, theta: np.ndarray) -> dict[str, Any]:
        """What the tree says of itself once the draws are known, from scaled draws (chain, draw, term)."""
        return {}


class EquationLikelihood(AbstractLikelihood):
    """Estimating equations: Gaussian in the couplings, calibrated by the sandwich; no network has one of its own.

    Args:
        equations: A, b, B, in scaled couplings.
        constants, attrs: more for the tree.
    """

    equations: Equations
    constants: Mapping[str, Any] = eqx.field(default_factory=dict)
    attrs: Mapping[str, Any] = eqx.field(default_factory=dict)
    gaussian: ClassVar[bool] = True

    def observed(self) -> Any:
        return whitened(self.equations)

    def of_draws(self, problem: Problem, theta: np.ndarray) -> xr.Dataset:
        """In two parts, those of the quadratic and the quartic equations."""
        parts = log_likelihood(whitened(self.equations), theta, problem.quadratic)
        coords = {"chain": np.arange(theta.shape[0]), "draw": np.arange(theta.shape[1])}
        return xr.Dataset({name: (("chain", "draw"), value) for name, value in parts.items()}, coords=coords)


class MethodWords(NamedTuple):
    """What a page says of a method.

    how: the subject of "... determined the couplings"; `{data}` stands for what it was given, "From the fields
        themselves", and `{name}` for a number of the tree's attributes.
    errors: what its errors are, a sentence without its stop.
    sandwich: whether they are a sandwich, to be held against A^-1/n.
    score: whether its equations are those of score matching.
    efficient: whether no other method has smaller errors, so that others are tested against it.
    """

    how: str
    errors: str
    sandwich: bool = False
    score: bool = False
    efficient: bool = False

    @classmethod
    def plain(cls, name: str) -> "MethodWords":
        """What is said of a method that says nothing."""
        return cls(f"The method {name}", f"The errors are those of the equations of the method {name}")


class AbstractMethod(eqx.Module):
    """A way from a prepared problem to equations of its couplings."""

    @abstractmethod
    def likelihood(self, problem: Problem, *, key: jax.Array, progress: bool = False) -> AbstractLikelihood:
        """What the data say of the couplings.

        Raises:
            ValueError: data or an action this method cannot do with.
        """

    @property
    def word(self) -> str:
        """What a fit calls it."""
        return type(self).__name__

    @property
    def said(self) -> MethodWords:
        """What a page says of it."""
        return MethodWords.plain(self.word)

    @property
    def metric(self) -> Matrix | None:
        """W of score matching, (point, point), which gives the units and the pilot; None is the model's kernel."""
        return None

    @property
    def fields(self) -> bool:
        """Whether it needs the networks themselves, whatever their correlators."""
        return False

    @property
    def correlators(self) -> bool:
        """Whether it needs correlators, of few points."""
        return False


class Score(AbstractMethod):
    """Score matching, for any action, bounded or not; its errors are the Godambe sandwich.

    Args:
        metric: W, (point, point), fixed before the data; default the exact kernel of the model, else the two-point
            function of held-out networks; beyond 24 points, and on lattices, its diagonal.

    Example:
        >>> Score().word
        'score'
    """

    metric: Matrix | None = None

    @property
    def word(self) -> str:
        return "score"

    @property
    def said(self) -> MethodWords:
        errors = f"{SANDWICH} of the score equations)"
        return MethodWords("{data}, score matching", errors, sandwich=True, score=True)

    def likelihood(self, problem: Problem, *, key: jax.Array, progress: bool = False) -> EquationLikelihood:
        return EquationLikelihood(problem.equations)


def networks_of(problem: Problem, method: AbstractMethod) -> Source:
    """The networks behind a problem, for a method that needs their fields.

    Raises:
        ValueError: correlators without networks; a Markov chain, whose memory such a method does not take into account.
    """
    if problem.source is None:
        raise ValueError(
            f"expected networks for method={method.word!r}, which needs the fields themselves, got correlators; try "
            "method='score', or inf.fit(ensemble, ...)"
        )
    check_independent(problem.source, f"for method={method.word!r}", "method='score', whose errors come from blocks")
    return problem.source
