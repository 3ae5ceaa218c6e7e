r"""The flow that the data themselves give: lattice couplings fitted again on every coarser scale, with their errors.

    S_b = kappa sum_{x,mu} (phi_{x+mu} - phi_x)^2 + m2 sum_x phi_x^2 + lambda sum_x phi_x^4   of the field on scale b,

its sites (all others integrated out), averages over blocks, or long waves (`inference/scales`). Each is score matching
with the unit metric, of samples with the posterior's errors, of exact correlators exactly; the truth for a chain is its
exact law under the same map (`models/flows/decimation.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import numpy as np

from ...inference.ensembles.source import Source
from ...inference.equations.lattices import judge_sites
from ...inference.methods.method import Score
from ...inference.posterior.fit import fit
from ...inference.posterior.sampler import Closed
from ...inference.scales.coarse import block, decimate, shell
from ...models.actions.lattice import LatticePhi4
from ...models.combinatorics import tuple_count
from ...models.correlators import Correlators
from ...models.flows.decimation import DecimatedChain
from ...models.refusals import is_whole, nearest
from ...models.theories.chain import Chain
from ...models.types import Vector

__all__ = ["NAMES", "WAYS", "Flow", "Step", "flow"]

NAMES = ("kappa", "m2", "coupling")
WAYS = {
    "sites": lambda data, b, shape: decimate(data, every=b, shape=shape),
    "blocks": lambda data, b, shape: block(data, size=b, shape=shape),
    "waves": lambda data, b, shape: shell(data, every=b, shape=shape),
}
_HARDLY, _DEAD = 0.1, 0.5  # of itself: a coupling that changes less hardly runs, one that falls below is dead
_SEEN = 3.0  # errors of a change that is one
_LEAST_SITES = 3  # of an axis: a site and two neighbours
_NO_LATTICE = 1e-6  # p of sites alike
_DENSE = 64  # sites whose unit metric is written out; on larger lattices it is taken by itself
_MOST_SITES = 16  # of a chain whose sixth-order correlators are all taken
_COMPONENTS = 3003  # of order six at ten points, the most that a fit of exact correlators takes


@dataclass(frozen=True, eq=False)
class Step:
    """kappa, m2 and lambda on one scale.

    Attributes:
        way: "sites", "blocks" or "waves" that were kept.
        every: b.
        shape: of the coarser lattice.
        value, error: (coupling,); zero errors of exact data.
        exact: what the exact law gives, nan where it is not known.
    """

    way: str
    every: int
    shape: tuple[int, ...]
    value: Vector
    error: Vector
    exact: Vector

    @property
    def off(self) -> Vector:
        """How many errors from the exact value, (coupling,); nan where there is no error or nothing exact."""
        return np.divide(self.value - self.exact, self.error, out=np.full(3, np.nan), where=self.error > 0.0)


@dataclass(frozen=True, eq=False)
class Flow:
    """Couplings against scale.

    Attributes:
        steps: of every way at every b, b = 1 first.
        networks: fields behind them, inf for exact correlators.
    """

    steps: tuple[Step, ...]
    networks: float

    def of(self, way: str) -> tuple[Step, ...]:
        """The steps of one way, by b."""
        return tuple(step for step in self.steps if step.way == way)

    @property
    def said(self) -> tuple[str, str]:
        """Of the first way there is, what the numbers say of the local quartic and of the hopping."""
        steps = self.of(self.steps[0].way)
        (kappa, _, quartic), (far, _, beyond) = steps[0].value, steps[-1].value
        seen = abs(beyond - quartic) > _SEEN * float(np.hypot(steps[0].error[2], steps[-1].error[2]))
        still = abs(beyond - quartic) < _HARDLY * abs(quartic)
        runs = "hardly runs" if still else "runs" if seen else "is not seen to run"
        dies = "dies" if abs(far) < _DEAD * abs(kappa) else "stays"
        return (
            f"the local quartic {runs} ({quartic:.3g} to {beyond:.3g})",
            f"the hopping {dies} ({kappa:.3g} to {far:.2g})",
        )

    @property
    def words(self) -> str:
        """The same in one sentence."""
        steps = self.of(self.steps[0].way)
        kept = {"sites": "in the sites that are kept", "blocks": "in blocks", "waves": "in long waves"}[steps[0].way]
        return f"{kept}, from b = {steps[0].every} to {steps[-1].every}, {' and '.join(self.said)}"

    def __str__(self) -> str:
        rows = [("kept", "b", "sites", "kappa", "m2", "lambda")]
        for step in self.steps:
            cells = []
            for value, error, exact in zip(step.value, step.error, step.exact, strict=True):
                known = f" ({exact:.5g})" if np.isfinite(exact) else ""
                cells.append(f"{value:.5g}" + (f" +- {error:.1g}" if error > 0 else "") + known)
            rows.append((step.way, str(step.every), "x".join(map(str, step.shape)), *cells))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, self.words])


def flow(
    data: Correlators | Source,
    *,
    key: jax.Array,
    shape: Sequence[int] | None = None,
    every: Sequence[int] = (1, 2, 4),
    ways: Sequence[str] = ("sites", "blocks", "waves"),
    truth: Chain | None = None,
) -> Flow:
    """Couplings of phi^4 on every coarser scale of a periodic lattice.

    Args:
        data: samples of a lattice, sites in C order, or exact correlators of order 2, 4 and 6 of at most ten sites.
        key: of the posteriors.
        shape: sites along each axis; a ring of all points where it is left out.
        every: the scales b, each dividing every length and leaving at least three sites.
        ways: what is kept: "sites", "blocks", "waves".
        truth: the chain behind the data, for the exact couplings beside the fitted ones.

    Raises:
        ValueError: several fields, fields of no periodic lattice, a b that does not divide, a lattice too short, an
            unknown way, a truth of another lattice; what a fit refuses.

    Example, from exact correlators:
        >>> from nnft import models as m
        >>> ring = m.Chain(1.0, 0.1, 6)
        >>> found = flow(m.DecimatedChain(ring).correlators(), key=jax.random.key(0), every=(1, 2), ways=("sites",))
        >>> [step.value.round(4).tolist() for step in found.steps]   # kappa, m2, lambda
        [[0.5, 0.5, 0.1], [0.147, 0.9089, 0.1015]]
    """
    lengths = (len(data.points),) if shape is None else tuple(shape)
    scales = _checked(lengths, every, ways)
    if truth is not None and lengths != (truth.sites,):
        raise ValueError(f"expected truth= of {truth.sites} sites in a row, got data on {lengths}; try leaving it out")
    if data.outputs > 1:
        raise ValueError(f"expected one field on a lattice, got {data.outputs}; try one output at a time")
    if isinstance(data, Source):
        _check_sites(data, lengths)
    known, steps = {} if truth is None else _exact(truth, scales, ways), []
    whole = _fitted(data, lengths, key) if 1 in scales else None  # the same for every way
    for k, (way, b) in enumerate((way, b) for way in ways for b in scales):
        new = tuple(length // b for length in lengths)
        if b == 1 and whole is not None:
            value, error = whole
        else:
            value, error = _fitted(WAYS[way](data, b, lengths), new, jax.random.fold_in(key, k))
        steps.append(Step(way, b, new, value, error, known.get((way, b), np.full(3, np.nan))))
    networks = data.networks if isinstance(data, Correlators) else data.dependence.effective
    return Flow(tuple(steps), float(networks))


def _check_sites(data: Source, shape: tuple[int, ...]) -> None:
    """Refuse fields whose neighbours in the file are no neighbours of a ring or torus of that shape."""
    found = judge_sites(data, LatticePhi4(shape))
    if found.translation_p < _NO_LATTICE:
        raise ValueError(
            f"expected a periodic lattice {shape}, its sites alike and in C order, got fields where "
            f"{found.translation_why} (p = {found.translation_p:.1g}); try another shape=, or inf.decimate "
            "and an action of points"
        )


def _fitted(data: Correlators | Source, shape: tuple[int, ...], key: jax.Array) -> tuple[Vector, Vector]:
    """kappa, m2, lambda and their errors."""
    method = Score(metric=np.eye(prod(shape))) if prod(shape) <= _DENSE else Score()
    given: Any = data
    tree = fit(given, LatticePhi4(shape), key=key, method=method, sampler=Closed(draws=1000))
    if "point" in tree:
        return np.array([float(np.asarray(tree["point"].dataset[name]).item()) for name in NAMES]), np.zeros(3)
    draws = [np.asarray(tree["posterior"].dataset[name]) for name in NAMES]
    return np.array([np.mean(d) for d in draws]), np.array([np.std(d) for d in draws])


def _exact(chain: Chain, scales: Sequence[int], ways: Sequence[str]) -> Mapping[tuple[str, int], Vector]:
    """What the exact law of the chain gives under each map, as far as it is known."""
    found: dict[tuple[str, int], Vector] = {}
    own = np.array([0.5, chain.m2 / 2.0, chain.lam])
    fine = DecimatedChain(chain).correlators() if chain.sites <= _MOST_SITES and {*ways} - {"sites"} else None
    for way in ways:
        for b in scales:
            sites = chain.sites // b
            if b == 1:
                found[way, b] = own
            elif way == "sites":
                couplings = DecimatedChain(chain, b).couplings(LatticePhi4((sites,)))
                found[way, b] = np.concatenate([couplings[name] for name in NAMES])
            elif fine is not None and tuple_count(sites, 6) <= _COMPONENTS * 2:
                found[way, b] = _fitted(WAYS[way](fine, b, (chain.sites,)), (sites,), jax.random.key(0))[0]
    return found


def _checked(lengths: tuple[int, ...], every: Sequence[int], ways: Sequence[str]) -> tuple[int, ...]:
    """The scales in ascending order, each of which leaves a lattice."""
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        word = str(unknown[0] if unknown else ways)
        raise ValueError(f"expected ways among {', '.join(WAYS)}, got {word!r}; try {nearest(word, list(WAYS))!r}")
    if not every or not all(is_whole(b, 1) for b in every):
        raise ValueError(f"expected whole numbers of sites, got every={every!r}; try (1, 2, 4)")
    for b in every:
        for length in lengths:
            if length % b or length // b < _LEAST_SITES:
                fit_in = [d for d in range(1, length + 1) if length % d == 0 and length // d >= _LEAST_SITES]
                what = f"{length // b} sites" if length % b == 0 else f"a length {length} that {b} does not divide"
                raise ValueError(
                    f"expected at least {_LEAST_SITES} sites an axis on every scale, got {what} at b = {b}; try "
                    f"every={tuple(fit_in[:3]) or (1,)}, or a longer lattice"
                )
    return tuple(sorted({int(b) for b in every}))
