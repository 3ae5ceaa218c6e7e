"""A field that is a sum of neurons drawn independently: its averages from those of one neuron.

Cumulants of independent neurons add, G_c^(r)[phi] = N^(1-r/2) G_c^(r)[h] with h = W s one neuron, and the moments of h
factorise, <h_1..h_r> = mu_r sigma^r <s_1..s_r> (arXiv:2008.08601 eq. 2.9 and 2307.03223 sec. 2; mu_r the readout's r-th
moment). The output bias adds its variance to G2 and nothing else. Of several kinds of neurons the cumulants are
averaged; over a latent that all neurons share, the moments are (`latents.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from ..combinatorics import even_cumulants, even_moments, sorted_tuples
from ..neurons.base import AbstractNeuron
from ..types import Points
from .accuracy import Errors, cumulant_errors, moment_errors
from .latents import AbstractScale, LogNormalLength
from .readouts import AbstractReadout, Readout, readout_law

__all__ = ["HIGHEST", "Cumulants", "Independent"]

HIGHEST = 48  # even order up to which a sum is asked for what it knows
_LENGTH_NODES = 48  # over the shared length; two thirds of them give the error

ByOrder = dict[int, np.ndarray]


class Cumulants(NamedTuple):
    """Connected functions of a field.

    values: order -> components on sorted tuples, (component,), for 2, 4, .. up to the highest, and for 1, 3, .. of a
    field whose law is not even; errors: order ->
    absolute error of the largest component, none where it is missing; rule: "closed form" or "quadrature".
    """

    values: ByOrder
    errors: Errors = {}  # noqa: RUF012
    rule: str = "closed form"


@dataclass(frozen=True)
class Independent:
    """phi = N^(-1/2) sum_i W_i s_i(x) + b1: what a sum of neurons is made of, and what is known of it.

    Attributes:
        kinds: kinds of neurons in equal shares.
        width: number of neurons N.
        readout: law of a readout weight W_i/sigma, or its word.
        output_scale: sigma.
        output_bias: standard deviation of b1.
        shared_scale: tau, which multiplies the readout variance of all neurons, or None.
        shared_length: l, which divides the points of all neurons, or None.
    """

    kinds: tuple[AbstractNeuron, ...]
    width: int
    readout: Readout
    output_scale: float
    output_bias: float
    shared_scale: AbstractScale | None
    shared_length: LogNormalLength | None

    @property
    def law(self) -> AbstractReadout:
        """The law of a readout weight before its scale."""
        return readout_law(self.readout)

    @property
    def orders(self) -> tuple[int, ...]:
        """Even orders, up to 48, at which `cumulants` answers: those that every neuron and the shared scale have."""
        stretched = self.shared_length is not None
        known = [kind.orders_over_lengths if stretched else kind.orders for kind in self.kinds]
        below = np.inf if self.shared_scale is None else self.shared_scale.orders
        return tuple(takewhile(lambda r: r < below and all(r in one for one in known), range(2, HIGHEST + 1, 2)))

    @property
    def site_orders(self) -> tuple[int, ...]:
        """Even orders, up to 48, at which `site_moments` answers."""
        known = [kind.site_orders for kind in self.kinds]
        return tuple(takewhile(lambda r: all(r in one for one in known), range(2, HIGHEST + 1, 2)))

    @property
    def period(self) -> float:
        """Length after which all neurons repeat; infinite where lengths are drawn."""
        own = {kind.period for kind in self.kinds}
        return own.pop() if len(own) == 1 and self.shared_length is None else float("inf")

    @property
    def spacing(self) -> float:
        """Of the lattice that all neurons share, else zero."""
        own = {kind.spacing for kind in self.kinds}
        return own.pop() if len(own) == 1 and self.shared_length is None else 0.0

    def cumulants(self, points: Points, top: int) -> Cumulants:
        """Connected functions of order 2, 4, .., top with their errors and the rule behind them."""
        scale, count = self.shared_scale, len(points)
        rules: set[str] = set()
        if scale is None and self.shared_length is None:
            cumulants, errors = self.given_shared(points, top, rules)
        else:
            (moments, errors), *fewer = (self._over_lengths(points, top, rule, rules) for rule in self.latent_rules())
            for coarse, _ in fewer:
                errors = {r: errors[r] + float(np.max(np.abs(moments[r] - coarse[r]))) for r in moments}
                rules.add("quadrature")
            if scale is not None:  # given tau, phi without its bias is sqrt(tau) times the field of tau = 1
                moments = {r: scale.moment(r // 2) * value for r, value in moments.items()}
                errors = {r: scale.moment(r // 2) * error for r, error in errors.items()}
            cumulants = even_cumulants(moments, count)
            errors = cumulant_errors(moments, cumulants, errors)
        if cumulants:
            cumulants[2] = cumulants[2] + self.output_bias**2
        return Cumulants(cumulants, errors, "quadrature" if "quadrature" in rules else "closed form")

    def given_shared(self, points: Points, top: int, rules: set[str]) -> tuple[ByOrder, Errors]:
        """Connected functions at tau = 1 without output bias: N^(1-r/2) times the mean over kinds, and their errors."""
        out: ByOrder = {}
        errors: Errors = {}
        for kind in self.kinds:
            neuron: ByOrder = {}
            given: Errors = {}
            for order in range(2, top + 1, 2):
                value, error = kind.moments(points, sorted_tuples(len(points), order))
                factor = self.law.moment(order) * self.output_scale**order
                neuron[order], given[order] = factor * value, factor * error
                rules.add(kind.rule if error > 0.0 else "closed form")
            cumulants = even_cumulants(neuron, len(points))
            for order, error in cumulant_errors(neuron, cumulants, given).items():
                share = self.width ** (1.0 - order / 2.0) / len(self.kinds)
                out[order] = out.get(order, 0.0) + share * cumulants[order]
                errors[order] = errors.get(order, 0.0) + share * error
        return out, errors

    def _over_lengths(
        self, points: Points, top: int, lengths: list[tuple[float, float]], rules: set[str]
    ) -> tuple[ByOrder, Errors]:
        """Moments without output bias at tau = 1, averaged over the shared length."""
        total: ByOrder = {}
        errors: Errors = {}
        for length, weight in lengths:
            given, error = self.given_shared(points / length, top, rules)
            moments = even_moments(given, len(points))
            for r, more in moment_errors(moments, given, error).items():
                total[r] = total.get(r, 0.0) + weight * moments[r]
                errors[r] = errors.get(r, 0.0) + weight * more
        return total, errors

    def latent_rules(self) -> Iterator[list[tuple[float, float]]]:
        """Lengths that all neurons share, with weights: the rule, and a coarser one whose difference is its error."""
        if self.shared_length is None:
            yield [(1.0, 1.0)]
            return
        for count in (_LENGTH_NODES, 2 * _LENGTH_NODES // 3):
            lengths, weights = self.shared_length.nodes(count)
            yield list(zip(lengths.tolist(), weights.tolist(), strict=True))

    def site_moments(self, points: Points, order: int) -> Float[np.ndarray, "half point"]:
        """Exact <phi(x)^2r> at each single point for 2r = 2, 4, ..., order, (order/2, point).

        At finite width: what decides whether a plain average of phi^n can be trusted, since its relative error from n
        networks is sqrt((<phi^2n>/<phi^n>^2 - 1)/n). Beyond floating point the answer is inf or nan.
        """
        half, x = order // 2, np.asarray(points, dtype=float)
        degree = np.arange(1, half + 1)
        weights = np.array([self.law.moment(2 * r) for r in degree.tolist()])
        weights = (weights * self.output_scale ** (2.0 * degree))[:, None]
        width = self.width ** (1.0 - degree)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            # Recursion m_n = sum_k C(n-1, k-1) kappa_k m_{n-k}, both ways, even orders only.
            moments = np.zeros((half, len(x)))
            for size, share in next(self.latent_rules()):
                kappa = np.zeros_like(moments)
                for kind in self.kinds:
                    h = weights * np.stack([kind.site_moment(x / size, 2 * r) for r in degree.tolist()])
                    kappa += width * _even_recursion(h, to_cumulants=True) / len(self.kinds)
                moments += share * _even_recursion(kappa, to_cumulants=False)
            if self.shared_scale is not None:
                moments *= np.array([self.shared_scale.moment(r) for r in degree.tolist()])[:, None]
            kappa = _even_recursion(moments, to_cumulants=True)
            kappa[0] += self.output_bias**2
            return _even_recursion(kappa, to_cumulants=False)


def _even_recursion(known: np.ndarray, *, to_cumulants: bool) -> np.ndarray:
    half, count = known.shape
    out = np.zeros_like(known)
    moments = known if to_cumulants else out
    kappas = out if to_cumulants else known
    for r in range(1, half + 1):
        mixed = np.zeros(count)
        for k in range(1, r):
            mixed += special.comb(2 * r - 1, 2 * k - 1, exact=True) * kappas[k - 1] * moments[r - k - 1]
        out[r - 1] = known[r - 1] - mixed if to_cumulants else known[r - 1] + mixed
    return out
