"""What a careful reader asks of a fit, each question with its number, its limit, its verdict and one sentence why.

Did the sampler find the posterior (`sampling.py`), is there an expansion to speak of, may exp(-S) be normalised
(`boundedness.py`), how much does the action explain, is the prior in the way (`influence.py`), and does the action give
the four-point function back? What a fit does not
hold (a lattice has no four-point function of all its sites) is not asked. Limits and verdicts are in `check.py`.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ...inference.ensembles.chains import LEAST_WORTH
from ...inference.posterior.predict import quartic_coefficients
from ...models.diagrams.from_couplings import four_point, whitened
from ...models.distance import hotelling
from ..reading.fit import Reading, reads
from .boundedness import boundedness_checks
from .check import LIMITS, Check, Diagnosis, about, answers
from .influence import influence_checks
from .sampling import sampling_checks

__all__ = ["LIMITS", "Check", "Diagnosis", "diagnose"]


@reads
def diagnose(fit: Reading, *more: Callable[[Reading], Check | Iterable[Check]]) -> Diagnosis:
    """All checks of a fit made by `inference.fit`, or of one reloaded from its file, and then checks of one's own.

    Args:
        fit: the fit.
        more: functions of the fit that was read, an `an.Reading`: each answers with an `an.Check` or several.

    Raises:
        ValueError: the tree is not such a fit; a check of one's own that does not answer.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> found = diagnose(fit)
        >>> found.worst, found[0].name
        ('warn', 'draws of the closed form')
    """
    if "point" in fit.children:
        raise ValueError(
            "expected a fit with draws, got the point result of exact correlators, which has nothing to diagnose; "
            "try inf.fit(..., as_if_n=100_000), the posterior as many networks would give"
        )
    needed = ("posterior", "prior", "sample_stats", "observed_data", "constant_data")
    missing = [name for name in needed if name not in fit.children]
    if missing:
        raise ValueError(f"expected a fit of inf.fit, got a tree without {', '.join(missing)}; try load('out/fit.nc')")
    return Diagnosis(
        [
            *about("sampler", sampling_checks(fit)),
            *about("data", _data(fit)),
            *about("theory", _expansion(fit)),
            *about("theory", boundedness_checks(fit)),
            *about("fit", _adequacy(fit)),
            *about("fit", _prediction(fit)),
            *(one for check in more for one in answers(check, fit)),
        ]
    )


def _data(fit: Reading) -> Iterator[Check]:
    """Are n networks n independent draws, and what was measured of them right, even, and with errors?"""
    if "chain" in fit.attrs:
        why = f"The order of the file remembers: {fit.attrs['chain']}. Errors come from blocks of it."
        value, limit = f"n_eff = {float(fit.attrs['networks']):.0f}", f">= {LEAST_WORTH}"
        yield Check("effective networks", value, limit, "pass", why)
    if "copied" in fit.attrs:
        why = "Rows that equal an earlier one up to sign were left out: copies and mirror images are no new networks."
        yield Check("copies left out", str(fit.attrs["copied"]), "none", "note", why)
    attrs = fit.constants.attrs
    if "exact_p" in attrs:
        p = attrs["exact_p"]
        verdict = "note" if np.isnan(p) else "pass" if p > LIMITS["exact_p"] else "warn"
        why = "Measured two- and connected four-point functions less the exact ones: T^2 where its law holds."
        if np.isnan(p):
            why = "Few networks make the errors of G4c: inf.null(truth, n).judge(data) gives a p-value at any number."
        value = f"chi2/dof = {attrs['exact_chi2']:.0f}/{attrs['exact_dof']:.3g}, p {_below(p)}"
        yield Check("measured against exact", value, f"p > {LIMITS['exact_p']}", verdict, why)
    if "odd_p" in attrs:
        p = attrs["odd_p"]
        verdict = "pass" if p > LIMITS["odd_p"] else "warn"
        why = "Orders 1 and 3 compatible with zero, as an action with even terms needs."
        yield Check("Z2 symmetry", f"p = {p:.2g}", f"> {LIMITS['odd_p']}", verdict, why)
    else:
        yield Check("Z2 symmetry", "not measured", "none", "note", "No odd correlators were given to test it.")
    if "tail_verdict" in attrs:
        yield _tails(str(attrs["tail_verdict"]), str(attrs["tail_why"]))


def _expansion(fit: Reading) -> Iterator[Check]:
    """Is there an effective action to speak of?"""
    attrs = fit.constants.attrs
    if "eps4" in attrs:
        eps4, error = attrs["eps4"], attrs["eps4_error"]
        verdict = "pass" if eps4 < LIMITS["eps4"] else "note" if "translation_p" in attrs else "fail"
        why = (
            "The field is far from Gaussian; an action of a lattice is exact, and needs no expansion."
            if verdict == "note"
            else "Square root of the chi^2 distance to the Gaussian: small enough for an action around the free theory."
            if verdict == "pass"
            else "The field is too far from Gaussian at these points: stay with cumulants, or use fewer points."
        )
        yield Check("eps4", f"{eps4:.3g} +- {error:.1g}", f"< {LIMITS['eps4']}", verdict, why)
    if "predictions" in fit.children:
        tree, loop = _mean_diagrams(fit)
        ratio = float(np.linalg.norm(loop) / max(np.linalg.norm(tree), 1e-300))
        verdict = "pass" if ratio < LIMITS["loop"] else "warn"
        why = "One loop over tree level, whitened norm: beyond the limit tree-level numbers are qualitative."
        yield Check("loop over tree", f"{ratio:.2g}", f"< {LIMITS['loop']}", verdict, why)
    if "G4" in fit.group("observed_data"):
        yield _sign(fit)


def _tails(verdict: str, why: str) -> Check:
    """Have the averages behind the equations errors? Decided where they were taken."""
    sentence = f"{why[0].upper()}{why[1:]}."
    if verdict == "ok":
        return Check("tails", "light", "as a Gaussian's", "pass", sentence)
    heavy = "Averages of high powers hang on few networks, and errors may be too small: "
    return Check("tails", "heavy", "as a Gaussian's", "warn" if verdict == "flagged" else "fail", heavy + sentence)


def _sign(fit: Reading) -> Check:
    """Heavier or lighter than Gaussian at single points."""
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
    return Check("sign of the kurtosis", f"{sign} ({worst:+.3g})", "none", "note", why)


def _lattice(fit: Reading) -> Iterator[Check]:
    """Do the sites lie as the action says, and what does it leave out?"""
    attrs = fit.constants.attrs
    if "translation_p" in attrs:
        p, limit = attrs["translation_p"], LIMITS["translation_p"]
        why = (
            f"Of all waves in local products of the field {attrs['translation_why']}: none is needed, or the sites are "
            "in another order (C order is expected), the shape is another, or the lattice is not periodic."
        )
        yield Check("translation symmetry", f"p {_below(p)}", f"> {limit}", "pass" if p > limit else "fail", why)
    if "left_out_p" in attrs:
        p, limit = attrs["left_out_p"], LIMITS["excluded_p"]
        why = f"Schwinger-Dyson equations of terms the action does not hold: {attrs['left_out']}."
        value = f"chi2/dof = {attrs['left_out_chi2']:.0f}/{attrs['left_out_dof']}, p {_below(p)}"
        yield Check("left-out terms", value, f"p > {limit}", "pass" if p > limit else "warn", why)


def _adequacy(fit: Reading) -> Iterator[Check]:
    """How much does the action explain, and how well is it determined?"""
    yield from _lattice(fit)
    constants = fit.constants
    if fit.method_words.sandwich and fit.space == "field":  # of draws of a neuron A^-1/n means nothing
        ratio = constants["naive_error"].values / constants["sandwich_error"].values
        value = f"{np.median(ratio):.2f} (worst {ratio.min():.2f})"
        why = (
            "Naive errors hold only if the model is true; calibrated ones, the sandwich (the measured noise of the "
            "equations between two inverses of their matrix), always: their ratio (median; worst in brackets)."
        )
        yield Check("naive over calibrated error", value, "none", "note", why)
    if "gain_full" in constants.attrs:
        full, error = constants.attrs["gain_full"], constants.attrs["gain_full_error"]
        if full < LIMITS["resolved"] * error or "share" not in constants.attrs:
            why = "The full quartic action does not improve on the Gaussian beyond its error: nothing to share out."
            yield Check("share of the gain", "not resolved", f">= {LIMITS['share']:.0%}", "note", why)
        else:
            reference = constants["full_embed"].shape[0] == constants["full_embed"].shape[1]
            share, spread = constants.attrs["share"], constants.attrs["share_error"]
            verdict = "pass" if share >= LIMITS["share"] else "warn"
            why = (
                "Of what the full quartic action gains over the best Gaussian in the Hyvarinen score, in the metric of "
                "the fit, so much this action gains too: the share of what is not Gaussian that it explains."
            )
            yield Check(
                "share of the gain",
                "100% (it is the reference)" if reference else f"{share:.1%} +- {spread:.1%}",
                f">= {LIMITS['share']:.0%}",
                verdict,
                why,
            )
    if "full_matrix" in constants:
        chi2, dof, p = _excluded(fit)
        if dof:
            verdict = "pass" if p > LIMITS["excluded_p"] else "warn"
            why = "Schwinger-Dyson equations of the quartic terms left out; with many networks every truncation shows."
            value = f"chi2/dof = {chi2:.0f}/{dof}, p {_below(p)}"
            yield Check("excluded terms", value, f"p > {LIMITS['excluded_p']}", verdict, why)
    if "truncation_bias" in constants:
        yield _truncation(fit)
    yield from influence_checks(fit)
    z, total = _resolved(fit)
    count = int(np.sum(np.abs(z) > LIMITS["resolved"]))
    why = "Independent coupling combinations more than 3 sd from zero, in directions of decreasing information."
    yield Check("resolved combinations", f"{count} of {total}", "none", "note", why)


def _prediction(fit: Reading) -> Iterator[Check]:
    """Does the fitted action give back the four-point function, at the order it is computed?"""
    if "predictions" not in fit.children:
        return
    predicted = fit.group("predictions")
    tree = predicted["G4"].mean(("chain", "draw")).values
    loop = predicted["G4_loop"].mean(("chain", "draw")).values - tree
    observed, error = fit.group("observed_data")["G4"].values, fit.errors("G4")
    spread = predicted["G4"].std(("chain", "draw")).values
    slack = np.abs(loop) + 3.0 * np.hypot(error, spread)
    inside = float(np.mean(np.abs(observed - tree) <= slack))
    verdict = "pass" if inside >= LIMITS["band"] else "warn"
    why = "Components of the measured G4c within the tree-level prediction's band (one loop plus 3 sd)."
    yield Check("G4c inside the band", f"{inside:.1%}", f">= {LIMITS['band']:.0%}", verdict, why)


def _below(p: float) -> str:
    """A p-value of two digits; what underflows or cannot be told from zero in practice is not written out."""
    if np.isnan(p):
        return "not known"
    return f"= {p:.2g}" if p >= 1e-99 else "< 1e-99"


def _mean_diagrams(fit: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Tree and one-loop term of the posterior mean couplings, whitened components."""
    if not fit.action.even:  # cubic terms make diagrams of their own, which the fit has summed
        predicted, kernel = fit.group("predictions"), fit.connected_two_point
        tree, loop = (predicted[name].mean(("chain", "draw")).values for name in ("G4", "G4_loop"))
        return whitened(tree, kernel), whitened(loop - tree, kernel)
    names, weights = fit.interaction_names, fit.constants["weights"].values
    mean = {n: fit.posterior[n].mean(("chain", "draw")).values for n in names}
    kernel = fit.two_point
    tree, loop = four_point(quartic_coefficients(mean, fit.action, len(weights), weights), kernel)
    return whitened(tree, kernel), whitened(loop, kernel)


def _kurtosis(fit: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Excess kurtosis G4c(aaaa)/G2(aa)^2 at each point and its error."""
    observed = fit.group("observed_data")
    quads = np.stack([observed[f"x{k}"].values for k in (1, 2, 3, 4)], axis=1)
    same = np.all(quads == quads[:, :1], axis=1)
    variance = fit.field_scale**2 if fit.action.even else np.diag(fit.connected_two_point)
    return observed["G4"].values[same] / variance**2, fit.errors("G4")[same] / variance**2


def _excluded(fit: Reading) -> tuple[float, int, float]:
    """Rao's test of the quartic terms outside the action: their equations at the estimate, sandwich covariance."""
    constants = fit.constants
    matrix, noise, up = (constants[name].values for name in ("full_matrix", "full_noise", "full_embed"))
    q = int(constants.attrs["quadratic_terms"])
    estimate = constants["score_estimate"].values
    if "full_vector" in constants:  # of an action with odd terms: theirs may be left out too
        vector = constants["full_vector"].values - matrix @ (up.T @ estimate)
    else:
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
    return chi2, len(r), hotelling(chi2, len(r), float(constants.attrs["dof"]))


def _truncation(fit: Reading) -> Check:
    """What tree level leaves out of each coupling, against its error."""
    sizes = np.array([c.bias / c.sd if c.sd > 0 else np.inf for c in fit.couplings])
    largest, rms = float(np.max(np.abs(sizes))), float(np.sqrt(np.mean(sizes**2)))
    verdict = "pass" if largest <= LIMITS["truncation"] else "warn"
    why = (
        "Shift of a coupling by the next order of the expansion, in its sd: beyond the limit intervals of tree level "
        "miss the coupling, however many networks."
    )
    value, limit = f"largest {largest:.2g} sd, rms {rms:.2g} sd", f"<= {LIMITS['truncation']:.0f} sd"
    return Check("truncation bias of tree level", value, limit, verdict, why)


def _resolved(fit: Reading) -> tuple[np.ndarray, int]:
    """Quartic couplings in units of sd along the principal axes of their posterior covariance, prior metric."""
    draws = fit.theta(fit.interaction_names)
    q, constants = int(fit.constants.attrs["quadratic_terms"]), fit.constants
    scaled = draws * constants["factors"].values[q:]
    white = scaled @ np.linalg.inv(constants["prior_factor"].values[q:, q:]).T
    eigenvalues, axes = np.linalg.eigh(np.atleast_2d(np.cov(white.T)))
    known = min(len(eigenvalues), len(draws) - 1)  # fewer draws than couplings leave directions without a spread
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that do not move have no sd
        return ((white.mean(axis=0) @ axes) / np.sqrt(eigenvalues))[-known:], known
