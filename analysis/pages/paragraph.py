"""What a fit found, in one paragraph of English written from its numbers, and the words for what was fitted where."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...models.theories.recipes import code
from ..checks.check import LIMITS, Check
from ..reading.fit import Reading, reads
from ..reading.typesetting import count, significant, typeset, with_error

__all__ = [
    "action_name",
    "caveat",
    "count",
    "drawn",
    "explained",
    "gaussianity",
    "measured",
    "origin",
    "paragraph",
    "resolved",
    "share",
    "significant",
    "typeset",
    "where",
    "with_error",
]

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


@reads
def paragraph(fit: Reading, checks: Iterable[Check]) -> str:
    """What was measured, how far from Gaussian, what the action explains, what is resolved, and the main caveat."""
    sentences = (
        measured(fit),
        gaussianity(fit),
        explained(fit),
        resolved(fit),
        caveat(fit, checks),
        fit.action.belongs,
    )
    return " ".join(sentence for sentence in sentences if sentence)


def action_name(fit: Reading) -> str:
    """The action in words, "bilocal quartic action", "full quartic action of 4 modes"."""
    return fit.action.name


def where(fit: Reading) -> str:
    """Where the field was measured: "at 3 points", "on a periodic 8 × 8 lattice"."""
    one, sizes = fit.action, fit.constants.sizes
    return one.place(sizes["site" if one.of_modes else "x"])


@reads
def measured(fit: Reading) -> str:
    """The first sentence: how many networks, of what, where, and what was fitted."""
    networks, place, things = fit.networks, where(fit), drawn(fit)
    size = len(fit.couplings)
    many = "its coupling" if size == 1 else f"its {size} couplings"
    what = origin(fit)
    made = f"{count(networks)} {what}" if "networks" in what else f"{count(networks)} {things}, {what},"
    whose = what if "networks" in what else f"{things} {what}"
    space = fit.space
    first = {
        "neuron": f"The correlators of {whose} were computed from {count(networks)} draws of one neuron, {place}.",
        "readout": f"The correlators of {whose} were computed from {count(networks)} hidden layers, their readout "
        f"integrated out, {place}.",
        "field": f"The field of {made} was measured {place}.",
    }[space]
    if "as_if_n" in fit.attrs:
        first = f"The exact correlators of {whose} {place} were taken with the errors {count(networks)} of them have."
    under = f", under {fit.attrs['prior_name']}" if "prior_name" in fit.attrs else ""
    determined = f"{_method(fit)} determined the {typeset(action_name(fit))}: {many}, together with the quadratic part"
    return f"{first} {determined}{under}."


def _method(fit: Reading) -> str:
    """From what, and how: the subject of the sentence."""
    moments = "order two, four and six" if fit.action.even else "all orders up to six"
    data = "From the fields themselves" if fit.from_fields else f"From the moments of {moments}"
    numbers = {
        name: count(float(value)) for name, value in fit.attrs.items() if isinstance(value, float | np.floating | int)
    }
    return fit.method_words.how.format_map({"data": data, **numbers})


@reads
def origin(fit: Reading) -> str:
    """In words: the networks of the suite, the user's own model, else the array or file the networks came from."""
    made = fit.recipe
    if made.get("model"):
        return _networks(made["model"]) or f"of the model {code(made['model'])}"
    if "kind" not in made and "source" in fit.attrs:  # a file of an earlier version: what it says, as it stands
        return f"from {' '.join(str(fit.attrs.get('model', fit.attrs['source'])).split())}"
    if made.get("file"):
        return f"read from {made['file']}"
    return "given as an array" if made.get("kind") or fit.from_fields else "known through given correlators"


def drawn(fit: Reading) -> str:
    """What was drawn: networks, or what stands for them in the dual spaces, or configurations of a lattice."""
    lattice = fit.action.lattice is not None and not fit.recipe.get("model")
    words = {"neuron": "neurons", "readout": "hidden layers"}
    return words.get(fit.space, "configurations" if lattice else "networks")


def _networks(data: Any) -> str:
    """Networks of the suite in words, "cosine networks of width 20 (output_bias 1.0)"; empty for any other model."""
    options = dict(data.get("options", {}))
    neuron, width = options.pop("neuron", None), options.pop("width", None)
    if data.get("class") != "Network" or "home" in data or not isinstance(neuron, dict) or "words" not in neuron:
        return ""
    options = neuron["options"] | options
    if any(isinstance(value, dict | list) for value in options.values()):
        return ""
    other = ", ".join(f"{name} {value}" for name, value in options.items())
    return f"{neuron['words']} networks of width {width}{f' ({other})' if other else ''}"


def caveat(fit: Reading, checks: Iterable[Check]) -> str:
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
    found = fit.couplings
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


def share(fit: Reading) -> tuple[float, float] | None:
    """Share of the full quartic action's gain over the Gaussian, and its error; None where that is not resolved."""
    attrs = fit.constants.attrs
    if "share" not in attrs or attrs["gain_full"] < LIMITS["resolved"] * attrs["gain_full_error"]:
        return None
    return float(attrs["share"]), float(attrs["share_error"])


def _non_gaussian(fit: Reading) -> bool:
    """Whether it is seen: by eps4, or by the gain over the Gaussian where no four-point function was measured."""
    attrs = fit.constants.attrs
    name = "eps4" if "eps4" in attrs else "gain"
    return bool(attrs[name] >= LIMITS["resolved"] * attrs[f"{name}_error"])


def gaussianity(fit: Reading) -> str:
    """How far from the Gaussian the field is."""
    attrs = fit.constants.attrs
    if "eps4" not in attrs:
        verb = "is not" if _non_gaussian(fit) else "is, within errors,"
        return f"Judged by what the action gains over the best Gaussian, the field {verb} Gaussian."
    eps4, error = float(attrs["eps4"]), float(attrs["eps4_error"])
    value = f"ε₄ = {with_error(eps4, error)}"
    one = fit.constants.sizes["x"] == 1
    what = "mode" if fit.action.of_modes else "point"
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


def explained(fit: Reading) -> str:
    """What the action gains over the Gaussian, and which share that is."""
    attrs = fit.constants.attrs
    gain = with_error(float(attrs["gain"]), float(attrs["gain_error"]))
    name = typeset(action_name(fit))
    other = not fit.method_words.score  # gains are those of score matching, whatever the method
    the, it = (f"Fitted by score matching, the {name}", "it") if other else (f"The {name}", "It")
    if "gain_full" not in attrs:
        return f"{the} gains {gain} in Hyvärinen score over the best Gaussian; no richer action was fitted beside it."
    full = with_error(float(attrs["gain_full"]), float(attrs["gain_full_error"]))
    fraction = share(fit)
    if len(fit.couplings) == fit.group("observed_data").sizes.get("quad"):  # at two points a bilocal action, too
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


def resolved(fit: Reading) -> str:
    """How many couplings are seen, and the clearest."""
    found = fit.couplings
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
