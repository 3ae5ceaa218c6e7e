"""Free networks weighted by exp(-S): every average of the interacting field from one sample of the free one.

    <O> = sum_i w_i O_i / sum_i w_i,   w_i = exp(-S_i),   log Z/Z_free = log mean w,

with control variates: the free means of the spectrum and of the powers are known exactly, so what the sample shows of
them beyond is regressed away. Networks of several widths are made of the same neurons, a network of width 2N of two of
width N: one set of draws serves all widths, and the covariance between them is known.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import gcd

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float
from numpyro import handlers

from ...models.boxes.theory import BoxTheory, Parameters
from ...models.refusals import is_whole
from ...models.runtime import settled
from ..boxes.averages import Averages
from ..boxes.estimate import Estimate
from ..boxes.observables import Observables
from ..ensembles.ensemble import Materialise, device_mesh
from ..estimators.khat import REFUSE_KHAT, pareto_khat
from .engine import AbstractEngine, check_theory

__all__ = ["Reweighted", "drawn"]

GROUPS = 1024  # whose spread is the error of everything
LEAST_SHARE, LEAST_SIZE = 0.01, 400.0  # of the effective number of networks, of all and in itself
_PIECE = 512  # networks of the largest width at a time
_CALL = 32  # groups of one call
_PILOT = 1 << 14  # networks whose weights set the level and show their tail
_SLACK = 3.0  # by which the pilot may underrate the weights
_RANK = 1e-5  # singular values below which controls are copies of each other: single precision


class Reweighted(AbstractEngine):
    """Free networks reweighted by exp(-S), with control variates.

    Args:
        n: networks of the theory's width, or of the largest of several; rounded up to fill groups.

    Raises:
        ValueError: fewer than 16384 networks; at the run, weights that leave fewer than 1 % of the networks or fewer
            than 400, or whose tail has k-hat above .7.

    Example:
        >>> from nnft import models as m
        >>> theory = m.BoxTheory(m.Box(10.0, 8), 16, m.Potential.phi4(1.0))
        >>> found = Reweighted(n=16384).run(theory, key=jax.random.key(0))
        >>> bool(abs(found.moment(2).value - 0.4528) < 0.01)
        True
    """

    n: int = 400_000

    def __check_init__(self) -> None:
        if not is_whole(self.n, _PILOT, floats=True):
            raise ValueError(
                f"expected n, the networks drawn, to be an integer >= {_PILOT}, got {self.n!r}; try 400_000"
            )

    def run(self, theory: BoxTheory, *, key: jax.Array) -> Averages:
        check_theory(theory, key)
        return self.at_widths(theory, (theory.width,), key)[0]

    def at_widths(self, theory: BoxTheory, widths: Sequence[int], key: jax.Array) -> list[Averages]:
        ordered = tuple(sorted(set(widths)))
        kept = Observables(theory)
        if any(ordered[-1] % width for width in ordered):
            raise ValueError(
                f"expected widths of which the largest is a multiple, got {list(ordered)}; try powers of two"
            )
        level, weights = _pilot(kept, ordered, key)
        khat = [pareto_khat(one) for one in weights]
        each = -(-int(self.n) // GROUPS)  # networks of a group
        pieces = -(-each // _PIECE)
        networks = GROUPS * pieces * -(-each // pieces)
        for width, one in zip(ordered, weights, strict=True):  # hopeless ones at once
            _check_weights(width, _SLACK * one.sum() ** 2 / (one @ one) / len(one), networks, 0.0)
        means = _means(kept, ordered, pieces, -(-each // pieces), level, key)
        share = means[:, :, 0].mean(axis=0) ** 2 / means[:, :, 1].mean(axis=0)
        for width, one, tail in zip(ordered, share, khat, strict=True):
            _check_weights(width, float(one), networks * ordered[-1] // width, tail)
        exact = np.stack([kept.prior_at(width) for width in ordered])
        values, rows = controlled(means, exact)
        found = []
        for j, width in enumerate(ordered):
            log_z = Estimate(float(np.log(values[j, 0]) + level), rows[:, j, 0] / values[j, 0])
            notes = {"ESS/n": float(share[j]), "k-hat": khat[j]}
            size = float(share[j]) * networks * ordered[-1] / width
            found.append(Averages(theory.wide(width), values[j, 1:], rows[:, j, 1:], log_z, "reweighting", size, notes))
        return [found[ordered.index(width)] for width in widths]


def drawn(theory: BoxTheory, key: jax.Array) -> Parameters:
    """The parameters of one free network."""
    with Materialise(), handlers.seed(rng_seed=key):
        return theory.draw()


def controlled(
    means: Float[np.ndarray, "group width number"], exact: Float[np.ndarray, "width free"]
) -> tuple[Float[np.ndarray, "width found"], Float[np.ndarray, "group width found"]]:
    """Weighted averages with their error rows from the means of groups, with the free means as controls.

    Args:
        means: of each group w, w^2, w O, and of those O that come first without weight.
        exact: the free means of these.

    Returns:
        Mean w and the averages of O, and rows whose rows^T rows is their covariance: the spread of what the regression
        leaves, with the degrees of freedom that it took and the error of its own slopes.
    """
    groups, widths, numbers = means.shape
    count = numbers - 2 - exact.shape[1]
    mean = means.mean(axis=0)
    weight = mean[:, :1]
    found = mean[:, 2 : 2 + count] / weight
    moved = np.concatenate(
        [means[:, :, :1] - weight, (means[:, :, 2 : 2 + count] - found * means[:, :, :1]) / weight], axis=2
    ).reshape(groups, -1)
    off = (mean[:, 2 + count :] - exact).ravel()
    controls = (means[:, :, 2 + count :] - mean[:, 2 + count :]).reshape(groups, -1)
    scale = np.maximum(np.std(controls, axis=0), 1e-300)
    left, size, right = np.linalg.svd(controls / scale, full_matrices=False)
    rank = int(np.sum(size > _RANK * size[0]))
    projected = left[:, :rank].T @ moved
    turned = (right[:rank] @ (off / scale)) / size[:rank]  # of the sample's own surprise, in units of the controls
    values = np.concatenate([weight, found], axis=1) - (turned @ projected).reshape(widths, -1)
    rest = moved - left[:, :rank] @ projected
    inflation = (1.0 + groups * float(turned @ turned)) / (groups * (groups - 1.0 - rank))
    return values, (np.sqrt(inflation) * rest).reshape(groups, widths, -1)


def _check_weights(width: int, share: float, networks: int, khat: float) -> None:
    """Refuse weights that leave too little.

    Raises:
        ValueError: with the number that decides, and the engine to try.
    """
    other = "try inf.Tempered(), or inf.Hmc()"
    size = share * networks
    if share < LEAST_SHARE or size < LEAST_SIZE:
        raise ValueError(
            f"expected weights that leave at least 1 % and {LEAST_SIZE:.0f} of the free networks, got ESS = {size:.3g} "
            f"of {networks:,} ({100.0 * share:.2g} %) at width {width}: the coupling is too strong for reweighting; "
            f"{other}"
        )
    if khat > REFUSE_KHAT:
        raise ValueError(
            f"expected weights without a heavy tail, k-hat at most {REFUSE_KHAT}, got {khat:.2f} at width {width}; "
            f"{other}"
        )


@lru_cache(maxsize=32)
def _networks(kept: Observables, widths: tuple[int, ...]) -> Callable[[jax.Array], list[tuple[jax.Array, jax.Array]]]:
    """Key -> for each width the numbers (network, number) and actions (network,) that the neurons of one key make."""
    largest = kept.theory.wide(widths[-1])
    unit = gcd(*widths)

    def one(key: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        parts = largest.gathered(drawn(largest, key), unit)  # (field, unit, function)
        out = []
        for width in widths:
            joined = parts.reshape(parts.shape[0], -1, width // unit, parts.shape[-1]).sum(axis=2)
            q = jnp.moveaxis(joined, 1, 0) * (unit / width) ** 0.5
            out.append(jax.vmap(kept)(q))
        return out

    return one


def _pilot(kept: Observables, widths: tuple[int, ...], key: jax.Array) -> tuple[float, list[np.ndarray]]:
    """Log of the mean weight, about, and the weights of each width, up to their scale."""
    one = _networks(kept, widths)
    rows = max(64, _PILOT * widths[0] // widths[-1])

    @jax.jit
    def actions(key: jax.Array) -> list[jax.Array]:
        keys = jax.random.split(key, rows)
        return jax.lax.map(lambda k: [action for _, action in one(k)], keys, batch_size=min(rows, _PIECE))

    with settled(False, partitionable=False):
        logs = [-np.asarray(a, dtype=float).ravel() for a in actions(jax.random.fold_in(key, 0))]
    level = float(np.max([np.logaddexp.reduce(log) - np.log(len(log)) for log in logs]))
    return level, [np.exp(log - log.max()) for log in logs]


def _means(
    kept: Observables, widths: tuple[int, ...], pieces: int, size: int, level: float, key: jax.Array
) -> Float[np.ndarray, "group width number"]:
    """Means over each group of w, w^2, w O and O, (group, width, number); groups sharded over JAX's devices."""
    program = _program(kept, widths, pieces, size, len(jax.devices()))
    step, parts = _CALL * len(jax.devices()), []
    step = min(step, GROUPS)
    shard = NamedSharding(device_mesh(), PartitionSpec("device"))
    with settled(False, partitionable=False):
        start = jax.random.fold_in(key, 1)
        for first in range(0, GROUPS, step):
            groups = jax.device_put(np.arange(first, first + step, dtype=np.uint32), shard)
            parts.append(program(start, groups, np.float32(level)))
        return np.concatenate([np.asarray(part, dtype=float) for part in parts])


@lru_cache(maxsize=16)
def _program(
    kept: Observables, widths: tuple[int, ...], pieces: int, size: int, devices: int
) -> Callable[[jax.Array, jax.Array, np.float32], jax.Array]:
    one = _networks(kept, widths)

    def row(key: jax.Array, index: jax.Array, level: jax.Array) -> jax.Array:
        out = []
        for numbers, action in one(jax.random.fold_in(key, index)):
            weight = jnp.exp(-action - level)
            free = numbers[:, : kept.known].T
            weighted = jnp.concatenate([weight[None], weight[None] ** 2, weight * numbers.T, free])
            out.append(jnp.mean(weighted, axis=1))
        return jnp.stack(out)

    def group(key: jax.Array, number: jax.Array, level: jax.Array) -> jax.Array:
        def piece(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
            rows = jax.vmap(lambda i: row(key, i, level))(start + jnp.arange(size, dtype=jnp.uint32))
            return total + rows.mean(axis=0), None

        starts = (number * pieces + jnp.arange(pieces, dtype=jnp.uint32)) * size
        numbers = 2 + kept.count + kept.known
        return jax.lax.scan(piece, jnp.zeros((len(widths), numbers)), starts)[0] / pieces

    def device(key: jax.Array, groups: jax.Array, level: jax.Array) -> jax.Array:
        return jax.lax.map(lambda number: group(key, number, level), groups)

    whole, spread = PartitionSpec(), PartitionSpec("device")
    return jax.jit(
        jax.shard_map(device, mesh=device_mesh(), in_specs=(whole, spread, whole), out_specs=spread, check_vma=False)
    )
