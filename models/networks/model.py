"""A program that draws a field, and answers for what is known of the field without a draw."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..arrays import dense
from ..display import card, fields_of
from ..neurons.base import brings, forget
from ..refusals import NOT_FINITE, NotKnown
from ..types import Inputs, Matrix, Points
from .independent import HIGHEST, Cumulants, Independent

__all__ = ["AbstractModel", "Program", "as_model", "check_takes_points", "shared_reasons"]


class AbstractModel(eqx.Module):
    """A NumPyro program that registers a field at the points, and what is known of it.

    `__call__` is enough to draw and to measure. A model that brings `cumulants` is known to `m.exact`; one that is a
    sum of independent neurons says so in `as_sum`, and the rest follows. What is known belongs to the program it was
    written for: a class that writes `__call__` anew takes over none of the answers of the class it derives from, and
    brings its own.

    Example, a field that is the same at all points and is a Gaussian of variance two:

        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from nnft.models import exact
        >>> class Constant(AbstractModel):
        ...     def __call__(self, points):
        ...         phi = numpyro.sample("phi0", dist.Normal(0.0, 2.0**0.5)) * jnp.ones(len(points))
        ...         return numpyro.deterministic("phi", phi)
        ...     def cumulants(self, points, top):
        ...         return Cumulants({2: np.full(len(points) * (len(points) + 1) // 2, 2.0)})
        ...     orders = (2,)
        >>> exact(Constant(), np.zeros((1, 1))).connected(2).tolist()
        [2.0]
    """

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        forget(cls, AbstractModel, "__call__")

    @abstractmethod
    def __call__(self, points: Inputs) -> Any:
        """Draw one network and register its field, (point,) or (point, output), at the site `phi`."""

    def check(self, points: Inputs, key: Any) -> None:
        """Look at the program before an ensemble of it is drawn; raises ValueError where something is wrong."""
        return

    def beside(self, points: Inputs) -> int:
        """Numbers that one network takes while it is drawn, where its sites do not show them; they size the blocks."""
        return 0

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def _repr_html_(self) -> str:
        orders = [f"G{order}c" for order in self.orders]
        few = orders if len(orders) < 5 else [*orders[:3], "..", orders[-1]]
        return card(self.name, [*fields_of(self), ("known exactly", ", ".join(few) or "no correlators: inf.measure")])

    @property
    def elsewhere(self) -> str:
        """What to try where it has no exact answer."""
        return "measuring it: inf.measure(inf.Ensemble(...))"

    @property
    def remedy(self) -> str:
        """What to try where its field is not finite."""
        return NOT_FINITE

    field_site: ClassVar[str] = "phi"
    """The site of the field that its answers are about."""

    @property
    def outputs(self) -> int:
        """Number of fields D: `__call__` registers (point,) where it is one, else (point, output)."""
        return 1

    @property
    def as_sum(self) -> Independent | None:
        """The sum of independent neurons that the field is, or None where that is not known."""
        return None

    @property
    def as_groups(self) -> Any:
        """The groups of independent neurons that feed several fields (`Multiplet`), or None where that is not known."""
        return None

    @property
    def orders(self) -> Sequence[int]:
        """Orders at which `cumulants` answers, even ones only where the law of the field is even.

        2, 4 and 6 for a model of one's own that brings them.
        """
        if brings(self, AbstractModel, "cumulants"):
            return (2, 4, 6)
        return () if self.as_sum is None else self.as_sum.orders

    def cumulants(self, points: Points, top: int) -> Cumulants:
        """Connected functions of order 2, 4, .., top with their errors and the rule behind them.

        points: (point, axis); the functions on sorted tuples of places, (component,). A place is a point, or, of D
        outputs, a point and an output, number point D + output. With odd `orders`, those up to top too.
        """
        if self.as_sum is None:
            raise NotKnown(
                f"expected a model that brings `cumulants`, its connected functions, got {self.name}, which has none; "
                f"try writing {self.name}.cumulants, or measuring it: inf.measure(inf.Ensemble(...))"
            )
        return self.as_sum.cumulants(points, top)

    def kernel(self, points: Points) -> Matrix:
        """The two-point function, (point, point): exact, or in the limit of infinite width where that is known."""
        return dense(self.cumulants(points, 2).values[2], len(points) * self.outputs, 2)

    def spectrum(self, count: int = 32) -> Any:
        """Energies and weights of the two-point function in time, a `Spectrum`, where they are known one by one."""
        raise NotKnown(
            f"expected a model that brings `spectrum`, its energies and weights, got {self.name}, which has none; try "
            "inf.real_time, which reads them off its correlators"
        )

    def site_moments(self, points: Points, order: int) -> Float[np.ndarray, "half point"] | None:
        """Exact <phi(x)^2r> at each single point, 2r = 2, 4, .., order, (order/2, point); None where not known."""
        if self.as_sum is None or order not in self.as_sum.site_orders:
            return None
        return self.as_sum.site_moments(points, order)

    @property
    def knows_sites(self) -> bool:
        """Whether `site_moments` answers at every order that is ever asked for."""
        return self.as_sum is not None and HIGHEST in self.as_sum.site_orders

    @property
    def period(self) -> float:
        """Length after which the field repeats along every axis, infinite where it does not or where it is unknown."""
        return float("inf") if self.as_sum is None else self.as_sum.period

    @property
    def spacing(self) -> float:
        """Of the lattice whose sites alone count, zero where every point does."""
        return 0.0 if self.as_sum is None else self.as_sum.spacing

    @property
    def even(self) -> bool:
        """Whether phi -> -phi is known to be a symmetry, as it is where even orders are all there is."""
        return self.as_sum is not None or bool(self.orders)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why its law has a symmetry, in words, as its priors say: of the "sign", of "translations", ..."""
        return {}


def shared_reasons(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The reasons that all parts of a program have, each part's words once.

    >>> shared_reasons([{"sign": "odd"}, {"sign": "uniform phase", "rotations": "isotropic"}])
    {'sign': 'odd; uniform phase'}
    """
    every = list(parts)
    common = [key for key in every[0] if all(key in part for part in every)]
    return {key: "; ".join(dict.fromkeys(part[key] for part in every)) for key in common}


class Program(AbstractModel):
    """A function that draws a field, about which nothing else is known."""

    program: Any  # a function of the points; None of an array, whose program nobody knows

    def __call__(self, points: Inputs) -> Any:
        return self.program(points)

    @property
    def name(self) -> str:
        return getattr(self.program, "__name__", type(self.program).__name__)


def as_model(model: Any) -> AbstractModel:
    """A model that can be asked: one that answers for itself, or any other program, which knows nothing."""
    return model if isinstance(model, AbstractModel) else Program(model)


def check_takes_points(model: Callable[..., Any]) -> None:
    """Refuse a function that wants more than the points: with a key it is one for `m.FromKey`."""
    try:
        asked = signature(model)
    except (TypeError, ValueError):  # built-in functions say nothing
        return
    try:
        asked.bind(None)
    except TypeError as error:
        what = getattr(model, "__name__", type(model).__name__)
        raise ValueError(
            f"expected a NumPyro model, a function of the points alone, got {what}{asked} ({error}); try "
            f"m.FromKey({what}) where it is draw(key, points), one network a key"
        ) from None
