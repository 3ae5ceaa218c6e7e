"""The field theory that networks of a box become at infinite width, drawn mode by mode by hybrid Monte Carlo.

    S(q) = 1/2 sum_a V (p_a^2 + m^2) q_a^2 + int V_delta(phi_q),

q_a the coefficients of `m.Box`, the potential with the counterterm of the theory: the same cutoff as the networks have,
so that nothing but their width is between the two, in d = 2 as well. Chains move in units of the mean field of mass M,
q_a = a_a (V (p_a^2 + M^2))^(-1/2), where all modes have nearly one period, a quarter of which is a trajectory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...models.boxes.potential import monomial
from ...models.boxes.theory import BoxTheory
from ...models.runtime import settled
from ...models.types import Points
from ..boxes.couplings import Couplings, couplings
from ..boxes.observables import Observables
from ..engines.memory import expect_memory
from ..ensembles.samples import Samples
from .gamma import Averaged, gamma_method
from .leapfrog import AbstractSystem, agreement, run

__all__ = ["BoxDraws", "sample_box"]

_STEP = 0.4  # to begin with, in units in which the mean field has period 2 pi


@dataclass(frozen=True, eq=False)
class BoxDraws:
    """Modes of the interacting field of a box and how well they were drawn.

    Attributes:
        modes: q_a of every field, (chain, draw, field, function).
        theory: the box, the potential and its counterterm; the width plays no part.
        acceptance: mean over the draws that are kept.
        step: leapfrog step size.
        steps: leapfrog steps of a trajectory.
        rhat: split R-hat between chains of the mean of phi^2 over the box.
        apart: sigma between those of chains that began hot and cold.
    """

    modes: Float[np.ndarray, "chain draw field function"] = field(repr=False)
    theory: BoxTheory
    acceptance: float
    step: float
    steps: int
    rhat: float
    apart: float

    def mean(self, observable: Callable[[np.ndarray], Any], function: Callable[[Any], Any] | None = None) -> Averaged:
        """The average of an observable of the modes, or a function of several averages, by the Gamma method.

        Args:
            observable: q (.., field, function) -> numbers (..), or (.., observable) with a function.
            function: means (observable,) -> number.
        """
        return gamma_method(np.asarray(observable(self.modes)), function)

    def square(self, field: int = 0) -> Averaged:
        """<phi^2> of the modes; with the theory's counterterm, that of all modes is larger by `theory.missing`."""
        return self.mean(lambda q: np.sum(q[..., field, :] ** 2, axis=-1))

    def susceptibility(self, field: int = 0) -> Averaged:
        """Int <phi(x) phi(0)> dx = V <q_0^2>."""
        return self.mean(lambda q: self.theory.box.volume * q[..., field, 0] ** 2)

    def correlator(self, time: float, field: int = 0) -> Averaged:
        """<phi(x) phi(y)>, x and y a time apart along the first axis, integrated over the other one in d = 2."""
        box, count = self.theory.box, 2 * self.theory.box.modes + 1
        wave = np.cos(np.concatenate([box.momenta, box.momenta[1:]]) * time)
        scale = box.length ** (box.dimension - 1)

        def value(q: np.ndarray) -> np.ndarray:
            along = q[..., field, :].reshape(*q.shape[:-2], count, -1)[..., 0]
            return scale * np.sum(wave * along**2, axis=-1)

        return self.mean(value)

    def couplings(self) -> Couplings:
        """m^2 and lambda of the action that these fields have, by score matching in their modes; errors from chains.

        Raises:
            ValueError: two fields; powers other than phi^2 and phi^4 in the potential.
        """
        kept = Observables(self.theory)
        numbers = _numbers(kept)
        with settled(False):
            each = np.stack([np.asarray(numbers(jnp.asarray(one)), dtype=float) for one in self.modes.swapaxes(0, 1)])
        means = each.mean(axis=0)  # (chain, number)
        chains = len(means)
        return couplings(kept, means.mean(axis=0), (means - means.mean(axis=0)) / (chains * (chains - 1.0)) ** 0.5)

    def samples(self, points: Points, field: int = 0) -> Samples:
        """The field at points as a source, chains one after the other: what `inf.measure` and `inf.fit` take."""
        chains, _, _, functions = self.modes.shape
        flat = jnp.asarray(self.modes[:, :, field].reshape(-1, functions))
        return Samples(np.asarray(self.theory.field_at(flat, points)), points, chains=chains, name="fields of a box")

    def __str__(self) -> str:
        chains, draws = self.modes.shape[:2]
        box = self.theory.box
        return (
            f"{chains} chains x {draws} fields in d = {box.dimension}, L = {box.length:g}, |k| <= {box.modes}, of "
            f"{self.theory.words}: <phi^2> {self.square()}; acceptance {self.acceptance:.2f} with {self.steps} steps "
            f"of {self.step:.3g}, R-hat {self.rhat:.3f}, hot and cold {self.apart:.1f} sigma apart"
        )


@lru_cache(maxsize=16)
def _numbers(kept: Observables) -> Callable[[jax.Array], jax.Array]:
    """Coefficients of many fields -> what is kept of each."""
    return jax.jit(jax.vmap(lambda q: kept(q)[0]))


class _Numbers(NamedTuple):
    """What may change without a new program.

    values: coefficients of the monomials of the potential; units: q_a over a_a, the spread of each mode at the mean
    field's mass, (field, function, 1); stiffness: of the free part, S = 1/2 sum_a stiffness_a a_a^2 + int V.
    """

    values: Any
    units: Any
    stiffness: Any


@dataclass(frozen=True)
class _Modes(AbstractSystem):
    """The action in units of the mean field, a (field, function, chain), of a free theory and a set of monomials."""

    free: BoxTheory
    powers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, theory: BoxTheory) -> tuple["_Modes", _Numbers]:
        inserted, box = theory.inserted, theory.box
        even = product(range(0, inserted.degree + 1, 2), repeat=inserted.fields)
        powers = tuple(e for e in even if 0 < sum(e) <= inserted.degree)
        extra = box.volume * (theory.mean_mass() ** 2 - box.mass**2)
        units = ((box.curvature + extra[:, None]) ** -0.5)[..., None]
        values = np.array([inserted.coefficient(*e) for e in powers])
        free = BoxTheory(box, 1, counterterm=False)
        return cls(free, powers), _Numbers(values, units, box.curvature[:, None] * units**2)

    def action(self, a: jax.Array, numbers: _Numbers) -> jax.Array:
        """What the potential adds, (chain,)."""
        nodes = self.free.on_nodes(jnp.moveaxis(a * numbers.units, 2, 1), max(map(sum, self.powers)))
        terms = [numbers.values[k] * monomial(tuple(nodes), e) for k, e in enumerate(self.powers)]
        return self.free.box.volume * jnp.mean(sum(terms[1:], terms[0]), axis=-1)

    def force(self, phi: jax.Array, couplings: _Numbers) -> jax.Array:
        return -couplings.stiffness * phi - jax.grad(lambda a: jnp.sum(self.action(a, couplings)))(phi)

    def change(
        self, end: tuple[jax.Array, jax.Array], start: tuple[jax.Array, jax.Array], couplings: _Numbers
    ) -> jax.Array:
        (phi, p), (before, momenta) = end, start
        free = couplings.stiffness * (phi * phi - before * before) + p * p - momenta * momenta
        return 0.5 * jnp.sum(free, axis=(0, 1)) + self.action(phi, couplings) - self.action(before, couplings)

    def begin(self, key: jax.Array, couplings: _Numbers, chains: int, kind: str) -> tuple[jax.Array, jax.Array]:
        noise = jax.random.normal(key, (*couplings.units.shape[:2], chains), kind)
        hot = jnp.arange(chains) % 2 == 1
        return noise * jnp.where(hot, 1.5, 0.1).astype(kind), jnp.asarray(_STEP, kind)

    def slowest(self, phi: np.ndarray) -> float:
        return float(np.max(np.mean(phi**2, axis=-1)))


def sample_box(
    theory: BoxTheory,
    *,
    key: jax.Array,
    chains: int = 128,
    draws: int = 100,
    warmup: int = 100,
    thin: int = 1,
    length: float | None = None,
    double: bool = False,
) -> BoxDraws:
    """Draw the interacting field of a box with its cutoff, the limit of infinite width of its networks.

    Args:
        theory: box, potential and counterterm; any width.
        key: `jax.random.key(seed)`.
        chains: run at once.
        draws: fields kept of each chain.
        warmup: trajectories thrown away, in which step size and length are found; whole 20s.
        thin: trajectories from one kept field to the next.
        length: of a trajectory; default a quarter period of the slowest mode, as the warm-up saw it.
        double: float64 in place of float32.

    Raises:
        ValueError: an acceptance below .3, an R-hat of <phi^2> above 1.1, or chains begun hot and cold that disagree by
            4.5 sigma, each with its number.

    Example, the oscillator at lambda = 1, whose <x^2> is .452844:
        >>> from nnft import models as m
        >>> theory = m.BoxTheory(m.Box(10.0, 8), 1, m.Potential.phi4(1.0))
        >>> found = sample_box(theory, key=jax.random.key(0), chains=64, draws=40).square()
        >>> bool(abs(found.mean + theory.missing - 0.452844) < 5 * found.error)
        True
    """
    system, numbers = _Modes.of(theory)
    size = (32.0 if double else 28.0) * chains * draws * numbers.units.size  # as drawn, in units, in order, and squares
    expect_memory(size, f"{chains} chains x {draws} fields of {numbers.units.size} modes", "fewer of one of them")
    drawn = run(
        system, numbers, key=key, chains=chains, draws=draws, warmup=warmup, thin=thin, length=length, double=double
    )
    modes = np.moveaxis(drawn.fields, 3, 0).astype(float) * numbers.units[..., 0]
    rhat, apart = agreement(np.sum(modes**2, axis=(2, 3)))
    return BoxDraws(modes, theory, drawn.acceptance, drawn.step, drawn.steps, rhat, apart)
