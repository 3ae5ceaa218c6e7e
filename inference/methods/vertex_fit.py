"""Couplings read off the connected four-point function itself, without ever inverting the two-point function.

To first order in S_int = int dy (l0 + l2 y^2) phi(y)^4 + lNL int dy dz phi(y)^2 phi(z)^2, |y|, |z| <= Lambda, d = 1,

    G4c(x1..x4) = -[ 24 l0 T0 + 24 l2 T2 + 8 lNL sum_3 TNL ],   T0 = int dy prod_i K(x_i, y),  T2 = int dy y^2 prod_i K,
    TNL = int dy K(x_a, y) K(x_b, y) int dz K(x_c, z) K(x_d, z)  over the three pairings,

K the kernel without output bias (arXiv:2008.08601, sec. 4). Linear in the couplings, so least squares gives them, as
far as the columns of the design can be told apart: where they cannot, only the combinations that can are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import special

from ...models.combinatorics import moment_jacobian, moments_from_connected, pairings, sorted_tuples, tuple_count
from ...models.correlators import Correlators, check_points, check_scrambles
from ...models.distance import Chi2, distance, leading
from ...models.networks.network import Network
from ...models.refusals import nearest
from ...models.types import Points, Tuples, Vector

__all__ = [
    "COUPLINGS",
    "Combination",
    "CorrelatorFit",
    "fit_correlators",
    "neuron_kernel",
    "vertex_design",
    "vertex_sums",
]

COUPLINGS = ("local", "quadratic", "nonlocal")  # l0, l2, lNL: the columns of the design
ACCURACY = 1e-3  # relative accuracy of G4c from about a million neurons; no fit may count on a better one
_CONVERGED = 1e-12
_ROUND_OFF = 1e-13


@dataclass(frozen=True)
class Combination:
    """A sum of couplings that the data determine: coefficients (coupling,), its value and standard error."""

    coefficients: Vector
    value: float
    error: float


@dataclass(frozen=True, eq=False)
class CorrelatorFit:
    """Couplings from G4c by least squares, or the combinations of them that can be told apart.

    Attributes:
        names: couplings fitted, among "local", "quadratic", "nonlocal".
        estimate: (coupling,); with unresolved directions the solution of least norm in scaled columns, which serves
            predictions and is no measurement of each coupling.
        covariance: of the estimate, statistical, (coupling, coupling).
        four_point: fitted G4c on sorted quads, (quad,).
        singular_values: of the design with columns scaled to norm one, over the largest, (coupling,).
        accuracy: relative error of G4c that the fit has to live with: the largest of 1e-3, the statistical error and
            what the model leaves out. Directions whose singular value is below it are not resolved.
        misfit: |G4c - fit| / |G4c| with every direction above round-off used, plain norm on sorted quads.
        combinations: what is determined, one for each resolved direction, the most certain first; the first coupling
            that matters in it has coefficient one.
        chi2: of the residual in the full covariance; None for exact correlators.
    """

    names: tuple[str, ...]
    estimate: Float[np.ndarray, " coupling"]
    covariance: Float[np.ndarray, "coupling coupling"]
    four_point: Float[np.ndarray, " quad"]
    singular_values: Float[np.ndarray, " coupling"]
    accuracy: float
    misfit: float
    combinations: tuple[Combination, ...]
    chi2: Chi2 | None
    rows: Float[np.ndarray, "row quad"]
    """Error rows of the fitted G4c, (row, quad)."""
    coupling_rows: Float[np.ndarray, "row coupling"]
    """Error rows of the estimate, (row, coupling)."""
    points: Points

    @property
    def condition(self) -> float:
        """Largest over smallest singular value of the scaled design; inf where the columns are proportional."""
        smallest = float(self.singular_values[-1])
        return 1.0 / smallest if smallest > _ROUND_OFF else float("inf")

    @property
    def why(self) -> str:
        """Why separate couplings are refused, with the number that decided; empty where they are given."""
        if len(self.combinations) == len(self.names):
            return ""
        return (
            f"the design has condition {self.condition:.2g}, which turns a relative error {self.accuracy:.2g} of G4c "
            f"into {self.condition * self.accuracy:.2g} in the worst combination of {', '.join(self.names)}: only "
            f"{len(self.combinations)} of {len(self.names)} combinations can be told apart"
        )

    def coupling(self, name: str) -> tuple[float, float]:
        """One coupling and its standard error.

        Raises:
            ValueError: it was not fitted, or cannot be separated from the others; the message says by which number.
        """
        if name not in self.names:
            raise ValueError(f"expected a coupling among {list(self.names)}, got {name!r}; try fitting it too")
        if self.why:
            raise ValueError(
                f"expected couplings that can be told apart, got {len(self.names)} of which {self.why}; "
                "try .combinations, or fewer couplings"
            )
        k = self.names.index(name)
        return float(self.estimate[k]), float(np.sqrt(self.covariance[k, k]))

    def at(self, points: Points, design: Float[np.ndarray, "quad 3"]) -> "CorrelatorFit":
        """The same couplings at other points, whose G4c and predictions are then held out.

        Args:
            points: (point, 1).
            design: `vertex_design` at these points.

        Raises:
            ValueError: a design that does not belong to the points.
        """
        x = check_points(points)
        shape = (tuple_count(len(x), 4), len(COUPLINGS))
        if design.shape != shape:
            raise ValueError(f"expected a design of shape {shape}, got {design.shape}; try vertex_design at the points")
        columns = design[:, [COUPLINGS.index(name) for name in self.names]]
        return replace(self, four_point=columns @ self.estimate, rows=self.coupling_rows @ columns.T, points=x)

    def predict(self, two_point: Vector) -> Correlators:
        """Full two-, four- and six-point functions to first order in the couplings, with their statistical errors.

        G6 = sum_15 K K K + sum_15 G4c K with the fitted G4c, and no connected six-point function: that starts at second
        order. The two-point function, on sorted pairs (pair,), holds the output bias.
        """
        count = len(self.points)
        connected = {2: np.asarray(two_point, dtype=float), 4: self.four_point}
        moments = {r: moments_from_connected(connected, count, r) for r in (2, 4, 6)}
        rows = {r: np.zeros((len(self.rows), len(m))) for r, m in moments.items()}
        if len(self.rows):  # couplings from exact correlators have no error to carry
            for r in (4, 6):
                rows[r] = np.asarray(moment_jacobian(connected, count, r)[4] @ self.rows.T).T.reshape(
                    len(self.rows), -1
                )
        return Correlators(
            points=self.points,
            moments=moments,
            cumulants=connected,
            rows={"moment": rows, "connected": {2: rows[2], 4: self.rows}},
            maker="predicted",
            even=True,
            about={"couplings": self.names},
        )


def neuron_kernel(
    network: Network, x: Float[np.ndarray, "here axis"], y: Float[np.ndarray, "there axis"]
) -> Float[np.ndarray, "here there"]:
    """K(x, y) = sigma^2 <s(x) s(y)>, the kernel without output bias, in closed form, (here, there).

    Cos, Gauss, Erf and ReLU have one; of several kinds of neurons it is the mean.

    Raises:
        ValueError: a neuron that brings no `kernel`, a shared length.

    Example:
        >>> from nnft.models import ReLU
        >>> neuron_kernel(Network(ReLU(), 1), np.array([[1.0]]), np.array([[2.0], [-2.0]])).round(12).tolist()
        [[1.0, 0.0]]
    """
    if network.shared_length is not None:
        raise ValueError(
            f"expected neurons with one closed kernel, got the shared length {network.shared_length}, which averages "
            "over many; try m.exact for its correlators"
        )
    return network.output_scale**2 * np.mean([kind.kernel(x, y) for kind in network.kinds], axis=0)


def vertex_sums(
    kernel: Float[np.ndarray, "point node"],
    nodes: Float[np.ndarray, " node"],
    weights: Float[np.ndarray, " node"],
    tuples: Tuples,
) -> Float[np.ndarray, "component 3"]:
    """The design -24 T0, -24 T2, -8 sum_3 TNL with the integrals as sums over weighted nodes, (component, 3).

    Example, one point at one node, K = 1:

        >>> vertex_sums(np.ones((1, 1)), np.array([2.0]), np.ones(1), np.zeros((1, 4), dtype=int)).tolist()
        [[-24.0, -96.0, -24.0]]
    """
    legs = np.prod(kernel[tuples], axis=1)
    pairs = (kernel * weights) @ kernel.T
    channels = sum(
        pairs[tuples[:, a], tuples[:, b]] * pairs[tuples[:, c], tuples[:, d]] for (a, b), (c, d) in pairings(4)
    )
    return -np.stack([24.0 * legs @ weights, 24.0 * legs @ (weights * nodes**2), 8.0 * np.asarray(channels)], axis=1)


def vertex_design(network: Network, points: Points, *, cutoff: float) -> Float[np.ndarray, "quad 3"]:
    """How G4c answers to l0, l2 and lNL, d G4c / d lambda_i on the sorted quads, vertices at |y| <= cutoff, (quad, 3).

    Gauss-Legendre on panels that double in size away from the origin, refined until no entry changes by 1e-12.

    Args:
        network: its neuron decides the kernel; the width does not enter.
        points: (point, 1).
        cutoff: Lambda.

    Raises:
        ValueError: more than one dimension, a cutoff that is not finite and positive, integrals that do not converge.

    Example, d = 1 ReLU without bias at x = 1: 24 int_0^1 (y/2)^4 dy = 24/80.

        >>> from nnft.models import ReLU
        >>> vertex_design(Network(ReLU(), 1), np.ones((1, 1)), cutoff=1.0)[:, 0].round(12).tolist()
        [-0.3]
    """
    x = check_points(points)
    if x.shape[1] != 1:
        raise ValueError(f"expected points in one dimension, got {x.shape[1]}; try points of shape (point, 1)")
    if not 0.0 < cutoff < float("inf"):
        raise ValueError(f"expected a finite cutoff > 0, got {cutoff}; try 10, the whole line for a Gaussian kernel")
    panels = int(np.clip(np.ceil(np.log2(cutoff)) + 4, 1, 60))
    edges = np.concatenate([[0.0], cutoff * 2.0 ** -np.arange(panels)[::-1]])
    quads, before = sorted_tuples(len(x), 4), np.zeros(1)
    for count in (16, 32, 64, 128, 256):
        unit, share = special.roots_legendre(count)
        half, middle = np.diff(edges) / 2.0, (edges[1:] + edges[:-1]) / 2.0
        right, weights = (middle[:, None] + half[:, None] * unit).ravel(), (half[:, None] * share).ravel()
        nodes, weights = np.concatenate([-right, right]), np.tile(weights, 2)
        design = vertex_sums(neuron_kernel(network, x, nodes[:, None]), nodes, weights, quads)
        change = np.max(np.abs(design - before) / np.max(np.abs(design), axis=0))
        if change < _CONVERGED:
            return design
        before = design
    raise ValueError(f"expected vertex integrals that converge, got a change of {change:.1g}; try a smaller cutoff")


def fit_correlators(
    data: Correlators,
    design: Float[np.ndarray, "quad 3"],
    *,
    couplings: Sequence[str] = ("local",),
    weights: str = "covariance",
) -> CorrelatorFit:
    """Couplings from the connected four-point function of `data` by weighted least squares.

    Args:
        data: exact, measured or given correlators with order 4.
        design: from `vertex_design` or `vertex_sums` at the same points.
        couplings: any of "local", "quadratic", "nonlocal".
        weights: "covariance", the full covariance of G4c in the directions it resolves, the best where the model is
            right; "equal", every sorted quad the same, the published choice. Where the model is wrong the two return
            different projections, and only the second is the same for every ensemble. Errors come from the full
            covariance either way. Equal also for exact correlators, and where the covariance resolves fewer directions
            than there are combinations.

    Raises:
        ValueError: an unknown coupling or weight, a design of another shape, order 4 missing or refused, G4c zero.

    Example, d = 1 ReLU at x > 0, local, Lambda = 1: l0 = -12.5/N:

        >>> from nnft.models import ReLU, exact
        >>> net, x = Network(ReLU(), 10), np.array([[0.2], [1.0]])
        >>> fit = fit_correlators(exact(net, x), vertex_design(net, x, cutoff=1.0))
        >>> round(fit.coupling("local")[0], 9)
        -1.25
    """
    names = tuple(name for name in COUPLINGS if name in couplings)
    unknown = [name for name in couplings if name not in COUPLINGS]
    if unknown or not names:
        word = str(unknown[0] if unknown else couplings)
        raise ValueError(f"expected couplings among {COUPLINGS}, got {word!r}; try {nearest(word, list(COUPLINGS))!r}")
    if weights not in ("covariance", "equal"):
        raise ValueError(f"expected weights 'covariance' or 'equal', got {weights!r}; try 'covariance'")
    value = data.connected(4)
    if design.shape != (len(value), 3):
        raise ValueError(f"expected a design of shape {(len(value), 3)}, got {design.shape}; try vertex_design")
    norm = float(np.linalg.norm(value))
    if norm == 0.0:
        raise ValueError("expected a connected four-point function to fit, got zero; try a network of finite width")
    columns = design[:, [COUPLINGS.index(name) for name in names]]
    scale = np.linalg.norm(columns, axis=0)
    scaled = columns / scale
    rows = data.rows.get("connected", {}).get(4, np.zeros((0, len(value))))
    check_scrambles(data, len(value), "a fit of correlators")
    left, singular, right = np.linalg.svd(scaled, full_matrices=False)
    relative = singular / singular[0]
    firm = left[:, relative > _ROUND_OFF]
    misfit = float(np.linalg.norm(value - firm @ (firm.T @ value))) / norm
    noise = float(np.linalg.norm(rows)) / norm
    accuracy = max(ACCURACY, misfit, noise)
    resolved = relative > min(accuracy, 0.5)  # the leading direction always is, or there is nothing to say
    basis = right[resolved].T  # (coupling, resolved), for couplings times the norms of their columns
    whitener, kept = _whitener(rows, data)
    weighing = whitener if len(rows) and weights == "covariance" and kept >= basis.shape[1] else np.eye(len(value))
    solver = np.linalg.pinv(weighing @ scaled @ basis) @ weighing
    amplitude, amplitude_rows = solver @ value, rows @ solver.T
    to_couplings = basis / scale[:, None]
    estimate, spread = to_couplings @ amplitude, amplitude_rows @ to_couplings.T
    fitted = columns @ estimate
    return CorrelatorFit(
        names=names,
        estimate=estimate,
        covariance=spread.T @ spread,
        four_point=fitted,
        singular_values=relative,
        accuracy=accuracy,
        misfit=misfit,
        combinations=_combinations(basis, scale, amplitude, amplitude_rows),
        chi2=_chi2(value - fitted, rows - spread @ columns.T, kept - basis.shape[1], data) if len(rows) else None,
        rows=amplitude_rows @ (scaled @ basis).T,
        coupling_rows=spread,
        points=data.points,
    )


def _combinations(
    basis: Float[np.ndarray, "coupling resolved"],
    scale: Float[np.ndarray, " coupling"],
    values: Float[np.ndarray, " resolved"],
    rows: Float[np.ndarray, "row resolved"],
) -> tuple[Combination, ...]:
    """Resolved directions as sums of couplings, in units of the first coupling that matters."""
    out = []
    for share, value, row in zip(basis.T, values, rows.T, strict=True):
        vector = share * scale
        unit = vector[np.flatnonzero(np.abs(share) > 0.1)[0]]
        out.append(Combination(vector / unit, float(value / unit), float(np.linalg.norm(row) / abs(unit))))
    return tuple(out)


def _whitener(rows: np.ndarray, data: Correlators) -> tuple[np.ndarray, int]:
    """W with W C W^T = 1 in the directions the covariance resolves, as `Correlators.chi2` chooses them."""
    error = np.linalg.norm(rows, axis=0)
    if not len(rows) or not np.all(error > 0.0):
        return np.zeros((0, rows.shape[1])), 0
    vectors, values, _ = leading(rows / error, networks=data.networks, dof=data.dof, connected=True)
    return (vectors / np.sqrt(values)).T / error, len(values)


def _chi2(residual: Vector, rows: np.ndarray, free: int, data: Correlators) -> Chi2:
    """Distance of what the couplings leave over, in its own covariance, of `free` directions."""
    if free < 1:
        return Chi2(0.0, 0, 1.0, "as many couplings as resolved directions")
    about = {"networks": data.networks, "dof": data.dof, "connected": True, "groups": data.groups}
    found = distance(residual, rows, **about)
    return found._replace(why=f"beyond the couplings; {found.why}")
