"""Every setting of a study and of a fit as an option of the command line, under its name, in a word what it is.

Values are read as in a study file, TOML, and what is no TOML is a word; the settings themselves say what they refuse.
"""

import gc
import os
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = [
    "FitOptions",
    "Folder",
    "ReadOptions",
    "Settings",
    "StudyOptions",
    "Value",
    "settings_of",
    "start",
    "value_of",
    "whole",
]

Value = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
Folder = Annotated[Path, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)]
Settings = Annotated[list[str] | None, Parameter(name="--set", allow_leading_hyphen=True)]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How couplings are fitted."""

    points: Value = None
    """Input points: -3,-1,1,3 in one dimension, or a file of them (.npy, .csv, .tsv, .txt); not of your own lattice."""
    action: Value = None
    """Bilocal (default), constant, local, translation_invariant, lattice_phi4, low_rank_bilocal, smooth_bilocal,
    full_quartic, full_sextic, modes or odd (bilocal with linear and cubic terms), in small letters."""
    method: Value = None
    """Where the equations come from: score (default), pseudo, gold or tree."""
    sampler: Value = None
    """How the posterior is drawn: nuts (default; closed beyond 100 terms), closed or svi."""
    seed: Value = None
    """Of all random numbers, default 0."""
    shape: Value = None
    """Sites of a lattice along each axis: 8,8."""
    reach: Value = None
    """How far the couplings of a translation invariant action reach."""
    periodic: Value = None
    """Whether a lattice closes: true or false."""
    kappa: Value = None
    """Fixed hopping of lattice_phi4; left out it is fitted."""
    rank: Value = None
    """Products of low_rank_bilocal."""
    count: Value = None
    """Modes of the action modes."""
    discrepancy: Value = None
    """Whether smooth_bilocal has an independent part: true or false."""
    weights: Value = None
    """Quadrature weights of a continuum grid, one a point."""
    prior_scale: Value = None
    """Of the default prior: 1 is worth one network."""
    chains: Value = None
    """Chains of the posterior, default 4."""
    warmup: Value = None
    """Steps of each chain that are thrown away, default 500."""
    draws: Value = None
    """Draws kept of each chain, default 1000."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions(FitOptions):
    """What is studied, and how its couplings are fitted."""

    depth: Value = None
    """Number of hidden layers, default 1."""
    width: Value = None
    """Number of neurons N."""
    n: Value = None
    """Number of networks; 1e6 is allowed."""
    readout: Value = None
    """Law of the readout weights: gaussian, uniform, rademacher or laplace."""
    output_scale: Value = None
    """Standard deviation of a readout weight."""
    output_bias: Value = None
    """Standard deviation of the output bias."""
    weight_scale: Value = None
    """Standard deviation of the input weights times sqrt(d)."""
    bias_scale: Value = None
    """Standard deviation of the bias of a neuron."""
    mass: Value = None
    """Of the scalar field."""
    cutoff: Value = None
    """Of the scalar field, in units of the momentum."""
    alpha: Value = None
    """Of the scalar field: the power of its measure, 0 or -1."""
    space: Value = None
    """Where correlators are measured: field (default), readout, neuron or cheapest."""
    widths: Value = None
    """Of a published experiment hms-*: 2,5,20."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions(FitOptions):
    """How the array of somebody else's networks is read, and how couplings are fitted to it."""

    networks: Value = None
    """How many networks are behind a table of correlators with their errors."""
    variable: Value = None
    """The array in a file of several."""
    dims: Value = None
    """The order of the axes: point,network where it lies the other way round."""
    markov_chains: Value = None
    """So many chains of equal length follow each other in the file."""
    independent: Value = None
    """True: the order of the networks means nothing."""


def start(quiet: bool) -> bool:
    """All cores for JAX, before it starts, and its programs kept; whether to show progress."""
    gc.set_threshold(100_000, 20, 100)  # a short process: looking for cycles among JAX's objects was 8 % of a study
    from ..models.runtime import configure

    affinity = getattr(os, "sched_getaffinity", None)  # the cores this process may use; Linux only
    configure(cores=len(affinity(0)) if affinity else os.cpu_count() or 1, cache=True)
    return sys.stderr.isatty() and not quiet


def settings_of(options: FitOptions | None, words: Sequence[str] | None) -> dict[str, Any]:
    """What was said on the command line, under the names of the session; an option counts more than --set."""
    settings: dict[str, Any] = {}
    for text in words or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected --set name=value, got {text!r}; try --set width=100")
        settings[name.strip()] = value_of(value.strip())
    said = {} if options is None else {name: text for name, text in asdict(options).items() if text is not None}
    return settings | {name: value_of(text) for name, text in said.items()}


def value_of(text: str) -> Any:
    """A value as in a study file, brackets of a list left out if one likes; what is no TOML is a word."""
    for written in (text, f"[{text}]"):
        try:
            return tomllib.loads(f"value = {written}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return text


def whole(name: str, text: str) -> int:
    """1000 or 1e3."""
    value = value_of(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31 or value != int(value):
        raise ValueError(f"expected a whole number for --{name}, got {text!r}; try --{name} 1000")
    return int(value)
