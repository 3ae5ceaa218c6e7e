"""The command line: from a named network, a study file or one's own samples to a page of couplings with their errors.

    nnft models                                        what is in the suite and what is known exactly about each
    nnft run cos --width 50 -o out/                    ensemble -> correlators -> couplings -> checks -> page
    nnft run hms-relu -o out/                          the published experiment: widths, slopes, couplings, six points
    nnft run oscillator -o out/                        phi^4 built of networks beside the exact oscillator
    nnft run training -o out/                          what learning does to the action; deep-erf: what depth does
    nnft fit samples.npy --points points.npy -o out/   the same from one's own networks, an array (network, point)
    nnft measure cos --n 6.4e7 --workers 8 -o parts/   networks in parts, each a file; again goes on where it stopped
    nnft pool parts/ -o data.nc                        the parts put together; nnft fit data.nc and run --data take it
    nnft check out/                                    the verdicts of a finished run
    nnft symmetries cos                                translations, reflections, .. with p-values, and what is proved
    nnft axioms cos                                    Osterwalder-Schrader axioms: kept, broken by how much, open
    nnft cite out/                                     the BibTeX of what a run used; nnft cite erf of a network
    nnft flow chain -o out/                            how couplings run on coarser lattices; flow relu: with the cutoff
    nnft recover chain --method score -o out/          plant couplings, simulate, refit: is the posterior calibrated?

Every setting of a study is an option; --set name=value says the same. Fewer than 1000 networks get a page of what so
few can tell. Exit status: 0 done, also where a check fails (the page says so); 1 from `check` where one fails; 2 bad
input, or no fit is possible, with one line why; 130 interrupted. JAX is loaded when a command needs it: `nnft --help`
is fast.
"""

import difflib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from .. import __version__
from .batch_cli import measure, pool
from .cite_cli import cite
from .options import Folder, ReadOptions, Settings, StudyOptions, settings_of, start, whole
from .theory_cli import axioms, flow, symmetries

__all__ = ["main"]

app = App(
    name="nnft",
    help="From the prior of a random network to the couplings of its field theory, with honest errors. "
    "Begin with: nnft run cos -o out/cos",
    version=f"nnft {__version__}",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=(), show_default=False),
)
app.command(measure)
app.command(pool)
app.command(cite)
app.command(symmetries)
app.command(axioms)
app.command(flow)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8
    try:
        words = [re.sub(r"^--\w+", lambda name: name[0].replace("_", "-"), word) for word in words]
        status = app(words or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
        return status or 0
    except CycloptsError as error:
        print("nnft:", _misread(words, error), file=sys.stderr)
        return 2
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


@app.command
def models() -> int:
    """What is in the suite and what is known exactly about each network."""
    from .suite import table

    print(table())
    return 0


@app.command
def run(
    study: str,
    /,
    *,
    output: Folder,
    options: Annotated[StudyOptions | None, Parameter(name="*")] = None,
    data: Path | None = None,
    settings: Settings = None,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """Draw networks, measure their correlators, fit the couplings, and write a page.

    A study file holds the same names, one a line: net = 'cos', width = 50.

    Args:
        study: cos, erf, relu, gauss, tanh, scalar, .. (nnft models), hms-gauss, hms-erf, hms-relu, oscillator,
            phi4-box, deep-erf, training, or a file study.toml
        output: folder of the page, made for it
        options: its settings
        data: correlators of its networks that were measured before, from nnft pool
        settings: any setting as name=value; may be repeated, and an option counts more
        force: replace the page of an earlier run in that folder
        quiet: print the path of the page only
    """
    progress = start(quiet)
    from .studies.batch import of_study
    from .studies.study import run as run_study
    from .studies.study import study_named

    given = settings_of(options, settings)
    if study in ("oscillator", "phi4-box"):
        return _box(study, output, given, force=force, quiet=quiet)
    if study in ("deep-erf", "training"):
        return _learning(study, output, given, force=force, quiet=quiet)
    if study.startswith("hms"):
        return _experiment(study, output, given, force=force, progress=progress, quiet=quiet)
    made = study_named(study, given)
    measured = None if data is None else of_study(data, made)
    if progress:
        print(made, file=sys.stderr)
    options_of_run = {"force": force, "progress": progress, "measured": measured}
    return _finish(lambda: run_study(made, output, **options_of_run), output, force=force, quiet=quiet)


def _box(study: str, output: Path, settings: dict[str, Any], *, force: bool, quiet: bool) -> int:
    """phi^4 built of networks beside the exact oscillator."""
    from .theories.box import box_verdicts, run_box

    known = ("n", "seed", "widths", "coupling")
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"expected {', '.join(known)} for {study}, got {unknown[0]}; try --set coupling=6")
    return _say(run_box(study, output, **settings, force=force), box_verdicts, quiet=quiet)


def _learning(study: str, output: Path, settings: dict[str, Any], *, force: bool, quiet: bool) -> int:
    """What depth or training does to the action of erf networks."""
    from .theories.learning import learning_verdicts, run_learning

    known = ("n", "seed", "width", "depth")
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"expected {', '.join(known)} for {study}, got {unknown[0]}; try --width 32")
    return _say(run_learning(study, output, **settings, force=force), learning_verdicts, quiet=quiet)


def _experiment(study: str, output: Path, settings: dict[str, Any], *, force: bool, progress: bool, quiet: bool) -> int:
    """A published experiment, whose network, points and widths are part of it."""
    from .studies.published import EXPERIMENTS
    from .studies.published_page import experiment_verdicts, run_experiment

    unknown = [name for name in settings if name not in ("n", "seed", "widths")]
    if study in EXPERIMENTS and unknown:
        raise ValueError(
            f"expected n, seed or widths for {study}, whose network is fixed, got {unknown[0]}; try --widths 2,5,20"
        )
    page = run_experiment(study, output, **settings, force=force, progress=progress)
    return _say(page, experiment_verdicts, quiet=quiet)


def _say(page: Path, verdicts: Callable[[Path], tuple[str, bool] | None], *, quiet: bool) -> int:
    """What came out, number by number, and the path of the page."""
    if not quiet and (found := verdicts(page.parent)) is not None:
        print(found[0])
    print(page)
    return 0


@app.command
def fit(
    samples: str,
    /,
    *,
    output: Folder,
    options: Annotated[ReadOptions | None, Parameter(name="*")] = None,
    settings: Settings = None,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """Fit the couplings of your own networks, an array (network, point), and write a page.

    An action with a shape needs no points: nnft fit configs.npy --action lattice_phi4 --shape 8,8 -o out/

    Args:
        samples: a .npy, .npz, .nc, .zarr, .h5, .csv, .tsv or .txt file; or correlators, of nnft pool or
            Correlators.save, or a table of indices of points, value and error with --networks
        output: folder of the page, made for it
        options: how it is read and fitted
        settings: any setting as name=value; may be repeated, and an option counts more
        force: replace the page of an earlier run in that folder
        quiet: print the path of the page only
    """
    progress = start(quiet)
    from .studies.batch import read_measured
    from .studies.study import Fitting, fit_measured, fit_samples

    given, reads = settings_of(options, settings), ("points", "variable", "dims", "markov_chains", "independent")
    behind = given.pop("networks", None)
    if (found := read_measured(samples, given.get("points"), behind)) is not None:
        fitting = Fitting.of({name: value for name, value in given.items() if name != "points" or behind is None})
        return _finish(lambda: fit_measured(found, output, fitting, force=force), output, force=force, quiet=quiet)
    points, variable, dims, chains, independent = (given.pop(name, None) for name in reads)
    if dims is not None:
        dims = tuple(str(word).strip() for word in (dims if isinstance(dims, list) else str(dims).split(",")))
    reading = {
        "fitting": Fitting.of(given, besides=reads),
        "variable": None if variable is None else str(variable),
        "dims": dims,
        "chains": chains,
        "independent": independent,
        "force": force,
    }
    return _finish(
        lambda: fit_samples(samples, points, output, **reading, progress=progress), output, force=force, quiet=quiet
    )


@app.command
def check(folder: str, /) -> int:
    """The verdicts of a finished run; exit status 1 if one fails.

    Args:
        folder: a folder that nnft run or nnft fit wrote
    """
    start(quiet=True)
    from .checks.diagnose import diagnose
    from .pages.report import load
    from .studies.few_page import few_summary
    from .studies.published_page import experiment_verdicts
    from .theories.box import box_verdicts
    from .theories.flow_page import flow_verdicts
    from .theories.learning import learning_verdicts

    for verdicts in (box_verdicts, learning_verdicts, flow_verdicts, experiment_verdicts):
        if (found := verdicts(folder)) is not None:
            print(found[0])
            return 0 if found[1] else 1
    if text := few_summary(folder):
        print(text)
        return 0
    checks = diagnose(load(folder))
    print(checks)
    for one in checks.failed:
        print(f"\n{one.name}: {one.why}")
    return 1 if checks.failed else 0


@app.command
def recover(
    planted: str,
    /,
    *,
    output: Folder,
    method: str = "score",
    n: str | None = None,
    simulations: str | None = None,
    draws: str | None = None,
    seed: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """Plant couplings, simulate fields, refit, and test whether the posterior is calibrated.

    Methods: exact, gold, reweighted, score, scalar and naive for chain and site; score, pseudo, gold, scalar and naive
    for lat and rbf; score, scalar and naive for mixture. The same seed plants the same fields for every method.

    Args:
        planted: chain, site, mixture, lat or rbf
        output: folder of table, figure and JSON
        method: which posterior, default score
        n: fields of each simulation
        simulations: how often, default 1000
        draws: draws of each posterior, default 255
        seed: of all random numbers, default 0
        force: replace those of an earlier run in that folder
        quiet: print the path of the JSON only
    """
    progress = start(quiet)
    import jax

    from ..inference.calibration.recovery import recover as recovered
    from .studies.calibration import calibration_table, check_files, planted_named, write_calibration

    given = {"n": n, "simulations": simulations, "draws": draws, "seed": seed}
    numbers: dict[str, Any] = {name: whole(name, text) for name, text in given.items() if text is not None}
    count, key = numbers.pop("n", None), jax.random.key(numbers.pop("seed", 0))
    check_files(output, force=force)
    tree = recovered(planted_named(planted, n=count), method, key=key, **numbers, progress=progress)
    path = write_calibration(tree, output, force=force)
    if not quiet:
        print(calibration_table(tree))
    print(path)
    return 0


def _finish(work: Callable[[], Any], output: Path, *, force: bool, quiet: bool) -> int:
    """Do it and say what came out: a fit; of networks too few for one, what these can tell; else what was measured.

    Where neither is possible, why.
    """
    from .pages.report import summary
    from .studies.few_page import few_answer, write_few
    from .studies.study import NoFit, TooFew

    try:
        try:
            text = summary(work())
        except TooFew as few:
            answer = few_answer(few.networks, few.fitting)
            write_few(answer, output, force=force)
            text = str(answer)
    except ValueError as refusal:
        measured = next((e.correlators for e in (refusal, refusal.__context__) if isinstance(e, NoFit)), None)
        if measured is not None and not quiet:
            print(measured, flush=True)
        raise
    if not quiet:
        print(text)
    print(output / "index.html")
    return 0


def _misread(words: Sequence[str], error: CycloptsError) -> str:
    """One line on the word that is no argument, with the nearest that is one."""
    commands = [name for name in app if not name.startswith("-")]
    first = words[0]
    if first not in commands:
        close = difflib.get_close_matches(first, commands, n=1)
        named = f"nnft run {first} -o out/{first}" if not first.startswith("-") else "nnft --help"
        known = ", ".join(commands)
        return f"expected a command among {known}, got {first!r}; try {f'nnft {close[0]}' if close else named}"
    text = str(error).partition(". Did you mean")[0].rstrip(".")
    if isinstance(error, MissingArgumentError):
        name = error.argument.name if error.argument is not None else "an argument"
        rest = f"nnft {' '.join(words)} -o out/" if name == "--output" else f"nnft {first} --help"
        return f"expected {name}, got a line without it; try {rest}"
    options = [name for argument in app[first].assemble_argument_collection() for name in argument.names]
    strange = [word for word in (word.partition("=")[0] for word in words) if word.startswith("-")]
    strange = [word for word in strange if word not in options]
    close = difflib.get_close_matches(strange[0], options, n=1) if strange else []
    return f"expected the arguments of nnft {first}, got {text}; try {close[0] if close else f'nnft {first} --help'}"
