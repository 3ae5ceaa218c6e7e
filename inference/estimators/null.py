"""Are these correlators those of this network? A p-value that is right at any number of networks, for any tails.

Where the model is known its own ensembles say how correlators of n networks scatter: 1024 fresh ones are drawn, and the
distance d.C^-1 d of the measured correlators from the exact ones, C the covariance of all 1025 about the exact ones, is
ranked among theirs. Under the null all 1025 are alike, so that p = rank/1025 is uniform: no Gaussian law, no estimated
error and no number of networks enters (M. S. Bartlett's Monte Carlo test; E. Lehmann and J. Romano, Testing Statistical
Hypotheses, 2005, ch. 15.2). It costs 1024 times what was measured; `Correlators.chi2` costs nothing, and says where it
cannot judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from ...models.combinatorics import connected_from_moments, tuple_count
from ...models.correlators import Correlators
from ...models.distance import Chi2
from ...models.runtime import settled
from ..engines.memory import expect_memory
from ..ensembles.ensemble import Ensemble, check_key
from ..ensembles.moments import moment_sums
from ..ensembles.sums import GROUPS, sums

__all__ = ["Null", "null"]

_RESOLUTION = 1e-10  # of the correlation matrix of the fresh ensembles: below it a combination never varies
_LEAST = 100  # networks of an ensemble
_COPIES = 3  # of the sums of all ensembles: themselves, their means, and what is made of them

Deviations = Mapping[int, Float[np.ndarray, "ensemble _"]]


@dataclass(frozen=True, eq=False)
class Null:
    """Correlators of fresh ensembles of one network, less the exact ones: what measured ones are held against.

    Attributes:
        truth: the exact correlators.
        n: networks of each ensemble.
        even: whether odd moments are left out of even connected functions, as they are of the measured ones.
        moments, cumulants: deviations of each fresh ensemble, order -> (ensemble, component).
    """

    truth: Correlators
    n: int
    even: bool
    moments: Deviations
    cumulants: Deviations

    def judge(self, data: Correlators, *orders: int, kind: str = "connected") -> Chi2:
        """The distance of measured correlators from the exact ones, and its rank among those of the fresh ensembles.

        Args:
            data: `inf.measure` of n networks, averages over fields.
            orders: tested together; default all that were drawn.
            kind: "connected" or "moment".

        Raises:
            ValueError: correlators at other points, of another number of networks or another parity, not averaged over
                fields, or of a Markov chain; an order that was not drawn; an unknown kind.
        """
        if kind not in ("connected", "moment"):
            raise ValueError(f"expected kind 'connected' or 'moment', got {kind!r}; try 'connected'")
        table = self.cumulants if kind == "connected" else self.moments
        chosen = orders or tuple(table)
        if unknown := [r for r in chosen if r not in table]:
            raise ValueError(
                f"expected orders among {tuple(table)}, got {unknown}; try inf.null(truth, n, orders={chosen})"
            )
        self._check_alike(data, kind)
        own = np.concatenate([_value(data, r, kind) - _value(self.truth, r, kind) for r in chosen])
        every = np.concatenate([own[None], np.concatenate([table[r] for r in chosen], axis=1)])
        size = np.sqrt(np.mean(every**2, axis=0))
        varies = size > 0.0
        scaled = every[:, varies] / size[varies]
        values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        kept = values > _RESOLUTION * values[-1]
        squares = np.sum((scaled @ vectors[:, kept]) ** 2 / values[kept], axis=1)
        above = int(np.sum(squares >= squares[0] * (1.0 - 1e-12)))  # itself among them
        why = f"rank {above} from the top among itself and {len(every) - 1} fresh ensembles of {self.n:,} networks"
        return Chi2(float(squares[0]), int(kept.sum()), above / len(every), why)

    def _check_alike(self, data: Correlators, kind: str) -> None:
        points, about = self.truth.points, dict(data.about)
        if data.points.shape != points.shape or not np.array_equal(data.points, points):
            raise ValueError(
                f"expected correlators at the points of the exact ones, {points.ravel()[:4]}..., got "
                f"{data.points.ravel()[:4]}...; try one array for both"
            )
        if data.networks != self.n or about.get("space", "field") != "field" or "chain" in about:
            chain = ", a chain" if "chain" in about else ""
            raise ValueError(
                f"expected averages over {self.n:,} independent fields, got {data.networks:,.0f} in "
                f"{about.get('space', 'field')} space{chain}; try inf.null(truth, n) with the number measured, and "
                "space='field'"
            )
        if kind == "connected" and data.even != self.even:
            raise ValueError(
                f"expected connected functions with even={self.even}, got even={data.even}; try "
                f"inf.null(..., even={data.even})"
            )


@settled(None)
def null(
    truth: Correlators,
    n: int,
    *,
    orders: tuple[int, ...] = (2, 4),
    even: bool | None = None,
    key: jax.Array,
    progress: bool = False,
) -> Null:
    """1024 fresh ensembles of n networks each of the network behind exact correlators.

    Args:
        truth: `m.exact(network, points)`, with the orders asked for.
        n: networks of an ensemble, as many as were measured.
        orders: that can be tested.
        even: as the measured correlators; default, as for `inf.measure`, what is known of the network.
        key: `jax.random.key(seed)`, another one than that of the data.
        progress: a bar for long runs.

    Raises:
        ValueError: correlators without their network, or weighted draws; too few or too many networks; an order that
            is not there.

    Example, is the field of 200 networks the cosine network's?
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> net, x = m.Network(m.Cos(), width=20), np.array([[0.0], [1.0]])
        >>> data = inf.measure(inf.Ensemble(net, points=x, n=200, key=jax.random.key(0)), orders=(2, 4))
        >>> inf.null(m.exact(net, x), 200, key=jax.random.key(1)).judge(data).p > 0.01
        True
    """
    check_key(key)
    if truth.model is None:
        raise ValueError(
            f"expected exact correlators whose network is known, got {truth.maker} ones without; try "
            "m.exact(network, points)"
        )
    most = 2**63 // GROUPS
    if not _LEAST <= n <= most:
        raise ValueError(f"expected {_LEAST} to {most:,} networks of an ensemble, got {n}; try n=10_000")
    fresh = Ensemble(truth.model, points=truth.points, n=GROUPS * int(n), key=key)
    if fresh.weighted:
        raise ValueError(
            f"expected networks of equal weight, got a model with factors ({truth.model!r}); try Correlators.chi2"
        )
    symmetric, points = bool(fresh.even) if even is None else even, truth.places
    chosen = tuple(sorted(set(orders)))
    exact = {kind: {r: _value(truth, r, kind) for r in chosen} for kind in ("moment", "connected")}
    needed = tuple(range(2 if symmetric else 1, max(chosen) + 1, 2 if symmetric else 1))
    wanted = tuple(sorted({*needed, *chosen}))
    components = sum(tuple_count(points, r) for r in wanted)
    expect_memory(_COPIES * 8.0 * GROUPS * components, f"{components} components", "fewer orders or points")
    sizes, totals = sums(fresh, moment_sums(points, wanted), progress=progress)
    means = {r: whole / sizes[:, None] for r, whole in totals.items()}
    cumulants: dict[int, list[np.ndarray]] = {r: [] for r in chosen}
    for k in range(len(sizes)):
        own = {r: v[k] for r, v in means.items()}
        for r in chosen:
            cumulants[r].append(connected_from_moments(own, points, r, n=int(n), even=symmetric))
    return Null(
        truth=truth,
        n=int(n),
        even=symmetric,
        moments={r: means[r] - exact["moment"][r] for r in chosen},
        cumulants={r: np.stack(v) - exact["connected"][r] for r, v in cumulants.items()},
    )


def _value(data: Correlators, order: int, kind: str) -> np.ndarray:
    return data.connected(order) if kind == "connected" else data.moment(order)
