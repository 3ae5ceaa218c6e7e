"""What a careful reader asks of a fit, each question with its number, its limit, its verdict and one sentence why.

Verdicts: "pass"; "warn", the number stands but read it with the reason; "fail", do not use the result as if it were
sound; "note", no limit applies. Every limit of the suite's checks lives here, once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import arviz as az
import numpy as np
import xarray as xr
from scipy import stats

from ..inference.predict import quartic_coefficients
from ..models.actions import AbstractAction
from ..models.diagrams import four_point, whitened
from ..models.ladder import action_of
from ..models.normalisability import minimum_on_sphere

__all__ = ["LIMITS", "Check", "Diagnosis", "diagnose"]

LIMITS = {
    "rhat": 1.01,
    "ess": 400.0,
    "bfmi": 0.3,
    "sampler": 0.2,  # distance of the NUTS mean from the closed form, in posterior sd
    "exact_p": 1e-3,
    "odd_p": 1e-3,
    "eps4": 0.3,  # beyond it there is no expansion around the Gaussian (physics: chi^2 distance of order one)
    "loop": 0.1,  # one loop over tree, whitened norm: leading order is good below
    "share": 0.9,
    "excluded_p": 1e-3,
    "band": 0.9,  # share of four-point components inside the truncation band
    "resolved": 3.0,  # sd
}


class Check(NamedTuple):
    """One question about a fit."""

    name: str
    value: str
    limit: str
    verdict: str
    why: str


class Diagnosis(tuple[Check, ...]):
    """All checks of a fit; prints as a table."""

    @property
    def failed(self) -> list[Check]:
        """Checks whose verdict is "fail"."""
        return [check for check in self if check.verdict == "fail"]

    @property
    def worst(self) -> str:
        """The gravest verdict."""
        order = ["note", "pass", "warn", "fail"]
        return max((check.verdict for check in self), key=order.index, default="note")

    def __str__(self) -> str:
        width = max((len(check.name) for check in self), default=0)
        return "\n".join(f"{c.verdict:>4}  {c.name:<{width}}  {c.value}  (limit {c.limit})" for c in self)

    __repr__ = __str__


def diagnose(fit: xr.DataTree) -> Diagnosis:
    """All checks of a fit made by `inference.fit`, or of one reloaded from its file.

    Raises:
        ValueError: the tree is not such a fit.
    """
    if "point" in fit.children:
        raise ValueError(
            "expected a fit with draws, got the point result of exact correlators, which has nothing to diagnose; "
            "try inf.fit(..., as_if_n=100_000), the posterior as many networks would give"
        )
    missing = [g for g in ("posterior", "sample_stats", "observed_data", "constant_data") if g not in fit.children]
    if missing:
        raise ValueError(f"expected a fit of inf.fit, got a tree without {', '.join(missing)}; try load('out/fit.nc')")
    return Diagnosis([*_sampler(fit), *_expansion(fit), *_boundedness(fit), *_adequacy(fit), *_prediction(fit)])


def _sampler(fit: xr.DataTree) -> Iterator[Check]:
    """Did NUTS explore the posterior?"""
    posterior = _group(fit, "posterior")
    couplings = posterior[[name for name in ("q", *_coupling_names(fit)) if posterior[name].size]]
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move have no R-hat: that must fail
        rhat = float(np.max(_each(az.rhat(couplings))))
    verdict = "pass" if rhat <= LIMITS["rhat"] else "fail"
    yield Check(
        "R-hat", f"{rhat:.5f}", f"<= {LIMITS['rhat']}", verdict, "Largest ratio of between- to within-chain spread."
    )
    for method in ("bulk", "tail"):
        size = float(np.min(_each(az.ess(couplings, method=method))))
        verdict = "pass" if size >= LIMITS["ess"] else "fail"
        what = "a mean is sd over its square root" if method == "bulk" else "the 5 % and 95 % quantiles comes from it"
        why = f"Smallest effective number of draws ({method}): the Monte Carlo error of {what}."
        yield Check(f"ESS {method}", f"{size:.0f}", f">= {LIMITS['ess']:.0f}", verdict, why)
    divergent = int(_group(fit, "sample_stats")["diverging"].sum())
    verdict = "pass" if divergent == 0 else "fail"
    yield Check("divergences", f"{divergent}", "0", verdict, "Trajectories whose energy error exploded bias the draws.")
    energy = _group(fit, "sample_stats")["energy"].values
    bfmi = float(np.min(np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)))
    verdict = "pass" if bfmi >= LIMITS["bfmi"] else "fail"
    why = "Energy changes between draws over the energy's own spread, worst chain: low means slow heavy tails."
    yield Check("E-FMI", f"{bfmi:.2f}", f">= {LIMITS['bfmi']}", verdict, why)
    if "closed_mean" in _group(fit, "constant_data"):
        constants = _group(fit, "constant_data")
        theta = np.concatenate([posterior[n].mean(("chain", "draw")).values for n in ("q", *_coupling_names(fit))])
        z = float(np.max(np.abs(theta - constants["closed_mean"].values) / constants["closed_sd"].values))
        verdict = "pass" if z < LIMITS["sampler"] else "fail"
        why = "Largest distance of the sampled mean from the closed Gaussian posterior, in posterior sd."
        yield Check("NUTS against closed form", f"{z:.3f} sd", f"< {LIMITS['sampler']} sd", verdict, why)


def _expansion(fit: xr.DataTree) -> Iterator[Check]:
    """Is there an effective action to speak of?"""
    attrs = _group(fit, "constant_data").attrs
    if "exact_p" in attrs:
        p = attrs["exact_p"]
        verdict = "pass" if p > LIMITS["exact_p"] else "warn"
        why = "Measured two- and connected four-point functions less the exact ones, in their full covariance."
        value = f"chi2/dof = {attrs['exact_chi2']:.0f}/{attrs['exact_dof']}, p {_below(p)}"
        yield Check("measured against exact", value, f"p > {LIMITS['exact_p']}", verdict, why)
    if "odd_p" in attrs:
        p = attrs["odd_p"]
        verdict = "pass" if p > LIMITS["odd_p"] else "warn"
        why = "Orders 1 and 3 compatible with zero, as an action with even terms needs."
        yield Check("Z2 symmetry", f"p = {p:.2g}", f"> {LIMITS['odd_p']}", verdict, why)
    else:
        yield Check("Z2 symmetry", "not measured", "none", "note", "No odd correlators were given to test it.")
    eps4, error = attrs["eps4"], attrs["eps4_error"]
    verdict = "pass" if eps4 < LIMITS["eps4"] else "fail"
    why = (
        "Square root of the chi^2 distance to the Gaussian: small enough for an action around the free theory."
        if verdict == "pass"
        else "The field is too far from Gaussian at these points: stay with cumulants, or use fewer points."
    )
    yield Check("eps4", f"{eps4:.3g} +- {error:.1g}", f"< {LIMITS['eps4']}", verdict, why)
    if "G4" in _group(fit, "posterior_predictive"):
        tree, loop = _mean_diagrams(fit)
        ratio = float(np.linalg.norm(loop) / max(np.linalg.norm(tree), 1e-300))
        verdict = "pass" if ratio < LIMITS["loop"] else "warn"
        why = "One loop over tree level, whitened norm: beyond the limit tree-level numbers are qualitative."
        yield Check("loop over tree", f"{ratio:.2g}", f"< {LIMITS['loop']}", verdict, why)
    kurtosis, sigma = _kurtosis(fit)
    worst = kurtosis[np.argmax(np.abs(kurtosis) / np.maximum(sigma, 1e-300))]  # exact ones have no error
    sign = (
        "not resolved"
        if np.all(np.abs(kurtosis) < LIMITS["resolved"] * sigma)
        else ("positive" if np.all(kurtosis > 0) else "negative" if np.all(kurtosis < 0) else "of both signs")
    )
    why = {
        "positive": "Heavier than Gaussian at every point: the leading local quartic coupling is negative.",
        "negative": "Lighter than Gaussian at every point: the leading local quartic coupling is positive.",
        "of both signs": "Heavier than Gaussian at some points, lighter at others.",
        "not resolved": "Compatible with a Gaussian at every single point.",
    }[sign]
    yield Check("sign of the kurtosis", f"{sign} ({worst:+.3g})", "none", "note", why)


def _boundedness(fit: xr.DataTree) -> Iterator[Check]:
    """May exp(-S) be normalised?"""
    action, weights, metric = (
        _action(fit),
        _group(fit, "constant_data")["weights"].values,
        _group(fit, "constant_data")["metric"].values,
    )
    names = _coupling_names(fit)
    draws = {n: _flat(fit, n) for n in names}
    step = max(1, len(draws[names[0]]) // 200)
    quartic = quartic_coefficients({n: v[::step] for n, v in draws.items()}, action, len(weights), weights)
    lowest = minimum_on_sphere(quartic, len(weights), scale=np.sqrt(np.diag(metric)))
    fraction = float(np.mean(lowest < 0))
    verdict = "pass" if fraction == 0 else "warn"
    why = (
        "The quartic form is positive in every direction for every draw looked at."
        if fraction == 0
        else "The quartic form is negative in some direction: exp(-S) cannot be normalised there, so the couplings are "
        "perturbative and nothing is sampled from this action."
    )
    yield Check("draws unbounded below", f"{fraction:.1%} of {len(lowest)}", "0%", verdict, why)


def _adequacy(fit: xr.DataTree) -> Iterator[Check]:
    """How much does the action explain, and how well is it determined?"""
    constants = _group(fit, "constant_data")
    if fit.attrs.get("space", "field") == "field":  # n draws of a neuron are no networks: A^-1/n means nothing there
        ratio = constants["naive_error"].values / constants["sandwich_error"].values
        value = f"{np.median(ratio):.2f} (worst {ratio.min():.2f})"
        why = "Errors without the sandwich would be this fraction of the calibrated ones (median; worst in brackets)."
        yield Check("naive over calibrated error", value, "none", "note", why)
    if "gain_full" in constants.attrs:
        full, error = constants.attrs["gain_full"], constants.attrs["gain_full_error"]
        if full < LIMITS["resolved"] * error or "share" not in constants.attrs:
            why = "The full quartic action does not improve on the Gaussian beyond its error: nothing to share out."
            yield Check("share of the gain", "not resolved", f">= {LIMITS['share']:.0%}", "note", why)
        else:
            reference = fit.attrs["action"] == "FullQuartic"
            share, spread = constants.attrs["share"], constants.attrs["share_error"]
            verdict = "pass" if share >= LIMITS["share"] else "warn"
            why = "Hyvarinen gain over the Gaussian, in the metric of the fit, relative to the full quartic action's."
            yield Check(
                "share of the gain",
                "100% (it is the reference)" if reference else f"{share:.1%} +- {spread:.1%}",
                f">= {LIMITS['share']:.0%}",
                verdict,
                why,
            )
        chi2, dof, p = _excluded(fit)
        if dof:
            verdict = "pass" if p > LIMITS["excluded_p"] else "warn"
            why = "Schwinger-Dyson equations of the quartic terms left out; with many networks every truncation shows."
            value = f"chi2/dof = {chi2:.0f}/{dof}, p {_below(p)}"
            yield Check("excluded terms", value, f"p > {LIMITS['excluded_p']}", verdict, why)
    z, total = _resolved(fit)
    count = int(np.sum(np.abs(z) > LIMITS["resolved"]))
    why = "Independent coupling combinations more than 3 sd from zero, in directions of decreasing information."
    yield Check("resolved combinations", f"{count} of {total}", "none", "note", why)


def _prediction(fit: xr.DataTree) -> Iterator[Check]:
    """Does the fitted action give back the four-point function, at the order it is computed?"""
    tree = _group(fit, "posterior_predictive")["G4"].mean(("chain", "draw")).values
    loop = _group(fit, "posterior_predictive")["G4_loop"].mean(("chain", "draw")).values - tree
    observed, error = _group(fit, "observed_data")["G4"].values, _group(fit, "observed_data")["G4_error"].values
    spread = _group(fit, "posterior_predictive")["G4"].std(("chain", "draw")).values
    slack = np.abs(loop) + 3.0 * np.hypot(error, spread)
    inside = float(np.mean(np.abs(observed - tree) <= slack))
    verdict = "pass" if inside >= LIMITS["band"] else "warn"
    why = "Components of the measured G4c within the tree-level prediction's band (one loop plus 3 sd)."
    yield Check("G4c inside the band", f"{inside:.1%}", f">= {LIMITS['band']:.0%}", verdict, why)


def _below(p: float) -> str:
    """A p-value of two digits; what underflows or cannot be told from zero in practice is not written out."""
    return f"= {p:.2g}" if p >= 1e-99 else "< 1e-99"


def _group(fit: xr.DataTree, name: str) -> xr.Dataset:
    return fit.children[name].to_dataset()


def _flat(fit: xr.DataTree, name: str) -> np.ndarray:
    """The draws of all chains, (draw, coupling); at one point there are no u and v."""
    values = _group(fit, "posterior")[name].values
    return values.reshape(values.shape[0] * values.shape[1], values.shape[2])


def _each(found: xr.Dataset) -> np.ndarray:
    """The numbers of all couplings in one row."""
    return np.concatenate([np.ravel(values) for values in found.data_vars.values()])


def _action(fit: xr.DataTree) -> AbstractAction:
    return action_of(fit.attrs)


def _coupling_names(fit: xr.DataTree) -> list[str]:
    return list(_action(fit).blocks(_group(fit, "constant_data").sizes["x"]))


def _mean_diagrams(fit: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Tree and one-loop term of the posterior mean couplings, whitened components."""
    names, constants = _coupling_names(fit), _group(fit, "constant_data")
    mean = {n: _group(fit, "posterior")[n].mean(("chain", "draw")).values for n in names}
    metric, weights = constants["metric"].values, constants["weights"].values
    tree, loop = four_point(quartic_coefficients(mean, _action(fit), len(weights), weights), metric)
    return whitened(tree, metric), whitened(loop, metric)


def _kurtosis(fit: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Excess kurtosis G4c(aaaa)/G2(aa)^2 at each point and its error."""
    observed = _group(fit, "observed_data")
    quads = np.stack([observed[f"x{k}"].values for k in (1, 2, 3, 4)], axis=1)
    same = np.all(quads == quads[:, :1], axis=1)
    variance = np.diag(_group(fit, "constant_data")["metric"].values)
    return observed["G4"].values[same] / variance**2, observed["G4_error"].values[same] / variance**2


def _excluded(fit: xr.DataTree) -> tuple[float, int, float]:
    """Rao's test of the quartic terms outside the action: their equations at the estimate, sandwich covariance."""
    constants = _group(fit, "constant_data")
    matrix, noise, up = (constants[name].values for name in ("rich_matrix", "rich_noise", "rich_embed"))
    q = int(constants.attrs["quadratic_terms"])
    estimate = constants["score_estimate"].values
    vector = np.concatenate([np.zeros(q), constants["laplacian"].values - constants["force"].values])
    inverse = np.linalg.inv(up @ matrix @ up.T)
    project = np.eye(len(matrix)) - matrix @ up.T @ inverse @ up
    # Directions outside the action's own equations: the null space of its embedding.
    outside = np.linalg.svd(up)[2][len(estimate) :]
    if len(outside) == 0:
        return 0.0, 0, 1.0
    r = outside @ project @ vector
    covariance = outside @ project @ noise @ project.T @ outside.T / fit.attrs["networks"]
    chi2 = float(r @ np.linalg.solve(covariance, r))
    return chi2, len(r), float(stats.chi2.sf(chi2, len(r)))


def _resolved(fit: xr.DataTree) -> tuple[np.ndarray, int]:
    """Quartic couplings in units of sd along the principal axes of their posterior covariance, prior metric."""
    names = _coupling_names(fit)
    draws = np.concatenate([_flat(fit, n) for n in names], axis=1)
    q, constants = int(_group(fit, "constant_data").attrs["quadratic_terms"]), _group(fit, "constant_data")
    scaled = draws * constants["factors"].values[q:]
    white = scaled @ np.linalg.inv(constants["prior_factor"].values[q:, q:]).T
    eigenvalues, axes = np.linalg.eigh(np.atleast_2d(np.cov(white.T)))
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move have no sd
        return (white.mean(axis=0) @ axes) / np.sqrt(eigenvalues), len(eigenvalues)
