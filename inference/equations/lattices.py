"""Do the sites of a lattice lie as the action says, and does the action leave something out?

    translation     sum_x exp(i k x) phi_x phi_{x+r} vanishes on average for k != 0: another order of the sites, or
                    another shape, shows at once, because neighbours of the file are then no neighbours of the lattice
    left-out terms  <grad T . grad S - lap T> = 0 for terms T the action does not hold (the diagonal and next
                    neighbours, phi^3 phi and phi^2 phi^2 of neighbours, phi^6), with the couplings of the same fields

Waves of different k are uncorrelated in a translation-invariant theory, so the largest of them decides, after
Bonferroni. The second is Rao's score test with the covariance over configurations, Hotelling's F; configurations of a
chain are averaged in its blocks.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import stats

from ...models.actions.base import AbstractAction, SiteTerm
from ...models.distance import hotelling
from ..ensembles.source import Source
from ..ensembles.sums import group_length

__all__ = ["SiteTests", "judge_sites", "monomial_sums"]

_NUMBERS = 3e6  # of all gradients looked at: a tenth of a second
_LEAST = 100
_ROOM = 4  # independent configurations (or blocks) for each tested term, at least


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
        action: one whose sites are all alike; where it does not know its terms (`site_terms`), translations only.

    Raises:
        ValueError: an action of no lattice.
    """
    if action.lattice is None or not action.homogeneous:
        raise ValueError(f"expected an action of a periodic lattice, got {action!r}; try LatticePhi4(shape=(8, 8))")
    shape = action.lattice
    held, others, given = action.site_terms() or ([], {}, ())
    size = len(source.points) * (len(held) + len(others) + 3)
    count = int(min(source.n, max(_LEAST, _NUMBERS // size)))
    fields = source.read(0, count).astype(float).reshape(count, *shape)
    memory = 2.0 * source.dependence.tau
    p, why = _translation(fields, memory)
    block = 1 if source.dependence.block == 1 else group_length(source)
    nothing = float("nan"), 0, float("nan")
    found = _rao(fields, given, held, list(others.values()), block) if others else nothing
    return SiteTests(p, why, *found, tuple(others), count)


def monomial_sums(fields: np.ndarray, term: SiteTerm) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of a term at every site, and its Laplacian, of each configuration.

    Args:
        fields: (configuration, *shape).
        term: one of `AbstractAction.site_terms`.

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
    fields: np.ndarray, given: SiteTerm, held: list[SiteTerm], others: list[SiteTerm], block: int
) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p-value of the equations of the terms left out."""
    scaled = fields / np.sqrt(np.mean(fields**2))
    made = [monomial_sums(scaled, term) for term in (*held, *others)]
    gradients, laplacians = np.stack([g for g, _ in made], axis=1), np.stack([lap for _, lap in made], axis=1)
    size, most = np.sqrt(np.mean(np.sum(gradients**2, axis=2), axis=0)), len(held)
    gradients, laplacians = gradients / size[:, None], laplacians / size
    force = np.mean(fields**2) * monomial_sums(scaled, given)[0]
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
