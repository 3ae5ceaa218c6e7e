"""The posterior of the couplings as a NumPyro model: priors in whitened units, a sandwich-calibrated likelihood.

The estimating equations of score matching are, for n networks, Gaussian: b - A theta ~ N(0, B/n), B their covariance
over networks at a pilot. With priors on theta this is a generalised posterior whose width is calibrated by the
sandwich, not a likelihood of the fields: it exists for actions unbounded below too. statistics: Bissiri et al.
    arXiv:1306.6430. The default prior is worth one network (`unit.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ...models.actions.base import AbstractAction
from ...models.actions.rungs import Bilocal, bilocal_blocks, gauge
from ...models.types import Matrix, Vector
from ..equations.from_moments import Equations
from .unit import Prior

__all__ = [
    "SITES",
    "Units",
    "Whitened",
    "coupling_model",
    "gauge_map",
    "gaussian_posterior",
    "log_likelihood",
    "log_prior",
    "precision",
    "units",
    "whitened",
]

SITES = ("quadratic", "quartic")
_LAM_POINTS = 16  # beyond it lambda_i(x,y) is a table nobody reads, as large as the draws themselves


def gaussian_posterior(eq: Equations, prior: Prior) -> tuple[Vector, Matrix]:
    """Mean and covariance of theta in closed form for the default prior: what NUTS must reproduce."""
    noise, before = precision(eq), prior.precision
    covariance = np.linalg.inv(eq.matrix.T @ noise @ eq.matrix + before)
    return covariance @ (eq.matrix.T @ noise @ eq.vector + before @ prior.mean), covariance


class Units(NamedTuple):
    """The default prior and the units of the couplings, as numbers of a compiled program."""

    factor4: Matrix
    factor2: Matrix
    centre2: Vector
    shift: Matrix
    factors: Vector


def units(prior: Prior, factors: Vector) -> Units:
    """The numbers of a prior; `factors` as in `Terms`."""
    return Units(prior.factor4, prior.factor2, prior.centre2, prior.shift, factors)


class Whitened(NamedTuple):
    """The equations whitened by B/n: observed ~ N(design theta, 1)."""

    design: Matrix
    observed: Vector

    def observe(self, theta: Any) -> None:
        """The statement of a NumPyro model that conditions on them."""
        numpyro.sample("equations", dist.Normal(self.design @ theta, 1.0).to_event(1), obs=self.observed)

    def root(self, covariance: Matrix) -> Matrix:
        """The root of a covariance in which a sampler moves."""
        return np.linalg.cholesky(covariance)


def whitened(eq: Equations) -> Whitened:
    """Equations in units of their noise.

    Raises:
        ValueError: equations without statistical errors, or more of them than their covariance can carry.
    """
    root = np.linalg.cholesky(precision(eq)).T
    return Whitened(root @ eq.matrix, root @ eq.vector)


def coupling_model(
    names: tuple[tuple[str, int], ...], laws: Mapping[str, dist.Distribution] | None = None
) -> Callable[[Units, Any], None]:
    """The NumPyro model of the couplings, a function of `Units` and of what they are conditioned on.

    Sites: `quadratic_white`, `quartic_white` standard normal (or `quadratic`, `quartic` themselves where a distribution
    replaces the prior, in scaled fields phi_a/sqrt(K_aa)); deterministic physical couplings by the action's names; what
    the data observe, `equations` whitened by B/n or the factor `fields`. lambda_i(x,y) is no site: zeros of its gauge
    have no R-hat (`gauge_map`). It needs double precision.

    Args:
        names: couplings in the order of the equations, quadratic ones first, (name, how many).
        laws: site "quadratic" or "quartic" -> its prior.

    Raises:
        ValueError: when run, a distribution of the wrong shape; single precision.
    """
    laws = dict(laws or {})
    edges = np.cumsum([0, *[count for _, count in names]])

    def site(name: str, factor: Any) -> Any:
        count = len(factor)
        if name not in laws:
            return factor @ numpyro.sample(f"{name}_white", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
        law = laws[name]
        if law.shape() not in ((), (count,)):
            raise ValueError(
                f"expected a prior of shape () or ({count},) for {name}, got {law.shape()}; try one law for all"
            )
        law = law.expand([count]) if law.shape() == () else law
        return numpyro.sample(name, law.to_event(1) if law.event_dim == 0 else law)

    def model(given: Units, data: Any) -> None:
        given, data = jax.tree.map(jnp.asarray, (given, data))
        if given.factors.dtype != jnp.float64:
            raise ValueError(
                "expected double precision for the coupling model, got float32; try nnft.configure(x64=True) first"
            )
        quartic = site("quartic", given.factor4)
        quadratic = site("quadratic", given.factor2)
        if "quadratic" not in laws:
            quadratic = quadratic + given.centre2 - given.shift @ quartic
        theta = jnp.concatenate([quadratic, quartic])
        physical = theta / given.factors
        for (name, _), a, b in zip(names, edges[:-1], edges[1:], strict=True):
            numpyro.deterministic(name, physical[a:b])
        data.observe(theta)

    return model


def log_prior(prior: Prior, laws: Mapping[str, dist.Distribution], theta: np.ndarray) -> np.ndarray:
    """Log density of the priors at scaled couplings, up to a constant, (chain, draw); run it in double precision.

    -|z2|^2/2 - |z4|^2/2 in the whitened sites, or the density of the distribution that replaces one of them.

    Args:
        prior: the default one.
        laws: site "quadratic" or "quartic" -> the distribution in its place.
        theta: (chain, draw, term).
    """
    q = len(prior.factor2)
    quadratic, quartic = theta[..., :q], theta[..., q:]
    about = {"quadratic": quadratic - prior.centre2 + quartic @ prior.shift.T, "quartic": quartic}
    total = np.zeros(theta.shape[:-1])
    for name, factor in zip(SITES, (prior.factor2, prior.factor4), strict=True):
        if name in laws:
            density = np.asarray(laws[name].log_prob(quadratic if name == "quadratic" else quartic))
            total += density.sum(axis=-1) if density.ndim == theta.ndim else density
        else:
            flat = about[name].reshape(-1, len(factor))
            total -= 0.5 * np.sum(np.linalg.solve(factor, flat.T) ** 2, axis=0).reshape(total.shape)
    return total


def log_likelihood(given: Whitened, theta: np.ndarray, quadratic: int) -> dict[str, np.ndarray]:
    """Log density of the whitened equations at scaled couplings, up to a constant, in two parts, (chain, draw) each.

    log p(b | theta) = quartic + quadratic: the equations of the quartic terms, and those of the quadratic ones given
    them. A draw has no more of it, since equations are no networks: power scaling adds the two, and `az.loo`, which
    would take one number for one observation left out, asks which is meant.

    Args:
        given: the equations.
        theta: (chain, draw, term).
        quadratic: number of quadratic terms.
    """
    squares = (given.observed - theta @ given.design.T) ** 2
    q = quadratic  # the root of the precision is upper triangular: its last rows know the last equations only
    return {"quadratic": -0.5 * np.sum(squares[..., :q], axis=-1), "quartic": -0.5 * np.sum(squares[..., q:], axis=-1)}


def gauge_map(action: AbstractAction, weights: Vector) -> np.ndarray | None:
    """The linear map physical couplings -> lambda_i(x,y), (i, x, y, coupling).

    None where a monomial is not bilocal, where there are more powers than four, or at too many points to write it down.
    """
    count = len(weights)
    if action.degree > 4 or count > _LAM_POINTS:
        return None
    table = action.monomials(count, weights)
    rows = Bilocal().monomials(count, weights)
    seen = table @ rows.T
    if np.count_nonzero(seen) != np.count_nonzero(table):
        return None
    blocks = bilocal_blocks(count)
    parts = np.split(seen, np.cumsum([len(v) for v in blocks.values()])[:-1], axis=1)
    return np.moveaxis(gauge(dict(zip(blocks, parts, strict=True)), weights), 0, -1)


def precision(eq: Equations) -> Matrix:
    """Inverse of B/n; from d degrees of freedom the unbiased inverse carries (d - p - 1)/d (Hartlap factor)."""
    if np.isinf(eq.networks) or not np.any(eq.noise):
        raise ValueError(
            "expected data with statistical errors for a posterior, got exact correlators; "
            "try as many networks as you would draw: as_if_n=100_000, or inf.measure(Ensemble(...))"
        )
    size = len(eq.vector)
    inverse = np.linalg.inv(eq.noise / eq.networks)
    inverse = 0.5 * (inverse + inverse.T)
    if np.isinf(eq.dof):
        return inverse
    if eq.dof <= size + 1:
        raise ValueError(
            f"expected a covariance with more than {size + 1} degrees of freedom for {size} terms, got {eq.dof:.0f}; "
            f"try a smaller action, or at least {size + 3} networks (of correlators from groups, as many groups)"
        )
    return inverse * (eq.dof - size - 1) / eq.dof
