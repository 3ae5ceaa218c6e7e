"""A trained network is a random function as well: its law is that of the initial network, carried along by training.

`Trained(net, inputs, targets, way)` is a NumPyro program of the points: it draws a network, lets it learn, and
registers the field. So ensembles, correlators, fits, symmetries and pages take trained networks as they take others.
Looked at after several times a network has as many fields, in the order of the times, and correlators between times
are those between outputs; ensembles of the same key are the same networks at the start.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from ..correlators import check_points
from ..networks.model import AbstractModel, as_model
from ..types import Inputs, Points, Vector
from .lesson import Lesson, drawn
from .way import AbstractWay

__all__ = ["Trained"]

Rows = tuple[tuple[float, ...], ...]


def _rows(given: Any) -> Any:
    """An array as tuples, so that equal data make equal models."""
    array = np.asarray(given, dtype=float)
    if array.ndim != 2:
        raise ValueError(f"expected inputs of shape (sample, axis), got {array.shape}; try x[:, None] in one dimension")
    return tuple(map(tuple, array.tolist()))


def _numbers(given: Any) -> Any:
    array = np.asarray(given, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"expected targets of shape (sample,), got {array.shape}; try y[:, 0] of one column")
    return tuple(array.tolist())


class Trained(AbstractModel):
    """Networks of a program after they have learned.

    Attributes:
        net: a NumPyro program of the points that registers `phi`, (point,): `Network`, `Deep`, or one's own.
        inputs: X, (sample, axis).
        targets: y, (sample,).
        way: how they learn: `LastLayer(times)`, `Bayes(noise)`, `Descent(rate, steps)`.

    Raises:
        ValueError: inputs that are not finite and distinct, as many targets as inputs missed, something that is no way
            of learning.

    Example, one network at the points, before and after:
        >>> from nnft.models import Erf, LastLayer, Network
        >>> net = Trained(Network(Erf(), 16), [[-1.0], [0.6]], [1.0, -0.5], LastLayer((0.0, 2.0)))
        >>> numpyro.handlers.seed(net, jax.random.key(0))(np.array([[-0.2], [0.6], [1.4]])).shape
        (3, 2)
    """

    net: Any
    inputs: Rows = eqx.field(static=True, converter=_rows)
    targets: tuple[float, ...] = eqx.field(static=True, converter=_numbers)
    way: AbstractWay

    def __check_init__(self) -> None:
        if not callable(self.net) or isinstance(self.net, type):
            raise ValueError(f"expected a program of the points, got {self.net!r}; try m.Network(m.Erf(), 20)")
        if as_model(self.net).outputs > 1:
            raise ValueError(f"expected a network of one output, got {as_model(self.net).outputs}; try m.Network")
        check_points(np.array(self.inputs))
        if len(self.targets) != len(self.inputs):
            raise ValueError(
                f"expected a target for each of {len(self.inputs)} inputs, got {len(self.targets)}; try leaving out "
                "the inputs without one"
            )
        if not np.all(np.isfinite(self.targets)):
            raise ValueError(f"expected finite targets, got {self.targets}; try leaving out what is missing")
        if not isinstance(self.way, AbstractWay):
            raise ValueError(
                f"expected a way of learning, got {self.way!r}; try m.LastLayer((0.0, 2.0)), m.Bayes(noise=0.1) or "
                "m.Descent(rate=0.02, steps=(0, 50))"
            )

    @property
    def data(self) -> tuple[Points, Vector]:
        """X, (sample, axis), and y, (sample,)."""
        return np.array(self.inputs), np.array(self.targets)

    @property
    def name(self) -> str:
        return f"{as_model(self.net).name} trained by {type(self.way).__name__}"

    @property
    def outputs(self) -> int:
        """One a time."""
        return len(self.way.times)

    @property
    def remedy(self) -> str:
        return self.way.remedy

    def check(self, points: Inputs, key: Any) -> None:
        """Refuse a program that this way of learning is not for, by one network of it."""
        field, lesson = drawn(self.net, key, jnp.asarray(points)), self._lesson()
        shape = jnp.shape(field.at(field.start, lesson.inputs))
        if shape != lesson.targets.shape:
            raise ValueError(
                f"expected a network with one number an input, {lesson.targets.shape}, got {shape}; try phi[:, 0]"
            )
        self.way.check(field, lesson, points)

    def __call__(self, points: Inputs) -> Float[Array, "*both"]:
        """Draw one network, let it learn and return its field, (point,), or (point, time) of several times."""
        x = jnp.asarray(points)
        if x.ndim != 2 or x.shape[1] != len(self.inputs[0]):
            raise ValueError(
                f"expected points (point, {len(self.inputs[0])}) as the inputs it learned at, got shape {x.shape}; try "
                "points[:, None] in one dimension"
            )
        first, second = jax.random.split(jnp.asarray(numpyro.prng_key()))
        lesson = self._lesson()
        field = drawn(self.net, first, x)
        # Recorded for their number, which decides how many networks are drawn at a time.
        numpyro.deterministic("parameters", jnp.concatenate([u.ravel() for u in field.start.values()]))
        phi = self.way.learn(field, lesson, x, second).T
        return jnp.asarray(numpyro.deterministic("phi", phi[:, 0] if self.outputs == 1 else phi))

    def _lesson(self) -> Lesson:
        dtype = jnp.result_type(float)
        return Lesson(jnp.asarray(self.inputs, dtype), jnp.asarray(self.targets, dtype))
