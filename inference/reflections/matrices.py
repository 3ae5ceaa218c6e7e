"""The two matrices of reflection positivity, <(Theta F_a) F_b> and <F_a F_b>, of whatever knows its correlators.

F_a are products of fields at positive times and Theta reflects them, t -> -t. Of order 2 they are the fields
themselves: M_ab = G(t_a + t_b) and K_ab = G(t_a - t_b) where G depends on the difference only, M_ab = <phi(-t_a)
phi(t_b)> always. Of order 2r they are all products of r, r - 2, .. fields (the constant 1 among them where r is even):
odd and even ones do not meet where phi -> -phi is a symmetry.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float

from ...models.combinatorics import rank
from ...models.correlators import Correlators
from ...models.types import Matrix, Vector

__all__ = ["ROUNDING", "ROUNDINGS", "AbstractReflected", "Functionals", "Reflections", "functionals", "of_correlators"]

Functionals = tuple[tuple[int, ...], ...]
ROUNDINGS = 8.0
ROUNDING = ROUNDINGS * float(np.finfo(float).eps)  # of a correlator whose accuracy nobody says


@dataclass(frozen=True, eq=False)
class Reflections:
    """M and K of some functionals, and how well they are known.

    Attributes:
        reflected: M, (functional, functional), symmetric.
        plain: K, (functional, functional).
        accuracy: absolute error of the entries of M, one number or (functional, functional).
        rows: rows^T rows is the covariance of M, (row, functional, functional); none of exact correlators.
    """

    reflected: Matrix
    plain: Matrix
    accuracy: float | Matrix
    rows: Float[np.ndarray, "row functional functional"] | None = field(default=None, repr=False)


def functionals(count: int, order: int, *, even: bool = True) -> Functionals:
    """Products of at most order/2 fields at so many times, as numbers of times; the empty one is the constant 1.

    >>> functionals(2, 4)
    ((), (0, 0), (0, 1), (1, 1))
    >>> functionals(2, 2), functionals(1, 2, even=False)
    (((0,), (1,)), ((), (0,)))

    Raises:
        ValueError: an order that is not even and positive.
    """
    if order not in (2, 4, 6):
        raise ValueError(f"expected order 2, 4 or 6, that of a product with its reflection, got {order!r}; try order=2")
    degrees = range(order // 2 % 2, order // 2 + 1, 2) if even else range(order // 2 + 1)
    return tuple(one for degree in degrees for one in combinations_with_replacement(range(count), degree))


class AbstractReflected(ABC):
    """A field in time that can be asked for the matrices of reflection positivity.

    Attributes:
        period: of time, infinite where it is a line.
    """

    period: float = float("inf")

    @property
    def about(self) -> float:
        """The time about which is reflected."""
        return 0.0

    @abstractmethod
    def matrices(self, times: Vector, order: int) -> Reflections:
        """M and K of the functionals of this order at positive times; ValueError where they are not known."""

    @abstractmethod
    def times(self, order: int) -> Vector:
        """The times to ask at where nobody says."""


def of_correlators(data: Correlators, before: np.ndarray, after: np.ndarray, order: int) -> Reflections:
    """M and K from moments at numbered places: that of time k reflected, and of time k."""
    if data.outputs != 1:
        raise ValueError(f"expected one field, got {data.outputs} outputs at a point; try fields[:, :, 0]")
    made = functionals(len(after), order, even=data.even)
    count = len(made)
    plain, reflected = np.zeros((count, count)), np.zeros((count, count))
    some = next((len(part) for part in data.rows.get("moment", {}).values()), 0)
    rows = np.zeros((some, count, count))
    accuracy = np.full((count, count), ROUNDING)
    for total in sorted({len(a) + len(b) for a in made for b in made}):
        pairs = [(i, j) for i, a in enumerate(made) for j, b in enumerate(made) if len(a) + len(b) == total]
        i, j = np.array(pairs).T
        if total == 0:
            plain[i, j] = reflected[i, j] = 1.0
            continue
        values = data.moment(total)
        own = np.array([[*after[list(made[a])], *after[list(made[b])]] for a, b in pairs], dtype=int)
        both = np.array([[*before[list(made[a])], *after[list(made[b])]] for a, b in pairs], dtype=int)
        plain[i, j] = values[rank(own, data.places)]
        reflected[i, j] = values[rank(both, data.places)]
        accuracy[i, j] = max(_accuracy(data, total), ROUNDING * float(np.max(np.abs(values))))
        if some and total in data.rows["moment"]:
            rows[:, i, j] = data.rows["moment"][total][:, rank(both, data.places)]
    # A field with a reflection symmetry has a symmetric M; of a measured one both halves say the same.
    symmetric = (reflected + reflected.T) / 2.0
    return Reflections(symmetric, plain, accuracy, (rows + rows.transpose(0, 2, 1)) / 2.0 if some else None)


def _accuracy(data: Correlators, order: int) -> float:
    """Absolute error of the largest moment of an order, from those of the connected functions."""
    known = data.about.get("accuracy", {})
    if isinstance(known, float):  # relative
        return known * float(np.max(np.abs(data.moment(order))))
    if order not in known:
        return 0.0
    others = float(np.max(np.abs(data.moments[2]))) if 2 in data.moments else 1.0
    ways = {1: 0.0, 2: 0.0, 3: 3.0, 4: 6.0, 5: 30.0, 6: 45.0}[order]  # of taking one pair, or two, out of the product
    below = float(known.get(2, 0.0)) * others ** (order / 2.0 - 1.0)
    return float(known[order]) + ways * below + (15.0 * others * float(known.get(4, 0.0)) if order == 6 else 0.0)
