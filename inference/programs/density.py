"""Does the field of a network have a smooth density P on the points? Otherwise there is no action -log P.

N neurons with p continuous parameters each reach a surface of dimension N p; the density of one neuron diverges, that
of one or two +-1 neurons ends in a step, where partial integration leaves a boundary term and the Schwinger-Dyson
equations fail.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...models.networks.model import as_model
from ...models.types import Points
from .structure import run

__all__ = ["check_density"]


def check_density(model: Any, points: Points) -> None:
    """Refuse networks whose field has no smooth density on the points; a model of the user's own is not judged.

    Raises:
        ValueError: fewer continuous parameters than points, or one or two neurons of a law with edges.
    """
    parts = as_model(model).as_sum
    if parts is None:
        return
    continuous: list[str] = []

    def values(key: jax.Array) -> dict[str, jax.Array]:
        sites = run(model, jnp.asarray(points), key)
        drawn = {n: s for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
        continuous.extend(n for n, s in drawn.items() if not _discrete(s["fn"]))
        return {n: s["value"] for n, s in drawn.items()}

    shapes = jax.eval_shape(values, jax.random.key(0))  # nothing is drawn, whatever the width
    free = sum(int(np.prod(shapes[name].shape)) for name in set(continuous))
    if free < len(points):
        raise ValueError(
            f"expected networks with at least as many continuous parameters as points, got {free} parameters for "
            f"{len(points)} points, where the field has no density and no action; try more neurons or fewer points"
        )
    few = 2 if _discrete(parts.law.draw()) else 1
    if parts.width <= few and parts.output_bias == 0.0:
        raise ValueError(
            f"expected more than {few} neuron{'s' if few > 1 else ''} of readout {parts.readout} for a smooth density, "
            f"got width {parts.width}, whose density diverges or ends in a step; try width={few + 1} or an output_bias"
        )


def _discrete(law: Any) -> bool:
    """Whether a law has atoms; an affine map of a discrete one counts its image as continuous."""
    while hasattr(law, "base_dist"):
        law = law.base_dist
    return bool(law.is_discrete)
