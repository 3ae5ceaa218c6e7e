"""How much of the answer is the prior's: where it pulls the couplings, and what the data say without it.

With theta_hat = A^-1 b, its sandwich covariance and a Gaussian prior of precision P and mean m, the posterior of
covariance C = (A^t (B/n)^-1 A + P)^-1 has its mean at theta_hat + C P (m - theta_hat): what the prior moves is known in
closed form. A shift of d standard deviations leaves a 95 % interval a coverage of Phi(1.96 - d) - Phi(-1.96 - d).
"""

from collections.abc import Iterator

import numpy as np

from ..reading.fit import Reading
from .check import LIMITS, Check

__all__ = ["influence_checks"]


def influence_checks(fit: Reading) -> Iterator[Check]:
    """What the prior moves, how many couplings the data determine, and by how much they narrowed them."""
    yield _pulled(fit)
    if not fit.action.homogeneous:  # of which each site is a field of its own to its few couplings
        yield _networks_each(fit)
    if "prior_factor" in fit.constants:  # not kept of thousands of terms
        yield _determined(fit)
    yield _narrowed(fit)


def _pulled(fit: Reading) -> Check:
    """Posterior mean less the estimate without prior, in posterior sd: closed where the prior is the default one."""
    constants = fit.constants
    estimate = constants["estimate"].values / constants["factors"].values
    draws = fit.posterior
    names = [name for name in (*fit.quadratic_names, *fit.interaction_names) if draws[name].size]
    if "closed_mean" in constants:
        mean, sd = constants["closed_mean"].values, constants["closed_sd"].values
    else:
        mean = np.concatenate([draws[name].mean(("chain", "draw")).values for name in names])
        sd = np.concatenate([draws[name].std(("chain", "draw")).values for name in names])
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move have no sd
        shift = np.nan_to_num(np.abs(mean - estimate) / sd, nan=0.0)
    worst = int(np.argmax(shift))
    labels = [f"{name}[{k}]" for name in names for k in draws[name][draws[name].dims[-1]].values]
    value = f"{shift[worst]:.2g} sd ({labels[worst]})"
    if "log_prior" not in fit.children:  # the prior has parameters of its own
        why = "Largest shift of a coupling by the prior, in its posterior sd: a smooth or low-rank prior is meant to."
        return Check("prior against data", value, "none", "note", why)
    decided = shift[worst] > LIMITS["decided"]
    why = (
        "Largest shift of a coupling by the prior, in its posterior sd, from the estimate without prior: the prior "
        "contradicts the data, and intervals miss what the data say; try a larger prior_scale, or another prior."
        if shift[worst] > LIMITS["pulled"]
        else "Largest shift of a coupling by the prior, in its posterior sd, from the estimate without prior."
    )
    verdict = "fail" if decided else "warn" if shift[worst] > LIMITS["pulled"] else "pass"
    return Check("prior against data", value, f"<= {LIMITS['pulled']} sd", verdict, why)


def _networks_each(fit: Reading) -> Check:
    """Networks over couplings, the quadratic ones included."""
    constants, n = fit.constants, fit.networks
    each = n / constants.sizes["term"]
    few = each < LIMITS["networks_each"]
    why = (
        "Networks for each coupling fitted: so few give single intervals, but no ellipsoid of all couplings, whose "
        "covariance hangs on few networks; make no joint statement, or fit fewer couplings."
        if few
        else "Networks for each coupling fitted, the quadratic ones too: enough for joint statements."
    )
    value, limit = f"{each:.3g}", f">= {LIMITS['networks_each']}"
    return Check("networks per coupling", value, limit, "warn" if few else "pass", why)


def _determined(fit: Reading) -> Check:
    """p_eff = p - tr(prior^-1 posterior covariance) of the interaction, both in closed form."""
    constants = fit.constants
    q, factor = int(constants.attrs["quadratic_terms"]), constants["prior_factor"].values
    noise = constants["noise"].values / fit.networks
    matrix, dof = constants["matrix"].values, float(constants.attrs["dof"])
    weight = 1.0 if np.isinf(dof) else (dof - len(noise) - 1.0) / dof  # Hartlap
    design = matrix @ factor
    information = weight * design.T @ np.linalg.solve(noise, design)
    left = np.linalg.inv(np.eye(len(factor)) + 0.5 * (information + information.T))
    count = len(factor) - q
    effective = count - float(np.trace(left[q:, q:]))
    verdict = "pass" if effective >= LIMITS["determined"] * count else "warn"
    why = (
        "Couplings that the data determine rather than the prior: their number less the trace of posterior over prior "
        "covariance, with the default prior and its closed posterior."
    )
    return Check("p_eff", f"{effective:.1f} of {count}", f">= {LIMITS['determined']:.0%}", verdict, why)


def _narrowed(fit: Reading) -> Check:
    """Prior beside posterior: where the ratio is near one, the prior speaks."""
    found = fit.couplings
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move have no sd
        ratio = np.array([c.prior_sd for c in found]) / np.array([c.sd for c in found])
    name = found[int(np.nanargmin(ratio))].text if np.any(np.isfinite(ratio)) else "none"
    middle = float(np.nanmedian(ratio))
    value = f"{middle:.3g} (smallest {np.nanmin(ratio):.3g}, {name})"
    why = "How many times the data narrowed a coupling (median): near one, the prior speaks."
    verdict = "warn" if middle < LIMITS["narrowed"] else "pass"
    return Check("prior over posterior sd", value, f">= {LIMITS['narrowed']}", verdict, why)
