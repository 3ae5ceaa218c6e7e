"""The periodic chain of anharmonic sites, solved exactly: an interacting lattice field to test every method against.

S = sum_x [(phi_{x+1} - phi_x)^2/2 + m2 phi_x^2/2 + lam phi_x^4] on M sites, phi_{M+1} = phi_1, has Z = Tr T^M with the
transfer matrix T(phi, phi') = exp(-V(phi)/2 - (phi - phi')^2/2 - V(phi')/2) (M. Creutz and B. Freedman, Ann. Phys. 132
(1981) 427). With T_1 = sum_x phi_x^2/2 and T_2 = sum_x phi_x^4 the fields are an exponential family: derivatives of
log Z are the means and the Fisher matrix of (m2, lam). One site alone is the quadrature of exp(-V).

The integral over each site is a trapezoidal sum on equal steps, which for integrands analytic in a strip is exact but
for exp(-2 pi times its width over the step): `chain_grid.py` says how many nodes give log Z and the moments to 13
digits, 40 where neither the mass is light nor the wells are deep. The gap is right to 1e-13 of itself or to 1e-13,
whatever is larger: the splitting of two deep wells is below rounding. Fields drawn on that grid by the matrix's Markov
chain have, for the same reason, every polynomial moment of the continuum to that accuracy, though they never leave the
nodes.

The functions of theta = (m2, lam) are JAX, for vmap and grad, and need double precision; `Chain` switches it on itself
and returns NumPy arrays. Their `nodes` may be left out where theta are numbers; under vmap, grad or jit pass
`grid_nodes` of the couplings that need most.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ..combinatorics import even_cumulants, sorted_tuples
from ..correlators import Correlators, check_points
from ..quantum.levels import Levels
from ..quantum.timed import AbstractTimed
from ..runtime import settled
from ..types import Matrix, Points, Vector
from .chain_grid import DEPTH, grid_nodes, least_nodes

__all__ = ["Chain", "correlator", "draw_fields", "gap", "kinetic", "log_partition", "statistics"]

_TABLE = 1 << 22  # entries of the table of all ways from site to site; above it each field has its own row
_ROWS = 8192  # fields whose rows are held at a time

Theta = Float[Array | np.ndarray, "2"]


def _nodes(theta: Any, sites: int, nodes: int | None) -> int:
    """The number of nodes asked for, else the number that the couplings need."""
    if nodes is not None:
        return nodes
    if isinstance(theta, Tracer):
        raise ValueError(
            "expected nodes= where the couplings are mapped or differentiated, got none; try nodes=grid_nodes(m2, lam, "
            "sites) of the lightest mass and the deepest wells in reach"
        )
    m2, lam = np.asarray(theta, dtype=float).tolist()
    return grid_nodes(m2, lam, sites)


def _transfer(theta: Theta, sites: int, nodes: int) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Nodes and the transfer matrix on them, the step included; the edges as in `chain_grid.least_nodes`."""
    m2, lam = theta
    depth = DEPTH + jnp.where(m2 < 0.0, -(m2**2) / (16.0 * jnp.where(lam > 0.0, lam, 1.0)), 0.0)
    square = 2.0 * depth / (m2 / 2.0 + jnp.sqrt(m2**2 / 4.0 + 4.0 * lam * depth))  # of the edge: V(edge) = depth
    mass = jnp.where(m2 > 0.0, m2, 1.0)
    steps = 4.0 * np.sin(np.pi * np.arange(sites) / max(sites, 1)) ** 2
    free = jnp.mean(1.0 / (mass + steps)) if sites else (mass * (mass + 4.0)) ** -0.5
    square = jnp.where(m2 > 0.0, jnp.minimum(square, 2.0 * DEPTH * free), square)
    phi = jax.lax.stop_gradient(jnp.sqrt(square)) * jnp.linspace(-1.0, 1.0, nodes)
    potential = m2 * phi**2 / 2.0 + lam * phi**4
    exponent = (potential[:, None] + potential + (phi[:, None] - phi) ** 2) / 2.0
    return phi, (phi[1] - phi[0]) * jnp.exp(-exponent)


def _scaled(matrix: Float[Array, "k k"]) -> tuple[Float[Array, "k k"], Float[Array, ""]]:
    """A matrix with largest entry one, and the logarithm taken out: large powers neither over- nor underflow."""
    largest = jax.lax.stop_gradient(jnp.max(matrix))
    return matrix / largest, jnp.log(largest)


def log_partition(theta: Theta, *, sites: int, nodes: int | None = None) -> Float[Array, ""]:
    """The log partition function log Tr T^M by repeated squaring.

    Minus its gradient in theta are the means of (T_1, T_2), its Hessian their covariance.

    >>> with jax.enable_x64(True):
    ...     print(f"{log_partition(jnp.array([1.0, 0.1]), sites=16):.12f}")
    6.273018707191
    """
    return _log_partition(theta, sites=sites, nodes=_nodes(theta, sites, nodes))


@partial(jax.jit, static_argnames=("sites", "nodes"))
def _log_partition(theta: Theta, *, sites: int, nodes: int) -> Float[Array, ""]:
    square, log_square = _scaled(_transfer(theta, sites, nodes)[1])
    power, log_power = jnp.eye(nodes), jnp.zeros(())
    while True:
        if sites & 1:
            power, taken = _scaled(power @ square)
            log_power = log_power + log_square + taken
        sites >>= 1
        if not sites:
            return log_power + jnp.log(jnp.trace(power))
        square, taken = _scaled(square @ square)
        log_square = 2.0 * log_square + taken


def correlator(
    theta: Theta, powers: tuple[int, int] = (1, 1), *, sites: int, nodes: int | None = None
) -> Float[Array, " distance"]:
    """<phi_0^p phi_r^q> for r = 0 .. M-1, (site,): sum_ij P_ij Q_ji l_j^r l_i^(M-r) / sum_i l_i^M.

    l are the eigenvalues of T, P and Q its matrix elements of phi^p and phi^q. (p, 0) is the moment <phi^p>.

    >>> with jax.enable_x64(True):
    ...     print(f"{correlator(jnp.array([1.0, 0.1]), sites=16)[1]:.12f}")
    0.118161039692
    """
    return _correlator(theta, powers, sites=sites, nodes=_nodes(theta, sites, nodes))


@partial(jax.jit, static_argnames=("powers", "sites", "nodes"))
def _correlator(theta: Theta, powers: tuple[int, int], *, sites: int, nodes: int) -> Float[Array, " distance"]:
    phi, matrix = _transfer(theta, sites, nodes)
    level, state = jnp.linalg.eigh(matrix)
    level = jnp.maximum(level / level[-1], 0.0)
    left, right = (state.T @ (phi[:, None] ** power * state) for power in powers)
    distance = jnp.arange(sites)[:, None]
    forth, back = level**distance, level ** (sites - distance)
    return jnp.einsum("ri,ij,rj->r", back, left * right.T, forth) / jnp.sum(level**sites)


def gap(theta: Theta, *, nodes: int | None = None) -> Float[Array, ""]:
    """Inverse correlation length log(l_0/l_1) of the two largest eigenvalues of T, of the infinite chain.

    >>> with jax.enable_x64(True):
    ...     print(f"{gap(jnp.array([1.0, 0.1])):.12f}")
    1.123259105966
    """
    return _gap(theta, nodes=_nodes(theta, 0, nodes))


@partial(jax.jit, static_argnames="nodes")
def _gap(theta: Theta, *, nodes: int) -> Float[Array, ""]:
    level = jnp.linalg.eigvalsh(_transfer(theta, 0, nodes)[1])
    return jnp.log(level[-1] / level[-2])


def draw_fields(
    key: jax.Array, theta: Theta, *, n: int, sites: int, nodes: int | None = None
) -> Float[Array, "network point"]:
    """Independent fields, exact on the grid: phi_1 from the diagonal of T^M, then site by site round the ring.

    p(phi_{x+1} | phi_x, phi_1) is proportional to T(phi_x, phi_{x+1}) T^(M-x)(phi_{x+1}, phi_1); each site is one
    uniform number and a bisection of the cumulative sums.
    """
    return _draw_fields(key, theta, n=n, sites=sites, nodes=_nodes(theta, sites, nodes))


@partial(jax.jit, static_argnames=("n", "sites", "nodes"))
def _draw_fields(key: jax.Array, theta: Theta, *, n: int, sites: int, nodes: int) -> Float[Array, "network point"]:
    phi, matrix = _transfer(theta, sites, nodes)
    matrix, _ = _scaled(matrix)

    def multiply(power: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return _scaled(power @ matrix)[0], power

    last, powers = jax.lax.scan(multiply, matrix, None, length=sites - 1)  # powers[r - 1] = T^r, r = 1 .. M-1
    first_key, key = jax.random.split(key)
    ring = jnp.cumsum(jnp.diag(last))
    origin = _bisect(ring, jnp.zeros(n, int), jax.random.uniform(first_key, (n,)))

    def walk(at: jax.Array, site: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        closing, site_key = site
        uniform = jax.random.uniform(site_key, (n,))
        if nodes**3 > _TABLE:

            def step(one: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
                row = jnp.cumsum(matrix[one[0]] * closing[one[1]])
                return jnp.minimum(jnp.searchsorted(row, one[2] * row[-1], side="right"), nodes - 1)

            following = jax.lax.map(step, (at, origin, uniform), batch_size=_ROWS).astype(at.dtype)
        else:
            table = jnp.cumsum(matrix[:, None, :] * closing[None, :, :], axis=2).reshape(-1)  # (from, origin, to)
            following = _bisect(table, (at * nodes + origin) * nodes, uniform, nodes)
        return following, following

    _, rest = jax.lax.scan(walk, origin, (powers[::-1], jax.random.split(key, sites - 1)))
    return phi[jnp.concatenate([origin[None], rest])].T


def _bisect(table: jax.Array, start: jax.Array, uniform: jax.Array, count: int | None = None) -> jax.Array:
    """Index, in the row of `count` cumulative sums that begins at `start`, of the first that exceeds uniform * last."""
    count = len(table) if count is None else count
    wanted = uniform * table[start + count - 1]
    index = jnp.zeros_like(start)
    for bit in reversed(range((count - 1).bit_length())):
        tried = index + (1 << bit)
        below = (tried < count) & (table[start + jnp.minimum(tried, count) - 1] <= wanted)
        index = jnp.where(below, tried, index)
    return index


def statistics(fields: Float[Array, "network point"]) -> Float[Array, "network 2"]:
    """The sufficient statistics (T_1, T_2) = (sum_x phi_x^2/2, sum_x phi_x^4) of each field: S = kinetic + theta.T."""
    square = fields**2
    return jnp.stack([square.sum(axis=1) / 2.0, (square**2).sum(axis=1)], axis=1)


def kinetic(sites: int) -> Matrix:
    """The fixed free part P of the action, phi.P.phi/2 = sum_x (phi_{x+1} - phi_x)^2/2, (site, site).

    >>> kinetic(4)[0].tolist(), kinetic(1).tolist()
    ([2.0, -1.0, 0.0, -1.0], [[0.0]])
    """
    hop = np.roll(np.eye(sites), 1, axis=1)
    return 2.0 * np.eye(sites) - hop - hop.T


_slope = jax.jit(jax.grad(_log_partition), static_argnames=("sites", "nodes"))
_curvature = jax.jit(jax.hessian(_log_partition), static_argnames=("sites", "nodes"))


class Chain(eqx.Module, AbstractTimed):
    """One chain and its exact numbers, as NumPy.

    Args:
        m2: mass term; negative (a double well) only with lam > 0.
        lam: quartic coupling, >= 0.
        sites: M; one site is the integral of exp(-m2 phi^2/2 - lam phi^4).
        nodes: of the grid of each site; None takes what 13 digits need.

    Raises:
        ValueError: an action that is not bounded below, no site, a grid too coarse for 13 digits, or couplings that
            need more than 1024 nodes.

    >>> chain = Chain(1.0, 1.0)
    >>> print(f"{chain.log_partition:.12f} {chain.moment(2):.12f} {chain.moment(4):.12f} {chain.gap:.12f}")
    3.622956952283 0.212500955369 0.112301400808 1.589507207015
    >>> chain.fisher.round(4).tolist()
    [[0.2858, 0.5336], [0.5336, 1.2055]]
    """

    m2: float
    lam: float
    sites: int = eqx.field(default=16, static=True)
    nodes: int | None = eqx.field(default=None, static=True)
    spacing: ClassVar[float] = 1.0
    reasons: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"translations": "by sites, all of which have one action", "rotations": "the transfer matrix is symmetric"}
    )

    def __check_init__(self) -> None:
        if not (np.isfinite(self.m2) and np.isfinite(self.lam) and (self.lam > 0 or (self.lam == 0 and self.m2 > 0))):
            raise ValueError(
                f"expected an action bounded below, lam > 0 or lam = 0 with m2 > 0, got lam = {self.lam}, m2 = "
                f"{self.m2}; try lam=0.1"
            )
        if self.sites < 1:
            raise ValueError(f"expected at least 1 site, got {self.sites}; try sites=16")
        nodes, least = self._grid, least_nodes(float(self.m2), float(self.lam), self.sites)
        if nodes < least:
            raise ValueError(
                f"expected at least {least} nodes for 13 digits at m2 = {self.m2:g}, lam = {self.lam:g}, got {nodes}; "
                "try leaving nodes out"
            )

    @property
    def _grid(self) -> int:
        return grid_nodes(self.m2, self.lam, self.sites) if self.nodes is None else self.nodes

    def _at(self, function: Callable[..., jax.Array], *first: Any, **options: Any) -> np.ndarray:
        with settled():
            theta = jnp.array([self.m2, self.lam])
            return np.asarray(function(*first, theta, **{"nodes": self._grid} | options))

    @property
    def transfer(self) -> tuple[Vector, Matrix]:
        """The nodes of a site and T on them, the step between nodes included, (node,) and (node, node)."""
        with settled():
            nodes, matrix = _transfer(jnp.array([self.m2, self.lam]), self.sites, self._grid)
            return np.asarray(nodes), np.asarray(matrix)

    @property
    def log_partition(self) -> float:
        """The logarithm of Z, the measure of each site dphi."""
        return float(self._at(_log_partition, sites=self.sites))

    @property
    def means(self) -> Vector:
        """<T_1>, <T_2> of a whole field, (2,)."""
        return -self._at(_slope, sites=self.sites)

    @property
    def fisher(self) -> Matrix:
        """Fisher matrix of (m2, lam) from one field, Cov(T), (2, 2): its inverse over n is the Cramer-Rao bound."""
        return self._at(_curvature, sites=self.sites)

    @property
    def gap(self) -> float:
        """Inverse correlation length in units of the lattice, of the infinite chain."""
        return float(self._at(_gap, nodes=max(self._grid, grid_nodes(self.m2, self.lam, 0))))

    def moment(self, power: int) -> float:
        """<phi_x^power>."""
        return float(self.correlator(power, 0)[0])

    def site_moment(self, order: int) -> float:
        levels = self.levels
        weight = levels.decay(self.period)
        power = np.linalg.matrix_power(levels.coordinates[0], order)
        return float(np.sum(weight * np.diag(power)) / np.sum(weight))

    def correlator(self, p: int = 1, q: int = 1) -> Vector:
        """<phi_0^p phi_r^q> for r = 0 .. M-1, (site,)."""
        return self._at(_correlator, powers=(p, q), sites=self.sites)

    @property
    def period(self) -> float:
        return float(self.sites)

    @property
    def levels(self) -> Levels:
        """-log of the eigenvalues of T, and phi between its eigenvectors: the chain as a quantum system in steps."""
        with settled():
            parts = _transfer(jnp.array([self.m2, self.lam]), self.sites, self._grid)
            phi, matrix = (np.asarray(part) for part in parts)
        values, vectors = np.linalg.eigh(matrix)
        energies = -np.log(np.maximum(values[::-1] / values[-1], 1e-300))
        states = vectors[:, ::-1]
        return Levels(energies, (states.T @ (phi[:, None] * states))[None], len(phi))

    def correlators(self, times: Points, *, orders: tuple[int, ...] = (2, 4)) -> Correlators:
        """The exact correlators at sites of the chain, (site, 1), as `m.exact` gives them of a network.

        Raises:
            ValueError: times that are no sites; odd orders, or orders above 6.

        >>> data = Chain(1.0, 1.0).correlators(np.array([[0.0], [1.0]]))
        >>> print(f"{data.connected(2)[1]:.12f} {data.moment(4)[0]:.12f}")
        0.043354234670 0.112301400808
        """
        points = check_points(times)
        if points.shape[1] != 1 or np.any(points != np.round(points)):
            raise ValueError(
                f"expected sites of the chain, whole numbers (site, 1), got {points[:3].tolist()}; try [[0.0]]"
            )
        if not orders or any(r not in (2, 4, 6) for r in orders):
            raise ValueError(f"expected orders among 2, 4, 6, got {orders}; try orders=(2, 4)")
        levels, moments = self.levels, {}
        for r in range(2, max(orders) + 1, 2):
            rows = points[sorted_tuples(len(points), r), 0]
            moments[r] = np.array([levels.correlation(row, (0,) * r, self.period) for row in rows])
        cumulants = even_cumulants(moments, len(points))
        return Correlators(
            points=points,
            moments={r: moments[r] for r in sorted(orders)},
            cumulants={r: cumulants[r] for r in sorted(orders)},
            even=True,
            about={"accuracy": 1e-13, "rule": "transfer matrix", "model": repr(self)},
        )

    def draw(self, n: int, *, key: jax.Array) -> Matrix:
        """Independent fields, (network, site), with the exact polynomial moments."""
        return self._at(_draw_fields, key, n=n, sites=self.sites)
