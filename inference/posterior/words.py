"""The words a session may use for methods, samplers and priors, and the objects they stand for."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args

import numpyro.distributions as dist

from ...models.actions.base import AbstractAction
from ...models.actions.ladder import ACTIONS, action_named, check_options, word_of
from ...models.actions.rungs import Bilocal
from ...models.refusals import nearest
from ..methods.gold import Gold
from ..methods.method import AbstractMethod, MethodWords, Score
from ..methods.pseudo import Pseudo
from ..methods.tree_level import TreeLevel
from ..priors.affine import Given, UnitInformation
from ..priors.low_rank import LowRankPrior
from ..priors.prior import AbstractPrior
from ..priors.smooth import SmoothPrior
from .sampler import AbstractSampler, Automatic, Closed, Nuts, SamplerWords
from .variational import Variational

__all__ = [
    "METHODS",
    "SAMPLERS",
    "Method",
    "Sampler",
    "kept_words",
    "method_of",
    "method_words",
    "prior_of",
    "rung_named",
    "rung_of",
    "sampler_of",
    "sampler_words",
]

Method = Literal["score", "pseudo", "gold", "tree"]
Sampler = Literal["nuts", "closed", "svi"]
METHODS, SAMPLERS = get_args(Method), get_args(Sampler)

_METHODS: dict[str, type[AbstractMethod]] = {"score": Score, "pseudo": Pseudo, "gold": Gold, "tree": TreeLevel}
_SAMPLERS: dict[str, type[AbstractSampler]] = {"nuts": Nuts, "closed": Closed, "svi": Variational}
# A bilocal action under another prior has a name among the rungs, and those options.
_RUNGS: dict[str, tuple[type[AbstractPrior], tuple[str, ...]]] = {
    "smooth_bilocal": (SmoothPrior, ("discrepancy",)),
    "low_rank_bilocal": (LowRankPrior, ("rank",)),
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


def prior_of(prior: AbstractPrior | Mapping[str, dist.Distribution] | None) -> AbstractPrior:
    """The prior itself; the default one, or that with some distributions in place of its own.

    >>> prior_of(None).scale
    1.0
    """
    if isinstance(prior, AbstractPrior):
        return prior
    if prior is not None and not isinstance(prior, Mapping):
        raise ValueError(f"expected a prior, or distributions by site, got {prior!r}; try inf.UnitInformation()")
    return Given(prior) if prior else UnitInformation()


def rung_named(name: str, *, scale: float = 1.0, **options: Any) -> tuple[AbstractAction, AbstractPrior]:
    """The action of a name, and its prior; "smooth_bilocal" is `m.Bilocal()` under `inf.SmoothPrior()`.

    >>> rung_named("low_rank_bilocal", rank=2)
    (Bilocal(), LowRankPrior(scale=1.0, rank=2))
    """
    if name not in {**ACTIONS, **_RUNGS}:
        known = [*ACTIONS, *_RUNGS]
        raise ValueError(f"expected an action among {', '.join(known)}, got {name!r}; try {nearest(name, known)!r}")
    if name not in _RUNGS:
        return action_named(name, **options), UnitInformation(scale)
    kind, known = _RUNGS[name]
    check_options(name, known, options)
    return Bilocal(), kind(scale=scale, **options)


def rung_of(action: AbstractAction, prior: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The name that stands for an action under a prior given as data (`described`), with the options of the prior.

    None where there is none.
    """
    word, options = word_of(action), {k: v for k, v in prior.get("options", {}).items() if k != "scale"}
    if word is None or "home" in prior:
        return None
    kinds = {"UnitInformation": (word, ())}
    kinds |= {kind.__name__: (name, known) for name, (kind, known) in _RUNGS.items() if word == "bilocal"}
    name, known = kinds.get(str(prior.get("class")), ("", ()))
    return (name, options) if name and options.keys() <= set(known) else None


def kept_words(method: AbstractMethod, sampler: AbstractSampler) -> dict[str, str]:
    """What a fit keeps of the words of a method or a sampler of one's own, by attribute; those of ours are known."""
    own = {"method_words": (method, METHODS), "sampler_words": (sampler, SAMPLERS)}
    return {name: json.dumps(one.said._asdict()) for name, (one, known) in own.items() if one.word not in known}


def method_words(attrs: Mapping[str, Any]) -> MethodWords:
    """What a page says of the method of a fit, from the attributes of its tree.

    >>> method_words({"method": "tree"}).how
    'Inverting the connected four-point function at tree level'
    """
    word = str(attrs.get("method", "score"))
    return method_of(word).said if word in METHODS else _kept("method", word, attrs, MethodWords)


def sampler_words(attrs: Mapping[str, Any]) -> SamplerWords:
    """What a page says of the sampler of a fit, from the attributes of its tree.

    >>> sampler_words({"sampler": "svi"}).name
    'guide'
    """
    word = str(attrs.get("sampler", "nuts"))
    return sampler_of(word).said if word in SAMPLERS else _kept("sampler", word, attrs, SamplerWords)


def _kept[T: (MethodWords, SamplerWords)](what: str, word: str, attrs: Mapping[str, Any], kind: type[T]) -> T:
    kept = attrs.get(f"{what}_words")
    return kind(**json.loads(kept)) if kept else kind.plain(word)


def _named[T](what: str, word: Any, known: dict[str, type[T]]) -> type[T]:
    if not isinstance(word, str):
        raise ValueError(f"expected a {what}, or one of {tuple(known)}, got {word!r}; try {next(iter(known))!r}")
    if word not in known:
        raise ValueError(f"expected {what} among {tuple(known)}, got {word!r}; try {nearest(word, list(known))!r}")
    return known[word]
