"""Every notebook runs from top to bottom, at the small size that it names itself, and what it asserts holds."""

import re

import jax
import matplotlib as mpl
import pytest

from tests.house.tree import ROOT

NOTEBOOKS = sorted((ROOT / "analysis" / "gallery").glob("*.py"))
SIZE = re.compile(r"^networks = [\d_]+  # small: ([\d_]+)$", flags=re.M)


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    jax.clear_caches()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path):
    """Only the number of networks is changed; a notebook holds its message, and the mistake in it, as assertions."""
    source, changed = SIZE.subn(r"networks = \1", path.read_text(encoding="utf-8"))
    assert changed == 1, "expected one line `networks = ...  # small: ...` in the notebook"
    with mpl.rc_context():
        exec(compile(source, path.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_a_whole_notebook(path):
    """Percent format without output; a title, a message that is asserted, two exercises, a mistake and its answer."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "# ---"
    assert max(len(line) for line in lines) <= 120
    assert len(lines) <= 230
    assert len(re.findall(r"^# # \w", text, flags=re.M)) == 1
    for heading in ("The message, asserted", "Exercises", "Find the mistake"):
        assert text.count(f"# ## {heading}\n") == 1
    assert "**The message:" in text.replace("\n# ", " ")
    message, _, rest = text.partition("# ## Exercises\n")
    exercises, _, mistake = rest.partition("# ## Find the mistake\n")
    assert re.findall(r"^# (\d)\. ", exercises, flags=re.M) == ["1", "2"]
    question, _, answer = mistake.partition('# %% tags=["hide-cell"]\n')
    assert "# %%\n" in question
    for part in (message.partition("# ## The message, asserted\n")[2], answer):
        assert re.search(r"^ *assert ", part, flags=re.M)


def test_they_are_numbered():
    numbers = [int(path.name[:2]) for path in NOTEBOOKS]
    assert numbers == sorted(set(numbers))
