"""Every entry point counts what it is going to hold before it begins: hand counts, and refusals that cost nothing."""

import logging
import re
import tracemalloc
from math import comb

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.ensembles.moments import group_moments

FREE = "nnft.inference.engines.memory.free_memory"
KEY = jax.random.key(0)
X = np.array([[0.0], [1.0]])
PAIRS, QUADS = comb(3, 2), comb(5, 4)  # sorted tuples of two points
GROUPS = 1000  # of 2000 networks: two in each


def ensemble(n=2000):
    return inf.Ensemble(m.Network(m.Cos(), 5), points=X, n=n, key=KEY)


def correlators(rows=1000):
    rng = np.random.default_rng(0)
    values, spread = {4: rng.normal(size=QUADS)}, {"connected": {4: rng.normal(size=(rows, QUADS))}}
    return m.Correlators(points=X, moments={}, cumulants=values, rows=spread, networks=1e4, dof=rows - 1)


def files(folder, kind):
    file = folder / f"fields.{kind}"
    if kind == "npz":
        np.savez_compressed(file, phi=np.zeros((5000, 2)))
    else:
        np.savetxt(file, np.zeros((5000, 2)), delimiter=",")
    return file


ASKED = {  # entry point -> (call, bytes counted by hand)
    "measure": (lambda _: inf.measure(ensemble(), orders=(2, 4)), 4 * 8 * GROUPS * (PAIRS + QUADS)),
    "patterns": (lambda _: inf.measure_patterns(ensemble()), 3 * 8 * GROUPS * (5 * QUADS + 2 * PAIRS)),
    "null": (lambda _: inf.null(m.exact(m.Network(m.Cos(), 5), X), 200, key=KEY), 3 * 8 * 1024 * (PAIRS + QUADS)),
    "generating": (
        lambda _: inf.generating(ensemble(), 0.1 * np.ones((7, 2))),
        8 * (2000 * 2 + (3 * 2000 + 2 * GROUPS) * 7),
    ),
    "split_widths": (lambda _: inf.split_widths({5: correlators(), 50: correlators()}), 3 * 8 * 2 * 1000 * QUADS),
    "lattice": (lambda _: inf.sample_lattice(1.0, 0.1, (8, 8), key=KEY, chains=100, draws=50), 16 * 100 * 50 * 64),
    "box": (
        lambda _: inf.sample_box(m.BoxTheory(m.Box(10.0, 8), 1, m.Potential.phi4(1.0)), key=KEY, chains=100, draws=50),
        28 * 100 * 50 * 17,
    ),
    "action": (
        lambda _: inf.sample_action({2: np.array([0.5]), 4: np.array([0.1])}, points=1, key=KEY, chains=100, draws=50),
        3 * 8 * 100 * 50,
    ),
    "archive": (lambda folder: inf.Samples(files(folder, "npz"), X), 8 * 10_000),
    "text": (lambda folder: inf.Samples(files(folder, "csv"), X), 10_000 * 25),
}


@pytest.mark.parametrize("name", list(ASKED))
def test_what_does_not_fit_is_refused_with_the_number(name, monkeypatch, tmp_path):
    """Before a network is drawn; digits and headers of archives are left open: 2 %."""
    ask, size = ASKED[name]
    monkeypatch.setattr(FREE, lambda: 10.0)
    monkeypatch.setattr(inf.Ensemble, "_read", lambda *_: pytest.fail("networks were drawn"))
    with pytest.raises(ValueError, match=r"expected .+ of free memory, got .+ GB that they need; try .+") as refusal:
        ask(tmp_path)
    told = float(re.search(r"got ([\d.e-]+) GB", str(refusal.value))[1])
    assert told == pytest.approx(size / 1e9, rel=0.02)


def test_files_of_parts_are_counted(monkeypatch, tmp_path):
    for k in range(2):
        (tmp_path / f"{k}.nc").write_bytes(b"0" * 50_000)
    monkeypatch.setattr(FREE, lambda: 2e5)
    with pytest.raises(ValueError, match=r"expected 2 files of parts in 0.0002 GB of free memory, got 0.0003 GB"):
        inf.pool(tmp_path)


def test_what_is_counted_is_what_is_taken():
    """The twin: numbers twice the groups, as a forgotten copy or a forgotten group would give, would not pass."""
    source = inf.Samples(np.random.default_rng(0).normal(size=(2000, 4)), np.arange(4.0)[:, None], independent=True)
    group_moments(source, (2, 4))  # compiled
    tracemalloc.start()
    kept = group_moments(source, (2, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = 3 * 8 * GROUPS * (comb(5, 2) + comb(7, 4))
    assert len(kept[1][2]) == GROUPS
    assert 0.5 * said < peak < 1.1 * said


def test_more_than_half_is_said_and_less_is_not(monkeypatch, caplog):
    both = {5: correlators(), 50: correlators()}
    size = 3 * 8 * 2 * 1000 * QUADS
    with caplog.at_level(logging.WARNING, logger="nnft"):
        monkeypatch.setattr(FREE, lambda: 2.1 * size)
        inf.split_widths(both)
        assert caplog.messages == []
        monkeypatch.setattr(FREE, lambda: 1.9 * size)
        inf.split_widths(both)
    assert caplog.messages == [
        "nnft: expected memory 0.00024 GB for 5 components at 2 widths, of 0.000456 GB that are free"
    ]
