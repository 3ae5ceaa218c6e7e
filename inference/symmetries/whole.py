"""Have two ensembles one law? The distance of whole fields, all orders and points at once, and its p-value.

Two laws differ exactly where the energy distance (G. Szekely and M. Rizzo, J. Stat. Plan. Inference 143 (2013) 1249)

    E = 2 <|x - y|> - <|x - x'|> - <|y - y'|>

of their fields is not zero; x and y are fields of one and of the other at all points, whitened by the covariance of
both together. It sees what no order of correlators was asked for. Its null law is its own: where the laws are one,
fields can be exchanged between the ensembles, any of them if their seeds are independent, only network n of one with
network n of the other if both were drawn with the same seeds. The rank among random exchanges is a p-value that holds
at every number of networks and for any tails. Weights +1/n and -1/m of the fields, c, make E = -c.D c of all distances
D, so that an exchange costs one product with a matrix.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ...models.refusals import is_whole
from ..ensembles.ensemble import check_key
from ..ensembles.source import Source
from ..estimators.measure import check_source

__all__ = ["SameField", "same_field"]

MOST = 2000  # networks of each: their distances are held at once, 128 MB
_LEAST = 20
_BLOCK = 256  # exchanges at a time
_RESOLUTION = 1e-10  # of the covariance, below which a combination of the fields is round-off


class SameField(NamedTuple):
    """Whether two ensembles have one law.

    distance: E over 2 <|x - y|>, zero for one law and one at most; p: its rank among random exchanges; networks: of
    each that were compared; paired: whether only pairs were exchanged; why: what was done.
    """

    distance: float
    p: float
    networks: tuple[int, int]
    paired: bool
    why: str

    def __str__(self) -> str:
        return f"energy distance {self.distance:.3g}, p = {self.p:.2g} ({self.why})"


def same_field(
    one: Source, other: Source, *, paired: bool | None = None, exchanges: int = 999, key: jax.Array | None = None
) -> SameField:
    """Test whether two ensembles have the same law of the whole field, at all orders together.

    The points need not be the same: fields at x and at x + a of independent seeds test a translation.

    Args:
        one: networks, of which the first 2000 are looked at.
        other: networks of as many points and outputs, likewise.
        paired: whether network n of one belongs to network n of the other, of the same seeds; then the null is that the
            two can change places. Default: where both were drawn with one key.
        exchanges: random ones; the smallest p is one over one more.
        key: of the exchanges, default `jax.random.key(0)`.

    Raises:
        ValueError: other numbers of places, too few networks, weighted draws or a chain; one key for both and
            paired=False; pairs of unequal numbers of networks.

    Example, Gaussian weights and weights of one size, with one two-point function:
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> def draw(readout, seed):
        ...     net = m.Network(m.Cos(), 1, readout)
        ...     return inf.Ensemble(net, points=np.array([[0.0], [1.0]]), n=300, key=jax.random.key(seed))
        >>> same_field(draw("gaussian", 0), draw("gaussian", 1)).p > 0.01
        True
        >>> same_field(draw("gaussian", 0), draw("rademacher", 1)).p
        0.001
    """
    key = jax.random.key(0) if key is None else key
    check_key(key)
    for source in (one, other):
        check_source(source)
        _check(source)
    if one.places != other.places:
        raise ValueError(
            f"expected fields of as many numbers, got {one.places} and {other.places}; try as many points and outputs"
        )
    if not is_whole(exchanges, 19):
        raise ValueError(f"expected at least 19 exchanges, got {exchanges!r}; try exchanges=999")
    seeds = _same_seeds(one, other)
    if paired is False and seeds:
        raise ValueError("expected independent seeds, got one key for both; try paired=True, or another key for one")
    by_pairs = seeds if paired is None else bool(paired)
    if by_pairs and one.n != other.n:
        raise ValueError(f"expected pairs of networks, got {one.n} and {other.n}; try paired=False, or as many of each")
    x, y = (np.asarray(s.read(0, min(s.n, MOST)), dtype=float).reshape(min(s.n, MOST), -1) for s in (one, other))
    apart, n = _distances(_white(np.concatenate([x, y]))), len(x)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    counts = (len(x), len(y))
    share = np.concatenate([np.full(counts[0], 1.0 / counts[0]), np.full(counts[1], -1.0 / counts[1])])
    cross = 2.0 * float(np.mean(apart[:n, n:], dtype=float))
    actual, above = float(_energy(share[:, None], apart)[0]), 0
    for start in range(0, exchanges, _BLOCK):
        count = min(_BLOCK, exchanges - start)
        if by_pairs:
            signs = 2.0 * rng.integers(0, 2, size=(n, count)) - 1.0
            made = np.concatenate([signs, -signs]) / n
        else:
            made = rng.permuted(np.tile(share[:, None], count), axis=0)
        above += int(np.sum(_energy(made, apart) >= actual - 1e-6 * cross))
    p = (1.0 + above) / (1.0 + exchanges)
    seen = f"the first {n:,} of {one.n:,}" if one.n > n else f"{n:,}"
    how = "pairs exchanged" if by_pairs else "fields exchanged"
    seen += "" if by_pairs else f" and {counts[1]:,} of {other.n:,}" if other.n != one.n else " of each"
    return SameField(max(actual, 0.0) / cross if cross else 0.0, p, counts, by_pairs, f"{seen} networks, {how}")


def _check(source: Source) -> None:
    if source.weighted:
        raise ValueError(
            "expected networks of equal weight, got a model with factors; try inf.symmetry, order by order, which "
            "weighs them"
        )
    if source.dependence.block > 1:
        raise ValueError(
            f"expected independent fields, got {source.dependence}; try every {2 * source.dependence.block}th"
        )
    if source.n < _LEAST:
        raise ValueError(f"expected at least {_LEAST} networks, got {source.n}; try 2000")


def _same_seeds(one: Source, other: Source) -> bool:
    first, second = one.program, other.program
    if first is None or second is None:
        return one is other
    return bool(np.array_equal(jax.random.key_data(first.key), jax.random.key_data(second.key)))


def _white(fields: Float[np.ndarray, "network place"]) -> Float[np.ndarray, "network direction"]:
    """Fields in units of their covariance, without the combinations that never vary."""
    centred = fields - fields.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(fields))
    kept = values > _RESOLUTION * max(float(values[-1]), np.finfo(float).tiny)
    return centred @ (vectors[:, kept] / np.sqrt(values[kept]))


def _distances(white: Float[np.ndarray, "network direction"]) -> Float[np.ndarray, "network network"]:
    squares = np.sum(white**2, axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * white @ white.T, 0.0)).astype(np.float32)
    np.fill_diagonal(apart, 0.0)
    return apart


def _energy(share: Float[np.ndarray, "network set"], apart: Float[np.ndarray, "network network"]) -> np.ndarray:
    """-c.D c for each column c."""
    return -np.sum(share * (apart @ share.astype(np.float32)), axis=0)
