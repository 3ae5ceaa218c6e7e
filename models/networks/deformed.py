"""A density of parameters multiplied by exp(-alpha O): neurons that are correlated by a common energy.

P_alpha(theta) ~ P_0(theta) exp(-alpha O(theta)), a `numpyro.factor` on the network's own program. To first order in
alpha every cumulant moves by -alpha kappa(phi_1, ..., phi_r, O). The published example, O = (N^-1 sum_ij W0_ij^2)^2,
moves G2 at order alpha/N and G4c at order alpha/N^2: it does not survive N -> infinity (arXiv:2307.03223, sec. 3).
"""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpyro
from jaxtyping import Array, Float
from numpyro import handlers

from ..refusals import is_traced, number
from ..types import Inputs
from .model import AbstractModel
from .network import Network

__all__ = ["Deformed", "input_weight_energy"]


class Deformed(AbstractModel):
    """A network whose parameters have the density P_0 exp(-strength * operator), drawn as P_0 with that weight.

    Attributes:
        network: the undeformed network.
        strength: alpha.
        operator: O, a function of the values of all sites (by name, `phi` included) to one number.

    Raises:
        ValueError: not a network, an operator that cannot be called; at the call, one that returns no single number.

    Example:
        >>> import jax, numpy as np
        >>> from nnft.models import Cos
        >>> model = Deformed(Network(Cos(), width=5), 0.1, input_weight_energy)
        >>> handlers.seed(model, jax.random.key(0))(np.zeros((3, 1))).shape
        (3,)
    """

    network: Network
    strength: float = eqx.field(converter=number)
    operator: Callable[[Mapping[str, Array]], Array] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.network, Network) or not callable(self.operator):
            raise ValueError(
                f"expected a Network and a function of its sites, got {self.network!r} and {self.operator!r}; "
                "try Deformed(net, 0.1, input_weight_energy)"
            )
        if not is_traced(self.strength) and not abs(float(self.strength)) < float("inf"):
            raise ValueError(f"expected a finite strength, got {self.strength!r}; try 0.1")

    def __call__(self, points: Inputs) -> Float[Array, " point"]:
        """Draw one network of P_0 and register its weight; sites: those of the network and `deformation`."""
        with handlers.trace() as trace:
            phi = self.network(points)
        energy = jnp.asarray(self.operator({name: site["value"] for name, site in trace.items()}))
        if energy.shape != ():
            raise ValueError(f"expected the operator to return one number, got shape {energy.shape}; try jnp.sum")
        numpyro.factor("deformation", -self.strength * energy)
        return phi


def input_weight_energy(sites: Mapping[str, Array]) -> Array:
    """O = N^-2 sum_ijkl W0_ij^2 W0_kl^2 = (N^-1 sum_ij W0_ij^2)^2, on the site `weight`, (neuron, axis)."""
    weight = sites["weight"]
    return (jnp.sum(weight**2) / weight.shape[0]) ** 2
