"""Several fields as one: a field of the points (x, output), for all that knows one number at a point.

Couplings, actions, priors and pages are about numbers at points. D fields at M points are one field at M D of them, the
number of the output a further coordinate; what is known of the fields is known of it.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Float
from numpyro import handlers

from ..networks.independent import Cumulants
from ..networks.model import AbstractModel, Program, as_model
from ..refusals import is_whole
from ..types import Inputs, Points

__all__ = ["Output", "Placed", "at_places"]


class Placed(AbstractModel):
    """A model of D fields as a model of one field at the places (x, output), all outputs of a point after each other.

    Attributes:
        model: of several fields.
        fields: their number D, two for a complex one.
        of: the site of the fields.

    Example:
        >>> from nnft.models import Copies, Cos, Multiplet, exact
        >>> net, x = Multiplet.of(Cos(), 10, Copies(2)), np.zeros((1, 1))
        >>> exact(Placed(net, 2), at_places(x, 2)).connected(4).round(12).tolist()
        [0.0375, 0.0, 0.0125, 0.0, 0.0375]
    """

    model: Any
    fields: int = eqx.field(static=True)
    of: str = eqx.field(static=True, default="phi")
    field_site = "places"

    def __call__(self, points: Inputs) -> Any:
        with handlers.trace() as trace:
            self.model(jnp.asarray(points)[:: self.fields, :-1])
        phi = jnp.asarray(trace[self.of]["value"])
        if jnp.iscomplexobj(phi):
            phi = jnp.stack([phi.real, phi.imag], axis=-1)
        return numpyro.deterministic(self.field_site, phi.ravel())

    def beside(self, points: Inputs) -> int:
        return as_model(self.model).beside(jnp.asarray(points)[:: self.fields, :-1])

    @property
    def name(self) -> str:
        return as_model(self.model).name

    @property
    def even(self) -> bool:
        return self._known.even

    @property
    def orders(self) -> Any:
        return self._known.orders

    def cumulants(self, points: Points, top: int) -> Cumulants:
        """Of the fields; refused where the points are not all outputs of each point after each other."""
        base = np.asarray(points)[:: self.fields, :-1]
        if not np.array_equal(at_places(base, self.fields), points):
            raise ValueError(
                f"expected every output of every point after each other, got {len(points)} places of {self.fields} "
                "outputs; try m.at_places(points, outputs)"
            )
        return self._known.cumulants(base, top)

    @property
    def _known(self) -> AbstractModel:
        """What is known of the fields: nothing where they are not those at the site the model answers for."""
        own = as_model(self.model)
        return own if own.field_site == self.of and own.outputs == self.fields else Program(own)


class Output(AbstractModel):
    """One of several fields of a model, as a model of one field: of several times of training the field at one.

    Attributes:
        model: of several fields, at the site `phi`.
        which: number of the field, from 0.

    Raises:
        ValueError: a field that the model does not have.

    Example:
        >>> import jax
        >>> from nnft.models import Copies, Cos, Multiplet
        >>> net = Output(Multiplet.of(Cos(), 10, Copies(2)), 1)
        >>> numpyro.handlers.seed(net, jax.random.key(0))(np.zeros((3, 1))).shape
        (3,)
    """

    model: Any
    which: int = eqx.field(static=True)
    field_site = "output"

    def __check_init__(self) -> None:
        known = as_model(self.model).outputs
        if not is_whole(self.which, 0) or self.which >= known:
            raise ValueError(f"expected the number of one of {known} outputs, got {self.which!r}; try {known - 1}")

    def __call__(self, points: Inputs) -> Any:
        own = as_model(self.model)
        with handlers.trace() as trace:
            own(points)
        phi = jnp.asarray(trace[own.field_site]["value"])
        return numpyro.deterministic(self.field_site, phi if own.outputs == 1 else phi[:, self.which])

    @property
    def name(self) -> str:
        return f"output {self.which} of {as_model(self.model).name}"

    @property
    def even(self) -> bool:
        return as_model(self.model).even

    @property
    def remedy(self) -> str:
        return as_model(self.model).remedy


def at_places(points: Points, outputs: int) -> Float[np.ndarray, "place coordinate"]:
    """The places (x, output) of D fields at M points, (M D, axis + 1), number point D + output.

    Example:
        >>> at_places(np.array([[0.5], [0.7]]), 2).tolist()
        [[0.5, 0.0], [0.5, 1.0], [0.7, 0.0], [0.7, 1.0]]
    """
    x = np.repeat(np.asarray(points, dtype=float), outputs, axis=0)
    return np.column_stack([x, np.tile(np.arange(float(outputs)), len(points))])
