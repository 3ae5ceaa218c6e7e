"""Bilocal couplings as sums of few products: v_ab = sum_r d_r f_ra f_rb, u_ab = sum_r c_ra e_rb, g_a free.

Products of parameters have no closed posterior: NUTS moves in them as they are. Their signs and rotations are not
identified, the couplings are, and only those are reported.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from ...models.actions.rungs import bilocal_blocks
from .marginal import Marginal
from .prior import AbstractPrior, Unknowns

__all__ = ["LowRankPrior"]


class LowRankPrior(AbstractPrior):
    """Bilocal couplings of low rank: g ~ its default sd, d ~ N(0, s^2), profiles standard normal.

    Args:
        rank: number of products r.
        scale: s of the unit-information prior, in whose units the products are.

    Raises:
        ValueError: a rank below one; a fit of another action than `m.Bilocal()`.

    Example:
        >>> LowRankPrior(rank=2).rank
        2
    """

    rank: int = eqx.field(default=1, static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"expected a rank >= 1, got {self.rank!r}; try LowRankPrior(rank=1)")

    @property
    def word(self) -> str:
        return "low_rank"

    @property
    def name(self) -> str:
        return f"a prior of rank {self.rank}"

    @property
    def meaning(self) -> str:
        products = r"$v_{ab} = \sum_r d_r f_{ra}f_{rb}$ and $u_{ab} = \sum_r c_{ra}e_{rb}$"
        return f"The prior is of low rank: {products}; $g_a$ is free."

    def interaction(self, about: Unknowns) -> Array:
        count, labels = _bilocal(about)
        u, v = labels["u"], labels["v"]
        unit = _across(about)
        white: Any = numpyro.sample("white", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
        strength: Any = numpyro.sample("strength", dist.Normal(0.0, unit).expand([self.rank]).to_event(1))
        f, c, e = (
            jnp.asarray(numpyro.sample(name, dist.Normal(0.0, 1.0).expand([self.rank, count]).to_event(2)))
            for name in ("profile", "left", "right")
        )
        couplings = [about.scale[:count] * white]
        couplings.append(unit * jnp.sum(c[:, u[:, 0]] * e[:, u[:, 1]], axis=0) / np.sqrt(count))
        couplings.append(jnp.sum(strength[:, None] * f[:, v[:, 0]] * f[:, v[:, 1]], axis=0))
        return jnp.concatenate(couplings)

    def begins(self, about: Unknowns, data: Marginal) -> dict[str, Any]:
        """Leading products of the unrestricted estimate, its missing diagonals filled by the products themselves."""
        count, labels = _bilocal(about)
        rank, u, v, scale = self.rank, labels["u"], labels["v"], np.asarray(about.scale)
        unit = float(_across(about)) / np.sqrt(count)
        g, cross, square = np.split(np.asarray(data.centre), [count, count + len(u)])
        left, right = np.zeros((count, count)), np.zeros((count, count))
        left[u[:, 0], u[:, 1]] = cross
        right[v[:, 0], v[:, 1]] = right[v[:, 1], v[:, 0]] = square
        for _ in range(50):
            a, s, b = np.linalg.svd(left)
            np.fill_diagonal(left, np.diag((a[:, :rank] * s[:rank]) @ b[:rank]))
            values, vectors = np.linalg.eigh(right)
            order = np.argsort(-np.abs(values))[:rank]
            np.fill_diagonal(right, np.diag((vectors[:, order] * values[order]) @ vectors[:, order].T))
        size = np.sqrt(s[:rank] / unit)[:, None]
        return {
            "white": g / scale[:count],
            "strength": values[order] / count,
            "profile": vectors[:, order].T * np.sqrt(count),
            "left": a[:, :rank].T * size,
            "right": b[:rank] * size,
        }


def _bilocal(about: Unknowns) -> tuple[int, dict[str, np.ndarray]]:
    """Number of points and labels of the blocks, refused where they are not those of a bilocal action."""
    labels = bilocal_blocks(len(about.points))
    same = list(about.labels) == list(labels) and all(np.array_equal(about.labels[n], labels[n]) for n in labels)
    if not same:
        raise ValueError(
            f"expected the couplings g, u, v of a bilocal action for a prior of low rank, got {', '.join(about.labels)}"
            "; try m.Bilocal()"
        )
    return len(about.points), labels


def _across(about: Unknowns) -> Any:
    """Typical sd of a coupling of two points, for one network."""
    count = len(about.points)
    return jnp.median(about.scale[count:]) if count > 1 else 1.0
