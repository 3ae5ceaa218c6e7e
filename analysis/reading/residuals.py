"""How far the measured moments are from satisfying each quartic Schwinger-Dyson equation of a fitted action.

For a density exp(-S) every monomial T obeys <grad T.W grad S> = <lap_W T>. The fit makes the combinations of the
action's own terms hold; what is left of all the others is judged here against its error (statistics: Rao's score test).
"""

import numpy as np

from .fit import Reading, reads

__all__ = ["schwinger_dyson"]


@reads
def schwinger_dyson(fit: Reading) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quartic Schwinger-Dyson residuals over their errors, the errors, and if the action has the monomial, (quad,).

    r = R E^t theta - b with E the action's terms in all monomials, in scaled fields. Since theta solves E r = 0, the
    covariance of r is P B P^t/n with P = 1 - R E^t (E R E^t)^-1 E. Where the monomial is itself a combination of the
    action's terms, theta solves its equation: residual and error are returned as zero.

    Raises:
        ValueError: the fit holds no full quartic equations (more than 8 points).
    """
    constants = fit.constants
    if "full_matrix" not in constants:
        raise ValueError(
            f"expected a fit with the equations of all quartic monomials, got one of {fit.attrs.get('action')} at "
            f"{constants.sizes['x']} points; try a quartic action that is no lattice's, at 8 points or fewer"
        )
    matrix, noise, up = (constants[name].values for name in ("full_matrix", "full_noise", "full_embed"))
    q = len(matrix) - constants.sizes["quad"]  # the quartic monomials are the last
    project = np.eye(len(matrix)) - matrix @ up.T @ np.linalg.solve(up @ matrix @ up.T, up)
    variance = np.einsum("ij,jk,ik->i", project, noise, project)[q:]
    span = np.linalg.qr(up.T)[0]  # told from E alone: in P, round-off grows with the condition of R
    solved = np.sum(span[q:] ** 2, axis=1) > 1.0 - 1e-9
    error = np.sqrt(np.where(solved, 0.0, np.maximum(variance, 0.0)) / fit.networks)
    residual = (constants["force"] - constants["laplacian"]).values
    z = np.divide(residual, error, out=np.zeros_like(residual), where=error > 0)
    return z, error, np.any(up[:, q:] != 0.0, axis=0)
