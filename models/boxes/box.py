"""A periodic box and the free scalar field in it: its modes below a cutoff, and what the modes above it would add.

    phi(x) = sum_a q_a u_a(x),  u = 1, sqrt2 cos(2 pi k x/L), sqrt2 sin(2 pi k x/L), k = 1 .. K, multiplied over axes,
    <q_a^2> = 1/(V (p_a^2 + m^2)),  V = L^d.

The box average of phi^2 is sum_a q_a^2, and that of a power phi^r is the plain mean over more than r K nodes an axis:
of fields with |k_i| <= K the trapezoidal sum is exact. In d = 1 the field of all modes is known,
G(t) = cosh(m(L/2 - t))/(2m sinh(mL/2)); what the modes above K lack of it is `missing`, delta = missing(0) -> 1/(pi
Lambda), Lambda = 2 pi K/L.

With `lattice` the box is a lattice of 2K + 1 sites an axis, a = L/(2K + 1): p^2 is (2/a)^2 sin^2(p a/2), integrals are
sums over the sites times a^d, and no mode is above the cutoff. Its infinite width is `inf.sample_lattice`'s field with
m2 = a^2 m^2 and lam = a^(4-d) lambda/4!, that is phi a^(1 - d/2).
"""

from functools import lru_cache
from itertools import product
from math import pi
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ..networks.momenta import box_integral, box_squares
from ..refusals import is_whole, number
from ..types import Matrix, Vector

__all__ = ["Box", "Waves"]


class Waves(NamedTuple):
    """Where a plane wave goes among the products of cosines and sines of the axes, in the order of `momenta`.

    cos(p.x + c) puts, for the subset s of the axes that carry a sine, sign * cos(c + |s| pi/2) at (|k|, s). Of p and
    -p, which are one wave up to its phase, one is kept, with the share of both.

    square: p^2 + m^2; share: 1 or 2 momenta; place: the number of |k|, a row of (K + 1)^d; sign: of each subset;
    quarter: |s|.
    """

    square: Float[np.ndarray, " momentum"]
    share: Float[np.ndarray, " momentum"]
    place: Int[np.ndarray, " momentum"]
    sign: Float[np.ndarray, "momentum subset"]
    quarter: Int[np.ndarray, " subset"]


class Box(eqx.Module):
    """A periodic box of side L in d = 1 or 2, its modes |k_i| <= K, and the free field of mass m in it.

    Attributes:
        length: L.
        modes: K.
        mass: m.
        dimension: d.
        lattice: whether it is a lattice of 2K + 1 sites an axis.

    Raises:
        ValueError: a length or mass that is not positive, modes below 1, a dimension other than 1 or 2.

    Example:
        >>> box = Box(length=10.0, modes=32)
        >>> round(box.variance, 8), round(float(box.missing(0.0)), 8)
        (0.48447119, 0.01557421)
        >>> box.synthesis(4).shape
        (130, 65)
    """

    length: float = eqx.field(static=True, converter=number)
    modes: int = eqx.field(static=True)
    mass: float = eqx.field(static=True, converter=number, default=1.0)
    dimension: int = eqx.field(static=True, default=1)
    lattice: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name, value, usual in (("length", self.length, "10.0"), ("mass", self.mass, "1.0")):
            if not (isinstance(value, int | float) and 0.0 < value < np.inf):
                raise ValueError(f"expected {name} of the box to be finite and > 0, got {value!r}; try {usual}")
        if not is_whole(self.modes, 1):
            raise ValueError(f"expected modes, the largest |k|, to be an integer >= 1, got {self.modes!r}; try 32")
        if self.dimension not in (1, 2):
            raise ValueError(f"expected dimension 1 or 2 of the box, got {self.dimension!r}; try dimension=1")
        if not isinstance(self.lattice, bool):
            raise ValueError(
                f"expected lattice True or False, got {self.lattice!r}; try lattice=True with {self.modes}"
                f" modes for {2 * self.modes + 1} sites"
            )

    @property
    def volume(self) -> float:
        """V = L^d."""
        return self.length**self.dimension

    @property
    def size(self) -> int:
        """(2K + 1)^d, the number of modes."""
        return (2 * self.modes + 1) ** self.dimension

    @property
    def cutoff(self) -> float:
        """Lambda = 2 pi K/L."""
        return 2.0 * pi * self.modes / self.length

    @property
    def momenta(self) -> Vector:
        """p_k = 2 pi k/L along one axis, k = 0 .. K, (mode,)."""
        return 2.0 * pi / self.length * np.arange(self.modes + 1)

    @property
    def squares(self) -> Vector:
        """p_k^2 along one axis, k = 0 .. K, the lattice's if it is one, (mode,)."""
        return box_squares(self.length, self.modes, lattice=self.lattice)

    @property
    def spacing(self) -> float:
        """A = L/(2K + 1), of as many sites as there are modes."""
        return self.length / (2 * self.modes + 1)

    @property
    def variance(self) -> float:
        """C = <phi^2> of the free field, the sum of 1/(V (p^2 + m^2)) over the modes."""
        return self.power_integral(-1.0)

    def power_integral(self, power: float, mass: float | None = None) -> float:
        """The sum of (p^2 + m^2)^power/V over the modes, of another mass if one is given."""
        at = np.zeros((1, self.dimension))
        own = self.mass if mass is None else mass
        found = box_integral(at, power, mass=own, length=self.length, modes=self.modes, lattice=self.lattice)
        return float(found[0])

    @property
    def curvature(self) -> Vector:
        """V (p_a^2 + m^2) of each basis function, (function,): S = 1/2 sum_a curvature_a q_a^2."""
        line = np.concatenate([self.squares, self.squares[1:]])
        square = line if self.dimension == 1 else np.add.outer(line, line)
        return self.volume * (square.ravel() + self.mass**2)

    @property
    def spectrum(self) -> Vector:
        """The free field's P_k, k = 0 .. K, so that its correlation along one axis is sum_k P_k cos(p_k t), (mode,).

        Of the field integrated over the other axes, if there are any: P_k = 2/(L (p_k^2 + m^2)), half of it at k = 0.
        """
        return np.where(self.momenta > 0.0, 2.0, 1.0) / (self.length * (self.squares + self.mass**2))

    def propagator(self, times: Any) -> np.ndarray:
        """sum_k P_k cos(p_k t) of the free field with its cutoff, of any shape."""
        return np.asarray(np.cos(np.multiply.outer(np.asarray(times, dtype=float), self.momenta)) @ self.spectrum)

    def complete(self, times: Any) -> np.ndarray:
        """The free field of all modes: cosh(m(L/2 - t))/(2m sinh(mL/2)), periodic in t; along one axis in d = 2.

        Of a lattice they are the modes that it has.
        """
        if self.lattice:
            return self.propagator(times)
        t, m = np.asarray(times, dtype=float) % self.length, self.mass
        scale = 2.0 * m * -np.expm1(-m * self.length)
        return np.asarray((np.exp(-m * t) + np.exp(-m * (self.length - t))) / scale)

    def missing(self, times: Any) -> np.ndarray:
        """What the modes above the cutoff add to the propagator, of any shape; delta at t = 0 in d = 1."""
        return np.asarray(self.complete(times) - self.propagator(times))

    def missing_square(self, mass: float) -> float:
        """The sum of 1/(L (p^2 + M^2)^2) over the modes above the cutoff, for another mass M; d = 1."""
        if self.lattice:
            return 0.0
        x = mass * self.length / 2.0
        whole = (1.0 / np.tanh(x) + x / np.sinh(min(x, 300.0)) ** 2) / (4.0 * mass**3)
        return whole - self.power_integral(-2.0, mass)

    def nodes(self, degree: int) -> int:
        """Nodes an axis on which the mean of a polynomial of that degree is exact: the even number above degree * K.

        Of a lattice its sites, whatever the degree.
        """
        return 2 * self.modes + 1 if self.lattice else 2 * (degree * self.modes // 2 + 1)

    def synthesis(self, degree: int) -> Matrix:
        """u_a at the nodes along one axis, (node, 2K + 1)."""
        return self.functions(np.arange(self.nodes(degree)) * (self.length / self.nodes(degree)))

    def functions(self, x: Any) -> Matrix:
        """u_a along one axis at any points, (point, 2K + 1)."""
        phase = np.multiply.outer(np.asarray(x, dtype=float), self.momenta[1:])
        return np.concatenate([np.ones((len(phase), 1)), 2**0.5 * np.cos(phase), 2**0.5 * np.sin(phase)], axis=1)

    @property
    def waves(self) -> Waves:
        """The momenta of the box, of each pair p, -p one, and where their waves go among the basis functions."""
        return _waves(self)

    @property
    def norms(self) -> Matrix:
        """What a product of cosines and sines is in units of its u_a, (|k|, subset); 0 for the sine of k = 0."""
        line = np.full((self.modes + 1, 2), 0.5**0.5)
        line[0] = 1.0, 0.0
        if self.dimension == 1:
            return line
        return np.einsum("ks,lt->klst", line, line).reshape(-1, 4)


@lru_cache(maxsize=16)
def _waves(box: Box) -> Waves:
    """Re e^(ic) prod_j (C_j + i S_j), multiplied out: each axis brings its cosine or i times its sine."""
    ranges = [range(box.modes + 1), *[range(-box.modes, box.modes + 1)] * (box.dimension - 1)]
    k = np.array(list(product(*ranges)))
    subsets = np.array(list(product((0, 1), repeat=box.dimension)))
    place = np.zeros(len(k), dtype=int)
    for axis in range(box.dimension):
        place = place * (box.modes + 1) + np.abs(k[:, axis])
    return Waves(
        np.sum(box.squares[np.abs(k)], axis=1) + box.mass**2,
        np.where(k[:, 0] > 0, 2.0, 1.0),
        place,
        np.prod(np.where(subsets[None], np.sign(k)[:, None], 1), axis=2).astype(float),
        subsets.sum(axis=1),
    )
