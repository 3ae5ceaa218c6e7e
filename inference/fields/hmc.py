"""Lattice phi^4 by hybrid Monte Carlo, many chains at once: the truth in two dimensions, where no spectrum gives it.

S = sum_x [sum_mu (phi_{x+mu} - phi_x)^2/2 + m2 phi_x^2/2 + lam phi_x^4] on a periodic lattice of any number of
dimensions, the action of `m.Chain` in one; `m.convert_lattice` leads to other conventions. A trajectory draws momenta,
integrates Hamilton's equations by n leapfrog steps and is accepted with probability min(1, e^(-dH)) (S. Duane et al.,
Phys. Lett. B195 (1987) 216). Step sizes vary by +-15 % from one trajectory to the next, so that no mode is an integer
number of periods long, and phi -> -phi, an exact symmetry, is applied at random.

Sites stand before chains in memory: a neighbour is a shifted row, and the loop over chains is what the processor runs
on. Half of the chains begin cold, at the bottom of a well, half hot: they have to agree before anything is returned.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats

from ...models.refusals import is_whole
from ...models.runtime import settled
from ...models.types import Points
from ..ensembles.samples import Samples
from .gamma import Averaged, gamma_method

__all__ = ["LatticeDraws", "sample_lattice"]

_SCAN = 20  # draws in one call of the compiled program
_TARGET = 0.8  # acceptance the step size aims at
_LEAST_ACCEPTANCE = 0.3
_MOST_RHAT = 1.1  # of <phi^2>, split in halves
_MOST_APART = 4.5  # sigma between chains begun hot and cold: once in 150,000 runs
_JITTER = 0.15  # of the step size
_MOST_STEPS = 200  # leapfrog steps of a trajectory
_LENGTHS = (0.5, 4.0)  # of a trajectory


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


class _State(NamedTuple):
    """Fields (site.., chain), the log of the step size, the length of a trajectory, trajectories so far."""

    phi: jax.Array
    log_step: jax.Array
    length: jax.Array
    count: jax.Array


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
    sites = _check(
        m2, lam, shape, {"chains": (chains, 4), "draws": (draws, 8), "warmup": (warmup, 40), "thin": (thin, 1)}
    )
    if length is not None and not 0.0 < length < 100.0:
        raise ValueError(f"expected a trajectory length above 0, got {length}; try leaving it out")
    shape = tuple(map(int, shape))
    with settled(double):
        kind = "float64" if double else "float32"
        couplings = np.array([m2, lam], kind)
        advance = _runner(len(shape))
        start_key, *keys = jax.random.split(key, 2 + -(-warmup // _SCAN) + -(-draws // _SCAN))
        state = _begin(start_key, couplings, np.asarray(length or 1.0, kind), shape, chains, kind)
        rounds = -(-warmup // _SCAN)
        for k in range(rounds):
            state, (kept, _) = advance(state, keys[k], couplings, 1, True)
            if length is None and k == rounds // 2:
                state = state._replace(length=np.asarray(_quarter(np.asarray(kept[-1])), kind))
        steps = int(np.clip(np.ceil(float(state.length) / np.exp(float(state.log_step))), 1, _MOST_STEPS))
        step = float(state.length) / steps if steps < _MOST_STEPS else float(np.exp(state.log_step))
        state = state._replace(log_step=np.asarray(np.log(step), kind), length=np.asarray(step * steps, kind))
        parts, accepted = [], []
        for k in range(-(-draws // _SCAN)):
            state, (kept, rates) = advance(state, keys[rounds + k], couplings, thin, False)
            parts.append(np.asarray(kept))
            accepted.append(np.asarray(rates))
    fields = np.concatenate(parts)[:draws].reshape(draws, sites, chains)
    fields = np.ascontiguousarray(np.moveaxis(fields, 2, 0))
    rate = float(np.mean(np.concatenate(accepted)[:draws]))
    rhat, apart = _judge(fields, rate, draws)
    formula = f"S = sum_x [sum_mu (d_mu phi)^2/2 + {m2:g} phi^2/2 + {lam:g} phi^4]".replace("+ -", "- ")
    return LatticeDraws(fields, shape, rate, step, steps, thin, rhat, apart, formula)


def _check(m2: Any, lam: Any, shape: Any, counts: dict[str, tuple[Any, int]]) -> int:
    """The number of sites, or a refusal."""
    numbers = all(isinstance(x, int | float | np.number) and np.isfinite(x) for x in (m2, lam))
    if not numbers or lam < 0.0 or (lam == 0.0 and m2 <= 0.0):
        raise ValueError(
            f"expected an action bounded below, lam > 0 or lam = 0 with m2 > 0, got lam = {lam}, m2 = {m2}; try lam=0.1"
        )
    axes = shape if isinstance(shape, tuple | list) else ()
    if not axes or not all(is_whole(a, 1) for a in axes):
        raise ValueError(f"expected a shape like (16,) or (8, 8), got {shape!r}; try shape=(8, 8)")
    for name, (value, least) in counts.items():
        if not is_whole(value, least):
            raise ValueError(f"expected {name} >= {least}, got {value!r}; try leaving it out")
    return prod(axes)


@partial(jax.jit, static_argnames=("shape", "chains", "kind"))
def _begin(
    key: jax.Array, couplings: jax.Array, length: jax.Array, shape: tuple[int, ...], chains: int, kind: str
) -> _State:
    """Even chains cold, at the bottom of a well; odd ones hot, a sign of its own and twice the spread at every site."""
    m2, lam = couplings
    well = jnp.sqrt(jnp.maximum(0.0, -m2) / jnp.where(lam > 0.0, 4.0 * lam, 1.0))
    stiff = 2.0 * len(shape) + jnp.abs(m2) + 4.0 * jnp.sqrt(lam)
    noise_key, sign_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (*shape, chains), kind) / jnp.sqrt(stiff)
    signs = jax.random.rademacher(sign_key, (*shape, chains), kind)
    hot = jnp.arange(chains) % 2 == 1
    phi = jnp.where(hot, well * signs + 2.0 * noise, well * signs[(0,) * len(shape)] + 0.1 * noise)
    step = 0.5 / jnp.sqrt(stiff + 2.0 * len(shape))
    return _State(phi, jnp.log(step), length, jnp.zeros((), kind))


def _quarter(phi: np.ndarray) -> float:
    """A quarter period of the slowest mode: its variance is one over its frequency squared, (site.., chain)."""
    axes = tuple(range(phi.ndim - 1))
    power = np.abs(np.fft.fftn(phi, axes=axes)) ** 2 / prod(phi.shape[:-1])
    slowest = float(np.max(power.mean(axis=-1)))
    return float(np.clip(0.5 * np.pi * np.sqrt(slowest), *_LENGTHS))


@lru_cache(maxsize=8)
def _runner(dimensions: int) -> Callable[..., Any]:
    """advance(state, key, couplings, thin, adapt) -> the state some draws later, and (fields, acceptance) of each."""

    def force(phi: jax.Array, couplings: jax.Array) -> jax.Array:
        around = sum(jnp.roll(phi, way, axis) for axis in range(dimensions) for way in (1, -1))
        return around - phi * (2.0 * dimensions + couplings[0] + 4.0 * couplings[1] * phi * phi)

    def local(phi: jax.Array, p: jax.Array, couplings: jax.Array) -> jax.Array:
        """H of each site and chain: differences of it round off less than those of the sum."""
        bonds = sum((jnp.roll(phi, -1, axis) - phi) ** 2 for axis in range(dimensions))
        square = phi * phi
        return 0.5 * (p * p + bonds + couplings[0] * square) + couplings[1] * square * square

    def trajectory(state: _State, key: jax.Array, couplings: jax.Array, adapt: jax.Array) -> tuple[_State, jax.Array]:
        p_key, u_key, j_key = jax.random.split(key, 3)
        kind, start = state.phi.dtype, state.phi
        momenta = jax.random.normal(p_key, start.shape, kind)
        uniform = jax.random.uniform(u_key, (2, start.shape[-1]), kind)
        eps = jnp.exp(state.log_step) * (1.0 + _JITTER * jax.random.uniform(j_key, (), kind, -1.0, 1.0))
        count = jnp.clip(jnp.round(state.length / jnp.exp(state.log_step)), 1, _MOST_STEPS).astype(int)

        def leap(_: Any, both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            phi, p = both
            phi = phi + eps * p
            return phi, p + eps * force(phi, couplings)

        half = 0.5 * eps
        phi, p = jax.lax.fori_loop(0, count, leap, (start, momenta + half * force(start, couplings)))
        p = p - half * force(phi, couplings)
        change = jnp.sum(local(phi, p, couplings) - local(start, momenta, couplings), axis=tuple(range(dimensions)))
        chance = jnp.where(jnp.isfinite(change), jnp.exp(-jnp.maximum(change, 0.0)), 0.0)
        phi = jnp.where(uniform[0] < chance, phi, start) * jnp.where(uniform[1] < 0.5, -1.0, 1.0).astype(kind)
        rate = jnp.mean(chance)
        moved = adapt * (rate - _TARGET) * 1.5 / (1.0 + 0.1 * state.count)
        return _State(phi, state.log_step + moved, state.length, state.count + 1.0), rate

    def advance(
        state: _State, key: jax.Array, couplings: jax.Array, thin: jax.Array, adapt: jax.Array
    ) -> tuple[_State, tuple[jax.Array, jax.Array]]:
        def draw(state: _State, key: jax.Array) -> tuple[_State, tuple[jax.Array, jax.Array]]:
            def once(k: Any, both: tuple[_State, jax.Array]) -> tuple[_State, jax.Array]:
                state, rate = trajectory(both[0], jax.random.fold_in(key, k), couplings, adapt)
                return state, both[1] + rate / thin

            state, rate = jax.lax.fori_loop(0, thin, once, (state, jnp.zeros((), state.phi.dtype)))
            return state, (state.phi, rate)

        return jax.lax.scan(draw, state, jax.random.split(key, _SCAN))

    return jax.jit(advance)


def _judge(fields: np.ndarray, acceptance: float, draws: int) -> tuple[float, float]:
    """R-hat of <phi^2> and how far hot and cold chains are apart, or a refusal."""
    if not acceptance >= _LEAST_ACCEPTANCE:
        raise ValueError(
            f"expected an acceptance of at least {_LEAST_ACCEPTANCE}, got {acceptance:.2g}; try a longer warmup=, or a "
            "shorter length="
        )
    square = np.mean(np.square(fields, dtype=float), axis=2)
    rhat = float(np.asarray(array_stats.rhat(square, chain_axis=0, draw_axis=1, method="split")))
    cold, hot = square[0::2].mean(axis=1), square[1::2].mean(axis=1)
    spread = np.sqrt(cold.var(ddof=1) / len(cold) + hot.var(ddof=1) / len(hot))
    apart = float(abs(cold.mean() - hot.mean()) / spread) if spread > 0.0 else float("inf")
    if not (rhat <= _MOST_RHAT and apart <= _MOST_APART):
        raise ValueError(
            f"expected chains that agree on <phi^2>, R-hat at most {_MOST_RHAT} and hot and cold ones within "
            f"{_MOST_APART} sigma, got R-hat {rhat:.3f} and {apart:.1f} sigma after {draws} draws; try thin=10, a "
            "longer warmup=, or more draws"
        )
    return rhat, apart
