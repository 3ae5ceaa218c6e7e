"""A Markov chain remembers: n of its fields are worth n/(2 tau) independent ones, and errors must say so.

    tau = 1/2 + sum_t rho(t),    n_eff = n/(2 tau),    tau = 1/2 where independent,

rho the autocorrelation in the order of the file, tau that of the slowest of a few observables (mean phi, mean phi^2,
phi at single points). Where the order shows no correlation nothing changes. Where it does, averages over blocks of 10
tau consecutive fields are nearly independent, and their spread is the error; what two neighbouring blocks share makes
their variance tau/length too small, which is put back. A. Sokal, Cargese lectures 1996; tau by Geyer's monotone
sequence (ArviZ).
"""

from typing import Any, NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats

__all__ = [
    "LEAST_WORTH",
    "LOOKED",
    "ODD_ADVICE",
    "Dependence",
    "check_independent",
    "check_worth",
    "dependence_of",
    "series_of",
]

LEAST_WORTH = 100  # independent fields a chain must be worth: below it tau itself is not known
ODD_ADVICE = (
    "a random sign for each network where phi -> -phi is a symmetry of their law (appended mirror images add nothing), "
    "subtracting a mean that is not meant, a longer run if a Markov chain has seen one phase only, or linear and cubic "
    "terms too where the symmetry is not there, inf.fit(data, m.Odd(m.Bilocal()), key=key)"
)
_BLOCK = 10.0  # tau in a block
_WINDOWS = (1, 4, 16, 64, 256)  # lags summed by the tests of independence
_ALARM = 3.3  # sd of a window's sum: of 25 such tests 7 in 1000 files of independent networks fail one
LOOKED = 2**20  # fields looked at
_SITES = 3  # points looked at one by one


class Dependence(NamedTuple):
    """What the order of n fields says: autocorrelation time, the observable it belongs to, and blocks to average over.

    `block` is 1 where the fields count as independent, else the least number of consecutive fields of a block; `whole`:
    a block is a whole chain, which no other remembers.
    """

    n: int
    tau: float = 0.5
    slowest: str = ""
    block: int = 1
    chains: int = 1
    whole: bool = False

    @property
    def effective(self) -> float:
        """Independent fields these are worth."""
        return self.n / (2.0 * self.tau)

    def inflation(self, length: float) -> float:
        """Variance of the mean over the one that blocks of this length show."""
        return 1.0 if self.block == 1 or self.whole else 1.0 / (1.0 - min(self.tau / length, 0.5))

    def __str__(self) -> str:
        chains = f"{self.chains} chains" if self.chains > 1 else "a chain"
        return (
            f"{chains} of {self.n} fields worth {self.effective:.0f} independent ones (autocorrelation time "
            f"{self.tau:.3g} of {self.slowest} in file order)"
        )


def series_of(fields: np.ndarray) -> np.ndarray:
    """The observables whose memory is looked at, (network, observable), single precision; names in `_names`."""
    sites = fields[:, : _SITES if fields.shape[1] > 1 else 0]
    columns = [fields.mean(axis=1), np.mean(np.square(fields, dtype=float), axis=1), *sites.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _names(count: int) -> list[str]:
    return ["mean phi", "mean phi^2", *[f"phi({a})" for a in range(count - 2)]]


def dependence_of(series: np.ndarray, n: int, *, chains: int | None, independent: bool | None) -> Dependence:
    """How n fields depend on each other, from the first of them.

    Args:
        series: from `series_of`, (network, observable), of the first networks.
        n: number of all.
        chains: so many chains of equal length lie one after the other; None where nobody said so.
        independent: True takes them as independent without a test, False as a chain whatever the tests say; None lets
            the tests decide where no chains are given.

    Example, an exact alternation of blocks of four:

        >>> import numpy as np
        >>> signs = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], size=500), 4)
        >>> chain = dependence_of(series_of(signs[:, None]), 2000, chains=None, independent=None)
        >>> 1.5 < chain.tau < 2.5
        True
    """
    if independent is True:
        return Dependence(n)
    columns = series.T.astype(float)
    moving = [k for k, x in enumerate(columns) if np.ptp(x) > 0]
    if chains is None and independent is None and not any(_remembers(columns[k]) for k in moving):
        return Dependence(n)
    length = len(series) if chains is None else n // chains
    whole = max(1, len(series) // length)
    worths = {k: _worth(columns[k][: whole * length].reshape(whole, -1)) for k in moving}
    slowest = min(worths, key=lambda k: worths[k])
    tau = max(0.5, 0.5 / worths[slowest])
    block = _rounded(_BLOCK * tau)
    alone = chains is not None and block >= length
    return Dependence(n, tau, _names(len(columns))[slowest], length if alone else block, chains or 1, alone)


def _rounded(length: float) -> int:
    """The next of 6, 8, 12, 16, 24, 32, ...: compiled programs know the length, and few of them serve all files."""
    power = 2 ** int(np.floor(np.log2(length)))
    return next(b for b in (power, 3 * power // 2, 2 * power) if b >= length)


def _remembers(x: np.ndarray) -> bool:
    """Whether a series remembers: sums of lagged products against their own spread, which heavy tails leave right."""
    x = x - x.mean()
    ahead = np.concatenate([[0.0], np.cumsum(x)])
    for window in _WINDOWS:
        count = len(x) - window
        if count < 20 * window:
            return False
        product = x[:count] * (ahead[1 + window : 1 + window + count] - ahead[1 : 1 + count])
        if product.sum() > _ALARM * np.sqrt(np.sum(product**2)):
            return True
    return False


def _worth(x: np.ndarray) -> float:
    """Effective over actual number of draws, (chain, draw), at most one."""
    if x.shape[1] < 8:  # too short to look inside: the chains count
        return 1.0 / x.shape[1]
    draws: Any = x
    effective = float(np.asarray(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean")))
    return min(1.0, effective / x.size) if np.isfinite(effective) else 1.0 / x.size


def check_independent(source: Any, purpose: str, instead: str) -> None:
    """Refuse a Markov chain where its memory cannot be taken into account, with a spacing that breaks it.

    Raises:
        ValueError: a chain; the message says how long it remembers.
    """
    if (chain := source.dependence).block > 1:
        step = int(np.ceil(4.0 * chain.tau))
        raise ValueError(
            f"expected independent networks {purpose}, got {chain}; try {instead}, Samples(array[::{step}], points), "
            "or independent=True if these are independent and the file is only sorted"
        )


def check_worth(source: Any) -> Dependence:
    """Refuse a chain too short to know its own errors.

    Raises:
        ValueError: fewer than 100 effective fields, with their number.
    """
    chain = source.dependence
    if chain.block > 1 and chain.effective < LEAST_WORTH:
        raise ValueError(
            f"expected independent networks, or a chain worth at least {LEAST_WORTH} of them, got n_eff = "
            f"{chain.effective:.0f}: {chain}; try a longer chain, or independent=True if these are independent and the "
            "file is only sorted"
        )
    return chain
