"""Measured correlators: averages of phi...phi over an ensemble, with unbiased connected parts and their covariance.

Connected functions are multivariate k-statistics (unbiased for products of moments too); their covariance comes from
the spread of the group means of `ensembles/moments.py`, carried through d kappa/d m. Where the law is not known to be
even a mean of many standard deviations is taken off before the products: no connected function but the first depends on
it. Errors are over networks. The same correlators from the neurons, without the noise of the sum over them, are in
`duality.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import jax
import numpy as np

from ...models.arrays import place_label, points_label
from ...models.combinatorics import connected_from_moments, rank, tuple_count
from ...models.correlators import Correlators, cumulant_rows
from ...models.multiplets.placed import Placed, at_places
from ...models.refusals import nearest
from ...models.runtime import settled
from ...models.types import ByOrder, Points, Vector
from ..engines.executors import Executor
from ..engines.memory import expect_memory
from ..ensembles.chains import check_worth
from ..ensembles.moments import MAX_COMPONENTS, averages, far_centre, group_sums, moved
from ..ensembles.source import Source
from ..ensembles.sums import group_length
from ..quasirandom.sobol import Sampling, Sobol
from ..shards.parts import Parts
from .duality import cheapest_space, measure_hidden, measure_neurons
from .tails import effective_networks, judge_tail, tail_draws

__all__ = ["MIN_NETWORKS", "Plan", "about_source", "check_source", "finished", "measure", "places_of"]

ORDERS = (1, 2, 3, 4, 6)
MIN_NETWORKS = {1: 2, 2: 10, 3: 100, 4: 100, 5: 1000, 6: 1000}
MOST_COMPONENTS = 50_000  # of an order asked for by name: 400 MB of rows behind its covariance
SPACES = ("field", "readout", "neuron")
SAMPLINGS: dict[str, Sampling] = {"random": "random", "sobol": Sobol()}
_LEAST_PART = 10  # networks
_COPIES = 4  # of the sums of groups: rows of moments and of connected functions, and one while they are made


@settled(None)
def measure(
    source: Source,
    *,
    orders: tuple[int, ...] | None = None,
    even: bool | None = None,
    space: str | None = "field",
    sampling: str | Sobol | None = None,
    progress: bool = False,
    executor: Executor | None = None,
) -> Correlators:
    """Moments and connected functions of an ensemble: averages over its fields, or over its neurons.

    Args:
        source: an `Ensemble` (recipe) or `Samples` (somebody's array).
        orders: any of 1, 2, 3, 4, 6 (2, 4, 6 in the other spaces); default all that the number of networks and points
            allow.
        even: use phi -> -phi exactly: odd moments are left out of even cumulants, and reported on their own as a check.
            Default: when the model is known to be even; otherwise the mean is subtracted.
        space: "field", averages of phi...phi over networks; "readout", the same with the Gaussian readout integrated
            out; "neuron", cumulants of one of N independent neurons, n of them drawn, times N^(1-r/2). None: the
            cheapest the model's structure allows; `about["space"]` and the printed table say which.
        sampling: of neurons, in neuron space: "random", independent draws; "sobol" or a `Sobol`, points that fill the
            space of the numbers behind one neuron evenly, at most n of them: errors 10 to 100 times smaller at equal
            cost, where its sites have inverse distribution functions. Default: "random" for space="neuron"; for
            space=None Sobol points where a neuron is made of at most 10 numbers and n leaves enough scrambles for the
            covariance of every component. `about["sampling"]` and the printed table say what was taken.
        progress: a bar for long runs.
        executor: any `concurrent.futures` executor makes the sums, in 64 parts; `inf.Parts` says more: how many parts,
            and where finished ones are kept.

    Returns:
        Correlators with covariance over networks; orders whose tail forbids an average are in `refused`. Draws of a
        model with `numpyro.factor` are weighted, and count as their effective number of networks; so do the fields of a
        Markov chain (`Samples`), whose errors come from blocks of it.

    Raises:
        ValueError: an order asked for by name that needs more networks, or is not one of the five; a chain worth fewer
            than 100 independent fields; a field that is not finite or has no variance at a point; a space the structure
            of the model does not allow; a sampling that is not known, or of a space without neurons, or of a law
            without an inverse distribution function; something that is neither an ensemble nor samples;
            networks that do not differ; a dual space whose fields differ from those of a model of one's own, of which
            up to 4096 are drawn and compared once (`programs/guard.py`).

    Example:
        >>> import jax, numpy as np
        >>> from nnft.inference import Ensemble
        >>> from nnft.models import Cos, Network
        >>> ens = Ensemble(Network(Cos(), width=5), points=np.array([[0.0], [1.0]]), n=2000, key=jax.random.key(0))
        >>> measure(ens).orders
        (1, 2, 3, 4, 6)
    """
    check_source(source)
    if executor is not None:
        source = Parts(source, parts=min(64, source.n), executor=executor)
    free = space is None
    if space is None:
        space = "field" if source.outputs > 1 else cheapest_space(source, orders)
    if space not in SPACES:
        raise ValueError(f"expected space among {list(SPACES)}, got {space!r}; try {nearest(space, list(SPACES))!r}")
    how = _sampling(sampling, space, free)
    if space != "field" and source.outputs > 1:
        raise ValueError(
            f"expected one output for space={space!r}, got {source.outputs}; try space='field', or m.exact(...) of an "
            "m.Multiplet"
        )
    if space != "field":
        if source.whole.n != source.n:
            raise ValueError(
                f"expected space='field' for a part of an ensemble, got space={space!r}; try inf.measure(inf.Parts("
                "ensemble, executor=...), space=...), which measures all of it in parts"
            )
        if even is not None:
            raise ValueError(
                f"expected even= for space='field' only, where parity is a choice, got even={even} with "
                f"space={space!r}; try leaving it out"
            )
        if space == "neuron":
            return measure_neurons(source, orders=orders, sampling=how, progress=progress)
        return measure_hidden(source, orders=orders, progress=progress)
    plan = _plan(source, orders, even)
    components = sum(tuple_count(source.places, r) for r in plan.needed)
    groups = -(-source.n // source.grouping.size)
    expect_memory(_COPIES * 8.0 * groups * components, f"{components} components", "fewer orders or points")
    sizes, totals = group_sums(source, plan.needed, centre=plan.centre, progress=progress)
    inflation = source.dependence.inflation(group_length(source))
    about = {"share": source.n / source.whole.n, "inflation": inflation, "outputs": source.outputs}
    made = finished(plan, source.points, sizes, totals, **about)
    kept = _part_of(source, plan, sizes, totals) if source.whole.n != source.n else None
    return replace(made, source=source, model=source.model, about=about_source(source), sums=kept)


class Plan(NamedTuple):
    """What is averaged and what is known before it: decided once for the whole, whatever part of it is measured.

    chosen: orders; even: whether odd moments are left out of even cumulants; refused, flags: order -> reason; centre:
    what is taken off the field, (point,) or None; networks: independent ones that the whole is worth; exchangeable:
    whether these are all its networks, so that products of moments are made unbiased.
    """

    chosen: tuple[int, ...]
    even: bool
    refused: dict[int, str]
    flags: dict[int, str]
    centre: Vector | None
    networks: float
    exchangeable: bool

    @property
    def needed(self) -> tuple[int, ...]:
        """Moments behind the connected functions asked for."""
        return _needed(self.chosen, self.even)


_SEEN: WeakKeyDictionary[Source, Any] = WeakKeyDictionary()  # what was looked at of a whole, for all its parts


def _plan(source: Source, orders: tuple[int, ...] | None, even: bool | None) -> Plan:
    """The plan of the whole that a source is, or is a part of."""
    whole = source.whole
    chain = check_worth(whole)
    symmetric = source.even if even is None else even
    chosen, refused = _choose(whole, orders, symmetric)
    flags: dict[int, str] = {}
    draws = _SEEN.get(whole) or tail_draws(whole)
    if source.n != whole.n:
        _SEEN[whole] = draws
    for order in chosen:
        if chain.effective >= MIN_NETWORKS[max(order, 3)]:
            tail = judge_tail(whole, order, draws=draws)
            if tail.verdict == "refused":
                refused[order] = tail.why
            elif tail.verdict == "flagged":
                flags[order] = tail.why
    networks = effective_networks(whole)
    centre = None if symmetric or draws is None else far_centre(draws.fields, draws.centre)
    # Of weighted draws there is no unbiased cumulant; of a chain the bias is that of so many independent fields.
    return Plan(chosen, symmetric, refused, flags, centre, networks, networks == chain.effective)


def finished(
    plan: Plan,
    points: Points,
    sizes: np.ndarray,
    totals: Mapping[int, np.ndarray],
    *,
    share: float,
    inflation: float,
    outputs: int = 1,
) -> Correlators:
    """Correlators from the sums of groups over a share of the networks that were planned for."""
    networks, count, refused = plan.networks * share, len(points) * outputs, plan.refused
    if share < 1.0 and networks < _LEAST_PART:
        raise ValueError(f"expected at least {_LEAST_PART} networks in a part, got {networks:.0f}; try fewer parts")
    moments, rows = averages(sizes, totals, inflation)
    _check_variance(moments, len(points), outputs, plan.even)
    given = tuple(r for r in plan.chosen if r not in refused)
    exchangeable = round(networks) if plan.exchangeable else None
    cumulants = {r: connected_from_moments(moments, count, r, n=exchangeable, even=plan.even) for r in given}
    connected = cumulant_rows(rows, moments, count, given, even=plan.even)
    kept = [r for r in plan.needed if r not in refused]
    if plan.centre is not None:
        moments, rows = moved(moments, rows, plan.centre, tuple(kept))
        if 1 in cumulants:
            cumulants[1] = moments[1]
    return Correlators(
        points=points,
        moments={r: moments[r] for r in kept},
        cumulants=cumulants,
        rows={"connected": connected, "moment": {r: rows[r] for r in kept}},
        networks=networks,
        dof=len(sizes) - 1,
        maker="measured",
        groups=True,
        even=plan.even,
        refused=refused,
        flags={r: why for r, why in plan.flags.items() if r in given},
        outputs=outputs,
    )


def _part_of(source: Source, plan: Plan, sizes: np.ndarray, totals: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """What is needed to add a part to others, as plain data."""
    whole = source.whole
    group = whole.grouping
    return {
        "span": [source.first, source.n],
        "whole": {"n": whole.n, "group": group.size, "inflation": whole.dependence.inflation(group.size)},
        "group": source.grouping.size,
        "plan": plan._replace(centre=None)._asdict(),
        "centre": None if plan.centre is None else np.asarray(plan.centre, dtype=float),
        "first": np.asarray(whole.read(0, min(4, whole.n)), dtype=float),
        "sizes": sizes,
        "totals": dict(totals),
    }


def check_source(source: Any) -> None:
    """Refuse what networks cannot be read from, a bare array above all.

    Raises:
        ValueError: it is neither an `Ensemble` nor `Samples`, nor another `Source`.
    """
    if isinstance(source, Source):
        return
    what, advice = repr(source)[:80], "inf.Ensemble(model, points=points, n=100_000, key=jax.random.key(0))"
    if isinstance(source, np.ndarray | jax.Array | list) or isinstance(getattr(source, "shape", None), tuple):
        what, advice = (
            f"an array of shape {tuple(np.shape(source))}",
            "inf.Samples(array, points), an array (network, point)",
        )
    elif isinstance(source, Correlators):
        what, advice = "Correlators, which are measured already", "inf.fit(correlators, ...), or their ensemble"
    raise ValueError(f"expected an inf.Ensemble or inf.Samples, got {what}; try {advice}")


def _sampling(sampling: str | Sobol | None, space: str, free: bool) -> Sampling:
    """How neurons are sampled; refused where none are."""
    if sampling is None:
        return "choose" if free else "random"
    if not isinstance(sampling, Sobol) and sampling not in SAMPLINGS:
        known = list(SAMPLINGS)
        raise ValueError(
            f"expected sampling among {known} or an inf.Sobol, got {sampling!r}; try {nearest(str(sampling), known)!r}"
        )
    if space != "neuron":
        raise ValueError(
            f"expected sampling= for space='neuron' only, where single neurons are averaged, got sampling={sampling!r} "
            f"with space={space!r}; try space='neuron', or leaving it out"
        )
    return sampling if isinstance(sampling, Sobol) else SAMPLINGS[sampling]


def _choose(source: Source, orders: tuple[int, ...] | None, even: bool) -> tuple[tuple[int, ...], dict[int, str]]:
    """Orders to average and the others with the reason; sizes are counted before anything of that size is made."""
    points, networks, refused = source.places, source.dependence.effective, {}
    where = points_label(len(source.points), source.outputs)
    if orders is not None:
        unknown = [r for r in orders if r not in ORDERS]
        if unknown or not orders:
            raise ValueError(f"expected orders among {ORDERS}, got {unknown or orders}; try orders=(2, 4)")
        few = [r for r in orders if networks < MIN_NETWORKS[r]]
        if few:
            raise ValueError(
                f"expected at least {MIN_NETWORKS[max(few)]} networks for order {max(few)}, got {networks:.0f}; "
                f"try orders={tuple(r for r in orders if r not in few) or (1,)}"
            )
        size = {r: tuple_count(points, r) for r in _needed(orders, even)}
        if max(size.values()) > MOST_COMPONENTS:
            large = max(size, key=lambda r: size[r])
            raise ValueError(
                f"expected at most {MOST_COMPONENTS} components of an order, got {size[large]} of order {large} at "
                f"{where}; try a lower order or fewer points"
            )
        return tuple(sorted(set(orders))), refused
    chosen: list[int] = []
    for order in ORDERS:
        size = tuple_count(points, order)
        if networks < MIN_NETWORKS[order]:
            refused[order] = f"{networks:.0f} networks, {MIN_NETWORKS[order]} needed"
        elif size > MAX_COMPONENTS:
            refused[order] = f"{size} components at {where}, above {MAX_COMPONENTS}"
        else:
            chosen.append(order)
    if 2 not in chosen and networks < MIN_NETWORKS[2]:
        raise ValueError(f"expected at least {MIN_NETWORKS[2]} networks, got {networks:.0f}; try drawing more")
    if 2 not in chosen:
        raise ValueError(
            f"expected points few enough for their two-point function, got {refused[2]}; try fewer points, "
            "or orders=(2,)"
        )
    return tuple(chosen), refused


def _needed(orders: tuple[int, ...], even: bool) -> tuple[int, ...]:
    """Moments behind the connected functions asked for."""
    top = max(orders)
    lower = range(2, top + 1, 2) if even else range(1, top + 1)
    return tuple(sorted({*orders, *(r for r in lower if r <= top)}))


def _check_variance(moments: ByOrder, count: int, outputs: int, even: bool) -> None:
    if 2 not in moments:
        return
    points = count * outputs
    diagonal = rank(np.repeat(np.arange(points)[:, None], 2, axis=1), points)
    mean = 0.0 if even or 1 not in moments else moments[1]
    variance = moments[2][diagonal] - mean**2
    if np.all(np.abs(variance) <= 1e-12 * np.max(moments[2][diagonal])):
        raise ValueError(
            "expected networks that differ from each other, got the same field from every key (variance 0 at all "
            f"{count} points); try numpyro.sample sites without rng_key=, and no seed or substitute "
            "inside the model"
        )
    dead = np.flatnonzero(variance <= 1e-12 * np.max(moments[2][diagonal]))
    if len(dead):
        raise ValueError(
            f"expected a field that varies at every point, got variance {variance[dead[0]]:.3g} at point "
            f"{place_label(int(dead[0]), outputs)}; try removing that point"
        )


def about_source(source: Source) -> dict[str, Any]:
    """Provenance of a source: what it is, and of an ensemble its model and key."""
    about: dict[str, Any] = {"space": "field", "source": repr(source)}
    about |= {"recipe": json.dumps(source.recipe())}
    about |= source.about()
    chain = source.dependence
    if chain.block > 1:
        about |= {"chain": str(chain)}
    return about


def places_of(data: Any) -> Any:
    """Data of several fields as those of one field at the places (x, output); any other as they are."""
    if data.outputs == 1:
        return data
    if not isinstance(data, Correlators):
        return data.in_places()
    model = None if data.model is None else Placed(data.model, data.outputs)
    source, about = data.source and data.source.in_places(), {**data.about, "outputs": data.outputs}
    points = at_places(data.points, data.outputs)
    return replace(data, points=points, outputs=1, source=source, model=model, about=about)
