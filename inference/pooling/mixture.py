"""Correlators of networks whose readout has learned, from their hidden layers alone: a mixture of Gaussians.

Given the hidden layers the field after training of a Gaussian readout is Gaussian, with mean m_t and covariance C_t
(`models/training/last_layer.py`). So <phi..phi> is the average over hidden layers of its Wick polynomial in m and C,
without the noise of the readout: k3 = k3(m) + 3 Cov(m, C), k4 = k4(m) + 6 k3(m, m, C) + 3 Var(C) at one point.
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from ...models.combinatorics import sorted_tuples, tuple_count
from ...models.correlators import Correlators
from ...models.networks.model import as_model
from ...models.training.last_layer import LastLayer, check_normal
from ...models.training.lesson import Lesson, drawn
from ...models.training.trained import Trained
from ..ensembles.ensemble import Ensemble
from ..ensembles.moments import MAX_COMPONENTS
from ..estimators.measure import measure

__all__ = ["measure_mixture"]


def measure_mixture(
    ensemble: Ensemble[Any], which: int = 0, *, orders: tuple[int, ...] = (1, 2, 3, 4), progress: bool = False
) -> Correlators:
    """Correlators at one time of training, the readout integrated out.

    Args:
        ensemble: of a `m.Trained` whose way is `m.LastLayer`, of a network with a Gaussian readout.
        which: number of the time.
        orders: 1 to the highest of these are averaged.
        progress: a bar.

    Returns:
        Correlators with covariance over hidden layers, `networks` of them.

    Raises:
        ValueError: another ensemble; a readout that is not Gaussian; a time that it does not have; too many components.

    Example:
        >>> from nnft import models as m
        >>> net = m.Trained(m.Network(m.Erf(), 16), [[-1.0], [0.6]], [1.0, -0.5], m.LastLayer((0.0, 2.0)))
        >>> ens = Ensemble(net, points=np.array([[0.2]]), n=20_000, key=jax.random.key(0))
        >>> measure_mixture(ens, 1).orders
        (1, 2, 3, 4)
    """
    model = ensemble.model if isinstance(ensemble, Ensemble) else None
    if not isinstance(model, Trained) or not isinstance(model.way, LastLayer):
        what = repr(ensemble) if model is None else as_model(model).name
        raise ValueError(
            f"expected an ensemble of networks whose readout has learned, got {what:.80}; "
            "try m.Trained(net, X, y, m.LastLayer((0.0, 2.0))), or inf.measure"
        )
    check_normal(drawn(model.net, ensemble.key, jnp.asarray(ensemble.points)), model.way.sites)
    if not 0 <= which < model.outputs:
        raise ValueError(f"expected the number of one of {model.outputs} times, got {which!r}; try {model.outputs - 1}")
    top, count = max(orders, default=0), len(ensemble.points)
    sizes = {r: tuple_count(count, r) for r in range(1, top + 1)}
    if not 1 <= top <= 6 or sum(sizes.values()) > MAX_COMPONENTS:
        raise ValueError(
            f"expected orders 1 to 6 of at most {MAX_COMPONENTS} components, got order {top} of "
            f"{sum(sizes.values())}; try orders=(1, 2, 3, 4), or fewer points"
        )
    wick = _Wick(model, tuple(map(tuple, ensemble.points.tolist())), which, top)
    rows = np.arange(float(sum(sizes.values())))[:, None]
    averages = measure(
        Ensemble(wick, points=rows, n=ensemble.n, key=ensemble.key, dtype=np.float64), orders=(1,), progress=progress
    )
    edges = np.cumsum([0, *sizes.values()])
    moments = {r: averages.moment(1)[edges[r - 1] : edges[r]] for r in sizes}
    found = Correlators.from_arrays(
        ensemble.points,
        moments=moments,
        covariance=averages.covariance(1, "moment"),
        networks=averages.networks,
        dof=averages.dof,
        even=False,
        about={"space": "readout", "model": repr(model), "time": model.way.times[which]},
    )
    kept = {r: value for r, value in found.cumulants.items() if r in orders}
    return replace(found, cumulants=kept, moments={r: found.moments[r] for r in kept})


class _Wick(eqx.Module):
    """NumPyro model of the Wick polynomials of one draw of hidden layers, all orders after each other, site `phi`."""

    model: Trained
    points: tuple[tuple[float, ...], ...]
    which: int
    top: int

    def __call__(self, _: Any) -> Float[Array, " component"]:
        x, (inputs, targets) = jnp.asarray(self.points), self.model.data
        key, _ = jax.random.split(jnp.asarray(numpyro.prng_key()))
        lesson = Lesson(jnp.asarray(inputs, x.dtype), jnp.asarray(targets, x.dtype))
        field = drawn(self.model.net, key, x)
        numpyro.deterministic("parameters", jnp.concatenate([u.ravel() for u in field.start.values()]))
        way = self.model.way
        assert isinstance(way, LastLayer)
        means, covariances = way.conditional(field, lesson, x)
        mean, covariance = means[self.which], covariances[self.which]
        known: dict[tuple[int, ...], Any] = {(): jnp.ones(())}
        out = []
        for order in range(1, self.top + 1):
            for row in sorted_tuples(len(self.points), order).tolist():
                first, rest = row[0], tuple(row[1:])
                total = mean[first] * known[rest]
                for k, other in enumerate(rest):
                    total = total + covariance[first, other] * known[rest[:k] + rest[k + 1 :]]
                known[tuple(row)] = total
                out.append(total)
        return jnp.asarray(numpyro.deterministic("phi", jnp.stack(out)))
