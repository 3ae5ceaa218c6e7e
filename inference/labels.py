"""Names on the arrays of a fit, put on in one place: dims, coordinates and groups of the tree ArviZ reads.

`x`, `y` carry the integer labels of the points; two- and four-point functions live on `pair` and `quad` of sorted
tuples, u on `ordered_pair`, v on `cross_pair`, labelled "0,1", "0,0,1,2". Where the points are, x_position(x, axis),
and the tuples as integers, pair_x1, pair_x2, x1..x4, stand in `observed_data` and `constant_data`: ArviZ stacks the
variables of a group of draws and refuses coordinates that only some of them have.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from ..models.actions import gauge
from ..models.combinatorics import sorted_tuples
from ..models.diagrams import non_gaussianity
from ..models.exact import exact, known_orders
from ..models.types import Tuples
from .basis import embed
from .likelihood import gaussian_posterior
from .measure import check_even
from .problem import Problem
from .score import gains

__all__ = ["label_point", "label_tree"]

_DIMS = {
    "q": ["pair"],
    "g": ["x"],
    "u": ["ordered_pair"],
    "v": ["cross_pair"],
    "g4": ["quad"],
    "coupling": ["constant"],
    "lam": ["i", "x", "y"],
    "G2": ["pair"],
    "G4": ["quad"],
    "G4_loop": ["quad"],
    "quadratic_white": ["pair"],
    "quartic_white": ["term"],
}


def label_tree(
    problem: Problem,
    posterior: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
) -> xr.DataTree:
    """The fit as an `xarray.DataTree` in the ArviZ schema (groups listed in `fit.py`)."""
    points = np.asarray(problem.data.points)
    coords = _coords(points, problem.action.blocks(len(points)))

    def group(values: Mapping[str, np.ndarray], *, draws: bool = True) -> xr.Dataset:
        known = {name: np.asarray(v) for name, v in values.items() if name in _DIMS}
        dims = {name: _DIMS[name] for name in known}
        used = {d for name in dims.values() for d in name}
        if not draws:
            return xr.Dataset({n: (dims[n], v) for n, v in known.items()}, coords=_select(coords, used))
        made = az.dict_to_dataset(known, dims={**dims})
        labels = {name: value for name, value in _select(coords, used).items() if name in used}
        return made.assign_coords(labels)

    observed = {"G2": problem.data.moment(2), "G4": problem.data.connected(4)}
    errors = {"G2_error": problem.data.error(2, "moment"), "G4_error": problem.data.error(4)}
    observed_set = group(observed, draws=False)
    observed_set = observed_set.assign({n: (observed_set[n[:2]].dims, v) for n, v in errors.items()})
    tree = xr.DataTree.from_dict(
        {
            "posterior": group(posterior),
            "sample_stats": az.dict_to_dataset(dict(stats)),
            "prior": group(prior),
            "posterior_predictive": group(predictions),
            "observed_data": observed_set,
            "constant_data": _constants(problem, points, coords),
            "correlators": problem.data.to_dataset(),
        }
    )
    tree.attrs |= {"created_at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance}
    for node in tree.children.values():
        node.attrs = {k: v for k, v in node.attrs.items() if isinstance(v, str | int | float)}
    return tree


def label_point(problem: Problem, provenance: Mapping[str, Any]) -> xr.DataTree:
    """The couplings exact correlators determine, one number each: groups point, constant_data, correlators."""
    points, q = np.asarray(problem.data.points), len(problem.basis.quadratic)
    coords = _coords(points, problem.action.blocks(len(points)))
    physical = problem.equations.estimate / problem.basis.factors
    blocks = {name: len(labels) for name, labels in problem.action.blocks(len(points)).items()}
    parts = np.split(physical, np.cumsum([q, *blocks.values()])[:-1])
    values = dict(zip(("q", *blocks), parts, strict=True))
    if "g4" not in values:
        values["lam"] = gauge({name: values[name] for name in blocks}, problem.weights)
    used = {d for name in values for d in _DIMS[name]}
    point = xr.Dataset({name: (_DIMS[name], v) for name, v in values.items()}, coords=_select(coords, used))
    eq = problem.equations
    constants = {
        "weights": ("x", problem.weights),
        "metric": (("x", "y"), problem.metric),
        "matrix": (("term", "term_too"), eq.matrix),
        "vector": ("term", eq.vector),
        "factors": ("term", problem.basis.factors),
    }
    attrs = {"eps4": non_gaussianity(problem.data.connected(4), None, problem.metric)[0], "quadratic_terms": q}
    attrs["condition"] = float(np.linalg.cond(problem.basis.metric))
    found = gains(eq, problem.rich, q)
    attrs["gain"] = found.action[0]
    if found.share is not None:
        attrs["share"] = found.share[0]
    constant = xr.Dataset(constants, coords=_select(coords, {"x", "y"}), attrs=attrs)
    tree = xr.DataTree.from_dict({"point": point, "constant_data": constant, "correlators": problem.data.to_dataset()})
    tree.attrs |= {"created_at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance}
    return tree


def _coords(points: np.ndarray, labels: Mapping[str, Tuples]) -> dict[str, Any]:
    count = len(points)
    pairs, quads = sorted_tuples(count, 2), sorted_tuples(count, 4)
    coords: dict[str, Any] = {
        "x": np.arange(count),
        "y": np.arange(count),
        "i": np.arange(4),
        "x_position": (("x", "axis"), points),
        "pair": _names(pairs),
        "quad": _names(quads),
        "pair_x1": ("pair", pairs[:, 0]),
        "pair_x2": ("pair", pairs[:, 1]),
        **{f"x{k + 1}": ("quad", quads[:, k]) for k in range(4)},
    }
    for name, dim in (("u", "ordered_pair"), ("v", "cross_pair")):
        if name in labels:
            coords[dim] = _names(labels[name])
            coords[f"{dim}_x"] = (dim, labels[name][:, 0])
            coords[f"{dim}_y"] = (dim, labels[name][:, 1])
    return coords


def _names(tuples: Tuples) -> np.ndarray:
    return np.array([",".join(map(str, row)) for row in tuples], dtype=object)


def _select(coords: Mapping[str, Any], dims: set[str]) -> dict[str, Any]:
    """The coordinates that live on the dims a group uses."""
    out = {}
    for name, value in coords.items():
        on = (name,) if not isinstance(value, tuple) else (value[0],) if isinstance(value[0], str) else value[0]
        if on[0] in dims:
            out[name] = value
    return out


def _constants(problem: Problem, points: np.ndarray, coords: Mapping[str, Any]) -> xr.Dataset:
    """Points, weights, metric and the estimating equations; what the full quartic says beside the action."""
    eq = problem.equations
    q = len(problem.basis.quadratic)
    centre, covariance = gaussian_posterior(eq, problem.prior)
    values: dict[str, Any] = {
        "weights": ("x", problem.weights),
        "metric": (("x", "y"), problem.metric),
        "matrix": (("term", "term_too"), eq.matrix),
        "vector": ("term", eq.vector),
        "noise": (("term", "term_too"), eq.noise),
        "factors": ("term", problem.basis.factors),
        "sandwich": (("term", "term_too"), eq.sandwich),
        "naive_error": ("term", np.sqrt(np.diag(eq.naive))),
        "sandwich_error": ("term", np.sqrt(np.diag(eq.sandwich))),
        "estimate": ("term", eq.estimate),
        "closed_mean": ("term", centre / problem.basis.factors),
        "closed_sd": ("term", np.sqrt(np.diag(covariance)) / problem.basis.factors),
        "prior_mean": ("term", problem.prior.mean),
        "prior_factor": (("term", "term_too"), problem.prior.factor),
    }
    attrs: dict[str, Any] = {"quadratic_terms": q}
    found = gains(eq, problem.rich, q)
    for name, number in (("gain", found.action), ("gain_full", found.full), ("share", found.share)):
        if number is not None:
            attrs[name], attrs[f"{name}_error"] = number
    if problem.rich is not None and problem.rich_basis is not None:
        theta = embed(problem.basis, problem.rich_basis).T @ eq.estimate
        values["force"] = ("quad", (problem.rich.matrix @ theta)[q:])
        values["laplacian"] = ("quad", problem.rich.vector[q:])
        values["rich_matrix"] = (("rich", "rich_too"), problem.rich.matrix)
        values["rich_noise"] = (("rich", "rich_too"), problem.rich.noise)
        values["rich_embed"] = (("term", "rich"), embed(problem.basis, problem.rich_basis))
    rows = problem.data.rows.get("connected", {}).get(4)
    attrs["eps4"], attrs["eps4_error"] = non_gaussianity(problem.data.connected(4), rows, problem.metric)
    if any(order in problem.data.moments for order in (1, 3)):
        attrs["odd_p"] = check_even(problem.data)
    attrs["condition"] = float(np.linalg.cond(problem.basis.metric))
    model = problem.data.model
    attrs["dof"] = eq.dof
    if np.isfinite(problem.data.networks) and 4 in known_orders(model):
        truth = exact(model, points, orders=(2, 4))
        values["G2_exact"] = ("pair", truth.connected(2))
        values["G4_exact"] = ("quad", truth.connected(4))
        distance = (problem.data - truth).chi2(2, 4)
        attrs |= {"exact_chi2": distance.value, "exact_dof": distance.dof, "exact_p": distance.p}
    dims = {d for v in values.values() for d in ((v[0],) if isinstance(v[0], str) else v[0])}
    return xr.Dataset(values, coords=_select(coords, dims), attrs=attrs)
