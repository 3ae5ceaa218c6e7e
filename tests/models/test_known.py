"""Every number that `nnft models` prints of a field theory is what makes it gives, to the digits printed."""

import tomllib
from pathlib import Path

import pytest

from nnft import models as m
from nnft.models import theories

KNOWN = tomllib.loads((Path(theories.__file__).parent / "known.toml").read_text(encoding="utf-8"))


def oscillator(m2, quartic, beta):
    x = m.Oscillator(m2, quartic, beta=beta)
    return x.moment(2), x.moment(4), x.gap


def pair(quartic, coupling):
    both = m.CoupledOscillators(1.0, quartic, coupling)
    return both.moment(2, 0), both.connected([0.0] * 4, fields=(0, 0, 1, 1)), both.gap


def box(length, modes, quartic):
    free, full = (m.Oscillator(1.0, one, beta=length) for one in (0.0, quartic))
    delta = m.BoxTheory(m.Box(length, modes), 16, m.Potential.phi4(quartic)).missing
    return delta, full.moment(2), full.moment(4), full.log_partition - free.log_partition, full.gap


def chain(m2, lam):
    sites = m.Chain(m2, lam)
    return sites.moment(2), sites.moment(4), sites.correlator()[1], sites.gap


@pytest.mark.parametrize(
    ("name", "made", "given"), [("oscillator", oscillator, 3), ("pair", pair, 2), ("chain", chain, 2), ("box", box, 3)]
)
def test_exact_numbers_are_exact(name, made, given):
    for row in KNOWN[name]["rows"]:
        assert tuple(round(float(x), 10) for x in made(*row[:given])) == tuple(row[given:])
        assert len(row) == len(KNOWN[name]["columns"])


def test_every_theory_says_how_it_was_made():
    assert set(KNOWN) == {"oscillator", "pair", "chain", "lattice", "box"}
    for name, call in (("oscillator", "m.Oscillator("), ("pair", "m.CoupledOscillators("), ("chain", "m.Chain("),
                       ("lattice", "inf.sample_lattice("), ("box", "m.Oscillator(")):  # fmt: skip
        assert KNOWN[name]["made"].startswith(call)
