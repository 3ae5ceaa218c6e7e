"""How much of a posterior is prior, and which fits may be compared network by network.

Power scaling (N. Kallioinen et al., arXiv:2107.14054): prior or likelihood raised to a power near one, by importance
weights; how far each coupling moves says who decided it. The fit holds the log prior of its draws and the log
likelihood of its equations, -(b - A theta).(B/n)^-1 (b - A theta)/2, for `az.psense_summary(fit)` too. PSIS-LOO needs
one log likelihood a network, which only the reference posterior has.
"""

from collections.abc import Sequence
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from ..reading.fit import Reading, reads

__all__ = ["loo", "prior_sensitivity"]


@reads
def loo(fit: Reading) -> Any:
    """Leave-one-network-out predictive density of a fit with a likelihood, by `az.loo`.

    Raises:
        ValueError: a fit by estimating equations, which has one log likelihood a draw and none a network.

    Example, what a fit without a likelihood is told; `inf.fit(samples, action, method="gold", key=key)` has one:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> loo(fit)
        Traceback (most recent call last):
        ValueError: expected a fit with a log likelihood of every network (method='gold', a bounded action), got ...
    """
    if not _per_network(fit):
        method = fit.method
        raise ValueError(
            f"expected a fit with a log likelihood of every network (method='gold', a bounded action), got {method!r}: "
            "the Gaussian likelihood of its estimating equations is one number a draw, so leaving a network out means "
            "nothing there; try an.compare, which scores networks held out"
        )
    return az.loo(fit.tree)


@reads
def prior_sensitivity(fit: Reading) -> xr.Dataset:
    """Power-scaling sensitivity of every coupling to the prior and to the likelihood, on dim `component`.

    That of `az.psense(fit)`; of a gold fit, whose tree holds the likelihood of some networks at some draws (for `loo`)
    and has ArviZ answer nan, by its Fisher step.

    Returns:
        Variables `prior` and `likelihood` (arXiv:2107.14054: above 0.05 the coupling moves), and `diagnosis`: "-",
        "prior-data conflict" (both above) or "prior decides" (only the prior).

    Raises:
        ValueError: a fit without draws or equations, or whose prior has parameters of its own (smooth and low-rank
            actions), so that no one number is the prior's.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> set(prior_sensitivity(fit)["diagnosis"].values.tolist())
        {'-'}
    """
    constants = fit.constants if "constant_data" in fit.children else xr.Dataset()
    missing = [name for name in ("posterior", "log_prior") if name not in fit.children]
    known = "log_likelihood" in fit.children and not _per_network(fit)
    missing += [] if known else [n for n in ("matrix", "vector", "noise", "factors") if n not in constants]
    if missing:
        raise ValueError(
            f"expected a fit with draws, their log prior and its estimating equations, got one without {missing}; try "
            "inf.fit(...) of an action whose prior has no parameters of its own"
        )
    posterior = fit.posterior
    names = [*fit.quadratic_names, *fit.interaction_names]
    tree = xr.DataTree.from_dict(
        {
            "posterior": posterior[[name for name in names if posterior[name].size]],
            "log_prior": fit.group("log_prior"),
            "log_likelihood": fit.group("log_likelihood") if known else _of_equations(fit, names),
        }
    )
    variables: dict[str, Any] = {}
    for kind in ("prior", "likelihood"):
        moved = az.psense(tree, group=kind)
        values = {str(name): np.ravel(value.values) for name, value in moved.items()}
        variables[kind] = np.concatenate(list(values.values()))
        labels = [f"{name}[{k}]" for name, value in values.items() for k in range(len(value))]
    prior, data = variables["prior"] >= 0.05, variables["likelihood"] >= 0.05
    words = np.where(prior & data, "prior-data conflict", np.where(prior, "prior decides", "-")).astype(object)
    variables["diagnosis"] = words
    return xr.Dataset({name: ("component", value) for name, value in variables.items()}, coords={"component": labels})


def _per_network(fit: Reading) -> bool:
    """Whether the log likelihood is that of single networks, of a thousand of them at every fourth draw or so."""
    return "log_likelihood" in fit.children and "network" in fit.group("log_likelihood").dims


def _of_equations(fit: Reading, names: Sequence[str]) -> xr.Dataset:
    """Log likelihood of a gold fit by its Fisher step: all networks at all draws, which the tree does not hold."""
    posterior, constants = fit.posterior, fit.constants
    theta = np.concatenate([posterior[name].transpose("chain", "draw", ...).values for name in names], axis=-1)
    theta = theta * constants["factors"].values
    misfit = constants["vector"].values - theta @ constants["matrix"].values.T
    root = np.linalg.cholesky(constants["noise"].values / fit.networks)
    misfit = np.linalg.solve(root, misfit[..., None])[..., 0]
    return xr.Dataset({"equations": (("chain", "draw"), -0.5 * np.sum(misfit**2, axis=-1))})
