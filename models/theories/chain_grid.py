"""How fine and how wide a grid the sites of the chain need: found from the potential before anything is summed.

The trapezoidal sum of f on steps h misses int f by at most 2 int |f(x + iy)| exp(-2 pi y/h) for every height y up to
which f is analytic (L. N. Trefethen and J. A. C. Weideman, SIAM Rev. 56 (2014) 385). A site weighs exp(-V(x) - x^2 +
..), V = m2 x^2/2 + lam x^4, and |f(x + iy)| = f(x) exp(y^2 + m2 y^2/2 - lam y^4 + 6 lam x^2 y^2): the step is the
largest that some y allows. It follows the width of the kinetic term where the mass is light, that of a well where the
wells are deep. The grid ends where a site's weight is exp(-42): of V, or of the free field, whose variance bounds that
of every m2 > 0 with lam >= 0 (H. J. Brascamp and E. H. Lieb, J. Funct. Anal. 22 (1976) 366).
"""

from functools import lru_cache
from math import ceil, log, pi

import numpy as np
from scipy.special import logsumexp

__all__ = ["DEPTH", "MOST_NODES", "NODES", "free_variance", "grid_nodes", "least_nodes"]

NODES = 40  # of a site at least, where their number is left out
MOST_NODES = 1024  # an eigensystem of a third of a second
DEPTH = 42.0  # of the weight at the edge of the grid: exp(-42) is 6e-19
_DIGITS = 13.5  # of log Z and of the moments
_SAFETY = 2  # nodes more than needed
_ROUND = 16  # above 40 a multiple of it: each number of nodes is another program


def free_variance(m2: float, sites: int) -> float:
    """<phi_x^2> of the free chain, lam = 0 and m2 > 0; `sites=0` is the infinite one.

    >>> free_variance(0.5, 1), free_variance(0.5, 0) == (0.5 * 4.5) ** -0.5
    (2.0, True)
    """
    if sites == 0:
        return float((m2 * (m2 + 4.0)) ** -0.5)
    return float(np.mean(1.0 / (m2 + 4.0 * np.sin(pi * np.arange(sites) / sites) ** 2)))


@lru_cache(maxsize=1024)
def least_nodes(m2: float, lam: float, sites: int) -> int:
    """The fewest nodes of a site for 13 digits; `sites=0` is the infinite chain, one site has no kinetic term.

    >>> least_nodes(1.0, 0.1, 16), least_nodes(0.01, 0.0, 16), least_nodes(-60.0, 1.0, 16)
    (32, 91, 134)
    """
    depth = DEPTH - (m2**2 / (16.0 * lam) if m2 < 0.0 else 0.0)
    edge = (2.0 * depth / (m2 / 2.0 + (m2**2 / 4.0 + 4.0 * lam * depth) ** 0.5)) ** 0.5
    if m2 > 0.0:
        edge = min(edge, (2.0 * DEPTH * free_variance(m2, sites)) ** 0.5)
    y = np.geomspace(1e-3, 30.0, 200) * min(1.0, edge)
    x = np.linspace(0.0, 1.0, 1001) * (edge + 2.0 * y[:, None])  # exp(6 lam x^2 y^2) reaches beyond the edge
    potential = m2 * x**2 / 2.0 + lam * x**4
    potential -= potential.min(axis=1, keepdims=True)
    above = np.asarray(logsumexp(-potential + 6.0 * lam * (x * y[:, None]) ** 2, axis=1))
    raised = above - np.asarray(logsumexp(-potential, axis=1))
    growth = y**2 * (m2 / 2.0 + (0.0 if sites == 1 else 1.0)) - lam * y**4 + raised
    step = float(np.max(2.0 * pi * y / (_DIGITS * log(10.0) + np.maximum(growth, 0.0))))
    return ceil(2.0 * edge / step) + 1


def grid_nodes(m2: float, lam: float, sites: int) -> int:
    """Nodes of a site for 13 digits, refused with their number where they are too many.

    Raises:
        ValueError: more than 1024 nodes.

    >>> grid_nodes(1.0, 0.1, 16), grid_nodes(-24.0, 1.0, 16)
    (40, 80)
    """
    nodes = least_nodes(float(m2), float(lam), sites) + _SAFETY
    nodes = NODES if nodes <= NODES else _ROUND * ceil(nodes / _ROUND)
    if nodes > MOST_NODES:
        raise ValueError(
            f"expected a chain of at most {MOST_NODES} nodes a site, got {nodes} for 13 digits at m2 = {m2:g}, lam = "
            f"{lam:g}; try a heavier mass, shallower wells or fewer sites"
        )
    return nodes
