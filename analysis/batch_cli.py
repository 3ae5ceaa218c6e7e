"""Commands for more networks than one machine can draw: measured in parts, by workers or by a job array, and pooled.

An array of ten lines for SLURM, each task one part; a task that failed is run again, finished parts are not:

    #!/bin/bash
    #SBATCH --job-name=nnft
    #SBATCH --array=0-63
    #SBATCH --cpus-per-task=1
    #SBATCH --mem=2G
    #SBATCH --time=01:00:00
    #SBATCH --output=log/%a.txt
    export NNFT_CACHE=$HOME/.cache/nnft XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    nnft measure study.toml --shard $SLURM_ARRAY_TASK_ID/64 -o parts/ --quiet
    # afterwards: nnft pool parts/ -o data.nc && nnft fit data.nc -o out/
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import Folder, Settings, StudyOptions, settings_of, start, value_of

__all__ = ["measure", "pool"]


def measure(
    study: str,
    /,
    *,
    output: Folder,
    parts: str = "64",
    shard: str | None = None,
    workers: str | None = None,
    scheduler: str | None = None,
    options: Annotated[StudyOptions | None, Parameter(name="*")] = None,
    settings: Settings = None,
    quiet: bool = False,
) -> int:
    """Measure the networks of a study in parts, each a file of its own; run it again to go on where it stopped.

    Args:
        study: cos, erf, relu, .. (nnft models), or a file study.toml
        output: folder of the parts
        parts: how many, default 64
        shard: only part k of K, as 3/64, counted from 0: one task of a job array
        workers: so many processes on this machine
        scheduler: address of a Dask scheduler, tcp://host:8786
        options: settings of the study
        settings: any setting as name=value; may be repeated, and an option counts more
        quiet: print nothing but errors
    """
    progress = start(quiet)
    from .studies.batch import measure_parts, shard_named
    from .studies.study import study_named

    made = study_named(study, settings_of(options, settings))
    only, count = (None, _whole("parts", parts)) if shard is None else shard_named(shard)
    crew = None if workers is None else _whole("workers", workers)
    if progress:
        print(made, file=sys.stderr)
    given = {"parts": count, "only": only, "workers": crew, "scheduler": scheduler, "progress": progress}
    new, there = measure_parts(made, output, **given)
    if not quiet:
        print(f"{there} of {count} parts in {output}, {new} of them new")
    return 0


def pool(
    folder: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)],
    partial: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> int:
    """Put the parts of a folder together: one file of correlators for nnft fit, nnft run --data and sessions.

    Args:
        folder: that nnft measure wrote
        output: file of the correlators, data.nc
        partial: although parts are missing
        force: replace that file
        quiet: print the path only
    """
    start(quiet)
    from .studies.batch import pool_parts

    if output.exists() and not force:
        raise ValueError(f"expected a new file, got {str(output)!r}, which exists; try another name, or --force")
    if output.suffix != ".nc":
        raise ValueError(f"expected the name of a NetCDF file, got {str(output)!r}; try -o data.nc")
    data = pool_parts(folder, partial=partial)
    data.save(output)
    if not quiet:
        print(data)
    print(output)
    return 0


def _whole(name: str, text: str) -> int:
    value = value_of(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
        raise ValueError(f"expected a whole number for --{name}, got {text!r}; try --{name} 8")
    return int(value)
