"""Correlators from the neurons instead of the fields: the same numbers without the noise of the sum over N of them.

Neuron space: phi = N^(-1/2) sum_i h_i of N independent neurons has the connected functions N^(1-r/2) kappa_r(h); of
h = W s the readout moments E W^r are known, so that only <s_1 ... s_r> of *one* neuron is averaged
(arXiv:2307.03223, 2.2). Of several kinds of neurons the cumulants are averaged. Readout space: given the rest, Gaussian
readout weights make phi Gaussian with covariance Sigma = J diag(s^2) J^T, J = d phi/d W, so that G_c^(2r) is the sum
over the (2r-1)!! pairings of kappa_r(Sigma, ..., Sigma), also when the neurons share a latent. For the connected
four-point function the variance at equal numbers falls by a factor that grows like N^2. Which of the two a model
allows is read from its structure (`programs/structure.py`).
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
from numpyro import handlers
from scipy.sparse import csr_matrix

from ...models.combinatorics import (
    connected_from_moments,
    cumulant_jacobian,
    moment_jacobian,
    moments_from_connected,
    pairings,
    rank,
    sorted_tuples,
    tuple_count,
)
from ...models.correlators import Correlators, cumulant_rows
from ...models.networks.independent import Independent
from ...models.networks.model import as_model
from ...models.networks.network import Network
from ...models.neurons.base import AbstractNeuron
from ..ensembles.ensemble import ByContent, Ensemble, is_plain, side_key
from ..ensembles.moments import MAX_COMPONENTS, group_moments
from ..ensembles.source import Source
from ..programs.derived import HiddenCovariance, OneNeuron, as_tuples
from ..programs.guard import check_law, from_covariances, from_neurons, square
from ..programs.structure import Structure, read_structure
from ..quasirandom.scrambles import Plan
from ..quasirandom.sobol import Neuron, Sampling, average_neuron, count_dimensions, plan_sampling
from .tails import judge_tail, tail_draws

__all__ = ["allowed_spaces", "cheapest_space", "measure_hidden", "measure_neurons"]

_EVEN, _ALL = (2, 4, 6), (1, 2, 3, 4, 6)
_LEAST = 1000  # of networks or neurons

Rows = dict[int, np.ndarray]


def allowed_spaces(source: Source) -> dict[str, str]:
    """Space -> "" if the structure of the model allows it, else the reason; cheapest first."""
    if source.program is None:
        why = "they are samples, whose neurons are not known"
        return {"neuron": why, "readout": why, "field": ""}
    why = _structure(source.program).why
    return {"neuron": why.get("neuron", ""), "readout": why.get("readout", ""), "field": ""}


def cheapest_space(source: Source, orders: tuple[int, ...] | None) -> str:
    """The first of neuron, readout and field that the structure allows and that knows the orders asked for."""
    if source.n < _LEAST:
        return "field"
    why = allowed_spaces(source)
    even = as_model(source.model).as_sum is not None
    for space in ("neuron", "readout"):
        known = _ALL if space == "neuron" and not even else _EVEN
        if not why[space] and not set(orders or ()) - set(known):
            return space
    return "field"


def measure_neurons(
    source: Source,
    *,
    orders: tuple[int, ...] | None = None,
    sampling: Sampling = "random",
    progress: bool = False,
) -> Correlators:
    """Correlators of N independent neurons from source.n draws of one (of each kind), their readout integrated out.

    Unbiased: products of moments are averaged over distinct neurons. `networks` counts neurons. `Sobol` points in place
    of independent draws (`quasirandom/sobol.py`) are at most source.n.

    Raises:
        ValueError: samples, or a model whose structure does not show independent neurons; an order that is not
            measured; fewer than 1000 draws; `Sobol` points for a law without an inverse distribution function.
    """
    ensemble = _checked(source, "neuron", orders)
    model = as_model(ensemble.model).as_sum
    if model is None:
        return _measure_any_neuron(ensemble, _structure(ensemble), orders, sampling, progress)
    points, singles, amplitudes = len(ensemble.points), [], []
    for k, kind in enumerate(model.kinds):
        # A readout of +-1 leaves every even product of one neuron s as it is.
        key = ensemble.key if k == 0 else side_key(ensemble.key, k)
        singles.append(
            Ensemble(
                Network(kind.core(), 1, "rademacher"), points=ensemble.points, n=source.n, key=key, dtype=ensemble.dtype
            )
        )
        amplitudes.append(_amplitudes(kind, model))
    neurons = [Neuron(single.model, "phi", "neuron", 1, ("readout",)) for single in singles]
    dimensions = count_dimensions(sampling, neurons, ensemble)
    judged = [_converging(single, orders or _EVEN, lambda order: order) for single in singles]
    chosen = tuple(r for r in judged[0][0] if all(r in part[0] for part in judged))
    refused = {r: why for part in judged for r, why in part[1].items()}
    flags = {r: why for part in judged for r, why in part[2].items()}
    needed = tuple(r for r in _EVEN if r <= max(chosen, default=0))
    plan = plan_sampling(sampling, dimensions, ensemble, chosen)
    parts = [
        _neuron_cumulants(average_neuron(single, neuron, needed, plan, count, progress), points, model.width, amplitude)
        for single, neuron, amplitude, count in zip(singles, neurons, amplitudes, dimensions, strict=True)
    ]
    cumulants = {r: np.mean([part[0][r] for part in parts], axis=0) for r in needed}
    connected = {r: np.concatenate([part[1][r] for part in parts]) / len(parts) for r in needed}
    if 2 in cumulants:
        cumulants[2] = cumulants[2] + model.output_bias**2
    check_law(
        ensemble, "neuron", from_neurons(singles, ensemble, model.width, model.output_bias**2 * np.ones((points,) * 2))
    )
    full = {r: moments_from_connected(cumulants, points, r) for r in cumulants}
    moment_rows = {r: _carried(connected, moment_jacobian(cumulants, points, r)) for r in cumulants}
    tables = (full, cumulants), (moment_rows, connected)
    return _made(ensemble, "neuron", *tables, chosen, parts[0][2], refused, flags, plan=plan)


def _amplitudes(kind: AbstractNeuron, model: Independent) -> tuple[float, ...]:
    """E (W a)^k of what multiplies the core of a neuron: the readout, and the amplitude that a neuron may have."""
    means = (1.0, *(model.law.moment(k) * model.output_scale**k if k % 2 == 0 else 0.0 for k in range(1, 7)))
    return tuple(mean * kind.amplitude_moment(k) for k, mean in enumerate(means))


def _neuron_cumulants(
    averages: tuple[Rows, Rows, int, int | None], points: int, width: int, amplitude: tuple[float, ...]
) -> tuple[Rows, Rows, int]:
    """N^(1-r/2) kappa_r(W s) of one kind of neuron, its error rows and the number of groups behind them."""
    moments, rows, groups, n = averages
    cumulants, connected = {}, {}
    for order in moments:
        scale = width ** (1.0 - order / 2.0)
        slopes = cumulant_jacobian(moments, points, order, even=True, law=amplitude)
        value = connected_from_moments(moments, points, order, n=n, even=True, law=amplitude)
        cumulants[order], connected[order] = scale * value, scale * _carried(rows, slopes)
    return cumulants, connected, groups


def _measure_any_neuron(
    ensemble: Ensemble, structure: Structure, orders: tuple[int, ...] | None, sampling: Sampling, progress: bool
) -> Correlators:
    """Neuron space of a model that is no `Network`: all orders, no parity assumed."""
    assert structure.plate is not None
    points, (plate, width) = len(ensemble.points), structure.plate
    neuron = OneNeuron(ensemble.model, ensemble.site, plate, width)
    single = Ensemble(neuron, points=ensemble.points, n=ensemble.n, key=ensemble.key, dtype=ensemble.dtype)
    one = Neuron(ensemble.model, ensemble.site, plate, width)
    dimensions = count_dimensions(sampling, [one], ensemble)
    chosen, refused, flags = _converging(single, orders or _ALL, lambda order: order)
    needed = tuple(range(1, max(chosen, default=0) + 1))
    plan = plan_sampling(sampling, dimensions, ensemble, chosen)
    moments, rows, groups, n = average_neuron(single, one, needed, plan, dimensions[0], progress)
    cumulants, connected = {}, {}
    for r in needed:
        scale = width ** (1.0 - r / 2.0)
        cumulants[r] = scale * connected_from_moments(moments, points, r, n=n)
        connected[r] = scale * _carried(rows, cumulant_jacobian(moments, points, r))
    shift = np.zeros(points * (points + 1) // 2)
    if structure.outside:
        bias = HiddenCovariance(ensemble.model, as_tuples(ensemble.points), structure.outside, ensemble.site)
        with handlers.seed(rng_seed=0):
            shift = np.asarray(bias(ensemble.points), dtype=float)
    check_law(ensemble, "neuron", from_neurons([single], ensemble, width, square(shift, points)))
    if structure.outside and 2 in cumulants:
        cumulants[2] = cumulants[2] + shift
    full = {r: moments_from_connected(cumulants, points, r) for r in cumulants}
    moment_rows = {r: _carried(connected, moment_jacobian(cumulants, points, r, even=False)) for r in cumulants}
    tables = (full, cumulants), (moment_rows, connected)
    return _made(ensemble, "neuron", *tables, chosen, groups, refused, flags, even=False, plan=plan)


def measure_hidden(source: Source, *, orders: tuple[int, ...] | None = None, progress: bool = False) -> Correlators:
    """Correlators of networks with a Gaussian readout from source.n hidden layers, the readout integrated out.

    Raises:
        ValueError: samples, a model without a Gaussian readout; an odd order; fewer than 1000 draws.
    """
    ensemble = _checked(source, "readout", orders)
    points, linear = len(ensemble.points), _structure(ensemble).linear
    pairs = sorted_tuples(points, 2)
    numbered = np.arange(float(len(pairs)))[:, None]
    sigma = HiddenCovariance(ensemble.model, as_tuples(ensemble.points), linear, ensemble.site)
    hidden = Ensemble(sigma, points=numbered, n=source.n, key=ensemble.key, dtype=ensemble.dtype)
    exact = bool(as_model(ensemble.model).orders)
    chosen, *tails = _converging(hidden, orders or _EVEN, lambda order: order // 2, decisive=not exact)
    refused, flags = ({r: why.replace("|phi|", "|Sigma|") for r, why in tail.items()} for tail in tails)
    for order, why in _hidden_tails(ensemble, chosen).items():  # the sum over neurons hides the tail of one
        refused[order] = why
    chosen = tuple(r for r in chosen if r not in refused)
    halves = tuple(range(1, max(chosen, default=0) // 2 + 1))
    moments, rows, groups = group_moments(hidden, halves, progress=progress)
    cumulants = {r: connected_from_moments(moments, len(pairs), r, n=source.n) for r in halves}
    connected = cumulant_rows(rows, moments, len(pairs), halves, even=False)
    check_law(ensemble, "readout", from_covariances(hidden, points))
    paired = {r: _pairing_map(points, 2 * r) for r in halves}
    values = tuple({2 * r: paired[r] @ table[r] for r in halves} for table in (moments, cumulants))
    errors = tuple({2 * r: (paired[r] @ table[r].T).T for r in halves} for table in (rows, connected))
    return _made(ensemble, "readout", values, errors, chosen, groups, refused, flags)


@lru_cache(maxsize=8)
def _structure(ensemble: Ensemble) -> Structure:
    """The structure of the model; of a `Network` that of each kind at a few neurons, at the same points."""
    model, points, parts = ensemble.model, ensemble.points, as_model(ensemble.model).as_sum
    if parts is None or ensemble.site != "phi":
        return read_structure(model, points, ensemble.site)
    few = min(8, max(2, parts.width))
    latents = (parts.shared_scale, parts.shared_length)
    small = [Network(kind, few, parts.readout, 1.0, min(parts.output_bias, 1.0), *latents) for kind in parts.kinds]
    reading = _read_once if is_plain(model) else _read_once.__wrapped__
    read = [reading(network, ByContent(points)) for network in small]
    refused = next((s for s in read if s.why), read[0])
    if len(read) > 1:
        return refused._replace(linear=read_structure(model, points).linear)
    return refused


@lru_cache(maxsize=64)
def _read_once(network: Network, points: ByContent) -> Structure:
    return read_structure(network, points.values)


def _checked(source: Source, space: str, orders: tuple[int, ...] | None) -> Ensemble:
    """The ensemble, if the structure of its model allows the space."""
    why = allowed_spaces(source)
    if why[space]:
        model = source.model
        what = "samples" if model is None else getattr(model, "__name__", type(model).__name__)
        allowed = next(name for name, reason in why.items() if not reason)
        raise ValueError(
            f"expected a model that allows space={space!r}, got {what}: {why[space]}; try space={allowed!r}"
        )
    if source.n < _LEAST:
        raise ValueError(f"expected at least {_LEAST} draws for space={space!r}, got {source.n}; try n=100_000")
    known = _EVEN if space == "readout" or as_model(source.model).as_sum else _ALL
    unknown = [r for r in orders or () if r not in known]
    if unknown:
        odd = "; odd ones vanish with the odd moments of the readout" if known == _EVEN else ""
        raise ValueError(f"expected orders among {known} for space={space!r}, got {unknown[0]}{odd}; try orders=(2, 4)")
    return source.program


def _hidden_tails(ensemble: Ensemble, orders: tuple[int, ...]) -> dict[int, str]:
    """Orders whose one-neuron averages do not converge with all neurons of all hidden layers drawn, with the reason."""
    parts, out = as_model(ensemble.model).as_sum, {}
    if parts is None or not parts.orders:
        return out
    for kind in parts.kinds:
        neurons = min(float(ensemble.n) * parts.width, 4e9)
        single = Ensemble(
            Network(kind, 1, "rademacher"),
            points=ensemble.points,
            n=int(neurons),
            key=ensemble.key,
            dtype=ensemble.dtype,
        )
        for order in orders:
            tail = judge_tail(single, order)
            if tail.verdict == "refused":
                out[order] = tail.why.replace("phi", "s")
    return out


def _converging(
    source: Ensemble, orders: tuple[int, ...], power: Callable[[int], int], *, decisive: bool = True
) -> tuple[tuple[int, ...], dict[int, str], dict[int, str]]:
    """Orders whose averages converge and whose components fit, with reasons for those refused and flagged.

    Where exact moments will decide, the tail of a sample is not `decisive`, and flags at most.
    """
    refused, flags, draws = {}, {}, tail_draws(source)
    for order in sorted(set(orders)):
        size = tuple_count(len(source.points), power(order))
        if size > MAX_COMPONENTS:
            refused[order] = f"{size} components, above {MAX_COMPONENTS}"
            continue
        tail = judge_tail(source, power(order), draws=draws)
        if tail.verdict == "refused" and decisive:
            refused[order] = tail.why
        elif tail.verdict != "ok":
            flags[order] = tail.why
    return tuple(r for r in sorted(set(orders)) if r not in refused), refused, flags


def _pairing_map(points: int, order: int) -> csr_matrix:
    """Sum over the pairings of a sorted tuple of the r-point function of Sigma at the sorted pairs, one row a tuple."""
    tuples = sorted_tuples(points, order)
    count = tuple_count(points, 2)
    columns = [
        rank(np.stack([rank(tuples[:, pair], points) for pair in pairing], axis=1), count)
        for pairing in pairings(order)
    ]
    rows = np.tile(np.arange(len(tuples)), len(columns))
    shape = (len(tuples), tuple_count(count, order // 2))
    return csr_matrix((np.ones(len(rows)), (rows, np.concatenate(columns))), shape=shape)


def _carried(rows: Rows, slopes: dict[int, csr_matrix]) -> np.ndarray:
    """Rows of a covariance through a Jacobian."""
    return np.sum([(slope @ rows[r].T).T for r, slope in slopes.items()], axis=0)


def _made(
    source: Ensemble,
    space: str,
    values: tuple[Rows, ...],
    errors: tuple[Rows, ...],
    orders: tuple[int, ...],
    groups: int,
    refused: dict[int, str],
    flags: dict[int, str],
    *,
    even: bool = True,
    plan: Plan | None = None,
) -> Correlators:
    kept = [{r: table[r] for r in orders} for table in (*values, *errors)]
    return Correlators(
        points=source.points,
        moments=kept[0],
        cumulants=kept[1],
        rows={"moment": kept[2], "connected": kept[3]},
        networks=source.n if plan is None else plan.total,
        dof=groups - 1,
        scrambles=0 if plan is None else plan.scrambles,
        maker="measured",
        groups=True,
        even=even,
        refused=refused,
        flags={r: why for r, why in flags.items() if r in orders},
        model=source.model,
        about={
            "space": space,
            **({} if plan is None else {"sampling": str(plan)}),
            "source": repr(source),
            "model": repr(source.model),
            "ensemble_key": np.asarray(jax.random.key_data(source.key)).tolist(),
        },
    )
