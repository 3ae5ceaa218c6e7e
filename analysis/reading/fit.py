"""A fit read once: its action, its couplings with their numbers, what was observed, how it was made; then passed on.

The couplings are the identifiable ones, by the names of the action: g_a, u_ab, v_ab of a bilocal action, g_abcd and
g_abcdef of full ones, g, u(r), v(r) of a lattice by displacement r; then those of the quadratic part, then the
hyper-parameters of a smooth prior. Intervals are equal-tailed and hold 89 %, ArviZ's default.
"""

import json
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate

import arviz as az
import numpy as np
import xarray as xr

from ...inference.methods.method import MethodWords
from ...inference.posterior.sampler import SamplerWords
from ...inference.posterior.words import method_words, sampler_words
from ...models.actions.base import AbstractAction, Symbol
from ...models.actions.ladder import action_of
from ...models.arrays import dense
from ...models.types import Matrix, Vector
from .couplings import HYPER, INTERVAL, Coupling

__all__ = ["Reading", "reads"]

_FORMER = {f"rich_{part}": f"full_{part}" for part in ("matrix", "noise", "embed")}  # in files of earlier versions


class Reading:
    """What a fit of `inf.fit` holds, or one reloaded from its file; each part is worked out once, when first asked for.

    Args:
        fit: the tree.

    Raises:
        ValueError: something else than what `inf.fit` returns.
    """

    def __init__(self, fit: xr.DataTree) -> None:
        if not isinstance(fit, xr.DataTree):
            raise ValueError(
                f"expected a fit, the tree that inf.fit returns, got {type(fit).__name__}; "
                "try inf.fit(data, models.Bilocal(), key=jax.random.key(0)) first"
            )
        self.tree = fit
        self.attrs: dict[str, Any] = {str(name): value for name, value in fit.attrs.items()}
        self.children = fit.children
        self._groups: dict[str, xr.Dataset] = {}

    def group(self, name: str) -> xr.Dataset:
        """One group of the tree as a dataset."""
        if name not in self.children:
            advice = "inf.fit(..., as_if_n=100_000) for draws" if "point" in self.children else "a fit of inf.fit"
            raise ValueError(f"expected a fit with {name}, got a tree of {', '.join(self.children)}; try {advice}")
        if name not in self._groups:
            self._groups[name] = self.children[name].to_dataset()
        return self._groups[name]

    @property
    def constants(self) -> xr.Dataset:
        """Errors, points, weights, metric and the estimating equations."""
        found = self.group("constant_data")
        former = {old: new for old, new in _FORMER.items() if old in found}
        return found.rename(former) if former else found

    @property
    def posterior(self) -> xr.Dataset:
        """The draws after the data."""
        return self.group("posterior")

    def errors(self, name: str) -> Vector:
        """One standard error of what was observed, "G2", "G4" or "T", (component,)."""
        named = f"{name}_error"  # files of earlier versions keep errors beside the data
        return (self.constants if named in self.constants else self.group("observed_data"))[named].values

    @cached_property
    def action(self) -> AbstractAction:
        """The action that was fitted."""
        return action_of(self.attrs)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """How the networks were made, as data: kind, model, file, key; empty in files of earlier versions."""
        return json.loads(self.attrs.get("recipe", "{}"))

    @cached_property
    def made_with(self) -> dict[str, Any]:
        """Method, sampler and prior as data, classes with their options; empty in files of earlier versions."""
        return json.loads(self.attrs.get("made_with", "{}"))

    @property
    def method(self) -> str:
        """Where the equations came from."""
        return str(self.attrs.get("method", "score"))

    @property
    def sampler(self) -> str:
        """How the posterior was drawn."""
        return str(self.attrs.get("sampler", "nuts"))

    @property
    def space(self) -> str:
        """Whose correlators were averaged: those of fields, of hidden layers, of neurons."""
        return str(self.attrs.get("space", "field"))

    @property
    def networks(self) -> float:
        """Number of networks."""
        return float(self.attrs["networks"])

    @property
    def points(self) -> int:
        """Number of points, or of modes."""
        return self.constants.sizes["x"]

    @property
    def markov(self) -> bool:
        """Whether the draws are those of Markov chains, and not independent."""
        return self.sampler_words.markov

    @cached_property
    def method_words(self) -> MethodWords:
        """What is said of the method."""
        return method_words(self.attrs)

    @cached_property
    def sampler_words(self) -> SamplerWords:
        """What is said of the sampler."""
        return sampler_words(self.attrs)

    @property
    def from_fields(self) -> bool:
        """Whether the fit averaged its terms over the fields themselves, and not over given correlators."""
        return any("T_error" in self.group(name) for name in ("constant_data", "observed_data"))

    @cached_property
    def interaction_names(self) -> list[str]:
        """Names of the interaction's couplings in the order of the terms; at one point there are no u and v."""
        return list(self.action.blocks(self.points))

    @cached_property
    def quadratic_names(self) -> list[str]:
        """Names of the couplings of the quadratic part, which come first among the terms."""
        return list(self.action.quadratic_blocks(self.points))

    @cached_property
    def look(self) -> str:
        """How its couplings are shown: "maps" over pairs of points, "local", "by displacement", "numbers", "sorted"."""
        labels = self.action.labels(self.points)
        dims = {labels[name][0] for name in self.interaction_names}
        if any(self.action.symbol(name).step for name in self.interaction_names):
            return "by displacement"
        if dims == {"constant"}:
            return "numbers"
        if dims == {"x", "ordered_pair", "cross_pair"}:
            return "maps" if self.points > 1 else "local"
        return "local" if dims == {"x"} else "sorted"

    @cached_property
    def couplings(self) -> list[Coupling]:
        """The couplings of the interaction in the order of the action's terms."""
        return [c for name in self.interaction_names for c in self._numbers.get(name, [])]

    @cached_property
    def quadratics(self) -> list[Coupling]:
        """The couplings of the quadratic part."""
        return [c for name in self.quadratic_names for c in self._numbers.get(name, [])]

    @cached_property
    def hyper_parameters(self) -> list[Coupling]:
        """Amplitude, length and discrepancy of a smooth prior, one a block of couplings; empty for other actions."""
        return [c for name in HYPER for c in self._numbers.get(name, [])]

    @property
    def every_coupling(self) -> list[Coupling]:
        """All of them, those of the interaction first."""
        return [*self.couplings, *self.quadratics, *self.hyper_parameters]

    def draws_of(self, coupling: Coupling) -> np.ndarray:
        """The draws of one coupling, (chain, draw)."""
        values = self.posterior[coupling.site].transpose("chain", "draw", ...)
        labels = list(values[values.dims[2]].values.astype(str))
        return values.values[..., labels.index(coupling.where) if coupling.where else 0]

    def theta(self, names: list[str]) -> Matrix:
        """Physical couplings of all chains in the order of the terms, (draw, term)."""
        values = [self.posterior[n].transpose("chain", "draw", ...).values for n in names if n in self.posterior]
        return np.concatenate([v.reshape(v.shape[0] * v.shape[1], -1) for v in values], axis=1)

    @cached_property
    def two_point(self) -> Matrix:
        """K of a fit, (point, point); on a lattice from its first row, the average over sites."""
        constants, box = self.constants, self.action.lattice
        if "metric" in constants:  # files of fits before the two were told apart hold the metric alone
            return constants["two_point" if "two_point" in constants else "metric"].values
        if box is None:
            raise ValueError(f"expected a fit with K, got one of a {self.action.name} without; try fitting again")
        row = constants["two_point"].values
        sites = np.stack(np.unravel_index(np.arange(len(row)), box), axis=1)
        steps = (sites[None] - sites[:, None]) % np.array(box)
        return row[np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), box)]

    @cached_property
    def connected_two_point(self) -> Matrix:
        """K, of a field with a mean (an action with odd terms) what was measured less the square of the mean."""
        observed = self.group("observed_data") if "observed_data" in self.children else {}
        if self.action.even or "G1" not in observed:
            return self.two_point
        mean = observed["G1"].values
        return dense(observed["G2"].values, len(mean), 2) - np.outer(mean, mean)

    @cached_property
    def field_scale(self) -> Vector:
        """Standard deviation of the field at each point, (point,)."""
        if "metric" in self.constants:
            return np.sqrt(np.diag(self.two_point))
        return np.full(self.points, np.sqrt(self.constants["two_point"].values[0]))

    @cached_property
    def _numbers(self) -> dict[str, list[Coupling]]:
        """Every coupling by name, from one pass over the draws."""
        names = [*self.interaction_names, *self.quadratic_names, *HYPER]
        names = [name for name in names if name in self.posterior and self.posterior[name].size]
        after, before = (
            [self.group(group)[name].transpose("chain", "draw", ...) for name in names]
            for group in ("posterior", "prior")
        )
        sizes = [values.shape[2] for values in after]
        first = np.cumsum([0, *sizes])
        columns = _columns(*(np.concatenate([v.values for v in values], axis=2) for values in (after, before)))
        lost = self._truncation()
        hyper = {"amplitude": Symbol("a"), "length": Symbol(r"\ell"), "discrepancy": Symbol("d")}
        found = {}
        for k, name in enumerate(names):
            symbol = hyper.get(name) or self.action.symbol(name)
            dim = after[k].dims[2]
            labels = [""] if dim == "constant" else after[k][dim].values.astype(str)
            rows = columns[first[k] : first[k + 1]]
            bias = lost.get(name, np.full(sizes[k], np.nan))
            found[name] = [
                Coupling._make([name, str(label), *map(float, row), float(b), symbol])
                for label, row, b in zip(labels, rows, bias, strict=True)
            ]
        return found

    def _truncation(self) -> dict[str, Vector]:
        """What tree level leaves out of each coupling, by name."""
        if "truncation_bias" not in self.constants:
            return {}
        physical = self.constants["truncation_bias"].values / self.constants["factors"].values
        order = [*self.quadratic_names, *self.interaction_names]
        sizes = [self.posterior.sizes[self.posterior[name].dims[2]] for name in order]
        return dict(zip(order, np.split(physical, np.cumsum(sizes)[:-1]), strict=True))


def reads[**More, Found](
    function: Callable[Concatenate[Reading, More], Found],
) -> Callable[Concatenate[xr.DataTree | Reading, More], Found]:
    """The same function, of a fit too, which it reads first."""

    @wraps(function)
    def inside(fit: xr.DataTree | Reading, *arguments: More.args, **options: More.kwargs) -> Found:
        return function(fit if isinstance(fit, Reading) else Reading(fit), *arguments, **options)

    return inside


def _columns(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The numbers of `Coupling` for draws (chain, draw, coupling) after and before the data, (coupling, number)."""
    tail = 0.5 * (1.0 - INTERVAL)
    posterior = az.dict_to_dataset({"value": after})
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move; `diagnose` says so
        rhat, ess = az.rhat(posterior)["value"].values, az.ess(posterior)["value"].values
    low, high = np.quantile(after, [tail, 1.0 - tail], axis=(0, 1))
    mean, sd = np.mean(after, axis=(0, 1)), np.std(after, axis=(0, 1), ddof=1)
    prior_mean, prior_sd = np.mean(before, axis=(0, 1)), np.std(before, axis=(0, 1), ddof=1)
    return np.stack([mean, sd, low, high, prior_mean, prior_sd, ess, rhat], axis=1)
