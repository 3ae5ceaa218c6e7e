"""What the neuron prior says exactly about the field, before any network is drawn: the first maker of correlators.

A model is asked for its connected functions (`networks/model.py`). Of a sum of N independent neurons they follow from
one of them, G2 = sigma^2 <s s> at every width and G4c = (1/N)[mu4 sigma^4 <ssss> - sum_3 sigma^4 <ss><ss>]
(`networks/independent.py`); <s_1..s_r> over the hidden parameters of a neuron is its own to know (`neurons/`). Here the
answers are judged by their errors, and completed by the moments that belong to them.
"""

from collections.abc import Iterable

import numpy as np

from ..arrays import points_label
from ..combinatorics import even_moments, moments_from_connected, tuple_count
from ..correlators import Correlators, check_points
from ..networks.accuracy import REFUSED, judged, largest
from ..networks.independent import Cumulants
from ..networks.model import AbstractModel, as_model
from ..neurons.base import AbstractNeuron
from ..types import ByOrder, Points

__all__ = ["exact", "exact_if_known", "known_orders"]

MOST_COMPONENTS = 1_000_000  # of one order


def exact(network: AbstractModel, points: Points, *, orders: tuple[int, ...] | None = None) -> Correlators:
    """Exact connected functions and moments of a network at the points.

    Args:
        network: a `Network` whose neurons bring their `moments`, or a model of one's own that brings its `cumulants`.
        points: (point, axis).
        orders: even orders up to 6, odd ones too of a field that is not even, fewer where a shared latent has no such
            moment; default all of these that the number of points allows. Cos, Gauss and ScalarMode have any even
            order asked for by name.

    Returns:
        Correlators without errors. `about["accuracy"]` is the estimated absolute error {order: number} of the connected
        functions, of the largest component, readout scales included; `about["relative_accuracy"]` the same over the
        largest component; `about["rule"]` how the averages over a neuron are known. An order that is uncertain by more
        than 1e-4 of itself is in `flags`, by more than 1e-2 in `refused`.

    Raises:
        ValueError: a model, a neuron or an order without an exact result; the message says which are known. More than
            a million components of an order asked for by name.

    Example:
        >>> from nnft.models import Cos, Network
        >>> data = exact(Network(Cos(), width=10), np.zeros((1, 1)))
        >>> data.connected(4).round(12).tolist()   # (3/8) 3 - 3/4, over N
        [0.0375]
        >>> data.about["rule"], data.about["relative_accuracy"][4] < 1e-13
        ('closed form', True)
    """
    asked = _asked(network, orders)
    model, x = as_model(network), check_points(points)
    unknown = [r for r in asked if r not in model.orders]
    if unknown:
        raise ValueError(
            f"expected orders with an exact result, for {model.name} {list(known_orders(model)) or 'none'}, got "
            f"{unknown[0]}; try {model.elsewhere}"
        )
    places = len(x) * model.outputs
    sizes = {r: tuple_count(places, r) for r in asked}
    where = points_label(len(x), model.outputs)
    large = {r: f"{size} components at {where}, above {MOST_COMPONENTS}" for r, size in sizes.items()}
    large = {r: why for r, why in large.items() if sizes[r] > MOST_COMPONENTS}
    if large and (orders is not None or min(large) == min(asked)):
        raise ValueError(
            f"expected at most {MOST_COMPONENTS} components, got {sizes[min(large)]} of order {min(large)} at "
            f"{where}; try a lower order or fewer points"
        )
    asked = tuple(r for r in asked if r not in large)
    even = not any(r % 2 for r in model.orders)
    found = _checked(model, model.cumulants(x, max(asked, default=0)), asked, places)
    cumulants, moments = found.values, even_moments(found.values, places) if even else _moments(found.values, places)
    size, width = largest(cumulants), 1.0 if model.as_sum is None else model.as_sum.width
    natural = {r: width ** (1.0 - r / 2.0) * size.get(2, 1.0) ** (r / 2.0) for r in asked}
    refused, flags = judged({r: cumulants[r] for r in asked}, found.errors, natural)
    # Rounding loses a small connected function, and leaves the moments that hide it.
    good = [found.errors[r] < REFUSED * np.max(np.abs(moments[r])) for r in sorted(refused)]
    lost = {r for k, r in enumerate(sorted(refused)) if all(good[: k + 1])}
    return Correlators(
        points=x,
        moments={r: moments[r] for r in asked if r not in refused or r in lost},
        cumulants={r: cumulants[r] for r in asked if r not in refused},
        maker="exact",
        even=even,
        refused=large | refused,
        flags=flags,
        model=network,
        about={
            "accuracy": {r: found.errors[r] for r in asked},
            "relative_accuracy": {r: found.errors[r] / size[r] if size[r] > 0.0 else 0.0 for r in asked},
            "rule": found.rule,
            "model": repr(network),
        },
        outputs=model.outputs,
    )


def exact_if_known(network: object, points: Points, orders: tuple[int, ...]) -> Correlators | None:
    """`exact` where it has an answer at all these orders, else None: for those who can also measure."""
    model = as_model(network)
    if not set(orders) <= set(model.orders):
        return None
    try:
        found = exact(model, points, orders=orders)
    except ValueError:  # pre-activations that no lattice resolves
        return None
    return None if found.refused else found


def _asked(network: object, orders: Iterable[int] | None) -> tuple[int, ...]:
    """The orders to give; refused by what was handed over where there is nothing to give."""
    if orders is not None and (isinstance(orders, str) or not isinstance(orders, Iterable)):
        raise ValueError(f"expected orders as a tuple, got {orders!r}; try orders=(2, 4)")
    known = known_orders(network)
    if not known and (orders is None or isinstance(network, AbstractNeuron)):
        raise ValueError(
            "expected a Network of neurons known exactly (Cos, Gauss and others, or one of your own that brings "
            f"`moments`), got {_foreign(network)}"
        )
    return known if orders is None else tuple(sorted(set(orders)))


def _foreign(network: object) -> str:
    """What was handed over instead of a network known exactly, and what to try."""
    if isinstance(network, AbstractNeuron):
        return f"the neuron {network!r}; try m.Network(m.{network!r}, width=20)"
    if isinstance(network, type) and issubclass(network, AbstractNeuron):
        return f"the class {network.__name__} for a neuron; try m.Network(m.{network.__name__}(), width=20)"
    model = as_model(network)
    unknown = next((kind.name for kind in model.as_sum.kinds if 2 not in kind.orders), None) if model.as_sum else None
    if unknown:
        return f"{unknown}, which knows no `moments`; try writing them, or measuring: inf.measure(inf.Ensemble(...))"
    return f"{model.name} of type {type(network).__name__}; try {model.elsewhere}"


def _moments(cumulants: ByOrder, places: int) -> ByOrder:
    return {r: moments_from_connected(cumulants, places, r) for r in cumulants}


def _checked(model: AbstractModel, found: Cumulants, asked: tuple[int, ...], places: int) -> Cumulants:
    """What a model answers, with an error for every order, or a refusal of what does not fit."""
    odd = any(r % 2 for r in model.orders)
    for r in range(1 if odd else 2, max(asked, default=0) + 1, 1 if odd else 2):
        shape, size = np.shape(found.values.get(r, 0.0)), tuple_count(places, r)
        if shape != (size,):
            what = "points" if model.outputs == 1 else "places"
            raise ValueError(
                f"expected {model.name}.cumulants to give order {r} on {size} sorted tuples of {places} {what}, got "
                f"shape {shape}; try one number for each row of sorted tuples"
            )
    return found._replace(errors={r: found.errors.get(r, 0.0) for r in found.values})


def known_orders(model: object) -> tuple[int, ...]:
    """Orders up to six at which `exact` has an answer for this model; empty for a model that brings none."""
    return tuple(r for r in range(1, 7) if r in as_model(model).orders)
