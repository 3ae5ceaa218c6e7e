"""OS0, growth of moments: <phi^n> must not grow faster than some power of n!, or correlators are no distributions.

With p (log <phi^p>)'' -> s + v p at large p the moments grow like (p!)^s where v = 0, and like e^(v p^2/2), as those of
a log-normal law do, where it is positive (the linear growth condition of K. Osterwalder and R. Schrader, Commun. Math.
Phys. 42 (1975) 281). Up to s = 1 the moments also determine the law (T. Carleman, 1926). A sum of independent neurons
has the s and v of one of them.
"""

from collections.abc import Iterator

import numpy as np

from ...models.networks.independent import HIGHEST, Independent
from ...models.refusals import NotKnown
from ...models.types import Vector
from ..reflections.known import Known
from .axiom import OPEN, UNSEEN, VIOLATED, Axiom

__all__ = ["growth", "growth_rates"]

_WORDS = "growth of moments"
_TOP = 32  # of a theory that is no network
_FIRST = 8  # order from which on the growth is looked at
_RISE = 0.05  # of p (log m_p)'' over the orders looked at, above which it does not settle
_STEADY = 0.7  # of the rise, which the later half of the orders must show
_LEAST = 5  # orders beyond the first


def growth(theory: Known) -> Axiom:
    """How fast the moments of one field grow with their order, from as many of them as are known.

    Example, bounded waves with Gaussian readouts, and log-normal neurons:
        >>> from nnft import models as m
        >>> print(growth(Known.of_model(m.Network(m.Cos(), width=3))))
        OS0 growth of moments: no violation; <phi^n> grows like (n!)^0.51 up to n = 48, and determines the law
        >>> growth(Known.of_model(m.Network(m.Gauss(), width=3))).verdict
        'violated'
    """
    parts = None if theory.model is None else theory.model.as_sum
    below = None if parts is None or parts.shared_scale is None else parts.shared_scale.orders
    if below is not None and np.isfinite(below):
        return Axiom(
            "OS0", _WORDS, VIOLATED, f"moments of order {below:g} and above do not exist", float("inf"), np.inf
        )
    tables = [logs for logs in _tables(theory, parts) if len(logs) >= _FIRST // 2 + _LEAST]
    if not tables:
        top = max(theory.orders, default=0)
        return Axiom("OS0", _WORDS, OPEN, f"moments are known up to order {top} only", needed=float("inf"))
    rates = [growth_rates(logs) for logs in tables]
    top = 2 * max(map(len, tables))
    power, rise = max(rates, key=lambda one: (one[1], one[0]))
    if rise > 0.0:
        words = f"<phi^n> grows like exp({rise / 2.0:.3g} n^2), faster than any power of n!, up to n = {top}"
        return Axiom("OS0", _WORDS, VIOLATED, words, rise, float("inf"))
    power = max(one[0] for one in rates)
    law = ", and determines the law" if power < 1.1 else ", too fast to determine the law"
    return Axiom("OS0", _WORDS, UNSEEN, f"<phi^n> grows like (n!)^{power:.2g} up to n = {top}{law}", power, np.inf)


def growth_rates(logs: Vector) -> tuple[float, float]:
    """The power s of n!, and v where moments grow like e^(v n^2/2) (else zero), from log <phi^2>, log <phi^4>, ..

    >>> gaussian = np.cumsum(np.log(np.arange(1.0, 48.0, 2.0)))   # log (2r - 1)!!
    >>> s, v = growth_rates(gaussian)
    >>> round(s, 2), v
    (0.5, 0.0)
    >>> s, v = growth_rates(gaussian + 0.05 * np.arange(2.0, 50.0, 2.0) ** 2)
    >>> round(v, 2)
    0.1
    """
    order = 2.0 * np.arange(2, len(logs))
    bend = order * np.diff(logs, 2) / 4.0
    late = order >= _FIRST
    half = len(order) // 2
    slope, later = (float(np.polyfit(order[part], bend[part], 1)[0]) for part in (late, slice(half, None)))
    # What only approaches its power, as the moments of a Gamma law do, rises ever more slowly.
    rise = slope if slope * (order[-1] - order[late][0]) > _RISE and later > _STEADY * slope else 0.0
    return float(bend[-1] - rise * order[-1]), rise


def _tables(theory: Known, parts: Independent | None) -> Iterator[Vector]:
    """The log of <phi^2>, <phi^4>, .. as far as they are finite, of one neuron where they are independent."""
    if parts is not None:
        x = np.zeros((2, theory.dimension))
        x[1, theory.axis] = theory.scale
        scale = parts.shared_scale
        for kind in parts.kinds:
            try:
                orders = [r for r in range(2, HIGHEST + 1, 2) if r in kind.site_orders]
                sites = np.array([kind.site_moment(x, r) for r in orders])
                common = [_finite(np.array([parts.law.moment(r) for r in orders]))]
                common += [] if scale is None else [_finite(np.array([scale.moment(r // 2) for r in orders]))]
            except NotKnown:
                continue
            for column in sites.T:
                logs = [_finite(column), *common]
                least = min(map(len, logs))
                yield np.sum([one[:least] for one in logs], axis=0)
    elif theory.site_moment is not None:
        yield _finite(np.array([theory.site_moment(r) for r in range(2, _TOP + 1, 2)]))
    elif theory.model is not None and theory.model.knows_sites:
        found = theory.model.site_moments(np.full((1, theory.dimension), theory.scale), HIGHEST)
        yield from (() if found is None else (_finite(column) for column in found.T))


def _finite(moments: Vector) -> Vector:
    """Logs up to the first that is beyond floating point."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        logs = np.log(moments)
    bad = np.flatnonzero(~np.isfinite(logs))
    return logs[: bad[0]] if len(bad) else logs
