"""Linear and cubic terms beside those of an even action: for a field whose law has no symmetry phi -> -phi.

    S = (the even action) + sum_a h_a phi_a + sum_{a<=b<=c} c_abc phi_a phi_b phi_c

The triples are those that are left of the even action's quartic terms when one field is struck out, so that the family
is closed under phi -> phi + const: a quartic action seen from another origin is one of its members. Of a local action
they are c_a phi_a^3, of a bilocal one also phi_a^2 phi_b, of the full one all. As there, the quadratic part is free.
"""

from collections.abc import Mapping

import equinox as eqx
import numpy as np

from ..types import Matrix, Tuples, Vector
from .base import AbstractAction, Symbol
from .monomials import Monomials, each
from .rungs import Bilocal

__all__ = ["Odd"]


class Odd(AbstractAction):
    """An even action and, beside its terms, linear and cubic ones: what data with a mean or odd moments ask for.

    Fitted to moments of all orders up to six where the even action is quartic: they must hold the odd ones.

    Attributes:
        action: the even one; default bilocal.

    Raises:
        ValueError: an action whose own symmetry leaves no room for odd terms: of a lattice, of O(D), of modes (whose
            inner action may have them), or one that has odd terms already.

    Example, one site of a ReLU network whose readout has a mean, the field counted from zero:
        >>> import jax
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> truth = m.exact(m.Multiplet.of(m.ReLU(), 1000, m.Normals((0.3,))), np.ones((1, 1)))
        >>> point = inf.fit(truth, Odd(m.Local()), key=jax.random.key(0))["point"]
        >>> {name: round(float(point[name].values[0]), 4) for name in ("h", "q", "c", "g")}
        {'h': -7.6793, 'q': 1.0532, 'c': 0.0003, 'g': -0.0013}
    """

    action: AbstractAction = eqx.field(default=Bilocal(), static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.action, AbstractAction):
            raise ValueError(f"expected an even action, got {self.action!r}; try m.Odd(m.Bilocal())")
        if self.action.symmetric:
            advice = "m.Modes(count, m.Odd(m.FullQuartic()))" if self.action.of_modes else "m.Odd(m.Bilocal())"
            raise ValueError(
                f"expected an action whose symmetry leaves room for linear and cubic terms, got the "
                f"{self.action.name}; try {advice}"
            )

    @property
    def name(self) -> str:
        return f"{self.action.name} with linear and cubic terms"

    @property
    def formula(self) -> str:
        odd = r" + \sum_a h_a\,\varphi_a + \sum_{a\le b\le c} c_{abc}\,\varphi_a\varphi_b\varphi_c"
        return self.action.formula + odd

    @property
    def meaning(self) -> str:
        return (
            f"{self.action.meaning} $h_a$ and $c_{{abc}}$ are the coefficients of $\\varphi_a$ and of "
            "$\\varphi_a\\varphi_b\\varphi_c$, for the triples that a shift of the field makes of the quartic terms."
        ).strip()

    @property
    def belongs(self) -> str:
        return self.action.belongs

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return {**self.action.symbols, "h": Symbol("h", "x"), "c": Symbol("c")}

    @property
    def degree(self) -> int:
        return self.action.degree

    @property
    def complete(self) -> bool:
        return self.action.complete

    @property
    def even(self) -> bool:
        return False

    @property
    def symmetric(self) -> bool:
        return True

    def place(self, points: int) -> str:
        return self.action.place(points)

    def quadratic_blocks(self, points: int) -> dict[str, Tuples]:
        return self.action.quadratic_blocks(points)

    def quadratic(self, points: int) -> Monomials:
        return self.action.quadratic(points)

    def fixed(self, points: int) -> Matrix | None:
        return self.action.fixed(points)

    def blocks(self, points: int) -> dict[str, Tuples]:
        return {"h": np.arange(points)[:, None], "c": self._triples(points), **self.action.blocks(points)}

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        odd = each(np.arange(points)[:, None]), each(self._triples(points))
        return (*odd, *self.action.interaction(points, weights))

    def _triples(self, points: int) -> Tuples:
        """What striking out one field leaves of the quartic terms, sorted, (triple, 3)."""
        parts = self.action.interaction(points, np.ones(points))
        quads = np.concatenate([part.tuples for part in parts if part.degree == 4])
        return np.unique(np.concatenate([np.delete(quads, k, axis=1) for k in range(4)]), axis=0)
