"""Gradient descent on all parameters of a network, with any optimiser of optax: what people mean by training.

Full gradients of the loss (1/2) sum (phi(X) - y)^2, or of minibatches of it, scaled to the whole; parameters in units
of the deviation of their law (NTK parameterisation). Steps of size `rate`, time t = rate x step: at small rates plain
descent is gradient flow. At N = infinity phi_t(x) = phi_0(x) + T_xX T_XX^-1 (1 - (1 - rate T_XX)^k) r after k steps,
T the neural tangent kernel, r = y - phi_0(X) (arXiv:1806.07572, 1902.06720).
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import optax
from jaxtyping import Array, Float

from ..refusals import is_whole
from ..types import Inputs, Matrix
from .lesson import Field, Lesson
from .way import AbstractWay, Kernels

__all__ = ["Descent", "half_squares"]


def half_squares(phi: Float[Array, " sample"], targets: Float[Array, " sample"]) -> Float[Array, ""]:
    """(1/2) sum (phi - y)^2."""
    return 0.5 * jnp.sum((phi - targets) ** 2)


class Descent(AbstractWay):
    """Steps of an optimiser of optax on all parameters.

    Attributes:
        rate: size of a step.
        steps: after how many steps the field is looked at, ascending; 0 is the start.
        optimiser: rate -> an optimiser of optax, as `optax.sgd`, `optax.adam`.
        batch: samples of a minibatch, drawn anew at every step; None for all of them.
        loss: (phi(X), y) -> a number.
        sites: the parameters that move; None for all.

    Raises:
        ValueError: a rate that is not positive, no steps or negative ones, a batch below one.

    Example:
        >>> Descent(rate=0.02, steps=(0, 50)).times
        (0.0, 1.0)
    """

    rate: float = eqx.field(static=True)
    steps: tuple[int, ...] = eqx.field(
        static=True, converter=lambda given: tuple(given) if isinstance(given, tuple | list) else (given,)
    )
    optimiser: Callable[[float], Any] = eqx.field(static=True, default=optax.sgd)
    batch: int | None = eqx.field(static=True, default=None)
    loss: Callable[[Any, Any], Any] = eqx.field(static=True, default=half_squares)
    sites: tuple[str, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if not (isinstance(self.rate, float | int) and isfinite(self.rate) and self.rate > 0.0):
            raise ValueError(f"expected rate, the size of a step, above 0, got {self.rate!r}; try rate=0.01")
        if not self.steps or not all(is_whole(s, 0) for s in self.steps) or list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"expected numbers of steps >= 0 in ascending order, got {self.steps!r}; try (0, 100)")
        if self.batch is not None and not is_whole(self.batch, 1):
            raise ValueError(f"expected batch, samples of a step, to be at least 1, got {self.batch!r}; try batch=32")
        if not callable(self.optimiser) or not hasattr(self.optimiser(self.rate), "update"):
            raise ValueError(f"expected optimiser, rate -> one of optax, got {self.optimiser!r}; try optax.adam")

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(self.rate * step for step in self.steps)

    def learn(self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array) -> Float[Array, "time point"]:
        phi, losses = self.watched(field, lesson, points, key)
        numpyro.deterministic("loss", losses)
        return phi

    @property
    def remedy(self) -> str:
        return f"a rate below {self.rate:g}; inf.losses(ensemble, [network]) shows its loss step by step"

    def watched(
        self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array
    ) -> tuple[Float[Array, "time point"], Float[Array, " step"]]:
        """The field at each time, and the loss before each step."""
        samples = len(lesson.targets)
        if self.batch is not None and self.batch > samples:
            raise ValueError(f"expected a batch of at most {samples} samples, got {self.batch}; try batch=None")
        moves = tuple(field.start) if self.sites is None else self.sites
        if missing := [name for name in moves if name not in field.start]:
            raise ValueError(f"expected sites among {sorted(field.start)}, got {missing[0]!r}; try sites=None, all")
        rest = {name: u for name, u in field.start.items() if name not in moves}
        optimiser = self.optimiser(self.rate)

        def loss(moving: dict[str, jax.Array], inputs: Any, targets: Any) -> jax.Array:
            return jnp.asarray(self.loss(field.at({**rest, **moving}, inputs), targets))

        def step(state: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
            moving, memory = state
            chosen, share = lesson, 1.0
            if self.batch is not None:
                rows = jax.random.choice(key, samples, (self.batch,), replace=False)
                chosen, share = Lesson(lesson.inputs[rows], lesson.targets[rows]), samples / self.batch
            value, slope = jax.value_and_grad(loss)(moving, *chosen)
            change, memory = optimiser.update(jax.tree.map(lambda g: share * g, slope), memory, moving)
            return (optax.apply_updates(moving, change), memory), share * value

        moving = {name: field.start[name] for name in moves}
        state, now, seen, losses = (moving, optimiser.init(moving)), 0, [], []
        for target in self.steps:
            keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(now, target))
            state, lost = jax.lax.scan(step, state, keys)
            now = target
            losses.append(lost)
            seen.append(field.at({**rest, **state[0]}, points))
        return jnp.stack(seen), jnp.concatenate(losses)

    def kernel(self, kernels: Kernels) -> Matrix:
        if self.sites is not None and set(self.sites) != {"readout"}:
            raise ValueError(
                "expected all parameters to move, or the readout alone, whose kernels are known, got "
                f"sites={self.sites}; try sites=None, or inf.measure"
            )
        return kernels.tangent() if self.sites is None else kernels.readout

    def response(self, kernel: Float[Array, "sample sample"], time: float) -> Float[Array, "sample sample"]:
        """Of plain descent on half squares: the others have no such limit."""
        if self.optimiser is not optax.sgd or self.loss is not half_squares or self.batch is not None:
            raise ValueError(
                "expected plain gradient descent on half squares, whose limit N = infinity is a Gaussian process, got "
                f"{self}; try m.Descent(rate, steps)"
            )
        level, axes = jnp.linalg.eigh(kernel)
        if float(jnp.max(level)) * self.rate >= 2.0:
            raise ValueError(
                f"expected a rate below 2/{float(jnp.max(level)):.3g}, beyond which descent diverges at N = infinity, "
                f"got {self.rate:g}; try rate={1.0 / float(jnp.max(level)):.2g}"
            )
        steps = round(time / self.rate)
        left = (1.0 - self.rate * level) ** steps
        return (axes * jnp.where(level > 0.0, (1.0 - left) / jnp.where(level > 0.0, level, 1.0), time)) @ axes.T
