"""Do fields drawn from a model follow the law that its neurons, or its hidden layers, say they have?

Up to 4096 networks are drawn from the program itself, and as many fields are made of what the space averages: N single
neurons each, or a Gaussian vector with the covariance of a hidden layer. If the space is right both are one law. With
D_i = T(phi_i) - T(phi'_i) symmetric about zero, |sum D| > t (sum D^2)^(1/2) happens with probability at most
2 exp(-t^2/2), at every number of networks and for every tail (B. Efron, J. Am. Stat. Assoc. 64 (1969) 1278): no legal
model is refused because its moments are heavy or missing. T are products of two fields (G2) and Hermite polynomials of
degree four (G4c) along at most three directions, those of the largest G2.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from jaxtyping import Float

from ...models.arrays import dense
from ...models.networks.model import as_model
from ...models.types import Matrix
from ..ensembles.ensemble import Ensemble, is_plain

__all__ = ["MOST_FIELDS", "Made", "check_law", "from_covariances", "from_neurons", "judge_law", "square"]

MOST_FIELDS = 4096
_NUMBERS = 2**21  # random numbers behind all fields: 4096 networks of 500 numbers, or 524 of 4000
_LEAST = 32  # fields below which nothing can be said: t is at most the root of their number
_ALARM = 1e-6
_DIRECTIONS = 3
_SIDE = 1_969_127_800  # of the key of these fields, which are none of those measured

Fields = Float[np.ndarray, "network point"]
Made = Callable[[int], tuple[Matrix, Callable[[Matrix], Fields]]]
"""Number of fields -> their <phi phi>, and a function from directions (point, direction) to fields along them."""

_JUDGED: WeakKeyDictionary[Ensemble, dict[str, str]] = WeakKeyDictionary()


def check_law(ensemble: Ensemble, space: str, made: Made) -> None:
    """Refuse a space whose own fields differ from those drawn from the model; once for an ensemble and a space.

    Networks of the suite are left out: tests hold each of their spaces against closed forms.

    Raises:
        ValueError: G2 or G4c of both differ with p < 1e-6.
    """
    if is_plain(ensemble.model):
        return
    judged = _JUDGED.setdefault(ensemble, {})
    if space not in judged:
        key = jax.random.fold_in(jax.random.key(_SIDE), 0)
        count = int(np.clip(_NUMBERS // ensemble.numbers, _LEAST, MOST_FIELDS))
        drawn = Ensemble(
            ensemble.model, points=ensemble.points, n=count, key=key, site=ensemble.site, dtype=ensemble.dtype
        )
        fields = drawn.read(0, count).astype(float)
        if not np.isfinite(fields).all():
            where = np.argwhere(~np.isfinite(fields))[0]
            raise ValueError(
                f"expected finite fields, got {fields[tuple(where)]} at point {where[1]}; try a smaller scale or "
                "removing that point"
            )
        covariance, along = made(count)
        pooled = 0.5 * (fields.T @ fields / count + covariance)
        size, vectors = np.linalg.eigh(pooled)
        kept = np.flatnonzero(size > 1e-6 * abs(size[-1]))[-_DIRECTIONS:][::-1]
        frame = vectors[:, kept] / np.sqrt(size[kept])
        judged[space] = judge_law(fields @ frame, along(frame), space)
    if judged[space]:
        raise ValueError(judged[space])


def judge_law(fields: Fields, other: Fields, space: str, *, alarm: float = _ALARM) -> str:
    """Why fields of the model and fields made in a space are not of one law, or "" (network, direction).

    >>> normal = np.random.default_rng(0).normal(size=(2, 4000, 1))
    >>> judge_law(normal[0], normal[1], "neuron")
    ''
    >>> judge_law(1.5 * normal[0], normal[1], "neuron").partition(";")[0][:77]
    "expected space='neuron' to have the law of fields drawn from the model, got G"
    """
    count = min(len(fields), len(other))
    if count < _LEAST or fields.shape[1] == 0:
        return ""
    for name, statistic in (("G2", _pairs), ("G4c", _quads)):
        mine, theirs = statistic(fields[:count]), statistic(other[:count])
        difference = mine - theirs
        t = np.abs(difference.sum(axis=0)) / np.sqrt(np.maximum((difference**2).sum(axis=0), 1e-300))
        worst = int(np.argmax(t))
        p = min(1.0, 2.0 * t.size * float(np.exp(-0.5 * t[worst] ** 2)))
        if p < alarm:
            return (
                f"expected space={space!r} to have the law of fields drawn from the model, got {name} of "
                f"{mine[:, worst].mean():.3g} from {count} fields and {theirs[:, worst].mean():.3g} from as many made "
                f"in this space (along a direction of the points, G2 about 1), p = {p:.1g}; try space='field'"
            )
    return ""


def _pairs(y: Fields) -> np.ndarray:
    first, second = np.triu_indices(y.shape[1])
    return y[:, first] * y[:, second]


def _quads(y: Fields) -> np.ndarray:
    """He_4 of each direction, and of the length of all of them: a scale that they share shows there."""
    square, r = (y**2).sum(axis=1, keepdims=True), y.shape[1]
    length = square**2 - 2.0 * (r + 2.0) * square + r * (r + 2.0)
    return np.concatenate([y**4 - 6.0 * y**2 + 3.0, length], axis=1)


def square(pairs: Float[np.ndarray, "*network pair"], points: int) -> Float[np.ndarray, "*network point point"]:
    """Symmetric matrices from their sorted pairs.

    >>> square(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    return dense(pairs, points, 2)


def from_covariances(hidden: Ensemble, points: int) -> Made:
    """Fields N(0, Sigma), Sigma the covariances of hidden layers that are measured."""

    def made(count: int) -> tuple[Matrix, Callable[[Matrix], Fields]]:
        sigma = square(hidden.read(0, min(count, hidden.n)).astype(float), points)

        def along(frame: Matrix) -> Fields:
            size, vectors = np.linalg.eigh(frame.T @ sigma @ frame)
            z = np.random.default_rng(_SIDE).standard_normal((len(sigma), frame.shape[1], 1))
            return (vectors @ (np.sqrt(np.maximum(size, 0.0))[..., None] * z))[..., 0]

        return sigma.mean(axis=0), along

    return made


def from_neurons(singles: list[Ensemble], ensemble: Ensemble, width: int, bias: Matrix) -> Made:
    """Fields N^(-1/2) sum_i h_i + b, h the single neurons that are measured, b ~ N(0, bias)."""

    def made(count: int) -> tuple[Matrix, Callable[[Matrix], Fields]]:
        each = width // len(singles)
        count = min(count, ensemble.n // each)
        fields = np.zeros((count, len(ensemble.points)))
        for k, single in enumerate(singles):
            neurons = single.read(0, count * each).astype(float) * _amplitude(ensemble.model, k, count * each)
            fields += neurons.reshape(count, each, -1).sum(axis=1) / width**0.5
        size, vectors = np.linalg.eigh(bias)
        z = np.random.default_rng(_SIDE).standard_normal(fields.shape)
        fields += (z * np.sqrt(np.maximum(size, 0.0))) @ vectors.T
        return fields.T @ fields / max(count, 1), lambda frame: fields @ frame

    return made


def _amplitude(model: Any, kind: int, count: int) -> np.ndarray:
    """What a sum integrates out of its neurons: the readout weight and an amplitude; else 1."""
    parts = as_model(model).as_sum
    if parts is None:
        return np.ones((count, 1))
    key = jax.random.fold_in(jax.random.key(_SIDE), 1 + kind)
    weight = np.asarray(parts.law.draw().sample(key, (count, 1)), dtype=float) * parts.output_scale
    return weight * parts.kinds[kind].draw_amplitudes(jax.random.fold_in(key, 1), count)
