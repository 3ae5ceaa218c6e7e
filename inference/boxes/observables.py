"""What is kept of each network of a box: its spectrum along an axis, box averages of powers of the field, its action.

P_k with G(t) = sum_k P_k cos(p_k t) (of the field integrated over the other axes, if there are any), k = 0 .. K of each
field, and the averages of phi^2, phi^4 and of every power that the potential has. Under the free network all their
means are known exactly, at every width. Last come the squares of forces that a fit of the action asks for
(`couplings.py`): with D_a = V (p_a^2 + m^2) and f_a = dT/dq_a of T_2 = int phi^2/2 and T_4 = int phi^4/4!, the sums of
f_2 f_2/D, f_2 f_4/D, f_4 f_4/D over the modes of the first field.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models.boxes.potential import monomial
from ...models.boxes.theory import BoxTheory
from ...models.types import Vector

__all__ = ["FORCES", "Observables"]

FORCES = 3


class Observables(eqx.Module):
    """The numbers kept of a network, in order: the spectra of the fields, then the averages of the powers.

    Example:
        >>> from nnft import models as m
        >>> kept = Observables(m.BoxTheory(m.Box(10.0, 8), 16))
        >>> kept.powers, kept.count
        (((2,), (4,)), 14)
        >>> bool(kept.prior[0] == 0.1)  # the zero mode, 1/(L m^2)
        True
    """

    theory: BoxTheory

    @property
    def powers(self) -> tuple[tuple[int, ...], ...]:
        """Powers of the fields whose averages are kept."""
        fields = self.theory.potential.fields
        own = {tuple(r if f == g else 0 for g in range(fields)) for f in range(fields) for r in (2, 4)}
        mixed = {(2, 2)} if fields == 2 else set()
        return tuple(sorted(own | mixed | {e for e, _ in self.theory.inserted.terms if any(e)}))

    @property
    def modes(self) -> int:
        """K + 1, the length of a spectrum."""
        return self.theory.box.modes + 1

    @property
    def known(self) -> int:
        """How many of the numbers have a free mean that is known: all but the squares of forces."""
        return self.theory.potential.fields * self.modes + len(self.powers)

    @property
    def count(self) -> int:
        return self.known + FORCES

    def spectrum(self, field: int) -> slice:
        """Where the spectrum of a field lies."""
        return slice(field * self.modes, (field + 1) * self.modes)

    def place(self, powers: tuple[int, ...]) -> int:
        """Where the average of a power lies."""
        return self.theory.potential.fields * self.modes + self.powers.index(powers)

    def __call__(self, q: Float[Array, "field function"]) -> tuple[Float[Array, " number"], Float[Array, ""]]:
        """The numbers of one network and its action."""
        inserted = self.theory.inserted
        nodes = self.theory.on_nodes(q, max(4, inserted.degree))
        averages = {e: jnp.mean(monomial(nodes, e)) for e in self.powers}
        action = sum((v * averages[e] for e, v in inserted.terms if any(e)), jnp.zeros(()))
        parts = [self._spectra(q).ravel(), jnp.stack(list(averages.values())), self._forces(q[0], nodes[0])]
        return jnp.concatenate(parts), self.theory.box.volume * (action + inserted.constant)

    def _forces(self, q: Float[Array, " function"], nodes: Float[Array, " node"]) -> Float[Array, "3"]:
        box = self.theory.box
        curvature = jnp.asarray(box.curvature, dtype=q.dtype)
        second, fourth = (
            box.volume * q,
            box.volume / 6.0 * self.theory.in_modes(nodes**3, max(4, self.theory.inserted.degree)),
        )
        return jnp.stack(
            [jnp.sum(a * b / curvature) for a, b in ((second, second), (second, fourth), (fourth, fourth))]
        )

    def _spectra(self, q: Float[Array, "field function"]) -> Float[Array, "field mode"]:
        box = self.theory.box
        if box.dimension == 1:
            square = q**2
        else:
            table = q.reshape(len(q), 2 * box.modes + 1, -1)
            square = 0.5 * box.length * (table[:, :, 0] ** 2 + table[:, 0] ** 2)
        cosines, sines = square[:, : self.modes], square[:, self.modes :]
        return cosines + jnp.pad(sines, ((0, 0), (1, 0)))

    @property
    def prior(self) -> Vector:
        """The exact means under the free network of those that are known, (number,)."""
        return self.prior_at(self.theory.width)

    def prior_at(self, width: int) -> Vector:
        """The same at another width, (number,)."""
        theory = self.theory.wide(width)
        top = max([4, *(max(e) for e in self.powers)])
        site = theory.free.as_sum.site_moments(np.zeros((1, theory.box.dimension)), top)[:, 0]
        moments = np.concatenate([[1.0], site])
        spectra = np.tile(theory.box.spectrum, theory.potential.fields)
        return np.concatenate([spectra, [np.prod(moments[np.array(e) // 2]) for e in self.powers]])
