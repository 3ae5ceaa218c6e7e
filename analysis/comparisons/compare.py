"""Which action? A ladder of them judged on networks they were not fitted to, with what each explains and leaves out.

Every action is fitted by score matching in one metric W, fixed before, to one part of the networks, and scored on the
other: the held-out gain is J_Gauss - J, J = <1/2 grad S.W grad S - lap_W S> the Hyvarinen score, its error that of the
mean difference over the same networks. Shares are against the richest action, which is named. Beside them what is left
of the four-point function, min ||G4c - tree level||/||G4c||, in the plain and in the whitened norm, Wald's test of the
action inside the richest and Rao's of the terms it leaves out, both with the sandwich A^-1 B A^-1/n. The last row is a
control: cubic terms, whose true coupling is exactly zero if phi -> -phi is a symmetry: its tests must find nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ...inference.engines.executors import Executor
from ...inference.engines.memory import expect_memory
from ...inference.ensembles.chains import check_independent
from ...inference.ensembles.source import Source
from ...inference.equations.from_fields import observe
from ...inference.equations.metric import choose_metric
from ...inference.equations.schwinger_dyson import moment_equations, scaled_moments
from ...inference.equations.terms import Terms, terms_of
from ...inference.estimators.measure import MIN_NETWORKS, measure, places_of
from ...inference.shards.parts import Parts
from ...models.actions.base import AbstractAction
from ...models.actions.rungs import Bilocal, Constant, FullQuartic, Local
from ...models.analytic.exact import exact_if_known
from ...models.correlators import Correlators
from ...models.diagrams.from_couplings import four_point, whitened
from ...models.types import Matrix, Vector
from .nested import (
    GAUSSIAN,
    Controlled,
    Hotelling,
    complement,
    cubes,
    embedded,
    frobenius,
    held_out_scores,
    left_over,
    noises,
    rao_test,
    wald_test,
)

__all__ = ["Comparison", "Row", "compare"]

_QUARTIC_POINTS = 8  # up to here the full quartic (330 couplings) ends the default ladder
_DEALT = 24.0  # bytes a network takes while networks are dealt: its number, the numbers that order it, its place
_MOST = 2**31 - 1  # networks that are dealt
_PARTS = 64  # that an executor gets
CONTROL = "control: odd cubic"


class Row(NamedTuple):
    """One action. Numbers come as (value, standard error); the error is nan where there is none, None not computed.

    name; couplings: of the interaction; gain: J_Gauss - J on held-out networks; share: of the richest action's gain;
    plain, white: what is left of G4c at tree level, relative, in both norms; wald: the action inside the richest; rao:
    the terms it leaves out, at its own estimate.
    """

    name: str
    couplings: int
    gain: tuple[float, float]
    share: tuple[float, float] | None
    plain: tuple[float, float] | None
    white: tuple[float, float] | None
    wald: Hotelling | None
    rao: Hotelling | None


@dataclass(frozen=True)
class Comparison:
    """The ladder as a table; prints itself, at most 110 columns.

    Attributes:
        rows: the best Gaussian, the actions in the order given, and the control where there are networks.
        richest: name of the action the shares refer to.
        networks: (fitted to, scored on); infinite for exact correlators.
        metric: W, (point, point).
        metric_from: where it came from.
        four_point_from: "exact" or "measured".
    """

    rows: tuple[Row, ...]
    richest: str
    networks: tuple[float, float]
    metric: Matrix
    metric_from: str
    four_point_from: str

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"expected one of {[row.name for row in self.rows]}, got {name!r}; try {self.richest!r}")

    def __str__(self) -> str:
        head = f"{'action':<20}{'couplings':>10}{'held-out gain':>22}{'share':>16}{'G4c left':>12}{'whitened':>11}"
        lines = [f"{head}{'p (Wald)':>11}{'p (Rao)':>11}"]
        for row in self.rows:
            cells = [f"{row.name:<20}{row.couplings:>10}", f"{_value(row.gain):>22}", f"{_percent(row.share):>16}"]
            left = ((row.plain, 12), (row.white, 11))
            cells += [f"{'-' if pair is None else f'{pair[0]:.3f}':>{width}}" for pair, width in left]
            cells += [f"{'-' if test is None or not test.dof else _chance(test.p):>11}" for test in (row.wald, row.rao)]
            lines.append("".join(cells))
        fitted, scored = self.networks
        who = "exact correlators" if np.isinf(fitted) else f"fitted to {fitted:,.0f} networks, scored on {scored:,.0f}"
        lines.append(f"{who}; W: {self.metric_from}; shares of {self.richest}; G4c {self.four_point_from}")
        return "\n".join(lines)

    __repr__ = __str__


def compare(
    data: Correlators | Source,
    actions: Mapping[str, AbstractAction] | None = None,
    *,
    key: jax.Array,
    metric: Matrix | None = None,
    weights: Vector | None = None,
    held_out: float = 0.5,
    progress: bool = False,
    executor: Executor | None = None,
) -> Comparison:
    """Held-out score, share, effect size and tests of every action of a ladder, in one table.

    Args:
        data: networks (`Ensemble`, `Samples`, `Parts`, or `inf.measure(...)` of them), or exact correlators of orders
            2, 4 and 6, which give gains and shares without errors, tests or control.
        actions: name -> action; the richest must hold the terms of all others. Default Constant, Local, Bilocal and,
            up to eight points, FullQuartic.
        key: `jax.random.key(seed)`; deals the networks to the two parts.
        metric: W, (point, point), fixed before the data; default as in `inf.fit`.
        weights: quadrature weights, (point,).
        held_out: share of the networks that are scored, not fitted to.
        progress: bars for long passes.
        executor: any `concurrent.futures` executor goes through the networks, in 64 parts; `inf.Parts` says more. The
            networks are dealt as without it, so that all numbers agree to round-off.

    Raises:
        ValueError: no action that contains all others; too few networks, or an executor without any; correlators that
            are neither exact nor have networks behind them; actions with a fixed part or of modes; weighted draws.

    Example, what infinitely many networks would say:

        >>> import jax, numpy as np
        >>> from nnft import models as m
        >>> truth = m.exact(m.Network(m.Cos(), width=50), np.arange(4.0)[:, None])
        >>> table = compare(truth, key=jax.random.key(0))
        >>> table.richest, round(table["Bilocal"].share[0], 2)
        ('FullQuartic', 0.13)
    """
    if not 0.0 < held_out < 1.0:
        raise ValueError(f"expected a share of held-out networks between 0 and 1, got {held_out}; try 0.5")
    data = places_of(data)
    points = len(data.points)
    ladder = dict(actions or _default_ladder(points))
    source = data.source if isinstance(data, Correlators) else data
    if executor is not None:
        if source is None:
            raise ValueError(
                "expected networks to hand to workers, got correlators alone, which are compared in a second; try "
                "leaving executor= out"
            )
        source = Parts(source, parts=min(_PARTS, source.n), executor=executor)
    if source is not None:
        check_independent(source, "to hold some of them out", "inf.fit, whose errors come from blocks")
    chosen, where, rest = choose_metric(data, source, metric)
    w = np.ones(points) if weights is None else np.asarray(weights, dtype=float)
    richest, terms, maps = embedded(ladder, chosen, w)
    sizes = {name: ladder[name].size(points) for name in ladder}
    if source is None:
        assert isinstance(data, Correlators)
        if not np.isinf(data.networks) or any(data.rows.values()):
            raise ValueError(
                "expected networks, or exact correlators, got measured ones whose networks are gone; "
                "try an.compare(samples, ...)"
            )
        gains = _exact_gains(data, terms, maps)
        value, rows, origin = data.connected(4), None, "exact"
        tests: dict[str, tuple[Hotelling | None, Hotelling | None]] = dict.fromkeys((GAUSSIAN, *ladder), (None, None))
        counts, scores = (np.inf, np.inf), {n: ((g, np.nan), (g / gains[richest], np.nan)) for n, g in gains.items()}
    else:
        train, test, whole = _deal(rest if rest is not None else source, held_out, key)
        controlled = terms_of(Controlled(ladder[richest]), chosen, w)
        scores, tests = _held_out(train, test, whole, controlled, terms.size, maps, richest, progress)
        value, rows, origin = _four_point(data, whole, chosen)
        counts = (float(train.n), float(test.n))
    table = []
    for name in (GAUSSIAN, *ladder):
        gain, share = scores[name]
        plain = white = None
        if name != GAUSSIAN:
            design = four_point(ladder[name].monomials(points, w), chosen)[0]
            plain, white = (left_over(value, rows, design, norm) for norm in (frobenius, lambda g: whitened(g, chosen)))
        size = sizes.get(name, 0)
        table.append(Row(name, size, gain, share, plain, white, *tests[name]))
    if CONTROL in scores:
        gain, share = scores[CONTROL]
        extra = len(cubes(points))
        table.append(Row(CONTROL, sizes[richest] + extra, gain, share, None, None, *tests[CONTROL]))
    return Comparison(tuple(table), richest, counts, chosen, where, origin)


def _default_ladder(points: int) -> dict[str, AbstractAction]:
    ladder: dict[str, AbstractAction] = {"Constant": Constant(), "Local": Local(), "Bilocal": Bilocal()}
    return ladder | ({"FullQuartic": FullQuartic()} if points <= _QUARTIC_POINTS else {})


def _exact_gains(data: Correlators, terms: Terms, maps: Mapping[str, Matrix]) -> dict[str, float]:
    """J_Gauss - J of every action from exact moments: 1/2 b.A^-1 b less that of the Gaussian."""
    matrix, vector = moment_equations(terms, scaled_moments(terms, data))
    heights = {name: 0.5 * up @ vector @ np.linalg.solve(up @ matrix @ up.T, up @ vector) for name, up in maps.items()}
    return {name: float(value - heights[GAUSSIAN]) for name, value in heights.items()}


def _deal(source: Source, held_out: float, key: jax.Array) -> tuple[Source, Source, Source]:
    """Networks to fit to, to score on, and all of them, as a random order deals them."""
    if source.weighted:
        raise ValueError(
            "expected networks of equal weight, got draws weighted by numpyro.factor; try exact correlators, or a fit "
            "of each action"
        )
    least = 2 * MIN_NETWORKS[6]
    if source.n < least:
        raise ValueError(f"expected at least {least} networks to deal into two parts, got {source.n}; try more of them")
    expect_memory(_DEALT * source.n, f"{source.n} networks dealt into two parts", "fewer of them")
    if source.n > _MOST:
        raise ValueError(f"expected at most {_MOST} networks to deal into two parts, got {source.n}; try fewer of them")
    order = np.asarray(jax.random.permutation(key, source.n))
    fitted = round((1.0 - held_out) * source.n)
    return source.dealt(order[:fitted]), source.dealt(order[fitted:]), source.dealt(order)


Found = dict[str, tuple[tuple[float, float], tuple[float, float] | None]]
Tests = dict[str, tuple[Hotelling | None, Hotelling | None]]


def _held_out(
    train: Source,
    test: Source,
    whole: Source,
    terms: Terms,
    even: int,
    maps: Mapping[str, Matrix],
    richest: str,
    progress: bool,
) -> tuple[Found, Tests]:
    """Gains with shares, and tests, of every action and of the control; `even` terms come before the control's."""
    with_odd = {name: np.pad(up, ((0, 0), (0, terms.size - even))) for name, up in maps.items()}
    ladder = {**with_odd, CONTROL: np.eye(terms.size)}

    def fitted(a: Matrix, b: Vector) -> dict[str, Vector]:
        return {name: up.T @ np.linalg.solve(up @ a @ up.T, up @ b) for name, up in ladder.items()}

    equations = observe(train, terms, progress=progress)
    thetas = np.stack(list(fitted(equations.matrix, equations.vector).values()))
    mean, spread = held_out_scores(test, terms, thetas, progress=progress)
    names, unit = list(ladder), np.eye(len(ladder))
    gains: Found = {}
    first, best = names.index(GAUSSIAN), names.index(richest)
    top, to_best = mean[first] - mean[best], unit[first] - unit[best]
    for k, name in enumerate(names):
        direction = unit[first] - unit[k]
        gain, error = float(mean @ direction), float(np.sqrt(direction @ spread @ direction / test.n))
        share = None
        if top > 3.0 * np.sqrt(to_best @ spread @ to_best / test.n):
            ratio = gain / top
            along = direction - ratio * to_best
            share = (ratio, float(np.sqrt(max(along @ spread @ along, 0.0) / test.n) / top))
        gains[name] = (gain, error), share
    equations = observe(whole, terms, progress=progress)
    a, b, n = equations.matrix, equations.vector, whole.n
    pilots = fitted(a, b)
    noise = dict(zip(ladder, noises(whole, terms, np.stack(list(pilots.values())), progress=progress), strict=True))
    tests: Tests = {}
    e = slice(0, even)
    for name, inside in maps.items():
        outside = complement(inside)
        tests[name] = None, None
        if len(outside):
            wald = wald_test(outside, pilots[richest][e], a[e, e], noise[richest][e, e], n)
            tests[name] = wald, rao_test(outside, inside, pilots[name][e], a[e, e], b[e], noise[name][e, e], n)
    inside, outside = np.split(np.eye(terms.size), [even])
    wald = wald_test(outside, pilots[CONTROL], a, noise[CONTROL], n)
    tests[CONTROL] = wald, rao_test(outside, inside, pilots[richest], a, b, noise[richest], n)
    return gains, tests


def _four_point(data: Any, whole: Source, metric: Matrix) -> tuple[Vector, np.ndarray | None, str]:
    """G4c and its error rows: exact where the model knows it, else measured."""
    truth = exact_if_known(data.model, np.asarray(data.points), (4,))
    if truth is not None:
        return truth.connected(4), None, "exact"
    measured = measure(whole, orders=(2, 4))
    return measured.connected(4), measured.rows["connected"][4], "measured"


def _value(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.4g}" if np.isnan(pair[1]) else f"{pair[0]:.4g} +- {pair[1]:.1g}"


def _percent(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return "not resolved"
    return f"{pair[0]:.1%}" if np.isnan(pair[1]) else f"{pair[0]:.1%} +- {pair[1]:.1%}"


def _chance(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-99 else "< 1e-99"
