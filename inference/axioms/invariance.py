"""OS1, Euclidean invariance: correlators are the same at points that are shifted, turned and reflected together."""

import numpy as np

from ...models.networks.model import AbstractModel
from ...models.types import Points
from ..reflections.known import Known
from ..symmetries.groups import AbstractSymmetry
from ..symmetries.inputs import Reflection, Rotations, Translations
from ..symmetries.power import exact_parts
from .axiom import HOLDS, OPEN, UNSEEN, VIOLATED, Axiom

__all__ = ["euclidean", "invariance"]

WORDS = "Euclidean invariance"
_PROVED = 1e-9  # an exact difference below is round-off
_ORDERS = (2, 4)


def euclidean(dimension: int) -> dict[str, AbstractSymmetry]:
    """The groups that make the Euclidean one, by what models call their reasons.

    >>> list(euclidean(1))
    ['translations', 'rotations']
    """
    turned: AbstractSymmetry = Reflection() if dimension == 1 else Rotations(reflections=True)
    return {"translations": Translations(), "rotations": turned}


def invariance(theory: Known) -> Axiom:
    """Whether shifts, rotations and reflections are symmetries: by the priors, else of the exact correlators.

    Example, two-point functions of Gauss networks are invariant, four-point functions are not:
        >>> from nnft import models as m
        >>> invariance(Known.of_model(m.Network(m.Cos(), width=3))).verdict
        'holds'
        >>> print(invariance(Known.of_model(m.Network(m.Gauss(bias_scale=0.3), width=3))).why)
        translations: order 4 by 16; reflection of x: the input weights are isotropic
    """
    words, verdicts, sizes = [], [], []
    for key, group in euclidean(theory.dimension).items():
        if reason := theory.reasons.get(key, ""):
            words.append(f"{group.name}: {reason}")
            verdicts.append(HOLDS)
            continue
        model = theory.model
        broken = {} if model is None else {r: _broken(model, theory, group, r) for r in _ORDERS if r in theory.orders}
        seen = {r: size for r, size in broken.items() if size > _PROVED}
        sizes += seen.values()
        verdicts.append(VIOLATED if seen else UNSEEN if broken else OPEN)
        what = ", ".join(f"order {r} by {size:.2g}" for r, size in seen.items())
        words.append(f"{group.name}: {what or ('none at orders ' + str(tuple(broken)) if broken else 'not known')}")
    verdict = next(v for v in (VIOLATED, OPEN, UNSEEN, HOLDS) if v in verdicts)
    return Axiom("OS1", WORDS, verdict, "; ".join(words), max(sizes, default=float("nan")), np.inf if sizes else np.nan)


def _broken(model: AbstractModel, theory: Known, group: AbstractSymmetry, order: int) -> float:
    """Size of what the group forbids of an order, over the root mean square of the field to that power."""
    parts, moments, _ = exact_parts(model, _points(theory), group, order)
    rms = float(np.sqrt(np.mean(np.diag(theory.correlators(_points(theory), (2,)).tensor(2, "moment")))))
    return float(np.linalg.norm(parts.of(moments[order]))) / rms**order


def _points(theory: Known) -> Points:
    """Three points in general position near the origin, in units of the correlation time."""
    row = np.arange(theory.dimension)
    return theory.scale * np.stack([-0.15 - 0.04 * row, 0.05 + 0.1 * row, 0.25 - 0.07 * row])
