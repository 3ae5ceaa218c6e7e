"""Programs compiled by one process are found by the next; a cache that is broken or switched off stops nothing."""

import os
import subprocess
import sys

import pytest

from nnft.models.runtime import VARIABLE, program_folder

# How many programs were found, how many not, and the bits of what they computed.
SESSION = """
import hashlib, warnings; warnings.simplefilter("error")
import jax, numpy as np, nnft
from jax import monitoring
hits, misses = [], []
monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("/cache_hits") else None)
monitoring.register_event_listener(lambda name, **_: misses.append(name) if name.endswith("/cache_misses") else None)
nnft.configure(cache={place})
{work}
bits = hashlib.sha256(np.asarray(result).tobytes()).hexdigest()[:16]
print(len(hits), len(misses), bits, jax.config.jax_compilation_cache_dir)
"""


DRAW = """
from nnft import models as m, inference as inf
net = m.Network(m.Erf(), width=7)
result = inf.Ensemble(net, points=np.array([[0.3], [1.0]]), n=3, key=jax.random.key(0)).read(0, 3)
"""
SINE = "result = jax.jit(lambda x: jax.numpy.sin(x) + 1)(np.arange(5.0))"


def session(place="True", work=SINE, **variables):
    """(hits, misses, hash of the result, JAX's folder, what was said) of a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMPILATION", "NNFT"))}
    done = subprocess.run(
        [sys.executable, "-c", SESSION.format(place=place, work=work)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "JAX_PLATFORMS": "cpu", **variables},
    )
    assert done.returncode == 0, done.stderr
    hits, misses, draws, folder = done.stdout.split()
    return int(hits), int(misses), draws, folder, done.stderr


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder filled by one session, and what that session printed."""
    place = tmp_path_factory.mktemp("kept")
    return place, session(work=DRAW, NNFT_CACHE=str(place))


def test_a_second_process_compiles_nothing_and_draws_the_same_bits(kept):
    place, (hits, misses, draws, folder, said) = kept
    assert hits == 0
    assert misses > 0
    assert folder.startswith(str(place))
    assert not said
    again = session(work=DRAW, NNFT_CACHE=str(place))
    assert again[:4] == (misses, 0, draws, folder)


def test_a_damaged_cache_is_compiled_anew_even_where_warnings_are_errors(kept, tmp_path):
    _, (_, misses, draws, folder, _) = kept
    target = tmp_path / os.path.basename(folder)
    target.mkdir()
    for k, name in enumerate(sorted(os.listdir(folder))):  # cut short, empty, and somebody else's words
        with open(os.path.join(folder, name), "rb") as whole:
            content = whole.read()
        (target / name).write_bytes({0: content[: len(content) // 2], 1: b"", 2: b"no program"}[k % 3])
    again = session(work=DRAW, NNFT_CACHE=str(tmp_path))
    assert again[2] == draws
    assert again[0] == 0
    assert again[1] == misses


def test_it_can_be_switched_off_whatever_the_session_says(tmp_path):
    hits, misses, _, folder, said = session(repr(str(tmp_path)), NNFT_CACHE="off")
    assert (hits, misses, folder, said) == (0, 0, "None", "")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_stops_nothing_and_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    *_, folder, said = session(NNFT_CACHE=str(tmp_path / "file"))
    assert folder == "None"
    assert "not kept" in said
    assert VARIABLE in said
    assert len(said.splitlines()) == 1


def test_a_cache_of_ones_own_stays_unless_another_is_asked_for_by_name(tmp_path):
    own, ours = tmp_path / "own", tmp_path / "ours"
    assert session(NNFT_CACHE=str(ours), JAX_COMPILATION_CACHE_DIR=str(own))[3] == str(own)
    assert not ours.exists()
    assert session(repr(str(ours)), JAX_COMPILATION_CACHE_DIR=str(own))[3].startswith(str(ours))


def test_the_place(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in program_folder().parents  # the platform's convention
    monkeypatch.setenv(VARIABLE, "~/there")
    assert program_folder().parent == tmp_path / "there"
    assert program_folder(tmp_path / "here").parent == tmp_path / "here"
    assert program_folder().name == program_folder(tmp_path).name
    assert not list(tmp_path.iterdir())


def test_it_does_not_grow_without_end(monkeypatch, tmp_path):
    from nnft.models import runtime as programs

    for k in range(8):
        (tmp_path / f"{k}").write_bytes(bytes(100))
        os.utime(tmp_path / f"{k}", (k, k))
    monkeypatch.setattr(programs, "_MOST", 800)
    programs._prune(tmp_path)
    assert len(list(tmp_path.iterdir())) == 8
    monkeypatch.setattr(programs, "_MOST", 799)
    programs._prune(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["5", "6", "7"]
