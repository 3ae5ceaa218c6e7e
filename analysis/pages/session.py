"""The lines of a session that made a fit, written from what the fit remembers."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ...inference.posterior.words import rung_of
from ...models.actions.base import AbstractAction
from ...models.theories.recipes import code, described, writable
from ..reading.fit import Reading, reads

__all__ = ["command", "session"]

_PLAIN = {"method": "Score", "sampler": "Automatic", "prior": "UnitInformation"}
_TAKEN = {name: {"class": kind, "options": {}} for name, kind in _PLAIN.items()}  # what `fit` takes by itself
_MOST_AXES = 16  # of a point whose coordinates are written out
_DEFAULTS = {"chains": 4, "draws": 1000, "warmup": 500, "prior_scale": 1.0}


@reads
def session(fit: Reading) -> str:
    """Python lines that repeat the fit; what it does not remember is left as `...`, with a word on what it was."""
    one, made = fit.action, fit.recipe
    kind, model = made.get("kind"), made.get("model")
    lines = [
        "import jax",
        "import numpy as np",
        "from nnft import analysis as an, inference as inf, models as m",
        "",
        _points(fit, one),
    ]
    if model is not None:
        known = code(model, "m.") if writable(model) else f"...  # the NumPyro model {code(model)}"
        lines.append(f"net = {known}")
    if kind == "ensemble":
        site = "" if made["site"] == "phi" else f", site={made['site']!r}"
        lines.append(f"ens = inf.Ensemble(net, points=points, n={made['n']:_}, key={_key(made['key'])}{site})")
        space = "" if fit.space == "field" else f', space="{fit.space}"'
        lines.append(f"data = inf.measure(ens{space})")
    elif "as_if_n" in fit.attrs:
        lines.append("data = m.exact(net, points)")
    elif kind == "samples":
        name = repr(made["file"]) if made["file"] else "..."
        if _sites(fit, one) and name.endswith(".npy'"):  # sites in rows, or as a grid
            name = f"np.load({name}).reshape(-1, {fit.points})"
        lines.append(f"data = inf.Samples({name}, points)  # (network, point)")
    else:
        lines.append(f"data = ...  # {fit.attrs.get('source') or 'the correlators the fit was given'}")
    lines.append(f"fit = inf.fit(data, {code(described(one), 'm.')}, key={_key(_words(fit))}{_options(fit)})")
    lines.append('an.report(fit, "out/")')
    return "\n".join(lines)


@reads
def command(fit: Reading, *, folder: str = "out/", **changed: Any) -> str:
    """The line `nnft fit ...` that repeats the fit of a file of samples; empty where there is none.

    Args:
        fit: of that file.
        folder: where it writes.
        changed: settings to have in place of those of the fit, by name; another action comes without options.
    """
    points = fit.constants["x_position"].values
    name, key, one = fit.recipe.get("file"), _words(fit), fit.action
    if not name or len(key) != 2 or key[0] != 0 or key[1] == 0 or fit.attrs.get("metric_from") == "given":
        return ""
    sites = _sites(fit, one)
    if not sites and (points.shape[1] != 1 or one.of_modes):  # the tree has the modes, not the points
        return ""
    rung = rung_of(one, fit.made_with.get("prior", {"class": "UnitInformation"}))
    if rung is None:
        return ""
    word, beliefs = rung
    words = ["nnft fit", shlex.quote(name)]
    if not sites:
        words.append(f"--points {','.join(f'{x:.17g}' for x in points[:, 0])}")
    chosen = {"action": word, "method": fit.method, "sampler": fit.sampler} | changed
    words += [f"--action {chosen.pop('action')}", f"--seed {key[1] - 1}"]
    for name, default in (("method", "score"), ("sampler", "nuts")):
        value = chosen.pop(name)
        words += [f"--{name} {value}"] if value != default else []
    of_action = [] if "action" in changed else [*_action_options(one), *_named(beliefs)]
    kept = [option for option in _changed(fit) if option.partition("=")[0] not in chosen]
    words += [f"--set {option}" for option in (*of_action, *kept, *(f"{k}={v}" for k, v in chosen.items()))]
    weights = fit.constants["weights"].values
    if not np.all(weights == 1.0):
        words.append(f"--set weights={json.dumps(weights.tolist(), separators=(',', ':'))}")
    return " ".join([*words, "-o out/"])


def _action_options(one: AbstractAction) -> list[str]:
    """name=value of the options of the action that are not its defaults, as a study has them."""
    given = {f.name: getattr(one, f.name) for f in fields(one) if f.name != "action"}
    changed = {f.name: given[f.name] for f in fields(one) if f.name in given and given[f.name] != f.default}
    return _named(changed)


def _named(options: Mapping[str, Any]) -> list[str]:
    return [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in options.items()]


def _sites(fit: Reading, one: AbstractAction) -> tuple[int, ...] | None:
    """The shape of the lattice, where the points are its sites in C order."""
    shape = one.lattice
    if shape is None:
        return None
    points = fit.constants["x_position"].values
    sites = np.stack(np.unravel_index(np.arange(len(points)), shape), axis=1)
    return shape if points.shape == sites.shape and np.all(points == sites) else None


def _points(fit: Reading, one: AbstractAction) -> str:
    if one.of_modes:
        return f"points = ...  # the {fit.constants.sizes['site']} points the modes are made of"
    shape, places = _sites(fit, one), fit.constants["x_position"].values
    if shape is None and places.shape[1] > _MOST_AXES:
        line = 'points = an.load("out/")["constant_data"]["x_position"].values'
        return f"{line}  # {len(places)} points of {places.shape[1]} numbers"
    if shape is None:
        return f"points = np.array({places.tolist()})"
    return f"points = np.stack(np.unravel_index(np.arange({len(places)}), {shape}), axis=1).astype(float)"


def _changed(fit: Reading) -> list[str]:
    """name=value of the numbers given to `fit` that are not its defaults."""
    sizes = fit.posterior.sizes
    used = {"chains": sizes["chain"], "draws": sizes["draw"]}
    used |= {name: fit.attrs[name] for name in ("warmup", "prior_scale") if name in fit.attrs}
    return [f"{name}={value:.17g}" for name, value in used.items() if value != _DEFAULTS[name]]


def _options(fit: Reading) -> str:
    """Arguments of `fit` that are not its defaults."""
    weights = fit.constants["weights"].values
    made = fit.made_with or _former(fit)
    text = "".join(f", {name}={_line(one)}" for name, one in made.items() if one != _TAKEN[name])
    if "as_if_n" in fit.attrs:
        text += f", as_if_n={int(fit.attrs['as_if_n']):_}"
    if not np.all(weights == 1.0):
        text += f", weights=np.array({weights.tolist()})"
    return text


def _former(fit: Reading) -> dict[str, Any]:
    """What is known of method, sampler and prior of a fit of an earlier version: words, and numbers of draws."""
    sizes = dict(option.split("=") for option in _changed(fit) if not option.startswith("prior_scale"))
    sampler = {"class": "Automatic", "options": {name: int(value) for name, value in sizes.items()}}
    return {
        "method": _TAKEN["method"] if fit.method == "score" else fit.method,
        "sampler": sampler if fit.markov else fit.sampler,
        "prior": _TAKEN["prior"] if fit.attrs.get("prior", "unit_information") == "unit_information" else {},
    }


def _line(data: Any) -> str:
    """The line of code that makes a method, a sampler or a prior; `...` for what no line can hold."""
    if isinstance(data, list):
        return code([{"function": _line(part)} for part in data])
    if not isinstance(data, dict):
        return repr(data)
    if "class" not in data:
        return "..."
    return code(
        {**data, "options": {name: {"function": _line(value)} for name, value in data["options"].items()}}, "inf."
    )


def _words(fit: Reading) -> list[int]:
    """The words of the key of the fit."""
    return [int(word) for word in json.loads(str(fit.attrs.get("key", "[]")))]


def _key(words: Any) -> str:
    """The key from its words: [0, 1] is jax.random.key(1)."""
    if len(words) == 2 and words[0] == 0:
        return f"jax.random.key({words[1]})"
    return f"jax.random.wrap_key_data(np.array({list(words)}, dtype=np.uint32))" if words else "..."
