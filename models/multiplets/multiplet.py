"""Several fields made of neurons that they share: phi_i(x) = sigma N^(-1/2) sum_n w_ni s_n(x) + b_i.

Groups of neurons differ in kind, number and in the law of their readout vector (w_1, .., w_D) (`laws.py`). Cumulants of
independent neurons add; with one neuron's moments E[w_i1 .. w_ir] <s(x_1) .. s(x_r)> and count_g neurons in group g

    G_c^(r) = sigma^r N^(-r/2) sum_g count_g kappa_r[w_i s] ,

on places (point, field), place number = point D + field. D outputs of one hidden layer are one group, and
G4c_ijkl = (1/N) sum_3 d_ij d_kl [<ssss> - K_12 K_34] of independent Gaussian readouts, the deltas pairing the fields as
the points; of two networks that share a fraction f of their neurons there are three (arXiv:2307.03223, sec. 2).
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..combinatorics import connected_from_moments, even_cumulants, sorted_tuples
from ..networks.accuracy import cumulant_errors
from ..networks.independent import HIGHEST, Cumulants
from ..networks.model import AbstractModel, shared_reasons
from ..networks.readouts import Readout
from ..neurons.base import AbstractNeuron, as_neuron
from ..refusals import check_deviation, is_traced, is_whole, number
from ..types import Inputs, Points, Tuples, Vector
from .laws import AbstractWeights, Copies, Leaving, Tied

__all__ = ["Multiplet", "Neurons"]

_HIGHEST_ODD = 6  # orders of a field that is not even


class Neurons(eqx.Module):
    """A group of like neurons: their kind, how many, and the law of the readout vector of each.

    Raises:
        ValueError: something that is no neuron, a count below one, something that is no law of readout vectors.

    Example:
        >>> from nnft.models import Cos
        >>> Neurons(Cos(), 5, Copies(2)).even
        True
    """

    neuron: AbstractNeuron
    count: int = eqx.field(static=True)
    weights: AbstractWeights

    def __check_init__(self) -> None:
        if isinstance(self.neuron, type) or not callable(self.neuron):
            raise ValueError(f"expected a neuron (a callable of the points), got {self.neuron!r}; try m.Cos()")
        if not is_whole(self.count, 1):
            raise ValueError(f"expected count, the number of neurons, to be at least 1, got {self.count!r}; try 10")
        if not isinstance(self.weights, AbstractWeights):
            raise ValueError(
                f"expected a law of readout vectors, got {self.weights!r}; try m.Copies(2) for two fields, each with "
                "its own Gaussian weight"
            )

    @property
    def kind(self) -> AbstractNeuron:
        """The neuron, which can be asked."""
        return as_neuron(self.neuron)

    @property
    def even(self) -> bool:
        """Whether w s and -w s are equally likely."""
        return self.weights.even or self.kind.even

    @property
    def reasons(self) -> Mapping[str, str]:
        """Of the law of its weights on fields, of its neurons on inputs, and of either on the sign."""
        sign = {"sign": "the readout vectors w and -w are equally likely"} if self.weights.even else {}
        return sign | {**self.weights.reasons, **self.kind.reasons}

    def draw(self, points: Inputs) -> Float[Array, "point output"]:
        """sum_n w_ni s_n(x) over its neurons."""
        with numpyro.plate("neuron", self.count):
            activation, weights = self.neuron(points), self.weights.draw()
        expected = ((self.count, len(points)), (self.count, self.weights.outputs))
        if (activation.shape, weights.shape) != expected:
            raise ValueError(
                f"expected activations (neuron, point) = {expected[0]} and weights (neuron, output) = {expected[1]}, "
                f"got {activation.shape} and {weights.shape}; try `w @ points.T` and law.to_event(1)"
            )
        return activation.T @ weights

    def moments(self, points: Points, places: Tuples) -> tuple[Vector, float]:
        """E w_i1 .. w_ir <s(x_1) .. s(x_r)> at tuples of places, (component,), and the error of the largest."""
        order, outputs = places.shape[1], self.weights.outputs
        fields, field = _distinct(places % outputs)
        weight = np.array([self.weights.moment(tuple(row)) for row in fields.tolist()])[field]
        asked = weight != 0.0
        value, error = np.zeros(len(places)), 0.0
        if np.any(asked):
            rows, row = _distinct(places[asked] // outputs)
            ask = self.kind.odd_moments if order % 2 else self.kind.moments
            given, error = ask(points, rows)
            value[asked] = given[row]
        return weight * value, float(error * np.max(np.abs(weight), initial=0.0))


class Multiplet(AbstractModel):
    """D fields of groups of neurons, each of which feeds one or several of the fields.

    Attributes:
        groups: the groups of neurons (`Neurons`).
        width: N of the 1/sqrt(N); default the number of all neurons.
        output_scale: sigma, which multiplies every readout vector.
        output_bias: standard deviation of an independent Gaussian bias of each field.

    Raises:
        ValueError: no groups, groups that feed different numbers of fields, a width below one, a negative scale; at
            exact results, a neuron that does not know a moment that is asked for, by its name.

    Example, two outputs of one hidden layer: neither is Gaussian, and they are not independent.
        >>> import numpy as np
        >>> from nnft.models import Cos, exact
        >>> data = exact(Multiplet.of(Cos(), 10, Copies(2)), np.zeros((1, 1)))
        >>> data.connected(2).tolist(), data.connected(4).round(12).tolist()   # 11, 12, 22 and 1111, 1112, ..
        ([0.5, 0.0, 0.5], [0.0375, 0.0, 0.0125, 0.0, 0.0375])
    """

    groups: tuple[Neurons, ...] = eqx.field(converter=lambda given: tuple(given) if isinstance(given, list) else given)
    width: int = eqx.field(static=True, default=0)
    output_scale: float = eqx.field(converter=number, default=1.0)
    output_bias: float = eqx.field(converter=number, default=0.0)

    def __check_init__(self) -> None:
        if (
            not isinstance(self.groups, tuple)
            or not self.groups
            or not all(isinstance(g, Neurons) for g in self.groups)
        ):
            raise ValueError(
                f"expected groups of neurons, got {self.groups!r}; try m.Multiplet.of(m.Cos(), 10, m.Copies(2)), or "
                "m.Multiplet((m.Neurons(m.Cos(), 10, m.Copies(2)),))"
            )
        if len(fed := {group.weights.outputs for group in self.groups}) > 1:
            raise ValueError(
                f"expected all groups to feed the same fields, got laws of {sorted(fed)} outputs; try m.Leaving, whose "
                "other weights are zero"
            )
        if not is_whole(self.width, 0):
            raise ValueError(f"expected width, the N of 1/sqrt(N), to be at least 1, got {self.width!r}; try 10")
        check_deviation("output_scale", self.output_scale, allow_zero=False)
        check_deviation("output_bias", self.output_bias, allow_zero=True)

    @classmethod
    def of(cls, neuron: AbstractNeuron, width: int, weights: AbstractWeights, **scales: float) -> Self:
        """D outputs of one hidden layer of `width` neurons.

        Example:
            >>> from nnft.models import Cos
            >>> Multiplet.of(Cos(), 10, Copies(3)).outputs
            3
        """
        return cls((Neurons(neuron, width, weights),), width, **scales)

    @classmethod
    def pair(
        cls,
        neuron: AbstractNeuron,
        width: int,
        shared: float,
        *,
        readout: Readout = "gaussian",
        readouts: bool = False,
        **scales: float,
    ) -> Self:
        """Two networks of `width` neurons each that share a fraction of them, with their readout or each with its own.

        With independent readouts G2_12 = 0 and G4c_1122 = (f/N) (<ssss> - K_12 K_34); with `readouts` shared too
        G2_12 = f K.

        Raises:
            ValueError: a fraction that is no whole number of neurons.

        Example:
            >>> from nnft.models import Cos
            >>> [(g.count, g.weights.outputs) for g in Multiplet.pair(Cos(), 8, 0.25).groups]
            [(2, 2), (6, 2), (6, 2)]
        """
        common = round(float(shared) * width)
        if not 0.0 <= shared <= 1.0 or abs(common - shared * width) > 1e-9:
            raise ValueError(
                f"expected a share of {width} neurons that is a whole number of them, got {shared!r}, that is "
                f"{shared * width:.6g}; try {min(max(common, 0), width) / width:.6g}"
            )
        one = Copies(1, readout)
        parts = [
            (common, Tied(2, readout) if readouts else Copies(2, readout)),
            (width - common, Leaving(2, one, (0,))),
            (width - common, Leaving(2, one, (1,))),
        ]
        return cls(tuple(Neurons(neuron, count, law) for count, law in parts if count), width, **scales)

    def __call__(self, points: Inputs) -> Float[Array, "point output"]:
        """Draw one network and return its fields at the points; sites: those of each group, `output_bias`, `phi`."""
        x = jnp.asarray(points)
        if x.ndim != 2:
            raise ValueError(f"expected points of shape (point, axis), got {x.shape}; try points[:, None]")
        parts = []
        for k, group in enumerate(self.groups):
            with numpyro.handlers.scope(prefix=f"group{k}"):
                parts.append(group.draw(x))
        phi = sum(parts[1:], parts[0]) * (self.output_scale / self.neurons**0.5)
        if is_traced(self.output_bias) or self.output_bias > 0.0:
            law = dist.Normal(0.0, self.output_bias).expand([self.outputs]).to_event(1)
            phi = phi + jnp.asarray(numpyro.sample("output_bias", law))
        return jnp.asarray(numpyro.deterministic("phi", phi))

    @property
    def neurons(self) -> int:
        """N: the width, or the number of all neurons where none is given."""
        return self.width or sum(group.count for group in self.groups)

    @property
    def outputs(self) -> int:
        return self.groups[0].weights.outputs

    @property
    def as_groups(self) -> Self:
        return self

    @property
    def name(self) -> str:
        kinds = dict.fromkeys(group.kind.name for group in self.groups)
        return f"{' and '.join(kinds)} with {self.outputs} fields"

    @property
    def even(self) -> bool:
        """Whether phi -> -phi is a symmetry: of every group either the weights or the activations are."""
        return all(group.even for group in self.groups)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Those that all its groups have; an output bias is Gaussian, one law for all fields."""
        return shared_reasons(group.reasons for group in self.groups)

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders at which `cumulants` answers; odd ones too where phi -> -phi is no symmetry."""
        top = HIGHEST if self.even else _HIGHEST_ODD
        known = tuple(takewhile(lambda r: all(r in g.kind.orders for g in self.groups), range(2, top + 1, 2)))
        return known if self.even or not known else tuple(range(1, known[-1] + 1))

    def cumulants(self, points: Points, top: int) -> Cumulants:
        """Connected functions of all orders up to `top`, on sorted tuples of places, with their errors."""
        places = len(points) * self.outputs
        values: dict[int, np.ndarray] = {}
        errors: dict[int, float] = {}
        rules = {"closed form"}
        for group in self.groups:
            moments: dict[int, np.ndarray] = {}
            slack: dict[int, float] = {}
            for r in (r for r in range(1, top + 1) if r % 2 == 0 or not self.even):
                moments[r], slack[r] = group.moments(points, sorted_tuples(places, r))
                rules |= {group.kind.rule} if slack[r] > 0.0 else set()
            own = even_cumulants(moments, places) if self.even else _cumulants(moments, places)
            for r, error in cumulant_errors(moments, own, slack).items():
                factor = group.count * (self.output_scale / self.neurons**0.5) ** r
                values[r] = values.get(r, 0.0) + factor * own[r]
                errors[r] = errors.get(r, 0.0) + factor * error
        if 2 in values and self.output_bias > 0.0:
            first, second = sorted_tuples(places, 2).T
            values[2] = values[2] + self.output_bias**2 * (first % self.outputs == second % self.outputs)
        return Cumulants(values, errors, "quadrature" if "quadrature" in rules else "closed form")


def _distinct(rows: Tuples) -> tuple[Tuples, Any]:
    """Sorted rows without repetition, and which of them each row is."""
    found, place = np.unique(np.sort(rows, axis=1), axis=0, return_inverse=True)
    return found, place.ravel()


def _cumulants(moments: dict[int, np.ndarray], places: int) -> dict[int, np.ndarray]:
    return {r: connected_from_moments(moments, places, r) for r in moments}
