"""Where the equations of a fit come from: four ways to couplings, one form, A theta = b with noise B/n.

    score    score matching (wing `equations`): any action, bounded or not; the sandwich gives the errors
    pseudo   pseudo-likelihood (`pseudo.py`): every site given the others; the sandwich again
    gold     the likelihood of the fields (`reference.py`, `gold.py`): bounded actions only; efficient
    tree     G4c inverted at tree level (`tree_level.py`): the literature's baseline, with its truncation bias

All four feed the same priors and samplers and label the same tree, so any two can be compared on the same data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import xarray as xr

from ...models.refusals import nearest
from ...models.types import Vector
from ..ensembles.chains import check_independent
from ..equations.from_moments import Equations
from ..estimators.tails import Tail
from .gold import log_likelihood, mean_terms
from .problem import Problem
from .pseudo import pseudo_equations
from .reference import Reference, settled_reference
from .tree_level import tree_equations

__all__ = ["METHODS", "Found", "estimate", "per_network"]

METHODS = ("score", "pseudo", "gold", "tree")
_LOO_NETWORKS, _LOO_DRAWS = 1000, 250  # networks and draws a chain whose log likelihood is kept


@dataclass(frozen=True, eq=False)
class Found:
    """Equations of a method; for gold also its reference and the averages of the terms, (term,).

    constants: more for the tree's `constant_data`; attrs: for the tree itself.
    """

    equations: Equations
    reference: Reference | None = None
    means: Vector | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


def estimate(method: str, problem: Problem, *, key: jax.Array, progress: bool = False) -> Found:
    """The equations of a method for a prepared problem.

    Raises:
        ValueError: a method that is none of the four, or that needs networks where there are correlators only; what
            the method itself refuses (an action without a normalisable density, above all).
    """
    if method not in METHODS:
        raise ValueError(f"expected method among {METHODS}, got {method!r}; try {nearest(method, list(METHODS))!r}")
    if method == "score":
        return Found(problem.equations)
    if method == "tree":
        found, bias = tree_equations(problem)
        return Found(found, constants={"truncation_bias": ("term", bias)})
    if problem.source is None:
        raise ValueError(
            f"expected networks for method={method!r}, which needs the fields themselves, got correlators; try "
            "method='score', or inf.fit(ensemble, ...)"
        )
    check_independent(problem.source, f"for method={method!r}", "method='score', whose errors come from blocks")
    if method == "pseudo":
        return Found(pseudo_equations(problem.source, problem.terms, problem.equations.pilot, progress=progress))
    means, n = mean_terms(problem.source, problem.terms, progress=progress)
    reference, found = settled_reference(problem.terms, means, n, problem.equations.estimate, key=key)
    attrs = {
        "reference_fields": float(reference.size),
        "reference_effective": float(reference.effective),
        "reference_method": reference.method,
    }
    return Found(found, reference, means, attrs=attrs)


def per_network(problem: Problem, found: Found, theta: np.ndarray) -> xr.Dataset:
    """Log likelihood of single networks at thinned draws of the gold posterior, (chain, draw, network), for PSIS-LOO.

    Args:
        problem: the problem.
        found: of method "gold".
        theta: scaled couplings, (chain, draw, term).
    """
    assert found.reference is not None
    fields = problem.source.read(0, min(problem.source.n, _LOO_NETWORKS)).astype(float)
    step = max(1, theta.shape[1] // _LOO_DRAWS)
    kept = theta[:, ::step]
    values = log_likelihood(problem.terms, fields, kept.reshape(-1, theta.shape[2]), found.reference)
    shaped = values.reshape(*kept.shape[:2], -1)
    coords = {
        "chain": np.arange(shaped.shape[0]),
        "draw": np.arange(theta.shape[1])[::step],
        "network": np.arange(shaped.shape[2]),
    }
    return xr.Dataset({"phi": (("chain", "draw", "network"), shaped)}, coords=coords)


def verdict_attrs(verdict: Tail, effective: float, khat: float) -> dict[str, Any]:
    """What a gold fit remembers of its reference after reweighting to the answer."""
    return {
        "reference_verdict": verdict.verdict,
        "reference_why": verdict.why,
        "reference_worth": float(effective),
        "reference_khat": float(khat),
    }
