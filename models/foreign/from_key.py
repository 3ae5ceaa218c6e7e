"""Any JAX function that draws a random field from a key: draw(key, points) is all that is asked of it.

A module of Equinox or Flax, a random feature map, a Gaussian process by Cholesky: made from the key, evaluated at the
points, it is one network, and the key of the ensemble's recipe makes the next; trained inside the function, it is a
trained one. Nothing is known of its law, so that all there is to say of it is measured; what can be seen of a few draws
is looked at before many are made (`trial.py`).
"""

from collections.abc import Callable
from inspect import signature
from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from jaxtyping import Array, Float

from ..networks.model import AbstractModel
from ..refusals import is_whole
from ..types import Inputs
from .trial import try_out, widest

__all__ = ["FromKey"]


class FromKey(AbstractModel):
    """The random field phi(x) = draw(key, x), one network a key; a model like any other for `inf.Ensemble`.

    Network i of an ensemble is `numpyro.handlers.seed(model, jax.random.fold_in(key, i))(points)`, of the ensemble's
    key (under `jax.threefry_partitionable(False)`, the layout of random numbers that ensembles are drawn with).

    Attributes:
        draw: function of a key and the points, (point, axis), to one network's field, (point,), or (point, output);
            real, or complex with `complex_parts=True` of the ensemble. It makes all its random numbers from the key,
            with `jax.random`, and is what `jax.jit` can trace. A module that takes one point at a time goes through
            `jax.vmap`.
        outputs: number D of fields that it returns.
        shape: of one point as `draw` sees it, (28, 28) of an image: points stay rows of numbers, (point, axis), and are
            given to it as (point, *shape).

    Raises:
        ValueError: no function, no whole number of outputs, a shape that is none; where an ensemble is made of it, a
            field of the wrong shape or of numbers that are no floats, a function that JAX cannot trace, that is not
            random in its key, that draws random numbers elsewhere, or gives numbers that are not finite.

    Example, an Equinox network from its definition to its correlators:
        >>> import equinox, jax, numpy as np
        >>> from nnft import inference as inf
        >>> def draw(key, points):
        ...     return jax.vmap(equinox.nn.MLP(1, "scalar", width_size=8, depth=1, key=key))(points)
        >>> ens = inf.Ensemble(FromKey(draw), points=np.array([[-1.0], [1.0]]), n=500, key=jax.random.key(0))
        >>> inf.measure(ens, orders=(2,)).connected(2).shape
        (3,)
    """

    draw: Callable[[Array, Array], Any]
    outputs: int = eqx.field(static=True, default=1)
    shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if not callable(self.draw) or isinstance(self.draw, type) or not _takes_two(self.draw):
            raise ValueError(
                f"expected a function draw(key, points), got {self.draw!r:.80}; try m.FromKey(lambda key, x: ...), "
                "of a module lambda key, x: jax.vmap(Net(key=key))(x)"
            )
        if not is_whole(self.outputs, 1):
            raise ValueError(f"expected outputs, a number of fields, to be at least 1, got {self.outputs!r}; try 1")
        if self.shape is not None and not (
            isinstance(self.shape, tuple) and self.shape and all(is_whole(s, 1) for s in self.shape)
        ):
            raise ValueError(
                f"expected the shape of one point, a tuple of whole numbers, got {self.shape!r}; try shape=(28, 28)"
            )

    def __call__(self, points: Inputs) -> Any:
        """Draw one network and register phi at the points, (point,) or (point, output)."""
        key = numpyro.prng_key()
        if key is None:
            raise ValueError(
                "expected a key from a seed handler, got none; try numpyro.handlers.seed(model, jax.random.key(0))("
                "points), or inf.Ensemble(model, ...)"
            )
        return numpyro.deterministic("phi", self.field(key, points))

    def field(self, key: jax.Array, points: Inputs) -> Float[Array, "point *output"] | Any:
        """One network's field from its key, (point,), or (point, output), complex where `draw` gives that."""
        x = jnp.asarray(points)
        if self.shape is not None:
            if x.shape[1] != prod(self.shape):
                raise ValueError(
                    f"expected points of {prod(self.shape)} numbers for shape={self.shape}, got {x.shape[1]} of each; "
                    "try images.reshape(len(images), -1)"
                )
            x = x.reshape(len(x), *self.shape)
        try:
            phi = self.draw(key, x)
            made = jnp.asarray(phi)
        except jax.errors.JAXTypeError as error:
            raise ValueError(
                f"expected a function that JAX can trace, got {_first_line(error)} in {self.name}; try jnp in place of "
                "np, jnp.where or jax.lax.cond in place of if, and numbers from jax.random"
            ) from error
        except Exception as error:
            raise ValueError(
                f"expected draw(key, points) to give a field at points {x.shape}, got {_first_line(error)} in "
                f"{self.name}; try draw(jax.random.key(0), points) by itself, jax.vmap(net)(points) of a module of one "
                "point, modules made inside draw, jax.random.key_data(key) for the words of the key"
            ) from error
        self._check_field(made, len(x))
        return made

    @property
    def name(self) -> str:
        return getattr(self.draw, "__name__", type(self.draw).__name__)

    def check(self, points: Inputs, key: jax.Array) -> None:
        """Refuse what a few draws show; `trial.py` says how.

        Raises:
            ValueError: the same field from all keys, other fields from the same key, a number that is not finite.
        """
        again = self.field
        if isinstance(self.draw, jax.stages.Wrapped):  # compiled by its owner, it keeps its first tracing
            inside = getattr(self.draw, "__wrapped__", self.draw)  # one layer only: jax.vmap has one of its own
            again = FromKey(inside, self.outputs, self.shape).field
        try_out(self.field, again, points, key, self.name)

    def beside(self, points: Inputs) -> int:
        """The numbers of its largest step, weights and activations of one network: they decide how many go at once."""
        return widest(self.field, points)

    def _check_field(self, phi: Array, count: int) -> None:
        wanted = (count,) if self.outputs == 1 else (count, self.outputs)
        if phi.shape != wanted:
            words = "(point,)" if self.outputs == 1 else "(point, output)"
            raise ValueError(
                f"expected a field of shape {words} = {wanted} from {self.name}, got {phi.shape}; try "
                + self._shape_advice(phi.shape, count)
            )
        if not jnp.issubdtype(phi.dtype, jnp.inexact) or phi.dtype.itemsize < 4:
            raise ValueError(
                f"expected a field of float32 or float64 numbers, or complex ones, from {self.name}, got {phi.dtype}; "
                "try .astype(jnp.float32) at its end"
            )

    def _shape_advice(self, shape: tuple[int, ...], count: int) -> str:
        """What to write instead, from the shape that came."""
        if shape == ():
            return "jax.vmap(net)(points), one number a point"
        if self.outputs == 1 and shape == (count, 1):
            return "[..., 0] at its end"
        if shape[:-1] and shape[-1] == count and prod(shape) == count * self.outputs:
            return "[0] at its end" if self.outputs == 1 else ".T at its end: the point comes first"
        if self.outputs == 1 and len(shape) == 2 and shape[0] == count:
            return f"m.FromKey(draw, outputs={shape[1]})"
        return "one number a point" + ("" if self.outputs == 1 else f" and output, outputs={self.outputs} of them")


def _takes_two(draw: Callable[..., Any]) -> bool:
    """Whether it can be called with a key and the points, as far as it says."""
    try:
        signature(draw).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # nothing is known of it
        return True
    return True


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
