"""Which neurons make the four-point function: G4c split by how many of its four legs sit on the same neuron.

phi = N^(-1/2) sum_i h_i, so G4c(a,b,c,d) = N^-2 sum over i1..i4 of kappa(h_i1(a), h_i2(b), h_i3(c), h_i4(d)), and for
exchangeable neurons the N^4 index tuples fall into five patterns: iiii, iiij, iijj, iijk, ijkl. Averages over distinct
neurons are symmetric functions of power sums, by the Moebius function of the partition lattice. Independent neurons
have iiii alone; what is left in the others is their correlation. The five add up to the field-space value, exactly, on
the same networks (the talk "Neural Network Field Theories", correlated neurons; arXiv:2307.03223, sec. 2).
"""

from math import factorial, perm, prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Float

from ...models.combinatorics import pairings, rank, set_partitions, sorted_tuples, tuple_count
from ...models.runtime import settled
from ..ensembles.ensemble import Ensemble
from ..ensembles.moments import MAX_COMPONENTS, group_moments
from ..ensembles.source import Source
from ..programs.structure import run
from .tails import judge_tail

__all__ = ["PATTERNS", "Patterns", "measure_patterns"]

PATTERNS = {"iiii": (4,), "iiij": (1, 3), "iijj": (2, 2), "iijk": (1, 1, 2), "ijkl": (1, 1, 1, 1)}
_LEAST = 1000


class Patterns(NamedTuple):
    """G4c by index pattern, on the sorted quads.

    values: pattern -> its share of G4c, (quad,); errors: its standard error over networks, (quad,); total and
    total_error: their sum, the field-space value on the same networks.
    """

    values: dict[str, Float[np.ndarray, " quad"]]
    errors: dict[str, Float[np.ndarray, " quad"]]
    total: Float[np.ndarray, " quad"]
    total_error: Float[np.ndarray, " quad"]
    networks: int

    def __str__(self) -> str:
        lines = [f"G4c by index pattern, {self.networks:,} networks; mean over {len(self.total)} components"]
        for name, value in (*self.values.items(), ("sum", self.total)):
            error = self.total_error if name == "sum" else self.errors[name]
            lines.append(f"  {name:5} {np.mean(value):+.6g}   (typical error {np.sqrt(np.mean(error**2)):.2g})")
        return "\n".join(lines)


@settled(None)
def measure_patterns(ensemble: Ensemble, *, progress: bool = False) -> Patterns:
    """Split the measured connected four-point function of a network by index pattern.

    The law must be even, as that of every `Network` is. Products of two-neuron averages are plug-in values, whose
    bias, of order 1/n, is far below their error, of order n^(-1/2).

    Raises:
        ValueError: something else than an ensemble of a `Network` with one kind of neurons; fewer than 4 neurons, which
            do not show every pattern, or fewer than 1000 networks; a fourth moment that does not converge.

    Example:
        >>> import jax, numpy as np
        >>> from nnft.models import Cos, Network
        >>> ens = Ensemble(Network(Cos(), width=5), points=np.array([[0.0]]), n=2000, key=jax.random.key(0))
        >>> list(measure_patterns(ens).values)
        ['iiii', 'iiij', 'iijj', 'iijk', 'ijkl']
    """
    parts = ensemble.neurons if isinstance(ensemble, Source) else None
    if parts is None or len(parts.kinds) > 1:
        raise ValueError(
            "expected an ensemble of a Network with one kind of neurons, got "
            f"{type(getattr(ensemble, 'model', ensemble)).__name__}; try Ensemble(Network(Cos(), width=20), ...)"
        )
    if parts.width < 4 or ensemble.n < _LEAST:
        raise ValueError(
            f"expected at least 4 neurons and {_LEAST} networks for the patterns of four legs, got {parts.width} and "
            f"{ensemble.n}; try width=20, n=100_000"
        )
    quads = tuple_count(len(ensemble.points), 4)
    if quads > MAX_COMPONENTS:
        raise ValueError(
            f"expected points few enough for at most {MAX_COMPONENTS} components of order 4, got {quads} at "
            f"{len(ensemble.points)}; try fewer points"
        )
    tail = judge_tail(ensemble, 4)
    if tail.verdict == "refused":
        raise ValueError(f"expected networks whose four-point function has an average, got: {tail.why}")
    points = tuple(map(tuple, ensemble.points.tolist()))
    size = tuple_count(len(points), 4) * len(PATTERNS) + 2 * tuple_count(len(points), 2)
    sums = Ensemble(
        _SymmetricSums(ensemble.model, parts.width, points),
        points=np.arange(float(size))[:, None],
        n=ensemble.n,
        key=ensemble.key,
        dtype=ensemble.dtype,
    )
    means, rows, _ = group_moments(sums, (1,), progress=progress)
    with settled():
        value = np.asarray(_contributions(jnp.asarray(means[1]), parts.width, len(points)))
        slope = np.asarray(jax.jacfwd(lambda m: _contributions(m, parts.width, len(points)))(jnp.asarray(means[1])))
    spread = np.einsum("gm,pqm->gpq", rows[1], slope)
    error = np.sqrt(np.sum(spread**2, axis=0))
    return Patterns(
        values=dict(zip(PATTERNS, value, strict=True)),
        errors=dict(zip(PATTERNS, error, strict=True)),
        total=value.sum(axis=0),
        total_error=np.sqrt(np.sum(spread.sum(axis=1) ** 2, axis=0)),
        networks=ensemble.n,
    )


class _SymmetricSums(eqx.Module):
    """NumPyro model: averages of h h h h over distinct neurons of one network, one number a pattern and quad."""

    network: Any
    width: int
    points: tuple[tuple[float, ...], ...]

    def __call__(self, _: Any) -> None:
        h = self._neurons()
        count, width = len(self.points), self.width
        powers = {r: jnp.sum(jnp.prod(h[:, sorted_tuples(count, r)], axis=2), axis=0) for r in (1, 2, 3, 4)}
        quads, pairs = sorted_tuples(count, 4), sorted_tuples(count, 2)
        out = []
        for shape in PATTERNS.values():
            partitions = [p for p in set_partitions(4) if tuple(sorted(map(len, p))) == shape]
            out += [sum(_distinct(p, quads, powers, count) for p in partitions) / perm(width, len(shape))]
        out += [powers[2] / width, _distinct(((0,), (1,)), pairs, powers, count) / perm(width, 2)]
        numpyro.deterministic("phi", jnp.concatenate(out))

    def _neurons(self) -> jax.Array:
        """h_i(x_a) = N^(1/2) W_i d phi_a/d W_i of one draw, (neuron, point): the field is linear in the readout."""
        key: Any = numpyro.prng_key()
        places = jnp.asarray(self.points)

        def field(weights: jax.Array) -> jax.Array:
            return run(self.network, places, key, {"readout": weights})["phi"]["value"]

        drawn = run(self.network, places, jax.random.fold_in(key, 1))["readout"]["value"]
        slopes = jax.lax.optimization_barrier(jax.jacrev(field)(drawn))
        h = (slopes * drawn).T * self.width**0.5
        numpyro.deterministic("neurons", h)  # its size decides how many networks are drawn at a time
        return h


def _distinct(partition: Any, tuples: np.ndarray, powers: dict[int, jax.Array], points: int) -> Any:
    """Sum over distinct neurons, one a block, from power sums: coarser partitions with their Moebius weight."""
    total = 0.0
    for merging in set_partitions(len(partition)):
        sign = prod((-1) ** (len(group) - 1) * factorial(len(group) - 1) for group in merging)
        term = float(sign)
        for group in merging:
            legs = sorted(leg for block in group for leg in partition[block])
            term = term * powers[len(legs)][rank(tuples[:, legs], points)]
        total = total + term
    return total


def _contributions(means: jax.Array, width: int, points: int) -> jax.Array:
    """N^-2 sum over the index tuples of each pattern of the joint cumulant, (pattern, quad)."""
    quads, pairs = sorted_tuples(points, 4), sorted_tuples(points, 2)
    count = len(quads) * len(PATTERNS)
    averages = means[:count].reshape(len(PATTERNS), len(quads))
    same, other = means[count : count + len(pairs)], means[count + len(pairs) :]
    out = []
    for average, shape in zip(averages, PATTERNS.values(), strict=True):
        tuples = perm(width, len(shape))
        disconnected: Any = 0.0
        for partition in set_partitions(4):
            if tuple(sorted(map(len, partition))) != shape:
                continue
            owner = {leg: k for k, block in enumerate(partition) for leg in block}
            for pairing in pairings(4):
                factors = [
                    (same if owner[a] == owner[b] else other)[rank(quads[:, [a, b]], points)] for a, b in pairing
                ]
                disconnected = disconnected + factors[0] * factors[1]
        out.append(tuples * (average - disconnected) / width**2)
    return jnp.stack(out)
