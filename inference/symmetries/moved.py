"""The same networks at moved points, and their derivatives: a program run again with the numbers it has drawn.

All random sites keep their values, so that each network is compared with itself; derivatives are forward-mode, of the
field with respect to its inputs along a direction at each point.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers
from numpyro.primitives import Messenger

from ...models.networks.model import AbstractModel, as_model
from ...models.types import Inputs, Points
from ..ensembles.ensemble import Ensemble
from ..ensembles.source import Source
from .groups import Moves

__all__ = ["at_further_points", "at_moved_points"]

_SITE = "moved field"


class Moved(AbstractModel):
    """A model at given points and further ones, with derivatives at the former, as a field of more points.

    Attributes:
        model: the program.
        of: the site of its field.
        points: the given points, then the further ones, (point, axis), as nested tuples.
        along: directions at the given points, likewise, one table a derivative.
    """

    model: Any
    of: str = eqx.field(static=True)
    points: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    along: tuple[tuple[tuple[float, ...], ...], ...] = eqx.field(static=True)

    def __call__(self, points: Inputs) -> Any:
        x = jnp.array(self.points)
        keys = _Keys()
        with keys, handlers.trace() as trace:
            self.model(x)
        drawn = {n: s["value"] for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}

        def field(at: jax.Array) -> jax.Array:
            with handlers.block(), keys.again(), handlers.trace() as again, handlers.substitute(data=drawn):
                self.model(at)
            return _rows(again[self.of]["value"])

        parts = [_rows(trace[self.of]["value"])]
        for direction in self.along:
            step = jnp.array(direction)
            parts.append(jax.jvp(field, (x[: len(direction)],), (step,))[1])
        phi = jnp.concatenate(parts)
        return numpyro.deterministic(_SITE, phi if phi.shape[1] > 1 else phi[:, 0])

    @property
    def outputs(self) -> int:
        return as_model(self.model).outputs

    def beside(self, points: Inputs) -> int:
        return as_model(self.model).beside(jnp.array(self.points))


class _Keys(Messenger):
    """The keys that a program asks for (`numpyro.prng_key`), to be given to it again where it is run again."""

    def __init__(self, given: list[Any] | None = None) -> None:
        super().__init__()
        self.given: list[Any] = list(given or ())
        self._left = iter(self.given)

    def again(self) -> "_Keys":
        return _Keys(self.given)

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "prng_key":
            msg["value"] = next(self._left, None)

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "prng_key":
            self.given.append(msg["value"])


def at_moved_points(source: Source, moves: Moves) -> Source:
    """A source whose points are those of another one, the further ones, and one for every derivative of a point.

    Raises:
        ValueError: an array, which holds no fields at other points.
    """
    if not moves.beyond:
        return source
    program = source.program
    if program is None:
        where = f"at {moves.further[0].tolist()}" if len(moves.further) else "differentiated"
        raise ValueError(
            f"expected a group that takes the points to each other, got one that asks for the field {where}, which an "
            "array does not hold; try a shift between points, inf.Translations((0.5,), period=...), or an Ensemble"
        )
    model = Moved(program.model, program.site, _tuples(np.concatenate([source.points, *_given(moves)])), _along(moves))
    count = len(model.points) + sum(map(len, model.along))
    return Ensemble(
        model,
        points=np.arange(float(count))[:, None],  # only their number matters
        n=program.n,
        key=program.key,
        site=_SITE,
        dtype=program.dtype,
        complex_parts=program.complex_parts,
    )


def at_further_points(source: Source, moves: Moves) -> Source:
    """The networks of a program at the given points and the further ones, as its own model draws them."""
    program = source.program
    if program is None or not len(moves.further):
        return source
    return Ensemble(
        program.model,
        points=np.concatenate([source.points, moves.further]),
        n=program.n,
        key=program.key,
        site=program.site,
        dtype=program.dtype,
        complex_parts=program.complex_parts,
    )


def _given(moves: Moves) -> list[Points]:
    return [moves.further] if len(moves.further) else []


def _along(moves: Moves) -> tuple[Any, ...]:
    return tuple(_tuples(direction) for direction in moves.along)


def _tuples(table: Points) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, np.asarray(table, dtype=float).tolist()))


def _rows(field: jax.Array) -> jax.Array:
    """A field as (point, output)."""
    return field[:, None] if field.ndim == 1 else field
