"""Is the mean of differences zero? T^2 where its F law holds, else of fewer directions, or by flipping signs.

Where groups of networks contribute evenly T^2 has the F law of Hotelling, which costs nothing and has no smallest
p-value. Of heavy tails few groups make the small eigenvalues of the covariance, and true nulls fail. Then

- of a group whose one element is its own inverse, d_g of group g of the networks is as likely negative as positive,
  exactly: a network and its image have one law, the other way round too. Signs are flipped at random, which the sum of
  squares C = sum_g d_g d_g^T does not notice, and T^2(s) = S C^-1 S, S = sum_g s_g d_g, of many flips s is the law that
  the actual one is held against, for any tails: the test of R. A. Fisher (The Design of Experiments, 1935, sec. 21).
  Beyond all flips that were tried, P(T^2 >= k + 2 sqrt(k x) + 2 x) <= exp(-x) of k directions bounds all of them,
  since sums of random signs fall like a Gaussian (D. Hsu, S. Kakade and T. Zhang, Electron. Commun. Probab. 17 (2012)
  52);
- of any other group differences are skew: derivatives along a shift, or differences under one. The leading directions,
  in units of the field, are made by many networks: T^2 takes as many of them as keep its excess small, and by flips the
  first few where not even the first is so.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...models.distance import Chi2, hotelling, leading
from ...models.types import Vector

__all__ = ["vanishes"]

_EXCESS = 0.03  # of T^2 over its Gaussian mean, as in models/distance.py
_TOLERATED = 0.1  # the same of leading directions: nulls of cosines at 20,000 networks are uniform up to .15
_FEW = 0.01  # of the number of groups: directions whose signs are flipped though nothing makes them even
_FLIPS = 10_000
_BLOCK = 1 << 22
_ROUNDING, _SEEN = 1e-8, 1e-5  # spread, and sum, in units of the natural spread: nothing, and something


def vanishes(
    parts: Float[np.ndarray, "group direction"], *, natural: float = 0.0, inflation: float = 1.0, even: bool = False
) -> Chi2:
    """The distance of a sum over groups from zero, in the directions that have any spread.

    Args:
        parts: what each group contributes to the sum.
        natural: size of what nothing cancels in; directions whose spread is round-off of that have none.
        inflation: variance of the sum over the one that groups show, of a Markov chain.
        even: whether contributions are as likely negative as positive.

    Example, nine differences of one and one of minus one: flips do as well 22 times in 1024.
        >>> chi2 = vanishes(np.array([[1.0]] * 9 + [[-1.0]]), even=True)
        >>> round(chi2.value, 2), chi2.dof, 0.015 < chi2.p < 0.03
        (16.0, 1, True)
    """
    groups, mean = len(parts), parts.mean(axis=0)
    rows = (parts - mean) * np.sqrt(groups / max(groups - 1.0, 1.0) * inflation)
    error = np.sqrt(np.sum(rows**2, axis=0))
    keep = error > _ROUNDING * natural
    if np.any(np.abs(groups * mean[~keep]) > _SEEN * natural):
        return Chi2(float("inf"), int(np.sum(~keep)), 0.0, "the same violation in every network")
    if not np.any(keep):
        return Chi2(0.0, 0, 1.0, f"all {parts.shape[1]} directions are zero in every network")
    whole = _seen(rows[:, keep] / error[keep], parts[:, keep] / error[keep])
    carried = whole.kept < whole.resolved
    why = f"{whole.kept} of {parts.shape[1]} directions"
    why += f", as many as {groups} groups of networks carry" if carried else ""
    if whole.excess[-1] <= _EXCESS and groups >= 4 * whole.kept:
        return whole.chi2(whole.kept, why)
    few = f"since few of {groups} groups weigh much"
    if even:
        return whole.chi2(whole.kept, f"{why}, by flips of signs {few}", inflation)
    own = _seen(rows[:, keep], parts[:, keep])  # in units of the field: leading directions are made by many networks
    fine = np.flatnonzero(own.excess <= _TOLERATED)
    if len(fine) and groups >= 4:
        taken = int(fine[-1]) + 1
        return own.chi2(taken, f"{taken} leading of {parts.shape[1]} directions {few} in the others")
    taken = min(own.kept, max(1, int(_FEW * groups)))
    return own.chi2(taken, f"{taken} leading of {parts.shape[1]} directions, by flips of signs {few}", inflation)


class _Seen(NamedTuple):
    """What groups contribute along directions of unit spread, leading ones first: about their mean, and as it is."""

    white: Float[np.ndarray, "group kept"]
    along: Float[np.ndarray, "group kept"]
    resolved: int

    @property
    def kept(self) -> int:
        return self.white.shape[1]

    @property
    def excess(self) -> Vector:
        """Of T^2 of the first one, two, .. directions over its mean under even contributions."""
        leverage, count = np.cumsum(self.white**2, axis=1), np.arange(1.0, self.kept + 1.0)
        return np.sum(leverage**2, axis=0) / count - (count + 2.0) / len(self.white)

    def chi2(self, taken: int, why: str, flipped: float | None = None) -> Chi2:
        """T^2 of the first so many directions, by its F law or by flips of a sum inflated so much."""
        along = self.along[:, :taken]
        statistic = float(np.sum(np.sum(along, axis=0) ** 2))
        p = hotelling(statistic, taken, len(along) - 1.0) if flipped is None else _flipped(along, flipped)
        return Chi2(statistic, taken, p, why)


def _seen(rows: Float[np.ndarray, "group kept"], parts: Float[np.ndarray, "group kept"]) -> _Seen:
    vectors, sizes, resolved = leading(rows, networks=np.inf, dof=len(rows) - 1.0, connected=False)
    axes = vectors / np.sqrt(sizes)
    return _Seen(rows @ axes, parts @ axes, resolved)


def _flipped(along: Float[np.ndarray, "group direction"], inflation: float) -> float:
    """The p-value by flips; where none of them does as well, the bound on all that there are."""
    root = np.linalg.svd(along, full_matrices=False)[0].astype(np.float32)  # S C^-1 S: squared length of their sum
    actual, directions = float(np.sum(np.sum(root, axis=0) ** 2)) / inflation, root.shape[1]
    rng, above, block = np.random.default_rng(0), 0, max(1, _BLOCK // len(root))
    for start in range(0, _FLIPS, block):
        signs = 2 * rng.integers(0, 2, size=(min(block, _FLIPS - start), len(root)), dtype=np.int8) - 1
        above += int(np.sum(np.sum((signs.astype(np.float32) @ root) ** 2, axis=1) >= actual * (1.0 - 1e-6)))
    if above:
        return (1.0 + above) / (1.0 + _FLIPS)
    beyond = 0.5 * (np.sqrt(max(2.0 * actual - directions, 0.0)) - np.sqrt(directions))
    return float(min(np.exp(-(max(beyond, 0.0) ** 2)), 1.0 / (1.0 + _FLIPS)))
