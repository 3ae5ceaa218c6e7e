"""Symmetries of a random field: what a group does to the places (point, output), linear maps of a network's numbers.

A continuous group is a symmetry where its generators are: d/dt of every product of fields vanishes on average, a
Ward identity for each generator of the Lie algebra, and for all of them together. An element for each further connected
component, as a reflection in O(D), does the rest. A finite group is tested by elements that generate it.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from itertools import combinations
from typing import final

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import stats

from ...models.networks.model import AbstractModel
from ...models.refusals import is_whole
from ...models.types import Points

__all__ = ["AbstractSymmetry", "Exchange", "Moves", "Orthogonal", "Phase", "Sign", "Unitary", "on_outputs"]

Map = Float[np.ndarray, "place all"]


@dataclass(frozen=True, eq=False)
class Moves:
    """What a group asks of the networks, and what it does with the answers.

    Attributes:
        elements: maps T, (place, all): phi_a -> sum_b T_ab phi_b of elements of the group.
        generators: maps X, (place, all): phi_a -> phi_a + t sum_b X_ab phi_b at small t.
        further: points beside the given ones at which the fields are wanted too, (point, axis).
        along: directions, (point, axis) each, along which the fields are differentiated at the given points.
        own_inverse: whether there is one element, which undoes itself: then a network and its image have one law the
            other way round too, and differences are as likely negative as positive, whatever their tails.

    `all` counts the places of the given points, then those of the further points, then the derivatives, direction by
    direction.
    """

    elements: tuple[Map, ...] = ()
    generators: tuple[Map, ...] = ()
    further: Float[np.ndarray, "further axis"] = field(default_factory=lambda: np.zeros((0, 1)))
    along: tuple[Points, ...] = ()
    own_inverse: bool = False

    @property
    def beyond(self) -> bool:
        """Whether fields are asked for that an array does not hold."""
        return bool(len(self.further) or self.along)


class AbstractSymmetry(eqx.Module):
    """A group that acts on a field; one of one's own writes `name` and `moves`.

    Example, the fields of two outputs exchanged at every point:
        >>> class Swap(AbstractSymmetry):
        ...     name = "swap"
        ...     def moves(self, points, outputs):
        ...         return Moves(elements=(on_outputs(np.array([[0.0, 1.0], [1.0, 0.0]]), points, outputs),))
        >>> Swap().moves(np.zeros((1, 1)), 2).elements[0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables call it, "O(2)"."""

    @abstractmethod
    def moves(self, points: Points, outputs: int) -> Moves:
        """Its maps at these points; refused with ValueError where the group does not fit."""

    def finite(self, points: Points, outputs: int) -> Moves:
        """The same without derivatives of the fields: for arrays, and for exact correlators."""
        return self.moves(points, outputs)

    def at_random(self, rng: np.random.Generator, points: Points, outputs: int) -> Moves:
        """The map of one element that is uniform over the group (Haar)."""
        raise ValueError(
            f"expected a compact group whose elements are drawn at random, got {self.name}; try inf.Orthogonal, "
            "inf.Phase, inf.Unitary or inf.Rotations"
        )

    def reason(self, model: AbstractModel) -> str:
        """Why the law of a program has it, in words, by what its priors are; empty where that is not known."""
        return ""


def on_outputs(matrix: Float[np.ndarray, "output output"], points: Points, outputs: int) -> Map:
    """The same matrix on the outputs at every point.

    Raises:
        ValueError: a matrix that does not fit the number of outputs.
    """
    if matrix.shape != (outputs, outputs):
        raise ValueError(f"expected a matrix on {outputs} outputs, got one on {len(matrix)}; try a group of {outputs}")
    return np.kron(np.eye(len(points)), matrix)


@final
class Sign(AbstractSymmetry):
    """phi -> -phi of all fields together, Z2: odd correlators vanish.

    Example:
        >>> Sign().moves(np.zeros((1, 1)), 1).elements[0].tolist()
        [[-1.0]]
    """

    @property
    def name(self) -> str:
        return "Z2"

    def moves(self, points: Points, outputs: int) -> Moves:
        return Moves(elements=(on_outputs(-np.eye(outputs), points, outputs),), own_inverse=True)

    def reason(self, model: AbstractModel) -> str:
        return model.reasons.get("sign", "")


@final
class Exchange(AbstractSymmetry):
    """Permutations of the fields, S_D, by an exchange of two and a cycle of all.

    Example:
        >>> len(Exchange(3).moves(np.zeros((1, 1)), 3).elements), Exchange(3).name
        (2, 'S_3')
    """

    fields: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        _check_fields(self.name, self.fields, 2)

    @property
    def name(self) -> str:
        return f"S_{self.fields}"

    def moves(self, points: Points, outputs: int) -> Moves:
        _fits(self.name, self.fields, outputs)
        unit = np.eye(outputs)
        orders = [[1, 0, *range(2, outputs)], [*range(1, outputs), 0]][: 1 if outputs == 2 else 2]
        elements = tuple(on_outputs(unit[order], points, outputs) for order in orders)
        return Moves(elements=elements, own_inverse=outputs == 2)

    def reason(self, model: AbstractModel) -> str:
        return model.reasons.get("exchange", "")


@final
class Orthogonal(AbstractSymmetry):
    """Rotations of D real fields into each other, O(D), or SO(D) without reflections.

    Attributes:
        fields: D, at least 2.
        special: SO(D), without the reflection.

    Example, at one point: phi_1 phi_2 and phi_1^2 - phi_2^2 are forbidden.
        >>> Orthogonal(2).name, Orthogonal(3, special=True).name
        ('O(2)', 'SO(3)')
        >>> Orthogonal(2).moves(np.zeros((1, 1)), 2).generators[0].tolist()
        [[0.0, -1.0], [1.0, 0.0]]
    """

    fields: int = eqx.field(static=True)
    special: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        _check_fields(self.name, self.fields, 2)

    @property
    def name(self) -> str:
        return f"{'SO' if self.special else 'O'}({self.fields})"

    def moves(self, points: Points, outputs: int) -> Moves:
        _fits(self.name, self.fields, outputs)
        rotations = []
        for i, j in combinations(range(outputs), 2):
            turn = np.zeros((outputs, outputs))
            turn[i, j], turn[j, i] = -1.0, 1.0
            rotations.append(on_outputs(turn, points, outputs))
        mirror = np.diag([-1.0, *np.ones(outputs - 1)])
        reflections = () if self.special else (on_outputs(mirror, points, outputs),)
        return Moves(elements=reflections, generators=tuple(rotations))

    def reason(self, model: AbstractModel) -> str:
        return model.reasons.get("orthogonal", "")

    def at_random(self, rng: np.random.Generator, points: Points, outputs: int) -> Moves:
        _fits(self.name, self.fields, outputs)
        law = stats.special_ortho_group if self.special else stats.ortho_group
        return Moves(elements=(on_outputs(law.rvs(outputs, random_state=rng), points, outputs),))


@final
class Phase(AbstractSymmetry):
    """A phase of complex fields, U(1): each is two real ones beside each other, its real and its imaginary part.

    Attributes:
        each: whether every complex field has a phase of its own, U(1)^D; else one for all.

    Example:
        >>> Phase().name, Phase(each=True).name
        ('U(1)', 'U(1) for each field')
    """

    each: bool = eqx.field(static=True, default=False)

    @property
    def name(self) -> str:
        return "U(1) for each field" if self.each else "U(1)"

    def moves(self, points: Points, outputs: int) -> Moves:
        _pairs(self.name, outputs)
        turn = np.array([[0.0, -1.0], [1.0, 0.0]])
        unit = np.eye(outputs // 2)
        charges = [np.diag(row) for row in unit] if self.each else [unit]
        return Moves(generators=tuple(on_outputs(np.kron(charge, turn), points, outputs) for charge in charges))

    def reason(self, model: AbstractModel) -> str:
        return model.reasons.get("phases" if self.each else "phase", "")

    def at_random(self, rng: np.random.Generator, points: Points, outputs: int) -> Moves:
        _pairs(self.name, outputs)
        angle = rng.uniform(0.0, 2.0 * np.pi, outputs // 2 if self.each else 1) * np.ones(outputs // 2)
        return Moves(elements=(on_outputs(_as_real(np.diag(np.exp(1j * angle))), points, outputs),))


@final
class Unitary(AbstractSymmetry):
    """Rotations of n complex fields into each other, SU(n) or, not special, U(n); each is two real ones.

    Attributes:
        fields: n, at least 2.
        special: without the common phase.

    Example:
        >>> Unitary(2).name, len(Unitary(2).moves(np.zeros((1, 1)), 4).generators)
        ('SU(2)', 3)
    """

    fields: int = eqx.field(static=True)
    special: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        _check_fields(self.name, self.fields, 2)

    @property
    def name(self) -> str:
        return f"{'SU' if self.special else 'U'}({self.fields})"

    def moves(self, points: Points, outputs: int) -> Moves:
        _pairs(self.name, outputs)
        _fits(self.name, 2 * self.fields, outputs)
        n, algebra = self.fields, []
        for i, j in combinations(range(n), 2):
            real, imaginary = np.zeros((n, n), dtype=complex), np.zeros((n, n), dtype=complex)
            real[i, j], real[j, i] = 1.0, -1.0
            imaginary[i, j] = imaginary[j, i] = 1j
            algebra += [real, imaginary]
        for i in range(n - 1):
            algebra.append(1j * np.diag(np.eye(n)[i] - np.eye(n)[i + 1]))
        if not self.special:
            algebra.append(1j * np.eye(n))
        return Moves(generators=tuple(on_outputs(_as_real(a), points, outputs) for a in algebra))

    def reason(self, model: AbstractModel) -> str:
        return model.reasons.get("unitary", "")

    def at_random(self, rng: np.random.Generator, points: Points, outputs: int) -> Moves:
        _fits(self.name, 2 * self.fields, outputs)
        turn = stats.unitary_group.rvs(self.fields, random_state=rng)
        if self.special:
            turn = turn / np.linalg.det(turn) ** (1.0 / self.fields)
        return Moves(elements=(on_outputs(_as_real(turn), points, outputs),))


def _as_real(matrix: np.ndarray) -> np.ndarray:
    """A complex matrix on real and imaginary parts in turn."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    return np.kron(np.real(matrix), np.eye(2)) + np.kron(np.imag(matrix), turn)


def _check_fields(name: str, fields: object, least: int) -> None:
    if not is_whole(fields, least):
        raise ValueError(f"expected at least {least} fields for {name}, got {fields!r}; try {least}")


def _fits(name: str, fields: int, outputs: int) -> None:
    if fields != outputs:
        raise ValueError(
            f"expected {fields} real fields for {name}, got {outputs}; try a group of as many, or a network of "
            f"{fields} outputs, m.Multiplet, Samples(..., outputs=)"
        )


def _pairs(name: str, outputs: int) -> None:
    if outputs % 2:
        raise ValueError(
            f"expected complex fields for {name}, real and imaginary part as two outputs each, got {outputs} outputs; "
            "try complex_parts=True, or m.circular"
        )
