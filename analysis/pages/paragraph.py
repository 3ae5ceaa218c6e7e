"""What a fit found, in one paragraph of English written from its numbers, and the words for what was fitted where."""

import ast
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from ...models.networks.network import Network
from ...models.networks.scalar import ScalarMode
from ...models.neurons import cos, gauss, relu, smooth
from ..checks.check import LIMITS, Check
from ..reading.couplings import action, couplings, from_fields, group
from ..reading.typesetting import count, significant, typeset, with_error

__all__ = [
    "action_name",
    "caveat",
    "count",
    "drawn",
    "measured",
    "model",
    "origin",
    "paragraph",
    "share",
    "significant",
    "source",
    "typeset",
    "where",
    "with_error",
]

_NEURONS = {"Cos": "cosine", "Erf": "erf", "ReLU": "ReLU", "Gauss": "Gauss", "Tanh": "tanh", "ScalarMode": "scalar"}
# What a warning means for the numbers, the gravest first; a warning not listed speaks for itself.
_CAVEATS = {
    "share of the gain": "{part} of what is not Gaussian sits in quartic terms that this action leaves out, so that "
    "its couplings are a projection, and one that depends on the metric",
    "Z2 symmetry": "odd correlators are there, which an even action cannot describe",
    "truncation bias of tree level": "what tree level leaves out of the couplings is no smaller than their errors "
    "({value}), which do not hold it",
    "loop over tree": "one loop is not small beside tree level, so that tree-level predictions from these couplings "
    "are qualitative",
    "draws unbounded below": "in {value} posterior draws the highest form of the action is negative in some direction, "
    "so that exp(−S) cannot be normalised and the couplings are those of an expansion around the Gaussian",
}
_SAMPLED = ("R-hat", "ESS bulk", "ESS tail", "E-FMI", "NUTS against closed form")


def paragraph(fit: xr.DataTree, checks: Iterable[Check]) -> str:
    """What was measured, how far from Gaussian, what the action explains, what is resolved, and the main caveat."""
    sentences = (
        measured(fit),
        _gaussianity(fit),
        _explained(fit),
        _resolved(fit),
        caveat(fit, checks),
        action(fit).belongs,
    )
    return " ".join(sentence for sentence in sentences if sentence)


def action_name(fit: xr.DataTree) -> str:
    """The action in words, "bilocal quartic action", "full quartic action of 4 modes"."""
    return action(fit).name


def where(fit: xr.DataTree) -> str:
    """Where the field was measured: "at 3 points", "on a periodic 8 × 8 lattice"."""
    one, sizes = action(fit), group(fit, "constant_data").sizes
    return one.place(sizes["site" if one.of_modes else "x"])


def measured(fit: xr.DataTree) -> str:
    """The first sentence: how many networks, of what, where, and what was fitted."""
    networks, place, things = float(fit.attrs["networks"]), where(fit), drawn(fit)
    size = len(couplings(fit))
    many = "its coupling" if size == 1 else f"its {size} couplings"
    what = origin(fit)
    made = f"{count(networks)} {what}" if "networks" in what else f"{count(networks)} {things}, {what},"
    whose = what if "networks" in what else f"{things} {what}"
    space = fit.attrs.get("space", "field")
    told = {
        "neuron": f"The correlators of {whose} were computed from {count(networks)} draws of one neuron, {place}.",
        "readout": f"The correlators of {whose} were computed from {count(networks)} hidden layers, their readout "
        f"integrated out, {place}.",
        "field": f"The field of {made} was measured {place}.",
    }[space]
    if "as_if_n" in fit.attrs:
        told = f"The exact correlators of {whose} {place} were taken with the errors {count(networks)} of them have."
    return (
        f"{told} {_method(fit)} determined the {typeset(action_name(fit))}: {many}, together with the quadratic part."
    )


def _method(fit: xr.DataTree) -> str:
    """From what, and how: the subject of the sentence."""
    fields = "From the fields themselves" if from_fields(fit) else ""
    moments = "From the moments of order two, four and six"
    method = str(fit.attrs.get("method", "score"))
    if method == "gold":
        return (
            "The likelihood of the fields, its partition function measured on "
            f"{count(float(fit.attrs['reference_fields']))} reference fields drawn from the action,"
        )
    return {
        "score": f"{fields or moments}, score matching",
        "pseudo": "From the fields themselves, the pseudo-likelihood (every point given the others)",
        "tree": "Inverting the connected four-point function at tree level",
    }[method]


def origin(fit: xr.DataTree) -> str:
    """In words: the networks of the suite, the user's own model, else the array or file the networks came from."""
    if "model" in fit.attrs:
        return _networks(model(fit)) or f"of the model {model(fit)}"
    told = source(fit)
    if told.startswith("Samples(") and not told.startswith("Samples(array"):
        return f"read from {told.removeprefix('Samples(').split(', n=')[0]}"
    return "given as an array" if told or from_fields(fit) else "known through given correlators"


def source(fit: xr.DataTree) -> str:
    """Where the networks came from, as their `repr`; of an action of modes, what the modes are made of."""
    return re.sub(r"^\d+ modes of ", "", str(fit.attrs.get("source", "")))


def drawn(fit: xr.DataTree) -> str:
    """What was drawn: networks, or what stands for them in the dual spaces, or configurations of a lattice."""
    lattice = action(fit).lattice is not None and "model" not in fit.attrs
    words = {"neuron": "neurons", "readout": "hidden layers"}
    return words.get(str(fit.attrs.get("space", "")), "configurations" if lattice else "networks")


def model(fit: xr.DataTree) -> str:
    """The model in one line of code, a function by its name; empty where the networks came without one."""
    line = re.sub(r"\s+", " ", str(fit.attrs.get("model", "")))
    line = re.sub(r"(?<=\() | (?=\))|,(?= \))", "", line)
    return re.sub(r"<(?:bound method|function) ([\w.<>]+) (?:at|of) .*>", r"\1", line)


def _networks(line: str) -> str:
    """Networks of the suite in words, "cosine networks of width 20 (output_bias 1.0)"; empty for any other model."""
    try:
        call: Any = ast.parse(line, mode="eval").body
        settings = {word.arg: word.value for word in call.keywords}
        neuron, width = settings.pop("neuron"), settings.pop("width").value
        name = neuron.func.id
        kind = (
            ScalarMode()
            if name == "ScalarMode"
            else next(vars(file)[name] for file in (cos, gauss, relu, smooth) if name in vars(file))
        )
        given = [(word.arg, word.value.value, kind) for word in neuron.keywords]
        given += [(word, value.value, Network) for word, value in settings.items()]
        other = [f"{word} {value}" for word, value, kind in given if value != getattr(kind, word)]
        if call.func.id != "Network" or call.args or neuron.args:
            return ""
        return f"{_NEURONS[name]} networks of width {width}{f' ({", ".join(other)})' if other else ''}"
    except (SyntaxError, AttributeError, KeyError, StopIteration):
        return ""


def caveat(fit: xr.DataTree, checks: Iterable[Check]) -> str:
    """The gravest thing to know: a check that fails, else too few networks, else the warning that matters most."""
    checks = list(checks)
    failed = [check for check in checks if check.verdict == "fail"]
    warned = [check for check in checks if check.verdict == "warn"]
    if failed:
        first = failed[0]
        others = "" if len(failed) == 1 else f", one of {len(failed)} checks that fail"
        number = typeset(f"{first.value}, limit {first.limit}")
        longer = " Sample longer: more draws may mend it." if all(c.name in _SAMPLED for c in failed) else ""
        reason = f"{typeset(first.name)} ({number}){others}. {typeset(first.why)}"
        return f"Do not use these numbers as they stand: {reason}{longer}"
    found = couplings(fit)
    if not _non_gaussian(fit) or not any(abs(c.z) > LIMITS["resolved"] for c in found):
        sd = float(np.median([c.sd for c in found]))
        return (
            f"The main caveat is the number of {drawn(fit)}: a coupling within about "
            f"{significant(LIMITS['resolved'] * sd, 2)} of zero, three standard deviations, is not seen."
            + ("" if not warned else f" {_word(len(warned))} {'check warns' if len(warned) == 1 else 'checks warn'}.")
        )
    if not warned:
        return "No check fails or warns."
    names = list(_CAVEATS)
    warned.sort(key=lambda check: names.index(check.name) if check.name in names else len(names))
    first = warned[0]
    others = {1: "", 2: " One more check warns."}.get(len(warned), f" {_word(len(warned) - 1)} more checks warn.")
    if first.name in _CAVEATS:
        part = "most" if (share(fit) or (0.0, 0.0))[0] < 0.5 else "part"
        return f"The main caveat: {_CAVEATS[first.name].format(part=part, value=typeset(first.value))}.{others}"
    number = typeset(f"{first.value}, limit {first.limit}")
    return f"The main caveat is {typeset(first.name)} ({number}). {typeset(first.why)}{others}"


def share(fit: xr.DataTree) -> tuple[float, float] | None:
    """Share of the full quartic action's gain over the Gaussian, and its error; None where that is not resolved."""
    attrs = group(fit, "constant_data").attrs
    if "share" not in attrs or attrs["gain_full"] < LIMITS["resolved"] * attrs["gain_full_error"]:
        return None
    return float(attrs["share"]), float(attrs["share_error"])


def _non_gaussian(fit: xr.DataTree) -> bool:
    """Whether it is seen: by eps4, or by the gain over the Gaussian where no four-point function was measured."""
    attrs = group(fit, "constant_data").attrs
    name = "eps4" if "eps4" in attrs else "gain"
    return bool(attrs[name] >= LIMITS["resolved"] * attrs[f"{name}_error"])


def _gaussianity(fit: xr.DataTree) -> str:
    attrs = group(fit, "constant_data").attrs
    if "eps4" not in attrs:
        verb = "is not" if _non_gaussian(fit) else "is, within errors,"
        return f"Judged by what the action gains over the best Gaussian, the field {verb} Gaussian."
    eps4, error = float(attrs["eps4"]), float(attrs["eps4_error"])
    value = f"ε₄ = {with_error(eps4, error)}"
    one = group(fit, "constant_data").sizes["x"] == 1
    what = "mode" if action(fit).of_modes else "point"
    place = f"{'In' if what == 'mode' else 'At'} {f'this {what}' if one else f'these {what}s'}"
    if not _non_gaussian(fit):
        return f"{place} the field is Gaussian within errors: its distance to the Gaussian is {value}."
    limit = LIMITS["eps4"]
    size = (
        f"below {limit}, small enough for an expansion around the Gaussian"
        if eps4 < limit
        else f"not below {limit}, too far for an effective action around the Gaussian"
    )
    return f"{place} the field is not Gaussian: its distance to the Gaussian is {value}, {size}."


def _explained(fit: xr.DataTree) -> str:
    attrs = group(fit, "constant_data").attrs
    gain = with_error(float(attrs["gain"]), float(attrs["gain_error"]))
    name = typeset(action_name(fit))
    other = str(fit.attrs.get("method", "score")) != "score"  # gains are those of score matching, whatever the method
    the, it = (f"Fitted by score matching, the {name}", "it") if other else (f"The {name}", "It")
    if "gain_full" not in attrs:
        return f"{the} gains {gain} in Hyvärinen score over the best Gaussian; no richer action was fitted beside it."
    full = with_error(float(attrs["gain_full"]), float(attrs["gain_full_error"]))
    fraction = share(fit)
    if len(couplings(fit)) == group(fit, "observed_data").sizes.get("quad"):  # at two points a bilocal action, too
        if fraction is None:
            return f"Its gain in Hyvärinen score over the best Gaussian, {full}, is not resolved."
        subject = f"Fitted by score matching, {it}" if other else it
        return f"{subject} gains {full} in Hyvärinen score over the best Gaussian, and no quartic term is left out."
    if fraction is None:
        return (
            "Even the full quartic action does not improve on the best Gaussian beyond its error (gain in Hyvärinen "
            f"score {full}), so there is no share of it to quote."
        )
    return (
        f"{the} reaches ({with_error(100.0 * fraction[0], 100.0 * fraction[1])})\u202f% of the gain in "
        "Hyvärinen score over the best Gaussian that the full quartic action reaches on the same moments."
    )


def _resolved(fit: xr.DataTree) -> str:
    found = couplings(fit)
    clear = [c for c in found if abs(c.z) > LIMITS["resolved"]]
    best = max(found, key=lambda c: abs(c.z))
    name = {"lambda": "λ"}.get(best.text, best.text)
    value = f"{name} = {with_error(best.mean, best.sd)}"
    if len(found) == 1:
        return f"The coupling, {value}, is {'' if clear else 'not '}more than three standard deviations from zero."
    if not clear:
        return (
            f"Taken one by one, none of its {len(found)} couplings is more than three standard deviations from zero; "
            f"the clearest is {value}."
        )
    which = "all" if len(clear) == len(found) else _word(len(clear)).lower()
    verb = "is" if len(clear) == 1 else "are"
    return (
        f"Taken one by one, {which} of its {len(found)} couplings {verb} more than three standard deviations from "
        f"zero; the clearest is {value}."
    )


def _word(number: int) -> str:
    words = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
    return words[number] if number < len(words) else str(number)
