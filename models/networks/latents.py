"""A random number shared by all neurons of a network: it correlates them, and the field interacts at any width.

Given the shared z the neurons are independent; over z the cumulants follow the law of total cumulance, so that at
N = infinity G4c = sum_3 Cov_z(K_z(a,b), K_z(c,d)). A scale tau multiplies the readout variance, E tau = 1, and
G4c = sum_3 {(E[tau^2]/N)(sigma^4 <s_a s_b s_c s_d> - K_ab K_cd) + Var(tau) K_ab K_cd} for a Gaussian readout. A length
divides the points. A quartic fit of the scale mixture at N = infinity returns `mixture_coupling`.
"""

from abc import abstractmethod
from math import inf

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

__all__ = [
    "AbstractScale",
    "GammaScale",
    "LogNormalLength",
    "LogNormalScale",
    "StudentScale",
    "mixture_coupling",
]


def _check(name: str, value: float, floor: float, advice: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not floor < float(value) < inf:
        raise ValueError(f"expected {name} to be a finite number > {floor:g}, got {value!r}; try {advice}")


class AbstractScale(eqx.Module):
    """A positive factor tau of the readout variance, drawn once per network, E tau = 1."""

    @abstractmethod
    def law(self) -> dist.Distribution:
        """The distribution of tau."""

    @abstractmethod
    def moment(self, power: int) -> float:
        """E tau^power; inf where it does not exist."""

    @property
    def variance_of_tau(self) -> float:
        """Var tau: the strength of the interaction that survives N = infinity."""
        return self.moment(2) - 1.0

    @property
    def orders(self) -> float:
        """Correlators of an order below this number exist."""
        return inf

    def __call__(self) -> Float[Array, ""]:
        """Draw tau."""
        return jnp.asarray(numpyro.sample("scale", self.law()))


class GammaScale(AbstractScale):
    """tau ~ Gamma of mean one and the given variance: E tau^k = prod_{j<k} (1 + j v)."""

    variance: float

    def __check_init__(self) -> None:
        _check("variance", self.variance, 0.0, 0.1)

    def law(self) -> dist.Distribution:
        return dist.Gamma(1.0 / self.variance, 1.0 / self.variance)

    def moment(self, power: int) -> float:
        return float(np.prod(1.0 + self.variance * np.arange(power)))


class LogNormalScale(AbstractScale):
    """tau log-normal of mean one and the given variance: E tau^k = (1 + v)^(k(k-1)/2)."""

    variance: float

    def __check_init__(self) -> None:
        _check("variance", self.variance, 0.0, 0.1)

    def law(self) -> dist.Distribution:
        spread = float(np.log1p(self.variance))
        return dist.LogNormal(-spread / 2.0, spread**0.5)

    def moment(self, power: int) -> float:
        return float((1.0 + self.variance) ** (power * (power - 1) / 2.0))


class StudentScale(AbstractScale):
    """1/tau ~ Gamma: the readout weights are jointly Student-t of nu degrees of freedom, unit variance.

    E tau^k = prod_{j=1..k} (nu - 2)/(nu - 2j), which exists for nu > 2k: G4c for nu > 4, G6c for nu > 6.
    """

    nu: float

    def __check_init__(self) -> None:
        _check("nu, the degrees of freedom,", self.nu, 2.0, 10.0)

    def law(self) -> dist.Distribution:
        return dist.InverseGamma(self.nu / 2.0, (self.nu - 2.0) / 2.0)

    def moment(self, power: int) -> float:
        if self.nu <= 2 * power:
            return inf
        return float(np.prod((self.nu - 2.0) / (self.nu - 2.0 * np.arange(1, power + 1))))

    @property
    def orders(self) -> float:
        return self.nu


class LogNormalLength(eqx.Module):
    """A length l of median one that divides the points, log l ~ N(0, spread^2), drawn once per network."""

    spread: float

    def __check_init__(self) -> None:
        _check("spread", self.spread, 0.0, 0.3)

    def __call__(self) -> Float[Array, ""]:
        """Draw l."""
        return jnp.asarray(numpyro.sample("length", dist.LogNormal(0.0, self.spread)))

    def nodes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Lengths and weights of Gauss-Hermite quadrature over log l, those of weight above 1e-17, (node,) each."""
        z, weight = np.polynomial.hermite_e.hermegauss(count)
        weight = weight / weight.sum()
        return np.exp(self.spread * z)[weight > 1e-17], weight[weight > 1e-17]


def mixture_coupling(scale: AbstractScale, points: int) -> float:
    """Coefficient b of (phi K^-1 phi)^2 that score matching of a quartic action returns at N = infinity.

    b = -(E tau^2 - 1)/(4 [(M+4) E tau^3 - (M+2) (E tau^2)^2]) at M points; in modes whitened by K, g_a = b,
    v_ab = 2b = g_a + g_b, u_ab = 0. To first order in Var tau the Taylor coefficient -Var tau/8.

    Raises:
        ValueError: a scale without a third moment.

    >>> round(mixture_coupling(GammaScale(0.05), 2), 7)
    -0.0049603
    """
    second, third = scale.moment(2), scale.moment(3)
    if third == inf:
        raise ValueError(
            f"expected a scale with E tau^3, which the sixth moments need, got {scale}; try StudentScale(nu), nu > 6"
        )
    return -(second - 1.0) / (4.0 * ((points + 4) * third - (points + 2) * second**2))
