"""Two ensembles whose networks belong together, one by one: the difference of their correlators, and its own error.

Networks before and after training, of two widths or two activations drawn with the same keys, fluctuate together, and
most of it drops out of the difference. Both are summed over the same groups of networks, so that the rows behind their
covariances subtract: Cov(a - b) = sum over groups of (a_g - b_g)(a_g - b_g)^T, with no assumption on the pairs.
"""

from dataclasses import replace

from ...models.correlators import Correlators
from ..ensembles.source import Source
from ..estimators.measure import check_source, measure

__all__ = ["check_pairs", "paired", "paired_difference"]


def paired(first: Source, second: Source, *, orders: tuple[int, ...] | None = None) -> Correlators:
    """Correlators of the first ensemble minus those of the second, network i of one being paired with i of the other.

    Args:
        first: an `Ensemble`, or `Samples`.
        second: another of the same key or in the same order, as many networks at as many points; models, data and
            training may differ.
        orders: as in `inf.measure`.

    Returns:
        Correlators with covariance; `chi2(order)` tests whether the two agree. Independent ensembles are compared by
        `inf.measure(first) - inf.measure(second)`, whose errors add in quadrature.

    Raises:
        ValueError: other numbers of networks, points or outputs; weighted networks or a Markov chain, which have no
            pairs.

    Example, the same weights under two activations:
        >>> import jax, numpy as np
        >>> from nnft.inference import Ensemble, measure
        >>> from nnft.models import Erf, Network, Tanh
        >>> recipe = {"points": np.ones((1, 1)), "n": 4000, "key": jax.random.key(0)}
        >>> a, b = Ensemble(Network(Erf(), 9), **recipe), Ensemble(Network(Tanh(), 9), **recipe)
        >>> together, apart = paired(a, b, orders=(2,)).error(2), (measure(a) - measure(b)).error(2)
        >>> bool(together < 0.3 * apart)
        True
    """
    for source in (first, second):
        check_source(source)
    return paired_difference(measure(first, orders=orders), measure(second, orders=orders))


def paired_difference(first: Correlators, second: Correlators) -> Correlators:
    """The same of correlators measured of two sources that belong together.

    Raises:
        ValueError: as `paired`.
    """
    a, b = first.source, second.source
    if a is None or b is None:
        raise ValueError("expected correlators measured of networks, got others; try first - second")
    check_pairs(a, b)
    difference = first - replace(second, points=first.points)
    rows = {
        kind: {r: table[r] - second.rows[kind][r] for r in table if r in second.rows.get(kind, {})}
        for kind, table in first.rows.items()
    }
    return replace(difference, rows=rows, dof=first.dof, networks=float(a.n), groups=True, about={"paired": True})


def check_pairs(a: Source, b: Source) -> None:
    """Refuse sources whose networks do not belong together one by one.

    Raises:
        ValueError: weighted networks, a Markov chain, other numbers of networks or places.
    """
    if a.weighted or b.weighted or a.dependence.block > 1 or b.dependence.block > 1:
        raise ValueError(
            "expected independent networks of equal weight, which pair one by one, got weighted ones or a Markov "
            "chain; try inf.measure(first) - inf.measure(second) of two independent ensembles"
        )
    if (a.n, a.places) != (b.n, b.places) or a.grouping != b.grouping:
        raise ValueError(
            f"expected as many networks at as many places, got {a.n} at {a.places} and {b.n} at {b.places}; try the "
            "same n and points for both, or inf.measure(first) - inf.measure(second)"
        )
