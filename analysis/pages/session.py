"""The lines of a session that made a fit, written from what the fit remembers."""

import json
import re
import shlex
from ast import literal_eval
from dataclasses import fields

import numpy as np
import xarray as xr

from ...models.actions.base import AbstractAction
from ...models.actions.ladder import word_of
from ..reading.couplings import action, group, markov
from .paragraph import model, source

__all__ = ["command", "session"]

_DEFAULTS = {"chains": 4, "draws": 1000, "warmup": 500, "prior_scale": 1.0}


def session(fit: xr.DataTree) -> str:
    """Python lines that repeat the fit; what it does not remember is left as `...`, with a word on what it was."""
    told, one = source(fit), action(fit)
    lines = [
        "import jax",
        "import numpy as np",
        "from nnft import analysis as an, inference as inf, models as m",
        "",
        _points(fit, one),
    ]
    if told.startswith("Ensemble("):
        line = model(fit)
        known = re.fullmatch(r"[A-Z]\w*\(.*\)", line) and "<" not in line
        lines.append(f"net = {_prefixed(line)}" if known else f"net = ...  # the NumPyro model {line}")
        site = re.search(r"site='(\w+)'", told)
        extra = f", site={site[1]!r}" if site and site[1] != "phi" else ""
        key = _key(fit.attrs["ensemble_key"]) if "ensemble_key" in fit.attrs else "..."
        if key == "...":
            lines.append("# key: the one the networks were drawn with")
        drawn = re.search(r"\bn=(\d+)", told)  # of weighted draws fewer count as networks
        number = f"{int(drawn[1] if drawn else fit.attrs['networks']):_}"
        lines.append(f"ens = inf.Ensemble(net, points=points, n={number}, key={key}{extra})")
        space = fit.attrs.get("space", "field")
        lines.append("data = inf.measure(ens)" if space == "field" else f'data = inf.measure(ens, space="{space}")')
    elif "as_if_n" in fit.attrs:
        lines += [f"net = {_prefixed(model(fit))}", "data = m.exact(net, points)"]
    elif told.startswith("Samples("):
        name = repr(_file(fit)) if _file(fit) else "..."
        if _sites(fit, one) and name.endswith(".npy'"):  # sites in rows, or as a grid
            name = f"np.load({name}).reshape(-1, {len(group(fit, 'constant_data')['x_position'])})"
        lines.append(f"data = inf.Samples({name}, points)  # (network, point)")
    else:
        lines.append("data = ...  # the correlators the fit was given")
    made = _prefixed(repr(one)) if word_of(one) else f"{one!r}"
    lines.append(f"fit = inf.fit(data, {made}, key={_key(fit.attrs.get('key', ''))}{_options(fit)})")
    lines.append('an.report(fit, "out/")')
    return "\n".join(lines)


def command(fit: xr.DataTree) -> str:
    """The line `nnft fit ...` that repeats the fit of a file of samples; empty where there is none."""
    points = group(fit, "constant_data")["x_position"].values
    name, key = _file(fit), re.fullmatch(r"jax\.random\.key\((\d+)\)", _key(fit.attrs.get("key", "")))
    one = action(fit)
    if not name or key is None or int(key[1]) == 0 or fit.attrs.get("metric_from") == "given":
        return ""
    sites = _sites(fit, one)
    if not sites and (points.shape[1] != 1 or one.of_modes):  # the tree has the modes, not the points
        return ""
    word = word_of(one)
    if word is None:
        return ""
    words = ["nnft fit", shlex.quote(name)]
    if not sites:
        words.append(f"--points {','.join(f'{x:.17g}' for x in points[:, 0])}")
    words += [f"--action {word}", f"--seed {int(key[1]) - 1}"]
    method, sampler = str(fit.attrs.get("method", "score")), str(fit.attrs.get("sampler", "nuts"))
    words += [f"--method {method}"] if method != "score" else []
    words += [f"--sampler {sampler}"] if sampler != "nuts" else []
    words += [f"--set {option}" for option in (*_action_options(one), *_changed(fit))]
    weights = group(fit, "constant_data")["weights"].values
    if not np.all(weights == 1.0):
        words.append(f"--set weights={json.dumps(weights.tolist(), separators=(',', ':'))}")
    return " ".join([*words, "-o out/"])


def _action_options(one: AbstractAction) -> list[str]:
    """name=value of the options of the action that are not its defaults, as a study has them."""
    given = {f.name: getattr(one, f.name) for f in fields(one) if f.name != "action"}
    changed = {f.name: given[f.name] for f in fields(one) if f.name in given and given[f.name] != f.default}
    return [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in changed.items()]


def _sites(fit: xr.DataTree, one: AbstractAction) -> tuple[int, ...] | None:
    """The shape of the lattice, where the points are its sites in C order."""
    shape = one.lattice
    if shape is None:
        return None
    points = group(fit, "constant_data")["x_position"].values
    sites = np.stack(np.unravel_index(np.arange(len(points)), shape), axis=1)
    return shape if points.shape == sites.shape and np.all(points == sites) else None


def _points(fit: xr.DataTree, one: AbstractAction) -> str:
    if one.of_modes:
        return f"points = ...  # the {group(fit, 'constant_data').sizes['site']} points the modes are made of"
    shape, places = _sites(fit, one), group(fit, "constant_data")["x_position"].values
    if shape is None:
        return f"points = np.array({places.tolist()})"
    return f"points = np.stack(np.unravel_index(np.arange({len(places)}), {shape}), axis=1).astype(float)"


def _file(fit: xr.DataTree) -> str:
    """The name of the file the samples were read from, else empty."""
    told = source(fit)
    name = told.removeprefix("Samples(").split(", n=")[0]
    return name if told.startswith("Samples(") and name != "array" else ""


def _changed(fit: xr.DataTree) -> list[str]:
    """name=value of the numbers given to `fit` that are not its defaults."""
    sizes = group(fit, "posterior").sizes
    used = {"chains": sizes["chain"], "draws": sizes["draw"]}
    used |= {name: fit.attrs[name] for name in ("warmup", "prior_scale") if name in fit.attrs}
    return [f"{name}={value:.17g}" for name, value in used.items() if value != _DEFAULTS[name]]


def _options(fit: xr.DataTree) -> str:
    """Arguments of `fit` that are not its defaults."""
    weights = group(fit, "constant_data")["weights"].values
    method, given = str(fit.attrs.get("method", "score")), fit.attrs.get("metric_from") == "given"
    text = f', method="{method}"' if method != "score" else ", method=inf.Score(metric=...)" if given else ""
    changed = [option for option in _changed(fit) if not option.startswith("prior_scale")]
    sizes = ", ".join(option for option in changed if markov(fit) or not option.startswith("warmup"))
    name = {"nuts": "Nuts", "closed": "Closed", "svi": "Variational"}.get(str(fit.attrs.get("sampler", "nuts")))
    if sizes or not markov(fit):
        text += f", sampler=inf.{name}({sizes})" if name else ", sampler=..."
    scale, prior = float(fit.attrs.get("prior_scale", 1.0)), str(fit.attrs.get("prior", "unit_information"))
    own = prior == action(fit).believed[0]  # the prior its action comes with
    if not own or scale != 1.0:
        text += f", prior=inf.UnitInformation({scale:.17g})" if prior == "unit_information" else ", prior=..."
    if "as_if_n" in fit.attrs:
        text += f", as_if_n={int(fit.attrs['as_if_n']):_}"
    if not np.all(weights == 1.0):
        text += f", weights=np.array({weights.tolist()})"
    return text


def _prefixed(model: str) -> str:
    """Network(neuron=Cos(), width=20) with the room's name before each class."""
    return re.sub(r"(?<![\w.'\"])([A-Z]\w*)\(", r"m.\1(", model)


def _key(data: str) -> str:
    """The key from its words: [0, 1] is jax.random.key(1)."""
    try:
        words = [int(word) for word in literal_eval(str(data))]
    except (ValueError, SyntaxError, TypeError):
        return "..."
    if len(words) == 2 and words[0] == 0:
        return f"jax.random.key({words[1]})"
    return f"jax.random.wrap_key_data(np.array({words}, dtype=np.uint32))"
