"""How much of a posterior is prior, and which fits may be compared network by network.

Power scaling (N. Kallioinen et al., arXiv:2107.14054): prior or likelihood raised to a power near one, by importance
weights; how far each coupling moves says who decided it. Both are Gaussian in theta here and are put together from the
tree: log prior -|L^-1 (theta - m)|^2/2, log likelihood -(b - A theta).(B/n)^-1 (b - A theta)/2. PSIS-LOO needs one log
likelihood a network, which only the reference posterior has.
"""

from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from ..models.ladder import action_of
from .couplings import group

__all__ = ["loo", "prior_sensitivity"]


def loo(fit: xr.DataTree) -> Any:
    """Leave-one-network-out predictive density of a fit with a likelihood, by `az.loo`.

    Raises:
        ValueError: a fit by estimating equations, which has one log likelihood a draw and none a network.
    """
    if "log_likelihood" not in fit.children:
        method = fit.attrs.get("method", "score")
        raise ValueError(
            f"expected a fit with a log likelihood of every network (method='gold', a bounded action), got {method!r}: "
            "the Gaussian likelihood of its estimating equations is one number a draw, so leaving a network out means "
            "nothing there; try an.compare, which scores networks held out"
        )
    return az.loo(fit)


def prior_sensitivity(fit: xr.DataTree) -> xr.Dataset:
    """Power-scaling sensitivity of every coupling to the prior and to the likelihood, on dim `component`.

    Returns:
        Variables `prior` and `likelihood` (arXiv:2107.14054: above 0.05 the coupling moves), and `diagnosis`: "-",
        "prior-data conflict" (both above) or "prior decides" (only the prior).

    Raises:
        ValueError: a fit without draws, or with another prior or likelihood than the tree holds.
    """
    constants = group(fit, "constant_data") if "constant_data" in fit.children else xr.Dataset()
    needed = ("matrix", "vector", "noise", "factors", "prior_mean", "prior_factor")
    missing = [name for name in needed if name not in constants]
    if missing or "posterior" not in fit.children:
        raise ValueError(
            f"expected a fit with draws and its estimating equations, got one without {missing or 'posterior'}; "
            "try inf.fit(...) with the default prior"
        )
    posterior = group(fit, "posterior")
    count = constants.sizes["x"]
    action = action_of({str(k): v for k, v in fit.attrs.items()})
    names = [*action.quadratic_blocks(count), *action.blocks(count)]
    theta = np.concatenate([posterior[name].transpose("chain", "draw", ...).values for name in names], axis=-1)
    theta = theta * constants["factors"].values
    prior = theta - constants["prior_mean"].values
    prior = np.linalg.solve(constants["prior_factor"].values, prior[..., None])[..., 0]
    misfit = constants["vector"].values - theta @ constants["matrix"].values.T
    root = np.linalg.cholesky(constants["noise"].values / float(fit.attrs["networks"]))
    misfit = np.linalg.solve(root, misfit[..., None])[..., 0]
    tree = xr.DataTree.from_dict(
        {
            "posterior": posterior[[name for name in names if posterior[name].size]],
            "log_prior": _density("prior", -0.5 * np.sum(prior**2, axis=-1)),
            "log_likelihood": _density("equations", -0.5 * np.sum(misfit**2, axis=-1)),
        }
    )
    found = {}
    for kind in ("prior", "likelihood"):
        moved = az.psense(tree, group=kind)
        values = {str(name): np.ravel(value.values) for name, value in moved.items()}
        found[kind] = np.concatenate(list(values.values()))
        labels = [f"{name}[{k}]" for name, value in values.items() for k in range(len(value))]
    strong, heard = found["prior"] >= 0.05, found["likelihood"] >= 0.05
    words = np.where(strong & heard, "prior-data conflict", np.where(strong, "prior decides", "-")).astype(object)
    variables = {**found, "diagnosis": words}
    return xr.Dataset({name: ("component", value) for name, value in variables.items()}, coords={"component": labels})


def _density(name: str, values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({name: (("chain", "draw"), values)})
