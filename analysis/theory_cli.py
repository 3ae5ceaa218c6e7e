"""Commands that ask what a field theory is: its symmetries, whether it is a quantum field, how its couplings run."""

from typing import Annotated

from cyclopts import Parameter

from .options import Folder, Settings, StudyOptions, Value, settings_of, start, value_of

__all__ = ["axioms", "flow", "symmetries"]


def axioms(
    study: str,
    /,
    *,
    options: Annotated[StudyOptions | None, Parameter(name="*")] = None,
    settings: Settings = None,
    times: Value = None,
    quiet: bool = False,
) -> int:
    """Which of the Osterwalder-Schrader axioms a network keeps, how far it breaks the others, on printed times.

    Exact where its correlators are known at all points; with --n, and of a deep network, by a test of n networks at t
    and -t.

    Args:
        study: cos, erf, relu, gauss, tanh, scalar, .. (nnft models), or a file study.toml
        options: its settings
        settings: any setting as name=value; may be repeated, and an option counts more
        times: of reflection positivity, 0.2,0.5,1; default a dense set, or four of networks
        quiet: no progress
    """
    start(quiet)
    from .studies.study import study_named
    from .theories.axioms import axioms_of

    given = settings_of(options, settings)
    asked = None if times is None else value_of(f"[{times}]")
    print(axioms_of(study_named(study, given), asked, name=study, drawn="n" in given))
    return 0


def flow(
    study: str,
    /,
    *,
    output: Folder,
    options: Annotated[StudyOptions | None, Parameter(name="*")] = None,
    settings: Settings = None,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """How couplings run: on coarser and coarser lattices, or of a network with the cutoff of its vertices.

    chain has --n, --seed and --set sites=16, m2=1, lam=0.1; a file of lattice configurations needs --shape 8,8; both
    have --set every=1,2,4 and --set ways=sites,blocks,waves; a network has --set cutoffs=1,10,100.

    Args:
        study: chain, a file of configurations (.npy, ..), relu, erf, .. (nnft models), or a file study.toml
        output: folder of the page, made for it
        options: its settings
        settings: any setting as name=value; may be repeated, and an option counts more
        force: replace the page of an earlier run in that folder
        quiet: print the path of the page only
    """
    start(quiet)
    from .theories.flow_page import run_flow

    text, page = run_flow(study, output, settings=settings_of(options, settings), force=force)
    if not quiet:
        print(text)
    print(page)
    return 0


def symmetries(
    study: str,
    /,
    *,
    options: Annotated[StudyOptions | None, Parameter(name="*")] = None,
    settings: Settings = None,
    orders: Value = None,
    quiet: bool = False,
) -> int:
    """Which symmetries a network has, order by order: what n of them say, and what its law proves.

    Args:
        study: cos, erf, relu, gauss, tanh, scalar, .. (nnft models), or a file study.toml
        options: its settings
        settings: any setting as name=value; may be repeated, and an option counts more
        orders: of the correlators, default 1,2,3,4 as far as the networks allow
        quiet: no progress
    """
    chosen = None if orders is None else orders.replace(" ", "").split(",")
    if chosen is not None and not set(chosen) <= set("123456"):
        raise ValueError(f"expected orders among 1..6, got {orders!r}; try --orders 2,4")
    progress = start(quiet)
    from .comparisons.groups import symmetries as tested
    from .studies.study import study_named

    made = study_named(study, settings_of(options, settings))
    asked = None if chosen is None else tuple(map(int, chosen))
    table = tested(made.ensemble(), orders=asked, progress=progress)
    print(table)
    return 1 if any(one.contradiction for test in table.tests.values() for one in test.orders.values()) else 0
