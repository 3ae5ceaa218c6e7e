"""A prior: what is believed of the couplings before the data, and the coordinates in which its posterior is drawn.

Behind every prior stands the unit-information one (`unit.py`). It sets the units, and the quadratic part keeps it given
the interaction, theta_2 | theta_4 in Wick-ordered form, unless a prior says otherwise. A prior of one's own is one
NumPyro program of the interaction's couplings; what it may bring besides are shortcuts.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from ...models.refusals import nearest
from ...models.types import Points, Tuples
from ..ensembles.ensemble import ByContent, is_plain
from .density import AbstractPosterior, Setting, Sites, by_name
from .marginal import Marginal, marginal, with_quadratic

__all__ = ["AbstractPrior", "Hierarchical", "Unknowns", "check_laws"]

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]
_LOOKED = 25  # draws of the prior whose median is where chains begin


class Unknowns(NamedTuple):
    """The couplings of the interaction that a prior speaks of, in scaled fields phi_a/sqrt(K_aa).

    points: (point, axis); labels: {name: (coupling, label)}, the points each belongs to; factor: L with L L^T their
    covariance under the unit-information prior, (coupling, coupling).

    Example, what one network tells of two couplings:
        >>> Unknowns(np.zeros((2, 1)), {"g": np.array([[0], [1]])}, np.diag([0.5, 0.2])).scale.tolist()
        [0.5, 0.20000000298023224]
    """

    points: Points
    labels: Mapping[str, Tuples]
    factor: Any

    @property
    def scale(self) -> Any:
        """Their standard deviations under the unit-information prior, (coupling,): what one network can tell."""
        return jnp.sqrt(jnp.sum(jnp.asarray(self.factor) ** 2, axis=1))


class AbstractPrior(eqx.Module):
    """What is believed of the couplings before the data.

    A prior of one's own gives `interaction`; `shown` names those of its sites that the tree keeps.

    Attributes:
        scale: s of the unit-information prior behind it: 1 is worth one network, on a lattice one site.

    Example, couplings whose common size is inferred too:
        >>> class Sized(AbstractPrior):
        ...     def interaction(self, about):
        ...         size = numpyro.sample("size", dist.HalfNormal(1.0))
        ...         white = numpyro.sample("white", dist.Normal().expand([len(about.scale)]).to_event(1))
        ...         return size * about.scale * white
        >>> Sized().affine
        False
    """

    scale: float = eqx.field(default=1.0, kw_only=True)

    @abstractmethod
    def interaction(self, about: Unknowns) -> Float[Array, " coupling"]:
        """NumPyro program that draws the scaled couplings of the interaction, in the order of their labels."""

    @property
    def word(self) -> str:
        """What a fit calls it."""
        return type(self).__name__

    @property
    def name(self) -> str:
        """In words that can stand in a sentence, after "under"; nothing of the default one."""
        return f"the prior {type(self).__name__}"

    @property
    def meaning(self) -> str:
        """What it believes, in sentences with TeX between dollar signs, for the page."""
        return ""

    @property
    def affine(self) -> bool:
        """Whether its sites are the couplings themselves, turned and shifted."""
        return False

    @property
    def gaussian(self) -> bool:
        """Whether it is Gaussian in the couplings: with the equations the posterior is then known in closed form."""
        return False

    @property
    def shown(self) -> dict[str, tuple[str, ...]]:
        """Sites beside the couplings that the tree keeps -> names of their dims."""
        return {}

    def posterior(self, setting: Setting) -> AbstractPosterior:
        """Its posterior given the equations of a fit."""
        return Hierarchical(self, setting)

    def program(self, setting: Setting) -> Callable[[], None]:
        """The posterior as a NumPyro model of no arguments, for any kernel or guide."""
        one = Hierarchical(self, setting)
        return partial(one.form.hyper, one.given)

    # Shortcuts: what a prior may know better than its program says. `data` is the Gaussian of the equations.

    def integrated(self, about: Unknowns, data: Marginal) -> None:
        """NumPyro program of what a sampler moves in, with the likelihood."""
        off = self.interaction(about) - data.centre
        numpyro.factor("data", -0.5 * off @ data.precision @ off)

    def completed(self, about: Unknowns, data: Marginal, values: dict[str, Array], key: jax.Array) -> Array:
        """Couplings for one draw of what `integrated` moves in, (term,): the quadratic ones drawn given the others."""
        with handlers.block(), handlers.substitute(data=values):
            return with_quadratic(data, self.interaction(about), key)

    def before(self, about: Unknowns, key: jax.Array) -> tuple[Array, dict[str, Array]]:
        """The interaction's couplings before the data, one draw of them, and the sites they are made of."""
        with handlers.trace() as trace, handlers.seed(rng_seed=jax.random.split(key)[0]):
            couplings = self.interaction(about)
        return couplings, {name: site["value"] for name, site in trace.items() if site["type"] == "sample"}

    def begins(self, about: Unknowns, data: Marginal) -> dict[str, Any]:
        """Where chains begin, by site; here the median of draws from the prior."""
        keys = jax.random.split(jax.random.key(0), _LOOKED)
        drawn = jax.vmap(lambda key: self.before(about, key)[1])(keys)
        return jax.tree.map(lambda x: jnp.median(x, axis=0), drawn)


class Hierarchical(AbstractPosterior):
    """The posterior of a prior with parameters of its own: a sampler moves in what its couplings are made of.

    The equations enter as one Gaussian, `marginal`, for gold those of its Fisher step; the quadratic part is drawn
    exactly given the interaction. Coordinates are the unconstrained sites side by side, in the order of their names.
    """

    turned = gaussian = False

    def __init__(self, prior: AbstractPrior, setting: Setting) -> None:
        self.prior, self.setting = prior, setting
        self.given = marginal(setting.equations, setting.unit)
        labels = {name: np.asarray(one) for name, one in setting.labels.items()}
        points = np.asarray(setting.points, dtype=float)
        start = prior.begins(Unknowns(points, labels, self.given.factor), self.given)
        seeded = handlers.seed(prior.integrated, jax.random.key(0))
        free = unconstrain_fn(seeded, (Unknowns(points, labels, self.given.factor), self.given), {}, start)
        self.start = {name: jnp.asarray(value) for name, value in sorted(free.items())}
        # Programs of this package's own priors serve every fit of a shape; one's own may know of more than its fields.
        self.form = (_form if is_plain(prior) else _form.__wrapped__)(
            prior,
            ByContent(points),
            tuple((name, ByContent(one)) for name, one in labels.items()),
            tuple((name, value.shape) for name, value in self.start.items()),
        )
        self.program, self.arguments = self.form.program, (self.given,)
        self.size = sum(value.size for value in self.start.values())

    def begin(self, key: jax.Array, chains: int) -> tuple[Float[Array, "chain size"], Any]:
        begin, jitter, _ = self.keys(jax.random.split(key)[0], chains)
        return jax.vmap(self.place)(jitter), begin

    def place(self, key: jax.Array) -> Float[Array, " size"]:
        """Where one chain begins: near the start of all."""
        moved = [
            value + 0.1 * jax.random.normal(jax.random.fold_in(key, k), value.shape)
            for k, value in enumerate(self.start.values())
        ]
        return jnp.concatenate([value.ravel() for value in moved])

    def sites(self, unit: Float[np.ndarray, "chain draw size"], key: jax.Array) -> Sites:
        complete = self.keys(jax.random.split(key)[0], len(unit))[2]
        keys = jax.vmap(lambda one: jax.random.split(one, unit.shape[1]))(complete)
        theta, values = self.form.complete(jnp.asarray(unit), keys, self.given)
        return self._named(np.asarray(theta), values)

    def before(self, key: jax.Array, draws: int) -> Sites:
        keys = jax.random.split(jax.random.split(jax.random.split(key)[0])[1], draws)
        drawn, values = self.form.before(keys, self.given)
        quartic, unit = np.asarray(drawn)[None], self.setting.unit
        theta = np.concatenate([unit.centre2 - quartic @ unit.shift.T, quartic], axis=-1)
        return self._named(theta, {name: value[None] for name, value in values.items()})

    @staticmethod
    def keys(key: jax.Array, chains: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        """For each chain: to run with, to begin at, to complete its draws with."""
        keys = jax.vmap(lambda one: jax.random.split(one, 3))(jax.random.split(key, chains))
        return keys[:, 0], keys[:, 1], keys[:, 2]

    def _named(self, theta: np.ndarray, values: Mapping[str, Any]) -> Sites:
        shown = {name: np.asarray(values[name]) for name in self.prior.shown if name in values}
        return by_name(self.setting.names, theta / self.setting.factors) | shown


class _Form:
    """The programs of one prior on one set of points and couplings; all numbers of a fit are their argument."""

    def __init__(self, prior: AbstractPrior, points: Points, labels: Mapping[str, Tuples], shapes: _Shapes) -> None:
        self.prior, self.points, self.labels, self.shapes = prior, points, labels, dict(shapes)
        both = jax.vmap(jax.vmap(self._complete, in_axes=(0, 0, None)), in_axes=(0, 0, None))
        self.complete = jax.jit(both)
        self.before = jax.jit(lambda keys, data: jax.vmap(lambda key: prior.before(self._about(data), key))(keys))

    def _about(self, data: Marginal) -> Unknowns:
        return Unknowns(self.points, self.labels, data.factor)

    def hyper(self, data: Marginal) -> None:
        """What a sampler moves in, under the names of the prior."""
        data = jax.tree.map(jnp.asarray, data)
        self.prior.integrated(self._about(data), data)

    def program(self, data: Marginal) -> None:
        """The same in coordinates `unit`."""
        size = sum(math.prod(shape) for shape in self.shapes.values())
        unit: Any = numpyro.sample("unit", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
        with handlers.block():
            energy = potential_energy(self.hyper, (data,), {}, self._free(unit))
        numpyro.factor("density", -energy)

    def _free(self, unit: Array) -> dict[str, Array]:
        """Unconstrained sites from coordinates."""
        edges = np.cumsum([math.prod(shape) for shape in self.shapes.values()])[:-1]
        parts = zip(self.shapes.items(), jnp.split(unit, edges), strict=True)
        return {name: part.reshape(shape) for (name, shape), part in parts}

    def _complete(self, unit: Array, key: jax.Array, data: Marginal) -> tuple[Array, dict[str, Array]]:
        data = jax.tree.map(jnp.asarray, data)
        values = constrain_fn(self.hyper, (data,), {}, self._free(unit))
        return self.prior.completed(self._about(data), data, values, key), values


@lru_cache(maxsize=16)
def _form(prior: AbstractPrior, places: ByContent, labels: tuple[tuple[str, ByContent], ...], shapes: _Shapes) -> _Form:
    return _Form(prior, places.values, {name: one.values for name, one in labels}, shapes)


def check_laws(laws: Mapping[str, Any], sites: tuple[str, ...]) -> None:
    """Refuse a prior for a site there is not."""
    for name in laws:
        if name not in sites:
            known = f"one of {sites}" if sites else "a site that can be replaced, of which there is none"
            raise ValueError(
                f"expected prior for {known}, got {name!r}; try {nearest(name, list(sites)) if sites else 'none'!r}"
            )
