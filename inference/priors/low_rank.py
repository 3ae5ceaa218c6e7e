"""Bilocal couplings as sums of few products: v_ab = sum_r d_r f_ra f_rb, u_ab = sum_r c_ra e_rb, g_a free.

Products of parameters have no closed posterior: NUTS moves in them as they are. Their signs and rotations are not
identified, the couplings are, and only those are reported.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from ...models.actions.rungs import LowRankBilocal, bilocal_blocks
from ...models.types import Matrix
from .program import Marginal, Program, check_laws, with_quadratic

__all__ = ["low_rank_program"]


def low_rank_program(action: LowRankBilocal, points: Matrix, laws: Mapping[str, Any]) -> Program:
    """The program of the low-rank prior: g ~ its default sd, d ~ N(0, s^2), profiles standard normal."""
    check_laws(laws, ())
    count, rank = len(points), action.rank
    labels = bilocal_blocks(count)
    u, v, level = labels["u"], labels["v"], np.sqrt(count)

    def across(given: Marginal) -> Any:
        """Typical sd of a coupling of two points, for one network."""
        return jnp.median(jnp.asarray(given.scale)[count:]) if count > 1 else 1.0

    def before(given: Marginal) -> None:
        numpyro.sample("white", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
        numpyro.sample("strength", dist.Normal(0.0, across(given)).expand([rank]).to_event(1))
        for name in ("profile", "left", "right"):
            numpyro.sample(name, dist.Normal(0.0, 1.0).expand([rank, count]).to_event(2))

    def quartic(given: Marginal, values: dict[str, jax.Array]) -> jax.Array:
        f, c, e = values["profile"], values["left"], values["right"]
        couplings = [jnp.asarray(given.scale)[:count] * values["white"]]
        couplings.append(across(given) * jnp.sum(c[:, u[:, 0]] * e[:, u[:, 1]], axis=0) / level)
        couplings.append(jnp.sum(values["strength"][:, None] * f[:, v[:, 0]] * f[:, v[:, 1]], axis=0))
        return jnp.concatenate(couplings)

    def hyper(given: Marginal) -> None:
        with handlers.trace() as trace:
            before(given)
        off = quartic(given, {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}) - given.centre
        numpyro.factor("data", -0.5 * off @ given.precision @ off)

    def complete(given: Marginal, values: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        return {"theta": with_quadratic(given, quartic(given, values), key)}

    def prior(given: Marginal, values: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        return {"quartic_scaled": quartic(given, values)}

    def start(given: Marginal) -> dict[str, Any]:
        return _start(given, count, rank, u, v, float(across(given)) / level)

    return Program(hyper, before, complete, prior, start)


def _start(given: Marginal, count: int, rank: int, u: np.ndarray, v: np.ndarray, unit: float) -> dict[str, Any]:
    """Leading products of the unrestricted estimate, its missing diagonals filled by the products themselves."""
    g, cross, square = np.split(given.centre, [count, count + len(u)])
    left, right = np.zeros((count, count)), np.zeros((count, count))
    left[u[:, 0], u[:, 1]] = cross
    right[v[:, 0], v[:, 1]] = right[v[:, 1], v[:, 0]] = square
    for _ in range(50):
        a, s, b = np.linalg.svd(left)
        np.fill_diagonal(left, np.diag((a[:, :rank] * s[:rank]) @ b[:rank]))
        values, vectors = np.linalg.eigh(right)
        order = np.argsort(-np.abs(values))[:rank]
        np.fill_diagonal(right, np.diag((vectors[:, order] * values[order]) @ vectors[:, order].T))
    size = np.sqrt(s[:rank] / unit)[:, None]
    return {
        "white": g / given.scale[:count],
        "strength": values[order] / count,
        "profile": vectors[:, order].T * np.sqrt(count),
        "left": a[:, :rank].T * size,
        "right": b[:rank] * size,
    }
