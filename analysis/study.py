"""A study from start to finish: networks drawn, correlators measured, couplings fitted, checks made, a page written.

prior of the parameters -> phi -> G_c^(2), G_c^(4), G_c^(6) -> S[phi] -> verdicts (the chain of arXiv:2307.03223). A
study is the list of arguments such a session has, under the names they have there; only this file knows every stage.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import get_annotations
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import xarray as xr

from ..inference.basis import make_basis
from ..inference.ensembles import Ensemble
from ..inference.fit import fit
from ..inference.measure import MAX_COMPONENTS, measure
from ..inference.samples import Samples, load_points
from ..models.correlators import Correlators, check_points
from ..models.exact import exact
from ..models.ladder import action_named
from ..models.networks import Network, nearest
from ..models.theories import theory_named
from ..models.types import Points, Vector
from .report import check_folder, report

__all__ = ["Fitting", "NoFit", "Study", "fit_samples", "read_points", "run"]

_SCALES = ("weight_scale", "bias_scale", "mass", "cutoff", "alpha")  # of the neurons, not all of every one
_NUMBERS = (*_SCALES, "output_scale", "output_bias", "prior_scale")
_SPACES = {"field": "field", "readout": "readout", "neuron": "neuron", "cheapest": None}


class NoFit(ValueError):
    """Physics or statistics refuses the fit; what could be measured before that is in `correlators`."""

    def __init__(self, why: object, correlators: Correlators | None = None) -> None:
        super().__init__(str(why))
        self.correlators = correlators


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """How couplings are fitted, whatever the samples.

    Attributes:
        action: "constant", "local", "bilocal" or "full_quartic".
        weights: quadrature weights of a continuum grid, one a point; None is one each.
        prior_scale, chains, warmup, draws: as in `inference.fit`.
        seed: networks are drawn with jax.random.key(seed), the posterior with key(seed + 1).
    """

    action: str = "bilocal"
    weights: Vector | Sequence[float] | None = None
    prior_scale: float = 1.0
    chains: int = 4
    warmup: int = 500
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        action_named(_word("action", self.action, "bilocal"))
        for name, least, advice in (("chains", 2, 4), ("warmup", 10, 500), ("draws", 20, 1000), ("seed", 0, 0)):
            object.__setattr__(self, name, _integer(name, getattr(self, name), least, advice))
        for name in _NUMBERS:
            if getattr(self, name, None) is not None:
                object.__setattr__(self, name, _number(name, getattr(self, name)))
        if self.prior_scale <= 0.0:
            raise ValueError(f"expected prior_scale > 0, got {self.prior_scale:g}; try 1.0, worth one network")

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, besides: Sequence[str] = ()) -> Self:
        """Made from names and values; an unknown name is refused with the nearest known one, or one of `besides`."""
        own = get_annotations(cls)
        known = [*sorted((f.name for f in fields(cls)), key=lambda name: name not in own), *besides]
        for name in settings:
            if name not in known:
                expected = f"expected a setting among {', '.join(known)}, got {name!r}"
                raise ValueError(f"{expected}; try {nearest(name, known)!r}")
        return cls(**settings)

    def checked_weights(self, points: int) -> Vector:
        """The weights as an array, if they are one positive number a point."""
        if self.weights is None:
            return np.ones(points)
        try:
            w = np.asarray(self.weights, dtype=float)
        except (TypeError, ValueError):
            w = np.empty(0)
        if w.shape != (points,) or not np.all(np.isfinite(w)) or np.any(w <= 0.0):
            raise ValueError(
                f"expected {points} positive quadrature weights, one a point, got {self.weights}; try leaving them out"
            )
        return w

    def fit(self, data: Correlators | Samples, *, progress: bool = False) -> xr.DataTree:
        """The posterior of the couplings, `inference.fit` with these settings, which it remembers."""
        return fit(
            data,
            action_named(self.action),
            key=jax.random.key(self.seed + 1),
            weights=self.checked_weights(len(data.points)),
            prior_scale=self.prior_scale,
            chains=self.chains,
            warmup=self.warmup,
            draws=self.draws,
            progress=progress,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Study(Fitting):
    """Everything one run depends on; what is left out takes the default of the named network (`nnft models`).

    Attributes:
        net: "cos", "erf", "relu", "gauss", "tanh" or "scalar".
        width: number of neurons N.
        points: (point, axis), a list of numbers in one dimension, "-3,-1,1,3", or a .npy, .csv or .txt file.
        n: number of networks.
        readout, output_scale, output_bias: as in `models.Network`.
        weight_scale, bias_scale: of the neuron; of the scalar mass, cutoff and alpha.
        space: "field", "readout" or "neuron", as in `inference.measure`, or "cheapest".

    Raises:
        ValueError: an unknown name (with the nearest known one), a number out of range, points that are not finite and
            distinct. All of it before any work.

    Example:
        >>> Study(net="erf", points=[-1, 1], n=1e5).points.shape
        (2, 1)
    """

    net: str = "cos"
    width: int | None = None
    points: Any = None  # an array once the study is made
    n: float = 1_000_000  # 1e6 is allowed, and becomes an integer
    readout: str = "gaussian"
    output_scale: float = 1.0
    output_bias: float = 0.0
    weight_scale: float | None = None
    bias_scale: float | None = None
    mass: float | None = None
    cutoff: float | None = None
    alpha: float | None = None
    space: str = "field"

    def __post_init__(self) -> None:
        theory = theory_named(_word("net", self.net, "cos"))
        _word("readout", self.readout, "gaussian")
        if _word("space", self.space, "field") not in _SPACES:
            known, advice = ", ".join(_SPACES), nearest(self.space, list(_SPACES))
            raise ValueError(f"expected space among {known}, got {self.space!r}; try {advice!r}")
        for name in _SCALES:
            if getattr(self, name) is not None and name not in theory.scales:
                raise ValueError(
                    f"expected no {name} for {self.net}, whose neuron has none, got {getattr(self, name)}; try leaving "
                    f"it out{', or output_bias' if name == 'bias_scale' else ''}"
                )
        given = {"width": theory.width, "points": theory.grid(), **theory.scales}
        if "cutoff" in given and self.mass is not None:
            given["cutoff"] *= _number("mass", self.mass) / theory.scales["mass"]
        for name, value in given.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        object.__setattr__(self, "width", _integer("width, the number of neurons,", self.width, 1, theory.width))
        object.__setattr__(self, "n", _integer("n, the number of networks,", self.n, 1, 1_000_000))
        object.__setattr__(self, "points", read_points(self.points))
        self.network()
        weights = self.checked_weights(len(self.points))
        object.__setattr__(self, "weights", None if self.weights is None else weights)

    def __str__(self) -> str:
        count, d = self.points.shape
        where = f"{count} point{'s' if count > 1 else ''} in d = {d}"
        return f"{self.net}, width {self.width}, {self.n:,} networks at {where}, {self.action} action"

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """A study from a file of `name = value` lines; `points` may name a file beside it.

        Args:
            path: the file.
            overrides: values that count instead of the file's.

        Raises:
            ValueError: no such file, not TOML, an unknown key; and as the class does.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise ValueError(
                f"expected a study file, got {str(path)!r}, no such file; try nnft run cos, or its full path"
            )
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"expected TOML in {file.name}, got {error}; try lines such as width = 50") from error
        points = values.get("points")
        if isinstance(points, str) and (file.parent / points).is_file():
            values["points"] = str(file.parent / points)
        return cls.of(values | dict(overrides or {}))

    def to_toml(self) -> str:
        """The study as a file that `from_toml` and `nnft run` read back."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items() if v is not None}
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in plain.items())

    def network(self) -> Network:
        """The network that is studied."""
        theory = theory_named(self.net)
        scales = {name: getattr(self, name) for name in theory.scales}
        laws = {name: getattr(self, name) for name in ("width", "readout", "output_scale", "output_bias")}
        return theory.network(scales=scales, **laws)

    def ensemble(self) -> Ensemble:
        """Its networks, not yet drawn."""
        return Ensemble(self.network(), points=self.points, n=int(self.n), key=jax.random.key(self.seed))


def run(study: Study, folder: str | Path, *, force: bool = False, progress: bool = False) -> xr.DataTree:
    """The whole of it: draw and measure, fit, diagnose, and write index.html, summary.json and fit.nc into a folder.

    Args:
        study: what to do.
        folder: made if it is not there; nothing is written before the fit is finished.
        force: replace the three files in a folder that exists.
        progress: bars for what takes long.

    Raises:
        ValueError: before any long work: a folder that exists or cannot be written, a Gram matrix that cannot be
            inverted. `NoFit`, a ValueError with the measured correlators: moments that do not converge, too few
            networks, couplings that cannot be told apart.
    """
    place = check_folder(folder, force=force)
    _check_size(study.points)
    kernel = exact(study.network(), study.points, orders=(2,)).tensor(2)
    try:
        make_basis(action_named(study.action), kernel, study.checked_weights(len(kernel)))
    except ValueError as error:
        raise ValueError(f"{error}; `nnft models` says which points suit {study.net}") from error
    ensemble = study.ensemble()
    data = measure(ensemble, space=_SPACES[study.space], progress=progress)
    try:
        tree = study.fit(data, progress=progress)
    except ValueError as error:
        raise NoFit(error, data) from error
    tree.attrs["study"] = study.to_toml()
    report(tree, place, force=force)
    return tree


def fit_samples(
    file: Any,
    points: Any,
    folder: str | Path,
    *,
    fitting: Fitting | None = None,
    variable: str | None = None,
    dims: tuple[str, str] | None = None,
    force: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The same from samples of the field that somebody else computed: measured, fitted, checked, written.

    Args:
        file: array (network, point) or the path of a .npy, .npz, .nc or .zarr file.
        points: as in `Study`; None where the file holds them.
        folder: as in `run`.
        fitting: action, seed, prior_scale, ...; default `Fitting()`.
        variable: as in `inference.Samples`.
        dims: as in `inference.Samples`.
        force: as in `run`.
        progress: as in `run`.

    Raises:
        ValueError: as `run`; samples that are not (network, point), not finite or constant.
    """
    place = check_folder(folder, force=force)
    chosen = Fitting() if fitting is None else fitting
    samples = Samples(file, None if points is None else read_points(points), variable=variable, dims=dims)
    chosen.checked_weights(len(samples.points))
    try:
        _check_size(samples.points)
        tree = chosen.fit(samples, progress=progress)
    except ValueError as error:
        raise NoFit(error, _measured(samples, progress)) from error
    report(tree, place, force=force)
    return tree


def read_points(points: Any) -> Points:
    """Points as (point, axis): from a list of numbers (one dimension) or of lists, "-3,-1,1,3", a file, or an array.

    Raises:
        ValueError: neither numbers nor a file; points that are not finite and distinct.
    """
    if isinstance(points, str):
        try:
            return check_points(np.array([[float(word)] for word in points.split(",")]))
        except ValueError as error:
            if not str(error).startswith("could not convert"):
                raise
        if not Path(points).suffix or ("," in points and not Path(points).exists()):
            raise ValueError(
                f"expected points as numbers or a file (.npy, .csv, .txt), got {points!r}; try -3,-1,1,3 or a file "
                "with one point a line"
            )
    if not isinstance(points, str | Path):
        try:
            numbers = np.asarray(points)
        except ValueError:  # rows of different length
            numbers = np.empty(0, dtype=object)
        if numbers.dtype.kind not in "iuf":
            raise ValueError(f"expected points as numbers, (point, axis), got {points!r}; try [-3, -1, 1, 3] or rows")
        # A list of numbers says one dimension; an array of shape (point,) could mean either, and is refused.
        if isinstance(points, int | float) or (isinstance(points, list | tuple) and numbers.ndim == 1):
            points = numbers.reshape(-1, 1)
    return load_points(points)


def _check_size(points: Points) -> None:
    """Refuse more points than sixth-order moments are measured at."""
    most = max(m for m in range(1, 100) if math.comb(m + 5, 6) <= MAX_COMPONENTS)
    if len(points) > most:
        raise ValueError(
            f"expected at most {most} points for a fit (sixth moments are limited to {MAX_COMPONENTS} components), got "
            f"{len(points)}; try fewer points, or only the correlators: inf.measure"
        )


def _measured(samples: Samples, progress: bool) -> Correlators | None:
    """What can still be said where no couplings can."""
    try:
        return measure(samples, progress=progress)
    except ValueError:
        return None


def _integer(name: str, value: Any, least: int, advice: int) -> int:
    """A whole number, 1e6 allowed; seeds stay below 2^32 - 1, where JAX would begin again from 0."""
    whole = isinstance(value, int | float | np.number) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or not least <= value < 2**32 - 1:
        limit = " and below 2^32 - 1" if whole and value > least else ""
        raise ValueError(f"expected {name} to be an integer >= {least}{limit}, got {value!r}; try {advice}")
    return int(value)


def _word(name: str, value: Any, advice: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {name} to be a word, got {value!r}; try {advice!r}")
    return value


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"expected {name} to be a finite number, got {value!r}; try {name}=1.0")
    return float(value)
