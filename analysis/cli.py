"""The command line: from a named network, a study file or one's own samples to a page of couplings with their errors.

    nnft models                                        what is in the suite and what is known exactly about each
    nnft run cos --width 50 -o out/                    ensemble -> correlators -> couplings -> checks -> page
    nnft run hms-relu -o out/                          the published experiment: widths, slopes, couplings, six points
    nnft fit samples.npy --points points.npy -o out/   the same from one's own networks, an array (network, point)
    nnft check out/                                    the verdicts of a finished run
    nnft recover chain --method score -o out/          plant couplings, simulate, refit: is the posterior calibrated?

Fewer than 1000 networks get a page of what so few can tell. Exit status: 0 done, also where a check fails (the page
says so); 1 from `check` where one fails; 2 bad input, or no fit is possible, with one line why; 130 interrupted. JAX is
loaded when a command needs it: `nnft --help` is fast.
"""

import argparse
import difflib
import gc
import io
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__

__all__ = ["main"]

OPTIONS = (
    "width",
    "points",
    "n",
    "seed",
    "action",
    "method",
    "sampler",
)  # settings with an option of their own; --set reaches every one


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = _joined(sys.argv[1:] if arguments is None else list(arguments))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8
    try:
        options = _parsed(words or ["--help"])
        return options.command(options)
    except SystemExit as stop:  # argparse has said what it had to say
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:  # `nnft models | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("nnft: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        files = f"expected files and folders that can be read and written, got {error}; try another place"
        print("nnft:", " ".join((files if isinstance(error, OSError) else str(error)).split()), file=sys.stderr)
        return 2


def _models(options: argparse.Namespace) -> int:
    from .suite import table

    print(table())
    return 0


def _run(options: argparse.Namespace) -> int:
    progress = _start(options)
    from .studies.study import Study, run

    settings, name = _settings(options), options.study
    if name.startswith("hms"):
        return _experiment(options, settings, progress)
    if name.endswith(".toml"):
        study = Study.from_toml(name, settings)
    elif Path(name).suffix or os.sep in name:
        raise ValueError(f"expected the name of a network or a .toml file, got {name!r}; try nnft models for the names")
    elif settings.get("net", name) != name:
        raise ValueError(f"expected one network, got {name} and --set net={settings['net']}; try leaving one out")
    else:
        study = Study.of({"net": name} | settings)
    if progress:
        print(study, file=sys.stderr)
    return _finish(options, lambda: run(study, options.output, force=options.force, progress=progress))


def _experiment(options: argparse.Namespace, settings: dict[str, Any], progress: bool) -> int:
    """A published experiment, whose network, points and widths are part of it."""
    from .studies.published import EXPERIMENTS
    from .studies.published_page import run_experiment

    unknown = [name for name in settings if name not in ("n", "seed", "widths")]
    if options.study in EXPERIMENTS and unknown:
        raise ValueError(
            f"expected n, seed or widths for {options.study}, whose network is fixed, got {unknown[0]}; try "
            f"--set widths=[2,5,20]"
        )
    print(run_experiment(options.study, options.output, **settings, force=options.force, progress=progress))
    return 0


def _fit(options: argparse.Namespace) -> int:
    progress = _start(options)
    from .studies.study import Fitting, fit_samples

    settings, reads = _settings(options), ("points", "variable", "dims", "markov_chains", "independent")
    points, variable, dims, chains, independent = (settings.pop(name, None) for name in reads)
    if dims is not None:
        dims = tuple(str(word).strip() for word in (dims if isinstance(dims, list) else str(dims).split(",")))
    reading = {
        "fitting": Fitting.of(settings, besides=reads),
        "variable": None if variable is None else str(variable),
        "dims": dims,
        "chains": chains,
        "independent": independent,
        "force": options.force,
    }
    return _finish(options, lambda: fit_samples(options.samples, points, options.output, **reading, progress=progress))


def _check(options: argparse.Namespace) -> int:
    _start(options)
    from .checks.diagnose import diagnose
    from .pages.report import load
    from .studies.few_page import few_summary

    if told := few_summary(options.folder):
        print(told)
        return 0
    found = diagnose(load(options.folder))
    print(found)
    for check in found.failed:
        print(f"\n{check.name}: {check.why}")
    return 1 if found.failed else 0


def _recover(options: argparse.Namespace) -> int:
    progress = _start(options)
    import jax

    from ..inference.calibration.recovery import recover
    from .studies.calibration import calibration_table, check_files, planted_named, write_calibration

    given = {name: getattr(options, name) for name in ("n", "simulations", "draws", "seed")}
    numbers = {name: _whole(name, text) for name, text in given.items() if text is not None}
    n, key = numbers.pop("n", None), jax.random.key(numbers.pop("seed", 0))
    check_files(options.output, force=options.force)
    tree = recover(planted_named(options.planted, n=n), options.method, key=key, **numbers, progress=progress)
    path = write_calibration(tree, options.output, force=options.force)
    if not options.quiet:
        print(calibration_table(tree))
    print(path)
    return 0


def _whole(name: str, text: str) -> int:
    """1000 or 1e3."""
    value = _value(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31 or value != int(value):
        raise ValueError(f"expected a whole number for --{name}, got {text!r}; try --{name} 1000")
    return int(value)


def _finish(options: argparse.Namespace, work: Any) -> int:
    """Do it and say what came out: a fit; of networks too few for one, what these can tell; else what was measured.

    Where neither is possible, why.
    """
    from .pages.report import summary
    from .studies.few_page import few_answer, write_few
    from .studies.study import NoFit, TooFew

    try:
        try:
            told = summary(work())
        except TooFew as few:
            answer = few_answer(few.networks, few.fitting)
            write_few(answer, options.output, force=options.force)
            told = str(answer)
    except ValueError as refusal:
        measured = next((e.correlators for e in (refusal, refusal.__context__) if isinstance(e, NoFit)), None)
        if measured is not None and not options.quiet:
            print(measured, flush=True)
        raise
    if not options.quiet:
        print(told)
    print(Path(options.output) / "index.html")
    return 0


def _start(options: argparse.Namespace) -> bool:
    """All cores for JAX, before it starts, and its programs kept; whether to show progress."""
    gc.set_threshold(100_000, 20, 100)  # a short process: looking for cycles among JAX's objects was 8 % of a study
    from ..models.runtime import configure

    affinity = getattr(os, "sched_getaffinity", None)  # the cores this process may use; Linux only
    configure(cores=len(affinity(0)) if affinity else os.cpu_count() or 1, cache=True)
    return sys.stderr.isatty() and not getattr(options, "quiet", False)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was said on the command line, under the names of the session; an option counts more than --set."""
    settings: dict[str, Any] = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected --set name=value, got {text!r}; try --set width=100")
        settings[name.strip()] = _value(value.strip())
    for name in OPTIONS:
        if getattr(options, name, None) is not None:
            settings[name] = _value(getattr(options, name))
    return settings


def _value(text: str) -> Any:
    """A value as in a study file; what is no TOML is a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _joined(words: list[str]) -> list[str]:
    """`--points -3,-1,1` as `--points=-3,-1,1`: argparse takes a word that begins with a minus for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--points" and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parsed(words: list[str]) -> argparse.Namespace:
    """The options, or one line on the word that is none of them, with the nearest that is."""
    parser, commands = _parser()
    if not words[0].startswith("-") and words[0] not in commands:
        close = difflib.get_close_matches(words[0], commands, n=1)
        known, advice = ", ".join(commands), f"nnft {close[0]}" if close else f"nnft run {words[0]} -o out/{words[0]}"
        raise ValueError(f"expected a command among {known}, got {words[0]!r}; try {advice}")
    options, others = parser.parse_known_args(words)
    if others:
        known = re.findall(r"(?<![\w-])--?\w+", commands[words[0]].format_usage())
        close = difflib.get_close_matches(others[0].partition("=")[0], known, n=1)
        advice = close[0] if close else f"nnft {words[0]} --help"
        raise ValueError(f"expected the arguments of nnft {words[0]}, got {others[0]!r} as well; try {advice}")
    return options


class _Parser(argparse.ArgumentParser):
    """One line for what cannot be parsed, and where to read more."""

    def error(self, message: str) -> NoReturn:
        missing = message.partition("are required: ")[2]
        told = f"expected {missing}, got a line without" if missing else f"expected its arguments, got {message}"
        self.exit(2, f"{self.prog}: {told}; try {self.prog} --help\n")


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="nnft",
        description="From the prior of a random network to the couplings of its field theory, with honest errors.",
        epilog="Begin with: nnft run cos -o out/cos",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nnft {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, work: Any, text: str, epilog: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)
        made.set_defaults(command=work)
        return made

    command("models", _models, "what is in the suite and what is known exactly about each network")

    run = command(
        "run",
        _run,
        "draw networks, measure their correlators, fit the couplings, and write a page",
        "--set reaches every setting: readout, output_scale, output_bias, weight_scale, bias_scale, mass, cutoff, "
        "alpha, space, prior_scale, weights, chains, warmup, draws; widths of the experiments hms-*; options of "
        "actions: shape=[8,8], reach, periodic, kappa, rank, count, discrepancy. "
        "A study file holds the same names, one a line: net = 'cos', width = 50.",
    )
    run.add_argument(
        "study",
        metavar="NAME|study.toml",
        help="cos, erf, relu, gauss, tanh, scalar, hms-gauss, hms-erf, hms-relu, or a file",
    )
    run.add_argument("--width", metavar="N", help="number of neurons")
    run.add_argument("--points", metavar="X", help="-3,-1,1,3 in one dimension, or a file (.npy, .csv, .txt) of them")
    run.add_argument("--n", metavar="n", help="number of networks; 1e6 is allowed")

    fit = command(
        "fit",
        _fit,
        "fit the couplings of your own networks, an array (network, point), and write a page",
        "--set reaches prior_scale, weights, chains, warmup, draws; variable=phi names the array in a file of several, "
        "dims=point,network says that it lies the other way round; markov_chains=4 that so many chains of equal "
        "length follow each other, independent=true that the order means nothing; options of actions: shape=[8,8], "
        "reach, periodic, kappa, rank, count, discrepancy. An action with a shape needs no points: nnft fit "
        "configs.npy --action lattice_phi4 --set shape=[8,8] -o out/",
    )
    fit.add_argument("samples", metavar="FILE", help="a .npy, .npz, .nc, .zarr, .h5, .csv or .txt file")
    fit.add_argument("--points", metavar="FILE", help="their input points: a file, or -3,-1,1,3; not of a lattice")
    for sub in (run, fit):
        sub.add_argument(
            "--action",
            metavar="NAME",
            help="constant, local, translation_invariant, lattice_phi4, low_rank_bilocal, smooth_bilocal, bilocal "
            "(default), full_quartic, full_sextic or modes",
        )
        sub.add_argument("--method", metavar="NAME", help="score (default), pseudo, gold or tree")
        sub.add_argument("--sampler", metavar="NAME", help="nuts (default; closed beyond 100 terms), closed or svi")
        sub.add_argument("--seed", metavar="S", help="of all random numbers, default 0")
        sub.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any setting; may be repeated")
        sub.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the page, made for it")
        sub.add_argument("--force", action="store_true", help="replace the page of an earlier run in that folder")
        sub.add_argument("--quiet", action="store_true", help="print the path of the page only")

    check = command("check", _check, "the verdicts of a finished run; exit status 1 if one fails")
    check.add_argument("folder", metavar="DIR", help="a folder that nnft run or nnft fit wrote")

    recover = command(
        "recover",
        _recover,
        "plant couplings, simulate fields, refit, and test whether the posterior is calibrated",
        "Methods: exact, gold, reweighted, score, scalar and naive for chain and site; score, pseudo, gold, scalar and "
        "naive for lat and rbf; score, scalar and naive for mixture. The same seed plants the same fields for "
        "every method.",
    )
    recover.add_argument("planted", metavar="NAME", help="chain, site, mixture, lat or rbf")
    recover.add_argument("--method", metavar="NAME", default="score", help="which posterior, default score")
    recover.add_argument("--n", metavar="n", help="fields of each simulation")
    recover.add_argument("--simulations", metavar="S", help="how often, default 1000")
    recover.add_argument("--draws", metavar="L", help="draws of each posterior, default 255")
    recover.add_argument("--seed", metavar="S", help="of all random numbers, default 0")
    recover.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of table, figure and JSON")
    recover.add_argument("--force", action="store_true", help="replace those of an earlier run in that folder")
    recover.add_argument("--quiet", action="store_true", help="print the path of the JSON only")
    return parser, commands.choices
