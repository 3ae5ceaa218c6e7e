"""The figure of a two-point function in real time shows its numbers."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

PATH = m.Path(m.Network(m.Cos(), 10))


def test_lines_and_bands_are_the_numbers():
    t = np.linspace(0.0, 5.0, 21)
    lags = np.arange(16) * 0.5
    data = inf.TimeCorrelators.given(lags, PATH.spectrum(400).correlator(lags))
    found, truth = inf.real_time(data, t), inf.real_time(PATH, t)
    figure = an.plot_real_time(found, data=data, truth=truth)
    figure.canvas.draw()
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 3
    for panel, part in zip(figure.axes[1:], (np.real, np.imag), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in panel.lines}
        np.testing.assert_allclose(lines["value"], part(found.values))
        np.testing.assert_allclose(lines["known"], part(truth.values))
        edges = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert edges.max() == pytest.approx(part(found.high).max())
    assert min(x.get_fontsize() for x in figure.findobj(Text) if x.get_visible() and x.get_text()) >= 8.0
    exact = an.plot_real_time(truth)
    assert exact.axes[0].lines[0].get_label() == "exact"
    assert not exact.axes[0].collections
    with pytest.raises(ValueError, match="two real times to draw a line, got 1"):
        an.plot_real_time(inf.real_time(PATH, 1.0))
