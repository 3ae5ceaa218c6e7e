"""The site says what there is: every public name with shapes, errors and an example, every check, links that lead."""

import contextlib
import inspect
import io
import re
import sys
from functools import cache
from importlib import import_module

import jax
import numpy as np
import pytest
from cyclopts import CycloptsError

from nnft import analysis, inference, models
from nnft.analysis import cli
from tests.house.tree import ROOT

SITE = ROOT / "analysis/gallery/site"
sys.path.insert(0, str(SITE / "press"))
api, cards, docstrings, links, names, seen, sources = (
    import_module(name) for name in ("api", "cards", "docstrings", "links", "names", "seen", "sources")
)

PAGES = {path.relative_to(SITE).as_posix(): path.read_text(encoding="utf-8") for path in SITE.rglob("*.md")}
ROOMS = {"m": models, "inf": inference, "an": analysis}
SHAPE = re.compile(r"\(\w+(?:, [\w .]+)*,?\)|\bshape|\bone number|\*\(")
RAISES = re.compile(r"Raises|ValueError|[Rr]efuse|refusal")


def lacks(thing, at_work=()):
    """What a reader misses in the docstring of a public name: an example, the shapes of arrays, what is refused."""
    text = seen.documented(thing)
    notes = dict(getattr(thing, "__annotations__", {})) if inspect.isclass(thing) else inspect.get_annotations(thing)
    arrays = " ".join(str(note) for note in notes.values())
    if ">>> " not in text and not at_work:
        yield "example"
    bare = re.search(r"ndarray|ArrayLike|jax\.Array|\bAny\b", re.sub(r"\w+\[ndarray, '[^']*'\]", "", arrays))
    if bare and not SHAPE.search(text):
        yield "shapes"
    if re.search(r"\braise\b|\brefused\(|\bcheck_|^@reads", inspect.getsource(thing), re.M) and not RAISES.search(text):
        yield "errors"


def test_every_public_name_stands_on_a_page_of_the_api():
    pages = "\n".join(api.api_pages().values())
    listed = re.findall(r"^\.\. nnft:: nnft\.(\w+\.\w+)$", pages, re.M)
    there = {
        f"{names.FACES[short][0]}.{name}"
        for short, room in ROOMS.items()
        for name in dir(room)
        if not name.startswith("_") and not inspect.ismodule(getattr(room, name))
    }
    assert len(listed) == len(set(listed)) > 200
    assert set(listed) == there


def test_every_public_name_has_shapes_errors_and_an_example():
    where = seen.seen()
    found = {
        one.path: list(lacks(thing, sum(where[one], ()))) for one, thing in seen.things().items() if callable(thing)
    }
    assert len(found) > 200
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_what_is_lacking_is_seen():
    def silent(points: "np.ndarray") -> float:
        """Nothing is said."""
        raise ValueError(points)

    assert list(lacks(silent)) == ["example", "shapes", "errors"]


def test_the_table_of_checks_is_that_of_the_code():
    """The first words of the names in `Check(...)`, which is where a check is made."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "analysis/checks").glob("*.py"))
    made = set(re.findall(r'\bCheck\(\s*f?"([^"{]+?)(?: \{[^"]*)?"', code))  # f"draws of {name}"
    made |= set(re.findall(r'\bCheck\(\s*f"\{[^}]*\} ([^"]+)"', code))  # f"{name} against closed form"
    rows = [line.split("**")[1] for line in sources.checks_table().splitlines()[2:]]
    assert len(rows) == len(set(rows)) > 25
    assert {name for name in made if not any(row.startswith(name) or row.endswith(name) for row in rows)} == set()
    assert {row for row in rows if not any(row.startswith(name) or row.endswith(name) for name in made)} == set()
    assert "{" not in sources.checks_table()


def understood(line):
    """Whether the command line understands a line; nothing is done."""
    try:
        cli.app.parse_args(line.split(), exit_on_error=False, print_error=False)
    except CycloptsError:
        return False
    return True


def test_commands_are_understood_and_no_folder_is_written_twice():
    lines = re.findall(r"^ {4}nnft (.*?)(?:  .*)?$", PAGES["commands.md"], re.M)
    assert len(lines) > 10
    for line in lines:
        assert understood(line), line
        assert not understood(line + " --fast")  # planted faults
        assert not understood("x" + line)
    folders = re.findall(r"-o (\S+)", " ".join(lines))
    assert len(folders) == len(set(folders)) > 8


@pytest.mark.parametrize("page", sorted(PAGES))
def test_pages_speak_of_what_there_is(page):
    text = PAGES[page]
    for short, name in set(re.findall(r"\b(m|inf|an)\.(\w+)", text)):
        assert hasattr(ROOMS[short], name), f"{short}.{name}"
    for line in re.findall(r"^ {4}nnft (.*?)(?:  .*)?$", text, re.M):
        assert understood(re.sub(r"\$\w+", "3", line).partition(" && ")[0]), line
    for target in re.findall(r"`make (\w+)|^ +make (\w+)", text, re.M):
        assert re.search(rf"^{''.join(target)}:.*##", (ROOT / "Makefile").read_text(), re.M), target
    for file, thing in re.findall(r"literalinclude\} \.\./extensions/(\S+)\n.*\n:pyobject: (\w+)", text):
        source = (ROOT / "tests/house/extensions" / file).read_text()
        assert re.search(rf"^(?:def|class) {thing}\b", source, re.M), thing


# What makes the code of a page quick, as it stands there -> here; a page without code that is run is not named.
SMALL = {
    "data.md": [("key=jax.random.key(0))", "key=jax.random.key(0), sampler='closed')")],
    "deep.md": [("n=100_000", "n=4000"), ("(0.0, 0.5, 2.0)", "(0.0, 2.0)")],
    "own/index.md": [],
    "own/neuron.md": [],
    "own/networks.md": [("n=20_000", "n=2000"), ("key=key)  # and", "key=key, sampler='closed')  # and")],
    "points.md": [],
    "scale.md": [],
    "theories.md": [
        ("(theory, key=key)", "(theory, inf.Reweighted(n=16384), widths=(4, 8, 16), key=key)"),
        ("n=20_000", "n=4000"),
    ],
}


def code(page):
    return re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.M | re.S)


@pytest.fixture(scope="module")
def ran():
    """The names that the code of a page leaves behind, and what it prints; each page is run once."""

    @cache
    def run(page):
        names, out = {"np": np, "jax": jax, "jnp": jax.numpy, **ROOMS, "key": jax.random.key(0)}, io.StringIO()
        text = "\n".join(code(page))
        for shown, quick in SMALL[page]:
            assert shown in text
            text = text.replace(shown, quick)
        with contextlib.redirect_stdout(out):
            exec(compile(text, page, "exec"), names)
        return names, out.getvalue()

    return run


@pytest.mark.parametrize("page", SMALL)
def test_the_code_of_a_page_runs(page, ran):
    assert ran(page)


def test_all_code_of_the_pages_is_run():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"```python\n{one}```" in readme for one in code("index.md"))  # run by test_readme.py
    assert {page for page in PAGES if code(page)} == {*SMALL, "index.md"}


def test_exact_numbers_beside_the_code_are_those_that_come_out(ran):
    known, _ = ran("theories.md")
    for exact in (known["truth"].moment(2), known["truth"].gap):
        assert f"{exact:.12f}" in PAGES["theories.md"]
    needed = inference.networks_to_see(known["net"], known["x0"], inference.Orthogonal(2))
    assert f"# {needed:.0f} for" in PAGES["theories.md"]
    mean = models.limit(ran("deep.md")[0]["trained"], np.array([[-0.2]])).mean[-1, 0]
    assert f"# {mean:.6f} at infinite width" in PAGES["deep.md"]
    names, printed = ran("own/networks.md")
    assert printed.startswith("Couplings of 2,000 pairs of networks")
    assert names["fit"]["posterior"]["v"].sizes["cross_pair"] == 1


def test_every_page_is_in_the_contents_and_every_link_has_a_page():
    entries = {
        word
        for text in PAGES.values()
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.M | re.S)
        for word in block.split()
    }
    beside = {name.removesuffix(".md") for name in sources.OWN.values()}
    for name in PAGES.keys() - {"index.md"}:
        assert name.removesuffix(".md") in entries or name.removesuffix(".md").rpartition("/")[2] in entries, name
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([\w/.]+)\.md\)", text):
            assert (SITE / page).parent.joinpath(f"{link}.md").exists() or link in beside, f"{page}: {link}"


def test_a_docstring_keeps_its_words():
    text = """S = |phi|^2 and `measure`, *not* emphasis_.

        a = b

    Args:
        points: (point, axis), all
            of them.
        *more: words.

    Raises:
        ValueError: never.

    Example:
        >>> 1 + 1
        2
    """
    lines = docstrings.page_of(inspect.cleandoc(text))
    assert lines[0] == r"\ S = \|phi\|^2 and \ ``measure``\ , \*not\* emphasis\_."
    assert ".. code-block:: text" in lines
    assert lines[lines.index(".. code-block:: text") + 2] == "    a = b"
    assert ":param points: (point, axis), all of them." in lines
    assert r":param \*more: words." in lines
    assert ":raises ValueError: never." in lines
    assert lines[-5:] == [".. code-block:: pycon", "", "    >>> 1 + 1", "    2", ""]


def test_code_becomes_a_link_where_it_speaks_of_a_public_name():
    assert names.target_of("inf.measure(ens, n=(3, 4))") == "nnft.inference.measure"
    assert names.target_of("Correlators") == "nnft.models.Correlators"
    assert names.target_of("m.Correlators.load") == "nnft.models.Correlators"
    for word in ("measure", "inf.nothing", "Limit", "x @ y"):  # Limit is two things
        assert names.target_of(word) is None


def test_dead_links_are_seen(tmp_path):
    (tmp_path / "there.html").write_text(
        '<h1 id="here">x</h1><a href="#here">y</a> <a href="https://arxiv.org/abs/1">z</a>'
    )
    page = tmp_path / "page.html"
    page.write_text('<a href="there.html#here">x</a><img src="data:image/png;base64,x">')
    assert links.dead_links(tmp_path) == []
    page.write_text(
        '<a href="gone.html">x</a><a href="there.html#gone">x</a><script src="https://x.org/a.js"></script>'
    )
    assert [line.split(": ")[2] for line in links.dead_links(tmp_path)] == [
        "leads nowhere",
        "names a place that is not there",
        "is fetched from the net",
    ]


def test_a_notebook_at_small_size_has_fewer_networks_and_runs_again_when_nnft_has_changed():
    text = "# %% [markdown]\n# # Title\n\n# %%\nnetworks = 1_000_000  # small: 500\n"
    full = sources.notebook(text, small=False)
    assert "networks = 1_000_000" in full
    assert '"networks = 500"' in sources.notebook(text, small=True)
    assert full == sources.notebook(text, small=False)  # or it would run at every build
    assert "remove-cell" in full
    assert sources._state() in full


def test_a_card_says_the_message_and_hangs_the_picture(tmp_path):
    book = "# %% [markdown]\n# # A title\n#\n# Words. **The\n# message: it is so.** More.\n"
    card = cards.cards({"01_one": book})
    assert "[A title](gallery/01_one.ipynb)\n: It is so." in card
    (tmp_path / "gallery").mkdir()
    for body, seen_there in (
        ('<img alt="y" src="../_images/a.png">', '<img src="_images/a.png" alt="x">'),
        ("", "<p></p>"),
    ):
        (tmp_path / "gallery.html").write_text('<p><img data-book="01_one" alt="x"></p>')
        (tmp_path / "gallery" / "01_one.html").write_text(body)
        cards.hang(tmp_path)
        assert seen_there in (tmp_path / "gallery.html").read_text()
    with pytest.raises(ValueError, match="02_two"):
        cards.cards({"02_two": book.replace("**", "")})
