"""Which axis of an array is the network, which the point and which the field, from names, shapes or what is said."""

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Refused", "as_store", "float_type", "off_device", "orientation", "refused", "shape_advice", "three_axes"]

AXES = ("network", "point")
FIELDS = ("network", "point", "output")  # of several fields


def as_store(array: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Something with shape, dtype and slices, and the names of its axes if it has any; what is lazy stays so."""
    if isinstance(array, xr.DataArray):
        return array.variable, tuple(map(str, array.dims))
    if type(array).__module__.startswith(("zarr.", "h5py.")):
        names = getattr(getattr(array, "metadata", None), "dimension_names", None)
        names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # as xarray writes them into zarr 2
        return array, tuple(map(str, names)) if names is not None else None
    if np.ma.is_masked(array):
        raise refused("samples without a mask", "masked ones", "leaving those networks out")
    try:
        found = np.asarray(off_device(array))
    except (TypeError, ValueError, RuntimeError) as error:
        why = f"{type(array).__name__} ({str(error).partition(chr(10))[0]})"
        advice = "np.asarray(...), of a tensor tensor.float() or tensor.to_dense() first"
        if "inhomogeneous" in why:
            why, advice = f"a {type(array).__name__} of rows of different lengths", "all networks at the same points"
        raise refused("an array (network, point)", why, advice) from error
    if found.ndim == 0 and found.dtype.kind == "O":
        advice = "np.asarray of its numbers, or the path of a file"
        raise refused("an array (network, point)", f"one {type(array).__name__}", advice)
    return found, None


def shape_advice(shape: tuple[int, ...]) -> str:
    """What to do with an array that has not the two axes (network, point).

    >>> shape_advice((500, 4, 1)), shape_advice((500,))
    ('array[..., 0]', 'array[:, None] for one point')
    """
    ones = [k for k, size in enumerate(shape) if size == 1]
    if len(shape) == 1:
        return "array[:, None] for one point"
    if len(shape) - len(ones) <= 2 and ones:
        drop = ones[-(len(shape) - 2) :]
        if drop == list(range(2, len(shape))):
            return f"array[..., {', '.join('0' for _ in drop)}]"
        return f"array[{', '.join('0' if k in drop else ':' for k in range(len(shape)))}]"
    if len(shape) == 3:
        return (
            f"outputs={shape[2]} if these are fields at the points, or array.reshape(-1, {shape[2]}) with "
            f"chains={shape[0]} if these are Markov chains"
        )
    return "an array of networks times points, array.reshape(len(array), -1)"


def off_device(array: Any) -> Any:
    """A tensor of PyTorch, or a list of them, without gradients and on the host, known by its methods; others as given.

    >>> off_device([1.0])
    [1.0]
    """
    if isinstance(array, list | tuple):
        return [off_device(one) if isinstance(getattr(one, "shape", None), tuple) else one for one in array]
    for name in ("detach", "cpu"):
        array = getattr(array, name, lambda array=array: array)()
    return array


def float_type(dtype: np.dtype, *, parts: bool) -> np.dtype:
    """The precision samples are read in: float32 where they are that, float64 of all else that is a real number."""
    if parts:
        if dtype.kind != "c":
            raise refused("complex samples for complex_parts=True", dtype, "leaving complex_parts out")
        return np.dtype(np.float32 if dtype.itemsize <= 8 else np.float64)
    if dtype.kind not in "fiu":
        advice = "the real part, or complex_parts=True, both parts as outputs" if dtype.kind == "c" else ""
        raise refused("samples that are real numbers", dtype, advice or "array.astype(float)")
    return np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)


def orientation(shape: tuple[int, ...], count: int, dims: Any, named: tuple[str, ...] | None) -> bool:
    """Whether the axes are (point, network), from their names, the `dims` of the caller or the number of points."""
    if named is not None and sorted(named) == sorted(AXES):
        if dims is not None and tuple(dims) != named:
            raise refused(f"dims={named}, as the array is labelled", tuple(dims), "leaving dims out")
        dims = named
    elif named is not None and dims is None:
        raise refused(f"axes named {AXES}", named, f"array.rename(...) or dims={AXES}")
    if dims is not None and sorted(dims) != sorted(AXES):
        raise refused(f"dims={AXES} or {AXES[::-1]}", repr(dims), f"dims={AXES}")
    if dims is None and shape == (count, count):
        advice = f"dims={AXES} (--dims network,point) where a row is a network"
        raise refused("dims= where there are as many networks as points", shape, advice)
    if dims is None and shape[0] == count and shape[1] != count:
        advice = '.T or dims=("point", "network") (--dims point,network)'
        raise refused(f"samples of shape (network, point) with {count} points", shape, advice)
    flip = dims is not None and tuple(dims) == AXES[::-1]
    if shape[0 if flip else 1] != count:
        got = f"{shape[::-1] if flip else shape} (network, point) and {count} points"
        raise refused("as many columns as points", got, "the points these networks were evaluated at")
    return flip


def three_axes(shape: tuple[int, ...], count: int, dims: Any, named: tuple[str, ...] | None) -> tuple[int, ...]:
    """Where the axes network, point and output are, from their names or, without any, in this order."""
    order = tuple(dims if dims is not None else named or FIELDS)
    if sorted(order) != sorted(FIELDS) or (named is not None and sorted(named) == sorted(FIELDS) and order != named):
        raise refused(f"three axes named {named or FIELDS}", order, f"array.rename(...) or dims={FIELDS}")
    axes = tuple(order.index(name) for name in FIELDS)
    if shape[axes[1]] != count:
        got = f"{tuple(shape[k] for k in axes)} (network, point, output) and {count} points"
        raise refused("as many points as the second axis", got, "dims= with the order of the axes")
    return axes


class Refused(ValueError):
    """A refusal of ours, whose words stay as they are where the errors of foreign readers are put in words."""


def refused(expected: str, got: Any, advice: str) -> Refused:
    """The refusal of an array, in the words of the house."""
    return Refused(f"expected {expected}, got {got}; try {advice}")
