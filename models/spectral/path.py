"""Neurons on one random path: an interacting network whose correlators are those of a quantum system at any width.

    phi(t) = N^(-1/2) sum_i W_i s_i(x(t)),   <x(t) x(t')> = variance exp(-rate |t - t'|),

x one Ornstein-Uhlenbeck path, drawn once per network and seen by all its neurons. x is the harmonic oscillator in
Euclidean time, with energies 0, rate, 2 rate, .., and a network of it is an operator of that oscillator that is drawn
at random: so every correlator is reflection positive, whatever the neurons (K. Osterwalder and R. Schrader, Commun.
Math. Phys. 31 (1973) 83; E. Nelson, J. Funct. Anal. 12 (1973) 97). The shared path correlates the neurons, and G4c
survives N = infinity:

    m(1..r) = N^(-r/2) sum_P N!/(N - |P|)! E_x prod_(B in P) mu_|B| sigma^|B| <s_B>_x,   P = partitions in even blocks.

<phi phi> = sum_k rho_k exp(-k rate t): rho_0 is a state without energy, so that a cosine neuron does not cluster.
"""

from collections.abc import Mapping
from math import perm
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ..combinatorics import even_cumulants, set_partitions, sorted_tuples
from ..networks.accuracy import cumulant_errors
from ..networks.independent import Cumulants, Independent
from ..networks.model import AbstractModel
from ..quantum.spectrum import Spectrum
from ..refusals import NotKnown, check_deviation, is_traced, is_whole, number
from ..types import Inputs, Points, Vector

__all__ = ["Path"]

_SITES = 512  # nodes of an average over one position of the path
_REACH = 9.0  # its standard deviations


class Path(AbstractModel):
    """A network along an Ornstein-Uhlenbeck path: its points are times, (time, 1).

    Attributes:
        network: a model on a line; exact correlators are known for networks of one kind of `Cos` (orders 2, 4, 6) or
            `Erf` (2, 4) neurons, with any readout, output bias and shared scale. Any model can be drawn.
        variance: of x(t).
        rate: 1/correlation time of x: the unit of the energies.

    Sites: those of the network, `path_noise` (standard normal, one a time) and `path`, x at the times.

    Raises:
        ValueError: a network that is none; a variance or rate that is not positive; at the call, points that are no
            times, (time, 1).

    Example:
        >>> from nnft.models import Cos, Network, exact
        >>> field = Path(Network(Cos(), width=10))
        >>> data = exact(field, np.array([[0.0], [1.0]]), orders=(2, 4))
        >>> data.connected(2).round(12).tolist(), round(float(data.connected(4)[2]), 10)
        ([0.5, 0.332283417102, 0.5], 0.0839749516)
        >>> field.spectrum(3).weights.round(12).tolist()
        [0.288675134595, 0.096225044865, 0.048112522432]
    """

    network: AbstractModel
    variance: float = eqx.field(converter=number, default=1.0)
    rate: float = eqx.field(converter=number, default=1.0)

    def __check_init__(self) -> None:
        if not isinstance(self.network, AbstractModel):
            raise ValueError(
                f"expected a network, got {self.network!r}; try m.Path(m.Network(m.Cos(), width=10)), or m.FromKey for "
                "a function of one's own"
            )
        check_deviation("variance", self.variance, allow_zero=False)
        check_deviation("rate", self.rate, allow_zero=False)

    def __call__(self, points: Inputs) -> Any:
        """Draw one path and one network, and return the network's field along the path."""
        _check_times(points)
        t = jnp.asarray(points)
        order = jnp.argsort(t[:, 0])
        step = self.rate * jnp.diff(t[order, 0], prepend=-jnp.inf)
        # x_k = sum_(j <= k) exp(-rate (t_k - t_j)) (variance (1 - exp(-2 step_j)))^(1/2) noise_j, times in their order
        later = self.rate * (t[order] - t[order].T)
        fall = jnp.where(later >= 0.0, jnp.exp(-jnp.abs(later)), 0.0) * jnp.tri(len(order))
        size = jnp.sqrt(-self.variance * jnp.expm1(-2.0 * step))
        noise = jnp.asarray(numpyro.sample("path_noise", dist.Normal(0.0, 1.0).expand([len(order)]).to_event(1)))
        x = numpyro.deterministic("path", jnp.zeros_like(noise).at[order].set((fall * size) @ noise))
        return self.network(jnp.asarray(x)[:, None])

    @property
    def name(self) -> str:
        return f"a path of {self.network.name}"

    @property
    def outputs(self) -> int:
        return self.network.outputs

    @property
    def even(self) -> bool:
        return self.network.even

    @property
    def reasons(self) -> Mapping[str, str]:
        """The sign is the network's; the path is stationary and the same both ways, whatever the network."""
        path = {
            "translations": "the path is stationary, and the network does not know the time",
            "rotations": "the path runs both ways alike, and the network does not know the time",
        }
        return {key: words for key, words in self.network.reasons.items() if key not in path} | path

    @property
    def orders(self) -> tuple[int, ...]:
        known = self._known
        if known is None:
            return ()
        below = np.inf if known.shared_scale is None else known.shared_scale.orders
        return tuple(r for r in known.kinds[0].path_orders if r < below)

    @property
    def _known(self) -> Independent | None:
        """The network as a sum of neurons of one kind, whose averages along a path may be known."""
        whole = None if any(map(is_traced, jax.tree.leaves(self))) else self.network.as_sum
        return whole if whole is not None and len(whole.kinds) == 1 and whole.shared_length is None else None

    def cumulants(self, points: Points, top: int) -> Cumulants:
        """By the sum over partitions in the head of this file: which factors belong to one neuron."""
        known = self._known
        if known is None or top > max(self.orders, default=0):
            return super().cumulants(points, top)
        _check_times(points)
        kind, law, count = known.kinds[0], known.law, known.width
        covariance = self.variance * np.exp(-self.rate * np.abs(points - points.T))
        moments, errors, rules = {}, {}, {"closed form"}
        for order in range(2, top + 1, 2):
            tuples = sorted_tuples(len(points), order)
            factor = known.output_scale**order
            factor *= 1.0 if known.shared_scale is None else known.shared_scale.moment(order // 2)
            moments[order], errors[order] = np.zeros(len(tuples)), 0.0
            for partition in set_partitions(order):
                if any(len(block) % 2 for block in partition) or len(partition) > count:
                    continue
                share = factor * perm(count, len(partition)) / float(count) ** (order // 2)
                share *= float(np.prod([law.moment(len(block)) for block in partition]))
                value, error = kind.path_average(covariance, [tuples[:, block] for block in partition])
                rules.add(kind.rule if error > 0.0 else "closed form")
                moments[order] += share * value
                errors[order] += share * error
        cumulants = even_cumulants(moments, len(points))
        errors = cumulant_errors(moments, cumulants, errors)
        cumulants[2] = cumulants[2] + known.output_bias**2
        return Cumulants(cumulants, errors, "quadrature" if "quadrature" in rules else "closed form")

    def spectrum(self, count: int = 32) -> Spectrum:
        """Energies k rate and weights rho_k of <phi(0) phi(t)> = sum_k rho_k exp(-k rate t), k < count.

        Args:
            count: how many levels.

        Raises:
            ValueError: a count that is none; a network whose levels along a path are not known, by its name.
        """
        if not is_whole(count, 1):
            raise ValueError(f"expected how many levels, a whole number from 1 on, got {count!r}; try 32")
        known = self._known
        if known is None:
            raise NotKnown(
                f"expected a network of one kind of neurons along the path, got {self.network.name}; try "
                "m.Path(m.Network(m.Cos(), width=10)), or energies from measured correlators: inf.time_correlators"
            )
        weights = known.output_scale**2 * known.kinds[0].path_levels(self.variance, count)
        weights[0] += known.output_bias**2
        return Spectrum(self.rate * np.arange(count), weights)

    def site_moments(self, points: Points, order: int) -> Any:
        """At one time x is normal: an average of the network's own over a line; None where those are not known."""
        edge = _REACH * float(self.variance) ** 0.5
        x = np.linspace(-edge, edge, _SITES)
        given = self.network.site_moments(x[:, None], order)
        if given is None:
            return None
        weight = np.exp(-0.5 * x**2 / self.variance)
        mean: Vector = given @ (weight / weight.sum())
        return np.repeat(mean[:, None], len(points), axis=1)

    @property
    def knows_sites(self) -> bool:
        return self.network.knows_sites


def _check_times(points: Inputs) -> None:
    if points.ndim != 2 or points.shape[1] != 1:
        raise ValueError(f"expected times (time, 1), got {points.shape}; try times[:, None]")
