"""Averages over one neuron from points that fill the cube evenly: the error falls nearly like 1/n, not like n^(-1/2).

<s_1 ... s_r> is an integral over the few numbers that make a neuron, u in (0,1)^d, each site drawn as F^-1(u)
(`quantiles.py`). R independent scrambles of the first 2^k points of a Sobol sequence give R independent unbiased means,
whose spread is the error. Scrambles are Owen's nested uniform ones (A. B. Owen, J. Complexity 14 (1998) 466), every bit
of a coordinate turned by a random bit of its own for each value of the bits before it, with errors that tend to a
normal law (W.-L. Loh, Ann. Stat. 31 (2003) 1282). Tried and left out: a random triangular matrix of bits and a shift
have the same variance, but for smooth neurons a few scrambles make most of it (excess 20 to 50 at 2^14 points).
Moments are unbiased; cumulants are those of the pooled moments, off by a share of their error of about half the
relative error of the two-point function (measured in `make proof`: below a hundredth of the error).

A neuron that grows without bound meets the edges of the cube, where one point of a scramble outweighs all others: the
error falls slowly, and its law is so skewed that intervals are too short (G6c of ReLU, 16 scrambles of 2^12: 95 % hold
91 %). Such averages are taken over v in the cube with u = v^2 (3 - 2v) and weights 6 v (1 - v) for each axis, which
vanish there: the same integral, 10 to 80 times smaller errors. For bounded neurons of many numbers the weights cost
more than they bring, so that a pilot of scrambles of its own decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.primitives import Messenger
from scipy.stats import qmc
from tqdm import tqdm

from ..models.correlators import SCRAMBLES_PER_COMPONENT
from ..models.types import Points
from .ensembles import ByContent, is_plain
from .moments import moment_sums
from .quantiles import numbers_taken, quantile

__all__ = [
    "LEAST_POINTS",
    "MAX_DIMENSIONS",
    "Neuron",
    "Plan",
    "Sobol",
    "enough_scrambles",
    "plan_points",
    "read_dimensions",
    "sobol_moments",
]

LEAST_SCRAMBLES = 16  # behind an error bar: the spread of fewer means is too rough
LEAST_POINTS = 6  # log2 of the points of a scramble below which little is gained over independent draws
# Above, `space=None` takes independent draws: the gain at equal numbers, 600 to 18 000 in two dimensions, falls with
# each one and is not known beforehand.
MAX_DIMENSIONS = 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: consecutive nodes lie far apart
_BITS = 52  # of a coordinate: (y + 1/2) 2^-52 is a double strictly between 0 and 1
_PIECE = 12  # log2 of the points whose monomials are in cache together
_CALL = 16  # log2 of the points of one call
_CLEAR = 4.0  # ratio of variances of two pilots of 16 scrambles that chance exceeds once in 200 times
_PILOT = 2**32 - 2  # folded into the key of a pilot


@dataclass(frozen=True)
class Sobol:
    """Scrambled Sobol points instead of independent draws of a neuron: `inf.measure(..., sampling=inf.Sobol(1024))`.

    Attributes:
        scrambles: number R of independent scrambles, whose spread is the error (R - 1 degrees of freedom); 16 give the
            smallest error and an error bar, but a chi^2, eps4 and fits need 5 for every component. Default: 5 for every
            component measured, or as many as leave each 64 points.

    Raises:
        ValueError: fewer than 16 scrambles.

    Example:
        >>> Sobol(scrambles=1024)
        Sobol(scrambles=1024)
    """

    scrambles: int | None = None

    def __post_init__(self) -> None:
        r = self.scrambles
        if r is not None and (isinstance(r, bool) or not isinstance(r, int | np.integer) or r < LEAST_SCRAMBLES):
            raise ValueError(
                f"expected at least {LEAST_SCRAMBLES} scrambles, whose spread is the error, got {r!r}; "
                f"try Sobol(scrambles={LEAST_SCRAMBLES})"
            )


class Plan(NamedTuple):
    """R scrambles of 2^k points each in the cube of the numbers that make a neuron.

    weighted: whether the points are weighted so that averages vanish at the edges of the cube; None: a pilot decides.
    """

    scrambles: int
    log2: int
    dimensions: int
    weighted: bool | None = None

    @property
    def total(self) -> int:
        """R 2^k."""
        return self.scrambles << self.log2

    def __str__(self) -> str:
        return f"sobol, {self.scrambles} scrambles of 2^{self.log2} points in {self.dimensions} dimensions"


class Neuron(eqx.Module):
    """Where one neuron is found in a model: its sites are those in a plate, and its field is `site` over sqrt(width).

    `ones` are sites of the plate held at one, whose sign or size drops out; sites outside the plate are zero.
    """

    model: Callable[..., Any]
    site: str
    plate: str
    width: int
    ones: tuple[str, ...] = ()


def plan_points(sampling: Sobol, n: int, components: int, dimensions: int) -> Plan:
    """At most n points as R scrambles of 2^k; R enough for a covariance of all components, where n allows it.

    Raises:
        ValueError: fewer than 2^6 points for each scramble asked for, or for each of 16.
    """
    wanted = enough_scrambles(components)
    most = n >> LEAST_POINTS
    scrambles = min(wanted, max(most, LEAST_SCRAMBLES)) if sampling.scrambles is None else int(sampling.scrambles)
    if scrambles > most:
        raise ValueError(
            f"expected at least {scrambles << LEAST_POINTS} neurons for {scrambles} scrambles of at least "
            f"{1 << LEAST_POINTS} points, got n={n}; try a larger n, or sampling='random'"
        )
    return Plan(scrambles, (n // scrambles).bit_length() - 1, dimensions)


def enough_scrambles(components: int) -> int:
    """Scrambles from which a covariance of so many components can be inverted, at least 16."""
    return max(LEAST_SCRAMBLES, SCRAMBLES_PER_COMPONENT * components)


def read_dimensions(neuron: Neuron, points: Points) -> tuple[int, str]:
    """Numbers that make one neuron, and "" or the reason why one of its laws cannot be made of them."""
    seen = _FromPoint(None, neuron)
    try:
        with jax.enable_x64(True):
            jax.eval_shape(lambda: _field(neuron, jnp.asarray(points), seen))
    except _NoInverse as refused:
        return 0, str(refused)
    return seen.taken, "" if seen.taken else "its neurons draw nothing"


def sobol_moments(
    neuron: Neuron, points: Points, orders: tuple[int, ...], plan: Plan, key: jax.Array, *, progress: bool = False
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], int]:
    """Means of the sorted monomials of one neuron over all scrambles, the rows of their covariance, and R.

    rows^T rows is the covariance of the means: deviations of the means of the scrambles over sqrt(R (R - 1)).

    Raises:
        ValueError: a neuron that is not finite.
    """
    places = ByContent(np.asarray(points, dtype=float))
    program = (_program if is_plain(neuron.model) else _program.__wrapped__)(neuron, places, orders)
    if plan.weighted is None:
        plan = _weighed(program, plan, key)
    parts, pieces = _sums(program, plan, key, progress), plan.total >> min(plan.log2, _PIECE)
    means, rows = {}, {}
    for r in orders:
        totals = parts[r][:pieces].reshape(plan.scrambles, -1, parts[r].shape[1])
        each = totals.sum(axis=1) / (1 << plan.log2)
        if not np.all(np.isfinite(each)):
            where = int(np.flatnonzero(~np.all(np.isfinite(each), axis=1))[0])
            raise ValueError(
                f"expected a neuron that is finite, got an average of order {r} that is not in scramble {where}; "
                "try points where the model is finite"
            )
        means[r] = each.mean(axis=0)
        rows[r] = (each - means[r]) / np.sqrt(plan.scrambles * (plan.scrambles - 1))
    return means, rows, plan.scrambles


def _weighed(program: Any, plan: Plan, key: jax.Array) -> Plan:
    """The plan, weighted where that clearly makes the variance of the highest order smaller, median over components."""
    piece = min(plan.log2, _PIECE)
    pilot = Plan(min(plan.total, 1 << _CALL) >> piece, piece, plan.dimensions)  # the compiled program of the plan
    key, spread = jax.random.fold_in(key, _PILOT), []
    for weighted in (False, True):
        sums = _sums(program, pilot._replace(weighted=weighted), key, False)
        with np.errstate(invalid="ignore", over="ignore"):  # a neuron that is not finite is refused by its average
            spread.append(np.var(sums[max(sums)], axis=0))
    ratio = np.median(spread[0] / np.maximum(spread[1], 1e-300))
    return plan._replace(weighted=bool(ratio > _CLEAR))


def _sums(program: Any, plan: Plan, key: jax.Array, progress: bool) -> dict[int, np.ndarray]:
    """Sums of the sorted monomials over every piece, in order of scrambles, (piece, component); the last are copies."""
    piece = min(plan.log2, _PIECE)
    batch = min(plan.total, 1 << _CALL) >> piece
    low, high, seeds = _pieces(plan, key, piece)
    each, count = len(high), plan.scrambles * len(high)
    parts: list[dict[int, np.ndarray]] = []
    bar = tqdm(total=plan.total, desc="neurons", unit="neuron", unit_scale=True, delay=2.0, disable=not progress)
    with bar, jax.enable_x64(True):
        for first in range(0, count, batch):
            index = np.minimum(np.arange(first, first + batch), count - 1)
            sums = program(low, high[index % each], seeds[index // each], plan.log2, bool(plan.weighted))
            parts.append({r: np.asarray(total) for r, total in sums.items()})
            bar.update(batch << piece)
    return {r: np.concatenate([part[r] for part in parts]) for r in parts[0]}


def _pieces(plan: Plan, key: jax.Array, piece: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of the sequence as sums modulo 2 of low and high ones, integers of 52 bits, and seeds of scrambles.

    (point of a piece, dimension), (piece of a scramble, dimension), (scramble, dimension).
    """
    directions = _directions(plan.dimensions, plan.log2)
    return _spanned(directions[:piece]), _spanned(directions[piece:]), _seeds(plan, key)


def _seeds(plan: Plan, key: jax.Array) -> np.ndarray:
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    return random.integers(0, 1 << 64, size=(plan.scrambles, plan.dimensions), dtype=np.uint64)


@lru_cache(maxsize=64)
def _directions(dimensions: int, log2: int) -> np.ndarray:
    """Direction numbers of the Sobol sequence as integers of 52 bits, (direction, dimension)."""
    sequence, found, at = qmc.Sobol(dimensions, scramble=False), [], 0
    for b in range(log2):  # the Gray code of 2^(b + 1) - 1 is 2^b: that point is the direction number itself
        sequence.fast_forward((2 << b) - 1 - at)
        found.append(sequence.random(1)[0])
        at = 2 << b
    return (np.reshape(found, (log2, dimensions)) * 2.0**_BITS).astype(np.uint64)


def _spanned(directions: np.ndarray) -> np.ndarray:
    """All sums modulo 2 of direction numbers, (2^direction, dimension): the first points of the sequence."""
    points = np.zeros((1, directions.shape[1]), dtype=np.uint64)
    for direction in directions:
        points = np.concatenate([points, points ^ direction])
    return points


def scrambled(y: Any, seed: Any, log2: Any) -> jax.Array:
    """Numbers in (0, 1) from integers of 52 bits of which the first log2 are not zero, in double precision.

    Bit i is turned by a random bit that belongs to the i bits before it, a node of a binary tree numbered like a heap;
    bits beyond log2, where every point has a node of its own, are random.

    Args:
        y: (point, dimension).
        seed: one for each dimension.
        log2: k, points being the first 2^k of the sequence or some of them.
    """
    one = jnp.uint64(1)

    def level(i: Any, out: jax.Array) -> jax.Array:
        bit = jnp.asarray(i, jnp.uint64)
        node = (y >> (_BITS - bit)) | (one << bit)
        return out ^ ((_mixed(seed + node * _GOLDEN) >> jnp.uint64(63)) << (_BITS - one - bit))

    below = (one << (_BITS - jnp.asarray(log2, jnp.uint64))) - one
    out = jax.lax.fori_loop(0, log2, level, y) ^ (_mixed(_mixed(seed) + y * _GOLDEN) & below)
    return (out + 0.5) * 2.0**-_BITS


def _mixed(x: Any) -> jax.Array:
    """The finalizer of SplitMix64 (G. L. Steele et al., OOPSLA 2014): 64 bits that look independent."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> jnp.uint64(shift))) * jnp.uint64(factor)
    return x ^ (x >> jnp.uint64(31))


@lru_cache(maxsize=32)
def _program(neuron: Neuron, places: ByContent, orders: tuple[int, ...]) -> Any:
    """Compiled: `_pieces`, log2 of the points of a scramble, whether they are weighted -> sums over each piece."""
    points = jnp.asarray(places.values)
    statistic = moment_sums(len(places.values), orders)

    def field(u: jax.Array) -> jax.Array:
        return _field(neuron, points, _FromPoint(u, neuron))

    def sums(low: jax.Array, high: jax.Array, seeds: jax.Array, log2: jax.Array, weighted: jax.Array) -> Any:
        def piece(which: tuple[jax.Array, jax.Array]) -> Any:
            v = scrambled(low ^ which[0], which[1], log2)
            moved = jnp.minimum(v * v * (3.0 - 2.0 * v), 1.0 - 2.0**-53)
            weights = jnp.where(weighted, jnp.prod(6.0 * v * (1.0 - v), axis=-1), 1.0)
            return statistic(jax.vmap(field)(jnp.where(weighted, moved, v)), weights)

        return jax.lax.map(piece, (high, seeds))

    return jax.jit(sums)


class _NoInverse(ValueError):
    """A law without an inverse distribution function."""


class _FromPoint(Messenger):
    """Sites of one neuron from numbers in (0, 1), in the order of the program; without numbers, from 1/2 each."""

    def __init__(self, u: jax.Array | None, neuron: Neuron) -> None:
        super().__init__()
        self.u, self.neuron, self.taken = u, neuron, 0

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        law = msg["fn"]
        sizes = msg["kwargs"].get("sample_shape", ())
        law = law.expand_by(sizes) if sizes else law
        frames = [f for f in msg["cond_indep_stack"] if f.name == self.neuron.plate]
        if msg["name"] in self.neuron.ones or not frames:
            msg["value"] = jnp.full(law.shape(), float(bool(frames)))
            return
        shape = [*law.batch_shape, *numbers_taken(law)]
        whole = tuple(shape)
        shape[len(law.batch_shape) + frames[0].dim] = 1  # one neuron: all those of the plate are equal
        count = int(np.prod(shape))
        mine = jnp.full(count, 0.5) if self.u is None else self.u[self.taken : self.taken + count]
        self.taken += count
        try:
            value = quantile(law, jnp.broadcast_to(mine.reshape(shape), whole))
        except ValueError as error:
            raise _NoInverse(f"its site {msg['name']!r}: {error}") from None
        msg["value"] = jax.lax.optimization_barrier(value)  # not made again for each use


def _field(neuron: Neuron, points: Any, source: _FromPoint) -> jax.Array:
    with handlers.block(), handlers.trace() as trace, handlers.seed(rng_seed=0), source:
        neuron.model(points)
    return trace[neuron.site]["value"] / neuron.width**0.5
