"""A study from start to finish: networks drawn, correlators measured, couplings fitted, checks made, a page written.

prior of the parameters -> phi -> G_c^(2), G_c^(4), G_c^(6) -> S[phi] -> verdicts (the chain of arXiv:2307.03223). A
study is the list of arguments such a session has, under the names they have there; only this file knows every stage.
"""

import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, Self

import jax
import numpy as np
import xarray as xr

from ...inference.arrays.files import load_array, load_points, printable
from ...inference.ensembles.ensemble import Ensemble
from ...inference.ensembles.samples import Samples
from ...inference.equations.metric import check_gram
from ...inference.equations.terms import terms_of
from ...inference.estimators.measure import MAX_COMPONENTS, MIN_NETWORKS, measure
from ...inference.posterior.words import method_of
from ...models.actions.rungs import Constant
from ...models.correlators import Correlators, check_points
from ...models.deep.network import Deep
from ...models.networks.network import Network
from ...models.refusals import nearest
from ...models.theories.registry import theory_named
from ...models.types import Points
from ..pages.report import check_folder, report
from .settings import SCALES, Fitting, integer, number, word

__all__ = ["Fitting", "NoFit", "Study", "TooFew", "fit_measured", "fit_samples", "read_points", "run", "study_named"]

_SPACES = {"field": "field", "readout": "readout", "neuron": "neuron", "cheapest": None}


class NoFit(ValueError):
    """Physics or statistics refuses the fit; what could be measured before that is in `correlators`."""

    def __init__(self, why: object, correlators: Correlators | None = None) -> None:
        super().__init__(str(why))
        self.correlators = correlators


class TooFew(NoFit):
    """The same for want of networks alone; `few_page.few_answer` says what these can tell."""

    def __init__(
        self, why: object, correlators: Correlators | None, networks: Ensemble | Samples, fitting: Fitting
    ) -> None:
        super().__init__(why, correlators)
        self.networks = networks
        self.fitting = fitting


@dataclass(frozen=True, kw_only=True, eq=False)
class Study(Fitting):
    """Everything one run depends on; what is left out takes the default of the named network (`nnft models`).

    Attributes:
        net: "cos", "erf", "relu", "gauss", "tanh" or "scalar".
        depth: number of hidden layers of these neurons, `width` in each.
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
    depth: int = 1
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
        theory = theory_named(word("net", self.net, "cos"))
        word("readout", self.readout, "gaussian")
        if word("space", self.space, "field") not in _SPACES:
            known, advice = ", ".join(_SPACES), nearest(self.space, list(_SPACES))
            raise ValueError(f"expected space among {known}, got {self.space!r}; try {advice!r}")
        for name in SCALES:
            if getattr(self, name) is not None and name not in theory.scales:
                raise ValueError(
                    f"expected no {name} for {self.net}, whose neuron has none, got {getattr(self, name)}; try leaving "
                    f"it out{', or output_bias' if name == 'bias_scale' else ''}"
                )
        given = {"width": theory.width, "points": theory.grid(), **theory.scales}
        if "cutoff" in given and self.mass is not None:
            given["cutoff"] *= number("mass", self.mass) / theory.scales["mass"]
        for name, value in given.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        if method_of(self.method).fields and self.space != "field":
            raise ValueError(
                f"expected space='field' for method={self.method!r}, which needs the fields themselves, got "
                f"{self.space!r}; try method='score'"
            )
        object.__setattr__(self, "width", integer("width, the number of neurons,", self.width, 1, theory.width))
        object.__setattr__(self, "depth", integer("depth, the number of hidden layers,", self.depth, 1, 1))
        object.__setattr__(self, "n", integer("n, the number of networks,", self.n, 1, 1_000_000))
        object.__setattr__(self, "points", read_points(self.points))
        self.network()
        weights = self.checked_weights(len(self.points))
        object.__setattr__(self, "weights", None if self.weights is None else weights)

    def __str__(self) -> str:
        count, d = self.points.shape
        where = f"{count} point{'s' if count > 1 else ''} in d = {d}"
        deep = f"depth {self.depth}, " if self.depth > 1 else ""
        return f"{self.net}, {deep}width {self.width}, {self.n:,} networks at {where}, {self.action} action"

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

    def network(self) -> Network | Deep:
        """The network that is studied."""
        theory = theory_named(self.net)
        scales = {name: getattr(self, name) for name in theory.scales}
        laws = {name: getattr(self, name) for name in ("depth", "width", "readout", "output_scale", "output_bias")}
        return theory.network(scales=scales, **laws)

    def ensemble(self) -> Ensemble:
        """Its networks, not yet drawn."""
        return Ensemble(self.network(), points=self.points, n=int(self.n), key=jax.random.key(self.seed))


def study_named(study: str, settings: Mapping[str, Any]) -> Study:
    """A study from the name of a network or its file, and settings that count more.

    Raises:
        ValueError: neither, or settings of another network.
    """
    if study.endswith(".toml"):
        return Study.from_toml(study, settings)
    if Path(study).suffix or os.sep in study:
        raise ValueError(
            f"expected the name of a network or a .toml file, got {study!r}; try nnft models for the names"
        )
    if settings.get("net", study) != study:
        raise ValueError(f"expected one network, got {study} and --set net={settings['net']}; try leaving one out")
    return Study.of({"net": study} | dict(settings))


def run(
    study: Study,
    folder: str | Path,
    *,
    measured: Correlators | None = None,
    force: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The whole of it: draw and measure, fit, diagnose, and write index.html, summary.json and fit.nc into a folder.

    Args:
        study: what to do.
        folder: made if it is not there; nothing is written before the fit is finished.
        measured: correlators of its networks, where they are there already (`batch.of_study`).
        force: replace the three files in a folder that exists.
        progress: bars for what takes long.

    Raises:
        ValueError: before any long work: a folder that exists or cannot be written, a Gram matrix that cannot be
            inverted. `NoFit`, a ValueError with the measured correlators: moments that do not converge, too few
            networks, couplings that cannot be told apart.

    Example, as `nnft run cos -o out/`; a folder that is there is refused before any work:
        >>> from tempfile import mkdtemp
        >>> run(Study(net="cos"), mkdtemp())
        Traceback (most recent call last):
        ValueError: expected a folder that does not exist yet, got ...
    """
    place = check_folder(folder, force=force)
    few = _few(study.points)
    if not few and (study.space != "field" or method_of(study.method).correlators):
        _refuse_size(study.points, "space='field' with method='score'")
    kernel = study.network().kernel(study.points)
    made = study.made_action()
    whole = few and made.through_correlators(len(kernel)) and not made.of_modes
    try:
        check_gram(kernel)
        terms_of(made if whole else Constant(), kernel, study.checked_weights(len(kernel)))
    except ValueError as error:
        raise ValueError(f"{error}; `nnft models` says which points suit {study.net}") from error
    ensemble = study.ensemble()
    if measured is not None:
        data: Correlators | Ensemble = measured
    else:
        data = measure(ensemble, space=_SPACES[study.space], progress=progress) if few else ensemble
    try:
        tree = study.fit(data, progress=progress)
    except ValueError as error:
        raise _no_fit(error, data if isinstance(data, Correlators) else None, ensemble, study) from error
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
    chains: int | None = None,
    independent: bool | None = None,
    force: bool = False,
    progress: bool = False,
) -> xr.DataTree:
    """The same from samples of the field that somebody else computed: measured, fitted, checked, written.

    Args:
        file: array (network, point) or the path of a file as in `inference.Samples`; for an action of a lattice also
            its configurations as they are, (network, *shape).
        points: as in `Study`; None where the file holds them, or where they are the sites of the action's lattice.
        folder: as in `run`.
        fitting: action, seed, prior_scale, ...; default `Fitting()`.
        variable: as in `inference.Samples`.
        dims: as in `inference.Samples`.
        chains: as in `inference.Samples`; `markov_chains` on the command line.
        independent: as in `inference.Samples`.
        force: as in `run`.
        progress: as in `run`.

    Raises:
        ValueError: as `run`; samples that are not (network, point), not finite or constant.
    """
    place = check_folder(folder, force=force)
    chosen = Fitting() if fitting is None else fitting
    array, places, name = _as_sites(file, None if points is None else read_points(points), chosen, variable)
    order = {"chains": chains, "independent": independent}
    named = {"name": name} if name else {"variable": variable}
    samples = Samples(array, places, dims=dims, **named, **order)
    chosen.checked_weights(len(samples.points))
    try:
        if method_of(chosen.method).correlators and not _few(samples.points):
            _refuse_size(samples.points, "method='score'")
        tree = chosen.fit(samples, progress=progress)
    except ValueError as error:
        raise _no_fit(error, _measured(samples, progress), samples, chosen) from error
    report(tree, place, force=force)
    return tree


def fit_measured(
    data: Correlators, folder: str | Path, fitting: Fitting | None = None, *, force: bool = False
) -> xr.DataTree:
    """The same from correlators that were measured before: fitted, checked, written.

    Raises:
        ValueError: as `run`; an action that needs the fields themselves.
    """
    place = check_folder(folder, force=force)
    try:
        tree = (Fitting() if fitting is None else fitting).fit(data)
    except ValueError as error:
        raise NoFit(error, data) from error
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


def _as_sites(
    file: Any, points: Points | None, fitting: Fitting, variable: str | None
) -> tuple[Any, Points | None, str]:
    """The array, its points and the name of its file: configurations of a lattice, grid or rows, by their sites."""
    sites = fitting.sites()
    if sites is None:
        return file, points, ""
    array, inside, name = file, None, ""
    if isinstance(file, str | Path):
        array, inside = load_array(file, variable=variable)
        name = printable(Path(file).name)
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) > 2 and shape[1:] == fitting.made_action().lattice:
        array = np.asarray(array).reshape(shape[0], -1)
    return array, sites if points is None and inside is None else inside if points is None else points, name


def _few(points: Points) -> bool:
    """Whether moments of order six are measured at so many points."""
    return math.comb(len(points) + 5, 6) <= MAX_COMPONENTS


def _refuse_size(points: Points, advice: str) -> NoReturn:
    most = max(m for m in range(1, 100) if math.comb(m + 5, 6) <= MAX_COMPONENTS)
    raise ValueError(
        f"expected at most {most} points for a fit to correlators (sixth moments are limited to {MAX_COMPONENTS} "
        f"components), got {len(points)}; try fewer points, or {advice}"
    )


def _no_fit(why: ValueError, correlators: Correlators | None, networks: Ensemble | Samples, fitting: Fitting) -> NoFit:
    """The refusal of a fit; a lattice averages over its sites, and is asked for fewer configurations."""
    if networks.n < MIN_NETWORKS[6] and not fitting.made_action().homogeneous:
        return TooFew(why, correlators, networks, fitting)
    return NoFit(why, correlators)


def _measured(samples: Samples, progress: bool) -> Correlators | None:
    """What can still be said where no couplings can; whatever happens to it, why there are none is said first."""
    try:
        return measure(samples, progress=progress)
    except Exception:  # MemoryError among them
        return None
