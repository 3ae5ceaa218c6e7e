"""Programs made from the program of a network: one of its neurons, and the covariance of its field given the rest.

h = sqrt(N) times the share of one neuron in a network of N equal ones; Sigma = J diag(s^2) J^T with J = d phi/d W at
one draw of everything but the Gaussian readout W. Both are ensembles like any other, whose networks are cheaper to
average than fields (`estimators/duality.py`).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro

from ...models.combinatorics import sorted_tuples
from ...models.types import Points
from .structure import gaussian, run

__all__ = ["HiddenCovariance", "OneNeuron", "as_tuples"]


class OneNeuron(eqx.Module):
    """NumPyro model of one neuron h, site `phi`: sqrt(N) times the share of it in a network of N equal neurons."""

    model: Callable[..., Any]
    site: str
    plate: str
    width: int

    def __call__(self, points: Any) -> None:
        key: Any = numpyro.prng_key()
        equal = {}
        for name, site in run(self.model, points, key).items():
            if site["type"] != "sample":
                continue
            value = site["value"]
            frames = [f for f in site["cond_indep_stack"] if f.name == self.plate]
            if not frames:
                equal[name] = jnp.zeros_like(value)
                continue
            axis = value.ndim + frames[0].dim - site["fn"].event_dim
            equal[name] = jnp.repeat(jnp.take(value, jnp.array([0]), axis), self.width, axis)
        phi = run(self.model, points, key, equal)[self.site]["value"]
        numpyro.deterministic("phi", phi / self.width**0.5)


class HiddenCovariance(eqx.Module):
    """NumPyro model of Sigma_ab = sum_W s_W^2 J_aW J_bW on the sorted pairs, J = d phi_a/d W at one draw of the rest.

    Site `phi`; the argument only numbers the pairs.
    """

    model: Callable[..., Any]
    points: tuple[tuple[float, ...], ...]
    linear: tuple[str, ...]
    site: str

    def __call__(self, _: Any) -> jax.Array:
        first, second = sorted_tuples(len(self.points), 2).T
        places = jnp.asarray(self.points)
        key: Any = numpyro.prng_key()

        def weights() -> dict[str, jax.Array]:
            sites = run(self.model, places, key)
            return {n: sites[n]["value"] for n in self.linear}

        zeros = {name: jnp.zeros(value.shape) for name, value in jax.eval_shape(weights).items()}

        def field(weights: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
            sites = run(self.model, places, key, weights)
            scales = {n: jnp.broadcast_to(gaussian(sites[n]["fn"]).scale, weights[n].shape) for n in self.linear}
            return sites[self.site]["value"], scales

        slopes, scales = jax.jacrev(field, has_aux=True)(zeros)
        j = jnp.concatenate([(slopes[n] * scales[n]).reshape(len(places), -1) for n in self.linear], axis=1)
        j = jax.lax.optimization_barrier(j)
        # Recorded for its size alone, which decides how many networks are drawn at a time.
        numpyro.deterministic("slopes", j)
        sigma = (j @ j.T)[first, second]
        numpyro.deterministic("phi", sigma)
        return sigma


def as_tuples(points: Points) -> tuple[tuple[float, ...], ...]:
    """Points that can be part of a program compared by content."""
    return tuple(map(tuple, points.tolist()))
