"""The free scalar field without a cutoff: its spectral density, and its two-point function in both times.

    G(t, r) = (2 pi)^(-d/2) (m/s)^(d/2-1) K_(d/2-1)(m s),   s^2 = t^2 + r^2,
            = int_m^inf rho(E, r) exp(-E t) dE,   rho(E, r) = p^(n-2) A_n(p r) / ((4 pi)^(n/2) Gamma(n/2)),

p^2 = E^2 - m^2, n = d - 1 space dimensions, and A_n the average of cos(p.r) over directions. In d = 1 rho is
delta(E - m)/2m, and so it is at a fixed space momentum k in any d, with E = (m^2 + k^2)^(1/2) for m. In real time s^2 =
r^2 - t^2, from below the cut: outside the light cone real and positive, inside it a wave exp(-i m (t^2 - r^2)^(1/2)).
"""

from dataclasses import dataclass
from math import gamma, pi
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from scipy import special

from ..analytic.exact import exact
from ..networks.model import AbstractModel
from ..networks.momenta import angular_average
from ..quantum.spectrum import Spectrum
from ..refusals import is_whole
from ..types import Vector

__all__ = ["FreeField"]


@dataclass(frozen=True)
class FreeField:
    """The free scalar field of a mass in d dimensions of space and time.

    Args:
        mass: m > 0.
        dimension: d, 1 to 4.

    Raises:
        ValueError: a mass or a dimension that is none.

    Example, the oscillator:
        >>> one = FreeField(mass=2.0)
        >>> one.correlator([0.5]).round(6).tolist(), one.real_time([0.5]).round(6).tolist()
        ([0.09197], [(0.135076-0.210368j)])
    """

    mass: float = 1.0
    dimension: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.mass, bool) or not 0.0 < self.mass < np.inf:
            raise ValueError(f"expected a mass, finite and positive, got {self.mass!r}; try mass=1.0")
        if not is_whole(self.dimension, 1) or self.dimension > 4:
            raise ValueError(f"expected a dimension of space and time from 1 to 4, got {self.dimension!r}; try 1")

    def correlator(self, times: Any, separation: float = 0.0) -> Float[np.ndarray, "*time"]:
        """G(t, r) at Euclidean times, of any sign, and a distance in space.

        Raises:
            ValueError: one point in d > 1, where it is infinite; a distance in d = 1.
        """
        t = np.asarray(times, dtype=float)
        return np.real(self._at(np.sqrt(t**2 + self._distance(separation) ** 2 + 0j)))

    def real_time(self, times: Any, separation: float = 0.0) -> Complex[np.ndarray, "*time"]:
        """G(i t, r) = <phi(t, r) phi(0, 0)> at real times.

        Raises:
            ValueError: points on the light cone in d > 1, where it is infinite; a distance in d = 1.
        """
        t = np.asarray(times, dtype=float)
        apart = self._distance(separation) ** 2 - t**2
        size = np.sqrt(np.abs(apart)).astype(complex)
        return self._at(np.where(apart >= 0.0, size, 1j * np.sign(t) * size))

    def density(self, energies: Any, separation: float = 0.0) -> Float[np.ndarray, "*energy"]:
        """rho(E, r), zero below the mass; in d > 1.

        Raises:
            ValueError: d = 1, where it is one level: `spectrum`.

        >>> FreeField(dimension=4).density([0.5, 2**0.5]).round(9).tolist()   # p/(4 pi^2) at p = 1
        [0.0, 0.025330296]
        """
        n = self.dimension - 1
        if not n:
            raise ValueError("expected a dimension above 1, where energies are continuous, got 1; try spectrum()")
        square = np.asarray(energies, dtype=float) ** 2 - self.mass**2
        p = np.sqrt(np.maximum(square, np.finfo(float).tiny))
        size = p ** (n - 2.0) / ((4.0 * pi) ** (n / 2.0) * gamma(n / 2.0))
        return np.asarray(np.where(square > 0.0, size * angular_average(n, p * self._distance(separation)), 0.0))

    def spectrum(self, momentum: float = 0.0) -> Spectrum:
        """The one level at a fixed momentum in space, E = (m^2 + k^2)^(1/2) with weight 1/2E.

        >>> FreeField(mass=3.0, dimension=2).spectrum(momentum=4.0).energies.tolist()
        [5.0]
        """
        energy = float(np.hypot(self.mass, momentum))
        return Spectrum(np.array([energy]), np.array([0.5 / energy]))

    def cutoff_effect(self, network: AbstractModel, times: Any, separation: float = 0.0) -> Vector:
        """What the cutoff of a network changes, its exact G(t, r) less that of the field without one, (time,).

        Args:
            network: known exactly, of `m.ScalarMode` of this mass.
            times: Euclidean ones, (time,).
            separation: in space, along the second axis.

        Example, a hard cutoff in d = 1: 1/(pi Lambda) at one point, 1/(pi Lambda^2 t) at most beyond 1/Lambda.
            >>> from nnft.models import Network, ScalarMode
            >>> change = FreeField().cutoff_effect(Network(ScalarMode(cutoff=50.0), 10), [0.0, 1.0])
            >>> [f"{value:.1e}" for value in change.tolist()]
            ['-6.4e-03', '-3.8e-05']
        """
        t = np.atleast_1d(np.asarray(times, dtype=float))
        free = self.correlator(t, separation)
        points = np.zeros((2, self.dimension))
        found = np.empty(len(t))
        for k, time in enumerate(t.tolist()):
            points[1, 0] = time
            points[1, 1:2] = separation
            same = not np.any(points[1])
            found[k] = exact(network, points[: 1 if same else 2], orders=(2,)).connected(2)[0 if same else 1]
        return found - free

    def _distance(self, separation: float) -> float:
        if self.dimension == 1 and separation != 0.0:
            raise ValueError(f"expected no distance in space in d = 1, got {separation!r}; try separation=0.0")
        return float(separation)

    def _at(self, s: Complex[np.ndarray, "*time"]) -> Complex[np.ndarray, "*time"]:
        if self.dimension == 1:
            return np.asarray(np.exp(-self.mass * s) / (2.0 * self.mass))
        if np.any(s == 0.0):
            raise ValueError(
                f"expected points that are not on the light cone of each other, where G is infinite in d = "
                f"{self.dimension}, got a distance of zero; try other times, or a separation"
            )
        order = self.dimension / 2.0 - 1.0
        return np.asarray((2.0 * pi) ** -(order + 1.0) * (self.mass / s) ** order * special.kv(order, self.mass * s))
