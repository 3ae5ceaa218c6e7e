"""What training does to a field, as a table and a figure."""

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

X, Y, NEW = [[-1.0], [0.6]], [1.0, -0.5], np.array([[-0.2], [1.4]])


def ensemble(way, n=20_000):
    net = m.Trained(m.Network(m.Erf(1.0, 0.5), 16), X, Y, way)
    return inf.Ensemble(net, points=NEW, n=n, key=jax.random.key(1))


@pytest.fixture(scope="module")
def found():
    way = m.LastLayer((0.0, 0.5, 2.0))
    return an.drift(ensemble(way), m.Odd(m.Bilocal()), key=jax.random.key(0), sampler="closed")


def test_every_time_is_measured_and_paired(found):
    assert found.times == (0.0, 0.5, 2.0)
    assert [data.orders for data in found.correlators] == [(1, 2, 3, 4)] * 3
    for data, change in zip(found.correlators, found.changes, strict=True):
        assert change.connected(2) == pytest.approx(data.connected(2) - found.correlators[0].connected(2), abs=1e-9)
    apart = np.hypot(found.correlators[2].error(1), found.correlators[0].error(1))
    assert np.all(found.changes[2].error(1) < 0.9 * apart)
    assert found.changes[2].chi2(1).p < 1e-12
    assert np.all(found.changes[0].connected(4) == 0.0)


def test_couplings_drift(found):
    """The mean that training brings is a linear term; at the start there is none. False alarms below 1e-6."""
    start, after = ({c.text: c for c in found.couplings(k)} for k in (0, 2))
    assert all(abs(start[name].z) < 5.5 for name in ("h[0]", "h[1]"))
    assert after["h[0]"].z < -20
    assert after["h[1]"].z > 20


def test_couplings_change_network_by_network(found):
    change = found.coupling_change(2)
    assert set(change.names) >= {"h[0]", "v[0,1]", "c[0,1,1]"}
    k = change.names.index("h[1]")
    assert change.value[k] > 20 * change.error[k]
    assert change.chi2("h").p < 1e-12
    with pytest.raises(ValueError, match="a fit at time number 7"):
        found.coupling_change(7)


def test_the_table_says_it(found):
    text = str(found)
    assert "training" not in text
    assert text.splitlines()[0].split()[:2] == ["time", "|G1|"]
    assert "h[0] =" in text


def test_the_figure(found):
    figure = an.plot_drift(found)
    assert len(figure.axes) == 5
    assert figure.axes[-1].get_xlabel() == "training time"
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["0", "0.5", "2"]
    line = figure.axes[1].lines[0].get_ydata()
    assert line == pytest.approx([data.connected(2)[0] for data in found.correlators])


def test_a_fit_that_is_refused_is_said_with_its_time():
    found = an.drift(
        ensemble(m.LastLayer((0.0, 2.0)), 4000), m.Bilocal(), key=jax.random.key(0), orders=(1, 2), sampler="closed"
    )
    assert sorted(found.fits) == [0]
    assert "odd" in found.refused[1]
    assert "no fit: " in str(found)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: an.drift(ensemble(m.LastLayer((2.0,)))), "several times"),
        (lambda: an.drift(inf.Ensemble(m.Network(m.Erf(), 9), points=NEW, n=99, key=jax.random.key(0))), "m.Trained"),
        (lambda: an.drift(ensemble(m.LastLayer((0.0, 2.0))), m.Bilocal()), "a key"),
        (lambda: an.drift(np.zeros((100, 2))), "ndarray"),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
