"""What a fitted action predicts for the correlators, draw by draw.

G4c at tree level, with the one-loop term beside it as the size of what the tree leaves out
(`models/diagrams/from_couplings.py`), and G2 from the gap equation G2^-1 = 2q + (1/2) V.K, the first-order
Schwinger-Dyson equation with the metric K on the loop. The six-point function, which no fit of a quartic action uses,
comes from all diagrams of tree level and one loop (`predict_diagrams`); where the action is bounded below everything
comes from fields drawn from it (`predict_fields`). What a measurement would find adds the noise of one (`replicated`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ...models.actions.base import AbstractAction
from ...models.combinatorics import connected_from_moments, sorted_tuples
from ...models.correlators import Correlators
from ...models.diagrams.asymmetric import about_mean
from ...models.diagrams.from_couplings import four_point, predicted, vertex
from ...models.types import Matrix, Points, Vector
from ..fields.nuts import sample_action

__all__ = [
    "Predictions",
    "predict",
    "predict_about_mean",
    "predict_diagrams",
    "predict_fields",
    "quartic_coefficients",
    "replicated",
]

_DRAWS = 200  # draws a chain kept for predictions: their spread needs no more


def quartic_coefficients(
    couplings: Mapping[str, np.ndarray], action: AbstractAction, points: int, weights: Vector
) -> np.ndarray:
    """Coefficients of the sorted quartic monomials from named couplings, (..., quad)."""
    names = action.blocks(points)
    theta = np.concatenate([np.asarray(couplings[name]) for name in names], axis=-1)
    return theta @ action.monomials(points, weights)


def predict(
    two_point: Matrix, posterior: Mapping[str, np.ndarray], action: AbstractAction, weights: Vector
) -> dict[str, np.ndarray]:
    """Predicted correlators of posterior draws.

    Args:
        two_point: G2 on the lines, (point, point).
        posterior: "q" and the action's couplings, (chain, draw, coupling).
        action: the action fitted.
        weights: quadrature weights.

    Returns:
        G4 (tree), G4_loop (tree plus one loop) on (chain, draw, quad) and G2 on (chain, draw, pair).
    """
    points = len(two_point)
    kept = _thinned(posterior)
    quartic = quartic_coefficients(kept, action, points, weights)
    tree, loop = four_point(quartic, two_point)
    pairs = sorted_tuples(points, 2)
    inverse = np.zeros((*kept["q"].shape[:-1], points, points))
    for k, (a, b) in enumerate(pairs):
        inverse[..., a, b] += kept["q"][..., k]
        inverse[..., b, a] += kept["q"][..., k]
    inverse += 0.5 * np.einsum("...abcd,cd->...ab", vertex(quartic, points), two_point)
    return {"G4": tree, "G4_loop": tree + loop, "G2": np.linalg.inv(inverse)[(..., *pairs.T)]}


def predict_about_mean(
    data: Correlators, posterior: Mapping[str, np.ndarray], action: AbstractAction, weights: Vector
) -> dict[str, np.ndarray]:
    """The same for an action with linear and cubic terms, about the mean of the data and on their connected lines.

    Returns:
        G1, the full G2 = <phi phi>, connected G3, G4 (tree) and G4_loop, (chain, draw, component).
    """
    points = len(data.points)
    mean = data.moment(1)
    forms = action.coefficients(_thinned(posterior), points, weights)
    found = about_mean(forms, mean, data.tensor(2, "moment") - np.outer(mean, mean))
    a, b = sorted_tuples(points, 2).T
    second = found.two_point + found.mean[..., a] * found.mean[..., b]
    return {"G1": found.mean, "G2": second, "G3": found.three, "G4": found.four, "G4_loop": found.four_loop}


def _thinned(posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The draws that predictions are made for."""
    step = max(1, posterior["q"].shape[1] // _DRAWS)
    return {name: value[:, ::step] for name, value in posterior.items()}


def replicated(expected: Mapping[str, np.ndarray], data: Correlators, *, key: jax.Array) -> dict[str, np.ndarray]:
    """What another measurement like `data` would find: the correlators of every draw, each with the noise of one.

    G + z L with z ~ N(0, 1), where L^T L is the joint covariance of G2 and G4c (`models/correlators.py`). Exact
    correlators have no noise.

    Args:
        expected: from `predict`: G2 and G4, or G1 to G4, (chain, draw, component); what is not measured is left out.
        data: the correlators of the fit.
        key: `jax.random.key(seed)`.

    Example, a thousand draws of one prediction scatter by the error of the measurement:
        >>> data = Correlators.from_arrays(
        ...     np.zeros((1, 1)), moments={2: np.ones(1), 4: np.full(1, 3.1)}, covariance=np.diag([0.01, 0.09])
        ... )
        >>> made = replicated({"G2": np.ones((1, 1000, 1))}, data, key=jax.random.key(0))
        >>> data.error(2, "moment").round(3).tolist(), bool(abs(made["G2"].std() - 0.1) < 0.01)
        ([0.1], True)
    """
    kinds = {"G1": "moment", "G2": "moment", "G3": "connected", "G4": "connected"}
    measured = {name: data.rows.get(kind, {}).get(int(name[1])) for name, kind in kinds.items()}
    rows = {name: found for name, found in measured.items() if name in expected and found is not None}
    exact = {name: expected[name] for name in measured if name in expected}
    if not rows:
        return exact
    depth = max(map(len, rows.values()))  # row k of every order is the same group of networks
    joint = np.concatenate([np.pad(found, ((0, depth - len(found)), (0, 0))) for found in rows.values()], axis=1)
    if depth > 2 * joint.shape[1]:  # the same covariance in fewer rows
        error = np.sqrt(np.sum(joint**2, axis=0))  # of G2 and G4c in their units, which a small field sets far apart
        scaled = joint / np.where(error > 0.0, error, 1.0)
        size, axes = np.linalg.eigh(scaled.T @ scaled)
        joint = np.sqrt(np.maximum(size, 0.0))[:, None] * axes.T * error
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    noise = random.standard_normal((*next(iter(expected.values())).shape[:2], len(joint))) @ joint
    parts = np.split(noise, np.cumsum([found.shape[1] for found in rows.values()])[:-1], axis=-1)
    return exact | {name: expected[name] + part for name, part in zip(rows, parts, strict=True)}


class Predictions(NamedTuple):
    """One connected function for several draws of the couplings, each array (draw, component).

    value: predicted; band: what the truncation is worth, zero where nothing is truncated; error: Monte Carlo error,
    zero where nothing is drawn.
    """

    value: Matrix
    band: Matrix
    error: Matrix


def predict_diagrams(
    points: Points,
    two_point: Matrix,
    quartic: Matrix,
    *,
    sextic: Matrix | None = None,
    orders: Sequence[int] = (4, 6),
) -> dict[int, Predictions]:
    """Tree level and one loop of every draw, the one-loop term's size as band.

    Args:
        points: (point, axis).
        two_point: the full G2 on the lines, (point, point).
        quartic: coefficients of the sorted quartic monomials, (draw, quad).
        sextic: of the sextic ones, (draw, component).
        orders: among 4 and 6; six-point functions at up to ten points.

    Example, one site with <phi^2> = 1: G6c = 10 (24 g)^2 + ...

        >>> found = predict_diagrams(np.zeros((1, 1)), np.eye(1), np.array([[0.001]]))
        >>> round(float(found[6].value[0, 0] / (10 * 0.024**2)), 2)
        0.89
    """
    rows = range(len(quartic))
    made = [
        predicted(
            points,
            quartic=quartic[k],
            sextic=None if sextic is None else sextic[k],
            two_point=two_point,
            orders=tuple(orders),
        )
        for k in rows
    ]
    return {
        r: Predictions(
            np.stack([one.connected(r) for one in made]),
            np.stack([one.about["band"][r] for one in made]),
            np.zeros((len(made), len(made[0].connected(r)))),
        )
        for r in orders
    }


def predict_fields(
    points: int,
    quadratic: Matrix,
    quartic: Matrix,
    *,
    key: jax.Array,
    sextic: Matrix | None = None,
    orders: Sequence[int] = (2, 4, 6),
    chains: int = 256,
    draws: int = 200,
) -> dict[int, Predictions]:
    """Connected functions of fields drawn from the action of every draw of its couplings; nothing is truncated.

    Args:
        points: M.
        quadratic: coefficients of phi_a phi_b, a <= b, (draw, pair).
        quartic: of the sorted quartic monomials, (draw, quad).
        key: `jax.random.key(seed)`.
        sextic: of the sextic ones, (draw, component).
        orders: which connected functions, even.
        chains: chains of `sample_action`; their spread gives the Monte Carlo error.
        draws: fields of each chain.

    Raises:
        ValueError: a draw whose action is unbounded below.
    """
    found: dict[int, list[tuple[Vector, Vector]]] = {r: [] for r in orders}
    everything = tuple(range(2, max(orders) + 1, 2))
    for k, one in enumerate(jax.random.split(key, len(quartic))):
        action = {2: quadratic[k], 4: quartic[k]} | ({} if sextic is None else {6: sextic[k]})
        fields = sample_action(action, points=points, key=one, chains=chains, draws=draws).fields
        by_chain = {r: np.prod(fields[..., sorted_tuples(points, r)], axis=-1).mean(axis=1) for r in everything}
        means = {r: value.mean(axis=0) for r, value in by_chain.items()}
        for r in orders:
            whole = connected_from_moments(means, points, r, even=True)
            # Jackknife over groups of chains, which are independent of each other.
            groups = min(16, chains)
            left = [
                connected_from_moments(
                    {s: np.delete(v, np.arange(g, chains, groups), axis=0).mean(axis=0) for s, v in by_chain.items()},
                    points,
                    r,
                    even=True,
                )
                for g in range(groups)
            ]
            found[r].append((whole, np.sqrt((groups - 1) * np.var(left, axis=0))))
    return {
        r: Predictions(
            np.stack([value for value, _ in pairs]),
            np.zeros((len(pairs), len(pairs[0][0]))),
            np.stack([error for _, error in pairs]),
        )
        for r, pairs in found.items()
    }
