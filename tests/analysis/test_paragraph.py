"""The paragraph is English whatever the numbers, and follows them; numbers are cut at their errors."""

import json
import re

import numpy as np
import pytest

from nnft import models as m
from nnft.analysis.checks.diagnose import Check
from nnft.analysis.pages.paragraph import measured, origin, paragraph
from nnft.analysis.pages.session import session
from nnft.analysis.reading.fit import Reading
from nnft.analysis.reading.typesetting import count, significant, with_error
from nnft.models.theories.recipes import described

ACTIONS = ["Bilocal", "Local", "Constant", "FullQuartic"]
PASS = Check("R-hat", "1.0012", "<= 1.01", "pass", "Chains agree.")
WARN = Check("share of the gain", "12.0% +- 1.0%", ">= 90%", "warn", "Part of the gain.")
ODD = Check("something new", "-3 +- 1", "none", "warn", "It was never seen before.")
FAIL = Check("eps4", "0.41 +- 0.02", "< 0.3", "fail", "Too far from Gaussian.")
SHORT = Check("R-hat", "1.0131", "<= 1.01", "fail", "Chains differ.")


def changed(fit, **attrs):
    fit = fit.copy(deep=True)
    for name, value in attrs.items():
        if value is None:
            del fit["constant_data"].attrs[name]
        else:
            fit["constant_data"].attrs[name] = value
    return fit


def still(fit, name):
    """The same fit with every coupling of one site within a standard deviation of zero, but for the first `name`."""
    fit = fit.copy(deep=True)
    for site in fit["posterior"].data_vars:
        if site in ("coupling", "g", "u", "v", "g4"):
            draws = fit["posterior"][site]
            draws -= draws.mean(("chain", "draw"))
    first = next(s for s in ("coupling", "g", "g4") if s in fit["posterior"].data_vars)
    for k in range(name):
        fit["posterior"][first][:, :, k] += 10.0 * float(fit["posterior"][first][:, :, k].std())
    return fit


CHANGES = {
    "as it is": lambda fit: fit,
    "Gaussian": lambda fit: changed(fit, eps4=0.0, gain=-1e-5, gain_full=1e-6, share=-10.0),
    "far": lambda fit: changed(fit, eps4=0.7),
    "share not known": lambda fit: changed(fit, gain_full=None, gain_full_error=None, share=None, share_error=None),
    "none resolved": lambda fit: still(fit, 0),
    "one resolved": lambda fit: still(fit, 1),
}


VERDICTS = [[], [PASS], [WARN], [ODD], [WARN, ODD], [WARN, ODD, ODD], [FAIL], [FAIL, FAIL, WARN], [SHORT]]


@pytest.mark.parametrize("verdicts", VERDICTS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_paragraph_is_grammatical(fits, action, change, verdicts):
    text = paragraph(CHANGES[change](fits[action]), verdicts)
    assert not re.search(r"  | [.,;)]|\.\.|[({] |nan|None|\{|\}|\$", text)
    assert not re.search(r"\b1 (points|couplings|checks)|\b(a|its) (a|the|its)\b", text)
    sentences = re.split(r"(?<=[^.\d]\.) |(?<=\d\.) (?=[A-Z])", text.replace("Network(neuron=Cos(), width=20)", "N"))
    assert len(sentences) >= 5
    for sentence in sentences:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.count("(") == sentence.count(")")
        assert not re.search(
            r"\bone of its \d+ couplings are\b|\b(all|two|three|four) of its \d+ couplings is\b", sentence
        )
        assert not re.search(r"\bOne more checks|\bOne checks|(?<!One )(?<!One more )check warns", sentence)
    assert sentences[-1] == "The couplings belong to this set of points: another set has other couplings."


def test_the_paragraph_follows_the_numbers(small_fit):
    attrs = small_fit["constant_data"].attrs
    text = paragraph(small_fit, [PASS])
    assert "20\u202f000 cosine networks of width 20 was measured at 3 points" in text
    assert f"ε₄ = {with_error(attrs['eps4'], attrs['eps4_error'])}" in text
    assert f"({with_error(100 * attrs['share'], 100 * attrs['share_error'])})\u202f% of the gain" in text
    clear = sum(abs(c.z) > 3 for c in Reading(small_fit).couplings)
    words = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "all"]
    assert f"{words[clear]} of its 12 couplings are" in text
    assert "the field is not Gaussian" in text
    assert "Gaussian within errors" in paragraph(CHANGES["Gaussian"](small_fit), [PASS])
    assert "no share" in paragraph(CHANGES["Gaussian"](small_fit), [PASS])
    assert "too far" in paragraph(CHANGES["far"](small_fit), [PASS])
    assert "none of its 12 couplings is" in paragraph(still(small_fit, 0), [PASS])
    assert "one of its 12 couplings is" in paragraph(still(small_fit, 1), [PASS])
    assert "number of networks" in paragraph(still(small_fit, 0), [WARN])
    assert "Do not use these numbers as they stand: ε₄ (0.41 ± 0.02, limit < 0.3)" in paragraph(small_fit, [WARN, FAIL])
    assert "Chains differ. Sample longer: more draws may mend it." in paragraph(small_fit, [SHORT])
    assert "Sample longer" not in paragraph(small_fit, [SHORT, FAIL])
    complete = small_fit.copy(deep=True)
    complete["observed_data"] = (
        complete["observed_data"].to_dataset().isel(quad=slice(len(Reading(small_fit).couplings)))
    )
    assert "no quartic term is left out" in paragraph(complete, [PASS])
    assert "leaves out" in paragraph(small_fit, [ODD, WARN])
    negative = Check("draws unbounded below", "98.5% of 200", "0%", "warn", "Negative.")
    assert "The main caveat: in 98.5\u202f% of 200 posterior draws" in paragraph(small_fit, [negative])
    assert "The main caveat is something new (−3 ± 1, limit none). It was never" in paragraph(small_fit, [ODD])


def mine(points):
    return points


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (m.Network(m.Cos(), 20), "cosine networks of width 20"),
        (m.Network(m.Erf(), 50, output_bias=1.0), "erf networks of width 50 (output_bias 1.0)"),
        (
            m.Network(m.Gauss(bias_scale=0.3), 200, readout="uniform"),
            "Gauss networks of width 200 (bias_scale 0.3, readout uniform)",
        ),
        (m.Network(m.ScalarMode(), 9), "scalar networks of width 9"),
        (m.Network(mine, 3), "of the model Network(neuron=mine, width=3)"),
        (m.Network((m.Cos(), m.Erf()), 4), "of the model Network(neuron=(Cos(), Erf()), width=4)"),
        (mine, "of the model mine"),
    ],
)
def test_networks_are_named_in_words(small_fit, net, words):
    fit = small_fit.copy(deep=True)
    fit.attrs["recipe"] = json.dumps(json.loads(fit.attrs["recipe"]) | {"model": described(net)})
    assert origin(fit) == words


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.17546, 0.00177, "0.1755 ± 0.0018"),
        (-0.0123, 0.0081, "−0.0123 ± 0.0081"),
        (26.42, 0.451, "26.42 ± 0.45"),
        (0.0, 0.0063, "0.0000 ± 0.0063"),
        (8e-5, 1.3e-4, "(0.8 ± 1.3)·10⁻⁴"),
        (1234567.0, 4321.0, "(1.2346 ± 0.0043)·10⁶"),
        (3.0, 0.0, "3.000"),
        (12.0, 150.0, "12 ± 150"),
    ],
)
def test_numbers_are_cut_at_their_errors(value, error, text):
    assert with_error(value, error) == text


def test_numbers_without_errors():
    assert [significant(x, 2) for x in (0.00831, 456.0, 1.0, -2.5, np.nan)] == ["0.0083", "4.6·10²", "1.0", "−2.5", "–"]
    assert count(1e6) == "1\u202f000\u202f000"


def test_the_dual_spaces_and_exact_correlators_are_named(small_fit):
    fit = small_fit.copy(deep=True)
    fit.attrs["space"] = "neuron"
    assert measured(fit).startswith(
        "The correlators of cosine networks of width 20 were computed from 20\u202f000 draws of one neuron"
    )
    assert 'data = inf.measure(ens, space="neuron")' in session(fit)
    fit.attrs["space"] = "readout"
    assert "20\u202f000 hidden layers, their readout integrated out, at 3 points" in measured(fit)
    fit.attrs |= {"as_if_n": 20_000, "recipe": json.dumps(json.loads(fit.attrs["recipe"]) | {"kind": "exact"})}
    assert "exact correlators of cosine networks of width 20" in measured(fit)
    lines = session(fit)
    assert "data = m.exact(net, points)" in lines
    assert "as_if_n=20_000" in lines
