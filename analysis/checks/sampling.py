"""Did the sampler find the posterior? Asked of each in its own words: Markov chains, a guide, or independent draws.

NUTS is asked for R-hat, effective numbers, divergences and energies; a variational guide for the k-hat of its weights;
a gold fit for what its reference fields are worth at the answer. Draws from the closed form have nothing to converge.
"""

from collections.abc import Iterator

import arviz as az
import numpy as np

from ..reading.fit import Reading
from .check import LIMITS, Check

__all__ = ["sampling_checks"]

_REFERENCE = {"ok": "pass", "flagged": "warn", "refused": "fail"}


def sampling_checks(fit: Reading) -> Iterator[Check]:
    """Questions to the sampler of a fit, those of the reference ensemble of a gold one included."""
    said = fit.sampler_words
    if fit.markov:
        yield from _chains(fit)
    elif "guide_khat" in fit.attrs:
        khat = float(fit.attrs["guide_khat"])
        verdict = "pass" if khat <= LIMITS["guide_khat"] else "fail"
        why = (
            "Pareto shape of the importance weights of the variational guide's draws: the guide stands for the "
            "posterior."
            if verdict == "pass"
            else "Pareto shape of the importance weights of the variational guide's draws: the guide does not stand "
            "for the posterior; use NUTS."
        )
        yield Check("k-hat of the guide", f"{khat:.2f}", f"<= {LIMITS['guide_khat']}", verdict, why)
    else:
        number = f"{fit.posterior.sizes['chain'] * fit.posterior.sizes['draw']}"
        yield Check(f"draws of {said.name}", number, "none", "note", said.why)
    if "reference_fields" in fit.attrs:
        yield _reference(fit)
    if not said.exact and "closed_mean" in fit.constants:
        yield _closed(fit)


def _chains(fit: Reading) -> Iterator[Check]:
    """R-hat, effective numbers, divergences, energies."""
    found = [*[*fit.couplings, *fit.quadratics], *fit.hyper_parameters]
    rhat = float(np.max([c.rhat for c in found]))  # draws that do not move have none: that must fail
    verdict = "pass" if rhat <= LIMITS["rhat"] else "fail"
    yield Check(
        "R-hat", f"{rhat:.5f}", f"<= {LIMITS['rhat']}", verdict, "Largest ratio of between- to within-chain spread."
    )
    sampled = fit.posterior[list(dict.fromkeys(c.site for c in found))]
    with np.errstate(divide="ignore", invalid="ignore"):
        tails = np.concatenate([np.ravel(values) for values in az.ess(sampled, method="tail").data_vars.values()])
    for method, sizes in (("bulk", [c.ess for c in found]), ("tail", tails)):
        size = float(np.min(sizes))
        verdict = "pass" if size >= LIMITS["ess"] else "fail"
        what = "a mean is sd over its square root" if method == "bulk" else "the 5 % and 95 % quantiles comes from it"
        why = f"Smallest effective number of draws ({method}): the Monte Carlo error of {what}."
        yield Check(f"ESS {method}", f"{size:.0f}", f">= {LIMITS['ess']:.0f}", verdict, why)
    if "diverging" not in fit.group("sample_stats"):  # chains of a sampler of one's own
        return
    divergent = int(fit.group("sample_stats")["diverging"].sum())
    verdict = "pass" if divergent == 0 else "fail"
    yield Check("divergences", f"{divergent}", "0", verdict, "Trajectories whose energy error exploded bias the draws.")
    bfmi = float(az.bfmi(fit.tree)["energy"].min())
    verdict = "pass" if bfmi >= LIMITS["bfmi"] else "fail"
    why = "Energy changes between draws over the energy's own spread, worst chain: low means slow heavy tails."
    yield Check("E-FMI", f"{bfmi:.2f}", f">= {LIMITS['bfmi']}", verdict, why)


def _reference(fit: Reading) -> Check:
    """What the reference fields behind the partition function are worth at the answer."""
    attrs = fit.attrs
    worth = float(attrs.get("reference_worth", attrs["reference_effective"]))
    each = worth / float(attrs["networks"])
    value = f"{f'{worth:,.0f}'.replace(',', ' ')} effective, {each:.1f} a network"
    if "reference_verdict" not in attrs:
        why = "Effective reference fields at the pilot: their noise is in the errors, one part in so many."
        return Check("reference fields", value, "none", "note", why)
    why = str(attrs["reference_why"])
    sentence = f"Reweighted to the posterior mean: {why[:1].lower()}{why[1:].rstrip('.')}."
    verdict = _REFERENCE[str(attrs["reference_verdict"])]
    khat = float(attrs["reference_khat"])  # minus infinity: the largest weights coincide
    tail = "no tail" if khat == -np.inf else f"k-hat {khat:.2f}"
    return Check("reference fields", f"{value}, {tail}", "ok", verdict, sentence)


def _closed(fit: Reading) -> Check:
    """The sampled mean against the posterior that is known in closed form."""
    posterior, constants = fit.posterior, fit.constants
    names = [*fit.quadratic_names, *fit.interaction_names]
    theta = np.concatenate([posterior[n].mean(("chain", "draw")).values for n in names])
    z = float(np.max(np.abs(theta - constants["closed_mean"].values) / constants["closed_sd"].values))
    near = z < LIMITS["sampler"]
    limit = f"< {LIMITS['sampler']} sd"
    if "reference_fields" in fit.attrs:
        why = (
            "Largest distance of the mean under the likelihood from one Fisher step, in posterior sd: beyond the limit "
            "the likelihood is not Gaussian over its own width, and the draws are right where the step is not."
        )
        return Check("likelihood against Fisher step", f"{z:.3f} sd", limit, "pass" if near else "warn", why)
    why = "Largest distance of the sampled mean from the closed Gaussian posterior, in posterior sd."
    return Check(f"{fit.sampler_words.name} against closed form", f"{z:.3f} sd", limit, "pass" if near else "fail", why)
