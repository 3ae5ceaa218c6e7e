"""The lines of a session that made a fit, written from what the fit remembers."""

import re
from ast import literal_eval

import numpy as np
import xarray as xr

from .couplings import group

__all__ = ["session"]

_DEFAULTS = {"chains": 4, "draws": 1000, "warmup": 500, "prior_scale": 1.0}


def session(fit: xr.DataTree) -> str:
    """Python lines that repeat the fit; what it does not remember is left as `...`, with a word on what it was."""
    points = group(fit, "constant_data")["x_position"].values.tolist()
    source = str(fit.attrs.get("source", ""))
    lines = [
        "import jax",
        "import numpy as np",
        "from nnft import analysis as an, inference as inf, models as m",
        "",
        f"points = np.array({points})",
    ]
    if source.startswith("Ensemble("):
        model = str(fit.attrs.get("model", ""))
        known = re.fullmatch(r"[A-Z]\w*\(.*\)", model) and "<" not in model
        lines.append(f"net = {_prefixed(model)}" if known else f"net = ...  # the NumPyro model {model}")
        site = re.search(r"site='(\w+)'", source)
        extra = f", site={site[1]!r}" if site and site[1] != "phi" else ""
        key = _key(fit.attrs["ensemble_key"]) if "ensemble_key" in fit.attrs else "..."
        if key == "...":
            lines.append("# key: the one the networks were drawn with")
        number = f"{int(fit.attrs['networks']):_}"
        lines.append(f"ens = inf.Ensemble(net, points=points, n={number}, key={key}{extra})")
        lines.append("data = inf.measure(ens)")
    elif source.startswith("Samples("):
        name = source.removeprefix("Samples(").split(", n=")[0]
        lines.append(f"data = inf.Samples({'...' if name == 'array' else repr(name)}, points)  # (network, point)")
    else:
        lines.append("data = ...  # the correlators the fit was given")
    lines.append(f"fit = inf.fit(data, m.{fit.attrs['action']}(), key={_key(fit.attrs.get('key', ''))}{_options(fit)})")
    lines.append('an.report(fit, "out/")')
    return "\n".join(lines)


def _options(fit: xr.DataTree) -> str:
    """Arguments of `fit` that are not its defaults."""
    sizes, weights = group(fit, "posterior").sizes, group(fit, "constant_data")["weights"].values
    used = {"chains": sizes["chain"], "draws": sizes["draw"]}
    used |= {name: fit.attrs[name] for name in ("warmup", "prior_scale") if name in fit.attrs}
    text = "".join(f", {name}={value:g}" for name, value in used.items() if value != _DEFAULTS[name])
    if not np.all(weights == 1.0):
        text += f", weights=np.array({weights.tolist()})"
    if fit.attrs.get("metric_from") == "given":
        text += ", metric=..."
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
