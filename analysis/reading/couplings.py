"""One coupling of a fit: its letter and labels, its posterior beside its prior, and how well it was sampled."""

from typing import NamedTuple

from ...models.actions.base import Symbol

__all__ = ["HYPER", "INTERVAL", "Coupling", "indices"]

INTERVAL = 0.89
HYPER = ("amplitude", "length", "discrepancy")  # of the smooth prior, one a block of couplings


class Coupling(NamedTuple):
    """One coupling: its site, its labels ("0,1"), and the numbers a table or a figure shows.

    where: point labels, empty for a single number; a displacement where its symbol says so; of a hyper-parameter the
    block. symbol: how the action writes it.
    bias: what tree level leaves out, mean less truth, of a fit by method "tree"; else nan.
    """

    site: str
    where: str
    mean: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    ess: float
    rhat: float
    bias: float = float("nan")
    symbol: Symbol = Symbol("")

    @property
    def z(self) -> float:
        """Posterior mean in units of its standard deviation."""
        return self.mean / self.sd if self.sd > 0 else 0.0

    @property
    def step(self) -> bool:
        """Whether it belongs to a displacement, and not to points."""
        return self.symbol.step

    @property
    def text(self) -> str:
        """As in `fit["posterior"]`: u[0,1]; u(1,0) of a displacement; the one quartic coupling is lambda."""
        if not self.where:
            return self.symbol.plain or self.site
        return f"{self.site}({self.where})" if self.step else f"{self.site}[{self.where}]"

    @property
    def tex(self) -> str:
        """In TeX."""
        if not self.where:
            return self.symbol.tex
        return f"{self.symbol.tex}({self.where})" if self.step else f"{self.symbol.tex}_{{{indices(self.where)}}}"


def indices(where: str) -> str:
    """Point labels without commas where no label has two digits.

    >>> indices("0,0,1,2"), indices("0,0,1,12")
    ('0012', '0,0,1,12')
    """
    parts = where.split(",")
    return "".join(parts) if all(len(part) == 1 for part in parts) else where
