"""The words a session may use for methods, samplers and priors, and the objects they stand for."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args

import numpyro.distributions as dist

from ...models.actions.base import AbstractAction
from ...models.refusals import nearest
from ..methods.gold import Gold
from ..methods.method import AbstractMethod, Score
from ..methods.problem import check_action
from ..methods.pseudo import Pseudo
from ..methods.tree_level import TreeLevel
from ..priors.affine import UnitInformation
from ..priors.low_rank import LowRankPrior
from ..priors.prior import AbstractPrior
from ..priors.smooth import SmoothPrior
from .sampler import AbstractSampler, Automatic, Closed, Nuts
from .variational import Variational

__all__ = ["METHODS", "SAMPLERS", "Method", "Sampler", "method_of", "prior_of", "sampler_of"]

Method = Literal["score", "pseudo", "gold", "tree"]
Sampler = Literal["nuts", "closed", "svi"]
METHODS, SAMPLERS = get_args(Method), get_args(Sampler)

_METHODS: dict[str, type[AbstractMethod]] = {"score": Score, "pseudo": Pseudo, "gold": Gold, "tree": TreeLevel}
_SAMPLERS: dict[str, type[AbstractSampler]] = {"nuts": Nuts, "closed": Closed, "svi": Variational}
_PRIORS: dict[str, type[AbstractPrior]] = {
    "unit_information": UnitInformation,
    "smooth": SmoothPrior,
    "low_rank": LowRankPrior,
}


def method_of(method: AbstractMethod | str) -> AbstractMethod:
    """The method a word stands for, or the method itself.

    >>> method_of("tree").word
    'tree'
    """
    return method if isinstance(method, AbstractMethod) else _named("method", method, _METHODS)()


def sampler_of(sampler: AbstractSampler | str | None, **options: Any) -> AbstractSampler:
    """The sampler a word stands for with those of the options that it has; None is `Automatic`.

    >>> sampler_of("closed", warmup=20, draws=50).draws
    50
    """
    if isinstance(sampler, AbstractSampler):
        return sampler
    kind = Automatic if sampler is None else _named("sampler", sampler, _SAMPLERS)
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in options.items() if name in known})


def prior_of(
    prior: AbstractPrior | Mapping[str, dist.Distribution] | None, action: AbstractAction, **options: Any
) -> AbstractPrior:
    """The prior itself, that of the action with some distributions in place of its own, or that of the action.

    >>> from nnft.models import Local
    >>> prior_of(None, Local(), scale=2.0).scale
    2.0
    """
    check_action(action)
    if isinstance(prior, AbstractPrior):
        return prior
    if prior is not None and not isinstance(prior, Mapping):
        raise ValueError(f"expected a prior, or distributions by site, got {prior!r}; try inf.UnitInformation()")
    word, own = action.believed
    found = _PRIORS[word](**own, **options)
    return found.given(prior) if prior else found


def _named[T](what: str, word: Any, known: dict[str, type[T]]) -> type[T]:
    if not isinstance(word, str):
        raise ValueError(f"expected a {what}, or one of {tuple(known)}, got {word!r}; try {next(iter(known))!r}")
    if word not in known:
        raise ValueError(f"expected {what} among {tuple(known)}, got {word!r}; try {nearest(word, list(known))!r}")
    return known[word]
