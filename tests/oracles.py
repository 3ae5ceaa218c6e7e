"""Truth by another road: fields drawn exactly from a bounded quartic action with planted couplings, in plain NumPy.

S = 1/2 phi K^-1 phi + S4 with S4 >= 0: draw phi from the free theory N(0, K) and keep it with probability exp(-S4).
Nothing here uses the code under test, except the order of the sorted tuples to name the couplings.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, permutations

import numpy as np


@dataclass(frozen=True)
class Planted:
    """A bounded action, S4 = sum_a g_a phi_a^4 + sum_{a != b} u_ab phi_a phi_b^3 + sum_{a<b} v_ab phi_a^2 phi_b^2."""

    covariance: np.ndarray
    g: np.ndarray
    u: np.ndarray  # (M, M), zero diagonal
    v: np.ndarray  # (M, M), upper triangle

    @cached_property
    def couplings(self) -> np.ndarray:
        """g, then u over ordered pairs, then v over a < b: the order of the bilocal action."""
        count = len(self.g)
        ordered = [(a, b) for a in range(count) for b in range(count) if a != b]
        return np.concatenate([self.g, [self.u[a, b] for a, b in ordered], [self.v[a, b] for a, b in ordered if a < b]])

    def quartic(self, phi: np.ndarray) -> np.ndarray:
        """S4 of each field, (network,)."""
        square, cube = phi**2, phi**3
        return (
            square**2 @ self.g
            + np.einsum("na,ab,nb->n", phi, self.u, cube, optimize=True)
            + np.einsum("na,ab,nb->n", square, np.triu(self.v, 1), square, optimize=True)
        )

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n independent fields, (network, point), by rejection; refuses an action that is not bounded by zero."""
        root = np.linalg.cholesky(self.covariance)
        kept: list[np.ndarray] = []
        count = 0
        while count < n:
            phi = rng.standard_normal((2 * n, len(root))) @ root.T
            action = self.quartic(phi)
            if action.min() < 0:
                raise ValueError(f"expected S4 >= 0 for rejection, got {action.min():.3g}")
            kept.append(phi[rng.random(len(phi)) < np.exp(-action)])
            count += len(kept[-1])
        return np.concatenate(kept)[:n]


def planted(kind: str, strength: float, points: int) -> Planted:
    """The planted pattern on a lattice propagator ("lat") or a smooth kernel with nugget ("rbf").

    phi_a^4 between .7 g and 1.3 g, phi_a^2 phi_b^2: .5 g exp(-d^2/2), phi_a phi_b^3: -.12 g exp(-d^2/2), d in sites.
    """
    site = np.arange(points)
    if kind == "lat":
        distance = np.minimum((site[:, None] - site) % points, (site - site[:, None]) % points)
        hop = (distance == 1).astype(float)
        if points == 2:
            hop *= 2.0
        covariance = np.linalg.inv(3.0 * np.eye(points) - hop)  # m^2 = 1, periodic chain
        covariance /= covariance[0, 0]
    else:
        distance = np.abs(site[:, None] - site)
        x = np.linspace(-1.0, 1.0, points)
        covariance = np.exp(-((x[:, None] - x) ** 2) / (2 * 0.6**2)) + 0.02 * np.eye(points)
    near = np.exp(-(distance**2) / 2.0)
    np.fill_diagonal(near, 0.0)
    g = strength * np.linspace(0.7, 1.3, points)
    return Planted(covariance, g, -0.12 * strength * near, 0.5 * strength * near)


def couplings_from_vertex(tensor: np.ndarray) -> np.ndarray:
    """Coefficients of the sorted quartic monomials from a symmetric vertex, (..., M, M, M, M) -> (..., quad)."""
    quads = np.array(list(combinations_with_replacement(range(tensor.shape[-1]), 4)))
    orders = [len(set(permutations(quad))) for quad in quads.tolist()]
    return tensor[(..., *quads.T)] * np.array(orders) / 24.0
