"""Learning by the readout alone, the hidden layers as they were drawn: linear, so in closed form at every width.

With S the empirical kernel, S(x, y) = sum_i J_i(x) J_i(y), J_i = d phi/d u_i over the readout weights, and r the
residuals y - phi_0(X),

    gradient flow on (1/2) |phi(X) - y|^2    phi_t(x) = phi_0(x) + S_xX S_XX^-1 (1 - e^(-S_XX t)) r ,
    Bayes, noise s^2 on the targets          phi(x) = phi_0(x) + S_xX (S_XX + s^2)^-1 (r - e),  e ~ N(0, s^2) ,

the second, for a Gaussian readout, a draw from the posterior given the hidden layers (Matheron's rule), each of which
weighs as much as its evidence N(y; 0, S_XX + s^2). In the limit N = infinity S is the kernel K, all weights are equal,
and both are Gaussian processes (`limits.py`).
"""

from math import inf, isfinite

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..types import Inputs, Matrix
from .lesson import Field, Lesson
from .way import AbstractWay, Kernels

__all__ = ["Bayes", "LastLayer", "check_normal"]

_READOUT = ("readout",)
_LINEAR = 1e-4  # of the field, in single precision
_FLAT = 1e-6  # eigenvalues of S_XX below this share of the largest move in no time that is asked for


class LastLayer(AbstractWay):
    """Gradient flow of the readout for times t, all of them from the same start.

    Attributes:
        times: when the field is looked at, ascending, in units of the inverse of S; inf is the end of training.
        sites: the parameters that move, which the field must be linear in.

    Raises:
        ValueError: no times, or negative ones.

    Example:
        >>> LastLayer((0, 2)).times
        (0.0, 2.0)
    """

    times: tuple[float, ...] = eqx.field(
        static=True, converter=lambda given: tuple(map(float, given)) if isinstance(given, tuple | list) else given
    )
    sites: tuple[str, ...] = eqx.field(static=True, default=("readout",))

    def __check_init__(self) -> None:
        known = isinstance(self.times, tuple) and self.times and all(t >= 0.0 for t in self.times)
        if not known or list(self.times) != sorted(set(self.times)):
            raise ValueError(
                f"expected times >= 0 in ascending order, got {self.times!r}; try times=(0.0, 2.0), or (math.inf,) for "
                "the end of training"
            )

    def check(self, field: Field, lesson: Lesson, points: Inputs) -> None:
        check_linear(field, lesson, self.sites)

    def learn(self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array) -> Float[Array, "time point"]:
        phi, j, residual = _linear(field, lesson, points, self.sites)
        seen = j[len(phi) :]
        level, axes = jnp.linalg.eigh(seen @ seen.T)
        along = axes.T @ residual
        across = (j[: len(phi)] @ seen.T) @ axes
        return jnp.stack([phi + across @ (progress(level, t) * along) for t in self.times])

    def conditional(
        self, field: Field, lesson: Lesson, points: Inputs
    ) -> tuple[Float[Array, "time point"], Float[Array, "time point point"]]:
        """Mean and covariance of the field at each time given the hidden layers, over a Gaussian readout.

        m = B y and C = (J - B J_X)(J - B J_X)^T with B = S_xX R_t, as long as nothing but the readout is left random.
        """
        phi, j, residual = _linear(_without(field, self.sites), lesson, points, self.sites)
        here, seen = j[: len(phi)], j[len(phi) :]
        level, axes = jnp.linalg.eigh(seen @ seen.T)
        means, covariances = [], []
        for t in self.times:
            to = (here @ seen.T @ axes * progress(level, t)) @ axes.T
            left = here - to @ seen
            means.append(phi + to @ residual)
            covariances.append(left @ left.T)
        return jnp.stack(means), jnp.stack(covariances)

    def kernel(self, kernels: Kernels) -> Matrix:
        if self.sites != ("readout",):
            raise ValueError(f"expected sites=('readout',), whose kernel is known, got {self.sites}; try inf.measure")
        return kernels.readout

    def response(self, kernel: Float[Array, "sample sample"], time: float) -> Float[Array, "sample sample"]:
        level, axes = jnp.linalg.eigh(kernel)
        return (axes * progress(level, time)) @ axes.T


class Bayes(AbstractWay):
    """The posterior of the readout given data with Gaussian noise, the hidden layers weighted by their evidence.

    Attributes:
        noise: variance s^2 of the noise on a target.

    Raises:
        ValueError: a noise that is not positive; where an ensemble is made, a readout that is not Gaussian about zero,
            or that the field is not linear in.

    Example:
        >>> Bayes(noise=0.1).times
        (inf,)
    """

    noise: float = eqx.field(static=True, default=0.1)

    def __check_init__(self) -> None:
        if not (isinstance(self.noise, float | int) and isfinite(self.noise) and self.noise > 0.0):
            raise ValueError(
                f"expected noise, the variance of a target, above 0, got {self.noise!r}; try noise=0.01, or "
                "m.LastLayer((math.inf,)) for targets without noise"
            )

    @property
    def times(self) -> tuple[float, ...]:
        return (inf,)

    @property
    def variance(self) -> float:
        return self.noise

    def check(self, field: Field, lesson: Lesson, points: Inputs) -> None:
        check_linear(field, lesson, _READOUT)
        check_normal(field, _READOUT)

    def learn(self, field: Field, lesson: Lesson, points: Inputs, key: jax.Array) -> Float[Array, "time point"]:
        phi, j, residual = _linear(field, lesson, points, _READOUT)
        seen = j[len(phi) :]
        own = seen @ seen.T + self.noise * jnp.eye(len(seen))
        still = _without(field, _READOUT)  # what the readout does not make, a bias, is as it was drawn
        left = lesson.targets - field.at(still.start, lesson.inputs)
        numpyro.factor("evidence", dist.MultivariateNormal(covariance_matrix=own).log_prob(left))
        error = self.noise**0.5 * jax.random.normal(key, residual.shape, residual.dtype)
        return (phi + (j[: len(phi)] @ seen.T) @ jnp.linalg.solve(own, residual - error))[None]

    def kernel(self, kernels: Kernels) -> Matrix:
        """That of the field: what is not the readout is inferred too, by the weights."""
        return kernels.start

    def response(self, kernel: Float[Array, "sample sample"], time: float) -> Float[Array, "sample sample"]:
        return jnp.linalg.inv(kernel + self.noise * jnp.eye(len(kernel)))


def progress(level: Float[Array, " sample"], time: float) -> Float[Array, " sample"]:
    """(1 - e^(-s t))/s at the eigenvalues s of S_XX; at t = inf 1/s, and zero where s is round-off: nothing moves."""
    floor = _FLAT * jnp.max(level)
    size = jnp.maximum(level, floor)
    if time == inf:
        return jnp.where(level > floor, 1.0 / size, 0.0)
    return jnp.where(level > floor, -jnp.expm1(-size * time) / size, time)


def check_normal(field: Field, sites: tuple[str, ...]) -> None:
    """Refuse parameters that are not Gaussian about zero, over which no integral is known."""
    if strange := [name for name in sites if not field.normal(name)]:
        raise ValueError(
            f"expected a readout that is Gaussian about zero, got the site {strange[0]!r} of another law; try "
            "readout='gaussian', or m.LastLayer and m.Descent, which take any"
        )


def check_linear(field: Field, lesson: Lesson, sites: tuple[str, ...]) -> None:
    """Refuse parameters that the field is not linear in: phi(2u) - phi(u) = phi(u) - phi(0), at the inputs."""
    if missing := [name for name in sites if name not in field.start]:
        raise ValueError(
            f"expected a program with parameters {sites}, got {sorted(field.start)}; try sites=, or naming the readout "
            f"{missing[0]!r}"
        )
    zero, one, two = (
        field.at({name: k * u if name in sites else u for name, u in field.start.items()}, lesson.inputs)
        for k in (0.0, 1.0, 2.0)
    )
    size = float(jnp.max(jnp.abs(one - zero)) + jnp.max(jnp.abs(one)))
    off = float(jnp.max(jnp.abs(two - 2.0 * one + zero)))
    if not off <= _LINEAR * size:
        raise ValueError(
            f"expected a field that is linear in {', '.join(sites)}, got one that is off by {off / size:.2g} of itself "
            "at twice the parameters; try the readout alone, or m.Descent(rate, steps, sites=...)"
        )


def _without(field: Field, sites: tuple[str, ...]) -> Field:
    """The same network, these parameters zero."""
    return field._replace(start={name: jnp.zeros_like(u) if name in sites else u for name, u in field.start.items()})


def _linear(
    field: Field, lesson: Lesson, points: Inputs, sites: tuple[str, ...]
) -> tuple[Float[Array, " point"], Float[Array, "both parameter"], Float[Array, " sample"]]:
    """phi_0 at the points, J at points and inputs, and the residuals."""
    both = jnp.concatenate([jnp.asarray(points), lesson.inputs])
    rest = {name: u for name, u in field.start.items() if name not in sites}
    moving = {name: field.start[name] for name in sites}
    phi = field.at(field.start, both)
    slopes = jax.jacrev(lambda u: field.at({**rest, **u}, both))(moving)
    j = jnp.concatenate([slopes[name].reshape(len(both), -1) for name in sites], axis=1)
    return phi[: len(points)], j, lesson.targets - phi[len(points) :]
