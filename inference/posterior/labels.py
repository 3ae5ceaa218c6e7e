"""Names on the arrays of a fit, put on in one place: dims, coordinates and groups of the tree ArviZ reads.

`x`, `y` carry the integer labels of the points; two- and four-point functions live on `pair` and `quad` of sorted
tuples, u on `ordered_pair`, v on `cross_pair`, labelled "0,1", "0,0,1,2"; couplings of a lattice on the displacement,
`q_step`, `u_step`, `v_step`. Where the points are, x_position(x, axis), and the tuples as integers, pair_x1, pair_x2,
x1..x4, stand in `observed_data` and `constant_data`: ArviZ stacks the variables of a group of draws and refuses
coordinates that only some of them have. For the same reason couplings, white coordinates, lam with the zeros of its
gauge, and errors each have a group of their own: summaries and plots of a group then say something of every entry.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from ...models.analytic.exact import exact_if_known
from ...models.combinatorics import sorted_tuples
from ...models.diagrams.from_couplings import non_gaussianity
from ...models.types import Matrix, Tuples
from ..equations.from_moments import Equations
from ..equations.lattices import judge_sites
from ..equations.terms import embed
from ..methods.problem import Problem
from ..priors.likelihood import gauge_map

__all__ = ["draws_group", "label_point", "label_tree"]

_EPS_POINTS = 16  # whitening G4c takes M^4 numbers
_TABLE_TERMS = 1500  # beyond it tables (term, term) are left out: a file of gigabytes

_DIMS = {
    "lam": ["i", "x", "y"],
    "G1": ["x"],
    "G2": ["pair"],
    "G3": ["triple"],
    "G4": ["quad"],
    "G4_loop": ["quad"],
    "G6": ["sextuple"],
    "quadratic_white": ["quadratic_term"],
    "quartic_white": ["term"],
    "quadratic": ["quadratic_term"],
    "quartic": ["term"],
}
_WHITE = ("quadratic_white", "quartic_white", "quadratic", "quartic")  # sites of the sampler, in scaled fields


def label_tree(
    problem: Problem,
    equations: Equations,
    posterior: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    predictions: Mapping[str, Mapping[str, np.ndarray]],
    provenance: Mapping[str, Any],
    extra: Mapping[str, xr.Dataset],
    shown: Mapping[str, tuple[str, ...]],
) -> xr.DataTree:
    """The fit as an `xarray.DataTree` in the ArviZ schema (groups in `fit.py`); `shown` are dims of the prior."""
    coords, dims_of = _coords(problem)
    dims_of |= {name: list(dims) for name, dims in shown.items()}

    def group(values: Mapping[str, np.ndarray], *, draws: bool = True) -> xr.Dataset:
        known = {name: np.asarray(v) for name, v in values.items() if name in dims_of}
        dims = {name: dims_of[name] for name in known}
        used = {d for name in dims.values() for d in name}
        if not draws:
            return xr.Dataset({n: (dims[n], v) for n, v in known.items()}, coords=_select(coords, used))
        labels = {name: value for name, value in _select(coords, used).items() if name in used}
        return draws_group(known, dims).assign_coords(labels)

    observed, errors = _observed(problem, group, compared=bool(predictions.get("posterior_predictive")))
    groups = {
        "posterior": group({name: v for name, v in posterior.items() if name not in _WHITE}),
        "sample_stats": draws_group(stats, {}),
        "prior": group({name: v for name, v in prior.items() if name not in _WHITE}),
        "observed_data": observed,
        "constant_data": _constants(problem, equations, coords, errors),
    }
    white = {name: v for name, v in posterior.items() if name in _WHITE}
    for name, values in {"unconstrained_posterior": white, "derived": _lam(problem, posterior), **predictions}.items():
        if values:
            groups[name] = group(values)
    if problem.data is not None:
        groups["correlators"] = problem.data.to_dataset()
    for name, dataset in extra.items():
        groups[name] = (
            dataset
            if name not in groups
            else groups[name].merge(dataset).assign_attrs({**groups[name].attrs, **dataset.attrs})
        )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs |= {"created_at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance}
    for node in tree.children.values():
        node.attrs = {k: v for k, v in node.attrs.items() if isinstance(v, str | int | float)}
    return tree


def draws_group(values: Mapping[str, np.ndarray], dims: Mapping[str, list[str]]) -> xr.Dataset:
    """A group of draws as ArviZ has it: arrays (chain, draw, ...) whose further dims are named, none by default.

    >>> draws_group({"lp": np.zeros((4, 100))}, {}).sizes["draw"]
    100
    """
    made = xr.Dataset({name: (("chain", "draw", *dims.get(name, ())), value) for name, value in values.items()})
    return made.assign_coords({name: np.arange(size) for name, size in made.sizes.items() if name in ("chain", "draw")})


def _observed(
    problem: Problem, group: Callable[..., xr.Dataset], *, compared: bool
) -> tuple[xr.Dataset, dict[str, Any]]:
    """G2 and G4 as far as they are measured, and the means T of the terms of a fit to fields; one standard error each.

    ArviZ compares all that was observed with its prediction, where there is one: T, which has none and which G2 and G4
    determine, then stands among the constants.
    """
    data, seen = problem.data, problem.observed
    found, errors = xr.Dataset(), dict[str, Any]()
    if data is not None:
        values = {"G2": data.moment(2)} | ({"G4": data.connected(4)} if 4 in data.cumulants else {})
        errors |= {"G2_error": ("pair", data.error(2, "moment"))}
        errors |= {"G4_error": ("quad", data.error(4))} if "G4" in values else {}
        if not problem.action.even and {1, 3} <= data.cumulants.keys():
            values |= {"G1": data.moment(1), "G3": data.connected(3)}
            errors |= {"G1_error": ("x", data.error(1, "moment")), "G3_error": ("triple", data.error(3))}
        found = group(values, draws=False)
    if seen is not None:
        means = {"T": ("term", seen.terms)}
        errors |= {"T_error": ("term", seen.errors)} | (means if compared else {})
        found = found if compared else found.assign(means)
    return found, errors


def _lam(problem: Problem, posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """lambda_i(x,y) of every draw, (chain, draw, i, x, y), where the action has them and they are few."""
    to_lam = gauge_map(problem.action, problem.weights)
    if to_lam is None:
        return {}
    quartic = np.concatenate([posterior[name] for name in problem.action.blocks(len(problem.points))], axis=-1)
    return {"lam": np.tensordot(quartic, to_lam, axes=(-1, -1))}


def label_point(problem: Problem, provenance: Mapping[str, Any]) -> xr.DataTree:
    """The couplings exact correlators determine, one number each: groups point, constant_data, correlators."""
    coords, dims_of = _coords(problem)
    q = problem.quadratic
    physical = problem.equations.estimate / problem.factors
    values = dict(
        zip(
            (name for name, _ in problem.names),
            np.split(physical, np.cumsum([count for _, count in problem.names])[:-1]),
            strict=True,
        )
    )
    to_lam = gauge_map(problem.action, problem.weights)
    if to_lam is not None:
        values["lam"] = to_lam @ physical[q:]
    used = {d for name in values for d in dims_of[name]}
    point = xr.Dataset({name: (dims_of[name], v) for name, v in values.items()}, coords=_select(coords, used))
    assert problem.data is not None
    eq = problem.equations
    constants = {
        "weights": ("x", problem.weights),
        "metric": (("x", "y"), problem.metric),
        "two_point": (("x", "y"), problem.two_point),
        "matrix": (("term", "term_too"), eq.matrix),
        "vector": ("term", eq.vector),
        "factors": ("term", problem.factors),
    }
    attrs = {"eps4": non_gaussianity(problem.data.connected(4), None, _connected(problem))[0], "quadratic_terms": q}
    attrs["condition"] = _condition(problem)
    if (found := problem.gains) is not None:
        attrs["gain"] = found.action[0]
        if found.share is not None:
            attrs["share"] = found.share[0]
    constant = xr.Dataset(constants, coords=_select(coords, {"x", "y"}), attrs=attrs)
    tree = xr.DataTree.from_dict({"point": point, "constant_data": constant, "correlators": problem.data.to_dataset()})
    tree.attrs |= {"created_at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance}
    return tree


def _coords(problem: Problem) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Coordinates by name, those off their own dim as (dim, values), and the dims of every variable."""
    points, couplings = problem.points, problem.action.labels(len(problem.points))
    count = len(points)
    coords: dict[str, Any] = {
        "x": np.arange(count),
        "y": np.arange(count),
        "i": np.arange(4),
        "x_position": (("x", "axis"), points),
        "block": np.array([name for name, labels in problem.action.blocks(count).items() if len(labels)], dtype=object),
    }
    if problem.data is not None or "pair" in {dim for dim, _ in couplings.values()}:
        pairs = sorted_tuples(count, 2)
        coords |= {"pair": _names(pairs), "pair_x1": ("pair", pairs[:, 0]), "pair_x2": ("pair", pairs[:, 1])}
    if (problem.data is not None and 4 in problem.data.cumulants) or "quad" in {dim for dim, _ in couplings.values()}:
        quads = sorted_tuples(count, 4)
        coords |= {"quad": _names(quads), **{f"x{k + 1}": ("quad", quads[:, k]) for k in range(4)}}
    if not problem.action.even:
        coords["triple"] = _names(sorted_tuples(count, 3))
    for name, (dim, labels) in couplings.items():
        if dim not in coords and dim != "constant":
            coords[dim] = _names(labels)
            if labels.shape[1] == 2 and not problem.action.symbol(name).step:
                coords[f"{dim}_x"], coords[f"{dim}_y"] = (dim, labels[:, 0]), (dim, labels[:, 1])
    return coords, {**_DIMS, **{name: [dim] for name, (dim, _) in couplings.items()}}


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


def _constants(problem: Problem, eq: Equations, coords: Mapping[str, Any], errors: Mapping[str, Any]) -> xr.Dataset:
    """Errors, points, weights, metric and the estimating equations; what the full quartic says beside the action.

    The gain and the equations of all quartic terms are those of score matching, whatever the method.
    """
    q, score = problem.quadratic, problem.equations
    values: dict[str, Any] = {
        **errors,
        "weights": ("x", problem.weights),
        "x_position": (("x", "axis"), problem.points),
        "vector": ("term", eq.vector),
        "factors": ("term", problem.factors),
        "scale": ("x", problem.scale),
        "estimate": ("term", eq.estimate),
        "naive_error": ("term", np.sqrt(np.diag(eq.naive))),
    }
    sandwich = eq.sandwich
    values["sandwich_error"] = ("term", np.sqrt(np.diag(sandwich)))
    if len(problem.factors) <= _TABLE_TERMS:
        tables = {"matrix": eq.matrix, "noise": eq.noise, "sandwich": sandwich, "prior_factor": problem.prior.factor}
        values |= {name: (("term", "term_too"), table) for name, table in tables.items()}
    count = len(problem.points)
    if problem.action.homogeneous:
        values["two_point"] = ("x", problem.two_point[0])
    else:
        values |= {"metric": (("x", "y"), problem.metric), "two_point": (("x", "y"), problem.two_point)}
    if problem.modes is not None:
        values["modes"] = (("x", "site"), problem.modes)
    attrs: dict[str, Any] = {"quadratic_terms": q, "dof": eq.dof, "condition": _condition(problem)}
    known = {} if (found := problem.gains) is None else found._asdict()
    for name, number in zip(("gain", "gain_full", "share"), known.values(), strict=False):
        if number is not None:
            attrs[name], attrs[f"{name}_error"] = number
    if (full := problem.full) is not None and not problem.action.even:
        values["full_vector"] = ("full", full.equations.vector)  # of the odd terms too
    if full is not None:
        up = embed(problem.terms, full.terms)
        quartic, theta = full.terms.places[-1], up.T @ score.estimate
        values["score_estimate"] = ("term", score.estimate)
        values["force"] = ("quad", (full.equations.matrix @ theta)[quartic])
        values["laplacian"] = ("quad", full.equations.vector[quartic])
        values["full_matrix"] = (("full", "full_too"), full.equations.matrix)
        values["full_noise"] = (("full", "full_too"), full.equations.noise)
        values["full_embed"] = (("term", "full"), up)
    data = problem.data
    if data is not None and 4 in data.cumulants and count <= _EPS_POINTS:
        rows = data.rows.get("connected", {}).get(4)
        attrs["eps4"], attrs["eps4_error"] = non_gaussianity(data.connected(4), rows, _connected(problem))
    if problem.tail is not None:
        attrs["tail_verdict"], attrs["tail_why"] = problem.tail
    if (odd_p := problem.odd_p) is not None:
        attrs["odd_p"] = odd_p
    if problem.action.homogeneous and problem.source is not None:
        seen = judge_sites(problem.source, problem.action)
        attrs |= {"translation_p": seen.translation_p, "translation_why": seen.translation_why}
        if np.isfinite(seen.p):
            attrs |= {"left_out_chi2": seen.chi2, "left_out_dof": seen.dof, "left_out_p": seen.p}
            attrs["left_out"] = ", ".join(seen.left_out)
    if (
        data is not None
        and np.isfinite(data.networks)
        and 4 in data.cumulants
        and (truth := exact_if_known(data.model, problem.points, (2, 4))) is not None
    ):
        values["G2_exact"] = ("pair", truth.connected(2))
        values["G4_exact"] = ("quad", truth.connected(4))
        distance = (data - truth).chi2(2, 4)
        attrs |= {"exact_chi2": distance.value, "exact_dof": distance.dof, "exact_p": distance.p}
    dims = {d for v in values.values() for d in ((v[0],) if isinstance(v[0], str) else v[0])}
    chosen = {name: c for name, c in _select(coords, dims).items() if name not in values}
    made = xr.Dataset(values, coords=chosen, attrs=attrs)
    return made.set_coords("x_position")


def _connected(problem: Problem) -> Matrix:
    """The two-point function that eps4 is whitened with, (point, point): of a field with a mean less its square."""
    data = problem.data
    if problem.action.even or data is None or 1 not in data.moments:
        return problem.two_point
    return data.tensor(2, "moment") - np.outer(data.moment(1), data.moment(1))


def _condition(problem: Problem) -> float:
    """Condition number of K in units of the standard deviations."""
    scale = np.sqrt(np.diag(problem.two_point))
    return float(np.linalg.cond(problem.two_point / np.outer(scale, scale)))
