"""What the neuron prior says exactly about the field, before any network is drawn: the first maker of correlators.

Neurons are independent, so cumulants add: G_c^(r)[phi] = N^(1-r/2) G_c^(r)[h] with h = W s one neuron, and the moments
of h factorise, <h_1..h_r> = mu_r sigma^r <s_1..s_r> (arXiv:2008.08601 eq. 2.9 and 2307.03223 sec. 2; mu_r the readout's
r-th moment). Hence G2 = sigma^2 <s s> at every width and G4c = (1/N)[mu4 sigma^4 <ssss> - sum_3 sigma^4 <ss><ss>]. The
output bias adds its variance to G2 and nothing else. <s_1..s_r> over the hidden parameters is closed for Cos and Gauss
at every order; a lattice rule for Erf and Tanh, the support-cone rule for ReLU (`neurons/quadrature.py`). Of several
kinds of neurons the cumulants are averaged; over a latent all neurons share, the moments are (`networks/latents.py`).
"""

from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from ..combinatorics import sorted_tuples, tuple_count
from ..correlators import Correlators, check_points
from ..networks.network import Network
from ..networks.scalar import ScalarMode, scalar_moments, scalar_site_moment
from ..neurons.cos import Cos
from ..neurons.gauss import Gauss
from ..neurons.quadrature import gaussian_moments, lattice_nodes, relu_moments
from ..neurons.relu import ReLU
from ..neurons.signs import sign_moments
from ..neurons.smooth import Erf, Tanh
from ..recursion import even_cumulants, even_moments
from ..types import Points, Tuples, Vector
from .accuracy import REFUSED, Errors, cumulant_errors, judged, largest, moment_errors

__all__ = [
    "activation_moments",
    "exact",
    "exact_if_known",
    "known_orders",
    "latent_rule",
    "site_moments",
]

_KNOWN = (Cos, Gauss, Erf, Tanh, ReLU, ScalarMode)
_SITE_REACH = 9.0  # standard deviations of one pre-activation
_LATTICE_IS_FASTER = 8e5  # nodes: of Erf at order 6; up to there the rules of `neurons/signs.py` take longer
MOST_COMPONENTS = 1_000_000  # of one order
_LENGTH_NODES = 48  # over the shared length; two thirds of them give the error


def exact(network: Network, points: Points, *, orders: tuple[int, ...] | None = None) -> Correlators:
    """Exact connected functions and moments of a one-hidden-layer network at the points.

    Args:
        network: a `Network` whose neuron is one of the suite.
        points: (point, axis).
        orders: even orders up to 6, fewer where a shared latent has no such moment; default all of these that the
            number of points allows. Cos, Gauss
            and ScalarMode have any even order asked for by name.

    Returns:
        Correlators without errors. `about["accuracy"]` is the estimated absolute error {order: number} of the connected
        functions, of the largest component, readout scales included; `about["relative_accuracy"]` the same over the
        largest component; `about["rule"]` how the averages over a neuron are known. An order that is uncertain by more
        than 1e-4 of itself is in `flags`, by more than 1e-2 in `refused`.

    Raises:
        ValueError: a model, a neuron or an order without an exact result; the message says which are known. More than
            a million components of an order asked for by name.

    Example:
        >>> import numpy as np
        >>> data = exact(Network(Cos(), width=10), np.zeros((1, 1)))
        >>> data.connected(4).round(12).tolist()   # (3/8) 3 - 3/4, over N
        [0.0375]
        >>> data.about["rule"], data.about["relative_accuracy"][4] < 1e-13
        ('closed form', True)
    """
    known, asked = known_orders(network), _asked(network, orders)
    x = check_points(points)
    unknown = [r for r in asked if r not in known and not (r > 6 and r % 2 == 0 and _closed(network, r))]
    if unknown:
        name = type(getattr(network, "neuron", network)).__name__
        raise ValueError(
            f"expected orders with an exact result, for {name} {list(known) or 'none'}, got {unknown[0]}; "
            "try measuring it: inf.measure(Ensemble(...))"
        )
    sizes = {r: tuple_count(len(x), r) for r in asked}
    large = {r: f"{size} components at {len(x)} points, above {MOST_COMPONENTS}" for r, size in sizes.items()}
    large = {r: why for r, why in large.items() if sizes[r] > MOST_COMPONENTS}
    if large and (orders is not None or min(large) == min(asked)):
        raise ValueError(
            f"expected at most {MOST_COMPONENTS} components, got {sizes[min(large)]} of order {min(large)} at {len(x)} "
            "points; try a lower order or fewer points"
        )
    asked = tuple(r for r in asked if r not in large)
    found, rule = _cumulants(network, x, max(asked, default=0))
    cumulants, moments = found.values, even_moments(found.values, len(x))
    size = largest(cumulants)
    natural = {r: network.width ** (1.0 - r / 2.0) * size[2] ** (r / 2.0) for r in asked}
    refused, flags = judged({r: cumulants[r] for r in asked}, found.errors, natural)
    # Rounding loses a small connected function, and leaves the moments that hide it.
    good = [found.errors[r] < REFUSED * np.max(np.abs(moments[r])) for r in sorted(refused)]
    lost = {r for k, r in enumerate(sorted(refused)) if all(good[: k + 1])}
    return Correlators(
        points=x,
        moments={r: moments[r] for r in asked if r not in refused or r in lost},
        cumulants={r: cumulants[r] for r in asked if r not in refused},
        maker="exact",
        even=True,
        refused=large | refused,
        flags=flags,
        model=network,
        about={
            "accuracy": {r: found.errors[r] for r in asked},
            "relative_accuracy": {r: found.errors[r] / size[r] if size[r] > 0.0 else 0.0 for r in asked},
            "rule": rule,
            "model": repr(network),
        },
    )


def exact_if_known(network: object, points: Points, orders: tuple[int, ...]) -> Correlators | None:
    """`exact` where it has an answer at all these orders, else None: for those who can also measure."""
    if not isinstance(network, Network) or not set(orders) <= set(known_orders(network)):
        return None
    try:
        found = exact(network, points, orders=orders)
    except ValueError:  # pre-activations that no lattice resolves
        return None
    return None if found.refused else found


def _asked(network: object, orders: Iterable[int] | None) -> tuple[int, ...]:
    """The orders to give; refused by what was handed over where there is nothing to give."""
    if orders is not None and (isinstance(orders, str) or not isinstance(orders, Iterable)):
        raise ValueError(f"expected orders as a tuple, got {orders!r}; try orders=(2, 4)")
    known = known_orders(network)
    if not known and (orders is None or isinstance(network, _KNOWN)):
        raise ValueError(
            f"expected a Network of neurons known exactly ({', '.join(kind.__name__ for kind in _KNOWN)}), got "
            f"{_foreign(network)}"
        )
    return known if orders is None else tuple(sorted(set(orders)))


def _foreign(network: object) -> str:
    """What was handed over instead of a network known exactly, and what to try."""
    if isinstance(network, _KNOWN):
        return f"the neuron {network!r}; try m.Network(m.{network!r}, width=20)"
    kinds = network.kinds if isinstance(network, Network) else (network,)
    if isinstance(network, type) and issubclass(network, _KNOWN):
        return f"the class {network.__name__} for a neuron; try m.Network(m.{network.__name__}(), width=20)"
    unknown = next((kind for kind in kinds if type(kind) not in _KNOWN), network)
    name = getattr(unknown, "__name__", None) or type(unknown).__name__
    return f"{name} of type {type(unknown).__name__}; try measuring it: inf.measure(inf.Ensemble(...))"


def known_orders(network: object) -> tuple[int, ...]:
    """Orders at which `exact` has an answer for this model; empty for a model the suite does not know."""
    if type(network) is not Network or any(type(neuron) not in _KNOWN for neuron in network.kinds):
        return ()
    highest = 6.0 if network.shared_scale is None else network.shared_scale.orders - 1e-9
    if network.shared_length is not None and Gauss in map(type, network.kinds):
        highest = min(highest, 2.0)  # <s^4> ~ exp(c/l^2) has no average over a log-normal length
    return tuple(r for r in (2, 4, 6) if r <= highest)


def _closed(network: Network, order: int) -> bool:
    """Whether all even orders up to this one are known in closed form, or by a one-dimensional integral."""
    known = set(known_orders(network))
    beyond = network.shared_scale is None or network.shared_scale.orders > order
    return 6 in known and beyond and {type(neuron) for neuron in network.kinds} <= {Cos, Gauss, ScalarMode}


class _Found(NamedTuple):
    """Connected functions or moments, and the absolute error of the largest component of each order."""

    values: dict[int, np.ndarray]
    errors: Errors


def _cumulants(network: Network, points: Points, top: int) -> tuple[_Found, str]:
    """Connected functions of order 2, 4, .., top, and the rule that gave the averages behind them."""
    scale, length, count = network.shared_scale, network.shared_length, len(points)
    rules: set[str] = set()
    if scale is None and length is None:
        found = _given_shared(network, points, top, rules)
    else:
        moments, errors = _over_lengths(network, points, top, _LENGTH_NODES, rules)
        if length is not None:
            fewer, _ = _over_lengths(network, points, top, 2 * _LENGTH_NODES // 3, rules)
            errors = {r: errors[r] + float(np.max(np.abs(moments[r] - fewer[r]))) for r in moments}
            rules.add("quadrature")
        if scale is not None:  # given tau, phi without its bias is sqrt(tau) times the field of tau = 1
            moments = {r: scale.moment(r // 2) * value for r, value in moments.items()}
            errors = {r: scale.moment(r // 2) * error for r, error in errors.items()}
        cumulants = even_cumulants(moments, count)
        found = _Found(cumulants, cumulant_errors(moments, cumulants, errors))
    if found.values:
        found.values[2] = found.values[2] + network.output_bias**2
    return found, "quadrature" if "quadrature" in rules else "closed form"


def _over_lengths(network: Network, points: Points, top: int, nodes: int, rules: set[str]) -> _Found:
    """Moments without output bias at tau = 1, averaged over the shared length."""
    total: dict[int, np.ndarray] = {}
    errors: Errors = {}
    for length, weight in _lengths(network, nodes):
        given, error = _given_shared(network, points / length, top, rules)
        moments = even_moments(given, len(points))
        for r, more in moment_errors(moments, given, error).items():
            total[r] = total.get(r, 0.0) + weight * moments[r]
            errors[r] = errors.get(r, 0.0) + float(weight) * more
    return _Found(total, errors)


def latent_rule(network: Network) -> list[list[tuple[float, float]]]:
    """Lengths shared by all neurons with their weights: the rule, and the coarser one whose difference is its error."""
    counts = (_LENGTH_NODES,) if network.shared_length is None else (_LENGTH_NODES, 2 * _LENGTH_NODES // 3)
    return [_lengths(network, count) for count in counts]


def _lengths(network: Network, nodes: int) -> list[tuple[float, float]]:
    if network.shared_length is None:
        return [(1.0, 1.0)]
    lengths, weights = network.shared_length.nodes(nodes)
    return [(float(length), float(weight)) for length, weight in zip(lengths, weights, strict=True)]


def _given_shared(network: Network, points: Points, top: int, rules: set[str]) -> _Found:
    """Connected functions of independent neurons, tau = 1 and no output bias: N^(1-r/2) times the mean over kinds."""
    out: dict[int, np.ndarray] = {}
    errors: Errors = {}
    for kind in network.kinds:
        neuron: dict[int, np.ndarray] = {}
        given: Errors = {}
        for order in range(2, top + 1, 2):
            value, error = activation_moments(kind, points, sorted_tuples(len(points), order))
            factor = network.readout_law.moment(order) * network.output_scale**order
            neuron[order], given[order] = factor * value, factor * error
            rules.add("quadrature" if error > 0.0 else "closed form")
        cumulants = even_cumulants(neuron, len(points))
        for order, error in cumulant_errors(neuron, cumulants, given).items():
            share = network.width ** (1.0 - order / 2.0) / len(network.kinds)
            out[order] = out.get(order, 0.0) + share * cumulants[order]
            errors[order] = errors.get(order, 0.0) + share * error
    return _Found(out, errors)


def activation_moments(neuron: Any, points: Points, tuples: Tuples) -> tuple[Vector, float]:
    """<s(x_a1)..s(x_ar)> over one neuron's hidden parameters, (component,), and the estimated absolute error.

    Cos: 2^-r sum over neutral sign choices e of exp(-(sw^2/2d)|sum_k e_k x_k|^2).
    Gauss: exp[(r^2/2 - r) sb^2 + (sW^2/2d)(|sum x_k|^2 - 2 sum |x_k|^2)].
    Erf, Tanh, ReLU: quadrature over the Gaussian pre-activations, covariance sb^2 + sW^2 x.y/d.
    ScalarMode: quadrature over the length of the momentum (`networks/scalar.py`).
    """
    if type(neuron) is ScalarMode:
        return scalar_moments(neuron, points, tuples)
    d, order = points.shape[1], tuples.shape[1]
    chosen = points[tuples]  # (component, order, axis)
    if type(neuron) is Cos:
        signs = np.array([e for e in product((1, -1), repeat=order) if sum(e) == 0]).reshape(-1, order)
        momentum = np.einsum("so,coa->csa", signs, chosen)
        exponent = -(neuron.weight_scale**2) / (2 * d) * np.sum(momentum**2, axis=-1)
        return np.sum(np.exp(exponent), axis=1) / 2.0**order, 0.0
    if type(neuron) is Gauss:
        spread = np.sum(np.sum(chosen, axis=1) ** 2, axis=-1) - 2.0 * np.sum(chosen**2, axis=(1, 2))
        exponent = (order**2 / 2.0 - order) * neuron.bias_scale**2 + neuron.weight_scale**2 / (2 * d) * spread
        if np.max(exponent, initial=0.0) > 700.0:
            raise ValueError(
                f"expected moments of Gauss within floating point, got e^{np.max(exponent):.0f} at order {order}; "
                "try points nearer the origin or a lower order"
            )
        return np.exp(exponent), 0.0
    if type(neuron) in (Erf, Tanh, ReLU):
        covariance = neuron.bias_scale**2 + neuron.weight_scale**2 * (points @ points.T) / d
        if type(neuron) is ReLU:
            return relu_moments(covariance, tuples)
        if type(neuron) is Tanh:
            return gaussian_moments(np.tanh, covariance, tuples)
        if order >= 6 and lattice_nodes(covariance, order) < _LATTICE_IS_FASTER:
            return gaussian_moments(special.erf, covariance, tuples)
        value, each = sign_moments(covariance, tuples)
        return value, float(np.max(each, initial=0.0))
    raise ValueError(f"expected a neuron of the suite, got {type(neuron).__name__}; try measuring it instead")


def site_moments(network: Network, points: Points, order: int) -> Float[np.ndarray, "half point"] | None:
    """Exact <phi(x)^2r> at each single point for 2r = 2, 4, ..., order, (order/2, point); None for a foreign model.

    Any order, at finite width: what decides whether a plain average of phi^n can be trusted, since its relative error
    from n networks is sqrt((<phi^2n>/<phi^n>^2 - 1)/n). A sum of N independent neurons, so cumulants of one neuron
    times N^(1-r/2). Beyond floating point the answer is inf or nan.
    """
    if not known_orders(network):
        return None
    half, x = order // 2, np.asarray(points, dtype=float)
    degree = np.arange(1, half + 1)
    weights = np.array([network.readout_law.moment(2 * r) for r in degree.tolist()])
    weights = (weights * network.output_scale ** (2.0 * degree))[:, None]
    width = network.width ** (1.0 - degree)[:, None]
    length, scale = network.shared_length, network.shared_scale
    shared = zip(*(([1.0], [1.0]) if length is None else length.nodes(_LENGTH_NODES)), strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        # Recursion m_n = sum_k C(n-1, k-1) kappa_k m_{n-k}, both ways, even orders only.
        moments = np.zeros((half, len(x)))
        for size, share in shared:
            kappa = np.zeros_like(moments)
            for kind in network.kinds:
                h = weights * np.stack([_site_activation(kind, x / size, 2 * r) for r in degree.tolist()])
                kappa += width * _even_recursion(h, to_cumulants=True) / len(network.kinds)
            moments += share * _even_recursion(kappa, to_cumulants=False)
        if scale is not None:
            moments *= np.array([scale.moment(r) for r in degree.tolist()])[:, None]
        kappa = _even_recursion(moments, to_cumulants=True)
        kappa[0] += network.output_bias**2
        return _even_recursion(kappa, to_cumulants=False)


def _even_recursion(known: np.ndarray, *, to_cumulants: bool) -> np.ndarray:
    half, count = known.shape
    out = np.zeros_like(known)
    moments = known if to_cumulants else out
    kappas = out if to_cumulants else known
    for r in range(1, half + 1):
        mixed = np.zeros(count)
        for k in range(1, r):
            mixed += special.comb(2 * r - 1, 2 * k - 1, exact=True) * kappas[k - 1] * moments[r - k - 1]
        out[r - 1] = known[r - 1] - mixed if to_cumulants else known[r - 1] + mixed
    return out


def _site_activation(neuron: Any, x: np.ndarray, order: int) -> Vector:
    """<s(x)^order> at single points: one Gaussian pre-activation of variance c."""
    if type(neuron) is ScalarMode:
        return scalar_site_moment(neuron, x, order)
    if type(neuron) is Cos:
        return np.full(len(x), special.comb(order, order // 2, exact=True) / 2.0**order)
    c = neuron.bias_scale**2 + neuron.weight_scale**2 * np.sum(x**2, axis=1) / x.shape[1]
    if type(neuron) is Gauss:
        with np.errstate(over="ignore"):
            return np.exp((order**2 / 2.0 - order) * c)
    if type(neuron) is ReLU:
        return 0.5 * special.factorial2(order - 1, exact=True) * c ** (order / 2)
    # A kink of width 1/sqrt(c) inside the Gaussian: panels that double from there on.
    activation, narrow = (special.erf if type(neuron) is Erf else np.tanh), (1.0 + 2.0 * c) ** -0.5
    y, weight = special.roots_legendre(32)
    out = np.zeros(len(c))
    edge = np.zeros(len(c))
    while np.any(edge < _SITE_REACH):
        half = 0.5 * (np.minimum(np.maximum(2.0 * edge, narrow), _SITE_REACH) - edge)
        xi = edge[:, None] + half[:, None] * (1.0 + y)
        out += half * ((activation(np.sqrt(c)[:, None] * xi) ** order * np.exp(-0.5 * xi**2)) @ weight)
        edge = edge + 2.0 * half
    return out * (2.0 / np.pi) ** 0.5
