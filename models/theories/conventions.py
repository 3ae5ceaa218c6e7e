"""Lattice phi^4 is written in half a dozen ways that differ by factors of two: this file translates between them.

Every form is sum_x [K sum_mu (phi_{x+mu} - phi_x)^2 + A phi_x^2 + B phi_x^4] with its own normalisation of the field.
With phi' = Z phi the couplings become K/Z^2, A/Z^2, B/Z^4, and the hopping forms collect 2 d K in front of phi^2:

    plain             sum_mu kappa (d_mu phi)^2 + m2 phi^2 + coupling phi^4            kappa kept, Z = 1
    unit              sum_mu (d_mu phi)^2 + m2 phi^2 + coupling phi^4                  arXiv:1904.12072
    half              sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + coupling phi^4
    half_quarter      sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + coupling phi^4/4            hep-lat/9712008
    half_factorial    sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + coupling phi^4/4!           textbooks
    hopping           -2 kappa sum_mu phi phi_mu + phi^2 + coupling (phi^2 - 1)^2      Luescher, Weisz 1987
    hopping_expanded  -2 kappa sum_mu phi phi_mu + (1 - 2 coupling) phi^2 + coupling phi^4
    hopping_beta      -beta sum_mu phi phi_mu + phi^2 + coupling (phi^2 - 1)^2         hep-lat/9902026

A number without its S means nothing: what `convert_lattice` returns prints both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from ..refusals import is_whole, nearest
from ..types import Matrix, Vector

__all__ = ["LATTICE_CONVENTIONS", "Convention", "LatticeCouplings", "convert_lattice"]


@dataclass(frozen=True)
class Convention:
    """One way to write S.

    Attributes:
        formula: S as text; d_mu phi = phi_{x+mu} - phi_x and phi_mu = phi_{x+mu}.
        names: its couplings, in order.
        normalisation: what fixes the scale of the field: nothing ("free"), the coefficient of (d phi)^2 ("kinetic"), or
            1 - 2 coupling in front of phi^2 ("hopping").
        factors: coefficients of the first to the last coupling in (d phi)^2 (or in -2 phi phi_mu), phi^2, phi^4.
        kinetic: the fixed coefficient of (d phi)^2, where there is one.
        shifted: S holds coupling (phi^2 - 1)^2, one `coupling` a site more than the expanded form.
    """

    formula: str
    names: tuple[str, ...]
    normalisation: Literal["free", "kinetic", "hopping"]
    factors: tuple[float, ...]
    kinetic: float = 1.0
    shifted: bool = False


_MASS, _KAPPA = ("m2", "coupling"), ("kappa", "coupling")
_HALF = "sum_x [sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + "
_HOP, _SHIFTED = "sum_x [-2 kappa sum_mu phi phi_mu + ", "phi^2 + coupling (phi^2 - 1)^2]"
LATTICE_CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "plain": Convention(
            "sum_x [kappa sum_mu (d_mu phi)^2 + m2 phi^2 + coupling phi^4]", ("kappa", *_MASS), "free", (1.0, 1.0, 1.0)
        ),
        "unit": Convention("sum_x [sum_mu (d_mu phi)^2 + m2 phi^2 + coupling phi^4]", _MASS, "kinetic", (1.0, 1.0)),
        "half": Convention(_HALF + "coupling phi^4]", _MASS, "kinetic", (0.5, 1.0), 0.5),
        "half_quarter": Convention(_HALF + "coupling phi^4/4]", _MASS, "kinetic", (0.5, 1 / 4), 0.5),
        "half_factorial": Convention(_HALF + "coupling phi^4/4!]", _MASS, "kinetic", (0.5, 1 / 24), 0.5),
        "hopping": Convention(_HOP + _SHIFTED, _KAPPA, "hopping", (1.0, 1.0), shifted=True),
        "hopping_expanded": Convention(
            _HOP + "(1 - 2 coupling) phi^2 + coupling phi^4]", _KAPPA, "hopping", (1.0, 1.0)
        ),
        "hopping_beta": Convention(
            "sum_x [-beta sum_mu phi phi_mu + " + _SHIFTED, ("beta", "coupling"), "hopping", (0.5, 1.0), shifted=True
        ),
    }
)


@dataclass(frozen=True, eq=False)
class LatticeCouplings:
    """Couplings in a stated convention, and how its field and its S compare with those they came from.

    Attributes:
        convention: name of the convention.
        values: coupling -> number.
        field_scale: Z of phi' = Z phi, phi the field before.
        constant: S' - S on one site, which no correlator sees.
        dimensions: d of the lattice.
        covariance: of the couplings, (coupling, coupling), to first order; zero where none was given.
        field_scale_error: standard error of Z.
    """

    convention: str
    values: Mapping[str, float]
    field_scale: float
    constant: float
    dimensions: int
    covariance: Matrix = field(repr=False)
    field_scale_error: float

    @property
    def formula(self) -> str:
        """S of the convention."""
        return LATTICE_CONVENTIONS[self.convention].formula

    @property
    def errors(self) -> Mapping[str, float]:
        """Coupling -> standard error."""
        return dict(zip(self.values, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    def __str__(self) -> str:
        parts = [f"{name} = {_number(self.values[name], error)}" for name, error in self.errors.items()]
        scale = _number(self.field_scale, self.field_scale_error)
        return f"S = {self.formula} in d = {self.dimensions}: {', '.join(parts)}; phi = {scale} x the field before"


def convert_lattice(
    values: Mapping[str, float], frm: str, to: str, *, dimensions: int = 2, covariance: Matrix | None = None
) -> LatticeCouplings:
    """Couplings of lattice phi^4 in another convention, with the rescaling of the field, S'(Z phi) = S(phi) + const.

    Args:
        values: coupling -> number, under the names of the convention `frm`.
        frm: a name in `LATTICE_CONVENTIONS`: "plain", "unit", "half", "half_quarter", "half_factorial", "hopping",
            "hopping_expanded" or "hopping_beta".
        to: another. "plain" keeps the field as it is (Z = 1) and lets kappa say its normalisation.
        dimensions: d, which the hopping forms need: (d phi)^2 holds 2 d phi^2.
        covariance: of the values in the order of the convention's names, carried over to first order.

    Returns:
        `LatticeCouplings`; printing it shows S beside the numbers.

    Raises:
        ValueError: an unknown convention, other couplings than the convention has, d < 1, a field that no real Z
            rescales to the normalisation asked for, a covariance of another shape or not symmetric and positive.

    Example, the lattice of arXiv:1904.12072:

        >>> print(convert_lattice({"m2": -4.0, "coupling": 8.0}, "unit", "half"))
        S = sum_x [sum_mu (d_mu phi)^2/2 + m2 phi^2/2 + coupling phi^4] in d = 2: m2 = -4, coupling = 2; \
phi = 1.41421 x the field before
        >>> convert_lattice({"m2": -4.0, "coupling": 8.0}, "unit", "hopping").values
        {'kappa': 0.25, 'coupling': 0.5}
    """
    source, target = _named(frm), _named(to)
    if not is_whole(dimensions, 1):
        raise ValueError(f"expected dimensions, a whole number >= 1, got {dimensions!r}; try 2")
    given = _checked(values, frm, source)
    spread = _covariance(covariance, source.names)
    coefficients, into = _to_plain(given, source, dimensions)
    result, scale, out = _from_plain(coefficients, target, to, dimensions)
    jacobian = out @ into
    carried = jacobian @ spread @ jacobian.T
    converted = dict(zip(target.names, result.tolist(), strict=True))
    return LatticeCouplings(
        convention=to,
        values=converted,
        field_scale=float(scale),
        constant=target.shifted * converted["coupling"] - source.shifted * float(values["coupling"]),
        dimensions=int(dimensions),
        covariance=carried[:-1, :-1],
        field_scale_error=float(np.sqrt(max(carried[-1, -1], 0.0))),
    )


def _to_plain(values: Vector, source: Convention, dimensions: int) -> tuple[Vector, Matrix]:
    """K, A, B of the same field, and their derivatives by the values, (3, coupling)."""
    scaled = np.array(source.factors)
    if source.normalisation == "free":
        return values * scaled, np.diag(scaled)
    jacobian = np.zeros((3, 2))
    if source.normalisation == "kinetic":
        jacobian[[1, 2], [0, 1]] = scaled
        return np.array([source.kinetic, 0.0, 0.0]) + jacobian @ values, jacobian
    jacobian[0, 0] = scaled[0]  # A = 1 - 2 coupling - 2 d K
    jacobian[1] = -2.0 * dimensions * scaled[0], -2.0 * scaled[1]
    jacobian[2, 1] = scaled[1]
    return np.array([0.0, 1.0, 0.0]) + jacobian @ values, jacobian


def _from_plain(plain: Vector, target: Convention, name: str, dimensions: int) -> tuple[Vector, float, Matrix]:
    """Values and Z of the target, and the derivatives of both by K, A, B, (coupling + 1, 3)."""
    kinetic, quadratic, quartic = plain.tolist()
    if target.normalisation == "free":
        return plain / target.factors, 1.0, np.concatenate([np.diag(1.0 / np.array(target.factors)), np.zeros((1, 3))])
    if target.normalisation == "kinetic":
        square, slope = kinetic / target.kinetic, np.array([1.0 / target.kinetic, 0.0, 0.0])
        if not square > 0.0:
            raise ValueError(
                f"expected a kinetic term of positive sign for the convention {name!r}, got K = {kinetic:.6g} in front "
                "of (d phi)^2; try 'plain', which keeps it, or a staggered field"
            )
        used = [1, 2]  # A and B
    else:
        square, slope = _hopping_scale(quadratic + 2.0 * dimensions * kinetic, quartic, dimensions)
        used = [0, 2]  # K and B
    powers = np.array([1, 2])  # of Z^2
    factors = np.array(target.factors) * square**powers
    result = plain[used] / factors
    jacobian = np.eye(3)[used] / factors[:, None] - np.outer(result * powers / square, slope)
    scale = float(np.sqrt(square))
    return result, scale, np.concatenate([jacobian, slope[None] / (2.0 * scale)])


def _hopping_scale(quadratic: float, quartic: float, dimensions: int) -> tuple[float, Vector]:
    """Z^2 with 1 - 2B/Z^4 = Q/Z^2, Q = A + 2 d K: the root that tends to Q for B -> 0; and its slope by K, A, B."""
    inside = quadratic**2 + 8.0 * quartic
    root = np.sqrt(max(inside, 0.0))
    # For Q < 0 the sum cancels: the product of both roots is -2B.
    square = (quadratic + root) / 2.0 if quadratic >= 0.0 else 4.0 * quartic / (root - quadratic)
    if inside <= 0.0 or not square > 0.0:
        raise ValueError(
            "expected Z^4 - Q Z^2 - 2B = 0 to have a positive simple root for a hopping form, Q = A + 2 d K, got "
            f"Q = {quadratic:.6g} and B = {quartic:.6g}; try 'plain' or 'half', which exist for every B"
        )
    by_q, by_b = square / root, 2.0 / root
    return float(square), np.array([2.0 * dimensions * by_q, by_q, by_b])


def _named(name: str) -> Convention:
    if name not in LATTICE_CONVENTIONS:
        known = list(LATTICE_CONVENTIONS)
        raise ValueError(f"expected a convention among {', '.join(known)}, got {name!r}; try {nearest(name, known)!r}")
    return LATTICE_CONVENTIONS[name]


def _checked(values: Mapping[str, float], name: str, convention: Convention) -> Vector:
    if set(values) != set(convention.names):
        raise ValueError(
            f"expected the couplings {', '.join(convention.names)} of {name!r}, S = {convention.formula}, got "
            f"{', '.join(map(str, values)) or 'none'}; try the names of that S, or another convention"
        )
    given = np.array([float(values[coupling]) for coupling in convention.names])
    if not np.all(np.isfinite(given)):
        raise ValueError(f"expected finite couplings, got {dict(values)}; try the numbers of one fit")
    return given


def _covariance(covariance: Matrix | None, names: tuple[str, ...]) -> Matrix:
    if covariance is None:
        return np.zeros((len(names), len(names)))
    given = np.asarray(covariance, dtype=float)
    if given.shape != (len(names), len(names)):
        raise ValueError(f"expected a covariance of {', '.join(names)}, in this order, got shape {given.shape}")
    low = float(np.linalg.eigvalsh((given + given.T) / 2.0)[0])
    if not np.allclose(given, given.T) or low < -1e-12 * np.max(np.abs(given)):
        raise ValueError(
            f"expected a symmetric positive covariance, got smallest eigenvalue {low:.3g}; try np.cov of the draws"
        )
    return given


def _number(value: float, error: float) -> str:
    return f"{value:.6g}" if error == 0.0 else f"{value:.6g} +- {error:.2g}"
