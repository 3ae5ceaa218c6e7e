"""How a field changes while its networks learn: correlators and couplings against time, paired across times.

The networks at all times are the same ones, so that most of their fluctuation drops out of a change since the first
time: its error is that of the difference, network by network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import xarray as xr

from ...inference.ensembles.ensemble import Ensemble
from ...inference.estimators.measure import measure
from ...inference.pooling.pairs import paired_difference
from ...inference.posterior.changes import CouplingChange, paired_couplings
from ...inference.posterior.fit import fit as fit_action
from ...models.actions.base import AbstractAction
from ...models.correlators import Correlators
from ...models.networks.model import as_model
from ...models.training.trained import Trained
from ..reading.couplings import Coupling
from ..reading.fit import Reading

__all__ = ["Drift", "drift"]


@dataclass(frozen=True)
class Drift:
    """What training does to a field; prints as a table, and `an.plot_drift` draws it.

    Attributes:
        times: times of training.
        correlators: measured at each time.
        changes: at each time, minus those of the same networks at the first one.
        fits: at each time, if an action was given and its fit was not refused: time's number -> the tree.
        refused: time's number -> why there is no fit.
    """

    times: tuple[float, ...]
    correlators: tuple[Correlators, ...]
    changes: tuple[Correlators, ...]
    fits: Mapping[int, xr.DataTree] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)

    def couplings(self, k: int) -> tuple[Coupling, ...]:
        """The couplings at time number k; none where no fit is."""
        return tuple(Reading(self.fits[k]).couplings) if k in self.fits else ()

    def coupling_change(self, k: int) -> CouplingChange:
        """Couplings at time number k minus those at the first, with the error of the pairs of networks.

        Raises:
            ValueError: no fit at one of the two times.
        """
        if missing := [one for one in (0, k) if one not in self.fits]:
            raise ValueError(f"expected a fit at time number {missing[0]}, got none; try an.drift(ensemble, action)")
        now, start = self.correlators[k].source, self.correlators[0].source
        return paired_couplings(now, start, Reading(self.fits[k]).action)

    def __str__(self) -> str:
        orders = self.correlators[0].orders
        head = f"{'time':>10}" + "".join(f"{f'|G{r}|':>12}{'change, p':>12}" for r in orders)
        lines = [head]
        for k, time in enumerate(self.times):
            cells = []
            for r in orders:
                size = float(np.max(np.abs(self.correlators[k].connected(r))))
                cells.append(f"{size:>12.4g}{'' if k == 0 else f'{self.changes[k].chi2(r).p:.1e}':>12}")
            lines.append(f"{time:>10.4g}" + "".join(cells))
        for k in range(len(self.times)):
            for one in self.couplings(k):
                lines.append(f"{self.times[k]:>10.4g}  {one.text} = {one.mean:+.4g} +- {one.sd:.1g}")
            if k in self.refused:
                lines.append(f"{self.times[k]:>10.4g}  no fit: {self.refused[k]}")
        return "\n".join(lines)

    __repr__ = __str__


def drift(
    ensemble: Ensemble[Any],
    action: AbstractAction | None = None,
    *,
    key: jax.Array | None = None,
    orders: tuple[int, ...] = (1, 2, 3, 4),
    **options: Any,
) -> Drift:
    """Correlators, and the couplings of an action, at every time of training of one ensemble.

    Args:
        ensemble: of a `m.Trained` network that is looked at after several times.
        action: what to fit at each time; None for correlators alone.
        key: `jax.random.key(seed)`, where an action is given.
        orders: of the correlators.
        **options: of `inf.fit`.

    Raises:
        ValueError: an ensemble of something else, or of one time only; an action without a key.

    Example:
        >>> from nnft import inference as inf, models as m
        >>> way = m.LastLayer((0.0, 2.0))
        >>> net = m.Trained(m.Network(m.Erf(), 16), [[-1.0], [0.6]], [1.0, -0.5], way)
        >>> ens = inf.Ensemble(net, points=np.array([[0.2]]), n=2000, key=jax.random.key(0))
        >>> found = drift(ens, orders=(1, 2))
        >>> found.changes[1].chi2(2).p < 1e-6   # the variance has shrunk
        True
    """
    model = ensemble.model if isinstance(ensemble, Ensemble) else None
    if not isinstance(model, Trained) or model.outputs < 2:
        what = type(ensemble).__name__ if model is None else as_model(model).name
        raise ValueError(
            f"expected an ensemble of networks trained for several times, got {what}; try m.Trained(net, X, y, "
            "m.LastLayer((0.0, 1.0, 2.0)))"
        )
    if action is not None and key is None:
        raise ValueError("expected a key for the fits of an action, got none; try key=jax.random.key(0)")
    measured = tuple(measure(ensemble.output(k), orders=orders) for k in range(model.outputs))
    fits: dict[int, xr.DataTree] = {}
    refused: dict[int, str] = {}
    for k in range(model.outputs if action is not None else 0):
        assert action is not None
        assert key is not None
        try:
            fits[k] = fit_action(ensemble.output(k), action, key=key, **options)
        except ValueError as error:
            refused[k] = str(error)
    if refused and not fits:
        raise ValueError(f"expected an action that can be fitted at some time, got at the first one: {refused[0]}")
    changes = tuple(paired_difference(one, measured[0]) for one in measured)
    return Drift(model.way.times, measured, changes, fits, refused)
