"""What n networks will tell about the couplings, computed before any of them is drawn.

Around the free theory N(0, K) the Fisher matrix of a network is the covariance of the terms of the action, and Wick
ordering splits the freely fitted quadratic part off exactly: with phi_a phi_b phi_c phi_d = :phi_a phi_b phi_c phi_d: +
sum_6 K_ab :phi_c phi_d: + const and <:m: :m':> = sum over complete contractions,

    F_kl = <:T_k: :T_l:> ,   C = F^-1/n  (Cramer-Rao) ,   (n F + P)^-1  with a prior of precision P.

The exact four-point function of a network gives the couplings to be expected to leading order, theta = -F^-1 T.G4c,
its exact moments up to order six those at every eps4, the projection that a fit returns (`projection.py`). A fit by
score matching in the metric K has, to leading order, the same target and the same errors: A = 4 F, since every :T_k: is
an eigenfunction of the Laplacian of N(0, K) in that metric. In the directions v_k with F v_k = l_k P v_k the data know
n l_k times what the prior knows, so that p_eff = tr[(nF + P)^-1 nF] = sum_k n l_k/(n l_k + 1) couplings are measured.
Amari and Nagaoka, Methods of Information Geometry (2000), ch. 2 (Fisher matrix of an exponential family);
2307.03223 sec. 4 (leading order).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...models.actions.base import AbstractAction
from ...models.actions.rungs import Bilocal
from ...models.analytic.exact import exact, known_orders
from ...models.combinatorics import sorted_tuples, tuple_count
from ...models.correlators import Correlators, check_points
from ...models.diagrams.from_couplings import non_gaussianity
from ...models.display import card, points_in_words, strip
from ...models.multiplets.placed import Placed, at_places
from ...models.networks.model import AbstractModel
from ...models.runtime import settled
from ...models.types import Matrix, Points, Vector
from ..ensembles.moments import MAX_COMPONENTS
from ..equations.metric import CONDITION_LIMIT
from ..equations.schwinger_dyson import RESOLUTION_LIMIT
from .information import directions, fisher_information, unit_prior
from .projection import LEADING, projection

__all__ = ["Design", "Needed", "design"]

_SIGMA = 3.0  # standard errors at which a direction counts as seen
_ERRORS = 3.0  # relative error over eps4 of errors at lambda = 0, at most
_ROWS = 10  # couplings and directions that are printed


class Needed(NamedTuple):
    """Networks for an expected significance of `sigma`: of each coupling, of the best combination of all of them.

    factor: by which these numbers may be off either way; NaN where eps4 is not known.
    """

    sigma: float
    each: Vector
    best: float
    factor: float


@dataclass(frozen=True, eq=False)
class Design:
    """What an experiment with `networks` networks is expected to tell; print it.

    Attributes:
        action: name of the action.
        points: (point, axis).
        networks: n.
        names: the quartic couplings, (coupling,).
        fisher: F of one network, quadratic part profiled out, physical couplings, (coupling, coupling).
        prior: precision P of the prior on them, (coupling, coupling).
        prior_name: what that prior is, in words.
        error: Cramer-Rao standard error of each coupling without prior, infinite where F cannot be inverted.
        posterior_error: the same with the prior.
        expected: couplings that a fit is expected to return, (coupling,): the projection of the network's law on the
            action where its moments of order six are known (`projected`), else leading order; None where only the
            kernel is known or F cannot be inverted.
        leading: the same at leading order.
        projected: whether `expected` is the projection.
        expected_z: expected significance of each direction without prior, (direction,); None where only the kernel is
            known.
        resolution: n l_k of each direction, what the data know over what the prior knows, descending, (direction,).
        directions: v_k, v.P.v = 1, (direction, coupling).
        eps4: distance of the network to the Gaussian; None where it is not known.
        share: part of n eps4^2, the evidence against the Gaussian, that the action can take up; None likewise.
        condition: of the correlation matrix of the points.
    """

    action: str
    points: Points
    networks: float
    names: tuple[str, ...]
    fisher: Matrix
    prior: Matrix
    prior_name: str
    error: Vector
    posterior_error: Vector
    expected: Vector | None
    leading: Vector | None
    projected: bool
    expected_z: Vector | None
    resolution: Vector
    directions: Matrix
    eps4: float | None
    share: float | None
    condition: float

    @property
    def effective(self) -> float:
        """p_eff, the number of couplings that the data rather than the prior determine."""
        return float(np.sum(self.resolution / (1.0 + self.resolution)))

    @property
    def resolved(self) -> int:
        """Directions about which n networks know more than the prior, n l_k > 1."""
        return int(np.sum(self.resolution > 1.0))

    @property
    def seen(self) -> int | None:
        """Directions with an expected significance above three standard errors."""
        return None if self.expected_z is None else int(np.sum(np.abs(self.expected_z) > _SIGMA))

    @property
    def z(self) -> Vector | None:
        """Expected coupling over its error without prior, (coupling,)."""
        return None if self.expected is None else self.expected / self.error

    @property
    def factor(self) -> float:
        """By which "networks for 3 sigma" may be off either way; NaN where eps4 is not known.

        They go like (error/coupling)^2. Errors at lambda = 0 are off by up to 1 + 3 eps4, couplings at leading order by
        up to 1 + 7.3 eps4; those of the projection are exact.
        """
        if self.eps4 is None:
            return float("nan")
        return (1.0 + _ERRORS * self.eps4) ** 2 * (1.0 if self.projected else (1.0 + LEADING * self.eps4) ** 2)

    def needed(self, sigma: float = _SIGMA) -> Needed:
        """Networks at which couplings of the expected size stand at `sigma` standard errors.

        The best combination is theta itself: sigma^2/(theta F theta).

        Raises:
            ValueError: sigma that is not positive, no expected couplings.
        """
        if not 0.0 < sigma < np.inf:
            raise ValueError(f"expected a positive number of standard errors, got {sigma}; try sigma=3.0")
        if self.expected_z is None:
            raise ValueError(
                "expected a network whose four-point function is known exactly, got its kernel only; "
                "try m.Network(m.Cos(), width=50), or a coupling of yours over design.error"
            )
        with np.errstate(divide="ignore"):
            each = np.full(len(self.names), np.inf) if self.z is None else self.networks * (sigma / self.z) ** 2
            best = float(self.networks * sigma**2 / np.sum(self.expected_z**2))
            return Needed(sigma, each, best, self.factor)

    def __str__(self) -> str:
        return "\n".join(_table(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        z, blank = self.z, "-"
        best = np.arange(len(self.names)) if z is None else np.argsort(-np.abs(z), kind="stable")
        each = None if z is None else self.needed().each
        rows = [
            (
                self.names[k],
                blank if self.expected is None else f"{self.expected[k]:+.3e}",
                f"{self.error[k]:.2e}",
                f"{self.posterior_error[k]:.2e}",
                blank if z is None or each is None else f"{z[k]:+.2f}",
                blank if each is None else f"{each[k]:.2e}",
            )
            for k in best[:_ROWS]
        ]
        head = ("coupling", "expected", "error", "with prior", "z", f"networks for {_SIGMA:g} sigma")
        said = (f"p_eff = {self.effective:.1f} of {len(self.names)}", f"{self.resolved} directions with n l > 1")
        title = f"{self.action} at {points_in_words(self.points)}; {self.networks:,.0f} networks; {', '.join(said)}"
        scaled = () if z is None else z[best]
        return card(title, rows, head=head, below=strip(scaled, np.ones(len(scaled)), [self.names[k] for k in best]))


@settled(None)
def design(
    network: AbstractModel | Matrix,
    points: Points,
    n: float,
    *,
    action: AbstractAction = Bilocal(),  # noqa: B008 (a frozen module)
    weights: Vector | None = None,
    prior_scale: float = 1.0,
    prior_sd: float | Sequence[float] | Vector | None = None,
) -> Design:
    """Errors, significances and resolvable combinations of couplings that n networks will give, without sampling.

    Args:
        network: a `Network` whose two-point function is known exactly, or a kernel K, (point, point).
        points: (point, axis).
        n: number of networks.
        action: which quartic couplings; its quadratic part is fitted and profiled out.
        weights: quadrature weights of a continuum grid, (point,); default one each.
        prior_scale: s of the default prior of `fit`, precision F/s^2: 1 is worth one network, in every direction.
        prior_sd: instead of it, independent Gaussian priors of these standard deviations on the physical couplings.

    Expected couplings are those a fit to exact correlators returns, at every eps4, where sixth moments are known
    (networks of the suite at few points, an action with a free quadratic part); else leading order, and the table says
    so. Errors are those at lambda = 0: off by a relative one to three eps4 (planted lattice action, K the full
    two-point function: 4 % at eps4 = .016, 14 % at .079, larger for a positive coupling, smaller for a negative one).

    Raises:
        ValueError: a model or action whose kernel or terms are not known here, a kernel that is no covariance, n or a
            prior that is not positive.

    Example, one site, S = phi^2/2 + g phi^4: <:phi^4: :phi^4:> = 4!, and g = -G4c/24 to leading order.

        >>> import numpy as np
        >>> from nnft.models import Cos, Network
        >>> plan = design(Network(Cos(), width=100, output_scale=2**0.5), np.zeros((1, 1)), 1e6)
        >>> plan.fisher.round(9).tolist(), plan.leading.round(9).tolist()
        ([[24.0]], [-0.000625])
        >>> round(float(plan.z[0]), 2), round(plan.needed(3.0).best)
        (-2.99, 1003612)
    """
    x = check_points(points)
    if isinstance(network, AbstractModel) and network.outputs > 1:
        network, x = Placed(network, network.outputs), at_places(x, network.outputs)
    count = len(x)
    if isinstance(n, bool) or not 1.0 <= float(n) < np.inf:
        raise ValueError(f"expected a number of networks n >= 1, got {n!r}; try n=1e5")
    w = _positive(np.ones(count) if weights is None else weights, count, "quadrature weights")
    if not isinstance(action, AbstractAction) or action.degree != 4 or action.of_modes or not action.even:
        raise ValueError(
            f"expected a quartic action of the field at the points, got {action!r}; try m.Bilocal(), "
            "or for an action of modes the kernel np.eye(count) of their amplitudes"
        )
    kernel, known = _kernel(network, x)
    # An order that is known and refused raises here, with the reason.
    four_point = known.connected(4) if known is not None and 4 in {*known.cumulants, *known.refused} else None
    scale = np.sqrt(np.diag(kernel))
    correlation = kernel / np.outer(scale, scale)
    condition = float(np.linalg.cond(correlation))
    invertible = condition < CONDITION_LIMIT

    quads = sorted_tuples(count, 4)
    terms = action.monomials(count, w) * np.prod(scale[quads], axis=1)
    factors = np.linalg.norm(terms, axis=1)
    terms = terms / factors[:, None]
    fisher = fisher_information(action, terms, correlation, scale)
    if prior_sd is None:
        prior, prior_name = unit_prior(fisher, prior_scale)
    else:
        sd = _positive(prior_sd, len(terms), "prior standard deviations") * factors
        prior, prior_name = np.diag(sd**-2.0), "independent Gaussian priors of the given sd"
    levels, vectors = directions(fisher, prior, unit=prior_sd is None)

    slope = None if four_point is None else -terms @ (four_point / np.prod(scale[quads], axis=1))
    resolvable = bool(np.linalg.cond(fisher) < RESOLUTION_LIMIT)
    expected = leading = z = eps4 = share = projected = None

    def significances(slope: Vector) -> Vector:
        known = levels > levels[0] / RESOLUTION_LIMIT
        return np.sqrt(n) * np.divide(vectors.T @ slope, np.sqrt(levels), out=np.zeros(len(levels)), where=known)

    if slope is not None:  # d log likelihood per network at lambda = 0, F theta; no inverse of F is needed for z_k
        z = significances(slope)
        leading = expected = np.linalg.solve(fisher, slope) / factors if resolvable else None
        if invertible and four_point is not None:
            eps4 = non_gaussianity(four_point, None, kernel)[0]
            share = float(z @ z) / n / eps4**2 if eps4 > 0.0 else None
        projected = projection(known, action, w, kernel) if invertible and resolvable and known is not None else None
        if projected is not None:
            expected, z = projected, significances(fisher @ (projected * factors))
    error = np.sqrt(np.diag(np.linalg.inv(fisher)) / n) / factors if resolvable else np.full(len(terms), np.inf)
    return Design(
        action=type(action).__name__,
        points=x,
        networks=float(n),
        names=tuple(f"{name}({','.join(map(str, at))})" for name, rows in action.blocks(count).items() for at in rows),
        fisher=fisher * np.outer(factors, factors),
        prior=prior * np.outer(factors, factors),
        prior_name=prior_name,
        error=error,
        posterior_error=np.sqrt(np.sum(vectors**2 / (1.0 + n * levels), axis=1)) / factors,
        expected=expected,
        leading=leading,
        projected=projected is not None,
        expected_z=z,
        resolution=n * levels,
        directions=(vectors / factors[:, None]).T,
        eps4=eps4,
        share=share,
        condition=condition,
    )


def _kernel(network: AbstractModel | Matrix, points: Points) -> tuple[Matrix, Correlators | None]:
    """K and, of a network of the suite, its exact correlators, up to order six where the points are few."""
    if isinstance(network, AbstractModel):
        orders = known_orders(network)
        if 2 not in orders:
            raise ValueError(
                f"expected a network whose two-point function is known exactly, got {network!r}; "
                "try a kernel: inf.design(inf.measure(ensemble).tensor(2), points, n)"
            )
        if tuple_count(len(points), 6) > MAX_COMPONENTS:
            orders = orders[:2]
        correlators = exact(network, points, orders=orders)
        return correlators.tensor(2), correlators
    try:
        kernel = np.asarray(network, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected a Network or a kernel (point, point), got {network!r}; "
            "try inf.measure(ensemble).tensor(2) for a model of your own"
        ) from None
    if kernel.shape != (len(points), len(points)) or not np.allclose(kernel, kernel.T, rtol=1e-8):
        raise ValueError(
            f"expected a symmetric kernel of shape {(len(points),) * 2}, got shape {kernel.shape}; try m.exact(...)"
            ".tensor(2)"
        )
    smallest = float(np.linalg.eigvalsh(kernel)[0])
    if not np.all(np.diag(kernel) > 0.0) or smallest < -1e-10 * np.max(np.diag(kernel)):
        raise ValueError(f"expected a positive kernel, got eigenvalue {smallest:.3g}; try adding a nugget")
    return kernel, None


def _positive(values: float | Sequence[float] | Vector, count: int, what: str) -> Vector:
    out = np.asarray(values, dtype=float)
    out = np.full(count, float(out)) if out.shape == () else out
    if out.shape != (count,) or not np.all(np.isfinite(out)) or np.any(out <= 0.0):
        raise ValueError(f"expected {count} positive {what}, got {out!r}; try one number, or {count} of them")
    return out


def _table(d: Design) -> list[str]:
    """The lines of the printed table, at most 100 columns."""
    count = len(d.names)
    lines = [
        f"{d.action} at {len(d.points)} points, {d.networks:,.0f} networks: {count} quartic couplings, the quadratic "
        "ones fitted too",
        f"  {'coupling':<12}{'expected':>12}{'error':>11}{'with prior':>12}{'z':>9}   networks for {_SIGMA:g} sigma",
    ]
    z = d.z
    if z is not None:
        best, each = np.argsort(-np.abs(z), kind="stable")[:_ROWS], d.needed().each
    else:
        best, each = np.arange(count)[:_ROWS], None
    for k in best:
        text = f"  {d.names[k]:<12}{'-' if d.expected is None else f'{d.expected[k]:+.3e}':>12}"
        text += f"{d.error[k]:>11.2e}{d.posterior_error[k]:>12.2e}"
        lines.append(text + (f"{'-':>9}" if z is None or each is None else f"{z[k]:>+9.2f}   {each[k]:.2e}"))
    if count > _ROWS:
        lines.append(f"  ... {count - _ROWS} more" + ("" if z is None else "; these are the clearest"))
    lines.append(f"prior: {d.prior_name}")
    lines.append(
        f"p_eff = {d.effective:.1f} of {count}; {d.resolved} directions with n l > 1"
        + ("" if d.seen is None else f"; {d.seen} with an expected |z| > {_SIGMA:g}")
    )
    if d.expected_z is not None:
        best = d.needed().best
        lines.append(f"best combination: {_SIGMA:g} sigma at {best:.2e} networks" + _range(best, d.factor))
        lines += _reach(d)
    else:
        lines.append("expected couplings: not known from a kernel alone")
    if d.eps4 is not None:
        part = "" if d.share is None else f"; the action takes up {d.share:.1%} of the evidence n eps4^2"
        lines.append(f"eps4 = {d.eps4:.3g}{part}")
        if d.eps4 >= 0.3:
            lost = "errors at lambda = 0 do not" if d.projected else "neither leading order nor errors at lambda = 0"
            lines.append(f"  eps4 >= 0.3: {lost} hold; try fewer points")
    if not d.condition < CONDITION_LIMIT:
        lines.append(f"  condition of the points {d.condition:.1e}: too close for a fit; p_eff holds under this prior")
    elif not np.all(np.isfinite(d.error)):
        lines.append("  without a prior these couplings cannot be told apart in double precision")
    return lines


def _range(number: float, factor: float) -> str:
    return f", between {number / factor:.1e} and {number * factor:.1e}" if np.isfinite(factor * number) else ""


def _reach(d: Design) -> list[str]:
    """How far the expected couplings and the networks for 3 sigma can be trusted."""
    if d.projected:
        lines = ["expected couplings: those a fit returns, the projection of the exact law on the action"]
    elif d.eps4 is None:
        lines = ["expected couplings: leading order"]
    else:
        lines = [f"expected couplings: leading order, off by a factor up to {1.0 + LEADING * d.eps4:.2g}, 1 + 7.3 eps4"]
    if d.eps4 is not None:
        lines.append(f"networks for {_SIGMA:g} sigma: within a factor {d.factor:.2g} either way")
    return lines
