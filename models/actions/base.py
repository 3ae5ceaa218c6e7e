"""What an action answers for itself: its monomials, its formula and the letters of its couplings, how data enter it.

S = sum_{a<=b} q_ab phi_a phi_b + sum_k theta_k T_k(phi), the quadratic part always free. An action of one's own is one
class: it fills in `name`, `formula`, `blocks` and `interaction`; everything else has an answer already.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..combinatorics import sorted_tuples, tuple_count
from ..types import Matrix, Tuples, Vector
from .monomials import Monomials, dense, each

__all__ = ["AbstractAction", "SiteTerm", "Steps", "Symbol"]

Steps = tuple[int, ...]
SiteTerm = tuple[tuple[float, int, int, Steps], ...]
"""A term of a lattice, the sum of coefficient sum_x phi_x^p phi_{x+r}^q over its (coefficient, p, q, r)."""


class Symbol(NamedTuple):
    """How the couplings of one name are written, and on which dimension of a fit their labels stand.

    Attributes:
        tex: the letter in TeX.
        dim: the dimension; "" is one of their own, `v_label` or `v_step`.
        plain: the letter in ASCII; "" is the name.
        step: whether labels are displacements, u(1,0), and not points, u_01.
    """

    tex: str
    dim: str = ""
    plain: str = ""
    step: bool = False


class AbstractAction(eqx.Module):
    r"""A family of actions, linear in its couplings; with phi -> -phi, unless it says otherwise.

    Attributes:
        name: in words that can stand in a sentence: "bilocal quartic action".
        formula: S in TeX, as far as latex2mathml reads it.
        meaning: what the couplings of the formula are, in sentences with TeX between dollar signs.
        belongs: what the couplings belong to, and cannot be taken from.
        symbols: name of couplings -> their `Symbol`, where the letter is not the name itself.
        degree: highest power of the field.
        complete: whether it holds every even monomial up to its degree, so that exact moments alone determine it.
        of_modes: number of leading modes of K whose action it is; None where it is one of points.
        lattice: sites along each axis, where the points are the sites of a lattice in C order.
        homogeneous: whether all sites are alike, so that one field already averages over them.
        even: whether every term has an even number of fields.
        symmetric: whether no linear and cubic terms may be put beside its own (`Odd`).

    Raises:
        TypeError: when made, by the name of what an action of one's own has forgotten.

    Example, the squares of neighbours on a line:

        >>> import numpy as np
        >>> class Neighbours(AbstractAction):
        ...     name = "action of neighbouring squares"
        ...     formula = r"S = \sum_{a\le b} q_{ab} \varphi_a\varphi_b + v \sum_a \varphi_a^2\varphi_{a+1}^2"
        ...
        ...     def blocks(self, points):
        ...         return {"v": np.zeros((1, 0), dtype=int)}
        ...
        ...     def interaction(self, points, weights):
        ...         a = np.arange(points - 1)
        ...         return (Monomials(0 * a, np.stack([a, a, a + 1, a + 1], axis=1), np.ones(points - 1), 1),)
        >>> Neighbours().monomials(2, np.ones(2)).tolist()
        [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """

    if TYPE_CHECKING:  # pyright takes the other for fields
        name: ClassVar[str]
        formula: ClassVar[str]
    else:
        name: eqx.AbstractClassVar[str]
        formula: eqx.AbstractClassVar[str]
    meaning: ClassVar[str] = ""
    belongs: ClassVar[str] = "The couplings belong to this set of points: another set has other couplings."
    symbols: ClassVar[Mapping[str, Symbol]] = {"q": Symbol("q", "pair")}
    degree: ClassVar[int] = 4
    complete: ClassVar[bool] = False
    of_modes: ClassVar[int | None] = None
    lattice: ClassVar[Steps | None] = None
    homogeneous: ClassVar[bool] = False
    even: ClassVar[bool] = True
    symmetric: ClassVar[bool] = False

    @abstractmethod
    def blocks(self, points: int) -> dict[str, Tuples]:
        """Names of the interaction's couplings -> their labels, (coupling, label): point indices that name each."""

    @abstractmethod
    def interaction(self, points: int, weights: Vector) -> tuple[Monomials, ...]:
        """The terms T_k in the order of `blocks`, one entry a degree, ascending: 4, or 4 and 6, or 1, 3, 4, .."""

    def place(self, points: int) -> str:
        """Where its field lives: "at 3 points", "on a periodic 8 × 8 lattice"."""
        return "at one point" if points == 1 else f"at {points} points"

    def quadratic_blocks(self, points: int) -> dict[str, Tuples]:
        """Names of the couplings of the quadratic part -> their labels; here q_ab of every pair a <= b."""
        return {"q": sorted_tuples(points, 2)}

    def quadratic(self, points: int) -> Monomials:
        """The terms of the quadratic part in the order of `quadratic_blocks`."""
        return each(sorted_tuples(points, 2))

    def fixed(self, points: int) -> Matrix | None:
        """P of a quadratic part 1/2 phi P phi without free couplings, (point, point); None where there is none."""
        return None

    def symbol(self, name: str) -> Symbol:
        """How the couplings of that name are written; the name itself, where nothing else is said."""
        return self.symbols.get(name, Symbol(name if len(name) == 1 else rf"\mathrm{{{name}}}"))

    def labels(self, points: int) -> dict[str, tuple[str, Tuples]]:
        """All couplings, the quadratic ones first: name -> its dimension in a fit, and its labels.

        A single number stands on the dimension "constant".
        """
        found = {}
        for name, labels in {**self.quadratic_blocks(points), **self.blocks(points)}.items():
            symbol = self.symbol(name)
            own = symbol.dim or f"{name}_{'step' if symbol.step else 'label'}"
            found[name] = (own if labels.shape[1] else "constant", labels)
        return found

    def monomials(self, points: int, weights: Vector) -> Matrix:
        """(coupling, quad): coefficient of each sorted quartic monomial in T_k, couplings up to degree four only."""
        parts = [part for part in self.interaction(points, weights) if part.degree <= 4]
        quads = tuple_count(points, 4)
        tables = [dense(part, points) if part.degree == 4 else np.zeros((part.count, quads)) for part in parts]
        return np.concatenate(tables)

    def coefficients(
        self, couplings: Mapping[str, np.ndarray], points: int, weights: Vector
    ) -> dict[int, Float[np.ndarray, "*many component"]]:
        """Couplings by name, (..., coupling), as degree -> coefficients of its sorted monomials, (..., component).

        Example:
            >>> from nnft.models import Local
            >>> found = Local().coefficients({"q": np.array([0.5]), "g": np.array([0.1])}, 1, np.ones(1))
            >>> {degree: values.tolist() for degree, values in found.items()}
            {2: [0.5], 4: [0.1]}
        """
        free = np.concatenate([np.asarray(couplings[name]) for name in self.quadratic_blocks(points)], axis=-1)
        pairs = free @ dense(self.quadratic(points), points)
        if (given := self.fixed(points)) is not None:
            a, b = sorted_tuples(points, 2).T
            pairs = pairs + np.where(a == b, 0.5, 1.0) * given[a, b]
        theta = np.concatenate([np.asarray(couplings[name]) for name in self.blocks(points)], axis=-1)
        parts = self.interaction(points, weights)
        split = np.split(theta, np.cumsum([part.count for part in parts])[:-1], axis=-1)
        return {2: pairs} | {part.degree: own @ dense(part, points) for own, part in zip(split, parts, strict=True)}

    def size(self, points: int) -> int:
        """Number of couplings of the interaction at M points."""
        return sum(len(labels) for labels in self.blocks(points).values())

    def through_correlators(self, points: int) -> bool:
        """Whether it may be fitted to correlators of order two, four and six, and not to fields only."""
        return self.degree == 4 and self.fixed(points) is None

    def site_terms(self) -> tuple[list[SiteTerm], dict[str, SiteTerm], SiteTerm] | None:
        """Of a homogeneous action: its terms, those next to them by name, and the fixed part; None if not known."""
        return None
