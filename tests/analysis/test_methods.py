"""Methods side by side: the table says who is wider, how far apart they lie, and whether they should."""

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from tests.oracles import planted

POINTS, KEY = np.arange(2.0)[:, None], jax.random.key(0)


def _fit(seed, method, strength=0.4):
    fields = planted("lat", strength, 2).draw(10_000, np.random.default_rng(seed))
    return inf.fit(inf.Samples(fields, POINTS), m.Bilocal(), key=KEY, sampler=inf.Closed(draws=200), method=method)


@pytest.fixture(scope="module")
def fits():
    return {method: _fit(1, method) for method in ("score", "gold", "tree")}


def test_methods_on_the_same_networks_agree(fits):
    """Hausman's p above 1e-6; against a gold fit of a theory with twice the couplings it falls below."""
    table = an.compare_methods(*fits.values())
    score, gold, tree = table.rows
    assert table.reference == "gold"
    assert gold.why == "the reference"
    assert score.test.p > 1e-6
    assert 0.9 < score.width < 1.3
    assert score.distance < 1.0  # on the same networks two sound estimates share most of their noise
    assert tree.test is None
    assert "truncation bias" in tree.why
    other = an.compare_methods(fits["score"], _fit(2, "gold", strength=0.8))
    assert other.rows[0].test.p < 1e-6
    assert "Hausman" in str(table)


def test_what_cannot_be_compared_is_refused(fits):
    with pytest.raises(ValueError, match=r"at least two fits.*got 1"):
        an.compare_methods(fits["score"])
    fields = planted("lat", 0.4, 2).draw(2000, np.random.default_rng(3))
    local = inf.fit(inf.Samples(fields, POINTS), m.Local(), key=KEY, sampler=inf.Closed(draws=200))
    with pytest.raises(ValueError, match=r"same action at the same points.*Bilocal and Local"):
        an.compare_methods(fits["score"], local)
    alone = an.compare_methods(fits["score"], fits["score"])
    assert "efficient" in alone.rows[1].why
