"""Exact correlators as so many networks would measure them on average: without noise, with the scatter of networks."""

import json
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ...models.correlators import Correlators
from ...models.networks.model import as_model
from ...models.theories.recipes import described
from ..ensembles.ensemble import Ensemble
from .tails import Tail, judge_tail

__all__ = ["with_scatter"]

_NETWORKS = 65_536  # whose scatter stands for that of `as_if_n` of them


def with_scatter(data: Any, key: jax.Array | None) -> tuple[Correlators, Tail]:
    """Exact correlators with networks of their model as source: the scatter of one network, not its noise.

    And whether that scatter, whose average takes the field's power of twelve, is known to an error of its own.
    """
    if not isinstance(data, Correlators) or not np.isinf(data.networks) or any(data.rows.values()):
        raise ValueError(
            f"expected exact correlators with as_if_n, got {getattr(data, 'maker', 'networks')} ones, which have "
            "errors of their own; try leaving as_if_n out, or m.exact(network, points)"
        )
    if data.model is None or key is None:
        raise ValueError(
            "expected correlators whose network is known, and a key, to say how it scatters, got neither or one; "
            "try m.exact(network, points)"
        )
    scattered = Ensemble(
        data.model, points=np.asarray(data.points), n=_NETWORKS, key=key, site=as_model(data.model).field_site
    )
    tail = judge_tail(scattered, 6)
    if tail.verdict == "refused":
        raise ValueError(f"expected networks whose scatter has an average, got: {tail.why}; try the point result")
    spread = judge_tail(scattered, 12)
    if spread.verdict != "ok":
        what = f"the errors rest on the scatter of {_NETWORKS:,} networks, another key may give others"
        spread = Tail("flagged", f"{what}: {spread.why}")
    recipe = json.dumps({"kind": "exact", "model": described(data.model)})
    return replace(data, source=scattered, about={**data.about, "recipe": recipe}), spread
