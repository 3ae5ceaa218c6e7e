"""The field in the leading modes of its two-point function: c_k = v_k . phi/sqrt(kappa_k), K v_k = kappa_k v_k.

For a smooth kernel a handful of modes carries the field, and of the many couplings of many points only those of the
leading modes can be resolved. The density of the modes is the marginal of that of the points; in modes the two-point
function is the unit matrix.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ...models.arrays import attach, unique
from ...models.combinatorics import connected_from_moments
from ...models.correlators import Correlators
from ...models.types import Matrix, Points
from .source import Source

__all__ = ["InModes", "in_modes", "leading_modes"]


@dataclass(frozen=True, eq=False)
class InModes(Source):
    """Networks of another source, seen in modes; a `Source` like any other, its points the numbers of the modes."""

    source: Source
    modes: Float[np.ndarray, "mode point"]
    points: Points = field(init=False)
    n: int = field(init=False)
    even: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", np.arange(float(len(self.modes)))[:, None])
        object.__setattr__(self, "n", self.source.n)
        object.__setattr__(self, "even", self.source.even)  # of the modes if of the field
        if self.source.weighted:
            raise ValueError(
                "expected networks of equal weight to look at in modes, got draws weighted by numpyro.factor; try the "
                "points themselves"
            )

    def recipe(self) -> dict[str, Any]:
        return {**self.source.recipe(), "modes": len(self.modes)}

    def read(self, start: int, count: int) -> Float[np.ndarray, "network mode"]:
        """Modes of networks start .. start+count-1, (network, mode)."""
        return self.source.read(start, count).astype(float) @ self.modes.T

    def sent(self, first: int, count: int) -> Source:
        return InModes(self.source.sent(first, count), self.modes)

    def __repr__(self) -> str:
        return f"{len(self.modes)} modes of {self.source!r}"


def leading_modes(two_point: Matrix, count: int) -> tuple[Float[np.ndarray, "mode point"], float]:
    """Rows v_k/sqrt(kappa_k) of the `count` largest kappa, and the share of the trace of K they carry.

    Raises:
        ValueError: more modes than points, or one whose eigenvalue is round-off.

    >>> leading_modes(np.diag([4.0, 1.0]), 1)
    (array([[0.5, 0. ]]), 0.8)
    """
    eigenvalues, vectors = np.linalg.eigh(two_point)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    most = int(np.sum(eigenvalues > 1e-10 * eigenvalues[0]))
    if count > most:
        raise ValueError(
            f"expected at most {most} modes at {len(two_point)} points (the next eigenvalue of K is round-off), got "
            f"{count}; try Modes(count={most})"
        )
    vectors = vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(len(vectors))])
    return (vectors[:, :count] / np.sqrt(eigenvalues[:count])).T, float(eigenvalues[:count].sum() / eigenvalues.sum())


def in_modes(
    data: Correlators | Source, modes: Float[np.ndarray, "mode point"]
) -> tuple[Correlators | None, Source | None]:
    """Correlators in modes where the data are exact, else the networks behind the data in modes.

    Raises:
        ValueError: correlators with errors but without their networks; too many points for exact sixth moments.
    """
    if not isinstance(data, Correlators):
        return None, data.through(lambda source: InModes(source, modes))
    if data.source is not None and not np.isinf(data.networks):
        return None, data.source.through(lambda source: InModes(source, modes))
    if any(data.rows.values()):
        raise ValueError(
            "expected networks or exact correlators to look at in modes, got correlators with errors and no networks; "
            "try inf.fit(ensemble, ...)"
        )
    moments = {r: unique(attach(data.tensor(r, "moment"), modes)) for r in sorted(data.moments) if r <= 6}
    even = data.even or not any(r % 2 for r in moments)
    known = [r for r in moments if all(s in moments for s in range(1, r + 1) if s % 2 == 0 or not even)]
    cumulants = {r: connected_from_moments(moments, len(modes), r, even=even) for r in known}
    points: Any = np.arange(float(len(modes)))[:, None]
    about = {**data.about, "modes": len(modes)}
    return Correlators(points, moments, cumulants, maker=data.maker, even=data.even, about=about), None
