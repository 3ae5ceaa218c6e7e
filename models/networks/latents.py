"""A random number shared by all neurons of a network: it correlates them, and the field interacts at any width.

Given the shared z the neurons are independent; over z the cumulants follow the law of total cumulance, so that at
N = infinity G4c = sum_3 Cov_z(K_z(a,b), K_z(c,d)). A scale tau multiplies the readout variance, E tau = 1, and
G4c = sum_3 {(E[tau^2]/N)(sigma^4 <s_a s_b s_c s_d> - K_ab K_cd) + Var(tau) K_ab K_cd} for a Gaussian readout. A length
divides the points. A quartic fit of the scale mixture at N = infinity returns `mixture_coupling`. Z[J] is an average
over tau too, so that the tail of its law decides where Z is finite.
"""

from abc import abstractmethod
from math import inf
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from scipy import optimize, special

from ..refusals import NotKnown, is_traced, number
from ..runtime import settled

__all__ = [
    "AbstractScale",
    "GammaScale",
    "LogNormalLength",
    "LogNormalScale",
    "ScaleTail",
    "StudentScale",
    "mixture_coupling",
]

_LOST = 45.0  # in the log: what is left out of an average over a scale weighs 1e-19
_FARTHEST = 80.0  # of |log tau|, where a rule looks for what is not negligible

ScaleRule = tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]  # tau, the log of its weight


def _check(name: str, value: float, floor: float, advice: float) -> None:
    if is_traced(value):
        return
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not floor < float(value) < inf:
        raise ValueError(f"expected {name} to be a finite number > {floor:g}, got {value!r}; try {advice}")


class ScaleTail(NamedTuple):
    """Where averages of exponentials of tau end, which decides where Z[J] is finite.

    Attributes:
        linear: E exp(t tau) is finite for t below; inf where it always is, 0 where it never is.
        root: the same of E exp(t sqrt tau).
        edge: the largest tau; inf where tau is not bounded.
    """

    linear: float
    root: float
    edge: float = inf


class AbstractScale(eqx.Module):
    """A positive factor tau of the readout variance, drawn once per network, E tau = 1.

    `law` and `moment` are enough for networks and their exact correlators; W[J] asks for `tail` too.

    Example: tau = 1/2 or 3/2.

        >>> class Either(AbstractScale):
        ...     def law(self):
        ...         return dist.TransformedDistribution(
        ...             dist.Bernoulli(probs=0.5), dist.transforms.AffineTransform(0.5, 1.0)
        ...         )
        ...     def moment(self, power):
        ...         return (0.5**power + 1.5**power) / 2.0
        >>> Either().variance_of_tau
        0.25
    """

    def __check_init__(self) -> None:
        if any(is_traced(leaf) for leaf in jax.tree.leaves(self)):
            return
        mean = self.moment(1)
        if not abs(mean - 1.0) < 1e-9:
            raise ValueError(
                f"expected a shared scale with E tau = 1, got {mean:.6g} of {type(self).__name__}; try tau/{mean:.6g}, "
                "and output_scale for the scale"
            )

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

    def tail(self) -> ScaleTail:
        """Where E exp(t tau) and E exp(t sqrt tau) end."""
        name = type(self).__name__
        raise NotKnown(
            f"expected a shared scale that brings `tail`, where E exp(t tau) and E exp(t sqrt tau) end, got {name}, "
            f"which has none; try writing {name}.tail, or inference.generating in field space, which looks at the tail"
        )

    def rule(self, rate: float, root: float, nodes: int) -> ScaleRule:
        """Trapezoidal rule in log tau for functions from 1 up to exp(rate tau + root sqrt(tau)) that have an average.

        From the density of `law`, between the places where what it weighs and the function together are negligible.
        The weights are logs, and sum to one: near the edge they underflow where the function makes up for it.

        Raises:
            ValueError: a law without a density, or one too narrow to be found: with it sum and mean are not one.
        """
        with settled():
            law: Any = self.law()

            @jax.jit
            def density(tau: jax.Array) -> jax.Array:
                return jnp.where(law.support(tau), law.log_prob(tau), -inf)

            def log_density(t: np.ndarray) -> np.ndarray:
                return np.asarray(density(jnp.exp(jnp.asarray(t)))) + t

            t = np.linspace(-_FARTHEST, _FARTHEST, 1 << 14)
            share = np.exp(log_density(t)) * (t[1] - t[0])
            if not (abs(share.sum() - 1.0) < 1e-6 and abs(share @ np.exp(t) - 1.0) < 1e-6):
                name = type(self).__name__
                raise ValueError(
                    f"expected a shared scale whose law has a density of sum and mean one, got {share.sum():.6g} and "
                    f"{share @ np.exp(t):.6g} of {name} in log tau; try writing {name}.rule"
                )
            kept = log_density(t) + rate * np.exp(t) + root * np.exp(0.5 * t) > -_LOST
            t = np.linspace(t[np.argmax(kept)], t[len(t) - 1 - np.argmax(kept[::-1])], nodes)
            log_weight = log_density(t)
        return np.exp(t), log_weight - np.asarray(special.logsumexp(log_weight))

    def __call__(self) -> Float[Array, ""]:
        """Draw tau."""
        return jnp.asarray(numpyro.sample("scale", self.law()))


class GammaScale(AbstractScale):
    """tau ~ Gamma of mean one and the given variance: E tau^k = prod_{j<k} (1 + j v).

    Raises:
        ValueError: a variance that is not positive.
    """

    variance: float = eqx.field(converter=number)

    def __check_init__(self) -> None:
        _check("variance", self.variance, 0.0, 0.1)

    def law(self) -> dist.Distribution:
        return dist.Gamma(1.0 / self.variance, 1.0 / self.variance)

    def moment(self, power: int) -> float:
        return float(np.prod(1.0 + self.variance * np.arange(power)))

    def tail(self) -> ScaleTail:
        return ScaleTail(linear=1.0 / self.variance, root=inf)

    def rule(self, rate: float, root: float, nodes: int) -> ScaleRule:
        """The same with a bound in closed form; rate < 1/v.

        Half of the margin 1/v - rate takes the square root, root sqrt(tau) <= margin tau/2 + root^2/(2 margin), the
        rest bounds the integrand by tau^(1/v) exp(-margin tau/2), against which its value at tau = 1, exp(-1/v) at
        least, decides what is left out.

        >>> tau, log_weight = GammaScale(0.5).rule(0.0, 0.0, 256)
        >>> [round(float(np.exp(log_weight) @ tau**power), 10) for power in (1, 2)]
        [1.0, 1.5]
        """
        margin = 1.0 / self.variance - rate
        left_out = 1.0 / self.variance + _LOST + 0.5 * root**2 / margin

        def bound(t: float) -> float:
            return t / self.variance - 0.5 * margin * np.exp(t) + left_out

        top = -np.log(0.5 * margin * self.variance)  # where the bound is largest
        far = top + 1.0
        while bound(far) > 0.0:
            far += 1.0
        low, high = (
            optimize.root_scalar(bound, bracket=bracket).root
            for bracket in ((-self.variance * (left_out + 1.0), top), (top, far))
        )
        t = np.linspace(low, high, nodes)
        log_weight = (t - np.exp(t)) / self.variance
        return np.exp(t), log_weight - np.asarray(special.logsumexp(log_weight))


class LogNormalScale(AbstractScale):
    """tau log-normal of mean one and the given variance: E tau^k = (1 + v)^(k(k-1)/2).

    Raises:
        ValueError: a variance that is not positive.
    """

    variance: float = eqx.field(converter=number)

    def __check_init__(self) -> None:
        _check("variance", self.variance, 0.0, 0.1)

    def law(self) -> dist.Distribution:
        spread = jnp.log1p(self.variance) if is_traced(self.variance) else float(np.log1p(self.variance))
        return dist.LogNormal(-spread / 2.0, spread**0.5)

    def moment(self, power: int) -> float:
        return float((1.0 + self.variance) ** (power * (power - 1) / 2.0))

    def tail(self) -> ScaleTail:
        return ScaleTail(linear=0.0, root=0.0)


class StudentScale(AbstractScale):
    """1/tau ~ Gamma: the readout weights are jointly Student-t of nu degrees of freedom, unit variance.

    E tau^k = prod_{j=1..k} (nu - 2)/(nu - 2j), which exists for nu > 2k: G4c for nu > 4, G6c for nu > 6.

    Raises:
        ValueError: two degrees of freedom or fewer, whose variance is infinite.

    Example:
        >>> StudentScale(10.0).moment(2)   # 8/8 . 8/6
        1.3333333333333333
    """

    nu: float = eqx.field(converter=number)

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

    def tail(self) -> ScaleTail:
        return ScaleTail(linear=0.0, root=0.0)


class LogNormalLength(eqx.Module):
    """A length l of median one that divides the points, log l ~ N(0, spread^2), drawn once per network.

    Raises:
        ValueError: a spread that is not positive.
    """

    spread: float = eqx.field(converter=number)

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
