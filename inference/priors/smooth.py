"""Bilocal couplings that vary smoothly with their points: a Gaussian process over (x,y), and what it misses.

Block b of g(x), u(x,y), v(x,y), in scaled fields, is f_b + d_b e with e ~ N(0, 1) and f_b ~ GP(0, a_b^2 k), where

    k = exp(-(|x-x'|^2 + |y-y'|^2)/2 l_b^2)   (v: its even half under x <-> y).

The data are Gaussian in the couplings, so these are integrated out: NUTS moves in amplitudes a, lengths l and
discrepancies d alone, and the couplings are drawn exactly given them. The process predicts couplings at points that
were not fitted; but they are those of an action on the fitted points: the marginal on more points has others.
"""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro import handlers
from scipy.spatial.distance import pdist

from ...models.actions.rungs import bilocal_blocks
from ...models.types import Matrix
from .marginal import Marginal, with_quadratic
from .prior import AbstractPrior, Unknowns

__all__ = ["BLOCKS", "SmoothPrior", "smooth_kernel"]

BLOCKS = ("g", "u", "v")
_FLAT = 1e-4  # of the amplitude, where there is no discrepancy: its kernel stays invertible


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


class SmoothPrior(AbstractPrior):
    """Bilocal couplings that vary smoothly with their points, how much and how far inferred too.

    Args:
        discrepancy: False leaves the independent part out, and with it what keeps intervals honest where the truth is
            not as smooth as the process; a distribution replaces that of its sd.
        amplitude, length: distributions in place of the default ones, of one number or one a block.
        scale: s of the unit-information prior, in whose units the defaults are.

    Raises:
        ValueError: a fit of an action whose couplings are no lambda_i(x,y).

    Example:
        >>> sorted(SmoothPrior(discrepancy=False).shown)
        ['amplitude', 'length']
    """

    discrepancy: bool | dist.Distribution = True
    amplitude: dist.Distribution | None = None
    length: dist.Distribution | None = None

    @property
    def word(self) -> str:
        return "smooth"

    @property
    def name(self) -> str:
        return "a smooth prior"

    @property
    def meaning(self) -> str:
        apart = "" if self.discrepancy is False else ", plus an independent discrepancy of standard deviation d"
        return (
            "The prior holds the couplings of a block together: in scaled fields each of g(x), u(x,y), v(x,y) is a "
            rf"Gaussian process over (x,y), of covariance $a^2\exp(-(|x-x'|^2 + |y-y'|^2)/2\ell^2)${apart}. It can be "
            "read at other points, but an action on more points is another marginal, and its couplings are not those "
            "values."
        )

    @property
    def shown(self) -> dict[str, tuple[str, ...]]:
        names = ("amplitude", "length") if self.discrepancy is False else ("amplitude", "length", "discrepancy")
        return dict.fromkeys(names, ("block",))

    def interaction(self, about: Unknowns) -> Array:
        root = self._root(about, self._parameters(about))
        white: Any = numpyro.sample("white", dist.Normal(0.0, 1.0).expand([len(root)]).to_event(1))
        return root @ white

    def _parameters(self, about: Unknowns) -> dict[str, Array]:
        """The sites that are no couplings: (block,) each."""
        labels, unit = _blocks(about), _sizes(about)
        defaults = {
            "amplitude": dist.LogNormal(jnp.log(0.1 * unit), 2.0),
            "length": dist.LogNormal(jnp.full(len(labels), np.log(_reach(about))), 0.7),
            "discrepancy": dist.LogNormal(jnp.log(0.03 * unit), 2.0),
        }
        found = {}
        for name in self.shown:
            own = getattr(self, name)
            law = own if isinstance(own, dist.Distribution) else defaults[name]
            law = law.expand([len(labels)]) if law.shape() == () else law
            found[name] = jnp.asarray(numpyro.sample(name, law.to_event(1)))
        return found

    def _root(self, about: Unknowns, hyper: dict[str, Array]) -> Array:
        """L with L L^T the prior covariance of the interaction's couplings."""
        labels = _blocks(about)
        edges = np.cumsum([0, *map(len, labels.values())]).tolist()
        total = edges[-1]
        covariance = jnp.zeros((total, total))
        for k, (name, part) in enumerate(zip(labels, map(slice, edges, edges[1:]), strict=False)):
            kernel = smooth_kernel(about.points, about.points, name, hyper["length"][k])
            own = hyper["discrepancy"][k] if "discrepancy" in hyper else _FLAT * hyper["amplitude"][k]
            block = hyper["amplitude"][k] ** 2 * kernel + own**2 * jnp.eye(len(labels[name]))
            covariance = covariance.at[part, part].set(block)
        return jnp.linalg.cholesky(covariance + 1e-12 * jnp.trace(covariance) / total * jnp.eye(total))

    # The couplings are Gaussian given the parameters: they are integrated out, and drawn exactly afterwards.

    def _solved(self, about: Unknowns, data: Marginal, hyper: dict[str, Array]) -> tuple[Array, Array, Array]:
        root = self._root(about, hyper)
        inner = jnp.eye(len(root)) + root.T @ data.precision @ root
        return root, jnp.linalg.cholesky(inner), root.T @ (data.precision @ data.centre)

    def integrated(self, about: Unknowns, data: Marginal) -> None:
        _, inner, right = self._solved(about, data, self._parameters(about))
        half = jax.scipy.linalg.solve_triangular(inner, right, lower=True)
        # log N(centre; 0, precision^-1 + L L^T) up to a constant.
        numpyro.factor("evidence", 0.5 * half @ half - jnp.sum(jnp.log(jnp.diag(inner))))

    def completed(self, about: Unknowns, data: Marginal, values: dict[str, Array], key: jax.Array) -> Array:
        first, second = jax.random.split(key)
        root, inner, right = self._solved(about, data, values)
        z = jax.scipy.linalg.cho_solve((inner, True), right)
        noise = jax.random.normal(first, z.shape)
        quartic = root @ (z + jax.scipy.linalg.solve_triangular(inner.T, noise, lower=False))
        return with_quadratic(data, quartic, second)

    def before(self, about: Unknowns, key: jax.Array) -> tuple[Array, dict[str, Array]]:
        first, second = jax.random.split(key)
        with handlers.seed(rng_seed=first):
            hyper = self._parameters(about)
        root = self._root(about, hyper)
        return root @ jax.random.normal(second, (len(root),)), hyper

    def begins(self, about: Unknowns, data: Marginal) -> dict[str, Any]:
        unit = _sizes(about)
        values = {"amplitude": 0.1 * unit, "length": jnp.full(len(unit), _reach(about)), "discrepancy": 0.03 * unit}
        return {name: values[name] for name in self.shown}


def _blocks(about: Unknowns) -> dict[str, Any]:
    """Labels of the blocks that have couplings, of lambda_i(x,y) only."""
    count = len(about.points)
    whole = bilocal_blocks(count)
    if not all(name in whole and np.array_equal(labels, whole[name]) for name, labels in about.labels.items()):
        raise ValueError(
            f"expected couplings lambda_i(x,y) for a smooth prior, got {', '.join(about.labels)}; try m.Bilocal()"
        )
    return {name: labels for name, labels in about.labels.items() if len(labels)}


def _sizes(about: Unknowns) -> Array:
    """Typical sd of each block's couplings for one network, (block,): what amplitudes are measured against."""
    edges = np.cumsum([0, *map(len, _blocks(about).values())]).tolist()
    return jnp.stack([jnp.median(about.scale[a:b]) for a, b in pairwise(edges)])


def _reach(about: Unknowns) -> float:
    return float(np.median(pdist(about.points))) if len(about.points) > 1 else 1.0
