"""The circle closed: which m^2 and lambda do the fields of an interacting network have, as a fit of their action says?

    S = 1/2 sum_a D_a q_a^2 + mu T_2 + lambda T_4,   T_2 = int phi^2/2, T_4 = int phi^4/4!,

the free part fixed at the box's own propagator, D_a = V (p_a^2 + m^2). Score matching (A. Hyvarinen, JMLR 6 (2005) 695)
in the modes q_a in the metric 1/D, in which every mode of the free field has size one:

    <f_i f_j/D> theta_j = <sum_a d_a f_ia/D_a> - <q . f_i>,   f_i = dT_i/dq,

two linear equations. Euler's rule makes q . f_i of T_2 and T_4 two and four times themselves, and sum_a u_a(x)^2/D_a is
the free <phi^2> everywhere, so that all but the squares of forces are the averages of phi^2 and phi^4. No lattice is in
it: a lattice action through a few points of the box is another action (lambda 4.70, 3.75, 2.57 at spacings 10/65,
10/32, 10/16 for lambda = 6).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...models.types import Vector
from .estimate import Estimate
from .observables import FORCES, Observables

__all__ = ["Couplings", "couplings"]


class Couplings(NamedTuple):
    """The fitted action.

    mass2: mu, added to m^2 of the free field: lambda delta/2 of a counterterm; quartic: lambda.
    """

    mass2: Estimate
    quartic: Estimate

    def __str__(self) -> str:
        return f"m^2 shifted by {self.mass2}, lambda {self.quartic}"


def couplings(kept: Observables, values: Vector, rows: Float[np.ndarray, "row number"]) -> Couplings:
    """Mu and lambda from averages, with errors to first order.

    Raises:
        ValueError: two fields; powers other than phi^2 and phi^4 in the potential, which these two cannot stand for.
    """
    theory = kept.theory
    powers = {e for e, _ in theory.potential.terms}
    if theory.potential.fields != 1 or powers - {(0,), (2,), (4,)}:
        raise ValueError(
            f"expected a potential of phi^2 and phi^4 of one field, got powers {sorted(powers)}; try fitting those of "
            "one field"
        )
    free, volume = theory.box.variance, theory.box.volume
    squares = values[-FORCES:]
    matrix = np.array([[squares[0], squares[1]], [squares[1], squares[2]]])
    square, fourth = kept.place((2,)), kept.place((4,))
    right = np.array(
        [
            volume * (free - values[square]),
            volume * (0.5 * free * values[square] - values[fourth] / 6.0),
        ]
    )
    theta = np.linalg.solve(matrix, right)
    moved = np.stack(
        [
            -volume * rows[:, square] - rows[:, -3] * theta[0] - rows[:, -2] * theta[1],
            volume * (0.5 * free * rows[:, square] - rows[:, fourth] / 6.0)
            - rows[:, -2] * theta[0]
            - rows[:, -1] * theta[1],
        ],
        axis=1,
    )
    found = np.linalg.solve(matrix, moved.T)
    return Couplings(Estimate(float(theta[0]), found[0]), Estimate(float(theta[1]), found[1]))
