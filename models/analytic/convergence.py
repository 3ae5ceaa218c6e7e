"""Is the generating functional finite? Z[J] = <exp(J.phi)> is an average of an exponential, and tails decide.

Neurons are independent, so W[J] = log Z[J] = N log <exp(sigma W u / sqrt N)> + b^2 (sum J)^2 / 2 with u = sum_a J_a
s(x_a) of one neuron and W its readout weight, and Z is finite exactly where one neuron's average is (2307.03223, 2.1).
Over W: exp(sigma^2 u^2 / 2N), sinh(a)/a, cosh, 1/(1 - sigma^2 u^2 / 2N) for Gaussian, uniform, +-1, Laplace. Hence

    bounded |s| <= 1   every J; Laplace: sup |u| < sqrt(2N)/sigma
    ReLU               Gaussian: (sigma^2/N) max_{|xi|=1} (J.relu(L xi))^2 < 1, z = L xi; uniform, +-1: every J;
                       Laplace: never, unless u vanishes identically
    Gauss-net          never, unless J lives at the origin alone and bias_scale = 0, where s = 1

A scale tau that all neurons share multiplies the readout variance, and Z = E_tau <E_W exp(sqrt(tau) ..)>^N must have an
average over tau as well. Unless u vanishes identically,

    Gamma, variance v  Gaussian: bounded |s| (v sigma^2/2) sup u^2 < 1, ReLU never;
                       uniform, +-1, |W| <= c: bounded every J, ReLU (v c^2 sigma^2/2) max (J.relu(L xi))^2 < 1;
                       Laplace: never
    log-normal, Student-t    never

None of these radii depends on N: sum_i u_i^2 of a hidden layer comes as near as one likes to N sup u^2 with a positive
probability, and given the layer Z is E exp(t tau) = (1 - v t)^(-1/v) with t = (sigma^2/2N) sum_i u_i^2. A Laplace
readout needs tau u^2 < 2N/sigma^2 of an unbounded tau. E exp(t tau) and E exp(t sqrt tau) are infinite for every t > 0
of a log-normal or a Student scale. With |W| <= c the average over W grows like exp(c sqrt(tau) sigma |u|/sqrt N), and
over a ReLU's xi like exp(tau c^2 sigma^2 u(direction)^2/2N), powers of tau left out. A length l that all neurons share
changes no supremum of a bounded s, and makes ReLU grow like 1/l: exp(c/l^2) has no average over a log-normal l.

The ReLU row: u is homogeneous of degree one, so in polar coordinates of xi the radial integral is that of r^(R-1)
exp(-r^2 [1 - (sigma^2/N) u(direction)^2] / 2). One point of variance c: (1/2)[1 + (1 - sigma^2 J^2 c/N)^(-1/2)].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from ..correlators import check_points
from ..networks.latents import GammaScale, LogNormalScale, StudentScale
from ..networks.network import Network
from ..neurons.cos import Cos
from ..neurons.gauss import Gauss
from ..neurons.relu import ReLU
from ..neurons.smooth import Erf, Tanh
from ..types import Points, Vector

__all__ = [
    "Convergence",
    "SCALES",
    "SUITE",
    "check_independent",
    "check_sources",
    "check_suite",
    "finite_source",
    "largest_growth",
    "preactivation",
]

SUITE = (Cos, Erf, Gauss, ReLU, Tanh)
SCALES = (GammaScale, LogNormalScale, StudentScale)
Factor = Float[np.ndarray, "point hidden"]

_NOTHING = 1e-12  # J.s below this share of its terms vanishes: round-off
_THIN = 1e-9  # cells of directions narrower than this are left out; J.s is continuous, so nothing is lost
_STARTS = 4096  # random hidden parameters at which the search for sup |J.s| begins


class Convergence(NamedTuple):
    """Whether Z[J] is known to be finite, and one sentence with the number that decided."""

    finite: bool
    why: str


def finite_source(network: Network, points: Points, source: Vector) -> Convergence:
    """Is Z[J] = <exp(sum_a J_a phi(x_a))> finite for this network? The answer with the number that decided.

    Two of the suprema are exact (ReLU: every cell of directions; Gauss). The one of |J.s| for Laplace readouts and for
    a shared Gamma scale is not known in closed form: J is accepted when the bound sum |J| is below the limit, and
    refused both when a search over the hidden parameters passes the limit (Z is infinite) and in between (Z cannot be
    shown to be finite).

    Args:
        network: a `Network` of neurons of the suite, of one or several kinds, with or without a shared scale or length.
        points: (point, axis).
        source: J, (point,).

    Raises:
        ValueError: a neuron or a shared scale that is not of the suite, a source that does not fit.

    Example: a ReLU network of width 10 at x = 1 takes J up to sqrt(10).

        >>> import numpy as np
        >>> from nnft.models import Network, ReLU
        >>> net, x = Network(ReLU(), width=10), np.ones((1, 1))
        >>> finite_source(net, x, np.array([3.1])).finite, finite_source(net, x, np.array([3.2])).finite
        (True, False)

        Cosines that share a Gamma scale of variance 1/2: up to sqrt(2/v) = 2, at every width.

        >>> from nnft.models import Cos, GammaScale
        >>> net = Network(Cos(), width=1000, shared_scale=GammaScale(0.5))
        >>> finite_source(net, x, np.array([1.9])).finite, finite_source(net, x, np.array([2.1])).finite
        (True, False)
    """
    x = check_points(points)
    check_suite(network)
    j = check_sources(np.asarray(source, dtype=float)[None], len(x))[0]
    if not np.any(j):
        return Convergence(True, "the source is zero")
    if network.shared_length is not None:
        stretched = [_stretched(neuron, x, j) for neuron in network.kinds if type(neuron) is ReLU]
        if any(stretched):
            return Convergence(False, next(why for why in stretched if why))
    if network.shared_scale is not None:
        return _scaled(network, x, j)
    verdicts = [_one_kind(network, neuron, x, j) for neuron in network.kinds]
    return next((verdict for verdict in verdicts if not verdict.finite), verdicts[0])


def check_suite(network: Network) -> None:
    """Refuse what is not a `Network` of neurons of the suite, with a shared scale of the suite or none."""
    kinds = network.kinds if type(network) is Network else (network,)
    strange = [type(kind).__name__ for kind in kinds if type(kind) not in SUITE]
    if strange:
        raise ValueError(
            f"expected a Network with neurons of the suite, {', '.join(kind.__name__ for kind in SUITE)}, got "
            f"{strange[0]}; try inference.generating in field space, which looks at the tail"
        )
    if network.shared_scale is not None and type(network.shared_scale) not in SCALES:
        raise ValueError(
            f"expected a shared scale of the suite, {', '.join(scale.__name__ for scale in SCALES)}, got "
            f"{type(network.shared_scale).__name__}; try inference.generating in field space, which looks at the tail"
        )


def check_independent(network: Network) -> None:
    """Refuse what is not a `Network` of independent neurons of the suite."""
    check_suite(network)
    for name in ("shared_scale", "shared_length"):
        if getattr(network, name) is not None:
            raise ValueError(
                f"expected independent neurons, whose averages factorise, got {name}={getattr(network, name)!r}; "
                "try inference.generating in field space, or the network given the latent"
            )


def _one_kind(network: Network, neuron: Any, x: Points, j: Vector) -> Convergence:
    if type(neuron) is Gauss:
        return _gauss(network, neuron, x, j)
    if type(neuron) is ReLU:
        return _relu(network, neuron, x, j)
    return _tame(network, float(np.sum(np.abs(j))), lambda: _search(neuron, x, j))


def check_sources(sources: Float[np.ndarray, "..."], points: int) -> Float[np.ndarray, "source point"]:
    """Sources as a finite float64 array (source, point), or a refusal that says what was wrong."""
    j = np.asarray(sources, dtype=float)
    if j.ndim != 2 or j.shape[1] != points or not len(j):
        raise ValueError(
            f"expected sources of shape (source, point) = (.., {points}), got {j.shape}; try J[None, :] for one source"
        )
    if not np.all(np.isfinite(j)):
        raise ValueError(f"expected finite sources, got {j[~np.isfinite(j)][0]}; try leaving that source out")
    return j


def preactivation(neuron: Any, points: Points) -> Factor:
    """L of the pre-activations z = L xi, xi standard normal, on the principal axes; for Cos without the phase.

    L L^T = bias_scale^2 + weight_scale^2 x.y/d. The phase of Cos is uniform and takes up any shift of the points,
    which are therefore centred.
    """
    x = points - points.mean(axis=0) if type(neuron) is Cos else points
    bias = np.full(len(x), getattr(neuron, "bias_scale", 0.0))
    columns = np.column_stack([neuron.weight_scale * x / np.sqrt(x.shape[1]), bias])
    axes, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    kept = sizes > 1e-12 * max(sizes[0], np.finfo(float).tiny)
    return axes[:, kept] * sizes[kept]


def largest_growth(factor: Factor, source: Vector) -> float:
    """The largest |J.relu(L xi)| over unit xi, exactly.

    On the cone of directions where a given set A of points is active J.relu(L xi) = g.xi with g = sum_A J_a L_a,
    whose largest value is the length of g's projection on the cone, a non-negative least-squares problem (Moreau).

    >>> largest_growth(np.array([[2.0]]), np.array([-1.5]))
    3.0
    """
    rows, j = factor[np.any(factor != 0.0, axis=1)], source[np.any(factor != 0.0, axis=1)]
    largest = 0.0
    for signs in _cells(rows):
        gradient = (j * (signs > 0)) @ rows
        walls = (signs[:, None] * rows).T
        for side in (gradient, -gradient):
            largest = max(largest, float(optimize.nnls(walls, -side)[1]))
    return largest


def _cells(rows: np.ndarray) -> list[np.ndarray]:
    """Sign patterns of L xi that occur in a cone with an interior, one hyperplane after the other."""
    cells = [np.zeros(0)]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for count in range(1, len(rows) + 1):
        grown = [np.append(signs, side) for signs in cells for side in (1.0, -1.0)]
        cells = [signs for signs in grown if _has_interior(signs[:, None] * unit[:count])]
    return cells if len(rows) else []


def _has_interior(walls: np.ndarray) -> bool:
    """Is there xi with walls @ xi > 0? Gordan: unless a convex combination of the walls vanishes."""
    combination = np.concatenate([walls.T, np.ones((1, len(walls)))])
    target = np.append(np.zeros(walls.shape[1]), 1.0)
    return float(optimize.nnls(combination, target)[1]) > _THIN


def _stretched(neuron: Any, x: Points, j: Vector) -> str:
    """Why a shared length makes Z of a ReLU infinite, or not known; empty where the length changes nothing."""
    growth = _growth(ReLU(neuron.weight_scale), x, j)  # of the input weights alone, which are divided by l
    if growth > 0.0:
        return (
            f"given a shared length l J.s of ReLU grows by at least {growth:.3g}/l per unit of the hidden weight, and "
            "exp(c/l^2) has no average over a log-normal l"
        )
    if neuron.bias_scale > 0.0 and np.any(x[j != 0.0]):
        return "it cannot be shown to be finite: what grows like 1/l in J.s cancels, and what is left is not bounded"
    return ""


def _growth(neuron: Any, x: Points, j: Vector) -> float:
    """The largest |J.s| per unit of the hidden weights; zero where it vanishes up to round-off."""
    factor = preactivation(neuron, x)
    growth = largest_growth(factor, j)
    return growth if growth > _NOTHING * float(np.abs(j) @ np.linalg.norm(factor, axis=1)) else 0.0


def _scaled(network: Network, x: Points, j: Vector) -> Convergence:
    """The average over a shared scale of what is finite, or not, at a given scale."""
    wild = [kind for kind in network.kinds if type(kind) is Gauss and not _constant(kind, x, j)]
    if wild:
        return _gauss(network, wild[0], x, j)
    size = float(np.sum(np.abs(j)))
    found = [_growth(kind, x, j) if type(kind) is ReLU else _found(kind, x, j) for kind in network.kinds]
    if max(found) <= _NOTHING * size:
        return Convergence(True, f"J.s vanishes for every hidden weight: the largest found is {max(found):.1g}")
    tail = network.readout_law.tail()
    if tail.radius < np.inf:
        return Convergence(
            False,
            f"E exp(tW) ends at t = {tail.radius:.4g}, so that tau (J.s)^2 < t^2 N/sigma^2 = "
            f"{_radius(network) ** 2:.4g} is needed, and the shared scale tau is unbounded",
        )
    scale = network.shared_scale
    if not isinstance(scale, GammaScale):
        return Convergence(
            False, f"E exp(t tau) and E exp(t sqrt tau) are infinite for every t > 0 of the shared scale {scale}"
        )
    steep = np.array([type(kind) is ReLU for kind in network.kinds])
    squares = np.array(found) ** 2
    strength = scale.variance * network.output_scale**2 / 2.0
    if tail.edge < np.inf:
        edge = tail.edge**2
        share = float(strength * edge * np.mean(np.where(steep, squares, 0.0)))
        if not share:
            return Convergence(
                True, f"|J.s| <= {size:.4g} and a bounded readout: exp(c sqrt tau) of a shared scale that falls faster"
            )
        return _below_one(f"(v c^2 sigma^2/2) max (J.s)^2 over unit hidden weights, c^2 = {edge:.3g},", share, share)
    if np.any(squares[steep]):
        return Convergence(
            False,
            f"given the shared scale tau ReLU needs tau (sigma^2/N) max (J.s)^2 < 1, here tau < "
            f"{network.width / (network.output_scale**2 * np.max(squares[steep])):.4g}, and tau is unbounded",
        )
    strength *= tail.curvature
    least, most = (float(strength * np.mean(part)) for part in (squares, np.where(steep, 0.0, size**2)))
    return _below_one("(v sigma^2/2) sup (J.s)^2", least, most)


def _found(neuron: Any, x: Points, j: Vector) -> float:
    """The largest |J.s| found of a bounded neuron."""
    if type(neuron) is Gauss:  # one, at the origin
        return float(abs(np.sum(j)))
    return _search(neuron, x, j)


def _below_one(what: str, least: float, most: float) -> Convergence:
    """Is a number between `least` and `most` below one? It is quadratic in the source."""
    if most < 1.0:
        return Convergence(True, f"{what} is at most {most:.4g}, below 1")
    if least >= 1.0:
        return Convergence(False, f"{what} reaches {least:.4g}, not below 1; {_smaller(least)}")
    return Convergence(
        False, f"it cannot be shown to be finite: {what} is between {least:.4g} and {most:.4g}; {_smaller(most)}"
    )


def _smaller(share: float) -> str:
    return f"try a source smaller by {0.99 / np.sqrt(share):.2g}"


def _constant(neuron: Any, x: Points, j: Vector) -> bool:
    """Does the source see a Gauss neuron only where it is one, at the origin and without bias?"""
    return neuron.bias_scale == 0.0 and not np.any(x[j != 0.0])


def _gauss(network: Network, neuron: Any, x: Points, j: Vector) -> Convergence:
    """exp(W0.x + b0) outgrows every Gaussian, and exp of it any power of it; only a constant neuron is tame."""
    where = np.flatnonzero(j)
    if _constant(neuron, x, j):
        size = float(abs(j[where[0]]))
        return _tame(network, size, lambda: size)
    worst = where[np.argmax(np.sum(x[where] ** 2, axis=1))]
    return Convergence(
        False,
        f"the Gauss neuron is the exponential of a Gaussian, and <exp> of its square or modulus is infinite for every "
        f"source, here J = {j[worst]:.3g} at point {worst}",
    )


def _relu(network: Network, neuron: Any, x: Points, j: Vector) -> Convergence:
    tail = network.readout_law.tail()
    if tail.edge < np.inf:
        size = float(np.sum(np.abs(j)))
        return Convergence(True, f"a bounded readout gives exp(|J.s|) of a Gaussian J.s at most: sum |J| = {size:.3g}")
    growth = _growth(neuron, x, j)
    if growth == 0.0:
        return Convergence(True, "J.s vanishes for every hidden weight")
    if tail.radius < np.inf:
        return Convergence(
            False,
            f"E exp(tW) ends at t = {tail.radius:.4g}, so that |J.s| < t sqrt(N)/sigma = {_radius(network):.4g} is "
            f"needed, and ReLU is unbounded: J.s grows by {growth:.3g} per unit of the hidden weight",
        )
    share = tail.curvature * network.output_scale**2 * growth**2 / network.width
    what = f"(sigma^2/N) max (J.s)^2 over unit hidden weights is {share:.4g}"
    if share < 1.0:
        return Convergence(True, f"{what}, below 1")
    return Convergence(False, f"{what}, not below 1; {_smaller(share)}")


def _radius(network: Network) -> float:
    """|J.s| below which E exp(tW), t = sigma |J.s| / sqrt N, is finite."""
    return float(network.readout_law.tail().radius * np.sqrt(network.width) / network.output_scale)


def _tame(network: Network, bound: float, search: Callable[[], float]) -> Convergence:
    """|J.s| <= bound at all hidden parameters; `search` gives the largest value found, or the supremum itself."""
    limit = _radius(network)
    if limit == np.inf:
        return Convergence(True, f"|J.s| <= {bound:.4g}, and the readout falls faster than every exponential")
    what = f"{limit:.4g} = t sqrt(N)/sigma, t = {network.readout_law.tail().radius:.4g}, where E exp(tW) ends"
    if bound < limit:
        return Convergence(True, f"|J.s| <= {bound:.4g}, below {what}")
    found = search()
    if found >= limit:
        return Convergence(False, f"|J.s| reaches {found:.4g}, not below {what}")
    return Convergence(
        False,
        f"it cannot be shown to be finite: the largest |J.s| found is {found:.4g}, the bound sum |J| = {bound:.4g}, "
        f"and between them lies {what}; try a source smaller by {0.99 * limit / bound:.2g}",
    )


def _search(neuron: Any, x: Points, j: Vector) -> float:
    """Largest |J.s| over hidden parameters found by many starts and a descent: a lower bound of the supremum."""
    factor = preactivation(neuron, x)

    def size(xi: np.ndarray) -> np.ndarray:
        z = xi @ factor.T
        if type(neuron) is Cos:
            return np.abs(np.exp(1j * z) @ j)  # the phase is chosen best
        return np.abs((special.erf(z) if type(neuron) is Erf else np.tanh(z)) @ j)

    draw = np.random.default_rng(0)  # only where the search starts
    starts = draw.normal(size=(_STARTS, factor.shape[1])) * draw.choice([0.0, 1.0, 10.0, 1000.0], size=(_STARTS, 1))
    sizes = size(starts)
    best = float(np.max(sizes))
    for k in np.argsort(-sizes)[:5] if factor.shape[1] else []:
        found = optimize.minimize(lambda xi: -size(xi[None])[0], starts[k], method="Nelder-Mead")
        best = max(best, -float(found.fun))
    return best
