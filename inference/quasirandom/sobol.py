"""Averages over one neuron from points that fill the cube evenly: the error falls nearly like 1/n, not like n^(-1/2).

<s_1 ... s_r> is an integral over the few numbers that make a neuron, u in (0,1)^d, each site drawn as F^-1(u)
(`quantiles.py`). R independent scrambles of the first 2^k points of a Sobol sequence (`scrambles.py`) give R
independent unbiased means, whose spread is the error. Cumulants are those of the pooled moments, off by a share of
their error of about half the relative error of the two-point function (measured in `make proof`: below a hundredth).

A neuron that grows without bound meets the edges of the cube, where one point of a scramble outweighs all others: the
error falls slowly, and its law is so skewed that intervals are too short (G6c of ReLU, 16 scrambles of 2^12: 95 % hold
91 %). Such averages are taken over v in the cube with u = v^2 (3 - 2v) and weights 6 v (1 - v) for each axis, which
vanish there: the same integral, 10 to 80 times smaller errors. For bounded neurons of many numbers the weights cost
more than they bring, so that a pilot of scrambles of its own decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.primitives import Messenger
from tqdm import tqdm

from ...models.combinatorics import tuple_count
from ...models.correlators import SCRAMBLES_PER_COMPONENT
from ...models.refusals import is_whole
from ...models.runtime import settled
from ...models.types import Points
from ..ensembles.ensemble import ByContent, Ensemble, is_plain, side_key
from ..ensembles.moments import group_moments, moment_sums
from .quantiles import numbers_taken, quantile
from .scrambles import Plan, pieces, scrambled

__all__ = ["Neuron", "Sampling", "Sobol", "average_neuron", "count_dimensions", "plan_sampling", "sobol_moments"]

LEAST_SCRAMBLES = 16  # behind an error bar: the spread of fewer means is too rough
LEAST_POINTS = 6  # log2 of the points of a scramble below which little is gained over independent draws
# In more dimensions `space=None` takes independent draws: the gain at equal numbers, 600 to 18 000 in two dimensions,
# falls with each further one and is not known beforehand.
MAX_DIMENSIONS = 10
_PIECE = 12  # log2 of the points whose monomials are in cache together
_CALL = 16  # log2 of the points of one call
_CLEAR = 4.0  # ratio of variances of two pilots of 16 scrambles that chance exceeds once in 200 times
_PILOT = 2**32 - 1  # number of the side key of a pilot


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
        if self.scrambles is not None and not is_whole(self.scrambles, LEAST_SCRAMBLES):
            raise ValueError(
                f"expected at least {LEAST_SCRAMBLES} scrambles, whose spread is the error, got {self.scrambles!r}; "
                f"try Sobol(scrambles={LEAST_SCRAMBLES})"
            )


Sampling = Sobol | Literal["random", "choose"]
"""Of neurons: `Sobol` points, independent draws, or whichever suits the neuron and the number of draws."""


class Neuron(eqx.Module):
    """Where one neuron is found in a model: its sites are those in a plate, and its field is `site` over sqrt(width).

    `ones` are sites of the plate held at one, whose sign or size drops out; sites outside the plate are zero.
    """

    model: Callable[..., Any]
    site: str
    plate: str
    width: int
    ones: tuple[str, ...] = ()


def count_dimensions(sampling: Sampling, neurons: list[Neuron], ensemble: Ensemble) -> list[int]:
    """Numbers that make a neuron of each kind; 0 where independent draws are taken anyway."""
    if sampling == "random":
        return [0] * len(neurons)
    read = [read_dimensions(neuron, ensemble.points) for neuron in neurons]
    why = next((why for _, why in read if why), "")
    if why and sampling != "choose":
        raise ValueError(
            f"expected neurons made of numbers in (0, 1) for sampling='sobol', got {why}; or try sampling='random'"
        )
    return [0 if why else count for count, _ in read]


def plan_sampling(
    sampling: Sampling, dimensions: list[int], ensemble: Ensemble, orders: tuple[int, ...]
) -> Plan | None:
    """How many scrambles of how many points, or None for independent draws."""
    most = max(dimensions)
    components = sum(tuple_count(len(ensemble.points), r) for r in orders)
    if sampling == "random" or most == 0:
        return None
    if sampling != "choose":
        return plan_points(sampling, ensemble.n, components, most)
    if most > MAX_DIMENSIONS or ensemble.n < enough_scrambles(components) << LEAST_POINTS:
        return None
    return plan_points(Sobol(), ensemble.n, components, most)


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
    sites = _FromPoint(None, neuron)
    try:
        with settled():
            jax.eval_shape(lambda: _field(neuron, jnp.asarray(points), sites))
    except _NoInverse as refused:
        return 0, str(refused)
    return sites.taken, "" if sites.taken else "its neurons draw nothing"


def average_neuron(
    single: Ensemble, neuron: Neuron, orders: tuple[int, ...], plan: Plan | None, dimensions: int, progress: bool
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], int, int | None]:
    """Moments of one neuron, their rows, the groups behind them, and the draws whose products are to be unbiased."""
    if plan is None or not orders:
        return *group_moments(single, orders, progress=progress), single.n
    plan = plan._replace(dimensions=dimensions)
    return *sobol_moments(neuron, single.points, orders, plan, single.key, progress=progress), None


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
    key, spread = side_key(key, _PILOT), []
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
    low, high, seeds = pieces(plan, key, piece)
    each, count = len(high), plan.scrambles * len(high)
    parts: list[dict[int, np.ndarray]] = []
    bar = tqdm(total=plan.total, desc="neurons", unit="neuron", unit_scale=True, delay=2.0, disable=not progress)
    with bar, settled():
        for first in range(0, count, batch):
            index = np.minimum(np.arange(first, first + batch), count - 1)
            sums = program(low, high[index % each], seeds[index // each], plan.log2, bool(plan.weighted))
            parts.append({r: np.asarray(total) for r, total in sums.items()})
            bar.update(batch << piece)
    return {r: np.concatenate([part[r] for part in parts]) for r in parts[0]}


@lru_cache(maxsize=32)
def _program(neuron: Neuron, places: ByContent, orders: tuple[int, ...]) -> Any:
    """Compiled: `pieces`, log2 of the points of a scramble, whether they are weighted -> sums over each piece."""
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
