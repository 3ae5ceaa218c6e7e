"""Bilocal couplings that vary smoothly with their points: a Gaussian process over (x,y), and what it misses.

Block b of g(x), u(x,y), v(x,y), in scaled fields, is f_b + d_b e with e ~ N(0, 1) and f_b ~ GP(0, a_b^2 k), where

    k = exp(-(|x-x'|^2 + |y-y'|^2)/2 l_b^2)   (v: its even half under x <-> y).

The data are Gaussian in the couplings, so these are integrated out: NUTS moves in amplitudes a, lengths l and
discrepancies d alone, and the couplings are drawn exactly given them. The process predicts couplings at points that
were not fitted; but they are those of an action on the fitted points: the marginal on more points has others.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from scipy.spatial.distance import pdist

from ...models.actions.rungs import SmoothBilocal, bilocal_blocks
from ...models.types import Matrix
from .program import Marginal, Program, check_laws, with_quadratic

__all__ = ["BLOCKS", "HYPER", "smooth_kernel", "smooth_program"]

HYPER = ("amplitude", "length", "discrepancy")
BLOCKS = ("g", "u", "v")


def smooth_kernel(points: Matrix, others: Matrix, name: str, length: Any) -> Any:
    """k_l between the labels of a block at two sets of points, (label, other label).

    g(x) sits at (x, x); u(x,y) at its ordered pairs; v(x,y) is the even half, so k is averaged over the exchange.
    """

    def places(x: Matrix) -> tuple[Matrix, Matrix]:
        labels = bilocal_blocks(len(x))[name]
        return (x[labels[:, 0]], x[labels[:, -1]])

    (x, y), (p, q) = places(points), places(others)

    def square(a: Matrix, b: Matrix) -> Matrix:
        return np.sum((a[:, None] - b[None]) ** 2, axis=-1)

    straight = jnp.exp(-0.5 * (square(x, p) + square(y, q)) / length**2)
    if name != "v":
        return straight
    return 0.5 * (straight + jnp.exp(-0.5 * (square(x, q) + square(y, p)) / length**2))


def smooth_program(action: SmoothBilocal, points: Matrix, laws: Mapping[str, Any]) -> Program:
    """The program of the smooth prior; `laws` replace those of amplitude, length or discrepancy, one a block."""
    sites = HYPER if action.discrepancy else HYPER[:2]
    check_laws(laws, sites)
    blocks = [name for name in BLOCKS if len(bilocal_blocks(len(points))[name])]
    counts = [len(bilocal_blocks(len(points))[name]) for name in blocks]
    edges = np.cumsum([0, *counts])
    parts = [slice(a, b) for a, b in pairwise(edges.tolist())]
    reach = float(np.median(pdist(points))) if len(points) > 1 else 1.0

    def size(given: Marginal) -> jax.Array:
        """Typical sd of each block's couplings for one network: what amplitudes are measured against."""
        return jnp.stack([jnp.median(jnp.asarray(given.scale)[part]) for part in parts])

    def before(given: Marginal) -> None:
        unit = size(given)
        defaults = {
            "amplitude": dist.LogNormal(jnp.log(0.1 * unit), 2.0),
            "length": dist.LogNormal(jnp.full(len(blocks), np.log(reach)), 0.7),
            "discrepancy": dist.LogNormal(jnp.log(0.03 * unit), 2.0),
        }
        for name in sites:
            law = laws.get(name, defaults[name])
            numpyro.sample(name, (law.expand([len(blocks)]) if law.shape() == () else law).to_event(1))

    def factor(hyper: dict[str, jax.Array]) -> jax.Array:
        """L with L L^T the prior covariance of the quartic couplings."""
        total = sum(counts)
        covariance = jnp.zeros((total, total))
        for k, (name, part) in enumerate(zip(blocks, parts, strict=True)):
            kernel = smooth_kernel(points, points, name, hyper["length"][k])
            own = hyper["discrepancy"][k] if action.discrepancy else 1e-4 * hyper["amplitude"][k]
            block = hyper["amplitude"][k] ** 2 * kernel + own**2 * jnp.eye(counts[k])
            covariance = covariance.at[part, part].set(block)
        return jnp.linalg.cholesky(covariance + 1e-12 * jnp.trace(covariance) / total * jnp.eye(total))

    def solved(given: Marginal, hyper: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        root = factor(hyper)
        inner = jnp.eye(len(root)) + root.T @ given.precision @ root
        return root, jnp.linalg.cholesky(inner), root.T @ (given.precision @ given.centre)

    def hyper(given: Marginal) -> None:
        with handlers.trace() as trace:
            before(given)
        values = {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}
        _, inner, right = solved(given, values)
        half = jax.scipy.linalg.solve_triangular(inner, right, lower=True)
        # log N(centre; 0, precision^-1 + L L^T) up to a constant.
        numpyro.factor("evidence", 0.5 * half @ half - jnp.sum(jnp.log(jnp.diag(inner))))

    def complete(given: Marginal, values: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        first, second = jax.random.split(key)
        root, inner, right = solved(given, values)
        z = jax.scipy.linalg.cho_solve((inner, True), right)
        noise = jax.random.normal(first, z.shape)
        quartic = root @ (z + jax.scipy.linalg.solve_triangular(inner.T, noise, lower=False))
        return {"theta": with_quadratic(given, quartic, second), **values}

    def prior(given: Marginal, values: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        root = factor(values)
        return {"quartic_scaled": root @ jax.random.normal(key, (len(root),)), **values}

    def start(given: Marginal) -> dict[str, Any]:
        unit = np.asarray(size(given))
        values = {"amplitude": 0.1 * unit, "length": np.full(len(blocks), reach), "discrepancy": 0.03 * unit}
        return {name: values[name] for name in sites}

    return Program(hyper, before, complete, prior, start)
