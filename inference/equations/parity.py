"""Is phi -> -phi a symmetry of the data? Asked before an action with even terms only is fitted to them."""

import numpy as np

from ...models.arrays import place_label
from ...models.correlators import Correlators
from ..ensembles.chains import ODD_ADVICE

__all__ = ["ODD_FALSE_ALARM", "check_even"]

ODD_FALSE_ALARM = 1e-6
_ROUND_OFF = 1e-8  # of an exact odd moment, in units of the field


def check_even(data: Correlators) -> float:
    """p-value of phi -> -phi from orders 1 and 3 together; a fit with even terms only is refused below 1e-6.

    Raises:
        ValueError: the symmetry is broken; the message names the odd correlator.
    """
    odd = [r for r in (1, 3) if r in data.moments and r in data.rows.get("moment", {})]
    if not odd and not any(data.rows.values()):
        _check_exactly_even(data)
    if not odd:
        return 1.0
    chi2 = data.chi2(*odd, kind="moment")
    z = {r: data.moment(r) / np.maximum(data.error(r, "moment"), 1e-300) for r in odd}
    if np.isnan(chi2.p):  # few networks make the errors; z of a law symmetric about zero keeps its tail even then
        worst, count = max(np.max(np.abs(v)) for v in z.values()), sum(map(len, z.values()))
        chi2 = chi2._replace(p=min(1.0, 2.0 * count * float(np.exp(-0.5 * worst**2))))
    if chi2.p < ODD_FALSE_ALARM:
        order = max(odd, key=lambda r: np.max(np.abs(z[r])))
        worst = int(np.argmax(np.abs(z[order])))
        label = ",".join(place_label(a, data.outputs) for a in data.tuples(order)[worst].tolist())
        raise ValueError(
            f"expected odd correlators compatible with zero for an action with even terms only, got <phi({label})> of "
            f"order {order} at {z[order][worst]:+.1f} sd ({chi2}); try {ODD_ADVICE}"
        )
    return chi2.p


def _check_exactly_even(data: Correlators) -> None:
    """Refuse exact odd moments that are not zero."""
    for order in (r for r in (1, 3, 5) if r in data.moments and 2 in data.moments):
        second = data.tensor(2, "moment")
        units = np.prod(np.sqrt(np.diag(second))[data.tuples(order)], axis=1)
        size = np.abs(data.moment(order)) / units
        if np.max(size) > _ROUND_OFF:
            worst = int(np.argmax(size))
            label = ",".join(place_label(a, data.outputs) for a in data.tuples(order)[worst].tolist())
            raise ValueError(
                f"expected odd moments of zero for an action with even terms only, got <phi({label})> of order {order} "
                f"= {data.moment(order)[worst]:.3g}, {size[worst]:.2g} of its scale; try linear and cubic terms too, "
                "inf.fit(data, m.Odd(m.Bilocal()), key=key)"
            )
