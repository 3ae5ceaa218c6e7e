"""Is the generating functional finite? Z[J] = <exp(J.phi)> is an average of an exponential, and tails decide.

Neurons are independent, so W[J] = log Z[J] = N log <exp(sigma W u / sqrt N)> + b^2 (sum J)^2 / 2 with u = sum_a J_a
s(x_a) of one neuron and W its readout weight, and Z is finite exactly where one neuron's average is (2307.03223, 2.1).
Over W: exp(sigma^2 u^2 / 2N), sinh(a)/a, cosh, 1/(1 - sigma^2 u^2 / 2N) for Gaussian, uniform, +-1, Laplace. Hence

    bounded |s| <= 1   every J; Laplace: sup |u| < sqrt(2N)/sigma
    linear, as ReLU    Gaussian: (sigma^2/N) max_{|xi|=1} (J.relu(L xi))^2 < 1, z = L xi; uniform, +-1: every J;
                       Laplace: never, unless u vanishes identically
    Gauss-net          never, unless J lives at the origin alone and bias_scale = 0, where s = 1

and for any law of W what it says of its tail (`ReadoutTail`), for any neuron what it says of its growth (`Hidden`).

A scale tau that all neurons share multiplies the readout variance, and Z = E_tau <E_W exp(sqrt(tau) ..)>^N must have an
average over tau as well. Unless u vanishes identically,

    Gamma, variance v  Gaussian: bounded |s| (v sigma^2/2) sup u^2 < 1, ReLU never;
                       uniform, +-1, |W| <= c: bounded every J, ReLU (v c^2 sigma^2/2) max (J.relu(L xi))^2 < 1;
                       Laplace: never
    log-normal, Student-t    never

where v is 1/t for the t at which E exp(t tau) ends (`ScaleTail`), and so for any law of tau. None of these radii
depends on N: sum_i u_i^2 of a hidden layer comes as near as one likes to N sup u^2 with a positive probability, and
given the layer Z is E exp(t tau) = (1 - v t)^(-1/v) with t = (sigma^2/2N) sum_i u_i^2. A Laplace readout needs tau u^2
< 2N/sigma^2 of an unbounded tau. E exp(t tau) and E exp(t sqrt tau) are infinite for every t > 0 of a log-normal or a
Student scale. With |W| <= c the average over W grows like exp(c sqrt(tau) sigma |u|/sqrt N), and over a ReLU's xi like
exp(tau c^2 sigma^2 u(direction)^2/2N), powers of tau left out. A length l that all neurons share changes no supremum of
a bounded s, and makes ReLU grow like 1/l: exp(c/l^2) has no average over a log-normal l.

The ReLU row: u is homogeneous of degree one, so in polar coordinates of xi the radial integral is that of r^(R-1)
exp(-r^2 [1 - (sigma^2/N) u(direction)^2] / 2). One point of variance c: (1/2)[1 + (1 - sigma^2 J^2 c/N)^(-1/2)].
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..correlators import check_points
from ..networks.independent import Independent
from ..networks.latents import AbstractScale
from ..networks.model import AbstractModel, as_model
from ..neurons.base import AbstractNeuron
from ..neurons.hidden import Hidden
from ..types import Points, Vector

__all__ = ["Convergence", "check_independent", "check_network", "check_sources", "finite_source"]

_NOTHING = 1e-12  # J.s below this share of its terms vanishes: round-off
_SHORT = 1e-15  # a length so small that what a bias adds to pre-activations is round-off


class Convergence(NamedTuple):
    """Whether Z[J] is known to be finite, and one sentence with the number that decided."""

    finite: bool
    why: str


def finite_source(network: AbstractModel, points: Points, source: Vector) -> Convergence:
    """Is Z[J] = <exp(sum_a J_a phi(x_a))> finite for this network? The answer with the number that decided.

    Two of the suprema are exact (linear growth: every cell of directions; Gauss). The one of |J.s| for Laplace
    readouts and for a shared Gamma scale is not known in closed form: J is accepted when the bound sum |J| is below the
    limit, and refused both when a search over the hidden parameters passes the limit (Z is infinite) and in between (Z
    cannot be shown to be finite).

    Args:
        network: a `Network` of one or several kinds of neurons, with or without a shared scale or length, or any model
            that is such a sum (`AbstractModel.as_sum`).
        points: (point, axis).
        source: J, (point,).

    Raises:
        ValueError: a neuron that brings no `hidden`, a readout law or a shared scale without a `tail`, a source that
            does not fit.

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
    neurons = check_network(network)
    j = check_sources(np.asarray(source, dtype=float)[None], len(x))[0]
    seen = np.flatnonzero(j)
    if not len(seen):
        return Convergence(True, "the source is zero")
    x, j, kinds = x[seen], j[seen], neurons.kinds
    hidden = [kind.hidden(x) for kind in kinds]  # refused by name where a neuron brings none
    wild = next((h for h in hidden if h.exponential), None)
    if neurons.shared_length is not None:
        for kind, h in zip(kinds, hidden, strict=True):
            if not h.exponential and (why := _stretched(kind, h, x, j)):
                return Convergence(False, why)
    if wild is not None:
        worst = int(np.argmax(np.sum(x**2, axis=1)))
        return Convergence(
            False,
            f"the {wild.name} neuron is the exponential of a Gaussian, and <exp> of its square or modulus is infinite "
            f"for every source, here J = {j[worst]:.3g} at point {seen[worst]}",
        )
    if neurons.shared_scale is not None:
        return _scaled(neurons, neurons.shared_scale, hidden, j)
    verdicts = [_one_kind(neurons, neurons.output_scale, h, j) for h in hidden]
    return next((verdict for verdict in verdicts if not verdict.finite), verdicts[0])


def check_network(network: AbstractModel) -> Independent:
    """The sum of independent neurons that a model is; refused where it is none, or not known to be one."""
    if (neurons := as_model(network).as_sum) is None:
        raise ValueError(
            f"expected a Network with neurons of the suite, got {as_model(network).name}; "
            "try inference.generating in field space, which looks at the tail"
        )
    return neurons


def check_independent(network: AbstractModel) -> Independent:
    """The same, refused where the neurons share a latent."""
    neurons = check_network(network)
    for name in ("shared_scale", "shared_length"):
        if getattr(neurons, name) is not None:
            raise ValueError(
                f"expected independent neurons, whose averages factorise, got {name}={getattr(neurons, name)!r}; "
                "try inference.generating in field space, or the network given the latent"
            )
    return neurons


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


def _stretched(kind: AbstractNeuron, hidden: Hidden, x: Points, j: Vector) -> str:
    """Why a shared length makes Z infinite, or not known; empty where the length changes nothing."""
    if not np.any(x):
        return ""  # at the origin no length is seen
    growth = kind.hidden(x / _SHORT).growth(j) * _SHORT  # of the input weights alone, which are divided by l
    if growth > 0.0:
        return (
            f"given a shared length l J.s of {hidden.name} grows by at least {growth:.3g}/l per unit of the hidden "
            "weight, and exp(c/l^2) has no average over a log-normal l"
        )
    if hidden.growth(j) > 0.0:
        return "it cannot be shown to be finite: what grows like 1/l in J.s cancels, and what is left is not bounded"
    return ""


def _one_kind(neurons: Independent, scale: float, hidden: Hidden, j: Vector) -> Convergence:
    """The verdict of one kind of neuron at a readout scale."""
    tail = neurons.law.tail()
    if hidden.bounded:
        return _tame(neurons, scale, hidden, j)
    if tail.edge < np.inf:
        size = float(np.sum(np.abs(j)))
        return Convergence(True, f"a bounded readout gives exp(|J.s|) of a Gaussian J.s at most: sum |J| = {size:.3g}")
    growth = hidden.growth(j)
    if growth == 0.0 and hidden.height == 0.0:
        return Convergence(True, "J.s vanishes for every hidden weight")
    if growth == 0.0:
        return _tame(neurons, scale, hidden, j)
    if tail.radius < np.inf:
        return Convergence(
            False,
            f"E exp(tW) ends at t = {tail.radius:.4g}, so that |J.s| < t sqrt(N)/sigma = "
            f"{tail.radius * neurons.width**0.5 / scale:.4g} is needed, and {hidden.name} is unbounded: J.s grows by "
            f"{growth:.3g} per unit of the hidden weight",
        )
    share = tail.curvature * scale**2 * growth**2 / neurons.width
    what = f"(sigma^2/N) max (J.s)^2 over unit hidden weights is {share:.4g}"
    return Convergence(share < 1.0, f"{what}, below 1" if share < 1.0 else f"{what}, not below 1; {_smaller(share)}")


def _tame(neurons: Independent, scale: float, hidden: Hidden, j: Vector) -> Convergence:
    """Of a J.s that is bounded only the readout decides."""
    bound, radius = hidden.bound(j), neurons.law.tail().radius
    if radius == np.inf:
        return Convergence(True, f"|J.s| <= {bound:.4g}, and the readout falls faster than every exponential")
    limit = radius * neurons.width**0.5 / scale
    what = f"{limit:.4g} = t sqrt(N)/sigma, t = {radius:.4g}, where E exp(tW) ends"
    if bound < limit:
        return Convergence(True, f"|J.s| <= {bound:.4g}, below {what}")
    found = hidden.largest(j)
    if found >= limit:
        return Convergence(False, f"|J.s| reaches {found:.4g}, not below {what}")
    return Convergence(
        False,
        f"it cannot be shown to be finite: the largest |J.s| found is {found:.4g}, the bound sum |J| = {bound:.4g}, "
        f"and between them lies {what}; try a source smaller by {0.99 * limit / bound:.2g}",
    )


def _scaled(neurons: Independent, shared: AbstractScale, kinds: list[Hidden], j: Vector) -> Convergence:
    """The average over a shared scale of what is finite, or not, at a given scale."""
    scale, tail = shared.tail(), neurons.law.tail()
    if scale.edge < np.inf:  # finite at every scale if at the largest
        verdicts = [_one_kind(neurons, neurons.output_scale * scale.edge**0.5, hidden, j) for hidden in kinds]
        return next((verdict for verdict in verdicts if not verdict.finite), verdicts[0])
    grows = np.array([hidden.growth(j) for hidden in kinds])
    rest = np.array([hidden.bound(j) for hidden in kinds])
    found = [g or (h.largest(j) if h.height else 0.0) for g, h in zip(grows, kinds, strict=True)]
    if max(found) <= _NOTHING * float(np.sum(np.abs(j))):
        return Convergence(True, f"J.s vanishes for every hidden weight: the largest found is {max(found):.1g}")
    if tail.radius < np.inf:
        limit = tail.radius**2 * neurons.width / neurons.output_scale**2
        return Convergence(
            False,
            f"E exp(tW) ends at t = {tail.radius:.4g}, so that tau (J.s)^2 < t^2 N/sigma^2 = {limit:.4g} is needed, "
            "and the shared scale tau is unbounded",
        )
    if not scale.root:
        return Convergence(
            False, f"E exp(t tau) and E exp(t sqrt tau) are infinite for every t > 0 of the shared scale {shared}"
        )
    strength = neurons.output_scale**2 / 2.0
    if tail.edge < np.inf:
        edge, size = tail.edge**2, float(np.max(rest))
        share = _share(strength * edge * np.mean(grows**2), scale.linear)
        if share:
            what = f"(v c^2 sigma^2/2) max (J.s)^2 over unit hidden weights, c^2 = {edge:.3g},"
            return _below_one(what, share, share)
        exponent = np.sqrt(neurons.width * edge) * neurons.output_scale * size
        if exponent < scale.root:
            return Convergence(
                True, f"|J.s| <= {size:.4g} and a bounded readout: exp(c sqrt tau) of a shared scale that falls faster"
            )
        return Convergence(
            False,
            f"it cannot be shown to be finite: E exp(t sqrt tau) of {shared} ends at t = {scale.root:.4g}, and "
            f"J.phi/sqrt(tau) may reach {exponent:.4g}; try a source smaller by {0.99 * scale.root / exponent:.2g}",
        )
    if np.any(grows):
        steepest = kinds[int(np.argmax(grows))]
        return Convergence(
            False,
            f"given the shared scale tau {steepest.name} needs tau (sigma^2/N) max (J.s)^2 < 1, here tau < "
            f"{neurons.width / (neurons.output_scale**2 * np.max(grows) ** 2):.4g}, and tau is unbounded",
        )
    least, most = (_share(tail.curvature * strength * np.mean(np.square(part)), scale.linear) for part in (found, rest))
    return _below_one("(v sigma^2/2) sup (J.s)^2", least, most)


def _share(size: float, limit: float) -> float:
    """size/limit where the limit may be zero and the size too."""
    if not size:
        return 0.0
    return float(size / limit) if limit else np.inf


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
