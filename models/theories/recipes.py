"""A model as plain data, its classes with the options that are not their defaults, and a line of code from the data.

A fit remembers its networks so, as JSON: what was drawn can be said, and drawn again, without reading a `repr`.
"""

import sys
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np

__all__ = ["code", "described", "made", "writable"]


def described(thing: Any) -> Any:
    """Numbers, words and None as they are, tuples as lists, a class by name with its options, a function by its name.

    Example:
        >>> from nnft.models import Cos, Network
        >>> described(Network(Cos(), width=20))["options"]["width"]
        20
    """
    if _simple(thing):
        return thing
    if isinstance(thing, np.generic) or (hasattr(thing, "tolist") and np.size(thing) == 1):
        return np.asarray(thing).item()
    if isinstance(thing, tuple | list):
        return [described(part) for part in thing]
    if isinstance(thing, type) or not is_dataclass(thing):
        name = getattr(thing, "__qualname__", None)
        return {"function": name} if name else {"object": type(thing).__name__}
    given = {f.name: getattr(thing, f.name) for f in fields(thing) if f.repr}
    plain = _defaults(thing)
    changed = {name: value for name, value in given.items() if name not in plain or plain[name] is not value}
    changed = {name: value for name, value in changed.items() if not (_simple(value) and value == plain.get(name, []))}
    ours = type(thing).__module__.split(".")[0] == __name__.split(".")[0]
    return {
        "class": type(thing).__name__,
        "options": {name: described(value) for name, value in changed.items()},
        **({"words": words} if (words := getattr(thing, "words", "")) else {}),
        **({} if ours else {"home": type(thing).__module__}),
    }


def code(data: Any, prefix: str = "") -> str:
    """The line of code that makes what was described; our classes with a prefix, functions by their name.

    >>> code({"class": "Cos", "options": {"weight_scale": 2.0}}, "m.")
    'm.Cos(weight_scale=2.0)'
    """
    if isinstance(data, list):
        return f"({', '.join(code(part, prefix) for part in data)}{',' if len(data) == 1 else ''})"
    if not isinstance(data, dict):
        return repr(data)
    if "class" not in data:
        return str(data.get("function", data.get("object")))
    options = ", ".join(f"{name}={code(value, prefix)}" for name, value in data["options"].items())
    return f"{'' if 'home' in data else prefix}{data['class']}({options})"


def made(data: Any) -> Any:
    """The thing that was described, of our own public classes; None where it is not known how to make it.

    >>> from nnft.models import Cos, Network
    >>> made(described(Network(Cos(weight_scale=2.0), width=20)))
    Network(neuron=Cos(weight_scale=2.0), width=20)
    """
    if isinstance(data, list):
        parts = [made(part) for part in data]
        return None if any(part is None for part in parts) else tuple(parts)
    if not isinstance(data, dict):
        return data
    if not writable(data) or "home" in data:
        return None
    known = vars(sys.modules[__name__.removesuffix(".theories.recipes")]).get(data["class"])
    options = {name: (value, made(value)) for name, value in data["options"].items()}
    if known is None or any(new is None and given is not None for given, new in options.values()):
        return None
    return known(**{name: new for name, (_, new) in options.items()})


def writable(data: Any) -> bool:
    """Whether that line makes it again: it holds no function and no object whose parts are not known."""
    if isinstance(data, list):
        return all(map(writable, data))
    return not isinstance(data, dict) or ("class" in data and all(map(writable, data["options"].values())))


def _defaults(thing: Any) -> dict[str, Any]:
    """Values of the options where none is given: those of the class made without any, else those of its fields."""
    if all(one.default is not Parameter.empty for one in signature(type(thing)).parameters.values()):
        thing = type(thing)()
        return {f.name: getattr(thing, f.name) for f in fields(thing)}
    return {f.name: f.default for f in fields(thing) if f.default is not MISSING}


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
