"""phi^4 by construction: a scalar network in a periodic box, its parameters weighted by exp(-S) of a local potential.

    phi(x) = N^(-1/2) sum_i W_i A(p_i) cos(p_i.x + c_i),   P(theta) ~ P_0(theta) exp(-S),   S = int V_delta(phi_theta),

momenta p = 2 pi k/L, |k_i| <= K, drawn from the free propagator, uniform phases c. At infinite width the field without
weight is the free field of the box and with it the interacting one (arXiv:2307.03223, sec. 5). V_delta is V with its
counterterm (`potential.py`): in d = 1 delta is what the modes above the cutoff add to <phi^2>. In d = 2 they would add
more the higher the cutoff, and delta = -C takes off all of it, C that of the box: V is normal ordered, :V:, the only
divergence is gone, and m is the mass of which the mean field reminds.

A network is its Fourier coefficients q_a: N waves are added up at their places, one product with the table of waves
gives phi at more than r K nodes, where the mean of phi^r is exact, and the cost depends on the width only through the
adding up.
"""

from math import log
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from ..networks.independent import Independent
from ..networks.model import AbstractModel
from ..networks.momenta import Modes
from ..networks.network import Network
from ..networks.readouts import AbstractReadout, Readout, readout_law
from ..networks.scalar import ScalarMode
from ..refusals import is_whole
from ..types import Inputs, Vector
from .box import Box
from .phases import turned
from .potential import Potential

__all__ = ["BoxTheory", "Parameters"]

CUTOFF_ERROR = 0.01
_STEPS = 200  # of the mean field's mass
_WIDEST = 30.0  # decades between the amplitudes


class Parameters(NamedTuple):
    """What a network of the box is made of, (field, neuron) each; a readout of |W| = 1 is one, the phase has its sign.

    mode: number of the momentum; phase: c; readout: W.
    """

    mode: Int[Array, "*network field neuron"]
    phase: Float[Array, "*network field neuron"]
    readout: Float[Array, "*network field neuron"]


class BoxTheory(AbstractModel):
    """N waves a field in a periodic box, and the potential that their parameters are weighted by.

    A NumPyro model: sites `mode`, `phase` and, unless |W| = 1, `readout`, each (field, neuron), the field at the points
    as `phi` (and `phi_2` where there are two) and, with a potential, the factor `interaction`.

    Attributes:
        box: the box, its modes and the mass of the free field.
        width: number of neurons N of each field.
        potential: V(phi), or V(x, y) of two fields; none is the free field.
        readout: law of W; the default is a constant amplitude, |W| = 1.
        alpha: share of the propagator in the momenta (0) or, at -1, all of it in the amplitude A(p).
        counterterm: True adds what the modes above the cutoff do to V in d = 1, and orders V normally in d = 2; False
            leaves it out, which is said; a number is the variance of the modes that are made up for.

    Raises:
        ValueError: a potential that is not bounded below; a cutoff so low that it costs more than 1 % of the mass even
            with the counterterm; a counterterm that is not finite; a width below 1, an unknown readout.

    Example:
        >>> import jax
        >>> theory = BoxTheory(Box(length=10.0, modes=16), width=32, potential=Potential.phi4(6.0))
        >>> numpyro.handlers.seed(theory, jax.random.key(0))(np.zeros((3, 1))).shape
        (3,)
        >>> bool(theory.missing == theory.box.missing(0.0))
        True
    """

    box: Box
    width: int = eqx.field(static=True)
    potential: Potential = Potential()
    readout: Readout = eqx.field(static=True, default="rademacher")
    alpha: float = eqx.field(static=True, default=0.0)
    counterterm: bool | float = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if not isinstance(self.box, Box) or not isinstance(self.potential, Potential):
            raise ValueError(
                f"expected a Box and a Potential, got {self.box!r} and {self.potential!r}; try "
                "BoxTheory(Box(10.0, 32), 64, Potential.phi4(6.0))"
            )
        if not is_whole(self.width, 1):
            raise ValueError(
                f"expected width, the number of neurons, to be an integer >= 1, got {self.width!r}; try 64"
            )
        readout_law(self.readout).check()
        ratio = 1.0 + (self.box.cutoff / self.box.mass) ** 2
        if not abs(self.alpha) * log(ratio, 10) < _WIDEST:
            raise ValueError(
                f"expected amplitudes (p^2 + m^2)^alpha within {_WIDEST:.0f} decades, got alpha = {self.alpha}; try 0.0"
            )
        self.potential.check(self.box.mass)
        if not (isinstance(self.counterterm, int | float | np.number) and np.isfinite(self.counterterm)):
            raise ValueError(f"expected counterterm True, False or a variance, got {self.counterterm!r}; try True")
        if self.box.dimension == 1 and (error := self.cutoff_error) > CUTOFF_ERROR:
            least = int(np.ceil(self.box.modes * (error / CUTOFF_ERROR) ** (1.0 / 3.0)))
            raise ValueError(
                f"expected a cutoff that costs less than 1 % of the mass, got {100.0 * error:.2g} % with "
                f"{self.box.modes} modes in length {self.box.length:g}; try modes={least}"
            )

    @property
    def period(self) -> float:
        return self.box.length

    @property
    def missing(self) -> float:
        """The variance that the potential's counterterm makes up for, delta; -C in d = 2, zero without one."""
        if not isinstance(self.counterterm, bool):
            return float(self.counterterm)
        if not (self.counterterm and self.potential.terms):
            return 0.0
        if self.box.dimension == 2:
            return -self.box.variance
        return float(self.box.missing(0.0))

    @property
    def inserted(self) -> Potential:
        """The potential that the weights hold, with its counterterm and its constant."""
        return self.potential.smeared(self.missing)

    @property
    def law(self) -> AbstractReadout:
        return readout_law(self.readout)

    @property
    def constant_amplitude(self) -> bool:
        """Whether |W| = 1: then its sign is a phase, and nothing is drawn."""
        return self.law.moment(4) == 1.0

    @property
    def neuron(self) -> ScalarMode:
        box = self.box
        regulator = "lattice" if box.lattice else "box"
        return ScalarMode(box.mass, alpha=self.alpha, regulator=regulator, length=box.length, modes=box.modes)

    @property
    def free(self) -> Network:
        """The network without its potential, known to `exact`: one of the fields."""
        return Network(self.neuron, self.width, self.readout)

    @property
    def as_sum(self) -> Independent | None:
        return None if self.potential.terms else self.free.as_sum

    @property
    def even(self) -> bool:
        return True

    def wide(self, width: int) -> "BoxTheory":
        """The same theory of another width."""
        return BoxTheory(self.box, width, self.potential, self.readout, self.alpha, self.counterterm)

    def __call__(self, points: Inputs) -> Float[Array, " point"]:
        """Draw one network, register its weight, and return phi at the points."""
        x = jnp.asarray(points)
        if x.ndim != 2 or x.shape[1] != self.box.dimension:
            d = self.box.dimension
            raise ValueError(f"expected points of shape (point, {d}), got {x.shape}; try points[:, None] in d = 1")
        q = self.coefficients(self.draw())
        fields = self.field_at(q, points)
        for f in range(1, self.potential.fields):
            numpyro.deterministic(f"phi_{f + 1}", fields[f])
        if self.potential.terms:
            numpyro.factor("interaction", -self.action(q))
        return jnp.asarray(numpyro.deterministic("phi", fields[0]))

    def draw(self) -> Parameters:
        """The parameters, at the sites of a NumPyro program."""
        shape = [self.potential.fields, self.width]
        waves = self.box.waves
        weights = waves.share * waves.square ** -(1.0 + self.alpha)
        mode: Any = numpyro.sample("mode", Modes(weights).expand(shape).to_event(2))
        phase: Any = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi).expand(shape).to_event(2))
        if self.constant_amplitude:
            return Parameters(mode, phase, jnp.ones(shape))
        readout: Any = numpyro.sample("readout", self.law.draw().expand(shape).to_event(2))
        return Parameters(mode, phase, readout)

    def coefficients(self, parameters: Parameters) -> Float[Array, "field function"]:
        """q_a of each field, all waves added up."""
        return self.gathered(parameters, self.width)[..., 0, :]

    def gathered(self, parameters: Parameters, width: int) -> Float[Array, "field network function"]:
        """q_a of the networks of that width which the neurons make up, `width` at a time in their order."""
        waves, d, least = self.box.waves, self.box.dimension, self.box.modes + 1
        mode, (cos, sin) = parameters.mode, turned(parameters.phase)
        quarters = (cos, -sin, -cos, sin)  # cos(c + quarter pi/2)
        parts = jnp.stack([quarters[quarter] for quarter in waves.quarter], axis=-1)
        if d > 1:
            parts = parts * jnp.asarray(waves.sign)[mode]
        if not self.constant_amplitude:
            parts = parts * parameters.readout[..., None]
        if self.alpha:
            parts = parts * jnp.asarray(self.amplitudes)[mode][..., None]
        scale = width**-0.5 * (1.0 if self.alpha else self.amplitudes[0])
        fields, count = mode.shape[0], mode.shape[-1] // width
        place = (jnp.asarray(waves.place)[mode] if d > 1 else mode).reshape(fields * count, width)
        place = place + least**d * jnp.arange(fields * count)[:, None]
        # Cosines and sines of a momentum side by side, all networks in one row: one place to find, a third of the time.
        table = jnp.zeros((fields * count * least**d, 2**d)).at[place.ravel()].add(parts.reshape(-1, 2**d))
        table = table.reshape(fields * count, least**d, 2**d) * jnp.asarray(scale * self.box.norms)
        table = table.reshape((-1,) + (least,) * d + (2,) * d)
        for axis in range(d):  # cosines, then sines without that of k = 0
            table = jnp.moveaxis(table, (1 + axis, axis - d), (-1, -2))
            table = table.reshape(*table.shape[:-2], 2 * least)
            table = jnp.concatenate([table[..., :least], table[..., least + 1 :]], axis=-1)
            table = jnp.moveaxis(table, -1, 1 + axis)
        return table.reshape(fields, count, -1)

    @property
    def amplitudes(self) -> Vector:
        """A(p) of each momentum, (momentum,): A^2 = 2 Z (p^2 + m^2)^alpha, Z the sum of (p^2 + m^2)^-(1 + alpha)/V."""
        strength = self.box.power_integral(-1.0 - self.alpha)
        return (2.0 * strength * self.box.waves.square**self.alpha) ** 0.5

    def field_at(self, q: Float[Array, "*network function"], points: Inputs) -> Float[Array, "*network point"]:
        """The field of coefficients q at any points, (point, axis)."""
        x = np.asarray(points, dtype=float)
        basis = [self.box.functions(x[:, axis]) for axis in range(self.box.dimension)]
        table = basis[0] if len(basis) == 1 else np.einsum("pa,pb->pab", *basis).reshape(len(x), -1)
        return q @ jnp.asarray(table, dtype=q.dtype).T

    def on_nodes(self, q: Float[Array, "*network function"], degree: int) -> Float[Array, "*network node"]:
        """The field on a lattice on which the mean of a polynomial of that degree is exact, its nodes in one row."""
        table = jnp.asarray(self.box.synthesis(degree), dtype=q.dtype)
        if self.box.dimension == 1:
            return q @ table.T
        square = q.reshape(*q.shape[:-1], table.shape[1], table.shape[1])
        return jnp.einsum("na,...ab,mb->...nm", table, square, table).reshape(*q.shape[:-1], -1)

    def in_modes(self, nodes: Float[Array, "*network node"], degree: int) -> Float[Array, "*network function"]:
        """The average of a function with each u_a, from its values on the nodes: the other way round."""
        table = jnp.asarray(self.box.synthesis(degree), dtype=nodes.dtype)
        if self.box.dimension == 1:
            return nodes @ table / len(table)
        square = nodes.reshape(*nodes.shape[:-1], len(table), len(table))
        return jnp.einsum("na,...nm,mb->...ab", table, square, table).reshape(*nodes.shape[:-1], -1) / len(table) ** 2

    def action(self, q: Float[Array, "field function"]) -> Float[Array, ""]:
        """S = int V_delta(phi), exact."""
        inserted = self.inserted
        nodes = self.on_nodes(q, inserted.degree)
        return self.box.volume * jnp.mean(inserted(*nodes))

    def mean_mass(self) -> Vector:
        """The mean field's mass M of each field, M^2 = m^2 + <V''> over a Gaussian of <phi^2> = C(M) + delta, (field,).

        A first guess of the gap: 1.431 at lambda = 6, L = 10, in place of 1.405.
        """
        box, mass2 = self.box, np.full(self.potential.fields, self.box.mass**2)
        for _ in range(_STEPS):
            spread = [box.power_integral(-1.0, max(m2, 1e-4) ** 0.5) + self.missing for m2 in mass2]
            mass2 = 0.5 * (mass2 + box.mass**2 + self.potential.stiffness(*spread))
        return np.maximum(mass2, 1e-4) ** 0.5

    @property
    def cutoff_error(self) -> float:
        """About what the cutoff costs of the mass even with its counterterm, d = 1: a loop with one wave above it.

        dM_f^2 = (1/2) sum_abc V_fabc^2 sum_(|k| > K) 1/(L (p^2 + M^2)^2), V_fabc averaged over the mean field, of the
        field f for which it is largest: lambda^2/2 of one field.
        """
        if not self.potential.terms:
            return 0.0
        masses = self.mean_mass()
        around = self.potential.smeared(*(self.box.power_integral(-1.0, one) + self.missing for one in masses))
        cost = [
            square * self.box.missing_square(mass) / (4.0 * mass**2)
            for square, mass in zip(around.vertices, masses, strict=True)
        ]
        return float(max(cost))

    @property
    def words(self) -> str:
        """What is inserted, in words."""
        if not self.potential.terms:
            return "the free field"
        if self.missing:
            return f"a potential with its counterterm, delta = {self.missing:.6g}"
        if self.box.lattice and self.box.dimension == 1:
            return "a potential at the sites of a lattice"
        told = "a potential without counterterm"
        if self.box.dimension != 1:
            return told
        shift = self.potential.stiffness(float(self.box.missing(0.0)))
        share = float(np.max(np.abs(shift) / (2.0 * self.mean_mass() ** 2)))
        return f"{told}: the modes above the cutoff would add {100.0 * share:.2g} % to the mass"
