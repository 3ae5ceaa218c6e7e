"""The results of the long proofs as a table for readers: what was asked, what was found, what a planted fault gave.

`make proof` writes RESULTS.md beside results.json; a quick test holds the two together.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

Entry = Mapping[str, Any]
Row = tuple[str, str, str]  # asked, found, planted fault

_HEAD = """# What `make proof` found

Written by `make proof` from [results.json](results.json), which holds every figure with bands, versions and revision.
Each proof has a planted fault that must miss what is asked. The words are those of the files beside this one.

| proof | asked | found | planted fault | seed |
|---|---|---|---|---|
"""


def _coverage(e: Entry) -> Row:
    average, joint = e["average_band"], e["joint_band"]
    return (
        f"average in {_band(average)}, joint in {_band(joint)}, each coupling in {_band(e['coupling_band'])}; "
        f"{e['replicates']} × {e['networks']:,} networks",
        f"{e['average']:.3f}, {e['joint']:.3f}, {e['lowest_coupling']:.3f} to {e['highest_coupling']:.3f}",
        f"naive errors: {e['naive_average']:.3f}, {e['naive_joint']:.3f}",
    )


def _intervals(e: Entry) -> Row:
    return (
        f"average in {_band(e['band'])}; {e['replicates']} × {e['draws']:,} draws",
        f"{e['average']:.3f} ± {e['cluster_error']:.3f}",
        f"errors too small by √2: {e['with_errors_too_small_by_sqrt2']:.3f}",
    )


def _few(e: Entry) -> Row:
    def line(key: str) -> str:
        return ", ".join("–" if value is None else f"{value:.3f}" for value in e[key])

    return (
        f"covered at least 0.92 where most sets have an interval, wrong at most 0.08; {e['sets']} × "
        f"{', '.join(map(str, e['networks']))} networks",
        f"an interval in {line('given')}; covered {line('covered')}; wrong {line('wrong')}",
        f"half the length: {line('fault_half_the_length')}; no refusal at 1000: {e['fault_no_refusal_at_1000']:.3f}",
    )


def _step(e: Entry) -> Row:
    limit = e["limit_in_sd"]
    return (
        f"NUTS within {limit:g} sd of one Fisher step, every parameter; Hausman p > 0.001; {e['networks']:,} networks",
        f"{e['nuts_to_step_worst_in_sd']:.3f} (rms {e['nuts_to_step_rms_in_sd']:.3f}); p = "
        f"{e['hausman_p']:.2g}, score to gold {e['score_to_gold_in_sd']:.2f} sd, predicted "
        f"{e['score_to_gold_predicted_in_sd']:.2f}",
        f"other networks: p = {e['hausman_p_of_other_networks']:.0e}",
    )


def _smooth(e: Entry) -> Row:
    stretch = "inside" if e["inside_the_stretch"] else "outside"
    return (
        f"at least {e['goal_at_least']:g}; stretch {_band(e['stretch_band'])}; {e['replicates']} × {e['networks']:,}",
        f"{e['with_discrepancy']:.3f} ± {e['cluster_error']:.3f} ({stretch} the stretch); process alone "
        f"{e['process_alone']:.3f}",
        f"naive errors: {e['naive_errors']:.3f}",
    )


def _observed(e: Entry) -> Row:
    methods = [m for m in ("score", "pseudo", "gold") if m in e]
    return (
        f"{', '.join(methods)} each in {_band(e['band'])}; {e['replicates']} × {e['networks']:,} networks",
        ", ".join(f"{e[m]:.3f}" for m in methods),
        "naive errors: " + ", ".join(f"{e[f'{m}_naive']:.3g}" for m in methods),
    )


def _efficiency(e: Entry) -> Row:
    limits = e["limits"]
    return (
        ", ".join(f"{m} ≤ {limit:.2f}" for m, limit in limits.items()) + f"; one sample of {e['networks']:,}",
        ", ".join(f"{e[m]:.3f}" for m in limits),
        "naive errors: " + ", ".join(f"{m} {e[f'{m}_naive']:.3f}" for m in ("score", "pseudo")),
    )


def _calibration(e: Entry) -> Row:
    fault = "the rows naive and scalar" if e["goal"].startswith("every p >") else "is one"
    return e["goal"], "p: " + ", ".join(f"{name} {p:.2g}" for name, p in e["p_value"].items()), fault


def _sobol(e: Entry) -> Row:
    numbers = e["coverage_half_band_and_fault"]
    return (
        f"Student intervals cover as stated; {e['replicates']} × {e['points_of_a_scramble']} points a scramble",
        ", ".join(f"{name}: {found:.3f} (±{half:.3f})" for name, (found, half, _) in numbers.items())
        + f"; bias ≤ {e['largest_bias_over_error']:.1g} errors",
        "each scramble four times: " + ", ".join(f"{fault:.3f}" for _, _, fault in numbers.values()),
    )


def _metric(e: Entry) -> Row:
    return (
        f"95% intervals cover {_band(e['band'])}; {e['sets']} × {e['networks']:,} networks",
        f"{e['coverage']:.3f}, lowest coupling {e['lowest_coupling']:.3f}",
        f"a prior worth one network of covariance W: {e['fault_prior_of_the_metric']:.3f}",
    )


def _prior(e: Entry) -> Row:
    return (
        f"shift by the prior below {e['shift_below']:g} errors; {e['networks']:,} networks",
        f"{e['shift_by_the_prior']:.2g}; z of κ, m², λ: " + ", ".join(f"{z:+.2f}" for z in e["z"]),
        f"the prior of a Gaussian site: {e['fault_shift_by_the_prior_of_a_gaussian_site']:.3g}",
    )


def _predictive(e: Entry) -> Row:
    faults = {"none": "no noise", "each alone": "noise of each component alone"}
    told = [
        f"{words}: " + ", ".join(f"{v[what]:.3g}" for v in e["variance"].values()) for what, words in faults.items()
    ]
    found = ", ".join(f"{name}: {e['mean'][name]:+.2f}, {v['noise']:.2f}" for name, v in e["variance"].items())
    return f"{e['goal']}; {e['sets']} × {e['networks']:,} networks", found, "variance with " + "; ".join(told)


def _p_values(e: Entry) -> Row:
    figures = e["given_below_5_percent_below_1_permille_and_ks"]

    def worst(word: str, column: int, pick: Callable[..., Any]) -> float:
        return pick(v[column] for name, v in figures.items() if name.startswith(word) and len(v) > column)

    least = min(v[0] for name, v in figures.items() if name.startswith("chi2"))
    return (
        f"p of fresh ensembles uniform (KS > 1e-4) for 2, 4, 2+4, 2+4+6, both kinds; {e['replicates']} sets",
        f"smallest KS {worst('fresh', 3, min):.2g}; chi2: below .05 at most {worst('chi2', 1, max):.3f}, below .001 "
        f"{worst('chi2', 2, max):.3f}, given in at least {least:.0%}",
        f"T^2 always: below .05 up to {worst('T^2', 1, max):.2f}, below .001 {worst('T^2', 2, max):.2f}",
    )


def _joint(e: Entry) -> Row:
    def told(name: str) -> str:
        joint, left = e[f"joint ({name})"], e[f"left_out_below_5_percent ({name})"]
        return f"{joint:.3f}, {e[f'marginal ({name})']:.3f}; p of left-out terms below .05: {left:.3f}"

    return (
        f"joint 95% coverage of {e['couplings']} couplings, and of each; {e['replicates']} sets",
        told("left out"),
        "plain sandwich: " + told("plain"),
    )


def _chains(e: Entry) -> Row:
    if "files" in e:
        ratio = ", ".join(f"{r:.3f}" for r in e["error_ratio"])
        return (
            f"errors within {_band(e['band'])} of before; {e['files']} files",
            f"{ratio}; {e['alarms']} alarms",
            "is one",
        )
    return (
        f"95% intervals cover {_band(e['band'])}; {e['chains']:,} chains of {e['fields']:,} fields, n_eff "
        f"{e['effective_median']:.0f}",
        f"κ {e['cover_kappa']:.3f}, m² {e['cover_m2']:.3f}, λ {e['cover_lambda']:.3f}; {e['refused']} refused",
        "told independent: " + ", ".join(f"{c:.2f}" for c in e["naive_cover"]),
    )


def _symmetry(e: Entry) -> Row:
    if "power" in e:
        return (
            f"rejected at a level of .001 in {_band(e['band'])}; {e['sets']} × {e['networks']:,} networks",
            f"{e['power']:.3f}",
            f"where it holds: {e['rejected_where_it_holds']:.3f}",
        )
    figures = e["ks_below_5_percent_below_1_permille"]

    def told(*words: str) -> str:
        chosen = {name: v for name, v in figures.items() if name.startswith(words)}
        return ", ".join(f"{name}: KS {v[0]:.2g}, below .05 {v[1]:.3f}" for name, v in chosen.items())

    faults = told("errors a fifth", "invariants counted")
    return f"p uniform (KS > 1e-4); {e['replicates']} ensembles", told("order"), faults


def _axioms(e: Entry) -> Row:
    if "power" in e:
        return (
            f"violation seen at 3σ in {_band(e['band'])}; {e['sets']} × 2 × {e['networks']:,} Gaussian fields",
            f"{e['power']:.3f} in the best direction; {e['chosen']:.3f} in those chosen, predicted "
            f"{e['chosen_predicted']:.3f}",
            "",
        )
    return (
        f"positive fields accused at 3σ below {e['most']:.3f}; {e['sets']} × {e['networks']:,} fields",
        f"{e['alarms']:.4f}; below .05 {e['below_5_percent']:.3f}",
        f"tested on its own half: {e['direction_tested_on_itself']:.3f}",
    )


def _lattice(e: Entry) -> Row:
    def told(key: str) -> str:
        return ", ".join(f"{value:.2f}" for value in e[key])

    return (
        f"z of {', '.join(e['names'])}: mean square in {_band(e['band'])}, mean in {_band(e['mean_band'])}; "
        f"{e['runs']} runs of {e['fields']:,} fields",
        f"{told('mean_square_z')}; {told('mean_z')}",
        f"draws taken as independent: {told('naive_mean_square_z')}",
    )


def _box(e: Entry) -> Row:
    def told(numbers: Mapping[str, Any]) -> str:
        parts = []
        for name, (value, error, *truth) in numbers.items():
            parts.append(f"{name}: {value:.6g} ± {error:.2g}" + "".join(f" ({t:.6g})" for t in truth))
        return ", ".join(parts)

    if "without_counterterm" in e:
        most, square, gap = e["off_and_error_at_most"]
        return (
            f"(exact) within {most:.1%} and three errors; errors at most {square:.1%}, gap {gap:.1%}; widths "
            f"{e['widths'][0]} to {e['widths'][-1]}, {e['networks']:,} networks in {e['cpu_seconds']:g} CPU-s",
            told(e["numbers"]),
            "no counterterm (predicted): "
            + told({"phi2": e["without_counterterm"], "gap": e["gap_without_counterterm"]}),
        )
    if "bands" in e:

        def shares(numbers: Mapping[str, Any]) -> str:
            return ", ".join(f"{name}: {one:.3f}, {two:.3f}" for name, (one, two) in numbers.items())

        return (
            f"68% and 95% intervals in {_band(e['bands'][0])}, {_band(e['bands'][1])}; {e['sets']} × {e['fields']:,}",
            shares(e["covered"]),
            "errors a fifth too small: " + shares(e["errors_a_fifth_too_small"]),
        )
    if "plane" in e:
        pulls = [
            abs(value - truth) / (error**2 + (rest[0] if rest else 0.0) ** 2) ** 0.5
            for value, error, truth, *rest in e["plane"].values()
        ]
        numbers = {name: [value, error, truth] for name, (value, error, truth, *_) in e["plane"].items()}
        return (
            f"(HMC, or what was put in) within three errors; errors of G at most 0.5%; {e['networks']:,} networks",
            told(numbers) + f"; worst {max(pulls):.1f} errors",
            "no counterterm: " + told({"phi2": e["bare_phi2"]}),
        )
    if "expected" in e:
        return f"{e['expected']} ± {e['expected_error']}", f"{e['found']:.6g} ± {e['error']:.2g}", "constant amplitude"
    if "phi2" in e:
        return "engines agree", told(e["phi2"]), "log Z: " + told(e["log_z"])
    return "(exact) within errors", told(e["numbers"]), "another theory each"


def _scales(e: Entry) -> Row:
    return (
        f"{e['numbers']} couplings within {e['limit_in_errors']:.2f} errors of the exact ones; {e['fields']:,} fields",
        f"worst {e['worst_in_errors']:.2f}, rms {e['rms_in_errors']:.2f}",
        f"couplings that do not run: at least {e['fault_least_in_errors']:.1f} errors off on every scale",
    )


def _training(e: Entry) -> Row:
    if "drift" in e:
        told = ", ".join(f"{name} {change:+.4f} ± {sd:.4f}" for name, (change, sd) in e["drift"].items())
        return (
            f"v[0,1] drifts by {e['known_v']:+.4f} between t = {e['times'][0]:g} and {e['times'][1]:g}, four errors; "
            f"{e['networks']:,} networks",
            told,
            "no drift: refused",
        )
    return (
        f"v and the average in {_band(e['goal'])}; {e['replicates']} × {e['networks']:,} networks",
        f"v ({e['truth_v']:+.4f}) {e['v']:.3f}, average {e['average']:.3f}, {e['lowest']:.3f} to {e['highest']:.3f}",
        f"errors too small by √2: {e['with_errors_too_small_by_sqrt2']:.3f}",
    )


def _energy(e: Entry) -> Row:
    real, imaginary = ([f"{share:.2f}" for share in part] for part in e["real_time_covered"])
    return (
        f"95 % intervals cover at least {e['goal_at_least']:g}; {e['replicates']} × {e['networks']:,} fields",
        f"{e['covered']:.3f}, width {e['width']:.2f}, mean {e['mean']:.3f} ± {e['scatter']:.3f}; bands of G(it) at "
        f"t = {', '.join(f'{t:g}' for t in e['real_time_at'])}: Re {', '.join(real)}, Im {', '.join(imaginary)}",
        f"one or two exponentials: {e['exponentials_cover']:.3f}, mean {e['exponentials_mean']:.3f}",
    )


_ROWS: dict[str, Callable[[Entry], Row]] = {
    "box": _box,
    "68% intervals": _intervals,
    "95% intervals": _intervals,
    "few networks": _few,
    "first energy": _energy,
    "Fisher step": _step,
    "coverage of a smooth prior": _smooth,
    "coverage": _coverage,
    "lattice": _lattice,
    "metric": _metric,
    "chains": _chains,
    "networks per coupling": _joint,
    "p-values": _p_values,
    "predictive p-values": _predictive,
    "prior": _prior,
    "observed over predicted": _observed,
    "standard errors over Cramer-Rao": _efficiency,
    "sbc": _calibration,
    "sobol intervals": _sobol,
    "symmetry": _symmetry,
    "axioms": _axioms,
    "couplings of erf networks": _training,
    "couplings on coarser scales": _scales,
    "drift": _training,
}


def table(proofs: Mapping[str, Entry]) -> str:
    """RESULTS.md for the entries of results.json.

    Raises:
        ValueError: a result of a kind that has no row yet.
    """
    lines = []
    for name, entry in proofs.items():
        row = next((make for start, make in _ROWS.items() if name.startswith(start)), None)
        if row is None:
            raise ValueError(f"expected a result that begins with one of {list(_ROWS)}, got {name!r}; try adding a row")
        asked, found, fault = row(entry)
        lines.append(f"| {name} | {asked} | {found} | {fault} | {entry['seed']} |")
    return _HEAD + "\n".join(lines) + "\n"


def write() -> None:
    """RESULTS.md from results.json, both in the folder of the proofs."""
    proofs = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["proofs"]
    (FOLDER / "RESULTS.md").write_text(table(proofs), encoding="utf-8")


def _band(edges: Any) -> str:
    low, high = edges
    return f"{low:.3f}..{high:.3f}"
