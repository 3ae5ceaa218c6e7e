"""What a smooth prior says of couplings at points that were not fitted, with error.

Given hyper-parameters and couplings of a draw, the process at other points is Gaussian, f* | theta ~ N(k* S^-1 theta,
k** - k* S^-1 k*^T) with S = a^2 k + d^2: drawn for every draw. These are values of lambda_i(x,y) as functions, of an
action on the fitted points. The marginal density on more points, or others, has other couplings: compare sets of points
through predicted correlators, never by their couplings.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ...models.actions.rungs import bilocal_blocks, gauge
from ...models.correlators import check_points
from ...models.runtime import settled
from ...models.types import Points, Vector
from .smooth import BLOCKS, smooth_kernel

__all__ = ["interpolate"]

_DRAWS = 500
_JITTER = 1e-10  # of a^2, for the Cholesky factor of a smooth kernel
_STATIONARY = 1e-6


@settled(None)
def interpolate(fit: xr.DataTree, points: Points, *, key: jax.Array, variance: Vector | None = None) -> xr.Dataset:
    """Draws of lambda_i(x,y) at other points from a fit with a smooth prior.

    Args:
        fit: from `inf.fit(data, m.Bilocal(), prior=inf.SmoothPrior(), ...)`.
        points: where, (point, axis).
        key: `jax.random.key(seed)`.
        variance: <phi^2> at these points, (point,), the unit couplings are smooth in; default that of the fitted points
            where it is the same at all of them.

    Returns:
        g, u, v and lam at the new points, of at most 500 draws, dims (draw, ...); the statement on other sets of points
        in attrs["note"].

    Raises:
        ValueError: a fit with another prior; a field whose variance differs from point to point, without `variance`.

    Example, what a fit with another prior is told:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> interpolate(fit, np.array([[1.0]]), key=jax.random.key(1))
        Traceback (most recent call last):
        ValueError: expected a fit with a smooth prior to interpolate, got ...
    """
    if "amplitude" not in fit["posterior"].data_vars:
        raise ValueError(
            f"expected a fit with a smooth prior to interpolate, got {fit.attrs['action']} without its amplitude; try "
            "inf.fit(data, m.Bilocal(), prior=inf.SmoothPrior(), key=key)"
        )
    target = check_points(points)
    constants, posterior = fit["constant_data"].to_dataset(), fit["posterior"].to_dataset()
    fitted = constants["x_position"].values
    if target.shape[1] != fitted.shape[1]:
        raise ValueError(f"expected points with {fitted.shape[1]} coordinates, got {target.shape[1]}; try the same d")
    own = constants["scale"].values ** 2 if "scale" in constants else np.diag(constants["metric"].values)
    if variance is None:
        if np.ptp(own) > _STATIONARY * own.max():
            raise ValueError(
                f"expected variance= at the new points, since <phi^2> runs from {own.min():.3g} to {own.max():.3g} at "
                "the fitted ones, got none; try np.diag(m.exact(net, points, orders=(2,)).tensor(2))"
            )
        variance = np.full(len(target), own[0])
    size = np.sqrt(np.asarray(variance, dtype=float))
    stacked = posterior.stack(draw_of=("chain", "draw"))
    step = max(1, stacked.sizes["draw_of"] // _DRAWS)
    draws = stacked.isel(draw_of=slice(None, None, step))
    norms = np.split(constants["factors"].values[int(constants.attrs["quadratic_terms"]) :], _edges(len(fitted)))
    values: dict[str, np.ndarray] = {}
    with settled():
        for k, name in enumerate(_present(len(fitted))):
            theta = draws[name].transpose("draw_of", ...).values * norms[k]
            hyper = [draws[h].transpose("draw_of", ...).values[:, k] for h in ("amplitude", "length")]
            spread = (
                draws["discrepancy"].transpose("draw_of", ...).values[:, k]
                if "discrepancy" in draws
                else 1e-4 * hyper[0]
            )
            keys = jax.random.split(jax.random.fold_in(key, k), len(theta))
            scaled = _draws((theta, *hyper, spread, keys), name, fitted, target)
            values[name] = scaled / _norm(name, size)
    values = {name: values.get(name, np.zeros((len(scaled), 0))) for name in BLOCKS}
    labels = bilocal_blocks(len(target))
    lam = gauge(values, np.ones(len(target)))
    names = {name: [",".join(map(str, row)) for row in labels[name]] for name in ("u", "v")}
    return xr.Dataset(
        {
            "g": (("draw", "x"), values["g"]),
            "u": (("draw", "ordered_pair"), values["u"]),
            "v": (("draw", "cross_pair"), values["v"]),
            "lam": (("draw", "i", "x", "y"), lam),
        },
        coords={
            "x_position": (("x", "axis"), target),
            "ordered_pair": np.array(names["u"], dtype=object),
            "cross_pair": np.array(names["v"], dtype=object),
        },
        attrs={"note": "lambda_i as functions, of an action on the fitted points: the marginal on others has others"},
    )


def _present(points: int) -> list[str]:
    return [name for name in BLOCKS if len(bilocal_blocks(points)[name])]


def _edges(points: int) -> np.ndarray:
    return np.cumsum([len(bilocal_blocks(points)[name]) for name in _present(points)])[:-1]


def _norm(name: str, size: Vector) -> Vector:
    """Scaled over physical coupling: the product of the four sqrt(<phi^2>)."""
    labels = bilocal_blocks(len(size))[name]
    powers = {"g": (4, 0), "u": (1, 3), "v": (2, 2)}[name]
    return size[labels[:, 0]] ** powers[0] * size[labels[:, -1]] ** powers[1]


def _draws(columns: tuple[Any, ...], name: str, fitted: np.ndarray, target: np.ndarray) -> np.ndarray:
    def one(*row: Any) -> jax.Array:
        return _conditional(*row, name=name, fitted=fitted, target=target)

    return np.asarray(jax.jit(jax.vmap(one))(*columns))


def _conditional(
    theta: jax.Array,
    amplitude: jax.Array,
    length: jax.Array,
    spread: jax.Array,
    key: jax.Array,
    *,
    name: str,
    fitted: np.ndarray,
    target: np.ndarray,
) -> jax.Array:
    """One draw of f* given the couplings of one draw."""
    within = amplitude**2 * smooth_kernel(fitted, fitted, name, length)
    factor = jnp.linalg.cholesky(within + (spread**2 + _JITTER * amplitude**2) * jnp.eye(len(within)))
    across = jax.scipy.linalg.solve_triangular(
        factor, amplitude**2 * smooth_kernel(fitted, target, name, length), lower=True
    )
    mean = across.T @ jax.scipy.linalg.solve_triangular(factor, theta, lower=True)
    own = amplitude**2 * smooth_kernel(target, target, name, length) - across.T @ across
    root = jnp.linalg.cholesky(own + 1e2 * _JITTER * amplitude**2 * jnp.eye(len(own)))
    return mean + root @ jax.random.normal(key, mean.shape)
