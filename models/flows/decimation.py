r"""The chain seen at every b-th site, exactly: the theory of the sites that stay, and the couplings that describe it.

Integrating out the sites between leaves a chain of M/b sites whose transfer matrix is T^b (L. P. Kadanoff, Ann. Phys.
100 (1976) 359). Of the free chain it is a free chain again: with cosh w = 1 + m2/2

    S = kappa_b sum_x [ (phi_{x+1} - phi_x)^2/2 + m2_b phi_x^2/2 ],
    kappa_b = sinh w/sinh(b w),  1 + m2_b/2 = cosh(b w),

for b = 2 kappa = 1/(2 + m2), m2' = m2(4 + m2). With an interaction it is no action of a few terms: those of a nearest
neighbour are what score matching makes of the exact law,

    A theta = b,   A_kl = sum_x <d_x T_k d_x T_l>,   b_k = sum_x <d_x^2 T_k - d_x T_k d_x S_0>,

S_0 the fixed part, if any, and the averages over a site and its two neighbours by transfer matrices.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import product
from math import cosh, sinh

import numpy as np

from ..actions.base import AbstractAction, SiteTerm
from ..combinatorics import connected_from_moments, rank, sorted_tuples, tuple_count
from ..correlators import Correlators
from ..refusals import is_whole
from ..theories.chain import Chain
from ..types import Matrix, Vector

__all__ = ["DecimatedChain", "free_decimation"]

_MOST_COMPONENTS = 1_000_000
_DEGREE = 6  # of the averages that a quartic action needs

Powers = tuple[int, int, int]  # of the neighbour behind, the site, the neighbour ahead


def free_decimation(m2: float, every: int) -> tuple[float, float]:
    """(kappa_b, m2_b) of the free chain seen at every b-th site, the mass in units of kappa_b.

    Raises:
        ValueError: a mass that is not positive, an `every` that is no whole number.

    Example:
        >>> kappa, mass = free_decimation(1.0, 2)
        >>> round(3.0 * kappa, 12), round(mass, 12)   # 1/(2 + m2), m2 (4 + m2)
        (1.0, 5.0)
    """
    if not 0.0 < m2 < np.inf:
        raise ValueError(f"expected a mass m2 > 0 of the free chain, got {m2!r}; try 1.0")
    _check_every(every)
    w = float(np.arccosh(1.0 + m2 / 2.0))
    return sinh(w) / sinh(every * w), 2.0 * (cosh(every * w) - 1.0)


class DecimatedChain:
    """A `Chain` of which every b-th site is kept, all others integrated out.

    Args:
        chain: with its couplings and M sites.
        every: b; 1 is the chain itself.

    Raises:
        ValueError: b that does not divide M.

    Example, what keeping every second site makes of the couplings:
        >>> from nnft.models import Chain, LatticePhi4
        >>> found = DecimatedChain(Chain(1.0, 0.1), 2).couplings(LatticePhi4((8,)))
        >>> {name: value.round(6).tolist() for name, value in found.items()}
        {'kappa': [0.147046], 'm2': [0.908851], 'coupling': [0.101472]}
    """

    def __init__(self, chain: Chain, every: int = 1) -> None:
        _check_every(every)
        if chain.sites % every:
            divisors = [b for b in range(1, chain.sites) if chain.sites % b == 0]
            near = min(divisors, key=lambda b: abs(b - every))
            raise ValueError(
                f"expected every= to divide the {chain.sites} sites of the chain, got {every}; try every={near}"
            )
        self.chain, self.every = chain, int(every)

    @property
    def sites(self) -> int:
        """Sites that are kept."""
        return self.chain.sites // self.every

    @property
    def points(self) -> Matrix:
        """Their places on the chain, (point, 1)."""
        return self.every * np.arange(float(self.sites))[:, None]

    def correlators(self, orders: Iterable[int] = (2, 4, 6)) -> Correlators:
        """Exact correlators at the kept sites, of even orders.

        Raises:
            ValueError: an odd order, or more than a million components of one.

        Example:
            >>> from nnft.models import Chain
            >>> round(float(DecimatedChain(Chain(1.0, 0.1), 4).correlators((2,)).tensor(2)[0, 1]), 10)
            0.0040649071
        """
        asked = sorted(set(orders))
        for order in asked:
            if not is_whole(order, 2) or order % 2 or tuple_count(self.sites, order) > _MOST_COMPONENTS:
                raise ValueError(
                    f"expected even orders of at most {_MOST_COMPONENTS} components each, got {order} at {self.sites} "
                    "sites; try orders=(2, 4)"
                )
        moments = {order: self._moments(order) for order in asked}
        known = [r for r in asked if all(s in moments for s in range(2, r, 2))]
        cumulants = {r: connected_from_moments(moments, self.sites, r, even=True) for r in known}
        about = {"model": f"chain m2 = {self.chain.m2:g}, lam = {self.chain.lam:g}", "every": self.every}
        return Correlators(self.points, moments, cumulants, maker="exact", even=True, about=about)

    def couplings(self, action: AbstractAction) -> dict[str, Vector]:
        """The couplings of an action of nearest neighbours that come nearest to the exact law, by score matching.

        As `inf.fit` gives them for infinitely many fields of the kept sites, W the unit matrix; b = 1 gives the chain's
        own back.

        Args:
            action: `LatticePhi4((M/b,))` or `TranslationInvariant((M/b,), reach=1)`, quartic.

        Raises:
            ValueError: an action of another lattice, degree or reach; fewer than three kept sites.

        Example, with all couplings of neighbours:
            >>> from nnft.models import Chain, TranslationInvariant
            >>> held = TranslationInvariant((8,), reach=1)
            >>> DecimatedChain(Chain(1.0, 1.0), 2).couplings(held)["u"].round(6).tolist()
            [0.002853, 0.002853]
        """
        known = action.site_terms()
        if action.lattice != (self.sites,) or known is None or action.degree != 4:
            raise ValueError(
                f"expected a quartic action of the periodic chain of {self.sites} sites, got {action!r}; try "
                f"LatticePhi4(({self.sites},))"
            )
        if self.sites < 3:
            raise ValueError(
                f"expected at least 3 kept sites, a site and two neighbours, got {self.sites}; try a longer chain or a "
                "smaller every="
            )
        held, _, given = known
        if far := [r for term in (*held, given) for _, _, q, r in term if q and abs(r[0]) != 1]:
            raise ValueError(f"expected couplings of nearest neighbours, got a step {far[0]}; try reach=1")
        slopes, bends = ([_derivative(term, times) for term in held] for times in (1, 2))
        fixed = _derivative(given, 1)
        matrix = np.array([[self._average(_times(one, other)) for other in slopes] for one in slopes])
        vector = np.array(
            [self._average(bend) - self._average(_times(one, fixed)) for one, bend in zip(slopes, bends, strict=True)]
        )
        theta, names = np.linalg.solve(matrix, vector), action.labels(self.sites)
        ends = np.cumsum([len(labels) for _, labels in names.values()])
        return dict(zip(names, np.split(theta, ends[:-1]), strict=True))

    def _average(self, terms: dict[Powers, float]) -> float:
        return sum(coefficient * self._neighbours[powers] for powers, coefficient in terms.items())

    @cached_property
    def _grid(self) -> tuple[Vector, Matrix]:
        """Nodes, and the transfer matrix between kept sites, of largest eigenvalue one."""
        phi, matrix = self.chain.transfer
        return phi, np.linalg.matrix_power(matrix / np.linalg.eigvalsh(matrix)[-1], self.every)

    @cached_property
    def _neighbours(self) -> dict[Powers, float]:
        """<phi_{x-1}^a phi_x^b phi_{x+1}^c> of even a + b + c up to six."""
        phi, step = self._grid
        back = np.linalg.matrix_power(step, self.sites - 2)
        power = phi ** np.arange(_DEGREE + 1)[:, None]
        near = np.einsum("bj,ij,jl->bil", power, step, step) * back.T  # from behind i to ahead l
        table = np.einsum("bil,ai,cl->abc", near, power, power, optimize=True)
        table /= table[0, 0, 0]
        each = range(_DEGREE + 1)
        chosen = [(a, b, c) for a, b, c in product(each, each, each) if a + b + c <= _DEGREE and (a + b + c) % 2 == 0]
        return {powers: float(table[powers]) for powers in chosen}

    def _moments(self, order: int) -> Vector:
        """<phi ... phi> on sorted tuples: those that begin at the first site, and the translations."""
        phi, step = self._grid
        powers = [np.eye(len(phi))]
        for _ in range(self.sites):
            powers.append(powers[-1] @ step)
        closing = {  # from the last site but one over the last, home to the first
            (near, far): (powers[far - near] * phi @ powers[self.sites - far]).T
            for far in range(self.sites)
            for near in range(far + 1)
        }
        rest, tuples = sorted_tuples(self.sites, order - 1), sorted_tuples(self.sites, order)
        value, before, stack = np.empty(len(rest)), [-1] * order, [np.diag(phi)]
        for k, sites in enumerate(rest.tolist()):
            placed = [0, *sites[:-1]]
            same = next((j for j, (a, b) in enumerate(zip(before, placed, strict=False)) if a != b), len(placed))
            del stack[max(same, 1) :]
            for j in range(max(same, 1), len(placed)):
                stack.append(stack[-1] @ powers[placed[j] - placed[j - 1]] * phi)
            value[k], before = np.sum(stack[-1] * closing[placed[-1], sites[-1]]), placed
        value /= np.trace(powers[self.sites])
        return value[rank(tuples[:, 1:] - tuples[:, :1], self.sites)]


def _check_every(every: int) -> None:
    if not is_whole(every, 1):
        raise ValueError(f"expected every= a whole number of sites, got {every!r}; try every=2")


def _derivative(term: SiteTerm, times: int) -> dict[Powers, float]:
    """d^times T/d phi_x^times of a term of a site and its neighbours, once or twice, as powers of the three."""
    out: dict[Powers, float] = {}
    for coefficient, p, q, r in term:
        for powers, factor in _differentiated(coefficient, p, q, r[0], times):
            out[powers] = out.get(powers, 0.0) + factor
    return out


def _differentiated(coefficient: float, p: int, q: int, r: int, times: int) -> list[tuple[Powers, float]]:
    """The two places of phi_x in sum_x phi_x^p phi_{x+r}^q, differentiated once or twice."""
    out = []
    for own, other, ahead in ((p, q, r > 0), (q, p, r < 0)):
        factor = coefficient * (own if times == 1 else own * (own - 1))
        if factor:
            out.append(((0, own - times, other) if ahead else (other, own - times, 0), factor))
    return out


def _times(one: dict[Powers, float], other: dict[Powers, float]) -> dict[Powers, float]:
    out: dict[Powers, float] = {}
    for (a, x), (b, y) in product(one.items(), other.items()):
        powers = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
        out[powers] = out.get(powers, 0.0) + x * y
    return out
