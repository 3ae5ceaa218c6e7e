"""How couplings are fitted, as a list of settings under the names of a session: the action, its options, the sampler.

Everything is checked when the list is made, before any work; an unknown word is refused with the nearest known one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import get_annotations
from typing import Any, Self

import jax
import numpy as np
import xarray as xr

from ...inference.ensembles.ensemble import Ensemble
from ...inference.ensembles.samples import Samples
from ...inference.posterior.fit import fit
from ...inference.posterior.words import METHODS, SAMPLERS, method_of, rung_named, sampler_of
from ...inference.priors.prior import AbstractPrior
from ...models.actions.base import AbstractAction
from ...models.correlators import Correlators
from ...models.refusals import checked_weights, nearest
from ...models.types import Points, Vector

__all__ = ["NUMBERS", "SCALES", "Fitting", "integer", "number", "word"]

SCALES = ("weight_scale", "bias_scale", "mass", "cutoff", "alpha")  # of the neurons, not all of every one
NUMBERS = (*SCALES, "output_scale", "output_bias", "prior_scale")
_OPTIONS = ("shape", "reach", "periodic", "rank", "count", "kappa", "discrepancy")  # of actions, not all of every one


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """How couplings are fitted, whatever the samples.

    Attributes:
        action: a name of the ladder, "constant" to "full_sextic", "lattice_phi4", "modes" (`nnft fit --help`).
        method, sampler: as in `inference.fit`.
        shape, reach, periodic, kappa: of an action of a lattice; rank: of "low_rank_bilocal"; count: of "modes";
            discrepancy: of "smooth_bilocal". None is the action's own default.
        weights: quadrature weights of a continuum grid, one a point; None is one each.
        prior_scale, chains, warmup, draws: as in `inference.fit`.
        seed: networks are drawn with jax.random.key(seed), the posterior with key(seed + 1).
    """

    action: str = "bilocal"
    method: str = "score"
    sampler: str | None = None
    shape: tuple[int, ...] | Sequence[int] | None = None
    reach: int | None = None
    periodic: bool | None = None
    rank: int | None = None
    count: int | None = None
    kappa: float | None = None
    discrepancy: bool | None = None
    weights: Vector | Sequence[float] | None = None
    prior_scale: float = 1.0
    chains: int = 4
    warmup: int = 500
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_options()
        for name, least, advice in (("chains", 2, 4), ("warmup", 10, 500), ("draws", 20, 1000), ("seed", 0, 0)):
            object.__setattr__(self, name, integer(name, getattr(self, name), least, advice))
        for name in NUMBERS:
            if getattr(self, name, None) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.prior_scale <= 0.0:
            raise ValueError(f"expected prior_scale > 0, got {self.prior_scale:g}; try 1.0, worth one network")

    def _check_options(self) -> None:
        """The action with its options, the method and the sampler: each known, and all of them together possible."""
        word("action", self.action, "bilocal")
        for name, known in (("method", METHODS), ("sampler", SAMPLERS)):
            value = getattr(self, name)
            if name == "sampler" and value is None:
                continue
            if word(name, value, known[0]) not in known:
                raise ValueError(
                    f"expected {name} among {', '.join(known)}, got {value!r}; try {nearest(value, list(known))!r}"
                )
        for name, least in (("reach", 0), ("rank", 1), ("count", 1)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name), least, max(least, 1)))
        for name in ("periodic", "discrepancy"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool):
                raise ValueError(f"expected {name} to be true or false, got {value!r}; try {name}=false")
        if self.kappa is not None:
            object.__setattr__(self, "kappa", number("kappa", self.kappa))
        if self.shape is not None:
            given = self.shape if isinstance(self.shape, list | tuple) else [self.shape]
            sites = tuple(integer("shape, the sites along each axis,", n, 1, 8) for n in given)
            object.__setattr__(self, "shape", sites)
        sampler_of(self.sampler).check(self.made_prior())

    def made_action(self) -> AbstractAction:
        """The action that is fitted, an option it does not have refused."""
        return self._rung()[0]

    def made_prior(self) -> AbstractPrior:
        """The prior of the action's couplings, worth 1/prior_scale^2 networks."""
        return self._rung()[1]

    def _rung(self) -> tuple[AbstractAction, AbstractPrior]:
        given = {name: getattr(self, name) for name in _OPTIONS}
        options = {name: value for name, value in given.items() if value is not None}
        return rung_named(self.action, scale=self.prior_scale, **options)

    def sites(self) -> Points | None:
        """The sites of the action's lattice in C order, (point, axis); None where it has no shape."""
        shape = self.made_action().lattice
        if shape is None:
            return None
        return np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1).astype(float)

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, besides: Sequence[str] = ()) -> Self:
        """Made from names and values; an unknown name is refused with the nearest known one, or one of `besides`."""
        own = get_annotations(cls)
        known = [*sorted((f.name for f in fields(cls)), key=lambda name: name not in own), *besides]
        for name in settings:
            if name not in known:
                close = get_close_matches(name, known, n=3, cutoff=0.0)
                raise ValueError(
                    f"expected one of {len(known)} settings, the nearest being {', '.join(close)}, got {name!r}; "
                    f"try {close[0]!r}"
                )
        return cls(**settings)

    def checked_weights(self, points: int) -> Vector:
        """The weights as an array, if they are one positive number a point."""
        return checked_weights(self.weights, points)

    def fit(self, data: Correlators | Ensemble | Samples, *, progress: bool = False) -> xr.DataTree:
        """The posterior of the couplings, `inference.fit` with these settings, which it remembers."""
        return fit(
            data,
            self.made_action(),
            key=jax.random.key(self.seed + 1),
            method=method_of(self.method),
            sampler=sampler_of(self.sampler, chains=self.chains, warmup=self.warmup, draws=self.draws),
            prior=self.made_prior(),
            weights=self.checked_weights(len(data.points)),
            progress=progress,
        )


def integer(name: str, value: Any, least: int, advice: int) -> int:
    """A whole number, 1e6 allowed; seeds stay below 2^32 - 1, where JAX would begin again from 0."""
    whole = isinstance(value, int | float | np.number) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or not least <= value < 2**32 - 1:
        limit = " and below 2^32 - 1" if whole and value > least else ""
        raise ValueError(f"expected {name} to be an integer >= {least}{limit}, got {value!r}; try {advice}")
    return int(value)


def word(name: str, value: Any, advice: str) -> str:
    """A word."""
    if not isinstance(value, str):
        raise ValueError(f"expected {name} to be a word, got {value!r}; try {advice!r}")
    return value


def number(name: str, value: Any) -> float:
    """A finite number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"expected {name} to be a finite number, got {value!r}; try {name}=1.0")
    return float(value)
