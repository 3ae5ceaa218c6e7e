"""Energies and matrix elements of the coordinates, and every correlation in imaginary time that follows from them.

With H|k> = E_k|k> and X_jk = <j|x|k> the time-ordered function of t_1 <= .. <= t_r is the trace of
X e^(-(t_2 - t_1)H) X .. X e^(-(beta - t_r + t_1)H) over Z = Tr e^(-beta H); at beta = inf the last factor projects on
the ground state. Moments are the function at equal times. What is connected follows from the even moments, since
x -> -x is a symmetry.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from ..combinatorics import set_partitions
from ..types import Matrix, Vector

__all__ = ["Levels", "block_levels"]


@dataclass(frozen=True, eq=False)
class Levels:
    """A spectrum and the coordinates in its eigenstates, lowest first.

    Attributes:
        energies: E_k, (state,).
        coordinates: <j|x_f|k>, (field, state, state).
        size: number of basis functions of a coordinate behind them.
    """

    energies: Vector
    coordinates: Float[np.ndarray, "field state state"]
    size: int

    @property
    def above(self) -> Vector:
        """E_k - E_0, (state,)."""
        return self.energies - self.energies[0]

    def log_partition(self, beta: float) -> float:
        """The logarithm of Z = Tr e^(-beta H)."""
        return float(-beta * self.energies[0] + np.log(np.sum(self.decay(beta))))

    def decay(self, time: float) -> Vector:
        """e^(-t (E_k - E_0)), (state,); at t = inf one for the ground state, zero for all others."""
        if np.isinf(time):
            return (np.arange(len(self.energies)) == 0).astype(float)
        return np.exp(-time * self.above)

    def correlation(self, times: Vector, fields: tuple[int, ...], beta: float) -> float:
        """<x_f1(t_1) .. x_fr(t_r)>, ordered in time by itself; times count modulo beta."""
        when = np.asarray(times, dtype=float)
        when = when if np.isinf(beta) else when % beta
        order = np.argsort(when, kind="stable")
        t, x = when[order], [self.coordinates[fields[k]] for k in order]
        if np.isinf(beta):
            state = x[-1][:, 0]
            for k in range(len(x) - 2, -1, -1):
                state = x[k] @ (self.decay(t[k + 1] - t[k]) * state)
            return float(state[0])
        matrix = x[-1] * self.decay(beta - t[-1] + t[0])
        for k in range(len(x) - 2, 0, -1):
            matrix = x[k] @ (self.decay(t[k + 1] - t[k])[:, None] * matrix)
        matrix = self.decay(t[1] - t[0])[:, None] * matrix if len(x) > 1 else matrix
        total = np.sum(x[0] * matrix.T) if len(x) > 1 else np.trace(matrix)
        return float(total / np.sum(self.decay(beta)))

    def connected(self, times: Vector, fields: tuple[int, ...], beta: float) -> tuple[float, float]:
        """The joint cumulant of x_f1(t_1) .. x_fr(t_r), and the sum of the sizes of its terms, which round off."""

        @cache
        def moment(block: tuple[int, ...]) -> float:
            return self.correlation(np.asarray(times)[list(block)], tuple(fields[k] for k in block), beta)

        total, size = 0.0, 0.0
        for partition in set_partitions(len(fields)):
            if any(len(block) % 2 for block in partition):
                continue  # odd moments vanish
            count = len(partition)
            term = float((-1) ** (count - 1) * np.prod(np.arange(1.0, count)) * np.prod([moment(b) for b in partition]))
            total, size = total + term, size + abs(term)
        return total, size


def block_levels(blocks: list[Matrix], hops: list[dict[tuple[int, int], Matrix]], size: int) -> Levels:
    """Levels of a Hamiltonian that falls into blocks of parity, in which two near states keep apart.

    Args:
        blocks: H of each block.
        hops: for each coordinate (block, block) -> its matrix from the second to the first; the transposes follow.
        size: basis functions of a coordinate.
    """
    solved = [np.linalg.eigh(block) for block in blocks]
    starts = np.cumsum([0, *(len(block) for block in blocks)])
    energies = np.concatenate([energy for energy, _ in solved])
    coordinates = np.zeros((len(hops), len(energies), len(energies)))
    for field, table in enumerate(hops):
        for (left, right), matrix in table.items():
            rows, columns = (slice(starts[b], starts[b + 1]) for b in (left, right))
            part = solved[left][1].T @ matrix @ solved[right][1]
            coordinates[field, rows, columns] = part
            coordinates[field, columns, rows] = part.T
    order = np.argsort(energies, kind="stable")
    return Levels(energies[order], coordinates[:, order[:, None], order], size)
