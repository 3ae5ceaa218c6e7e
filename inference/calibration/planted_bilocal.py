"""Couplings of a bounded bilocal action, planted on a few points and found again by the steps that `fit` takes.

S = phi.K^-1.phi/2 + sum_a g_a phi_a^4 + sum_{a != b} u_ab phi_a phi_b^3 + sum_{a<b} v_ab phi_a^2 phi_b^2 with S4 >= 0:
fields are drawn from the free theory N(0, K) and kept with probability exp(-S4), which is exact. Of each simulation the
samples, their held-out metric, correlators, estimating equations and posterior are those of a user's own array. The
couplings are fixed, so this is coverage at one truth, under a prior worth one network.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ...models.actions.rungs import Bilocal
from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.samples import Samples
from ..methods.gold import Gold
from ..methods.method import AbstractMethod, Score
from ..methods.problem import Problem, prepare
from ..methods.pseudo import Pseudo
from ..priors.likelihood import gaussian_posterior
from .recovery import Recovery

__all__ = ["KINDS", "draw_bounded", "planted_bilocal"]

KINDS = ("lat", "rbf")
_TRIED = 200  # free fields for each field kept, at most


@settled(None)
def planted_bilocal(kind: str = "lat", *, n: int = 50_000, points: int = 4, strength: float = 0.1) -> Recovery:
    """A local pattern that varies over the points, and bilocal ones that fall off with the distance d in sites.

    g between .7 and 1.3 times the strength, v = .5 strength exp(-d^2/2), u = -.12 strength exp(-d^2/2).

    Args:
        kind: "lat", the propagator of a periodic chain of mass one, normalised to K_aa = 1; "rbf", exp(-r^2/2 l^2) with
            l = .6 on [-1, 1] and a nugget of .02.
        n: fields of each simulation.
        points: M, at least 2.
        strength: of the couplings, above 0; .02 is weak, .5 strong.

    Raises:
        ValueError: an unknown kind, or a strength or number of points it cannot have.

    >>> planted_bilocal("lat", points=2).names
    ('g0', 'g1', 'u01', 'u10', 'v01')
    """
    if kind not in KINDS:
        raise ValueError(f"expected a kernel lat or rbf, got {kind!r}; try 'lat'")
    if points < 2 or not 0.0 < strength < np.inf:
        raise ValueError(f"expected at least 2 points and a positive strength, got {points} and {strength}; try 4, 0.1")
    site = np.arange(points)
    apart = np.abs(site[:, None] - site)
    if kind == "lat":
        apart = np.minimum(apart, points - apart)
        hop = np.roll(np.eye(points), 1, axis=1)
        kernel = np.linalg.inv(3.0 * np.eye(points) - hop - hop.T)
        kernel /= kernel[0, 0]
    else:
        x = np.linspace(-1.0, 1.0, points)
        kernel = np.exp(-((x[:, None] - x) ** 2) / (2.0 * 0.6**2)) + 0.02 * np.eye(points)
    labels = Bilocal().blocks(points)
    near = np.exp(-(apart**2) / 2.0)
    g = strength * np.linspace(0.7, 1.3, points)
    u, v = -0.12 * strength * near, 0.5 * strength * near
    theta = np.concatenate([g, u[tuple(labels["u"].T)], v[tuple(labels["v"].T)]])
    names = tuple(name + "".join(map(str, label)) for name, block in labels.items() for label in block)
    positions = site[:, None].astype(float)

    def simulator(key: jax.Array, theta: Vector) -> Matrix:
        return draw_bounded(np.random.default_rng(np.asarray(jax.random.key_data(key))), kernel, theta, n)

    def posterior(law: Callable[[Problem, jax.Array], tuple[Vector, Matrix]]) -> Callable[..., Matrix]:
        def draw(key: jax.Array, fields: Matrix, draws: int) -> Matrix:
            problem = prepare(Samples(fields, positions), Bilocal())
            mean, covariance = law(problem, jax.random.fold_in(key, 1))
            white = np.random.default_rng(np.asarray(jax.random.key_data(key))).standard_normal((draws, len(mean)))
            sample = (mean + white @ np.linalg.cholesky(covariance).T) / problem.factors
            return sample[:, -len(names) :]

        return draw

    def closed(method: AbstractMethod) -> Callable[[Problem, jax.Array], tuple[Vector, Matrix]]:
        return lambda problem, key: gaussian_posterior(method.likelihood(problem, key=key).equations, problem.prior)

    def naive(problem: Problem, _: jax.Array) -> tuple[Vector, Matrix]:
        return problem.equations.estimate, problem.equations.naive

    def scalar(problem: Problem, _: jax.Array) -> tuple[Vector, Matrix]:
        own = problem.equations
        rate = np.trace(np.linalg.solve(own.matrix, own.noise)) / len(own.vector)
        return own.estimate, own.naive * rate

    posteriors: dict[str, Any] = {one.word: posterior(closed(one)) for one in (Score(), Pseudo(), Gold())}
    posteriors |= {"naive": posterior(naive), "scalar": posterior(scalar)}
    about = {"planted": kind, "n": n, "points": points, "strength": strength, "prior": "fixed couplings"}
    return Recovery(names, theta, simulator, posteriors, traced=False, about=about)


def draw_bounded(rng: np.random.Generator, kernel: Matrix, theta: Vector, n: int) -> Matrix:
    """Fields of the free theory kept with probability exp(-S4), (network, point): exact for S4 >= 0.

    Args:
        rng: NumPy's generator.
        kernel: K of the free theory, (point, point).
        theta: g, u, v in the order of `Bilocal`.
        n: fields.

    Raises:
        ValueError: a field of negative S4, or so few kept that the couplings are too strong for rejection.
    """
    points = len(kernel)
    g, u, v = np.split(theta, np.cumsum([points, points * (points - 1)]))
    labels = Bilocal().blocks(points)
    root = np.linalg.cholesky(kernel)
    kept: list[Matrix] = []
    count = tried = 0
    while count < n:
        phi = rng.standard_normal((n, points)) @ root.T
        a, b = labels["u"].T
        c, d = labels["v"].T
        action = phi**4 @ g + (phi[:, a] * phi[:, b] ** 3) @ u + (phi[:, c] ** 2 * phi[:, d] ** 2) @ v
        if action.min() < 0.0:
            raise ValueError(
                f"expected S4 >= 0 for rejection from the free theory, got {action.min():.3g}; try a larger g"
            )
        kept.append(phi[rng.random(n) < np.exp(-action)])
        count, tried = count + len(kept[-1]), tried + n
        if tried >= _TRIED * max(count, n / _TRIED):
            raise ValueError(
                f"expected to keep more than one field in {_TRIED}, got {count} of {tried}; try a smaller strength"
            )
    return np.concatenate(kept)[:n]
