"""Settings of the tests: figures go nowhere, and random examples are the same for everyone."""

import os
import sys

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

# No deadline: the first example of a test pays for compilation. Derandomised: a red test is red for everyone.
hypothesis.settings.register_profile("nnft", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("nnft")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
