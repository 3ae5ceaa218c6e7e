"""The metric W of score matching, fixed without looking at the data that are fitted, and the two-point function K.

W belongs to A, b and psi alone. What the prior is worth, eps4 and the lines of diagrams are questions about the field,
so they take its own two-point function K, exact or measured, whatever W is. Once the action is truncated W decides what
is estimated, so it is K as far as that can be known before the data: the exact kernel of the model, or the two-point
function of further networks of the recipe, or of held-out networks of an array. On a lattice, where all sites are
alike, W is a multiple of the unit matrix, and the multiple drops out.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...models.actions.base import AbstractAction
from ...models.analytic.exact import exact_if_known
from ...models.types import Matrix
from ..ensembles.samples import Samples

__all__ = ["CONDITION_LIMIT", "Metrics", "check_gram", "choose_metric", "choose_metrics", "over_translations"]

CONDITION_LIMIT = 1e6  # of the Gram matrix of the points: beyond it, fourth powers of its inverse are round-off
_HELD_OUT = 0.02  # share of the networks that only fix the metric when no exact kernel is known
_HELD_LATTICES = 2000  # configurations whose two-point function sets the scale of the prior


class Metrics(NamedTuple):
    """W and K, both (point, point).

    where: where W came from; rest: the samples that remain when some were held out for it; given: whether W was
    prescribed, so that its units are not those of the field; exact: whether K is exact rather than of some networks.
    """

    metric: Matrix
    two_point: Matrix
    where: str
    rest: Samples | None
    given: bool
    exact: bool


def choose_metrics(data: Any, source: Any, metric: Matrix | None, action: AbstractAction, lattice: bool) -> Metrics:
    """W as in `choose_metric`, and beside it K: what the model knows, else the average over sites or networks."""
    network = data.model
    known = exact_if_known(network, np.asarray(data.points), (2,)) is not None
    given = metric is not None
    if lattice and source is not None and source.model is None:  # an array: its sites are all there is
        kernel, where, rest = over_translations(source, action), "average over sites", None
    else:
        kernel, where, rest = choose_metric(data, source, None)
    if metric is None:
        return Metrics(kernel, kernel, where, rest, given, known)
    chosen, origin, _ = choose_metric(data, source, metric)
    # The modes are those of the field, and held-out networks choose them whatever W is; else nothing is held out.
    return Metrics(chosen, kernel, origin, rest if action.of_modes else None, given, known)


def choose_metric(data: Any, source: Any, metric: Matrix | None) -> tuple[Matrix, str, Samples | None]:
    """The metric, where it came from, and the samples that remain when some were held out for it."""
    points = len(data.points)
    if metric is not None:
        given = np.asarray(metric, dtype=float)
        if given.shape != (points, points) or not np.allclose(given, given.T):
            raise ValueError(f"expected a symmetric metric of shape {(points, points)}, got {given.shape}; try G2")
        if not (lowest := float(np.linalg.eigvalsh(given)[0])) > 0.0:
            raise ValueError(f"expected a positive definite metric, got the eigenvalue {lowest:.3g}; try G2")
        return given, "given", None
    network = data.model
    truth = exact_if_known(network, np.asarray(data.points), (2,))
    if truth is not None:
        return truth.tensor(2), "exact kernel", None
    if source is None:
        return data.tensor(2, "moment"), "two-point function of the data", None
    return source.pilot(_HELD_OUT)


def check_gram(metric: Matrix) -> None:
    """Refuse points whose Gram matrix is too ill-conditioned to invert.

    Raises:
        ValueError: the message gives the condition number.
    """
    own = np.sqrt(np.diag(metric))
    condition = np.linalg.cond(metric / np.outer(own, own))
    if not condition < CONDITION_LIMIT:
        raise ValueError(
            f"expected points whose Gram matrix can be inverted (condition number below {CONDITION_LIMIT:.0e}), got "
            f"{condition:.2e}; try points further apart or fewer, or stay with the correlators (inf.measure), "
            "which need no inverse"
        )


def over_translations(source: Any, action: AbstractAction) -> Matrix:
    """<phi_x phi_{x+r}> averaged over sites too, from the first configurations, (point, point)."""
    points, shape = len(source.points), action.lattice or ()
    if prod(shape) != points:
        raise ValueError(f"expected {prod(shape)} points for a lattice {shape}, got {points}; try another shape")
    fields = source.read(0, min(source.n, _HELD_LATTICES)).astype(float).reshape(-1, *shape)
    axes = tuple(range(1, fields.ndim))
    power = np.mean(np.abs(np.fft.fftn(fields, axes=axes)) ** 2, axis=0)
    by_step = np.real(np.fft.ifftn(power)) / power.size
    sites = np.stack(np.unravel_index(np.arange(power.size), shape), axis=1)
    step = (sites[None, :] - sites[:, None]) % np.array(shape)
    return by_step[tuple(np.moveaxis(step, -1, 0))]
