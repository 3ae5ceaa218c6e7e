"""The free scalar field as a network: plane waves of random momentum whose kernel is the propagator.

One neuron is s(x) = A(p) cos(p.x + c), c uniform, with momenta and amplitude

    rho(p) = R(p) (p^2 + m^2)^-(1+alpha) / Z_alpha,   A(p)^2 = 2 Z_alpha (p^2 + m^2)^alpha / (2 pi)^d,

R the regulator, so that for every alpha <s(x) s(y)> = G2(x-y) = int d^dp/(2 pi)^d R(p) cos(p.(x-y)) / (p^2 + m^2).
The alphas differ at finite width: G4c = (1/N)[(mu4/2) B - sum_P G2 G2], B = (Z_alpha/(2 pi)^d) sum_P I_(alpha-1)(q_P),
with q_P = x_a + x_b - x_c - x_d over the three pairings P and I_b as in `momenta.py`. alpha = -1 draws uniform
momenta, the published net (arXiv:2112.04527, 2307.03223): its kurtosis grows with the cutoff. alpha = 0 draws momenta
from the propagator, with a constant amplitude: N * kurtosis = (3/2) mu4 - 3 at every cutoff.
"""

from collections.abc import Mapping
from functools import reduce
from itertools import product
from math import log, pi
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float
from scipy import special

from ..neurons.base import EVERY_EVEN, AbstractNeuron, Drawn
from ..neurons.cos import UNIFORM_PHASE
from ..refusals import nearest
from ..types import Inputs, Points, Tuples, Vector
from .momenta import (
    Modes,
    Quantile,
    box_integral,
    box_momenta,
    box_squares,
    check_dimension,
    momentum_radius,
    radial_integral,
)
from .readouts import Readout, readout_law

__all__ = ["ScalarMode", "ultraviolet"]

_REGULATORS = ["hard", "gaussian", "box", "lattice"]
_WIDEST = 30.0  # decades between the powers (p^2 + m^2)^alpha of the first and last momentum: single precision


class ScalarMode(AbstractNeuron):
    """One mode of the free scalar field, s(x) = A(p) cos(p.x + c); the dimension is that of the points.

    Sites: `momentum_quantile` (the share of momenta nearer the end where A is large) and, in d > 1,
    `momentum_direction` (a Gaussian vector, to be normalised), or `momentum_mode` in the box; then `momentum`
    (deterministic) and `phase`. Outside the box p > 0 in d = 1, since p and -p are one mode up to the phase.

    Attributes:
        mass: m > 0.
        cutoff: Lambda; default 10 m. `float("inf")` is allowed for the hard regulator at alpha = 0 in d = 1: the
            Ornstein-Uhlenbeck kernel. In the box it is 2 pi K/L.
        alpha: share of the propagator's power in the momenta (0) or, at -1, all of it in the amplitude.
        regulator: "hard" (|p| < Lambda), "gaussian" (exp(-p^2/2 Lambda^2)), "box", or "lattice": a box whose p^2 is
            sum_i (2/a)^2 sin^2(p_i a/2), a = L/(2K + 1), so that the field at the sites is the free lattice field.
        length: side L of the periodic box.
        modes: K, largest |k_i| of the momenta 2 pi k/L of the box.

    Raises:
        ValueError: a mass or cutoff that is not positive, a box without its length or modes, an alpha whose amplitudes
            leave single precision; at the call, a dimension above 4, an infinite cutoff in d > 1, too large a box.

    Example:
        >>> import jax
        >>> neuron = ScalarMode(mass=1.0, cutoff=10.0)
        >>> numpyro.handlers.seed(neuron, jax.random.key(0))(np.zeros((3, 2))).shape
        (3,)
    """

    # Static: the normalisation and the table of momenta are computed from numbers, when the model is traced.
    words = "scalar"
    even = True  # c -> c + pi
    mass: float = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)
    alpha: float = eqx.field(static=True)
    regulator: str = eqx.field(static=True)
    length: float | None = eqx.field(static=True)
    modes: int | None = eqx.field(static=True)

    def __init__(
        self,
        mass: float = 1.0,
        cutoff: float | None = None,
        alpha: float = 0.0,
        *,
        regulator: str = "hard",
        length: float | None = None,
        modes: int | None = None,
    ) -> None:
        if regulator not in _REGULATORS:
            raise ValueError(
                f"expected regulator to be one of {', '.join(_REGULATORS)}, got {regulator!r}; "
                f"try {nearest(regulator, _REGULATORS)!r}"
            )
        self.mass = _positive(
            "mass",
            mass,
            why=": 1/p^2 is not integrable at p = 0 in d <= 2, and a box has a zero mode",
        )
        self.alpha = _number("alpha", alpha)
        if not np.isfinite(self.alpha):
            raise ValueError(f"expected alpha to be finite, got {alpha}; try alpha=0.0")
        self.regulator, self.length, self.modes = regulator, length, modes
        if regulator in ("box", "lattice"):
            self.length, self.modes, self.cutoff = _box(length, modes, cutoff)
        elif length is not None or modes is not None:
            raise ValueError(f"expected length and modes for the box only, got them for {regulator!r}; try 'box'")
        else:
            self.cutoff = _positive("cutoff", 10.0 * self.mass if cutoff is None else cutoff, finite=False)
        if np.isinf(self.cutoff):
            if regulator != "hard" or self.alpha != 0.0:
                raise ValueError(
                    f"expected a finite cutoff for regulator {regulator!r} and alpha = {alpha}, got {cutoff}: without "
                    "one only alpha = 0 in d = 1 has finite moments here; try cutoff=10.0"
                )
        elif (decades := abs(self.alpha) * log(1.0 + (self.cutoff / self.mass) ** 2, 10)) > _WIDEST:
            raise ValueError(
                f"expected amplitudes (p^2+m^2)^alpha within {_WIDEST:.0f} decades, got {decades:.0f} at alpha = "
                f"{alpha}; try alpha=0.0"
            )

    def __call__(self, points: Inputs) -> Drawn:
        """Draw one mode and return s(x) at every point."""
        d = points.shape[-1]
        momentum = numpyro.deterministic("momentum", self._momentum(d))
        phase: Any = numpyro.sample("phase", dist.Uniform(-jnp.pi, jnp.pi))
        wave = jnp.cos(momentum @ points.T + phase[..., None])
        strength = _total(self, d)  # Z_alpha/(2 pi)^d
        if self.alpha == 0.0:
            return (2.0 * strength) ** 0.5 * wave
        square = 1.0 + jnp.sum(self._squares(momentum), axis=-1, keepdims=True) / self.mass**2
        return (2.0 * strength * self.mass ** (2.0 * self.alpha)) ** 0.5 * square ** (self.alpha / 2.0) * wave

    def _momentum(self, d: int) -> Any:
        """p, (..., axis)."""
        if self.length is not None:
            assert self.modes is not None
            momenta = box_momenta(d, length=self.length, modes=self.modes)
            line = box_squares(self.length, self.modes, lattice=self.regulator == "lattice")
            line = np.concatenate([line[:0:-1], line])  # k = -K .. K
            square = reduce(np.add.outer, [line] * d).ravel() + self.mass**2
            # Large amplitudes first: there the distribution function is resolved best.
            order = np.argsort(-self.alpha * square if self.alpha else square, kind="stable")
            mode: Any = numpyro.sample("momentum_mode", Modes(square[order] ** -(1.0 + self.alpha)))
            return jnp.asarray(momenta[order])[mode]
        check_dimension(d, self.cutoff)
        quantile: Any = numpyro.sample("momentum_quantile", Quantile())
        damped = self.regulator == "gaussian"
        radius = momentum_radius(quantile, d, mass=self.mass, cutoff=self.cutoff, alpha=self.alpha, damped=damped)
        if d == 1:
            return radius[..., None]
        direction: Any = numpyro.sample("momentum_direction", dist.Normal(0.0, 1.0).expand([d]).to_event(1))
        return radius[..., None] * direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)

    def _squares(self, momentum: Any) -> Any:
        """p^2 of each axis, or the lattice's."""
        if self.regulator != "lattice":
            return momentum**2
        assert self.length is not None
        assert self.modes is not None
        half = self.length / (2 * self.modes + 1) / 2.0
        return (jnp.sin(half * momentum) / half) ** 2

    def moments(self, points: Points, tuples: Tuples) -> tuple[Vector, float]:
        """2^-r sum over neutral signs e of E[A^r cos(p.q_e)], q_e = sum_k e_k x_k.

        With w = Z_alpha/(2 pi)^d, E[A^r cos(p.q)] = 2^(r/2) w^(r/2-1) I_b(q), b = r alpha/2 - 1 - alpha. Odd orders
        vanish with the phase.

        Raises:
            ValueError: a dimension without a formula; points too far apart for the cutoff.

        Example, the Ornstein-Uhlenbeck kernel exp(-m|x-y|)/2m:

            >>> free = ScalarMode(mass=2.0, cutoff=float("inf"))
            >>> value, error = free.moments(np.array([[0.0], [1.0]]), np.array([[0, 0], [0, 1]]))
            >>> bool(np.allclose(value, [0.25, np.exp(-2.0) / 4], rtol=1e-14))
            True
        """
        count, order = tuples.shape
        if order % 2:
            return np.zeros(count), 0.0
        # Opposite signs give the same cosine: the first point's sign is +, and every term counts twice.
        signs = np.array([(1, *e) for e in product((1, -1), repeat=order - 1) if sum(e) == -1])
        separations = np.einsum("so,coa->csa", signs, points[tuples]).reshape(-1, points.shape[1])
        integral, error = _integral(self, separations, order * self.alpha / 2.0 - 1.0 - self.alpha)
        strength, slack = _integral(self, np.zeros((1, points.shape[1])), -1.0 - self.alpha)
        factor = 2.0 ** (1.0 - order / 2.0) * strength[0] ** (order / 2.0 - 1.0)
        value = factor * np.sum(integral.reshape(count, -1), axis=1)
        relative = (order / 2.0 - 1.0) * slack / strength[0]
        return value, factor * len(signs) * error + relative * float(np.max(np.abs(value), initial=0.0))

    @property
    def orders(self) -> range:
        return EVERY_EVEN

    @property
    def reasons(self) -> Mapping[str, str]:
        """A uniform phase, and outside the box momenta without a direction."""
        return UNIFORM_PHASE | ({"rotations": "the momenta are isotropic"} if self.length is None else {})

    @property
    def period(self) -> float:
        return float("inf") if self.length is None else self.length

    @property
    def spacing(self) -> float:
        if self.regulator != "lattice" or self.length is None or self.modes is None:
            return 0.0
        return self.length / (2 * self.modes + 1)

    def site_moment(self, points: Points, order: int) -> Vector:
        """<s(x)^r> = E[A^r] C(r, r/2)/2^r at each point, (point,), for any even order r: the same everywhere.

        Example:
            >>> free = ScalarMode(cutoff=float("inf"))            # A = 1, <cos^4> = 3/8
            >>> free.site_moment(np.zeros((2, 1)), 4).tolist()
            [0.375, 0.375]
        """
        d = points.shape[1]
        amplitude = 2.0 ** (order / 2.0) * _total(self, d) ** (order / 2.0 - 1.0)
        integral = _integral(self, np.zeros((1, d)), order * self.alpha / 2.0 - 1.0 - self.alpha)[0][0]
        return np.full(len(points), special.comb(order, order // 2, exact=True) / 2.0**order * amplitude * integral)


def ultraviolet(
    neuron: ScalarMode, cutoffs: Float[np.ndarray, " cutoff"], d: int, *, readout: Readout = "gaussian"
) -> Float[np.ndarray, " cutoff"]:
    """N G4c(x,x,x,x)/G2(x,x)^2 against the cutoff: is the network's non-Gaussianity finite without one?

    (3/2) mu4 E[A^4]/E[A^2]^2 - 3, exact. Constant at alpha = 0; at alpha = -1 it grows like Lambda/m in d = 1.

    Args:
        neuron: a `ScalarMode` with the hard or the Gaussian regulator; its own cutoff is replaced.
        cutoffs: Lambda, (cutoff,).
        d: dimension.
        readout: law of the readout weights.

    Raises:
        ValueError: a box, whose cutoff is its number of modes; what `ScalarMode` refuses.

    Example:
        >>> ultraviolet(ScalarMode(alpha=-1.0), np.array([10.0, 100.0, 1000.0]), 1).round(1).tolist()
        [13.3, 142.1, 1431.2]
        >>> ultraviolet(ScalarMode(), np.array([10.0, 1000.0]), 1).round(12).tolist()
        [1.5, 1.5]
    """
    if neuron.length is not None:
        raise ValueError(
            f"expected regulator 'hard' or 'gaussian', got {neuron.regulator!r}; try one ScalarMode for each modes="
        )
    law = readout_law(readout)
    out, site = [], np.zeros((1, d))
    for cutoff in np.asarray(cutoffs, dtype=float):
        mode = ScalarMode(neuron.mass, float(cutoff), neuron.alpha, regulator=neuron.regulator)
        second, fourth = (float(mode.site_moment(site, r)[0]) for r in (2, 4))
        out.append(law.moment(4) * fourth / second**2 - 3.0)
    return np.array(out)


def _integral(neuron: ScalarMode, separations: Points, power: float) -> tuple[Vector, float]:
    """I_b(q) under the neuron's regulator for vectors q, (component,), and its absolute error."""
    if neuron.length is not None:
        assert neuron.modes is not None
        box: dict[str, Any] = {"mass": neuron.mass, "length": neuron.length, "modes": neuron.modes}
        box["lattice"] = neuron.regulator == "lattice"
        values = box_integral(separations, power, **box)
        largest = box_integral(np.zeros((1, separations.shape[1])), power, **box)
        phases = 4.0 + neuron.cutoff * float(np.max(np.abs(separations), initial=0.0))
        return values, float(np.finfo(float).eps * phases * largest[0])
    radius = np.linalg.norm(separations, axis=1)
    damped = neuron.regulator == "gaussian"
    return radial_integral(radius, power, separations.shape[1], mass=neuron.mass, cutoff=neuron.cutoff, damped=damped)


def _total(neuron: ScalarMode, d: int) -> float:
    """Z_alpha/(2 pi)^d."""
    return float(_integral(neuron, np.zeros((1, d)), -1.0 - neuron.alpha)[0][0])


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected {name} to be a number, got {value!r}; try {name}=1.0") from None


def _positive(name: str, value: Any, *, finite: bool = True, why: str = "") -> float:
    number = _number(name, value)
    if not number > 0.0 or (finite and np.isinf(number)):
        raise ValueError(f"expected {name} to be {'finite and ' * finite}> 0, got {value}{why}; try {name}=1.0")
    return number


def _box(length: Any, modes: Any, cutoff: Any) -> tuple[float, int, float]:
    if length is None or modes is None:
        raise ValueError(
            f"expected length and modes of the box, got length={length}, modes={modes}; try length=10.0, modes=16"
        )
    side = _positive("length", length)
    if isinstance(modes, bool) or not isinstance(modes, (int, np.integer)) or modes < 1:
        raise ValueError(f"expected modes, the largest |k|, to be an integer >= 1, got {modes!r}; try modes=16")
    largest = 2.0 * pi * int(modes) / side
    if cutoff is not None and not np.isclose(float(cutoff), largest, rtol=1e-12):
        raise ValueError(f"expected no cutoff beside the box's own {largest:.6g}, got {cutoff}; try leaving it out")
    return side, int(modes), largest
