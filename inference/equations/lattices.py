"""Do the sites of a lattice lie as the action says, and does the action leave something out?

    translation     sum_x exp(i k x) phi_x phi_{x+r} vanishes on average for k != 0: another order of the sites, or
                    another shape, shows at once, because neighbours of the file are then no neighbours of the lattice
    left-out terms  <grad T . grad S - lap T> = 0 for terms T the action does not hold (the diagonal and next
                    neighbours, phi^3 phi and phi^2 phi^2 of neighbours, phi^6), with the couplings of the same fields

Waves of different k are uncorrelated in a translation-invariant theory, so the largest of them decides, after
Bonferroni. The second is Rao's score test with the covariance over configurations, Hotelling's F; configurations of a
chain are averaged in its blocks.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ...models.actions.lattice import LatticePhi4, TranslationInvariant
from ...models.actions.rungs import AbstractAction
from ...models.distance import hotelling
from ..ensembles.chains import worth
from ..ensembles.ensemble import Source
from ..ensembles.sums import group_length

__all__ = ["SiteTests", "Term", "left_out", "monomial_sums", "judge_sites"]

_NUMBERS = 3e6  # of all gradients looked at: a tenth of a second
_LEAST = 100
_ROOM = 4  # independent configurations (or blocks) for each tested term, at least

Steps = tuple[int, ...]
Term = tuple[tuple[float, int, int, Steps], ...]  # sum of coefficient sum_x phi_x^p phi_{x+r}^q


class SiteTests(NamedTuple):
    """p-values of both tests; `left_out` names the terms, `p` is nan where nothing could be tested."""

    translation_p: float
    translation_why: str
    chi2: float
    dof: int
    p: float
    left_out: tuple[str, ...]
    configurations: int


def judge_sites(source: Source, action: AbstractAction) -> SiteTests:
    """Both tests on the first configurations of a lattice.

    Args:
        source: configurations, (network, site) in C order.
        action: `LatticePhi4`, or `TranslationInvariant` with a shape and periodic.

    Raises:
        ValueError: another action.
    """
    held, others = _included(action), left_out(action)
    shape: Steps = action.shape  # type: ignore[attr-defined]
    size = len(source.points) * (len(held) + len(others) + 3)
    count = int(min(source.n, max(_LEAST, _NUMBERS // size)))
    fields = source.read(0, count).astype(float).reshape(count, *shape)
    memory = 2.0 * worth(source).tau
    p, why = _translation(fields, memory)
    block = 1 if worth(source).block == 1 else group_length(source)
    found = _rao(fields, action, held, list(others.values()), block)
    return SiteTests(p, why, *found, tuple(others), count)


def left_out(action: AbstractAction) -> dict[str, Term]:
    """Terms beyond a lattice action, by name.

    Example:
        >>> list(left_out(LatticePhi4((8, 8))))
        ['diagonal neighbours', 'next neighbours', 'phi^3 phi of neighbours', 'phi^2 phi^2 of neighbours', 'phi^6']
    """
    shape: Steps = action.shape  # type: ignore[attr-defined]
    origin, far = (0,) * len(shape), 2
    if isinstance(action, TranslationInvariant):
        far = max(shape) if action.reach is None else action.reach + 1
    near = _along(shape, 1)
    found: dict[str, Term] = {}
    if isinstance(action, LatticePhi4):
        found["diagonal neighbours"] = tuple((1.0, 1, 1, r) for r in _diagonals(shape))
        found["next neighbours"] = tuple((1.0, 1, 1, r) for r in _along(shape, 2))
        found["phi^3 phi of neighbours"] = tuple((1.0, p, 4 - p, r) for r in near for p in (1, 3))
        found["phi^2 phi^2 of neighbours"] = tuple((1.0, 2, 2, r) for r in near)
    else:
        found[f"neighbours at {far}"] = tuple((1.0, 1, 1, r) for r in _along(shape, far))
    found["phi^6"] = ((1.0, 6, 0, origin),)
    return {name: term for name, term in found.items() if term}


def _along(shape: Steps, far: int) -> list[Steps]:
    """One step of this length along every axis long enough to tell it from shorter ones."""
    steps = [tuple(far if k == axis else 0 for k in range(len(shape))) for axis in range(len(shape))]
    return [r for r, length in zip(steps, shape) if length >= 2 * far or (far == 1 and length > 1)]


def _diagonals(shape: Steps) -> list[Steps]:
    """(1, 1) and (1, -1) of every pair of axes, each displacement once."""
    found: dict[frozenset[Steps], Steps] = {}
    for a, b in combinations(range(len(shape)), 2):
        for sign in (1, -1):
            step = [0] * len(shape)
            step[a], step[b] = 1, sign
            both = frozenset(tuple(int(x) for x in np.mod(np.multiply(s, step), shape)) for s in (1, -1))
            if shape[a] > 1 and shape[b] > 1:
                found.setdefault(both, tuple(step))
    return list(found.values())


def _included(action: AbstractAction) -> list[Term]:
    """The fitted terms of a lattice action."""
    if isinstance(action, LatticePhi4):
        origin = (0,) * len(action.shape)
        kinetic = _kinetic(action) if action.kappa is None else ()
        return [term for term in (kinetic, ((1.0, 2, 0, origin),), ((1.0, 4, 0, origin),)) if term]
    if not isinstance(action, TranslationInvariant) or action.shape is None or not action.periodic:
        raise ValueError(f"expected an action of a periodic lattice, got {action!r}; try LatticePhi4(shape=(8, 8))")
    count = int(np.prod(action.shape))
    blocks, origin = action.blocks(count), (0,) * len(action.shape)

    def steps(rows: Any) -> Iterator[Steps]:
        return (tuple(int(x) for x in row) for row in rows)

    found: list[Term] = [
        ((1.0, 1, 1, r),) if any(r) else ((1.0, 2, 0, r),) for r in steps(action.quadratic_blocks(count)["q"])
    ]
    found.append(((1.0, 4, 0, origin),))
    found += [((1.0, 1, 3, r),) for r in steps(blocks["u"])] + [((1.0, 2, 2, r),) for r in steps(blocks["v"])]
    return found


def _kinetic(action: LatticePhi4) -> Term:
    """Sum over axes of (phi_{x+mu} - phi_x)^2, as phi^2 and hopping."""
    origin = (0,) * len(action.shape)
    steps = [tuple(int(k == axis) for k in range(len(action.shape))) for axis in range(len(action.shape))]
    return ((2.0 * len(steps), 2, 0, origin), *((-2.0, 1, 1, r) for r in steps))


def monomial_sums(fields: np.ndarray, term: Term) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of a term at every site, and its Laplacian, of each configuration.

    Args:
        fields: (configuration, *shape).
        term: from `left_out`.

    Returns:
        (configuration, site) and (configuration,).

    Example, phi_0 phi_1 + phi_1 phi_0 on a ring of two sites:
        >>> monomial_sums(np.array([[1.0, 3.0]]), ((1.0, 1, 1, (1,)),))[0].tolist()
        [[6.0, 2.0]]
    """
    axes = tuple(range(1, fields.ndim))
    gradient, laplacian = np.zeros_like(fields), np.zeros(len(fields))
    for coefficient, p, q, r in term:
        if q == 0:
            gradient += coefficient * p * fields ** (p - 1)
            laplacian += coefficient * p * (p - 1) * np.sum(fields ** (p - 2), axis=axes)
            continue
        ahead, behind = np.roll(fields, np.negative(r), axes), np.roll(fields, r, axes)
        gradient += coefficient * (p * fields ** (p - 1) * ahead**q + q * fields ** (q - 1) * behind**p)
        for own, other, power, rest in ((fields, ahead, p, q), (fields, behind, q, p)):
            if power > 1:
                laplacian += coefficient * power * (power - 1) * np.sum(own ** (power - 2) * other**rest, axis=axes)
    return gradient.reshape(len(fields), -1), laplacian


def _translation(fields: np.ndarray, memory: float) -> tuple[float, str]:
    """p-value of the largest wave of a local product that should not be there."""
    axes, worth_of = tuple(range(1, fields.ndim)), len(fields) / memory
    steps = [r for r in product((0, 1), repeat=len(axes)) if sum(r) <= 1]
    worst, why, tests = 0.0, "no waves to look at", 0
    for r in steps:
        waves = np.fft.rfftn(fields * np.roll(fields, np.negative(r), axes), axes=axes)
        parts = np.stack([waves.real, waves.imag]).reshape(2, len(fields), -1)[:, :, 1:]
        mean, sd = parts.mean(axis=1), parts.std(axis=1, ddof=1)
        alive = sd > 1e-9 * max(float(sd.max(initial=0.0)), 1e-300)
        z = np.abs(mean[alive]) / (sd[alive] / np.sqrt(worth_of))
        tests += z.size
        if z.size and z.max() > worst:
            worst = float(z.max())
            where = np.unravel_index(1 + int(np.argwhere(alive)[int(z.argmax())][1]), waves.shape[1:])
            why = f"the product of sites {r} apart has a wave {tuple(int(k) for k in where)} at {worst:.1f} sd"
    return min(1.0, 2.0 * max(tests, 1) * float(stats.t.sf(worst, max(worth_of - 1.0, 1.0)))), why


def _rao(
    fields: np.ndarray, action: AbstractAction, held: list[Term], others: list[Term], block: int
) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p-value of the equations of the terms left out."""
    scaled = fields / np.sqrt(np.mean(fields**2))
    made = [monomial_sums(scaled, term) for term in (*held, *others)]
    gradients, laplacians = np.stack([g for g, _ in made], axis=1), np.stack([lap for _, lap in made], axis=1)
    size, most = np.sqrt(np.mean(np.sum(gradients**2, axis=2), axis=0)), len(held)
    gradients, laplacians = gradients / size[:, None], laplacians / size
    force = np.zeros_like(gradients[:, 0])
    if isinstance(action, LatticePhi4) and action.kappa is not None:
        force = action.kappa * np.mean(fields**2) * monomial_sums(scaled, _kinetic(action))[0]
    matrix = np.einsum("nka,nla->kl", gradients, gradients) / len(fields)
    vector = np.mean(laplacians - np.einsum("nka,na->nk", gradients, force), axis=0)
    theta = np.linalg.lstsq(matrix[:most, :most], vector[:most])[0]
    force = force + np.einsum("k,nka->na", theta, gradients[:, :most])
    psi = np.einsum("nka,na->nk", gradients, force) - laplacians
    onto = np.linalg.lstsq(matrix[:most, :most], matrix[:most, most:])[0]
    rest = psi[:, most:] - psi[:, :most] @ onto
    rest = rest[: len(rest) // block * block].reshape(-1, block, rest.shape[1]).mean(axis=1)
    count, dof = len(rest), rest.shape[1]
    if count < _ROOM * dof + 1:
        return float("nan"), dof, float("nan")
    mean, covariance = rest.mean(axis=0), np.atleast_2d(np.cov(rest.T)) / count
    square = float(mean @ np.linalg.lstsq(covariance, mean)[0])
    return square, dof, hotelling(square, dof, count - 1.0)
