"""Is the mean of differences zero? T^2 where its F law holds, else by flipping the signs of groups of networks.

A difference between a network and its image is as likely to be negative as positive where the symmetry holds, to the
order that matters: both have one law. So the signs of what G groups of networks contribute, d_g, can be flipped at
random. The sum of squares C = sum_g d_g d_g^T does not notice, and

    T^2(s) = S C^-1 S,    S = sum_g s_g d_g,

of many flips s is the law that the actual one is held against, however few groups make it: the test of R. A. Fisher
(The Design of Experiments, 1935, sec. 21). Beyond all flips that were tried, P(T^2 >= k + 2 sqrt(k x) + 2 x) <= exp(-x)
of k directions bounds all of them, since sums of random signs fall like a Gaussian (D. Hsu, S. Kakade and T. Zhang,
Electron. Commun. Probab. 17 (2012) 52). Where groups contribute evenly it is the F law of Hotelling, which costs
nothing and has no smallest p-value.
"""

import numpy as np
from jaxtyping import Float

from ...models.distance import Chi2, hotelling, leading

__all__ = ["vanishes"]

_EXCESS = 0.03  # of T^2 over its Gaussian mean, as in models/distance.py
_FLIPS = 10_000
_BLOCK = 1 << 22
_ROUNDING, _SEEN = 1e-8, 1e-5  # spread, and sum, in units of the natural spread: nothing, and something


def vanishes(parts: Float[np.ndarray, "group direction"], *, natural: float = 0.0, inflation: float = 1.0) -> Chi2:
    """The distance of a sum over groups from zero, in the directions that have any spread.

    Args:
        parts: what each group contributes to the sum.
        natural: size of what nothing cancels in; directions whose spread is round-off of that have none.
        inflation: variance of the sum over the one that groups show, of a Markov chain.

    Example, nine differences of one and one of minus one: flips do as well 22 times in 1024.
        >>> chi2 = vanishes(np.array([[1.0]] * 9 + [[-1.0]]))
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
    scaled = rows[:, keep] / error[keep]
    vectors, sizes, resolved = leading(scaled, networks=np.inf, dof=groups - 1.0, connected=False)
    kept = vectors.shape[1]
    axes = vectors / np.sqrt(sizes)
    white = scaled @ axes
    along = (parts[:, keep] / error[keep]) @ axes
    statistic = float(np.sum(np.sum(along, axis=0) ** 2))
    why = f"{kept} of {parts.shape[1]} directions"
    if kept < resolved:
        why += f", as many as {groups} groups of networks carry"
    excess = float(np.sum(np.sum(white**2, axis=1) ** 2) / kept - (kept + 2.0) / groups)
    p, how = hotelling(statistic, kept, groups - 1.0), ""
    if excess > _EXCESS or groups < 4 * kept:
        p, how = _flipped(along, inflation), f", by flips of signs since few of {groups} groups weigh much"
    return Chi2(statistic, kept, p, why + how)


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
