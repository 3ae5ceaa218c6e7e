"""What each network's equations say of a fit that has not seen it: the noise that few networks leave.

A fit bends towards its own networks: psi_i = grad T . W grad S - lap_W T, taken at the couplings fitted to them, is too
small, by a share of p/n on average for p couplings and n networks, and by far more along combinations that few networks
decide. Without network i, whose share of A is G_i W G_i^t with G_i = grad T, the couplings move by

    delta_i = (n A - G_i W G_i^t)^-1 psi_i ,    and its equation becomes    psi_i + G_i W G_i^t delta_i .

The equations are linear in the couplings, so this is exact: with it the sandwich is the jackknife's covariance, that of
the couplings and of the equations of terms the action does not hold (J. MacKinnon and H. White, J. Econometrics 29
(1985) 305, HC3). One small matrix (point, point) is solved for each network.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models.types import Matrix

__all__ = ["Fitted", "left_out", "matters"]

FEW = 200.0  # networks a coupling up to which it is done: beyond it half a per cent of the noise
_COSTLY = 5e10  # products, a few seconds: what is then left undone shows as few networks a coupling


class Fitted(NamedTuple):
    """A fit as one network sees it: A^-1, (term, term); its terms among all, (term, wide term); W; n."""

    inverse: Matrix
    up: Matrix
    metric: Matrix
    networks: Float[np.ndarray, ""]


def matters(networks: float, couplings: int, points: int) -> bool:
    """Whether so few networks were fitted that each has a voice in its own equation.

    >>> matters(1000, 51, 6), matters(100_000, 51, 6)
    (True, False)
    """
    return networks < FEW * couplings and networks * couplings**2 * points < _COSTLY


def left_out(
    psi: Float[Array, "network wide"], gradients: Float[Array, "point wide network"], fit: Fitted
) -> Float[Array, "network wide"]:
    """The psi of every network at the couplings of all the others.

    Args:
        psi: at the couplings of all, for the terms of the fit and any others.
        gradients: dT_k/dphi_a of the same terms.
        fit: its A^-1 and W, in the same units.

    Example, theta = 2 fitted to psi_i = theta - y_i, y = 1 and 3 (T = phi, A = 1): each is 2 away from the other.

        >>> psi, slope = jnp.array([[1.0], [-1.0]]), jnp.ones((1, 1, 2))
        >>> one = jnp.ones((1, 1))
        >>> left_out(psi, slope, Fitted(one, one, one, np.array(2.0))).tolist()
        [[2.0], [-2.0]]
    """
    own = jnp.einsum("kp,apn->akn", fit.up, gradients)
    solved = jnp.einsum("kl,aln->akn", fit.inverse, own)
    shift = jnp.einsum("akn,kp,np->na", solved, fit.up, psi)  # G A^-1 psi
    across = jnp.einsum("akn,bkn->nab", own, solved)  # G A^-1 G^t
    voice = fit.networks * jnp.eye(len(fit.metric)) - across @ fit.metric
    force = jax.scipy.linalg.solve(voice, shift[..., None])[..., 0] @ fit.metric
    return psi + jnp.einsum("apn,na->np", gradients, force)
