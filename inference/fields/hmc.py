"""Lattice phi^4 by hybrid Monte Carlo, many chains at once: the truth in two dimensions, where no spectrum gives it.

S = sum_x [sum_mu (phi_{x+mu} - phi_x)^2/2 + m2 phi_x^2/2 + lam phi_x^4] on a periodic lattice of any number of
dimensions, the action of `m.Chain` in one; `m.convert_lattice` leads to other conventions. How chains move and when
they are believed: `leapfrog.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...models.refusals import is_whole
from ...models.types import Points
from ..engines.memory import expect_memory
from ..ensembles.samples import Samples
from .gamma import Averaged, gamma_method
from .leapfrog import AbstractSystem, agreement, run

__all__ = ["LatticeDraws", "sample_lattice"]


@dataclass(frozen=True, eq=False)
class LatticeDraws:
    """Fields of a lattice and how well they were drawn.

    Attributes:
        fields: (chain, draw, site), sites in C order.
        shape: sites along each axis.
        acceptance: mean over the draws that are kept.
        step: leapfrog step size.
        steps: leapfrog steps of a trajectory.
        thin: trajectories from one draw to the next.
        rhat: split R-hat of <phi^2> between chains.
        apart: sigma between the <phi^2> of chains that began hot and cold.
        formula: S.
    """

    fields: np.ndarray = field(repr=False)
    shape: tuple[int, ...]
    acceptance: float
    step: float
    steps: int
    thin: int
    rhat: float
    apart: float
    formula: str

    @cached_property
    def points(self) -> Points:
        """Coordinates of the sites, (site, axis)."""
        grid = np.meshgrid(*[np.arange(float(a)) for a in self.shape], indexing="ij")
        return np.stack(grid, axis=-1).reshape(-1, len(self.shape))

    @cached_property
    def samples(self) -> Samples:
        """The fields as a source, chains one after the other: what `inf.measure` and `inf.fit` take."""
        chains, _, sites = self.fields.shape
        return Samples(self.fields.reshape(-1, sites), self.points, chains=chains, name="lattice fields")

    def mean(self, observable: Callable[[np.ndarray], Any], function: Callable[[Any], Any] | None = None) -> Averaged:
        """The average of an observable, or a function of several averages, with its error by the Gamma method.

        Args:
            observable: fields (.., site), float64 -> (..), or (.., observable) with a function.
            function: means (observable,) -> number.
        """
        parts = [np.asarray(observable(np.asarray(chain, dtype=float))) for chain in self.fields]
        return gamma_method(np.stack(parts), function)

    @property
    def square(self) -> Averaged:
        """<phi^2>."""
        return self.mean(lambda phi: np.mean(phi**2, axis=-1))

    @property
    def susceptibility(self) -> Averaged:
        """<M^2>/V, M = sum_x phi_x."""
        return self.mean(lambda phi: np.sum(phi, axis=-1) ** 2 / phi.shape[-1])

    def __str__(self) -> str:
        chains, draws, _ = self.fields.shape
        return (
            f"{chains} chains x {draws} fields on {' x '.join(map(str, self.shape))} of {self.formula}: <phi^2> "
            f"{self.square}; acceptance {self.acceptance:.2f} with {self.steps} steps of {self.step:.3g}, R-hat "
            f"{self.rhat:.3f}, hot and cold {self.apart:.1f} sigma apart"
        )


@dataclass(frozen=True)
class _Lattice(AbstractSystem):
    """The action at couplings (m2, lam), fields (site.., chain): a neighbour is a shifted row."""

    shape: tuple[int, ...]

    def force(self, phi: jax.Array, couplings: Any) -> jax.Array:
        around = sum(jnp.roll(phi, way, axis) for axis in range(len(self.shape)) for way in (1, -1))
        return around - phi * (2.0 * len(self.shape) + couplings[0] + 4.0 * couplings[1] * phi * phi)

    def change(self, end: tuple[jax.Array, jax.Array], start: tuple[jax.Array, jax.Array], couplings: Any) -> jax.Array:
        sites = tuple(range(len(self.shape)))

        def local(phi: jax.Array, p: jax.Array) -> jax.Array:
            bonds = sum((jnp.roll(phi, -1, axis) - phi) ** 2 for axis in sites)
            square = phi * phi
            return 0.5 * (p * p + bonds + couplings[0] * square) + couplings[1] * square * square

        return jnp.sum(local(*end) - local(*start), axis=sites)

    def begin(self, key: jax.Array, couplings: Any, chains: int, kind: str) -> tuple[jax.Array, jax.Array]:
        """Cold ones at the bottom of a well; hot ones with a sign of its own and twice the spread at every site."""
        m2, lam = couplings
        well = jnp.sqrt(jnp.maximum(0.0, -m2) / jnp.where(lam > 0.0, 4.0 * lam, 1.0))
        stiff = 2.0 * len(self.shape) + jnp.abs(m2) + 4.0 * jnp.sqrt(lam)
        noise_key, sign_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (*self.shape, chains), kind) / jnp.sqrt(stiff)
        signs = jax.random.rademacher(sign_key, (*self.shape, chains), kind)
        hot = jnp.arange(chains) % 2 == 1
        phi = jnp.where(hot, well * signs + 2.0 * noise, well * signs[(0,) * len(self.shape)] + 0.1 * noise)
        return phi, 0.5 / jnp.sqrt(stiff + 2.0 * len(self.shape))

    def slowest(self, phi: np.ndarray) -> float:
        power = np.abs(np.fft.fftn(phi, axes=tuple(range(len(self.shape))))) ** 2 / prod(self.shape)
        return float(np.max(power.mean(axis=-1)))


def sample_lattice(
    m2: float,
    lam: float,
    shape: tuple[int, ...],
    *,
    key: jax.Array,
    chains: int = 256,
    draws: int = 100,
    warmup: int = 200,
    thin: int = 1,
    length: float | None = None,
    double: bool = False,
) -> LatticeDraws:
    """Draw fields of periodic lattice phi^4 by hybrid Monte Carlo, many chains at once.

    Args:
        m2: of S = sum_x [sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + lam phi^4].
        lam: its quartic coupling.
        shape: sites along each axis, (16,) or (8, 8).
        key: `jax.random.key(seed)`.
        chains: run at once; below a few hundred the processor idles.
        draws: fields kept of each chain.
        warmup: trajectories thrown away, in which step size and length are found; whole 20s.
        thin: trajectories from one kept field to the next.
        length: of a trajectory; default a quarter period of the slowest mode, as the warm-up saw it.
        double: float64 in place of float32.

    Raises:
        ValueError: an action unbounded below; a shape that is none; an acceptance below .3, an R-hat of <phi^2> above
            1.1, or chains begun hot and cold that disagree by 4.5 sigma, each with its number.

    Example, the chain whose exact <phi^2> is .363351:
        >>> drawn = sample_lattice(1.0, 0.1, (16,), key=jax.random.key(0), chains=64, draws=100)
        >>> found = drawn.square
        >>> bool(abs(found.mean - 0.363351) < 5 * found.error), drawn.fields.shape
        (True, (64, 100, 16))
    """
    shape = _checked(m2, lam, shape)
    size = (24.0 if double else 16.0) * chains * draws * prod(shape)  # as drawn, in order, and their squares
    expect_memory(size, f"{chains} chains x {draws} fields of {prod(shape)} sites", "fewer of one of them")
    system, couplings = _Lattice(shape), np.array([m2, lam])
    drawn = run(
        system, couplings, key=key, chains=chains, draws=draws, warmup=warmup, thin=thin, length=length, double=double
    )
    fields = np.ascontiguousarray(np.moveaxis(drawn.fields.reshape(draws, prod(shape), chains), 2, 0))
    rhat, apart = agreement(np.mean(np.square(fields, dtype=float), axis=2))
    formula = f"S = sum_x [sum_mu (d_mu phi)^2/2 + {m2:g} phi^2/2 + {lam:g} phi^4]".replace("+ -", "- ")
    return LatticeDraws(fields, shape, drawn.acceptance, drawn.step, drawn.steps, thin, rhat, apart, formula)


def _checked(m2: Any, lam: Any, shape: Any) -> tuple[int, ...]:
    """The sites along each axis, or a refusal."""
    numbers = all(isinstance(x, int | float | np.number) and np.isfinite(x) for x in (m2, lam))
    if not numbers or lam < 0.0 or (lam == 0.0 and m2 <= 0.0):
        raise ValueError(
            f"expected an action bounded below, lam > 0 or lam = 0 with m2 > 0, got lam = {lam}, m2 = {m2}; try lam=0.1"
        )
    axes = shape if isinstance(shape, tuple | list) else ()
    if not axes or not all(is_whole(a, 1) for a in axes):
        raise ValueError(f"expected a shape like (16,) or (8, 8), got {shape!r}; try shape=(8, 8)")
    return tuple(map(int, axes))
