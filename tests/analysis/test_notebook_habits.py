"""What a notebook gets: correlators as tables, figures that show themselves, completion without modules."""

import types

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from tests.house.tree import ROOT, files

KEY = jax.random.key(0)
X = np.array([[-1.0], [1.0]])


def test_names_are_escaped():
    from nnft.models.display import card

    assert "<script>" not in card("<script>", [("<b>", "x & y")])
    assert "x &amp; y" in card("a", [("<b>", "x & y")])


def test_a_strip_has_a_mark_for_every_number_and_says_it():
    data = m.exact(m.Network(m.Cos(), width=7), X)
    shown = data._repr_html_()
    assert shown.count("<circle") == len(data.connected(4))
    assert f"{data.connected(4)[0]:+.4g}</title>" in shown


def test_correlators_as_a_frame_hold_every_number():
    data = inf.measure(inf.Ensemble(m.Network(m.Cos(), width=7), points=X, n=2000, key=KEY))
    frame = data.to_dataframe(2, 4)
    assert list(frame.columns) == ["order", "x1", "x2", "x3", "x4", "value", "error"]
    four = frame[frame["order"] == 4]
    np.testing.assert_array_equal(four[["x1", "x2", "x3", "x4"]].to_numpy(int), data.tuples(4))
    np.testing.assert_array_equal(four["value"], data.connected(4))
    np.testing.assert_array_equal(four["error"], data.error(4))
    assert frame[frame["order"] == 2]["x3"].isna().all()
    moments = data.to_dataframe(4, kind="moment")
    assert not np.allclose(moments["value"], four["value"])
    with pytest.raises(ValueError, match="8"):
        data.to_dataframe(8)
    assert data.to_xarray().equals(data.to_dataset())


@pytest.mark.parametrize("face", [m, inf, an], ids=["m", "inf", "an"])
def test_completion_shows_names_and_no_modules(face):
    shown = dir(face)
    assert set(shown) == set(face.__all__)
    assert [name for name in shown if name.startswith("_") or isinstance(getattr(face, name), types.ModuleType)] == []


def test_a_figure_is_seen_in_a_notebook_without_pyplot():
    """IPython asks a figure for its picture; matplotlib's own answers only after pyplot was imported."""
    net = m.Network(m.ReLU(bias_scale=0.0), 10)
    figure = an.plot_running(an.cutoff_flow(net, m.exact(net, np.ones((1, 1))), [1.0, 10.0]))
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert not hasattr(Figure(), "_repr_png_")  # the fault: matplotlib's own
    own = [path for path in files() if path.is_relative_to(ROOT / "analysis") and path.name != "canvas.py"]
    texts = {path.name: path.read_text() for path in own if path.suffix == ".py"}
    plain = [name for name, text in texts.items() if "Figure(figsize" in text and "canvas" not in text]
    assert plain == []
