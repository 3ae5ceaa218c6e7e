"""Ready recoveries: couplings planted where the truth is known in another way, and the posteriors tested on them.

`planted_chain`: the periodic chain, S = kinetic + m2 T_1 + lam T_2, whose likelihood is exact (`m.Chain`);
`planted_site`: one site of it, a quadrature; `planted_bilocal`: a bounded bilocal action on a few points, fitted as by
`fit`; `planted_mixture`: a Gaussian field of random scale, for which score matching of a quartic action has a known
target though no quartic action is true (physics: `models/networks/latents.py`).

Posteriors of score matching with A theta = b, B = Cov(psi), a free part P and the metric W fixed:
    A = E[grad T^t W grad T],  b = E[lap_W T - grad T^t W P phi],  psi = grad T^t W (grad T theta + P phi) - lap_W T,
`score` has the Godambe covariance A^-1 B A^-1/n, `naive` the Hessian's A^-1/n, `scalar` the Hessian's divided by the
learning rate w = p/tr(A^-1 B), which repairs the mean of the distance to the truth but not the shape (F. Pauli, W.
Racugno and L. Ventura, Stat. Sinica 21 (2011) 149). Where exp(-S) can be drawn from, with m = reference * n fields at
the pilot: `gold` is one Fisher step, theta + F^-1 (mu_ref - Tbar), `reweighted` the likelihood with log Z(theta) - log
Z(pilot) = log E_ref exp(-(theta - pilot).T); both carry the noise of the reference, 1 + n/m. `exact` knows log Z.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ...models.networks.latents import AbstractScale, LogNormalScale
from ...models.runtime import settled
from ...models.theories.chain import draw_fields, kinetic, log_partition, statistics
from ...models.theories.chain_grid import grid_nodes
from ...models.types import Matrix, Vector
from .recovery import Recovery

__all__ = ["planted_chain", "planted_mixture", "planted_site", "scale_target", "score_equations"]

Numbers = Float[Array, " _"]
Table = Float[Array, "_ _"]

_REACH = 6.0  # standard deviations that the grid of a posterior covers to each side
_GRID = 64  # its nodes an axis
_SURFACE = 24  # Chebyshev degree of log Z over the prior: 1e-10
_REWEIGHTED = 8  # the same over one posterior


def score_equations(
    gradient: Float[Array, "network parameter point"],
    drift: Float[Array, "network point"],
    laplacian: Float[Array, "network parameter"],
    metric: Float[Array | np.ndarray, "point point"],
) -> tuple[Table, Numbers, Table]:
    """A, b and B (at theta = A^-1 b) of score matching from each field's grad T, P phi and lap_W T."""
    n = len(drift)
    left = gradient @ metric
    matrix = jnp.einsum("npa,nqa->pq", left, gradient) / n
    vector = jnp.mean(laplacian - jnp.einsum("npa,na->np", left, drift), axis=0)
    theta = jnp.linalg.solve(matrix, vector)
    force = jnp.einsum("npa,p->na", gradient, theta) + drift
    psi = jnp.einsum("npa,na->np", left, force) - laplacian
    return matrix, vector, psi.T @ psi / (n - 1)


def planted_chain(
    *,
    n: int = 1000,
    sites: int = 16,
    mean: tuple[float, float] = (1.0, 0.4),
    sd: tuple[float, float] = (0.15, 0.06),
    reference: int = 20,
    metric: Matrix | None = None,
) -> Recovery:
    """The couplings (m2, lam) of the periodic chain, kinetic part fixed; fields drawn by the transfer matrix.

    Args:
        n: fields of each simulation.
        sites: M.
        mean: prior mean of m2 and lam, independent normals.
        sd: prior standard deviations; the prior must keep lam positive within six of them.
        reference: m/n of the gold posteriors.
        metric: W of score matching, (site, site); default the free propagator (P + m2)^-1 at the prior mean.

    Raises:
        ValueError: a prior that reaches actions without a bound, or masses so light and wells so deep that no grid of
            the chain resolves them.

    >>> sorted(planted_chain(sites=4).posteriors)
    ['exact', 'gold', 'naive', 'reweighted', 'scalar', 'score']
    """
    centre, spread = np.asarray(mean, float), np.asarray(sd, float)
    if not (np.all(spread > 0) and centre[1] - _REACH * spread[1] > 0):
        raise ValueError(
            f"expected a prior of lam that stays positive for {_REACH:g} standard deviations, got {mean[1]} +- {sd[1]}"
            "; try mean=(1.0, 0.4), sd=(0.15, 0.06)"
        )
    free = kinetic(sites)
    w = np.linalg.inv(free + max(centre[0], 0.1) * np.eye(sites)) if metric is None else np.asarray(metric, float)

    def equations(fields: Table) -> tuple[Table, Numbers, Table]:
        gradient = jnp.stack([fields, 4.0 * fields**3], axis=1)
        bend = 12.0 * (fields**2) @ np.diag(w)
        laplacian = jnp.stack([jnp.full(len(fields), np.trace(w)), bend], axis=1)
        return score_equations(gradient, fields @ free, laplacian, w)

    far = np.stack([centre - _REACH * spread, centre + _REACH * spread])
    nodes = max(grid_nodes(float(m2), float(lam), sites) for m2 in far[:, 0] for lam in far[:, 1])
    simulator = partial(draw_fields, n=n, sites=sites, nodes=nodes)
    exact = partial(log_partition, sites=sites, nodes=nodes)
    with settled():
        surface = _surface(exact, centre, _REACH * spread, _SURFACE)
        prior = dist.Normal(jnp.asarray(centre), jnp.asarray(spread)).to_event(1)
    draw_reference = partial(draw_fields, n=reference * n, sites=sites, nodes=nodes)
    posteriors = _score_posteriors(equations, centre, spread)
    posteriors |= _likelihood_posteriors(
        equations, statistics, surface, draw_reference, centre, spread, 1.0 + 1.0 / reference
    )
    about = {"planted": "chain", "n": n, "sites": sites, "prior": f"m2 {mean[0]} +- {sd[0]}, lam {mean[1]} +- {sd[1]}"}
    return Recovery(("m2", "lam"), prior, simulator, posteriors, about=about | {"reference": reference})


def planted_site(*, n: int = 20_000, reference: int = 20) -> Recovery:
    """One site, S = m2 phi^2/2 + lam phi^4: log Z is a quadrature, and no free part is fixed.

    Example:
        >>> planted_site(n=1000).about["planted"]
        'site'
    """
    chain = planted_chain(n=n, sites=1, reference=reference)
    return replace(chain, about={**chain.about, "planted": "site"})


def scale_target(scale: AbstractScale, points: int) -> Vector:
    """(a, b) of S = a rho/2 + b rho^2, rho = phi K^-1 phi, that score matching finds for phi = sqrt(tau) K^1/2 z.

    A = [[E rho, 4 E rho^2], [4 E rho^2, 16 E rho^3]] and b = (M, (4M + 8) E rho), with E rho^k = E tau^k M (M+2) ..
    (M+2k-2). The second coupling is `models.mixture_coupling`.

    >>> from nnft.models.networks.latents import GammaScale
    >>> scale_target(GammaScale(0.05), 2).round(7).tolist()
    [1.0833333, -0.0049603]
    """
    rho = [scale.moment(k) * float(np.prod(points + 2.0 * np.arange(k))) for k in range(4)]
    matrix = np.array([[rho[1], 4.0 * rho[2]], [4.0 * rho[2], 16.0 * rho[3]]])
    return np.linalg.solve(matrix, [float(points), (4.0 * points + 8.0) * rho[1]])


def planted_mixture(*, n: int = 20_000, points: int = 4, scale: AbstractScale | None = None) -> Recovery:
    """A Gaussian field of random scale, infinite width: no quartic action is true, yet the fitted one is known.

    The couplings (a, b) of S = a rho/2 + b rho^2 are fixed by `scale_target`; b < 0, so there is no likelihood, and no
    prior is used. Fields are whitened by K, which is their metric W. The default scale is log-normal of variance 0.05.

    >>> planted_mixture(points=2).prior.round(4).tolist()
    [1.0828, -0.0049]
    """
    scale = LogNormalScale(0.05) if scale is None else scale

    def simulator(key: jax.Array, theta: Any) -> Table:
        scale_key, field_key = jax.random.split(key)
        tau = scale.law().sample(scale_key, (n,))
        return jnp.sqrt(tau)[:, None] * jax.random.normal(field_key, (n, points))

    def equations(fields: Table) -> tuple[Table, Numbers, Table]:
        rho = jnp.sum(fields**2, axis=1)
        gradient = jnp.stack([fields, 4.0 * rho[:, None] * fields], axis=1)
        laplacian = jnp.stack([jnp.full(n, float(points)), (8.0 + 4.0 * points) * rho], axis=1)
        return score_equations(gradient, jnp.zeros_like(fields), laplacian, np.eye(points))

    flat = np.full(2, np.inf)
    posteriors = _score_posteriors(equations, np.zeros(2), flat)
    about = {"planted": "mixture", "n": n, "points": points, "scale": str(scale), "prior": "fixed couplings"}
    return Recovery(("a", "b"), scale_target(scale, points), simulator, posteriors, about=about)


def _sandwich(matrix: Table, noise: Table) -> Table:
    """A^-1 B A^-1."""
    inverse = jnp.linalg.inv(matrix)
    return inverse @ noise @ inverse.T


def _score_posteriors(
    equations: Callable[[Table], tuple[Table, Numbers, Table]], mean: Vector, sd: Vector
) -> dict[str, Callable[..., Table]]:
    """`score`, `naive` and `scalar`: one estimate, three covariances, a normal prior of independent couplings."""

    def posterior(width: Callable[[Table, Table], Table]) -> Callable[..., Table]:
        def draw(key: jax.Array, fields: Table, draws: int) -> Table:
            matrix, vector, noise = equations(fields)
            return _normal(key, jnp.linalg.solve(matrix, vector), width(matrix, noise) / len(fields), mean, sd, draws)

        return draw

    def scalar(matrix: Table, noise: Table) -> Table:
        """Divided by the learning rate, 1/w = tr(A^-1 B)/p: the average of what the naive variances lack."""
        return jnp.linalg.inv(matrix) * (jnp.trace(jnp.linalg.solve(matrix, noise)) / len(matrix))

    widths = {"score": _sandwich, "naive": lambda matrix, noise: jnp.linalg.inv(matrix), "scalar": scalar}
    return {name: posterior(width) for name, width in widths.items()}


def _likelihood_posteriors(
    equations: Callable[[Table], tuple[Table, Numbers, Table]],
    statistics: Callable[[Table], Table],
    surface: Callable[[Numbers], Array],
    draw_reference: Callable[[jax.Array, Numbers], Table],
    mean: Vector,
    sd: Vector,
    inflation: float,
) -> dict[str, Callable[..., Table]]:
    """`exact` from log Z, `gold` and `reweighted` from reference fields at the posterior mean of score matching."""

    def log_prior(theta: Numbers) -> Array:
        inside = jnp.all(jnp.abs(theta - mean) <= _REACH * sd)
        return jnp.where(inside, -0.5 * jnp.sum(((theta - mean) / sd) ** 2), -jnp.inf)

    def exact(key: jax.Array, fields: Table, draws: int) -> Table:
        n, observed = len(fields), statistics(fields).mean(axis=0)

        def density(theta: Numbers) -> Array:
            return -n * (theta @ observed + surface(theta)) + log_prior(theta)

        def newton(theta: Numbers, _: None) -> tuple[Numbers, None]:
            step = jnp.linalg.solve(jax.hessian(density)(theta), jax.grad(density)(theta))
            return jnp.clip(theta - step, mean - 0.9 * _REACH * sd, mean + 0.9 * _REACH * sd), None

        mode, _ = jax.lax.scan(newton, jnp.asarray(mean), None, length=12)
        return _on_grid(key, density, mode, jnp.linalg.inv(-jax.hessian(density)(mode)), draws)

    def pilot_and_reference(key: jax.Array, fields: Table) -> tuple[Numbers, Table, Numbers, Table]:
        matrix, vector, noise = equations(fields)
        covariance = _sandwich(matrix, noise) / len(fields)
        pilot, _ = _updated(jnp.linalg.solve(matrix, vector), covariance, mean, sd)
        reference = statistics(draw_reference(key, pilot))
        centre = reference.mean(axis=0)
        fisher = (reference - centre).T @ (reference - centre) / (len(reference) - 1)
        step = jnp.linalg.solve(fisher, centre - statistics(fields).mean(axis=0))
        return pilot, reference, pilot + step, inflation * jnp.linalg.inv(fisher) / len(fields)

    def gold(key: jax.Array, fields: Table, draws: int) -> Table:
        reference_key, key = jax.random.split(key)
        _, _, estimate, covariance = pilot_and_reference(reference_key, fields)
        return _normal(key, estimate, covariance, mean, sd, draws)

    def reweighted(key: jax.Array, fields: Table, draws: int) -> Table:
        reference_key, key = jax.random.split(key)
        pilot, reference, estimate, covariance = pilot_and_reference(reference_key, fields)
        n, observed = len(fields), statistics(fields).mean(axis=0)
        mode, spread = _updated(estimate, covariance, mean, sd)
        root = jnp.linalg.cholesky(spread)

        def log_z(z: Numbers) -> Array:
            shift = mode + root @ z - pilot
            return jax.nn.logsumexp(-reference @ shift) - jnp.log(len(reference))

        change = _surface(log_z, np.zeros(2), np.full(2, _REACH), _REWEIGHTED)

        def density(theta: Numbers) -> Array:
            z = jax.scipy.linalg.solve_triangular(root, theta - mode, lower=True)
            return -n * ((theta - pilot) @ observed + change(z)) / inflation + log_prior(theta)

        return _on_grid(key, density, mode, spread, draws)

    return {"exact": exact, "gold": gold, "reweighted": reweighted}


def _updated(estimate: Numbers, covariance: Table, mean: Vector, sd: Vector) -> tuple[Numbers, Table]:
    """Mean and covariance of theta given estimate ~ N(theta, covariance) and the normal prior (none where sd = inf)."""
    precision = jnp.linalg.inv(covariance)
    posterior = jnp.linalg.inv(precision + np.diag(1.0 / sd**2))
    return posterior @ (precision @ estimate + mean / sd**2), posterior


def _normal(key: jax.Array, estimate: Numbers, covariance: Table, mean: Vector, sd: Vector, draws: int) -> Table:
    centre, spread = _updated(estimate, covariance, mean, sd)
    return centre + jax.random.normal(key, (draws, len(centre))) @ jnp.linalg.cholesky(spread).T


def _on_grid(key: jax.Array, density: Callable[[Numbers], Array], mode: Numbers, spread: Table, draws: int) -> Table:
    """Draws of a density of two couplings: a cell of a whitened grid, then a uniform point of the cell.

    The point adds a step^2/12 = .003 to a variance of one in each whitened direction, which is taken off again.
    """
    step = 2.0 * _REACH / _GRID
    axis = (np.arange(_GRID) + 0.5) * step - _REACH
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    root = jnp.linalg.cholesky(spread)
    weight = jax.vmap(density)(mode + z @ root.T)
    cell_key, point_key = jax.random.split(key)
    total = jnp.cumsum(jnp.exp(weight - weight.max()))
    cell = jnp.searchsorted(total, jax.random.uniform(cell_key, (draws,)) * total[-1])
    point = jnp.asarray(z)[cell] + jax.random.uniform(point_key, (draws, 2), minval=-step / 2.0, maxval=step / 2.0)
    return mode + (point * (1.0 - step**2 / 24.0)) @ root.T


def _surface(
    function: Callable[[Numbers], Array], centre: Vector, half: Vector, degree: int
) -> Callable[[Numbers], Array]:
    """Chebyshev interpolant of a smooth function of two couplings over a box, for JAX."""
    angle = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    nodes = np.cos(angle)
    at = centre + np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2) * half
    values = jax.lax.map(function, jnp.asarray(at), batch_size=64).reshape(degree + 1, degree + 1)
    transform = 2.0 / (degree + 1) * np.cos(np.arange(degree + 1)[:, None] * angle)
    transform[0] /= 2.0
    coefficients = transform @ values @ transform.T

    def series(x: Array) -> Array:  # outside the box the value at its edge: the prior is cut there
        return jnp.cos(np.arange(degree + 1) * jnp.arccos(jnp.clip(x, -1.0, 1.0)))

    def value(theta: Numbers) -> Array:
        x = (theta - centre) / half
        return series(x[0]) @ coefficients @ series(x[1])

    return value
