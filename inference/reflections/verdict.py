"""What a set of times says of reflection positivity: smallest eigenvalue, worst direction, and how sure it is."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy import stats

from ...models.types import Matrix, Vector
from .matrices import Reflections
from .times import shown

__all__ = ["SIGMAS", "Positivity", "judged", "sizes_of", "worst_direction"]

SIGMAS = 3.0  # a one-sided false alarm once in 740
_RESOLVED = 1e-10  # eigenvalues of K below this share of the largest are round-off


@dataclass(frozen=True, eq=False)
class Positivity:
    """What a set of times says of reflection positivity.

    Attributes:
        order: of the correlators, twice the number of fields in a functional.
        times: the times, (time,).
        smallest: smallest eigenvalue of M.
        rounding: what it may be off by, of exact correlators.
        direction: in which M is most negative, measured by K, of length one, (functional,).
        size: v.M v in that direction.
        share: v.M v / v.K v, at least -1: how much of the state's size is negative.
        error: standard error of `size`; zero of exact correlators.
        sigmas: how many errors `size` is below zero, the choice of the direction paid for; inf where it is exact.
        reflected: M, (functional, functional).
        plain: K, (functional, functional).
        tested: networks behind the error; inf of correlators.
        about: the time about which is reflected.
    """

    order: int
    times: Vector
    smallest: float
    rounding: float
    direction: Vector = field(repr=False)
    size: float
    share: float
    error: float
    sigmas: float
    reflected: Matrix = field(repr=False)
    plain: Matrix = field(repr=False)
    tested: float = float("inf")
    about: float = 0.0

    @property
    def violated(self) -> bool:
        """Whether these times show a violation: below rounding, and by more than three errors."""
        return self.smallest < -self.rounding and self.sigmas > SIGMAS

    @property
    def holds(self) -> bool:
        """Whether these times show none; it says nothing of others."""
        return not self.violated

    def networks(self, sigmas: float = 5.0) -> float:
        """Networks at which the violation is seen at so many errors; inf where none is there.

        Of exact correlators Gaussian networks in the worst direction, s^2 (1 + share^2)/share^2; of a sample both of
        its halves, by the size that was seen.

        Raises:
            ValueError: exact correlators of an order above 2: a network's variance is not that of a Gaussian field.
        """
        if np.isfinite(self.tested):
            return 2.0 * self.tested * (sigmas * self.error / self.size) ** 2 if self.size < 0.0 else float("inf")
        if self.order != 2:
            raise ValueError(f"expected order 2, of which the variance is known, got order {self.order}; try order=2")
        seen = self.violated and self.share < 0.0
        return sigmas**2 * (1.0 + self.share**2) / self.share**2 if seen else float("inf")

    @property
    def words(self) -> str:
        """The number and the times, in short."""
        spread = "" if self.error == 0.0 else f" +- {self.error:.2g}"
        value = self.size if self.error > 0.0 else self.smallest if abs(self.smallest) > self.rounding else 0.0
        where = f" about t = {self.about:g}" if self.about else ""
        share = f", {100 * self.share:.3g} % of the size of the worst state," if self.violated else ""
        return f"order {self.order}: {value:.4g}{spread}{share} on these times {shown(self.times)}{where}"

    def __str__(self) -> str:
        by = "" if np.isinf(self.sigmas) else f" ({self.sigmas:.1f} sigma)"
        verdict = f"reflection positivity violated{by}" if self.violated else "no violation of reflection positivity"
        return f"{verdict}, {'smallest eigenvalue' if self.error == 0.0 else 'worst direction'} at {self.words}"


def judged(known: Reflections, times: Vector, order: int, about: float = 0.0) -> Positivity:
    """The verdict of M and K."""
    m, k = known.reflected, known.plain
    values, vectors = np.linalg.eigh(m)
    tried = [worst_direction(m, k), *vectors.T[: max(1, int(np.sum(values < 0.0)))]]
    # What round-off does is judged with every functional in units of its own size, so that units do not matter.
    size_of = sizes_of(k)
    off = len(m) * float(np.max(known.accuracy / np.outer(size_of, size_of)))
    if known.rows is None:
        alone, axes = np.linalg.eigh(m / np.outer(size_of, size_of))
        tried += list(_unit(axes[:, alone < 0.0] / size_of[:, None]).T)
        seen = (v for v in tried if v @ m @ v < -off * float(np.sum((v * size_of) ** 2)))
        direction = next(seen, vectors[:, 0])
        error, sigmas = 0.0, float("inf")
    else:
        direction, error = min(
            ((v, _error(known.rows, v)) for v in tried), key=lambda one: one[0] @ m @ one[0] / max(one[1], 1e-300)
        )
        # The direction was chosen on the same data: any of them is below zero by s errors with the chance that a chi^2
        # of as many numbers as M has exceeds s^2 (H. Scheffe, 1953), here as the sigmas of one number.
        s = max(0.0, -float(direction @ m @ direction) / max(error, 1e-300))
        dof = int(np.linalg.matrix_rank(known.rows.reshape(len(known.rows), -1)))
        sigmas = float(stats.norm.isf(max(stats.chi2.sf(s**2, dof), 1e-300)))
    rounding = off * float(np.sum((direction * size_of) ** 2))
    size, norm = float(direction @ m @ direction), float(direction @ k @ direction)
    share = size / norm if norm > 0.0 else 0.0
    return Positivity(
        order, times, float(values[0]), rounding, direction, size, share, error, sigmas, m, k, about=about
    )


def _error(rows: Float[np.ndarray, "row functional functional"], direction: Vector) -> float:
    return float(np.linalg.norm(np.einsum("i,rij,j->r", direction, rows, direction)))


def worst_direction(reflected: Matrix, plain: Matrix, *, resolved: float = _RESOLVED) -> Vector:
    """The direction of length one with the smallest v.M v / v.K v, among those that K resolves.

    Every functional counts in units of its own size: those of a small field are not lost beside the constant 1.
    """
    size = sizes_of(plain)
    scale = np.outer(size, size)
    sizes, axes = np.linalg.eigh(plain / scale)
    kept = sizes > resolved * sizes[-1]
    white = axes[:, kept] / np.sqrt(sizes[kept])
    _, vectors = np.linalg.eigh(white.T @ (reflected / scale) @ white)
    return np.asarray(_unit(white @ vectors[:, 0] / size))


def sizes_of(plain: Matrix) -> Vector:
    """Root mean square of every functional; one that vanishes counts as the largest.

    >>> sizes_of(np.diag([1.0, 1e-12, 0.0])).tolist()
    [1.0, 1e-06, 1.0]
    """
    size = np.sqrt(np.abs(np.diag(plain)))
    return np.where(size > 0.0, size, np.max(size) or 1.0)


def _unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.linalg.norm(columns, axis=0)
