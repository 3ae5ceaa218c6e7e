"""The generating functional measured: log <exp(J.phi)> over networks, over hidden layers, or over single neurons.

    field     W[J] = log < exp(J.phi) >                                            over networks
    readout   W[J] = log < prod_i E_W exp(sigma W J.s_i / sqrt N) > + bias          over hidden layers
    neuron    W[J] = N log < E_W exp(sigma W J.s / sqrt N) > + bias                 over one of N independent neurons

with bias = b^2 (sum J)^2 / 2 and E_W the closed average over the readout (arXiv:2307.03223, sec. 2; source +J). All
three are the same number. Neurons that share a scale tau or a length are independent only given it: tau multiplies W^2
under the product of the second way, it is drawn with the hidden layer, and the third way does not exist. An average of
exponentials is decided by its tail: sources at which Z is known to be infinite are refused (`models.convergence`), and
the rest is judged by its relative error and its Pareto k-hat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Float

from ...models.analytic.convergence import check_sources, finite_source
from ...models.arrays import in_places
from ...models.networks.independent import Independent
from ...models.networks.network import Network
from ...models.networks.readouts import AbstractReadout
from ...models.neurons.base import AbstractNeuron
from ...models.refusals import NotKnown, nearest
from ...models.runtime import settled
from ...models.types import Points
from ..engines.memory import expect_memory
from ..ensembles.chains import check_worth
from ..ensembles.ensemble import Ensemble
from ..ensembles.source import Source
from ..ensembles.sums import error_rows, sums
from .duality import allowed_spaces
from .khat import FLAG_KHAT, REFUSE_KHAT, pareto_khat
from .measure import places_of
from .tails import FLAG_ERROR, REFUSE_ERROR

__all__ = ["Generating", "generating"]

DECISIVE = 100_000  # draws needed before k-hat alone refuses
SPACES = ("field", "readout", "neuron")
_LEAST = 1000  # of networks or neurons
_DRAWS = 131_072  # looked at for their tail
_COPIES = 3  # of their exponents: themselves, in memory of JAX, and one raised
_LARGEST = 350.0  # of an exponent: its square is then still a floating-point number

Sources = Float[np.ndarray, "source *place"]
PerSource = Float[np.ndarray, " source"]


@dataclass(frozen=True, eq=False)
class Generating:
    """W[J] = log <exp(J.phi)> at several sources, with errors.

    Attributes:
        sources: J, (source, point); of several fields (source, point, output).
        value: W[J], (source,).
        rows: (row, source); the covariance of the values is rows^T rows, since all sources share the draws.
        bias: the leading small-sample bias of `value`, -Var/2 of the mean's relative error (times N in neuron space).
            It is not taken out, and is smaller than the error as long as the relative error is small.
        khat: Pareto shape of the averaged exponential at each source, (source,); nan where none could be fitted.
        draws: number of networks, hidden layers or neurons averaged over.
        space: "field", "readout" or "neuron".
        flags: source number -> a warning attached to its value.
    """

    sources: Sources
    value: PerSource
    rows: Float[np.ndarray, "row source"] = field(repr=False)
    bias: PerSource
    khat: PerSource
    draws: int
    space: str
    flags: dict[int, str]

    @property
    def error(self) -> PerSource:
        """One standard error per source."""
        return np.sqrt(np.sum(self.rows**2, axis=0))


@settled(None)
def generating(source: Source, sources: Sources, *, space: str = "field", progress: bool = False) -> Generating:
    """W[J] of an ensemble at given sources, averaged in field, readout or neuron space.

    Args:
        source: an `Ensemble`, or in field space `Samples` too.
        sources: J, (source, point); of several fields (source, point, output).
        space: "field"; "readout" integrates the readout of whole networks, whatever its law, and leaves the hidden
            layer's fluctuations, and those of a shared scale or length; "neuron" needs source.n draws of one neuron
            only, and independent neurons.
        progress: a bar for long runs.

    Raises:
        ValueError: a source at which Z is infinite or cannot be shown to be finite, with the number that decides; an
            average that does not converge (k-hat above 0.7 from 1e5 draws or more, relative error above 0.5); fewer
            than 1000 draws; a space the structure of the model does not allow.

    Example: a network of one neuron at one point; exactly, W = J^2/4 + log I0(J^2/4) = 0.0635.

        >>> import jax
        >>> from nnft.inference import Ensemble
        >>> from nnft.models import Cos, Network
        >>> ens = Ensemble(Network(Cos(), width=1), points=np.zeros((1, 1)), n=20_000, key=jax.random.key(0))
        >>> result = generating(ens, np.array([[0.5]]), space="neuron")
        >>> bool(abs(result.value[0] - 0.0635) < 5 * result.error[0])
        True
    """
    places = places_of(source)
    j = check_sources(in_places(sources, source.points, source.outputs), len(places.points))
    source = places
    if space not in SPACES:
        raise ValueError(f"expected space among {list(SPACES)}, got {space!r}; try {nearest(space, list(SPACES))!r}")
    if (draws := check_worth(source).effective) < _LEAST:
        raise ValueError(
            f"expected at least {_LEAST} draws for an average of exponentials, got {draws:.0f}; try n=100_000"
        )
    few, each = min(source.n, _DRAWS), -(-source.n // source.grouping.size)
    size = 8.0 * (few * source.places + (_COPIES * few + 2.0 * each) * len(j))
    expect_memory(size, f"{len(j)} sources", "fewer of them at a time")
    neurons = source.neurons
    flags: dict[int, str] = {}
    if neurons is not None:
        flags = _convergent(source.model, neurons, source.points, j, space)
    if space == "field":
        drawn, log_mean = source, _field
        arguments: tuple[Any, ...] = (j,)
    else:
        drawn, log_mean, arguments = _integrated(source, neurons, j, space)
    exponents = np.asarray(log_mean(np.asarray(drawn.read(0, min(drawn.n, _DRAWS)), dtype=float), *arguments))
    if not np.max(exponents) < _LARGEST:
        raise ValueError(
            f"expected exponents J.phi below {_LARGEST:.0f}, got {np.max(exponents):.3g}; try smaller sources, or "
            "cumulant_series"
        )
    sizes, total = sums(drawn, _ExponentialSums(log_mean), *arguments, progress=progress)
    mean = total.sum(axis=0) / sizes.sum()
    rows = error_rows(drawn, sizes, total) / mean
    relative = np.sqrt(np.sum(rows**2, axis=0))
    khat = np.array([pareto_khat(np.exp(column)) for column in exponents.T])
    for k in range(len(j)):
        _judge(k, float(khat[k]), float(relative[k]), len(exponents), space, j[k], flags)
    factor = float(neurons.width) if space == "neuron" and neurons is not None else 1.0
    bias = 0.0 if space == "field" or neurons is None else 0.5 * neurons.output_bias**2 * np.sum(j, axis=1) ** 2
    return Generating(
        sources=j,
        value=factor * np.log(mean) + bias,
        rows=factor * rows,
        bias=-0.5 * factor * relative**2,
        khat=khat,
        draws=source.n,
        space=space,
        flags=flags,
    )


def _convergent(model: Any, neurons: Independent, points: Points, j: Sources, space: str) -> dict[int, str]:
    """Refuse infinite Z[J]; warn where the variance of the average, Z at a larger source, is infinite.

    The square of exp(J.phi) is that of 2J, and that of E_W exp(a W) the one of a larger a (`ReadoutTail.of_square`).
    """
    what, flags = "exp(J.phi)" if space == "field" else "its average over the readout", {}
    for k, row in enumerate(j):
        try:
            verdict = finite_source(model, points, row)
            larger = 2.0 if space == "field" else neurons.law.tail().of_square
        except NotKnown as error:
            return dict.fromkeys(range(len(j)), f"it is not known whether Z[J] is finite: {error}")
        if not verdict.finite:
            raise ValueError(
                f"expected sources with a finite Z[J], got source {k}, J = {np.round(row, 6).tolist()}: {verdict.why}; "
                "try smaller sources, or cumulant_series, which is formal there"
            )
        beyond = finite_source(model, points, larger * row)
        if not beyond.finite:
            flags[k] = (
                f"the variance of {what} is Z[{larger:.3g}J], and there {beyond.why}: its error bar may be too small"
            )
    return flags


def _field(fields: Any, j: Any) -> Any:
    """J.phi, (network, source)."""
    return fields @ j.T


@dataclass(frozen=True)
class _ExponentialSums:
    """Sum of exp(log mean) over the draws with their weights."""

    log_mean: Callable[..., Any]

    def __call__(self, fields: jax.Array, weights: jax.Array, *arguments: jax.Array) -> jax.Array:
        return weights @ jnp.exp(self.log_mean(fields, *arguments))


def _integrated(
    source: Source, neurons: Independent | None, j: Sources, space: str
) -> tuple[Source, Callable[..., Any], tuple[Any, ...]]:
    """What is drawn, and the log of its average over the readout as a function of it and further arguments."""
    model = source.model
    if neurons is None:
        what = "samples of the field" if model is None else f"{getattr(model, '__name__', type(model).__name__)}"
    elif len(neurons.kinds) > 1:
        what = f"{len(neurons.kinds)} kinds of neurons"
    elif space == "neuron" and (neurons.shared_scale is not None or neurons.shared_length is not None):
        raise ValueError(
            "expected independent neurons for space='neuron', where Z[J] is the N-th power of one neuron's average, "
            f"got {neurons.shared_scale or neurons.shared_length}, which all of them share; try space='readout'"
        )
    else:
        what = ""
    if what or neurons is None:
        raise ValueError(
            f"expected an ensemble of `Network` with neurons of one kind for space={space!r}, got {what}; "
            "try space='field'"
        )
    if space == "neuron" and (why := allowed_spaces(source)["neuron"]):
        raise ValueError(f"expected independent neurons for space='neuron', got Network: {why}; try space='readout'")
    recipe = source.program
    scaled, kind = j * (neurons.output_scale / np.sqrt(neurons.width)), next(iter(neurons.kinds))
    if space == "neuron":
        # A readout of +-1 shows one neuron's s up to its sign, and E_W is even.
        single = Network(kind, 1, "rademacher")
        drawn = Ensemble(single, points=source.points, n=source.n, key=recipe.key, dtype=recipe.dtype)
        return drawn, _law(neurons.law), (scaled,)
    numbered = np.arange(float(len(j)))[:, None]
    hidden = Ensemble(
        _hidden(neurons, kind, source.points, scaled),
        points=numbered,
        n=source.n,
        key=recipe.key,
        dtype=recipe.dtype,
    )
    return hidden, _itself, ()


@lru_cache(maxsize=8)
def _law(law: AbstractReadout) -> Callable[..., Any]:
    def log_mean(activation: Any, j: Any) -> Any:
        return law.log_mean(activation @ j.T)

    return log_mean


def _itself(exponents: Any) -> Any:
    return exponents


def _hidden(neurons: Independent, neuron: AbstractNeuron, points: Points, scaled: Sources) -> Callable[[Any], None]:
    """NumPyro model of sum_i log E_W exp(sigma W J.s_i/sqrt N), site `phi`; its argument numbers the sources."""
    places, j = jnp.asarray(points), jnp.asarray(scaled)

    def model(_: Any) -> None:
        seen = places if neurons.shared_length is None else places / neurons.shared_length()
        size = j if neurons.shared_scale is None else j * jnp.sqrt(neurons.shared_scale())
        with numpyro.plate("neuron", neurons.width):
            s = neuron(seen)
        numpyro.deterministic("phi", jnp.sum(neurons.law.log_mean(s @ size.T), axis=0))

    return model


def _judge(
    number: int, khat: float, relative: float, seen: int, space: str, row: np.ndarray, flags: dict[int, str]
) -> None:
    what = f"source {number}, J = {np.round(row, 6).tolist()}, in {space} space"
    if khat > REFUSE_KHAT and seen >= DECISIVE:
        raise ValueError(
            f"expected an average that converges, got Pareto k-hat {khat:.2f} of the exponential, above {REFUSE_KHAT}, "
            f"at {what}; try smaller sources or another space"
        )
    if not relative < REFUSE_ERROR:
        raise ValueError(
            f"expected a relative error of <exp(J.phi)> below {REFUSE_ERROR}, got {relative:.2g} at {what}; try more "
            "draws, smaller sources or another space"
        )
    warnings = [flags[number]] if number in flags else []
    if khat > FLAG_KHAT:
        warnings.append(f"Pareto k-hat of the exponential is {khat:.2f}, above {FLAG_KHAT}: its error may be too small")
    if relative > FLAG_ERROR:
        warnings.append(f"the relative error of the average is {relative:.2g}, above {FLAG_ERROR}: its log is biased")
    if warnings:
        flags[number] = "; ".join(warnings)
