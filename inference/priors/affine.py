"""Priors whose sites are the couplings themselves: Gaussian and worth one network, or replaced by distributions.

The equations are Gaussian in theta, so with the default prior mean and covariance of the posterior are known; they turn
and scale the coordinates, and no mass matrix has to be learnt.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro import handlers

from ...models.types import Matrix, Vector
from .density import AbstractPosterior, Names, Setting, Sites, by_name
from .likelihood import SITES, Units, Whitened, coupling_model, gaussian_posterior, log_prior, units, whitened
from .prior import AbstractPrior, Unknowns, check_laws

__all__ = ["Affine", "Given", "UnitInformation", "coordinates", "default_sites", "random"]


class UnitInformation(AbstractPrior):
    """The default prior: Gaussian in Wick-ordered form and worth one network, N(0, scale^2 F^-1) (`unit.py`).

    Args:
        scale: s; 0.5 is worth four networks, 2 a quarter of one.

    Example:
        >>> UnitInformation(scale=0.5).gaussian
        True
    """

    scale: float = 1.0

    @property
    def word(self) -> str:
        return "unit_information"

    @property
    def name(self) -> str:
        return ""

    @property
    def affine(self) -> bool:
        return True

    @property
    def gaussian(self) -> bool:
        return True

    def interaction(self, about: Unknowns) -> Array:
        white: Any = numpyro.sample("quartic_white", dist.Normal(0.0, 1.0).expand([len(about.factor)]).to_event(1))
        return jnp.asarray(about.factor) @ white

    def posterior(self, setting: Setting) -> "Affine":
        return Affine(setting, {})

    def program(self, setting: Setting) -> Callable[[], None]:
        return _program(setting, {})


class Given(AbstractPrior):
    """Distributions in place of one part of the default prior, or of both, in scaled fields phi_a/sqrt(K_aa).

    Args:
        laws: site "quadratic" or "quartic" (all couplings of the interaction) -> NumPyro distribution of one coupling,
            or of all of that part.
        scale: of the default prior that the other part keeps.

    Raises:
        ValueError: a site that is neither.

    Example:
        >>> Given({"quartic": dist.Normal(0.0, 0.1)}).gaussian
        False
    """

    laws: Mapping[str, dist.Distribution]
    scale: float = eqx.field(default=1.0, kw_only=True)

    def __check_init__(self) -> None:
        check_laws(self.laws, SITES)

    @property
    def word(self) -> str:
        return "given"

    @property
    def name(self) -> str:
        return "distributions given for its couplings"

    @property
    def affine(self) -> bool:
        return True

    def interaction(self, about: Unknowns) -> Array:
        if "quartic" not in self.laws:
            return UnitInformation().interaction(about)
        law = self.laws["quartic"].expand([len(about.factor)]).to_event(1)
        return jnp.asarray(numpyro.sample("quartic", law))

    def posterior(self, setting: Setting) -> "Affine":
        return Affine(setting, self.laws)

    def program(self, setting: Setting) -> Callable[[], None]:
        return _program(setting, self.laws)


class Affine(AbstractPosterior):
    """The posterior in coordinates sites = origin + axes unit, with unit ~ N(0, 1) under the default prior."""

    turned = True

    def __init__(self, setting: Setting, laws: Mapping[str, dist.Distribution]) -> None:
        self.setting, self.laws, self.units = setting, dict(laws), units(setting.unit, setting.factors)
        free = () if setting.gaussian else self.laws
        self.origin, covariance = coordinates(self.units, whitened(setting.equations), self.laws, free)
        self.axes = setting.data.root(covariance)
        lower = np.linalg.cholesky(covariance)
        same = np.array_equal(self.axes, lower)  # exactly: chains remember the last bit of where they began
        self._turn = np.eye(len(lower)) if same else np.linalg.solve(self.axes, lower).T
        self.gaussian = setting.gaussian and not laws
        self.size = len(self.origin)
        self.program = turned_model(setting.names, tuple(laws.items())) if laws else _default(setting.names)
        self.arguments = (self.units, setting.data, self.origin, self.axes)

    def begin(self, key: jax.Array, chains: int) -> tuple[Float[Array, "chain size"], Any]:
        """Twice as wide as the posterior, for R-hat."""
        start_key, run_key = jax.random.split(key)
        wide = 2.0 * jax.random.normal(start_key, (chains, self.size))
        return wide @ self._turn, jax.random.split(run_key, chains)

    def spread(self, white: Float[np.ndarray, "chain draw size"]) -> Float[np.ndarray, "chain draw size"]:
        return white @ self._turn

    def sites(self, unit: Float[np.ndarray, "chain draw size"], key: jax.Array) -> Sites:
        return default_sites(self.origin + np.asarray(unit) @ self.axes.T, self.setting.names, self.units, self.laws)

    def before(self, key: jax.Array, draws: int) -> Sites:
        key = jax.random.split(key)[1]
        if not self.laws:
            white = random(key).standard_normal((1, draws, self.size))
            return default_sites(white, self.setting.names, self.units, {})
        model = coupling_model(self.setting.names, self.laws)

        def one(key: jax.Array, given: Units, data: Any) -> dict[str, Array]:
            trace = handlers.trace(handlers.seed(model, key)).get_trace(given, data)
            return {name: site["value"] for name, site in trace.items() if not site.get("is_observed")}

        drawn = jax.jit(jax.vmap(one, in_axes=(0, None, None)))
        return {k: np.asarray(v)[None] for k, v in drawn(jax.random.split(key, draws), *self.arguments[:2]).items()}

    def log_prior(self, theta: Float[np.ndarray, "chain draw term"]) -> Sites:
        return {"couplings": log_prior(self.setting.unit, self.laws, theta)}

    def constants(self) -> dict[str, Any]:
        if self.laws:
            return {}
        centre, covariance = gaussian_posterior(self.setting.equations, self.setting.unit)
        factors = self.setting.factors
        return {
            "closed_mean": ("term", centre / factors),
            "closed_sd": ("term", np.sqrt(np.diag(covariance)) / factors),
        }


def coordinates(
    given: Units, equations: Whitened, laws: Mapping[str, dist.Distribution], free: Collection[str] = ()
) -> tuple[Vector, Matrix]:
    """Mean and covariance of the sites under the posterior of the default prior, whatever replaces it.

    Of the sites that are `free` the default prior says nothing either.
    """
    q, size = len(given.factor2), equations.design.shape[1]
    linear, offset = np.zeros((size, size)), np.zeros(size)  # theta = offset + linear sites, nothing replaced
    linear[:q, :q], linear[q:, q:] = given.factor2, given.factor4
    linear[:q, q:] = -given.shift @ given.factor4
    offset[:q] = given.centre2
    design = equations.design @ linear
    held = np.ones(size)
    for name, rows in zip(SITES, (slice(0, q), slice(q, None)), strict=True):
        held[rows] = name not in free
    covariance = np.linalg.inv(np.diag(held) + design.T @ design)
    white = covariance @ (design.T @ (equations.observed - equations.design @ offset))
    if not laws:
        return white, covariance
    theta = offset + linear @ white
    to_sites = np.linalg.inv(linear)
    for name, rows in zip(SITES, (slice(0, q), slice(q, None)), strict=True):
        if name in laws:  # the site is its part of theta itself
            to_sites[rows], offset[rows] = np.eye(size)[rows], 0.0
    factor = to_sites @ linear
    return to_sites @ (theta - offset), factor @ covariance @ factor.T


def default_sites(
    values: Float[np.ndarray, "chain draw term"], names: Names, given: Units, laws: Mapping[str, Any]
) -> Sites:
    """Sites of `coupling_model` and the physical couplings, from the values of both sites side by side."""
    q = len(given.factor2)
    quartic = values[..., q:] if "quartic" in laws else values[..., q:] @ given.factor4.T
    quadratic = values[..., :q]
    if "quadratic" not in laws:
        quadratic = quadratic @ given.factor2.T + given.centre2 - quartic @ given.shift.T
    theta = np.concatenate([quadratic, quartic], axis=-1)
    parts = zip(SITES[::-1], (values[..., q:], values[..., :q]), strict=True)
    own = {name if name in laws else f"{name}_white": part for name, part in parts}
    return own | by_name(names, theta / given.factors)


def turned_model(names: Names, laws: tuple[tuple[str, dist.Distribution], ...]) -> Callable[..., None]:
    """The model of the couplings in coordinates `unit`: units, data, origin and axes are its arguments."""
    program = coupling_model(names, dict(laws))
    sites = [name if name in dict(laws) else f"{name}_white" for name in SITES]

    def turned(given: Units, data: Any, origin: Array, axes: Array) -> None:
        unit: Any = numpyro.sample("unit", dist.ImproperUniform(dist.constraints.real_vector, (), (len(origin),)))
        parts = jnp.split(origin + axes @ unit, [len(given.factor2)])
        with handlers.condition(data=dict(zip(sites, parts, strict=True))):
            program(given, data)

    return turned


@lru_cache(maxsize=32)
def _default(names: Names) -> Callable[..., None]:
    return turned_model(names, ())


def _program(setting: Setting, laws: Mapping[str, dist.Distribution]) -> Callable[[], None]:
    """The posterior in the couplings' own sites, as a model of no arguments."""
    model = coupling_model(setting.names, laws)
    return lambda: model(units(setting.unit, setting.factors), setting.data)


def random(key: jax.Array) -> np.random.Generator:
    """NumPy's generator, seeded with a key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
