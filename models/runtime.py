"""Precision, CPU devices and the cache of compiled programs: the only place where nnft changes settings of JAX."""

import contextlib
import os
import sys
from collections.abc import Iterator

import jax
import numpyro.distributions

from .programs import keep_programs
from .refusals import is_whole

__all__ = ["complete_numpyro", "configure", "settled"]


def configure(
    *, x64: bool | None = None, cores: int | None = None, cache: bool | str | os.PathLike[str] | None = None
) -> int:
    """Set JAX's precision, CPU devices and cache of programs for a session, and return the number of devices in use.

    `x64=True` makes float64 the default of JAX arrays, `cores=n` asks for n CPU devices, so that n chains run side by
    side; None leaves a setting as it is. The fits need neither: they enter double precision themselves and give the
    same numbers on one device. For notebooks that run the handed-out NumPyro models on their own kernels.

    `cache=True` keeps compiled programs for later sessions (`programs.py` says where; the command line does it too), a
    path keeps them there, False does not keep them. The environment variable NNFT_CACHE=off has the last word. Half of
    a first fit is compilation.

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
