"""Correlators from the neurons instead of the fields: the same numbers without the noise of the sum over N of them.

Neuron space: phi = N^(-1/2) sum_i W_i s_i of N independent neurons has the connected functions N^(1-r/2) kappa_r(W s),
and the readout moments E W^r are known, so that only <s_1 ... s_r> of *one* neuron is averaged (arXiv:2307.03223, 2.2).
Readout space: given the hidden layer, a Gaussian readout makes phi Gaussian with covariance Sigma_ab = (sigma^2/N)
sum_i s_i(x_a) s_i(x_b), so that G_c^(2r) is the sum over the (2r-1)!! pairings of kappa_r(Sigma, ..., Sigma).
For the connected four-point function the variance at equal numbers falls by a factor that grows like N^2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from scipy.sparse import csr_matrix

from ..models.combinatorics import (
    connected_from_moments,
    cumulant_jacobian,
    moment_jacobian,
    moments_from_connected,
    pairings,
    rank,
    sorted_tuples,
)
from ..models.correlators import Correlators, cumulant_rows
from ..models.networks import READOUTS, Network
from ..models.types import Points
from .ensembles import Ensemble, Source
from .moments import MAX_COMPONENTS, group_moments
from .tails import judge_tail, tail_draws

__all__ = ["measure_hidden", "measure_neurons"]

_EVEN = (2, 4, 6)
_LEAST = 1000  # of networks or neurons

Rows = dict[int, np.ndarray]


def measure_neurons(source: Source, *, orders: tuple[int, ...] | None = None, progress: bool = False) -> Correlators:
    """Correlators of N independent identical neurons from source.n draws of one, the readout integrated out.

    Unbiased: products of moments are averaged over distinct neurons. `networks` counts neurons.

    Raises:
        ValueError: samples, or a model that is not a `Network`, whose plate makes its neurons independent; an odd
            order; fewer than 1000 draws.
    """
    ensemble, network = _structure(source, "neuron", orders)
    points = len(ensemble.points)
    # A readout of +-1 leaves every even product of one neuron s as it is.
    single = Ensemble(Network(network.neuron, 1, "rademacher"), points=ensemble.points, n=source.n, key=ensemble.key)
    chosen, refused, flags = _converging(single, orders, lambda order: order)
    needed = tuple(r for r in _EVEN if r <= max(chosen, default=0))
    moments, rows, groups = group_moments(single, needed, progress=progress)
    readout = READOUTS[network.readout]
    law = tuple(
        mean * network.output_scale**k for k, mean in enumerate((1.0, 0.0, 1.0, 0.0, readout.mu4, 0.0, readout.mu6))
    )
    cumulants, connected = {}, {}
    for order in moments:
        scale = network.width ** (1.0 - order / 2.0)
        slopes = cumulant_jacobian(moments, points, order, even=True, law=law)
        cumulants[order] = scale * connected_from_moments(moments, points, order, n=source.n, even=True, law=law)
        connected[order] = scale * _carried(rows, slopes)
    if 2 in cumulants:
        cumulants[2] = cumulants[2] + network.output_bias**2
    full = {r: moments_from_connected(cumulants, points, r) for r in cumulants}
    moment_rows = {r: _carried(connected, moment_jacobian(cumulants, points, r)) for r in cumulants}
    return _made(ensemble, "neuron", (full, cumulants), (moment_rows, connected), chosen, groups, refused, flags)


def measure_hidden(source: Source, *, orders: tuple[int, ...] | None = None, progress: bool = False) -> Correlators:
    """Correlators of networks with a Gaussian readout from source.n hidden layers, the readout integrated out.

    Raises:
        ValueError: samples, a model that is not a `Network`, another readout law; an odd order; fewer than 1000 draws.
    """
    ensemble, network = _structure(source, "readout", orders)
    if network.readout != "gaussian":
        raise ValueError(
            f"expected a Gaussian readout, which alone makes the field Gaussian given the hidden layer, got "
            f"{network.readout}; try space='neuron'"
        )
    points = len(ensemble.points)
    pairs = sorted_tuples(points, 2)
    numbered = np.arange(float(len(pairs)))[:, None]
    hidden = Ensemble(_covariance(network, ensemble.points), points=numbered, n=source.n, key=ensemble.key)
    chosen, refused, flags = _converging(hidden, orders, lambda order: order // 2)
    halves = tuple(range(1, max(chosen, default=0) // 2 + 1))
    moments, rows, groups = group_moments(hidden, halves, progress=progress)
    cumulants = {r: connected_from_moments(moments, len(pairs), r, n=source.n) for r in halves}
    connected = cumulant_rows(rows, moments, len(pairs), halves, even=False)
    paired = {r: _pairing_map(points, 2 * r) for r in halves}
    values = tuple({2 * r: paired[r] @ table[r] for r in halves} for table in (moments, cumulants))
    errors = tuple({2 * r: (paired[r] @ table[r].T).T for r in halves} for table in (rows, connected))
    return _made(ensemble, "readout", values, errors, chosen, groups, refused, flags)


def _structure(source: Source, space: str, orders: tuple[int, ...] | None) -> tuple[Ensemble, Network]:
    """The model, if its structure is known to allow the space."""
    model = getattr(source, "model", None)
    if not isinstance(source, Ensemble) or type(model) is not Network or source.site != "phi":
        what = "samples of the field" if model is None else f"{getattr(model, '__name__', type(model).__name__)}"
        raise ValueError(
            f"expected an ensemble of `Network`, whose neurons are independent, for space={space!r}, got {what}; "
            "try space='field'"
        )
    if source.n < _LEAST:
        raise ValueError(f"expected at least {_LEAST} draws for space={space!r}, got {source.n}; try n=100_000")
    unknown = [r for r in orders or () if r not in _EVEN]
    if unknown:
        raise ValueError(
            f"expected even orders among {_EVEN} for space={space!r}, got {unknown[0]}; odd ones vanish with the odd "
            "moments of the readout; try orders=(2, 4)"
        )
    return source, model


def _converging(
    source: Ensemble, orders: tuple[int, ...] | None, power: Callable[[int], int]
) -> tuple[tuple[int, ...], dict[int, str], dict[int, str]]:
    """Orders whose averages converge and whose components fit, with reasons for those refused and flagged."""
    refused, flags, draws = {}, {}, tail_draws(source)
    for order in sorted(set(orders or _EVEN)):
        size = len(sorted_tuples(len(source.points), power(order)))
        tail = judge_tail(source, power(order), draws=draws)
        if size > MAX_COMPONENTS:
            refused[order] = f"{size} components, above {MAX_COMPONENTS}"
        elif tail.verdict == "refused":
            refused[order] = tail.why
        elif tail.verdict == "flagged":
            flags[order] = tail.why
    return tuple(r for r in sorted(set(orders or _EVEN)) if r not in refused), refused, flags


def _covariance(network: Network, points: Points) -> Callable[[Any], None]:
    """NumPyro model of Sigma_ab on the sorted pairs, site `phi`; its argument only numbers the pairs."""
    first, second = sorted_tuples(len(points), 2).T
    places = jnp.asarray(points)

    def model(_: Any) -> None:
        with numpyro.plate("neuron", network.width):
            s = network.neuron(places)
        mean = jnp.mean(s[:, first] * s[:, second], axis=0)
        numpyro.deterministic("phi", network.output_scale**2 * mean + network.output_bias**2)

    return model


def _pairing_map(points: int, order: int) -> csr_matrix:
    """Sum over the pairings of a sorted tuple of the r-point function of Sigma at the sorted pairs, one row a tuple."""
    tuples = sorted_tuples(points, order)
    count = len(sorted_tuples(points, 2))
    columns = [
        rank(np.stack([rank(tuples[:, pair], points) for pair in pairing], axis=1), count)
        for pairing in pairings(order)
    ]
    rows = np.tile(np.arange(len(tuples)), len(columns))
    shape = (len(tuples), len(sorted_tuples(count, order // 2)))
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
) -> Correlators:
    kept = [{r: table[r] for r in orders} for table in (*values, *errors)]
    return Correlators(
        points=source.points,
        moments=kept[0],
        cumulants=kept[1],
        rows={"moment": kept[2], "connected": kept[3]},
        networks=source.n,
        dof=groups - 1,
        maker="measured",
        even=True,
        refused=refused,
        flags={r: why for r, why in flags.items() if r in orders},
        about={
            "space": space,
            "source": repr(source),
            "model": repr(source.model),
            "ensemble_key": np.asarray(jax.random.key_data(source.key)).tolist(),
        },
    )
