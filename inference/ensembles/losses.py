"""How training went: the loss of chosen networks of an ensemble, step by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .ensemble import Ensemble, sites_of

__all__ = ["losses"]


def losses(ensemble: Ensemble[Any], networks: Sequence[int] = range(8)) -> Float[np.ndarray, "network step"]:
    """The loss before every step of training, of networks of an ensemble by their number.

    A network that diverges has a loss that grows, then inf or nan: `np.argmax(~np.isfinite(loss), axis=1)` is where.

    Raises:
        ValueError: an ensemble whose networks are not trained step by step; a number that is none of its networks.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import models as m
        >>> net = m.Trained(m.Network(m.Erf(), 8), [[-1.0], [0.6]], [1.0, -0.5], m.Descent(rate=0.1, steps=20))
        >>> ens = Ensemble(net, points=np.array([[0.0]]), n=100, key=jax.random.key(0))
        >>> loss = losses(ens, [0, 5])
        >>> loss.shape, bool(np.all(loss[:, -1] < loss[:, 0]))
        ((2, 20), True)
    """
    wanted = np.asarray(networks)
    if wanted.ndim != 1 or not np.issubdtype(wanted.dtype, np.integer) or not len(wanted):
        raise ValueError(f"expected numbers of networks, got {networks!r}; try range(8)")
    if np.any((wanted < 0) | (wanted >= ensemble.n)):
        raise ValueError(
            f"expected numbers of networks below n = {ensemble.n}, got {int(wanted[np.argmax(abs(wanted))])}; try "
            f"range({min(8, ensemble.n)})"
        )
    found = sites_of(ensemble, wanted)
    if "loss" not in found:
        raise ValueError(
            f"expected networks that are trained step by step, got the sites {sorted(found)}; try m.Trained(net, X, y, "
            "m.Descent(rate, steps))"
        )
    return found["loss"]
