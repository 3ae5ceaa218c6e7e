"""What a notebook shows: every part of ours as a small table whose tags close, without a draw."""

import re
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.analysis.checks.check import Diagnosis

X = np.array([[-1.0], [1.0]])
KEY = jax.random.key(0)
GIVEN = m.Correlators.from_arrays(
    X, connected={2: [1.0, 0.5, 1.0], 4: [0.1, 0.0, 0.2, 0.0, 0.1]}, covariance=np.eye(8) * 1e-4, networks=1e6
)
RNG = np.random.default_rng(0)


class Balance(HTMLParser):
    """Every tag that opens closes, and the words between them."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.single = [], [], ("line", "circle")

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.single

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def seen(thing):
    page = Balance()
    page.feed(thing._repr_html_())
    assert page.open == []
    return " | ".join(page.words)


def drawing_is_off(*arguments, **options):
    raise AssertionError("a notebook that shows a thing draws no network")


THINGS = {
    "network": (lambda: m.Network(m.Cos(), 20), "width | 20 | .*known exactly | G2c, G4c, G6c"),
    "two neurons": (lambda: m.Network((m.Cos(), m.Erf()), 20), r"Cos and Erf | neuron | \(Cos\(\), Erf\(\)\)"),
    "deep": (lambda: m.Deep.of(m.Erf(), 2, 10), "known exactly | no correlators: inf.measure"),
    "function": (lambda: m.FromKey(lambda key, x: jax.random.normal(key, (len(x),))), "<lambda>"),
    "ensemble": (lambda: inf.Ensemble(m.Network(m.Cos(), 20), points=X, n=10**6, key=KEY), "networks | 1,000,000"),
    "parts": (
        lambda: inf.Parts(inf.Ensemble(m.Network(m.Cos(), 20), points=X, n=10**6, key=KEY), parts=4),
        "2 points in d = 1: -1, 1",
    ),
    "samples": (lambda: inf.Samples(RNG.normal(size=(500, 2)), X), "Samples | networks | 500"),
    "correlators": (lambda: GIVEN, r"G4c | 5 | \(0,0,1,1\) \+0.2 \+- 0.01 \(\+20.0 sd\)"),
    "chi2": (lambda: (GIVEN - GIVEN).chi2(2), "Distance from zero | chi2 | dof | p-value | why | 0.0 | 3 | 1"),
    "design": (lambda: inf.design(m.Network(m.Cos(), 20), X, 1e5), r"networks for 3 sigma | v\(0,1\)"),
    "few": (lambda: inf.few_networks(inf.Samples(RNG.normal(size=(100, 2)), X), key=KEY), r"Gaussian\? | p = "),
    "checks": (lambda: Diagnosis([an.Check("a < b", "3", "< 2", "warn", "far")]), "warn | a < b | 3 | < 2 | far"),
}


@pytest.mark.parametrize("name", THINGS)
def test_a_notebook_shows_a_small_table(name, monkeypatch):
    thing = THINGS[name][0]()
    monkeypatch.setattr(inf.Ensemble, "read", drawing_is_off)
    words = seen(thing)
    for part in THINGS[name][1].split(" | "):
        assert re.search(part, words), words
    assert len(thing._repr_html_()) < 20_000
