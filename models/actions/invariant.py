"""Actions of D fields that rotations of the fields into each other leave alone: built of scalar products only.

At M points, phi_a a vector of D fields,

    S = sum_{a<=b} q_ab phi_a.phi_b + sum_a g_a (phi_a.phi_a)^2
      + sum_{a!=b} u_ab (phi_a.phi_a)(phi_a.phi_b)
      + sum_{a<b} [ v_ab (phi_a.phi_a)(phi_b.phi_b) + h_ab (phi_a.phi_b)^2 ] ,

the last two lines of the bilocal form only. An action of all monomials of the components holds it, so that the two are
nested: where O(D) is a symmetry of the networks the couplings of the former are those of the latter, spread over its
monomials. Places (point, field) are numbered point D + field.
"""

from collections.abc import Mapping
from itertools import product
from typing import ClassVar

import equinox as eqx
import numpy as np

from ..combinatorics import sorted_tuples
from ..refusals import is_whole
from ..types import Tuples, Vector
from .base import AbstractAction, Symbol
from .monomials import Monomials, monomials

__all__ = ["Invariant"]

_LOCAL = r"S = \sum_{a\le b} q_{ab}\,\varphi_a\cdot\varphi_b + \sum_a g_a\,(\varphi_a\cdot\varphi_a)^2"
_BILOCAL = (
    r" + \sum_{a\ne b} u_{ab}\,(\varphi_a\cdot\varphi_a)(\varphi_a\cdot\varphi_b) + \sum_{a<b} [\,v_{ab}\,"
    r"(\varphi_a\cdot\varphi_a)(\varphi_b\cdot\varphi_b) + h_{ab}\,(\varphi_a\cdot\varphi_b)^2\,]"
)


class Invariant(AbstractAction):
    """An action invariant under O(D) of the D fields: lambda (phi.phi)^2 at every point, or its bilocal form.

    Attributes:
        group: "O", rotations and reflections of the fields.
        outputs: number of fields D.
        bilocal: whether two points are coupled.

    Raises:
        ValueError: another group, fewer than two fields; at a fit, a number of places that is no multiple of D.

    Example, two outputs of one hidden layer of 100 cosines: a phi.phi + b (phi.phi)^2, b near -1/(4N):
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> import jax
        >>> truth = m.exact(m.Multiplet.of(m.Cos(), 100, m.Copies(2)), np.zeros((1, 1)))
        >>> tree = inf.fit(truth, Invariant("O", 2), key=jax.random.key(0))
        >>> [tree["point"][name].values.round(8).tolist() for name in ("q", "g")]
        [[1.00980536], [-0.00243914]]
    """

    group: str = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    bilocal: bool = eqx.field(static=True, default=False)

    symmetric: ClassVar[bool] = True
    symbols: ClassVar[Mapping[str, Symbol]] = {name: Symbol(name) for name in ("q", "g", "u", "v", "h")}
    meaning = r"Dots are sums over the fields at a point; the labels of couplings are numbers of points."

    def __check_init__(self) -> None:
        if self.group != "O":
            raise ValueError(f"expected the group 'O', rotations and reflections of real fields, got {self.group!r}")
        if not is_whole(self.outputs, 2):
            raise ValueError(f"expected at least two fields for O(D), got {self.outputs!r}; try Invariant('O', 2)")

    @property
    def name(self) -> str:
        return f"O({self.outputs})-invariant {'bilocal ' if self.bilocal else ''}quartic action"

    @property
    def formula(self) -> str:
        return _LOCAL + (_BILOCAL if self.bilocal else "")

    def quadratic_blocks(self, points: int) -> dict[str, Tuples]:
        return {"q": sorted_tuples(self._points(points), 2)}

    def quadratic(self, points: int) -> Monomials:
        return self._products(self.quadratic_blocks(points)["q"])

    def blocks(self, points: int) -> dict[str, Tuples]:
        count = self._points(points)
        found = {"g": np.arange(count)[:, None]}
        if self.bilocal and count > 1:
            pairs = np.array([pair for pair in product(range(count), repeat=2) if pair[0] != pair[1]])
            found |= {"u": pairs, "v": pairs[pairs[:, 0] < pairs[:, 1]], "h": pairs[pairs[:, 0] < pairs[:, 1]]}
        return found

    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        blocks = self.blocks(points)
        legs = {"g": (0, 0, 0, 0), "u": (0, 0, 0, 1), "v": (0, 0, 1, 1), "h": (0, 1, 0, 1)}
        return (self._products(np.concatenate([labels[:, list(legs[name])] for name, labels in blocks.items()])),)

    def _points(self, places: int) -> int:
        if places % self.outputs:
            raise ValueError(
                f"expected {self.outputs} fields at every point for {self.name}, got {places} places; try a network of "
                f"{self.outputs} outputs, m.Multiplet"
            )
        return places // self.outputs

    def _products(self, legs: Tuples) -> Monomials:
        """One term a row of points: the product of the scalar products of its first two, its next two, .."""
        fields = np.array(list(product(range(self.outputs), repeat=legs.shape[1] // 2)))
        places = legs[:, None, :] * self.outputs + np.repeat(fields, 2, axis=1)[None]
        term = np.repeat(np.arange(len(legs)), len(fields))
        return monomials(term, places.reshape(len(term), -1), np.ones(len(term)), len(legs))
