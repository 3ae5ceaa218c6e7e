"""The posterior of the couplings as a density over R^n, in the coordinates in which a sampler moves.

A prior makes it (`AbstractPrior.posterior`), a sampler draws from it (`AbstractSampler.draw`) and knows no more of it
than is written here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.infer.util import log_density

from ...models.types import Points, Tuples, Vector
from ..equations.from_moments import Equations
from .unit import Prior

__all__ = ["AbstractPosterior", "Names", "Setting", "Sites", "by_name"]

Names = tuple[tuple[str, int], ...]  # couplings in the order of the terms, (name, how many)
Sites = dict[str, np.ndarray]


class Setting(NamedTuple):
    """What a prior needs to make a posterior, in scaled fields.

    names: all couplings; labels: those of the interaction, {name: (coupling, label)}; points: (point, axis); factors:
    physical coupling = scaled coupling / factor; unit: the unit-information prior; equations: of the method, Gaussian;
    data: what the method conditions the couplings on, with `observe(theta)`; gaussian: whether that is the equations.
    """

    names: Names
    labels: Mapping[str, Tuples]
    points: Points
    factors: Vector
    unit: Prior
    equations: Equations
    data: Any
    gaussian: bool


class AbstractPosterior(ABC):
    """A density over R^size and what its coordinates mean; in double precision.

    Attributes:
        program: NumPyro model of `arguments` with the one latent site `unit`, (size,).
        arguments: all numbers of the fit, so that one compiled program serves every fit of a shape.
        size: number of coordinates.
        turned: whether `unit` is nearly a vector of independent standard normals.
        gaussian: whether it is exactly that.
    """

    program: Callable[..., None]
    arguments: tuple[Any, ...]
    size: int
    turned: bool
    gaussian: bool

    @abstractmethod
    def begin(self, key: jax.Array, chains: int) -> tuple[Float[Array, "chain size"], Any]:
        """Where chains begin, apart from each other, and a key for each."""

    @abstractmethod
    def sites(self, unit: Float[np.ndarray, "chain draw size"], key: jax.Array) -> Sites:
        """Physical couplings by name, and what else the tree shows, at drawn coordinates, (chain, draw, ...).

        The key is that of the sampler: where couplings are integrated out they are drawn here.
        """

    @abstractmethod
    def before(self, key: jax.Array, draws: int) -> Sites:
        """The same before the data, one chain of draws; the key is that of the fit."""

    def spread(self, white: Float[np.ndarray, "chain draw size"]) -> Float[np.ndarray, "chain draw size"]:
        """Standard normals as coordinates of a Gaussian posterior."""
        return white

    def log_density(self, unit: Float[Array, " size"]) -> Float[Array, ""]:
        """Log of the density at one place, up to a constant; a JAX function."""
        return jnp.asarray(log_density(self.program, self.arguments, {}, {"unit": unit})[0])

    def log_prior(self, theta: Float[np.ndarray, "chain draw term"]) -> Sites:
        """Log prior of scaled couplings, for power scaling; empty where a prior has parameters of its own."""
        return {}

    def constants(self) -> dict[str, Any]:
        """What the tree keeps of the posterior besides its draws: its closed form, where it has one."""
        return {}


def by_name(names: Names, values: Float[np.ndarray, "*draw term"]) -> Sites:
    """Numbers of all terms as blocks by the name of the coupling.

    >>> by_name((("q", 1), ("g", 2)), np.arange(3.0))["g"].tolist()
    [1.0, 2.0]
    """
    edges = np.cumsum([count for _, count in names])[:-1]
    return dict(zip((name for name, _ in names), np.split(values, edges, axis=-1), strict=True))
