"""A program as a function of its parameters, and the data it learns from: what every way of learning is made of.

Parameters are counted in units of the deviation of their law, so that a step of gradient descent is one of the NTK
parameterisation, in which every parameter is N(0, 1) and its scale stands in the network (arXiv:1806.07572).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro import handlers

from ..types import Inputs

__all__ = ["Field", "Lesson", "drawn"]

Values = dict[str, jax.Array]


class Lesson(NamedTuple):
    """What a network is asked to learn: inputs X, (sample, axis), and targets y, (sample,)."""

    inputs: Float[Array, "sample axis"]
    targets: Float[Array, " sample"]


class Field(NamedTuple):
    """One draw of a program as a function of its parameters u, in units of their deviations.

    at: u, points -> phi(points), (point,); start: u as drawn; laws: of each parameter, as the program has it.
    """

    at: Callable[[Values, Inputs], Float[Array, " point"]]
    start: Values
    laws: Mapping[str, Any]

    def normal(self, name: str) -> bool:
        """Whether a parameter is Gaussian about zero, which a number can be asked of outside of a traced function."""
        law = _innermost(self.laws[name])
        return type(law) is dist.Normal and not np.any(np.asarray(law.loc))


def drawn(program: Callable[..., Any], key: jax.Array, points: Inputs, site: str = "phi") -> Field:
    """A network of a program drawn with a key, to be changed and asked at any points.

    Raises:
        ValueError: a program without such a site, without parameters, or with a discrete one.

    Example:
        >>> from nnft.models import Cos, Network
        >>> x = jnp.array([[0.3]])
        >>> field = drawn(Network(Cos(), 4), jax.random.key(0), x)
        >>> sorted(field.start), field.at(field.start, x).shape
        (['phase', 'readout', 'weight'], (1,))
    """
    sites = _sites(program, key, points, {})
    if site not in sites:
        raise ValueError(f"expected a program with a site {site!r}, got {sorted(sites)}; try numpyro.deterministic")
    latent = {n: s for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
    if not latent:
        raise ValueError(
            f"expected a program whose parameters are numpyro.sample sites, which training can change, got none in "
            f"{getattr(program, 'name', program)!r:.80}; try m.Network or m.Deep, or training inside the function of "
            "m.FromKey"
        )
    for name, one in latent.items():
        if not jnp.issubdtype(jnp.result_type(one["value"]), jnp.floating):
            raise ValueError(
                f"expected parameters that can be changed a little, got the site {name!r} of {one['value'].dtype}; try "
                "a continuous law"
            )
    scales = {name: _deviation(one["fn"], one["value"]) for name, one in latent.items()}

    def at(parameters: Values, points: Inputs) -> Float[Array, " point"]:
        values = {name: u * scales[name] for name, u in parameters.items()}
        return jnp.asarray(_sites(program, key, points, values)[site]["value"])

    start = {name: one["value"] / scales[name] for name, one in latent.items()}
    return Field(at, start, {name: one["fn"] for name, one in latent.items()})


def _sites(program: Callable[..., Any], key: jax.Array, points: Inputs, values: Values) -> dict[str, Any]:
    fixed = handlers.substitute(data=values)
    with handlers.block(), handlers.trace() as trace, handlers.seed(rng_seed=key), fixed:
        program(points)
    return dict(trace)


def _innermost(law: Any) -> Any:
    while isinstance(law, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        law = law.base_dist
    return law


def _deviation(law: Any, value: jax.Array) -> jax.Array:
    """The scale of a normal law; one of any other, whose parameters are counted as they are."""
    law = _innermost(law)
    scale = law.scale if isinstance(law, dist.Normal) else 1.0
    return jnp.broadcast_to(jnp.asarray(scale, dtype=value.dtype), value.shape)
