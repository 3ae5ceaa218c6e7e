"""What 50 to 1000 networks can tell, too few for a fit of many couplings, and how many networks would decide the rest.

The error of an excess kurtosis is (24/n)^(1/2), .22 at n = 500, where a narrow network has .1 and a wide one .01. So
few networks give the two-point function, a test of Gaussianity that is exact at any n and an upper bound on eps4
(`gaussianity.py`), one or two couplings with intervals calibrated at this n (`pivot.py`), and the number of networks
that would decide. phi -> -phi is used throughout, and so are declared permutations of the points (reflections,
translations), each tested first: where every network is replaced by a random image of itself an invariant law stays
the same, which makes the test exact (E. Lehmann and J. Romano, Testing Statistical Hypotheses, 2005, ch. 15.2). A
network enters every average with the mean over its images: errors are over networks, never over (network, symmetry).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from ...models.actions.base import AbstractAction
from ...models.actions.rungs import Constant
from ...models.arrays import dense
from ...models.combinatorics import multiplicities, rank, sorted_tuples
from ...models.display import card, points_in_words
from ...models.refusals import checked_weights
from ...models.runtime import settled
from ...models.types import Matrix, Points, Vector
from ..ensembles.chains import ODD_ADVICE, check_independent
from ..ensembles.ensemble import Ensemble, check_key
from ..ensembles.samples import Samples
from ..equations.metric import check_gram
from ..equations.terms import terms_of
from ..estimators.measure import check_source, places_of
from ..methods.problem import LEAST_FEW
from .apart import check_apart
from .gaussianity import EPS4_LIMIT, Gaussianity, Group, connected, deciding, test_of_gaussianity
from .pivot import Intervals, intervals, uncertain

__all__ = ["Few", "check_few", "few_networks"]

_MOST = 20_000
_REJECTED = 1e-3  # a declared symmetry is refused at this p, the false-alarm rate of each
_RANDOM_IMAGES = 9999  # of the networks, in the test of a symmetry
_LARGEST_GROUP = 1000
_FAR = 0.05  # p of eps4 <= .3 below which a coupling has no interval: an excess of 1.6 standard deviations
_PAIRS = 6  # of G2 that are printed


@dataclass(frozen=True, eq=False)
class Few:
    """The answer of a few networks; print it.

    Attributes:
        points: (point, axis).
        networks: n.
        level: of the bounds (one-sided for eps4) and intervals (two-sided).
        group: number of permutations pooled, the identity included.
        symmetry_p: p-values of phi -> -phi and of each declared permutation.
        two_point: G2, (point, point), averaged over the group.
        two_point_error: over networks.
        kurtosis: excess kurtosis at each point, (point,), error (24/n)^(1/2) if Gaussian and nothing is pooled.
        gaussianity: statistic, p-value, eps4 with its noise subtracted, and the upper bound on it.
        names: the couplings, (coupling,).
        couplings: estimate, sandwich error and calibrated interval of each; NaN and the reason in `couplings.why` where
            eps4 = .3 is rejected at 5 %.
        decided_by: networks at which the estimated eps4, and one at the bound, would stand at 3 sigma.
        couplings_decided_by: the same for each coupling at its estimate, (coupling,); NaN without interval.
    """

    points: Points
    networks: int
    level: float
    group: int
    symmetry_p: tuple[float, ...]
    two_point: Matrix
    two_point_error: Matrix
    kurtosis: Vector
    gaussianity: Gaussianity
    names: tuple[str, ...]
    couplings: Intervals
    decided_by: tuple[float, float]
    couplings_decided_by: Vector

    @property
    def bounds(self) -> Vector:
        """Largest size of each coupling inside its interval, (coupling,)."""
        return np.maximum(np.abs(self.couplings.low), np.abs(self.couplings.high))

    def __str__(self) -> str:
        return "\n".join(_table(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        g, c = self.gaussianity, self.couplings
        bound = f"below {g.bound:.2g} at {self.level:.0%}" if np.isfinite(g.bound) else f"no bound at {self.level:.0%}"
        rows = [
            ("Gaussian?", f"p = {g.p:.3g}", f"statistic {g.statistic:.4g}, {g.expected:.4g} expected of a Gaussian"),
            ("eps4", f"{g.eps4:.2g}", f"{bound}; {_count(self.decided_by[1])} networks would decide at the bound"),
        ]
        for k, name in enumerate(self.names):
            inside = f"{self.level:.0%} within [{c.low[k]:.3g}, {c.high[k]:.3g}]"
            rows.append((name, f"{c.estimate[k]:+.3g}", f"no interval: {c.why}" if c.why else inside))
        title = f"What {self.networks:,} networks tell, at {points_in_words(self.points)}"
        return card(title, rows, head=("question", "answer", "how sure"))


@settled(None)
def few_networks(
    samples: Ensemble | Samples,
    *,
    action: AbstractAction = Constant(),  # noqa: B008 (a frozen module)
    symmetries: Sequence[Sequence[int]] = (),
    weights: Vector | None = None,
    level: float = 0.95,
    draws: int = 999,
    key: jax.Array,
) -> Few:
    """Two-point function, test of Gaussianity, bounds on eps4 and on one or two couplings, from 20 to 20 000 networks.

    Args:
        samples: an `Ensemble` or `Samples`.
        action: an action of few couplings, at most two or one for a hundred networks; its quadratic part is left free.
        symmetries: permutations of the points, as lists of point indices; the group they generate is pooled.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        level: of bounds and intervals.
        draws: Gaussian sets behind the p-value, whose smallest value is 1/(draws + 1), and sets behind the intervals.
        key: `jax.random.key(seed)` of everything drawn.

    A symmetry is refused at p <= 1e-3, its false-alarm rate. Couplings have no interval where eps4 <= .3 is rejected at
    5 %: so far from the Gaussian an action describes nothing.

    Raises:
        ValueError: too few or too many networks, a symmetry the data reject (its p-value is given), an action of too
            many couplings, a Gram matrix that cannot be inverted, a model whose draws carry weights.

    Example:
        >>> import jax, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> answer = few_networks(Samples(rng.normal(size=(200, 1)), np.zeros((1, 1))), key=jax.random.key(0))
        >>> answer.gaussianity.p > 0.05, answer.couplings.low[0] < 0.0 < answer.couplings.high[0]
        (True, np.True_)
    """
    check_key(key)
    check_source(samples)
    samples = places_of(samples)
    x = np.asarray(samples.points)
    points, n = len(x), samples.n
    _check_size(n, level, draws)
    if samples.weighted:
        raise ValueError(
            f"expected networks of equal weight, got a model with factors ({samples!r}); try inf.measure, "
            "or samples of the deformed density"
        )
    w = checked_weights(weights, points)
    check_independent(samples, "for so few of them", "inf.measure, whose errors come from blocks")
    fields = samples.read(0, n).astype(float)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    check_apart(fields.T @ fields / n, n)  # before anything is whitened
    check_few(action, points, n)
    declared = [_permutation(g, points) for g in symmetries]
    p = [_check_symmetry("phi -> -phi", [fields, -fields], odd=True, rng=rng)]
    for g in declared:
        images, place = [fields], g
        while not np.array_equal(place, np.arange(points)):
            images.append(fields[:, place])
            place = place[g]
        p.append(_check_symmetry(f"the permutation {g.tolist()}", images, odd=False, rng=rng))
    group = _generated(declared, points)
    two_point, error = _two_point(fields, group)
    check_gram(two_point)
    terms = terms_of(action, two_point, w)
    second, fourth = (part[0] for part in connected((fields / terms.scale)[None], group))
    diagonal = rank(np.repeat(np.arange(points)[:, None], 4, axis=1), points)
    tested = test_of_gaussianity(fields, group, level=level, draws=draws, rng=rng)
    if tested.far < _FAR:  # there sandwich errors and pivots miss, the more often the more networks (`pivot.py`)
        far = f"eps4 = {tested.eps4:.2g}, above {EPS4_LIMIT:g} with p = {tested.far:.1g} (limit {_FAR:g})"
        answer = uncertain(fields, terms, group, far)
    else:
        answer = intervals(fields, terms, group, level=level, draws=max(draws, 399), rng=rng)
    with np.errstate(divide="ignore"):
        decided = np.where(np.isfinite(answer.low), n * (3.0 * answer.error / answer.estimate) ** 2, np.nan)
    labels = [(name, at) for name, rows in action.blocks(points).items() for at in rows]
    return Few(
        points=x,
        networks=n,
        level=level,
        group=len(group),
        symmetry_p=tuple(p),
        two_point=two_point,
        two_point_error=error,
        kurtosis=fourth[diagonal] / np.diag(second) ** 2,
        gaussianity=tested,
        names=tuple(f"{name}({','.join(map(str, at))})" if len(at) else name for name, at in labels),
        couplings=answer,
        decided_by=(deciding(group, tested.eps4), deciding(group, tested.bound)),
        couplings_decided_by=decided,
    )


def _check_size(n: int, level: float, draws: int) -> None:
    if not LEAST_FEW <= n <= _MOST:
        advice = "drawing more" if n < LEAST_FEW else "inf.measure and inf.fit, which so many can carry"
        raise ValueError(f"expected {LEAST_FEW} to {_MOST} networks, got {n}; try {advice}")
    if not 0.5 <= level < 1.0:
        raise ValueError(f"expected a level between 0.5 and 1, got {level}; try level=0.95")
    if draws < 2.0 / (1.0 - level):
        raise ValueError(f"expected at least {2.0 / (1.0 - level):.0f} draws at level {level}, got {draws}; try 999")


def check_few(action: AbstractAction, points: int, n: int) -> None:
    """Refuse an action with more couplings than so few networks can measure.

    Raises:
        ValueError: no quartic action of the field at the points, or more couplings than n/100 (two at least).
    """
    if not isinstance(action, AbstractAction) or action.degree != 4 or action.of_modes or not action.even:
        raise ValueError(f"expected a quartic action of the field at the points, got {action!r}; try m.Constant()")
    most = max(2, n // 100)
    if action.size(points) > most:
        raise ValueError(
            f"expected at most {most} couplings from {n} networks, got {action.size(points)}; "
            "try m.Constant(), or inf.fit with more networks"
        )


def _permutation(given: Sequence[int], points: int) -> np.ndarray:
    g = np.asarray(given)
    if g.shape != (points,) or not np.array_equal(np.sort(g), np.arange(points)):
        raise ValueError(
            f"expected a symmetry as a permutation of the {points} points, got {given!r}; "
            f"try {list(range(points))[::-1]} for the reflection"
        )
    return g.astype(np.int64)


def _generated(declared: Sequence[np.ndarray], points: int) -> Group:
    """The group that the permutations generate, the identity first."""
    elements = {tuple(range(points)): None}
    edge = list(elements)
    while edge:
        edge = [new for old in edge for g in declared if (new := tuple(np.array(old)[g].tolist())) not in elements]
        elements.update(dict.fromkeys(edge))
        if len(elements) > _LARGEST_GROUP:
            raise ValueError(
                f"expected symmetries of a group of at most {_LARGEST_GROUP} permutations, got more; try fewer of them"
            )
    return np.array(list(elements))


def _two_point(fields: np.ndarray, group: Group) -> tuple[Matrix, Matrix]:
    """G2 averaged over the group, and its standard error over networks, (point, point) each."""
    n, points = fields.shape
    pairs = sorted_tuples(points, 2)
    each = np.mean([fields[:, g[pairs[:, 0]]] * fields[:, g[pairs[:, 1]]] for g in group], axis=0)
    return dense(each.mean(axis=0), points, 2), dense(each.std(axis=0, ddof=1) / np.sqrt(n), points, 2)


def _check_symmetry(name: str, images: list[np.ndarray], *, odd: bool, rng: np.random.Generator) -> float:
    """p-value of invariance from networks replaced by random images of themselves; a rejected symmetry is refused.

    Two statistics, squared norms of the mean of whitened fields and cubes (odd) or of pairs and quads, as far as they
    change from image to image; twice the smaller p.
    """
    values, vectors = np.linalg.eigh(np.mean([f.T @ f / len(f) for f in images], axis=0))
    white = (vectors / np.sqrt(values)) @ vectors.T  # the symmetric root: permutations act on it as on the field
    smallest = 1.0
    for order in (1, 3) if odd else (2, 4):
        tuples = sorted_tuples(len(white), order)
        base = np.array([np.prod((f @ white)[:, tuples], axis=-1) for f in images]) * np.sqrt(multiplicities(tuples))
        smallest = min(smallest, _image_p(base - base.mean(axis=0), rng))
    p = min(1.0, 2.0 * smallest)
    if p <= _REJECTED:
        raise ValueError(
            f"expected networks whose law {name} leaves alone, got p = {p:.1g} in the paired test; try "
            + (ODD_ADVICE if odd else "leaving that symmetry out")
        )
    return p


def _image_p(changes: np.ndarray, rng: np.random.Generator) -> float:
    """P-value of |sum_i d_i|^2 among sums of d of random images, changes (image, network, component)."""
    observed = float(np.sum(changes[0].sum(axis=0) ** 2))
    if not np.any(changes):
        return 1.0
    above, done = 0, 0
    for draws in (999, _RANDOM_IMAGES - 999):
        which = rng.integers(len(changes), size=(draws, changes.shape[1]))
        sums = sum((which == k).astype(float) @ change for k, change in enumerate(changes))
        # A sum equal to the observed one up to round-off counts as reaching it.
        above += int(np.count_nonzero(np.sum(np.square(sums), axis=1) >= observed * (1.0 - 1e-9)))
        done += draws
        if above > 10:
            break
    return (above + 1.0) / (done + 1.0)


def _table(f: Few) -> list[str]:
    """The lines of the printed answer, at most 100 columns."""
    g, c = f.gaussianity, f.couplings
    pooled = f"{f.group} permutations pooled" if f.group > 1 else "no permutation pooled"
    worst = int(np.argmax(np.abs(f.kurtosis)))
    pairs = sorted_tuples(len(f.points), 2)
    lines = [
        f"{f.networks:,} networks at {len(f.points)} points; phi -> -phi used, {pooled} "
        f"(smallest p {min(f.symmetry_p):.2g})",
        f"  excess kurtosis        {f.kurtosis[worst]:+.2g} at point {worst}, the largest; error (24/n)^(1/2) = "
        f"{np.sqrt(24.0 / f.networks):.2g}",
        f"  Gaussian?              p = {g.p:.3g}; statistic {g.statistic:.4g}, {g.expected:.4g} expected of a Gaussian",
        f"  eps4                   {g.eps4:.2g}, "
        + (f"below {g.bound:.2g} at {f.level:.0%}" if np.isfinite(g.bound) else f"no bound at {f.level:.0%}"),
    ]
    lines[1:1] = [
        f"  {f'G2({a},{b})':<22} {f.two_point[a, b]:.4g} +- {f.two_point_error[a, b]:.2g}" for a, b in pairs[:_PAIRS]
    ]
    if len(pairs) > _PAIRS:
        lines.insert(1 + _PAIRS, f"  ... {len(pairs) - _PAIRS} more in two_point")
    for k, name in enumerate(f.names):
        sure = f" +- {c.error[k]:.2g}, {f.level:.0%} within [{c.low[k]:.3g}, {c.high[k]:.3g}]"
        lines.append(f"  {name:<22} {c.estimate[k]:+.3g}" + (", no interval" if c.why else sure))
    if c.why:
        lines.append(f"  do not speak of an action: {c.why}")
    elif g.eps4 >= EPS4_LIMIT:
        lines.append(
            f"  eps4 >= {EPS4_LIMIT:g}, not beyond doubt: do not speak of an action before more networks say so"
        )
    lines.append("networks that would decide, at 3 sigma")
    lines.append(
        f"  eps4 as estimated      {_count(f.decided_by[0])};  as large as the bound: {_count(f.decided_by[1])}"
    )
    if not c.why:
        lines += [f"  {name:<22} {_count(f.couplings_decided_by[k])} as estimated" for k, name in enumerate(f.names)]
    return lines


def _count(number: float) -> str:
    return f"{number:.2g}" if 0.0 < number < np.inf else "-"
