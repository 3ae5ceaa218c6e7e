"""Precision, CPU devices and the cache of compiled programs: the only place where nnft changes settings of JAX.

Compiled programs are kept on disk, because half of a short run is compilation that an earlier run has done already:
JAX's persistent cache, without its threshold of one second, since a fit is made of many small programs. Every kind of
processor and every version of JAX has a folder of its own below the platform's place for caches (`~/.cache/nnft` on
Linux). NNFT_CACHE names another folder, and NNFT_CACHE=off keeps nothing. Programs loaded from it are trusted: the
folder belongs to one user. What cannot be read is compiled anew, and what cannot be written is not kept.
"""

import contextlib
import hashlib
import logging
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

import jax
import numpyro.distributions
from jax.experimental.compilation_cache import compilation_cache
from platformdirs import user_cache_path

from .refusals import is_whole

__all__ = ["VARIABLE", "complete_numpyro", "configure", "keep_programs", "program_folder", "settled"]

VARIABLE = "NNFT_CACHE"
_OFF = ("off", "0", "false", "no", "none")
_MOST = 2**30  # bytes kept; beyond it the oldest half goes


def configure(
    *, x64: bool | None = None, cores: int | None = None, cache: bool | str | os.PathLike[str] | None = None
) -> int:
    """Set JAX's precision, CPU devices and cache of programs for a session, and return the number of devices in use.

    `x64=True` makes float64 the default of JAX arrays, `cores=n` asks for n CPU devices, so that n chains run side by
    side; None leaves a setting as it is. The fits need neither: they enter double precision themselves and give the
    same numbers on one device. For notebooks that run the handed-out NumPyro models on their own kernels.

    `cache=True` keeps compiled programs for later sessions (`program_folder` says where; the command line does it too),
    a path keeps them there, False does not keep them. The environment variable NNFT_CACHE=off has the last word. Half
    of a first fit is compilation.

    JAX fixes its devices when it first computes, so call this once, before anything else. Afterwards the devices stay
    as they are, without an error, and the number returned says how many there are.

    Raises ValueError if `cores` is not a positive integer.

    >>> configure() >= 1
    True
    """
    if cores is not None and not is_whole(cores, 1):
        raise ValueError(f"expected cores to be a positive integer, got {cores!r}, try cores=2 or leave it out")
    if x64 is not None:
        jax.config.update("jax_enable_x64", bool(x64))
    if cores is not None:
        # Once JAX has started its devices are fixed, and the results do not depend on them.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", int(cores))
    if cache is not None:
        keep_programs(cache)
    return jax.local_device_count()


@contextlib.contextmanager
def settled(x64: bool | None = True, *, partitionable: bool | None = True) -> Iterator[None]:
    """JAX's defaults inside the block, for every switch that the suite's numbers depend on.

    A session may have turned on strict promotion, another layout of random streams or coarse matrix products: the same
    recipe still gives the same ensemble, and a fit the same posterior. `x64` is double precision inside the block and
    `partitionable` the layout of random streams; None keeps what the session has.

    >>> import jax.numpy as jnp
    >>> with jax.numpy_rank_promotion("raise"), settled():
    ...     (jnp.ones((2, 2)) + jnp.ones(2)).dtype
    dtype('float64')
    """
    with contextlib.ExitStack() as stack:
        if x64 is not None:
            stack.enter_context(jax.enable_x64(x64))
        if partitionable is not None:
            stack.enter_context(jax.threefry_partitionable(partitionable))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.default_matmul_precision(None))
        yield


def complete_numpyro() -> None:
    """Give `numpyro.distributions` its submodules as attributes, which `numpyro.factor` needs.

    ArviZ loads NumPyro lazily; `import arviz, numpyro.distributions` in this order, before `import numpyro`, wakes it
    half-way through its own import and the attributes are lost. Does nothing where they are there.
    """
    parent = numpyro.distributions.__name__ + "."
    for name, part in list(sys.modules.items()):
        if name.startswith(parent) and "." not in (short := name.removeprefix(parent)):
            setattr(numpyro.distributions, short, part)


def program_folder(place: bool | str | os.PathLike[str] = True) -> Path | None:
    """Where programs are kept for this machine, or None where nothing is kept; nothing is made.

    Args:
        place: a folder; True for the one NNFT_CACHE names, or else the platform's; False for none.

    Example:
        >>> program_folder(False) is None
        True
    """
    variable = os.environ.get(VARIABLE, "").strip()
    if place is False or variable.lower() in _OFF:
        return None
    named = variable if place is True else place
    base = Path(named).expanduser() if named else user_cache_path("nnft", appauthor=False)
    return base / f"jax-{jax.__version__}-{version('jaxlib')}-{_processor()}"


def keep_programs(place: bool | str | os.PathLike[str] = True) -> Path | None:
    """Keep compiled programs from now on, `place` as in `program_folder`, and return the folder.

    None if nothing is kept: switched off, or the folder cannot be written, which is logged and stops nothing. With
    True, a cache that the session has chosen for itself (`jax_compilation_cache_dir`) stays as it is.
    """
    own = jax.config.jax_compilation_cache_dir
    folder = program_folder(place)
    if place is True and own is not None and folder is not None:
        return Path(own)
    if folder is not None and (why := _unusable(folder)):
        logging.getLogger("nnft").warning(
            "nnft: compiled programs are not kept, %s: %s; %s=<folder> names another place, %s=off keeps none",
            folder,
            why,
            VARIABLE,
            VARIABLE,
        )
        folder = None
    if folder is not None:
        _prune(folder)
        # A damaged entry is compiled anew; where warnings are errors, JAX's word about it would stop the run.
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    chosen = None if folder is None else str(folder)
    if chosen != own:
        jax.config.update("jax_compilation_cache_dir", chosen)
        compilation_cache.reset_cache()  # JAX opens its cache once
    return folder


def _processor() -> str:
    """A word for the instructions this processor has: programs of another may crash on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        known = "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    except OSError:  # not Linux
        known = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def _unusable(folder: Path) -> str:
    """Why nothing can be kept there, empty if it can; the folder is made, for its user alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"nnft")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _prune(folder: Path) -> None:
    """Remove the oldest programs once all of them together are too large; another process may be doing the same."""
    try:
        entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(folder) if e.is_file())
    except OSError:
        return
    total = sum(size for _, size, _ in entries)
    if total <= _MOST:
        return
    for _, size, path in entries:
        if total <= _MOST // 2:
            return
        total -= size
        try:
            os.unlink(path)
        except OSError:
            continue
